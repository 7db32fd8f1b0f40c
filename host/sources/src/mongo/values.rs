//! Values between JSON and BSON. What JSON lacks is written as the embedded store has it: relaxed Extended
//! JSON, of which [`extended`] says what is read.

use bson::{
    Binary, Bson, DateTime, Document, RawBsonRef, RawDocument, RawDocumentBuf, Timestamp, oid::ObjectId,
    spec::BinarySubtype,
};
use remit_domain::data::Error;
use serde_json::{Map, Value, json};

use crate::documents::json::{Extended, Number, extended};

/// How many levels a document from a server may have: more than a server lets anybody store.
const MAX_LEVELS: usize = 250;

/// An object as BSON. Errors: `invalid` for what BSON can't have.
pub(super) fn document(object: &Map<String, Value>) -> Result<Document, Error> {
    let entries = object.iter().map(|(key, value)| {
        // On the wire a name ends where it has a NUL.
        if key.contains('\0') { Err(unfit()) } else { Ok((key.clone(), to_bson(value)?)) }
    });
    entries.collect()
}

/// A list of objects as BSON. Errors: as [`document`].
pub(super) fn documents(list: &Value) -> Result<Vec<Document>, Error> {
    list.as_array().into_iter().flatten().filter_map(Value::as_object).map(document).collect()
}

/// How many bytes are sent for a document. Errors: as [`document`].
pub(super) fn size(document: &Document) -> Result<usize, Error> {
    RawDocumentBuf::try_from(document).map(|bytes| bytes.as_bytes().len()).map_err(|_| unfit())
}

/// A document of a server's as JSON. Errors: `unavailable` if it is no BSON or has too many levels.
pub(super) fn read(document: &RawDocument) -> Result<Value, Error> {
    object(document, MAX_LEVELS)
}

/// A value of a server's as JSON text.
pub(super) fn text(value: &Bson) -> String {
    relaxed(value.clone()).to_string()
}

/// A number of documents in a server's answer.
pub(super) fn count(answer: &Document, name: &str) -> u64 {
    let count = match answer.get(name) {
        Some(Bson::Int32(count)) => i64::from(*count),
        Some(Bson::Int64(count)) => *count,
        #[expect(clippy::cast_possible_truncation, reason = "a count, which some servers send as a binary number")]
        Some(Bson::Double(count)) => *count as i64,
        _ => 0,
    };
    u64::try_from(count).unwrap_or(0)
}

fn to_bson(value: &Value) -> Result<Bson, Error> {
    Ok(match value {
        Value::Null => Bson::Null,
        Value::Bool(flag) => Bson::Boolean(*flag),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => integer(whole),
            None => Bson::Double(number.as_f64().ok_or_else(unfit)?),
        },
        Value::String(text) => Bson::String(text.clone()),
        Value::Array(items) => Bson::Array(items.iter().map(to_bson).collect::<Result<_, _>>()?),
        Value::Object(object) => match extended(object) {
            Some(value) => special(value, object)?,
            None => Bson::Document(document(object)?),
        },
    })
}

fn special(value: Extended, written: &Map<String, Value>) -> Result<Bson, Error> {
    let only = || written.iter().next().map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()));
    Ok(match value {
        Extended::ObjectId(id) => Bson::ObjectId(ObjectId::parse_str(id).map_err(|_| unfit())?),
        Extended::Date(milliseconds) => Bson::DateTime(DateTime::from_millis(milliseconds)),
        Extended::Timestamp(time, increment) => Bson::Timestamp(Timestamp { time, increment }),
        Extended::Binary(binary) => {
            Bson::Binary(Binary { subtype: BinarySubtype::from(binary.kind), bytes: binary.bytes })
        }
        Extended::Number(number) => match (number, only()) {
            // As it is written, so that no digit is lost.
            (Number::Exact(_), Some((_, digits))) => Bson::Decimal128(digits.parse().map_err(|_| unfit())?),
            (Number::Whole(whole), Some(("$numberLong", _))) => Bson::Int64(whole),
            (Number::Whole(whole), _) => integer(whole),
            (Number::Real(real), _) => Bson::Double(real),
            (Number::Exact(_), None) => return Err(unfit()),
        },
    })
}

fn integer(whole: i64) -> Bson {
    i32::try_from(whole).map_or(Bson::Int64(whole), Bson::Int32)
}

fn object(document: &RawDocument, levels: usize) -> Result<Value, Error> {
    let levels = levels.checked_sub(1).ok_or_else(unread)?;
    let entries = document.iter().map(|entry| {
        let (key, value) = entry.map_err(|_| unread())?;
        Ok((key.as_str().to_owned(), from_raw(value, levels)?))
    });
    entries.collect::<Result<Map<_, _>, Error>>().map(Value::Object)
}

fn from_raw(value: RawBsonRef<'_>, levels: usize) -> Result<Value, Error> {
    match value {
        RawBsonRef::Document(document) => object(document, levels),
        RawBsonRef::Array(items) => {
            let levels = levels.checked_sub(1).ok_or_else(unread)?;
            items.into_iter().map(|item| from_raw(item.map_err(|_| unread())?, levels)).collect()
        }
        RawBsonRef::JavaScriptCodeWithScope(code) => {
            Ok(json!({ "$code": code.code, "$scope": object(code.scope, levels)? }))
        }
        other => Bson::try_from(other).map(relaxed).map_err(|_| unread()),
    }
}

fn relaxed(value: Bson) -> Value {
    match value {
        Bson::Binary(binary) => match binary.to_uuid() {
            Ok(id) => json!({ "$uuid": id.to_string() }),
            Err(_) => Bson::Binary(binary).into_relaxed_extjson(),
        },
        other => other.into_relaxed_extjson(),
    }
}

fn unfit() -> Error {
    Error::Invalid("a value is none that the database can have".to_owned())
}

fn unread() -> Error {
    Error::unavailable("the database sent what is no document")
}
