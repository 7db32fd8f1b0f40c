//! What each kind of connection does by itself, whatever the checks before it let through.
#![expect(clippy::unwrap_used, reason = "tests")]

use sqlx::AssertSqlSafe;

use super::*;

struct Fixture {
    folder: tempfile::TempDir,
    engine: Sqlite,
}

async fn fixture(statement_timeout: Duration) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.sqlite");
    let mut owner = SqliteConnectOptions::new().filename(&path).create_if_missing(true).connect().await.unwrap();
    owner
        .execute(
            "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT); INSERT INTO t VALUES (1, 'one'), (2, 'two');
             CREATE VIRTUAL TABLE f USING fts5(body); INSERT INTO f VALUES ('some words'), ('other words');",
        )
        .await
        .unwrap();
    let settings = Settings { statement_timeout, ..Settings::default() };
    Fixture { folder, engine: Sqlite::new(&path, &settings) }
}

/// Runs a text that nothing has looked at.
async fn raw(link: &mut Link, text: &str) -> Result<u64, sqlx::Error> {
    let mut stream = sqlx::raw_sql(AssertSqlSafe(text)).fetch_many(&mut link.connection);
    let mut count = 0;
    while stream.try_next().await?.is_some() {
        count += 1;
    }
    Ok(count)
}

#[tokio::test]
async fn a_reading_connection_by_itself_reads_and_no_more() {
    let fixture = fixture(Duration::from_secs(5)).await;
    let outside = fixture.folder.path().join("outside.sqlite");
    let outside = outside.display();
    let mut link = fixture.engine.connect(Mode::Read).await.unwrap();
    for text in [
        "INSERT INTO t VALUES (3, 'three')".to_owned(),
        "UPDATE t SET b = ''".to_owned(),
        "DELETE FROM t".to_owned(),
        "WITH x AS (SELECT 1) DELETE FROM t".to_owned(),
        "CREATE TABLE u (a)".to_owned(),
        "CREATE TEMP TABLE u (a)".to_owned(),
        "DROP TABLE t".to_owned(),
        "ALTER TABLE t ADD c".to_owned(),
        "PRAGMA query_only = OFF".to_owned(),
        "PRAGMA journal_mode = DELETE".to_owned(),
        "PRAGMA table_info(t)".to_owned(),
        "PRAGMA data_version = 1".to_owned(),
        "SELECT * FROM pragma_table_info('t')".to_owned(),
        "SELECT * FROM pragma_database_list".to_owned(),
        "SELECT * FROM sqlite_dbpage".to_owned(),
        "SELECT * FROM dbstat".to_owned(),
        format!("ATTACH '{outside}' AS x"),
        format!("VACUUM INTO '{outside}'"),
        "VACUUM".to_owned(),
        "SELECT load_extension('x')".to_owned(),
        "SELECT fts3_tokenizer('x')".to_owned(),
        "SELECT sqlite_compileoption_get(0)".to_owned(),
        "SELECT 1; DROP TABLE t".to_owned(),
        "BEGIN".to_owned(),
        "SAVEPOINT x".to_owned(),
        "ANALYZE".to_owned(),
        "EXPLAIN DELETE FROM t".to_owned(),
        format!("SELECT {}", vec!["1"; 201].join(",")),
        "SELECT length(zeroblob(2000000))".to_owned(),
        format!("SELECT '{}'", "x".repeat(300_000)),
    ] {
        assert!(raw(&mut link, &text).await.is_err(), "{}", text.chars().take(80).collect::<String>());
    }
    assert!(!fixture.folder.path().join("outside.sqlite").exists());
    assert_eq!(raw(&mut link, "SELECT * FROM t").await.unwrap(), 3, "two rows and the end");
    assert_eq!(raw(&mut link, "SELECT * FROM json_each('[1,2,3]')").await.unwrap(), 4);
    assert_eq!(raw(&mut link, "SELECT * FROM f WHERE f MATCH 'some' ORDER BY rank").await.unwrap(), 2);
}

#[tokio::test]
async fn a_changing_connection_by_itself_changes_rows_and_no_more() {
    let fixture = fixture(Duration::from_secs(5)).await;
    let outside = fixture.folder.path().join("outside.sqlite");
    let outside = outside.display();
    let mut link = fixture.engine.connect(Mode::Write).await.unwrap();
    for text in [
        "CREATE TABLE u (a)".to_owned(),
        "CREATE TEMP TABLE u (a)".to_owned(),
        "DROP TABLE t".to_owned(),
        "ALTER TABLE t ADD c".to_owned(),
        "PRAGMA writable_schema = ON".to_owned(),
        "UPDATE sqlite_master SET sql = ''".to_owned(),
        "DELETE FROM sqlite_master".to_owned(),
        format!("ATTACH '{outside}' AS x"),
        format!("VACUUM INTO '{outside}'"),
        "INSERT INTO t (b) VALUES (load_extension('x'))".to_owned(),
        "SAVEPOINT x".to_owned(),
    ] {
        assert!(raw(&mut link, &text).await.is_err(), "{text}");
    }
    assert!(!fixture.folder.path().join("outside.sqlite").exists());
    raw(&mut link, "INSERT INTO t (b) VALUES ('three'); UPDATE t SET b = 'x'; DELETE FROM t WHERE a = 1")
        .await
        .unwrap();
    assert_eq!(raw(&mut link, "SELECT * FROM t").await.unwrap(), 3);
}

#[tokio::test]
async fn a_statement_that_is_given_up_stops() {
    let fixture = fixture(Duration::from_secs(600)).await;
    let mut link = fixture.engine.connect(Mode::Read).await.unwrap();
    let watch = link.watch.clone();
    let running = watch.begin(Duration::from_secs(600));
    let endless =
        raw(&mut link, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n");
    let error = tokio::join!(endless, async { drop(running) }).0.unwrap_err();
    assert!(error.to_string().contains("interrupted"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_not_there_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Sqlite::new(&folder.path().join("none.sqlite"), &Settings::default());
    let error = engine.connect(Mode::Write).await.err().unwrap();
    assert_eq!(error, Error::unavailable("the database's file does not exist"));
    assert!(!folder.path().join("none.sqlite").exists());
}

#[tokio::test]
async fn a_file_that_nobody_writes_is_read() {
    let fixture = fixture(Duration::from_secs(5)).await;
    // The writer leaves the file in the mode with a log beside it, and takes the log away.
    let mut writer = fixture.engine.connect(Mode::Write).await.unwrap();
    raw(&mut writer, "INSERT INTO t (b) VALUES ('three')").await.unwrap();
    sqlx::Connection::close(writer.connection).await.unwrap();
    assert!(!fixture.folder.path().join("data.sqlite-wal").exists());
    let mut reader = fixture.engine.connect(Mode::Read).await.unwrap();
    assert_eq!(raw(&mut reader, "SELECT * FROM t").await.unwrap(), 4);
    // And while readers have it open, the next writer comes.
    let mut writer = fixture.engine.connect(Mode::Write).await.unwrap();
    raw(&mut writer, "INSERT INTO t (b) VALUES ('four')").await.unwrap();
    assert_eq!(raw(&mut reader, "SELECT * FROM t").await.unwrap(), 5);
}

#[tokio::test]
async fn a_file_grows_to_its_size_and_no_further() {
    let mut fixture = fixture(Duration::from_secs(5)).await;
    fixture.engine.limits.file_bytes = 200 * 1024;
    let mut writer = fixture.engine.connect(Mode::Write).await.unwrap();
    let mut refused = None;
    for _ in 0..100 {
        let done = raw(&mut writer, "INSERT INTO t (b) VALUES (hex(randomblob(5000)))").await;
        refused = done.err().map(|error| error::fault(error, fixture.engine.limits).error);
        if refused.is_some() {
            break;
        }
    }
    assert_eq!(refused, Some(Error::Limit { name: "max-database-bytes", allowed: 200 * 1024 }));
    let size = std::fs::metadata(fixture.folder.path().join("data.sqlite")).unwrap().len();
    assert!(size <= 200 * 1024, "{size}");
    // What is there can still be taken away.
    raw(&mut writer, "DELETE FROM t").await.unwrap();
    raw(&mut writer, "INSERT INTO t (b) VALUES ('three')").await.unwrap();
    assert!(raw(&mut writer, "PRAGMA max_page_count = 1000000").await.is_err());
}
