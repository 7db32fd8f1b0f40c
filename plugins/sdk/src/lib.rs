//! Writes Remit plugins in plain functions.
//!
//! A tool is a function from its arguments and the [`Call`] to an answer; [`tool_set!`] lists the
//! tools, states what each needs, and makes the component:
//!
//! ```
//! use remit_sdk::prelude::*;
//!
//! /// What to look for.
//! #[derive(Deserialize, JsonSchema)]
//! struct Search {
//!     /// Part of the customer's name.
//!     name: String,
//! }
//!
//! #[derive(Deserialize, Serialize, JsonSchema)]
//! struct Customer {
//!     id: i64,
//!     name: String,
//! }
//!
//! fn find_customers(args: Search, call: &Call) -> Result<Vec<Customer>> {
//!     let pattern = format!("%{}%", args.name);
//!     call.database("primary")?.rows("SELECT id, name FROM customers WHERE name LIKE $1", params![pattern])
//! }
//!
//! tool_set![Tool::new("find_customers", "Finds customers by part of their name.", find_customers).reads("primary")];
//! # fn main() {}
//! ```
//!
//! On the author's own machine the same functions run natively against the fakes of `testing`.
//!
//! What it deliberately lacks: a way to reach a source that the call was not handed, a clock other
//! than the call's, and state that outlasts a call.
//!
//! Steps of workflows are made alike, of [`Node`]s, by [`node_set!`].

mod answer;
#[doc(hidden)]
pub mod bindings;
mod call;
mod error;
mod handles;
mod macros;
mod money;
mod node;
mod pending;
mod prompt;
mod resource;
mod schema;
mod set;
pub mod source;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod timestamp;
mod tool;
mod written;

pub use rust_decimal::{self, Decimal};
pub use schemars::{self, JsonSchema};
pub use serde;
pub use serde_json::{self, json};

pub use answer::{Answer, Reply};
pub use bindings::{
    remit::{
        data::common::{Error as Cause, LimitReached, Refusal, Rejection, Wait},
        plugin::{
            context::{CallContext, Company, Door, MappedSource},
            invocation::{AskError, Level, Message, Role, Sample, Sampling},
            types::{
                CallError as Error, Content, Need, Permission, Problem, ResourceBody, ResourceContents, SourceFailure,
            },
        },
    },
    stepping::exports::remit::plugin::nodes::{Repeat, Validated},
};
pub use call::{Answered, Call};
pub use money::Money;
pub use node::{Branched, Node, NodeSet, Output};
pub use pending::{Join, Pending, join};
pub use prompt::Prompt;
pub use resource::Resource;
pub use set::ToolSet;
pub use timestamp::Timestamp;
pub use tool::{NoArguments, Tool};
pub use written::Written;

/// What a fallible step of a tool gives; `?` passes its failure on to the host.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// All that a plugin's modules usually name.
pub mod prelude {
    pub use serde::{Deserialize, Serialize};

    pub use crate::{
        Branched, Call, Cause, Error, JsonSchema, Level, Money, Need, NoArguments, Node, Permission, Problem, Prompt,
        Reply, Resource, Result, Timestamp, Tool, Validated, Written, join, json, node_set, params, schemars,
        source::{Api, Database, DocumentStore, Request, Selection, Value},
        tool_set,
    };
}
