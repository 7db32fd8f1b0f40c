//! A Google service account's key file, and the assertions that it signs:
//! <https://developers.google.com/identity/protocols/oauth2/service-account#httprest>.
//!
//! Deliberately absent: other kinds of key files, such as those of a person or a workload pool.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use remit_domain::data::Error;
use ring::{
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use time::OffsetDateTime;
use url::Url;

/// The longest that Google lets an assertion be good for.
const GOOD_FOR_S: i64 = 3600;
/// Where tokens come from if the file does not say it.
const GOOGLE: &str = "https://oauth2.googleapis.com/token";

/// A service account that signs.
pub(super) struct Account {
    email: String,
    key_id: Option<String>,
    key: RsaKeyPair,
    token_uri: Url,
    scope: String,
}

#[derive(Deserialize)]
struct KeyFile {
    #[serde(rename = "type")]
    kind: String,
    client_email: String,
    private_key_id: Option<String>,
    private_key: String,
    token_uri: Option<String>,
}

impl Account {
    /// Reads a key file. Errors: `invalid`, without a word of what stands in it.
    pub(super) fn read(key_file: &SecretString, scope: &str) -> Result<Self, Error> {
        let invalid = |why: &str| Error::Invalid(format!("the `_KEY_FILE` credential {why}"));
        // What the parser complains of may hold a part of the key.
        let file: KeyFile = serde_json::from_str(key_file.expose_secret())
            .map_err(|error| invalid(&format!("is not a service account's key (line {})", error.line())))?;
        if file.kind != "service_account" {
            return Err(invalid("is not the key of a service account: its `type` says something else"));
        }
        let key = PrivatePkcs8KeyDer::from_pem_slice(file.private_key.as_bytes())
            .map_err(|_| invalid("has no `private_key` in PEM"))?;
        let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der())
            .map_err(|_| invalid("has a `private_key` that is not an RSA key of 2048 bits or more"))?;
        let token_uri = file.token_uri.as_deref().unwrap_or(GOOGLE);
        let token_uri = token_uri.parse().map_err(|_| invalid("has a `token_uri` that is not a URL"))?;
        if file.client_email.is_empty() {
            return Err(invalid("has no `client_email`"));
        }
        Ok(Self { email: file.client_email, key_id: file.private_key_id, key, token_uri, scope: scope.to_owned() })
    }

    /// Where it gets its tokens.
    pub(super) fn token_uri(&self) -> &Url {
        &self.token_uri
    }

    /// A signed assertion, good for an hour. `None` if the machine has no randomness to give.
    pub(super) fn assertion(&self, now: OffsetDateTime) -> Option<SecretString> {
        let mut header = json!({"alg": "RS256", "typ": "JWT"});
        if let (Some(key_id), Some(header)) = (&self.key_id, header.as_object_mut()) {
            header.insert("kid".to_owned(), key_id.as_str().into());
        }
        let now = now.unix_timestamp();
        let claims = json!({
            "iss": self.email, "scope": self.scope, "aud": self.token_uri.as_str(), "iat": now, "exp": now + GOOD_FOR_S,
        });
        let part = |value: &serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(&claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).ok()?;
        Some(format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)).into())
    }
}
