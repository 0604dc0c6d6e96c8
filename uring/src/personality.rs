//! Credentials that are registered with a ring.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use uring_sys::Errno;

use crate::engine::Core;
use crate::error::{Call, Error, Hint};
use crate::handle::Handle;
use crate::push::Push;
use crate::ring::Ring;

/// Credentials of a thread that are registered with a ring: operations can be [pushed](Push::personality) to run with them.
///
/// They are what the thread had when it registered them: user, groups and capabilities, and what security modules add. It takes no privilege
/// to use them; whoever has the ring has the credentials.
///
/// Dropping the personality unregisters it, when the kernel has taken the entries that name it; operations in flight keep their
/// credentials. It ends with its ring at the latest.
///
/// ```
/// use uring::Push;
/// use uring::op::OpenAt;
///
/// # let mut ring = uring::Ring::best(8)?;
/// // The thread might give up its privileges after this.
/// let before = ring.register_personality()?;
/// let token = ring.push_with(OpenAt::new(c"/proc/version"), Push::new().personality(&before))?;
/// ring.wait(token)?.result?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_register_personality(3)`, `credentials(7)`.
#[derive(Debug)]
#[must_use = "dropping it unregisters it"]
pub struct Personality {
    named: Named,
    dropped: Arc<Dropped>,
}

/// What a push knows of a personality.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    id: NonZeroU16,
    /// Ids are used again; these are not, until there have been 2³² of them.
    serial: u32,
    ring: u64,
}

/// Without a lock: a child forked while another thread held it would wait for ever.
#[derive(Debug)]
struct Dropped {
    this: AtomicBool,
    any: Arc<AtomicBool>,
}

impl Personality {
    /// The kernel's number, for [`RawEntry::personality`](crate::op::RawEntry::personality).
    #[must_use]
    pub fn id(&self) -> u16 {
        self.named.id.get()
    }

    pub(crate) const fn named(&self) -> Named {
        self.named
    }
}

impl Drop for Personality {
    fn drop(&mut self) {
        self.dropped.this.store(true, Ordering::Release);
        self.dropped.any.store(true, Ordering::Release);
    }
}

impl Named {
    pub(crate) const fn id(self) -> u16 {
        self.id.get()
    }
}

/// The ring's side of its personalities.
#[derive(Debug, Default)]
pub(crate) struct Personalities {
    registered: Vec<(Named, Arc<Dropped>)>,
    any_dropped: Arc<AtomicBool>,
    next_serial: u32,
}

impl Personalities {
    #[inline]
    pub(crate) fn has_dropped(&self) -> bool {
        !self.registered.is_empty() && self.any_dropped.load(Ordering::Acquire)
    }

    fn add(&mut self, id: NonZeroU16, ring: u64) -> Personality {
        let named = Named {
            id,
            serial: self.next_serial,
            ring,
        };
        self.next_serial = self.next_serial.wrapping_add(1);
        let dropped = Arc::new(Dropped {
            this: AtomicBool::new(false),
            any: Arc::clone(&self.any_dropped),
        });
        self.registered.push((named, Arc::clone(&dropped)));
        Personality { named, dropped }
    }

    fn has(&self, named: Named) -> bool {
        let mut registered = self.registered.iter();
        registered.any(|(known, dropped)| *known == named && !dropped.this.load(Ordering::Acquire))
    }

    /// Forgets those that were dropped, and gives their ids. What is dropped meanwhile is found now or the next time.
    fn take_dropped(&mut self) -> Vec<NonZeroU16> {
        let mut taken = Vec::new();
        self.any_dropped.store(false, Ordering::SeqCst);
        self.registered.retain(|(named, dropped)| {
            let is_dropped = dropped.this.load(Ordering::SeqCst);
            if is_dropped {
                taken.push(named.id);
            }
            !is_dropped
        });
        taken
    }
}

impl<H: Handle> Ring<H> {
    /// Registers the calling thread's credentials as they are now.
    ///
    /// Since Linux 5.6.
    ///
    /// # Errors
    ///
    /// - the ring has 65535 of them;
    /// - [`is_forked`](Error::is_forked), and others of `io_uring_register(2)`.
    #[doc(alias = "io_uring_register_personality")]
    #[doc(alias = "IORING_REGISTER_PERSONALITY")]
    #[doc(alias = "io_uring_unregister_personality")]
    #[doc(alias = "IORING_UNREGISTER_PERSONALITY")]
    pub fn register_personality(&mut self) -> Result<Personality, Error> {
        self.core_mut().register_personality()
    }
}

impl Core {
    fn register_personality(&mut self) -> Result<Personality, Error> {
        const OPCODE: u32 = uring_sys::IORING_REGISTER_PERSONALITY;
        // SAFETY: the opcode takes no argument.
        let id = unsafe { self.register(OPCODE, std::ptr::null_mut(), 0) }?;
        let ring = self.id();
        match u16::try_from(id).ok().and_then(NonZeroU16::new) {
            Some(id) => Ok(self.personalities_mut().add(id, ring)),
            None => Err(Error::sys(Call::register(OPCODE), Errno::EOVERFLOW)),
        }
    }

    /// Refuses a push with credentials that are not registered with this ring, or not any more.
    #[inline]
    pub(crate) fn admit_push(&self, push: Push) -> Result<(), Hint> {
        match push.named() {
            None => Ok(()),
            Some(named) => self.admit_personality(named),
        }
    }

    #[cold]
    fn admit_personality(&self, named: Named) -> Result<(), Hint> {
        if named.ring != self.id() {
            Err(Hint::WrongRing)
        } else if self.personalities().has(named) {
            Ok(())
        } else {
            Err(Hint::contradiction(
                &"the personality was dropped, and its credentials are not registered any more",
            ))
        }
    }

    /// Unregisters what was dropped, unless entries are left in the queue that may name it.
    #[cold]
    pub(crate) fn unregister_dropped_personalities(&mut self) {
        if self.queued() > 0 {
            return;
        }
        for id in self.personalities_mut().take_dropped() {
            let opcode = uring_sys::IORING_UNREGISTER_PERSONALITY;
            // What a restricted ring may not unregister ends with the ring.
            // SAFETY: the opcode takes no argument.
            let _ = unsafe { self.register(opcode, std::ptr::null_mut(), id.get().into()) };
        }
    }
}
