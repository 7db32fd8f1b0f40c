//! What every store of documents promises, asked of the embedded one and of MongoDB's protocol through the
//! ports alone.
//!
//! No server of MongoDB's makers can be had where these tests run. What keeps documents is asked of
//! somebody else's emulator; what goes over the wire, and what must not, of a server that records it.
#![expect(clippy::unwrap_used, clippy::print_stderr, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod contract;
mod failures;
mod ground;
mod wire;

use std::time::Duration;

use contract::Kept;
use ground::{Allowed, Ground, mongo};
use remit_domain::{data::Sources as _, source::Kind};
use remit_sources::Settings;
use remit_upstreams::mongo::Emulator;

/// Short enough for tests of what takes too long.
fn settings() -> Settings {
    Settings {
        statement_timeout: Duration::from_secs(20),
        acquire_timeout: Duration::from_millis(300),
        // What the store itself says is asked for here, failure after failure.
        breaker_failures: 1_000,
        ..Settings::default()
    }
}

#[tokio::test]
async fn the_embedded_store_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let kind = || Kind::DocumentFile { path: folder.path().join("canary.sqlite") };
    let ground = Ground::new(kind(), settings(), Allowed::ALL).await.unwrap();
    contract::all_of(&ground, Kept::InFile).await;
    let narrow = Ground::new(kind(), settings(), Allowed::only(&["mine", "shared"])).await.unwrap();
    contract::a_scope_holds(&ground, &narrow).await;
    ground.pools.probe(&ground.tenant, &ground.definition).await.unwrap();
}

/// One test for all, since the server takes some seconds to start.
#[tokio::test]
async fn an_emulated_mongodb_keeps_the_contract() {
    let Some(mut server) = Emulator::start_if_installed().await.unwrap() else {
        eprintln!("SKIPPED: nx-27017 is not installed; the contract of documents was not asked of MongoDB's protocol");
        return;
    };
    let kind = || mongo(&server.url("canary_events"), None, None);
    let ground = Ground::new(kind(), settings(), Allowed::ALL).await.unwrap();
    contract::all_of(&ground, Kept::ByEmulator).await;
    let narrow = Ground::new(kind(), settings(), Allowed::only(&["mine", "shared"])).await.unwrap();
    contract::a_scope_holds(&ground, &narrow).await;
    ground.pools.probe(&ground.tenant, &ground.definition).await.unwrap();
    failures::a_server_that_dies(&ground, &mut server).await;
}
