//! An agent that may touch some tables alone touches no others, by whatever part of a statement.

use remit_domain::data::Error;

use crate::ground::Ground;

/// Statements that read nothing but `parent` and `numbers`.
const WITHIN: [&str; 10] = [
    "SELECT * FROM parent",
    "SELECT child.id FROM parent AS child",
    "SELECT 1",
    "SELECT p.id FROM parent p JOIN numbers n ON n.n = p.id WHERE EXISTS (SELECT 1 FROM numbers WHERE n = p.id)",
    "WITH child AS (SELECT * FROM parent) SELECT * FROM child",
    "WITH a AS (SELECT id FROM parent), b AS (SELECT id FROM a) SELECT * FROM b JOIN a ON a.id = b.id",
    "WITH RECURSIVE child(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM child WHERE i < 3) SELECT i FROM child",
    "SELECT * FROM (WITH child AS (SELECT 1 AS x) SELECT x FROM child) AS child",
    "SELECT (SELECT COUNT(*) FROM numbers) AS c FROM parent UNION ALL SELECT n FROM numbers",
    "WITH child AS (SELECT 1 AS x) SELECT * FROM numbers WHERE n IN (SELECT x FROM child)",
];

/// Statements that read `child`, `texts` or something of the server's own too.
const BEYOND: [&str; 24] = [
    "SELECT * FROM child",
    "SELECT * FROM CHILD",
    "SELECT parent.id FROM child AS parent",
    "SELECT * FROM parent, child",
    "SELECT * FROM parent JOIN child ON child.parent_id = parent.id",
    "SELECT * FROM parent LEFT JOIN (numbers CROSS JOIN child) ON 1 = 1",
    "SELECT * FROM (SELECT * FROM child) AS parent",
    "SELECT * FROM parent WHERE id IN (SELECT parent_id FROM child)",
    "SELECT (SELECT MAX(id) FROM child) AS a FROM parent",
    "SELECT id FROM parent ORDER BY (SELECT MAX(id) FROM child)",
    "SELECT id FROM parent GROUP BY id HAVING id > (SELECT COUNT(*) FROM child)",
    "SELECT id FROM parent LIMIT (SELECT COUNT(*) FROM child)",
    "SELECT CASE WHEN EXISTS (SELECT 1 FROM child) THEN 1 ELSE 0 END AS a FROM parent",
    "SELECT id FROM parent UNION SELECT id FROM child",
    // A name that is given further on, elsewhere, or to itself, is a table's here.
    "WITH child AS (SELECT * FROM child) SELECT * FROM child",
    "WITH child AS (SELECT * FROM (SELECT * FROM child) AS x) SELECT * FROM child",
    "WITH a AS (SELECT * FROM child), child AS (SELECT 1 AS x) SELECT * FROM a",
    "WITH RECURSIVE a AS (SELECT * FROM child), child AS (SELECT 1 AS x) SELECT * FROM a",
    "SELECT * FROM (WITH child AS (SELECT 1 AS x) SELECT x FROM child) AS a, child",
    "WITH a AS (WITH child AS (SELECT 1 AS x) SELECT x FROM child) SELECT a.x FROM a JOIN child ON 1 = 1",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n, child) SELECT i FROM n",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM pg_class",
    "SELECT * FROM sqlite_master",
];

/// Changes that touch `child` or `texts`.
const CHANGES: [&str; 14] = [
    "INSERT INTO child (id, parent_id) VALUES (77, 1)",
    "INSERT INTO parent (id, name) SELECT 77, body FROM texts",
    "INSERT INTO parent (id, name) VALUES (77, (SELECT body FROM texts))",
    "WITH x AS (SELECT body FROM texts) INSERT INTO parent (id, name) SELECT 77, body FROM x",
    "INSERT INTO parent (id, name) WITH x AS (SELECT body FROM texts) SELECT 77, body FROM x",
    "WITH child AS (SELECT 77 AS id) INSERT INTO child (id, parent_id) SELECT id, 1 FROM child",
    "UPDATE child SET id = 77",
    "WITH child AS (SELECT 1) UPDATE child SET id = 77",
    "WITH child AS (SELECT 1) DELETE FROM child",
    "UPDATE parent SET name = (SELECT body FROM texts)",
    "UPDATE parent SET age = 77 WHERE id IN (SELECT parent_id FROM child)",
    "DELETE FROM child",
    "DELETE FROM parent WHERE id IN (SELECT parent_id FROM child)",
    "DELETE FROM parent WHERE EXISTS (SELECT 1 FROM texts)",
];

pub(crate) async fn all(ground: &Ground) {
    let before = ground.query("SELECT * FROM parent ORDER BY id", &[]).await.unwrap();
    let some = ground.only(&["parent", "numbers"]).await.unwrap();
    for statement in WITHIN {
        if let Err(error) = some.query(statement, &[]).await {
            panic!("{statement}: {error}");
        }
    }
    for statement in BEYOND {
        denied(statement, some.query(statement, &[]).await);
    }
    let mut changes = CHANGES.to_vec();
    changes.extend(match (ground.is_postgres(), ground.is_mysql()) {
        (true, _) => [
            "UPDATE parent SET name = t.body FROM texts t WHERE t.id = parent.id",
            "DELETE FROM parent USING child c WHERE c.parent_id = parent.id",
            "DELETE FROM parent WHERE id = 77 RETURNING (SELECT body FROM texts)",
            "INSERT INTO parent (id, name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = (SELECT body FROM texts)",
            "UPDATE ONLY child SET id = 77",
            "DELETE FROM ONLY child",
            "INSERT INTO public.child (id, parent_id) VALUES (77, 1)",
        ],
        (_, true) => [
            "UPDATE parent p JOIN texts t ON t.id = p.id SET p.name = t.body",
            "DELETE parent FROM parent JOIN child c ON c.parent_id = parent.id",
            "DELETE child FROM child JOIN parent ON 1 = 1",
            "DELETE FROM child USING child JOIN parent ON 1 = 1",
            "UPDATE LOW_PRIORITY child SET id = 77",
            "REPLACE INTO child (id, parent_id) VALUES (77, 1)",
            "INSERT INTO parent (id, name) VALUES (1, 'x') ON DUPLICATE KEY UPDATE name = (SELECT body FROM texts)",
        ],
        _ => [
            "UPDATE parent SET name = t.body FROM texts t WHERE t.id = parent.id",
            "UPDATE OR REPLACE child SET id = 77",
            "DELETE FROM parent WHERE id = 77 RETURNING (SELECT body FROM texts)",
            "INSERT INTO parent (id, name) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = (SELECT body FROM texts)",
            "REPLACE INTO child (id, parent_id) VALUES (77, 1)",
            "INSERT INTO main.child (id, parent_id) VALUES (77, 1)",
            "DELETE FROM \"child\"",
        ],
    });
    for statement in &changes {
        denied(statement, some.execute(statement, &[]).await);
    }
    let mut transaction = some.database.begin(some.permit.write().unwrap()).await.unwrap();
    for statement in BEYOND {
        denied(statement, transaction.query(some.permit.read().unwrap(), statement, &[]).await);
    }
    for statement in &changes {
        denied(statement, transaction.execute(some.permit.write().unwrap(), statement, &[]).await);
    }
    let own = "UPDATE parent SET age = 77 WHERE id = 1";
    transaction.execute(some.permit.write().unwrap(), own, &[]).await.unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(ground.query("SELECT * FROM parent ORDER BY id", &[]).await.unwrap(), before);
    let error = some.query("SELECT * FROM child", &[]).await.unwrap_err();
    let told = "denied: the table `child` is not among those that this agent may touch";
    assert_eq!(error.to_string(), told);
    let none = ground.only(&[]).await.unwrap();
    denied("SELECT * FROM parent", none.query("SELECT * FROM parent", &[]).await);
    none.query("SELECT 1", &[]).await.unwrap();
}

fn denied<T>(statement: &str, result: Result<T, Error>) {
    match result {
        Err(Error::Denied(_)) => {}
        // Not every database has every form.
        Err(Error::Invalid(_)) => {}
        Err(other) => panic!("{statement}: {other}"),
        Ok(_) => panic!("{statement}: it ran"),
    }
}
