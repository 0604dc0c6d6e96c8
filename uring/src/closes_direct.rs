//! Does the kernel close direct descriptors, or would it close another descriptor instead?
//!
//! Before Linux 5.15 `IORING_OP_CLOSE` takes no notice of `file_index`, and closes whatever has the number in `fd`, which is zero for a direct
//! descriptor (`io_close_prep` in `fs/io_uring.c`). The version does not tell: the stable series of 5.10 has the io_uring of 5.15. But a
//! kernel that takes notice refuses an entry that names both kinds with `EINVAL`, while one that does not looks for the descriptor; and with a number that no
//! descriptor ever has it finds none and closes nothing.
//!
//! The same kernels open no file into a slot, but make a descriptor of it, and the 0 of the first descriptor looks like the success of the other.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::error::Hint;
use crate::flags::Features;
use crate::op::RawEntry;
use crate::ring::Ring;

/// What this kernel does, once that is known.
pub(crate) struct Known(AtomicU8);

pub(crate) static KNOWN: Known = Known::nothing();

const UNKNOWN: u8 = 0;
const CLOSES: u8 = 1;
const CLOSES_ANOTHER: u8 = 2;

/// No descriptor has it: the largest number is smaller by some, whatever the limits are.
const NOWHERE: i32 = i32::MAX;

impl Known {
    const fn nothing() -> Known {
        Known(AtomicU8::new(UNKNOWN))
    }

    /// Learns from the features of a ring, so that kernels of Linux 5.17 and newer need not be asked.
    pub(crate) fn learn(&self, features: Features) {
        if features.contains(Features::CQE_SKIP) {
            self.0.store(CLOSES, Ordering::Relaxed);
        }
    }

    /// Refuses to close a direct descriptor where the kernel would close another descriptor, or may.
    #[inline]
    pub(crate) fn check_closing(&self) -> Result<(), Hint> {
        match self.find_out() {
            CLOSES => Ok(()),
            CLOSES_ANOTHER => Err(TAKES_NO_NOTICE),
            _ => Err(Hint::needs_linux(
                5,
                15,
                &"it could not be tried whether IORING_OP_CLOSE takes notice of the index of a direct descriptor",
            )),
        }
    }

    /// Refuses to open a direct descriptor where it is known that the kernel would make a descriptor of it.
    ///
    /// Where that could not be tried, for want of a descriptor or of memory, all numbers but 0 tell it when the file is open.
    #[inline]
    pub(crate) fn check_opening(&self) -> Result<(), Hint> {
        match self.find_out() {
            CLOSES_ANOTHER => Err(TAKES_NO_NOTICE),
            _ => Ok(()),
        }
    }

    #[inline]
    fn find_out(&self) -> u8 {
        match self.0.load(Ordering::Relaxed) {
            UNKNOWN => self.find_out_by_trying(),
            known => known,
        }
    }

    #[cold]
    fn find_out_by_trying(&self) -> u8 {
        let known = decide(ask());
        self.0.store(known, Ordering::Relaxed);
        known
    }
}

const TAKES_NO_NOTICE: Hint = Hint::needs_linux(
    5,
    15,
    &"IORING_OP_CLOSE takes no notice of the index of a direct descriptor",
);

/// What follows from what the kernel answers to an entry that names both kinds of descriptors.
fn decide(answer: Option<i32>) -> u8 {
    match answer.map(i32::wrapping_neg) {
        Some(libc::EINVAL) => CLOSES,
        Some(libc::EBADF) => CLOSES_ANOTHER,
        _ => UNKNOWN,
    }
}

/// Asks the kernel, on a ring made for that.
fn ask() -> Option<i32> {
    answer_to(1)
}

/// What the kernel answers if the number that no descriptor has is to be closed, and with it what `file_index` says.
fn answer_to(file_index: u32) -> Option<i32> {
    let mut ring = Ring::new(1).ok()?;
    // SAFETY: it names no memory, and closes nothing: the ring has no table, and no descriptor has that number.
    let close = unsafe { RawEntry::new(uring_sys::IORING_OP_CLOSE) }
        .fd(NOWHERE)
        .file_index(file_index);
    let completion = ring.call(close).ok()?;
    Some(completion.raw_result())
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::fs::File;
    use std::os::fd::OwnedFd;
    use std::process::Command;

    use super::*;
    use crate::error::{Call, Error};
    use crate::op::{Close, CloseDirect, Nop, OpenAt};
    use crate::{Chain, RawDirectSlot, RawPath, RawTarget};

    #[test]
    fn the_kernel_says_what_it_does() {
        // Each that this is run on is new enough.
        let known = Known::nothing();
        assert!(known.check_closing().is_ok());
        assert_eq!(known.0.into_inner(), CLOSES);
        // Without an index it answers as one does that takes no notice of it.
        assert_eq!(decide(answer_to(0)), CLOSES_ANOTHER);
    }

    #[test]
    fn what_says_neither_is_asked_again() {
        for answer in [None, Some(0), Some(-libc::EPERM), Some(i32::MIN)] {
            assert_eq!(decide(answer), UNKNOWN);
        }
    }

    /// In a process of its own, since what is known is the process's, and others of these tests make rings meanwhile.
    #[test]
    fn nothing_is_pushed_that_would_close_another() {
        const ALONE: &str = "URING_CLOSES_ANOTHER";
        if env::var_os(ALONE).is_none() {
            let name = "closes_direct::tests::nothing_is_pushed_that_would_close_another";
            let mut alone = Command::new(env::current_exe().unwrap());
            // What it prints looks like a test of this process.
            let ran = alone.args([name, "--exact"]).env(ALONE, "").output();
            let ran = ran.unwrap();
            let said = String::from_utf8_lossy(&ran.stdout);
            assert!(ran.status.success(), "{said}");
            return;
        }
        let mut ring = Ring::new(2).unwrap();
        ring.register_direct(2).unwrap();
        let null = File::open("/dev/null").unwrap();
        let direct = ring.adopt(&null).unwrap();
        // SAFETY: the slot is left alone.
        let slot = unsafe { RawTarget::direct(0) };
        KNOWN.0.store(CLOSES_ANOTHER, Ordering::Relaxed);
        let refused = ring.push(CloseDirect::new(direct)).unwrap_err();
        assert!(refused.error().is_unsupported(), "{refused}");
        let refused = ring.push_raw(Close::new(slot), 1).unwrap_err();
        assert!(refused.error().is_unsupported(), "{refused}");
        let refused = ring.batch(|batch| batch.push_raw(Close::new(slot), 1));
        assert!(refused.unwrap_err().error().is_unsupported());
        let chain = Chain::new(Close::new(slot)).then(Nop::new());
        assert!(ring.push_raw_chain(chain, (1, 2)).is_err());
        let slot = ring.direct_slot().unwrap();
        let open = OpenAt::new(c"/dev/null").into_direct(slot);
        assert!(ring.push(open).unwrap_err().error().is_unsupported());
        // SAFETY: as above, and a literal stays as it is.
        let (slot, path) = unsafe { (RawDirectSlot::new(0), RawPath::new(c"/dev/null".as_ptr())) };
        let open = OpenAt::new(path).into_raw_direct(slot);
        assert!(ring.push_raw(open, 1).unwrap_err().error().is_unsupported());
        assert_eq!(ring.pending(), 0);
        ring.call(Close::new(OwnedFd::from(null))).unwrap().unwrap();
    }

    #[test]
    fn what_is_learnt_is_not_asked_for() {
        let known = Known::nothing();
        known.learn(Features::RSRC_TAGS);
        assert_eq!(known.0.load(Ordering::Relaxed), UNKNOWN);
        known.learn(Features::RSRC_TAGS | Features::CQE_SKIP);
        assert_eq!(known.0.into_inner(), CLOSES);
    }

    #[test]
    fn what_would_close_another_is_refused() {
        let known = Known(AtomicU8::new(CLOSES_ANOTHER));
        for _ in 0..2 {
            let error = Error::refused(Call::Push, known.check_closing().unwrap_err());
            assert!(error.is_unsupported(), "{error}");
        }
        assert!(known.check_opening().is_err());
        assert_eq!(known.0.into_inner(), CLOSES_ANOTHER);
    }
}
