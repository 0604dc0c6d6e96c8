//! The block device whose driver is a thread.

use std::{fs::File, os::unix::fs::FileExt as _};

use uring_testkit::{Context, Suite, TestResult, fixtures::UblkDisk, raw::RawRing};

use crate::devices::node_at;
use crate::devices::ring::{Page, entry, open_direct, read, write};

pub(crate) fn add_to(suite: &mut Suite) {
    suite
        .test("ublk_keeps_what_is_written", keeps)
        .requires(UblkDisk::REQUIRES);
    suite
        .test("ublk_serves_many_at_a_time", serves_many)
        .requires(UblkDisk::REQUIRES);
}

fn keeps(_: &Context) -> TestResult {
    let (one, other) = (UblkDisk::new(1 << 20)?, UblkDisk::new(1 << 19)?);
    assert_ne!(one.path(), other.path());
    let mut ring = RawRing::new(4, 0)?;
    let device = open_direct(one.path())?;
    assert_eq!(write(&mut ring, &device, 8192, &Page::new(b'u'))?, 4096);
    device.sync_all()?;
    let mut page = Page::new(1);
    assert_eq!(read(&mut ring, &device, 8192, &mut page)?, 4096);
    assert!(page.iter().all(|byte| *byte == b'u'));
    assert_eq!(read(&mut ring, &device, 0, &mut page)?, 4096);
    assert!(page.iter().all(|byte| *byte == 0));
    // Through the page cache, in the largest requests, and no further than its end.
    let mut whole = vec![1; 1 << 20];
    let cached = File::open(one.path())?;
    cached.read_exact_at(&mut whole, 0)?;
    assert_eq!(whole.iter().filter(|byte| **byte == b'u').count(), 4096);
    assert_eq!(read(&mut ring, &device, 1 << 20, &mut page)?, 0);
    drop((device, cached));
    let path = one.path().to_owned();
    let node = node_at(&path);
    assert!(node.is_some());
    drop(one);
    assert_ne!(node_at(&path), node);
    assert!(other.path().exists());
    Ok(())
}

fn serves_many(_: &Context) -> TestResult {
    let disk = UblkDisk::new(1 << 20)?;
    let device = open_direct(disk.path())?;
    let mut ring = RawRing::new(64, 0)?;
    let pages: Vec<_> = (0..64).map(Page::new).collect();
    for (index, page) in (0_u64..).zip(&pages) {
        // SAFETY: the pages are there until all completions are.
        unsafe {
            ring.push(entry(
                uring_sys::IORING_OP_WRITE,
                &device,
                index * 4096,
                page,
            ))
        };
    }
    ring.enter(64, 0)?;
    for _ in &pages {
        assert_eq!(ring.wait()?.res, 4096);
    }
    let mut page = Page::new(0);
    for (index, written) in (0_u64..).zip(&pages) {
        assert_eq!(read(&mut ring, &device, index * 4096, &mut page)?, 4096);
        assert!(*page == **written, "page {index} reads as {}", page[0]);
    }
    Ok(())
}
