//! An authorization server, as far as a resource server sees one: metadata, keys, and tokens of any
//! sort, good and bad.
//!
//! It lacks everything that clients talk to: authorization, consent, token endpoints.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, anyhow};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair, RsaPublicKeyComponents};
use serde_json::{Value, json};

use crate::running::{Running, lock};

/// Where its metadata is.
pub const METADATA: &str = "/.well-known/openid-configuration";
/// Where its keys are.
pub const JWKS: &str = "/jwks";

/// An authorization server that runs.
#[derive(Debug)]
pub struct Issuer {
    /// Its server, with what was asked of it and with faults to come.
    pub running: Running,
    published: Arc<Mutex<Vec<Value>>>,
}

impl Issuer {
    /// Starts one that publishes no key yet; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address cannot be bound or is not loopback.
    pub async fn start(addr: SocketAddr) -> Result<Self> {
        let published = Arc::new(Mutex::new(Vec::new()));
        let name = Arc::new(Mutex::new(String::new()));
        let state = (Arc::clone(&published), Arc::clone(&name));
        let router = Router::new().route(METADATA, get(metadata)).route(JWKS, get(keys)).with_state(state);
        let running = Running::start(addr, router, |status: StatusCode| status.into_response()).await?;
        *lock(&name) = running.url();
        Ok(Self { running, published })
    }

    /// What it calls itself.
    pub fn name(&self) -> String {
        self.running.url()
    }

    /// Publishes these keys, and no others.
    pub fn publish<'a>(&self, signers: impl IntoIterator<Item = &'a Signer>) {
        *lock(&self.published) = signers.into_iter().map(Signer::jwk).collect();
    }

    /// How often its keys were asked for.
    pub fn asked(&self) -> usize {
        self.running.received().iter().filter(|request| request.path == JWKS).count()
    }
}

type Shared = (Arc<Mutex<Vec<Value>>>, Arc<Mutex<String>>);

async fn metadata(State((_, name)): State<Shared>) -> Response {
    let name = lock(&name).clone();
    let keys = format!("{name}{JWKS}");
    Json(json!({"issuer": name, "jwks_uri": keys, "response_types_supported": ["code"]})).into_response()
}

async fn keys(State((published, _)): State<Shared>) -> Response {
    Json(json!({ "keys": lock(&published).clone() })).into_response()
}

/// A key that signs.
#[derive(Debug)]
pub struct Signer {
    id: String,
    pair: Pair,
}

#[derive(Debug)]
enum Pair {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl Signer {
    /// A new key on P-256, for ES256.
    ///
    /// # Errors
    /// When the machine has no randomness to give.
    pub fn es256(id: &str) -> Result<Self> {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, &random);
        let document = document.map_err(|_| anyhow!("no randomness"))?;
        let pair = EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random);
        Ok(Self { id: id.to_owned(), pair: Pair::P256(pair.map_err(|error| anyhow!("{error}"))?) })
    }

    /// A new key on Ed25519, for EdDSA.
    ///
    /// # Errors
    /// When the machine has no randomness to give.
    pub fn eddsa(id: &str) -> Result<Self> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| anyhow!("no randomness"))?;
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).map_err(|error| anyhow!("{error}"))?;
        Ok(Self { id: id.to_owned(), pair: Pair::Ed25519(pair) })
    }

    /// A key for RS256 and PS256: always the same one, since making one takes seconds.
    ///
    /// # Errors
    /// None in practice: the key is a constant.
    pub fn rsa(id: &str) -> Result<Self> {
        let document = STANDARD.decode(RSA_KEY).context("the constant is not base64")?;
        let pair = RsaKeyPair::from_pkcs8(&document).map_err(|error| anyhow!("{error}"))?;
        Ok(Self { id: id.to_owned(), pair: Pair::Rsa(Box::new(pair)) })
    }

    /// Its public half, as JWK Sets hold it.
    pub fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match &self.pair {
            Pair::P256(pair) => {
                // An uncompressed point: 4, x, y.
                let point = pair.public_key().as_ref().get(1..).unwrap_or_default();
                let (x, y) = point.split_at(point.len() / 2);
                json!({"kty": "EC", "crv": "P-256", "x": text(x), "y": text(y), "alg": "ES256"})
            }
            Pair::Ed25519(pair) => json!({"kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref())}),
            Pair::Rsa(pair) => {
                let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public());
                json!({"kty": "RSA", "n": text(&public.n), "e": text(&public.e)})
            }
        };
        if let Some(members) = jwk.as_object_mut() {
            members.insert("kid".to_owned(), self.id.clone().into());
            members.insert("use".to_owned(), "sig".into());
        }
        jwk
    }

    /// A token with these claims, under the key's usual header.
    ///
    /// # Errors
    /// When signing fails.
    pub fn token(&self, claims: &Value) -> Result<String> {
        self.token_with(&json!({"typ": "at+jwt", "alg": self.algorithm(), "kid": self.id}), claims)
    }

    /// A token with any header. The signature is made as `alg` says where the key can, else as is usual.
    ///
    /// # Errors
    /// When signing fails.
    pub fn token_with(&self, header: &Value, claims: &Value) -> Result<String> {
        let message = unsigned(header, claims);
        let failed = |_| anyhow!("signing failed");
        let signature = match &self.pair {
            Pair::P256(pair) => pair.sign(&SystemRandom::new(), message.as_bytes()).map_err(failed)?.as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let padding: &dyn signature::RsaEncoding =
                    if header["alg"] == "PS256" { &signature::RSA_PSS_SHA256 } else { &signature::RSA_PKCS1_SHA256 };
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(padding, &SystemRandom::new(), message.as_bytes(), &mut signature).map_err(failed)?;
                signature
            }
        };
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::P256(_) => "ES256",
            Pair::Ed25519(_) => "EdDSA",
            Pair::Rsa(_) => "RS256",
        }
    }
}

/// Header and claims of a token, as they are signed.
pub fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

/// A token that is signed with a secret (HS256): what an attacker makes of a public key.
pub fn signed_with_secret(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let message = unsigned(header, claims);
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
    let signature = ring::hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The constant key as PEM, as a service account's key file holds it.
pub(crate) fn rsa_pem() -> String {
    let lines: Vec<_> = RSA_KEY.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
}

/// Whether a token is signed (RS256) with the constant key; its claims if so.
pub(crate) fn rsa_claims(token: &str) -> Option<Value> {
    let (message, signature) = token.rsplit_once('.')?;
    let pair = RsaKeyPair::from_pkcs8(&STANDARD.decode(RSA_KEY).ok()?).ok()?;
    let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public());
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    public.verify(&signature::RSA_PKCS1_2048_8192_SHA256, message.as_bytes(), &signature).ok()?;
    let (_, claims) = message.split_once('.')?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
}

/// A key of 2048 bits (PKCS #8), made for these tests; it is no secret.
const RSA_KEY: &str = "\
    MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC/f20U+6V7Atlcv3JKe5RZCOURVdhlckFYcOmswFhXHdWOk9Kjigl+fO38Dl\
    oZx6Hst4RiAXJewo+Znv4GPHXwZoXpl+ZVTRSwGJlaxaQpxH6pjRGTYzdscxiTjZdyaNaUtqnD4kr4EAvkcZ660vyTuWG+qacwSCC1N9HtEpzl\
    MsrWa/YpAnDd/s7aC6KdkEcXG3qzcuYHuZVY4hqY++5BTWWtI9t9rTI9HpKKmujEETdJE8JJD2W+jNkEB6JIAJjpqvyiutwsykvSBwhzwLFdCe\
    blzM4nzsBl3T7OxSnuSestgybKrI9xOFmXT91HoQIj9LBHzbzuBRr51Y8kLbo7AgMBAAECggEACzaNbxybIHxWuPkW2qio05vTOfQiYzJRBDo8\
    XJq4sYU0M5CRVXUoQClVkBxRB1BquV83l7uI9GaFHRQzwK66ozSFo9t6p8UHMJaIKEoJZk60sf3qKQy2upl0t3MjipX79qJJh4hRJnxeDebfSg\
    Y/tvC0egMaIJggniviFXUxDbSVQFiEcgPvOGVtAQJLepBXfnBXhRetCYknJFxsQeeZUzA9n2Uwz7gZs8czlbLEB+1eIfxVt/MpLxeTzkhKeUxd\
    P8bixMi1pu2l1XFm0LlgN/JT9C4hogD/cpd21aS6tNyhq4XK8Snj0c7gJ9UEaXCQfOE01ccWRPjvjO8bqr726QKBgQDgbh6yvy4niP0PeoA6Dz\
    cSXcfw2AfMNRR9Qj8K8dmmVBVZlCHWpur9f8wXoAdARIs5v0w/c/xmCVlGtKk5QbhUXtLQmi4dSq/mqK1Cf9AIEQTvLQDiToS0Ejj/D/lPfkJS\
    dtd4otIONBOEjOp8+Mm1PXkT0bHFywLepPW1aqa8UwKBgQDab2N1V/4IADVjSMbH/oiQ9xxfO9Wx6GE0Z+s7ywiVDsUNOQIBTy0dO3o3FC41z4\
    P8LjBEAXpS6WsDsXWkQdT0x/EeWLQTVDldUSkw6gVYY7LJl15+7364EN7kYO5RrQN1WM/fdRTpIGmDPXwCDKqK8cb6sMCrYitk7u5JVyeNeQKB\
    gGRsQeY/r5pXLM0ZRnk0R7M7LXUyZULV2YY291ihYX+QjkEYDJAs/mdSIPPNUpFKWnYLiEW4U48gzcbangIVyzJNf82Bv/KxccYnYeeoo2CIpQ\
    mUvJmHAtBEeyZ+clNErs6RiNbdHFroqHceSuqCtFcZ26ynnwFfVrhjXeLAhz0rAoGBAIwhJ0HxKBOD5rwBxRwqCvxMutPRc97FAA75l6vtLV1K\
    c1lvN/0VCREWxemttZNpw/c0vlvyQsIL4k4lOx4b6Xz7A5D/QM6hmodl+LHbf4BbvSecRs/R3o5ArG0ATgLxpiVSy1BEMRz5YRcDi5lY/NNUFd\
    1fJMsNmF8Q9KbyFXqpAoGAUEesHdCvAbdrBM0jdPX47L6UMGATtUf7u2A/XAIi+g8Bas0/JYSLcdpYmqOLLPfJMr2mFpNmOv2aNbbrDX61kfuI\
    yKSoJH7Y0Dbt4ge0yNg62cmsuSmSUgR+9l1SVx12TB744KcPQRKQo51fSegQNw53x9FxNBgKt8N7i5vxFzg=";
