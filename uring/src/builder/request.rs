//! From what was said about a ring to what the kernel is asked for.

use std::time::Duration;

use crate::builder::{Builder, Polling, SubmissionThread, TaskWork};
use crate::capabilities::Capabilities;
use crate::entry::EntrySize;
use crate::error::{Call, Error, Hint};
use crate::flags::SetupFlags;
use crate::queue::CompletionSize;
use crate::setup::Request;

/// Whether the ring belongs to one thread from its first submission on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stays {
    Yes,
    No,
}

/// The largest queues of any kernel.
const MOST_ENTRIES: u32 = 32768;
const MOST_COMPLETIONS: u32 = 65536;

impl Builder<'_> {
    /// Checks what was asked for and adds what this kernel has by default.
    pub(super) fn request(&self, stays: Stays) -> Result<Request, Error> {
        self.refuse_contradictions(stays)?;
        let kernel = Capabilities::get()?;
        let asked = self.asked_flags();
        if let Some(hint) = kernel.missing(asked) {
            return Err(Error::refused(Call::Build, hint));
        }
        let flags = asked | (self.default_flags(stays) & kernel.setup_flags());
        let idle = self
            .submission_thread
            .map_or(Duration::ZERO, |thread| thread.idle);
        Ok(Request {
            entries: self.entries,
            completion_entries: self.completion_entries.unwrap_or(0),
            flags: complete(flags, kernel.setup_flags()),
            thread_cpu: self
                .submission_thread
                .and_then(|thread| thread.cpu)
                .unwrap_or(0),
            // What is less than a millisecond must not become the kernel's default.
            thread_idle_ms: u32::try_from(idle.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX),
            workers_of: self.workers_of,
        })
    }

    fn refuse_contradictions(&self, stays: Stays) -> Result<(), Error> {
        let refuse = |says: bool, why: &'static &'static str| {
            if says {
                Err(contradiction(why))
            } else {
                Ok(())
            }
        };
        let deferred = self.task_work == Some(TaskWork::Deferred);
        let cooperative = self.task_work == Some(TaskWork::Cooperative);
        let thread = self.submission_thread.is_some();
        refuse(
            deferred && stays == Stays::No,
            &"deferred task work needs a ring that stays on its thread: build_registered, build_fdless, build_best or build_disabled",
        )?;
        refuse(
            thread && (deferred || cooperative),
            &"with a submission thread there is no task work to defer: leave task_work or submission_thread out",
        )?;
        refuse(
            self.rewind && self.index_array,
            &"rewinding works without an index array only: leave one of the two out",
        )?;
        refuse(
            self.rewind && thread,
            &"a submission thread keeps its own place in the queue: leave rewind or submission_thread out",
        )?;
        let too_large = |asked: u32, most: u32| asked == 0 || (asked > most && !self.clamp);
        let wrong = [
            (Some(self.entries), MOST_ENTRIES),
            (self.completion_entries, MOST_COMPLETIONS),
        ];
        for (asked, most) in wrong {
            if let Some(asked) = asked.filter(|&asked| too_large(asked, most)) {
                return Err(Error::refused(Call::Build, Hint::EntryCount { asked }));
            }
        }
        let entries = self.entries.min(MOST_ENTRIES);
        refuse(
            self.completion_entries
                .is_some_and(|completions| completions < entries),
            &"fewer completion entries than submission entries",
        )?;
        refuse(
            self.entry_size == EntrySize::Mixed && entries < 3,
            &"a 128-byte entry takes two of a mixed queue's entries and the end of the queue a third, so it needs at least 3",
        )
    }

    fn asked_flags(&self) -> SetupFlags {
        let when = |says: bool, flags: SetupFlags| if says { flags } else { SetupFlags::empty() };
        when(self.completion_entries.is_some(), SetupFlags::CQSIZE)
            | when(self.clamp, SetupFlags::CLAMP)
            | when(self.workers_of.is_some(), SetupFlags::ATTACH_WQ)
            | when(self.rewind, SetupFlags::SQ_REWIND | SetupFlags::NO_SQARRAY)
            | when(self.own_memory, SetupFlags::NO_MMAP)
            | when(self.registered_waits.is_some(), SetupFlags::R_DISABLED)
            | match self.entry_size {
                EntrySize::Normal => SetupFlags::empty(),
                EntrySize::Large => SetupFlags::SQE128,
                EntrySize::Mixed => SetupFlags::SQE_MIXED,
            }
            | match self.completion_size {
                CompletionSize::Normal => SetupFlags::empty(),
                CompletionSize::Large => SetupFlags::CQE32,
                CompletionSize::Mixed => SetupFlags::CQE_MIXED,
            }
            | match self.submission_thread {
                None => SetupFlags::empty(),
                Some(SubmissionThread { cpu: None, .. }) => SetupFlags::SQPOLL,
                Some(_) => SetupFlags::SQPOLL | SetupFlags::SQ_AFF,
            }
            | match self.polling {
                None => SetupFlags::empty(),
                Some(Polling::Busy) => SetupFlags::IOPOLL,
                Some(Polling::Hybrid) => SetupFlags::IOPOLL | SetupFlags::HYBRID_IOPOLL,
            }
            | match self.task_work {
                None | Some(TaskWork::Interrupting) => SetupFlags::empty(),
                Some(TaskWork::Cooperative) => SetupFlags::COOP_TASKRUN,
                Some(TaskWork::Deferred) => SetupFlags::DEFER_TASKRUN | SetupFlags::SINGLE_ISSUER,
            }
    }

    /// What is switched on where the kernel has it.
    fn default_flags(&self, stays: Stays) -> SetupFlags {
        let mut flags = SetupFlags::NO_SQARRAY | SetupFlags::SUBMIT_ALL | SetupFlags::TASKRUN_FLAG;
        if self.index_array {
            flags.remove(SetupFlags::NO_SQARRAY);
        }
        if self.stop_at_refused {
            flags.remove(SetupFlags::SUBMIT_ALL);
        }
        if stays == Stays::Yes {
            flags |= SetupFlags::SINGLE_ISSUER;
            if self.task_work.is_none() && self.submission_thread.is_none() {
                flags |= SetupFlags::DEFER_TASKRUN;
            }
        }
        flags
    }
}

/// Removes the defaults that this kernel has only in part: the flag that shows waiting task work goes with task work that waits, and deferring
/// with a single issuer.
fn complete(mut flags: SetupFlags, kernel: SetupFlags) -> SetupFlags {
    if !kernel.contains(SetupFlags::SINGLE_ISSUER) {
        flags.remove(SetupFlags::DEFER_TASKRUN);
    }
    if !flags.intersects(SetupFlags::COOP_TASKRUN | SetupFlags::DEFER_TASKRUN) {
        flags.remove(SetupFlags::TASKRUN_FLAG);
    }
    flags
}

pub(super) fn contradiction(why: &'static &'static str) -> Error {
    Error::refused(Call::Build, Hint::contradiction(why))
}
