//! Buffers that the kernel chooses: a group of them belongs to a ring, and an operation takes one when it has data.

mod group;
mod lease;
mod pool;
mod provided;
mod registry;
mod ring;
mod selection;
mod send_queue;

pub use lease::{BufferLease, Bundle};
pub use provided::ProvidedBuffers;
pub(crate) use provided::Run;
pub(crate) use registry::{Buffers, QueueKind};
pub use ring::BufferRing;
pub(crate) use selection::Selection;
pub use selection::{BufferGroup, RawBufferGroup, SelectedBuffer};
pub use send_queue::{SendQueue, Unsent};
