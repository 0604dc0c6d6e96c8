//! Mappings that hold ring memory: the only place that maps and unmaps.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;

use uring_sys::Errno;

use crate::fork::Process;

/// What a forked child finds at the address of a mapping.
#[derive(Clone, Copy, PartialEq, Eq)]
enum InChild {
    /// Zeroed memory of its own (`MADV_WIPEONFORK`): touching it is harmless.
    Zeroes,
    /// Nothing of ours (`MADV_DONTFORK`), and perhaps, by now, a mapping of somebody else.
    NotOurs,
}

/// One mapping of ring memory, unmapped when dropped.
///
/// Unmapping is safe while the kernel still works on the ring: it holds the pages. Handing the memory out again is not, which
/// is why it is never heap.
pub(crate) struct Mapping {
    start: NonNull<u8>,
    len: usize,
    in_child: InChild,
    process: Process,
}

// SAFETY: a mapping is owned memory; nothing in it is tied to a thread.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Zeroed private memory to give to the kernel (`IORING_SETUP_NO_MMAP`).
    ///
    /// Private and wiped on fork: the kernel holds the pages, so the child neither sees nor disturbs the parent's queues.
    pub(crate) fn private(len: usize, process: Process) -> Result<Mapping, Errno> {
        let len = round_up(len, page_size());
        let mapping = Mapping::anonymous(len, 0, InChild::Zeroes, process)?;
        mapping.advise(libc::MADV_WIPEONFORK)?;
        Ok(mapping)
    }

    /// The same in huge pages, for kernels that want ring memory physically contiguous.
    ///
    /// These cannot be wiped on fork, so a child does not inherit them.
    pub(crate) fn private_huge(len: usize, process: Process) -> Result<Mapping, Errno> {
        let flags = libc::MAP_HUGETLB | libc::MAP_HUGE_2MB;
        let len = round_up(len, HUGE_PAGE);
        let mapping = Mapping::anonymous(len, flags, InChild::NotOurs, process)?;
        mapping.advise(libc::MADV_DONTFORK)?;
        Ok(mapping)
    }

    /// Private memory, at least `len` bytes of it on a boundary of huge pages, for which the kernel is asked for such.
    pub(crate) fn transparent_huge(len: usize, process: Process) -> Result<Mapping, Errno> {
        let len = round_up(len, HUGE_PAGE) + HUGE_PAGE;
        let mapping = Mapping::reserved(len, 0, InChild::NotOurs, process)?;
        mapping.advise(libc::MADV_DONTFORK)?;
        mapping.advise(libc::MADV_HUGEPAGE)?;
        Ok(mapping)
    }

    fn anonymous(
        len: usize,
        flags: i32,
        in_child: InChild,
        process: Process,
    ) -> Result<Mapping, Errno> {
        Mapping::reserved(len, flags | libc::MAP_POPULATE, in_child, process)
    }

    /// Without a page of memory before it is touched, unless the flags say otherwise.
    fn reserved(
        len: usize,
        flags: i32,
        in_child: InChild,
        process: Process,
    ) -> Result<Mapping, Errno> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | flags;
        // SAFETY: a new mapping at an address of the kernel's choosing touches nothing that exists.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                flags,
                -1,
                0,
            )
        };
        Mapping::adopt(start, len, in_child, process)
    }

    /// `len` bytes of the kernel's own ring memory, at one of the `IORING_OFF_*` offsets.
    ///
    /// A child must not inherit it: its copy would keep the ring alive, and its stores would reach the parent's queues.
    pub(crate) fn of_ring(
        ring: BorrowedFd<'_>,
        offset: u64,
        len: usize,
        process: Process,
    ) -> Result<Mapping, Errno> {
        let offset = libc::off_t::try_from(offset).map_err(|_| Errno::EOVERFLOW)?;
        // SAFETY: a new mapping at an address of the kernel's choosing touches nothing that exists.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_POPULATE,
                ring.as_raw_fd(),
                offset,
            )
        };
        let mapping = Mapping::adopt(start, len, InChild::NotOurs, process)?;
        mapping.advise(libc::MADV_DONTFORK)?;
        Ok(mapping)
    }

    fn adopt(
        start: *mut libc::c_void,
        len: usize,
        in_child: InChild,
        process: Process,
    ) -> Result<Mapping, Errno> {
        if start == libc::MAP_FAILED {
            return Err(last_errno());
        }
        let start = NonNull::new(start.cast()).ok_or(Errno::EFAULT)?;
        Ok(Mapping {
            start,
            len,
            in_child,
            process,
        })
    }

    fn advise(&self, advice: i32) -> Result<(), Errno> {
        // SAFETY: the range is this mapping, and the advice only changes what `fork` does with it.
        if unsafe { libc::madvise(self.start.as_ptr().cast(), self.len, advice) } == 0 {
            Ok(())
        } else {
            Err(last_errno())
        }
    }

    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.in_child == InChild::NotOurs && !self.process.is_current() {
            return;
        }
        // SAFETY: the range is this mapping; the queues that point into it are dropped with it, and the kernel holds the
        // pages that it still uses (DESIGN 6.9).
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// What [`Mapping::private_huge`] consists of.
pub(crate) const HUGE_PAGE: usize = 2 << 20;

pub(crate) fn page_size() -> usize {
    // SAFETY: `sysconf` reads a constant of the system.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}

fn round_up(len: usize, to: usize) -> usize {
    len.next_multiple_of(to)
}

/// The calling thread's `errno`, for the calls that go through the C library.
pub(crate) fn last_errno() -> Errno {
    let raw = std::io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or(libc::EINVAL);
    Errno::from_raw(raw)
}
