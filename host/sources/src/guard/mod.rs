//! The guard of all outgoing HTTP: no client made here reaches a private network, this machine or a
//! cloud's metadata service, unless the operator's [`NetworkRules`] say so.
//!
//! The address that is checked is the address that is connected to, since the check is the
//! resolver. Deliberately absent: databases and mail, whose hosts are the operator's own words.

mod address;
mod delivery;
mod rules;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls_platform_verifier::BuilderVerifierExt;
use url::Url;

pub use delivery::{Delivery, Undelivered};
pub use rules::{InvalidRule, NetworkRules};

/// Why the guard let no connection be made. Says nothing of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The address is private, local or special.
    #[error("the address is not on the public internet and the operator's network rules do not allow it")]
    Address,
    /// Neither `http` nor `https`.
    #[error("only http and https are allowed")]
    Scheme,
    /// The URL names no host.
    #[error("the URL names no host")]
    NoHost,
}

impl Refused {
    /// The refusal that an error of a guarded client goes back to, if one does.
    pub fn of<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        std::iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref())
    }
}

/// Why a guarded client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The machine's certificates or the TLS library.
    #[error("TLS could not be set up")]
    Tls(#[source] rustls::Error),
    /// The HTTP client.
    #[error("the HTTP client could not be set up")]
    Client(#[source] reqwest::Error),
}

/// How long a client waits.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// To be connected, TLS included.
    pub connect: Duration,
    /// For the next bytes of an answer; a slow stream of them may go on.
    pub read: Duration,
}

/// How names become addresses, so that tests can say which.
pub trait Resolver: Send + Sync + 'static {
    /// The addresses of a name.
    fn resolve(&self, name: String) -> Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>>;
}

/// Makes guarded clients. The TLS configuration with the machine's root certificates is made once
/// and shared by them.
#[derive(Clone)]
pub struct Guard {
    rules: Arc<NetworkRules>,
    resolver: Arc<dyn Resolver>,
    tls: rustls::ClientConfig,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("rules", &self.rules).finish_non_exhaustive()
    }
}

/// A guarded client with the machine's own resolver. Errors: [`SetupError`].
pub fn client(rules: &NetworkRules, timeouts: Timeouts) -> Result<reqwest::Client, SetupError> {
    Guard::new(rules.clone())?.client(timeouts)
}

impl Guard {
    /// A guard with the machine's own resolver and root certificates. Errors: [`SetupError::Tls`].
    pub fn new(rules: NetworkRules) -> Result<Self, SetupError> {
        Self::with_resolver(rules, Arc::new(SystemResolver))
    }

    /// A guard whose names are resolved by another resolver. Errors: [`SetupError::Tls`].
    pub fn with_resolver(rules: NetworkRules, resolver: Arc<dyn Resolver>) -> Result<Self, SetupError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(SetupError::Tls)?
            .with_platform_verifier()
            .map_err(SetupError::Tls)?
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { rules: Arc::new(rules), resolver, tls })
    }

    /// A client that follows no redirect, uses no proxy of the environment and connects to no
    /// address that the rules do not admit. Errors: [`SetupError::Client`].
    pub fn client(&self, timeouts: Timeouts) -> Result<reqwest::Client, SetupError> {
        let rules = self.rules.clone();
        // An address that stands in the URL itself never reaches the resolver. A proxy is asked for
        // with every URL, so a refused one is sent to a proxy whose name the resolver refuses.
        let refused = reqwest::Proxy::custom(move |url| rules.check(url).is_err().then(|| REFUSED_PROXY.clone()));
        reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .no_proxy()
            .proxy(refused)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .tcp_nodelay(true)
            .connect_timeout(timeouts.connect)
            .read_timeout(timeouts.read)
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(MAX_IDLE_PER_HOST)
            .user_agent(USER_AGENT)
            .dns_resolver(self.clone())
            .build()
            .map_err(SetupError::Client)
    }

    /// Checks a URL before it is used, so that a refusal is told apart from a failed connection.
    /// A host's name is checked only when it is resolved. Errors: [`Refused`].
    pub fn check(&self, url: &Url) -> Result<(), Refused> {
        self.rules.check(url)
    }

    async fn addresses(self, name: String) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
        if name == REFUSED_HOST {
            return Err(Refused::Address.into());
        }
        let found = self.resolver.resolve(name.clone()).await?;
        let known = !found.is_empty();
        let admitted: Vec<_> = found
            .into_iter()
            .filter(|address| self.rules.admit(Some(&name), *address))
            .map(|address| SocketAddr::new(address, 0))
            .collect();
        if admitted.is_empty() && known { Err(Refused::Address.into()) } else { Ok(admitted) }
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let found = self.clone().addresses(name.as_str().to_owned());
        Box::pin(async move { Ok(Box::new(found.await?.into_iter()) as Addrs) })
    }
}

/// A name that RFC 2606 promises never to exist.
const REFUSED_HOST: &str = "refused-by-the-guard.invalid";
static REFUSED_PROXY: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| format!("http://{REFUSED_HOST}:9"));
const USER_AGENT: &str = concat!("remit/", env!("CARGO_PKG_VERSION"));
/// Shorter than the 60 s after which common servers and load balancers close an idle connection, so
/// that a request seldom meets one that is just closing.
const POOL_IDLE: Duration = Duration::from_secs(50);
const MAX_IDLE_PER_HOST: usize = 10;

struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve(&self, name: String) -> Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect()) })
    }
}
