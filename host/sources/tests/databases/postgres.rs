//! What PostgreSQL alone has: its types, and what its own read-only transactions let through.

use remit_domain::data::{
    Error, Refusal,
    sql::{RowSet, Value},
};
use remit_upstreams::postgres::Postgres;
use sqlx::{AssertSqlSafe, Executor as _, PgConnection};

use crate::ground::Ground;

/// What an operator's schema may hold that a guest must not reach.
pub(crate) async fn prepare(server: &Postgres) {
    let mut owner = server.admin().await.unwrap();
    for statement in [
        "CREATE TYPE mood AS ENUM ('calm', 'cross')",
        "CREATE DOMAIN score AS INTEGER CHECK (VALUE < 100)",
        "CREATE SEQUENCE counter",
        "CREATE TABLE trace (what TEXT)",
        "CREATE FUNCTION writes() RETURNS INTEGER LANGUAGE plpgsql SECURITY DEFINER AS \
         $$ BEGIN INSERT INTO trace VALUES ('written'); RETURN 1; END $$",
        "CREATE FUNCTION loosens() RETURNS TEXT LANGUAGE plpgsql AS \
         $$ BEGIN PERFORM set_config('default_transaction_read_only', 'off', false); RETURN 'x'; END $$",
        "CREATE VIEW loose AS SELECT loosens() AS x",
        "CREATE VIEW sly AS SELECT writes() AS x",
        "CREATE SCHEMA other",
        "CREATE TABLE other.secrets (a INTEGER)",
        "GRANT USAGE ON SCHEMA other TO PUBLIC",
        "GRANT SELECT ON other.secrets TO PUBLIC",
        "SELECT lo_create(4711)",
    ] {
        owner.execute(AssertSqlSafe(statement)).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

pub(crate) async fn all(ground: &Ground, server: &Postgres) {
    types_are_told_as_they_are(ground).await;
    parameters_are_taken_as_literals_would_be(ground).await;
    changes_are_told(ground).await;
    nothing_gets_through(ground, server).await;
}

async fn types_are_told_as_they_are(ground: &Ground) {
    let one = async |sql: &str| {
        let answer: RowSet = ground.query(&format!("SELECT {sql} AS a"), &[]).await.unwrap();
        (answer.rows[0][0].clone(), answer.columns[0].data_type.clone())
    };
    let text = |text: &str| text.to_owned();
    for (sql, value, data_type) in [
        ("1::smallint", Value::Integer(1), "int2"),
        ("9223372036854775807", Value::Integer(i64::MAX), "int8"),
        ("0.1::real", Value::Real(0.1), "float4"),
        ("'NaN'::float8::text", Value::Text(text("NaN")), "text"),
        ("1e-20::numeric", Value::Decimal(text("0.00000000000000000001")), "numeric"),
        ("123456789012345678901234567890.10", Value::Decimal(text("123456789012345678901234567890.10")), "numeric"),
        ("'NaN'::numeric", Value::Text(text("NaN")), "numeric"),
        ("DATE '2026-11-23'", Value::Date(text("2026-11-23")), "date"),
        ("'infinity'::date", Value::Text(text("infinity")), "date"),
        ("TIME '13:45:00.5'", Value::Time(text("13:45:00.5")), "time"),
        ("'2026-11-23T14:45:00.25+01'::timestamptz", Value::Timestamp(text("2026-11-23T13:45:00.25Z")), "timestamptz"),
        ("'2026-11-23 14:45'::timestamp", Value::Timestamp(text("2026-11-23T14:45:00")), "timestamp"),
        ("'1969-12-31 23:59:59.999999'::timestamp", Value::Timestamp(text("1969-12-31T23:59:59.999999")), "timestamp"),
        ("'1 year 2 mons -3 days 4 hours'::interval", Value::Text(text("P1Y2M-3DT4H")), "interval"),
        (
            "'67e55044-10b1-426f-9247-bb680e5fe0c8'::uuid",
            Value::Uuid(text("67e55044-10b1-426f-9247-bb680e5fe0c8")),
            "uuid",
        ),
        ("'{\"a\": 1}'::json", Value::Json(text("{\"a\": 1}")), "json"),
        ("'{\"a\":   1}'::jsonb", Value::Json(text("{\"a\": 1}")), "jsonb"),
        ("'calm'::mood", Value::Text(text("calm")), "mood"),
        ("7::score", Value::Integer(7), "int4"),
        ("ARRAY[1, NULL, 3]", Value::Json(text("[1,null,3]")), "int4[]"),
        ("ARRAY[[1.50, 2], [3, 4]]", Value::Json(text("[[\"1.50\",\"2\"],[\"3\",\"4\"]]")), "numeric[]"),
        ("ARRAY['calm'::mood]", Value::Json(text("[\"calm\"]")), "mood[]"),
        ("'{}'::text[]", Value::Json(text("[]")), "text[]"),
        ("'\\xdead'::bytea", Value::Blob(vec![0xde, 0xad]), "bytea"),
        ("'a'::char(3)", Value::Text(text("a  ")), "char"),
        ("NULL::integer", Value::Null, "int4"),
    ] {
        assert_eq!(one(sql).await, (value, text(data_type)), "{sql}");
    }
    for sql in ["'1.2.3.4'::inet", "ROW(1, 2)", "'(1,2)'::point", "'1'::money", "'4714-11-24 BC'::date"] {
        let error = ground.query(&format!("SELECT {sql} AS a"), &[]).await.unwrap_err();
        assert!(matches!(&error, Error::Invalid(why) if why.contains("cast it to text")), "{sql}: {error}");
    }
    // And the connections are in order afterwards.
    assert_eq!(ground.number("SELECT COUNT(*) FROM parent").await, 3);
}

async fn parameters_are_taken_as_literals_would_be(ground: &Ground) {
    let text = |text: &str| Value::Text(text.to_owned());
    let decimal = |digits: &str| Value::Decimal(digits.to_owned());
    for (sql, parameter, expected) in [
        ("substr('abcdef', $1)", Value::Integer(3), text("cdef")),
        ("DATE '2026-11-23' + $1", Value::Integer(1), Value::Date("2026-11-24".to_owned())),
        ("$1 + 1", Value::Integer(1 << 40), Value::Integer((1 << 40) + 1)),
        ("$1 + 1.5", Value::Integer(1), decimal("2.5")),
        ("concat('a', $1)", Value::Integer(7), text("a7")),
        ("$1 IS NULL", Value::Null, Value::Boolean(true)),
        ("$1 IS NULL", Value::Integer(1), Value::Boolean(false)),
        ("$1::text || 'x'", Value::Integer(7), text("7x")),
        ("$1::mood", text("cross"), text("cross")),
        ("$1::date", text("2026-11-23"), Value::Date("2026-11-23".to_owned())),
        ("$1::interval", text("1 day"), text("P1D")),
        ("now() - $1 * INTERVAL '1 day' < now()", Value::Integer(7), Value::Boolean(true)),
        ("$1::jsonb ->> 'a'", Value::Json("{\"a\": \"b\"}".to_owned()), text("b")),
        ("(SELECT n FROM numbers WHERE n > $1 ORDER BY n LIMIT 1)", decimal("2.5"), Value::Integer(3)),
        ("(SELECT n FROM numbers WHERE n = $1)", text("7"), Value::Integer(7)),
        ("greatest($1, 1)", Value::Real(0.5), Value::Real(1.0)),
        ("coalesce($1, 1.5)", decimal("12345678901234567890.123"), decimal("12345678901234567890.123")),
    ] {
        let answer = ground.one(&format!("SELECT {sql} AS a"), std::slice::from_ref(&parameter)).await;
        assert_eq!(answer.unwrap_or_else(|error| panic!("{sql}: {error:#}")), expected, "{sql} {parameter:?}");
    }
    // The same text with values of one kind and another.
    for value in [Value::Integer(1), Value::Null, Value::Text("a".to_owned()), Value::Boolean(true), Value::Real(0.5)] {
        assert_eq!(ground.one("SELECT $1", std::slice::from_ref(&value)).await.unwrap(), value);
    }
    let error = ground.query("SELECT * FROM parent WHERE name = $1", &[Value::Integer(1)]).await.unwrap_err();
    assert_eq!(error.case(), "invalid", "{error}");
    let error = ground.query("SELECT $1::mood", &[Value::Text("angry".to_owned())]).await.unwrap_err();
    assert!(matches!(&error, Error::Rejected(why) if why.code.as_deref() == Some("22P02")), "{error}");
}

async fn changes_are_told(ground: &Ground) {
    let change = ground.execute("INSERT INTO typed (name) VALUES ('x') RETURNING id", &[]).await;
    // The account that README describes may use the sequences of keys.
    let change = change.unwrap();
    assert_eq!(change.rows_affected, 1);
    let key = change.last_insert_id.unwrap();
    assert_eq!(ground.number(&format!("SELECT COUNT(*) FROM typed WHERE id = {key}")).await, 1);
    let gone = ground.execute("DELETE FROM typed WHERE id = $1 RETURNING id", &[Value::Integer(key)]).await.unwrap();
    assert_eq!((gone.rows_affected, gone.last_insert_id), (1, None));
    let error = ground.execute("INSERT INTO parent (id, name) VALUES (1, 'New')", &[]).await.unwrap_err();
    let Error::Rejected(why) = &error else { panic!("{error}") };
    assert_eq!((why.reason, why.code.as_deref()), (Refusal::Constraint, Some("23505")));
}

/// A read-only transaction of PostgreSQL's lets most of these through to who may do everything.
async fn nothing_gets_through(ground: &Ground, server: &Postgres) {
    let outside = server.folder().join("outside.txt");
    let outside = outside.display();
    let before = traces(server).await;
    let mut statements: Vec<String> = [
        "SET TRANSACTION READ WRITE",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
        "SET default_transaction_read_only = off",
        "RESET ALL",
        "DISCARD ALL",
        "COMMIT; INSERT INTO trace VALUES ('x')",
        "SELECT 1; COMMIT; INSERT INTO trace VALUES ('x')",
        "BEGIN READ WRITE",
        "SELECT writes()",
        "SELECT public.writes()",
        "SELECT * FROM writes()",
        "SELECT loosens()",
        "SELECT set_config('default_transaction_read_only', 'off', false)",
        "SELECT pg_catalog.set_config('statement_timeout', '0', false)",
        "SELECT nextval('counter')",
        "SELECT setval('counter', 100)",
        "SELECT pg_read_file('/etc/passwd')",
        // A function by the notation of columns, on a value that a function in FROM gives.
        "SELECT x.pg_read_file FROM string_to_table('/etc/passwd', '|') x",
        "SELECT x.ts_stat FROM string_to_table('select to_tsvector(''simple'', name) from customers', '|') x",
        "SELECT s.pg_sleep FROM generate_series(1, 2) AS s (n)",
        "SELECT generate_series.pg_sleep FROM generate_series(1, 2)",
        "SELECT u.lo_get FROM unnest(ARRAY[1]) u",
        "SELECT ('/etc/passwd'::text).pg_read_file",
        "SELECT * FROM generate_series(1, 2) s WHERE s.pg_advisory_lock IS NULL",
        "SELECT pg_read_binary_file('/etc/passwd')",
        "SELECT pg_ls_dir('/')",
        "SELECT * FROM pg_ls_dir('/')",
        "SELECT lo_create(4712)",
        "SELECT lo_unlink(4711)",
        "SELECT lo_put(4711, 0, 'x')",
        "SELECT dblink_exec('dbname=shop', 'DROP TABLE parent')",
        "SELECT pg_sleep(30)",
        "SELECT pg_sleep_for('1 hour')",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_try_advisory_xact_lock(1)",
        "SELECT pg_notify('evil', 'x')",
        "NOTIFY evil",
        "LISTEN evil",
        "SELECT pg_reload_conf()",
        "SELECT pg_terminate_backend(1)",
        "SELECT pg_cancel_backend(1)",
        "SELECT pg_switch_wal()",
        "SELECT pg_stat_reset()",
        "LOCK TABLE parent",
        "COPY parent TO PROGRAM 'touch /tmp/remit-evil'",
        "COPY (SELECT 1) TO '/tmp/remit-evil'",
        "COPY parent FROM '/etc/passwd'",
        "DO $$ BEGIN DELETE FROM parent; END $$",
        "DO 'BEGIN DELETE FROM parent; END'",
        "CALL evil()",
        "EXPLAIN ANALYZE INSERT INTO trace VALUES ('x')",
        "EXECUTE evil",
        "PREPARE evil AS DELETE FROM parent",
        "DECLARE evil CURSOR FOR SELECT 1",
        "SELECT * FROM parent FOR UPDATE",
        "SELECT * FROM parent FOR SHARE",
        "SELECT * INTO evil FROM parent",
        "CREATE TABLE evil AS SELECT 1",
        "CREATE EXTENSION dblink",
        "ALTER SYSTEM SET fsync = off",
        "REFRESH MATERIALIZED VIEW evil",
        "VACUUM",
        "CLUSTER",
        "CHECKPOINT",
        "SECURITY LABEL ON TABLE parent IS 'x'",
        "COMMENT ON TABLE parent IS 'evil'",
        "MERGE INTO trace USING parent ON false WHEN NOT MATCHED THEN INSERT VALUES ('x')",
        "WITH evil AS (INSERT INTO trace VALUES ('x') RETURNING what) SELECT * FROM evil",
        "WITH evil AS (DELETE FROM parent RETURNING *) INSERT INTO trace SELECT name FROM evil",
        "TABLE other.secrets",
        "SELECT * FROM other.secrets",
        "SELECT * FROM \"other\".secrets",
        "SELECT * FROM pg_user",
        "SELECT * FROM PG_AUTHID",
        "SELECT * FROM pg_catalog.pg_shadow",
        "SELECT * FROM \"pg_stat_activity\"",
        "SELECT * FROM U&\"pg!005fuser\" UESCAPE '!'",
        "SELECT * FROM information_schema.tables",
        "SELECT 'other.secrets'::regclass",
        "SELECT REGCLASS 'other.secrets'",
        "SELECT CAST('pg_read_file' AS regproc)",
        "SELECT 'remit_user'::regrole",
        "SELECT current_user",
        "SELECT CURRENT_USER::text",
        "SELECT user",
        "SELECT session_user",
        "SELECT current_database()",
        "SELECT current_setting('data_directory')",
        "SELECT version()",
        "SELECT inet_server_addr()",
        "SELECT query_to_xml('SELECT * FROM other.secrets', true, true, '')",
        "SELECT database_to_xml(true, true, '')",
        "SELECT * FROM ts_stat('SELECT to_tsvector(a::text) FROM other.secrets')",
        "SELECT 1 OPERATOR(pg_catalog.+) 2",
        "SELECT repeat('x', 1000000000)",
        "SELECT lpad('x', 1000000000)",
        "SELECT format('%1000000000s', 'x')",
        "SELECT \"LOWER\"('x')",
        "SELECT E'\\'; DROP TABLE parent; --'",
    ]
    .map(str::to_owned)
    .into();
    statements.push(format!("SELECT lo_export(4711, '{outside}')"));
    statements.push(format!("COPY parent TO '{outside}'"));
    for statement in &statements {
        refused(statement, ground.query(statement, &[]).await);
        refused(statement, ground.execute(statement, &[]).await);
    }
    // What the parser can't see: views of the operator's that do more than read.
    let error = ground.query("SELECT * FROM sly", &[]).await.unwrap_err();
    assert!(matches!(&error, Error::Denied(_)), "{error}");
    // One that makes the session another leaves the next read as it was.
    for _ in 0..3 {
        ground.query("SELECT * FROM loose", &[]).await.unwrap();
        assert_eq!(ground.query("SELECT * FROM sly", &[]).await.unwrap_err().case(), "denied");
    }
    // Functions of the operator's under a listed name are those of the catalogue.
    assert_eq!(ground.one("SELECT lower('X')", &[]).await.unwrap(), Value::Text("x".to_owned()));
    let mut transaction = ground.database.begin(ground.permit.write().unwrap()).await.unwrap();
    for statement in &statements {
        if statement.contains(" FOR ") {
            continue;
        }
        refused(statement, transaction.query(ground.permit.read().unwrap(), statement, &[]).await);
    }
    transaction.rollback().await.unwrap();
    assert_eq!(traces(server).await, before);
    assert!(!server.folder().join("outside.txt").exists());
    assert!(!std::path::Path::new("/tmp/remit-evil").exists());
}

/// What would be different if something had got through.
async fn traces(server: &Postgres) -> Vec<String> {
    let mut owner: PgConnection = server.admin().await.unwrap();
    let mut found = Vec::new();
    for query in [
        "SELECT coalesce(string_agg(what, ','), '') FROM trace",
        "SELECT string_agg(id::text || name, ',' ORDER BY id) FROM parent",
        "SELECT string_agg(relname, ',' ORDER BY relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace",
        "SELECT count(*)::text FROM pg_largeobject_metadata",
        "SELECT count(*)::text FROM pg_extension",
        "SELECT last_value::text || is_called::text FROM counter",
        "SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory'",
        "SELECT coalesce(string_agg(name || setting, ','), '') FROM pg_file_settings WHERE sourcefile LIKE '%auto%'",
        "SELECT coalesce(obj_description('parent'::regclass), '')",
    ] {
        found.push(sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(&mut owner).await.unwrap());
    }
    found
}

/// What the checks let an account do is still for the server to allow.
pub(crate) async fn of_an_account_that_reads(ground: &Ground) {
    assert_eq!(ground.number("SELECT COUNT(*) FROM parent").await, 3);
    let error = ground.execute("DELETE FROM parent", &[]).await.unwrap_err();
    assert_eq!(error, Error::Denied("the source's account may not do that".to_owned()));
}

fn refused<T>(statement: &str, result: Result<T, Error>) {
    match result {
        Err(Error::Denied(_) | Error::Invalid(_)) => {}
        // A string with a backslash and a comment after it: nothing but a string.
        Err(Error::NotFound(_)) if statement.starts_with("SELECT E") => {}
        Err(other) => panic!("{statement}: {other}"),
        Ok(_) => panic!("{statement}: it ran"),
    }
}
