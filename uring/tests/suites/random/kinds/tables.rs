//! The ring's own table of files, and descriptors.

use std::sync::Arc;

use uring::op::{Close, CloseDirect, FilesUpdate, InstallFd, OpenAt, Pipe, SendDirect, Socket};
use uring_testkit::{TestResult, files};

use crate::random::flying::{Pushed, push, push_opening};
use crate::random::world::World;

pub(crate) fn open(world: &mut World) -> TestResult<Pushed> {
    let path = world.path()?;
    let Ok(slot) = world.ring.direct_slot() else {
        return Ok(None);
    };
    let open = OpenAt::new(path).into_direct(slot);
    Ok(push_opening(world, open, |opened| opened.result.ok()))
}

pub(crate) fn socket(world: &mut World) -> TestResult<Pushed> {
    let Ok(slot) = world.ring.direct_slot() else {
        return Ok(None);
    };
    let socket = Socket::new(libc::AF_INET, libc::SOCK_DGRAM).into_direct(slot);
    Ok(push_opening(world, socket, Result::ok))
}

pub(crate) fn pipe(world: &mut World) -> TestResult<Pushed> {
    let Ok(pair) = world.ring.direct_pair() else {
        return Ok(None);
    };
    Ok(push(world, Pipe::new().into_direct(pair)))
}

pub(crate) fn make_pipe(world: &mut World) -> TestResult<Pushed> {
    Ok(push(world, Pipe::new()))
}

pub(crate) fn close(world: &mut World) -> TestResult<Pushed> {
    let Some(direct) = world.directs.pop() else {
        return Ok(None);
    };
    Ok(push(world, CloseDirect::new(direct)))
}

pub(crate) fn close_descriptor(world: &mut World) -> TestResult<Pushed> {
    let (one, _other) = files::pipe()?;
    Ok(push(world, Close::new(one)))
}

pub(crate) fn install(world: &mut World) -> TestResult<Pushed> {
    let Some(direct) = world.directs.pop() else {
        return Ok(None);
    };
    Ok(push(world, InstallFd::new(direct)))
}

pub(crate) fn adopt(world: &mut World) -> TestResult<Pushed> {
    let Ok(slot) = world.ring.direct_slot() else {
        return Ok(None);
    };
    let adopt = FilesUpdate::new(slot, Arc::clone(&world.file));
    Ok(push_opening(world, adopt, |adopted| adopted.result.ok()))
}

/// To a ring that has no table.
pub(crate) fn send(world: &mut World) -> TestResult<Pushed> {
    let Some(direct) = world.directs.pop() else {
        return Ok(None);
    };
    let Ok(slot) = world.other.direct_slot() else {
        world.directs.push(direct);
        world.other.register_direct(1)?;
        return Ok(None);
    };
    let send = SendDirect::new(world.other.address()?, direct, slot);
    Ok(push(world, send))
}
