//! The listening socket, and who comes to it.

mod open;

use std::io;
use std::net::{Shutdown as Direction, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use uring::net::NoAddress;
use uring::op::{
    Accept, AcceptMultishot, CloseDirect, EndReason, IntoAnyDirect, IntoDirect, Shutdown, Timeout,
};
use uring::{Direct, Local, OpStream, Submitted};

use crate::deadline::{Either, either};
use crate::ladder::{Footing, Slots};

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
        let (socket, address) = open::open(footing, address).await?;
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
