//! Sending what waits in a queue.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::buffers::{BufferGroup, RawBufferGroup, SelectedBuffer, SendQueue};
use crate::completion::Completion;
use crate::entry::Entry;
use crate::error::Hint;
use crate::op::send::MessageFlags;
use crate::op::{
    Completes, EndReason, Ended, Multishot, Operation, RawOperation, admit_target, sealed,
};
use crate::resource::{Buf, Target, Untracked};

/// Sends the buffers that wait in a [`SendQueue`] to a socket, each whole, until there is none left.
///
/// Its token [yields](crate::Ring::wait_item) the buffers as they are sent, several at a time. It [ends](EndReason) as
/// [`Finished`](EndReason::Finished) when it has found the queue empty, which may be before what is put in at that moment is seen: push it
/// again then. On an empty queue it ends with [`NoBuffers`](EndReason::NoBuffers).
///
/// When it fails or is cancelled the kernel does not say what it has taken from the queue, and the queue can only be
/// [emptied](SendQueue::take_unsent).
///
/// Pushed raw it sends from a group that is known by its number only: for one of a queue, [`SendQueue::sent`] tells which buffers a completion is
/// about.
///
/// Since Linux 6.10; on older kernels, which have no such queues, what is pushed raw completes with `EOPNOTSUPP`.
///
/// ```
/// use std::io::Read as _;
/// use std::os::unix::net::UnixStream;
/// use uring::op::{EndReason, SendQueued};
///
/// # let mut ring = uring::Ring::best(8)?;
/// let queue = match ring.send_queue(4) {
///     Err(error) if error.is_unsupported() => return Ok(()),
///     queue => queue?,
/// };
/// let (one, mut other) = UnixStream::pair()?;
/// queue.put("hello, ")?;
/// queue.put("world")?;
/// let send = ring.push(SendQueued::new(one, queue.clone()))?;
/// let mut sent = Vec::new();
/// while let Some(bufs) = ring.wait_item(&send)? {
///     sent.extend(bufs);
/// }
/// assert_eq!(sent, ["hello, ", "world"]);
/// assert!(matches!(ring.wait(send)?.reason, EndReason::Finished));
/// let mut bytes = [0; 12];
/// other.read_exact(&mut bytes)?;
/// assert_eq!(&bytes, b"hello, world");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_send_bundle(3)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_send_bundle")]
#[doc(alias = "IORING_RECVSEND_BUNDLE")]
#[must_use]
pub struct SendQueued<T, Q: SendSource> {
    target: T,
    queue: Q,
    flags: MessageFlags,
    begun: AtomicBool,
}

/// Where the buffers are that [`SendQueued`] sends: in a [`SendQueue`], or by promise in a [`RawBufferGroup`]. Sealed.
pub trait SendSource: sealed::Sealed {
    /// What was sent.
    type Sent;

    #[doc(hidden)]
    fn group_number(&self) -> u16;

    /// Counts an operation in, of which there may be one at a time.
    #[doc(hidden)]
    fn begin(&self, ring: u64) -> Result<(), Hint>;
    /// Refuses to send from where it is not known what was sent.
    #[doc(hidden)]
    fn check(&self) -> Result<(), Hint>;
    #[doc(hidden)]
    fn end(&self);

    /// # Safety
    ///
    /// The completion is the next of an operation that sends from there, and no other does.
    #[doc(hidden)]
    unsafe fn sent(&self, completion: Completion) -> Self::Sent;
}

impl<B: Buf + std::marker::Send + 'static> sealed::Sealed for SendQueue<B> {}

impl<B: Buf + std::marker::Send + 'static> SendSource for SendQueue<B> {
    type Sent = Vec<B>;

    fn group_number(&self) -> u16 {
        self.group_id()
    }

    fn begin(&self, ring: u64) -> Result<(), Hint> {
        self.begin(ring)
    }

    fn check(&self) -> Result<(), Hint> {
        self.check()
    }

    fn end(&self) {
        self.end();
    }

    unsafe fn sent(&self, completion: Completion) -> Vec<B> {
        // SAFETY: passed on to the caller.
        unsafe { self.sent(completion) }
    }
}

impl SendSource for RawBufferGroup {
    /// The first buffer, and how many bytes were sent of it and of those behind it.
    type Sent = SelectedBuffer;

    fn group_number(&self) -> u16 {
        self.number()
    }

    fn begin(&self, _: u64) -> Result<(), Hint> {
        Ok(())
    }

    fn check(&self) -> Result<(), Hint> {
        Ok(())
    }

    fn end(&self) {}

    unsafe fn sent(&self, completion: Completion) -> SelectedBuffer {
        // SAFETY: passed on to the caller.
        unsafe { self.lease(completion) }
    }
}

impl<T: Target, Q: SendSource> SendQueued<T, Q> {
    /// Sends from that queue.
    pub fn new(target: T, queue: Q) -> SendQueued<T, Q> {
        SendQueued {
            target,
            queue,
            flags: MessageFlags::SENDING.ring(uring_sys::IORING_RECVSEND_BUNDLE),
            begun: AtomicBool::new(false),
        }
    }

    /// Adds flags of `send(2)`, as [`Send::flags`](crate::op::Send::flags).
    pub fn flags(mut self, flags: i32) -> Self {
        self.flags = self.flags.sending(flags);
        self
    }

    /// Waits until the socket takes something before it tries.
    #[doc(alias = "IORING_RECVSEND_POLL_FIRST")]
    pub fn poll_first(mut self) -> Self {
        self.flags = self.flags.ring(uring_sys::IORING_RECVSEND_POLL_FIRST);
        self
    }
}

impl<T, Q: SendSource> sealed::Sealed for SendQueued<T, Q> {}

// SAFETY: the buffers are the queue's, which the operation keeps, or as was promised.
unsafe impl<T: Target, Q: SendSource> Operation for SendQueued<T, Q> {
    type Output = Ended<Self>;
    const OPCODE: u8 = uring_sys::IORING_OP_SEND;
    const COMPLETES: Completes<Self> = Completes::many();

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)?;
        // What is refused for another reason afterwards has begun, and may be pushed again.
        if !self.begun.load(Ordering::Relaxed) {
            self.queue.begin(ring)?;
            self.begun.store(true, Ordering::Relaxed);
        }
        self.queue.check()
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        entry.set_target(this.target.target());
        this.flags.prepare(entry);
        entry.add_flags(uring_sys::IOSQE_BUFFER_SELECT);
        entry.set_buf_group(this.queue.group_number());
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        // SAFETY: passed on to the caller; of a failure no buffer is made, and the queue hears of it.
        unsafe { Ended::giving_back(self, completion) }
    }
}

// SAFETY: nothing of the value is written to by the kernel.
unsafe impl<T: Target, Q: SendSource> Multishot for SendQueued<T, Q> {
    type Item = Q::Sent;

    unsafe fn item(this: *const Self, completion: Completion) -> Q::Sent {
        // SAFETY: the caller vouches for `this` and for the completion; a queue lets one operation in at a time.
        unsafe { (*this).queue.sent(completion) }
    }

    fn end(last: &Completion) -> EndReason {
        if last.raw_result() >= 0 {
            EndReason::Finished
        } else {
            EndReason::of(last)
        }
    }
}

// SAFETY: target and group are untracked.
unsafe impl<T: Target + Untracked> RawOperation for SendQueued<T, RawBufferGroup> {}

impl<T, Q: SendSource> Drop for SendQueued<T, Q> {
    fn drop(&mut self) {
        if *self.begun.get_mut() {
            self.queue.end();
        }
    }
}
