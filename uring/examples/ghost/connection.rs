//! One connection: request after request, and the answers.

use std::io;
use std::mem;
use std::net::Shutdown as Direction;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use uring::op::{Read, Send, Shutdown};
use uring::{Direct, Slice};

use crate::answer::Answer;
use crate::crowd::Seat;
use crate::deadline::Deadline;
use crate::files::{self, Found};
use crate::incoming::Incoming;
use crate::request::{self, Parsed, Request};
use crate::sending::{PIECE, SendBuffer};
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

    /// Sends an answer of which the status is all.
    async fn send_bare(
        &mut self,
        status: Status,
        keep_alive: bool,
        with_body: bool,
    ) -> io::Result<()> {
        let text = format!("{} {}\n", status.code(), status.phrase());
        let answer = Answer {
            status,
            kind: "text/plain",
            keep_alive,
        };
        self.send_text(&answer, &text, with_body).await
    }

    async fn send_text(&mut self, answer: &Answer, text: &str, with_body: bool) -> io::Result<()> {
        self.server.counters.answered(answer.status);
        let mut buf = self.server.send_buffers.take();
        answer.write_head(
            u64::try_from(text.len()).unwrap_or(u64::MAX),
            &mut buf.bytes,
        );
        if with_body {
            buf.bytes.extend_from_slice(text.as_bytes());
        }
        self.send(&mut buf).await
    }

    /// Sends a file in pieces, the first of them together with the head.
    async fn send_file(
        &mut self,
        found: &Found,
        keep_alive: bool,
        with_body: bool,
    ) -> io::Result<()> {
        let answer = Answer {
            status: Status::Ok,
            kind: found.kind,
            keep_alive,
        };
        self.server.counters.answered(answer.status);
        let mut buf = self.server.send_buffers.take();
        answer.write_head(found.size, &mut buf.bytes);
        let mut offset = 0;
        while with_body && offset < found.size {
            let left = usize::try_from(found.size - offset).unwrap_or(usize::MAX);
            let start = buf.bytes.len();
            let piece = Slice::new(mem::take(&mut buf.bytes), start..);
            let read = Read::new(Arc::clone(&found.file), piece)
                .at(offset)
                .limit(left.min(PIECE - start));
            let done = self.server.local.submit(read).await?;
            buf.bytes = done.buf.into_inner();
            match done.result? {
                // It has become shorter: what was promised cannot be sent.
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => offset += u64::try_from(read).unwrap_or(u64::MAX),
            }
            self.send(&mut buf).await?;
        }
        self.send(&mut buf).await
    }

    /// Sends all that is in the buffer, as long as the client takes some of it in time.
    async fn send(&mut self, buf: &mut SendBuffer) -> io::Result<()> {
        let mut sent = 0;
        while sent < buf.bytes.len() {
            let rest = Slice::new(mem::take(&mut buf.bytes), sent..);
            let send = Send::new(Arc::clone(&self.socket), rest);
            self.deadline.put_off(self.server.options.idle_timeout);
            let done = self.deadline.limit(self.server.local.submit(send)).await;
            let done = done.ok_or(io::ErrorKind::TimedOut)??;
            buf.bytes = done.buf.into_inner();
            let more = done.result?;
            self.server
                .counters
                .bytes_sent
                .add(u64::try_from(more).unwrap_or(u64::MAX));
            sent += more;
        }
        buf.bytes.clear();
        Ok(())
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
