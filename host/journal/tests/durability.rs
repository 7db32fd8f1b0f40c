//! What was acknowledged is there after a kill -9.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use remit_domain::{
    AgentName, CallId, RequestId, TenantId,
    audit::{AuditLog, Door, Event, Outcome, Subject},
    conversation::{Conversations, Key},
    model::Message,
};
use remit_journal::{Filter, Journal};

/// Names the journal to a child, and makes this binary one.
const CHILD: &str = "REMIT_TEST_JOURNAL_OF_CHILD";
/// Tasks that write at once in the child.
const TASKS: usize = 8;

/// Runs itself as a child that writes without end and says what was acknowledged, kills it in the
/// middle of its writing, and looks for each acknowledged record.
#[test]
fn acknowledged_records_survive_a_kill() -> Result<()> {
    if let Some(path) = std::env::var_os(CHILD) {
        return write_without_end(Path::new(&path));
    }
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("journal.db");
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--exact", "acknowledged_records_survive_a_kill", "--nocapture"])
        .env(CHILD, &path)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("a pipe")?).lines();
    let mut calls = Vec::new();
    let mut turns: BTreeMap<String, usize> = BTreeMap::new();
    while let Some(line) = lines.next().transpose()? {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["event", call] => calls.push((*call).to_owned()),
            ["turn", task, turn] => drop(turns.insert((*task).to_owned(), turn.parse()?)),
            _ => {}
        }
        if calls.len() == 500 {
            // What is in the pipe by now was acknowledged too, so reading goes on to its end.
            child.kill()?;
        }
    }
    ensure!(!child.wait()?.success(), "the child ended by itself");
    ensure!(calls.len() >= 500, "the child acknowledged only {}", calls.len());

    tokio::runtime::Runtime::new()?.block_on(async {
        let journal = Journal::open(&path.display().to_string()).await?;
        let mut recorded = std::collections::BTreeSet::new();
        let mut filter = Filter::default();
        loop {
            let page = journal.events(&filter, Journal::MAX_EVENTS).await?;
            let Some(last) = page.last() else { break };
            filter.before = Some(last.seq);
            recorded.extend(page.into_iter().map(|row| row.call));
        }
        for call in &calls {
            ensure!(recorded.contains(call), "event {call} was acknowledged and is not there");
        }
        for (task, acknowledged) in turns {
            let messages = journal.load(&key(&task)?, usize::MAX).await?;
            ensure!(messages.len() > 2 * acknowledged + 1, "{task}: {} of {acknowledged} turns", messages.len());
            let expected: Vec<_> = (0..messages.len() / 2).flat_map(turn_of).collect();
            ensure!(messages == expected, "{task}: a turn is half there or out of order");
        }
        Ok(())
    })
}

fn write_without_end(path: &Path) -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let journal = Journal::open(&path.display().to_string()).await?;
        let tasks = (0..TASKS).map(|task| tokio::spawn(write_turns(journal.clone(), task.to_string())));
        for ended in futures::future::join_all(tasks).await {
            ended??;
        }
        Ok(())
    })
}

async fn write_turns(journal: Journal, task: String) -> Result<()> {
    let key = key(&task)?;
    for turn in 0.. {
        let event = event()?;
        let call = event.call;
        journal.record(event).await?;
        say(&format!("event {call}"))?;
        journal.append(&key, &turn_of(turn)).await?;
        say(&format!("turn {task} {turn}"))?;
    }
    Ok(())
}

fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    // A line of its own, whatever the test harness has printed without an end of line.
    write!(out, "\n{line}\n")?;
    Ok(out.flush()?)
}

fn turn_of(turn: usize) -> [Message; 2] {
    [
        Message::User { content: turn.to_string() },
        Message::Assistant { content: Some(format!("{turn}!")), tool_calls: vec![] },
    ]
}

fn key(task: &str) -> Result<Key> {
    Ok(Key { tenant: TenantId::new("techstart")?, agent: AgentName::new("sales")?, id: task.to_owned() })
}

fn event() -> Result<Event> {
    Ok(Event {
        at: time::OffsetDateTime::now_utc(),
        request: RequestId::random(),
        call: CallId::random(),
        tenant: TenantId::new("techstart")?,
        actor: "anyone".to_owned(),
        agent: AgentName::new("sales")?,
        door: Door::Chat,
        subject: Subject::Tool,
        name: "search_customers".to_owned(),
        plugin: None,
        sources: BTreeMap::new(),
        operations: Vec::new(),
        arguments: BTreeMap::new(),
        duration: Duration::from_millis(1),
        outcome: Outcome::Ok,
        code: None,
    })
}
