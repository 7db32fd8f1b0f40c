//! What TechStart's support account begins with.

use serde_json::{Value, json};

/// When all of it was written.
pub(super) const NOW: &str = "2026-09-30T09:00:00Z";
/// The agent whose token is used.
pub(super) const AGENT: u64 = 7001;

/// Requesters: id, name, mail address.
const USERS: [(u64, &str, &str, &str); 5] = [
    (AGENT, "Support Desk", super::USER, "admin"),
    (7101, "John Smith", "john@acmecorp.com", "end-user"),
    (7102, "Maria Lopez", "maria.lopez@globalmanufacturing.example", "end-user"),
    (7103, "Wei Chen", "wei.chen@northwind.example", "end-user"),
    (7104, "Ada Novak", "ada.novak@contoso.example", "end-user"),
];

/// Subject, what was written, requester, status, priority, tags.
type Written = (&'static str, &'static str, u64, &'static str, &'static str, &'static [&'static str]);

/// What came in so far.
const TICKETS: [Written; 12] = [
    (
        "API returns 401 since this morning",
        "All calls with our key fail with 401 since 8 am.",
        7101,
        "solved",
        "high",
        &["api", "auth"],
    ),
    ("API key cannot be rotated", "The button for a new API key is grey.", 7104, "open", "normal", &["api", "auth"]),
    (
        "Vibration alarm on MFG-001",
        "The sensor on machine MFG-001 reports vibration above 9 mm/s since the last update.",
        7102,
        "open",
        "urgent",
        &["sensors", "mfg-001"],
    ),
    (
        "MFG-001 vibration after bearing change",
        "After the bearing was changed the vibration alarm came back within a day; recalibrating the sensor helped.",
        7102,
        "solved",
        "high",
        &["sensors", "mfg-001"],
    ),
    (
        "Press force reading drifts",
        "The 500-ton hydraulic press shows 512 tons at rest.",
        7102,
        "pending",
        "normal",
        &["sensors"],
    ),
    (
        "Webhook deliveries are late",
        "Deliveries arrive up to ten minutes late during the night.",
        7103,
        "open",
        "normal",
        &["webhooks"],
    ),
    (
        "Invoice shows the wrong VAT id",
        "Please correct our VAT id on invoice TS-004711.",
        7103,
        "new",
        "low",
        &["billing"],
    ),
    (
        "SSO login loops",
        "After the redirect from our identity provider the login page appears again.",
        7104,
        "solved",
        "urgent",
        &["auth", "sso"],
    ),
    (
        "Data Connector loses its connection",
        "The connector to our historian reconnects every hour.",
        7102,
        "hold",
        "normal",
        &["connector"],
    ),
    (
        "Rate limit reached too early",
        "We get 429 at half of the documented request rate.",
        7101,
        "solved",
        "normal",
        &["api"],
    ),
    ("Export to CSV is empty", "Exports of last month have a header and no rows.", 7103, "closed", "low", &["export"]),
    (
        "How do we add a second region?",
        "We want inference in Frankfurt beside Virginia.",
        7101,
        "new",
        "normal",
        &["regions"],
    ),
];

/// Title and text of the help center's articles.
const ARTICLES: [(&str, &str); 6] = [
    ("Rotate an API key", "Open Settings, API, and choose New key. The old key works for another hour."),
    (
        "Why does the API answer 401?",
        "A key that was revoked or belongs to another workspace is answered with 401. Check the workspace in the URL.",
    ),
    (
        "Calibrate a vibration sensor",
        "Stop the machine, hold Reset for five seconds, and let the sensor rest for a minute before the start.",
    ),
    ("Request rates and 429", "Each plan has a rate of requests. Wait as long as Retry-After says."),
    ("Set up single sign-on", "Register the reply URL of your workspace at the identity provider, letter by letter."),
    (
        "Webhooks: delivery and retries",
        "A delivery is tried for 24 hours, at growing intervals. Answer within five seconds.",
    ),
];

pub(super) fn users() -> Vec<Value> {
    let made = USERS.iter().map(|(id, name, email, role)| {
        json!({"id": id, "name": name, "email": email, "role": role, "active": true, "created_at": NOW})
    });
    made.collect()
}

pub(super) fn tickets() -> (Vec<Value>, Vec<(u64, Value)>) {
    let mut comments = Vec::new();
    let tickets = (1001_u64..).zip(TICKETS).map(|(id, (subject, body, requester, status, priority, tags))| {
        comments.push((id, comment(80_000 + id, requester, body, true)));
        let mut made = ticket(id, subject, body, requester);
        for (name, value) in [("status", json!(status)), ("priority", json!(priority)), ("tags", json!(tags))] {
            super::set(&mut made, name, value);
        }
        made
    });
    (tickets.collect(), comments)
}

/// A ticket as it is when it comes in.
pub(super) fn ticket(id: u64, subject: &str, description: &str, requester: u64) -> Value {
    json!({
        "id": id,
        "subject": subject,
        "description": description,
        "status": "new",
        "priority": "normal",
        "type": null,
        "tags": [],
        "requester_id": requester,
        "assignee_id": null,
        "created_at": NOW,
        "updated_at": NOW,
    })
}

pub(super) fn comment(id: u64, author: u64, body: &str, public: bool) -> Value {
    json!({"id": id, "type": "Comment", "author_id": author, "body": body, "public": public, "created_at": NOW})
}

pub(super) fn articles() -> Vec<Value> {
    let made = (501_u64..).zip(ARTICLES).map(|(id, (title, body))| {
        json!({
            "id": id, "title": title, "body": body, "locale": "en-us", "draft": false, "section_id": 300,
            "label_names": [], "created_at": NOW, "updated_at": NOW,
        })
    });
    made.collect()
}
