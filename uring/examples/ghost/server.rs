//! What all connections have in common, and the way from the first to the last.

use std::cell::Cell;
use std::io;
use std::net::Shutdown as Direction;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use uring::op::{Shutdown, Timeout};
use uring::{BufferRing, Direct, Local, leaked_operations};

use crate::Options;
use crate::connection::Connection;
use crate::crowd::{Crowd, MOST_REFUSALS};
use crate::deadline::{Either, either};
use crate::ladder::{Footing, Slots};
use crate::listener::Listener;
use crate::sending::SendBuffers;
use crate::signals::Signals;
use crate::statistics::{self, Connections, Counters, Share, Statistics};

/// How often, and after how long each time, to look whether all is over in the end.
const TURNS: u32 = 1000;
const TURN: Duration = Duration::from_millis(1);

pub(crate) struct Server {
    pub(crate) local: Local,
    pub(crate) options: Options,
    pub(crate) slots: Slots,
    pub(crate) receive_buffers: Option<BufferRing>,
    pub(crate) send_buffers: Rc<SendBuffers>,
    pub(crate) counters: Counters,
    pub(crate) crowd: Rc<Crowd>,
    handle: String,
    concessions: Vec<String>,
    is_ending: Cell<bool>,
}

impl Server {
    pub(crate) fn new(footing: Footing, options: Options) -> Server {
        Server {
            handle: footing.handle(),
            local: footing.local,
            options,
            slots: footing.slots,
            receive_buffers: footing.buffers,
            send_buffers: Rc::default(),
            counters: Counters::default(),
            crowd: Rc::default(),
            concessions: footing.concessions,
            is_ending: Cell::new(false),
        }
    }

    /// Whether connections end with the answer that is under way.
    pub(crate) fn is_ending(&self) -> bool {
        self.is_ending.get()
    }

    /// Ends a connection where closing the socket does not do so at once.
    pub(crate) async fn hang_up(&self, socket: Arc<Direct>) {
        if self.slots.closes_late() {
            let shutdown = Shutdown::new(socket, Direction::Both);
            // The client may have done so already.
            let _ = self.local.submit(shutdown).await;
        }
    }

    pub(crate) async fn statistics(&self) -> Statistics {
        let counters = &self.counters;
        let buffers = self.receive_buffers.as_ref();
        Statistics {
            handle: self.handle.clone(),
            concessions: self.concessions.clone(),
            connections: Connections {
                now: self.crowd.served(),
                total: counters.accepted.get(),
                limit: self.options.connections,
                refused: counters.turned_away.get(),
                cut_off: counters.cut_off.get(),
            },
            requests: counters.requests.get(),
            bytes_sent: counters.bytes_sent.get(),
            statuses: counters.statuses(),
            direct_slots: Share::new(
                self.slots.in_use(),
                usize::try_from(self.slots.all()).unwrap_or(usize::MAX),
            ),
            receive_buffers: buffers
                .map(|buffers| statistics::buffers_in_use(&self.local, buffers)),
            receive_buffers_ran_dry: counters.ran_dry.get(),
            send_buffers: self.send_buffers.share(),
            operations_in_flight: self.local.with(|ring| ring.in_flight()).unwrap_or(0),
            descriptors: statistics::descriptors(&self.local).await,
            leaked_operations: leaked_operations(),
        }
    }
}

/// Accepts and serves connections until a signal comes, and lets those with a request under way end.
pub(crate) async fn serve(
    server: Rc<Server>,
    mut listener: Listener,
    signals: Signals,
) -> io::Result<()> {
    loop {
        match either(signals.first(), listener.next(&server.slots)).await {
            Either::First(()) => break,
            Either::Second(connection) => take(&server, connection?),
        }
    }
    server.is_ending.set(true);
    for connection in listener.close(&server.slots).await? {
        take(&server, connection);
    }
    dismiss(&server, true).await;
    let grace = Timeout::after(server.options.grace);
    let emptied = server.crowd.emptied();
    if let Either::Second(_) = either(emptied, server.local.submit(grace)).await {
        dismiss(&server, false).await;
    }
    // What was under way then is cancelled, and holds sockets and files until it has ended. The ring itself would wait for that too, but
    // then nobody could say how it went.
    for _ in 0..TURNS {
        if server.slots.in_use() == 0 {
            break;
        }
        server.local.submit(Timeout::after(TURN)).await??;
    }
    Ok(())
}

/// Ends connections: those that have no request under way, or all.
async fn dismiss(server: &Server, only_idle: bool) {
    let dismissed = server.crowd.dismiss(only_idle);
    // All before anything is awaited: meanwhile a request may come.
    for (task, _) in &dismissed {
        task.abort();
    }
    for (_, socket) in dismissed {
        server.hang_up(socket).await;
    }
}

/// Gives a connection a task of its own, or turns it away.
fn take(server: &Rc<Server>, connection: Direct) {
    let connection = server.slots.share(connection);
    server.counters.accepted.add(1);
    let limit = usize::try_from(server.options.connections).unwrap_or(usize::MAX);
    let is_refusal = server.crowd.served() >= limit;
    if is_refusal {
        server.counters.turned_away.add(1);
        if server.crowd.refusals() >= MOST_REFUSALS {
            return;
        }
    }
    let seat = server.crowd.seat(is_refusal);
    let number = seat.number();
    let socket = Arc::clone(&connection);
    let connection = Connection::new(Rc::clone(server), connection, seat);
    let task = server.local.spawn(async move {
        if is_refusal {
            connection.turn_away().await;
        } else {
            connection.serve().await;
        }
    });
    server.crowd.seated(number, task, socket);
}
