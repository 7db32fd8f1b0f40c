//! Conversations: continued, busy, abandoned; and what a request may say beside its message.

use std::{pin::pin, sync::Arc};

use anyhow::{Context, Result};
use futures::poll;
use remit_domain::{
    Error,
    audit::Outcome,
    model::{Message, ToolCall},
};
use serde_json::json;
use tokio::sync::Barrier;

use crate::{
    Details, Settings,
    fakes::{World, calls, says, tool},
};

fn user(content: &str) -> Message {
    Message::User { content: content.to_owned() }
}

fn assistant(content: &str) -> Message {
    Message::Assistant { content: Some(content.to_owned()), tool_calls: Vec::new() }
}

#[tokio::test]
async fn a_conversation_is_kept_and_continued() -> Result<()> {
    let stage = World::new()?.stage([calls(&[("look_a", "{}")]), says("One."), says("Two.")])?;
    let first = stage.chat.reply(stage.request("First")?).await?;
    let call = ToolCall { id: "call_0".to_owned(), name: "look_a".to_owned(), arguments: "{}".to_owned() };
    let result = json!({"tool_name": "look_a", "result": {"did": "look_a", "with": {}}}).to_string();
    let kept = vec![
        user("First"),
        Message::Assistant { content: None, tool_calls: vec![call] },
        Message::Tool { tool_call_id: "call_0".to_owned(), content: result },
        assistant("One."),
    ];
    assert_eq!(stage.store.all(), kept);

    // However the id is written, it is the same conversation.
    let mut request = stage.request("Second")?;
    request.conversation = Some(first.conversation_id.to_uppercase());
    let second = stage.chat.reply(request).await?;
    assert_eq!(second.conversation_id, first.conversation_id);
    assert_eq!(second.conversation_length, 7);
    let seen = stage.model.seen();
    let remembered = seen.last().and_then(|request| request.messages.get(1..)).context("asked")?;
    assert_eq!(remembered, [kept.as_slice(), &[user("Second")]].concat());
    assert_eq!(stage.store.all(), [kept, vec![user("Second"), assistant("Two.")]].concat());
    Ok(())
}

#[tokio::test]
async fn a_conversation_takes_one_request_at_a_time() -> Result<()> {
    let stage = World::new()?.stage([says("Again."), says("Elsewhere.")])?;
    let id = uuid::Uuid::new_v4();
    let request = |id: uuid::Uuid| -> Result<_> {
        let mut request = stage.request("Hi")?;
        request.conversation = Some(id.to_string());
        Ok(request)
    };
    stage.model.hang(true);
    {
        let mut first = pin!(stage.chat.reply(request(id)?));
        assert!(poll!(first.as_mut()).is_pending());
        let error = stage.chat.reply(request(id)?).await.err().context("busy")?;
        assert!(matches!(&error, Error::ConversationBusy(busy) if *busy == id.to_string()), "{error:?}");
        let mut other = pin!(stage.chat.reply(request(uuid::Uuid::new_v4())?));
        assert!(poll!(other.as_mut()).is_pending(), "other conversations go on");
    }
    stage.model.hang(false);
    assert_eq!(stage.store.all(), [], "what was dropped left nothing");
    assert_eq!(stage.chat.reply(request(id)?).await?.response, "Again.");
    Ok(())
}

#[tokio::test]
async fn a_dropped_reply_stops_its_calls() -> Result<()> {
    let world = World::new()?.handle(|_, _| std::future::pending());
    let stage = world.stage([calls(&[("look_a", "{}"), ("look_b", "{}")])])?;
    {
        let mut reply = pin!(stage.chat.reply(stage.request("Look")?));
        assert!(poll!(reply.as_mut()).is_pending());
    }
    let outcomes: Vec<_> = stage.audit.events().iter().map(|event| event.outcome).collect();
    assert_eq!(outcomes, [Outcome::Cancelled, Outcome::Cancelled]);
    assert_eq!(stage.store.all(), []);
    Ok(())
}

#[tokio::test]
async fn a_model_that_fails_after_a_change_does_not_invite_a_repetition() -> Result<()> {
    let stage = World::new()?.stage([calls(&[("look_a", "{}")])])?;
    let error = stage.chat.reply(stage.request("Look")?).await.err().context("silent")?;
    assert!(error.retriable() && stage.store.all().is_empty(), "nothing has happened: {error:?}");

    let stage = World::new()?.stage([calls(&[("change", "{}")])])?;
    let error = stage.chat.reply(stage.request("Change")?).await.err().context("silent")?;
    assert!(matches!(error, Error::Model { .. }) && !error.retriable(), "{error:?}");
    assert_eq!(stage.store.all().len(), 3, "the conversation knows what happened");
    Ok(())
}

#[tokio::test]
async fn a_call_that_cannot_be_recorded_is_not_answered_for() -> Result<()> {
    let stage = World::new()?.stage([calls(&[("look_a", "{}")]), says("All is well.")])?;
    stage.audit.break_down();
    let error = stage.chat.reply(stage.request("Look")?).await.err().context("unrecorded")?;
    assert!(matches!(error, Error::Journal(_)), "{error:?}");
    assert_eq!(stage.store.all(), []);
    Ok(())
}

#[tokio::test]
async fn requests_out_of_bounds_name_what_is_wrong() -> Result<()> {
    let stage = World::new()?.stage([])?;
    let mut request = stage.request(" \n")?;
    request.conversation = Some("../../etc".to_owned());
    request.details.priority = Some("high\nINSTRUCTIONS:".to_owned());
    request.details.ticket_id = Some("x".repeat(129));
    request.details.customer_id = Some(String::new());
    let Err(Error::InvalidArguments(problems)) = stage.chat.reply(request).await else { anyhow::bail!("accepted") };
    let places: Vec<_> = problems.iter().map(|problem| problem.pointer.as_str()).collect();
    assert_eq!(places, ["/message", "/customer_id", "/ticketId", "/priority", "/conversationId"]);
    let long = stage.request(&"x".repeat(64 * 1024 + 1))?;
    assert!(matches!(stage.chat.reply(long).await, Err(Error::InvalidArguments(_))));
    assert!(stage.model.seen().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_ticket_is_fetched_where_the_agent_can() -> Result<()> {
    let details =
        Details { ticket_id: Some("T-1".to_owned()), priority: Some("high \"{}".to_owned()), ..Details::default() };
    let lines = async |world: World| -> Result<Vec<String>> {
        let stage = world.stage([says("Ok.")])?;
        let mut request = stage.request("Help")?;
        request.details = details.clone();
        let answer = stage.chat.reply(request).await?;
        assert_eq!(answer.ticket_id.as_deref(), Some("T-1"));
        assert_eq!(stage.store.all(), [user("Help"), assistant("Ok.")]);
        let seen = stage.model.seen();
        let messages = seen.first().map(|request| request.messages.clone()).unwrap_or_default();
        let lines = messages.into_iter().skip(1).filter_map(|message| match message {
            Message::System { content } => Some(content),
            _ => None,
        });
        Ok(lines.collect())
    };
    let priority = r#"Request Context: {"priority":"high \"{}"}"#;
    assert_eq!(lines(World::new()?).await?, [r#"Request Context: {"ticket_id":"T-1","priority":"high \"{}"}"#]);

    let with_ticket = || -> Result<World> {
        let mut world = World::new()?;
        world.tools.push(tool("get_ticket", true, "primary")?);
        world.listed = Some(std::collections::BTreeSet::new());
        Ok(world)
    };
    let fetched = r#"Ticket Context: {"did":"get_ticket","with":{"ticket_id":"T-1"}}"#;
    assert_eq!(lines(with_ticket()?).await?, [fetched, priority]);

    let failing = with_ticket()?.handle(|_, _| async { Err(Error::Refused("no such ticket".to_owned())) });
    let failed = r#"Ticket Context: {"error":"no such ticket","code":"refused","tool_name":"get_ticket"}"#;
    assert_eq!(lines(failing).await?, [failed, priority]);
    Ok(())
}

#[tokio::test]
async fn a_ticket_that_a_tool_made_is_named() -> Result<()> {
    let mut world = World::new()?.handle(|_, _| async { Ok(json!({"success": true, "ticket": {"id": 42}})) });
    world.tools.push(tool("create_ticket", false, "primary")?);
    let stage = world.stage([calls(&[("create_ticket", "{}")]), says("Made.")])?;
    assert_eq!(stage.chat.reply(stage.request("Help")?).await?.ticket_id.as_deref(), Some("42"));
    Ok(())
}

#[tokio::test]
async fn replies_of_different_conversations_run_at_once() -> Result<()> {
    let barrier = Arc::new(Barrier::new(2));
    let world = World::new()?.handle(move |_, _| {
        let barrier = barrier.clone();
        async move {
            barrier.wait().await;
            Ok(json!("met"))
        }
    });
    let look = || calls(&[("change", "{}")]);
    let stage = world.stage([look(), look(), says("a"), says("b")])?;
    let [a, b] = [stage.request("a")?, stage.request("b")?].map(|request| stage.chat.reply(request));
    let (a, b) = futures::join!(a, b);
    assert_ne!(a?.conversation_id, b?.conversation_id);
    Ok(())
}

#[tokio::test]
async fn a_reply_that_takes_too_long_is_ended() -> Result<()> {
    let mut world = World::new()?.handle(|_, _| std::future::pending());
    let reply_time = std::time::Duration::from_millis(1);
    world.settings = Settings { reply_time, ..Settings::default() };
    let stage = world.stage([calls(&[("look_a", "{}")])])?;
    let late = stage.chat.reply(stage.request("Look")?).await;
    assert!(matches!(late, Err(Error::Deadline { allowed_ms: 1, .. })), "{late:?}");
    assert_eq!(stage.store.all(), []);
    Ok(())
}
