//! HTTP APIs as sources: which keys each provider takes, and what its credential consists of.
//!
//! Deliberately absent: what is known of a provider beyond that, which the connector's table holds.

use std::{num::NonZeroU32, time::Duration};

use remit_domain::source::{Api, Auth, Credentials, Kind, OAuth, Provider, Rate};

use super::{Reader, authored, sources::Keys};
use crate::{environment::Part, fault::one_of, host::http_url, located::join};

const SALESFORCE: Keys = Keys {
    kind: "salesforce",
    required: &["instance", "credentials"],
    optional: &["apiVersion", "auth", "tokenUrl", "scope", "clientAuth", "rateLimit"],
};
const SHOPIFY: Keys =
    Keys { kind: "shopify", required: &["store", "credentials"], optional: &["apiVersion", "rateLimit"] };
const ZENDESK: Keys =
    Keys { kind: "zendesk", required: &["subdomain", "credentials"], optional: &["auth", "rateLimit"] };
const KLAVIYO: Keys = Keys { kind: "klaviyo", required: &["credentials"], optional: &["apiVersion", "rateLimit"] };
const GOOGLE_SHEETS: Keys = Keys {
    kind: "google_sheets",
    required: &["credentials"],
    optional: &["auth", "tokenUrl", "clientAuth", "rateLimit"],
};
const SLACK: Keys = Keys { kind: "slack", required: &["credentials"], optional: &["rateLimit"] };
const REST: Keys = Keys {
    kind: "rest",
    required: &["baseUrl"],
    optional: &[
        "auth",
        "header",
        "parameter",
        "tokenUrl",
        "scope",
        "clientAuth",
        "graphqlPath",
        "rateLimit",
        "credentials",
    ],
};

/// The version in Salesforce's addresses, as the seed has it.
const SALESFORCE_VERSION: &str = "v57.0";
/// The version in Shopify's addresses, as the seed has it.
const SHOPIFY_VERSION: &str = "2024-01";

/// What the words of `auth` are, for hints.
const AUTHS: &[(authored::Auth, &str)] = &[
    (authored::Auth::None, "none"),
    (authored::Auth::Bearer, "bearer"),
    (authored::Auth::Basic, "basic"),
    (authored::Auth::Header, "header"),
    (authored::Auth::Query, "query"),
    (authored::Auth::ClientCredentials, "client_credentials"),
    (authored::Auth::RefreshToken, "refresh_token"),
];

impl Reader<'_> {
    pub(super) fn api(&mut self, pointer: &str, api: &authored::Api) -> Option<Kind> {
        use authored::ApiProvider as Type;
        let (keys, provider, address, version) = match api.provider {
            Type::Salesforce => {
                (SALESFORCE, Provider::Salesforce, Some(("instance", &api.instance)), Some(SALESFORCE_VERSION))
            }
            Type::Shopify => (SHOPIFY, Provider::Shopify, Some(("store", &api.store)), Some(SHOPIFY_VERSION)),
            Type::Zendesk => (ZENDESK, Provider::Zendesk, Some(("subdomain", &api.subdomain)), None),
            Type::Rest => (REST, Provider::Rest, Some(("baseUrl", &api.base_url)), None),
            Type::Klaviyo => (KLAVIYO, Provider::Klaviyo, None, None),
            Type::GoogleSheets => (GOOGLE_SHEETS, Provider::GoogleSheets, None, None),
            Type::Slack => (SLACK, Provider::Slack, None, None),
        };
        let complete = self.keys(pointer, &keys);
        let address = match address {
            Some((key, address)) => {
                let address = address.clone()?;
                self.address(&join(pointer, key), provider, &address);
                address
            }
            None => String::new(),
        };
        let auth = self.auth(pointer, api, provider);
        let credentials = self.credentials(pointer, api.credentials.as_ref());
        self.uri(pointer, api.credentials.as_ref(), &credentials);
        self.needs(pointer, api.credentials.as_ref(), &parts(provider, &auth, &credentials));
        let graphql = api.graphql_path.as_ref().map(|path| path.trim_start_matches('/').to_owned());
        let rate = api.rate_limit.and_then(|rate| self.rate(&join(pointer, "rateLimit"), rate));
        let api_version = api.api_version.clone().or(version.map(str::to_owned));
        Some(Kind::Api(Api { provider, address, api_version, auth, graphql, rate, credentials })).filter(|_| complete)
    }

    fn address(&mut self, at: &str, provider: Provider, address: &str) {
        match provider {
            Provider::Rest => {
                if let Err(message) = http_url(address) {
                    self.faults.push(self.located.at(at, message));
                }
            }
            Provider::Zendesk if address.contains('.') => {
                self.at(at, format!("`{address}` is more than a subdomain"), "the part before `.zendesk.com`");
            }
            _ => {
                self.host_name(at, address);
            }
        }
    }

    fn rate(&mut self, at: &str, rate: authored::RateLimit) -> Option<Rate> {
        let seconds = rate.per_seconds.unwrap_or(1);
        match NonZeroU32::new(rate.requests) {
            Some(requests) if requests.get() <= 100_000 && (1..=86_400).contains(&seconds) => {
                Some(Rate { requests, per: Duration::from_secs(seconds.into()) })
            }
            _ => {
                let hint = "`requests` from 1 to 100,000 in `perSeconds` from 1 to 86,400";
                self.at(at, "no source can be used with this limit", hint);
                None
            }
        }
    }

    fn auth(&mut self, pointer: &str, api: &authored::Api, provider: Provider) -> Auth {
        use authored::Auth as Word;
        let known: &[Word] = match provider {
            Provider::Rest => &[
                Word::None,
                Word::Bearer,
                Word::Basic,
                Word::Header,
                Word::Query,
                Word::ClientCredentials,
                Word::RefreshToken,
            ],
            Provider::Salesforce => &[Word::Bearer, Word::ClientCredentials, Word::RefreshToken],
            Provider::GoogleSheets => &[Word::Bearer, Word::RefreshToken],
            Provider::Zendesk => &[Word::Bearer],
            Provider::Shopify | Provider::Klaviyo | Provider::Slack => &[],
        };
        let own = match api.credentials {
            Some(_) if provider == Provider::Rest => Word::Bearer,
            _ => Word::None,
        };
        let wanted = api.auth.unwrap_or(own);
        if let Some(word) = api.auth
            && !known.contains(&word)
            && !known.is_empty()
        {
            let names = AUTHS.iter().filter(|(word, _)| known.contains(word)).map(|(_, name)| *name);
            let message = "this provider's credential does not travel so";
            let fault = self.located.at(&join(pointer, "auth"), message);
            self.faults.push(fault.hint_if(one_of("", names)));
        }
        if provider == Provider::Rest {
            if wanted == Word::None && api.credentials.is_some() {
                self.at(&join(pointer, "credentials"), "`auth` is `none`", "leave out one of the two");
            }
            if wanted != Word::None && api.credentials.is_none() {
                self.faults.push(self.located.at(pointer, "`auth` needs `credentials`"));
            }
        }
        let oauth = matches!(wanted, Word::ClientCredentials | Word::RefreshToken);
        let of_no_use = [
            ("header", api.header.is_some() && wanted != Word::Header, "it belongs to `auth` `header`"),
            ("parameter", api.parameter.is_some() && wanted != Word::Query, "it belongs to `auth` `query`"),
            (
                "scope",
                api.scope.is_some() && wanted != Word::ClientCredentials,
                "it belongs to `auth` `client_credentials`",
            ),
            ("tokenUrl", api.token_url.is_some() && !oauth, TO_OAUTH),
            ("clientAuth", api.client_auth.is_some() && !oauth, TO_OAUTH),
        ];
        for (key, found, hint) in of_no_use {
            if found {
                self.at(&join(pointer, key), format!("`{key}` is of no use here"), hint);
            }
        }
        match wanted {
            Word::None => Auth::None,
            Word::Bearer => Auth::Bearer,
            Word::Basic => Auth::Basic,
            Word::Header => self.named(pointer, ("header", "header"), api.header.as_ref(), Auth::Header),
            Word::Query => self.named(pointer, ("query", "parameter"), api.parameter.as_ref(), Auth::Query),
            Word::ClientCredentials => Auth::ClientCredentials(self.oauth(pointer, api, provider)),
            Word::RefreshToken => Auth::RefreshToken(self.oauth(pointer, api, provider)),
        }
    }

    fn named(
        &mut self,
        pointer: &str,
        (word, key): (&str, &str),
        name: Option<&String>,
        auth: fn(String) -> Auth,
    ) -> Auth {
        match name {
            Some(name) if !name.is_empty() => auth(name.clone()),
            _ => {
                let message = format!("`auth` `{word}` needs `{key}`, the {key}'s name");
                self.faults.push(self.located.at(pointer, message));
                Auth::None
            }
        }
    }

    fn oauth(&mut self, pointer: &str, api: &authored::Api, provider: Provider) -> OAuth {
        match &api.token_url {
            Some(url) => {
                if let Err(message) = http_url(url) {
                    self.faults.push(self.located.at(&join(pointer, "tokenUrl"), message));
                }
            }
            None if provider == Provider::Rest => {
                self.faults.push(self.located.at(pointer, "this `auth` needs `tokenUrl`"));
            }
            None => {}
        }
        let in_body = api.client_auth == Some(authored::ClientAuth::Body);
        OAuth { token_url: api.token_url.clone(), scope: api.scope.clone(), in_body }
    }
}

const TO_OAUTH: &str = "it belongs to `auth` `client_credentials` and `refresh_token`";

/// What a credential needs, and whether it is there.
fn parts(provider: Provider, auth: &Auth, credentials: &Credentials) -> Vec<(Part, bool)> {
    let token = (Part::Token, credentials.token.is_some());
    let user = (Part::User, credentials.user.is_some());
    let client = (Part::ClientId, credentials.client_id.is_some());
    match (auth, provider) {
        (Auth::None, Provider::Rest) => Vec::new(),
        (Auth::None, Provider::Zendesk) => vec![user, token],
        (Auth::None, Provider::GoogleSheets) => vec![(Part::KeyFile, credentials.key_file.is_some())],
        (Auth::None | Auth::Bearer | Auth::Header(_) | Auth::Query(_), _) => vec![token],
        (Auth::Basic, _) => vec![user, (Part::Password, credentials.password.is_some() || credentials.token.is_some())],
        (Auth::ClientCredentials(_), _) => {
            vec![client, (Part::ClientSecret, credentials.client_secret.is_some())]
        }
        (Auth::RefreshToken(_), _) => vec![(Part::RefreshToken, credentials.refresh_token.is_some())],
    }
}

#[cfg(test)]
mod tests;
