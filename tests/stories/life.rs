//! A host's life: start, reload, end; faults of the operator and of one tenant.

use std::{fs, time::Duration};

use serde_json::{Value, json};

use crate::host::{Host, Setup, answer, eventually, patch_json, repository, run};

/// Asks until an answer is as wanted: a reload shows some moments after the file changed.
pub(super) async fn until(host: &Host, path: &str, wanted: impl Fn(u16, &Value) -> bool) -> Value {
    let mut last = (0, Value::Null);
    eventually(path, async || {
        last = answer(host.get(path)).await;
        wanted(last.0, &last.1)
    })
    .await;
    last.1
}

#[tokio::test]
async fn a_changed_context_is_taken_in_and_a_bad_one_keeps_the_last_good() {
    let mut host = Setup::demo().start().await;
    let file = host.root.path().join("configs/contexts/techstart.json");
    patch_json(&file, |context| context["company"]["name"] = json!("TechStart Renamed"));
    until(&host, "/api/health/mcp", |_, body| body["customer"] == "TechStart Renamed").await;

    let good = fs::read(&file).unwrap();
    fs::write(&file, "{ \"company\": ").unwrap();
    host.signal("HUP");
    until(&host, "/readyz", |_, body| body["tenants"] == "failing").await;
    until(&host, "/metrics", |_, body| body.as_str().unwrap().contains(r#"remit_tenants{state="stale"} 1"#)).await;
    let (status, body) = answer(host.get("/api/health/mcp")).await;
    assert_eq!((status, &body["customer"]), (200, &json!("TechStart Renamed")), "the last good one serves");

    // A revoked grant: the tool is gone at once, without a restart.
    fs::write(&file, good).unwrap();
    patch_json(&file, |context| {
        context["agentMappings"]["sales"]["dataSources"] = json!(["primary"]);
        context["agentMappings"]["sales"]["permissions"] = json!({"primary": ["read"]});
    });
    until(&host, "/api/mcp/tools/sales", |_, body| !body.to_string().contains("check_inventory")).await;
    let (status, _) = host.tool("check_inventory", json!({"product_id": "1"})).await;
    assert_eq!(status, 403);

    let second = host.root.path().join("configs/contexts/other.json");
    fs::write(&second, r#"{"company": {"name": "Other"}}"#).unwrap();
    eventually("a new file is a new tenant", async || {
        let request = host.http.get(format!("{}/api/health/mcp", host.url)).header("X-Context", "other");
        answer(request).await.1["customer"] == "Other"
    })
    .await;
    let (code, log) = host.stop();
    assert_eq!(code, Some(0));
    assert!(log.contains("configs/contexts/techstart.json:1:"), "the fault is logged with its place");
}

#[tokio::test]
async fn a_tenants_fault_quarantines_that_tenant_alone() {
    let host = Setup::demo()
        .edit(|root| fs::write(root.join("configs/contexts/broken.json"), "{\"company\": {\"nome\": 1}}").unwrap())
        .start()
        .await;
    let request = host.http.get(format!("{}/api/health/mcp", host.url)).header("X-Context", "broken");
    let (status, body) = answer(request).await;
    assert_eq!((status, &body["code"]), (503, &json!("tenant_unavailable")), "{body:#}");
    assert!(!body.to_string().contains("nome"), "the faults are the operator's to see");
    host.result("search_customers", json!({"query": "test"})).await;
    let (_, ready) = answer(host.http.get(format!("{}/readyz", host.url))).await;
    assert_eq!((&ready["ready"], &ready["tenants"]), (&json!(true), &json!("failing")));
    assert!(!ready.to_string().contains(|c: char| c.is_ascii_digit()), "how many is none of everybody's: {ready}");
    let (_, figures) = answer(host.http.get(format!("{}/metrics", host.url))).await;
    for (state, count) in [("current", 1), ("stale", 0), ("quarantined", 1)] {
        let figure = format!("remit_tenants{{state=\"{state}\"}} {count}");
        assert!(figures.as_str().unwrap().contains(&figure), "{figure} in {figures}");
    }
}

#[test]
fn a_fault_of_the_operator_stops_the_start_with_every_place() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("configs/contexts")).unwrap();
    fs::write(root.path().join("configs/host.yaml"), "listen: nowhere\nlimits:\n  wallTime: 3\n").unwrap();
    let (code, _, error) = run(root.path(), &["serve", "--config", "configs/host.yaml"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("configs/host.yaml:1:9") && error.contains("configs/host.yaml:3:3"), "{error}");
}

#[test]
fn a_host_without_keys_listens_on_loopback_alone() {
    let state = tempfile::tempdir().unwrap();
    let state = state.path().to_str().unwrap();
    let (code, _, error) = run(&repository(), &["serve", "--listen", "0.0.0.0:0", "--state", state]);
    assert_eq!(code, Some(1));
    assert!(error.contains("not a loopback address"), "{error}");
}

#[test]
fn the_shipped_files_are_in_order_and_faults_have_places() {
    let (code, out, error) = run(&repository(), &["check"]);
    assert_eq!(code, Some(0), "{out}{error}");
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("configs/contexts")).unwrap();
    fs::create_dir_all(root.path().join("workflows")).unwrap();
    fs::write(root.path().join("configs/host.yaml"), "listen: 127.0.0.1:3000\n").unwrap();
    fs::write(
        root.path().join("configs/contexts/x.json"),
        "{\n  \"company\": {\"name\": \"X\"},\n  \"agentMapings\": {}\n}",
    )
    .unwrap();
    fs::write(root.path().join("workflows/y.yml"), "name: y\nsteps:\n  - id: a\n    type: teleport\n").unwrap();
    let (code, out, _) = run(root.path(), &["check"]);
    assert_eq!(code, Some(1));
    assert!(out.contains("configs/contexts/x.json:3:3") && out.contains("agentMappings"), "{out}");
    assert!(out.contains("workflows/y.yml:4:"), "{out}");
}

#[tokio::test]
async fn sigterm_lets_requests_end_and_exits_cleanly() {
    let mut host = Setup::demo().start().await;
    let slow = remit_upstreams::Fault::Delay(Duration::from_millis(500));
    host.shopify.faults().always(slow);
    let asked = json!({"agent_type": "sales", "tool_name": "check_inventory", "parameters": {"product_id": "1"}});
    let request = tokio::spawn(host.post("/api/mcp/test", asked.to_string()).send());
    eventually("the request is under way", async || host.shopify.most_at_once() > 0).await;
    let (code, log) = tokio::task::spawn_blocking(move || host.stop()).await.unwrap();
    assert_eq!(code, Some(0), "{log}");
    assert!(request.await.unwrap().unwrap().status().as_u16() < 500, "the request under way was answered");
}

#[tokio::test]
async fn traces_are_sent_where_an_endpoint_is_given() {
    let (sent, mut received) = tokio::sync::mpsc::unbounded_channel();
    let collector = axum::Router::new().route(
        "/v1/traces",
        axum::routing::post(move |body: axum::body::Bytes| {
            let sent = sent.clone();
            async move { sent.send(body).map_err(|_| axum::http::StatusCode::GONE) }
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, collector).into_future());
    let mut host = Setup::demo().settings(format!("telemetry:\n  otlpEndpoint: {endpoint}\n")).start().await;
    host.result("search_customers", json!({"query": "test"})).await;
    let (code, log) = tokio::task::spawn_blocking(move || host.stop()).await.unwrap();
    assert_eq!(code, Some(0), "{log}");
    let mut spans = Vec::new();
    while let Ok(body) = received.try_recv() {
        spans.extend_from_slice(&body);
    }
    let text = String::from_utf8_lossy(&spans);
    assert!(text.contains("tool_call") && text.contains("search_customers"), "spans by name: {text}");
}
