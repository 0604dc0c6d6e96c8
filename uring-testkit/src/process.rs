//! Children, limits and filters: what a test may do because its process is its own.

use std::{
    any::Any,
    fs::File,
    io::{self, Read as _, Write as _},
    ops::RangeInclusive,
    os::{fd::RawFd, unix::process::ExitStatusExt as _},
    panic::{self, AssertUnwindSafe},
    process::ExitStatus,
    thread,
};

use crate::{TestResult, files};

/// How a forked child ended.
#[derive(Debug)]
pub struct Forked {
    /// Its status: code 0 after success.
    pub status: ExitStatus,
    /// Why it failed, if it failed: an error or a panic's text.
    pub failure: Option<String>,
}

impl Forked {
    /// The child's failure as the caller's.
    ///
    /// # Errors
    ///
    /// The child failed, panicked, exited by itself with another code than 0, or was killed.
    #[track_caller]
    pub fn check(self) -> TestResult {
        match self.failure {
            Some(failure) => Err(format!("in the forked child: {failure}").into()),
            None if self.status.success() => Ok(()),
            None => Err(format!("the forked child ended with {}", self.status).into()),
        }
    }
}

/// Forks, runs `body` in the child, and waits for it.
///
/// The child ends when `body` does, without running what its parent registered for its own end. Only the calling
/// thread is in the child, as always after `fork`: what other threads had locked stays locked.
///
/// # Errors
///
/// The child could not be made or waited for. Its own failure is in the [`Forked`].
///
/// # Examples
///
/// ```
/// use uring_testkit::process::fork_and;
///
/// let child = fork_and(|| Err("seen in the parent".into()))?;
/// assert!(child.failure.unwrap().contains("seen in the parent"));
/// fork_and(|| Ok(()))?.check()?;
/// # uring_testkit::TestResult::Ok(())
/// ```
pub fn fork_and(body: impl FnOnce() -> TestResult) -> io::Result<Forked> {
    let (reader, writer) = files::pipe()?;
    // SAFETY: the child runs the closure and exits; it does not return into the caller.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            drop(reader);
            let outcome = panic::catch_unwind(AssertUnwindSafe(body));
            let failure = match outcome {
                Ok(Ok(())) => None,
                Ok(Err(failure)) => Some(failure.to_string()),
                Err(payload) => Some(panic_text(payload.as_ref())),
            };
            if let Some(failure) = &failure {
                // The body may have closed the pipe; the exit code tells then.
                let _ = File::from(writer).write_all(failure.as_bytes());
            }
            // SAFETY: ends the child at once, leaving the parent's buffers and handlers alone.
            unsafe { libc::_exit(i32::from(failure.is_some())) }
        }
        child => {
            drop(writer);
            let mut text = String::new();
            File::from(reader).read_to_string(&mut text)?;
            let mut status = 0;
            // SAFETY: our own child, and room for its status.
            while unsafe { libc::waitpid(child, &raw mut status, 0) } == -1 {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
            Ok(Forked {
                status: ExitStatus::from_raw(status),
                failure: Some(text).filter(|text| !text.is_empty()),
            })
        }
    }
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    format!(
        "panicked: {}",
        text.unwrap_or("with a value that is no text")
    )
}

/// Runs `body` with a soft limit of `value` for `resource` (`libc::RLIMIT_NOFILE` and the like), then restores it.
///
/// # Errors
///
/// The limit cannot be read or set.
///
/// # Examples
///
/// ```
/// use std::fs::File;
/// use uring_testkit::process::with_rlimit;
///
/// let refused = with_rlimit(libc::RLIMIT_NOFILE, 0, || File::open("/dev/null"))?;
/// assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::EMFILE));
/// File::open("/dev/null")?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn with_rlimit<T>(
    resource: libc::__rlimit_resource_t,
    value: libc::rlim_t,
    body: impl FnOnce() -> T,
) -> io::Result<T> {
    struct Restore(libc::__rlimit_resource_t, libc::rlimit);
    impl Drop for Restore {
        fn drop(&mut self) {
            // SAFETY: the structure is borrowed for the call. It was the limit before, so it is allowed.
            unsafe { libc::setrlimit(self.0, &raw const self.1) };
        }
    }
    let mut before = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the structure is exclusively borrowed for the call.
    if unsafe { libc::getrlimit(resource, &raw mut before) } == -1 {
        return Err(io::Error::last_os_error());
    }
    let lower = libc::rlimit {
        rlim_cur: value,
        ..before
    };
    // SAFETY: as above.
    if unsafe { libc::setrlimit(resource, &raw const lower) } == -1 {
        return Err(io::Error::last_os_error());
    }
    let _restore = Restore(resource, before);
    Ok(body())
}

/// Closes every descriptor in `range`, whoever owns it, as a daemonizing host does.
///
/// # Errors
///
/// `close_range` failed (before 5.9).
///
/// # Safety
///
/// Nothing that owns a descriptor in the range is used any more, or it is made to cope.
pub unsafe fn close_range(range: RangeInclusive<RawFd>) -> io::Result<()> {
    // SAFETY: the caller answers for the descriptors.
    match unsafe { libc::syscall(libc::SYS_close_range, *range.start(), *range.end(), 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Runs `body` in a new thread in which each system call of `denied` fails with the errno beside it.
///
/// The thread has no new privileges, as filters want it, and the filter ends with the thread.
///
/// # Errors
///
/// The filter cannot be installed.
///
/// # Panics
///
/// `body` panics; or the target's audit architecture is not known.
///
/// # Examples
///
/// ```
/// use uring_testkit::{process::with_denied, raw::RawRing};
///
/// let refused = with_denied(&[(libc::SYS_io_uring_setup, libc::EPERM)], || RawRing::new(1, 0))?;
/// assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::EPERM));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn with_denied<T: Send>(
    denied: &[(libc::c_long, i32)],
    body: impl FnOnce() -> T + Send,
) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = scope.spawn(|| install_filter(denied).map(|()| body()));
        thread
            .join()
            .unwrap_or_else(|payload| panic::resume_unwind(payload))
    })
}

/// Makes each system call of `denied` fail with the errno beside it, in this thread and what it starts, for good.
///
/// # Errors
///
/// The filter cannot be installed.
pub fn install_filter(denied: &[(libc::c_long, i32)]) -> io::Result<()> {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, k, jt, jf| libc::sock_filter { code, jt, jf, k };
    // The system call's number is the first member of `seccomp_data`.
    let mut program = vec![step(LOAD, 0, 0, 0)];
    for (call, errno) in denied {
        let call = u32::try_from(*call).map_err(io::Error::other)?;
        let errno = u32::try_from(*errno).map_err(io::Error::other)?;
        program.push(step(JUMP_IF_EQUAL, call, 0, 1));
        program.push(step(RETURN, libc::SECCOMP_RET_ERRNO | errno, 0, 0));
    }
    program.push(step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0));
    let filter = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(io::Error::other)?,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: options of this thread alone; the program is alive and as long as said, and the kernel copies it.
    let installed = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                0,
                &raw const filter,
            ) == 0
    };
    if installed {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
