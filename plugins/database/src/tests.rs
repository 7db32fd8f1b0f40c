//! Steps run against fakes, as the host runs them.

use remit_sdk::{
    prelude::*,
    serde_json::{self, Value as Json},
    source::Change,
    testing::{self, Ended, FakeDatabase, FakeDocuments},
};

use super::node_set;

fn execute(config: &Json, call: &Call) -> Result<Json> {
    let outcome = node_set().execute("run", &config.to_string(), "null", call)?;
    Ok(serde_json::from_str(&outcome.output).unwrap())
}

fn on(database: &FakeDatabase, config: Json) -> Result<Json> {
    execute(&config, &testing::call().writes("primary", database).build())
}

fn within(store: &FakeDocuments, config: Json) -> Result<Json> {
    execute(&config, &testing::call().writes("analytics", store).build())
}

fn said(database: &FakeDatabase) -> Vec<(String, Vec<Value>)> {
    database.statements().into_iter().map(|it| (it.text, it.parameters)).collect()
}

/// The places of what is wrong.
fn wrong<T: std::fmt::Debug>(result: Result<T>) -> Vec<String> {
    match result {
        Err(Error::Invalid(problems)) => problems.into_iter().map(|problem| problem.pointer).collect(),
        other => panic!("{other:?}"),
    }
}

fn validated(config: Json) -> Result<Validated, Vec<Problem>> {
    node_set().validate("run", &config.to_string())
}

#[test]
fn a_query_has_the_seeds_keys_and_says_whether_there_is_more() {
    let rows = json!([{"id": 1, "total": "9.90"}, {"id": 2, "total": "0.10"}, {"id": 3, "total": "1.00"}]);
    let database = FakeDatabase::mysql().rows("from orders", rows);
    let query = "SELECT id, total FROM orders WHERE status = ?";
    let config = json!({"operation": "primary.mysql.select", "query": query, "params": ["open"], "limit": 2});
    let output = on(&database, config).unwrap();
    let data = json!([{"id": 1, "total": "9.90"}, {"id": 2, "total": "0.10"}]);
    let expected = json!({
        "success": true, "operation": "primary.mysql.select", "dataSource": "primary", "data": data, "count": 2,
        "truncated": true,
    });
    assert_eq!(output, expected);
    assert_eq!(said(&database), [(query.to_owned(), vec![Value::Text("open".to_owned())])]);
}

#[test]
fn a_select_by_parts_is_put_together_of_checked_names() {
    let database = FakeDatabase::postgres().rows("from \"orders\"", json!([{"id": 1}]));
    let config = json!({
        "operation": "primary.postgres.select", "collection": "orders", "columns": ["id"],
        "where": "status = $1 OR total > $2", "params": ["open", 5], "sort": {"id": "desc"}, "limit": 10, "skip": 20,
    });
    assert_eq!(on(&database, config).unwrap()["truncated"], false);
    let text =
        "SELECT \"id\" FROM \"orders\" WHERE (status = $1 OR total > $2) ORDER BY \"id\" DESC LIMIT 11 OFFSET 20";
    assert_eq!(said(&database), [(text.to_owned(), vec![Value::Text("open".to_owned()), Value::Integer(5)])]);
    for (key, value) in
        [("columns", json!(["id, secret"])), ("collection", json!("orders; DROP")), ("sort", json!({"id": "up"}))]
    {
        let mut config = json!({"operation": "primary.postgres.select", "collection": "orders"});
        config[key] = value;
        assert!(wrong(on(&database, config))[0].starts_with(&format!("/{key}")), "{key}");
    }
    assert_eq!(said(&database).len(), 1, "nothing was asked");
}

#[test]
fn rows_are_counted() {
    let database = FakeDatabase::sqlite().rows("count(*)", json!([{"counted": 7}]));
    let config = json!({"operation": "primary.sqlite.count", "collection": "t", "where": {"a": {"gt": 1}}});
    assert_eq!(on(&database, config).unwrap()["count"], 7);
    assert_eq!(said(&database)[0].0, "SELECT COUNT(*) AS counted FROM `t` WHERE `a` > ?");
}

#[test]
fn an_insert_binds_its_values_and_tells_the_key() {
    let database =
        FakeDatabase::mysql().change_by("insert into", |_| Ok(Change { rows_affected: 1, last_insert_id: Some(42) }));
    let config =
        json!({"operation": "primary.mysql.insert", "collection": "notes", "data": {"text": "it's", "price": 0.1}});
    let output = on(&database, config).unwrap();
    assert_eq!((&output["insertedId"], &output["count"]), (&json!(42), &json!(1)));
    assert_eq!(output["data"], json!({"id": 42, "text": "it's", "price": 0.1}));
    let values = vec![Value::Text("it's".to_owned()), Value::Decimal("0.1".to_owned())];
    assert_eq!(said(&database), [("INSERT INTO `notes` (`text`, `price`) VALUES (?, ?)".to_owned(), values)]);
    // The row's own key is no number that the database makes.
    let own = json!({"operation": "primary.mysql.insert", "collection": "notes", "data": {"id": "n-1", "text": null}});
    assert_eq!(on(&database, own).unwrap()["insertedId"], "n-1");
}

#[test]
fn many_rows_are_inserted_together_or_not_at_all() {
    let rows: Vec<Json> = (0..600).map(|at| json!({"a": at, "b": "x"})).collect();
    let config = json!({"operation": "primary.postgres.insert", "collection": "t", "data": rows, "returning": "a"});
    let database = FakeDatabase::postgres()
        .change_by("insert into", |values| Ok(Change { rows_affected: values.len() as u64 / 2, last_insert_id: None }));
    assert_eq!(on(&database, config.clone()).unwrap()["count"], 600);
    assert_eq!(database.statements().iter().map(|it| it.parameters.len()).collect::<Vec<_>>(), [1000, 200]);
    assert_eq!(database.transactions(), [Ended::Committed]);
    let failing = FakeDatabase::postgres().fails("insert into", testing::unavailable());
    assert!(on(&failing, config).unwrap_err().may_be_repeated());
    assert_eq!(failing.transactions(), [Ended::Undone]);
    for data in [json!([{"a": 1}, {"b": 2}]), json!([{}]), json!([1]), json!("x")] {
        let config = json!({"operation": "primary.mysql.insert", "collection": "t", "data": data});
        assert_eq!(wrong(on(&database, config)), ["/data"]);
    }
}

#[test]
fn one_row_is_inserted_with_its_key_asked_for() {
    let database = FakeDatabase::postgres()
        .change_by("returning \"id\"", |_| Ok(Change { rows_affected: 1, last_insert_id: Some(9) }));
    let config =
        json!({"operation": "primary.postgres.insert", "collection": "t", "data": {"a": 1}, "returning": "id"});
    assert_eq!(on(&database, config).unwrap()["insertedId"], 9);
}

#[test]
fn a_change_says_which_rows_it_means() {
    let database = FakeDatabase::mysql().change("update", 2).change("delete", 3);
    let update = json!({
        "operation": "primary.mysql.update", "collection": "orders", "data": {"status": "done", "note": null},
        "where": {"id": {"in": [1, 2]}},
    });
    let output = on(&database, update).unwrap();
    assert_eq!((&output["count"], &output["data"]), (&json!(2), &json!({"status": "done", "note": null})));
    let numbered = json!({
        "operation": "primary.mysql.update", "collection": "orders", "data": {"status": "done"},
        "where": "id = $2 AND total < $1", "params": [5, "o1"],
    });
    on(&database, numbered).unwrap();
    let delete =
        json!({"operation": "primary.mysql.delete", "collection": "orders", "where": "id = ?", "params": ["o1"]});
    assert_eq!(on(&database, delete).unwrap()["count"], 3);
    let text = |text: &str| Value::Text(text.to_owned());
    let expected = [
        (
            "UPDATE `orders` SET `status` = ?, `note` = ? WHERE `id` IN (?, ?)".to_owned(),
            vec![text("done"), Value::Null, Value::Integer(1), Value::Integer(2)],
        ),
        (
            "UPDATE `orders` SET `status` = $3 WHERE (id = $2 AND total < $1)".to_owned(),
            vec![Value::Integer(5), text("o1"), text("done")],
        ),
        ("DELETE FROM `orders` WHERE (id = ?)".to_owned(), vec![text("o1")]),
    ];
    assert_eq!(said(&database), expected);
    for conditions in [json!(null), json!({}), json!(" "), json!([1]), json!({"id": {"notIn": []}})] {
        for operation in ["update", "delete"] {
            let config = json!({
                "operation": format!("primary.mysql.{operation}"), "collection": "orders", "where": conditions,
                "data": {"a": 1},
            });
            assert_eq!(wrong(on(&database, config)).len(), 1, "{conditions}");
        }
    }
    assert_eq!(said(&database).len(), 3, "nothing else was asked");
}

#[test]
fn statements_run_as_they_are_written_and_together() {
    let database = FakeDatabase::sqlite().change("update accounts", 1).fails("update missing", testing::unavailable());
    let execute = json!({"operation": "primary.sqlite.execute", "query": "UPDATE accounts SET a = ? WHERE id = 1", "params": [2]});
    assert_eq!(on(&database, execute).unwrap()["count"], 1);
    let move_money = |second: &str| {
        let part = |table: &str, by: i64| json!({"query": format!("UPDATE {table} SET a = a + ? WHERE id = 1"), "params": [by]});
        json!({"operation": "primary.sqlite.transaction", "statements": [part("accounts", -5), part(second, 5)]})
    };
    let output = on(&database, move_money("accounts")).unwrap();
    assert_eq!((&output["results"], &output["count"]), (&json!([1, 1]), &json!(2)));
    assert!(on(&database, move_money("missing")).is_err());
    assert_eq!(database.transactions(), [Ended::Committed, Ended::Undone]);
    let all = json!({"operation": "primary.sqlite.execute", "query": "DELETE FROM accounts"});
    assert_eq!(wrong(on(&database, all)), ["/query"]);
    assert_eq!(wrong(on(&database, json!({"operation": "primary.sqlite.transaction"}))), ["/statements"]);
}

#[test]
fn a_read_handle_does_not_write() {
    let database = FakeDatabase::mysql().change("delete", 1);
    let call = testing::call().reads("primary", &database).build();
    let config = json!({"operation": "primary.mysql.delete", "collection": "t", "where": {"id": 1}});
    assert!(matches!(execute(&config, &call).unwrap_err().cause(), Some(Cause::Denied(_))));
    let gone = execute(&json!({"operation": "other.mysql.count", "collection": "t"}), &call);
    assert_eq!(gone, Err(Error::NotGranted("other".to_owned())));
}

#[test]
fn documents_are_found_and_counted() {
    let store = FakeDocuments::new()
        .documents("events", json!([{"_id": 1, "k": "a"}, {"_id": 2, "k": "a"}, {"_id": 3, "k": "b"}]))
        .aggregates("events", vec![json!({"_id": "a", "n": 2})]);
    let find = |more: Json| {
        let mut config = json!({"operation": "analytics.mongodb.find", "collection": "events"});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        within(&store, config).unwrap()
    };
    let found = find(json!({"query": {"k": "a"}, "limit": 1}));
    assert_eq!((&found["data"], &found["count"]), (&json!([{"_id": 1, "k": "a"}]), &json!(1)));
    assert_eq!((&found["truncated"], &found["dataSource"]), (&json!(true), &json!("analytics")));
    assert_eq!(find(json!({"where": {"k": "b"}}))["truncated"], false);
    assert_eq!(find(json!({"skip": 2}))["count"], 1);
    let one = json!({"operation": "analytics.mongodb.findOne", "collection": "events", "where": {"k": "z"}});
    let one = within(&store, one).unwrap();
    assert_eq!((&one["data"], &one["count"]), (&Json::Null, &json!(0)));
    let count = json!({"operation": "analytics.mongodb.count", "collection": "events", "query": {"k": "a"}});
    assert_eq!(within(&store, count).unwrap()["count"], 2);
    let pipeline = json!([{"$group": {"_id": "$k", "n": {"$sum": 1}}}]);
    let aggregate =
        json!({"operation": "analytics.mongodb.aggregate", "collection": "events", "pipeline": pipeline, "limit": 5});
    assert_eq!(within(&store, aggregate).unwrap()["data"], json!([{"_id": "a", "n": 2}]));
    assert!(store.asked().last().unwrap().1.ends_with(r#"{"$limit":6}]"#));
}

#[test]
fn documents_are_changed() {
    let store = FakeDocuments::new().documents("users", json!([{"_id": "u1", "k": 1}, {"_id": "u2", "k": 1}]));
    let run = |verb: &str, more: Json| {
        let mut config = json!({"operation": format!("analytics.mongodb.{verb}"), "collection": "users"});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        within(&store, config)
    };
    assert_eq!(run("insert", json!({"data": {"_id": "u3", "k": 2}})).unwrap()["insertedId"], "u3");
    let many = run("insertMany", json!({"data": [{"_id": "u4"}, {"_id": "u5"}]})).unwrap();
    assert_eq!((&many["insertedIds"], &many["count"]), (&json!(["u4", "u5"]), &json!(2)));
    let one = run("updateOne", json!({"where": {"k": 1}, "data": {"seen": true}})).unwrap();
    assert_eq!((&one["matched"], &one["count"]), (&json!(1), &json!(1)));
    assert_eq!(store.all("users").iter().filter(|it| it["seen"] == true).count(), 1);
    let all = run("update", json!({"where": {"k": 1}, "update": {"$set": {"k": 9}}})).unwrap();
    assert_eq!((&all["matched"], &all["count"]), (&json!(2), &json!(2)));
    let upserted = json!({"where": {"_id": "u7"}, "data": {"k": 7}, "upsert": true});
    assert!(run("updateOne", upserted).unwrap()["upsertedId"].is_string());
    assert_eq!(run("deleteOne", json!({"where": {"k": 9}})).unwrap()["count"], 1);
    assert_eq!(run("deleteMany", json!({"query": {"k": 9}})).unwrap()["count"], 1);
    assert_eq!(run("deleteOne", json!({"where": {"k": 9}})).unwrap()["count"], 0);
    for (verb, more, place) in [
        ("delete", json!({}), ""),
        ("deleteOne", json!({"where": {}}), ""),
        ("update", json!({"query": {}, "data": {"a": 1}}), ""),
        ("update", json!({"where": {"a": 1}, "data": {"$set": {"a": 1}}}), "/data"),
        ("update", json!({"where": {"a": 1}, "update": {"$set": {"a": 1}, "b": 1}}), "/update"),
        ("update", json!({"where": {"a": 1}, "query": {"a": 1}, "data": {"a": 1}}), "/query"),
        ("insert", json!({"data": {"$where": "1"}}), "/data"),
        ("insert", json!({"data": "x"}), "/data"),
        ("find", json!({"where": "x"}), "/where"),
        ("find", json!({"limit": 0}), "/limit"),
    ] {
        assert_eq!(wrong(run(verb, more)), [place], "{verb}");
    }
}

#[test]
fn what_a_config_needs_stands_in_its_operation() {
    let read = validated(json!({"operation": "primary.mysql.select", "query": "SELECT 1"}));
    assert_eq!(read, Ok(Validated::harmless(vec![Need::reads("primary")])));
    let config = json!({
        "operation": "primary.mysql.update", "collection": "orders", "data": "{{ steps.a.output.row }}",
        "where": {"id": "{{ inputs.id }}", "total": {"gt": "{{ inputs.least }}"}},
    });
    let plain = vec!["/where/id".to_owned(), "/where/total/gt".to_owned()];
    assert_eq!(validated(config), Ok(Validated::harmful(vec![Need::writes("primary")]).plain(plain)));
    let pipeline = json!([{"$match": {"k": "{{ inputs.k }}"}}, {"$project": {"x": {"$literal": "{{ inputs.x }}"}}}]);
    let config = json!({"operation": "analytics.mongodb.aggregate", "collection": "e", "pipeline": pipeline});
    let plain = vec!["/pipeline/0/$match/k".to_owned(), "/pipeline/1/$project/x/$literal".to_owned()];
    assert_eq!(validated(config), Ok(Validated::harmless(vec![Need::reads("analytics")]).plain(plain)));
}

#[test]
fn all_that_is_wrong_with_a_config_is_named() {
    for (config, places) in [
        (json!({}), vec![""]),
        (json!({"operation": "{{ inputs.op }}"}), vec!["/operation"]),
        (json!({"operation": "primary.mysql.find"}), vec!["/operation"]),
        (json!({"operation": "primary.mysql.select"}), vec![""]),
        (json!({"operation": "primary.mysql.select", "query": "SELECT {{ x }}"}), vec!["/query"]),
        (json!({"operation": "primary.mysql.select", "query": "SELECT ?"}), vec!["/query"]),
        (json!({"operation": "primary.mysql.query", "query": "SELECT $2", "params": [1]}), vec!["/query"]),
        (json!({"operation": "primary.mysql.select", "query": "SELECT 1", "where": {"a": 1}}), vec!["/where"]),
        (json!({"operation": "primary.mysql.update"}), vec!["", "", ""]),
        (
            json!({"operation": "primary.mysql.delete", "collection": "{{ t }}", "where": "{{ w }}"}),
            vec!["/collection", "/where"],
        ),
        (
            json!({"operation": "primary.mysql.delete", "collection": "t", "where": {"a": {"$gt": "{{ x }}"}}}),
            vec!["/where"],
        ),
        (json!({"operation": "primary.mysql.count", "collection": "t", "params": [1]}), vec!["/params"]),
        (json!({"operation": "primary.mysql.execute", "query": "DELETE FROM t"}), vec!["/query"]),
        (
            json!({"operation": "primary.mysql.transaction", "statements": [{"query": "INSERT INTO t (a) VALUES (?)"}, {}]}),
            vec!["/statements/0/query", "/statements/1/query"],
        ),
        (json!({"operation": "a.mongodb.find", "collection": "c", "query": "{{ inputs.filter }}"}), vec!["/query"]),
        (
            json!({"operation": "a.mongodb.find", "collection": "c", "where": {"$expr": {"$eq": ["$a", "{{ x }}"]}}}),
            vec!["/where/$expr/$eq/1"],
        ),
        (json!({"operation": "a.mongodb.delete", "collection": "c"}), vec![""]),
        (json!({"operation": "a.mongodb.update", "collection": "c", "where": {"a": 1}}), vec![""]),
        (
            json!({"operation": "a.mongodb.update", "collection": "c", "where": {"a": 1}, "update": {"$set": "{{ x }}"}}),
            vec!["/update/$set"],
        ),
        (
            json!({"operation": "a.mongodb.aggregate", "collection": "c", "pipeline": [{"$project": {"x": "{{ x }}"}}]}),
            vec!["/pipeline/0/$project/x"],
        ),
    ] {
        let problems = validated(config.clone()).unwrap_err();
        let found: Vec<&str> = problems.iter().map(|problem| problem.pointer.as_str()).collect();
        assert_eq!(found, places, "{config}: {problems:?}");
    }
}

#[test]
fn the_schema_admits_no_other_keys() {
    let described = node_set().describe();
    let [node] = &described.nodes[..] else { panic!("one") };
    assert_eq!((described.name.as_str(), node.name.as_str()), ("database", "run"));
    let schema: Json = serde_json::from_str(&node.config_schema).unwrap();
    assert_eq!((&schema["additionalProperties"], &schema["required"]), (&json!(false), &json!(["operation"])));
    assert!(schema["properties"]["where"]["description"].as_str().is_some_and(|it| it.starts_with("Which rows")));
    let unknown = json!({"operation": "primary.mysql.select", "qurey": "SELECT 1"});
    assert_eq!(wrong(on(&FakeDatabase::mysql(), unknown)), [""]);
}
