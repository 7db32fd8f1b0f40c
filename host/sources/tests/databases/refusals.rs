//! What no handle does, whatever its statement says.

use remit_domain::data::Error;
use remit_upstreams::mariadb::Mariadb;
use sqlx::{AssertSqlSafe, Executor as _};

use crate::ground::Ground;

/// Tried by reading and by changing; none may run, and nothing may be different afterwards.
pub(crate) const TRICKS: [&str; 36] = [
    "SELECT 1; DROP TABLE parent",
    "DROP TABLE parent",
    "CREATE TABLE evil (a INTEGER)",
    "CREATE TEMPORARY TABLE evil (a INTEGER)",
    "CREATE VIEW evil AS SELECT 1",
    "CREATE TRIGGER evil AFTER INSERT ON parent BEGIN DELETE FROM parent; END",
    "ALTER TABLE parent ADD evil INTEGER",
    "TRUNCATE TABLE parent",
    "PRAGMA query_only = OFF",
    "PRAGMA writable_schema = ON",
    "ATTACH DATABASE '/tmp/remit-evil' AS evil",
    "DETACH DATABASE main",
    "VACUUM INTO '/tmp/remit-evil'",
    "VACUUM",
    "REINDEX",
    "SELECT load_extension('/tmp/evil')",
    "SELECT load_file('/etc/passwd')",
    "SELECT 1 INTO OUTFILE '/tmp/remit-evil'",
    "SELECT 1 INTO DUMPFILE '/tmp/remit-evil'",
    "SELECT 1 /*!50000 INTO OUTFILE '/tmp/remit-evil' */",
    "SELECT 1 /*M!100100 INTO OUTFILE '/tmp/remit-evil' */",
    "LOAD DATA INFILE '/etc/passwd' INTO TABLE texts",
    "SET SESSION TRANSACTION READ WRITE",
    "SET GLOBAL general_log = 1",
    "SELECT GET_LOCK('evil', 0)",
    "SELECT SLEEP(30)",
    "SELECT BENCHMARK(1000000000, MD5('a'))",
    "SELECT @@hostname",
    "SELECT USER()",
    "SELECT * FROM mysql.user",
    "SELECT * FROM information_schema.processlist",
    "GRANT ALL ON *.* TO evil",
    "CREATE USER evil",
    "CREATE DATABASE evil",
    "EXPLAIN DELETE FROM parent",
    "COMMIT",
];

/// Changes that a query must not make.
pub(crate) const CHANGES: [&str; 7] = [
    "INSERT INTO parent (id, name) VALUES (66, 'Evil')",
    "UPDATE parent SET age = 66",
    "DELETE FROM parent",
    "REPLACE INTO parent (id, name) VALUES (1, 'Evil')",
    "WITH evil AS (SELECT 1) DELETE FROM parent",
    "WITH evil AS (SELECT 66 AS id) INSERT INTO parent (id, name) SELECT id, 'Evil' FROM evil",
    "WITH evil AS (DELETE FROM parent RETURNING id) SELECT * FROM evil",
];

pub(crate) async fn all(ground: &Ground) {
    let before = ground.query("SELECT * FROM parent ORDER BY id", &[]).await.unwrap();
    for statement in TRICKS.iter().chain(&CHANGES) {
        refused(statement, ground.query(statement, &[]).await);
    }
    for statement in TRICKS {
        refused(statement, ground.execute(statement, &[]).await);
    }
    let mut transaction = ground.database.begin(ground.permit.write().unwrap()).await.unwrap();
    for statement in TRICKS.iter().chain(&CHANGES) {
        refused(statement, transaction.query(ground.permit.read().unwrap(), statement, &[]).await);
    }
    transaction.rollback().await.unwrap();
    assert_eq!(ground.query("SELECT * FROM parent ORDER BY id", &[]).await.unwrap(), before);
    assert!(!std::path::Path::new("/tmp/remit-evil").exists());
}

pub(crate) fn refused<T>(statement: &str, result: Result<T, Error>) {
    match result {
        Err(Error::Denied(_) | Error::Invalid(_)) => {}
        // To PostgreSQL an operator before a column that is not there.
        Err(Error::NotFound(_)) if statement == "SELECT @@hostname" => {}
        Err(other) => panic!("{statement}: {other}"),
        Ok(_) => panic!("{statement}: it ran"),
    }
}

/// What an operator's server may hold that a guest must not reach.
pub(crate) async fn prepare_mariadb(server: &Mariadb) {
    let mut admin = server.admin().await.unwrap();
    for statement in [
        "CREATE FUNCTION shop.writes() RETURNS INT SQL SECURITY DEFINER MODIFIES SQL DATA \
         BEGIN UPDATE shop.parent SET age = 66; RETURN 1; END",
        "CREATE DATABASE other",
        "CREATE TABLE other.secrets (a INT)",
        "CREATE SEQUENCE shop.counter",
    ] {
        admin.execute(AssertSqlSafe(statement)).await.unwrap();
    }
}

/// What an account with every right could do on a server, and a session of ours still does not.
pub(crate) async fn of_mariadb(ground: &Ground, server: &Mariadb) {
    let outside = server.folder().join("outside.txt");
    let outside = outside.display();
    for statement in [
        "SELECT writes()".to_owned(),
        "SELECT shop.writes()".to_owned(),
        "SELECT * FROM other.secrets".to_owned(),
        "SELECT a FROM parent JOIN other.secrets ON 1 = 1".to_owned(),
        "SELECT NEXTVAL(counter)".to_owned(),
        "SELECT NEXT VALUE FOR counter".to_owned(),
        format!("SELECT 1 /*M! INTO OUTFILE '{outside}' */"),
        format!("SELECT 'x\\' INTO OUTFILE \"{outside}\" -- '"),
        format!("SELECT 'x' INTO OUTFILE '{outside}'"),
        "SELECT * FROM parent FOR UPDATE".to_owned(),
        "EXECUTE IMMEDIATE 'DROP TABLE parent'".to_owned(),
        "BEGIN NOT ATOMIC DROP TABLE parent; END".to_owned(),
        "CALL something()".to_owned(),
        "HANDLER parent OPEN".to_owned(),
        "FLUSH TABLES".to_owned(),
        "SHUTDOWN".to_owned(),
    ] {
        match ground.query(&statement, &[]).await {
            Err(Error::Denied(_) | Error::Invalid(_)) => {}
            // The second of these is a string with a quote in it, and a comment: nothing but a string.
            Ok(answer) if statement.contains("x\\'") => assert_eq!(answer.rows.len(), 1),
            other => panic!("{statement}: {other:?}"),
        }
    }
    assert!(!server.folder().join("outside.txt").exists());
    for query in [
        "SELECT COUNT(*) FROM information_schema.tables WHERE table_name = 'evil' OR table_schema = 'evil'",
        "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = 'evil'",
        "SELECT COUNT(*) FROM mysql.global_priv WHERE user = 'evil'",
        "SELECT COUNT(*) FROM information_schema.routines WHERE routine_name = 'evil'",
    ] {
        let left = server.text(&query.replacen("COUNT(*)", "CAST(COUNT(*) AS CHAR)", 1)).await.unwrap();
        assert_eq!(left, "0", "{query}");
    }
    assert_eq!(ground.number("SELECT COUNT(*) FROM parent WHERE age = 66").await, 0);
}
