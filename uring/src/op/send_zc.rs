//! Sending without copying.

use std::io;

use crate::completion::Completion;
use crate::entry::Entry;
use crate::error::Hint;
use crate::net::{Address, NoAddress, Outgoing, OutgoingFixed, ToAddress};
use crate::op::message::fill_message;
use crate::op::send::{MessageFlags, prepare_destination};
use crate::op::{
    Completes, Operation, RawOperation, admit_buffer, admit_target, count, entry_len, sealed,
};
use crate::resource::{Buf, Fixed, Target, Untracked};

/// Sends a buffer to a TCP, UDP or raw socket without copying it first.
///
/// The kernel completes it twice: when it has taken the bytes, and when nobody reads the buffer any more, since the other side has them.
/// The token is redeemed after both, so the buffer that comes back is free. For small sends copying is faster. A kind of socket
/// that cannot do without a copy is refused with `EOPNOTSUPP`.
///
/// Since Linux 6.0; older kernels complete with `EINVAL`.
///
/// ```
/// use std::io::Read as _;
/// use std::net::{TcpListener, TcpStream};
/// use uring::op::SendZc;
///
/// # let mut ring = uring::Ring::best(8)?;
/// # if !ring.probe()?.supports(uring_sys::IORING_OP_SENDMSG_ZC) { return Ok(()); }
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let client = TcpStream::connect(listener.local_addr()?)?;
/// let sent = ring.call(SendZc::new(client, vec![7; 10_000]))?;
/// assert_eq!(sent.result?, sent.buf.len());
/// listener.accept()?.0.read_exact(&mut [0; 10_000])?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_send_zc(3)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_send_zc")]
#[doc(alias = "io_uring_prep_send_set_addr")]
#[doc(alias = "IORING_OP_SEND_ZC")]
#[must_use]
pub struct SendZc<T, B, A = NoAddress> {
    target: T,
    buf: B,
    address: A,
    flags: MessageFlags,
}

impl<T: Target, B: Buf> SendZc<T, B> {
    /// Sends to the peer that the socket is connected to.
    pub fn new(target: T, buf: B) -> SendZc<T, B> {
        SendZc {
            target,
            buf,
            address: NoAddress,
            flags: MessageFlags::SENDING,
        }
    }

    /// Sends to that address.
    pub fn to<A: Address>(self, address: impl ToAddress<Address = A>) -> SendZc<T, B, A> {
        SendZc {
            target: self.target,
            buf: self.buf,
            address: address.to_address(),
            flags: self.flags,
        }
    }
}

impl<T: Target, B: Buf, A: Address> SendZc<T, B, A> {
    /// Adds flags of `send(2)` (`MSG_MORE`, `MSG_DONTWAIT`, `MSG_WAITALL`, …).
    pub fn flags(self, flags: i32) -> Self {
        SendZc {
            flags: self.flags.sending(flags),
            ..self
        }
    }

    /// Waits until the socket takes something before it tries.
    #[doc(alias = "IORING_RECVSEND_POLL_FIRST")]
    pub fn poll_first(self) -> Self {
        self.ring_flag(uring_sys::IORING_RECVSEND_POLL_FIRST)
    }

    /// Has the kernel tell whether it had to [copy](ZeroCopied::copied) after all. Since Linux 6.2, and in later
    /// releases of 6.1; older kernels complete with `EINVAL`.
    #[doc(alias = "IORING_SEND_ZC_REPORT_USAGE")]
    pub fn report_usage(self) -> Self {
        self.ring_flag(uring_sys::IORING_SEND_ZC_REPORT_USAGE)
    }

    fn ring_flag(self, flag: u16) -> Self {
        SendZc {
            flags: self.flags.ring(flag),
            ..self
        }
    }
}

/// What a zero-copy send gives back.
#[derive(Debug)]
#[must_use]
pub struct ZeroCopied<T, B> {
    /// How many bytes were sent; fewer than asked for is no error.
    pub result: io::Result<usize>,
    /// Whether the kernel had to copy; `None` if it was not asked, and if nothing was sent.
    #[doc(alias = "IORING_NOTIF_USAGE_ZC_COPIED")]
    pub copied: Option<bool>,
    /// The buffer or message, which nobody reads any more.
    pub buf: B,
    /// The socket.
    pub target: T,
}

impl<T, B> ZeroCopied<T, B> {
    fn new(completion: Completion, flags: MessageFlags, buf: B, target: T) -> ZeroCopied<T, B> {
        let asked = flags.has_ring(uring_sys::IORING_SEND_ZC_REPORT_USAGE);
        let usage = completion.notified().filter(|_| asked);
        ZeroCopied {
            result: count(completion),
            copied: usage.map(|usage| usage & uring_sys::IORING_NOTIF_USAGE_ZC_COPIED != 0),
            buf,
            target,
        }
    }
}

impl<T, B, A> sealed::Sealed for SendZc<T, B, A> {}

// SAFETY: the buffer's memory stays where it is as long as the value lives (contract of `Buf`), which is until the notification; the
// address is inside the value, which stays where it is, or where `RawAddress::new` was promised.
unsafe impl<T: Target, B: Buf, A: Address> Operation for SendZc<T, B, A> {
    type Output = ZeroCopied<T, B>;
    const OPCODE: u8 = uring_sys::IORING_OP_SEND_ZC;
    const COMPLETES: Completes<Self> = Completes::Notified;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        unsafe {
            entry.set_target((*this).target.target());
            entry.set_pointer((*this).buf.as_ptr());
            entry.set_len(entry_len((*this).buf.len()));
            prepare_destination(&raw const (*this).address, entry);
            (*this).flags.prepare(entry);
        }
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        ZeroCopied::new(completion, self.flags, self.buf, self.target)
    }
}

// SAFETY: all three resources are untracked, so nothing points into the value; a raw operation's last completion is its notification.
unsafe impl<T, B, A> RawOperation for SendZc<T, B, A>
where
    T: Target + Untracked,
    B: Buf + Untracked,
    A: Address + Untracked,
{
}

/// Sends a [registered buffer](crate::Ring::register_buffers), or a [`Slice`](crate::Slice) of one, without copying it and without looking
/// its memory up.
///
/// Otherwise as [`SendZc`]. A buffer of another ring is refused.
///
/// Since Linux 6.0; older kernels complete with `EINVAL`.
///
/// ```
/// use std::net::UdpSocket;
/// use uring::op::SendZcFixed;
///
/// # let mut ring = uring::Ring::best(8)?;
/// # if !ring.probe()?.supports(uring_sys::IORING_OP_SENDMSG_ZC) { return Ok(()); }
/// ring.register_buffers(vec![vec![7; 4096].into()])?;
/// let buf = ring.registered_buf(0).expect("nobody has it yet");
/// let (one, other) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
/// let sent = ring.call(SendZcFixed::new(one, buf).to(other.local_addr()?))?;
/// assert_eq!(sent.result?, 4096);
/// other.recv(&mut [0; 4096])?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_send_zc_fixed(3)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_send_zc_fixed")]
#[doc(alias = "IORING_RECVSEND_FIXED_BUF")]
#[doc(alias = "IORING_OP_SEND_ZC")]
#[must_use]
pub struct SendZcFixed<T, F, A = NoAddress> {
    target: T,
    buf: F,
    address: A,
    flags: MessageFlags,
}

impl<T: Target, F: Fixed> SendZcFixed<T, F> {
    /// Sends to the peer that the socket is connected to.
    pub fn new(target: T, buf: F) -> SendZcFixed<T, F> {
        SendZcFixed {
            target,
            buf,
            address: NoAddress,
            flags: MessageFlags::SENDING.ring(uring_sys::IORING_RECVSEND_FIXED_BUF),
        }
    }

    /// Sends to that address.
    pub fn to<A: Address>(self, address: impl ToAddress<Address = A>) -> SendZcFixed<T, F, A> {
        SendZcFixed {
            target: self.target,
            buf: self.buf,
            address: address.to_address(),
            flags: self.flags,
        }
    }
}

impl<T: Target, F: Fixed, A: Address> SendZcFixed<T, F, A> {
    /// Adds flags of `send(2)`, as [`SendZc::flags`].
    pub fn flags(self, flags: i32) -> Self {
        SendZcFixed {
            flags: self.flags.sending(flags),
            ..self
        }
    }

    /// As [`SendZc::poll_first`].
    pub fn poll_first(self) -> Self {
        self.ring_flag(uring_sys::IORING_RECVSEND_POLL_FIRST)
    }

    /// As [`SendZc::report_usage`].
    pub fn report_usage(self) -> Self {
        self.ring_flag(uring_sys::IORING_SEND_ZC_REPORT_USAGE)
    }

    fn ring_flag(self, flag: u16) -> Self {
        SendZcFixed {
            flags: self.flags.ring(flag),
            ..self
        }
    }
}

impl<T, F, A> sealed::Sealed for SendZcFixed<T, F, A> {}

// SAFETY: registered memory stays where it is as long as the value lives; otherwise as for `SendZc`.
unsafe impl<T: Target, F: Fixed, A: Address> Operation for SendZcFixed<T, F, A> {
    type Output = ZeroCopied<T, F>;
    const OPCODE: u8 = uring_sys::IORING_OP_SEND_ZC;
    const COMPLETES: Completes<Self> = Completes::Notified;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)?;
        admit_buffer(self.buf.buffer(), ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        unsafe {
            let (start, len) = (*this).buf.memory();
            entry.set_target((*this).target.target());
            entry.set_pointer(start.cast_const());
            entry.set_len(entry_len(len));
            entry.set_buf_index((*this).buf.buffer().index());
            prepare_destination(&raw const (*this).address, entry);
            (*this).flags.prepare(entry);
        }
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        ZeroCopied::new(completion, self.flags, self.buf, self.target)
    }
}

// SAFETY: as for `SendZc`.
unsafe impl<T, F, A> RawOperation for SendZcFixed<T, F, A>
where
    T: Target + Untracked,
    F: Fixed + Untracked,
    A: Address + Untracked,
{
}

/// Sends a message without copying its buffers: several of them, to an address, with control data.
///
/// Otherwise as [`SendZc`].
///
/// Since Linux 6.1; older kernels complete with `EINVAL`.
///
/// ```
/// use std::net::UdpSocket;
/// use uring::IoVecs;
/// use uring::net::Message;
/// use uring::op::SendMsgZc;
///
/// # let mut ring = uring::Ring::best(8)?;
/// # if !ring.probe()?.supports(uring_sys::IORING_OP_SENDMSG_ZC) { return Ok(()); }
/// let (one, other) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
/// let message = Message::new(IoVecs::from(vec!["hello, ", "world"])).to(other.local_addr()?);
/// assert_eq!(ring.call(SendMsgZc::new(one, message))?.result?, 12);
/// other.recv(&mut [0; 12])?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_sendmsg_zc(3)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_sendmsg_zc")]
#[doc(alias = "IORING_OP_SENDMSG_ZC")]
#[must_use]
pub struct SendMsgZc<T, M> {
    target: T,
    message: M,
    flags: MessageFlags,
}

impl<T: Target, M: Outgoing> SendMsgZc<T, M> {
    /// Sends that message.
    pub fn new(target: T, message: M) -> SendMsgZc<T, M> {
        SendMsgZc {
            target,
            message,
            flags: MessageFlags::SENDING,
        }
    }

    /// Adds flags of `send(2)`, as [`SendZc::flags`].
    pub fn flags(self, flags: i32) -> Self {
        SendMsgZc {
            flags: self.flags.sending(flags),
            ..self
        }
    }

    /// As [`SendZc::poll_first`].
    pub fn poll_first(self) -> Self {
        self.ring_flag(uring_sys::IORING_RECVSEND_POLL_FIRST)
    }

    /// As [`SendZc::report_usage`].
    pub fn report_usage(self) -> Self {
        self.ring_flag(uring_sys::IORING_SEND_ZC_REPORT_USAGE)
    }

    fn ring_flag(self, flag: u16) -> Self {
        SendMsgZc {
            flags: self.flags.ring(flag),
            ..self
        }
    }
}

impl<T, M> sealed::Sealed for SendMsgZc<T, M> {}

// SAFETY: the header is on the heap and owned by the value, as is all that it points to, or where `RawMessage::new` was promised.
unsafe impl<T: Target, M: Outgoing> Operation for SendMsgZc<T, M> {
    type Output = ZeroCopied<T, M>;
    const OPCODE: u8 = uring_sys::IORING_OP_SENDMSG_ZC;
    const COMPLETES: Completes<Self> = Completes::Notified;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`; nobody else refers to it yet.
        let this = unsafe { &mut *this };
        fill_message(&this.target, this.message.header(), this.flags, entry);
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        ZeroCopied::new(completion, self.flags, self.message, self.target)
    }
}

// SAFETY: as for `SendZc`; the pointer leads out of the value.
unsafe impl<T: Target + Untracked, M: Outgoing + Untracked> RawOperation for SendMsgZc<T, M> {}

/// Sends a message whose bytes are pieces of a [registered buffer](crate::Ring::register_buffers), without copying them and without looking
/// their memory up.
///
/// Otherwise as [`SendMsgZc`]. A buffer of another ring is refused.
///
/// Since Linux 6.15; older kernels complete with `EINVAL`.
///
/// ```
/// use std::net::UdpSocket;
/// use uring::FixedVecs;
/// use uring::net::Message;
/// use uring::op::SendMsgZcFixed;
///
/// # let mut ring = uring::Ring::best(8)?;
/// # if !ring.probe()?.supports(uring_sys::IORING_OP_PIPE) { return Ok(()); }
/// ring.register_buffers(vec![Box::from(*b"hello, world")])?;
/// let buf = ring.registered_buf(0).expect("nobody has it yet");
/// let (one, other) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
/// let message = Message::new(FixedVecs::new(buf, [7..12, 5..7, 0..5])).to(other.local_addr()?);
/// assert_eq!(ring.call(SendMsgZcFixed::new(one, message))?.result?, 12);
/// let mut bytes = [0; 12];
/// other.recv(&mut bytes)?;
/// assert_eq!(&bytes, b"world, hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_sendmsg_zc_fixed(3)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_sendmsg_zc_fixed")]
#[doc(alias = "IORING_RECVSEND_FIXED_BUF")]
#[doc(alias = "IORING_OP_SENDMSG_ZC")]
#[must_use]
pub struct SendMsgZcFixed<T, M> {
    target: T,
    message: M,
    flags: MessageFlags,
}

impl<T: Target, M: OutgoingFixed> SendMsgZcFixed<T, M> {
    /// Sends that message.
    pub fn new(target: T, message: M) -> SendMsgZcFixed<T, M> {
        SendMsgZcFixed {
            target,
            message,
            flags: MessageFlags::SENDING.ring(uring_sys::IORING_RECVSEND_FIXED_BUF),
        }
    }

    /// Adds flags of `send(2)`, as [`SendZc::flags`].
    pub fn flags(self, flags: i32) -> Self {
        SendMsgZcFixed {
            flags: self.flags.sending(flags),
            ..self
        }
    }

    /// As [`SendZc::report_usage`].
    pub fn report_usage(self) -> Self {
        SendMsgZcFixed {
            flags: self.flags.ring(uring_sys::IORING_SEND_ZC_REPORT_USAGE),
            ..self
        }
    }
}

impl<T, M> sealed::Sealed for SendMsgZcFixed<T, M> {}

// SAFETY: as for `SendMsgZc`; registered memory stays where it is as long as the value lives, or as was promised.
unsafe impl<T: Target, M: OutgoingFixed> Operation for SendMsgZcFixed<T, M> {
    type Output = ZeroCopied<T, M>;
    const OPCODE: u8 = uring_sys::IORING_OP_SENDMSG_ZC;
    const COMPLETES: Completes<Self> = Completes::Notified;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)?;
        admit_buffer(self.message.name(), ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`; nobody else refers to it yet.
        let this = unsafe { &mut *this };
        entry.set_buf_index(this.message.name().index());
        fill_message(&this.target, this.message.header(), this.flags, entry);
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        ZeroCopied::new(completion, self.flags, self.message, self.target)
    }
}

// SAFETY: as for `SendMsgZc`.
unsafe impl<T, M> RawOperation for SendMsgZcFixed<T, M>
where
    T: Target + Untracked,
    M: OutgoingFixed + Untracked,
{
}
