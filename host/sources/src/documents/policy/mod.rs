//! What may be asked of a store of documents, whichever it is: read from a guest's JSON, and checked at
//! every depth against lists of what is admitted. What is on no list is refused before any store sees it.
//!
//! What runs code, writes elsewhere, or shows the server or other databases is on none of the lists. A
//! pipeline may name other collections, which must be within the agent's scope like the first.
//! Deliberately absent: what an operator means, which each store knows; the embedded one knows fewer.

mod expression;
mod filter;
mod pipeline;
#[cfg(test)]
mod tests;
mod update;

use remit_domain::{
    data::{
        Error,
        documents::{MAX_DOCUMENTS, Selection},
    },
    scope::Scope,
};
use serde_json::{Map, Value};

pub(crate) use self::filter::means_everything;
use super::{json, object_id, pipeline::Sort, projection::Projection};

/// A find, checked.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) filter: Map<String, Value>,
    pub(crate) projection: Option<Map<String, Value>>,
    /// None if it is empty.
    pub(crate) sort: Option<Map<String, Value>>,
    pub(crate) skip: u32,
    /// From 1 to the most there may be.
    pub(crate) limit: usize,
}

/// A document to insert, checked.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) id: Value,
    /// The whole of it; its `_id`, which is made if there is none, stands first, as in MongoDB.
    pub(crate) document: Map<String, Value>,
    /// The same as JSON.
    pub(crate) text: String,
}

/// Checks the collection that an operation is on. Errors: `invalid` for what is no name of one; `denied` if
/// it is not among those that the agent may touch.
pub(crate) fn collection(name: &str, scope: &Scope) -> Result<(), Error> {
    let bad = name.is_empty() || name.len() > 120 || name.contains(['$', '\0']) || name.starts_with("system.");
    if bad {
        return Err(Error::Invalid(
            "a collection's name has 1 to 120 bytes, no `$`, and is not the system's".to_owned(),
        ));
    }
    if !scope.holds(name) {
        return Err(Error::Denied(format!("the collection `{name}` is not among those granted")));
    }
    Ok(())
}

/// Reads a filter. Errors, as of all that read: `invalid` for what is malformed or on no list; `denied`
/// for what is never admitted; `limit` (`max-query-bytes`, `max-query-parts`).
pub(crate) fn filter(text: &str) -> Result<Map<String, Value>, Error> {
    let object = json::object("the filter", json::parse_query("the filter", text)?)?;
    filter::check(&object)?;
    Ok(object)
}

/// Reads what deletes. Errors: as [`filter`]; `denied` for a filter that means every document.
pub(crate) fn deletion(text: &str) -> Result<Map<String, Value>, Error> {
    let object = filter(text)?;
    if means_everything(&object) {
        return Err(Error::Denied("a filter that means every document deletes nothing".to_owned()));
    }
    Ok(object)
}

/// Reads a find. Errors: as [`filter`]; `limit` (`max-documents`).
pub(crate) fn selection(selection: &Selection) -> Result<Wanted, Error> {
    let filter = filter(&selection.filter)?;
    let projection = optional("the projection", selection.projection.as_deref())?;
    projection.as_ref().map(|object| Projection::read(object, false)).transpose()?;
    let sort = optional("the sort", selection.sort.as_deref())?.filter(|object| !object.is_empty());
    sort.as_ref().map(Sort::read).transpose()?;
    let limit = match usize::try_from(selection.limit).unwrap_or(usize::MAX) {
        0 => MAX_DOCUMENTS,
        limit if limit > MAX_DOCUMENTS => return Err(too_many_documents()),
        limit => limit,
    };
    Ok(Wanted { filter, projection, sort, skip: selection.skip, limit })
}

/// Reads a pipeline. Errors: as [`filter`]; `denied` too for a collection outside of the scope.
pub(crate) fn pipeline(text: &str, scope: &Scope) -> Result<Value, Error> {
    let stages = json::parse_query("the pipeline", text)?;
    pipeline::check(&stages, scope)?;
    Ok(stages)
}

/// Reads an update. Errors: as [`filter`].
pub(crate) fn update(text: &str) -> Result<Map<String, Value>, Error> {
    let object = json::object("the update", json::parse_query("the update", text)?)?;
    update::check(&object)?;
    Ok(object)
}

/// Checks how many documents are inserted at once. Errors: `invalid`; `limit` (`max-documents`).
pub(crate) fn several(documents: &[String]) -> Result<(), Error> {
    if documents.is_empty() {
        return Err(Error::Invalid("there is no document to insert".to_owned()));
    }
    if documents.len() > MAX_DOCUMENTS { Err(too_many_documents()) } else { Ok(()) }
}

/// Reads a document to insert. Errors: `invalid`; `limit` (`max-document-bytes`).
pub(crate) fn new_document(text: &str) -> Result<Kept, Error> {
    keep(json::object("a document", json::parse("a document", text)?)?)
}

/// Makes a document ready to be kept. Errors: as [`new_document`].
pub(crate) fn keep(mut document: Map<String, Value>) -> Result<Kept, Error> {
    let id = match document.shift_remove("_id") {
        Some(id @ (Value::Array(_) | Value::Null)) => {
            return Err(Error::Invalid(format!("`_id` can't be {}", if id.is_null() { "null" } else { "a list" })));
        }
        Some(id) => id,
        None => object_id::make(),
    };
    json::literal(&id)?;
    document.values().try_for_each(json::literal)?;
    if let Some(key) = document.keys().find(|key| key.starts_with('$') || key.contains('\0')) {
        return Err(Error::Invalid(format!("`{key}` is no name of a field")));
    }
    let whole = Value::Object(std::iter::once(("_id".to_owned(), id.clone())).chain(document).collect());
    let text = json::body(&whole)?;
    let document = json::object("a document", whole)?;
    Ok(Kept { id, document, text })
}

pub(crate) fn too_many_documents() -> Error {
    Error::Limit { name: "max-documents", allowed: MAX_DOCUMENTS as u64 }
}

fn optional(what: &str, text: Option<&str>) -> Result<Option<Map<String, Value>>, Error> {
    text.map(|text| json::object(what, json::parse_query(what, text)?)).transpose()
}

/// The object a part must be. Errors: `invalid`.
fn object_of<'a>(name: &str, value: &'a Value) -> Result<&'a Map<String, Value>, Error> {
    value.as_object().ok_or_else(|| Error::Invalid(format!("`{name}` takes an object")))
}

/// The list a part must be. Errors: `invalid`.
fn list_of<'a>(name: &str, value: &'a Value) -> Result<&'a Vec<Value>, Error> {
    value.as_array().ok_or_else(|| Error::Invalid(format!("`{name}` takes a list")))
}

/// Checks that a part is a whole number, none below zero. Errors: `invalid`.
fn count(name: &str, value: &Value) -> Result<(), Error> {
    value.as_u64().map(drop).ok_or_else(|| Error::Invalid(format!("`{name}` takes a whole number")))
}

/// Checks a name that is new and no path. Errors: `invalid`.
fn plain(of: &str, name: &str) -> Result<(), Error> {
    if name.is_empty() || name.contains(['.', '$', '\0']) {
        return Err(Error::Invalid(format!("a field of `{of}` is a plain name")));
    }
    Ok(())
}
