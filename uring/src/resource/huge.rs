//! Memory in huge pages.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::slice;

use uring_sys::Errno;

use crate::error::{Call, Error, Hint};
use crate::fork::Process;
use crate::memory::{HUGE_PAGE, Mapping};
use crate::resource::BufferMemory;

/// Memory in pages of 2 MiB, to [register](crate::Ring::register_buf) with a ring: the kernel keeps one note for each page, and an operation on a
/// large buffer has fewer of them to go through.
///
/// A mapping of its own, zeroed at first. A forked child does not inherit it, and finds it empty.
///
/// ```
/// use uring::HugePages;
///
/// # let mut ring = uring::Ring::best(8)?;
/// let memory = match HugePages::new(4 << 20) {
///     Ok(memory) => memory,
///     // None are reserved on this machine: whatever the kernel can put together, then.
///     Err(error) if error.is_limited() => match HugePages::transparent(4 << 20) {
///         Ok(memory) => memory,
///         Err(error) if error.is_unsupported() => return Ok(()),
///         Err(error) => return Err(error.into()),
///     },
///     Err(error) => return Err(error.into()),
/// };
/// ring.register_buffers_sparse(1)?;
/// ring.register_buf(0, memory)?;
/// assert_eq!(ring.registered_buf(0).expect("nobody has it yet").len(), 4 << 20);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `mmap(2)`, `madvise(2)`.
#[doc(alias = "MAP_HUGETLB")]
pub struct HugePages {
    mapping: Mapping,
    start: NonNull<u8>,
    len: usize,
    process: Process,
}

// SAFETY: a mapping that the value owns; a shared one only reads.
unsafe impl Sync for HugePages {}
// SAFETY: as above.
unsafe impl Send for HugePages {}

impl HugePages {
    /// `len` bytes, rounded up to whole huge pages, of those that the machine has reserved (`vm.nr_hugepages`).
    ///
    /// # Errors
    ///
    /// - [`is_limited`](Error::is_limited): there are not that many;
    /// - [`is_unsupported`](Error::is_unsupported): the kernel was built without;
    /// - `len` is zero ([`is_invalid_request`](Error::is_invalid_request)); others of `mmap(2)`.
    pub fn new(len: usize) -> Result<HugePages, Error> {
        let process = checked(len)?;
        let mapping = Mapping::private_huge(len, process).map_err(|errno| {
            let error = Error::sys(Call::MapBuffers, errno);
            match errno {
                Errno::ENOMEM => error.with_hint(Hint::NoHugePages),
                // Nothing else in the call is new enough to be refused.
                Errno::ENODEV | Errno::ENOENT | Errno::EINVAL | Errno::ENOSYS => {
                    let evidence = &"mmap refuses MAP_HUGETLB: the kernel was built without it";
                    error.with_hint(Hint::needs_linux(3, 8, evidence))
                }
                _ => error,
            }
        })?;
        Ok(HugePages {
            start: mapping.start(),
            mapping,
            len: len.next_multiple_of(HUGE_PAGE),
            process,
        })
    }

    /// `len` bytes, rounded up to whole huge pages, for which the kernel is asked to put such pages together (transparent huge pages). Where it has
    /// none it takes ordinary ones, and does not tell.
    ///
    /// # Errors
    ///
    /// - [`is_unsupported`](Error::is_unsupported): the kernel was built without;
    /// - [`is_limited`](Error::is_limited): there is not enough memory;
    /// - `len` is zero ([`is_invalid_request`](Error::is_invalid_request)).
    #[doc(alias = "MADV_HUGEPAGE")]
    pub fn transparent(len: usize) -> Result<HugePages, Error> {
        let process = checked(len)?;
        let mapping = Mapping::transparent_huge(len, process).map_err(|errno| {
            let error = Error::sys(Call::MapBuffers, errno);
            if errno == Errno::EINVAL {
                let evidence = &"madvise refuses MADV_HUGEPAGE: the kernel was built without it";
                return error.with_hint(Hint::needs_linux(2, 6, evidence));
            }
            error
        })?;
        let to_boundary = mapping.start().as_ptr().align_offset(HUGE_PAGE);
        Ok(HugePages {
            // SAFETY: the mapping is longer by a huge page.
            start: unsafe { mapping.start().add(to_boundary) },
            mapping,
            len: len.next_multiple_of(HUGE_PAGE),
            process,
        })
    }

    /// The length of what there is of it in this process.
    fn here(&self) -> usize {
        if self.process.is_current() {
            self.len
        } else {
            0
        }
    }
}

/// The process, if the length is one of a mapping.
fn checked(len: usize) -> Result<Process, Error> {
    if len == 0 || len > isize::MAX.unsigned_abs() - 2 * HUGE_PAGE {
        let hint = Hint::contradiction(&"memory in huge pages has at least one byte, and fits");
        return Err(Error::refused(Call::MapBuffers, hint));
    }
    Process::current().map_err(|errno| Error::sys(Call::MapBuffers, errno))
}

impl Deref for HugePages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: a mapping of this process, zeroed at first, that the value owns.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.here()) }
    }
}

impl DerefMut for HugePages {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; it is exclusively borrowed.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.here()) }
    }
}

// SAFETY: a mapping that the value owns and that does not move; its bytes are zeroes at first.
unsafe impl BufferMemory for HugePages {
    fn bytes(&mut self) -> NonNull<[u8]> {
        NonNull::slice_from_raw_parts(self.start, self.len)
    }

    const STAYS_AT_HOME: bool = true;
}

impl fmt::Debug for HugePages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HugePages")
            .field("start", &self.mapping.start())
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}
