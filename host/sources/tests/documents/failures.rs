//! Failures, told apart by what a guest can do about them, without a word that names a host, an account or
//! a database.

use std::time::{Duration, Instant};

use bson::{Document, doc};
use remit_domain::data::{Error, Refusal, Sources as _};
use remit_sources::Settings;
use remit_upstreams::mongo::{Answer, Emulator, Recorder};
use serde_json::json;

use crate::{
    ground::{Allowed, Ground, mongo},
    settings,
    wire::recorded,
};

fn assert_nameless(error: &Error) {
    let shown = format!("{error:?} {error}");
    for secret in ["127.0.0.1", "localhost", "canary"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

fn failed(code: i32, message: &str) -> Answer {
    Answer::With(doc! { "ok": 0, "code": code, "codeName": "Name", "errmsg": message })
}

fn write_error(code: i32, message: &str) -> Answer {
    Answer::With(doc! { "ok": 1, "n": 0, "writeErrors": [{ "index": 0, "code": code, "errmsg": message }] })
}

#[tokio::test]
async fn reads_that_fail() {
    let (server, ground) = recorded(Allowed::ALL).await;
    for (code, message, case) in [
        (2, "unknown top level operator in canary_db.things: $x", "invalid"),
        (241, "Failed to parse number 'x' in $convert", "invalid"),
        (13, "not authorized on canary_db to execute command { find: \"things\" }", "denied"),
        (26, "ns does not exist: canary_db.things", "not-found"),
        (50, "operation exceeded time limit", "limit"),
        (292, "canary-host: Sort exceeded memory limit", "rejected"),
        (96, "canary-host failed", "rejected"),
        (16500, "canary-host: request rate is large", "throttled"),
    ] {
        server.answer("find", failed(code, message));
        let error = ground.find("things", &json!({})).await.unwrap_err();
        assert_eq!(error.case(), case, "{code}: {error}");
        assert_nameless(&error);
    }
    // The driver repeats a read whose connection broke, once.
    server.answer("find", Answer::HangUp);
    assert_eq!(ground.find("things", &json!({})).await, Ok(vec![]));
    (0..2).for_each(|_| server.answer("find", Answer::HangUp));
    let error = ground.find("things", &json!({})).await.unwrap_err();
    assert_eq!(error.case(), "unavailable");
    assert_nameless(&error);
    server.answer("find", Answer::With(doc! { "ok": 1, "canary": 1 }));
    let error = ground.find("things", &json!({})).await.unwrap_err();
    assert_eq!(error.case(), "unavailable");
    assert_nameless(&error);
    ground.pools.probe(&ground.tenant, &ground.definition).await.unwrap();
}

#[tokio::test]
async fn changes_that_fail() {
    let (server, ground) = recorded(Allowed::ALL).await;
    let duplicate = "E11000 duplicate key error collection: canary_db.things index: _id_ dup key: { _id: 1 }";
    for (answer, case, reason) in [
        (write_error(11000, duplicate), "rejected", Some(Refusal::Constraint)),
        (write_error(121, "Document failed validation"), "rejected", Some(Refusal::Constraint)),
        (write_error(14, "Cannot apply $inc to a value of non-numeric type"), "rejected", Some(Refusal::Rule)),
        (write_error(28, "Cannot create field 'a' in canary_db.things"), "rejected", Some(Refusal::Rule)),
        (write_error(112, "WriteConflict"), "rejected", Some(Refusal::Conflict)),
        (failed(11000, duplicate), "rejected", Some(Refusal::Constraint)),
        (failed(13, "not authorized on canary_db"), "denied", None),
        (failed(10107, "not primary: canary-host"), "unavailable", None),
        // What may have changed something is uncertain, and is never sent again.
        (failed(50, "operation exceeded time limit"), "uncertain", None),
        (failed(11602, "interrupted due to state change on canary-host"), "uncertain", None),
        (Answer::HangUp, "uncertain", None),
    ] {
        server.forget();
        server.answer("update", answer.clone());
        let error = ground.update("things", &json!({}), &json!({ "$set": { "a": 1 } }), false).await.unwrap_err();
        assert_eq!(error.case(), case, "{answer:?}: {error}");
        if let Error::Rejected(why) = &error {
            assert_eq!((Some(why.reason), why.code.is_some()), (reason, true), "{answer:?}");
        }
        assert_nameless(&error);
        assert_eq!(server.received().len(), 1, "{answer:?}");
    }
    let unconfirmed = doc! { "ok": 1, "n": 1, "writeConcernError": { "code": 64, "errmsg": "canary-host is slow" } };
    server.answer("delete", Answer::With(unconfirmed));
    let error = ground.delete("things", &json!({ "a": 1 })).await.unwrap_err();
    assert_eq!(error.case(), "uncertain");
    assert_nameless(&error);
}

#[tokio::test]
async fn a_server_that_is_silent_is_given_up() {
    let server = Recorder::start().await.unwrap();
    let uri = format!("mongodb://{}/canary_db", server.address());
    let short = Settings { socket_timeout: Duration::from_millis(200), ..settings() };
    let ground = Ground::new(mongo(&uri, None, None), short, Allowed::ALL).await.unwrap();
    server.answer("find", Answer::Silence);
    assert_eq!(ground.find("things", &json!({})).await.unwrap_err().case(), "limit");
    server.answer("insert", Answer::Silence);
    assert_eq!(ground.insert("things", &[json!({})]).await.unwrap_err().case(), "uncertain");
    assert_eq!(ground.find("things", &json!({})).await, Ok(vec![]));
}

#[tokio::test]
async fn credentials_that_are_not_accepted_are_named_to_nobody() {
    let server = Recorder::start().await.unwrap();
    let uri = format!("mongodb://{}/canary_db", server.address());
    let kind = mongo(&uri, Some("canary-account"), Some("canary-password"));
    let ground = Ground::new(kind, settings(), Allowed::ALL).await.unwrap();
    for error in [
        ground.find("things", &json!({})).await.unwrap_err(),
        ground.insert("things", &[json!({})]).await.unwrap_err(),
        ground.pools.probe(&ground.tenant, &ground.definition).await.unwrap_err(),
    ] {
        assert_eq!(error, Error::unavailable("the database did not accept the credentials"));
    }
    let sent = format!("{:?}", server.received());
    assert!(!sent.contains("canary-password"), "{sent}");
    assert!(server.received().iter().all(|command: &Document| command.contains_key("saslStart")), "{sent}");
}

/// Nobody listens: that is said long before the driver would.
#[tokio::test]
async fn a_server_that_refuses_connections_is_unavailable_at_once() {
    let server = Recorder::start().await.unwrap();
    let uri = format!("mongodb://canary-user:canary-word@{}/canary_db", server.address());
    drop(server);
    let patient = Settings { selection_timeout: Duration::from_secs(600), ..settings() };
    let ground = Ground::new(mongo(&uri, None, None), patient, Allowed::ALL).await.unwrap();
    for _ in 0..3 {
        for error in [
            ground.find("things", &json!({})).await.unwrap_err(),
            ground.insert("things", &[json!({})]).await.unwrap_err(),
        ] {
            assert_eq!(error, Error::unavailable("the database could not be reached"));
        }
    }
    assert_eq!(ground.pools.probe(&ground.tenant, &ground.definition).await.unwrap_err().case(), "unavailable");
}

#[tokio::test]
async fn addresses_that_cannot_work_are_invalid_and_not_shown() {
    for uri in [
        "mongodb+srv://canary-user:canary-word@canary.example/db",
        "http://canary.example/db",
        "mongodb://canary.example",
        "mongodb://canary.example/db?w=0",
        "mongodb://canary.example/db?socketTimeoutMS=canary",
        "mongodb://canary-user:canary@word@canary.example/db",
    ] {
        let made = Ground::new(mongo(uri, None, None), settings(), Allowed::ALL).await;
        let error = made.err().unwrap_or_else(|| panic!("{uri}"));
        let error = format!("{error:?}");
        assert!(error.contains("analytics") && !error.contains("canary"), "{uri}: {error}");
    }
}

/// The server ends while connections to it are open, and nothing waits for it.
pub(crate) async fn a_server_that_dies(ground: &Ground, server: &mut Emulator) {
    server.kill().unwrap();
    let began = Instant::now();
    loop {
        let error = ground.find("found", &json!({})).await.unwrap_err();
        assert_nameless(&error);
        if error == Error::unavailable("the database could not be reached") {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{error}");
    }
    let error = ground.insert("found", &[json!({})]).await.unwrap_err();
    assert_eq!(error.case(), "unavailable", "nothing was sent: {error}");
    ground.pools.probe(&ground.tenant, &ground.definition).await.unwrap_err();
}
