//! What every SQL connector promises, asked of SQLite, of a real MariaDB
//! and, as far as it can, of BigQuery, through the ports alone.
#![expect(clippy::unwrap_used, clippy::print_stderr, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod contract;
mod emulator;
mod ground;
mod refusals;
mod stand_in;
mod warehouse;

use std::time::Duration;

use ground::Ground;
use remit_sources::Settings;
use remit_upstreams::mariadb::Mariadb;

/// Short enough for tests of what takes too long.
fn settings() -> Settings {
    Settings {
        statement_timeout: Duration::from_millis(400),
        lock_timeout: Duration::from_secs(1),
        acquire_timeout: Duration::from_millis(300),
        ..Settings::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_keeps_the_contract() {
    let ground = Ground::sqlite(settings()).await.unwrap();
    contract::all(&ground).await;
    refusals::all(&ground).await;
}

/// One test for all, since a server takes some seconds to start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_keeps_the_contract() {
    let Some(mut server) = Mariadb::start_if_installed().await.unwrap() else {
        eprintln!("SKIPPED: MariaDB is not installed; the SQL contract was not asked of it");
        return;
    };
    let ground = Ground::mariadb(settings(), &server).await.unwrap();
    contract::all(&ground).await;
    refusals::all(&ground).await;
    refusals::of_mariadb(&ground, &server).await;
    contract::a_server_that_dies(&ground, &mut server).await;
}
