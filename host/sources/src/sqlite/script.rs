//! A new SQLite file, made by a script: for who tries a plugin against rows of their own.
//!
//! Deliberately absent: any limit. The script is the operator's or an author's own, never a guest's.

use std::path::Path;

use remit_domain::data::Error;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, sqlite::SqliteConnectOptions};

/// Makes a SQLite file and runs a script of statements in it.
///
/// Errors: `invalid` with SQLite's own words; `unavailable` if the file can't be made.
pub async fn make_sqlite(path: &Path, script: &str) -> Result<(), Error> {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true).disable_statement_logging();
    let opened = options.connect().await;
    let mut connection = opened.map_err(|error| Error::unavailable(format!("the file can't be made: {error}")))?;
    let ran = connection.execute(sqlx::raw_sql(AssertSqlSafe(script.to_owned()))).await;
    let closed = connection.close().await;
    let invalid = |error: sqlx::Error| match &error {
        sqlx::Error::Database(database) => Error::Invalid(database.message().to_owned()),
        _ => Error::Invalid(error.to_string()),
    };
    ran.map(drop).and(closed).map_err(invalid)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::{Error, make_sqlite};

    #[tokio::test]
    async fn a_script_makes_a_file_or_says_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.db");
        let script = "CREATE TABLE t (a TEXT); INSERT INTO t VALUES ('x; y'), (NULL);";
        make_sqlite(&file, script).await.unwrap();
        assert!(std::fs::metadata(&file).unwrap().len() > 0);
        let wrong = make_sqlite(&folder.path().join("b.db"), "CREATE TABLE t (a); SELCT 1;").await;
        assert_eq!(wrong, Err(Error::Invalid("near \"SELCT\": syntax error".to_owned())));
        let nowhere = make_sqlite(&folder.path().join("no/such/c.db"), "SELECT 1").await;
        assert!(matches!(nowhere, Err(Error::Unavailable(_))));
    }
}
