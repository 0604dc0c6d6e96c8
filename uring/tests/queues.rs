//! The queues on a real kernel: full ones, overflowing ones, interrupted ones.

mod common;
#[path = "queues/drains.rs"]
mod drains;
#[path = "queues/flow.rs"]
mod flow;
#[path = "queues/limits.rs"]
mod limits;
#[path = "queues/refused.rs"]
mod refused;
#[path = "queues/resize.rs"]
mod resize;
#[path = "queues/signals.rs"]
mod signals;
#[path = "queues/sizes.rs"]
mod sizes;
#[path = "queues/terms.rs"]
mod terms;
#[path = "queues/thread.rs"]
mod thread;
#[path = "queues/waiting.rs"]
mod waiting;

use std::process::ExitCode;

use uring_testkit::Suite;

fn main() -> ExitCode {
    let mut suite = Suite::new("queues");
    suite.share_processes();
    suite.completed_by(common::completed);
    suite.handles_refused_in("lifecycle");
    drains::add_to(&mut suite);
    flow::add_to(&mut suite);
    limits::add_to(&mut suite);
    refused::add_to(&mut suite);
    resize::add_to(&mut suite);
    signals::add_to(&mut suite);
    sizes::add_to(&mut suite);
    terms::add_to(&mut suite);
    thread::add_to(&mut suite);
    waiting::add_to(&mut suite);
    suite.run()
}
