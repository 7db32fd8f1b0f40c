//! Expressions, at every depth: references, values, and operators that only compute.

use remit_domain::data::Error;
use serde_json::{Map, Value};

use super::{
    super::{
        json::{extended, literal, named, unknown},
        path::Path,
    },
    object_of, plain,
};

/// Operators that compute a value from values. None runs code, waits, is random, or tells of the server.
const OPERATORS: &[&str] = &[
    "$abs",
    "$add",
    "$allElementsTrue",
    "$and",
    "$anyElementTrue",
    "$arrayElemAt",
    "$arrayToObject",
    "$avg",
    "$ceil",
    "$cmp",
    "$concat",
    "$concatArrays",
    "$cond",
    "$convert",
    "$dateAdd",
    "$dateDiff",
    "$dateFromParts",
    "$dateFromString",
    "$dateSubtract",
    "$dateToParts",
    "$dateToString",
    "$dateTrunc",
    "$dayOfMonth",
    "$dayOfWeek",
    "$dayOfYear",
    "$divide",
    "$eq",
    "$exp",
    "$filter",
    "$first",
    "$floor",
    "$gt",
    "$gte",
    "$hour",
    "$ifNull",
    "$in",
    "$indexOfArray",
    "$indexOfBytes",
    "$indexOfCP",
    "$isArray",
    "$isNumber",
    "$isoDayOfWeek",
    "$isoWeek",
    "$isoWeekYear",
    "$last",
    "$let",
    "$ln",
    "$log",
    "$log10",
    "$lt",
    "$lte",
    "$ltrim",
    "$map",
    "$max",
    "$mergeObjects",
    "$millisecond",
    "$min",
    "$minute",
    "$mod",
    "$month",
    "$multiply",
    "$ne",
    "$not",
    "$objectToArray",
    "$or",
    "$pow",
    "$range",
    "$reduce",
    "$regexFind",
    "$regexFindAll",
    "$regexMatch",
    "$replaceAll",
    "$replaceOne",
    "$reverseArray",
    "$round",
    "$rtrim",
    "$second",
    "$setDifference",
    "$setEquals",
    "$setIntersection",
    "$setIsSubset",
    "$setUnion",
    "$size",
    "$slice",
    "$sortArray",
    "$split",
    "$sqrt",
    "$stdDevPop",
    "$stdDevSamp",
    "$strLenBytes",
    "$strLenCP",
    "$strcasecmp",
    "$substrBytes",
    "$substrCP",
    "$subtract",
    "$sum",
    "$switch",
    "$toBool",
    "$toDate",
    "$toDecimal",
    "$toDouble",
    "$toInt",
    "$toLong",
    "$toLower",
    "$toObjectId",
    "$toString",
    "$toUpper",
    "$trim",
    "$trunc",
    "$type",
    "$week",
    "$year",
    "$zip",
];

/// What sums up a group.
const ACCUMULATORS: &[&str] = &[
    "$addToSet",
    "$avg",
    "$count",
    "$first",
    "$last",
    "$max",
    "$mergeObjects",
    "$min",
    "$push",
    "$stdDevPop",
    "$stdDevSamp",
    "$sum",
];

/// Variables of the server's own. Those that name its users or cluster are missing.
const VARIABLES: &[&str] = &["ROOT", "CURRENT", "NOW", "REMOVE"];

/// Errors: `invalid` for an operator or variable that is on no list, or a wrong form.
pub(super) fn check(value: &Value) -> Result<(), Error> {
    match value {
        Value::String(text) => reference(text),
        Value::Array(items) => items.iter().try_for_each(check),
        Value::Object(object) if object.keys().any(|key| key.starts_with('$')) => operation(object),
        Value::Object(object) => object.iter().try_for_each(|(key, value)| {
            named(key)?;
            check(value)
        }),
        _ => Ok(()),
    }
}

/// Checks fields that are computed: of `$addFields`, and the `let` of a `$lookup`. Errors: as [`check`].
pub(super) fn fields(name: &str, value: &Value) -> Result<(), Error> {
    object_of(name, value)?.iter().try_for_each(|(path, value)| {
        Path::new(path)?;
        check(value)
    })
}

/// Checks fields that sum up a group. Errors: as [`check`].
pub(super) fn accumulators<'a>(of: &str, fields: impl Iterator<Item = (&'a String, &'a Value)>) -> Result<(), Error> {
    for (name, value) in fields {
        plain(of, name)?;
        let mut entries = value.as_object().into_iter().flatten();
        let (Some((operator, operand)), None) = (entries.next(), entries.next()) else {
            return Err(Error::Invalid(format!("`{name}` of `{of}` takes one accumulator")));
        };
        if !ACCUMULATORS.contains(&operator.as_str()) {
            return Err(unknown(Some(operator)));
        }
        check(operand)?;
    }
    Ok(())
}

/// Whether an expression looks at a document.
pub(super) fn refers(value: &Value) -> bool {
    match value {
        Value::String(text) => text.starts_with('$'),
        Value::Array(items) => items.iter().any(refers),
        Value::Object(object) => object.values().any(refers),
        _ => false,
    }
}

fn operation(object: &Map<String, Value>) -> Result<(), Error> {
    if extended(object).is_some() {
        return Ok(());
    }
    let mut entries = object.iter();
    match (entries.next(), entries.next()) {
        (Some((key, value)), None) if key == "$literal" => literal(value),
        (Some((key, value)), None) if OPERATORS.contains(&key.as_str()) => check(value),
        _ => Err(unknown(object.keys().find(|key| key.starts_with('$')))),
    }
}

/// Texts that begin with `$` refer to a field, with `$$` to a variable; others are values.
fn reference(text: &str) -> Result<(), Error> {
    let Some(rest) = text.strip_prefix('$') else { return Ok(()) };
    let Some(variable) = rest.strip_prefix('$') else { return Path::new(rest).map(drop) };
    let (name, path) = variable.split_once('.').map_or((variable, None), |(name, path)| (name, Some(path)));
    let own = name.starts_with(|first: char| !first.is_ascii_uppercase());
    if !own && !VARIABLES.contains(&name) {
        return Err(unknown(Some(&format!("$${name}"))));
    }
    path.map_or(Ok(()), |path| Path::new(path).map(drop))
}
