//! Options of sockets, and operations that get and set them.

use std::io;
use std::marker::PhantomData;

use crate::completion::Completion;
use crate::entry::Entry;
use crate::error::Hint;
use crate::op::socket::Configured;
use crate::op::{Operation, RawOperation, admit_target, sealed};
use crate::resource::{Inside, MemoryFor, RawMemory, Target, Untracked};

/// An option of sockets whose value is a `V`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketOption<V> {
    level: i32,
    name: i32,
    value: PhantomData<fn() -> V>,
}

impl<V> SocketOption<V> {
    /// The option that the level (`SOL_SOCKET`, `IPPROTO_TCP`, …) knows by that name (`SO_*`, `TCP_*`, …).
    ///
    /// # Safety
    ///
    /// The kernel takes and gives a `V` for it, and writes nowhere else in the process's memory: a few options take addresses.
    #[must_use]
    pub const unsafe fn new(level: i32, name: i32) -> SocketOption<V> {
        SocketOption::known(level, name)
    }

    const fn known(level: i32, name: i32) -> SocketOption<V> {
        SocketOption {
            level,
            name,
            value: PhantomData,
        }
    }

    const fn of_sockets(name: i32) -> SocketOption<V> {
        SocketOption::known(libc::SOL_SOCKET, name)
    }
}

impl SocketOption<bool> {
    /// Another socket may soon have its address again (`SO_REUSEADDR`).
    pub const REUSE_ADDRESS: Self = SocketOption::of_sockets(libc::SO_REUSEADDR);
    /// Other sockets may have its address too (`SO_REUSEPORT`).
    pub const REUSE_PORT: Self = SocketOption::of_sockets(libc::SO_REUSEPORT);
    /// A quiet connection is asked whether it is still there (`SO_KEEPALIVE`).
    pub const KEEP_ALIVE: Self = SocketOption::of_sockets(libc::SO_KEEPALIVE);
    /// It may send to everybody (`SO_BROADCAST`).
    pub const BROADCAST: Self = SocketOption::of_sockets(libc::SO_BROADCAST);
    /// Messages come with the sender's [`Credentials`](crate::net::Credentials) (`SO_PASSCRED`).
    pub const PASS_CREDENTIALS: Self = SocketOption::of_sockets(libc::SO_PASSCRED);
    /// Messages come with the time of their arrival (`SO_TIMESTAMPNS`).
    pub const TIMESTAMP: Self = SocketOption::of_sockets(libc::SO_TIMESTAMPNS);
    /// It listens (`SO_ACCEPTCONN`); cannot be set.
    pub const LISTENS: Self = SocketOption::of_sockets(libc::SO_ACCEPTCONN);
    /// Small segments are sent at once (`TCP_NODELAY`); cannot be got.
    pub const NO_DELAY: Self = SocketOption::known(libc::IPPROTO_TCP, libc::TCP_NODELAY);
    /// An IPv6 socket leaves IPv4 to others (`IPV6_V6ONLY`); cannot be got.
    pub const V6_ONLY: Self = SocketOption::known(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY);
}

impl SocketOption<u32> {
    /// How much room there is for what was not sent yet, in bytes (`SO_SNDBUF`); the kernel doubles what is set.
    pub const SEND_BUFFER: Self = SocketOption::of_sockets(libc::SO_SNDBUF);
    /// How much room there is for what was not received yet, in bytes (`SO_RCVBUF`); the kernel doubles what is set.
    pub const RECEIVE_BUFFER: Self = SocketOption::of_sockets(libc::SO_RCVBUF);
    /// Which times are taken, as bits `SOF_TIMESTAMPING_*` (`SO_TIMESTAMPING`).
    pub const TIMESTAMPING: Self = SocketOption::of_sockets(libc::SO_TIMESTAMPING);
}

impl SocketOption<i32> {
    /// `SOCK_STREAM`, `SOCK_DGRAM`, … (`SO_TYPE`); cannot be set.
    pub const KIND: Self = SocketOption::of_sockets(libc::SO_TYPE);
    /// `AF_INET`, `AF_UNIX`, … (`SO_DOMAIN`); cannot be set.
    pub const DOMAIN: Self = SocketOption::of_sockets(libc::SO_DOMAIN);
    /// `IPPROTO_TCP`, … (`SO_PROTOCOL`); cannot be set.
    pub const PROTOCOL: Self = SocketOption::of_sockets(libc::SO_PROTOCOL);
    /// The error number that waits to be told, which is gone then (`SO_ERROR`); cannot be set.
    pub const ERROR: Self = SocketOption::of_sockets(libc::SO_ERROR);
}

/// What an option's value can be: a number, a `bool`, or for others an array of bytes. Sealed.
pub trait OptionValue: sealed::Sealed + Copy {
    /// What the kernel reads and writes: a number, which for `bool` is an `i32` that is zero or not, or the bytes.
    type Memory: Copy;
    #[doc(hidden)]
    fn to_memory(self) -> Self::Memory;
    #[doc(hidden)]
    fn from_memory(memory: Self::Memory) -> Self;
    #[doc(hidden)]
    const UNSET: Self::Memory;
}

impl sealed::Sealed for bool {}
impl sealed::Sealed for i32 {}
impl sealed::Sealed for u32 {}
impl<const N: usize> sealed::Sealed for [u8; N] {}

impl OptionValue for bool {
    type Memory = i32;
    const UNSET: i32 = 0;

    fn to_memory(self) -> i32 {
        self.into()
    }

    fn from_memory(memory: i32) -> bool {
        memory != 0
    }
}

impl OptionValue for i32 {
    type Memory = i32;
    const UNSET: i32 = 0;

    fn to_memory(self) -> i32 {
        self
    }

    fn from_memory(memory: i32) -> i32 {
        memory
    }
}

impl OptionValue for u32 {
    type Memory = u32;
    const UNSET: u32 = 0;

    fn to_memory(self) -> u32 {
        self
    }

    fn from_memory(memory: u32) -> u32 {
        memory
    }
}

impl<const N: usize> OptionValue for [u8; N] {
    type Memory = [u8; N];
    const UNSET: [u8; N] = [0; N];

    fn to_memory(self) -> [u8; N] {
        self
    }

    fn from_memory(memory: [u8; N]) -> [u8; N] {
        memory
    }
}

/// Sets an option of a socket. Not for Unix sockets, which know no such commands.
///
/// Since Linux 6.7; older kernels complete with `EOPNOTSUPP`, `ENOTTY` or `EINVAL`.
///
/// ```
/// use std::net::TcpListener;
/// use uring::op::{GetSockOpt, SetSockOpt, SocketOption};
///
/// # let mut ring = uring::Ring::best(8)?;
/// # if !ring.probe()?.supports(uring_sys::IORING_OP_FUTEX_WAIT) { return Ok(()); }
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// ring.call(SetSockOpt::new(&listener, SocketOption::KEEP_ALIVE, true))?.result?;
/// assert!(ring.call(GetSockOpt::new(&listener, SocketOption::KEEP_ALIVE))?.result?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_cmd_sock(3)`, `setsockopt(2)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_cmd_sock")]
#[doc(alias = "SOCKET_URING_OP_SETSOCKOPT")]
#[must_use]
pub struct SetSockOpt<T, V: OptionValue, M = Inside<<V as OptionValue>::Memory>> {
    target: T,
    option: SocketOption<V>,
    value: M,
}

impl<T: Target, V: OptionValue> SetSockOpt<T, V> {
    /// Sets that option to that value.
    pub fn new(target: T, option: SocketOption<V>, value: V) -> SetSockOpt<T, V> {
        SetSockOpt {
            target,
            option,
            value: Inside::new(value.to_memory()),
        }
    }
}

impl<T, V: OptionValue, M: MemoryFor<V::Memory>> SetSockOpt<T, V, M> {
    /// Has the kernel read the value there.
    pub fn value_into(
        mut self,
        memory: RawMemory<V::Memory>,
    ) -> SetSockOpt<T, V, RawMemory<V::Memory>> {
        SetSockOpt {
            value: memory.holding(self.value.get()),
            target: self.target,
            option: self.option,
        }
    }
}

/// Gets an option of a socket, of the level `SOL_SOCKET` only. Not for Unix sockets, which know no such commands.
///
/// Since Linux 6.7; older kernels complete with `EOPNOTSUPP`, `ENOTTY` or `EINVAL`. An example is at [`SetSockOpt`].
///
/// Source: `io_uring_prep_cmd_sock(3)`, `getsockopt(2)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_cmd_sock")]
#[doc(alias = "SOCKET_URING_OP_GETSOCKOPT")]
#[must_use]
pub struct GetSockOpt<T, V: OptionValue, M = Inside<<V as OptionValue>::Memory>> {
    target: T,
    option: SocketOption<V>,
    value: M,
}

impl<T: Target, V: OptionValue> GetSockOpt<T, V> {
    /// Gets that option.
    pub fn new(target: T, option: SocketOption<V>) -> GetSockOpt<T, V> {
        GetSockOpt {
            target,
            option,
            value: Inside::new(V::UNSET),
        }
    }
}

impl<T, V: OptionValue, M> GetSockOpt<T, V, M> {
    /// Has the kernel write the value there. The completion of a raw operation says how many bytes it is.
    pub fn value_into(
        self,
        memory: RawMemory<V::Memory>,
    ) -> GetSockOpt<T, V, RawMemory<V::Memory>> {
        GetSockOpt {
            value: memory.holding(V::UNSET),
            target: self.target,
            option: self.option,
        }
    }
}

/// What an operation gives back that asks a socket for something.
#[derive(Debug)]
#[must_use]
pub struct Told<V, T> {
    /// The answer.
    pub result: io::Result<V>,
    /// The socket.
    pub target: T,
}

/// # Safety
///
/// `value` is where the value stays while the kernel reads or writes it.
unsafe fn prepare<V: OptionValue>(
    command: u32,
    target: &impl Target,
    option: SocketOption<V>,
    value: *const V::Memory,
    entry: &mut Entry,
) {
    entry.set_target(target.target());
    entry.set_command(command);
    entry.set_option(option.level, option.name);
    entry.set_option_value(value, size_of::<V::Memory>());
}

impl<T, V: OptionValue, M> sealed::Sealed for SetSockOpt<T, V, M> {}

// SAFETY: the value is inside the operation, which stays where it is, or where `RawMemory::new` was promised.
unsafe impl<T, V, M> Operation for SetSockOpt<T, V, M>
where
    T: Target,
    V: OptionValue,
    M: MemoryFor<V::Memory>,
{
    type Output = Configured<T>;
    const OPCODE: u8 = uring_sys::IORING_OP_URING_CMD;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        let command = uring_sys::SOCKET_URING_OP_SETSOCKOPT;
        // SAFETY: the caller vouches for `this`.
        unsafe {
            let value = (*this).value.as_mut_ptr().cast_const();
            prepare(command, &(*this).target, (*this).option, value, entry);
        }
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        Configured::new(completion, self.target)
    }
}

// SAFETY: the target is untracked, and the value is elsewhere.
unsafe impl<T, V> RawOperation for SetSockOpt<T, V, RawMemory<V::Memory>>
where
    T: Target + Untracked,
    V: OptionValue,
{
}

impl<T, V: OptionValue, M> sealed::Sealed for GetSockOpt<T, V, M> {}

// SAFETY: as for `SetSockOpt`.
unsafe impl<T, V, M> Operation for GetSockOpt<T, V, M>
where
    T: Target,
    V: OptionValue,
    M: MemoryFor<V::Memory>,
{
    type Output = Told<V, T>;
    const OPCODE: u8 = uring_sys::IORING_OP_URING_CMD;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        let command = uring_sys::SOCKET_URING_OP_GETSOCKOPT;
        // SAFETY: the caller vouches for `this`.
        unsafe {
            let value = (*this).value.as_mut_ptr().cast_const();
            prepare(command, &(*this).target, (*this).option, value, entry);
        }
    }

    unsafe fn complete(mut self, completion: Completion) -> Self::Output {
        Told {
            result: completion
                .result()
                .map(|_| V::from_memory(self.value.get())),
            target: self.target,
        }
    }
}

// SAFETY: as for `SetSockOpt`.
unsafe impl<T, V> RawOperation for GetSockOpt<T, V, RawMemory<V::Memory>>
where
    T: Target + Untracked,
    V: OptionValue,
{
}
