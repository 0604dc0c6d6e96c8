//! What a ring turned out to be.

use std::fmt;

use uring::{Any, HandleKind, Ring, SetupFlags};

/// The handle that the kernel gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RingStatus {
    handle: HandleKind,
    born_fdless: bool,
}

impl RingStatus {
    pub(crate) fn of(ring: &Ring<Any>) -> RingStatus {
        let flags = ring.setup().flags();
        RingStatus {
            handle: ring.handle_kind(),
            born_fdless: flags.contains(SetupFlags::REGISTERED_FD_ONLY),
        }
    }

    pub(crate) fn has_descriptor(self) -> bool {
        self.handle != HandleKind::Fdless
    }
}

impl fmt::Display for RingStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.handle)?;
        match self.handle {
            HandleKind::Fdless if self.born_fdless => f.write_str(" from birth"),
            HandleKind::Fdless => f.write_str(" since it was closed"),
            _ => Ok(()),
        }
    }
}
