//! Making a socket, and giving it an address.

use std::io;

use crate::completion::Completion;
use crate::direct::{AnyDirectSlot, DirectSlot, RawDirectSlot};
use crate::entry::Entry;
use crate::error::Hint;
use crate::net::{Address, ToAddress};
use crate::op::{
    IntoAnyDirect, IntoDescriptor, IntoDirect, Opens, Operation, RawOperation, admit_target, done,
    sealed,
};
use crate::resource::{Target, Untracked};

/// Makes a socket.
///
/// As a descriptor (with `SOCK_CLOEXEC`), or as a file of the ring's own table.
///
/// Since Linux 5.19; older kernels complete with `EINVAL`.
///
/// ```
/// use std::os::fd::OwnedFd;
/// use uring::op::Socket;
///
/// # let mut ring = uring::Ring::best(8)?;
/// # if !ring.probe()?.supports(uring_sys::IORING_OP_SOCKET) { return Ok(()); }
/// let socket: OwnedFd = ring.call(Socket::new(libc::AF_INET, libc::SOCK_STREAM))??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_socket(3)`, `io_uring_prep_socket_direct(3)`, `socket(2)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_socket")]
#[doc(alias = "io_uring_prep_socket_direct")]
#[doc(alias = "io_uring_prep_socket_direct_alloc")]
#[doc(alias = "IORING_OP_SOCKET")]
#[must_use]
pub struct Socket<R = IntoDescriptor> {
    domain: i32,
    kind: i32,
    protocol: i32,
    into: R,
}

impl Socket {
    /// A socket of a family (`AF_INET`, `AF_UNIX`, …) and a type (`SOCK_STREAM`, `SOCK_DGRAM`, …), with the family's usual protocol.
    pub const fn new(domain: i32, kind: i32) -> Socket {
        Socket {
            domain,
            kind,
            protocol: 0,
            into: IntoDescriptor,
        }
    }
}

impl<R: Opens> Socket<R> {
    /// Speaks that protocol (`IPPROTO_*`).
    pub fn protocol(self, protocol: i32) -> Self {
        Socket { protocol, ..self }
    }

    /// Makes it non-blocking for others; io_uring waits all the same.
    #[doc(alias = "SOCK_NONBLOCK")]
    pub fn nonblocking(self) -> Self {
        Socket {
            kind: self.kind | libc::SOCK_NONBLOCK,
            ..self
        }
    }

    /// Makes it in a reserved slot of the ring's file table.
    pub fn into_direct(self, slot: DirectSlot) -> Socket<IntoDirect> {
        self.into_file(IntoDirect::new(slot))
    }

    /// Makes it in whichever slot of the ring's file table is free.
    pub fn into_any_direct(self, slot: AnyDirectSlot) -> Socket<IntoAnyDirect> {
        self.into_file(IntoAnyDirect::new(slot))
    }

    /// Makes it in a slot that is promised to be the caller's.
    pub fn into_raw_direct(self, slot: RawDirectSlot) -> Socket<RawDirectSlot> {
        self.into_file(slot)
    }

    fn into_file<N>(self, into: N) -> Socket<N> {
        Socket {
            domain: self.domain,
            kind: self.kind,
            protocol: self.protocol,
            into,
        }
    }
}

impl<R> sealed::Sealed for Socket<R> {}

// SAFETY: there is no memory to point to.
unsafe impl<R: Opens> Operation for Socket<R> {
    type Output = io::Result<R::File>;
    const OPCODE: u8 = uring_sys::IORING_OP_SOCKET;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        self.into.admit(ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        entry.set_fd(this.domain);
        // `SOCK_CLOEXEC` is `O_CLOEXEC`.
        entry.set_off(u64::from((this.kind | R::CLOSE_ON_EXEC).unsigned_abs()));
        entry.set_len(this.protocol.unsigned_abs());
        this.into.prepare(entry);
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        // SAFETY: passed on to the caller.
        unsafe { self.into.opened(completion) }
    }
}

// SAFETY: the slot is untracked; the file's number is the completion's result.
unsafe impl<R: Opens + Untracked> RawOperation for Socket<R> {}

/// What an operation on a socket gives back that only succeeds or fails.
#[derive(Debug)]
#[must_use]
pub struct Configured<T> {
    /// Whether it succeeded.
    pub result: io::Result<()>,
    /// The socket.
    pub target: T,
}

impl<T> Configured<T> {
    pub(crate) fn new(completion: Completion, target: T) -> Configured<T> {
        Configured {
            result: done(completion),
            target,
        }
    }
}

/// Connects a socket to an address, or gives a datagram socket the peer to talk to.
///
/// Since Linux 5.5.
///
/// ```
/// use std::net::{Ipv4Addr, TcpListener, UdpSocket};
/// use uring::op::Connect;
///
/// # let mut ring = uring::Ring::best(8)?;
/// let (one, other) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
/// ring.call(Connect::new(&one, other.local_addr()?))?.result?;
/// one.send(b"hello")?;
/// let mut bytes = [0; 5];
/// assert_eq!(other.recv(&mut bytes)?, 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_connect(3)`, `connect(2)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_connect")]
#[doc(alias = "IORING_OP_CONNECT")]
#[must_use]
pub struct Connect<T, A> {
    target: T,
    address: A,
}

impl<T: Target, A: Address> Connect<T, A> {
    /// Connects to that address.
    pub fn new(target: T, address: impl ToAddress<Address = A>) -> Connect<T, A> {
        Connect {
            target,
            address: address.to_address(),
        }
    }
}

/// Gives a socket its own address.
///
/// Since Linux 6.11; older kernels complete with `EINVAL`.
///
/// ```
/// use std::net::UdpSocket;
/// use uring::op::{Bind, Socket};
///
/// # let mut ring = uring::Ring::best(8)?;
/// # if !ring.probe()?.supports(uring_sys::IORING_OP_BIND) { return Ok(()); }
/// let socket = ring.call(Socket::new(libc::AF_INET, libc::SOCK_DGRAM))??;
/// let any_port = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
/// let bound = ring.call(Bind::new(socket, any_port))?;
/// bound.result?;
/// assert_ne!(UdpSocket::from(bound.target).local_addr()?.port(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_bind(3)`, `bind(2)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_bind")]
#[doc(alias = "IORING_OP_BIND")]
#[must_use]
pub struct Bind<T, A> {
    target: T,
    address: A,
}

impl<T: Target, A: Address> Bind<T, A> {
    /// Binds to that address.
    pub fn new(target: T, address: impl ToAddress<Address = A>) -> Bind<T, A> {
        Bind {
            target,
            address: address.to_address(),
        }
    }
}

/// Names the target and an address.
///
/// # Safety
///
/// `address` is where the value stays while the kernel reads it.
unsafe fn prepare_address<A: Address>(target: &impl Target, address: *const A, entry: &mut Entry) {
    entry.set_target(target.target());
    // SAFETY: passed on to the caller.
    let (pointer, len) = unsafe { A::sockaddr(address) };
    entry.set_pointer(pointer);
    entry.set_off(u64::from(len));
}

impl<T, A> sealed::Sealed for Connect<T, A> {}

// SAFETY: the address is inside the value, which stays where it is, or where `RawAddress::new` was promised.
unsafe impl<T: Target, A: Address> Operation for Connect<T, A> {
    type Output = Configured<T>;
    const OPCODE: u8 = uring_sys::IORING_OP_CONNECT;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        unsafe { prepare_address(&(*this).target, &raw const (*this).address, entry) };
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        Configured::new(completion, self.target)
    }
}

// SAFETY: both resources are untracked, so nothing points into the value.
unsafe impl<T: Target + Untracked, A: Address + Untracked> RawOperation for Connect<T, A> {}

impl<T, A> sealed::Sealed for Bind<T, A> {}

// SAFETY: as for `Connect`.
unsafe impl<T: Target, A: Address> Operation for Bind<T, A> {
    type Output = Configured<T>;
    const OPCODE: u8 = uring_sys::IORING_OP_BIND;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        unsafe { prepare_address(&(*this).target, &raw const (*this).address, entry) };
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        Configured::new(completion, self.target)
    }
}

// SAFETY: as for `Connect`.
unsafe impl<T: Target + Untracked, A: Address + Untracked> RawOperation for Bind<T, A> {}

/// Makes a socket accept connections.
///
/// Since Linux 6.11; older kernels complete with `EINVAL`.
///
/// Source: `io_uring_prep_listen(3)`, `listen(2)`. An example is at [`Accept`](crate::op::Accept).
#[derive(Debug)]
#[doc(alias = "io_uring_prep_listen")]
#[doc(alias = "IORING_OP_LISTEN")]
#[must_use]
pub struct Listen<T> {
    target: T,
    backlog: u32,
}

impl<T: Target> Listen<T> {
    /// Listens, with at most that many connections waiting to be accepted.
    pub const fn new(target: T, backlog: u32) -> Listen<T> {
        Listen { target, backlog }
    }
}

impl<T> sealed::Sealed for Listen<T> {}

// SAFETY: there is no memory to point to.
unsafe impl<T: Target> Operation for Listen<T> {
    type Output = Configured<T>;
    const OPCODE: u8 = uring_sys::IORING_OP_LISTEN;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        entry.set_target(this.target.target());
        entry.set_len(this.backlog);
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        Configured::new(completion, self.target)
    }
}

// SAFETY: the target is untracked.
unsafe impl<T: Target + Untracked> RawOperation for Listen<T> {}

/// Ends a connection in one direction or both.
///
/// Since Linux 5.11; older kernels complete with `EINVAL`. The kernel does it in a worker thread.
///
/// ```
/// use std::io::Read as _;
/// use std::net::Shutdown as Direction;
/// use std::os::unix::net::UnixStream;
/// use uring::op::Shutdown;
///
/// # let mut ring = uring::Ring::best(8)?;
/// # if !ring.probe()?.supports(uring_sys::IORING_OP_SHUTDOWN) { return Ok(()); }
/// let (one, mut other) = UnixStream::pair()?;
/// ring.call(Shutdown::new(&one, Direction::Write))?.result?;
/// assert_eq!(other.read(&mut [0; 1])?, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_shutdown(3)`, `shutdown(2)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_shutdown")]
#[doc(alias = "IORING_OP_SHUTDOWN")]
#[must_use]
pub struct Shutdown<T> {
    target: T,
    how: std::net::Shutdown,
}

impl<T: Target> Shutdown<T> {
    /// Ends it in that direction.
    pub const fn new(target: T, how: std::net::Shutdown) -> Shutdown<T> {
        Shutdown { target, how }
    }
}

impl<T> sealed::Sealed for Shutdown<T> {}

// SAFETY: there is no memory to point to.
unsafe impl<T: Target> Operation for Shutdown<T> {
    type Output = Configured<T>;
    const OPCODE: u8 = uring_sys::IORING_OP_SHUTDOWN;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        let how = match this.how {
            std::net::Shutdown::Read => libc::SHUT_RD,
            std::net::Shutdown::Write => libc::SHUT_WR,
            std::net::Shutdown::Both => libc::SHUT_RDWR,
        };
        entry.set_target(this.target.target());
        entry.set_len(how.unsigned_abs());
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        Configured::new(completion, self.target)
    }
}

// SAFETY: the target is untracked.
unsafe impl<T: Target + Untracked> RawOperation for Shutdown<T> {}
