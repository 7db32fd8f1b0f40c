//! A token: what is read of it before its signature is known to be good, and what after.

use std::time::Duration;

use jsonwebtoken::{DecodingKey, Validation, dangerous::insecure_decode_claims, decode, decode_header};
use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;

use super::{Algorithm, Refusal, Signing, signing};

/// The longest name of a key.
const MAX_KEY_ID: usize = 256;

/// A token as it came in. Nothing of it is believed; it says which key to ask.
pub(crate) struct Token<'a> {
    text: &'a str,
    pub(crate) issuer: String,
    pub(crate) key: String,
    pub(crate) signing: Signing,
    algorithm: Algorithm,
}

impl<'a> Token<'a> {
    /// Errors: [`Refusal::Invalid`] for what is no signed token, or one that this host may not take
    /// whoever signed it.
    pub(crate) fn read(text: &'a str) -> Result<Self, Refusal> {
        #[derive(Deserialize)]
        struct From {
            iss: String,
        }
        let header = decode_header(text).map_err(|_| Refusal::Invalid("it is no JWT, or of an unknown algorithm"))?;
        let signing = signing(header.alg).ok_or(Refusal::Invalid("its algorithm is not taken"))?;
        // RFC 7515, 4.1.11: what is critical and not understood spoils the token, and nothing is understood.
        if header.crit.is_some() || header.enc.is_some() || header.zip.is_some() {
            return Err(Refusal::Invalid("it demands what this host does not know"));
        }
        if !header.typ.as_deref().is_none_or(is_access_token) {
            return Err(Refusal::Invalid("it is another kind of token"));
        }
        let key = header.kid.filter(|kid| !kid.is_empty() && kid.len() <= MAX_KEY_ID);
        let key = key.ok_or(Refusal::Invalid("it names no key"))?;
        let From { iss } = insecure_decode_claims(text).map_err(|_| Refusal::Invalid("it names no issuer"))?;
        Ok(Self { text, issuer: iss, key, signing, algorithm: header.alg })
    }

    /// The claims, once the signature, the issuer and the audience are what they have to be.
    ///
    /// Errors: [`Refusal::Invalid`].
    pub(crate) fn verify(&self, key: &DecodingKey, audience: &str) -> Result<Claims, Refusal> {
        let mut validation = Validation::new(self.algorithm);
        // The time is looked at by `check_time`, with this host's own clock.
        (validation.validate_exp, validation.validate_nbf) = (false, false);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[audience]);
        let verified = decode::<Claims>(self.text, key, &validation);
        let claims = verified.map_err(|error| Refusal::Invalid(reason(&error)))?.claims;
        if claims.cnf.is_some() {
            // RFC 9449 and RFC 8705: whoever merely carries such a token has proved nothing.
            return Err(Refusal::Invalid("it is bound to a key that its bearer has to prove"));
        }
        Ok(claims)
    }
}

/// RFC 9068 and what came before it. An identity or logout token is for somebody else.
fn is_access_token(kind: &str) -> bool {
    let kind = kind.to_ascii_lowercase();
    matches!(kind.strip_prefix("application/").unwrap_or(&kind), "jwt" | "at+jwt")
}

fn reason(error: &jsonwebtoken::errors::Error) -> &'static str {
    use jsonwebtoken::errors::ErrorKind;
    match error.kind() {
        ErrorKind::InvalidSignature => "its signature is wrong",
        ErrorKind::InvalidAudience => "it is for another audience",
        ErrorKind::MissingRequiredClaim(_) => "one of exp, iss, aud and sub is missing",
        _ => "it is malformed",
    }
}

/// What an issuer says, verified.
#[derive(Debug, Deserialize)]
pub(crate) struct Claims {
    /// Who it speaks of.
    pub(crate) sub: String,
    /// Seconds since 1970; a fraction is allowed.
    exp: f64,
    #[serde(default)]
    nbf: Option<f64>,
    /// RFC 9068: scopes, separated by spaces.
    #[serde(default)]
    scope: Option<Value>,
    /// What some issuers say instead: a list, or a text as above.
    #[serde(default)]
    scp: Option<Value>,
    /// A key that the bearer has to prove.
    #[serde(default)]
    cnf: Option<Value>,
}

impl Claims {
    /// Errors: [`Refusal::Invalid`] before and after its time.
    pub(crate) fn check_time(&self, now: OffsetDateTime, leeway: Duration) -> Result<(), Refusal> {
        let (now, leeway) = (now.unix_timestamp() as f64, leeway.as_secs_f64());
        if now >= self.exp + leeway {
            return Err(Refusal::Invalid("it has expired"));
        }
        if self.nbf.is_some_and(|nbf| now < nbf - leeway) {
            return Err(Refusal::Invalid("it is not valid yet"));
        }
        Ok(())
    }

    pub(crate) fn scopes(&self) -> Vec<&str> {
        match self.scope.as_ref().or(self.scp.as_ref()) {
            Some(Value::String(text)) => text.split(' ').collect(),
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }
}
