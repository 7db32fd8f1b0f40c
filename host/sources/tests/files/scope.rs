//! What a mapping's `only.paths` leaves, on the host's disk: it is held before any keeper is asked.

use remit_domain::{data::files::Condition, source::Kind};

use crate::ground::{Ground, case};

async fn ground() -> (Ground, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::new(Kind::LocalFolder { path: folder.path().to_owned() }).await;
    for path in ["invoices/2026/a", "invoices/2025/a", "invoices2/a", "reports/b", "top", "deep/er/one/c", "deep/d"] {
        ground.put(path, b"x").await;
    }
    ground.only(&["invoices/2026", "/deep/er/", "top"]);
    (ground, folder)
}

#[tokio::test]
async fn what_is_not_listed_is_denied_whether_it_is_there_or_not() {
    let (ground, _folder) = ground().await;
    for path in ["invoices/2025/a", "invoices2/a", "reports/b", "deep/d", "none", "invoices", "top2", "INVOICES/2026/a"]
    {
        assert_eq!(case(ground.read(path).await), "denied", "{path}");
        assert_eq!(case(ground.open(path, 0).await), "denied", "{path}");
        assert_eq!(case(ground.write(path, b"y", &Condition::Always).await), "denied", "{path}");
        assert_eq!(case(ground.create(path, &Condition::Always).await), "denied", "{path}");
        assert_eq!(case(ground.delete(path).await), "denied", "{path}");
    }
    for path in ["invoices/2026/a", "deep/er/one/c", "top"] {
        assert_eq!(ground.read(path).await.unwrap(), b"x");
        ground.put(path, b"z").await;
    }
    ground.put("invoices/2026/new/one", b"y").await;
    ground.delete("invoices/2026/new/one").await.unwrap();
}

#[tokio::test]
async fn a_folder_above_shows_what_leads_on_and_nothing_else() {
    let (ground, _folder) = ground().await;
    assert_eq!(ground.list("").await.unwrap(), ["deep/", "invoices/", "top"]);
    assert_eq!(ground.list("invoices").await.unwrap(), ["invoices/2026/"]);
    assert_eq!(ground.list("invoices/2026").await.unwrap(), ["invoices/2026/a"]);
    assert_eq!(ground.list("deep").await.unwrap(), ["deep/er/"]);
    for path in ["invoices/2025", "invoices2", "reports", "none"] {
        assert_eq!(case(ground.list(path).await), "denied", "{path}");
        assert_eq!(case(ground.stat(path).await), "denied", "{path}");
    }
    assert_eq!(ground.stat("invoices").await.unwrap().path, "invoices");
    assert_eq!(case(ground.stat("invoices/2026/none").await), "not-found");
    // What leads on may be missing, and what lies in its place tells nothing.
    ground.only(&["reports/b/c", "missing/x"]);
    assert_eq!(ground.list("").await.unwrap(), ["reports/"]);
    assert_eq!(case(ground.stat("reports/b").await), "denied");
    assert_eq!(case(ground.stat("missing").await), "not-found");
    ground.only(&[]);
    assert_eq!(ground.list("").await.unwrap(), Vec::<String>::new());
    assert_eq!(case(ground.read("top").await), "denied");
}

#[tokio::test]
async fn a_mapping_that_is_narrowed_stops_a_writer() {
    let (ground, _folder) = ground().await;
    let mut writer = ground.create("top", &Condition::Always).await.unwrap();
    ground.append(&mut writer, b"one").await.unwrap();
    ground.only(&["reports"]);
    assert_eq!(case(ground.append(&mut writer, b"two").await), "denied");
    assert_eq!(case(ground.finish(&mut writer).await), "denied");
    drop(writer);
    ground.only(&["top"]);
    assert_eq!(ground.read("top").await.unwrap(), b"x");
}
