//! Clients' connections: how many there may be, how slow and how silent they may be, and their end.
//!
//! HTTP/1.1 and HTTP/2 without TLS, which is a proxy's. Deliberately absent: what a request means, and
//! how long answering takes: a chat of minutes and a stream that is silent are not cut.

mod body;
mod pulse;
mod seats;
mod wire;

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{Request, Response},
};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use remit_config::host::Connections;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

pub(crate) use self::{body::Slow, seats::network};
use self::{
    body::{Held, Paced},
    pulse::{Limits, Pulse, Verdict},
    seats::{Seat, Seats},
    wire::Wire,
};

/// How long a connection may take to end once it is told to, with no request under way.
const FAREWELL: Duration = Duration::from_secs(1);
/// How many of those who find no place are told so at once; others are just closed.
const REFUSALS: usize = 64;
/// How long accepting rests when the machine has no file descriptor left.
const REST: Duration = Duration::from_secs(1);

/// Serves until `stopping`, and then until every request under way has its answer.
pub(crate) async fn serve(listener: TcpListener, router: Router, bounds: &Connections, stopping: CancellationToken) {
    let server = Arc::new(Server::new(router, bounds, stopping.clone()));
    let seats = Arc::new(Seats::new(bounds.total, bounds.per_address, bounds.proxies.clone()));
    let refusals = Arc::new(Semaphore::new(REFUSALS));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopping.cancelled() => break,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if !is_the_clients(&error) {
                    tracing::error!(%error, "no connection can be taken");
                    sleep(REST).await;
                }
                continue;
            }
        };
        match seats.take(address.ip()) {
            Ok(seat) => drop(connections.spawn(server.clone().attend(stream, address, seat))),
            Err(reason) => {
                metrics::counter!("remit_connections_refused_total", "reason" => reason).increment(1);
                if let Ok(place) = refusals.clone().try_acquire_owned() {
                    tokio::spawn(async move {
                        refuse(stream).await;
                        drop(place);
                    });
                }
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Whether accepting failed because of the one connection that was to be accepted.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Tells a client that there is no place for it, if it listens.
async fn refuse(mut stream: TcpStream) {
    const BODY: &str = concat!(
        r#"{"success":false,"error":"too many connections","code":"too_many_connections","#,
        r#""hint":"close some, or come back later","retriable":true}"#
    );
    let said = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {}\r\nretry-after: 1\r\n\
         connection: close\r\n\r\n{BODY}",
        BODY.len()
    );
    let telling = async {
        stream.write_all(said.as_bytes()).await?;
        stream.shutdown().await?;
        // Closing on a request that was not read would take the answer back on its way.
        let mut ignored = [0; 1024];
        while stream.read(&mut ignored).await? > 0 {}
        Ok::<(), io::Error>(())
    };
    let _told = timeout(FAREWELL, telling).await;
}

struct Server {
    router: Router,
    builder: auto::Builder<TokioExecutor>,
    limits: Limits,
    body: Duration,
    body_bytes_per_second: u32,
    stopping: CancellationToken,
}

impl Server {
    fn new(router: Router, bounds: &Connections, stopping: CancellationToken) -> Self {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        let head_bytes = usize::try_from(bounds.head_bytes).unwrap_or(usize::MAX);
        // How long a head may take is seen to below, for both protocols and before either is known.
        builder.http1().header_read_timeout(None).max_headers(bounds.headers).max_buf_size(head_bytes);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(bounds.streams)
            .max_header_list_size(bounds.head_bytes)
            .keep_alive_interval(bounds.ping)
            .keep_alive_timeout(bounds.ping);
        let limits = Limits { head: bounds.head, idle: bounds.idle, write: bounds.write };
        let (body, body_bytes_per_second) = (bounds.body, bounds.body_bytes_per_second);
        Self { router, builder, limits, body, body_bytes_per_second, stopping }
    }

    /// Serves one connection to its end. Dropping this cuts it.
    async fn attend(self: Arc<Self>, stream: TcpStream, address: SocketAddr, seat: Seat) {
        // Without this, answers that stream wait for the client's acknowledgement of each piece.
        let _slower = stream.set_nodelay(true);
        let pulse = Pulse::new(Instant::now());
        let service = service_fn(|request: Request<Incoming>| self.answer(&pulse, address, request));
        let wire = TokioIo::new(Wire::new(stream, pulse.clone()));
        let mut connection = pin!(self.builder.serve_connection(wire, service));
        let cut = loop {
            let look = match pulse.judge(Instant::now(), &self.limits) {
                Verdict::Fine(until) => until,
                Verdict::Cut(reason) => break Some(reason),
            };
            tokio::select! {
                _ended = connection.as_mut() => return,
                () = sleep_until(look) => {}
                () = self.stopping.cancelled() => break None,
            }
        };
        if let Some(reason) = cut {
            tracing::debug!(reason, "a connection is cut");
            metrics::counter!("remit_connections_cut_total", "reason" => reason).increment(1);
        }
        connection.as_mut().graceful_shutdown();
        // A request under way may go on at a stop, as long as the whole host may; what else is there may
        // say goodbye.
        loop {
            let farewell = sleep(FAREWELL);
            tokio::select! {
                _ended = connection.as_mut() => break,
                () = farewell => {
                    let stuck = matches!(pulse.judge(Instant::now(), &self.limits), Verdict::Cut(_));
                    if stuck || !pulse.is_busy() {
                        break;
                    }
                }
            }
        }
        drop(seat);
    }

    fn answer(
        &self,
        pulse: &Pulse,
        address: SocketAddr,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Held>, Infallible>> + use<> {
        let flight = pulse.begin(request.version());
        let (body, rate) = (self.body, self.body_bytes_per_second);
        let mut request = request.map(|incoming| Body::new(Paced::new(incoming, body, rate)));
        request.extensions_mut().insert(ConnectInfo(address));
        let answering = self.router.clone().oneshot(request);
        async move { Ok(answering.await?.map(|body| Held::new(body, flight))) }
    }
}
