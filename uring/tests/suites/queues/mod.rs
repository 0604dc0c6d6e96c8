//! The queues on a real kernel: full ones, overflowing ones, interrupted ones.

mod drains;
mod flow;
mod limits;
mod refused;
mod resize;
mod signals;
mod sizes;
mod terms;
mod thread;
mod waiting;

use uring_testkit::Suite;

use crate::common;

pub(crate) fn suite() -> Suite {
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
    suite
}
