//! What `wit/deps/remit-data/files.wit` says, whoever keeps the files. The folder is empty at first.

use remit_domain::data::files::{Condition, Kind};

use crate::ground::{Ground, case, drain};

pub(crate) async fn all(ground: &Ground) {
    ground.probe().await.unwrap();
    assert_eq!(ground.list("").await.unwrap(), Vec::<String>::new());
    whole_files(ground).await;
    conditions(ground).await;
    pieces(ground).await;
    folders(ground).await;
    names(ground).await;
    limits(ground).await;
}

async fn whole_files(ground: &Ground) {
    let written = ground.put("a/b/note.txt", b"first").await;
    assert_eq!((written.path.as_str(), written.kind, written.size), ("a/b/note.txt", Kind::File, 5));
    assert_eq!(ground.read("a/b/note.txt").await.unwrap(), b"first");
    let found = ground.stat("a/b/note.txt").await.unwrap();
    assert_eq!((found.size, found.etag.is_some(), found.etag == written.etag), (5, true, true));
    let modified = found.modified.unwrap();
    assert!(modified.starts_with("20") && modified.contains('T'), "RFC 3339: {modified}");
    let again = ground.put("a/b/note.txt", b"other").await;
    assert_ne!(again.etag, written.etag, "another content has another etag");
    assert_eq!(ground.read("a/b/note.txt").await.unwrap(), b"other");
    ground.put("a/empty", b"").await;
    assert_eq!(ground.read("a/empty").await.unwrap(), b"");
    for missing in ["nothing", "a/nothing", "a/b/note.txt/below", "no/where/at/all"] {
        assert_eq!(case(ground.read(missing).await), "not-found", "{missing}");
        assert_eq!(case(ground.open(missing, 0).await), "not-found", "{missing}");
        assert_eq!(case(ground.stat(missing).await), "not-found", "{missing}");
        assert_eq!(case(ground.delete(missing).await), "not-found", "{missing}");
    }
    ground.delete("a/b/note.txt").await.unwrap();
    assert_eq!(case(ground.read("a/b/note.txt").await), "not-found");
    assert_eq!(case(ground.delete("a/b/note.txt").await), "not-found");
    ground.delete("a/empty").await.unwrap();
    if ground.real_folders {
        ground.delete("a/b").await.unwrap();
        ground.delete("a").await.unwrap();
    }
    assert_eq!(ground.list("").await.unwrap(), Vec::<String>::new());
}

async fn conditions(ground: &Ground) {
    let first = ground.write("c.txt", b"1", &Condition::Absent).await.unwrap();
    assert_eq!(case(ground.write("c.txt", b"2", &Condition::Absent).await), "conflict");
    assert_eq!(ground.read("c.txt").await.unwrap(), b"1", "what was refused changed nothing");
    let unchanged = Condition::Unchanged(first.etag.unwrap());
    ground.write("c.txt", b"2", &unchanged).await.unwrap();
    assert_eq!(case(ground.write("c.txt", b"3", &unchanged).await), "conflict");
    assert_eq!(ground.read("c.txt").await.unwrap(), b"2");
    for etag in ["", "*", "\"\"", "x", "\"a\", \"b\"", "W/\"x\"", "a\r\nX-Evil: 1"] {
        let when = Condition::Unchanged(etag.to_owned());
        assert_eq!(case(ground.write("c.txt", b"3", &when).await), "conflict", "{etag:?}");
        assert_eq!(case(ground.write("not-there", b"3", &when).await), "conflict", "{etag:?}");
    }
    if ground.conditional {
        let when = Condition::Absent;
        let many = (0..8).map(|n| {
            let (when, bytes) = (&when, [b'0' + n]);
            async move { ground.write("race", &bytes, when).await }
        });
        let results = futures::future::join_all(many).await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
        ground.delete("race").await.unwrap();
    }
    ground.delete("c.txt").await.unwrap();
}

async fn pieces(ground: &Ground) {
    // More than one part of an upload, where there are such.
    let bytes: Vec<u8> = (0..9_500_000_u32).map(|n| n.to_le_bytes()[1] ^ n.to_le_bytes()[2]).collect();
    let mut writer = ground.create("p/large.bin", &Condition::Absent).await.unwrap();
    for chunk in bytes.chunks(1 << 20) {
        ground.append(&mut writer, chunk).await.unwrap();
    }
    assert_eq!(case(ground.stat("p/large.bin").await), "not-found", "nothing is there before the end");
    assert_eq!(ground.finish(&mut writer).await.unwrap(), bytes.len() as u64);
    assert_eq!(case(ground.finish(&mut writer).await), "invalid");
    assert_eq!(case(ground.append(&mut writer, b"x").await), "invalid");
    drop(writer);
    assert_eq!(ground.stat("p/large.bin").await.unwrap().size, bytes.len() as u64);
    assert!(drain(ground.open("p/large.bin", 0).await.unwrap(), 1 << 20).await == bytes);
    let offset = 9_400_001;
    let part = if ground.ranges { Some(ground.open("p/large.bin", offset as u64).await.unwrap()) } else { None };
    if let Some(part) = part {
        assert!(drain(part, 10_000).await == bytes[offset..]);
    }
    for beyond in [bytes.len() as u64, bytes.len() as u64 + 1, u64::MAX] {
        assert_eq!(drain(ground.open("p/large.bin", beyond).await.unwrap(), 10).await, b"");
    }
    assert_eq!(case(ground.read("p/large.bin").await), "max-read-bytes");

    // Begun and not ended: nothing of it is there.
    let mut writer = ground.create("p/given-up", &Condition::Always).await.unwrap();
    ground.append(&mut writer, b"some").await.unwrap();
    drop(writer);
    assert_eq!(case(ground.stat("p/given-up").await), "not-found");
    assert_eq!(ground.list("p").await.unwrap(), ["p/large.bin"]);

    // A condition is asked at the end, of small files and of large ones.
    for large in [false, true] {
        let mut writer = ground.create("p/late", &Condition::Absent).await.unwrap();
        let count = if large { 9 } else { 1 };
        for _ in 0..count {
            ground.append(&mut writer, &vec![b'l'; 1 << 20]).await.unwrap();
        }
        ground.put("p/late", b"sooner").await;
        assert_eq!(case(ground.finish(&mut writer).await), "conflict");
        assert_eq!(ground.read("p/late").await.unwrap(), b"sooner");
        let when = Condition::Unchanged(ground.stat("p/late").await.unwrap().etag.unwrap());
        let mut writer = ground.create("p/late", &when).await.unwrap();
        for _ in 0..count {
            ground.append(&mut writer, &vec![b'm'; 1 << 20]).await.unwrap();
        }
        assert_eq!(ground.finish(&mut writer).await.unwrap(), count << 20);
        let mut writer = ground.create("p/late", &Condition::Always).await.unwrap();
        ground.append(&mut writer, b"short").await.unwrap();
        assert_eq!(ground.finish(&mut writer).await.unwrap(), 5);
        assert_eq!(ground.read("p/late").await.unwrap(), b"short");
        ground.delete("p/late").await.unwrap();
    }
    let mut writer = ground.create("p/nothing", &Condition::Always).await.unwrap();
    assert_eq!(ground.finish(&mut writer).await.unwrap(), 0);
    assert_eq!(ground.read("p/nothing").await.unwrap(), b"");
    ground.delete("p/nothing").await.unwrap();
    ground.delete("p/large.bin").await.unwrap();
}

async fn folders(ground: &Ground) {
    for path in ["f/b", "f/a-b", "f/a/x", "f/a/y", "f/c/d/e", "f/a.txt"] {
        ground.put(path, path.as_bytes()).await;
    }
    assert_eq!(ground.list("f").await.unwrap(), ["f/a-b", "f/a.txt", "f/a/", "f/b", "f/c/"]);
    assert_eq!(ground.list("f/a").await.unwrap(), ["f/a/x", "f/a/y"]);
    assert_eq!(ground.list("f/c").await.unwrap(), ["f/c/d/"]);
    let folder = ground.stat("f/a").await.unwrap();
    assert_eq!((folder.kind, folder.size, folder.etag), (Kind::Folder, 0, None));
    assert_eq!(ground.stat("").await.unwrap().kind, Kind::Folder);
    assert_eq!(case(ground.list("f/none").await), "not-found");
    assert_eq!(case(ground.read("f/a").await), "rule");
    assert_eq!(case(ground.open("f/a", 0).await), "rule");
    assert_eq!(case(ground.delete("f/a").await), "rule");
    assert_eq!(ground.list("f/a").await.unwrap().len(), 2);
    if ground.real_folders {
        assert_eq!(case(ground.write("f/a", b"x", &Condition::Always).await), "rule");
        assert_eq!(case(ground.write("f/b/below", b"x", &Condition::Always).await), "rule");
        assert_eq!(case(ground.list("f/b").await), "not-found");
    }
    for cursor in ["a", "b", "c/", "zzz", "0"] {
        let page = ground.page("f", Some(cursor)).await.unwrap();
        let order = |entry: &remit_domain::data::files::Entry| {
            if entry.kind == Kind::Folder { format!("{}/", entry.path) } else { entry.path.clone() }
        };
        assert!(page.entries.iter().all(|entry| order(entry).as_str() > format!("f/{cursor}").as_str()), "{cursor}");
    }
    for bad in ["../a", "a/b/c", "a\n", "\0", "", "/", &"x".repeat(10_000)] {
        assert_eq!(case(ground.page("f", Some(bad)).await), "invalid", "{bad:?}");
    }
    for path in ["f/b", "f/a-b", "f/a/x", "f/a/y", "f/c/d/e", "f/a.txt"] {
        ground.delete(path).await.unwrap();
    }
}

/// Names that are tricks elsewhere are names here, each its own.
async fn names(ground: &Ground) {
    let names =
        ["%2e%2e", "a b", "q'uo\"te", "ünï", "e\u{301}", "\u{e9}", "x?y=z&a", "#", "+", "CASE", "case", "$(id)"];
    for name in names {
        ground.put(&format!("n/{name}"), name.as_bytes()).await;
    }
    for name in names {
        assert_eq!(ground.read(&format!("n/{name}")).await.unwrap(), name.as_bytes(), "{name}");
    }
    let mut sorted: Vec<String> = names.iter().map(|name| format!("n/{name}")).collect();
    sorted.sort();
    assert_eq!(ground.list("n").await.unwrap(), sorted);
    for name in names {
        ground.delete(&format!("n/{name}")).await.unwrap();
    }
}

async fn limits(ground: &Ground) {
    let too_large = vec![b'x'; (4 << 20) + 1];
    assert_eq!(case(ground.write("l/a", &too_large, &Condition::Always).await), "max-request-bytes");
    let whole = &too_large[..4 << 20];
    ground.put("l/a", whole).await;
    assert!(ground.read("l/a").await.unwrap() == whole);
    let mut writer = ground.create("l/b", &Condition::Always).await.unwrap();
    assert_eq!(case(ground.append(&mut writer, &too_large[..(1 << 20) + 1]).await), "max-chunk-bytes");
    ground.append(&mut writer, b"goes on").await.unwrap();
    assert_eq!(ground.finish(&mut writer).await.unwrap(), 7);
    ground.delete("l/a").await.unwrap();
    ground.delete("l/b").await.unwrap();
}
