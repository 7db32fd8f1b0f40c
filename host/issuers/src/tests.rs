//! Tokens against a stand-in for an authorization server: which let in, which do not, and how often
//! their issuer is asked for its keys.

#![expect(clippy::indexing_slicing, reason = "tests")]

use anyhow::{Context as _, Result, ensure};
use remit_domain::{
    clock::Clock,
    usage::{Meter, Quotas, Window},
};
use remit_upstreams::{
    Fault,
    issuer::{Issuer as StandIn, JWKS, METADATA, Signer, signed_with_secret, unsigned},
};
use serde_json::{Value, json};
use time::{OffsetDateTime, macros::datetime};

use super::{fetch::Place, *};

const NOW: OffsetDateTime = datetime!(2026-01-01 12:00 UTC);
const ORIGIN: &str = "https://remit.example.com";
const TIMES: Times = Times {
    leeway: Duration::from_secs(30),
    keys: Duration::from_secs(600),
    retry: Duration::from_secs(10),
    keep: Duration::from_secs(3600),
};

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> OffsetDateTime {
        NOW
    }
}

fn http() -> Result<reqwest::Client> {
    let _installed = rustls::crypto::ring::default_provider().install_default();
    Ok(reqwest::Client::builder().no_proxy().build()?)
}

/// An issuer that speaks for `techstart`, and a host that trusts it.
struct World {
    issuer: StandIn,
    issuers: Issuers,
    tenant: TenantId,
    agent: AgentName,
}

impl World {
    async fn new(signers: &[&Signer]) -> Result<Self> {
        let issuer = StandIn::start(([127, 0, 0, 1], 0).into()).await?;
        issuer.publish(signers.iter().copied());
        let (tenant, agent) = (TenantId::new("techstart")?, AgentName::new("sales")?);
        let known = Issuer {
            name: issuer.name(),
            url: issuer.name().parse()?,
            jwks_url: None,
            tenants: [tenant.clone()].into(),
            scopes: [("remit:agent".to_owned(), Role::Agent), ("remit:see".to_owned(), Role::Viewer)].into(),
            algorithms: [Signing::Rs256, Signing::Ps256, Signing::Es256, Signing::EdDsa].into(),
            quotas: Quotas::NONE.with(Meter::Calls, Window::Minute, 7),
        };
        let issuers = Issuers::new(ORIGIN.to_owned(), vec![known], TIMES, &http()?, Arc::new(Fixed));
        Ok(Self { issuer, issuers, tenant, agent })
    }

    /// Good claims, with changes; `null` takes one away.
    fn claims(&self, changes: Value) -> Value {
        let now = NOW.unix_timestamp();
        let mut claims = json!({
            "iss": self.issuer.name(), "sub": "ada", "aud": format!("{ORIGIN}/mcp/techstart/sales"),
            "iat": now, "nbf": now, "exp": now + 300, "scope": "openid remit:agent"
        });
        for (name, value) in changes.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        if let Some(members) = claims.as_object_mut() {
            members.retain(|_, value| !value.is_null());
        }
        claims
    }

    async fn admit(&self, token: &str) -> Result<Principal, Refusal> {
        self.issuers.admit(token, &self.tenant, &self.agent).await
    }
}

#[tokio::test]
async fn a_good_token_lets_in_at_one_agent_of_one_tenant() -> Result<()> {
    let (curve, edwards, rsa) = (Signer::es256("curve")?, Signer::eddsa("edwards")?, Signer::rsa("rsa")?);
    let world = World::new(&[&curve, &edwards, &rsa]).await?;
    let claims = world.claims(json!({}));
    let pss = rsa.token_with(&json!({"alg": "PS256", "kid": "rsa"}), &claims)?;
    for token in [curve.token(&claims)?, edwards.token(&claims)?, rsa.token(&claims)?, pss] {
        let principal = world.admit(&token).await?;
        assert_eq!((principal.tenant(), principal.role()), (Some(&world.tenant), Role::Agent));
        assert_eq!(principal.agents(), Some(&[world.agent.clone()].into()));
        assert_eq!(principal.name(), format!("oauth:{}#ada", world.issuer.name()));
        assert_eq!(principal.quotas().written(), [("callsPerMinute", 7)].into());
    }
    let now = NOW.unix_timestamp();
    for (changes, role) in [
        (json!({"aud": ["https://other.example", format!("{ORIGIN}/mcp/techstart/sales")]}), Role::Agent),
        (json!({"scope": null, "scp": ["remit:agent"]}), Role::Agent),
        (json!({"scope": null, "scp": "x remit:see"}), Role::Viewer),
        (json!({"nbf": null, "exp": now - 29, "iat": null}), Role::Agent),
        (json!({"nbf": now + 30, "exp": now as f64 + 0.5}), Role::Agent),
    ] {
        assert_eq!(world.admit(&curve.token(&world.claims(changes.clone()))?).await?.role(), role, "{changes}");
    }
    assert_eq!(world.issuer.asked(), 1);
    Ok(())
}

#[tokio::test]
async fn claims_that_are_not_for_here_and_now_let_nobody_in() -> Result<()> {
    let signer = Signer::es256("a")?;
    let world = World::new(&[&signer]).await?;
    let now = NOW.unix_timestamp();
    for (changes, reason) in [
        (json!({"aud": format!("{ORIGIN}/mcp/fashionboutique/sales")}), "it is for another audience"),
        (json!({"aud": format!("{ORIGIN}/mcp/techstart/support")}), "it is for another audience"),
        (json!({"aud": format!("{ORIGIN}/mcp/techstart/sales/")}), "it is for another audience"),
        (json!({"aud": ORIGIN}), "it is for another audience"),
        (json!({"aud": []}), "it is for another audience"),
        (json!({"aud": null}), "one of exp, iss, aud and sub is missing"),
        (json!({"exp": null}), "it is malformed"),
        (json!({"exp": "tomorrow"}), "it is malformed"),
        (json!({"sub": null}), "it is malformed"),
        (json!({"sub": "two\nlines"}), "its subject is no name"),
        (json!({"exp": now - 30}), "it has expired"),
        (json!({"nbf": now + 31}), "it is not valid yet"),
        (json!({"nbf": "now"}), "it is malformed"),
        (json!({"cnf": {"jkt": "x"}}), "it is bound to a key that its bearer has to prove"),
        (json!({"iss": "https://other.example"}), "no such issuer speaks for this tenant"),
        (json!({"iss": format!("{}/", world.issuer.name())}), "no such issuer speaks for this tenant"),
        (json!({"iss": [world.issuer.name()]}), "it names no issuer"),
        (json!({"iss": null}), "it names no issuer"),
    ] {
        let token = signer.token(&world.claims(changes.clone()))?;
        assert_eq!(world.admit(&token).await, Err(Refusal::Invalid(reason)), "{changes}");
    }
    for scope in [json!(null), json!("openid"), json!("REMIT:AGENT remit:agent2"), json!(["remit:agentx"]), json!(1)] {
        let token = signer.token(&world.claims(json!({ "scope": scope })))?;
        assert_eq!(world.admit(&token).await, Err(Refusal::Scope), "{scope}");
    }
    let good = signer.token(&world.claims(json!({})))?;
    let (other, support) = (TenantId::new("fashionboutique")?, AgentName::new("support")?);
    let elsewhere = world.issuers.admit(&good, &other, &world.agent).await;
    assert_eq!(elsewhere, Err(Refusal::Invalid("no such issuer speaks for this tenant")));
    let elsewhere = world.issuers.admit(&good, &world.tenant, &support).await;
    assert_eq!(elsewhere, Err(Refusal::Invalid("it is for another audience")));
    Ok(())
}

#[tokio::test]
async fn what_is_not_signed_by_the_issuer_lets_nobody_in() -> Result<()> {
    let (signer, rsa, stranger) = (Signer::es256("a")?, Signer::rsa("rsa")?, Signer::es256("a")?);
    let world = World::new(&[&signer, &rsa]).await?;
    let claims = world.claims(json!({}));
    let header = |alg: &str, kid: &str| json!({"alg": alg, "kid": kid});
    let modulus = rsa.jwk()["n"].as_str().context("a modulus")?.to_owned();
    let good = signer.token(&claims)?;
    let (message, signature) = good.rsplit_once('.').context("a signature")?;
    let changed = unsigned(&json!({"typ": "at+jwt", "alg": "ES256", "kid": "a"}), &world.claims(json!({"sub": "eve"})));
    let huge = world.claims(json!({"padding": "x".repeat(Issuers::MAX_TOKEN_BYTES)}));
    for (token, reason) in [
        (stranger.token(&claims)?, "its signature is wrong"),
        (format!("{changed}.{signature}"), "its signature is wrong"),
        (format!("{message}."), "its signature is wrong"),
        (format!("{}.", unsigned(&header("none", "a"), &claims)), "it is no JWT, or of an unknown algorithm"),
        (signed_with_secret(&header("HS256", "rsa"), &claims, modulus.as_bytes()), "its algorithm is not taken"),
        (signer.token_with(&header("ES384", "a"), &claims)?, "its algorithm is not taken"),
        // A key is for its own kind of algorithm.
        (rsa.token_with(&header("RS256", "a"), &claims)?, "its key is not one of the issuer's"),
        (signer.token_with(&header("EdDSA", "a"), &claims)?, "its key is not one of the issuer's"),
        (rsa.token_with(&header("PS256", "rsa"), &claims)?.replace('.', ".e30"), "it names no issuer"),
        (signer.token_with(&header("ES256", "b"), &claims)?, "its key is not one of the issuer's"),
        (signer.token_with(&json!({"alg": "ES256"}), &claims)?, "it names no key"),
        (
            signer.token_with(&json!({"alg": "ES256", "kid": "a", "crit": ["b64"]}), &claims)?,
            "it demands what this host does not know",
        ),
        (
            signer.token_with(&json!({"alg": "ES256", "kid": "a", "typ": "logout+jwt"}), &claims)?,
            "it is another kind of token",
        ),
        (signer.token(&huge)?, "it is too large"),
        (String::new(), "it is no JWT, or of an unknown algorithm"),
        ("a.b.c".to_owned(), "it is no JWT, or of an unknown algorithm"),
        (format!("{good}.{good}"), "it is no JWT, or of an unknown algorithm"),
    ] {
        assert_eq!(world.admit(&token).await, Err(Refusal::Invalid(reason)), "{token:.80}");
    }
    // A key that came with the token is nobody's word.
    let smuggled = stranger.token_with(&json!({"alg": "ES256", "kid": "a", "jwk": stranger.jwk()}), &claims)?;
    assert!(world.admit(&smuggled).await.is_err());
    world.admit(&good).await?;
    Ok(())
}

#[tokio::test]
async fn an_issuer_is_asked_rarely_whatever_comes_in() -> Result<()> {
    let signer = Signer::es256("a")?;
    let issuer = StandIn::start(([127, 0, 0, 1], 0).into()).await?;
    issuer.publish([&signer]);
    let keys = Arc::new(Keys::new(place(&issuer)?, http()?, TIMES));
    let began = Instant::now();
    let find = async |id: &str, seconds: u64| {
        Keys::find(&keys, id, Signing::Es256, began + Duration::from_secs(seconds)).await.map(drop)
    };
    let unknown = Err(Refusal::Invalid("its key is not one of the issuer's"));
    for at in 0..50 {
        assert_eq!(find(&format!("made-up-{at}"), 0).await, unknown);
    }
    assert_eq!((find("a", 9).await, issuer.asked()), (Ok(()), 1));
    // A new key is found as soon as the issuer may be asked again, and one that was withdrawn is gone.
    let next = Signer::es256("b")?;
    issuer.publish([&next]);
    assert_eq!((find("b", 9).await, issuer.asked()), (unknown.clone(), 1));
    assert_eq!((find("b", 10).await, issuer.asked()), (Ok(()), 2));
    assert_eq!(find("a", 10).await, unknown);
    // Without a new one it is gone when the keys are fetched again.
    issuer.publish([&signer]);
    assert_eq!((find("b", 609).await, issuer.asked()), (Ok(()), 2));
    assert_eq!((find("b", 610).await, issuer.asked()), (unknown, 3));
    Ok(())
}

#[tokio::test]
async fn keys_outlast_an_issuer_that_is_down_for_a_while() -> Result<()> {
    let signer = Signer::es256("a")?;
    let issuer = StandIn::start(([127, 0, 0, 1], 0).into()).await?;
    issuer.publish([&signer]);
    let keys = Arc::new(Keys::new(place(&issuer)?, http()?, TIMES));
    let began = Instant::now();
    let find = async |seconds: u64| {
        Keys::find(&keys, "a", Signing::Es256, began + Duration::from_secs(seconds)).await.map(drop)
    };
    issuer.running.faults().always(Fault::status(503));
    let down = |seconds| Err(Refusal::Unavailable { retry_after: Duration::from_secs(seconds) });
    assert_eq!((find(0).await, find(3).await), (down(10), down(7)));
    issuer.running.faults().clear();
    assert_eq!((find(9).await, find(10).await), (down(1), Ok(())));
    let faults = [
        Fault::Close,
        Fault::Answer {
            status: Default::default(),
            content_type: "application/json",
            body: format!("{{\"keys\": [], \"x\": \"{}\"}}", "x".repeat(300 << 10)),
        },
        Fault::Answer { status: Default::default(), content_type: "text/html", body: "<html>".to_owned() },
        Fault::Answer {
            status: Default::default(),
            content_type: "application/json",
            body: "{\"keys\": []}".to_owned(),
        },
    ];
    for (fault, at) in faults.into_iter().zip([3570, 3580, 3590, 3600]) {
        issuer.running.faults().on(JWKS, fault);
        assert_eq!(find(at).await, Ok(()), "the last set is good for an hour");
    }
    assert_eq!(issuer.asked(), 5);
    assert_eq!(find(3620).await, down(10));
    issuer.running.faults().clear();
    assert_eq!(find(3630).await, Ok(()));
    Ok(())
}

#[tokio::test]
async fn metadata_of_another_issuer_is_not_believed() -> Result<()> {
    let signer = Signer::es256("a")?;
    let issuer = StandIn::start(([127, 0, 0, 1], 0).into()).await?;
    issuer.publish([&signer]);
    let http = http()?;
    let place = place(&issuer)?;
    let keys = place.keys(&http).await?;
    assert!(matches!(keys.as_slice(), [key] if key.is("a", Signing::Es256)));
    let says = |metadata: Value| Fault::Answer {
        status: Default::default(),
        content_type: "application/json",
        body: metadata.to_string(),
    };
    let jwks = format!("{}{JWKS}", issuer.name());
    for (metadata, wanted) in [
        (json!({"issuer": "https://other.example", "jwks_uri": jwks}), "the metadata is that of another issuer"),
        (json!({"issuer": issuer.name(), "jwks_uri": "ftp://x/y"}), "the metadata names no https address for the keys"),
        (json!({"issuer": issuer.name()}), "the answer is not the JSON that it should be"),
    ] {
        issuer.running.faults().on(METADATA, says(metadata));
        assert_eq!(place.keys(&http).await.err().map(|error| error.to_string()).as_deref(), Some(wanted));
    }
    issuer.running.faults().on(METADATA, Fault::status(404));
    ensure!(place.keys(&http).await.is_err_and(|error| error.to_string().contains("no metadata")));
    let direct = Place { jwks: Some(jwks.parse()?), ..place };
    assert_eq!(direct.keys(&http).await?.len(), 1);
    Ok(())
}

#[test]
fn an_agent_s_door_says_whose_tokens_it_takes() -> Result<()> {
    let issuer = |name: &str, tenant: &str, scope: &str| -> Result<Issuer> {
        Ok(Issuer {
            name: name.to_owned(),
            url: name.parse()?,
            jwks_url: None,
            tenants: [TenantId::new(tenant)?].into(),
            scopes: [(scope.to_owned(), Role::Agent), ("see".to_owned(), Role::Viewer)].into(),
            algorithms: [Signing::Es256].into(),
            quotas: Quotas::NONE,
        })
    };
    let all = vec![issuer("https://a.example", "techstart", "x")?, issuer("https://b.example", "other", "y")?];
    let issuers = Issuers::new(ORIGIN.to_owned(), all, TIMES, &http()?, Arc::new(Fixed));
    let (tenant, agent) = (TenantId::new("techstart")?, AgentName::new("sales")?);
    let expected = Resource {
        identifier: format!("{ORIGIN}/mcp/techstart/sales"),
        issuers: vec!["https://a.example".to_owned()],
        scopes: ["x".to_owned()].into(),
    };
    assert_eq!(issuers.resource(&tenant, &agent), Some(expected));
    assert_eq!(issuers.resource(&TenantId::new("third")?, &agent), None);
    let url = issuers.metadata_url(&tenant, &agent);
    assert_eq!(url, format!("{ORIGIN}/.well-known/oauth-protected-resource/mcp/techstart/sales"));
    Ok(())
}

fn place(issuer: &StandIn) -> Result<Place> {
    Ok(Place { issuer: issuer.name(), url: issuer.name().parse()?, jwks: None })
}
