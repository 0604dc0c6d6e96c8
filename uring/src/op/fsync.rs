//! Bringing a file to its device.

use std::io;

use crate::completion::Completion;
use crate::entry::Entry;
use crate::error::Hint;
use crate::op::{Operation, RawOperation, admit_target, done, sealed};
use crate::resource::{Target, Untracked};

/// Brings what was written to a file to its device.
///
/// It is not ordered behind writes in flight: [link](crate::Chain) it to them, or wait for them first.
///
/// Since Linux 5.1.
///
/// ```
/// use uring::op::Fsync;
///
/// # let mut ring = uring::Ring::best(8)?;
/// # let path = std::env::temp_dir().join(format!("uring-doc-fsync-{}", std::process::id()));
/// let file = std::fs::File::create(&path)?;
/// ring.call(Fsync::new(&file).data_only())?.result?;
/// # std::fs::remove_file(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_fsync(3)`, `fsync(2)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "io_uring_prep_fsync")]
#[doc(alias = "IORING_OP_FSYNC")]
#[must_use]
pub struct Fsync<T> {
    target: T,
    data_only: bool,
}

impl<T: Target> Fsync<T> {
    /// Data and metadata, of the whole file.
    pub const fn new(target: T) -> Fsync<T> {
        Fsync {
            target,
            data_only: false,
        }
    }

    /// Data, and of the metadata only what is needed to find it (`fdatasync(2)`).
    #[doc(alias = "IORING_FSYNC_DATASYNC")]
    pub fn data_only(self) -> Self {
        Fsync {
            data_only: true,
            ..self
        }
    }
}

/// What [`Fsync`] gives back.
#[derive(Debug)]
#[must_use]
pub struct Synced<T> {
    /// Whether the file is on its device.
    pub result: io::Result<()>,
    /// The target.
    pub target: T,
}

impl<T> sealed::Sealed for Fsync<T> {}

// SAFETY: there is no memory to point to.
unsafe impl<T: Target> Operation for Fsync<T> {
    type Output = Synced<T>;
    const OPCODE: u8 = uring_sys::IORING_OP_FSYNC;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)
    }

    fn success(&self) -> Option<i32> {
        Some(0)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        entry.set_target(this.target.target());
        if this.data_only {
            entry.set_op_flags(uring_sys::IORING_FSYNC_DATASYNC);
        }
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        Synced {
            result: done(completion),
            target: self.target,
        }
    }
}

// SAFETY: the target is untracked.
unsafe impl<T: Target + Untracked> RawOperation for Fsync<T> {}
