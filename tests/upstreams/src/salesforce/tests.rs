//! Salesforce over the wire: queries, records, credentials and faults.

#![expect(clippy::indexing_slicing, reason = "a missing key of JSON reads as null, and a test may break")]

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{TOKEN, start};
use crate::client::{Answer, send};
use crate::{Fault, Running};

const BASE: &str = "/services/data/v57.0";

async fn organisation() -> Result<Running> {
    start(([127, 0, 0, 1], 0).into()).await
}

async fn ask(upstream: &Running, method: &str, path: &str, body: Option<Value>) -> Result<Answer> {
    let bearer = format!("Bearer {TOKEN}");
    send(upstream, method, &format!("{BASE}{path}"), &[("Authorization", &bearer)], body).await
}

async fn query(upstream: &Running, text: &str) -> Result<Value> {
    let text = text.replace('%', "%25").replace(' ', "+");
    ask(upstream, "GET", &format!("/query?q={text}"), None).await?.json()
}

#[tokio::test]
async fn answers_queries() -> Result<()> {
    let upstream = organisation().await?;
    let body = query(&upstream, "SELECT Id, Email FROM Contact WHERE Email = 'JOHN@acmecorp.com' LIMIT 1").await?;
    let id = body["records"][0]["Id"].as_str().context("no id")?;
    assert_eq!((id.len(), &id[..3]), (18, "003"));
    let url = format!("{BASE}/sobjects/Contact/{id}");
    assert_eq!(
        body,
        json!({
            "totalSize": 1,
            "done": true,
            "records": [{
                "attributes": { "type": "Contact", "url": url },
                "Id": id,
                "Email": "john@acmecorp.com",
            }],
        })
    );
    let body = query(&upstream, "SELECT Name FROM Account WHERE Name LIKE 'acme%'").await?;
    assert_eq!(body["records"][0]["Name"], "ACME Corp");
    let body = query(&upstream, "SELECT Status FROM Lead WHERE Company = 'ACME Corp'").await?;
    assert_eq!(body["totalSize"], 1);
    let body = query(&upstream, "SELECT Name FROM Contact ORDER BY Name DESC LIMIT 3").await?;
    assert_eq!(body["totalSize"], 3);
    Ok(())
}

#[tokio::test]
async fn refuses_bad_queries() -> Result<()> {
    let upstream = organisation().await?;
    for (text, code) in [
        ("SELECT Nope FROM Contact", "INVALID_FIELD"),
        ("SELECT Id FROM Opportunity", "INVALID_TYPE"),
        ("DELETE FROM Contact", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE Name = 'a' OR Name = 'b'", "MALFORMED_QUERY"),
    ] {
        let body = query(&upstream, text).await?;
        assert_eq!(body[0]["errorCode"], code, "{text}: {body}");
    }
    let answer = ask(&upstream, "GET", "/query", None).await?;
    assert_eq!((answer.status, &answer.json()?[0]["errorCode"]), (400, &json!("MALFORMED_QUERY")));
    Ok(())
}

#[tokio::test]
async fn records_tasks_for_contacts_that_exist() -> Result<()> {
    let upstream = organisation().await?;
    let found =
        query(&upstream, "SELECT Id FROM Contact WHERE Email = 'maria.alvarez@northwind-robotics.example'").await?;
    let contact = found["records"][0]["Id"].as_str().context("no contact")?;
    let task = json!({ "Subject": "Call", "Description": "Renewal", "WhoId": contact, "Status": "Completed" });
    let answer = ask(&upstream, "POST", "/sobjects/Task", Some(task)).await?;
    let body = answer.json()?;
    let id = body["id"].as_str().context("no id")?.to_owned();
    assert_eq!((answer.status, &body), (201, &json!({ "id": id, "success": true, "errors": [] })));
    let body = ask(&upstream, "GET", &format!("/sobjects/Task/{id}?fields=Subject,WhoId"), None).await?.json()?;
    assert_eq!((&body["Subject"], &body["WhoId"]), (&json!("Call"), &json!(contact)));
    assert!(body.get("Description").is_none());
    let short = id.get(..15).context("short id")?;
    assert_eq!(ask(&upstream, "GET", &format!("/sobjects/Task/{short}"), None).await?.status, 200);

    for (path, body, status, code) in [
        ("/sobjects/Task", json!({ "WhoId": "003000000000000AAA" }), 400, "INVALID_CROSS_REFERENCE_KEY"),
        ("/sobjects/Task", json!({ "WhoId": "../limits" }), 400, "MALFORMED_ID"),
        ("/sobjects/Task", json!({ "Colour": "red" }), 400, "INVALID_FIELD"),
        ("/sobjects/Task", json!(["no object"]), 400, "JSON_PARSER_ERROR"),
        ("/sobjects/Lead", json!({ "LastName": "X" }), 400, "REQUIRED_FIELD_MISSING"),
        ("/sobjects/Opportunity", json!({}), 404, "NOT_FOUND"),
    ] {
        let answer = ask(&upstream, "POST", path, Some(body)).await?;
        assert_eq!((answer.status, &answer.json()?[0]["errorCode"]), (status, &json!(code)), "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn changes_a_contact() -> Result<()> {
    let upstream = organisation().await?;
    let found = query(&upstream, "SELECT Id FROM Contact LIMIT 1").await?;
    let path = format!("/sobjects/Contact/{}", found["records"][0]["Id"].as_str().context("no contact")?);
    let answer = ask(&upstream, "PATCH", &path, Some(json!({ "LastName": "Stone" }))).await?;
    assert_eq!((answer.status, answer.text()), (204, ""));
    let body = ask(&upstream, "GET", &path, None).await?.json()?;
    assert!(body["Name"].as_str().is_some_and(|name| name.ends_with(" Stone")), "{body}");
    assert_eq!(ask(&upstream, "PATCH", &path, Some(json!({ "Id": "x" }))).await?.status, 400);
    assert_eq!(ask(&upstream, "GET", "/sobjects/Contact/003000000000000AAA", None).await?.status, 404);
    assert_eq!(ask(&upstream, "DELETE", &path, None).await?.status, 405);
    Ok(())
}

#[tokio::test]
async fn asks_for_a_session_and_counts_requests() -> Result<()> {
    let upstream = organisation().await?;
    let answer = send(&upstream, "GET", &format!("{BASE}/limits"), &[("Authorization", "Bearer no")], None).await?;
    let expired = json!([{ "message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID" }]);
    assert_eq!((answer.status, answer.json()?), (401, expired));
    let answer = ask(&upstream, "GET", "/limits", None).await?;
    assert_eq!(answer.json()?, json!({ "DailyApiRequests": { "Max": 15_000, "Remaining": 14_999 } }));
    assert_eq!(answer.header("sforce-limit-info"), Some("api-usage=1/15000"));
    Ok(())
}

#[tokio::test]
async fn faults_come_in_its_own_shape() -> Result<()> {
    let upstream = organisation().await?;
    upstream.faults().once(Fault::status(503));
    let answer = ask(&upstream, "GET", "/limits", None).await?;
    assert_eq!((answer.status, &answer.json()?[0]["errorCode"]), (503, &json!("SERVER_UNAVAILABLE")));
    Ok(())
}
