//! What a tenant's source is and how to reach it, as plain data with its credentials resolved.
//!
//! Deliberately absent: drivers, pools and what a provider's API looks like (`remit-sources`).

use std::path::PathBuf;

use secrecy::SecretString;

use crate::SourceName;

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
    /// Google BigQuery.
    BigQuery(Warehouse),
    /// Documents kept in a SQLite file: the embedded document store.
    DocumentFile {
        /// Where it lies.
        path: PathBuf,
    },
    /// Somebody's HTTP API.
    Api(Api),
    /// A kind that the language of contexts knows and this build has no connector for.
    Unconnected {
        /// Its name, such as `s3`.
        kind: String,
    },
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
    /// For `rest`: how the credential travels.
    pub auth: Auth,
    /// `uri` replaces the scheme and host of the base URL.
    pub credentials: Credentials,
}

/// Whose API it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Provider {
    /// Salesforce REST.
    Salesforce,
    /// Shopify's Admin API.
    Shopify,
    /// Any other, described by the context alone.
    Rest,
}

/// How a `rest` source's credential travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// None.
    None,
    /// `Authorization: Bearer` with the token.
    Bearer,
    /// HTTP Basic with user and password (or token).
    Basic,
    /// A header of this name with the token.
    Header(String),
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
}
