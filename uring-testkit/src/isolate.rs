//! A fresh thread for each test, a process for one or for several, and what must be as before when a test is over.
//!
//! A [fork server](crate::fork_server) makes the process. It starts with nothing but standard input, output and error,
//! runs each test in a new thread (a new table of ring slots), and compares descriptors, slots, mappings and child
//! processes. It notes each verdict in memory that it shares with the server, and tells success by an exit code that no
//! test gives by accident: both also arrive from a process that has closed every descriptor. It ends with the first test
//! that fails, since the next would find what that one has left.

use std::{
    any::Any,
    fs,
    io::{self, Write as _},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    panic::{self, AssertUnwindSafe},
    process,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use crate::{
    Context, FdTable, Slots, TestResult,
    completed::{self, CompletedBy},
    leak::{Leaks, Traces, lift_descriptor_limit},
    messages::{Ended, Finished},
    notes::Notes,
    process_state::ProcessState,
    test::Body,
};

/// The exit code of a test that passed.
pub(crate) const PASSED: i32 = 113;
/// The exit code of a test that failed.
pub(crate) const FAILED: i32 = 101;

pub(crate) fn has_failed(ended: &Ended) -> bool {
    ended.status.code() != Some(PASSED)
}

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
pub(crate) fn whereabouts(process: u32) -> String {
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

/// A test that a process is to run.
pub(crate) struct Assignment {
    pub(crate) context: Context,
    pub(crate) body: Body,
    pub(crate) leaks: Leaks,
    pub(crate) limit: Duration,
    pub(crate) completed_by: Option<CompletedBy>,
}

/// Runs the tests in this process and ends it after the last, or after the first that fails.
///
/// Of a test that has the process for itself the server sees to the limit, since it may do anything to its process.
pub(crate) fn become_tests(tests: Vec<Assignment>, notes: &Notes) -> ! {
    let shared = tests.len() > 1;
    let ran = prepare().and_then(|()| {
        tests.into_iter().try_fold(PASSED, |code, test| match code {
            PASSED => run(test, shared, notes),
            _ => Ok(code),
        })
    });
    let code = ran.unwrap_or_else(|error| {
        eprintln!("the test's process cannot be prepared: {error}");
        FAILED
    });
    process::exit(code);
}

/// Runs one, notes what became of it, and gives the exit code that says the same.
fn run(test: Assignment, shared: bool, notes: &Notes) -> io::Result<i32> {
    let start = Instant::now();
    let before = FdTable::now()?;
    let (limit, state) = if shared {
        (test.limit, Some(ProcessState::now()?))
    } else {
        (Duration::MAX, None)
    };
    let outcome = outcome(test.context, test.body, limit);
    let mut problems = Vec::new();
    match state {
        Some(before) => problems.extend(before.changes_until(&ProcessState::now()?)),
        None => lift_descriptor_limit(),
    }
    let late = match outcome {
        Some((outcome, slots)) => {
            problems.extend(self::problems(outcome, slots, &before, test.leaks));
            None
        }
        None => Some(whereabouts(process::id())),
    };
    for problem in &problems {
        eprintln!("{problem}");
    }
    io::stdout().flush()?;
    let passed = problems.is_empty() && late.is_none();
    let code = if passed { PASSED } else { FAILED };
    let finished = Finished {
        code,
        late,
        time: start.elapsed(),
        output_end: written(),
        completed: test
            .completed_by
            .map_or_else(String::new, |by| completed::lines(&by())),
    };
    notes.append(&finished.to_bytes())?;
    Ok(code)
}

/// How much has been written to standard output and error, which are the same file.
fn written() -> u64 {
    // SAFETY: asks for a position, of a descriptor that the test may have closed.
    let position = unsafe { libc::lseek(1, 0, libc::SEEK_CUR) };
    u64::try_from(position).unwrap_or(u64::MAX)
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

type Outcome = thread::Result<TestResult>;

/// Runs the body in a thread of its own; nothing if it is not over within `limit`.
fn outcome(
    context: Context,
    body: Body,
    limit: Duration,
) -> Option<(Outcome, Result<Slots, String>)> {
    let (over, when_over) = mpsc::channel::<()>();
    let thread = thread::Builder::new().name(context.name().to_owned());
    let run = move || {
        let _over = over;
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| body(&context)));
        (outcome, Slots::of_this_thread())
    };
    let thread = thread.spawn(run).expect("a thread can be made");
    // Nothing is ever sent: the channel closes when the body is over.
    if when_over.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
        return None;
    }
    Some(thread.join().expect("the test's panic was caught"))
}

fn problems(
    outcome: Outcome,
    slots: Result<Slots, String>,
    before: &FdTable,
    leaks: Leaks,
) -> Vec<String> {
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
