//! Signals in the middle of everything.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use uring::Error;
use uring::op::{Nop, Read, Write};
use uring_testkit::{Context, HandleKind, Suite, TestResult, files};

use crate::common;

pub(crate) fn add_to(suite: &mut Suite) {
    suite
        .test(
            "q08_an_interrupted_wait_loses_nothing",
            an_interrupted_wait_loses_nothing,
        )
        .on(HandleKind::ALL);
    suite
        .test(
            "q08_an_interrupted_wait_tells_of_what_is_missing",
            an_interrupted_wait_tells_of_what_is_missing,
        )
        .on(HandleKind::ALL);
    suite
        .test(
            "q08_waiting_for_a_result_goes_on",
            waiting_for_a_result_goes_on,
        )
        .on(HandleKind::ALL);
    suite
        .test(
            "q08_each_write_happens_once_under_signals",
            each_write_happens_once_under_signals,
        )
        .on(HandleKind::ALL);
}

static HANDLED: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(_: libc::c_int) {
    HANDLED.fetch_add(1, Ordering::Relaxed);
}

/// Sends the calling thread a signal every 200 microseconds until it is dropped.
struct Signals {
    end: Arc<AtomicBool>,
    sender: Option<std::thread::JoinHandle<()>>,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        // SAFETY: all fields may be zero: no flags, so system calls are not restarted, and an empty mask.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        let handler: extern "C" fn(libc::c_int) = count;
        action.sa_sigaction = handler as libc::sighandler_t;
        // SAFETY: the handler only counts; the old action is not asked for.
        if unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()) } != 0 {
            return Err(std::io::Error::last_os_error());
        }
        // SAFETY: a number of the calling thread.
        let target = unsafe { libc::pthread_self() };
        let end = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&end);
        let sender = std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                // SAFETY: the thread joins this one in `drop`, so it exists.
                unsafe { libc::pthread_kill(target, libc::SIGUSR1) };
                std::thread::sleep(Duration::from_micros(200));
            }
        });
        Ok(Signals {
            end,
            sender: Some(sender),
        })
    }

    /// How many have arrived so far.
    fn handled() -> u64 {
        HANDLED.load(Ordering::Relaxed)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(sender) = self.sender.take() {
            let ended = sender.join();
            debug_assert!(ended.is_ok());
        }
    }
}

fn an_interrupted_wait_loses_nothing(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let (reader, writer) = files::pipe()?;
    let token = ring.push(Read::new(reader, vec![0; 8]))?;
    let signals = Signals::new()?;
    for _ in 0..20 {
        let interrupted: Error = ring.submit_and_wait(1).unwrap_err();
        assert!(interrupted.is_interrupted(), "{interrupted}");
        assert!(!interrupted.is_busy() && !interrupted.is_timed_out());
        assert_eq!((ring.pending(), ring.in_flight()), (0, 1));
    }
    drop(signals);
    std::fs::File::from(writer).write_all(b"once")?;
    assert_eq!(ring.submit_and_wait(1)?, 0);
    let done = ring.wait(token)?;
    assert_eq!((done.result?, &done.buf[..]), (4, &b"once"[..]));
    assert_eq!(ring.next_completion()?, None);
    Ok(())
}

/// Also if a part of what was waited for has come, of which the kernel makes a success.
fn an_interrupted_wait_tells_of_what_is_missing(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    ring.push_raw(Nop::new(), 1)?;
    let signals = Signals::new()?;
    for _ in 0..20 {
        let interrupted: Error = ring.submit_and_wait(2).unwrap_err();
        assert!(interrupted.is_interrupted(), "{interrupted}");
        assert_eq!(ring.pending(), 0);
    }
    drop(signals);
    ring.push_raw(Nop::new(), 2)?;
    assert_eq!(ring.submit_and_wait(2)?, 1);
    assert_eq!(ring.for_each(drop)?, 2);
    Ok(())
}

fn waiting_for_a_result_goes_on(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    // Linux 6.1 reads pipes in a worker thread, and cancels the read when signals keep it from making one.
    let (reader, writer) = files::socketpair()?;
    let token = ring.push(Read::new(reader, vec![0; 8]))?;
    let _signals = Signals::new()?;
    let before = Signals::handled();
    let writer = std::thread::spawn(move || {
        // The wait is interrupted many times before there is something to read.
        while Signals::handled() < before + 50 {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::fs::File::from(writer).write_all(b"late")
    });
    assert_eq!(ring.wait(token)?.result?, 4);
    assert!(Signals::handled() >= before + 50);
    writer.join().expect("the writer does not panic")?;
    Ok(())
}

fn each_write_happens_once_under_signals(context: &Context) -> TestResult {
    const BATCH: u32 = 16;
    let batches = u32::try_from(context.rounds(1250))?;
    let dir = files::TempDir::new()?;
    let path = dir.path().join("log");
    let file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)?;
    let file = Arc::new(file);
    let mut ring = common::ring(context, 8)?;
    let _signals = Signals::new()?;
    let before = Signals::handled();
    let mut written = Vec::new();
    let mut batch = 0;
    // A machine that is busy elsewhere may deliver its first signal later than the last of few batches.
    while batch < batches || Signals::handled() == before {
        let mut tokens = Vec::new();
        for number in batch * BATCH..(batch + 1) * BATCH {
            let record = number.to_le_bytes().to_vec();
            let token = ring.push(Write::new(file.clone(), record))?;
            tokens.push((number, token));
        }
        for (number, token) in tokens {
            match ring.wait(token)?.result {
                Ok(length) => {
                    assert_eq!(length, 4);
                    written.push(number);
                }
                // Linux 6.1 writes in a worker thread, and cancels the write when signals keep it from making one.
                Err(error) if error.raw_os_error() == Some(libc::ECANCELED) => {}
                Err(error) => return Err(error.into()),
            }
        }
        batch += 1;
    }
    assert_eq!((ring.in_flight(), ring.pending()), (0, 0));
    let bytes = std::fs::read(&path)?;
    let mut records: Vec<u32> = bytes
        .chunks_exact(4)
        .map(|record| u32::from_le_bytes([record[0], record[1], record[2], record[3]]))
        .collect();
    records.sort_unstable();
    assert_eq!(records, written);
    assert!(!written.is_empty(), "every write was cancelled");
    Ok(())
}
