//! The bad tests.

use super::*;

/// A bad test, and the words that its failure must have.
pub(super) type Fault = (&'static str, fn(&Context) -> TestResult, &'static str);

pub(super) const FAULTS: &[Fault] = &[
    (
        "returns_an_error",
        |_| Err("the error's text".into()),
        "the error's text",
    ),
    ("panics", |_| panic!("the panic's text"), "the panic's text"),
    ("leaks_a_descriptor", leaks_a_descriptor, "-> /dev/null"),
    (
        "closes_a_descriptor",
        closes_a_descriptor,
        "descriptors changed: -0",
    ),
    ("leaks_a_slot", leaks_a_slot, "ring slots still taken: {0}"),
    (
        "leaks_ring_memory",
        leaks_ring_memory,
        "ring memory still mapped: 2",
    ),
    (
        "leaves_a_child",
        leaves_a_child,
        "left behind: still running",
    ),
    ("leaves_a_zombie", leaves_a_zombie, "left behind: process"),
    (
        "leaves_a_grandchild",
        leaves_a_grandchild,
        "left behind: still running",
    ),
    (
        "exits_with_success",
        |_| std::process::exit(0),
        "ended by itself: exit status: 0",
    ),
    (
        "aborts",
        |_| std::process::abort(),
        "ended by itself: signal: 6",
    ),
    ("hangs", |_| hang(), "still running after 500ms"),
    (
        "kills_its_parent",
        kills_its_parent,
        "the process that started it",
    ),
    (
        "leaks_less_than_announced",
        |_| Ok(()),
        "still taken: {}, announced: 1",
    ),
];

fn hang() -> ! {
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

fn leaks_a_descriptor(_: &Context) -> TestResult {
    std::mem::forget(File::open("/dev/null")?);
    Ok(())
}

fn closes_a_descriptor(_: &Context) -> TestResult {
    // SAFETY: the standard input of this process is used by nobody.
    Ok(unsafe { process::close_range(0..=0) }?)
}

fn leaks_a_slot(_: &Context) -> TestResult {
    let mut ring = RawRing::new(1, 0)?;
    ring.register()?;
    ring.close();
    ring.leak();
    Ok(())
}

fn leaks_ring_memory(_: &Context) -> TestResult {
    let ring = RawRing::new(1, 0)?;
    let fd = ring.fd().ok_or("no descriptor")?.as_raw_fd();
    ring.leak();
    // SAFETY: the ring that owned the descriptor is forgotten.
    Ok(unsafe { process::close_range(fd..=fd) }?)
}

fn child(end: impl FnOnce()) -> TestResult {
    // SAFETY: the child does not return into the test.
    match unsafe { libc::fork() } {
        -1 => Err(std::io::Error::last_os_error().into()),
        0 => {
            end();
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(0) }
        }
        _ => Ok(()),
    }
}

fn leaves_a_child(_: &Context) -> TestResult {
    child(|| hang())
}

fn leaves_a_zombie(_: &Context) -> TestResult {
    child(|| ())?;
    let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::uninit();
    let options = libc::WEXITED | libc::WNOWAIT;
    // SAFETY: room for the answer. The child is dead afterwards and still to be waited for.
    match unsafe { libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), options) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error().into()),
    }
}

fn leaves_a_grandchild(_: &Context) -> TestResult {
    process::fork_and(|| child(|| hang_detached()))?.check()
}

/// Hangs without holding what its parent waits for.
fn hang_detached() -> ! {
    // SAFETY: this process uses no descriptor any more.
    let _ = unsafe { process::close_range(3..=i32::MAX) };
    hang()
}

/// Kills the suite that runs it, which is the parent of what has started it.
fn kills_its_suite(_: &Context) -> TestResult {
    let status = fs::read_to_string(format!("/proc/{}/status", parent()))?;
    let suite = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    let suite = suite.ok_or("a process has a parent")?.trim().parse()?;
    // SAFETY: a signal to the suite, which waits for this test.
    unsafe { libc::kill(suite, libc::SIGKILL) };
    hang()
}

/// Kills the process that has started it.
fn kills_its_parent(_: &Context) -> TestResult {
    let parent = i32::try_from(parent())?;
    // SAFETY: a signal to the parent, which waits for this test.
    unsafe { libc::kill(parent, libc::SIGKILL) };
    hang()
}

fn parent() -> u32 {
    std::os::unix::process::parent_id()
}

/// Sees nothing of what the suite inherited.
fn passes(_: &Context) -> TestResult {
    let open: Vec<_> = FdTable::now()?.iter().map(|(fd, _)| fd).collect();
    assert_eq!(open, [0, 1, 2]);
    Ok(())
}

/// Is in the crowd's directory for a moment.
fn crowds(_: &Context) -> TestResult {
    let Some(dir) = env::var_os("URING_PLANTED_DIR") else {
        return Ok(());
    };
    let place = Path::new(&dir).join(std::process::id().to_string());
    fs::write(&place, "")?;
    thread::sleep(Duration::from_millis(20));
    Ok(fs::remove_file(place)?)
}

/// Must never see the crowd.
fn is_alone(_: &Context) -> TestResult {
    let Some(dir) = env::var_os("URING_PLANTED_DIR") else {
        return Ok(());
    };
    for _ in 0..5 {
        match fs::read_dir(&dir)?.count() {
            0 => thread::sleep(Duration::from_millis(10)),
            crowd => return Err(format!("{crowd} others are running").into()),
        }
    }
    Ok(())
}

/// Is whatever the environment says.
const PLANTED: Facility = Facility::new("planted", "plant one", || {
    match env::var("URING_PLANTED_FACILITY").as_deref() {
        Ok("there") => Observation::Present,
        Ok(said) => Observation::Inconclusive(said.to_owned()),
        Err(_) => Observation::Absent,
    }
});

/// What the suite of bad tests says of the code that it does not have.
fn completed() -> Vec<Completed> {
    let (opcode, handle) = ("IORING_OP_NOP", Some(HandleKind::Born));
    vec![Completed { opcode, handle }]
}

pub(crate) fn planted() -> ExitCode {
    let mut suite = Suite::new("planted");
    suite.completed_by(completed);
    for (name, body, _) in FAULTS {
        let test = suite.test(*name, *body);
        match *name {
            "leaks_less_than_announced" => test.leaks_slots(1),
            "hangs" => test.timeout(Duration::from_millis(500)),
            _ => test,
        };
    }
    suite.test("passes", passes);
    for number in 0..8 {
        suite.test(format!("crowd::{number}"), crowds);
        suite
            .test(format!("crowd::alone_{number}"), is_alone)
            .alone();
    }
    suite.test("kills_its_suite", kills_its_suite);
    suite
        .test("gated", |_| Ok(()))
        .needs([Feature::RING_FDS])
        .refused_by(|_| Ok(()));
    suite.test("requiring", |_| Ok(())).requires([PLANTED]);
    if env::var_os("URING_PLANTED_UNDECIDED").is_some() {
        suite
            .test("forgotten_refusal", |_| Ok(()))
            .on(HandleKind::ALL)
            .needs([Feature::CQE32]);
    }
    uring_testkit::run_suites([suite, beside()])
}

/// Another suite, whose crowd the first one's exclusive tests must not see either.
fn beside() -> Suite {
    let mut suite = Suite::new("beside");
    for number in 0..8 {
        suite.test(format!("crowd::{number}"), crowds);
    }
    suite
}
