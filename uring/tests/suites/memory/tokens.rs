//! Which completion reaches whom (M3, M15, M18, M19).

use std::collections::HashSet;
use std::fmt::Debug;
use std::mem;
use std::time::Duration;

use uring::op::{Cancel, Cancelled, Nop, Timeout};
use uring::{Builder, Token};
use uring_testkit::{Context, TestResult};

use crate::common;
use crate::memory::buffers::{Disk, Drops, assert_untouched_since_drop};
use crate::memory::opens::settle;

const HOUR: Duration = Duration::from_secs(3600);
const TOP_BIT: u64 = 1 << 63;

/// A token's slot and sequence number, which its debug form shows to anybody.
fn numbers<O>(token: &Token<O>) -> TestResult<(u64, u64)>
where
    Token<O>: Debug,
{
    let text = format!("{token:?}");
    let mut numbers = text
        .split(|c: char| !c.is_ascii_digit())
        .filter(|word| !word.is_empty());
    let mut next = || {
        numbers
            .next()
            .ok_or(format!("{text}: two numbers were expected"))
    };
    Ok((next()?.parse()?, next()?.parse()?))
}

/// The `user_data` that the kernel has for the operation, without the ring's own bit.
fn forged<O>(token: &Token<O>) -> TestResult<u64> {
    let (slot, sequence) = numbers(token)?;
    Ok((sequence & 0x7fff_ffff) << 32 | slot)
}

pub(crate) fn m15_top_bit_is_refused(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    for user_data in [TOP_BIT, TOP_BIT | 1, u64::MAX] {
        let refused = ring
            .push_raw(Nop::new(), user_data)
            .expect_err("the bit is the ring's own");
        assert!(refused.to_string().contains("top bit"), "{refused}");
        let _operation: Nop = refused.into_inner();
        assert_eq!(ring.pending(), 0);
    }
    ring.push_raw(Nop::new(), TOP_BIT - 1)?;
    ring.submit_and_wait(1)?;
    let completion = ring.next_completion()?.expect("it was waited for");
    assert_eq!(completion.user_data(), TOP_BIT - 1);
    Ok(())
}

/// A raw completion with the number of an operation in flight does not land it.
pub(crate) fn m03_forged_completion(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let hour = ring.push(Timeout::after(HOUR))?;
    let number = forged(&hour)?;
    ring.push_raw(Nop::new(), number)?;
    ring.submit_and_wait(1)?;
    let completion = ring.next_completion()?.expect("it was waited for");
    assert_eq!(completion.user_data(), number);
    let hour = ring.take(hour).expect_err("an hour is not over");
    ring.cancel(&hour)?;
    let error = ring.wait(hour)?.expect_err("it was cancelled");
    assert_eq!(error.raw_os_error(), Some(libc::ECANCELED));
    Ok(())
}

/// Nor does a raw entry with such a number that the kernel has never seen, when the ring ends.
pub(crate) fn m03_forged_entry_taken_back(context: &Context) -> TestResult {
    let disk = Disk::new()?;
    for _ in 0..5 {
        let mut ring = common::ring(context, 8)?;
        let (read, recording) = disk.read()?;
        let token = ring.push(read)?;
        ring.submit()?;
        ring.push_raw(Nop::new(), forged(&token)?)?;
        drop(ring);
        assert_untouched_since_drop(&[recording]);
    }
    Ok(())
}

/// A token of an operation that a scope has dropped stays worthless, however often its slot is used again.
pub(crate) fn m03_stale_token(context: &Context) -> TestResult {
    let mut ring = common::build(context, &Builder::new(4).in_flight(1))?;
    let mut stale = Vec::new();
    let mut slots = HashSet::new();
    for _ in 0..context.rounds(1000) {
        let token = ring.scope(|scope| scope.push(Nop::new()))?;
        slots.insert(numbers(&token)?.0);
        stale.push(token);
    }
    assert_eq!(slots.len(), 1, "one slot for all");
    let current = ring.push(Timeout::after(HOUR))?;
    ring.submit()?;
    for token in stale {
        ring.cancel(&token)?;
        let token = ring.take(token).expect_err("its result was dropped");
        let refused = ring.wait(token).expect_err("its result was dropped");
        assert!(refused.error().is_wrong_ring(), "{refused}");
        ring.detach(refused.into_inner());
    }
    assert_eq!(ring.in_flight(), 1);
    let current = ring.take(current).expect_err("an hour is not over");
    ring.cancel(&current)?;
    assert_eq!(
        ring.wait(current)?.unwrap_err().raw_os_error(),
        Some(libc::ECANCELED)
    );
    Ok(())
}

/// A token that has outlived its ring is no token of the next one, whose slots begin at the same place.
pub(crate) fn m03_token_of_a_ring_that_is_gone(context: &Context) -> TestResult {
    let mut gone = Vec::new();
    for _ in 0..100 {
        let mut ring = common::ring(context, 4)?;
        gone.push(ring.push(Nop::new())?);
        let slot_of = |token| numbers(token).map(|(slot, _)| slot);
        assert_eq!(
            slot_of(&gone[0])?,
            slot_of(gone.last().expect("one was pushed"))?
        );
        if gone.len() > 1 {
            let refused = ring.wait(gone.remove(0)).expect_err("the ring is gone");
            assert!(refused.error().is_wrong_ring(), "{refused}");
        }
    }
    Ok(())
}

/// A number that names an operation of the ring's own can be cancelled, and the operation completes as it should.
pub(crate) fn m15_cancel_by_a_tracked_number(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let drops = Drops::default();
    let hour = ring.push(Timeout::after(HOUR))?;
    let written = ring.push(drops.counted().written()?)?;
    ring.submit()?;
    let by_number = Cancel::user_data(TOP_BIT | forged(&hour)?);
    assert_eq!(ring.call(by_number)??, Cancelled::Count(1));
    let error = ring.wait(hour)?.expect_err("it was cancelled");
    assert_eq!(error.raw_os_error(), Some(libc::ECANCELED));
    // On Linux 5.10 a worker writes to the device.
    settle(&mut ring)?;
    let late = ring.call(Cancel::user_data(TOP_BIT | forged(&written)?))?;
    assert_eq!(late?, Cancelled::NotFound);
    assert_eq!(drops.count(), 0);
    drop(ring.wait(written)?);
    assert_eq!(drops.count(), 1);
    Ok(())
}

pub(crate) fn m18_sequence_numbers_stay_unique(context: &Context) -> TestResult {
    let mut seen = HashSet::new();
    for _ in 0..context.rounds(20) {
        let mut rings = [common::ring(context, 8)?, common::ring(context, 8)?];
        for _ in 0..100 {
            for ring in &mut rings {
                let forgotten = ring.scope(|scope| -> TestResult<_> {
                    let token = scope.push(Nop::new())?;
                    assert!(seen.insert(numbers(&token)?.1), "{token:?}");
                    mem::forget(scope.wait(token)?);
                    let inner = scope.scope(|scope| scope.push(Nop::new()))?;
                    assert!(seen.insert(numbers(&inner)?.1), "{inner:?}");
                    Ok(inner)
                })?;
                drop(forgotten);
                let token = ring.push(Nop::new())?;
                assert!(seen.insert(numbers(&token)?.1), "{token:?}");
                ring.wait(token)??;
            }
        }
    }
    Ok(())
}

pub(crate) fn m19_two_rings_swapped(context: &Context) -> TestResult {
    let mut first = common::ring(context, 8)?;
    let mut second = common::ring(context, 8)?;
    let drops = Drops::default();
    let of_first = first.push(drops.counted().written()?)?;
    let of_second = second.push(drops.counted().written()?)?;
    mem::swap(&mut first, &mut second);
    let of_first = first.take(of_first).expect_err("it is of the other ring");
    let refused = first.wait(of_first).expect_err("it is of the other ring");
    assert!(refused.error().is_wrong_ring(), "{refused}");
    let of_first = refused.into_inner();
    first.cancel(&of_first)?;
    assert_eq!(second.wait(of_first)?.result?, 16);
    assert_eq!(first.wait(of_second)?.result?, 16);
    assert_eq!(drops.count(), 2);
    Ok(())
}
