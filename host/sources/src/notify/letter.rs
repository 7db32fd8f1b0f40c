//! A mail that was checked: what is made of a guest's words, under the tenant's rules.
//!
//! Deliberately absent: how it travels.

use remit_domain::{
    data::{
        Error,
        notify::{Address, Attachment, Body, MAX_ATTACHMENT_BYTES, MAX_ATTACHMENTS, MAX_RECIPIENTS, Mail},
    },
    scope::Scope,
    source,
};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    bounded, has_controls,
    inbox::{Kept, KeptFile},
    template::Templates,
};

/// The most bytes of a subject: a line of a mail, by RFC 5322.
const MAX_SUBJECT_BYTES: usize = 998;
/// The most bytes of an attachment's name and type.
const MAX_NAME_BYTES: usize = 255;

/// A mail that was checked.
#[derive(Debug)]
pub(super) struct Letter {
    /// Its id, which is its `Message-ID` without brackets.
    pub(super) id: String,
    pub(super) from: Address,
    pub(super) to: Vec<Address>,
    pub(super) cc: Vec<Address>,
    pub(super) bcc: Vec<Address>,
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: Option<String>,
    pub(super) template: Option<String>,
    pub(super) attachments: Vec<Attachment>,
}

impl Letter {
    /// Checks a mail and fills its template. `scope` names the templates that the agent may use, and
    /// [`source::Mail::FREE_TEXT`] where it may write without one.
    ///
    /// Errors: `denied` for a recipient, template or text that is not permitted; `invalid`; `limit`.
    pub(super) fn new(rules: &source::Mail, templates: &Templates, scope: &Scope, mail: &Mail) -> Result<Self, Error> {
        let words = match &mail.body {
            Body::Text { text, html } => text.len().saturating_add(html.as_ref().map_or(0, String::len)),
            Body::Template { name, data } => name.len().saturating_add(data.len()),
        };
        bounded([mail.subject.len(), words])?;
        let [to, cc, bcc] = recipients(rules, mail)?;
        let (template, made, text, html) = match &mail.body {
            Body::Text { .. } if !scope.holds(source::Mail::FREE_TEXT) => {
                return Err(Error::Denied("the agent may send templates alone, and no text of its own".to_owned()));
            }
            Body::Text { text, html } => (None, None, text.clone(), html.clone()),
            Body::Template { name, data } => {
                if !rules.templates.contains_key(name) || !scope.holds(name) {
                    return Err(Error::Denied("the agent may not use this template".to_owned()));
                }
                let filled = templates.fill(name, &object(data)?)?;
                (Some(name.clone()), filled.subject, filled.text, filled.html)
            }
        };
        let subject = if mail.subject.is_empty() { made.unwrap_or_default() } else { mail.subject.clone() };
        if subject.is_empty() || subject.len() > MAX_SUBJECT_BYTES || has_controls(&subject) {
            let rule = "a subject is one line of 1 to 998 bytes, without control characters";
            return Err(Error::Invalid(rule.to_owned()));
        }
        // A carriage return by itself is read as a line's end by some servers and not by others: a text with one
        // could end the mail there and begin another.
        let (text, html) = (lines(&text), html.as_deref().map(lines));
        let texts = [Some(text.as_str()), html.as_deref()];
        if texts.into_iter().flatten().any(|text| text.contains('\0')) {
            return Err(Error::Invalid("the text holds a zero byte".to_owned()));
        }
        Ok(Self {
            id: format!("{}@{}", Uuid::now_v7(), rules.from.domain()),
            from: rules.from.clone(),
            to,
            cc,
            bcc,
            subject,
            text,
            html,
            template,
            attachments: attachments(&mail.attachments)?,
        })
    }

    /// How many it goes to.
    pub(super) fn recipients(&self) -> usize {
        self.to.len() + self.cc.len() + self.bcc.len()
    }

    /// As it is kept where it is not sent.
    pub(super) fn kept(self) -> Kept {
        let shown = |addresses: Vec<Address>| addresses.iter().map(ToString::to_string).collect();
        let file =
            |file: Attachment| KeptFile { name: file.name, media_type: file.media_type, bytes: file.bytes.len() };
        Kept {
            kind: "mail",
            id: self.id,
            from: Some(self.from.to_string()),
            to: shown(self.to),
            cc: shown(self.cc),
            bcc: shown(self.bcc),
            subject: Some(self.subject),
            template: self.template,
            text: self.text,
            html: self.html,
            attachments: self.attachments.into_iter().map(file).collect(),
            ..Kept::default()
        }
    }
}

/// The recipients: whom the mail names, or the channel's own.
fn recipients(rules: &source::Mail, mail: &Mail) -> Result<[Vec<Address>; 3], Error> {
    let named = [&mail.to, &mail.cc, &mail.bcc].map(Vec::len).into_iter().fold(0, usize::saturating_add);
    let limit = || Error::Limit { name: "max-recipients", allowed: MAX_RECIPIENTS as u64 };
    if named > MAX_RECIPIENTS {
        return Err(limit());
    }
    let addresses = |texts: &[String]| texts.iter().map(|text| Address::new(text)).collect::<Result<Vec<_>, _>>();
    let mut all = [addresses(&mail.to)?, addresses(&mail.cc)?, addresses(&mail.bcc)?];
    if let Some(patterns) = &rules.to
        && all.iter().flatten().any(|address| !patterns.iter().any(|pattern| pattern.admits(address)))
    {
        return Err(Error::Denied("the tenant's mail does not go to one of these recipients".to_owned()));
    }
    if let [to, ..] = &mut all
        && to.is_empty()
    {
        *to = rules.to.iter().flatten().filter_map(remit_domain::data::notify::Pattern::address).collect();
        if to.is_empty() {
            return Err(Error::Invalid("the mail names no recipient, and the channel has none of its own".to_owned()));
        }
    }
    if all.iter().map(Vec::len).fold(0, usize::saturating_add) > MAX_RECIPIENTS {
        return Err(limit());
    }
    Ok(all)
}

fn object(data: &str) -> Result<Map<String, Value>, Error> {
    if data.is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_str(data).map_err(|_| Error::Invalid("a template is filled with a JSON object".to_owned()))
}

fn attachments(given: &[Attachment]) -> Result<Vec<Attachment>, Error> {
    if given.len() > MAX_ATTACHMENTS {
        return Err(Error::Limit { name: "max-attachments", allowed: MAX_ATTACHMENTS as u64 });
    }
    if given.iter().map(|file| file.bytes.len()).fold(0, usize::saturating_add) > MAX_ATTACHMENT_BYTES {
        return Err(Error::Limit { name: "max-attachment-bytes", allowed: MAX_ATTACHMENT_BYTES as u64 });
    }
    for file in given {
        let name = &file.name;
        if name.is_empty()
            || name.len() > MAX_NAME_BYTES
            || has_controls(name)
            || name.contains(['/', '\\', '"'])
            || matches!(name.as_str(), "." | "..")
        {
            return Err(Error::Invalid("an attachment's name is a file's name of at most 255 bytes".to_owned()));
        }
        if !is_media_type(&file.media_type) {
            return Err(Error::Invalid("an attachment's type is such as `application/pdf`".to_owned()));
        }
    }
    Ok(given.to_vec())
}

fn is_media_type(text: &str) -> bool {
    let word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    // What holds parts of its own would be taken apart by the reader's program.
    text.len() <= MAX_NAME_BYTES
        && text
            .split_once('/')
            .is_some_and(|(kind, rest)| word(kind) && word(rest) && !kind.eq_ignore_ascii_case("multipart"))
}
/// A text whose lines end in one way.
fn lines(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}
