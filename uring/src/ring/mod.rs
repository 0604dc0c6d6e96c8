//! The ring, with its handle as a type.

mod buffers;
mod direct;
mod files;
mod provided;
mod results;
mod submit;
mod waits;

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};

use static_assertions::{assert_impl_all, assert_not_impl_any};

use crate::batch::refused_user_data;
use crate::builder::Builder;
use crate::chain::{Chain, Links, RawLinks};
use crate::engine::Core;
use crate::entry::TRACKED;
use crate::error::{Call, Error};
use crate::handle::{Any, Fd, Fdless, Handle, HandleKind, Registered};
use crate::op::{KeptBy, Operation, RawOperation};
use crate::probe::Probe;
use crate::push::Push;
use crate::setup::Setup;
use crate::token::{PushError, Refused, Token};

/// A ring: operations go in, results come out.
///
/// The type parameter says how the kernel is told which ring is meant, and with that where the ring may go:
///
/// | handle | descriptor | moves to other threads | since Linux |
/// |---|---|---|---|
/// | [`Fd`] | yes, [`AsFd`] | yes | 5.10 |
/// | [`Registered`] | yes, [`AsFd`] | no | 5.18 |
/// | [`Fdless`] | none | no | 6.3, from birth 6.5 |
/// | [`Any`] | whatever there is | no | 5.10 |
///
/// A ring in a thread's table is found only from that thread: the same index on another thread is that thread's ring, or none. So
/// this does not compile:
///
/// ```compile_fail,E0277
/// let ring = uring::Ring::fdless(8)?;
/// std::thread::spawn(move || drop(ring));
/// # Ok::<(), uring::Error>(())
/// ```
///
/// Nor does asking a ring for a descriptor that it does not have:
///
/// ```compile_fail,E0277
/// fn poll(_: impl std::os::fd::AsFd) {}
/// poll(uring::Ring::fdless(8)?);
/// # Ok::<(), uring::Error>(())
/// ```
///
/// # The end of a ring
///
/// Dropping a ring cancels what is in flight and waits until the kernel has let go of all memory: closing alone would let it write into
/// freed buffers. Then the slot in the thread's table is given back and the descriptor closed, if the number still names the
/// ring. Forgetting a ring leaks all of that, until the thread or the process ends, and nothing else happens.
///
/// After `fork` the child's copy is inert: each call returns an error that [`is_forked`](Error::is_forked), and dropping it
/// frees only the copy.
#[doc(alias = "io_uring")]
pub struct Ring<H: Handle = Fd> {
    // Dropped in this order: first the drain, then the descriptor.
    core: Box<Core>,
    handle: H,
}

assert_impl_all!(Ring<Fd>: Send, AsFd);
assert_not_impl_any!(Ring<Fd>: Sync);
assert_impl_all!(Ring<Registered>: AsFd);
assert_not_impl_any!(Ring<Registered>: Send, Sync);
assert_not_impl_any!(Ring<Fdless>: Send, Sync, AsFd);
assert_not_impl_any!(Ring<Any>: Send, Sync, AsFd);

impl Ring<Fd> {
    /// Makes a movable ring with room for `entries` entries; [`Builder`] says more.
    ///
    /// # Errors
    ///
    /// See [`Builder::build`].
    #[doc(alias = "io_uring_queue_init")]
    pub fn new(entries: u32) -> Result<Ring<Fd>, Error> {
        Builder::new(entries).build()
    }
}

impl Ring<Fdless> {
    /// Makes a ring that has no descriptor, or fails.
    ///
    /// # Errors
    ///
    /// See [`Builder::build_fdless`].
    pub fn fdless(entries: u32) -> Result<Ring<Fdless>, Error> {
        Builder::new(entries).build_fdless()
    }
}

impl Ring<Any> {
    /// Makes a ring with the least visible handle that this kernel has.
    ///
    /// # Errors
    ///
    /// See [`Builder::build_best`].
    pub fn best(entries: u32) -> Result<Ring<Any>, Error> {
        Builder::new(entries).build_best()
    }
}

impl<H: Handle> Ring<H> {
    pub(crate) fn from_parts(core: Box<Core>, handle: H) -> Ring<H> {
        Ring { core, handle }
    }

    /// A ring whose handle has just changed.
    pub(crate) fn renamed(mut core: Box<Core>, handle: H, index: Option<u8>) -> Ring<H> {
        let name = handle.name(core.setup().features());
        #[cfg(uring_coverage)]
        let name = name.reached_as(core.reached_by(handle.kind()));
        core.rename(name, index);
        Ring { core, handle }
    }

    pub(crate) fn into_parts(self) -> (Box<Core>, H) {
        (self.core, self.handle)
    }

    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    pub(crate) fn core_mut(&mut self) -> &mut Core {
        &mut self.core
    }

    pub(crate) fn handle(&self) -> &H {
        &self.handle
    }

    /// How the ring is reached.
    #[must_use]
    pub fn handle_kind(&self) -> HandleKind {
        self.handle.kind()
    }

    /// What the ring was made with.
    #[must_use]
    pub fn setup(&self) -> &Setup {
        self.core.setup()
    }

    /// Which operations the kernel knows.
    ///
    /// Since Linux 5.6.
    ///
    /// ```
    /// # let ring = uring::Ring::best(8)?;
    /// for opcode in ring.probe()?.iter() {
    ///     println!("{opcode}: {}", uring::opcode_name(opcode).unwrap_or("new"));
    /// }
    /// # Ok::<(), uring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of `io_uring_register(2)`.
    #[doc(alias = "io_uring_get_probe_ring")]
    #[doc(alias = "io_uring_register_probe")]
    pub fn probe(&self) -> Result<Probe, Error> {
        // SAFETY: `Probe::read` passes an argument that fits the opcode that it passes.
        Probe::read(|opcode, arg, count| unsafe { self.core.register(opcode, arg, count) })
    }

    /// Pushes an operation, submitting what is in the queue first if it is full.
    ///
    /// The operation starts with the next submission: [`submit`](Ring::submit), or any call that waits.
    ///
    /// # Errors
    ///
    /// The operation is given back if
    /// - every slot for an operation in flight is taken ([`is_out_of_slots`](Error::is_out_of_slots)): take results, or detach;
    /// - the queue is full and the kernel takes nothing ([`is_busy`](Error::is_busy), or another error of
    ///   [`submit`](Ring::submit));
    /// - it names a direct descriptor of another ring ([`is_wrong_ring`](Error::is_wrong_ring));
    /// - it needs a larger entry than the ring's;
    /// - the process is a forked child ([`is_forked`](Error::is_forked)).
    ///
    /// ```
    /// use uring::op::Read;
    ///
    /// # let mut ring = uring::Ring::best(8)?;
    /// let open = std::fs::File::open;
    /// let one = ring.push(Read::new(open("/proc/version")?, Vec::with_capacity(4096)))?;
    /// let two = ring.push(Read::new(open("/proc/uptime")?, Vec::with_capacity(4096)))?;
    /// // Both are in flight from here on, and can be waited for in any order.
    /// let uptime = ring.wait(two)?.buf;
    /// let version = ring.wait(one)?.buf;
    /// assert!(version.starts_with(b"Linux") && uptime.contains(&b'.'));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// A buffer in flight is the ring's:
    ///
    /// ```compile_fail,E0382
    /// use uring::op::Read;
    /// # let mut ring = uring::Ring::best(8)?;
    /// let buf = vec![0; 4096];
    /// let token = ring.push(Read::new(std::io::stdin(), buf))?;
    /// println!("{buf:?}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// and a borrowed one needs a [`scope`](Ring::scope):
    ///
    /// ```compile_fail,E0597
    /// use uring::op::Read;
    /// # let mut ring = uring::Ring::best(8)?;
    /// let mut buf = [0; 4096];
    /// let token = ring.push(Read::new(std::io::stdin(), &mut buf[..]))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// A movable ring keeps only what may move with it:
    ///
    /// ```compile_fail,E0277
    /// use std::{fs::File, rc::Rc};
    /// # let mut ring = uring::Ring::new(8)?;
    /// let file = Rc::new(File::open("/dev/zero")?);
    /// let token = ring.push(uring::op::Read::new(file, vec![0; 10]))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn push<O: Operation + KeptBy<H> + 'static>(
        &mut self,
        op: O,
    ) -> Result<Token<O>, PushError<O>> {
        self.push_with(op, Push::new())
    }

    /// Pushes an operation with options.
    ///
    /// # Errors
    ///
    /// See [`push`](Ring::push).
    #[inline]
    pub fn push_with<O: Operation + KeptBy<H> + 'static>(
        &mut self,
        op: O,
        push: Push,
    ) -> Result<Token<O>, PushError<O>> {
        self.core.push(op, push, 0, true)
    }

    /// Pushes an operation if there is room in the queue, and submits nothing.
    ///
    /// # Errors
    ///
    /// See [`push`](Ring::push); a full queue [`is_queue_full`](Error::is_queue_full).
    #[doc(alias = "io_uring_get_sqe")]
    #[inline]
    pub fn try_push<O: Operation + KeptBy<H> + 'static>(
        &mut self,
        op: O,
    ) -> Result<Token<O>, PushError<O>> {
        self.core.push(op, Push::new(), 0, false)
    }

    /// Pushes a chain: all of it, in one submission, or nothing.
    ///
    /// # Errors
    ///
    /// See [`push`](Ring::push); a chain longer than the queue is refused as full.
    pub fn push_chain<L: Links + KeptBy<H> + 'static>(
        &mut self,
        chain: Chain<L>,
    ) -> Result<L::Tokens, PushError<Chain<L>>> {
        chain.push(&mut self.core, 0)
    }

    /// Pushes an operation that owns nothing, to be told by a number of the caller's own.
    ///
    /// Its completion comes out of [`next_completion`](Ring::next_completion) and [`for_each`](Ring::for_each). The ring keeps and
    /// tracks nothing: its end waits for no raw operation, so what the operation points to has to stay valid until the completion was
    /// reaped, as was promised when its resources were made. Before Linux 6.16 a multishot or zero-copy operation leaves the ring without
    /// [drains](Push::drain).
    ///
    /// # Errors
    ///
    /// See [`push`](Ring::push), and: the top bit of `user_data` is set. That bit is the ring's own, since with it a completion could be taken
    /// for one of an operation that the ring keeps.
    ///
    /// ```
    /// use std::os::fd::AsRawFd;
    /// use std::ptr::NonNull;
    /// use uring::op::Read;
    /// use uring::{RawBuf, RawTarget};
    ///
    /// # let mut ring = uring::Ring::best(8)?;
    /// let file = std::fs::File::open("/proc/version")?;
    /// let mut buf = [0; 5];
    /// // SAFETY: file and buffer stay as they are until the completion was reaped, below.
    /// let (target, raw) = unsafe {
    ///     (RawTarget::descriptor(file.as_raw_fd()), RawBuf::new(NonNull::from(&mut buf).cast(), 5))
    /// };
    /// ring.push_raw(Read::new(target, raw).at(0), 42)?;
    /// ring.submit_and_wait(1)?;
    /// let completion = ring.next_completion()?.expect("one has been waited for");
    /// assert_eq!((completion.user_data(), completion.result()?), (42, 5));
    /// assert_eq!(&buf, b"Linux");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// An operation that owns something is not raw:
    ///
    /// ```compile_fail,E0277
    /// # let mut ring = uring::Ring::best(8)?;
    /// ring.push_raw(uring::op::Read::new(std::io::stdin(), vec![0; 10]), 1)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "io_uring_sqe_set_data64")]
    #[inline]
    pub fn push_raw<O: RawOperation>(&mut self, op: O, user_data: u64) -> Result<(), PushError<O>> {
        self.push_raw_with(op, user_data, Push::new())
    }

    /// Pushes a raw operation with options.
    ///
    /// # Errors
    ///
    /// See [`push_raw`](Ring::push_raw).
    #[inline]
    pub fn push_raw_with<O: RawOperation>(
        &mut self,
        op: O,
        user_data: u64,
        push: Push,
    ) -> Result<(), PushError<O>> {
        if user_data & TRACKED != 0 {
            return Err(Refused::new(op, refused_user_data()));
        }
        self.core.push_raw(op, push, user_data)
    }

    /// Pushes a chain of operations that own nothing: all of it, in one submission, or nothing.
    ///
    /// Each member is told by a number of the caller's own, and `numbers` has them nested as tokens would be.
    ///
    /// ```
    /// use uring::Chain;
    /// use uring::op::{Nop, Write};
    /// use uring::{RawBuf, RawTarget};
    /// # use std::os::fd::AsRawFd;
    ///
    /// # let mut ring = uring::Ring::best(8)?;
    /// let full = std::fs::File::create("/dev/full")?;
    /// let mut text = *b"no room";
    /// // SAFETY: file and text stay as they are until all three completions were reaped, below.
    /// let (file, buf) = unsafe {
    ///     (RawTarget::descriptor(full.as_raw_fd()), RawBuf::new((&mut text[0]).into(), 7))
    /// };
    /// let chain = Chain::new(Nop::new()).then(Write::new(file, buf)).then(Nop::new());
    /// ring.push_raw_chain(chain, ((1, 2), 3))?;
    /// ring.submit_and_wait(3)?;
    /// let mut failed = Vec::new();
    /// ring.for_each(|completion| {
    ///     if completion.result().is_err() {
    ///         failed.push(completion.user_data());
    ///     }
    /// })?;
    /// failed.sort();
    /// // The disk is full, and what would have come after that is cancelled.
    /// assert_eq!(failed, [2, 3]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// See [`push_chain`](Ring::push_chain) and [`push_raw`](Ring::push_raw).
    pub fn push_raw_chain<L: RawLinks>(
        &mut self,
        chain: Chain<L>,
        numbers: L::Numbers,
    ) -> Result<(), PushError<Chain<L>>> {
        chain.push_raw(&mut self.core, numbers)
    }

    /// Pushes an operation and waits for it. What it works on may be borrowed.
    ///
    /// # Errors
    ///
    /// Those of [`push`](Ring::push) and [`wait`](Ring::wait); the result of the operation itself is in the output. Should the kernel
    /// not be brought to finish the operation, the process is aborted: it would write to memory that is no longer borrowed.
    #[inline]
    pub fn call<O: Operation>(&mut self, op: O) -> Result<O::Output, Error> {
        self.core.check_memory(Call::Push)?;
        self.scope(|scope| {
            let token = scope.push(op)?;
            Ok(scope.wait(token)?)
        })
    }

    /// Operations in flight: pushed, and their last completion not seen yet. Raw ones do not count.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.core.in_flight()
    }

    /// How many operations the ring can keep at a time, results that nobody has taken included.
    #[must_use]
    pub fn in_flight_capacity(&self) -> u32 {
        self.core.slot_capacity()
    }

    /// Entries that were pushed and not submitted yet.
    #[doc(alias = "io_uring_sq_ready")]
    #[must_use]
    pub fn pending(&self) -> u32 {
        self.core.pending()
    }

    /// Completions that the kernel had to drop, ever: on kernels without `IORING_FEAT_NODROP`, or out of memory.
    #[must_use]
    pub fn dropped_completions(&self) -> u32 {
        self.core.dropped_completions()
    }
}

impl<H: Handle + AsFd> AsFd for Ring<H> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

impl<H: Handle> fmt::Debug for Ring<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("handle", &self.handle)
            .field("setup", self.core.setup())
            .field("in_flight", &self.in_flight())
            .field("pending", &self.pending())
            .finish_non_exhaustive()
    }
}
