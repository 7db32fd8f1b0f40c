//! The JSON Schema of workflow files, for editors.

use serde_json::Value;

use crate::authored::Workflow;

/// The schemas that stand in `configs/schema/`, by file name.
pub fn all() -> Vec<(&'static str, Value)> {
    vec![("workflow.schema.json", remit_config::schema::of::<Workflow>())]
}
