//! The two functions through which every call about a ring goes.

use std::ffi::c_void;
use std::os::fd::RawFd;

use uring_sys::Errno;

#[cfg(uring_coverage)]
use crate::coverage::{self, Reached};

/// How the kernel is told which ring is meant.
///
/// An index is looked up in the *calling thread's* table: used on another thread it names another ring, or none. The types
/// of [`crate::handle`] see to it that a ring with an index in its name stays on its thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    enter: u32,
    enter_flag: u32,
    register: RawFd,
    register_flag: u32,
    #[cfg(uring_coverage)]
    reached: Reached,
}

impl Name {
    /// By descriptor, in both calls.
    pub(crate) fn descriptor(fd: RawFd) -> Name {
        Name {
            enter: fd.unsigned_abs(),
            enter_flag: 0,
            register: fd,
            register_flag: 0,
            #[cfg(uring_coverage)]
            reached: Reached::Fd,
        }
    }

    /// By index, in both calls (`IORING_FEAT_REG_REG_RING`, Linux 6.3).
    pub(crate) fn index(index: u8) -> Name {
        Name {
            enter: u32::from(index),
            enter_flag: uring_sys::IORING_ENTER_REGISTERED_RING,
            register: RawFd::from(index),
            register_flag: uring_sys::IORING_REGISTER_USE_REGISTERED_RING,
            #[cfg(uring_coverage)]
            reached: Reached::Born,
        }
    }

    /// By index in `io_uring_enter`, by descriptor in `io_uring_register`: all that Linux 5.18 to 6.2 can do.
    pub(crate) fn index_in_enter(index: u8, fd: RawFd) -> Name {
        Name {
            enter: u32::from(index),
            enter_flag: uring_sys::IORING_ENTER_REGISTERED_RING,
            ..Name::descriptor(fd)
        }
    }

    /// Whether `io_uring_enter` is given an index.
    pub(crate) fn enters_by_index(self) -> bool {
        self.enter_flag != 0
    }

    /// Whether `io_uring_register` is given an index.
    pub(crate) fn registers_by_index(self) -> bool {
        self.register_flag != 0
    }
}

#[cfg(uring_coverage)]
impl Name {
    /// A name by itself does not tell how its ring came to have it.
    pub(crate) fn reached_as(self, reached: Reached) -> Name {
        Name { reached, ..self }
    }

    pub(crate) fn reached(self) -> Reached {
        self.reached
    }
}

impl Name {
    /// The number that goes by [`registers_by_index`](Name::registers_by_index), for calls that name a second ring.
    pub(crate) fn register_number(self) -> u32 {
        self.register.unsigned_abs()
    }

    /// The number that `IORING_REGISTER_RING_FDS` takes for the ring, which is in the table by descriptor only.
    pub(crate) fn descriptor_number(self) -> u32 {
        self.register_number()
    }
}

/// `io_uring_enter(2)`.
///
/// # Safety
///
/// The entries published in the ring's submission queue keep their promises (DESIGN 6.1), and `arg` is what `flags` say that
/// it is.
#[inline]
pub(crate) unsafe fn enter(
    name: Name,
    to_submit: u32,
    min_complete: u32,
    flags: u32,
    arg: *const c_void,
    arg_size: usize,
) -> Result<u32, Errno> {
    // SAFETY: passed on to the caller.
    unsafe {
        uring_sys::io_uring_enter(
            name.enter,
            to_submit,
            min_complete,
            flags | name.enter_flag,
            arg,
            arg_size,
        )
    }
}

/// `io_uring_register(2)`.
///
/// # Safety
///
/// `arg` and `count` are what `opcode` asks for, and what the kernel keeps of them outlives its use.
pub(crate) unsafe fn register(
    name: Name,
    opcode: u32,
    arg: *mut c_void,
    count: u32,
) -> Result<u32, Errno> {
    // SAFETY: passed on to the caller.
    let answer = unsafe {
        uring_sys::io_uring_register(name.register, opcode | name.register_flag, arg, count)
    };
    #[cfg(uring_coverage)]
    if answer.is_ok() {
        coverage::registered(name.reached, opcode);
    }
    answer
}
