//! Handing buffers to the kernel by operations, and taking them back.

use std::io;
use std::ptr::{self, NonNull};

use crate::buffers::{BufferGroup, ProvidedBuffers, RawBufferGroup, Run};
use crate::completion::Completion;
use crate::entry::{Entry, address};
use crate::error::Hint;
use crate::op::{Operation, RawOperation, count, done, sealed};
use crate::resource::Untracked;

/// Gives buffers of a group to the kernel: the first ones at hand that lie side by side.
///
/// Once for all of them in the beginning, and again for those whose leases have ended. From Linux 5.19 on a [`BufferRing`](crate::BufferRing) does without.
///
/// Since Linux 5.7. Pushed raw it completes with zero, or, on kernels as old as 5.10, with how many were given.
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
pub struct ProvideBuffers<B: Provides = AtHand> {
    buffers: B,
}

impl ProvideBuffers {
    /// Gives what is at hand; without any it completes with `E2BIG`.
    pub fn new(buffers: &ProvidedBuffers) -> ProvideBuffers {
        ProvideBuffers {
            buffers: AtHand {
                run: buffers.take_run(),
                buffers: buffers.clone(),
            },
        }
    }
}

impl ProvideBuffers<RawBuffers> {
    /// Gives the buffers that are there.
    pub const fn at_address(buffers: RawBuffers) -> ProvideBuffers<RawBuffers> {
        ProvideBuffers { buffers }
    }
}

/// What [`ProvideBuffers`] gives: buffers of [`ProvidedBuffers`] that were [at hand](AtHand), or by promise [`RawBuffers`]. Sealed.
pub trait Provides: sealed::Sealed {
    #[doc(hidden)]
    fn admit(&self, ring: u64) -> Result<(), Hint>;
    #[doc(hidden)]
    fn buffers(&self) -> RawBuffers;
    /// The kernel has them.
    #[doc(hidden)]
    fn provided(self);
}

/// Buffers of a group that an operation is to provide, and nothing else. They are [at hand](ProvidedBuffers::at_hand) again if it does not.
#[derive(Debug)]
pub struct AtHand {
    buffers: ProvidedBuffers,
    run: Run,
}

impl sealed::Sealed for AtHand {}

impl Provides for AtHand {
    fn admit(&self, ring: u64) -> Result<(), Hint> {
        self.buffers.group().belongs_to(ring)
    }

    fn buffers(&self) -> RawBuffers {
        let pool = self.buffers.group().pool();
        let Run { first, count } = self.run;
        RawBuffers {
            group: self.buffers.group_id(),
            first,
            start: (count > 0).then(|| pool.buffer(first)),
            size: pool.size(),
            count,
        }
    }

    fn provided(self) {
        self.buffers.provided(self.run);
    }
}

impl Drop for AtHand {
    fn drop(&mut self) {
        // Those that the kernel has are elsewhere in the books by now.
        self.buffers.not_provided(self.run);
    }
}

/// Buffers side by side in bare memory, for a group that the library keeps no account of.
///
/// ```
/// use std::ptr::NonNull;
/// use uring::op::{ProvideBuffers, RawBuffers, ReadSelected};
/// use uring::{RawBufferGroup, RawTarget};
///
/// # let mut ring = uring::Ring::best(8)?;
/// let mut memory = [0; 2 * 512];
/// let file = std::fs::File::open("/proc/version")?;
/// // SAFETY: memory and file stay as they are until the read was reaped, below; the library has no group of that number.
/// let (buffers, group, target) = unsafe {
///     let start = NonNull::from(&mut memory).cast();
///     let target = RawTarget::descriptor(std::os::fd::AsRawFd::as_raw_fd(&file));
///     (RawBuffers::new(7, 0, start, 512, 2), RawBufferGroup::new(7), target)
/// };
/// ring.push_raw(ProvideBuffers::at_address(buffers), 1)?;
/// ring.submit_and_wait(1)?;
/// ring.next_completion()?.expect("one has been waited for").result()?;
/// ring.push_raw(ReadSelected::new(target, group), 2)?;
/// ring.submit_and_wait(1)?;
/// let read = ring.next_completion()?.expect("one has been waited for");
/// let buffer = read.flags().buffer_id().expect("it has taken one");
/// assert!(memory[512 * usize::from(buffer)..].starts_with(b"Linux version"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RawBuffers {
    group: u16,
    first: u16,
    start: Option<NonNull<u8>>,
    size: u32,
    count: u16,
}

impl RawBuffers {
    /// The `count` buffers of `size` bytes that begin at `start`: those of the group with that number that are called `first` and so on.
    ///
    /// # Safety
    ///
    /// From each push of them on the memory of each buffer stays writable, and is used by nobody else, until a completion has been reaped which
    /// says that it was taken, [removed](RemoveBuffers), or not provided at all, or until no operation that may take from the group can be in flight
    /// or pushed any more. In the ring that they are pushed to nothing of the library's has the group's number then, such as
    /// [`ProvidedBuffers`]: operations on that would believe that what they have taken is its memory. The library counts its groups from 64 on.
    #[must_use]
    pub const unsafe fn new(
        group_id: u16,
        first: u16,
        start: NonNull<u8>,
        size: u32,
        count: u16,
    ) -> RawBuffers {
        RawBuffers {
            group: group_id,
            first,
            start: Some(start),
            size,
            count,
        }
    }
}

// SAFETY: the constructor carries the promise.
unsafe impl Untracked for RawBuffers {}

impl sealed::Sealed for RawBuffers {}

impl Provides for RawBuffers {
    fn admit(&self, _: u64) -> Result<(), Hint> {
        Ok(())
    }

    fn buffers(&self) -> RawBuffers {
        *self
    }

    fn provided(self) {}
}

impl<B: Provides> sealed::Sealed for ProvideBuffers<B> {}

// SAFETY: the memory is the group's, which outlives the ring's use of it, or where `RawBuffers::new` was promised.
unsafe impl<B: Provides> Operation for ProvideBuffers<B> {
    /// How many were given.
    type Output = io::Result<u16>;
    const OPCODE: u8 = uring_sys::IORING_OP_PROVIDE_BUFFERS;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        self.buffers.admit(ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let buffers = unsafe { &*this }.buffers.buffers();
        let start = buffers.start.map_or(ptr::null_mut(), NonNull::as_ptr);
        entry.set_fd(i32::from(buffers.count));
        entry.set_addr(address(start.cast_const()));
        entry.set_len(buffers.size);
        entry.set_off(u64::from(buffers.first));
        entry.set_buf_group(buffers.group);
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        done(completion)?;
        let count = self.buffers.buffers().count;
        self.buffers.provided();
        Ok(count)
    }
}

// SAFETY: the buffers are untracked.
unsafe impl<B: Provides + Untracked> RawOperation for ProvideBuffers<B> {}

/// Takes all buffers of a group back from the kernel.
///
/// They are [at hand](ProvidedBuffers::at_hand) again if no operation that takes from the group was in flight or not redeemed, and none provided any,
/// from the push to the result: otherwise it is not certain which buffers are back, and they are left alone until this operation
/// is repeated.
///
/// Those of a group that is known by its number only are taken back up to a number, and pushed raw it completes with how many there were.
///
/// Since Linux 5.7.
///
/// Source: `io_uring_prep_remove_buffers(3)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_remove_buffers")]
#[doc(alias = "IORING_OP_REMOVE_BUFFERS")]
#[must_use]
pub struct RemoveBuffers<B = AllProvided> {
    buffers: B,
}

/// All buffers of a group that the kernel has.
#[derive(Debug)]
pub struct AllProvided {
    buffers: ProvidedBuffers,
    /// The group's provisions when it was pushed, if nothing was in flight.
    provisions: Option<u64>,
}

/// As many buffers as that of a group that is known by its number only.
#[derive(Clone, Copy, Debug)]
pub struct UpTo {
    group: RawBufferGroup,
    count: u16,
}

// SAFETY: the group is untracked.
unsafe impl Untracked for UpTo {}

impl RemoveBuffers {
    /// Takes all that there are.
    pub fn new(buffers: &ProvidedBuffers) -> RemoveBuffers {
        RemoveBuffers {
            buffers: AllProvided {
                buffers: buffers.clone(),
                provisions: None,
            },
        }
    }
}

impl RemoveBuffers<UpTo> {
    /// Takes back at most that many of that group, which are the caller's again with the completion. Which they are, if there are more, the kernel
    /// does not say. Of a group that never had any it completes with `ENOENT`, and with `EINVAL` if none are to be taken.
    pub const fn up_to(group: RawBufferGroup, count: u16) -> RemoveBuffers<UpTo> {
        RemoveBuffers {
            buffers: UpTo { group, count },
        }
    }
}

fn remove(group: u16, count: u16, entry: &mut Entry) {
    entry.set_fd(i32::from(count));
    entry.set_buf_group(group);
}

impl<B> sealed::Sealed for RemoveBuffers<B> {}

// SAFETY: there is no memory to point to.
unsafe impl Operation for RemoveBuffers<UpTo> {
    /// How many there were.
    type Output = io::Result<usize>;
    const OPCODE: u8 = uring_sys::IORING_OP_REMOVE_BUFFERS;

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let UpTo { group, count } = unsafe { (*this).buffers };
        remove(group.number(), count, entry);
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        count(completion)
    }
}

// SAFETY: the group is untracked.
unsafe impl RawOperation for RemoveBuffers<UpTo> {}

// SAFETY: there is no memory to point to.
unsafe impl Operation for RemoveBuffers {
    /// `ENOENT`: the kernel has none of them.
    type Output = io::Result<()>;
    const OPCODE: u8 = uring_sys::IORING_OP_REMOVE_BUFFERS;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        self.buffers.buffers.group().belongs_to(ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`; nobody else refers to it yet.
        let all = unsafe { &mut (*this).buffers };
        all.provisions = all.buffers.quiet_since();
        remove(all.buffers.group_id(), u16::MAX, entry);
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        let result = done(completion);
        let AllProvided {
            buffers,
            provisions,
        } = self.buffers;
        // ENOENT: the kernel has none of them.
        let removed = result.is_ok() || completion.raw_result() == -libc::ENOENT;
        if removed && provisions.is_some() && buffers.quiet_since() == provisions {
            buffers.all_removed();
        }
        result
    }
}
