//! Mail: what of it is refused, how it is written, and what becomes of it at servers of all kinds.

use remit_domain::{
    data::{
        Error,
        notify::{Attachment, Body, MAX_MESSAGE_BYTES, Mail},
    },
    grant::Permission,
    source::MailServer,
};

use super::{
    ground::{Made, case, local, mail},
    script::{Server, Trouble},
};

fn template(name: &str, data: &str) -> Mail {
    Mail {
        subject: String::new(),
        body: Body::Template { name: name.to_owned(), data: data.to_owned() },
        ..mail(&["a@techstart.com"])
    }
}

fn attached(name: &str, media_type: &str, bytes: usize) -> Mail {
    let file = Attachment { name: name.to_owned(), media_type: media_type.to_owned(), bytes: vec![b'x'; bytes] };
    Mail { attachments: vec![file], ..mail(&["a@techstart.com"]) }
}

#[tokio::test]
async fn what_may_not_be_sent_is_refused_and_recorded_without_its_words() {
    let ground = Made { to: Some(vec!["*@techstart.com", "boss@acmecorp.com"]), ..Made::default() }.ground();
    let text = |text: String| Mail { body: Body::Text { text, html: None }, ..mail(&["a@techstart.com"]) };
    let subject = |subject: &str| Mail { subject: subject.to_owned(), ..mail(&["a@techstart.com"]) };
    let many = vec!["a@techstart.com"; 51];
    for (mail, expect) in [
        (mail(&["a@techstart.com"]), "ok"),
        (mail(&[]), "ok"),
        (mail(&["a@evil.example"]), "denied"),
        (Mail { bcc: vec!["a@evil.example".to_owned()], ..mail(&["a@techstart.com"]) }, "denied"),
        (Mail { cc: vec!["a@techstart.com.evil.example".to_owned()], ..mail(&[]) }, "denied"),
        (mail(&["a@techstart.com\r\nBcc: x@evil.example"]), "invalid"),
        (mail(&["\"a@evil.example\"@techstart.com"]), "invalid"),
        (mail(&["a%evil.example@techstart.com"]), "invalid"),
        (mail(&["A <a@techstart.com>"]), "invalid"),
        (mail(&many), "limit"),
        (subject("one\r\nBcc: x@evil.example"), "invalid"),
        (subject("one\ntwo"), "invalid"),
        (subject("one\u{2028}two"), "invalid"),
        (subject(""), "invalid"),
        (subject(&"x".repeat(999)), "invalid"),
        (text("x".repeat(MAX_MESSAGE_BYTES)), "limit"),
        (text("a\0b".to_owned()), "invalid"),
        (template("welcome", r#"{"name": "Ada"}"#), "ok"),
        (template("welcome", ""), "ok"),
        (template("bare", "{}"), "invalid"),
        (template("others", "{}"), "denied"),
        (template("../other/welcome", "{}"), "denied"),
        (template("welcome/../others", "{}"), "denied"),
        (template("", "{}"), "denied"),
        (template("text", "{}"), "denied"),
        (template("welcome", "[1]"), "invalid"),
        (template("welcome", "{"), "invalid"),
        (template("welcome", &format!("{{\"name\": \"{}\"}}", "x".repeat(MAX_MESSAGE_BYTES))), "limit"),
        (attached("a.pdf", "application/pdf", 3), "ok"),
        (attached("a.pdf", "application/pdf", 4 * 1024 * 1024 + 1), "limit"),
        (attached("../a.pdf", "application/pdf", 3), "invalid"),
        (attached("a\r\nX: y", "application/pdf", 3), "invalid"),
        (attached("a.pdf", "application/pdf; name=\"b\"", 3), "invalid"),
        (attached("a.pdf", "application/pdf\r\nX: y", 3), "invalid"),
        (attached("a.pdf", "multipart/mixed", 3), "invalid"),
        (attached("a.pdf", "pdf", 3), "invalid"),
    ] {
        assert_eq!(case(ground.send(&mail).await), expect, "{mail:?}");
    }
    let files = Mail { attachments: vec![attached("a", "a/b", 1).attachments.remove(0); 11], ..mail(&[]) };
    assert_eq!(case(ground.send(&files).await), "limit");
    assert_eq!(case(ground.post(&super::ground::post(None)).await), "ok");

    let kept = ground.inbox.as_ref().unwrap().newest(&ground.tenant, 100);
    assert_eq!(kept.iter().filter(|kept| kept.kind == "mail").count(), 5);
    let own = kept.iter().find(|kept| kept.to == ["boss@acmecorp.com"]).unwrap();
    assert_eq!((own.agent.as_str(), own.from.as_deref()), ("sales", Some("noreply@techstart.com")));
    let welcome = kept.iter().find(|kept| kept.text.contains("Ada")).unwrap();
    assert_eq!((welcome.subject.as_deref(), welcome.template.as_deref()), (Some("Welcome"), Some("welcome")));
    let record = ground.record();
    let shown = serde_json::to_string(&record.operations).unwrap();
    assert!(!shown.contains("techstart.com") && !shown.contains("Some text") && !shown.contains("subject"), "{shown}");
    let count = |outcome: &str| {
        let all = record.operations.iter().filter(|it| it.name == "send" && it.outcome == Some(outcome));
        all.map(|it| it.count).sum::<u32>()
    };
    assert_eq!((count("ok"), count("denied"), count("limit")), (5, 8, 5), "{shown}");
    let ok = record.operations.iter().find(|it| it.name == "send" && it.outcome == Some("ok")).unwrap();
    assert!(ok.rows >= 1 && ok.bytes > 0, "recipients are counted: {ok:?}");
}

#[tokio::test]
async fn where_templates_alone_may_be_sent_a_text_is_refused() {
    let ground = Made { free_text: false, ..Made::default() }.ground();
    assert_eq!(case(ground.send(&template("welcome", "{}")).await), "ok");
    assert_eq!(case(ground.send(&mail(&["a@techstart.com"])).await), "denied");
    assert_eq!(ground.inbox.as_ref().unwrap().newest(&ground.tenant, 100).len(), 1);
}

#[tokio::test]
async fn a_read_handle_sends_nothing_and_a_room_is_no_mail() {
    let reading = Made { permission: Permission::Read, ..Made::default() }.ground();
    assert_eq!(case(reading.send(&mail(&["a@b.example"])).await), "denied");
    assert_eq!(reading.inbox.unwrap().newest(&reading.tenant, 9), []);
}

#[tokio::test]
async fn lines_end_in_one_way_so_that_no_server_finds_another_mail_in_one() {
    let ground = Made::default().ground();
    let text = "hi\r.\r\nMAIL FROM:<x@y.example>\n".to_owned();
    let smuggling = Mail { body: Body::Text { text: text.clone(), html: Some(text) }, ..mail(&["boss@acmecorp.com"]) };
    assert_eq!(case(ground.send(&smuggling).await), "ok");
    let kept = ground.inbox.as_ref().unwrap().newest(&ground.tenant, 9);
    assert_eq!(kept.first().unwrap().text, "hi\n.\nMAIL FROM:<x@y.example>\n");
}

#[tokio::test]
async fn a_mail_is_written_with_all_its_parts_and_no_header_more() {
    let server = Server::start(Trouble::None).await;
    let ground = Made { server: Some(local(server.port)), dry: false, ..Made::default() }.ground();
    let whole = Mail {
        to: vec!["a@x.example".to_owned(), "b@x.example".to_owned()],
        cc: vec!["c@x.example".to_owned()],
        bcc: vec!["hidden@x.example".to_owned()],
        subject: "Grüße: one, two and a rather long rest of a subject that does not fit on one line".to_owned(),
        body: Body::Text { text: "Line\n.\n..dots\r\nÄ".to_owned(), html: Some("<p>Ä</p>".to_owned()) },
        ..attached("Angebot für Sie.pdf", "application/pdf", 10)
    };
    let id = ground.send(&whole).await.unwrap();
    assert!(id.ends_with("@techstart.com"), "{id}");
    ground.send(&mail(&["d@x.example"])).await.unwrap();
    let (commands, messages) = server.seen(|seen| (seen.commands.clone(), seen.messages.clone()));
    assert_eq!(server.seen(|seen| seen.connections), 1, "the connection is used again");
    assert!(commands.contains(&"EHLO techstart.com".to_owned()), "not the machine's name: {commands:?}");
    let named: Vec<&String> = commands.iter().filter(|it| it.starts_with("RCPT")).collect();
    assert_eq!(named.len(), 5, "{named:?}");
    let message = messages.first().unwrap();
    let (head, _) = message.split_once("\r\n\r\n").unwrap();
    assert!(!message.contains("hidden@"), "nobody sees whom it went to as well: {message}");
    let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", " ");
    let names: Vec<&str> = unfolded.lines().filter_map(|line| line.split(':').next()).collect();
    for name in ["From", "To", "Cc", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type", "Auto-Submitted"]
    {
        assert_eq!(names.iter().filter(|it| **it == name).count(), 1, "{name}: {head}");
    }
    assert!(head.contains(&format!("Message-ID: <{id}>")), "{head}");
    assert!(message.is_ascii() && message.contains("text/html") && message.contains("application/pdf"), "{message}");
}

#[tokio::test]
async fn what_a_server_does_wrong_is_told_as_what_it_means() {
    for (trouble, expect) in [
        (Trouble::None, "ok"),
        (Trouble::NoGreeting, "rejected"),
        (Trouble::Silence, "unavailable"),
        (Trouble::Recipient, "rejected"),
        (Trouble::Busy, "unavailable"),
        (Trouble::ClosesBefore, "unavailable"),
        (Trouble::Text, "rejected"),
        (Trouble::ClosesAfter, "uncertain"),
        (Trouble::SilentAfter, "uncertain"),
    ] {
        let server = Server::start(trouble).await;
        let ground = Made { server: Some(local(server.port)), dry: false, ..Made::default() }.ground();
        let sent = ground.send(&mail(&["a@x.example", "b@x.example"])).await;
        let told = sent.as_ref().err().map(|error| format!("{error} {error:?}")).unwrap_or_default();
        assert_eq!(case(sent), expect, "{trouble:?}");
        for secret in ["canary", "127.0.0.1", "x.example", "Some text"] {
            assert!(!told.contains(secret), "{trouble:?}: {told}");
        }
        if trouble == Trouble::Recipient {
            assert_eq!(server.seen(|seen| seen.messages.len()), 0, "to all or to none");
        }
    }
    let closed = {
        let server = Server::start(Trouble::None).await;
        local(server.port)
    };
    let ground = Made { server: Some(closed), dry: false, ..Made::default() }.ground();
    assert_eq!(case(ground.send(&mail(&["a@x.example"])).await), "unavailable");
    let none = Made { dry: false, ..Made::default() }.ground();
    assert_eq!(case(none.send(&mail(&["a@x.example"])).await), "invalid");
}

#[tokio::test]
async fn a_connection_that_the_server_closed_meanwhile_is_made_anew() {
    let server = Server::start(Trouble::ClosesIdle).await;
    let ground = Made { server: Some(local(server.port)), dry: false, ..Made::default() }.ground();
    for _ in 0..3 {
        ground.send(&mail(&["a@x.example"])).await.unwrap();
    }
    assert_eq!(server.seen(|seen| (seen.connections, seen.messages.len())), (3, 3));
}

#[tokio::test]
async fn an_account_is_proved_and_none_goes_where_it_could_be_read() {
    let account = |server: MailServer| MailServer {
        user: Some("apikey".to_owned()),
        password: Some("canary-password".to_owned().into()),
        ..server
    };
    for (trouble, expect) in [(Trouble::None, "ok"), (Trouble::Account, "rejected")] {
        let server = Server::start(trouble).await;
        let ground = Made { server: Some(account(local(server.port))), dry: false, ..Made::default() }.ground();
        let sent = ground.send(&mail(&["a@x.example"])).await;
        assert!(!format!("{sent:?}").contains("canary"), "{sent:?}");
        assert_eq!(case(sent), expect, "{trouble:?}");
    }
    // This name is this machine's, too, but not by what the host knows: without STARTTLS nothing is said.
    let server = Server::start(Trouble::None).await;
    let elsewhere = MailServer { host: "127.1".to_owned(), ..account(local(server.port)) };
    let ground = Made { server: Some(elsewhere), dry: false, ..Made::default() }.ground();
    assert_eq!(case(ground.send(&mail(&["a@x.example"])).await), "rejected");
    let commands = server.seen(|seen| seen.commands.join(" "));
    assert!(commands.contains("EHLO") && !commands.contains("AUTH") && !commands.contains("MAIL"), "{commands}");
}

#[tokio::test]
async fn a_key_sends_once_and_a_lost_answer_is_not_sent_again() {
    let keyed = |key: &str| Mail { idempotency_key: Some(key.to_owned()), ..mail(&["a@x.example"]) };
    let server = Server::start(Trouble::None).await;
    let ground = Made { server: Some(local(server.port)), dry: false, ..Made::default() }.ground();
    let (first, second) = (ground.send(&keyed("k")).await.unwrap(), ground.send(&keyed("k")).await.unwrap());
    assert_eq!((first, server.seen(|seen| seen.messages.len())), (second, 1));
    ground.send(&keyed("other")).await.unwrap();
    assert_eq!(server.seen(|seen| seen.messages.len()), 2);
    for bad in ["", &"k".repeat(257)] {
        assert_eq!(case(ground.send(&keyed(bad)).await), "invalid");
    }

    let server = Server::start(Trouble::ClosesAfter).await;
    let ground = Made { server: Some(local(server.port)), dry: false, ..Made::default() }.ground();
    for _ in 0..3 {
        assert_eq!(case(ground.send(&keyed("k")).await), "uncertain");
    }
    assert_eq!(server.seen(|seen| seen.messages.len()), 1);

    let server = Server::start(Trouble::Busy).await;
    let ground = Made { server: Some(local(server.port)), dry: false, ..Made::default() }.ground();
    for _ in 0..2 {
        assert_eq!(case(ground.send(&keyed("k")).await), "unavailable", "it was not taken, so it may be tried again");
    }
}

#[tokio::test]
async fn the_rate_counts_recipients() {
    let ground = Made { per_minute: 10, ..Made::default() }.ground();
    let to = |count: usize| mail(&vec!["a@x.example"; count]);
    assert!(matches!(ground.send(&to(11)).await, Err(Error::Limit { name: "max-recipients", allowed: 10 })));
    assert_eq!(case(ground.send(&to(8)).await), "ok");
    match ground.send(&to(8)).await {
        Err(Error::Throttled(wait)) => assert!(wait.retry_after_ms.is_some_and(|ms| (1..=60_000).contains(&ms))),
        other => unreachable!("{other:?}"),
    }
    // A message that was sent with its key costs nothing when it is asked for again.
    let keyed = Mail { idempotency_key: Some("k".to_owned()), ..to(2) };
    assert_eq!(case(ground.send(&keyed).await), "ok");
    assert_eq!(case(ground.send(&keyed).await), "ok");
    assert_eq!(case(ground.send(&to(1)).await), "throttled");
    // And yet it can't be asked for without end: each time something is noted.
    let mut asked = 2;
    while case(ground.send(&keyed).await) == "ok" {
        asked += 1;
        assert!(asked < 1_000, "without end");
    }
    assert!(asked >= 50, "{asked}");
}
