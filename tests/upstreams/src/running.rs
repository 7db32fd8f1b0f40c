//! What every stand-in shares: a loopback socket, a log of what came in, and faults on request.
//!
//! It lacks TLS and any notion of what the upstream answers: each stand-in brings its own router.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::fault::{Fault, Faults};

/// The most bytes of a request's body that a stand-in reads.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;
/// The most requests the log keeps: a demo may run for weeks.
const MAX_RECEIVED: usize = 10_000;

/// One request as it came in, credentials included.
#[derive(Debug, Clone)]
pub struct Received {
    /// The method.
    pub method: Method,
    /// The path, still percent-encoded.
    pub path: String,
    /// What follows `?`, still percent-encoded.
    pub query: Option<String>,
    /// All headers.
    pub headers: HeaderMap,
    /// The body, whole.
    pub body: Vec<u8>,
}

impl Received {
    /// A header's value, where it was sent once and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// When the body is not JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body).context("the request's body is not JSON")
    }
}

/// A stand-in that answers. Dropping it closes the listener and its idle connections.
#[derive(Debug)]
pub struct Running {
    addr: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<io::Result<()>>>,
}

impl Running {
    /// Serves `router` on `addr`; port 0 takes a free one. `refusal` shapes the answer of a status fault.
    ///
    /// # Errors
    /// When the address cannot be bound or is not loopback: stand-ins check nothing that keeps strangers out.
    pub(crate) async fn start(addr: SocketAddr, router: Router, refusal: fn(StatusCode) -> Response) -> Result<Self> {
        anyhow::ensure!(addr.ip().is_loopback(), "a stand-in listens on loopback only, not on {addr}");
        let socket = TcpListener::bind(addr).await.with_context(|| format!("cannot listen on {addr}"))?;
        let addr = socket.local_addr()?;
        let shared = Arc::new(Shared::new(refusal));
        let service = router
            .layer(from_fn_with_state(Arc::clone(&shared), observe))
            .into_make_service_with_connect_info::<Switch>();
        let (stop, stopped) = oneshot::channel();
        let serving = axum::serve(Door { socket }, service).with_graceful_shutdown(async {
            // An error means that the sender is gone, which is the other way to stop.
            let _gone = stopped.await;
        });
        let task = tokio::spawn(async move { serving.await });
        Ok(Self { addr, shared, stop: Some(stop), task: Some(task) })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://ADDR`, without a path and without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The requests so far, oldest first; the newest ten thousand at most.
    pub fn received(&self) -> Vec<Received> {
        lock(&self.shared.received).iter().cloned().collect()
    }

    /// How many requests it worked on at the same time, at most.
    pub fn most_at_once(&self) -> usize {
        self.shared.most_at_once.load(Ordering::SeqCst)
    }

    /// Forgets requests and their count, not faults.
    pub fn forget(&self) {
        lock(&self.shared.received).clear();
        self.shared.most_at_once.store(0, Ordering::SeqCst);
    }

    /// The faults to come.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Ends it: requests under way are answered first, new connections are refused.
    ///
    /// # Errors
    /// When the server task failed.
    pub async fn stop(mut self) -> Result<()> {
        drop(self.stop.take());
        match self.task.take() {
            Some(task) => Ok(task.await.context("the stand-in's task broke")??),
            None => Ok(()),
        }
    }
}

#[derive(Debug)]
struct Shared {
    received: Mutex<VecDeque<Received>>,
    faults: Faults,
    now: AtomicUsize,
    most_at_once: AtomicUsize,
    refusal: fn(StatusCode) -> Response,
}

impl Shared {
    fn new(refusal: fn(StatusCode) -> Response) -> Self {
        Self {
            received: Mutex::default(),
            faults: Faults::default(),
            now: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
            refusal,
        }
    }

    fn record(&self, request: Received) {
        let mut log = lock(&self.received);
        if log.len() == MAX_RECEIVED {
            log.pop_front();
        }
        log.push_back(request);
    }

    fn enter(self: &Arc<Self>) -> Flight {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(now, Ordering::SeqCst);
        Flight(Arc::clone(self))
    }
}

/// One request under way.
struct Flight(Arc<Shared>);

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn observe(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(switch): ConnectInfo<Switch>,
    request: Request,
    next: Next,
) -> Response {
    let flight = shared.enter();
    let (parts, body) = request.into_parts();
    let Ok(bytes) = to_bytes(body, MAX_BODY_BYTES).await else {
        return (shared.refusal)(StatusCode::PAYLOAD_TOO_LARGE);
    };
    let path = parts.uri.path().to_owned();
    shared.record(Received {
        method: parts.method.clone(),
        path: path.clone(),
        query: parts.uri.query().map(str::to_owned),
        headers: parts.headers.clone(),
        body: bytes.to_vec(),
    });
    let answer = match shared.faults.take(&path) {
        Some(Fault::Status { status, retry_after_s }) => {
            let mut response = (shared.refusal)(status);
            if let Some(seconds) = retry_after_s {
                response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            }
            response
        }
        Some(Fault::Answer { status, content_type, body }) => {
            (status, [(header::CONTENT_TYPE, content_type)], body).into_response()
        }
        Some(Fault::Close) => {
            switch.cut();
            StatusCode::NO_CONTENT.into_response()
        }
        Some(Fault::Delay(delay)) => {
            tokio::time::sleep(delay).await;
            next.run(Request::from_parts(parts, Body::from(bytes))).await
        }
        None => next.run(Request::from_parts(parts, Body::from(bytes))).await,
    };
    drop(flight);
    answer
}

/// Accepts connections that can be cut from within a handler.
struct Door {
    socket: TcpListener,
}

impl Listener for Door {
    type Io = Wire;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Wire, SocketAddr) {
        // The trait's own implementation for a TCP listener waits out exhausted file descriptors.
        let (stream, addr) = <TcpListener as Listener>::accept(&mut self.socket).await;
        // Without it small answers wait for Nagle; where it fails, answers are slower but right.
        let _slower = stream.set_nodelay(true);
        (Wire { stream, switch: Switch::default() }, addr)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// Cuts one connection: nothing more is written to it.
#[derive(Debug, Clone, Default)]
struct Switch(Arc<AtomicBool>);

impl Switch {
    fn cut(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn check(&self) -> io::Result<()> {
        if self.0.load(Ordering::SeqCst) { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

impl Connected<IncomingStream<'_, Door>> for Switch {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.io().switch.clone()
    }
}

struct Wire {
    stream: TcpStream,
    switch: Switch,
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        self.switch.check()?;
        Pin::new(&mut self.stream).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    // Vectored writing stays off by the trait's default, so that every write passes the check above.
}
