//! Tables for SQLite and for MySQL from one description.
//!
//! It writes only into databases that do not have these tables yet: it never drops or overwrites any.

use std::path::Path;

use anyhow::{Context, Result};
use rust_decimal::Decimal;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection, SqliteConnection};

/// The most rows of one INSERT.
const BATCH: usize = 200;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A primary key that the data brings.
    Key,
    /// A primary key that the engine counts.
    Serial,
    /// Up to 64 characters.
    Word,
    /// Up to 255 characters.
    Name,
    /// Text of any length.
    Prose,
    /// An exact amount with two places.
    Money,
    /// A whole number.
    Count,
    /// 0 or 1.
    Flag,
    /// A date and time in UTC.
    Moment,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    name: &'static str,
    kind: Kind,
    nullable: bool,
}

impl Column {
    /// A column that always has a value.
    pub const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, nullable: false }
    }

    /// A column that may be NULL.
    pub const fn nullable(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, nullable: true }
    }

    fn definition(&self, engine: Engine) -> String {
        let kind = match (self.kind, engine) {
            (Kind::Key, _) => "VARCHAR(64) PRIMARY KEY",
            (Kind::Serial, Engine::Sqlite) => "INTEGER PRIMARY KEY AUTOINCREMENT",
            (Kind::Serial, Engine::MySql) => "BIGINT PRIMARY KEY AUTO_INCREMENT",
            (Kind::Word, _) => "VARCHAR(64)",
            (Kind::Name, _) => "VARCHAR(255)",
            (Kind::Prose, _) => "TEXT",
            (Kind::Money, _) => "DECIMAL(12,2)",
            (Kind::Count, _) => "INTEGER",
            (Kind::Flag, _) => "TINYINT(1)",
            (Kind::Moment, _) => "DATETIME",
        };
        format!("{} {kind}{}", self.name, if self.nullable { " NULL" } else { " NOT NULL" })
    }
}

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Null,
    /// Text, or a date in text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// An exact amount.
    Money(Decimal),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl Value {
    /// The cell as text, as it is bound: both engines convert by the column's type, exactly.
    fn text(&self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Text(text) => Some(text.clone()),
            Self::Integer(number) => Some(number.to_string()),
            Self::Money(amount) => Some(format!("{amount:.2}")),
        }
    }
}

/// A table with its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The name.
    pub name: &'static str,
    /// The columns in order.
    pub columns: Vec<Column>,
    /// Columns of each secondary index.
    pub indexes: Vec<&'static [&'static str]>,
    /// The rows; each as long as `columns`.
    pub rows: Vec<Vec<Value>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Engine {
    Sqlite,
    MySql,
}

impl Table {
    fn create(&self, engine: Engine) -> Vec<String> {
        let columns: Vec<_> = self.columns.iter().map(|column| column.definition(engine)).collect();
        let options = match engine {
            Engine::Sqlite => "",
            Engine::MySql => " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4",
        };
        let mut statements = vec![format!("CREATE TABLE {} ({}){options}", self.name, columns.join(", "))];
        for columns in &self.indexes {
            let name = format!("{}_by_{}", self.name, columns.join("_"));
            statements.push(format!("CREATE INDEX {name} ON {} ({})", self.name, columns.join(", ")));
        }
        statements
    }

    /// One INSERT for so many rows.
    fn insert(&self, rows: usize) -> String {
        let names: Vec<_> = self.columns.iter().map(|column| column.name).collect();
        let row = format!("({})", vec!["?"; names.len()].join(", "));
        format!("INSERT INTO {} ({}) VALUES {}", self.name, names.join(", "), vec![row; rows].join(", "))
    }
}

/// Writes tables into a new SQLite file. A half-written file is never seen under `path`.
///
/// # Errors
/// When the folder is missing, the file exists already, or writing fails.
pub async fn seed_sqlite(path: &Path, tables: &[Table]) -> Result<()> {
    anyhow::ensure!(!path.exists(), "{} exists already", path.display());
    let part = part_of(path);
    let mut connection = open_part(&part).await?;
    let mut transaction = connection.begin().await?;
    for table in tables {
        for statement in table.create(Engine::Sqlite) {
            transaction.execute(AssertSqlSafe(statement)).await.with_context(|| format!("table {}", table.name))?;
        }
        for batch in table.rows.chunks(BATCH) {
            let mut insert = sqlx::query(AssertSqlSafe(table.insert(batch.len())));
            for value in batch.iter().flatten() {
                insert = insert.bind(value.text());
            }
            insert.execute(&mut *transaction).await.with_context(|| format!("rows of {}", table.name))?;
        }
    }
    transaction.commit().await?;
    publish(connection, &part, path).await
}

/// Writes tables into a MySQL or MariaDB database that has none of them.
///
/// # Errors
/// When the server cannot be reached, a table exists already, or writing fails.
pub async fn seed_mysql(url: &str, tables: &[Table]) -> Result<()> {
    // The URL may hold a password, so no error repeats it.
    let mut connection = MySqlConnection::connect(url).await.context("cannot reach the MySQL server")?;
    for table in tables {
        for statement in table.create(Engine::MySql) {
            connection.execute(AssertSqlSafe(statement)).await.with_context(|| format!("table {}", table.name))?;
        }
    }
    let mut transaction = connection.begin().await?;
    for table in tables {
        for batch in table.rows.chunks(BATCH) {
            let mut insert = sqlx::query(AssertSqlSafe(table.insert(batch.len())));
            for value in batch.iter().flatten() {
                insert = insert.bind(value.text());
            }
            insert.execute(&mut *transaction).await.with_context(|| format!("rows of {}", table.name))?;
        }
    }
    transaction.commit().await?;
    connection.close().await?;
    Ok(())
}

pub(super) fn part_of(path: &Path) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// Opens a fresh file to write to, removing what an interrupted run left.
pub(super) async fn open_part(part: &Path) -> Result<SqliteConnection> {
    match std::fs::remove_file(part) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {}", part.display()));
        }
        _ => {}
    }
    let options =
        SqliteConnectOptions::new().filename(part).create_if_missing(true).journal_mode(SqliteJournalMode::Memory);
    SqliteConnection::connect_with(&options).await.with_context(|| format!("cannot create {}", part.display()))
}

/// Closes the file and gives it its name.
pub(super) async fn publish(connection: SqliteConnection, part: &Path, path: &Path) -> Result<()> {
    connection.close().await?;
    std::fs::rename(part, path).with_context(|| format!("cannot name {}", path.display()))
}
