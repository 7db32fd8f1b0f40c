//! What a good tenant's call takes while another tenant's guests attack the host, and what the host's
//! memory is before and after.
//!
//! Deliberately absent: whether the attacks are answered rightly; the stories check that.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use remit_domain::{RequestId, TenantId, access::Principal, audit::Door, catalogue::Caller};
use remit_server::wire::App;
use serde_json::{Value, json};

use super::{print, resident};

/// The tenant that attacks; `prepare` makes it.
const BAD: &str = "tenant0";
/// Attackers at once: more than a tenant has places for.
const ATTACKERS: usize = 64;
const CALLS: usize = 300;

/// Puts the hostile guest where the host finds it, and gives the bad tenant's agent nothing else.
pub(crate) fn prepare(root: &Path) -> Result<()> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/dist/hostile/calls.wasm");
    fs::copy(built, root.join("plugins/dist/hostile-calls.wasm"))
        .context("the hostile guests are not built: cargo xtask build-plugin")?;
    let file = root.join("configs/contexts").join(BAD).with_extension("json");
    let mut context: Value = serde_json::from_slice(&fs::read(&file)?)?;
    let sales = context.pointer_mut("/agentMappings/sales").context("a sales agent")?;
    let sales = sales.as_object_mut().context("a mapping")?;
    sales.insert("mcpServer".to_owned(), json!("hostile-calls"));
    let prompt = context.pointer_mut("/prompts/agents/sales").and_then(Value::as_object_mut);
    prompt.context("a prompt")?.remove("tools");
    fs::write(&file, serde_json::to_vec_pretty(&context)?)?;
    Ok(())
}

/// Measures the good tenant alone, and beside each attack.
pub(crate) async fn measure(app: &App, good: &Caller) -> Result<()> {
    let context = app.catalogue.context(&TenantId::new(BAD)?)?;
    let bad = Caller::new(Principal::anyone(), context, "sales", Door::Console, RequestId::random())?;
    print("a good tenant's call, nobody beside it", calls(app, good).await?, "");
    for (what, tool, arguments) in [
        ("endless loops", "spin", json!({})),
        ("memory bombs", "grow", json!({"mib": 1_000})),
        ("a flood of calls", "trap", json!({})),
        ("a storm of calls of the host", "flood", json!({"count": u32::MAX})),
    ] {
        let before = resident()?;
        let ends = Arc::new(AtomicBool::new(false));
        let attackers: Vec<_> = (0..ATTACKERS)
            .map(|_| {
                let (catalogue, bad, arguments, ends) =
                    (app.catalogue.clone(), bad.clone(), arguments.clone(), ends.clone());
                tokio::spawn(async move {
                    let mut busy = 0_u64;
                    while !ends.load(Ordering::Relaxed) {
                        let ended = catalogue.call(&bad, tool, arguments.clone()).await;
                        if ended.is_err_and(|error| error.code() == "busy") {
                            // As a client does that is told to come back.
                            busy += 1;
                            tokio::time::sleep(Duration::from_millis(10)).await;
                        }
                    }
                    busy
                })
            })
            .collect();
        while app.registry.sandbox().occupancy().0 == 0 {
            tokio::task::yield_now().await;
        }
        let times = calls(app, good).await?;
        ends.store(true, Ordering::Relaxed);
        let mut busy = 0;
        for attacker in attackers {
            busy += attacker.await?;
        }
        ensure!(app.registry.sandbox().occupancy().0 == 0, "a place is held by nobody's call");
        let after = resident()?;
        let note = format!("memory {} MiB before, {} after; {busy} refused as busy", before >> 20, after >> 20);
        print(&format!("  beside {what}"), times, &note);
    }
    Ok(())
}

async fn calls(app: &App, good: &Caller) -> Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let began = Instant::now();
        app.catalogue.call(good, "get_customer_orders", json!({"customer_id": "nobody"})).await?;
        times.push(began.elapsed());
    }
    Ok(times)
}
