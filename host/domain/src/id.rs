//! Names and identifiers, each a type of its own, so that a source can't be taken for an agent.
//!
//! A name that exists is valid: the only way to make one checks it.

use std::{borrow::Borrow, fmt, sync::Arc};

use uuid::Uuid;

/// A text that is not a name of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not {kind}: {rule}")]
pub struct InvalidName {
    /// The text, cut to 64 characters.
    pub name: String,
    /// What was wanted, with its article.
    pub kind: &'static str,
    /// What is allowed.
    pub rule: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $rule:literal, $max:literal, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Checks a text. Errors: [`InvalidName`] if it breaks the rule of this kind of name.
            pub fn new(name: &str) -> Result<Self, InvalidName> {
                let allowed: fn(usize, char) -> bool = $allowed;
                let valid = !name.is_empty()
                    && name.len() <= $max
                    && name.chars().enumerate().all(|(at, c)| allowed(at, c));
                if valid {
                    Ok(Self(name.into()))
                } else {
                    Err(InvalidName { name: name.chars().take(64).collect(), kind: $kind, rule: $rule })
                }
            }

            /// The name itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// A tenant, as its context file is called: `techstart`.
    TenantId, "a tenant's name", "1 to 63 characters of a-z, 0-9, `_` and `-`, not beginning with `-` or `_`", 63,
    |at, c| c.is_ascii_lowercase() || c.is_ascii_digit() || (at > 0 && (c == '-' || c == '_'))
);
name!(
    /// An agent of a tenant: `sales`.
    AgentName, "an agent's name", "1 to 63 characters of a-z, 0-9, `_` and `-`, not beginning with `-` or `_`", 63,
    |at, c| c.is_ascii_lowercase() || c.is_ascii_digit() || (at > 0 && (c == '-' || c == '_'))
);
name!(
    /// A data source of a tenant: `primary`.
    SourceName, "a source's name", "1 to 64 characters of A-Z, a-z, 0-9, `_` and `-`", 64,
    |_, c| c.is_ascii_alphanumeric() || c == '-' || c == '_'
);
name!(
    /// A plugin, which is also the name of the tool set or node set that it exports: `techstart-crm`.
    PluginName, "a plugin's name", "1 to 128 characters of A-Z, a-z, 0-9, `_`, `.` and `-`, beginning with a letter or digit", 128,
    |at, c| c.is_ascii_alphanumeric() || (at > 0 && (c == '-' || c == '_' || c == '.'))
);

/// One call of a tool, resource or prompt. Time-ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(Uuid);

impl CallId {
    /// A new one.
    pub fn random() -> Self {
        Self(Uuid::now_v7())
    }

    /// Reads what its Display shows.
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One request from outside: what `X-Request-Id` says, so that a client finds its audit rows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The most characters that a client's own id may have.
    pub const MAX_LENGTH: usize = 128;

    /// A new one.
    pub fn random() -> Self {
        Self(Uuid::now_v7().to_string().into())
    }

    /// A client's own id, if it is fit for logs: up to [`Self::MAX_LENGTH`] visible ASCII characters.
    pub fn from_client(text: &str) -> Option<Self> {
        let fit = !text.is_empty() && text.len() <= Self::MAX_LENGTH && text.bytes().all(|b| b.is_ascii_graphic());
        fit.then(|| Self(text.into()))
    }

    /// The id itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_be_paths_or_headers_are_refused() {
        for bad in ["", "..", "a/b", "A", "-a", "a b", "a\n", "é", &"a".repeat(64)] {
            assert!(TenantId::new(bad).is_err(), "{bad:?}");
        }
        for bad in [".", "..", ".hidden", "a/b", "a\\b", "a\0"] {
            assert!(PluginName::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(TenantId::new("techstart").map(|id| id.to_string()), Ok("techstart".to_owned()));
    }

    #[test]
    fn request_ids_from_clients_are_visible_ascii() {
        assert!(RequestId::from_client("abc-123").is_some());
        for bad in ["", "a b", "a\r\nX: y", "é", &"a".repeat(129)] {
            assert!(RequestId::from_client(bad).is_none(), "{bad:?}");
        }
    }
}
