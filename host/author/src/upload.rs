//! Sending a component to a host, with progress, and saying what the host made of it.
//!
//! Deliberately absent: repeating. An upload that broke off is sent again by who asked for it; the same
//! bytes twice are one version.

mod accepted;

use std::{
    fmt,
    io::{IsTerminal as _, Write as _},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use remit_domain::{library::Digest, signature::HEADER};
use rustls_platform_verifier::BuilderVerifierExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::{Host, Url};

use self::accepted::{Accepted, plain};
use crate::{Upload, component, sign};

/// The variable that holds a bearer key, where no file is given.
const KEY: &str = "REMIT_KEY";
/// What is sent at a time, and so how fine progress is.
const PIECE: usize = 16 * 1024;
/// A host compiles before it answers: a large component takes half a minute of its time.
const PATIENCE: Duration = Duration::from_secs(300);

/// Sends a component. Errors: it was not accepted, with the host's words.
pub(crate) fn upload(component: &Path, asked: &Upload) -> Result<()> {
    let bytes = std::fs::read(component).with_context(|| format!("cannot read {}", component.display()))?;
    component::names(&bytes).with_context(|| format!("{} is no component", component.display()))?;
    let signature = sign::signature(component, &Digest::of(&bytes))?;
    let key = key(asked)?;
    if key.is_some() && asked.url.scheme() == "http" && !is_here(&asked.url) && !asked.allow_plain_http {
        bail!(
            "{} is another machine, and http shows the key on the way: use https, or say --allow-plain-http",
            asked.url
        );
    }
    let mut url = asked.url.join("api/plugins").with_context(|| format!("{} is no host's address", asked.url))?;
    if asked.activate {
        url.query_pairs_mut().append_pair("activate", "true");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut request = client(&asked.url)?
            .post(url.clone())
            .header("content-type", "application/wasm")
            .header("content-length", bytes.len())
            .header("x-context", &asked.tenant);
        if let Some(signature) = &signature {
            request = request.header(HEADER, signature.to_string());
        }
        if let Some(key) = &key {
            request = request.bearer_auth(key.expose_secret());
        }
        let sent = request.body(body(bytes)).send().await;
        let answer = sent.with_context(|| format!("{} cannot be reached", asked.url))?;
        let status = answer.status().as_u16();
        let text = answer.text().await.context("the answer broke off")?;
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        if answer.get("success").and_then(Value::as_bool) != Some(true) {
            bail!("{}", Refusal { status, answer: &answer, text: &text });
        }
        print!("{}", Accepted::of(&answer));
        Ok(())
    })
}

/// The key, wherever it is given.
fn key(asked: &Upload) -> Result<Option<SecretString>> {
    let text = match &asked.key_file {
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?,
        None => match std::env::var(KEY) {
            Ok(key) => key,
            Err(_) => return Ok(None),
        },
    };
    let key = text.trim();
    if key.is_empty() || !key.chars().all(|letter| letter.is_ascii_graphic()) {
        bail!("the key is no key: it is empty, or holds blanks or other signs");
    }
    Ok(Some(key.to_owned().into()))
}

/// Whether an address is this machine's.
fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn client(url: &Url) -> Result<reqwest::Client> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth();
    // A redirect would take the key along, or lose the upload.
    let mut client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .read_timeout(PATIENCE);
    if is_here(url) {
        client = client.no_proxy();
    }
    client.build().context("there is no HTTP client")
}

/// The bytes in pieces, each shown as it leaves.
fn body(bytes: Vec<u8>) -> reqwest::Body {
    let mut progress = Progress::new(bytes.len());
    let terminal = std::io::stderr().is_terminal();
    let pieces: Vec<Vec<u8>> = bytes.chunks(PIECE).map(<[u8]>::to_vec).collect();
    reqwest::Body::wrap_stream(futures::stream::iter(pieces.into_iter().map(move |piece| {
        if let Some(line) = progress.sent(piece.len()) {
            let end = if terminal && !progress.done() { "\r" } else { "\n" };
            eprint!("{line}{end}");
            let _ = std::io::stderr().flush();
        }
        Ok::<_, std::io::Error>(piece)
    })))
}

/// How much has left.
struct Progress {
    all: usize,
    sent: usize,
    shown: usize,
}

impl Progress {
    fn new(all: usize) -> Self {
        Self { all, sent: 0, shown: 0 }
    }

    /// The line to show, at every tenth.
    fn sent(&mut self, bytes: usize) -> Option<String> {
        self.sent += bytes;
        let tenth = self.sent.saturating_mul(10).checked_div(self.all).unwrap_or(10);
        if tenth <= self.shown {
            return None;
        }
        self.shown = tenth;
        Some(format!("sent {:>3} % ({} of {} KiB)", tenth * 10, self.sent.div_ceil(1024), self.all.div_ceil(1024)))
    }

    fn done(&self) -> bool {
        self.sent >= self.all
    }
}

/// Why a host said no.
struct Refusal<'a> {
    status: u16,
    answer: &'a Value,
    text: &'a str,
}

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = |name| self.answer.get(name).and_then(Value::as_str);
        let Some(error) = field("error") else {
            let text: String = self.text.chars().take(300).collect();
            return write!(f, "the host answered with status {} and no reason it gives: {}", self.status, plain(&text));
        };
        let code = plain(field("code").unwrap_or("no code"));
        write!(f, "the host refused it: {} ({code}, {})", plain(error), self.status)?;
        field("hint").map_or(Ok(()), |hint| write!(f, "\nhint: {}", plain(hint)))
    }
}

#[cfg(test)]
mod tests;
