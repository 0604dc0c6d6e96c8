//! Asks a ring which opcodes it has, however the ring is reached.

use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};

use uring_sys::{
    Errno, IO_URING_OP_SUPPORTED, IORING_REGISTER_PROBE, IORING_REGISTER_USE_REGISTERED_RING,
    io_uring_probe, io_uring_probe_op, io_uring_register,
};

/// How a ring is reached.
#[derive(Debug, Clone, Copy)]
pub enum Reach<'ring> {
    /// By its descriptor.
    Descriptor(BorrowedFd<'ring>),
    /// By its index in the calling thread's table.
    Index(u32),
}

/// As many entries as there can be opcodes.
const ALL: usize = 256;

/// The opcodes of a ring.
#[derive(Debug, Clone)]
pub struct Opcodes([io_uring_probe_op; ALL]);

/// What the kernel fills in: a header, then the entries.
#[repr(C)]
struct Probe {
    header: io_uring_probe,
    ops: [io_uring_probe_op; ALL],
}

impl Opcodes {
    /// Asks the ring.
    ///
    /// # Errors
    ///
    /// What the kernel says: `EINVAL` for an index before 6.3, and for one that names no ring.
    pub fn of(ring: Reach<'_>) -> Result<Self, Errno> {
        let mut probe = Probe {
            header: io_uring_probe::default(),
            ops: [io_uring_probe_op::default(); ALL],
        };
        let (number, flag) = match ring {
            Reach::Descriptor(fd) => (fd.as_raw_fd(), 0),
            Reach::Index(index) => {
                let index = RawFd::try_from(index).map_err(|_| Errno::EINVAL)?;
                (index, IORING_REGISTER_USE_REGISTERED_RING)
            }
        };
        let opcode = IORING_REGISTER_PROBE | flag;
        // SAFETY: the header is followed by 256 entries, and both are exclusively borrowed.
        unsafe { io_uring_register(number, opcode, (&raw mut probe).cast(), 256) }?;
        Ok(Self(probe.ops))
    }

    /// Whether the ring takes entries of this opcode.
    #[must_use]
    pub const fn has(&self, opcode: u8) -> bool {
        self.0[opcode as usize].flags & IO_URING_OP_SUPPORTED != 0
    }
}
