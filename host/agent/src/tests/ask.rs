//! Questions of the host's own.

use anyhow::{Context as _, Result};
use remit_domain::{
    Error,
    agents::{Agents as _, Question},
};
use serde_json::{Map, json};

use crate::fakes::{World, calls, says};

fn question(schema: Option<serde_json::Value>) -> Question {
    Question { prompt: "How risky is order 7?".to_owned(), temperature: Some(0.2), schema }
}

fn risk() -> Option<serde_json::Value> {
    Some(json!({"type": "object", "properties": {"score": {"type": "number"}}, "required": ["score"]}))
}

fn fields(score: f64) -> Map<String, serde_json::Value> {
    Map::from_iter([("score".to_owned(), json!(score))])
}

#[tokio::test]
async fn an_answer_in_words_needs_no_form() -> Result<()> {
    let stage = World::new()?.stage([calls(&[("look_a", "{}")]), says("Not very.")])?;
    let reply = stage.chat.ask(&stage.request("x")?.caller, &question(None)).await?;
    assert_eq!((reply.text.as_str(), reply.fields, reply.tool_calls), ("Not very.", None, 1));
    let asked = stage.model.seen().pop().context("asked")?;
    assert_eq!((asked.temperature, asked.answer), (0.2, None));
    assert!(stage.store.all().is_empty(), "no conversation is kept");
    Ok(())
}

#[tokio::test]
async fn an_answer_of_a_wanted_form_is_checked_and_asked_for_once_more() -> Result<()> {
    let stage = World::new()?.stage([says("```json\n{\"score\": 0.2}\n```")])?;
    let reply = stage.chat.ask(&stage.request("x")?.caller, &question(risk())).await?;
    assert_eq!(reply.fields, Some(fields(0.2)));
    let stage = World::new()?.stage([says("Low."), says("{\"score\": 0.7}")])?;
    let reply = stage.chat.ask(&stage.request("x")?.caller, &question(risk())).await?;
    assert_eq!(reply.fields, Some(fields(0.7)));
    let seen = stage.model.seen();
    assert!(seen.iter().all(|request| request.answer == risk()));
    let told = seen.last().and_then(|request| request.messages.last()).context("told")?;
    assert!(format!("{told:?}").contains("not JSON"), "{told:?}");
    let stage = World::new()?.stage([says("{\"score\": \"low\"}"), says("{}")])?;
    let failed = stage.chat.ask(&stage.request("x")?.caller, &question(risk())).await.err().context("refused")?;
    assert!(matches!(&failed, Error::Model { reason, .. } if reason.contains("score")), "{failed:?}");
    Ok(())
}

#[tokio::test]
async fn what_is_no_schema_or_no_question_is_refused() -> Result<()> {
    let stage = World::new()?.stage([])?;
    let caller = stage.request("x")?.caller;
    let failed = stage.chat.ask(&caller, &question(Some(json!({"type": "thing"})))).await.err().context("refused")?;
    assert_eq!(failed.code(), "invalid_arguments");
    let long = Question { prompt: "x".repeat(300 * 1024), ..question(None) };
    assert_eq!(stage.chat.ask(&caller, &long).await.err().context("refused")?.code(), "invalid_arguments");
    assert!(stage.model.seen().is_empty());
    Ok(())
}
