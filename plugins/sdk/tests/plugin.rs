//! A small plugin, run as an author's own tests run one.

use std::io::Read;

use remit_sdk::{
    Answered, AskError, Content, Message, Sample, Sampling,
    prelude::*,
    serde_json,
    source::{Condition, Mail, Method, Post, Response},
    testing::{self, FakeApi, FakeCall, FakeChannel, FakeDatabase, FakeDocuments, FakeFolder, Sent},
};

tool_set! {
    title: "Desk",
    instructions: "Look before you send.",
    tools: [
        Tool::new("look", "Looks.", |_: NoArguments, _: &Call| Ok("seen")).title("Look").reads("primary"),
        Tool::new("send", "Sends.", send).writes("mail").reads_if_granted("files").idempotent().open_world(),
        Tool::new("append", "Appends.", |_: NoArguments, _: &Call| Ok(Reply::text("done")))
            .writes_if_granted("files")
            .additive(),
    ],
    prompts: [Prompt::new("greet", "Greets somebody.", greet).reads("primary")],
}

#[derive(Deserialize, JsonSchema)]
struct Letter {
    to: String,
}

#[derive(Deserialize, JsonSchema)]
struct Consent {
    /// Whether to send.
    sure: bool,
}

fn send(args: Letter, call: &Call) -> Result<Reply> {
    match call.elicit::<Consent>("sure", "Send it?")? {
        Answered::Accepted(Consent { sure: true }) => {}
        _ => return Err(Error::refused("not sent")),
    }
    let text = call.sample(&Sampling::new("text", vec![Message::user("Write a letter.")], 100))?.message.content;
    let Content::Text(text) = text else { return Err(Error::refused("no letter")) };
    call.channel("mail")?.send(&Mail::text(vec![args.to], "Letter", text.text))?;
    call.progress(1.0, Some(1.0), None);
    call.resource_updated("remit://desk/sent");
    Ok(Reply::text("sent").and_link("remit://desk/sent", "sent"))
}

#[derive(Deserialize, JsonSchema)]
struct Whom {
    /// Their name.
    name: String,
    tone: Option<String>,
}

fn greet(args: Whom, _: &Call) -> Result<Vec<Message>> {
    Ok(vec![Message::user(format!("Greet {} {}.", args.name, args.tone.as_deref().unwrap_or("warmly")))])
}

fn model(_: &Sampling) -> Sample {
    Sample { message: Message::assistant("Dear all"), model: "fake".to_owned(), stop_reason: "end-turn".to_owned() }
}

#[test]
fn annotations_follow_from_needs() {
    let tools = tool_set().describe().tools;
    let annotations = tools.iter().map(|tool| {
        let it = tool.annotations;
        (tool.name.as_str(), it.read_only, it.destructive, it.idempotent, it.open_world)
    });
    assert_eq!(
        annotations.collect::<Vec<_>>(),
        [("look", true, false, true, false), ("send", false, true, true, true), ("append", false, false, false, false),]
    );
    assert_eq!((tools[0].title.as_deref(), &tools[2].output_schema), (Some("Look"), &None));
}

#[test]
fn asks_samples_and_tells() -> Result<()> {
    let channel = FakeChannel::new();
    let call = |answer| {
        let call = testing::call().writes("mail", &channel).answers("sure", answer).samples(model);
        (call.told(), call.build())
    };
    let (told, accepting) = call(Some(json!({ "sure": true })));
    let answer = tool_set().call("send", r#"{"to":"a@x.example"}"#, &accepting)?;
    assert_eq!(answer.content.len(), 2);
    let mail = Mail::text(vec!["a@x.example".to_owned()], "Letter", "Dear all");
    assert_eq!(channel.sent(), [Sent::Mail(mail)]);
    assert_eq!((told.progress(), told.updated()), (vec![1.0], vec!["remit://desk/sent".to_owned()]));

    for answer in [None, Some(json!({ "sure": false }))] {
        let refused = tool_set().call("send", r#"{"to":"a@x.example"}"#, &call(answer).1);
        assert_eq!(refused, Err(Error::refused("not sent")));
    }
    let unasked = testing::call().build();
    assert_eq!(unasked.elicit::<Consent>("sure", "Sure?").map(|_| ()), Err(AskError::Unsupported));
    assert!(matches!(tool_set().call("send", r#"{"to":"a"}"#, &unasked), Err(Error::Refused(_))));
    Ok(())
}

#[test]
fn prompts_take_their_arguments_from_a_type() -> Result<()> {
    let [described] = &tool_set().describe_prompts()[..] else { panic!("one prompt") };
    let arguments = described.arguments.iter().map(|it| (it.name.as_str(), it.description.as_deref(), it.required));
    assert_eq!(arguments.collect::<Vec<_>>(), [("name", Some("Their name."), true), ("tone", None, false)]);
    let call = testing::call().build();
    let filled = tool_set().fill("greet", vec![("name".to_owned(), "Ada".to_owned())], &call)?;
    assert_eq!(filled.messages, [Message::user("Greet Ada warmly.")]);
    assert!(matches!(tool_set().fill("greet", Vec::new(), &call), Err(Error::Invalid(_))));
    assert!(matches!(tool_set().fill("scold", Vec::new(), &call), Err(Error::Unknown(_))));
    Ok(())
}

#[test]
fn folders_stream_and_guard() -> Result<()> {
    let folder = FakeFolder::new().file("a/one.txt", "one").file("a/b/two.txt", "two");
    let call = testing::call().writes("files", &folder).build();
    let files = call.folder("files")?;
    assert_eq!(files.read_text("a/one.txt")?, "one");
    let paths: Vec<_> = files.list("a")?.into_iter().map(|entry| entry.path).collect();
    assert_eq!(paths, ["a/b", "a/one.txt"]);
    let mut rest = String::new();
    files.open("a/one.txt", 1)?.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "ne");
    let mut big = files.create("big", &Condition::Absent)?;
    big.append(&[7; 10])?;
    assert_eq!(folder.bytes("big"), None, "nothing is kept before the end");
    assert_eq!(big.finish()?, 10);
    let etag = files.stat("big")?.etag.unwrap_or_default();
    assert!(files.write("big", b"new", &Condition::Unchanged("old".to_owned())).is_err());
    assert!(files.write("big", b"new", &Condition::Unchanged(etag)).is_ok());
    for bad in ["../x", "/x", "a\\b", ""] {
        let invalid = files.read(bad).map_err(|error| error.cause().cloned());
        assert!(matches!(invalid, Err(Some(Cause::Invalid(_)))), "{bad}");
    }
    Ok(())
}

#[test]
fn settings_sources_and_their_absence() -> Result<()> {
    #[derive(Deserialize, PartialEq, Debug)]
    struct Settings {
        region: String,
    }
    let call = testing::call().settings(&json!({ "region": "eu" })).reads("primary", &FakeDatabase::sqlite()).build();
    assert_eq!(call.settings::<Settings>()?, Settings { region: "eu".to_owned() });
    assert!(call.settings::<Vec<u8>>().is_err());
    assert_eq!((call.has("primary"), call.may_write("primary"), call.has("mail")), (true, false, false));
    assert_eq!(call.api("primary").map(drop), Err(Error::NotGranted("primary".to_owned())), "it is a database");
    Ok(())
}

#[test]
fn documents_are_found_changed_and_guarded() -> Result<()> {
    let fake = FakeDocuments::new().documents("people", json!([{ "_id": 1, "n": "a" }, { "_id": 2, "n": "b" }]));
    let call = testing::call().writes("rw", &fake).reads("ro", &fake).build();
    let (store, reading) = (call.documents("rw")?, call.documents("ro")?);
    assert_eq!(store.find_one("people", json!({ "n": "b" }))?, Some(json!({ "_id": 2, "n": "b" })));
    assert_eq!(store.insert("people", &[json!({ "n": "c" })])?, [json!("id-3")]);
    let changed = store.update("people", &json!({ "n": "a" }), &json!({ "$set": { "n": "z" } }), false)?;
    assert_eq!((changed.matched, changed.modified), (1, 1));
    assert_eq!(reading.count("people", &json!({}))?, 3);
    assert_eq!(store.delete("people", &json!({ "n": "z" }))?, 1);
    for refused in [store.delete("people", &json!({})), reading.delete("people", &json!({ "n": "b" }))] {
        assert!(matches!(refused.map_err(|error| error.cause().cloned()), Err(Some(Cause::Denied(_)))));
    }
    Ok(())
}

#[test]
fn statuses_become_causes() {
    let cause = |method: Method, status: u16| {
        let api = FakeApi::new().answer(method, "x", move |_| {
            let headers = vec![("retry-after".to_owned(), "2".to_owned())];
            Ok(Response { status, headers, body: Vec::new() })
        });
        let call: FakeCall = testing::call().writes("shop", &api);
        let answer = call.build().api("shop").and_then(|shop| shop.fetch(&Request::new(method, "x")));
        answer.err().and_then(|error| error.cause().cloned())
    };
    assert_eq!(cause(Method::Get, 204), None);
    assert!(matches!(cause(Method::Get, 404), Some(Cause::NotFound(_))));
    assert!(matches!(cause(Method::Get, 429), Some(Cause::Throttled(wait)) if wait.retry_after_ms == Some(2000)));
    assert!(matches!(cause(Method::Get, 500), Some(Cause::Unavailable(_))));
    assert!(matches!(cause(Method::Post, 500), Some(Cause::Uncertain(_))));
    assert!(matches!(cause(Method::Post, 503), Some(Cause::Unavailable(_))));
    assert!(matches!(cause(Method::Put, 422), Some(Cause::Rejected(it)) if it.code.as_deref() == Some("422")));
}

#[test]
fn rows_are_all_or_none_unless_their_cut_is_seen() -> Result<()> {
    let many: Vec<_> = (0..10_001).map(|n| json!({ "n": n })).collect();
    let database = FakeDatabase::postgres().rows("many", json!(many)).rows("most", json!(many[..10_000]));
    let call = testing::call().writes("primary", &database).build();
    let primary = call.database("primary")?;
    let cut = primary.query("many", params![])?;
    assert_eq!((cut.rows.len(), cut.truncated), (10_000, true));
    let most = primary.query("most", params![])?;
    assert_eq!((most.rows.len(), most.truncated), (10_000, false));
    assert_eq!(primary.rows::<serde_json::Value>("most", params![])?.len(), 10_000);
    let transaction = primary.begin()?;
    for failed in [
        primary.rows::<serde_json::Value>("many", params![]),
        primary.start_rows::<serde_json::Value>("many", params![]).get(),
        transaction.rows::<serde_json::Value>("many", params![]),
    ] {
        let error = failed.err().map(|error| format!("{error:?}")).unwrap_or_default();
        assert!(error.contains("max-rows") && error.contains("10000"), "{error}");
    }
    Ok(())
}

#[test]
fn several_wait_together() -> Result<()> {
    let database = FakeDatabase::postgres().rows("one", json!([{ "n": 1 }])).fails("two", testing::unavailable());
    let call = testing::call().reads("primary", &database).build();
    let primary = call.database("primary")?;
    let start = |statement: &str| primary.start_rows::<serde_json::Value>(statement, params![]);
    let (first, second) = join((start("one"), start("one").map(|rows| Ok(rows.len()))))?;
    assert_eq!((first, second), (vec![json!({ "n": 1 })], 1));
    assert!(join(vec![start("one"), start("two")]).is_err());
    Ok(())
}

#[test]
fn what_a_service_reads_by_is_read_with_a_handle_that_only_reads() -> Result<()> {
    let query = Request::new(Method::Post, "graphql.json");
    let api = FakeApi::new().status(Method::Post, "graphql.json", 200);
    let asked = |api: &FakeApi| testing::call().reads("shop", api).build().api("shop")?.fetch(&query).map(drop);
    assert!(asked(&api).is_err());
    asked(&api.reads(Method::Post, "graphql.json"))
}

#[test]
fn a_channel_keeps_what_is_sent_once_and_within_its_limits() -> Result<()> {
    let fake = FakeChannel::new();
    let call = testing::call().writes("slack", &fake).reads("email", &fake).build();
    let slack = call.channel("slack")?;
    let post = Post::text(Some("#a"), "one").blocks(&json!([{ "type": "divider" }])).once("key");
    let id = slack.post(&post)?;
    assert_eq!(slack.post(&post)?, id, "once");
    slack.update(&id, &Post::text(None, "two"))?;
    assert_eq!(fake.sent(), [Sent::Post(post), Sent::Update(id.clone(), Post::text(None, "two"))]);
    let cause = |sent: Result<String>| sent.err().and_then(|error| error.cause().cloned());
    assert!(matches!(cause(slack.update("other", &Post::text(None, "x")).map(|()| id)), Some(Cause::NotFound(_))));
    let nothing = slack.post(&Post { blocks: Some("{}".to_owned()), ..Post::text(None, "x") });
    assert!(matches!(cause(nothing), Some(Cause::Invalid(_))));

    let mail = Mail::text(vec!["a@x.example".to_owned()], "Letter", "Text").html("<p>Text</p>");
    assert!(matches!(cause(call.channel("email")?.send(&mail)), Some(Cause::Denied(_))), "a read handle sends nothing");
    let many = Mail { to: vec!["a@x.example".to_owned(); 51], ..mail.clone() };
    let long = Mail::text(Vec::new(), "x", "x".repeat(64 * 1024));
    let large = mail.clone().attach("a.pdf", "application/pdf", vec![0; 4 * 1024 * 1024 + 1]);
    let split = Mail { subject: "a\r\nBcc: b@x.example".to_owned(), ..mail.clone() };
    for (wrong, name) in [(many, "max-recipients"), (long, "max-message-bytes"), (large, "max-attachment-bytes")] {
        assert!(matches!(cause(slack.send(&wrong)), Some(Cause::Limit(limit)) if limit.name == name), "{name}");
    }
    assert!(matches!(cause(slack.send(&split)), Some(Cause::Invalid(_))));
    let causes: Vec<_> = (0..30).map(|_| cause(slack.send(&mail))).collect();
    assert!(matches!(causes.last(), Some(Some(Cause::Limit(limit))) if limit.name == "max-messages"));
    Ok(())
}
