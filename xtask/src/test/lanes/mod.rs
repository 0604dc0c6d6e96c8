//! `cargo xtask test --kernels`: the suites on real kernels, one emulated machine for each.

mod archive;
mod console;
mod coverage;
mod facts;
mod finished;
mod judge;
mod lane;
mod machine;
mod module;
mod opcodes;
mod programs;
mod refusal;
mod reports;
mod table;

use std::{
    collections::VecDeque,
    fs,
    num::NonZero,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
};

use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

use self::{
    finished::{Finished, Results},
    judge::Judgement,
    lane::Lane,
    machine::{Machine, Work},
    programs::Programs,
};
use super::{Files, binary::Package, exclusive::Exclusive, junit, project::Project};
use crate::kernels::{self, Emulator, Facts};

/// How often a machine is booted that comes to no test: emulators and busy hosts fail at that, suites do not.
const BOOTS: usize = 3;

/// Where names are asked for and all are meant.
const EVERY: &str = "all";

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
    /// Load that kernel's modules from this directory, as in /lib/modules/RELEASE
    #[arg(long, value_name = "DIR", requires = "kernel_image")]
    modules: Option<PathBuf>,
    /// What the machine has with that kernel, such as `privileges,loop`, if not what its modules bring
    #[arg(long, value_name = "NAMES", requires = "kernel_image")]
    facilities: Option<String>,
    /// Features that it has before their version, such as `IORING_FEAT_EXT_ARG,IORING_OP_UNLINKAT`
    #[arg(long, value_name = "NAMES", requires = "kernel_image")]
    backports: Option<String>,
    /// Run only the tests over these handles, such as `closed,born`; or `all`: run each test over all of its handles on each of all
    /// kernels, where else the kernels between two that differ take turns
    #[arg(long, value_name = "HANDLES")]
    handles: Option<String>,
    /// How many machines run at a time; as many as there are processors, without it
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

    /// The handles that alone are to be tested.
    fn only_handles(&self) -> Option<&str> {
        let handles = self.handles.as_deref();
        handles.filter(|handles| *handles != EVERY)
    }

    fn all_kernels(&self) -> bool {
        self.kernels.as_deref() == Some(EVERY)
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
    /// Where lanes have their directories.
    dirs: &'a Path,
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
    project: &Project,
    packages: &[Package],
    filter: Option<&str>,
    files: &Files,
) -> Result<()> {
    let dirs = project.scratch("lanes")?;
    // Whoever asks for some tests or some kernels wants to know all about them.
    let turns = args.all_kernels() && args.handles.is_none() && filter.is_none();
    let mut lanes = lane::wanted(args, &dirs, turns)?;
    let emulator = Emulator::find()?;
    let programs = Programs::build(project, packages)?;
    let mut run = Run {
        programs: &programs,
        emulator: &emulator,
        args,
        selection: Selection {
            filter,
            handles: args.only_handles(),
        },
        accelerator: machine::EMULATED,
        dirs: &dirs,
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
        finished::print_failures(lane);
    }
    println!("{}", table::render(&finished));
    if let Some(turns) = table::turns(&finished) {
        println!("{turns}");
    }
    let account = opcodes::account(&finished);
    // Only this workspace has a library that keeps account of what it completes.
    let whole = project.is_here
        && filter.is_none()
        && args.only_handles().is_none()
        && packages.len() == project.packages.len();
    if whole && !account.is_empty() {
        println!("{}", account.render());
    }
    let mut gaps = if args.all_kernels() {
        let coverage = coverage::across(&plans, &finished, || run.plans_of_other_faults(&lanes))?;
        for note in &coverage.notes {
            println!("{note}");
        }
        coverage.gaps
    } else {
        Vec::new()
    };
    if args.all_kernels() && whole {
        gaps.extend(account.gaps());
    }
    if let Some(path) = &files.json {
        let results = Results {
            lanes: &finished,
            opcodes: &account,
            gaps: &gaps,
        };
        let json = serde_json::to_string_pretty(&results)?;
        fs::write(path, json + "\n").with_context(|| format!("{}", path.display()))?;
    }
    if let Some(path) = &files.junit {
        let parts: Vec<_> = finished.iter().map(Finished::for_junit).collect();
        junit::write(path, &parts, &gaps)?;
    }
    finished::verdict(&finished, &gaps)
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
        // What a lane has kept stays its own.
        let lane = &Lane {
            dir: self.dirs.join("native"),
            ..lane.clone()
        };
        let machine = Machine {
            accelerator: machine::NATIVE,
            patience: machine::NATIVE_BOOT,
            ..self.machine(lane)
        };
        let work = self.programs.nothing(lane)?;
        let _ours = Exclusive::take(&lane.dir, |wait| println!("{wait}"))?;
        let judgement = judge::judge(lane, &work.plans, &machine.run(&work, |_| {})?);
        machine.remove_disks();
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
            let other = lane::of(kernel, Some(fault), self.dirs)?;
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
        // A machine with one processor wastes none of its time on agreement with itself, and its tests that wait let others run:
        // more machines than processors would only take the caches from each other.
        let processors = thread::available_parallelism()?.get();
        let jobs = self.args.jobs.map_or(processors, NonZero::get);
        // Machines that wait begin, so that others use it; then the newest kernels, which have most to do.
        let mut queue: Vec<_> = lanes.iter().enumerate().rev().collect();
        queue.sort_by_key(|(_, lane)| lane.tests_at_a_time.is_none());
        let queue = VecDeque::from(queue);
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
        let _ours = Exclusive::take(&lane.dir, |wait| bar.suspend(|| println!("{wait}")))?;
        let mut repeated = Vec::new();
        Facts::remove(&lane.dir)?;
        loop {
            let boot = machine.run(&work, |records| {
                bar.set_message(format!("Linux {}: {records} records", lane.name));
            })?;
            let Judgement {
                release,
                suites,
                troubles,
                began,
                facts,
            } = judge::judge(lane, &work.plans, &boot);
            let again = !began && !troubles.is_empty() && repeated.len() + 1 < BOOTS;
            if again {
                let why: Vec<_> = troubles.iter().map(ToString::to_string).collect();
                repeated.push(why.join("; "));
                machine.keep_logs(repeated.len())?;
                continue;
            }
            if let Some(facts) = &facts {
                facts.write(&lane.dir)?;
            }
            let finished = Finished {
                lane: lane.clone(),
                release,
                seconds: boot.seconds,
                repeated,
                suites,
                last_lines: console::last_lines(&boot.console),
                troubles,
                facts,
            };
            if !self.args.keep {
                machine.remove_disks();
            }
            return Ok((finished, work.plan_text));
        }
    }

    fn shell(&self, lane: &Lane) -> Result<()> {
        let work = self.programs.shell(lane)?;
        let _ours = Exclusive::take(&lane.dir, |wait| println!("{wait}"))?;
        self.machine(lane).interactive(&work)
    }

    fn show(&self, lane: &Lane) -> Result<()> {
        let Work { plans, .. } = self.programs.work(lane, self.selection)?;
        println!("==== Linux {} ({}, {})", lane.name, lane.kind, lane.package);
        for (program, suites) in &plans {
            for (suite, plan) in suites {
                println!(
                    "{}: {}",
                    reports::name(program, suite),
                    programs::summary(plan)
                );
            }
        }
        println!("facilities: {}", lane.facilities);
        println!("{}\n", self.machine(lane).command_line()?);
        Ok(())
    }
}
