//! Sends back what it is sent: a task for each connection, on one thread.
//!
//! ```text
//! cargo run --example echo_await -- ADDRESS [CONNECTIONS]
//! ```
//!
//! Prints where it listens, and ends when that many connections have ended; without a number it goes on for ever.

use std::env;
use std::error::Error;
use std::io::{self, Write as _};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::Arc;

use uring::op::{Accept, Recv, Send};
use uring::{Local, Ring};

/// How much is read at a time.
const BLOCK: usize = 16 << 10;

/// Sends all of a buffer, and gives it back.
async fn send_all(local: &Local, to: &Arc<OwnedFd>, mut buf: Vec<u8>) -> io::Result<Vec<u8>> {
    while !buf.is_empty() {
        let done = local.submit(Send::new(Arc::clone(to), buf)).await?;
        let sent = done.result?;
        buf = done.buf;
        buf.drain(..sent);
    }
    Ok(buf)
}

async fn echo(local: &Local, connection: OwnedFd) -> io::Result<u64> {
    let connection = Arc::new(connection);
    let mut buf = Vec::with_capacity(BLOCK);
    let mut echoed = 0;
    loop {
        let done = local
            .submit(Recv::new(Arc::clone(&connection), buf))
            .await?;
        match done.result? {
            0 => return Ok(echoed),
            received => echoed += u64::try_from(received).unwrap_or(u64::MAX),
        }
        buf = send_all(local, &connection, done.buf).await?;
    }
}

async fn serve(local: &Local, listener: TcpListener, connections: u64) -> io::Result<()> {
    let listener = Arc::new(OwnedFd::from(listener));
    let mut tasks = Vec::new();
    for number in 0..connections {
        let accept = Accept::new(Arc::clone(&listener));
        let connection = local.submit(accept).await?.result?;
        let one = local.clone();
        tasks.push(local.spawn(async move {
            match echo(&one, connection).await {
                Ok(bytes) => println!("connection {number}: {bytes} bytes"),
                Err(error) => eprintln!("connection {number}: {error}"),
            }
        }));
        // Those that have ended are not waited for.
        tasks.retain(|task| !task.is_finished());
    }
    for task in tasks {
        task.await;
    }
    Ok(())
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().ok_or("where to listen?")?;
    let connections = arguments.next().map_or(Ok(u64::MAX), |it| it.parse())?;
    let listener = TcpListener::bind(address)?;
    println!("{}", listener.local_addr()?);
    io::stdout().flush()?;
    let local = Local::new(Ring::best(64)?);
    local.block_on(serve(&local, listener, connections))??;
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo_await: {error}");
            ExitCode::FAILURE
        }
    }
}
