//! The example `ghost`: what it answers, what can be seen of it, how it ends, and what is left after thousands of connections.

mod answers;
mod client;
mod endings;
mod load;
mod service;
mod unseen;

use uring_testkit::Suite;

pub(crate) fn suite() -> Suite {
    let mut suite = Suite::new("ghost");
    suite.takes_turns();
    answers::tests(&mut suite);
    unseen::tests(&mut suite);
    endings::tests(&mut suite);
    load::tests(&mut suite);
    suite
}
