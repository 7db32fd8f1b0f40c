//! The promises, one function each, in an order in which each finds the tables as it needs them.

use std::time::{Duration, Instant};

use remit_domain::data::{
    Error, Refusal, Sources as _,
    sql::{Column, MAX_PARAMETERS, MAX_RESULT_BYTES, MAX_ROWS, Value},
};
use remit_upstreams::mariadb::Mariadb;

use crate::ground::Ground;

pub(crate) async fn all(ground: &Ground) {
    values_round_trip(ground).await;
    parameters_are_written_either_way(ground).await;
    columns_are_told_without_rows_too(ground).await;
    decimals_are_exact(ground).await;
    answers_have_limits(ground).await;
    failures_are_told_apart(ground).await;
    transactions_take_effect_together(ground).await;
    transactions_that_are_dropped_do_not(ground).await;
    writers_wait_for_each_other_and_not_forever(ground).await;
    what_takes_too_long_is_cut(ground).await;
    what_is_given_up_is_stopped(ground).await;
    many_at_once_share_the_connections(ground).await;
    ground.pools.probe(&ground.tenant, &ground.definition).await.unwrap();
}

fn text(text: &str) -> String {
    text.to_owned()
}

async fn values_round_trip(ground: &Ground) {
    let insert = "INSERT INTO typed (id, flag, whole, part, money, name, bytes, day, clock, instant, doc) \
                  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let given = [
        Value::Integer(1),
        Value::Boolean(true),
        Value::Integer(i64::MIN),
        Value::Real(0.1),
        Value::Decimal(text("-1234567890.10")),
        Value::Text(text("it's \"ünïcode\" \\ % \u{1f600}")),
        Value::Blob(vec![0, 255, 39, 92]),
        Value::Date(text("2026-11-23")),
        Value::Time(text("13:45:00.5")),
        Value::Timestamp(text("2026-11-23T14:45:00.25+01:00")),
        Value::Json(text("{\"a\": [1, null]}")),
    ];
    let change = ground.execute(insert, &given).await.unwrap();
    assert_eq!(change.rows_affected, 1);
    let mut nulls = vec![Value::Null; given.len()];
    nulls[0] = Value::Integer(2);
    ground.execute(insert, &nulls).await.unwrap();

    let mut expected = given.to_vec();
    expected[9] = Value::Timestamp(text("2026-11-23T13:45:00.25"));
    if ground.is_mysql() {
        // MariaDB keeps JSON as text and does not say that it is.
        expected[10] = Value::Text(text("{\"a\": [1, null]}"));
    }
    let answer = ground.query("SELECT * FROM typed ORDER BY id", &[]).await.unwrap();
    assert_eq!(answer.rows, [expected, nulls]);
    let types: Vec<_> = answer.columns.iter().map(|column| column.data_type.as_str()).collect();
    if ground.is_postgres() {
        let expected =
            ["int4", "bool", "int8", "float8", "numeric", "varchar", "bytea", "date", "time", "timestamp", "json"];
        assert_eq!(types, expected);
    } else if ground.is_mysql() {
        let expected = [
            "int",
            "boolean",
            "bigint",
            "double",
            "decimal",
            "varchar",
            "varbinary",
            "date",
            "time",
            "datetime",
            "text",
        ];
        assert_eq!(types, expected);
    } else {
        let expected = [
            "integer",
            "boolean",
            "bigint",
            "double precision",
            "decimal",
            "varchar",
            "blob",
            "date",
            "time",
            "datetime",
            "json",
        ];
        assert_eq!(types, expected);
    }
    // Each value finds the row that holds it.
    for column in ["flag", "whole", "part", "money", "name", "bytes", "day", "clock", "instant"] {
        let at = answer.columns.iter().position(|one| one.name == column).unwrap();
        let found = ground.one(&format!("SELECT id FROM typed WHERE {column} = $1"), &given[at..=at]).await.unwrap();
        assert_eq!(found, Value::Integer(1), "{column}");
    }
    // Names that are the same twice stay twice.
    let twice = ground.query("SELECT id, id FROM typed WHERE id = 1", &[]).await.unwrap();
    assert_eq!(twice.columns.len(), 2);
    assert_eq!(twice.rows, [vec![Value::Integer(1), Value::Integer(1)]]);
    if ground.is_mysql() {
        let big = ground.one("SELECT CAST(18446744073709551615 AS UNSIGNED)", &[]).await.unwrap();
        assert_eq!(big, Value::Decimal(text("18446744073709551615")));
        assert_eq!(
            ground.one("SELECT CAST('-100:00:01' AS TIME)", &[]).await.unwrap(),
            Value::Time(text("-100:00:01"))
        );
    }
}

pub(crate) async fn parameters_are_written_either_way(ground: &Ground) {
    let (a, b) = (Value::Integer(7), Value::Text(text("b?")));
    for (statement, expected) in [
        ("SELECT ?, ?", vec![a.clone(), b.clone()]),
        ("SELECT $1, $2", vec![a.clone(), b.clone()]),
        ("SELECT $2, $1, $2", vec![b.clone(), a.clone(), b.clone()]),
        ("SELECT ?, '?$1', ? -- ?", vec![a.clone(), Value::Text(text("?$1")), b.clone()]),
        ("SELECT /* ? */ ?, ?;", vec![a.clone(), b.clone()]),
    ] {
        let answer = ground.query(statement, &[a.clone(), b.clone()]).await.unwrap();
        assert_eq!(answer.rows, [expected], "{statement}");
    }
    // A value never becomes part of the statement.
    let hostile = Value::Text(text("' OR 1 = 1; DROP TABLE parent; -- "));
    let answer = ground.query("SELECT * FROM parent WHERE name = ?", &[hostile]).await.unwrap();
    assert_eq!(answer.rows.len(), 0);
    for (statement, given) in [
        ("SELECT ?", vec![]),
        ("SELECT 1", vec![Value::Null]),
        ("SELECT $1, ?", vec![Value::Null, Value::Null]),
        ("SELECT $2", vec![Value::Null, Value::Null]),
        ("SELECT ?", vec![Value::Decimal(text("1e5"))]),
        ("SELECT ?", vec![Value::Timestamp(text("soon"))]),
        ("SELECT ?", vec![Value::Json(text("{"))]),
    ] {
        assert_eq!(ground.query(statement, &given).await.unwrap_err().case(), "invalid", "{statement} {given:?}");
    }
    let many = vec![Value::Integer(1); MAX_PARAMETERS];
    let marks = vec!["?"; MAX_PARAMETERS].join(", ");
    let statement = format!("SELECT COUNT(*) FROM numbers WHERE n IN ({marks})");
    assert_eq!(ground.one(&statement, &many).await.unwrap(), Value::Integer(1));
    let more = vec![Value::Integer(1); MAX_PARAMETERS + 1];
    let error = ground.query(&format!("SELECT {marks}, ?"), &more).await.unwrap_err();
    assert_eq!(error, Error::Limit { name: "max-parameters", allowed: 1_000 });
}

async fn columns_are_told_without_rows_too(ground: &Ground) {
    let answer = ground.query("SELECT id, name AS called FROM parent WHERE id < 0", &[]).await.unwrap();
    let integer = match (ground.is_mysql(), ground.is_postgres()) {
        (true, _) => "int",
        (_, true) => "int4",
        _ => "integer",
    };
    assert_eq!(
        answer.columns,
        [
            Column { name: text("id"), data_type: text(integer) },
            Column { name: text("called"), data_type: text("varchar") }
        ]
    );
    assert_eq!(answer.rows.len(), 0);
}

async fn decimals_are_exact(ground: &Ground) {
    ground
        .execute(
            "INSERT INTO typed (id, money) VALUES (10, ?), (11, ?)",
            &[Value::Decimal(text("0.10")), Value::Decimal(text("5"))],
        )
        .await
        .unwrap();
    let answer = ground.query("SELECT money FROM typed WHERE id IN (10, 11) ORDER BY id", &[]).await.unwrap();
    assert_eq!(answer.rows, [[Value::Decimal(text("0.10"))], [Value::Decimal(text("5.00"))]]);
    // A decimal is compared as a number, with computed values too.
    let ten = Value::Decimal(text("10.5"));
    let found = ground.query("SELECT id FROM typed WHERE money + 1 < ? AND id = 10", &[ten]).await.unwrap();
    assert_eq!(found.rows.len(), 1);
    if ground.is_mysql() {
        let sum = ground.one("SELECT SUM(money) FROM typed WHERE id IN (10, 11)", &[]).await.unwrap();
        assert_eq!(sum, Value::Decimal(text("5.10")));
        let long = "12345678901234567890123456789012345.678901234567890";
        let same = ground.one("SELECT CAST(? AS DECIMAL(60, 15))", &[Value::Decimal(text(long))]).await.unwrap();
        assert_eq!(same, Value::Decimal(text(long)));
    }
}

async fn answers_have_limits(ground: &Ground) {
    let all = "SELECT a.n FROM numbers a CROSS JOIN numbers b LIMIT ?";
    let most = i64::try_from(MAX_ROWS).unwrap();
    for (asked, truncated) in [(most, false), (most + 1, true), (40_000, true)] {
        let answer = ground.query(all, &[Value::Integer(asked)]).await.unwrap();
        assert_eq!((answer.rows.len(), answer.truncated), (MAX_ROWS, truncated), "{asked}");
        assert_eq!(ground.number("SELECT 1").await, 1);
    }
    let wide = "SELECT body FROM texts CROSS JOIN numbers a CROSS JOIN numbers b LIMIT 5000";
    let answer = ground.query(wide, &[]).await.unwrap();
    // A thousand bytes each, and a little for every value.
    assert_eq!((answer.rows.len(), answer.truncated), ((MAX_RESULT_BYTES - 4) / 1_016, true));
    // Rows without end are cut as well, and soon: the connection is not waited for.
    let endless = "SELECT a.n FROM numbers a, numbers b, numbers c, numbers d, numbers e, numbers f";
    let answer = ground.query(endless, &[]).await.unwrap();
    assert_eq!((answer.rows.len(), answer.truncated), (MAX_ROWS, true));
    // In a transaction too, which goes on.
    let mut transaction = ground.database.begin(ground.permit.write().unwrap()).await.unwrap();
    let insert = "INSERT INTO parent (id, name) VALUES (30, 'Fay')";
    transaction.execute(ground.permit.write().unwrap(), insert, &[]).await.unwrap();
    let cut = transaction.query(ground.permit.read().unwrap(), all, &[Value::Integer(40_000)]).await.unwrap();
    assert_eq!((cut.rows.len(), cut.truncated), (MAX_ROWS, true));
    let seen = "SELECT name FROM parent WHERE id = 30";
    let seen = transaction.query(ground.permit.read().unwrap(), seen, &[]).await.unwrap();
    assert_eq!(seen.rows, [[Value::Text(text("Fay"))]]);
    transaction.rollback().await.unwrap();
    let long = format!("SELECT '{}'", "x".repeat(32 * 1024));
    let error = ground.query(&long, &[]).await.unwrap_err();
    assert_eq!(error, Error::Limit { name: "max-statement-bytes", allowed: 32 * 1024 });
    let columns = |count| format!("SELECT {}", vec!["n"; count].join(", "));
    let most = ground.query(&format!("{} FROM numbers LIMIT 1", columns(64)), &[]).await.unwrap();
    assert_eq!(most.columns.len(), 64);
    let twice = format!("SELECT * FROM ({} FROM numbers LIMIT 1) a CROSS JOIN numbers b", columns(1));
    assert_eq!(ground.query(&format!("{twice} LIMIT 1"), &[]).await.unwrap().columns.len(), 2);
    let more = ground.query(&format!("{} FROM numbers LIMIT 1", columns(65)), &[]).await.unwrap_err();
    assert_eq!(more.case(), "invalid", "{more}");
    let returning = format!("DELETE FROM numbers WHERE n < 0 RETURNING {}", vec!["n"; 65].join(", "));
    let expected = if ground.is_mysql() { "denied" } else { "invalid" };
    assert_eq!(ground.execute(&returning, &[]).await.unwrap_err().case(), expected);
    // And the connections are in order afterwards.
    assert_eq!(ground.number("SELECT 1").await, 1);
}

async fn failures_are_told_apart(ground: &Ground) {
    for (statement, case) in [
        ("SELECT * FROM nowhere", "not-found"),
        ("SELECT missing FROM parent", "not-found"),
        ("SELECT FROM WHERE", "invalid"),
        ("SELEC 1", "denied"),
        ("SELECT id FROM parent JOIN child ON 1 = 1", "invalid"),
    ] {
        let error = ground.query(statement, &[]).await.unwrap_err();
        assert_eq!(error.case(), case, "{statement}: {error}");
        assert_nameless(&error);
    }
    for statement in [
        "INSERT INTO parent (id, name) VALUES (9, 'Ada')",
        "INSERT INTO parent (id, name) VALUES (1, 'New')",
        "INSERT INTO parent (id, name) VALUES (9, NULL)",
        "INSERT INTO parent (id, name, age) VALUES (9, 'New', -1)",
        "INSERT INTO child (id, parent_id) VALUES (1, 99)",
    ] {
        let error = ground.execute(statement, &[]).await.unwrap_err();
        let Error::Rejected(why) = &error else { panic!("{statement}: {error}") };
        assert_eq!(why.reason, Refusal::Constraint, "{statement}: {error}");
        assert!(why.code.as_ref().is_some_and(|code| code.len() >= 3), "{error:?}");
        assert_nameless(&error);
    }
    if ground.is_mysql() {
        // Admitted, and not every server has it.
        let error = ground.query("SELECT REGEXP_LIKE('a', 'b')", &[]).await.unwrap_err();
        assert_eq!(error, Error::NotFound(text("the database has no such function")));
        let long = Value::Text("x".repeat(300));
        let error = ground.execute("UPDATE parent SET name = ? WHERE id = 1", &[long]).await.unwrap_err();
        assert!(matches!(&error, Error::Rejected(why) if why.reason == Refusal::Rule), "{error}");
    }
    assert_eq!(ground.number("SELECT COUNT(*) FROM parent").await, 3);
}

fn assert_nameless(error: &Error) {
    let shown = format!("{error:?}");
    for secret in ["127.0.0.1", "localhost", Mariadb::USER, Mariadb::PASSWORD, Mariadb::DATABASE, "canary-path", "/tmp"]
    {
        assert!(!shown.contains(secret), "{shown}");
    }
}

async fn transactions_take_effect_together(ground: &Ground) {
    let write = || ground.permit.write().unwrap();
    let read = || ground.permit.read().unwrap();
    let mut transaction = ground.database.begin(write()).await.unwrap();
    let insert = "INSERT INTO parent (id, name) VALUES (?, ?)";
    transaction.execute(write(), insert, &[Value::Integer(20), Value::Text(text("Dee"))]).await.unwrap();
    let own = transaction.query(read(), "SELECT name FROM parent WHERE id = 20", &[]).await.unwrap();
    assert_eq!(own.rows, [[Value::Text(text("Dee"))]]);
    assert_eq!(ground.number("SELECT COUNT(*) FROM parent WHERE id = 20").await, 0, "others do not see it yet");
    // A statement that fails leaves the others standing.
    let twice = transaction.execute(write(), insert, &[Value::Integer(20), Value::Text(text("Eve"))]).await;
    assert_eq!(twice.unwrap_err().case(), "rejected");
    for denied in ["COMMIT", "ROLLBACK", "DROP TABLE parent", "SELECT 1; COMMIT"] {
        assert_eq!(transaction.execute(write(), denied, &[]).await.unwrap_err().case(), "denied", "{denied}");
    }
    transaction.execute(write(), "UPDATE parent SET age = 1 WHERE id = 20", &[]).await.unwrap();
    transaction.commit(write()).await.unwrap();
    assert_eq!(ground.number("SELECT age FROM parent WHERE id = 20").await, 1);
    let gone = ground.execute("DELETE FROM parent WHERE id = $1", &[Value::Integer(20)]).await.unwrap();
    assert_eq!(gone.rows_affected, 1);
}

async fn transactions_that_are_dropped_do_not(ground: &Ground) {
    let write = || ground.permit.write().unwrap();
    let insert = "INSERT INTO parent (id, name) VALUES (21, 'Eve')";
    let mut transaction = ground.database.begin(write()).await.unwrap();
    transaction.execute(write(), insert, &[]).await.unwrap();
    drop(transaction);
    let mut transaction = ground.database.begin(write()).await.unwrap();
    transaction.execute(write(), insert, &[]).await.unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(ground.number("SELECT COUNT(*) FROM parent WHERE id = 21").await, 0);
    // One whose statement was given up has ended with it.
    let mut transaction = ground.database.begin(write()).await.unwrap();
    transaction.execute(write(), insert, &[]).await.unwrap();
    let endless = transaction.query(ground.permit.read().unwrap(), ENDLESS, &[]);
    assert!(tokio::time::timeout(Duration::from_millis(50), endless).await.is_err());
    let after = transaction.execute(write(), "DELETE FROM parent", &[]).await.unwrap_err();
    assert_eq!(after, Error::Invalid(text("the transaction has ended")));
    assert_eq!(transaction.commit(write()).await.unwrap_err().case(), "invalid");
    assert_eq!(ground.number("SELECT COUNT(*) FROM parent").await, 3);
}

async fn writers_wait_for_each_other_and_not_forever(ground: &Ground) {
    let write = || ground.permit.write().unwrap();
    let update = "UPDATE parent SET age = 50 WHERE id = 1";
    let mut first = ground.database.begin(write()).await.unwrap();
    first.execute(write(), update, &[]).await.unwrap();
    let began = Instant::now();
    let error = ground.execute(update, &[]).await.unwrap_err();
    match &error {
        // SQLite has one connection that writes, and it is taken.
        Error::Throttled(wait) if ground.is_sqlite() => assert!(wait.retry_after_ms.is_some()),
        Error::Rejected(why) if !ground.is_sqlite() => assert_eq!(why.reason, Refusal::Conflict),
        // The time a statement may take is up before the lock is.
        Error::Limit { name: "max-statement-ms", .. } if !ground.is_sqlite() => {}
        _ => panic!("{error:?}"),
    }
    assert!(began.elapsed() < Duration::from_secs(5));
    first.rollback().await.unwrap();
    ground.execute(update, &[]).await.unwrap();
}

/// Counts for minutes, and gives no row before it is done.
const ENDLESS: &str =
    "SELECT COUNT(*) FROM numbers a, numbers b, numbers c, numbers d, numbers e WHERE a.n + b.n + c.n + d.n < e.n";

async fn what_takes_too_long_is_cut(ground: &Ground) {
    let began = Instant::now();
    let error = ground.query(ENDLESS, &[]).await.unwrap_err();
    assert_eq!(error, Error::Limit { name: "max-statement-ms", allowed: 1_500 });
    if !ground.is_mysql() {
        let runaway = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT MAX(i) FROM n";
        assert_eq!(ground.query(runaway, &[]).await.unwrap_err().case(), "limit");
    }
    let slow = format!("UPDATE parent SET age = ({ENDLESS}) WHERE id = 2");
    assert_eq!(ground.execute(&slow, &[]).await.unwrap_err().case(), "limit");
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(ground.number("SELECT age FROM parent WHERE id = 2").await, 40);
}

async fn what_is_given_up_is_stopped(ground: &Ground) {
    // More than there are connections: each is given up, and the next still finds one.
    for _ in 0..12 {
        let given_up = tokio::time::timeout(Duration::from_millis(10), ground.query(ENDLESS, &[])).await;
        assert!(given_up.is_err());
    }
    assert_eq!(ground.number("SELECT 1").await, 1);
}

pub(crate) async fn many_at_once_share_the_connections(ground: &Ground) {
    let given: Vec<_> = (0..50).map(Value::Integer).collect();
    let one = |n| ground.query("SELECT n FROM numbers WHERE n = ?", std::slice::from_ref(n));
    let answers = futures::future::join_all(given.iter().map(one)).await;
    for (answer, n) in answers.into_iter().zip(given) {
        assert_eq!(answer.unwrap().rows, [[n]]);
    }
}

pub(crate) async fn a_server_that_dies(ground: &Ground, kill: impl FnOnce()) {
    let write = || ground.permit.write().unwrap();
    let mut transaction = ground.database.begin(write()).await.unwrap();
    let update = "UPDATE parent SET age = 1 WHERE id = 1";
    transaction.execute(write(), update, &[]).await.unwrap();
    let known = "UPDATE parent SET age = 1 WHERE id = 2";
    ground.execute(known, &[]).await.unwrap();
    assert_eq!(ground.number("SELECT 1").await, 1);
    kill();
    // Each goes by a connection that was in order a moment ago.
    let error = transaction.commit(write()).await.unwrap_err();
    assert_eq!(error.case(), "uncertain", "{error}");
    let error = ground.execute(known, &[]).await.unwrap_err();
    assert_eq!(error.case(), "uncertain", "{error}");
    let error = ground.query("SELECT 1", &[]).await.unwrap_err();
    assert_eq!(error.case(), "unavailable", "{error}");
    // And from then on at once, by a connection that can't be made.
    let began = Instant::now();
    let errors = [
        ground.execute(update, &[]).await.unwrap_err(),
        ground.query("SELECT 1", &[]).await.unwrap_err(),
        ground.database.begin(write()).await.err().unwrap(),
        ground.pools.probe(&ground.tenant, &ground.definition).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.case(), "unavailable", "{error}");
        assert_nameless(&error);
    }
    assert!(began.elapsed() < Duration::from_secs(5));
}
