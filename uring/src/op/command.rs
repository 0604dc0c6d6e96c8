//! Commands that a file's own driver understands.

use std::io;

use crate::completion::Completion;
use crate::entry::Entry;
use crate::error::Hint;
use crate::op::{Operation, RawOperation, admit_target, sealed};
use crate::resource::{Target, Untracked};

/// A command for the driver of a file, with 16 bytes of its own.
///
/// What the bytes mean is between the caller and the driver; so is what the result means. `EOPNOTSUPP`: the file takes no commands.
/// What the command points to can be given into the operation, to be kept until it has completed.
///
/// Since Linux 5.19; on older kernels it completes with `EINVAL`.
///
/// Source: `io_uring_prep_uring_cmd(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "io_uring_prep_uring_cmd")]
#[doc(alias = "__io_uring_prep_uring_cmd")]
#[doc(alias = "IORING_OP_URING_CMD")]
#[must_use]
pub struct Command<T, M = ()> {
    target: T,
    memory: M,
    command: u32,
    argument: [u8; 16],
    buffer: Option<u16>,
}

impl<T: Target, M> Command<T, M> {
    /// The command with that number. The operation keeps `memory`, whatever that is, until it has completed.
    ///
    /// # Safety
    ///
    /// What the driver does with the command harms nobody: memory that the argument points to stays valid, and is used by nobody else in a way
    /// that conflicts, as long as `memory` lives where it was moved from, or, pushed raw, until the completion has been reaped.
    pub const unsafe fn new(target: T, command: u32, argument: [u8; 16], memory: M) -> Self {
        Command {
            target,
            memory,
            command,
            argument,
            buffer: None,
        }
    }

    /// Works on the registered buffer with that index. Since Linux 6.1.
    #[doc(alias = "IORING_URING_CMD_FIXED")]
    pub fn registered_buffer(mut self, index: u16) -> Self {
        self.buffer = Some(index);
        self
    }

    fn fill(&self, entry: &mut Entry) {
        entry.set_target(self.target.target());
        entry.set_command(self.command);
        entry.set_argument(self.argument);
        if let Some(index) = self.buffer {
            entry.set_op_flags(uring_sys::IORING_URING_CMD_FIXED);
            entry.set_buf_index(index);
        }
    }

    fn done(self, completion: Completion) -> CommandDone<T, M> {
        CommandDone {
            result: completion.result(),
            extra: completion.extra(),
            target: self.target,
            memory: self.memory,
        }
    }
}

/// What a command gives back.
#[derive(Debug)]
#[must_use]
pub struct CommandDone<T, M> {
    /// What the driver says, as a number of its own.
    pub result: io::Result<u32>,
    /// What it says besides, where completions are large; else zero.
    pub extra: [u64; 2],
    /// The target.
    pub target: T,
    /// The memory that was kept.
    pub memory: M,
}

impl<T, M> sealed::Sealed for Command<T, M> {}

// SAFETY: what the argument points to the caller of the constructor has vouched for.
unsafe impl<T: Target, M> Operation for Command<T, M> {
    type Output = CommandDone<T, M>;
    const OPCODE: u8 = uring_sys::IORING_OP_URING_CMD;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        unsafe { &*this }.fill(entry);
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        self.done(completion)
    }
}

// SAFETY: the target is untracked, and nothing is kept.
unsafe impl<T: Target + Untracked> RawOperation for Command<T> {}

/// A command for the driver of a file, with 80 bytes of its own.
///
/// Since Linux 5.19, on rings with large entries, and since 6.19 (`IORING_OP_URING_CMD128`) with [mixed](crate::EntrySize::Mixed) ones; elsewhere the
/// push is refused.
///
/// Source: `io_uring_prep_uring_cmd128(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "io_uring_prep_uring_cmd128")]
#[doc(alias = "IORING_OP_URING_CMD128")]
#[must_use]
pub struct LargeCommand<T, M = ()> {
    short: Command<T, M>,
    rest: [u8; 64],
}

impl<T: Target, M> LargeCommand<T, M> {
    /// The command with that number. The operation keeps `memory`, whatever that is, until it has completed.
    ///
    /// # Safety
    ///
    /// See [`Command::new`].
    pub unsafe fn new(target: T, command: u32, argument: [u8; 80], memory: M) -> Self {
        let (mut first, mut rest) = ([0; 16], [0; 64]);
        first.copy_from_slice(&argument[..16]);
        rest.copy_from_slice(&argument[16..]);
        LargeCommand {
            // SAFETY: passed on to the caller.
            short: unsafe { Command::new(target, command, first, memory) },
            rest,
        }
    }

    /// Works on the registered buffer with that index. Since Linux 6.1.
    #[doc(alias = "IORING_URING_CMD_FIXED")]
    pub fn registered_buffer(mut self, index: u16) -> Self {
        self.short.buffer = Some(index);
        self
    }
}

impl<T, M> sealed::Sealed for LargeCommand<T, M> {}

// SAFETY: as for `Command`.
unsafe impl<T: Target, M> Operation for LargeCommand<T, M> {
    type Output = CommandDone<T, M>;
    const OPCODE: u8 = uring_sys::IORING_OP_URING_CMD;
    const LARGE: bool = true;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        self.short.admit(ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        unsafe { &*this }.short.fill(entry);
    }

    unsafe fn second_half(this: *const Self) -> Option<[u8; 64]> {
        // SAFETY: the caller vouches for `this`.
        Some(unsafe { (*this).rest })
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        self.short.done(completion)
    }
}

// SAFETY: as for `Command`.
unsafe impl<T: Target + Untracked> RawOperation for LargeCommand<T> {}
