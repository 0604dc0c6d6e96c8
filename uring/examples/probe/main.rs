//! Shows what the running kernel's io_uring offers, and what blocks it if something does.
//!
//! ```text
//! cargo run --release --example probe
//! cargo run --release --example probe -- --json
//! ```
//!
//! Everything is asked or tried: nothing is concluded from the kernel's version. The exit code is 0 where rings can be made and 1 where
//! not; what can be known without a ring is shown all the same.

mod environment;
mod handles;
mod offer;
mod show;

use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;

use crate::environment::{Kernel, Limits, Policy};
use crate::handles::Trial;
use crate::offer::Offer;

/// Shows what this kernel's io_uring offers, and what blocks it if something does.
#[derive(Parser)]
#[command(name = "probe", version)]
struct Options {
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// All that was found out.
#[derive(Debug, Serialize)]
struct Findings {
    kernel: Kernel,
    /// Whether a ring can be made at all.
    works: bool,
    /// Why not.
    blocked: Option<String>,
    policy: Policy,
    handles: Vec<Trial>,
    limits: Limits,
    #[serde(flatten)]
    offer: Offer,
}

impl Findings {
    fn gather() -> Findings {
        let handles = handles::try_all();
        let works = handles.iter().any(|trial| trial.works);
        let reason = handles.iter().find_map(|trial| trial.why_not.clone());
        Findings {
            kernel: Kernel::running(),
            works,
            blocked: reason.filter(|_| !works),
            policy: Policy::in_force(),
            handles,
            limits: Limits::in_force(),
            offer: Offer::of_kernel(),
        }
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let findings = Findings::gather();
    let printed = if options.json {
        show::json(&findings)
    } else {
        show::tables(&findings)
    };
    if let Err(error) = printed {
        eprintln!("probe: cannot write what was found: {error}");
        return ExitCode::FAILURE;
    }
    if findings.works {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
