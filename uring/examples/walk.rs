//! Tells the size and the kind of every file below a directory, many files at a time: for each one chain that asks for its status and opens
//! it, and one that reads its first bytes and closes it.
//!
//! ```text
//! cargo run --release --example walk -- [DIR]
//! ```

use std::env;
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use uring::op::{Close, OpenAt, Read, Statx};
use uring::{Any, Chain, RawTarget, Ring};

/// How many files are looked at at a time.
const BATCH: usize = 16;

/// The files below a directory, in order.
fn list(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let entries: io::Result<Vec<_>> = fs::read_dir(directory)?.collect();
    let mut entries = entries?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let kind = entry.file_type()?;
        if kind.is_dir() {
            list(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// What a file is, by its first bytes.
fn kind(start: &[u8]) -> &'static str {
    match start {
        [] => "empty",
        [0x7f, b'E', b'L', b'F', ..] => "program",
        [b'#', b'!', ..] => "script",
        _ if start
            .iter()
            .all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) =>
        {
            "text"
        }
        _ => "data",
    }
}

/// Sizes and kinds of files, in order.
fn look(ring: &mut Ring<Any>, files: &[PathBuf]) -> io::Result<Vec<io::Result<(u64, String)>>> {
    let mut opening = Vec::new();
    for file in files {
        let path = CString::new(file.as_os_str().as_bytes())?;
        let status = Statx::new(path.clone()).of_link();
        let open = OpenAt::new(path).flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        opening.push(ring.push_chain(Chain::new(status).then(open))?);
    }
    let mut reading = Vec::new();
    for (status, open) in opening {
        let status = ring.wait(status)?.result;
        let opened: io::Result<OwnedFd> = ring.wait(open)?.result;
        reading.push(match (status, opened) {
            (Ok(status), Ok(file)) => {
                // SAFETY: the close, which owns the file, begins when the read is over.
                let target = unsafe { RawTarget::descriptor(file.as_raw_fd()) };
                let read = Read::new(target, Vec::with_capacity(16));
                let tokens = ring.push_chain(Chain::new(read).then_always(Close::new(file)))?;
                Ok((status.size(), tokens))
            }
            (Err(error), _) | (_, Err(error)) => Err(error),
        });
    }
    let found = reading.into_iter().map(|opened| {
        let (size, (read, close)) = opened?;
        let read = ring.wait(read)?;
        ring.wait(close)??;
        read.result.map(|_| (size, kind(&read.buf).to_owned()))
    });
    Ok(found.collect())
}

fn walk(ring: &mut Ring<Any>, root: &Path) -> io::Result<()> {
    let mut files = Vec::new();
    list(root, &mut files)?;
    let mut bytes = 0;
    for batch in files.chunks(BATCH) {
        for (file, found) in batch.iter().zip(look(ring, batch)?) {
            let (size, kind) = found.unwrap_or_else(|error| (0, error.to_string()));
            println!("{size:>12}  {kind:<8} {}", file.display());
            bytes += size;
        }
    }
    println!("{bytes:>12}  in {} files", files.len());
    Ok(())
}

fn main() -> ExitCode {
    let root = env::args_os().nth(1).unwrap_or_else(|| ".".into());
    let walked = Ring::best(32)
        .map_err(io::Error::from)
        .and_then(|mut ring| walk(&mut ring, root.as_ref()));
    match walked {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("walk: {error}");
            ExitCode::FAILURE
        }
    }
}
