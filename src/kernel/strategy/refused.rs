//! Combinations of values that make no sense, and why.

use super::*;

impl Strategy {
    /// Why this combination is refused; none if it makes sense.
    pub fn refused(&self) -> Option<String> {
        let clash = |a: &str, b: &str, why: &str| {
            let value = |flag| self.get(flag).unwrap_or_default();
            Some(format!("--{a} {} with --{b} {} makes no sense: {why}", value(a), value(b)))
        };
        if self.unbind == Unbind::MappingRef && self.dax_idle == DaxIdle::RefcountOne {
            return clash(
                "unbind",
                "dax-idle",
                "GUP-fast may trust a DAX page's refcount only if a mapping holds a reference, and \
                 with refcount-1 it holds none; choose --dax-idle mapped-ref or --unbind live-ref",
            );
        }
        if self.fork.heeds_pins() && !self.pin.counts_anon() {
            return clash(
                "fork",
                "pin",
                "fork cannot copy pinned pages if pins of anonymous memory are not counted; choose \
                 --pin folio-pincount or --fork share",
            );
        }
        if self.reclaim == Reclaim::SkipPinned && self.pin == Pin::None {
            return clash(
                "reclaim",
                "pin",
                "reclaim cannot skip pinned pages if pins are not counted; choose --pin \
                 folio-pincount or --reclaim strip",
            );
        }
        if let Truncate::WaitPgmap | Truncate::BusyExtents = self.truncate {
            let value = self.truncate.name();
            let why = match self.truncate {
                Truncate::WaitPgmap => "pages of the page cache have no dev_pagemap",
                _ => "a pinned page of the page cache is not its block, which may be freed",
            };
            return Some(format!(
                "--truncate-page-cache {value} makes no sense: {why}; choose --truncate-dax {value}"
            ));
        }
        if self.truncate != Truncate::Ignore && self.pin == Pin::None {
            return clash(
                "truncate-page-cache",
                "pin",
                "truncate cannot know of pins of page-cache pages if pins are not counted; choose \
                 another --pin, or --truncate-dax alone",
            );
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_makes_sense() {
        for preset in Preset::ALL {
            assert_eq!(preset.strategy.refused(), None, "{}", preset.name);
        }
    }

    #[test]
    fn set_and_get_agree_for_every_value_of_every_axis() {
        for axis in Strategy::AXES {
            for value in axis.values {
                let mut s = Preset::ALL[0].strategy;
                s.set(axis.flag, value.name).unwrap();
                assert_eq!(s.get(axis.flag), Some(value.name));
            }
        }
    }
}
