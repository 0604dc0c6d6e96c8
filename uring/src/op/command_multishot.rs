//! Commands that a file's own driver completes many times.

use crate::buffers::{BufferGroup, BufferRing, RawBufferGroup, Selection};
use crate::completion::Completion;
use crate::entry::Entry;
use crate::error::Hint;
use crate::op::multishot::brings_bytes;
use crate::op::{
    Completes, EndReason, Ended, Multishot, Operation, RawOperation, admit_target, sealed,
};
use crate::resource::{Target, Untracked};

/// A command for the driver of a file that completes again and again, each time with another buffer of a group.
///
/// Its token [yields](crate::Ring::wait_item) what the driver has put into the buffer. It ends when the driver says so (zero, or an error), with
/// `ENOBUFS` when the group has no buffer left, when it is cancelled, and when completions overflow.
///
/// Only commands that the driver means to be so work: in Linux 7.3 that is `UBLK_U_IO_FETCH_IO_CMDS` alone, with which a server of `ublk` takes the
/// requests to its device in batches. What is multishot by nature, such as [`TxTimestamps`](crate::op::TxTimestamps), is not asked for so.
///
/// Since Linux 6.18; older kernels complete with `EOPNOTSUPP` or `EINVAL`.
///
/// Source: `IORING_URING_CMD_MULTISHOT` in `linux/io_uring.h`, `Documentation/block/ublk.rst`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_uring_cmd")]
#[doc(alias = "IORING_URING_CMD_MULTISHOT")]
#[doc(alias = "IORING_OP_URING_CMD")]
#[must_use]
pub struct CommandMultishot<T, G: BufferGroup = BufferRing, M = ()> {
    target: T,
    selection: Selection<G>,
    memory: M,
    command: u32,
    argument: [u8; 16],
}

impl<T: Target, G: BufferGroup, M> CommandMultishot<T, G, M> {
    /// The command with that number. The operation keeps `memory`, whatever that is, until its last completion.
    ///
    /// # Safety
    ///
    /// See [`Command::new`](crate::op::Command::new), and: the driver means the command to be multishot. One that does not, and succeeds, never
    /// completes: neither can it be cancelled, nor does a ring with it end before it gives up and
    /// [leaks](crate::leaked_operations) it; in a [scope](crate::Ring::scope) the process is aborted.
    pub const unsafe fn new(
        target: T,
        command: u32,
        argument: [u8; 16],
        buffers: G,
        memory: M,
    ) -> Self {
        CommandMultishot {
            target,
            selection: Selection::new(buffers),
            memory,
            command,
            argument,
        }
    }

    /// Target and memory, given back.
    pub fn into_parts(self) -> (T, M) {
        (self.target, self.memory)
    }
}

impl<T, G: BufferGroup, M> sealed::Sealed for CommandMultishot<T, G, M> {}

// SAFETY: the buffer is the group's, which the operation keeps; for what the argument points to the caller of the constructor has vouched.
unsafe impl<T: Target, G: BufferGroup, M> Operation for CommandMultishot<T, G, M> {
    type Output = Ended<Self>;
    const OPCODE: u8 = uring_sys::IORING_OP_URING_CMD;
    const COMPLETES: Completes<Self> = Completes::many();

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)?;
        self.selection.admit(ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        entry.set_target(this.target.target());
        entry.set_command(this.command);
        entry.set_argument(this.argument);
        entry.set_op_flags(uring_sys::IORING_URING_CMD_MULTISHOT);
        this.selection.prepare(entry);
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        // SAFETY: passed on to the caller; an item of no bytes is a buffer that was taken for nothing.
        unsafe { Ended::giving_back(self, completion) }
    }
}

// SAFETY: nothing of the value is written to by the kernel.
unsafe impl<T: Target, G: BufferGroup, M> Multishot for CommandMultishot<T, G, M> {
    type Item = G::Lease;

    unsafe fn item(this: *const Self, completion: Completion) -> G::Lease {
        // SAFETY: the caller vouches for `this` and for the completion.
        unsafe { (*this).selection.lease(completion) }
    }

    fn is_item(last: &Completion) -> bool {
        brings_bytes(last)
    }

    fn end(last: &Completion) -> EndReason {
        EndReason::of_stream(last)
    }
}

// SAFETY: target and group are untracked, and nothing is kept.
unsafe impl<T: Target + Untracked> RawOperation for CommandMultishot<T, RawBufferGroup> {}
