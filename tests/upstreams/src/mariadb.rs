//! A real MariaDB server for tests: installed by the distribution, started by the test in a folder
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
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, MySqlConnection};

/// How long the server may take until it answers, on a busy machine.
const START: Duration = Duration::from_secs(90);

/// A running server. Dropping it ends the server and deletes its data.
#[derive(Debug)]
pub struct Mariadb {
    server: Child,
    folder: PathBuf,
    port: u16,
}

impl Mariadb {
    /// The database that every server has, and the account that may do everything in it.
    pub const DATABASE: &'static str = "shop";
    /// That account.
    pub const USER: &'static str = "remit_user";
    /// Its password.
    pub const PASSWORD: &'static str = "only-for-tests";

    /// Whether the distribution's server is installed.
    pub fn installed() -> bool {
        program("mariadbd").is_some() && program("mariadb-install-db").is_some()
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
            "MariaDB is not installed, and REMIT_TEST_ALL forbids to skip what needs it"
        );
        Ok(None)
    }

    /// Makes a fresh data folder and starts a server in it; returns when it answers.
    ///
    /// # Errors
    /// When a program is missing or the server does not come up.
    pub async fn start() -> Result<Self> {
        let mariadbd = program("mariadbd").context("mariadbd is not installed (Debian: mariadb-server)")?;
        let folder = new_folder()?;
        // From here on the folder belongs to a value that deletes it.
        let mut starting = Starting { folder: Some(folder.clone()) };
        install(&folder)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let errors = std::fs::File::create(folder.join("server.log"))?;
        let mut command = Command::new(mariadbd);
        command
            .arg("--no-defaults")
            .arg(format!("--datadir={}", folder.join("data").display()))
            .arg(format!("--socket={}", folder.join("s").display()))
            .arg(format!("--pid-file={}", folder.join("pid").display()))
            .arg(format!("--port={port}"))
            .args([
                "--bind-address=127.0.0.1",
                "--skip-log-bin",
                "--skip-name-resolve",
                "--innodb-buffer-pool-size=32M",
            ])
            .args(["--innodb-flush-log-at-trx-commit=0", "--secure-file-priv=", "--performance-schema=off"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors);
        if let Some(user) = owner(&folder) {
            command.arg(format!("--user={user}"));
        }
        let server = command.spawn().context("mariadbd cannot be started")?;
        starting.folder = None;
        let mut this = Self { server, folder, port };
        this.prepare().await?;
        Ok(this)
    }

    /// Where its database is, with the account's name and password in it.
    pub fn url(&self) -> String {
        format!("mysql://{}:{}@127.0.0.1:{}/{}", Self::USER, Self::PASSWORD, self.port, Self::DATABASE)
    }

    /// Where its database is for an account that [`Self::account`] made.
    pub fn url_of(&self, user: &str) -> String {
        format!("mysql://{user}:{}@127.0.0.1:{}/{}", Self::PASSWORD, self.port, Self::DATABASE)
    }

    /// Makes an account with these privileges on the database's tables and no others.
    ///
    /// # Errors
    /// When the server refuses a statement.
    pub async fn account(&self, user: &str, privileges: &str) -> Result<()> {
        let (database, password) = (Self::DATABASE, Self::PASSWORD);
        let mut admin = self.admin().await?;
        for statement in [
            format!("CREATE USER '{user}'@'127.0.0.1' IDENTIFIED BY '{password}'"),
            format!("GRANT {privileges} ON {database}.* TO '{user}'@'127.0.0.1'"),
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
        let mut connection = MySqlConnection::connect(&self.url()).await?;
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

    /// A connection as the server's administrator, whom nothing is forbidden.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn admin(&self) -> Result<MySqlConnection> {
        Ok(MySqlConnection::connect(&format!("mysql://root@127.0.0.1:{}/mysql", self.port)).await?)
    }

    /// Ends the server at once, as a crash would; connections to it break.
    ///
    /// # Errors
    /// When the process cannot be ended.
    pub fn kill(&mut self) -> Result<()> {
        self.server.kill()?;
        self.server.wait()?;
        Ok(())
    }

    async fn prepare(&mut self) -> Result<()> {
        let began = Instant::now();
        let mut admin = loop {
            match self.admin().await {
                Ok(connection) => break connection,
                Err(error) if began.elapsed() > START => return Err(error.context(self.log())),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
            if let Some(status) = self.server.try_wait()? {
                bail!("mariadbd ended with {status}: {}", self.log());
            }
        };
        let (database, user, password) = (Self::DATABASE, Self::USER, Self::PASSWORD);
        for statement in [
            format!("CREATE DATABASE {database} CHARACTER SET utf8mb4"),
            format!("CREATE USER '{user}'@'127.0.0.1' IDENTIFIED BY '{password}'"),
            format!("GRANT ALL ON *.* TO '{user}'@'127.0.0.1'"),
        ] {
            admin.execute(AssertSqlSafe(statement)).await?;
        }
        admin.close().await?;
        Ok(())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("server.log")).unwrap_or_default()
    }
}

impl Drop for Mariadb {
    fn drop(&mut self) {
        // Errors mean that it is gone already.
        let _gone = self.kill();
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
    let name = format!("remit-mariadb-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let folder = std::env::temp_dir().join(name);
    // What a process of the same number left behind.
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn install(folder: &Path) -> Result<()> {
    let program = program("mariadb-install-db").context("mariadb-install-db is not installed")?;
    let mut command = Command::new(program);
    command.arg("--no-defaults").arg(format!("--datadir={}", folder.join("data").display())).args([
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        "--skip-name-resolve",
    ]);
    if let Some(user) = owner(folder) {
        command.arg(format!("--user={user}"));
    }
    let done = command.stdin(Stdio::null()).output().context("mariadb-install-db cannot be started")?;
    ensure!(done.status.success(), "mariadb-install-db failed: {}", String::from_utf8_lossy(&done.stdout));
    Ok(())
}

/// The account to name to the server: it refuses to run as root unless it is told to.
#[cfg(unix)]
fn owner(folder: &Path) -> Option<&'static str> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(folder).is_ok_and(|folder| folder.uid() == 0).then_some("root")
}

#[cfg(not(unix))]
fn owner(_folder: &Path) -> Option<&'static str> {
    None
}

fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/local/sbin", "/usr/bin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(usual).map(|folder| folder.join(name)).find(|file| file.is_file())
}
