//! Sockets.

use std::net::{Ipv4Addr, Shutdown as How, TcpStream, UdpSocket};
use std::sync::Arc;

use uring::net::{Message, MessageSpace};
use uring::op::{
    Accept, AcceptMultishot, Bind, Connect, GetSockName, GetSockOpt, Listen, Recv, RecvMsg, RecvZc,
    Send, SendMsg, SendMsgZc, SendMsgZcFixed, SendQueued, SendVectored, SendZc, SendZcFixed,
    SetSockOpt, Shutdown, SiocInq, Socket, SocketOption, TxTimestamps,
};
use uring::{FixedVecs, IoVecs};
use uring_testkit::TestResult;

use crate::random::flying::{Pushed, push, push_many};
use crate::random::world::{LENGTH, World};

pub(crate) fn accept(world: &mut World) -> TestResult<Pushed> {
    let accept = Accept::new(Arc::clone(&world.listener)).with_address();
    Ok(push(world, accept))
}

pub(crate) fn accept_multishot(world: &mut World) -> TestResult<Pushed> {
    let accept = AcceptMultishot::new(Arc::clone(&world.listener));
    Ok(push_many(world, accept))
}

/// A socket that nothing was done to.
fn fresh() -> TestResult<UdpSocket> {
    Ok(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?)
}

pub(crate) fn connect(world: &mut World) -> TestResult<Pushed> {
    let connect = Connect::new(fresh()?, fresh()?.local_addr()?);
    Ok(push(world, connect))
}

pub(crate) fn bind(world: &mut World) -> TestResult<Pushed> {
    let bind = Bind::new(fresh()?, fresh()?.local_addr()?);
    Ok(push(world, bind))
}

pub(crate) fn listen(world: &mut World) -> TestResult<Pushed> {
    let listen = Listen::new(Arc::clone(&world.listener), 16);
    Ok(push(world, listen))
}

pub(crate) fn shut_down(world: &mut World) -> TestResult<Pushed> {
    let (one, _other) = uring_testkit::files::socketpair()?;
    Ok(push(world, Shutdown::new(one, How::Both)))
}

pub(crate) fn send(world: &mut World) -> TestResult<Pushed> {
    let send = Send::new(Arc::clone(&world.sockets.1), world.buffer()?);
    Ok(push(world, send))
}

pub(crate) fn send_vectored(world: &mut World) -> TestResult<Pushed> {
    let bufs = IoVecs::from(vec![world.buffer()?, world.buffer()?]);
    let send = SendVectored::new(Arc::clone(&world.sockets.1), bufs);
    Ok(push(world, send))
}

/// A connection that takes what is sent without a copy.
fn connection(world: &World) -> TestResult<TcpStream> {
    Ok(TcpStream::connect(world.listener.local_addr()?)?)
}

pub(crate) fn send_zero_copy(world: &mut World) -> TestResult<Pushed> {
    let client = connection(world)?;
    let send = SendZc::new(Arc::new(client), world.buffer()?);
    Ok(push(world, send))
}

pub(crate) fn send_zero_copy_registered(world: &mut World) -> TestResult<Pushed> {
    let client = connection(world)?;
    let Some(buf) = world.ring.registered_buf(0) else {
        return Ok(None);
    };
    Ok(push(world, SendZcFixed::new(client, buf)))
}

pub(crate) fn send_message(world: &mut World) -> TestResult<Pushed> {
    let message = Message::new(IoVecs::from(vec![world.buffer()?]));
    let send = SendMsg::new(Arc::clone(&world.sockets.1), message);
    Ok(push(world, send))
}

pub(crate) fn send_message_zero_copy(world: &mut World) -> TestResult<Pushed> {
    let message = Message::new(IoVecs::from(vec![world.buffer()?, world.buffer()?]));
    let send = SendMsgZc::new(connection(world)?, message);
    Ok(push(world, send))
}

pub(crate) fn send_message_registered(world: &mut World) -> TestResult<Pushed> {
    let client = connection(world)?;
    let Some(buf) = world.ring.registered_buf(1) else {
        return Ok(None);
    };
    let pieces = FixedVecs::new(buf, [200..LENGTH, 0..100]);
    let send = SendMsgZcFixed::new(client, Message::new(pieces));
    Ok(push(world, send))
}

/// After a failure a queue can only be emptied.
pub(crate) fn send_queued(world: &mut World) -> TestResult<Pushed> {
    let Some(queue) = world.to_send.clone() else {
        return Ok(None);
    };
    if world.random.one_in(4) {
        if let Some(unsent) = queue.take_unsent() {
            world.keep(unsent);
        }
    }
    // One that is full gives the buffer back.
    let _ = queue.put(world.buffer()?);
    let send = SendQueued::new(Arc::clone(&world.sockets.1), queue);
    Ok(push_many(world, send))
}

pub(crate) fn receive(world: &mut World) -> TestResult<Pushed> {
    let receive = Recv::new(Arc::clone(&world.sockets.0), world.buffer()?);
    Ok(push(world, receive))
}

pub(crate) fn receive_message(world: &mut World) -> TestResult<Pushed> {
    let space = MessageSpace::new(IoVecs::from(vec![world.buffer()?]))
        .with_address()
        .with_control(64);
    let receive = RecvMsg::new(Arc::clone(&world.sockets.0), space);
    Ok(push(world, receive))
}

/// Through a queue that there is not.
pub(crate) fn receive_zero_copy(world: &mut World) -> TestResult<Pushed> {
    let receive = RecvZc::new(Arc::clone(&world.sockets.0), 7);
    Ok(push_many(world, receive))
}

pub(crate) fn make_socket(world: &mut World) -> TestResult<Pushed> {
    let socket = Socket::new(libc::AF_INET, libc::SOCK_STREAM);
    Ok(push(world, socket))
}

pub(crate) fn get_option(world: &mut World) -> TestResult<Pushed> {
    let get = GetSockOpt::new(Arc::clone(&world.sockets.0), SocketOption::KEEP_ALIVE);
    Ok(push(world, get))
}

pub(crate) fn set_option(world: &mut World) -> TestResult<Pushed> {
    let set = SetSockOpt::new(Arc::clone(&world.sockets.0), SocketOption::KEEP_ALIVE, true);
    Ok(push(world, set))
}

pub(crate) fn bytes_waiting(world: &mut World) -> TestResult<Pushed> {
    let ask = SiocInq::new(Arc::clone(&world.sockets.0));
    Ok(push(world, ask))
}

pub(crate) fn own_name(world: &mut World) -> TestResult<Pushed> {
    let ask = GetSockName::new(Arc::clone(&world.listener));
    Ok(push(world, ask))
}

pub(crate) fn timestamps(world: &mut World) -> TestResult<Pushed> {
    let timestamps = TxTimestamps::new(Arc::clone(&world.sockets.0));
    Ok(push_many(world, timestamps))
}
