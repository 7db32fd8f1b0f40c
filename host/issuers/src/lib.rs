//! Tokens of tenants' own authorization servers: who may come in at the MCP door without a key of this
//! host.
//!
//! An issuer is bound to the tenants that it may speak for, and a token to one agent of one tenant by
//! its audience. Deliberately absent: issuing tokens, tokens that are not JWTs, and how a request
//! carries one.

mod fetch;
mod keys;
mod signature;
#[cfg(test)]
mod tests;
mod token;

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use jsonwebtoken::Algorithm;
pub use remit_config::host::{Algorithm as Signing, Issuer};
use remit_domain::{
    AgentName, TenantId,
    access::{Principal, Role, Subject},
    clock::Clock,
};

use self::{keys::Keys, token::Token};

/// How a token is signed, if it is in a way that is taken.
fn signing(algorithm: Algorithm) -> Option<Signing> {
    match algorithm {
        Algorithm::RS256 => Some(Signing::Rs256),
        Algorithm::PS256 => Some(Signing::Ps256),
        Algorithm::ES256 => Some(Signing::Es256),
        Algorithm::EdDSA => Some(Signing::EdDsa),
        _ => None,
    }
}

/// How long things are good.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// How far an issuer's clock may differ from this host's.
    pub leeway: Duration,
    /// How long keys are taken as they were fetched.
    pub keys: Duration,
    /// How long to wait before an issuer is asked again.
    pub retry: Duration,
    /// How long the last keys are good while their issuer can't be reached.
    pub keep: Duration,
}

/// Why a token lets nobody in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is none of a known issuer for this tenant and agent, or not now. The reason is for the
    /// operator: a client that is told more learns which issuers, tenants and agents there are.
    #[error("the token is refused: {0}")]
    Invalid(&'static str),
    /// It is good, and none of its scopes lets anything be done here.
    #[error("the token has no scope that lets in here")]
    Scope,
    /// Its issuer can't be reached, so nobody can say whether it is good.
    #[error("the issuer's keys can't be fetched")]
    Unavailable {
        /// When it is asked again.
        retry_after: Duration,
    },
}

/// What RFC 9728 has a protected resource say of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its identifier, which is the audience of its tokens.
    pub identifier: String,
    /// Whose tokens it takes.
    pub issuers: Vec<String>,
    /// The scopes that let in.
    pub scopes: BTreeSet<String>,
}

/// All authorization servers that this host trusts, with their keys.
pub struct Issuers {
    /// Scheme, host and port of every audience.
    origin: String,
    issuers: Vec<Known>,
    clock: Arc<dyn Clock>,
    leeway: Duration,
}

struct Known {
    issuer: Issuer,
    keys: Arc<Keys>,
}

impl Issuers {
    /// The most bytes that a token may have.
    pub const MAX_TOKEN_BYTES: usize = 8192;

    /// Fetches nothing yet. `origin` is what every audience begins with; `http` is a guarded client.
    pub fn new(
        origin: String,
        issuers: Vec<Issuer>,
        times: Times,
        http: &reqwest::Client,
        clock: Arc<dyn Clock>,
    ) -> Self {
        signature::install();
        let known = |issuer: Issuer| {
            let place =
                fetch::Place { issuer: issuer.name.clone(), url: issuer.url.clone(), jwks: issuer.jwks_url.clone() };
            Known { keys: Arc::new(Keys::new(place, http.clone(), times)), issuer }
        };
        Self { origin, issuers: issuers.into_iter().map(known).collect(), clock, leeway: times.leeway }
    }

    /// What an agent's MCP door says of itself; `None` for a tenant that no issuer speaks for.
    pub fn resource(&self, tenant: &TenantId, agent: &AgentName) -> Option<Resource> {
        let of: Vec<&Issuer> = self.of(tenant).map(|known| &known.issuer).collect();
        let useful = |issuer: &&Issuer| {
            let scopes = issuer.scopes.iter().filter(|(_, role)| **role >= Role::Agent);
            scopes.map(|(scope, _)| scope.clone()).collect::<Vec<_>>()
        };
        let scopes = of.iter().flat_map(useful).collect();
        let issuers: Vec<String> = of.iter().map(|issuer| issuer.name.clone()).collect();
        (!issuers.is_empty()).then(|| Resource { identifier: self.audience(tenant, agent), issuers, scopes })
    }

    /// Where the metadata of an agent's MCP door is: RFC 9728, 3.1.
    pub fn metadata_url(&self, tenant: &TenantId, agent: &AgentName) -> String {
        format!("{}/.well-known/oauth-protected-resource/mcp/{tenant}/{agent}", self.origin)
    }

    /// Lets a token in at the MCP door of one agent.
    ///
    /// Errors: [`Refusal`].
    pub async fn admit(&self, text: &str, tenant: &TenantId, agent: &AgentName) -> Result<Principal, Refusal> {
        let admitted = self.verify(text, tenant, agent).await;
        if let Err(refusal) = &admitted {
            tracing::debug!(%tenant, %agent, %refusal, "a token let nobody in");
        }
        let outcome = match &admitted {
            Ok(_) => "ok",
            Err(Refusal::Invalid(_)) => "invalid",
            Err(Refusal::Scope) => "scope",
            Err(Refusal::Unavailable { .. }) => "unavailable",
        };
        metrics::counter!("remit_oauth_tokens_total", "outcome" => outcome).increment(1);
        admitted
    }

    async fn verify(&self, text: &str, tenant: &TenantId, agent: &AgentName) -> Result<Principal, Refusal> {
        if text.len() > Self::MAX_TOKEN_BYTES {
            return Err(Refusal::Invalid("it is too large"));
        }
        let token = Token::read(text)?;
        // An issuer of another tenant is not looked at: its keys mean nothing here.
        let known = self.of(tenant).find(|known| known.issuer.name == token.issuer);
        let known = known.ok_or(Refusal::Invalid("no such issuer speaks for this tenant"))?;
        if !known.issuer.algorithms.contains(&token.signing) {
            return Err(Refusal::Invalid("its algorithm is not the issuer's"));
        }
        let key = Keys::find(&known.keys, &token.key, token.signing, Instant::now()).await?;
        let claims = token.verify(&key, &self.audience(tenant, agent))?;
        claims.check_time(self.clock.now(), self.leeway)?;
        let subject = Subject::new(&known.issuer.name, &claims.sub);
        let subject = subject.ok_or(Refusal::Invalid("its subject is no name"))?;
        let roles = claims.scopes().into_iter().filter_map(|scope| known.issuer.scopes.get(scope));
        let role = roles.copied().max().ok_or(Refusal::Scope)?;
        Ok(Principal::vouched(subject, tenant.clone(), agent.clone(), role, known.issuer.quotas))
    }

    fn audience(&self, tenant: &TenantId, agent: &AgentName) -> String {
        format!("{}/mcp/{tenant}/{agent}", self.origin)
    }

    fn of<'a>(&'a self, tenant: &'a TenantId) -> impl Iterator<Item = &'a Known> {
        self.issuers.iter().filter(move |known| known.issuer.tenants.contains(tenant))
    }
}
