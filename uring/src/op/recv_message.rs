//! Receiving message after message.

use crate::buffers::{BufferGroup, BufferRing, RawBufferGroup, Selection};
use crate::completion::Completion;
use crate::entry::Entry;
use crate::error::Hint;
use crate::net::{HoldsMessage, MessageLayout};
use crate::op::message::fill_message;
use crate::op::send::MessageFlags;
use crate::op::{Completes, Ended, Multishot, Operation, RawOperation, admit_target, sealed};
use crate::resource::{Inside, MemoryFor, RawMemory, Target, Untracked};

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
pub struct RecvMsgMultishot<T, G: BufferGroup = BufferRing, M = Inside<MessageLayout>> {
    target: T,
    selection: Selection<G>,
    layout: M,
    flags: MessageFlags,
}

impl<T: Target, G: BufferGroup> RecvMsgMultishot<T, G> {
    /// Receives whatever comes.
    pub fn new(target: T, buffers: G) -> RecvMsgMultishot<T, G> {
        RecvMsgMultishot {
            target,
            selection: Selection::new(buffers),
            layout: Inside::new(MessageLayout::default()),
            flags: MessageFlags::default()
                .ring(uring_sys::IORING_RECV_MULTISHOT)
                .receiving(libc::MSG_CMSG_CLOEXEC),
        }
    }
}

impl<T, G: BufferGroup, M: MemoryFor<MessageLayout>> RecvMsgMultishot<T, G, M> {
    /// Asks where each comes from, which takes 128 bytes of each buffer.
    pub fn with_address(mut self) -> Self {
        let layout = self.layout.get();
        self.layout.set(layout.with_address());
        self
    }

    /// Has room for that many bytes of control data in each buffer.
    pub fn with_control(mut self, bytes: usize) -> Self {
        let layout = self.layout.get();
        self.layout.set(layout.with_control(bytes));
        self
    }

    /// Has the kernel read there what goes where in each buffer, which is also what reads [messages](MessageLayout::read) out of them then.
    pub fn layout_into(
        mut self,
        memory: RawMemory<MessageLayout>,
    ) -> RecvMsgMultishot<T, G, RawMemory<MessageLayout>> {
        RecvMsgMultishot {
            layout: memory.holding(self.layout.get()),
            target: self.target,
            selection: self.selection,
            flags: self.flags,
        }
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

impl<T, G: BufferGroup, M> sealed::Sealed for RecvMsgMultishot<T, G, M> {}

// SAFETY: the header is inside the value, which stays where it is, or where `RawMemory::new` was promised, and points nowhere; the buffers
// are the group's, which the operation keeps, or as was promised.
unsafe impl<T, G, M> Operation for RecvMsgMultishot<T, G, M>
where
    T: Target,
    G: BufferGroup<Lease: HoldsMessage>,
    M: MemoryFor<MessageLayout> + Copy,
{
    type Output = Ended<Self>;
    const OPCODE: u8 = uring_sys::IORING_OP_RECVMSG;
    const COMPLETES: Completes<Self> = Completes::many();

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)?;
        self.selection.admit(ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`; nobody else refers to it yet.
        let this = unsafe { &mut *this };
        let header = this.layout.as_mut_ptr().cast_const();
        fill_message(&this.target, header, this.flags, entry);
        this.selection.prepare(entry);
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        // SAFETY: passed on to the caller; an item of a failure is an empty message in a buffer that was taken for nothing.
        unsafe { Ended::giving_back(self, completion) }
    }
}

// SAFETY: nothing of the value is written to by the kernel.
unsafe impl<T, G, M> Multishot for RecvMsgMultishot<T, G, M>
where
    T: Target,
    G: BufferGroup<Lease: HoldsMessage>,
    M: MemoryFor<MessageLayout> + Copy,
{
    type Item = <G::Lease as HoldsMessage>::Message;

    unsafe fn item(this: *const Self, completion: Completion) -> Self::Item {
        // SAFETY: the caller vouches for `this` and for the completion, with which the kernel has filled the buffer as the layout says.
        unsafe {
            let mut layout = (*this).layout;
            (*this).selection.lease(completion).message(layout.get())
        }
    }
}

// SAFETY: target and group are untracked, and the layout is elsewhere.
unsafe impl<T> RawOperation for RecvMsgMultishot<T, RawBufferGroup, RawMemory<MessageLayout>> where
    T: Target + Untracked
{
}
