//! Making a pipe.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use crate::completion::Completion;
use crate::direct::{AnyDirectSlot, Direct, DirectPair, RawDirectSlot};
use crate::entry::Entry;
use crate::error::Hint;
use crate::op::into::admit_ring;
use crate::op::{IntoDescriptor, Operation, RawOperation, sealed};
use crate::resource::{Inside, MemoryFor, RawMemory, Untracked};

/// Makes a pipe: the end to read from, and the end to write to.
///
/// As descriptors (with `O_CLOEXEC`), or as direct descriptors.
///
/// Since Linux 6.16.
///
/// ```
/// use uring::op::{Pipe, Read, Write};
///
/// # let mut ring = uring::Ring::best(8)?;
/// # if !ring.probe()?.iter().any(|opcode| uring::opcode_name(opcode) == Some("IORING_OP_PIPE")) { return Ok(()) }
/// ring.register_direct(2)?;
/// let pair = ring.direct_pair()?;
/// let (reader, writer) = ring.call(Pipe::new().into_direct(pair))??;
/// ring.call(Write::new(&writer, "through the pipe"))?.result?;
/// assert_eq!(ring.call(Read::new(&reader, vec![0; 16]))?.buf, b"through the pipe");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_pipe(3)`, `io_uring_prep_pipe_direct(3)`, `pipe2(2)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_pipe")]
#[doc(alias = "io_uring_prep_pipe_direct")]
#[doc(alias = "IORING_OP_PIPE")]
#[must_use]
pub struct Pipe<R = IntoDescriptor, M = Inside<[i32; 2]>> {
    into: R,
    flags: i32,
    /// Where the kernel writes the two numbers.
    numbers: M,
}

impl Pipe {
    /// Makes a pipe of two descriptors.
    #[allow(
        clippy::new_without_default,
        reason = "an operation is no value with a usual state"
    )]
    pub const fn new() -> Pipe {
        Pipe {
            into: IntoDescriptor,
            flags: 0,
            numbers: Inside::new([-1; 2]),
        }
    }
}

impl<R: PipeEnds, M> Pipe<R, M> {
    /// Makes a pipe of two direct descriptors, in a pair of reserved slots.
    pub fn into_direct(self, pair: DirectPair) -> Pipe<DirectPair, M> {
        self.into_ends(pair)
    }

    /// Makes a pipe of two direct descriptors, in whichever slots are free.
    pub fn into_any_direct(self, slot: AnyDirectSlot) -> Pipe<AnyDirectSlot, M> {
        self.into_ends(slot)
    }

    /// Makes a pipe of two direct descriptors, in slots that are promised to be the caller's: that one and the next.
    pub fn into_raw_direct(self, slot: RawDirectSlot) -> Pipe<RawDirectSlot, M> {
        self.into_ends(slot)
    }

    /// Has the numbers of the two ends written there: of descriptors, or the slots that the kernel chose.
    ///
    /// The first is the end to read from.
    pub fn ends_into(self, memory: RawMemory<[i32; 2]>) -> Pipe<R, RawMemory<[i32; 2]>> {
        Pipe {
            into: self.into,
            flags: self.flags,
            numbers: memory.holding([-1; 2]),
        }
    }

    fn into_ends<N>(self, into: N) -> Pipe<N, M> {
        Pipe {
            into,
            flags: self.flags,
            numbers: self.numbers,
        }
    }

    /// Reads and writes of other kinds than this library's do not wait.
    #[doc(alias = "O_NONBLOCK")]
    pub fn nonblocking(self) -> Self {
        self.flag(libc::O_NONBLOCK)
    }

    /// What is written in one piece is read in one piece.
    #[doc(alias = "O_DIRECT")]
    pub fn packets(self) -> Self {
        self.flag(libc::O_DIRECT)
    }

    fn flag(self, flag: i32) -> Self {
        Pipe {
            flags: self.flags | flag,
            ..self
        }
    }
}

/// What the two ends of a pipe come into being as: [`IntoDescriptor`], [`DirectPair`], [`AnyDirectSlot`], or by promise [`RawDirectSlot`]. Sealed.
pub trait PipeEnds: sealed::Sealed {
    /// One end.
    type End;

    #[doc(hidden)]
    const CLOSE_ON_EXEC: i32;
    #[doc(hidden)]
    fn admit(&self, ring: u64) -> Result<(), Hint>;
    #[doc(hidden)]
    fn prepare(&self, entry: &mut Entry);
    /// # Safety
    ///
    /// The kernel has made a pipe as this says, told these numbers of its ends, and nobody has claimed them.
    #[doc(hidden)]
    unsafe fn ends(self, numbers: [i32; 2]) -> (Self::End, Self::End);
}

impl PipeEnds for IntoDescriptor {
    type End = OwnedFd;
    const CLOSE_ON_EXEC: i32 = libc::O_CLOEXEC;

    fn admit(&self, _: u64) -> Result<(), Hint> {
        Ok(())
    }

    fn prepare(&self, _: &mut Entry) {}

    unsafe fn ends(self, numbers: [i32; 2]) -> (OwnedFd, OwnedFd) {
        // SAFETY: the caller vouches that the descriptors are open and ours.
        let [reader, writer] = numbers.map(|number| unsafe { OwnedFd::from_raw_fd(number) });
        (reader, writer)
    }
}

impl sealed::Sealed for DirectPair {}

impl PipeEnds for DirectPair {
    type End = Direct;
    const CLOSE_ON_EXEC: i32 = 0;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_ring(self.ring(), ring)
    }

    fn prepare(&self, entry: &mut Entry) {
        entry.set_file_index(self.index() + 1);
    }

    unsafe fn ends(self, _: [i32; 2]) -> (Direct, Direct) {
        self.filled()
    }
}

impl sealed::Sealed for AnyDirectSlot {}

impl PipeEnds for AnyDirectSlot {
    type End = Direct;
    const CLOSE_ON_EXEC: i32 = 0;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_ring(self.ring(), ring)
    }

    fn prepare(&self, entry: &mut Entry) {
        entry.set_file_index(uring_sys::IORING_FILE_INDEX_ALLOC);
    }

    unsafe fn ends(self, numbers: [i32; 2]) -> (Direct, Direct) {
        let [reader, writer] = numbers.map(|number| self.filled(number.unsigned_abs()));
        (reader, writer)
    }
}

impl<R, M> sealed::Sealed for Pipe<R, M> {}

// SAFETY: the kernel writes into the value, at the address that it stays at, or where `RawMemory::new` was promised.
unsafe impl<R: PipeEnds, M: MemoryFor<[i32; 2]>> Operation for Pipe<R, M> {
    type Output = io::Result<(R::End, R::End)>;
    const OPCODE: u8 = uring_sys::IORING_OP_PIPE;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        self.into.admit(ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        unsafe {
            entry.set_pointer((*this).numbers.as_mut_ptr().cast_const());
            entry.set_op_flags(((*this).flags | R::CLOSE_ON_EXEC).unsigned_abs());
            (*this).into.prepare(entry);
        }
    }

    unsafe fn complete(mut self, completion: Completion) -> Self::Output {
        completion.result()?;
        // SAFETY: the caller vouches that the operation was carried out, and it has succeeded.
        Ok(unsafe { self.into.ends(self.numbers.get()) })
    }
}

// SAFETY: the slots are untracked, and the numbers are elsewhere.
unsafe impl<R: PipeEnds + Untracked> RawOperation for Pipe<R, RawMemory<[i32; 2]>> {}
