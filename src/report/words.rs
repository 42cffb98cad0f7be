//! State in words: a cell's value, and what a write changed of it.

use super::data::{Change, FieldChange, Value};
use super::names;
use crate::kernel::world::cell::{Field, RefKind};
use crate::kernel::world::machine::*;
use crate::kernel::world::objects::*;
use crate::kernel::world::*;

/// The fields of a word of a facet.
fn fields(kind: Kind, word: u64) -> Vec<(&'static str, Field)> {
    let mut out = Vec::new();
    kind.fields(word, &mut |name, field| {
        out.push((name.strip_suffix("_bits").unwrap_or(name), field));
    });
    out
}

/// Facets that no kernel has: what the model keeps in order to judge.
fn is_ghost(kind: Kind) -> bool {
    use Kind::*;
    matches!(kind, Holders | Newest | Promised | Excused | Asked | BlockDurable | Engaged | Verdict)
}

/// Facets whose changes other lines of the trace say already: who holds a lock shows at the lock,
/// a result at the end of its operation, a free list at what was taken from it.
fn is_quiet(kind: Kind) -> bool {
    use Kind::*;
    matches!(kind, Held | HeldMore | FreeList | OpResult | BioEnd)
}

/// Fields that are bookkeeping of the model, or follow from another field of the same word.
fn is_bookkeeping(kind: Kind, field: &str) -> bool {
    matches!(
        (kind, field),
        (Kind::Flags, "generation")
            | (Kind::BlockState, "link" | "epoch" | "owners")
            | (Kind::Pte, "stale" | "young")
            | (Kind::ActorState, "life")
            | (Kind::DiskState, "in_flight")
    )
}

/// A field's value as data.
fn value(w: &World, field: Field) -> Value {
    match field {
        Field::Flag(set) => Value::Flag(set),
        Field::Int(n) => Value::Int(n),
        Field::Word(word) => Value::Word(word.to_string()),
        Field::Ref(_, None) => Value::None,
        Field::Ref(kind, Some(n)) => Value::Word(reference(w, kind, n)),
        Field::Bytes(bits) => Value::Word(names::contents(w, Contents::from_bits(bits))),
    }
}

fn reference(w: &World, kind: RefKind, n: u32) -> String {
    match kind {
        RefKind::Frame => names::folio(w, Frame(n)),
        RefKind::Block => w.map.block_name(Block(n)),
        RefKind::FilePage => w.map.file_page_name(FilePage(n)),
        RefKind::VPage => w.map.vpage_name(VPage(n)),
        RefKind::Actor => w.map.actor_name(Actor(n)),
    }
}

/// What a write changed, in the state after it; none if it changed nothing that is shown.
pub fn change(w: &World, cell: u32, old: u64, ghosts: bool) -> Option<Change> {
    let (kind, n) = w.locate(cell)?;
    let new = w.word(cell);
    // A bio that is done takes its data with it.
    let freed = new == 0 && matches!(kind, Kind::BioData | Kind::BioSum);
    if old == new || freed || is_quiet(kind) || (is_ghost(kind) && !ghosts) {
        return None;
    }
    let mut changed = Vec::new();
    for ((name, before), (_, after)) in fields(kind, old).into_iter().zip(fields(kind, new)) {
        if before != after && (ghosts || !is_bookkeeping(kind, name)) {
            let field = if name.is_empty() { kind.label() } else { name };
            let (before, after) = (value(w, before), value(w, after));
            changed.push(FieldChange { field, before, after });
        }
    }
    if changed.is_empty() {
        return None;
    }
    let words = match whole(w, kind, old, new) {
        Some((before, after)) if before.is_empty() => after,
        Some((before, after)) if before != after => format!("{before} -> {after}"),
        // What changed shows in none of the words.
        _ => changed.iter().map(|f| field_words(kind, f)).collect::<Vec<_>>().join(", "),
    };
    let object = names::object(w, kind, n);
    Some(Change { object, facet: kind.label(), ghost: is_ghost(kind), fields: changed, words })
}

/// What a field is called where the facet's own name for it is not the kernel's.
fn title(kind: Kind, field: &'static str) -> &'static str {
    match (kind, field) {
        (Kind::Counts, "refs") => "refcount",
        (Kind::Counts, "maps") => "mapcount",
        (Kind::Counts, "pins") => "pincount",
        (Kind::CacheSlot, "tag_dirty") => "tag dirty",
        (Kind::CacheSlot, "tag_towrite") => "tag towrite",
        (Kind::CacheSlot, "tag_writeback") => "tag writeback",
        (Kind::CacheSlot, "dax_locked") => "locked",
        (Kind::Size, _) => "i_size",
        (Kind::BioSum, _) => "checksum over",
        (Kind::BioData, _) => "transferred",
        (Kind::OpValue, _) => "read",
        (Kind::Data | Kind::BlockData, _) => "contents",
        _ => field,
    }
}

/// A changed field in words.
fn field_words(kind: Kind, change: &FieldChange) -> String {
    let name = title(kind, change.field);
    match (&change.before, &change.after) {
        (_, Value::Flag(true)) if (kind, name) == (Kind::Pte, "writable") => "rw".into(),
        (_, Value::Flag(false)) if (kind, name) == (Kind::Pte, "writable") => "ro".into(),
        (_, Value::Flag(true)) => name.to_string(),
        (_, Value::Flag(false)) => format!("!{name}"),
        // After the first half of a transfer the rest is not zero, but not there yet.
        (Value::Word(before), Value::Word(after)) if kind == Kind::BioData => {
            let rest = before == "zeroes";
            let so_far = after.strip_suffix(", 2048-4095 zeroes").filter(|_| rest);
            format!("{name} {}", so_far.unwrap_or(after))
        }
        (_, after) if matches!(kind, Kind::OpValue | Kind::BioSum | Kind::BioData) => {
            format!("{name} {after}")
        }
        (before, after) if name == "frame" => format!("{before} -> {after}"),
        (before, after) => format!("{name} {before} -> {after}"),
    }
}

/// Before and after for facets that are best read whole; the first is empty where the second
/// says it all.
fn whole(w: &World, kind: Kind, old: u64, new: u64) -> Option<(String, String)> {
    let both = |words: fn(&World, u64) -> String| Some((words(w, old), words(w, new)));
    match kind {
        Kind::Pte => {
            let (before, after) = (Pte::unpack(old), Pte::unpack(new));
            let same = before.present() == after.present()
                && before.frame() == after.frame()
                && before.migration() == after.migration();
            if same { None } else { both(pte) }
        }
        Kind::Xlat => both(xlat),
        Kind::Tlb => both(tlb),
        Kind::Owner => both(owner),
        Kind::Extent => both(extent),
        Kind::BlockState => both(block),
        Kind::Pinned => both(pinned),
        Kind::Bio => Some(bio_step(w, old, new)),
        Kind::FolioLock => {
            let locked = FolioLock::unpack(new).owner() != 0;
            Some((String::new(), if locked { "locked" } else { "unlocked" }.into()))
        }
        Kind::LockState => Some((String::new(), lock(LockState::unpack(old), new))),
        Kind::CpuState => {
            let off = CpuState::unpack(new).irq_off() != 0;
            Some((String::new(), if off { "irqs off" } else { "irqs on" }.into()))
        }
        _ => None,
    }
}

fn lock(old: LockState, new: u64) -> String {
    let new = LockState::unpack(new);
    match (old.writer(), new.writer()) {
        (0, 0) if new.readers() > old.readers() => "locked (shared)".into(),
        (0, 0) => "unlocked (shared)".into(),
        (_, 0) => "unlocked".into(),
        _ => "locked".into(),
    }
}

/// The words that are true, one after the other.
fn words(list: &[(bool, &str)]) -> String {
    list.iter().filter(|(set, _)| *set).map(|(_, word)| format!(" {word}")).collect()
}

fn pte(w: &World, bits: u64) -> String {
    let pte = Pte::unpack(bits);
    let frame = pte.frame().map_or("no frame".into(), |f| names::folio(w, f));
    if pte.migration() {
        return format!("migration entry of {frame}");
    }
    if !pte.present() {
        return "none".into();
    }
    let set = [
        (pte.writable(), "rw"),
        (!pte.writable(), "ro"),
        (pte.dirty(), "dirty"),
        (pte.special(), "special"),
        (pte.devmap(), "devmap"),
    ];
    format!("{frame}{}", words(&set))
}

fn tlb(w: &World, bits: u64) -> String {
    let tlb = Tlb::unpack(bits);
    let Some(at) = VPage::unpack(tlb.vpage_bits()) else { return "empty".into() };
    let frame = Frame::unpack(tlb.frame_bits()).map_or("none".into(), |f| names::folio(w, f));
    let set = [(tlb.writable(), "rw"), (!tlb.writable(), "ro"), (tlb.dirty(), "dirty")];
    format!("{} = {frame}{}", w.map.vpage_name(at), words(&set))
}

fn xlat(w: &World, bits: u64) -> String {
    let entry = Xlat::unpack(bits);
    if !entry.valid() {
        return if entry.told() { "none (driver told)" } else { "none" }.into();
    }
    let frame = Frame::unpack(entry.frame_bits()).map_or("none".into(), |f| names::folio(w, f));
    let set = [
        (entry.write(), "rw"),
        (!entry.write(), "ro"),
        (entry.crappy(), "crappy page"),
        (entry.told(), "driver told"),
    ];
    format!("{frame}{}", words(&set))
}

fn owner(w: &World, bits: u64) -> String {
    let owner = Owner::unpack(bits);
    let page = || owner.link().checked_sub(1).filter(|&p| p < w.map.plan.file_pages());
    match owner.kind() {
        OwnerKind::File => page().map_or("a file".into(), |p| w.map.file_page_name(FilePage(p))),
        OwnerKind::Detached => "mapping NULL".into(),
        OwnerKind::Anon => match owner.link().checked_sub(1).map(VPage) {
            Some(at) if at.0 < w.map.plan.vpages() => format!("anon {}", w.map.vpage_name(at)),
            _ => "anon".into(),
        },
        OwnerKind::Neighbour => match Actor::unpack(owner.link()) {
            Some(actor) => w.map.actor_name(actor),
            None => "a neighbour".into(),
        },
        kind => kind.label().into(),
    }
}

fn extent(w: &World, bits: u64) -> String {
    let extent = Extent::unpack(bits);
    match extent.block() {
        Some(block) => format!("{} {}", extent.kind().label(), w.map.block_name(block)),
        None => extent.kind().label().into(),
    }
}

fn block(w: &World, bits: u64) -> String {
    let state = BlockState::unpack(bits);
    let page = state.link().checked_sub(1).filter(|&p| p < w.map.plan.file_pages());
    match (state.state(), page) {
        (BlockUse::Owned, Some(p)) => w.map.file_page_name(FilePage(p)),
        (BlockUse::Shared, _) => format!("shared by {}", state.owners()),
        (other, _) => other.label().into(),
    }
}

fn bio(w: &World, bits: u64) -> String {
    let bio = Bio::unpack(bits);
    if bio.step() == BioStep::Idle {
        return "idle".into();
    }
    let of = match Frame::unpack(bio.frame_bits()) {
        Some(frame) => format!(" of {}", names::folio(w, frame)),
        None => String::new(),
    };
    let set = [(bio.bounced(), "bounced"), (bio.error(), "EIO")];
    format!("{} ({}{of}){}", bio.step().label(), bio.kind().label(), words(&set))
}

/// How far a bio has come: all of it as it begins, then what is new.
fn bio_step(w: &World, old: u64, new: u64) -> (String, String) {
    let (before, after) = (Bio::unpack(old), Bio::unpack(new));
    if before.step() == BioStep::Idle || after.step() == BioStep::Idle {
        return (String::new(), bio(w, new));
    }
    let failed = if after.error() && !before.error() { ", EIO" } else { "" };
    if before.step() == after.step() {
        return (String::new(), format!("{}{failed}", after.step().label()));
    }
    (before.step().label().into(), format!("{}{failed}", after.step().label()))
}

/// What a slot page holds.
pub fn pinned(w: &World, bits: u64) -> String {
    let pin = Pinned::unpack(bits);
    let Some(frame) = Frame::unpack(pin.frame_bits()) else { return "empty".into() };
    let set = [(pin.write(), "write"), (pin.longterm(), "longterm")];
    format!("{} of {}{}", pin.kind().label(), names::folio(w, frame), words(&set))
}

/// The present value of a cell: object and what is set of it.
pub fn state(w: &World, cell: u32) -> String {
    let Some((kind, n)) = w.locate(cell) else { return String::new() };
    let (object, word) = (names::object(w, kind, n), w.word(cell));
    let text = match kind {
        Kind::Pte => pte(w, word),
        Kind::Xlat => xlat(w, word),
        Kind::Tlb => tlb(w, word),
        Kind::Owner => owner(w, word),
        Kind::Extent => extent(w, word),
        Kind::BlockState => block(w, word),
        Kind::Pinned => pinned(w, word),
        Kind::Bio => bio(w, word),
        _ => set_fields(w, kind, word),
    };
    let title = match kind {
        Kind::Holders => " holders",
        Kind::Newest => " newest",
        Kind::Promised => " promised",
        Kind::Excused => " excused",
        Kind::Owner => " owner",
        _ => "",
    };
    format!("{object}{title}: {text}")
}

fn set_fields(w: &World, kind: Kind, word: u64) -> String {
    let counts = matches!(kind, Kind::Counts | Kind::Holders | Kind::Size);
    let mut out = Vec::new();
    for (name, field) in fields(kind, word) {
        match field {
            Field::Flag(true) => out.push(title(kind, name).to_string()),
            Field::Flag(false) | Field::Ref(_, None) => {}
            Field::Int(0) if !counts => {}
            _ if name.is_empty() => out.push(value(w, field).to_string()),
            _ => out.push(format!("{} {}", title(kind, name), value(w, field))),
        }
    }
    if out.is_empty() { "nothing set".into() } else { out.join(", ") }
}
