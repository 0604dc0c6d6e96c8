//! Waiting for what can be done with files: polls, and epoll instances.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::ptr::NonNull;

use uring::op::{
    EndReason, EpollCtl, EpollEvent, EpollEvents, EpollWait, OpenAt, Poll, PollEvents,
    PollMultishot, PollRemove, PollUpdate, RawEpollEvents, Read, Write,
};
use uring::{Any, RawTarget, Ring};
use uring_testkit::files::{pipe, socketpair};
use uring_testkit::{Context, Feature, TestResult};

use crate::common;
use crate::operations::files::assert_errno;
use crate::operations::raw_forms;

pub(crate) fn poll(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let (reader, writer) = pipe()?;
    assert!(
        ring.call(Poll::new(&writer, PollEvents::OUT))?
            .result?
            .contains(PollEvents::OUT)
    );
    let waiting = ring.push(Poll::new(reader.try_clone()?, PollEvents::IN))?;
    ring.submit()?;
    let waiting = ring.take(waiting).expect_err("there is nothing to read");
    ring.call(Write::new(&writer, "1"))?.result?;
    let polled = ring.wait(waiting)?;
    assert_eq!(polled.result?, PollEvents::IN);
    ring.call(Read::new(&polled.target, vec![0]))?.result?;

    let waiting = ring.push(Poll::new(reader.try_clone()?, PollEvents::IN))?;
    ring.call(PollRemove::token(&waiting))??;
    assert_errno(ring.wait(waiting)?.result, libc::ECANCELED);
    assert_errno(ring.call(PollRemove::user_data(99))?, libc::ENOENT);
    // Linux 5.10 with updates loses a poll that is changed to what can be done already.
    if context.has(Feature::RING_FDS) {
        changed(&mut ring, &reader, &writer)?;
    }
    for (from, to) in [(1 << 63, 1), (1, 1 << 63)] {
        let refused = ring
            .call(PollUpdate::rename(from, to))
            .expect_err("the ring's own bit");
        assert!(refused.is_invalid_request(), "{refused}");
    }

    ring.scope(|scope| -> TestResult {
        let token = scope.push(Poll::new(&reader, PollEvents::IN))?;
        drop(writer);
        assert!(scope.wait(token)?.result?.contains(PollEvents::HUP));
        Ok(())
    })?;
    ring.register_direct(1)?;
    let slot = ring.direct_slot()?;
    let direct = ring
        .call(OpenAt::new(c"/proc/version").into_direct(slot))?
        .result?;
    assert!(
        ring.call(Poll::new(&direct, PollEvents::IN))?
            .result?
            .contains(PollEvents::IN)
    );
    Ok(())
}

fn changed(ring: &mut Ring<Any>, reader: &OwnedFd, writer: &OwnedFd) -> TestResult {
    // To something that is not there yet: up to Linux 6.18 a poll that could end with its change may never do so.
    let waiting = ring.push(Poll::new(reader.try_clone()?, PollEvents::PRI))?;
    ring.call(PollUpdate::token(&waiting, PollEvents::IN))??;
    ring.call(Write::new(writer, "1"))?.result?;
    assert!(ring.wait(waiting)?.result?.contains(PollEvents::IN));
    ring.call(Read::new(reader, vec![0]))?.result?;
    let gone = PollUpdate::user_data(99, PollEvents::OUT);
    assert_errno(ring.call(gone)?, libc::ENOENT);

    // SAFETY: both live to the end of this function, and each completion is waited for.
    let target = unsafe { RawTarget::descriptor(reader.as_raw_fd()) };
    ring.push_raw(Poll::new(target, PollEvents::IN), 5)?;
    ring.push_raw(PollUpdate::rename(5, 6).events(PollEvents::RDHUP), 7)?;
    ring.push_raw(PollUpdate::rename(6, 8), 9)?;
    ring.push_raw(PollRemove::user_data(8), 10)?;
    ring.submit_and_wait(4)?;
    let mut results = Vec::new();
    ring.for_each(|completion| results.push((completion.user_data(), completion.raw_result())))?;
    results.sort_unstable();
    assert_eq!(results, [(7, 0), (8, -libc::ECANCELED), (9, 0), (10, 0)]);
    Ok(())
}

pub(crate) fn poll_multishot(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let (reader, writer) = pipe()?;
    let token = ring.push(PollMultishot::new(reader.try_clone()?, PollEvents::IN))?;
    for _ in 0..3 {
        ring.call(Write::new(&writer, "x"))?.result?;
        assert_eq!(ring.wait_item(&token)?, Some(PollEvents::IN));
    }
    ring.cancel(&token)?;
    assert_eq!(ring.wait_item(&token)?, None);
    let ended = ring.wait(token)?;
    assert!(matches!(ended.reason, EndReason::Cancelled));

    // SAFETY: it lives to the end of this function, and the completions are waited for.
    let target = unsafe { RawTarget::descriptor(reader.as_raw_fd()) };
    ring.push_raw(PollMultishot::new(target, PollEvents::IN), 3)?;
    ring.submit_and_wait(1)?;
    let first = ring.next_completion()?.ok_or("it was waited for")?;
    assert_eq!(
        (first.user_data(), first.result()?),
        (3, PollEvents::IN.bits())
    );
    ring.push_raw(PollRemove::user_data(3), 4)?;
    ring.submit_and_wait(2)?;
    Ok(())
}

fn epoll() -> io::Result<OwnedFd> {
    // SAFETY: the descriptor was just made and is known to nobody else.
    unsafe {
        match libc::epoll_create1(libc::EPOLL_CLOEXEC) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(OwnedFd::from_raw_fd(fd)),
        }
    }
}

/// What the instance tells, without the ring.
fn told(epoll: &OwnedFd) -> Vec<(u32, u64)> {
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; 4];
    // SAFETY: room for four events.
    let count = unsafe { libc::epoll_wait(epoll.as_raw_fd(), events.as_mut_ptr(), 4, 0) };
    let count = usize::try_from(count).expect("the instance is open");
    events[..count]
        .iter()
        .map(|event| (event.events, event.u64))
        .collect()
}

pub(crate) fn epoll_ctl(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let epoll = epoll()?;
    let (socket, other) = socketpair()?;
    let add = EpollCtl::add(
        epoll.try_clone()?,
        socket.try_clone()?,
        EpollEvents::OUT,
        42,
    );
    let token = ring.push(add)?;
    let added = ring.wait(token)?;
    added.result?;
    assert_eq!(told(&epoll), [(EpollEvents::OUT.bits(), 42)]);
    // The same once more: it is told by the descriptor's number too.
    let again = ring.call(EpollCtl::add(&epoll, &added.with, EpollEvents::OUT, 1))?;
    assert_errno(again.result, libc::EEXIST);
    let events = EpollEvents::IN | EpollEvents::ONESHOT;
    ring.call(EpollCtl::modify(&epoll, &added.with, events, 43))?
        .result?;
    assert_eq!(told(&epoll), []);
    ring.call(Write::new(&other, "x"))?.result?;
    assert_eq!(told(&epoll), [(EpollEvents::IN.bits(), 43)]);
    ring.scope(|scope| -> TestResult {
        let token = scope.push(EpollCtl::remove(&epoll, &added.with))?;
        Ok(scope.wait(token)?.result?)
    })?;
    let gone = ring.call(EpollCtl::remove(&epoll, &socket))?;
    assert_errno(gone.result, libc::ENOENT);
    let file = File::open("/proc/self/exe")?;
    let no_instance = ring.call(EpollCtl::add(&file, &socket, EpollEvents::IN, 1))?;
    assert_errno(no_instance.result, libc::EINVAL);
    raw_forms::epoll_ctl(&mut ring, &epoll, &other)
}

pub(crate) fn epoll_wait(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let epoll = epoll()?;
    let (reader, writer) = pipe()?;
    ring.call(EpollCtl::add(&epoll, &reader, EpollEvents::IN, 7))?
        .result?;
    let token = ring.push(EpollWait::new(epoll.try_clone()?, Vec::with_capacity(4)))?;
    ring.submit()?;
    let token = ring.take(token).expect_err("there is nothing to read");
    ring.call(Write::new(&writer, "x"))?.result?;
    let done = ring.wait(token)?;
    assert_eq!((done.result?, done.with.len()), (1, 1));
    assert_eq!(
        (done.with[0].events(), done.with[0].number()),
        (EpollEvents::IN, 7)
    );

    let mut events = [EpollEvent::default(); 2];
    assert_eq!(
        ring.call(EpollWait::new(&epoll, &mut events[..]))?.result?,
        1
    );
    assert_eq!(events[0].number(), 7);
    let mut raw = [EpollEvent::default(); 2];
    // SAFETY: both live to the end of this function, and the completion is waited for.
    let (target, memory) = unsafe {
        (
            RawTarget::descriptor(epoll.as_raw_fd()),
            RawEpollEvents::new(NonNull::from(&mut raw).cast(), 2),
        )
    };
    ring.push_raw(EpollWait::new(target, memory), 1)?;
    ring.submit_and_wait(1)?;
    assert_eq!(
        ring.next_completion()?
            .ok_or("it was waited for")?
            .result()?,
        1
    );
    assert_eq!(raw[0].number(), 7);
    let no_room = ring.call(EpollWait::new(&epoll, Vec::new()))?;
    assert_errno(no_room.result, libc::EINVAL);
    let no_instance = ring.call(EpollWait::new(&reader, Vec::with_capacity(1)))?;
    assert_errno(no_instance.result, libc::EINVAL);
    Ok(())
}
