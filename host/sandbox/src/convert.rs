//! What guests answer, in the domain's words. A guest's answer is not trusted: sizes are counted and
//! JSON is parsed here.

use remit_domain::{
    AgentName, Error, PluginName, SourceName, data,
    grant::Denial,
    node,
    plugin::{
        Audience, Content, ContentAnnotations, ContentBody, Media, Outcome, ResourceBody, ResourceContents,
        ResourceLink,
    },
    schema::Problem,
};

use crate::{
    bindings::{
        exports::remit::plugin::{nodes as wit_nodes, tools as wit_tools},
        remit::plugin::types as wit,
    },
    capability::common,
    traffic::Size,
};

/// An answer that is too large or malformed.
pub(crate) enum Wrong {
    TooLarge,
    Malformed(String),
}

/// A tool's answer, held to so many bytes in all.
pub(crate) fn outcome(outcome: wit_tools::Outcome, most: usize) -> Result<Outcome, Wrong> {
    if (&outcome.structured, &outcome.content).size() > most {
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

/// What a step came to, held to so many bytes in all. Whether its way is one, and its output meets the
/// schema, is another matter.
pub(crate) fn step(outcome: wit_nodes::Outcome, most: usize) -> Result<node::Outcome, Wrong> {
    if (&outcome.output, &outcome.branch).size() > most {
        return Err(Wrong::TooLarge);
    }
    let output: serde_json::Value = serde_json::from_str(&outcome.output)
        .map_err(|error| Wrong::Malformed(format!("a step's output is not JSON: {error}")))?;
    if !output.is_object() {
        return Err(Wrong::Malformed("a step's output is not a JSON object".to_owned()));
    }
    Ok(node::Outcome { output, branch: outcome.branch })
}

/// What is wrong with a step's configuration; `None` if that is too much to be said.
pub(crate) fn problems(problems: Vec<wit::Problem>) -> Option<Vec<Problem>> {
    const MOST: usize = 64 << 10;
    let sizes = problems.iter().map(|problem| EACH.saturating_add((&problem.pointer, &problem.message).size()));
    if sizes.fold(0, usize::saturating_add) > MOST {
        return None;
    }
    let mut found: Vec<Problem> = problems.into_iter().take(20).map(problem).collect();
    // What is refused without a reason is refused.
    if found.is_empty() {
        found.push(Problem { pointer: String::new(), message: "the plugin refuses it".to_owned() });
    }
    Some(found)
}

/// What a resource holds, held to so many bytes in all.
pub(crate) fn contents(contents: Vec<wit::ResourceContents>, most: usize) -> Result<Vec<ResourceContents>, Wrong> {
    if contents.size() > most {
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

/// What each piece of an answer takes here, however little is in it.
const EACH: usize = 64;

impl Size for wit::Content {
    fn size(&self) -> usize {
        EACH + match self {
            Self::Text(it) => (&it.text, &it.annotations).size(),
            Self::Image(it) | Self::Audio(it) => (&it.data, &it.mime_type, &it.annotations).size(),
            Self::ResourceLink(it) => {
                let texts = (&it.uri, &it.name, (&it.title, &it.description, &it.mime_type));
                (texts, &it.annotations).size()
            }
            Self::Embedded(it) => (&it.contents, &it.annotations).size(),
        }
    }
}

impl Size for wit::ContentAnnotations {
    fn size(&self) -> usize {
        self.audience.len().saturating_add(self.last_modified.size())
    }
}

impl Size for wit::ResourceContents {
    fn size(&self) -> usize {
        let body = match &self.body {
            wit::ResourceBody::Text(text) => text.len(),
            wit::ResourceBody::Blob(bytes) => bytes.len(),
        };
        EACH + (&self.uri, &self.mime_type).size().saturating_add(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_an_answer_counts() {
        let long = || "x".repeat(1_000);
        let annotations = || wit::ContentAnnotations {
            audience: vec![wit::Audience::User; 1_000],
            priority: None,
            last_modified: Some(long()),
        };
        let text = wit::Content::Text(wit::TextContent { text: long(), annotations: Some(annotations()) });
        assert_eq!(text.size(), EACH + 3_000);
        let image = wit::Content::Image(wit::MediaContent { data: vec![0; 10], mime_type: long(), annotations: None });
        assert_eq!(image.size(), EACH + 1_010);
        let body = wit::ResourceBody::Text(long());
        let contents = wit::ResourceContents { uri: long(), mime_type: Some(long()), body };
        assert_eq!(contents.size(), EACH + 3_000);
        let empty = || wit::Content::Text(wit::TextContent { text: String::new(), annotations: None });
        let pieces =
            |count: usize| wit_tools::Outcome { content: (0..count).map(|_| empty()).collect(), structured: None };
        assert!(outcome(pieces(100), 100 * EACH).is_ok());
        assert!(matches!(outcome(pieces(101), 100 * EACH), Err(Wrong::TooLarge)));
    }
}
