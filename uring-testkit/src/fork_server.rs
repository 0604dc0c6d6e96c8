//! Processes that fork one test after the other.
//!
//! Starting a program costs more than most tests do, above all on emulated machines. So a suite forks its servers once,
//! while it has no other thread, and each server forks a process for the test that it is given, or for several that may
//! share one: that process is a copy of one that has never used io_uring. A server runs one process at a time and watches
//! over it.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, Write as _},
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::{net::UnixStream, process::ExitStatusExt as _},
    },
    process::ExitStatus,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    isolate,
    messages::{Ended, Finished, Request},
    notes::Notes,
};

/// What a server waits beyond the limits of tests that share a process and see to their limits themselves.
const GRACE: Duration = Duration::from_secs(10);

/// The servers of a suite.
#[derive(Debug)]
pub(crate) struct ForkServers {
    pool: Mutex<Pool>,
    returned: Condvar,
}

#[derive(Debug)]
struct Pool {
    idle: Vec<ForkServer>,
    /// Idle or not; those that have died are not counted.
    alive: usize,
}

/// One server, as its suite sees it.
#[derive(Debug)]
struct ForkServer {
    process: libc::pid_t,
    link: UnixStream,
}

impl ForkServers {
    /// Forks `count` servers, whose children call `tests` with what they are to run.
    ///
    /// The calling process must not have another thread: only the calling one is in a fork.
    pub(crate) fn start(count: usize, tests: impl Fn(&[Request], &Notes)) -> io::Result<Self> {
        let servers = (0..count).map(|_| ForkServer::start(&tests));
        let idle = servers.collect::<io::Result<Vec<_>>>()?;
        Ok(Self {
            pool: Mutex::new(Pool {
                alive: idle.len(),
                idle,
            }),
            returned: Condvar::new(),
        })
    }

    /// Runs tests in one process, one after the other, and waits for their end.
    ///
    /// The process ends with the first that fails: what comes back has at least one and may have fewer than were asked for.
    pub(crate) fn run(&self, requests: &[Request]) -> io::Result<Vec<Ended>> {
        let mut server = self.take()?;
        let ended = server.run(requests);
        let mut pool = self.pool();
        match ended {
            Ok(_) => pool.idle.push(server),
            Err(_) => pool.alive -= 1,
        }
        self.returned.notify_all();
        ended
    }

    fn take(&self) -> io::Result<ForkServer> {
        let mut pool = self.pool();
        loop {
            if let Some(server) = pool.idle.pop() {
                return Ok(server);
            }
            if pool.alive == 0 {
                return Err(io::Error::other("every process that starts tests has died"));
            }
            let returned = self.returned.wait(pool);
            pool = returned.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ForkServer {
    fn start(tests: &impl Fn(&[Request], &Notes)) -> io::Result<Self> {
        let (link, other) = UnixStream::pair()?;
        let notes = Notes::new()?;
        let suite = std::process::id();
        io::stdout().flush()?;
        // SAFETY: the caller's process has one thread, so the child is a whole copy. It serves and never returns.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                if let Err(error) = serve(other, suite, &notes, tests) {
                    eprintln!("a process that starts tests: {error}");
                }
                // SAFETY: ends the server at once; what the suite has registered for its own end is the suite's.
                unsafe { libc::_exit(0) }
            }
            process => Ok(Self { process, link }),
        }
    }

    fn run(&mut self, requests: &[Request]) -> io::Result<Vec<Ended>> {
        let died = |error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("the process that started it: {error}"),
            )
        };
        Request::send(requests, &mut self.link).map_err(died)?;
        Ended::receive(&mut self.link).map_err(died)
    }
}

impl Drop for ForkServer {
    fn drop(&mut self) {
        // A server that finds nobody at the other end ends by itself.
        let _ = self.link.shutdown(std::net::Shutdown::Both);
        // SAFETY: our own child, which nobody else waits for; no place for a status is given.
        unsafe { libc::waitpid(self.process, std::ptr::null_mut(), 0) };
    }
}

/// Forks a process for whatever is asked for at a time.
fn serve(
    mut link: UnixStream,
    suite: u32,
    notes: &Notes,
    tests: &impl Fn(&[Request], &Notes),
) -> io::Result<()> {
    isolate::end_with_parent(suite)?;
    // What the suite has open is none of the tests' business, its links to other servers least of all.
    let own = link.as_raw_fd().unsigned_abs();
    close_range(3, own.saturating_sub(1))?;
    close_range(own + 1, u32::MAX)?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    // SAFETY: two descriptors of this process, of which the second is to mean what the first does.
    if unsafe { libc::dup2(null.as_raw_fd(), 0) } == -1 {
        return Err(io::Error::last_os_error());
    }
    drop(null);
    while let Some(requests) = Request::receive(&mut link)? {
        let ended = fork_one(&requests, notes, tests)?;
        Ended::send(&ended, &mut link)?;
    }
    Ok(())
}

fn close_range(first: u32, last: u32) -> io::Result<()> {
    if first > last {
        return Ok(());
    }
    // SAFETY: the server has just begun and uses none of the descriptors that it inherited but its link.
    match unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn fork_one(
    requests: &[Request],
    notes: &Notes,
    tests: &impl Fn(&[Request], &Notes),
) -> io::Result<Vec<Ended>> {
    notes.clear();
    let output = memory_file()?;
    let server = std::process::id();
    let start = Instant::now();
    // SAFETY: a server has one thread, so the child is a whole copy. It becomes the tests and never returns.
    let child = match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        0 => {
            if let Err(error) = become_child(&output, server) {
                eprintln!("the test's process cannot be prepared: {error}");
                // SAFETY: ends the child at once.
                unsafe { libc::_exit(1) }
            }
            tests(requests, notes);
            // SAFETY: as above; tests end their process themselves.
            unsafe { libc::_exit(0) }
        }
        child => child,
    };
    // Both do it, so that it is done whoever comes first.
    // SAFETY: our own child. It fails when the child has done it already, or has ended.
    unsafe { libc::setpgid(child, child) };
    let ended = isolate::wait(child, limit(requests));
    let late = match &ended {
        Ok(true) => None,
        Ok(false) => Some(isolate::whereabouts(child.unsigned_abs())),
        Err(_) => Some(String::new()),
    };
    let mut status = 0;
    // What the tests have left running goes with it.
    // SAFETY: the group was made for this child, which has not been waited for: the number is still its own. The
    // status is exclusively borrowed.
    unsafe {
        libc::kill(-child, libc::SIGKILL);
        while libc::waitpid(child, &raw mut status, 0) == -1 {}
    }
    ended?;
    let last = Ended {
        status: ExitStatus::from_raw(status),
        late,
        time: start.elapsed(),
        output: String::new(),
        completed: String::new(),
    };
    let finished = Finished::all(&notes.read());
    Ok(one_by_one(
        requests.len(),
        finished,
        last,
        &read_all(output)?,
    ))
}

/// How long the process may take.
fn limit(requests: &[Request]) -> Duration {
    match requests {
        [request] => request.limit,
        _ => {
            requests
                .iter()
                .map(|request| request.limit)
                .sum::<Duration>()
                + GRACE
        }
    }
}

/// What became of each test, from what their process has noted, how it ended, and what it wrote.
fn one_by_one(asked: usize, finished: Vec<Finished>, last: Ended, output: &[u8]) -> Vec<Ended> {
    let mut written = 0;
    let mut part = |end: u64| {
        let end = usize::try_from(end).unwrap_or(usize::MAX);
        let end = end.clamp(written, output.len().max(written));
        let part = String::from_utf8_lossy(&output[written..end]).into_owned();
        written = end;
        part
    };
    let mut ended = Vec::new();
    let mut time_before = Duration::ZERO;
    for finished in finished.into_iter().take(asked) {
        time_before += finished.time;
        ended.push(Ended {
            status: ExitStatus::from_raw(finished.code << 8),
            late: finished.late,
            time: finished.time,
            output: part(finished.output_end),
            completed: finished.completed,
        });
    }
    let rest = part(u64::MAX);
    let none_follows = ended.len() == asked || ended.last().is_some_and(isolate::has_failed);
    match ended.last_mut() {
        Some(noted) if none_follows && noted.status == last.status && last.late.is_none() => {
            noted.output.push_str(&rest);
        }
        // The process has not ended as its last test did, and that is what is to be told.
        Some(noted) if none_follows => {
            let output = std::mem::take(&mut noted.output) + &rest;
            *noted = Ended { output, ..last };
        }
        _ => ended.push(Ended {
            output: rest,
            time: last.time.saturating_sub(time_before),
            ..last
        }),
    }
    ended
}

/// In the child: a group of its own, and the standard streams of a test.
fn become_child(output: &File, server: u32) -> io::Result<()> {
    // SAFETY: attributes of this process alone, and descriptors that it has.
    let done = unsafe {
        libc::setpgid(0, 0) == 0
            && libc::dup2(output.as_raw_fd(), 1) == 1
            && libc::dup2(output.as_raw_fd(), 2) == 2
    };
    if !done {
        return Err(io::Error::last_os_error());
    }
    isolate::end_with_parent(server)
}

fn memory_file() -> io::Result<File> {
    // SAFETY: the name is a string that ends in a zero byte.
    let fd = unsafe { libc::memfd_create(c"test output".as_ptr(), libc::MFD_CLOEXEC) };
    if fd == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made and is known to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) }.into())
}

fn read_all(mut output: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    output.rewind()?;
    output.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSED: i32 = isolate::PASSED << 8;
    const FAILED: i32 = isolate::FAILED << 8;

    fn finished(code: i32, output_end: u64) -> Finished {
        Finished {
            code,
            late: None,
            time: Duration::from_millis(1),
            output_end,
            completed: String::new(),
        }
    }

    fn last(status: i32) -> Ended {
        Ended {
            status: ExitStatus::from_raw(status),
            late: None,
            time: Duration::from_millis(5),
            output: String::new(),
            completed: String::new(),
        }
    }

    /// Each test's status and output.
    fn told(asked: usize, noted: &[(i32, u64)], status: i32) -> Vec<(i32, String)> {
        let noted = noted.iter().map(|(code, end)| finished(*code, *end));
        one_by_one(asked, noted.collect(), last(status), b"onetwothree")
            .into_iter()
            .map(|ended| (ended.status.into_raw(), ended.output))
            .collect()
    }

    #[test]
    fn each_test_has_its_own_output() {
        let noted = [(isolate::PASSED, 3), (isolate::PASSED, 6)];
        assert_eq!(
            told(2, &noted, PASSED),
            [(PASSED, "one".into()), (PASSED, "twothree".into())]
        );
        let noted = [(isolate::PASSED, 3), (isolate::FAILED, 11)];
        assert_eq!(
            told(5, &noted, FAILED),
            [(PASSED, "one".into()), (FAILED, "twothree".into())]
        );
    }

    #[test]
    fn a_process_that_dies_is_laid_to_the_test_that_ran() {
        let noted = [(isolate::PASSED, 3)];
        assert_eq!(
            told(3, &noted, libc::SIGSEGV),
            [(PASSED, "one".into()), (libc::SIGSEGV, "twothree".into())]
        );
        assert_eq!(
            told(1, &[], libc::SIGSEGV),
            [(libc::SIGSEGV, "onetwothree".into())]
        );
    }

    #[test]
    fn a_process_that_dies_after_its_last_test_is_laid_to_that() {
        let noted = [(isolate::PASSED, 3), (isolate::PASSED, 6)];
        assert_eq!(
            told(2, &noted, libc::SIGABRT),
            [(PASSED, "one".into()), (libc::SIGABRT, "twothree".into())]
        );
    }

    #[test]
    fn an_impossible_note_is_no_reason_to_panic() {
        let noted = [(isolate::PASSED, 99), (isolate::PASSED, 1)];
        assert_eq!(
            told(2, &noted, PASSED),
            [(PASSED, "onetwothree".into()), (PASSED, String::new())]
        );
    }

    #[test]
    fn what_a_process_took_and_did_not_note_is_the_time_of_the_test_that_ran() {
        let all = one_by_one(2, vec![finished(isolate::PASSED, 0)], last(FAILED), b"");
        let times: Vec<_> = all.iter().map(|ended| ended.time.as_millis()).collect();
        assert_eq!(times, [1, 4]);
    }
}
