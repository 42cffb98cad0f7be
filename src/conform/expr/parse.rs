//! From a text to an expression.

use super::{Expr, Literal, ParseError, Relation};
use std::ops::Range;

/// Nesting of an expression at most: it is evaluated by recursion.
const DEPTH: usize = 64;

/// Reads an expression that takes the whole text.
pub fn expression(text: &str) -> Result<Expr, ParseError> {
    let mut parser = Parser { tokens: tokens(text)?, next: 0, end: text.len(), depth: 0 };
    let expr = parser.tuple()?;
    match parser.peek() {
        None => Ok(expr),
        Some(_) => Err(parser.error("the expression has ended", "an operator or the end")),
    }
}

/// A word of an expression.
#[derive(Clone, PartialEq, Debug)]
enum Token {
    Name(String),
    Int(i64),
    Text(String),
    Sign(&'static str),
}

const SIGNS: &[&str] = &["==", "!=", "<=", ">=", "<", ">", "(", ")", "[", "]", ",", ".", "-"];

/// Takes a text apart into words with their places.
fn tokens(text: &str) -> Result<Vec<(Token, Range<usize>)>, ParseError> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let run = |keep: fn(char) -> bool| rest.find(|c| !keep(c)).unwrap_or(rest.len());
        let fail = |what: &str, len: usize| {
            let at = at..at + len;
            Err(ParseError { at, what: what.to_string(), expected: String::new() })
        };
        let (token, len) = if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        } else if c.is_ascii_digit() {
            let len = run(|c| c.is_ascii_digit());
            match rest[..len].parse() {
                Ok(n) => (Token::Int(n), len),
                Err(_) => return fail("the number is too large", len),
            }
        } else if c.is_ascii_alphabetic() || c == '_' {
            let len = run(|c| c.is_ascii_alphanumeric() || c == '_');
            (Token::Name(rest[..len].to_string()), len)
        } else if c == '\'' || c == '"' {
            match rest[1..].find(c) {
                Some(len) => (Token::Text(rest[1..=len].to_string()), len + 2),
                None => return fail("the string has no end", rest.len()),
            }
        } else if let Some(&sign) = SIGNS.iter().find(|&&sign| rest.starts_with(sign)) {
            (Token::Sign(sign), sign.len())
        } else {
            return fail(&format!("'{c}' means nothing in an expression"), c.len_utf8());
        };
        found.push((token, at..at + len));
        at += len;
    }
    Ok(found)
}

struct Parser {
    tokens: Vec<(Token, Range<usize>)>,
    next: usize,
    end: usize,
    depth: usize,
}

type Parsed = Result<Expr, ParseError>;

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(token, _)| token)
    }

    fn error(&self, what: &str, expected: &str) -> ParseError {
        let at = self.tokens.get(self.next).map_or(self.end..self.end, |(_, at)| at.clone());
        ParseError { at, what: what.to_string(), expected: format!("expected {expected}") }
    }

    fn is_name(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Name(name)) if name == word)
    }

    fn take_name(&mut self, word: &str) -> bool {
        let found = self.is_name(word);
        self.next += usize::from(found);
        found
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Sign(s)) if *s == sign);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), ParseError> {
        match self.take(sign) {
            true => Ok(()),
            false => Err(self.error("something is missing", &format!("`{sign}`"))),
        }
    }

    /// `a`, or `a, b` as a tuple.
    fn tuple(&mut self) -> Parsed {
        let first = self.choice()?;
        if !self.take(",") {
            return Ok(first);
        }
        let mut all = vec![first];
        while !matches!(self.peek(), None | Some(Token::Sign(")"))) {
            all.push(self.choice()?);
            if !self.take(",") {
                break;
            }
        }
        Ok(Expr::Tuple(all))
    }

    /// `a if c else b`
    fn choice(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(self.error("the expression nests too deep", "less"));
        }
        let value = self.either()?;
        let choice = match self.take_name("if") {
            false => value,
            true => {
                let condition = self.either()?;
                if !self.take_name("else") {
                    return Err(self.error("something is missing", "`else`"));
                }
                Expr::If(Box::new(value), Box::new(condition), Box::new(self.choice()?))
            }
        };
        self.depth -= 1;
        Ok(choice)
    }

    fn either(&mut self) -> Parsed {
        let mut left = self.both()?;
        while self.take_name("or") {
            left = Expr::Or(Box::new(left), Box::new(self.both()?));
        }
        Ok(left)
    }

    fn both(&mut self) -> Parsed {
        let mut left = self.negation()?;
        while self.take_name("and") {
            left = Expr::And(Box::new(left), Box::new(self.negation()?));
        }
        Ok(left)
    }

    fn negation(&mut self) -> Parsed {
        let mut times = 0;
        while self.take_name("not") {
            times += 1;
        }
        let value = self.comparison()?;
        Ok((0..times).fold(value, |e, _| Expr::Not(Box::new(e))))
    }

    fn relation(&mut self) -> Option<Relation> {
        const RELATIONS: &[(&str, Relation)] = &[
            ("==", Relation::Eq),
            ("!=", Relation::Ne),
            ("<=", Relation::Le),
            (">=", Relation::Ge),
            ("<", Relation::Lt),
            (">", Relation::Gt),
        ];
        if let Some(&(_, relation)) = RELATIONS.iter().find(|(sign, _)| self.take(sign)) {
            return Some(relation);
        }
        if self.take_name("in") {
            return Some(Relation::In);
        }
        let then_in = self.tokens.get(self.next + 1);
        let not_in = matches!(then_in, Some((Token::Name(name), _)) if name == "in");
        if self.is_name("not") && not_in {
            self.next += 2;
            return Some(Relation::NotIn);
        }
        None
    }

    fn comparison(&mut self) -> Parsed {
        let first = self.unary()?;
        let mut rest = Vec::new();
        while let Some(relation) = self.relation() {
            rest.push((relation, self.unary()?));
        }
        Ok(if rest.is_empty() { first } else { Expr::Compare(Box::new(first), rest) })
    }

    fn unary(&mut self) -> Parsed {
        let mut times = 0;
        while self.take("-") {
            times += 1;
        }
        let value = self.postfix()?;
        Ok((0..times).fold(value, |e, _| Expr::Minus(Box::new(e))))
    }

    fn postfix(&mut self) -> Parsed {
        let mut value = self.atom()?;
        loop {
            if self.take(".") {
                let Some(Token::Name(name)) = self.peek().cloned() else {
                    return Err(self.error("something is missing", "the name of an attribute"));
                };
                self.next += 1;
                value = Expr::Attribute(Box::new(value), name);
            } else if self.take("(") {
                value = Expr::Call(Box::new(value), self.arguments()?);
            } else if self.take("[") {
                let index = self.choice()?;
                self.expect("]")?;
                value = Expr::Index(Box::new(value), Box::new(index));
            } else {
                return Ok(value);
            }
        }
    }

    fn arguments(&mut self) -> Result<Vec<Expr>, ParseError> {
        let mut all = Vec::new();
        while !self.take(")") {
            all.push(self.choice()?);
            if !self.take(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(all)
    }

    fn atom(&mut self) -> Parsed {
        let expected = "a number, a string, a name or `(`";
        let Some(token) = self.peek().cloned() else {
            return Err(self.error("the expression is cut off", expected));
        };
        const WORDS: &[&str] = &["and", "or", "not", "in", "if", "else"];
        self.next += 1;
        match token {
            Token::Int(n) => Ok(Expr::Value(Literal::Int(n))),
            Token::Text(text) => Ok(Expr::Value(Literal::Text(text))),
            Token::Name(name) if name == "True" => Ok(Expr::Value(Literal::Bool(true))),
            Token::Name(name) if name == "False" => Ok(Expr::Value(Literal::Bool(false))),
            Token::Name(name) if name == "None" => Ok(Expr::Value(Literal::None)),
            Token::Name(name) if !WORDS.contains(&name.as_str()) => Ok(Expr::Name(name)),
            Token::Sign("(") if self.take(")") => Ok(Expr::Tuple(Vec::new())),
            Token::Sign("(") => {
                let inner = self.tuple()?;
                self.expect(")")?;
                Ok(inner)
            }
            Token::Name(_) | Token::Sign(_) => {
                self.next -= 1;
                Err(self.error("something is missing", expected))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Expr;

    #[test]
    fn what_is_no_expression_is_refused_with_its_place() {
        for (text, place) in [
            ("", 0..0),
            ("a ==", 4..4),
            ("a = b", 2..3),
            ("(a", 2..2),
            ("a b", 2..3),
            ("'abc", 0..4),
            ("a.1", 2..3),
            ("a and", 5..5),
            ("a if b", 6..6),
            ("f(a b)", 4..5),
            ("99999999999999999999", 0..20),
        ] {
            assert_eq!(Expr::parse(text).map_err(|e| e.at), Err(place), "{text}");
        }
        let deep = format!("{}1{}", "(".repeat(200), ")".repeat(200));
        assert!(Expr::parse(&deep).is_err());
    }
}
