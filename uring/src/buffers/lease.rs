//! What a completion brought in buffers that the kernel has chosen.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::buffers::group::{Group, Supply};
use crate::buffers::ring::{Part, Told};
use crate::completion::Completion;
use crate::resource::Buf;

/// The bytes that an operation has put into a buffer of a [`BufferRing`](crate::BufferRing) or of
/// [`ProvidedBuffers`](crate::ProvidedBuffers).
///
/// It is the only one to have them, and derefs to them. It can be written out like any other [`Buf`]. Dropping it gives the buffer
/// back. It may outlive the ring, and be dropped on another thread. One of no bytes may be without a buffer: a read at the end of a file takes
/// none.
pub struct BufferLease {
    held: Option<Held>,
}

struct Held {
    group: Arc<Group>,
    id: u16,
    part: Part,
}

/// The buffer that a completion names, if it names one of the group's.
fn chosen(group: &Group, completion: Completion) -> Option<u16> {
    let flags = completion.flags;
    let id = flags >> uring_sys::IORING_CQE_BUFFER_SHIFT;
    let id = u16::try_from(id)
        .ok()
        .filter(|_| flags & uring_sys::IORING_CQE_F_BUFFER != 0)?;
    (id < group.pool().count() && group.is_ours()).then_some(id)
}

/// What the completion says of the last buffer that it is about.
fn told(group: &Group, completion: Completion) -> Told {
    Told {
        more: group.is_incremental() && completion.flags & uring_sys::IORING_CQE_F_BUF_MORE != 0,
        // Some kernels say that they are done with an incremental buffer, or with that of a failed operation, when they are not.
        doubtful: group.is_incremental() || completion.result < 0,
    }
}

impl BufferLease {
    /// # Safety
    ///
    /// The completion is of an operation that selects from this group, and no lease was made of it; of incremental buffers they come
    /// in their order.
    pub(crate) unsafe fn of(group: &Arc<Group>, completion: Completion) -> BufferLease {
        let held = chosen(group, completion).map(|id| {
            let len = u32::try_from(completion.result).unwrap_or(0);
            let part = match &mut *group.supply() {
                Supply::Queue(queue) => queue.told(group.pool(), id, len, told(group, completion)),
                Supply::Stock(stock) => {
                    stock.taken(id);
                    Part {
                        start: 0,
                        len: len.min(group.pool().size()),
                    }
                }
            };
            Held {
                group: Arc::clone(group),
                id,
                part,
            }
        });
        BufferLease { held }
    }

    /// Which buffer of its group it is; `None` if the operation took none.
    #[must_use]
    pub fn buffer_id(&self) -> Option<u16> {
        self.held.as_ref().map(|held| held.id)
    }

    fn range(&self) -> (*mut u8, usize) {
        match &self.held {
            Some(held) => {
                let start = usize::try_from(held.part.start).unwrap_or(0);
                let len = usize::try_from(held.part.len).unwrap_or(0);
                // SAFETY: a part lies within its buffer.
                let address = unsafe { held.group.pool().buffer(held.id).add(start) };
                (address.as_ptr(), len)
            }
            None => (std::ptr::NonNull::dangling().as_ptr(), 0),
        }
    }
}

impl Deref for BufferLease {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let (start, len) = self.range();
        // SAFETY: the memory is initialised and lives as long as the group. The kernel has finished with this part of the buffer and is
        // given it again only when the lease has ended; other leases are of other parts.
        unsafe { std::slice::from_raw_parts(start, len) }
    }
}

impl DerefMut for BufferLease {
    fn deref_mut(&mut self) -> &mut [u8] {
        let (start, len) = self.range();
        // SAFETY: as in `deref`; the lease is exclusively borrowed.
        unsafe { std::slice::from_raw_parts_mut(start, len) }
    }
}

// SAFETY: the bytes are the lease's alone as long as it lives, and stay where they are when it is moved.
unsafe impl Buf for BufferLease {
    fn as_ptr(&self) -> *const u8 {
        self.range().0.cast_const()
    }

    fn len(&self) -> usize {
        self.range().1
    }
}

impl AsRef<[u8]> for BufferLease {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for BufferLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferLease")
            .field("buffer_id", &self.buffer_id())
            .field("len", &self.range().1)
            .finish()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // A forked child's copy of the queue is nobody's, and its lock may be held for ever.
        if !self.group.is_ours() {
            return;
        }
        let doubtful = match &mut *self.group.supply() {
            Supply::Queue(queue) => queue.give_back(self.group.pool(), self.id),
            Supply::Stock(stock) => {
                stock.back(self.id);
                false
            }
        };
        if doubtful {
            self.group.registry().ask_about(&self.group);
        }
    }
}

/// The [leases](BufferLease) of a completion that may have filled several buffers, in the order of the data.
///
/// What is not taken out of it goes back when it is dropped.
pub struct Bundle {
    group: Option<Arc<Group>>,
    next: u16,
    part: Part,
    left: u32,
}

impl Bundle {
    /// # Safety
    ///
    /// As for [`BufferLease::of`]; the group is a queue.
    pub(crate) unsafe fn of(group: &Arc<Group>, completion: Completion) -> Bundle {
        let mut bundle = Bundle {
            group: None,
            next: 0,
            part: Part { start: 0, len: 0 },
            left: 0,
        };
        let total = u32::try_from(completion.result).unwrap_or(0);
        let mut supply = group.supply();
        let (Some(first), Some(queue)) = (chosen(group, completion), supply.queue()) else {
            return bundle;
        };
        let last = told(group, completion);
        let (mut id, mut left) = (first, total);
        loop {
            let room = queue.room(group.pool(), id);
            let more = last.more && left < room;
            let part = queue.told(group.pool(), id, left, Told { more, ..last });
            if id == first && bundle.group.is_none() {
                bundle.part = part;
                bundle.group = Some(Arc::clone(group));
            }
            left -= part.len;
            let after = queue.after(id);
            if left == 0 || after == first {
                break;
            }
            id = after;
        }
        bundle.next = first;
        bundle.left = total - left;
        bundle
    }
}

impl Iterator for Bundle {
    type Item = BufferLease;

    fn next(&mut self) -> Option<BufferLease> {
        let group = self.group.take()?;
        let (id, part) = (self.next, self.part);
        self.left -= part.len;
        if self.left > 0 {
            if let Some(queue) = group.supply().queue() {
                self.next = queue.after(id);
            }
            self.part = Part {
                start: 0,
                len: self.left.min(group.pool().size()),
            };
            self.group = Some(Arc::clone(&group));
        }
        let held = Held { group, id, part };
        Some(BufferLease { held: Some(held) })
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bundle")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}
