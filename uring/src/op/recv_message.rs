//! Receiving message after message.

use crate::buffers::{BufferGroup, BufferLease, BufferRing, Selection};
use crate::completion::Completion;
use crate::entry::Entry;
use crate::error::Hint;
use crate::net::ReceivedMessage;
use crate::op::send::MessageFlags;
use crate::op::{Completes, Ended, Multishot, Operation, admit_target, sealed};
use crate::resource::Target;
use crate::resource::received::Layout;

/// Receives messages again and again, each into another buffer of a group, with the sender's address and control data.
///
/// Its token [yields](crate::Ring::wait_item) each message. Address and control data are in the buffer too, in front of the message's bytes,
/// with 16 bytes of the kernel's own; a buffer that is not larger makes it fail with `EFAULT`. It ends without a buffer left, when it is
/// cancelled, when completions overflow, and with a message of no bytes, which is also the end of a stream. Descriptors that come with a message
/// are closed on `exec`, and if nobody takes them with the message.
///
/// Since Linux 6.0; older kernels complete with `EINVAL`.
///
/// ```
/// use std::net::UdpSocket;
/// use uring::op::RecvMsgMultishot;
///
/// # let mut ring = uring::Ring::best(8)?;
/// # if !ring.probe()?.supports(uring_sys::IORING_OP_SEND_ZC) { return Ok(()); }
/// let buffers = ring.buffer_ring(4, 1024)?;
/// let (one, other) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
/// let address = other.local_addr()?;
/// let messages = ring.push(RecvMsgMultishot::new(other, buffers).with_address())?;
/// for word in ["one", "after", "the other"] {
///     one.send_to(word.as_bytes(), address)?;
///     let message = ring.wait_item(&messages)?.expect("nobody has cancelled");
///     assert_eq!(message.bytes(), word.as_bytes());
///     let from = message.address().and_then(|from| from.internet());
///     assert_eq!(from, Some(one.local_addr()?));
/// }
/// ring.cancel(&messages)?;
/// ring.wait(messages)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_recvmsg_multishot(3)`, `io_uring_recvmsg_out(3)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_recvmsg_multishot")]
#[doc(alias = "IORING_RECV_MULTISHOT")]
#[doc(alias = "IORING_OP_RECVMSG")]
#[must_use]
pub struct RecvMsgMultishot<T, G: BufferGroup = BufferRing> {
    target: T,
    selection: Selection<G>,
    layout: Layout,
    flags: MessageFlags,
}

impl<T: Target, G: BufferGroup<Lease = BufferLease>> RecvMsgMultishot<T, G> {
    /// Receives whatever comes.
    pub fn new(target: T, buffers: G) -> RecvMsgMultishot<T, G> {
        RecvMsgMultishot {
            target,
            selection: Selection::new(buffers),
            layout: Layout::default(),
            flags: MessageFlags::default()
                .ring(uring_sys::IORING_RECV_MULTISHOT)
                .receiving(libc::MSG_CMSG_CLOEXEC),
        }
    }

    /// Asks where each comes from, which takes 128 bytes of each buffer.
    pub fn with_address(mut self) -> Self {
        self.layout = self.layout.with_address();
        self
    }

    /// Has room for that many bytes of control data in each buffer.
    pub fn with_control(mut self, bytes: usize) -> Self {
        self.layout = self.layout.with_control(bytes);
        self
    }

    /// Adds flags of `recv(2)`, as [`Recv::flags`](crate::op::Recv::flags). With `MSG_WAITALL` it is refused with `EINVAL`.
    pub fn flags(mut self, flags: i32) -> Self {
        self.flags = self.flags.receiving(flags);
        self
    }

    /// Waits for a message before it tries: for when none is expected to be there.
    #[doc(alias = "IORING_RECVSEND_POLL_FIRST")]
    pub fn poll_first(mut self) -> Self {
        self.flags = self.flags.ring(uring_sys::IORING_RECVSEND_POLL_FIRST);
        self
    }

    /// The socket, given back.
    pub fn into_target(self) -> T {
        self.target
    }
}

impl<T, G: BufferGroup> sealed::Sealed for RecvMsgMultishot<T, G> {}

// SAFETY: the header is inside the value, which stays where it is, and points nowhere; the buffers are the group's, which the operation
// keeps.
unsafe impl<T: Target, G: BufferGroup<Lease = BufferLease>> Operation for RecvMsgMultishot<T, G> {
    type Output = Ended<Self>;
    const OPCODE: u8 = uring_sys::IORING_OP_RECVMSG;
    const COMPLETES: Completes<Self> = Completes::many();

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)?;
        self.selection.admit(ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        entry.set_target(this.target.target());
        entry.set_pointer(this.layout.header());
        entry.set_len(1);
        this.flags.prepare(entry);
        this.selection.prepare(entry);
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        if !Self::is_item(&completion) {
            // SAFETY: passed on to the caller; no item was made of it. A buffer that it has taken goes back.
            drop(unsafe { self.selection.lease(completion) });
        }
        Ended::new(self, completion)
    }
}

// SAFETY: nothing of the value is written to by the kernel.
unsafe impl<T: Target, G: BufferGroup<Lease = BufferLease>> Multishot for RecvMsgMultishot<T, G> {
    type Item = ReceivedMessage;

    unsafe fn item(this: *const Self, completion: Completion) -> ReceivedMessage {
        // SAFETY: the caller vouches for `this` and for the completion, with which the kernel has filled the buffer as the layout says.
        unsafe {
            let lease = (*this).selection.lease(completion);
            ReceivedMessage::new(lease, (*this).layout)
        }
    }
}
