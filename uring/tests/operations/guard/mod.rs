//! What limits and tunes a ring: credentials, worker threads, polling of devices.

mod napi;
mod personalities;
mod workers;

use uring_testkit::{Facility, Feature, HandleKind, Suite};

use crate::Body;

pub(crate) fn add_to(suite: &mut Suite) {
    suite
        .test("guard_personalities", personalities::personalities)
        .on(HandleKind::ALL)
        .requires([Facility::PRIVILEGES]);
    let gated: [(&str, u32, Body, Body); 3] = [
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
