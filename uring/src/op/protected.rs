//! Reads and writes with protection information.

use bitflags::bitflags;

use crate::completion::Completion;
use crate::entry::{Entry, address};
use crate::error::Hint;
use crate::op::{
    Operation, RawOperation, Read, ReadFixed, ReadV, Write, WriteFixed, WriteV, sealed,
};
use crate::resource::{
    Buf, BufMut, FixedMemory, FixedMut, Inside, MemoryFor, RawMemory, Target, Untracked, Vectored,
    VectoredMut,
};

bitflags! {
    /// What of the protection information the device checks.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Checks: u16 {
        /// The checksum of the block.
        #[doc(alias = "IO_INTEGRITY_CHK_GUARD")]
        const GUARD = 1;
        /// The reference tag: on a device with protection of type 1 the block's number, in memory counted from [`seed`](Protected::seed).
        #[doc(alias = "IO_INTEGRITY_CHK_REFTAG")]
        const REFERENCE = 2;
        /// The [application tag](Protected::app_tag).
        #[doc(alias = "IO_INTEGRITY_CHK_APPTAG")]
        const APPLICATION = 4;
    }
}

/// A read or write of a block device together with the protection information that it keeps beside each block.
///
/// A file that has no such information, or was not opened with `O_DIRECT`, makes it complete with `EINVAL`; what does not stand a check,
/// with `EILSEQ`.
///
/// Since Linux 6.14, where a ring has [`Features::RW_ATTR`](crate::Features::RW_ATTR). Older kernels know nothing of it: they read and
/// write, and leave the protection information alone.
///
/// ```
/// use uring::op::{Checks, Protected, Write};
///
/// # let mut ring = uring::Ring::best(8)?;
/// # if !ring.setup().features().contains(uring::Features::RW_ATTR) { return Ok(()) }
/// # let path = std::env::temp_dir().join(format!("uring-doc-protected-{}", std::process::id()));
/// let file = std::fs::File::create(&path)?;
/// let write = Write::new(&file, vec![0; 4096]).at(0);
/// let write = Protected::writing(write, vec![0; 64]).checks(Checks::GUARD);
/// let done = ring.call(write)?;
/// // An ordinary file keeps no protection information.
/// assert!(done.output.result.is_err());
/// assert_eq!(done.metadata.len(), 64);
/// # std::fs::remove_file(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_enter(2)`, `struct io_uring_attr_pi`.
#[derive(Debug)]
#[doc(alias = "io_uring_attr_pi")]
#[doc(alias = "IORING_RW_ATTR_FLAG_PI")]
#[must_use]
pub struct Protected<O, M, A = Inside<ProtectionAttributes>> {
    op: O,
    metadata: M,
    attributes: A,
}

/// Where the protection information of a [`Protected`] is, and what is to be done with it.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "io_uring_attr_pi")]
#[repr(transparent)]
pub struct ProtectionAttributes(uring_sys::io_uring_attr_pi);

/// A read, into memory of whatever kind. Sealed.
pub trait Reads: Operation {}
/// A write, from memory of whatever kind. Sealed.
pub trait Writes: Operation {}

impl<T: Target, B: BufMut> Reads for Read<T, B> {}
impl<T: Target, V: VectoredMut> Reads for ReadV<T, V> {}
impl<T: Target, B: FixedMemory + FixedMut> Reads for ReadFixed<T, B> {}
impl<T: Target, B: Buf> Writes for Write<T, B> {}
impl<T: Target, V: Vectored> Writes for WriteV<T, V> {}
impl<T: Target, B: FixedMemory> Writes for WriteFixed<T, B> {}

impl<O: Reads, M: BufMut> Protected<O, M> {
    /// Reads the protection information of what `read` reads into `metadata`: the whole of it, whose length has to be right.
    pub fn reading(read: O, mut metadata: M) -> Protected<O, M> {
        let (start, len) = (metadata.as_mut_ptr(), metadata.capacity());
        Protected::new(read, metadata, start, len)
    }
}

impl<O: Writes, M: Buf> Protected<O, M> {
    /// Writes the protection information in `metadata` with what `write` writes.
    pub fn writing(write: O, metadata: M) -> Protected<O, M> {
        let (start, len) = (metadata.as_ptr(), metadata.len());
        Protected::new(write, metadata, start, len)
    }
}

impl<O, M> Protected<O, M> {
    fn new(op: O, metadata: M, start: *const u8, len: usize) -> Protected<O, M> {
        Protected {
            op,
            metadata,
            attributes: Inside::new(ProtectionAttributes(uring_sys::io_uring_attr_pi {
                addr: address(start),
                // More than any device has for one transfer, and refused as such.
                len: u32::try_from(len).unwrap_or(u32::MAX),
                ..uring_sys::io_uring_attr_pi::default()
            })),
        }
    }
}

impl<O, M, A: MemoryFor<ProtectionAttributes>> Protected<O, M, A> {
    /// Has the device check that.
    pub fn checks(self, checks: Checks) -> Self {
        self.with(|attributes| attributes.flags = checks.bits())
    }

    /// The application tag of every block.
    pub fn app_tag(self, tag: u16) -> Self {
        self.with(|attributes| attributes.app_tag = tag)
    }

    /// The reference tag that the first block has in `metadata`; each that follows has the next.
    pub fn seed(self, seed: u64) -> Self {
        self.with(|attributes| attributes.seed = seed)
    }

    /// Has the kernel read all of that there.
    pub fn attributes_into(
        mut self,
        memory: RawMemory<ProtectionAttributes>,
    ) -> Protected<O, M, RawMemory<ProtectionAttributes>> {
        Protected {
            attributes: memory.holding(self.attributes.get()),
            op: self.op,
            metadata: self.metadata,
        }
    }

    fn with(mut self, change: impl FnOnce(&mut uring_sys::io_uring_attr_pi)) -> Self {
        let mut attributes = self.attributes.get();
        change(&mut attributes.0);
        self.attributes.set(attributes);
        self
    }
}

/// What [`Protected`] gives back.
#[derive(Debug)]
#[must_use]
pub struct ProtectedDone<R, M> {
    /// What the read or write gives back.
    pub output: R,
    /// The memory with the protection information.
    pub metadata: M,
}

impl<O, M, A> sealed::Sealed for Protected<O, M, A> {}

// SAFETY: the memory stays where it is as long as the value lives (contracts of `Buf` and `BufMut`), the attributes as long as the
// value stays, or as `RawMemory::new` was promised; for the rest the operation inside answers.
unsafe impl<O: Operation, M, A: MemoryFor<ProtectionAttributes>> Operation for Protected<O, M, A> {
    type Output = ProtectedDone<O::Output, M>;
    const OPCODE: u8 = O::OPCODE;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        self.op.admit(ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: passed on to the caller: with the whole the operation inside is at its final address.
        unsafe {
            O::prepare(&raw mut (*this).op, entry);
            entry.set_attributes(
                address((*this).attributes.as_mut_ptr().cast_const()),
                uring_sys::IORING_RW_ATTR_FLAG_PI,
            );
        }
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        ProtectedDone {
            // SAFETY: passed on to the caller.
            output: unsafe { self.op.complete(completion) },
            metadata: self.metadata,
        }
    }
}

// SAFETY: the memory is untracked, as is all that the operation inside works with, and the attributes are elsewhere.
unsafe impl<O, M> RawOperation for Protected<O, M, RawMemory<ProtectionAttributes>>
where
    O: RawOperation,
    M: Untracked,
{
}
