//! Operations in raw memory: small ones as they are, larger ones as a box.

use crate::completion::Completion;
use crate::op::{Completes, Operation};

/// Larger operations are boxed.
const INLINE: usize = 88;

/// Room for an operation. What is in it only the code that put it there knows.
pub(crate) type Storage = std::mem::MaybeUninit<[u64; INLINE / 8]>;

/// What can be done with an operation in storage by somebody who does not know its type.
pub(crate) struct ErasedCalls {
    /// Moves the operation out, builds its output and drops that.
    ///
    /// # Safety
    ///
    /// The storage holds an operation of this type that the kernel has finished with, and is not read again.
    pub(crate) bury: unsafe fn(*mut Storage, Completion),
    /// Builds an item and drops it.
    ///
    /// # Safety
    ///
    /// The storage holds an operation of this type, and the completion is an item of it.
    pub(crate) discard: unsafe fn(*mut Storage, Completion),
    /// Whether the last completion is an item too.
    pub(crate) is_item: fn(&Completion) -> bool,
}

impl ErasedCalls {
    /// Those of an operation.
    pub(crate) const fn of<O: Operation>() -> ErasedCalls {
        ErasedCalls {
            bury: bury::<O>,
            discard: discard::<O>,
            is_item: match O::COMPLETES {
                Completes::Many(many) => many.is_item,
                Completes::Once | Completes::Notified => is_never_item,
            },
        }
    }

    /// Those of a free slot, which are never called.
    pub(crate) const NONE: &'static ErasedCalls = &ErasedCalls {
        bury: do_nothing,
        discard: do_nothing,
        is_item: is_never_item,
    };
}

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
pub(crate) unsafe fn retrieve<O>(storage: *mut Storage) -> O {
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
/// As for [`ErasedCalls::bury`].
unsafe fn bury<O: Operation>(storage: *mut Storage, completion: Completion) {
    // SAFETY: passed on to the caller.
    drop(unsafe { retrieve::<O>(storage).complete(completion) });
}

/// Builds an item that nobody takes, and drops it: a descriptor that was accepted is closed.
///
/// # Safety
///
/// As for [`ErasedCalls::discard`].
unsafe fn discard<O: Operation>(storage: *mut Storage, completion: Completion) {
    if let Completes::Many(many) = O::COMPLETES {
        // SAFETY: passed on to the caller.
        unsafe { many.discard(locate::<O>(storage), completion) };
    }
}

/// # Safety
///
/// None is needed.
unsafe fn do_nothing(_: *mut Storage, _: Completion) {}

fn is_never_item(_: &Completion) -> bool {
    false
}
