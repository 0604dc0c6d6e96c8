//! What was attempted when an error arose.

use core::fmt;

use uring_sys as sys;

use crate::names::register_opcode_name;

/// What was attempted when an [`Error`](crate::Error) arose.
///
/// [`Display`](fmt::Display) names the system call, and for `io_uring_register` the kernel's name of the opcode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Call {
    /// `io_uring_setup(2)`: making a ring.
    Setup,
    /// `mmap(2)`, `madvise(2)`: the memory of a ring's queues.
    Map,
    /// `mmap(2)`, `madvise(2)`: memory for buffers, or shared with the kernel to tell of them.
    MapBuffers,
    /// `io_uring_enter(2)`: submitting entries, waiting for completions.
    Enter,
    /// `io_uring_register(2)` with this opcode, without `IORING_REGISTER_USE_REGISTERED_RING`.
    Register(u16),
    /// `close(2)` of the ring's descriptor.
    Close,
    /// The builder's check of what was asked for, before the kernel is called.
    Build,
    /// Putting an operation or an entry into the submission queue.
    Push,
    /// Claiming the result of an operation by its token.
    Claim,
    /// Changing how the ring is reached: `register_fd`, `unregister_fd`, `close_fd`, `enable`.
    Transition,
    /// Finding or making the ring of the calling thread.
    PerThread,
    /// Using a [`Local`](crate::Local): its executor, its driver, or the ring in it.
    Local,
}

impl Call {
    /// `io_uring_register` with one of the `IORING_REGISTER_*` opcodes, with or without the bit that makes the
    /// descriptor argument an index.
    pub(crate) const fn register(opcode: u32) -> Self {
        let opcode = opcode & !sys::IORING_REGISTER_USE_REGISTERED_RING;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the branch bounds the value, and const functions cannot use TryFrom"
        )]
        let opcode = if opcode > u16::MAX as u32 {
            u16::MAX
        } else {
            opcode as u16
        };
        Self::Register(opcode)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::Setup => "io_uring_setup",
            Self::Map => "mapping the memory of the queues",
            Self::MapBuffers => "mapping memory for buffers",
            Self::Enter => "io_uring_enter",
            Self::Register(opcode) => {
                return match register_opcode_name(u32::from(opcode)) {
                    Some(name) => write!(f, "io_uring_register({name})"),
                    None => write!(f, "io_uring_register(opcode {opcode})"),
                };
            }
            Self::Close => "closing the ring's descriptor",
            Self::Build => "building the ring",
            Self::Push => "pushing an operation",
            Self::Claim => "claiming the result of an operation",
            Self::Transition => "changing how the ring is reached",
            Self::PerThread => "using the ring of this thread",
            Self::Local => "using the ring of a `Local`",
        })
    }
}
