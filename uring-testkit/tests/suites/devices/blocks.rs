//! Loop and null block devices, and the disk that is full.

use std::{
    fs::{self, File},
    io::{ErrorKind, Read as _, Write as _},
    os::unix::fs::FileExt as _,
    time::{Duration, Instant},
};

use uring_testkit::{
    Context, Suite, TestResult,
    fixtures::{FullDisk, LoopDevice, NullBlock, NullBlockOptions},
    raw::RawRing,
};

use crate::devices::node_at;
use crate::devices::ring::{Page, open_direct, read, write};

pub(crate) fn add_to(suite: &mut Suite) {
    suite
        .test("loop_is_its_file", loop_is_its_file)
        .requires(LoopDevice::REQUIRES);
    suite
        .test("null_block_keeps_what_is_written", null_block_keeps)
        .requires(NullBlock::REQUIRES);
    suite
        .test("null_block_is_slow", null_block_is_slow)
        .requires(NullBlock::REQUIRES);
    suite
        .test("null_block_fails", null_block_fails)
        .requires(NullBlock::REQUIRES);
    suite
        .test("full_disk_takes_nothing", full_disk_takes_nothing)
        .requires(FullDisk::REQUIRES);
}

fn loop_is_its_file(_: &Context) -> TestResult {
    let (one, other) = (LoopDevice::new(1 << 20)?, LoopDevice::new(1 << 19)?);
    assert_ne!(one.path(), other.path());
    assert_eq!(fs::read(other.path())?.len(), 1 << 19);
    let mut ring = RawRing::new(4, 0)?;
    let device = open_direct(one.path())?;
    assert_eq!(write(&mut ring, &device, 8192, &Page::new(b'x'))?, 4096);
    let backing = fs::read(one.backing_file())?;
    assert!(backing[..8192].iter().all(|byte| *byte == 0));
    assert!(backing[8192..12288].iter().all(|byte| *byte == b'x'));
    let mut page = Page::new(0);
    assert_eq!(read(&mut ring, &device, 8192, &mut page)?, 4096);
    assert!(page.iter().all(|byte| *byte == b'x'));
    drop(device);
    let path = one.path().to_owned();
    drop(one);
    // The device is there, and nothing is on it.
    let mut byte = [0];
    assert_eq!(File::open(path)?.read(&mut byte).unwrap_or(0), 0);
    Ok(())
}

fn null_block_keeps(_: &Context) -> TestResult {
    let device = NullBlock::new(NullBlockOptions::default())?;
    let file = open_direct(device.path())?;
    let mut ring = RawRing::new(4, 0)?;
    assert_eq!(write(&mut ring, &file, 4096, &Page::new(b'n'))?, 4096);
    let mut page = Page::new(1);
    assert_eq!(read(&mut ring, &file, 4096, &mut page)?, 4096);
    assert!(page.iter().all(|byte| *byte == b'n'));
    assert_eq!(read(&mut ring, &file, 0, &mut page)?, 4096);
    assert!(page.iter().all(|byte| *byte == 0));
    drop(file);
    let path = device.path().to_owned();
    let node = node_at(&path);
    assert!(node.is_some());
    drop(device);
    assert_ne!(node_at(&path), node);
    Ok(())
}

fn null_block_is_slow(_: &Context) -> TestResult {
    const DELAY: Duration = Duration::from_millis(300);
    let device = NullBlock::new(NullBlockOptions {
        delay: DELAY,
        ..NullBlockOptions::default()
    })?;
    let file = open_direct(device.path())?;
    let mut ring = RawRing::new(4, 0)?;
    let mut page = Page::new(1);
    let start = Instant::now();
    assert_eq!(read(&mut ring, &file, 0, &mut page)?, 4096);
    assert!(start.elapsed() >= DELAY, "{:?}", start.elapsed());
    Ok(())
}

fn null_block_fails(_: &Context) -> TestResult {
    let device = NullBlock::new(NullBlockOptions::default())?;
    let file = open_direct(device.path())?;
    let mut ring = RawRing::new(4, 0)?;
    let mut page = Page::new(1);
    device.break_sectors(8..16)?;
    for _ in 0..2 {
        let broken = read(&mut ring, &file, 4096, &mut page).unwrap_err();
        assert_eq!(broken.raw_os_error(), Some(libc::EIO));
        let broken = write(&mut ring, &file, 4096, &page).unwrap_err();
        assert_eq!(broken.raw_os_error(), Some(libc::EIO));
    }
    assert_eq!(read(&mut ring, &file, 0, &mut page)?, 4096);
    assert_eq!(read(&mut ring, &file, 8192, &mut page)?, 4096);
    device.mend_sectors(8..16)?;
    assert_eq!(read(&mut ring, &file, 4096, &mut page)?, 4096);
    let empty = device.break_sectors(5..5).unwrap_err();
    assert_eq!(empty.kind(), ErrorKind::InvalidInput, "{empty}");
    Ok(())
}

fn full_disk_takes_nothing(_: &Context) -> TestResult {
    let disk = FullDisk::new()?;
    let mut file = File::create(disk.path().join("file"))?;
    let full = file.write(b"x").unwrap_err();
    assert_eq!(full.raw_os_error(), Some(libc::ENOSPC));
    let mut ring = RawRing::new(4, 0)?;
    let full = write(&mut ring, &file, 0, b"x").unwrap_err();
    assert_eq!(full.raw_os_error(), Some(libc::ENOSPC));
    fs::remove_file(disk.path().join("filler"))?;
    assert_eq!(file.write_at(b"x", 0)?, 1);
    Ok(())
}
