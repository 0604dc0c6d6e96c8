//! Waiting for a word in memory to change, and waking those who wait.

use std::fmt;
use std::io;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use crate::completion::Completion;
use crate::entry::{Entry, address};
use crate::op::{Operation, RawOperation, count, done, sealed};
use crate::resource::Untracked;

/// A word that can be waited for.
///
/// Implemented for [`Arc<AtomicU32>`](Arc), `&AtomicU32` and [`RawFutexWord`].
///
/// # Safety
///
/// The word at [`as_ptr`](FutexWord::as_ptr) is aligned, can be read, and stays where it is when the value is moved, as long as the value lives.
/// The method neither panics nor calls into this library.
pub unsafe trait FutexWord {
    /// The address of the word.
    fn as_ptr(&self) -> *const u32;
}

// SAFETY: the word is on the heap, kept by the value.
unsafe impl FutexWord for Arc<AtomicU32> {
    fn as_ptr(&self) -> *const u32 {
        AtomicU32::as_ptr(self).cast_const()
    }
}

// SAFETY: the borrow keeps the word in place.
unsafe impl FutexWord for &AtomicU32 {
    fn as_ptr(&self) -> *const u32 {
        AtomicU32::as_ptr(self).cast_const()
    }
}

/// The bare address of a word.
#[derive(Clone, Copy, Debug)]
pub struct RawFutexWord(NonNull<AtomicU32>);

impl RawFutexWord {
    /// The word at that address.
    ///
    /// # Safety
    ///
    /// It stays there until the last completion of each operation pushed with it has been reaped.
    #[must_use]
    pub const unsafe fn new(word: NonNull<AtomicU32>) -> RawFutexWord {
        RawFutexWord(word)
    }
}

// SAFETY: the promise of `RawFutexWord::new`.
unsafe impl FutexWord for RawFutexWord {
    fn as_ptr(&self) -> *const u32 {
        self.0.as_ptr().cast_const().cast()
    }
}

// SAFETY: the constructor carries the promise.
unsafe impl Untracked for RawFutexWord {}

/// Of words of 32 bits (`FUTEX2_SIZE_U32`).
const SIZE_U32: i32 = 2;
/// Between the threads of one process (`FUTEX2_PRIVATE`).
const PRIVATE: i32 = 128;
/// All who wait, whatever they wait for (`FUTEX_BITSET_MATCH_ANY`).
const EVERYBODY: u32 = u32::MAX;

/// Waits until a word is woken, if it has the value that is expected.
///
/// It completes with `EAGAIN` at once if the word has another. What changes the word then wakes it: with [`FutexWake`], or with `futex_wake(2)` or
/// `FUTEX_WAKE_BITSET` of `futex(2)`. The two ends must agree on [`private`](FutexWait::private). A thread that waits in its ring is woken so by any other, without a
/// descriptor.
///
/// Since Linux 6.7; on older kernels it completes with `EINVAL`.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use uring::op::{FutexWait, FutexWake};
///
/// # let mut ring = uring::Ring::best(8)?;
/// # if !ring.probe()?.supports(uring_sys::IORING_OP_FUTEX_WAIT) { return Ok(()) }
/// let word = Arc::new(AtomicU32::new(0));
/// let waits = ring.push(FutexWait::new(word.clone(), 0))?;
/// word.store(1, Ordering::Release);
/// match ring.call(FutexWake::new(&*word, 1))?.result? {
///     // It was not waiting yet, and sees that the word has changed.
///     0 => assert!(ring.wait(waits)?.result.is_err()),
///     _ => ring.wait(waits)?.result?,
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_futex_wait(3)`, `futex_wait(2)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "io_uring_prep_futex_wait")]
#[doc(alias = "IORING_OP_FUTEX_WAIT")]
#[must_use]
pub struct FutexWait<W> {
    word: W,
    expected: u32,
    mask: u32,
    flags: i32,
}

impl<W: FutexWord> FutexWait<W> {
    /// Waits if the word is `expected`.
    pub const fn new(word: W, expected: u32) -> FutexWait<W> {
        FutexWait {
            word,
            expected,
            mask: EVERYBODY,
            flags: SIZE_U32,
        }
    }

    /// Is woken only by who wakes one of those bits.
    pub fn mask(mut self, mask: u32) -> Self {
        self.mask = mask;
        self
    }

    /// Is woken only from within the process, which costs less.
    ///
    /// Linux 6.17 to 7.2 lose wakeups of it if the process had but one thread when it began to wait.
    #[doc(alias = "FUTEX2_PRIVATE")]
    pub fn private(mut self) -> Self {
        self.flags |= PRIVATE;
        self
    }
}

/// What a futex operation gives back.
#[derive(Debug)]
#[must_use]
pub struct FutexDone<V, W> {
    /// What came of it.
    pub result: io::Result<V>,
    /// The word, or the words.
    pub word: W,
}

impl<W> sealed::Sealed for FutexWait<W> {}

// SAFETY: the word stays where it is as long as the value lives (contract of `FutexWord`).
unsafe impl<W: FutexWord> Operation for FutexWait<W> {
    type Output = FutexDone<(), W>;
    const OPCODE: u8 = uring_sys::IORING_OP_FUTEX_WAIT;

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        entry.set_fd(this.flags);
        entry.set_pointer(this.word.as_ptr());
        entry.set_off(u64::from(this.expected));
        entry.set_addr3(u64::from(this.mask));
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        FutexDone {
            result: done(completion),
            word: self.word,
        }
    }
}

// SAFETY: the word is untracked.
unsafe impl<W: FutexWord + Untracked> RawOperation for FutexWait<W> {}

/// Wakes those who wait for a word.
///
/// It yields how many were woken.
///
/// Since Linux 6.7; on older kernels it completes with `EINVAL`.
///
/// Source: `io_uring_prep_futex_wake(3)`, `futex_wake(2)`.
#[derive(Clone, Copy, Debug)]
#[doc(alias = "io_uring_prep_futex_wake")]
#[doc(alias = "IORING_OP_FUTEX_WAKE")]
#[must_use]
pub struct FutexWake<W> {
    word: W,
    most: u32,
    mask: u32,
    flags: i32,
}

impl<W: FutexWord> FutexWake<W> {
    /// Wakes at most that many.
    pub const fn new(word: W, most: u32) -> FutexWake<W> {
        FutexWake {
            word,
            most,
            mask: EVERYBODY,
            flags: SIZE_U32,
        }
    }

    /// Wakes only those who wait for one of those bits.
    pub fn mask(mut self, mask: u32) -> Self {
        self.mask = mask;
        self
    }

    /// Wakes those who wait [privately](FutexWait::private).
    #[doc(alias = "FUTEX2_PRIVATE")]
    pub fn private(mut self) -> Self {
        self.flags |= PRIVATE;
        self
    }
}

impl<W> sealed::Sealed for FutexWake<W> {}

// SAFETY: the word stays where it is as long as the value lives (contract of `FutexWord`).
unsafe impl<W: FutexWord> Operation for FutexWake<W> {
    type Output = FutexDone<usize, W>;
    const OPCODE: u8 = uring_sys::IORING_OP_FUTEX_WAKE;

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let this = unsafe { &*this };
        entry.set_fd(this.flags);
        entry.set_pointer(this.word.as_ptr());
        // The kernel takes it for a signed number.
        entry.set_off(u64::from(this.most.min(i32::MAX.unsigned_abs())));
        entry.set_addr3(u64::from(this.mask));
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        FutexDone {
            result: count(completion),
            word: self.word,
        }
    }
}

// SAFETY: the word is untracked.
unsafe impl<W: FutexWord + Untracked> RawOperation for FutexWake<W> {}

/// A word that a [`FutexWaitV`] waits for, and the value that it is to have.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[doc(alias = "futex_waitv")]
pub struct FutexWaiter {
    expected: u64,
    address: u64,
    flags: u32,
    reserved: u32,
}

impl FutexWaiter {
    /// That word, with that value.
    #[must_use]
    pub fn new(word: RawFutexWord, expected: u32) -> FutexWaiter {
        FutexWaiter::of(&word, expected)
    }

    fn of(word: &impl FutexWord, expected: u32) -> FutexWaiter {
        FutexWaiter {
            expected: u64::from(expected),
            address: address(word.as_ptr()),
            flags: SIZE_U32.unsigned_abs(),
            reserved: 0,
        }
    }

    /// Is woken only from within the process; see [`FutexWait::private`].
    #[doc(alias = "FUTEX2_PRIVATE")]
    #[must_use]
    pub const fn private(mut self) -> FutexWaiter {
        self.flags |= PRIVATE.unsigned_abs();
        self
    }
}

/// Waits until one of several words is woken, if all have the values that are expected.
///
/// It yields the index of one that was woken, and completes with `EAGAIN` at once if one has another value. At most 128 words.
///
/// Since Linux 6.7; on older kernels it completes with `EINVAL`.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::AtomicU32;
/// use uring::op::{FutexWaitV, FutexWake};
///
/// # let mut ring = uring::Ring::best(8)?;
/// # if !ring.probe()?.supports(uring_sys::IORING_OP_FUTEX_WAITV) { return Ok(()) }
/// let words = [0, 1].map(|value| Arc::new(AtomicU32::new(value)));
/// let [first, second] = words.clone();
/// let waits = ring.push(FutexWaitV::new(vec![(first, 0), (second, 1)]))?;
/// ring.submit()?;
/// assert_eq!(ring.call(FutexWake::new(&*words[1], 1))?.result?, 1);
/// assert_eq!(ring.wait(waits)?.result?, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_futex_waitv(3)`, `futex_waitv(2)`.
#[doc(alias = "io_uring_prep_futex_waitv")]
#[doc(alias = "IORING_OP_FUTEX_WAITV")]
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct FutexWaitV<L> {
    list: L,
}

/// Words that a [`FutexWaitV`] waits for: kept with their list ([`FutexWords`]), or by promise somewhere else ([`RawFutexWaiters`]). Sealed.
pub trait FutexList: sealed::Sealed {
    /// What is given back.
    type Words;

    #[doc(hidden)]
    fn waiters(&self) -> (*const FutexWaiter, usize);
    #[doc(hidden)]
    fn into_words(self) -> Self::Words;
}

/// Words, and the list of them that the kernel reads.
pub struct FutexWords<W> {
    words: Vec<(W, u32)>,
    waiters: Box<[FutexWaiter]>,
}

impl<W> sealed::Sealed for FutexWords<W> {}

impl<W> FutexList for FutexWords<W> {
    type Words = Vec<(W, u32)>;

    fn waiters(&self) -> (*const FutexWaiter, usize) {
        (self.waiters.as_ptr(), self.waiters.len())
    }

    fn into_words(self) -> Vec<(W, u32)> {
        self.words
    }
}

impl<W> fmt::Debug for FutexWords<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FutexWords")
            .field("waiters", &self.waiters)
            .finish_non_exhaustive()
    }
}

/// The bare address of a list of words.
#[derive(Clone, Copy, Debug)]
pub struct RawFutexWaiters {
    start: NonNull<FutexWaiter>,
    len: usize,
}

impl RawFutexWaiters {
    /// The `len` words whose list begins at `start`.
    ///
    /// # Safety
    ///
    /// The list stays there unchanged until the last completion of each operation pushed with it has been reaped.
    #[must_use]
    pub const unsafe fn new(start: NonNull<FutexWaiter>, len: usize) -> RawFutexWaiters {
        RawFutexWaiters { start, len }
    }
}

impl sealed::Sealed for RawFutexWaiters {}

impl FutexList for RawFutexWaiters {
    type Words = RawFutexWaiters;

    fn waiters(&self) -> (*const FutexWaiter, usize) {
        (self.start.as_ptr().cast_const(), self.len)
    }

    fn into_words(self) -> RawFutexWaiters {
        self
    }
}

// SAFETY: the constructor carries the promise, and that of each word the word's.
unsafe impl Untracked for RawFutexWaiters {}

impl FutexWaitV<RawFutexWaiters> {
    /// Waits if each word of that list has the value that it is to have.
    pub const fn at_address(list: RawFutexWaiters) -> FutexWaitV<RawFutexWaiters> {
        FutexWaitV { list }
    }
}

impl<W: FutexWord> FutexWaitV<FutexWords<W>> {
    /// Waits if each word has the value beside it.
    pub fn new(words: Vec<(W, u32)>) -> FutexWaitV<FutexWords<W>> {
        let waiter = |(word, expected): &(W, u32)| FutexWaiter::of(word, *expected);
        FutexWaitV {
            list: FutexWords {
                waiters: words.iter().map(waiter).collect(),
                words,
            },
        }
    }

    /// Is woken only from within the process; see [`FutexWait::private`].
    #[doc(alias = "FUTEX2_PRIVATE")]
    pub fn private(mut self) -> Self {
        for waiter in &mut self.list.waiters {
            *waiter = waiter.private();
        }
        self
    }
}

impl<L> sealed::Sealed for FutexWaitV<L> {}

// SAFETY: the list is on the heap and owned by the value, as are the words that it names or what keeps them in place; or both are where
// was promised.
unsafe impl<L: FutexList> Operation for FutexWaitV<L> {
    type Output = FutexDone<usize, L::Words>;
    const OPCODE: u8 = uring_sys::IORING_OP_FUTEX_WAITV;

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`.
        let (start, len) = unsafe { (*this).list.waiters() };
        entry.set_pointer(start);
        entry.set_len(u32::try_from(len).unwrap_or(u32::MAX));
    }

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        FutexDone {
            result: count(completion),
            word: self.list.into_words(),
        }
    }
}

// SAFETY: the list is untracked.
unsafe impl<L: FutexList + Untracked> RawOperation for FutexWaitV<L> {}
