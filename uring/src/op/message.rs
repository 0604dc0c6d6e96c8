//! Sending and receiving messages with header.

use std::io;

use crate::completion::Completion;
use crate::entry::Entry;
use crate::error::Hint;
use crate::net::{Incoming, Outgoing};
use crate::op::send::MessageFlags;
use crate::op::{Operation, RawOperation, admit_target, count, sealed};
use crate::resource::{Target, Untracked};

/// Sends a message: several buffers, to an address, with control data.
///
/// Since Linux 5.3.
///
/// ```
/// use std::net::UdpSocket;
/// use uring::IoVecs;
/// use uring::net::Message;
/// use uring::op::SendMsg;
///
/// # let mut ring = uring::Ring::best(8)?;
/// let (one, other) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
/// let message = Message::new(IoVecs::from(vec!["hello, ", "world"])).to(other.local_addr()?);
/// assert_eq!(ring.call(SendMsg::new(&one, message))?.result?, 12);
/// let mut bytes = [0; 12];
/// other.recv(&mut bytes)?;
/// assert_eq!(&bytes, b"hello, world");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_sendmsg(3)`, `sendmsg(2)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_sendmsg")]
#[doc(alias = "IORING_OP_SENDMSG")]
#[must_use]
pub struct SendMsg<T, M> {
    target: T,
    message: M,
    flags: MessageFlags,
}

impl<T: Target, M: Outgoing> SendMsg<T, M> {
    /// Sends that message.
    pub fn new(target: T, message: M) -> SendMsg<T, M> {
        SendMsg {
            target,
            message,
            flags: MessageFlags::SENDING,
        }
    }

    /// Adds flags of `send(2)` (`MSG_MORE`, `MSG_DONTWAIT`, `MSG_WAITALL`, …), as [`Send::flags`](crate::op::Send::flags) does.
    pub fn flags(self, flags: i32) -> Self {
        SendMsg {
            flags: self.flags.sending(flags),
            ..self
        }
    }

    /// Waits until the socket takes something before it tries. Since Linux 5.19; older kernels complete with `EINVAL`.
    #[doc(alias = "IORING_RECVSEND_POLL_FIRST")]
    pub fn poll_first(self) -> Self {
        SendMsg {
            flags: self.flags.ring(uring_sys::IORING_RECVSEND_POLL_FIRST),
            ..self
        }
    }
}

/// Receives a message: into several buffers, with the sender's address and control data.
///
/// Descriptors that come with it are closed on `exec`.
///
/// Since Linux 5.3.
///
/// ```
/// use std::net::UdpSocket;
/// use uring::IoVecs;
/// use uring::net::MessageSpace;
/// use uring::op::RecvMsg;
///
/// # let mut ring = uring::Ring::best(8)?;
/// let (one, other) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
/// one.send_to(b"hello", other.local_addr()?)?;
/// let space = MessageSpace::new(IoVecs::from(vec![Vec::with_capacity(64)])).with_address();
/// let received = ring.call(RecvMsg::new(&other, space))?;
/// assert_eq!(received.result?, 5);
/// let from = received.message.address().and_then(|address| address.internet());
/// assert_eq!(from, Some(one.local_addr()?));
/// assert_eq!(received.message.into_bufs().bufs()[0], b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_recvmsg(3)`, `recvmsg(2)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_recvmsg")]
#[doc(alias = "IORING_OP_RECVMSG")]
#[must_use]
pub struct RecvMsg<T, M> {
    target: T,
    message: M,
    flags: MessageFlags,
}

impl<T: Target, M: Incoming> RecvMsg<T, M> {
    /// Receives into that space.
    pub fn new(target: T, message: M) -> RecvMsg<T, M> {
        RecvMsg {
            target,
            message,
            flags: MessageFlags::default().receiving(libc::MSG_CMSG_CLOEXEC),
        }
    }

    /// Adds flags of `recv(2)` (`MSG_PEEK`, `MSG_ERRQUEUE`, `MSG_DONTWAIT`, …), as [`Recv::flags`](crate::op::Recv::flags) does.
    pub fn flags(self, flags: i32) -> Self {
        RecvMsg {
            flags: self.flags.receiving(flags),
            ..self
        }
    }

    /// Waits for a message before it tries: for when none is expected to be there. Since Linux 5.19; older kernels complete with
    /// `EINVAL`.
    #[doc(alias = "IORING_RECVSEND_POLL_FIRST")]
    pub fn poll_first(self) -> Self {
        RecvMsg {
            flags: self.flags.ring(uring_sys::IORING_RECVSEND_POLL_FIRST),
            ..self
        }
    }
}

/// What [`SendMsg`] and [`RecvMsg`] give back.
#[derive(Debug)]
#[must_use]
pub struct Messaged<T, M> {
    /// How many bytes were transferred.
    pub result: io::Result<usize>,
    /// The message, or the space with what was received into it.
    pub message: M,
    /// The socket.
    pub target: T,
}

/// Fills in what all operations on a header have in common.
pub(super) fn fill_message<P>(
    target: &impl Target,
    header: *const P,
    flags: MessageFlags,
    entry: &mut Entry,
) {
    entry.set_target(target.target());
    entry.set_pointer(header);
    entry.set_len(1);
    flags.prepare(entry);
}

impl<T, M> sealed::Sealed for SendMsg<T, M> {}

// SAFETY: the header is on the heap and owned by the value, as is all that it points to, or where `RawMessage::new` was promised.
unsafe impl<T: Target, M: Outgoing> Operation for SendMsg<T, M> {
    type Output = Messaged<T, M>;
    const OPCODE: u8 = uring_sys::IORING_OP_SENDMSG;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`; nobody else refers to it yet.
        let this = unsafe { &mut *this };
        fill_message(&this.target, this.message.header(), this.flags, entry);
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        Messaged {
            result: count(completion),
            message: self.message,
            target: self.target,
        }
    }
}

// SAFETY: both resources are untracked; the pointer leads out of the value.
unsafe impl<T: Target + Untracked, M: Outgoing + Untracked> RawOperation for SendMsg<T, M> {}

impl<T, M> sealed::Sealed for RecvMsg<T, M> {}

// SAFETY: as for `SendMsg`.
unsafe impl<T: Target, M: Incoming> Operation for RecvMsg<T, M> {
    type Output = Messaged<T, M>;
    const OPCODE: u8 = uring_sys::IORING_OP_RECVMSG;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`; nobody else refers to it yet.
        let this = unsafe { &mut *this };
        let header = this.message.header().cast_const();
        fill_message(&this.target, header, this.flags, entry);
    }

    unsafe fn complete(mut self, completion: Completion) -> Self::Output {
        let result = count(completion);
        if let Ok(bytes) = result {
            // SAFETY: the operation succeeded: the kernel has received that many bytes and filled the header in.
            unsafe { self.message.set_received(bytes) };
        }
        Messaged {
            result,
            message: self.message,
            target: self.target,
        }
    }
}

// SAFETY: as for `SendMsg`.
unsafe impl<T: Target + Untracked, M: Incoming + Untracked> RawOperation for RecvMsg<T, M> {}
