//! What is known of each provider, as data: one more is one more constant here.
//!
//! Where a figure differs by a customer's plan, the smallest common one stands here: the context's
//! `rateLimit` says another.

use remit_domain::source::Provider;

use super::{Credential, Facts, Host, Probe, Quota, Reads, TokenUrl};

/// GET and HEAD, as HTTP means them.
const BY_METHOD: Reads = Reads { by_method: true, listed: &[], graphql: None };

/// Salesforce's REST API: <https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/>.
/// `composite` and its like take other requests in a POST's body, so they write. `limits` needs no more
/// than a valid session. Its limit is one of requests a day, which it tells itself.
const SALESFORCE: Facts = Facts {
    host: Host::Named,
    base_path: "/services/data/{version}",
    default_version: "v57.0",
    credential: Credential::Bearer,
    token_url: TokenUrl::OnHost("/services/oauth2/token"),
    sends: &[],
    reads: BY_METHOD,
    pages: &["/nextRecordsUrl"],
    rate: None,
    retries: &[429, 503],
    probe: Probe::path("limits"),
    headers: Some(&["sforce-*"]),
};

/// Shopify's Admin API: <https://shopify.dev/docs/api/admin-rest>, <https://shopify.dev/docs/api/admin-graphql>.
/// Its leaky bucket holds 40 requests and loses 2 a second.
const SHOPIFY: Facts = Facts {
    host: Host::Named,
    base_path: "/admin/api/{version}",
    default_version: "2024-01",
    credential: Credential::Header { name: "x-shopify-access-token", before: "" },
    token_url: TokenUrl::None,
    sends: &[],
    reads: Reads { by_method: true, listed: &[], graphql: Some("graphql.json") },
    pages: &[],
    rate: Some(Quota { requests: 2, seconds: 1, burst: 40 }),
    retries: &[429, 503],
    probe: Probe::path("shop.json"),
    headers: Some(&["x-shopify-api-features"]),
};

/// Zendesk's Support API: <https://developer.zendesk.com/api-reference/>. The smallest plan has 200 requests
/// a minute. `users/me` answers strangers too, so health asks for a count that only agents get.
const ZENDESK: Facts = Facts {
    host: Host::Below(".zendesk.com"),
    base_path: "/api/v2",
    default_version: "",
    credential: Credential::TokenUser,
    token_url: TokenUrl::None,
    sends: &[],
    reads: BY_METHOD,
    pages: &["/next_page", "/previous_page", "/links/next", "/links/prev", "/after_url", "/before_url"],
    rate: Some(Quota { requests: 200, seconds: 60, burst: 50 }),
    retries: &[429, 503],
    probe: Probe::path("tickets/count.json"),
    headers: Some(&[]),
};

/// Klaviyo's API: <https://developers.klaviyo.com/en/reference/api_overview>. Most of its paths take 75
/// requests at once and 700 a minute.
const KLAVIYO: Facts = Facts {
    host: Host::Fixed("a.klaviyo.com"),
    base_path: "/api",
    default_version: "2024-10-15",
    credential: Credential::Header { name: "authorization", before: "Klaviyo-API-Key " },
    token_url: TokenUrl::None,
    sends: &[("revision", "{version}")],
    reads: BY_METHOD,
    pages: &["/links/next", "/links/prev", "/links/first", "/links/last", "/links/self"],
    rate: Some(Quota { requests: 700, seconds: 60, burst: 75 }),
    retries: &[429, 503],
    probe: Probe::path("accounts"),
    headers: Some(&[]),
};

/// Google's Sheets API: <https://developers.google.com/workspace/sheets/api/reference/rest>. A user has 60
/// requests a minute. It has no path that answers without a sheet: for its health one is asked for that
/// nobody has, which a credential that is good is told. `values:batchGetByDataFilter` reads by POST; it
/// takes a write handle all the same, since a colon and a word are all that tell it from the others.
const GOOGLE_SHEETS: Facts = Facts {
    host: Host::Fixed("sheets.googleapis.com"),
    base_path: "/v4",
    default_version: "",
    credential: Credential::ServiceAccount { scope: "https://www.googleapis.com/auth/spreadsheets" },
    token_url: TokenUrl::Fixed("https://oauth2.googleapis.com/token"),
    sends: &[],
    reads: BY_METHOD,
    pages: &[],
    rate: Some(Quota { requests: 60, seconds: 60, burst: 30 }),
    retries: &[429, 503],
    probe: Probe { path: "spreadsheets/remit-health", missing: true, flag: None },
    headers: Some(&[]),
};

/// Slack's Web API: <https://docs.slack.dev/reference/methods>. A method writes by GET as well, so only the
/// names that are listed read. It answers 200 whatever went wrong, and says so in `ok`.
const SLACK: Facts = Facts {
    host: Host::Fixed("slack.com"),
    base_path: "/api",
    default_version: "",
    credential: Credential::Bearer,
    token_url: TokenUrl::None,
    sends: &[],
    reads: Reads { by_method: false, listed: SLACK_READS, graphql: None },
    pages: &[],
    rate: Some(Quota { requests: 50, seconds: 60, burst: 20 }),
    retries: &[429, 503],
    probe: Probe { path: "auth.test", missing: false, flag: Some("ok") },
    headers: Some(&[]),
};

/// Slack's methods without an effect, as its reference describes them.
const SLACK_READS: &[&str] = &[
    "api.test",
    "auth.test",
    "bookmarks.list",
    "bots.info",
    "chat.getPermalink",
    "chat.scheduledMessages.list",
    "conversations.history",
    "conversations.info",
    "conversations.list",
    "conversations.members",
    "conversations.replies",
    "dnd.info",
    "dnd.teamInfo",
    "emoji.list",
    "files.info",
    "files.list",
    "pins.list",
    "reactions.get",
    "reactions.list",
    "reminders.info",
    "reminders.list",
    "search.all",
    "search.files",
    "search.messages",
    "stars.list",
    "team.info",
    "usergroups.list",
    "usergroups.users.list",
    "users.conversations",
    "users.getPresence",
    "users.info",
    "users.list",
    "users.lookupByEmail",
    "users.profile.get",
];

/// Any other: the context says what is to be known. Nothing stands at its root that every API would have,
/// so any answer shows that it lives.
const REST: Facts = Facts {
    host: Host::Whole,
    base_path: "",
    default_version: "",
    credential: Credential::AsDefined,
    token_url: TokenUrl::None,
    sends: &[],
    reads: BY_METHOD,
    pages: &["/next", "/previous", "/next_page", "/links/next", "/links/prev", "/nextLink", "/@odata.nextLink"],
    rate: None,
    retries: &[429, 503],
    probe: Probe::path(""),
    headers: None,
};

/// The facts of a provider.
pub(in crate::http) fn facts(provider: Provider) -> &'static Facts {
    match provider {
        Provider::Salesforce => &SALESFORCE,
        Provider::Shopify => &SHOPIFY,
        Provider::Zendesk => &ZENDESK,
        Provider::Klaviyo => &KLAVIYO,
        Provider::GoogleSheets => &GOOGLE_SHEETS,
        Provider::Slack => &SLACK,
        Provider::Rest => &REST,
    }
}
