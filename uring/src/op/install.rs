//! From direct descriptors to descriptors, and back.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use crate::completion::Completion;
use crate::direct::{AnyDirectSlot, Direct, DirectSlot};
use crate::entry::Entry;
use crate::error::Hint;
use crate::op::{Operation, RawOperation, admit_name, sealed};
use crate::resource::{Inside, MemoryFor, RawMemory, Target, Untracked};

/// Makes a descriptor of a direct descriptor, which stays as it is.
///
/// The descriptor has `O_CLOEXEC`, unless it is [left out](InstallFd::keep_on_exec). What is not a direct descriptor is refused.
///
/// Since Linux 6.8.
///
/// ```
/// use std::io::Read;
/// use uring::op::{InstallFd, OpenAt};
///
/// # let mut ring = uring::Ring::best(8)?;
/// # if !ring.probe()?.iter().any(|opcode| uring::opcode_name(opcode) == Some("IORING_OP_FIXED_FD_INSTALL")) { return Ok(()) }
/// ring.register_direct(1)?;
/// let slot = ring.direct_slot()?;
/// let direct = ring.call(OpenAt::new(c"/proc/version").into_direct(slot))?.result?;
/// let descriptor = ring.call(InstallFd::new(&direct))?.result?;
/// let mut text = String::new();
/// std::fs::File::from(descriptor).read_to_string(&mut text)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_fixed_fd_install(3)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "io_uring_prep_fixed_fd_install")]
#[doc(alias = "IORING_OP_FIXED_FD_INSTALL")]
#[must_use]
pub struct InstallFd<T> {
    target: T,
    flags: u32,
}

impl<T: Target> InstallFd<T> {
    /// Makes a descriptor of that direct descriptor.
    pub const fn new(target: T) -> InstallFd<T> {
        InstallFd { target, flags: 0 }
    }

    /// Lets programs that the process becomes have the descriptor too.
    #[doc(alias = "IORING_FIXED_FD_NO_CLOEXEC")]
    pub fn keep_on_exec(self) -> Self {
        InstallFd {
            flags: uring_sys::IORING_FIXED_FD_NO_CLOEXEC,
            ..self
        }
    }
}

/// What [`InstallFd`] gives back.
#[derive(Debug)]
#[must_use]
pub struct Installed<T> {
    /// The descriptor.
    pub result: io::Result<OwnedFd>,
    /// The direct descriptor.
    pub target: T,
}

/// Puts an open file into a slot of the ring's file table, as a direct descriptor beside its descriptor.
///
/// Since Linux 5.6; into whichever slot is free since 5.19.
///
/// ```
/// use uring::op::{FilesUpdate, Read};
///
/// # let mut ring = uring::Ring::best(8)?;
/// ring.register_direct(1)?;
/// let slot = ring.direct_slot()?;
/// let file = std::fs::File::open("/proc/version")?;
/// let done = ring.call(FilesUpdate::new(slot, file))?;
/// let direct = done.result?;
/// // Closing the descriptor leaves the direct descriptor open.
/// drop(done.target);
/// assert!(ring.call(Read::new(&direct, vec![0; 5]))?.buf.starts_with(b"Linux"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_files_update(3)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_files_update")]
#[doc(alias = "IORING_OP_FILES_UPDATE")]
#[must_use]
pub struct FilesUpdate<T, S = DirectSlot, M = Inside<i32>> {
    slot: S,
    target: T,
    /// Where the kernel finds the descriptor's number, and tells the slot's where it chose it.
    number: M,
}

impl<T: Target, S: Adopts> FilesUpdate<T, S> {
    /// Puts the file of that descriptor into the slot: a [`DirectSlot`], an [`AnyDirectSlot`], or by promise a
    /// [`RawDirectSlot`](crate::RawDirectSlot).
    pub fn new(slot: S, target: T) -> FilesUpdate<T, S> {
        FilesUpdate {
            slot,
            number: Inside::new(target.target().number()),
            target,
        }
    }

    /// Has the kernel find the descriptor's number there, where it also tells the slot's if it chose it.
    pub fn number_into(self, memory: RawMemory<i32>) -> FilesUpdate<T, S, RawMemory<i32>> {
        FilesUpdate {
            number: memory.holding(self.target.target().number()),
            slot: self.slot,
            target: self.target,
        }
    }
}

/// Where [`FilesUpdate`] can put a file. Sealed.
pub trait Adopts: sealed::Sealed {
    /// The file in its slot.
    type File;

    #[doc(hidden)]
    fn belongs_to(&self, ring: u64) -> bool;
    /// The slot that the entry names.
    #[doc(hidden)]
    fn offset(&self) -> u32;
    /// The file that was put there; `number` is what the kernel has told.
    #[doc(hidden)]
    fn adopted(self, number: i32) -> Self::File;
}

impl sealed::Sealed for DirectSlot {}

impl Adopts for DirectSlot {
    type File = Direct;

    fn belongs_to(&self, ring: u64) -> bool {
        self.ring() == ring
    }

    fn offset(&self) -> u32 {
        self.index()
    }

    fn adopted(self, _: i32) -> Direct {
        self.filled()
    }
}

impl Adopts for AnyDirectSlot {
    type File = Direct;

    fn belongs_to(&self, ring: u64) -> bool {
        self.ring() == ring
    }

    fn offset(&self) -> u32 {
        uring_sys::IORING_FILE_INDEX_ALLOC
    }

    fn adopted(self, number: i32) -> Direct {
        self.filled(number.unsigned_abs())
    }
}

/// What [`FilesUpdate`] gives back.
#[derive(Debug)]
#[must_use]
pub struct Adopted<T, F = Direct> {
    /// The direct descriptor.
    pub result: io::Result<F>,
    /// The descriptor.
    pub target: T,
}

impl<T> sealed::Sealed for InstallFd<T> {}
impl<T, S, M> sealed::Sealed for FilesUpdate<T, S, M> {}

// SAFETY: there is no memory to point to.
unsafe impl<T: Target> Operation for InstallFd<T> {
    type Output = Installed<T>;
    const OPCODE: u8 = uring_sys::IORING_OP_FIXED_FD_INSTALL;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        let name = self.target.target();
        if !name.is_direct() {
            return Err(Hint::contradiction(&"it is a descriptor already"));
        }
        admit_name(name, ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        entry.set_target(this.target.target());
        entry.set_op_flags(this.flags);
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        let result = completion.result().map(|_| {
            // SAFETY: the completion of an installation that nobody has claimed: the kernel has just opened this descriptor for us.
            unsafe { OwnedFd::from_raw_fd(completion.raw_result()) }
        });
        Installed {
            result,
            target: self.target,
        }
    }
}

// SAFETY: the target is untracked; the descriptor's number is the completion's result.
unsafe impl<T: Target + Untracked> RawOperation for InstallFd<T> {}

// SAFETY: the kernel reads and writes the number in the value, at the address that it stays at, or where `RawMemory::new` was promised.
unsafe impl<T: Target, S: Adopts, M: MemoryFor<i32>> Operation for FilesUpdate<T, S, M> {
    type Output = Adopted<T, S::File>;
    const OPCODE: u8 = uring_sys::IORING_OP_FILES_UPDATE;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        if self.target.target().is_direct() {
            return Err(Hint::NeedsDescriptor);
        }
        if self.slot.belongs_to(ring) {
            Ok(())
        } else {
            Err(Hint::WrongRing)
        }
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        unsafe {
            entry.set_pointer((*this).number.as_mut_ptr().cast_const());
            entry.set_off((*this).slot.offset().into());
        }
        entry.set_len(1);
    }

    unsafe fn complete(mut self, completion: Completion) -> Self::Output {
        let result = match completion.result() {
            // How many slots were updated.
            Ok(0) => Err(io::Error::from_raw_os_error(libc::EBADF)),
            Ok(_) => Ok(self.slot.adopted(self.number.get())),
            Err(error) => Err(error),
        };
        Adopted {
            result,
            target: self.target,
        }
    }
}

// SAFETY: slot and target are untracked, and the number is elsewhere.
unsafe impl<T, S> RawOperation for FilesUpdate<T, S, RawMemory<i32>>
where
    T: Target + Untracked,
    S: Adopts + Untracked,
{
}
