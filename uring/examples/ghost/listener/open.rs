//! How the listening socket comes into the ring's table.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use uring::op::{
    Bind, FilesUpdate, GetSockName, InstallFd, Listen, SetSockOpt, Socket, SocketOption,
};
use uring::{Direct, Local};

use crate::ladder::{Footing, Slot, Slots};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// Opens it, and says which address it has.
pub(super) async fn open(
    footing: &mut Footing,
    address: SocketAddr,
) -> io::Result<(Arc<Direct>, SocketAddr)> {
    let explained = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    };
    if footing.probe.supports(uring_sys::IORING_OP_LISTEN) {
        let socket = listen(&footing.local, &footing.slots, address).await;
        let socket = footing.slots.share(socket.map_err(explained)?);
        let address = own_address(footing, &socket, address).await?;
        Ok((socket, address))
    } else {
        footing.concessions.push(
            "the listening socket had a descriptor until it was in the ring's table (Linux 6.11 makes it there)".to_owned(),
        );
        let listener = TcpListener::bind(address).map_err(explained)?;
        let address = listener.local_addr()?;
        let socket = adopt(footing, listener).await?;
        Ok((footing.slots.share(socket), address))
    }
}

/// A socket that has never had a descriptor.
async fn listen(local: &Local, slots: &Slots, address: SocketAddr) -> io::Result<Direct> {
    let family = match address {
        SocketAddr::V4(_) => libc::AF_INET,
        SocketAddr::V6(_) => libc::AF_INET6,
    };
    let socket = Socket::new(family, libc::SOCK_STREAM);
    let socket = match slots.one()? {
        Slot::Any(slot) => local.submit(socket.into_any_direct(slot)).await??,
        Slot::One(slot) => local.submit(socket.into_direct(slot)).await??,
    };
    let reuse = SetSockOpt::new(socket, SocketOption::REUSE_ADDRESS, true);
    let done = local.submit(reuse).await?;
    done.result?;
    let done = local.submit(Bind::new(done.target, address)).await?;
    done.result?;
    let done = local.submit(Listen::new(done.target, BACKLOG)).await?;
    done.result?;
    Ok(done.target)
}

/// Which address it has, if any port would do.
async fn own_address(
    footing: &mut Footing,
    socket: &Arc<Direct>,
    asked: SocketAddr,
) -> io::Result<SocketAddr> {
    if asked.port() != 0 {
        return Ok(asked);
    }
    let name = footing.local.submit(GetSockName::new(Arc::clone(socket)));
    if let Some(address) = name.await?.result.ok().and_then(|name| name.internet()) {
        return Ok(address);
    }
    footing.concessions.push(
        "the listening socket had a descriptor while it was asked for its port (Linux 6.19 tells without; so does --address with a port)".to_owned(),
    );
    let install = InstallFd::new(Arc::clone(socket));
    let installed = footing.local.submit(install).await?.result?;
    TcpListener::from(installed).local_addr()
}

/// Puts a socket into the ring's table, and closes its descriptor.
async fn adopt(footing: &Footing, listener: TcpListener) -> io::Result<Direct> {
    let local = &footing.local;
    match footing.slots.one()? {
        Slot::Any(slot) => local.submit(FilesUpdate::new(slot, listener)).await?.result,
        Slot::One(slot) => local.submit(FilesUpdate::new(slot, listener)).await?.result,
    }
}
