//! Credentials that are registered with a ring.

use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

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
#[doc(alias = "io_uring_unregister_personality")]
#[doc(alias = "IORING_UNREGISTER_PERSONALITY")]
#[must_use = "dropping it unregisters it"]
pub struct Personality {
    id: NonZeroU16,
    /// Ids are used again and each ring has its own; these are the process's, and not used again until there have been 2³² of them.
    serial: NonZeroU32,
    dropped: Arc<Dropped>,
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
    pub const fn id(&self) -> u16 {
        self.id.get()
    }

    pub(crate) const fn serial(&self) -> u32 {
        self.serial.get()
    }
}

impl Drop for Personality {
    fn drop(&mut self) {
        self.dropped.this.store(true, Ordering::Release);
        self.dropped.any.store(true, Ordering::Release);
    }
}

#[derive(Debug)]
struct Registered {
    id: NonZeroU16,
    serial: NonZeroU32,
    dropped: Arc<Dropped>,
}

/// The ring's side of its personalities.
#[derive(Debug, Default)]
pub(crate) struct Personalities {
    registered: Vec<Registered>,
    any_dropped: Arc<AtomicBool>,
}

impl Personalities {
    #[inline]
    pub(crate) fn has_dropped(&self) -> bool {
        !self.registered.is_empty() && self.any_dropped.load(Ordering::Acquire)
    }

    fn add(&mut self, id: NonZeroU16) -> Personality {
        let serial = next_serial();
        let dropped = Arc::new(Dropped {
            this: AtomicBool::new(false),
            any: Arc::clone(&self.any_dropped),
        });
        self.registered.push(Registered {
            id,
            serial,
            dropped: Arc::clone(&dropped),
        });
        Personality {
            id,
            serial,
            dropped,
        }
    }

    fn has(&self, serial: u32) -> bool {
        let mut registered = self.registered.iter();
        registered.any(|registered| {
            registered.serial.get() == serial && !registered.dropped.this.load(Ordering::Acquire)
        })
    }

    /// Forgets those that were dropped, and gives their ids. What is dropped meanwhile is found now or the next time.
    fn take_dropped(&mut self) -> Vec<NonZeroU16> {
        let mut taken = Vec::new();
        self.any_dropped.store(false, Ordering::SeqCst);
        self.registered.retain(|registered| {
            let is_dropped = registered.dropped.this.load(Ordering::SeqCst);
            if is_dropped {
                taken.push(registered.id);
            }
            !is_dropped
        });
        taken
    }
}

fn next_serial() -> NonZeroU32 {
    static LAST: AtomicU32 = AtomicU32::new(0);
    loop {
        let last = LAST.fetch_add(1, Ordering::Relaxed);
        if let Some(next) = NonZeroU32::new(last.wrapping_add(1)) {
            return next;
        }
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
    pub fn register_personality(&mut self) -> Result<Personality, Error> {
        self.core_mut().register_personality()
    }
}

impl Core {
    fn register_personality(&mut self) -> Result<Personality, Error> {
        const OPCODE: u32 = uring_sys::IORING_REGISTER_PERSONALITY;
        // SAFETY: the opcode takes no argument.
        let id = unsafe { self.register(OPCODE, std::ptr::null_mut(), 0) }?;
        match u16::try_from(id).ok().and_then(NonZeroU16::new) {
            Some(id) => Ok(self.personalities_mut().add(id)),
            None => Err(Error::sys(Call::register(OPCODE), Errno::EOVERFLOW)),
        }
    }

    /// Refuses a push with credentials that are not registered with this ring, or not any more.
    #[inline]
    pub(crate) fn admit_push(&self, push: Push) -> Result<(), Hint> {
        match push.personality_serial() {
            0 => Ok(()),
            serial => self.admit_personality(serial),
        }
    }

    #[cold]
    fn admit_personality(&self, serial: u32) -> Result<(), Hint> {
        if self.personalities().has(serial) {
            Ok(())
        } else {
            Err(Hint::WrongRing)
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
