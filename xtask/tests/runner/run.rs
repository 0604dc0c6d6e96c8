//! Runs of the built `xtask`, and what they came to.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};
use uring_testkit::{Test, TestResult};

/// Longer than a run takes whose packages are built from nothing, while others run.
const LIMIT: Duration = Duration::from_secs(900);

static SCRATCH: OnceLock<PathBuf> = OnceLock::new();

/// A directory for what the tests of this run share, each in a process of its own.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        let name = format!("runner-{}", process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        Self(SCRATCH.get_or_init(|| path).clone())
    }

    /// The directory, made if it is not there.
    pub(crate) fn dir() -> TestResult<&'static Path> {
        let path = SCRATCH.get().ok_or("there is a directory from the start")?;
        fs::create_dir_all(path)?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It is made by the first test that needs it.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Where the packages elsewhere are built and their logs are: the workspace's own runs have nothing to do with it.
pub(crate) fn target_dir() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("elsewhere")
}

/// What a run of `cargo xtask test` came to.
pub(crate) struct Run {
    pub(crate) success: bool,
    /// What it printed.
    pub(crate) output: String,
    /// What it wrote as JSON.
    pub(crate) results: Value,
}

/// A run that is being prepared.
pub(crate) struct Start {
    pub(crate) command: Command,
    json: PathBuf,
    log: PathBuf,
}

impl Start {
    /// `cargo xtask test` for the manifest at `path` in the workspace; `name` is that of the run.
    pub(crate) fn new(name: &str, path: &str, arguments: &[&str]) -> TestResult<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
        let (json, log) = (format!("{name}.results"), format!("{name}.log"));
        let (json, log) = (Scratch::dir()?.join(json), Scratch::dir()?.join(log));
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .arg("test")
            .args(arguments)
            .arg("--manifest-path")
            .arg(manifest)
            .arg("--target-dir")
            .arg(target_dir())
            .arg("--json")
            .arg(&json)
            // The lock files are the workspace's: what they name is here already.
            .env("CARGO_NET_OFFLINE", "true")
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?);
        // What this suite was told is not for those that it starts.
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("URING_") {
                command.env_remove(name);
            }
        }
        Ok(Self { command, json, log })
    }

    /// What it came to, once it has ended.
    pub(crate) fn ended(&self, success: bool) -> TestResult<Run> {
        let output = fs::read_to_string(&self.log)?;
        let results = fs::read_to_string(&self.json)
            .map_err(|error| format!("there are no results ({error}):\n{output}"))?;
        Ok(Run {
            success,
            output,
            results: serde_json::from_str(&results)?,
        })
    }

    /// Runs it to its end.
    pub(crate) fn run(mut self) -> TestResult<Run> {
        let status = self.command.status()?;
        self.ended(status.success())
    }
}

impl Run {
    /// The only run of this name, whichever of the tests that want it comes first.
    pub(crate) fn once(name: &str, run: impl FnOnce() -> TestResult<Self>) -> TestResult<Self> {
        let path = Scratch::dir()?.join(format!("{name}.run"));
        let mut options = File::options();
        options.write(true).create(true).truncate(false);
        let lock = options.open(path.with_extension("lock"))?;
        flock(&lock, FlockOperation::LockExclusive)?;
        if let Ok(text) = fs::read_to_string(&path) {
            let mut kept: Value = serde_json::from_str(&text)?;
            let output = kept["output"].as_str().ok_or("the output is a text")?;
            return Ok(Self {
                success: kept["success"] == true,
                output: output.to_owned(),
                results: kept["results"].take(),
            });
        }
        let run = run()?;
        let kept = json!({
            "success": run.success,
            "output": run.output,
            "results": run.results,
        });
        fs::write(&path, kept.to_string())?;
        Ok(run)
    }

    /// What the only lane came to.
    pub(crate) fn lane(&self) -> TestResult<&Value> {
        match self.results["lanes"].as_array().map(Vec::as_slice) {
            Some([lane]) => Ok(lane),
            _ => Err(format!("one lane was to run:\n{}", self.output).into()),
        }
    }

    /// The classes of what is wrong with the only lane beside its tests, and each text.
    pub(crate) fn troubles(&self) -> TestResult<Vec<(&str, &str)>> {
        fn trouble(trouble: &Value) -> Option<(&str, &str)> {
            Some((trouble["class"].as_str()?, trouble["text"].as_str()?))
        }
        let troubles = self.lane()?["troubles"].as_array();
        let troubles = troubles.and_then(|troubles| troubles.iter().map(trouble).collect());
        troubles.ok_or_else(|| format!("no troubles in {}", self.results).into())
    }

    /// What a suite came to, on the only lane or on this machine.
    pub(crate) fn suite(&self, name: &str) -> TestResult<Suite<'_>> {
        let suites = match self.results.as_array() {
            Some(of_this_machine) => of_this_machine,
            None => self.lane()?["suites"]
                .as_array()
                .ok_or("a lane has suites")?,
        };
        let is_it = |suite: &&Value| {
            let words = suite["name"].as_str().unwrap_or_default();
            words.split([':', ' ']).next_back() == Some(name)
        };
        let found = suites.iter().find(is_it);
        let suite = found.ok_or_else(|| format!("no suite {name}:\n{}", self.output))?;
        Ok(Suite(suite))
    }
}

/// What a suite came to.
pub(crate) struct Suite<'a>(&'a Value);

impl Suite<'_> {
    /// Its tests: name, handle, verdict, reason.
    pub(crate) fn tests(&self) -> Vec<[&str; 4]> {
        fn test(test: &Value) -> [&str; 4] {
            let fields = ["name", "handle", "verdict", "reason"];
            fields.map(|name| test[name].as_str().unwrap_or_default())
        }
        let tests = self.0["tests"].as_array();
        tests.map_or_else(Vec::new, |tests| tests.iter().map(test).collect())
    }

    /// Fails unless one of its problems has these words.
    pub(crate) fn has_problem(&self, words: &str) -> TestResult {
        let problems = self.0["problems"].as_array();
        let has = |problem: &Value| problem.as_str().is_some_and(|text| text.contains(words));
        match problems.is_some_and(|problems| problems.iter().any(has)) {
            true => Ok(()),
            false => Err(format!("no problem says {words:?}: {}", self.0["problems"]).into()),
        }
    }

    /// Fails if its tests' verdicts cannot be trusted.
    pub(crate) fn has_no_problem(&self) -> TestResult {
        match self.0["problems"].as_array().map(Vec::as_slice) {
            Some([]) => Ok(()),
            _ => Err(format!("there are problems: {}", self.0).into()),
        }
    }

    /// Fails unless this test failed for a reason with these words.
    pub(crate) fn has_failure(&self, test: &str, words: &str) -> TestResult {
        let is_it = |[name, _, verdict, reason]: &[&str; 4]| {
            *name == test && *verdict == "failed" && reason.contains(words)
        };
        match self.tests().iter().any(is_it) {
            true => Ok(()),
            false => Err(format!("{test} did not fail for {words:?}: {}", self.0).into()),
        }
    }
}

/// Gives a test the time that a run takes.
pub(crate) fn is_long(test: &mut Test) -> &mut Test {
    test.timeout(LIMIT)
}
