//! The first process of a virtual machine that exists to run suites.
//!
//! A machine boots with an initramfs of three things: this process as `/init`, the suites, and [`SETTINGS`], which
//! says what to do. The first process makes the machine usable (file systems, the loopback interface, a disk, modules),
//! runs the programs with the suites one after the other, and sends every record to a channel of its own, a disk or a second serial
//! port: the console stays the kernel's. It ends with a record that counts the others, and powers off.
//!
//! # Settings
//!
//! One a line, a word and its value:
//!
//! | word | value |
//! |---|---|
//! | `channel` | the device that records go to: a serial port, which costs an emulated machine microseconds a byte, or a zeroed block device, said like a disk, which they fill from its beginning |
//! | `disk` | a block device with an ext4 file system, mounted as `URING_TEST_DIR`: its path, or `nsid:1` for the NVMe namespace 1 |
//! | `nvme` | an NVMe namespace for [tests to overwrite](crate::fixtures::Nvme), said like a disk |
//! | `protected` | the same, one that [keeps protection information](crate::Facility::NVME_PROTECTED) |
//! | `module` | a kernel module to load: its path, then its parameters, separated by blanks |
//! | `environment` | `NAME=value`, for the suites |
//! | `limit` | seconds that one program may take |
//! | `suite` | a program to run: its path, then its arguments, separated by blanks |
//! | `shell` | a program to run on the console instead of the suites, with its arguments |
//! | `sysctl` | `NAME=value`: a setting of the kernel; what it does not take exactly makes the machine broken |
//! | `rlimit` | `NAME=value`: a limit of every process that a suite is; `memlock` in bytes, `nofile`, `nproc` |
//! | `deny` | a call of io_uring and the errno with which a seccomp filter answers it |
//! | `user` | the number of the user and group that suites run as, to whom the disk then belongs |
//!
//! For example, for one suite on Linux 6.1 and the tests of it whose name contains `slots`:
//!
//! ```text
//! channel nsid:3
//! disk nsid:1
//! limit 600
//! environment URING_EXPECT_KERNEL=6.1
//! environment URING_LANE=mainline
//! environment URING_TEST_TIMEOUT_FACTOR=20
//! suite /suites/slots slots
//! ```
//!
//! `URING_REPORT`, `URING_TEST_DIR`, `URING_TEST_NVME` and `URING_TEST_NVME_PROTECTED` are set by the first process, `PATH` is
//! `/bin`.
//!
//! # Records
//!
//! Beside the [records](crate::records) of the suites: `boot` with the kernel's release as soon as the channel is open; a `handle` for
//! each way to reach a ring and a `feature` for each row of the [feature table](crate::Feature::all), with what the probes
//! [saw](crate::Observation) on this kernel; `begin` and `exit` around each program, and `done` with the number of lines that came
//! before it and the kernel's taint, which is 0
//! unless it warned or worse. A machine that could not be made usable sends `broken` with the reason. Everything else is the reader's to judge: a channel without `done` is that
//! of a machine that died.

mod channel;
mod conditions;
mod device;
mod facts;
mod machine;
mod run;
mod settings;

use self::{channel::Channel, settings::Settings};
use crate::{fixtures, records::Record};

/// Where the settings are in the initramfs.
pub const SETTINGS: &str = "/settings";

/// Does what [`SETTINGS`] says and powers the machine off: the whole of an `/init`.
///
/// # Examples
///
/// ```no_run
/// uring_testkit::guest::main();
/// ```
pub fn main() -> ! {
    if let Err(reason) = work() {
        eprintln!("error: {reason}");
    }
    machine::power_off();
}

fn work() -> Result<(), String> {
    machine::mount_basics()?;
    let mut settings = Settings::read(SETTINGS)?;
    let channel = Channel::open(&device::find(&settings.channel)?)?;
    let release = machine::release()?;
    channel.send(&Record::Boot { release });
    facts::send(&channel);
    if let Err(reason) = prepare(&mut settings).and_then(|()| run::suites(&settings, &channel)) {
        channel.send(&Record::Broken { reason });
    }
    channel.finish(&machine::taint()?);
    Ok(())
}

fn prepare(settings: &mut Settings) -> Result<(), String> {
    fixtures::loopback_up().map_err(|error| format!("the loopback interface: {error}"))?;
    for module in &settings.modules {
        machine::load(module)?;
    }
    machine::mount_configuration()?;
    if let Some(disk) = &settings.disk {
        machine::mount_disk(&device::find(disk)?)?;
    }
    for (name, device) in [
        ("URING_TEST_NVME", &settings.nvme),
        ("URING_TEST_NVME_PROTECTED", &settings.protected),
    ] {
        if let Some(device) = device {
            let device = device::find(device)?.to_string_lossy().into_owned();
            settings.environment.push((name.to_owned(), device));
        }
    }
    settings.conditions.apply()
}
