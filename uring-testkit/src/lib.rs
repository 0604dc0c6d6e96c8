//! Test suites that know what each kernel should have, for any crate that uses io_uring, and run on real kernels.
//!
//! A suite is a test binary, or [one of several](run_suites) in it: the package depends on this crate, and says that the binary
//! has its own `main`.
//!
//! ```toml
//! [dev-dependencies]
//! uring-testkit = { path = "../uring/uring-testkit" }
//!
//! [[test]]
//! name = "slots"
//! harness = false
//! ```
//!
//! In `tests/slots.rs`, one test, what it needs of the kernel, and what an older kernel does instead:
//!
//! ```no_run
//! use uring_testkit::{Context, Feature, HandleKind, Suite, TestResult, raw::RawRing};
//!
//! fn seventeenth_registration_is_refused(_: &Context) -> TestResult {
//!     let mut rings = Vec::new();
//!     for _ in 0..16 {
//!         let mut ring = RawRing::new(1, 0)?;
//!         ring.register()?;
//!         rings.push(ring);
//!     }
//!     let refusal = RawRing::new(1, 0)?.register().unwrap_err();
//!     assert_eq!(refusal.kind(), std::io::ErrorKind::ResourceBusy);
//!     Ok(())
//! }
//!
//! fn no_slots_before_5_18(_: &Context) -> TestResult {
//!     let refusal = RawRing::new(1, 0)?.register().unwrap_err();
//!     assert_eq!(refusal.kind(), std::io::ErrorKind::InvalidInput);
//!     Ok(())
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     let mut suite = Suite::new("slots");
//!     suite
//!         .test("seventeenth", seventeenth_registration_is_refused)
//!         .needs([Feature::RING_FDS])
//!         .refused_by(no_slots_before_5_18);
//!     suite.run()
//! }
//! ```
//!
//! `cargo test` runs it on the kernel at hand. The runner of this crate's workspace also boots real kernels for it, each in
//! an emulated machine, and holds each run against what was planned for that kernel; `--target-dir` and `--package` mean
//! what they mean to cargo:
//!
//! ```sh
//! cd uring                                                        # the workspace of this crate
//! cargo xtask kernels fetch 5.10 6.1 7.3                          # once
//! cargo xtask test --manifest-path ../mine/Cargo.toml             # every test of that package or workspace, here
//! cargo xtask test --manifest-path ../mine/Cargo.toml --kernels 5.10,6.1,7.3
//! ```
//!
//! ```text
//! │ kernel                      handle   passed   refused   skipped   failed   seconds     │
//! ╞════════════════════════════════════════════════════════════════════════════════════════╡
//! │ 5.10.0-32-cloud-amd64       -                       1                          4.1     │
//! │ 6.1.0-50-cloud-amd64        -             1                                    4.0     │
//! ```
//!
//! `consumers/own-suite` in that workspace is such a package as a whole: tests [over every handle](Test::on), gates with
//! [rows of the table](Feature::opcode) and [a row of its own](Feature::new). A suite that is for hosts only, because it
//! starts machines or takes the network, is named in its package's manifest, and no machine gets it:
//!
//! ```toml
//! [package.metadata.xtask]
//! host-only = ["slow"]
//! ```
//!
//! # What a suite promises
//!
//! - A gate compares what the kernel's version promises with what a probe sees, and both directions count: a feature
//!   that should be there and is not fails the test, as does one that a mainline kernel should not have, and a probe
//!   that cannot tell. Probes call the kernel through `uring-sys` and never the code under test.
//! - A permission error is never a reason to skip: a suite that cannot use io_uring at all fails with the cause. What
//!   code under test does there is shown by suites of their own, [which run nowhere else](Suite::where_forbidden).
//! - What a test requires of the machine is a [facility](Facility) with a name. Where the lane declares what its machine
//!   has, a facility that is declared and absent fails the test, and so does one that is there and not declared.
//! - Each test runs in a process of its own, in a thread that has never used io_uring, with nothing open but the standard
//!   streams. It may fork, lower limits, close everything or hang. Tests that do nothing of the kind may
//!   [share processes](Suite::share_processes), one after the other, each in a thread of its own.
//! - After each test descriptors, ring slots, ring memory and child processes are as before, or exactly as
//!   [announced](Test::leaks).
//! - The plan is known before the run ([`Suite::run`] with `--plan`), and every planned test leaves one record in the
//!   report, whose last line says that the run came to its end.
//!
//! # For other runners
//!
//! What this crate's own runner does can be done by any other. It builds the suites without libraries
//! (`-C target-feature=+crt-static`), asks each for its plan (`--plan`, with the lane of the kernel to come in the
//! environment), and boots a machine whose `/init` is [`guest::main`] with the [settings](guest) that name the suites. What
//! comes back are [`records`]; that module says when they can be believed. [`decide`] is the gate itself.
//!
//! # Environment
//!
//! | variable | says |
//! |---|---|
//! | `URING_EXPECT_KERNEL` | the version that decides what is expected, such as `6.1`; default: the running kernel's |
//! | `URING_LANE` | `mainline`, `distribution` (the default of a declared kernel) or `host` |
//! | `URING_BACKPORTS` | features that a distribution's kernel has before their version: what the plan of another kernel goes by |
//! | `URING_FACILITIES` | the [facilities](Facility) of the machine, such as `privileges,loop`, perhaps none: it must have these and no others that a test requires |
//! | `URING_FORBIDDEN` | that io_uring cannot be used here, and why: [the call, its errno, the cause](Forbidden) |
//! | `URING_REPORT` | the file to which records are appended, as JSON lines |
//! | `URING_PLAN` | like `--plan` |
//! | `URING_HANDLES` | handles such as `closed,born`: run the tests over these alone; or `turn:N`: run each test over one of its handles, which are all had after as many turns |
//! | `URING_TEST_TIMEOUT_FACTOR` | a factor for every time limit, for slow machines |
//! | `URING_TEST_ROUNDS` | a factor for what tests repeat: `20` for longer runs, `0.1` for slow machines |
//! | `URING_TEST_NVME` | a whole NVMe namespace that [tests may overwrite](fixtures::Nvme), such as `/dev/nvme0n2` |
//! | `URING_TEST_NVME_PROTECTED` | a whole NVMe namespace that tests may overwrite and that [keeps protection information](Facility::NVME_PROTECTED) |
//! | `URING_TEST_DIR` | where [`TempDir`](files::TempDir) makes its directories |

mod completed;
mod context;
mod devices;
mod facility;
mod failure;
mod fd_table;
mod feature;
mod fields;
pub mod files;
pub mod fixtures;
mod forbidden;
mod fork_server;
mod gate;
pub mod guest;
mod handle;
mod isolate;
mod json;
mod kernel;
mod leak;
mod mapping;
mod messages;
mod mount;
mod notes;
mod preflight;
mod probe;
pub mod process;
mod process_state;
pub mod raw;
mod reach;
mod record;
pub mod records;
mod report;
mod run;
mod slots;
mod suite;
mod suites;
mod sys;
mod table;
mod test;

pub use completed::Completed;
pub use context::Context;
pub use facility::Facility;
pub use failure::{Failure, TestResult};
pub use fd_table::{FdDiff, FdTable};
pub use feature::{Feature, FeatureKind, Observation};
pub use forbidden::{Cause, Forbidden, io_uring_disabled, seccomp_mode};
pub use gate::{Decision, admit, contradiction, decide};
pub use handle::HandleKind;
pub use kernel::{KernelVersion, Lane, LaneKind, ParseVersionError};
pub use leak::Leaks;
pub use mount::SmallDisk;
pub use preflight::preflight;
pub use record::{Dropped, Recording, RecordingBuffer};
pub use slots::{SLOTS, Slots};
pub use suite::Suite;
pub use suites::run_suites;
pub use test::Test;
