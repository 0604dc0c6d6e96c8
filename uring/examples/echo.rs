//! Sends back whatever comes in, on as many connections as there are, and needs no descriptor for any ring.
//!
//! ```sh
//! cargo run --example echo -- 127.0.0.1:7777       # until it is interrupted
//! cargo run --example echo -- 127.0.0.1:7777 10    # until ten connections have come and gone
//! ```
//!
//! One operation accepts all connections; each has a thread of its own, where one operation receives all that comes, into buffers that the
//! kernel chooses. Each thread has a ring, made when it first uses one and gone with it. Needs Linux 6.0.

use std::env;
use std::error::Error;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use uring::op::{AcceptMultishot, EndReason, RecvMultishot, Send};
use uring::{Any, BufferLease, Builder, PerThread, Ring};

type Result<T> = std::result::Result<T, Box<dyn Error + std::marker::Send + Sync>>;

static RINGS: PerThread = PerThread::from_builder(Builder::new(16));

/// How many buffers each connection has, and of how many bytes.
const BUFFERS: (u16, u32) = (8, 4096);

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".into());
    let connections = arguments.next().map(|count| count.parse());
    match connections.transpose() {
        Ok(connections) => match listen(&address, connections.unwrap_or(usize::MAX)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed("echo", error.as_ref()),
        },
        Err(error) => failed("the number of connections", &error),
    }
}

fn failed(what: &str, error: &dyn Error) -> ExitCode {
    eprintln!("{what}: {error}");
    ExitCode::FAILURE
}

/// Accepts that many connections, and waits until all have ended.
fn listen(address: &str, connections: usize) -> Result<()> {
    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    thread::scope(|threads| {
        let serve = |connection| {
            threads.spawn(move || serve(connection));
        };
        RINGS.with(|ring| accept(ring, listener, connections, serve))?
    })
}

fn accept(
    ring: &mut Ring<Any>,
    listener: TcpListener,
    mut connections: usize,
    serve: impl Fn(OwnedFd),
) -> Result<()> {
    let mut accepts = ring.push(AcceptMultishot::new(listener))?;
    while connections > 0 {
        if let Some(connection) = ring.wait_item(&accepts)? {
            serve(connection);
            connections -= 1;
            continue;
        }
        let ended = ring.wait(accepts)?;
        match ended.reason {
            EndReason::Failed(error) => return Err(error.into()),
            _ => accepts = ring.push(ended.op)?,
        }
    }
    ring.cancel(&accepts)?;
    ring.detach(accepts);
    Ok(())
}

fn serve(connection: OwnedFd) {
    let stream = TcpStream::from(connection);
    let peer = stream.peer_addr();
    let echoed = RINGS.with(|ring| echo(ring, Arc::new(stream)));
    match echoed.map_err(Into::into).and_then(|echoed| echoed) {
        Ok(bytes) => println!("{bytes} bytes"),
        Err(error) => eprintln!("{peer:?}: {error}"),
    }
}

/// Sends back all that comes until there is no more, and counts it.
fn echo(ring: &mut Ring<Any>, stream: Arc<TcpStream>) -> Result<usize> {
    let (count, size) = BUFFERS;
    let buffers = ring.buffer_ring(count, size)?;
    let mut bytes = 0;
    let mut receives = ring.push(RecvMultishot::new(Arc::clone(&stream), buffers))?;
    loop {
        while let Some(lease) = ring.wait_item(&receives)? {
            bytes += send(ring, &stream, lease)?;
        }
        let ended = ring.wait(receives)?;
        match ended.reason {
            EndReason::Finished => return Ok(bytes),
            // All buffers were full for a moment: they are free again.
            reason if reason.may_go_on() => receives = ring.push(ended.op)?,
            EndReason::Failed(error) => return Err(error.into()),
            other => return Err(format!("it ended early: {other:?}").into()),
        }
    }
}

/// Sends all of it; the buffer goes back to the kernel then.
fn send(ring: &mut Ring<Any>, stream: &TcpStream, lease: BufferLease) -> Result<usize> {
    let all = Send::new(stream, lease).flags(libc::MSG_WAITALL);
    Ok(ring.call(all)?.result?)
}
