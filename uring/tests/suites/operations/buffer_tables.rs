//! Tables of registered buffers: filled, emptied, shared.

use std::fs::File;
use std::thread;

use uring::op::{Read, ReadFixed, Write, WriteFixed};
use uring::{Any, FixedVecs, HugePages, RegisteredBuf, Ring, Slice};
use uring_testkit::files::pipe;
use uring_testkit::{Context, Feature, TestResult};

use crate::common;
use crate::common::child::Child;
use crate::operations::registered::READV_FIXED;
use crate::operations::tables::{assert_no_tag, tags};

fn buffer(ring: &mut Ring<Any>, index: usize) -> TestResult<RegisteredBuf> {
    Ok(ring.registered_buf(index).ok_or("somebody has it")?)
}

/// Reads five bytes of a file into a buffer of the table.
fn read(ring: &mut Ring<Any>, file: &File, buf: RegisteredBuf) -> TestResult<RegisteredBuf> {
    let done = ring.call(ReadFixed::new(file, Slice::new(buf, ..5)).at(0))?;
    assert_eq!(done.result?, 5);
    Ok(done.buf.into_inner())
}

pub(crate) fn buffer_table(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let version = File::open("/proc/version")?;
    let refused = ring.register_buf(0, vec![0_u8; 8]).expect_err("no table");
    assert!(refused.error().is_invalid_request(), "{refused}");
    assert!(
        ring.unregister_buffers()
            .is_err_and(|error| error.is_invalid_request())
    );
    for wrong in [0, 1 << 20] {
        assert!(ring.register_buffers_sparse(wrong).is_err(), "{wrong}");
    }
    ring.register_buffers_sparse(4)?;
    assert_eq!(ring.registered_bufs(), 4);
    assert!(ring.registered_buf(3).is_none());
    let again = ring.register_buffers_sparse(4).expect_err("it has one");
    assert!(again.to_string().contains("already"), "{again}");

    ring.register_buf(3, vec![7_u8; 64])?;
    ring.register_buf(1, vec![8_u8; 64].into_boxed_slice())?;
    for (index, what) in [(3, "already"), (4, "no slot")] {
        let refused = ring.register_buf(index, vec![9_u8]).expect_err("not there");
        assert!(refused.error().is_invalid_request(), "{refused}");
        assert!(refused.error().to_string().contains(what), "{refused}");
        assert_eq!(refused.into_inner(), [9]);
    }
    let refused = ring.register_buf(0, Vec::<u8>::new()).expect_err("empty");
    assert!(refused.error().errno().is_some(), "{refused}");
    let buf = buffer(&mut ring, 3)?;
    let mut buf = read(&mut ring, &version, buf)?;
    assert_eq!((&buf[..6], buf.index()), (&b"Linux\x07"[..], 3));

    // Out again, when nobody has it, and as what it was.
    let error = ring.unregister_buf(3).expect_err("somebody has it");
    assert!(error.is_in_use(), "{error}");
    assert!(
        ring.unregister_buffers()
            .is_err_and(|error| error.is_in_use())
    );
    buf[0] = b'l';
    drop(buf);
    let taken = ring.unregister_buf(3)?;
    let taken = taken.into_memory::<Box<[u8]>>().expect_err("a vector");
    assert_eq!(
        taken.into_memory::<Vec<u8>>().map_err(|_| "shared")?[..5],
        *b"linux"
    );
    assert!(ring.registered_buf(3).is_none());
    assert!(
        ring.unregister_buf(3)
            .is_err_and(|error| error.is_invalid_request())
    );
    ring.register_buf(3, vec![3_u8; 32])?;
    let buf = buffer(&mut ring, 3)?;
    let buf = read(&mut ring, &version, buf)?;
    drop(buf);
    tagged(&mut ring)?;

    let mut all = ring.unregister_buffers()?;
    assert_eq!(
        all.iter().map(Option::is_some).collect::<Vec<_>>(),
        [false, true, false, true]
    );
    let second = all.remove(1).ok_or("there was one")?;
    assert_eq!(
        second.into_memory::<Box<[u8]>>().map_err(|_| "shared")?[..],
        [8; 64]
    );
    assert_eq!(ring.registered_bufs(), 0);
    ring.register_buffers(vec![vec![0; 8].into()])?;
    assert_eq!(ring.unregister_buffers()?.len(), 1);
    huge_pages(context, &mut ring, &version)
}

/// A tag says that the kernel has let go of a buffer.
fn tagged(ring: &mut Ring<Any>) -> TestResult {
    for wrong in [0, 1 << 63] {
        let refused = ring.register_buf_tagged(0, vec![0_u8; 8], wrong);
        assert!(refused.expect_err("no tag").error().is_invalid_request());
    }
    ring.register_buf_tagged(0, vec![5_u8; 8], 77)?;
    let (reader, writer) = pipe()?;
    let buf = buffer(ring, 0)?;
    let token = ring.push(ReadFixed::new(reader, buf))?;
    ring.submit()?;
    assert_no_tag(ring)?;
    ring.call(Write::new(&writer, "gone"))?.result?;
    let done = ring.wait(token)?;
    assert_eq!(&done.buf[..5], b"gone\x05");
    drop(done);
    let memory = ring.unregister_buf(0)?.into_memory::<Vec<u8>>();
    assert_eq!(memory.map_err(|_| "shared")?[..4], *b"gone");
    assert_eq!(tags(ring, 1)?, [77]);
    Ok(())
}

/// Where there are none, the error says so; where the kernel is only asked for them, it may have none.
fn huge_pages(context: &Context, ring: &mut Ring<Any>, version: &File) -> TestResult {
    const TWO_MIB: usize = 2 << 20;
    let mut memory = Vec::new();
    match HugePages::new(1) {
        Ok(pages) => memory.push(pages),
        Err(error) => assert!(error.is_limited() || error.is_unsupported(), "{error}"),
    }
    memory.push(HugePages::transparent(TWO_MIB - 1)?);
    for wrong in [0, usize::MAX] {
        let error = HugePages::new(wrong).expect_err("no such length");
        assert!(error.is_invalid_request(), "{error}");
    }
    ring.register_buffers_sparse(1)?;
    for mut pages in memory {
        assert_eq!(
            (pages.len(), pages.as_ptr().align_offset(TWO_MIB)),
            (TWO_MIB, 0)
        );
        pages[TWO_MIB - 1] = 1;
        ring.register_buf(0, pages)?;
        // A child has nothing of it, and comes to no harm.
        let buf = buffer(ring, 0)?;
        let child = Child::run(|| {
            assert!(buf.is_empty() && buf.split_at(1).1.is_empty());
            Ok(())
        })?;
        child.end()?;
        let buf = buffer(ring, 0)?;
        let buf = read(ring, version, buf)?;
        assert_eq!((&buf[..6], buf[TWO_MIB - 1]), (&b"Linux\0"[..], 1));
        if !context.has(READV_FIXED) {
            drop(buf);
        } else {
            let pieces = FixedVecs::new(buf, [TWO_MIB - 2..TWO_MIB, 0..3]);
            let done = ring.call(ReadFixed::new(version, pieces).at(0))?;
            assert_eq!(done.result?, 5);
            let buf = done.buf.into_inner();
            assert_eq!((&buf[..3], &buf[TWO_MIB - 2..]), (&b"nux"[..], &b"Li"[..]));
        }
        let pages: HugePages = ring
            .unregister_buf(0)?
            .into_memory()
            .map_err(|_| "shared")?;
        assert_eq!(pages.len(), TWO_MIB);
    }
    Ok(())
}

pub(crate) const CLONE: Feature = Feature::register(uring_sys::IORING_REGISTER_CLONE_BUFFERS);

/// What one ring has registered another has too, on whatever thread; there is one user of the memory at a time.
pub(crate) fn clone_buffers(context: &Context) -> TestResult {
    let version = File::open("/proc/version")?;
    let mut one = common::ring(context, 8)?;
    let mut two = common::ring(context, 8)?;
    assert!(
        two.clone_buffers(&one)
            .is_err_and(|error| error.is_invalid_request())
    );
    one.register_buffers_sparse(3)?;
    one.register_buf(0, vec![1_u8; 64])?;
    one.register_buf(2, vec![2_u8; 64])?;
    two.clone_buffers(&one)?;
    assert_eq!(two.registered_bufs(), 3);
    assert!(two.registered_buf(1).is_none());
    let again = two.clone_buffers(&one).expect_err("it has some");
    assert!(again.is_invalid_request(), "{again}");

    // One user, whichever ring gives it out, who may change the ring.
    let buf = buffer(&mut one, 2)?;
    assert!(
        two.registered_buf(2).is_none(),
        "it is in use in the other ring"
    );
    let buf = read(&mut one, &version, buf)?;
    let refused = two.push(WriteFixed::new(pipe()?.1, buf));
    let refused = refused.expect_err("under the other ring's name");
    assert!(refused.error().is_wrong_ring(), "{refused}");
    let (reader, writer) = pipe()?;
    drop(refused);
    let (front, back) = buffer(&mut one, 2)?.split_at(5);
    let front = two.registered_buf_here(front)?;
    assert_eq!(two.call(WriteFixed::new(&writer, &front))?.result?, 5);
    assert_eq!(
        one.call(Read::new(&reader, vec![0; 9]))?.buf[..5],
        *b"Linux"
    );
    drop(front);
    assert!(two.registered_buf(2).is_none(), "the other part is in use");
    drop(back);
    let strange = common::ring(context, 4)?;
    let buf = buffer(&mut two, 2)?;
    let refused = strange.registered_buf_here(buf).expect_err("it has none");
    assert!(refused.error().is_wrong_ring(), "{refused}");
    drop(refused);

    // Out of the first, it stays in the second.
    let buf = buffer(&mut two, 2)?;
    let taken = one.unregister_buf(2)?;
    let taken = taken
        .into_memory::<Vec<u8>>()
        .expect_err("the other ring has it");
    let buf = read(&mut two, &version, buf)?;
    drop(buf);
    let last = two.unregister_buf(2)?;
    drop(
        last.into_memory::<Vec<u8>>()
            .expect_err("it was not the only one"),
    );
    let memory = taken.into_memory::<Vec<u8>>().map_err(|_| "still shared")?;
    assert_eq!(memory[..6], *b"Linux\x02");

    some_buffers(&mut one, &mut two, &version)?;
    across_threads(context, &one)
}

fn some_buffers(one: &mut Ring<Any>, two: &mut Ring<Any>, version: &File) -> TestResult {
    one.register_buf(1, vec![3_u8; 16])?;
    for (range, at) in [(0..0, 0), (1..4, 0), (0..1, 1 << 14)] {
        let error = two
            .clone_some_buffers(one, range, at)
            .expect_err("no such range");
        assert!(error.is_invalid_request(), "{error}");
    }
    let used = buffer(two, 0)?;
    let error = two.clone_some_buffers(one, 1..2, 0).map(drop);
    assert!(error.expect_err("it is in use").is_in_use());
    drop(used);
    let displaced = match two.clone_some_buffers(one, 0..2, 0) {
        // Linux 6.12 clones whole tables only.
        Err(error) => {
            assert!(error.is_unsupported(), "{error}");
            assert!(buffer(two, 0)?[..] == [1; 64]);
            return Ok(());
        }
        Ok(displaced) => displaced,
    };
    assert_eq!(displaced.len(), 1);
    two.clone_some_buffers(one, 1..2, 5)?;
    assert_eq!(two.registered_bufs(), 6);
    for index in [1, 5] {
        let buf = buffer(two, index)?;
        let buf = read(two, version, buf)?;
        assert_eq!(
            (&buf[..6], buf.index()),
            (&b"Linux\x03"[..], u16::try_from(index)?)
        );
    }
    Ok(())
}

/// A movable ring takes its clones to another thread, where they outlive what they were cloned from.
fn across_threads(context: &Context, source: &Ring<Any>) -> TestResult {
    let mut movable = Ring::new(8)?;
    movable.clone_buffers(source)?;
    let (reader, writer) = pipe()?;
    let on_thread = thread::spawn(move || -> Result<(), String> {
        let buf = movable.registered_buf(0).ok_or("somebody has it")?;
        let done = movable.call(WriteFixed::new(&writer, Slice::new(buf, ..3)));
        let done = done.map_err(|error| error.to_string())?;
        assert_eq!(done.result.map_err(|error| error.to_string())?, 3);
        Ok(())
    });
    on_thread.join().expect("it says what is wrong")?;
    let mut here = common::ring(context, 4)?;
    assert_eq!(here.call(Read::new(&reader, vec![0; 4]))?.result?, 3);
    Ok(())
}

/// The kernel has no such call; both rings stay as they were.
pub(crate) fn clone_buffers_refused(context: &Context) -> TestResult {
    let Some(mut one) = common::ring_without(CLONE, context, 4)? else {
        return Ok(());
    };
    let mut two = common::ring(context, 4)?;
    one.register_buffers(vec![vec![6; 16].into()])?;
    let error = two.clone_buffers(&one).expect_err("it has no such call");
    assert!(error.is_unsupported(), "{error}");
    let error = two.clone_some_buffers(&one, 0..1, 0).map(drop);
    assert!(error.expect_err("it has no such call").is_unsupported());
    assert_eq!(two.registered_bufs(), 0);
    let version = File::open("/proc/version")?;
    let buf = buffer(&mut one, 0)?;
    assert_eq!(&read(&mut one, &version, buf)?[..6], b"Linux\x06");
    Ok(())
}
