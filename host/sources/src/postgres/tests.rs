//! What a session of a real PostgreSQL refuses by itself, what a connection keeps, and what of a
//! server's words is passed on.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use remit_domain::{
    SourceName,
    data::sql::Value,
    source::{Credentials, Kind},
};
use remit_upstreams::postgres::Postgres as Server;

use super::*;

fn definition() -> Definition {
    Definition {
        name: SourceName::new("primary").unwrap(),
        authored_kind: "postgres".to_owned(),
        kind: Kind::Unconnected { kind: "unused".to_owned() },
        revision: "r".to_owned(),
        cache: None,
    }
}

fn at(uri: &str, credentials: Credentials) -> DatabaseServer {
    let credentials = Credentials { uri: Some(uri.to_owned().into()), ..credentials };
    DatabaseServer { host: String::new(), port: None, database: String::new(), credentials }
}

/// Runs a text that nothing has looked at, in a transaction as a read's.
async fn raw(engine: &Postgres, link: &mut Link, text: &str) -> Result<(), sqlx::Error> {
    engine.command(link, "BEGIN READ ONLY; SELECT 1").await.unwrap();
    // Prepared, as a guest's statement is: one statement.
    let done = sqlx::query(AssertSqlSafe(text)).execute(&mut link.connection).await;
    engine.command(link, "ROLLBACK").await.unwrap();
    done.map(drop)
}

async fn number(link: &mut Link, query: &'static str) -> i64 {
    link.connection.fetch_one(query).await.unwrap().try_get(0).unwrap()
}

/// One test for all, since a server takes some seconds to start.
#[tokio::test]
async fn a_reading_session_by_itself_changes_nothing() {
    let Some(server) = Server::start_if_installed().await.unwrap() else {
        eprintln!("SKIPPED: PostgreSQL is not installed; what its sessions refuse by themselves was not tried");
        return;
    };
    let settings = Settings { statement_timeout: Duration::from_millis(300), ..Settings::default() };
    let place = at(&server.url(), Credentials::default());
    let engine = Postgres::new(&definition(), &place, &settings).unwrap();
    let mut writer = engine.connect(Mode::Write).await.unwrap();
    let definer = "CREATE FUNCTION writes() RETURNS INT LANGUAGE plpgsql SECURITY DEFINER AS \
                   $$ BEGIN DELETE FROM t; RETURN 1; END $$";
    for text in ["CREATE TABLE t (a BIGINT PRIMARY KEY)", "INSERT INTO t VALUES (1)", "CREATE SEQUENCE s", definer] {
        writer.connection.execute(text).await.unwrap();
    }

    let mut reader = engine.connect(Mode::Read).await.unwrap();
    for text in [
        "SET TRANSACTION READ WRITE",
        "INSERT INTO t VALUES (2)",
        "WITH x AS (DELETE FROM t RETURNING a) SELECT * FROM x",
        "UPDATE t SET a = 2",
        "TRUNCATE t",
        "DROP TABLE t",
        "CREATE TABLE u (a INT)",
        "CREATE TEMPORARY TABLE u (a INT)",
        "CREATE ROLE evil",
        "GRANT ALL ON t TO PUBLIC",
        "SELECT writes()",
        "SELECT nextval('s')",
        "SELECT * FROM t FOR UPDATE",
        "DO $$ BEGIN DELETE FROM t; END $$",
        "EXPLAIN ANALYZE INSERT INTO t VALUES (2)",
        "SELECT 1; DELETE FROM t",
        "SELECT pg_sleep(30)",
    ] {
        assert!(raw(&engine, &mut reader, text).await.is_err(), "{text}");
    }
    // Without that transaction, what makes the session another would do so.
    reader.connection.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE").await.unwrap();
    assert!(raw(&engine, &mut reader, "DELETE FROM t").await.is_err());
    assert_eq!(number(&mut reader, "SELECT count(*) FROM t").await, 1);

    a_connection_keeps_so_many_statements(&engine, &mut reader).await;
    what_is_given_up_ends_at_the_server(&engine, &server).await;
    a_statement_outlives_its_table(&engine, &mut reader, &mut writer).await;

    // A server that does not keep the time it was told is given up.
    let late = engine.within(std::future::pending::<Result<(), Fault>>()).await.unwrap_err();
    assert_eq!(late.error, Error::Limit { name: "max-statement-ms", allowed: 300 });
    assert!(late.broken && late.doubtful, "a change may have taken effect");

    // A wrong password is said without the account's name, and the server's word for it is kept.
    let wrong = at(&server.url().replace(Server::PASSWORD, "canary"), Credentials::default());
    let error = Postgres::new(&definition(), &wrong, &settings).unwrap().connect(Mode::Read).await.err();
    assert_eq!(error, Some(Error::unavailable("the database did not accept the credentials")));
}

async fn plan(text: &str, parameters: &[Value]) -> std::sync::Arc<Plan> {
    crate::sql::planned(Dialect::Postgres, text, parameters).await.unwrap()
}

async fn a_connection_keeps_so_many_statements(engine: &Postgres, link: &mut Link) {
    const KEPT: &str = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%kept%'";
    for _ in 0..3 {
        let same = plan("SELECT a AS kept FROM t WHERE a = $1", &[Value::Integer(1)]).await;
        engine.query(link, &same, &[Value::Integer(1)], Rest::Leave).await.unwrap();
    }
    assert_eq!(number(link, KEPT).await, 1);
    for at in 0..2 * PREPARED {
        let other = plan(&format!("SELECT a AS kept{at} FROM t"), &[]).await;
        engine.query(link, &other, &[], Rest::Leave).await.unwrap();
    }
    let kept = number(link, KEPT).await;
    assert!(kept > 50 && kept <= i64::try_from(PREPARED).unwrap(), "{kept}");
}

async fn what_is_given_up_ends_at_the_server(engine: &Postgres, server: &Server) {
    let settings = Settings { statement_timeout: Duration::from_secs(300), ..Settings::default() };
    let patient = Postgres::new(&definition(), &at(&server.url(), Credentials::default()), &settings).unwrap();
    let mut link = patient.connect(Mode::Read).await.unwrap();
    let endless = plan("SELECT count(*) AS endless FROM generate_series(1, 1000000000000) AS g (n)", &[]).await;
    let given_up = patient.query(&mut link, &endless, &[], Rest::Leave);
    assert!(tokio::time::timeout(Duration::from_millis(100), given_up).await.is_err());
    drop(link);
    let mut watcher = engine.connect(Mode::Read).await.unwrap();
    let began = std::time::Instant::now();
    let running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%endless%' AND pid <> pg_backend_pid()";
    while number(&mut watcher, running).await > 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "it goes on");
        tokio::task::yield_now().await;
    }
}

async fn a_statement_outlives_its_table(engine: &Postgres, reader: &mut Link, writer: &mut Link) {
    let all = plan("SELECT * FROM t", &[]).await;
    engine.query(reader, &all, &[], Rest::Leave).await.unwrap();
    writer.connection.execute("ALTER TABLE t ADD b INT").await.unwrap();
    let fault = engine.query(reader, &all, &[], Rest::Leave).await.unwrap_err();
    assert!(fault.broken && fault.error.retriable(), "{fault:?}");
}

#[test]
fn an_address_says_everything_or_the_credentials_do() {
    let settings = Settings::default();
    let made = |uri: &str, credentials| Postgres::new(&definition(), &at(uri, credentials), &settings);
    let whole = made("postgresql://me:secret@db.example/shop?sslmode=verify-full", Credentials::default()).unwrap();
    assert_eq!(whole.options.get_host(), "db.example");
    assert_eq!(whole.options.get_port(), 5432);
    assert_eq!(whole.options.get_username(), "me");
    assert_eq!(whole.options.get_database(), Some("shop"));
    assert!(matches!(whole.options.get_ssl_mode(), PgSslMode::VerifyFull));
    let user =
        Credentials { user: Some("other".to_owned()), password: Some("p".to_owned().into()), ..Credentials::default() };
    assert_eq!(made("postgres://db.example:6432/shop", user).unwrap().options.get_username(), "other");
    for wrong in ["mysql://me:canary@db.example/shop", "postgres:///shop", "canary", "postgres://me:canary@db.example"]
    {
        let error = made(wrong, Credentials::default()).err().unwrap();
        assert!(matches!(&error, Error::Invalid(text) if !text.contains("canary")), "{error}");
    }
    assert!(made("postgres://db.example/shop", Credentials::default()).is_err(), "no user");
}
