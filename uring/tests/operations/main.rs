//! Each operation, owned, scoped and raw, where it succeeds and where it fails.

#[cfg(uring_coverage)]
mod account;
mod buffers;
mod commands;
#[path = "../common/mod.rs"]
mod common;
mod direct;
mod files;
mod known;
mod polls;
mod push;
mod raw;
mod times;
mod wakeups;

use std::process::ExitCode;
use std::time::Duration;

use uring_testkit::fixtures::{LoopDevice, Nvme};
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
        ("poll", polls::poll),
        ("poll_multishot", polls::poll_multishot),
        ("epoll_ctl", polls::epoll_ctl),
        ("timeout_changes", commands::timeout_changes),
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
        (
            "epoll_wait",
            polls::epoll_wait,
            wakeups::epoll_wait_refused,
            Feature::opcode(uring_sys::IORING_OP_EPOLL_WAIT),
        ),
        (
            "wait_id",
            wakeups::wait_id,
            wakeups::wait_id_refused,
            Feature::opcode(uring_sys::IORING_OP_WAITID),
        ),
        (
            "futex",
            wakeups::futex,
            wakeups::futex_refused,
            Feature::opcode(uring_sys::IORING_OP_FUTEX_WAIT),
        ),
        (
            "message",
            wakeups::message,
            wakeups::message_refused,
            Feature::opcode(uring_sys::IORING_OP_MSG_RING),
        ),
        (
            "command",
            commands::command,
            commands::command_refused,
            Feature::opcode(uring_sys::IORING_OP_WAITID),
        ),
        (
            "time_by_value",
            commands::time_by_value,
            commands::time_by_value_refused,
            commands::TIME_BY_VALUE,
        ),
    ] {
        suite
            .test(name, body)
            .on(HandleKind::ALL)
            .needs([feature])
            .refused_by(refused);
    }
    suite
        .test("send_direct", wakeups::send_direct)
        .on(HandleKind::ALL)
        .needs([Feature::SINGLE_ISSUER])
        .no_refusal("as old as this feature; before it the operation completes with EINVAL");
    suite
        .test("nop_injected", commands::nop_injected)
        .on(HandleKind::ALL)
        .needs([Feature::NOP_INJECT_RESULT])
        .no_refusal("before it, kernels take no notice of what is asked of a NOP, or refuse it");
    suite
        .test("discard", commands::discard)
        .on(HandleKind::ALL)
        .requires(LoopDevice::REQUIRES);
    suite
        .test("nvme_command", commands::nvme_command)
        .on(HandleKind::ALL)
        .requires(Nvme::REQUIRES)
        .requires([Facility::NVME_PASSTHROUGH])
        .needs([
            Feature::opcode(uring_sys::IORING_OP_URING_CMD),
            Feature::SQE128,
            Feature::CQE32,
        ])
        .no_refusal("without large entries there is no room for the command");
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
    suite.run()
}
