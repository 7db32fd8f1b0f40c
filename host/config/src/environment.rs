//! The environment: the process's variables and a `.env` file, read once and never changed.
//!
//! A source's `credentials` is a prefix; its variables are
//!
//! | variable | holds |
//! |---|---|
//! | `{CRED}_USER`, or `{CRED}_USERNAME` | a user's name |
//! | `{CRED}_PASS` | a password |
//! | `{CRED}_TOKEN` | an access token |
//! | `{CRED}_URI` | where the source is; wins over what the context says |
//! | `{CRED}_KEY_FILE` | the path of a service account's key, a JSON file (Google's) |
//! | `{CRED}_ACCESS_KEY`, `{CRED}_SECRET_KEY` | an S3 key |
//! | `{CRED}_CLIENT_ID`, `{CRED}_CLIENT_SECRET` | an OAuth client |
//! | `{CRED}_REFRESH_TOKEN` | an OAuth refresh token |
//! | `{CRED}_WEBHOOK` | a Slack webhook |
//! | `{CRED}_HOOK_SECRET` | what signs requests to a workflow's webhook |
//! | `{CRED}_API_KEY`, `{CRED}_BASE_URL` | a language model's key and address |
//!
//! Any of them may be given as `…_FILE` instead: the path of a file that holds the value. An empty
//! variable counts as none. In `.env` a value with a `$` stands in single quotes, since `$NAME` is
//! filled in elsewhere. Two variables that say the same thing are a fault, never a choice.
//!
//! Deliberately absent: changing the process's environment, and showing a value.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use remit_domain::source::Credentials;
use secrecy::{ExposeSecret, SecretString};

use crate::fault::{Fault, Faults, Spot};

/// Why a variable can't be used. Names variables and paths, never values.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Two variables say the same thing.
    #[error("both {0} and {1} are set: keep one")]
    Ambiguous(String, String),
    /// The file that a `…_FILE` variable names can't be read, is empty, too long or not UTF-8.
    #[error("{variable} names a file that is of no use: {reason}")]
    File {
        /// The variable.
        variable: String,
        /// Why.
        reason: String,
    },
}

/// One of the variables that a credential consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A user's name.
    User,
    /// A password.
    Password,
    /// An access token.
    Token,
    /// Where the source is.
    Uri,
    /// What a key file holds.
    KeyFile,
    /// The public half of an S3 key.
    AccessKey,
    /// The secret half of an S3 key.
    SecretKey,
    /// An OAuth client's name.
    ClientId,
    /// An OAuth client's secret.
    ClientSecret,
    /// An OAuth refresh token.
    RefreshToken,
    /// A Slack webhook.
    Webhook,
    /// What signs requests to a workflow's webhook.
    HookSecret,
    /// A language model's key.
    ApiKey,
    /// A language model's address.
    BaseUrl,
}

impl Part {
    const ALL: [Self; 14] = [
        Self::User,
        Self::Password,
        Self::Token,
        Self::Uri,
        Self::KeyFile,
        Self::AccessKey,
        Self::SecretKey,
        Self::ClientId,
        Self::ClientSecret,
        Self::RefreshToken,
        Self::Webhook,
        Self::HookSecret,
        Self::ApiKey,
        Self::BaseUrl,
    ];

    /// How the names of its variables end, the usual one first.
    fn endings(self) -> &'static [&'static str] {
        match self {
            Self::User => &["USER", "USERNAME"],
            Self::Password => &["PASS"],
            Self::Token => &["TOKEN"],
            Self::Uri => &["URI"],
            Self::KeyFile => &["KEY_FILE"],
            Self::AccessKey => &["ACCESS_KEY"],
            Self::SecretKey => &["SECRET_KEY"],
            Self::ClientId => &["CLIENT_ID"],
            Self::ClientSecret => &["CLIENT_SECRET"],
            Self::RefreshToken => &["REFRESH_TOKEN"],
            Self::Webhook => &["WEBHOOK"],
            Self::HookSecret => &["HOOK_SECRET"],
            Self::ApiKey => &["API_KEY"],
            Self::BaseUrl => &["BASE_URL"],
        }
    }

    /// The usual name of its variable.
    pub fn variable(self, credentials: &str) -> String {
        format!("{credentials}_{}", self.endings().first().copied().unwrap_or_default())
    }
}

/// The variables, as they were when they were read.
#[derive(Debug, Clone)]
pub struct Environment {
    variables: Arc<BTreeMap<String, SecretString>>,
    origin: Origin,
}

#[derive(Debug, Clone)]
enum Origin {
    Map,
    Process { dotenv: Option<PathBuf> },
}

/// The longest value that a `…_FILE` may hold.
const MAX_FILE_BYTES: u64 = 64 * 1024;

impl Environment {
    /// The process's variables, and those of a `.env` file (which need not exist) that the process
    /// does not have. Variables that are not UTF-8 are left out.
    ///
    /// Errors: a `.env` that can't be read or has a faulty line or a variable twice.
    pub fn from_process(dotenv: Option<&Path>) -> Result<Self, Faults> {
        let mut variables = dotenv.map(read_dotenv).transpose()?.unwrap_or_default();
        for (name, value) in std::env::vars_os() {
            if let (Ok(name), Ok(value)) = (name.into_string(), value.into_string()) {
                variables.insert(name, value.into());
            }
        }
        let origin = Origin::Process { dotenv: dotenv.map(Path::to_owned) };
        Ok(Self { variables: Arc::new(variables), origin })
    }

    /// These variables and no others.
    pub fn from_map<N: Into<String>, V: Into<String>>(variables: impl IntoIterator<Item = (N, V)>) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into().into())).collect();
        Self { variables: Arc::new(variables), origin: Origin::Map }
    }

    /// The same, read again. Errors as [`Self::from_process`].
    pub fn refreshed(&self) -> Result<Self, Faults> {
        match &self.origin {
            Origin::Map => Ok(self.clone()),
            Origin::Process { dotenv } => Self::from_process(dotenv.as_deref()),
        }
    }

    /// A variable, or what the file that `…_FILE` names holds, without its last line feed.
    ///
    /// Errors: [`Error::Ambiguous`] if both are set; [`Error::File`].
    pub fn get(&self, name: &str) -> Result<Option<SecretString>, Error> {
        let by_file = format!("{name}_FILE");
        match (self.plain(name), self.plain(&by_file)) {
            (Some(_), Some(_)) => Err(Error::Ambiguous(name.to_owned(), by_file)),
            (Some(value), None) => Ok(Some(value.into())),
            (None, _) => self.file(&by_file),
        }
    }

    /// What the file holds whose path is a variable's value, without its last line feed.
    fn file(&self, name: &str) -> Result<Option<SecretString>, Error> {
        let Some(path) = self.plain(name) else { return Ok(None) };
        let file = |reason| Error::File { variable: name.to_owned(), reason };
        read_value(Path::new(path)).map(Some).map_err(file)
    }

    /// A variable that is no secret, as it stands.
    pub fn plain(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(ExposeSecret::expose_secret).filter(|value| !value.is_empty())
    }

    /// One part of a credential. Errors as [`Self::get`], also for two endings of the same part.
    pub fn part(&self, credentials: &str, part: Part) -> Result<Option<SecretString>, Error> {
        let mut found: Option<(String, SecretString)> = None;
        for ending in part.endings() {
            let name = format!("{credentials}_{ending}");
            let value = match part {
                // Its name says that it is a path, whatever else may be given by `…_FILE`.
                Part::KeyFile => self.file(&name)?,
                _ => self.get(&name)?,
            };
            let Some(value) = value else { continue };
            match found {
                Some((first, _)) => return Err(Error::Ambiguous(first, name)),
                None => found = Some((name, value)),
            }
        }
        Ok(found.map(|(_, value)| value))
    }

    /// What a source's connector gets. Errors: every part of the credential that can't be used.
    pub fn credentials(&self, credentials: &str) -> Result<Credentials, Vec<Error>> {
        let mut errors = Vec::new();
        let mut made = Credentials::default();
        for part in Part::ALL {
            match self.part(credentials, part) {
                Err(error) => errors.push(error),
                Ok(None) => {}
                Ok(Some(value)) => match part {
                    Part::User => made.user = Some(value.expose_secret().to_owned()),
                    Part::Password => made.password = Some(value),
                    Part::Token => made.token = Some(value),
                    Part::Uri => made.uri = Some(value),
                    Part::KeyFile => made.key_file = Some(value),
                    Part::AccessKey => made.access_key = Some(value.expose_secret().to_owned()),
                    Part::SecretKey => made.secret_key = Some(value),
                    Part::ClientId => made.client_id = Some(value.expose_secret().to_owned()),
                    Part::ClientSecret => made.client_secret = Some(value),
                    Part::RefreshToken => made.refresh_token = Some(value),
                    // Read by what uses them; here only their ambiguity matters.
                    Part::Webhook | Part::HookSecret | Part::ApiKey | Part::BaseUrl => {}
                },
            }
        }
        if errors.is_empty() { Ok(made) } else { Err(errors) }
    }
}

fn read_value(path: &Path) -> Result<SecretString, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    let read = file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if read as u64 > MAX_FILE_BYTES {
        return Err(format!("longer than {MAX_FILE_BYTES} bytes"));
    }
    let value = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    if value.is_empty() {
        return Err("empty".to_owned());
    }
    Ok(value.into())
}

fn read_dotenv(path: &Path) -> Result<BTreeMap<String, SecretString>, Faults> {
    let name = path.display().to_string();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(Fault::new(name, Spot::START, format!("can't be read: {error}")).into()),
    };
    parse_dotenv(&name, &text)
}

fn parse_dotenv(file: &str, text: &str) -> Result<BTreeMap<String, SecretString>, Faults> {
    let mut variables = BTreeMap::new();
    let mut faults = Vec::new();
    for entry in dotenvy::from_read_iter(text.as_bytes()) {
        match entry {
            Ok((name, value)) => match variables.entry(name) {
                Entry::Vacant(place) => {
                    place.insert(value.into());
                }
                Entry::Occupied(place) => {
                    let name = place.key();
                    let message = format!("{name} is set twice");
                    faults.push(Fault::new(file, line_of(text, name, true), message).hint("keep one"));
                }
            },
            // The line itself may hold a secret: it is pointed at, never shown.
            Err(dotenvy::Error::LineParse(line, column)) => {
                let spot = Spot { column: u32::try_from(column + 1).unwrap_or(1), ..line_of(text, &line, false) };
                faults.push(Fault::new(file, spot, "not of the form NAME=value").hint("quote a value with spaces"));
            }
            Err(_) => faults.push(Fault::new(file, Spot::START, "can't be read")),
        }
    }
    Faults::none(faults).map(|()| variables)
}

/// The line that holds what dotenvy complains of, or that sets a variable for the last time.
fn line_of(text: &str, wanted: &str, sets: bool) -> Spot {
    let wanted = wanted.lines().next().unwrap_or_default();
    let holds = |line: &str| {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        match line.strip_prefix(wanted) {
            Some(rest) => !sets || rest.trim_start().starts_with('='),
            None => !sets && line.contains(wanted),
        }
    };
    let found = text.lines().enumerate().filter(|(_, line)| holds(line)).map(|(at, _)| at);
    let line = if sets { found.last() } else { found.min() };
    Spot { line: line.and_then(|at| u32::try_from(at + 1).ok()).unwrap_or(1), column: 1 }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn shown(result: Result<Option<SecretString>, Error>) -> String {
        match result {
            Ok(Some(value)) => value.expose_secret().to_owned(),
            Ok(None) => "none".to_owned(),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn two_variables_for_one_thing_are_refused() {
        let env = Environment::from_map([
            ("A_USER", "a"),
            ("A_USERNAME", "b"),
            ("B_USERNAME", "b"),
            ("C_PASS", "c"),
            ("C_PASS_FILE", "/nowhere"),
            ("D_TOKEN", ""),
        ]);
        assert_eq!(shown(env.part("A", Part::User)), "error: both A_USER and A_USERNAME are set: keep one");
        assert_eq!(shown(env.part("B", Part::User)), "b");
        assert_eq!(shown(env.part("C", Part::Password)), "error: both C_PASS and C_PASS_FILE are set: keep one");
        assert_eq!(shown(env.part("D", Part::Token)), "none");
        assert_eq!(env.credentials("A").map_err(|errors| errors.len()).err(), Some(1));
    }

    #[test]
    fn a_value_may_stand_in_a_file() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let write = |name: &str, text: &[u8]| -> std::io::Result<String> {
            let path = folder.path().join(name);
            std::fs::File::create(&path)?.write_all(text)?;
            Ok(path.display().to_string())
        };
        let long = vec![b'x'; 64 * 1024 + 1];
        let env = Environment::from_map([
            ("A_PASS_FILE", write("good", b"pa ss\r\n")?),
            ("B_PASS_FILE", write("empty", b"\n")?),
            ("C_PASS_FILE", write("long", &long)?),
            ("D_PASS_FILE", folder.path().join("none").display().to_string()),
            ("E_KEY_FILE", write("key", b"{\"type\":\"service_account\"}\n")?),
            ("F_KEY_FILE", "/nowhere/key.json".to_owned()),
        ]);
        assert_eq!(shown(env.part("A", Part::Password)), "pa ss");
        assert_eq!(shown(env.part("B", Part::Password)), "error: B_PASS_FILE names a file that is of no use: empty");
        assert_eq!(
            shown(env.part("C", Part::Password)),
            "error: C_PASS_FILE names a file that is of no use: longer than 65536 bytes"
        );
        assert!(shown(env.part("D", Part::Password)).starts_with("error: D_PASS_FILE names a file"));
        assert_eq!(shown(env.part("E", Part::KeyFile)), r#"{"type":"service_account"}"#);
        assert!(shown(env.part("F", Part::KeyFile)).starts_with("error: F_KEY_FILE names a file"));
        Ok(())
    }

    #[test]
    fn dotenv_faults_point_at_lines_and_show_no_values() {
        let text = "# shared\nA_TOKEN=one\nB TOKEN=s3cret words here\nexport A_TOKEN=two\n";
        let faults = parse_dotenv(".env", text).map(drop).map_err(|faults| faults.to_string());
        let faults = faults.err().unwrap_or_default();
        assert!(faults.contains(".env:3:") && faults.contains("not of the form NAME=value"), "{faults}");
        assert!(faults.contains(".env:4:1: A_TOKEN is set twice (keep one)"), "{faults}");
        assert!(!faults.contains("s3cret"), "{faults}");
    }

    #[test]
    fn the_process_wins_over_dotenv() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join(".env");
        std::fs::write(&path, "PATH=shadowed\nREMIT_TEST_ONLY_IN_DOTENV='a b'\n")?;
        let env = Environment::from_process(Some(&path))?;
        assert_ne!(env.plain("PATH"), Some("shadowed"));
        assert_eq!(env.plain("REMIT_TEST_ONLY_IN_DOTENV"), Some("a b"));
        assert!(Environment::from_process(Some(&folder.path().join("none"))).is_ok());
        Ok(())
    }
}
