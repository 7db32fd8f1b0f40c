//! The journal as the rest of the host holds it: a way to the writer, and connections to read with.

use std::{path::PathBuf, time::Duration};

use sqlx::{
    ConnectOptions, SqlitePool,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous},
};

use crate::{
    Error, location, schema,
    writer::{Opener, Queue, Writer},
};

/// Connections that read at once. Reads are few (a conversation a chat request, the audit routes).
const READERS: u32 = 4;
/// Connections that look up keys: every request waits for that, and never behind a long reading.
const DOORS: u32 = 2;
/// How long a statement waits for another process's lock, and a read for a connection.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// The journal. Cheap to clone; all clones write through one task.
#[derive(Clone, Debug)]
pub struct Journal {
    pub(crate) queue: Queue,
    pub(crate) readers: SqlitePool,
    /// For the one lookup that every request waits for.
    pub(crate) doors: SqlitePool,
    /// Writes that must survive a power cut: rare ones, each synchronised by itself.
    pub(crate) lasting: SqlitePool,
}

impl Journal {
    /// Opens a journal by path or `sqlite:` URL. Makes the file, readable for its owner alone, and its
    /// folder; brings its schema to this host's version. The writer runs on the calling runtime.
    ///
    /// Errors: [`Error::Scheme`], [`Error::Location`], [`Error::File`]; [`Error::NotADatabase`],
    /// [`Error::Foreign`], [`Error::Newer`], [`Error::Corrupt`] for what lies there, which is then
    /// left as it is; [`Error::Open`], [`Error::Migration`].
    pub async fn open(url: &str) -> Result<Self, Error> {
        Self::open_with(location::parse(url)?, |options| options).await
    }

    /// As [`Self::open`], with a last word on the writer's connection.
    pub(crate) async fn open_with(
        path: PathBuf,
        tune: impl FnOnce(SqliteConnectOptions) -> SqliteConnectOptions,
    ) -> Result<Self, Error> {
        location::prepare(&path)?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(false)
            .busy_timeout(PATIENCE)
            .synchronous(SqliteSynchronous::Normal)
            .pragma("trusted_schema", "OFF")
            .disable_statement_logging();
        let opener = Opener { path: path.clone(), options: tune(options.clone()) };
        let mut connection = opener.connect().await?;
        schema::migrate(&mut connection, &path).await?;
        use_wal(&mut connection).await.map_err(|cause| schema::opening(&path, cause))?;
        let options = options.read_only(true);
        let reading = |connections| {
            let pool = SqlitePoolOptions::new().max_connections(connections).min_connections(0);
            pool.acquire_timeout(PATIENCE).connect_lazy_with(options.clone())
        };
        let (readers, doors) = (reading(READERS), reading(DOORS));
        let lasting = SqlitePoolOptions::new()
            .max_connections(1)
            .min_connections(0)
            .acquire_timeout(PATIENCE)
            .connect_lazy_with(opener.options.clone().synchronous(SqliteSynchronous::Full));
        Ok(Self { queue: Writer::start(connection, opener), readers, doors, lasting })
    }

    /// Whether records can be written and read now; writes one row to know.
    ///
    /// Errors: [`Error::Write`] or [`Error::Read`] with SQLite's own reason; [`Error::Closed`].
    pub async fn ready(&self) -> Result<(), remit_domain::Error> {
        self.queue.probe().await?;
        let read = sqlx::query("SELECT at FROM probe").fetch_one(&self.readers).await;
        read.map(drop).map_err(|cause| Error::Read(cause).into_domain())
    }

    /// Writes everything that waits and closes the file. What comes later is refused.
    pub async fn close(&self) {
        self.readers.close().await;
        self.doors.close().await;
        self.lasting.close().await;
        self.queue.close().await;
    }
}

/// Turns WAL on, which lasts in the file. Only after the file is known to be a journal.
async fn use_wal(connection: &mut sqlx::SqliteConnection) -> Result<(), sqlx::Error> {
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode = WAL").fetch_one(connection).await?;
    if mode.eq_ignore_ascii_case("wal") {
        Ok(())
    } else {
        Err(sqlx::Error::Configuration(format!("the file system allows the journal mode {mode} only, not WAL").into()))
    }
}
