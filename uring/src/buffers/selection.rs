//! How an operation names the group that it takes a buffer from.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::buffers::group::Group;
use crate::buffers::lease::BufferLease;
use crate::buffers::provided::ProvidedBuffers;
use crate::buffers::ring::BufferRing;
use crate::completion::Completion;
use crate::entry::Entry;
use crate::error::Hint;
use crate::op::sealed;
use crate::resource::Untracked;

/// Where an operation takes its buffer from: a [`BufferRing`], [`ProvidedBuffers`], a reference to one of them, or by promise a
/// [`RawBufferGroup`]. Sealed.
#[doc(alias = "io_uring_sqe_set_buf_group")]
pub trait BufferGroup: sealed::Sealed {
    /// What a completion yields.
    type Lease;

    #[doc(hidden)]
    fn number(&self) -> u16;

    /// The group, where books are kept about it.
    #[doc(hidden)]
    fn shared(&self) -> Option<&Arc<Group>>;

    /// # Safety
    ///
    /// The completion is of an operation that selects from the group, and is the next of it.
    #[doc(hidden)]
    unsafe fn lease(&self, completion: Completion) -> Self::Lease;
}

impl sealed::Sealed for BufferRing {}
impl sealed::Sealed for &BufferRing {}
impl sealed::Sealed for ProvidedBuffers {}
impl sealed::Sealed for &ProvidedBuffers {}
impl sealed::Sealed for RawBufferGroup {}

impl BufferGroup for BufferRing {
    type Lease = BufferLease;

    fn number(&self) -> u16 {
        self.group_id()
    }

    fn shared(&self) -> Option<&Arc<Group>> {
        Some(self.group())
    }

    unsafe fn lease(&self, completion: Completion) -> BufferLease {
        // SAFETY: passed on to the caller.
        unsafe { BufferLease::of(self.group(), completion) }
    }
}

impl BufferGroup for ProvidedBuffers {
    type Lease = BufferLease;

    fn number(&self) -> u16 {
        self.group_id()
    }

    fn shared(&self) -> Option<&Arc<Group>> {
        Some(self.group())
    }

    unsafe fn lease(&self, completion: Completion) -> BufferLease {
        // SAFETY: passed on to the caller.
        unsafe { BufferLease::of(self.group(), completion) }
    }
}

impl<G: BufferGroup> BufferGroup for &G
where
    Self: sealed::Sealed,
{
    type Lease = G::Lease;

    fn number(&self) -> u16 {
        G::number(self)
    }

    fn shared(&self) -> Option<&Arc<Group>> {
        G::shared(self)
    }

    unsafe fn lease(&self, completion: Completion) -> G::Lease {
        // SAFETY: passed on to the caller.
        unsafe { G::lease(self, completion) }
    }
}

/// The bare number of a group of the ring that the operation is pushed to.
#[derive(Clone, Copy, Debug)]
pub struct RawBufferGroup(u16);

impl RawBufferGroup {
    /// The group with that number.
    ///
    /// # Safety
    ///
    /// Until the last completion of each operation pushed with it has been reaped, the group's buffers stay valid, and are used by
    /// nobody else while they are the kernel's; of an incremental [`BufferRing`] or a [`SendQueue`](crate::SendQueue) nothing else takes
    /// meanwhile. Those that a send takes stay as they are until its completion has been reaped.
    #[must_use]
    pub const unsafe fn new(group_id: u16) -> RawBufferGroup {
        RawBufferGroup(group_id)
    }
}

// SAFETY: the constructor carries the promise.
unsafe impl Untracked for RawBufferGroup {}

/// The buffer that an operation on a [`RawBufferGroup`] has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelectedBuffer {
    /// Which buffer of its group; `None` if none was taken.
    pub id: Option<u16>,
    /// How many bytes were put into it.
    pub len: u32,
    /// Whether the kernel will put more into the same buffer.
    pub more: bool,
}

impl BufferGroup for RawBufferGroup {
    type Lease = SelectedBuffer;

    fn number(&self) -> u16 {
        self.0
    }

    fn shared(&self) -> Option<&Arc<Group>> {
        None
    }

    unsafe fn lease(&self, completion: Completion) -> SelectedBuffer {
        let flags = completion.flags;
        let id = u16::try_from(flags >> uring_sys::IORING_CQE_BUFFER_SHIFT).ok();
        SelectedBuffer {
            id: id.filter(|_| flags & uring_sys::IORING_CQE_F_BUFFER != 0),
            len: u32::try_from(completion.result).unwrap_or(0),
            more: flags & uring_sys::IORING_CQE_F_BUF_MORE != 0,
        }
    }
}

/// The group of an operation, with the operation counted in while it may take from it.
#[derive(Debug)]
pub(crate) struct Selection<G: BufferGroup> {
    group: G,
    counted: AtomicBool,
}

impl<G: BufferGroup> Selection<G> {
    pub(crate) const fn new(group: G) -> Selection<G> {
        Selection {
            group,
            counted: AtomicBool::new(false),
        }
    }

    pub(crate) fn group(&self) -> &G {
        &self.group
    }

    /// Refuses another ring's group, and a second operation on incremental buffers. What is refused for another reason
    /// afterwards stays counted, and may be pushed again.
    pub(crate) fn admit(&self, ring: u64) -> Result<(), Hint> {
        let Some(group) = self.group.shared() else {
            return Ok(());
        };
        group.belongs_to(ring)?;
        if !self.counted.load(Ordering::Relaxed) {
            group.enter()?;
            self.counted.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Has the kernel choose a buffer.
    pub(crate) fn prepare(&self, entry: &mut Entry) {
        if let Some(group) = self.group.shared() {
            if group.is_incremental() {
                let mut supply = group.supply();
                if let Some(queue) = supply.queue() {
                    queue.catch_up(group.pool());
                }
            }
        }
        entry.add_flags(uring_sys::IOSQE_BUFFER_SELECT);
        entry.set_buf_group(self.group.number());
    }

    /// What a completion brought.
    ///
    /// # Safety
    ///
    /// It is the next completion of the operation.
    pub(crate) unsafe fn lease(&self, completion: Completion) -> G::Lease {
        // SAFETY: passed on to the caller.
        unsafe { self.group.lease(completion) }
    }
}

impl<G: BufferGroup> Drop for Selection<G> {
    fn drop(&mut self) {
        if *self.counted.get_mut() {
            if let Some(group) = self.group.shared() {
                group.leave();
            }
        }
    }
}
