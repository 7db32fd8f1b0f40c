//! The promises, one function each, with collections of their own.

use remit_domain::data::{
    Error, Refusal,
    documents::{MAX_DOCUMENT_BYTES, Selection, UpdateCount},
};
use serde_json::{Value, json};

use crate::ground::{Ground, all};

/// Which store is asked, so that what the emulator lacks is named where it would show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    InFile,
    ByEmulator,
}

pub(crate) async fn all_of(ground: &Ground, kept: Kept) {
    documents_are_found_sorted_skipped_limited_and_projected(ground, kept).await;
    values_are_given_back_as_they_were(ground, kept).await;
    filters_mean_the_same(ground, kept).await;
    inserted_documents_have_ids_and_no_two_the_same(ground).await;
    updates_are_counted_and_upserts_begin_with_the_filter(ground).await;
    deletes_need_a_filter(ground).await;
    pipelines_group_and_count(ground, kept).await;
    answers_stay_within_their_limits(ground).await;
    what_is_on_no_list_is_refused(ground).await;
}

async fn documents_are_found_sorted_skipped_limited_and_projected(ground: &Ground, kept: Kept) {
    let documents = [
        json!({ "_id": 1, "n": 3, "tags": ["x", "z"] }),
        json!({ "_id": 2, "n": 1, "tags": [] }),
        json!({ "_id": 3, "n": 2, "tags": ["y"] }),
        json!({ "_id": 4, "tags": ["a"], "in": { "a": 1, "b": 2 } }),
    ];
    ground.insert("found", &documents).await.unwrap();
    let ids = async |filter: Value, sort: Value, skip, limit| -> Vec<i64> {
        let selection = Selection {
            projection: Some(json!({ "_id": 1 }).to_string()),
            sort: Some(sort.to_string()),
            skip,
            limit,
            ..all(&filter)
        };
        let found = ground.find_of("found", &selection).await.unwrap();
        found.iter().map(|document| document["_id"].as_i64().unwrap()).collect()
    };
    assert_eq!(ids(json!({}), json!({ "n": 1 }), 0, 0).await, [4, 2, 3, 1]);
    assert_eq!(ids(json!({}), json!({ "n": -1 }), 1, 2).await, [3, 2]);
    assert_eq!(ids(json!({ "n": { "$gte": 2 } }), json!({ "n": 1 }), 0, 0).await, [3, 1]);
    assert_eq!(ids(json!({ "_id": 3, "n": 2 }), json!({}), 0, 0).await, [3]);
    assert_eq!(ids(json!({ "_id": 3, "n": 9 }), json!({}), 0, 0).await, [0_i64; 0]);
    let projected = async |projection: Value| {
        let selection = Selection { projection: Some(projection.to_string()), ..all(&json!({ "_id": 4 })) };
        ground.find_of("found", &selection).await
    };
    assert_eq!(projected(json!({ "tags": 1, "_id": 0 })).await, Ok(vec![json!({ "tags": ["a"] })]));
    assert_eq!(projected(json!({ "tags": 0, "in": 0 })).await, Ok(vec![json!({ "_id": 4 })]));
    if kept == Kept::InFile {
        // nx-27017 leaves out no part of an object.
        assert_eq!(projected(json!({ "tags": 0, "in.a": 0 })).await, Ok(vec![json!({ "_id": 4, "in": { "b": 2 } })]));
    }
    for bad in [json!({ "a": 1, "b": 0 }), json!({ "a": { "$slice": 1 } }), json!({ "a": "$b" }), json!([])] {
        assert_eq!(projected(bad.clone()).await.unwrap_err().case(), "invalid", "{bad}");
    }
    let selection = Selection { sort: Some(json!({ "n": "up" }).to_string()), ..all(&json!({})) };
    assert_eq!(ground.find_of("found", &selection).await.unwrap_err().case(), "invalid");
    assert_eq!(ground.find("nowhere", &json!({})).await, Ok(vec![]), "a collection that is not there is empty");
}

async fn values_are_given_back_as_they_were(ground: &Ground, kept: Kept) {
    let mut document = json!({
        "_id": { "$oid": "65f000000000000000000001" }, "text": "it's \"ünïcode\" \\ $x.y \u{1f600}", "none": null,
        "yes": true, "whole": 7, "large": i64::MAX, "least": i64::MIN, "real": 0.1, "even": 2.0,
        "list": [1, "a", [], {}, null], "in": { "z": 1, "a": { "deep": [{ "x": 1 }] } },
        "at": { "$date": "2026-11-23T13:45:00Z" }, "bytes": { "$binary": { "base64": "AAEC/w==", "subType": "00" } },
        "when": { "$date": "2026-11-23T13:45:00.123Z" }, "ref": { "$oid": "65f0000000000000000000ff" },
    });
    if kept == Kept::InFile {
        let more = json!({
            // nx-27017 takes no decimals and no timestamps, and forgets that bytes are a UUID.
            "exact": { "$numberDecimal": "12.50" }, "uuid": { "$uuid": "00112233-4455-6677-8899-aabbccddeeff" },
            "stamp": { "$timestamp": { "t": 1, "i": 2 } },
        });
        document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    }
    let ids = ground.insert("kinds", std::slice::from_ref(&document)).await.unwrap();
    assert_eq!(ids, [r#"{"$oid":"65f000000000000000000001"}"#]);
    let found = ground.find("kinds", &json!({ "_id": { "$oid": "65f000000000000000000001" } })).await.unwrap();
    assert_eq!(found, [document]);
    let names: Vec<_> = found[0]["in"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["z", "a"], "names stay in their order");
}

async fn filters_mean_the_same(ground: &Ground, kept: Kept) {
    let document = json!({
        "_id": 1, "name": "Ada", "age": 36, "tags": ["a", "b"], "none": null, "address": { "city": "London" },
        "orders": [{ "total": 10 }, { "total": 25.5, "paid": true }],
    });
    ground.insert("filters", &[document]).await.unwrap();
    let mut filters = vec![
        (json!({ "name": "Ada" }), 1),
        (json!({ "name": "ada" }), 0),
        (json!({ "age": 36.0 }), 1),
        (json!({ "age": { "$gt": 30, "$lt": 40 } }), 1),
        (json!({ "age": { "$gte": 36, "$lte": 36 } }), 1),
        (json!({ "tags": "b" }), 1),
        (json!({ "tags": { "$in": ["x", "a"] } }), 1),
        (json!({ "tags": { "$nin": ["x", "a"] } }), 0),
        (json!({ "tags": { "$ne": "c" } }), 1),
        (json!({ "address.city": "London" }), 1),
        (json!({ "missing": { "$exists": false } }), 1),
        (json!({ "$or": [{ "name": "Bob" }, { "age": 36 }] }), 1),
        (json!({ "$nor": [{ "name": "Bob" }, { "age": 36 }] }), 0),
        (json!({ "$and": [{ "name": "Ada" }, { "age": { "$ne": 36 } }] }), 0),
        (json!({}), 1),
    ];
    if kept == Kept::InFile {
        // nx-27017 looks through no list of objects, and takes null for what is not there.
        filters.extend([
            (json!({ "orders.total": { "$gt": 20 } }), 1),
            (json!({ "orders.total": { "$gt": 30 } }), 0),
            (json!({ "orders.paid": true }), 1),
            (json!({ "none": { "$exists": true } }), 1),
        ]);
    }
    for (wanted, matches) in filters {
        assert_eq!(ground.count("filters", &wanted).await, Ok(matches), "{wanted}");
        assert_eq!(ground.find("filters", &wanted).await.unwrap().len() as u64, matches, "{wanted}");
    }
}

async fn inserted_documents_have_ids_and_no_two_the_same(ground: &Ground) {
    let made = ground.insert("inserted", &[json!({ "a": 1 }), json!({ "a": 2, "_id": "own" })]).await.unwrap();
    assert_eq!(made[1], "\"own\"");
    let id: Value = serde_json::from_str(&made[0]).unwrap();
    assert_eq!(ground.find("inserted", &json!({ "_id": id })).await, Ok(vec![json!({ "_id": id, "a": 1 })]));
    let documents = [json!({ "_id": "before" }), json!({ "_id": "own" }), json!({ "_id": "after" })];
    let error = ground.insert("inserted", &documents).await.unwrap_err();
    let Error::Rejected(why) = &error else { panic!("{error}") };
    assert_eq!((why.reason, why.code.as_deref()), (Refusal::Constraint, Some("11000")));
    assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    let ids = json!({ "_id": { "$in": ["before", "after"] } });
    assert_eq!(ground.find("inserted", &ids).await, Ok(vec![json!({ "_id": "before" })]), "none after it");
    for bad in [
        json!({ "_id": [1] }),
        json!({ "_id": null }),
        json!({ "$set": 1 }),
        json!({ "a": { "$b": 1 } }),
        json!({ "a": [{ "b\u{0}c": 1 }] }),
    ] {
        assert_eq!(ground.insert("inserted", std::slice::from_ref(&bad)).await.unwrap_err().case(), "invalid", "{bad}");
    }
    let large = json!({ "x": "x".repeat(MAX_DOCUMENT_BYTES) });
    let error = ground.insert("inserted", &[large]).await.unwrap_err();
    assert_eq!(error, Error::Limit { name: "max-document-bytes", allowed: 1024 * 1024 });
    assert_eq!(ground.insert("inserted", &[]).await.unwrap_err().case(), "invalid");
}

async fn updates_are_counted_and_upserts_begin_with_the_filter(ground: &Ground) {
    ground.insert("updated", &[json!({ "_id": 1, "n": 1 }), json!({ "_id": 2, "n": 2 })]).await.unwrap();
    let update = async |filter: Value, update: Value, upsert| ground.update("updated", &filter, &update, upsert).await;
    let count = |matched, modified| Ok(UpdateCount { matched, modified, upserted_id: None });
    assert_eq!(update(json!({}), json!({ "$set": { "n": 2 } }), false).await, count(2, 1));
    assert_eq!(update(json!({ "_id": 1 }), json!({ "$inc": { "n": 1 } }), true).await, count(1, 1));
    assert_eq!(update(json!({ "n": 99 }), json!({ "$inc": { "n": 1 } }), false).await, count(0, 0));
    let change = json!({ "$set": { "in.a": 5 }, "$unset": { "n": "" }, "$push": { "tags": { "$each": ["a", "b"] } } });
    assert_eq!(update(json!({ "_id": 2 }), change, false).await, count(1, 1));
    let found = ground.find("updated", &json!({ "_id": 2 })).await.unwrap();
    assert_eq!(found, [json!({ "_id": 2, "in": { "a": 5 }, "tags": ["a", "b"] })]);
    let upserted = update(json!({ "_id": 7, "kind": "new" }), json!({ "$inc": { "hits": 1 } }), true).await.unwrap();
    assert_eq!(upserted, UpdateCount { matched: 0, modified: 0, upserted_id: Some("7".to_owned()) });
    let found = ground.find("updated", &json!({ "_id": 7 })).await.unwrap();
    assert_eq!(found, [json!({ "_id": 7, "kind": "new", "hits": 1 })]);
    for bad in [json!({ "n": 1 }), json!({ "$set": { "_id": 2 } }), json!({ "$nope": { "a": 1 } }), json!({})] {
        assert_eq!(update(json!({ "_id": 1 }), bad.clone(), false).await.unwrap_err().case(), "invalid", "{bad}");
    }
}

async fn deletes_need_a_filter(ground: &Ground) {
    ground.insert("deleted", &[json!({ "_id": 1, "n": 1 }), json!({ "_id": 2, "n": 2 })]).await.unwrap();
    for every in [json!({}), json!({ "$and": [{}] }), json!({ "$or": [{}, { "n": 1 }] }), json!({ "$expr": true })] {
        assert_eq!(ground.delete("deleted", &every).await.unwrap_err().case(), "denied", "{every}");
    }
    assert_eq!(ground.delete("deleted", &json!({ "n": { "$gt": 1 } })).await, Ok(1));
    assert_eq!(ground.delete("nowhere", &json!({ "n": 1 })).await, Ok(0));
    assert_eq!(ground.count("deleted", &json!({})).await, Ok(1));
}

async fn pipelines_group_and_count(ground: &Ground, kept: Kept) {
    let documents = [
        json!({ "_id": 1, "city": "London", "total": 10, "items": [{ "sku": "a", "n": 1 }, { "sku": "b", "n": 2 }] }),
        json!({ "_id": 2, "city": "London", "total": 5.5, "items": [{ "sku": "a", "n": 3 }] }),
        json!({ "_id": 3, "city": "Paris", "total": 1, "items": [] }),
    ];
    ground.insert("grouped", &documents).await.unwrap();
    let by_city = json!([
        { "$match": { "_id": { "$lte": 4 } } },
        { "$group": { "_id": "$city", "sum": { "$sum": "$total" }, "avg": { "$avg": "$total" },
            "count": { "$sum": 1 }, "min": { "$min": "$total" }, "max": { "$max": "$total" } } },
        { "$sort": { "_id": 1 } },
    ]);
    let groups = ground.aggregate("grouped", &by_city).await.unwrap();
    assert_eq!(groups.len(), 2);
    for (group, expected) in groups.iter().zip([("London", 15.5, 7.75, 2, 5.5, 10.0), ("Paris", 1.0, 1.0, 1, 1.0, 1.0)])
    {
        let number = |name: &str| group[name].as_f64().unwrap();
        let count = group["count"].as_i64().unwrap();
        let city = group["_id"].as_str().unwrap();
        assert_eq!((city, number("sum"), number("avg"), count, number("min"), number("max")), expected);
    }
    let skus = json!([
        { "$unwind": "$items" },
        { "$group": { "_id": "$items.sku", "n": { "$sum": "$items.n" } } },
        { "$sort": { "n": -1 } },
        { "$project": { "_id": 0, "sku": "$_id", "n": 1 } },
        { "$limit": 1 },
    ]);
    if kept == Kept::InFile {
        // nx-27017 groups by no part of what it unwound, and counts nothing as a document of 0.
        assert_eq!(ground.aggregate("grouped", &skus).await.unwrap(), [json!({ "n": 4, "sku": "a" })]);
        let none = ground.aggregate("grouped", &json!([{ "$match": { "x": 1 } }, { "$count": "rows" }])).await;
        assert_eq!(none, Ok(Vec::new()));
    }
    let rows = ground.aggregate("grouped", &json!([{ "$unwind": "$items" }, { "$count": "rows" }])).await;
    assert_eq!(rows.unwrap(), [json!({ "rows": 3 })]);
}

async fn answers_stay_within_their_limits(ground: &Ground) {
    let big: Vec<_> = (0..6).map(|n| json!({ "_id": n, "x": "x".repeat(1_000_000) })).collect();
    ground.insert("large", &big).await.unwrap();
    let error = ground.find("large", &json!({})).await.unwrap_err();
    assert_eq!(error, Error::Limit { name: "max-result-bytes", allowed: 4 * 1024 * 1024 });
    let few = |limit| Selection { limit, ..all(&json!({})) };
    assert_eq!(ground.find_of("large", &few(10_001)).await.unwrap_err().case(), "limit");
    assert_eq!(ground.find_of("large", &few(4)).await.unwrap().len(), 4);
    let many: Vec<_> = (0..10_000).map(|n| json!({ "_id": n })).collect();
    ground.insert("many", &many).await.unwrap();
    assert_eq!(ground.find("many", &json!({})).await.unwrap().len(), 10_000);
    ground.insert("many", &[json!({ "_id": 10_000 })]).await.unwrap();
    let error = ground.aggregate("many", &json!([{ "$match": {} }])).await.unwrap_err();
    assert_eq!(error, Error::Limit { name: "max-documents", allowed: 10_000 });
    assert_eq!(ground.find("many", &json!({})).await.unwrap().len(), 10_000, "as many as there may be");
}

async fn what_is_on_no_list_is_refused(ground: &Ground) {
    ground.insert("refused", &[json!({ "_id": 1 })]).await.unwrap();
    for (pipeline, case) in [
        (json!([{ "$out": "other" }]), "denied"),
        (json!([{ "$merge": { "into": "other" } }]), "denied"),
        (json!([{ "$match": { "$or": [{ "a": { "$not": { "$where": "true" } } }] } }]), "denied"),
        (json!([{ "$project": { "x": { "$function": {} } } }]), "denied"),
        (json!([{ "$facet": { "a": [{ "$out": "other" }] } }]), "denied"),
        (json!([{ "$currentOp": {} }]), "denied"),
        (json!([{ "$nope": {} }]), "invalid"),
        (json!([{ "$match": { "a": { "b\u{0}c": 1 } } }]), "invalid"),
        (json!([{ "$project": { "a": { "b\u{0}c": "$d" } } }]), "invalid"),
        (json!([{ "$group": { "x": { "$sum": 1 } } }]), "invalid"),
        (json!([1]), "invalid"),
    ] {
        assert_eq!(ground.aggregate("refused", &pipeline).await.unwrap_err().case(), case, "{pipeline}");
    }
    assert_eq!(ground.find("refused", &json!({ "$where": "true" })).await.unwrap_err().case(), "denied");
    assert_eq!(ground.count("refused", &json!({ "a": { "$nope": 1 } })).await.unwrap_err().case(), "invalid");
    for name in ["", "a$b", "system.users", "a\0", &"a".repeat(121)] {
        assert_eq!(ground.count(name, &json!({})).await.unwrap_err().case(), "invalid", "{name:?}");
    }
    assert_eq!(ground.count("other", &json!({})).await, Ok(0), "nothing was written");
}

/// An agent whose mapping names `mine` and `shared` finds no other collection, by any way.
pub(crate) async fn a_scope_holds(owner: &Ground, narrow: &Ground) {
    for collection in ["mine", "shared", "payroll"] {
        owner.insert(collection, &[json!({ "_id": 1, "of": collection })]).await.unwrap();
    }
    assert_eq!(narrow.find("mine", &json!({})).await, Ok(vec![json!({ "_id": 1, "of": "mine" })]));
    let denied = |result: Result<(), Error>| assert_eq!(result.unwrap_err().case(), "denied");
    denied(narrow.find("payroll", &json!({})).await.map(drop));
    denied(narrow.count("payroll", &json!({})).await.map(drop));
    denied(narrow.aggregate("payroll", &json!([])).await.map(drop));
    denied(narrow.insert("payroll", &[json!({})]).await.map(drop));
    denied(narrow.update("payroll", &json!({}), &json!({ "$set": { "a": 1 } }), true).await.map(drop));
    denied(narrow.delete("payroll", &json!({ "_id": 1 })).await.map(drop));
    for pipeline in [
        json!([{ "$unionWith": "payroll" }]),
        json!([{ "$lookup": { "from": "payroll", "localField": "_id", "foreignField": "_id", "as": "x" } }]),
        json!([{ "$facet": { "x": [{ "$lookup": { "from": "payroll", "pipeline": [], "as": "x" } }] } }]),
        json!([{ "$graphLookup": { "from": "payroll", "startWith": "$_id", "connectFromField": "_id",
            "connectToField": "_id", "as": "x" } }]),
    ] {
        denied(narrow.aggregate("mine", &pipeline).await.map(drop));
    }
    assert_eq!(owner.find("payroll", &json!({})).await, Ok(vec![json!({ "_id": 1, "of": "payroll" })]));
}
