//! The findings on paper.

use std::io::{self, ErrorKind, Write};

use comfy_table::{Table, presets};

use crate::Findings;
use crate::environment::Limit;
use crate::handles::Trial;
use crate::offer::{Item, Section};

/// Groups of columns that the names of a section are set in.
const ABREAST: usize = 2;

pub(crate) fn json(findings: &Findings) -> io::Result<()> {
    print(&serde_json::to_string_pretty(findings)?)
}

pub(crate) fn tables(findings: &Findings) -> io::Result<()> {
    let offer = &findings.offer;
    let sections = [
        head(findings),
        handles(&findings.handles),
        limits(findings),
        section("Features", "IORING_FEAT_", &offer.features),
        section("Setup flags", "IORING_SETUP_", &offer.setup_flags),
        section("Operations", "IORING_OP_", &offer.opcodes),
        section("Register calls", "IORING_", &offer.register_opcodes),
    ];
    print(&sections.join("\n\n"))
}

/// A reader that has seen enough is no error.
fn print(text: &str) -> io::Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

fn head(findings: &Findings) -> String {
    let kernel = &findings.kernel;
    let verdict = match &findings.blocked {
        None => "io_uring works".to_owned(),
        Some(why) => format!("io_uring does not work here: {why}"),
    };
    format!("Linux {} on {}: {verdict}", kernel.release, kernel.machine)
}

fn handles(trials: &[Trial]) -> String {
    let mut table = table(["handle", "since", "here"]);
    for trial in trials {
        let here = match &trial.why_not {
            None => "works",
            Some(why) => why,
        };
        table.add_row([trial.handle, &trial.since, here]);
    }
    titled("Handles, each tried", &table)
}

fn limits(findings: &Findings) -> String {
    let (limits, policy) = (&findings.limits, &findings.policy);
    let mut table = table(["limit", "value", ""]);
    let mut row = |name: &str, value: String, note: &str| {
        table.add_row([name, &value, note]);
    };
    let slots = limits.free_ring_slots.map(|free| format!("{free} free"));
    row("ring slots", or_unknown(slots), "of 16 in each thread");
    row(
        "entries",
        or_unknown(limits.entries),
        "of a submission queue",
    );
    row(
        "completion entries",
        or_unknown(limits.completion_entries),
        "of a completion queue",
    );
    row("RLIMIT_MEMLOCK", soft(&limits.memlock), "bytes");
    row(
        "RLIMIT_NOFILE",
        soft(&limits.nofile),
        "descriptors, and direct descriptors of a ring",
    );
    row(
        "kernel.io_uring_disabled",
        or_unknown(policy.io_uring_disabled),
        "0: for everybody, 1: for the privileged and a group, 2: for nobody",
    );
    row(
        "kernel.io_uring_group",
        or_unknown(policy.io_uring_group),
        "-1: none",
    );
    row(
        "seccomp",
        or_unknown(policy.seccomp),
        "0: no filter, 1: strict, 2: filters",
    );
    titled("Limits and policies", &table)
}

fn soft(limit: &Limit) -> String {
    limit
        .soft
        .map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string())
}

fn or_unknown(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "not known".to_owned(), |value| value.to_string())
}

fn section(title: &str, prefix: &str, section: &Section) -> String {
    let mut table = table(["name", "since", "here"].repeat(ABREAST));
    let height = section.items.len().div_ceil(ABREAST).max(1);
    for line in 0..height {
        let items = section.items.iter().skip(line).step_by(height);
        table.add_row(items.flat_map(|item| cells(prefix, item)));
    }
    let present = |item: &&Item| item.present == Some(true);
    let count = section.items.iter().filter(present).count();
    let summary = match section.says {
        Some(says) => format!("{count} of {}, says {says}", section.items.len()),
        None => "this kernel cannot be asked".to_owned(),
    };
    titled(&format!("{title} ({prefix}*): {summary}"), &table)
}

fn cells(prefix: &str, item: &Item) -> [String; 3] {
    let here = match item.present {
        Some(true) => "yes",
        Some(false) => "no",
        None => "?",
    };
    let name = item.name.strip_prefix(prefix).unwrap_or(&item.name);
    let since = item.since.as_deref().unwrap_or("?");
    [name, since, here].map(str::to_owned)
}

fn table<'a>(header: impl IntoIterator<Item = &'a str>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header);
    table
}

fn titled(title: &str, table: &Table) -> String {
    let lines = table.to_string();
    let lines: Vec<_> = lines.lines().map(str::trim_end).collect();
    format!("{title}\n{}", lines.join("\n"))
}
