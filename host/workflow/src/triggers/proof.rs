//! What proves that a request to a webhook comes from who knows its secret: an HMAC-SHA256 over
//! `<timestamp>.<body>`, not older than the webhook allows.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::plan::hex;

/// A request to a webhook.
#[derive(Debug, Clone, Copy)]
pub struct Request<'r> {
    /// When it was sent, in seconds since 1970, as it says.
    pub timestamp: &'r str,
    /// `sha256=<hex>`, as it says.
    pub signature: &'r str,
    /// What the sender calls the delivery; empty without a name.
    pub word: &'r str,
    /// Its body.
    pub body: &'r [u8],
}

/// What a request shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shown {
    /// Nothing.
    Nothing,
    /// That it comes from who knows the secret, too long ago, or from a time to come.
    Stale,
    /// That it does, now: with what makes it one of a kind.
    Proof(String),
}

/// Looks at a request. Takes as long whatever is wrong with its signature.
pub(super) fn look(secret: &SecretString, request: Request<'_>, tolerance: Duration, now: OffsetDateTime) -> Shown {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()) else { return Shown::Nothing };
    mac.update(request.timestamp.as_bytes());
    mac.update(b".");
    mac.update(request.body);
    let given = request.signature.strip_prefix("sha256=").and_then(bytes).unwrap_or_default();
    if mac.verify_slice(&given).is_err() {
        return Shown::Nothing;
    }
    let Ok(sent) = request.timestamp.parse::<i64>() else { return Shown::Nothing };
    if sent.abs_diff(now.unix_timestamp()) > tolerance.as_secs() {
        return Shown::Stale;
    }
    Shown::Proof(hex(&Sha256::digest(&given)))
}

/// What 64 hexadecimal digits stand for.
fn bytes(text: &str) -> Option<Vec<u8>> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..32).map(|at| u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const NOW: i64 = 1_700_000_000;
    /// Of `1700000000.{"n":1}` under `secret`, as `openssl dgst -sha256 -hmac secret` prints it.
    const SIGNATURE: &str = "sha256=d36d6ce71da26cb3ead69e45b2a02790c45c5d2a1513de8b1c72748922dd8747";

    fn check(timestamp: &str, signature: &str, body: &str, now: i64, expect: &Shown) {
        let secret = SecretString::from("secret");
        let request = Request { timestamp, signature, word: "", body: body.as_bytes() };
        let now = OffsetDateTime::from_unix_timestamp(now).unwrap();
        assert_eq!(look(&secret, request, Duration::from_secs(300), now), *expect, "{timestamp} {signature} {body}");
    }

    #[test]
    fn a_signature_holds_for_its_body_and_its_time() {
        let body = r#"{"n":1}"#;
        let secret = SecretString::from("secret");
        let request = Request { timestamp: "1700000000", signature: SIGNATURE, word: "", body: body.as_bytes() };
        let now = OffsetDateTime::from_unix_timestamp(NOW).unwrap();
        let proof = look(&secret, request, Duration::from_secs(300), now);
        assert!(matches!(&proof, Shown::Proof(proof) if proof.len() == 64), "{proof:?}");
        check("1700000000", SIGNATURE, body, NOW + 300, &proof);
        check("1700000000", &SIGNATURE.to_uppercase().replace("SHA256", "sha256"), body, NOW - 300, &proof);
        check("1700000000", SIGNATURE, body, NOW + 301, &Shown::Stale);
        check("1700000000", SIGNATURE, body, NOW - 301, &Shown::Stale);
        check("1700000001", SIGNATURE, body, NOW, &Shown::Nothing);
        check("1700000000", SIGNATURE, r#"{"n":2}"#, NOW, &Shown::Nothing);
        check("", SIGNATURE, body, NOW, &Shown::Nothing);
        for signature in ["", "sha256=", "sha256=00", &SIGNATURE.replace("sha256=", ""), &format!("{SIGNATURE}00")] {
            check("1700000000", signature, body, NOW, &Shown::Nothing);
        }
        check("1700000000", &format!("sha256={}", "é".repeat(32)), body, NOW, &Shown::Nothing);
    }
}
