//! Uploads to a stand-in for a host.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, Uri},
    routing::post,
};
use serde_json::json;

use super::{Accepted, Progress, upload};
use crate::{Upload, sign};

/// An empty component with a custom section, so that it has some length.
fn component() -> Vec<u8> {
    let mut bytes = vec![0, b'a', b's', b'm', 0x0d, 0, 1, 0];
    // Section 0, its length and its name's length as LEB128, then zeros.
    let payload = 100_000_u32;
    bytes.push(0);
    for shift in [0, 7, 14] {
        let low = u8::try_from((payload >> shift) & 0x7f).unwrap();
        bytes.push(if shift == 14 { low } else { low | 0x80 });
    }
    bytes.extend([1, b'x']);
    bytes.resize(bytes.len() + 100_000 - 2, 0);
    bytes
}

type Seen = Arc<Mutex<Option<(HeaderMap, String, usize)>>>;

/// A host that answers every upload alike, in a runtime of its own: the client under test has one too.
fn host(status: u16, answer: &str) -> (SocketAddr, Seen, tokio::runtime::Runtime) {
    let seen = Seen::default();
    let (noted, answer) = (seen.clone(), answer.to_owned());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let address = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let handler = move |headers: HeaderMap, uri: Uri, body: Bytes| async move {
            *noted.lock().unwrap() = Some((headers, uri.to_string(), body.len()));
            (axum::http::StatusCode::from_u16(status).unwrap(), answer)
        };
        let router = Router::new().route("/api/plugins", post(handler));
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    });
    (address, seen, runtime)
}

fn asked(address: SocketAddr, folder: &Path) -> Upload {
    fs::write(folder.join("key"), "rk_secret\n").unwrap();
    Upload {
        component: String::new(),
        tenant: "techstart".to_owned(),
        url: format!("http://{address}").parse().unwrap(),
        key_file: Some(folder.join("key")),
        activate: true,
        allow_plain_http: false,
    }
}

#[test]
fn a_component_travels_with_its_tenant_key_and_signature() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.wasm");
    fs::write(&file, component()).unwrap();
    sign::make_key(&folder.path().join("sk")).unwrap();
    sign::sign(&file, &folder.path().join("sk")).unwrap();
    let (address, seen, _runtime) = host(201, r#"{"success":true,"plugin":"a","version":"1.0.0","number":1}"#);
    upload(&file, &asked(address, folder.path())).unwrap();
    let (headers, uri, length) = seen.lock().unwrap().take().unwrap();
    assert_eq!((uri.as_str(), length), ("/api/plugins?activate=true", component().len()));
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    assert_eq!(header("content-type"), "application/wasm");
    assert_eq!(header("content-length"), component().len().to_string());
    assert_eq!(header("x-context"), "techstart");
    assert_eq!(header("authorization"), "Bearer rk_secret");
    assert_eq!(header("x-remit-signature"), fs::read_to_string(folder.path().join("a.wasm.sig")).unwrap().trim());
}

#[test]
fn a_refusal_is_said_in_the_hosts_words() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.wasm");
    fs::write(&file, component()).unwrap();
    for (status, answer, said) in [
        (
            403,
            r#"{"success":false,"error":"an unsigned upload","code":"unsigned","hint":"sign it"}"#,
            "the host refused it: an unsigned upload (unsigned, 403)\nhint: sign it",
        ),
        (502, "<html>bad gateway", "the host answered with status 502 and no reason it gives: <html>bad gateway"),
        (200, "{}", "the host answered with status 200 and no reason it gives: {}"),
    ] {
        let (address, _seen, _runtime) = host(status, answer);
        let error = upload(&file, &asked(address, folder.path())).unwrap_err().to_string();
        assert_eq!(error, said);
    }
}

#[test]
fn what_cannot_be_sent_is_refused_before_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.wasm");
    fs::write(&file, "text").unwrap();
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    let error = upload(&file, &asked(nowhere, folder.path())).unwrap_err().to_string();
    assert!(error.ends_with("is no component"), "{error}");
    fs::write(&file, component()).unwrap();
    let error = upload(&file, &asked(nowhere, folder.path())).unwrap_err().to_string();
    assert!(error.ends_with("cannot be reached"), "{error}");
    let plain = Upload { url: "http://host.example".parse().unwrap(), ..asked(nowhere, folder.path()) };
    let error = upload(&file, &plain).unwrap_err().to_string();
    assert!(error.contains("http shows the key on the way"), "{error}");
    let empty = asked(nowhere, folder.path());
    fs::write(folder.path().join("key"), " \n").unwrap();
    assert!(upload(&file, &empty).unwrap_err().to_string().contains("no key"));
    fs::write(folder.path().join("a.wasm.sig"), "ed25519:AAAA").unwrap();
    fs::write(folder.path().join("key"), "k").unwrap();
    let error = upload(&file, &empty).unwrap_err().to_string();
    assert!(error.ends_with("holds no signature"), "{error}");
}

#[test]
fn progress_is_shown_by_tenths() {
    let mut progress = Progress::new(40 * 1024);
    let lines: Vec<String> = (0..40).filter_map(|_| progress.sent(1024)).collect();
    assert_eq!(lines.len(), 10);
    assert_eq!(lines.first().unwrap(), "sent  10 % (4 of 40 KiB)");
    assert_eq!(lines.last().unwrap(), "sent 100 % (40 of 40 KiB)");
    assert!(progress.done());
}

#[test]
fn an_answer_is_said_in_words() {
    let need = |source: &str, optional| json!({"source": source, "permission": "read", "optional": optional});
    let answer = json!({
        "success": true, "plugin": "desk", "version": "0.2.0", "number": 3, "digest": "sha256:ab", "bytes": 5,
        "created": true, "active": true, "more": [1],
        "tools": [
            {"name": "find", "description": "Finds.", "needs": ["primary: read", "crm: read, optional"]},
            {"name": "look", "needs": [need("primary", false), need("crm", true)]},
            {"name": "ping", "description": "Pings.", "needs": []},
        ],
        "agents": [
            {"agent": "sales", "mapped": true, "granted": ["find", "ping"], "missing": {}},
            {"agent": "hr", "mapped": true, "granted": [], "missing": {"find": "no access to primary"}},
            {"agent": "support", "mapped": false, "granted": ["ping"], "missing": {}},
        ],
        "changes": [
            {"change": "description", "name": "find", "before": "Finds\u{1b}[31m.", "after": "Finds all."},
            {"change": "needs", "name": "find", "before": "", "after": "primary: read"},
            {"change": "added", "name": "ping"},
        ],
    });
    assert_eq!(
        Accepted::of(&answer).to_string(),
        "desk 0.2.0 is upload 3, active\n  sha256:ab (5 bytes)\n  tool find (primary: read; crm: read, optional)\n  \
         tool look (reads primary; reads crm if granted)\n  \
         tool ping\n  changed: description find\n    before: Finds [31m.\n    after: Finds all.\n  \
         changed: needs find\n    before: \n    after: primary: read\n  changed: added ping\n  \
         agent sales gets find, ping\n  agent hr gets no tool\n    not find: no access to primary\n"
    );
}

#[test]
fn an_answer_is_said_as_far_as_it_is_understood() {
    let answer = json!({
        "plugin": "desk", "version": "0.1.0", "number": 1, "digest": "sha256:ab", "bytes": "many", "created": false,
        "tools": "none", "changes": [{"change": {"of": 1}}],
        "agents": [{"agent": "sales", "mapped": false, "granted": ["find"], "missing": {}, "since": 1}],
    });
    assert_eq!(
        Accepted::of(&answer).to_string(),
        "desk 0.1.0 is upload 1, not active\n  sha256:ab (0 bytes; these bytes were there already)\n  \
         no agent names it: add \"desk\" to an agent's mcpServer\n  agent sales would get find\n\
         It serves once it is active: upload again with --activate\n"
    );
}
