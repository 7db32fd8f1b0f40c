//! The parts of BigQuery's REST API that the connector reads and writes. Numbers travel as text.
//!
//! Deliberately absent: whatever of a job, a schema or an answer nobody here asks for.

use std::borrow::Cow;

use remit_domain::data::{Error, Refusal, Rejection};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

/// A job.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Job {
    pub(super) job_reference: Option<JobReference>,
    pub(super) status: Status,
    pub(super) statistics: Statistics,
}

/// Which job.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct JobReference {
    pub(super) location: Option<String>,
}

/// How far a job is.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Status {
    pub(super) state: String,
    pub(super) error_result: Option<Reason>,
}

impl Status {
    pub(super) fn is_done(&self) -> bool {
        self.state == "DONE"
    }
}

/// Why something failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Reason {
    pub(super) reason: String,
    pub(super) message: String,
}

/// What a job did or would do.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Statistics {
    pub(super) total_bytes_processed: Option<String>,
    pub(super) query: QueryStatistics,
}

/// What a query did or would do.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct QueryStatistics {
    pub(super) statement_type: String,
    pub(super) total_bytes_processed: Option<String>,
    pub(super) schema: Option<Schema>,
    pub(super) num_dml_affected_rows: Option<String>,
    pub(super) dml_stats: Option<DmlStatistics>,
}

/// What a change changed.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct DmlStatistics {
    pub(super) inserted_row_count: Option<String>,
    pub(super) updated_row_count: Option<String>,
    pub(super) deleted_row_count: Option<String>,
}

/// The columns of an answer.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Schema {
    pub(super) fields: Vec<Field>,
}

/// A column, or a part of one.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Field {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) mode: Option<String>,
    pub(super) fields: Vec<Self>,
}

/// A part of an answer's rows, or that there is none yet.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Page<'a> {
    pub(super) job_complete: bool,
    pub(super) total_rows: Option<String>,
    pub(super) page_token: Option<String>,
    pub(super) schema: Option<Schema>,
    #[serde(borrow)]
    pub(super) rows: Vec<Row<'a>>,
}

/// A row, or a value of several parts.
#[derive(Debug, Deserialize)]
pub(super) struct Row<'a> {
    #[serde(borrow)]
    pub(super) f: Vec<Cell<'a>>,
}

/// One value of a row.
#[derive(Debug, Deserialize)]
pub(super) struct Cell<'a> {
    #[serde(borrow, default)]
    pub(super) v: Node<'a>,
}

/// What a cell holds.
#[derive(Debug, Default)]
pub(super) enum Node<'a> {
    #[default]
    Null,
    Text(Cow<'a, str>),
    List(Vec<Cell<'a>>),
    Record(Row<'a>),
}

impl<'de: 'a, 'a> Deserialize<'de> for Node<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;

        impl<'de> Visitor<'de> for Reading {
            type Value = Node<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("null, a text, a list or a record")
            }

            fn visit_unit<E>(self) -> Result<Node<'de>, E> {
                Ok(Node::Null)
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Node<'de>, E> {
                Ok(Node::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Node<'de>, E> {
                Ok(Node::Text(Cow::Owned(text.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node<'de>, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Node::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Node<'de>, A::Error> {
                Row::deserialize(MapAccessDeserializer::new(map)).map(Node::Record)
            }
        }

        deserializer.deserialize_any(Reading)
    }
}

/// What an answer with a failing status says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Failed {
    pub(super) error: FailedWith,
}

/// The inside of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct FailedWith {
    pub(super) message: String,
    pub(super) errors: Vec<Reason>,
}

/// A value that a statement takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Parameter {
    pub(super) parameter_type: ParameterType,
    pub(super) parameter_value: ParameterValue,
}

/// Its type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct ParameterType {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
}

/// Itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct ParameterValue {
    pub(super) value: String,
}

/// A number that travels as text. Errors: [`malformed`].
pub(super) fn count(text: &str) -> Result<u64, Error> {
    text.parse().map_err(|_| malformed())
}

/// An answer that is not what the API promises.
pub(super) fn malformed() -> Error {
    Error::Rejected(Rejection {
        reason: Refusal::Rule,
        code: None,
        message: "the warehouse's answer can't be understood".to_owned(),
    })
}
