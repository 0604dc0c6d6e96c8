//! Operations in raw memory: small ones as they are, larger ones as a box.

use crate::completion::Completion;
use crate::op::Operation;

/// Larger operations are boxed.
const INLINE: usize = 88;

/// Room for an operation. What is in it only the code that put it there knows.
pub(crate) type Storage = std::mem::MaybeUninit<[u64; INLINE / 8]>;

/// Moves an operation out of storage, builds its output and drops that.
pub(crate) type Bury = unsafe fn(*mut u8, Completion);

const fn is_inline<O>() -> bool {
    size_of::<O>() <= INLINE && align_of::<O>() <= align_of::<u64>()
}

/// Puts an operation into storage and gives its address.
///
/// # Safety
///
/// `storage` is writable and holds nothing.
#[inline]
pub(crate) unsafe fn store<O>(storage: *mut Storage, op: O) -> *mut O {
    // SAFETY: the storage is large and aligned enough for an `O`, or for a pointer to one.
    unsafe {
        if const { is_inline::<O>() } {
            storage.cast::<O>().write(op);
            storage.cast()
        } else {
            let boxed = Box::into_raw(Box::new(op));
            storage.cast::<*mut O>().write(boxed);
            boxed
        }
    }
}

/// The address of the operation in storage.
///
/// # Safety
///
/// `storage` holds an `O`.
pub(crate) unsafe fn locate<O>(storage: *mut Storage) -> *mut O {
    if const { is_inline::<O>() } {
        storage.cast()
    } else {
        // SAFETY: larger operations are stored as a pointer.
        unsafe { storage.cast::<*mut O>().read() }
    }
}

/// Moves an operation out of storage.
///
/// # Safety
///
/// `storage` holds an `O`, and is not read again.
#[inline]
pub(crate) unsafe fn retrieve<O>(storage: *mut u8) -> O {
    // SAFETY: as in `store`; the box was made there.
    unsafe {
        if const { is_inline::<O>() } {
            storage.cast::<O>().read()
        } else {
            *Box::from_raw(storage.cast::<*mut O>().read())
        }
    }
}

/// Builds the output of an operation that nobody claims, and drops it: an orphaned open closes its file.
///
/// # Safety
///
/// `storage` holds an `O` that the kernel has finished with, and is not read again.
pub(crate) unsafe fn bury<O: Operation>(storage: *mut u8, completion: Completion) {
    // SAFETY: passed on to the caller.
    drop(unsafe { retrieve::<O>(storage).complete(completion) });
}

/// # Safety
///
/// Never called: a free slot is not buried.
pub(crate) unsafe fn bury_nothing(_: *mut u8, _: Completion) {}
