//! Which tables a statement touches: every relation that it names, less the names that it gives to
//! its own queries by `WITH`.
//!
//! It resolves names as the databases do, and where they differ so that a name is rather taken for a
//! table: what is found here is held against what an agent may touch. Deliberately absent: what
//! views, triggers and rules touch in turn, which is the operator's schema to say.

use std::{collections::BTreeMap, ptr};

use remit_domain::data::sql::Dialect;
use sqlparser::ast::{FromTable, Ident, ObjectName, Query, Statement, TableFactor, TableObject};

/// Tables, each by the name that the database knows it by, with how the statement writes it.
pub(super) type Touched = BTreeMap<String, String>;

/// What is found on the way through a statement.
#[derive(Debug)]
pub(super) struct Tables {
    dialect: Dialect,
    frames: Vec<Frame>,
    touched: Touched,
}

/// The names that one query gives by its `WITH`.
#[derive(Debug)]
struct Frame {
    /// In order; `None` for one that no reference is sure to mean.
    names: Vec<Option<String>>,
    /// Where each one's own query lies in memory, while the statement is visited.
    bodies: Vec<usize>,
    recursive: bool,
    /// If this query is itself one that the frame around it gives a name: which.
    within: Option<usize>,
}

impl Tables {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self { dialect, frames: Vec::new(), touched: Touched::new() }
    }

    /// A query begins.
    pub(super) fn enter(&mut self, query: &Query) {
        let place = address(query);
        let within = self.frames.last().and_then(|frame| frame.bodies.iter().position(|body| *body == place));
        let given = query.with.as_ref();
        let tables = given.map(|with| with.cte_tables.as_slice()).unwrap_or_default();
        self.frames.push(Frame {
            names: tables.iter().map(|table| certain(self.dialect, &table.alias.name)).collect(),
            bodies: tables.iter().map(|table| address(&table.query)).collect(),
            recursive: given.is_some_and(|with| with.recursive),
            within,
        });
    }

    /// It ends.
    pub(super) fn leave(&mut self) {
        self.frames.pop();
    }

    /// A relation is named by one word.
    pub(super) fn named(&mut self, name: &Ident) {
        if !self.is_given(name) {
            self.touch(name);
        }
    }

    /// A table is named, and no query of the statement can be meant: it has a schema, or is changed.
    pub(super) fn touch(&mut self, name: &Ident) {
        self.touched.insert(folded(self.dialect, name), name.value.clone());
    }

    /// What a statement changes is a table, whatever names its `WITH` gives.
    pub(super) fn changed(&mut self, statement: &Statement) {
        let mut factors = Vec::new();
        match statement {
            Statement::Insert(insert) => {
                if let TableObject::TableName(name) = &insert.table {
                    self.touch_last(name);
                }
            }
            Statement::Update(update) => factors.push(&update.table),
            Statement::Delete(delete) => {
                let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
                factors.extend(from);
            }
            _ => {}
        }
        for joined in factors {
            let more = joined.joins.iter().map(|join| &join.relation);
            for factor in std::iter::once(&joined.relation).chain(more) {
                if let TableFactor::Table { name, .. } = factor {
                    self.touch_last(name);
                }
            }
        }
    }

    pub(super) fn finish(self) -> Touched {
        self.touched
    }

    fn touch_last(&mut self, name: &ObjectName) {
        if let Some(name) = name.0.last().and_then(|part| part.as_ident()) {
            self.touch(name);
        }
    }

    /// Whether a name is one that a `WITH` around it gives, and that is seen from here. A query sees
    /// those before it in its list and, if that is recursive, itself. Some databases show it the
    /// later ones too; others find a table by that name, and so does this.
    fn is_given(&self, name: &Ident) -> bool {
        let Some(name) = certain(self.dialect, name) else { return false };
        let mut seen = usize::MAX;
        for (at, frame) in self.frames.iter().enumerate().rev() {
            if frame.names.iter().take(seen).flatten().any(|given| *given == name) {
                return true;
            }
            let around = at.checked_sub(1).and_then(|at| self.frames.get(at));
            seen = match (frame.within, around) {
                (Some(own), Some(around)) => own + usize::from(around.recursive),
                _ => usize::MAX,
            };
        }
        false
    }
}

fn address(query: &Query) -> usize {
    ptr::from_ref(query).addr()
}

/// The name that the database knows a table by. PostgreSQL alone changes what stands without quotes.
pub(super) fn folded(dialect: Dialect, name: &Ident) -> String {
    match dialect {
        Dialect::Postgres if name.quote_style.is_none() => name.value.to_ascii_lowercase(),
        _ => name.value.clone(),
    }
}

/// As [`folded`], where two names that are the same here are the same to the database too. How a
/// PostgreSQL server folds other letters than ASCII's depends on its encoding.
fn certain(dialect: Dialect, name: &Ident) -> Option<String> {
    let unsure = dialect == Dialect::Postgres && name.quote_style.is_none() && !name.value.is_ascii();
    (!unsure).then(|| folded(dialect, name))
}
