//! Each provider's keys, and what it needs of the environment.

use remit_domain::{SourceName, TenantId};

use super::*;
use crate::{
    Environment,
    context::{Around, Loaded, load},
    located::File,
    prefixes::Prefixes,
};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn read(api: &str, env: &[(&str, &str)]) -> Result<Loaded, Box<dyn std::error::Error>> {
    let text = format!(r#"{{"company": {{"name": "A"}}, "dataSources": {{"apis": {{"s": {api}}}}}}}"#);
    let host = crate::host::tests::host()?;
    let tenant = TenantId::new("techstart")?;
    let env = Environment::from_map(env.iter().copied());
    let prefixes = Prefixes::new(&host, [&tenant]);
    let around = Around { host: &host, env: &env, prefixes: &prefixes, sets: None, seal: &[7; 32] };
    Ok(load(&tenant, &File::new("c.json", text), None, around))
}

/// Faults and warnings, without their places.
fn said(loaded: &Loaded) -> Vec<String> {
    let all = loaded.faults.iter().chain(&loaded.warnings).map(ToString::to_string);
    all.map(|line| line.splitn(4, ':').nth(3).unwrap_or_default().trim().to_owned()).collect()
}

fn made(api: &str, env: &[(&str, &str)]) -> Result<Api, Box<dyn std::error::Error>> {
    let loaded = read(api, env)?;
    assert_eq!(said(&loaded), Vec::<String>::new(), "{api}");
    let mut context = loaded.context.ok_or("faulty")?;
    let definition = context.sources.remove(&SourceName::new("s")?).ok_or("no source")?;
    match std::sync::Arc::into_inner(definition).map(|definition| definition.kind) {
        Some(Kind::Api(api)) => Ok(api),
        other => Err(format!("{other:?}").into()),
    }
}

#[test]
fn each_provider_is_made_of_its_keys_and_variables() -> Outcome {
    let token = ("TECHSTART_X_TOKEN", "t");
    let zendesk = r#"{"provider": "zendesk", "subdomain": "acme", "credentials": "TECHSTART_X"}"#;
    let api = made(zendesk, &[token, ("TECHSTART_X_USER", "ada@acme.example")])?;
    assert_eq!((api.provider, api.address.as_str(), api.auth), (Provider::Zendesk, "acme", Auth::None));
    let klaviyo = r#"{"provider": "klaviyo", "apiVersion": "2025-01-15", "credentials": "TECHSTART_X"}"#;
    assert_eq!(made(klaviyo, &[token])?.api_version.as_deref(), Some("2025-01-15"));
    let slack =
        r#"{"provider": "slack", "rateLimit": {"requests": 5, "perSeconds": 60}, "credentials": "TECHSTART_X"}"#;
    let rate = made(slack, &[token])?.rate.ok_or("no rate")?;
    assert_eq!((rate.requests.get(), rate.per.as_secs()), (5, 60));
    let rest = r#"{"provider": "rest", "baseUrl": "https://api.example", "auth": "query", "parameter": "key",
        "graphqlPath": "/graphql", "credentials": "TECHSTART_X"}"#;
    let api = made(rest, &[token])?;
    assert_eq!((api.auth, api.graphql.as_deref()), (Auth::Query("key".to_owned()), Some("graphql")));
    let own = r#"{"provider": "rest", "baseUrl": "https://api.example", "auth": "client_credentials",
        "tokenUrl": "https://login.example/token", "scope": "read", "clientAuth": "body", "credentials": "TECHSTART_X"}"#;
    let api = made(own, &[("TECHSTART_X_CLIENT_ID", "me"), ("TECHSTART_X_CLIENT_SECRET", "word")])?;
    let oauth = OAuth {
        token_url: Some("https://login.example/token".to_owned()),
        scope: Some("read".to_owned()),
        in_body: true,
    };
    assert_eq!((api.auth, api.credentials.client_id.as_deref()), (Auth::ClientCredentials(oauth), Some("me")));
    let salesforce = r#"{"provider": "salesforce", "instance": "a.my.salesforce.com", "auth": "refresh_token",
        "credentials": "TECHSTART_X"}"#;
    let api = made(salesforce, &[("TECHSTART_X_REFRESH_TOKEN", "r"), ("TECHSTART_X_CLIENT_ID", "me")])?;
    assert!(matches!(api.auth, Auth::RefreshToken(OAuth { token_url: None, scope: None, in_body: false })));
    assert!(api.credentials.refresh_token.is_some());
    Ok(())
}

#[test]
fn what_does_not_fit_is_told() -> Outcome {
    let rest = |more: &str| format!(r#"{{"provider": "rest", "baseUrl": "https://a.example", {more}}}"#);
    let with =
        |provider: &str, more: &str| format!(r#"{{"provider": "{provider}", "credentials": "TECHSTART_X"{more}}}"#);
    for (api, expected) in [
        (
            rest(r#""auth": "query", "credentials": "TECHSTART_X""#),
            "`auth` `query` needs `parameter`, the parameter's name",
        ),
        (rest(r#""auth": "refresh_token", "credentials": "TECHSTART_X""#), "this `auth` needs `tokenUrl`"),
        (
            rest(r#""auth": "client_credentials", "tokenUrl": "ftp://x", "credentials": "TECHSTART_X""#),
            "not an http or https URL",
        ),
        (rest(r#""tokenUrl": "https://x.example""#), "`tokenUrl` is of no use here"),
        (rest(r#""parameter": "key""#), "`parameter` is of no use here"),
        (
            rest(r#""scope": "a", "auth": "refresh_token", "tokenUrl": "https://x", "credentials": "TECHSTART_X""#),
            "`scope` is of no use here",
        ),
        (rest(r#""rateLimit": {"requests": 0}"#), "less than 1"),
        (rest(r#""rateLimit": {"requests": 1, "perSeconds": 0}"#), "less than 1"),
        (with("zendesk", r#", "subdomain": "acme.zendesk.com""#), "`acme.zendesk.com` is more than a subdomain"),
        (with("zendesk", r#", "subdomain": "a/b""#), "`a/b` is not a host's name"),
        (with("zendesk", r#", "subdomain": "acme", "auth": "basic""#), "this provider's credential does not travel so"),
        (with("slack", r#", "auth": "bearer""#), "`auth` is not a key of a slack source"),
        (with("klaviyo", ""), "TECHSTART_X_TOKEN is not set: the source `s` can't be used"),
        (with("google_sheets", ""), "TECHSTART_X_KEY_FILE is not set: the source `s` can't be used"),
        (with("google_sheets", r#", "auth": "refresh_token""#), "TECHSTART_X_REFRESH_TOKEN is not set"),
        (with("zendesk", r#", "subdomain": "acme""#), "TECHSTART_X_USER and TECHSTART_X_TOKEN are not set"),
    ] {
        let loaded = read(&api, &[])?;
        assert!(said(&loaded).iter().any(|line| line.contains(expected)), "{api}: {:?}", said(&loaded));
    }
    Ok(())
}
