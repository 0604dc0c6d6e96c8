//! What there is to do, as every thread may say it: the part of an executor that wakers hold.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Wake;

/// A task, for the whole life of its ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(pub(super) u64);

/// The executor looks for work by itself.
const AWAKE: u32 = 0;
/// It has been told that there is some.
const CALLED: u32 = 1;

/// How the executor sleeps, and so how it is woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sleep {
    /// It waits at [`Ready::word`].
    Futex,
    /// It reads the eventfd.
    Eventfd,
    /// It gets up soon by itself.
    Short,
}

impl Sleep {
    /// What is in [`Ready::word`] meanwhile.
    pub(super) const fn word(self) -> u32 {
        match self {
            Sleep::Futex => 2,
            Sleep::Eventfd => 3,
            Sleep::Short => 4,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Ready {
    /// [`AWAKE`], [`CALLED`] or a kind of [`Sleep`].
    word: AtomicU32,
    main: AtomicBool,
    tasks: Mutex<VecDeque<Key>>,
    eventfd: OnceLock<Arc<File>>,
}

impl Ready {
    pub(super) fn word(&self) -> &AtomicU32 {
        &self.word
    }

    pub(super) fn eventfd(&self) -> &OnceLock<Arc<File>> {
        &self.eventfd
    }

    fn tasks(&self) -> MutexGuard<'_, VecDeque<Key>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.main.load(Ordering::Acquire) && self.tasks().is_empty()
    }

    /// How many tasks there are to run.
    pub(super) fn tasks_len(&self) -> usize {
        self.tasks().len()
    }

    pub(super) fn next_task(&self) -> Option<Key> {
        self.tasks().pop_front()
    }

    pub(super) fn take_main(&self) -> bool {
        self.main.swap(false, Ordering::AcqRel)
    }

    /// The future of `block_on` is to be polled.
    pub(super) fn call_main(&self) {
        self.main.store(true, Ordering::Release);
        self.call();
    }

    pub(super) fn call_task(&self, key: Key) {
        self.tasks().push_back(key);
        self.call();
    }

    /// From here on work is looked for.
    pub(super) fn wake_up(&self) {
        self.word.swap(AWAKE, Ordering::AcqRel);
    }

    /// Whether to sleep: nobody has called since the last look.
    pub(super) fn fall_asleep(&self, sleep: Sleep) -> bool {
        self.word
            .compare_exchange(AWAKE, sleep.word(), Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    fn call(&self) {
        let before = self.word.swap(CALLED, Ordering::AcqRel);
        if before == Sleep::Futex.word() {
            self.wake_futex();
        } else if before == Sleep::Eventfd.word() {
            if let Some(mut eventfd) = self.eventfd.get().map(|eventfd| &**eventfd) {
                // It fails only when it has been written to 2^64 times since it was read.
                let _ = eventfd.write(&1_u64.to_ne_bytes());
            }
        }
    }

    /// Not private to the process: on Linux 6.17 to 7.2 a private one may lose the call (H30).
    fn wake_futex(&self) {
        // SAFETY: the word is alive, and the call only compares its address.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                self.word.as_ptr(),
                libc::FUTEX_WAKE,
                1,
                std::ptr::null::<libc::timespec>(),
                std::ptr::null::<u32>(),
                0,
            )
        };
    }
}

/// Wakes the future of `block_on`.
impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        self.call_main();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.call_main();
    }
}
