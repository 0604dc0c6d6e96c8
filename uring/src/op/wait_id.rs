//! Waiting for child processes.

use std::fmt;
use std::io;
use std::os::fd::RawFd;

use crate::completion::Completion;
use crate::entry::{Entry, address};
use crate::error::Hint;
use crate::op::{Operation, RawOperation, admit_directory, done, sealed};
use crate::resource::{MemoryFor, RawMemory, Target, Untracked};

/// Waits until a child process ends, or stops, or goes on.
///
/// A child that has ended is reaped by it, as by `waitid(2)`, unless [`keep`](WaitId::keep) says otherwise. Children are those of the process that the
/// ring is of. `ECHILD`: there is no such child.
///
/// Since Linux 6.7; on older kernels it completes with `EINVAL`.
///
/// ```
/// use uring::op::{ChildEnd, WaitId};
///
/// # let mut ring = uring::Ring::best(8)?;
/// # if !ring.probe()?.supports(uring_sys::IORING_OP_WAITID) { return Ok(()) }
/// # #[allow(clippy::zombie_processes, reason = "the operation waits for it")]
/// let child = std::process::Command::new("/bin/false").spawn()?;
/// let status = ring.call(WaitId::child(child.id()))?.result?;
/// assert_eq!((status.pid, status.end), (child.id(), ChildEnd::Exited(1)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: `io_uring_prep_waitid(3)`, `waitid(2)`.
#[derive(Debug)]
#[doc(alias = "io_uring_prep_waitid")]
#[doc(alias = "IORING_OP_WAITID")]
#[must_use]
pub struct WaitId<W, M = Box<ChildInfo>> {
    of: W,
    options: i32,
    /// The kernel fills it in before the completion.
    info: M,
}

impl WaitId<AnyChild> {
    /// Waits for the end of any child.
    pub fn any_child() -> WaitId<AnyChild> {
        WaitId::new(AnyChild)
    }
}

impl WaitId<Child> {
    /// Waits for the end of the child with that number.
    pub fn child(pid: u32) -> WaitId<Child> {
        WaitId::new(Child(pid))
    }
}

impl WaitId<OfGroup> {
    /// Waits for the end of any child of that process group.
    pub fn of_group(pgid: u32) -> WaitId<OfGroup> {
        WaitId::new(OfGroup(pgid))
    }
}

impl<T: Target> WaitId<OfPidFd<T>> {
    /// Waits for the end of the child that a pidfd stands for.
    pub fn pidfd(pidfd: T) -> WaitId<OfPidFd<T>> {
        WaitId::new(OfPidFd(pidfd))
    }
}

impl<W: WaitsFor> WaitId<W> {
    fn new(of: W) -> WaitId<W> {
        WaitId {
            of,
            options: libc::WEXITED,
            info: Box::new(ChildInfo::nothing()),
        }
    }
}

impl<W, M> WaitId<W, M> {
    /// Waits for it to be stopped by a signal, too.
    #[doc(alias = "WSTOPPED")]
    pub fn or_stopped(self) -> Self {
        self.with(libc::WSTOPPED)
    }

    /// Waits for it to go on after a stop, too.
    #[doc(alias = "WCONTINUED")]
    pub fn or_continued(self) -> Self {
        self.with(libc::WCONTINUED)
    }

    /// Leaves it to be waited for again.
    #[doc(alias = "WNOWAIT")]
    pub fn keep(self) -> Self {
        self.with(libc::WNOWAIT)
    }

    /// Has the kernel write there what has become of the child.
    pub fn info_into(self, memory: RawMemory<ChildInfo>) -> WaitId<W, RawMemory<ChildInfo>> {
        WaitId {
            of: self.of,
            options: self.options,
            info: memory.holding(ChildInfo::nothing()),
        }
    }

    fn with(mut self, option: i32) -> Self {
        self.options |= option;
        self
    }
}

/// Whom [`WaitId`] waits for. Sealed.
pub trait WaitsFor: sealed::Sealed {
    #[doc(hidden)]
    fn kind_and_number(&self) -> (u32, RawFd);
    #[doc(hidden)]
    fn admit(&self) -> Result<(), Hint> {
        Ok(())
    }
}

/// Any child.
#[derive(Clone, Copy, Debug)]
pub struct AnyChild;

/// The child with that number.
#[derive(Clone, Copy, Debug)]
pub struct Child(pub u32);

/// Any child of the process group with that number.
#[derive(Clone, Copy, Debug)]
pub struct OfGroup(pub u32);

/// The child that a pidfd stands for.
#[derive(Clone, Copy, Debug)]
pub struct OfPidFd<T>(pub T);

// SAFETY: they name nothing that could go away: a child that is gone is not found.
unsafe impl Untracked for AnyChild {}
// SAFETY: as above.
unsafe impl Untracked for Child {}
// SAFETY: as above.
unsafe impl Untracked for OfGroup {}
// SAFETY: the pidfd is untracked.
unsafe impl<T: Untracked> Untracked for OfPidFd<T> {}

impl sealed::Sealed for AnyChild {}
impl sealed::Sealed for Child {}
impl sealed::Sealed for OfGroup {}
impl<T> sealed::Sealed for OfPidFd<T> {}

/// Numbers of processes are small; one that is none fits no child.
fn number(id: u32) -> RawFd {
    RawFd::try_from(id).unwrap_or(RawFd::MAX)
}

impl WaitsFor for AnyChild {
    fn kind_and_number(&self) -> (u32, RawFd) {
        (libc::P_ALL, 0)
    }
}

impl WaitsFor for Child {
    fn kind_and_number(&self) -> (u32, RawFd) {
        (libc::P_PID, number(self.0))
    }
}

impl WaitsFor for OfGroup {
    fn kind_and_number(&self) -> (u32, RawFd) {
        (libc::P_PGID, number(self.0))
    }
}

impl<T: Target> WaitsFor for OfPidFd<T> {
    fn kind_and_number(&self) -> (u32, RawFd) {
        (libc::P_PIDFD, self.0.target().number())
    }

    fn admit(&self) -> Result<(), Hint> {
        admit_directory(&self.0)
    }
}

/// What [`WaitId`] gives back.
#[derive(Debug)]
#[must_use]
pub struct Waited<W> {
    /// Who it was, and what has become of it.
    pub result: io::Result<ChildStatus>,
    /// Whom it was to be.
    pub of: W,
}

/// What the kernel has written of a child, which a [`WaitId`] that is pushed raw leaves to the caller to read.
#[derive(Clone, Copy)]
#[doc(alias = "siginfo_t")]
#[repr(transparent)]
pub struct ChildInfo(libc::siginfo_t);

impl ChildInfo {
    fn nothing() -> ChildInfo {
        // SAFETY: numbers and addresses, for all of which zero is valid.
        ChildInfo(unsafe { std::mem::zeroed() })
    }

    /// What it says.
    ///
    /// # Errors
    ///
    /// It says something that this library does not know.
    pub fn status(&self) -> io::Result<ChildStatus> {
        ChildStatus::of(&self.0)
    }
}

impl fmt::Debug for ChildInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ChildInfo").field(&self.status()).finish()
    }
}

/// What has become of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChildStatus {
    /// Its process number.
    pub pid: u32,
    /// The user whose it was.
    pub user: u32,
    /// What has happened to it.
    pub end: ChildEnd,
}

/// What has happened to a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChildEnd {
    /// It has exited, with that code.
    Exited(i32),
    /// That signal has killed it.
    Killed {
        /// The signal's number.
        signal: i32,
        /// Whether its memory was dumped.
        dumped: bool,
    },
    /// That signal has stopped it.
    Stopped(i32),
    /// It was traced, and that signal has trapped it.
    Trapped(i32),
    /// It goes on.
    Continued,
}

impl ChildStatus {
    fn of(info: &libc::siginfo_t) -> io::Result<ChildStatus> {
        // SAFETY: the kernel has filled it in as for `SIGCHLD`, or left it zeroed.
        let (pid, user, status) = unsafe { (info.si_pid(), info.si_uid(), info.si_status()) };
        let end = match info.si_code {
            libc::CLD_EXITED => ChildEnd::Exited(status),
            libc::CLD_KILLED | libc::CLD_DUMPED => ChildEnd::Killed {
                signal: status,
                dumped: info.si_code == libc::CLD_DUMPED,
            },
            libc::CLD_STOPPED => ChildEnd::Stopped(status),
            libc::CLD_TRAPPED => ChildEnd::Trapped(status),
            libc::CLD_CONTINUED => ChildEnd::Continued,
            other => {
                return Err(io::Error::other(format!(
                    "the kernel told of a child with code {other}"
                )));
            }
        };
        Ok(ChildStatus {
            pid: pid.unsigned_abs(),
            user,
            end,
        })
    }
}

impl<W, M> sealed::Sealed for WaitId<W, M> {}

// SAFETY: the memory is on the heap and owned by the value, or where `RawMemory::new` was promised.
unsafe impl<W: WaitsFor, M: MemoryFor<ChildInfo>> Operation for WaitId<W, M> {
    type Output = Waited<W>;
    const OPCODE: u8 = uring_sys::IORING_OP_WAITID;

    fn admit(&self, _: u64) -> Result<(), Hint> {
        self.of.admit()
    }

    unsafe fn prepare(this: *mut Self, entry: &mut Entry) {
        // SAFETY: the caller vouches for `this`; nobody else refers to it yet.
        let this = unsafe { &mut *this };
        let (kind, number) = this.of.kind_and_number();
        entry.set_len(kind);
        entry.set_fd(number);
        entry.set_file_index(this.options.unsigned_abs());
        entry.set_off(address(this.info.as_mut_ptr().cast_const()));
    }

    unsafe fn complete(mut self, completion: Completion) -> Self::Output {
        let result = done(completion).and_then(|()| self.info.get().status());
        Waited {
            result,
            of: self.of,
        }
    }
}

// SAFETY: whom it waits for is untracked, and the memory is elsewhere.
unsafe impl<W: WaitsFor + Untracked> RawOperation for WaitId<W, RawMemory<ChildInfo>> {}
