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

use crate::workspace;
use docs::Docs;
use generate::{TARGETS, Target};
use headers::Headers;
use interface::Interface;
use output::{Preamble, Sink};
use since::Since;

const BINDINGS: &str = "uring-sys/src/bindings.rs";
const SINCE: &str = "uring-sys/since.toml";
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
    let docs = Docs {
        since: Since::read(&workspace::root().join(SINCE))?,
    };
    docs.since.audit(&interface)?;

    let preamble = Preamble::new(&headers, committed)?;
    let (text, compared) = generate_all(&headers, &interface, &docs, &progress)?;
    output::audit(&text, &interface)?;
    progress.finish_and_clear();

    let sink = if args.check { Sink::Check } else { Sink::Write };
    sink.put(BINDINGS, &format!("{preamble}{text}"))?;
    sink.put(SINCE_TABLE, &docs.since.table())?;

    let names: Vec<_> = compared
        .iter()
        .map(|target| target.triple.split('-').next().unwrap_or_default())
        .collect();
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
        names.join(", ")
    );
    for target in TARGETS
        .iter()
        .filter(|target| !names.iter().any(|name| target.triple.starts_with(name)))
    {
        println!(
            "not compared: {}, which this libclang does not know",
            target.triple
        );
    }
    Ok(())
}

/// Generates for every target that libclang knows, and makes sure that they agree.
fn generate_all(
    headers: &Headers,
    interface: &Interface,
    docs: &Docs,
    progress: &ProgressBar,
) -> Result<(String, Vec<Target>)> {
    let scratch = workspace::target_dir().join("xtask/bindgen");
    let mut compared = Vec::new();
    let mut first: Option<String> = None;
    for &target in TARGETS {
        progress.set_message(target.triple);
        if !generate::clang_knows(target) {
            continue;
        }
        let raw = generate::generate(headers, target, &scratch.join(target.multiarch))?;
        let text = polish::polish(&raw, interface, docs)?;
        match &first {
            None => first = Some(text),
            Some(expected) if *expected == text => {}
            Some(expected) => bail!(
                "{} has another ABI than {}:\n{}",
                target.triple,
                TARGETS[0].triple,
                output::diff(expected, &text)
            ),
        }
        compared.push(target);
    }
    Ok((
        first.context("this libclang knows none of the targets")?,
        compared,
    ))
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
