//! Clients that are slow, silent, greedy or many: each is cut or refused, and the others don't notice.

use std::{error::Error, io, iter, net::SocketAddr, time::Duration};

use remit_upstreams::Fault;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{interval, timeout},
};

use crate::host::{Host, Setup, answer};

/// Far more than any setting here: whoever waits so long waits for ever.
const PATIENCE: Duration = Duration::from_secs(60);

async fn host(connections: &'static str) -> Host {
    let settings = format!("connections: {{{connections}}}\n");
    Setup::demo().edit(move |root| std::fs::write(root.join("configs/host.yaml"), settings).unwrap()).start().await
}

fn address(host: &Host) -> SocketAddr {
    host.url.strip_prefix("http://").unwrap().parse().unwrap()
}

async fn connected(host: &Host) -> TcpStream {
    TcpStream::connect(address(host)).await.unwrap()
}

/// What comes until the host closes. A reset is an end too.
async fn rest(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut said = Vec::new();
    let _reset = timeout(PATIENCE, stream.read_to_end(&mut said)).await.unwrap();
    String::from_utf8_lossy(&said).into_owned()
}

/// Sends `begin`, then one byte after the other, until the host closes; gives what it said.
async fn drip(host: &Host, begin: &str, byte: &str) -> String {
    let (mut read, mut write) = connected(host).await.into_split();
    write.write_all(begin.as_bytes()).await.unwrap();
    let byte = byte.to_owned();
    let dripping = tokio::spawn(async move {
        let mut pace = interval(Duration::from_millis(20));
        while write.write_all(byte.as_bytes()).await.is_ok() {
            pace.tick().await;
        }
    });
    let said = rest(&mut read).await;
    dripping.abort();
    said
}

/// Whether the other side ended a stream or its connection: by a frame that says so (`RST_STREAM`, `GOAWAY`), or
/// by a reset.
fn was_cut(error: &reqwest::Error) -> bool {
    const SAID: [&str; 2] = ["stream error received: ", "connection error received: "];
    iter::successors(error.source(), |&cause| cause.source()).any(|cause| {
        let said = cause.to_string();
        let of_socket = cause.downcast_ref::<io::Error>();
        of_socket.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
            || SAID.iter().any(|start| said.starts_with(start))
    })
}

async fn is_well(host: &Host) {
    assert_eq!(answer(host.http.get(format!("{}/healthz", host.url))).await.0, 200);
}

#[tokio::test]
async fn slow_and_silent_clients_are_cut_and_others_served() {
    let host =
        host("headSeconds: 1, bodySeconds: 1, bodyBytesPerSecond: 100000, idleSeconds: 2, writeSeconds: 1").await;
    let head = "POST /api/mcp/test HTTP/1.1\r\nHost: localhost\r\nX-Context: techstart\r\n";
    assert_eq!(drip(&host, head, "x").await, "", "a head by drops is cut without a word");
    let h2 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    drip(&host, h2, "\0").await;
    assert_eq!(rest(&mut connected(&host).await).await, "", "a client that says nothing is cut");
    is_well(&host).await;
    for route in ["/api/mcp/test", "/mcp/techstart/sales"] {
        let head = format!(
            "POST {route} HTTP/1.1\r\nHost: localhost\r\nX-Context: techstart\r\nContent-Length: 100000\r\n\r\n{{"
        );
        let said = drip(&host, &head, " ").await;
        assert!(said.starts_with("HTTP/1.1 408 ") && said.contains("request_timeout"), "{route}: {said}");
        is_well(&host).await;
    }
    // Between requests it may be silent for a while, and then is not asked to go on.
    let mut idle = connected(&host).await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert!(rest(&mut idle).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_client_that_takes_no_answers_is_cut() {
    let host = host("headSeconds: 1, idleSeconds: 1, writeSeconds: 1").await;
    let (_read, mut write) = connected(&host).await.into_split();
    let greedy = async {
        let request = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n";
        while write.write_all(request).await.is_ok() {}
    };
    timeout(PATIENCE, greedy).await.unwrap();
    is_well(&host).await;
}

#[tokio::test]
async fn what_takes_long_on_the_host_s_side_is_not_cut() {
    let host = host("headSeconds: 1, bodySeconds: 1, idleSeconds: 1, writeSeconds: 1, pingSeconds: 1").await;
    host.shopify.faults().always(Fault::Delay(Duration::from_secs(4)));
    let newer = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let asked = json!({"agent_type": "sales", "tool_name": "check_inventory", "parameters": {"product_id": "1"}});
    let ask = |client: &reqwest::Client| {
        let request = client.post(format!("{}/api/mcp/test", host.url)).header("X-Context", "techstart");
        request.body(asked.to_string()).send()
    };
    let (older, newer) = tokio::join!(ask(&host.http), ask(&newer));
    let (older, newer) = (older.unwrap(), newer.unwrap());
    assert_eq!((older.version(), newer.version()), (reqwest::Version::HTTP_11, reqwest::Version::HTTP_2));
    for response in [older, newer] {
        assert_eq!(response.headers()["content-type"], "application/json");
        assert!(response.text().await.unwrap().contains("\"success\""), "an answer, late");
    }
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused() {
    let host = host("headBytes: 16384, headers: 20").await;
    // By hand: an answer that comes before the request is out may be lost to a client that goes on sending.
    let get = async |headers: String| {
        let mut stream = connected(&host).await;
        let request = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
        let _closed = stream.write_all(request.as_bytes()).await;
        rest(&mut stream).await.chars().take(12).collect::<String>()
    };
    assert_eq!(get(format!("x-large: {}\r\n", "x".repeat(12_000))).await, "HTTP/1.1 200");
    assert_eq!(get(format!("x-large: {}\r\n", "x".repeat(20_000))).await, "HTTP/1.1 431");
    assert_eq!(get((0..10).map(|at| format!("x-{at}: x\r\n")).collect()).await, "HTTP/1.1 200");
    assert_eq!(get((0..30).map(|at| format!("x-{at}: x\r\n")).collect()).await, "HTTP/1.1 431");
    let newer = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let large = newer.get(format!("{}/healthz", host.url)).header("x-large", "x".repeat(20_000)).send().await;
    match large {
        Ok(response) => assert_eq!(response.status(), 431),
        Err(error) => assert!(was_cut(&error), "{error:?}"),
    }
    is_well(&host).await;
}

#[tokio::test]
async fn nobody_takes_all_connections() {
    let host = host("perAddress: 3, total: 6, proxies: []").await;
    let from = async |last: u8| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, last], 0).into()).unwrap();
        socket.connect(address(&host)).await.unwrap()
    };
    let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let status = async |stream: &mut TcpStream| {
        let _closed = stream.write_all(request).await;
        let mut start = [0; 12];
        match timeout(PATIENCE, stream.read_exact(&mut start)).await.unwrap() {
            Ok(_) => String::from_utf8_lossy(&start).into_owned(),
            Err(_) => String::new(),
        }
    };
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = from(7).await;
        assert_eq!(status(&mut stream).await, "HTTP/1.1 200");
        held.push(stream);
    }
    let said = rest(&mut from(7).await).await;
    assert!(said.starts_with("HTTP/1.1 503 ") && said.contains("too_many_connections"), "{said}");
    // Another address has its own.
    for _ in 0..3 {
        let mut stream = from(8).await;
        assert_eq!(status(&mut stream).await, "HTTP/1.1 200");
        held.push(stream);
    }
    assert!(rest(&mut from(9).await).await.contains("too_many_connections"), "there are six");
    // Who goes makes room.
    held.clear();
    for _ in 0..20_000 {
        if status(&mut from(7).await).await == "HTTP/1.1 200" {
            return;
        }
    }
    panic!("no room");
}
