//! A ring for whatever thread calls.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::{Arc, OnceLock, Weak};

use crate::builder::Builder;
use crate::error::{Call, Error, Hint};
use crate::handle::Any;
use crate::op::Operation;
use crate::ring::Ring;

/// A ring for each thread that asks, made on first use.
///
/// It is for libraries that are called from threads which they have not made: the first call on a thread makes that thread's ring with the
/// least visible handle that the kernel has ([`Builder::build_best`]), later calls find it, and when the thread ends it is drained
/// and its slot given back. It works as a `static` and as a field; when a field is dropped, each thread drops its ring the next time that it
/// uses any `PerThread`, or when it ends.
///
/// In a forked child the parent's ring is replaced by one of the child's own.
///
/// ```
/// use uring::PerThread;
/// use uring::op::Nop;
///
/// static RINGS: PerThread = PerThread::new(8);
///
/// let thread = std::thread::spawn(|| RINGS.with(|ring| ring.call(Nop::new())));
/// thread.join().unwrap()???;
/// RINGS.with(|ring| ring.call(Nop::new()))???;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: the NOTES of `io_uring_close_ring_fd(3)` and `io_uring_register_ring_fd(3)`.
pub struct PerThread {
    builder: Builder<'static>,
    /// What the threads' entries know their owner by; gone when the owner is.
    owner: OnceLock<Arc<()>>,
}

impl PerThread {
    /// Rings with room for `entries` entries.
    #[must_use]
    pub const fn new(entries: u32) -> PerThread {
        PerThread::from_builder(Builder::new(entries))
    }

    /// Rings as the builder describes them.
    #[must_use]
    pub const fn from_builder(builder: Builder<'static>) -> PerThread {
        PerThread {
            builder,
            owner: OnceLock::new(),
        }
    }

    /// Calls `body` with the calling thread's ring.
    ///
    /// # Errors
    ///
    /// - [`is_nested`](Error::is_nested): the thread is inside `with` of the same `PerThread` already;
    /// - the thread is ending, and its rings are gone;
    /// - the ring cannot be made: see [`Builder::build_best`]. The next call tries again.
    pub fn with<R>(&self, body: impl FnOnce(&mut Ring<Any>) -> R) -> Result<R, Error> {
        let cell = self.cell()?;
        let Ok(mut ring) = cell.try_borrow_mut() else {
            return Err(Error::refused(Call::PerThread, Hint::Nested));
        };
        if ring
            .as_ref()
            .is_some_and(|ring| ring.core().check_process(Call::PerThread).is_err())
        {
            *ring = None;
        }
        let ring = match &mut *ring {
            Some(ring) => ring,
            none => none.insert(self.builder.build_best()?),
        };
        Ok(body(ring))
    }

    /// Runs one operation on the calling thread's ring and waits for it: [`Ring::call`] within [`with`](PerThread::with).
    ///
    /// ```
    /// use uring::PerThread;
    /// use uring::op::Read;
    ///
    /// static RINGS: PerThread = PerThread::new(8);
    ///
    /// let file = std::fs::File::open("/proc/version")?;
    /// let done = RINGS.call(Read::new(&file, Vec::with_capacity(4096)))?;
    /// assert!(done.result? > 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of `with`, and of [`Ring::call`].
    pub fn call<O: Operation>(&self, op: O) -> Result<O::Output, Error> {
        self.with(|ring| ring.call(op))?
    }

    /// The calling thread's place for this owner's ring.
    fn cell(&self) -> Result<Rc<RingCell>, Error> {
        let owner = self.owner.get_or_init(|| Arc::new(()));
        let found = RINGS.try_with(|rings| {
            let mut rings = rings.borrow_mut();
            (rings.find_or_insert(owner), rings.take_ownerless())
        });
        // Rings drain when they are dropped, which is here, where the list is free again.
        found
            .map(|(cell, _ownerless)| cell)
            .map_err(|_| Error::refused(Call::PerThread, Hint::ThreadExiting))
    }
}

impl fmt::Debug for PerThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerThread")
            .field("builder", &self.builder)
            .finish_non_exhaustive()
    }
}

type RingCell = RefCell<Option<Ring<Any>>>;

thread_local! {
    static RINGS: RefCell<Rings> = const { RefCell::new(Rings(Vec::new())) };
}

/// The rings of one thread.
struct Rings(Vec<Entry>);

struct Entry {
    owner: Weak<()>,
    ring: Rc<RingCell>,
}

impl Entry {
    fn has_owner(&self) -> bool {
        self.owner.strong_count() > 0
    }
}

impl Rings {
    fn take_ownerless(&mut self) -> Vec<Entry> {
        if self.0.iter().all(Entry::has_owner) {
            return Vec::new();
        }
        let (kept, ownerless) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(Entry::has_owner);
        self.0 = kept;
        ownerless
    }

    fn find_or_insert(&mut self, owner: &Arc<()>) -> Rc<RingCell> {
        let found = self
            .0
            .iter()
            .find(|entry| std::ptr::eq(entry.owner.as_ptr(), Arc::as_ptr(owner)));
        if let Some(entry) = found {
            return Rc::clone(&entry.ring);
        }
        let ring = Rc::new(RefCell::new(None));
        self.0.push(Entry {
            owner: Arc::downgrade(owner),
            ring: Rc::clone(&ring),
        });
        ring
    }
}
