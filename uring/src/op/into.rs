//! What a file comes into being as: a descriptor, or a direct descriptor.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use crate::closes_direct;
use crate::completion::Completion;
use crate::direct::{AnyDirectSlot, Direct, DirectSlot};
use crate::entry::Entry;
use crate::error::Hint;
use crate::op::sealed;
use crate::resource::Untracked;

/// What a file is opened as: [`IntoDescriptor`], [`IntoDirect`], [`IntoAnyDirect`], or by promise [`RawDirectSlot`](crate::RawDirectSlot). Sealed.
pub trait Opens: sealed::Sealed {
    /// The open file.
    type File;

    #[doc(hidden)]
    fn admit(&self, ring: u64) -> Result<(), Hint>;
    /// `O_CLOEXEC` where a descriptor is made; the kernel refuses it for what has none.
    #[doc(hidden)]
    const CLOSE_ON_EXEC: i32;
    /// Names the place in the ring's file table.
    #[doc(hidden)]
    fn prepare(&self, entry: &mut Entry);
    /// As for [`Operation::success`](crate::op::Operation::success).
    #[doc(hidden)]
    fn success(&self) -> Option<i32> {
        None
    }
    /// # Safety
    ///
    /// `completion` is of an operation that opens a file as this says, and nobody has claimed the file.
    #[doc(hidden)]
    unsafe fn opened(self, completion: Completion) -> io::Result<Self::File>;
}

/// Opens as a descriptor.
#[derive(Clone, Copy, Debug)]
pub struct IntoDescriptor;

/// Opens as a direct descriptor, in a reserved slot.
#[derive(Debug)]
pub struct IntoDirect(DirectSlot);

/// Opens as a direct descriptor, in whichever slot is free.
#[derive(Clone, Debug)]
pub struct IntoAnyDirect(AnyDirectSlot);

impl IntoDirect {
    pub(crate) fn new(slot: DirectSlot) -> IntoDirect {
        IntoDirect(slot)
    }
}

impl IntoAnyDirect {
    pub(crate) fn new(slot: AnyDirectSlot) -> IntoAnyDirect {
        IntoAnyDirect(slot)
    }

    pub(crate) fn filled(&self, index: u32) -> Direct {
        self.0.filled(index)
    }
}

// SAFETY: it names nothing.
unsafe impl Untracked for IntoDescriptor {}

impl sealed::Sealed for IntoDescriptor {}
impl sealed::Sealed for IntoDirect {}
impl sealed::Sealed for IntoAnyDirect {}

pub(super) fn admit_ring(of: u64, ring: u64) -> Result<(), Hint> {
    if of == ring {
        Ok(())
    } else {
        Err(Hint::WrongRing)
    }
}

impl Opens for IntoDescriptor {
    type File = OwnedFd;
    const CLOSE_ON_EXEC: i32 = libc::O_CLOEXEC;

    fn admit(&self, _: u64) -> Result<(), Hint> {
        Ok(())
    }

    fn prepare(&self, _: &mut Entry) {}

    unsafe fn opened(self, completion: Completion) -> io::Result<OwnedFd> {
        completion.result()?;
        // SAFETY: the completion of an open that nobody has claimed: the kernel has just opened this descriptor for us.
        Ok(unsafe { OwnedFd::from_raw_fd(completion.raw_result()) })
    }
}

impl Opens for IntoDirect {
    type File = Direct;
    const CLOSE_ON_EXEC: i32 = 0;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_ring(self.0.ring(), ring)?;
        closes_direct::KNOWN.check_opening()
    }

    fn prepare(&self, entry: &mut Entry) {
        entry.set_file_index(self.0.index() + 1);
    }

    fn success(&self) -> Option<i32> {
        Some(0)
    }

    unsafe fn opened(self, completion: Completion) -> io::Result<Direct> {
        if completion.result()? == 0 {
            return Ok(self.0.filled());
        }
        // SAFETY: as for `IntoDescriptor`.
        Err(unsafe { opened_instead(completion) })
    }
}

/// Closes the descriptor that an old kernel has made of what was to be a direct one.
///
/// # Safety
///
/// As for [`Opens::opened`].
pub(crate) unsafe fn opened_instead(completion: Completion) -> io::Error {
    // SAFETY: the kernel has just opened it, and nobody has claimed it.
    drop(unsafe { OwnedFd::from_raw_fd(completion.raw_result()) });
    io::Error::new(
        io::ErrorKind::Unsupported,
        "opening into a direct descriptor needs Linux 5.15 (the kernel opened a descriptor instead)",
    )
}

impl Opens for IntoAnyDirect {
    type File = Direct;
    const CLOSE_ON_EXEC: i32 = 0;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_ring(self.0.ring(), ring)
    }

    fn prepare(&self, entry: &mut Entry) {
        entry.set_file_index(uring_sys::IORING_FILE_INDEX_ALLOC);
    }

    unsafe fn opened(self, completion: Completion) -> io::Result<Direct> {
        // A ring whose kernel gives slots out has a kernel that knows of them: the result is no descriptor.
        completion.result().map(|index| self.filled(index))
    }
}
