//! One process and one fresh thread for each test, and what must be as before when it is over.
//!
//! A [fork server](crate::fork_server) makes the process. It starts with nothing but standard input, output and error,
//! runs the test in a new thread (a new table of ring slots), and compares descriptors, slots, mappings and child
//! processes. It tells success by an exit code that no test gives by accident, so that it also arrives from a process
//! that has closed every descriptor.

use std::{
    any::Any,
    fs, io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    panic::{self, AssertUnwindSafe},
    process, thread,
    time::Duration,
};

use crate::{
    Context, FdTable, Slots, TestResult,
    fork_server::Ended,
    leak::{Leaks, Traces},
};

/// The exit code of a test that passed.
const PASSED: i32 = 113;
/// The exit code of a test that failed.
const FAILED: i32 = 101;

/// What a test's end says of it: its output if it passed, else also why it did not.
pub(crate) fn verdict(ended: &Ended, limit: Duration) -> Result<(), String> {
    let output = &ended.output;
    if let Some(whereabouts) = &ended.late {
        return Err(format!(
            "{output}still running after {limit:?}\n{whereabouts}"
        ));
    }
    match ended.status.code() {
        Some(PASSED) => Ok(()),
        Some(FAILED) => Err(output.clone()),
        _ => Err(format!(
            "{output}the test's process ended by itself: {}",
            ended.status
        )),
    }
}

/// Whether the child ended within the limit; it is not reaped.
pub(crate) fn wait(child: libc::pid_t, limit: Duration) -> io::Result<bool> {
    // SAFETY: a call with two numbers; the child has not been waited for, so its number is still its own.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, child, 0) };
    if fd == -1 {
        return Err(io::Error::last_os_error());
    }
    let fd = i32::try_from(fd).expect("a descriptor is a small number");
    // SAFETY: the descriptor was just made and is known to nobody else.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut ended = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    let limit = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
    loop {
        // SAFETY: one descriptor to poll, exclusively borrowed.
        match unsafe { libc::poll(&raw mut ended, 1, limit) } {
            0 => return Ok(false),
            1.. => return Ok(true),
            _ => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

/// Where each thread of a process that hangs is waiting.
pub(crate) fn whereabouts(process: libc::pid_t) -> String {
    let read = |path: std::path::PathBuf| fs::read_to_string(path).unwrap_or_default();
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else {
        return String::new();
    };
    let lines = tasks.flatten().map(|task| {
        let (name, place) = (task.path().join("comm"), task.path().join("wchan"));
        format!(
            "    {} waits in {}\n",
            read(name).trim(),
            read(place).trim()
        )
    });
    lines.collect()
}

/// Runs the test in this process and ends the process with the verdict.
pub(crate) fn become_test(
    context: Context,
    leaks: Leaks,
    body: impl FnOnce(&Context) -> TestResult + Send,
    at_end: impl FnOnce() -> io::Result<()>,
) -> ! {
    let passed = match prepare().and_then(|()| FdTable::now()) {
        Ok(before) => {
            let mut problems = problems(&context, &before, leaks, body);
            problems.extend(at_end().err().map(|error| error.to_string()));
            for problem in &problems {
                eprintln!("{problem}");
            }
            problems.is_empty()
        }
        Err(error) => {
            eprintln!("the test's process cannot be prepared: {error}");
            false
        }
    };
    process::exit(if passed { PASSED } else { FAILED });
}

/// Descriptors 0 to 2 alone; adopts what its children leave behind.
fn prepare() -> io::Result<()> {
    // SAFETY: the process has just been forked and uses none of the descriptors that it inherited but the standard streams.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
    // SAFETY: an option of this process alone.
    if closed == -1 || unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Lets this process, newly forked, end when its parent does.
pub(crate) fn end_with_parent(parent: u32) -> io::Result<()> {
    // SAFETY: an option of this process alone.
    if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } == -1 {
        return Err(io::Error::last_os_error());
    }
    if std::os::unix::process::parent_id() != parent {
        return Err(io::Error::other("the parent has ended already"));
    }
    Ok(())
}

fn problems(
    context: &Context,
    before: &FdTable,
    leaks: Leaks,
    body: impl FnOnce(&Context) -> TestResult + Send,
) -> Vec<String> {
    let (outcome, slots) = thread::scope(|scope| {
        let thread = thread::Builder::new().name(context.name().to_owned());
        let run = || {
            let outcome = panic::catch_unwind(AssertUnwindSafe(|| body(context)));
            (outcome, Slots::of_this_thread())
        };
        let thread = thread
            .spawn_scoped(scope, run)
            .expect("a thread can be made");
        thread.join().expect("the test's panic was caught")
    });
    let mut problems = Vec::new();
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => problems.push(failure.to_string()),
        // The panic's message and place are in the output already.
        Err(payload) => problems.push(silent(payload.as_ref())),
    }
    match slots.and_then(|slots| Traces::collect(before, slots)) {
        Ok(traces) => problems.extend(traces.against(leaks)),
        Err(problem) => problems.push(problem),
    }
    problems
}

fn silent(payload: &(dyn Any + Send)) -> String {
    let text = payload.is::<&str>() || payload.is::<String>();
    let what = if text {
        ""
    } else {
        " with a value that is no text"
    };
    format!("the test panicked{what}")
}
