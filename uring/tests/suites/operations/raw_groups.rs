//! Raw forms of what works on groups of buffers.

use std::fs::File;
use std::mem::MaybeUninit;
use std::net::{TcpStream, UdpSocket};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::ptr::NonNull;

use uring::net::{Control, ControlMessage, Message, MessageLayout, SocketAddress};
use uring::op::{
    Cancel, ProvideBuffers, RawBuffers, ReadSelected, RecvMsgMultishot, RemoveBuffers, SendMsg,
    SendQueued,
};
use uring::{Any, Completion, CompletionFlags, IoVecs, RawBufferGroup, Ring};
use uring_testkit::fixtures::SocketKind;
use uring_testkit::{Context, FdTable, TestResult, files};

use crate::common;
use crate::operations::raw::call;
use crate::operations::raw_forms::{memory, target};
use crate::operations::sockets::loopback;

/// A number that the library gives to no group before it has made so many that no test does.
const GROUP: u16 = 7;

const SIZE: usize = 256;

fn group(number: u16) -> RawBufferGroup {
    // SAFETY: each caller keeps the buffers until the completions have been waited for.
    unsafe { RawBufferGroup::new(number) }
}

/// The next completion, of that operation.
fn next(ring: &mut Ring<Any>, number: u64) -> TestResult<Completion> {
    ring.submit_and_wait(1)?;
    let completion = ring.next_completion()?.ok_or("it was waited for")?;
    assert_eq!(completion.user_data(), number);
    Ok(completion)
}

/// Memory for buffers of one size.
struct Memory(Box<[[u8; SIZE]]>);

impl Memory {
    fn new(count: u16) -> Memory {
        Memory(vec![[0; SIZE]; usize::from(count)].into())
    }

    /// As many of its buffers from that one on, by the numbers that they are there.
    fn raw(&mut self, first: u16, count: u16) -> TestResult<RawBuffers> {
        let start = NonNull::from(&mut self.0[usize::from(first)]).cast();
        let size = u32::try_from(SIZE)?;
        // SAFETY: each caller keeps it until the ring is gone, or the buffers have been removed.
        Ok(unsafe { RawBuffers::new(GROUP, first, start, size, count) })
    }

    /// What a completion has put into one.
    fn filled(&self, completion: Completion) -> TestResult<&[u8]> {
        let id = completion.flags().buffer_id().ok_or("it has taken one")?;
        let len = usize::try_from(completion.result()?)?;
        Ok(&self.0[usize::from(id)][..len])
    }
}

/// Gives them to the kernel, of which old ones tell how many.
fn provide(ring: &mut Ring<Any>, buffers: RawBuffers, count: u32) -> TestResult {
    let told = call(ring, ProvideBuffers::at_address(buffers), 50)?.result()?;
    assert!(told == 0 || told == count, "{told}");
    Ok(())
}

fn remove(ring: &mut Ring<Any>, count: u16) -> TestResult<i32> {
    Ok(call(ring, RemoveBuffers::up_to(group(GROUP), count), 51)?.raw_result())
}

pub(crate) fn provided_buffers(context: &Context) -> TestResult {
    let mut memory = Memory::new(6);
    let version = File::open("/proc/version")?;
    let mut ring = common::ring(context, 8)?;
    let read = || ReadSelected::new(target(&version), group(GROUP)).at(0);
    assert_eq!(remove(&mut ring, 1)?, -libc::ENOENT);
    assert_eq!(remove(&mut ring, 0)?, -libc::EINVAL);
    assert_eq!(call(&mut ring, read(), 1)?.raw_result(), -libc::ENOBUFS);
    let none = memory.raw(0, 0)?;
    assert_eq!(
        call(&mut ring, ProvideBuffers::at_address(none), 2)?.raw_result(),
        -libc::E2BIG
    );

    provide(&mut ring, memory.raw(0, 2)?, 2)?;
    provide(&mut ring, memory.raw(4, 2)?, 2)?;
    let mut taken = Vec::new();
    for _ in 0..4 {
        let completion = call(&mut ring, read(), 3)?;
        assert!(memory.filled(completion)?.starts_with(b"Linux version"));
        taken.extend(completion.flags().buffer_id());
    }
    taken.sort_unstable();
    assert_eq!(taken, [0, 1, 4, 5]);
    assert_eq!(memory.0[2..4], [[0; SIZE]; 2]);
    assert_eq!(call(&mut ring, read(), 4)?.raw_result(), -libc::ENOBUFS);

    provide(&mut ring, memory.raw(1, 4)?, 4)?;
    assert_eq!(remove(&mut ring, 3)?, 3);
    assert_eq!(remove(&mut ring, u16::MAX)?, 1);
    assert_eq!(call(&mut ring, read(), 5)?.raw_result(), -libc::ENOBUFS);

    // Kept as others are, they tell what they gave and took.
    let provide = ProvideBuffers::at_address(memory.raw(0, 5)?);
    assert_eq!(ring.call(provide)??, 5);
    assert_eq!(ring.call(RemoveBuffers::up_to(group(GROUP), 9))??, 5);
    Ok(())
}

/// Messages into buffers that were provided, with where they come from and with a file.
pub(crate) fn receive_messages(ring: &mut Ring<Any>) -> TestResult {
    let mut buffers = Memory::new(2);
    provide(ring, buffers.raw(0, 2)?, 2)?;
    let one = UdpSocket::bind(loopback())?;
    let other = UdpSocket::bind(loopback())?;
    let there = other.local_addr()?;
    let mut layout = MaybeUninit::<MessageLayout>::uninit();
    let receive = RecvMsgMultishot::new(target(&other), group(GROUP))
        .layout_into(memory(&mut layout))
        .with_address();
    ring.push_raw(receive, 1)?;
    for (text, more) in [("first", true), ("second", true), ("third", false)] {
        one.send_to(text.as_bytes(), there)?;
        let completion = next(ring, 1)?;
        assert_eq!(completion.flags().contains(CompletionFlags::MORE), more);
        if !more {
            assert_eq!(completion.raw_result(), -libc::ENOBUFS);
            break;
        }
        // SAFETY: the operation has written it, and the kernel has filled the buffer by it; it is read once.
        let message = unsafe { layout.assume_init().read(buffers.filled(completion)?) };
        assert_eq!(message.bytes(), text.as_bytes());
        assert!(!message.is_truncated());
        let from = message.address().as_ref().and_then(SocketAddress::internet);
        assert_eq!(from, Some(one.local_addr()?));
    }
    other.recv(&mut [0; 8])?;
    provide(ring, buffers.raw(0, 2)?, 2)?;
    let (one, other) = UnixDatagram::pair()?;
    let (reader, _writer) = files::pipe()?;
    let mut layout = MaybeUninit::<MessageLayout>::uninit();
    let receive = RecvMsgMultishot::new(target(&other), group(GROUP))
        .with_control(64)
        .layout_into(memory(&mut layout));
    ring.push_raw(receive, 2)?;
    let before = FdTable::now()?;
    for taken in [true, false] {
        let control = Control::new().descriptors(&[reader.as_fd()]);
        let message = Message::new(IoVecs::from(vec!["a file"])).control(control);
        ring.call(SendMsg::new(&one, message))?.result?;
        let completion = next(ring, 2)?;
        // SAFETY: as above.
        let mut message = unsafe { layout.assume_init().read(buffers.filled(completion)?) };
        assert_eq!((message.bytes(), message.address()), (&b"a file"[..], None));
        if taken {
            let Some(ControlMessage::Descriptors(files)) = message.next_control() else {
                return Err("no file came".into());
            };
            assert_eq!(files.len(), 1);
        }
    }
    assert!(before.diff(&FdTable::now()?).is_empty(), "all are closed");
    ring.push_raw(Cancel::user_data(2), 3)?;
    ring.submit_and_wait(2)?;
    let mut results = Vec::new();
    ring.for_each(|completion| results.push((completion.user_data(), completion.raw_result())))?;
    results.sort_unstable();
    // The buffers are used up, and the kernel may have found that first.
    assert!(
        results == [(2, -libc::ECANCELED), (3, 0)]
            || results == [(2, -libc::ENOBUFS), (3, -libc::ENOENT)],
        "{results:?}"
    );
    Ok(())
}

/// What a kernel says that does not know it.
pub(crate) fn receive_messages_unknown(ring: &mut Ring<Any>) -> TestResult {
    let mut buffers = Memory::new(1);
    provide(ring, buffers.raw(0, 1)?, 1)?;
    let (_one, other) = UnixDatagram::pair()?;
    let mut layout = MaybeUninit::uninit();
    let receive = RecvMsgMultishot::new(target(&other), group(GROUP));
    let receive = receive.layout_into(memory(&mut layout));
    assert_eq!(call(ring, receive, 1)?.raw_result(), -libc::EINVAL);
    assert_eq!(remove(ring, 9)?, 1);
    Ok(())
}

/// What waits in a queue is sent, and its books are kept by the completions.
pub(crate) fn send_queued(ring: &mut Ring<Any>) -> TestResult {
    let (one, other) = SocketKind::TcpV4.pair()?;
    let mut reader = TcpStream::from(other);
    let queue = ring.send_queue(2)?;
    let send = || SendQueued::new(target(&one), group(queue.group_id()));
    // SAFETY: each completion is handed over once and in order, and nothing else sends from the queue.
    let sent = |completion| unsafe { queue.sent(completion) };
    let empty = call(ring, send(), 1)?;
    assert_eq!(empty.raw_result(), -libc::ENOBUFS);
    assert!(sent(empty).is_empty());
    for round in 0..3 {
        queue.put(format!("one {round} "))?;
        queue.put(format!("two {round}"))?;
        ring.push_raw(send(), 2)?;
        let mut done = Vec::new();
        loop {
            let completion = next(ring, 2)?;
            done.extend(sent(completion));
            if !completion.flags().contains(CompletionFlags::MORE) {
                break;
            }
        }
        assert_eq!(done, [format!("one {round} "), format!("two {round}")]);
        assert!(queue.is_empty());
        let mut bytes = [0; 11];
        std::io::Read::read_exact(&mut reader, &mut bytes)?;
        assert_eq!(bytes, format!("one {round} two {round}").as_bytes());
    }
    queue.put("not sent".to_owned())?;
    // SAFETY: a number that names nothing.
    let nothing = unsafe { uring::RawTarget::descriptor(i32::MAX) };
    let failed = call(ring, SendQueued::new(nothing, group(queue.group_id())), 3)?;
    assert_eq!(failed.raw_result(), -libc::EBADF);
    assert!(sent(failed).is_empty());
    let refused = queue.put("more".to_owned()).expect_err("a send has failed");
    assert!(refused.error().is_invalid_request(), "{refused}");
    let unsent = queue.take_unsent().ok_or("nothing is in flight")?;
    assert_eq!((unsent.len(), &unsent[0].buf[..]), (1, "not sent"));
    Ok(())
}

/// What a kernel says that has no such groups.
pub(crate) fn send_queued_unknown(ring: &mut Ring<Any>, one: &OwnedFd) -> TestResult<Completion> {
    call(ring, SendQueued::new(target(one), group(GROUP)), 1)
}
