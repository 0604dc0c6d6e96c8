//! Sending several buffers without a message's header.

use crate::completion::Completion;
use crate::entry::Entry;
use crate::error::Hint;
use crate::net::{Address, NoAddress, ToAddress};
use crate::op::send::{MessageFlags, prepare_destination};
use crate::op::{Operation, RawOperation, Transferred, admit_target, count, sealed};
use crate::resource::{Target, Untracked, Vectored};

/// Sends several buffers to a socket, one after the other, without the header that [`SendMsg`](crate::op::SendMsg) takes.
///
/// Since Linux 6.17; older kernels complete with `EINVAL`.
///
/// ```
/// use std::os::unix::net::UnixStream;
/// use uring::IoVecs;
/// use uring::op::{Recv, SendVectored};
///
/// # let mut ring = uring::Ring::best(8)?;
/// # if !ring.probe()?.supports(uring_sys::IORING_OP_NOP128) { return Ok(()); }
/// let (one, other) = UnixStream::pair()?;
/// let pieces = IoVecs::from(vec!["one ", "after ", "the other"]);
/// assert_eq!(ring.call(SendVectored::new(&one, pieces))?.result?, 19);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `IORING_SEND_VECTORIZED` of `linux/io_uring.h`.
#[derive(Debug)]
#[doc(alias = "IORING_SEND_VECTORIZED")]
#[doc(alias = "IORING_OP_SEND")]
#[must_use]
pub struct SendVectored<T, V, A = NoAddress> {
    target: T,
    bufs: V,
    address: A,
    flags: MessageFlags,
}

impl<T: Target, V: Vectored> SendVectored<T, V> {
    /// Sends to the peer that the socket is connected to.
    pub fn new(target: T, bufs: V) -> SendVectored<T, V> {
        SendVectored {
            target,
            bufs,
            address: NoAddress,
            flags: MessageFlags::SENDING.ring(uring_sys::IORING_SEND_VECTORIZED),
        }
    }

    /// Sends to that address.
    pub fn to<A: Address>(self, address: impl ToAddress<Address = A>) -> SendVectored<T, V, A> {
        SendVectored {
            target: self.target,
            bufs: self.bufs,
            address: address.to_address(),
            flags: self.flags,
        }
    }
}

impl<T: Target, V: Vectored, A: Address> SendVectored<T, V, A> {
    /// Adds flags of `send(2)`, as [`Send::flags`](crate::op::Send::flags).
    pub fn flags(self, flags: i32) -> Self {
        SendVectored {
            flags: self.flags.sending(flags),
            ..self
        }
    }

    /// Waits until the socket takes something before it tries.
    #[doc(alias = "IORING_RECVSEND_POLL_FIRST")]
    pub fn poll_first(self) -> Self {
        SendVectored {
            flags: self.flags.ring(uring_sys::IORING_RECVSEND_POLL_FIRST),
            ..self
        }
    }
}

impl<T, V, A> sealed::Sealed for SendVectored<T, V, A> {}

// SAFETY: vectors and memory stay where they are as long as the value lives (contract of `Vectored`); the address is inside the value,
// which stays where it is, or where `RawAddress::new` was promised.
unsafe impl<T: Target, V: Vectored, A: Address> Operation for SendVectored<T, V, A> {
    type Output = Transferred<T, V>;
    const OPCODE: u8 = uring_sys::IORING_OP_SEND;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`; nobody else refers to it yet.
        unsafe {
            entry.set_target((*this).target.target());
            let bufs = &mut (*this).bufs;
            let (vectors, count) = bufs.io_vecs();
            entry.set_pointer(vectors);
            entry.set_len(u32::try_from(count).unwrap_or(u32::MAX));
            prepare_destination(&raw const (*this).address, entry);
            (*this).flags.prepare(entry);
        }
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        Transferred {
            result: count(completion),
            buf: self.bufs,
            target: self.target,
        }
    }
}

// SAFETY: all three resources are untracked, so nothing points into the value.
unsafe impl<T, V, A> RawOperation for SendVectored<T, V, A>
where
    T: Target + Untracked,
    V: Vectored + Untracked,
    A: Address + Untracked,
{
}
