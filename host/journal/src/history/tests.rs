//! Runs that go: what is counted, marked and removed, and what stays.

use remit_domain::{
    access::Principal,
    execution::{Choice, End, Entry, Executions as _, Failure, Filter, Made, Outcome, Run, Status, Stored},
};
use serde_json::json;
use time::{Duration, macros::datetime};

use super::*;

type Tested<T = ()> = Result<T, Box<dyn std::error::Error>>;

const NOW: OffsetDateTime = datetime!(2026-11-23 10:00 UTC);

async fn journal() -> Tested<(tempfile::TempDir, Journal)> {
    let folder = tempfile::tempdir()?;
    let journal = Journal::open(&format!("sqlite:{}", folder.path().join("j.db").display())).await?;
    Ok((folder, journal))
}

fn ended(path: &str, outcome: Outcome) -> Entry {
    Entry::Ended { path: path.to_owned(), at: NOW, outcome }
}

fn over(status: Status) -> End {
    let failure = Failure {
        code: "interrupted".to_owned(),
        message: "m".to_owned(),
        retriable: false,
        retry_after_ms: None,
        path: Some("a".to_owned()),
    };
    End { status, at: NOW, outputs: Some(json!({})), failure: (status == Status::Interrupted).then_some(failure) }
}

/// A run with some entries and a large output; `end`, if it has ended.
async fn made(journal: &Journal, tenant: &str, began: OffsetDateTime, end: Option<Status>) -> Tested<RunId> {
    let id = RunId::at(began).to_string();
    // Of one moment, and no two the same.
    let id = format!("{}{}", id.get(..24).unwrap_or_default(), RunId::new().as_str().get(24..).unwrap_or_default());
    let run = Run {
        id: RunId::parse(&id).ok_or("an id")?,
        tenant: TenantId::new(tenant)?,
        workflow: "w".to_owned(),
        digest: format!("of {tenant}"),
        definition: json!({"name": "w"}),
        inputs: json!({"n": 1}),
        context: json!({"agent": "sales"}),
        began,
        key: Some(id.clone()),
        pins: Default::default(),
        by: Principal::anyone().asker(),
        origin: None,
    };
    assert_eq!(journal.make(&run).await?, Made::New);
    let stored = Outcome::Stored(Stored { digest: Digest::of(id.as_bytes()), bytes: 1_000 });
    let entries = [ended("each[0].a", stored.clone()), ended("each[0]", stored), ended("b", Outcome::Skipped)];
    journal.append(&run.id, &entries).await?;
    if let Some(status) = end {
        journal.end(&run.id, &[ended("c", Outcome::Done(json!([1])))], &over(status)).await?;
    }
    Ok(run.id)
}

/// Removes all that is marked, and says which outputs went.
async fn swept(journal: &Journal, most: usize) -> Tested<Vec<Digest>> {
    let mut all = Vec::new();
    for _ in 0..1_000 {
        let doomed = journal.doomed(2).await?;
        let more = journal.sweep(&doomed, most).await?;
        all.extend(doomed.clone());
        if doomed.is_empty() && !more {
            return Ok(all);
        }
    }
    Err("it never ends".into())
}

#[tokio::test]
async fn what_runs_take_is_counted_from_their_end_to_their_removal() -> Tested {
    let (_folder, journal) = journal().await?;
    let (ours, theirs) = (TenantId::new("ours")?, TenantId::new("theirs")?);
    let open = made(&journal, "ours", NOW, None).await?;
    assert_eq!(journal.kept(&ours).await?, 0, "it goes on");
    let weight = journal.weight(&open).await?;
    assert!((1_100..2_000).contains(&weight), "its large output once: {weight}");
    assert!(!journal.discard(&ours, &open).await?, "nor can it be removed");
    journal.end(&open, &[], &over(Status::Interrupted)).await?;
    let kept = journal.kept(&ours).await?;
    assert_eq!(kept, journal.weight(&open).await?);
    // The end counts once, and not while it goes on.
    journal.end(&open, &[], &over(Status::Completed)).await?;
    assert_eq!(journal.kept(&ours).await?, kept);
    let decided = Entry::Resolved { path: "a".to_owned(), at: NOW, choice: Choice::Skip, by: "ada".to_owned() };
    journal.reopen(&open, &[decided]).await?;
    assert_eq!(journal.kept(&ours).await?, 0);
    journal.end(&open, &[], &over(Status::Completed)).await?;
    made(&journal, "theirs", NOW, Some(Status::Failed)).await?;
    assert!(journal.kept(&ours).await? > kept && journal.kept(&theirs).await? > 0);

    assert!(!journal.discard(&theirs, &open).await?, "it is another's");
    assert!(journal.discard(&ours, &open).await?);
    assert!(!journal.discard(&ours, &open).await?);
    assert_eq!((journal.kept(&ours).await?, journal.find(&ours, &open).await?), (0, None));
    assert_eq!(journal.list(&ours, &Filter::default(), 9).await?, []);
    let output = Digest::of(open.as_str().as_bytes());
    assert!(journal.names(&output).await?);
    assert_eq!(swept(&journal, 1).await?, std::slice::from_ref(&output));
    assert!(!journal.names(&output).await?);
    assert_eq!(journal.entries(&open, 0, 9).await?, []);
    let definitions: Vec<String> =
        sqlx::query_scalar("SELECT digest FROM definitions").fetch_all(&journal.readers).await?;
    assert_eq!(definitions, ["of theirs"], "nothing pins it any more");
    assert!(journal.kept(&theirs).await? > 0);
    // Its key begins another.
    let again = made(&journal, "ours", NOW, Some(Status::Completed)).await?;
    assert!(journal.find(&ours, &again).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn the_oldest_go_by_age_and_by_number_but_none_that_waits_for_a_person() -> Tested {
    let (_folder, journal) = journal().await?;
    let ours = TenantId::new("ours")?;
    let mut runs = Vec::new();
    for day in 0..10 {
        let status = if day == 1 { Status::Interrupted } else { Status::Completed };
        runs.push(made(&journal, "ours", NOW + Duration::days(day), Some(status)).await?);
    }
    let open = made(&journal, "ours", NOW, None).await?;
    let other = made(&journal, "theirs", NOW, Some(Status::Completed)).await?;
    let left = async || -> Tested<Vec<RunId>> {
        let listed = journal.list(&ours, &Filter::default(), 100).await?;
        Ok(listed.into_iter().map(|standing| standing.run.id).rev().collect())
    };
    let long_ago = NOW - Duration::days(365);
    assert_eq!(journal.expire(&ours, long_ago, 10, 100).await?, 0);
    // Those of the days 0 and 2; that of day 1 waits for somebody.
    assert_eq!(journal.expire(&ours, NOW + Duration::days(3), 10, 100).await?, 2);
    // In small batches, the oldest first.
    assert_eq!(journal.expire(&ours, long_ago, 5, 2).await?, 2);
    assert_eq!(journal.expire(&ours, long_ago, 5, 2).await?, 1);
    assert_eq!(journal.expire(&ours, long_ago, 5, 2).await?, 0);
    let expected: Vec<RunId> = [Some(&open), runs.get(1), runs.get(6), runs.get(7), runs.get(8), runs.get(9)]
        .into_iter()
        .flatten()
        .cloned()
        .collect();
    let mut found = left().await?;
    found.sort();
    let mut wanted = expected;
    wanted.sort();
    assert_eq!(found, wanted);
    assert_eq!(swept(&journal, 100).await?.len(), 5);
    assert!(journal.find(&TenantId::new("theirs")?, &other).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn runs_are_listed_by_agent_and_time_in_pages_that_do_not_shift() -> Tested {
    let (_folder, journal) = journal().await?;
    let ours = TenantId::new("ours")?;
    let mut runs = Vec::new();
    for day in 0..5 {
        runs.push(made(&journal, "ours", NOW + Duration::days(day), Some(Status::Completed)).await?);
    }
    let ids = async |filter: Filter, most| -> Tested<Vec<RunId>> {
        Ok(journal.list(&ours, &filter, most).await?.into_iter().map(|standing| standing.run.id).collect())
    };
    let at = |day: i64| Some(RunId::at(NOW + Duration::days(day)));
    let between = Filter { since: at(1), before: at(3), ..Filter::default() };
    let expected: Vec<RunId> = runs.get(1..3).unwrap_or_default().iter().rev().cloned().collect();
    assert_eq!(ids(between, 9).await?, expected);
    let agent = |name: &str| remit_domain::AgentName::new(name).ok();
    assert_eq!(ids(Filter { agent: agent("sales"), ..Filter::default() }, 9).await?.len(), 5);
    assert_eq!(ids(Filter { agent: agent("support"), ..Filter::default() }, 9).await?, []);
    let first = ids(Filter::default(), 2).await?;
    // One that begins meanwhile is on no later page.
    made(&journal, "ours", NOW + Duration::days(9), None).await?;
    let second = ids(Filter { before: first.last().cloned(), ..Filter::default() }, 9).await?;
    let all: Vec<RunId> = first.into_iter().chain(second).collect();
    assert_eq!(all, runs.into_iter().rev().collect::<Vec<_>>());
    let brief = journal.list(&ours, &Filter::default(), 1).await?;
    assert_eq!(brief.first().map(|it| it.run.context.clone()), Some(json!({"agent": "sales"})));
    Ok(())
}

#[tokio::test]
async fn writers_go_on_while_a_large_run_is_removed() -> Tested {
    let (_folder, journal) = journal().await?;
    let ours = TenantId::new("ours")?;
    let large = made(&journal, "ours", NOW, None).await?;
    let entries: Vec<Entry> = (0..5_000).map(|at| ended(&format!("each[{at}]"), Outcome::Skipped)).collect();
    journal.append(&large, &entries).await?;
    journal.end(&large, &[], &over(Status::Completed)).await?;
    assert!(journal.discard(&ours, &large).await?);
    let other = made(&journal, "ours", NOW, None).await?;
    let mut pieces = 0;
    loop {
        let doomed = journal.doomed(9).await?;
        if !journal.sweep(&doomed, 100).await? && doomed.is_empty() {
            break;
        }
        pieces += 1;
        // Between two pieces others have their turn.
        journal.append(&other, &[ended(&format!("s{pieces}"), Outcome::Skipped)]).await?;
    }
    assert!(pieces > 50, "{pieces}");
    assert_eq!(journal.entries(&other, 0, 10_000).await?.len(), pieces + 3);
    Ok(())
}
