//! What goes out on a connection.

use std::io;
use std::mem;
use std::sync::Arc;

use uring::Slice;
use uring::op::{Read, Send};

use super::Connection;
use crate::answer::Answer;
use crate::files::Found;
use crate::sending::{PIECE, SendBuffer};
use crate::status::Status;

impl Connection {
    /// Sends an answer of which the status is all.
    pub(super) async fn send_bare(
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

    pub(super) async fn send_text(
        &mut self,
        answer: &Answer,
        text: &str,
        with_body: bool,
    ) -> io::Result<()> {
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
    pub(super) async fn send_file(
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
}
