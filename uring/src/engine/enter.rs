//! Submitting and waiting: what goes through `io_uring_enter`.

use std::ffi::c_void;
use std::time::Instant;

use uring_sys::{__kernel_timespec, Errno, io_uring_getevents_arg};

use crate::engine::{Core, Deadline, Terms, Wait};
use crate::error::{Call, Error, Hint};
use crate::evidence;
use crate::flags::{Features, SetupFlags};
use crate::syscall;

impl Core {
    /// Submits everything in the queue; gives how many entries the kernel took.
    #[inline(always)]
    pub(crate) fn submit(&mut self) -> Result<u32, Error> {
        self.transact_plainly(0)
    }

    /// Submits everything in the queue and waits until that many completions are in their queue.
    #[inline(always)]
    pub(crate) fn wait_for_completions(&mut self, count: u32) -> Result<u32, Error> {
        if count == 0 {
            return self.transact_for(0);
        }
        self.transact_plainly(count)
    }

    /// [`transact`](Core::transact) where it most often is one call, all goes well, and there is nothing else to be done. Whatever is not as it
    /// should be is found by the same comparisons that show that it is, and handed on.
    #[inline(always)]
    fn transact_plainly(&mut self, want: u32) -> Result<u32, Error> {
        if !self.process.is_current() || (self.tends && !self.tend()) {
            return self.transact_for(want);
        }
        let count = self.sq.publish_to_enter();
        let flags = if want > 0 {
            self.wait_flags
        } else if count > 0 {
            0
        } else {
            return Ok(0);
        };
        // SAFETY: as in `enter_once`.
        let answer = unsafe { syscall::enter(self.name, count, want, flags, std::ptr::null(), 0) };
        let as_expected = answer == Ok(count)
            && (want == 0 || self.cq.has_come(want))
            && self.sq.take_note_of_all();
        if as_expected {
            Ok(count)
        } else {
            self.go_on(want, count, answer)
        }
    }

    /// Whether submitting is a call and nothing else, once that has been done which may have to be done before it.
    #[inline(never)]
    fn tend(&mut self) -> bool {
        self.tend_before();
        self.sq.is_entered() && self.quiet.is_empty() && !self.personalities.has_dropped()
    }

    /// What is to be done before each submission.
    #[inline]
    fn tend_before(&mut self) {
        if let Some(table) = &self.direct {
            if table.has_dropped() {
                self.close_dropped();
            }
        }
        if self.buffers.has_waiting() {
            self.tend_buffers();
        }
    }

    /// [`transact`](Core::transact) by numbers.
    #[cold]
    fn transact_for(&mut self, want: u32) -> Result<u32, Error> {
        self.transact(if want > 0 { Wait::For(want) } else { Wait::Not })
    }

    /// Goes on after a first call that was not all.
    #[cold]
    fn go_on(&mut self, want: u32, count: u32, answer: Result<u32, Errno>) -> Result<u32, Error> {
        let first = match answer {
            Ok(reported) => self.note_taken(count, reported),
            Err(errno) => Err(self.explain(errno)),
        };
        let wait = if want > 0 { Wait::For(want) } else { Wait::Not };
        self.submit_and_wait(wait, Some(first))
    }

    /// Submits everything in the queue and waits; gives how many entries the kernel took.
    ///
    /// What the kernel leaves in the queue, after an entry that it refused, is submitted again at once. If a call that waits succeeds, the
    /// completions are there.
    pub(crate) fn transact(&mut self, wait: Wait<'_>) -> Result<u32, Error> {
        self.check_process(Call::Enter)?;
        self.tend_before();
        let done = self.submit_and_wait(wait, None);
        if self.personalities.has_dropped() {
            self.unregister_dropped_personalities();
        }
        done
    }

    /// The calls that it takes, after a `first` one that may have been made.
    fn submit_and_wait(
        &mut self,
        wait: Wait<'_>,
        mut first: Option<Result<Step, Error>>,
    ) -> Result<u32, Error> {
        let mut want = wait.count().min(self.cq.capacity());
        let mut submitted = 0;
        let mut again = false;
        loop {
            let answer = match first.take() {
                Some(answer) => answer,
                None => self.enter_once(wait, want, again),
            };
            again = true;
            let step = match answer {
                Ok(step) => step,
                // The next call meets it again.
                Err(_) if submitted > 0 && want == 0 => return Ok(submitted),
                Err(error) if error.is_timed_out() && wait.is_endless() => {
                    want = wait.count().min(self.cq.capacity());
                    continue;
                }
                Err(error) => return Err(error),
            };
            submitted += step.taken;
            if let Wait::On(terms) = wait {
                want = terms.count().min(self.cq.capacity());
            }
            // A call that submitted something does not say that a signal or the time ended its wait: the next one waits on.
            let missing = self.cq.ready() < want;
            if step.taken == 0 && missing {
                return Err(self.cut_short(wait));
            }
            if step.taken == 0 || (step.left == 0 && !missing) {
                return Ok(submitted);
            }
        }
    }

    /// Why a wait ended early: the kernel does not say so if at least one completion has come.
    #[cold]
    fn cut_short(&self, wait: Wait<'_>) -> Error {
        if let Err(error) = self.check_reach() {
            return error;
        }
        let over = match wait {
            Wait::Until(_, deadline) => deadline <= Instant::now(),
            Wait::On(terms) => match terms.deadline {
                Deadline::Never => false,
                Deadline::After(deadline) => deadline <= Instant::now(),
                Deadline::At(time) => time <= self.clock.now(),
            },
            Wait::Not | Wait::Flush | Wait::For(_) => false,
        };
        self.explain(if over { Errno::ETIME } else { Errno::EINTR })
    }

    fn enter_once(&mut self, wait: Wait<'_>, want: u32, again: bool) -> Result<Step, Error> {
        let submission = self.sq.publish();
        let mut flags = 0;
        if submission.wake {
            flags |= uring_sys::IORING_ENTER_SQ_WAKEUP;
        }
        let ask = want > 0 || matches!(wait, Wait::Flush);
        let needs_call = ask || submission.wake || (submission.count > 0 && !submission.by_thread);
        if !needs_call {
            return Ok(Step {
                taken: submission.count,
                left: 0,
            });
        }
        if ask {
            flags |= self.wait_flags;
        }
        let to_submit = if submission.by_thread {
            0
        } else {
            submission.count
        };
        let answer = match wait {
            Wait::Until(count, deadline) if ask => {
                self.enter_on(to_submit, want, flags, &Terms::until(count, deadline))
            }
            Wait::On(&Terms {
                registered: Some(offset),
                deadline,
                ..
            }) if ask && !again => {
                self.enter_registered(to_submit, want, flags | deadline.flag(), offset)
            }
            Wait::On(terms) if ask => self.enter_on(to_submit, want, flags, terms),
            // SAFETY: what is in the queue was prepared from operations that the slots keep, or that a caller of a raw push has
            // vouched for; there is no argument.
            _ => unsafe { syscall::enter(self.name, to_submit, want, flags, std::ptr::null(), 0) }
                .map_err(|errno| self.explain(errno)),
        };
        let reported = answer?;
        if submission.by_thread {
            return Ok(Step {
                taken: submission.count,
                left: 0,
            });
        }
        self.note_taken(to_submit, reported)
    }

    /// Notes what the kernel took of so many entries, which it says itself and its head shows.
    fn note_taken(&mut self, to_submit: u32, reported: u32) -> Result<Step, Error> {
        let taken = self.sq.taken(reported);
        if !self.quiet.is_empty() {
            self.check_quiet_chains(taken);
        }
        if taken != reported || (taken == 0 && to_submit > 0) {
            self.diagnose()?;
        }
        Ok(Step {
            taken,
            left: self.sq.pending(),
        })
    }

    fn enter_on(
        &mut self,
        to_submit: u32,
        want: u32,
        flags: u32,
        terms: &Terms,
    ) -> Result<u32, Error> {
        if !self.setup.features().contains(Features::EXT_ARG) {
            let hint = Hint::needs_linux(5, 11, &"IORING_FEAT_EXT_ARG is not set");
            return Err(Error::refused(Call::Enter, hint));
        }
        let clock_flag = terms.deadline.flag();
        let timespec: Option<__kernel_timespec> = match terms.deadline {
            Deadline::Never => None,
            Deadline::After(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                Some(crate::time::timespec(left))
            }
            Deadline::At(time) => Some(crate::time::timespec(time)),
        };
        let (sigmask, sigmask_sz) = terms.signals.as_ref().map_or((0, 0), |mask| {
            let (bits, len) = mask.as_kernel();
            (crate::entry::address(bits), len)
        });
        let arg = io_uring_getevents_arg {
            sigmask,
            sigmask_sz,
            min_wait_usec: terms.batch_micros(want),
            ts: timespec
                .as_ref()
                .map_or(0, |time| crate::entry::address(time)),
        };
        let flags = flags | uring_sys::IORING_ENTER_EXT_ARG | clock_flag;
        let arg_pointer = (&raw const arg).cast::<c_void>();
        // SAFETY: as in `enter_once`; the argument is of the type that EXT_ARG asks for, and with what it points to outlives the call.
        unsafe {
            syscall::enter(
                self.name,
                to_submit,
                want,
                flags,
                arg_pointer,
                size_of_val(&arg),
            )
        }
        .map_err(|errno| evidence::wait_failed(self.name, errno, clock_flag))
    }

    /// Waits on terms that the kernel has already.
    fn enter_registered(
        &mut self,
        to_submit: u32,
        want: u32,
        flags: u32,
        offset: usize,
    ) -> Result<u32, Error> {
        let flags = flags | uring_sys::IORING_ENTER_EXT_ARG | uring_sys::IORING_ENTER_EXT_ARG_REG;
        let arg = std::ptr::without_provenance(offset);
        let len = size_of::<uring_sys::io_uring_reg_wait>();
        // SAFETY: as in `enter_once`; the argument is no address but a place in the region that the ring owns.
        unsafe { syscall::enter(self.name, to_submit, want, flags, arg, len) }
            .map_err(|errno| self.explain(errno))
    }

    #[cold]
    fn explain(&self, errno: Errno) -> Error {
        evidence::enter_failed(self.name, errno)
    }

    /// The kernel reports what our head does not show, or takes nothing: is it still our ring?
    #[cold]
    fn diagnose(&self) -> Result<(), Error> {
        if !self.sq.memory_is_intact() {
            return Err(Error::refused(Call::Enter, Hint::RingMemoryLost));
        }
        let hint = if self.index.is_some() {
            Hint::SlotEmpty
        } else {
            Hint::DescriptorReplaced
        };
        Err(Error::refused(Call::Enter, hint))
    }

    /// Submits to make room, taking completions in where the kernel insists on it first.
    pub(crate) fn submit_for_room(&mut self) -> Result<(), Error> {
        if self.sq.is_thread_driven() {
            return self.wait_for_thread();
        }
        match self.transact(Wait::Not) {
            Ok(_) => Ok(()),
            Err(error) if error.is_busy() => {
                self.make_kernel_room()?;
                self.transact(Wait::Not).map(drop)
            }
            Err(error) => Err(error),
        }
    }

    /// Waits until the kernel's thread has taken an entry.
    fn wait_for_thread(&mut self) -> Result<(), Error> {
        self.transact(Wait::Not)?;
        let flags = uring_sys::IORING_ENTER_SQ_WAIT;
        // SAFETY: there is no argument; the entries that the thread takes are as in `enter_once`.
        unsafe { syscall::enter(self.name, 0, 0, flags, std::ptr::null(), 0) }
            .map(drop)
            .map_err(|errno| self.explain(errno))
    }

    /// Takes completions in, those that overflowed too, so that the kernel accepts entries again.
    fn make_kernel_room(&mut self) -> Result<(), Error> {
        self.reap();
        self.flush()?;
        self.reap();
        Ok(())
    }

    /// Brings completions that wait in the kernel into the queue, submitting nothing.
    fn flush(&mut self) -> Result<(), Error> {
        self.check_process(Call::Enter)?;
        let flags = uring_sys::IORING_ENTER_GETEVENTS;
        // SAFETY: nothing is submitted and there is no argument.
        unsafe { syscall::enter(self.name, 0, 0, flags, std::ptr::null(), 0) }
            .map(drop)
            .map_err(|errno| self.explain(errno))
    }

    /// Takes in what has completed, entering the kernel only if completions wait there (Q4, Q5).
    pub(crate) fn collect(&mut self) -> Result<(), Error> {
        self.check_process(Call::Enter)?;
        self.reap();
        if self.completions_wait_in_kernel() {
            self.flush()?;
            self.reap();
        }
        Ok(())
    }

    fn completions_wait_in_kernel(&self) -> bool {
        let waiting = uring_sys::IORING_SQ_CQ_OVERFLOW | uring_sys::IORING_SQ_TASKRUN;
        if self.sq.flags() & waiting != 0 {
            return true;
        }
        let flags = self.setup.flags();
        let silent =
            flags.contains(SetupFlags::DEFER_TASKRUN) && !flags.contains(SetupFlags::TASKRUN_FLAG);
        silent || flags.contains(SetupFlags::IOPOLL)
    }

    /// Submits, waits for one more completion and takes in what has come, until `done` says so.
    ///
    /// Interrupted calls are repeated. Where the kernel wants completions reaped or has no memory for more requests, what is
    /// already in flight is waited for first.
    pub(crate) fn wait_until(&mut self, mut done: impl FnMut(&Core) -> bool) -> Result<(), Error> {
        if self.cq.ready() > 0 {
            self.reap();
        }
        while !done(self) {
            match self.wait_for_completions(1) {
                Ok(_) => {}
                Err(error) if error.is_interrupted() => {}
                Err(error) if error.is_busy() => self.wait_out(error)?,
                Err(error) => return Err(error),
            }
            if self.cq.ready() == 0 {
                self.check_reach()?;
            }
            self.reap();
        }
        Ok(())
    }

    /// A wait has ended and nothing has come: is it still our ring that was waited in?
    #[cold]
    fn check_reach(&self) -> Result<(), Error> {
        self.check_memory(Call::Enter)?;
        match self.descriptor {
            Some(descriptor) if !self.name.enters_by_index() => descriptor.check(Call::Enter),
            _ => Ok(()),
        }
    }

    /// Waits for something in flight, because the kernel takes nothing new.
    #[cold]
    fn wait_out(&mut self, error: Error) -> Result<(), Error> {
        self.make_kernel_room()?;
        if self.in_flight() <= self.sq.pending() {
            return if error.is_completions_waiting() {
                Ok(())
            } else {
                Err(error)
            };
        }
        std::thread::yield_now();
        Ok(())
    }
}

/// What one call did.
struct Step {
    taken: u32,
    left: u32,
}
