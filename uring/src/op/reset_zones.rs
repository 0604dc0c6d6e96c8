//! Emptying the zones of a zoned block device.

use std::io;

use crate::completion::Completion;
use crate::entry::Entry;
use crate::error::Hint;
use crate::op::discard::block_command;
use crate::op::{Operation, RawOperation, admit_target, done, sealed};
use crate::resource::{Target, Untracked};

/// Empties all zones of a block device that have to be written from their beginning to their end.
///
/// It is not kept apart from reads, writes and other commands that are in flight. `EOPNOTSUPP`: the device has no zones; `EINVAL`: the target is no
/// block device's file; `EBADF`: it is not open for writing.
///
/// Since Linux 7.3; older kernels complete with `EINVAL` or `EOPNOTSUPP`.
///
/// ```no_run
/// # // It destroys what is on a device.
/// use uring::op::ResetZones;
///
/// # let mut ring = uring::Ring::best(8)?;
/// let device = std::fs::File::options().write(true).open("/dev/nvme1n1")?;
/// ring.call(ResetZones::new(&device))?.result?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_cmd_zone_reset_all(3)`, `block/ioctl.c`.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "io_uring_prep_cmd_zone_reset_all")]
#[doc(alias = "BLOCK_URING_CMD_ZONE_RESET_ALL")]
#[must_use]
pub struct ResetZones<T> {
    target: T,
}

/// `_IO(0x12, 1)`.
const BLOCK_URING_CMD_ZONE_RESET_ALL: u32 = 0x1201;

impl<T: Target> ResetZones<T> {
    /// Empties all zones of that device.
    pub const fn new(target: T) -> ResetZones<T> {
        ResetZones { target }
    }
}

/// What [`ResetZones`] gives back.
#[derive(Debug)]
#[must_use]
pub struct ZonesReset<T> {
    /// Whether they are empty.
    pub result: io::Result<()>,
    /// The target.
    pub target: T,
}

block_command!(ResetZones gives ZonesReset, |this, entry| {
    entry.set_command(BLOCK_URING_CMD_ZONE_RESET_ALL);
});
