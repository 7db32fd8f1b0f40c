//! An issuer's keys, from where it publishes them.
//!
//! Deliberately absent: which addresses may be reached, which the guarded client decides.

use jsonwebtoken::DecodingKey;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use url::Url;

use super::Signing;

/// What an answer may have: metadata and key sets have a few thousand bytes.
const MAX_BYTES: usize = 256 << 10;
/// The most keys that are looked at.
const MAX_KEYS: usize = 100;

/// Where an issuer's keys are.
#[derive(Debug)]
pub(crate) struct Place {
    /// Its name, as `iss` says it.
    pub(crate) issuer: String,
    /// The same as an address.
    pub(crate) url: Url,
    /// Where the keys are, if its metadata is not to say it.
    pub(crate) jwks: Option<Url>,
}

/// Why keys were not fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the address was not reached")]
    Unreached(#[source] reqwest::Error),
    #[error("the answer has the status {0}")]
    Status(u16),
    #[error("the answer is larger than {MAX_BYTES} bytes")]
    TooLarge,
    #[error("the answer is not the JSON that it should be")]
    Malformed(#[source] serde_json::Error),
    #[error("the issuer has no metadata at the well-known addresses")]
    NoMetadata,
    #[error("the metadata is that of another issuer")]
    AnotherIssuer,
    #[error("the metadata names no https address for the keys")]
    BadAddress,
    #[error("there is no key that can be used")]
    NoKeys,
}

/// A key that verifies.
#[derive(Clone)]
pub(crate) struct Key {
    id: String,
    kind: Kind,
    /// The only algorithm that it is for, if its issuer says so.
    algorithm: Option<Signing>,
    pub(crate) key: DecodingKey,
}

impl Key {
    /// Whether a token that names this key and this algorithm can be its work.
    pub(crate) fn is(&self, id: &str, signing: Signing) -> bool {
        let kind = match signing {
            Signing::Rs256 | Signing::Ps256 => Kind::Rsa,
            Signing::Es256 => Kind::P256,
            Signing::EdDsa => Kind::Ed25519,
        };
        self.id == id && self.kind == kind && self.algorithm.is_none_or(|only| only == signing)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    Ed25519,
}

impl Place {
    /// The keys that are there now. Errors: [`Error`].
    pub(crate) async fn keys(&self, http: &reqwest::Client) -> Result<Vec<Key>, Error> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let url = match &self.jwks {
            Some(url) => url.clone(),
            None => self.discover(http).await?,
        };
        let Set { keys } = get(http, url).await?;
        // One by one: a kind of key that this host does not know spoils none of the others.
        let keys: Vec<Key> = keys.into_iter().take(MAX_KEYS).filter_map(usable).collect();
        if keys.is_empty() { Err(Error::NoKeys) } else { Ok(keys) }
    }

    async fn discover(&self, http: &reqwest::Client) -> Result<Url, Error> {
        #[derive(Deserialize)]
        struct Metadata {
            issuer: String,
            jwks_uri: String,
        }
        for url in self.metadata() {
            let metadata: Metadata = match get(http, url).await {
                Err(Error::Status(_)) => continue,
                answer => answer?,
            };
            // RFC 8414, 3.3: or whoever may write below the issuer's address could speak for it.
            if metadata.issuer != self.issuer {
                return Err(Error::AnotherIssuer);
            }
            let keys: Url = metadata.jwks_uri.parse().map_err(|_| Error::BadAddress)?;
            let plain = keys.scheme() == "http" && self.url.scheme() == "http";
            return if plain || keys.scheme() == "https" { Ok(keys) } else { Err(Error::BadAddress) };
        }
        Err(Error::NoMetadata)
    }

    /// RFC 8414, 3.1, then OpenID Connect's two ways; they differ where the issuer has a path.
    fn metadata(&self) -> Vec<Url> {
        let path = self.url.path().trim_end_matches('/');
        let at = |path: String| {
            let mut url = self.url.clone();
            url.set_path(&path);
            url
        };
        let mut places = vec![
            at(format!("/.well-known/oauth-authorization-server{path}")),
            at(format!("/.well-known/openid-configuration{path}")),
        ];
        if !path.is_empty() {
            places.push(at(format!("{path}/.well-known/openid-configuration")));
        }
        places
    }
}

async fn get<T: DeserializeOwned>(http: &reqwest::Client, url: Url) -> Result<T, Error> {
    let mut answer = http.get(url).header("accept", "application/json").send().await.map_err(Error::Unreached)?;
    if answer.status() != 200 {
        return Err(Error::Status(answer.status().as_u16()));
    }
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(Error::Unreached)? {
        if body.len() + piece.len() > MAX_BYTES {
            return Err(Error::TooLarge);
        }
        body.extend_from_slice(&piece);
    }
    serde_json::from_slice(&body).map_err(Error::Malformed)
}

/// RFC 7517. `None` for a key that verifies nothing here: of another kind, for encryption, without a
/// name, or with a secret in it that should not be there.
fn usable(jwk: Value) -> Option<Key> {
    #[derive(Deserialize)]
    struct Jwk {
        kty: String,
        kid: String,
        #[serde(default, rename = "use")]
        usage: Option<String>,
        #[serde(default)]
        key_ops: Option<Vec<String>>,
        #[serde(default)]
        alg: Option<String>,
        #[serde(default)]
        crv: Option<String>,
        #[serde(default)]
        n: Option<String>,
        #[serde(default)]
        e: Option<String>,
        #[serde(default)]
        x: Option<String>,
        #[serde(default)]
        y: Option<String>,
    }
    let jwk: Jwk = serde_json::from_value(jwk).ok()?;
    let verifies = jwk.usage.as_deref().is_none_or(|usage| usage == "sig")
        && jwk.key_ops.is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
    if !verifies {
        return None;
    }
    let (kind, key) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => (Kind::Rsa, DecodingKey::from_rsa_components(&jwk.n?, &jwk.e?)),
        ("EC", Some("P-256")) => (Kind::P256, DecodingKey::from_ec_components(&jwk.x?, &jwk.y?)),
        ("OKP", Some("Ed25519")) => (Kind::Ed25519, DecodingKey::from_ed_components(&jwk.x?)),
        _ => return None,
    };
    let algorithm = match jwk.alg.as_deref() {
        None => None,
        Some("RS256") => Some(Signing::Rs256),
        Some("PS256") => Some(Signing::Ps256),
        Some("ES256") => Some(Signing::Es256),
        Some("EdDSA" | "Ed25519") => Some(Signing::EdDsa),
        Some(_) => return None,
    };
    Some(Key { id: jwk.kid, kind, algorithm, key: key.ok()? })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn metadata_is_looked_for_where_the_standards_say() {
        let places = |issuer: &str| {
            let place = Place { issuer: issuer.to_owned(), url: issuer.parse().unwrap(), jwks: None };
            place.metadata().into_iter().map(String::from).collect::<Vec<_>>()
        };
        let at_root = [
            "https://a.example/.well-known/oauth-authorization-server",
            "https://a.example/.well-known/openid-configuration",
        ];
        assert_eq!(
            (places("https://a.example"), places("https://a.example/")),
            (at_root.map(str::to_owned).to_vec(), at_root.map(str::to_owned).to_vec())
        );
        let below = [
            "https://a.example/.well-known/oauth-authorization-server/realms/x",
            "https://a.example/.well-known/openid-configuration/realms/x",
            "https://a.example/realms/x/.well-known/openid-configuration",
        ];
        assert_eq!(places("https://a.example/realms/x"), below);
    }

    #[test]
    fn only_keys_that_verify_are_taken() {
        let taken = |jwk: Value| usable(jwk).map(|key| (key.kind, key.algorithm));
        let with = |more: Value| {
            let mut jwk = serde_json::json!({"kty": "OKP", "kid": "a", "crv": "Ed25519", "x": "AAAA"});
            jwk.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            jwk
        };
        use serde_json::json;
        assert_eq!(taken(with(json!({}))), Some((Kind::Ed25519, None)));
        assert_eq!(taken(with(json!({"alg": "EdDSA", "use": "sig"}))), Some((Kind::Ed25519, Some(Signing::EdDsa))));
        for bad in [
            json!({"use": "enc"}),
            json!({"key_ops": ["sign"]}),
            json!({"alg": "HS256"}),
            json!({"crv": "X25519"}),
            json!({"kty": "oct", "k": "AAAA"}),
            json!({"kid": 1}),
            json!({"x": "not base64!"}),
            json!({"kty": "RSA"}),
        ] {
            assert!(taken(with(bad.clone())).is_none(), "{bad}");
        }
        assert!(usable(json!("no object")).is_none());
    }
}
