//! Memory mapped for rings and recorded buffers.

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _, OwnedFd},
    ptr::{self, NonNull},
};

/// A mapping that is unmapped on drop.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the mapping belongs to the process, not to the thread that made it, and is reached only through pointers
// whose users answer for races.
unsafe impl Send for Mapping {}
// SAFETY: a shared reference gives out the address and nothing else.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Zeroed private memory, aligned to a page.
    pub(crate) fn anonymous(length: usize) -> io::Result<Self> {
        Self::map(length, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
    }

    /// Zeroed memory that forked children have in common with this process.
    pub(crate) fn shared(length: usize) -> io::Result<Self> {
        Self::map(length, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1, 0)
    }

    /// A part of a ring's own memory.
    pub(crate) fn of_ring(fd: &OwnedFd, offset: u64, length: usize) -> io::Result<Self> {
        let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
        let offset = offset.try_into().expect("the kernel's offsets are small");
        Self::map(length, flags, fd.as_raw_fd(), offset)
    }

    /// The start of a device's memory, to be read only.
    pub(crate) fn of_device(device: impl AsFd, length: usize) -> io::Result<Self> {
        let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
        let device = device.as_fd().as_raw_fd();
        Self::map_for(libc::PROT_READ, length, flags, device, 0)
    }

    fn map(length: usize, flags: i32, fd: i32, offset: libc::off_t) -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        Self::map_for(access, length, flags, fd, offset)
    }

    fn map_for(
        access: i32,
        length: usize,
        flags: i32,
        fd: i32,
        offset: libc::off_t,
    ) -> io::Result<Self> {
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
        let start = unsafe { libc::mmap(ptr::null_mut(), length, access, flags, fd, offset) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).expect("mmap does not place anything at 0");
        Ok(Self { start, length })
    }

    pub(crate) const fn pointer(&self) -> NonNull<u8> {
        self.start
    }

    pub(crate) fn address(&self) -> usize {
        self.start.as_ptr().addr()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and whole, and its users hold it by reference or by `Arc`.
        let result = unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
        debug_assert_eq!(result, 0, "{}", io::Error::last_os_error());
    }
}
