//! The kernel's worker threads: how many there may be, and where they run.

use std::num::NonZeroU32;

use crate::engine::Core;
use crate::error::{Call, Error, Hint};
use crate::handle::Handle;
use crate::ring::Ring;

/// How many worker threads (io-wq) may work for a thread at a time; none stands for no change, or for not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[doc(alias = "IO_WQ_BOUND")]
#[doc(alias = "IO_WQ_UNBOUND")]
pub struct WorkerLimits {
    /// For work that ends by itself: reading and writing files and block devices.
    pub bounded: Option<NonZeroU32>,
    /// For work that may take for ever: sockets, pipes, terminals.
    pub unbounded: Option<NonZeroU32>,
}

/// A set of processors, by their numbers.
///
/// ```
/// let set = uring::CpuSet::from_iter([0, 2, 70]);
/// assert!(set.contains(70) && !set.contains(1));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[doc(alias = "cpu_set_t")]
pub struct CpuSet {
    /// A bit for each processor; the last word is not zero.
    words: Vec<libc::c_ulong>,
}

const BITS: usize = libc::c_ulong::BITS as usize;
/// More than any kernel is built for (`CONFIG_NR_CPUS`).
const MOST: usize = 1 << 16;

impl CpuSet {
    /// The empty set.
    #[must_use]
    pub const fn new() -> CpuSet {
        CpuSet { words: Vec::new() }
    }

    /// Adds a processor. Numbers from 65536 on are no processor's, and are left out.
    pub fn insert(&mut self, cpu: usize) {
        if cpu < MOST {
            let word = cpu / BITS;
            if self.words.len() <= word {
                self.words.resize(word + 1, 0);
            }
            self.words[word] |= 1 << (cpu % BITS);
        }
    }

    /// Whether the processor is in the set.
    #[must_use]
    pub fn contains(&self, cpu: usize) -> bool {
        let word = self.words.get(cpu / BITS);
        word.is_some_and(|word| word & (1 << (cpu % BITS)) != 0)
    }

    /// Whether no processor is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }
}

impl FromIterator<usize> for CpuSet {
    fn from_iter<I: IntoIterator<Item = usize>>(cpus: I) -> CpuSet {
        let mut set = CpuSet::new();
        cpus.into_iter().for_each(|cpu| set.insert(cpu));
        set
    }
}

impl<H: Handle> Ring<H> {
    /// Limits the worker threads of the calling thread's rings, and gives the limits before.
    ///
    /// The workers are the thread's, so its other rings share them; with a [submission thread](crate::SubmissionThread) they are that
    /// one's. A limit that is not given stays. Before Linux 6.12 each memory node has workers, and limits, of its own.
    ///
    /// What is returned may be empty: the kernel knows no limits of a thread that has not used a ring yet.
    ///
    /// Since Linux 5.15.
    ///
    /// ```
    /// use uring::WorkerLimits;
    ///
    /// # let mut ring = uring::Ring::best(8)?;
    /// let four = WorkerLimits { unbounded: std::num::NonZeroU32::new(4), ..WorkerLimits::default() };
    /// let before = ring.limit_workers(four)?;
    /// let now = ring.limit_workers(WorkerLimits::default())?;
    /// assert_eq!((now.bounded, now.unbounded), (before.bounded, four.unbounded));
    /// # Ok::<(), uring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - a limit above 2³¹ - 1 ([`is_invalid_request`](Error::is_invalid_request));
    /// - [`is_unsupported`](Error::is_unsupported): the kernel is older;
    /// - others of `io_uring_register(2)`.
    ///
    /// Source: `io_uring_register_iowq_max_workers(3)`.
    #[doc(alias = "io_uring_register_iowq_max_workers")]
    #[doc(alias = "IORING_REGISTER_IOWQ_MAX_WORKERS")]
    pub fn limit_workers(&mut self, limits: WorkerLimits) -> Result<WorkerLimits, Error> {
        self.core().limit_workers(limits)
    }

    /// Keeps the worker threads of the calling thread's rings to some processors, from the next that is made on: those that exist stay where they
    /// are, until they end for want of work.
    ///
    /// As with [`limit_workers`](Ring::limit_workers), the workers are the thread's, or the submission thread's. It lasts until the thread
    /// ends, or [`unpin_workers`](Ring::unpin_workers).
    ///
    /// Since Linux 5.14.
    ///
    /// ```
    /// # let mut ring = uring::Ring::best(8)?;
    /// ring.pin_workers(&uring::CpuSet::from_iter([0]))?;
    /// ring.unpin_workers()?;
    /// # Ok::<(), uring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - the set is empty ([`is_invalid_request`](Error::is_invalid_request));
    /// - [`is_unsupported`](Error::is_unsupported): the kernel is older;
    /// - `EINVAL`: a processor does not exist, or is not in the thread's cpuset (noticed since Linux 6.6); or the calling thread has not used a
    ///   ring yet;
    /// - others of `io_uring_register(2)`.
    ///
    /// Source: `io_uring_register_iowq_aff(3)`.
    #[doc(alias = "io_uring_register_iowq_aff")]
    #[doc(alias = "IORING_REGISTER_IOWQ_AFF")]
    pub fn pin_workers(&mut self, cpus: &CpuSet) -> Result<(), Error> {
        self.core().pin_workers(cpus)
    }

    /// Lets the worker threads run wherever they may, from the next that is made on.
    ///
    /// Since Linux 5.14.
    ///
    /// # Errors
    ///
    /// Those of [`pin_workers`](Ring::pin_workers), but for the first.
    #[doc(alias = "io_uring_unregister_iowq_aff")]
    #[doc(alias = "IORING_UNREGISTER_IOWQ_AFF")]
    pub fn unpin_workers(&mut self) -> Result<(), Error> {
        self.core().unpin_workers()
    }
}

impl Core {
    fn limit_workers(&self, limits: WorkerLimits) -> Result<WorkerLimits, Error> {
        const OPCODE: u32 = uring_sys::IORING_REGISTER_IOWQ_MAX_WORKERS;
        let number = |limit: Option<NonZeroU32>| limit.map_or(0, NonZeroU32::get);
        let mut counts = [number(limits.bounded), number(limits.unbounded)];
        if counts.iter().any(|count| i32::try_from(*count).is_err()) {
            let hint = Hint::contradiction(&"a limit of workers is at most 2147483647");
            return Err(Error::refused(Call::register(OPCODE), hint));
        }
        // SAFETY: two counts, which the kernel reads and writes during the call only.
        unsafe { self.register(OPCODE, counts.as_mut_ptr().cast(), 2) }?;
        let [bounded, unbounded] = counts.map(NonZeroU32::new);
        Ok(WorkerLimits { bounded, unbounded })
    }

    fn pin_workers(&self, cpus: &CpuSet) -> Result<(), Error> {
        const OPCODE: u32 = uring_sys::IORING_REGISTER_IOWQ_AFF;
        if cpus.is_empty() {
            let hint = Hint::contradiction(&"workers need a processor to run on");
            return Err(Error::refused(Call::register(OPCODE), hint));
        }
        // At most 8 KiB.
        let len = u32::try_from(size_of_val(&cpus.words[..])).unwrap_or(u32::MAX);
        let arg = cpus.words.as_ptr().cast_mut().cast();
        // SAFETY: a mask of `len` bytes, which the kernel only reads, and only during the call.
        unsafe { self.register(OPCODE, arg, len) }.map(drop)
    }

    fn unpin_workers(&self) -> Result<(), Error> {
        let opcode = uring_sys::IORING_UNREGISTER_IOWQ_AFF;
        // SAFETY: the opcode takes no argument.
        unsafe { self.register(opcode, std::ptr::null_mut(), 0) }.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::CpuSet;

    #[test]
    fn a_set_has_what_was_put_in() {
        let set = CpuSet::from_iter([0, 64, 200, 200, 65536, usize::MAX]);
        let there: Vec<_> = (0..70_000).filter(|cpu| set.contains(*cpu)).collect();
        assert_eq!(there, [0, 64, 200]);
        assert!(!set.is_empty() && !set.contains(usize::MAX));
        assert!(CpuSet::from_iter([65536]).is_empty());
    }
}
