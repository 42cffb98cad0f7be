//! The recordings that come with the program.

/// A suite of sequences with one recording of it.
#[derive(Clone, Copy, Debug)]
pub struct Bundled {
    /// Name of the recording.
    pub name: &'static str,
    /// Name of the suite.
    pub suite: &'static str,
    /// The text of the suite.
    pub sequences: &'static str,
    /// The recording, compressed.
    pub recording: &'static [u8],
}

macro_rules! bundled {
    ($($name:literal of $suite:literal,)+) => {
        /// Every recording.
        pub const ALL: &[Bundled] = &[$(Bundled {
            name: $name,
            suite: $suite,
            sequences: include_str!(concat!("../../tests/data/kernel-truth/", $suite, ".seq")),
            recording: include_bytes!(
                concat!("../../tests/data/kernel-truth/", $name, ".jsonl.gz")
            ),
        },)+];
    };
}

bundled! {
    "curated-6.18" of "curated",
    "curated-6.18-ext4journal" of "curated",
    "curated-6.18-xfs" of "curated",
    "curated-6.18-btrfs" of "curated",
    "curated-6.1" of "curated",
    "curated-6.1-gate" of "curated",
    "dax-6.18.15" of "dax",
    "dax-6.12.113" of "dax",
    "dax-6.1.0" of "dax",
    "random-6.18" of "random",
    "random-gate-6.18" of "random-gate",
}
