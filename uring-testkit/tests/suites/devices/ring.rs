//! Reads and writes through a ring.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd as _},
};

use uring_sys::{IORING_OP_READ, IORING_OP_WRITE};
use uring_testkit::raw::{Entry, RawRing};

/// Bytes that begin where a device can read them to: at a page.
#[derive(Debug)]
pub(crate) struct Page(Box<Aligned>);

#[derive(Debug)]
#[repr(align(4096))]
struct Aligned([u8; 4096]);

impl Page {
    pub(crate) fn new(byte: u8) -> Self {
        Self(Box::new(Aligned([byte; 4096])))
    }
}

impl std::ops::Deref for Page {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0.0
    }
}

impl std::ops::DerefMut for Page {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0.0
    }
}

/// A read into `buffer`, whose result is that of the system call.
pub(crate) fn read(
    ring: &mut RawRing,
    from: impl AsFd,
    offset: u64,
    buffer: &mut [u8],
) -> io::Result<usize> {
    call(ring, IORING_OP_READ, &from, offset, buffer)
}

/// A write of `bytes`, whose result is that of the system call.
pub(crate) fn write(
    ring: &mut RawRing,
    to: impl AsFd,
    offset: u64,
    bytes: &[u8],
) -> io::Result<usize> {
    call(ring, IORING_OP_WRITE, &to, offset, bytes)
}

fn call(
    ring: &mut RawRing,
    opcode: u8,
    file: &impl AsFd,
    offset: u64,
    buffer: &[u8],
) -> io::Result<usize> {
    loop {
        // SAFETY: the buffer is borrowed until the completion is there; the callers' borrow is exclusive for reads.
        let completed = unsafe { ring.call(entry(opcode, file, offset, buffer)) }?;
        // The kernel's worker may be interrupted before it has done anything, as any thread in a terminal's calls.
        if completed.res != -libc::EINTR {
            return usize::try_from(completed.res)
                .map_err(|_| io::Error::from_raw_os_error(-completed.res));
        }
    }
}

/// The entry of a read or a write.
pub(crate) fn entry(opcode: u8, file: &impl AsFd, offset: u64, buffer: &[u8]) -> Entry {
    Entry {
        opcode,
        fd: file.as_fd().as_raw_fd(),
        off: offset,
        addr: buffer.as_ptr().expose_provenance() as u64,
        len: u32::try_from(buffer.len()).expect("a small buffer"),
        ..Entry::default()
    }
}

/// Opens a device for reading and writing past the page cache.
pub(crate) fn open_direct(path: &std::path::Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = File::options();
    options
        .read(true)
        .write(true)
        .custom_flags(libc::O_DIRECT)
        .open(path)
}
