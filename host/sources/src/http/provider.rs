//! What is known of each provider of an HTTP API: facts, in one table, and no code of its own.

use remit_domain::{
    data::Error,
    source::{Api, Auth, Provider},
};
use url::Url;

/// The facts of one provider.
#[derive(Debug)]
pub(super) struct Facts {
    /// The path below the host, with `{version}`; for `rest` the address says it.
    base_path: Option<&'static str>,
    /// The version in the path where the context gives none.
    default_version: &'static str,
    /// How the credential travels; for `rest` the context says it.
    pub(super) credential: Credential,
    /// What is asked for to see whether the service answers and knows the credential.
    pub(super) probe: &'static str,
    /// Headers that a guest may set besides the usual ones; a last `*` stands for anything. `None`
    /// allows any that is not the host's own.
    pub(super) headers: Option<&'static [&'static str]>,
}

/// How a credential travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Credential {
    /// `Authorization: Bearer` with the token.
    Bearer,
    /// A header of this name with the token.
    Header(&'static str),
    /// As the context says.
    AsDefined,
}

/// Salesforce's REST API: <https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/>.
/// `limits` needs no more than a valid session. Version: the seed's.
const SALESFORCE: Facts = Facts {
    base_path: Some("/services/data/{version}"),
    default_version: "v57.0",
    credential: Credential::Bearer,
    probe: "limits",
    headers: Some(&["sforce-*"]),
};

/// Shopify's Admin REST API: <https://shopify.dev/docs/api/admin-rest>. Version: the seed's.
const SHOPIFY: Facts = Facts {
    base_path: Some("/admin/api/{version}"),
    default_version: "2024-01",
    credential: Credential::Header("x-shopify-access-token"),
    probe: "shop.json",
    headers: Some(&["x-shopify-api-features"]),
};

/// Any other.
const REST: Facts =
    Facts { base_path: None, default_version: "", credential: Credential::AsDefined, probe: "", headers: None };

/// The facts of a provider.
pub(super) fn facts(provider: Provider) -> &'static Facts {
    match provider {
        Provider::Salesforce => &SALESFORCE,
        Provider::Shopify => &SHOPIFY,
        Provider::Rest => &REST,
    }
}

impl Facts {
    /// The base URL, with a slash at its end. `uri` replaces scheme and host, and its path goes
    /// before the provider's. Errors: `invalid`, saying what is wrong with what and no value.
    pub(super) fn base(&self, name: &str, api: &Api, uri: Option<&str>) -> Result<Url, Error> {
        let invalid = |what: &str| Error::Invalid(format!("the {what} of source `{name}` {NOT_A_BASE}"));
        let authored = match self.base_path {
            None => None,
            Some(path) => {
                let version = api.api_version.as_deref().unwrap_or(self.default_version);
                let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
                if version.is_empty() || !version.chars().all(plain) || version.starts_with('.') {
                    return Err(Error::Invalid(format!("the `apiVersion` of source `{name}` is not a version")));
                }
                Some(path.replace("{version}", version))
            }
        };
        let (what, text) = match (uri, &authored) {
            (Some(uri), _) => ("`_URI` credential", uri.to_owned()),
            (None, None) => ("address", api.address.clone()),
            (None, Some(_)) => {
                // The host alone, whatever a context may add to it.
                let host = api.address.trim_start_matches("https://").trim_end_matches('/');
                ("address", format!("https://{host}"))
            }
        };
        let mut base: Url = text.parse().map_err(|_| invalid(what))?;
        let plain = matches!(base.scheme(), "http" | "https")
            && base.has_host()
            && base.username().is_empty()
            && base.password().is_none()
            && base.query().is_none()
            && base.fragment().is_none()
            && (uri.is_some() || authored.is_none() || base.path() == "/");
        if !plain {
            return Err(invalid(what));
        }
        let path = match (&authored, uri) {
            (Some(path), _) => format!("{}{path}/", base.path().trim_end_matches('/')),
            // For `rest` the URI replaces scheme and host; the path stays the address's, if it has one.
            (None, Some(_)) => {
                let own = api.address.parse::<Url>().map(|address| address.path().to_owned()).unwrap_or_default();
                format!("{}/{}/", base.path().trim_matches('/'), own.trim_matches('/'))
            }
            (None, None) => format!("{}/", base.path().trim_end_matches('/')),
        };
        let path: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
        base.set_path(&if path.is_empty() { "/".to_owned() } else { format!("/{}/", path.join("/")) });
        Ok(base)
    }
}

const NOT_A_BASE: &str = "is not an http(s) URL without query and fragment";

/// How the credential of a source travels: its header's name, and how the value is made.
pub(super) fn auth<'a>(facts: &Facts, api: &'a Api) -> Travel<'a> {
    match (facts.credential, &api.auth) {
        (Credential::Bearer, _) | (Credential::AsDefined, Auth::Bearer) => Travel::Bearer,
        (Credential::Header(name), _) => Travel::Header(name),
        (Credential::AsDefined, Auth::Header(name)) => Travel::Header(name),
        (Credential::AsDefined, Auth::Basic) => Travel::Basic,
        (Credential::AsDefined, Auth::None) => Travel::None,
    }
}

/// How a credential travels, decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Travel<'a> {
    None,
    Bearer,
    Basic,
    Header(&'a str),
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use remit_domain::source::Credentials;

    use super::*;

    fn base(provider: Provider, address: &str, version: Option<&str>, uri: Option<&str>) -> Result<String, Error> {
        let api = Api {
            provider,
            address: address.to_owned(),
            api_version: version.map(str::to_owned),
            auth: Auth::None,
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
            (Provider::Rest, "https://api.example/v1", None, None, "https://api.example/v1/"),
            (Provider::Rest, "https://api.example", None, None, "https://api.example/"),
            (Provider::Rest, "https://api.example/v1", None, Some("http://127.0.0.1:81"), "http://127.0.0.1:81/v1/"),
        ] {
            assert_eq!(base(provider, address, version, uri).unwrap(), expected);
        }
        for (provider, address, version, uri) in [
            (Provider::Shopify, "x.myshopify.com/other", None, None),
            (Provider::Shopify, "evil@x", None, None),
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
