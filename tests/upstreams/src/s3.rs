//! Servers of others that speak as S3 does, each with one bucket: moto knows conditions and looks at no
//! signature; rclone verifies signatures and passes over conditions.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::program::{Program, tool};

/// The bucket's name.
pub const BUCKET: &str = "files";
/// The halves of the key that both take.
pub const ACCESS_KEY: &str = "AKIACANARYACCESSKEY1";
/// The secret half: a canary.
pub const SECRET_KEY: &str = "canary-s3-secret-key-0123456789abcdefghij";

/// A server with a bucket.
#[derive(Debug)]
pub struct S3 {
    program: Program,
    folder: Option<PathBuf>,
}

impl S3 {
    /// moto, if it is installed.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn moto() -> Result<Option<Self>> {
        let Some(file) = tool("venv/bin/moto_server")? else { return Ok(None) };
        let program = Program::start(&file, |port, command| {
            command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        })?;
        let mut stream = TcpStream::connect(("127.0.0.1", program.port))?;
        write!(stream, "PUT /{BUCKET} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        ensure!(answer.starts_with("HTTP/1.1 200"), "moto made no bucket: {answer}");
        Ok(Some(Self { program, folder: None }))
    }

    /// rclone, if it is installed, over a folder of its own.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn rclone() -> Result<Option<Self>> {
        let Some(file) = tool("venv/bin/rclone")? else { return Ok(None) };
        let name = format!("remit-rclone-{}-{:?}", std::process::id(), std::time::Instant::now());
        let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(folder.join(BUCKET)).context("no folder for rclone")?;
        let program = Program::start(&file, |port, command| {
            command
                .args(["serve", "s3", "--addr", &format!("127.0.0.1:{port}")])
                .args(["--auth-key", &format!("{ACCESS_KEY},{SECRET_KEY}"), "--config", ""])
                .arg(&folder);
        })?;
        Ok(Some(Self { program, folder: Some(folder) }))
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        self.program.url()
    }

    /// Where its bucket's objects lie as files; none for moto, which keeps them in memory.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            let _gone = std::fs::remove_dir_all(folder);
        }
    }
}
