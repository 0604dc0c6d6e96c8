//! Buffers that are handed to the kernel through memory that it shares (`IORING_REGISTER_PBUF_RING`).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use uring_sys::io_uring_buf;

use crate::buffers::group::{Group, Supply};
use crate::buffers::lease::{BufferLease, Bundle};
use crate::buffers::pool::Pool;
use crate::completion::Completion;
use crate::entry::address;
use crate::error::Error;
use crate::memory::Mapping;

/// A group of buffers of one size, of which operations take one when they have data for it.
///
/// A thousand connections that wait then need no thousand buffers. What an operation has filled comes back as a
/// [lease](BufferLease), and dropping that gives the buffer to the kernel again.
///
/// [`Ring::buffer_ring`](crate::Ring::buffer_ring) makes one, of memory of its own, so also on a ring without a descriptor; operations of another ring
/// are refused. A clone is another handle of the same group. The group is unregistered, with the ring's next submission, when its
/// handles, its leases and the operations that may take from it are gone, or [by hand](crate::Ring::unregister_buffer_ring), and its memory stays
/// as long as anything uses it, whatever becomes of the ring.
///
/// When the kernel has no buffer left, an operation that would take one completes with `ENOBUFS`, a multishot one
/// [ends](crate::op::EndReason::NoBuffers), and nothing is lost: pushed again when leases have ended it goes on.
///
/// Since Linux 5.19.
///
/// ```
/// use uring::op::ReadSelected;
///
/// # let mut ring = uring::Ring::best(8)?;
/// let buffers = ring.buffer_ring(4, 4096)?;
/// let file = std::fs::File::open("/proc/version")?;
/// let lease = ring.call(ReadSelected::new(&file, &buffers))?.result?;
/// assert!(lease.starts_with(b"Linux version"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_setup_buf_ring(3)`, `io_uring_register_buf_ring(3)`.
#[derive(Clone)]
#[doc(alias = "io_uring_setup_buf_ring")]
#[doc(alias = "io_uring_register_buf_ring")]
#[doc(alias = "IORING_REGISTER_PBUF_RING")]
pub struct BufferRing(Arc<Group>);

impl BufferRing {
    pub(crate) fn new(group: Arc<Group>) -> BufferRing {
        BufferRing(group)
    }

    pub(crate) fn group(&self) -> &Arc<Group> {
        &self.0
    }

    /// The number that entries name the group by (`buf_group`).
    #[must_use]
    pub fn group_id(&self) -> u16 {
        self.0.id
    }

    /// How many buffers it has, leased ones included.
    #[must_use]
    pub fn count(&self) -> u16 {
        self.0.pool().count()
    }

    /// The size of each in bytes.
    #[must_use]
    pub fn buffer_size(&self) -> u32 {
        self.0.pool().size()
    }

    /// Whether operations take parts of buffers ([`Ring::incremental_buffer_ring`](crate::Ring::incremental_buffer_ring)).
    #[must_use]
    pub fn is_incremental(&self) -> bool {
        self.0.is_incremental()
    }

    /// What a completion of a raw operation brought.
    ///
    /// # Safety
    ///
    /// It is the completion of an operation that was pushed with this group's [number](BufferRing::group_id) to its ring and has
    /// selected a buffer, and no lease has been made of it before; of an incremental ring the completions come in their order.
    pub unsafe fn lease(&self, completion: Completion) -> BufferLease {
        // SAFETY: passed on to the caller.
        unsafe { BufferLease::of(&self.0, completion) }
    }

    /// What a completion brought that may have filled several buffers (`IORING_RECVSEND_BUNDLE`).
    ///
    /// # Safety
    ///
    /// As for [`lease`](BufferRing::lease).
    pub unsafe fn bundle(&self, completion: Completion) -> Bundle {
        // SAFETY: passed on to the caller.
        unsafe { Bundle::of(&self.0, completion) }
    }
}

impl fmt::Debug for BufferRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferRing")
            .field("group_id", &self.group_id())
            .field("count", &self.count())
            .field("buffer_size", &self.buffer_size())
            .field("is_incremental", &self.is_incremental())
            .finish()
    }
}

/// The memory in which the kernel is told of buffers, and the books about who has which.
pub(crate) struct Queue {
    entries: Mapping,
    tail: u16,
    newest: u16,
    buffers: Box<[Buffer]>,
}

/// What is known of one buffer.
#[derive(Clone, Copy, Default)]
struct Buffer {
    /// The tail when it was put into the queue.
    position: u16,
    /// The buffer that was put into the queue after it.
    next: u16,
    /// Bytes that completions have told of.
    told: u32,
    leases: u32,
    /// The kernel has said that it takes no more of it.
    ended: bool,
    /// ... and is to confirm that.
    doubtful: bool,
}

/// A part of a buffer that a lease is about.
#[derive(Clone, Copy)]
pub(crate) struct Part {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

impl Queue {
    /// How much memory the queue of so many buffers takes.
    pub(crate) fn len(count: u16) -> usize {
        usize::from(count) * size_of::<io_uring_buf>()
    }

    /// A queue in zeroed memory of that length, with every buffer of the pool in it.
    pub(crate) fn new(pool: &Pool, entries: Mapping) -> Queue {
        let mut queue = Queue {
            entries,
            tail: 0,
            newest: 0,
            buffers: vec![Buffer::default(); usize::from(pool.count())].into(),
        };
        for id in 0..pool.count() {
            queue.put(pool, id);
        }
        queue
    }

    /// Where the next buffer goes in, modulo 2^16.
    pub(crate) fn tail(&self) -> u16 {
        self.tail
    }

    /// The entry that a position stands for.
    fn entry(&self, position: u16) -> *mut io_uring_buf {
        // The number of buffers is a power of two, and fits.
        let mask = u16::try_from(self.buffers.len() - 1).unwrap_or(0);
        let start = self.entries.start().cast::<io_uring_buf>();
        // SAFETY: the mapping has an entry for each buffer.
        unsafe { start.add(usize::from(position & mask)) }.as_ptr()
    }

    /// The kernel reads the tail where the first entry has its reserved field.
    fn shared_tail(&self) -> &AtomicU16 {
        // SAFETY: two aligned bytes of the mapping, which only atomic accesses here and the kernel use.
        unsafe { AtomicU16::from_ptr(&raw mut (*self.entry(0)).resv) }
    }

    /// Gives a buffer to the kernel that nobody uses.
    fn put(&mut self, pool: &Pool, id: u16) {
        let entry = self.entry(self.tail);
        // SAFETY: an entry past the tail is not the kernel's; there is one, since each buffer is in the queue at most once. The
        // reserved field of the first is not touched: it is the tail.
        unsafe {
            (*entry).addr = address(pool.buffer(id).as_ptr().cast_const());
            (*entry).len = pool.size();
            (*entry).bid = id;
        }
        self.buffers[usize::from(self.newest)].next = id;
        self.newest = id;
        self.buffers[usize::from(id)] = Buffer {
            position: self.tail,
            ..Buffer::default()
        };
        self.tail = self.tail.wrapping_add(1);
        self.shared_tail().store(self.tail, Ordering::Release);
    }

    /// Notes that a completion told of `len` bytes of a buffer, and whether the kernel is done with the whole of it.
    pub(crate) fn told(&mut self, pool: &Pool, id: u16, len: u32, told: Told) -> Part {
        let buffer = &mut self.buffers[usize::from(id)];
        let start = buffer.told.min(pool.size());
        let len = len.min(pool.size() - start);
        buffer.told = start + len;
        buffer.leases += 1;
        buffer.ended |= !told.more;
        buffer.doubtful |= told.doubtful;
        Part { start, len }
    }

    /// How many bytes completions can still tell of.
    pub(crate) fn room(&self, pool: &Pool, id: u16) -> u32 {
        pool.size()
            .saturating_sub(self.buffers[usize::from(id)].told)
    }

    /// The buffer that the kernel takes after that one.
    pub(crate) fn after(&self, id: u16) -> u16 {
        self.buffers[usize::from(id)].next
    }

    /// A lease has ended. Says whether the kernel must be asked before the buffer can be given to it again.
    pub(crate) fn give_back(&mut self, pool: &Pool, id: u16) -> bool {
        let buffer = &mut self.buffers[usize::from(id)];
        buffer.leases -= 1;
        if buffer.leases > 0 || !buffer.ended {
            return false;
        }
        if buffer.doubtful {
            return true;
        }
        self.put(pool, id);
        false
    }

    /// Gives those buffers back that the kernel has taken as a whole, going by how many it has taken.
    ///
    /// Kernels that cannot tell (before 6.8) have no incremental buffers, and count a buffer as taken whenever they say that one was.
    pub(crate) fn settle(&mut self, pool: &Pool, head: Result<u16, Error>) {
        let head = match head {
            Ok(head) => head,
            Err(error) if error.is_unsupported() => self.tail,
            Err(_) => return,
        };
        for id in 0..pool.count() {
            let buffer = self.buffers[usize::from(id)];
            if !(buffer.doubtful && buffer.ended && buffer.leases == 0) {
                continue;
            }
            if self.is_queued(id, head) {
                // The kernel goes on with it where it stopped.
                self.buffers[usize::from(id)].ended = false;
            } else {
                self.put(pool, id);
            }
        }
    }

    /// Whether a buffer is still the kernel's to give out.
    fn is_queued(&self, id: u16, head: u16) -> bool {
        let position = self.buffers[usize::from(id)].position;
        let ahead = position.wrapping_sub(head) < self.tail.wrapping_sub(head);
        // Positions come again; the entry then names another buffer.
        // SAFETY: an entry of the mapping, of which the kernel does not write this field.
        ahead && unsafe { (*self.entry(position)).bid } == id
    }

    /// Before an operation begins, and nothing else takes from the queue: from where the kernel will go on in buffers that it has begun.
    pub(crate) fn catch_up(&mut self, pool: &Pool) {
        for id in 0..pool.count() {
            let Buffer { position, told, .. } = self.buffers[usize::from(id)];
            if told == 0 {
                continue;
            }
            // SAFETY: an entry of the mapping; nothing is in flight that would make the kernel write it.
            let (addr, bid) = unsafe {
                let entry = self.entry(position);
                ((&raw const (*entry).addr).read_volatile(), (*entry).bid)
            };
            let begun = addr.saturating_sub(address(pool.buffer(id).as_ptr().cast_const()));
            if bid == id {
                let begun = u32::try_from(begun).unwrap_or(u32::MAX).min(pool.size());
                self.buffers[usize::from(id)].told = begun.max(told);
            }
        }
    }
}

/// What a completion says of a buffer.
#[derive(Clone, Copy)]
pub(crate) struct Told {
    /// The kernel will take more of it.
    pub(crate) more: bool,
    /// Whether it will not has to be confirmed.
    pub(crate) doubtful: bool,
}

impl Supply {
    pub(crate) fn queue(&mut self) -> Option<&mut Queue> {
        match self {
            Supply::Queue(queue) => Some(queue),
            Supply::Stock(_) => None,
        }
    }
}
