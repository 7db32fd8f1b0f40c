//! What every SQL connector promises, asked of SQLite, of a real MariaDB and PostgreSQL and, as far as
//! it can be, of BigQuery, through the ports alone.
#![expect(clippy::unwrap_used, clippy::print_stderr, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod contract;
mod emulator;
mod ground;
mod postgres;
mod refusals;
mod scopes;
mod stand_in;
mod warehouse;

use std::time::Duration;

use ground::Ground;
use remit_sources::Settings;
use remit_upstreams::{mariadb::Mariadb, postgres::Postgres};

/// Short enough for tests of what takes too long.
fn settings() -> Settings {
    Settings {
        statement_timeout: Duration::from_millis(1_500),
        lock_timeout: Duration::from_secs(1),
        acquire_timeout: Duration::from_secs(5),
        ..Settings::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_keeps_the_contract() {
    let ground = Ground::sqlite(Settings { acquire_timeout: Duration::from_millis(300), ..settings() }).await.unwrap();
    contract::all(&ground).await;
    refusals::all(&ground).await;
    scopes::all(&ground).await;
}

/// One test for all, since a server takes some seconds to start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_keeps_the_contract() {
    let Some(mut server) = Mariadb::start_if_installed().await.unwrap() else {
        eprintln!("SKIPPED: MariaDB is not installed; the SQL contract was not asked of it");
        return;
    };
    let ground = Ground::mariadb(settings(), &server).await.unwrap();
    server.account("least", "SELECT, INSERT, UPDATE, DELETE").await.unwrap();
    contract::all(&ground).await;
    refusals::prepare_mariadb(&server).await;
    // Once by an account that may do everything, and once by the one that the README describes.
    for user in [Mariadb::USER, "least"] {
        let ground = Ground::mariadb_as(settings(), &server, user).await.unwrap();
        refusals::all(&ground).await;
        refusals::of_mariadb(&ground, &server).await;
        scopes::all(&ground).await;
    }
    contract::a_server_that_dies(&ground, || server.kill().unwrap()).await;
}

/// One test for all, for the same reason.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_keeps_the_contract() {
    let Some(mut server) = Postgres::start_if_installed().await.unwrap() else {
        eprintln!("SKIPPED: PostgreSQL is not installed; the SQL contract was not asked of it");
        return;
    };
    let ground = Ground::postgres(settings(), &server).await.unwrap();
    postgres::prepare(&server).await;
    server.account("least", "SELECT, INSERT, UPDATE, DELETE").await.unwrap();
    server.account("reader", "SELECT").await.unwrap();
    contract::all(&ground).await;
    // Once by an account that may do everything, and once by the one that the README describes.
    for user in [Postgres::USER, "least"] {
        let ground = Ground::postgres_as(settings(), &server, user).await.unwrap();
        refusals::all(&ground).await;
        scopes::all(&ground).await;
        postgres::all(&ground, &server).await;
    }
    postgres::of_an_account_that_reads(&Ground::postgres_as(settings(), &server, "reader").await.unwrap()).await;
    contract::a_server_that_dies(&ground, || server.kill().unwrap()).await;
}
