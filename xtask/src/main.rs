//! The workspace's task runner: `cargo xtask --help` lists what it does.

mod apt;
mod bindgen;
mod cli;
mod generated;
mod kernels;
mod msrv;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
