//! The listening socket, and who comes to it.

use std::io;
use std::net::{Shutdown as Direction, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use uring::net::NoAddress;
use uring::op::{
    Accept, AcceptMultishot, Bind, CloseDirect, EndReason, FilesUpdate, GetSockName, InstallFd,
    IntoAnyDirect, IntoDirect, Listen, SetSockOpt, Shutdown, Socket, SocketOption, Timeout,
};
use uring::{Direct, Local, OpStream, Submitted};

use crate::deadline::{Either, either};
use crate::ladder::{Footing, Slot, Slots};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// How long one operation waits for one connection.
const SPAN: Duration = Duration::from_secs(1);

/// How long to wait when a connection could not be accepted for want of something.
const PAUSE: Duration = Duration::from_millis(20);

pub(crate) struct Listener {
    local: Local,
    socket: Arc<Direct>,
    address: SocketAddr,
    accepts: Accepts,
}

/// What is in flight for those who come.
enum Accepts {
    Nothing,
    Many(OpStream<AcceptMultishot<Arc<Direct>, IntoAnyDirect>>),
    /// Until one has come, or it is time to begin again, so that what is closed in the meantime really is.
    One(
        Submitted<Accept<Arc<Direct>, NoAddress, IntoDirect>>,
        Submitted<Timeout>,
    ),
}

impl Listener {
    pub(crate) async fn open(footing: &mut Footing, address: SocketAddr) -> io::Result<Listener> {
        let explained = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
        };
        let (socket, address) = if footing.probe.supports(uring_sys::IORING_OP_LISTEN) {
            let socket = listen(&footing.local, &footing.slots, address).await;
            let socket = footing.slots.share(socket.map_err(explained)?);
            let address = own_address(footing, &socket, address).await?;
            (socket, address)
        } else {
            footing.concessions.push(
                "the listening socket had a descriptor until it was in the ring's table (Linux 6.11 makes it there)".to_owned(),
            );
            let listener = TcpListener::bind(address).map_err(explained)?;
            let address = listener.local_addr()?;
            let socket = adopt(footing, listener).await?;
            (footing.slots.share(socket), address)
        };
        Ok(Listener {
            local: footing.local.clone(),
            socket,
            address,
            accepts: Accepts::Nothing,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the next connection. May be dropped and called again: nobody is lost by that.
    pub(crate) async fn next(&mut self, slots: &Slots) -> io::Result<Direct> {
        loop {
            let failed = match &mut self.accepts {
                Accepts::Many(connections) => {
                    if let Some(connection) = connections.next().await {
                        return Ok(connection);
                    }
                    let end = connections.take_end();
                    self.accepts = Accepts::Nothing;
                    match end.ok_or(io::ErrorKind::Other)??.reason {
                        EndReason::Failed(error) => error,
                        _ => continue,
                    }
                }
                Accepts::One(accept, span) => {
                    let accepted = match either(&mut *accept, span).await {
                        Either::First(accepted) => accepted,
                        Either::Second(_) => {
                            accept.cancel()?;
                            accept.await
                        }
                    };
                    self.accepts = Accepts::Nothing;
                    match accepted?.result {
                        Ok(connection) => return Ok(connection),
                        Err(error) => error,
                    }
                }
                Accepts::Nothing => match self.accept(slots) {
                    Ok(accepts) => {
                        self.accepts = accepts;
                        continue;
                    }
                    Err(error) => error,
                },
            };
            // The client has gone again, or there is no slot or memory for it now. All else will not pass.
            match failed.raw_os_error() {
                Some(libc::ECONNABORTED | libc::ECANCELED | libc::EINTR | libc::EPROTO) => {}
                Some(libc::ENFILE | libc::EMFILE | libc::ENOMEM | libc::ENOBUFS) => {
                    self.local.submit(Timeout::after(PAUSE)).await??;
                }
                _ => return Err(failed),
            }
        }
    }

    fn accept(&self, slots: &Slots) -> io::Result<Accepts> {
        let socket = Arc::clone(&self.socket);
        Ok(match slots.by_kernel() {
            Some(slot) => {
                let accept = AcceptMultishot::new(socket).into_any_direct(slot.clone());
                Accepts::Many(self.local.stream(accept))
            }
            None => {
                let accept = Accept::new(socket).into_direct(slots.reserved()?);
                let span = self.local.submit(Timeout::after(SPAN));
                Accepts::One(self.local.submit(accept), span)
            }
        })
    }

    /// Accepts nobody any more, and gives the port back. Those who were accepted already are yielded.
    pub(crate) async fn close(self, slots: &Slots) -> io::Result<Vec<Direct>> {
        let mut last = Vec::new();
        match self.accepts {
            Accepts::Nothing => {}
            Accepts::Many(mut connections) => {
                connections.cancel()?;
                while let Some(connection) = connections.next().await {
                    last.push(connection);
                }
                // With its end, the operation and its hold on the socket.
                drop(connections.take_end());
            }
            Accepts::One(accept, _) => {
                accept.cancel()?;
                last.extend(accept.await?.result.ok());
            }
        }
        if slots.closes_late() {
            let shutdown = Shutdown::new(Arc::clone(&self.socket), Direction::Both);
            self.local.submit(shutdown).await?.result?;
        }
        // Once more than dropping would do: it waits until the port is free for whoever comes next.
        if let Ok(socket) = Arc::try_unwrap(self.socket) {
            self.local.submit(CloseDirect::new(socket)).await??;
        }
        Ok(last)
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
