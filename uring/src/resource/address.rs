//! Addresses of sockets, in the kernel's form.

mod space;

pub use space::{AddressMemory, AddressSpace, RawAddressSpace};

use std::fmt;
use std::mem::offset_of;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::ptr::{self, NonNull};

use crate::op::sealed::Sealed;
use crate::resource::Untracked;

/// An address of any kind of socket.
///
/// Made from std's [`SocketAddr`] or Unix [`SocketAddr`](UnixAddr) (a path, an abstract name, or none), or from the bytes of the
/// kernel's `sockaddr`; what the kernel says of a peer is one of these.
///
/// ```
/// use std::net::{Ipv4Addr, SocketAddr};
/// use uring::net::SocketAddress;
///
/// let http = SocketAddr::from((Ipv4Addr::LOCALHOST, 80));
/// assert_eq!(SocketAddress::from(http).internet(), Some(http));
/// assert!(SocketAddress::from(http).unix().is_none());
/// ```
#[derive(Clone, Copy)]
#[doc(alias = "sockaddr_storage")]
pub struct SocketAddress {
    storage: libc::sockaddr_storage,
    len: libc::socklen_t,
}

/// An IPv4 or IPv6 address with a port: what [`SocketAddress`] is for these two, in less room.
#[derive(Clone, Copy)]
#[doc(alias = "sockaddr_in")]
#[doc(alias = "sockaddr_in6")]
pub struct InternetAddress(Internet);

#[derive(Clone, Copy)]
enum Internet {
    V4(libc::sockaddr_in),
    V6(libc::sockaddr_in6),
}

/// The most that a `sockaddr` takes.
const CAPACITY: usize = size_of::<libc::sockaddr_storage>();

/// The size of a structure as the kernel counts addresses.
pub(crate) const fn address_len<T>() -> libc::socklen_t {
    let size = size_of::<T>();
    assert!(size <= CAPACITY, "no address is larger");
    // It fits: see above. `try_from` is not const.
    #[allow(clippy::cast_possible_truncation, reason = "at most 128")]
    let len = size as libc::socklen_t;
    len
}

/// `AF_*` as it stands in an address.
const fn family(family: libc::c_int) -> libc::sa_family_t {
    assert!(family >= 0 && family < 256, "families are small numbers");
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked above; `try_from` is not const"
    )]
    let family = family as libc::sa_family_t;
    family
}

const INET: libc::sa_family_t = family(libc::AF_INET);
const INET6: libc::sa_family_t = family(libc::AF_INET6);
const UNIX: libc::sa_family_t = family(libc::AF_UNIX);

impl SocketAddress {
    /// The address that a `sockaddr` of these bytes is. `None` if they are more than the kernel takes (128).
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<SocketAddress> {
        if bytes.len() > CAPACITY {
            return None;
        }
        let len = libc::socklen_t::try_from(bytes.len()).ok()?;
        // SAFETY: all zeroes are a valid value of this structure of numbers.
        let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
        // SAFETY: the structure has room for as many bytes, and any byte is valid in it.
        unsafe {
            ptr::copy_nonoverlapping(bytes.as_ptr(), (&raw mut storage).cast(), bytes.len());
        }
        Some(SocketAddress { storage, len })
    }

    /// The bytes of the kernel's `sockaddr`, as many as count.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        let len = usize::try_from(self.len).unwrap_or(0).min(CAPACITY);
        // SAFETY: the structure is initialised throughout and at least `len` bytes long.
        unsafe { std::slice::from_raw_parts((&raw const self.storage).cast(), len) }
    }

    /// `AF_INET`, `AF_UNIX`, …; `None` for an address of no bytes, which the peer of a nameless socket may have.
    #[must_use]
    pub fn family(&self) -> Option<i32> {
        self.part::<libc::sa_family_t>().map(i32::from)
    }

    /// The address as a structure, if it has as many bytes.
    ///
    /// `T` is one of libc's address structures, for which any bytes are valid.
    fn part<T: Copy>(&self) -> Option<T> {
        let bytes = self.as_bytes();
        // SAFETY: there are as many bytes; any are valid (above), and the read needs no alignment.
        (bytes.len() >= size_of::<T>())
            .then(|| unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
    }

    /// The address of an IPv4 or IPv6 socket.
    #[must_use]
    pub fn internet(&self) -> Option<SocketAddr> {
        match libc::sa_family_t::try_from(self.family()?).ok()? {
            INET => self.part().map(|v4| of_v4(&v4).into()),
            INET6 => self.part().map(|v6| of_v6(&v6).into()),
            _ => None,
        }
    }

    /// The address of a Unix socket: a path, an abstract name, or none.
    #[must_use]
    pub fn unix(&self) -> Option<UnixAddr> {
        if self.family()? != libc::AF_UNIX {
            return None;
        }
        let name = self
            .as_bytes()
            .get(offset_of!(libc::sockaddr_un, sun_path)..)?;
        match name.split_first() {
            Some((0, name)) => UnixAddr::from_abstract_name(name).ok(),
            _ => {
                // The kernel counts the zero byte that ends a path.
                let path = name.split(|byte| *byte == 0).next()?;
                UnixAddr::from_pathname(std::ffi::OsStr::from_bytes(path)).ok()
            }
        }
    }
}

fn of_v4(v4: &libc::sockaddr_in) -> SocketAddrV4 {
    let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
    SocketAddrV4::new(ip, u16::from_be(v4.sin_port))
}

fn of_v6(v6: &libc::sockaddr_in6) -> SocketAddrV6 {
    SocketAddrV6::new(
        Ipv6Addr::from(v6.sin6_addr.s6_addr),
        u16::from_be(v6.sin6_port),
        v6.sin6_flowinfo,
        v6.sin6_scope_id,
    )
}

fn to_v4(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: INET,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from(*address.ip()).to_be(),
        },
        sin_zero: [0; 8],
    }
}

fn to_v6(address: SocketAddrV6) -> libc::sockaddr_in6 {
    libc::sockaddr_in6 {
        sin6_family: INET6,
        sin6_port: address.port().to_be(),
        sin6_flowinfo: address.flowinfo(),
        sin6_addr: libc::in6_addr {
            s6_addr: address.ip().octets(),
        },
        sin6_scope_id: address.scope_id(),
    }
}

impl From<SocketAddrV4> for InternetAddress {
    fn from(address: SocketAddrV4) -> InternetAddress {
        InternetAddress(Internet::V4(to_v4(address)))
    }
}

impl From<SocketAddrV6> for InternetAddress {
    fn from(address: SocketAddrV6) -> InternetAddress {
        InternetAddress(Internet::V6(to_v6(address)))
    }
}

impl From<SocketAddr> for InternetAddress {
    fn from(address: SocketAddr) -> InternetAddress {
        match address {
            SocketAddr::V4(v4) => v4.into(),
            SocketAddr::V6(v6) => v6.into(),
        }
    }
}

impl From<InternetAddress> for SocketAddr {
    fn from(address: InternetAddress) -> SocketAddr {
        match address.0 {
            Internet::V4(v4) => of_v4(&v4).into(),
            Internet::V6(v6) => of_v6(&v6).into(),
        }
    }
}

impl From<InternetAddress> for SocketAddress {
    fn from(address: InternetAddress) -> SocketAddress {
        let (start, len) = match &address.0 {
            Internet::V4(v4) => (ptr::from_ref(v4).cast::<u8>(), size_of_val(v4)),
            Internet::V6(v6) => (ptr::from_ref(v6).cast::<u8>(), size_of_val(v6)),
        };
        // SAFETY: the bytes of a structure without padding, borrowed above.
        let bytes = unsafe { std::slice::from_raw_parts(start, len) };
        match SocketAddress::from_bytes(bytes) {
            Some(address) => address,
            None => unreachable!("`sockaddr_storage` has room for every address"),
        }
    }
}

impl From<SocketAddr> for SocketAddress {
    fn from(address: SocketAddr) -> SocketAddress {
        InternetAddress::from(address).into()
    }
}

impl From<&UnixAddr> for SocketAddress {
    fn from(address: &UnixAddr) -> SocketAddress {
        let mut bytes = UNIX.to_ne_bytes().to_vec();
        if let Some(path) = address.as_pathname() {
            bytes.extend_from_slice(path.as_os_str().as_bytes());
            bytes.push(0);
        } else if let Some(name) = address.as_abstract_name() {
            bytes.push(0);
            bytes.extend_from_slice(name);
        }
        match SocketAddress::from_bytes(&bytes) {
            Some(address) => address,
            None => unreachable!("std's address is a `sockaddr_un`, which is smaller"),
        }
    }
}

impl PartialEq for SocketAddress {
    fn eq(&self, other: &SocketAddress) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for SocketAddress {}

impl fmt::Debug for SocketAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(internet) = self.internet() {
            write!(f, "SocketAddress({internet})")
        } else if let Some(unix) = self.unix() {
            write!(f, "SocketAddress({unix:?})")
        } else {
            write!(f, "SocketAddress({:?})", self.as_bytes())
        }
    }
}

impl fmt::Debug for InternetAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InternetAddress({})", SocketAddr::from(*self))
    }
}

/// The bare address of a `sockaddr`.
#[derive(Clone, Copy, Debug)]
pub struct RawAddress {
    start: NonNull<libc::sockaddr>,
    len: libc::socklen_t,
}

impl RawAddress {
    /// The `sockaddr` of `len` bytes that is there.
    ///
    /// # Safety
    ///
    /// It stays there unchanged until the last completion of each operation pushed with it has been reaped.
    #[must_use]
    pub const unsafe fn new(start: NonNull<libc::sockaddr>, len: libc::socklen_t) -> RawAddress {
        RawAddress { start, len }
    }
}

// SAFETY: the constructor carries the promise.
unsafe impl Untracked for RawAddress {}

/// No address.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoAddress;

// SAFETY: there is nothing to keep alive.
unsafe impl Untracked for NoAddress {}

/// Where the kernel reads an address: inside the operation ([`InternetAddress`], [`SocketAddress`]), by promise somewhere else
/// ([`RawAddress`]), or nowhere ([`NoAddress`]). Sealed.
pub trait Address: Sealed {
    /// Pointer and length, given where the value is.
    ///
    /// # Safety
    ///
    /// `this` is the address of a value.
    #[doc(hidden)]
    unsafe fn sockaddr(this: *const Self) -> (*const libc::sockaddr, libc::socklen_t);
}

impl Sealed for NoAddress {}
impl Sealed for RawAddress {}
impl Sealed for InternetAddress {}
impl Sealed for SocketAddress {}

impl Address for NoAddress {
    unsafe fn sockaddr(_: *const NoAddress) -> (*const libc::sockaddr, libc::socklen_t) {
        (ptr::null(), 0)
    }
}

impl Address for RawAddress {
    unsafe fn sockaddr(this: *const RawAddress) -> (*const libc::sockaddr, libc::socklen_t) {
        // SAFETY: passed on to the caller.
        let RawAddress { start, len } = unsafe { *this };
        (start.as_ptr().cast_const(), len)
    }
}

impl Address for InternetAddress {
    unsafe fn sockaddr(this: *const InternetAddress) -> (*const libc::sockaddr, libc::socklen_t) {
        // SAFETY: passed on to the caller; the pointers that come out of the reference are only read through.
        match unsafe { &(*this).0 } {
            Internet::V4(v4) => (ptr::from_ref(v4).cast(), address_len::<libc::sockaddr_in>()),
            Internet::V6(v6) => (
                ptr::from_ref(v6).cast(),
                address_len::<libc::sockaddr_in6>(),
            ),
        }
    }
}

impl Address for SocketAddress {
    unsafe fn sockaddr(this: *const SocketAddress) -> (*const libc::sockaddr, libc::socklen_t) {
        // SAFETY: passed on to the caller.
        unsafe { ((&raw const (*this).storage).cast(), (*this).len) }
    }
}

/// What can be given where an operation takes an address: std's addresses, and this library's. Sealed.
pub trait ToAddress: Sealed {
    /// The form in which the operation keeps it.
    type Address: Address;
    #[doc(hidden)]
    fn to_address(self) -> Self::Address;
}

/// One implementation for each address that is converted; coherence does not let a generic one stand beside them.
macro_rules! converted {
    ($($from:ty => $to:ty),+ $(,)?) => { $(
        impl Sealed for $from {}
        impl ToAddress for $from {
            type Address = $to;
            fn to_address(self) -> $to {
                self.into()
            }
        }
    )+ };
}

converted!(
    SocketAddr => InternetAddress,
    SocketAddrV4 => InternetAddress,
    SocketAddrV6 => InternetAddress,
    &UnixAddr => SocketAddress,
);

impl<A: Address> ToAddress for A {
    type Address = A;
    fn to_address(self) -> A {
        self
    }
}
