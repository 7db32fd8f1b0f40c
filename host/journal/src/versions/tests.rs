//! Versions in a real file.

use remit_domain::{
    access::Principal,
    execution::{End, Run, RunId, Status},
};
use serde_json::json;
use time::macros::datetime;

use super::*;

type Tested = Result<(), Box<dyn std::error::Error>>;

const NOW: OffsetDateTime = datetime!(2026-01-01 12:00 UTC);

struct Fixture {
    _folder: tempfile::TempDir,
    journal: Journal,
    tenant: TenantId,
    plugin: PluginName,
}

impl Fixture {
    async fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let journal = Journal::open(&folder.path().join("remit.db").display().to_string()).await?;
        Ok(Self { _folder: folder, journal, tenant: TenantId::new("techstart")?, plugin: PluginName::new("tools")? })
    }

    fn upload(&self, bytes: &[u8]) -> Upload {
        Upload {
            tenant: self.tenant.clone(),
            plugin: self.plugin.clone(),
            digest: Digest::of(bytes),
            bytes: bytes.len() as u64,
            says: "0.1.0".to_owned(),
            at: NOW,
            by: "anyone".to_owned(),
            signer: None,
            offers: json!({"tools": []}),
        }
    }

    async fn add(&self, bytes: &[u8]) -> Result<(u32, bool), remit_domain::Error> {
        self.journal.add(&self.upload(bytes)).await.map(|(version, new)| (version.number, new))
    }

    async fn activate(&self, number: Option<u32>) -> Result<Switch, remit_domain::Error> {
        self.journal.activate(&self.tenant, &self.plugin, number, NOW).await
    }

    async fn remove(&self, number: u32) -> Result<Option<Digest>, remit_domain::Error> {
        self.journal.remove(&self.tenant, &self.plugin, number).await
    }

    /// Numbers, the newest first, the active one with its sign.
    async fn numbers(&self) -> Result<Vec<(u32, bool)>, remit_domain::Error> {
        let versions = self.journal.list(Some(&self.tenant), Some(&self.plugin)).await?;
        Ok(versions.iter().map(|version| (version.number, version.active)).collect())
    }
}

#[tokio::test]
async fn the_same_bytes_are_one_version_and_a_number_is_never_given_twice() -> Tested {
    let it = Fixture::new().await?;
    assert_eq!((it.add(b"a").await?, it.add(b"b").await?, it.add(b"a").await?), ((1, true), (2, true), (1, false)));
    assert_eq!(it.remove(2).await?, Some(Digest::of(b"b")));
    assert_eq!(it.add(b"b").await?, (3, true));
    assert_eq!(it.numbers().await?, [(3, false), (1, false)]);
    let whole = it.journal.list(None, None).await?;
    assert_eq!(whole.first().map(|version| &version.upload), Some(&it.upload(b"b")));
    Ok(())
}

#[tokio::test]
async fn activation_switches_and_finds_its_way_back() -> Tested {
    let it = Fixture::new().await?;
    assert!(matches!(it.activate(Some(1)).await, Err(remit_domain::Error::UnknownVersion { .. })));
    for bytes in [b"a", b"b", b"c"] {
        it.add(bytes).await?;
    }
    assert_eq!(it.activate(Some(1)).await?, Switch { from: None, to: Some(1) });
    assert_eq!(it.journal.before(&it.tenant, &it.plugin).await?, None, "there was none before");
    it.activate(Some(2)).await?;
    assert_eq!(it.activate(Some(2)).await?, Switch { from: Some(2), to: Some(2) }, "nothing to do");
    it.activate(Some(3)).await?;
    assert_eq!(it.numbers().await?, [(3, true), (2, false), (1, false)]);
    assert_eq!(it.journal.before(&it.tenant, &it.plugin).await?, Some(2));
    it.remove(2).await?;
    assert_eq!(it.journal.before(&it.tenant, &it.plugin).await?, Some(1), "what is gone is no way back");
    assert!(matches!(it.activate(Some(2)).await, Err(remit_domain::Error::UnknownVersion { .. })));
    assert_eq!(it.activate(None).await?, Switch { from: Some(3), to: None });
    assert_eq!(it.numbers().await?, [(3, false), (1, false)]);
    Ok(())
}

#[tokio::test]
async fn what_serves_is_not_removed_and_bytes_stay_while_anyone_has_them() -> Tested {
    let it = Fixture::new().await?;
    it.add(b"a").await?;
    it.activate(Some(1)).await?;
    let refused = it.remove(1).await;
    assert!(matches!(refused, Err(remit_domain::Error::VersionInUse { number: 1, by: InUse::Active, .. })));
    let other = TenantId::new("fashionboutique")?;
    it.journal.add(&Upload { tenant: other.clone(), ..it.upload(b"a") }).await?;
    it.activate(None).await?;
    assert_eq!(it.remove(1).await?, None, "another tenant has the same bytes");
    let missing = it.remove(1).await;
    assert!(matches!(missing, Err(remit_domain::Error::UnknownVersion { number: Some(1), .. })));
    assert_eq!(it.journal.remove(&other, &it.plugin, 1).await?, Some(Digest::of(b"a")));
    Ok(())
}

#[tokio::test]
async fn a_tenant_has_no_way_to_another_s_plugin() -> Tested {
    let it = Fixture::new().await?;
    it.add(b"a").await?;
    let other = TenantId::new("fashionboutique")?;
    assert!(it.journal.list(Some(&other), None).await?.is_empty());
    assert!(it.journal.activate(&other, &it.plugin, Some(1), NOW).await.is_err());
    assert!(it.journal.activate(&other, &it.plugin, None, NOW).await.is_err());
    assert!(it.journal.remove(&other, &it.plugin, 1).await.is_err());
    assert_eq!(it.numbers().await?, [(1, false)]);
    Ok(())
}

#[tokio::test]
async fn what_a_run_began_with_stays_until_that_has_ended() -> Tested {
    use remit_domain::execution::Executions as _;

    let it = Fixture::new().await?;
    for bytes in [b"a", b"b"] {
        it.add(bytes).await?;
    }
    it.activate(Some(2)).await?;
    let run = |tenant: &TenantId, bytes: &[u8]| Run {
        id: RunId::new(),
        tenant: tenant.clone(),
        workflow: "w".to_owned(),
        digest: "00".to_owned(),
        definition: json!({"name": "w"}),
        inputs: json!({}),
        context: json!({}),
        began: NOW,
        key: None,
        pins: [format!("tools@{}", Digest::of(bytes)), "crm@sha256:00".to_owned()].into(),
        by: Principal::anyone().asker(),
        origin: None,
    };
    let (run, strangers) = (run(&it.tenant, b"a"), run(&TenantId::new("fashionboutique")?, b"a"));
    it.journal.make(&strangers).await?;
    assert_eq!(it.journal.in_use(&it.tenant, &it.plugin, 1).await?, None, "another tenant's run pins nothing here");
    it.journal.make(&run).await?;
    let end = |status| End { status, at: NOW, outputs: None, failure: None };
    for status in [None, Some(Status::Interrupted)] {
        if let Some(status) = status {
            it.journal.end(&run.id, &[], &end(status)).await?;
        }
        let refused = it.remove(1).await;
        let pinned = matches!(refused, Err(remit_domain::Error::VersionInUse { number: 1, by: InUse::Pinned, .. }));
        assert!(pinned, "{status:?}: {refused:?}");
    }
    assert_eq!(it.journal.in_use(&it.tenant, &it.plugin, 2).await?, Some(InUse::Active));
    it.journal.reopen(&run.id, &[]).await?;
    it.journal.end(&run.id, &[], &end(Status::Completed)).await?;
    assert_eq!(it.remove(1).await?, Some(Digest::of(b"a")));
    Ok(())
}
