//! The domain's tools, resources and answers in MCP's words.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use remit_domain::plugin;
use rmcp::model::{
    Annotations, AudioContent, CallToolResult, ContentBlock, EmbeddedResource, ImageContent, JsonObject, Resource,
    ResourceContents, ResourceTemplate, Role, TextContent, Tool, ToolAnnotations,
};
use serde_json::Value;

pub(super) fn tool(tool: &plugin::Tool) -> Tool {
    let mut annotations = ToolAnnotations::default();
    annotations.title = tool.title.clone();
    annotations.read_only_hint = Some(tool.annotations.read_only);
    annotations.destructive_hint = Some(tool.annotations.destructive);
    annotations.idempotent_hint = Some(tool.annotations.idempotent);
    annotations.open_world_hint = Some(tool.annotations.open_world);
    let mut converted = Tool::new(tool.name.clone(), tool.description.clone(), object(tool.input.authored()));
    converted.title = tool.title.clone();
    converted.output_schema = tool.output.as_ref().map(|schema| object(schema.authored()));
    converted.annotations = Some(annotations);
    converted
}

fn object(value: &Value) -> Arc<JsonObject> {
    Arc::new(value.as_object().cloned().unwrap_or_default())
}

pub(super) fn resource(resource: plugin::Resource) -> Resource {
    let mut converted = Resource::new(resource.uri, resource.name);
    converted.title = resource.title;
    converted.description = resource.description;
    converted.mime_type = resource.mime_type;
    converted
}

pub(super) fn template(template: plugin::Template) -> ResourceTemplate {
    let mut converted = ResourceTemplate::new(template.uri_template, template.name);
    converted.title = template.title;
    converted.description = template.description;
    converted.mime_type = template.mime_type;
    converted
}

pub(super) fn contents(contents: plugin::ResourceContents) -> ResourceContents {
    let converted = match contents.body {
        plugin::ResourceBody::Text(text) => ResourceContents::text(text, contents.uri),
        plugin::ResourceBody::Blob(bytes) => ResourceContents::blob(BASE64.encode(bytes), contents.uri),
    };
    match contents.mime_type {
        Some(mime_type) => converted.with_mime_type(mime_type),
        None => converted,
    }
}

/// A tool's answer. Structured answers stand as text too, for clients that read only that.
pub(super) fn answer(outcome: plugin::Outcome) -> CallToolResult {
    let mut content: Vec<ContentBlock> = outcome.content.into_iter().map(block).collect();
    if let (true, Some(structured)) = (content.is_empty(), &outcome.structured) {
        content.push(ContentBlock::text(structured.to_string()));
    }
    let mut result = CallToolResult::success(content);
    result.structured_content = outcome.structured;
    result
}

fn block(content: plugin::Content) -> ContentBlock {
    let notes = content.annotations.map(annotations);
    match content.body {
        plugin::ContentBody::Text(text) => {
            let mut it = TextContent::new(text);
            it.annotations = notes;
            ContentBlock::Text(it)
        }
        plugin::ContentBody::Image(media) => {
            let mut it = ImageContent::new(BASE64.encode(media.data), media.mime_type);
            it.annotations = notes;
            ContentBlock::Image(it)
        }
        plugin::ContentBody::Audio(media) => {
            let mut it = AudioContent::new(BASE64.encode(media.data), media.mime_type);
            it.annotations = notes;
            ContentBlock::Audio(it)
        }
        plugin::ContentBody::Link(link) => {
            let mut it = Resource::new(link.uri, link.name);
            it.title = link.title;
            it.description = link.description;
            it.mime_type = link.mime_type;
            it.size = link.size;
            it.annotations = notes;
            ContentBlock::ResourceLink(it)
        }
        plugin::ContentBody::Embedded(embedded) => {
            let mut it = EmbeddedResource::new(contents(embedded));
            it.annotations = notes;
            ContentBlock::Resource(it)
        }
    }
}

fn annotations(given: plugin::ContentAnnotations) -> Annotations {
    let role = |audience| match audience {
        plugin::Audience::User => Role::User,
        plugin::Audience::Assistant => Role::Assistant,
    };
    let audience: Vec<Role> = given.audience.into_iter().map(role).collect();
    let mut converted = Annotations::default();
    converted.audience = (!audience.is_empty()).then_some(audience);
    #[expect(clippy::cast_possible_truncation, reason = "from 0 to 1; MCP's library keeps it in 32 bits")]
    let priority = given.priority.map(|priority| priority as f32);
    converted.priority = priority;
    converted.last_modified = given.last_modified;
    converted
}
