//! What an expression comes to, over JSON values. Nothing is converted silently: a missing name, a sum of a
//! text and a number, or a condition that is no boolean is a failure that says so.
//!
//! Numbers are added, subtracted and multiplied as decimals, so that `0.1 + 0.2` is `0.3`; only what no
//! decimal of 28 digits holds is computed in binary.

use std::{borrow::Cow, cmp::Ordering};

use rust_decimal::{Decimal, prelude::ToPrimitive as _};
use serde_json::{Map, Number, Value};

use super::{
    ast::{Expr, Operator, Test},
    filter,
};

/// The most bytes of text or items of a list that an expression may make.
pub(crate) const MAX_MADE: usize = 1024 * 1024;

/// Why an expression comes to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// This is not there.
    Missing(String),
    /// Anything else.
    Wrong(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing(what) => write!(f, "`{what}` is not there"),
            Self::Wrong(message) => f.write_str(message),
        }
    }
}

/// The names that an expression may begin with.
pub(crate) trait Names {
    /// What one stands for; `None` if there is none of that name.
    fn get(&self, name: &str) -> Option<&Value>;

    /// A member of a name that is no value itself; `None` for names that are values.
    fn member(&self, name: &str, member: &str) -> Option<Option<&Value>> {
        let _ = (name, member);
        None
    }
}

type Evaluated = Result<Value, Failure>;

pub(super) fn wrong<T>(message: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Wrong(message.into()))
}

impl Expr {
    /// What it comes to.
    pub(crate) fn evaluate(&self, names: &dyn Names) -> Evaluated {
        self.resolve(names).map(Cow::into_owned)
    }

    /// What it comes to: of a name a part that is not copied, since only a part of it may be wanted. Each
    /// part of an expression is looked at once.
    fn resolve<'n>(&self, names: &'n dyn Names) -> Result<Cow<'n, Value>, Failure> {
        match self {
            Self::Name(name) => names.get(name).map(Cow::Borrowed).ok_or_else(|| Failure::Missing(name.clone())),
            Self::Member(of, name) => match names.member(root(of), name) {
                Some(found) => listed(found, root(of), name),
                None => match of.resolve(names)? {
                    Cow::Borrowed(found) if name == "length" && !found.is_object() => {
                        length(found, name, self).map(Cow::Owned)
                    }
                    Cow::Borrowed(found) => member(found, name, self).map(Cow::Borrowed),
                    Cow::Owned(made) if name == "length" && !made.is_object() => {
                        length(&made, name, self).map(Cow::Owned)
                    }
                    Cow::Owned(made) => member(&made, name, self).cloned().map(Cow::Owned),
                },
            },
            Self::Index(of, index) => {
                let index = index.evaluate(names)?;
                if names.member(root(of), "").is_some() {
                    let name = text(&index);
                    return listed(names.member(root(of), &name).flatten(), root(of), &name);
                }
                match of.resolve(names)? {
                    Cow::Borrowed(found) => at(found, &index).map(Cow::Borrowed),
                    Cow::Owned(made) => at(&made, &index).cloned().map(Cow::Owned),
                }
            }
            made => made.compute(names).map(Cow::Owned),
        }
    }

    fn compute(&self, names: &dyn Names) -> Evaluated {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::List(items) => {
                let mut room = MAX_MADE;
                items.iter().map(|item| copied(item, names, &mut room)).collect()
            }
            Self::Object(members) => {
                let mut room = MAX_MADE;
                let members =
                    members.iter().map(|(name, member)| Ok((name.clone(), copied(member, names, &mut room)?)));
                members.collect::<Result<Map<_, _>, _>>().map(Value::Object)
            }
            Self::Not(of) => Ok(Value::Bool(!boolean(&of.evaluate(names)?, "`not`")?)),
            Self::Negative(of) => {
                let of = of.evaluate(names)?;
                arithmetic(Operator::Subtract, &Value::from(0), &of)
            }
            Self::Binary(operator, left, right) => binary(*operator, left, right, names),
            Self::Choice { condition, then, otherwise } => {
                let chosen = if boolean(&condition.evaluate(names)?, "`if`")? { then } else { otherwise };
                chosen.evaluate(names)
            }
            Self::Test { of, test, negated } => {
                let is = match (of.resolve(names), test) {
                    (Ok(_), Test::Defined) => true,
                    (Err(Failure::Missing(_)), Test::Defined) => false,
                    (Ok(value), test) => holds(*test, &value),
                    (Err(failure), _) => return Err(failure),
                };
                Ok(Value::Bool(is != *negated))
            }
            Self::Filter { of, filter, arguments } => {
                let of = of.evaluate(names);
                let arguments = arguments.iter().map(|argument| argument.evaluate(names));
                filter::apply(*filter, of, &arguments.collect::<Result<Vec<_>, _>>()?)
            }
            // These reach something, or fail.
            Self::Name(_) | Self::Member(..) | Self::Index(..) => self.resolve(names).map(Cow::into_owned),
        }
    }

    /// How many levels it has: so deep goes evaluating it.
    pub(super) fn height(&self) -> usize {
        let within: Vec<&Self> = match self {
            Self::Literal(_) | Self::Name(_) => Vec::new(),
            Self::List(items) => items.iter().collect(),
            Self::Object(members) => members.iter().map(|(_, member)| member).collect(),
            Self::Member(of, _) | Self::Not(of) | Self::Negative(of) | Self::Test { of, .. } => vec![of],
            Self::Index(left, right) | Self::Binary(_, left, right) => vec![left, right],
            Self::Choice { condition, then, otherwise } => vec![condition, then, otherwise],
            Self::Filter { of, arguments, .. } => std::iter::once(&**of).chain(arguments).collect(),
        };
        1 + within.into_iter().map(Self::height).max().unwrap_or(0)
    }
}

/// A part of something that is made, if there is room for it.
fn copied(part: &Expr, names: &dyn Names, room: &mut usize) -> Evaluated {
    let value = part.resolve(names)?;
    match room.checked_sub(weight(&value)) {
        Some(left) => {
            *room = left;
            Ok(value.into_owned())
        }
        None => wrong(format!("a value of more than {MAX_MADE} bytes")),
    }
}

/// About what a value takes in memory.
fn weight(value: &Value) -> usize {
    const EACH: usize = 16;
    EACH + match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(members) => members.iter().map(|(name, member)| name.len() + weight(member)).sum(),
    }
}

fn listed<'n>(found: Option<&'n Value>, of: &str, name: &str) -> Result<Cow<'n, Value>, Failure> {
    found.map(Cow::Borrowed).ok_or_else(|| Failure::Missing(format!("{of}.{name}")))
}

fn length(of: &Value, name: &str, whole: &Expr) -> Evaluated {
    match of {
        Value::String(text) => Ok(text.chars().count().into()),
        Value::Array(items) => Ok(items.len().into()),
        other => member(other, name, whole).cloned(),
    }
}

/// The name that an expression is; empty if it is anything else.
fn root(expr: &Expr) -> &str {
    match expr {
        Expr::Name(name) => name,
        _ => "",
    }
}

fn member<'v>(of: &'v Value, name: &str, whole: &Expr) -> Result<&'v Value, Failure> {
    let path = || whole.path().map_or_else(|| name.to_owned(), |path| path.join("."));
    match of {
        Value::Object(members) => members.get(name).ok_or_else(|| Failure::Missing(path())),
        _ => Err(Failure::Missing(path())),
    }
}

fn at<'v>(of: &'v Value, index: &Value) -> Result<&'v Value, Failure> {
    let found = match (of, index) {
        (Value::Object(members), Value::String(name)) => members.get(name),
        (Value::Array(items), Value::Number(number)) => match number.as_i64() {
            Some(back) if back < 0 => {
                let from = usize::try_from(back.unsigned_abs()).ok();
                from.and_then(|from| items.len().checked_sub(from)).and_then(|at| items.get(at))
            }
            Some(at) => usize::try_from(at).ok().and_then(|at| items.get(at)),
            None => None,
        },
        _ => return wrong(format!("{} has no [{}]", kind(of), cut(index))),
    };
    found.ok_or_else(|| Failure::Missing(format!("[{}]", cut(index))))
}

fn binary(operator: Operator, left: &Expr, right: &Expr, names: &dyn Names) -> Evaluated {
    let shortcut = match operator {
        Operator::Or | Operator::And => {
            let word = if operator == Operator::Or { "`or`" } else { "`and`" };
            let first = boolean(&left.evaluate(names)?, word)?;
            if first == (operator == Operator::Or) {
                return Ok(Value::Bool(first));
            }
            return Ok(Value::Bool(boolean(&right.evaluate(names)?, word)?));
        }
        Operator::Else => match left.evaluate(names) {
            Ok(Value::Null) | Err(Failure::Missing(_)) => return right.evaluate(names),
            other => return other,
        },
        _ => left.evaluate(names)?,
    };
    let (left, right) = (shortcut, right.evaluate(names)?);
    match operator {
        Operator::Equal => Ok(Value::Bool(equal(&left, &right))),
        Operator::NotEqual => Ok(Value::Bool(!equal(&left, &right))),
        Operator::Less => compare(&left, &right).map(|order| Value::Bool(order.is_lt())),
        Operator::LessOrEqual => compare(&left, &right).map(|order| Value::Bool(order.is_le())),
        Operator::Greater => compare(&left, &right).map(|order| Value::Bool(order.is_gt())),
        Operator::GreaterOrEqual => compare(&left, &right).map(|order| Value::Bool(order.is_ge())),
        Operator::In => contains(&right, &left).map(Value::Bool),
        Operator::NotIn => contains(&right, &left).map(|is| Value::Bool(!is)),
        Operator::Join => bounded(format!("{}{}", text(&left), text(&right))),
        _ => arithmetic(operator, &left, &right),
    }
}

/// A text that is not too long.
pub(super) fn bounded(text: String) -> Evaluated {
    if text.len() > MAX_MADE { wrong(format!("a text of more than {MAX_MADE} bytes")) } else { Ok(text.into()) }
}

pub(crate) fn boolean(value: &Value, what: &str) -> Result<bool, Failure> {
    match value {
        Value::Bool(is) => Ok(*is),
        other => wrong(format!("{what} needs true or false, not {}", kind(other))),
    }
}

fn holds(test: Test, value: &Value) -> bool {
    match test {
        Test::Defined => true,
        Test::Null => value.is_null(),
        Test::Text => value.is_string(),
        Test::Number => value.is_number(),
        Test::Boolean => value.is_boolean(),
        Test::List => value.is_array(),
        Test::Object => value.is_object(),
        Test::Empty => match value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(members) => members.is_empty(),
            Value::Bool(_) | Value::Number(_) => false,
        },
    }
}

/// Strict: a text is no number, and true is not 1. Numbers are equal by value, however they are written.
pub(super) fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => numbers(left, right) == Some(Ordering::Equal),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| equal(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(name, left)| right.get(name).is_some_and(|right| equal(left, right)))
        }
        (left, right) => left == right,
    }
}

pub(super) fn compare(left: &Value, right: &Value) -> Result<Ordering, Failure> {
    let order = match (left, right) {
        (Value::Number(left), Value::Number(right)) => numbers(left, right),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        _ => None,
    };
    order.map_or_else(|| wrong(format!("{} and {} can't be compared", kind(left), kind(right))), Ok)
}

fn numbers(left: &Number, right: &Number) -> Option<Ordering> {
    match (decimal(left), decimal(right)) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}

fn contains(within: &Value, wanted: &Value) -> Result<bool, Failure> {
    match (within, wanted) {
        (Value::Array(items), wanted) => Ok(items.iter().any(|item| equal(item, wanted))),
        (Value::String(text), Value::String(part)) => Ok(text.contains(part.as_str())),
        (Value::Object(members), Value::String(name)) => Ok(members.contains_key(name)),
        _ => wrong(format!("`in` can't look for {} in {}", kind(wanted), kind(within))),
    }
}

pub(super) fn arithmetic(operator: Operator, left: &Value, right: &Value) -> Evaluated {
    if let (Operator::Add, Value::String(left), Value::String(right)) = (operator, left, right) {
        return bounded(format!("{left}{right}"));
    }
    let (Value::Number(first), Value::Number(second)) = (left, right) else {
        let hint = if operator == Operator::Add { ": `~` joins texts" } else { "" };
        return wrong(format!("{} and {} can't be computed with{hint}", kind(left), kind(right)));
    };
    let zero = second.as_f64() == Some(0.0);
    if zero && matches!(operator, Operator::Divide | Operator::Remainder) {
        return wrong("a division by zero");
    }
    if let (Some(first), Some(second)) = (decimal(first), decimal(second)) {
        let exact = match operator {
            Operator::Add => first.checked_add(second),
            Operator::Subtract => first.checked_sub(second),
            Operator::Multiply => first.checked_mul(second),
            Operator::Divide => first.checked_div(second),
            _ => first.checked_rem(second),
        };
        if let Some(number) = exact.and_then(number) {
            return Ok(Value::Number(number));
        }
    }
    let (first, second) = (first.as_f64().unwrap_or(f64::NAN), second.as_f64().unwrap_or(f64::NAN));
    let about = match operator {
        Operator::Add => first + second,
        Operator::Subtract => first - second,
        Operator::Multiply => first * second,
        Operator::Divide => first / second,
        _ => first % second,
    };
    Number::from_f64(about).map_or_else(|| wrong("the number is too large"), |number| Ok(Value::Number(number)))
}

/// A number as a decimal, if one of 28 digits holds what it says.
pub(super) fn decimal(number: &Number) -> Option<Decimal> {
    match (number.as_i64(), number.as_u64(), number.as_f64()) {
        (Some(whole), ..) => Some(Decimal::from(whole)),
        (None, Some(whole), _) => Some(Decimal::from(whole)),
        // By its shortest text, which is what was written: 0.1 is a tenth.
        (None, None, Some(binary)) => {
            let text = binary.to_string();
            text.parse().ok().filter(|decimal: &Decimal| decimal.to_f64() == Some(binary))
        }
        _ => None,
    }
}

/// A decimal as JSON has it: whole ones without a fraction.
pub(super) fn number(decimal: Decimal) -> Option<Number> {
    let decimal = decimal.normalize();
    match decimal.scale() {
        0 => decimal.to_i64().map(Number::from).or_else(|| decimal.to_u64().map(Number::from)),
        _ => decimal.to_string().parse().ok().and_then(Number::from_f64),
    }
}

/// A value within a text: texts as they are, all else as JSON.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What sort of value this is, for people.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn cut(value: &Value) -> String {
    value.to_string().chars().take(40).collect()
}
