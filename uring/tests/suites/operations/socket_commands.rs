//! What sockets are asked by commands: their queues, options and names.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uring::op::{
    EndReason, GetSockName, GetSockOpt, SetSockOpt, SiocInq, SiocOutq, SocketOption, TxEvent,
    TxTimestamps,
};
use uring::{Builder, CompletionSize, RawTarget};
use uring_testkit::{Context, Feature, TestResult};

use crate::common;
use crate::operations::files::assert_errno;
use crate::operations::raw;
use crate::operations::raw_sockets;
use crate::operations::sockets::loopback;

/// What an older kernel says to a command that it does not know.
#[track_caller]
fn assert_unknown<T>(result: std::io::Result<T>) {
    let errno = result.err().and_then(|error| error.raw_os_error());
    assert!(
        matches!(errno, Some(libc::EINVAL | libc::EOPNOTSUPP | libc::ENOTTY)),
        "{errno:?}"
    );
}

pub(crate) fn queues_and_options(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let one = UdpSocket::bind(loopback())?;
    let other = UdpSocket::bind(loopback())?;
    one.send_to(b"seven b", other.local_addr()?)?;
    let token = ring.push(SiocInq::new(other))?;
    let inq = ring.wait(token)?;
    assert_eq!(inq.result?, 7);
    assert_eq!(ring.call(SiocOutq::new(&one))?.result?, 0);
    // SAFETY: both live to the end of this function.
    let [from, to] =
        [&one, &inq.target].map(|one| unsafe { RawTarget::descriptor(one.as_raw_fd()) });
    assert_eq!(raw::call(&mut ring, SiocInq::new(to), 1)?.result()?, 7);
    assert_eq!(raw::call(&mut ring, SiocOutq::new(from), 2)?.result()?, 0);

    let set = ring.push(SetSockOpt::new(one, SocketOption::BROADCAST, true))?;
    let set = ring.wait(set)?;
    set.result?;
    assert!(set.target.broadcast()?);
    let get = GetSockOpt::new(set.target, SocketOption::BROADCAST);
    let get = ring.push(get)?;
    let one = ring.wait(get)?;
    assert!(one.result?);
    let one = one.target;
    ring.scope(|scope| -> TestResult {
        let set = scope.push(SetSockOpt::new(&one, SocketOption::BROADCAST, false))?;
        scope.wait(set)?.result?;
        Ok(())
    })?;
    assert!(!one.broadcast()?);
    raw_sockets::options(&mut ring, &one)?;
    let kind = ring.call(GetSockOpt::new(&one, SocketOption::KIND))?;
    assert_eq!(kind.result?, libc::SOCK_DGRAM);
    let domain = ring.call(GetSockOpt::new(&one, SocketOption::DOMAIN))?;
    assert_eq!(domain.result?, libc::AF_INET);
    ring.call(SetSockOpt::new(&one, SocketOption::RECEIVE_BUFFER, 8_192))?
        .result?;
    let room = ring.call(GetSockOpt::new(&one, SocketOption::RECEIVE_BUFFER))?;
    assert_eq!(room.result?, 16_384);
    let accepts = SetSockOpt::new(&one, SocketOption::LISTENS, true);
    assert_errno(ring.call(accepts)?.result, libc::ENOPROTOOPT);

    let stream = TcpListener::bind(loopback())?;
    assert!(
        ring.call(GetSockOpt::new(&stream, SocketOption::LISTENS))?
            .result?
    );
    let client = TcpStream::connect(stream.local_addr()?)?;
    ring.call(SetSockOpt::new(&client, SocketOption::NO_DELAY, true))?
        .result?;
    assert!(client.nodelay()?);
    // SAFETY: a structure of two numbers, as the kernel says.
    let linger = unsafe { SocketOption::<[u8; 8]>::new(libc::SOL_SOCKET, libc::SO_LINGER) };
    let value = [1_i32.to_ne_bytes(), 5_i32.to_ne_bytes()].concat();
    let value = <[u8; 8]>::try_from(value).map_err(|_| "eight bytes")?;
    ring.call(SetSockOpt::new(&client, linger, value))?.result?;
    assert_eq!(ring.call(GetSockOpt::new(&client, linger))?.result?, value);
    // Only options of sockets as such can be got.
    let no_delay = ring.call(GetSockOpt::new(&client, SocketOption::NO_DELAY))?;
    assert_errno(no_delay.result, libc::EOPNOTSUPP);
    Ok(())
}

pub(crate) fn queues_and_options_refused(context: &Context) -> TestResult {
    let Some(mut ring) = common::ring_without(SIX_SEVEN, context, 8)? else {
        return Ok(());
    };
    let socket = UdpSocket::bind(loopback())?;
    assert_unknown(ring.call(SiocInq::new(&socket))?.result);
    assert_unknown(ring.call(SiocOutq::new(&socket))?.result);
    let get = ring.call(GetSockOpt::new(&socket, SocketOption::KIND))?;
    assert_unknown(get.result);
    for told in raw_sockets::options_unknown(&mut ring, &socket)? {
        assert_unknown(told.result());
    }
    let set = ring.push(SetSockOpt::new(socket, SocketOption::BROADCAST, true))?;
    let set = ring.wait(set)?;
    assert_unknown(set.result);
    assert!(!set.target.broadcast()?);
    Ok(())
}

/// A feature of Linux 6.7, as commands of sockets are, which can be probed.
pub(crate) const SIX_SEVEN: Feature = Feature::opcode(uring_sys::IORING_OP_FUTEX_WAIT);
/// A feature of Linux 6.19, as that command is.
pub(crate) const SIX_NINETEEN: Feature = Feature::opcode(uring_sys::IORING_OP_NOP128);

pub(crate) fn names(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let listener = TcpListener::bind(loopback())?;
    let here = listener.local_addr()?;
    let token = ring.push(GetSockName::new(listener))?;
    let told = ring.wait(token)?;
    assert_eq!(told.result?.internet(), Some(here));
    let client = TcpStream::connect(here)?;
    let peer = ring.call(GetSockName::new(&client).of_peer())?;
    assert_eq!(peer.result?.internet(), Some(here));
    let nobody = ring.call(GetSockName::new(&told.target).of_peer())?;
    assert_errno(nobody.result, libc::ENOTCONN);
    raw_sockets::names(&mut ring, &told.target, &client)
}

pub(crate) fn names_refused(context: &Context) -> TestResult {
    let Some(mut ring) = common::ring_without(SIX_NINETEEN, context, 8)? else {
        return Ok(());
    };
    let listener = TcpListener::bind(loopback())?;
    let refused = ring.call(GetSockName::new(listener))?;
    assert_unknown(refused.result);
    assert_unknown(raw_sockets::names_unknown(&mut ring, &refused.target)?.result());
    let (stream, _other) = UnixStream::pair()?;
    assert_unknown(ring.call(SiocInq::new(stream))?.result);
    Ok(())
}

/// Linux 6.17 has it, which no feature tells from 6.16 or 6.18.
pub(crate) fn times_of_sends(context: &Context) -> TestResult {
    let large = Builder::new(8).completion_size(CompletionSize::Large);
    let Ok(mut ring) = common::build(context, &large) else {
        assert!(!context.has(Feature::CQE32), "such rings can be made");
        return Ok(());
    };
    let one = UdpSocket::bind(loopback())?;
    let other = UdpSocket::bind(loopback())?;
    one.connect(other.local_addr()?)?;
    let asked = libc::SOF_TIMESTAMPING_TX_SOFTWARE
        | libc::SOF_TIMESTAMPING_SOFTWARE
        | libc::SOF_TIMESTAMPING_OPT_ID
        | libc::SOF_TIMESTAMPING_OPT_TSONLY;
    let times = ring.push(TxTimestamps::new(one.try_clone()?))?;
    if !context.has(Feature::CQE_MIXED) {
        ring.submit()?;
        // Linux 6.17 would wait for ever.
        ring.cancel(&times)?;
        assert!(ring.wait_item(&times)?.is_none());
        match ring.wait(times)?.reason {
            EndReason::Cancelled => {
                assert!(context.has(Feature::opcode(uring_sys::IORING_OP_PIPE)));
            }
            EndReason::Failed(error) => assert_unknown::<()>(Err(error)),
            other => return Err(format!("{other:?}").into()),
        }
        return Ok(());
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    ring.call(SetSockOpt::new(&one, SocketOption::TIMESTAMPING, asked))?
        .result?;
    for key in 0..3 {
        one.send(b"when")?;
        let time = ring.wait_item(&times)?.ok_or("it goes on")?;
        assert_eq!((time.key, time.event), (key, TxEvent::Sent));
        assert!(!time.by_hardware);
        assert!(
            time.time.abs_diff(now) < Duration::from_secs(3600),
            "{time:?}"
        );
    }
    ring.cancel(&times)?;
    assert!(ring.wait_item(&times)?.is_none());
    let ended = ring.wait(times)?;
    assert!(
        matches!(ended.reason, EndReason::Cancelled),
        "{:?}",
        ended.reason
    );
    drop(ended.op.into_target());

    let mut small = common::ring(context, 8)?;
    let refused = small.call(TxTimestamps::new(&one))?;
    match refused.reason {
        EndReason::Failed(error) => assert_eq!(error.raw_os_error(), Some(libc::EINVAL)),
        other => return Err(format!("{other:?}").into()),
    }
    Ok(())
}
