//! Each operation, owned, scoped and raw, where it succeeds and where it fails.

#[cfg(uring_coverage)]
mod account;
mod buffers;
#[path = "../common/mod.rs"]
mod common;
mod direct;
mod files;
mod known;
mod messages;
mod multishot;
mod network;
mod push;
mod raw;
mod registered;
mod socket_commands;
mod sockets;
mod times;
mod vectors;
mod zero_copy;
mod zero_copy_receive;

use std::process::ExitCode;
use std::time::Duration;

use uring_testkit::{Context, Facility, Feature, HandleKind, Suite, TestResult};

type Body = fn(&Context) -> TestResult;

fn main() -> ExitCode {
    let mut suite = Suite::new("operations");
    suite.completed_by(common::completed);
    suite.handles_refused_in("lifecycle");
    let tests: &[(&str, Body)] = &[
        ("open_and_close", files::open_and_close),
        ("open_relative", files::open_relative),
        ("open_flags", files::open_flags),
        ("open_refused", files::open_refused),
        ("read_and_write", files::read_and_write),
        ("read_and_write_refused", files::read_and_write_refused),
        ("readv_and_writev", vectors::readv_and_writev),
        ("kinds_of_buffers", vectors::kinds_of_buffers),
        ("read_and_write_flags", vectors::flags),
        (
            "read_fixed_and_write_fixed",
            registered::read_fixed_and_write_fixed,
        ),
        ("registered_buffers", registered::registered_buffers),
        ("fsync", files::fsync),
        ("statx", files::statx),
        ("unlink", files::unlink),
        ("probe", known::probe_tells_what_the_kernel_has),
        ("raw_operations", raw::raw_operations),
        ("timeouts", times::timeouts),
        ("timeout_or_completions", times::timeout_or_completions),
        ("link_timeout", times::link_timeout),
        (
            "cancel_by_token_and_number",
            times::cancel_by_token_and_number,
        ),
        ("direct_descriptors", direct::direct_descriptors),
        ("direct_of_another_ring", direct::direct_of_another_ring),
        ("direct_table_full", direct::direct_table_full),
        ("direct_table_too_large", direct::direct_table_too_large),
        (
            "direct_closed_when_dropped",
            direct::direct_closed_when_dropped,
        ),
        ("direct_slots_reused", direct::direct_slots_reused),
        ("provided_buffers", buffers::provided_buffers),
        ("push_drain", push::drain),
        ("push_always_async", push::always_async),
        ("push_refused_gives_back", push::refused_gives_back),
        ("detach_and_cancel_of_done", push::detach_and_cancel_of_done),
    ];
    for &(name, body) in tests {
        suite
            .test(name, body)
            .on(HandleKind::ALL)
            .timeout(Duration::from_secs(60));
    }
    for (name, body, handles) in [
        (
            "write_to_a_full_disk",
            files::write_to_a_full_disk as Body,
            &HandleKind::ALL[..],
        ),
        (
            "push_personality",
            push::personality,
            &HandleKind::WITH_FD[..],
        ),
    ] {
        suite
            .test(name, body)
            .on(handles.iter().copied())
            .requires([Facility::PRIVILEGES]);
    }
    suite
        .test(
            "readv_fixed_and_writev_fixed",
            registered::readv_fixed_and_writev_fixed,
        )
        .on(HandleKind::ALL)
        .needs([Feature::opcode(uring_sys::IORING_OP_READV_FIXED)])
        .refused_by(registered::readv_fixed_refused);
    #[cfg(uring_coverage)]
    for (name, body) in [
        (
            "account_by_handle",
            account::completions_and_calls_count_by_handle as Body,
        ),
        ("account_of_failures", account::failures_do_not_count),
    ] {
        suite.test(name, body).on(HandleKind::ALL);
    }
    suite
        .test(
            "cancel_by_target_any_and_every",
            times::cancel_by_target_any_and_every,
        )
        .on(HandleKind::ALL)
        .needs([Feature::SQE128])
        .no_refusal(
            "the flags are as old as this feature; before it the operation completes with EINVAL",
        );
    for (name, body, refused, feature) in [
        (
            "buffer_ring",
            buffers::buffer_ring as Body,
            buffers::buffer_ring_refused as Body,
            Feature::BUFFER_RING,
        ),
        (
            "incremental_buffer_ring",
            buffers::incremental_buffer_ring,
            buffers::incremental_buffer_ring_refused,
            Feature::BUFFER_RING_INC,
        ),
        (
            "read_multishot",
            buffers::read_multishot,
            buffers::read_multishot_refused,
            Feature::opcode(uring_sys::IORING_OP_READ_MULTISHOT),
        ),
    ] {
        suite
            .test(name, body)
            .on(HandleKind::ALL)
            .needs([feature])
            .refused_by(refused);
    }
    for (name, body) in [
        (
            "buffer_ring_lifetime",
            buffers::buffer_ring_lifetime as Body,
        ),
        ("buffer_ring_numbers", buffers::buffer_ring_numbers),
    ] {
        suite
            .test(name, body)
            .on(HandleKind::ALL)
            .needs([Feature::BUFFER_RING])
            .no_refusal("buffer_ring has it");
    }
    suite
        .test("multishot_items", times::multishot_items)
        .on(HandleKind::ALL)
        .needs([Feature::TIMEOUT_MULTISHOT])
        .no_refusal("memory::m08_multishot_timeout has it");
    network::add_to(&mut suite);
    suite.run()
}
