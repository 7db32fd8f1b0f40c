//! Facts: what a message says that can stand in an argument. Names, addresses, ids, quoted text.

use std::collections::BTreeMap;

use remit_domain::model::Message;
use serde_json::Value;

use super::{ToolResult, words};

/// What can stand in arguments.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Texts between quotation marks.
    pub(super) quoted: Vec<String>,
    /// Mail addresses.
    pub(super) emails: Vec<String>,
    /// Names of people and companies, the likeliest first.
    pub(super) names: Vec<String>,
    /// Words with a digit and a separator, such as `cust_123`, `MFG-001`, `gid://…`; long numbers.
    pub(super) ids: Vec<String>,
    /// What follows the first colon, for notes.
    pub(super) after_colon: Option<String>,
    /// Values by the name of the argument that they are for: from the host, and from results.
    pub(super) known: BTreeMap<String, String>,
}

/// Words that are written with a capital letter and name nobody.
const NOT_NAMES: &[&str] = &[
    "ai", "api", "crm", "customer", "email", "erp", "faq", "gid", "hr", "id", "ltv", "machine", "mcp", "ok", "order",
    "product", "pto", "roi", "saas", "sku", "sla", "sql", "ticket", "url", "usd", "vip",
];

/// What the name of a company ends with.
const COMPANY: &[&str] =
    &["ag", "co", "company", "corp", "corporation", "gmbh", "group", "inc", "llc", "ltd", "systems"];

impl Facts {
    pub(super) fn of(said: &str, messages: &[Message], results: &[ToolResult<'_>]) -> Self {
        let mut facts = Self { names: names(said), ..Self::default() };
        let straight = said.replace(['“', '”'], "\"");
        facts.quoted = straight.split('"').skip(1).step_by(2).map(|text| text.trim().to_owned()).collect();
        facts.quoted.retain(|text| !text.is_empty());
        facts.after_colon = said.split_once(": ").map(|(_, text)| text.trim().trim_matches('"').to_owned());
        // Quotation marks end a word as spaces do: what a workflow's prompt tells is often JSON.
        for token in said.split(|c: char| c.is_whitespace() || c == '"') {
            let token = token.trim_matches(|c: char| !c.is_alphanumeric());
            let token = token.strip_suffix("'s").or_else(|| token.strip_suffix("’s")).unwrap_or(token);
            if is_email(token) {
                facts.emails.push(token.to_owned());
            } else if is_id(token) {
                facts.ids.push(token.to_owned());
            }
        }
        for message in messages {
            if let Message::System { content } = message {
                facts.learn_context(content);
            }
        }
        for result in results {
            facts.learn(result.answer());
        }
        facts
    }

    /// Whether the message names someone or something that can be looked up.
    pub(super) fn names_someone(&self) -> bool {
        !self.names.is_empty() || !self.emails.is_empty()
    }

    /// A line of the host such as `Request Context: {"customer_id": "cust_123"}`.
    fn learn_context(&mut self, line: &str) {
        let Some((_, json)) = line.split_once("Context: ").filter(|(head, _)| !head.contains('\n')) else { return };
        let Ok(Value::Object(fields)) = serde_json::from_str(json) else { return };
        for (name, value) in fields {
            if let Value::String(text) = value {
                self.known.insert(name, text);
            }
        }
    }

    /// Ids in a result: of `{"customers": [{"id": "cust_123"}]}` it learns `customer_id`.
    fn learn(&mut self, result: &Value) {
        let Value::Object(fields) = result else { return };
        for (name, value) in fields {
            match value {
                Value::String(text) if name.ends_with("_id") => {
                    self.known.entry(name.clone()).or_insert_with(|| text.clone());
                }
                Value::Array(items) => {
                    let id = items.first().and_then(|item| item.get("id"));
                    let text =
                        id.and_then(|id| id.as_str().map(str::to_owned).or_else(|| id.as_u64().map(|n| n.to_string())));
                    if let Some(text) = text {
                        self.known.entry(format!("{}_id", words::stem(name))).or_insert(text);
                    }
                }
                _ => {}
            }
        }
    }
}

fn is_email(token: &str) -> bool {
    token.split_once('@').is_some_and(|(user, host)| !user.is_empty() && host.contains('.') && !host.contains('@'))
}

fn is_id(token: &str) -> bool {
    let digits = token.chars().filter(char::is_ascii_digit).count();
    let begins = token.starts_with(|c: char| c.is_ascii_alphabetic());
    let joined = token.contains(['_', '-']) && !token.contains(['/', '@']);
    token.starts_with("gid://") || (begins && joined && digits > 0) || (digits >= 6 && digits == token.len())
}

/// Runs of capitalised words. A lone one at the beginning of a sentence says nothing, unless it has
/// capitals inside (`TechStart`).
fn names(said: &str) -> Vec<String> {
    let mut names: Vec<Vec<&str>> = Vec::new();
    for sentence in said.split_inclusive(['.', '!', '?', '\n', ',', ':', ';', '(', ')', '"']) {
        let mut run: Vec<&str> = Vec::new();
        for (at, token) in sentence.split_whitespace().enumerate() {
            let word = token.trim_matches(|c: char| !c.is_alphanumeric());
            let word = word.strip_suffix("'s").or_else(|| word.strip_suffix("’s")).unwrap_or(word);
            let lower = word.to_lowercase();
            let capital = word.starts_with(char::is_uppercase) && !word.contains(|c: char| c.is_ascii_digit());
            let says_something = !words::empty(&lower) && !NOT_NAMES.contains(&lower.as_str());
            let inner_capital = word.chars().skip(1).any(char::is_uppercase);
            if capital && says_something && (at > 0 || inner_capital || followed_by_name(sentence)) {
                run.push(word);
            } else if !run.is_empty() {
                names.push(std::mem::take(&mut run));
            }
        }
        if !run.is_empty() {
            names.push(run);
        }
    }
    let rank = |name: &Vec<&str>| {
        let company = name.last().is_some_and(|last| COMPANY.contains(&last.to_lowercase().as_str()));
        if company { 0 } else { usize::from(name.len() == 1) + 1 }
    };
    names.sort_by_key(rank);
    names.into_iter().map(|name| name.join(" ")).collect()
}

/// Whether a sentence's second word is capitalised too, so that its first may begin a name.
fn followed_by_name(sentence: &str) -> bool {
    let second = sentence.split_whitespace().nth(1).unwrap_or_default();
    let lower = second.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    second.starts_with(char::is_uppercase) && (COMPANY.contains(&lower.as_str()))
}
