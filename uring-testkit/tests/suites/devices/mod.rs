//! Devices, sockets and files of the fixtures: they are what they are said to be, and io_uring works on them.

mod blocks;
mod connections;
mod nvme;
mod ring;
mod slow_file;
mod ublk;

use uring_testkit::Suite;

pub(crate) fn suite() -> Suite {
    let mut suite = Suite::new("devices");
    suite.share_processes();
    nvme::add_to(&mut suite);
    blocks::add_to(&mut suite);
    connections::add_to(&mut suite);
    slow_file::add_to(&mut suite);
    ublk::add_to(&mut suite);
    suite
}
