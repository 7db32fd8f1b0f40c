//! Templates of mails: a folder each, in the folder of the tenant's name below the host's `templatesDir`. Read
//! and checked with the context that names them, so that a faulty one never takes a good one's place.
//!
//! Deliberately absent: filling them (`remit-sources`).

use std::path::Path;

use remit_domain::source::Template;

use super::Reader;
use crate::{
    fault::{Fault, Spot},
    located::{File, shown},
};

/// The files of a template, of which `body.txt` must be there.
const SUBJECT: &str = "subject.txt";
const TEXT: &str = "body.txt";
const HTML: &str = "body.html";

/// The most bytes of one of them.
const MAX_BYTES: usize = 128 * 1024;

impl Reader<'_> {
    /// The template in a folder.
    pub(super) fn template(&mut self, pointer: &str, folder: &str) -> Option<Template> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if folder.is_empty() || folder.len() > 64 || !folder.bytes().all(plain) {
            let hint = "1 to 64 characters of A-Z, a-z, 0-9, `_` and `-`: a folder in the tenant's own";
            self.at(pointer, format!("`{folder}` is not a template's name"), hint);
            return None;
        }
        let root = &self.around.host.root;
        let place = self.around.host.templates_dir.join(self.tenant.as_str()).join(folder);
        if !place.is_dir() {
            let hint = format!("it lies in {}", shown(root, &place));
            self.at(pointer, format!("there is no template `{folder}`"), hint);
            return None;
        }
        let [subject, text, html] = [SUBJECT, TEXT, HTML].map(|name| self.template_part(root, &place.join(name)));
        match (subject, text, html) {
            (Some(subject), Some(Some(text)), Some(html)) => Some(Template { subject, text, html }),
            (_, Some(None), _) => {
                let message = format!("the template `{folder}` has no {TEXT}");
                self.at(pointer, message, "readers without HTML see that");
                None
            }
            _ => None,
        }
    }

    /// One of a template's files, if it is there. None if it is faulty.
    fn template_part(&mut self, root: &Path, path: &Path) -> Option<Option<String>> {
        if !path.exists() {
            return Some(None);
        }
        let file = match File::read(root, path) {
            Ok(file) => file,
            Err(fault) => {
                self.faults.push(fault);
                return None;
            }
        };
        let fault = |line: usize, message: String| {
            let line = u32::try_from(line).unwrap_or(u32::MAX);
            Fault::new(&file.name, Spot { line, column: 1 }, message)
        };
        if file.text.len() > MAX_BYTES {
            self.faults.push(fault(1, format!("longer than {MAX_BYTES} bytes")));
            return None;
        }
        let mut environment = minijinja::Environment::new();
        if let Err(error) = environment.add_template("template", &file.text) {
            let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
            self.faults.push(fault(error.line().unwrap_or(1), format!("not a template{detail}")));
            return None;
        }
        Some(Some(file.text.clone()))
    }
}
