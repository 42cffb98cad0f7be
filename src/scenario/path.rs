//! JSON paths: how a diagnostic says which value of a scenario it speaks of.

use std::fmt;

/// One step of a path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Seg {
    /// A member of an object.
    Key(String),
    /// An element of an array.
    Index(usize),
}

/// A path as text: `threads.nic.do[0].store`.
pub fn show(path: &[Seg]) -> String {
    use fmt::Write;
    let mut text = String::new();
    for seg in path {
        // Writing to a String cannot fail.
        let _ = match seg {
            Seg::Index(i) => write!(text, "[{i}]"),
            Seg::Key(key) => {
                let dot = if text.is_empty() { "" } else { "." };
                let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '$');
                match !key.is_empty() && key.chars().all(plain) {
                    true => write!(text, "{dot}{key}"),
                    false => write!(text, "{dot}{key:?}"),
                }
            }
        };
    }
    text
}

/// A path under construction while a scenario is walked: a list on the stack, so that walking
/// costs no allocation.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    parent: Option<&'a At<'a>>,
    seg: Link<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Link<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

impl<'a> At<'a> {
    /// The scenario itself.
    pub const ROOT: At<'static> = At { parent: None, seg: Link::Root };

    /// A member of the value here.
    pub fn key(&'a self, key: &'a str) -> At<'a> {
        At { parent: Some(self), seg: Link::Key(key) }
    }

    /// An element of the value here.
    pub fn index(&'a self, index: usize) -> At<'a> {
        At { parent: Some(self), seg: Link::Index(index) }
    }

    /// The whole path.
    pub fn path(&self) -> Vec<Seg> {
        let mut segs = self.parent.map(At::path).unwrap_or_default();
        match self.seg {
            Link::Root => {}
            Link::Key(key) => segs.push(Seg::Key(key.to_string())),
            Link::Index(index) => segs.push(Seg::Index(index)),
        }
        segs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_like_what_jq_takes() {
        let threads = At::ROOT.key("threads");
        let nic = threads.key("a nic");
        let program = nic.key("do");
        let path = program.index(3).path();
        assert_eq!(show(&path), r#"threads."a nic".do[3]"#);
    }
}
