//! Accepting connection after connection.

use std::os::fd::{FromRawFd, OwnedFd};

use crate::completion::Completion;
use crate::direct::{AnyDirectSlot, Direct, RawDirectSlot};
use crate::entry::Entry;
use crate::error::Hint;
use crate::op::accept::AcceptFlags;
use crate::op::{
    Completes, Ended, IntoAnyDirect, IntoDescriptor, Multishot, Opens, Operation, RawOperation,
    admit_target, sealed,
};
use crate::resource::{Target, Untracked};

/// Accepts connections until it is cancelled or fails.
///
/// Its token [yields](crate::Ring::wait_item) each: as a descriptor (with `SOCK_CLOEXEC`), or as a file of the ring's own table, in a slot
/// that the kernel chooses. Connections that nobody takes are closed. While it is in flight the listening socket stays open, whoever
/// closes it.
///
/// Since Linux 5.19; older kernels complete with `EINVAL`. Into direct descriptors since 6.0.
///
/// ```
/// use std::net::{TcpListener, TcpStream};
/// use uring::op::AcceptMultishot;
///
/// # let mut ring = uring::Ring::best(8)?;
/// # if !ring.probe()?.supports(uring_sys::IORING_OP_SOCKET) { return Ok(()); }
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let address = listener.local_addr()?;
/// let accepts = ring.push(AcceptMultishot::new(listener))?;
/// for _ in 0..3 {
///     let client = TcpStream::connect(address)?;
///     let server = ring.wait_item(&accepts)?.map(TcpStream::from).expect("nobody has cancelled");
///     assert_eq!(server.peer_addr()?, client.local_addr()?);
/// }
/// ring.cancel(&accepts)?;
/// let listener = ring.wait(accepts)?.op.into_target();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_multishot_accept(3)`, `io_uring_prep_multishot_accept_direct(3)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_multishot_accept")]
#[doc(alias = "io_uring_prep_multishot_accept_direct")]
#[doc(alias = "IORING_ACCEPT_MULTISHOT")]
#[doc(alias = "IORING_OP_ACCEPT")]
#[must_use]
pub struct AcceptMultishot<T, R = IntoDescriptor> {
    target: T,
    into: R,
    flags: AcceptFlags,
}

impl<T: Target> AcceptMultishot<T> {
    /// Accepts connections to that socket.
    pub fn new(target: T) -> AcceptMultishot<T> {
        AcceptMultishot {
            target,
            into: IntoDescriptor,
            flags: AcceptFlags::default().ring(uring_sys::IORING_ACCEPT_MULTISHOT),
        }
    }

    /// Accepts into whichever slots of the ring's file table are free. A connection that finds none ends it with `ENFILE`, and is lost.
    pub fn into_any_direct(self, slot: AnyDirectSlot) -> AcceptMultishot<T, IntoAnyDirect> {
        AcceptMultishot {
            target: self.target,
            into: IntoAnyDirect::new(slot),
            flags: self.flags,
        }
    }
}

impl<T: Target> AcceptMultishot<T> {
    /// Accepts into whichever slots are free of a table that is promised to be the caller's.
    pub fn into_raw_direct(self, slot: RawDirectSlot) -> AcceptMultishot<T, RawDirectSlot> {
        AcceptMultishot {
            target: self.target,
            into: slot,
            flags: self.flags,
        }
    }
}

impl<T: Target, R: OpensMany> AcceptMultishot<T, R> {
    /// Makes the connections non-blocking for others; io_uring waits all the same.
    #[doc(alias = "SOCK_NONBLOCK")]
    pub fn nonblocking(self) -> Self {
        AcceptMultishot {
            flags: self.flags.nonblocking(),
            ..self
        }
    }

    /// Waits for a connection before it tries: for when none is expected to wait already. Since Linux 6.10; older kernels
    /// complete with `EINVAL`.
    #[doc(alias = "IORING_ACCEPT_POLL_FIRST")]
    pub fn poll_first(self) -> Self {
        AcceptMultishot {
            flags: self.flags.ring(uring_sys::IORING_ACCEPT_POLL_FIRST),
            ..self
        }
    }

    /// The listening socket, given back.
    pub fn into_target(self) -> T {
        self.target
    }
}

/// What many files are opened as: [`IntoDescriptor`], [`IntoAnyDirect`], or by promise [`RawDirectSlot::any`]. Sealed.
pub trait OpensMany: Opens {
    /// # Safety
    ///
    /// `completion` is one of an operation that opens files as this says, has succeeded, and nobody has claimed the file.
    #[doc(hidden)]
    unsafe fn one(&self, completion: Completion) -> Self::File;
}

impl OpensMany for IntoDescriptor {
    unsafe fn one(&self, completion: Completion) -> OwnedFd {
        // SAFETY: passed on to the caller: the kernel has just opened this descriptor for us.
        unsafe { OwnedFd::from_raw_fd(completion.raw_result()) }
    }
}

impl OpensMany for IntoAnyDirect {
    unsafe fn one(&self, completion: Completion) -> Direct {
        self.filled(completion.raw_result().unsigned_abs())
    }
}

impl OpensMany for RawDirectSlot {
    unsafe fn one(&self, completion: Completion) -> u32 {
        completion.raw_result().unsigned_abs()
    }
}

impl<T, R> sealed::Sealed for AcceptMultishot<T, R> {}

// SAFETY: there is no memory to point to.
unsafe impl<T: Target, R: OpensMany> Operation for AcceptMultishot<T, R> {
    type Output = Ended<Self>;
    const OPCODE: u8 = uring_sys::IORING_OP_ACCEPT;
    const COMPLETES: Completes<Self> = Completes::many();

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)?;
        self.into.admit(ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        entry.set_target(this.target.target());
        this.flags.prepare(&this.into, entry);
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        Ended::new(self, completion)
    }
}

// SAFETY: nothing of the value is written to by the kernel.
unsafe impl<T: Target, R: OpensMany> Multishot for AcceptMultishot<T, R> {
    type Item = R::File;

    unsafe fn item(this: *const Self, completion: Completion) -> R::File {
        // SAFETY: the caller vouches for `this` and for the completion, of which items are made only if it has succeeded.
        unsafe { (*this).into.one(completion) }
    }
}

// SAFETY: target and slot are untracked; the file's number is the completion's result.
unsafe impl<T, R> RawOperation for AcceptMultishot<T, R>
where
    T: Target + Untracked,
    R: OpensMany + Untracked,
{
}
