//! One process and one fresh thread for each test, and what must be as before when it is over.
//!
//! The suite runs itself again for each test. The test's process starts with nothing but standard input, output
//! and error, runs the test in a new thread (a new table of ring slots), and compares descriptors, slots, mappings
//! and child processes. It tells success by an exit code that no test gives by accident, so that it also arrives
//! from a process that has closed every descriptor.

use std::{
    any::Any,
    env, fs, io,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::process::CommandExt as _,
    },
    panic::{self, AssertUnwindSafe},
    process::{self, Child, Command, Stdio},
    thread,
    time::Duration,
};

use crate::{
    Context, FdTable, Slots, TestResult,
    leak::{Leaks, Traces},
};

/// Names the test that a process was started for.
const TEST: &str = "URING_TESTKIT_TEST";
/// Says that the refusal companion is meant.
const REFUSAL: &str = "URING_TESTKIT_REFUSAL";
/// The exit code of a test that passed.
const PASSED: i32 = 113;
/// The exit code of a test that failed.
const FAILED: i32 = 101;

/// The test that this process was started for, and whether its companion is meant.
pub(crate) fn assigned() -> Option<(String, bool)> {
    let name = env::var(TEST).ok()?;
    let refusal = env::var_os(REFUSAL).is_some();
    // SAFETY: this runs at the start of `main`, before any other thread exists.
    unsafe {
        env::remove_var(TEST);
        env::remove_var(REFUSAL);
    }
    Some((name, refusal))
}

/// Runs `name` in a process of its own; the output is given back with the verdict.
pub(crate) fn run(
    name: &str,
    refusal: bool,
    limit: Duration,
) -> io::Result<Result<String, String>> {
    let output = memory_file()?;
    // The file may have been replaced since, by a build; this name means the program that is running.
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0(env::args_os().next().unwrap_or_default())
        .args(["--exact", name])
        .env(TEST, name)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?)
        .process_group(0);
    if refusal {
        command.env(REFUSAL, "1");
    }
    let mut child = command.spawn()?;
    let ended = wait(&child, limit);
    let late = match &ended {
        Ok(true) => None,
        Ok(false) => Some(whereabouts(child.id())),
        Err(_) => Some(String::new()),
    };
    // What the test has left running goes with it.
    let group = i32::try_from(child.id()).expect("a process number is positive");
    // SAFETY: the group was made for this child, which has not been waited for: the number is still its own.
    unsafe { libc::kill(-group, libc::SIGKILL) };
    let status = child.wait()?;
    ended?;
    let text = read_all(&output)?;
    if let Some(whereabouts) = late {
        return Ok(Err(format!(
            "{text}still running after {limit:?}\n{whereabouts}"
        )));
    }
    Ok(match status.code() {
        Some(PASSED) => Ok(text),
        Some(FAILED) => Err(text),
        _ => Err(format!(
            "{text}the test's process ended by itself: {status}"
        )),
    })
}

fn memory_file() -> io::Result<OwnedFd> {
    // SAFETY: the name is a string that ends in a zero byte.
    let fd = unsafe { libc::memfd_create(c"test output".as_ptr(), libc::MFD_CLOEXEC) };
    if fd == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made and is known to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn read_all(output: &OwnedFd) -> io::Result<String> {
    let bytes = fs::read(format!("/proc/self/fd/{}", output.as_raw_fd()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether the child ended within the limit; it is not reaped.
pub(crate) fn wait(child: &Child, limit: Duration) -> io::Result<bool> {
    // SAFETY: a call with two numbers; the child has not been waited for, so its number is still its own.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, child.id(), 0) };
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
fn whereabouts(process: u32) -> String {
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
) -> ! {
    let passed = match prepare().and_then(|()| FdTable::now()) {
        Ok(before) => {
            let problems = problems(&context, &before, leaks, body);
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

/// Descriptors 0 to 2 alone; ends with its parent; adopts what its children leave behind.
fn prepare() -> io::Result<()> {
    // SAFETY: `main` has just begun, nothing but the standard streams has been opened by this process.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
    // SAFETY: options of this process alone.
    let options = unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == 0
            && libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) == 0
    };
    if closed == -1 || !options {
        return Err(io::Error::last_os_error());
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
