//! Raw forms of operations that have a structure of their own, or that fill a slot of the file table.

use std::fs::File;
use std::io::Read as _;
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use uring::op::{
    Accept, AcceptMultishot, Checks, ChildEnd, Close, EpollCtl, EpollEvent, EpollEvents,
    FilesUpdate, FutexWaitV, FutexWaiter, FutexWake, LinkTimeout, Nop, OpenAt, Pipe, Poll,
    PollEvents, Protected, ProtectionAttributes, RawFutexWaiters, RawFutexWord, RawTimespec, Read,
    Resolve, SendDirect, Socket, TimeoutMultishot, Timespec, WaitId, Write,
};
use uring::{
    Any, Builder, Chain, CompletionFlags, Features, Push, RawBuf, RawDirectSlot, RawMemory,
    RawPath, RawTarget, Ring,
};
use uring_testkit::files::{TempDir, pipe};
use uring_testkit::{Context, TestResult};

use crate::common;
use crate::operations::raw::call;

/// A target that lives longer than the operations on it.
pub(crate) fn target(file: &impl AsFd) -> RawTarget {
    // SAFETY: each caller keeps the file until the completions have been waited for.
    unsafe { RawTarget::descriptor(file.as_fd().as_raw_fd()) }
}

/// Memory that lives longer than the operation that is made with it.
pub(crate) fn memory<T: Copy>(memory: &mut MaybeUninit<T>) -> RawMemory<T> {
    // SAFETY: as above; and nobody touches it meanwhile.
    unsafe { RawMemory::new(NonNull::from(memory)) }
}

fn buffer(bytes: &mut [u8]) -> RawBuf {
    let len = bytes.len();
    // SAFETY: as above.
    unsafe { RawBuf::new(NonNull::from(bytes).cast(), len) }
}

fn path(path: &'static std::ffi::CStr) -> RawPath {
    // SAFETY: it lives for ever.
    unsafe { RawPath::new(path.as_ptr()) }
}

/// A slot that a `DirectSlot` of the caller's, or nobody else, has.
fn slot(index: u32) -> RawDirectSlot {
    // SAFETY: as it says.
    unsafe { RawDirectSlot::new(index) }
}

/// What is in a slot, until it is closed.
fn in_slot(index: u32) -> RawTarget {
    // SAFETY: each caller leaves the slot alone until the completions have been waited for.
    unsafe { RawTarget::direct(index) }
}

fn owned(number: impl TryInto<i32>) -> OwnedFd {
    let number = number.try_into().ok().expect("a descriptor");
    // SAFETY: the kernel has just opened it, and nobody else knows of it.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// What is in that slot says `expected`, until it is closed.
fn reads(ring: &mut Ring<Any>, index: u32, expected: &[u8]) -> TestResult {
    let mut bytes = vec![0; expected.len()];
    let read = Read::new(in_slot(index), buffer(&mut bytes));
    assert_eq!(
        call(ring, read, 90)?.result()?,
        u32::try_from(expected.len())?
    );
    assert_eq!(bytes, expected);
    Ok(())
}

fn close_slot(ring: &mut Ring<Any>, index: u32) -> TestResult {
    let close = || Close::new(in_slot(index));
    call(ring, close(), 91)?.result()?;
    let again = call(ring, close(), 92)?.raw_result();
    assert_eq!(again, -libc::EBADF);
    Ok(())
}

pub(crate) fn open_at_2(ring: &mut Ring<Any>) -> TestResult {
    let mut how = MaybeUninit::uninit();
    let directory = File::open("/proc/self")?;
    let mut open = |name| {
        let open = OpenAt::new(path(name)).relative_to(target(&directory));
        open.resolve(Resolve::BENEATH).how_into(memory(&mut how))
    };
    let opened = call(ring, open(c"status"), 1)?.result()?;
    let mut text = String::new();
    File::from(owned(opened)).read_to_string(&mut text)?;
    assert!(text.starts_with("Name:"), "{text}");
    let outside = call(ring, open(c"../version"), 2)?;
    assert_eq!(outside.raw_result(), -libc::EXDEV);

    ring.register_direct(1)?;
    let kept = ring.direct_slot()?;
    let index = kept.index();
    let direct = OpenAt::new(path(c"/proc/version"))
        .into_raw_direct(slot(index))
        .resolve(Resolve::NO_SYMLINKS)
        .how_into(memory(&mut how));
    assert_eq!(call(ring, direct, 3)?.result()?, 0);
    reads(ring, index, b"Linux")?;
    close_slot(ring, index)?;
    let plain = OpenAt::new(path(c"/proc/version")).into_raw_direct(slot(index));
    assert_eq!(call(ring, plain, 4)?.result()?, 0);
    reads(ring, index, b"Linux")?;
    close_slot(ring, index)?;
    // An index that no table has is no other's.
    for nowhere in [1, u32::MAX - 1, u32::MAX] {
        let open = OpenAt::new(path(c"/proc/version")).into_raw_direct(slot(nowhere));
        assert!(call(ring, open, 5)?.raw_result() < 0);
        let close = call(ring, Close::new(in_slot(nowhere)), 6)?;
        assert!(close.raw_result() < 0);
    }
    Ok(())
}

pub(crate) fn pipe_ends(ring: &mut Ring<Any>, any: &mut Ring<Any>) -> TestResult {
    let mut ends = MaybeUninit::uninit();
    let make = Pipe::new().nonblocking().ends_into(memory(&mut ends));
    assert_eq!(call(ring, make, 1)?.result()?, 0);
    // SAFETY: the operation has written it before and the kernel after.
    let [reader, writer] = unsafe { ends.assume_init() }.map(owned);
    assert_eq!(ring.call(Write::new(&writer, "through"))?.result?, 7);
    assert_eq!(ring.call(Read::new(&reader, vec![0; 9]))?.buf, b"through");

    let pair = ring.direct_pair()?;
    let mut bytes = *b"direct";
    let (first, second) = (pair.index(), pair.index() + 1);
    let make = Pipe::new()
        .into_raw_direct(slot(first))
        .ends_into(memory(&mut ends));
    call(ring, make, 2)?.result()?;
    let write = Write::new(in_slot(second), buffer(&mut bytes));
    assert_eq!(call(ring, write, 3)?.result()?, 6);
    reads(ring, first, b"direct")?;
    close_slot(ring, first)?;
    close_slot(ring, second)?;

    // SAFETY: the kernel gives out this table's slots.
    let wherever = unsafe { RawDirectSlot::any() };
    let to = memory(&mut ends);
    let make = || Pipe::new().into_raw_direct(wherever).ends_into(to);
    call(any, make(), 4)?.result()?;
    // SAFETY: as above.
    let [reader, writer] = unsafe { ends.assume_init() }.map(i32::unsigned_abs);
    assert_ne!(reader, writer);
    let write = Write::new(in_slot(writer), buffer(&mut bytes));
    assert_eq!(call(any, write, 5)?.result()?, 6);
    reads(any, reader, b"direct")?;
    close_slot(any, reader)?;
    close_slot(any, writer)?;
    let mut pipes = 0;
    while call(any, make(), 6)?.raw_result() == 0 {
        pipes += 1;
        assert!(pipes < 9, "the table has no end");
    }
    Ok(())
}

pub(crate) fn files_update(ring: &mut Ring<Any>, index: u32) -> TestResult {
    let version = File::open("/proc/version")?;
    let mut number = MaybeUninit::uninit();
    let put = FilesUpdate::new(slot(index), target(&version)).number_into(memory(&mut number));
    assert_eq!(call(ring, put, 1)?.result()?, 1);
    reads(ring, index, b"Linux")?;
    close_slot(ring, index)?;
    // SAFETY: a number that names nothing.
    let nothing = unsafe { RawTarget::descriptor(i32::MAX) };
    let put = FilesUpdate::new(slot(index), nothing).number_into(memory(&mut number));
    assert_eq!(call(ring, put, 2)?.raw_result(), -libc::EBADF);
    Ok(())
}

pub(crate) fn files_update_anywhere(ring: &mut Ring<Any>) -> TestResult {
    let version = File::open("/proc/version")?;
    let mut number = MaybeUninit::uninit();
    // SAFETY: the kernel gives out this table's slots.
    let wherever = unsafe { RawDirectSlot::any() };
    let put = FilesUpdate::new(wherever, target(&version)).number_into(memory(&mut number));
    assert_eq!(call(ring, put, 1)?.result()?, 1);
    // SAFETY: the operation has written it before and the kernel after.
    let index = unsafe { number.assume_init() }.unsigned_abs();
    reads(ring, index, b"Linux")?;
    close_slot(ring, index)
}

pub(crate) fn epoll_ctl(ring: &mut Ring<Any>, epoll: &OwnedFd, file: &OwnedFd) -> TestResult {
    let (epoll, file) = (target(epoll), target(file));
    let mut event = MaybeUninit::<EpollEvent>::uninit();
    let events = EpollEvents::OUT | EpollEvents::EDGE;
    let add = EpollCtl::add(epoll, file, events, 50).event_into(memory(&mut event));
    call(ring, add, 1)?.result()?;
    let modify = EpollCtl::modify(epoll, file, events, 51).event_into(memory(&mut event));
    call(ring, modify, 2)?.result()?;
    let remove = || EpollCtl::remove(epoll, file);
    call(ring, remove().event_into(memory(&mut event)), 3)?.result()?;
    let gone = call(ring, remove().event_into(memory(&mut event)), 4)?;
    assert_eq!(gone.raw_result(), -libc::ENOENT);
    Ok(())
}

pub(crate) fn wait_id(ring: &mut Ring<Any>, exited_with_7: u32) -> TestResult {
    for keep in [true, false] {
        let mut info = MaybeUninit::uninit();
        let wait = WaitId::child(exited_with_7).info_into(memory(&mut info));
        call(ring, if keep { wait.keep() } else { wait }, 1)?.result()?;
        // SAFETY: the operation has written it before and the kernel after.
        let status = unsafe { info.assume_init() }.status()?;
        let told = (status.pid, status.end);
        assert_eq!(told, (exited_with_7, ChildEnd::Exited(7)));
    }
    let mut info = MaybeUninit::uninit();
    let gone = WaitId::any_child().info_into(memory(&mut info));
    assert_eq!(call(ring, gone, 2)?.raw_result(), -libc::ECHILD);
    let mut info = MaybeUninit::uninit();
    let _never_pushed = WaitId::any_child().info_into(memory(&mut info));
    // SAFETY: the operation has written it when it was made.
    assert!(unsafe { info.assume_init() }.status().is_err());
    Ok(())
}

pub(crate) fn futex_wait_v(ring: &mut Ring<Any>) -> TestResult {
    let words = [AtomicU32::new(1), AtomicU32::new(2)];
    // SAFETY: they live to the end of this function, and each completion is waited for.
    let raw = [0, 1].map(|at: usize| unsafe { RawFutexWord::new(NonNull::from(&words[at])) });
    let mut waiters = [FutexWaiter::new(raw[0], 1), FutexWaiter::new(raw[1], 2)];
    // SAFETY: as above.
    let list = unsafe { RawFutexWaiters::new(NonNull::from(&mut waiters).cast(), 2) };
    ring.push_raw(FutexWaitV::at_address(list), 1)?;
    ring.push_raw(FutexWake::new(raw[1], 1), 2)?;
    ring.submit_and_wait(2)?;
    let mut results = Vec::new();
    ring.for_each(|completion| results.push((completion.user_data(), completion.raw_result())))?;
    results.sort_unstable();
    assert_eq!(results, [(1, 1), (2, 1)]);
    let mut changed = [FutexWaiter::new(raw[0], 7).private()];
    // SAFETY: as above.
    let list = unsafe { RawFutexWaiters::new(NonNull::from(&mut changed).cast(), 1) };
    let changed = call(ring, FutexWaitV::at_address(list), 3)?;
    assert_eq!(changed.raw_result(), -libc::EAGAIN);
    Ok(())
}

/// `source` is a slot of `ring` with `/proc/version` in it, and slot 0 of `receiver` the caller's.
pub(crate) fn send_direct(
    ring: &mut Ring<Any>,
    source: u32,
    receiver: Ring,
    index: u32,
) -> TestResult {
    let address = target(&receiver);
    let mut receiver = Ring::<Any>::from(receiver);
    let send = SendDirect::to_raw(address, in_slot(source), slot(index));
    assert_eq!(call(ring, send, 1)?.result()?, 0);
    reads(&mut receiver, index, b"Linux")?;
    close_slot(&mut receiver, index)?;
    let send = SendDirect::to_raw(address, in_slot(source), slot(index));
    call(ring, send.notice(5), 2)?.result()?;
    receiver.submit_and_wait(1)?;
    let told = receiver.next_completion()?.ok_or("it was waited for")?;
    assert_eq!(told.user_data(), 5);
    close_slot(&mut receiver, index)?;
    let nothing = SendDirect::to_raw(address, in_slot(1 << 19), slot(index));
    assert!(call(ring, nothing, 3)?.raw_result() < 0);
    let top = SendDirect::to_raw(address, in_slot(source), slot(index)).notice(1 << 63);
    let refused = ring.push_raw(top, 4).expect_err("the receiver's own bit");
    assert!(refused.error().is_invalid_request(), "{refused}");
    let (reader, _writer) = pipe()?;
    let no_ring = SendDirect::to_raw(target(&reader), in_slot(source), slot(index));
    assert_eq!(call(ring, no_ring, 5)?.raw_result(), -libc::EBADFD);
    Ok(())
}

/// A write of a block with its protection information, right or wrong; `errno` is what a wrong one is answered with, and a right one
/// where none is kept.
pub(crate) fn protected(
    ring: &mut Ring<Any>,
    file: &impl AsFd,
    block: &mut [u8],
    protection: &mut [u8],
    seed: u64,
) -> TestResult<[i32; 2]> {
    let mut attributes = MaybeUninit::<ProtectionAttributes>::uninit();
    let (block, protection) = (buffer(block), buffer(protection));
    let write = Write::new(target(file), block).at(3 * 512);
    let write = Protected::writing(write, protection)
        .checks(Checks::GUARD)
        .attributes_into(memory(&mut attributes))
        .checks(Checks::GUARD | Checks::REFERENCE)
        .seed(seed);
    let written = call(ring, write, 1)?.raw_result();
    let read = Read::new(target(file), block).at(3 * 512);
    let read = Protected::reading(read, protection)
        .seed(seed)
        .attributes_into(memory(&mut attributes));
    Ok([written, call(ring, read, 2)?.raw_result()])
}

/// Sockets that are made and accepted in slots.
pub(crate) fn sockets(ring: &mut Ring<Any>) -> TestResult {
    let (first, second) = (ring.direct_slot()?, ring.direct_slot()?);
    let made = Socket::new(libc::AF_INET, libc::SOCK_STREAM).into_raw_direct(slot(first.index()));
    assert_eq!(call(ring, made, 1)?.result()?, 0);
    close_slot(ring, first.index())?;
    let unknown = Socket::new(-1, libc::SOCK_STREAM).into_raw_direct(slot(first.index()));
    assert!(call(ring, unknown, 2)?.raw_result() < 0);
    let listener = TcpListener::bind(crate::operations::sockets::loopback())?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let accept = Accept::new(target(&listener)).into_raw_direct(slot(second.index()));
    assert_eq!(call(ring, accept, 3)?.result()?, 0);
    std::io::Write::write_all(&mut client, b"to the slot")?;
    reads(ring, second.index(), b"to the slot")?;
    close_slot(ring, second.index())
}

/// Connections that are accepted into whichever slot is free of a table of two.
pub(crate) fn accepted_anywhere(ring: &mut Ring<Any>) -> TestResult {
    let listener = TcpListener::bind(crate::operations::sockets::loopback())?;
    // SAFETY: the kernel gives out this table's slots.
    let wherever = unsafe { RawDirectSlot::any() };
    let accepts = AcceptMultishot::new(target(&listener)).into_raw_direct(wherever);
    ring.push_raw(accepts, 7)?;
    let mut clients = Vec::new();
    for round in 0..3 {
        clients.push(TcpStream::connect(listener.local_addr()?)?);
        ring.submit_and_wait(1)?;
        let accepted = ring.next_completion()?.ok_or("it was waited for")?;
        assert_eq!(accepted.user_data(), 7);
        assert_eq!(accepted.flags().contains(CompletionFlags::MORE), round < 2);
        if round < 2 {
            std::io::Write::write_all(&mut clients[round], b"hello")?;
            reads(ring, accepted.result()?, b"hello")?;
        } else {
            assert_eq!(accepted.raw_result(), -libc::ENFILE);
        }
    }
    close_slot(ring, 0)?;
    close_slot(ring, 1)
}

/// The completions that have come: numbers and results, by number.
fn told(ring: &mut Ring<Any>, count: u32) -> TestResult<Vec<(u64, i32)>> {
    ring.submit_and_wait(count)?;
    let mut told = Vec::new();
    ring.for_each(|completion| told.push((completion.user_data(), completion.raw_result())))?;
    told.sort_unstable();
    Ok(told)
}

pub(crate) fn chains(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let dir = TempDir::new()?;
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(dir.path().join("file"))?;
    let full = File::create("/dev/full")?;
    let (reader, _writer) = pipe()?;
    let mut bytes = *b"all";
    let mut back = [0; 3];
    let (from, into) = (buffer(&mut bytes), buffer(&mut back));
    let write = || Write::new(target(&file), from).at(0);
    let fails = || Write::new(target(&full), from);
    let read = || Read::new(target(&file), into).at(0);

    let chain = Chain::new(write()).then(read()).then(Nop::new());
    ring.push_raw_chain(chain, ((1, 2), 3))?;
    assert_eq!(told(&mut ring, 3)?, [(1, 3), (2, 3), (3, 0)]);
    assert_eq!(&back, b"all");
    // What follows a failure is cancelled, unless it is to start always.
    let chain = Chain::new(fails()).then(read()).then(Nop::new());
    ring.push_raw_chain(chain, ((1, 2), 3))?;
    let cancelled = -libc::ECANCELED;
    let failed = [(1, -libc::ENOSPC), (2, cancelled), (3, cancelled)];
    assert_eq!(told(&mut ring, 3)?, failed);
    let chain = Chain::new(fails()).then_always(read()).then(Nop::new());
    ring.push_raw_chain(chain, ((1, 2), 3))?;
    let failed = [(1, -libc::ENOSPC), (2, 3), (3, 0)];
    assert_eq!(told(&mut ring, 3)?, failed);

    // Limits, in the entry's own time and elsewhere, and options.
    let soon = Timespec::from(Duration::from_millis(2));
    // SAFETY: it lives to the end of this function, and all completions are waited for.
    let soon = unsafe { RawTimespec::new(NonNull::from(&soon)) };
    let chain = Chain::new(Nop::new())
        .with(Push::new().always_async())
        .then(Poll::new(target(&reader), PollEvents::IN))
        .timeout(LinkTimeout::at_address(soon))
        .then(Nop::new());
    ring.push_raw_chain(chain, (((1, 2), 3), 4))?;
    let late = [(1, 0), (2, cancelled), (3, -libc::ETIME), (4, cancelled)];
    assert_eq!(told(&mut ring, 4)?, late);
    let chain = Chain::new(read())
        .with(Push::new().personality_id(77))
        .then(Nop::new());
    ring.push_raw_chain(chain, (1, 2))?;
    assert_eq!(told(&mut ring, 2)?, [(1, -libc::EINVAL), (2, cancelled)]);

    // Whole or not at all, also from a batch.
    let refused = ring.push_raw_chain(Chain::new(Nop::new()).then(Nop::new()), (1, 1 << 63));
    let refused = refused.expect_err("the ring's own bit");
    assert!(refused.error().is_invalid_request(), "{refused}");
    assert_eq!(ring.pending(), 0);
    let mut small = common::build(context, &Builder::new(2).in_flight(2))?;
    let refused = small.push_raw_chain(
        Chain::new(write()).then(read()).then(Nop::new()),
        ((1, 2), 3),
    );
    let refused = refused.expect_err("three do not fit");
    assert!(refused.error().is_queue_full(), "{refused}");
    assert_eq!(small.pending(), 0);
    let chain = refused.into_inner();
    ring.batch(|batch| -> TestResult {
        batch.push_raw(Nop::new(), 0)?;
        batch.push_raw_chain(chain, ((1, 2), 3))?;
        batch.push_raw(Nop::new(), 4)?;
        Ok(())
    })?;
    let all = [(0, 0), (1, 3), (2, 3), (3, 0), (4, 0)];
    assert_eq!(told(&mut ring, 5)?, all);
    // More than the queue has room for beside what is in it: that is submitted first, and the chain is not torn.
    for _ in 0..context.rounds(50) {
        for number in 0..6 {
            ring.push_raw(Nop::new(), number)?;
        }
        let chain = Chain::new(write())
            .then(fails())
            .then(read())
            .then(Nop::new());
        ring.push_raw_chain(chain, (((10, 11), 12), 13))?;
        let told = told(&mut ring, 10)?;
        let failed = [
            (10, 3),
            (11, -libc::ENOSPC),
            (12, cancelled),
            (13, cancelled),
        ];
        assert_eq!(told[6..], failed);
    }
    Ok(())
}

/// One completion for a whole chain, from the member that says most.
pub(crate) fn quiet_chains(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let full = File::create("/dev/full")?;
    let version = File::open("/proc/version")?;
    let mut bytes = [0; 5];
    let into = buffer(&mut bytes);
    let read = || Read::new(target(&version), into).at(0);
    let mut text = *b"text";
    let fails = Write::new(target(&full), buffer(&mut text));
    let skips = ring.setup().features().contains(Features::CQE_SKIP);
    let cancelled = -libc::ECANCELED;
    let chain = Chain::new(Nop::new()).then(read()).then(Nop::new());
    ring.push_raw_chain(chain.skip_success(), ((1, 2), 3))?;
    ring.push_raw(Nop::new(), 4)?;
    // Without a file to wait for all of it is done in order, and at once.
    let all = [(1, 0), (2, 5), (3, 0), (4, 0)];
    let told_of = if skips { &all[2..] } else { &all[..] };
    assert_eq!(told(&mut ring, u32::try_from(told_of.len())?)?, told_of);
    let chain = Chain::new(Nop::new())
        .then(fails)
        .then(read())
        .then(Nop::new());
    ring.push_raw_chain(chain.skip_success(), (((1, 2), 3), 4))?;
    let all = [(1, 0), (2, -libc::ENOSPC), (3, cancelled), (4, cancelled)];
    let told_of = if skips { &all[1..2] } else { &all[..] };
    assert_eq!(told(&mut ring, u32::try_from(told_of.len())?)?, told_of);
    // With a time limit, a hard link or an operation that goes on nothing is left out.
    let chain = Chain::new(Nop::new()).then_always(Nop::new());
    ring.push_raw_chain(chain.skip_success(), (1, 2))?;
    assert_eq!(told(&mut ring, 2)?, [(1, 0), (2, 0)]);
    Ok(())
}

pub(crate) fn timeout_multishot(ring: &mut Ring<Any>) -> TestResult {
    let soon = Timespec::from(Duration::from_millis(2));
    // SAFETY: it lives to the end of this function, and all completions are waited for.
    let soon = unsafe { RawTimespec::new(NonNull::from(&soon)) };
    ring.push_raw(TimeoutMultishot::at_address(soon).repeats(3), 8)?;
    for round in 0..3 {
        ring.submit_and_wait(1)?;
        let tick = ring.next_completion()?.ok_or("it was waited for")?;
        assert_eq!((tick.user_data(), tick.raw_result()), (8, -libc::ETIME));
        assert_eq!(tick.flags().contains(CompletionFlags::MORE), round < 2);
    }
    Ok(())
}
