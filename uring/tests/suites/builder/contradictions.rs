//! What no kernel can make is refused before any kernel is asked.

use std::time::Duration;

use uring::{Builder, EntrySize, Error, Hint, SubmissionThread, TaskWork};
use uring_testkit::process::with_denied;
use uring_testkit::{Context, Suite, TestResult};

pub(crate) fn add_to(suite: &mut Suite) {
    suite.test(
        "contradictions_are_refused_before_the_kernel",
        contradictions,
    );
    suite.test(
        "numbers_of_entries_are_refused_before_the_kernel",
        entry_counts,
    );
    suite.test(
        "a_movable_ring_does_not_defer",
        a_movable_ring_does_not_defer,
    );
}

fn thread() -> SubmissionThread {
    SubmissionThread::new().idle(Duration::from_millis(1))
}

/// The refusals of all ways to build, in a thread in which any call to set up a ring would be refused otherwise.
fn refusals(builder: Builder<'static>) -> std::io::Result<Vec<Error>> {
    with_denied(&[(libc::SYS_io_uring_setup, libc::EPERM)], || {
        vec![
            builder.build().unwrap_err(),
            builder.build_registered().unwrap_err(),
            builder.build_fdless().unwrap_err(),
            builder.build_best().unwrap_err(),
            builder.build_disabled().unwrap_err(),
        ]
    })
}

fn assert_refused(error: Error, words: &str) {
    assert!(error.is_invalid_request(), "{error}");
    assert!(!error.is_unsupported() && !error.is_blocked());
    assert_eq!(error.errno(), None, "the kernel was asked: {error}");
    let text = error.to_string();
    assert!(
        text.starts_with("building the ring was refused: "),
        "{text}"
    );
    assert!(text.contains(words), "{words}: {text}");
    assert_eq!(
        std::io::Error::from(error).kind(),
        std::io::ErrorKind::InvalidInput
    );
}

fn contradictions(_: &Context) -> TestResult {
    let eight = Builder::new(8);
    for (builder, words) in [
        (
            eight
                .clone()
                .submission_thread(thread())
                .task_work(TaskWork::Deferred),
            "task_work or submission_thread",
        ),
        (
            eight
                .clone()
                .submission_thread(thread())
                .task_work(TaskWork::Cooperative),
            "task_work or submission_thread",
        ),
        (eight.clone().rewind(true).index_array(true), "index array"),
        (
            eight.clone().rewind(true).submission_thread(thread()),
            "rewind or submission_thread",
        ),
        (
            eight.clone().completion_entries(7),
            "fewer completion entries",
        ),
        (
            Builder::new(100_000).clamp(true).completion_entries(32767),
            "fewer completion entries",
        ),
        (Builder::new(1).entry_size(EntrySize::Mixed), "at least 3"),
        (Builder::new(2).entry_size(EntrySize::Mixed), "at least 3"),
    ] {
        for error in refusals(builder)? {
            // A movable ring with deferred task work is refused for that first.
            if !error.to_string().contains("stays on its thread") {
                assert_refused(error, words);
            }
        }
    }
    Ok(())
}

fn entry_counts(_: &Context) -> TestResult {
    let eight = Builder::new(8);
    for (builder, asked) in [
        (Builder::new(0), 0),
        (Builder::new(0).clamp(true), 0),
        (Builder::new(32769), 32769),
        (Builder::new(u32::MAX), u32::MAX),
        (eight.clone().completion_entries(0), 0),
        (eight.clone().completion_entries(0).clamp(true), 0),
        (eight.completion_entries(65537), 65537),
    ] {
        for error in refusals(builder)? {
            assert_eq!(error.hint(), Some(Hint::EntryCount { asked }), "{error}");
            assert_refused(error, &format!("a queue of {asked} entries"));
        }
    }
    Ok(())
}

fn a_movable_ring_does_not_defer(_: &Context) -> TestResult {
    let builder = Builder::new(8).task_work(TaskWork::Deferred);
    let refused = with_denied(&[(libc::SYS_io_uring_setup, libc::EPERM)], || {
        builder.build().unwrap_err()
    })?;
    assert_refused(refused, "stays on its thread");
    Ok(())
}
