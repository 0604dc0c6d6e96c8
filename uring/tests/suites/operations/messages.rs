//! Sending and receiving, with and without a message's header.

use std::io::{IoSlice, IoSliceMut};
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::ptr::NonNull;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use uring::net::{
    Control, ControlMessage, Credentials, Message, MessageSpace, RawAddress, RawMessage,
    SocketAddress,
};
use uring::op::{Nop, Read, Recv, RecvMsg, Send, SendMsg, Write};
use uring::{Any, IoVecs, RawBuf, RawTarget, Ring};
use uring_testkit::fixtures::SocketKind;
use uring_testkit::{Context, FdTable, Feature, TestResult, files};

use crate::common;
use crate::operations::files::assert_errno;
use crate::operations::raw;
use crate::operations::sockets::loopback;

pub(crate) fn send_and_receive(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    for kind in [SocketKind::UnixStream, SocketKind::TcpV4, SocketKind::UdpV4] {
        let (one, other) = kind.pair()?;
        let receive = ring.push(Recv::new(other, Vec::with_capacity(64)))?;
        let send = ring.push(Send::new(one, b"hello".to_vec()))?;
        let sent = ring.wait(send)?;
        assert_eq!((sent.result?, &sent.buf[..]), (5, &b"hello"[..]), "{kind}");
        let received = ring.wait(receive)?;
        assert_eq!(received.result?, 5, "{kind}");
        assert_eq!(received.buf, b"hello", "{kind}");

        let (one, other) = (sent.target, received.target);
        let mut bytes = [0; 3];
        ring.scope(|scope| -> TestResult {
            let send = scope.push(Send::new(&one, "abc"))?;
            scope.wait(send)?.result?;
            let peek = Recv::new(&other, vec![0; 2]).flags(libc::MSG_PEEK);
            let peek = scope.push(peek)?;
            assert_eq!(scope.wait(peek)?.buf, b"ab");
            let receive = scope.push(Recv::new(&other, &mut bytes[..]))?;
            assert_eq!(scope.wait(receive)?.result?, 3);
            Ok(())
        })?;
        assert_eq!(&bytes, b"abc", "{kind}");
        let nothing = Recv::new(&other, vec![7; 2]).flags(libc::MSG_DONTWAIT);
        let nothing = ring.call(nothing)?;
        assert_errno(nothing.result, libc::EAGAIN);
        assert_eq!(nothing.buf, [7; 2]);
        if kind.has_end() {
            drop(other);
            gone(&mut ring, &one, kind)?;
        }
    }
    let (one, other) = SocketKind::UdpV4.pair()?;
    // A datagram that does not fit: what was lost is not counted, whatever flags ask for it.
    ring.call(Send::new(&one, "longer than that"))?.result?;
    let cut = Recv::new(&other, Vec::with_capacity(6)).flags(libc::MSG_TRUNC);
    let cut = ring.call(cut)?;
    assert_eq!((cut.result?, &cut.buf[..]), (6, &b"longer"[..]));
    let file = std::fs::File::open("/dev/null")?;
    assert_errno(ring.call(Send::new(&file, "x"))?.result, libc::ENOTSOCK);
    assert_errno(
        ring.call(Recv::new(&file, vec![0; 1]))?.result,
        libc::ENOTSOCK,
    );

    let mut bytes = *b"rawrawraw";
    // SAFETY: all of them live to the end of this function, and each completion is waited for.
    let (from, to, buf) = unsafe {
        (
            RawTarget::descriptor(one.as_raw_fd()),
            RawTarget::descriptor(other.as_raw_fd()),
            RawBuf::new(NonNull::from(&mut bytes).cast(), 9),
        )
    };
    assert_eq!(raw::call(&mut ring, Send::new(from, buf), 1)?.result()?, 9);
    assert_eq!(
        raw::call(&mut ring, Recv::new(to, buf).limit(3), 2)?.result()?,
        3
    );
    Ok(())
}

/// Sends until the other side is known to be gone: TCP hears of it with the first bytes that it sends, and an old kernel closes late.
fn gone(ring: &mut Ring<Any>, one: &OwnedFd, kind: SocketKind) -> TestResult {
    let end = Instant::now() + Duration::from_secs(30);
    while Instant::now() < end {
        if let Err(error) = ring.call(Send::new(one, "gone"))?.result {
            let errno = error.raw_os_error();
            assert!(
                matches!(errno, Some(libc::EPIPE | libc::ECONNRESET)),
                "{kind}: {error}"
            );
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(format!("{kind}: the other side is still there").into())
}

/// Addresses on sends (Linux 6.1) and polling first (5.19): what a kernel does not know it refuses, and sends nothing.
pub(crate) fn send_to_options(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let one = UdpSocket::bind(loopback())?;
    let other = UdpSocket::bind(loopback())?;
    let there = other.local_addr()?;
    let refuses = |known: bool, result: std::io::Result<usize>| -> TestResult<bool> {
        match result {
            Err(error) if !known => assert_eq!(error.raw_os_error(), Some(libc::EINVAL)),
            result => assert_eq!(result?, 4),
        }
        Ok(!known)
    };
    let polls = context.has(Feature::SQE128);
    one.send_to(b"poll", there)?;
    let receive = || Recv::new(&other, Vec::with_capacity(16));
    let polled = ring.call(receive().poll_first())?;
    if refuses(polls, polled.result)? {
        assert_eq!(ring.call(receive())?.buf, b"poll");
    }
    let addresses = context.has(Feature::opcode(uring_sys::IORING_OP_SENDMSG_ZC));
    let token = ring.push(Send::new(one.try_clone()?, "zero").to(there))?;
    if refuses(addresses, ring.wait(token)?.result)? {
        return Ok(());
    }
    ring.call(Send::new(&one, "more").to(there).poll_first())?
        .result?;
    let address = SocketAddress::from(there);
    let len = libc::socklen_t::try_from(address.as_bytes().len())?;
    // SAFETY: all of them live to the end of this function, and the completion is waited for.
    let (target, buf, address) = unsafe {
        (
            RawTarget::descriptor(one.as_raw_fd()),
            RawBuf::new(NonNull::from(b"raws").cast(), 4),
            RawAddress::new(NonNull::from(address.as_bytes()).cast(), len),
        )
    };
    raw::call(&mut ring, Send::new(target, buf).to(address), 1)?.result()?;
    let received: Vec<_> = (0..3)
        .map(|_| ring.call(receive()).map(|done| done.buf))
        .collect::<Result<_, _>>()?;
    assert_eq!(received, [b"zero", b"more", b"raws"]);
    let nowhere = SocketAddress::from_bytes(&[1]).ok_or("it is short enough")?;
    let refused = ring.call(Send::new(&one, "x").to(nowhere))?;
    assert_errno(refused.result, libc::EINVAL);
    Ok(())
}

fn two(len: usize) -> IoVecs<Vec<u8>> {
    IoVecs::from(vec![Vec::with_capacity(len), Vec::with_capacity(64)])
}

pub(crate) fn messages(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let one = UdpSocket::bind(loopback())?;
    let other = UdpSocket::bind(loopback())?;
    let there = other.local_addr()?;
    let receive = ring.push(RecvMsg::new(
        other.try_clone()?,
        MessageSpace::new(two(6)).with_address(),
    ))?;
    let message = Message::new(IoVecs::from(vec!["hello, ", "world"])).to(there);
    let send = ring.push(SendMsg::new(one.try_clone()?, message))?;
    let sent = ring.wait(send)?;
    assert_eq!(sent.result?, 12);
    let received = ring.wait(receive)?;
    assert_eq!(received.result?, 12);
    let from = received.message.address().and_then(SocketAddress::internet);
    assert_eq!(from, Some(one.local_addr()?));
    assert!(!received.message.is_truncated());
    assert_eq!(received.message.bufs().bufs(), [&b"hello,"[..], b" world"]);

    // Both are used again.
    let sent = ring.call(SendMsg::new(&one, sent.message))?;
    assert_eq!(sent.result?, 12);
    let received = ring.call(RecvMsg::new(&other, received.message))?;
    assert_eq!(received.result?, 12);
    let space = received.message;
    let waits_not = RecvMsg::new(&other, space).flags(libc::MSG_DONTWAIT);
    let nothing = ring.call(waits_not)?;
    assert_errno(nothing.result, libc::EAGAIN);
    assert!(
        nothing.message.address().is_none(),
        "it is of the one before"
    );

    let pieces = [IoSlice::new(b"scope"), IoSlice::new(b"d")];
    let (mut head, mut tail) = ([0; 3], [0; 9]);
    let mut places = [IoSliceMut::new(&mut head), IoSliceMut::new(&mut tail)];
    ring.scope(|scope| -> TestResult {
        let message = Message::new(&pieces[..]).to(there);
        let send = scope.push(SendMsg::new(&one, message))?;
        let receive = scope.push(RecvMsg::new(&other, MessageSpace::new(&mut places[..])))?;
        assert_eq!(scope.wait(send)?.result?, 6);
        assert_eq!(scope.wait(receive)?.result?, 6);
        Ok(())
    })?;
    assert_eq!((&head, &tail[..3]), (b"sco", &b"ped"[..]));

    ring.call(SendMsg::new(&one, sent.message))?.result?;
    let cut = MessageSpace::new(IoVecs::from(vec![Vec::with_capacity(4)]));
    let cut = ring.call(RecvMsg::new(&other, cut).flags(libc::MSG_TRUNC))?;
    assert_eq!(cut.result?, 4);
    assert!(cut.message.is_truncated());
    assert_eq!(cut.message.into_bufs().bufs(), [b"hell"]);
    raw_messages(&mut ring, &one, &other)
}

fn raw_messages(ring: &mut Ring<Any>, one: &UdpSocket, other: &UdpSocket) -> TestResult {
    one.connect(other.local_addr()?)?;
    let mut bytes = *b"raw";
    let mut vector = libc::iovec {
        iov_base: (&raw mut bytes).cast(),
        iov_len: 3,
    };
    // SAFETY: all zeroes are a valid header of a message of nothing.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    // SAFETY: all of them live to the end of this function, and each completion is waited for.
    let (from, to, message) = unsafe {
        (
            RawTarget::descriptor(one.as_raw_fd()),
            RawTarget::descriptor(other.as_raw_fd()),
            RawMessage::new(NonNull::from(&mut header)),
        )
    };
    assert_eq!(
        raw::call(ring, SendMsg::new(from, message), 1)?.result()?,
        3
    );
    assert_eq!(raw::call(ring, RecvMsg::new(to, message), 2)?.result()?, 3);
    Ok(())
}

fn space(control: usize) -> MessageSpace<IoVecs<Vec<u8>>> {
    MessageSpace::new(IoVecs::from(vec![Vec::with_capacity(16)])).with_control(control)
}

fn text() -> IoVecs<&'static str> {
    IoVecs::from(vec!["with files"])
}

pub(crate) fn descriptors(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let (one, other) = UnixStream::pair()?;
    let (reader, writer) = files::pipe()?;
    let before = FdTable::now()?;
    let owned = vec![reader.try_clone()?, writer.try_clone()?];
    let control = Control::new().owned_descriptors(owned);
    let sent = ring.push(SendMsg::new(
        one.try_clone()?,
        Message::new(text()).control(control),
    ))?;
    let sent = ring.wait(sent)?;
    assert_eq!(sent.result?, 10);
    let mut received = ring.call(RecvMsg::new(&other, space(64)))?;
    assert_eq!(received.result?, 10);
    let Some(ControlMessage::Descriptors(files)) = received.message.next_control() else {
        return Err("no files came".into());
    };
    // Linux 6.17 tells of bytes that wait (`SCM_INQ`), whether it was asked to or not.
    while let Some(other) = received.message.next_control() {
        assert!(matches!(other, ControlMessage::Other { .. }), "{other:?}");
    }
    let [from, to] = <[OwnedFd; 2]>::try_from(files).map_err(|_| "two files were sent")?;
    // SAFETY: asks for the flags of an open descriptor.
    let flags = unsafe { libc::fcntl(from.as_raw_fd(), libc::F_GETFD) };
    assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
    ring.call(Write::new(&to, "through"))?.result?;
    assert_eq!(ring.call(Read::new(&from, vec![0; 7]))?.buf, b"through");
    drop((from, to, sent.message, sent.target));

    // What nobody takes is closed: with the space, when it is used again, and with an operation that nobody waits for.
    let borrowed = [reader.as_fd(), writer.as_fd()];
    let send = |ring: &mut Ring<Any>| -> TestResult {
        let message = Message::new(text()).control(Control::new().descriptors(&borrowed));
        assert_eq!(ring.call(SendMsg::new(&one, message))?.result?, 10);
        Ok(())
    };
    send(&mut ring)?;
    send(&mut ring)?;
    let received = ring.call(RecvMsg::new(&other, received.message))?;
    received.result?;
    assert!(!before.diff(&FdTable::now()?).is_empty(), "files have come");
    let received = ring.call(RecvMsg::new(&other, received.message))?;
    received.result?;
    drop(received.message);
    assert!(before.diff(&FdTable::now()?).is_empty());
    let unclaimed = ring.push(RecvMsg::new(other.try_clone()?, space(64)))?;
    ring.submit()?;
    ring.detach(unclaimed);
    send(&mut ring)?;
    while ring.in_flight() > 0 {
        ring.submit_and_wait(0)?;
        ring.call(Nop::new())??;
    }
    assert!(before.diff(&FdTable::now()?).is_empty());

    // Room for one of two.
    send(&mut ring)?;
    let mut received = ring.call(RecvMsg::new(&other, space(16 + 4)))?;
    assert!(!received.message.is_truncated());
    let Some(ControlMessage::Descriptors(files)) = received.message.next_control() else {
        return Err("no files came".into());
    };
    // A word has room for both numbers.
    assert_eq!(files.len(), 2);
    drop(files);
    send(&mut ring)?;
    let mut received = ring.call(RecvMsg::new(&other, space(16)))?;
    received.result?;
    assert!(received.message.is_control_truncated());
    if let Some(ControlMessage::Descriptors(files)) = received.message.next_control() {
        assert!(files.is_empty(), "{files:?}");
    }
    assert!(before.diff(&FdTable::now()?).is_empty());
    Ok(())
}

/// Sets an option of a socket to one.
fn switch_on(socket: impl AsFd, option: i32) -> std::io::Result<()> {
    set_option(socket, option, 1)
}

fn set_option(socket: impl AsFd, option: i32, value: i32) -> std::io::Result<()> {
    let len = libc::socklen_t::try_from(size_of::<i32>()).map_err(std::io::Error::other)?;
    // SAFETY: an open socket, and a value that lives as long as the call.
    match unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw const value).cast(),
            len,
        )
    } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Credentials, times, and what has no type here.
pub(crate) fn control(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let (one, other) = UnixDatagram::pair()?;
    switch_on(&other, libc::SO_PASSCRED)?;
    // SAFETY: these calls only tell.
    let (pid, uid, gid) = unsafe { (libc::getpid(), libc::getuid(), libc::getgid()) };
    let me = Credentials { pid, uid, gid };
    let message = Message::new(text()).control(Control::new().credentials(me));
    ring.call(SendMsg::new(&one, message))?.result?;
    let mut received = ring.call(RecvMsg::new(&other, space(128)))?;
    received.result?;
    let came = received.message.next_control();
    assert!(
        matches!(came, Some(ControlMessage::Credentials(who)) if who == me),
        "{came:?}"
    );
    let liar = Credentials {
        pid: 1,
        uid: 12345,
        gid,
    };
    let message = Message::new(text()).control(Control::new().credentials(liar));
    let sent = crate::operations::files::as_nobody(|| ring.call(SendMsg::new(&one, message)))?;
    // Who is privileged may lie.
    if let Err(error) = sent.result {
        assert_eq!(error.raw_os_error(), Some(libc::EPERM));
    }

    let one = UdpSocket::bind(loopback())?;
    let other = UdpSocket::bind(loopback())?;
    one.connect(other.local_addr()?)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let hour = Duration::from_secs(3600);
    // The kernel begins to take the time some while after it was asked to.
    let receive = |ring: &mut Ring<Any>| -> TestResult<Duration> {
        let end = Instant::now() + Duration::from_secs(30);
        while Instant::now() < end {
            one.send(b"tick")?;
            let mut received = ring.call(RecvMsg::new(&other, space(128)))?;
            assert_eq!(received.result?, 4);
            match received.message.next_control() {
                Some(ControlMessage::Timestamp(time)) => return Ok(time),
                Some(ControlMessage::Timestamping([software, ..])) => return Ok(software),
                Some(other) => return Err(format!("{other:?} came instead of a time").into()),
                None => std::thread::yield_now(),
            }
        }
        Err("no time came".into())
    };
    switch_on(&other, libc::SO_TIMESTAMP)?;
    assert!(receive(&mut ring)?.abs_diff(now) < hour);
    switch_on(&other, libc::SO_TIMESTAMPNS)?;
    assert!(receive(&mut ring)?.abs_diff(now) < hour);
    set_option(&other, libc::SO_TIMESTAMPNS, 0)?;
    let software = libc::SOF_TIMESTAMPING_RX_SOFTWARE | libc::SOF_TIMESTAMPING_SOFTWARE;
    set_option(&other, libc::SO_TIMESTAMPING, i32::try_from(software)?)?;
    assert!(receive(&mut ring)?.abs_diff(now) < hour);

    // How far a datagram may still travel: of a level that has no type here.
    let limit = 7_i32;
    // SAFETY: the data names nothing.
    let control =
        unsafe { Control::new().raw(libc::IPPROTO_IP, libc::IP_TTL, &limit.to_ne_bytes()) };
    let message = Message::new(text()).control(control);
    ring.call(SendMsg::new(&one, message))?.result?;
    let receiver = other.as_raw_fd();
    let on = 1_i32;
    let len = libc::socklen_t::try_from(size_of_val(&on))?;
    let (level, option) = (libc::IPPROTO_IP, libc::IP_RECVTTL);
    // SAFETY: an open socket, and a value that lives as long as the call.
    let set = unsafe { libc::setsockopt(receiver, level, option, (&raw const on).cast(), len) };
    assert_eq!(set, 0);
    set_option(&other, libc::SO_TIMESTAMPING, 0)?;
    let mut received = ring.call(RecvMsg::new(&other, space(128)))?;
    received.result?;
    loop {
        match received.message.next_control() {
            Some(ControlMessage::Other { level, kind, data }) => {
                assert_eq!((level, kind), (libc::IPPROTO_IP, libc::IP_TTL));
                assert_eq!(data, limit.to_ne_bytes());
                return Ok(());
            }
            Some(_) => {}
            None => return Err("no time to live came".into()),
        }
    }
}
