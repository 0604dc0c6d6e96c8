//! Receiving without copying.

use crate::completion::Completion;
use crate::entry::Entry;
use crate::error::Hint;
use crate::interface::{DmaBufQueue, InterfaceQueue, ReceivedBytes, ReceivedRange};
use crate::op::{
    Completes, EndReason, Ended, Multishot, Operation, RawOperation, admit_target, entry_len,
    sealed,
};
use crate::resource::{Target, Untracked};

/// Receives from a TCP socket again and again into memory that the network device writes to itself.
///
/// Its token [yields](crate::Ring::wait_item) [the bytes](crate::ReceivedBytes), which lie in the memory of an
/// [`InterfaceQueue`](crate::InterfaceQueue). Of a queue that was registered by other means than this library's it has the number only, and
/// yields [where](ReceivedChunk) in its memory they are. Without such a queue the operation fails with `EINVAL`.
///
/// A queue takes a device that splits headers from data, and the right to configure it (`CAP_NET_ADMIN`); from Linux 7.1 on also
/// none (`ZCRX_REG_NODEV`), for which the kernel copies. The ring has its task work deferred, and completions that are
/// [large or mixed](crate::CompletionSize).
///
/// Since Linux 6.15, where it is configured (`CONFIG_IO_URING_ZCRX`); other kernels complete with `EINVAL`.
///
/// ```
/// use std::net::{TcpListener, TcpStream};
/// use uring::op::{EndReason, RecvZc};
///
/// # let mut ring = uring::Ring::best(8)?;
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let stream = TcpStream::connect(listener.local_addr()?)?;
/// // The ring has no such queue.
/// let ended = ring.call(RecvZc::new(stream, 0))?;
/// assert!(matches!(ended.reason, EndReason::Failed(_)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `linux/io_uring/zcrx.h`, `Documentation/networking/iou-zcrx.rst`.
#[derive(Debug)]
#[doc(alias = "IORING_OP_RECV_ZC")]
#[must_use]
pub struct RecvZc<T, Q = u32> {
    target: T,
    queue: Q,
    limit: usize,
    flags: u16,
}

impl<T: Target, Q: ReceiveQueue> RecvZc<T, Q> {
    /// Receives through that [`InterfaceQueue`](crate::InterfaceQueue), or the one with that number (`zcrx_id`).
    pub const fn new(target: T, queue: Q) -> RecvZc<T, Q> {
        RecvZc {
            target,
            queue,
            limit: 0,
            flags: uring_sys::IORING_RECV_MULTISHOT,
        }
    }

    /// Ends after that many bytes; zero is no end.
    pub fn limit(self, limit: usize) -> Self {
        RecvZc { limit, ..self }
    }

    /// Waits for data before it tries: for when none is expected to be there.
    #[doc(alias = "IORING_RECVSEND_POLL_FIRST")]
    pub fn poll_first(self) -> Self {
        RecvZc {
            flags: self.flags | uring_sys::IORING_RECVSEND_POLL_FIRST,
            ..self
        }
    }

    /// The socket, given back.
    pub fn into_target(self) -> T {
        self.target
    }
}

/// Where bytes are that were received without copying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "io_uring_zcrx_cqe")]
pub struct ReceivedChunk {
    /// Which of the queue's areas they are in.
    pub area: u16,
    /// Where in the area they begin.
    pub offset: u64,
    /// How many there are.
    pub len: u32,
}

/// What [`RecvZc`] receives through: an [`InterfaceQueue`](crate::InterfaceQueue), a [`DmaBufQueue`], or the number of one. Sealed.
pub trait ReceiveQueue: queue::Queue {
    /// What comes of bytes that were received.
    type Received;
}

impl ReceiveQueue for InterfaceQueue {
    type Received = ReceivedBytes;
}

impl ReceiveQueue for DmaBufQueue {
    type Received = ReceivedRange;
}

impl ReceiveQueue for u32 {
    type Received = ReceivedChunk;
}

mod queue {
    use super::{Hint, ReceiveQueue};

    pub trait Queue {
        fn number(&self) -> u32;
        fn admit(&self, ring: u64) -> Result<(), Hint>;

        /// # Safety
        ///
        /// A completion of an operation with this queue has told of that place and number of bytes, and nothing was made of it before.
        unsafe fn received(&self, place: u64, len: u32) -> Self::Received
        where
            Self: ReceiveQueue;
    }
}

impl queue::Queue for InterfaceQueue {
    fn number(&self) -> u32 {
        self.id()
    }

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        if self.ring() == ring {
            Ok(())
        } else {
            Err(Hint::WrongRing)
        }
    }

    unsafe fn received(&self, place: u64, len: u32) -> ReceivedBytes {
        // SAFETY: passed on to the caller.
        unsafe { InterfaceQueue::received(self, place, len) }
    }
}

impl queue::Queue for DmaBufQueue {
    fn number(&self) -> u32 {
        self.id()
    }

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        queue::Queue::admit(self.queue(), ring)
    }

    unsafe fn received(&self, place: u64, len: u32) -> ReceivedRange {
        // SAFETY: passed on to the caller.
        unsafe { DmaBufQueue::received(self, place, len) }
    }
}

impl queue::Queue for u32 {
    fn number(&self) -> u32 {
        *self
    }

    fn admit(&self, _: u64) -> Result<(), Hint> {
        Ok(())
    }

    unsafe fn received(&self, place: u64, len: u32) -> ReceivedChunk {
        let area = (place & uring_sys::IORING_ZCRX_AREA_MASK) >> uring_sys::IORING_ZCRX_AREA_SHIFT;
        ReceivedChunk {
            area: u16::try_from(area).unwrap_or(u16::MAX),
            offset: place & !uring_sys::IORING_ZCRX_AREA_MASK,
            len,
        }
    }
}

impl<T, Q> sealed::Sealed for RecvZc<T, Q> {}

// SAFETY: there is no memory to point to: the kernel keeps the pages of the queue.
unsafe impl<T: Target, Q: ReceiveQueue> Operation for RecvZc<T, Q> {
    type Output = Ended<Self>;
    const OPCODE: u8 = uring_sys::IORING_OP_RECV_ZC;
    const COMPLETES: Completes<Self> = Completes::many();

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        self.queue.admit(ring)?;
        admit_target(&self.target, ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        entry.set_target(this.target.target());
        entry.set_len(entry_len(this.limit));
        entry.set_ioprio(this.flags);
        // The field is shared with the index in the file table.
        entry.set_file_index(this.queue.number());
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        Ended::new(self, completion)
    }
}

// SAFETY: an item is made of the completion, and of the queue, which the operation has as long as it is.
unsafe impl<T: Target, Q: ReceiveQueue> Multishot for RecvZc<T, Q> {
    type Item = Q::Received;

    unsafe fn item(this: *const Self, completion: Completion) -> Q::Received {
        let [place, _] = completion.extra();
        // SAFETY: the caller vouches for `this`; each completion becomes one item.
        unsafe {
            (*this)
                .queue
                .received(place, completion.raw_result().unsigned_abs())
        }
    }

    /// Bytes never come with the last completion.
    fn is_item(_: &Completion) -> bool {
        false
    }

    fn end(last: &Completion) -> EndReason {
        EndReason::of_stream(last)
    }
}

// SAFETY: the target is untracked.
unsafe impl<T: Target + Untracked> RawOperation for RecvZc<T> {}
