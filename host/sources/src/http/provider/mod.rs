//! What is to be known of a provider of an HTTP API, and the base URL that follows from it.
//!
//! The facts themselves stand in `table`; no provider has code of its own.

mod table;

use remit_domain::{data::Error, source::Api};
use url::Url;

pub(super) use self::table::facts;

/// The facts of one provider.
#[derive(Debug)]
pub(super) struct Facts {
    /// Where its host comes from.
    host: Host,
    /// The path below the host, with `{version}`.
    base_path: &'static str,
    /// The version where the context gives none; empty for one that has none.
    default_version: &'static str,
    /// How the credential travels.
    pub(super) credential: Credential,
    /// Where OAuth tokens come from if the context does not say it.
    pub(super) token_url: TokenUrl,
    /// Headers that every request has, with `{version}`; a guest does not set them.
    pub(super) sends: &'static [(&'static str, &'static str)],
    /// What only reads.
    pub(super) reads: Reads,
    /// Where in a JSON answer the addresses of other pages stand, as JSON pointers.
    pub(super) pages: &'static [&'static str],
    /// How many requests the service takes; the context may say another.
    pub(super) rate: Option<Quota>,
    /// The statuses after which a request that is harmless twice is sent again.
    pub(super) retries: &'static [u16],
    /// What is asked for to see whether the service answers and knows the credential.
    pub(super) probe: Probe,
    /// Headers that a guest may set besides the usual ones; a last `*` stands for anything. `None`
    /// allows any that is not the host's own.
    pub(super) headers: Option<&'static [&'static str]>,
}

/// Where a provider's host comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Host {
    /// The context names it.
    Named,
    /// The context names a part, which stands before this domain.
    Below(&'static str),
    /// It is the same for everybody.
    Fixed(&'static str),
    /// The context gives the whole base URL.
    Whole,
}

/// How a credential travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Credential {
    /// `Authorization: Bearer` with the token.
    Bearer,
    /// A header of this name with the token, and what stands before it.
    Header { name: &'static str, before: &'static str },
    /// HTTP Basic with the user, `/token`, and the token.
    TokenUser,
    /// `Authorization: Bearer` with a token that a service account gets for this scope.
    ServiceAccount { scope: &'static str },
    /// As the context says.
    AsDefined,
}

/// Where OAuth tokens come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenUrl {
    /// The context says it.
    None,
    /// At this path of the provider's host.
    OnHost(&'static str),
    /// The same for everybody.
    Fixed(&'static str),
}

/// What only reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reads {
    /// Whether GET and HEAD do.
    pub(super) by_method: bool,
    /// Paths that do, by GET, HEAD or POST.
    pub(super) listed: &'static [&'static str],
    /// The path that takes GraphQL, whose queries do.
    pub(super) graphql: Option<&'static str>,
}

/// How many requests are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quota {
    /// So many in `seconds`.
    pub(super) requests: u32,
    pub(super) seconds: u32,
    /// At most at once.
    pub(super) burst: u32,
}

/// What health is told by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Probe {
    /// The path that is read.
    pub(super) path: &'static str,
    /// Whether 404 is the right answer.
    pub(super) missing: bool,
    /// The member of the JSON answer that must be true.
    pub(super) flag: Option<&'static str>,
}

impl Probe {
    const fn path(path: &'static str) -> Self {
        Self { path, missing: false, flag: None }
    }
}

impl Facts {
    /// The base URL, with a slash at its end. `uri` replaces scheme and host, and its path goes
    /// before the provider's. Errors: `invalid`, saying what is wrong with what and no value.
    pub(super) fn base(&self, name: &str, api: &Api, uri: Option<&str>) -> Result<Url, Error> {
        let invalid = |what: &str| Error::Invalid(format!("the {what} of source `{name}` {NOT_A_BASE}"));
        let whole = matches!(self.host, Host::Whole);
        let (what, text) = match uri {
            Some(uri) => ("`_URI` credential", uri.to_owned()),
            None => ("address", self.host.address(&api.address)),
        };
        let mut base: Url = text.parse().map_err(|_| invalid(what))?;
        let plain = matches!(base.scheme(), "http" | "https")
            && base.has_host()
            && base.username().is_empty()
            && base.password().is_none()
            && base.query().is_none()
            && base.fragment().is_none()
            && (uri.is_some() || whole || base.path() == "/");
        if !plain {
            return Err(invalid(what));
        }
        let path = match uri {
            _ if !whole => self.base_path.replace("{version}", self.version(name, api)?),
            // For `rest` the URI replaces scheme and host; the path stays the address's, if it has one.
            Some(_) => api.address.parse::<Url>().map(|address| address.path().to_owned()).unwrap_or_default(),
            None => String::new(),
        };
        let path = format!("{}/{path}", base.path());
        let path: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
        base.set_path(&if path.is_empty() { "/".to_owned() } else { format!("/{}/", path.join("/")) });
        Ok(base)
    }

    /// The version that the context gives, or the provider's own. Errors: `invalid`.
    pub(super) fn version<'a>(&self, name: &str, api: &'a Api) -> Result<&'a str, Error> {
        let version = api.api_version.as_deref().unwrap_or(self.default_version);
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let known = !version.is_empty() && version.chars().all(plain) && !version.starts_with('.');
        // One that has no versions in its addresses needs none.
        if known || (self.default_version.is_empty() && api.api_version.is_none()) {
            Ok(version)
        } else {
            Err(Error::Invalid(format!("the `apiVersion` of source `{name}` is not a version")))
        }
    }
}

impl Host {
    /// Scheme and host, or for [`Host::Whole`] what the context says.
    fn address(&self, address: &str) -> String {
        // The host alone, whatever a context may add to it.
        let host = address.trim_start_matches("https://").trim_end_matches('/');
        match self {
            Self::Whole => address.to_owned(),
            Self::Named => format!("https://{host}"),
            Self::Below(domain) => format!("https://{host}{domain}"),
            Self::Fixed(host) => format!("https://{host}"),
        }
    }
}

const NOT_A_BASE: &str = "is not an http(s) URL without query and fragment";

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use remit_domain::source::{Auth, Credentials, Provider};

    use super::*;

    fn base(provider: Provider, address: &str, version: Option<&str>, uri: Option<&str>) -> Result<String, Error> {
        let api = Api {
            provider,
            address: address.to_owned(),
            api_version: version.map(str::to_owned),
            auth: Auth::None,
            graphql: None,
            rate: None,
            credentials: Credentials::default(),
        };
        facts(provider).base("s", &api, uri).map(String::from)
    }

    #[test]
    fn base_urls_are_the_providers() {
        for (provider, address, version, uri, expected) in [
            (
                Provider::Salesforce,
                "x.my.salesforce.com",
                None,
                None,
                "https://x.my.salesforce.com/services/data/v57.0/",
            ),
            (Provider::Shopify, "x.myshopify.com", Some("2025-07"), None, "https://x.myshopify.com/admin/api/2025-07/"),
            (Provider::Shopify, "https://x.myshopify.com/", None, None, "https://x.myshopify.com/admin/api/2024-01/"),
            (Provider::Shopify, "x", None, Some("http://127.0.0.1:81"), "http://127.0.0.1:81/admin/api/2024-01/"),
            (Provider::Shopify, "x", None, Some("http://h/proxy/"), "http://h/proxy/admin/api/2024-01/"),
            (Provider::Zendesk, "acme", None, None, "https://acme.zendesk.com/api/v2/"),
            (Provider::Klaviyo, "", None, None, "https://a.klaviyo.com/api/"),
            (Provider::GoogleSheets, "", None, None, "https://sheets.googleapis.com/v4/"),
            (Provider::Slack, "", None, Some("http://127.0.0.1:81"), "http://127.0.0.1:81/api/"),
            (Provider::Rest, "https://api.example/v1", None, None, "https://api.example/v1/"),
            (Provider::Rest, "https://api.example", None, None, "https://api.example/"),
            (Provider::Rest, "https://api.example/v1", None, Some("http://127.0.0.1:81"), "http://127.0.0.1:81/v1/"),
        ] {
            assert_eq!(base(provider, address, version, uri).unwrap(), expected);
        }
        for (provider, address, version, uri) in [
            (Provider::Shopify, "x.myshopify.com/other", None, None),
            (Provider::Shopify, "evil@x", None, None),
            (Provider::Zendesk, "evil.example/x", None, None),
            (Provider::Zendesk, "evil.example/?", None, None),
            (Provider::Zendesk, "evil.example#", None, None),
            (Provider::Shopify, "", None, None),
            (Provider::Shopify, "x", Some("../.."), None),
            (Provider::Shopify, "x", Some(""), None),
            (Provider::Shopify, "x", None, Some("file:///etc")),
            (Provider::Rest, "api.example", None, None),
            (Provider::Rest, "https://user:word@api.example", None, None),
            (Provider::Rest, "https://api.example/?a=b", None, None),
        ] {
            let error = base(provider, address, version, uri).unwrap_err();
            assert_eq!(error.case(), "invalid", "{address} {error}");
        }
    }
}
