//! `cargo xtask test --kernels`: the suites on real kernels, one emulated machine for each.

mod archive;
mod console;
mod coverage;
mod judge;
mod machine;
mod programs;
mod refusal;
mod table;

use std::{
    collections::VecDeque,
    fs,
    num::NonZero,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    thread,
};

use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use self::{
    judge::{Judgement, Trouble},
    machine::{Machine, Work},
    programs::Programs,
};
use super::{binary, outcome::Outcome};
use crate::kernels::{self, Emulator, Fault, Image, Kernel};

/// How often a machine is booted that comes to no test: emulators and busy hosts fail at that, suites do not.
const BOOTS: usize = 3;

/// Where and how suites run on other kernels than this machine's.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Other kernels")]
#[group(skip)]
pub(crate) struct Args {
    /// Run the suites on these kernels, each in a machine of its own: `all`, or series such as `6.1,7.3`
    #[arg(long, value_name = "SERIES")]
    kernels: Option<String>,
    /// Run the suites on machines with something forbidden or scarce: `all`, or faults such as `one-cpu,7.3/memlock`
    #[arg(long, value_name = "FAULTS")]
    faults: Option<String>,
    /// Run the suites on the kernel in this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kernels", "faults"])]
    kernel_image: Option<PathBuf>,
    /// What the machine has with the kernel in that file, such as `privileges,loop`
    #[arg(long, value_name = "NAMES", requires = "kernel_image")]
    facilities: Option<String>,
    /// Run only the tests over these handles, such as `closed,born`
    #[arg(long, value_name = "HANDLES")]
    handles: Option<String>,
    /// How many machines run at a time; one more than there are processors, without it
    #[arg(long, value_name = "N")]
    jobs: Option<NonZero<usize>>,
    /// How many processors each machine has
    #[arg(long, value_name = "N", default_value_t = 1)]
    cpus: usize,
    /// Open a shell in a machine with this kernel, or of this fault
    #[arg(long, value_name = "LANE", conflicts_with_all = ["kernels", "faults", "kernel_image"])]
    shell: Option<String>,
    /// Show what would run on which kernel, and how it would be started
    #[arg(long)]
    dry_run: bool,
    /// Keep the machines' disks and file systems
    #[arg(long)]
    keep: bool,
}

impl Args {
    /// Whether other kernels are asked for.
    pub(super) const fn wanted(&self) -> bool {
        self.kernels.is_some()
            || self.faults.is_some()
            || self.kernel_image.is_some()
            || self.shell.is_some()
    }
}

/// A kernel to run on, and what is unusual about its machine.
#[derive(Debug, Clone, Serialize)]
struct Lane {
    /// The kernel's series, and the fault's name after a slash.
    name: String,
    series: String,
    /// As in `URING_LANE`.
    kind: &'static str,
    /// What the kernel's image is, for the reader.
    package: String,
    /// As in `URING_BACKPORTS`.
    backports: String,
    /// As in `URING_FACILITIES`.
    facilities: String,
    #[serde(skip)]
    image: PathBuf,
    #[serde(skip)]
    fault: Option<Fault>,
}

/// What a lane came to.
#[derive(Debug, Clone, Serialize)]
struct Finished {
    #[serde(flatten)]
    lane: Lane,
    release: Option<String>,
    seconds: f64,
    /// Boots that came to no test and were repeated, each with its reason.
    repeated: Vec<String>,
    suites: Vec<Outcome>,
    troubles: Vec<Trouble>,
    /// The end of the machine's log, where there is trouble.
    #[serde(skip)]
    last_lines: String,
}

impl Finished {
    fn is_good(&self) -> bool {
        let good = |suite: &Outcome| suite.failed() == 0 && suite.problems.is_empty();
        self.troubles.is_empty() && self.suites.iter().all(good)
    }
}

/// What is the same for all lanes of a run.
#[derive(Debug)]
struct Run<'a> {
    programs: &'a Programs,
    emulator: &'a Emulator,
    args: &'a Args,
    selection: Selection<'a>,
    accelerator: &'static str,
}

/// Which tests of the suites run.
#[derive(Debug, Clone, Copy, Default)]
struct Selection<'a> {
    filter: Option<&'a str>,
    /// As in `URING_HANDLES`.
    handles: Option<&'a str>,
}

pub(super) fn run(
    args: &Args,
    filter: Option<&str>,
    package: Option<&str>,
    json: Option<&std::path::Path>,
) -> Result<()> {
    let mut lanes = lanes(args)?;
    let emulator = Emulator::find()?;
    let programs = Programs::build(&binary::packages(package)?)?;
    let mut run = Run {
        programs: &programs,
        emulator: &emulator,
        args,
        selection: Selection {
            filter,
            handles: args.handles.as_deref(),
        },
        accelerator: machine::EMULATED,
    };
    run.leave_out_idle_faults(&mut lanes)?;
    if run.native_works(lanes.last())? {
        run.accelerator = machine::NATIVE;
    }
    if args.shell.is_some() {
        return run.shell(&lanes[0]);
    }
    if args.dry_run {
        return lanes.iter().try_for_each(|lane| run.show(lane));
    }
    println!(
        "QEMU {} ({}), lanes: {}",
        emulator.version,
        run.accelerator,
        lanes.len()
    );
    let (finished, plans) = run.all(&lanes)?;
    for lane in &finished {
        print_failures(lane);
    }
    println!("{}", table::render(&finished));
    let gaps = if args.kernels.as_deref() == Some("all") {
        let coverage = coverage::across(&plans, &finished, || run.plans_of_other_faults(&lanes))?;
        for note in &coverage.notes {
            println!("{note}");
        }
        coverage.gaps
    } else {
        Vec::new()
    };
    if let Some(path) = json {
        let json = serde_json::to_string_pretty(&finished)?;
        fs::write(path, json + "\n").with_context(|| format!("{}", path.display()))?;
    }
    verdict(&finished, &gaps)
}

fn lanes(args: &Args) -> Result<Vec<Lane>> {
    if let Some(image) = &args.kernel_image {
        let release = machine::release_of(image)?;
        return Ok(vec![Lane {
            name: machine::series_of(&release),
            series: machine::series_of(&release),
            kind: "distribution",
            package: release,
            backports: String::new(),
            facilities: match &args.facilities {
                Some(facilities) => facilities.clone(),
                None => kernels::common_facilities()?.join(","),
            },
            image: image.clone(),
            fault: None,
        }]);
    }
    let mut lanes = Vec::new();
    let (kernels, faults) = match &args.shell {
        Some(lane) if lane.contains('/') => (None, Some(lane)),
        Some(lane) => (Some(lane), None),
        None => (args.kernels.as_ref(), args.faults.as_ref()),
    };
    if let Some(wanted) = kernels {
        let kernels = kernels::select(wanted)?.into_iter();
        lanes.extend(kernels.map(|kernel| (kernel, None)));
    }
    if let Some(wanted) = faults {
        let faults = kernels::select_faults(wanted)?.into_iter();
        lanes.extend(faults.map(|(kernel, fault)| (kernel, Some(fault))));
    }
    lanes
        .into_iter()
        .map(|(kernel, fault)| lane(kernel, fault))
        .collect()
}

fn lane(kernel: Kernel, fault: Option<Fault>) -> Result<Lane> {
    let image = Image::cached(&kernel)?;
    let (name, facilities) = match &fault {
        Some(fault) => (
            fault.lane(&kernel.series),
            fault.facilities(&kernel.facilities),
        ),
        None => (kernel.series.clone(), kernel.facilities),
    };
    Ok(Lane {
        name,
        kind: kernel.kind.word(),
        series: kernel.series,
        backports: kernel.backports.join(","),
        facilities: facilities.join(","),
        package: image.package,
        image: image.path,
        fault,
    })
}

/// Nothing failed, nothing is missing, something ran.
fn verdict(finished: &[Finished], gaps: &[String]) -> Result<()> {
    let bad: Vec<_> = finished
        .iter()
        .filter(|lane| !lane.is_good())
        .map(|lane| lane.lane.name.as_str())
        .collect();
    for gap in gaps {
        println!("---- {gap}");
    }
    if !bad.is_empty() {
        bail!("failed on {}", bad.join(", "));
    }
    if !gaps.is_empty() {
        bail!("tests that never ran: {}", gaps.len());
    }
    let ran: usize = finished
        .iter()
        .flat_map(|l| &l.suites)
        .map(Outcome::ran)
        .sum();
    if ran == 0 {
        bail!("nothing ran: this shows nothing");
    }
    Ok(())
}

fn print_failures(finished: &Finished) {
    for said in &finished.repeated {
        println!("---- Linux {}: booted again: {said}\n", finished.lane.name);
    }
    if finished.is_good() {
        return;
    }
    println!("==== Linux {}", finished.lane.name);
    for suite in &finished.suites {
        suite.print_failures();
    }
    for trouble in &finished.troubles {
        println!("---- {trouble}\n");
    }
    if !finished.troubles.is_empty() {
        println!("the machine's last lines:\n{}", finished.last_lines);
    }
    let logs = machine::dir(&finished.lane);
    println!("logs: {}\n", logs.display());
}

impl Run<'_> {
    fn machine<'a>(&'a self, lane: &'a Lane) -> Machine<'a> {
        let cpus = lane.fault.as_ref().and_then(|fault| fault.cpus);
        Machine {
            lane,
            emulator: self.emulator,
            accelerator: self.accelerator,
            cpus: cpus.unwrap_or(self.args.cpus),
            patience: machine::BOOT,
        }
    }

    /// Whether a machine comes up that runs on this machine's own processor: a device that can be opened promises nothing.
    fn native_works(&self, lane: Option<&Lane>) -> Result<bool> {
        let Some(lane) = lane.filter(|_| machine::has_native_device()) else {
            return Ok(false);
        };
        let machine = Machine {
            accelerator: machine::NATIVE,
            patience: machine::NATIVE_BOOT,
            ..self.machine(lane)
        };
        let work = self.programs.nothing(lane)?;
        let judgement = judge::judge(lane, &work.plans, &machine.run(&work, |_| {})?);
        Ok(judgement.troubles.is_empty())
    }

    /// A fault's machine has some of the suites, and a selection may leave it none.
    fn leave_out_idle_faults(&self, lanes: &mut Vec<Lane>) -> Result<()> {
        let mut kept = Vec::new();
        for lane in lanes.drain(..) {
            let works =
                || Ok::<_, anyhow::Error>(!self.programs.plans(&lane, self.selection)?.is_empty());
            if lane.fault.is_none() || works()? {
                kept.push(lane);
            }
        }
        if kept.is_empty() {
            bail!(
                "there is no such test on these machines: {:?}",
                self.selection
            );
        }
        *lanes = kept;
        Ok(())
    }

    /// What would be done on the fault lanes that are not among `lanes`, as plans.
    fn plans_of_other_faults(&self, lanes: &[Lane]) -> Result<Vec<String>> {
        let mut plans = Vec::new();
        for (kernel, fault) in kernels::select_faults("all")? {
            let other = lane(kernel, Some(fault))?;
            if lanes.iter().all(|lane| lane.name != other.name) {
                let suites = self.programs.plans(&other, self.selection)?;
                plans.extend(suites.into_iter().map(|(_, _, text)| text));
            }
        }
        Ok(plans)
    }

    /// Runs every lane and gives what each came to, and its plans, in the lanes' order.
    fn all(&self, lanes: &[Lane]) -> Result<(Vec<Finished>, Vec<String>)> {
        let bar = ProgressBar::new(lanes.len().try_into()?);
        let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {elapsed} {wide_msg}");
        bar.set_style(style.expect("the template is one"));
        bar.enable_steady_tick(std::time::Duration::from_millis(200));
        // A machine with one processor wastes none of its time on agreement with itself, and what it waits another uses.
        let processors = thread::available_parallelism()?.get();
        let jobs = self.args.jobs.map_or(processors + 1, NonZero::get);
        let queue: VecDeque<_> = lanes.iter().enumerate().collect();
        let (queue, done) = (Mutex::new(queue), Mutex::new(Vec::new()));
        let work = || -> Result<()> {
            loop {
                let next = queue
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .pop_front();
                let Some((index, lane)) = next else {
                    return Ok(());
                };
                let finished = self.lane(lane, &bar)?;
                bar.inc(1);
                let line = table::line(&finished.0);
                bar.suspend(|| println!("{line}"));
                done.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push((index, finished));
            }
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
            workers
                .into_iter()
                .try_for_each(|worker| worker.join().expect("a worker does not panic"))
        })?;
        bar.finish_and_clear();
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_by_key(|(index, _)| *index);
        Ok(done.into_iter().map(|(_, finished)| finished).unzip())
    }

    fn lane(&self, lane: &Lane, bar: &ProgressBar) -> Result<(Finished, String)> {
        let work = self.programs.work(lane, self.selection)?;
        let machine = self.machine(lane);
        let mut repeated = Vec::new();
        loop {
            let boot = machine.run(&work, |records| {
                bar.set_message(format!("Linux {}: {records} records", lane.name));
            })?;
            let Judgement {
                release,
                suites,
                troubles,
                began,
            } = judge::judge(lane, &work.plans, &boot);
            let again = !began && !troubles.is_empty() && repeated.len() + 1 < BOOTS;
            if again {
                let why: Vec<_> = troubles.iter().map(ToString::to_string).collect();
                repeated.push(why.join("; "));
                machine.keep_logs(repeated.len())?;
                continue;
            }
            let finished = Finished {
                lane: lane.clone(),
                release,
                seconds: boot.seconds,
                repeated,
                suites,
                last_lines: console::last_lines(&boot.console, 30),
                troubles,
            };
            if !self.args.keep {
                machine.remove_disks();
            }
            return Ok((finished, work.plan_text));
        }
    }

    fn shell(&self, lane: &Lane) -> Result<()> {
        let work = self.programs.shell(lane)?;
        self.machine(lane).interactive(&work)
    }

    fn show(&self, lane: &Lane) -> Result<()> {
        let Work { plans, .. } = self.programs.work(lane, self.selection)?;
        println!("==== Linux {} ({}, {})", lane.name, lane.kind, lane.package);
        for (program, plan) in &plans {
            println!("{program}: {}", programs::summary(plan));
        }
        println!("{}\n", self.machine(lane).command_line()?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{judge::Class, *};
    use crate::test::outcome::{Test, Verdict};

    fn finished(verdicts: &[Verdict]) -> Finished {
        let mut suite = Outcome::new("s");
        for verdict in verdicts {
            suite.tests.push(Test::new("t".to_owned(), *verdict));
        }
        Finished {
            lane: judge::tests::lane(),
            release: None,
            seconds: 1.0,
            repeated: Vec::new(),
            suites: vec![suite],
            troubles: Vec::new(),
            last_lines: String::new(),
        }
    }

    #[test]
    fn success_takes_lanes_without_trouble_and_tests_that_ran() {
        let good = finished(&[Verdict::Passed]);
        assert!(verdict(std::slice::from_ref(&good), &[]).is_ok());
        assert!(verdict(std::slice::from_ref(&good), &["t".to_owned()]).is_err());
        assert!(verdict(&[good.clone(), finished(&[Verdict::Failed])], &[]).is_err());
        assert!(verdict(&[finished(&[Verdict::Skipped])], &[]).is_err());
        let mut troubled = good;
        troubled
            .troubles
            .push(Trouble::new(Class::Kernel, "BUG: x"));
        assert!(verdict(&[troubled], &[]).is_err());
    }
}
