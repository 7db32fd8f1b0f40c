//! The seals under attack: whoever can write the file, and has not the key, makes none that passes.

use super::*;

/// Somebody else's key.
fn stranger() -> SecretKey {
    SecretKey::from_seed(&[9; 32])
}

impl Log {
    /// Six rows in three segments; with `pruned`, the first one's are removed.
    async fn sealed(pruned: bool) -> Self {
        let log = Self::of(6).await;
        assert_eq!(log.seal(2).await, 3);
        if pruned {
            let gone = log.journal.prune(NOW + Duration::minutes(90), &key(), NOW).await.unwrap();
            assert_eq!(gone.through, 2);
        }
        assert_eq!(log.verify().await.map(|it| (it.last, it.sealed)), Ok((6, 6)));
        log
    }

    /// Changes a row, makes the chain anew from it, and the seals fit it; each with a signature of this key, or
    /// with the one that was there.
    async fn forge(&self, key: Option<&SecretKey>) {
        self.tamper("UPDATE audit SET outcome = 'denied' WHERE seq = 4").await;
        self.rechain().await;
        self.tamper_again(
            "UPDATE segments SET head = (SELECT hash FROM audit WHERE seq = last) WHERE removed IS NULL;
             UPDATE segments SET previous = (SELECT before.head FROM segments AS before
                 WHERE before.number = segments.number - 1) WHERE number > 1 AND removed IS NULL;",
        )
        .await;
        let Some(key) = key else { return };
        let mut outside = self.outside().await;
        let id = audit::identity(&mut outside).await.unwrap();
        for row in sqlx::query("SELECT * FROM segments").fetch_all(&mut outside).await.unwrap() {
            let segment = crate::Segment::read(&row).unwrap().signed(&id, key);
            sqlx::query("UPDATE segments SET seal = ? WHERE number = ? AND removed IS NULL")
                .bind(segment.seal.unwrap().to_string())
                .bind(segment.number)
                .execute(&mut outside)
                .await
                .unwrap();
        }
    }
}

#[tokio::test]
async fn every_field_of_every_seal_is_signed() {
    for pruned in [false, true] {
        for (column, value, fault) in [
            ("first", "first - 1", Fault::Seal { number: 3 }),
            ("last", "last + 1", Fault::Unsealed { number: 3 }),
            ("previous", "zeroblob(32)", Fault::Seal { number: 3 }),
            ("head", "zeroblob(32)", Fault::Unsealed { number: 3 }),
            ("since", "until", Fault::Unsealed { number: 3 }),
            ("until", "'2020-01-01T00:00:00.000000Z'", Fault::Unsealed { number: 3 }),
            ("sealed", "since", Fault::Unsealed { number: 3 }),
            ("number", "4", Fault::Seal { number: 4 }),
            ("seal", "NULL", Fault::Unsealed { number: 3 }),
            ("seal", "''", Fault::Unsealed { number: 3 }),
            ("seal", "(SELECT seal FROM segments WHERE number = 2)", Fault::Unsealed { number: 3 }),
            ("seal", "(SELECT signature FROM segments WHERE number = 1)", Fault::Unsealed { number: 3 }),
        ] {
            let log = Log::sealed(pruned).await;
            log.tamper(&format!("UPDATE segments SET {column} = {value} WHERE number = 3")).await;
            assert_eq!(log.fault().await, fault, "{column} = {value}");
        }
    }
    // Of one whose rows are gone, too, though its removal is signed.
    for (column, value) in [("since", "until"), ("until", "since"), ("sealed", "until"), ("seal", "NULL")] {
        let log = Log::sealed(true).await;
        log.tamper(&format!("UPDATE segments SET {column} = {value} WHERE number = 1")).await;
        assert_eq!(log.fault().await, Fault::Unsealed { number: 1 }, "{column}");
    }
    let log = Log::sealed(true).await;
    log.tamper("UPDATE segments SET removed = sealed || ' ' WHERE number = 1").await;
    assert_eq!(log.fault().await, Fault::Unsigned { number: 1, seq: 2 });
    // One signed by this host for another journal.
    let (log, other) = (Log::sealed(false).await, Log::sealed(false).await);
    let rows = "seq, form, at, request, call, tenant, actor, agent, door, action, subject, name, plugin, sources, \
                arguments, details, duration_us, outcome, code, hash";
    let file = other.folder.path().join("j.db").display().to_string();
    log.tamper(&format!(
        "ATTACH '{file}' AS other; DELETE FROM audit; DELETE FROM segments;
         INSERT INTO audit ({rows}) SELECT {rows} FROM other.audit; INSERT INTO segments SELECT * FROM other.segments"
    ))
    .await;
    assert_eq!(log.fault().await, Fault::Seal { number: 1 });
}

#[tokio::test]
async fn rows_and_seals_made_anew_without_the_key_do_not_pass() {
    for (pruned, number) in [(false, 1), (true, 2)] {
        let log = Log::sealed(pruned).await;
        log.forge(None).await;
        let fault = log.fault().await;
        // The first seal after the row that was changed; before it, nothing was.
        assert_eq!(fault, Fault::Unsealed { number: 2 }, "with the old signatures");

        let log = Log::sealed(pruned).await;
        log.forge(Some(&stranger())).await;
        assert_eq!(log.fault().await, Fault::Unsealed { number }, "with another key");

        // This host neither builds on them, nor removes what they speak for.
        log.tamper_again(
            "INSERT INTO audit (seq, at, request, call, tenant, actor, agent, door, action, subject, name,
             sources, arguments, duration_us, outcome, hash)
             SELECT 7, at, request, call, tenant, actor, agent, door, action, subject, name, sources, arguments,
             duration_us, outcome, hash FROM audit WHERE seq = 6",
        )
        .await;
        let full = Fullness { rows: 1, age: Duration::ZERO };
        let refused = log.journal.seal(full, &key(), NOW).await;
        assert!(matches!(refused, Err(Error::Unsealed { segment: 3 })), "{refused:?}");
        let refused = log.journal.prune(NOW + Duration::days(1), &key(), NOW).await;
        assert!(matches!(refused, Err(Error::Unsealed { segment }) if segment == number), "{refused:?}");

        // With the key it would pass: what is tested above is the key, and no slip in the forging.
        let log = Log::sealed(pruned).await;
        log.forge(Some(&key())).await;
        assert_eq!(log.verify().await.map(|it| it.last), Ok(6));
    }
}

#[tokio::test]
async fn a_seal_that_is_gone_shows_but_for_the_newest() {
    for pruned in [false, true] {
        let log = Log::sealed(pruned).await;
        log.tamper("DELETE FROM segments WHERE number = 1").await;
        assert_eq!(log.fault().await, Fault::Seal { number: 2 });
        let log = Log::sealed(pruned).await;
        log.tamper("DELETE FROM segments WHERE number = 2").await;
        assert_eq!(log.fault().await, Fault::Seal { number: 3 });
    }
    // All of them, where rows were removed: what the removal speaks for is gone with them.
    let log = Log::sealed(true).await;
    log.tamper("DELETE FROM segments").await;
    assert_eq!(log.fault().await, Fault::Removed { seq: 1, next: 3 });
    // The newest takes its testimony with it, which shows in what is said to be sealed, and by a checkpoint.
    let mut log = Log::sealed(true).await;
    log.checkpoint().await;
    log.tamper("DELETE FROM segments WHERE number = 3; UPDATE audit SET name = 'x' WHERE seq = 5").await;
    log.rechain().await;
    assert!(matches!(log.fault().await, Fault::Rewritten { seq: 6, .. }));
    log.checkpoints.clear();
    assert_eq!(log.verify().await.map(|it| (it.last, it.sealed)), Ok((6, 4)));
}

#[tokio::test]
async fn rows_that_do_not_fit_are_not_sealed() {
    for change in [
        "UPDATE audit SET outcome = 'denied' WHERE seq = 3",
        "DELETE FROM audit WHERE seq = 3",
        "DELETE FROM audit WHERE seq = 4",
    ] {
        let log = Log::of(6).await;
        assert_eq!(log.seal(2).await, 3);
        log.grow(6).await;
        log.tamper(&change.replace("= 3", "= 9").replace("= 4", "= 10")).await;
        let sealed = log.journal.seal(Fullness { rows: 2, age: Duration::ZERO }, &key(), NOW).await;
        assert!(matches!(sealed, Err(Error::Altered { segment: 5 })), "{change}: {sealed:?}");
    }
}

#[tokio::test]
async fn seals_from_before_they_were_signed_are_refused() {
    let log = Log::sealed(false).await;
    log.tamper(
        "ALTER TABLE segments DROP COLUMN seal; ALTER TABLE audit DROP COLUMN operations;
         DROP TABLE receipts; DROP TABLE outputs; DROP TABLE kept; DROP TABLE entries; DROP TABLE runs; DROP TABLE definitions;
         DROP TABLE workflow_versions; DROP TABLE workflows; DROP TABLE triggers; DROP TABLE deliveries;
         PRAGMA user_version = 5",
    )
    .await;
    log.tamper_again("CREATE TRIGGER segments_are_not_changed BEFORE UPDATE ON segments BEGIN SELECT 1; END").await;
    let again = Journal::open(&log.folder.path().join("j.db").display().to_string()).await.unwrap();
    let expected = Expected { key: Some(key().public()), checkpoints: Vec::new() };
    assert_eq!(again.verify(&expected).await.unwrap(), Err(Fault::Unsealed { number: 1 }));
    again.record(event("new", NOW)).await.unwrap();
    let refused = again.seal(Fullness { rows: 1, age: Duration::ZERO }, &key(), NOW).await;
    assert!(matches!(refused, Err(Error::Unsealed { segment: 3 })), "{refused:?}");
}

#[tokio::test]
async fn retention_removes_whole_old_segments_and_the_rest_still_verifies() {
    let mut log = Log::of(10).await;
    for segment in log.journal.seal(Fullness { rows: 3, age: Duration::days(1_000) }, &key(), NOW).await.unwrap() {
        let checkpoint = log.journal.checkpoint_of(&segment, &key(), NOW).await.unwrap();
        log.checkpoints.push((log.checkpoints.len() + 1, checkpoint));
    }
    log.checkpoint().await;
    // The newest row of the second segment is row 6, of five hours after the beginning.
    let old = |hours| NOW + Duration::hours(hours) + Duration::seconds(1);
    let pruned = log.journal.prune(old(4), &key(), NOW).await.unwrap();
    assert_eq!((pruned.segments, pruned.events, pruned.through), (1, 3, 3));
    let pruned = log.journal.prune(old(5), &key(), NOW).await.unwrap();
    assert_eq!((pruned.segments, pruned.through), (1, 6));
    assert_eq!(log.journal.events(&crate::Filter::default(), 100).await.unwrap().len(), 4);
    let found = log.verify().await.unwrap();
    assert_eq!((found.first, found.last, found.events, found.removed_segments), (7, 10, 4, 2));
    assert_eq!((found.checkpoints, found.checkpoints_of_removed), (2, 2));

    // All of it, and the log goes on where it was.
    assert_eq!(log.seal(1).await, 1);
    assert_eq!(log.journal.prune(old(100), &key(), NOW).await.unwrap().through, 10);
    assert_eq!(log.verify().await.map(|it| (it.events, it.last)), Ok((0, 10)));
    log.grow(2).await;
    log.checkpoint().await;
    let found = log.verify().await.unwrap();
    assert_eq!((found.first, found.last, found.events), (11, 12, 2));
    assert_eq!(log.checkpoints.last().unwrap().1.count, 2);

    let keyless = Expected { key: None, checkpoints: Vec::new() };
    assert_eq!(log.journal.verify(&keyless).await.unwrap(), Err(Fault::NoKey));
    let stranger = Expected { key: Some(SecretKey::from_seed(&[9; 32]).public()), checkpoints: Vec::new() };
    assert_eq!(log.journal.verify(&stranger).await.unwrap(), Err(Fault::Unsealed { number: 1 }));
}

#[tokio::test]
async fn a_removal_that_this_host_did_not_sign_shows() {
    let log = Log::of(6).await;
    assert_eq!(log.seal(2).await, 3);
    log.tamper(
        "UPDATE segments SET removed = sealed, signature = 'x' WHERE number = 1; DELETE FROM audit WHERE seq <= 2",
    )
    .await;
    assert_eq!(log.fault().await, Fault::Unsigned { number: 1, seq: 2 });

    // A signature that was made for another segment fits none but that.
    let log = Log::of(6).await;
    assert_eq!(log.seal(2).await, 3);
    log.journal.prune(NOW + Duration::hours(2), &key(), NOW).await.unwrap();
    log.tamper(
        "UPDATE segments SET (removed, signature) = (SELECT removed, signature FROM segments WHERE number = 1)
         WHERE number = 2; DELETE FROM audit WHERE seq <= 4",
    )
    .await;
    assert_eq!(log.fault().await, Fault::Unsigned { number: 2, seq: 4 });

    // A seal that says that its rows are old does not make this host remove them, nor does one that is another's.
    let log = Log::of(6).await;
    assert_eq!(log.seal(2).await, 3);
    log.tamper("UPDATE segments SET until = '1970-01-01T00:00:00.000000Z'").await;
    let refused = log.journal.prune(NOW - Duration::days(1), &key(), NOW).await;
    assert!(matches!(refused, Err(Error::Unsealed { segment: 1 })), "{refused:?}");
    let log = Log::of(6).await;
    log.seal(2).await;
    let refused = log.journal.prune(NOW + Duration::days(1), &stranger(), NOW).await;
    assert!(matches!(refused, Err(Error::Unsealed { segment: 1 })), "{refused:?}");
    assert_eq!(log.verify().await.map(|it| it.events), Ok(6));

    // Nor are rows removed that are not those that were sealed.
    log.tamper("UPDATE audit SET outcome = 'denied' WHERE seq = 1").await;
    log.rechain().await;
    let refused = log.journal.prune(NOW + Duration::days(1), &key(), NOW).await;
    assert!(matches!(refused, Err(Error::Altered { segment: 1 })), "{refused:?}");
    assert!(matches!(log.fault().await, Fault::Rewritten { seq: 2, .. }));
}

#[tokio::test]
async fn a_segment_is_full_by_rows_or_by_age() {
    let log = Log::of(5).await;
    let full = |rows, hours| Fullness { rows, age: Duration::hours(hours) };
    let seal = async |rows, hours, now| {
        let sealed = log.journal.seal(full(rows, hours), &key(), now).await.unwrap();
        sealed.iter().map(|segment| (segment.first, segment.last)).collect::<Vec<_>>()
    };
    assert_eq!(seal(10, 24, NOW).await, []);
    assert_eq!(seal(2, 24, NOW).await, [(1, 2), (3, 4)]);
    // The fifth row is of four hours after the beginning.
    assert_eq!(seal(2, 24, NOW + Duration::hours(27)).await, []);
    assert_eq!(seal(2, 24, NOW + Duration::hours(28)).await, [(5, 5)]);
    assert_eq!(seal(1, 0, NOW + Duration::hours(100)).await, []);
}
