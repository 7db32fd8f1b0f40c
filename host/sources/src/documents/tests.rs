//! The store as a whole, over files of its own: what it has beyond the contract, which `tests/documents` asks
//! of every store.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use remit_domain::data::{Refusal, documents::MAX_DOCUMENT_BYTES};
use serde_json::json;

use super::*;
use crate::ceilings::Ceilings;

struct Fixture {
    store: DocumentFile,
    folder: tempfile::TempDir,
}

fn share() -> Arc<Share> {
    Ceilings::new(100, 100).share(&remit_domain::TenantId::new("one").unwrap())
}

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let store = DocumentFile::new(&folder.path().join("new/folder/documents.sqlite"), &Settings::default(), &share());
    Fixture { store, folder }
}

async fn with(documents: &[Value]) -> Fixture {
    let fixture = fixture();
    let documents: Vec<_> = documents.iter().map(Value::to_string).collect();
    fixture.store.run_insert(&Scope::ALL, "things", &documents).await.unwrap();
    fixture
}

fn all(filter: Value) -> Selection {
    Selection { filter: filter.to_string(), projection: None, sort: None, skip: 0, limit: 0 }
}

impl Fixture {
    async fn find(&self, selection: &Selection) -> Result<Vec<Value>, Error> {
        let found = self.store.run_find(&Scope::ALL, "things", selection).await?;
        Ok(found.iter().map(|text| serde_json::from_str(text).unwrap()).collect())
    }

    async fn aggregate(&self, pipeline: Value) -> Result<Vec<Value>, Error> {
        let found = self.store.run_aggregate(&Scope::ALL, "things", &pipeline.to_string()).await?;
        Ok(found.iter().map(|text| serde_json::from_str(text).unwrap()).collect())
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_is_made() {
    let fixture = fixture();
    assert_eq!(fixture.find(&all(json!({}))).await, Ok(vec![]));
    fixture.store.probe().await.unwrap();
    assert!(fixture.folder.path().join("new/folder/documents.sqlite").exists());
}

#[tokio::test]
async fn ids_are_made_where_missing_and_unique_always() {
    let fixture = with(&[json!({ "_id": "a" })]).await;
    let ids = fixture.store.run_insert(&Scope::ALL, "things", &[r#"{"x": 1}"#.to_owned()]).await.unwrap();
    let id: Value = serde_json::from_str(ids.first().unwrap()).unwrap();
    assert_eq!(fixture.find(&all(json!({ "_id": id }))).await.unwrap(), [json!({ "_id": id, "x": 1 })]);
    let batch = [r#"{"_id": "b"}"#.to_owned(), r#"{"_id": "a"}"#.to_owned(), r#"{"_id": "c"}"#.to_owned()];
    let error = fixture.store.run_insert(&Scope::ALL, "things", &batch).await.unwrap_err();
    assert!(matches!(&error, Error::Rejected(why) if why.reason == Refusal::Constraint), "{error}");
    assert_eq!(
        fixture.store.run_count(&Scope::ALL, "things", r#"{"_id": "b"}"#).await,
        Ok(1),
        "what came before it stays"
    );
    assert_eq!(
        fixture.store.run_count(&Scope::ALL, "things", r#"{"_id": "c"}"#).await,
        Ok(0),
        "what came after it does not"
    );
    let number = [r#"{"_id": 1}"#.to_owned(), r#"{"_id": 1.0}"#.to_owned()];
    assert_eq!(fixture.store.run_insert(&Scope::ALL, "things", &number).await.unwrap_err().case(), "rejected");
    for bad in [r#"{"_id": [1]}"#, r#"{"_id": null}"#, r#"{"$set": 1}"#, r#"{"a": {"$b": 1}}"#, "[]", "1", "{"] {
        let error = fixture.store.run_insert(&Scope::ALL, "things", &[bad.to_owned()]).await.unwrap_err();
        assert_eq!(error.case(), "invalid", "{bad}");
    }
    let large = json!({ "x": "x".repeat(MAX_DOCUMENT_BYTES) }).to_string();
    assert_eq!(fixture.store.run_insert(&Scope::ALL, "things", &[large]).await.unwrap_err().case(), "limit");
}

#[tokio::test]
async fn updates_are_counted_and_upserts_begin_with_the_filter() {
    let fixture = with(&[json!({ "_id": 1, "n": 1 }), json!({ "_id": 2, "n": 2 })]).await;
    let update = async |filter: Value, update: Value, upsert| {
        fixture.store.run_update(&Scope::ALL, "things", &filter.to_string(), &update.to_string(), upsert).await
    };
    let count = |matched, modified| Ok(UpdateCount { matched, modified, upserted_id: None });
    assert_eq!(update(json!({}), json!({ "$set": { "n": 2 } }), false).await, count(2, 1));
    assert_eq!(update(json!({ "_id": 1 }), json!({ "$inc": { "n": 1 } }), true).await, count(1, 1));
    assert_eq!(update(json!({ "n": 99 }), json!({ "$inc": { "n": 1 } }), false).await, count(0, 0));
    let upserted =
        update(json!({ "_id": 7, "kind.of": "new", "n": { "$gt": 90 } }), json!({ "$inc": { "hits": 1 } }), true);
    assert_eq!(upserted.await.unwrap().upserted_id.as_deref(), Some("7"));
    let found = fixture.find(&all(json!({ "_id": 7 }))).await.unwrap();
    assert_eq!(found, [json!({ "_id": 7, "kind": { "of": "new" }, "hits": 1 })]);
    // A change that one document does not allow changes none.
    assert_eq!(update(json!({}), json!({ "$set": { "n.x": 1 } }), false).await.unwrap_err().case(), "rejected");
    assert_eq!(fixture.store.run_count(&Scope::ALL, "things", r#"{"n.x": 1}"#).await, Ok(0));
    let nearly = json!({ "_id": 8, "x": "x".repeat(MAX_DOCUMENT_BYTES - 60_000) });
    fixture.store.run_insert(&Scope::ALL, "things", &[nearly.to_string()]).await.unwrap();
    let more = json!({ "$push": { "y": "y".repeat(40_000) } });
    assert_eq!(update(json!({ "_id": 8 }), more.clone(), false).await, count(1, 1));
    let error = update(json!({ "_id": 8 }), more, false).await.unwrap_err();
    assert_eq!(error, Error::Limit { name: "max-document-bytes", allowed: 1024 * 1024 });
}

#[tokio::test]
async fn pipelines_group_and_count() {
    let fixture = with(&[
        json!({ "_id": 1, "city": "London", "total": 10, "items": [{ "sku": "a", "n": 1 }, { "sku": "b", "n": 2 }] }),
        json!({ "_id": 2, "city": "London", "total": 5.5, "items": [{ "sku": "a", "n": 3 }] }),
        json!({ "_id": 3, "city": "Paris", "total": 1, "items": [] }),
        json!({ "_id": 4, "total": "none" }),
    ])
    .await;
    let by_city = fixture.aggregate(json!([
        { "$match": { "_id": { "$lte": 4 } } },
        { "$group": { "_id": "$city", "sum": { "$sum": "$total" }, "avg": { "$avg": "$total" }, "count": { "$sum": 1 },
            "n": { "$count": {} }, "min": { "$min": "$total" }, "max": { "$max": "$total" },
            "first": { "$first": "$_id" }, "last": { "$last": "$_id" }, "ids": { "$push": "$_id" } } },
        { "$sort": { "_id": 1 } },
    ]));
    assert_eq!(
        by_city.await.unwrap(),
        [
            json!({ "_id": null, "sum": 0, "avg": null, "count": 1, "n": 1, "min": "none", "max": "none",
                "first": 4, "last": 4, "ids": [4] }),
            json!({ "_id": "London", "sum": 15.5, "avg": 7.75, "count": 2, "n": 2, "min": 5.5, "max": 10,
                "first": 1, "last": 2, "ids": [1, 2] }),
            json!({ "_id": "Paris", "sum": 1, "avg": 1.0, "count": 1, "n": 1, "min": 1, "max": 1,
                "first": 3, "last": 3, "ids": [3] }),
        ]
    );
    let skus = fixture.aggregate(json!([
        { "$unwind": "$items" },
        { "$group": { "_id": { "sku": "$items.sku" }, "n": { "$sum": "$items.n" } } },
        { "$sort": { "n": -1 } },
        { "$project": { "_id": 0, "sku": "$_id.sku", "n": 1 } },
        { "$limit": 1 },
    ]));
    assert_eq!(skus.await.unwrap(), [json!({ "n": 4, "sku": "a" })]);
    let count = fixture.aggregate(
        json!([{ "$unwind": { "path": "$items", "preserveNullAndEmptyArrays": true } }, { "$count": "rows" }]),
    );
    assert_eq!(count.await.unwrap(), [json!({ "rows": 5 })]);
    let none = fixture.aggregate(json!([{ "$match": { "x": 1 } }, { "$count": "rows" }])).await;
    assert_eq!(none, Ok(Vec::new()));
    assert_eq!(
        fixture.aggregate(json!([{ "$skip": 3 }, { "$project": { "_id": 1 } }])).await.unwrap(),
        [json!({ "_id": 4 })]
    );
}

#[tokio::test]
async fn answers_stay_within_their_limits() {
    let big: Vec<_> = (0..6).map(|n| json!({ "_id": n, "x": "x".repeat(1_000_000) })).collect();
    let fixture = with(&big).await;
    assert_eq!(fixture.find(&all(json!({}))).await.unwrap_err().case(), "limit");
    assert_eq!(fixture.find(&Selection { limit: 10_001, ..all(json!({})) }).await.unwrap_err().case(), "limit");
    assert_eq!(fixture.find(&Selection { limit: 4, ..all(json!({})) }).await.unwrap().len(), 4);
    // A pipeline that would grow beyond all bounds is stopped while it grows.
    let many: Vec<_> = (0..400).collect();
    let fixture = with(&[json!({ "_id": 1, "a": many, "b": many, "c": many })]).await;
    let bomb = json!([{ "$unwind": "$a" }, { "$unwind": "$b" }, { "$unwind": "$c" }, { "$count": "n" }]);
    assert!(matches!(fixture.aggregate(bomb).await, Err(Error::Limit { name: "max-working-bytes", .. })));
}

#[tokio::test]
async fn what_a_guest_asks_for_can_neither_kill_nor_freeze_the_host() {
    // Little to ask, much to make: one document of 900 KB, and stages that would hold it a thousandfold.
    let fixture = with(&[json!({ "_id": 1, "x": "x".repeat(900_000), "n": (0..1_000).collect::<Vec<_>>() })]).await;
    let many = |count: usize, of: fn(usize) -> (String, Value)| Value::Object((0..count).map(of).collect());
    let mut pushing = many(450, |at| (format!("f{at}"), json!({ "$push": "$x" })));
    let mut lasting = many(450, |at| (format!("f{at}"), json!({ "$last": "$x" })));
    let mut counting = many(450, |at| (format!("f{at}"), json!({ "$sum": 1 })));
    for (group, by) in [(&mut pushing, json!(null)), (&mut lasting, json!(null)), (&mut counting, json!("$n"))] {
        group.as_object_mut().unwrap().insert("_id".to_owned(), by);
    }
    let limit = |error: Error| match error {
        Error::Limit { name, .. } => name,
        other => panic!("{other}"),
    };
    for stages in [
        json!([{ "$group": pushing }]),
        json!([{ "$group": lasting }]),
        json!([{ "$group": { "_id": many(900, |at| (format!("f{at}"), json!("$x"))) } }]),
        json!([{ "$project": many(900, |at| (format!("f{at}"), json!("$x"))) }]),
        // Each group has room for all that is ever put into it.
        json!([{ "$project": { "n": 1 } }, { "$unwind": "$n" }, { "$group": counting }]),
    ] {
        assert_eq!(limit(fixture.aggregate(stages).await.unwrap_err()), "max-working-bytes");
    }
    // More than anybody asks for.
    for (case, count) in [("max-query-parts", 2_000), ("max-query-bytes", 10_000)] {
        let mut pushing = many(count, |at| (format!("f{at}"), json!({ "$push": "$_id" })));
        pushing.as_object_mut().unwrap().insert("_id".to_owned(), Value::Null);
        assert_eq!(limit(fixture.aggregate(json!([{ "$group": pushing }])).await.unwrap_err()), case);
        let wide = many(count, |at| (format!("f{at}"), json!(1)));
        let selection = Selection { projection: Some(wide.to_string()), ..all(json!({})) };
        assert_eq!(limit(fixture.find(&selection).await.unwrap_err()), case);
        assert_eq!(limit(fixture.find(&all(wide.clone())).await.unwrap_err()), case);
        let update = json!({ "$set": wide }).to_string();
        assert_eq!(
            limit(fixture.store.run_update(&Scope::ALL, "things", "{}", &update, false).await.unwrap_err()),
            case
        );
    }
    let listed = json!({ "n": { "$in": vec!["longer"; 2_000] } }).to_string();
    assert_eq!(limit(fixture.store.run_delete(&Scope::ALL, "things", &listed).await.unwrap_err()), "max-query-parts");
}

#[tokio::test]
async fn documents_have_so_many_levels() {
    let nested = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!({ "a": inner }));
    // The document itself is one.
    let fixture = with(&[json!({ "_id": 1, "a": nested(99) })]).await;
    let deeper = json!({ "_id": 2, "a": nested(100) }).to_string();
    assert_eq!(fixture.store.run_insert(&Scope::ALL, "things", &[deeper]).await.unwrap_err().case(), "invalid");
    // What is stored must be read again by everybody.
    let update = json!({ "$set": { vec!["a"; 32].join("."): nested(90) } }).to_string();
    assert_eq!(
        fixture.store.run_update(&Scope::ALL, "things", "{}", &update, false).await.unwrap_err().case(),
        "invalid"
    );
    // Stages that add levels to each other's do not add them without end.
    let wrap = (0..110).fold(json!("$_id"), |inner, _| json!({ "a": inner }));
    let stage = json!({ "$group": { "_id": wrap } });
    assert_eq!(fixture.aggregate(json!([stage])).await.unwrap().len(), 1);
    assert_eq!(fixture.aggregate(json!(vec![stage; 8])).await.unwrap_err().case(), "invalid");
    let name = vec!["a"; 32].join(".");
    let stage = json!({ "$project": { name: "$a" } });
    assert_eq!(fixture.aggregate(json!(vec![stage; 50])).await.unwrap_err().case(), "invalid");
}

#[tokio::test]
async fn an_operation_ends_with_its_time() {
    let mut fixture = with(&[json!({ "_id": 1, "n": 1 })]).await;
    fixture.store.timeout = Duration::ZERO;
    let late =
        |result: Result<(), Error>| assert!(matches!(result, Err(Error::Limit { name: "max-statement-ms", .. })));
    late(fixture.find(&all(json!({}))).await.map(drop));
    late(fixture.store.run_count(&Scope::ALL, "things", r#"{"n": 1}"#).await.map(drop));
    late(fixture.aggregate(json!([{ "$count": "n" }])).await.map(drop));
    late(fixture.store.run_update(&Scope::ALL, "things", "{}", r#"{"$set": {"n": 2}}"#, false).await.map(drop));
    late(fixture.store.run_delete(&Scope::ALL, "things", r#"{"n": 1}"#).await.map(drop));
    late(fixture.store.run_insert(&Scope::ALL, "things", &["{}".to_owned()]).await.map(drop));
    fixture.store.timeout = Duration::from_secs(30);
    assert_eq!(fixture.find(&all(json!({}))).await.unwrap(), [json!({ "_id": 1, "n": 1 })], "and nothing happened");
}

#[test]
fn an_update_of_everything_holds_so_much() {
    let (meter, _waiting) = Meter::begin(Duration::from_secs(600));
    // As if some had been changed before.
    meter.take(63 * 1024 * 1024).unwrap();
    let filter = Filter::All(Vec::new());
    let update = Update::read(json!({ "$set": { "y": 1 } }).as_object().unwrap()).unwrap();
    let mut changing = Changing { filter, update, meter, matched: 0, changes: Vec::new() };
    let document = json!({ "_id": 1, "x": "x".repeat(900_000) }).to_string();
    assert_eq!(changing.visit(&document), Ok(true));
    let error = changing.visit(&document).unwrap_err();
    assert!(matches!(error, Error::Limit { name: "max-working-bytes", .. }), "{error}");
    assert_eq!(changing.changes.len(), 1);
}

#[tokio::test]
async fn a_file_of_documents_grows_to_its_size_and_no_further() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("documents.sqlite");
    let settings = Settings { database_bytes: 300_000, ..Settings::default() };
    let store = DocumentFile::new(&path, &settings, &share());
    let document = [json!({ "x": "x".repeat(100_000) }).to_string()];
    store.run_insert(&Scope::ALL, "things", &document).await.unwrap();
    let error = loop {
        if let Err(error) = store.run_insert(&Scope::ALL, "things", &document).await {
            break error;
        }
    };
    assert_eq!(error, Error::Limit { name: "max-database-bytes", allowed: 300_000 });
    assert!(std::fs::metadata(&path).unwrap().len() <= 300_000);
    assert_eq!(store.run_delete(&Scope::ALL, "things", r#"{"x": {"$exists": true}}"#).await, Ok(2));
}

#[tokio::test]
async fn numbers_keep_their_digits() {
    let fixture = with(&[
        json!({ "_id": 1, "n": { "$numberDecimal": "0.10" }, "big": i64::MAX }),
        json!({ "_id": 2, "n": { "$numberDecimal": "0.20" }, "big": 1 }),
    ])
    .await;
    let sum = fixture.aggregate(json!([{ "$group": { "_id": null, "n": { "$sum": "$n" } } }])).await.unwrap();
    assert_eq!(sum, [json!({ "_id": null, "n": { "$numberDecimal": "0.30" } })]);
    let overflow = fixture.aggregate(json!([{ "$group": { "_id": null, "n": { "$sum": "$big" } } }])).await;
    assert_eq!(overflow.unwrap_err().case(), "rejected");
    assert_eq!(
        fixture.store.run_count(&Scope::ALL, "things", &json!({ "big": i64::MAX - 1 }).to_string()).await,
        Ok(0)
    );
}
