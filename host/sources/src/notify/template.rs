//! Templates of mails: filled with a plugin's object, strictly. A name that the object lacks is an error, HTML
//! is escaped, and what filling may take is bounded.
//!
//! Deliberately absent: any way from one template to another (`include`, `import`, `extends`), and to files.

use std::collections::BTreeMap;

use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior};
use remit_domain::{
    data::{Error, notify::MAX_RENDERED_BYTES},
    source::Template,
};
use serde_json::{Map, Value};

/// What filling one part may take: instructions, and 64 bytes of text each.
const FUEL: u64 = 50_000;
/// The most characters of an error's detail.
const MAX_DETAIL: usize = 200;

/// A tenant's templates.
pub(super) struct Templates {
    environment: Environment<'static>,
    /// Which parts each has beside its text.
    parts: BTreeMap<String, (bool, bool)>,
}

/// A template that was filled.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Filled {
    pub(super) subject: Option<String>,
    pub(super) text: String,
    pub(super) html: Option<String>,
}

impl Templates {
    /// Errors: `invalid` for a text that is no template.
    pub(super) fn new(templates: &BTreeMap<String, Template>) -> Result<Self, Error> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.set_auto_escape_callback(|name| match name.ends_with(".html") {
            true => AutoEscape::Html,
            false => AutoEscape::None,
        });
        let mut parts = BTreeMap::new();
        for (name, template) in templates {
            let texts = [
                ("subject.txt", &template.subject),
                ("body.txt", &Some(template.text.clone())),
                ("body.html", &template.html),
            ];
            for (part, text) in texts {
                let Some(text) = text else { continue };
                let added = environment.add_template_owned(format!("{name}/{part}"), text.clone());
                added.map_err(|_| Error::Invalid(format!("the template `{name}` is faulty")))?;
            }
            parts.insert(name.clone(), (template.subject.is_some(), template.html.is_some()));
        }
        Ok(Self { environment, parts })
    }

    /// Fills a template. Errors: `denied` for one that is not there; `invalid` for an object that does not fit;
    /// `limit`.
    pub(super) fn fill(&self, name: &str, data: &Map<String, Value>) -> Result<Filled, Error> {
        let Some((subject, html)) = self.parts.get(name) else {
            return Err(Error::Denied("the tenant has no such template".to_owned()));
        };
        let part = |part: &str| self.part(name, part, data);
        Ok(Filled {
            subject: subject.then(|| part("subject.txt")).transpose()?.map(|subject| subject.trim().to_owned()),
            text: part("body.txt")?,
            html: html.then(|| part("body.html")).transpose()?,
        })
    }

    fn part(&self, name: &str, part: &str, data: &Map<String, Value>) -> Result<String, Error> {
        let limit = || Error::Limit { name: "max-rendered-bytes", allowed: MAX_RENDERED_BYTES as u64 };
        let template = self.environment.get_template(&format!("{name}/{part}"));
        let filled =
            template.and_then(|template| template.render(minijinja::Value::from(minijinja::value::Serde(data))));
        match filled {
            Ok(text) if text.len() <= MAX_RENDERED_BYTES => Ok(text),
            Ok(_) => Err(limit()),
            Err(error) if error.kind() == ErrorKind::OutOfFuel => Err(limit()),
            Err(error) => {
                let line = error.line().map(|line| format!(" in line {line}")).unwrap_or_default();
                let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
                let detail: String = detail.chars().take(MAX_DETAIL).collect();
                Err(Error::Invalid(format!(
                    "the template `{name}` can't be filled: {}{line} of {part}{detail}",
                    error.kind()
                )))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    fn templates(subject: Option<&str>, text: &str, html: Option<&str>) -> Templates {
        let owned = |text: &str| text.to_owned();
        let template = Template { subject: subject.map(owned), text: owned(text), html: html.map(owned) };
        Templates::new(&BTreeMap::from([("welcome".to_owned(), template)])).unwrap()
    }

    fn filled(templates: &Templates, data: Value) -> Result<Filled, Error> {
        templates.fill("welcome", data.as_object().unwrap())
    }

    #[test]
    fn html_is_escaped_and_text_is_not() {
        let welcome = templates(
            Some("Hello {{ name }}\n"),
            "Dear {{ name | default('friend') }},\n{% for item in items %}- {{ item }}\n{% endfor %}",
            Some("<p title=\"{{ name }}\">{{ name }}</p>"),
        );
        let filled = filled(&welcome, json!({"name": "<b onx=\"1\">A & B</b>", "items": [1, "<2>"]})).unwrap();
        assert_eq!(filled.subject.as_deref(), Some("Hello <b onx=\"1\">A & B</b>"));
        assert_eq!(filled.text, "Dear <b onx=\"1\">A & B</b>,\n- 1\n- <2>\n");
        let html = filled.html.unwrap();
        assert!(!html.contains("<b") && html.starts_with("<p title=\"&lt;b onx=&quot;1&quot;&gt;"), "{html}");
    }

    #[test]
    fn what_is_missing_is_an_error_with_its_place() {
        let welcome = templates(None, "Hello\n{{ name }}", None);
        let missing = filled(&welcome, json!({})).unwrap_err().to_string();
        assert!(missing.contains("`welcome`") && missing.contains("in line 2 of body.txt"), "{missing}");
        assert_eq!(filled(&welcome, json!({"name": "a"})).unwrap().html, None);
        let friendly = templates(None, "{{ name | default('friend') }}{% if name is defined %}!{% endif %}", None);
        assert_eq!(filled(&friendly, json!({})).unwrap().text, "friend");
        assert!(matches!(welcome.fill("../welcome", &Map::new()), Err(Error::Denied(_))));
    }

    #[test]
    fn a_template_reaches_no_other() {
        for text in [
            "{% include 'welcome/body.txt' %}",
            "{% extends 'x' %}",
            "{% import 'x' as y %}",
            "{% include '/etc/passwd' %}",
            "{{ nothing('x') }}",
            "{% unclosed",
        ] {
            let template = Template { subject: None, text: text.to_owned(), html: None };
            let made = Templates::new(&BTreeMap::from([("a".to_owned(), template)]));
            let refused = made.and_then(|made| made.fill("a", &Map::new()));
            assert!(matches!(refused, Err(Error::Invalid(_))), "{text}: {refused:?}");
        }
    }

    #[test]
    fn what_filling_takes_is_bounded() {
        let many: Vec<u32> = (0..2_000).collect();
        for text in [
            "{% for a in items %}{% for b in items %}{{ b }}{% endfor %}{% endfor %}",
            "{{ 'x' * 100000000 }}",
            "{% for a in range(10000) %}{{ words }}{% endfor %}",
            "{% for a in range(10) %}{{ words }}{{ words }}{% endfor %}",
        ] {
            let big = filled(&templates(None, text, None), json!({"items": many, "words": "x".repeat(20_000)}));
            assert!(matches!(big, Err(Error::Limit { name: "max-rendered-bytes", .. })), "{text}: {big:?}");
        }
    }
}
