//! Steps run against fakes, as the host runs them.

use remit_sdk::{
    prelude::*,
    serde_json::{self, Value as Json},
    source::{Method, Response},
    testing::{self, FakeApi},
};

use super::node_set;

fn execute(api: &FakeApi, config: Json) -> Result<Json> {
    let call = testing::call().writes("ecommerce", api).build();
    let outcome = node_set().execute("run", &config.to_string(), "null", &call)?;
    Ok(serde_json::from_str(&outcome.output).unwrap())
}

/// Answers a request with the body that it was sent.
fn echoing(api: FakeApi, method: Method, path: &str) -> FakeApi {
    api.answer(method, path, |request| {
        let body: Json = serde_json::from_slice(request.body.as_deref().unwrap_or(b"null")).unwrap();
        Ok(Response::of_json(200, &body))
    })
}

fn validated(config: Json) -> Result<Validated, Vec<String>> {
    let found = node_set().validate("run", &config.to_string());
    found.map_err(|problems| problems.into_iter().map(|it| it.pointer).collect())
}

#[test]
fn one_thing_is_read_by_either_form_of_its_id() {
    let api = FakeApi::new().json("orders/7.json", json!({"order": {"id": 7, "total_price": "12.10"}}));
    for id in [json!(7), json!("7"), json!("gid://shopify/Order/7")] {
        let config = json!({"operation": "orders.get", "resourceId": id, "fields": ["id", "total_price"]});
        let output = execute(&api, config).unwrap();
        let expected = json!({
            "success": true, "operation": "orders.get", "dataSource": "ecommerce",
            "data": {"id": 7, "total_price": "12.10"},
        });
        assert_eq!(output, expected);
    }
    assert_eq!(api.requests()[0].query, [("fields".to_owned(), "id,total_price".to_owned())]);
    let gone = execute(&api, json!({"operation": "orders.get", "resourceId": 8})).unwrap_err();
    assert!(matches!(gone.cause(), Some(Cause::NotFound(_))));
}

#[test]
fn lists_go_over_pages_up_to_their_limit() {
    let api = FakeApi::new().answer(Method::Get, "products.json", |request| {
        let second = request.query.iter().any(|(name, _)| name == "page_info");
        let (entries, link) =
            if second { (json!([{"id": 3}]), None) } else { (json!([{"id": 1}, {"id": 2}]), Some("")) };
        let mut response = Response::of_json(200, &json!({"products": entries}));
        if link.is_some() {
            let next = "<products.json?page_info=two>; rel=\"next\"";
            response.headers.push(("link".to_owned(), next.to_owned()));
        }
        Ok(response)
    });
    let list = |limit: u32| {
        let query = json!({"status": "active", "ids": [1, 2, 3]});
        execute(&api, json!({"operation": "products.list", "query": query, "fields": ["id"], "limit": limit})).unwrap()
    };
    let all = list(3);
    assert_eq!((&all["count"], &all["truncated"]), (&json!(3), &json!(false)));
    let asked = api.requests();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let first = [pair("limit", "3"), pair("status", "active"), pair("ids", "1,2,3"), pair("fields", "id")];
    assert_eq!(asked[0].query, first);
    assert_eq!(asked[1].query, [pair("page_info", "two"), pair("limit", "3"), pair("fields", "id")]);
    for (limit, count) in [(1, 1), (2, 2)] {
        let some = list(limit);
        assert_eq!((&some["count"], &some["truncated"]), (&json!(count), &json!(true)));
    }
    let rules = FakeApi::new().json("price_rules.json", json!({"price_rules": []}));
    assert_eq!(execute(&rules, json!({"operation": "price_rules.list"})).unwrap()["data"], json!([]));
    let slow = testing::call().reads("ecommerce", &api).remaining_ms(100).build();
    let config = json!({"operation": "products.list"}).to_string();
    assert!(matches!(node_set().execute("run", &config, "null", &slow), Err(Error::Refused(_))));
}

#[test]
fn things_are_created_and_updated() {
    let api = echoing(FakeApi::new(), Method::Post, "customers.json");
    let output = execute(&api, json!({"operation": "customers.create", "data": {"email": "a@a.example"}})).unwrap();
    assert_eq!(output["data"], json!({"email": "a@a.example"}));
    assert_eq!(api.requests()[0].idempotency_key, None, "the service knows none");
    let api = echoing(FakeApi::new(), Method::Put, "orders/7.json");
    let update =
        json!({"operation": "orders.update", "resourceId": "7", "data": {"tags": "auto-approved,ai-processed"}});
    assert_eq!(execute(&api, update).unwrap()["data"], json!({"tags": "auto-approved,ai-processed", "id": 7}));
}

#[test]
fn a_status_of_the_shops_own_is_kept_beside_the_order() {
    let attributes = json!([{"name": "gift", "value": "yes"}, {"name": "status", "value": "new"}]);
    let api = FakeApi::new().json("orders/7.json", json!({"order": {"id": 7, "note_attributes": attributes}}));
    let api = echoing(api, Method::Put, "orders/7.json");
    let update = json!({"operation": "orders.update", "resourceId": 7, "data": {"status": "processing"}});
    let output = execute(&api, update).unwrap();
    let kept = json!([{"name": "gift", "value": "yes"}, {"name": "status", "value": "processing"}]);
    assert_eq!(output["data"], json!({"note_attributes": kept, "id": 7}));
    let own = json!({"status": "held", "note_attributes": []});
    let output = execute(&api, json!({"operation": "orders.update", "resourceId": 7, "data": own})).unwrap();
    assert_eq!(output["data"]["note_attributes"], json!([{"name": "status", "value": "held"}]));
    assert_eq!(api.requests().len(), 3, "what is given whole is not asked for");
    for word in ["cancelled", "closed", " "] {
        let config = json!({"operation": "orders.update", "resourceId": 7, "data": {"status": word}});
        assert!(matches!(execute(&api, config.clone()), Err(Error::Invalid(_))), "{word}");
        assert_eq!(validated(config), Err(vec!["/data/status".to_owned()]));
    }
}

#[test]
fn an_order_that_is_cancelled_stays_so() {
    let cancelled = json!({"order": {"id": 7, "cancelled_at": "2026-11-23T12:00:00Z"}});
    let config = json!({"operation": "orders.cancel", "resourceId": 7, "data": {"reason": "fraud"}});
    let first = FakeApi::new().answer(Method::Post, "orders/7/cancel.json", {
        let cancelled = cancelled.clone();
        move |_| Ok(Response::of_json(200, &cancelled))
    });
    assert_eq!(execute(&first, config.clone()).unwrap()["data"]["id"], 7);
    let refusing = |order: Json| {
        FakeApi::new().json("orders/7.json", order).answer(Method::Post, "orders/7/cancel.json", |_| {
            Ok(Response::of_json(422, &json!({"errors": {"base": ["Cannot cancel"]}})))
        })
    };
    assert_eq!(execute(&refusing(cancelled), config.clone()).unwrap()["data"]["id"], 7);
    let refused = execute(&refusing(json!({"order": {"id": 7, "cancelled_at": null}})), config).unwrap_err();
    let Some(Cause::Rejected(rejection)) = refused.cause() else { panic!("{refused:?}") };
    assert_eq!(rejection.message, "the service answered 422: base Cannot cancel");
}

#[test]
fn stock_is_read_and_adjusted() {
    let api = FakeApi::new().json("inventory_levels.json", json!({"inventory_levels": [{"available": 4}]}));
    let api = api.answer(Method::Post, "inventory_levels/adjust.json", |request| {
        let body: Json = serde_json::from_slice(request.body.as_deref().unwrap()).unwrap();
        Ok(Response::of_json(200, &json!({"inventory_level": body})))
    });
    let got = execute(&api, json!({"operation": "inventory.get", "resourceId": "gid://shopify/InventoryItem/5"}));
    assert_eq!(got.unwrap()["data"], json!([{"available": 4}]));
    assert_eq!(api.requests()[0].query[1], ("inventory_item_ids".to_owned(), "5".to_owned()));
    let adjust = |data: Json| execute(&api, json!({"operation": "inventory.adjust", "resourceId": 5, "data": data}));
    let adjusted = adjust(json!({"location_id": "gid://shopify/Location/9", "available_adjustment": "-2"})).unwrap();
    assert_eq!(adjusted["data"], json!({"inventory_item_id": 5, "location_id": 9, "available_adjustment": -2}));
    for (data, pointer) in [
        (json!({"location_id": 9}), "/data/available_adjustment"),
        (json!({"location_id": 9, "available_adjustment": 1.5}), "/data/available_adjustment"),
        (json!({"location_id": 9, "available_adjustment": 1, "available": 2}), "/data/available"),
        (json!({}), "/data"),
    ] {
        match adjust(data.clone()) {
            Err(Error::Invalid(problems)) => assert_eq!(problems[0].pointer, pointer, "{data}"),
            other => panic!("{data}: {other:?}"),
        }
    }
}

#[test]
fn what_is_no_request_is_not_sent() {
    let api = FakeApi::new();
    for (config, pointer) in [
        (json!({"operation": "orders.get"}), ""),
        (json!({"operation": "orders.get", "resourceId": "gid://shopify/Product/7"}), "/resourceId"),
        (json!({"operation": "orders.get", "resourceId": "7/../8"}), "/resourceId"),
        (json!({"operation": "orders.list", "limit": 0}), "/limit"),
        (json!({"operation": "orders.list", "query": {"page_info": "x"}}), "/query/page_info"),
        (json!({"operation": "orders.list", "query": {"status": null}}), "/query/status"),
        (json!({"operation": "orders.update", "resourceId": 7, "data": {}}), "/data"),
        (json!({"operation": "orders.delete", "resourceId": 7}), ""),
    ] {
        match execute(&api, config.clone()) {
            Err(Error::Invalid(problems)) => assert_eq!(problems[0].pointer, pointer, "{config}"),
            other => panic!("{config}: {other:?}"),
        }
    }
    assert_eq!(api.requests(), []);
    let call = testing::call().reads("ecommerce", &api).build();
    let update = json!({"operation": "orders.update", "resourceId": 7, "data": {"note": "x"}}).to_string();
    let denied = node_set().execute("run", &update, "null", &call).unwrap_err();
    assert!(matches!(denied.cause(), Some(Cause::Denied(_))));
}

#[test]
fn what_a_config_needs_stands_in_its_operation() {
    let get = json!({"operation": "orders.get", "resourceId": "{{ inputs.order_id }}"});
    assert_eq!(validated(get), Ok(Validated::harmless(vec![Need::reads("ecommerce")])));
    let update = json!({"operation": "orders.update", "resourceId": "{{ x }}", "data": {"status": "processing"}});
    assert_eq!(validated(update), Ok(Validated::harmless(vec![Need::writes("ecommerce")])));
    let create = json!({"operation": "orders.create", "data": "{{ x }}", "source": "shop"});
    assert_eq!(validated(create), Ok(Validated::harmful(vec![Need::writes("shop")])));
    for (config, places) in [
        (json!({}), vec![""]),
        (json!({"operation": "orders.delete"}), vec!["/operation"]),
        (json!({"operation": "{{ op }}"}), vec!["/operation"]),
        (json!({"operation": "orders.update"}), vec!["", ""]),
        (json!({"operation": "orders.get", "resourceId": "abc", "limit": 3}), vec!["/limit", "/resourceId"]),
        (json!({"operation": "orders.list", "resourceId": 1}), vec!["/resourceId"]),
        (json!({"operation": "inventory.get"}), vec![""]),
        (json!({"operation": "products.list", "source": "{{ s }}"}), vec!["/source"]),
    ] {
        assert_eq!(validated(config.clone()), Err(places.into_iter().map(str::to_owned).collect()), "{config}");
    }
}
