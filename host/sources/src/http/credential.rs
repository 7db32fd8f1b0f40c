//! How a source's credential travels: a header that never changes, a parameter of the query, or a token
//! that is asked for.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderName, HeaderValue, header};
use remit_domain::{
    data::Error,
    source::{self, Auth, OAuth},
};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::provider::{self, Facts, TokenUrl};
use crate::{
    guard::Guard,
    tokens::{Client, ClientAuth, Tokens},
};

/// What a request carries.
pub(super) enum Credential {
    None,
    /// A header, its value marked as secret.
    Header(HeaderName, HeaderValue),
    /// A parameter of the query.
    Query(String, SecretString),
    /// A bearer token that expires.
    Tokens(Arc<Tokens>),
}

impl Credential {
    /// The header that a guest may not set.
    pub(super) fn header(&self) -> Option<&HeaderName> {
        match self {
            Self::Header(name, _) => Some(name),
            _ => None,
        }
    }

    /// The parameter that a guest may neither set nor see.
    pub(super) fn parameter(&self) -> Option<&str> {
        match self {
            Self::Query(name, _) => Some(name),
            _ => None,
        }
    }
}

/// A source as its credential is read.
pub(super) struct Account<'a> {
    pub(super) name: &'a str,
    pub(super) facts: &'a Facts,
    pub(super) api: &'a source::Api,
    pub(super) base: &'a Url,
    pub(super) guard: &'a Guard,
    pub(super) timeout: Duration,
}

impl Account<'_> {
    /// Errors: `invalid` for a part that is missing or can't be sent; as [`Tokens`] has them.
    pub(super) fn credential(&self) -> Result<Credential, Error> {
        use provider::Credential as Fact;
        match (&self.api.auth, self.facts.credential) {
            (Auth::ClientCredentials(oauth), _) => {
                let (url, client) = (self.token_url(oauth)?, self.client(oauth)?);
                let client = client.ok_or_else(|| self.missing("_CLIENT_ID"))?;
                let scope = oauth.scope.as_deref();
                Tokens::client_credentials(&url, client, scope, self.guard, self.timeout).map(Credential::Tokens)
            }
            (Auth::RefreshToken(oauth), _) => {
                let token = self.api.credentials.refresh_token.clone();
                let token = token.ok_or_else(|| self.missing("_REFRESH_TOKEN"))?;
                let (url, client) = (self.token_url(oauth)?, self.client(oauth)?);
                Tokens::refresh(&url, client, token, self.guard, self.timeout).map(Credential::Tokens)
            }
            (Auth::Bearer, _) | (_, Fact::Bearer) => {
                self.fixed(header::AUTHORIZATION, &format!("Bearer {}", self.token()?))
            }
            (_, Fact::Header { name, before }) => {
                self.fixed(HeaderName::from_static(name), &format!("{before}{}", self.token()?))
            }
            (_, Fact::TokenUser) => {
                let user = self.user()?;
                let user = user.strip_suffix("/token").unwrap_or(user);
                self.basic(&format!("{user}/token"), self.token()?)
            }
            (_, Fact::ServiceAccount { scope }) => {
                let key = self.api.credentials.key_file.as_ref().ok_or_else(|| self.missing("_KEY_FILE"))?;
                Tokens::service_account(key, scope, self.guard, self.timeout).map(Credential::Tokens)
            }
            (Auth::None, Fact::AsDefined) => Ok(Credential::None),
            (Auth::Basic, Fact::AsDefined) => {
                let word = self.api.credentials.password.as_ref().or(self.api.credentials.token.as_ref());
                let word = word.ok_or_else(|| self.missing("_PASS"))?;
                self.basic(self.user()?, word.expose_secret())
            }
            (Auth::Header(name), Fact::AsDefined) => {
                let wrong = |_| self.invalid("the credential header of", "is not a header's name");
                self.fixed(HeaderName::from_bytes(name.as_bytes()).map_err(wrong)?, self.token()?)
            }
            (Auth::Query(name), Fact::AsDefined) => {
                if name.is_empty() {
                    return Err(self.invalid("the credential parameter of", "has no name"));
                }
                Ok(Credential::Query(name.clone(), self.token()?.to_owned().into()))
            }
        }
    }

    fn token(&self) -> Result<&str, Error> {
        let token = self.api.credentials.token.as_ref().map(|token| token.expose_secret());
        token.ok_or_else(|| self.missing("_TOKEN"))
    }

    fn user(&self) -> Result<&str, Error> {
        let user = self.api.credentials.user.as_deref().ok_or_else(|| self.missing("_USER"))?;
        if user.contains(':') { Err(self.invalid("the `_USER` credential of", "has a colon")) } else { Ok(user) }
    }

    fn basic(&self, user: &str, word: &str) -> Result<Credential, Error> {
        let pair = BASE64_STANDARD.encode(format!("{user}:{word}"));
        self.fixed(header::AUTHORIZATION, &format!("Basic {pair}"))
    }

    fn fixed(&self, name: HeaderName, value: &str) -> Result<Credential, Error> {
        let invalid = |_| self.invalid("a credential of", "can't be sent in a header");
        let mut value = HeaderValue::from_str(value).map_err(invalid)?;
        value.set_sensitive(true);
        Ok(Credential::Header(name, value))
    }

    fn token_url(&self, oauth: &OAuth) -> Result<Url, Error> {
        let parsed = |text: &str| text.parse().map_err(|_| self.invalid("the `tokenUrl` of", "is not a URL"));
        match (&oauth.token_url, self.facts.token_url) {
            (Some(url), _) => parsed(url),
            (None, TokenUrl::Fixed(url)) => parsed(url),
            (None, TokenUrl::OnHost(path)) => {
                let mut url = self.base.clone();
                url.set_path(path);
                Ok(url)
            }
            (None, TokenUrl::None) => Err(self.invalid("the `tokenUrl` of", "is missing")),
        }
    }

    fn client(&self, oauth: &OAuth) -> Result<Option<Client>, Error> {
        let credentials = &self.api.credentials;
        let auth = if oauth.in_body { ClientAuth::Body } else { ClientAuth::Basic };
        let client = |id: &String| Client { id: id.clone(), secret: credentials.client_secret.clone(), auth };
        match (&credentials.client_id, &credentials.client_secret) {
            (None, Some(_)) => Err(self.missing("_CLIENT_ID")),
            (id, _) => Ok(id.as_ref().map(client)),
        }
    }

    fn missing(&self, which: &str) -> Error {
        Error::Invalid(format!("the `{which}` credential of source `{}` is missing", self.name))
    }

    fn invalid(&self, what: &str, why: &str) -> Error {
        Error::Invalid(format!("{what} source `{}` {why}", self.name))
    }
}
