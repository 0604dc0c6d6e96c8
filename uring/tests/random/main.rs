//! Any operation with any flags, cancelled, dropped, forgotten or taken at random: nothing is freed early, leaked or closed twice.
//!
//! `URING_RANDOM_SEED` replays what a failure has printed, `URING_RANDOM_OPERATIONS` makes it longer.

#[path = "../common/mod.rs"]
mod common;
mod flying;
mod world;

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;

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

fn nothing_is_freed_early_leaked_or_closed_twice(context: &Context) -> TestResult {
    let operations = match number("URING_RANDOM_OPERATIONS")? {
        Some(operations) => operations,
        None => context.rounds(3000).max(PER_RING),
    };
    let replayed = number("URING_RANDOM_SEED")?;
    for ring in 0..operations.div_ceil(PER_RING) {
        let seed = replayed.unwrap_or(0x5eed + ring);
        let lived = catch_unwind(AssertUnwindSafe(|| {
            World::new(context, seed)?.live(PER_RING)
        }));
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

fn main() -> ExitCode {
    let mut suite = Suite::new("random");
    suite.completed_by(common::completed);
    suite.handles_refused_in("lifecycle");
    suite
        .test(
            "m_nothing_is_freed_early_leaked_or_closed_twice",
            nothing_is_freed_early_leaked_or_closed_twice,
        )
        .on(HandleKind::ALL);
    suite.run()
}
