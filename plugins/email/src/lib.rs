//! Steps of type `email`: the node `email.run`, which hands one mail to the channel `email`.
//!
//! Whom it may write to, and with which templates, is the mapping's to say. A repeated execution sends nothing
//! twice: the mail carries the step's idempotency key. It lacks a sender of its own and mail that is read.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use remit_sdk::{
    prelude::*,
    serde_json::{Map, Value as Json},
    source::{Body, Mail},
};

node_set![
    Node::new("run", "Sends a mail, written out or by one of the tenant's templates.", run)
        .title("Email")
        .writes(CHANNEL)
        .validates(validate)
        .harmless_to_repeat()
];

/// The tenant's mail, among the sources.
const CHANNEL: &str = "email";
/// The most files of one mail.
const MAX_FILES: usize = 10;
/// The most recipients of one mail.
const MAX_RECIPIENTS: usize = 50;

/// A mail.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// What to do; there is but one thing.
    #[serde(default)]
    operation: Operation,
    /// To whom: an address, or a list of addresses.
    to: Addresses,
    /// Who gets a copy.
    cc: Option<Addresses>,
    /// Who gets a copy that the others don't see.
    bcc: Option<Addresses>,
    /// One line. A template may have one of its own.
    subject: Option<String>,
    /// Plain text. Either this or `template`.
    body: Option<String>,
    /// The same as HTML, beside `body`.
    html: Option<String>,
    /// The name of one of the tenant's templates.
    template: Option<String>,
    /// What the template is filled with.
    data: Option<Map<String, Json>>,
    /// Files that go with it: ten at most, and 4 MiB together.
    #[serde(default)]
    attachments: Vec<File>,
}

/// A file that goes with a mail.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct File {
    /// As the reader sees it, such as `report.csv`.
    name: String,
    /// Such as `text/csv`; `text/plain`, or `application/octet-stream` for base64, if none.
    media_type: Option<String>,
    /// What it holds, as a text. Either this or `base64`.
    text: Option<String>,
    /// What it holds, in base64.
    base64: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Operation {
    #[default]
    Send,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Addresses {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Output {
    /// Always true: a failure has no output of the step's own.
    success: bool,
    operation: Operation,
    /// The mail's id.
    message_id: String,
    /// How many people it goes to.
    count: usize,
}

impl File {
    fn bytes(&self, pointer: &str) -> Result<Vec<u8>> {
        match (&self.text, &self.base64) {
            (Some(text), None) => Ok(text.clone().into_bytes()),
            (None, Some(encoded)) => STANDARD
                .decode(encoded.trim())
                .map_err(|error| Error::invalid(format!("{pointer}/base64"), format!("this is no base64: {error}"))),
            _ => Err(Error::invalid(pointer, "a file has either `text` or `base64`")),
        }
    }

    fn media_type(&self) -> &str {
        let own = if self.base64.is_some() { "application/octet-stream" } else { "text/plain" };
        self.media_type.as_deref().unwrap_or(own)
    }
}

impl Addresses {
    /// Those written, without space around them and each once.
    fn list(given: Option<Self>, pointer: &str) -> Result<Vec<String>> {
        let all = match given {
            None => Vec::new(),
            Some(Self::One(one)) => vec![one],
            Some(Self::Many(many)) => many,
        };
        let mut list: Vec<String> = Vec::new();
        for address in all {
            let address = address.trim();
            if address.is_empty() || address.chars().any(char::is_control) {
                return Err(Error::invalid(pointer, "an address is empty, or has a line's end in it"));
            }
            if !list.iter().any(|other| other.eq_ignore_ascii_case(address)) {
                list.push(address.to_owned());
            }
        }
        Ok(list)
    }
}

fn validate(config: &Written<'_>) -> Option<Validated> {
    config.requires("email", &["to"]);
    config.literal("operation");
    config.literal("template");
    match (config.has("body"), config.has("template")) {
        (true, true) => config.problem("/template", "both `body` and `template`"),
        (false, false) => config.problem("", "`email` needs `body` or `template`"),
        (true, false) => {
            config.requires("email", &["subject"]);
            if config.has("data") {
                config.problem("/data", "`data` fills a template: there is none");
            }
        }
        (false, true) => {
            if config.has("html") {
                config.problem("/html", "a template has its own HTML");
            }
        }
    }
    None
}

fn run(config: Config, _: Json, call: &Call) -> Result<Output> {
    let to = Addresses::list(Some(config.to), "/to")?;
    let (cc, bcc) = (Addresses::list(config.cc, "/cc")?, Addresses::list(config.bcc, "/bcc")?);
    let count = to.len() + cc.len() + bcc.len();
    // To the channel, no address means its own recipients; to an author it means nobody.
    if to.is_empty() {
        return Err(Error::invalid("/to", "nobody to write to"));
    }
    if count > MAX_RECIPIENTS {
        return Err(Error::invalid("/to", format!("a mail goes to {MAX_RECIPIENTS} people at most")));
    }
    let subject = config.subject.unwrap_or_default();
    if subject.chars().any(char::is_control) {
        return Err(Error::invalid("/subject", "a subject is one line"));
    }
    if config.attachments.len() > MAX_FILES {
        return Err(Error::invalid("/attachments", format!("a mail has {MAX_FILES} files at most")));
    }
    let mut mail = match (config.body, config.template) {
        (Some(body), None) => {
            if subject.trim().is_empty() {
                return Err(Error::invalid("/subject", "a mail has a subject"));
            }
            Mail { body: Body::Text((body, config.html)), ..Mail::text(to, subject, "") }
        }
        (None, Some(template)) => Mail::template(to, subject, template, &config.data.unwrap_or_default().into()),
        _ => return Err(Error::invalid("", "a mail has either `body` or `template`")),
    };
    for (at, file) in config.attachments.iter().enumerate() {
        mail = mail.attach(&file.name, file.media_type(), file.bytes(&format!("/attachments/{at}"))?);
    }
    let key = Some(call.context().idempotency_key.clone());
    let message_id = call.channel(CHANNEL)?.send(&Mail { cc, bcc, idempotency_key: key, ..mail })?;
    Ok(Output { success: true, operation: config.operation, message_id, count })
}

#[cfg(test)]
mod tests {
    use remit_sdk::{
        prelude::*,
        serde_json::{self, Value as Json},
        source::{Body, Mail},
        testing::{self, FakeChannel, Sent},
    };

    use super::node_set;

    fn execute(channel: &FakeChannel, config: Json) -> Result<Json> {
        let call = testing::call().writes("email", channel).build();
        let outcome = node_set().execute("run", &config.to_string(), "null", &call)?;
        Ok(serde_json::from_str(&outcome.output).unwrap())
    }

    fn sent(channel: &FakeChannel) -> Mail {
        match channel.sent().pop() {
            Some(Sent::Mail(mail)) => mail,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_mail_is_sent_with_the_steps_key() {
        let channel = FakeChannel::new();
        let config = json!({
            "to": ["ann@a.example", " ANN@a.example "], "cc": "bob@b.example", "bcc": [], "subject": "Order Confirmed",
            "body": "Your order.", "html": "<p>Your order.</p>",
        });
        let output = execute(&channel, config).unwrap();
        assert_eq!(output, json!({"success": true, "operation": "send", "messageId": "message-1", "count": 2}));
        let mail = sent(&channel);
        assert_eq!((mail.to, mail.cc), (vec!["ann@a.example".to_owned()], vec!["bob@b.example".to_owned()]));
        assert_eq!(mail.body, Body::Text(("Your order.".to_owned(), Some("<p>Your order.</p>".to_owned()))));
        assert_eq!(mail.idempotency_key.as_deref(), Some("key-1"));
    }

    #[test]
    fn a_template_is_named_and_filled() {
        let channel = FakeChannel::new();
        let config = json!({"to": ["a@a.example"], "subject": "Hi", "template": "welcome", "data": {"name": "Ann"}});
        execute(&channel, config).unwrap();
        assert_eq!(sent(&channel).body, Body::Template(("welcome".to_owned(), r#"{"name":"Ann"}"#.to_owned())));
        let channel = FakeChannel::new();
        execute(&channel, json!({"to": "a@a.example", "template": "welcome"})).unwrap();
        assert_eq!(sent(&channel).body, Body::Template(("welcome".to_owned(), "{}".to_owned())));
    }

    #[test]
    fn files_go_with_a_mail() {
        let channel = FakeChannel::new();
        let files =
            json!([{"name": "a.csv", "mediaType": "text/csv", "text": "a,b\n"}, {"name": "b.bin", "base64": "/wA="}]);
        let config = json!({"to": "a@a.example", "subject": "s", "body": "b", "attachments": files});
        execute(&channel, config).unwrap();
        let files: Vec<_> =
            sent(&channel).attachments.into_iter().map(|it| (it.name, it.media_type, it.bytes)).collect();
        let file = |name: &str, kind: &str, bytes: &[u8]| (name.to_owned(), kind.to_owned(), bytes.to_vec());
        assert_eq!(files, [file("a.csv", "text/csv", b"a,b\n"), file("b.bin", "application/octet-stream", &[255, 0])]);
    }

    #[test]
    fn what_is_no_mail_is_not_sent() {
        let channel = FakeChannel::new();
        let with = |files: Json| json!({"to": "a@a.example", "subject": "s", "body": "b", "attachments": files});
        let many: Vec<String> = (0..51).map(|at| format!("a{at}@a.example")).collect();
        for (config, pointer) in [
            (json!({"to": [], "subject": "s", "body": "b"}), "/to"),
            (json!({"to": [""], "subject": "s", "body": "b"}), "/to"),
            (json!({"to": ["a@a.example\r\nBcc: x@x.example"], "subject": "s", "body": "b"}), "/to"),
            (json!({"to": many, "subject": "s", "body": "b"}), "/to"),
            (json!({"to": "a@a.example", "subject": "s\nBcc: x", "body": "b"}), "/subject"),
            (json!({"to": "a@a.example", "subject": " ", "body": "b"}), "/subject"),
            (json!({"to": "a@a.example", "subject": "s"}), ""),
            (with(json!([{"name": "x"}])), "/attachments/0"),
            (with(json!([{"name": "x", "base64": "*"}])), "/attachments/0/base64"),
            (with(json!(vec![json!({"name": "x", "text": ""}); 11])), "/attachments"),
            (json!({"to": "a@a.example", "subject": "s", "body": "b", "from": "ceo@a.example"}), ""),
        ] {
            match execute(&channel, config.clone()) {
                Err(Error::Invalid(problems)) => assert_eq!(problems[0].pointer, pointer, "{config}"),
                other => panic!("{config}: {other:?}"),
            }
        }
        assert_eq!(channel.sent(), []);
        let down = FakeChannel::new().fails(testing::unavailable());
        let mail = json!({"to": "a@a.example", "subject": "s", "body": "b"});
        assert!(execute(&down, mail).unwrap_err().may_be_repeated());
    }

    #[test]
    fn configs_are_checked_as_they_are_written() {
        let of = |config: Json| {
            let found = node_set().validate("run", &config.to_string());
            found.map_err(|problems| problems.into_iter().map(|it| it.pointer).collect::<Vec<_>>())
        };
        let fit = json!({"to": ["{{ inputs.email }}"], "subject": "s {{ x }}", "template": "high_value_lead"});
        assert_eq!(of(fit), Ok(Validated::harmless(Vec::new())));
        assert_eq!(node_set().describe().nodes[0].needs, [Need::writes("email")]);
        for (config, places) in [
            (json!({"subject": "s", "body": "b"}), vec![""]),
            (json!({"to": "x", "subject": "s"}), vec![""]),
            (json!({"to": "x", "body": "b"}), vec![""]),
            (json!({"to": "x", "subject": "s", "body": "b", "template": "t"}), vec!["/template"]),
            (json!({"to": "x", "subject": "s", "template": "{{ t }}"}), vec!["/template"]),
            (json!({"to": "x", "subject": "s", "body": "b", "data": {"a": 1}}), vec!["/data"]),
            (json!({"to": "x", "template": "t", "html": "b"}), vec!["/html"]),
        ] {
            assert_eq!(of(config.clone()), Err(places.into_iter().map(str::to_owned).collect()), "{config}");
        }
    }
}
