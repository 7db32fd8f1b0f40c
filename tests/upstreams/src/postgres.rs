//! A real PostgreSQL server for tests: installed by the distribution, started by the test in a folder
//! of its own, on a free port of loopback, ended with the value that holds it.
//!
//! Deliberately absent: TLS, replication, and tables: a test makes those it wants.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

/// How long the server may take until it answers, on a busy machine.
const START: Duration = Duration::from_secs(90);

/// A running server. Dropping it ends the server and deletes its data.
#[derive(Debug)]
pub struct Postgres {
    server: Child,
    folder: PathBuf,
    port: u16,
}

impl Postgres {
    /// The database that every server has.
    pub const DATABASE: &'static str = "shop";
    /// The account that may do everything: a superuser.
    pub const USER: &'static str = "remit_user";
    /// Its password, and that of every account.
    pub const PASSWORD: &'static str = "only-for-tests";

    /// Whether the distribution's server is installed.
    pub fn installed() -> bool {
        programs().is_some()
    }

    /// Starts a server, or says why there is none: `None` if it is not installed, unless the
    /// variable `REMIT_TEST_ALL` is set, which forbids skipping.
    ///
    /// # Errors
    /// When it is installed and does not start, or is missing and must not be.
    pub async fn start_if_installed() -> Result<Option<Self>> {
        if Self::installed() {
            return Self::start().await.map(Some);
        }
        ensure!(
            std::env::var_os("REMIT_TEST_ALL").is_none(),
            "PostgreSQL is not installed, and REMIT_TEST_ALL forbids to skip what needs it"
        );
        Ok(None)
    }

    /// Makes a fresh data folder and starts a server in it; returns when it answers.
    ///
    /// # Errors
    /// When a program is missing or the server does not come up.
    pub async fn start() -> Result<Self> {
        let programs = programs().context("PostgreSQL is not installed (Debian: postgresql)")?;
        let folder = new_folder()?;
        // From here on the folder belongs to a value that deletes it.
        let mut starting = Starting { folder: Some(folder.clone()) };
        install(&programs, &folder)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let errors = std::fs::File::create(folder.join("server.log"))?;
        let mut command = Command::new(programs.join("postgres"));
        command.arg("-D").arg(folder.join("data")).arg("-k").arg(&folder).arg("-p").arg(port.to_string());
        for setting in [
            "listen_addresses=127.0.0.1",
            "fsync=off",
            "full_page_writes=off",
            "synchronous_commit=off",
            "shared_buffers=32MB",
            "max_connections=60",
        ] {
            command.args(["-c", setting]);
        }
        as_owner(&mut command, &folder)?;
        let server = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors).spawn();
        let server = server.context("postgres cannot be started")?;
        starting.folder = None;
        let mut this = Self { server, folder, port };
        this.prepare().await?;
        Ok(this)
    }

    /// Where its database is, with the account's name and password in it.
    pub fn url(&self) -> String {
        self.url_of(Self::USER)
    }

    /// Where its database is for an account that [`Self::account`] made.
    pub fn url_of(&self, user: &str) -> String {
        format!("postgres://{user}:{}@127.0.0.1:{}/{}", Self::PASSWORD, self.port, Self::DATABASE)
    }

    /// Makes an account with these privileges on the tables that there are, by the statements that
    /// the README tells the operator to use.
    ///
    /// # Errors
    /// When the server refuses a statement.
    pub async fn account(&self, user: &str, privileges: &str) -> Result<()> {
        let (database, password) = (Self::DATABASE, Self::PASSWORD);
        let mut admin = self.admin().await?;
        for statement in [
            format!(
                "CREATE ROLE {user} LOGIN PASSWORD '{password}' \
                 NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
            ),
            format!("REVOKE ALL ON DATABASE {database} FROM PUBLIC"),
            format!("GRANT CONNECT ON DATABASE {database} TO {user}"),
            "REVOKE CREATE ON SCHEMA public FROM PUBLIC".to_owned(),
            format!("GRANT USAGE ON SCHEMA public TO {user}"),
            format!("GRANT {privileges} ON ALL TABLES IN SCHEMA public TO {user}"),
            format!("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {user}"),
        ] {
            admin.execute(AssertSqlSafe(statement)).await?;
        }
        Ok(admin.close().await?)
    }

    /// The first column of a query's first row, as text, for assertions.
    ///
    /// # Errors
    /// When the query fails or finds nothing.
    pub async fn text(&self, query: &str) -> Result<String> {
        let mut connection = self.admin().await?;
        Ok(sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(&mut connection).await?)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A folder that the server may write files into, for tests of what must not be written.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A connection as the owner of the database, whom nothing is forbidden.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn admin(&self) -> Result<PgConnection> {
        Ok(PgConnection::connect(&self.url()).await?)
    }

    /// Ends the server at once, as a crash would; connections to it break.
    ///
    /// # Errors
    /// When the process cannot be ended.
    pub fn kill(&mut self) -> Result<()> {
        if self.server.try_wait()?.is_none() {
            // Told so, it ends the processes of its connections too.
            let told = Command::new("sh").args(["-c", &format!("kill -QUIT {}", self.server.id())]).status()?;
            ensure!(told.success(), "the server cannot be told to end");
            self.server.wait()?;
        }
        Ok(())
    }

    async fn prepare(&mut self) -> Result<()> {
        let began = Instant::now();
        let maintenance = format!("postgres://{}:{}@127.0.0.1:{}/postgres", Self::USER, Self::PASSWORD, self.port);
        let mut admin = loop {
            match PgConnection::connect(&maintenance).await {
                Ok(connection) => break connection,
                Err(error) if began.elapsed() > START => return Err(anyhow::Error::new(error).context(self.log())),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
            if let Some(status) = self.server.try_wait()? {
                bail!("postgres ended with {status}: {}", self.log());
            }
        };
        admin.execute(AssertSqlSafe(format!("CREATE DATABASE {}", Self::DATABASE))).await?;
        admin.close().await?;
        Ok(())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("server.log")).unwrap_or_default()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Errors mean that it is gone already.
        if self.kill().is_err() {
            let _gone = self.server.kill();
            let _gone = self.server.wait();
        }
        let _absent = std::fs::remove_dir_all(&self.folder);
    }
}

struct Starting {
    folder: Option<PathBuf>,
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            let _absent = std::fs::remove_dir_all(folder);
        }
    }
}

fn new_folder() -> Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("remit-postgres-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let folder = std::env::temp_dir().join(name);
    // What a process of the same number left behind.
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn install(programs: &Path, folder: &Path) -> Result<()> {
    let password = folder.join("password");
    std::fs::write(&password, Postgres::PASSWORD)?;
    give(folder)?;
    give(&password)?;
    let mut command = Command::new(programs.join("initdb"));
    command.arg("-D").arg(folder.join("data")).arg(format!("--pwfile={}", password.display())).args([
        "--username=remit_user",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
    ]);
    as_owner(&mut command, folder)?;
    let done = command.stdin(Stdio::null()).output().context("initdb cannot be started")?;
    ensure!(done.status.success(), "initdb failed: {}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}

/// The server refuses to run as root: then it runs as the account that its package made.
#[cfg(unix)]
fn as_owner(command: &mut Command, folder: &Path) -> Result<()> {
    use std::os::unix::{fs::MetadataExt as _, process::CommandExt as _};
    let owner = std::fs::metadata(folder)?;
    if Some((owner.uid(), owner.gid())) == account()? {
        command.uid(owner.uid()).gid(owner.gid());
    }
    command.current_dir(folder);
    Ok(())
}

#[cfg(unix)]
fn give(path: &Path) -> Result<()> {
    use std::os::unix::fs::{MetadataExt as _, chown};
    if std::fs::metadata(path)?.uid() == 0 {
        let (user, group) = account()?.context("there is no account `postgres` to run the server as")?;
        chown(path, Some(user), Some(group))?;
    }
    Ok(())
}

/// The numbers of the account `postgres` and its group.
#[cfg(unix)]
fn account() -> Result<Option<(u32, u32)>> {
    let accounts = std::fs::read_to_string("/etc/passwd")?;
    let fields = accounts.lines().find_map(|line| line.strip_prefix("postgres:"));
    let mut numbers = fields.unwrap_or_default().split(':').skip(1).map(str::parse);
    Ok(match (numbers.next(), numbers.next()) {
        (Some(Ok(user)), Some(Ok(group))) => Some((user, group)),
        _ => None,
    })
}

#[cfg(not(unix))]
fn as_owner(_command: &mut Command, _folder: &Path) -> Result<()> {
    Ok(())
}

#[cfg(not(unix))]
fn give(_path: &Path) -> Result<()> {
    Ok(())
}

/// Where the newest installed version's programs are. Debian keeps them out of the path.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<(u32, PathBuf)> = std::env::split_paths(&path).map(|folder| (0, folder)).collect();
    for version in std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten() {
        let number = version.file_name().to_str().and_then(|name| name.parse().ok()).unwrap_or(0);
        folders.push((number, version.path().join("bin")));
    }
    folders.retain(|(_, folder)| ["initdb", "postgres"].iter().all(|name| folder.join(name).is_file()));
    folders.into_iter().max_by_key(|(version, _)| *version).map(|(_, folder)| folder)
}
