//! Copies a file through rings that have no descriptor, while the rest of the process closes every descriptor it can find.
//!
//! ```text
//! cargo run --release --example vanish -- SRC DST
//! ```
//!
//! The threads that copy are plain threads of the standard library: each gets its ring from one `static` [`PerThread`], opens both files
//! as direct descriptors, and keeps several reads and writes in flight. When all are half-way, the main thread calls
//! `close_range(3, ~0)`. On Linux 6.5 and later neither a ring nor one of the two files is in `/proc/self/fd` at any moment.
//!
//! The copy is written under a temporary name, verified, and renamed in the end; on failure it is removed, and an existing target stays
//! as it was. Permission bits are kept; owner, times and holes are not.

mod copy;
mod failure;
mod files;
mod midpoint;
mod report;
mod status;
mod temporary;
mod verify;
mod work;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use clap::Parser;
use indicatif::BinaryBytes;
use uring::op::Operation;
use uring::{Builder, PerThread};

use crate::failure::Failure;
use crate::midpoint::Midpoint;
use crate::temporary::Temporary;
use crate::work::Work;

/// Rings for whatever thread asks. The most that a thread has in flight is [`MAX_DEPTH`]; queues of this size fit in one page, as the
/// first kernels with rings without descriptors want them.
static RINGS: PerThread = PerThread::from_builder(Builder::new(64));

const MAX_DEPTH: i64 = 64;

/// Set by `SIGINT` and `SIGTERM`.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Copies a file with nothing to be seen in /proc/self/fd.
#[derive(Parser)]
#[command(name = "vanish", version)]
struct Options {
    /// The file to copy.
    source: PathBuf,
    /// Where to copy it: a name, not a directory. A file of that name is replaced when the copy is complete.
    target: PathBuf,
    /// Threads, each with its own ring and its own part of the file.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
    /// Reads and writes that each thread has in flight.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=MAX_DEPTH))]
    depth: u16,
    /// Kibibytes that are read or written at a time.
    #[arg(long, value_name = "KIB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=16384))]
    block: u32,
    /// Does not read both files again to compare them.
    #[arg(long)]
    no_verify: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let source = options.source.display();
            eprintln!("vanish: {source} was not copied: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Failure> {
    stop_on_signals()?;
    report::table("before")?;

    let source = files::Source::examine(&options.source)?;
    let target = files::Target::examine(&options.target, &source)?;
    let temporary = Temporary::create(&target)?;
    let work = Work::new(options, &source, &target, &temporary);

    let start = Instant::now();
    let midpoint = Midpoint::default();
    let bar = report::progress("copying", source.size());
    work.on_threads(
        || midpoint.set_out(),
        |part, on_the_way, stop| copy::copy(&work, part, &bar, on_the_way, stop),
        || close_everything(&midpoint, &bar),
    )?;
    bar.finish_and_clear();
    let copied = start.elapsed();
    temporary.sync(&target)?;
    report::line(format_args!(
        "copied    {} in {:.2?} with {} threads, {} a second; on the device after {:.2?}",
        BinaryBytes(source.size()),
        copied,
        options.threads,
        BinaryBytes(report::per_second(source.size(), copied)),
        start.elapsed(),
    ));

    if !options.no_verify {
        let start = Instant::now();
        let bar = report::progress("verifying", source.size());
        work.on_threads(
            || (),
            |part, (), stop| verify::verify(&work, part, &bar, stop),
            || Ok(()),
        )?;
        bar.finish_and_clear();
        report::line(format_args!(
            "verified  both files read through rings in {:.2?}: identical",
            start.elapsed()
        ));
    }
    source.check_unchanged()?;
    temporary.rename_to(&target, source.permissions())?;
    report::table("after")
}

/// What a host that daemonizes does to the libraries in it.
fn close_everything(midpoint: &Midpoint, bar: &indicatif::ProgressBar) -> Result<(), Failure> {
    let gathered = midpoint.gather();
    bar.suspend(|| {
        report::rings(&gathered.arrivals);
        report::table("half-way")?;
        if gathered.arrivals.iter().any(|arrival| arrival.ring.has_descriptor()) {
            report::line(format_args!(
                "close_range(3, ~0) left out: this kernel or thread could not hide the rings' descriptors, and without them the rings end"
            ));
            return Ok(());
        }
        // SAFETY: no owner of a descriptor from 3 up is left in this process: the rings and files have none, which is the point, and
        // the standard library's descriptors are 0 to 2.
        let result = unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
        if result != 0 {
            let error = std::io::Error::last_os_error();
            return Err(Failure::system("cannot close all descriptors", error));
        }
        report::line(format_args!("close_range(3, ~0) called"));
        report::table("after close_range")
    })
}

/// Runs one operation on the calling thread's ring and waits for it.
fn call<O: Operation>(op: O) -> Result<O::Output, uring::Error> {
    RINGS.with(|ring| ring.call(op))?
}

fn stop_on_signals() -> Result<(), Failure> {
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // SAFETY: storing to an atomic is all that the handler does, which any handler may.
        unsafe {
            signal_hook::low_level::register(signal, || INTERRUPTED.store(true, Ordering::Relaxed))
        }
        .map_err(|error| Failure::system("cannot handle signals", error))?;
    }
    Ok(())
}
