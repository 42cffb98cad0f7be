//! Lists the files of `scenarios/` as a table of names and texts for the binary.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

fn main() -> io::Result<()> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?);
    let root = root.join("scenarios");
    println!("cargo::rerun-if-changed=scenarios");
    let mut found = Vec::new();
    collect(&root, &mut found)?;
    found.sort();
    let out = PathBuf::from(std::env::var("OUT_DIR").map_err(io::Error::other)?);
    let mut table = fs::File::create(out.join("bundled.rs"))?;
    writeln!(table, "const BUNDLED: &[(&str, &str)] = &[")?;
    for path in found {
        let name = path.strip_prefix(&root).map_err(io::Error::other)?.with_extension("");
        // Names have `/` on every system.
        let name: Vec<_> = name.iter().map(|part| part.to_string_lossy()).collect();
        writeln!(table, "    ({:?}, include_str!({path:?})),", name.join("/"))?;
    }
    writeln!(table, "];")
}

/// All JSON files below a directory.
fn collect(dir: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    println!("cargo::rerun-if-changed={}", dir.display());
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, found)?;
        } else if path.extension().is_some_and(|e| e == "json") {
            found.push(path);
        }
    }
    Ok(())
}
