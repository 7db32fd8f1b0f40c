//! `primary.mysql.select`: which source, which kind of database, what to do.

use remit_sdk::Permission;

/// An operation, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Operation<'a> {
    pub source: &'a str,
    pub verb: Verb,
}

/// What to do, by the family of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Relational(Relational),
    Documents(Documents),
}

/// What is done with tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relational {
    Select,
    Query,
    Count,
    Insert,
    Update,
    Delete,
    Execute,
    Transaction,
}

/// What is done with documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Documents {
    Find,
    FindOne,
    Count,
    Aggregate,
    Insert,
    UpdateOne,
    UpdateMany,
    DeleteOne,
    DeleteMany,
}

const RELATIONAL: [(&str, Relational); 8] = [
    ("select", Relational::Select),
    ("query", Relational::Query),
    ("count", Relational::Count),
    ("insert", Relational::Insert),
    ("update", Relational::Update),
    ("delete", Relational::Delete),
    ("execute", Relational::Execute),
    ("transaction", Relational::Transaction),
];

/// `update` and `delete` mean all that the filter meets, as they do with tables.
const DOCUMENTS: [(&str, Documents); 14] = [
    ("find", Documents::Find),
    ("findOne", Documents::FindOne),
    ("count", Documents::Count),
    ("countDocuments", Documents::Count),
    ("aggregate", Documents::Aggregate),
    ("insert", Documents::Insert),
    ("insertOne", Documents::Insert),
    ("insertMany", Documents::Insert),
    ("update", Documents::UpdateMany),
    ("updateOne", Documents::UpdateOne),
    ("updateMany", Documents::UpdateMany),
    ("delete", Documents::DeleteMany),
    ("deleteOne", Documents::DeleteOne),
    ("deleteMany", Documents::DeleteMany),
];

impl<'a> Operation<'a> {
    /// Takes an operation apart. Errors: what is wrong with it, for people.
    pub(crate) fn parse(text: &'a str) -> Result<Self, String> {
        let mut parts = text.split('.');
        let (source, kind, verb) = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(source), Some(kind), Some(verb), None) if ![source, kind, verb].contains(&"") => (source, kind, verb),
            _ => {
                return Err(format!(
                    "`{text}` does not name an operation: write `<source>.<kind>.<verb>`, such as `primary.mysql.select`"
                ));
            }
        };
        let verb = match kind {
            "mysql" | "postgres" | "sqlite" | "bigquery" => among(&RELATIONAL, kind, verb).map(Verb::Relational),
            "mongodb" | "documents" => among(&DOCUMENTS, kind, verb).map(Verb::Documents),
            _ => Err(format!(
                "`{kind}` is no kind of database: one of mysql, postgres, sqlite, bigquery, mongodb, documents"
            )),
        };
        Ok(Self { source, verb: verb? })
    }

    /// The permission that it takes.
    pub(crate) fn permission(&self) -> Permission {
        match self.verb {
            Verb::Relational(Relational::Select | Relational::Query | Relational::Count)
            | Verb::Documents(Documents::Find | Documents::FindOne | Documents::Count | Documents::Aggregate) => {
                Permission::Read
            }
            Verb::Relational(_) | Verb::Documents(_) => Permission::Write,
        }
    }
}

fn among<T: Copy>(known: &[(&str, T)], kind: &str, verb: &str) -> Result<T, String> {
    known.iter().find(|(name, _)| *name == verb).map(|(_, verb)| *verb).ok_or_else(|| {
        let known: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        format!("{kind} has no operation `{verb}`: one of {}", known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use remit_sdk::Permission;

    use super::{Documents, Operation, Relational, Verb};

    #[test]
    fn operations_name_source_kind_and_verb() {
        for (text, source, verb, permission) in [
            ("primary.mysql.select", "primary", Verb::Relational(Relational::Select), Permission::Read),
            ("primary.postgres.transaction", "primary", Verb::Relational(Relational::Transaction), Permission::Write),
            ("warehouse.bigquery.query", "warehouse", Verb::Relational(Relational::Query), Permission::Read),
            ("analytics.mongodb.find", "analytics", Verb::Documents(Documents::Find), Permission::Read),
            ("analytics.mongodb.insertOne", "analytics", Verb::Documents(Documents::Insert), Permission::Write),
        ] {
            let operation = Operation::parse(text).unwrap();
            assert_eq!(
                (operation.source, operation.verb, operation.permission()),
                (source, verb, permission),
                "{text}"
            );
        }
    }

    #[test]
    fn what_names_none_is_told_apart() {
        for (text, part) in [
            ("primary.select", "does not name an operation"),
            ("primary.mysql.select.x", "does not name an operation"),
            ("..select", "does not name an operation"),
            ("primary.oracle.select", "`oracle` is no kind of database"),
            ("primary.mysql.find", "mysql has no operation `find`: one of select"),
            ("analytics.mongodb.select", "mongodb has no operation `select`: one of find"),
            ("", "does not name an operation"),
        ] {
            let message = Operation::parse(text).unwrap_err();
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
