//! What a tenant's source is and how to reach it, as plain data with its credentials resolved.
//!
//! Deliberately absent: drivers, pools and what a provider's API looks like (`remit-sources`).

use std::{collections::BTreeMap, num::NonZeroU32, path::PathBuf, time::Duration};

use secrecy::SecretString;

use crate::{
    AgentName, SourceName,
    data::notify::{Address, Pattern, Room},
};

/// One source of a tenant.
#[derive(Debug)]
pub struct Definition {
    /// Its name in the context.
    pub name: SourceName,
    /// What the context called it before any profile, such as `mysql` or `salesforce`: what a
    /// workflow's `primary.mysql.select` is compared with, and what health shows.
    pub authored_kind: String,
    /// How to reach it.
    pub kind: Kind,
    /// Whether the connection carries a secret that differs, in bytes: changes when any field does,
    /// so that a pool made from an older definition is not used for a newer one.
    pub revision: String,
    /// For how long an answer to a read may be given again. None: never.
    pub cache: Option<Duration>,
}

/// How to reach a source, by connector.
#[derive(Debug)]
pub enum Kind {
    /// A SQLite file.
    Sqlite {
        /// Where it lies.
        path: PathBuf,
    },
    /// A MySQL or MariaDB server.
    Mysql(DatabaseServer),
    /// A PostgreSQL server.
    Postgres(DatabaseServer),
    /// Google BigQuery.
    BigQuery(Warehouse),
    /// A MongoDB deployment.
    Mongo(DocumentServer),
    /// Documents kept in a SQLite file: the embedded document store.
    DocumentFile {
        /// Where it lies.
        path: PathBuf,
    },
    /// Somebody's HTTP API.
    Api(Api),
    /// The hosts of the web that the tenant's context lists, by absolute URLs and without credentials.
    Web {
        /// Which.
        hosts: Vec<WebHost>,
    },
    /// A folder of the host's own disk.
    LocalFolder {
        /// Where it lies.
        path: PathBuf,
    },
    /// A bucket of S3, or of a server that speaks as it does.
    Bucket(Bucket),
    /// A folder of Google Drive.
    Drive(Drive),
    /// Rooms of Slack.
    Slack(Slack),
    /// Mail.
    Mail(Mail),
    /// A kind that the language of contexts knows and this build has no connector for.
    Unconnected {
        /// Its name, such as `s3`.
        kind: String,
    },
}

/// A host of the web, or all below a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebHost {
    /// In lower case.
    pub name: String,
    /// Whether the hosts below it are meant, and not it.
    pub below: bool,
    /// The port; that of the URL's scheme if none.
    pub port: Option<u16>,
}

impl WebHost {
    /// Whether a host, in lower case, is meant at a port, which is none for that of the scheme.
    pub fn is(&self, host: &str, port: Option<u16>) -> bool {
        let named = match self.below {
            true => host.strip_suffix(self.name.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            false => host == self.name,
        };
        named && self.port == port
    }
}

/// A database on a server.
#[derive(Debug)]
pub struct DatabaseServer {
    /// A name or address; empty if `credentials.uri` says it.
    pub host: String,
    /// The engine's own if none.
    pub port: Option<u16>,
    /// The database's name; empty if `credentials.uri` says it.
    pub database: String,
    /// `uri` wins over host, port and database.
    pub credentials: Credentials,
}

/// A database of documents on a server.
#[derive(Debug)]
pub struct DocumentServer {
    /// Where it is, as a `mongodb://` address; secret, since it may hold a password. None if
    /// `credentials.uri` says it.
    pub uri: Option<SecretString>,
    /// The database's name; none if the address says it.
    pub database: Option<String>,
    /// `uri` wins over the one above; user and password are those of an address that has none.
    pub credentials: Credentials,
}

/// A bucket of objects.
#[derive(Debug)]
pub struct Bucket {
    /// Its name.
    pub bucket: String,
    /// Such as `us-east-1`.
    pub region: String,
    /// What the objects' names begin with; empty for the whole bucket.
    pub prefix: String,
    /// The server's address where it is not Amazon's.
    pub endpoint: Option<String>,
    /// `access_key` and `secret_key`; `uri` wins over the endpoint.
    pub credentials: Credentials,
}

/// A folder of Google Drive.
#[derive(Debug)]
pub struct Drive {
    /// Its id.
    pub folder_id: String,
    /// `key_file` or `token`; `uri` replaces the scheme and host of the API.
    pub credentials: Credentials,
}

/// A project of Google BigQuery's.
#[derive(Debug)]
pub struct Warehouse {
    /// The project that is billed and that all tables belong to.
    pub project: String,
    /// The only dataset whose tables may be named; any of the project's if none.
    pub dataset: Option<String>,
    /// Where the dataset lies, such as `EU`; BigQuery finds it by the tables if none.
    pub location: Option<String>,
    /// The most bytes that one statement may have billed.
    pub max_bytes_billed: u64,
    /// `key_file`, or else `token`; `uri` replaces the scheme and host of Google's API.
    pub credentials: Credentials,
}

impl Warehouse {
    /// The ceiling of a source that names none: 1 GiB, well below a US cent by the price of scanned
    /// bytes, and more than a tool's question of a partitioned table reads.
    pub const MAX_BYTES_BILLED: u64 = 1024 * 1024 * 1024;
}

/// An HTTP API.
#[derive(Debug)]
pub struct Api {
    /// Whose it is.
    pub provider: Provider,
    /// What the provider's base URL is made from: a Shopify store, a Salesforce instance, a Zendesk
    /// subdomain, or the base URL itself for `rest`.
    pub address: String,
    /// The version that stands in the base URL, where the provider has one.
    pub api_version: Option<String>,
    /// How the credential travels, where the context says it.
    pub auth: Auth,
    /// The path that takes GraphQL, where the context names one.
    pub graphql: Option<String>,
    /// How many requests the source gets, where the context says it.
    pub rate: Option<Rate>,
    /// `uri` replaces the scheme and host of the base URL.
    pub credentials: Credentials,
}

/// The rooms of a tenant in a workspace of Slack. Its name among the sources is [`Slack::NAME`].
#[derive(Debug)]
pub struct Slack {
    /// Each agent's own room, where it has one.
    pub rooms: BTreeMap<AgentName, Room>,
    /// How they are reached; none if no credential is set.
    pub access: Option<SlackAccess>,
}

impl Slack {
    /// The channel's name.
    pub const NAME: &str = "slack";
}

/// How Slack is reached.
#[derive(Debug)]
pub enum SlackAccess {
    /// By a bot of the workspace, in whatever rooms it is a member of.
    Bot {
        /// The bot's token.
        token: SecretString,
        /// Replaces the scheme and host of Slack's API.
        uri: Option<SecretString>,
    },
    /// By an incoming webhook's address, which is a secret.
    Webhook(SecretString),
}

/// A tenant's mail. Its name among the sources is [`Mail::NAME`].
#[derive(Debug)]
pub struct Mail {
    /// The sender.
    pub from: Address,
    /// By the names that plugins use.
    pub templates: BTreeMap<String, Template>,
    /// Who may be written to; anybody if none.
    pub to: Option<Vec<Pattern>>,
    /// What takes the mail; none if none is set.
    pub server: Option<MailServer>,
}

impl Mail {
    /// The channel's name.
    pub const NAME: &str = "email";
    /// What a scope names beside templates where texts of the agent's own may be sent.
    pub const FREE_TEXT: &str = "text";
}

/// A template of mails: texts whose syntax was checked, and which are yet to be filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The subject, if the template has one.
    pub subject: Option<String>,
    /// The plain text.
    pub text: String,
    /// The same as HTML.
    pub html: Option<String>,
}

/// A server that takes mail for delivery.
#[derive(Debug, Clone)]
pub struct MailServer {
    /// A name or address.
    pub host: String,
    /// 465 is TLS from the first byte; any other begins in the clear, and goes on by STARTTLS.
    pub port: u16,
    /// Whether mail may go unencrypted although the host is not this machine.
    pub plain: bool,
    /// An account there.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<SecretString>,
}

/// Whose API it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Provider {
    /// Salesforce REST.
    Salesforce,
    /// Shopify's Admin API.
    Shopify,
    /// Zendesk Support.
    Zendesk,
    /// Klaviyo.
    Klaviyo,
    /// Google Sheets.
    GoogleSheets,
    /// Slack's Web API.
    Slack,
    /// Any other, described by the context alone.
    Rest,
}

/// How a source's credential travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// As the provider wants it; for `rest`, without one.
    None,
    /// `Authorization: Bearer` with the token.
    Bearer,
    /// HTTP Basic with user and password (or token).
    Basic,
    /// A header of this name with the token.
    Header(String),
    /// A parameter of this name in the query, with the token.
    Query(String),
    /// `Authorization: Bearer` with a token that the client gets for itself (OAuth 2.0).
    ClientCredentials(OAuth),
    /// `Authorization: Bearer` with a token that a refresh token gets (OAuth 2.0).
    RefreshToken(OAuth),
}

/// Where access tokens come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuth {
    /// The token server; the provider's own if none.
    pub token_url: Option<String>,
    /// What the token is to be good for, if that is asked.
    pub scope: Option<String>,
    /// Whether the client's id and secret stand in the body and not in `Authorization`.
    pub in_body: bool,
}

/// So many requests in some time, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub requests: NonZeroU32,
    /// In which time.
    pub per: Duration,
}

/// Secrets for one source, from the environment. Each is there only if its variable is.
#[derive(Debug, Default, Clone)]
pub struct Credentials {
    /// `{CRED}_USER` or `{CRED}_USERNAME`.
    pub user: Option<String>,
    /// `{CRED}_PASS`.
    pub password: Option<SecretString>,
    /// `{CRED}_TOKEN`.
    pub token: Option<SecretString>,
    /// `{CRED}_URI`: secret too, since it may hold a password.
    pub uri: Option<SecretString>,
    /// What the file that `{CRED}_KEY_FILE` names holds: a service account's key, as JSON.
    pub key_file: Option<SecretString>,
    /// `{CRED}_ACCESS_KEY`: the public half of an S3 key.
    pub access_key: Option<String>,
    /// `{CRED}_SECRET_KEY`: its secret half.
    pub secret_key: Option<SecretString>,
    /// `{CRED}_CLIENT_ID`: an OAuth client's name.
    pub client_id: Option<String>,
    /// `{CRED}_CLIENT_SECRET`: what the client proves itself with.
    pub client_secret: Option<SecretString>,
    /// `{CRED}_REFRESH_TOKEN`: an OAuth refresh token.
    pub refresh_token: Option<SecretString>,
}
