//! What a component says of itself, checked. A description is a guest's word: names, sizes, counts
//! and schemas are all held to the contract before anyone reads them.

use std::collections::BTreeSet;

use remit_domain::{
    PluginName, SourceName,
    grant::{Need, Permission},
    plugin::{Annotations, Description, Resource, Template, Tool},
    schema::Schema,
};

use crate::{
    Error,
    bindings::{
        exports::remit::plugin::{resources as wit_resources, tools as wit_tools},
        remit::plugin::types as wit,
    },
};

const MAX_TOOLS: usize = 128;
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

/// Checks a description. Errors: [`Error::BadDescription`] naming the first thing that is wrong.
pub(crate) fn check(
    tools: wit_tools::Description,
    resources: Option<wit_resources::Description>,
    digest: &str,
) -> Result<Description, Error> {
    let name = PluginName::new(&tools.name).map_err(|error| bad(error.to_string()))?;
    let version_fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
    if tools.version.is_empty() || tools.version.len() > 64 || !tools.version.chars().all(version_fits) {
        return Err(bad("its version is not one".to_owned()));
    }
    at_most("tools", tools.tools.len(), MAX_TOOLS)?;
    let (mut names, mut patterns, mut pattern_bytes) = (BTreeSet::new(), 0, 0);
    let checked = tools.tools.into_iter().map(|it| {
        let tool = tool(it)?;
        for schema in [Some(&tool.input), tool.output.as_ref()].into_iter().flatten() {
            patterns += schema.patterns();
            pattern_bytes += schema.pattern_bytes();
        }
        at_most("patterns in its schemas", patterns, MAX_PATTERNS)?;
        at_most("bytes of patterns in its schemas", pattern_bytes, MAX_PATTERN_BYTES)?;
        if names.insert(tool.name.clone()) {
            Ok(tool)
        } else {
            Err(bad(format!("two tools are called `{}`", tool.name)))
        }
    });
    let tools_checked = checked.collect::<Result<Vec<_>, _>>()?;
    let (fixed, templates) = match resources {
        Some(resources) => described_resources(resources)?,
        None => (Vec::new(), Vec::new()),
    };
    Ok(Description {
        name,
        version: tools.version,
        digest: digest.to_owned(),
        title: text("a title", tools.title, MAX_TITLE_BYTES)?,
        instructions: text("the instructions", tools.instructions, MAX_INSTRUCTIONS_BYTES)?,
        tools: tools_checked,
        resources: fixed,
        templates,
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
