//! Who owns memory while the kernel works on it, and until when.

mod arguments;
mod barrier;
pub(crate) mod buffers;
use crate::common;
mod opens;
mod panics;
mod registered;
mod tokens;

use std::time::Duration;

use uring_testkit::{Context, Feature, HandleKind, Suite, TestResult};

type Body = fn(&Context) -> TestResult;

/// Reads of many megabytes take their time on a slow disk.
const WITH_READS: Duration = Duration::from_secs(120);

pub(crate) fn suite() -> Suite {
    let mut suite = Suite::new("memory");
    suite.share_processes();
    suite.completed_by(common::completed);
    suite.handles_refused_in("lifecycle");
    let with_reads: &[(&str, Body)] = &[
        ("m01_ring_dropped", barrier::m01_ring_dropped),
        ("m01_panic_with_the_ring", barrier::m01_panic_with_the_ring),
        ("m01_scope_left", barrier::m01_scope_left),
        (
            "m01_scope_left_by_a_panic",
            barrier::m01_scope_left_by_a_panic,
        ),
        ("m01_scope_in_a_scope", barrier::m01_scope_in_a_scope),
        (
            "m02_refused_in_the_middle",
            barrier::m02_refused_in_the_middle,
        ),
        ("m12_tokens_dropped", barrier::m12_tokens_dropped),
        ("m12_detached", barrier::m12_detached),
        ("m12_cancelled_and_taken", barrier::m12_cancelled_and_taken),
        ("m12_thread_ended", barrier::m12_thread_ended),
        (
            "m03_forged_entry_taken_back",
            tokens::m03_forged_entry_taken_back,
        ),
        (
            "m10_destructor_while_a_ring_drains",
            panics::m10_destructor_while_a_ring_drains,
        ),
        (
            "m10_destructor_while_a_scope_drains",
            panics::m10_destructor_while_a_scope_drains,
        ),
        ("m06_tokens_forgotten", opens::m06_tokens_forgotten),
        ("m07_registered_memory", registered::m07_registered_memory),
    ];
    for &(name, body) in with_reads {
        suite
            .test(name, body)
            .on(HandleKind::ALL)
            .timeout(WITH_READS);
    }
    // What else uses the disk or ends rings decides which is first.
    suite
        .test(
            "m01_closing_is_no_barrier",
            barrier::m01_closing_is_no_barrier,
        )
        .on(HandleKind::ALL)
        .timeout(WITH_READS)
        .alone();
    suite
        .test("m07_cloned_memory", registered::m07_cloned_memory)
        .on(HandleKind::ALL)
        .timeout(WITH_READS)
        .needs([registered::CLONE])
        .no_refusal("operations::buffer_table_clones has it");
    // It counts what its process has leaked.
    suite
        .test(
            "m02_submit_refused_with_reads_in_flight",
            barrier::m02_submit_refused_with_reads_in_flight,
        )
        .on(HandleKind::ALL)
        .timeout(WITH_READS)
        .own_process();
    let quick: &[(&str, Body)] = &[
        ("m03_forged_completion", tokens::m03_forged_completion),
        ("m03_stale_token", tokens::m03_stale_token),
        (
            "m03_token_of_a_ring_that_is_gone",
            tokens::m03_token_of_a_ring_that_is_gone,
        ),
        (
            "m10_destructor_in_the_ring_s_end",
            panics::m10_destructor_in_the_ring_s_end,
        ),
        ("m10_scope_s_body", panics::m10_scope_s_body),
        ("m10_for_each_s_closure", panics::m10_for_each_s_closure),
        (
            "m14_destructor_at_a_scope_s_end",
            panics::m14_destructor_at_a_scope_s_end,
        ),
        ("m15_top_bit_is_refused", tokens::m15_top_bit_is_refused),
        (
            "m15_cancel_by_a_tracked_number",
            tokens::m15_cancel_by_a_tracked_number,
        ),
        (
            "m17_destructor_uses_rings",
            panics::m17_destructor_uses_rings,
        ),
        (
            "m18_sequence_numbers_stay_unique",
            tokens::m18_sequence_numbers_stay_unique,
        ),
        ("m19_two_rings_swapped", tokens::m19_two_rings_swapped),
        (
            "m04_open_into_a_descriptor",
            opens::m04_open_into_a_descriptor,
        ),
        (
            "m04_open_into_a_direct_descriptor",
            opens::m04_open_into_a_direct_descriptor,
        ),
        (
            "m04_ring_dropped_with_direct_descriptors",
            opens::m04_ring_dropped_with_direct_descriptors,
        ),
        ("m05_temporaries", arguments::m05_temporaries),
        ("m08_linked_timeout", arguments::m08_linked_timeout),
        (
            "m13_ring_memory_is_not_reused",
            arguments::m13_ring_memory_is_not_reused,
        ),
        (
            "m16_failing_chain_completes",
            arguments::m16_failing_chain_completes,
        ),
        (
            "m16_failing_chain_is_drained",
            arguments::m16_failing_chain_is_drained,
        ),
    ];
    for &(name, body) in quick {
        suite.test(name, body).on(HandleKind::ALL);
    }
    suite
        .test("m08_multishot_timeout", arguments::m08_multishot_timeout)
        .on(HandleKind::ALL)
        .needs([Feature::TIMEOUT_MULTISHOT])
        .refused_by(arguments::m08_multishot_timeout_refused);
    suite
        .test(
            "m08_multishot_timeout_given_up",
            arguments::m08_multishot_timeout_given_up,
        )
        .on(HandleKind::ALL)
        .needs([Feature::TIMEOUT_MULTISHOT])
        .no_refusal("m08_multishot_timeout has it");
    for handle in HandleKind::ALL {
        let leaks = opens::of_a_forgotten_ring(handle);
        suite
            .test("m06_ring_forgotten", opens::m06_ring_forgotten)
            .on([handle])
            .leaks(leaks);
        suite
            .test(
                "m06_ring_in_its_own_buffer",
                opens::m06_ring_in_its_own_buffer,
            )
            .on([handle])
            .leaks(leaks);
        suite
            .test("m07_both_forgotten", registered::m07_both_forgotten)
            .on([handle])
            .leaks(leaks);
    }
    suite.test(
        "m17_destructor_asks_for_its_own_ring",
        panics::m17_destructor_asks_for_its_own_ring,
    );
    suite
        .test(
            "m12_thread_of_a_per_thread_ring_ended",
            barrier::m12_thread_of_a_per_thread_ring_ended,
        )
        .timeout(WITH_READS);
    suite
}
