//! One connection: request after request, and the answers.

mod sends;

use std::io;
use std::net::Shutdown as Direction;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use uring::Direct;
use uring::op::Shutdown;

use crate::answer::Answer;
use crate::crowd::Seat;
use crate::deadline::Deadline;
use crate::files;
use crate::incoming::Incoming;
use crate::request::{self, Parsed, Request};
use crate::server::Server;
use crate::status::Status;

/// How long, and for how many bytes, a client that is told off may go on sending before it is cut off. Otherwise the answer might not
/// reach it: closing a socket that has unread bytes takes back what was sent.
const LINGER: (Duration, usize) = (Duration::from_secs(1), 256 << 10);

pub(crate) struct Connection {
    server: Rc<Server>,
    socket: Arc<Direct>,
    incoming: Incoming,
    deadline: Deadline,
    /// What has come of the next request, and perhaps of those after it.
    received: Vec<u8>,
    seat: Seat,
}

impl Connection {
    pub(crate) fn new(server: Rc<Server>, socket: Arc<Direct>, seat: Seat) -> Connection {
        Connection {
            incoming: Incoming::new(&server.local, &socket, server.receive_buffers.as_ref()),
            deadline: Deadline::after(&server.local, server.options.idle_timeout),
            received: Vec::new(),
            server,
            socket,
            seat,
        }
    }

    /// Answers requests until there are no more.
    pub(crate) async fn serve(mut self) {
        if self.answer_all().await.is_err() {
            self.server.counters.cut_off.add(1);
        }
        self.server.hang_up(self.socket).await;
    }

    /// Says that there is no room for it.
    pub(crate) async fn turn_away(mut self) {
        // It has not waited for long, and is not waited for.
        let _ = self.tell_off(Status::Unavailable).await;
        self.server.hang_up(self.socket).await;
    }

    async fn answer_all(&mut self) -> io::Result<()> {
        loop {
            match self.next_request().await? {
                None => return Ok(()),
                Some(Err(status)) => return self.tell_off(status).await,
                Some(Ok(request)) => {
                    self.server.counters.requests.add(1);
                    let goes_on = self.answer(&request).await?;
                    // A signal may have come since the client was promised that.
                    if !goes_on || self.server.is_ending() {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// The next request, or why it is refused, or nothing if the client has gone or said nothing for long.
    async fn next_request(&mut self) -> io::Result<Option<Result<Request, Status>>> {
        let limit = usize::try_from(self.server.options.header_limit).unwrap_or(usize::MAX);
        // For the whole of it, however small the pieces are that it comes in.
        self.deadline.put_off(self.server.options.idle_timeout);
        loop {
            let has_begun = !self.received.is_empty();
            if has_begun {
                match request::parse(&self.received, limit) {
                    Parsed::Whole(request, len) => {
                        self.received.drain(..len);
                        return Ok(Some(Ok(request)));
                    }
                    Parsed::Refused(status) => return Ok(Some(Err(status))),
                    Parsed::Partial => {}
                }
            }
            self.seat.set_waits(!has_begun);
            let next = self
                .incoming
                .next(&mut self.received, &self.server.counters);
            let received = self.deadline.limit(next).await;
            self.seat.set_waits(false);
            match received {
                Some(Ok(0)) if has_begun => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(Ok(0)) => return Ok(None),
                // Clients may close however they like when nothing is under way.
                Some(Err(_)) if !has_begun => return Ok(None),
                Some(received) => drop(received?),
                None if has_begun => return Ok(Some(Err(Status::RequestTimeout))),
                None => return Ok(None),
            }
            if !has_begun {
                self.deadline.put_off(self.server.options.idle_timeout);
            }
        }
    }

    /// Answers, and says whether the connection goes on.
    async fn answer(&mut self, request: &Request) -> io::Result<bool> {
        let keep_alive = request.keep_alive && !self.server.is_ending();
        let with_body = !request.head_only;
        if request.path == "/stats" {
            let text = self.server.statistics().await.to_json();
            let answer = Answer {
                status: Status::Ok,
                kind: "application/json",
                keep_alive,
            };
            self.send_text(&answer, &text, with_body).await?;
            return Ok(keep_alive);
        }
        let server = Rc::clone(&self.server);
        match files::find(&server.local, &server.slots, &request.path).await {
            Ok(found) => self.send_file(&found, keep_alive, with_body).await?,
            Err(status) => self.send_bare(status, keep_alive, with_body).await?,
        }
        Ok(keep_alive)
    }

    /// Says what is wrong, and ends the connection in such a way that the client hears it.
    async fn tell_off(&mut self, status: Status) -> io::Result<()> {
        self.send_bare(status, false, true).await?;
        let (span, most) = LINGER;
        let shutdown = Shutdown::new(Arc::clone(&self.socket), Direction::Write);
        self.server.local.submit(shutdown).await?.result?;
        self.deadline.put_off(span);
        let mut ignored = 0;
        while ignored < most {
            self.received.clear();
            let next = self
                .incoming
                .next(&mut self.received, &self.server.counters);
            match self.deadline.limit(next).await {
                None | Some(Ok(0) | Err(_)) => break,
                Some(Ok(received)) => ignored += received,
            }
        }
        Ok(())
    }
}
