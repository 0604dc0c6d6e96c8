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
    Ok(world.chosen.clone().and_then(|group| {
        let read = ReadSelected::new(Arc::clone(&world.file), group).at(place);
        push(world, read)
    }))
}

pub(crate) fn read_multishot(world: &mut World) -> TestResult<Pushed> {
    Ok(world.chosen.clone().and_then(|group| {
        let read = ReadMultishot::new(Arc::clone(&world.pipe.0), group);
        push_many(world, read)
    }))
}

pub(crate) fn receive(world: &mut World) -> TestResult<Pushed> {
    Ok(world.provided.clone().and_then(|group| {
        let receive = RecvSelected::new(Arc::clone(&world.sockets.0), group);
        push(world, receive)
    }))
}

pub(crate) fn receive_multishot(world: &mut World) -> TestResult<Pushed> {
    Ok(world.chosen.clone().and_then(|group| {
        let receive = RecvMultishot::new(Arc::clone(&world.sockets.0), group);
        push_many(world, receive)
    }))
}

pub(crate) fn receive_bundles(world: &mut World) -> TestResult<Pushed> {
    Ok(world.chosen.clone().and_then(|group| {
        let receive = RecvMultishot::new(Arc::clone(&world.sockets.0), group).bundle();
        push_many(world, receive)
    }))
}

pub(crate) fn receive_messages(world: &mut World) -> TestResult<Pushed> {
    Ok(world.chosen.clone().and_then(|group| {
        let receive = RecvMsgMultishot::new(Arc::clone(&world.sockets.0), group).with_address();
        push_many(world, receive)
    }))
}

pub(crate) fn receive_incrementally(world: &mut World) -> TestResult<Pushed> {
    Ok(world.used_up.clone().and_then(|group| {
        let receive = RecvSelected::new(Arc::clone(&world.sockets.0), group);
        push(world, receive)
    }))
}

pub(crate) fn provide(world: &mut World) -> TestResult<Pushed> {
    Ok(world.provided.clone().and_then(|group| {
        let provide = ProvideBuffers::new(&group);
        push(world, provide)
    }))
}

pub(crate) fn remove(world: &mut World) -> TestResult<Pushed> {
    Ok(world.provided.clone().and_then(|group| {
        let remove = RemoveBuffers::new(&group);
        push(world, remove)
    }))
}
