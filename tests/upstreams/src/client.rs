//! A client of one request a connection, for the tests of the stand-ins.
//!
//! It shares no code with the servers, and reads answers byte by byte to the end of the connection.

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Running;

/// An answer taken apart.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    body: String,
}

impl Answer {
    /// A header by its lower-case name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(':'));
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    pub(crate) fn text(&self) -> &str {
        &self.body
    }

    pub(crate) fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_str(&self.body).with_context(|| format!("not JSON: {}", self.body))
    }
}

/// Sends one request with the given headers; fails when the connection ends without an answer.
pub(crate) async fn send(
    upstream: &Running,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: Option<serde_json::Value>,
) -> Result<Answer> {
    let mut stream = TcpStream::connect(upstream.addr()).await?;
    // HTTP/1.0 rules out a chunked answer.
    let mut request = format!("{method} {target} HTTP/1.0\r\nHost: {}\r\n", upstream.addr());
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    request += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the connection ended without an answer")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok(Answer { status, head: head.to_owned(), body: body.to_owned() })
}
