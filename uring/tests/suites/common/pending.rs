//! Operations that stay in flight, and what shows that a ring has ended.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use uring::op::{KeptBy, OpenAt, Read};
use uring::{Direct, Handle, RawTarget, Ring, Token};
use uring_testkit::{Recording, TestResult, files};

use super::Recorded;

/// A read from a pipe that nobody writes to.
pub(crate) type PipeRead = Read<OwnedFd, Recorded>;

/// A [`PipeRead`] in flight.
pub(crate) struct Pending {
    pub(crate) token: Token<PipeRead>,
    pub(crate) writer: File,
    pub(crate) recording: Recording,
}

/// How long a write that comes too late is waited for.
const LATE: Duration = Duration::from_millis(30);
/// How long the kernel may take to end a ring that nobody has any more, and to let go of what it had: it does so in the background,
/// behind other rings.
const END: Duration = Duration::from_secs(25);

/// Pushes a read that completes when somebody writes; it is not submitted yet.
pub(crate) fn push<H: Handle>(ring: &mut Ring<H>) -> TestResult<Pending>
where
    PipeRead: KeptBy<H>,
{
    let (reader, writer) = files::pipe()?;
    let (buffer, recording) = Recorded::new(16)?;
    let token = ring.push(Read::new(reader, buffer))?;
    Ok(Pending {
        token,
        writer: writer.into(),
        recording,
    })
}

/// The same, submitted.
pub(crate) fn submit<H: Handle>(ring: &mut Ring<H>) -> TestResult<Pending>
where
    PipeRead: KeptBy<H>,
{
    let pending = push(ring)?;
    ring.submit()?;
    Ok(pending)
}

/// Submits a read from `reader`, which stays the caller's: a ring that has to leak it leaks a buffer and nothing else.
pub(crate) fn submit_unowned<H: Handle>(
    ring: &mut Ring<H>,
    reader: &OwnedFd,
) -> TestResult<Recording>
where
    Read<RawTarget, Recorded>: KeptBy<H>,
{
    let (buffer, recording) = Recorded::new(16)?;
    // SAFETY: the reader is open until the end of the test, which is later than the end of the ring.
    let target = unsafe { RawTarget::descriptor(reader.as_raw_fd()) };
    let _unclaimed = ring.push(Read::new(target, buffer))?;
    ring.submit()?;
    Ok(recording)
}

impl Pending {
    /// Writes, waits for the read on its ring, and looks at what it has read.
    pub(crate) fn finish<H: Handle>(mut self, ring: &mut Ring<H>) -> TestResult {
        self.writer.write_all(b"late")?;
        let done = ring.wait(self.token)?;
        assert_eq!(done.result?, 4);
        assert_eq!(done.buf.0[..5], *b"late\0");
        Ok(())
    }

    /// The buffer was dropped, and nothing that is written now reaches it.
    pub(crate) fn expect_over(mut self) -> TestResult {
        assert!(
            self.recording.dropped().is_some(),
            "the buffer was not dropped"
        );
        // The reading end went with the operation, so a refusal is as good as bytes that nobody reads.
        match self.writer.write_all(b"late") {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error.into()),
            _ => thread::sleep(LATE),
        }
        assert_eq!(self.recording.changed_since_drop(), Some(0));
        Ok(())
    }
}

/// Opens the writing end of a new pipe into the ring's own table, where nobody else has it.
pub(crate) fn only_writer<H: Handle>(ring: &mut Ring<H>) -> TestResult<(OwnedFd, Direct)> {
    let (reader, writer) = files::pipe()?;
    ring.register_direct(1)?;
    let slot = ring.direct_slot()?;
    let path = CString::new(format!("/proc/self/fd/{}", writer.as_raw_fd()))?;
    let opened = ring.call(OpenAt::new(path).write_only().into_direct(slot))?;
    Ok((reader, opened.result?))
}

/// Waits until something `is` so, which the kernel brings about in the background, and says whether it is.
pub(crate) fn before_long(mut is: impl FnMut() -> TestResult<bool>) -> TestResult<bool> {
    let until = Instant::now() + END;
    while !is()? {
        if Instant::now() >= until {
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(true)
}

/// Whether every writing end of a pipe is closed, now or before long.
pub(crate) fn has_no_writer(reader: &OwnedFd) -> io::Result<bool> {
    hung_up(reader, END)
}

/// Whether some writing end of a pipe is open.
pub(crate) fn has_writer(reader: &OwnedFd) -> io::Result<bool> {
    hung_up(reader, LATE).map(|hung_up| !hung_up)
}

fn hung_up(reader: &OwnedFd, limit: Duration) -> io::Result<bool> {
    let mut poll = libc::pollfd {
        fd: reader.as_raw_fd(),
        events: 0,
        revents: 0,
    };
    let limit = i32::try_from(limit.as_millis()).map_err(io::Error::other)?;
    // SAFETY: one structure, exclusively borrowed for the call.
    match unsafe { libc::poll(&raw mut poll, 1, limit) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(poll.revents & libc::POLLHUP != 0),
    }
}
