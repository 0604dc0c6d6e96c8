//! io_uring forbidden, limited or filtered: clear errors, no hang, nothing freed too early.

use crate::common;
mod filter;
mod limit;
mod sysctl;

use uring_testkit::Suite;

pub(crate) fn suite() -> Suite {
    let mut suite = Suite::new("blocked");
    suite.completed_by(common::completed);
    suite.handles_refused_in("lifecycle");
    filter::add_to(&mut suite);
    limit::add_to(&mut suite);
    sysctl::add_to(&mut suite);
    suite
}
