//! The raw NVMe namespace.

use std::{fs::File, io, os::fd::AsRawFd as _};

use uring_sys::{IORING_SETUP_CQE32, IORING_SETUP_IOPOLL, IORING_SETUP_SQE128};
use uring_testkit::{
    Context, Facility, Feature, Suite, TestResult, fixtures::Nvme, process::fork_and, raw::RawRing,
};

use crate::devices::ring::{Page, read, write};

pub(crate) fn add_to(suite: &mut Suite) {
    suite
        .test("nvme_reads_and_writes", reads_and_writes)
        .requires(Nvme::REQUIRES);
    suite.test("nvme_polls", polls).requires(Nvme::REQUIRES);
    suite
        .test("nvme_takes_commands", takes_commands)
        .requires(Nvme::REQUIRES)
        .requires([Facility::NVME_PASSTHROUGH])
        .needs([
            Feature::opcode(uring_sys::IORING_OP_URING_CMD),
            Feature::SQE128,
            Feature::CQE32,
        ])
        .no_refusal("without large entries there is no room for the command");
    suite
        .test("nvme_is_for_one_test_at_a_time", is_for_one_at_a_time)
        .requires(Nvme::REQUIRES);
}

fn reads_and_writes(_: &Context) -> TestResult {
    let device = Nvme::open()?;
    assert!(device.bytes()? >= 1 << 20);
    assert_eq!(4096 % device.block_bytes()?, 0);
    through(&mut RawRing::new(4, 0)?, &device)
}

/// Completions of such a ring are there only if somebody polls for them, which the driver must allow.
fn polls(_: &Context) -> TestResult {
    let device = Nvme::open()?;
    assert!(
        device.has_poll_queues()?,
        "the driver has nvme.poll_queues=0"
    );
    through(&mut RawRing::new(4, IORING_SETUP_IOPOLL)?, &device)
}

fn through(ring: &mut RawRing, device: &Nvme) -> TestResult {
    for (offset, byte) in [(0, b'a'), (8192, b'b')] {
        assert_eq!(write(ring, device.file(), offset, &Page::new(byte))?, 4096);
    }
    let mut page = Page::new(0);
    for (offset, byte) in [(0, b'a'), (8192, b'b')] {
        assert_eq!(read(ring, device.file(), offset, &mut page)?, 4096);
        assert!(page.iter().all(|seen| *seen == byte));
    }
    Ok(())
}

fn takes_commands(_: &Context) -> TestResult {
    let device = Nvme::open()?;
    let generic = device.open_generic()?;
    let mut ring = RawRing::new(4, IORING_SETUP_SQE128 | IORING_SETUP_CQE32)?;
    let block = 16384 / u64::try_from(device.block_bytes()?)?;
    let mut call = |mut command: uring_testkit::fixtures::NvmeCommand| -> TestResult {
        command.entry.user_data = 9;
        // SAFETY: each page outlives the call, which waits for the completion.
        unsafe { ring.push_command(command.entry, &command.command) };
        ring.enter(1, 1)?;
        let completed = ring.wait()?;
        assert_eq!((completed.user_data, completed.res), (9, 0));
        Ok(())
    };
    let written = Page::new(b'c');
    call(device.write_command(&generic, block, &written)?)?;
    let mut page = Page::new(0);
    call(device.read_command(&generic, block, &mut page)?)?;
    assert!(
        *page == *written,
        "it reads as {}, not {}",
        page[0],
        written[0]
    );
    // What went past the block device is on it.
    let mut page = Page::new(0);
    let mut ordinary = RawRing::new(4, 0)?;
    read(&mut ordinary, device.file(), 16384, &mut page)?;
    assert!(
        *page == *written,
        "it reads as {}, not {}",
        page[0],
        written[0]
    );
    let odd = device.read_command(&generic, 0, &mut page[..100]);
    assert_eq!(odd.unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
    Ok(())
}

fn is_for_one_at_a_time(_: &Context) -> TestResult {
    let device = Nvme::open()?;
    let path = device.path().to_owned();
    let is_locked = || {
        let child = fork_and(|| {
            let file = File::open(&path)?;
            // SAFETY: a call with two numbers.
            match unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_SH | libc::LOCK_NB) } {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error().into()),
            }
        })?;
        Ok::<_, io::Error>(
            child
                .failure
                .is_some_and(|failure| failure.contains("unavailable")),
        )
    };
    assert!(is_locked()?);
    drop(device);
    // Now somebody else may have it, who gives it back.
    drop(Nvme::open()?);
    Ok(())
}
