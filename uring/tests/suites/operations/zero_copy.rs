//! Sending without copying, and sending several buffers.

use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::ptr::NonNull;
use std::thread::{self, JoinHandle};

use uring::net::Message;
use uring::op::{
    Nop, Read, SendMsgZc, SendMsgZcFixed, SendVectored, SendZc, SendZcFixed, ZeroCopied,
};
use uring::{Any, Chain, FixedVecs, IoVecs, Push, RawBuf, RawIoVecs, RawTarget, Ring, Slice};
use uring_testkit::fixtures::SocketKind;
use uring_testkit::{Context, Feature, TestResult, files};

use crate::common::{self, Recorded};
use crate::operations::files::assert_errno;
use crate::operations::raw;
use crate::operations::raw_sockets;
use crate::operations::sockets::loopback;

/// Linux 6.1 has all of these, and 6.2 tells usage.
pub(crate) const ZERO_COPY: Feature = Feature::opcode(uring_sys::IORING_OP_SENDMSG_ZC);

/// Reads that much from another thread, since a send may need its ring entered to go on.
fn read(socket: &OwnedFd, len: usize) -> TestResult<JoinHandle<io::Result<Vec<u8>>>> {
    let mut stream = TcpStream::from(socket.try_clone()?);
    Ok(thread::spawn(move || {
        let mut bytes = vec![0; len];
        stream.read_exact(&mut bytes).map(|()| bytes)
    }))
}

fn read_by(reader: JoinHandle<io::Result<Vec<u8>>>) -> TestResult<Vec<u8>> {
    Ok(reader.join().map_err(|_| "the reader has panicked")??)
}

pub(crate) fn send(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let (one, other) = SocketKind::TcpV4.pair()?;
    let (buffer, recording) = Recorded::new(20_000)?;
    let reader = read(&other, 20_000)?;
    let token = ring.push(SendZc::new(one, buffer).flags(libc::MSG_WAITALL))?;
    let sent = ring.wait(token)?;
    assert_eq!((sent.result?, sent.copied), (20_000, None));
    read_by(reader)?;
    assert!(recording.dropped().is_none());
    drop(sent.buf);
    assert!(recording.dropped().is_some());
    let one = sent.target;

    // Nobody waits for it: the buffer goes with the notification.
    let (buffer, recording) = Recorded::new(20_000)?;
    let reader = read(&other, 20_000)?;
    let whole = SendZc::new(one.try_clone()?, buffer).flags(libc::MSG_WAITALL);
    let token = ring.push(whole)?;
    ring.submit()?;
    ring.detach(token);
    while ring.in_flight() > 0 {
        ring.call(uring::op::Nop::new())??;
    }
    read_by(reader)?;
    assert!(recording.dropped().is_some());

    let bytes = vec![3; 9_000];
    ring.scope(|scope| -> TestResult {
        let reader = read(&other, 9_000)?;
        let token = scope.push(SendZc::new(&one, &bytes[..]).poll_first())?;
        assert_eq!(scope.wait(token)?.result?, 9_000);
        assert_eq!(read_by(reader)?, bytes);
        Ok(())
    })?;
    usage(&mut ring, context)?;
    refused_sockets(&mut ring)?;

    let datagrams = UdpSocket::bind(loopback())?;
    let other = UdpSocket::bind(loopback())?;
    let sent = ring.call(SendZc::new(&datagrams, "to you").to(other.local_addr()?))?;
    assert_eq!(sent.result?, 6);
    let mut bytes = [0; 6];
    assert_eq!(other.recv_from(&mut bytes)?, (6, datagrams.local_addr()?));
    assert_eq!(&bytes, b"to you");
    Ok(())
}

fn usage(ring: &mut Ring<Any>, context: &Context) -> TestResult {
    let (one, other) = SocketKind::TcpV4.pair()?;
    let reader = read(&other, 5_000)?;
    let token = ring.push(SendZc::new(raw_target(&one), vec![1; 5_000]).report_usage())?;
    let sent = ring.wait(token)?;
    if let Err(error) = sent.result {
        // Linux 6.2 has it, which no feature tells, as have later releases of 6.1.
        assert!(!context.has(Feature::REG_REG_RING), "{error}");
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        assert_eq!((sent.copied, sent.buf.len()), (None, 5_000));
        ring.call(SendZc::new(&one, sent.buf))?.result?;
    } else {
        // Whether the loopback device copies is its own affair.
        assert!(sent.copied.is_some());
    }
    read_by(reader)?;
    Ok(())
}

/// The socket by number: it stays open until the end of the test that has it.
fn raw_target(socket: &OwnedFd) -> RawTarget {
    // SAFETY: see above; each operation is waited for.
    unsafe { RawTarget::descriptor(socket.as_raw_fd()) }
}

fn refused_sockets(ring: &mut Ring<Any>) -> TestResult {
    let (one, _other) = UnixStream::pair()?;
    let sent: ZeroCopied<_, _> = ring.call(SendZc::new(&one, vec![5; 10]))?;
    assert_errno(sent.result, libc::EOPNOTSUPP);
    assert_eq!((sent.buf, sent.copied), (vec![5; 10], None));
    let listener = TcpListener::bind(loopback())?;
    let sent = ring.call(SendZc::new(&listener, vec![5; 10]))?;
    assert_errno(sent.result, libc::EPIPE);
    assert_eq!(sent.buf, [5; 10]);
    Ok(())
}

pub(crate) fn send_refused(context: &Context) -> TestResult {
    let Some(mut ring) = common::ring_without(ZERO_COPY, context, 8)? else {
        return Ok(());
    };
    let (one, _other) = SocketKind::TcpV4.pair()?;
    let token = ring.push(SendZc::new(one, vec![7; 10]))?;
    let sent = ring.wait(token)?;
    assert_errno(sent.result, libc::EINVAL);
    assert_eq!(sent.buf, [7; 10]);
    let message = Message::new(IoVecs::from(vec!["kept"]));
    let sent = ring.call(SendMsgZc::new(sent.target, message))?;
    assert_errno(sent.result, libc::EINVAL);
    assert_eq!(sent.buf.bufs().bufs(), ["kept"]);
    Ok(())
}

pub(crate) fn send_registered(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    ring.register_buffers(vec![vec![9; 4_096].into()])?;
    let buffer = ring.registered_buf(0).ok_or("nobody has it")?;
    let (one, other) = SocketKind::TcpV4.pair()?;
    let token = ring.push(SendZcFixed::new(one, buffer))?;
    assert!(ring.registered_buf(0).is_none(), "the operation has it");
    let reader = read(&other, 4_096)?;
    let sent = ring.wait(token)?;
    assert_eq!(sent.result?, 4_096);
    assert_eq!(read_by(reader)?, [9; 4_096]);
    let buffer = sent.buf;
    let part = SendZcFixed::new(&sent.target, Slice::new(&buffer, 4_000..));
    assert_eq!(ring.call(part)?.result?, 96);
    assert_eq!(read_by(read(&other, 96)?)?, [9; 96]);
    let mut another = common::ring(context, 8)?;
    let refused = another
        .push(SendZcFixed::new(sent.target, buffer))
        .expect_err("the buffer is of the other ring");
    assert!(refused.error().is_wrong_ring(), "{refused}");
    Ok(())
}

pub(crate) fn send_messages(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let one = UdpSocket::bind(loopback())?;
    let other = UdpSocket::bind(loopback())?;
    let message = Message::new(IoVecs::from(vec!["hello, ", "world"])).to(other.local_addr()?);
    let token = ring.push(SendMsgZc::new(one.try_clone()?, message))?;
    let sent = ring.wait(token)?;
    assert_eq!(sent.result?, 12);
    let mut bytes = [0; 12];
    assert_eq!(other.recv_from(&mut bytes)?, (12, one.local_addr()?));
    assert_eq!(&bytes, b"hello, world");
    let sent = ring.call(SendMsgZc::new(&one, sent.buf).poll_first())?;
    assert_eq!(sent.result?, 12);
    let (one, _other) = UnixStream::pair()?;
    let refused = ring.call(SendMsgZc::new(one, Message::new(IoVecs::from(vec!["x"]))))?;
    assert_errno(refused.result, libc::EOPNOTSUPP);
    Ok(())
}

/// Pieces of a registered buffer, since Linux 6.15.
pub(crate) fn send_registered_messages(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    ring.register_buffers(vec![Box::from(*b"hello, world")])?;
    let buffer = ring.registered_buf(0).ok_or("nobody has it")?;
    let one = UdpSocket::bind(loopback())?;
    let other = UdpSocket::bind(loopback())?;
    let pieces = FixedVecs::new(buffer, [7..12, 5..7, 0..5]);
    let message = Message::new(pieces).to(other.local_addr()?);
    let token = ring.push(SendMsgZcFixed::new(one, message).report_usage())?;
    let sent = ring.wait(token)?;
    let buffer = sent.buf.into_bufs().into_inner();
    let there = other.local_addr()?;
    let start = buffer.as_ptr().cast_mut();
    let raw = raw_sockets::fixed_messages(&mut ring, &sent.target, there, start)?;
    if !context.has(Feature::opcode(uring_sys::IORING_OP_READV_FIXED)) {
        assert_errno(sent.result, libc::EINVAL);
        assert_eq!(&buffer[..], b"hello, world");
        // A buffer that is not there may be missed first.
        assert_eq!(raw[..2], [-libc::EINVAL; 2]);
        assert!([-libc::EINVAL, -libc::EFAULT].contains(&raw[2]), "{raw:?}");
        return Ok(());
    }
    assert_eq!(sent.result?, 12);
    assert_eq!(raw, [4, -libc::EFAULT, -libc::EFAULT]);
    assert!(sent.copied.is_some());
    let mut bytes = [0; 12];
    assert_eq!(other.recv(&mut bytes)?, 12);
    assert_eq!(&bytes, b"world, hello");
    assert_eq!(other.recv(&mut bytes)?, 4);
    assert_eq!(&bytes[..4], b"llhe");
    let mut another = common::ring(context, 8)?;
    let message = Message::new(FixedVecs::new(buffer, [0..5, 5..7]));
    let refused = another
        .push(SendMsgZcFixed::new(sent.target, message))
        .expect_err("the buffer is of the other ring");
    assert!(refused.error().is_wrong_ring(), "{refused}");
    Ok(())
}

/// Since Linux 6.17, which no feature tells from 6.16 or 6.18.
pub(crate) fn send_vectored(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let (one, mut other) = UnixStream::pair()?;
    let token = ring.push(SendVectored::new(one, IoVecs::from(vec!["one ", "two"])))?;
    let sent = ring.wait(token)?;
    let target = sent.target;
    if let Err(error) = sent.result {
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        assert!(!context.has(Feature::CQE_MIXED), "Linux 6.18 has it");
        assert_eq!(sent.buf.bufs(), ["one ", "two"]);
        return Ok(());
    }
    assert!(
        context.has(Feature::opcode(uring_sys::IORING_OP_PIPE)),
        "no kernel before 6.16 has it"
    );
    let pieces = [IoSlice::new(b" and "), IoSlice::new(b"more")];
    ring.scope(|scope| -> TestResult {
        let token = scope.push(SendVectored::new(&target, &pieces[..]).poll_first())?;
        assert_eq!(scope.wait(token)?.result?, 9);
        Ok(())
    })?;
    let mut text = [0; 16];
    other.read_exact(&mut text)?;
    assert_eq!(&text, b"one two and more");

    let bytes = *b"raw";
    let mut vector = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: 3,
    };
    // SAFETY: all of them live to the end of this function, and each completion is waited for.
    let (socket, vectors, buffer) = unsafe {
        (
            RawTarget::descriptor(target.as_raw_fd()),
            RawIoVecs::new(NonNull::from(&mut vector), 1),
            RawBuf::new(NonNull::from(&bytes).cast(), 3),
        )
    };
    let sent = raw::call(&mut ring, SendVectored::new(socket, vectors), 1)?;
    assert_eq!(sent.result()?, 3);
    let refused = raw::call(&mut ring, SendZc::new(socket, buffer), 2)?;
    assert_eq!(refused.raw_result(), -libc::EOPNOTSUPP);
    Ok(())
}

/// The kernel would run neither them nor anything after them.
pub(crate) fn behind_a_drain(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let (socket, _other) = SocketKind::TcpV4.pair()?;
    let send = || SendZc::new(&socket, "to you");
    let drain = Push::new().drain();
    ring.scope(|scope| -> TestResult {
        let refused = scope.push_with(send(), drain).expect_err("a drain itself");
        assert!(refused.error().is_drain_conflict(), "{refused}");
        let chain = Chain::new(Nop::new()).with(drain).then(send());
        let refused = scope.push_chain(chain).expect_err("a part of one");
        assert!(refused.error().is_drain_conflict(), "{refused}");

        let (reader, writer) = files::pipe()?;
        let read = scope.push(Read::new(reader, vec![0]))?;
        let nop = scope.push_with(Nop::new(), drain)?;
        scope.submit()?;
        let refused = scope.push(send()).expect_err("behind one");
        assert!(refused.error().is_drain_conflict(), "{refused}");
        let refused = scope.push_chain(Chain::new(send())).expect_err("too");
        assert!(refused.error().is_drain_conflict(), "{refused}");

        std::fs::File::from(writer).write_all(&[1])?;
        scope.wait(nop)??;
        assert_eq!(scope.wait(read)?.result?, 1);
        if context.has(Feature::opcode(uring_sys::IORING_OP_PIPE)) {
            // It may have been completed by a worker that still has it, which keeps the drain alive.
            let refused = scope.push(send()).expect_err("after one");
            assert!(refused.error().is_drain_conflict(), "{refused}");
            return Ok(());
        }
        // Once it is over it is forgotten, whatever is in flight.
        let sent = [scope.push(send())?, scope.push(send())?];
        for sent in sent {
            assert_eq!(scope.wait(sent)?.result?, 6);
        }

        let refused = scope.push_with(Nop::new(), drain).expect_err("after one");
        assert!(refused.error().is_drain_conflict(), "{refused}");
        let refused = scope
            .push_chain(Chain::new(Nop::new()).with(drain))
            .expect_err("too");
        assert!(refused.error().is_drain_conflict(), "{refused}");
        Ok(())
    })
}
