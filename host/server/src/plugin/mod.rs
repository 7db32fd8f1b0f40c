//! `remit plugin`: the sandbox's part of what authors do. A component is examined as an upload is, and
//! its tools run through the `Catalogue`, as on a host.
//!
//! Deliberately absent: the other verbs (`remit-author`), and whatever would stay. Code and sources lie
//! in a folder that is gone afterwards.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the answers of a program for people")]

mod answers;
mod authored;
mod sources;
mod trial;
mod watched;

use std::{fs, path::Path, sync::Arc};

use anyhow::{Context as _, bail};
use remit_author::{Arguments, Described, Home, Test};
use remit_domain::{
    Error, TenantId, grant,
    limits::{Limit, Limits, Tier},
    plugin::{Computed, Description, Plugin, Workshop as _},
    tenant::Context,
};
use remit_sandbox::{Compiler, Registry, Sandbox};
use tempfile::TempDir;

/// Does what an author asks for.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<bool> {
    let home = Home::of(&std::env::current_dir().context("this folder is gone")?)?;
    remit_author::run(arguments.verb(), &home, &Here)
}

/// The sandbox of this program.
struct Here;

impl remit_author::Sandbox for Here {
    fn describe(&self, component: &Path) -> anyhow::Result<Described> {
        let wasm = fs::read(component).with_context(|| format!("cannot read {}", component.display()))?;
        let imports = remit_author::component::names(&wasm)?.imports;
        let bytes = u64::try_from(wasm.len()).unwrap_or(u64::MAX);
        let (tier, plugin) = runtime()?.block_on(async { Bench::new()?.examine(wasm).await })?;
        Ok(described(plugin.description(), bytes, tier, imports))
    }

    fn test(&self, component: &Path, sources: Option<&Path>, test: &Test) -> anyhow::Result<bool> {
        let wasm = fs::read(component).with_context(|| format!("cannot read {}", component.display()))?;
        let arguments = serde_json::from_str(&test.arguments).context("--arguments is not JSON")?;
        // What the sandbox says of a guest that traps, such as its panic's message, it says to the log.
        let _ = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::WARN)
            .with_writer(std::io::stderr)
            .without_time()
            .try_init();
        runtime()?.block_on(async {
            let bench = Bench::new()?;
            let (_, plugin) = bench.examine(wasm).await?;
            trial::run(plugin, sources, &test.tool, arguments, bench.folder.path()).await
        })
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Runtime::new().context("no runtime could be started")
}

/// A sandbox for one component.
struct Bench {
    registry: Registry,
    folder: TempDir,
}

impl Bench {
    fn new() -> anyhow::Result<Self> {
        /// The pool reserves address space for each.
        const CALLS: u64 = 4;
        // Under a name of its own that only this user can read: what lies there is run.
        let folder = tempfile::tempdir().context("no folder could be made for compiled components")?;
        let limits = Limits::default().with(Limit::ConcurrentCalls, CALLS);
        let (cache, secrets) = (folder.path().join("cache"), folder.path().join("secrets"));
        let sandbox = Sandbox::new(limits, Compiler::this_program()?, &cache, &secrets)?;
        Ok(Self { registry: Registry::new(Arc::new(sandbox)), folder })
    }

    /// Examines a component as an upload: of the smaller tier, or else of the larger.
    async fn examine(&self, wasm: Vec<u8>) -> anyhow::Result<(Tier, Arc<dyn Plugin>)> {
        let (wasm, uncounted) = (Arc::new(wasm), Computed::default());
        let examined = self.registry.examine(&Arc::new(blank(Tier::Small)?), wasm.clone(), &uncounted).await;
        let examined = match examined {
            Err(Error::Unfit { limit: Some(_), .. }) => {
                let large = self.registry.examine(&Arc::new(blank(Tier::Large)?), wasm, &uncounted).await;
                large.map(|plugin| (Tier::Large, plugin))
            }
            examined => examined.map(|plugin| (Tier::Small, plugin)),
        };
        match examined {
            Ok(examined) => Ok(examined),
            Err(error @ Error::Unfit { .. }) => {
                let hint = error.hint();
                bail!("{error}{}", hint.map(|hint| format!(" ({hint})")).unwrap_or_default())
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The context of a tenant that has nothing.
fn blank(uploads: Tier) -> anyhow::Result<Context> {
    Ok(Context {
        limits: Limits::default().of_one_tenant(),
        uploads,
        ..Context::of(TenantId::new("test")?, "Test Inc")
    })
}

fn described(description: &Description, bytes: u64, tier: Tier, imports: Vec<String>) -> Described {
    let tool = |tool: &remit_domain::plugin::Tool| remit_author::Tool {
        name: tool.name.clone(),
        description: tool.description.clone(),
        annotations: serde_json::to_value(tool.annotations).unwrap_or_default(),
        needs: needs(&tool.needs),
        input_schema: tool.input.authored().clone(),
        output_schema: tool.output.as_ref().map(|schema| schema.authored().clone()),
    };
    let resource = |resource: &remit_domain::plugin::Resource| remit_author::Resource {
        uri: resource.uri.clone(),
        needs: needs(&resource.needs),
    };
    let node = |node: &remit_domain::node::Node| remit_author::Node {
        name: node.name.clone(),
        description: node.description.clone(),
        needs: needs(&node.needs),
        branches: node.branches.clone(),
        harmless: node.repeat == remit_domain::node::Repeat::Harmless,
        config_schema: node.config.authored().clone(),
        output_schema: node.output.as_ref().map(|schema| schema.authored().clone()),
    };
    Described {
        name: description.name.to_string(),
        version: description.version.clone(),
        title: description.title.clone(),
        bytes,
        digest: description.digest.clone(),
        tier: tier.as_str().to_owned(),
        tools: description.tools.iter().map(tool).collect(),
        resources: description.resources.iter().map(resource).collect(),
        nodes: description.nodes.iter().map(node).collect(),
        imports,
    }
}

fn needs(needs: &[grant::Need]) -> Vec<remit_author::Need> {
    let need = |need: &grant::Need| remit_author::Need {
        source: need.source.to_string(),
        permission: need.permission.to_string(),
        optional: need.optional,
    };
    needs.iter().map(need).collect()
}
