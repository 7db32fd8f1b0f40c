//! Steps of type `http_request`: the node `http-request.run`, one request to an API source, or by `url` to any
//! host that the tenant's `network.allow` names.
//!
//! Base address and credentials are the host's; it follows no redirect. Values go into a path one segment at a
//! time (`params`), so that none becomes two. It lacks pages, files and answers that are no text.

mod address;
mod answer;

use remit_sdk::{
    prelude::*,
    serde_json::{Map, Value as Json},
    source::Method,
};

node_set![
    Node::new("run", "Sends one HTTP request and gives the answer.", run).title("HTTP Request").validates(validate)
];

/// What is said where a value would become part of an address unread: several segments, or a query.
const SPLICED: &str = "values don't go into an address as they are: write `{name}` here and give it in `params`, or in \
                       `query`; an expression may only stand where the address begins";
/// The source through which any permitted address is reached.
const WEB: &str = "web";

/// A request.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The API source to ask, such as `crm`. Either this with `path`, or `url`.
    source: Option<String>,
    /// The path below the source's base address, such as `customers/{id}`, perhaps with a query.
    path: Option<String>,
    /// A whole address, `https://…`, whose host the tenant's `network.allow` names.
    url: Option<String>,
    /// What stands for `{name}` in the path or address: one segment each.
    params: Option<Map<String, Json>>,
    /// `GET` if none.
    #[serde(default)]
    method: Verb,
    /// The query's names and values; a list gives its name once for each.
    query: Option<Map<String, Json>>,
    /// Headers. Credentials are the source's, and can't be set.
    headers: Option<Map<String, Json>>,
    /// An object or list is sent as JSON, a text as it is.
    body: Option<Json>,
    /// Which statuses are fine: one, or a list; 200 to 299 if none. Any other fails the step.
    expect: Option<Expect>,
    /// Whether the service knows the header `Idempotency-Key`, so that a request that is sent again does nothing
    /// twice.
    #[serde(default)]
    idempotent: bool,
}

/// A method of HTTP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
enum Verb {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

/// Statuses.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Expect {
    One(u16),
    Any(Vec<u16>),
}

/// What the service answered.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Output {
    /// Always true: a failure has no output of the step's own.
    success: bool,
    /// The status.
    status: u16,
    /// By name in lower case; several of one name are joined by `, `.
    headers: Map<String, Json>,
    /// The body: what JSON holds, or the text; null if there is none.
    data: Json,
}

impl Verb {
    fn method(self) -> Method {
        match self {
            Self::Get => Method::Get,
            Self::Head => Method::Head,
            Self::Post => Method::Post,
            Self::Put => Method::Put,
            Self::Patch => Method::Patch,
            Self::Delete => Method::Delete,
        }
    }

    fn reads(self) -> bool {
        matches!(self, Self::Get | Self::Head)
    }
}

fn validate(config: &Written<'_>) -> Option<Validated> {
    let source = match (config.has("source"), config.has("url")) {
        (true, true) => {
            config.problem("/url", "both `source` and `url`: with a source the address is a `path`");
            None
        }
        (false, false) => {
            config.problem("", "`http_request` needs `source` with `path`, or `url`");
            None
        }
        (true, false) => {
            config.requires("http_request", &["path"]);
            config.literal("source")
        }
        (false, true) => {
            if config.has("path") {
                config.problem("/path", "`path` belongs to a `source`; a `url` has its own");
            }
            if let Some(Json::String(url)) = config.get("url")
                && !url.starts_with("{{")
                && let Err(message) = address::scheme(url)
            {
                config.problem("/url", message);
            }
            Some(WEB)
        }
    };
    for (place, text) in ["path", "url"].into_iter().flat_map(|key| config.expressions(key)) {
        let before = text.rsplit_once("{{").map_or("", |(before, _)| before.trim_start());
        if !matches!(before.to_ascii_lowercase().as_str(), "" | "https://" | "http://") {
            config.problem(place, SPLICED);
        }
    }
    let verb = if config.has("method") { config.choice("method")? } else { Verb::Get };
    if verb.reads() && config.has("body") {
        config.problem("/body", "a request that only reads has no body");
    }
    let source = source?;
    Some(match (verb.reads(), config.get("idempotent")) {
        (true, _) => Validated::harmless(vec![Need::reads(source)]),
        (false, Some(Json::Bool(true))) => Validated::harmless(vec![Need::writes(source)]),
        (false, Some(value)) if Written::is_expression(value) => {
            config.problem("/idempotent", "whether a request may be sent again is written out");
            return None;
        }
        (false, _) => Validated::harmful(vec![Need::writes(source)]),
    })
}

fn run(config: Config, _: Json, call: &Call) -> Result<Output> {
    let api = call.api(config.source.as_deref().unwrap_or(WEB))?;
    let request = request(&config, call)?;
    answer::read(&config, &api, request.method, api.send(&request)?)
}

fn request(config: &Config, call: &Call) -> Result<Request> {
    let (place, pointer) = match (&config.source, &config.path, &config.url) {
        (Some(_), Some(path), None) => (path, "/path"),
        (None, None, Some(url)) => {
            address::scheme(url).map_err(|message| Error::invalid("/url", message))?;
            (url, "/url")
        }
        _ => return Err(Error::invalid("", "a request has `source` with `path`, or `url`")),
    };
    let address = address::filled(place, config.params.as_ref(), pointer)?;
    let mut request = Request::new(config.method.method(), address.path);
    request.query = address.query;
    for (name, value) in config.query.iter().flatten() {
        let pointer = format!("/query/{name}");
        match value {
            Json::Array(values) => {
                for value in values {
                    request = request.query(name, address::text(value, &pointer)?);
                }
            }
            value => request = request.query(name, address::text(value, &pointer)?),
        }
    }
    for (name, value) in config.headers.iter().flatten() {
        request = request.header(name, address::text(value, &format!("/headers/{name}"))?);
    }
    if config.idempotent && !config.method.reads() {
        request = request.idempotency_key(&call.context().idempotency_key);
    }
    let typed = request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    match &config.body {
        None | Some(Json::Null) => {}
        Some(_) if config.method.reads() => {
            return Err(Error::invalid("/body", "a request that only reads has no body"));
        }
        Some(Json::String(text)) => {
            request.body = Some(text.clone().into_bytes());
            if !typed {
                request = request.header("content-type", "text/plain; charset=utf-8");
            }
        }
        Some(body) => {
            request.body = Some(body.to_string().into_bytes());
            if !typed {
                request = request.header("content-type", "application/json");
            }
        }
    }
    Ok(request)
}

#[cfg(test)]
mod tests;
