//! Files that commands write: what is there is replaced as a whole, and only if it is a file.

use super::failure::Failure;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Links that are followed one after the other, as many as Linux follows (`MAXSYMLINKS`).
const LINKS: usize = 40;

/// What a path leads to.
enum Target {
    /// A file, or the place of one that is not there yet.
    File(PathBuf),
    /// A device, a pipe, a socket: it takes bytes, and nothing may take its place.
    Stream,
}

/// Follows links, also one that leads to nothing yet.
fn target(path: &Path) -> io::Result<Target> {
    match fs::metadata(path) {
        Ok(there) if there.is_dir() => return Err(ErrorKind::IsADirectory.into()),
        Ok(there) if there.is_file() => return Ok(Target::File(fs::canonicalize(path)?)),
        Ok(_) => return Ok(Target::Stream),
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Err(_) => {}
    }
    let mut path = path.to_path_buf();
    for _ in 0..LINKS {
        match fs::read_link(&path) {
            Ok(next) => path = folder(&path).join(next),
            Err(_) => return Ok(Target::File(path)),
        }
    }
    Err(io::Error::other("the links go round in a circle"))
}

/// The directory of a file.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Sees to it that files can be put into a directory, before hours of work depend on it.
///
/// # Errors
/// If it is not there and cannot be made, or nothing can be written there.
pub fn directory(dir: &Path) -> Result<(), Failure> {
    fs::create_dir_all(dir).and_then(|()| probe(dir)).map_err(|e| unwritable(dir, &e))
}

/// Puts a file into a directory and removes it again.
fn probe(dir: &Path) -> io::Result<()> {
    let path = dir.join(format!(".gupsim-{}.part", std::process::id()));
    File::create(&path).and_then(|_| fs::remove_file(&path))
}

fn unwritable(dir: &Path, error: &io::Error) -> Failure {
    let what = format!("cannot write to the directory {}: {error}", dir.display());
    Failure::usage(what, "name one that can be written to")
}

/// Sees to it that a file can be written to a directory that is there. A device or a pipe is
/// believed to take what it gets.
///
/// # Errors
/// If it is a directory itself, or its directory cannot be written to.
pub fn writable(path: &Path) -> Result<(), Failure> {
    match target(path) {
        _ if path.file_name().is_none() => Err(is_directory(path)),
        Ok(Target::Stream) => Ok(()),
        Ok(Target::File(path)) => probe(folder(&path)).map_err(|e| unwritable(folder(&path), &e)),
        Err(error) if error.kind() == ErrorKind::IsADirectory => Err(is_directory(path)),
        Err(error) => Err(unwritable(folder(path), &error)),
    }
}

fn is_directory(path: &Path) -> Failure {
    let what = format!("cannot write {}: it is a directory", path.display());
    Failure::usage(what, "give the name of a file")
}

/// Whether a path leads to a device, a pipe or a socket.
pub fn is_stream(path: &Path) -> bool {
    matches!(target(path), Ok(Target::Stream))
}

/// The file that a path leads to, for what is written again and again and read back.
///
/// # Errors
/// If it leads to a device or a pipe, or cannot be written.
pub fn regular(path: &Path) -> Result<PathBuf, Failure> {
    writable(path)?;
    match target(path) {
        Ok(Target::File(path)) => Ok(path),
        _ => {
            let what = format!("cannot replace {}: it is a device or a pipe", path.display());
            Err(Failure::usage(what, "give the name of a file"))
        }
    }
}

/// Writes a file at once: readers see the old file, or the new one whole, with the permissions of
/// the old. Through a link its target is written; a device or a pipe is written as it is.
///
/// # Errors
/// If the file or its directory cannot be written.
pub fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let done = || match target(path)? {
        Target::Stream => File::options().write(true).open(path)?.write_all(text.as_bytes()),
        Target::File(path) => replace(&path, text),
    };
    done().map_err(|e| Failure::File(path.to_path_buf(), e))
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    fs::create_dir_all(folder(path))?;
    let mut part = path.as_os_str().to_os_string();
    part.push(".part");
    let written = || {
        let mut file = File::create(&part)?;
        file.write_all(text.as_bytes())?;
        if let Ok(old) = fs::metadata(path) {
            file.set_permissions(old.permissions())?;
        }
        file.sync_all()?;
        fs::rename(&part, path)
    };
    written().inspect_err(|_| {
        // What has come of it is of no use to anybody.
        let _ = fs::remove_file(&part);
    })
}
