//! What is in files.

use std::sync::Arc;

use uring::op::{
    Discard, Fadvise, Fallocate, FileAdvice, Fsync, Ftruncate, Madvise, MemoryAdvice, Read,
    ReadFixed, ReadV, Splice, SyncFileRange, Tee, Write, WriteFixed, WriteV,
};
use uring::{FixedVecs, IoVecs};
use uring_testkit::TestResult;

use crate::random::flying::{Pushed, push};
use crate::random::world::{LENGTH, World};

pub(crate) fn read(world: &mut World) -> TestResult<Pushed> {
    let place = world.place();
    let read = Read::new(Arc::clone(&world.file), world.buffer()?).at(place);
    Ok(push(world, read))
}

pub(crate) fn read_pipe(world: &mut World) -> TestResult<Pushed> {
    let read = Read::new(Arc::clone(&world.pipe.0), world.buffer()?);
    Ok(push(world, read))
}

pub(crate) fn write(world: &mut World) -> TestResult<Pushed> {
    let place = world.place();
    let write = Write::new(Arc::clone(&world.file), world.buffer()?).at(place);
    Ok(push(world, write))
}

pub(crate) fn read_vectored(world: &mut World) -> TestResult<Pushed> {
    let place = world.place();
    let bufs = IoVecs::from(vec![world.buffer()?, world.buffer()?]);
    let read = ReadV::new(Arc::clone(&world.file), bufs).at(place);
    Ok(push(world, read))
}

pub(crate) fn write_vectored(world: &mut World) -> TestResult<Pushed> {
    let place = world.place();
    let bufs = IoVecs::from(vec![world.buffer()?, world.buffer()?]);
    let write = WriteV::new(Arc::clone(&world.file), bufs).at(place);
    Ok(push(world, write))
}

pub(crate) fn read_registered(world: &mut World) -> TestResult<Pushed> {
    let place = world.place();
    let Some(buf) = world.ring.registered_buf(0) else {
        return Ok(None);
    };
    let read = ReadFixed::new(Arc::clone(&world.file), buf).at(place);
    Ok(push(world, read))
}

pub(crate) fn write_registered(world: &mut World) -> TestResult<Pushed> {
    let place = world.place();
    let Some(buf) = world.ring.registered_buf(1) else {
        return Ok(None);
    };
    let (front, back) = buf.split_at(LENGTH / 2);
    let other = WriteFixed::new(Arc::clone(&world.file), back).at(place);
    let write = WriteFixed::new(Arc::clone(&world.file), front).at(place);
    drop(push(world, other));
    Ok(push(world, write))
}

pub(crate) fn read_registered_vectored(world: &mut World) -> TestResult<Pushed> {
    let Some(buf) = world.ring.registered_buf(1) else {
        return Ok(None);
    };
    let vecs = FixedVecs::new(buf, [0..100, 200..LENGTH]);
    let read = ReadFixed::new(Arc::clone(&world.pipe.0), vecs);
    Ok(push(world, read))
}

pub(crate) fn read_direct(world: &mut World) -> TestResult<Pushed> {
    let Some(direct) = world.directs.pop() else {
        return Ok(None);
    };
    let read = Read::new(direct, world.buffer()?);
    Ok(push(world, read))
}

pub(crate) fn splice(world: &mut World) -> TestResult<Pushed> {
    let mut splice = Splice::new(Arc::clone(&world.pipe.0), Arc::clone(&world.pipe.1), 1);
    if world.random.one_in(2) {
        splice = splice.nonblocking();
    }
    Ok(push(world, splice))
}

pub(crate) fn tee(world: &mut World) -> TestResult<Pushed> {
    let tee = Tee::new(Arc::clone(&world.pipe.0), Arc::clone(&world.sockets.1), 1);
    Ok(push(world, tee.nonblocking()))
}

pub(crate) fn fsync(world: &mut World) -> TestResult<Pushed> {
    let sync = Fsync::new(Arc::clone(&world.file));
    Ok(push(world, sync))
}

pub(crate) fn sync_range(world: &mut World) -> TestResult<Pushed> {
    let sync = SyncFileRange::new(Arc::clone(&world.file), 0, 512).write();
    Ok(push(world, sync))
}

pub(crate) fn allocate(world: &mut World) -> TestResult<Pushed> {
    let place = world.place();
    let allocate = Fallocate::new(Arc::clone(&world.file), place, 512);
    Ok(push(world, allocate))
}

pub(crate) fn truncate(world: &mut World) -> TestResult<Pushed> {
    let place = world.place();
    let truncate = Ftruncate::new(Arc::clone(&world.file), place);
    Ok(push(world, truncate))
}

pub(crate) fn advise(world: &mut World) -> TestResult<Pushed> {
    let advise = Fadvise::new(Arc::clone(&world.file), 0, 512, FileAdvice::WillNeed);
    Ok(push(world, advise))
}

pub(crate) fn advise_memory(world: &mut World) -> TestResult<Pushed> {
    let advise = Madvise::new(world.buffer()?, MemoryAdvice::WillNeed);
    Ok(push(world, advise))
}

pub(crate) fn discard(world: &mut World) -> TestResult<Pushed> {
    let discard = Discard::new(Arc::clone(&world.file), 0, 512);
    Ok(push(world, discard))
}
