//! What the person at the terminal sees.

use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::failure::Failure;
use crate::midpoint::Arrival;

/// A line on standard output.
pub(crate) fn line(line: fmt::Arguments<'_>) {
    // Nobody reading is no reason to give the copy up.
    let _ = writeln!(io::stdout(), "{line}");
}

/// Prints the process's descriptor table.
pub(crate) fn table(when: &str) -> Result<(), Failure> {
    let directory = Path::new("/proc/self/fd");
    let descriptors = descriptors(directory)
        .map_err(|error| Failure::file("cannot look at", directory, error))?;
    line(format_args!("{} {when}:", directory.display()));
    for (fd, target) in descriptors {
        line(format_args!("  {fd:>3} -> {}", target.display()));
    }
    Ok(())
}

/// Prints what ring each thread got.
pub(crate) fn rings(arrivals: &[Arrival]) {
    for arrival in arrivals {
        line(format_args!(
            "ring      {}; {} operations in flight",
            arrival.ring, arrival.in_flight
        ));
    }
}

/// A bar on standard error, if that is a terminal.
pub(crate) fn progress(what: &'static str, size: u64) -> ProgressBar {
    let style = "{msg:<9} {bar:40} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";
    let bar = ProgressBar::new(size).with_message(what);
    match ProgressStyle::with_template(style) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Bytes a second, rounded down.
pub(crate) fn per_second(bytes: u64, time: Duration) -> u64 {
    let rate = u128::from(bytes) * 1_000_000_000 / time.as_nanos().max(1);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

/// The numbers and what they name, without the one that reading the directory takes.
fn descriptors(directory: &Path) -> io::Result<Vec<(i32, PathBuf)>> {
    let itself = format!("/proc/{}/fd", std::process::id());
    let mut descriptors = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let target = fs::read_link(entry.path())?;
        if let Ok(fd) = entry.file_name().to_string_lossy().parse() {
            if target != Path::new(&itself) {
                descriptors.push((fd, target));
            }
        }
    }
    descriptors.sort();
    Ok(descriptors)
}
