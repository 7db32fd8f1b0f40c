//! Workflows: authored YAML, checked with line and column, all faults at once, and run to its end by an
//! interpreter that a crash does not confuse.
//!
//! Deliberately absent: what a step may use, which the catalogue decides, and where runs are kept.

mod approvers;
pub mod authored;
mod check;
mod components;
mod derive;
mod draw;
mod duration;
mod expression;
mod gate;
#[cfg(test)]
mod house;
mod inputs;
mod link;
mod node;
mod offered;
mod plan;
mod rerun;
pub mod run;
mod runs;
pub mod schema;
mod shelf;
mod steps;
mod stored;
#[cfg(test)]
mod tests;
pub mod triggers;
mod work;

pub use check::{Judged, check, judge, parse, plan};
pub use components::Around;
pub use draw::{drawing, drawing_of};
pub use plan::Plan;
pub use rerun::Which;
pub use runs::{Begun, Workflows};
pub use shelf::{Owner, Shelf, Workflow};
pub use stored::{MAX_SOURCE_BYTES, Removed, Storing};
pub use work::Worker;

/// What expressions call `env`: of the variables that the operator lists, those that are set.
pub fn variables(
    listed: &std::collections::BTreeSet<String>,
    get: impl Fn(&str) -> Option<String>,
) -> serde_json::Map<String, serde_json::Value> {
    listed.iter().filter_map(|name| Some((name.clone(), get(name)?.into()))).collect()
}
