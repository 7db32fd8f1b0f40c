//! Workflows that a chat is offered.

use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use remit_domain::{
    Error,
    agents::{Agents as _, Question},
    audit::Outcome,
    catalogue::Caller,
    model::Message,
    workflows::{Offer, Offered},
};
use serde_json::{Value, json};

use super::shown;
use crate::fakes::{World, calls, locked, says, tool};

/// Two workflows, of which one is called too long for a model's server.
#[derive(Default)]
struct Two(Mutex<Vec<(String, Value)>>);

#[async_trait]
impl Offered for Two {
    fn offers(&self, _: &Caller) -> Vec<Offer> {
        let offer = |name: String| Offer {
            name,
            description: Some("Checks\nan order".to_owned()),
            inputs: json!({"type": "object", "properties": {"n": {"type": "integer"}}}),
        };
        vec![offer("order-check".to_owned()), offer("x".repeat(56))]
    }

    async fn begin(&self, _: &Caller, name: &str, inputs: Value) -> Result<Value, Error> {
        locked(&self.0).push((name.to_owned(), inputs.clone()));
        if inputs.get("n") == Some(&json!(0)) {
            return Err(Error::UnknownWorkflow(name.to_owned()));
        }
        Ok(json!({"executionId": "e", "status": "completed", "outputs": {"ok": true}}))
    }
}

#[tokio::test]
async fn a_listed_workflow_is_a_tool_of_the_chat_and_on_record() -> Result<()> {
    let script = [
        calls(&[("workflow_order-check", r#"{"n": 1}"#), ("workflow_order-check", r#"{"n": 0}"#)]),
        calls(&[("workflow_other", "{}")]),
        says("Done."),
    ];
    let mut world = World::new()?;
    world.tools.push(tool("workflow_order-check", true, "primary")?);
    let stage = world.stage(script)?;
    let two = Arc::new(Two::default());
    stage.chat.offer(two.clone());
    let answer = stage.chat.reply(stage.request("Check")?).await?;
    assert_eq!(answer.tool_calls.iter().map(|call| call.ok).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(answer.tools_available, 3, "the plugin's tool of that name is not offered");
    assert_eq!(locked(&two.0).len(), 2);
    let seen = stage.model.seen();
    let first = seen.first().context("asked")?;
    let names: Vec<&str> = first.tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["look_a", "look_b", "change", "workflow_order-check"]);
    let offered = first.tools.last().context("offered")?;
    assert_eq!(offered.parameters.pointer("/properties/n/type"), Some(&json!("integer")));
    let Some(Message::System { content }) = first.messages.first() else { anyhow::bail!("no prompt") };
    assert!(content.contains("- workflow_order-check: Checks an order"), "{content}");
    assert_eq!(shown(&stage)?.first().and_then(|it| it.pointer("/result/outputs/ok")), Some(&json!(true)));
    let events = stage.audit.events();
    let became: Vec<(&str, Outcome)> = events.iter().map(|event| (event.name.as_str(), event.outcome)).collect();
    let expected = [
        ("workflow_order-check", Outcome::Ok),
        ("workflow_order-check", Outcome::Failed),
        ("workflow_other", Outcome::Failed),
    ];
    assert_eq!(became, expected);
    Ok(())
}

#[tokio::test]
async fn a_workflows_own_question_is_offered_none() -> Result<()> {
    let stage = World::new()?.stage([calls(&[("workflow_order-check", "{}")]), says("Done.")])?;
    let two = Arc::new(Two::default());
    stage.chat.offer(two.clone());
    let caller = stage.request("Check")?.caller;
    let question = Question { prompt: "Check".to_owned(), temperature: None, schema: None };
    stage.chat.ask(&caller, &question).await?;
    assert!(locked(&two.0).is_empty());
    let seen = stage.model.seen();
    assert!(seen.iter().flat_map(|asked| &asked.tools).all(|tool| !tool.name.starts_with("workflow_")));
    Ok(())
}
