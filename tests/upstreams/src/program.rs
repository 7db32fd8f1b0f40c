//! Servers of others that tests start as programs: found under `target/tools/`, reached on loopback, ended
//! with their value.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// How long one may take to answer: an interpreter on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program that serves.
#[derive(Debug)]
pub struct Program {
    child: Child,
    /// Where it listens, on loopback.
    pub port: u16,
}

/// A file under `target/tools/`, if it is there. Where it is not, that is said, and with `REMIT_TEST_ALL`
/// a failure.
///
/// # Errors
/// When it is missing and nothing may be skipped.
pub fn tool(path: &str) -> Result<Option<PathBuf>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools").join(path);
    if file.exists() {
        return Ok(Some(file));
    }
    if std::env::var_os("REMIT_TEST_ALL").is_some() {
        bail!("target/tools/{path} is not there, and REMIT_TEST_ALL forbids to skip");
    }
    Ok(None)
}

impl Program {
    /// Starts a program that is told its port, and waits until it takes connections there.
    ///
    /// # Errors
    /// When it can't be started, ends by itself, or does not listen in time.
    pub fn start(file: &Path, arguments: impl FnOnce(u16, &mut Command)) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new(file);
        arguments(port, &mut command);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().with_context(|| format!("{} can't be started", file.display()))?;
        let mut this = Self { child, port };
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Some(status) = this.child.try_wait()? {
                bail!("{} ended by itself ({status})", file.display());
            }
            if Instant::now() > until {
                bail!("{} does not listen", file.display());
            }
            std::thread::yield_now();
        }
        Ok(this)
    }

    /// `http://ADDR`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _waited = self.child.wait();
    }
}
