//! The expressions of rules: a small part of Python, evaluated as Python would.
//!
//! `and`, `or` and `not` go by truth and give an operand; comparisons chain; `==` of values of
//! different kinds is false, an order between them is an error; `in` looks into tuples and strings;
//! `A if C else B`; names, attributes, `has('FLAG')`, `gdisk(page, text)`, indices, numbers,
//! strings, tuples, `True`, `False`, `None`. What is not evaluated cannot fail: a name that does
//! not exist is an error only where it is looked at.

mod parse;

use super::env::{Env, Page};
use std::cmp::Ordering;
use std::ops::Range;

/// An expression.
#[derive(Clone, PartialEq, Debug)]
pub enum Expr {
    /// A number, string, truth value or None.
    Value(Literal),
    /// A tuple.
    Tuple(Vec<Expr>),
    /// A name.
    Name(String),
    /// `a.b`
    Attribute(Box<Expr>, String),
    /// `f(..)`
    Call(Box<Expr>, Vec<Expr>),
    /// `a[i]`
    Index(Box<Expr>, Box<Expr>),
    /// `not a`
    Not(Box<Expr>),
    /// `-a`
    Minus(Box<Expr>),
    /// `a and b`
    And(Box<Expr>, Box<Expr>),
    /// `a or b`
    Or(Box<Expr>, Box<Expr>),
    /// `a if c else b`: a, c, b.
    If(Box<Expr>, Box<Expr>, Box<Expr>),
    /// `a < b == c`
    Compare(Box<Expr>, Vec<(Relation, Expr)>),
}

/// A value as it is written.
#[derive(Clone, PartialEq, Debug)]
pub enum Literal {
    /// A whole number.
    Int(i64),
    /// A string.
    Text(String),
    /// True or False.
    Bool(bool),
    /// None.
    None,
}

/// A comparison.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Relation {
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
    /// `in`
    In,
    /// `not in`
    NotIn,
}

/// Why a text is no expression.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParseError {
    /// The bytes that are meant.
    pub at: Range<usize>,
    /// What is wrong, as a lowercase fragment.
    pub what: String,
    /// What was expected there.
    pub expected: String,
}

/// A value of an expression.
#[derive(Clone, PartialEq, Debug)]
pub enum Value<'a> {
    /// A whole number.
    Int(i64),
    /// A string.
    Text(&'a str),
    /// True or False.
    Bool(bool),
    /// None.
    None,
    /// A tuple or a list.
    Tuple(Vec<Value<'a>>),
    /// A page, as an observation shows it.
    Page(Page<'a>),
    /// Counts that the kernel did not give: equal to everything.
    Anything,
    /// `gdisk`
    Gdisk,
    /// `page.has`
    Has(Page<'a>),
}

impl Expr {
    /// Reads an expression.
    ///
    /// # Errors
    /// If the text is none; says where.
    pub fn parse(text: &str) -> Result<Expr, ParseError> {
        parse::expression(text)
    }

    /// Whether it is true of an observation.
    ///
    /// # Errors
    /// If something that it looks at is not there, or of another kind.
    pub fn holds(&self, env: &Env) -> Result<bool, String> {
        self.value(env).map(|v| truth(&v))
    }

    fn value<'a>(&'a self, env: &Env<'a>) -> Result<Value<'a>, String> {
        Ok(match self {
            Expr::Value(Literal::Int(n)) => Value::Int(*n),
            Expr::Value(Literal::Text(s)) => Value::Text(s),
            Expr::Value(Literal::Bool(b)) => Value::Bool(*b),
            Expr::Value(Literal::None) => Value::None,
            Expr::Tuple(all) => {
                Value::Tuple(all.iter().map(|e| e.value(env)).collect::<Result<_, _>>()?)
            }
            Expr::Name(name) => {
                env.name(name).ok_or_else(|| format!("name '{name}' is not defined"))?
            }
            Expr::Attribute(of, name) => attribute(of.value(env)?, name)?,
            Expr::Call(function, arguments) => {
                let arguments = arguments.iter().map(|e| e.value(env));
                let arguments: Vec<Value> = arguments.collect::<Result<_, _>>()?;
                call(&function.value(env)?, &arguments, env)?
            }
            Expr::Index(of, index) => at(of.value(env)?, &index.value(env)?)?,
            Expr::Not(e) => Value::Bool(!truth(&e.value(env)?)),
            Expr::Minus(e) => match number(&e.value(env)?) {
                Some(n) => Value::Int(n.wrapping_neg()),
                None => return Err("only a number can be negative".to_string()),
            },
            Expr::And(a, b) => {
                let a = a.value(env)?;
                if truth(&a) { b.value(env)? } else { a }
            }
            Expr::Or(a, b) => {
                let a = a.value(env)?;
                if truth(&a) { a } else { b.value(env)? }
            }
            Expr::If(a, condition, b) => {
                if truth(&condition.value(env)?) {
                    a.value(env)?
                } else {
                    b.value(env)?
                }
            }
            Expr::Compare(first, rest) => {
                let mut left = first.value(env)?;
                for (relation, right) in rest {
                    let right = right.value(env)?;
                    if !compare(&left, *relation, &right)? {
                        return Ok(Value::Bool(false));
                    }
                    left = right;
                }
                Value::Bool(true)
            }
        })
    }
}

/// Whether a value counts as true.
fn truth(value: &Value) -> bool {
    match value {
        Value::Int(n) => *n != 0,
        Value::Text(s) => !s.is_empty(),
        Value::Bool(b) => *b,
        Value::None => false,
        Value::Tuple(all) => !all.is_empty(),
        Value::Page(_) | Value::Anything | Value::Gdisk | Value::Has(_) => true,
    }
}

/// The number that a value is: True is 1.
fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Int(n) => Some(*n),
        Value::Bool(b) => Some(i64::from(*b)),
        _ => None,
    }
}

fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Anything, _) | (_, Value::Anything) => true,
        (Value::Tuple(a), Value::Tuple(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        _ => match (number(a), number(b)) {
            (Some(a), Some(b)) => a == b,
            _ => a == b,
        },
    }
}

fn compare(a: &Value, relation: Relation, b: &Value) -> Result<bool, String> {
    Ok(match relation {
        Relation::Eq => equal(a, b),
        // A count that is not there is neither equal nor unequal: `!=` of it is false.
        Relation::Ne => !equal(a, b),
        Relation::Lt => order(a, b)? == Ordering::Less,
        Relation::Le => order(a, b)? != Ordering::Greater,
        Relation::Gt => order(a, b)? == Ordering::Greater,
        Relation::Ge => order(a, b)? != Ordering::Less,
        Relation::In => member(a, b)?,
        Relation::NotIn => !member(a, b)?,
    })
}

fn order(a: &Value, b: &Value) -> Result<Ordering, String> {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => Ok(a.cmp(b)),
        (Value::Tuple(x), Value::Tuple(y)) => {
            let differ = x.iter().zip(y).find(|(a, b)| !equal(a, b));
            differ.map_or(Ok(x.len().cmp(&y.len())), |(a, b)| order(a, b))
        }
        _ => match (number(a), number(b)) {
            (Some(a), Some(b)) => Ok(a.cmp(&b)),
            _ => Err(format!("no order between {} and {}", kind(a), kind(b))),
        },
    }
}

fn member(a: &Value, all: &Value) -> Result<bool, String> {
    match (a, all) {
        (_, Value::Tuple(all)) => Ok(all.iter().any(|b| equal(a, b))),
        (Value::Text(part), Value::Text(text)) => Ok(text.contains(part)),
        _ => Err(format!("{} cannot be in {}", kind(a), kind(all))),
    }
}

fn attribute<'a>(of: Value<'a>, name: &str) -> Result<Value<'a>, String> {
    match (of, name) {
        (Value::Page(page), "has") => Ok(Value::Has(page)),
        (Value::Page(page), _) => {
            page.attribute(name).ok_or_else(|| format!("a page has no attribute '{name}'"))
        }
        (of, _) => Err(format!("{} has no attribute '{name}'", kind(&of))),
    }
}

fn call<'a>(
    function: &Value<'a>,
    arguments: &[Value<'a>],
    env: &Env<'a>,
) -> Result<Value<'a>, String> {
    match (function, arguments) {
        (Value::Has(page), [Value::Text(flag)]) => Ok(Value::Bool(page.has(flag))),
        (Value::Gdisk, [Value::Page(page), expected]) => {
            let disk = page.attribute("disk").unwrap_or(Value::None);
            Ok(Value::Bool(!env.is_gate() || equal(&disk, expected)))
        }
        (Value::Has(_) | Value::Gdisk, _) => Err("wrong arguments".to_string()),
        (other, _) => Err(format!("{} is no function", kind(other))),
    }
}

fn at<'a>(of: Value<'a>, index: &Value) -> Result<Value<'a>, String> {
    let (Value::Tuple(all), Some(n)) = (&of, number(index)) else {
        return Err(format!("{} has no elements", kind(&of)));
    };
    let n = if n < 0 { n + all.len() as i64 } else { n };
    let found = usize::try_from(n).ok().and_then(|n| all.get(n));
    found.cloned().ok_or_else(|| "index out of range".to_string())
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Int(_) => "a number",
        Value::Text(_) => "a string",
        Value::Bool(_) => "a truth value",
        Value::None => "None",
        Value::Tuple(_) => "a tuple",
        Value::Page(_) => "a page",
        Value::Anything => "a count that is not known",
        Value::Gdisk | Value::Has(_) => "a function",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conform::observation::Observation;

    fn holds(text: &str) -> Result<bool, String> {
        let seen = Observation { ret: 3, err: "EIO".into(), ..Observation::default() };
        let env = Env { seen: &seen, fs: "ext4", kernel: (6, 12) };
        Expr::parse(text).map_err(|e| e.what)?.holds(&env)
    }

    #[test]
    fn expressions_mean_what_they_mean_in_python() {
        for text in [
            "1 < 2 < 3",
            "not 1 > 2",
            "ret == 3 and err == 'EIO'",
            "err in ('EIO', 'EAGAIN')",
            "err in('EIO','EFAULT')",
            "'A' not in ('B', 'C')",
            "kver < (6, 15)",
            "kver >= (6, 12)",
            "err == ('EIO' if kver < (6, 15) else '')",
            "True == 1",
            "'1' != 1",
            "not err == ''",
            "1 == 2 or 'x'",
            "fs == 'ext4' or nothing",
            "not isgate and gdisk",
            "ret == -(-3)",
            "'IO' in err",
        ] {
            assert_eq!(holds(text), Ok(true), "{text}");
        }
        for text in
            ["3 > 2 > 2", "1 and 0", "f", "'' or 0", "err == ret", "fs == 'xfs' and nothing"]
        {
            assert_ne!(holds(text), Ok(true), "{text}");
        }
    }

    #[test]
    fn what_is_not_there_is_an_error_only_where_it_is_looked_at() {
        assert_eq!(holds("m00.present"), Err("name 'm00' is not defined".to_string()));
        assert_eq!(holds("True or m00.present"), Ok(true));
        assert!(holds("1 < 'a'").is_err());
        assert!(holds("sd[9] == 0").is_err());
    }
}
