//! What the ring's waits go by: the clock, how a waiting thread counts, and the eventfd that tells of completions.

use uring_sys::io_uring_clock_register;

use crate::engine::{Core, Wait};
use crate::error::{Call, Error, Hint};
use crate::evidence;
use crate::flags::Features;
use crate::time::WaitClock;
use crate::waiting::WaitOptions;

impl Core {
    /// Submits and waits on those terms.
    pub(crate) fn wait_with(
        &mut self,
        completions: u32,
        options: &WaitOptions,
    ) -> Result<u32, Error> {
        let count = self.still_to_come(completions);
        if options.is_plain() {
            return self.transact(Wait::For(count));
        }
        if options.batches() && !self.setup.features().contains(Features::MIN_TIMEOUT) {
            let hint = Hint::needs_linux(6, 12, &"IORING_FEAT_MIN_TIMEOUT is not set");
            return Err(Error::refused(Call::Enter, hint));
        }
        let few = self.still_to_come(completions.min(1));
        self.transact(Wait::On(&options.terms(count, few, self.clock)))
    }

    pub(crate) fn register_clock(&mut self, clock: WaitClock) -> Result<(), Error> {
        let opcode = uring_sys::IORING_REGISTER_CLOCK;
        let mut arg = io_uring_clock_register {
            clockid: clock.id().unsigned_abs(),
            ..io_uring_clock_register::default()
        };
        // SAFETY: the argument is the kernel's struct, which is read during the call only; it has no count.
        unsafe { self.register(opcode, (&raw mut arg).cast(), 0) }.map_err(|error| {
            self.unknown(
                error,
                opcode,
                0,
                &"io_uring_register refuses IORING_REGISTER_CLOCK",
                (6, 12),
            )
        })?;
        self.clock = clock;
        Ok(())
    }

    /// Says of an `EINVAL` that the kernel does not have the opcode, if that shows.
    pub(crate) fn unknown(
        &self,
        error: Error,
        opcode: u32,
        count: u32,
        evidence: &'static &'static str,
        (major, minor): (u8, u8),
    ) -> Error {
        let unexplained = error.errno() == Some(libc::EINVAL) && error.hint().is_none();
        if unexplained && evidence::lacks_register(self.name, opcode, count) {
            error.with_hint(Hint::needs_linux(major, minor, evidence))
        } else {
            error
        }
    }

    pub(crate) fn set_iowait(&mut self, counts: bool) -> Result<(), Error> {
        if !self.setup.features().contains(Features::NO_IOWAIT) {
            let hint = Hint::needs_linux(6, 15, &"IORING_FEAT_NO_IOWAIT is not set");
            return Err(Error::refused(Call::Enter, hint));
        }
        self.wait_flags = if counts {
            uring_sys::IORING_ENTER_GETEVENTS
        } else {
            uring_sys::IORING_ENTER_GETEVENTS | uring_sys::IORING_ENTER_NO_IOWAIT
        };
        Ok(())
    }

    /// Completions that have come and that nobody has looked at.
    pub(crate) fn completions_ready(&self) -> usize {
        if !self.process.is_current() {
            return 0;
        }
        let in_queue = usize::try_from(self.cq.waiting()).unwrap_or(usize::MAX);
        self.backlog.len().saturating_add(in_queue)
    }
}

#[cfg(test)]
mod tests {
    use crate::Builder;
    use crate::time::WaitClock;

    /// On a machine that was never suspended both clocks show the same, so that no wait tells them apart.
    #[test]
    fn the_ring_knows_its_clock() {
        let mut ring = Builder::new(1).build().unwrap();
        assert_eq!(ring.core_mut().clock, WaitClock::Monotonic);
        match ring.register_clock(WaitClock::Boottime) {
            Ok(()) => assert_eq!(ring.core_mut().clock, WaitClock::Boottime),
            Err(error) => assert!(error.is_unsupported(), "{error}"),
        }
        assert_eq!(WaitClock::Monotonic.id(), libc::CLOCK_MONOTONIC);
        assert_eq!(WaitClock::Boottime.id(), libc::CLOCK_BOOTTIME);
    }
}
