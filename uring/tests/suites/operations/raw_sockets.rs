//! Raw forms of what sockets are asked, and of messages from registered buffers.

use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::ptr::NonNull;

use uring::net::{RawAddressSpace, RawFixedMessage, SocketAddress};
use uring::op::{GetSockName, GetSockOpt, SendMsgZcFixed, SetSockOpt, SocketOption};
use uring::{Any, Completion, CompletionFlags, Ring};
use uring_testkit::TestResult;

use crate::operations::raw::call;
use crate::operations::raw_forms::{memory, target};

/// Sets an option and gets two.
pub(crate) fn options(ring: &mut Ring<Any>, socket: &UdpSocket) -> TestResult {
    for broadcast in [true, false] {
        let mut value = MaybeUninit::uninit();
        let set = SetSockOpt::new(target(socket), SocketOption::BROADCAST, broadcast);
        call(ring, set.value_into(memory(&mut value)), 1)?.result()?;
        assert_eq!(socket.broadcast()?, broadcast);
        let mut value = MaybeUninit::uninit();
        let get = GetSockOpt::new(target(socket), SocketOption::BROADCAST);
        let got = call(ring, get.value_into(memory(&mut value)), 2)?;
        // SAFETY: the operation has written it before and the kernel after.
        let value = unsafe { value.assume_init() };
        assert_eq!((got.result()?, value), (4, i32::from(broadcast)));
    }
    // SAFETY: the kernel gives two numbers for it.
    let linger = unsafe { SocketOption::<[u8; 8]>::new(libc::SOL_SOCKET, libc::SO_LINGER) };
    let mut value = MaybeUninit::uninit();
    let set = SetSockOpt::new(target(socket), linger, [7; 8]);
    call(ring, set.value_into(memory(&mut value)), 3)?.result()?;
    let mut value = MaybeUninit::uninit();
    let get = GetSockOpt::new(target(socket), linger).value_into(memory(&mut value));
    assert_eq!(call(ring, get, 4)?.result()?, 8);
    // SAFETY: as above.
    assert_eq!(unsafe { value.assume_init() }[..4], 1_i32.to_ne_bytes());
    let mut value = MaybeUninit::uninit();
    let get = GetSockOpt::new(target(socket), SocketOption::V6_ONLY);
    let other_level = call(ring, get.value_into(memory(&mut value)), 5)?;
    assert_eq!(other_level.raw_result(), -libc::EOPNOTSUPP);
    Ok(())
}

/// What a kernel says that knows neither.
pub(crate) fn options_unknown(
    ring: &mut Ring<Any>,
    socket: &UdpSocket,
) -> TestResult<[Completion; 2]> {
    let (mut set, mut got) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    let set =
        SetSockOpt::new(target(socket), SocketOption::BROADCAST, true).value_into(memory(&mut set));
    let get = GetSockOpt::new(target(socket), SocketOption::KIND).value_into(memory(&mut got));
    let told = [call(ring, set, 1)?, call(ring, get, 2)?];
    assert!(!socket.broadcast()?);
    Ok(told)
}

/// Room for an address, with what a raw operation takes of it.
struct Room(MaybeUninit<libc::sockaddr_storage>, libc::socklen_t);

impl Room {
    fn new() -> TestResult<Room> {
        let len = libc::socklen_t::try_from(size_of::<libc::sockaddr_storage>())?;
        Ok(Room(MaybeUninit::zeroed(), len))
    }

    fn raw(&mut self) -> RawAddressSpace {
        let start = NonNull::from(&mut self.0).cast();
        // SAFETY: each caller keeps it until the completion has been waited for.
        unsafe { RawAddressSpace::new(start, NonNull::from(&mut self.1)) }
    }

    fn address(&self) -> TestResult<Option<SocketAddr>> {
        let len = usize::try_from(self.1)?;
        let start = self.0.as_ptr().cast::<u8>();
        assert!(len <= size_of_val(&self.0));
        // SAFETY: it was zeroes before the kernel wrote to it.
        let bytes = unsafe { std::slice::from_raw_parts(start, len) };
        Ok(SocketAddress::from_bytes(bytes).and_then(|address| address.internet()))
    }
}

/// Both ends' names.
pub(crate) fn names(
    ring: &mut Ring<Any>,
    listener: &TcpListener,
    client: &TcpStream,
) -> TestResult {
    let mut room = Room::new()?;
    let ask = GetSockName::new(target(client)).address_into(room.raw());
    call(ring, ask, 1)?.result()?;
    assert_eq!(room.address()?, Some(client.local_addr()?));
    let mut room = Room::new()?;
    let ask = GetSockName::new(target(client))
        .of_peer()
        .address_into(room.raw());
    call(ring, ask, 2)?.result()?;
    assert_eq!(room.address()?, Some(listener.local_addr()?));
    let mut room = Room::new()?;
    let ask = GetSockName::new(target(listener)).address_into(room.raw());
    let nobody = call(ring, ask.of_peer(), 3)?;
    assert_eq!(nobody.raw_result(), -libc::ENOTCONN);
    Ok(())
}

pub(crate) fn names_unknown(
    ring: &mut Ring<Any>,
    listener: &TcpListener,
) -> TestResult<Completion> {
    let mut room = Room::new()?;
    let ask = GetSockName::new(target(listener)).address_into(room.raw());
    let told = call(ring, ask, 1)?;
    assert_eq!(room.address()?, None, "nothing was written");
    Ok(told)
}

/// Sends pieces of the registered buffer 0 of the ring, at `start`, to `there`; and pieces of what is no part of it, and of no buffer. The first
/// completion is given of each.
pub(crate) fn fixed_messages(
    ring: &mut Ring<Any>,
    socket: &UdpSocket,
    there: SocketAddr,
    start: *mut u8,
) -> TestResult<[i32; 3]> {
    let address = SocketAddress::from(there);
    let mut elsewhere = [0_u8; 4];
    let mut results = [0; 3];
    for (at, (start, index)) in [(start, 0), (elsewhere.as_mut_ptr(), 0), (start, 1)]
        .into_iter()
        .enumerate()
    {
        let piece = |from: usize, len| libc::iovec {
            iov_base: start.wrapping_add(from).cast(),
            iov_len: len,
        };
        let mut pieces = [piece(2, 2), piece(0, 2)];
        // SAFETY: a structure of numbers and addresses, for which zeroes are valid.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_name = address.as_bytes().as_ptr().cast_mut().cast();
        header.msg_namelen = libc::socklen_t::try_from(address.as_bytes().len())?;
        header.msg_iov = pieces.as_mut_ptr();
        header.msg_iovlen = 2;
        // SAFETY: all of it lives until the last completion, below.
        let message = unsafe { RawFixedMessage::new(index, NonNull::from(&mut header)) };
        let first = call(ring, SendMsgZcFixed::new(target(socket), message), 5)?;
        results[at] = first.raw_result();
        if first.flags().contains(CompletionFlags::MORE) {
            ring.submit_and_wait(1)?;
            let last = ring.next_completion()?.ok_or("it was waited for")?;
            assert!(last.flags().contains(CompletionFlags::NOTIF));
        }
    }
    Ok(results)
}
