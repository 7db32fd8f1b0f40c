//! The contract on the host's own disk, and what is particular to it.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use remit_domain::{data::files::Condition, source::Kind};
use remit_sources::Settings;

use crate::{
    contract,
    ground::{Ground, case},
};

pub(crate) async fn disk(path: &Path) -> Ground {
    Ground::new(Kind::LocalFolder { path: path.to_owned() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_disk_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("not/there/yet");
    let ground = disk(&path).await;
    contract::all(&ground).await;
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    let left: Vec<_> = fs::read_dir(path.join(".remit-uploads")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn what_a_dead_host_left_goes_with_the_next_write_and_what_is_being_written_stays() {
    let folder = tempfile::tempdir().unwrap();
    let ground = disk(folder.path()).await;
    let mut writer = ground.create("a", &Condition::Always).await.unwrap();
    ground.append(&mut writer, b"going on").await.unwrap();
    let parts = folder.path().join(".remit-uploads");
    fs::write(parts.join("dead"), "left").unwrap();
    ground.put("b", b"x").await;
    let left: Vec<_> = fs::read_dir(&parts).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    // Nobody sees or names them.
    assert_eq!(ground.list("").await.unwrap(), ["b"]);
    for path in [".remit-uploads", ".remit-uploads/x"] {
        assert_eq!(case(ground.list(path).await), "invalid");
        assert_eq!(case(ground.write(path, b"x", &Condition::Always).await), "invalid");
        assert_eq!(case(ground.delete(path).await), "invalid");
    }
    ground.finish(&mut writer).await.unwrap();
    assert_eq!(ground.read("a").await.unwrap(), b"going on");
}

#[tokio::test]
async fn a_folder_holds_as_much_as_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { folder_bytes: 300_000, ..Settings::default() };
    let ground = Ground::with(Kind::LocalFolder { path: folder.path().to_owned() }, settings).await;
    ground.put("a", &[1; 200_000]).await;
    assert_eq!(case(ground.write("b", &[2; 200_000], &Condition::Always).await), "max-folder-bytes");
    let mut writer = ground.create("b", &Condition::Always).await.unwrap();
    ground.append(&mut writer, &[2; 50_000]).await.unwrap();
    assert_eq!(case(ground.append(&mut writer, &[2; 50_000]).await), "max-folder-bytes");
    assert_eq!(case(ground.finish(&mut writer).await), "invalid", "a file with a gap is no file");
    drop(writer);
    ground.put("b", &[3; 50_000]).await;
    ground.delete("a").await.unwrap();
    ground.put("c", &[4; 200_000]).await;
    ground.delete("c").await.unwrap();
    // Empty files and folders take room as well.
    let mut made = 0;
    while case(ground.write(&format!("d/{made}/e"), b"", &Condition::Always).await) == "ok" {
        made += 1;
        assert!(made < 80, "files without number");
    }
    assert!(made > 5, "{made}");
    // What others put there is seen once it matters.
    fs::remove_dir_all(folder.path().join("d")).unwrap();
    ground.put("f", &[5; 100_000]).await;
}

#[tokio::test]
async fn of_two_who_change_the_same_file_one_is_told() {
    let folder = tempfile::tempdir().unwrap();
    // Two sources of one folder, as a reload leaves them.
    let grounds = [disk(folder.path()).await, disk(folder.path()).await];
    let [one, other] = &grounds;
    one.put("counter", b"0").await;
    let add = async |ground: &Ground| {
        for _ in 0..25 {
            loop {
                let before = ground.stat("counter").await.unwrap();
                let number: u32 = String::from_utf8(ground.read("counter").await.unwrap()).unwrap().parse().unwrap();
                let when = Condition::Unchanged(before.etag.unwrap());
                if case(ground.write("counter", (number + 1).to_string().as_bytes(), &when).await) == "ok" {
                    break;
                }
            }
        }
    };
    tokio::join!(add(one), add(other));
    // A reader may have read a newer file than the etag is of, but then its write was refused.
    assert_eq!(one.read("counter").await.unwrap(), b"50");
    assert_eq!(one.list("").await.unwrap(), ["counter"]);
}

#[tokio::test]
async fn a_folder_with_many_files_is_listed_page_by_page() {
    let folder = tempfile::tempdir().unwrap();
    let ground = disk(folder.path()).await;
    for number in 0..5_000 {
        let path = folder.path().join(format!("{number:05}"));
        if number % 50 == 0 { fs::create_dir(&path).unwrap() } else { fs::write(&path, "").unwrap() }
    }
    let first = ground.page("", None).await.unwrap();
    assert_eq!((first.entries.len(), first.next.as_deref()), (1_000, Some("00999")));
    let all = ground.list("").await.unwrap();
    assert_eq!(all.len(), 5_000);
    assert!(all.is_sorted());
}

#[tokio::test]
async fn changes_in_place_change_the_etag() {
    let folder = tempfile::tempdir().unwrap();
    let ground = disk(folder.path()).await;
    let mut etags = std::collections::BTreeSet::new();
    for number in 0..200_u32 {
        // One length, one name, the same few inodes, as fast as it goes.
        assert!(etags.insert(ground.put("a", &number.to_le_bytes()).await.etag), "{number}");
    }
    let before = ground.stat("a").await.unwrap().etag;
    assert_eq!(ground.stat("a").await.unwrap().etag, before);
    fs::write(folder.path().join("a"), b"1234").unwrap();
    assert_ne!(ground.stat("a").await.unwrap().etag, before);
}
