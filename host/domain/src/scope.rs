//! What of a source an agent may touch, where its mapping narrows a grant further.
//!
//! Deliberately absent: what a statement or request touches, which each connector finds out by itself.

use std::{collections::BTreeSet, sync::Arc};

/// All of a source, or only the tables, collections or paths that are listed: which of these, the
/// source's family says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope(Option<Arc<BTreeSet<String>>>);

impl Scope {
    /// All of the source.
    pub const ALL: Self = Self(None);

    /// What is listed and nothing else.
    pub fn only(names: impl IntoIterator<Item = String>) -> Self {
        Self(Some(Arc::new(names.into_iter().collect())))
    }

    /// Whether nothing is left out.
    pub fn is_all(&self) -> bool {
        self.0.is_none()
    }

    /// Whether a table or collection of this very name is in it.
    pub fn holds(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|names| names.contains(name))
    }

    /// Whether a path, relative and without `.` or `..`, is one of those listed or lies under one.
    pub fn covers(&self, path: &str) -> bool {
        let under = |listed: &String| {
            let listed = listed.trim_matches('/');
            let rest = path.trim_start_matches('/').strip_prefix(listed);
            listed.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.0.as_ref().is_none_or(|paths| paths.iter().any(under))
    }

    /// The names directly below a folder that lead to what is listed, in order: what may be seen of a
    /// folder that is not covered itself.
    pub fn ways_on(&self, folder: &str) -> BTreeSet<&str> {
        let folder = folder.trim_matches('/');
        let names = self.0.iter().flat_map(|names| names.iter());
        names.filter_map(|listed| way_on(folder, listed.trim_matches('/'))).collect()
    }

    /// What is listed, in order; `None` for all.
    pub fn names(&self) -> Option<impl Iterator<Item = &str>> {
        self.0.as_ref().map(|names| names.iter().map(String::as_str))
    }
}

/// The first part below a folder of a path that lies under it.
fn way_on<'a>(folder: &str, listed: &'a str) -> Option<&'a str> {
    let below = if folder.is_empty() { listed } else { listed.strip_prefix(folder)?.strip_prefix('/')? };
    below.split('/').next().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_covered_by_whole_parts_alone() {
        let scope = Scope::only(["invoices".to_owned(), "/reports/2026/".to_owned()]);
        for path in ["invoices", "invoices/a.pdf", "/invoices/a", "reports/2026", "reports/2026/q3"] {
            assert!(scope.covers(path), "{path}");
        }
        for path in ["", "invoices2", "invoice", "reports", "reports/2025/q3", "x/invoices"] {
            assert!(!scope.covers(path), "{path}");
        }
        assert_eq!(Vec::from_iter(scope.ways_on("")), ["invoices", "reports"]);
        assert_eq!(Vec::from_iter(scope.ways_on("reports")), ["2026"]);
        for blind in ["report", "reports/2025", "reports/2026", "invoices", "x"] {
            assert!(scope.ways_on(blind).is_empty(), "{blind}");
        }
        assert!(Scope::ALL.covers("anything") && Scope::ALL.holds("anything"));
        assert!(!Scope::only([]).covers("") && !Scope::only([]).holds(""));
    }
}
