//! What goes over the wire, read by a server that records it: with bounds, and nothing that was refused.

use std::time::Duration;

use bson::{Bson, Document, doc};
use remit_domain::data::{Error, documents::Selection};
use remit_upstreams::mongo::{Answer, Recorder};
use serde_json::{Value, json};

use crate::{
    ground::{Allowed, Ground, all, mongo},
    settings,
};

pub(crate) async fn recorded(allowed: Allowed) -> (Recorder, Ground) {
    let server = Recorder::start().await.unwrap();
    let uri = format!("mongodb://{}/canary_db?maxPoolSize=500&retryWrites=true", server.address());
    let ground = Ground::new(mongo(&uri, None, None), settings(), allowed).await.unwrap();
    (server, ground)
}

/// The one command that came in, less what the driver adds for itself.
fn one(server: &Recorder) -> Document {
    let mut received = server.received();
    assert_eq!(received.len(), 1, "{received:?}");
    let mut command = received.remove(0);
    for own in ["lsid", "$clusterTime", "$readPreference"] {
        command.remove(own);
    }
    server.forget();
    command
}

#[tokio::test]
async fn each_operation_is_one_command_with_its_bounds() {
    let (server, ground) = recorded(Allowed::ALL).await;
    let selection = Selection {
        projection: Some(json!({ "a": 1 }).to_string()),
        sort: Some(json!({ "b": -1, "a": 1 }).to_string()),
        skip: 3,
        limit: 7,
        ..all(&json!({ "a": { "$gt": 5_000_000_000_i64 }, "at": { "$date": 1 } }))
    };
    ground.find_of("things", &selection).await.unwrap();
    assert_eq!(
        one(&server),
        doc! {
            "find": "things", "filter": { "a": { "$gt": 5_000_000_000_i64 }, "at": bson::DateTime::from_millis(1) },
            "projection": { "a": 1 }, "sort": { "b": -1, "a": 1 }, "skip": 3_i64, "limit": 7_i64, "batchSize": 500,
            "allowDiskUse": false, "maxTimeMS": 20_000, "$db": "canary_db",
        }
    );
    ground.find("things", &json!({})).await.unwrap();
    assert_eq!(one(&server).get("limit"), Some(&Bson::Int64(10_000)));
    ground
        .aggregate("things", &json!([{ "$match": { "$expr": { "$eq": ["$a", { "$literal": "$b" }] } } }]))
        .await
        .unwrap();
    assert_eq!(
        one(&server),
        doc! {
            "aggregate": "things",
            "pipeline": [{ "$match": { "$expr": { "$eq": ["$a", { "$literal": "$b" }] } } }, { "$limit": 10_001_i64 }],
            "cursor": { "batchSize": 500 }, "allowDiskUse": false, "maxTimeMS": 20_000, "$db": "canary_db",
        }
    );
    assert_eq!(ground.count("things", &json!({ "a": 1 })).await, Ok(0));
    let count = one(&server);
    assert_eq!(count.get("aggregate"), Some(&Bson::from("things")));
    assert_eq!(count.get("maxTimeMS"), Some(&Bson::Int32(20_000)));
    ground.insert("things", &[json!({ "_id": 1, "n": { "$numberDecimal": "0.10" } })]).await.unwrap();
    assert_eq!(
        one(&server),
        doc! {
            "insert": "things", "documents": [{ "_id": 1, "n": "0.10".parse::<bson::Decimal128>().unwrap() }],
            "ordered": true, "maxTimeMS": 20_000_i64, "$db": "canary_db",
        }
    );
    ground.update("things", &json!({ "a": 1 }), &json!({ "$set": { "b": 2 } }), true).await.unwrap();
    assert_eq!(
        one(&server),
        doc! {
            "update": "things",
            "updates": [{ "q": { "a": 1 }, "u": { "$set": { "b": 2 } }, "upsert": true, "multi": true }],
            "ordered": true, "maxTimeMS": 20_000_i64, "$db": "canary_db",
        }
    );
    ground.delete("things", &json!({ "a": 1 })).await.unwrap();
    assert_eq!(
        one(&server),
        doc! {
            "delete": "things", "deletes": [{ "q": { "a": 1 }, "limit": 0 }],
            "ordered": true, "maxTimeMS": 20_000_i64, "$db": "canary_db",
        }
    );
}

#[tokio::test]
async fn what_is_refused_never_reaches_the_wire() {
    let (server, ground) = recorded(Allowed::only(&["things"])).await;
    let refused = |result: Result<(), Error>| {
        let case = result.unwrap_err().case();
        assert!(matches!(case, "denied" | "invalid" | "limit"), "{case}");
    };
    for filter in [
        json!({ "$where": "sleep(1000)" }),
        json!({ "a": { "$where": "1" } }),
        json!({ "$expr": { "$function": { "body": "f", "args": [], "lang": "js" } } }),
        json!({ "$nope": 1 }),
        json!({ "a": { "$nope": 1 } }),
        json!({ "$expr": { "$nope": 1 } }),
    ] {
        refused(ground.find("things", &filter).await.map(drop));
        refused(ground.count("things", &filter).await.map(drop));
        refused(ground.aggregate("things", &json!([{ "$match": filter }])).await.map(drop));
        refused(ground.update("things", &filter, &json!({ "$set": { "a": 1 } }), false).await.map(drop));
        refused(ground.delete("things", &filter).await.map(drop));
    }
    for stage in [
        json!({ "$out": "things" }),
        json!({ "$merge": "things" }),
        json!({ "$currentOp": {} }),
        json!({ "$listSessions": {} }),
        json!({ "$collStats": {} }),
        json!({ "$unionWith": "payroll" }),
        json!({ "$unionWith": { "coll": { "db": "admin", "coll": "things" } } }),
        json!({ "$lookup": { "from": "payroll", "pipeline": [], "as": "x" } }),
        json!({ "$graphLookup": { "from": "payroll", "startWith": "$a", "connectFromField": "a",
            "connectToField": "a", "as": "x" } }),
        json!({ "$nope": 1 }),
    ] {
        refused(ground.aggregate("things", &json!([stage])).await.map(drop));
        refused(ground.aggregate("things", &json!([{ "$facet": { "a": [stage] } }])).await.map(drop));
        let inside = json!([{ "$lookup": { "from": "things", "as": "x", "pipeline": [stage] } }]);
        refused(ground.aggregate("things", &inside).await.map(drop));
    }
    refused(ground.insert("payroll", &[json!({})]).await.map(drop));
    refused(ground.insert("things", &[json!({ "a": { "$nope": 1 } })]).await.map(drop));
    refused(ground.insert("things", &[json!({}), json!({ "_id": null })]).await.map(drop));
    refused(ground.update("things", &json!({}), &json!([{ "$set": { "a": 1 } }]), true).await.map(drop));
    refused(ground.delete("things", &json!({})).await.map(drop));
    refused(ground.find("system.users", &json!({})).await.map(drop));
    refused(ground.find("$cmd", &json!({})).await.map(drop));
    assert_eq!(server.received(), Vec::<Document>::new());
}

#[tokio::test]
async fn a_reader_sends_no_change() {
    let (server, ground) = recorded(Allowed::READ).await;
    let denied = |result: Result<(), Error>| assert_eq!(result.unwrap_err().case(), "denied");
    denied(ground.insert("things", &[json!({})]).await.map(drop));
    denied(ground.update("things", &json!({}), &json!({ "$set": { "a": 1 } }), true).await.map(drop));
    denied(ground.delete("things", &json!({ "a": 1 })).await.map(drop));
    ground.find("things", &json!({})).await.unwrap();
    ground.count("things", &json!({})).await.unwrap();
    ground.aggregate("things", &json!([])).await.unwrap();
    let names: Vec<_> = server.received().iter().filter_map(|command| command.keys().next().cloned()).collect();
    assert_eq!(names, ["find", "aggregate", "aggregate"]);
}

/// A reader takes batch after batch, and no more than there may be.
#[tokio::test]
async fn answers_are_streamed_and_cut() {
    let (server, ground) = recorded(Allowed::ALL).await;
    let batch = |id: i64, name: &str, of: Value| {
        let documents: Vec<_> = of.as_array().unwrap().iter().map(|_| doc! { "x": "y" }).collect();
        Answer::With(doc! { "ok": 1, "cursor": { "id": id, "ns": "canary_db.things", name: documents } })
    };
    let some = json!(vec![0; 500]);
    server.answer("find", batch(7, "firstBatch", some.clone()));
    server.answer("getMore", batch(0, "nextBatch", some.clone()));
    assert_eq!(ground.find("things", &json!({})).await.unwrap().len(), 1_000);
    let more = server.received();
    assert_eq!(more[1].get("getMore"), Some(&Bson::Int64(7)));
    server.forget();
    // A server that never ends is left, and told so.
    server.answer("aggregate", batch(8, "firstBatch", some.clone()));
    (0..40).for_each(|_| server.answer("getMore", batch(8, "nextBatch", some.clone())));
    let error = ground.aggregate("things", &json!([])).await.unwrap_err();
    assert_eq!(error, Error::Limit { name: "max-documents", allowed: 10_000 });
    let asked = server.received().iter().filter(|command| command.contains_key("getMore")).count();
    assert!(asked <= 21, "{asked}");
    // As for what is large.
    let (server, ground) = recorded(Allowed::ALL).await;
    let large = doc! { "x": "x".repeat(15_000_000) };
    let answer = |id: i64, name: &str| {
        Answer::With(doc! { "ok": 1, "cursor": { "id": id, "ns": "canary_db.things", name: [large.clone()] } })
    };
    server.answer("find", answer(9, "firstBatch"));
    server.answer("getMore", answer(9, "nextBatch"));
    let error = ground.find("things", &json!({})).await.unwrap_err();
    assert_eq!(error, Error::Limit { name: "max-result-bytes", allowed: 4 * 1024 * 1024 });
}

#[tokio::test]
async fn what_only_mongodb_has_is_given_as_extended_json() {
    let (server, ground) = recorded(Allowed::ALL).await;
    let id = bson::Uuid::from_bytes([7; 16]);
    let pattern = bson::Regex { pattern: "^a".try_into().unwrap(), options: "i".try_into().unwrap() };
    let documents = vec![doc! {
        "exact": "12.50".parse::<bson::Decimal128>().unwrap(), "nan": f64::NAN, "endless": f64::NEG_INFINITY,
        "uuid": id, "at": bson::DateTime::from_millis(1_700_000_000_123), "long_ago": bson::DateTime::from_millis(-1),
        "least": Bson::MinKey, "pattern": pattern,
    }];
    let found = doc! { "ok": 1, "cursor": { "id": 0_i64, "ns": "canary_db.things", "firstBatch": documents } };
    server.answer("find", Answer::With(found));
    assert_eq!(
        ground.find("things", &json!({})).await.unwrap(),
        [json!({
            "exact": { "$numberDecimal": "12.50" }, "nan": { "$numberDouble": "NaN" },
            "endless": { "$numberDouble": "-Infinity" }, "uuid": { "$uuid": "07070707-0707-0707-0707-070707070707" },
            "at": { "$date": "2023-11-14T22:13:20.123Z" }, "long_ago": { "$date": { "$numberLong": "-1" } },
            "least": { "$minKey": 1 }, "pattern": { "$regularExpression": { "pattern": "^a", "options": "i" } },
        })]
    );
    // A document of more levels than anybody may store is none, and harms nobody.
    let deep = (0..300).fold(doc! {}, |inner, _| doc! { "a": inner });
    let found = doc! { "ok": 1, "cursor": { "id": 0_i64, "ns": "canary_db.things", "firstBatch": [deep] } };
    server.answer("find", Answer::With(found));
    assert_eq!(ground.find("things", &json!({})).await.unwrap_err().case(), "unavailable");
}

/// Documents that are more than a server takes at once go in several commands.
#[tokio::test]
async fn large_inserts_are_parted() {
    let (server, ground) = recorded(Allowed::ALL).await;
    let documents: Vec<_> = (0..20).map(|n| json!({ "_id": n, "x": "x".repeat(1_000_000) })).collect();
    assert_eq!(ground.insert("things", &documents).await.unwrap().len(), 20);
    let parts: Vec<_> =
        server.received().iter().map(|command| command.get_array("documents").map_or(0, Vec::len)).collect();
    assert_eq!(parts, [8, 8, 4]);
    server.forget();
    server.answer("insert", Answer::With(doc! { "ok": 1, "n": 8 }));
    server.answer("insert", Answer::HangUp);
    let error = ground.insert("things", &documents).await.unwrap_err();
    assert_eq!(error.case(), "uncertain");
    assert_eq!(server.received().len(), 2, "and none is sent again");
}

#[tokio::test]
async fn connections_are_bounded_by_the_host_and_not_by_an_address() {
    let server = Recorder::start().await.unwrap();
    let uri = format!("mongodb://{}/db?maxPoolSize=500&minPoolSize=50", server.address());
    let few =
        remit_sources::Settings { connections_per_source: 2, acquire_timeout: Duration::from_millis(50), ..settings() };
    let ground = Ground::new(mongo(&uri, None, None), few, Allowed::ALL).await.unwrap();
    ground.find("things", &json!({})).await.unwrap();
    (0..2).for_each(|_| server.answer("find", Answer::Silence));
    let filter = json!({});
    let hanging = async { tokio::join!(ground.find("things", &filter), ground.find("things", &filter)) };
    let third = async {
        while server.received().len() < 3 {
            tokio::task::yield_now().await;
        }
        ground.find("things", &filter).await
    };
    tokio::select! {
        _ = hanging => panic!("nobody answers these"),
        third = third => assert_eq!(third.unwrap_err().case(), "throttled"),
    }
    // Those that were given up have left their places.
    ground.find("things", &json!({})).await.unwrap();
}
