//! Entries of any opcode, field by field.

use std::fmt;
use std::mem::transmute;

use uring_sys::io_uring_sqe;

use crate::completion::Completion;
use crate::entry::Entry;
use crate::op::{Operation, RawOperation, sealed};

/// An entry of any opcode, for what has no operation of its own.
///
/// It is pushed like any operation, owned or [raw](crate::Ring::push_raw), and gives its bare completion. Only its first completion is
/// given to a token; for operations that complete more than once push it raw. What `user_data` it has is the push's to say, and flags
/// and credentials of a [`Push`](crate::Push) are added to its own.
///
/// ```
/// use std::os::fd::AsRawFd;
/// use uring::op::RawEntry;
///
/// # let mut ring = uring::Ring::best(8)?;
/// let (file, mut buf) = (std::fs::File::open("/proc/version")?, [0_u8; 5]);
/// // SAFETY: the buffer and the file stay as they are until the operation has completed, which is waited for below.
/// let read = unsafe { RawEntry::new(uring_sys::IORING_OP_READ) }
///     .fd(file.as_raw_fd())
///     .addr((&raw mut buf).expose_provenance().try_into()?)
///     .len(5);
/// assert_eq!(ring.call(read)?.result()?, 5);
/// assert_eq!(&buf, b"Linux");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The promise is made where the entry is:
///
/// ```compile_fail,E0133
/// # let mut ring = uring::Ring::best(8)?;
/// ring.push(uring::op::RawEntry::new(uring_sys::IORING_OP_READ))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_enter(2)`.
#[derive(Clone, Copy)]
#[doc(alias = "io_uring_sqe")]
#[doc(alias = "io_uring_prep_rw")]
#[must_use]
pub struct RawEntry(io_uring_sqe);

impl RawEntry {
    /// An entry with that opcode (`IORING_OP_*`), otherwise zero.
    ///
    /// # Safety
    ///
    /// Whatever is made of it with the methods below and pushed is sound to be carried out:
    /// - all memory that it leads to is there, and the kernel's to use, until its last completion has been reaped, and what it closes
    ///   or fills is the caller's;
    /// - if it makes completions in this or another ring (`IORING_OP_MSG_RING`), their `user_data` has not the top bit, which is the
    ///   library's own;
    /// - it gives each completion: with `IOSQE_CQE_SKIP_SUCCESS` it is pushed raw, and the ring ends only after it;
    /// - what it is linked to follows it in the same submission;
    /// - on a ring of [mixed](crate::EntrySize::Mixed) entries its opcode is not one that takes 128 bytes.
    pub unsafe fn new(opcode: u8) -> RawEntry {
        RawEntry(io_uring_sqe {
            opcode,
            ..io_uring_sqe::default()
        })
    }

    /// The entry that these bytes are.
    ///
    /// # Safety
    ///
    /// As for [`new`](RawEntry::new).
    pub const unsafe fn from_bytes(bytes: [u8; 64]) -> RawEntry {
        // SAFETY: both are 64 bytes, and any bytes are an entry.
        RawEntry(unsafe { transmute::<[u8; 64], io_uring_sqe>(bytes) })
    }

    /// The bytes of the entry.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 64] {
        // SAFETY: both are 64 bytes, all of them initialised: the structure has no gaps.
        unsafe { transmute::<io_uring_sqe, [u8; 64]>(self.0) }
    }

    /// `IOSQE_*`.
    pub const fn flags(mut self, flags: u8) -> RawEntry {
        self.0.flags = flags;
        self
    }

    /// Priority, and flags of sockets.
    pub const fn ioprio(mut self, ioprio: u16) -> RawEntry {
        self.0.ioprio = ioprio;
        self
    }

    /// A descriptor, an index of the file table, or whatever the opcode has there.
    pub const fn fd(mut self, fd: i32) -> RawEntry {
        self.0.fd = fd;
        self
    }

    /// An offset, or `addr2`.
    pub const fn off(mut self, off: u64) -> RawEntry {
        self.0.anon_1.off = off;
        self
    }

    /// An address, or `splice_off_in`.
    pub const fn addr(mut self, addr: u64) -> RawEntry {
        self.0.anon_2.addr = addr;
        self
    }

    /// A length or count.
    pub const fn len(mut self, len: u32) -> RawEntry {
        self.0.len = len;
        self
    }

    /// The flags of the opcode: `rw_flags`, `open_flags`, `msg_flags`, …
    pub const fn op_flags(mut self, op_flags: u32) -> RawEntry {
        self.0.anon_3.rw_flags = op_flags;
        self
    }

    /// The index of a registered buffer, or a `buf_group`.
    pub const fn buf_index(mut self, buf_index: u16) -> RawEntry {
        self.0.anon_4.buf_index = buf_index;
        self
    }

    /// Registered credentials.
    pub const fn personality(mut self, personality: u16) -> RawEntry {
        self.0.personality = personality;
        self
    }

    /// One more than an index of the file table, or `splice_fd_in`, `addr_len`, `write_stream`.
    pub const fn file_index(mut self, file_index: u32) -> RawEntry {
        self.0.anon_5.file_index = file_index;
        self
    }

    /// The third address, or `attr_ptr`, `optval`.
    pub const fn addr3(mut self, addr3: u64) -> RawEntry {
        self.0.anon_6.anon_1.addr3 = addr3;
        self
    }
}

impl fmt::Debug for RawEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawEntry")
            .field("opcode", &crate::opcode_name(self.0.opcode))
            .field("flags", &self.0.flags)
            .field("fd", &self.0.fd)
            .finish_non_exhaustive()
    }
}

impl sealed::Sealed for RawEntry {}

// SAFETY: `new` carries the promise.
unsafe impl Operation for RawEntry {
    type Output = Completion;
    /// The entry's own takes its place.
    const OPCODE: u8 = uring_sys::IORING_OP_NOP;

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        entry.become_raw(unsafe { (*this).0 });
    }

    unsafe fn complete(self, completion: Completion) -> Completion {
        completion
    }
}

// SAFETY: `new` carries the promise; nothing points into the value.
unsafe impl RawOperation for RawEntry {}

/// A [`RawEntry`] of 128 bytes.
///
/// It needs a ring with [large](crate::EntrySize::Large) entries (Linux 5.19), or with mixed ones (6.19) and an opcode that takes
/// 128 bytes.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct RawEntry128 {
    first: RawEntry,
    second: [u8; 64],
}

impl RawEntry128 {
    /// The first half, and the bytes of the second: of a command 16 are at the end of the first half
    /// ([`addr3`](RawEntry::addr3)), 64 in the second.
    ///
    /// # Safety
    ///
    /// As for [`RawEntry::new`], also for what the second half says; and on a ring of mixed entries the opcode is one that takes 128 bytes.
    pub const unsafe fn new(first: RawEntry, second: [u8; 64]) -> RawEntry128 {
        RawEntry128 { first, second }
    }
}

impl sealed::Sealed for RawEntry128 {}

// SAFETY: `new` carries the promise.
unsafe impl Operation for RawEntry128 {
    type Output = Completion;
    const OPCODE: u8 = uring_sys::IORING_OP_NOP128;
    const LARGE: bool = true;

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        entry.become_raw(unsafe { (*this).first.0 });
    }

    unsafe fn second_half(this: *const Self) -> Option<[u8; 64]> {
        // SAFETY: the caller vouches for `this`.
        Some(unsafe { (*this).second })
    }

    unsafe fn complete(self, completion: Completion) -> Completion {
        completion
    }
}

// SAFETY: `new` carries the promise; nothing points into the value.
unsafe impl RawOperation for RawEntry128 {}
