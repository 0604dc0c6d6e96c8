//! What the kernel is told of plans with files and memory.

use std::io;

use crate::completion::Completion;
use crate::entry::{Entry, address};
use crate::error::Hint;
use crate::op::{Operation, RawOperation, admit_target, done, sealed};
use crate::resource::{Buf, RawBuf, Target, Untracked};

/// Tells the kernel how a part of a file will be used.
///
/// Since Linux 5.6; longer than 4 GiB since 6.11 (older kernels complete with `EINVAL`).
///
/// ```
/// use uring::op::{Fadvise, FileAdvice};
///
/// # let mut ring = uring::Ring::best(8)?;
/// let file = std::fs::File::open("/proc/self/exe")?;
/// ring.call(Fadvise::new(&file, 0, 0, FileAdvice::WillNeed))?.result?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_fadvise(3)`, `io_uring_prep_fadvise64(3)`, `posix_fadvise(2)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "io_uring_prep_fadvise")]
#[doc(alias = "io_uring_prep_fadvise64")]
#[doc(alias = "IORING_OP_FADVISE")]
#[must_use]
pub struct Fadvise<T> {
    target: T,
    offset: u64,
    len: u64,
    advice: FileAdvice,
}

/// How a file will be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileAdvice {
    /// In no way that is known.
    #[doc(alias = "POSIX_FADV_NORMAL")]
    Normal,
    /// In any order.
    #[doc(alias = "POSIX_FADV_RANDOM")]
    Random,
    /// From the beginning to the end.
    #[doc(alias = "POSIX_FADV_SEQUENTIAL")]
    Sequential,
    /// Soon: it is read into the page cache.
    #[doc(alias = "POSIX_FADV_WILLNEED")]
    WillNeed,
    /// Not soon: it leaves the page cache, as far as it is on its device.
    #[doc(alias = "POSIX_FADV_DONTNEED")]
    DontNeed,
    /// Once.
    #[doc(alias = "POSIX_FADV_NOREUSE")]
    NoReuse,
}

impl FileAdvice {
    const fn number(self) -> i32 {
        match self {
            FileAdvice::Normal => libc::POSIX_FADV_NORMAL,
            FileAdvice::Random => libc::POSIX_FADV_RANDOM,
            FileAdvice::Sequential => libc::POSIX_FADV_SEQUENTIAL,
            FileAdvice::WillNeed => libc::POSIX_FADV_WILLNEED,
            FileAdvice::DontNeed => libc::POSIX_FADV_DONTNEED,
            FileAdvice::NoReuse => libc::POSIX_FADV_NOREUSE,
        }
    }
}

impl<T: Target> Fadvise<T> {
    /// Tells it of the `len` bytes at `offset`; zero is all that follow.
    pub const fn new(target: T, offset: u64, len: u64, advice: FileAdvice) -> Fadvise<T> {
        Fadvise {
            target,
            offset,
            len,
            advice,
        }
    }
}

/// Tells the kernel how memory will be used.
///
/// The memory has to begin at a page (`EINVAL`), and its last page counts in whole. Only what leaves its contents alone can be asked for in
/// safe code; the rest by [`destructive`](Madvise::destructive).
///
/// Since Linux 5.6; longer than 4 GiB since 6.11 (older kernels complete with `EINVAL`).
///
/// ```
/// use uring::op::{Madvise, MemoryAdvice};
///
/// # let mut ring = uring::Ring::best(8)?;
/// # #[repr(align(4096))] struct Page([u8; 4096]);
/// let page = Page([7; 4096]);
/// let done = ring.call(Madvise::new(&page.0, MemoryAdvice::WillNeed))?;
/// done.result?;
/// assert_eq!(done.target[0], 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_madvise(3)`, `io_uring_prep_madvise64(3)`, `madvise(2)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "io_uring_prep_madvise")]
#[doc(alias = "io_uring_prep_madvise64")]
#[doc(alias = "IORING_OP_MADVISE")]
#[must_use]
pub struct Madvise<B> {
    memory: B,
    advice: i32,
}

/// How memory will be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MemoryAdvice {
    /// In no way that is known.
    #[doc(alias = "MADV_NORMAL")]
    Normal,
    /// In any order.
    #[doc(alias = "MADV_RANDOM")]
    Random,
    /// From the beginning to the end.
    #[doc(alias = "MADV_SEQUENTIAL")]
    Sequential,
    /// Soon.
    #[doc(alias = "MADV_WILLNEED")]
    WillNeed,
    /// Not soon: it is among the first to be swapped out.
    #[doc(alias = "MADV_COLD")]
    Cold,
    /// Not soon: it is swapped out now.
    #[doc(alias = "MADV_PAGEOUT")]
    PageOut,
    /// In huge pages, if there are some.
    #[doc(alias = "MADV_HUGEPAGE")]
    HugePage,
    /// Not in huge pages.
    #[doc(alias = "MADV_NOHUGEPAGE")]
    NoHugePage,
    /// Now, for reading. Since Linux 5.14.
    #[doc(alias = "MADV_POPULATE_READ")]
    PopulateRead,
    /// Now, for writing. Since Linux 5.14.
    #[doc(alias = "MADV_POPULATE_WRITE")]
    PopulateWrite,
}

impl MemoryAdvice {
    const fn number(self) -> i32 {
        match self {
            MemoryAdvice::Normal => libc::MADV_NORMAL,
            MemoryAdvice::Random => libc::MADV_RANDOM,
            MemoryAdvice::Sequential => libc::MADV_SEQUENTIAL,
            MemoryAdvice::WillNeed => libc::MADV_WILLNEED,
            MemoryAdvice::Cold => libc::MADV_COLD,
            MemoryAdvice::PageOut => libc::MADV_PAGEOUT,
            MemoryAdvice::HugePage => libc::MADV_HUGEPAGE,
            MemoryAdvice::NoHugePage => libc::MADV_NOHUGEPAGE,
            MemoryAdvice::PopulateRead => libc::MADV_POPULATE_READ,
            MemoryAdvice::PopulateWrite => libc::MADV_POPULATE_WRITE,
        }
    }
}

impl<B: Buf> Madvise<B> {
    /// Tells it of that memory.
    pub const fn new(memory: B, advice: MemoryAdvice) -> Madvise<B> {
        Madvise {
            memory,
            advice: advice.number(),
        }
    }
}

impl Madvise<RawBuf> {
    /// Gives any advice of `madvise(2)` by its number.
    ///
    /// # Safety
    ///
    /// What the advice does to whole pages, contents included, is right for everybody who uses them (`MADV_DONTNEED` makes zeros of
    /// them, `MADV_DONTFORK` takes them from children).
    pub const unsafe fn destructive(memory: RawBuf, advice: i32) -> Madvise<RawBuf> {
        Madvise { memory, advice }
    }
}

/// What [`Fadvise`] and [`Madvise`] give back.
#[derive(Debug)]
#[must_use]
pub struct Advised<T> {
    /// Whether the kernel has taken note.
    pub result: io::Result<()>,
    /// The file or the memory.
    pub target: T,
}

impl<T> sealed::Sealed for Fadvise<T> {}
impl<B> sealed::Sealed for Madvise<B> {}

// SAFETY: there is no memory to point to.
unsafe impl<T: Target> Operation for Fadvise<T> {
    type Output = Advised<T>;
    const OPCODE: u8 = uring_sys::IORING_OP_FADVISE;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        entry.set_target(this.target.target());
        entry.set_off(this.offset);
        entry.set_op_flags(this.advice.number().unsigned_abs());
        match u32::try_from(this.len) {
            Ok(len) => entry.set_len(len),
            Err(_) => entry.set_addr(this.len),
        }
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        Advised {
            result: done(completion),
            target: self.target,
        }
    }
}

// SAFETY: the memory stays where it is as long as the value lives (contract of `Buf`).
unsafe impl<B: Buf> Operation for Madvise<B> {
    type Output = Advised<B>;
    const OPCODE: u8 = uring_sys::IORING_OP_MADVISE;

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        entry.set_addr(address(this.memory.as_ptr()));
        entry.set_op_flags(this.advice.unsigned_abs());
        match u32::try_from(this.memory.len()) {
            Ok(len) => entry.set_len(len),
            Err(_) => entry.set_off(u64::try_from(this.memory.len()).unwrap_or(u64::MAX)),
        }
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        Advised {
            result: done(completion),
            target: self.memory,
        }
    }
}

// SAFETY: the target is untracked.
unsafe impl<T: Target + Untracked> RawOperation for Fadvise<T> {}
// SAFETY: the memory is untracked.
unsafe impl<B: Buf + Untracked> RawOperation for Madvise<B> {}
