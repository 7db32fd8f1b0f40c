//! `cargo xtask bench`: medians of what a user waits for, printed beside what is expected of them.
//!
//! Deliberately absent: pass or fail. Figures depend on the machine and its load; a person compares.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]

mod neighbours;
mod sources;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use remit_config::{Environment, Host};
use remit_domain::{RequestId, TenantId, access::Principal, audit::Door, catalogue::Caller};
use remit_server::wire::{self, App};
use remit_upstreams::{demo, salesforce, shopify};
use serde_json::json;

const TENANTS: usize = 1_000;

#[tokio::main]
async fn main() -> Result<()> {
    // Where the host's own requests run: on a worker, not on the thread that waits for all of them.
    tokio::spawn(measure()).await?
}

async fn measure() -> Result<()> {
    rustls::crypto::ring::default_provider().install_default().ok().context("a TLS provider was installed before")?;
    let root = tempfile::tempdir()?;
    prepare(root.path(), 0)?;
    demo::prepare(&root.path().join("var"), false).await?;
    let shop = shopify::start(([127, 0, 0, 1], 0).into()).await?;
    let crm = salesforce::start(([127, 0, 0, 1], 0).into()).await?;
    let environment = || {
        Environment::from_map([
            ("TECHSTART_SHOPIFY_URI", shop.url()),
            ("TECHSTART_SHOPIFY_TOKEN", shopify::TOKEN.to_owned()),
            ("TECHSTART_SFDC_URI", crm.url()),
            ("TECHSTART_SFDC_TOKEN", salesforce::TOKEN.to_owned()),
        ])
    };
    let figures = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder().handle();

    let load = |root: PathBuf| Host::load(&root, Path::new("configs/host.yaml"), Some("demo"), &environment());
    let began = Instant::now();
    let app = wire::build(Arc::new(load(root.path().to_owned())?), environment(), figures.clone(), true).await?;
    println!("{:<58} {:>9.1} ms", "first start: everything compiled", ms(began.elapsed()));

    cold_start(&app).await?;
    let caller = caller(&app)?;
    in_process(&app, &caller).await?;
    parts(&app, &caller).await?;
    over_http(app.router.clone()).await?;

    let reading = tempfile::tempdir()?;
    prepare(reading.path(), 0)?;
    sources::prepare(reading.path())?;
    demo::prepare(&reading.path().join("var"), false).await?;
    let read = wire::build(Arc::new(load(reading.path().to_owned())?), environment(), figures.clone(), true).await?;
    let database = reading.path().join("var/demo/techstart/primary.db");
    sources::measure(&read, &self::caller(&read)?, &database).await?;
    drop(read);

    let shared = tempfile::tempdir()?;
    prepare(shared.path(), 1)?;
    neighbours::prepare(shared.path())?;
    demo::prepare(&shared.path().join("var"), false).await?;
    let beside = wire::build(Arc::new(load(shared.path().to_owned())?), environment(), figures.clone(), true).await?;
    neighbours::measure(&beside, &self::caller(&beside)?).await?;
    drop(beside);

    let before = resident()?;
    let many = tempfile::tempdir()?;
    prepare(many.path(), TENANTS)?;
    let crowded = wire::build(Arc::new(load(many.path().to_owned())?), environment(), figures, true).await?;
    let tenants = crowded.catalogue.tenants().all();
    for (tenant, _) in &tenants {
        let context = crowded.catalogue.context(tenant)?;
        for agent in context.agents.keys() {
            let (door, request) = (Door::Console, RequestId::random());
            crowded.catalogue.tools(&Caller::new(Principal::anyone(), context.clone(), agent.as_str(), door, request)?);
        }
    }
    let agents: usize =
        tenants.iter().filter_map(|(id, _)| Some(crowded.catalogue.context(id).ok()?.agents.len())).sum();
    let each = resident()?.saturating_sub(before) / agents.max(1);
    println!(
        "{:<58} {:>9.1} KB   expected < 100",
        format!("memory a loaded (tenant, agent), {agents} of them"),
        each as f64 / 1024.0
    );
    Ok(())
}

/// A root with the shipped configuration, the built component, and so many tenants more.
fn prepare(root: &Path, tenants: usize) -> Result<()> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the tests' folder has a parent")?;
    copy(&repository.join("configs"), &root.join("configs"))?;
    fs::create_dir_all(root.join("workflows"))?;
    let dist = root.join("plugins/dist");
    fs::create_dir_all(&dist)?;
    let component = "techstart-crm.wasm";
    fs::copy(repository.join("plugins/dist").join(component), dist.join(component))
        .context("the component is not built: cargo xtask build-plugin techstart-crm")?;
    let contexts = root.join("configs/contexts");
    // Other tenants may not use TechStart's credentials; each has its own, unset: no source is opened.
    let context = fs::read_to_string(contexts.join("techstart.json"))?;
    for at in 0..tenants {
        let own = context.replace("TECHSTART_", &format!("TENANT{at}_"));
        fs::write(contexts.join(format!("tenant{at}.json")), own)?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn caller(app: &App) -> Result<Caller> {
    let tenant = TenantId::new("techstart")?;
    let context = app.catalogue.context(&tenant)?;
    Ok(Caller::new(Principal::anyone(), context, "sales", Door::Console, RequestId::random())?)
}

/// Taking in a folder of components whose code is in the cache.
async fn cold_start(app: &App) -> Result<()> {
    let mut times = Vec::new();
    for _ in 0..50 {
        let began = Instant::now();
        let faults = app.registry.load(&app.plugins_dir).await?;
        times.push(began.elapsed());
        anyhow::ensure!(faults.is_empty(), "{faults:?}");
    }
    print("cold start of a plugin from the cache", times, "expected < 5 ms");
    Ok(())
}

/// A tool that makes one query, with its audit event: everything but HTTP.
async fn in_process(app: &App, caller: &Caller) -> Result<()> {
    let (mut keyed, mut scanned) = (Vec::new(), Vec::new());
    for round in 0..6_000 {
        // Somebody without orders: one statement by an index, and no second one for the orders' items.
        let arguments = json!({"customer_id": "nobody"});
        let began = Instant::now();
        app.catalogue.call(caller, "get_customer_orders", arguments).await?;
        let by_key = began.elapsed();
        let arguments = json!({"query": "cust", "limit": 1});
        let began = Instant::now();
        app.catalogue.call(caller, "search_customers", arguments).await?;
        let by_scan = began.elapsed();
        if round >= 1_000 {
            keyed.push(by_key);
            scanned.push(by_scan);
        }
    }
    print("tool call in process: fresh instance, one SQLite query", keyed, "expected < 0.1 ms");
    print("  the same with a query that reads 800 rows", scanned, "");
    Ok(())
}

/// What a tool call is made of: the guest without a source, and the record of a call.
async fn parts(app: &App, caller: &Caller) -> Result<()> {
    let (mut guests, mut records) = (Vec::new(), Vec::new());
    for round in 0..6_000 {
        let began = Instant::now();
        app.catalogue.read(caller, "sales_playbook").await?;
        let read = began.elapsed();
        let began = Instant::now();
        // A call of what is not there is recorded, and nothing else.
        let refused = app.catalogue.call(caller, "no_such_tool", json!({})).await;
        let recorded = began.elapsed();
        anyhow::ensure!(refused.is_err(), "there is such a tool");
        if round >= 1_000 {
            guests.push(read);
            records.push(recorded);
        }
    }
    print("  a guest that asks for no source, and its record", guests, "");
    print("  a record alone", records, "");
    Ok(())
}

async fn over_http(router: axum::Router) -> Result<()> {
    use axum::serve::ListenerExt as _;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/mcp/techstart/sales", listener.local_addr()?);
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let serving = tokio::spawn(axum::serve(listener, router).into_future());
    let http = reqwest::Client::builder().no_proxy().build()?;
    let asked = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "get_customer_orders", "arguments": {"customer_id": "nobody"}}
    });
    let mut times = Vec::new();
    for round in 0..3_000 {
        let request = http
            .post(&url)
            .header("Accept", "application/json, text/event-stream")
            .header("Content-Type", "application/json")
            .body(asked.to_string());
        let began = Instant::now();
        let answer = request.send().await?.error_for_status()?.bytes().await?;
        if round >= 500 {
            times.push(began.elapsed());
        }
        anyhow::ensure!(answer.windows(6).any(|window| window == b"orders"), "{answer:?}");
    }
    serving.abort();
    print("tools/call over HTTP", times, "expected < 0.3 ms");
    Ok(())
}

fn print(what: &str, mut times: Vec<Duration>, expected: &str) {
    times.sort();
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
    println!("{what:<58} {:>9.3} ms   p99 {:.3} ms   {expected}", ms(at(50)), ms(at(99)));
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Resident memory of this process, in bytes.
fn resident() -> Result<usize> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kilobytes: usize = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes * 1024)
}
