//! Receiving into buffers that the kernel chooses, once and again and again.

use std::marker::PhantomData;

use crate::buffers::{BufferGroup, BufferRing, Bundle, RawBufferGroup, Selection};
use crate::completion::Completion;
use crate::entry::Entry;
use crate::error::Hint;
use crate::op::multishot::brings_bytes;
use crate::op::send::MessageFlags;
use crate::op::{
    Completes, EndReason, Ended, Multishot, Operation, RawOperation, Selected, admit_target,
    entry_len, sealed,
};
use crate::resource::{Target, Untracked};

/// How many buffers a receive takes: [`OneBuffer`] or [`ManyBuffers`]. Sealed.
pub trait Takes<G: BufferGroup>: sealed::Sealed {
    /// What a completion yields.
    type Lease;

    /// # Safety
    ///
    /// The completion is the next of an operation that selects from the group and takes buffers in this way.
    #[doc(hidden)]
    unsafe fn lease(group: &G, completion: Completion) -> Self::Lease;
}

/// A receive takes one buffer at a time.
#[derive(Clone, Copy, Debug)]
pub enum OneBuffer {}

/// A receive takes as many buffers at a time as there is data for.
#[derive(Clone, Copy, Debug)]
pub enum ManyBuffers {}

impl sealed::Sealed for OneBuffer {}
impl sealed::Sealed for ManyBuffers {}

impl<G: BufferGroup> Takes<G> for OneBuffer {
    type Lease = G::Lease;

    unsafe fn lease(group: &G, completion: Completion) -> G::Lease {
        // SAFETY: passed on to the caller.
        unsafe { group.lease(completion) }
    }
}

/// A group of which one receive can take several buffers: a [`BufferRing`], or a reference to one. Sealed.
pub trait BundleGroup: BufferGroup {
    #[doc(hidden)]
    fn ring(&self) -> &BufferRing;
}

impl BundleGroup for BufferRing {
    fn ring(&self) -> &BufferRing {
        self
    }
}

impl BundleGroup for &BufferRing {
    fn ring(&self) -> &BufferRing {
        self
    }
}

impl<G: BundleGroup> Takes<G> for ManyBuffers {
    type Lease = Bundle;

    unsafe fn lease(group: &G, completion: Completion) -> Bundle {
        // SAFETY: passed on to the caller.
        unsafe { group.ring().bundle(completion) }
    }
}

/// Receives into a buffer of a group, which is taken when there is something to receive.
///
/// Without a buffer left in the group it completes with `ENOBUFS`. No bytes are the end of a stream, for which no buffer is taken.
///
/// Since Linux 5.7.
///
/// ```
/// use std::io::Write as _;
/// use std::os::unix::net::UnixStream;
/// use uring::op::RecvSelected;
///
/// # let mut ring = uring::Ring::best(8)?;
/// # if !ring.probe()?.supports(uring_sys::IORING_OP_SOCKET) { return Ok(()); }
/// let buffers = ring.buffer_ring(2, 4096)?;
/// let (mut one, other) = UnixStream::pair()?;
/// one.write_all(b"hello")?;
/// assert_eq!(&ring.call(RecvSelected::new(&other, &buffers))?.result?[..], b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_recv(3)`, `IOSQE_BUFFER_SELECT` in `io_uring_enter(2)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_recv")]
#[doc(alias = "IOSQE_BUFFER_SELECT")]
#[doc(alias = "IORING_OP_RECV")]
#[must_use]
pub struct RecvSelected<T, G: BufferGroup = BufferRing, K = OneBuffer> {
    target: T,
    selection: Selection<G>,
    limit: usize,
    flags: MessageFlags,
    takes: PhantomData<fn() -> K>,
}

impl<T: Target, G: BufferGroup> RecvSelected<T, G> {
    /// Receives as much as fits into a buffer.
    pub fn new(target: T, buffers: G) -> RecvSelected<T, G> {
        RecvSelected {
            target,
            selection: Selection::new(buffers),
            limit: 0,
            flags: MessageFlags::default(),
            takes: PhantomData,
        }
    }
}

impl<T: Target, G: BundleGroup> RecvSelected<T, G> {
    /// Takes as many buffers as there is data for, and yields a [`Bundle`]. Since Linux 6.10; older kernels complete with `EINVAL`.
    #[doc(alias = "IORING_RECVSEND_BUNDLE")]
    pub fn bundle(self) -> RecvSelected<T, G, ManyBuffers> {
        RecvSelected {
            target: self.target,
            selection: self.selection,
            limit: self.limit,
            flags: self.flags.ring(uring_sys::IORING_RECVSEND_BUNDLE),
            takes: PhantomData,
        }
    }
}

impl<T: Target, G: BufferGroup, K: Takes<G>> RecvSelected<T, G, K> {
    /// Receives at most that many bytes; zero is no limit.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Adds flags of `recv(2)`, as [`Recv::flags`](crate::op::Recv::flags).
    pub fn flags(mut self, flags: i32) -> Self {
        self.flags = self.flags.receiving(flags);
        self
    }

    /// Waits for data before it tries: for when none is expected to be there. Since Linux 5.19; older kernels complete with
    /// `EINVAL`.
    #[doc(alias = "IORING_RECVSEND_POLL_FIRST")]
    pub fn poll_first(mut self) -> Self {
        self.flags = self.flags.ring(uring_sys::IORING_RECVSEND_POLL_FIRST);
        self
    }
}

impl<T, G: BufferGroup, K> sealed::Sealed for RecvSelected<T, G, K> {}

// SAFETY: the buffer is the group's, which the operation keeps.
unsafe impl<T: Target, G: BufferGroup, K: Takes<G>> Operation for RecvSelected<T, G, K> {
    type Output = Selected<T, K::Lease>;
    const OPCODE: u8 = uring_sys::IORING_OP_RECV;

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)?;
        self.selection.admit(ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        entry.set_target(this.target.target());
        entry.set_len(entry_len(this.limit));
        this.flags.prepare(entry);
        this.selection.prepare(entry);
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        // SAFETY: passed on to the caller. A failed operation may have taken a buffer too, which goes back.
        let lease = unsafe { K::lease(self.selection.group(), completion) };
        Selected {
            result: completion.result().map(|_| lease),
            target: self.target,
        }
    }
}

// SAFETY: target and group are untracked.
unsafe impl<T: Target + Untracked> RawOperation for RecvSelected<T, RawBufferGroup> {}

/// Receives again and again, each time that there is something, into another buffer of a group.
///
/// Its token [yields](crate::Ring::wait_item) what was received each time. It [ends](EndReason) at the end of a stream, after a datagram of
/// no bytes, without a buffer left, when it is cancelled, and when completions overflow. Some kernels (6.18.15 for one, on rings whose task
/// work is deferred) miss the end of a stream that comes together with its last bytes, and wait for more; a
/// [`RecvSelected`] or [`Recv`](crate::op::Recv) after a while would see it.
///
/// Since Linux 6.0; older kernels complete with `EINVAL`.
///
/// ```
/// use std::io::Write as _;
/// use std::os::unix::net::UnixStream;
/// use uring::op::{EndReason, RecvMultishot};
///
/// # let mut ring = uring::Ring::best(8)?;
/// # if !ring.probe()?.supports(uring_sys::IORING_OP_SEND_ZC) { return Ok(()); }
/// let buffers = ring.buffer_ring(4, 1024)?;
/// let (mut one, other) = UnixStream::pair()?;
/// let receives = ring.push(RecvMultishot::new(other, buffers))?;
/// for word in ["one", "after", "the other"] {
///     one.write_all(word.as_bytes())?;
///     assert_eq!(&ring.wait_item(&receives)?.expect("it is open")[..], word.as_bytes());
/// }
/// drop(one);
/// assert!(ring.wait_item(&receives)?.is_none());
/// assert!(matches!(ring.wait(receives)?.reason, EndReason::Finished));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_recv_multishot(3)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_recv_multishot")]
#[doc(alias = "IORING_RECV_MULTISHOT")]
#[doc(alias = "IORING_OP_RECV")]
#[must_use]
pub struct RecvMultishot<T, G: BufferGroup = BufferRing, K = OneBuffer> {
    target: T,
    selection: Selection<G>,
    flags: MessageFlags,
    takes: PhantomData<fn() -> K>,
}

impl<T: Target, G: BufferGroup> RecvMultishot<T, G> {
    /// Receives whatever comes.
    pub fn new(target: T, buffers: G) -> RecvMultishot<T, G> {
        RecvMultishot {
            target,
            selection: Selection::new(buffers),
            flags: MessageFlags::default().ring(uring_sys::IORING_RECV_MULTISHOT),
            takes: PhantomData,
        }
    }
}

impl<T: Target, G: BundleGroup> RecvMultishot<T, G> {
    /// Takes as many buffers each time as there is data for, and yields a [`Bundle`] of them. Since Linux 6.10; older kernels complete
    /// with `EINVAL`.
    #[doc(alias = "IORING_RECVSEND_BUNDLE")]
    pub fn bundle(self) -> RecvMultishot<T, G, ManyBuffers> {
        RecvMultishot {
            target: self.target,
            selection: self.selection,
            flags: self.flags.ring(uring_sys::IORING_RECVSEND_BUNDLE),
            takes: PhantomData,
        }
    }
}

impl<T: Target, G: BufferGroup, K: Takes<G>> RecvMultishot<T, G, K> {
    /// Adds flags of `recv(2)`, as [`Recv::flags`](crate::op::Recv::flags). With `MSG_WAITALL` it is refused with `EINVAL`.
    pub fn flags(mut self, flags: i32) -> Self {
        self.flags = self.flags.receiving(flags);
        self
    }

    /// Waits for data before it tries: for when none is expected to be there.
    #[doc(alias = "IORING_RECVSEND_POLL_FIRST")]
    pub fn poll_first(mut self) -> Self {
        self.flags = self.flags.ring(uring_sys::IORING_RECVSEND_POLL_FIRST);
        self
    }

    /// The socket, given back.
    pub fn into_target(self) -> T {
        self.target
    }
}

impl<T, G: BufferGroup, K> sealed::Sealed for RecvMultishot<T, G, K> {}

// SAFETY: as for `RecvSelected`.
unsafe impl<T: Target, G: BufferGroup, K: Takes<G>> Operation for RecvMultishot<T, G, K> {
    type Output = Ended<Self>;
    const OPCODE: u8 = uring_sys::IORING_OP_RECV;
    const COMPLETES: Completes<Self> = Completes::many();

    fn admit(&self, ring: u64) -> Result<(), Hint> {
        admit_target(&self.target, ring)?;
        self.selection.admit(ring)
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        entry.set_target(this.target.target());
        this.flags.prepare(entry);
        this.selection.prepare(entry);
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        // SAFETY: passed on to the caller; an item of no bytes is what was taken for nothing.
        unsafe { Ended::giving_back(self, completion) }
    }
}

// SAFETY: nothing of the value is written to by the kernel.
unsafe impl<T: Target, G: BufferGroup, K: Takes<G>> Multishot for RecvMultishot<T, G, K> {
    type Item = K::Lease;

    unsafe fn item(this: *const Self, completion: Completion) -> K::Lease {
        // SAFETY: the caller vouches for `this` and for the completion.
        unsafe { K::lease((*this).selection.group(), completion) }
    }

    fn is_item(last: &Completion) -> bool {
        brings_bytes(last)
    }

    fn end(last: &Completion) -> EndReason {
        EndReason::of_stream(last)
    }
}

// SAFETY: target and group are untracked.
unsafe impl<T: Target + Untracked> RawOperation for RecvMultishot<T, RawBufferGroup> {}
