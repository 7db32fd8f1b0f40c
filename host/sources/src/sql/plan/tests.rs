//! Which statements are admitted for which use, and that none keeps the host.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use Dialect::{Mysql, Postgres, Sqlite};

mod warehouse;

use super::{super::scan::Scanned, *};

async fn of(dialect: Dialect, statement: &str, wanted: Use) -> Result<Arc<Plan>, Error> {
    let given = scan(dialect, statement).map_or(0, |scanned| scanned.parameters);
    let schema = if dialect == Postgres { "public" } else { "shop" };
    plan(dialect, Some(schema), statement, &vec![Value::Null; given], wanted).await
}

async fn text(dialect: Dialect, statement: &str, wanted: Use) -> String {
    of(dialect, statement, wanted).await.unwrap().text.as_str().to_owned()
}

#[tokio::test]
async fn statements_of_tools_are_admitted() {
    for statement in [
        "SELECT c.id, c.name, SUM(o.total) AS total FROM customers c LEFT JOIN orders o ON o.customer_id = c.id \
         WHERE c.name LIKE ? AND c.status IN ('active', 'it''s') GROUP BY c.id, c.name HAVING COUNT(*) > 1 \
         ORDER BY total DESC LIMIT ? OFFSET ?",
        "WITH recent AS (SELECT * FROM orders WHERE created > $1) SELECT COUNT(*) FROM recent",
        "SELECT CASE WHEN a IS NULL THEN 0 ELSE CAST(a AS DECIMAL(10, 2)) END, COALESCE(b, 1) FROM shop.t",
        "SELECT a FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.id = t.id) UNION ALL SELECT b FROM v",
        "SELECT row_number() OVER (PARTITION BY a ORDER BY b) FROM t",
        "SELECT json_extract(data, '$.a') FROM t WHERE a BETWEEN 1 AND 2 AND NOT b",
        "VALUES (1), (2)",
    ] {
        for dialect in [Mysql, Sqlite] {
            if let Err(error) = of(dialect, statement, Use::Query).await {
                panic!("{dialect:?} {statement}: {error}");
            }
        }
    }
    for statement in [
        "SELECT DATE_SUB(NOW(), INTERVAL 30 DAY), DATE_FORMAT(d, '%Y-%m'), GROUP_CONCAT(DISTINCT a SEPARATOR ', ') FROM t",
        "SELECT MATCH (a, b) AGAINST (? IN BOOLEAN MODE), CONCAT(a, 'x'), IF(a, 1, 2), CURDATE() FROM `t`",
        "SELECT JSON_UNQUOTE(data->'$.a'), data->>'$.b' FROM t WHERE d > NOW() - INTERVAL ? DAY LIMIT 5, 10",
    ] {
        of(Mysql, statement, Use::Query).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    for statement in [
        "SELECT date('now', '-30 days'), strftime('%Y', d), a || 'x', data->>'$.a', group_concat(a, ', ') FROM [t]",
        "SELECT value FROM json_each(?)",
        "SELECT datetime(CURRENT_TIMESTAMP), a GLOB 'x*', x'00ff', iif(a, 1, 2) FROM \"t\"",
    ] {
        of(Sqlite, statement, Use::Query).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    for statement in [
        "SELECT DISTINCT ON (a) a, b::date, c -> 'x' ->> 'y', d @> '{}'::jsonb, ARRAY[1, 2], e[1] FROM public.t",
        "SELECT date_trunc('month', a), a AT TIME ZONE 'UTC', EXTRACT(YEAR FROM a), INTERVAL '1 day' * $1 FROM t",
        "SELECT string_agg(a, ', ' ORDER BY b) FILTER (WHERE c), a ILIKE 'x%', a ~* 'x', a IS DISTINCT FROM b FROM t",
        "SELECT * FROM t, LATERAL (SELECT 1 AS b) u, generate_series(1, $1) AS g (n), unnest(ARRAY[1]) x",
        "SELECT to_tsvector('english', a) @@ plainto_tsquery($1), now(), current_date, $2::order_status FROM t",
        "SELECT a FROM t WHERE a = ANY (SELECT b FROM u) AND (a, b) IN ((1, 2)) ORDER BY a NULLS LAST LIMIT 5 OFFSET 1",
        "SELECT \"Order\".\"Id\", percentile_cont(0.5) WITHIN GROUP (ORDER BY a) FROM \"Order\" GROUP BY 1",
    ] {
        of(Postgres, statement, Use::Query).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    for statement in [
        "INSERT INTO t AS x (a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET a = excluded.a RETURNING a",
        "UPDATE t SET a = u.a FROM u WHERE t.b = u.b RETURNING t.a",
        "DELETE FROM t USING u WHERE t.a = u.a",
        "WITH x AS (SELECT 1 AS a) INSERT INTO t (a) SELECT a FROM x",
    ] {
        of(Postgres, statement, Use::Execute).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    of(Postgres, "SELECT a FROM t WHERE id = ? FOR UPDATE", Use::QueryInTransaction).await.unwrap();
    for statement in [
        "INSERT INTO t (a, b) VALUES (?, ?), (?, ?)",
        "INSERT INTO t (a) SELECT a FROM u",
        "UPDATE t SET a = a + $2 WHERE id = $1",
        "DELETE FROM t WHERE id = ?",
        "REPLACE INTO t (a) VALUES (?)",
    ] {
        for dialect in [Mysql, Sqlite] {
            of(dialect, statement, Use::Execute)
                .await
                .unwrap_or_else(|error| panic!("{dialect:?} {statement}: {error}"));
        }
    }
    of(Mysql, "INSERT INTO t (a) VALUES (?) ON DUPLICATE KEY UPDATE a = VALUES(a)", Use::Execute).await.unwrap();
    of(Sqlite, "INSERT INTO t (a) VALUES (?) ON CONFLICT (a) DO UPDATE SET a = excluded.a", Use::Execute)
        .await
        .unwrap();
    of(Mysql, "SELECT a FROM t WHERE id = ? FOR UPDATE", Use::QueryInTransaction).await.unwrap();
}

#[tokio::test]
async fn what_is_not_a_read_is_not_read() {
    for (dialect, statement) in [
        (Mysql, "SELECT 1; DROP TABLE t"),
        (Mysql, "SELECT 1 INTO OUTFILE '/tmp/x'"),
        (Mysql, "SELECT 1 INTO DUMPFILE '/tmp/x'"),
        (Mysql, "SELECT 1 INTO @a"),
        (Mysql, "SELECT a INTO b FROM t"),
        (Mysql, "SELECT 1 /*!50000 INTO OUTFILE '/tmp/x' */"),
        (Mysql, "SELECT 1 /*M!100100 INTO OUTFILE '/tmp/x' */"),
        (Mysql, "SELECT LOAD_FILE('/etc/passwd')"),
        (Mysql, "SELECT load_file ('/etc/passwd')"),
        (Mysql, "SELECT sys.exec('x')"),
        (Mysql, "SELECT `load_file`('/etc/passwd')"),
        (Mysql, "SELECT SLEEP(10)"),
        (Mysql, "SELECT BENCHMARK(1000000000, MD5('a'))"),
        (Mysql, "SELECT GET_LOCK('a', 10)"),
        (Mysql, "SELECT a FROM t WHERE id = (SELECT SLEEP(10))"),
        (Mysql, "SELECT a FROM t ORDER BY SLEEP(10)"),
        (Mysql, "SELECT a FROM t GROUP BY a HAVING SLEEP(10)"),
        (Mysql, "SELECT a FROM t JOIN u ON SLEEP(10)"),
        (Mysql, "SELECT a FROM t LIMIT SLEEP(10)"),
        (Mysql, "SELECT USER()"),
        (Mysql, "SELECT CURRENT_USER"),
        (Mysql, "SELECT @@hostname"),
        (Mysql, "SELECT NEXT VALUE FOR s"),
        (Mysql, "SELECT NEXTVAL(s)"),
        (Mysql, "SELECT * FROM mysql.user"),
        (Mysql, "SELECT * FROM information_schema.processlist"),
        (Mysql, "SELECT * FROM t WHERE id IN (SELECT id FROM other.t)"),
        (Mysql, "SELECT * FROM a.b.c"),
        (Mysql, "SELECT a FROM t FOR UPDATE"),
        (Mysql, "SELECT a FROM t LOCK IN SHARE MODE"),
        (Mysql, "SELECT a FROM t PROCEDURE ANALYSE()"),
        (Mysql, "WITH x AS (SELECT 1) DELETE FROM t"),
        (Mysql, "WITH x AS (SELECT 1) UPDATE t SET a = 1"),
        (Mysql, "INSERT INTO t VALUES (1)"),
        (Mysql, "SET GLOBAL general_log = 1"),
        (Mysql, "SET SESSION TRANSACTION READ WRITE"),
        (Mysql, "CALL p()"),
        (Mysql, "DO SLEEP(10)"),
        (Mysql, "HANDLER t OPEN"),
        (Mysql, "LOAD DATA INFILE '/etc/passwd' INTO TABLE t"),
        (Mysql, "SHOW GRANTS"),
        (Mysql, "EXPLAIN SELECT 1"),
        (Mysql, "USE mysql"),
        (Mysql, "KILL 1"),
        (Mysql, "EXECUTE IMMEDIATE 'DROP TABLE t'"),
        (Mysql, "PREPARE s FROM 'DROP TABLE t'"),
        (Mysql, "LOCK TABLES t WRITE"),
        (Mysql, "GRANT ALL ON *.* TO x"),
        (Mysql, "TABLE t"),
        (Sqlite, "PRAGMA query_only = OFF"),
        (Sqlite, "ATTACH '/tmp/x' AS y"),
        (Sqlite, "DETACH y"),
        (Sqlite, "VACUUM INTO '/tmp/x'"),
        (Sqlite, "SELECT load_extension('/tmp/x')"),
        (Sqlite, "SELECT \"load_extension\"('/tmp/x')"),
        (Sqlite, "SELECT * FROM pragma_table_info('t')"),
        (Sqlite, "SELECT * FROM temp.t"),
        (Sqlite, "WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x"),
        (Sqlite, "WITH x AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM x"),
        (Sqlite, "EXPLAIN QUERY PLAN SELECT 1"),
        (Sqlite, "REINDEX"),
        (Sqlite, "ANALYZE"),
        (Sqlite, "BEGIN"),
        (Sqlite, "COMMIT"),
        (Sqlite, "CREATE TEMP TABLE x (a)"),
        (Sqlite, "DROP TABLE t"),
    ] {
        let error = of(dialect, statement, Use::Query).await.map(|plan| plan.text.clone()).unwrap_err();
        assert!(matches!(error, Error::Denied(_) | Error::Invalid(_)), "{statement}: {error}");
    }
}

#[tokio::test]
async fn what_does_not_change_rows_is_not_executed() {
    for (dialect, statement) in [
        (Mysql, "SELECT 1"),
        (Mysql, "DROP TABLE t"),
        (Mysql, "CREATE TABLE t (a INT)"),
        (Mysql, "ALTER TABLE t ADD b INT"),
        (Mysql, "TRUNCATE TABLE t"),
        (Mysql, "INSERT INTO other.t VALUES (1)"),
        (Mysql, "INSERT INTO t VALUES (LOAD_FILE('/etc/passwd'))"),
        (Mysql, "UPDATE t SET a = SLEEP(10)"),
        (Mysql, "UPDATE t, mysql.user SET t.a = 1"),
        (Mysql, "DELETE FROM t WHERE a = (SELECT 1 FROM mysql.user)"),
        (Mysql, "DELETE t FROM t JOIN mysql.user"),
        (Mysql, "INSERT INTO t VALUES (1); DROP TABLE t"),
        (Mysql, "COMMIT"),
        (Mysql, "INSERT INTO t VALUES (1) RETURNING a"),
        (Mysql, "REPLACE INTO t VALUES (1) RETURNING a"),
        (Mysql, "DELETE FROM t WHERE a = 1 RETURNING a"),
        (Sqlite, "INSERT OR ROLLBACK INTO t VALUES (1)"),
        (Sqlite, "UPDATE OR ROLLBACK t SET a = 1"),
        (Sqlite, "PRAGMA writable_schema = ON"),
        (Sqlite, "ATTACH '/tmp/x' AS y"),
        (Sqlite, "INSERT INTO temp.t VALUES (1)"),
        (Sqlite, "ROLLBACK"),
    ] {
        let error = of(dialect, statement, Use::Execute).await.map(|plan| plan.text.clone()).unwrap_err();
        assert!(matches!(error, Error::Denied(_) | Error::Invalid(_)), "{statement}: {error}");
    }
}

#[tokio::test]
async fn refusals_say_what_was_wrong() {
    let message = async |statement| of(Mysql, statement, Use::Query).await.unwrap_err().to_string();
    assert_eq!(message("DROP TABLE t").await, "denied: `DROP` changes the schema; a tool changes data only");
    assert_eq!(message("SELECT SLEEP(1)").await, "denied: the function `SLEEP` is not admitted");
    assert_eq!(message("SELECT * FROM mysql.user").await, "denied: tables of `mysql` do not belong to this source");
    assert_eq!(message("DELETE FROM t").await, "denied: the statement changes rows: `execute` runs it");
    assert_eq!(
        plan(Mysql, None, "SELECT ?, ?", &[Value::Null], Use::Query).await.unwrap_err().to_string(),
        "invalid: the statement takes 2 parameters and 1 were given"
    );
}

#[tokio::test]
async fn literals_come_through_byte_for_byte() {
    for literal in
        [r"'it''s'", r"'a\'b'", r"'\\''x'", r#""say ""hi"" 'x'""#, "'-- /* ; ?'", "'\u{e9}\u{1f600}'", r"'L0;'"]
    {
        let wanted = format!("SELECT {literal}, {literal} FROM t");
        assert_eq!(text(Mysql, &wanted, Use::Query).await, wanted);
    }
    // Literals that stand side by side are one to MySQL; they stay side by side.
    assert_eq!(text(Mysql, "SELECT 'a' 'b'", Use::Query).await, "SELECT 'a' 'b'");
}

#[tokio::test]
async fn a_statement_as_deep_as_it_is_long_is_survived() {
    let deep = [
        format!("SELECT 1{}", "+1".repeat(4_000)),
        format!("SELECT {}1", "NOT ".repeat(8_000)),
        format!("SELECT {}1{}", "(".repeat(4_000), ")".repeat(4_000)),
        format!("SELECT 1{}", " UNION SELECT 1".repeat(2_000)),
        format!("SELECT 1{}", " IS NULL".repeat(3_900)),
        format!("SELECT a{}", " COLLATE x".repeat(3_000)),
        format!("SELECT {}1", "- ".repeat(8_000)),
        format!("SELECT * FROM a{}", " JOIN b ON 1".repeat(1_500)),
        format!("SELECT a{}", " -> 1".repeat(3_900)),
        format!("SELECT {}", "CASE WHEN ".repeat(3_000)),
    ];
    let nested = [
        "(",
        "((",
        "(SELECT ",
        "a IN (",
        "f(",
        "CASE ",
        "EXISTS (",
        "NOT (",
        "CAST(",
        "{",
        "[",
        "(1, (",
        "- (",
        "INTERVAL (",
        "INTERVAL ",
        "BINARY ",
        "IF(",
        "MATCH (",
        "TRIM(",
        "SUBSTRING(",
        "OVERLAY(",
        "EXTRACT(",
        "CONVERT(",
        "CEIL(",
        "a.(",
        "1 IN ((SELECT 1 WHERE ",
        "1 IN (WITH a AS (SELECT ",
        "(SELECT 1 FROM (SELECT ",
        "a => (",
        "{fn f(",
        "position(",
    ]
    .into_iter()
    .flat_map(|open| {
        ["SELECT ", "SELECT * FROM ", "SELECT 1 WHERE ", "WITH a AS (", "VALUES ", "SELECT * FROM a JOIN "]
            .into_iter()
            .flat_map(move |begin| {
                let times = 8_000 / open.len();
                [
                    format!("{begin}{}", open.repeat(times.min(3_500))),
                    format!("{begin}{}1{}", open.repeat(45), ")".repeat(45)),
                    format!("{begin}{}1{}", open.repeat(20), ")".repeat(20)),
                ]
            })
    });
    let deep: Vec<_> = deep.into_iter().chain(nested).collect();
    for dialect in [Mysql, Sqlite, Postgres] {
        for statement in &deep {
            // What counts is that the host survives, in a blink; whether it is admitted is the engine's limit.
            let _admitted_or_not = of(dialect, statement, Use::Query).await;
        }
        let long = format!("SELECT 1{}", "+1".repeat(16_000));
        assert_eq!(of(dialect, &long, Use::Query).await.unwrap_err().case(), "invalid");
        let longer = format!("SELECT 1{}", "+1".repeat(17_000));
        assert_eq!(of(dialect, &longer, Use::Query).await.unwrap_err().case(), "limit");
    }
}

#[tokio::test]
async fn a_statement_that_doubles_its_work_with_each_level_is_refused() {
    let nested = |open: &str, depth| format!("SELECT {}1{}", open.repeat(depth), ")".repeat(depth));
    for dialect in [Mysql, Sqlite, Postgres] {
        let statement = nested("POSITION(", 45);
        assert_eq!(of(dialect, &statement, Use::Query).await.unwrap_err().case(), "invalid");
        // Whatever the scanner lets through, the parser's steps are counted.
        let words = vec!["select".to_owned()];
        let scanned = Scanned { text: statement, literals: Vec::new(), parameters: 0, words };
        assert_eq!(classify(dialect, &scanned).unwrap_err().case(), "invalid");
    }
    assert!(of(Mysql, "SELECT POSITION('a' IN b), POSITION('c' IN d) FROM t", Use::Query).await.is_ok());
}
