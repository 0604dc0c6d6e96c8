//! Reading into registered buffers, and writing from them.

use crate::completion::Completion;
use crate::entry::Entry;
use crate::error::Hint;
use crate::op::transfer::Transfer;
use crate::op::{
    Operation, RawOperation, RwFlags, Transferred, admit_buffer, admit_target, count, sealed,
};
use crate::resource::{FixedMemory, FixedMut, Target, Untracked};

/// Reads from a file into a [registered buffer](crate::Ring::register_buffers): all of it, a [`Slice`](crate::Slice), or several ranges
/// ([`FixedVecs`](crate::FixedVecs)).
///
/// At most 2 GiB less a page are read at a time. A buffer of another ring is refused.
///
/// Since Linux 5.1; several ranges since 6.15.
///
/// ```
/// use uring::op::ReadFixed;
///
/// # let mut ring = uring::Ring::best(8)?;
/// ring.register_buffers(vec![vec![0; 4096].into()])?;
/// let buf = ring.registered_buf(0).expect("nobody has it yet");
/// let file = std::fs::File::open("/proc/version")?;
/// let token = ring.push(ReadFixed::new(file, buf).at(0))?;
/// let done = ring.wait(token)?;
/// assert!(done.buf[..done.result?].starts_with(b"Linux version"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_read_fixed(3)`, `io_uring_prep_readv_fixed(3)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_read_fixed")]
#[doc(alias = "io_uring_prep_readv_fixed")]
#[doc(alias = "IORING_OP_READ_FIXED")]
#[doc(alias = "IORING_OP_READV_FIXED")]
#[must_use]
pub struct ReadFixed<T, B> {
    target: T,
    buf: B,
    transfer: Transfer,
}

impl<T: Target, B: FixedMemory + FixedMut> ReadFixed<T, B> {
    /// Reads at the file's current position, as much as fits.
    pub const fn new(target: T, buf: B) -> ReadFixed<T, B> {
        ReadFixed {
            target,
            buf,
            transfer: Transfer::CURRENT,
        }
    }

    /// Reads at that byte of the file, and leaves its position as it is.
    pub fn at(mut self, offset: u64) -> Self {
        self.transfer.offset = offset;
        self
    }

    /// Reads in that way.
    #[doc(alias = "rw_flags")]
    pub fn flags(mut self, flags: RwFlags) -> Self {
        self.transfer.flags = flags;
        self
    }
}

/// Writes a [registered buffer](crate::Ring::register_buffers) to a file: all of it, a [`Slice`](crate::Slice), or several ranges
/// ([`FixedVecs`](crate::FixedVecs)).
///
/// At most 2 GiB less a page are written at a time. A buffer of another ring is refused.
///
/// Since Linux 5.1; several ranges since 6.15.
///
/// ```
/// use uring::Slice;
/// use uring::op::WriteFixed;
///
/// # let mut ring = uring::Ring::best(8)?;
/// ring.register_buffers(vec![Box::from(*b"registered\n")])?;
/// let buf = ring.registered_buf(0).expect("nobody has it yet");
/// let done = ring.call(WriteFixed::new(std::io::stdout(), Slice::new(&buf, 8..)))?;
/// assert_eq!(done.result?, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_write_fixed(3)`, `io_uring_prep_writev_fixed(3)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_write_fixed")]
#[doc(alias = "io_uring_prep_writev_fixed")]
#[doc(alias = "IORING_OP_WRITE_FIXED")]
#[doc(alias = "IORING_OP_WRITEV_FIXED")]
#[must_use]
pub struct WriteFixed<T, B> {
    target: T,
    buf: B,
    transfer: Transfer,
}

impl<T: Target, B: FixedMemory> WriteFixed<T, B> {
    /// Writes all of it at the file's current position.
    pub const fn new(target: T, buf: B) -> WriteFixed<T, B> {
        WriteFixed {
            target,
            buf,
            transfer: Transfer::CURRENT,
        }
    }

    /// Writes at that byte of the file, and leaves its position as it is.
    pub fn at(mut self, offset: u64) -> Self {
        self.transfer.offset = offset;
        self
    }

    /// Writes in that way.
    #[doc(alias = "rw_flags")]
    pub fn flags(mut self, flags: RwFlags) -> Self {
        self.transfer.flags = flags;
        self
    }

    /// Marks the data as being of that stream. See [`Write::stream`](crate::op::Write::stream).
    #[doc(alias = "write_stream")]
    pub fn stream(mut self, stream: u8) -> Self {
        self.transfer.stream = stream;
        self
    }
}

fn admit(target: &impl Target, buf: &impl FixedMemory, ring: u64) -> Result<(), Hint> {
    admit_target(target, ring)?;
    admit_buffer(buf.name(), ring)
}

#[inline]
fn fill(target: &impl Target, buf: &impl FixedMemory, transfer: Transfer, entry: &mut Entry) {
    let (place, len) = buf.place();
    entry.set_buf_index(buf.name().index());
    transfer.fill(target, place, len, entry);
}

impl<T, B> sealed::Sealed for ReadFixed<T, B> {}
impl<T, B> sealed::Sealed for WriteFixed<T, B> {}

// SAFETY: registered memory, and the vectors of several ranges, stay where they are as long as the value lives.
unsafe impl<T: Target, B: FixedMemory + FixedMut> Operation for ReadFixed<T, B> {
    type Output = Transferred<T, B>;
    const OPCODE: u8 = B::READ;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit(&self.target, &self.buf, ring)
    }

    #[inline]
    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        fill(&this.target, &this.buf, this.transfer, entry);
    }

    #[inline]
    unsafe fn complete(self, completion: Completion) -> Self::Output {
        Transferred {
            result: count(completion),
            buf: self.buf,
            target: self.target,
        }
    }
}

// SAFETY: as for `ReadFixed`.
unsafe impl<T: Target, B: FixedMemory> Operation for WriteFixed<T, B> {
    type Output = Transferred<T, B>;
    const OPCODE: u8 = B::WRITE;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit(&self.target, &self.buf, ring)
    }

    #[inline]
    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        fill(&this.target, &this.buf, this.transfer, entry);
    }

    #[inline]
    unsafe fn complete(self, completion: Completion) -> Self::Output {
        Transferred {
            result: count(completion),
            buf: self.buf,
            target: self.target,
        }
    }
}

// SAFETY: both resources are untracked; the pointer leads out of the value.
unsafe impl<T, B> RawOperation for ReadFixed<T, B>
where
    T: Target + Untracked,
    B: FixedMemory + FixedMut + Untracked,
{
}
// SAFETY: as above.
unsafe impl<T: Target + Untracked, B: FixedMemory + Untracked> RawOperation for WriteFixed<T, B> {}
