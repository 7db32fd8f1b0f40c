//! What is admitted and what is not, whichever store it is asked of.
#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::json;

use super::*;

/// `ok`, or the case of the error.
fn case<T>(result: Result<T, Error>) -> &'static str {
    result.map_or_else(|error| error.case(), |_| "ok")
}

fn granted() -> Scope {
    Scope::only(["orders".to_owned(), "customers".to_owned()])
}

fn of_pipeline(stages: &Value) -> &'static str {
    case(pipeline(&stages.to_string(), &granted()))
}

#[test]
fn filters_are_made_of_what_is_listed() {
    for (wanted, expected) in [
        (json!({}), "ok"),
        (json!({ "a": 1, "b.c": { "$gt": 1, "$lte": 2 }, "$or": [{ "d": { "$in": [1, null] } }] }), "ok"),
        (json!({ "a": { "$regex": "^x", "$options": "i" }, "b": { "$not": { "$regex": "y" } } }), "ok"),
        (json!({ "a": { "$elemMatch": { "b": 1, "$or": [{ "c": 1 }] } }, "d": { "$elemMatch": { "$gt": 1 } } }), "ok"),
        (json!({ "a": { "$size": 1 }, "b": { "$type": ["string", 2] }, "c": { "$mod": [2, 1] } }), "ok"),
        (json!({ "$expr": { "$gt": ["$a", { "$multiply": ["$b", 2] }] } }), "ok"),
        (json!({ "a": { "$oid": "65f000000000000000000001" }, "b": { "$eq": { "$date": 0 } } }), "ok"),
        (json!({ "a": { "$binary": { "base64": "AAE=", "subType": "00" } } }), "ok"),
        (json!({ "a": { "$timestamp": { "t": 1, "i": 2 } } }), "ok"),
        (json!({ "$where": "true" }), "denied"),
        (json!({ "$and": [{ "$or": [{ "a": { "$not": { "$where": "true" } } }] }] }), "denied"),
        (json!({ "$expr": { "$function": { "body": "x", "args": [], "lang": "js" } } }), "denied"),
        (json!({ "$expr": { "$cond": [{ "$function": {} }, 1, 2] } }), "denied"),
        (json!({ "$text": { "$search": "x" } }), "invalid"),
        (json!({ "$jsonSchema": {} }), "invalid"),
        (json!({ "$comment": "x" }), "invalid"),
        (json!({ "a": { "$near": {} } }), "invalid"),
        (json!({ "a": { "$gt": 1, "b": 2 } }), "invalid"),
        (json!({ "a": { "$code": "sleep(1)" } }), "invalid"),
        (json!({ "a": [{ "$code": "x", "$scope": {} }] }), "invalid"),
        (json!({ "a": { "$regularExpression": { "pattern": "x", "options": "" } } }), "invalid"),
        (json!({ "a": { "$uuid": "no" } }), "invalid"),
        (json!({ "a": { "$elemMatch": { "$nope": 1 } } }), "invalid"),
        (json!({ "a": { "$options": "e" } }), "invalid"),
        (json!({ "a": { "$mod": [2] } }), "invalid"),
        (json!({ "a.$b": 1 }), "invalid"),
        (json!({ "$expr": "$$USER_ROLES" }), "invalid"),
        (json!({ "$expr": { "$eq": ["$$CLUSTER_TIME.x", 1] } }), "invalid"),
        (json!({ "$expr": { "$rand": {} } }), "invalid"),
        (json!({ "$expr": { "$add": [1], "$subtract": [1, 2] } }), "invalid"),
        (json!({ "$expr": { "$add": [1], "a": 1 } }), "invalid"),
    ] {
        assert_eq!(case(filter(&wanted.to_string())), expected, "{wanted}");
    }
    for text in ["[]", "1", "{", "{\"a\": }", ""] {
        assert_eq!(case(filter(text)), "invalid", "{text}");
    }
}

#[test]
fn what_deletes_means_some_documents() {
    for (wanted, everything) in [
        (json!({}), true),
        (json!({ "$and": [{}] }), true),
        (json!({ "$or": [{ "a": 1 }, {}] }), true),
        (json!({ "$expr": true }), true),
        (json!({ "$expr": { "$eq": [1, 1] } }), true),
        (json!({ "$expr": { "$eq": ["$a", 1] } }), false),
        (json!({ "$and": [{ "a": 1 }, {}] }), false),
        (json!({ "a": { "$exists": true } }), false),
    ] {
        assert_eq!(case(deletion(&wanted.to_string())), if everything { "denied" } else { "ok" }, "{wanted}");
    }
}

#[test]
fn updates_are_made_of_what_is_listed() {
    for (wanted, expected) in [
        (json!({ "$set": { "a": 1 }, "$unset": { "b": "" }, "$inc": { "c": { "$numberDecimal": "0.1" } } }), "ok"),
        (json!({ "$setOnInsert": { "a": [] }, "$mul": { "b": 2 }, "$min": { "c": 1 }, "$max": { "d": "x" } }), "ok"),
        (json!({ "$push": { "a": { "$each": [1], "$slice": -5, "$sort": { "x": 1 } } } }), "ok"),
        (json!({ "$addToSet": { "a": { "$each": [1] } }, "$pop": { "b": -1 }, "$rename": { "c": "d" } }), "ok"),
        (json!({ "$pull": { "a": { "$in": [1] }, "b": 1, "c": { "x": { "$gt": 1 } } } }), "ok"),
        (json!({ "$currentDate": { "a": true } }), "ok"),
        (json!([{ "$set": { "a": 1 } }]), "invalid"),
        (json!({ "a": 1 }), "invalid"),
        (json!({ "$set": { "a": { "$foo": 1 } } }), "invalid"),
        (json!({ "$set": { "a.$[]": 1 } }), "invalid"),
        (json!({ "$set": { "_id": 1 } }), "invalid"),
        (json!({ "$rename": { "a": "_id" } }), "invalid"),
        (json!({ "$rename": { "a": "a.b" } }), "invalid"),
        (json!({ "$rename": { "a": "$b" } }), "invalid"),
        (json!({ "$bit": { "a": { "or": 1 } } }), "invalid"),
        (json!({ "$pull": { "a": { "$where": "x" } } }), "denied"),
        (json!({ "$pull": { "a": { "$foo": 1 } } }), "invalid"),
        (json!({ "$push": { "a": { "$each": [1], "$slice": "x" } } }), "invalid"),
        (json!({ "$push": { "a": { "$each": [{ "$foo": 1 }] } } }), "invalid"),
        (json!({ "$addToSet": { "a": { "$each": [1], "$slice": 1 } } }), "invalid"),
        (json!({ "$pop": { "a": 2 } }), "invalid"),
        (json!({ "$currentDate": { "a": { "$type": "timestamp" } } }), "invalid"),
        (json!({}), "invalid"),
    ] {
        assert_eq!(case(update(&wanted.to_string())), expected, "{wanted}");
    }
}

#[test]
fn pipelines_are_made_of_what_is_listed_at_any_depth() {
    for (stages, expected) in [
        (json!([]), "ok"),
        (json!([{ "$match": { "a": 1 } }, { "$sort": { "a": -1 } }, { "$skip": 1 }, { "$limit": 2 }]), "ok"),
        (
            json!([{ "$project": { "a": 1, "b": "$c.d", "e": { "$concat": ["$f", "-", { "$toString": "$g" }] } } }]),
            "ok",
        ),
        (json!([{ "$set": { "a.b": { "$map": { "input": "$c", "as": "one", "in": "$$one.d" } } } }]), "ok"),
        (
            json!([{ "$group": { "_id": { "y": { "$year": "$at" } }, "n": { "$sum": { "$multiply": [2, "$b"] } } } }]),
            "ok",
        ),
        (json!([{ "$facet": { "a": [{ "$count": "n" }], "b": [{ "$unset": ["x", "y"] }] } }]), "ok"),
        (json!([{ "$bucket": { "groupBy": "$a", "boundaries": [0, 5], "output": { "n": { "$sum": 1 } } } }]), "ok"),
        (json!([{ "$replaceRoot": { "newRoot": { "$mergeObjects": ["$$ROOT", { "now": "$$NOW" }] } } }]), "ok"),
        (json!([{ "$sample": { "size": 3 } }, { "$sortByCount": "$a" }]), "ok"),
        (json!([{ "$unwind": { "path": "$a", "includeArrayIndex": "i" } }]), "ok"),
        (json!([{ "$match": { "$expr": { "$eq": [{ "$literal": "$a" }, "$b"] } } }]), "ok"),
        (json!([{ "$out": "orders" }]), "denied"),
        (json!([{ "$merge": { "into": "orders" } }]), "denied"),
        (json!([{ "$facet": { "a": [{ "$out": "orders" }] } }]), "denied"),
        (json!([{ "$lookup": { "from": "orders", "as": "x", "pipeline": [{ "$merge": "orders" }] } }]), "denied"),
        (json!([{ "$unionWith": { "coll": "orders", "pipeline": [{ "$match": { "$where": "1" } }] } }]), "denied"),
        (json!([{ "$group": { "_id": null, "x": { "$accumulator": {} } } }]), "denied"),
        (json!([{ "$project": { "x": { "$function": {} } } }]), "denied"),
        (json!([{ "$set": { "x": { "$cond": { "if": true, "then": { "$function": {} }, "else": 1 } } } }]), "denied"),
        (json!([{ "$currentOp": {} }]), "denied"),
        (json!([{ "$listSessions": {} }]), "denied"),
        (json!([{ "$listLocalSessions": {} }]), "denied"),
        (json!([{ "$collStats": {} }]), "denied"),
        (json!([{ "$indexStats": {} }]), "denied"),
        (json!([{ "$planCacheStats": {} }]), "denied"),
        (json!([{ "$documents": [] }]), "denied"),
        (json!([{ "$changeStream": {} }]), "denied"),
        (json!([{ "mapReduce": "orders" }]), "denied"),
        (json!([{ "$unionWith": { "pipeline": [{ "$documents": [{ "a": 1 }] }] } }]), "denied"),
        (json!([{ "$search": {} }]), "invalid"),
        (json!([{ "$redact": "$$PRUNE" }]), "invalid"),
        (json!([{ "$setWindowFields": {} }]), "invalid"),
        (json!([{ "$geoNear": {} }]), "invalid"),
        (json!([{ "$nope": 1 }]), "invalid"),
        (json!([{ "match": {} }]), "invalid"),
        (json!([{ "$match": { "a": { "$nope": 1 } } }]), "invalid"),
        (json!([{ "$project": { "x": { "$nope": 1 } } }]), "invalid"),
        (json!([{ "$project": { "x": { "y": [{ "$meta": "indexKey" }] } } }]), "invalid"),
        (json!([{ "$group": { "_id": { "$nope": 1 } } }]), "invalid"),
        (json!([{ "$group": { "_id": null, "x": { "$nope": 1 } } }]), "invalid"),
        (json!([{ "$group": { "_id": null, "x": { "$sum": 1, "$max": 1 } } }]), "invalid"),
        (json!([{ "$group": { "x": { "$sum": 1 } } }]), "invalid"),
        (json!([{ "$facet": { "a": [{ "$nope": 1 }] } }]), "invalid"),
        (json!([{ "$facet": { "a": 1 } }]), "invalid"),
        (json!([{ "$limit": 1, "$skip": 1 }]), "invalid"),
        (json!([{ "$limit": -1 }]), "invalid"),
        (json!(vec![json!({ "$limit": 1 }); 51]), "invalid"),
        (json!([1]), "invalid"),
        (json!({}), "invalid"),
    ] {
        assert_eq!(of_pipeline(&stages), expected, "{stages}");
    }
}

#[test]
fn collections_are_within_the_scope_wherever_they_are_named() {
    let stages = |from: &Value| {
        [
            json!([{ "$lookup": { "from": from, "localField": "a", "foreignField": "b", "as": "x" } }]),
            json!([{ "$lookup": { "from": from, "let": { "a": "$a" }, "pipeline": [], "as": "x" } }]),
            json!([{ "$unionWith": from }]),
            json!([{ "$unionWith": { "coll": from } }]),
            json!([{ "$graphLookup": { "from": from, "startWith": "$a", "connectFromField": "a",
                "connectToField": "b", "as": "x", "restrictSearchWithMatch": { "c": 1 } } }]),
            json!([{ "$facet": { "f": [{ "$unionWith": from }] } }]),
            json!([{ "$unionWith": { "coll": "orders", "pipeline": [{ "$unionWith": from }] } }]),
            json!([{ "$lookup": { "from": "orders", "as": "x", "pipeline": [
                { "$facet": { "f": [{ "$lookup": { "from": from, "as": "y" } }] } }] } }]),
        ]
    };
    for (from, expected) in [
        (json!("orders"), "ok"),
        (json!("customers"), "ok"),
        (json!("payroll"), "denied"),
        (json!("Orders"), "denied"),
        (json!("orders "), "denied"),
        (json!("system.users"), "invalid"),
        (json!("$cmd.aggregate"), "invalid"),
        (json!("orders\u{0}"), "invalid"),
        (json!(""), "invalid"),
        (json!(1), "invalid"),
    ] {
        for stages in stages(&from) {
            assert_eq!(of_pipeline(&stages), expected, "{stages}");
        }
        if let Some(name) = from.as_str() {
            assert_eq!(case(collection(name, &granted())), expected, "{name}");
        }
    }
    // An object would name another database, and nothing at all reads what is no collection.
    for stages in [
        json!([{ "$lookup": { "from": { "db": "admin", "coll": "orders" }, "as": "x" } }]),
        json!([{ "$unionWith": { "db": "admin", "coll": "orders" } }]),
        json!([{ "$unionWith": { "coll": { "db": "admin", "coll": "orders" } } }]),
        json!([{ "$lookup": { "pipeline": [], "as": "x" } }]),
        json!([{ "$unionWith": {} }]),
        json!([{ "$graphLookup": { "startWith": "$a" } }]),
    ] {
        assert_eq!(of_pipeline(&stages), "invalid", "{stages}");
    }
    assert_eq!(case(pipeline(r#"[{"$unionWith": "anything"}]"#, &Scope::ALL)), "ok");
}

#[test]
fn documents_are_values_with_an_id_at_their_head() {
    let kept = new_document(r#"{"a": {"$date": 0}, "_id": 7}"#).unwrap();
    assert_eq!((kept.id, kept.text.as_str()), (json!(7), r#"{"_id":7,"a":{"$date":0}}"#));
    let made = new_document("{}").unwrap();
    assert_eq!(made.document.get("_id"), Some(&made.id));
    assert!(made.id.get("$oid").is_some());
    for bad in [r#"{"_id": [1]}"#, r#"{"_id": null}"#, r#"{"$set": 1}"#, r#"{"a": {"$b": 1}}"#, "[]", "1", "{"] {
        assert_eq!(case(new_document(bad)), "invalid", "{bad}");
    }
    assert_eq!(case(several(&[])), "invalid");
    assert_eq!(case(several(&vec!["{}".to_owned(); MAX_DOCUMENTS + 1])), "limit");
    assert_eq!(case(several(&vec!["{}".to_owned(); MAX_DOCUMENTS])), "ok");
}
