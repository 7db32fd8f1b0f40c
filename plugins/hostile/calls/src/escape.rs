//! Attempts to do more with a handle than it permits.

use remit_sdk::{prelude::*, serde_json::Value as Json, source::Method};

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Write {
    statement: String,
    #[serde(default)]
    through: Through,
}

/// Which door of the handle the statement goes through.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(rename_all = "snake_case")]
enum Through {
    #[default]
    Execute,
    StartExecute,
    Query,
    Rows,
    StartRows,
    Transaction,
}

pub(crate) fn write_read_only(args: Write, call: &Call) -> Result<String> {
    let database = call.database("primary")?;
    let statement = &args.statement;
    let done = match args.through {
        Through::Execute => database.execute(statement, params![]).map(|it| format!("{it:?}")),
        Through::StartExecute => database.start_execute(statement, params![]).get().map(|it| format!("{it:?}")),
        Through::Query => database.query(statement, params![]).map(|it| format!("{it:?}")),
        Through::Rows => {
            database.rows::<remit_sdk::serde_json::Value>(statement, params![]).map(|it| format!("{it:?}"))
        }
        Through::StartRows => {
            let pending = database.start_rows::<remit_sdk::serde_json::Value>(statement, params![]);
            pending.get().map(|it| format!("{it:?}"))
        }
        Through::Transaction => {
            database.transaction(|transaction| transaction.execute(statement, params![])).map(|it| format!("{it:?}"))
        }
    };
    Ok(told(done))
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Escape {
    path: String,
    #[serde(default)]
    method: Verb,
    /// A header to send along, and its value.
    header: Option<(String, String)>,
    query: Option<(String, String)>,
}

#[derive(Deserialize, JsonSchema, Default)]
#[serde(rename_all = "snake_case")]
enum Verb {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

pub(crate) fn escape_api(args: Escape, call: &Call) -> Result<String> {
    let method = match args.method {
        Verb::Get => Method::Get,
        Verb::Head => Method::Head,
        Verb::Post => Method::Post,
        Verb::Put => Method::Put,
        Verb::Patch => Method::Patch,
        Verb::Delete => Method::Delete,
    };
    let mut request = Request::new(method, args.path);
    request.headers.extend(args.header);
    request.query.extend(args.query);
    let answer = call.api("ecommerce")?.send(&request);
    Ok(told(
        answer
            .map(|answer| format!("{} {:?} {}", answer.status, answer.headers, String::from_utf8_lossy(&answer.body))),
    ))
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct WriteDocuments {
    through: Documents,
    #[serde(default = "events")]
    collection: String,
    /// A filter, a pipeline or an update, by what it goes through; as it is, if it is a text.
    #[serde(default)]
    json: Json,
}

/// Which door of the handle it goes through.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Documents {
    Find,
    StartFind,
    Count,
    Aggregate,
    StartAggregate,
    Insert,
    Update,
    Upsert,
    Delete,
}

pub(crate) fn write_documents(args: WriteDocuments, call: &Call) -> Result<String> {
    let store = call.documents("analytics")?;
    let (collection, json) = (args.collection.as_str(), &args.json);
    let all = json!({});
    let done = match args.through {
        Documents::Find => store.find::<Json>(collection, json.clone()).map(|it| format!("{it:?}")),
        Documents::StartFind => store.start_find::<Json>(collection, json.clone()).get().map(|it| format!("{it:?}")),
        Documents::Count => store.count(collection, json).map(|it| format!("{it:?}")),
        Documents::Aggregate => store.aggregate::<Json>(collection, json).map(|it| format!("{it:?}")),
        Documents::StartAggregate => store.start_aggregate::<Json>(collection, json).get().map(|it| format!("{it:?}")),
        Documents::Insert => store.insert(collection, std::slice::from_ref(json)).map(|it| format!("{it:?}")),
        Documents::Update => store.update(collection, &all, json, false).map(|it| format!("{it:?}")),
        Documents::Upsert => {
            store.update(collection, json, &json!({"$set": {"a": 1}}), true).map(|it| format!("{it:?}"))
        }
        Documents::Delete => store.delete(collection, json).map(|it| format!("{it:?}")),
    };
    Ok(told(done))
}

fn events() -> String {
    "customer_analytics".to_owned()
}

/// What came of it, in words a test can look into: `allowed: …`, or the error.
fn told(done: Result<String>) -> String {
    match done {
        Ok(what) => format!("allowed: {what}"),
        Err(error) => format!("{error:?}"),
    }
}
