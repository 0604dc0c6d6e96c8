//! Small structures that the kernel reads or writes: inside an operation, or elsewhere.

use std::mem::MaybeUninit;
use std::ptr::NonNull;

use crate::op::sealed;
use crate::resource::Untracked;

/// Where an operation has the structure that goes with it: [in itself](Inside), in a box, or by promise somewhere else ([`RawMemory`]).
/// Sealed.
pub trait MemoryFor<T: Copy>: sealed::Sealed {
    /// The address, of initialised memory, given where the value is.
    #[doc(hidden)]
    fn as_mut_ptr(&mut self) -> *mut T;

    /// The structure as it is now, of an operation that the kernel does not have.
    #[doc(hidden)]
    fn get(&mut self) -> T {
        // SAFETY: it is initialised, and nobody else uses it.
        unsafe { self.as_mut_ptr().read() }
    }

    /// Changes it, before the kernel has the operation.
    #[doc(hidden)]
    fn set(&mut self, value: T) {
        // SAFETY: it is writable, and nobody else uses it.
        unsafe { self.as_mut_ptr().write(value) };
    }
}

/// A structure inside the operation that it goes with.
#[derive(Clone, Copy, Debug)]
pub struct Inside<T>(T);

impl<T> Inside<T> {
    pub(crate) const fn new(value: T) -> Inside<T> {
        Inside(value)
    }
}

impl<T> sealed::Sealed for Inside<T> {}

impl<T: Copy> MemoryFor<T> for Inside<T> {
    fn as_mut_ptr(&mut self) -> *mut T {
        &raw mut self.0
    }
}

impl<T: Copy> sealed::Sealed for Box<T> {}

impl<T: Copy> MemoryFor<T> for Box<T> {
    fn as_mut_ptr(&mut self) -> *mut T {
        &raw mut **self
    }
}

/// The bare address of memory for a structure that goes with an operation.
///
/// The operation writes into it when it is made, and the kernel reads it, or writes what it tells beside the completion.
///
/// ```
/// use std::mem::MaybeUninit;
/// use std::ptr::NonNull;
/// use uring::RawMemory;
/// use uring::op::Pipe;
///
/// # let mut ring = uring::Ring::best(8)?;
/// # if !ring.probe()?.supports(uring_sys::IORING_OP_PIPE) { return Ok(()) }
/// let mut ends = MaybeUninit::<[i32; 2]>::uninit();
/// // SAFETY: it stays as it is until the completion was reaped, below.
/// let memory = unsafe { RawMemory::new(NonNull::from(&mut ends)) };
/// ring.push_raw(Pipe::new().ends_into(memory), 1)?;
/// ring.submit_and_wait(1)?;
/// let completion = ring.next_completion()?.expect("one has been waited for");
/// assert_eq!((completion.user_data(), completion.result()?), (1, 0));
/// // SAFETY: the kernel has written the two descriptors, which nobody else knows of.
/// let ends = unsafe { ends.assume_init().map(|fd| <std::os::fd::OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(fd)) };
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RawMemory<T>(NonNull<MaybeUninit<T>>);

impl<T: Copy> RawMemory<T> {
    /// The memory at that address.
    ///
    /// # Safety
    ///
    /// It stays writable, and is used by nobody else, until the last completion of each operation made with it has been reaped, or, where
    /// there is a token, the token has been redeemed.
    #[must_use]
    pub const unsafe fn new(memory: NonNull<MaybeUninit<T>>) -> RawMemory<T> {
        RawMemory(memory)
    }

    /// The same, with that in it.
    pub(crate) fn holding(mut self, value: T) -> RawMemory<T> {
        self.set(value);
        self
    }
}

impl<T> Clone for RawMemory<T> {
    fn clone(&self) -> RawMemory<T> {
        *self
    }
}

impl<T> Copy for RawMemory<T> {}

impl<T> sealed::Sealed for RawMemory<T> {}

impl<T: Copy> MemoryFor<T> for RawMemory<T> {
    fn as_mut_ptr(&mut self) -> *mut T {
        self.0.as_ptr().cast()
    }
}

// SAFETY: the constructor carries the promise.
unsafe impl<T> Untracked for RawMemory<T> {}
