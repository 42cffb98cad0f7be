//! From an address in a program to pages.

use super::place::{self, Place};
use super::{Tables, template};
use crate::kernel::world::ids::{File, FilePage, Mm, VPage, Vma};
use crate::kernel::world::plan::{Part, Plan, WHOLE};
use crate::scenario::problem::Problem;
use crate::scenario::suggest;

/// Pages of a mapping.
#[derive(Clone, Copy, Debug)]
pub struct Mapped {
    /// The mapping.
    pub vma: Vma,
    /// The first page.
    pub first: VPage,
    /// How many.
    pub pages: u32,
    /// The bytes of the page.
    pub part: Part,
}

/// Pages of a file.
#[derive(Clone, Copy, Debug)]
pub struct Cached {
    /// The file.
    pub file: File,
    /// The first page.
    pub first: FilePage,
    /// How many.
    pub pages: u32,
    /// The bytes of the page.
    pub part: Part,
}

/// A number of pages in words.
pub fn count(pages: u32) -> String {
    match pages {
        0 => "no page".to_string(),
        1 => "one page".to_string(),
        n => format!("{n} pages"),
    }
}

/// The pages of an address within something of `length` pages.
fn within(place: &Place, what: &str, length: u32) -> Result<(u32, u32), Problem> {
    let (first, end) = place.pages.unwrap_or((0, length));
    if end > length {
        let name = place.name;
        return Err(Problem::general(format!(
            "page {} is beyond {what} `{name}`, which has {}",
            end - 1,
            count(length)
        ))
        .help("pages are numbered from 0; a range ends before its second number"));
    }
    Ok((first, end - first))
}

/// What a program in address space `mm` means by the name of a mapping.
///
/// # Errors
/// If it has no such mapping.
pub fn mapping(
    raw: &str,
    i: Option<u32>,
    mm: Mm,
    plan: &Plan,
    tables: &Tables,
) -> Result<Vma, Problem> {
    let name = template::expand(raw, i)?;
    let Some(all) = tables.mappings.get(&*name) else {
        if tables.mistaken.contains(&*name) {
            return Err(Problem::consequence());
        }
        return Err(unmapped(&name, mm, plan, tables));
    };
    if let Some((_, vma)) = all.iter().find(|(owner, _)| *owner == mm) {
        return Ok(*vma);
    }
    let owner = all.first().map_or("?", |(owner, _)| &plan.mms[owner.0 as usize].name);
    let here = &plan.mms[mm.0 as usize].name;
    Err(Problem::general(format!("mapping `{name}` is unmapped in address space `{here}`"))
        .label(format!("a mapping of `{owner}`, and this thread runs in `{here}`"))
        .help(format!("give the thread \"mm\": \"{owner}\", or declare a mapping for `{here}`")))
}

/// That there is no mapping of this name.
fn unmapped(name: &str, mm: Mm, plan: &Plan, tables: &Tables) -> Problem {
    let here = plan.vmas.iter().filter(|v| v.mm == mm).map(|v| v.name.as_str());
    let file = tables.files.get(name).is_some();
    let help = match file {
        true => format!(
            "`{name}` is a file; map it: \"mappings\": {{\"buf\": {{\"file\": \"{name}\"}}}}"
        ),
        false => suggest::cure(name, here, "declare it in `mappings`"),
    };
    Problem::general(format!("unmapped address: no mapping `{name}`"))
        .label("no mapping has this name")
        .help(help)
}

/// Pages of a mapping of address space `mm`.
///
/// # Errors
/// If the address is none, or not mapped there.
pub fn mapped(
    raw: &str,
    i: Option<u32>,
    mm: Mm,
    plan: &Plan,
    tables: &Tables,
) -> Result<Mapped, Problem> {
    let text = template::expand(raw, i)?;
    let place = place::parse(&text)?;
    let vma = mapping(place.name, None, mm, plan, tables)?;
    let (first, pages) = within(&place, "mapping", plan.vmas[vma.0 as usize].pages)?;
    let first = VPage(tables.vpages[vma.0 as usize] + first);
    Ok(Mapped { vma, first, pages, part: place.part.unwrap_or(WHOLE) })
}

/// Pages of a file.
///
/// # Errors
/// If the address is none, or beyond the file's capacity.
pub fn cached(raw: &str, i: Option<u32>, plan: &Plan, tables: &Tables) -> Result<Cached, Problem> {
    let text = template::expand(raw, i)?;
    let place = place::parse(&text)?;
    let file = tables.files.get(place.name).ok_or_else(|| {
        let unknown = tables.files.unknown(place.name);
        match tables.mappings.contains_key(place.name) {
            true => unknown.help(format!("`{}` is a mapping; this needs a file", place.name)),
            false => unknown,
        }
    })?;
    if tables.mistaken.contains(place.name) {
        return Err(Problem::consequence());
    }
    let capacity = plan.files[file.0 as usize].capacity;
    let (first, pages) = within(&place, "file", capacity).map_err(|problem| {
        problem.help("raise the file's `capacity`; pages are numbered from 0")
    })?;
    let first = FilePage(tables.file_pages[file.0 as usize] + first);
    Ok(Cached { file, first, pages, part: place.part.unwrap_or(WHOLE) })
}

/// One page of a region, whose length is known only after all programs have been read.
///
/// # Errors
/// If the address is none, or not a single page.
pub fn region_page(raw: &str, i: Option<u32>) -> Result<(String, u32), Problem> {
    let text = template::expand(raw, i)?;
    let place = place::parse(&text)?;
    let (first, end) = place.pages.unwrap_or((0, 1));
    if end - first != 1 || place.part.is_some() {
        return Err(Problem::general(format!("`{text}` is not one whole page of a region"))
            .help("a transfer moves one page, such as mr[0]; write one operation per page"));
    }
    Ok((place.name.to_string(), first))
}

/// Refuses more than one page.
///
/// # Errors
/// If there is more than one.
pub fn single(pages: u32) -> Result<(), Problem> {
    match pages {
        1 => Ok(()),
        n => Err(Problem::general(format!("{} where one is meant", count(n)))
            .help("say which page: NAME[0]")),
    }
}

/// Refuses a part of a page where only whole pages can be meant.
///
/// # Errors
/// If the part is not the whole page.
pub fn whole(part: Part) -> Result<(), Problem> {
    match part {
        WHOLE => Ok(()),
        _ => Err(Problem::general("a part of a page where whole pages are meant")
            .help("remove what stands after `]`")),
    }
}
