//! What a message may name: addresses, patterns of addresses, rooms. A value that exists is valid, and holds
//! nothing that could end a header, start another address or be read otherwise by a mail server.

use std::fmt;

use super::Error;

/// The most bytes of an address, by RFC 5321 (less its angle brackets), and of the part before its `@`.
const MAX_ADDRESS_BYTES: usize = 254;
const MAX_LOCAL_BYTES: usize = 64;
/// The most bytes of a name of DNS.
const MAX_DOMAIN_BYTES: usize = 253;
/// The most characters of a room's name, as Slack has it.
const MAX_ROOM_CHARS: usize = 80;

/// A mail address: `name@domain` in ASCII.
///
/// Narrower than RFC 5321, on purpose: no quoted names and no addresses of IP, and neither `%` nor `!`, by
/// which old servers forward to other domains whatever stands after the `@`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address(String);

impl Address {
    /// Checks a text. Errors: `invalid`, which does not show it.
    pub fn new(text: &str) -> Result<Self, Error> {
        let valid = text.len() <= MAX_ADDRESS_BYTES
            && text.split_once('@').is_some_and(|(name, domain)| is_name(name) && is_domain(domain));
        if valid { Ok(Self(text.to_owned())) } else { Err(Error::Invalid("that is not a mail address".to_owned())) }
    }

    /// The address itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands after the `@`.
    pub fn domain(&self) -> &str {
        self.0.split_once('@').map(|(_, domain)| domain).unwrap_or_default()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

fn is_name(name: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"#$&'*+/=?^_`{|}~-".contains(&byte))
    };
    name.len() <= MAX_LOCAL_BYTES && name.split('.').all(part)
}

fn is_domain(domain: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = domain.rsplit('.').next().unwrap_or_default();
    domain.len() <= MAX_DOMAIN_BYTES
        && domain.split('.').all(label)
        && last.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// A pattern of addresses: an address in which `*` stands for any characters but `@`, such as
/// `*@techstart.com`. Case does not matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Checks a text; none if it is no pattern.
    pub fn new(text: &str) -> Option<Self> {
        // With something plain in the place of each star it is an address.
        Address::new(&text.replace('*', "x")).ok().map(|_| Self(text.to_ascii_lowercase()))
    }

    /// Whether an address is one of these.
    pub fn admits(&self, address: &Address) -> bool {
        let address = address.0.to_ascii_lowercase();
        match (self.0.split_once('@'), address.split_once('@')) {
            (Some((name, domain)), Some((own_name, own_domain))) => glob(name, own_name) && glob(domain, own_domain),
            _ => false,
        }
    }

    /// The address that it is, if it is just one.
    pub fn address(&self) -> Option<Address> {
        if self.0.contains('*') { None } else { Address::new(&self.0).ok() }
    }
}

/// Whether a text fits a pattern, where `*` stands for anything. Each part between stars is taken where it
/// comes first: a later place would help nothing that follows.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(first) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return left.ends_with(part);
        }
        match left.find(part) {
            Some(at) => left = left.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    true
}

/// A room of a chat: `#order-review`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Room(String);

impl Room {
    /// Checks a text. Errors: `invalid`.
    pub fn new(text: &str) -> Result<Self, Error> {
        let allowed = |c: char| !c.is_whitespace() && !c.is_control() && !"#@&<>,;:\"'/\\".contains(c);
        let valid = text
            .strip_prefix('#')
            .is_some_and(|name| (1..=MAX_ROOM_CHARS).contains(&name.chars().count()) && name.chars().all(allowed));
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::Invalid("that is not a room's name, which begins with `#` and has no spaces".to_owned()))
        }
    }

    /// The name itself, with its `#`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn an_address_is_one_address() {
        for good in ["a@b", "john@acmecorp.com", "first.last+tag@mail.x-y.example", "o'hara@x.io", "a@1.example"] {
            assert!(Address::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "a",
            "@b.example",
            "a@",
            "a@b@c.example",
            "a@b.example\r\nBcc: x@y.example",
            "a@b.example\n",
            "a b@c.example",
            "a@b.example,c@d.example",
            "a@b.example;",
            "<a@b.example>",
            "Name <a@b.example>",
            "\"a\"@b.example",
            "\"a@evil.example\"@b.example",
            "a%evil.example@b.example",
            "evil.example!a@b.example",
            "a@[127.0.0.1]",
            "a@127.0.0.1",
            "a..b@c.example",
            ".a@b.example",
            "a@-b.example",
            "a@b..example",
            "a@b.example.",
            "ä@b.example",
            "a@bücher.example",
            "a\0@b.example",
        ] {
            assert!(Address::new(bad).is_err(), "{bad:?}");
        }
        assert!(Address::new(&format!("{}@b.example", "a".repeat(65))).is_err());
        assert!(Address::new(&format!("a@{}", "b.".repeat(130))).is_err());
    }

    #[test]
    fn a_pattern_admits_what_it_says_and_no_more() {
        let admits =
            |pattern: &str, address: &str| Pattern::new(pattern).unwrap().admits(&Address::new(address).unwrap());
        for (pattern, address) in [
            ("*@techstart.com", "a@techstart.com"),
            ("*@TechStart.com", "A@TECHSTART.COM"),
            ("*@*.techstart.com", "a@mail.eu.techstart.com"),
            ("sales-*@techstart.com", "sales-eu@techstart.com"),
            ("*-team-*@x.io", "a-team-b@x.io"),
            ("a@b.example", "a@b.example"),
        ] {
            assert!(admits(pattern, address), "{pattern} {address}");
        }
        for (pattern, address) in [
            ("*@techstart.com", "a@techstart.com.evil.example"),
            ("*@techstart.com", "a@evil-techstart.com"),
            ("*@*.techstart.com", "a@techstart.com"),
            ("*@*.techstart.com", "a@x.techstart.com.evil.example"),
            ("sales-*@techstart.com", "sale@techstart.com"),
            ("a*a@x.io", "a@x.io"),
            ("a@b.example", "aa@b.example"),
        ] {
            assert!(!admits(pattern, address), "{pattern} {address}");
        }
        for none in ["", "*", "techstart.com", "*@", "@*", "*@a@b", "a b@c", "*@[1.2.3.4]"] {
            assert!(Pattern::new(none).is_none(), "{none}");
        }
        let address = |pattern: &str| Pattern::new(pattern).unwrap().address().map(|it| it.to_string());
        assert_eq!((address("a@b.example").as_deref(), address("*@b.example")), (Some("a@b.example"), None));
    }

    #[test]
    fn a_room_is_one_word() {
        for good in ["#order-review", "#a", "#büro_2"] {
            assert!(Room::new(good).is_ok(), "{good}");
        }
        for bad in ["", "#", "order-review", "# a", "#a b", "#a\n", "##a", "#a/b", "@sam", "#<!channel>", "C0123"] {
            assert!(Room::new(bad).is_err(), "{bad:?}");
        }
        assert!(Room::new(&format!("#{}", "a".repeat(81))).is_err());
    }
}
