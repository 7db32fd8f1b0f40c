//! One tenant's records among those of others.

use std::collections::BTreeMap;

use remit_domain::{
    AgentName, PluginName, SourceName,
    access::{Key, KeyId, Keys, Principal, Role, Token},
    conversation::{self, Conversations},
    data::notify::{Receipted, Receipts as _},
    execution::{Entry, Executions, Outcome, Run, RunId, Stored},
    library::{Upload, Versions},
    model::Message,
    usage::{Meter, Owner, Quotas, Tallies as _, Tally},
    workflows::{Bounds, Definition, Definitions, Delivery, Trigger, TriggerKey},
};
use serde_json::Value;
use time::macros::datetime;

use super::*;

type Tested<T = ()> = Result<T, Box<dyn std::error::Error>>;

const NOW: time::OffsetDateTime = datetime!(2026-03-01 12:00 UTC);
const CANARY: &str = "a word that nobody else says";

/// A conversation, a key, a plugin in two versions and some use.
async fn settle(journal: &Journal, tenant: &str, bytes: &[&[u8]]) -> Tested<KeyId> {
    let tenant = TenantId::new(tenant)?;
    let key = conversation::Key { tenant: tenant.clone(), agent: AgentName::new("sales")?, id: "c".to_owned() };
    Conversations::append(journal, &key, &[Message::User { content: format!("{CANARY} of {tenant}") }]).await?;
    let token = Token::random()?;
    let key = Key {
        id: token.id().clone(),
        tenant: Some(tenant.clone()),
        role: Role::Agent,
        agents: None,
        label: None,
        created: NOW,
        expires: None,
        revoked: None,
        quotas: Quotas::NONE,
    };
    Keys::add(journal, &key, &token.digest()).await?;
    let plugin = PluginName::new("crm")?;
    for (at, bytes) in bytes.iter().enumerate() {
        let upload = Upload {
            tenant: tenant.clone(),
            plugin: plugin.clone(),
            digest: Digest::of(bytes),
            bytes: bytes.len() as u64,
            says: format!("1.0.{at}"),
            at: NOW,
            by: "anyone".to_owned(),
            signer: None,
            offers: serde_json::json!({ "tools": [] }),
        };
        Versions::add(journal, &upload).await?;
    }
    journal.activate(&tenant, &plugin, Some(1), NOW).await?;
    let run = Run {
        id: RunId::new(),
        tenant: tenant.clone(),
        workflow: "w".to_owned(),
        digest: "00".to_owned(),
        definition: serde_json::json!({"name": "w"}),
        inputs: serde_json::json!({"text": format!("{CANARY} of {tenant}")}),
        context: serde_json::json!({}),
        began: NOW,
        key: None,
        pins: Default::default(),
        by: Principal::anyone().asker(),
        origin: None,
    };
    journal.make(&run).await?;
    let signal = Entry::Signalled { name: "go".to_owned(), at: NOW, payload: Value::Null, by: None };
    Executions::append(journal, &run.id, &[signal]).await?;
    let stored = Outcome::Stored(Stored { digest: Digest::of(tenant.as_str().as_bytes()), bytes: 7 });
    let large = Entry::Ended { path: "a".to_owned(), at: NOW, outcome: stored };
    Executions::append(journal, &run.id, &[large]).await?;
    let definition = Definition {
        tenant: tenant.clone(),
        name: "w".to_owned(),
        digest: "00".to_owned(),
        source: format!("name: w # {CANARY} of {tenant}"),
        file: None,
        at: NOW,
        by: "anyone".to_owned(),
    };
    Definitions::store(journal, &definition, Bounds { names: 1, versions: 1 }).await?;
    let trigger = Trigger {
        key: TriggerKey { tenant: tenant.clone(), workflow: "w".to_owned(), trigger: "daily".to_owned() },
        rule: "0 9 * * *".to_owned(),
        paused: true,
        handled: NOW,
        due: None,
        last: None,
        run: None,
        problem: Some(format!("{CANARY} of {tenant}")),
    };
    journal.keep_trigger(&trigger).await?;
    let delivery = Delivery {
        tenant: tenant.clone(),
        workflow: "w".to_owned(),
        proof: "00".to_owned(),
        word: format!("{CANARY} of {tenant}"),
        at: NOW,
    };
    journal.delivered(&delivery, NOW).await?;
    let used = |owner| Tally { owner, day: NOW.date(), meter: Meter::Calls, used: 3 };
    journal.keep(&[used(Owner::Tenant(tenant.clone())), used(Owner::Key(key.id.clone()))]).await?;
    let message = Receipted { tenant, channel: SourceName::new("email")?, digest: [7; 32] };
    journal.begin(&message, NOW, NOW - time::Duration::DAY).await?;
    Ok(key.id)
}

async fn lines(journal: &Journal, tenant: &str) -> Tested<BTreeMap<&'static str, Vec<Value>>> {
    let mut parts: BTreeMap<_, Vec<Value>> = BTreeMap::new();
    journal
        .export(&TenantId::new(tenant)?, |part, line| {
            let line = serde_json::from_str(line).map_err(Error::Record)?;
            parts.entry(part).or_default().push(line);
            Ok::<(), Error>(())
        })
        .await?;
    Ok(parts)
}

#[tokio::test]
async fn a_tenant_is_given_out_whole_and_forgotten_without_a_trace_and_no_other() -> Tested {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("remit.db");
    let journal = Journal::open(&path.display().to_string()).await?;
    let own = settle(&journal, "ours", &[b"shared", b"own"]).await?;
    settle(&journal, "theirs", &[b"shared"]).await?;

    let ours = lines(&journal, "ours").await?;
    let counts: Vec<_> = ours.iter().map(|(part, lines)| (*part, lines.len())).collect();
    let expected = [
        ("activations", 1),
        ("conversations", 1),
        ("definitions", 1),
        ("deliveries", 1),
        ("entries", 2),
        ("keys", 1),
        ("messages", 1),
        ("outputs", 1),
        ("plugins", 2),
        ("receipts", 1),
        ("runs", 1),
        ("triggers", 1),
        ("usage", 2),
        ("workflows", 1),
    ];
    assert_eq!(counts, expected);
    let text = serde_json::to_string(&ours)?;
    assert!(text.contains("ours") && !text.contains("theirs"), "{text}");
    let first = |part: &str| ours.get(part).and_then(|lines| lines.first()).cloned().unwrap_or_default();
    assert_eq!(first("keys").get("id").and_then(Value::as_str), Some(own.as_str()));
    assert!(first("keys").get("digest").is_none(), "nothing that lets anybody in");
    assert_eq!(first("plugins").get("active"), Some(&Value::Bool(true)));
    assert_eq!(first("messages").pointer("/message/role"), Some(&Value::from("user")));

    let forgotten = journal.forget(&TenantId::new("ours")?).await?;
    let removed = [
        ("messages", 1),
        ("conversations", 1),
        ("outputs", 1),
        ("entries", 2),
        ("runs", 1),
        ("definitions", 1),
        ("deliveries", 1),
        ("triggers", 1),
        ("workflows", 1),
        ("usage", 2),
        ("keys", 1),
        ("receipts", 1),
        ("activations", 1),
        ("plugins", 2),
    ];
    assert_eq!(forgotten.records, removed);
    assert_eq!((forgotten.components, forgotten.audit), (vec![Digest::of(b"own")], 0), "shared bytes stay");
    assert_eq!(forgotten.outputs, [Digest::of(b"ours")]);
    assert_eq!(lines(&journal, "ours").await?, BTreeMap::new());
    assert_eq!(lines(&journal, "theirs").await?.len(), expected.len());
    let again = journal.forget(&TenantId::new("ours")?).await?;
    assert!(again.records.iter().all(|(_, count)| *count == 0) && again.components.is_empty());
    journal.close().await;
    let bytes = std::fs::read(&path)?;
    let holds = |text: String| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds(format!("{CANARY} of theirs")) && !holds(format!("{CANARY} of ours")), "not even in the file");
    Ok(())
}
