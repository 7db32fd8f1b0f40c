//! Runs in the journal: kept whole, each tenant's alone, many at once.

use anyhow::{Context as _, Result};
use remit_domain::{
    access::Principal,
    execution::{Choice, Failure, Outcome},
};
use serde_json::json;

use super::*;

async fn journal() -> Result<(tempfile::TempDir, Journal)> {
    let folder = tempfile::tempdir()?;
    let journal = Journal::open(&format!("sqlite:{}", folder.path().join("j.db").display())).await?;
    Ok((folder, journal))
}

fn run(tenant: &str, key: Option<&str>) -> Result<Run> {
    Ok(Run {
        id: RunId::new(),
        tenant: TenantId::new(tenant)?,
        workflow: "w".to_owned(),
        digest: "00".to_owned(),
        definition: json!({"name": "w"}),
        inputs: json!({"n": 1}),
        context: json!({}),
        began: time::macros::datetime!(2026-11-23 10:00 UTC),
        key: key.map(str::to_owned),
        pins: ["tools@sha256:00".to_owned()].into(),
        by: Principal::anyone().asker(),
        origin: None,
    })
}

fn began(path: &str, attempt: u32) -> Entry {
    let at = time::macros::datetime!(2026-11-23 10:00:01 UTC);
    Entry::Began { path: path.to_owned(), attempt, at, input: json!({"a": "ü"}), until: None }
}

fn ended(path: &str) -> Entry {
    let at = time::macros::datetime!(2026-11-23 10:00:02 UTC);
    Entry::Ended { path: path.to_owned(), at, outcome: Outcome::Done(json!([1])) }
}

#[tokio::test]
async fn a_run_is_kept_with_all_it_did() -> Result<()> {
    let (_folder, journal) = journal().await?;
    let run = run("a", Some("k"))?;
    assert_eq!(journal.make(&run).await?, Made::New);
    let again = Run { id: RunId::new(), ..run.clone() };
    assert_eq!(journal.make(&again).await?, Made::Before(run.id.clone()));
    assert_eq!(journal.recorded(&run.id, "x").await?, Recorded::Nothing);
    journal.append(&run.id, &[began("x", 1)]).await?;
    assert_eq!(journal.recorded(&run.id, "x").await?, Recorded::Began { attempt: 1, until: None, resolved: None });
    journal.append(&run.id, &[ended("x"), began("y", 1)]).await?;
    assert_eq!(journal.recorded(&run.id, "x").await?, Recorded::Ended(Outcome::Done(json!([1]))));
    assert_eq!(journal.unfinished().await?, std::slice::from_ref(&run));
    let failure = Failure {
        code: "interrupted".to_owned(),
        message: "m".to_owned(),
        retriable: false,
        retry_after_ms: None,
        path: Some("y".to_owned()),
    };
    let end = End { status: Status::Interrupted, at: run.began, outputs: None, failure: Some(failure) };
    journal.end(&run.id, &[], &end).await?;
    assert_eq!(journal.find(&run.tenant, &run.id).await?.and_then(|standing| standing.end), Some(end));
    assert_eq!(journal.unfinished().await?, []);
    let decided = Entry::Resolved { path: "y".to_owned(), at: run.began, choice: Choice::Skip, by: "ada".to_owned() };
    journal.reopen(&run.id, std::slice::from_ref(&decided)).await?;
    let again = journal.reopen(&run.id, &[decided]).await;
    assert!(again.is_err_and(|error| error.code() == "execution_state"), "of two decisions one is late");
    assert_eq!(journal.unfinished().await?.len(), 1);
    assert_eq!(
        journal.recorded(&run.id, "y").await?,
        Recorded::Began { attempt: 1, until: None, resolved: Some(Choice::Skip) }
    );
    let entries = journal.entries(&run.id, 0, 100).await?;
    assert_eq!(entries.len(), 4);
    // What ended stays as it ended.
    let completed = End { status: Status::Completed, at: run.began, outputs: Some(json!({})), failure: None };
    journal.end(&run.id, &[], &completed).await?;
    assert!(!journal.cancelled(&run.id).await?);
    journal.append(&run.id, &[Entry::Cancelled { at: run.began, by: "ada".to_owned() }]).await?;
    assert!(journal.cancelled(&run.id).await?);
    let cancelled = End { status: Status::Cancelled, ..completed.clone() };
    journal.end(&run.id, &[], &cancelled).await?;
    assert_eq!(journal.find(&run.tenant, &run.id).await?.and_then(|standing| standing.end), Some(completed));
    let second = entries.get(1).context("two")?.0;
    assert_eq!(journal.entries(&run.id, second, 1).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_run_is_its_tenants_alone() -> Result<()> {
    let (_folder, journal) = journal().await?;
    let (one, other) = (run("a", Some("k"))?, run("b", Some("k"))?);
    assert_eq!(journal.make(&one).await?, Made::New);
    assert_eq!(journal.make(&other).await?, Made::New, "another tenant's key is another");
    assert_eq!(journal.find(&other.tenant, &one.id).await?, None);
    let third = run("a", None)?;
    journal.make(&third).await?;
    let all = journal.list(&one.tenant, &Filter::default(), 10).await?;
    assert_eq!(all.iter().map(|it| &it.run.id).collect::<Vec<_>>(), [&third.id, &one.id]);
    let before = Filter { before: Some(third.id.clone()), ..Filter::default() };
    assert_eq!(journal.list(&one.tenant, &before, 10).await?.len(), 1);
    let done = Filter { status: Some(Status::Completed), ..Filter::default() };
    assert_eq!(journal.list(&one.tenant, &done, 10).await?, []);
    let named = Filter { workflow: Some("other".to_owned()), ..Filter::default() };
    assert_eq!(journal.list(&one.tenant, &named, 10).await?, []);
    Ok(())
}

#[tokio::test]
async fn a_run_that_takes_over_begins_with_what_it_took() -> Result<()> {
    let (_folder, journal) = journal().await?;
    let first = run("a", None)?;
    journal.make(&first).await?;
    let origin = Origin { run: first.id.clone(), from: "y".to_owned() };
    let second = Run { origin: Some(origin), ..run("a", Some("k"))? };
    assert_eq!(journal.make_with(&second, &[began("x", 1), ended("x")]).await?, Made::New);
    assert_eq!(journal.recorded(&second.id, "x").await?, Recorded::Ended(Outcome::Done(json!([1]))));
    let again = Run { id: RunId::new(), ..second.clone() };
    assert_eq!(journal.make_with(&again, &[ended("z")]).await?, Made::Before(second.id.clone()));
    assert_eq!(journal.entries(&second.id, 0, 10).await?.len(), 2);
    let of_first = Filter { origin: Some(first.id.clone()), ..Filter::default() };
    let found = journal.list(&first.tenant, &of_first, 10).await?;
    assert_eq!(found.iter().map(|it| &it.run.origin).collect::<Vec<_>>(), [&second.origin]);
    assert_eq!(journal.find(&first.tenant, &first.id).await?.and_then(|standing| standing.run.origin), None);
    Ok(())
}

#[tokio::test]
async fn many_runs_at_once_lose_nothing() -> Result<()> {
    let (_folder, journal) = journal().await?;
    let runs: Vec<Run> = (0..20).map(|_| run("a", None)).collect::<Result<_>>()?;
    for run in &runs {
        journal.make(run).await?;
    }
    let journal = &journal;
    futures::future::try_join_all(runs.iter().map(|run| async move {
        for step in 0..20 {
            journal.append(&run.id, &[began(&format!("s{step}"), 1), ended(&format!("s{step}"))]).await?;
        }
        let end = End { status: Status::Completed, at: run.began, outputs: Some(json!({})), failure: None };
        journal.end(&run.id, &[], &end).await
    }))
    .await?;
    for run in &runs {
        assert_eq!(journal.entries(&run.id, 0, 1000).await?.len(), 40);
    }
    assert_eq!(journal.unfinished().await?, []);
    // An entry of a run that is not there is refused, and takes no other with it.
    let (nobody, entry) = (RunId::new(), [began("x", 1)]);
    let lost = journal.append(&nobody, &entry);
    let fine = journal.append(&runs.first().context("one")?.id, &entry);
    let (lost, fine) = tokio::join!(lost, fine);
    assert!(lost.is_err() && fine.is_ok());
    Ok(())
}
