//! The example `vanish`: the copies, the errors, and what can be seen of it meanwhile.

use crate::common;

mod errors;
mod unseen;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::example::{assert_code, example, text};
use uring_testkit::files::{self, TempDir, random_bytes};
use uring_testkit::{Context, Feature, Suite, TestResult};

/// The example with its two files.
fn vanish(source: &Path, target: &Path) -> TestResult<Command> {
    let mut command = example("vanish")?;
    command.args([source, target]);
    Ok(command)
}

/// The names in a directory.
fn listing(dir: &Path) -> io::Result<Vec<OsString>> {
    let mut names = fs::read_dir(dir)?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

fn copies_are_identical(context: &Context) -> TestResult {
    const MIB: usize = 1 << 20;
    let large = usize::try_from(context.rounds(64))? * MIB;
    let dir = TempDir::new()?;
    let target = dir.path().join("target");
    for size in [0, 1, 4095, 4097, MIB + 3, large] {
        let source = dir.path().join("source");
        let bytes = random_bytes(size, 1);
        fs::write(&source, &bytes)?;
        assert_code(&vanish(&source, &target)?.output()?, 0);
        assert!(fs::read(&target)? == bytes, "{size} bytes");
        assert_eq!(listing(dir.path())?, ["source", "target"]);
    }
    Ok(())
}

fn any_number_of_threads_and_blocks_will_do(_: &Context) -> TestResult {
    let dir = TempDir::new()?;
    let source = dir.path().join("source");
    let target = dir.path().join("target");
    let bytes = random_bytes(100_001, 2);
    fs::write(&source, &bytes)?;
    for options in [
        ["--threads=1", "--depth=1", "--block=1"],
        ["--threads=3", "--depth=64", "--block=3"],
        ["--threads=64", "--depth=2", "--block=16384"],
        ["--threads=7", "--depth=5", "--no-verify"],
    ] {
        let mut command = vanish(&source, &target)?;
        assert_code(&command.args(options).output()?, 0);
        assert!(fs::read(&target)? == bytes, "{options:?}");
        fs::remove_file(&target)?;
    }
    Ok(())
}

fn permissions_are_kept_and_a_target_is_replaced(_: &Context) -> TestResult {
    let dir = TempDir::new()?;
    let source = dir.path().join("source");
    let old = dir.path().join("old");
    let link = dir.path().join("link");
    fs::write(&source, "new contents")?;
    fs::set_permissions(&source, fs::Permissions::from_mode(0o4753))?;
    fs::write(&old, "a longer text that was there before")?;
    symlink(&old, &link)?;
    assert_code(&vanish(&source, &link)?.output()?, 0);
    assert_eq!(fs::read(&old)?, b"new contents");
    assert_eq!(fs::metadata(&old)?.permissions().mode() & 0o7777, 0o753);
    assert!(fs::symlink_metadata(&link)?.is_symlink());
    Ok(())
}

/// What becomes of a descriptor that the process has inherited, as the printed tables tell: half-way, after `close_range`, and after.
fn fate_of_a_descriptor() -> TestResult<(bool, [bool; 3])> {
    let dir = TempDir::new()?;
    let source = dir.random_file("source", 1_000_000, 3)?;
    let (reader, _writer) = files::pipe()?;
    let name = fs::read_link(format!("/proc/self/fd/{}", reader.as_raw_fd()))?;
    inherited(&reader)?;
    let output = vanish(&source, &dir.path().join("target"))?.output()?;
    assert_code(&output, 0);
    let stdout = text(&output.stdout);
    let shows = |from: &str, to: &str| -> TestResult<bool> {
        let table = stdout
            .split_once(from)
            .ok_or_else(|| format!("there is no {from:?} in {stdout}"))?
            .1;
        let table = table.split_once(to).map_or(table, |(table, _)| table);
        Ok(table.contains(&*name.to_string_lossy()))
    };
    let called = stdout.contains("close_range(3, ~0) called");
    Ok((
        called,
        [
            shows("/proc/self/fd before:", "ring ")?,
            shows("/proc/self/fd half-way:", "close_range")?,
            shows("/proc/self/fd after:", "\0")?,
        ],
    ))
}

/// Children get it too.
fn inherited(fd: &OwnedFd) -> io::Result<()> {
    // SAFETY: changes a flag of a descriptor that is borrowed.
    match unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, 0) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn every_descriptor_is_closed_on_the_way(_: &Context) -> TestResult {
    assert_eq!(fate_of_a_descriptor()?, (true, [true, true, false]));
    Ok(())
}

fn rings_with_descriptors_keep_them(_: &Context) -> TestResult {
    assert_eq!(fate_of_a_descriptor()?, (false, [true; 3]));
    Ok(())
}

pub(crate) fn suite() -> Suite {
    let mut suite = Suite::new("vanish");
    suite.takes_turns();
    suite.completed_by(common::completed);
    suite
        .test("copies_are_identical", copies_are_identical)
        .timeout(Duration::from_secs(120));
    suite.test(
        "any_number_of_threads_and_blocks_will_do",
        any_number_of_threads_and_blocks_will_do,
    );
    suite.test(
        "permissions_are_kept_and_a_target_is_replaced",
        permissions_are_kept_and_a_target_is_replaced,
    );
    suite
        .test(
            "every_descriptor_is_closed_on_the_way",
            every_descriptor_is_closed_on_the_way,
        )
        .needs([Feature::REG_REG_RING])
        .refused_by(rings_with_descriptors_keep_them);
    unseen::tests(&mut suite);
    errors::tests(&mut suite);
    suite
}
