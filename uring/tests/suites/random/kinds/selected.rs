//! Buffers that the kernel chooses.

use std::sync::Arc;

use uring::op::{
    ProvideBuffers, ReadMultishot, ReadSelected, RecvMsgMultishot, RecvMultishot, RecvSelected,
    RemoveBuffers,
};
use uring_testkit::TestResult;

use crate::random::flying::{Pushed, push, push_many};
use crate::random::world::World;

pub(crate) fn read(world: &mut World) -> TestResult<Pushed> {
    let place = world.place();
    let Some(group) = world.chosen.clone() else {
        return Ok(None);
    };
    let read = ReadSelected::new(Arc::clone(&world.file), group).at(place);
    Ok(push(world, read))
}

pub(crate) fn read_multishot(world: &mut World) -> TestResult<Pushed> {
    let Some(group) = world.chosen.clone() else {
        return Ok(None);
    };
    let read = ReadMultishot::new(Arc::clone(&world.pipe.0), group);
    Ok(push_many(world, read))
}

pub(crate) fn receive(world: &mut World) -> TestResult<Pushed> {
    let Some(group) = world.provided.clone() else {
        return Ok(None);
    };
    let receive = RecvSelected::new(Arc::clone(&world.sockets.0), group);
    Ok(push(world, receive))
}

pub(crate) fn receive_multishot(world: &mut World) -> TestResult<Pushed> {
    let Some(group) = world.chosen.clone() else {
        return Ok(None);
    };
    let receive = RecvMultishot::new(Arc::clone(&world.sockets.0), group);
    Ok(push_many(world, receive))
}

pub(crate) fn receive_bundles(world: &mut World) -> TestResult<Pushed> {
    let Some(group) = world.chosen.clone() else {
        return Ok(None);
    };
    let receive = RecvMultishot::new(Arc::clone(&world.sockets.0), group).bundle();
    Ok(push_many(world, receive))
}

pub(crate) fn receive_messages(world: &mut World) -> TestResult<Pushed> {
    let Some(group) = world.chosen.clone() else {
        return Ok(None);
    };
    let receive = RecvMsgMultishot::new(Arc::clone(&world.sockets.0), group).with_address();
    Ok(push_many(world, receive))
}

pub(crate) fn receive_incrementally(world: &mut World) -> TestResult<Pushed> {
    let Some(group) = world.used_up.clone() else {
        return Ok(None);
    };
    let receive = RecvSelected::new(Arc::clone(&world.sockets.0), group);
    Ok(push(world, receive))
}

pub(crate) fn provide(world: &mut World) -> TestResult<Pushed> {
    let Some(group) = &world.provided else {
        return Ok(None);
    };
    let provide = ProvideBuffers::new(group);
    Ok(push(world, provide))
}

pub(crate) fn remove(world: &mut World) -> TestResult<Pushed> {
    let Some(group) = &world.provided else {
        return Ok(None);
    };
    let remove = RemoveBuffers::new(group);
    Ok(push(world, remove))
}
