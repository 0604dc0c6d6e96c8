//! Bringing a part of a file to its device.

use crate::completion::Completion;
use crate::entry::Entry;
use crate::error::Hint;
use crate::op::{Operation, RawOperation, Synced, admit_target, done, sealed};
use crate::resource::{Target, Untracked};

/// Begins or awaits the way of a part of a file to its device.
///
/// It is no replacement for [`Fsync`](crate::op::Fsync): metadata and the device's own cache are left as they are.
///
/// Since Linux 5.2.
///
/// ```
/// use uring::op::SyncFileRange;
///
/// # let mut ring = uring::Ring::best(8)?;
/// # let path = std::env::temp_dir().join(format!("uring-doc-sync-range-{}", std::process::id()));
/// let file = std::fs::File::create(&path)?;
/// ring.call(SyncFileRange::new(&file, 0, 4096).write())?.result?;
/// # std::fs::remove_file(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_sync_file_range(3)`, `sync_file_range(2)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "io_uring_prep_sync_file_range")]
#[doc(alias = "IORING_OP_SYNC_FILE_RANGE")]
#[must_use]
pub struct SyncFileRange<T> {
    target: T,
    offset: u64,
    len: u32,
    flags: u32,
}

impl<T: Target> SyncFileRange<T> {
    /// Of the `len` bytes at `offset`; zero is all that follow. Nothing is done but what is added.
    pub const fn new(target: T, offset: u64, len: u32) -> SyncFileRange<T> {
        SyncFileRange {
            target,
            offset,
            len,
            flags: 0,
        }
    }

    /// Waits first for what is on its way already.
    #[doc(alias = "SYNC_FILE_RANGE_WAIT_BEFORE")]
    pub fn wait_before(self) -> Self {
        self.flag(libc::SYNC_FILE_RANGE_WAIT_BEFORE)
    }

    /// Sends what has changed on its way.
    #[doc(alias = "SYNC_FILE_RANGE_WRITE")]
    pub fn write(self) -> Self {
        self.flag(libc::SYNC_FILE_RANGE_WRITE)
    }

    /// Waits at the end for what is on its way.
    #[doc(alias = "SYNC_FILE_RANGE_WAIT_AFTER")]
    pub fn wait_after(self) -> Self {
        self.flag(libc::SYNC_FILE_RANGE_WAIT_AFTER)
    }

    fn flag(self, flag: u32) -> Self {
        SyncFileRange {
            flags: self.flags | flag,
            ..self
        }
    }
}

impl<T> sealed::Sealed for SyncFileRange<T> {}

// SAFETY: there is no memory to point to.
unsafe impl<T: Target> Operation for SyncFileRange<T> {
    type Output = Synced<T>;
    const OPCODE: u8 = uring_sys::IORING_OP_SYNC_FILE_RANGE;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        entry.set_target(this.target.target());
        entry.set_off(this.offset);
        entry.set_len(this.len);
        entry.set_op_flags(this.flags);
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        Synced {
            result: done(completion),
            target: self.target,
        }
    }
}

// SAFETY: the target is untracked.
unsafe impl<T: Target + Untracked> RawOperation for SyncFileRange<T> {}
