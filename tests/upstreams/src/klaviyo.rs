//! Klaviyo's API: campaigns and their figures, profiles, lists, and the account.
//!
//! State begins with a shop's third quarter. It lacks flows, templates and sending; filters are those of
//! `equals` on one field.

use std::net::SocketAddr;

use anyhow::Result;
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use crate::asked::{Asked, serve};
use crate::running::Running;

/// The private key of the account.
pub const TOKEN: &str = "pk_demo_fashion";
/// How many entries stand on a page that asks for no size.
const PAGE: usize = 20;

/// Starts an account; port 0 takes a free one.
///
/// # Errors
/// When the address cannot be bound or is not loopback.
pub async fn start(addr: SocketAddr) -> Result<Running> {
    serve(addr, Account::default(), answer, fault).await
}

/// Name, status, sent to, opened, clicked, revenue in dollars.
const CAMPAIGNS: [(&str, &str, u32, u32, u32, u32); 6] = [
    ("Q3 Summer Wedding Lookbook", "Sent", 12_400, 5_208, 992, 18_650),
    ("Q3 Mid-Season Sale", "Sent", 18_900, 6_237, 1_512, 31_420),
    ("Q3 Back to Office", "Sent", 17_250, 4_830, 690, 9_780),
    ("Q3 Loyalty Preview", "Sent", 4_100, 2_501, 738, 14_300),
    ("Q4 Holiday Teaser", "Scheduled", 0, 0, 0, 0),
    ("Q4 Gift Guide", "Draft", 0, 0, 0, 0),
];

/// How many profiles there are at the beginning.
const PROFILES: u32 = 45;

struct Account {
    campaigns: Vec<Value>,
    profiles: Vec<Value>,
    /// The ids of the profiles in the newsletter's list.
    newsletter: Vec<String>,
}

impl Default for Account {
    fn default() -> Self {
        let campaigns = (1..).zip(CAMPAIGNS).map(|(number, (name, status, ..))| campaign(number, name, status));
        let profiles = (1..=PROFILES).map(|number| {
            let attributes = json!({
                "email": format!("client{number:02}@fashionboutique.example"),
                "first_name": format!("Client {number}"),
                "properties": {"spent": number * 25},
            });
            resource("profile", &format!("01HPROFILE{number:04}"), attributes)
        });
        Self { campaigns: campaigns.collect(), profiles: profiles.collect(), newsletter: Vec::new() }
    }
}

fn campaign(number: usize, name: &str, status: &str) -> Value {
    let attributes = json!({"name": name, "status": status, "channel": "email", "archived": false});
    resource("campaign", &format!("01HCAMPAIGN{number:03}"), attributes)
}

fn resource(kind: &str, id: &str, attributes: Value) -> Value {
    json!({"type": kind, "id": id, "attributes": attributes})
}

type Answer = Result<(StatusCode, Value), StatusCode>;

fn answer(account: &mut Account, asked: &Asked) -> Response {
    if asked.header("authorization") != Some(&format!("Klaviyo-API-Key {TOKEN}")) {
        return fault(StatusCode::UNAUTHORIZED);
    }
    if asked.header("revision").is_none_or(|revision| revision.len() != "2024-10-15".len()) {
        return fault(StatusCode::BAD_REQUEST);
    }
    match dispatch(account, asked) {
        Ok((StatusCode::NO_CONTENT, _)) => StatusCode::NO_CONTENT.into_response(),
        Ok((status, body)) => (status, Json(body)).into_response(),
        Err(status) => fault(status),
    }
}

fn dispatch(account: &mut Account, asked: &Asked) -> Answer {
    let parts = asked.parts("/api/").ok_or(StatusCode::NOT_FOUND)?;
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let given = || asked.object(Some("data")).ok_or(StatusCode::BAD_REQUEST);
    match (asked.method.as_str(), parts.as_slice()) {
        ("GET", ["accounts"]) => {
            let attributes =
                json!({"contact_information": {"organization_name": "Fashion Boutique"}, "locale": "en-US"});
            Ok((StatusCode::OK, json!({"data": [resource("account", "FSHN01", attributes)]})))
        }
        ("GET", ["campaigns"]) => {
            // The real service takes no list without a channel.
            let channel = filter(asked).filter(|(field, _)| field == "messages.channel");
            let (_, channel) = channel.ok_or(StatusCode::BAD_REQUEST)?;
            let found: Vec<_> = account
                .campaigns
                .iter()
                .filter(|it| attribute(it, "channel") == Some(channel.as_str()))
                .cloned()
                .collect();
            page(asked, &found)
        }
        ("GET", ["campaigns", id]) => one(&account.campaigns, id),
        ("POST", ["campaigns"]) => {
            let given = given()?;
            let name = given.get("attributes").and_then(|it| it.get("name")).and_then(Value::as_str);
            let name = name.ok_or(StatusCode::BAD_REQUEST)?;
            let made = campaign(account.campaigns.len() + 1, name, "Draft");
            account.campaigns.push(made.clone());
            Ok((StatusCode::CREATED, json!({"data": made})))
        }
        ("POST", ["campaign-values-reports"]) => Ok((StatusCode::OK, report(&account.campaigns))),
        ("GET", ["profiles"]) => {
            let wanted = filter(asked);
            let fits =
                |it: &&Value| wanted.as_ref().is_none_or(|(field, value)| attribute(it, field) == Some(value.as_str()));
            let found: Vec<_> = account.profiles.iter().filter(fits).cloned().collect();
            page(asked, &found)
        }
        ("GET", ["profiles", id]) => one(&account.profiles, id),
        ("POST", ["profiles"]) => {
            let given = given()?;
            let attributes = given.get("attributes").filter(|it| it["email"].is_string());
            let attributes = attributes.ok_or(StatusCode::BAD_REQUEST)?.clone();
            let email = attributes.get("email").and_then(Value::as_str);
            if account.profiles.iter().any(|it| attribute(it, "email") == email) {
                return Err(StatusCode::CONFLICT);
            }
            let made = resource("profile", &format!("01HPROFILE{:04}", account.profiles.len() + 1), attributes);
            account.profiles.push(made.clone());
            Ok((StatusCode::CREATED, json!({"data": made})))
        }
        ("PATCH", ["profiles", id]) => {
            let given = given()?;
            let changes = given.get("attributes").and_then(Value::as_object).ok_or(StatusCode::BAD_REQUEST)?;
            let profile = account.profiles.iter_mut().find(|it| it["id"] == *id).ok_or(StatusCode::NOT_FOUND)?;
            if let Some(attributes) = profile.get_mut("attributes").and_then(Value::as_object_mut) {
                attributes.extend(changes.clone());
            }
            Ok((StatusCode::OK, json!({"data": profile})))
        }
        ("GET", ["lists"]) => page(asked, &[resource("list", "NEWS01", json!({"name": "Newsletter"}))]),
        ("POST", ["lists", "NEWS01", "relationships", "profiles"]) => {
            let body = asked.json().ok_or(StatusCode::BAD_REQUEST)?;
            let ids = body.get("data").and_then(Value::as_array).ok_or(StatusCode::BAD_REQUEST)?;
            account.newsletter.extend(ids.iter().filter_map(|it| it["id"].as_str()).map(str::to_owned));
            Ok((StatusCode::NO_CONTENT, Value::Null))
        }
        ("GET", ["lists", "NEWS01", "profiles"]) => {
            let listed = |it: &&Value| account.newsletter.iter().any(|id| it["id"] == id.as_str());
            let found: Vec<_> = account.profiles.iter().filter(listed).cloned().collect();
            page(asked, &found)
        }
        _ => Err(StatusCode::NOT_FOUND),
    }
}

/// `filter=equals(field,"value")`.
fn filter(asked: &Asked) -> Option<(String, String)> {
    let inner = asked.get("filter")?.strip_prefix("equals(")?.strip_suffix(')')?;
    let (field, value) = inner.split_once(',')?;
    Some((field.to_owned(), value.trim_matches(['"', '\'']).to_owned()))
}

fn attribute<'a>(resource: &'a Value, name: &str) -> Option<&'a str> {
    resource.get("attributes")?.get(name)?.as_str()
}

fn one(list: &[Value], id: &str) -> Answer {
    let found = list.iter().find(|it| it["id"] == id).ok_or(StatusCode::NOT_FOUND)?;
    Ok((StatusCode::OK, json!({"data": found})))
}

fn page(asked: &Asked, all: &[Value]) -> Answer {
    let size = asked.number("page[size]").unwrap_or(PAGE);
    if !(1..=100).contains(&size) {
        return Err(StatusCode::BAD_REQUEST);
    }
    let start = asked.number("page[cursor]").unwrap_or_default();
    let end = start.saturating_add(size).min(all.len());
    let to = |start: usize| {
        let filter = asked.get("filter").map(|filter| ("filter", filter.to_owned()));
        let more = [("page[size]", size.to_string()), ("page[cursor]", start.to_string())];
        asked.address(&filter.into_iter().chain(more).collect::<Vec<_>>())
    };
    let data: Vec<_> = all.iter().skip(start).take(size).collect();
    let links = json!({
        "self": to(start),
        "next": (end < all.len()).then(|| to(end)),
        "prev": (start > 0).then(|| to(start.saturating_sub(size))),
    });
    Ok((StatusCode::OK, json!({"data": data, "links": links})))
}

/// The figures of campaigns that were sent.
fn report(campaigns: &[Value]) -> Value {
    let results = CAMPAIGNS.iter().zip(campaigns).filter(|((_, _, sent, ..), _)| *sent > 0);
    let results: Vec<_> = results
        .map(|((_, _, sent, opened, clicked, revenue), campaign)| {
            let share = |part: u32| f64::from(part) / f64::from(*sent);
            let statistics = json!({
                "recipients": sent, "opens_unique": opened, "clicks_unique": clicked, "conversion_value": revenue,
                "open_rate": share(*opened), "click_rate": share(*clicked),
            });
            json!({"groupings": {"campaign_id": campaign["id"], "send_channel": "email"}, "statistics": statistics})
        })
        .collect();
    json!({"data": {"type": "campaign-values-report", "attributes": {"results": results}}})
}

/// The answer of a status that a test asked for, or that a request came to.
fn fault(status: StatusCode) -> Response {
    let code = match status {
        StatusCode::UNAUTHORIZED => "not_authenticated",
        StatusCode::CONFLICT => "duplicate_profile",
        StatusCode::NOT_FOUND => "not_found",
        StatusCode::TOO_MANY_REQUESTS => "throttled",
        _ => "invalid",
    };
    let title = status.canonical_reason().unwrap_or("Error");
    let error = json!({"id": "stand-in", "status": status.as_u16(), "code": code, "title": title, "detail": title});
    (status, Json(json!({"errors": [error]}))).into_response()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, reason = "tests")]

    use super::*;
    use crate::client::send;

    #[tokio::test]
    async fn profiles_are_paged_and_campaigns_have_figures() -> Result<()> {
        let running = start(([127, 0, 0, 1], 0).into()).await?;
        let key = format!("Klaviyo-API-Key {TOKEN}");
        let headers = [("Authorization", key.as_str()), ("revision", "2024-10-15")];
        let (mut target, mut seen) = ("/api/profiles?page[size]=20".to_owned(), 0);
        loop {
            let body = send(&running, "GET", &target, &headers, None).await?.json()?;
            seen += body["data"].as_array().map_or(0, Vec::len);
            let Some(next) = body["links"]["next"].as_str() else { break };
            target = next.trim_start_matches(&running.url()).to_owned();
        }
        assert_eq!(seen, 45);
        let unfiltered = send(&running, "GET", "/api/campaigns", &headers, None).await?;
        assert_eq!(unfiltered.status, 400);
        let filter = "/api/campaigns?filter=equals(messages.channel,'email')";
        assert_eq!(
            send(&running, "GET", filter, &headers, None).await?.json()?["data"][1]["attributes"]["status"],
            "Sent"
        );
        let report = send(&running, "POST", "/api/campaign-values-reports", &headers, Some(json!({}))).await?;
        assert_eq!(report.json()?["data"]["attributes"]["results"].as_array().map(Vec::len), Some(4));
        let new = json!({"data": {"type": "profile", "attributes": {"email": "new@fashionboutique.example"}}});
        assert_eq!(send(&running, "POST", "/api/profiles", &headers, Some(new.clone())).await?.status, 201);
        assert_eq!(send(&running, "POST", "/api/profiles", &headers, Some(new)).await?.status, 409);
        assert_eq!(send(&running, "GET", "/api/accounts", &headers[..1], None).await?.status, 400);
        assert_eq!(send(&running, "GET", "/api/accounts", &headers[1..], None).await?.status, 401);
        Ok(())
    }
}
