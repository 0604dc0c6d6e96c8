//! Sending one buffer.

use crate::completion::Completion;
use crate::entry::Entry;
use crate::error::Hint;
use crate::net::{Address, NoAddress, ToAddress};
use crate::op::{Operation, RawOperation, Transferred, admit_target, count, entry_len, sealed};
use crate::resource::{Buf, Target, Untracked};

/// Sends a buffer to a socket.
///
/// A stream may take less than all of it; datagrams and packets go whole. A peer that is gone is `EPIPE` and never a signal.
///
/// It has the name of the standard library's trait: where a glob import or this type hides [`std::marker::Send`], the trait is written in full.
///
/// Since Linux 5.6.
///
/// ```
/// use std::net::UdpSocket;
/// use uring::op::Send;
///
/// # let mut ring = uring::Ring::best(8)?;
/// # if !ring.probe()?.supports(uring_sys::IORING_OP_SENDMSG_ZC) { return Ok(()); }
/// let (one, other) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
/// let sent = ring.call(Send::new(&one, "hello").to(other.local_addr()?))?;
/// assert_eq!(sent.result?, 5);
/// let mut bytes = [0; 5];
/// assert_eq!(other.recv_from(&mut bytes)?, (5, one.local_addr()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_send(3)`, `io_uring_prep_sendto(3)`, `send(2)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_send")]
#[doc(alias = "io_uring_prep_sendto")]
#[doc(alias = "io_uring_prep_send_set_addr")]
#[doc(alias = "IORING_OP_SEND")]
#[must_use]
pub struct Send<T, B, A = NoAddress> {
    target: T,
    buf: B,
    address: A,
    flags: MessageFlags,
}

/// The flags of one send or receive: those of the socket call, and those of the ring.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MessageFlags {
    message: u32,
    ring: u16,
}

impl MessageFlags {
    /// What every send has: newer kernels add it by themselves.
    pub(crate) const SENDING: MessageFlags = MessageFlags {
        message: libc::MSG_NOSIGNAL.unsigned_abs(),
        ring: 0,
    };

    /// Adds flags of `send(2)`, less those under which the kernel works on the buffer after the operation has completed.
    pub(crate) fn sending(self, flags: i32) -> MessageFlags {
        self.message(flags & !libc::MSG_ZEROCOPY)
    }

    /// Adds flags of `recv(2)`, less those under which it counts bytes that it has not written.
    pub(crate) fn receiving(self, flags: i32) -> MessageFlags {
        self.message(flags & !libc::MSG_TRUNC)
    }

    fn message(self, flags: i32) -> MessageFlags {
        MessageFlags {
            // The topmost bit is the kernel's own.
            message: self.message | (flags & i32::MAX).unsigned_abs(),
            ..self
        }
    }

    /// Adds flags of the ring.
    pub(crate) fn ring(self, flag: u16) -> MessageFlags {
        MessageFlags {
            ring: self.ring | flag,
            ..self
        }
    }

    pub(crate) fn has_ring(self, flag: u16) -> bool {
        self.ring & flag != 0
    }

    #[inline]
    pub(crate) fn prepare(self, entry: &mut Entry) {
        entry.set_op_flags(self.message);
        entry.set_ioprio(self.ring);
    }
}

/// Names where a send goes.
///
/// # Safety
///
/// `address` is where the value stays while the kernel reads it.
#[inline]
pub(crate) unsafe fn prepare_destination<A: Address>(address: *const A, entry: &mut Entry) {
    // SAFETY: passed on to the caller.
    let (pointer, len) = unsafe { A::sockaddr(address) };
    if !pointer.is_null() {
        entry.set_pointer2(pointer);
        // What does not fit is longer than any address, as is the most that fits: `EINVAL`.
        entry.set_addr_len(u16::try_from(len).unwrap_or(u16::MAX));
    }
}

impl<T: Target, B: Buf> Send<T, B> {
    /// Sends to the peer that the socket is connected to.
    pub fn new(target: T, buf: B) -> Send<T, B> {
        Send {
            target,
            buf,
            address: NoAddress,
            flags: MessageFlags::SENDING,
        }
    }

    /// Sends to that address. Since Linux 6.1; older kernels complete with `EINVAL`.
    pub fn to<A: Address>(self, address: impl ToAddress<Address = A>) -> Send<T, B, A> {
        Send {
            target: self.target,
            buf: self.buf,
            address: address.to_address(),
            flags: self.flags,
        }
    }
}

impl<T: Target, B: Buf, A: Address> Send<T, B, A> {
    /// Adds flags of `send(2)` (`MSG_MORE`, `MSG_DONTWAIT`, `MSG_WAITALL`, …).
    ///
    /// `MSG_ZEROCOPY` is left out: under it the kernel reads the buffer after the operation has completed.
    /// [`SendZc`](crate::op::SendZc) waits for that.
    pub fn flags(self, flags: i32) -> Self {
        Send {
            flags: self.flags.sending(flags),
            ..self
        }
    }

    /// Waits until the socket takes something before it tries. Since Linux 5.19; older kernels complete with `EINVAL`.
    #[doc(alias = "IORING_RECVSEND_POLL_FIRST")]
    pub fn poll_first(self) -> Self {
        Send {
            flags: self.flags.ring(uring_sys::IORING_RECVSEND_POLL_FIRST),
            ..self
        }
    }
}

impl<T, B, A> sealed::Sealed for Send<T, B, A> {}

// SAFETY: the buffer's memory stays where it is as long as the value lives (contract of `Buf`); the address is inside the value, which
// stays where it is, or where `RawAddress::new` was promised.
unsafe impl<T: Target, B: Buf, A: Address> Operation for Send<T, B, A> {
    type Output = Transferred<T, B>;
    const OPCODE: u8 = uring_sys::IORING_OP_SEND;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)
    }

    #[inline]
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

    #[inline]
    unsafe fn complete(self, completion: Completion) -> Self::Output {
        Transferred {
            result: count(completion),
            buf: self.buf,
            target: self.target,
        }
    }
}

// SAFETY: all three resources are untracked, so nothing points into the value.
unsafe impl<T, B, A> RawOperation for Send<T, B, A>
where
    T: Target + Untracked,
    B: Buf + Untracked,
    A: Address + Untracked,
{
}
