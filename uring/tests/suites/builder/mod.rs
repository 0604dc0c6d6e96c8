//! What is asked of a ring, what the ring then is, and what is refused.

mod best;
use crate::common;
mod contradictions;
mod options;
mod thread;

use uring_testkit::{Feature, Suite};

pub(crate) fn suite() -> Suite {
    let mut suite = Suite::new("builder");
    suite.share_processes();
    suite.completed_by(common::completed);
    suite.handles_refused_in("lifecycle");
    best::add_to(&mut suite);
    contradictions::add_to(&mut suite);
    options::add_to(&mut suite);
    thread::add_to(&mut suite);
    // Asked once, before the tests are forked, and not in each.
    for feature in [
        Feature::NO_SQARRAY,
        Feature::SUBMIT_ALL,
        Feature::SINGLE_ISSUER,
        Feature::DEFER_TASKRUN,
        Feature::REGISTERED_FD_ONLY,
        Feature::NOP_INJECT_RESULT,
    ] {
        let _known_from_now_on = feature.observe();
    }
    suite
}
