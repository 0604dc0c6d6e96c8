//! Files of the ring's own table.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use uring::op::{CloseDirect, Fsync, Nop, OpenAt, Read, Write};
use uring::{Any, Direct, RawTarget, Ring};
use uring_testkit::files::TempDir;
use uring_testkit::process::with_rlimit;
use uring_testkit::{Context, FdTable, TestResult};

use crate::common::{self, pending};
use crate::operations::files::{assert_errno, c_path};

fn with_table(context: &Context, slots: u32) -> TestResult<Ring<Any>> {
    let mut ring = common::ring(context, 8)?;
    ring.register_direct(slots)?;
    assert_eq!(ring.direct_slots(), slots);
    Ok(ring)
}

fn open(ring: &mut Ring<Any>, open: OpenAt<&'static std::ffi::CStr>) -> TestResult<Direct> {
    let slot = ring.direct_slot()?;
    let index = slot.index();
    let direct = ring.call(open.into_direct(slot))?.result?;
    assert_eq!(direct.index(), index);
    Ok(direct)
}

pub(crate) fn direct_descriptors(context: &Context) -> TestResult {
    let dir = TempDir::new()?;
    let path = dir.path().join("file");
    let mut ring = with_table(context, 4)?;
    let before = FdTable::now()?;
    let slot = ring.direct_slot()?;
    let create = OpenAt::new(c_path(&path))
        .read_write()
        .create(0o600)
        .into_direct(slot);
    let token = ring.push(create)?;
    let file = ring.wait(token)?.result?;
    assert!(before.diff(&FdTable::now()?).is_empty(), "it has no number");
    let token = ring.push(Write::new(file, b"direct".to_vec()).at(0))?;
    let written = ring.wait(token)?;
    assert_eq!(written.result?, 6);
    let file = Arc::new(written.target);
    let token = ring.push(Read::new(Arc::clone(&file), vec![0; 6]).at(0))?;
    assert_eq!(ring.wait(token)?.buf, b"direct");
    let mut bytes = [0; 3];
    ring.scope(|scope| -> std::io::Result<()> {
        let token = scope.push(Read::new(&*file, &mut bytes[..]).at(3))?;
        assert_eq!(scope.wait(token)?.result?, 3);
        Ok(())
    })?;
    assert_eq!(&bytes, b"ect");
    ring.call(Fsync::new(&*file))?.result?;
    let mut text = String::new();
    File::open(&path)?.read_to_string(&mut text)?;
    assert_eq!(text, "direct");

    let file = Arc::into_inner(file).ok_or("nobody else has it")?;
    ring.call(CloseDirect::new(file))??;
    let missing = ring.direct_slot()?;
    assert_errno(
        ring.call(OpenAt::new(c"/no/such/file").into_direct(missing))?
            .result,
        libc::ENOENT,
    );
    // SAFETY: an index that names nothing.
    let nothing = unsafe { RawTarget::direct(3) };
    assert_errno(
        ring.call(Read::new(nothing, vec![0; 1]))?.result,
        libc::EBADF,
    );
    // SAFETY: as above.
    let far = unsafe { RawTarget::direct(u32::MAX) };
    assert_errno(ring.call(Read::new(far, vec![0; 1]))?.result, libc::EBADF);
    Ok(())
}

/// The operation comes back, and the other ring's file of the same index is left alone.
pub(crate) fn direct_of_another_ring(context: &Context) -> TestResult {
    let mut mine = with_table(context, 2)?;
    let mut other = with_table(context, 2)?;
    let of_mine = open(&mut mine, OpenAt::new(c"/dev/zero"))?;
    let of_other = open(&mut other, OpenAt::new(c"/proc/version"))?;
    assert_eq!(of_mine.index(), of_other.index());
    let refused = other
        .push(Read::new(of_mine, vec![1; 4]))
        .expect_err("it is of the other ring");
    assert!(refused.error().is_wrong_ring(), "{refused}");
    let read = refused.into_inner();
    let token = mine.push(read)?;
    let done = mine.wait(token)?;
    assert_eq!((done.result?, done.buf), (4, vec![0; 4]));
    let of_mine = done.target;
    let error = other
        .call(Fsync::new(&of_mine))
        .expect_err("it is of the other ring");
    assert!(error.is_wrong_ring(), "{error}");
    let refused = other
        .push(CloseDirect::new(of_mine))
        .expect_err("it is of the other ring");
    assert!(refused.error().is_wrong_ring(), "{refused}");
    let refused_close = refused.into_inner();
    let slot = mine.direct_slot()?;
    let refused = other.push(OpenAt::new(c"/dev/null").into_direct(slot));
    assert!(
        refused
            .expect_err("it is of the other ring")
            .error()
            .is_wrong_ring()
    );
    mine.call(refused_close)??;
    assert_eq!(
        other.call(Read::new(&of_other, vec![0; 5]).at(0))?.buf,
        b"Linux"
    );
    Ok(())
}

pub(crate) fn direct_table_full(context: &Context) -> TestResult {
    let mut ring = with_table(context, 2)?;
    let error = ring.register_direct(2).expect_err("it has one");
    assert!(error.to_string().contains("already"), "{error}");
    let first = ring.direct_slot()?;
    let second = open(&mut ring, OpenAt::new(c"/dev/null"))?;
    let error = ring.direct_slot().expect_err("both are taken");
    assert!(error.to_string().contains("taken"), "{error}");
    drop(second);
    let third = ring.direct_slot()?;
    drop((first, third));
    let error = common::ring(context, 2)?
        .direct_slot()
        .expect_err("there is no table");
    assert!(error.to_string().contains("register_direct"), "{error}");
    Ok(())
}

pub(crate) fn direct_table_too_large(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 4)?;
    let refused = with_rlimit(libc::RLIMIT_NOFILE, 64, || ring.register_direct(65))?;
    let error = refused.expect_err("a table of more than the limit");
    assert!(error.is_limited(), "{error}");
    let error = ring
        .register_direct(u32::MAX)
        .expect_err("more than the kernel has");
    assert!(error.is_limited(), "{error}");
    with_rlimit(libc::RLIMIT_NOFILE, 64, || ring.register_direct(64))??;
    // The limit is on the table's size, not on what is opened into it.
    let opened = with_rlimit(libc::RLIMIT_NOFILE, 0, || {
        open(&mut ring, OpenAt::new(c"/dev/zero"))
    })??;
    assert_eq!(ring.call(Read::new(opened, vec![1; 3]))?.buf, [0; 3]);
    Ok(())
}

/// A pipe with a name has nobody to write to when its only reader is closed.
pub(crate) fn direct_closed_when_dropped(context: &Context) -> TestResult {
    let dir = TempDir::new()?;
    let mut ring = with_table(context, 2)?;
    for by_operation in [true, false] {
        let path = dir.path().join("fifo");
        // SAFETY: a string that ends in a zero byte.
        assert_eq!(unsafe { libc::mkfifo(c_path(&path).as_ptr(), 0o600) }, 0);
        let slot = ring.direct_slot()?;
        let open = OpenAt::new(c_path(&path))
            .flags(libc::O_NONBLOCK)
            .into_direct(slot);
        let reader = ring.call(open)?.result?;
        let writer = || open_for_writing(&path);
        writer()?;
        if by_operation {
            ring.call(CloseDirect::new(reader))??;
        } else {
            drop(reader);
            writer()?;
            ring.call(Nop::new())??;
        }
        let closed = pending::before_long(|| Ok(writer().is_err()))?;
        assert!(closed, "the file is still open");
        std::fs::remove_file(&path)?;
    }
    Ok(())
}

/// Opens a pipe with a name for writing, which fails unless somebody has it open for reading.
fn open_for_writing(path: &Path) -> std::io::Result<File> {
    File::options()
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
}

pub(crate) fn direct_slots_reused(context: &Context) -> TestResult {
    let mut ring = with_table(context, 2)?;
    for round in 0..context.rounds(10_000) {
        let name = if round % 2 == 0 {
            c"/dev/zero"
        } else {
            c"/proc/version"
        };
        let file = open(&mut ring, OpenAt::new(name))?;
        let read = ring.call(Read::new(file, vec![1; 5]).at(0))?;
        let expected: &[u8] = if round % 2 == 0 { &[0; 5] } else { b"Linux" };
        assert_eq!(read.buf, expected);
        if round % 3 == 0 {
            ring.call(CloseDirect::new(read.target))??;
        }
    }
    Ok(())
}
