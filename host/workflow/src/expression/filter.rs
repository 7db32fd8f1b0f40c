//! Filters: what `value | name(…)` does.

use serde_json::{Number, Value};

use super::{
    ast::{Filter, Operator},
    evaluate::{Failure, MAX_MADE, arithmetic, bounded, compare, decimal, equal, kind, number, text, wrong},
};

type Filtered = Result<Value, Failure>;

/// Applies one. Only `default` takes a value that is missing.
pub(super) fn apply(filter: Filter, of: Filtered, arguments: &[Value]) -> Filtered {
    let first = arguments.first();
    if filter == Filter::Default {
        return match of {
            Ok(Value::Null) | Err(Failure::Missing(_)) => Ok(first.cloned().unwrap_or_default()),
            other => other,
        };
    }
    let of = of?;
    match (filter, &of) {
        (Filter::Length, Value::String(text)) => Ok(text.chars().count().into()),
        (Filter::Length, Value::Array(items)) => Ok(items.len().into()),
        (Filter::Length, Value::Object(members)) => Ok(members.len().into()),
        (Filter::Upper, Value::String(text)) => bounded(text.to_uppercase()),
        (Filter::Lower, Value::String(text)) => bounded(text.to_lowercase()),
        (Filter::Trim, Value::String(text)) => Ok(text.trim().into()),
        (Filter::Replace, Value::String(text)) => replace(text, arguments),
        (Filter::Split, Value::String(text)) => match first {
            Some(Value::String(between)) if !between.is_empty() => Ok(text.split(between.as_str()).collect()),
            _ => wrong("`split` needs a text to split at"),
        },
        (Filter::Text, value) => bounded(text(value)),
        (Filter::Json, value) => bounded(value.to_string()),
        (Filter::Number, value) => to_number(value).map(Value::Number),
        (Filter::Integer, value) => integer(value),
        (Filter::Round, Value::Number(value)) => round(value, first),
        (Filter::Absolute, Value::Number(value)) if value.as_f64().is_some_and(|value| value < 0.0) => {
            arithmetic(Operator::Subtract, &Value::from(0), &of)
        }
        (Filter::Absolute, Value::Number(_)) => Ok(of),
        (Filter::Keys, Value::Object(members)) => Ok(members.keys().cloned().collect()),
        (Filter::Values, Value::Object(members)) => Ok(members.values().cloned().collect()),
        (_, Value::Array(items)) => list(filter, items, arguments),
        (Filter::First, Value::String(text)) => Ok(text.chars().take(1).collect::<String>().into()),
        (Filter::Slice, Value::String(text)) => {
            let characters: Vec<char> = text.chars().collect();
            let (from, to) = span(characters.len(), arguments)?;
            Ok(characters.get(from..to).unwrap_or_default().iter().collect::<String>().into())
        }
        (filter, of) => wrong(format!("`{}` does nothing with {}", filter.name(), kind(of))),
    }
}

fn list(filter: Filter, items: &[Value], arguments: &[Value]) -> Filtered {
    let first = arguments.first();
    match filter {
        Filter::Join => {
            let between = first.map_or_else(|| ", ".to_owned(), text);
            let mut made = String::new();
            for (at, item) in items.iter().enumerate() {
                made.push_str(if at > 0 { &between } else { "" });
                made.push_str(&text(item));
                if made.len() > MAX_MADE {
                    break;
                }
            }
            bounded(made)
        }
        Filter::First => items.first().cloned().ok_or_else(|| Failure::Missing("the first of an empty list".into())),
        Filter::Last => items.last().cloned().ok_or_else(|| Failure::Missing("the last of an empty list".into())),
        Filter::Sum => match first {
            None => items.iter().try_fold(Value::from(0), |sum, item| arithmetic(Operator::Add, &sum, item)),
            Some(name) => {
                pluck(items, name)?.iter().try_fold(Value::from(0), |sum, item| arithmetic(Operator::Add, &sum, item))
            }
        },
        Filter::Least | Filter::Most => {
            let mut best = None;
            for item in items {
                let better = match best {
                    None => true,
                    Some(best) if filter == Filter::Least => compare(item, best)?.is_lt(),
                    Some(best) => compare(item, best)?.is_gt(),
                };
                best = if better { Some(item) } else { best };
            }
            best.cloned().ok_or_else(|| Failure::Missing(format!("`{}` of an empty list", filter.name())))
        }
        Filter::Sort => sort(items, first),
        Filter::Unique => {
            /// Each is held against each.
            const MAX_UNIQUE: usize = 1_000;
            if items.len() > MAX_UNIQUE {
                return wrong(format!("`unique` of more than {MAX_UNIQUE} items"));
            }
            let mut made: Vec<Value> = Vec::new();
            for item in items {
                if !made.iter().any(|earlier| equal(earlier, item)) {
                    made.push(item.clone());
                }
            }
            Ok(made.into())
        }
        Filter::Reverse => Ok(items.iter().rev().cloned().collect()),
        Filter::Pluck => pluck(items, first.unwrap_or(&Value::Null)).map(Value::Array),
        Filter::Slice => {
            let (from, to) = span(items.len(), arguments)?;
            Ok(items.get(from..to).unwrap_or_default().to_vec().into())
        }
        other => wrong(format!("`{}` does nothing with a list", other.name())),
    }
}

fn replace(text: &str, arguments: &[Value]) -> Filtered {
    let (Some(Value::String(from)), Some(Value::String(to))) = (arguments.first(), arguments.get(1)) else {
        return wrong("`replace` needs two texts");
    };
    let times = if from.is_empty() { 0 } else { text.matches(from.as_str()).count() };
    if text.len().saturating_add(times.saturating_mul(to.len())) > MAX_MADE {
        return wrong(format!("a text of more than {MAX_MADE} bytes"));
    }
    Ok(if times == 0 { text.into() } else { text.replace(from.as_str(), to).into() })
}

fn pluck(items: &[Value], name: &Value) -> Result<Vec<Value>, Failure> {
    let Value::String(name) = name else { return wrong("the name of a member is a text") };
    let member = |item: &Value| item.get(name).cloned().ok_or_else(|| Failure::Missing(name.clone()));
    items.iter().map(member).collect()
}

fn sort(items: &[Value], by: Option<&Value>) -> Filtered {
    let keys = match by {
        None => items.to_vec(),
        Some(name) => pluck(items, name)?,
    };
    let mut failed = None;
    let mut order: Vec<(Value, &Value)> = keys.into_iter().zip(items).collect();
    order.sort_by(|(left, _), (right, _)| {
        compare(left, right).unwrap_or_else(|failure| {
            failed = Some(failure);
            std::cmp::Ordering::Equal
        })
    });
    failed.map_or_else(|| Ok(order.into_iter().map(|(_, item)| item.clone()).collect()), Err)
}

fn to_number(value: &Value) -> Result<Number, Failure> {
    match value {
        Value::Number(number) => Ok(number.clone()),
        Value::String(text) => {
            let text = text.trim();
            let whole = text.parse::<i64>().ok().map(Number::from);
            whole
                .or_else(|| text.parse::<f64>().ok().and_then(Number::from_f64))
                .ok_or_else(|| Failure::Wrong("the text is no number".to_owned()))
        }
        other => wrong(format!("{} is no number", kind(other))),
    }
}

fn integer(value: &Value) -> Filtered {
    let of = to_number(value)?;
    let whole = decimal(&of).map(|decimal| decimal.trunc()).and_then(number);
    whole.map_or_else(|| wrong("the number is too large"), |whole| Ok(Value::Number(whole)))
}

fn round(value: &Number, places: Option<&Value>) -> Filtered {
    let places = match places {
        None => 0,
        Some(places) => match places.as_u64().and_then(|places| u32::try_from(places).ok()) {
            Some(places) if places <= 28 => places,
            _ => return wrong("`round` takes 0 to 28 places"),
        },
    };
    // Halves away from zero, as people round money.
    let rounded = decimal(value)
        .map(|decimal| decimal.round_dp_with_strategy(places, rust_decimal::RoundingStrategy::MidpointAwayFromZero))
        .and_then(number);
    Ok(Value::Number(rounded.unwrap_or_else(|| value.clone())))
}

/// From where to where: negative ones count from the end.
fn span(length: usize, arguments: &[Value]) -> Result<(usize, usize), Failure> {
    let place = |at: usize, absent: usize| match arguments.get(at) {
        None => Ok(absent),
        Some(value) => match value.as_i64() {
            None => wrong("`slice` takes whole numbers"),
            Some(back) if back < 0 => {
                Ok(length.saturating_sub(usize::try_from(back.unsigned_abs()).unwrap_or(usize::MAX)))
            }
            Some(at) => Ok(usize::try_from(at).unwrap_or(usize::MAX).min(length)),
        },
    };
    let (from, to) = (place(0, 0)?, place(1, length)?);
    Ok((from.min(to), to))
}
