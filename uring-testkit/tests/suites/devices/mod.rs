//! Devices, sockets and files of the fixtures: they are what they are said to be, and io_uring works on them.

mod blocks;
mod connections;
mod nvme;
mod ring;
mod slow_file;
mod ublk;

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

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

/// Which of all nodes there ever were is at a device's path: another test's device may get a name that was given back.
fn node_at(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|node| node.ino())
}
