//! Somebody whom a tenant's own authorization server vouches for.

use std::{fmt, sync::Arc};

/// Who a token speaks of: an issuer and its own name for somebody.
///
/// Two issuers may use one name for two people, so neither half means anything without the other.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject {
    text: Arc<str>,
    issuer: usize,
}

const SCHEME: &str = "oauth:";

impl Subject {
    /// How many characters an issuer's name for somebody may have: OpenID Connect's own bound.
    pub const MAX_LENGTH: usize = 255;

    /// Checks an issuer's name for somebody: 1 to [`Self::MAX_LENGTH`] printable ASCII characters, as
    /// they go into logs and audit events as they are. The issuer is its URL, which has no `#`.
    pub fn new(issuer: &str, name: &str) -> Option<Self> {
        let printable = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        let fit = !name.is_empty() && name.len() <= Self::MAX_LENGTH && printable(name);
        let fit = fit && !issuer.is_empty() && printable(issuer) && !issuer.contains('#');
        fit.then(|| Self { text: format!("{SCHEME}{issuer}#{name}").into(), issuer: issuer.len() })
    }

    /// `oauth:<issuer>#<name>`: what lists, logs and audit events call it by. No key has such a name.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Who vouches for it.
    pub fn issuer(&self) -> &str {
        self.text.get(SCHEME.len()..SCHEME.len() + self.issuer).unwrap_or_default()
    }

    /// What its issuer calls it.
    pub fn name(&self) -> &str {
        self.text.get(SCHEME.len() + self.issuer + 1..).unwrap_or_default()
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_an_issuer_s_name_for_somebody() {
        let subject = Subject::new("https://login.example.com/", "user#1 of 2");
        let parts = subject.as_ref().map(|it| (it.as_str(), it.issuer(), it.name()));
        let expected = ("oauth:https://login.example.com/#user#1 of 2", "https://login.example.com/", "user#1 of 2");
        assert_eq!(parts, Some(expected));
        let long = "x".repeat(Subject::MAX_LENGTH + 1);
        for bad in ["", "two\nlines", "caf\u{e9}", "\u{7f}", long.as_str()] {
            assert_eq!(Subject::new("https://a", bad), None, "{bad:.20}");
        }
        assert_eq!((Subject::new("", "a"), Subject::new("https://a#b", "a")), (None, None));
    }
}
