//! Handing buffers to the kernel by operations, and taking them back.

use std::io;

use crate::buffers::{ProvidedBuffers, Run};
use crate::completion::Completion;
use crate::entry::{Entry, address};
use crate::error::Hint;
use crate::op::{Operation, done, sealed};

/// Gives buffers of a group to the kernel: the first ones at hand that lie side by side.
///
/// Once for all of them in the beginning, and again for those whose leases have ended. From Linux 5.19 on a [`BufferRing`](crate::BufferRing) does without.
///
/// Since Linux 5.7.
///
/// ```
/// use uring::op::{ProvideBuffers, ReadSelected};
///
/// # let mut ring = uring::Ring::best(8)?;
/// let buffers = ring.provided_buffers(2, 4096)?;
/// assert_eq!(ring.call(ProvideBuffers::new(&buffers))??, 2);
/// let file = std::fs::File::open("/proc/version")?;
/// let lease = ring.call(ReadSelected::new(&file, &buffers))?.result?;
/// assert!(lease.starts_with(b"Linux"));
/// drop(lease);
/// assert_eq!(ring.call(ProvideBuffers::new(&buffers))??, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_provide_buffers(3)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_provide_buffers")]
#[doc(alias = "IORING_OP_PROVIDE_BUFFERS")]
#[must_use]
pub struct ProvideBuffers {
    buffers: ProvidedBuffers,
    run: Run,
}

impl ProvideBuffers {
    /// Gives what is at hand; without any it completes with `E2BIG`.
    pub fn new(buffers: &ProvidedBuffers) -> ProvideBuffers {
        ProvideBuffers {
            buffers: buffers.clone(),
            run: buffers.take_run(),
        }
    }
}

impl Drop for ProvideBuffers {
    fn drop(&mut self) {
        // Those that the kernel has are elsewhere in the books by now.
        self.buffers.not_provided(self.run);
    }
}

impl sealed::Sealed for ProvideBuffers {}

// SAFETY: the memory is the group's, which outlives the ring's use of it.
unsafe impl Operation for ProvideBuffers {
    /// How many were given.
    type Output = io::Result<u16>;
    const OPCODE: u8 = uring_sys::IORING_OP_PROVIDE_BUFFERS;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        self.buffers.group().belongs_to(ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        let pool = this.buffers.group().pool();
        entry.set_fd(i32::from(this.run.count));
        if this.run.count > 0 {
            entry.set_addr(address(pool.buffer(this.run.first).as_ptr().cast_const()));
        }
        entry.set_len(pool.size());
        entry.set_off(u64::from(this.run.first));
        entry.set_buf_group(this.buffers.group_id());
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        done(completion)?;
        self.buffers.provided(self.run);
        Ok(self.run.count)
    }
}

/// Takes all buffers of a group back from the kernel.
///
/// They are [at hand](ProvidedBuffers::at_hand) again if no operation that takes from the group was in flight or not redeemed, and none provided any,
/// from the push to the result: otherwise it is not certain which buffers are back, and they are left alone until this operation
/// is repeated.
///
/// Since Linux 5.7.
///
/// Source: `io_uring_prep_remove_buffers(3)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_remove_buffers")]
#[doc(alias = "IORING_OP_REMOVE_BUFFERS")]
#[must_use]
pub struct RemoveBuffers {
    buffers: ProvidedBuffers,
    /// The group's provisions when it was pushed, if nothing was in flight.
    provisions: Option<u64>,
}

impl RemoveBuffers {
    /// Takes all that there are.
    pub fn new(buffers: &ProvidedBuffers) -> RemoveBuffers {
        RemoveBuffers {
            buffers: buffers.clone(),
            provisions: None,
        }
    }
}

impl sealed::Sealed for RemoveBuffers {}

// SAFETY: there is no memory to point to.
unsafe impl Operation for RemoveBuffers {
    /// `ENOENT`: the kernel has none of them.
    type Output = io::Result<()>;
    const OPCODE: u8 = uring_sys::IORING_OP_REMOVE_BUFFERS;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        self.buffers.group().belongs_to(ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`; nobody else refers to it yet.
        let this = unsafe { &mut *this };
        this.provisions = this.buffers.quiet_since();
        entry.set_fd(i32::from(u16::MAX));
        entry.set_buf_group(this.buffers.group_id());
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        let result = done(completion);
        // ENOENT: the kernel has none of them.
        let removed = result.is_ok() || completion.raw_result() == -libc::ENOENT;
        if removed && self.provisions.is_some() && self.buffers.quiet_since() == self.provisions {
            self.buffers.all_removed();
        }
        result
    }
}
