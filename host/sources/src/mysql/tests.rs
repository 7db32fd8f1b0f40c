//! What a session of a real MariaDB refuses by itself, and what of a server's words is passed on.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use remit_domain::{
    SourceName,
    source::{Credentials, Kind},
};
use remit_upstreams::mariadb::Mariadb;

use super::*;

/// Runs a text that nothing has looked at.
async fn raw(connection: &mut MySqlConnection, text: &str) -> Result<(), sqlx::Error> {
    connection.execute(AssertSqlSafe(text)).await.map(drop)
}

/// One test for all, since a server takes some seconds to start.
#[tokio::test]
async fn a_reading_session_by_itself_changes_nothing() {
    let Some(server) = Mariadb::start_if_installed().await.unwrap() else {
        eprintln!("SKIPPED: MariaDB is not installed; what its sessions refuse by themselves was not tried");
        return;
    };
    let definition = Definition {
        name: SourceName::new("primary").unwrap(),
        authored_kind: "mysql".to_owned(),
        kind: Kind::Unconnected { kind: "unused".to_owned() },
        revision: "r".to_owned(),
        cache: None,
    };
    let place = DatabaseServer {
        host: String::new(),
        port: None,
        database: String::new(),
        credentials: Credentials { uri: Some(server.url().into()), ..Credentials::default() },
    };
    let settings = Settings { statement_timeout: Duration::from_millis(300), ..Settings::default() };
    let engine = Mysql::new(&definition, &place, &settings).unwrap();
    let mut writer = engine.connect(Mode::Write).await.unwrap();
    for text in ["CREATE TABLE t (a INT PRIMARY KEY)", "INSERT INTO t VALUES (1)", "CREATE SEQUENCE s"] {
        raw(&mut writer, text).await.unwrap();
    }
    let definer = "CREATE FUNCTION writes() RETURNS INT SQL SECURITY DEFINER MODIFIES SQL DATA \
                   BEGIN DELETE FROM t; RETURN 1; END";
    raw(&mut writer, definer).await.unwrap();

    let mut reader = engine.connect(Mode::Read).await.unwrap();
    for text in [
        "INSERT INTO t VALUES (2)",
        "UPDATE t SET a = 2",
        "DELETE FROM t",
        "REPLACE INTO t VALUES (2)",
        "TRUNCATE TABLE t",
        "DROP TABLE t",
        "ALTER TABLE t ADD b INT",
        "CREATE TABLE u (a INT)",
        "CREATE USER evil",
        "GRANT ALL ON *.* TO evil",
        "SELECT writes()",
        "SELECT NEXTVAL(s)",
        "EXECUTE IMMEDIATE 'DELETE FROM t'",
        "SELECT SLEEP(30) FROM t, t b WHERE (SELECT COUNT(*) FROM seq_1_to_100000 x, seq_1_to_100000 y) > 0",
    ] {
        assert!(raw(&mut reader, text).await.is_err(), "{text}");
    }
    let mode: String = reader.fetch_one("SELECT @@sql_mode").await.unwrap().try_get(0).unwrap();
    assert!(!mode.contains("ANSI_QUOTES") && !mode.contains("NO_BACKSLASH_ESCAPES"), "{mode}");
    let count: i64 = reader.fetch_one("SELECT COUNT(*) FROM t").await.unwrap().try_get(0).unwrap();
    assert_eq!(count, 1);

    a_connection_keeps_so_many_statements(&engine, &mut reader).await;

    // A server that does not keep the time it was told is given up.
    let late = engine.within(std::future::pending::<Result<(), Fault>>()).await.unwrap_err();
    assert_eq!(late.error, Error::Limit { name: "max-statement-ms", allowed: 300 });
    assert!(late.broken && late.doubtful, "a change may have taken effect");

    // A wrong password is said without the account's name, and the server's word for it is kept.
    let wrong = server.url().replace(Mariadb::PASSWORD, "canary");
    let place =
        DatabaseServer { credentials: Credentials { uri: Some(wrong.into()), ..Credentials::default() }, ..place };
    let error = Mysql::new(&definition, &place, &settings).unwrap().connect(Mode::Read).await.unwrap_err();
    assert_eq!(error, Error::unavailable("the database did not accept the credentials"));
}

async fn a_connection_keeps_so_many_statements(engine: &Mysql, connection: &mut MySqlConnection) {
    async fn kept(connection: &mut MySqlConnection) -> i64 {
        const STATUS: &str = "SELECT CAST(VARIABLE_VALUE AS INT) FROM information_schema.GLOBAL_STATUS \
                              WHERE VARIABLE_NAME = 'PREPARED_STMT_COUNT'";
        connection.fetch_one(sqlx::raw_sql(STATUS)).await.unwrap().try_get(0).unwrap()
    }
    let before = kept(connection).await;
    for _ in 0..3 {
        let same = crate::sql::planned(Dialect::Mysql, "SELECT a FROM t WHERE a = $1", &[Value::Integer(1)]).await;
        engine.query(connection, &same.unwrap(), &[Value::Integer(1)], Rest::Leave).await.unwrap();
    }
    assert_eq!(kept(connection).await, before + 1);
    for at in 0..200 {
        let other = crate::sql::planned(Dialect::Mysql, &format!("SELECT a AS a{at} FROM t"), &[]).await;
        engine.query(connection, &other.unwrap(), &[], Rest::Leave).await.unwrap();
    }
    let kept = kept(connection).await;
    assert!(kept > 50 && kept <= before + 100, "{kept}");
}
