//! What the names in a rule mean: one observation, looked at as rules look at it.

use super::expr::Value;
use super::observation::Observation;

/// An observation with what it was made on.
#[derive(Clone, Copy, Debug)]
pub struct Env<'a> {
    /// What was seen.
    pub seen: &'a Observation,
    /// The file system.
    pub fs: &'a str,
    /// Version of the kernel.
    pub kernel: (i64, i64),
}

/// A page as rules see it: of the file, of a mapping, or pinned.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Page<'a> {
    cached: bool,
    cs: &'a str,
    pm: &'a str,
    id: &'a str,
    fl: &'a str,
    mc: Option<i64>,
    val: Option<&'a str>,
    pread: Option<&'a str>,
    disk: Option<&'a str>,
}

impl<'a> Env<'a> {
    /// Whether the device under the file system can be held.
    pub fn is_gate(&self) -> bool {
        self.fs.starts_with("gate")
    }

    /// What a name means; none if it means nothing here.
    pub fn name(&self, name: &str) -> Option<Value<'a>> {
        let seen = self.seen;
        if !seen.unrecorded.is_empty() && seen.lacks(&field(name)) {
            return None;
        }
        Some(match name {
            "ret" => Value::Int(seen.ret),
            "err" => Value::Text(&seen.err),
            "x" => Value::Text(&seen.x),
            "minflt" => Value::Int(seen.minflt),
            "majflt" => Value::Int(seen.majflt),
            "acq" => Value::Int(seen.acq),
            "rel" => Value::Int(seen.rel),
            "size" => Value::Int(seen.size),
            "blocks" => seen.blocks.map_or(Value::None, Value::Int),
            "fs" => Value::Text(self.fs),
            "sd" => match &seen.sd {
                Some(kb) => Value::Tuple(kb.iter().map(|&kb| Value::Int(kb)).collect()),
                None => Value::None,
            },
            "kver" => Value::Tuple(vec![Value::Int(self.kernel.0), Value::Int(self.kernel.1)]),
            "isgate" => Value::Bool(self.is_gate()),
            "gdisk" => Value::Gdisk,
            _ => Value::Page(self.page(name)?),
        })
    }

    /// `f0`, `m00`, `c00`, `u0`, `v0`, `w0`, `r0`.
    fn page(&self, name: &str) -> Option<Page<'a>> {
        let (kind, digits) = name.split_at_checked(1)?;
        let mapped = |pages: &'a [super::observation::Mapped]| {
            let page = pages.iter().find(|m| format!("{}{}", m.s, m.p) == digits)?;
            let (pm, id, mc) = (page.pm.as_str(), page.id.as_str(), page.mc);
            let fl = page.fl.as_deref().unwrap_or("");
            Some(Page { pm, id, fl, mc, val: page.val.as_deref(), ..Page::default() })
        };
        let held = |kind: &str| {
            let page = self.seen.pins.iter().find(|p| p.k == kind && p.p.to_string() == digits)?;
            let (id, fl, mc) = (page.id.as_str(), page.fl.as_str(), Some(page.mc));
            Some(Page { id, fl, mc, val: page.val.as_deref(), ..Page::default() })
        };
        match kind {
            "f" => {
                let page = self.seen.pages.get(digits.parse::<usize>().ok()?)?;
                Some(Page {
                    cached: page.cached != 0,
                    cs: &page.cs,
                    id: &page.id,
                    fl: &page.fl,
                    mc: Some(page.mc),
                    pread: page.pread.as_deref(),
                    disk: page.disk.as_deref(),
                    ..Page::default()
                })
            }
            "m" => mapped(&self.seen.maps),
            "c" => mapped(&self.seen.child),
            "u" => held("ureg"),
            "v" => held("vms"),
            "w" => held("pinw"),
            "r" => held("pinr"),
            _ => None,
        }
    }
}

/// What a name of the rules stands for, as the comparison calls it.
fn field(name: &str) -> String {
    let (kind, digits) = name.split_at_checked(1).unwrap_or((name, ""));
    match (kind, digits.as_bytes()) {
        ("f", [b'0'..=b'9', ..]) => format!("pages[{digits}]"),
        ("m", &[s, p]) => format!("maps[{}.{}]", char::from(s), char::from(p)),
        ("c", &[s, p]) => format!("child[{}.{}]", char::from(s), char::from(p)),
        ("u", [_]) => format!("pins[ureg{digits}]"),
        ("v", [_]) => format!("pins[vms{digits}]"),
        ("w", [_]) => format!("pins[pinw{digits}]"),
        ("r", [_]) => format!("pins[pinr{digits}]"),
        _ => name.to_string(),
    }
}

impl<'a> Page<'a> {
    /// Whether a page flag is set.
    pub fn has(&self, flag: &str) -> bool {
        self.fl.split('|').any(|f| f == flag)
    }

    fn no_cachestat(&self) -> bool {
        self.cs.starts_with("-1")
    }

    /// An attribute; none if pages have none of this name.
    pub fn attribute(&self, name: &str) -> Option<Value<'a>> {
        let text = |text: Option<&'a str>| text.map_or(Value::None, Value::Text);
        let flag = |flag: bool| Some(Value::Bool(flag));
        match name {
            "id" => Some(Value::Text(self.id)),
            "mc" => Some(Value::Int(self.mc.unwrap_or(-1))),
            "val" => Some(text(self.val)),
            "pread" => Some(text(self.pread)),
            "disk" => Some(text(self.disk)),
            "cs" if self.no_cachestat() => Some(Value::Anything),
            "cs" => Some(Value::Text(self.cs)),
            "D" => flag(self.has("DIRTY")),
            "W" => flag(self.has("WRITEBACK")),
            "clean" => flag(!self.has("DIRTY") && !self.has("WRITEBACK")),
            "anon" => flag(self.has("ANON")),
            "cached" => flag(self.cached),
            "present" => flag(self.pm.contains('P')),
            "excl" => flag(self.pm.contains('E')),
            "file" => flag(self.pm.contains('F')),
            "nocs" => flag(self.no_cachestat()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conform::observation::{FilePage, Mapped};

    #[test]
    fn what_was_not_recorded_has_no_name() {
        let seen = Observation {
            pages: vec![FilePage::default(), FilePage::default()],
            maps: vec![Mapped::default()],
            unrecorded: vec!["minflt".into(), "pages[1].cs".into(), "maps".into()],
            ..Observation::default()
        };
        let env = Env { seen: &seen, fs: "ext4", kernel: (6, 18) };
        for (name, known) in
            [("ret", true), ("minflt", false), ("f0", true), ("f1", false), ("m00", false)]
        {
            assert_eq!(env.name(name).is_some(), known, "{name}");
        }
    }
}
