//! PostgreSQL's other way to call a function: `x.f` is `f(x)` where `x` is a value and no table's row, such as
//! the one that a function in FROM gives. What is reached so is no column, and stands on no list.
//!
//! Deliberately absent: functions that take a whole row of a table, which none of the engine's own that does
//! harm does.

use remit_domain::data::{Error, sql::Dialect};
use sqlparser::ast::{AccessExpr, Expr, Ident, TableAlias, TableFactor};

use super::tables::folded;

/// What is found on the way through a statement.
#[derive(Debug, Default)]
pub(super) struct Notation {
    /// The names that functions in FROM have, with the columns that the statement gives them.
    values: Vec<(String, Vec<String>)>,
    /// What is reached by a name and another.
    reached: Vec<(String, String)>,
}

impl Notation {
    /// Notes what a part of FROM is called, if it is a function.
    pub(super) fn factor(&mut self, dialect: Dialect, factor: &TableFactor) {
        let (name, alias) = match factor {
            TableFactor::Table { name, alias, args: Some(_), .. } | TableFactor::Function { name, alias, .. } => {
                (name.0.last().and_then(|part| part.as_ident()).cloned(), alias)
            }
            TableFactor::UNNEST { alias, .. } => (Some(Ident::new("unnest")), alias),
            TableFactor::TableFunction { alias, .. } => (None, alias),
            _ => return,
        };
        let columns = alias.iter().flat_map(|alias: &TableAlias| &alias.columns);
        let columns = columns.map(|column| folded(dialect, &column.name)).collect();
        if let Some(name) = alias.as_ref().map(|alias| alias.name.clone()).or(name) {
            self.values.push((folded(dialect, &name), columns));
        }
    }

    /// Notes what an expression reaches. Errors: `denied` for a name that is reached within a value.
    pub(super) fn expr(&mut self, dialect: Dialect, expr: &Expr) -> Result<(), Error> {
        match expr {
            Expr::CompoundFieldAccess { access_chain, .. }
                if access_chain.iter().any(|access| matches!(access, AccessExpr::Dot(_))) =>
            {
                return Err(denied());
            }
            Expr::CompoundIdentifier(parts) => {
                if let [value, name] = parts.as_slice() {
                    self.reached.push((folded(dialect, value), folded(dialect, name)));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Errors: `denied` if something is reached in a function's value that is no column of it.
    pub(super) fn finish(&self) -> Result<(), Error> {
        let column = |value: &String, name: &String| {
            let mut own = self.values.iter().filter(|(of, _)| of == value).peekable();
            own.peek().is_none()
                || own.all(|(of, columns)| columns.contains(name) || (columns.is_empty() && of == name))
        };
        if self.reached.iter().all(|(value, name)| column(value, name)) { Ok(()) } else { Err(denied()) }
    }
}

fn denied() -> Error {
    Error::Denied("what a function in FROM gives has the columns that the statement names: `AS g (n)`".to_owned())
}
