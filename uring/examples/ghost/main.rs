//! Serves the files of a folder over HTTP/1.1, and owns no descriptor while it does.
//!
//! ```text
//! cargo run --release --example ghost -- FOLDER [--address 127.0.0.1:8080] [--connections 256] [--idle-timeout 10]
//! ```
//!
//! The listening socket, the connections and the files are direct descriptors of one ring that has none itself, so `/proc/PID/fd` shows the
//! standard streams and nothing else, whatever goes on. Where a kernel cannot hide something, or lacks an operation, the server makes do with
//! less, and says so when it starts and on the page `/stats`: [`ladder`] is about that.
//!
//! - One thread; each connection is a task that [`Local`](uring::Local) runs.
//! - One operation accepts all connections; for each, one receives all that comes, into buffers that the kernel chooses.
//! - A file goes out in pieces through one buffer of 64 KiB, so a connection's memory is bounded whatever it asks for.
//! - The folder becomes the current directory, and files are opened beneath it only (`RESOLVE_BENEATH`): no descriptor is needed for that.
//! - `SIGTERM` and `SIGINT` end it gracefully: requests in flight are answered, and the last line has the statistics. A second signal ends it
//!   at once.
//!
//! It answers `GET` and `HEAD`, serves `index.html` for paths that end with `/`, and has no ranges, no compression and no conditions
//! (`If-Modified-Since`). Symbolic links work as long as they are relative and stay in the folder.

mod answer;
mod connection;
mod crowd;
mod deadline;
mod files;
mod incoming;
mod ladder;
mod listener;
mod request;
mod sending;
mod server;
mod signals;
mod statistics;
mod status;

use std::env;
use std::error::Error;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use clap::Parser;

use crate::ladder::Footing;
use crate::listener::Listener;
use crate::server::Server;
use crate::signals::Signals;

/// Serves the files of a folder over HTTP/1.1, and owns no descriptor while it does.
#[derive(Clone, Parser)]
#[command(name = "ghost", version)]
struct Options {
    /// The folder that is served.
    folder: PathBuf,
    /// Where to listen; port 0 is any that is free.
    #[arg(long, default_value = "127.0.0.1:8080")]
    address: SocketAddr,
    /// Connections at a time; others are told to come back later (503).
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=8192))]
    connections: u32,
    /// Seconds that a connection may be idle, take for a request, or take nothing of an answer.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    idle_timeout: Duration,
    /// Bytes that the head of a request may have.
    #[arg(long, value_name = "BYTES", default_value_t = 8192, value_parser = clap::value_parser!(u32).range(64..=1 << 20))]
    header_limit: u32,
    /// Seconds that answers under way have left after a signal.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    grace: Duration,
}

/// A positive number of seconds, with fractions.
fn seconds(text: &str) -> Result<Duration, Box<dyn Error + Send + Sync>> {
    let span = Duration::try_from_secs_f64(text.parse()?)?;
    if span < Duration::from_millis(1) || span > Duration::from_secs(86_400) {
        return Err("a millisecond at least and a day at most".into());
    }
    Ok(span)
}

fn main() -> ExitCode {
    match run(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ghost: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let signals = Signals::catch()?;
    env::set_current_dir(&options.folder)
        .map_err(|error| format!("cannot serve {}: {error}", options.folder.display()))?;
    let mut footing = Footing::find(options.connections)?;
    let local = footing.local.clone();
    let listener = local.block_on(Listener::open(&mut footing, options.address))??;
    say(format_args!("listening on {}", listener.address()))?;
    say(format_args!("the ring is {}", footing.handle()))?;
    for concession in &footing.concessions {
        say(format_args!("not hidden, or done with less: {concession}"))?;
    }
    let server = Rc::new(Server::new(footing, options));
    local.block_on(server::serve(Rc::clone(&server), listener, signals))??;
    let statistics = local.block_on(server.statistics())?;
    say(format_args!("{}", statistics.to_json()))?;
    Ok(())
}

/// A line on standard output, whole and at once.
fn say(line: std::fmt::Arguments<'_>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
