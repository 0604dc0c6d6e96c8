//! The ring's side of its groups: registering them, and taking them back when nobody uses them any more.

use std::any::Any;
use std::ffi::c_void;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use uring_sys::{Errno, io_uring_buf_reg, io_uring_buf_status};

use crate::buffers::group::{Group, Supply};
use crate::buffers::pool::Pool;
use crate::buffers::provided::{ProvidedBuffers, Stock};
use crate::buffers::ring::{BufferRing, Queue};
use crate::buffers::send_queue::SendQueue;
use crate::engine::Core;
use crate::entry::address;
use crate::error::{Call, Error, Hint};
use crate::flags::Features;
use crate::memory::Mapping;
use crate::resource::Buf;

/// What a group leaves: the kernel knows its memory until it has been unregistered.
pub(crate) struct Remains {
    id: u16,
    /// Whether the kernel knows its memory by the group's number, or by operations only, whose numbers are never used again.
    is_queue: bool,
    registered: bool,
    /// Freed after the kernel has forgotten the group.
    _memory: Box<dyn Any + Send>,
}

impl Remains {
    pub(crate) fn new(id: u16, pool: Pool, supply: Supply, registered: bool) -> Remains {
        Remains {
            id,
            is_queue: matches!(supply, Supply::Queue(_)),
            registered,
            _memory: Box::new((pool, supply)),
        }
    }

    /// What a queue of buffers to be sent leaves.
    pub(crate) fn of_sends(id: u16, memory: Box<dyn Any + Send>) -> Remains {
        Remains {
            id,
            is_queue: true,
            registered: true,
            _memory: memory,
        }
    }
}

/// What kind of queue the buffers of a group are handed to the kernel by.
#[derive(Clone, Copy)]
pub(crate) struct QueueKind<'ring> {
    /// Operations take no more of a buffer than they fill.
    pub(crate) incremental: bool,
    /// In memory of the kernel's, which is mapped through this descriptor of the ring's.
    pub(crate) kernel_memory: Option<BorrowedFd<'ring>>,
}

impl QueueKind<'_> {
    fn flags(self) -> u16 {
        let mut flags = 0;
        if self.incremental {
            flags |= uring_sys::IOU_PBUF_RING_INC;
        }
        if self.kernel_memory.is_some() {
            flags |= uring_sys::IOU_PBUF_RING_MMAP;
        }
        flags
    }

    /// Why a kernel refuses it that knows of such queues.
    fn missing(self) -> Option<Hint> {
        if self.incremental {
            Some(Hint::needs_linux(6, 12, &"IOU_PBUF_RING_INC is refused"))
        } else if self.kernel_memory.is_some() {
            Some(Hint::needs_linux(6, 4, &"IOU_PBUF_RING_MMAP is refused"))
        } else {
            None
        }
    }
}

/// What the ring and its groups have in common; the latter may live longer and be on other threads.
#[derive(Default)]
pub(crate) struct Registry {
    anything: AtomicBool,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    remains: Vec<Remains>,
    /// Groups of which a buffer is back whose end the kernel has to confirm.
    doubtful: Vec<Weak<Group>>,
}

impl Registry {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn hand_in(&self, remains: Remains) {
        self.waiting().remains.push(remains);
        self.anything.store(true, Ordering::Release);
    }

    /// The ring is to look which of the buffers that are back the kernel has really let go of.
    pub(crate) fn ask_about(&self, group: &Arc<Group>) {
        self.waiting().doubtful.push(Arc::downgrade(group));
        self.anything.store(true, Ordering::Release);
    }

    fn take(&self) -> Waiting {
        self.anything.store(false, Ordering::SeqCst);
        std::mem::take(&mut *self.waiting())
    }
}

/// The groups of one ring.
pub(crate) struct Buffers {
    registry: Arc<Registry>,
    next_id: u16,
    free_ids: Vec<u16>,
    /// What the kernel could not be brought to forget; it goes with the ring.
    kept: Vec<Remains>,
}

/// The first number of a group. Linux 5.19 to 6.7 go on, in a group below it, where the group before it with the same number ended, so that the
/// first buffers of the new one are never taken.
const FIRST_ID: u16 = 64;

impl Buffers {
    pub(crate) fn new() -> Buffers {
        Buffers {
            registry: Arc::default(),
            next_id: FIRST_ID,
            free_ids: Vec::new(),
            kept: Vec::new(),
        }
    }

    #[inline]
    pub(crate) fn has_waiting(&self) -> bool {
        self.registry.anything.load(Ordering::Acquire)
    }

    fn take_id(&mut self) -> Option<u16> {
        self.free_ids.pop().or_else(|| {
            let id = self.next_id;
            self.next_id = id.checked_add(1)?;
            Some(id)
        })
    }
}

/// The most buffers of a group: twice as many could not be told from none by a 16-bit index.
const MOST: u16 = 1 << 15;

/// An address that no process can have mapped.
const UNREADABLE: usize = usize::MAX - 0xfff;

impl Core {
    /// Registers a buffer ring, whose buffers are memory of its own.
    pub(crate) fn buffer_ring(
        &mut self,
        count: u16,
        size: u32,
        kind: QueueKind<'_>,
    ) -> Result<BufferRing, Error> {
        let call = Call::register(uring_sys::IORING_REGISTER_PBUF_RING);
        self.check_process(call)?;
        check_count(call, count)?;
        let pool = pool(call, count, size)?;
        let id = self.take_group_id(call)?;
        match self.register_queue(id, count, kind) {
            Ok(entries) => {
                let supply = Supply::Queue(Queue::new(&pool, entries));
                let group = self.group(id, pool, supply, kind.incremental);
                Ok(BufferRing::new(group))
            }
            Err(error) => {
                self.buffers_mut().free_ids.push(id);
                Err(error)
            }
        }
    }

    /// Registers a queue that nothing is in yet, and gives its memory.
    fn register_queue(&self, id: u16, count: u16, kind: QueueKind<'_>) -> Result<Mapping, Error> {
        let unmapped = |errno| Error::sys(Call::MapBuffers, errno);
        let (len, process) = (Queue::len(count), self.process());
        let own = match kind.kernel_memory {
            Some(_) => None,
            None => Some(Mapping::private(len, process).map_err(unmapped)?),
        };
        let mut arg = io_uring_buf_reg {
            ring_addr: own
                .as_ref()
                .map_or(0, |own| address(own.start().as_ptr().cast_const())),
            ring_entries: u32::from(count),
            bgid: id,
            flags: kind.flags(),
            ..io_uring_buf_reg::default()
        };
        let arg = (&raw mut arg).cast::<c_void>();
        // SAFETY: one structure of the kernel's type, read during the call; the queue that it names is mapped until the group is
        // unregistered or the ring has gone, and pinned by the kernel beyond that.
        unsafe { self.register(uring_sys::IORING_REGISTER_PBUF_RING, arg, 1) }
            .map_err(|error| self.explain_buffer_ring(error, kind))?;
        let (None, Some(ring)) = (&own, kind.kernel_memory) else {
            return own.ok_or_else(|| unmapped(Errno::EINVAL));
        };
        let offset =
            uring_sys::IORING_OFF_PBUF_RING | u64::from(id) << uring_sys::IORING_OFF_PBUF_SHIFT;
        Mapping::of_ring(ring, offset, len, process).map_err(|errno| {
            // What cannot be mapped is of no use, and would keep its number (H22).
            let _ = self.unregister_group(id);
            unmapped(errno)
        })
    }

    /// Registers a queue for buffers of the caller's that are to be sent.
    pub(crate) fn send_queue<B: Buf + Send + 'static>(
        &mut self,
        count: u16,
    ) -> Result<SendQueue<B>, Error> {
        let call = Call::register(uring_sys::IORING_REGISTER_PBUF_RING);
        self.check_process(call)?;
        if !self.setup().features().contains(Features::RECVSEND_BUNDLE) {
            let hint = Hint::needs_linux(6, 10, &"IORING_FEAT_RECVSEND_BUNDLE is not set");
            return Err(Error::refused(call, hint));
        }
        check_count(call, count)?;
        let id = self.take_group_id(call)?;
        let kind = QueueKind {
            incremental: false,
            kernel_memory: None,
        };
        match self.register_queue(id, count, kind) {
            Ok(entries) => {
                let registry = Arc::clone(&self.buffers_mut().registry);
                let process = self.process();
                Ok(SendQueue::new(
                    self.id(),
                    id,
                    count,
                    entries,
                    registry,
                    process,
                ))
            }
            Err(error) => {
                self.buffers_mut().free_ids.push(id);
                Err(error)
            }
        }
    }

    /// Sets memory aside for `PROVIDE_BUFFERS`; the kernel hears of it from the operations.
    pub(crate) fn provided_buffers(
        &mut self,
        count: u16,
        size: u32,
    ) -> Result<ProvidedBuffers, Error> {
        self.check_process(Call::Build)?;
        let pool = pool(Call::Build, count, size)?;
        let id = self.take_group_id(Call::Build)?;
        let group = self.group(id, pool, Supply::Stock(Stock::new(count)), false);
        Ok(ProvidedBuffers::new(group))
    }

    /// `EINVAL` is what a kernel says that does not know the call, or one of its flags; nothing else can be wrong with the argument.
    fn explain_buffer_ring(&self, error: Error, kind: QueueKind<'_>) -> Error {
        if error.errno() != Some(libc::EINVAL) {
            return error;
        }
        let nowhere = std::ptr::without_provenance_mut(UNREADABLE);
        // SAFETY: the kernel cannot read an argument there, and changes nothing.
        let trial = unsafe { self.register(uring_sys::IORING_REGISTER_PBUF_RING, nowhere, 1) };
        let hint = match trial {
            Err(trial) if trial.errno() == Some(libc::EINVAL) => {
                Hint::needs_linux(5, 19, &"IORING_REGISTER_PBUF_RING is refused")
            }
            _ => match kind.missing() {
                Some(hint) => hint,
                None => return error,
            },
        };
        error.with_hint(hint)
    }

    fn group(&mut self, id: u16, pool: Pool, supply: Supply, incremental: bool) -> Arc<Group> {
        let registry = Arc::clone(&self.buffers_mut().registry);
        Group::new(
            self.id(),
            id,
            pool,
            supply,
            incremental,
            registry,
            self.process(),
        )
    }

    fn take_group_id(&mut self, call: Call) -> Result<u16, Error> {
        if self.buffers().has_waiting() {
            self.tend_buffers();
        }
        let hint =
            Hint::contradiction(&"the ring has as many groups of buffers as there are numbers for");
        let id = self.buffers_mut().take_id();
        id.ok_or_else(|| Error::refused(call, hint))
    }

    /// Unregisters groups that nobody uses any more, and gives buffers back whose end had to be confirmed.
    #[cold]
    pub(crate) fn tend_buffers(&mut self) {
        let waiting = self.buffers().registry.take();
        for group in waiting.doubtful {
            if let Some(group) = group.upgrade() {
                if let Supply::Queue(queue) = &mut *group.supply() {
                    queue.settle(group.pool(), self.buffer_ring_head(group.id));
                }
            }
        }
        for remains in waiting.remains {
            let is_gone =
                |core: &Core| !remains.registered || core.unregister_group(remains.id).is_ok();
            if remains.is_queue && is_gone(self) {
                self.buffers_mut().free_ids.push(remains.id);
            } else {
                self.buffers_mut().kept.push(remains);
            }
        }
    }

    /// Takes a group away while its leases may be alive.
    pub(crate) fn unregister_buffer_ring(&self, group: &Group) -> Result<(), Error> {
        let call = Call::register(uring_sys::IORING_UNREGISTER_PBUF_RING);
        self.check_registered(group, call)?;
        if group.users() > 0 {
            return Err(Error::refused(call, Hint::StillInUse));
        }
        self.unregister_group(group.id)?;
        group.set_unregistered();
        Ok(())
    }

    /// Refuses groups of another ring, and those that were taken away.
    fn check_registered(&self, group: &Group, call: Call) -> Result<(), Error> {
        self.check_process(call)?;
        let refused = |hint| Error::refused(call, hint);
        group.belongs_to(self.id()).map_err(refused)?;
        if group.is_registered() {
            Ok(())
        } else {
            Err(refused(Hint::contradiction(&"the group was unregistered")))
        }
    }

    /// How many buffers of the group the kernel has taken, modulo 2^16.
    pub(crate) fn buffer_ring_taken(&self, group: &Group) -> Result<u16, Error> {
        let call = Call::register(uring_sys::IORING_REGISTER_PBUF_STATUS);
        self.check_registered(group, call)?;
        self.buffer_ring_head(group.id)
    }

    /// How many buffers of the group the kernel has and has not taken.
    pub(crate) fn buffer_ring_available(&self, group: &Group) -> Result<u16, Error> {
        let head = self.buffer_ring_taken(group)?;
        let tail = group.supply().queue().map_or(head, |queue| queue.tail());
        Ok(tail.wrapping_sub(head))
    }

    fn unregister_group(&self, id: u16) -> Result<(), Error> {
        let mut arg = io_uring_buf_reg {
            bgid: id,
            ..io_uring_buf_reg::default()
        };
        let arg = (&raw mut arg).cast::<c_void>();
        // SAFETY: one structure of the kernel's type, read during the call.
        unsafe { self.register(uring_sys::IORING_UNREGISTER_PBUF_RING, arg, 1) }.map(drop)
    }

    fn buffer_ring_head(&self, id: u16) -> Result<u16, Error> {
        let mut status = io_uring_buf_status {
            buf_group: u32::from(id),
            ..io_uring_buf_status::default()
        };
        let arg = (&raw mut status).cast::<c_void>();
        // SAFETY: one structure of the kernel's type, read and written during the call.
        let told = unsafe { self.register(uring_sys::IORING_REGISTER_PBUF_STATUS, arg, 1) };
        told.map_err(|error| {
            if error.errno() == Some(libc::EINVAL) {
                let evidence = &"IORING_REGISTER_PBUF_STATUS is refused for a registered group";
                error.with_hint(Hint::needs_linux(6, 8, evidence))
            } else {
                error
            }
        })?;
        let call = Call::register(uring_sys::IORING_REGISTER_PBUF_STATUS);
        u16::try_from(status.head).map_err(|_| Error::sys(call, Errno::EOVERFLOW))
    }
}

fn check_count(call: Call, count: u16) -> Result<(), Error> {
    if count.is_power_of_two() && count <= MOST {
        return Ok(());
    }
    let hint =
        Hint::contradiction(&"a buffer ring has a power of two of buffers, and at most 32768");
    Err(Error::refused(call, hint))
}

fn pool(call: Call, count: u16, size: u32) -> Result<Pool, Error> {
    if count == 0 || size == 0 {
        let hint = Hint::contradiction(&"a group has at least one buffer of at least one byte");
        return Err(Error::refused(call, hint));
    }
    Pool::new(count, size).ok_or_else(|| Error::sys(call, Errno::ENOMEM))
}
