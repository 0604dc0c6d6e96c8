//! What can be said about a ring in more than yes or no.

use std::time::Duration;

/// How completions are produced by what runs in the submitting thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskWork {
    /// The kernel interrupts the thread for it: completions appear without a system call.
    Interrupting,
    /// At the thread's next system call of any kind (`IORING_SETUP_COOP_TASKRUN`, Linux 5.19).
    #[doc(alias = "IORING_SETUP_COOP_TASKRUN")]
    Cooperative,
    /// When the thread asks for completions, and only then (`IORING_SETUP_DEFER_TASKRUN`, Linux 6.1): the least overhead, for rings
    /// that stay on their thread.
    #[doc(alias = "IORING_SETUP_DEFER_TASKRUN")]
    Deferred,
}

/// Polling for the completion of block I/O instead of waiting for interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Polling {
    /// The waiting thread spins (`IORING_SETUP_IOPOLL`).
    #[doc(alias = "IORING_SETUP_IOPOLL")]
    Busy,
    /// It sleeps for part of the expected time first (`IORING_SETUP_HYBRID_IOPOLL`, Linux 6.13).
    #[doc(alias = "IORING_SETUP_HYBRID_IOPOLL")]
    Hybrid,
}

/// A kernel thread that takes entries by itself (`IORING_SETUP_SQPOLL`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[doc(alias = "IORING_SETUP_SQPOLL")]
#[must_use]
pub struct SubmissionThread {
    pub(super) idle: Duration,
    pub(super) cpu: Option<u32>,
}

impl SubmissionThread {
    /// A thread that sleeps after one second without entries, on any processor.
    pub const fn new() -> SubmissionThread {
        SubmissionThread {
            idle: Duration::ZERO,
            cpu: None,
        }
    }

    /// How long it looks for entries before it sleeps, rounded up to whole milliseconds; zero means the kernel's default of one second.
    pub const fn idle(self, idle: Duration) -> SubmissionThread {
        SubmissionThread { idle, ..self }
    }

    /// The processor that it runs on (`IORING_SETUP_SQ_AFF`).
    #[doc(alias = "IORING_SETUP_SQ_AFF")]
    pub const fn on_cpu(self, cpu: u32) -> SubmissionThread {
        SubmissionThread {
            cpu: Some(cpu),
            ..self
        }
    }
}
