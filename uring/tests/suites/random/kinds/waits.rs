//! What waits, and what ends waiting.

use std::sync::Arc;
use std::time::Duration;

use uring::op::{
    Cancel, EpollCtl, EpollEvents, EpollWait, FutexWait, FutexWaitV, FutexWake, MsgRing, Nop,
    NopInjected, Poll, PollEvents, PollMultishot, PollRemove, PollUpdate, Timeout,
    TimeoutMultishot, TimeoutRemove, TimeoutUpdate, WaitId,
};
use uring_testkit::TestResult;

use crate::random::flying::{Pushed, push, push_many};
use crate::random::world::World;

pub(crate) fn nop(world: &mut World) -> TestResult<Pushed> {
    Ok(push(world, Nop::new()))
}

pub(crate) fn nop_injected(world: &mut World) -> TestResult<Pushed> {
    Ok(push(world, NopInjected::new(-libc::EIO).task_work()))
}

fn soon(world: &mut World) -> Duration {
    Duration::from_micros(world.random.below(3000))
}

pub(crate) fn timeout(world: &mut World) -> TestResult<Pushed> {
    let timeout = Timeout::after(soon(world));
    Ok(push(world, timeout))
}

pub(crate) fn timeout_multishot(world: &mut World) -> TestResult<Pushed> {
    let every = Duration::from_micros(500 + world.random.below(1000));
    let repeats = u32::try_from(world.random.below(4))?;
    let timeout = TimeoutMultishot::every(every).repeats(repeats);
    Ok(push_many(world, timeout))
}

/// A number of an operation that there is not.
fn unknown(world: &mut World) -> u64 {
    1 + world.random.below(1000)
}

pub(crate) fn timeout_remove(world: &mut World) -> TestResult<Pushed> {
    let remove = TimeoutRemove::user_data(unknown(world));
    Ok(push(world, remove))
}

pub(crate) fn timeout_update(world: &mut World) -> TestResult<Pushed> {
    let (after, instead) = (soon(world), soon(world));
    let Ok(timeout) = world.ring.push(Timeout::after(after)) else {
        return Ok(None);
    };
    let update = TimeoutUpdate::token(&timeout, instead);
    world.ring.detach(timeout);
    Ok(push(world, update))
}

pub(crate) fn poll(world: &mut World) -> TestResult<Pushed> {
    let poll = Poll::new(Arc::clone(&world.pipe.0), PollEvents::IN);
    Ok(push(world, poll))
}

pub(crate) fn poll_multishot(world: &mut World) -> TestResult<Pushed> {
    let poll = PollMultishot::new(Arc::clone(&world.pipe.0), PollEvents::IN);
    Ok(push_many(world, poll))
}

pub(crate) fn poll_remove(world: &mut World) -> TestResult<Pushed> {
    let remove = PollRemove::user_data(unknown(world));
    Ok(push(world, remove))
}

pub(crate) fn poll_update(world: &mut World) -> TestResult<Pushed> {
    let poll = Poll::new(Arc::clone(&world.pipe.0), PollEvents::IN);
    let Ok(poll) = world.ring.push(poll) else {
        return Ok(None);
    };
    // What is there already would lose the poll on some kernels.
    let update = PollUpdate::token(&poll, PollEvents::PRI);
    world.ring.detach(poll);
    Ok(push(world, update))
}

pub(crate) fn cancel(world: &mut World) -> TestResult<Pushed> {
    let cancel = match world.random.below(5) {
        0 => Cancel::target(&*world.pipe.0),
        1 => Cancel::opcode(uring_sys::IORING_OP_READ),
        2 => Cancel::any(),
        3 => Cancel::target(&*world.pipe.0).every(),
        _ => Cancel::any().every(),
    };
    Ok(push(world, cancel))
}

pub(crate) fn futex_wait(world: &mut World) -> TestResult<Pushed> {
    let wait = FutexWait::new(Arc::clone(&world.word), 0);
    Ok(push(world, wait))
}

pub(crate) fn futex_wait_several(world: &mut World) -> TestResult<Pushed> {
    let words = vec![(Arc::clone(&world.word), 0), (Arc::default(), 0)];
    Ok(push(world, FutexWaitV::new(words)))
}

pub(crate) fn futex_wake(world: &mut World) -> TestResult<Pushed> {
    let wake = FutexWake::new(Arc::clone(&world.word), 1);
    Ok(push(world, wake))
}

pub(crate) fn epoll_control(world: &mut World) -> TestResult<Pushed> {
    let (epoll, pipe) = (Arc::clone(&world.epoll), Arc::clone(&world.pipe.0));
    let control = if world.random.one_in(2) {
        EpollCtl::add(epoll, pipe, EpollEvents::IN, 1)
    } else {
        EpollCtl::remove(epoll, pipe)
    };
    Ok(push(world, control))
}

pub(crate) fn epoll_wait(world: &mut World) -> TestResult<Pushed> {
    let wait = EpollWait::new(Arc::clone(&world.epoll), Vec::with_capacity(2));
    Ok(push(world, wait))
}

/// One that this process does not have.
pub(crate) fn child(world: &mut World) -> TestResult<Pushed> {
    Ok(push(world, WaitId::child(std::process::id())))
}

pub(crate) fn message(world: &mut World) -> TestResult<Pushed> {
    let message = MsgRing::new(world.other.address()?, 1, 2);
    Ok(push(world, message))
}
