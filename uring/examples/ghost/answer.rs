//! The head of an answer.

use std::io::Write as _;

use crate::status::Status;

/// An answer, but for what it brings.
pub(crate) struct Answer {
    pub(crate) status: Status,
    pub(crate) kind: &'static str,
    /// Whether another request may follow on the connection.
    pub(crate) keep_alive: bool,
}

impl Answer {
    /// Writes the head of an answer that brings that many bytes.
    pub(crate) fn write_head(&self, len: u64, out: &mut Vec<u8>) {
        let Answer { status, kind, .. } = self;
        let connection = if self.keep_alive {
            "keep-alive"
        } else {
            "close"
        };
        let advice = match status {
            Status::MethodNotAllowed => "Allow: GET, HEAD\r\n",
            Status::Unavailable => "Retry-After: 1\r\n",
            _ => "",
        };
        // Writing to memory does not fail.
        let _ = write!(
            out,
            "HTTP/1.1 {} {}\r\nContent-Type: {kind}\r\nContent-Length: {len}\r\nConnection: {connection}\r\n{advice}\r\n",
            status.code(),
            status.phrase(),
        );
    }
}
