//! Addresses: `data[0]`, `buf[0..2]`, `buf`, `buf[0].first-half`, `buf[0].0-100`.

use crate::kernel::world::plan::{PAGE_SIZE, Part, WHOLE};
use crate::scenario::problem::Problem;

/// An address, taken apart but not resolved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place<'a> {
    /// The file, mapping, region or slot.
    pub name: &'a str,
    /// The pages, end exclusive; none for all of it.
    pub pages: Option<(u32, u32)>,
    /// The bytes of the page; none for the whole page.
    pub part: Option<Part>,
}

/// Takes an address apart.
///
/// # Errors
/// If it is none; says what one looks like.
pub fn parse(text: &str) -> Result<Place<'_>, Problem> {
    let form = "write NAME, NAME[3] or NAME[0..2]; parts of a page are NAME[0].first-half, \
                NAME[0].second-half or NAME[0].BYTE-BYTE (end exclusive)";
    let bad = |why: &str| {
        Err(Problem::general(format!("bad address `{text}`: {why}")).label(why).help(form))
    };
    if text.is_empty() {
        return Err(Problem::general("an address is missing").help(form));
    }
    let Some((name, rest)) = text.split_once('[') else {
        return Ok(Place { name: text, pages: None, part: None });
    };
    let Some((pages, rest)) = rest.split_once(']') else {
        return bad("`]` is missing");
    };
    let Some(pages) = range(pages) else {
        return bad("the pages are neither a number nor a range such as 0..2");
    };
    let part = match rest {
        "" => None,
        _ => match rest.strip_prefix('.').and_then(part) {
            None => return bad("the part of the page is unknown"),
            part => part,
        },
    };
    if part.is_some() && pages.1 - pages.0 != 1 {
        return bad("only a single page has parts");
    }
    Ok(Place { name, pages: Some(pages), part })
}

fn range(text: &str) -> Option<(u32, u32)> {
    let number = |t: &str| t.parse::<u32>().ok().filter(|_| t.bytes().all(|b| b.is_ascii_digit()));
    let (first, end) = match text.split_once("..") {
        Some((first, end)) => (number(first)?, number(end)?),
        None => {
            let first = number(text)?;
            (first, first.checked_add(1)?)
        }
    };
    (first < end).then_some((first, end))
}

fn part(text: &str) -> Option<Part> {
    const HALF: u16 = (PAGE_SIZE / 2) as u16;
    match text {
        "first-half" => Some((0, HALF)),
        "second-half" => Some((HALF, WHOLE.1)),
        _ => {
            let (start, end) = text.split_once('-')?;
            let (start, end) = (start.parse::<u16>().ok()?, end.parse::<u16>().ok()?);
            (start < end && end <= WHOLE.1).then_some((start, end))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_name_pages_and_a_part() {
        let place = |name, pages, part| Ok(Place { name, pages, part });
        assert_eq!(parse("buf"), place("buf", None, None));
        assert_eq!(parse("buf[3]"), place("buf", Some((3, 4)), None));
        assert_eq!(parse("a-b[0..2]"), place("a-b", Some((0, 2)), None));
        assert_eq!(parse("b[0].second-half"), place("b", Some((0, 1)), Some((2048, 4096))));
        assert_eq!(parse("b[0].10-20"), place("b", Some((0, 1)), Some((10, 20))));
    }

    #[test]
    fn nonsense_is_no_address() {
        for text in [
            "",
            "b[",
            "b[]",
            "b[-1]",
            "b[2..2]",
            "b[2..1]",
            "b[0..]",
            "b[0].",
            "b[0].half",
            "b[0]x",
            "b[0].9-9",
            "b[0].0-4097",
            "b[0..2].first-half",
            "b[4294967295]",
            "b[+1]",
            "b[0]]",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
