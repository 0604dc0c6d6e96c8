//! Throwing parts of a block device's contents away.

use std::io;

use crate::completion::Completion;
use crate::entry::Entry;
use crate::error::Hint;
use crate::op::{Operation, RawOperation, admit_target, done, sealed};
use crate::resource::{Target, Untracked};

/// Tells a block device that a part of its contents is not needed any more.
///
/// Start and length in bytes are multiples of the device's logical blocks. What is read from there afterwards is the device's to say, mostly zeroes. `EOPNOTSUPP`: the
/// device does not discard; `EINVAL`: the target is no block device's file, or the part is none.
///
/// Since Linux 6.12; older kernels complete with `EOPNOTSUPP`, or with `EINVAL`.
///
/// ```no_run
/// # // It destroys what is on a device.
/// use uring::op::Discard;
///
/// # let mut ring = uring::Ring::best(8)?;
/// let device = std::fs::File::options().write(true).open("/dev/nvme1n1")?;
/// ring.call(Discard::new(&device, 0, 1 << 20))?.result?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `BLOCK_URING_CMD_DISCARD` in `linux/blkdev.h`.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "io_uring_prep_cmd_discard")]
#[doc(alias = "BLOCK_URING_CMD_DISCARD")]
#[must_use]
pub struct Discard<T> {
    target: T,
    start: u64,
    len: u64,
}

/// `_IO(0x12, 0)`.
const BLOCK_URING_CMD_DISCARD: u32 = 0x1200;

impl<T: Target> Discard<T> {
    /// Throws `len` bytes from `start` away.
    pub const fn new(target: T, start: u64, len: u64) -> Discard<T> {
        Discard { target, start, len }
    }
}

/// What [`Discard`] gives back.
#[derive(Debug)]
#[must_use]
pub struct Discarded<T> {
    /// Whether they are gone.
    pub result: io::Result<()>,
    /// The target.
    pub target: T,
}

/// Makes a command of block devices an operation that gives its target back: the fields of the first `target`, those of the second `result` and
/// `target`.
macro_rules! block_command {
    ($command:ident gives $output:ident, |$this:ident, $entry:ident| $fill:expr) => {
        impl<T> sealed::Sealed for $command<T> {}

        // SAFETY: there is no memory to point to.
        unsafe impl<T: Target> Operation for $command<T> {
            type Output = $output<T>;
            const OPCODE: u8 = uring_sys::IORING_OP_URING_CMD;

            fn admit(&self, ring: u64) -> Result<(), Hint> {
                admit_target(&self.target, ring)
            }

            unsafe fn prepare(this: *mut Self, $entry: &mut Entry) {
                // SAFETY: the caller vouches for `this`.
                let $this = unsafe { &*this };
                $entry.set_target($this.target.target());
                $fill
            }

            unsafe fn complete(self, completion: Completion) -> Self::Output {
                $output {
                    result: done(completion),
                    target: self.target,
                }
            }
        }

        // SAFETY: the target is untracked.
        unsafe impl<T: Target + Untracked> RawOperation for $command<T> {}
    };
}
pub(super) use block_command;

block_command!(Discard gives Discarded, |this, entry| {
    let mut len = [0; 16];
    len[..8].copy_from_slice(&this.len.to_ne_bytes());
    entry.set_command(BLOCK_URING_CMD_DISCARD);
    entry.set_argument(len);
    entry.set_addr(this.start);
});
