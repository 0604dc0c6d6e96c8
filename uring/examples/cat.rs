//! Prints files one after the other, reading ahead of what it writes.
//!
//! ```text
//! cargo run --example cat -- [FILE]...
//! ```
//!
//! Without a file, and for `-`, it is the standard input.

use std::env;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitCode;
use std::sync::Arc;

use uring::op::{OpenAt, Read, Write};
use uring::{Any, Ring};

/// How much is read at a time.
const BLOCK: usize = 64 << 10;

fn open(ring: &mut Ring<Any>, name: &OsStr) -> io::Result<OwnedFd> {
    if name == "-" {
        return io::stdin().as_fd().try_clone_to_owned();
    }
    let path = CString::new(name.as_bytes())?;
    ring.call(OpenAt::new(path))?.result
}

/// Writes all of a buffer, and gives it back.
fn print(ring: &mut Ring<Any>, mut buf: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut written = 0;
    while written < buf.len() {
        let done = ring.call(Write::new(io::stdout(), buf).skip(written))?;
        written += done.result?;
        buf = done.buf;
    }
    Ok(buf)
}

fn cat(ring: &mut Ring<Any>, name: &OsStr) -> io::Result<()> {
    let file = Arc::new(open(ring, name)?);
    let read = |buf| Read::new(Arc::clone(&file), buf);
    let mut ahead = ring.push(read(Vec::with_capacity(BLOCK)))?;
    let mut spare = Vec::with_capacity(BLOCK);
    loop {
        let done = ring.wait(ahead)?;
        if done.result? == 0 {
            return Ok(());
        }
        // The next block is on its way while this one is printed.
        ahead = ring.push(read(spare))?;
        spare = match print(ring, done.buf) {
            Ok(buf) => buf,
            Err(error) => {
                ring.detach(ahead);
                return Err(error);
            }
        };
    }
}

fn main() -> ExitCode {
    let mut ring = match Ring::best(4) {
        Ok(ring) => ring,
        Err(error) => {
            eprintln!("cat: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut names: Vec<OsString> = env::args_os().skip(1).collect();
    if names.is_empty() {
        names.push("-".into());
    }
    let mut code = ExitCode::SUCCESS;
    for name in names {
        if let Err(error) = cat(&mut ring, &name) {
            eprintln!("cat: {}: {error}", name.to_string_lossy());
            code = ExitCode::FAILURE;
        }
    }
    code
}
