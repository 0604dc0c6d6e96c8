//! The end of a ring, a token, a scope or a thread is the end of the kernel's writes (M1, M2, M12).

use std::cell::RefCell;
use std::fs::File;
use std::mem;
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use uring::op::{Nop, Read};
use uring::{Any, Builder, PerThread, Push, Ring, Token};
use uring_testkit::process::install_filter;
use uring_testkit::raw::{Entry, RawRing};
use uring_testkit::{Context, HandleKind, Recording, RecordingBuffer, TestResult};

use crate::common::{self, Recorded};
use crate::memory::buffers::{Disk, LENGTH, assert_untouched_since_drop, close_leaked_files};

/// For the two ways out that everybody takes.
const MANY_ROUNDS: u64 = 10;
/// One is enough to see a missing drain, as `m01_closing_is_no_barrier` shows.
const ROUNDS: u64 = 5;
const IN_FLIGHT: usize = 8;
/// Every so many are looked at: the last to be submitted are read last, unless they were waiting for a worker and are cancelled.
const LOOKED_AT: usize = 4;
/// More than the cache of a disk holds, or an emulated one lets through at once before it slows down.
const IN_FLIGHT_AT_THE_CLOSE: usize = 64;

type Reads = Vec<Token<Read<Arc<File>, Recorded>>>;

/// Without a drain the hazard is there, and these tests see it.
pub(crate) fn m01_closing_is_no_barrier(context: &Context) -> TestResult {
    let disk = Disk::new()?;
    let until = Instant::now() + Duration::from_secs(40);
    while Instant::now() < until {
        let mut ring = raw_ring(context.handle())?;
        let mut recordings = Vec::new();
        for _ in 0..IN_FLIGHT_AT_THE_CLOSE {
            let (mut buffer, recording) = RecordingBuffer::new(LENGTH)?;
            let read = Entry {
                opcode: uring_sys::IORING_OP_READ,
                fd: disk.file.as_raw_fd(),
                addr: buffer.as_mut_ptr() as u64,
                len: u32::try_from(LENGTH)?,
                ..Entry::default()
            };
            // SAFETY: the recording keeps the memory mapped, and its end only takes it out of this process.
            unsafe { ring.push(read) };
            recordings.push((buffer, recording));
        }
        ring.enter(u32::try_from(IN_FLIGHT_AT_THE_CLOSE)?, 0)?;
        drop(ring);
        // What was submitted last is read last, so its buffer is looked at first.
        let recordings: Vec<Recording> = recordings
            .into_iter()
            .rev()
            .map(|(buffer, recording)| {
                drop(buffer);
                recording
            })
            .collect();
        // Other tests' reads may come first in the disk's queue.
        for _ in 0..50 {
            thread::sleep(Duration::from_millis(20));
            let late = |recording: &Recording| recording.changed_since_drop() > Some(0);
            if recordings.iter().step_by(LOOKED_AT).any(late) {
                return Ok(());
            }
        }
    }
    Err("no write was late: this disk cannot show what the tests of m01 are about".into())
}

fn raw_ring(handle: HandleKind) -> TestResult<RawRing> {
    if handle == HandleKind::Born {
        return Ok(RawRing::born(64, 0)?);
    }
    let mut ring = RawRing::new(64, 0)?;
    if handle != HandleKind::Fd {
        ring.register()?;
    }
    if handle == HandleKind::Closed {
        ring.close();
    }
    Ok(ring)
}

/// Lets `end` do away with a ring that has reads in flight, at different moments of the reads.
fn rounds(context: &Context, rounds: u64, mut end: impl FnMut(Ring<Any>, Reads)) -> TestResult {
    let disk = Disk::new()?;
    for round in 0..context.rounds(rounds) {
        let mut ring = common::ring(context, 8)?;
        let (tokens, recordings) = start(&mut ring, &disk)?;
        thread::sleep(Duration::from_micros(100 * (round % 10)));
        end(ring, tokens);
        assert_untouched_since_drop(&recordings);
    }
    assert_eq!(uring::leaked_operations(), 0);
    Ok(())
}

fn start(ring: &mut Ring<Any>, disk: &Disk) -> TestResult<(Reads, Vec<Recording>)> {
    let (mut tokens, mut recordings) = (Vec::new(), Vec::new());
    for _ in 0..IN_FLIGHT {
        let (read, recording) = disk.read()?;
        tokens.push(ring.push(read)?);
        recordings.push(recording);
    }
    ring.submit()?;
    Ok((tokens, recordings))
}

pub(crate) fn m01_ring_dropped(context: &Context) -> TestResult {
    rounds(context, MANY_ROUNDS, |ring, tokens| {
        drop(ring);
        drop(tokens);
    })
}

pub(crate) fn m01_panic_with_the_ring(context: &Context) -> TestResult {
    rounds(context, ROUNDS, |ring, tokens| {
        let ended = catch_unwind(AssertUnwindSafe(move || {
            let _in_flight = (ring, tokens);
            panic!("with reads in flight");
        }));
        common::assert_panicked(ended, "with reads in flight");
    })
}

pub(crate) fn m12_tokens_dropped(context: &Context) -> TestResult {
    let disk = Disk::new()?;
    let mut ring = common::ring(context, 8)?;
    for _ in 0..context.rounds(ROUNDS) {
        let (tokens, recordings) = start(&mut ring, &disk)?;
        drop(tokens);
        ring.call(Nop::new())??;
        assert!(
            recordings
                .iter()
                .all(|recording| recording.dropped().is_none())
        );
        drop(mem::replace(&mut ring, common::ring(context, 8)?));
        assert_untouched_since_drop(&recordings);
    }
    Ok(())
}

pub(crate) fn m12_detached(context: &Context) -> TestResult {
    let disk = Disk::new()?;
    let mut ring = common::ring(context, 8)?;
    for _ in 0..context.rounds(ROUNDS) {
        let (tokens, recordings) = start(&mut ring, &disk)?;
        for token in tokens {
            ring.detach(token);
        }
        while ring.in_flight() > 0 {
            ring.submit_and_wait(1)?;
            ring.next_completion()?;
        }
        assert_untouched_since_drop(&recordings);
    }
    Ok(())
}

pub(crate) fn m12_cancelled_and_taken(context: &Context) -> TestResult {
    let disk = Disk::new()?;
    let mut ring = common::ring(context, 16)?;
    for _ in 0..context.rounds(ROUNDS) {
        let (tokens, recordings) = start(&mut ring, &disk)?;
        for token in &tokens {
            ring.cancel(token)?;
        }
        for token in tokens {
            let done = ring.wait(token)?;
            match done.result {
                Ok(count) => assert_eq!(count, LENGTH),
                Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ECANCELED)),
            }
        }
        assert_untouched_since_drop(&recordings);
    }
    Ok(())
}

pub(crate) fn m12_thread_ended(context: &Context) -> TestResult {
    thread_local! {
        static AT_EXIT: RefCell<Option<Ring<Any>>> = const { RefCell::new(None) };
    }
    let disk = Disk::new()?;
    for _ in 0..context.rounds(ROUNDS) {
        let recordings = thread::scope(|threads| {
            let thread = threads.spawn(|| -> TestResult<Vec<Recording>> {
                let mut ring = common::ring(context, 8)?;
                let (tokens, recordings) = start(&mut ring, &disk)?;
                drop(tokens);
                AT_EXIT.set(Some(ring));
                Ok(recordings)
            });
            thread.join().expect("the thread does not panic")
        })?;
        assert_untouched_since_drop(&recordings);
    }
    Ok(())
}

pub(crate) fn m12_thread_of_a_per_thread_ring_ended(context: &Context) -> TestResult {
    static RINGS: PerThread = PerThread::new(8);
    let disk = Disk::new()?;
    for _ in 0..context.rounds(ROUNDS) {
        let recordings = thread::scope(|threads| {
            let thread = threads.spawn(|| {
                RINGS.with(|ring| start(ring, &disk).map(|(_tokens, recordings)| recordings))
            });
            thread.join().expect("the thread does not panic")
        })??;
        assert_untouched_since_drop(&recordings);
    }
    Ok(())
}

/// Buffers that `body` may lend to a scope, and that are dropped when it is over.
fn lent_rounds(
    context: &Context,
    rounds: u64,
    mut body: impl FnMut(&mut Ring<Any>, &File, &mut [RecordingBuffer]),
) -> TestResult {
    let disk = Disk::new()?;
    let mut ring = common::ring(context, 8)?;
    for _ in 0..context.rounds(rounds) {
        let (mut buffers, mut recordings) = (Vec::new(), Vec::new());
        for _ in 0..IN_FLIGHT {
            let (buffer, recording) = RecordingBuffer::new(LENGTH)?;
            buffers.push(buffer);
            recordings.push(recording);
        }
        body(&mut ring, &disk.file, &mut buffers);
        drop(buffers);
        assert_untouched_since_drop(&recordings);
        ring.call(Nop::new())??;
    }
    Ok(())
}

pub(crate) fn m01_scope_left(context: &Context) -> TestResult {
    lent_rounds(context, MANY_ROUNDS, |ring, file, buffers| {
        ring.scope(|scope| {
            for buffer in buffers {
                let token = scope.push(Read::new(file, &mut buffer[..]).at(0)).unwrap();
                drop(token);
            }
            scope.submit().unwrap();
        });
    })
}

pub(crate) fn m01_scope_left_by_a_panic(context: &Context) -> TestResult {
    lent_rounds(context, ROUNDS, |ring, file, buffers| {
        let ended = catch_unwind(AssertUnwindSafe(|| {
            ring.scope(|scope| {
                for buffer in buffers {
                    let token = scope.push(Read::new(file, &mut buffer[..]).at(0)).unwrap();
                    drop(token);
                }
                scope.submit().unwrap();
                panic!("with reads in flight");
            })
        }));
        common::assert_panicked(ended, "with reads in flight");
    })
}

/// An inner scope waits for its own reads, and leaves those of the outer one in flight.
pub(crate) fn m01_scope_in_a_scope(context: &Context) -> TestResult {
    lent_rounds(context, ROUNDS, |ring, file, buffers| {
        let (outer, inner) = buffers.split_at_mut(IN_FLIGHT / 2);
        ring.scope(|scope| {
            for buffer in outer {
                let token = scope.push(Read::new(file, &mut buffer[..]).at(0)).unwrap();
                scope.detach(token);
            }
            let tokens: Vec<_> = scope.scope(|scope| {
                let read = |buffer| Read::new(file, buffer).at(0);
                let reads = inner.iter_mut().map(|buffer| read(&mut buffer[..]));
                reads.map(|read| scope.push(read).unwrap()).collect()
            });
            for token in tokens {
                let refused = scope
                    .wait(token)
                    .expect_err("the inner scope has dropped its result");
                assert!(refused.error().is_wrong_ring(), "{refused}");
            }
        });
    })
}

/// A refused entry in the middle is one operation's failure, and no reason to let go of the others.
pub(crate) fn m02_refused_in_the_middle(context: &Context) -> TestResult {
    const UNKNOWN: u16 = 999;
    let disk = Disk::new()?;
    for stop in [false, true] {
        for _ in 0..context.rounds(ROUNDS) {
            let mut ring = common::build(context, &Builder::new(8).stop_at_refused(stop))?;
            let (first, first_recording) = disk.read()?;
            let (refused, refused_recording) = disk.read()?;
            let (last, last_recording) = disk.read()?;
            let first = ring.push(first)?;
            let refused = ring.push_with(refused, Push::new().personality_id(UNKNOWN))?;
            let last = ring.push(last)?;
            ring.submit()?;
            assert!(first_recording.dropped().is_none() && last_recording.dropped().is_none());
            let refused = ring.wait(refused)?;
            let error = refused.result.expect_err("there is no such personality");
            assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
            drop(refused.buf);
            assert_eq!(ring.wait(first)?.result?, LENGTH);
            drop((last, ring));
            assert_untouched_since_drop(&[first_recording, refused_recording, last_recording]);
        }
    }
    Ok(())
}

/// A ring that cannot be entered any more keeps what the kernel may write to.
pub(crate) fn m02_submit_refused_with_reads_in_flight(context: &Context) -> TestResult {
    let disk = Disk::new()?;
    let context = context.clone();
    let thread = thread::spawn(move || -> TestResult<(Vec<Recording>, u64)> {
        let mut ring = common::ring(&context, 8)?;
        let (tokens, recordings) = start(&mut ring, &disk)?;
        let mut late = Vec::new();
        install_filter(&[(libc::SYS_io_uring_enter, libc::EPERM)])?;
        let (read, recording) = disk.read()?;
        late.push(ring.push(read)?);
        let error = ring.submit().expect_err("a filter refuses the call");
        assert!(error.is_blocked(), "{error}");
        assert!(
            recordings
                .iter()
                .all(|recording| recording.dropped().is_none())
        );
        assert!(recording.dropped().is_none());
        drop((tokens, late, ring));
        // The kernel has never seen it, so nothing keeps it from being dropped.
        assert_eq!(recording.changed_since_drop(), Some(0));
        Ok((recordings, uring::leaked_operations()))
    });
    let (recordings, leaked) = thread.join().expect("the thread does not panic")?;
    thread::sleep(Duration::from_millis(100));
    let kept = recordings
        .iter()
        .filter(|recording| recording.dropped().is_none());
    assert_eq!(u64::try_from(kept.count())?, leaked);
    let dropped = recordings.iter().filter_map(Recording::changed_since_drop);
    assert_eq!(dropped.sum::<usize>(), 0);
    close_leaked_files()
}
