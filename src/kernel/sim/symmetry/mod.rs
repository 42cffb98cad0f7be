//! Symmetry: which agents of a machine are interchangeable, and which objects go with them.
//!
//! An *exchange* gives two threads each other's place. What their programs name goes along: an
//! operation of one is the same operation of the other, so that its slot, its page, its region
//! are the other's slot, page, region, and what belongs to these (the mapping of a page, the
//! frame that caches it, the processor of a thread with its TLB, threads that serve a region)
//! goes with them. Whatever both name is shared, and stays. An exchange is a symmetry of the
//! machine if
//!
//! - every thread's program, by the other names, is the program of the thread that bears its
//!   other name, and the first state is the same by the other names;
//! - what is tied to each other by its place stays so: a page of a file and the entries of page
//!   tables that would show it, the frames of a larger folio;
//! - no step depends on the order of what is exchanged. Steps that go through a list take it in
//!   the order of numbers: such a list (the mappings of a file, the regions that a notifier
//!   calls, the processors that a flush interrupts) has to be in the same order by the other
//!   names. If pages or mappings are exchanged, all programs have to consist of operations on
//!   single pages; anything that goes through a file or a mapping is refused.
//!
//! Then a step from a state by other names is the same step by other names, and a search may
//! treat the two states as one. Exchanges that follow each other are symmetries as well: all that
//! come about are kept, [`MOST`] at most.

mod exchange;

use self::exchange::Exchange;
use super::Sim;
use crate::kernel::world::view::{Mention, Names};
use crate::kernel::world::{Actor, Id, Sort};
use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Orders of interchangeable agents that are kept at most.
pub const MOST: usize = 720;
/// Threads of a machine that is looked at, at most: exchanges are tried pair by pair.
pub const THREADS: usize = 64;

/// The symmetries of a machine.
#[derive(Clone, Debug, Default)]
pub struct Symmetry {
    /// Threads that can take each other's place, in groups of at least two.
    pub groups: Vec<Vec<Actor>>,
    /// In how many ways, the present order included.
    pub orders: usize,
    /// Why threads with the same program are not interchangeable.
    pub refused: Vec<String>,
    names: Vec<Names>,
}

impl Symmetry {
    /// The symmetries of a machine before its first step that leave what somebody speaks of
    /// where it is.
    pub fn of(start: &Sim, fixed: &Mentions) -> Symmetry {
        let threads = start.world.map.plan.threads.len() as u32;
        let mut found = Symmetry { orders: 1, ..Symmetry::default() };
        if threads as usize > THREADS {
            found.refused.push(format!("more than {THREADS} threads are not looked at"));
            return found;
        }
        let mut exchanges: Vec<Names> = Vec::new();
        for a in (0..threads).map(Actor) {
            for b in (a.0 + 1..threads).map(Actor) {
                match Exchange::of(start, a, b) {
                    None => {}
                    Some(Err(why)) => found.refuse(start, [a, b], why),
                    Some(Ok(names)) => {
                        if !fixed.stay(&names) {
                            let why = "a condition speaks of one of them, or of what is its own";
                            found.refuse(start, [a, b], why.into());
                        } else if !exchanges.contains(&names) {
                            exchanges.push(names);
                        }
                    }
                }
            }
        }
        found.close(&exchanges, threads);
        found
    }

    fn refuse(&mut self, start: &Sim, pair: [Actor; 2], why: String) {
        let name = |t: Actor| start.world.map.plan.threads[t.index()].name.as_str();
        self.refused.push(format!("{} and {}: {why}", name(pair[0]), name(pair[1])));
    }

    /// Everything that comes about by exchanges after each other. An exchange that would make
    /// more than [`MOST`] of it is left out: fewer are symmetries as well.
    fn close(&mut self, exchanges: &[Names], threads: u32) {
        let mut all = BTreeSet::from([Names::default()]);
        let mut kept: Vec<&Names> = Vec::new();
        for exchange in exchanges {
            let mut next = all.clone();
            let with: Vec<&Names> = kept.iter().copied().chain([exchange]).collect();
            let mut new: Vec<Names> = next.iter().cloned().collect();
            while let Some(names) = new.pop() {
                for exchange in &with {
                    let names = names.then(exchange).trimmed();
                    if next.len() <= MOST && next.insert(names.clone()) {
                        new.push(names);
                    }
                }
            }
            if next.len() <= MOST {
                (all, kept) = (next, with);
            }
        }
        for t in (0..threads).map(Actor) {
            let group: BTreeSet<Actor> = all.iter().map(|names| names.of(t)).collect();
            if group.len() > 1 && group.first() == Some(&t) {
                self.groups.push(group.into_iter().collect());
            }
        }
        self.orders = all.len();
        all.remove(&Names::default());
        self.names = all.into_iter().collect();
    }

    /// Whether there is any.
    pub fn is_trivial(&self) -> bool {
        self.names.is_empty()
    }

    /// The other names that each symmetry gives, the identity excepted.
    pub fn names(&self) -> &[Names] {
        &self.names
    }
}

impl Sim {
    /// Takes states that differ by these symmetries for one, in
    /// [`Model::canonical`](crate::engine::model::Model::canonical).
    pub fn set_symmetry(&mut self, symmetry: &Symmetry) {
        self.symmetry = Arc::new(symmetry.clone());
    }

    /// The symmetries in force.
    pub fn symmetry(&self) -> &Symmetry {
        &self.symmetry
    }
}

/// The objects of which somebody speaks.
#[derive(Clone, Debug, Default)]
pub struct Mentions(BTreeSet<(Sort, u32)>);

impl Mentions {
    /// Those that come up in the derived `Hash` of something.
    pub fn of(what: &impl Hash) -> Mentions {
        let mut tokens = Tokens::default();
        what.hash(&mut tokens);
        let object = |token| match token {
            Token::Object(sort, n) => Some((sort, n)),
            Token::Plain(_) => None,
        };
        Mentions(tokens.0.into_iter().filter_map(object).collect())
    }

    /// Whether they keep their names.
    fn stay(&self, names: &Names) -> bool {
        self.0.iter().all(|&(sort, n)| names.number(sort, n) == n)
    }
}

/// What a program is made of, as its derived `Hash` puts it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Token {
    Plain(u64),
    Object(Sort, u32),
}

#[derive(Default)]
struct Tokens(Vec<Token>);

impl Hasher for Tokens {
    fn finish(&self) -> u64 {
        0
    }
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend(bytes.iter().map(|&b| Token::Plain(u64::from(b))));
    }
    fn write_u128(&mut self, n: u128) {
        self.0.push(match Mention::read(n) {
            Mention::Object(sort, n) => Token::Object(sort, n),
            _ => Token::Plain(n as u64),
        });
    }
}
