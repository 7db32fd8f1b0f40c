//! What a component says of itself, checked. A description is a guest's word: names, sizes, counts
//! and schemas are all held to the contract before anyone reads them.

use std::collections::BTreeSet;

use remit_domain::{
    PluginName, SourceName,
    grant::{Need, Permission},
    node::{Node, Repeat, Validated},
    plugin::{Annotations, Description, Resource, Template, Tool},
    schema::Schema,
};

use crate::{
    Error,
    bindings::{
        exports::remit::plugin::{nodes as wit_nodes, resources as wit_resources, tools as wit_tools},
        remit::plugin::types as wit,
    },
};

const MAX_TOOLS: usize = 128;
const MAX_NODES: usize = 128;
const MAX_BRANCHES: usize = 32;
const MAX_PLAIN: usize = 256;
const MAX_RESOURCES: usize = 128;
const MAX_TEMPLATES: usize = 32;
const MAX_NEEDS: usize = 64;
const MAX_DESCRIPTION_BYTES: usize = 4 << 10;
const MAX_INSTRUCTIONS_BYTES: usize = 16 << 10;
const MAX_TITLE_BYTES: usize = 256;
const MAX_URI_BYTES: usize = 1 << 10;
const MAX_SCHEMA_BYTES: usize = 64 << 10;
/// Of all schemas together. Searches in them take memory for each thread that searches: 288 KiB for a pattern,
/// if its author is hostile.
const MAX_PATTERNS: usize = 128;
/// What these take, compiled, for as long as the plugin is there.
const MAX_PATTERN_BYTES: usize = 2 << 20;

/// What a component says of itself.
pub(crate) struct Told {
    pub(crate) tools: Option<wit_tools::Description>,
    pub(crate) resources: Option<wit_resources::Description>,
    pub(crate) nodes: Option<wit_nodes::Description>,
}

/// Checks a description. Errors: [`Error::BadDescription`] naming the first thing that is wrong.
pub(crate) fn check(told: Told, digest: &str) -> Result<Description, Error> {
    let mut patterns = Patterns::default();
    let of_tools = told.tools.as_ref().map(|tools| (tools.name.clone(), tools.version.clone()));
    let of_nodes = told.nodes.as_ref().map(|nodes| (nodes.name.clone(), nodes.version.clone()));
    if let (Some(of_tools), Some(of_nodes)) = (&of_tools, &of_nodes)
        && of_tools != of_nodes
    {
        return Err(bad("its tools and its nodes call it by different names or versions".to_owned()));
    }
    let (name, version) = of_tools.or(of_nodes).ok_or_else(|| bad("it describes nothing".to_owned()))?;
    let name = PluginName::new(&name).map_err(|error| bad(error.to_string()))?;
    let version_fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
    if version.is_empty() || version.len() > 64 || !version.chars().all(version_fits) {
        return Err(bad("its version is not one".to_owned()));
    }
    let mut described = Description {
        name,
        version,
        digest: digest.to_owned(),
        title: None,
        instructions: None,
        tools: Vec::new(),
        resources: Vec::new(),
        templates: Vec::new(),
        nodes: Vec::new(),
    };
    if let Some(tools) = told.tools {
        described.title = text("a title", tools.title, MAX_TITLE_BYTES)?;
        described.instructions = text("the instructions", tools.instructions, MAX_INSTRUCTIONS_BYTES)?;
        described.tools = described_tools(tools.tools, &mut patterns)?;
    }
    if let Some(resources) = told.resources {
        (described.resources, described.templates) = described_resources(resources)?;
    }
    if let Some(nodes) = told.nodes {
        described.nodes = described_nodes(nodes.nodes, &mut patterns)?;
    }
    Ok(described)
}

/// The patterns of all of a plugin's schemas.
#[derive(Default)]
struct Patterns {
    count: usize,
    bytes: usize,
}

impl Patterns {
    fn add(&mut self, schemas: [Option<&Schema>; 2]) -> Result<(), Error> {
        for schema in schemas.into_iter().flatten() {
            self.count += schema.patterns();
            self.bytes += schema.pattern_bytes();
        }
        at_most("patterns in its schemas", self.count, MAX_PATTERNS)?;
        at_most("bytes of patterns in its schemas", self.bytes, MAX_PATTERN_BYTES)
    }
}

fn described_tools(tools: Vec<wit_tools::Tool>, patterns: &mut Patterns) -> Result<Vec<Tool>, Error> {
    at_most("tools", tools.len(), MAX_TOOLS)?;
    let mut names = BTreeSet::new();
    let checked = tools.into_iter().map(|it| {
        let tool = tool(it)?;
        patterns.add([Some(&tool.input), tool.output.as_ref()])?;
        if names.insert(tool.name.clone()) {
            Ok(tool)
        } else {
            Err(bad(format!("two tools are called `{}`", tool.name)))
        }
    });
    checked.collect()
}

fn described_nodes(nodes: Vec<wit_nodes::Node>, patterns: &mut Patterns) -> Result<Vec<Node>, Error> {
    at_most("nodes", nodes.len(), MAX_NODES)?;
    let mut names = BTreeSet::new();
    let checked = nodes.into_iter().map(|it| {
        let node = node(it)?;
        patterns.add([Some(&node.config), node.output.as_ref()])?;
        if names.insert(node.name.clone()) {
            Ok(node)
        } else {
            Err(bad(format!("two nodes are called `{}`", node.name)))
        }
    });
    checked.collect()
}

fn node(node: wit_nodes::Node) -> Result<Node, Error> {
    let name = element_name("a node", node.name)?;
    // A workflow calls it `<plugin>.<name>`, and the last point parts the two.
    if name.contains('.') {
        return Err(bad(format!("the node `{name}` has a point in its name")));
    }
    let at = |what: &str| format!("{what} of `{name}`");
    at_most(&format!("ways out of `{name}`"), node.branches.len(), MAX_BRANCHES)?;
    let mut branches = Vec::new();
    for branch in node.branches {
        let branch = element_name(&at("a way out"), branch)?;
        if branches.contains(&branch) {
            return Err(bad(format!("two ways out of `{name}` are called `{branch}`")));
        }
        branches.push(branch);
    }
    Ok(Node {
        title: text(&at("the title"), node.title, MAX_TITLE_BYTES)?,
        description: bounded(&at("the description"), node.description, MAX_DESCRIPTION_BYTES)?,
        config: schema(&at("the schema of the `config`"), &node.config_schema)?,
        output: node.output_schema.map(|text| output(&at("the output schema"), &text)).transpose()?,
        branches,
        repeat: repeat(node.repeat),
        needs: needs(&name, node.needs)?,
        name,
    })
}

fn tool(tool: wit_tools::Tool) -> Result<Tool, Error> {
    let name = element_name("a tool", tool.name)?;
    let at = |what: &str| format!("{what} of `{name}`");
    let input = schema(&at("the input schema"), &tool.input_schema)?;
    let output = tool.output_schema.map(|text| schema(&at("the output schema"), &text)).transpose()?;
    let annotations = Annotations {
        read_only: tool.annotations.read_only,
        destructive: tool.annotations.destructive,
        idempotent: tool.annotations.idempotent,
        open_world: tool.annotations.open_world,
    };
    let needs = needs(&name, tool.needs)?;
    let needs = if annotations.read_only { reading(&name, needs)? } else { needs };
    Ok(Tool {
        title: text(&at("the title"), tool.title, MAX_TITLE_BYTES)?,
        description: bounded(&at("the description"), tool.description, MAX_DESCRIPTION_BYTES)?,
        input,
        output,
        annotations,
        needs,
        name,
    })
}

fn described_resources(described: wit_resources::Description) -> Result<(Vec<Resource>, Vec<Template>), Error> {
    at_most("resources", described.resources.len(), MAX_RESOURCES)?;
    at_most("templates", described.templates.len(), MAX_TEMPLATES)?;
    let mut seen = BTreeSet::new();
    let mut once = |key: &str| {
        if seen.insert(key.to_owned()) { Ok(()) } else { Err(bad(format!("two resources are called `{key}`"))) }
    };
    let mut fixed = Vec::new();
    for it in described.resources {
        let name = element_name("a resource", it.name)?;
        once(&name)?;
        once(&it.uri)?;
        fixed.push(Resource {
            uri: bounded("a resource's address", it.uri, MAX_URI_BYTES)?,
            title: text("a resource's title", it.title, MAX_TITLE_BYTES)?,
            description: text("a resource's description", it.description, MAX_DESCRIPTION_BYTES)?,
            mime_type: text("a resource's type", it.mime_type, MAX_TITLE_BYTES)?,
            needs: reading(&name, needs(&name, it.needs)?)?,
            name,
        });
    }
    let mut templates = Vec::new();
    for it in described.templates {
        let name = element_name("a template", it.name)?;
        once(&name)?;
        if it.uri_template.contains("}{") {
            return Err(bad(format!("two variables of the template `{name}` have nothing between them")));
        }
        templates.push(Template {
            uri_template: bounded("a template", it.uri_template, MAX_URI_BYTES)?,
            title: text("a template's title", it.title, MAX_TITLE_BYTES)?,
            description: text("a template's description", it.description, MAX_DESCRIPTION_BYTES)?,
            mime_type: text("a template's type", it.mime_type, MAX_TITLE_BYTES)?,
            needs: reading(&name, needs(&name, it.needs)?)?,
            name,
        });
    }
    Ok((fixed, templates))
}

/// What is only read must not need to write.
fn reading(of: &str, needs: Vec<Need>) -> Result<Vec<Need>, Error> {
    if needs.iter().any(|need| need.permission == Permission::Write) {
        return Err(bad(format!("`{of}` is only read, and needs to write")));
    }
    Ok(needs)
}

fn repeat(repeat: wit_nodes::Repeat) -> Repeat {
    match repeat {
        wit_nodes::Repeat::Harmless => Repeat::Harmless,
        wit_nodes::Repeat::Harmful => Repeat::Harmful,
    }
}

/// What a component says of a step with one configuration. Errors: [`Error::BadDescription`].
pub(crate) fn validated(node: &str, said: wit_nodes::Validated) -> Result<Validated, Error> {
    at_most("values that must be plain", said.plain.len(), MAX_PLAIN)?;
    let pointer = |pointer: String| {
        let pointer = bounded("a JSON pointer", pointer, MAX_URI_BYTES)?;
        if pointer.is_empty() || pointer.starts_with('/') {
            Ok(pointer)
        } else {
            Err(bad("what must be plain is not named by a JSON pointer".to_owned()))
        }
    };
    let plain = said.plain.into_iter().map(pointer).collect::<Result<_, _>>()?;
    Ok(Validated { needs: needs(node, said.needs)?, repeat: repeat(said.repeat), plain })
}

fn needs(of: &str, needs: Vec<wit::Need>) -> Result<Vec<Need>, Error> {
    at_most("needs", needs.len(), MAX_NEEDS)?;
    let mut seen = BTreeSet::new();
    let need = |need: wit::Need| {
        let source = SourceName::new(&need.source).map_err(|error| bad(format!("a need of `{of}`: {error}")))?;
        if !seen.insert(source.clone()) {
            return Err(bad(format!("`{of}` needs `{source}` twice")));
        }
        let permission = match need.permission {
            wit::Permission::Read => Permission::Read,
            wit::Permission::Write => Permission::Write,
        };
        Ok(Need { source, permission, optional: need.optional })
    };
    needs.into_iter().map(need).collect()
}

fn schema(what: &str, text: &str) -> Result<Schema, Error> {
    if text.len() > MAX_SCHEMA_BYTES {
        return Err(bad(format!("{what} has more than {MAX_SCHEMA_BYTES} bytes")));
    }
    let schema = Schema::parse(text).map_err(|error| bad(format!("{what} is {error}")))?;
    if schema.authored().get("type").and_then(|it| it.as_str()) == Some("object") {
        Ok(schema)
    } else {
        Err(bad(format!("{what} is not that of an object")))
    }
}

/// The schema of a step's output, which is an object whatever the schema says of it.
fn output(what: &str, text: &str) -> Result<Schema, Error> {
    if text.len() > MAX_SCHEMA_BYTES {
        return Err(bad(format!("{what} has more than {MAX_SCHEMA_BYTES} bytes")));
    }
    let schema = Schema::parse(text).map_err(|error| bad(format!("{what} is {error}")))?;
    match schema.authored().get("type").map(serde_json::Value::as_str) {
        None | Some(Some("object")) => Ok(schema),
        Some(_) => Err(bad(format!("{what} is not that of an object"))),
    }
}

fn element_name(what: &str, name: String) -> Result<String, Error> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if (1..=128).contains(&name.len()) && name.chars().all(fits) {
        Ok(name)
    } else {
        Err(bad(format!("{what} has a name that is not 1 to 128 characters of A-Z, a-z, 0-9, `_`, `.` and `-`")))
    }
}

fn text(what: &str, text: Option<String>, most: usize) -> Result<Option<String>, Error> {
    text.map(|text| bounded(what, text, most)).transpose()
}

fn bounded(what: &str, text: String, most: usize) -> Result<String, Error> {
    if text.len() <= most { Ok(text) } else { Err(bad(format!("{what} has more than {most} bytes"))) }
}

fn at_most(what: &str, count: usize, most: usize) -> Result<(), Error> {
    if count <= most { Ok(()) } else { Err(bad(format!("it has {count} {what}; {most} are allowed"))) }
}

fn bad(reason: String) -> Error {
    Error::BadDescription(reason)
}
