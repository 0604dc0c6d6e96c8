//! Accepting a connection.

use std::io;

use crate::completion::Completion;
use crate::direct::{AnyDirectSlot, DirectSlot, RawDirectSlot};
use crate::entry::Entry;
use crate::error::Hint;
use crate::net::{AddressMemory, AddressSpace, NoAddress, RawAddressSpace};
use crate::op::{
    IntoAnyDirect, IntoDescriptor, IntoDirect, Opens, Operation, RawOperation, admit_target, sealed,
};
use crate::resource::{Target, Untracked};

/// Accepts a connection.
///
/// As a descriptor (with `SOCK_CLOEXEC`), or as a file of the ring's own table.
///
/// Since Linux 5.5; into a direct descriptor since 5.15, and [refused](crate::Error::is_unsupported) before, where a kernel would make a
/// descriptor of it.
///
/// ```
/// use std::net::{TcpListener, TcpStream};
/// use uring::op::Accept;
///
/// # let mut ring = uring::Ring::best(8)?;
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let client = TcpStream::connect(listener.local_addr()?)?;
/// let accepted = ring.call(Accept::new(&listener).with_address())?;
/// let (connection, peer) = accepted.result?;
/// assert_eq!(peer.internet(), Some(client.local_addr()?));
/// let connection = TcpStream::from(connection);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_accept(3)`, `io_uring_prep_accept_direct(3)`, `accept4(2)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_accept")]
#[doc(alias = "io_uring_prep_accept_direct")]
#[doc(alias = "IORING_OP_ACCEPT")]
#[must_use]
pub struct Accept<T, A = NoAddress, R = IntoDescriptor> {
    target: T,
    address: A,
    into: R,
    flags: AcceptFlags,
}

/// What accepting once and many times have in common.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AcceptFlags {
    socket: i32,
    ring: u16,
}

impl AcceptFlags {
    pub(crate) fn nonblocking(self) -> AcceptFlags {
        AcceptFlags {
            socket: self.socket | libc::SOCK_NONBLOCK,
            ..self
        }
    }

    pub(crate) fn ring(self, flag: u16) -> AcceptFlags {
        AcceptFlags {
            ring: self.ring | flag,
            ..self
        }
    }

    pub(crate) fn prepare<R: Opens>(self, into: &R, entry: &mut Entry) {
        // `SOCK_CLOEXEC` is `O_CLOEXEC`.
        entry.set_op_flags((self.socket | R::CLOSE_ON_EXEC).unsigned_abs());
        entry.set_ioprio(self.ring);
        into.prepare(entry);
    }
}

impl<T: Target> Accept<T> {
    /// Accepts the next connection, and does not ask who it is.
    pub fn new(target: T) -> Accept<T> {
        Accept {
            target,
            address: NoAddress,
            into: IntoDescriptor,
            flags: AcceptFlags::default(),
        }
    }
}

impl<T: Target, A: AddressMemory, R: Opens> Accept<T, A, R> {
    /// Yields the peer's address with the connection.
    pub fn with_address(self) -> Accept<T, AddressSpace, R> {
        self.address_memory(AddressSpace::new())
    }

    /// Has the peer's address written there.
    pub fn address_into(self, memory: RawAddressSpace) -> Accept<T, RawAddressSpace, R> {
        self.address_memory(memory)
    }

    fn address_memory<N>(self, address: N) -> Accept<T, N, R> {
        Accept {
            target: self.target,
            address,
            into: self.into,
            flags: self.flags,
        }
    }

    /// Accepts into a reserved slot of the ring's file table.
    pub fn into_direct(self, slot: DirectSlot) -> Accept<T, A, IntoDirect> {
        self.into_file(IntoDirect::new(slot))
    }

    /// Accepts into whichever slot of the ring's file table is free. Since Linux 5.19.
    pub fn into_any_direct(self, slot: AnyDirectSlot) -> Accept<T, A, IntoAnyDirect> {
        self.into_file(IntoAnyDirect::new(slot))
    }

    /// Accepts into a slot that is promised to be the caller's.
    pub fn into_raw_direct(self, slot: RawDirectSlot) -> Accept<T, A, RawDirectSlot> {
        self.into_file(slot)
    }

    fn into_file<N>(self, into: N) -> Accept<T, A, N> {
        Accept {
            target: self.target,
            address: self.address,
            into,
            flags: self.flags,
        }
    }

    /// Makes the connection non-blocking for others; io_uring waits all the same.
    #[doc(alias = "SOCK_NONBLOCK")]
    pub fn nonblocking(self) -> Self {
        Accept {
            flags: self.flags.nonblocking(),
            ..self
        }
    }

    /// Completes with `EAGAIN` if no connection waits. Since Linux 6.10; older kernels complete with `EINVAL`.
    #[doc(alias = "IORING_ACCEPT_DONTWAIT")]
    pub fn do_not_wait(self) -> Self {
        self.ring_flag(uring_sys::IORING_ACCEPT_DONTWAIT)
    }

    /// Waits for a connection before it tries: for when none is expected to wait already. Since Linux 6.10; older kernels
    /// complete with `EINVAL`.
    #[doc(alias = "IORING_ACCEPT_POLL_FIRST")]
    pub fn poll_first(self) -> Self {
        self.ring_flag(uring_sys::IORING_ACCEPT_POLL_FIRST)
    }

    fn ring_flag(self, flag: u16) -> Self {
        Accept {
            flags: self.flags.ring(flag),
            ..self
        }
    }
}

/// What [`Accept`] gives back.
#[derive(Debug)]
#[must_use]
pub struct Accepted<V, T> {
    /// The connection, with its peer's address if that was asked for.
    pub result: io::Result<V>,
    /// The listening socket.
    pub target: T,
}

impl<T, A, R> sealed::Sealed for Accept<T, A, R> {}

// SAFETY: the address goes into the value, which stays where it is, or where `RawAddressSpace::new` was promised.
unsafe impl<T: Target, A: AddressMemory, R: Opens> Operation for Accept<T, A, R> {
    type Output = Accepted<A::With<R::File>, T>;
    const OPCODE: u8 = uring_sys::IORING_OP_ACCEPT;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)?;
        self.into.admit(ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`; no reference covers the memory that the kernel writes to.
        unsafe {
            entry.set_target((*this).target.target());
            let (address, len) = A::sockaddr(&raw mut (*this).address);
            entry.set_pointer(address.cast_const());
            entry.set_pointer2(len.cast_const());
            (*this).flags.prepare(&(*this).into, entry);
        }
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        // SAFETY: passed on to the caller; an accept that succeeded has written the address.
        let result = unsafe {
            let file = self.into.opened(completion);
            file.map(|file| self.address.with(file))
        };
        Accepted {
            result,
            target: self.target,
        }
    }
}

// SAFETY: target, address and slot are untracked; the file's number is the completion's result.
unsafe impl<T, A, R> RawOperation for Accept<T, A, R>
where
    T: Target + Untracked,
    A: AddressMemory + Untracked,
    R: Opens + Untracked,
{
}
