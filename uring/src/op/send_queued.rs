//! Sending what waits in a queue.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::buffers::SendQueue;
use crate::completion::Completion;
use crate::entry::Entry;
use crate::error::Hint;
use crate::op::send::MessageFlags;
use crate::op::{Completes, EndReason, Ended, Multishot, Operation, admit_target, sealed};
use crate::resource::{Buf, Target};

/// Sends the buffers that wait in a [`SendQueue`] to a socket, each whole, until there is none left.
///
/// Its token [yields](crate::Ring::wait_item) the buffers as they are sent, several at a time. It [ends](EndReason) as
/// [`Finished`](EndReason::Finished) when it has found the queue empty, which may be before what is put in at that moment is seen: push it
/// again then. On an empty queue it ends with [`NoBuffers`](EndReason::NoBuffers).
///
/// When it fails or is cancelled the kernel does not say what it has taken from the queue, and the queue can only be
/// [emptied](SendQueue::take_unsent).
///
/// Since Linux 6.10.
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
pub struct SendQueued<T, B: Buf + std::marker::Send + 'static> {
    target: T,
    queue: SendQueue<B>,
    flags: MessageFlags,
    begun: AtomicBool,
}

impl<T: Target, B: Buf + std::marker::Send + 'static> SendQueued<T, B> {
    /// Sends from that queue.
    pub fn new(target: T, queue: SendQueue<B>) -> SendQueued<T, B> {
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

impl<T, B: Buf + std::marker::Send + 'static> sealed::Sealed for SendQueued<T, B> {}

// SAFETY: the buffers are the queue's, which the operation keeps.
unsafe impl<T: Target, B: Buf + std::marker::Send + 'static> Operation for SendQueued<T, B> {
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
        entry.set_buf_group(this.queue.group_id());
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        if completion
            .result()
            .is_err_and(|error| error.raw_os_error() != Some(libc::ENOBUFS))
        {
            self.queue.failed();
        }
        Ended::new(self, completion)
    }
}

// SAFETY: nothing of the value is written to by the kernel.
unsafe impl<T: Target, B: Buf + std::marker::Send + 'static> Multishot for SendQueued<T, B> {
    type Item = Vec<B>;

    unsafe fn item(this: *const Self, completion: Completion) -> Vec<B> {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        this.queue
            .sent(usize::try_from(completion.raw_result()).unwrap_or(0))
    }

    fn end(last: &Completion) -> EndReason {
        if last.raw_result() >= 0 {
            EndReason::Finished
        } else {
            EndReason::of(last)
        }
    }
}

impl<T, B: Buf + std::marker::Send + 'static> Drop for SendQueued<T, B> {
    fn drop(&mut self) {
        if *self.begun.get_mut() {
            self.queue.end();
        }
    }
}
