//! Steps run against fakes, as the host runs them.

use remit_sdk::{
    prelude::*,
    serde_json::{self, Value as Json},
    source::{Method, Post, Response},
    testing::{self, FakeApi, FakeChannel, Sent},
};

use super::node_set;

fn execute(call: &Call, config: Json) -> Result<Json> {
    let outcome = node_set().execute("run", &config.to_string(), "null", call)?;
    Ok(serde_json::from_str(&outcome.output).unwrap())
}

fn post(channel: &FakeChannel, config: Json) -> Result<Json> {
    execute(&testing::call().writes("slack", channel).build(), config)
}

fn look(api: &FakeApi, config: Json) -> Result<Json> {
    execute(&testing::call().reads("slack_api", api).build(), config)
}

#[test]
fn a_text_is_posted_with_the_steps_key() {
    let channel = FakeChannel::new();
    let config = json!({
        "operation": "messages.send", "channel": "#order-review", "text": "🚨 Order 1 <!channel>\n", "thread": "t-1",
    });
    let output = post(&channel, config).unwrap();
    let expected = json!({
        "success": true, "operation": "messages.send", "messageId": "message-1", "channel": "#order-review",
    });
    assert_eq!(output, expected);
    let sent = Post {
        room: Some("#order-review".to_owned()),
        text: "🚨 Order 1 &lt;!channel>\n".to_owned(),
        blocks: None,
        thread: Some("t-1".to_owned()),
        idempotency_key: Some("key-1".to_owned()),
    };
    assert_eq!(channel.sent(), [Sent::Post(sent)]);
}

#[test]
fn blocks_are_posted_with_words_of_their_own() {
    let channel = FakeChannel::new();
    let blocks = json!([
        {"type": "header", "text": {"type": "plain_text", "text": "Flagged"}},
        {"type": "actions", "elements": [{"type": "button", "url": "http://a/1"}]},
    ]);
    let config = json!({"operation": "messages.send", "blocks": blocks});
    let first = post(&channel, config.clone()).unwrap();
    assert_eq!(post(&channel, config).unwrap(), first, "a repeated step posts nothing more");
    let loud = json!({"operation": "messages.send", "text": "<!here>", "mentions": true});
    let next =
        testing::call().writes("slack", &channel).context(|context| context.idempotency_key = "key-2".to_owned());
    execute(&next.build(), loud).unwrap();
    let update = json!({"operation": "messages.update", "messageId": "message-1", "text": "done"});
    assert_eq!(post(&channel, update).unwrap()["messageId"], "message-1");
    match &channel.sent()[..] {
        [Sent::Post(first), Sent::Post(second), Sent::Update(id, third)] => {
            assert_eq!((first.text.as_str(), &first.room), ("Flagged", &None));
            assert_eq!(serde_json::from_str::<Json>(first.blocks.as_deref().unwrap()).unwrap(), blocks);
            assert_eq!((second.text.as_str(), id.as_str(), third.text.as_str()), ("<!here>", "message-1", "done"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_says_nothing_is_not_posted() {
    let channel = FakeChannel::new();
    let many: Vec<Json> = (0..51).map(|_| json!({"type": "divider"})).collect();
    for (config, pointer) in [
        (json!({"operation": "messages.send"}), "/text"),
        (json!({"operation": "messages.send", "text": " "}), "/text"),
        (json!({"operation": "messages.send", "text": "a", "channel": " "}), "/channel"),
        (json!({"operation": "messages.send", "text": "a", "blocks": many}), "/blocks"),
        (json!({"operation": "messages.update", "text": "a"}), "/messageId"),
        (json!({"operation": "messages.delete", "text": "a"}), ""),
        (json!({"operation": "users.lookup"}), ""),
    ] {
        let call = testing::call().writes("slack", &channel).reads("slack_api", &FakeApi::new()).build();
        match execute(&call, config.clone()) {
            Err(Error::Invalid(problems)) => assert_eq!(problems[0].pointer, pointer, "{config}"),
            other => panic!("{config}: {other:?}"),
        }
    }
    assert_eq!(channel.sent(), []);
    let down = FakeChannel::new().fails(testing::unavailable());
    assert!(post(&down, json!({"operation": "messages.send", "text": "a"})).unwrap_err().may_be_repeated());
    let gone = execute(&testing::call().build(), json!({"operation": "messages.send", "text": "a"}));
    assert_eq!(gone, Err(Error::NotGranted("slack".to_owned())));
}

#[test]
fn rooms_are_listed_over_pages() {
    let api = FakeApi::new().answer(Method::Get, "conversations.list", |request| {
        let cursor = request.query.iter().any(|(name, _)| name == "cursor");
        let room = |at: u32| json!({"id": format!("C{at}"), "name": format!("r{at}"), "is_private": false, "is_member": true, "topic": {}});
        let (rooms, next) = if cursor { (vec![room(3)], "") } else { (vec![room(1), room(2)], "next:2") };
        let body = json!({"ok": true, "channels": rooms, "response_metadata": {"next_cursor": next}});
        Ok(Response::of_json(200, &body))
    });
    let all = look(&api, json!({"operation": "channels.list"})).unwrap();
    assert_eq!((&all["count"], &all["truncated"]), (&json!(3), &json!(false)));
    assert_eq!(all["data"][2], json!({"id": "C3", "name": "r3", "isPrivate": false, "isMember": true}));
    let some = look(&api, json!({"operation": "channels.list", "limit": 1})).unwrap();
    assert_eq!((&some["count"], &some["truncated"]), (&json!(1), &json!(true)));
}

#[test]
fn people_are_looked_up() {
    let sam = json!({"ok": true, "user": {"id": "U1", "name": "sam", "deleted": false, "profile": {"real_name": "Sam", "email": "sam@a.example"}}});
    let api = FakeApi::new()
        .json("users.lookupByEmail", sam)
        .json("users.info", json!({"ok": false, "error": "user_not_found"}));
    let found = look(&api, json!({"operation": "users.lookup", "email": "sam@a.example"})).unwrap();
    assert_eq!((&found["data"]["id"], &found["data"]["realName"]), (&json!("U1"), &json!("Sam")));
    let gone = look(&api, json!({"operation": "users.lookup", "user": "U9"})).unwrap_err();
    assert!(matches!(gone.cause(), Some(Cause::NotFound(message)) if message.contains("user_not_found")));
    let revoked = FakeApi::new().json("users.info", json!({"ok": false, "error": "token_revoked"}));
    let refused = look(&revoked, json!({"operation": "users.lookup", "user": "U1"})).unwrap_err();
    assert!(matches!(refused.cause(), Some(Cause::Rejected(it)) if it.code.as_deref() == Some("token_revoked")));
}

#[test]
fn what_a_config_needs_stands_in_its_operation() {
    let of = |config: Json| {
        let found = node_set().validate("run", &config.to_string());
        found.map_err(|problems| problems.into_iter().map(|it| it.pointer).collect::<Vec<_>>())
    };
    let send = json!({"operation": "messages.send", "channel": "#order-review", "text": "{{ inputs.order_id }}"});
    assert_eq!(of(send), Ok(Validated::harmless(vec![Need::writes("slack")])));
    let list = json!({"operation": "channels.list"});
    assert_eq!(of(list), Ok(Validated::harmless(vec![Need::reads("slack_api")])));
    let other = json!({"operation": "users.lookup", "email": "{{ inputs.email }}", "source": "workspace"});
    assert_eq!(of(other), Ok(Validated::harmless(vec![Need::reads("workspace")])));
    for (config, places) in [
        (json!({}), vec![""]),
        (json!({"operation": "messages.sent"}), vec!["/operation"]),
        (json!({"operation": "messages.send"}), vec![""]),
        (json!({"operation": "messages.send", "text": "a", "email": "x", "channel": ""}), vec!["/email", "/channel"]),
        (json!({"operation": "messages.update", "text": "a"}), vec![""]),
        (json!({"operation": "users.lookup", "source": "{{ s }}", "user": "U1"}), vec!["/source"]),
        (json!({"operation": "users.lookup"}), vec![""]),
    ] {
        assert_eq!(of(config.clone()), Err(places.into_iter().map(str::to_owned).collect()), "{config}");
    }
}
