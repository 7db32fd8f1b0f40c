//! Whole copies of a journal: made while hosts write, examined before one is put in a journal's place.
//!
//! Deliberately absent: where copies lie and what else belongs to them. A journal is opened here neither to
//! write nor to bring it to another version.

use std::{fs, io, path::Path};

use remit_domain::library::Digest;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::{Error, Journal, journal::PATIENCE, location, schema};

/// What a copy holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// Its schema version.
    pub schema: i64,
    /// The components that it names, each once.
    pub components: Vec<Digest>,
    /// The large outputs of runs that it names.
    pub outputs: Vec<Digest>,
}

impl Journal {
    /// Writes a copy of a journal as it is at one moment, whoever writes to it meanwhile. `to` must not be
    /// there. It is on the disk once this returns, readable by this user alone.
    ///
    /// Errors: as [`Journal::open`] for what is no journal; [`Error::Copy`].
    pub async fn snapshot(url: &str, to: &Path) -> Result<(), Error> {
        let path = location::parse(url)?;
        let failed = |cause| Error::Copy { to: to.to_owned(), cause };
        let mut connection = connect(&path, false).await?;
        schema::version(&mut connection, &path).await?;
        let target = to.to_str().ok_or_else(|| {
            let cause = io::Error::new(io::ErrorKind::InvalidInput, "its path is not UTF-8");
            Error::File { path: to.to_owned(), cause }
        })?;
        sqlx::query("VACUUM INTO ?").bind(target).execute(&mut connection).await.map_err(failed)?;
        let _ = connection.close().await;
        location::protect(to).and_then(|()| fs::File::open(to)?.sync_all()).map_err(|cause| failed(cause.into()))
    }

    /// Reads a copy through, and says what it holds. Nobody may have it open for writing.
    ///
    /// Errors: as [`Journal::open`]; [`Error::Corrupt`] if SQLite finds anything wrong with it.
    pub async fn examine(path: &Path) -> Result<Contents, Error> {
        let opening = |cause| schema::opening(path, cause);
        let mut connection = connect(path, true).await?;
        let schema = schema::version(&mut connection, path).await?;
        let faults: Vec<String> =
            sqlx::query_scalar("PRAGMA integrity_check(1)").fetch_all(&mut connection).await.map_err(opening)?;
        if faults != ["ok"] {
            let cause = sqlx::Error::Protocol(faults.join("; "));
            return Err(Error::Corrupt { path: path.to_owned(), cause });
        }
        // The version in which components came to be named.
        let texts: Vec<String> = match schema {
            ..3 => Vec::new(),
            _ => sqlx::query_scalar("SELECT DISTINCT digest FROM versions ORDER BY digest")
                .fetch_all(&mut connection)
                .await
                .map_err(opening)?,
        };
        // The version in which large outputs came to lie beside the journal.
        let outputs: Vec<String> = match schema {
            ..11 => Vec::new(),
            _ => sqlx::query_scalar("SELECT digest FROM outputs ORDER BY digest")
                .fetch_all(&mut connection)
                .await
                .map_err(opening)?,
        };
        let _ = connection.close().await;
        let foreign = || sqlx::Error::Protocol("it names a component in a form that no host writes".to_owned());
        let digests = |texts: Vec<String>| {
            let digests = texts.iter().map(|text| Digest::new(text)).collect::<Option<Vec<_>>>();
            digests.ok_or_else(|| Error::Corrupt { path: path.to_owned(), cause: foreign() })
        };
        Ok(Contents { schema, components: digests(texts)?, outputs: digests(outputs)? })
    }
}

async fn connect(path: &Path, read_only: bool) -> Result<SqliteConnection, Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .read_only(read_only)
        .busy_timeout(PATIENCE)
        .pragma("trusted_schema", "OFF")
        .disable_statement_logging();
    SqliteConnection::connect_with(&options).await.map_err(|cause| schema::opening(path, cause))
}

#[cfg(test)]
mod tests {
    use remit_domain::{
        AgentName, TenantId,
        conversation::{Conversations as _, Key},
        model::Message,
    };

    use super::*;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    #[tokio::test]
    async fn a_copy_is_whole_at_one_moment_while_others_write() -> Tested {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("remit.db").display().to_string();
        let journal = Journal::open(&path).await?;
        let key = Key { tenant: TenantId::new("techstart")?, agent: AgentName::new("sales")?, id: "1".to_owned() };
        let turn = |at: usize| {
            let said = |text: String| Message::User { content: text };
            [said(format!("{at}a")), said(format!("{at}b"))]
        };
        let writing = async {
            for at in 0..200 {
                journal.append(&key, &turn(at)).await?;
            }
            Ok::<(), remit_domain::Error>(())
        };
        let copies = async {
            for at in 0..5 {
                Journal::snapshot(&path, &folder.path().join(format!("copy{at}.db"))).await?;
            }
            Ok::<(), Error>(())
        };
        let (written, copied) = futures::future::join(writing, copies).await;
        written?;
        copied?;
        for at in 0..5 {
            let copy = folder.path().join(format!("copy{at}.db"));
            let empty = Contents { schema: schema::VERSION, components: Vec::new(), outputs: Vec::new() };
            assert_eq!(Journal::examine(&copy).await?, empty);
            let copy = Journal::open(&copy.display().to_string()).await?;
            let messages = copy.load(&key, usize::MAX).await?;
            assert_eq!(messages, (0..messages.len() / 2).flat_map(turn).collect::<Vec<_>>(), "no half turn");
        }
        let again = Journal::snapshot(&path, &folder.path().join("copy0.db")).await;
        assert!(matches!(again, Err(Error::Copy { .. })), "nothing is overwritten: {again:?}");
        Ok(())
    }

    #[tokio::test]
    async fn what_is_no_journal_or_damaged_or_newer_is_told_apart() -> Tested {
        let folder = tempfile::tempdir()?;
        let file = |name: &str| folder.path().join(name);
        fs::write(file("text"), "not a database, though long enough to be one".repeat(100))?;
        let missing = Journal::snapshot(&file("none").display().to_string(), &file("x")).await;
        assert!(matches!(missing, Err(Error::Open { .. })), "{missing:?}");
        let text = Journal::snapshot(&file("text").display().to_string(), &file("x")).await;
        assert!(matches!(text, Err(Error::NotADatabase(_))), "{text:?}");
        assert!(!file("x").exists());

        let path = file("remit.db");
        Journal::open(&path.display().to_string()).await?.close().await;
        let mut bytes = fs::read(&path)?;
        // All but the first page, which says what file this is.
        bytes.get_mut(4_096..).ok_or("long enough")?.fill(0xff);
        fs::write(file("damaged"), bytes)?;
        assert!(Journal::examine(&file("damaged")).await.is_err());

        let mut connection = connect(&path, false).await?;
        sqlx::raw_sql("PRAGMA user_version = 1000").execute(&mut connection).await?;
        connection.close().await?;
        assert!(matches!(Journal::examine(&path).await, Err(Error::Newer { found: 1000, .. })));
        Ok(())
    }
}
