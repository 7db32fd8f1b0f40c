//! Agents: what they are told, what they may use.

use std::collections::{BTreeMap, BTreeSet};

use remit_domain::{
    AgentName, PluginName, SourceName,
    grant::Permission,
    scope::Scope,
    tenant::{Agent, Mapping},
};

use super::{Reader, authored, network::WEB};
use crate::{
    fault::{closest, one_of},
    located::join,
};

/// Names that are routes under `/api/`, so that no agent can have them.
const RESERVED: [&str; 9] = ["workflows", "mcp", "health", "plugins", "debug", "keys", "audit", "usage", "hooks"];

/// What an agent that says nothing else gets.
const TEMPERATURE: f32 = 0.7;

impl Reader<'_> {
    pub(super) fn agents(&mut self, authored: &authored::Context) -> BTreeMap<AgentName, Agent> {
        let names: BTreeSet<&String> = authored.prompts.agents.keys().chain(authored.agent_mappings.keys()).collect();
        let mut agents = BTreeMap::new();
        for name in &names {
            let prompt_at = join("/prompts/agents", name);
            let mapping_at = join("/agentMappings", name);
            let first = if authored.prompts.agents.contains_key(*name) { &prompt_at } else { &mapping_at };
            if RESERVED.contains(&name.as_str()) {
                let message = format!("`{name}` is a route of the host, not an agent's name");
                self.faults.push(self.located.at_key(first, message).hint("choose another name"));
                continue;
            }
            let id = match AgentName::new(name) {
                Ok(id) => id,
                Err(invalid) => {
                    self.faults.push(self.located.at_key(first, invalid.to_string()));
                    continue;
                }
            };
            let prompt = authored.prompts.agents.get(*name);
            let mapping = authored.agent_mappings.get(*name).map(|mapping| self.mapping(&mapping_at, mapping));
            if let Some(tools) = prompt.and_then(|prompt| prompt.tools.as_ref()) {
                self.tools(&join(&prompt_at, "tools"), tools, mapping.as_ref());
            }
            let told = prompt.and_then(|prompt| prompt.system_prompt.clone());
            let agent = Agent {
                system_prompt: told.unwrap_or_else(|| format!("You are a helpful {name} agent.")),
                temperature: prompt.and_then(|prompt| prompt.temperature).unwrap_or(TEMPERATURE),
                tools: prompt.and_then(|prompt| prompt.tools.as_ref()).map(|tools| tools.iter().cloned().collect()),
                mapping,
                workflows: authored.workflows.get(*name).cloned().unwrap_or_default(),
            };
            agents.insert(id, agent);
        }
        for name in authored.workflows.keys().filter(|name| !names.contains(name)) {
            let fault = self.located.at_key(&join("/workflows", name), format!("there is no agent `{name}`"));
            self.faults.push(fault.hint_if(closest(name, names.iter().map(|name| name.as_str()))));
        }
        agents
    }

    fn mapping(&mut self, pointer: &str, mapping: &authored::Mapping) -> Mapping {
        let scopes = self.scopes(pointer, mapping);
        let mut made = Mapping { order: Vec::new(), permissions: BTreeMap::new(), scopes, sets: Vec::new() };
        let defined = self.defined();
        for (at, name) in mapping.data_sources.iter().enumerate() {
            let at = format!("{pointer}/dataSources/{at}");
            if !defined.contains(name) {
                let fault = self.located.at(&at, format!("`dataSources` defines no `{name}`"));
                self.faults.push(fault.hint_if(one_of(name, defined.iter().map(String::as_str))));
                continue;
            }
            // A defined name that is none is a fault where it is defined.
            let Ok(name) = SourceName::new(name) else { continue };
            let permission = match mapping.permissions.get(name.as_str()) {
                Some(listed) if listed.contains(&authored::Permission::Write) => Permission::Write,
                _ => Permission::Read,
            };
            if made.permissions.insert(name.clone(), permission).is_some() {
                self.at(&at, format!("`{name}` stands twice"), "keep one");
            } else {
                made.order.push(name);
            }
        }
        // What the tenant's list of hosts grants, an agent's own mapping may narrow.
        if let Some(web) = SourceName::new(WEB).ok().filter(|web| self.has_web() && !made.order.contains(web)) {
            made.permissions.insert(web.clone(), Permission::Write);
            made.order.push(web);
        }
        for name in mapping.permissions.keys().filter(|name| !mapping.data_sources.contains(name)) {
            let at = join(&join(pointer, "permissions"), name);
            let fault = self.located.at_key(&at, format!("`{name}` is not among this agent's `dataSources`"));
            self.faults.push(fault.hint_if(closest(name, mapping.data_sources.iter().map(String::as_str))));
        }
        let many = self.located.get(&format!("{pointer}/mcpServer")).is_some_and(serde_json::Value::is_array);
        for (at, name) in mapping.mcp_server.0.iter().enumerate() {
            let at = if many { format!("{pointer}/mcpServer/{at}") } else { format!("{pointer}/mcpServer") };
            match PluginName::new(name) {
                Err(invalid) => self.faults.push(self.located.at(&at, invalid.to_string())),
                Ok(set) if made.sets.contains(&set) => self.at(&at, format!("`{set}` stands twice"), "keep one"),
                Ok(set) => {
                    if let Some(sets) = self.around.sets.filter(|sets| !sets.contains_key(name)) {
                        let warning = self.located.at(&at, format!("MCP server class not found: {name}"));
                        self.warnings.push(warning.hint_if(closest(name, sets.keys().map(String::as_str))));
                    }
                    made.sets.push(set);
                }
            }
        }
        made
    }

    /// What a mapping narrows its sources to.
    fn scopes(&mut self, pointer: &str, mapping: &authored::Mapping) -> BTreeMap<SourceName, Scope> {
        let mut scopes = BTreeMap::new();
        for (text, only) in &mapping.only {
            let at = join(&join(pointer, "only"), text);
            if !mapping.data_sources.contains(text) {
                let fault = self.located.at_key(&at, format!("`{text}` is not among this agent's `dataSources`"));
                self.faults.push(fault.hint_if(closest(text, mapping.data_sources.iter().map(String::as_str))));
                continue;
            }
            let (Ok(name), Some(wanted)) = (SourceName::new(text), self.parts(text)) else { continue };
            let all = [("tables", &only.tables), ("collections", &only.collections), ("paths", &only.paths)];
            for (key, _) in all.iter().filter(|(key, listed)| *key != wanted && listed.is_some()) {
                let message = format!("`{text}` has no `{key}`");
                self.faults.push(self.located.at_key(&join(&at, key), message).hint(format!("it has `{wanted}`")));
            }
            match all.into_iter().find(|(key, _)| *key == wanted).and_then(|(_, listed)| listed.clone()) {
                Some(listed) => drop(scopes.insert(name, Scope::only(listed))),
                // A source that is named and not narrowed is a slip that must not open it.
                None => self.at(&at, format!("`{text}` needs `{wanted}` here"), "or leave the source out of `only`"),
            }
        }
        scopes
    }

    /// What a source consists of, as `only` names it; `None` for a source that is not defined.
    fn parts(&self, name: &str) -> Option<&'static str> {
        let within = |category| self.located.get(&join(&format!("/dataSources/{category}"), name));
        if let Some(database) = within("databases") {
            let kind = database.get("type").and_then(serde_json::Value::as_str);
            return Some(if matches!(kind, Some("mongodb" | "documents")) { "collections" } else { "tables" });
        }
        let web = name == WEB && self.has_web();
        (web || within("apis").is_some() || within("files").is_some()).then_some("paths")
    }

    /// Checks the names of tools, if the sets of the agent are all built.
    fn tools(&mut self, pointer: &str, tools: &[String], mapping: Option<&Mapping>) {
        let mut seen = BTreeSet::new();
        for (at, tool) in tools.iter().enumerate().filter(|(_, tool)| !seen.insert(*tool)) {
            self.at(&format!("{pointer}/{at}"), format!("`{tool}` stands twice"), "keep one");
        }
        let (Some(sets), Some(mapping)) = (self.around.sets, mapping) else { return };
        let Some(built) = mapping.sets.iter().map(|set| sets.get(set.as_str())).collect::<Option<Vec<_>>>() else {
            return;
        };
        let known: BTreeSet<&str> = built.into_iter().flatten().map(String::as_str).collect();
        for (at, tool) in tools.iter().enumerate() {
            // Offered by the host itself.
            let hosts_own = tool == "read_resource" || tool.starts_with("workflow_");
            if !hosts_own && !known.contains(tool.as_str()) {
                let at = format!("{pointer}/{at}");
                let fault = self.located.at(&at, format!("this agent's tool sets have no tool `{tool}`"));
                self.faults.push(fault.hint_if(one_of(tool, known.iter().copied())));
            }
        }
    }

    /// The names of all sources as written, faulty ones included, so that a fault in a source is not
    /// also reported where the source is used.
    fn defined(&self) -> BTreeSet<String> {
        ["databases", "apis", "files"]
            .iter()
            .filter_map(|category| self.located.get(&format!("/dataSources/{category}"))?.as_object())
            .flat_map(|sources| sources.keys().cloned())
            .chain(self.has_web().then(|| WEB.to_owned()))
            .collect()
    }
}
