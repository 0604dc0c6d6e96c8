//! `cargo xtask bindgen`: the kernel's io_uring ABI as Rust.

use std::path::PathBuf;

use anyhow::{Result, bail};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Compare with the committed files instead of writing them; fail on a difference
    #[arg(long)]
    check: bool,

    /// Read headers from this unpacked tree (it holds usr/include or include) instead of fetching a package
    #[arg(long, value_name = "DIR")]
    headers: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    bail!("{args:?}: not connected to the generator yet")
}
