//! The buffers that rings have registered: who owns their memory, who has them, and in whose table they are.

use std::any::Any;
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::fork::Process;
use crate::resource::RegisteredBuf;

/// Memory that can be [registered](crate::Ring::register_buf) with rings: a `Box<[u8]>`, the length of a `Vec<u8>`, [`HugePages`](crate::HugePages),
/// or a type of the caller's.
///
/// ```
/// use std::ptr::NonNull;
/// use uring::BufferMemory;
///
/// /// A page that does not move.
/// struct Page(Box<[u8; 4096]>);
///
/// // SAFETY: initialised heap memory that the value owns.
/// unsafe impl BufferMemory for Page {
///     fn bytes(&mut self) -> NonNull<[u8]> {
///         NonNull::from(self.0.as_mut_slice())
///     }
/// }
///
/// # let mut ring = uring::Ring::best(8)?;
/// ring.register_buffers_sparse(1)?;
/// ring.register_buf(0, Page(Box::new([0; 4096])))?;
/// # Ok::<(), uring::Error>(())
/// ```
///
/// # Safety
///
/// [`bytes`](BufferMemory::bytes) gives initialised memory that the value owns, or has borrowed exclusively: the same each time, wherever the value
/// is moved, for as long as it lives. It does nothing else.
pub unsafe trait BufferMemory: Send + 'static {
    /// The memory.
    fn bytes(&mut self) -> NonNull<[u8]>;

    /// Whether a forked child does not inherit it.
    #[doc(hidden)]
    const STAYS_AT_HOME: bool = false;
}

// SAFETY: heap memory owned by the box, which initialises it.
unsafe impl BufferMemory for Box<[u8]> {
    fn bytes(&mut self) -> NonNull<[u8]> {
        NonNull::from(&mut **self)
    }
}

// SAFETY: heap memory owned by the vector, initialised up to its length, which cannot change while somebody else has the vector.
unsafe impl BufferMemory for Vec<u8> {
    fn bytes(&mut self) -> NonNull<[u8]> {
        NonNull::from(self.as_mut_slice())
    }
}

// SAFETY: memory that is borrowed exclusively and for ever.
unsafe impl BufferMemory for &'static mut [u8] {
    fn bytes(&mut self) -> NonNull<[u8]> {
        NonNull::from(&mut **self)
    }
}

/// The memory of one buffer: all rings that have it registered and all who use it own it together (M7).
struct Memory {
    bytes: NonNull<[u8]>,
    /// How many parts of it somebody has, from whichever ring.
    leases: AtomicUsize,
    /// The process that the memory is found in, where its children do not have it.
    home: Option<Process>,
    owner: Box<dyn Any + Send>,
}

// SAFETY: the owner may move between threads and is not looked into before nobody else has it; the address is used by whoever has a lease.
unsafe impl Send for Memory {}
// SAFETY: as above; what threads share is the counter.
unsafe impl Sync for Memory {}

impl Memory {
    fn new<M: BufferMemory>(memory: M, process: Process) -> Memory {
        // The memory's owner is where it stays before it is asked: moving a box is a claim to what it points to.
        let mut owner = Box::new(memory);
        Memory {
            bytes: owner.bytes(),
            leases: AtomicUsize::new(0),
            home: M::STAYS_AT_HOME.then_some(process),
            owner,
        }
    }
}

/// A buffer in a ring's table.
struct Slot {
    ring: u64,
    index: u16,
    memory: Arc<Memory>,
}

/// The right to use a part of a buffer, under the name that a ring has for it.
pub(crate) struct Lease(Arc<Slot>);

impl Lease {
    /// The first one, unless somebody has a part of the buffer, from this ring or another.
    fn first(slot: &Arc<Slot>) -> Option<Lease> {
        let leases = &slot.memory.leases;
        // Acquires what whoever had it has done.
        let first = leases.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed);
        first.is_ok().then(|| Lease(Arc::clone(slot)))
    }

    /// Another one, which the caller has split off or will have instead of one.
    fn another(slot: &Arc<Slot>) -> Lease {
        slot.memory.leases.fetch_add(1, Ordering::Relaxed);
        Lease(Arc::clone(slot))
    }

    pub(crate) fn index(&self) -> u16 {
        self.0.index
    }

    pub(crate) fn ring(&self) -> u64 {
        self.0.ring
    }

    pub(crate) fn bytes(&self) -> NonNull<[u8]> {
        self.0.memory.bytes
    }

    /// Whether this process has the memory.
    pub(crate) fn is_here(&self) -> bool {
        self.0.memory.home.is_none_or(Process::is_current)
    }
}

impl Clone for Lease {
    fn clone(&self) -> Lease {
        Lease::another(&self.0)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.memory.leases.fetch_sub(1, Ordering::Release);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("index", &self.index())
            .finish_non_exhaustive()
    }
}

/// A buffer that was taken out of a ring's table.
///
/// It is given back by [`into_memory`](UnregisteredBuf::into_memory) once nothing else has it: another ring may have it
/// [too](crate::Ring::clone_buffers). Dropping it leaves it to them, or frees it.
pub struct UnregisteredBuf(Arc<Memory>);

impl UnregisteredBuf {
    /// The memory that was registered.
    ///
    /// # Errors
    ///
    /// It comes back as it was if that is not the type of the memory, and while another ring has it registered or somebody uses it from there.
    pub fn into_memory<M: BufferMemory>(self) -> Result<M, UnregisteredBuf> {
        if !self.0.owner.is::<M>() {
            return Err(self);
        }
        let memory = Arc::try_unwrap(self.0).map_err(UnregisteredBuf)?;
        match memory.owner.downcast::<M>() {
            Ok(owner) => Ok(*owner),
            Err(_) => unreachable!("its type was compared"),
        }
    }
}

impl fmt::Debug for UnregisteredBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnregisteredBuf")
            .field("len", &self.0.bytes.len())
            .finish_non_exhaustive()
    }
}

/// The buffers that a ring has, by their index.
pub(crate) struct BufferTable {
    ring: u64,
    process: Process,
    slots: Vec<Option<Arc<Slot>>>,
}

impl BufferTable {
    /// A table of empty slots.
    pub(crate) fn new(ring: u64, process: Process, len: usize) -> BufferTable {
        BufferTable {
            ring,
            process,
            slots: (0..len).map(|_| None).collect(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    fn slot(&self, index: usize, memory: Arc<Memory>) -> Option<Arc<Slot>> {
        // The kernel has no table with more slots.
        let index = u16::try_from(index).ok()?;
        let ring = self.ring;
        Some(Arc::new(Slot {
            ring,
            index,
            memory,
        }))
    }

    /// What the kernel has taken into a slot that was empty.
    pub(crate) fn fill<M: BufferMemory>(&mut self, index: usize, memory: M) {
        let memory = Arc::new(Memory::new(memory, self.process));
        self.slots[index] = self.slot(index, memory);
    }

    /// Whether the slot is there, and what is in it.
    pub(crate) fn holds(&self, index: usize) -> Option<bool> {
        self.slots.get(index).map(Option::is_some)
    }

    /// Whether somebody uses the buffer from this ring.
    pub(crate) fn is_used(&self, index: usize) -> bool {
        let slot = self.slots.get(index).and_then(Option::as_ref);
        slot.is_some_and(|slot| Arc::strong_count(slot) > 1)
    }

    /// Takes a buffer out that the kernel has let go of.
    pub(crate) fn take(&mut self, index: usize) -> Option<UnregisteredBuf> {
        let slot = self.slots.get_mut(index)?.take()?;
        Some(UnregisteredBuf(Arc::clone(&slot.memory)))
    }

    /// Everything that the kernel has let go of.
    pub(crate) fn into_buffers(self) -> Vec<Option<UnregisteredBuf>> {
        let buffer = |slot: Arc<Slot>| UnregisteredBuf(Arc::clone(&slot.memory));
        let slots = self.slots.into_iter();
        slots.map(|slot| slot.map(buffer)).collect()
    }

    /// The buffer with that index, unless somebody has it.
    pub(crate) fn give_out(&mut self, index: usize) -> Option<RegisteredBuf> {
        let slot = self.slots.get(index)?.as_ref()?;
        Lease::first(slot).map(RegisteredBuf::whole)
    }

    /// The lease of the same memory under the name that it has here.
    pub(crate) fn find(&self, lease: &Lease) -> Option<Lease> {
        let is_same = |slot: &&Arc<Slot>| Arc::ptr_eq(&slot.memory, &lease.0.memory);
        self.slots
            .iter()
            .flatten()
            .find(is_same)
            .map(Lease::another)
    }

    /// Has what the kernel has copied from `source`, and gives what that has displaced.
    pub(crate) fn copy(
        &mut self,
        source: &BufferTable,
        range: std::ops::Range<usize>,
        at: usize,
    ) -> Vec<UnregisteredBuf> {
        let len = self.len().max(at + range.len());
        self.slots.resize_with(len, || None);
        let mut displaced = Vec::new();
        for (index, copied) in (at..).zip(&source.slots[range]) {
            displaced.extend(self.take(index));
            let memory = copied.as_ref().map(|slot| Arc::clone(&slot.memory));
            self.slots[index] = memory.and_then(|memory| self.slot(index, memory));
        }
        displaced
    }
}
