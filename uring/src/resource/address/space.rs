//! Room for addresses that the kernel writes.

use std::fmt;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};

use crate::op::sealed::Sealed;
use crate::resource::Untracked;
use crate::resource::address::{NoAddress, SocketAddress, address_len};

/// Where the kernel writes an address: nowhere ([`NoAddress`]), inside the operation ([`AddressSpace`]), or by promise somewhere else
/// ([`RawAddressSpace`]). Sealed.
pub trait AddressMemory: Sealed {
    /// What an operation that yields `V` yields with the address.
    type With<V>;
    /// What an operation yields that asks for nothing but the address.
    type Alone;

    /// Where address and length go, given where the value is.
    ///
    /// # Safety
    ///
    /// `this` is the address of a value that nobody else uses.
    #[doc(hidden)]
    unsafe fn sockaddr(this: *mut Self) -> (*mut libc::sockaddr, *mut libc::socklen_t);

    /// # Safety
    ///
    /// The kernel has written the address.
    #[doc(hidden)]
    unsafe fn with<V>(self, value: V) -> Self::With<V>;

    /// # Safety
    ///
    /// As for `with`.
    #[doc(hidden)]
    unsafe fn alone(self) -> Self::Alone;
}

/// Room for an address.
#[derive(Clone, Copy)]
pub struct AddressSpace {
    storage: MaybeUninit<libc::sockaddr_storage>,
    len: libc::socklen_t,
}

impl AddressSpace {
    pub(crate) const fn new() -> AddressSpace {
        AddressSpace {
            storage: MaybeUninit::zeroed(),
            len: address_len::<libc::sockaddr_storage>(),
        }
    }
}

impl fmt::Debug for AddressSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddressSpace").finish_non_exhaustive()
    }
}

/// The bare addresses of room for an address and for its length.
#[derive(Clone, Copy, Debug)]
pub struct RawAddressSpace {
    start: NonNull<libc::sockaddr_storage>,
    len: NonNull<libc::socklen_t>,
}

impl RawAddressSpace {
    /// The room at `start`, with `len` where its size stands and where the kernel puts that of the address.
    ///
    /// # Safety
    ///
    /// Both stay writable, and are used by nobody else, until the last completion of each operation pushed with them has been reaped;
    /// `start` has as much room as `len` says.
    #[must_use]
    pub const unsafe fn new(
        start: NonNull<libc::sockaddr_storage>,
        len: NonNull<libc::socklen_t>,
    ) -> RawAddressSpace {
        RawAddressSpace { start, len }
    }
}

// SAFETY: the constructor carries the promise.
unsafe impl Untracked for RawAddressSpace {}

impl Sealed for AddressSpace {}
impl Sealed for RawAddressSpace {}

impl AddressMemory for NoAddress {
    type With<V> = V;
    type Alone = ();

    unsafe fn sockaddr(_: *mut NoAddress) -> (*mut libc::sockaddr, *mut libc::socklen_t) {
        (ptr::null_mut(), ptr::null_mut())
    }

    unsafe fn with<V>(self, value: V) -> V {
        value
    }

    unsafe fn alone(self) {}
}

impl AddressMemory for AddressSpace {
    type With<V> = (V, SocketAddress);
    type Alone = SocketAddress;

    unsafe fn sockaddr(this: *mut AddressSpace) -> (*mut libc::sockaddr, *mut libc::socklen_t) {
        // SAFETY: passed on to the caller.
        unsafe { ((&raw mut (*this).storage).cast(), &raw mut (*this).len) }
    }

    unsafe fn with<V>(self, value: V) -> (V, SocketAddress) {
        // SAFETY: passed on to the caller.
        (value, unsafe { self.alone() })
    }

    unsafe fn alone(self) -> SocketAddress {
        SocketAddress {
            // SAFETY: it was zeroes, which are valid, before the kernel wrote to it.
            storage: unsafe { self.storage.assume_init() },
            // The kernel tells the full length of an address that it had to cut off.
            len: self.len.min(address_len::<libc::sockaddr_storage>()),
        }
    }
}

impl AddressMemory for RawAddressSpace {
    type With<V> = V;
    type Alone = ();

    unsafe fn sockaddr(this: *mut RawAddressSpace) -> (*mut libc::sockaddr, *mut libc::socklen_t) {
        // SAFETY: passed on to the caller.
        let RawAddressSpace { start, len } = unsafe { *this };
        (start.as_ptr().cast(), len.as_ptr())
    }

    unsafe fn with<V>(self, value: V) -> V {
        value
    }

    unsafe fn alone(self) {}
}
