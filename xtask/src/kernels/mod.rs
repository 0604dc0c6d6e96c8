//! `cargo xtask kernels`: the kernels that suites run on, and the emulator that runs them.

mod emulator;
mod facts;
mod faults;
mod matrix;
mod modules;
mod store;
mod table;

use anyhow::{Result, bail};
use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};

pub(crate) use self::{
    emulator::Emulator,
    facts::Facts,
    faults::{Fault, select_faults},
    modules::{Module, Tree},
    store::Image,
    table::{Kernel, common_facilities, modules, select},
};

/// List, fetch, find and compare the kernels that `cargo xtask test --kernels` boots
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show every kernel, which are here, and the faults that they are run with
    List,
    /// Download kernels and their modules, and an emulator where there is none that can be trusted
    Fetch {
        /// The series, such as 6.12; all without any
        series: Vec<String>,
        /// Replace what is here by what is newer
        #[arg(long)]
        update: bool,
    },
    /// Write the guide that says what each kernel has, from what the lanes reported when they last ran
    Matrix {
        /// Compare with the committed page instead of writing it; fail on a difference
        #[arg(long)]
        check: bool,
    },
    /// Print where a kernel's image is
    Path {
        /// The series, such as 6.12
        series: String,
    },
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.command {
        Command::List => list(),
        Command::Fetch { series, update } => fetch(series, *update),
        Command::Matrix { check } => matrix::run(*check),
        Command::Path { series } => {
            let kernel = select(series)?;
            let [kernel] = &kernel[..] else {
                bail!("one series is wanted, such as 6.12");
            };
            println!("{}", Image::cached(kernel)?.path.display());
            Ok(())
        }
    }
}

fn list() -> Result<()> {
    let mut table = Table::new();
    table
        .load_preset(UTF8_BORDERS_ONLY)
        .set_header(["series", "here", "kind", "suite", "adds"]);
    for kernel in table::kernels()? {
        let here = Image::cached(&kernel).map_or_else(|_| "-".to_owned(), |image| image.package);
        table.add_row([
            kernel.series.as_str(),
            &here,
            kernel.kind.word(),
            &kernel.suite,
            &kernel.adds,
        ]);
    }
    println!("{table}");
    let mut table = Table::new();
    table
        .load_preset(UTF8_BORDERS_ONLY)
        .set_header(["fault", "differs in", "shows"]);
    for (kernel, fault) in select_faults("all")? {
        table.add_row([fault.lane(&kernel.series), fault.differences(), fault.shows]);
    }
    println!("{table}");
    Ok(())
}

fn fetch(series: &[String], update: bool) -> Result<()> {
    let kernels = match series {
        [] => table::kernels()?,
        series => select(&series.join(","))?,
    };
    store::fetch(&kernels, update)?;
    emulator::fetch_if_needed()
}
