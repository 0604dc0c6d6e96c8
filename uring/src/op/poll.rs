//! Waiting until something can be read, written, or has an error.

use std::io;

use bitflags::bitflags;

use crate::completion::Completion;
use crate::entry::Entry;
use crate::error::Hint;
use crate::op::{Completes, Ended, Multishot, Operation, RawOperation, admit_target, sealed};
use crate::resource::{Target, Untracked};

bitflags! {
    /// What to wait for, and what has come, as in `poll(2)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct PollEvents: u32 {
        /// There is something to read.
        #[doc(alias = "POLLIN")]
        const IN = 0x1;
        /// There is something urgent: out-of-band data, a changed control file.
        #[doc(alias = "POLLPRI")]
        const PRI = 0x2;
        /// It can be written to.
        #[doc(alias = "POLLOUT")]
        const OUT = 0x4;
        /// There is an error, or nobody reads the other end. Told of whether it was asked for or not.
        #[doc(alias = "POLLERR")]
        const ERR = 0x8;
        /// The other end is closed. Told of whether it was asked for or not.
        #[doc(alias = "POLLHUP")]
        const HUP = 0x10;
        /// The other end writes no more.
        #[doc(alias = "POLLRDHUP")]
        const RDHUP = 0x2000;
        /// Of several that wait for the same file, not all are woken (`EPOLLEXCLUSIVE`). Since Linux 5.9.
        #[doc(alias = "EPOLLEXCLUSIVE")]
        const EXCLUSIVE = 1 << 28;
        // The kernel has more of them.
        const _ = !0;
    }
}

impl PollEvents {
    fn told(completion: Completion) -> io::Result<PollEvents> {
        completion.result().map(PollEvents::from_bits_retain)
    }
}

/// Waits until something can be done with a file.
///
/// Reads and the like wait by themselves; this is for what other code will do then.
///
/// Since Linux 5.1.
///
/// ```
/// use std::io::Write;
/// use uring::op::{Poll, PollEvents};
///
/// # let mut ring = uring::Ring::best(8)?;
/// let (reader, mut writer) = std::os::unix::net::UnixStream::pair()?;
/// let poll = ring.push(Poll::new(reader, PollEvents::IN))?;
/// writer.write_all(b"hello")?;
/// assert!(ring.wait(poll)?.result?.contains(PollEvents::IN));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_poll_add(3)`, `poll(2)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "io_uring_prep_poll_add")]
#[doc(alias = "IORING_OP_POLL_ADD")]
#[must_use]
pub struct Poll<T> {
    target: T,
    events: PollEvents,
}

impl<T: Target> Poll<T> {
    /// Waits for any of those events; errors and the end of a connection are waited for too.
    pub const fn new(target: T, events: PollEvents) -> Poll<T> {
        Poll { target, events }
    }
}

/// What [`Poll`] gives back.
#[derive(Debug)]
#[must_use]
pub struct Polled<T> {
    /// What has come.
    pub result: io::Result<PollEvents>,
    /// The target.
    pub target: T,
}

impl<T> sealed::Sealed for Poll<T> {}

// SAFETY: there is no memory to point to.
unsafe impl<T: Target> Operation for Poll<T> {
    type Output = Polled<T>;
    const OPCODE: u8 = uring_sys::IORING_OP_POLL_ADD;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        entry.set_target(this.target.target());
        entry.set_poll_events(this.events.bits());
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        Polled {
            result: PollEvents::told(completion),
            target: self.target,
        }
    }
}

// SAFETY: the target is untracked.
unsafe impl<T: Target + Untracked> RawOperation for Poll<T> {}

/// Tells again and again what can be done with a file.
///
/// Its token [yields](crate::Ring::wait_item) what has come each time that something new comes. [`EndReason`](crate::op::EndReason) says why it has ended; pushed again, it goes on.
///
/// Since Linux 5.13; on older kernels it completes with `EINVAL`.
///
/// ```
/// use std::io::Write;
/// use uring::op::{PollEvents, PollMultishot};
///
/// # let mut ring = uring::Ring::best(8)?;
/// let (reader, mut writer) = std::os::unix::net::UnixStream::pair()?;
/// let poll = ring.push(PollMultishot::new(reader, PollEvents::IN))?;
/// for _ in 0..3 {
///     writer.write_all(b"more")?;
///     assert!(ring.wait_item(&poll)?.is_some_and(|events| events.contains(PollEvents::IN)));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_poll_multishot(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "io_uring_prep_poll_multishot")]
#[doc(alias = "IORING_POLL_ADD_MULTI")]
#[must_use]
pub struct PollMultishot<T> {
    target: T,
    events: PollEvents,
}

impl<T: Target> PollMultishot<T> {
    /// Tells of any of those events, and of errors and the end of a connection.
    pub const fn new(target: T, events: PollEvents) -> PollMultishot<T> {
        PollMultishot { target, events }
    }
}

impl<T> sealed::Sealed for PollMultishot<T> {}

// SAFETY: there is no memory to point to.
unsafe impl<T: Target> Operation for PollMultishot<T> {
    type Output = Ended<Self>;
    const OPCODE: u8 = uring_sys::IORING_OP_POLL_ADD;
    const COMPLETES: Completes<Self> = Completes::many();

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        entry.set_target(this.target.target());
        entry.set_poll_events(this.events.bits());
        entry.set_len(uring_sys::IORING_POLL_ADD_MULTI);
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        Ended::new(self, completion)
    }
}

// SAFETY: an item is made of the completion alone.
unsafe impl<T: Target> Multishot for PollMultishot<T> {
    type Item = PollEvents;

    unsafe fn item(_: *const Self, completion: Completion) -> PollEvents {
        PollEvents::told(completion).unwrap_or(PollEvents::ERR)
    }
}

// SAFETY: the target is untracked.
unsafe impl<T: Target + Untracked> RawOperation for PollMultishot<T> {}
