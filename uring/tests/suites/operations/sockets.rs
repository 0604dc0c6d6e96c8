//! Making, binding, connecting, accepting and shutting down sockets.

use std::io::{Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener, UnixStream};
use std::ptr::NonNull;

use uring::net::{InternetAddress, RawAddress, RawAddressSpace, SocketAddress};
use uring::op::{
    Accept, Bind, CloseDirect, Connect, Listen, OpenAt, Read, Recv, Send, Shutdown, Socket,
};
use uring::{Any, RawTarget, Ring};
use uring_testkit::files::TempDir;
use uring_testkit::{Context, FdTable, Feature, TestResult};

use crate::common;
use crate::operations::files::assert_errno;
use crate::operations::raw;
use crate::operations::raw_forms;

pub(crate) fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// A socket that is neither bound nor connected.
fn unconnected(domain: i32, kind: i32) -> TestResult<OwnedFd> {
    // SAFETY: a call with three numbers.
    let fd = unsafe { libc::socket(domain, kind | libc::SOCK_CLOEXEC, 0) };
    if fd == -1 {
        return Err(std::io::Error::last_os_error().into());
    }
    // SAFETY: the kernel has just made it, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn is_closed_on_exec(fd: &OwnedFd) -> bool {
    // SAFETY: asks for the flags of an open descriptor.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFD) & libc::FD_CLOEXEC != 0 }
}

fn is_nonblocking(fd: &OwnedFd) -> bool {
    // SAFETY: as above.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) & libc::O_NONBLOCK != 0 }
}

pub(crate) fn connect_and_accept(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let listener = TcpListener::bind(loopback())?;
    let here = listener.local_addr()?;

    let accept = ring.push(Accept::new(listener).with_address())?;
    let stream = unconnected(libc::AF_INET, libc::SOCK_STREAM)?;
    let connect = ring.push(Connect::new(stream, here))?;
    let connected = ring.wait(connect)?;
    connected.result?;
    let accepted = ring.wait(accept)?;
    let (connection, peer) = accepted.result?;
    let mut client = TcpStream::from(connected.target);
    assert_eq!(peer.internet(), Some(client.local_addr()?));
    assert!(is_closed_on_exec(&connection) && !is_nonblocking(&connection));
    client.write_all(b"by address")?;
    let mut text = [0; 10];
    TcpStream::from(connection).read_exact(&mut text)?;
    assert_eq!(&text, b"by address");

    let listener = accepted.target;
    let stream = unconnected(libc::AF_INET, libc::SOCK_STREAM)?;
    ring.scope(|scope| -> TestResult {
        let accept = scope.push(Accept::new(&listener).nonblocking())?;
        let connect = scope.push(Connect::new(&stream, InternetAddress::from(here)))?;
        scope.wait(connect)?.result?;
        assert!(is_nonblocking(&scope.wait(accept)?.result?));
        Ok(())
    })?;
    drop(listener);
    let refused = ring.call(Connect::new(
        unconnected(libc::AF_INET, libc::SOCK_STREAM)?,
        here,
    ))?;
    assert_errno(refused.result, libc::ECONNREFUSED);
    let refused = ring.call(Accept::new(refused.target).with_address())?;
    assert_errno(refused.result, libc::EINVAL);
    drop(refused.target);
    connect_raw(&mut ring)?;
    accept_direct(&mut ring)
}

fn connect_raw(ring: &mut Ring<Any>) -> TestResult {
    let listener = TcpListener::bind(loopback())?;
    let stream = unconnected(libc::AF_INET, libc::SOCK_STREAM)?;
    let address = SocketAddress::from(listener.local_addr()?);
    let bytes = address.as_bytes();
    let mut space = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut len = libc::socklen_t::try_from(size_of_val(&space))?;
    // SAFETY: all of them live to the end of this function, and each completion is waited for.
    let (listening, target, address, space_for) = unsafe {
        (
            RawTarget::descriptor(listener.as_raw_fd()),
            RawTarget::descriptor(stream.as_raw_fd()),
            RawAddress::new(
                NonNull::from(bytes).cast(),
                libc::socklen_t::try_from(bytes.len())?,
            ),
            RawAddressSpace::new(NonNull::from(&mut space).cast(), NonNull::from(&mut len)),
        )
    };
    raw::call(ring, Connect::new(target, address), 1)?.result()?;
    let accept = Accept::new(listening).address_into(space_for);
    let accepted = raw::call(ring, accept, 2)?.result()?;
    // SAFETY: the kernel has just opened it, and nobody else knows of it.
    drop(unsafe { OwnedFd::from_raw_fd(i32::try_from(accepted)?) });
    // SAFETY: the accept has filled it in.
    let family = unsafe { space.assume_init() }.ss_family;
    assert_eq!(i32::from(family), libc::AF_INET);
    assert_eq!(usize::try_from(len)?, size_of::<libc::sockaddr_in>());
    let again = raw::call(ring, Connect::new(target, address), 3)?;
    assert_eq!(again.raw_result(), -libc::EISCONN);
    Ok(())
}

fn accept_direct(ring: &mut Ring<Any>) -> TestResult {
    ring.register_direct(2)?;
    let listener = TcpListener::bind(loopback())?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let before = FdTable::now()?;
    let slot = ring.direct_slot()?;
    let accepted = ring.call(Accept::new(&listener).with_address().into_direct(slot))?;
    let (connection, peer) = accepted.result?;
    assert!(before.diff(&FdTable::now()?).is_empty(), "it has no number");
    assert_eq!(peer.internet(), Some(client.local_addr()?));
    client.write_all(b"direct")?;
    assert_eq!(
        ring.call(Recv::new(&connection, vec![0; 6]))?.buf,
        b"direct"
    );
    assert_eq!(ring.call(Send::new(connection, "back"))?.result?, 4);
    let mut text = [0; 4];
    client.read_exact(&mut text)?;
    assert_eq!(&text, b"back");
    Ok(())
}

/// Each kind of address, as its peer sees it.
pub(crate) fn addresses(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let dir = TempDir::new()?;
    let path = UnixAddr::from_pathname(dir.path().join("socket"))?;
    let name = format!("uring-{}-{}", std::process::id(), context.name());
    let hidden = UnixAddr::from_abstract_name(name)?;
    for address in [&path, &hidden] {
        let given = SocketAddress::from(address);
        let same = given.unix().ok_or("it is one of a Unix socket")?;
        assert_eq!(format!("{same:?}"), format!("{address:?}"));
        let listener = UnixListener::bind_addr(address)?;
        let stream = unconnected(libc::AF_UNIX, libc::SOCK_STREAM)?;
        let connected = ring.call(Connect::new(stream, address))?;
        connected.result?;
        let accepted = ring.call(Accept::new(&listener).with_address())?;
        let (connection, peer) = accepted.result?;
        let peer = peer.unix().ok_or("it is one of a Unix socket")?;
        assert!(peer.is_unnamed(), "{peer:?}");
        let client = UnixStream::from(connected.target);
        let there = client.peer_addr()?;
        assert_eq!(format!("{there:?}"), format!("{address:?}"));
        drop(connection);
    }
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, 12));
    for address in [loopback(), v6] {
        let given = SocketAddress::from(address);
        assert_eq!(given.internet(), Some(address));
        assert_eq!(SocketAddress::from_bytes(given.as_bytes()), Some(given));
        assert_eq!(SocketAddr::from(InternetAddress::from(address)), address);
        assert!(given.unix().is_none());
    }
    assert!(SocketAddress::from_bytes(&[0; 129]).is_none());
    let nobody = SocketAddress::from_bytes(&[]).ok_or("it is short enough")?;
    assert_eq!((nobody.family(), nobody.internet()), (None, None));
    let socket = unconnected(libc::AF_INET, libc::SOCK_STREAM)?;
    let refused = ring.call(Connect::new(&socket, nobody))?;
    assert_errno(refused.result, libc::EINVAL);
    Ok(())
}

/// What these options do needs a kernel that knows them; others say `EINVAL` and accept nobody.
pub(crate) fn accept_options(context: &Context) -> TestResult {
    let known = context.has(Feature::ring(uring_sys::IORING_FEAT_RECVSEND_BUNDLE));
    let mut ring = common::ring(context, 8)?;
    let listener = TcpListener::bind(loopback())?;
    let expected = if known { libc::EAGAIN } else { libc::EINVAL };
    let nobody = ring.call(Accept::new(&listener).do_not_wait())?;
    assert_errno(nobody.result, expected);
    let client = TcpStream::connect(listener.local_addr()?)?;
    let polled = ring.call(Accept::new(&listener).poll_first())?;
    if !known {
        assert_errno(polled.result, libc::EINVAL);
        ring.call(Accept::new(&listener))?.result?;
        return Ok(());
    }
    drop((client, polled.result?));
    let _client = TcpStream::connect(listener.local_addr()?)?;
    ring.call(Accept::new(&listener).do_not_wait())?.result?;
    Ok(())
}

pub(crate) fn socket(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let token = ring.push(Socket::new(libc::AF_INET, libc::SOCK_DGRAM).nonblocking())?;
    let socket = ring.wait(token)??;
    assert!(is_closed_on_exec(&socket) && is_nonblocking(&socket));
    assert_eq!(UdpSocket::from(socket).local_addr()?.port(), 0);
    let socket = Socket::new(libc::AF_INET, libc::SOCK_STREAM).protocol(libc::IPPROTO_TCP);
    assert!(!is_nonblocking(&ring.call(socket)??));
    let none = Socket::new(libc::AF_INET, libc::SOCK_STREAM).protocol(libc::IPPROTO_UDP);
    assert_errno(ring.call(none)?, libc::EPROTONOSUPPORT);
    assert_errno(
        ring.call(Socket::new(-1, libc::SOCK_STREAM))?,
        libc::EAFNOSUPPORT,
    );
    let number = raw::call(&mut ring, Socket::new(libc::AF_UNIX, libc::SOCK_STREAM), 1)?;
    // SAFETY: the kernel has just opened it, and nobody else knows of it.
    drop(unsafe { OwnedFd::from_raw_fd(i32::try_from(number.result()?)?) });

    ring.register_direct(1)?;
    let before = FdTable::now()?;
    let slot = ring.direct_slot()?;
    let kind = Socket::new(libc::AF_INET, libc::SOCK_STREAM);
    let socket = ring.call(kind.into_direct(slot))??;
    let listener = TcpListener::bind(loopback())?;
    ring.call(Connect::new(&socket, listener.local_addr()?))?
        .result?;
    ring.call(Send::new(&socket, "nameless"))?.result?;
    let mut text = [0; 8];
    listener.accept()?.0.read_exact(&mut text)?;
    assert_eq!(&text, b"nameless");
    drop((listener, ring.call(CloseDirect::new(socket))??));
    assert!(before.diff(&FdTable::now()?).is_empty());
    let slot = ring.direct_slot()?;
    assert_errno(
        ring.call(Socket::new(-1, 0).into_direct(slot))?,
        libc::EAFNOSUPPORT,
    );
    ring.direct_slot()?;
    Ok(())
}

pub(crate) fn socket_refused(context: &Context) -> TestResult {
    let opcode = Feature::opcode(uring_sys::IORING_OP_SOCKET);
    let Some(mut ring) = common::ring_without(opcode, context, 8)? else {
        return Ok(());
    };
    let socket = || Socket::new(libc::AF_INET, libc::SOCK_STREAM);
    assert_errno(ring.call(socket())?, libc::EINVAL);
    ring.register_direct(1)?;
    let slot = ring.direct_slot()?;
    assert_errno(ring.call(socket().into_direct(slot))?, libc::EINVAL);
    ring.direct_slot()?;
    Ok(())
}

/// A whole connection without a descriptor, from the listening socket to the accepted one.
pub(crate) fn bind_and_listen(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let socket = ring.call(Socket::new(libc::AF_INET, libc::SOCK_STREAM))??;
    let token = ring.push(Bind::new(socket, loopback()))?;
    let bound = ring.wait(token)?;
    bound.result?;
    let again = ring.call(Bind::new(bound.target, loopback()))?;
    assert_errno(again.result, libc::EINVAL);
    let token = ring.push(Listen::new(again.target, 4))?;
    let listening = ring.wait(token)?;
    listening.result?;
    let listener = TcpListener::from(listening.target);
    let _client = TcpStream::connect(listener.local_addr()?)?;
    ring.call(Accept::new(&listener))?.result?;
    let datagrams = UdpSocket::bind(loopback())?;
    assert_errno(
        ring.call(Listen::new(datagrams, 4))?.result,
        libc::EOPNOTSUPP,
    );

    let socket = unconnected(libc::AF_INET, libc::SOCK_STREAM)?;
    let address = SocketAddress::from(loopback());
    let len = libc::socklen_t::try_from(address.as_bytes().len())?;
    // SAFETY: both live to the end of this function, and each completion is waited for.
    let (target, address) = unsafe {
        (
            RawTarget::descriptor(socket.as_raw_fd()),
            RawAddress::new(NonNull::from(address.as_bytes()).cast(), len),
        )
    };
    raw::call(&mut ring, Bind::new(target, address), 1)?.result()?;
    raw::call(&mut ring, Listen::new(target, 4), 2)?.result()?;
    assert_ne!(TcpListener::from(socket).local_addr()?.port(), 0);
    Ok(())
}

pub(crate) fn bind_and_listen_refused(context: &Context) -> TestResult {
    let opcode = Feature::opcode(uring_sys::IORING_OP_BIND);
    let Some(mut ring) = common::ring_without(opcode, context, 8)? else {
        return Ok(());
    };
    let socket = unconnected(libc::AF_INET, libc::SOCK_STREAM)?;
    let bound = ring.call(Bind::new(socket, loopback()))?;
    assert_errno(bound.result, libc::EINVAL);
    let listening = ring.call(Listen::new(bound.target, 4))?;
    assert_errno(listening.result, libc::EINVAL);
    assert_eq!(TcpListener::from(listening.target).local_addr()?.port(), 0);
    Ok(())
}

pub(crate) fn shutdown(context: &Context) -> TestResult {
    use std::net::Shutdown as Direction;
    let mut ring = common::ring(context, 8)?;
    let (one, mut other) = UnixStream::pair()?;
    let token = ring.push(Shutdown::new(one, Direction::Write))?;
    let done = ring.wait(token)?;
    done.result?;
    assert_eq!(other.read(&mut [0; 1])?, 0);
    other.write_all(b"this way")?;
    ring.call(Shutdown::new(&done.target, Direction::Both))?
        .result?;
    assert_eq!(
        other.write(b"no").unwrap_err().raw_os_error(),
        Some(libc::EPIPE)
    );
    // SAFETY: the socket lives to the end of this function.
    let target = unsafe { RawTarget::descriptor(other.as_raw_fd()) };
    raw::call(&mut ring, Shutdown::new(target, Direction::Read), 1)?.result()?;
    let file = std::fs::File::open("/dev/null")?;
    let refused = ring.call(Shutdown::new(file, Direction::Read))?;
    assert_errno(refused.result, libc::ENOTSOCK);
    Ok(())
}

pub(crate) fn shutdown_refused(context: &Context) -> TestResult {
    let opcode = Feature::opcode(uring_sys::IORING_OP_SHUTDOWN);
    let Some(mut ring) = common::ring_without(opcode, context, 8)? else {
        return Ok(());
    };
    let (one, mut other) = UnixStream::pair()?;
    let done = ring.call(Shutdown::new(one, std::net::Shutdown::Both))?;
    assert_errno(done.result, libc::EINVAL);
    other.write_all(b"still open")?;
    Ok(())
}

/// Slots that the kernel gives out: they come back, and no other ring or kind of slot gets in between.
pub(crate) fn direct_allocated(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    assert!(ring.any_direct_slot().is_err(), "there is no table");
    ring.register_direct_allocated(2)?;
    let slot = ring.any_direct_slot()?;
    let error = ring.direct_slot().expect_err("the kernel gives them out");
    assert!(error.to_string().contains("any_direct_slot"), "{error}");
    let open = || OpenAt::new(c"/dev/zero").into_any_direct(slot.clone());
    for _ in 0..context.rounds(1_000) {
        let one = ring.call(open())?.result?;
        let other = ring.call(open())?.result?;
        assert_ne!(one.index(), other.index());
        assert_errno(ring.call(open())?.result, libc::ENFILE);
        assert_eq!(ring.call(Read::new(&other, vec![1; 2]))?.buf, [0; 2]);
        // One is closed at once, the other with the next submission.
        ring.call(CloseDirect::new(one))??;
        drop(other);
    }
    let socket = Socket::new(libc::AF_INET, libc::SOCK_STREAM).into_any_direct(slot.clone());
    let socket = ring.call(socket)??;
    let listener = TcpListener::bind(loopback())?;
    ring.call(Connect::new(socket, listener.local_addr()?))?
        .result?;
    ring.call(Accept::new(&listener).into_any_direct(slot.clone()))?
        .result?;

    let mut another = common::ring(context, 8)?;
    another.register_direct(2)?;
    let error = another.any_direct_slot().expect_err("the library's slots");
    assert!(
        error.to_string().contains("register_direct_allocated"),
        "{error}"
    );
    let refused = another.push(open()).expect_err("a slot of the other ring");
    assert!(refused.error().is_wrong_ring(), "{refused}");
    drop(refused);
    let mut ring = common::ring(context, 8)?;
    ring.register_direct_allocated(2)?;
    raw_forms::accepted_anywhere(&mut ring)?;
    raw_forms::sockets(&mut another)
}

pub(crate) fn direct_allocated_refused(context: &Context) -> TestResult {
    let range = Feature::register(uring_sys::IORING_REGISTER_FILE_ALLOC_RANGE);
    let Some(mut ring) = common::ring_without(range, context, 8)? else {
        return Ok(());
    };
    let error = ring
        .register_direct_allocated(2)
        .expect_err("the kernel gives out no slots");
    assert!(
        error
            .to_string()
            .contains("IORING_REGISTER_FILE_ALLOC_RANGE"),
        "{error}"
    );
    assert!(error.is_unsupported(), "{error}");
    // Nothing of it is left.
    ring.register_direct(2)?;
    ring.direct_slot()?;
    Ok(())
}
