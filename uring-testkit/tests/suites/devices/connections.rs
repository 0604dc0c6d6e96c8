//! Sockets, networks and terminals.

use std::{
    fs::{self, File},
    io::{self, IsTerminal as _, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::fd::OwnedFd,
    time::Duration,
};

use uring_testkit::{
    Context, Suite, TestResult,
    fixtures::{NetworkNamespace, SocketKind, Terminal},
    raw::RawRing,
};

use crate::devices::ring::{read, write};

pub(crate) fn add_to(suite: &mut Suite) {
    for kind in SocketKind::ALL {
        suite
            .test(format!("sockets_are_connected_{kind}"), move |_| {
                sockets_are_connected(kind)
            })
            .requires(kind.requires().iter().copied());
    }
    suite
        .test("network_is_ones_own", network_is_ones_own)
        .requires(NetworkNamespace::REQUIRES);
    suite
        .test("network_has_every_kind_of_socket", network_has_sockets)
        .requires(NetworkNamespace::REQUIRES)
        .requires([uring_testkit::Facility::IPV6]);
    suite
        .test("terminal_passes_bytes", terminal_passes_bytes)
        // What a terminal that is not raw does is wait for the end of a line.
        .timeout(Duration::from_secs(5))
        .requires(Terminal::REQUIRES);
}

fn sockets_are_connected(kind: SocketKind) -> TestResult {
    let (one, other) = kind.pair()?;
    passes(&one, &other)?;
    passes(&other, &one)?;
    let mut ring = RawRing::new(4, 0)?;
    // Two writes are two reads where boundaries are kept.
    write(&mut ring, &one, 0, b"ab")?;
    write(&mut ring, &one, 0, b"cd")?;
    let mut buffer = [0; 4];
    // Bytes of a stream may also come one after the other.
    let count = read(&mut ring, &other, 0, &mut buffer)?;
    if kind.keeps_boundaries() {
        assert_eq!((count, &buffer[..2]), (2, &b"ab"[..]));
        assert_eq!(read(&mut ring, &other, 0, &mut buffer)?, 2);
    } else {
        let mut rest = vec![0; 4 - count];
        File::from(other.try_clone()?).read_exact(&mut rest)?;
        assert_eq!([&buffer[..count], &rest].concat(), b"abcd");
    }
    drop(one);
    if kind.has_end() {
        assert_eq!(read(&mut ring, &other, 0, &mut buffer)?, 0);
    }
    Ok(())
}

fn passes(from: &OwnedFd, to: &OwnedFd) -> TestResult {
    let mut ring = RawRing::new(4, 0)?;
    assert_eq!(write(&mut ring, from, 0, b"hello")?, 5);
    let mut buffer = [0; 16];
    assert_eq!(read(&mut ring, to, 0, &mut buffer)?, 5);
    assert_eq!(&buffer[..5], b"hello");
    Ok(())
}

fn namespace() -> io::Result<std::path::PathBuf> {
    fs::read_link("/proc/thread-self/ns/net")
}

fn network_is_ones_own(_: &Context) -> TestResult {
    let before = namespace()?;
    let outside = TcpListener::bind("127.0.0.1:0")?;
    let address = outside.local_addr()?;
    let network = NetworkNamespace::enter()?;
    assert_ne!(namespace()?, before);
    let refused = TcpStream::connect(address).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    // The same port is free here.
    let inside = TcpListener::bind(address)?;
    let mut sent = TcpStream::connect(address)?;
    sent.write_all(b"inside")?;
    drop(sent);
    assert_eq!(io::read_to_string(inside.accept()?.0)?, "inside");
    drop(network);
    assert_eq!(namespace()?, before);
    drop(TcpStream::connect(address)?);
    Ok(())
}

fn network_has_sockets(_: &Context) -> TestResult {
    let _network = NetworkNamespace::enter()?;
    for kind in SocketKind::ALL {
        let (one, other) = kind.pair()?;
        passes(&one, &other)?;
    }
    Ok(())
}

fn terminal_passes_bytes(_: &Context) -> TestResult {
    let Terminal {
        controller,
        terminal,
    } = Terminal::new()?;
    assert!(File::from(terminal.try_clone()?).is_terminal());
    passes(&controller, &terminal)?;
    passes(&terminal, &controller)?;
    let mut ring = RawRing::new(4, 0)?;
    let mut buffer = [0; 8];
    // Neither an echo, nor another end of line, nor a signal.
    assert_eq!(write(&mut ring, &controller, 0, b"\x03\r\n")?, 3);
    assert_eq!(read(&mut ring, &terminal, 0, &mut buffer)?, 3);
    assert_eq!(&buffer[..3], b"\x03\r\n");
    drop(terminal);
    let ended = File::from(controller).read(&mut buffer).unwrap_err();
    assert_eq!(ended.raw_os_error(), Some(libc::EIO), "{ended}");
    Ok(())
}
