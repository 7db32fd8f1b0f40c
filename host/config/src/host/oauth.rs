//! `oauth` of `host.yaml`: whose tokens let MCP clients in, and for which tenants.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use remit_domain::{TenantId, access::Role, usage};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::{Checker, http_url};
use crate::{located::join, quotas::Quotas};

/// Authorization servers whose tokens let MCP clients in.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Authored {
    /// The authorization servers. Without any, only this host's own keys let anybody in.
    pub issuers: Vec<AuthoredIssuer>,
    /// How far the clocks of an issuer and of this host may differ, in seconds.
    #[schemars(range(max = 300))]
    pub leeway_seconds: u32,
    /// How long an issuer's keys are taken as they were fetched, in seconds. A key that the issuer has
    /// withdrawn lets in for at most as long, while the issuer can be reached.
    #[schemars(range(min = 1, max = 86_400))]
    pub keys_seconds: u32,
    /// How long to wait before an issuer is asked for its keys again, whatever tokens come in, in seconds.
    #[schemars(range(min = 1, max = 3600))]
    pub retry_seconds: u32,
    /// How long the keys that were fetched last are good while the issuer can't be reached, in seconds.
    #[schemars(range(min = 1, max = 604_800))]
    pub keep_seconds: u32,
}

impl Default for Authored {
    fn default() -> Self {
        Self { issuers: Vec::new(), leeway_seconds: 30, keys_seconds: 600, retry_seconds: 10, keep_seconds: 3600 }
    }
}

/// An authorization server, and what its tokens let do.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AuthoredIssuer {
    /// Its name for itself, letter by letter what `iss` says in its tokens: an https URL.
    pub issuer: String,
    /// Where its keys are (a JWK Set). Without this key its own metadata says it, which is looked for at
    /// `/.well-known/oauth-authorization-server` and `/.well-known/openid-configuration`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// The tenants that it may speak for, and no other.
    #[schemars(length(min = 1))]
    pub tenants: Vec<String>,
    /// What each scope lets do; a token counts with the highest of its scopes. The MCP door takes `agent`.
    pub scopes: BTreeMap<String, Scope>,
    /// The algorithms that it signs with.
    #[schemars(length(min = 1))]
    #[serde(default = "Algorithm::all")]
    pub algorithms: Vec<Algorithm>,
    /// How much each of its subjects may use at a tenant, beside what the tenant may. Counted in memory alone.
    #[serde(default, skip_serializing_if = "Quotas::is_empty")]
    pub quotas: Quotas,
}

/// What a scope lets do. Tokens make no administrators.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    Viewer,
    Agent,
}

/// A way to sign with a key of which the public half verifies. There is no other kind: a secret that both sides
/// share would let this host make tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
pub enum Algorithm {
    /// RSA, PKCS #1 1.5, SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSA, PSS, SHA-256.
    #[serde(rename = "PS256")]
    Ps256,
    /// The curve P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// The curve Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl Algorithm {
    fn all() -> Vec<Self> {
        vec![Self::Rs256, Self::Ps256, Self::Es256, Self::EdDsa]
    }
}

/// Authorization servers whose tokens let MCP clients in.
#[derive(Debug)]
pub struct OAuth {
    /// What every audience begins with: scheme, host and port, without a slash at the end.
    pub origin: String,
    /// The authorization servers; at least one.
    pub issuers: Vec<Issuer>,
    /// How far clocks may differ.
    pub leeway: Duration,
    /// How long keys are taken as they were fetched.
    pub keys: Duration,
    /// How long to wait before an issuer is asked again.
    pub retry: Duration,
    /// How long the last keys are good while the issuer can't be reached.
    pub keep: Duration,
}

/// An authorization server, and what its tokens let do.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// What `iss` says in its tokens, as it was written.
    pub name: String,
    /// The same as an address.
    pub url: Url,
    /// Where its keys are, if its own metadata is not to say it.
    pub jwks_url: Option<Url>,
    /// The tenants that it may speak for.
    pub tenants: BTreeSet<TenantId>,
    /// What each scope lets do.
    pub scopes: BTreeMap<String, Role>,
    /// The algorithms that it signs with.
    pub algorithms: BTreeSet<Algorithm>,
    /// How much each of its subjects may use.
    pub quotas: usage::Quotas,
}

impl Checker<'_> {
    pub(super) fn oauth(&mut self, authored: Authored, public: Option<&Url>) -> Option<OAuth> {
        if authored.issuers.is_empty() {
            return None;
        }
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        if authored.keep_seconds < authored.keys_seconds {
            self.complain("/oauth/keepSeconds", "less than `keysSeconds`", None);
        }
        let mut issuers: Vec<Issuer> = Vec::new();
        for (at, issuer) in authored.issuers.into_iter().enumerate() {
            let pointer = join("/oauth/issuers", &at.to_string());
            if issuers.iter().any(|earlier| earlier.name == issuer.issuer) {
                self.complain(&join(&pointer, "issuer"), "this issuer stands here twice", Some("join the two"));
            }
            issuers.extend(self.issuer(&pointer, issuer));
        }
        let origin = self.origin(public)?;
        Some(OAuth {
            origin,
            issuers,
            leeway: seconds(authored.leeway_seconds),
            keys: seconds(authored.keys_seconds),
            retry: seconds(authored.retry_seconds),
            keep: seconds(authored.keep_seconds),
        })
    }

    /// What audiences begin with.
    fn origin(&mut self, public: Option<&Url>) -> Option<String> {
        let Some(public) = public else {
            let hint = Some("a token's audience is `<publicUrl>/mcp/<tenant>/<agent>`");
            self.complain("/oauth", "needs `publicUrl`", hint);
            return None;
        };
        if public.path() != "/" {
            self.complain("/publicUrl", "a URL with a path, which `oauth` has no use for", None);
        }
        if !confidential(public) {
            self.complain("/publicUrl", "`oauth` needs https, or http on loopback", None);
        }
        Some(public.origin().ascii_serialization())
    }

    fn issuer(&mut self, pointer: &str, authored: AuthoredIssuer) -> Option<Issuer> {
        let url = self.address(&join(pointer, "issuer"), &authored.issuer);
        let jwks_url = authored.jwks_url.as_deref().map(|text| self.address(&join(pointer, "jwksUrl"), text));
        let mut tenants = BTreeSet::new();
        for (at, name) in authored.tenants.iter().enumerate() {
            match TenantId::new(name) {
                Ok(tenant) => drop(tenants.insert(tenant)),
                Err(invalid) => {
                    let at = join(&join(pointer, "tenants"), &at.to_string());
                    self.complain(&at, invalid.to_string(), None);
                }
            }
        }
        let mut scopes = BTreeMap::new();
        for (scope, role) in authored.scopes {
            if !is_scope(&scope) {
                let at = join(&join(pointer, "scopes"), &scope);
                self.faults.push(self.located.at_key(&at, "not a scope: printable ASCII without spaces and quotes"));
            }
            let role = match role {
                Scope::Viewer => Role::Viewer,
                Scope::Agent => Role::Agent,
            };
            scopes.insert(scope, role);
        }
        if !scopes.values().any(|role| *role == Role::Agent) {
            let hint = Some("such as `{\"remit:agent\": agent}`");
            self.complain(&join(pointer, "scopes"), "no scope lets in at the MCP door", hint);
        }
        let algorithms = authored.algorithms.into_iter().collect();
        // Where its keys should have been said and were not, no others are asked for.
        let jwks_url = match jwks_url {
            Some(None) => return None,
            Some(Some(url)) => Some(url),
            None => None,
        };
        let quotas = authored.quotas.over(usage::Quotas::NONE);
        Some(Issuer { name: authored.issuer, url: url?, jwks_url, tenants, scopes, algorithms, quotas })
    }

    fn address(&mut self, pointer: &str, text: &str) -> Option<Url> {
        let url = self.url(pointer, text)?;
        if !confidential(&url) {
            self.complain(pointer, "not https, and not on loopback", None);
        }
        Some(url)
    }
}

/// Whether nobody on the way reads or changes what goes there.
fn confidential(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(Host::Ipv4(v4)) => v4.is_loopback(),
        Some(Host::Ipv6(v6)) => v6.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "https" || (loopback && http_url(url.as_str()).is_ok())
}

/// RFC 6749, 3.3.
fn is_scope(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
}
