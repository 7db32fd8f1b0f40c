//! How tenants' plugins are answered.

use std::collections::BTreeMap;

use remit_domain::{clock::rfc3339, library::Version, tenant::Context};
use remit_library::{Activated, Change, Offer, Reach};
use serde::Serialize;

/// An upload that was taken in.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Taken {
    success: bool,
    /// What the component calls itself.
    plugin: String,
    #[serde(flatten)]
    version: Shown,
    /// False if the same bytes were a version already.
    created: bool,
    #[schema(value_type = Vec<Object>)]
    tools: Vec<Offer>,
    #[schema(value_type = Vec<Object>)]
    resources: Vec<Offer>,
    /// Its kinds of workflow step.
    #[schema(value_type = Vec<Object>)]
    nodes: Vec<Offer>,
    /// What each agent's mapping grants it, and what it lacks.
    #[schema(value_type = Vec<Object>)]
    agents: Vec<Reach>,
    /// What differs from the version that serves; without one, from the newest before it or the operator's.
    #[schema(value_type = Vec<Object>)]
    changes: Vec<Change>,
    /// What the tenant would want to know.
    warnings: Vec<String>,
}

impl Taken {
    pub(super) fn of(stored: remit_library::Stored) -> Self {
        let remit_library::Stored { version, new, offers, changes, reach, shadows, .. } = stored;
        let plugin = version.upload.plugin.to_string();
        let mut warnings = Vec::new();
        // Steps are a workflow's to name, not a mapping's.
        if !offers.tools.is_empty() && !reach.iter().any(|reach| reach.mapped) {
            warnings.push(nobody(&plugin));
        }
        if shadows {
            let when = if version.active { "it" } else { "once active, it" };
            warnings.push(format!("{when} takes the place of the operator's {plugin}, for this tenant alone"));
        }
        let (tools, resources, nodes) = (offers.tools, offers.resources, offers.nodes);
        let version = Shown::of(version);
        Self { success: true, plugin, version, created: new, tools, resources, nodes, agents: reach, changes, warnings }
    }
}

/// One version.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Shown {
    /// The semantic version that it gives itself.
    version: String,
    /// The number that the host gives it.
    number: u32,
    /// Whether it serves.
    active: bool,
    /// `sha256:<hex>` of its bytes.
    digest: String,
    bytes: u64,
    /// When it came.
    uploaded: String,
    /// By which key, or `anyone`.
    by: String,
    /// Whose signature it bears.
    #[serde(skip_serializing_if = "Option::is_none")]
    signer: Option<String>,
}

impl Shown {
    fn of(version: Version) -> Self {
        let Version { number, active, upload } = version;
        Self {
            version: upload.says,
            number,
            active,
            digest: upload.digest.to_string(),
            bytes: upload.bytes,
            uploaded: rfc3339(upload.at),
            by: upload.by,
            signer: upload.signer,
        }
    }
}

/// The tenant's plugins.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Listed {
    success: bool,
    count: usize,
    plugins: Vec<Summary>,
}

/// One plugin.
#[derive(Serialize, utoipa::ToSchema)]
struct Summary {
    plugin: String,
    /// The number of the version that serves; null if none does.
    active: Option<u32>,
    /// The newest version's number.
    newest: u32,
    versions: usize,
    /// The agents whose mappings name it.
    agents: Vec<String>,
}

impl Listed {
    /// Of all versions, in order of plugin, the newest first.
    pub(super) fn of(context: &Context, versions: Vec<Version>) -> Self {
        let mut plugins: BTreeMap<String, Summary> = BTreeMap::new();
        for version in versions {
            let plugin = version.upload.plugin.to_string();
            let agents = naming(context, &plugin);
            let summary = plugins.entry(plugin.clone()).or_insert_with(|| Summary {
                plugin,
                active: None,
                newest: version.number,
                versions: 0,
                agents,
            });
            summary.versions += 1;
            summary.active = summary.active.or(version.active.then_some(version.number));
        }
        let plugins: Vec<Summary> = plugins.into_values().collect();
        Self { success: true, count: plugins.len(), plugins }
    }
}

/// A plugin's versions.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Versions {
    success: bool,
    plugin: String,
    /// The number of the version that serves; null if none does.
    active: Option<u32>,
    /// The newest first.
    versions: Vec<Kept>,
}

/// A version with what it offers.
#[derive(Serialize, utoipa::ToSchema)]
struct Kept {
    #[serde(flatten)]
    version: Shown,
    /// Its tools, resources and kinds of workflow step, with their needs.
    #[schema(value_type = Object)]
    offers: serde_json::Value,
}

impl Versions {
    pub(super) fn of(plugin: String, versions: Vec<Version>) -> Self {
        let active = versions.iter().find(|version| version.active).map(|version| version.number);
        let kept = |mut version: Version| Kept { offers: version.upload.offers.take(), version: Shown::of(version) };
        Self { success: true, plugin, active, versions: versions.into_iter().map(kept).collect() }
    }
}

/// A plugin that another version serves now.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Changed {
    success: bool,
    plugin: String,
    /// The version that served; null if none did.
    from: Option<u32>,
    /// The version that serves; null if none does.
    active: Option<u32>,
    /// What differs.
    #[schema(value_type = Vec<Object>)]
    changes: Vec<Change>,
    /// What the tenant would want to know.
    warnings: Vec<String>,
}

impl Changed {
    pub(super) fn of(context: &Context, plugin: String, activated: Activated) -> Self {
        let Activated { switch, changes, offers } = activated;
        let unused = !offers.tools.is_empty() && switch.to.is_some() && naming(context, &plugin).is_empty();
        let warnings = if unused { vec![nobody(&plugin)] } else { Vec::new() };
        Self { success: true, plugin, from: switch.from, active: switch.to, changes, warnings }
    }
}

/// What was removed.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Removed {
    pub(super) success: bool,
    pub(super) plugin: String,
    /// The versions' numbers.
    pub(super) removed: Vec<u32>,
}

/// The agents whose mappings name a set.
fn naming(context: &Context, plugin: &str) -> Vec<String> {
    let names = context.agents.iter().filter(|(_, agent)| {
        let sets = agent.mapping.as_ref().map(|mapping| &mapping.sets);
        sets.is_some_and(|sets| sets.iter().any(|set| set.as_str() == plugin))
    });
    names.map(|(name, _)| name.to_string()).collect()
}

fn nobody(plugin: &str) -> String {
    format!("no agent's mapping names {plugin}: add it to `mcpServer` of an agent in the tenant's context")
}
