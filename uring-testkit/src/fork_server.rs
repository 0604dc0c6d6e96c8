//! Processes that fork one test after the other.
//!
//! Starting a program costs more than most tests do, above all on emulated machines. So a suite forks its servers once,
//! while it has no other thread, and each server forks a process for each test that it is given: that process is a copy of
//! one that has never used io_uring. A server runs one test at a time and watches over it.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, Write as _},
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::{net::UnixStream, process::ExitStatusExt as _},
    },
    process::ExitStatus,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{isolate, notes::Notes};

/// How a test's process came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// Where its threads were waiting, if it did not end within its limit.
    pub(crate) late: Option<String>,
    /// What it wrote to its standard output and error.
    pub(crate) output: String,
    /// What it noted.
    pub(crate) notes: String,
}

/// A test to run: its position among the suite's, whether its companion is meant, and how long it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) index: usize,
    pub(crate) refusal: bool,
    pub(crate) limit: Duration,
}

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
    /// Forks `count` servers, whose children call `test` with what they are to run.
    ///
    /// The calling process must not have another thread: only the calling one is in a fork.
    pub(crate) fn start(count: usize, test: impl Fn(usize, bool, &Notes)) -> io::Result<Self> {
        let servers = (0..count).map(|_| ForkServer::start(&test));
        let idle = servers.collect::<io::Result<Vec<_>>>()?;
        Ok(Self {
            pool: Mutex::new(Pool {
                alive: idle.len(),
                idle,
            }),
            returned: Condvar::new(),
        })
    }

    /// Runs a test in a process of its own and waits for its end.
    pub(crate) fn run(&self, request: Request) -> io::Result<Ended> {
        let mut server = self.take()?;
        let ended = server.run(request);
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
    fn start(test: &impl Fn(usize, bool, &Notes)) -> io::Result<Self> {
        let (link, other) = UnixStream::pair()?;
        let notes = Notes::new()?;
        let suite = std::process::id();
        io::stdout().flush()?;
        // SAFETY: the caller's process has one thread, so the child is a whole copy. It serves and never returns.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                if let Err(error) = serve(other, suite, &notes, test) {
                    eprintln!("a process that starts tests: {error}");
                }
                // SAFETY: ends the server at once; what the suite has registered for its own end is the suite's.
                unsafe { libc::_exit(0) }
            }
            process => Ok(Self { process, link }),
        }
    }

    fn run(&mut self, request: Request) -> io::Result<Ended> {
        let died = |error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("the process that started it: {error}"),
            )
        };
        request.send(&mut self.link).map_err(died)?;
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

/// Forks a process for each request that comes.
fn serve(
    mut link: UnixStream,
    suite: u32,
    notes: &Notes,
    test: &impl Fn(usize, bool, &Notes),
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
    while let Some(request) = Request::receive(&mut link)? {
        let ended = fork_one(request, notes, test)?;
        ended.send(&mut link)?;
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
    request: Request,
    notes: &Notes,
    test: &impl Fn(usize, bool, &Notes),
) -> io::Result<Ended> {
    notes.clear();
    let output = memory_file()?;
    let server = std::process::id();
    // SAFETY: a server has one thread, so the child is a whole copy. It becomes the test and never returns.
    let child = match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        0 => {
            if let Err(error) = become_child(&output, server) {
                eprintln!("the test's process cannot be prepared: {error}");
                // SAFETY: ends the child at once.
                unsafe { libc::_exit(1) }
            }
            test(request.index, request.refusal, notes);
            // SAFETY: as above; a test ends its process itself.
            unsafe { libc::_exit(0) }
        }
        child => child,
    };
    // Both do it, so that it is done whoever comes first.
    // SAFETY: our own child. It fails when the child has done it already, or has ended.
    unsafe { libc::setpgid(child, child) };
    let ended = isolate::wait(child, request.limit);
    let late = match &ended {
        Ok(true) => None,
        Ok(false) => Some(isolate::whereabouts(child)),
        Err(_) => Some(String::new()),
    };
    let mut status = 0;
    // What the test has left running goes with it.
    // SAFETY: the group was made for this child, which has not been waited for: the number is still its own. The
    // status is exclusively borrowed.
    unsafe {
        libc::kill(-child, libc::SIGKILL);
        while libc::waitpid(child, &raw mut status, 0) == -1 {}
    }
    ended?;
    Ok(Ended {
        status: ExitStatus::from_raw(status),
        late,
        output: read_all(output)?,
        notes: notes.read(),
    })
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

fn read_all(mut output: File) -> io::Result<String> {
    let mut bytes = Vec::new();
    output.rewind()?;
    output.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

impl Request {
    fn send(self, link: &mut UnixStream) -> io::Result<()> {
        let limit = u64::try_from(self.limit.as_millis()).unwrap_or(u64::MAX);
        let mut message = Vec::new();
        for number in [self.index as u64, u64::from(self.refusal), limit] {
            put_number(&mut message, number);
        }
        link.write_all(&message)
    }

    /// The next request; none when the suite is gone.
    fn receive(link: &mut UnixStream) -> io::Result<Option<Self>> {
        let mut message = [0; 24];
        match link.read_exact(&mut message) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            received => received?,
        }
        let mut message = &message[..];
        Ok(Some(Self {
            index: usize::try_from(take_number(&mut message)?).map_err(io::Error::other)?,
            refusal: take_number(&mut message)? != 0,
            limit: Duration::from_millis(take_number(&mut message)?),
        }))
    }
}

impl Ended {
    /// In one piece: each piece would wake the suite, for nothing until it has the last.
    fn send(&self, link: &mut UnixStream) -> io::Result<()> {
        let mut message = Vec::new();
        put_number(
            &mut message,
            u64::from(self.status.into_raw().unsigned_abs()),
        );
        put_number(&mut message, u64::from(self.late.is_some()));
        let late = self.late.as_deref().unwrap_or_default();
        for text in [late, &self.output, &self.notes] {
            put_number(&mut message, text.len() as u64);
            message.extend_from_slice(text.as_bytes());
        }
        let mut whole = Vec::new();
        put_number(&mut whole, message.len() as u64);
        whole.append(&mut message);
        link.write_all(&whole)
    }

    fn receive(link: &mut UnixStream) -> io::Result<Self> {
        let mut length = [0; 8];
        link.read_exact(&mut length)?;
        let length = usize::try_from(u64::from_ne_bytes(length)).map_err(io::Error::other)?;
        let mut message = vec![0; length];
        link.read_exact(&mut message)?;
        let mut message = &message[..];
        let status = i32::try_from(take_number(&mut message)?).map_err(io::Error::other)?;
        let is_late = take_number(&mut message)? != 0;
        let late = take_text(&mut message)?;
        Ok(Self {
            status: ExitStatus::from_raw(status),
            late: is_late.then_some(late),
            output: take_text(&mut message)?,
            notes: take_text(&mut message)?,
        })
    }
}

fn put_number(message: &mut Vec<u8>, number: u64) {
    message.extend_from_slice(&number.to_ne_bytes());
}

fn take_number(message: &mut &[u8]) -> io::Result<u64> {
    let mut number = [0; 8];
    message.read_exact(&mut number)?;
    Ok(u64::from_ne_bytes(number))
}

fn take_text(message: &mut &[u8]) -> io::Result<String> {
    let length = usize::try_from(take_number(message)?).map_err(io::Error::other)?;
    let Some((text, rest)) = message.split_at_checked(length) else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    *message = rest;
    Ok(String::from_utf8_lossy(text).into_owned())
}
