//! Safe io_uring without file descriptors.

mod capabilities;
mod error;
mod evidence;
mod flags;
mod names;
mod probe;
mod query;
mod syscall;

pub use self::capabilities::Capabilities;
pub use self::error::{Call, Error, Evidence, Hint};
pub use self::flags::{CompletionFlags, Features, SetupFlags};
pub use self::names::{opcode_name, register_opcode_name};
pub use self::probe::Probe;
pub use self::query::{Query, QueueHeader, ZeroCopyReceive};
