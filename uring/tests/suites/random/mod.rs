//! Any operation with any flags, cancelled, dropped, forgotten or taken at random: nothing is freed early, leaked or closed twice.
//!
//! `URING_RANDOM_SEED` replays what a failure has printed, `URING_RANDOM_OPERATIONS` makes it longer.

mod canaries;
mod chance;
use crate::common;
mod flying;
mod kinds;
mod polled;
mod world;

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use uring_testkit::fixtures::Nvme;
use uring_testkit::{Context, HandleKind, Suite, TestResult};

use world::World;

/// How many operations are pushed to one ring before it ends.
const PER_RING: u64 = 60;

/// A number that the environment may give.
fn number(name: &str) -> TestResult<Option<u64>> {
    match env::var(name) {
        Ok(text) => Ok(Some(
            text.parse()
                .map_err(|error| format!("{name}={text}: {error}"))?,
        )),
        Err(_) => Ok(None),
    }
}

/// Lets that many operations be lived through, one life after the other, each by a seed of its own.
fn lives(operations: u64, live: impl Fn(u64) -> TestResult) -> TestResult {
    let operations = number("URING_RANDOM_OPERATIONS")?.unwrap_or(operations);
    let replayed = number("URING_RANDOM_SEED")?;
    for ring in 0..operations.div_ceil(PER_RING) {
        let seed = replayed.unwrap_or(0x5eed + ring);
        let lived = catch_unwind(AssertUnwindSafe(|| live(seed)));
        let hint = || eprintln!("again with URING_RANDOM_SEED={seed}");
        match lived {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => {
                hint();
                return Err(failure);
            }
            Err(panic) => {
                hint();
                resume_unwind(panic);
            }
        }
        if replayed.is_some() {
            break;
        }
    }
    assert_eq!(uring::leaked_operations(), 0);
    Ok(())
}

fn nothing_is_freed_early_leaked_or_closed_twice(context: &Context) -> TestResult {
    let operations = context.rounds(3000).max(3 * PER_RING);
    lives(operations, |seed| World::new(context, seed)?.live(PER_RING))
}

fn nothing_that_is_polled_for_is_freed_early(context: &Context) -> TestResult {
    let operations = context.rounds(3000).max(PER_RING);
    lives(operations, |seed| polled::live(context, seed, PER_RING))
}

pub(crate) fn suite() -> Suite {
    let mut suite = Suite::new("random");
    suite.completed_by(common::completed);
    suite.handles_refused_in("lifecycle");
    suite
        .test(
            "m_nothing_is_freed_early_leaked_or_closed_twice",
            nothing_is_freed_early_leaked_or_closed_twice,
        )
        .on(HandleKind::ALL);
    suite
        .test(
            "m_nothing_that_is_polled_for_is_freed_early",
            nothing_that_is_polled_for_is_freed_early,
        )
        .on(HandleKind::ALL)
        .requires(Nvme::REQUIRES);
    suite
}
