//! An answer that is not what was promised.

use remit_sdk::{
    Answer, Content, Problem, SourceFailure, Wait,
    bindings::{
        exports::remit::plugin::tools::Outcome,
        remit::plugin::types::{Audience, ContentAnnotations, MediaContent, TextContent},
    },
    prelude::*,
};

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Lie {
    kind: Kind,
}

#[derive(Deserialize, JsonSchema, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Kind {
    WrongType,
    NoJson,
    NoObject,
    Nothing,
}

/// Promises a number of customers.
pub(crate) struct Promise(Kind);

pub(crate) fn bad_output(args: Lie, _: &Call) -> Result<Promise> {
    Ok(Promise(args.kind))
}

impl Answer for Promise {
    fn schema() -> Option<String> {
        let schema = json!({
            "type": "object",
            "properties": { "customers": { "type": "integer" } },
            "required": ["customers"],
        });
        Some(schema.to_string())
    }

    fn into_outcome(self) -> Result<Outcome> {
        let structured = match self.0 {
            Kind::WrongType => Some(r#"{"customers":"many"}"#),
            Kind::NoJson => Some(r#"{"customers":"#),
            Kind::NoObject => Some("[1]"),
            Kind::Nothing => None,
        };
        Ok(Outcome { content: Vec::new(), structured: structured.map(str::to_owned) })
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Failing {
    kind: Failure,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Failure {
    Unknown,
    NotGranted,
    NotGrantedNoName,
    BlamesAnother,
    BlamesNoName,
    BlamesAtLength,
    RefusesAtLength,
    FindsManyProblems,
    Cancelled,
    Suspended,
}

pub(crate) fn bad_error(args: Failing, _: &Call) -> Result<()> {
    const MIB: usize = 1 << 20;
    let blamed = |source: &str, message: String| {
        let cause = Cause::Unavailable(Wait { message, retry_after_ms: Some(u32::MAX) });
        Error::Source(SourceFailure { source: source.to_owned(), cause })
    };
    Err(match args.kind {
        Failure::Unknown => Error::Unknown("bad_error".to_owned()),
        Failure::NotGranted => Error::NotGranted("warehouse".to_owned()),
        Failure::NotGrantedNoName => Error::NotGranted("<script>".to_owned()),
        Failure::BlamesAnother => blamed("analytics", "db1.internal.example is down".to_owned()),
        Failure::BlamesNoName => blamed("../primary", "down".to_owned()),
        Failure::BlamesAtLength => blamed("primary", "x".repeat(MIB)),
        Failure::RefusesAtLength => Error::Refused("x".repeat(MIB)),
        Failure::FindsManyProblems => {
            let problem = Problem { pointer: "/a".repeat(1_000), message: "m".repeat(4_000) };
            Error::Invalid(vec![problem; 100])
        }
        Failure::Cancelled => Error::Cancelled,
        Failure::Suspended => Error::Suspended,
    })
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Filling {
    kind: Filler,
    bytes: usize,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Filler {
    Date,
    Audience,
    MimeType,
    Uri,
    Pieces,
    Priority,
}

/// So many bytes where nobody looks for them.
pub(crate) fn bad_content(args: Filling, _: &Call) -> Result<Reply> {
    let long = || "x".repeat(args.bytes);
    let text = |annotations| Content::Text(TextContent { text: "short".to_owned(), annotations });
    let plain = ContentAnnotations { audience: Vec::new(), priority: None, last_modified: None };
    let content = match args.kind {
        Filler::Date => text(Some(ContentAnnotations { last_modified: Some(long()), ..plain })),
        Filler::Audience => text(Some(ContentAnnotations { audience: vec![Audience::User; args.bytes], ..plain })),
        Filler::Priority => text(Some(ContentAnnotations { priority: Some(f64::NAN), ..plain })),
        Filler::MimeType => Content::Image(MediaContent { data: vec![1], mime_type: long(), annotations: None }),
        Filler::Uri => return Ok(Reply::default().and_link(long(), "a link")),
        Filler::Pieces => {
            return Ok((0..args.bytes / 4).fold(Reply::default(), |reply, _| reply.and_text("")));
        }
    };
    Ok(Reply::default().and(content))
}
