//! The file that takes its time.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::{ffi::OsStrExt as _, fs::FileExt as _},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use uring_testkit::{Context, Suite, TestResult, files, fixtures::SlowFile, process, raw::RawRing};

use crate::devices::ring::{entry, read, write};

pub(crate) fn add_to(suite: &mut Suite) {
    for (name, body) in [
        (
            "slow_file_is_a_file",
            is_a_file as fn(&Context) -> TestResult,
        ),
        ("slow_file_takes_its_time", takes_its_time),
        ("slow_file_fails", fails),
        ("slow_file_waits_until_it_is_released", waits),
        ("slow_file_fails_what_is_left", fails_what_is_left),
        ("slow_file_ends_with_its_process", ends_with_its_process),
    ] {
        suite
            .test(name, body)
            .requires(SlowFile::REQUIRES)
            .timeout(Duration::from_secs(5));
    }
}

fn is_a_file(_: &Context) -> TestResult {
    let slow = SlowFile::new(&[b'x'; 10_000])?;
    let mut ring = RawRing::new(4, 0)?;
    let file = slow.open()?;
    assert_eq!(file.metadata()?.len(), 10_000);
    let mut buffer = [0; 6000];
    assert_eq!(read(&mut ring, &file, 0, &mut buffer)?, 6000);
    assert_eq!(buffer, [b'x'; 6000]);
    assert_eq!(read(&mut ring, &file, 6000, &mut buffer)?, 4000);
    assert_eq!(read(&mut ring, &file, 10_000, &mut buffer)?, 0);
    assert_eq!(file.read_at(&mut buffer, 6000)?, 4000);
    assert_eq!(write(&mut ring, &file, 9998, b"ab")?, 2);
    for offset in [9999, 10_000] {
        let beyond = write(&mut ring, &file, offset, b"cd").unwrap_err();
        assert_eq!(beyond.raw_os_error(), Some(libc::EFBIG));
    }
    assert_eq!(slow.contents()[9997..], *b"xab");
    file.sync_all()?;
    Ok(())
}

fn takes_its_time(_: &Context) -> TestResult {
    const DELAY: Duration = Duration::from_millis(200);
    let slow = SlowFile::new(b"contents")?;
    let file = slow.open()?;
    slow.delay(DELAY);
    let mut ring = RawRing::new(4, 0)?;
    let mut buffer = [0; 8];
    let start = Instant::now();
    assert_eq!(read(&mut ring, &file, 0, &mut buffer)?, 8);
    assert!(start.elapsed() >= DELAY, "{:?}", start.elapsed());
    assert_eq!(write(&mut ring, &file, 0, b"CONTENTS")?, 8);
    assert!(start.elapsed() >= 2 * DELAY, "{:?}", start.elapsed());
    assert_eq!(slow.contents(), b"CONTENTS");
    Ok(())
}

fn fails(_: &Context) -> TestResult {
    let slow = SlowFile::new(b"contents")?;
    let file = slow.open()?;
    let mut ring = RawRing::new(4, 0)?;
    let mut buffer = [0; 8];
    for errno in [libc::EIO, libc::ENOSPC] {
        slow.fail_with(Some(errno));
        let failed = read(&mut ring, &file, 0, &mut buffer).unwrap_err();
        assert_eq!(failed.raw_os_error(), Some(errno));
        let failed = write(&mut ring, &file, 0, b"x").unwrap_err();
        assert_eq!(failed.raw_os_error(), Some(errno));
    }
    slow.fail_with(None);
    assert_eq!(read(&mut ring, &file, 0, &mut buffer)?, 8);
    assert_eq!(&buffer, b"contents");
    Ok(())
}

fn waits(_: &Context) -> TestResult {
    let slow = SlowFile::new(b"contents")?;
    let file = slow.open()?;
    slow.hold();
    let mut ring = RawRing::new(4, 0)?;
    let buffers = [[0; 8]; 2];
    for buffer in &buffers {
        // SAFETY: the buffers are there until both completions are.
        unsafe { ring.push(entry(uring_sys::IORING_OP_READ, &file, 0, buffer)) };
    }
    ring.enter(2, 0)?;
    slow.wait_until_waiting(2);
    assert_eq!(ring.take(), None, "a read was answered");
    // What is not held is answered meanwhile.
    assert_eq!(slow.path().metadata()?.len(), 8);
    assert_eq!(slow.waiting(), 2);
    slow.release();
    for _ in 0..2 {
        assert_eq!(ring.wait()?.res, 8);
    }
    assert_eq!(slow.waiting(), 0);
    Ok(())
}

fn fails_what_is_left(_: &Context) -> TestResult {
    let slow = SlowFile::new(b"contents")?;
    let file = slow.open()?;
    slow.hold();
    let reader = thread::spawn(move || file.read_at(&mut [0; 8], 0));
    slow.wait_until_waiting(1);
    drop(slow);
    let failed = reader.join().map_err(|_| "the reader panicked")?;
    assert_eq!(failed.unwrap_err().raw_os_error(), Some(libc::ECONNABORTED));
    Ok(())
}

/// A process whose read is not answered can be ended although nothing interrupts the read.
fn ends_with_its_process(_: &Context) -> TestResult {
    let (reader, writer) = files::pipe()?;
    let mut writer = File::from(writer);
    let ended = process::fork_and(|| {
        let slow = SlowFile::new(b"contents")?;
        let file = slow.open()?;
        slow.hold();
        let reader = thread::spawn(move || file.read_at(&mut [0; 8], 0));
        slow.wait_until_waiting(1);
        writer.write_all(slow.path().as_os_str().as_bytes())?;
        std::mem::forget((slow, reader));
        Ok(())
    })?;
    drop(writer);
    // The mount was the child's alone, the directory is not.
    let path = PathBuf::from(io::read_to_string(File::from(reader))?);
    fs::remove_dir_all(path.parent().ok_or("a path in a directory")?)?;
    ended.check()
}
