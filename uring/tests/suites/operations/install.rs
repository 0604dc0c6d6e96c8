//! Between the ring's file table and the process's.

use std::fs::File;
use std::os::fd::{AsRawFd as _, OwnedFd};

use uring::op::{CloseDirect, FilesUpdate, InstallFd, Nop, OpenAt, Read};
use uring::{RawTarget, Ring};
use uring_testkit::files::pipe;
use uring_testkit::{Context, FdTable, Feature, TestResult};

use crate::common;
use crate::operations::files::assert_errno;
use crate::operations::raw::call;
use crate::operations::raw_forms;

pub(crate) const INSTALL: Feature = Feature::opcode(uring_sys::IORING_OP_FIXED_FD_INSTALL);

pub(crate) fn install(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    ring.register_direct(2)?;
    let slot = ring.direct_slot()?;
    let direct = ring
        .call(OpenAt::new(c"/proc/version").into_direct(slot))?
        .result?;
    let index = direct.index();
    let token = ring.push(InstallFd::new(direct))?;
    let installed = ring.wait(token)?;
    let (descriptor, direct) = (installed.result?, installed.target);
    ring.call(CloseDirect::new(direct))??;
    assert_eq!(ring.call(Read::new(&descriptor, vec![0; 5]))?.buf, b"Linux");
    let on_exec = |fd: &OwnedFd| {
        // SAFETY: asks for the flags of an open descriptor.
        unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFD) & libc::FD_CLOEXEC }
    };
    assert_eq!(on_exec(&descriptor), libc::FD_CLOEXEC);

    let slot = ring.direct_slot()?;
    let direct = ring
        .call(OpenAt::new(c"/proc/version").into_direct(slot))?
        .result?;
    let kept = ring.scope(|scope| -> std::io::Result<_> {
        let token = scope.push(InstallFd::new(&direct).keep_on_exec())?;
        scope.wait(token)?.result
    })?;
    assert_eq!(on_exec(&kept), 0);
    // Nobody takes this one, and it is closed.
    let before = FdTable::now()?;
    let token = ring.push(InstallFd::new(direct))?;
    ring.detach(token);
    while ring.in_flight() > 0 {
        ring.call(Nop::new())??;
    }
    assert!(before.diff(&FdTable::now()?).is_empty());

    let refused = ring
        .push(InstallFd::new(descriptor))
        .expect_err("it is one already");
    assert!(refused.error().to_string().contains("already"), "{refused}");
    // SAFETY: both slots are empty.
    let raw = unsafe { RawTarget::direct(index) };
    let failed = call(&mut ring, InstallFd::new(raw), 1)?;
    assert_eq!(failed.raw_result(), -libc::EBADF);
    Ok(())
}

pub(crate) fn install_refused(context: &Context) -> TestResult {
    let Some(mut ring) = common::ring_without(INSTALL, context, 8)? else {
        return Ok(());
    };
    ring.register_direct(1)?;
    let slot = ring.direct_slot()?;
    let file = File::open("/proc/version")?;
    let direct = ring.call(FilesUpdate::new(slot, file))?.result?;
    let refused = ring.call(InstallFd::new(direct))?;
    assert_errno(refused.result, libc::EINVAL);
    assert_eq!(
        ring.call(Read::new(&refused.target, vec![0; 5]))?.buf,
        b"Linux"
    );
    Ok(())
}

pub(crate) fn files_update(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    ring.register_direct(2)?;
    let slot = ring.direct_slot()?;
    let index = slot.index();
    let token = ring.push(FilesUpdate::new(slot, File::open("/proc/version")?))?;
    let adopted = ring.wait(token)?;
    let direct = adopted.result?;
    assert_eq!(direct.index(), index);
    drop(adopted.target);
    assert_eq!(
        ring.call(Read::new(&direct, vec![0; 5]).at(0))?.buf,
        b"Linux"
    );

    // The end of a pipe is in the table only, and closed when it is dropped.
    let (reader, writer) = pipe()?;
    let slot = ring.direct_slot()?;
    let adopted = ring.scope(|scope| -> std::io::Result<_> {
        let token = scope.push(FilesUpdate::new(slot, &writer))?;
        scope.wait(token)?.result
    })?;
    drop(writer);
    assert!(common::pending::has_writer(&reader)?);
    let error = ring.direct_slot().expect_err("both are taken");
    assert!(error.to_string().contains("taken"), "{error}");
    drop(adopted);
    let slot = ring.direct_slot()?;
    assert!(common::pending::has_no_writer(&reader)?);

    // What is refused comes back, and its slot is free.
    let mut other = Ring::best(2)?;
    let refused = other
        .push(FilesUpdate::new(slot, reader))
        .expect_err("of another ring");
    assert!(refused.error().is_wrong_ring(), "{refused}");
    let adopted = ring.call(refused.into_inner())?;
    adopted.result?;
    let slot = ring.direct_slot()?;
    let refused = ring
        .push(FilesUpdate::new(slot, direct))
        .expect_err("it is in the table");
    assert!(
        refused.error().to_string().contains("descriptor"),
        "{refused}"
    );
    drop(refused);
    let slot = ring.direct_slot()?;
    // SAFETY: a number that names nothing.
    let nothing = unsafe { RawTarget::descriptor(i32::MAX) };
    assert_errno(
        ring.call(FilesUpdate::new(slot, nothing))?.result,
        libc::EBADF,
    );
    ring.direct_pair()?;
    let slot = ring.direct_slot()?;
    raw_forms::files_update(&mut ring, slot.index())
}

/// Into the slot that the kernel likes (Linux 5.19; tables of that kind since 6.0).
pub(crate) fn files_update_anywhere(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    ring.register_direct_allocated(2)?;
    let slot = ring.any_direct_slot()?;
    let version = File::open("/proc/version")?;
    let token = ring.push(FilesUpdate::new(slot.clone(), version.try_clone()?))?;
    let first = ring.wait(token)?.result?;
    let second = ring
        .call(FilesUpdate::new(slot.clone(), &version))?
        .result?;
    assert_ne!(first.index(), second.index());
    assert_eq!(
        ring.call(Read::new(&second, vec![0; 5]).at(0))?.buf,
        b"Linux"
    );
    let full = ring.call(FilesUpdate::new(slot.clone(), &version))?;
    assert_errno(full.result, libc::ENFILE);
    drop(first);
    let again = ring.call(FilesUpdate::new(slot, &version))?.result?;
    drop((again, second));
    raw_forms::files_update_anywhere(&mut ring)
}

pub(crate) const ALLOCATED: Feature =
    Feature::register(uring_sys::IORING_REGISTER_FILE_ALLOC_RANGE);
