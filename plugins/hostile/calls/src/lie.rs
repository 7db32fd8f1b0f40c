//! An answer that is not what was promised.

use remit_sdk::{Answer, bindings::exports::remit::plugin::tools::Outcome, prelude::*};

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
