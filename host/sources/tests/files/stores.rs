//! The contract asked of stores that others made, and of Drive's stand-in.

use std::{path::PathBuf, process::Command};

use remit_domain::{
    data::files::Condition,
    source::{Bucket, Credentials, Drive, Kind},
};
use remit_upstreams::{
    drive,
    program::{Program, tool},
    s3::{self, S3},
};

use crate::{
    contract,
    ground::{Ground, case},
};

fn bucket(server: &S3, prefix: &str, secret: &str) -> Kind {
    Kind::Bucket(Bucket {
        bucket: s3::BUCKET.to_owned(),
        region: "us-east-1".to_owned(),
        prefix: prefix.to_owned(),
        endpoint: Some(server.url()),
        credentials: Credentials {
            access_key: Some(s3::ACCESS_KEY.to_owned()),
            secret_key: Some(secret.into()),
            ..Credentials::default()
        },
    })
}

fn drive(url: String, token: &str, folder: &str) -> Kind {
    Kind::Drive(Drive {
        folder_id: folder.to_owned(),
        credentials: Credentials { token: Some(token.into()), uri: Some(url.into()), ..Credentials::default() },
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moto_keeps_the_contract() {
    let Some(server) = S3::moto().unwrap() else {
        eprintln!("SKIPPED: moto is not installed; the contract of files was not asked of S3");
        return;
    };
    let outside = Ground::new(bucket(&server, "", s3::SECRET_KEY)).await;
    outside.put("elsewhere", b"x").await;
    outside.put("exports2/a", b"x").await;
    let ground = Ground { real_folders: false, ..Ground::new(bucket(&server, "/exports/", s3::SECRET_KEY)).await };
    contract::all(&ground).await;
    ground.put("a", b"under the prefix").await;
    assert_eq!(outside.read("exports/a").await.unwrap(), b"under the prefix");
    assert_eq!(outside.list("").await.unwrap(), ["elsewhere", "exports/", "exports2/"]);
    // More than a page, folders among them.
    for number in 0..1_010 {
        ground.put(&if number % 100 == 0 { format!("m/{number:04}/x") } else { format!("m/{number:04}") }, b"").await;
    }
    let first = ground.page("m", None).await.unwrap();
    assert!(first.entries.len() <= 1_000 && first.next.is_some());
    let all = ground.list("m").await.unwrap();
    assert_eq!(all.len(), 1_010);
    assert!(all.is_sorted() && all.contains(&"m/0100/".to_owned()) && all.contains(&"m/1009".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rclone_keeps_the_contract_and_verifies_signatures() {
    let Some(server) = S3::rclone().unwrap() else {
        eprintln!("SKIPPED: rclone is not installed; signatures for S3 were not verified");
        return;
    };
    let ground = Ground {
        real_folders: false,
        conditional: false,
        ranges: false,
        ..Ground::new(bucket(&server, "", s3::SECRET_KEY)).await
    };
    contract::all(&ground).await;
    let wrong = Ground::new(bucket(&server, "", "not-the-secret-key-0123456789abcdefghij")).await;
    let refused = wrong.probe().await.unwrap_err();
    assert!(["rejected", "unavailable"].contains(&refused.case()), "{refused}");
    assert!(!refused.to_string().contains("127.0.0.1") && !refused.to_string().contains("canary"), "{refused}");
    assert_ne!(case(wrong.write("x", b"x", &Condition::Always).await), "ok");
    assert_eq!(case(ground.read("x").await), "not-found");
}

#[tokio::test]
async fn a_store_that_is_not_there_is_unavailable_and_one_that_may_not_be_reached_is_denied() {
    let mut kind = Bucket {
        bucket: "files".to_owned(),
        region: "us-east-1".to_owned(),
        prefix: String::new(),
        endpoint: Some("http://127.0.0.1:9".to_owned()),
        credentials: Credentials {
            access_key: Some("k".to_owned()),
            secret_key: Some("canary".into()),
            ..Credentials::default()
        },
    };
    let ground = Ground::new(Kind::Bucket(kind)).await;
    assert_eq!(case(ground.write("a", b"x", &Condition::Always).await), "unavailable", "it was not sent");
    kind = Bucket {
        bucket: "files".to_owned(),
        region: "us-east-1".to_owned(),
        prefix: String::new(),
        endpoint: Some("http://169.254.169.254".to_owned()),
        credentials: Credentials {
            access_key: Some("k".to_owned()),
            secret_key: Some("canary".into()),
            ..Credentials::default()
        },
    };
    let definition = remit_domain::source::Definition {
        name: remit_domain::SourceName::new("metadata").unwrap(),
        authored_kind: "s3".to_owned(),
        kind: Kind::Bucket(kind),
        revision: "1".to_owned(),
        cache: None,
    };
    let opened = remit_domain::data::Sources::open(ground.pools.as_ref(), &ground.tenant, &definition.into()).await;
    assert_eq!(case(opened), "denied");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drives_stand_in_keeps_the_contract() {
    let (running, kept) = drive::start(([127, 0, 0, 1], 0).into()).await.unwrap();
    let ground = Ground::new(drive(running.url(), drive::TOKEN, drive::ROOT)).await;
    contract::all(&ground).await;
    for number in 0..30 {
        ground.put(&format!("many/{number:02}"), b"").await;
    }
    assert_eq!(ground.list("many").await.unwrap().len(), 30, "over several of Drive's own pages");

    // An upload in parts that is dropped is given up at Drive, too.
    let mut writer = ground.create("large", &Condition::Always).await.unwrap();
    for _ in 0..9 {
        ground.append(&mut writer, &vec![1; 1 << 20]).await.unwrap();
    }
    assert_eq!(kept.unfinished(), 1);
    drop(writer);
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while kept.unfinished() > 0 {
        assert!(std::time::Instant::now() < until, "the upload is still there");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_drive_has_beyond_paths_is_refused_or_not_shown() {
    let (running, kept) = drive::start(([127, 0, 0, 1], 0).into()).await.unwrap();
    let ground = Ground::new(drive(running.url(), drive::TOKEN, drive::ROOT)).await;
    const DOCUMENT: &str = "application/vnd.google-apps.document";
    const SHORTCUT: &str = "application/vnd.google-apps.shortcut";
    for (name, mime_type) in [
        ("twin", "text/plain"),
        ("twin", "text/plain"),
        ("letter", DOCUMENT),
        ("link", SHORTCUT),
        ("../up", "text/plain"),
        ("a/b", "text/plain"),
        ("b\nc", "text/plain"),
        ("Case", "text/plain"),
    ] {
        kept.add(drive::ROOT, name, mime_type, b"bytes");
    }
    assert_eq!(ground.list("").await.unwrap(), ["Case", "letter", "twin"]);
    for ambiguous in [case(ground.read("twin").await), case(ground.delete("twin").await)] {
        assert_eq!(ambiguous, "rule");
    }
    assert_eq!(case(ground.write("twin", b"x", &Condition::Always).await), "rule");
    assert_eq!(case(ground.read("letter").await), "rule");
    assert_eq!(case(ground.write("letter", b"x", &Condition::Always).await), "rule");
    assert_eq!(case(ground.read("link").await), "not-found");
    assert_eq!(case(ground.read("case").await), "not-found", "Drive compares names without case; paths have it");
    ground.put("case", b"other").await;
    assert_eq!(ground.read("Case").await.unwrap(), b"bytes");
    // A folder's name in a query ends no quotes.
    assert_eq!(case(ground.read("x' or name contains 'e").await), "not-found");

    running.faults().always(remit_upstreams::Fault::status(429));
    assert_eq!(case(ground.read("Case").await), "throttled");
    running.faults().always(remit_upstreams::Fault::status(503));
    assert_eq!(case(ground.read("Case").await), "unavailable");
    running.faults().clear();
    let stranger = Ground::new(drive(running.url(), "wrong", drive::ROOT)).await;
    let refused = stranger.read("Case").await.unwrap_err();
    assert!(refused.case() == "rejected" && !refused.to_string().contains("wrong"), "{refused}");
}

/// What others made is simpler than Drive: it keeps texts, and knows no ranges and no uploads in parts.
#[tokio::test]
async fn drives_mock_takes_what_is_sent() {
    let (Some(node), Some(mock)) =
        (tool("node_modules/node/bin/node").unwrap(), tool("node_modules/google-drive-mock/dist/index.js").unwrap())
    else {
        eprintln!("SKIPPED: google-drive-mock is not installed; Drive was asked of the own stand-in alone");
        return;
    };
    let server = serve_mock(node, mock);
    let ground = Ground::new(drive(server.url(), "valid-token", "root")).await;
    ground.put("a/b/note.txt", b"a text").await;
    assert_eq!(ground.read("a/b/note.txt").await.unwrap(), b"a text");
    let other = ground.put("a/b/note.txt", b"another").await;
    assert_eq!(case(ground.write("a/b/note.txt", b"x", &Condition::Absent).await), "conflict");
    assert_eq!(ground.stat("a/b/note.txt").await.unwrap().etag, other.etag);
    assert_eq!(ground.list("a").await.unwrap(), ["a/b/"]);
    assert_eq!(case(ground.delete("a/b").await), "rule");
    ground.delete("a/b/note.txt").await.unwrap();
    assert_eq!(case(ground.read("a/b/note.txt").await), "not-found");
    let stranger = Ground::new(drive(server.url(), "wrong", "root")).await;
    assert_eq!(case(stranger.list("").await), "rule");
}

fn serve_mock(node: PathBuf, mock: PathBuf) -> Program {
    Program::start(&node, |port, command: &mut Command| {
        let script = "require(process.argv[1]).startServer(Number(process.argv[2]))";
        command.args(["-e", script]).arg(mock).arg(port.to_string());
    })
    .unwrap()
}
