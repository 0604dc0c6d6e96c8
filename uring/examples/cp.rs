//! Copies a file, each block by a read and a write that are linked: the kernel starts the write when the read is done.
//!
//! ```text
//! cargo run --release --example cp -- SRC DST
//! ```

use std::collections::VecDeque;
use std::env;
use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::process::ExitCode;
use std::ptr::NonNull;

use uring::op::{OpenAt, Read, Statx, Write};
use uring::{Any, Chain, RawBuf, Ring, Scope, Slice, Token};

/// How much is copied at a time.
const BLOCK: usize = 128 << 10;
/// How many blocks are on their way at a time.
const DEPTH: usize = 8;

/// A block on its way.
struct Block<'a> {
    read: Token<Read<&'a OwnedFd, Slice<RawBuf>>>,
    write: Token<Write<&'a OwnedFd, Slice<RawBuf>>>,
    buf: RawBuf,
    len: usize,
}

fn start<'a>(
    scope: &mut Scope<'a, '_>,
    [source, target]: [&'a OwnedFd; 2],
    buf: RawBuf,
    offset: u64,
    len: usize,
) -> io::Result<Block<'a>> {
    let read = Read::new(source, Slice::new(buf, ..len)).at(offset);
    let write = Write::new(target, Slice::new(buf, ..len)).at(offset);
    let (read, write) = scope.push_chain(Chain::new(read).then(write))?;
    Ok(Block {
        read,
        write,
        buf,
        len,
    })
}

/// Waits for a block, and gives its buffer back.
fn finish<'a>(scope: &mut Scope<'a, '_>, block: Block<'a>) -> io::Result<RawBuf> {
    // A read that falls short cancels the write.
    if scope.wait(block.read)?.result? < block.len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if scope.wait(block.write)?.result? < block.len {
        return Err(io::ErrorKind::WriteZero.into());
    }
    Ok(block.buf)
}

fn copy(ring: &mut Ring<Any>, source: CString, target: CString) -> io::Result<u64> {
    let status = ring.call(Statx::new(&*source))?.result?;
    if status.is_directory() {
        return Err(io::Error::from_raw_os_error(libc::EISDIR));
    }
    let (size, mode) = (status.size(), u32::from(status.mode()) & 0o777);
    let source = ring.call(OpenAt::new(source))?.result?;
    let create = OpenAt::new(target).write_only().create(mode).truncate();
    let target = ring.call(create)?.result?;
    let mut memory = vec![0; DEPTH * BLOCK];
    let bufs = memory.chunks_mut(BLOCK).map(|block| {
        // SAFETY: the memory lives longer than the scope below, which waits for everything that is pushed in it. Each buffer is with one
        // block at a time, whose write begins when its read is over.
        unsafe { RawBuf::new(NonNull::from(block).cast(), BLOCK) }
    });
    let mut spare: Vec<RawBuf> = bufs.collect();
    ring.scope(|scope| {
        let mut blocks = VecDeque::new();
        for offset in (0..size).step_by(BLOCK) {
            if spare.is_empty() {
                let first = blocks.pop_front().expect("it has a buffer");
                spare.push(finish(scope, first)?);
            }
            let buf = spare.pop().expect("there is one now");
            let len = usize::try_from(size - offset).map_or(BLOCK, |left| left.min(BLOCK));
            blocks.push_back(start(scope, [&source, &target], buf, offset, len)?);
        }
        blocks
            .into_iter()
            .try_for_each(|block| finish(scope, block).map(drop))
    })?;
    Ok(size)
}

fn main() -> ExitCode {
    let paths = env::args_os().skip(1).map(OsString::into_vec);
    let paths: Result<Vec<_>, _> = paths.map(CString::new).collect();
    let Ok(Ok([source, target])) = paths.map(<[CString; 2]>::try_from) else {
        eprintln!("usage: cp SRC DST");
        return ExitCode::from(2);
    };
    let copied = Ring::best(16)
        .map_err(io::Error::from)
        .and_then(|mut ring| copy(&mut ring, source, target));
    match copied {
        Ok(bytes) => println!("{bytes} bytes"),
        Err(error) => {
            eprintln!("cp: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
