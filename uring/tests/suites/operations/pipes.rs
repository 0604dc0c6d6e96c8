//! Pipes, and data that moves through them.

use std::fs::{self, File};
use std::os::fd::{AsRawFd as _, OwnedFd};

use uring::op::{Nop, OpenAt, Pipe, Read, Splice, Tee, Write};
use uring::{Direct, RawTarget};
use uring_testkit::files::{TempDir, pipe};
use uring_testkit::{Context, FdTable, Feature, TestResult};

use crate::common;
use crate::operations::files::{assert_errno, c_path};
use crate::operations::raw::call;
use crate::operations::raw_forms;

pub(crate) fn splice_and_tee(context: &Context) -> TestResult {
    let dir = TempDir::new()?;
    let path = dir.path().join("file");
    fs::write(&path, "from the file")?;
    let file = File::options().read(true).write(true).open(&path)?;
    let (reader, writer) = pipe()?;
    let (copy, copy_writer) = pipe()?;
    let mut ring = common::ring(context, 8)?;

    let token = ring.push(Splice::new(file.try_clone()?, writer.try_clone()?, 8).from_offset(5))?;
    let moved = ring.wait(token)?;
    assert_eq!(moved.result?, 8);
    assert_ne!(moved.from.as_raw_fd(), moved.to.as_raw_fd());
    ring.scope(|scope| -> std::io::Result<()> {
        let token = scope.push(Tee::new(&reader, &copy_writer, 100))?;
        assert_eq!(scope.wait(token)?.result?, 8);
        Ok(())
    })?;
    assert_eq!(ring.call(Read::new(&copy, vec![0; 9]))?.buf, b"the file");
    // Into another file: what is in the pipe is the first one's memory.
    let other = File::create(dir.path().join("other"))?;
    let back = Splice::new(&reader, &other, 100).to_offset(2).more();
    assert_eq!(ring.call(back)?.result?, 8);
    assert_eq!(fs::read(dir.path().join("other"))?, b"\0\0the file");

    // SAFETY: all of them live to the end of this function, and each completion is waited for.
    let raw = |fd: &OwnedFd| unsafe { RawTarget::descriptor(fd.as_raw_fd()) };
    ring.call(Write::new(&writer, "raw"))?.result?;
    assert_eq!(
        call(&mut ring, Tee::new(raw(&reader), raw(&copy_writer), 2), 1)?.result()?,
        2
    );
    let moved = Splice::new(raw(&reader), raw(&copy_writer), 3);
    assert_eq!(call(&mut ring, moved, 2)?.result()?, 3);
    assert_eq!(ring.call(Read::new(&copy, vec![0; 9]))?.buf, b"raraw");

    let empty = Splice::new(&reader, &copy_writer, 1).nonblocking();
    assert_errno(ring.call(empty)?.result, libc::EAGAIN);
    let empty = Tee::new(&reader, &copy_writer, 1).nonblocking();
    assert_errno(ring.call(empty)?.result, libc::EAGAIN);
    let no_pipe = ring.call(Splice::new(file.try_clone()?, &file, 1))?;
    assert_errno(no_pipe.result, libc::EINVAL);
    assert_eq!(no_pipe.from.metadata()?.len(), 13);

    // Of the ring's own table, on both sides.
    ring.register_direct(2)?;
    let slot = ring.direct_slot()?;
    let open = OpenAt::new(c_path(&path)).read_write().into_direct(slot);
    let direct = ring.call(open)?.result?;
    let forth = Splice::new(&direct, &writer, 4).from_offset(5);
    assert_eq!(ring.call(forth)?.result?, 4);
    assert_eq!(ring.call(Read::new(&reader, vec![0; 9]))?.buf, b"the ");
    ring.call(Write::new(&writer, "into"))?.result?;
    let back = Splice::new(&reader, &direct, 4).to_offset(0);
    assert_eq!(ring.call(back)?.result?, 4);
    assert_eq!(fs::read(&path)?, b"into the file");
    let mut other = common::ring(context, 2)?;
    let error = other
        .call(Splice::new(&direct, &writer, 1))
        .expect_err("of another ring");
    assert!(error.is_wrong_ring(), "{error}");
    let error = other
        .call(Tee::new(&reader, &direct, 1))
        .expect_err("of another ring");
    assert!(error.is_wrong_ring(), "{error}");
    Ok(())
}

pub(crate) const PIPE: Feature = Feature::opcode(uring_sys::IORING_OP_PIPE);

pub(crate) fn pipes(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let token = ring.push(Pipe::new().nonblocking())?;
    let (reader, writer) = ring.wait(token)??;
    for (end, access) in [(&reader, libc::O_RDONLY), (&writer, libc::O_WRONLY)] {
        // SAFETY: both ask for flags of an open descriptor.
        let (of_file, of_number) = unsafe {
            let of_file = libc::fcntl(end.as_raw_fd(), libc::F_GETFL);
            (of_file, libc::fcntl(end.as_raw_fd(), libc::F_GETFD))
        };
        assert_eq!(of_file & libc::O_ACCMODE, access);
        assert_eq!(of_file & libc::O_NONBLOCK, libc::O_NONBLOCK);
        assert_eq!(of_number & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
    }
    ring.call(Write::new(&writer, "through"))?.result?;
    assert_eq!(ring.call(Read::new(&reader, vec![0; 9]))?.buf, b"through");
    let (reader, writer) = ring.call(Pipe::new().packets())??;
    ring.call(Write::new(&writer, "one"))?.result?;
    ring.call(Write::new(&writer, "two"))?.result?;
    assert_eq!(ring.call(Read::new(&reader, vec![0; 9]))?.buf, b"one");
    drop((reader, writer));

    // Nobody takes this one, and it is closed.
    let before = FdTable::now()?;
    let token = ring.push(Pipe::new())?;
    ring.detach(token);
    while ring.in_flight() > 0 {
        ring.call(Nop::new())??;
    }
    assert!(
        before.diff(&FdTable::now()?).is_empty(),
        "both ends are closed"
    );

    ring.register_direct(4)?;
    let lone = ring.direct_slot()?;
    let pair = ring.direct_pair()?;
    let last = ring.direct_slot()?;
    let error = ring.direct_pair().expect_err("none is free");
    assert!(error.to_string().contains("side by side"), "{error}");
    let ends: (Direct, Direct) = ring.call(Pipe::new().into_direct(pair))??;
    assert!(
        before.diff(&FdTable::now()?).is_empty(),
        "they have no number"
    );
    assert_eq!(ends.1.index(), ends.0.index() + 1);
    ring.call(Write::new(&ends.1, "direct"))?.result?;
    assert_eq!(ring.call(Read::new(&ends.0, vec![0; 9]))?.buf, b"direct");
    drop((ends, lone, last));
    // All four are free again, and pairs of another ring are refused.
    let (one, two) = (ring.direct_pair()?, ring.direct_pair()?);
    let mut other = common::ring(context, 2)?;
    other.register_direct(2)?;
    let refused = other
        .push(Pipe::new().into_direct(one))
        .expect_err("of another ring");
    assert!(refused.error().is_wrong_ring(), "{refused}");
    drop((refused.into_inner(), two));
    pipes_where_the_kernel_likes(context)
}

fn pipes_where_the_kernel_likes(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 4)?;
    ring.register_direct_allocated(3)?;
    let slot = ring.any_direct_slot()?;
    let (reader, writer) = ring.call(Pipe::new().into_any_direct(slot.clone()))??;
    ring.call(Write::new(&writer, "any"))?.result?;
    assert_eq!(ring.call(Read::new(&reader, vec![0; 9]))?.buf, b"any");
    let full = ring.call(Pipe::new().into_any_direct(slot.clone()))?;
    assert_errno(full, libc::ENFILE);
    drop(reader);
    ring.call(Pipe::new().into_any_direct(slot))??;
    drop(writer);
    let mut own = common::ring(context, 8)?;
    own.register_direct(2)?;
    raw_forms::pipe_ends(&mut own, &mut ring)
}

pub(crate) fn pipes_refused(context: &Context) -> TestResult {
    let Some(mut ring) = common::ring_without(PIPE, context, 8)? else {
        return Ok(());
    };
    assert_errno(ring.call(Pipe::new())?, libc::EINVAL);
    ring.register_direct(2)?;
    let pair = ring.direct_pair()?;
    assert_errno(ring.call(Pipe::new().into_direct(pair))?, libc::EINVAL);
    ring.direct_pair()?;
    Ok(())
}
