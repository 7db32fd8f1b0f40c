//! The macros that an author writes: [`tool_set!`], [`node_set!`] and [`params!`].

/// Lists a plugin's tools, and makes the component when compiled for `wasm32-wasip2`. Name and version
/// are the crate's own.
///
/// ```
/// # use remit_sdk::prelude::*;
/// # fn ping(_: NoArguments, _: &Call) -> Result<Reply> { Ok(Reply::text("pong")) }
/// tool_set! {
///     title: "Pings",
///     instructions: "Ping before anything else.",
///     tools: [Tool::new("ping", "Answers.", ping)],
///     resources: [Resource::fixed("manual", "How to ping.", "text/plain", "Call `ping`.")],
/// }
/// # fn main() {}
/// ```
///
/// `title`, `instructions`, `resources` and `prompts` may be left out; with tools alone, `tool_set![…]`
/// lists just them. Either way the crate has a function `tool_set()`, for native tests.
#[macro_export]
macro_rules! tool_set {
    (
        $(title: $title:expr,)?
        $(instructions: $instructions:expr,)?
        tools: [$($tool:expr),* $(,)?]
        $(, resources: [$($resource:expr),* $(,)?])?
        $(, prompts: [$($prompt:expr),* $(,)?])?
        $(,)?
    ) => {
        /// What this plugin offers.
        #[must_use]
        pub fn tool_set() -> $crate::ToolSet {
            $crate::ToolSet::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), vec![$($tool),*])
                $(.title($title))?
                $(.instructions($instructions))?
                $(.resources(vec![$($resource),*]))?
                $(.prompts(vec![$($prompt),*]))?
        }

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Component;

            $crate::__export_tools!(Component);
            $($crate::__export_resources!(Component, [$($resource),*]);)?
            $($crate::__export_prompts!(Component, [$($prompt),*]);)?
        };
    };
    ($($tool:expr),+ $(,)?) => {
        $crate::tool_set! { tools: [$($tool),+] }
    };
}

/// Lists a plugin's kinds of step, and makes the component when compiled for `wasm32-wasip2`. Name and
/// version are the crate's own. A crate may have both this and [`tool_set!`].
///
/// ```
/// # use remit_sdk::{prelude::*, serde_json::Value};
/// #[derive(Deserialize, JsonSchema)]
/// struct Shout {
///     text: String,
/// }
///
/// node_set![
///     Node::new("shout", "Writes a text in capitals.", |config: Shout, _: Value, _: &Call| {
///         Ok(json!({ "text": config.text.to_uppercase() }))
///     })
///     .harmless_to_repeat()
/// ];
/// # fn main() {}
/// ```
///
/// The crate has a function `node_set()`, for native tests.
#[macro_export]
macro_rules! node_set {
    ($($node:expr),+ $(,)?) => {
        /// The steps that this plugin has.
        #[must_use]
        pub fn node_set() -> $crate::NodeSet {
            $crate::NodeSet::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), vec![$($node),+])
        }

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Component;

            impl $crate::bindings::stepping::exports::remit::plugin::nodes::Guest for Component {
                fn describe() -> $crate::bindings::stepping::exports::remit::plugin::nodes::Description {
                    node_set().describe()
                }

                fn validate(node: String, config: String) -> $crate::Result<$crate::Validated, Vec<$crate::Problem>> {
                    node_set().validate(&node, &config)
                }

                fn execute(
                    node: String,
                    config: String,
                    input: String,
                    grants: $crate::bindings::remit::data::common::Grants,
                    invocation: $crate::bindings::remit::plugin::invocation::Invocation,
                ) -> $crate::Result<$crate::bindings::stepping::exports::remit::plugin::nodes::Outcome> {
                    node_set().execute(&node, &config, &input, &$crate::Call::of_host(grants, invocation))
                }
            }

            $crate::bindings::stepping::export_nodes!(Component with_types_in $crate::bindings::stepping);
        };
    };
}

/// The parameters of a statement: `params![name, 10]` is what `$1` and `$2` stand for.
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$($crate::source::Value::from($value)),*] as &[$crate::source::Value]
    };
}

/// Exports `remit:plugin/tools`.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_tools {
    ($component:ident) => {
        impl $crate::bindings::exports::remit::plugin::tools::Guest for $component {
            fn describe() -> $crate::bindings::exports::remit::plugin::tools::Description {
                tool_set().describe()
            }

            fn call(
                tool: String,
                arguments: String,
                grants: $crate::bindings::remit::data::common::Grants,
                invocation: $crate::bindings::remit::plugin::invocation::Invocation,
            ) -> $crate::Result<$crate::bindings::exports::remit::plugin::tools::Outcome> {
                tool_set().call(&tool, &arguments, &$crate::Call::of_host(grants, invocation))
            }
        }

        $crate::bindings::export_tools!($component with_types_in $crate::bindings);
    };
}

/// Exports `remit:plugin/resources`.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_resources {
    ($component:ident, $resources:tt) => {
        impl $crate::bindings::readable::exports::remit::plugin::resources::Guest for $component {
            fn describe() -> $crate::bindings::readable::exports::remit::plugin::resources::Description {
                tool_set().describe_resources()
            }

            fn list(
                _: Option<String>,
                _: $crate::bindings::remit::data::common::Grants,
                _: $crate::bindings::remit::plugin::invocation::Invocation,
            ) -> $crate::Result<$crate::bindings::readable::exports::remit::plugin::resources::Page> {
                Ok($crate::bindings::readable::exports::remit::plugin::resources::Page {
                    resources: Vec::new(),
                    next: None,
                })
            }

            fn read(
                uri: String,
                grants: $crate::bindings::remit::data::common::Grants,
                invocation: $crate::bindings::remit::plugin::invocation::Invocation,
            ) -> $crate::Result<Vec<$crate::bindings::remit::plugin::types::ResourceContents>> {
                tool_set().read(&uri, &$crate::Call::of_host(grants, invocation))
            }

            fn complete(
                _: String,
                _: String,
                _: String,
                _: Vec<(String, String)>,
                _: $crate::bindings::remit::data::common::Grants,
                _: $crate::bindings::remit::plugin::invocation::Invocation,
            ) -> $crate::Result<$crate::bindings::remit::plugin::types::Completion> {
                Ok($crate::ToolSet::no_completion())
            }
        }

        $crate::bindings::readable::export_resources!($component with_types_in $crate::bindings::readable);
    };
}

/// Exports `remit:plugin/prompts`.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_prompts {
    ($component:ident, $prompts:tt) => {
        impl $crate::bindings::prompting::exports::remit::plugin::prompts::Guest for $component {
            fn describe() -> Vec<$crate::bindings::prompting::exports::remit::plugin::prompts::Prompt> {
                tool_set().describe_prompts()
            }

            fn get(
                prompt: String,
                arguments: Vec<(String, String)>,
                grants: $crate::bindings::remit::data::common::Grants,
                invocation: $crate::bindings::remit::plugin::invocation::Invocation,
            ) -> $crate::Result<$crate::bindings::prompting::exports::remit::plugin::prompts::Filled> {
                tool_set().fill(&prompt, arguments, &$crate::Call::of_host(grants, invocation))
            }

            fn complete(
                _: String,
                _: String,
                _: String,
                _: Vec<(String, String)>,
                _: $crate::bindings::remit::data::common::Grants,
                _: $crate::bindings::remit::plugin::invocation::Invocation,
            ) -> $crate::Result<$crate::bindings::remit::plugin::types::Completion> {
                Ok($crate::ToolSet::no_completion())
            }
        }

        $crate::bindings::prompting::export_prompts!($component with_types_in $crate::bindings::prompting);
    };
}
