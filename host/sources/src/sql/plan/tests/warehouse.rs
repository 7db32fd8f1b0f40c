//! Which statements of BigQuery's are admitted, how its literals end, and which tables they name.

use Dialect::BigQuery;

use super::*;

async fn on(statement: &str, wanted: Use) -> Result<Arc<Plan>, Error> {
    let given = scan(BigQuery, statement).map_or(0, |scanned| scanned.parameters);
    plan(BigQuery, Some("acme/sales"), statement, &vec![Value::Null; given], wanted).await
}

#[tokio::test]
async fn statements_of_bigquery_are_admitted() {
    for statement in [
        "SELECT c.id, SUM(o.total) AS total FROM customers c LEFT JOIN sales.orders o ON o.customer_id = c.id \
         WHERE c.name LIKE ? AND c.status IN ('active', \"it's\") GROUP BY 1 HAVING COUNT(*) > 1 ORDER BY total DESC LIMIT ?",
        "SELECT * EXCEPT (secret) REPLACE (UPPER(name) AS name) FROM `acme.sales.t` -- which\n# and why\n/* x */",
        "WITH recent AS (SELECT * FROM t WHERE d > DATE_SUB(CURRENT_DATE(), INTERVAL 30 DAY)) SELECT COUNT(*) FROM recent",
        "SELECT ARRAY_AGG(STRUCT(a, b AS c) ORDER BY a LIMIT 3), [1, 2][OFFSET(0)], SAFE.PARSE_DATE('%F', d) FROM t",
        "SELECT a, ARRAY(SELECT AS STRUCT x, y FROM UNNEST(items) AS x WITH OFFSET AS y) FROM t QUALIFY ROW_NUMBER() OVER (PARTITION BY a ORDER BY b) = 1",
        "SELECT APPROX_COUNT_DISTINCT(a), COUNTIF(a > 1), SAFE_DIVIDE(a, b), SAFE_CAST(a AS INT64), IF(a, 1, 2) FROM t",
        "SELECT TIMESTAMP_TRUNC(ts, MONTH), EXTRACT(YEAR FROM d), FORMAT_DATE('%Y', d), JSON_VALUE(j, '$.a') FROM t",
        "SELECT s.a.b, TIMESTAMP '2026-01-01 00:00:00+00', DATE '2026-01-01', r'' FROM t AS s",
    ] {
        let result = on(statement, Use::Query).await;
        let raw = statement.contains("r''");
        assert_eq!(result.is_err(), raw, "{statement}: {result:?}");
    }
    for statement in [
        "INSERT INTO t (a, b) VALUES (?, ?), (?, ?)",
        "INSERT INTO sales.t (a) SELECT a FROM u",
        "UPDATE `acme.sales.t` SET a = a + $2 WHERE id = $1",
        "DELETE FROM t WHERE id = ?",
        "DELETE t WHERE id = ?",
        "MERGE t USING (SELECT ? AS id) s ON t.id = s.id WHEN MATCHED THEN UPDATE SET a = 1 WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id)",
    ] {
        on(statement, Use::Execute).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        assert_eq!(on(statement, Use::Query).await.unwrap_err().case(), "denied", "{statement}");
    }
}

#[tokio::test]
async fn what_bigquery_has_beyond_queries_is_refused() {
    for statement in [
        "SELECT * FROM EXTERNAL_QUERY('c', 'DROP TABLE t')",
        "SELECT * FROM ML.PREDICT(MODEL m, TABLE t)",
        "SELECT ML.DISTANCE([1.0], [2.0])",
        "SELECT AI.GENERATE('x')",
        "SELECT remote(1)",
        "SELECT sales.f(1)",
        "SELECT SAFE.f(1)",
        "SELECT SESSION_USER()",
        "SELECT REPEAT('x', 1000000)",
        "SELECT KEYS.NEW_KEYSET('AEAD_AES_GCM_256')",
        "SELECT NET.HOST('x')",
        "SELECT @@project_id",
        "SELECT @a",
        "SELECT * FROM t FOR SYSTEM_TIME AS OF CURRENT_TIMESTAMP()",
        "SELECT * FROM t TABLESAMPLE SYSTEM (10 PERCENT)",
        "SELECT * FROM t$20260101",
        "SELECT * FROM `t$20260101`",
        "SELECT * FROM `t@-3600000`",
        "SELECT * FROM `events_*`",
        "SELECT * FROM other.t",
        "SELECT * FROM `other.sales.t`",
        "SELECT * FROM `bigquery-public-data`.samples.t",
        "SELECT * FROM a.b.c.d",
        "SELECT * FROM INFORMATION_SCHEMA.TABLES",
        "SELECT * FROM sales.INFORMATION_SCHEMA.TABLES",
        "SELECT * FROM `sales.information_schema.TABLES`",
        "SELECT * FROM `region-eu`.INFORMATION_SCHEMA.JOBS_BY_PROJECT",
        "FROM t |> WHERE a = 1",
        "FROM t SELECT a",
        "SELECT 1 |> SELECT 2",
        "EXPORT DATA OPTIONS (uri = 'gs://x/*') AS SELECT 1",
        "CREATE TEMP FUNCTION f() AS (1); SELECT f()",
        "CREATE TABLE x AS SELECT 1",
        "EXECUTE IMMEDIATE 'SELECT 1'",
        "CALL p()",
        "BEGIN SELECT 1; END",
        "BEGIN TRANSACTION",
        "DECLARE x INT64",
        "ASSERT TRUE",
        "TRUNCATE TABLE t",
        "LOAD DATA INTO t FROM FILES (uris = ['gs://x'])",
        "GRANT `roles/x` ON TABLE t TO 'user:x'",
        "SELECT 1; SELECT 2",
        "INSERT INTO other.t (a) VALUES (1)",
        "MERGE other.t USING t s ON FALSE WHEN NOT MATCHED THEN INSERT ROW",
        "MERGE t USING other.t s ON FALSE WHEN NOT MATCHED THEN INSERT ROW",
        "UPDATE t SET a = (SELECT 1 FROM other.u) WHERE TRUE",
    ] {
        for wanted in [Use::Query, Use::Execute] {
            let error = on(statement, wanted).await.unwrap_err();
            assert!(matches!(error, Error::Denied(_) | Error::Invalid(_)), "{statement}: {error}");
        }
    }
    // To other databases MERGE is no statement at all.
    assert!(matches!(
        of(Mysql, "MERGE INTO t USING u ON 1 WHEN MATCHED THEN DELETE", Use::Execute).await,
        Err(Error::Denied(_))
    ));
}

#[tokio::test]
async fn a_literal_of_bigquery_ends_where_bigquery_ends_it() {
    for literal in [
        "'a\\'b'",
        "\"a'b\"",
        "''",
        "\"\"",
        "'''it's\n'' two'''",
        "\"\"\"a\\\"\"\" b\"\"\"",
        "'\\\\'",
        "'-- # /* ; ? $1'",
        "'L0;'",
    ] {
        let wanted = format!("SELECT {literal}, {literal} FROM t");
        assert_eq!(on(&wanted, Use::Query).await.unwrap().text.as_str(), wanted);
    }
    for statement in [
        "SELECT 'it''s'",
        "SELECT 'a'\"b\"",
        "SELECT 'a",
        "SELECT 'a\n'",
        "SELECT 'a\\\n'",
        "SELECT 'a\\'",
        "SELECT '''a''",
        "SELECT '''a''''",
        "SELECT r'a\\' OR 1 = 1 -- '",
        "SELECT b'a'",
        "SELECT Rb\"\"\"a\"\"\"",
    ] {
        assert_eq!(on(statement, Use::Query).await.unwrap_err().case(), "invalid", "{statement}");
    }
}

#[tokio::test]
async fn each_place_of_a_parameter_is_known() {
    let plan = on("SELECT '?', $2, `a?`, $1 /* ? */, $2 FROM t", Use::Query).await.unwrap();
    assert_eq!(plan.text.as_str(), "SELECT '?', ?, `a?`, ?, ? FROM t");
    assert_eq!((plan.binds.as_slice(), plan.marks.as_slice()), ([1, 0, 1].as_slice(), [12, 21, 24].as_slice()));
}

/// The tables that a scope must hold for a statement to run.
async fn wants(dialect: Dialect, statement: &str) -> Vec<&'static str> {
    let all = ["t", "u", "v", "x"];
    let schema = if dialect == BigQuery { "acme/shop" } else { "shop" };
    let run = async |names: &[&str], wanted| {
        let scope = Scope::only(names.iter().map(|&name| name.to_owned()));
        let plan = plan(dialect, Some(schema), statement, &[], wanted).await.unwrap();
        plan.keep_within(Some(schema), &scope).is_ok()
    };
    let wanted =
        if plan(dialect, Some(schema), statement, &[], Use::Query).await.is_ok() { Use::Query } else { Use::Execute };
    assert!(run(&all, wanted).await, "{statement}");
    let mut needed = Vec::new();
    for one in all {
        let others: Vec<_> = all.into_iter().filter(|other| *other != one).collect();
        if !run(&others, wanted).await {
            needed.push(one);
        }
    }
    assert!(run(&needed, wanted).await, "{statement} {needed:?}");
    needed
}

#[tokio::test]
async fn a_scope_holds_for_every_table_a_statement_names() {
    for (statement, tables) in [
        ("SELECT 1", vec![]),
        ("SELECT * FROM shop.t, u JOIN v ON v.a = u.a", vec!["t", "u", "v"]),
        ("SELECT (SELECT MAX(a) FROM u) FROM t WHERE EXISTS (SELECT 1 FROM v)", vec!["t", "u", "v"]),
        ("WITH x AS (SELECT * FROM t) SELECT * FROM x", vec!["t"]),
        ("WITH x AS (SELECT * FROM t), v AS (SELECT * FROM x) SELECT * FROM v, u", vec!["t", "u"]),
        // Before it is in force, and where it is not, a name is a table's.
        ("WITH v AS (SELECT * FROM x), x AS (SELECT 1) SELECT * FROM v", vec!["x"]),
        ("WITH x AS (SELECT * FROM x) SELECT * FROM x", vec!["x"]),
        ("SELECT * FROM (WITH x AS (SELECT 1) SELECT * FROM x) y, x", vec!["x"]),
        ("WITH x AS (SELECT 1) SELECT * FROM shop.x", vec!["x"]),
        ("WITH RECURSIVE x AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM x WHERE a < 9) SELECT * FROM x", vec![]),
        ("WITH RECURSIVE v AS (SELECT * FROM x), x AS (SELECT 1) SELECT * FROM v", vec!["x"]),
        ("SELECT * FROM t UNION ALL SELECT * FROM u", vec!["t", "u"]),
        ("INSERT INTO t SELECT * FROM u", vec!["t", "u"]),
        ("UPDATE t SET a = (SELECT MAX(a) FROM u)", vec!["t", "u"]),
        ("DELETE FROM t WHERE a IN (SELECT a FROM u)", vec!["t", "u"]),
        ("WITH x AS (SELECT 1 AS a) DELETE FROM x", vec!["x"]),
        ("WITH x AS (SELECT 1 AS a) DELETE FROM t WHERE a IN (SELECT a FROM x)", vec!["t"]),
    ] {
        for dialect in [Mysql, Sqlite, BigQuery] {
            assert_eq!(wants(dialect, statement).await, tables, "{dialect:?} {statement}");
        }
    }
}

#[tokio::test]
async fn a_table_of_a_warehouse_is_held_to_its_source_and_its_scope() {
    // What a source without a dataset calls it, if it may be named; what one with a dataset does.
    for (statement, whole, one) in [
        ("SELECT * FROM sales.t", Some("sales.t"), Some("t")),
        ("SELECT * FROM acme.sales.t", Some("sales.t"), Some("t")),
        ("SELECT * FROM `acme.sales.t`", Some("sales.t"), Some("t")),
        ("SELECT * FROM lab.t", Some("lab.t"), None),
        ("SELECT * FROM other.sales.t", None, None),
        ("SELECT * FROM ACME.sales.t", None, None),
        ("WITH t AS (SELECT 1) SELECT * FROM sales.t", Some("sales.t"), Some("t")),
        ("MERGE sales.t USING (SELECT 1) s ON FALSE WHEN NOT MATCHED THEN INSERT ROW", Some("sales.t"), Some("t")),
        ("MERGE sales.t USING sales.t s ON FALSE WHEN NOT MATCHED THEN INSERT ROW", Some("sales.t"), Some("t")),
    ] {
        let wanted = if statement.starts_with("MERGE") { Use::Execute } else { Use::Query };
        for (source, name) in [("acme/", whole), ("acme/sales", one)] {
            let planned = plan(BigQuery, Some(source), statement, &[], wanted).await;
            let Some(name) = name else {
                let message = planned.map(|plan| plan.text.clone()).unwrap_err().to_string();
                assert!(message.ends_with("do not belong to this source"), "{statement}: {message}");
                continue;
            };
            let planned = planned.unwrap();
            let holds = |name: &str| planned.keep_within(Some(source), &Scope::only([name.to_owned()]));
            assert_eq!(holds(name), Ok(()), "{source} {statement}");
            for other in ["t", "sales.t", "acme.sales.t", "sales"].into_iter().filter(|other| *other != name) {
                assert_eq!(holds(other).unwrap_err().case(), "denied", "{source} {statement} {other}");
            }
        }
        // A source that does not say what it is holds nothing that is qualified.
        for source in [None, Some("acme")] {
            assert_eq!(plan(BigQuery, source, statement, &[], wanted).await.unwrap_err().case(), "denied");
        }
    }
    let scope = Scope::only(["t".to_owned()]);
    let message = async |statement| {
        let plan = plan(BigQuery, Some("acme/"), statement, &[], Use::Query).await.unwrap();
        plan.keep_within(Some("acme/"), &scope).unwrap_err().to_string()
    };
    let told = "denied: the table `acme.lab.runs` is not among those that this agent may touch";
    assert_eq!(message("SELECT * FROM acme.lab.runs").await, told);
    // A list inside a table looks like one of another dataset.
    let told = "denied: the table `t.items` is not among those that this agent may touch";
    assert_eq!(message("SELECT * FROM t, t.items").await, told);
}
