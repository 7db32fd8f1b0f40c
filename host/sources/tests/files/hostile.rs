//! Ways out of a folder on the host's disk, and things in it that are no files.

use std::{
    fs,
    os::unix::{fs::symlink, net::UnixListener},
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
};

use remit_domain::data::files::Condition;

use crate::{
    ground::{case, drain},
    local::disk,
};

const SECRET: &[u8] = b"canary of another tenant";

/// Every operation on a path comes to nothing.
async fn closed(ground: &crate::ground::Ground, path: &str, expected: &[&str]) {
    let told = [
        case(ground.read(path).await),
        case(ground.open(path, 0).await),
        case(ground.stat(path).await),
        case(ground.list(path).await),
        case(ground.delete(path).await),
        case(ground.write(path, b"hostile", &Condition::Always).await),
        case(ground.write(path, b"hostile", &Condition::Absent).await),
        case(ground.create(path, &Condition::Always).await),
    ];
    assert!(told.iter().all(|told| expected.contains(told)), "{path:?}: {told:?}");
}

#[tokio::test]
async fn no_path_leads_out() {
    let outer = tempfile::tempdir().unwrap();
    fs::write(outer.path().join("secret"), SECRET).unwrap();
    let ground = disk(&outer.path().join("inside")).await;
    ground.put("a/b", b"x").await;
    let absolute = outer.path().join("secret").display().to_string();
    for path in [
        "../secret",
        "..",
        "a/../../secret",
        "a/..",
        "./a/b",
        "a//b",
        "a/b/",
        "/a/b",
        absolute.as_str(),
        "a\\..\\b",
        "..\\secret",
        "../secret\0.txt",
        "a/b\0",
        "a/\u{1}b",
        "/proc/self/environ",
        ".",
        "a/./b",
    ] {
        closed(&ground, path, &["invalid"]).await;
    }
    for path in ["%2e%2e/secret", "%2e%2e%2fsecret", "..%2fsecret", "..%c0%afsecret", "....//secret", "．．/secret"] {
        let told = case(ground.read(path).await);
        assert!(["not-found", "invalid"].contains(&told), "{path}: {told}");
    }
    assert_eq!(fs::read(outer.path().join("secret")).unwrap(), SECRET);
}

#[tokio::test]
async fn links_are_not_followed_whichever_way_they_lead() {
    let outer = tempfile::tempdir().unwrap();
    let inside = outer.path().join("inside");
    fs::create_dir_all(outer.path().join("other")).unwrap();
    fs::write(outer.path().join("other/secret"), SECRET).unwrap();
    let ground = disk(&inside).await;
    ground.put("real/file", b"x").await;
    symlink("../other/secret", inside.join("out")).unwrap();
    symlink(outer.path().join("other"), inside.join("folder")).unwrap();
    symlink("real/file", inside.join("within")).unwrap();
    symlink("real", inside.join("within-folder")).unwrap();
    symlink("loop", inside.join("loop")).unwrap();
    symlink("nowhere", inside.join("dangling")).unwrap();
    symlink("/proc/self/root", inside.join("magic")).unwrap();
    for path in
        ["out", "folder", "folder/secret", "within", "within-folder/file", "loop", "dangling", "magic/etc/passwd"]
    {
        closed(&ground, path, &["not-found", "rule", "conflict"]).await;
    }
    assert_eq!(ground.list("").await.unwrap(), ["real/"]);
    assert_eq!(fs::read(outer.path().join("other/secret")).unwrap(), SECRET);
    assert_eq!(fs::read_dir(outer.path().join("other")).unwrap().count(), 1);
    assert!(fs::symlink_metadata(inside.join("out")).unwrap().is_symlink(), "what is the operator's stays");
}

#[tokio::test]
async fn hard_links_fifos_sockets_and_devices_are_no_files() {
    let outer = tempfile::tempdir().unwrap();
    let inside = outer.path().join("inside");
    fs::create_dir_all(&inside).unwrap();
    fs::write(outer.path().join("secret"), SECRET).unwrap();
    fs::hard_link(outer.path().join("secret"), inside.join("hard")).unwrap();
    assert!(Command::new("mkfifo").arg(inside.join("fifo")).status().unwrap().success());
    let _socket = UnixListener::bind(inside.join("socket")).unwrap();
    // Only root can make one; elsewhere the others must do.
    let device = Command::new("mknod").arg(inside.join("device")).args(["c", "1", "5"]).output().unwrap();
    let ground = disk(&inside).await;
    let mut names = vec!["hard", "fifo", "socket"];
    if device.status.success() {
        names.push("device");
    }
    for name in names {
        closed(&ground, name, &["not-found", "rule", "conflict"]).await;
    }
    assert_eq!(ground.list("").await.unwrap(), Vec::<String>::new());
    assert_eq!(fs::read(outer.path().join("secret")).unwrap(), SECRET);
}

/// Somebody beside the host puts a link in the place of a file, and of a folder above one, again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_swapped_meanwhile_is_not_followed() {
    let outer = tempfile::tempdir().unwrap();
    let inside = outer.path().join("inside");
    let other = outer.path().join("other");
    fs::create_dir_all(inside.join("folder")).unwrap();
    fs::create_dir_all(&other).unwrap();
    fs::write(other.join("file"), SECRET).unwrap();
    fs::write(inside.join("folder/file"), b"mine").unwrap();
    let ground = disk(&inside).await;
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| swap(&inside, &other, &ended));
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                for _ in 0..400 {
                    for path in ["folder/file", "swapped", "real"] {
                        if let Ok(bytes) = ground.read(path).await {
                            assert_ne!(bytes, SECRET, "{path} was followed");
                        }
                        if let Ok(reader) = ground.open(path, 0).await {
                            assert_ne!(drain(reader, 100).await, SECRET, "{path} was followed");
                        }
                    }
                    let _either = ground.write("folder/new", b"hostile", &Condition::Always).await;
                    let _either = ground.write("swapped", b"mine", &Condition::Always).await;
                    let _either = ground.delete("folder/file").await;
                    if let Ok(entries) = ground.list("folder").await {
                        assert!(!entries.contains(&"folder/secret".to_owned()));
                    }
                }
            });
        });
        ended.store(true, Ordering::Release);
    });
    let left: Vec<_> = fs::read_dir(&other).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["file"], "nothing was written or deleted outside");
    assert_eq!(fs::read(other.join("file")).unwrap(), SECRET);
}

fn swap(inside: &Path, other: &Path, ended: &AtomicBool) {
    let away = inside.join("away");
    while !ended.load(Ordering::Acquire) {
        // Each step may meet what the host just did.
        let _file = fs::write(inside.join("real"), b"mine");
        let _file = fs::remove_file(inside.join("real"));
        let _link = symlink(other.join("file"), inside.join("real"));
        let _link = symlink(other.join("file"), inside.join("next"));
        let _link = fs::rename(inside.join("next"), inside.join("swapped"));
        let _folder = fs::rename(inside.join("folder"), &away);
        let _link = symlink(other, inside.join("folder"));
        let _link = fs::remove_file(inside.join("folder"));
        let _folder = fs::rename(&away, inside.join("folder"));
        let _file = fs::remove_file(inside.join("real"));
    }
}

#[tokio::test]
async fn a_file_of_ten_gigabytes_is_read_in_pieces_and_not_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let ground = disk(folder.path()).await;
    let sparse = fs::File::create(folder.path().join("sparse")).unwrap();
    sparse.set_len(10 << 30).unwrap();
    assert_eq!(case(ground.read("sparse").await), "max-read-bytes");
    assert_eq!(ground.stat("sparse").await.unwrap().size, 10 << 30);
    let mut reader = ground.open("sparse", (10 << 30) - 5).await.unwrap();
    assert_eq!(reader.read(1 << 20).await.unwrap().unwrap(), [0; 5]);
    assert_eq!(reader.read(1 << 20).await.unwrap(), None);
    // Holes take no room: something can still be written beside it.
    ground.put("small", b"x").await;
}

#[tokio::test]
async fn names_that_no_path_can_have_are_not_listed() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = tempfile::tempdir().unwrap();
    let ground = disk(folder.path()).await;
    for name in [b"bad\xff".as_slice(), b"new\nline", b"back\\slash", b"esc\x1b", b"good"] {
        fs::write(folder.path().join(std::ffi::OsStr::from_bytes(name)), "").unwrap();
    }
    assert_eq!(ground.list("").await.unwrap(), ["good"]);
}

#[tokio::test]
async fn only_so_many_streams_are_open_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let settings = remit_sources::Settings {
        acquire_timeout: std::time::Duration::from_millis(20),
        ..remit_sources::Settings::default()
    };
    let kind = remit_domain::source::Kind::LocalFolder { path: folder.path().to_owned() };
    let ground = crate::ground::Ground::with(kind, settings).await;
    ground.put("a", b"x").await;
    let mut open = Vec::new();
    for _ in 0..16 {
        open.push(ground.open("a", 0).await.unwrap());
    }
    assert_eq!(case(ground.open("a", 0).await), "throttled");
    assert_eq!(case(ground.create("b", &Condition::Always).await), "throttled");
    assert_eq!(ground.read("a").await.unwrap(), b"x", "what is not a stream goes on");
    open.pop();
    assert!(ground.open("a", 0).await.is_ok());
}
