//! What a value costs or asks for that no run can count, as rows of its manual entry.

use crate::kernel::strategy::Preset;
use crate::kernel::strategy::pin::Standing;
use crate::kernel::strategy::truncate::Demands;

/// A row: key and text.
type Row = (String, String);

/// The rows of a value; none where the axis has no such facts.
pub fn rows(axis: &str, value: &str) -> Vec<Row> {
    let Some(preset) = Preset::find(Preset::DEFAULT) else { return Vec::new() };
    let mut design = preset.strategy;
    match (axis, design.set(axis, value)) {
        ("pin", Ok(())) => of_pin(design.standing()),
        ("truncate-page-cache", Ok(())) => of_truncate(design.truncate.demands()),
        ("truncate-dax", Ok(())) => of_truncate(design.truncate_dax.demands()),
        _ => Vec::new(),
    }
}

fn row(key: &str, text: impl Into<String>) -> Row {
    (key.to_string(), text.into())
}

/// What one byte more in each `struct page` (one for 4096 bytes) takes of a TB, in MB.
const MB_PER_TB: u32 = (1 << 28) >> 20;

fn of_pin(facts: Standing) -> Vec<Row> {
    let page = match facts.page_bytes {
        0 => "as large as before".to_string(),
        n => format!("{n} bytes more, {} MB for each TB of memory", n * MB_PER_TB),
    };
    let pinned = match facts.pinned_bytes {
        0 => "nothing to keep for it".to_string(),
        n => format!("{n} bytes to keep for it"),
    };
    let holder = match facts.names_holder {
        true => "known to whoever waits for the pin",
        false => "unknown to whoever waits for the pin",
    };
    let mut rows = vec![row("struct page", page), row("pinned page", pinned)];
    rows.push(row("holder", holder));
    rows.extend(facts.hooks.iter().map(|hook| row("needs", *hook)));
    rows
}

fn of_truncate(demands: Demands) -> Vec<Row> {
    let of = |who: &str, hooks: &[&str]| match hooks.is_empty() {
        true => vec![row(who, "nothing to add")],
        false => hooks.iter().map(|hook| row(who, *hook)).collect(),
    };
    let mut rows = of("each filesystem", demands.filesystem);
    rows.extend(of("each driver", demands.driver));
    rows.push(row("an admin sees", demands.visible.unwrap_or("nothing")));
    rows
}
