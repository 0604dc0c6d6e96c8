//! Moving data through pipes without copying it.

use std::io;

use crate::completion::Completion;
use crate::entry::Entry;
use crate::error::Hint;
use crate::op::{Operation, RawOperation, admit_target, count, entry_len, sealed};
use crate::resource::{Target, Untracked};

/// Moves data from one file to another, of which at least one is a pipe.
///
/// What comes from a file is not copied: should the file be written to before somebody reads the pipe, that shows.
///
/// Since Linux 5.7.
///
/// ```
/// use uring::op::Splice;
///
/// # let mut ring = uring::Ring::best(8)?;
/// # let (reader, writer) = { let mut fds = [0; 2];
/// #     assert_eq!(unsafe { libc::pipe(fds.as_mut_ptr()) }, 0);
/// #     fds.map(|fd| unsafe { <std::fs::File as std::os::fd::FromRawFd>::from_raw_fd(fd) }).into() };
/// let file = std::fs::File::open("/proc/self/exe")?;
/// let done = ring.call(Splice::new(&file, &writer, 4096).from_offset(0))?;
/// assert!(done.result? > 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_splice(3)`, `splice(2)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "io_uring_prep_splice")]
#[doc(alias = "IORING_OP_SPLICE")]
#[must_use]
pub struct Splice<I, O> {
    from: I,
    to: O,
    len: usize,
    from_offset: u64,
    to_offset: u64,
    flags: u32,
}

/// Copies data from one pipe to another, and leaves it in the first.
///
/// Since Linux 5.8.
///
/// ```
/// use uring::op::Tee;
///
/// # let mut ring = uring::Ring::best(8)?;
/// # let pipe = || { let mut fds = [0; 2];
/// #     assert_eq!(unsafe { libc::pipe(fds.as_mut_ptr()) }, 0);
/// #     fds.map(|fd| unsafe { <std::fs::File as std::os::fd::FromRawFd>::from_raw_fd(fd) }) };
/// # let ([reader, mut writer], [_other_reader, other_writer]) = (pipe(), pipe());
/// # std::io::Write::write_all(&mut writer, b"for both")?;
/// assert_eq!(ring.call(Tee::new(&reader, &other_writer, 4096))?.result?, 8);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_tee(3)`, `tee(2)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "io_uring_prep_tee")]
#[doc(alias = "IORING_OP_TEE")]
#[must_use]
pub struct Tee<I, O> {
    from: I,
    to: O,
    len: usize,
    flags: u32,
}

/// No offset: a pipe, or a file's own position, which moves.
const NO_OFFSET: u64 = u64::MAX;

impl<I: Target, O: Target> Splice<I, O> {
    /// Moves at most `len` bytes. What is no pipe is read and written at its current position.
    pub const fn new(from: I, to: O, len: usize) -> Splice<I, O> {
        Splice {
            from,
            to,
            len,
            from_offset: NO_OFFSET,
            to_offset: NO_OFFSET,
            flags: 0,
        }
    }

    /// Reads at that byte of the file that is read.
    pub fn from_offset(self, from_offset: u64) -> Self {
        Splice {
            from_offset,
            ..self
        }
    }

    /// Writes at that byte of the file that is written to.
    pub fn to_offset(self, to_offset: u64) -> Self {
        Splice { to_offset, ..self }
    }

    /// Completes with `EAGAIN` instead of waiting for a pipe.
    #[doc(alias = "SPLICE_F_NONBLOCK")]
    pub fn nonblocking(self) -> Self {
        self.flag(libc::SPLICE_F_NONBLOCK)
    }

    /// Tells a socket that more will follow.
    #[doc(alias = "SPLICE_F_MORE")]
    pub fn more(self) -> Self {
        self.flag(libc::SPLICE_F_MORE)
    }

    fn flag(self, flag: u32) -> Self {
        Splice {
            flags: self.flags | flag,
            ..self
        }
    }
}

impl<I: Target, O: Target> Tee<I, O> {
    /// Copies at most `len` bytes.
    pub const fn new(from: I, to: O, len: usize) -> Tee<I, O> {
        Tee {
            from,
            to,
            len,
            flags: 0,
        }
    }

    /// Completes with `EAGAIN` instead of waiting.
    #[doc(alias = "SPLICE_F_NONBLOCK")]
    pub fn nonblocking(self) -> Self {
        Tee {
            flags: libc::SPLICE_F_NONBLOCK,
            ..self
        }
    }
}

/// What [`Splice`] and [`Tee`] give back.
#[derive(Debug)]
#[must_use]
pub struct Spliced<I, O> {
    /// How many bytes were moved; fewer than asked for is no error. Zero is the end.
    pub result: io::Result<usize>,
    /// What was read.
    pub from: I,
    /// What was written to.
    pub to: O,
}

impl<I, O> sealed::Sealed for Splice<I, O> {}
impl<I, O> sealed::Sealed for Tee<I, O> {}

// SAFETY: there is no memory to point to.
unsafe impl<I: Target, O: Target> Operation for Splice<I, O> {
    type Output = Spliced<I, O>;
    const OPCODE: u8 = uring_sys::IORING_OP_SPLICE;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.from, ring)?;
        admit_target(&self.to, ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        entry.set_target(this.to.target());
        entry.set_off(this.to_offset);
        entry.set_addr(this.from_offset);
        entry.set_len(entry_len(this.len));
        entry.set_op_flags(this.flags);
        entry.set_splice_from(this.from.target());
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        Spliced {
            result: count(completion),
            from: self.from,
            to: self.to,
        }
    }
}

// SAFETY: there is no memory to point to.
unsafe impl<I: Target, O: Target> Operation for Tee<I, O> {
    type Output = Spliced<I, O>;
    const OPCODE: u8 = uring_sys::IORING_OP_TEE;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.from, ring)?;
        admit_target(&self.to, ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        entry.set_target(this.to.target());
        entry.set_len(entry_len(this.len));
        entry.set_op_flags(this.flags);
        entry.set_splice_from(this.from.target());
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        Spliced {
            result: count(completion),
            from: self.from,
            to: self.to,
        }
    }
}

// SAFETY: both targets are untracked.
unsafe impl<I: Target + Untracked, O: Target + Untracked> RawOperation for Splice<I, O> {}
// SAFETY: as above.
unsafe impl<I: Target + Untracked, O: Target + Untracked> RawOperation for Tee<I, O> {}
