//! Reads an expression: operators by how tightly they bind, loosest first
//! `a if c else b`, `c ? a : b` · `or`, `||` · `and`, `&&` · `not`, `!` · `??` · comparisons, `in`, `is` ·
//! `~` · `+`, `-` · `*`, `/`, `%` · `-a` · `a | filter` · `a.b`, `a[b]`.

use serde_json::Value;

use super::{
    ast::{Expr, Filter, Operator, Test},
    lexer::{Token, tokens},
};

/// The longest expression, in bytes.
pub(crate) const MAX_BYTES: usize = 4 * 1024;
/// How deep one may nest: evaluating it recurses as deep.
const MAX_DEPTH: usize = 64;

/// How high the tree may be that comes of it.
const MAX_HEIGHT: usize = 128;

/// Why an expression can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreadable {
    pub(crate) message: String,
    /// The byte of the expression's text.
    pub(crate) at: usize,
}

/// Reads the text between the braces.
pub(crate) fn parse(text: &str) -> Result<Expr, Unreadable> {
    if text.len() > MAX_BYTES {
        return Err(Unreadable { message: format!("an expression has at most {MAX_BYTES} bytes"), at: 0 });
    }
    let tokens = tokens(text).map_err(|(message, at)| Unreadable { message, at })?;
    let mut parser = Parser { tokens: &tokens, at: 0, depth: 0, end: text.len() };
    let expr = parser.choice()?;
    match parser.peek() {
        None if expr.height() > MAX_HEIGHT => {
            Err(Unreadable { message: format!("nested more than {MAX_HEIGHT} deep"), at: 0 })
        }
        None => Ok(expr),
        Some(token) => Err(parser.fault(format!("{} is not expected here", shown(token)))),
    }
}

struct Parser<'t> {
    tokens: &'t [(Token, usize)],
    at: usize,
    depth: usize,
    end: usize,
}

type Parsed = Result<Expr, Unreadable>;

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(token, _)| token)
    }

    fn fault(&self, message: impl Into<String>) -> Unreadable {
        let at = self.tokens.get(self.at).map_or(self.end, |(_, at)| *at);
        Unreadable { message: message.into(), at }
    }

    fn sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Sign(it)) if *it == sign);
        self.at += usize::from(found);
        found
    }

    fn word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(it)) if it == word);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &'static str) -> Result<(), Unreadable> {
        if self.sign(sign) { Ok(()) } else { Err(self.fault(format!("`{sign}` is missing"))) }
    }

    /// Goes a level deeper, if there is one.
    fn deeper(&mut self, inside: impl FnOnce(&mut Self) -> Parsed) -> Parsed {
        if self.depth == MAX_DEPTH {
            return Err(self.fault(format!("nested more than {MAX_DEPTH} deep")));
        }
        self.depth += 1;
        let parsed = inside(self);
        self.depth -= 1;
        parsed
    }

    fn choice(&mut self) -> Parsed {
        self.deeper(|this| {
            let first = this.any()?;
            if this.word("if") {
                let condition = Box::new(this.any()?);
                if !this.word("else") {
                    return Err(this.fault("`else` is missing"));
                }
                return Ok(Expr::Choice { condition, then: Box::new(first), otherwise: Box::new(this.choice()?) });
            }
            if this.sign("?") {
                let then = Box::new(this.choice()?);
                this.expect(":")?;
                return Ok(Expr::Choice { condition: Box::new(first), then, otherwise: Box::new(this.choice()?) });
            }
            Ok(first)
        })
    }

    /// Operands of one binding joined from the left: each makes the tree a level deeper.
    fn joined(&mut self, operand: fn(&mut Self) -> Parsed, operator: fn(&mut Self) -> Option<Operator>) -> Parsed {
        let mut left = operand(self)?;
        let before = self.depth;
        while let Some(operator) = operator(self) {
            if self.depth == MAX_DEPTH {
                return Err(self.fault(format!("nested more than {MAX_DEPTH} deep")));
            }
            self.depth += 1;
            let right = operand(self)?;
            left = Expr::Binary(operator, Box::new(left), Box::new(right));
        }
        self.depth = before;
        Ok(left)
    }

    fn any(&mut self) -> Parsed {
        self.joined(Self::all, |this| (this.word("or") || this.sign("||")).then_some(Operator::Or))
    }

    fn all(&mut self) -> Parsed {
        self.joined(Self::not, |this| (this.word("and") || this.sign("&&")).then_some(Operator::And))
    }

    fn not(&mut self) -> Parsed {
        if self.word("not") || self.sign("!") {
            return self.deeper(|this| Ok(Expr::Not(Box::new(this.not()?))));
        }
        self.compared()
    }

    fn compared(&mut self) -> Parsed {
        let left = self.other()?;
        if self.word("is") {
            let negated = self.word("not");
            let Some(Token::Word(name)) = self.peek().cloned() else {
                return Err(self.fault("`is` needs what is asked, such as `defined`"));
            };
            let known = |(word, _): &&(&str, Test)| *word == name || (name == "none" && *word == "null");
            let Some((_, test)) = Test::ALL.iter().find(known) else {
                let all: Vec<&str> = Test::ALL.iter().map(|(name, _)| *name).collect();
                return Err(self.fault(format!("`is {name}` is not known (known: {})", all.join(", "))));
            };
            self.at += 1;
            return Ok(Expr::Test { of: Box::new(left), test: *test, negated });
        }
        let operator = match self.peek() {
            Some(Token::Sign("==" | "===")) => Operator::Equal,
            Some(Token::Sign("!=" | "!==")) => Operator::NotEqual,
            Some(Token::Sign("<")) => Operator::Less,
            Some(Token::Sign("<=")) => Operator::LessOrEqual,
            Some(Token::Sign(">")) => Operator::Greater,
            Some(Token::Sign(">=")) => Operator::GreaterOrEqual,
            Some(Token::Sign("=")) => return Err(self.fault("`=` compares nothing: write `==`")),
            Some(Token::Word(word)) if word == "in" => Operator::In,
            Some(Token::Word(word)) if word == "not" => {
                self.at += 1;
                if !matches!(self.peek(), Some(Token::Word(word)) if word == "in") {
                    return Err(self.fault("`in` is missing after `not`"));
                }
                Operator::NotIn
            }
            _ => return Ok(left),
        };
        self.at += 1;
        let right = self.other()?;
        if matches!(self.peek(), Some(Token::Sign("==" | "===" | "!=" | "!==" | "<" | "<=" | ">" | ">="))) {
            return Err(self.fault("two comparisons in a row: join them by `and`"));
        }
        Ok(Expr::Binary(operator, Box::new(left), Box::new(right)))
    }

    fn other(&mut self) -> Parsed {
        self.joined(Self::texts, |this| this.sign("??").then_some(Operator::Else))
    }

    fn texts(&mut self) -> Parsed {
        self.joined(Self::sum, |this| this.sign("~").then_some(Operator::Join))
    }

    fn sum(&mut self) -> Parsed {
        self.joined(Self::product, |this| {
            if this.sign("+") { Some(Operator::Add) } else { this.sign("-").then_some(Operator::Subtract) }
        })
    }

    fn product(&mut self) -> Parsed {
        self.joined(Self::negative, |this| {
            let signs = [("*", Operator::Multiply), ("/", Operator::Divide), ("%", Operator::Remainder)];
            signs.into_iter().find_map(|(sign, operator)| this.sign(sign).then_some(operator))
        })
    }

    fn negative(&mut self) -> Parsed {
        if self.sign("-") {
            return self.deeper(|this| Ok(Expr::Negative(Box::new(this.negative()?))));
        }
        self.filtered()
    }

    fn filtered(&mut self) -> Parsed {
        let mut of = self.member()?;
        let before = self.depth;
        while self.sign("|") {
            let Some(Token::Word(name)) = self.peek().cloned() else {
                return Err(self.fault("`|` needs the name of a filter (for `or` write `||`)"));
            };
            let Some((_, filter, least, most)) = Filter::ALL.into_iter().find(|(known, ..)| *known == name) else {
                let near = remit_config::closest(&name, Filter::ALL.iter().map(|(known, ..)| *known));
                let hint = near.map(|near| format!(" ({near})")).unwrap_or_default();
                return Err(self.fault(format!("there is no filter `{name}`{hint}")));
            };
            self.at += 1;
            let mut arguments = Vec::new();
            if self.sign("(") {
                arguments = self.items(")", Self::choice)?;
            }
            if arguments.len() < least || arguments.len() > most {
                return Err(self.fault(format!("`{name}` takes {}", count(least, most))));
            }
            self.depth += 1;
            if self.depth > MAX_DEPTH {
                return Err(self.fault(format!("nested more than {MAX_DEPTH} deep")));
            }
            of = Expr::Filter { of: Box::new(of), filter, arguments };
        }
        self.depth = before;
        Ok(of)
    }

    fn member(&mut self) -> Parsed {
        let mut of = self.primary()?;
        let before = self.depth;
        loop {
            if self.depth == MAX_DEPTH {
                return Err(self.fault(format!("nested more than {MAX_DEPTH} deep")));
            }
            if self.sign(".") {
                match self.peek().cloned() {
                    Some(Token::Word(name)) => of = Expr::Member(Box::new(of), name),
                    Some(Token::Literal(Value::Number(number))) if number.is_u64() => {
                        of = Expr::Index(Box::new(of), Box::new(Expr::Literal(number.into())));
                    }
                    _ => return Err(self.fault("`.` needs a name")),
                }
                self.at += 1;
            } else if self.sign("[") {
                let index = self.choice()?;
                self.expect("]")?;
                of = Expr::Index(Box::new(of), Box::new(index));
            } else {
                self.depth = before;
                return Ok(of);
            }
            self.depth += 1;
        }
    }

    fn primary(&mut self) -> Parsed {
        let Some(token) = self.peek().cloned() else { return Err(self.fault("something is missing here")) };
        self.at += 1;
        match token {
            Token::Literal(value) => Ok(Expr::Literal(value)),
            Token::Word(word) => match word.as_str() {
                "true" | "True" => Ok(Expr::Literal(Value::Bool(true))),
                "false" | "False" => Ok(Expr::Literal(Value::Bool(false))),
                "null" | "none" | "None" => Ok(Expr::Literal(Value::Null)),
                "if" | "else" | "and" | "or" | "not" | "in" | "is" => {
                    self.at -= 1;
                    Err(self.fault(format!("`{word}` is not expected here")))
                }
                _ if matches!(self.peek(), Some(Token::Sign("("))) => {
                    self.at -= 1;
                    Err(self.fault(format!("there are no functions: `{word}` may be a filter, as in `a | {word}`")))
                }
                _ => Ok(Expr::Name(word)),
            },
            Token::Sign("(") => {
                let inside = self.choice()?;
                self.expect(")")?;
                Ok(inside)
            }
            Token::Sign("[") => self.items("]", Self::choice).map(Expr::List),
            Token::Sign("{") => self
                .items("}", |this| {
                    let name = match this.peek().cloned() {
                        Some(Token::Word(name) | Token::Literal(Value::String(name))) => name,
                        _ => return Err(this.fault("a member needs a name")),
                    };
                    this.at += 1;
                    this.expect(":")?;
                    Ok((name, this.choice()?))
                })
                .map(Expr::Object),
            Token::Sign(_) => {
                self.at -= 1;
                let found = self.peek().map(shown).unwrap_or_default();
                Err(self.fault(format!("{found} is not expected here")))
            }
        }
    }

    /// What stands between commas, up to a sign.
    fn items<T>(
        &mut self,
        end: &'static str,
        item: impl Fn(&mut Self) -> Result<T, Unreadable>,
    ) -> Result<Vec<T>, Unreadable> {
        let mut items = Vec::new();
        while !self.sign(end) {
            if !items.is_empty() {
                self.expect(",")?;
                if self.sign(end) {
                    break;
                }
            }
            items.push(item(self)?);
        }
        Ok(items)
    }
}

fn count(least: usize, most: usize) -> String {
    match (least, most) {
        (0, 0) => "nothing in brackets".to_owned(),
        (least, most) if least == most => format!("{least} argument{}", if least == 1 { "" } else { "s" }),
        (least, most) => format!("{least} to {most} arguments"),
    }
}

fn shown(token: &Token) -> String {
    match token {
        Token::Literal(value) => format!("`{value}`"),
        Token::Word(word) => format!("`{word}`"),
        Token::Sign(sign) => format!("`{sign}`"),
    }
}
