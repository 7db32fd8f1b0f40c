//! What an expression is once it is read, and what it refers to.
//!
//! Deliberately absent: how it is written (`parser`) and what it comes to (`evaluate`).

use serde_json::Value;

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expr {
    Literal(Value),
    List(Vec<Expr>),
    Object(Vec<(String, Expr)>),
    /// One of the names that a run provides.
    Name(String),
    Member(Box<Expr>, String),
    Index(Box<Expr>, Box<Expr>),
    Not(Box<Expr>),
    Negative(Box<Expr>),
    Binary(Operator, Box<Expr>, Box<Expr>),
    Choice {
        condition: Box<Expr>,
        then: Box<Expr>,
        otherwise: Box<Expr>,
    },
    Test {
        of: Box<Expr>,
        test: Test,
        negated: bool,
    },
    Filter {
        of: Box<Expr>,
        filter: Filter,
        arguments: Vec<Expr>,
    },
}

/// What stands between two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Or,
    And,
    /// The left one unless it is missing or null.
    Else,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
    /// Two texts, whatever they were.
    Join,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// What may be asked of a value by `is`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Test {
    Defined,
    Null,
    Text,
    Number,
    Boolean,
    List,
    Object,
    Empty,
}

impl Test {
    /// By its name in the language.
    pub(crate) const ALL: [(&'static str, Self); 8] = [
        ("defined", Self::Defined),
        ("null", Self::Null),
        ("string", Self::Text),
        ("number", Self::Number),
        ("boolean", Self::Boolean),
        ("array", Self::List),
        ("object", Self::Object),
        ("empty", Self::Empty),
    ];
}

/// What `|` does to the value before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filter {
    Default,
    Length,
    Join,
    Upper,
    Lower,
    Trim,
    Replace,
    Split,
    Text,
    Number,
    Integer,
    Json,
    Round,
    Absolute,
    First,
    Last,
    Sum,
    Least,
    Most,
    Sort,
    Unique,
    Reverse,
    Keys,
    Values,
    Pluck,
    Slice,
}

impl Filter {
    /// By its name in the language, with the least and the most arguments that it takes.
    pub(crate) const ALL: [(&'static str, Self, usize, usize); 26] = [
        ("default", Self::Default, 1, 1),
        ("length", Self::Length, 0, 0),
        ("join", Self::Join, 0, 1),
        ("upper", Self::Upper, 0, 0),
        ("lower", Self::Lower, 0, 0),
        ("trim", Self::Trim, 0, 0),
        ("replace", Self::Replace, 2, 2),
        ("split", Self::Split, 1, 1),
        ("string", Self::Text, 0, 0),
        ("number", Self::Number, 0, 0),
        ("integer", Self::Integer, 0, 0),
        ("json", Self::Json, 0, 0),
        ("round", Self::Round, 0, 1),
        ("abs", Self::Absolute, 0, 0),
        ("first", Self::First, 0, 0),
        ("last", Self::Last, 0, 0),
        ("sum", Self::Sum, 0, 1),
        ("min", Self::Least, 0, 0),
        ("max", Self::Most, 0, 0),
        ("sort", Self::Sort, 0, 1),
        ("unique", Self::Unique, 0, 0),
        ("reverse", Self::Reverse, 0, 0),
        ("keys", Self::Keys, 0, 0),
        ("values", Self::Values, 0, 0),
        ("pluck", Self::Pluck, 1, 1),
        ("slice", Self::Slice, 1, 2),
    ];

    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, filter, ..)| *filter == self).map_or("", |(name, ..)| name)
    }
}

/// A path that begins with one of the names that a run provides, such as `steps.a.output.b`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    /// The name and what follows it, as far as it is written out.
    pub(crate) path: Vec<String>,
    /// Whether it may be missing: it stands before `is defined`, `??` or `| default(…)`.
    pub(crate) guarded: bool,
}

impl Expr {
    /// The path that this is, if it is nothing else.
    pub(crate) fn path(&self) -> Option<Vec<String>> {
        match self {
            Self::Name(name) => Some(vec![name.clone()]),
            Self::Member(of, name) => {
                let mut path = of.path()?;
                path.push(name.clone());
                Some(path)
            }
            Self::Index(of, index) => {
                let mut path = of.path()?;
                path.push(match &**index {
                    Self::Literal(Value::String(key)) => key.clone(),
                    Self::Literal(Value::Number(number)) => number.to_string(),
                    _ => return None,
                });
                Some(path)
            }
            _ => None,
        }
    }

    /// All that it refers to, each as far as it is written out.
    pub(crate) fn references(&self) -> Vec<Reference> {
        let mut found = Vec::new();
        self.collect(false, &mut found);
        found
    }

    fn collect(&self, guarded: bool, found: &mut Vec<Reference>) {
        if let Some(path) = self.path() {
            found.push(Reference { path, guarded });
            return;
        }
        match self {
            Self::Literal(_) | Self::Name(_) => {}
            Self::List(items) => items.iter().for_each(|item| item.collect(guarded, found)),
            Self::Object(members) => members.iter().for_each(|(_, member)| member.collect(guarded, found)),
            Self::Member(of, _) | Self::Not(of) | Self::Negative(of) => of.collect(guarded, found),
            Self::Index(of, index) => {
                of.collect(guarded, found);
                index.collect(guarded, found);
            }
            Self::Binary(Operator::Else, left, right) => {
                left.collect(true, found);
                right.collect(guarded, found);
            }
            Self::Binary(_, left, right) => {
                left.collect(guarded, found);
                right.collect(guarded, found);
            }
            Self::Choice { condition, then, otherwise } => {
                for part in [condition, then, otherwise] {
                    part.collect(guarded, found);
                }
            }
            Self::Test { of, test, .. } => of.collect(guarded || *test == Test::Defined, found),
            Self::Filter { of, filter, arguments } => {
                of.collect(guarded || *filter == Filter::Default, found);
                arguments.iter().for_each(|argument| argument.collect(guarded, found));
            }
        }
    }
}
