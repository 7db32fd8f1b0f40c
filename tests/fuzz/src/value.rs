//! Values: what a guest hands to a database, and what it gets back; statements through a handle that only
//! reads; JSON against a schema of a stranger's.

#![no_main]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic is what a fuzzer looks for")]

use std::sync::{Arc, LazyLock};

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use remit_domain::{
    SourceName,
    data::{
        Handle, Sources,
        sql::{Database, Value},
    },
    grant::{Grant, Grants, Permission, Permit},
    limits::Limits,
    schema::Schema,
    source::{Definition, Kind},
    tenant::Tenants,
};
use remit_fuzz::{One, agent, context};
use remit_sources::{
    Pools, Settings,
    guard::{Guard, NetworkRules},
    make_sqlite,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

struct Ground {
    database: Arc<dyn Database>,
    permit: Permit,
    runtime: Runtime,
    _folder: TempDir,
}

static GROUND: LazyLock<Ground> = LazyLock::new(|| {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let path = folder.path().join("fuzzed.sqlite");
    let (database, permit) = runtime.block_on(async {
        const SCRIPT: &str = "CREATE TABLE kept (id INTEGER PRIMARY KEY, name TEXT NOT NULL);\
            INSERT INTO kept (id, name) VALUES (1, 'one'), (2, 'two');";
        make_sqlite(&path, SCRIPT).await.unwrap();
        let name = SourceName::new("primary").unwrap();
        let (authored_kind, revision) = ("mysql".to_owned(), "1".to_owned());
        let definition = Definition { name: name.clone(), authored_kind, kind: Kind::Sqlite { path }, revision, cache: None };
        let context = context(Limits::default(), vec![(Arc::new(definition), Permission::Read)]);
        let tenants: Arc<dyn Tenants> = Arc::new(One(context.clone()));
        let guard = Guard::new(NetworkRules::default()).unwrap();
        let sources: Arc<dyn Sources> = Pools::new(Settings::default(), guard);
        let granted = vec![Grant { source: name, permission: Permission::Read }];
        let (permit, handle) =
            Grants::new(&context, &agent(), granted, &tenants, &sources).open("primary").await.unwrap();
        let Handle::Sql(database) = handle else { panic!("of another family") };
        (database, permit)
    });
    Ground { database, permit, runtime, _folder: folder }
});

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else { return };
    match kind % 3 {
        0 => drop(there_and_back(rest)),
        1 => reads_only(&String::from_utf8_lossy(rest)),
        _ => against_a_schema(&String::from_utf8_lossy(rest)),
    }
});

/// What goes in as a parameter comes out as it was, as far as the database has its type.
fn there_and_back(input: &[u8]) -> Result<()> {
    let mut input = Unstructured::new(input);
    let values = (0..input.int_in_range(1..=4)?).map(|_| value(&mut input)).collect::<Result<Vec<_>>>()?;
    let columns: Vec<String> = (1..=values.len()).map(|at| format!("${at} AS c{at}")).collect();
    let statement = format!("SELECT {}", columns.join(", "));
    let ground = &*GROUND;
    let query = ground.database.query(ground.permit.read().unwrap(), &statement, &values);
    let Ok(rows) = ground.runtime.block_on(query) else { return Ok(()) };
    for (given, got) in values.iter().zip(rows.rows.first().unwrap()) {
        match given {
            Value::Real(number) if number.is_nan() => assert_eq!(got, &Value::Null),
            Value::Null | Value::Integer(_) | Value::Real(_) | Value::Blob(_) => assert_eq!(given, got),
            Value::Text(text) if !text.contains('\0') => assert_eq!(given, got),
            _ => {}
        }
    }
    Ok(())
}

fn value(input: &mut Unstructured<'_>) -> Result<Value> {
    let text = |input: &mut Unstructured<'_>| input.arbitrary::<String>();
    Ok(match input.int_in_range(0..=11)? {
        0 => Value::Null,
        1 => Value::Boolean(input.arbitrary()?),
        2 => Value::Integer(input.arbitrary()?),
        3 => Value::Real(input.arbitrary()?),
        4 => Value::Decimal(text(input)?),
        5 => Value::Text(text(input)?),
        6 => Value::Blob(input.arbitrary()?),
        7 => Value::Date(text(input)?),
        8 => Value::Time(text(input)?),
        9 => Value::Timestamp(text(input)?),
        10 => Value::Uuid(text(input)?),
        _ => Value::Json(text(input)?),
    })
}

/// Whatever is asked through a handle that reads, what is there stays as it was.
fn reads_only(statement: &str) {
    let ground = &*GROUND;
    let ask = |statement: &str| {
        let asked = ground.database.query(ground.permit.read().unwrap(), statement, &[]);
        ground.runtime.block_on(asked)
    };
    drop(ask(statement));
    let kept = ask("SELECT id, name FROM kept ORDER BY id").unwrap().rows;
    let row = |id, name: &str| vec![Value::Integer(id), Value::Text(name.to_owned())];
    assert_eq!(kept, [row(1, "one"), row(2, "two")], "{statement}");
}

/// A schema, and after a NUL the JSON that is checked against it.
fn against_a_schema(text: &str) {
    let Some((schema, value)) = text.split_once('\0') else { return };
    let (Ok(schema), Ok(value)) = (Schema::parse(schema), serde_json::from_str(value)) else { return };
    let found = schema.check(&value).err().unwrap_or_default();
    assert!(found.len() <= Schema::MAX_PROBLEMS);
}
