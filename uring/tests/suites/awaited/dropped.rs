//! Futures that end before their operations (M1, M4, M6, M12).

use std::mem;
use std::time::Duration;

use uring::Local;
use uring::op::{Nop, OpenAt, Read, Timeout};
use uring_testkit::files::pipe;
use uring_testkit::process::fork_and;
use uring_testkit::{Context, FdTable, Recording, TestResult};

use crate::awaited::buffers::{Disk, Drops, assert_untouched_since_drop};
use crate::awaited::poll::{Either, drain, first, in_flight, started};
use crate::common::{self, Recorded};

const HOUR: Duration = Duration::from_secs(3600);
const ROUNDS: u64 = 5;
const IN_FLIGHT: usize = 8;

fn dropped_while_reading(context: &Context, mut end: impl FnMut(Local)) -> TestResult {
    let disk = Disk::new()?;
    for _ in 0..context.rounds(ROUNDS) {
        let local = Local::new(common::ring(context, 8)?);
        let (mut reads, mut recordings) = (Vec::new(), Vec::new());
        for _ in 0..IN_FLIGHT {
            let (read, recording) = disk.read()?;
            reads.push(started(&local, read)?);
            recordings.push(recording);
        }
        drop(reads);
        assert!(recordings.iter().any(is_alive) || in_flight(&local)? == 0);
        end(local);
        assert_untouched_since_drop(&recordings);
    }
    assert_eq!(uring::leaked_operations(), 0);
    Ok(())
}

pub(crate) fn m12_futures_dropped(context: &Context) -> TestResult {
    dropped_while_reading(context, |local| drain(&local).expect("they end"))
}

pub(crate) fn m12_local_dropped(context: &Context) -> TestResult {
    dropped_while_reading(context, drop)
}

fn is_alive(recording: &Recording) -> bool {
    recording.dropped().is_none()
}

/// What a forgotten future owns is kept as long as its ring, which it keeps itself: in a process that ends with it.
pub(crate) fn m06_futures_forgotten(context: &Context) -> TestResult {
    fork_and(|| {
        let local = Local::new(common::ring(context, 8)?);
        let drops = Drops::default();
        let (reader, writer) = pipe()?;
        mem::forget(started(&local, Read::new(reader, drops.counted()))?);
        mem::forget(started(&local, Timeout::after(HOUR))?);
        drop(writer);
        local.block_on(local.submit(Nop::new()))???;
        assert_eq!(drops.count(), 0);
        let other = common::ring(context, 8)?;
        drop(local.with(|ring| mem::replace(ring, other))?);
        assert_eq!(drops.count(), 1);
        local.block_on(local.submit(Nop::new()))???;
        assert_eq!(uring::leaked_operations(), 0);
        Ok(())
    })?
    .check()
}

/// Two operations race; the loser's buffer is the kernel's until the kernel is done.
pub(crate) fn select(context: &Context) -> TestResult {
    let disk = Disk::new()?;
    let local = Local::new(common::ring(context, 8)?);
    let mut recordings = Vec::new();
    for _ in 0..context.rounds(20) {
        let (read, recording) = disk.read()?;
        recordings.push(recording);
        let won = local.block_on(first(local.submit(Nop::new()), local.submit(read)))?;
        assert!(matches!(won, Either::A(Ok(Ok(()))) | Either::B(Ok(_))));

        let (reader, writer) = pipe()?;
        let (buffer, recording) = Recorded::new(64)?;
        recordings.push(recording);
        let short = local.submit(Timeout::after(Duration::from_millis(1)));
        let won = local.block_on(first(local.submit(Read::new(reader, buffer)), short))?;
        assert!(matches!(won, Either::B(Ok(Ok(_)))), "nobody has written");
        drop(writer);
    }
    // The listener for other threads may stay.
    while recordings.iter().any(is_alive) {
        local.turn()?;
    }
    assert_untouched_since_drop(&recordings);
    Ok(())
}

pub(crate) fn m04_open_dropped(context: &Context) -> TestResult {
    let before = FdTable::now()?;
    let local = Local::new(common::ring(context, 8)?);
    for _ in 0..context.rounds(100) {
        for turned in [false, true] {
            let mut open = local.submit(OpenAt::new(c"/dev/null"));
            assert!(crate::awaited::poll::once(&mut open).is_pending());
            if turned {
                local.turn()?;
            }
            drop(open);
        }
    }
    drain(&local)?;
    drop(local);
    assert!(before.diff(&FdTable::now()?).is_empty());
    Ok(())
}
