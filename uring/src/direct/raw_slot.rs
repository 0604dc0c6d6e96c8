//! Slots of a file table that nobody keeps account of.

use std::io;

use crate::closes_direct;
use crate::completion::Completion;
use crate::entry::Entry;
use crate::error::Hint;
use crate::op::{Adopts, Opens, PipeEnds, opened_instead, sealed};
use crate::resource::Untracked;

/// A slot of a ring's file table that is promised to be the caller's, for operations that are pushed [raw](crate::Ring::push_raw).
///
/// What comes to be in it is the caller's to [name](crate::RawTarget::direct) and to [close](crate::op::Close).
///
/// ```
/// use std::ptr::NonNull;
/// use uring::op::{Close, OpenAt, Read};
/// use uring::{RawBuf, RawDirectSlot, RawPath, RawTarget};
///
/// # let mut ring = uring::Ring::best(8)?;
/// ring.register_direct(1)?;
/// let slot = ring.direct_slot()?;
/// let mut buf = [0; 5];
/// // SAFETY: the slot is kept, and path and buffer stay as they are, until the last completion was reaped, below.
/// let (path, raw_slot, file, raw) = unsafe {
///     (
///         RawPath::new(c"/proc/version".as_ptr()),
///         RawDirectSlot::new(slot.index()),
///         RawTarget::direct(slot.index()),
///         RawBuf::new(NonNull::from(&mut buf).cast(), 5),
///     )
/// };
/// ring.push_raw(OpenAt::new(path).into_raw_direct(raw_slot), 1)?;
/// ring.submit_and_wait(1)?;
/// assert_eq!(ring.next_completion()?.expect("waited for").result()?, 0);
/// ring.push_raw(Read::new(file, raw).at(0), 2)?;
/// ring.submit_and_wait(1)?;
/// assert_eq!(ring.next_completion()?.expect("waited for").result()?, 5);
/// assert_eq!(&buf, b"Linux");
/// ring.push_raw(Close::new(file), 3)?;
/// ring.submit_and_wait(1)?;
/// assert_eq!(ring.next_completion()?.expect("waited for").result()?, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "IORING_FILE_INDEX_ALLOC")]
pub struct RawDirectSlot(u32);

impl RawDirectSlot {
    /// The slot with that index; for a [`Pipe`](crate::op::Pipe) also the one after it.
    ///
    /// A kernel before 5.15 would open a descriptor instead, so there the push is [refused](crate::Error::is_unsupported).
    ///
    /// # Safety
    ///
    /// The slot is the caller's until the last completion of each operation pushed with it has been reaped: one that a
    /// [`DirectSlot`](crate::DirectSlot) reserves, which the caller has, or of a table that the library does not know of. So is the file that
    /// comes to be in it. It is of the ring that the operation is pushed to, or whose address [`SendDirect`](crate::op::SendDirect) has.
    #[must_use]
    pub const unsafe fn new(index: u32) -> RawDirectSlot {
        // An index that names nothing is not to become one that means another thing.
        RawDirectSlot(if index > MAX_INDEX { MAX_INDEX } else { index })
    }

    /// Whichever slot is free: the completion's result is its index.
    ///
    /// Since Linux 5.19.
    ///
    /// # Safety
    ///
    /// The library gives out no slots of that table: it is [one of the kernel's](crate::Ring::register_direct_allocated), or one that the
    /// library does not know of.
    #[must_use]
    pub const unsafe fn any() -> RawDirectSlot {
        RawDirectSlot(uring_sys::IORING_FILE_INDEX_ALLOC)
    }

    const fn is_any(self) -> bool {
        self.0 == uring_sys::IORING_FILE_INDEX_ALLOC
    }

    /// What an entry names it by: one more than the index, or the largest number for whichever is free.
    const fn file_index(self) -> u32 {
        self.0.saturating_add(1)
    }

    /// What it is after the kernel has told that number.
    const fn index(self, told: u32) -> u32 {
        if self.is_any() { told } else { self.0 }
    }
}

/// More than any table has.
const MAX_INDEX: u32 = i32::MAX.unsigned_abs();

// SAFETY: both constructors carry the promise.
unsafe impl Untracked for RawDirectSlot {}

impl sealed::Sealed for RawDirectSlot {}

impl Opens for RawDirectSlot {
    /// The index.
    type File = u32;
    const CLOSE_ON_EXEC: i32 = 0;

    fn admit(&self, _: u64) -> Result<(), Hint> {
        closes_direct::KNOWN.check_opening()
    }

    fn prepare(&self, entry: &mut Entry) {
        entry.set_file_index(self.file_index());
    }

    fn success(&self) -> Option<i32> {
        (!self.is_any()).then_some(0)
    }

    unsafe fn opened(self, completion: Completion) -> io::Result<u32> {
        let told = completion.result()?;
        if told == 0 || self.is_any() {
            return Ok(self.index(told));
        }
        // SAFETY: passed on to the caller.
        Err(unsafe { opened_instead(completion) })
    }
}

impl PipeEnds for RawDirectSlot {
    /// The index.
    type End = u32;
    const CLOSE_ON_EXEC: i32 = 0;

    fn admit(&self, _: u64) -> Result<(), Hint> {
        Ok(())
    }

    fn prepare(&self, entry: &mut Entry) {
        entry.set_file_index(self.file_index());
    }

    unsafe fn ends(self, numbers: [i32; 2]) -> (u32, u32) {
        if self.is_any() {
            let [reader, writer] = numbers.map(i32::unsigned_abs);
            (reader, writer)
        } else {
            (self.0, self.0 + 1)
        }
    }
}

impl Adopts for RawDirectSlot {
    /// The index.
    type File = u32;

    fn belongs_to(&self, _: u64) -> bool {
        true
    }

    fn offset(&self) -> u32 {
        self.0
    }

    fn adopted(self, number: i32) -> u32 {
        self.index(number.unsigned_abs())
    }
}
