//! Placeholders of generated worlds: `{i}`, `{i/10}`, `{i%10}`, `{i*2+1}`.

use crate::scenario::problem::Problem;
use std::borrow::Cow;

/// Replaces the placeholders of a text by what they stand for in instance `i`; outside of
/// templates (no `i`) there must be none.
///
/// # Errors
/// If a placeholder makes no sense.
pub fn expand(text: &str, i: Option<u32>) -> Result<Cow<'_, str>, Problem> {
    if !text.contains(['{', '}']) {
        return Ok(Cow::Borrowed(text));
    }
    let Some(i) = i else {
        return Err(Problem::general(format!("placeholder in `{text}` outside of a template"))
            .help("placeholders such as {i} are for `generate`"));
    };
    let bad = |why: &str| {
        Problem::general(format!("bad placeholder in `{text}`: {why}"))
            .help("write {i}, or {i} with + - * / % and a number, such as {i/10} or {i*2+1}")
    };
    let mut expanded = String::with_capacity(text.len() + 8);
    let mut rest = text;
    while let Some((before, from)) = rest.split_once('{') {
        let (inner, after) = from.split_once('}').ok_or_else(|| bad("`}` is missing"))?;
        let value = evaluate(inner, i).map_err(bad)?;
        expanded.push_str(before);
        expanded.push_str(&value.to_string());
        rest = after;
    }
    if rest.contains('}') {
        return Err(bad("`{` is missing"));
    }
    expanded.push_str(rest);
    Ok(Cow::Owned(expanded))
}

/// The value of `i`, `i/10`, `i*2+1`, from left to right.
fn evaluate(text: &str, i: u32) -> Result<u32, &'static str> {
    let mut rest = text.strip_prefix('i').ok_or("it does not begin with i")?;
    let mut value = i;
    while let Some(operator) = rest.chars().next() {
        let operand = rest.get(1..).ok_or("a placeholder is written in ASCII")?;
        let digits = operand.bytes().take_while(u8::is_ascii_digit).count();
        let number: u32 = operand[..digits].parse().map_err(|_| "a number must follow here")?;
        value = match operator {
            '+' => value.checked_add(number),
            '-' => value.checked_sub(number),
            '*' => value.checked_mul(number),
            '/' => value.checked_div(number),
            '%' => value.checked_rem(number),
            _ => return Err("the operator is none of + - * / %"),
        }
        .ok_or("the result is out of range")?;
        rest = &operand[digits..];
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_replaced_from_left_to_right() {
        assert_eq!(expand("f{i}", Some(7)).unwrap(), "f7");
        assert_eq!(expand("f{i/10}[{i%10}]", Some(73)).unwrap(), "f7[3]");
        assert_eq!(expand("{i*2+1}-{i+1*2}", Some(3)).unwrap(), "7-8");
        assert_eq!(expand("plain", None).unwrap(), "plain");
    }

    #[test]
    fn nonsense_in_braces_is_refused() {
        for text in ["{", "}", "{}", "{j}", "{i/0}", "{i-9}", "{i*9999999999}", "{i^2}", "{ié}"] {
            assert!(expand(text, Some(3)).is_err(), "{text}");
        }
        assert!(expand("f{i}", None).is_err());
    }
}
