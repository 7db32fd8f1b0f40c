//! What a config needs, and what is wrong with it before any of its expressions has a value.

use remit_sdk::{Need, Permission, Validated, Written, serde_json::Value as Json};

use crate::{
    operation::{Documents, Operation, Relational, Verb},
    statement::{changes_all, parameters},
};

pub(crate) fn validate(config: &Written<'_>) -> Option<Validated> {
    config.requires("database", &["operation"]);
    let operation = match Operation::parse(config.literal("operation")?) {
        Ok(operation) => operation,
        Err(message) => {
            config.problem("/operation", message);
            return None;
        }
    };
    config.literal("collection");
    let plain = match operation.verb {
        Verb::Relational(verb) => relational(verb, config),
        Verb::Documents(verb) => documents(verb, config),
    };
    Some(
        match operation.permission() {
            Permission::Read => Validated::harmless(vec![Need::reads(operation.source)]),
            Permission::Write => Validated::harmful(vec![Need::writes(operation.source)]),
        }
        .plain(plain),
    )
}

fn relational(verb: Relational, config: &Written<'_>) -> Vec<String> {
    let (name, needed, others): (_, &[&str], &[&str]) = match verb {
        Relational::Select if config.has("query") => ("select", &[], &["query", "params", "limit"]),
        Relational::Select => {
            if !config.has("collection") {
                config.problem("", "`select` needs `query`, or `collection`");
            }
            ("select", &[], &["collection", "columns", "where", "params", "sort", "skip", "limit"])
        }
        Relational::Query => ("query", &["query"], &["query", "params", "limit"]),
        Relational::Count => ("count", &["collection"], &["collection", "where", "params"]),
        Relational::Insert => ("insert", &["collection", "data"], &["collection", "data", "returning"]),
        Relational::Update => ("update", &["collection", "data", "where"], &["collection", "data", "where", "params"]),
        Relational::Delete => ("delete", &["collection", "where"], &["collection", "where", "params"]),
        Relational::Execute => ("execute", &["query"], &["query", "params"]),
        Relational::Transaction => ("transaction", &["statements"], &["statements"]),
    };
    shape(name, needed, others, config);
    let conditions = config.get("where").filter(|it| it.is_string());
    if let Some((key, text)) = config.get("query").map(|it| ("query", it)).or(conditions.map(|it| ("where", it))) {
        sql(text, &format!("/{key}"), config.get("params"), config);
    }
    if conditions.is_none() && !config.has("query") && config.has("params") {
        config.problem("/params", "`params` are the values of SQL that is a text: there is none");
    }
    if let Some(Json::Array(parts)) = config.get("statements") {
        for (at, part) in parts.iter().enumerate() {
            let pointer = format!("/statements/{at}/query");
            match part.get("query") {
                Some(query) => {
                    sql(query, &pointer, Some(part.get("params").unwrap_or(&Json::Array(Vec::new()))), config)
                }
                None => config.problem(pointer, "a statement of a transaction needs `query`"),
            }
        }
    }
    let plain = if conditions.is_none() { filter("where", config) } else { Vec::new() };
    if plain.iter().any(|pointer| pointer.contains("/$")) {
        config.problem("/where", "operators are written without `$`: `{gt: 1}`");
    }
    plain
}

/// SQL is never put together of texts: values are its parameters.
fn sql(query: &Json, pointer: &str, params: Option<&Json>, config: &Written<'_>) {
    let Some(text) = query.as_str() else {
        config.problem(pointer, "SQL is a text");
        return;
    };
    if text.contains("{{") {
        config.problem(pointer, "an expression inside SQL: write `?` and list the value in `params`");
        return;
    }
    if pointer != "/where" && changes_all(text) {
        config.problem(pointer, "a change without WHERE would mean every row of the table");
    }
    let given = match params {
        None => 0,
        Some(Json::Array(params)) => params.len(),
        // An expression: a list, once it is filled in.
        Some(_) => return,
    };
    let wanted = parameters(text);
    if wanted != given {
        config.problem(pointer, format!("the SQL has {wanted} parameters, and `params` {given} values"));
    }
}

fn documents(verb: Documents, config: &Written<'_>) -> Vec<String> {
    let (name, needed, others): (_, &[&str], &[&str]) = match verb {
        Documents::Find => ("find", &[], &["query", "where", "projection", "sort", "skip", "limit"]),
        Documents::FindOne => ("findOne", &[], &["query", "where", "projection", "sort", "skip"]),
        Documents::Count => ("count", &[], &["query", "where"]),
        Documents::Aggregate => ("aggregate", &[], &["query", "pipeline", "limit"]),
        Documents::Insert => ("insert", &["data"], &["data"]),
        Documents::UpdateOne | Documents::UpdateMany => {
            ("update", &[], &["query", "where", "data", "update", "upsert"])
        }
        Documents::DeleteOne | Documents::DeleteMany => ("delete", &[], &["query", "where"]),
    };
    config.requires(name, &["collection"]);
    shape(name, needed, &[others, &["collection"]].concat(), config);
    if config.has("query") && (config.has("where") || config.has("pipeline")) {
        config.problem("/query", "`query` beside what it is another word for");
    }
    let changes =
        matches!(verb, Documents::UpdateOne | Documents::UpdateMany | Documents::DeleteOne | Documents::DeleteMany);
    let empty = |key: &str| config.get(key).is_none_or(|it| it.as_object().is_some_and(|it| it.is_empty()));
    if changes && empty("where") && empty("query") {
        config.problem("", format!("`{name}` needs `where`: a change without it would mean every document"));
    }
    match verb {
        Documents::Aggregate => {
            if !config.has("pipeline") && !config.has("query") {
                config.problem("", "`aggregate` needs `pipeline`");
            }
            [stages("pipeline", config), stages("query", config)].concat()
        }
        Documents::UpdateOne | Documents::UpdateMany => {
            if config.has("data") == config.has("update") {
                config.problem("", "an update needs either `data` or `update`");
            }
            [filter("where", config), filter("query", config), operators(config)].concat()
        }
        Documents::Insert => Vec::new(),
        _ => [filter("where", config), filter("query", config)].concat(),
    }
}

fn shape(name: &str, needed: &[&str], others: &[&str], config: &Written<'_>) {
    config.requires(name, needed);
    config.takes_only(name, &[others, &["operation"]].concat());
}

/// The places in a filter that take values from outside: each must be plain, and the filter itself written
/// out.
fn filter(key: &str, config: &Written<'_>) -> Vec<String> {
    let found = config.expressions(key);
    let inside = found.iter().filter(|(pointer, _)| {
        let code = pointer.split('/').any(|part| part == "$expr");
        if pointer.split('/').count() == 2 || code {
            config.problem(pointer.as_str(), "which rows a step means is written out; only values are expressions");
        }
        !code
    });
    inside.map(|(pointer, _)| pointer.clone()).collect()
}

/// As [`filter`], of the stages of an aggregate: what they compute is written out.
fn stages(key: &str, config: &Written<'_>) -> Vec<String> {
    let mut plain = Vec::new();
    for (pointer, _) in config.expressions(key) {
        let parts: Vec<&str> = pointer.split('/').collect();
        let takes = |stage: &&&str| ["$match", "$limit", "$skip", "$sample"].contains(*stage);
        let literal = parts.contains(&"$literal");
        if (parts.get(3).filter(takes).is_some() && !parts.contains(&"$expr")) || literal {
            plain.push(pointer);
        } else {
            config.problem(pointer, "an expression can stand in `$match`, `$limit`, `$skip` and below `$literal`");
        }
    }
    plain
}

/// The places in an update's operators that would be taken for more than a value.
fn operators(config: &Written<'_>) -> Vec<String> {
    let mut plain = Vec::new();
    for (pointer, _) in config.expressions("update") {
        match pointer.split('/').collect::<Vec<_>>().as_slice() {
            ["", _] | ["", _, _] => config.problem(pointer, "operators and their fields are written out"),
            ["", _, "$push" | "$addToSet" | "$pull", ..] => plain.push(pointer),
            _ => {}
        }
    }
    plain
}
