//! What guests answer, in the domain's words. A guest's answer is not trusted: sizes are counted and
//! JSON is parsed here.

use remit_domain::{
    AgentName, Error, PluginName, SourceName, data,
    grant::Denial,
    plugin::{
        Audience, Content, ContentAnnotations, ContentBody, Media, Outcome, ResourceBody, ResourceContents,
        ResourceLink,
    },
    schema::Problem,
};

use crate::{
    bindings::{exports::remit::plugin::tools as wit_tools, remit::plugin::types as wit},
    capability::common,
};

/// An answer that is too large or malformed.
pub(crate) enum Wrong {
    TooLarge,
    Malformed(String),
}

/// A tool's answer, held to so many bytes in all.
pub(crate) fn outcome(outcome: wit_tools::Outcome, most: usize) -> Result<Outcome, Wrong> {
    let size = outcome.structured.as_ref().map_or(0, String::len)
        + outcome.content.iter().map(content_size).fold(0, usize::saturating_add);
    if size > most {
        return Err(Wrong::TooLarge);
    }
    let structured = outcome.structured.map(|text| serde_json::from_str::<serde_json::Value>(&text)).transpose();
    let structured =
        structured.map_err(|error| Wrong::Malformed(format!("its structured answer is not JSON: {error}")))?;
    if structured.as_ref().is_some_and(|value| !value.is_object()) {
        return Err(Wrong::Malformed("its structured answer is not a JSON object".to_owned()));
    }
    Ok(Outcome { content: outcome.content.into_iter().map(content).collect(), structured })
}

/// What a resource holds, held to so many bytes in all.
pub(crate) fn contents(contents: Vec<wit::ResourceContents>, most: usize) -> Result<Vec<ResourceContents>, Wrong> {
    if contents.iter().map(contents_size).fold(0, usize::saturating_add) > most {
        return Err(Wrong::TooLarge);
    }
    Ok(contents.into_iter().map(resource_contents).collect())
}

/// Why a guest says that a call failed.
pub(crate) fn call_error(error: wit::CallError, plugin: &PluginName, agent: &AgentName) -> Error {
    let bad_answer = |reason: String| Error::BadAnswer { plugin: plugin.clone(), reason };
    match error {
        wit::CallError::Unknown(name) => {
            bad_answer(format!("it does not know `{}`, which it describes", cut(&name, 128)))
        }
        wit::CallError::Invalid(problems) => {
            Error::InvalidArguments(problems.into_iter().take(20).map(problem).collect())
        }
        wit::CallError::NotGranted(name) => match SourceName::new(&name) {
            Ok(wanted) => Error::Denied(Denial::NotMapped { agent: agent.clone(), wanted }),
            Err(_) => bad_answer("it misses a source whose name is not one".to_owned()),
        },
        wit::CallError::Source(failure) => match (SourceName::new(&failure.source), common::reported(failure.cause)) {
            (_, data::Error::Cancelled) => Error::Cancelled,
            (Ok(source_name), cause) => Error::Source { source_name, cause },
            (Err(_), _) => bad_answer("it blames a source whose name is not one".to_owned()),
        },
        wit::CallError::Refused(text) => Error::Refused(cut(&text, 4096)),
        wit::CallError::Suspended => {
            bad_answer("it waits for an answer to a question that nobody was asked".to_owned())
        }
        wit::CallError::Cancelled => Error::Cancelled,
    }
}

fn problem(problem: wit::Problem) -> Problem {
    Problem { pointer: cut(&problem.pointer, 512), message: cut(&problem.message, 1024) }
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

fn content(content: wit::Content) -> Content {
    let (body, annotations) = match content {
        wit::Content::Text(it) => (ContentBody::Text(it.text), it.annotations),
        wit::Content::Image(it) => {
            (ContentBody::Image(Media { data: it.data, mime_type: it.mime_type }), it.annotations)
        }
        wit::Content::Audio(it) => {
            (ContentBody::Audio(Media { data: it.data, mime_type: it.mime_type }), it.annotations)
        }
        wit::Content::ResourceLink(it) => {
            let link = ResourceLink {
                uri: it.uri,
                name: it.name,
                title: it.title,
                description: it.description,
                mime_type: it.mime_type,
                size: it.size,
            };
            (ContentBody::Link(link), it.annotations)
        }
        wit::Content::Embedded(it) => (ContentBody::Embedded(resource_contents(it.contents)), it.annotations),
    };
    let audience = |audience| match audience {
        wit::Audience::User => Audience::User,
        wit::Audience::Assistant => Audience::Assistant,
    };
    let annotations = annotations.map(|it| ContentAnnotations {
        audience: it.audience.into_iter().map(audience).collect(),
        priority: it.priority,
        last_modified: it.last_modified,
    });
    Content { body, annotations }
}

fn resource_contents(contents: wit::ResourceContents) -> ResourceContents {
    let body = match contents.body {
        wit::ResourceBody::Text(text) => ResourceBody::Text(text),
        wit::ResourceBody::Blob(bytes) => ResourceBody::Blob(bytes),
    };
    ResourceContents { uri: contents.uri, mime_type: contents.mime_type, body }
}

fn content_size(content: &wit::Content) -> usize {
    match content {
        wit::Content::Text(it) => it.text.len(),
        wit::Content::Image(it) | wit::Content::Audio(it) => it.data.len() + it.mime_type.len(),
        wit::Content::ResourceLink(it) => {
            let optional = [&it.title, &it.description, &it.mime_type];
            it.uri.len()
                + it.name.len()
                + optional.iter().map(|text| text.as_ref().map_or(0, String::len)).sum::<usize>()
        }
        wit::Content::Embedded(it) => contents_size(&it.contents),
    }
}

fn contents_size(contents: &wit::ResourceContents) -> usize {
    let body = match &contents.body {
        wit::ResourceBody::Text(text) => text.len(),
        wit::ResourceBody::Blob(bytes) => bytes.len(),
    };
    contents.uri.len() + body
}
