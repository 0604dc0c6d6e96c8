//! The command line: one variant per command, one module per variant.

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{bindgen, kernels, msrv, test};

/// Runs the workspace's tasks.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Generate uring-sys from the kernel's headers, or check that it is up to date
    Bindgen(bindgen::Args),
    /// Compile with the oldest compiler that the crates claim
    Msrv(msrv::Args),
    Kernels(kernels::Args),
    Test(Box<test::Args>),
}

impl Cli {
    pub(crate) fn run(self) -> Result<()> {
        match self.command {
            Command::Bindgen(args) => bindgen::run(&args),
            Command::Msrv(args) => msrv::run(&args),
            Command::Kernels(args) => kernels::run(&args),
            Command::Test(args) => test::run(&args),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
