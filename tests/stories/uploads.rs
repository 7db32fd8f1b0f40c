//! Tenants' own plugins: taken in, activated, taken back, removed, and still there after a crash.

mod steps;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use remit_upstreams::Fault;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::clients::{node, tool};
use crate::host::{Host, Setup, answer, repository, run};

const CRM: &str = "techstart-crm";
const SEARCHES: &[u8] = b"Search customers in TechStart CRM by name";
const OTHERWISE: &[u8] = b"Search customers in TechStart crm by name";

/// The CRM's tools as another version: other bytes, and another description of one tool.
fn crm(described_as: &[u8], mark: u8) -> Vec<u8> {
    let mut wasm = fs::read(repository().join("plugins/dist/techstart-crm.wasm")).unwrap();
    let at = wasm.windows(SEARCHES.len()).position(|window| window == SEARCHES).unwrap();
    wasm[at..at + SEARCHES.len()].copy_from_slice(described_as);
    // A custom section of the component: a name of one letter, and the mark.
    wasm.extend([0, 3, 1, b'v', mark]);
    wasm
}

fn upload(host: &Host, query: &str, wasm: impl Into<reqwest::Body>) -> RequestBuilder {
    host.post(&format!("/api/plugins{query}"), wasm).header("Content-Type", "application/wasm")
}

/// Activates a version of the CRM's tools that describes one of them otherwise.
pub(super) async fn crm_otherwise(host: &Host) -> Value {
    taken(host, "?activate=true", crm(OTHERWISE, 1)).await
}

/// Uploads what must be taken in.
async fn taken(host: &Host, query: &str, wasm: Vec<u8>) -> Value {
    let (status, body) = answer(upload(host, query, wasm)).await;
    assert!(matches!(status, 200 | 201), "{status} {body:#}");
    body
}

async fn switch(host: &Host, verb: &str, body: &'static str) -> (u16, Value) {
    answer(host.post(&format!("/api/plugins/{CRM}/{verb}"), body)).await
}

/// How the first tool is described now.
async fn described(host: &Host) -> String {
    let (_, body) = answer(host.get("/api/mcp/tools/sales")).await;
    body["tools"][0]["description"].as_str().unwrap().to_owned()
}

/// The component that served the last call, as the audit has it.
async fn served(host: &Host) -> String {
    host.result("search_customers", json!({"query": "test", "limit": 1})).await;
    host.audit().await[0].plugin.clone().unwrap()
}

#[tokio::test]
async fn a_version_serves_once_it_is_activated_and_the_operators_own_when_it_is_taken_back() {
    let host = Setup::demo()
        .edit(|root| {
            let other = json!({"company": {"name": "Other"}, "agentMappings": {"sales": {"mcpServer": CRM}}});
            fs::write(root.join("configs/contexts/other.json"), other.to_string()).unwrap();
        })
        .start()
        .await;
    let operators = served(&host).await;
    let first = taken(&host, "", crm(OTHERWISE, 1)).await;
    assert_eq!((&first["plugin"], &first["number"]), (&json!(CRM), &json!(1)));
    assert_eq!(
        (&first["created"], &first["active"], &first["version"]),
        (&json!(true), &json!(false), &json!("1.0.0"))
    );
    assert_eq!(first["bytes"], crm(OTHERWISE, 1).len());
    assert_eq!(first["tools"][0]["needs"], json!(["primary: read"]));
    let reach = |agent: &str| first["agents"].as_array().unwrap().iter().find(|it| it["agent"] == agent).unwrap();
    assert_eq!(reach("sales")["mapped"], true);
    assert_eq!(reach("sales")["granted"].as_array().unwrap().len(), 6);
    assert_eq!(reach("marketing")["mapped"], false);
    assert!(reach("marketing")["missing"]["search_customers"].as_str().unwrap().contains("primary"));
    let change = json!([{
        "change": "description", "name": "search_customers",
        "before": "Search customers in TechStart CRM by name, email, or company",
        "after": "Search customers in TechStart crm by name, email, or company",
    }]);
    assert_eq!(first["changes"], change, "against the operator's, which the agents have had until now");
    assert!(first["warnings"][0].as_str().unwrap().contains("takes the place of the operator's"));

    assert!(described(&host).await.contains("TechStart CRM"), "what is not activated is not served");
    assert_eq!(served(&host).await, operators);
    let again = taken(&host, "", crm(OTHERWISE, 1)).await;
    assert_eq!((&again["number"], &again["created"]), (&json!(1), &json!(false)), "the same bytes are one version");

    let (status, body) = switch(&host, "activate", "").await;
    assert_eq!((status, &body["from"], &body["active"]), (200, &Value::Null, &json!(1)), "{body:#}");
    assert_eq!(body["changes"], change);
    assert!(described(&host).await.contains("TechStart crm"));
    assert_eq!(served(&host).await, format!("{CRM}@{}", first["digest"].as_str().unwrap()));
    let second = taken(&host, "?activate=true", crm(SEARCHES, 2)).await;
    assert_eq!((&second["number"], &second["active"]), (&json!(2), &json!(true)));
    assert_eq!(second["changes"][0]["after"], change[0]["before"], "against the version that served");
    assert!(described(&host).await.contains("TechStart CRM"));

    // Another tenant sees nothing of all this: not the versions, and not in its tools.
    let others = |path: &str| host.http.get(format!("{}{path}", host.url)).header("X-Context", "other");
    let (status, body) = answer(others("/api/plugins")).await;
    assert_eq!((status, &body["count"]), (200, &json!(0)));
    let (status, body) = answer(others(&format!("/api/plugins/{CRM}"))).await;
    assert_eq!((status, &body["code"]), (404, &json!("version_missing")));

    let (status, body) = switch(&host, "rollback", "").await;
    assert_eq!((status, &body["from"], &body["active"]), (200, &json!(2), &json!(1)));
    let (_, body) = answer(host.get("/api/plugins")).await;
    let expected = json!({"plugin": CRM, "active": 1, "newest": 2, "versions": 2, "agents": ["sales"]});
    assert_eq!(body["plugins"], json!([expected]));
    let (_, body) = answer(host.get(&format!("/api/plugins/{CRM}"))).await;
    let numbers: Vec<_> =
        body["versions"].as_array().unwrap().iter().map(|it| (&it["number"], &it["active"])).collect();
    assert_eq!(numbers, [(&json!(2), &json!(false)), (&json!(1), &json!(true))]);
    assert_eq!(body["versions"][0]["by"], "anyone");

    let remove = |query: &str| {
        host.http.delete(format!("{}/api/plugins/{CRM}{query}", host.url)).header("X-Context", "techstart")
    };
    for query in ["", "?version=1"] {
        let (status, body) = answer(remove(query)).await;
        assert_eq!((status, &body["code"]), (409, &json!("version_in_use")), "{query} {body:#}");
    }
    let (status, body) = answer(remove("?version=2")).await;
    assert_eq!((status, &body["removed"]), (200, &json!([2])), "{body:#}");
    let (status, body) = switch(&host, "rollback", "").await;
    assert_eq!((status, &body["code"]), (409, &json!("nothing_before")), "{body:#}");
    let (status, body) = switch(&host, "deactivate", "").await;
    assert_eq!((status, &body["from"], &body["active"]), (200, &json!(1), &Value::Null));
    assert_eq!(served(&host).await, operators, "the operator's is found again");
    let (status, _) = answer(remove("")).await;
    assert_eq!(status, 200);
    assert_eq!(artifacts(&host), 0, "the bytes are gone");
    // A number is never given twice: who remembers version 1 finds no other under it.
    assert_eq!(taken(&host, "", crm(OTHERWISE, 1)).await["number"], 3);
    for (verb, body, status) in [("activate", r#"{"version": 1}"#, 404), ("activate", r#"{"versoin": 3}"#, 422)] {
        assert_eq!(switch(&host, verb, body).await.0, status, "{body}");
    }
}

#[tokio::test]
async fn a_call_in_flight_ends_with_the_version_it_began_with() {
    let host = Setup::demo().start().await;
    let first = taken(&host, "?activate=true", crm(SEARCHES, 1)).await;
    let second = taken(&host, "", crm(OTHERWISE, 2)).await;
    host.shopify.faults().always(Fault::Delay(Duration::from_secs(3)));
    let mut call = Box::pin(host.tool("check_inventory", json!({"product_id": "1"})));
    // Once the source is asked, the call is under way.
    while host.shopify.received().is_empty() {
        assert!(futures::poll!(&mut call).is_pending());
        tokio::task::yield_now().await;
    }
    assert_eq!(switch(&host, "activate", r#"{"version": 2}"#).await.0, 200);
    assert!(futures::poll!(&mut call).is_pending(), "it goes on while the other version is active");
    call.await;
    let of = |stored: &Value| Some(format!("{CRM}@{}", stored["digest"].as_str().unwrap()));
    assert_eq!(host.audit().await[0].plugin, of(&first));
    assert_eq!(Some(served(&host).await), of(&second));
}

#[tokio::test]
async fn what_is_no_component_is_refused_and_leaves_nothing() {
    let host = Setup::demo().start().await;
    let whole = crm(SEARCHES, 1);
    let module = b"\0asm\x01\0\0\0".to_vec();
    for (wasm, status, code, said) in [
        (Vec::new(), 400, "bad_request", "empty"),
        (b"text".to_vec(), 422, "plugin_unfit", "not a component"),
        (module, 422, "plugin_unfit", "core module"),
        (whole[..whole.len() / 2].to_vec(), 422, "plugin_unfit", "not a component"),
        (vec![0; (32 << 20) + 1], 413, "body_too_large", "33554432 bytes"),
    ] {
        let (found, body) = answer(upload(&host, "?activate=true", wasm)).await;
        assert_eq!((found, &body["code"]), (status, &json!(code)), "{body:#}");
        assert!(body["error"].as_str().unwrap().contains(said), "{said}: {body:#}");
    }
    for (request, status, code) in [
        (upload(&host, "?activate=perhaps", "x"), 400, "bad_request"),
        (upload(&host, "?active=true", "x"), 400, "bad_request"),
        (host.post("/api/plugins", "{}").header("Content-Type", "application/json"), 415, "unsupported_media_type"),
        (host.http.post(format!("{}/api/plugins", host.url)).body("x"), 400, "missing_header"),
        (host.post("/api/plugins/../../etc/activate", ""), 404, "not_found"),
        (host.post("/api/plugins/..%2f..%2fetc/activate", ""), 404, "version_missing"),
    ] {
        let shown = format!("{request:?}");
        let (found, body) = answer(request).await;
        assert_eq!((found, &body["code"]), (status, &json!(code)), "{shown} {body:#}");
    }
    let (_, body) = answer(host.get("/api/plugins")).await;
    assert_eq!(body["count"], 0);
    assert_eq!(artifacts(&host), 0);
}

/// How many components the host keeps the bytes of.
fn artifacts(host: &Host) -> usize {
    let kept = fs::read_dir(host.root.path().join("var/artifacts")).unwrap();
    kept.filter(|entry| entry.as_ref().unwrap().path().is_file()).count()
}

/// A form as curl's `-F component=@file` sends it.
fn form(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        let head = format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"x\"\r\n\r\n");
        body.extend([head.as_bytes(), value, b"\r\n"].concat());
    }
    [body, b"--edge--\r\n".to_vec()].concat()
}

#[tokio::test]
async fn a_form_carries_a_component_too() {
    let host = Setup::demo().start().await;
    let send = |body: Vec<u8>| {
        answer(host.post("/api/plugins", body).header("Content-Type", "multipart/form-data; boundary=edge"))
    };
    let whole = crm(SEARCHES, 1);
    let (status, body) = send(form(&[("component", &whole)])).await;
    assert_eq!((status, &body["plugin"]), (201, &json!(CRM)), "{body:#}");
    let large = vec![0; (32 << 20) + 1];
    let cut = form(&[("component", &whole)]);
    for (body, status) in [
        (form(&[]), 400),
        (form(&[("plugin", &whole)]), 400),
        (form(&[("component", &whole), ("component", &whole)]), 400),
        (form(&[("component", &large)]), 413),
        (form(&[("component", &whole), ("signature", b"none")]), 422),
        (cut[..cut.len() / 2].to_vec(), 400),
        (b"none".to_vec(), 400),
    ] {
        let (found, body) = send(body).await;
        assert_eq!(found, status, "{body:#}");
    }
}

#[tokio::test]
async fn a_tenant_with_trusted_keys_takes_in_what_these_signed() {
    let place = tempfile::tempdir().unwrap();
    let plugin = |arguments: &[&str]| {
        let (code, out, log) = run(place.path(), &[&["plugin"], arguments].concat());
        assert_eq!(code, Some(0), "{log}");
        out
    };
    let key = |file: &str| {
        let said = plugin(&["key", file]);
        said.split_whitespace().find(|word| word.starts_with("ed25519:")).unwrap().to_owned()
    };
    let (trusted, foreign) = (key("trusted.key"), key("foreign.key"));
    fs::write(place.path().join("crm.wasm"), crm(SEARCHES, 1)).unwrap();
    let sign = |key: &str| {
        plugin(&["sign", "crm.wasm", "--key", key]);
        fs::read_to_string(place.path().join("crm.wasm.sig")).unwrap().trim().to_owned()
    };
    let (good, bad) = (sign("trusted.key"), sign("foreign.key"));

    let mut host = Setup::demo().start().await;
    let (_, unsigned) = answer(upload(&host, "?activate=true", crm(OTHERWISE, 9))).await;
    assert_eq!(unsigned["active"], true, "without trusted keys, none need be signed");
    let (_, body) = answer(upload(&host, "", crm(SEARCHES, 2)).header("X-Remit-Signature", &good)).await;
    assert_eq!(body["code"], "signature_refused", "but a signature that is there must fit");
    host.stop();
    crate::host::patch_json(&host.root.path().join("configs/contexts/techstart.json"), |context| {
        context["plugins"] = json!({"trustedKeys": [trusted.clone()]});
    });
    host.restart();
    for (signature, said) in
        [(None, "not signed"), (Some(&bad), foreign.as_str()), (Some(&"x".to_owned()), "signature")]
    {
        let request = upload(&host, "", crm(SEARCHES, 1));
        let request = signature.map_or(request.try_clone().unwrap(), |it| request.header("X-Remit-Signature", it));
        let (status, body) = answer(request).await;
        assert_eq!((status, &body["code"]), (422, &json!("signature_refused")), "{body:#}");
        assert!(body["error"].as_str().unwrap().contains(said), "{said}: {body:#}");
    }
    let (status, body) =
        answer(upload(&host, "?activate=true", crm(SEARCHES, 1)).header("X-Remit-Signature", &good)).await;
    assert_eq!((status, &body["signer"], &body["active"]), (201, &json!(trusted), &json!(true)), "{body:#}");
    let (status, body) = switch(&host, "rollback", "").await;
    assert_eq!((status, &body["code"]), (422, &json!("signature_refused")), "nor is an older one taken back: {body:#}");
}

/// An object store that others made, with one bucket.
struct Bucket {
    url: String,
    folder: tempfile::TempDir,
    child: Child,
}

impl Bucket {
    /// Nothing where it is not installed, which is said. It takes a port itself and prints it.
    fn start() -> Option<Self> {
        let (node, program) = (node()?, tool("node_modules/s3rver/bin/s3rver.js")?);
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(node);
        command.arg(program).args(["--port", "0", "--configure-bucket", "remit", "--directory"]).arg(folder.path());
        let mut child = command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let address = lines.find_map(|line| Some(line.split_once("listening on ")?.1.trim().to_owned())).unwrap();
        // It would stand still if nobody read what it prints.
        thread::spawn(move || lines.for_each(drop));
        Some(Self { url: format!("http://{address}"), folder, child })
    }

    /// The files of the objects below the prefix.
    fn objects(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.folder.path().join("remit/of/tenants")) else { return Vec::new() };
        let files = entries.map(|entry| entry.unwrap().path());
        files.filter(|file| file.to_string_lossy().ends_with("_object")).collect()
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn components_lie_in_an_object_store_where_the_settings_say() {
    let Some(bucket) = Bucket::start() else { return };
    let library = format!("library:\n  store: s3://remit/of/tenants\n  endpoint: {}\n", bucket.url);
    let mut host = Setup::demo()
        .settings(library)
        .env("ARTIFACTS_ACCESS_KEY", "S3RVER")
        .env("ARTIFACTS_SECRET_KEY", "S3RVER")
        .start()
        .await;
    let first = taken(&host, "?activate=true", crm(OTHERWISE, 1)).await;
    taken(&host, "", crm(OTHERWISE, 2)).await;
    assert_eq!(bucket.objects().len(), 2);
    assert!(!host.root.path().join("var/artifacts").exists());
    host.kill();
    // Bytes without a record, as a crash leaves them.
    let one = bucket.objects().remove(0);
    let name = one.file_name().unwrap().to_str().unwrap().to_owned();
    for entry in fs::read_dir(one.parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        let digits = &name[..64];
        if file.starts_with(digits) {
            fs::copy(&path, path.with_file_name(file.replace(digits, &"0".repeat(64)))).unwrap();
        }
    }
    assert_eq!(bucket.objects().len(), 3);
    host.restart();
    assert_eq!(bucket.objects().len(), 2, "swept");
    let digest = first["digest"].as_str().unwrap().to_owned();
    assert_eq!(served(&host).await, format!("{CRM}@{digest}"));
    let removed =
        host.http.delete(format!("{}/api/plugins/{CRM}?version=2", host.url)).header("X-Context", "techstart");
    assert_eq!(answer(removed).await.0, 200);
    assert_eq!(bucket.objects().len(), 1);

    // Whoever changes an object puts nothing in its place: it is not run, and the operator's is not either.
    host.kill();
    fs::write(&bucket.objects()[0], crm(SEARCHES, 3)).unwrap();
    host.restart();
    let (status, body) = host.tool("search_customers", json!({"query": "test", "limit": 1})).await;
    assert_eq!((status, &body["code"]), (503, &json!("plugin_missing")), "{body:#}");
    assert_eq!(switch(&host, "deactivate", "").await.0, 200);
    assert!(served(&host).await.starts_with(CRM), "the operator's, once somebody says so");
}

#[tokio::test]
async fn what_is_uploaded_counts() {
    let most = crm(SEARCHES, 1).len() * 2;
    let own = format!("uploads: large\n    quotas: {{uploadBytesPerDay: {most}}}\n");
    let host = Setup::demo().settings_instead("uploads: large\n", own).start().await;
    for mark in 1..=2 {
        taken(&host, "", crm(SEARCHES, mark)).await;
    }
    let (status, body) = answer(upload(&host, "", crm(SEARCHES, 3))).await;
    assert_eq!((status, &body["code"]), (429, &json!("quota_exceeded")), "{body:#}");
    let (_, body) = answer(host.get("/api/usage")).await;
    let rows = body["tenants"][0]["usage"].as_array().unwrap();
    let row = rows.iter().find(|row| row["meter"] == "uploadBytes" && row["window"] == "day").unwrap();
    assert_eq!(row["used"], most);
    let row = rows.iter().find(|row| row["meter"] == "cpuMs" && row["window"] == "day").unwrap();
    assert!(row["used"].as_u64().unwrap() >= 100, "each of the two was compiled: {row}");
}

#[tokio::test]
async fn who_has_used_up_its_computing_uploads_and_activates_nothing_more() {
    let own = "uploads: large\n    quotas: {cpuMsPerDay: 1}\n";
    let host = Setup::demo().settings_instead("uploads: large\n", own).start().await;
    taken(&host, "?activate=true", crm(SEARCHES, 1)).await;
    let refused = [
        answer(upload(&host, "", crm(SEARCHES, 2))).await,
        switch(&host, "activate", "").await,
        switch(&host, "rollback", "").await,
    ];
    for (status, body) in refused {
        assert_eq!((status, &body["code"]), (429, &json!("quota_exceeded")), "{body:#}");
        assert_eq!(body["error"], "this tenant has used up its cpuMsPerDay (1)");
    }
    // What computes nothing is not refused.
    assert_eq!(switch(&host, "deactivate", "").await.0, 200);
}

#[tokio::test]
async fn a_tenant_has_so_many_plugins_and_no_more() {
    let host = Setup::demo().settings("library:\n  plugins: 1\n").start().await;
    taken(&host, "", crm(SEARCHES, 1)).await;
    let other = fs::read(repository().join("plugins/dist/hostile/calls.wasm")).unwrap();
    let (status, body) = answer(upload(&host, "", other.clone())).await;
    assert_eq!((status, &body["code"]), (409, &json!("library_full")), "{body:#}");
    taken(&host, "", crm(SEARCHES, 2)).await;
    let all = host.http.delete(format!("{}/api/plugins/{CRM}", host.url)).header("X-Context", "techstart");
    assert_eq!(answer(all).await.0, 200);
    assert_eq!(answer(upload(&host, "", other)).await.0, 201);
    assert_eq!(artifacts(&host), 1, "what was refused is gone too");
}

/// The upload is cut at ever another moment. Whatever it had come to, what is there is whole.
#[tokio::test]
async fn a_crash_at_any_moment_leaves_the_old_or_the_new() {
    let mut host = Setup::demo().start().await;
    let began = Instant::now();
    let mut active = taken(&host, "?activate=true", crm(SEARCHES, 0)).await["digest"].clone();
    let whole = began.elapsed();
    let (mut kept, mut changed) = (0, 0);
    for round in 0..=12_u8 {
        let sent = answer(upload(&host, "?activate=true", crm(OTHERWISE, round)));
        // From before it is read to after it was answered.
        let answered = match round {
            12 => sent.await.0 == 201,
            _ => tokio::time::timeout(whole * u32::from(round) / 6, sent).await.is_ok_and(|(status, _)| status == 201),
        };
        host.kill();
        host.restart();
        let (_, body) = answer(host.get(&format!("/api/plugins/{CRM}"))).await;
        let versions = body["versions"].as_array().unwrap();
        let serving: Vec<&Value> = versions.iter().filter(|version| version["active"] == true).collect();
        assert_eq!(serving.len(), 1, "{body:#}");
        let now = serving[0]["digest"].clone();
        if now == active {
            assert!(!answered, "what was acknowledged is there");
            kept += 1;
        } else {
            assert_eq!(versions[0]["digest"], now, "no other than the old and the new");
            changed += 1;
        }
        assert_eq!(served(&host).await, format!("{CRM}@{}", now.as_str().unwrap()), "the shelf agrees with the record");
        assert_eq!(artifacts(&host), versions.len(), "no bytes without a record, no record without bytes");
        active = now;
    }
    assert!(kept > 0 && changed > 0, "{kept} kept, {changed} changed: both were met");
}
