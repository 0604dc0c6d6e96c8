//! What limits and tunes a ring: credentials, worker threads, polling of devices.

mod eventfds;
mod filtered;
mod napi;
mod personalities;
mod restricted;
mod workers;

use uring_testkit::{Facility, Feature, HandleKind, Suite};

use crate::operations::Body;

/// As old as restrictions and filters of threads.
const THREADS: Feature = Feature::register(uring_sys::IORING_REGISTER_BPF_FILTER);

pub(crate) fn add_to(suite: &mut Suite) {
    suite
        .test("guard_personalities", personalities::personalities)
        .on(HandleKind::ALL)
        .requires([Facility::PRIVILEGES]);
    suite
        .test("guard_eventfds", eventfds::eventfds)
        .on(HandleKind::ALL);
    for (name, body) in [
        (
            "guard_restricted_rings",
            restricted::restricted_rings as Body,
        ),
        ("guard_restricted_flags", restricted::restricted_flags),
    ] {
        suite
            .test(name, body)
            .on([HandleKind::Registered, HandleKind::Closed]);
    }
    suite.test("guard_restricted_best", restricted::restricted_best);
    suite
        .test(
            "guard_restricted_to_fixed_files",
            restricted::restricted_to_fixed_files,
        )
        .own_process();
    suite
        .test("guard_restricted_thread", restricted::restricted_thread)
        .on(HandleKind::ALL)
        .needs([THREADS])
        .requires([Facility::PRIVILEGES])
        .refused_by(restricted::restricted_thread_refused)
        .own_process();
    suite
        .test(
            "guard_restricted_without_privileges",
            restricted::restricted_without_privileges,
        )
        .needs([THREADS])
        .requires([Facility::PRIVILEGES])
        .no_refusal("guard_restricted_thread has it")
        .own_process();
    suite
        .test("guard_filtered_thread", filtered::filtered_thread)
        .on(HandleKind::ALL)
        .needs([THREADS])
        .requires([Facility::PRIVILEGES])
        .refused_by(filtered::filtered_thread_refused)
        .own_process();
    let gated: [(&str, u32, Body, Body); 4] = [
        (
            "filtered_rings",
            uring_sys::IORING_REGISTER_BPF_FILTER,
            filtered::filtered_rings,
            filtered::filtered_rings_refused,
        ),
        (
            "workers_pinned",
            uring_sys::IORING_REGISTER_IOWQ_AFF,
            workers::pinned,
            workers::pinned_refused,
        ),
        (
            "workers_limited",
            uring_sys::IORING_REGISTER_IOWQ_MAX_WORKERS,
            workers::limited,
            workers::limited_refused,
        ),
        (
            "napi",
            uring_sys::IORING_REGISTER_NAPI,
            napi::napi,
            napi::napi_refused,
        ),
    ];
    for (name, opcode, body, refused) in gated {
        suite
            .test(format!("guard_{name}"), body)
            .on(HandleKind::ALL)
            .needs([Feature::register(opcode)])
            .refused_by(refused);
    }
}
