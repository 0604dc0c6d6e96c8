//! Safe io_uring without file descriptors.

mod error;
mod flags;
mod names;

pub use self::error::{Call, Error, Evidence, Hint};
pub use self::flags::{CompletionFlags, Features, SetupFlags};
pub use self::names::{opcode_name, register_opcode_name};
