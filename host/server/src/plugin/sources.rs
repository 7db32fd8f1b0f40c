//! Sources for a trial, made of an author's file: real ones, reached by the real connectors.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use anyhow::Context as _;
use remit_config::{Located, join};
use remit_domain::{
    AgentName, SourceName,
    data::{
        Handle, Sources, files,
        notify::{Address, Room},
    },
    grant::{Grant, Grants, Permission},
    source::{Api, Auth, Credentials, Definition, Kind, Mail, Provider, Slack},
    tenant::{Agent, Context, Mapping, Tenants},
};
use remit_sources::{
    Notify, Pools, Settings,
    guard::{Guard, NetworkRules},
};

use super::{
    answers::{self, MARK},
    authored::{self, Authored, Permitted, Source},
    trial::Fixed,
};

/// Documents given to the store at once.
const BATCH: usize = 1_000;

/// The connectors, with leave to reach this machine, where the trial's APIs are.
pub(super) fn connectors() -> anyhow::Result<Arc<dyn Sources>> {
    let guard = Guard::new(NetworkRules::new(["127.0.0.1"])?)?;
    let notify = Notify { inbox: Some(Arc::default()), ..Notify::default() };
    Ok(Pools::with_notify(Settings::default(), guard, notify))
}

/// Makes the sources of a file in a folder.
///
/// Errors: a name that is none, a script that SQLite does not take, a document that the store does not.
pub(super) async fn make(
    authored: &mut Authored,
    located: &Located,
    folder: &Path,
) -> anyhow::Result<BTreeMap<SourceName, Arc<Definition>>> {
    let apis = authored
        .sources
        .iter_mut()
        .filter_map(|(name, source)| Some((name.clone(), std::mem::take(&mut source.api.as_mut()?.answers))));
    let apis: BTreeMap<_, _> = apis.collect();
    let address = if apis.is_empty() { None } else { Some(answers::serve(apis).await?) };
    let mut definitions = BTreeMap::new();
    for (text, source) in &authored.sources {
        let pointer = join("/sources", text);
        let name =
            SourceName::new(text).with_context(|| located.at_key(&pointer, "no name of a source").to_string())?;
        let path = folder.join(format!("{text}.db"));
        let (authored_kind, kind) = match source {
            Source { sql: Some(script), .. } => {
                let made = remit_sources::make_sqlite(&path, script).await;
                made.with_context(|| located.at(&join(&pointer, "sql"), "SQLite does not take it").to_string())?;
                ("sqlite", Kind::Sqlite { path })
            }
            Source { api: Some(api), .. } => {
                let base = address.map(|address| format!("http://{address}/{text}")).unwrap_or_default();
                let (authored_kind, api) = remote(api.provider, &base);
                (authored_kind, Kind::Api(api))
            }
            Source { files: Some(_), .. } => ("local", Kind::LocalFolder { path: folder.join(text) }),
            Source { channel: Some(authored::Channel::Email), .. } => ("email", Kind::Mail(mail()?)),
            Source { channel: Some(authored::Channel::Slack), .. } => ("slack", Kind::Slack(rooms(authored)?)),
            _ => ("documents", Kind::DocumentFile { path }),
        };
        let definition = Definition {
            name: name.clone(),
            authored_kind: authored_kind.to_owned(),
            kind,
            revision: String::new(),
            cache: None,
        };
        definitions.insert(name, Arc::new(definition));
    }
    Ok(definitions)
}

/// Fills the document stores and the folders, through the connector that will read them.
pub(super) async fn fill(
    authored: &Authored,
    located: &Located,
    context: &Context,
    connectors: &Arc<dyn Sources>,
) -> anyhow::Result<()> {
    let writer = AgentName::new("test")?;
    for (text, source) in &authored.sources {
        if source.documents.is_none() && source.files.is_none() {
            continue;
        }
        let name = SourceName::new(text)?;
        let grant = Grant { source: name.clone(), permission: Permission::Write };
        let mapping = mapping([(name.clone(), Permission::Write)], Vec::new());
        let context = Arc::new(Context {
            agents: BTreeMap::from([(writer.clone(), agent(mapping))]),
            sources: context.sources.clone(),
            ..super::blank(context.uploads)?
        });
        let tenants: Arc<dyn Tenants> = Arc::new(Fixed(context.clone()));
        let grants = Grants::new(&context, &writer, vec![grant], &tenants, connectors);
        let (permit, handle) = grants.open(text).await?;
        let at = |kind: &str, key: &str| join(&join(&join("/sources", text), kind), key);
        match handle {
            Handle::Documents(store) => {
                for (collection, documents) in source.documents.iter().flatten() {
                    let documents: Vec<String> = documents.iter().map(ToString::to_string).collect();
                    for batch in documents.chunks(BATCH) {
                        let inserted = store.insert(permit.write()?, collection, batch).await;
                        inserted.with_context(|| {
                            located.at_key(&at("documents", collection), "the store does not take it").to_string()
                        })?;
                    }
                }
            }
            Handle::Files(folder) => {
                for (path, bytes) in source.files.iter().flatten() {
                    let refused = || located.at_key(&at("files", path), "the folder does not take it").to_string();
                    let safe = files::Path::inside(path).with_context(refused)?;
                    let always = &files::Condition::Always;
                    folder.write(permit.write()?, &safe, bytes.as_bytes(), always).await.with_context(refused)?;
                }
            }
            Handle::Sql(_) | Handle::Api(_) | Handle::Channel(_) => {}
        }
    }
    Ok(())
}

/// The agent that calls, with what its mapping permits.
pub(super) fn caller(authored: &Authored, set: remit_domain::PluginName) -> anyhow::Result<Agent> {
    let mut permissions = Vec::new();
    for (name, source) in &authored.sources {
        let permission = match source.permission {
            Permitted::None => continue,
            Permitted::Read => Permission::Read,
            Permitted::Write => Permission::Write,
        };
        permissions.push((SourceName::new(name)?, permission));
    }
    Ok(agent(mapping(permissions, vec![set])))
}

fn agent(mapping: Mapping) -> Agent {
    Agent { system_prompt: String::new(), temperature: 0.0, tools: None, mapping: Some(mapping), workflows: Vec::new() }
}

fn mapping(
    permissions: impl IntoIterator<Item = (SourceName, Permission)>,
    sets: Vec<remit_domain::PluginName>,
) -> Mapping {
    let permissions: BTreeMap<_, _> = permissions.into_iter().collect();
    let order = permissions.keys().cloned().collect();
    Mapping { order, permissions, scopes: BTreeMap::new(), sets }
}

/// Mail that goes nowhere, from nobody.
fn mail() -> anyhow::Result<Mail> {
    Ok(Mail { from: Address::new("test@test.example")?, templates: BTreeMap::new(), to: None, server: None })
}

/// Rooms of nobody.
fn rooms(authored: &Authored) -> anyhow::Result<Slack> {
    let agent = AgentName::new(authored.agent.as_deref().unwrap_or("test"))?;
    Ok(Slack { rooms: BTreeMap::from([(agent, Room::new("#test")?)]), access: None })
}

/// An API at an address of this machine.
fn remote(provider: authored::Provider, address: &str) -> (&'static str, Api) {
    let (authored_kind, provider) = match provider {
        authored::Provider::Rest => ("rest", Provider::Rest),
        authored::Provider::Shopify => ("shopify", Provider::Shopify),
        authored::Provider::Salesforce => ("salesforce", Provider::Salesforce),
    };
    let (address, uri) = match provider {
        Provider::Rest => (format!("{address}/{MARK}"), None),
        // A context names the shop; where it is reached is the credential's.
        _ => ("test".to_owned(), Some(address.to_owned().into())),
    };
    let credentials = Credentials { token: Some("test".to_owned().into()), uri, ..Credentials::default() };
    let api_version = Some(MARK.to_owned());
    (authored_kind, Api { provider, address, api_version, auth: Auth::None, graphql: None, rate: None, credentials })
}
