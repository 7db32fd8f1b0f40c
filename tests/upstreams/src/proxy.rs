//! A TCP proxy that troubles what passes: latency, resets, half-closed connections, silence, and answers
//! that drip.
//!
//! It stands before any server of bytes. Deliberately absent: what the bytes mean.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, tcp::ReadHalf, tcp::WriteHalf};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What goes wrong with connections, those that there are among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    None,
    /// Every piece of an answer comes so much later.
    Latency(Duration),
    /// Connections are reset, new ones as soon as they are made.
    Reset,
    /// The server seems to have ended its side; what is sent to it still arrives.
    HalfClose,
    /// Nothing arrives on either side, and nobody says so.
    BlackHole,
    /// An answer comes byte by byte, so far apart.
    Drip(Duration),
}

/// A proxy that runs. Dropping it ends it with its connections.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    trouble: watch::Sender<Trouble>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Stands before a server, on a free port of loopback.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn before(server: SocketAddr) -> Result<Self> {
        let socket = TcpListener::bind("127.0.0.1:0").await.context("no port for a proxy")?;
        let addr = socket.local_addr()?;
        let (trouble, troubled) = watch::channel(Trouble::None);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = socket.accept().await {
                connections.spawn(serve(client, server, troubled.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { addr, trouble, task })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Troubles connections from now on.
    pub fn set(&self, trouble: Trouble) {
        self.trouble.send_replace(trouble);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Asking,
    Answering,
}

async fn serve(mut client: TcpStream, server: SocketAddr, troubled: watch::Receiver<Trouble>) {
    let Ok(mut upstream) = TcpStream::connect(server).await else { return };
    // Without it small pieces wait for Nagle, which is a trouble that nobody asked for.
    let _slower = client.set_nodelay(true).and(upstream.set_nodelay(true));
    let ended = {
        let ((from_client, to_client), (from_server, to_server)) = (client.split(), upstream.split());
        let asking = pass(from_client, to_server, Way::Asking, troubled.clone());
        let answering = pass(from_server, to_client, Way::Answering, troubled);
        tokio::try_join!(asking, answering)
    };
    if ended.is_err() {
        // Closed with what was not sent thrown away: the other side gets a reset.
        let _gone = client.set_zero_linger();
    }
}

/// Passes bytes on until their end. Errors: the connection is to be reset.
async fn pass(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    way: Way,
    mut troubled: watch::Receiver<Trouble>,
) -> io::Result<()> {
    let reset = || io::Error::from(io::ErrorKind::ConnectionReset);
    let (mut piece, mut lost) = (vec![0; 16 * 1024], false);
    loop {
        let trouble = *troubled.borrow_and_update();
        match trouble {
            Trouble::Reset => return Err(reset()),
            Trouble::HalfClose if way == Way::Answering => return to.shutdown().await,
            Trouble::BlackHole => {}
            // What was swallowed is missing for good.
            _ if lost => return Err(reset()),
            _ => {}
        }
        let read = tokio::select! {
            changed = troubled.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return Err(reset()),
            },
            read = from.read(&mut piece) => read?,
        };
        let Some(bytes) = piece.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return if trouble == Trouble::BlackHole { Ok(()) } else { to.shutdown().await };
        };
        match trouble {
            Trouble::BlackHole => lost = true,
            Trouble::Latency(time) if way == Way::Answering => {
                tokio::time::sleep(time).await;
                to.write_all(bytes).await?;
            }
            Trouble::Drip(time) if way == Way::Answering => {
                for byte in bytes {
                    if *troubled.borrow() == trouble {
                        tokio::time::sleep(time).await;
                    }
                    to.write_all(std::slice::from_ref(byte)).await?;
                }
            }
            _ => to.write_all(bytes).await?,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// A server that answers each piece with itself.
    async fn echo() -> SocketAddr {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = socket.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = socket.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        addr
    }

    async fn ask(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
        stream.write_all(b"hello").await?;
        let mut answer = vec![0; 5];
        stream.read_exact(&mut answer).await.map(|_| answer)
    }

    #[tokio::test]
    async fn each_trouble_is_what_it_says() {
        let proxy = Proxy::before(echo().await).await.unwrap();
        let connect = || TcpStream::connect(proxy.addr());
        let mut stream = connect().await.unwrap();
        assert_eq!(ask(&mut stream).await.unwrap(), b"hello");
        for trouble in [Trouble::Latency(Duration::from_millis(1)), Trouble::Drip(Duration::from_millis(1))] {
            proxy.set(trouble);
            assert_eq!(ask(&mut stream).await.unwrap(), b"hello", "{trouble:?}");
        }
        proxy.set(Trouble::HalfClose);
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "the end of an answer");
        assert!(stream.write_all(b"still taken").await.is_ok());

        proxy.set(Trouble::None);
        let mut stream = connect().await.unwrap();
        assert_eq!(ask(&mut stream).await.unwrap(), b"hello");
        proxy.set(Trouble::BlackHole);
        let silence = tokio::time::timeout(Duration::from_millis(50), ask(&mut stream)).await;
        assert!(silence.is_err(), "{silence:?}");
        // What lost bytes can't go on.
        proxy.set(Trouble::None);
        assert!(stream.read(&mut [0]).await.is_err());

        let mut stream = connect().await.unwrap();
        assert_eq!(ask(&mut stream).await.unwrap(), b"hello");
        proxy.set(Trouble::Reset);
        let broken = stream.read(&mut [0]).await.unwrap_err();
        assert_eq!(broken.kind(), io::ErrorKind::ConnectionReset);
        let again = async { ask(&mut connect().await?).await };
        assert!(again.await.is_err());
    }
}
