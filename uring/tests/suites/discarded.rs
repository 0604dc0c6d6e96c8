//! Queues whose memory was discarded (H33).

use crate::common;

use common::{memory, pending};
use uring::op::Nop;
use uring::{Any, Builder, Hint, Ring};
use uring_testkit::process::fork_and;
use uring_testkit::{Context, Feature, HandleKind, Slots, Suite, TestResult, files};

/// A ring in the process's own memory, and the pages of that.
fn in_own_memory(context: &Context) -> TestResult<(Ring<Any>, Vec<usize>)> {
    // The first ring makes the page that forked children are told by.
    drop(Ring::new(1)?);
    let before = memory::wiped_pages()?;
    let ring = common::build(context, &Builder::new(8).own_memory(true))?;
    let pages: Vec<_> = memory::wiped_pages()?
        .difference(&before)
        .copied()
        .collect();
    assert!(!pages.is_empty(), "the memory of the queues was not found");
    Ok((ring, pages))
}

fn discarded(context: &Context, calls_before: u32, only_last_page: bool) -> TestResult {
    let (mut ring, pages) = in_own_memory(context)?;
    for _ in 0..calls_before {
        ring.call(Nop::new())??;
    }
    let first = if only_last_page { pages.len() - 1 } else { 0 };
    for page in &pages[first..] {
        memory::discard(*page)?;
    }
    let error = ring.call(Nop::new()).expect_err("the queues are gone");
    assert_eq!(error.hint(), Some(Hint::RingMemoryLost), "{error}");
    ring.push_raw(Nop::new(), 1)?;
    let error = ring.submit().expect_err("the queues are gone");
    assert!(error.is_ring_lost(), "{error}");
    for _ in 0..20 {
        // Whether there is still room or not: nothing panics, hangs or grows.
        let _ = ring.push_raw(Nop::new(), 1);
        let _ = ring.push(Nop::new());
    }
    assert_eq!(ring.for_each(|_| ())?, 0, "completions out of nothing");
    drop(ring);
    assert_eq!(Slots::of_this_thread()?.taken(), 0);
    Ok(())
}

fn h33_discarded_memory_is_an_error(context: &Context) -> TestResult {
    for calls_before in [1, 3, 100] {
        for only_last_page in [false, true] {
            // In a process of its own: what was given up there is leaked for good.
            fork_and(|| discarded(context, calls_before, only_last_page))?.check()?;
        }
    }
    Ok(())
}

fn h33_discarded_memory_frees_nothing_in_flight(context: &Context) -> TestResult {
    let (mut ring, pages) = in_own_memory(context)?;
    for _ in 0..3 {
        ring.call(Nop::new())??;
    }
    let (reader, _writer) = files::pipe()?;
    let recording = pending::submit_unowned(&mut ring, &reader)?;
    // The rings go, the entries stay: what is in them looks as if it had never been submitted.
    memory::discard(pages[pages.len() - 1])?;
    drop(ring);
    assert_eq!(uring::leaked_operations(), 1);
    assert!(
        recording.dropped().is_none(),
        "freed while the kernel has it"
    );
    Ok(())
}

fn own_memory_is_refused(context: &Context) -> TestResult {
    let error =
        common::build(context, &Builder::new(8).own_memory(true)).expect_err("not before 6.5");
    assert!(error.is_unsupported(), "{error}");
    Ok(())
}

pub(crate) fn suite() -> Suite {
    let mut suite = Suite::new("discarded");
    suite.completed_by(common::completed);
    suite
        .test("h33_error", h33_discarded_memory_is_an_error)
        .on(HandleKind::ALL)
        .needs([Feature::NO_MMAP])
        .refused_by(own_memory_is_refused);
    suite
        .test(
            "h33_in_flight",
            h33_discarded_memory_frees_nothing_in_flight,
        )
        .on(HandleKind::ALL)
        .needs([Feature::NO_MMAP])
        .refused_by(own_memory_is_refused);
    suite
}
