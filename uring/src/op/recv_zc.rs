//! Receiving without copying.

use crate::completion::Completion;
use crate::entry::Entry;
use crate::error::Hint;
use crate::op::{
    Completes, EndReason, Ended, Multishot, Operation, RawOperation, admit_target, entry_len,
    sealed,
};
use crate::resource::{Target, Untracked};

/// Receives from a TCP socket again and again into memory that the network device writes to itself.
///
/// Its token [yields](crate::Ring::wait_item) where in that memory the bytes are. The memory belongs to an interface queue
/// (`IORING_REGISTER_ZCRX_IFQ`), and goes back to the device through that queue's refill ring. Whoever has registered the queue has promised
/// that memory; this library has no type for it yet. Without such a queue the operation fails with `EINVAL`.
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
pub struct RecvZc<T> {
    target: T,
    queue: u32,
    limit: usize,
    flags: u16,
}

impl<T: Target> RecvZc<T> {
    /// Receives into the memory of the interface queue of that number (`zcrx_id`).
    pub const fn new(target: T, queue: u32) -> RecvZc<T> {
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

impl<T> sealed::Sealed for RecvZc<T> {}

// SAFETY: there is no memory to point to: the queue's is the ring's.
unsafe impl<T: Target> Operation for RecvZc<T> {
    type Output = Ended<Self>;
    const OPCODE: u8 = uring_sys::IORING_OP_RECV_ZC;
    const COMPLETES: Completes<Self> = Completes::many();

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        entry.set_target(this.target.target());
        entry.set_len(entry_len(this.limit));
        entry.set_ioprio(this.flags);
        // The field is shared with the index in the file table.
        entry.set_file_index(this.queue);
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        Ended::new(self, completion)
    }
}

// SAFETY: an item is made of the completion alone.
unsafe impl<T: Target> Multishot for RecvZc<T> {
    type Item = ReceivedChunk;

    unsafe fn item(_: *const Self, completion: Completion) -> ReceivedChunk {
        let [place, _] = completion.extra();
        let area = (place & uring_sys::IORING_ZCRX_AREA_MASK) >> uring_sys::IORING_ZCRX_AREA_SHIFT;
        ReceivedChunk {
            area: u16::try_from(area).unwrap_or(u16::MAX),
            offset: place & !uring_sys::IORING_ZCRX_AREA_MASK,
            len: completion.raw_result().unsigned_abs(),
        }
    }

    /// Bytes never come with the last completion.
    fn is_item(_: &Completion) -> bool {
        false
    }

    fn end(last: &Completion) -> EndReason {
        if last.raw_result() == 0 {
            EndReason::Finished
        } else {
            EndReason::of(last)
        }
    }
}

// SAFETY: the target is untracked.
unsafe impl<T: Target + Untracked> RawOperation for RecvZc<T> {}
