//! What is done with documents.

use remit_sdk::{
    Error, Result,
    serde_json::{Map, Value as Json, json},
    source::{DocumentStore, Selection, UpdateCount},
};

use crate::{Config, Output, operation::Documents};

pub(crate) fn run(verb: Documents, config: &Config, store: &DocumentStore) -> Result<Output> {
    let collection = config.collection()?;
    match verb {
        Documents::Find => find(config, collection, store),
        Documents::FindOne => {
            let found: Option<Json> = store.find_one(collection, selection(config)?)?;
            let count = found.is_some().into();
            Ok(Output { data: Some(found.unwrap_or_default()), count, ..Output::default() })
        }
        Documents::Count => Ok(Output { count: store.count(collection, &filter(config)?)?, ..Output::default() }),
        Documents::Aggregate => aggregate(config, collection, store),
        Documents::Insert => insert(config, collection, store),
        Documents::UpdateMany => {
            let filter = certain(config)?;
            let changed = store.update(collection, &filter, &change(config)?, config.upsert == Some(true))?;
            updated(config, changed)
        }
        Documents::UpdateOne => update_one(config, collection, store),
        Documents::DeleteMany => {
            let count = store.delete(collection, &certain(config)?)?;
            Ok(Output { count, ..Output::default() })
        }
        Documents::DeleteOne => {
            let filter = certain(config)?;
            let count = match one(&filter, collection, store)? {
                Some(one) => store.delete(collection, &one)?,
                None => 0,
            };
            Ok(Output { count, ..Output::default() })
        }
    }
}

/// One document more than wanted tells whether there are more.
fn find(config: &Config, collection: &str, store: &DocumentStore) -> Result<Output> {
    let limit = config.limit()?;
    Ok(Output::of_list(store.find(collection, selection(config)?.limit(limit + 1))?, limit, false))
}

fn aggregate(config: &Config, collection: &str, store: &DocumentStore) -> Result<Output> {
    let limit = config.limit()?;
    let pipeline = config.pipeline.as_ref().or(config.query.as_ref());
    let Some(Json::Array(stages)) = pipeline else {
        return Err(Error::invalid("/pipeline", "an aggregate needs `pipeline`: a list of stages"));
    };
    let mut stages = stages.clone();
    stages.push(json!({"$limit": limit + 1}));
    Ok(Output::of_list(store.aggregate(collection, &stages.into())?, limit, false))
}

fn insert(config: &Config, collection: &str, store: &DocumentStore) -> Result<Output> {
    let data = config.data()?;
    let documents = match data {
        Json::Object(_) => std::slice::from_ref(data),
        Json::Array(documents) => documents.as_slice(),
        _ => return Err(Error::invalid("/data", "what to insert is a document or a list of documents")),
    };
    let named = |document: &Json| document.as_object().is_some_and(|it| !it.keys().any(|key| key.starts_with('$')));
    if !documents.iter().all(named) {
        return Err(Error::invalid("/data", "each document is an object whose fields do not begin with `$`"));
    }
    let ids = if documents.is_empty() { Vec::new() } else { store.insert(collection, documents)? };
    let several = data.is_array();
    Ok(Output {
        count: ids.len() as u64,
        inserted_id: if several { None } else { ids.first().cloned() },
        inserted_ids: several.then_some(ids),
        data: Some(data.clone()),
        ..Output::default()
    })
}

/// The contract changes all documents that a filter meets: one is found first, and then meant by its key, as
/// long as it still meets the filter.
fn update_one(config: &Config, collection: &str, store: &DocumentStore) -> Result<Output> {
    let (filter, change) = (certain(config)?, change(config)?);
    let changed = match one(&filter, collection, store)? {
        Some(one) => store.update(collection, &one, &change, false)?,
        None if config.upsert == Some(true) => store.update(collection, &filter, &change, true)?,
        None => UpdateCount { matched: 0, modified: 0, upserted_id: None },
    };
    updated(config, changed)
}

fn updated(config: &Config, changed: UpdateCount) -> Result<Output> {
    let id = changed.upserted_id.as_deref().map(remit_sdk::serde_json::from_str).transpose();
    Ok(Output {
        data: config.data.clone(),
        count: changed.modified,
        matched: Some(changed.matched),
        upserted_id: id.map_err(|error| Error::refused(format!("the new document's key is no JSON: {error}")))?,
        ..Output::default()
    })
}

/// A filter that one document meets: the first that meets this one.
fn one(filter: &Json, collection: &str, store: &DocumentStore) -> Result<Option<Json>> {
    let found: Option<Map<String, Json>> =
        store.find_one(collection, Selection::of(filter).project(&json!({"_id": 1})))?;
    let Some(id) = found.as_ref().and_then(|found| found.get("_id")) else { return Ok(None) };
    let mut one = filter.as_object().cloned().unwrap_or_default();
    match one.get("_id") {
        // A condition on the key stays beside the key itself.
        Some(condition) if condition != id => Ok(Some(json!({"$and": [{"_id": id}, filter]}))),
        _ => {
            one.insert("_id".to_owned(), id.clone());
            Ok(Some(one.into()))
        }
    }
}

fn selection(config: &Config) -> Result<Selection> {
    let mut selection = Selection::of(&filter(config)?).skip(config.skip.unwrap_or_default());
    if let Some(projection) = object(config.projection.as_ref(), "/projection")? {
        selection = selection.project(projection);
    }
    if let Some(Json::Object(sort)) = object(config.sort.as_ref(), "/sort")? {
        let order = |(name, order): (&String, &Json)| {
            let number = match order.as_str() {
                Some(word) if word.eq_ignore_ascii_case("asc") => json!(1),
                Some(word) if word.eq_ignore_ascii_case("desc") => json!(-1),
                _ => order.clone(),
            };
            (name.clone(), number)
        };
        selection = selection.sort(&Json::Object(sort.iter().map(order).collect()));
    }
    Ok(selection)
}

/// `where`, or `query`; all documents where there is neither.
fn filter(config: &Config) -> Result<Json> {
    let (given, pointer) = match (&config.conditions, &config.query) {
        (Some(_), Some(query)) if !query.is_null() => {
            return Err(Error::invalid("/query", "both `where` and `query`: one filter says which documents"));
        }
        (Some(conditions), _) => (Some(conditions), "/where"),
        (None, query) => (query.as_ref(), "/query"),
    };
    Ok(object(given, pointer)?.cloned().unwrap_or_else(|| json!({})))
}

/// The filter of a change, which says which documents.
fn certain(config: &Config) -> Result<Json> {
    let filter = filter(config)?;
    if filter.as_object().is_none_or(Map::is_empty) {
        return Err(Error::invalid("", "`where` is needed: a change without it would mean every document"));
    }
    Ok(filter)
}

/// The operators of an update: `update`, or `$set` of `data`.
fn change(config: &Config) -> Result<Json> {
    let operators = |fields: &Map<String, Json>| fields.keys().filter(|key| key.starts_with('$')).count();
    match (&config.update, &config.data) {
        (Some(Json::Object(update)), None) if !update.is_empty() && operators(update) == update.len() => {
            Ok(Json::Object(update.clone()))
        }
        (Some(_), None) => Err(Error::invalid("/update", "an update has operators such as `$set`, and nothing else")),
        (None, Some(Json::Object(data))) if !data.is_empty() && operators(data) == 0 => Ok(json!({"$set": data})),
        (None, Some(_)) => Err(Error::invalid(
            "/data",
            "the new values are an object of fields; operators such as `$inc` go to `update`",
        )),
        (Some(_), Some(_)) => Err(Error::invalid("/update", "both `data` and `update`")),
        (None, None) => Err(Error::invalid("", "`data` or `update` is needed")),
    }
}

fn object<'a>(value: Option<&'a Json>, pointer: &str) -> Result<Option<&'a Json>> {
    match value {
        None | Some(Json::Null) => Ok(None),
        Some(object @ Json::Object(_)) => Ok(Some(object)),
        Some(_) => Err(Error::invalid(pointer, "an object is needed")),
    }
}
