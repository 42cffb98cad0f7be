//! The pin protocol under SPIN, if it is installed: `spin` writes a C program from
//! pin_protocol.pml, `cc` compiles it.

use std::path::PathBuf;
use std::process::Command;

use gupsim::litmus::pin_protocol::Size;

use crate::Found;

/// A verifier for one size.
pub struct Verifier {
    program: PathBuf,
    /// Slots of its hash table, as a power of two: enough for all states.
    slots: u32,
}

impl Verifier {
    /// Makes one, without partial-order reduction or with it; `None` if a tool is missing.
    pub fn new(size: Size, reduction: bool) -> Option<Verifier> {
        let Size { pages, writes, rounds, fix } = size;
        let name = format!("gupsim-spin-{}-{pages}{writes}{rounds}{reduction}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).ok()?;
        let model = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/engine/pin_protocol.pml");
        let defined =
            [("P", pages), ("W", writes.into()), ("R", rounds.into()), ("FIX", fix.into())];
        let run = |tool: &str, args: &[&str]| {
            let output = Command::new(tool).args(args).current_dir(&dir).output().ok()?;
            output.status.success().then_some(())
        };
        let defined = defined.map(|(name, value)| format!("-D{name}={value}"));
        let mut args: Vec<&str> = vec!["-a"];
        args.extend(defined.iter().map(String::as_str));
        args.push(model);
        run("spin", &args)?;
        let mut args = vec!["-O2", "-DSAFETY", "-DMEMLIM=8192", "-o", "pan", "pan.c"];
        args.extend((!reduction).then_some("-DNOREDUCE"));
        run("cc", &args)?;
        Some(Verifier { program: dir.join("pan"), slots: if pages < 4 { 18 } else { 24 } })
    }

    /// Explores everything.
    pub fn run(&self) -> Option<Found> {
        let mut command = Command::new(&self.program);
        command.args(["-m100000", &format!("-w{}", self.slots)]);
        let output = command.current_dir(self.program.parent()?).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let count = |what: &str| {
            let line = text.lines().find(|l| l.contains(what))?;
            line.split_whitespace().next()?.parse().ok()
        };
        assert!(text.contains("errors: 0"), "{text}");
        // The start state counts as reached by a transition.
        let transitions = count("transitions (")?;
        Some(Found { states: count("states, stored")?, transitions: Some(transitions - 1) })
    }
}

impl Drop for Verifier {
    fn drop(&mut self) {
        if let Some(dir) = self.program.parent() {
            let _ = std::fs::remove_dir_all(dir);
        }
    }
}
