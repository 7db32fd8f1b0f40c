//! The file of sources for `remit plugin test`, as an author writes it: YAML or JSON.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context as _;
use remit_config::{Fault, Faults, File, Located, join};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Who calls, and what the call finds.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Authored {
    /// The tenant; `test` without it.
    pub(super) tenant: Option<String>,
    /// The agent; `test` without it.
    pub(super) agent: Option<String>,
    /// Who asks, in the tenant's own terms.
    pub(super) user: Option<String>,
    /// Who the tenant is.
    pub(super) company: Option<Company>,
    /// The plugin's settings.
    #[serde(default)]
    pub(super) settings: Map<String, Value>,
    /// The tenant's sources, by name.
    #[serde(default)]
    pub(super) sources: BTreeMap<String, Source>,
}

/// Who the tenant is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Company {
    /// Such as `TechStart Inc`.
    pub(super) name: String,
    /// Such as `Technology`.
    pub(super) industry: Option<String>,
    /// An IANA name; `UTC` without it.
    pub(super) timezone: Option<String>,
}

/// One source: exactly one of `sql`, `documents`, `files`, `api` and `channel`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Source {
    /// What the agent's mapping permits; `read` without it, `none` for a source that it does not name.
    #[serde(default)]
    pub(super) permission: Permitted,
    /// A script that makes the tables and fills them, in SQLite's SQL.
    pub(super) sql: Option<String>,
    /// Documents, by collection.
    pub(super) documents: Option<BTreeMap<String, Vec<Value>>>,
    /// Files of text, by path.
    pub(super) files: Option<BTreeMap<String, String>>,
    /// Somebody's HTTP API.
    pub(super) api: Option<Api>,
    /// A channel to people. What is sent is printed and goes nowhere.
    pub(super) channel: Option<Channel>,
}

/// A channel to people.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Channel {
    /// Mail, without templates.
    Email,
    /// The rooms of a chat, of which `#test` is the agent's own.
    Slack,
}

/// What a mapping permits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Permitted {
    /// Nothing.
    None,
    /// To look.
    #[default]
    Read,
    /// To look and to change.
    Write,
}

/// An HTTP API that gives fixed answers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Api {
    /// Whose rules hold for what reads and what writes; `rest` without it.
    #[serde(default)]
    pub(super) provider: Provider,
    /// What it answers. The first that fits a request is given; 404 where none does.
    pub(super) answers: Vec<Answer>,
}

/// Whose API it is.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Provider {
    /// Any.
    #[default]
    Rest,
    /// Shopify.
    Shopify,
    /// Salesforce.
    Salesforce,
}

/// One answer.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Answer {
    /// The request's method; `GET` without it.
    pub(super) method: Option<String>,
    /// The request's path, as the plugin writes it.
    pub(super) path: String,
    /// What its query must hold at least.
    #[serde(default)]
    pub(super) query: BTreeMap<String, String>,
    /// 200 without it.
    #[schemars(range(min = 200, max = 599))]
    pub(super) status: Option<u16>,
    /// Headers of the answer.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    /// The answer, as JSON.
    pub(super) json: Option<Value>,
    /// The answer, as text.
    pub(super) text: Option<String>,
}

/// Reads a file. Errors: all its faults, with line and column.
pub(super) fn read(path: &Path) -> anyhow::Result<(Authored, Located)> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let file = File::read(folder, path).map_err(Faults::from)?;
    let located = Located::yaml(&file).map_err(Faults::from)?;
    let (authored, mut faults) = located.read::<Authored>();
    if let Some(authored) = &authored {
        faults.extend(kinds(authored, &located));
    }
    Faults::none(faults)?;
    authored.context("the file can't be read").map(|authored| (authored, located))
}

/// Whether each source is of one kind.
fn kinds(authored: &Authored, located: &Located) -> Vec<Fault> {
    let of = |source: &Source| {
        let given = [
            source.sql.is_some(),
            source.documents.is_some(),
            source.files.is_some(),
            source.api.is_some(),
            source.channel.is_some(),
        ];
        given.into_iter().filter(|given| *given).count()
    };
    let wrong = authored.sources.iter().filter(|(_, source)| of(source) != 1);
    wrong
        .map(|(name, _)| {
            located
                .at_key(&join("/sources", name), "a source has one of `sql`, `documents`, `files`, `api` and `channel`")
        })
        .collect()
}
