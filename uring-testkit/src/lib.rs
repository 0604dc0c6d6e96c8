//! Kernel-gated test fixtures for io_uring.
//!
//! A suite is a test binary of its own (`harness = false`), for any io_uring crate:
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
//!   streams. It may fork, lower limits, close everything or hang.
//! - After each test descriptors, ring slots, ring memory and child processes are as before, or exactly as
//!   [announced](Test::leaks).
//! - The plan is known before the run ([`Suite::run`] with `--plan`), and every planned test leaves one record in the
//!   report, whose last line says that the run came to its end.
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
//! | `URING_HANDLES` | handles such as `closed,born`: run the tests over these alone |
//! | `URING_TEST_TIMEOUT_FACTOR` | a factor for every time limit, for slow machines |
//! | `URING_TEST_ROUNDS` | a factor for what tests repeat: `20` for longer runs, `0.1` for slow machines |
//! | `URING_TEST_DIR` | where [`TempDir`](files::TempDir) makes its directories |

mod context;
mod facility;
mod failure;
mod fd_table;
mod feature;
pub mod files;
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
mod mount;
mod notes;
mod preflight;
mod probe;
pub mod process;
pub mod raw;
mod record;
mod report;
mod run;
mod slots;
mod suite;
mod sys;
mod table;
mod test;

pub use context::Context;
pub use facility::Facility;
pub use failure::{Failure, TestResult};
pub use fd_table::{FdDiff, FdTable};
pub use feature::{Feature, Observation};
pub use forbidden::{Cause, Forbidden, io_uring_disabled, seccomp_mode};
pub use gate::{Decision, admit, decide};
pub use handle::HandleKind;
pub use kernel::{KernelVersion, Lane, LaneKind, ParseVersionError};
pub use leak::Leaks;
pub use mount::SmallDisk;
pub use preflight::preflight;
pub use record::{Dropped, Recording, RecordingBuffer};
pub use slots::{SLOTS, Slots};
pub use suite::Suite;
pub use test::Test;
