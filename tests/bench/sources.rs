//! What the way to a source costs: a query beside the bare driver's, many rows on their way to a guest, and
//! calls at once.
//!
//! Deliberately absent: other engines than SQLite, whose network is what would be measured.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use remit_domain::{
    TenantId,
    catalogue::Caller,
    data::{Handle, sql::Value},
    grant::{Grant, Grants, Permission, Permit},
    tenant::Tenants,
};
use remit_server::wire::App;
use serde_json::json;
use sqlx::{Connection as _, Row as _, SqliteConnection};

use super::{ms, print};

const ROUNDS: usize = 10_000;
const WARM_UP: usize = 1_000;
/// By its key: as little work of the engine's as there is.
const STATEMENT: &str = "SELECT id, name, email FROM customers WHERE id = ?";
/// As many rows as an answer may have, of a guest that drops them.
const MANY: &str = "SELECT a.id, a.name, b.email FROM customers a, customers b LIMIT 10000";
const AT_ONCE: usize = 16;
const CALLS: usize = 500;

/// Gives the tenant's sales agent the guest that reads without an aim.
pub(crate) fn prepare(root: &Path) -> Result<()> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/dist/hostile/calls.wasm");
    fs::copy(built, root.join("plugins/dist/hostile-calls.wasm"))
        .context("the hostile guests are not built: cargo xtask build-plugin")?;
    let file = root.join("configs/contexts/techstart.json");
    let mut context: serde_json::Value = serde_json::from_slice(&fs::read(&file)?)?;
    let sales = context.pointer_mut("/agentMappings/sales").and_then(serde_json::Value::as_object_mut);
    sales.context("a sales agent")?.insert("mcpServer".to_owned(), json!(["techstart-crm", "hostile-calls"]));
    Ok(fs::write(&file, serde_json::to_vec_pretty(&context)?)?)
}

/// Measures all of it.
pub(crate) async fn measure(app: &App, caller: &Caller, database: &Path) -> Result<()> {
    beside_the_driver(app, database).await?;
    many_rows(app, caller).await?;
    at_once(app, caller).await
}

async fn beside_the_driver(app: &App, file: &Path) -> Result<()> {
    let (permit, handle) = open(app).await?;
    let Handle::Sql(database) = handle else { bail!("the primary source is no database") };
    let mut bare = SqliteConnection::connect(&format!("sqlite://{}?mode=ro", file.display())).await?;
    let parameters = [Value::Text("cust_123".to_owned())];
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    // In turns, so that whatever else the machine does meets both.
    for round in 0..WARM_UP + ROUNDS {
        let began = Instant::now();
        let rows = database.query(permit.read()?, STATEMENT, &parameters).await?;
        let took = began.elapsed();
        let began = Instant::now();
        let bare_rows = sqlx::query(STATEMENT).bind("cust_123").fetch_all(&mut bare).await?;
        let values = bare_rows.iter().map(|row| row.try_get::<String, _>(1)).collect::<Result<Vec<_>, _>>()?;
        let bare_took = began.elapsed();
        ensure!(rows.rows.len() == values.len() && values.len() == 1, "the two found different rows");
        if round >= WARM_UP {
            ours.push(took);
            theirs.push(bare_took);
        }
    }
    let median = |times: &[Duration]| {
        let mut times = times.to_vec();
        times.sort();
        times.get(times.len() / 2).copied().unwrap_or_default()
    };
    let (through, alone) = (median(&ours), median(&theirs));
    print("a query by its key, through the host", ours, "");
    print("  the same by the bare driver", theirs, "");
    let over = through.saturating_sub(alone);
    let share = over.as_secs_f64() / alone.as_secs_f64().max(f64::MIN_POSITIVE) * 100.0;
    println!("{:<58} {:>9.3} ms   {share:.1} %   expected < 0.010 ms, 5 %", "  what the host adds", ms(over));
    Ok(())
}

async fn many_rows(app: &App, caller: &Caller) -> Result<()> {
    let mut times = Vec::new();
    let before = figure("VmRSS:")?;
    // Forgets the peak so far.
    fs::write("/proc/self/clear_refs", "5")?;
    for _ in 0..50 {
        let began = Instant::now();
        let outcome = app.catalogue.call(caller, "wait_many", json!({"count": 1, "statement": MANY})).await?;
        times.push(began.elapsed());
        ensure!(outcome.as_json().to_string().contains("\"answered\":1"), "{}", outcome.as_json());
    }
    let peak = figure("VmHWM:")?.saturating_sub(before);
    print("10,000 rows to a guest", times, &format!("peak {:.1} MiB above rest", peak as f64 / 1024.0));
    Ok(())
}

async fn at_once(app: &App, caller: &Caller) -> Result<()> {
    let began = Instant::now();
    let callers = (0..AT_ONCE).map(|_| {
        let (catalogue, caller) = (app.catalogue.clone(), caller.clone());
        tokio::spawn(async move {
            for _ in 0..CALLS {
                catalogue.call(&caller, "get_customer_orders", json!({"customer_id": "nobody"})).await?;
            }
            anyhow::Ok(())
        })
    });
    for ended in futures::future::join_all(callers).await {
        ended??;
    }
    let rate = (AT_ONCE * CALLS) as f64 / began.elapsed().as_secs_f64();
    println!("{:<58} {rate:>9.0} a second", format!("calls with a query, {AT_ONCE} at once"));
    Ok(())
}

async fn open(app: &App) -> Result<(Permit, Handle)> {
    let context = app.catalogue.context(&TenantId::new("techstart")?)?;
    let (agent, _) = context.agent("sales")?;
    let (name, _) = context.sources.get_key_value("primary").context("a primary source")?;
    let granted = vec![Grant { source: name.clone(), permission: Permission::Read }];
    let tenants: Arc<dyn Tenants> = app.contexts.clone();
    let grants = Grants::new(&context, agent, granted, &tenants, app.catalogue.sources());
    Ok(grants.open("primary").await?)
}

/// A figure of this process, in KiB.
fn figure(name: &str) -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let figures: BTreeMap<&str, &str> =
        status.lines().filter_map(|line| line.split_once(char::is_whitespace)).collect();
    let value = figures.get(name).context("no such figure")?;
    Ok(value.trim().trim_end_matches("kB").trim().parse()?)
}
