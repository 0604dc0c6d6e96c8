//! Operations that own nothing, told by a number.

use std::fs::{self, File};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::ptr::NonNull;
use std::time::Duration;

use uring::op::{
    Cancel, Close, Fsync, Nop, OpenAt, RawFileStatus, RawOperation, RawTimespec, Read, Statx,
    Timeout, Timespec, UnlinkAt, Write,
};
use uring::{Any, Completion, RawBuf, RawPath, RawTarget, Ring};
use uring_testkit::files::TempDir;
use uring_testkit::{Context, TestResult};

use crate::common;
use crate::operations::files::c_path;

/// Pushes, waits, and gives the completion.
pub(crate) fn call(
    ring: &mut Ring<Any>,
    op: impl RawOperation + 'static,
    number: u64,
) -> TestResult<Completion> {
    ring.push_raw(op, number)?;
    ring.submit_and_wait(1)?;
    let completion = ring.next_completion()?.ok_or("it was waited for")?;
    assert_eq!(completion.user_data(), number);
    assert_eq!(ring.in_flight(), 0);
    Ok(completion)
}

pub(crate) fn raw_operations(context: &Context) -> TestResult {
    let dir = TempDir::new()?;
    let path = dir.path().join("file");
    let name = c_path(&path);
    let mut ring = common::ring(context, 8)?;
    let mut status = MaybeUninit::uninit();
    let mut bytes = *b"written";
    let soon = Timespec::from(Duration::from_millis(1));
    // SAFETY: all of them live to the end of this function, and each completion is waited for.
    let (raw_path, missing, memory, buffer, time) = unsafe {
        (
            RawPath::new(name.as_ptr()),
            RawPath::new(c"/no/such/file".as_ptr()),
            RawFileStatus::new(NonNull::from(&mut status)),
            RawBuf::new(NonNull::from(&mut bytes).cast(), 7),
            RawTimespec::new(NonNull::from(&soon)),
        )
    };

    call(&mut ring, Nop::new(), 1)?.result()?;
    let opened = call(
        &mut ring,
        OpenAt::new(raw_path).read_write().create(0o600),
        2,
    )?
    .result()?;
    // SAFETY: the kernel has just opened it, and nobody else knows of it.
    let file = unsafe { File::from_raw_fd(i32::try_from(opened)?) };
    let failed = call(&mut ring, OpenAt::new(missing), 3)?;
    assert_eq!(failed.raw_result(), -libc::ENOENT);
    // SAFETY: the file lives to the end of this function.
    let target = unsafe { RawTarget::descriptor(file.as_raw_fd()) };
    assert_eq!(
        call(&mut ring, Write::new(target, buffer).at(0), 4)?.result()?,
        7
    );
    assert_eq!(fs::read(&path)?, b"written");
    fs::write(&path, "reading")?;
    assert_eq!(
        call(&mut ring, Read::new(target, buffer).at(0), 5)?.result()?,
        7
    );
    assert_eq!(bytes, *b"reading");
    call(&mut ring, Fsync::new(target).data_only(), 6)?.result()?;
    call(&mut ring, Statx::new(raw_path).into_memory(memory), 7)?.result()?;
    // SAFETY: the operation succeeded, so the kernel has filled it in.
    assert_eq!(unsafe { status.assume_init() }.size(), 7);
    assert_eq!(
        call(&mut ring, Timeout::at_address(time), 8)?.raw_result(),
        -libc::ETIME
    );
    assert_eq!(
        call(&mut ring, Cancel::user_data(99), 10)?.raw_result(),
        -libc::ENOENT
    );
    call(&mut ring, UnlinkAt::new(raw_path), 11)?.result()?;
    assert_eq!(
        call(&mut ring, UnlinkAt::new(raw_path), 12)?.raw_result(),
        -libc::ENOENT
    );

    let duplicate = OwnedFd::from(file.try_clone()?);
    let number = std::os::fd::IntoRawFd::into_raw_fd(duplicate);
    // SAFETY: nobody else has the number any more.
    let close = || Close::new(unsafe { RawTarget::descriptor(number) });
    call(&mut ring, close(), 13)?.result()?;
    assert_eq!(call(&mut ring, close(), 14)?.raw_result(), -libc::EBADF);
    cancelled_by_number(&mut ring)
}

fn cancelled_by_number(ring: &mut Ring<Any>) -> TestResult {
    let hour = Timespec::from(Duration::from_secs(3600));
    // SAFETY: it lives to the end of this function, and its completion is waited for.
    let hour = unsafe { RawTimespec::new(NonNull::from(&hour)) };
    ring.push_raw(Timeout::at_address(hour), 20)?;
    ring.push_raw(Cancel::user_data(20), 21)?;
    ring.submit_and_wait(2)?;
    let mut results = Vec::new();
    ring.for_each(|completion| results.push((completion.user_data(), completion.raw_result())))?;
    results.sort_unstable();
    assert_eq!(results, [(20, -libc::ECANCELED), (21, 0)]);
    Ok(())
}
