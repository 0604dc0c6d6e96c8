//! Each operation, owned, scoped and raw, where it succeeds and where it fails.

#[cfg(uring_coverage)]
mod account;
mod attributes;
mod buffer_rings;
mod buffer_tables;
mod buffers;
mod cancels;
mod chains;
mod commands;
use crate::common;
mod direct;
mod entries;
mod events;
mod files;
mod guard;
mod install;
mod interface_queues;
mod known;
mod messages;
mod multishot;
mod names;
mod neighbours;
mod network;
mod pipes;
mod polled;
mod polls;
mod push;
mod raw;
mod raw_forms;
mod raw_groups;
mod raw_sockets;
mod registered;
mod send_queues;
mod socket_commands;
mod sockets;
mod space;
mod tables;
mod times;
mod ublk;
mod vectors;
mod wakeups;
mod zero_copy;
mod zero_copy_receive;

use uring_testkit::fixtures::{LoopDevice, NullBlock, Nvme};
use uring_testkit::{Context, Facility, Feature, HandleKind, Suite, TestResult};

type Body = fn(&Context) -> TestResult;

/// A test of what a kernel may not have, and what shows there instead.
type Gated = (&'static str, Feature, Body, Body);

fn add_gated(suite: &mut Suite, tests: &[Gated]) {
    for &(name, feature, body, refused) in tests {
        suite
            .test(name, body)
            .on(HandleKind::ALL)
            .needs([feature])
            .refused_by(refused);
    }
}

fn add_without_refusal(
    suite: &mut Suite,
    feature: Feature,
    reason: &'static str,
    tests: &[(&'static str, Body)],
) {
    for &(name, body) in tests {
        suite
            .test(name, body)
            .on(HandleKind::ALL)
            .needs([feature])
            .no_refusal(reason);
    }
}

pub(crate) fn suite() -> Suite {
    let mut suite = Suite::new("operations");
    suite.share_processes();
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
        ("fallocate_and_sync_file_range", space::fallocate),
        ("fadvise_and_madvise", space::fadvise_and_madvise),
        ("splice_and_tee", pipes::splice_and_tee),
        ("openat2", names::openat2),
        ("openat2_direct", names::openat2_direct),
        ("files_update", install::files_update),
        ("statx", files::statx),
        ("unlink", files::unlink),
        ("probe", known::probe_tells_what_the_kernel_has),
        ("raw_operations", raw::raw_operations),
        ("raw_chains", raw_forms::chains),
        ("raw_quiet_chains", raw_forms::quiet_chains),
        ("timeouts", times::timeouts),
        ("timeout_or_completions", times::timeout_or_completions),
        ("link_timeout", chains::link_timeout),
        ("chain_options", chains::chain_options),
        ("drain_after_cancel", chains::drain_after_cancel),
        ("skip_success", chains::skip_success),
        ("skip_success_is_drained", chains::skip_success_is_drained),
        (
            "cancel_by_token_and_number",
            cancels::cancel_by_token_and_number,
        ),
        ("cancel_by_opcode", cancels::cancel_by_opcode),
        ("direct_descriptors", direct::direct_descriptors),
        ("direct_of_another_ring", direct::direct_of_another_ring),
        ("direct_table_full", direct::direct_table_full),
        ("direct_table_too_large", direct::direct_table_too_large),
        (
            "direct_closed_when_dropped",
            direct::direct_closed_when_dropped,
        ),
        ("direct_slots_reused", direct::direct_slots_reused),
        ("file_table", tables::file_table),
        ("file_table_closes", tables::closed_in_batches),
        ("provided_buffers", buffers::provided_buffers),
        ("raw_provided_buffers", raw_groups::provided_buffers),
        ("poll", polls::poll),
        ("poll_multishot", polls::poll_multishot),
        ("epoll_ctl", polls::epoll_ctl),
        ("timeout_changes", commands::timeout_changes),
        ("raw_entry", entries::raw_entry),
        ("batches", entries::batches),
        ("events_in_order", events::events_in_order),
        ("events_have_their_tags", events::events_have_their_tags),
        ("events_in_scopes", events::events_in_scopes),
        ("wait_all", events::wait_all),
        ("push_drain", push::drain),
        ("push_always_async", push::always_async),
        ("push_refused_gives_back", push::refused_gives_back),
        ("detach_and_cancel_of_done", push::detach_and_cancel_of_done),
    ];
    for &(name, body) in tests {
        suite.test(name, body).on(HandleKind::ALL);
    }
    suite
        .test("torn_skip_success", chains::torn_skip_success)
        .own_process();
    suite
        .test("write_to_a_full_disk", files::write_to_a_full_disk)
        .on(HandleKind::ALL)
        .requires([Facility::PRIVILEGES]);
    add_gated(
        &mut suite,
        &[
            (
                "readv_fixed_and_writev_fixed",
                registered::READV_FIXED,
                registered::readv_fixed_and_writev_fixed,
                registered::readv_fixed_refused,
            ),
            (
                "protected",
                vectors::RW_ATTR,
                vectors::protected,
                vectors::protected_unknown,
            ),
            (
                "mkdir_symlink_and_link",
                names::LINKAT,
                names::mkdir_symlink_and_link,
                names::mkdir_symlink_and_link_refused,
            ),
            (
                "ftruncate",
                space::FTRUNCATE,
                space::ftruncate,
                space::ftruncate_refused,
            ),
            ("pipes", pipes::PIPE, pipes::pipes, pipes::pipes_refused),
            (
                "install_fd",
                install::INSTALL,
                install::install,
                install::install_refused,
            ),
        ],
    );
    suite
        .test("extended_attributes", attributes::extended_attributes)
        .on(HandleKind::ALL)
        .needs([attributes::XATTR])
        .requires([Facility::PRIVILEGES])
        .refused_by(attributes::extended_attributes_refused);
    for (name, body) in [
        ("polled_reads_and_writes", polled::polled as Body),
        (
            "reads_and_writes_past_the_page_cache",
            polled::past_the_page_cache,
        ),
    ] {
        suite
            .test(name, body)
            .on(HandleKind::ALL)
            .requires(Nvme::REQUIRES);
    }
    suite
        .test("files_update_anywhere", install::files_update_anywhere)
        .on(HandleKind::ALL)
        .needs([install::ALLOCATED])
        .no_refusal("without the feature no ring has such a table");
    suite
        .test("protected_on_a_device", polled::protected)
        .on(HandleKind::ALL)
        .needs([vectors::RW_ATTR])
        .requires([Facility::PRIVILEGES, Facility::NVME_PROTECTED])
        .no_refusal("the test protected has it");
    suite
        .test("rename", names::rename)
        .on(HandleKind::ALL)
        .needs([Feature::opcode(uring_sys::IORING_OP_RENAMEAT)])
        .no_refusal("every lane has it");
    #[cfg(uring_coverage)]
    for (name, body) in [
        (
            "account_by_handle",
            account::completions_and_calls_count_by_handle as Body,
        ),
        ("account_of_failures", account::failures_do_not_count),
    ] {
        suite.test(name, body).on(HandleKind::ALL).own_process();
    }
    suite
        .test(
            "cancel_by_target_any_and_every",
            cancels::cancel_by_target_any_and_every,
        )
        .on(HandleKind::ALL)
        .needs([Feature::SQE128])
        .no_refusal(
            "the flags are as old as this feature; before it the operation completes with EINVAL",
        );
    add_gated(
        &mut suite,
        &[
            (
                "buffer_ring",
                Feature::BUFFER_RING,
                buffers::buffer_ring,
                buffers::buffer_ring_refused,
            ),
            (
                "incremental_buffer_ring",
                Feature::BUFFER_RING_INC,
                buffers::incremental_buffer_ring,
                buffers::incremental_buffer_ring_refused,
            ),
            (
                "read_multishot",
                Feature::opcode(uring_sys::IORING_OP_READ_MULTISHOT),
                buffers::read_multishot,
                buffers::read_multishot_refused,
            ),
            (
                "epoll_wait",
                Feature::opcode(uring_sys::IORING_OP_EPOLL_WAIT),
                polls::epoll_wait,
                wakeups::epoll_wait_refused,
            ),
            (
                "wait_id",
                Feature::opcode(uring_sys::IORING_OP_WAITID),
                wakeups::wait_id,
                wakeups::wait_id_refused,
            ),
            (
                "futex",
                Feature::opcode(uring_sys::IORING_OP_FUTEX_WAIT),
                wakeups::futex,
                wakeups::futex_refused,
            ),
            (
                "message",
                Feature::opcode(uring_sys::IORING_OP_MSG_RING),
                wakeups::message,
                wakeups::message_refused,
            ),
            (
                "command",
                Feature::opcode(uring_sys::IORING_OP_WAITID),
                commands::command,
                commands::command_refused,
            ),
            (
                "time_by_value",
                commands::TIME_BY_VALUE,
                commands::time_by_value,
                commands::time_by_value_refused,
            ),
        ],
    );
    suite
        .test("send_direct", wakeups::send_direct)
        .on(HandleKind::ALL)
        .needs([Feature::SINGLE_ISSUER])
        .no_refusal("as old as this feature; before it the operation completes with EINVAL");
    suite
        .test("two_in_a_thread", neighbours::two_in_a_thread)
        .on(HandleKind::ALL)
        .needs([Feature::SINGLE_ISSUER])
        .no_refusal(
            "messages with files are as old as this feature; each part has its own refusal",
        );
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
        .test("reset_zones", commands::reset_zones)
        .on(HandleKind::ALL)
        .requires(NullBlock::REQUIRES);
    suite
        .test("ublk_batches", ublk::batches)
        .on(HandleKind::ALL)
        .requires(ublk::REQUIRES)
        .needs([Feature::SQ_REWIND])
        .no_refusal("as old as this feature; command has what other kernels say to such commands");
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
    add_without_refusal(
        &mut suite,
        Feature::BUFFER_RING,
        "buffer_ring has it",
        &[
            ("buffer_ring_lifetime", buffers::buffer_ring_lifetime),
            ("buffer_ring_numbers", buffers::buffer_ring_numbers),
            ("buffer_ring_by_hand", buffer_rings::buffer_ring_by_hand),
        ],
    );
    add_without_refusal(
        &mut suite,
        Feature::ring(uring_sys::IORING_FEAT_RSRC_TAGS),
        "every lane has it",
        &[
            ("file_table_tags", tables::file_tags),
            ("buffer_table", buffer_tables::buffer_table),
        ],
    );
    suite
        .test(
            "buffer_ring_in_the_kernel",
            buffer_rings::kernel_buffer_ring,
        )
        .on(HandleKind::WITH_FD)
        .needs([Feature::BUFFER_RING_MMAP])
        .refused_by(buffer_rings::kernel_buffer_ring_refused);
    suite
        .test("buffer_table_clones", buffer_tables::clone_buffers)
        .on(HandleKind::ALL)
        .needs([buffer_tables::CLONE])
        .refused_by(buffer_tables::clone_buffers_refused);
    suite
        .test("cancel_sync", cancels::cancel_sync)
        .on(HandleKind::ALL)
        .needs([Feature::register(uring_sys::IORING_REGISTER_SYNC_CANCEL)])
        .refused_by(cancels::cancel_sync_refused);
    suite
        .test("raw_entry_128", entries::raw_entry_128)
        .on(HandleKind::ALL)
        .needs([Feature::SQE128])
        .no_refusal("builder has rings with large entries, and raw_entry the refusal");
    suite
        .test("events_of_multishot", events::events_of_multishot)
        .on(HandleKind::ALL)
        .needs([Feature::TIMEOUT_MULTISHOT])
        .no_refusal("memory::m08_multishot_timeout has it");
    suite
        .test("multishot_items", times::multishot_items)
        .on(HandleKind::ALL)
        .needs([Feature::TIMEOUT_MULTISHOT])
        .no_refusal("memory::m08_multishot_timeout has it");
    network::add_to(&mut suite);
    guard::add_to(&mut suite);
    suite
}
