//! What needs a kernel: one program for all suites, so that machines translate, unpack and start little.

mod allocation;
mod awaited;
mod blocked;
mod builder;
mod common;
mod contiguous;
mod discarded;
mod echo;
mod endings;
mod file_examples;
mod forbidden;
mod fork;
mod ghost;
mod host;
mod lifecycle;
mod memlock;
mod memory;
mod operations;
mod probe;
mod queues;
mod random;
mod sizes;
mod slots;
mod threads;
mod timer_example;
mod vanish;

use std::process::ExitCode;

fn main() -> ExitCode {
    uring_testkit::run_suites([
        allocation::suite(),
        awaited::suite(),
        blocked::suite(),
        builder::suite(),
        contiguous::suite(),
        discarded::suite(),
        echo::suite(),
        endings::suite(),
        file_examples::suite(),
        forbidden::suite(),
        fork::suite(),
        ghost::suite(),
        host::suite(),
        lifecycle::suite(),
        memlock::suite(),
        memory::suite(),
        operations::suite(),
        probe::suite(),
        queues::suite(),
        random::suite(),
        sizes::suite(),
        slots::suite(),
        threads::suite(),
        timer_example::suite(),
        vanish::suite(),
    ])
}
