//! Accepting and receiving again and again.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};

use uring::net::{Control, ControlMessage, Message, SocketAddress};
use uring::op::{
    AcceptMultishot, EndReason, Recv, RecvMsgMultishot, RecvMultishot, RecvSelected, SendMsg,
};
use uring::{Any, IoVecs, RawTarget, Ring};
use uring_testkit::{Context, FdTable, Feature, TestResult, files};

use crate::common;
use crate::operations::files::assert_errno;
use crate::operations::raw_groups;
use crate::operations::sockets::loopback;

/// A feature of Linux 5.19, as accepting more than once is.
pub(crate) const FIVE_NINETEEN: Feature = Feature::opcode(uring_sys::IORING_OP_SOCKET);
/// A feature of Linux 6.0, as receiving more than once is.
pub(crate) const SIX: Feature = Feature::opcode(uring_sys::IORING_OP_SEND_ZC);
const BUNDLES: Feature = Feature::ring(uring_sys::IORING_FEAT_RECVSEND_BUNDLE);

#[track_caller]
fn assert_failed(reason: &EndReason, errno: i32) {
    match reason {
        EndReason::Failed(error) => assert_eq!(error.raw_os_error(), Some(errno)),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn accept(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 16)?;
    let without = FdTable::now()?;
    let listener = TcpListener::bind(loopback())?;
    let here = listener.local_addr()?;
    let before = FdTable::now()?;
    let mut clients = Vec::new();
    let accepts = ring.push(AcceptMultishot::new(listener).nonblocking())?;
    for _ in 0..3 {
        let client = TcpStream::connect(here)?;
        let connection = ring.wait_item(&accepts)?.ok_or("nobody has cancelled")?;
        assert_eq!(
            TcpStream::from(connection).peer_addr()?,
            client.local_addr()?
        );
        clients.push(client);
    }
    // These two wait to be taken, and nobody does.
    clients.push(TcpStream::connect(here)?);
    clients.push(TcpStream::connect(here)?);
    ring.cancel(&accepts)?;
    let ended = ring.wait(accepts)?;
    assert!(
        matches!(ended.reason, EndReason::Cancelled),
        "{:?}",
        ended.reason
    );
    drop(clients);
    assert!(before.diff(&FdTable::now()?).is_empty());

    // Armed again, with the same listening socket; what was not accepted comes now, and is closed with the detached token.
    let again = ring.push(ended.op)?;
    let client = TcpStream::connect(here)?;
    while let Some(connection) = ring.wait_item(&again)? {
        match TcpStream::from(connection).peer_addr() {
            Ok(peer) if peer == client.local_addr()? => break,
            _ => {}
        }
    }
    let waiting = TcpStream::connect(here)?;
    ring.submit_and_get_events()?;
    ring.cancel(&again)?;
    ring.detach(again);
    while ring.in_flight() > 0 {
        ring.call(uring::op::Nop::new())??;
    }
    drop((client, waiting));
    // The listening socket went with the operation.
    assert!(TcpStream::connect(here).is_err());
    assert!(without.diff(&FdTable::now()?).is_empty());

    accept_scoped(&mut ring)?;
    accept_raw(&mut ring)?;
    let nobody = UdpSocket::bind(loopback())?;
    let refused = ring.push(AcceptMultishot::new(nobody))?;
    assert!(ring.wait_item(&refused)?.is_none());
    assert_failed(&ring.wait(refused)?.reason, libc::EOPNOTSUPP);
    if context.has(Feature::register(
        uring_sys::IORING_REGISTER_FILE_ALLOC_RANGE,
    )) {
        accept_direct(&mut ring)?;
    }
    Ok(())
}

fn accept_scoped(ring: &mut Ring<Any>) -> TestResult {
    let before = FdTable::now()?;
    let listener = TcpListener::bind(loopback())?;
    let here = listener.local_addr()?;
    let mut clients = Vec::new();
    ring.scope(|scope| -> TestResult {
        let accepts = scope.push(AcceptMultishot::new(&listener))?;
        clients.push(TcpStream::connect(here)?);
        scope.wait_item(&accepts)?.ok_or("it goes on")?;
        clients.push(TcpStream::connect(here)?);
        scope.submit()?;
        Ok(())
    })?;
    drop((listener, clients));
    assert!(before.diff(&FdTable::now()?).is_empty());
    Ok(())
}

fn accept_raw(ring: &mut Ring<Any>) -> TestResult {
    let listener = TcpListener::bind(loopback())?;
    // SAFETY: the listener lives longer than the operation, which is cancelled below.
    let target = unsafe { RawTarget::descriptor(listener.as_raw_fd()) };
    ring.push_raw(AcceptMultishot::new(target), 5)?;
    for _ in 0..2 {
        let _client = TcpStream::connect(listener.local_addr()?)?;
        ring.submit_and_wait(1)?;
        let completion = ring.next_completion()?.ok_or("it was waited for")?;
        assert_eq!(completion.user_data(), 5);
        // SAFETY: the kernel has just opened it, and nobody else knows of it.
        drop(unsafe { OwnedFd::from_raw_fd(i32::try_from(completion.result()?)?) });
    }
    ring.push_raw(uring::op::Cancel::user_data(5), 6)?;
    let mut ended = 0;
    while ended < 2 {
        ring.submit_and_wait(1)?;
        while ring.next_completion()?.is_some() {
            ended += 1;
        }
    }
    Ok(())
}

fn accept_direct(ring: &mut Ring<Any>) -> TestResult {
    let listener = TcpListener::bind(loopback())?;
    let here = listener.local_addr()?;
    ring.register_direct_allocated(2)?;
    let slot = ring.any_direct_slot()?;
    let accepts = AcceptMultishot::new(&listener).into_any_direct(slot);
    let before = FdTable::now()?;
    let clients = ring.scope(|scope| -> TestResult<_> {
        let accepts = scope.push(accepts)?;
        let mut clients = Vec::new();
        for _ in 0..4 {
            // The slot of a connection that was dropped is free with the next submission.
            let mut client = TcpStream::connect(here)?;
            let connection = scope.wait_item(&accepts)?.ok_or("it goes on")?;
            client.write_all(b"direct")?;
            let read = scope.push(Recv::new(connection, vec![0; 6]))?;
            assert_eq!(scope.wait(read)?.buf, b"direct");
            clients.push(client);
        }
        scope.submit()?;
        let kept = [TcpStream::connect(here)?, TcpStream::connect(here)?];
        let one = scope.wait_item(&accepts)?.ok_or("it goes on")?;
        let other = scope.wait_item(&accepts)?.ok_or("it goes on")?;
        assert_ne!(one.index(), other.index());
        clients.extend(kept);
        // There is no third slot.
        clients.push(TcpStream::connect(here)?);
        assert!(scope.wait_item(&accepts)?.is_none());
        assert_failed(&scope.wait(accepts)?.reason, libc::ENFILE);
        Ok(clients)
    })?;
    drop(clients);
    assert!(before.diff(&FdTable::now()?).is_empty());
    Ok(())
}

pub(crate) fn accept_refused(context: &Context) -> TestResult {
    let Some(mut ring) = common::ring_without(FIVE_NINETEEN, context, 8)? else {
        return Ok(());
    };
    let listener = TcpListener::bind(loopback())?;
    let accepts = ring.push(AcceptMultishot::new(listener))?;
    assert!(ring.wait_item(&accepts)?.is_none());
    let ended = ring.wait(accepts)?;
    assert_failed(&ended.reason, libc::EINVAL);
    ended.op.into_target().local_addr()?;
    Ok(())
}

pub(crate) fn receive_selected(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let buffers = ring.buffer_ring(2, 8)?;
    let (mut one, other) = UnixStream::pair()?;
    one.write_all(b"more than eight")?;
    let token = ring.push(RecvSelected::new(other, buffers.clone()))?;
    let first = ring.wait(token)?;
    let lease = first.result?;
    assert_eq!(&lease[..], b"more tha");
    let other = first.target;
    let limited = RecvSelected::new(&other, &buffers).limit(2).poll_first();
    let second = ring.call(limited)?.result?;
    assert_eq!(&second[..], b"n ");
    let none = ring.call(RecvSelected::new(&other, &buffers))?;
    assert_errno(none.result, libc::ENOBUFS);
    drop((lease, second));
    let third = ring.call(RecvSelected::new(&other, &buffers))?.result?;
    assert_eq!(&third[..], b"eight");
    drop(one);
    let end = ring.call(RecvSelected::new(&other, &buffers))?.result?;
    assert!(end.is_empty() && end.buffer_id().is_none());
    drop((third, end));
    if !context.has(BUNDLES) {
        let refused = ring.call(RecvSelected::new(&other, &buffers).bundle())?;
        assert_errno(refused.result, libc::EINVAL);
        return Ok(());
    }
    let (mut one, other) = UnixStream::pair()?;
    one.write_all(b"over two")?;
    one.write_all(b"buffers")?;
    let mut text = Vec::new();
    while text.len() < 15 {
        let bundle = ring.call(RecvSelected::new(&other, &buffers).bundle())?;
        bundle
            .result?
            .for_each(|lease| text.extend_from_slice(&lease));
    }
    assert_eq!(text, b"over twobuffers");
    Ok(())
}

pub(crate) fn receive(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 16)?;
    let buffers = ring.buffer_ring(2, 64)?;
    let (mut one, other) = UnixStream::pair()?;
    let receives = ring.push(RecvMultishot::new(other, buffers.clone()))?;
    let mut leases = Vec::new();
    for word in ["one", "after"] {
        one.write_all(word.as_bytes())?;
        let lease = ring.wait_item(&receives)?.ok_or("it goes on")?;
        assert_eq!(&lease[..], word.as_bytes());
        leases.push(lease);
    }
    one.write_all(b"the other")?;
    assert!(ring.wait_item(&receives)?.is_none());
    let ended = ring.wait(receives)?;
    assert!(
        matches!(ended.reason, EndReason::NoBuffers),
        "{:?}",
        ended.reason
    );
    assert!(ended.reason.may_go_on());
    leases.clear();
    let receives = ring.push(ended.op)?;
    let lease = ring.wait_item(&receives)?.ok_or("it goes on")?;
    assert_eq!(&lease[..], b"the other");
    drop(lease);
    one.write_all(b"the end")?;
    let lease = ring.wait_item(&receives)?.ok_or("it goes on")?;
    assert_eq!(&lease[..], b"the end");
    // Not before the bytes have come: Linux 6.18.15, for one, misses an end that comes with them.
    drop(one);
    assert!(ring.wait_item(&receives)?.is_none());
    let ended = ring.wait(receives)?;
    assert!(
        matches!(ended.reason, EndReason::Finished),
        "{:?}",
        ended.reason
    );
    drop((lease, ended.op.into_target()));

    let (one, other) = UnixDatagram::pair()?;
    ring.scope(|scope| -> TestResult {
        let receives = scope.push(RecvMultishot::new(&other, &buffers).poll_first())?;
        for _ in 0..5 {
            one.send(b"datagram")?;
            let lease = scope.wait_item(&receives)?.ok_or("it goes on")?;
            assert_eq!(&lease[..], b"datagram");
        }
        // Nobody takes this one.
        one.send(b"lost")?;
        scope.submit()?;
        Ok(())
    })?;
    let all = RecvMultishot::new(&other, &buffers).flags(libc::MSG_WAITALL);
    assert_failed(&ring.call(all)?.reason, libc::EINVAL);
    Ok(())
}

pub(crate) fn receive_bundles(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 16)?;
    let buffers = ring.buffer_ring(8, 8)?;
    let (mut one, other) = UnixStream::pair()?;
    let receives = ring.push(RecvMultishot::new(other, buffers).bundle())?;
    if !context.has(BUNDLES) {
        assert!(ring.wait_item(&receives)?.is_none());
        assert_failed(&ring.wait(receives)?.reason, libc::EINVAL);
        return Ok(());
    }
    let mut text = Vec::new();
    for round in 0..10 {
        one.write_all(b"nineteen bytes each")?;
        while text.len() < (round + 1) * 19 {
            let bundle = ring.wait_item(&receives)?.ok_or("it goes on")?;
            bundle.for_each(|lease| text.extend_from_slice(&lease));
        }
    }
    assert_eq!(text, b"nineteen bytes each".repeat(10));
    drop(one);
    assert!(ring.wait_item(&receives)?.is_none());
    let ended = ring.wait(receives)?;
    assert!(
        matches!(ended.reason, EndReason::Finished),
        "{:?}",
        ended.reason
    );
    Ok(())
}

pub(crate) fn receive_refused(context: &Context) -> TestResult {
    let Some(mut ring) = common::ring_without(SIX, context, 8)? else {
        return Ok(());
    };
    let (mut one, other) = UnixStream::pair()?;
    let Ok(buffers) = ring.provided_buffers(2, 64) else {
        return Err("buffers can be provided since 5.7".into());
    };
    let receives = ring.push(RecvMultishot::new(other, buffers))?;
    assert!(ring.wait_item(&receives)?.is_none());
    let ended = ring.wait(receives)?;
    assert_failed(&ended.reason, libc::EINVAL);
    one.write_all(b"left")?;
    ended.op.into_target().read_exact(&mut [0; 4])?;
    Ok(())
}

pub(crate) fn receive_messages(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 16)?;
    let buffers = ring.buffer_ring(4, 512)?;
    let one = UdpSocket::bind(loopback())?;
    let other = UdpSocket::bind(loopback())?;
    let there = other.local_addr()?;
    let messages = RecvMsgMultishot::new(other, buffers.clone()).with_address();
    let messages = ring.push(messages)?;
    for length in [5, 300, 368, 369] {
        one.send_to(&vec![b'x'; length], there)?;
        let message = ring.wait_item(&messages)?.ok_or("it goes on")?;
        // 16 bytes are the kernel's, 128 the address's.
        assert_eq!(message.bytes(), vec![b'x'; length.min(368)]);
        assert_eq!(message.is_truncated(), length > 368);
        let from = message.address().as_ref().and_then(SocketAddress::internet);
        assert_eq!(from, Some(one.local_addr()?));
    }
    ring.cancel(&messages)?;
    let ended = ring.wait(messages)?;
    assert!(
        matches!(ended.reason, EndReason::Cancelled),
        "{:?}",
        ended.reason
    );

    let small = ring.buffer_ring(1, 64)?;
    one.send_to(b"x", there)?;
    let target = ended.op.into_target();
    let refused = RecvMsgMultishot::new(&target, &small).with_address();
    assert_failed(&ring.call(refused)?.reason, libc::EFAULT);

    let (one, other) = UnixDatagram::pair()?;
    let (reader, _writer) = files::pipe()?;
    let before = FdTable::now()?;
    let send = |ring: &mut Ring<Any>| -> TestResult {
        let control = Control::new().descriptors(&[reader.as_fd()]);
        let message = Message::new(IoVecs::from(vec!["a file"])).control(control);
        ring.call(SendMsg::new(&one, message))?.result?;
        Ok(())
    };
    let messages = RecvMsgMultishot::new(other.try_clone()?, buffers).with_control(64);
    let messages = ring.push(messages)?;
    ring.submit()?;
    send(&mut ring)?;
    let mut message = ring.wait_item(&messages)?.ok_or("it goes on")?;
    assert_eq!((message.bytes(), message.address()), (&b"a file"[..], None));
    let Some(ControlMessage::Descriptors(files)) = message.next_control() else {
        return Err("no file came".into());
    };
    assert_eq!(files.len(), 1);
    assert!(message.next_control().is_none());
    drop((files, message));
    // One is dropped with its message, the other with the token.
    send(&mut ring)?;
    send(&mut ring)?;
    drop(ring.wait_item(&messages)?);
    ring.cancel(&messages)?;
    ring.detach(messages);
    while ring.in_flight() > 0 {
        ring.call(uring::op::Nop::new())??;
    }
    assert!(before.diff(&FdTable::now()?).is_empty());
    raw_groups::receive_messages(&mut ring)
}

pub(crate) fn receive_messages_refused(context: &Context) -> TestResult {
    let Some(mut ring) = common::ring_without(SIX, context, 8)? else {
        return Ok(());
    };
    let buffers = ring.provided_buffers(1, 512)?;
    let (_one, other) = UnixDatagram::pair()?;
    let ended = ring.call(RecvMsgMultishot::new(&other, &buffers))?;
    assert_failed(&ended.reason, libc::EINVAL);
    raw_groups::receive_messages_unknown(&mut ring)
}
