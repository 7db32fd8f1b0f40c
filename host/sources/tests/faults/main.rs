//! Sources behind a proxy that troubles their connections: an operation ends within its time whatever the
//! wire does, no place is lost, and the source is used again by itself when the trouble is over.
#![expect(clippy::unwrap_used, clippy::print_stderr, clippy::panic, reason = "tests")]

mod subject;

use std::time::{Duration, Instant};

use remit_domain::data::{Breaker, Error};
use remit_sources::Settings;
use remit_upstreams::{
    mariadb::Mariadb,
    postgres::Postgres,
    proxy::{Proxy, Trouble},
    shopify,
};
use subject::Subject;

/// How many connections a source has: all of them are counted at the end.
const CONNECTIONS: usize = 2;
/// Nothing takes as long as this, however busy the machine is: what does, hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Short enough for what never answers. A failure more than there are troubles before the breaker acts.
fn settings() -> Settings {
    Settings {
        connections_per_source: CONNECTIONS,
        connect_timeout: Duration::from_millis(800),
        acquire_timeout: Duration::from_millis(800),
        statement_timeout: Duration::from_millis(500),
        api_timeout: Duration::from_millis(800),
        probe_timeout: Duration::from_millis(800),
        breaker_failures: 3,
        breaker_wait: Duration::from_millis(20),
        breaker_longest: Duration::from_millis(100),
        ..Settings::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_behind_a_bad_wire() {
    let Some(server) = Mariadb::start_if_installed().await.unwrap() else {
        eprintln!("SKIPPED: MariaDB is not installed; no faults were put before it");
        return;
    };
    let proxy = Proxy::before(([127, 0, 0, 1], server.port()).into()).await.unwrap();
    all(&Subject::mysql(settings(), proxy.addr(), Mariadb::USER, Mariadb::PASSWORD, Mariadb::DATABASE), &proxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_behind_a_bad_wire() {
    let Some(server) = Postgres::start_if_installed().await.unwrap() else {
        eprintln!("SKIPPED: PostgreSQL is not installed; no faults were put before it");
        return;
    };
    let proxy = Proxy::before(([127, 0, 0, 1], server.port()).into()).await.unwrap();
    let (user, password) = (Postgres::USER, Postgres::PASSWORD);
    all(&Subject::postgres(settings(), proxy.addr(), user, password, Postgres::DATABASE), &proxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_behind_a_bad_wire() {
    let server = shopify::start(([127, 0, 0, 1], 0).into()).await.unwrap();
    let proxy = Proxy::before(server.addr()).await.unwrap();
    all(&Subject::shopify(settings(), proxy.addr(), shopify::TOKEN), &proxy).await;
}

async fn all(subject: &Subject, proxy: &Proxy) {
    recovered(subject).await;
    for trouble in [
        Trouble::Reset,
        Trouble::BlackHole,
        Trouble::HalfClose,
        Trouble::Drip(Duration::from_secs(2)),
        Trouble::Latency(Duration::from_secs(20)),
    ] {
        proxy.set(trouble);
        // More at once than there are connections, so that some wait for one.
        let reads = (0..2 * CONNECTIONS).map(|_| within(trouble, subject.read()));
        for error in futures::future::join_all(reads).await {
            refused(trouble, &error);
        }
        refused(trouble, &within(trouble, subject.write()).await);
        refused(trouble, &within(trouble, subject.probe()).await);
        assert!(subject.condition().last_error.is_some(), "{trouble:?}");
        proxy.set(Trouble::None);
        recovered(subject).await;
    }
    proxy.set(Trouble::Latency(Duration::from_millis(2)));
    recovered(subject).await;
    proxy.set(Trouble::None);

    // While the source is down, its callers are soon answered without its being asked; others' are not.
    proxy.set(Trouble::Reset);
    let told = |error: &Error| error.to_string().contains("not asked for a moment");
    let began = Instant::now();
    while !subject.read().await.is_err_and(|error| told(&error)) {
        assert!(began.elapsed() < PATIENCE, "the breaker does not open");
    }
    assert!(!subject.of_another_tenant().read().await.is_err_and(|error| told(&error)));
    proxy.set(Trouble::None);
    recovered(subject).await;
}

/// The source answers, by all of its connections at once, sooner or later.
async fn recovered(subject: &Subject) {
    let began = Instant::now();
    // One at first: of several callers, one tries, and the others are told to wait.
    while let Err(error) = async { subject.read().await.and(subject.all_places(CONNECTIONS).await) }.await {
        assert!(began.elapsed() < PATIENCE, "it does not recover: {error}");
        tokio::task::yield_now().await;
    }
    assert_eq!(subject.condition().breaker, Breaker::Closed);
}

async fn within(trouble: Trouble, operation: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    tokio::time::timeout(PATIENCE, operation).await.unwrap_or_else(|_| panic!("{trouble:?}: it hangs"))
}

/// What did not answer said so in a case that a caller can act on, without names.
fn refused(trouble: Trouble, result: &Result<(), Error>) {
    let Err(error) = result else { panic!("{trouble:?}: it answered") };
    let known = ["unavailable", "uncertain", "limit", "throttled"];
    assert!(known.contains(&error.case()), "{trouble:?}: {error}");
    assert!(!error.to_string().contains("127.0.0.1"), "{trouble:?}: {error}");
}
