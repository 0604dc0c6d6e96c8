//! Which of the calling thread's ring slots are taken.

use std::fmt;

use uring_sys::{Errno, IORING_ENTER_REGISTERED_RING};

use crate::{
    forbidden::{Cause, Forbidden},
    sys,
};

/// How many rings one thread can register.
pub const SLOTS: usize = 16;

/// The ring slots of one thread at one moment.
///
/// Looking submits nothing and waits for nothing: it enters each slot with no work. A ring that has task work
/// pending may complete some of it, as with any entry into the kernel.
///
/// # Examples
///
/// ```
/// use uring_testkit::{Slots, raw::RawRing};
///
/// let before = Slots::of_this_thread()?;
/// let mut ring = RawRing::new(4, 0)?;
/// ring.register()?;
/// assert_eq!(Slots::of_this_thread()?.taken(), before.taken() + 1);
/// drop(ring);
/// assert_eq!(Slots::of_this_thread()?, before);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Slots([bool; SLOTS]);

impl Slots {
    /// Looks at the calling thread's table.
    ///
    /// # Errors
    ///
    /// The kernel's answer for a slot is neither that of a taken nor that of a free one.
    pub fn of_this_thread() -> Result<Self, String> {
        let mut taken = [false; SLOTS];
        for (index, taken) in (0..).zip(&mut taken) {
            *taken = match sys::enter(index, 0, 0, IORING_ENTER_REGISTERED_RING) {
                // A ring that is disabled, overflown or without its polling thread is a ring.
                Ok(_) | Err(Errno::EBADFD | Errno::EBUSY | Errno::EOWNERDEAD) => true,
                // A thread that never used io_uring answers with EINVAL.
                Err(Errno::EBADF | Errno::EINVAL) => false,
                Err(Errno::EPERM | Errno::EACCES | Errno::ENOSYS) if no_ring_can_be_made() => false,
                Err(other) => return Err(format!("slot {index} cannot be looked at: {other}")),
            };
        }
        Ok(Self(taken))
    }

    /// Whether slot `index` is taken.
    ///
    /// # Panics
    ///
    /// There is no such slot.
    #[must_use]
    pub const fn is_taken(&self, index: usize) -> bool {
        self.0[index]
    }

    /// How many are taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.0.iter().filter(|taken| **taken).count()
    }
}

/// Whether a filter has been there since before the suite, which has seen it: filters are never lifted.
fn no_ring_can_be_made() -> bool {
    let filtered = |forbidden: Forbidden| {
        forbidden.call() == "io_uring_setup" && forbidden.cause() == Cause::SeccompFilter
    };
    matches!(Forbidden::declared(), Ok(Some(forbidden)) if filtered(forbidden))
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let taken = (0..SLOTS).filter(|index| self.0[*index]);
        f.debug_set().entries(taken).finish()
    }
}
