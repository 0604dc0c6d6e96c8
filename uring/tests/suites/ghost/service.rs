//! The example as a process that others talk to.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use serde_json::Value;
use uring_testkit::TestResult;

use crate::common::example::example;
use crate::ghost::client::Client;

/// How long anything may take, on the slowest machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

// Of `linux/capability.h`.
const CAP_DAC_OVERRIDE: libc::c_ulong = 1;
const CAP_DAC_READ_SEARCH: libc::c_ulong = 2;

/// A server that runs. Dropping it kills it.
pub(crate) struct Ghost {
    child: Child,
    stdout: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
    /// What it said of itself at the start.
    pub(crate) told: String,
}

/// What a server left that has ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) code: Option<i32>,
    pub(crate) statistics: Value,
}

impl Ghost {
    /// Starts it on any port, and waits until it listens.
    pub(crate) fn start(folder: &Path, options: &[&str]) -> TestResult<Ghost> {
        Ghost::start_at("127.0.0.1:0", folder, options)
    }

    pub(crate) fn start_at(address: &str, folder: &Path, options: &[&str]) -> TestResult<Ghost> {
        Ghost::run(example("ghost")?, address, folder, options)
    }

    /// Starts it on any port, without what lets root read files that it has no permission for.
    pub(crate) fn start_without_override(folder: &Path, options: &[&str]) -> TestResult<Ghost> {
        let mut command = example("ghost")?;
        // SAFETY: `prctl` is all that is called between fork and exec, which may be called there.
        unsafe {
            command.pre_exec(|| {
                for capability in [CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH] {
                    // Out of the bounding set: a program that root starts has what is in it. Who may not take it out is not root.
                    libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0);
                }
                Ok(())
            })
        };
        Ghost::run(command, "127.0.0.1:0", folder, options)
    }

    fn run(
        mut command: Command,
        address: &str,
        folder: &Path,
        options: &[&str],
    ) -> TestResult<Ghost> {
        command
            .arg(folder)
            .args(["--address", address])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        // SAFETY: `fcntl` is all that is called between fork and exec, which may be called there.
        unsafe {
            command.pre_exec(|| {
                for inherited in 3..1024 {
                    libc::fcntl(inherited, libc::F_SETFD, libc::FD_CLOEXEC);
                }
                Ok(())
            })
        };
        let mut child = command.spawn()?;
        let mut stdout = BufReader::new(child.stdout.take().ok_or("it is piped")?);
        let mut first = String::new();
        stdout.read_line(&mut first)?;
        let address = first.trim_end().strip_prefix("listening on ");
        let address = address
            .ok_or_else(|| format!("it said {first:?}"))?
            .parse()?;
        let mut ghost = Ghost {
            child,
            stdout,
            address,
            told: String::new(),
        };
        let statistics = ghost.statistics()?;
        let concessions = statistics["concessions"].as_array().map_or(0, Vec::len);
        for _ in 0..=concessions {
            ghost.stdout.read_line(&mut ghost.told)?;
        }
        Ok(ghost)
    }

    /// What its page `/stats` says.
    pub(crate) fn statistics(&self) -> TestResult<Value> {
        let answer = Client::connect(self.address)?.get("/stats")?;
        if answer.status != 200 {
            return Err(format!("it answers {answer:?}").into());
        }
        Ok(serde_json::from_slice(&answer.body)?)
    }

    /// Asks for the statistics until they are as they should be.
    #[track_caller]
    pub(crate) fn wait_for(&self, what: &str, fits: impl Fn(&Value) -> bool) -> TestResult<Value> {
        let start = Instant::now();
        loop {
            // It may have no room, or be too slow for its own timeouts, for a while.
            let statistics = self.statistics().ok().unwrap_or_default();
            if fits(&statistics) {
                return Ok(statistics);
            }
            assert!(start.elapsed() < PATIENCE, "never {what}: {statistics:#}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until nothing is taken but by the listening socket and by whoever asks.
    #[track_caller]
    pub(crate) fn wait_for_rest(&self) -> TestResult<Value> {
        self.wait_for("at rest", |statistics| {
            let in_use = |share: &str| statistics[share]["in_use"].as_u64();
            statistics["connections"]["now"] == 1
                && in_use("direct_slots") == Some(2)
                && in_use("send_buffers") == Some(0)
                && in_use("receive_buffers").unwrap_or(0) == 0
                // Receives and timer of the one who asks, the accept, what wakes the ring, and this look itself.
                && statistics["operations_in_flight"].as_u64() <= Some(5)
        })
    }

    /// Its descriptor table: numbers, and what they refer to.
    pub(crate) fn descriptors(&self) -> io::Result<BTreeMap<u32, PathBuf>> {
        let mut all = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{}/fd", self.child.id()))? {
            let entry = entry?;
            let number = entry.file_name().to_string_lossy().parse();
            // One that is closed between the two looks was there all the same.
            let target = fs::read_link(entry.path()).unwrap_or_default();
            all.insert(number.unwrap_or(u32::MAX), target);
        }
        Ok(all)
    }

    /// The memory that it has, in KiB.
    pub(crate) fn resident(&self) -> TestResult<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        Ok(number.ok_or("it has no VmRSS")?.parse()?)
    }

    pub(crate) fn terminate(&self) -> TestResult {
        let process = Pid::from_raw(i32::try_from(self.child.id())?);
        Ok(signal::kill(process, Signal::SIGTERM)?)
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> TestResult<End> {
        let mut said = String::new();
        self.stdout.read_to_string(&mut said)?;
        let status = self.child.wait()?;
        let last = said.lines().last().unwrap_or_default();
        let statistics =
            serde_json::from_str(last).map_err(|error| format!("{status}, {said:?}: {error}"))?;
        Ok(End {
            code: status.code(),
            statistics,
        })
    }

    /// Ends it, and checks that nothing was left.
    #[track_caller]
    pub(crate) fn end(self) -> TestResult {
        self.terminate()?;
        let end = self.wait()?;
        end.check();
        Ok(())
    }
}

impl End {
    #[track_caller]
    pub(crate) fn check(&self) {
        let statistics = &self.statistics;
        assert_eq!(self.code, Some(0), "{statistics:#}");
        assert_eq!(statistics["connections"]["now"], 0, "{statistics:#}");
        assert_eq!(statistics["direct_slots"]["in_use"], 0, "{statistics:#}");
        assert_eq!(statistics["send_buffers"]["in_use"], 0, "{statistics:#}");
        let received = &statistics["receive_buffers"]["in_use"];
        assert!(received.as_u64().unwrap_or(0) == 0, "{statistics:#}");
        assert_eq!(statistics["leaked_operations"], 0, "{statistics:#}");
    }
}

impl Drop for Ghost {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
