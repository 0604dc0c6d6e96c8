//! What comes in on a connection.

use std::io;
use std::sync::Arc;

use uring::op::{EndReason, Recv, RecvMultishot};
use uring::{BufferRing, Direct, Local, OpStream};

use crate::statistics::Counters;

/// The size of a connection's own buffer.
const OWN: usize = 4096;

/// The bytes that a client sends, as they come.
pub(crate) struct Incoming {
    local: Local,
    socket: Arc<Direct>,
    buffers: Option<BufferRing>,
    pieces: Option<OpStream<RecvMultishot<Arc<Direct>, BufferRing>>>,
}

impl Incoming {
    pub(crate) fn new(
        local: &Local,
        socket: &Arc<Direct>,
        buffers: Option<&BufferRing>,
    ) -> Incoming {
        Incoming {
            local: local.clone(),
            socket: Arc::clone(socket),
            buffers: buffers.cloned(),
            pieces: None,
        }
    }

    /// Appends the next piece, and says how long it is; zero is the end.
    pub(crate) async fn next(
        &mut self,
        into: &mut Vec<u8>,
        counters: &Counters,
    ) -> io::Result<usize> {
        while let Some(buffers) = &self.buffers {
            let receive = || RecvMultishot::new(Arc::clone(&self.socket), buffers.clone());
            let pieces = self
                .pieces
                .get_or_insert_with(|| self.local.stream(receive()));
            if let Some(piece) = pieces.next().await {
                // The buffer goes back to the kernel right away.
                into.extend_from_slice(&piece);
                return Ok(piece.len());
            }
            let Some(end) = pieces.take_end() else {
                return Ok(0);
            };
            match end?.reason {
                EndReason::Finished => return Ok(0),
                EndReason::NoBuffers => {
                    // All are in others' hands: this piece comes in one of its own.
                    counters.ran_dry.add(1);
                    self.pieces = None;
                    break;
                }
                EndReason::Stopped => self.pieces = None,
                EndReason::Failed(error) => return Err(error),
                _ => return Err(io::ErrorKind::ConnectionAborted.into()),
            }
        }
        let receive = Recv::new(Arc::clone(&self.socket), Vec::with_capacity(OWN));
        let done = self.local.submit(receive).await?;
        let received = done.result?;
        into.extend_from_slice(&done.buf);
        Ok(received)
    }
}
