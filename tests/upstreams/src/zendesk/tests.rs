//! The account as a client sees it.
#![expect(clippy::indexing_slicing, reason = "tests")]

use anyhow::Result;

use super::*;
use crate::client::{Answer, send};

async fn ask(running: &Running, method: &str, target: &str, body: Option<Value>) -> Result<Answer> {
    let word = format!("Basic {}", STANDARD.encode(format!("{USER}/token:{TOKEN}")));
    send(running, method, target, &[("Authorization", &word)], body).await
}

#[tokio::test]
async fn tickets_are_found_made_and_changed() -> Result<()> {
    let running = start(([127, 0, 0, 1], 0).into()).await?;
    let found = ask(&running, "GET", "/api/v2/search.json?query=type:ticket+status%3Csolved+vibration", None).await?;
    assert_eq!((found.status, found.json()?["count"].as_u64()), (200, Some(1)));
    let new = json!({"ticket": {"subject": "S", "comment": {"body": "B"}, "priority": "high"}});
    let made = ask(&running, "POST", "/api/v2/tickets.json", Some(new)).await?;
    assert_eq!((made.status, made.json()?["ticket"]["id"].as_u64()), (201, Some(1013)));
    let change = json!({"ticket": {"status": "solved", "comment": {"body": "done", "public": false}}});
    let changed = ask(&running, "PUT", "/api/v2/tickets/1013", Some(change)).await?;
    assert_eq!(changed.json()?["ticket"]["status"], "solved");
    let comments = ask(&running, "GET", "/api/v2/tickets/1013/comments.json", None).await?;
    assert_eq!(comments.json()?["count"], 2);
    let wrong = json!({"ticket": {"status": "gone"}});
    assert_eq!(ask(&running, "PUT", "/api/v2/tickets/1013", Some(wrong)).await?.status, 422);
    assert_eq!(ask(&running, "GET", "/api/v2/tickets/9", None).await?.status, 404);
    assert_eq!(send(&running, "GET", "/api/v2/tickets.json", &[], None).await?.status, 401);
    Ok(())
}

#[tokio::test]
async fn pages_lead_to_the_end_by_number_and_by_cursor() -> Result<()> {
    let running = start(([127, 0, 0, 1], 0).into()).await?;
    for (first, next) in [("per_page=5", "/next_page"), ("page[size]=5", "/links/next")] {
        let (mut target, mut seen) = (format!("/api/v2/tickets.json?{first}"), 0);
        loop {
            let body = ask(&running, "GET", &target, None).await?.json()?;
            seen += body["tickets"].as_array().map_or(0, Vec::len);
            let Some(address) = body.pointer(next).and_then(Value::as_str) else { break };
            target = address.trim_start_matches(&running.url()).to_owned();
        }
        assert_eq!(seen, 12, "{first}");
    }
    let articles = ask(&running, "GET", "/api/v2/help_center/articles/search.json?query=API+401", None).await?;
    assert_eq!(articles.json()?["results"][0]["id"], 502);
    Ok(())
}
