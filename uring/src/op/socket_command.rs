//! What a socket can be asked: how much is in its queues, and what it is called.

use crate::completion::Completion;
use crate::entry::Entry;
use crate::error::Hint;
use crate::net::{AddressMemory, AddressSpace, RawAddressSpace};
use crate::op::socket_option::Told;
use crate::op::{Operation, RawOperation, admit_target, count, done, sealed};
use crate::resource::{Target, Untracked};

/// Asks how many bytes wait in a socket to be received (of the next datagram, where it has those).
///
/// Not for Unix sockets, which know no such commands.
///
/// Since Linux 6.7; older kernels complete with `EOPNOTSUPP`, `ENOTTY` or `EINVAL`.
///
/// ```
/// use std::net::UdpSocket;
/// use uring::op::SiocInq;
///
/// # let mut ring = uring::Ring::best(8)?;
/// # if !ring.probe()?.supports(uring_sys::IORING_OP_FUTEX_WAIT) { return Ok(()); }
/// let (one, other) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
/// one.send_to(b"hello", other.local_addr()?)?;
/// assert_eq!(ring.call(SiocInq::new(&other))?.result?, 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_cmd_sock(3)`, `tcp(7)`, `udp(7)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_cmd_sock")]
#[doc(alias = "SOCKET_URING_OP_SIOCINQ")]
#[must_use]
pub struct SiocInq<T> {
    target: T,
}

impl<T: Target> SiocInq<T> {
    /// Asks that socket.
    pub const fn new(target: T) -> SiocInq<T> {
        SiocInq { target }
    }
}

/// Asks how many bytes wait in a socket to be sent (or, for TCP, to be acknowledged).
///
/// Not for Unix sockets, which know no such commands.
///
/// Since Linux 6.7; older kernels complete with `EOPNOTSUPP`, `ENOTTY` or `EINVAL`. An example is at [`SiocInq`].
///
/// Source: `io_uring_prep_cmd_sock(3)`, `tcp(7)`, `udp(7)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_cmd_sock")]
#[doc(alias = "SOCKET_URING_OP_SIOCOUTQ")]
#[must_use]
pub struct SiocOutq<T> {
    target: T,
}

impl<T: Target> SiocOutq<T> {
    /// Asks that socket.
    pub const fn new(target: T) -> SiocOutq<T> {
        SiocOutq { target }
    }
}

/// The two ask in the same way.
macro_rules! counts {
    ($($question:ident: $command:ident),+) => { $(
        impl<T> sealed::Sealed for $question<T> {}

        // SAFETY: there is no memory to point to.
        unsafe impl<T: Target> Operation for $question<T> {
            type Output = Told<usize, T>;
            const OPCODE: u8 = uring_sys::IORING_OP_URING_CMD;

            fn admit(&self, ring: u64) -> Result<(), Hint> {
                admit_target(&self.target, ring)
            }

            unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
                // SAFETY: the caller vouches for `this`.
                entry.set_target(unsafe { (*this).target.target() });
                entry.set_command(uring_sys::$command);
            }

            unsafe fn complete(self, completion: Completion) -> Self::Output {
                Told {
                    result: count(completion),
                    target: self.target,
                }
            }
        }

        // SAFETY: the target is untracked.
        unsafe impl<T: Target + Untracked> RawOperation for $question<T> {}
    )+ };
}

counts!(SiocInq: SOCKET_URING_OP_SIOCINQ, SiocOutq: SOCKET_URING_OP_SIOCOUTQ);

/// Asks for a socket's own address, or for its peer's.
///
/// Not for Unix sockets, which know no such commands.
///
/// Since Linux 6.19; older kernels complete with `EOPNOTSUPP`, `ENOTTY` or `EINVAL`.
///
/// ```
/// use std::net::UdpSocket;
/// use uring::op::GetSockName;
///
/// # let mut ring = uring::Ring::best(8)?;
/// # if !ring.probe()?.supports(uring_sys::IORING_OP_NOP128) { return Ok(()); }
/// let socket = UdpSocket::bind("127.0.0.1:0")?;
/// let name = ring.call(GetSockName::new(&socket))?.result?;
/// assert_eq!(name.internet(), Some(socket.local_addr()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_cmd_getsockname(3)`, `getsockname(2)`, `getpeername(2)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_cmd_getsockname")]
#[doc(alias = "SOCKET_URING_OP_GETSOCKNAME")]
#[must_use]
pub struct GetSockName<T, A = AddressSpace> {
    target: T,
    space: A,
    of_peer: bool,
}

impl<T: Target> GetSockName<T> {
    /// Asks for the socket's own address.
    pub fn new(target: T) -> GetSockName<T> {
        GetSockName {
            target,
            space: AddressSpace::new(),
            of_peer: false,
        }
    }

    /// Has the address written there.
    pub fn address_into(self, space: RawAddressSpace) -> GetSockName<T, RawAddressSpace> {
        GetSockName {
            target: self.target,
            space,
            of_peer: self.of_peer,
        }
    }
}

impl<T, A> GetSockName<T, A> {
    /// Asks for the peer's address instead.
    #[doc(alias = "getpeername")]
    pub fn of_peer(self) -> Self {
        GetSockName {
            of_peer: true,
            ..self
        }
    }
}

impl<T, A> sealed::Sealed for GetSockName<T, A> {}

// SAFETY: the address goes into the value, which stays where it is, or where `RawAddressSpace::new` was promised.
unsafe impl<T: Target, A: AddressMemory> Operation for GetSockName<T, A> {
    type Output = Told<A::Alone, T>;
    const OPCODE: u8 = uring_sys::IORING_OP_URING_CMD;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        entry.set_command(uring_sys::SOCKET_URING_OP_GETSOCKNAME);
        // SAFETY: the caller vouches for `this`; no reference covers the memory that the kernel writes to.
        unsafe {
            entry.set_target((*this).target.target());
            let (address, len) = A::sockaddr(&raw mut (*this).space);
            entry.set_pointer(address.cast_const());
            entry.set_option_value(len.cast_const(), usize::from((*this).of_peer));
        }
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        Told {
            // SAFETY: the operation succeeded, so the kernel has written the address.
            result: done(completion).map(|()| unsafe { self.space.alone() }),
            target: self.target,
        }
    }
}

// SAFETY: target and room are untracked.
unsafe impl<T, A> RawOperation for GetSockName<T, A>
where
    T: Target + Untracked,
    A: AddressMemory + Untracked,
{
}
