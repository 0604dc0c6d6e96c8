//! `cargo xtask bindgen`: the kernel's io_uring ABI as Rust.

mod constant;
mod describe;
mod docs;
mod generate;
mod headers;
mod interface;
mod output;
mod polish;
mod since;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    generated::{self, Sink},
    workspace,
};
use docs::Docs;
use generate::{TARGETS, Target};
use headers::Headers;
use interface::Interface;
use output::Preamble;

const CRATE: &str = "uring-sys";
const BINDINGS: &str = "uring-sys/src/bindings.rs";
const SINCE_TABLE: &str = "uring-sys/src/since_table.rs";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Compare with the committed files instead of writing them; fail on a difference
    #[arg(long)]
    check: bool,

    /// Read headers from this unpacked tree (it, or its usr/include, holds linux/io_uring.h) instead of fetching a package
    #[arg(long, value_name = "DIR")]
    headers: Option<PathBuf>,

    /// Fetch from this suite of the mirror that the machine's apt is configured with
    #[arg(
        long,
        value_name = "SUITE",
        default_value = "trixie-backports",
        conflicts_with = "headers"
    )]
    suite: String,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    load_libclang()?;
    let progress = progress();

    progress.set_message("headers");
    let committed = Preamble::read(&workspace::root().join(BINDINGS)).filter(|_| args.check);
    let headers = match (&args.headers, &committed) {
        (Some(tree), _) => Headers::from_tree(tree)?,
        // A check is of what was committed, not of what was released since.
        (None, Some(committed)) => {
            let version = committed
                .version()
                .with_context(|| format!("{BINDINGS} names no package"))?;
            Headers::of_version(version, &committed.sha256, &args.suite)?
        }
        (None, None) => Headers::newest(&args.suite)?,
    };
    let interface = Interface::parse(&headers.interface);
    let docs = Docs::read(&workspace::root().join(CRATE), &interface)?;

    let preamble = Preamble::new(&headers, committed)?;
    let generated = generate_all(&headers, &interface, &docs, &progress)?;
    output::audit(&generated.text, &interface)?;
    progress.finish_and_clear();

    let sink = if args.check { Sink::Check } else { Sink::Write };
    let bindings = format!("{preamble}{}", generated.text);
    let (source, command) = ("the headers", "cargo xtask bindgen");
    sink.put(BINDINGS, &bindings, source, command)?;
    sink.put(SINCE_TABLE, &docs.since.table(), source, command)?;

    println!(
        "{}: {} constants and {} structs of Linux {}, the same for {}",
        if args.check {
            "up to date"
        } else {
            "generated"
        },
        interface.constants.len(),
        interface.structs.len(),
        headers.release,
        names(&generated.compared)
    );
    if !generated.unknown.is_empty() {
        println!(
            "not compared, since this libclang does not know them: {}",
            names(&generated.unknown)
        );
    }
    Ok(())
}

/// The bindings, and the targets that were shown to share them.
struct Generated {
    text: String,
    compared: Vec<Target>,
    unknown: Vec<Target>,
}

/// Generates for every target that libclang knows, and makes sure that they agree.
fn generate_all(
    headers: &Headers,
    interface: &Interface,
    docs: &Docs,
    progress: &ProgressBar,
) -> Result<Generated> {
    let scratch = workspace::target_dir().join("xtask/bindgen");
    let (compared, unknown): (Vec<Target>, _) = TARGETS
        .iter()
        .partition(|&&target| generate::clang_knows(target));
    let generate = |target: Target| {
        progress.set_message(target.triple);
        let raw = generate::generate(headers, target, &scratch.join(target.multiarch))?;
        polish::polish(&raw, interface, docs)
    };
    let (first, others) = compared
        .split_first()
        .context("this libclang knows none of the targets")?;
    let text = generate(*first)?;
    for &other in others {
        let theirs = generate(other)?;
        if theirs != text {
            let diff = generated::diff((first.triple, &text), (other.triple, &theirs));
            bail!(
                "{} and {} have different ABIs:\n{diff}",
                first.triple,
                other.triple
            );
        }
    }
    Ok(Generated {
        text,
        compared,
        unknown,
    })
}

fn names(targets: &[Target]) -> String {
    let names: Vec<_> = targets
        .iter()
        .filter_map(|target| target.triple.split('-').next())
        .collect();
    names.join(", ")
}

/// bindgen needs libclang at run time only, and panics without it.
fn load_libclang() -> Result<()> {
    clang_sys::load().map_err(|error| {
        anyhow::anyhow!(
            "generating bindings needs libclang, and it cannot be loaded: {error}\n\
             get one with `apt-get install libclang1-14` (or newer), or with `pip install libclang` and \
             LIBCLANG_PATH set to the `clang/native` directory of its installation"
        )
    })
}

fn progress() -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_style(
        ProgressStyle::with_template("{spinner} bindgen: {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner()),
    );
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
