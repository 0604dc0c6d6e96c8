//! Messages to other rings.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::sync::Arc;

use crate::completion::Completion;
use crate::direct::{Direct, DirectSlot, RawDirectSlot};
use crate::entry::{Entry, TRACKED, bits};
use crate::error::{Call, Error, Hint};
use crate::evidence;
use crate::flags::CompletionFlags;
use crate::handle::Handle;
use crate::op::install::Adopts;
use crate::op::{Operation, RawOperation, admit_target, done, sealed};
use crate::resource::{RawTarget, Target, TargetName, Untracked};
use crate::ring::Ring;

/// A ring to send messages to, from other rings and threads.
///
/// Made by [`Ring::address`]; a clone is the same. It has a descriptor of its own, so a ring without one has no address, though it can send to
/// others. It keeps the kernel's part of the ring alive when the ring is gone; messages then go nowhere.
#[derive(Clone)]
pub struct RingAddress(Arc<Addressed>);

struct Addressed {
    fd: OwnedFd,
    ring: u64,
}

impl<H: Handle + AsFd> Ring<H> {
    /// The ring as the target of [messages](MsgRing).
    ///
    /// # Errors
    ///
    /// The process has no descriptor left for it.
    pub fn address(&self) -> io::Result<RingAddress> {
        Ok(RingAddress(Arc::new(Addressed {
            fd: self.as_fd().try_clone_to_owned()?,
            ring: self.core().id(),
        })))
    }
}

impl fmt::Debug for RingAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RingAddress").field(&self.0.fd).finish()
    }
}

// SAFETY: the descriptor is open as long as the value lives.
unsafe impl Target for RingAddress {
    fn target(&self) -> TargetName {
        TargetName::descriptor(self.0.fd.as_raw_fd())
    }
}

/// Makes a completion in another ring.
///
/// It comes out of the other ring as that of an operation that was pushed [raw](crate::Ring::push_raw) there, and wakes a thread that waits in it. The
/// other ring is named by a descriptor: [`RingAddress`], or any other of it. The ring that sends needs none.
///
/// The push is refused if the top bit of `user_data` is set, which is the receiving ring's own. `EBADFD`: the target is no ring; `EOVERFLOW`: it has no
/// room.
///
/// Since Linux 5.18; on older kernels it completes with `EINVAL`.
///
/// ```
/// use uring::op::MsgRing;
///
/// # let mut ring = uring::Ring::best(8)?;
/// # if !ring.probe()?.supports(uring_sys::IORING_OP_MSG_RING) { return Ok(()) }
/// let mut other = uring::Ring::new(8)?;
/// ring.call(MsgRing::new(other.address()?, 7, 42))?.result?;
/// other.submit_and_wait(1)?;
/// let message = other.next_completion()?.expect("it was waited for");
/// assert_eq!((message.user_data(), message.result()?), (7, 42));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_msg_ring(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "io_uring_prep_msg_ring")]
#[doc(alias = "io_uring_prep_msg_ring_cqe_flags")]
#[doc(alias = "IORING_OP_MSG_RING")]
#[must_use]
pub struct MsgRing<R> {
    ring: R,
    user_data: u64,
    result: i32,
    flags: Option<CompletionFlags>,
}

impl<R: Target> MsgRing<R> {
    /// A completion with that number and result.
    pub const fn new(ring: R, user_data: u64, result: i32) -> MsgRing<R> {
        MsgRing {
            ring,
            user_data,
            result,
            flags: None,
        }
    }

    /// ... and those flags. The push is refused for those that tell how large a completion is.
    ///
    /// Since Linux 6.3; older kernels complete with `EINVAL`.
    #[doc(alias = "IORING_MSG_RING_FLAGS_PASS")]
    pub fn flags(mut self, flags: CompletionFlags) -> Self {
        self.flags = Some(flags);
        self
    }

    /// Sends it at once, with a call of its own, from a thread that needs no ring for it.
    ///
    /// Since Linux 6.13.
    ///
    /// # Errors
    ///
    /// - the message would be refused by a push;
    /// - the target is no ring, or has no room; others of `io_uring_register(2)`.
    ///
    /// Source: `io_uring_register_sync_msg(3)`.
    #[doc(alias = "io_uring_register_sync_msg")]
    #[doc(alias = "IORING_REGISTER_SEND_MSG_RING")]
    pub fn send_now(&self) -> Result<(), Error> {
        const OPCODE: u32 = uring_sys::IORING_REGISTER_SEND_MSG_RING;
        let call = Call::register(OPCODE);
        self.check().map_err(|hint| Error::refused(call, hint))?;
        if self.ring.target().is_direct() {
            return Err(Error::refused(call, Hint::NeedsDescriptor));
        }
        let mut entry = Entry::new(Self::OPCODE);
        self.fill(&mut entry);
        // SAFETY: one entry, read during the call; a message points to nothing.
        let sent = unsafe { uring_sys::io_uring_register(-1, OPCODE, entry.as_argument(), 1) };
        match sent {
            Ok(_) => {
                #[cfg(uring_coverage)]
                crate::coverage::registered(crate::coverage::Reached::Nobody, OPCODE);
                Ok(())
            }
            Err(errno) => Err(evidence::send_message_failed(errno)),
        }
    }

    /// Refuses what would make the receiver misread its completions.
    fn check(&self) -> Result<(), Hint> {
        if self.user_data & TRACKED != 0 {
            return Err(Hint::contradiction(
                &"the top bit of user_data is the ring's own",
            ));
        }
        let sizes = CompletionFlags::WIDE | CompletionFlags::SKIP;
        if self.flags.is_some_and(|flags| flags.intersects(sizes)) {
            return Err(Hint::contradiction(
                &"a message cannot have the flags that tell how large a completion is",
            ));
        }
        Ok(())
    }

    fn fill(&self, entry: &mut Entry) {
        entry.set_target(self.ring.target());
        entry.set_addr(uring_sys::IORING_MSG_DATA);
        entry.set_off(self.user_data);
        entry.set_len(bits(self.result));
        if let Some(flags) = self.flags {
            entry.set_op_flags(uring_sys::IORING_MSG_RING_FLAGS_PASS);
            entry.set_file_index(flags.bits());
        }
    }
}

/// What [`MsgRing`] gives back.
#[derive(Debug)]
#[must_use]
pub struct MsgRingDone<R> {
    /// Whether it has arrived.
    pub result: io::Result<()>,
    /// The ring that it was sent to.
    pub ring: R,
}

impl<R> sealed::Sealed for MsgRing<R> {}

// SAFETY: there is no memory to point to.
unsafe impl<R: Target> Operation for MsgRing<R> {
    type Output = MsgRingDone<R>;
    const OPCODE: u8 = uring_sys::IORING_OP_MSG_RING;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.ring, ring)?;
        self.check()
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        unsafe { &*this }.fill(entry);
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        MsgRingDone {
            result: done(completion),
            ring: self.ring,
        }
    }
}

// SAFETY: the target is untracked.
unsafe impl<R: Target + Untracked> RawOperation for MsgRing<R> {}

/// Gives another ring a direct descriptor of this one's: both then have the file open.
///
/// Since Linux 6.0; on older kernels it completes with `EINVAL`. Where the other ring's kernel gives the slots of its
/// [table](Ring::register_direct_allocated) out, it goes into whichever is free; `ENFILE` if none is.
///
/// Source: `io_uring_prep_msg_ring_fd(3)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_msg_ring_fd")]
#[doc(alias = "io_uring_prep_msg_ring_fd_alloc")]
#[doc(alias = "IORING_MSG_SEND_FD")]
#[must_use]
pub struct SendDirect<S, D = DirectSlot, R = RingAddress> {
    ring: R,
    source: S,
    slot: D,
    notice: Option<u64>,
}

impl<S: Target, D: Adopts> SendDirect<S, D> {
    /// Gives what is in `source`, a direct descriptor, to `ring`, of which `slot` is an empty one, or
    /// [any](crate::AnyDirectSlot).
    pub fn new(ring: RingAddress, source: S, slot: D) -> SendDirect<S, D> {
        SendDirect {
            ring,
            source,
            slot,
            notice: None,
        }
    }
}

impl<S: Target> SendDirect<S, RawDirectSlot, RawTarget> {
    /// Gives what is in `source` to the ring whose descriptor, or direct descriptor, is promised, into a slot of it that is promised too.
    pub const fn to_raw(ring: RawTarget, source: S, slot: RawDirectSlot) -> Self {
        SendDirect {
            ring,
            source,
            slot,
            notice: None,
        }
    }
}

impl<S, R> SendDirect<S, RawDirectSlot, R> {
    /// Makes a completion with that number in the other ring, too. The push is refused if its top bit is set. `EOVERFLOW`: that had no room
    /// there, though the file is in its slot.
    pub fn notice(mut self, user_data: u64) -> Self {
        self.notice = Some(user_data);
        self
    }
}

/// The ring that a [`SendDirect`] is for: a [`RingAddress`], or by promise a [`RawTarget`]. Sealed.
pub trait Receives: Target + sealed::Sealed {
    /// Whether slots of the ring with that number would do.
    #[doc(hidden)]
    fn takes(&self, slot: &impl Adopts) -> bool;
}

impl sealed::Sealed for RingAddress {}

impl Receives for RingAddress {
    fn takes(&self, slot: &impl Adopts) -> bool {
        slot.belongs_to(self.0.ring)
    }
}

impl Receives for RawTarget {
    fn takes(&self, _: &impl Adopts) -> bool {
        true
    }
}

impl<S: Target> SendDirect<S> {
    /// Makes a completion with that number in the other ring, too. The push is refused if its top bit is set.
    pub fn notice(mut self, user_data: u64) -> Self {
        self.notice = Some(user_data);
        self
    }
}

/// What [`SendDirect`] gives back.
#[derive(Debug)]
#[must_use]
pub struct DirectSent<S, F = Direct> {
    /// The file in the other ring's table.
    pub result: io::Result<F>,
    /// The file in this ring's.
    pub source: S,
}

impl<S, D, R> sealed::Sealed for SendDirect<S, D, R> {}

// SAFETY: there is no memory to point to.
unsafe impl<S: Target, D: Adopts, R: Receives> Operation for SendDirect<S, D, R> {
    type Output = DirectSent<S, D::File>;
    const OPCODE: u8 = uring_sys::IORING_OP_MSG_RING;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.source, ring)?;
        if !self.source.target().is_direct() {
            return Err(Hint::contradiction(
                &"only a direct descriptor can be given to another ring",
            ));
        }
        admit_target(&self.ring, ring)?;
        if !self.ring.takes(&self.slot) {
            return Err(Hint::WrongRing);
        }
        if self.notice.is_some_and(|notice| notice & TRACKED != 0) {
            return Err(Hint::contradiction(
                &"the top bit of user_data is the ring's own",
            ));
        }
        Ok(())
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        entry.set_target(this.ring.target());
        entry.set_addr(uring_sys::IORING_MSG_SEND_FD);
        let source = this.source.target().number();
        entry.set_addr3(u64::from(source.unsigned_abs()));
        // One more than the slot's index, or the largest number for whichever is free.
        entry.set_file_index(this.slot.offset().saturating_add(1));
        match this.notice {
            Some(user_data) => entry.set_off(user_data),
            None => entry.set_op_flags(uring_sys::IORING_MSG_RING_CQE_SKIP),
        }
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        DirectSent {
            // The result is the index where the kernel has chosen it.
            result: completion
                .result()
                .map(|_| self.slot.adopted(completion.raw_result())),
            source: self.source,
        }
    }
}

// SAFETY: ring, file and slot are untracked.
unsafe impl<S, D> RawOperation for SendDirect<S, D, RawTarget>
where
    S: Target + Untracked,
    D: Adopts + Untracked,
{
}
