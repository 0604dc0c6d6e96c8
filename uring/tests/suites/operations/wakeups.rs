//! Waiting for children, for words in memory, and for other rings.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use uring::op::{
    ChildEnd, FutexWait, FutexWaitV, FutexWake, MsgRing, OpenAt, RawFutexWord, Read, SendDirect,
    WaitId,
};
use uring::{Any, Builder, CompletionFlags, RawTarget, Ring};
use uring_testkit::files::pipe;
use uring_testkit::{Context, Feature, TestResult};

use crate::common;
use crate::operations::files::assert_errno;
use crate::operations::raw_forms;

/// A child that runs `body`, and exits with what that gives.
fn fork(body: impl FnOnce() -> i32) -> io::Result<u32> {
    // SAFETY: the child calls nothing but what `body` does, and ends.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let code = body();
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(code) }
        }
        pid => Ok(pid.unsigned_abs()),
    }
}

/// A child that does nothing until it is killed.
fn sleeper() -> io::Result<u32> {
    fork(|| {
        loop {
            // SAFETY: waits for a signal.
            unsafe { libc::pause() };
        }
    })
}

fn signal(pid: u32, signal: i32) {
    let pid = i32::try_from(pid).expect("a process number");
    // SAFETY: our own child, which has not been waited for.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

pub(crate) fn wait_id(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let pid = fork(|| 7)?;
    let kept = ring.call(WaitId::child(pid).keep())?.result?;
    assert_eq!((kept.pid, kept.end), (pid, ChildEnd::Exited(7)));
    let token = ring.push(WaitId::child(pid))?;
    assert_eq!(ring.wait(token)?.result?, kept);
    assert_errno(ring.call(WaitId::child(pid))?.result, libc::ECHILD);

    let pid = sleeper()?;
    // SAFETY: asks for a descriptor of our own child.
    let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    // SAFETY: it was just made, and is known to nobody else.
    let pidfd = unsafe { OwnedFd::from_raw_fd(i32::try_from(pidfd)?) };
    let stopped = ring.push(WaitId::pidfd(pidfd.try_clone()?).or_stopped())?;
    ring.submit()?;
    let stopped = ring.take(stopped).expect_err("it goes on");
    signal(pid, libc::SIGSTOP);
    assert_eq!(
        ring.wait(stopped)?.result?.end,
        ChildEnd::Stopped(libc::SIGSTOP)
    );
    signal(pid, libc::SIGCONT);
    let continued = ring.scope(|scope| -> TestResult<_> {
        let token = scope.push(WaitId::pidfd(&pidfd).or_continued())?;
        Ok(scope.wait(token)?.result?)
    })?;
    assert_eq!(continued.end, ChildEnd::Continued);
    let killed = ring.push(WaitId::any_child())?;
    ring.submit()?;
    signal(pid, libc::SIGKILL);
    let killed = ring.wait(killed)?.result?;
    let end = ChildEnd::Killed {
        signal: libc::SIGKILL,
        dumped: false,
    };
    assert_eq!((killed.pid, killed.end), (pid, end));

    // SAFETY: asks for the process's own group.
    let group = unsafe { libc::getpgrp() }.unsigned_abs();
    let pid = sleeper()?;
    let token = ring.push(WaitId::of_group(group))?;
    ring.submit()?;
    ring.cancel(&token)?;
    assert_errno(ring.wait(token)?.result, libc::ECANCELED);
    signal(pid, libc::SIGKILL);
    assert_eq!(ring.call(WaitId::of_group(group))?.result?.pid, pid);
    raw_forms::wait_id(&mut ring, fork(|| 7)?)
}

fn assert_unknown(
    context: &Context,
    opcode: u8,
    call: impl FnOnce(&mut Ring<Any>) -> TestResult<io::Result<()>>,
) -> TestResult {
    let Some(mut ring) = common::ring_without(Feature::opcode(opcode), context, 4)? else {
        return Ok(());
    };
    assert_errno(call(&mut ring)?, libc::EINVAL);
    Ok(())
}

pub(crate) fn wait_id_refused(context: &Context) -> TestResult {
    assert_unknown(context, uring_sys::IORING_OP_WAITID, |ring| {
        Ok(ring.call(WaitId::any_child())?.result.map(drop))
    })
}

pub(crate) fn futex_refused(context: &Context) -> TestResult {
    let word = AtomicU32::new(0);
    assert_unknown(context, uring_sys::IORING_OP_FUTEX_WAIT, |ring| {
        assert_errno(ring.call(FutexWake::new(&word, 1))?.result, libc::EINVAL);
        assert_errno(
            ring.call(FutexWaitV::new(vec![(&word, 0)]))?.result,
            libc::EINVAL,
        );
        Ok(ring.call(FutexWait::new(&word, 0))?.result)
    })
}

pub(crate) fn epoll_wait_refused(context: &Context) -> TestResult {
    let (reader, _writer) = pipe()?;
    assert_unknown(context, uring_sys::IORING_OP_EPOLL_WAIT, |ring| {
        let wait = uring::op::EpollWait::new(&reader, Vec::with_capacity(1));
        Ok(ring.call(wait)?.result.map(drop))
    })
}

pub(crate) fn message_refused(context: &Context) -> TestResult {
    let target = Ring::new(4)?;
    assert_unknown(context, uring_sys::IORING_OP_MSG_RING, |ring| {
        Ok(ring.call(MsgRing::new(target.address()?, 1, 1))?.result)
    })
}

pub(crate) fn futex(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let word = Arc::new(AtomicU32::new(1));
    assert_errno(ring.call(FutexWait::new(&*word, 0))?.result, libc::EAGAIN);
    assert_eq!(ring.call(FutexWake::new(&*word, 1))?.result?, 0);

    let private = ring.push(FutexWait::new(word.clone(), 1).private())?;
    let shared = ring.push(FutexWait::new(word.clone(), 1).mask(0b01))?;
    ring.submit()?;
    assert_eq!(ring.call(FutexWake::new(&*word, 9).mask(0b10))?.result?, 0);
    assert_eq!(ring.call(FutexWake::new(&*word, 9).mask(0b11))?.result?, 1);
    ring.wait(shared)?.result?;
    let woken = ring.push(FutexWake::new(word.clone(), 9).private())?;
    assert_eq!(ring.wait(woken)?.result?, 1);
    ring.wait(private)?.result?;

    let waiting = ring.push(FutexWait::new(word.clone(), 1))?;
    ring.submit()?;
    ring.cancel(&waiting)?;
    let cancelled = ring.wait(waiting)?;
    assert_errno(cancelled.result, libc::ECANCELED);

    let second = Arc::new(AtomicU32::new(2));
    let words = vec![(word.clone(), 1), (second.clone(), 2)];
    let waiting = ring.push(FutexWaitV::new(words))?;
    ring.submit()?;
    assert_eq!(ring.call(FutexWake::new(&*second, 1))?.result?, 1);
    let done = ring.wait(waiting)?;
    assert_eq!((done.result?, done.word.len()), (1, 2));
    let other = ring.call(FutexWaitV::new(vec![(&*word, 1), (&*second, 1)]).private())?;
    assert_errno(other.result, libc::EAGAIN);

    // SAFETY: it lives to the end of this function, and each completion is waited for.
    let raw = unsafe { RawFutexWord::new(NonNull::from(&*word)) };
    ring.push_raw(FutexWait::new(raw, 1), 1)?;
    ring.push_raw(FutexWake::new(raw, 1), 2)?;
    ring.submit_and_wait(2)?;
    let mut results = Vec::new();
    ring.for_each(|completion| results.push((completion.user_data(), completion.raw_result())))?;
    results.sort_unstable();
    assert_eq!(results, [(1, 0), (2, 1)]);

    raw_forms::futex_wait_v(&mut ring)?;
    by_a_thread(&mut ring, &word)
}

/// Another thread wakes the ring with an ordinary call.
fn by_a_thread(ring: &mut Ring<Any>, word: &Arc<AtomicU32>) -> TestResult {
    let waiting = ring.push(FutexWait::new(word.clone(), 1))?;
    ring.submit()?;
    let changed = word.clone();
    let waker = thread::spawn(move || {
        changed.store(2, Ordering::Release);
        let end = Instant::now() + Duration::from_secs(30);
        // SAFETY: the word is kept by the closure.
        while unsafe { libc::syscall(libc::SYS_futex, changed.as_ptr(), libc::FUTEX_WAKE, 1) } != 1
        {
            assert!(Instant::now() < end, "nobody waits");
            thread::yield_now();
        }
    });
    ring.wait(waiting)?.result?;
    waker.join().expect("somebody was woken");
    assert_eq!(word.load(Ordering::Acquire), 2);
    Ok(())
}

fn message_of(ring: &mut Ring<Any>) -> TestResult<(u64, i32, CompletionFlags)> {
    ring.submit_and_wait(1)?;
    let message = ring.next_completion()?.ok_or("it was waited for")?;
    Ok((message.user_data(), message.raw_result(), message.flags()))
}

pub(crate) fn message(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let movable = Builder::new(8).build()?;
    let bound = Builder::new(8).build_registered()?;
    let targets = [
        (movable.address()?, Ring::<Any>::from(movable)),
        (bound.address()?, Ring::<Any>::from(bound)),
    ];
    for (address, mut target) in targets {
        ring.call(MsgRing::new(&address, 7, -5))?.result?;
        assert_eq!(message_of(&mut target)?, (7, -5, CompletionFlags::empty()));
        let token = ring.push(MsgRing::new(address.clone(), 8, 6))?;
        ring.wait(token)?.result?;
        assert_eq!(message_of(&mut target)?.0, 8);

        let with_flags = MsgRing::new(&address, 9, 1).flags(CompletionFlags::SOCK_NONEMPTY);
        let passed = ring.call(with_flags)?.result;
        // As old as the flag.
        if context.has(Feature::REG_REG_RING) {
            passed?;
            let (number, _, flags) = message_of(&mut target)?;
            assert_eq!((number, flags), (9, CompletionFlags::SOCK_NONEMPTY));
        } else {
            assert_errno(passed, libc::EINVAL);
        }
        for refused in [
            MsgRing::new(&address, 1 << 63, 0),
            MsgRing::new(&address, 1, 0).flags(CompletionFlags::WIDE),
            MsgRing::new(&address, 1, 0).flags(CompletionFlags::SKIP),
        ] {
            let error = ring.call(refused).expect_err("it would be misread");
            assert!(error.is_invalid_request(), "{error}");
            let error = refused.send_now().expect_err("it would be misread");
            assert!(error.is_invalid_request(), "{error}");
        }
        let sent = MsgRing::new(&address, 10, 2).send_now();
        if context.has(Feature::register(uring_sys::IORING_REGISTER_SEND_MSG_RING)) {
            sent?;
            assert_eq!(message_of(&mut target)?.0, 10);
        } else {
            let error = sent.expect_err("there is no such call");
            assert!(error.is_unsupported(), "{error}");
        }
    }

    let (reader, _writer) = pipe()?;
    assert_errno(ring.call(MsgRing::new(&reader, 1, 1))?.result, libc::EBADFD);
    let mut target = Ring::<Any>::from(Ring::new(4)?);
    let movable = Ring::new(4)?;
    // SAFETY: the ring lives to the end of this function, and the completion is waited for.
    let raw = unsafe { RawTarget::descriptor(std::os::fd::AsFd::as_fd(&movable).as_raw_fd()) };
    ring.push_raw(MsgRing::new(raw, 11, 3), 1)?;
    assert_eq!(message_of(&mut ring)?.0, 1);
    let mut movable = Ring::<Any>::from(movable);
    assert_eq!(message_of(&mut movable)?.0, 11);
    assert!(target.next_completion()?.is_none());
    Ok(())
}

pub(crate) fn send_direct(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let mut target = Ring::new(8)?;
    let address = target.address()?;
    ring.register_direct(1)?;
    target.register_direct(2)?;
    let slot = ring.direct_slot()?;
    let source = ring
        .call(OpenAt::new(c"/proc/version").into_direct(slot))?
        .result?;
    for notice in [None, Some(77)] {
        let mut send = SendDirect::new(address.clone(), &source, target.direct_slot()?);
        if let Some(number) = notice {
            send = send.notice(number);
        }
        let sent = ring.call(send)?.result?;
        if let Some(number) = notice {
            target.submit_and_wait(1)?;
            let told = target.next_completion()?.ok_or("it was waited for")?;
            assert_eq!(told.user_data(), number);
        }
        assert!(target.next_completion()?.is_none());
        let read = target.call(Read::new(&sent, vec![0; 5]).at(0))?;
        assert_eq!((read.result?, &read.buf[..]), (5, &b"Linux"[..]));
        assert!(ring.call(Read::new(&sent, vec![0; 5])).is_err());
    }
    let (reader, _writer) = pipe()?;
    let refused = ring.call(SendDirect::new(
        address.clone(),
        &reader,
        target.direct_slot()?,
    ));
    assert!(
        refused
            .expect_err("no direct descriptor")
            .is_invalid_request()
    );
    let other = Ring::new(4)?.address()?;
    let refused = ring.call(SendDirect::new(other, &source, target.direct_slot()?));
    assert!(refused.expect_err("the slot is another's").is_wrong_ring());
    // Into whichever slot is free, until there is none.
    let mut allocated = Ring::new(4)?;
    allocated.register_direct_allocated(2)?;
    let (address_of_it, any) = (allocated.address()?, allocated.any_direct_slot()?);
    let send = || SendDirect::new(address_of_it.clone(), &source, any.clone());
    let (first, second) = (ring.call(send())?.result?, ring.call(send())?.result?);
    assert_ne!(first.index(), second.index());
    for sent in [&first, &second] {
        let read = allocated.call(Read::new(sent, vec![0; 5]).at(0))?;
        assert_eq!(read.buf, b"Linux");
    }
    assert_errno(ring.call(send())?.result, libc::ENFILE);
    let wrong = SendDirect::new(address.clone(), &source, any.clone());
    assert!(ring.call(wrong).expect_err("another's").is_wrong_ring());
    let top = SendDirect::new(address, &source, target.direct_slot()?).notice(1 << 63);
    assert!(
        ring.call(top)
            .expect_err("the ring's own bit")
            .is_invalid_request()
    );
    let mut receiver = Ring::new(4)?;
    receiver.register_direct(1)?;
    let slot = receiver.direct_slot()?;
    raw_forms::send_direct(&mut ring, source.index(), receiver, slot.index())
}
