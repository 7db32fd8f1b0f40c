//! Sources: which keys a kind takes, what it needs from the environment, and what the connectors get.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use remit_domain::{
    SourceName,
    data::files,
    source::{
        Bucket, Credentials, DatabaseServer, Definition, DocumentServer, Drive, Kind, Slack, SlackAccess, Warehouse,
    },
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::{Reader, authored, state};
use crate::{
    environment::Part,
    fault::one_of,
    host::{http_url, is_host_name},
    located::join,
};

/// The keys of one kind of source, beside the one that names the kind.
pub(super) struct Keys {
    pub(super) kind: &'static str,
    pub(super) required: &'static [&'static str],
    pub(super) optional: &'static [&'static str],
}

const MYSQL: Keys =
    Keys { kind: "mysql", required: &[], optional: &["connection", "host", "port", "database", "credentials"] };
const POSTGRES: Keys =
    Keys { kind: "postgres", required: &[], optional: &["connection", "host", "port", "database", "credentials"] };
const SQLITE: Keys = Keys { kind: "sqlite", required: &["path"], optional: &[] };
const DOCUMENTS: Keys = Keys { kind: "documents", required: &["path"], optional: &[] };
const MONGODB: Keys =
    Keys { kind: "mongodb", required: &[], optional: &["connection", "uri", "database", "credentials"] };
const BIGQUERY: Keys = Keys {
    kind: "bigquery",
    required: &["projectId", "credentials"],
    optional: &["dataset", "location", "maxBytesBilled"],
};
const GOOGLE_DRIVE: Keys = Keys { kind: "google_drive", required: &["folderId", "credentials"], optional: &[] };
const S3: Keys = Keys { kind: "s3", required: &["bucket", "region", "credentials"], optional: &["endpoint", "prefix"] };
const LOCAL: Keys = Keys { kind: "local", required: &["path"], optional: &[] };

impl Reader<'_> {
    pub(super) fn sources(&mut self, authored: &authored::DataSources) -> BTreeMap<SourceName, Arc<Definition>> {
        let mut sources = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let databases = authored.databases.iter().map(|(name, source)| ("databases", name, Source::Database(source)));
        let apis = authored.apis.iter().map(|(name, source)| ("apis", name, Source::Api(source)));
        let folders = authored.files.iter().map(|(name, source)| ("files", name, Source::Folder(source)));
        for (category, text, source) in databases.chain(apis).chain(folders) {
            let pointer = join(&format!("/dataSources/{category}"), text);
            let kind = source.kind(self, &pointer);
            let name = match SourceName::new(text) {
                Ok(name) => name,
                Err(invalid) => {
                    self.faults.push(self.located.at_key(&pointer, invalid.to_string()));
                    continue;
                }
            };
            if !seen.insert(name.clone()) {
                let fault = self.located.at_key(&pointer, format!("a second source named `{name}`"));
                self.faults.push(fault.hint("a name is unique over databases, apis and files"));
                continue;
            }
            let Some(kind) = kind else { continue };
            let authored_kind = self.authored_kind(&pointer);
            let revision = self.revision(&pointer, &kind);
            let cache = source.cache().map(|cache| Duration::from_secs(cache.seconds.into()));
            let definition = Definition { name: name.clone(), authored_kind, kind, revision, cache };
            sources.insert(name, Arc::new(definition));
        }
        sources
    }

    /// What the context called the source before any profile.
    fn authored_kind(&self, pointer: &str) -> String {
        let named = |value: Option<&Value>| {
            let source = value?;
            source.get("type").or_else(|| source.get("provider"))?.as_str().map(str::to_owned)
        };
        named(self.base.pointer(pointer)).or_else(|| named(self.located.get(pointer))).unwrap_or_default()
    }

    /// A hash over whatever makes a connection, secrets included.
    pub(super) fn revision(&self, pointer: &str, kind: &Kind) -> String {
        let mut hash = blake3::Hasher::new_keyed(self.around.seal);
        let mut add = |text: &str| {
            hash.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        };
        add(&self.located.get(pointer).map(Value::to_string).unwrap_or_default());
        // Secrets are hidden in this, and added below.
        add(&format!("{kind:?}"));
        let credentials = match kind {
            Kind::Mysql(server) | Kind::Postgres(server) => Some(&server.credentials),
            Kind::Mongo(server) => Some(&server.credentials),
            Kind::Api(api) => Some(&api.credentials),
            Kind::Bucket(bucket) => Some(&bucket.credentials),
            Kind::Drive(drive) => Some(&drive.credentials),
            Kind::BigQuery(warehouse) => Some(&warehouse.credentials),
            _ => None,
        };
        if let Some(Credentials {
            user,
            password,
            token,
            uri,
            key_file,
            access_key,
            secret_key,
            client_id,
            client_secret,
            refresh_token,
        }) = credentials
        {
            for name in [user, access_key, client_id] {
                add(name.as_deref().unwrap_or_default());
            }
            for secret in [password, token, uri, key_file, secret_key, client_secret, refresh_token] {
                add(secret.as_ref().map(ExposeSecret::expose_secret).unwrap_or_default());
            }
        }
        for secret in of_channel(kind) {
            add(secret.expose_secret());
        }
        hash.finalize().to_hex().to_string()
    }

    /// Checks that a source has the keys of its kind and no others.
    pub(super) fn keys(&mut self, pointer: &str, keys: &Keys) -> bool {
        let Some(source) = self.located.get(pointer).and_then(Value::as_object) else { return false };
        let faults_before = self.faults.len();
        let all = || keys.required.iter().chain(keys.optional).copied();
        for name in source.keys().filter(|name| !matches!(name.as_str(), "type" | "provider" | "cache")) {
            if !all().any(|known| known == name) {
                let message = format!("`{name}` is not a key of a {} source", keys.kind);
                let fault = self.located.at_key(&join(pointer, name), message);
                self.faults.push(fault.hint_if(one_of(name, all())));
            }
        }
        for name in keys.required.iter().filter(|name| !source.contains_key(**name)) {
            self.faults.push(self.located.at(pointer, format!("a {} source needs `{name}`", keys.kind)));
        }
        self.faults.len() == faults_before
    }

    pub(super) fn credentials(&mut self, pointer: &str, name: Option<&String>) -> Credentials {
        let Some(name) = name else { return Credentials::default() };
        let at = join(pointer, "credentials");
        if !self.may_use(&at, name) {
            return Credentials::default();
        }
        match self.around.env.credentials(name) {
            Ok(credentials) => credentials,
            Err(errors) => {
                let faults = errors.iter().map(|error| self.located.at(&at, error.to_string()));
                let faults: Vec<_> = faults.collect();
                self.faults.extend(faults);
                Credentials::default()
            }
        }
    }

    /// Says which variables are missing, unless the source can do without.
    pub(super) fn needs(&mut self, pointer: &str, name: Option<&String>, parts: &[(Part, bool)]) {
        let Some(name) = name else { return };
        let missing: Vec<String> =
            parts.iter().filter(|(_, there)| !there).map(|(part, _)| part.variable(name)).collect();
        if !missing.is_empty() {
            let source = pointer.rsplit('/').next().unwrap_or_default();
            let verb = if missing.len() == 1 { "is" } else { "are" };
            let variables = format!("{} {verb}", missing.join(" and "));
            self.unset(&join(pointer, "credentials"), &variables, &format!("the source `{source}`"));
        }
    }

    pub(super) fn host_name(&mut self, pointer: &str, text: &str) -> bool {
        let fine = is_host_name(text);
        if !fine {
            let hint = "the name alone, without scheme, port and path";
            self.at(pointer, format!("`{text}` is not a host's name"), hint);
        }
        fine
    }

    fn state_path(&mut self, pointer: &str, path: Option<&String>) -> Option<PathBuf> {
        match state::place(self.around.host, self.around.prefixes, self.tenant, path?) {
            Ok(place) => Some(place),
            Err(refusal) => {
                self.at(&join(pointer, "path"), refusal.message, refusal.hint);
                None
            }
        }
    }
}

/// The secrets of a channel.
fn of_channel(kind: &Kind) -> Vec<&SecretString> {
    match kind {
        Kind::Slack(Slack { access: Some(SlackAccess::Bot { token, uri }), .. }) => {
            std::iter::once(token).chain(uri).collect()
        }
        Kind::Slack(Slack { access: Some(SlackAccess::Webhook(url)), .. }) => vec![url],
        Kind::Mail(mail) => mail.server.iter().filter_map(|server| server.password.as_ref()).collect(),
        _ => Vec::new(),
    }
}

/// A source as written, of whichever category.
enum Source<'a> {
    Database(&'a authored::Database),
    Api(&'a authored::Api),
    Folder(&'a authored::Folder),
}

impl Source<'_> {
    fn cache(&self) -> Option<authored::Cache> {
        match self {
            Self::Database(database) => database.cache,
            Self::Api(api) => api.cache,
            Self::Folder(_) => None,
        }
    }

    fn kind(&self, reader: &mut Reader<'_>, pointer: &str) -> Option<Kind> {
        match self {
            Self::Database(database) => reader.database(pointer, database),
            Self::Api(api) => reader.api(pointer, api),
            Self::Folder(folder) => reader.folder(pointer, folder),
        }
    }
}

impl Reader<'_> {
    fn database(&mut self, pointer: &str, database: &authored::Database) -> Option<Kind> {
        use authored::DatabaseKind as Type;
        let keys = match database.kind {
            Type::Mysql => MYSQL,
            Type::Postgres => POSTGRES,
            Type::Sqlite => SQLITE,
            Type::Mongodb => MONGODB,
            Type::Bigquery => BIGQUERY,
            Type::Documents => DOCUMENTS,
        };
        let complete = self.keys(pointer, &keys);
        let kind = match database.kind {
            Type::Mysql => Some(Kind::Mysql(self.server(pointer, keys.kind, database))),
            Type::Postgres => Some(Kind::Postgres(self.server(pointer, keys.kind, database))),
            Type::Sqlite => self.state_path(pointer, database.path.as_ref()).map(|path| Kind::Sqlite { path }),
            Type::Documents => self.state_path(pointer, database.path.as_ref()).map(|path| Kind::DocumentFile { path }),
            Type::Mongodb => Some(self.mongodb(pointer, database)),
            Type::Bigquery => self.bigquery(pointer, database),
        };
        kind.filter(|_| complete)
    }

    fn server(&mut self, pointer: &str, kind: &str, database: &authored::Database) -> DatabaseServer {
        let credentials = self.credentials(pointer, database.credentials.as_ref());
        if let Some(host) = &database.host {
            let at = join(pointer, "host");
            let address = host.parse::<std::net::IpAddr>().is_ok();
            if !address
                && host.rsplit_once(':').is_some_and(|(name, port)| is_host_name(name) && port.parse::<u16>().is_ok())
            {
                self.at(&at, format!("`{host}` holds a port"), "give the port by `port`");
            } else if !address {
                self.host_name(&at, host);
            }
        }
        if credentials.uri.is_none() {
            for (key, value) in [("host", &database.host), ("database", &database.database)] {
                if value.as_ref().is_none_or(String::is_empty) {
                    let variable = database.credentials.as_ref().map(|name| Part::Uri.variable(name));
                    let hint = variable.map(|variable| format!("or {variable} in the environment"));
                    self.faults.push(self.located.at(pointer, format!("a {kind} source needs `{key}`")).hint_if(hint));
                }
            }
            if database.credentials.is_none() {
                self.faults.push(self.located.at(pointer, format!("a {kind} source needs `credentials`")));
            }
            let parts = [(Part::User, credentials.user.is_some()), (Part::Password, credentials.password.is_some())];
            self.needs(pointer, database.credentials.as_ref(), &parts);
        }
        DatabaseServer {
            host: database.host.clone().unwrap_or_default(),
            port: database.port,
            database: database.database.clone().unwrap_or_default(),
            credentials,
        }
    }

    fn bigquery(&mut self, pointer: &str, database: &authored::Database) -> Option<Kind> {
        let credentials = self.credentials(pointer, database.credentials.as_ref());
        let (key, token) = (credentials.key_file.is_some(), credentials.token.is_some());
        self.needs(pointer, database.credentials.as_ref(), &[(Part::KeyFile, key || token)]);
        if let (true, true, Some(name)) = (key, token, &database.credentials) {
            let both = format!("{} and {} are both set", Part::KeyFile.variable(name), Part::Token.variable(name));
            self.at(&join(pointer, "credentials"), both, "each is a way to prove the same: leave out one");
        }
        self.uri(pointer, database.credentials.as_ref(), &credentials);
        Some(Kind::BigQuery(Warehouse {
            project: database.project_id.clone()?,
            dataset: database.dataset.clone(),
            location: database.location.clone(),
            max_bytes_billed: database.max_bytes_billed.unwrap_or(Warehouse::MAX_BYTES_BILLED),
            credentials,
        }))
    }

    fn mongodb(&mut self, pointer: &str, database: &authored::Database) -> Kind {
        let at = join(pointer, "uri");
        let uri = database.uri.as_deref();
        if let Some(Err((message, hint))) = uri.map(mongodb_address) {
            self.at(&at, message, hint);
        } else if uri.is_some_and(|uri| uri.contains('@')) {
            let warning = self.located.at(&at, "a password stands in the file");
            self.warnings.push(warning.hint("move the whole address to the `…_URI` variable"));
        }
        let credentials = self.credentials(pointer, database.credentials.as_ref());
        if let Some(Err((message, hint))) = credentials.uri.as_ref().map(|uri| mongodb_address(uri.expose_secret())) {
            let name = database.credentials.as_ref().map(|name| Part::Uri.variable(name)).unwrap_or_default();
            self.at(&join(pointer, "credentials"), format!("{name}: {message}"), hint);
        }
        if uri.is_none() && credentials.uri.is_none() {
            self.faults.push(self.located.at(pointer, "a mongodb source needs `uri`"));
        }
        let named = credentials.uri.as_ref().map(ExposeSecret::expose_secret).or(uri).is_some_and(names_database);
        if !named && database.database.as_ref().is_none_or(String::is_empty) {
            let fault = self.located.at(pointer, "a mongodb source needs `database`");
            self.faults.push(fault.hint("or an address that ends in `/<database>`"));
        }
        let parts = [(Part::User, credentials.user.is_some()), (Part::Password, credentials.password.is_some())];
        if credentials.uri.is_none() && !uri.is_some_and(|uri| uri.contains('@')) {
            self.needs(pointer, database.credentials.as_ref(), &parts);
        }
        Kind::Mongo(DocumentServer {
            uri: uri.map(|uri| uri.to_owned().into()),
            database: database.database.clone().filter(|name| !name.is_empty()),
            credentials,
        })
    }

    fn folder(&mut self, pointer: &str, folder: &authored::Folder) -> Option<Kind> {
        let keys = match folder.provider {
            authored::FolderProvider::GoogleDrive => GOOGLE_DRIVE,
            authored::FolderProvider::S3 => S3,
            authored::FolderProvider::Local => LOCAL,
        };
        let complete = self.keys(pointer, &keys);
        let kind = match folder.provider {
            authored::FolderProvider::Local => {
                self.state_path(pointer, folder.path.as_ref()).map(|path| Kind::LocalFolder { path })
            }
            authored::FolderProvider::S3 => self.bucket(pointer, folder),
            authored::FolderProvider::GoogleDrive => self.drive(pointer, folder),
        };
        kind.filter(|_| complete)
    }

    fn bucket(&mut self, pointer: &str, folder: &authored::Folder) -> Option<Kind> {
        let credentials = self.credentials(pointer, folder.credentials.as_ref());
        if let Some(Err(message)) = folder.endpoint.as_deref().map(http_url) {
            self.faults.push(self.located.at(&join(pointer, "endpoint"), message));
        }
        self.uri(pointer, folder.credentials.as_ref(), &credentials);
        if let Some(Err(error)) = folder.prefix.as_deref().map(|prefix| files::Path::inside(prefix.trim_matches('/'))) {
            self.faults.push(self.located.at(&join(pointer, "prefix"), error.to_string()));
        }
        let parts =
            [(Part::AccessKey, credentials.access_key.is_some()), (Part::SecretKey, credentials.secret_key.is_some())];
        self.needs(pointer, folder.credentials.as_ref(), &parts);
        Some(Kind::Bucket(Bucket {
            bucket: folder.bucket.clone()?,
            region: folder.region.clone()?,
            prefix: folder.prefix.clone().unwrap_or_default(),
            endpoint: folder.endpoint.clone(),
            credentials,
        }))
    }

    fn drive(&mut self, pointer: &str, folder: &authored::Folder) -> Option<Kind> {
        let credentials = self.credentials(pointer, folder.credentials.as_ref());
        self.uri(pointer, folder.credentials.as_ref(), &credentials);
        if credentials.token.is_none() {
            self.needs(pointer, folder.credentials.as_ref(), &[(Part::KeyFile, credentials.key_file.is_some())]);
        }
        Some(Kind::Drive(Drive { folder_id: folder.folder_id.clone()?, credentials }))
    }

    /// Checks an address that stands in the environment.
    pub(super) fn uri(&mut self, pointer: &str, name: Option<&String>, credentials: &Credentials) {
        if let Some(Err(message)) = credentials.uri.as_ref().map(|uri| http_url(uri.expose_secret())) {
            let name = name.map(|name| Part::Uri.variable(name)).unwrap_or_default();
            self.faults.push(self.located.at(&join(pointer, "credentials"), format!("{name}: {message}")));
        }
    }
}

/// Checks an address's scheme. Its cause would show the address. Errors: what is wrong, and a hint.
fn mongodb_address(uri: &str) -> Result<(), (&'static str, &'static str)> {
    if uri.starts_with("mongodb+srv://") {
        return Err((
            "an address that is looked up in DNS",
            "DNS would choose hosts and options: write `mongodb://` with the hosts, which Atlas shows for older drivers",
        ));
    }
    if uri.starts_with("mongodb://") { Ok(()) } else { Err(("not a MongoDB address", "it begins with `mongodb://`")) }
}

/// Whether a MongoDB address ends in a database's name.
fn names_database(uri: &str) -> bool {
    let rest = uri.strip_prefix("mongodb://").unwrap_or_default();
    let path = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest).split_once('/').map(|(_, path)| path);
    path.is_some_and(|path| !path.split('?').next().unwrap_or_default().is_empty())
}
