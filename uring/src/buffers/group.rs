//! What a group's handles, its operations and its leases have in common.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::buffers::pool::Pool;
use crate::buffers::provided::Stock;
use crate::buffers::registry::{Registry, Remains};
use crate::buffers::ring::Queue;
use crate::error::Hint;
use crate::fork::Process;

/// One group. The memory goes back to the registry of its ring when the last handle, operation and lease are gone.
pub struct Group {
    pub(crate) ring: u64,
    pub(crate) id: u16,
    /// `None` only while it is being dropped.
    memory: Option<(Pool, Mutex<Supply>)>,
    incremental: bool,
    /// Whether the kernel knows the group.
    registered: AtomicBool,
    /// Operations that were pushed and not redeemed, where somebody has to know.
    users: AtomicU32,
    registry: Arc<Registry>,
    process: Process,
}

/// How buffers come to the kernel.
pub(crate) enum Supply {
    Queue(Queue),
    Stock(Stock),
}

impl Group {
    pub(crate) fn new(
        ring: u64,
        id: u16,
        pool: Pool,
        supply: Supply,
        incremental: bool,
        registry: Arc<Registry>,
        process: Process,
    ) -> Arc<Group> {
        Arc::new(Group {
            ring,
            id,
            memory: Some((pool, Mutex::new(supply))),
            incremental,
            registered: AtomicBool::new(true),
            users: AtomicU32::new(0),
            registry,
            process,
        })
    }

    fn memory(&self) -> &(Pool, Mutex<Supply>) {
        match &self.memory {
            Some(memory) => memory,
            None => unreachable!("it is taken out by the destructor only"),
        }
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.memory().0
    }

    pub(crate) fn is_incremental(&self) -> bool {
        self.incremental
    }

    pub(crate) fn is_registered(&self) -> bool {
        self.registered.load(Ordering::Acquire)
    }

    /// The kernel has forgotten the group. Its number stays taken: an operation may still name it.
    pub(crate) fn set_unregistered(&self) {
        self.registered.store(false, Ordering::Release);
    }

    /// Whether this is not a copy that came through `fork`. There another thread of the parent's may have held the lock.
    pub(crate) fn is_ours(&self) -> bool {
        self.process.is_current()
    }

    /// The supply. Nothing under the lock is left half done by a panic: there is no code of anybody else's in it.
    pub(crate) fn supply(&self) -> MutexGuard<'_, Supply> {
        self.memory()
            .1
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Refuses another ring than the one that the group was made with.
    pub(crate) fn belongs_to(&self, ring: u64) -> Result<(), Hint> {
        if self.ring == ring {
            Ok(())
        } else {
            Err(Hint::WrongRing)
        }
    }

    /// Counts an operation in; of those that take from incremental buffers there may be one at a time.
    ///
    /// Only so is it certain which part of a buffer a completion is about: with several operations the kernel tells of the parts in another
    /// order than it gave them out.
    pub(crate) fn enter(&self) -> Result<(), Hint> {
        if !self.incremental {
            self.users.fetch_add(1, Ordering::AcqRel);
            return Ok(());
        }
        let entered = self
            .users
            .compare_exchange(0, 1, Ordering::AcqRel, Ordering::Acquire);
        entered.map(drop).map_err(|_| {
            Hint::contradiction(
                &"an operation that takes from this incremental buffer ring is in flight or not redeemed",
            )
        })
    }

    pub(crate) fn leave(&self) {
        self.users.fetch_sub(1, Ordering::AcqRel);
    }

    pub(crate) fn users(&self) -> u32 {
        self.users.load(Ordering::Acquire)
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let Some((pool, supply)) = self.memory.take() else {
            return;
        };
        // A child's copy of a mapping or of heap memory is the child's to free.
        if self.process.is_current() {
            let supply = supply.into_inner().unwrap_or_else(PoisonError::into_inner);
            let registered = *self.registered.get_mut();
            self.registry
                .hand_in(Remains::new(self.id, pool, supply, registered));
        }
    }
}
