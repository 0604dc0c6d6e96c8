//! How an operation is pushed: what is asked of the kernel beside the operation itself.

use crate::entry::Entry;
use crate::personality::Personality;

/// Options of one push.
///
/// Links are not among them: they are a property of a [`Chain`](crate::Chain). Nor is leaving successful completions out
/// (`IOSQE_CQE_SKIP_SUCCESS`): an operation that never completes could not give its resources back, but
/// [in a chain](crate::Chain::skip_success). The members of a chain may have
/// different options: [`Chain::with`](crate::Chain::with).
///
/// ```
/// use uring::Push;
/// use uring::op::{Fsync, Write};
///
/// # let mut ring = uring::Ring::best(8)?;
/// # let path = std::env::temp_dir().join(format!("uring-doc-push-{}", std::process::id()));
/// let file = std::sync::Arc::new(std::fs::File::create(&path)?);
/// let write = ring.push(Write::new(file.clone(), "all of it"))?;
/// // Not before everything that was pushed has completed.
/// let sync = ring.push_with(Fsync::new(file), Push::new().drain())?;
/// ring.wait(sync)?.result?;
/// assert_eq!(ring.wait(write)?.result?, 9);
/// # std::fs::remove_file(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[doc(alias = "io_uring_sqe_set_flags")]
#[must_use]
pub struct Push {
    flags: u8,
    /// Zero for the credentials of whoever submits.
    personality: u16,
    /// Of a personality that has to be looked up before the push; zero otherwise.
    serial: u32,
}

// Each member of a chain has one, and what is refused is given back by value.
static_assertions::const_assert!(size_of::<Push>() <= 8);

impl Push {
    /// No options.
    pub const fn new() -> Push {
        Push {
            flags: 0,
            personality: 0,
            serial: 0,
        }
    }

    /// Starts the operation only when everything submitted before it has completed, and nothing after it before it has.
    ///
    /// The kernel refuses it with `EOPNOTSUPP` on a ring that has ever left out a successful completion: that of a
    /// [chain](crate::Chain::skip_success), or of what aligns a 128-byte entry in a queue of [mixed](crate::EntrySize::Mixed) ones.
    ///
    /// The kernel goes on holding everything back, operation for operation, until one is pushed while nothing else is in flight: on a ring
    /// with operations that last, such as a multishot accept, a drain is the end of all that comes after it. Since Linux 6.16 a worker that has run what
    /// was held back may have it in flight a little longer than its completion shows. A scope that is left while
    /// its operations are held back waits for what they wait for.
    ///
    /// It would hold cancellations back too, so after a drain they go by a call. Before Linux 6.0 there is no such call: then what comes before
    /// the drain cannot be cancelled, and a ring that is dropped in that state gives it up after a second
    /// ([`leaked_operations`](crate::leaked_operations)).
    ///
    /// Drains and zero-copy sends do not go together. Such a send is [refused](crate::Error::is_drain_conflict) as a drain and where one may
    /// hold it back, since Linux 6.16 and newer would never run it; they do not show either when a drain has let go, so there it is refused on every
    /// ring that has had one, while before 6.16 it is enough that nothing is in flight. And a drain is refused on a ring that has had such a send, since before
    /// 6.16 it would never start. Whoever pushes raw operations has to see to that.
    ///
    /// Nor do they go together with a multishot operation that [stops](crate::op::EndReason::Stopped) since its completion found no room: before
    /// Linux 6.16 the kernel counts what it did not complete, and no drain of that ring starts any more. From then on drains are refused there too;
    /// one that was waiting waits for ever, and the end of the ring gives it up after a second. A completion queue with room for all that may come
    /// keeps it from happening. A [scope](crate::Ring::scope) cannot give up what it has borrowed, so on those kernels it takes no drain while a multishot
    /// operation is in flight, nor anything behind a drain that was pushed outside while one was, until that has ended. And a ring that has had a multishot
    /// operation [without a token](crate::Ring::push_raw) takes no drain at all, since only its user knows how it ended; of a
    /// [`RawEntry`](crate::op::RawEntry) not even that is known, and whoever pushes one has to see to it.
    #[doc(alias = "IOSQE_IO_DRAIN")]
    pub const fn drain(self) -> Push {
        self.with(uring_sys::IOSQE_IO_DRAIN)
    }

    /// Hands the operation to a worker thread of the kernel without trying it first.
    ///
    /// Since Linux 5.6. For what is known to block, it saves the attempt.
    #[doc(alias = "IOSQE_ASYNC")]
    pub const fn always_async(self) -> Push {
        self.with(uring_sys::IOSQE_ASYNC)
    }

    /// Runs the operation with [registered credentials](crate::Ring::register_personality). Since Linux 5.6.
    ///
    /// The push is refused if the personality is of another ring or was dropped
    /// ([`is_wrong_ring`](crate::Error::is_wrong_ring)).
    #[doc(alias = "io_uring_register_personality")]
    pub const fn personality(self, personality: &Personality) -> Push {
        Push {
            personality: personality.id(),
            serial: personality.serial(),
            ..self
        }
    }

    /// Runs the operation with credentials that were registered by other means than this library's. Since Linux 5.6.
    ///
    /// An id that is not registered makes the operation fail with `EINVAL`.
    pub const fn personality_id(self, id: u16) -> Push {
        Push {
            personality: id,
            serial: 0,
            ..self
        }
    }

    /// The serial number of the personality that has to be looked up before the push; zero if there is none.
    pub(crate) const fn personality_serial(self) -> u32 {
        self.serial
    }

    /// Ties the operation to the next one of its chain.
    pub(crate) const fn linked(self, link: u8) -> Push {
        self.with(link)
    }

    pub(crate) const fn drains(self) -> bool {
        self.flags & uring_sys::IOSQE_IO_DRAIN != 0
    }

    /// Whether nothing has to be looked up or noted for it.
    pub(crate) const fn is_plain(self) -> bool {
        !self.drains() && self.serial == 0
    }

    /// Leaves the completion out if the operation succeeds.
    pub(crate) const fn skipping_success(self, skips: bool) -> Push {
        if skips {
            self.with(uring_sys::IOSQE_CQE_SKIP_SUCCESS)
        } else {
            self
        }
    }

    const fn with(self, flag: u8) -> Push {
        Push {
            flags: self.flags | flag,
            ..self
        }
    }

    #[inline]
    pub(crate) fn apply(self, entry: &mut Entry) {
        entry.add_flags(self.flags);
        entry.set_personality(self.personality);
    }
}
