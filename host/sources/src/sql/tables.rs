//! Which tables a statement touches: every relation that it names, less the names that it gives to
//! its own queries by `WITH`.
//!
//! It resolves names as the databases do, and where they differ so that a name is rather taken for a
//! table: what is found here is held against what an agent may touch. Deliberately absent: what
//! views, triggers and rules touch in turn, which is the operator's schema to say.

use std::{borrow::Cow, collections::BTreeMap, ptr};

use remit_domain::data::sql::Dialect;
use sqlparser::ast::{FromTable, Ident, ObjectName, Query, Statement, TableFactor, TableObject};

/// Tables, each with how the statement writes it.
pub(super) type Touched = BTreeMap<Table, String>;

/// A table that a statement touches.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Table {
    /// The dataset that BigQuery's is qualified with, as it is written. What others' are qualified with is held
    /// apart from them, since it is never but the source's one schema.
    dataset: Option<String>,
    /// And the project before that.
    project: Option<String>,
    /// The name that the database knows it by.
    name: String,
}

impl Table {
    /// What it is qualified with, if that is none of a source's, which is `project/dataset` or, for all of
    /// its datasets, `project/`.
    pub(super) fn foreign(&self, source: Option<&str>) -> Option<String> {
        let dataset = self.dataset.as_ref()?;
        let own = source.and_then(|source| source.split_once('/')).is_some_and(|(project, only)| {
            self.project.as_ref().is_none_or(|of| of == project) && (only.is_empty() || only == dataset)
        });
        (!own).then(|| self.project.iter().chain([dataset]).map(String::as_str).collect::<Vec<_>>().join("."))
    }

    /// The name that a scope lists it by, which has its dataset where the source names none.
    pub(super) fn listed(&self, source: Option<&str>) -> Cow<'_, str> {
        match &self.dataset {
            Some(dataset)
                if source.and_then(|source| source.split_once('/')).is_none_or(|(_, only)| only != dataset) =>
            {
                Cow::Owned(format!("{dataset}.{}", self.name))
            }
            _ => Cow::Borrowed(&self.name),
        }
    }
}

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
            self.touch(&[], name);
        }
    }

    /// A table is named, and no query of the statement can be meant: it has a schema, or is changed.
    /// `within`: the project and dataset of BigQuery's.
    pub(super) fn touch(&mut self, within: &[&Ident], name: &Ident) {
        let mut parts = within.iter().rev().map(|part| part.value.clone());
        let (dataset, project) = (parts.next(), parts.next());
        let written: Vec<_> = within.iter().chain([&name]).map(|part| part.value.as_str()).collect();
        self.touched.insert(Table { dataset, project, name: folded(self.dialect, name) }, written.join("."));
    }

    /// What a statement changes is a table, whatever names its `WITH` gives.
    pub(super) fn changed(&mut self, statement: &Statement) {
        let mut factors = Vec::new();
        match statement {
            Statement::Insert(insert) => {
                if let TableObject::TableName(name) = &insert.table {
                    self.touch_whole(name);
                }
            }
            Statement::Update(update) => factors.push(&update.table),
            Statement::Delete(delete) => {
                let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
                factors.extend(from);
            }
            Statement::Merge(merge) => {
                self.touch_factor(&merge.table);
                self.touch_factor(&merge.source);
            }
            _ => {}
        }
        for joined in factors {
            let more = joined.joins.iter().map(|join| &join.relation);
            for factor in std::iter::once(&joined.relation).chain(more) {
                self.touch_factor(factor);
            }
        }
    }

    pub(super) fn finish(self) -> Touched {
        self.touched
    }

    fn touch_factor(&mut self, factor: &TableFactor) {
        if let TableFactor::Table { name, .. } = factor {
            self.touch_whole(name);
        }
    }

    fn touch_whole(&mut self, name: &ObjectName) {
        let parts: Vec<_> = name.0.iter().filter_map(|part| part.as_ident()).collect();
        if let Some((name, within)) = parts.split_last() {
            self.touch(if self.dialect == Dialect::BigQuery { within } else { &[] }, name);
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
