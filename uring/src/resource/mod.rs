//! What operations work with: targets, buffers and paths, borrowed, owned, shared or raw.

pub(crate) mod address;
mod buf;
mod buffer_table;
pub(crate) mod control;
mod huge;
pub(crate) mod message;
mod path;
pub(crate) mod received;
mod registered;
mod slice;
mod std_bufs;
mod structure;
mod target;
mod vectored;

pub use buf::{Buf, BufMut, RawBuf};
pub(crate) use buffer_table::BufferTable;
pub use buffer_table::{BufferMemory, UnregisteredBuf};
pub use huge::HugePages;
pub use path::{Path, RawPath};
pub use registered::{
    BufferName, Fixed, FixedMemory, FixedMut, FixedVecs, RawRegisteredBuf, RegisteredBuf,
};
pub use slice::Slice;
pub use structure::{Inside, MemoryFor, RawMemory};
pub use target::{Cwd, RawTarget, Target, TargetName};
pub(crate) use vectored::Vector;
pub use vectored::{IoVecs, RawIoVecs, Vectored, VectoredMut};

/// A resource that owns nothing, so that an operation made of nothing else may be pushed
/// [raw](crate::Ring::push_raw).
///
/// # Safety
///
/// Implemented for types whose construction is itself `unsafe` and carries the promise that what they name stays valid until
/// the operation's last completion has been reaped.
pub unsafe trait Untracked: Copy {}
