//! A tenant's context as it is written: `configs/contexts/<tenant>.json`.
//!
//! Sources are one struct a category with every key of every kind; which keys a kind takes is checked
//! afterwards, since neither serde nor an editor says it well otherwise.

mod messages;

use std::{collections::BTreeMap, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use serde_json::{Map, Value};

pub(crate) use self::messages::{Email, MappedNotifications, Notifications, Sends, Slack};
use crate::quotas::Quotas;

/// A tenant's context: who it is, its agents, its data sources and who may use them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Context {
    /// The JSON Schema of this file, for editors.
    #[serde(rename = "$schema")]
    #[expect(dead_code, reason = "for editors alone")]
    pub schema: Option<String>,
    /// Who the tenant is.
    pub company: Company,
    /// What its agents are told.
    #[serde(default)]
    pub prompts: Prompts,
    /// Its data sources. Names are unique over all three categories.
    #[serde(default)]
    pub data_sources: DataSources,
    /// What each agent may use, by the agent's name. An agent without a mapping chats without tools.
    #[serde(default)]
    pub agent_mappings: BTreeMap<String, Mapping>,
    /// The workflows that each agent's chat offers, by the agent's name.
    #[serde(default)]
    pub workflows: BTreeMap<String, Vec<String>>,
    /// Where messages may go.
    pub notifications: Option<Notifications>,
    /// Which hosts of the web its tools and steps may reach by their URLs.
    pub network: Option<Network>,
    /// Settings for plugins, by the plugin's name. Plugins read them: nothing secret belongs here.
    #[serde(default)]
    pub settings: BTreeMap<String, Map<String, Value>>,
    /// The language model that this tenant uses instead of the host's.
    pub model: Option<Model>,
    /// What signs requests to the webhooks of this tenant's workflows, by the name that workflows call it.
    #[serde(default)]
    pub webhooks: BTreeMap<String, Webhook>,
    /// What the plugins must be that this tenant uploads.
    pub plugins: Option<Plugins>,
    /// What this tenant's calls of plugins may use, where that is less than the operator allows.
    pub limits: Option<super::limits::Limits>,
    /// How much this tenant may use in a minute or a day, where that is less than the operator allows.
    #[serde(default)]
    pub quotas: Quotas,
}

/// Which hosts of the web a tenant's tools and steps may reach.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Network {
    /// Hosts, such as `api.example.com`, `*.example.com` (all below it) or `api.example.com:8443`. They are the
    /// source `web`, which takes absolute URLs, sends no credentials, and which every agent with a mapping may
    /// read and write unless its own mapping says less. A private address takes the operator's word as well.
    #[serde(default)]
    #[schemars(inner(length(min = 1)))]
    pub allow: Vec<String>,
}

/// What the plugins must be that a tenant uploads.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Plugins {
    /// Public keys, as `remit plugin key` prints them: an upload must be signed with one of these. Without
    /// any, none need be signed.
    #[serde(default)]
    pub trusted_keys: Vec<String>,
}

/// Who a tenant is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Company {
    /// Such as `TechStart Inc`.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Such as `Technology`.
    pub industry: Option<String>,
    /// The company's public site.
    pub website: Option<String>,
    /// An IANA time zone, such as `America/New_York`; `UTC` without it.
    pub timezone: Option<String>,
}

/// What agents are told.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Prompts {
    /// By the agent's name.
    #[serde(default)]
    pub agents: BTreeMap<String, Prompt>,
}

/// What one agent is told.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Prompt {
    /// What the model is told first; `You are a helpful <agent> agent.` without it.
    pub system_prompt: Option<String>,
    /// From 0 (the same again) to 2 (wild); 0.7 without it.
    #[schemars(range(min = 0.0, max = 2.0))]
    pub temperature: Option<f32>,
    /// The tools that the model is offered in chat; all of the agent's sets without it.
    pub tools: Option<Vec<String>>,
}

/// Data sources.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DataSources {
    /// Databases, by name.
    #[serde(default)]
    pub databases: BTreeMap<String, Database>,
    /// Other people's HTTP APIs, by name.
    #[serde(default)]
    pub apis: BTreeMap<String, Api>,
    /// Folders of files, by name.
    #[serde(default)]
    pub files: BTreeMap<String, Folder>,
}

/// A database.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Database {
    /// What kind of database.
    #[serde(rename = "type")]
    pub kind: DatabaseKind,
    /// A label for people (mysql, postgres, mongodb).
    #[expect(dead_code, reason = "a label for people")]
    pub connection: Option<String>,
    /// The server's name or address (mysql, postgres).
    pub host: Option<String>,
    /// The server's port (mysql, 3306 without it; postgres, 5432).
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// The database's name (mysql, postgres, mongodb).
    pub database: Option<String>,
    /// A connection string without a password (mongodb).
    pub uri: Option<String>,
    /// The Google Cloud project that is billed and whose tables are read (bigquery).
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9.:-]{0,127}$"))]
    pub project_id: Option<String>,
    /// The dataset that unqualified tables belong to, and the only one (bigquery). Without it tables are
    /// written `dataset.table`, of any dataset of the project.
    #[schemars(regex(pattern = r"^[A-Za-z0-9_-]{1,1024}$"))]
    pub dataset: Option<String>,
    /// Where the dataset lies, such as `EU` or `europe-west3`; found by the tables without it (bigquery).
    #[schemars(regex(pattern = r"^[A-Za-z0-9-]{1,64}$"))]
    pub location: Option<String>,
    /// The most bytes that one statement may have billed; 1073741824 (1 GiB) without it (bigquery).
    #[schemars(range(min = 1))]
    pub max_bytes_billed: Option<u64>,
    /// The file, relative to the host's `stateDir` and in a folder of the tenant's name, such as
    /// `techstart/primary.db` (sqlite, documents). Absolute paths, `..`, the host's own files and other
    /// tenants' folders are refused; a file that lies elsewhere is linked there by the operator.
    pub path: Option<String>,
    /// The prefix of the environment variables that hold the credentials, such as `TECHSTART_DB` for
    /// `TECHSTART_DB_USER` and `TECHSTART_DB_PASS` (all but sqlite and documents).
    #[schemars(regex(pattern = r"^[A-Z][A-Z0-9_]*$"))]
    pub credentials: Option<String>,
    /// Answers to reads that may be given again; none without it.
    pub cache: Option<Cache>,
}

/// Which answers to reads may be given again: those of queries outside transactions, of `find`, `count` and
/// `aggregate`, and of GET requests. What is written through the source makes them void.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Cache {
    /// For how many seconds. For so long nobody sees what others than this host change.
    #[schemars(range(min = 1, max = 86_400))]
    pub seconds: u32,
}

/// Kinds of databases.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DatabaseKind {
    /// A MySQL or MariaDB server.
    Mysql,
    /// A PostgreSQL server.
    Postgres,
    /// An SQLite file.
    Sqlite,
    /// A MongoDB server.
    Mongodb,
    /// Google BigQuery.
    Bigquery,
    /// Documents kept in a file of the host.
    Documents,
}

/// Somebody's HTTP API.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Api {
    /// Whose API it is; `rest` for any that this list lacks.
    pub provider: ApiProvider,
    /// The host of the organisation, such as `techstart.salesforce.com` (salesforce).
    pub instance: Option<String>,
    /// The host of the store, such as `techstart.myshopify.com` (shopify).
    pub store: Option<String>,
    /// The part before `.zendesk.com` (zendesk).
    pub subdomain: Option<String>,
    /// The version of the API; `v57.0` (salesforce), `2024-01` (shopify) or `2024-10-15` (klaviyo, its
    /// `revision`) without it.
    #[schemars(regex(pattern = r"^[A-Za-z0-9.-]{1,32}$"))]
    pub api_version: Option<String>,
    /// The root of all addresses, such as `https://api.example.com/v2` (rest).
    pub base_url: Option<String>,
    /// How the credential travels. Without it as the provider has it, or `bearer` (rest) where there are
    /// credentials. `rest` takes any; salesforce `bearer`, `client_credentials` and `refresh_token`,
    /// google_sheets `bearer` and `refresh_token`, zendesk `bearer`.
    pub auth: Option<Auth>,
    /// The header that carries the token (rest, with `auth` `header`).
    #[schemars(regex(pattern = r"^[A-Za-z0-9-]{1,64}$"))]
    pub header: Option<String>,
    /// The parameter of the query that carries the token (rest, with `auth` `query`).
    #[schemars(length(min = 1))]
    pub parameter: Option<String>,
    /// The token server (with `auth` `client_credentials` or `refresh_token`); the provider's own without it.
    pub token_url: Option<String>,
    /// What the token is to be good for, as the token server names it (with `auth` `client_credentials`).
    #[schemars(length(min = 1))]
    pub scope: Option<String>,
    /// How the client says who it is to the token server; `basic` without it.
    pub client_auth: Option<ClientAuth>,
    /// The path that takes GraphQL, relative to the root (rest): its queries only read. Without it each POST
    /// writes.
    #[schemars(length(min = 1))]
    pub graphql_path: Option<String>,
    /// How many requests the source gets, in place of what the provider is known to take.
    pub rate_limit: Option<RateLimit>,
    /// The prefix of the environment variables that hold the credentials, such as `TECHSTART_SFDC`
    /// for `TECHSTART_SFDC_TOKEN`.
    #[schemars(regex(pattern = r"^[A-Z][A-Z0-9_]*$"))]
    pub credentials: Option<String>,
    /// Answers to reads that may be given again; none without it.
    pub cache: Option<Cache>,
}

/// Whose API.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ApiProvider {
    /// Salesforce.
    Salesforce,
    /// Shopify's Admin API.
    Shopify,
    /// Zendesk.
    Zendesk,
    /// Klaviyo.
    Klaviyo,
    /// Google Sheets.
    GoogleSheets,
    /// Slack.
    Slack,
    /// Any other.
    Rest,
}

/// How a credential travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Auth {
    /// Not at all.
    None,
    /// `Authorization: Bearer` with the token.
    Bearer,
    /// HTTP Basic with the user and the password or token.
    Basic,
    /// The token in the header that `header` names.
    Header,
    /// The token in the parameter of the query that `parameter` names.
    Query,
    /// An OAuth token that the client gets for itself.
    ClientCredentials,
    /// An OAuth token that a refresh token gets.
    RefreshToken,
}

/// How an OAuth client says who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ClientAuth {
    /// By HTTP Basic.
    Basic,
    /// In the request's body.
    Body,
}

/// How many requests a source gets.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RateLimit {
    /// So many, at once or spread over the time.
    #[schemars(range(min = 1, max = 100_000))]
    pub requests: u32,
    /// In so many seconds; 1 without it.
    #[schemars(range(min = 1, max = 86_400))]
    pub per_seconds: Option<u32>,
}

/// A folder of files.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Folder {
    /// Who keeps it.
    pub provider: FolderProvider,
    /// The folder's id (google_drive).
    #[schemars(regex(pattern = r"^[A-Za-z0-9_-]{1,128}$"))]
    pub folder_id: Option<String>,
    /// The bucket's name (s3).
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$"))]
    pub bucket: Option<String>,
    /// The bucket's region, such as `us-east-1` (s3).
    #[schemars(regex(pattern = r"^[a-z0-9-]{1,40}$"))]
    pub region: Option<String>,
    /// The address of an S3 server other than Amazon's (s3).
    pub endpoint: Option<String>,
    /// What the objects' names begin with, such as `exports/2026`; all of the bucket without it (s3).
    pub prefix: Option<String>,
    /// The folder, relative to the host's `stateDir` and in a folder of the tenant's name, such as
    /// `techstart/exports` (local); the rules are those of a database's `path`.
    pub path: Option<String>,
    /// The prefix of the environment variables that hold the credentials (google_drive, s3).
    #[schemars(regex(pattern = r"^[A-Z][A-Z0-9_]*$"))]
    pub credentials: Option<String>,
}

/// Who keeps a folder.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FolderProvider {
    /// Google Drive.
    GoogleDrive,
    /// Amazon S3, or a server that speaks as it does.
    S3,
    /// The host's own disk.
    Local,
}

/// What an agent may use.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Mapping {
    /// The sources, by name.
    #[serde(default)]
    pub data_sources: Vec<String>,
    /// What it may do with each source; one that stands only in `dataSources` is read only.
    #[serde(default)]
    #[schemars(extend("additionalProperties" = {"type": "array", "minItems": 1, "items": {"enum": ["read", "write"]}}))]
    pub permissions: BTreeMap<String, Vec<Permission>>,
    /// What of a source it may touch, where that is not all of it.
    #[serde(default)]
    pub only: BTreeMap<String, Only>,
    /// The tool set that the agent calls, or a list of them.
    #[serde(default)]
    pub mcp_server: OneOrMany,
    /// Where the agent may send messages beyond what `notifications` gives it.
    pub notifications: Option<MappedNotifications>,
}

/// What may be done with a source; `write` includes `read`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Permission {
    Read,
    Write,
}

/// What of a source an agent may touch. Each kind of source takes one of these keys.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Only {
    /// The tables and views, by their very names (mysql, postgres, sqlite, bigquery).
    #[schemars(length(min = 1))]
    pub tables: Option<Vec<String>>,
    /// The collections, by their very names (mongodb, documents).
    #[schemars(length(min = 1))]
    pub collections: Option<Vec<String>>,
    /// Paths, each with all that lies under it: of an API relative to its root, such as `orders`; of
    /// files relative to the source's folder, such as `invoices/2026`.
    #[schemars(length(min = 1))]
    pub paths: Option<Vec<String>>,
}

/// What signs requests to webhooks.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Webhook {
    /// The prefix of the environment variable that holds the secret: `{credentials}_HOOK_SECRET`.
    #[schemars(regex(pattern = r"^[A-Z][A-Z0-9_]*$"))]
    pub credentials: String,
}

/// A tenant's own language model.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Model {
    /// As its provider names it; the host's without it.
    #[schemars(length(min = 1))]
    pub name: Option<String>,
    /// The root of an OpenAI-compatible API; `{credentials}_BASE_URL` wins over it.
    pub base_url: Option<String>,
    /// The prefix of the environment variables that hold the key: `{credentials}_API_KEY`.
    #[schemars(regex(pattern = r"^[A-Z][A-Z0-9_]*$"))]
    pub credentials: Option<String>,
}

/// A text, or a list of texts.
#[derive(Debug, Default)]
pub(crate) struct OneOrMany(pub Vec<String>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;

        impl<'de> Visitor<'de> for Texts {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E>(self, text: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany(vec![text.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<OneOrMany, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = items.next_element()? {
                    texts.push(text);
                }
                Ok(OneOrMany(texts))
            }
        }

        deserializer.deserialize_any(Texts)
    }
}

impl JsonSchema for OneOrMany {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OneOrMany".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
    }
}
