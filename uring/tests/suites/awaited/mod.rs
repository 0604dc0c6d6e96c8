//! Operations that are awaited: futures, streams, tasks, and who turns the ring.

use crate::common;
#[allow(dead_code, reason = "the suite `memory` uses more of it")]
use crate::memory::buffers;
mod driver;
mod dropped;
mod echo;
mod executor;
mod futures;
mod kinds;
mod poll;
mod reentrant;
mod streams;
mod threads;

use std::time::Duration;

use uring_testkit::fixtures::Nvme;
use uring_testkit::{Context, Feature, HandleKind, Suite, TestResult};

type Body = fn(&Context) -> TestResult;

pub(crate) fn suite() -> Suite {
    let mut suite = Suite::new("awaited");
    suite.completed_by(common::completed);
    suite.handles_refused_in("lifecycle");
    let tests: &[(&str, Body)] = &[
        ("futures", futures::futures),
        ("futures_wait_for_slots", futures::futures_wait_for_slots),
        ("futures_refused", futures::futures_refused),
        ("futures_forked", futures::futures_forked),
        ("m12_futures_dropped", dropped::m12_futures_dropped),
        ("m12_local_dropped", dropped::m12_local_dropped),
        ("m06_futures_forgotten", dropped::m06_futures_forgotten),
        ("select", dropped::select),
        ("m04_open_dropped", dropped::m04_open_dropped),
        ("m17_destructors", reentrant::m17_destructors),
        ("m17_wakers", reentrant::m17_wakers),
        ("m10_panics", reentrant::m10_panics),
        ("nested", reentrant::nested),
        ("tasks", executor::tasks),
        ("tasks_end_with_block_on", executor::tasks_end_with_block_on),
        ("tasks_panic", executor::tasks_panic),
        ("woken_by_eventfd", threads::woken_by_eventfd),
        ("woken_by_short_waits", threads::woken_by_short_waits),
        ("woken_as_best", threads::woken_as_best),
        ("woken_without_a_slot", threads::woken_without_a_slot),
        ("driver", driver::driver),
        ("submission_thread", kinds::submission_thread),
        ("submission_thread_woken", kinds::submission_thread_woken),
        ("submission_thread_driven", kinds::submission_thread_driven),
        ("polled", kinds::polled),
    ];
    for &(name, body) in tests {
        suite
            .test(name, body)
            .on(HandleKind::ALL)
            .timeout(Duration::from_secs(60));
    }
    suite
        .test("polled_device", kinds::polled_device)
        .on(HandleKind::ALL)
        .requires(Nvme::REQUIRES);
    suite
        .test(
            "submission_thread_streams",
            kinds::submission_thread_streams,
        )
        .on(HandleKind::ALL)
        .needs([Feature::TIMEOUT_MULTISHOT])
        .no_refusal("streams has it");
    suite.test("echo_await_sends_back", echo::echo_await_sends_back);
    suite
        .test("streams", streams::streams)
        .on(HandleKind::ALL)
        .needs([Feature::TIMEOUT_MULTISHOT])
        .refused_by(streams::streams_refused);
    suite
        .test("woken_by_futex", threads::woken_by_futex)
        .on(HandleKind::ALL)
        .needs([threads::FUTEX_WAIT])
        .refused_by(threads::woken_by_futex_refused);
    suite
}
