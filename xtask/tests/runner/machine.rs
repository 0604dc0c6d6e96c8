//! Planted faults of machines and kernels: each has its class, and what came before it counts.

use std::{
    fs,
    process::{Child, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use uring_testkit::{Suite, TestResult};

use crate::{
    KERNEL, SERIES, image,
    planted::MANIFEST,
    run::{self, Run, Scratch, Start},
};

/// A fault's name, and its test.
type Fault = (&'static str, fn() -> TestResult);

pub(crate) fn add(suite: &mut Suite) {
    let tests: [Fault; 7] = [
        ("a_kernel_that_panics_during_a_test", panics),
        ("a_machine_that_goes_off_during_a_test", goes_off),
        ("an_emulator_that_is_killed_during_a_test", is_killed),
        ("a_warning_of_the_kernel", warns),
        ("a_tainted_kernel", is_tainted),
        ("a_boot_that_comes_to_no_test", does_not_boot),
        ("a_kernel_that_is_not_the_lanes", is_another),
    ];
    for (name, test) in tests {
        let test = suite.test(format!("machine::finds_{name}"), move |_| test());
        run::is_long(test).requires([KERNEL]);
    }
}

fn start(fault: &str) -> TestResult<Start> {
    let arguments = [fault, "--package", "deadly", "--kernels", SERIES];
    Start::new(fault, MANIFEST, &arguments)
}

/// Checks that the run failed, for these reasons alone: their classes, and words of each.
fn is_trouble(run: &Run, expected: &[(&str, &str)]) -> TestResult {
    assert!(!run.success, "{}", run.output);
    let troubles = run.troubles()?;
    let fits = troubles.len() == expected.len()
        && troubles
            .iter()
            .zip(expected)
            .all(|(is, expected)| is.0 == expected.0 && is.1.contains(expected.1));
    assert!(fits, "{troubles:?} instead of {expected:?}");
    Ok(())
}

/// The suite before the fault has passed and is believed; nothing is booted again for want of a good end.
fn before_is_kept(run: &Run) -> TestResult {
    let before = run.suite("before")?;
    before.has_no_problem()?;
    let verdicts: Vec<_> = before.tests().iter().map(|test| test[2]).collect();
    assert_eq!(verdicts, ["passed"]);
    assert_eq!(run.lane()?["repeated"].as_array().map(Vec::len), Some(0));
    Ok(())
}

/// The machine ended in the middle of this fault.
fn ended_during(run: &Run, fault: &str) -> TestResult {
    before_is_kept(run)?;
    let during = run.suite("during")?;
    during.has_problem(&format!("during::{fault} was planned and did not run"))?;
    during.has_problem("it did not come to its end")
}

const DEATH: (&str, &str) = (
    "death",
    "there is no last record; /suites/deps/deadly:during was running",
);

fn panics() -> TestResult {
    let run = start("panics")?.run()?;
    let panic = ("panic", "Kernel panic - not syncing: sysrq triggered crash");
    is_trouble(&run, &[panic, DEATH])?;
    // Where it was is with the machine's last lines.
    assert!(run.output.contains("sysrq_handle_crash"), "{}", run.output);
    ended_during(&run, "panics")
}

fn goes_off() -> TestResult {
    let run = start("powers_off")?.run()?;
    is_trouble(&run, &[DEATH])?;
    ended_during(&run, "powers_off")
}

fn is_killed() -> TestResult {
    let mut start = start("waits_to_be_killed")?;
    let mut xtask = start.command.spawn()?;
    let ended = kill_emulator(&mut xtask).and_then(|killed| end_of(&mut xtask, killed));
    if ended.is_err() {
        xtask.kill()?;
        xtask.wait()?;
    }
    let run = start.ended(ended?.success())?;
    is_trouble(&run, &[DEATH])?;
    ended_during(&run, "waits_to_be_killed")
}

/// Waits for `xtask`, which must not start another machine in the place of the one that was killed.
fn end_of(xtask: &mut Child, killed: Pid) -> TestResult<ExitStatus> {
    loop {
        if let Some(status) = xtask.try_wait()? {
            return Ok(status);
        }
        if emulator_of(xtask.id())?.is_some_and(|machine| machine != killed) {
            return Err("another machine was started although a test had begun".into());
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Kills the machine that `xtask` has started, once it is in the suite that waits for it.
fn kill_emulator(xtask: &mut Child) -> TestResult<Pid> {
    let lane = run::target_dir().join("xtask/lanes").join(SERIES);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(600) {
        if let Some(status) = xtask.try_wait()? {
            return Err(format!("xtask has ended by itself: {status}").into());
        }
        // While our xtask has a machine, the lane's files are that machine's.
        let machine = emulator_of(xtask.id())?;
        let records = fs::read_to_string(lane.join("records.jsonl")).unwrap_or_default();
        let waits = r#""record":"start","suite":"during""#;
        if let Some(machine) = machine.filter(|_| records.contains(waits)) {
            kill_process(machine, Signal::Kill)?;
            return Ok(machine);
        }
        thread::sleep(Duration::from_millis(20));
    }
    Err("the machine did not come to the suite that waits to be killed".into())
}

/// The child of this process that runs an emulator.
fn emulator_of(parent: u32) -> TestResult<Option<Pid>> {
    for process in fs::read_dir("/proc")?.flatten() {
        let name = process.file_name();
        let Some(number) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // Processes end while they are looked at.
        let read = |file| fs::read_to_string(process.path().join(file)).unwrap_or_default();
        let stat = read("stat");
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let is_child = after_name.split_whitespace().nth(1) == Some(parent.to_string().as_str());
        if is_child && read("cmdline").contains("qemu-system") {
            return Ok(Pid::from_raw(number));
        }
    }
    Ok(None)
}

fn warns() -> TestResult {
    let run = start("writes_a_warning")?.run()?;
    is_trouble(&run, &[("kernel", "WARNING: planted by a test")])?;
    before_is_kept(&run)?;
    run.suite("during")?.has_no_problem()
}

fn is_tainted() -> TestResult {
    let run = start("taints")?.run()?;
    is_trouble(&run, &[("kernel", "/proc/sys/kernel/tainted is 512")])?;
    before_is_kept(&run)?;
    run.suite("during")?.has_no_problem()
}

fn with_image(name: &str, image: &[u8]) -> TestResult<Run> {
    let path = Scratch::dir()?.join(format!("{name}.image"));
    fs::write(&path, image)?;
    let path = path.to_str().ok_or("a path that is text")?;
    let arguments = ["healthy::", "--package", "harmless", "--kernel-image", path];
    Start::new(name, MANIFEST, &arguments)?.run()
}

fn does_not_boot() -> TestResult {
    let run = with_image("does-not-boot", &image::that_resets("6.18.0-planted"))?;
    // The emulator had nothing to object: it is the machine that ended.
    let text = "the machine sent no record; QEMU:";
    is_trouble(&run, &[("boot", text)])?;
    assert_eq!(run.troubles()?[0].1.trim_end(), text);
    let repeated = run.lane()?["repeated"].as_array();
    let repeated = repeated.ok_or("a list of boots that were repeated")?;
    assert_eq!(repeated.len(), 2, "{repeated:?}");
    for reason in repeated {
        let said = reason.as_str().ok_or("a reason")?;
        assert_eq!(said.trim_end(), format!("no boot: {text}"));
        assert!(run.output.contains(&format!("booted again: {said}")));
    }
    Ok(())
}

fn is_another() -> TestResult {
    let kernel = image::of(SERIES)?;
    let run = with_image("another-kernel", &image::that_claims(kernel, "6.17"))?;
    let lane = run.lane()?;
    assert_eq!(lane["series"], "6.17");
    let text = "is running, not Linux 6.17";
    is_trouble(&run, &[("boot", text)])?;
    run.suite("healthy")?
        .has_problem("the lane declares Linux 6.17 but 6.18")
}
