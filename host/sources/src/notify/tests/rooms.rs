//! Rooms: where an agent may post, and what becomes of posts at Slack.

use axum::http::StatusCode;
use remit_domain::{
    data::{
        Error,
        notify::{MAX_MESSAGE_BYTES, Post},
    },
    source::SlackAccess,
};
use remit_upstreams::{Fault, running::Running, slack};

use super::ground::{Ground, Made, case, post};

async fn workspace() -> Running {
    slack::start(([127, 0, 0, 1], 0).into()).await.unwrap()
}

fn bot(workspace: &Running, token: &str) -> Ground {
    let access = SlackAccess::Bot { token: token.to_owned().into(), uri: Some(workspace.url().into()) };
    Made { slack: Some(access), dry: false, ..Made::default() }.ground()
}

fn hook(workspace: &Running, path: &str) -> Ground {
    let access = SlackAccess::Webhook(format!("{}{path}", workspace.url()).into());
    Made { slack: Some(access), dry: false, ..Made::default() }.ground()
}

fn said(workspace: &Running) -> Vec<serde_json::Value> {
    workspace.received().iter().map(|asked| asked.json().unwrap()).collect()
}

#[tokio::test]
async fn where_an_agent_may_not_post_it_does_not() {
    let ground = Made::default().ground();
    let long = Post { text: "x".repeat(MAX_MESSAGE_BYTES + 1), ..post(None) };
    let blocks = |blocks: &str| Post { blocks: Some(blocks.to_owned()), ..post(None) };
    let many = format!("[{}]", vec!["{}"; 51].join(","));
    for (post, expect) in [
        (post(None), "ok"),
        (post(Some("#order-review")), "ok"),
        (post(Some("#sales")), "ok"),
        (post(Some("#fraud-review")), "denied"),
        (post(Some("#Sales")), "denied"),
        (post(Some("#salesX")), "denied"),
        (post(Some("sales")), "invalid"),
        (post(Some("#sales,#fraud-review")), "invalid"),
        (post(Some("C00001")), "invalid"),
        (long, "limit"),
        (blocks(r#"[{"type": "divider"}]"#), "ok"),
        (blocks("{}"), "invalid"),
        (blocks("["), "invalid"),
        (blocks(&many), "invalid"),
        (Post { text: " ".to_owned(), ..post(None) }, "invalid"),
        (Post { text: "a\0".to_owned(), ..post(None) }, "invalid"),
        (Post { thread: Some("#sales/none".to_owned()), ..post(None) }, "not-found"),
    ] {
        assert_eq!(case(ground.post(&post).await), expect, "{post:?}");
    }
    let id = ground.post(&post(Some("#order-review"))).await.unwrap();
    let answer = Post { thread: Some(id.clone()), ..post(Some("#order-review")) };
    assert_eq!(case(ground.post(&answer).await), "ok");
    assert_eq!(case(ground.post(&Post { room: None, ..answer }).await), "not-found", "the thread is of another room");
    ground.update(&id, &post(None)).await.unwrap();
    assert_eq!(case(ground.update("#order-review/other", &post(None)).await), "not-found");
    let kept = ground.inbox.as_ref().unwrap().newest(&ground.tenant, 1);
    assert_eq!(kept.first().map(|kept| (kept.kind, kept.room.as_deref())), Some(("update", Some("#order-review"))));
    assert_eq!(case(ground.update(&id, &Post { text: String::new(), ..post(None) }).await), "invalid");
}

#[tokio::test]
async fn a_bot_posts_answers_and_replaces() {
    let slack = workspace().await;
    let ground = bot(&slack, slack::TOKEN);
    let first = Post { blocks: Some(r#"[{"type": "divider"}]"#.to_owned()), ..post(Some("#order-review")) };
    let id = ground.post(&first).await.unwrap();
    ground.post(&Post { thread: Some(id.clone()), ..post(Some("#order-review")) }).await.unwrap();
    ground.update(&id, &Post { text: "Done".to_owned(), ..post(None) }).await.unwrap();
    let bodies = said(&slack);
    let [first, answer, update] = bodies.as_slice() else { unreachable!("{bodies:?}") };
    assert_eq!((&first["channel"], &first["blocks"][0]["type"]), (&"#order-review".into(), &"divider".into()));
    assert_eq!(answer["thread_ts"], update["ts"]);
    assert_eq!(update["text"], "Done");
    assert!(slack.received().iter().all(|asked| asked.header("authorization") == Some("Bearer xoxb-demo-techstart")));

    for forged in [id.replace("#order-review", "#sales"), id.replace("000001", "000002"), "x".to_owned()] {
        assert_eq!(case(ground.update(&forged, &post(None)).await), "not-found", "{forged}");
    }
    assert_eq!(case(ground.post(&post(Some("#sales"))).await), "ok");
    let record = serde_json::to_string(&ground.record().operations).unwrap();
    assert!(!record.contains("Some text") && !record.contains("order-review"), "{record}");
}

#[tokio::test]
async fn a_webhook_posts_and_does_no_more() {
    let slack = workspace().await;
    let ground = hook(&slack, slack::WEBHOOK);
    let id = ground.post(&post(Some("#order-review"))).await.unwrap();
    assert_eq!(said(&slack).first().map(|body| body["channel"].clone()), Some("#order-review".into()));
    assert_eq!(case(ground.update(&id, &post(None)).await), "rejected");
    assert_eq!(case(ground.post(&Post { thread: Some(id), ..post(None) }).await), "rejected");
    let wrong = hook(&slack, "/services/T0/B0/canary-secret").post(&post(None)).await;
    assert!(!format!("{wrong:?}").contains("canary") && !format!("{wrong:?}").contains("127.0.0.1"), "{wrong:?}");
    assert_eq!(case(wrong), "rejected");
}

#[tokio::test]
async fn what_slack_does_wrong_is_told_as_what_it_means() {
    let slack = workspace().await;
    let answer = |status: u16, content_type: &'static str, body: &str| Fault::Answer {
        status: StatusCode::from_u16(status).unwrap(),
        content_type,
        body: body.to_owned(),
    };
    let json = |error: &str| answer(200, "application/json", &format!(r#"{{"ok": false, "error": "{error}"}}"#));
    let (by_bot, by_hook) = (bot(&slack, slack::TOKEN), hook(&slack, slack::WEBHOOK));
    for (ground, fault, expect) in [
        (&by_bot, Fault::status(500), "uncertain"),
        (&by_bot, Fault::status(502), "uncertain"),
        (&by_bot, Fault::status(503), "unavailable"),
        (&by_bot, Fault::Close, "uncertain"),
        (&by_bot, Fault::Delay(std::time::Duration::from_secs(30)), "uncertain"),
        (&by_bot, answer(200, "text/html", "<html>"), "uncertain"),
        (&by_bot, answer(200, "application/json", r#"{"ok": true}"#), "uncertain"),
        (&by_bot, answer(302, "text/html", ""), "rejected"),
        (&by_bot, json("ratelimited"), "throttled"),
        (&by_bot, json("internal_error"), "uncertain"),
        (&by_bot, json("channel_not_found"), "not-found"),
        (&by_bot, json("not_in_channel"), "rejected"),
        (&by_bot, json("<b>canary 127.0.0.1</b>"), "rejected"),
        (&by_hook, Fault::status(500), "uncertain"),
        (&by_hook, Fault::Close, "uncertain"),
        (&by_hook, answer(400, "text/plain", "invalid_payload"), "rejected"),
        (&by_hook, answer(404, "text/plain", "channel_not_found"), "not-found"),
        (&by_hook, answer(200, "text/html", "<html>"), "uncertain"),
    ] {
        slack.faults().once(fault.clone());
        let posted = ground.post(&post(None)).await;
        let told = format!("{posted:?}");
        assert!(!told.contains("canary") && !told.contains("127.0.0.1"), "{fault:?}: {told}");
        assert_eq!(case(posted), expect, "{fault:?}");
    }
    for ground in [&by_bot, &by_hook] {
        slack.faults().once(Fault::Status { status: StatusCode::TOO_MANY_REQUESTS, retry_after_s: Some(7) });
        match ground.post(&post(None)).await {
            Err(Error::Throttled(wait)) => assert_eq!(wait.retry_after_ms, Some(7_000)),
            other => unreachable!("{other:?}"),
        }
    }
    let stranger = bot(&slack, "xoxb-canary").post(&post(None)).await;
    assert!(!format!("{stranger:?}").contains("canary"), "{stranger:?}");
    assert_eq!(case(stranger), "rejected");
    assert_eq!(case(Made { dry: false, ..Made::default() }.ground().post(&post(None)).await), "invalid");
}

#[tokio::test]
async fn a_key_posts_once_and_an_address_of_the_inside_is_not_asked() {
    let slack = workspace().await;
    let ground = bot(&slack, slack::TOKEN);
    let keyed = Post { idempotency_key: Some("k".to_owned()), ..post(None) };
    let (first, second) = (ground.post(&keyed).await.unwrap(), ground.post(&keyed).await.unwrap());
    assert_eq!((first.clone(), slack.received().len()), (second, 1));
    // The same key is another one where something else is done.
    ground.update(&first, &keyed).await.unwrap();
    assert_eq!(slack.received().len(), 2);

    for url in ["http://169.254.169.254/latest", "http://10.0.0.1/services/x", "file:///etc/passwd"] {
        let access = SlackAccess::Webhook(url.to_owned().into());
        let ground = Made { slack: Some(access), dry: false, ..Made::default() }.ground();
        assert_eq!(case(ground.post(&post(None)).await), "denied", "{url}");
    }
}
