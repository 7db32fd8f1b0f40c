//! What of a context may be shown: everything but what is secret or may hold a secret.

use serde_json::Value;

const HIDDEN: &str = "[redacted]";

/// A context as written, without secrets: the webhook's address, and whatever of an address may hold
/// a password.
pub(super) fn authored(context: &Value) -> Value {
    let mut shown = context.clone();
    if let Some(webhook) = shown.pointer_mut("/notifications/slack/webhook") {
        *webhook = HIDDEN.into();
    }
    for category in ["databases", "apis", "files"] {
        let sources = shown.pointer_mut(&format!("/dataSources/{category}")).and_then(Value::as_object_mut);
        for source in sources.into_iter().flat_map(|sources| sources.values_mut()) {
            for key in ["uri", "baseUrl", "endpoint"] {
                redact(source.get_mut(key));
            }
        }
    }
    redact(shown.pointer_mut("/model/baseUrl"));
    shown
}

fn redact(address: Option<&mut Value>) {
    if let Some(address) = address {
        *address = address.as_str().map_or(HIDDEN.into(), redacted_url).into();
    }
}

/// An address without user, password and query. Works on what is no valid URL as well, such as a list
/// of MongoDB servers, and rather hides too much.
pub fn redacted_url(address: &str) -> String {
    let (before, query) = match address.split_once('?') {
        Some((before, _)) => (before, "?[redacted]"),
        None => (address, ""),
    };
    let Some((scheme, rest)) = before.split_once("://") else {
        return if address.contains('@') { HIDDEN.to_owned() } else { format!("{before}{query}") };
    };
    // A password may hold any character: what stands before the last `@` is all hidden. It may even
    // hold a `?`, so that the `@` is looked for in the whole.
    match address.rsplit_once('@') {
        Some((_, after)) => {
            let after = after.split('?').next().unwrap_or_default();
            format!("{scheme}://{HIDDEN}@{after}{query}")
        }
        None => format!("{scheme}://{rest}{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_before_the_last_at_sign_is_shown() {
        for (address, shown) in [
            ("mongodb://analytics.techstart.com/events", "mongodb://analytics.techstart.com/events"),
            ("mongodb://u:p@a:1,b:2/events", "mongodb://[redacted]@a:1,b:2/events"),
            ("mongodb://u:p@ss/w?rd@a/events?w=1", "mongodb://[redacted]@a/events?[redacted]"),
            ("https://a/b?token=s3cret", "https://a/b?[redacted]"),
            ("u:p@a", "[redacted]"),
        ] {
            assert_eq!(redacted_url(address), shown);
        }
    }
}
