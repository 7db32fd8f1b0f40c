//! The tables a statement names, told apart from what its own `WITH` clauses name.
//!
//! Where that is in doubt a name counts as a table's, so that a scope is never evaded by a name:
//! `WITH RECURSIVE` lets a part see itself and those before it, and what a change aims at is a table
//! whatever the `WITH` before it says. Names are compared as they are written.

use sqlparser::ast::{ObjectName, Query};

/// A table as a statement names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    /// What it is qualified with; for three parts the first two, with `/` between them.
    pub(super) schema: Option<String>,
    /// The last part.
    pub(super) name: String,
}

/// The tables found so far, while a statement is walked.
#[derive(Debug, Default)]
pub(super) struct Tables {
    found: Vec<Table>,
    frames: Vec<Frame>,
}

/// A query that is being walked.
#[derive(Debug, Default)]
struct Frame {
    /// The names of its `WITH` that are in force where the walk stands.
    named: Vec<String>,
    /// Those that come into force once their query was walked, which its address tells.
    coming: Vec<(usize, String)>,
    recursive: bool,
}

impl Tables {
    /// Before the parts of a query are walked.
    pub(super) fn enter(&mut self, query: &Query) {
        let mut frame = Frame::default();
        let outer = self.frames.last();
        if let Some(outer) = outer.filter(|outer| outer.recursive)
            && let Some((_, own)) = outer.coming.iter().find(|(at, _)| *at == address(query))
        {
            frame.named.push(own.clone());
        }
        if let Some(with) = &query.with {
            frame.recursive = with.recursive;
            let coming = with.cte_tables.iter().map(|one| (address(&one.query), one.alias.name.value.clone()));
            frame.coming.extend(coming);
        }
        self.frames.push(frame);
    }

    /// After they were.
    pub(super) fn leave(&mut self, query: &Query) {
        self.frames.pop();
        if let Some(outer) = self.frames.last_mut()
            && let Some(at) = outer.coming.iter().position(|(at, _)| *at == address(query))
        {
            let (_, name) = outer.coming.remove(at);
            outer.named.push(name);
        }
    }

    /// A name where a table's may stand. `changes`: in a statement that changes rows. False if it has
    /// more parts than a table's name has here.
    pub(super) fn name(&mut self, name: &ObjectName, parts: usize, changes: bool) -> bool {
        let names: Option<Vec<_>> = name.0.iter().map(|part| Some(part.as_ident()?.value.clone())).collect();
        let (schema, name) = match names.as_deref() {
            Some([name]) => (None, name.clone()),
            Some([schema, name]) => (Some(schema.clone()), name.clone()),
            Some([project, schema, name]) if parts > 2 => (Some(format!("{project}/{schema}")), name.clone()),
            _ => return false,
        };
        let aimed_at = changes && self.frames.len() < 2;
        let own = self.frames.iter().any(|frame| frame.named.contains(&name));
        if schema.is_some() || aimed_at || !own {
            self.found.push(Table { schema, name });
        }
        true
    }

    /// All that were found.
    pub(super) fn finish(self) -> Vec<Table> {
        self.found
    }
}

/// A query is walked where it lies.
fn address(query: &Query) -> usize {
    std::ptr::from_ref(query).addr()
}
