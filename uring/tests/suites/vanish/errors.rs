//! Each way to fail: one line that says what, which file, why and what to do; nothing half-written; what was there stays.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use uring_testkit::files::TempDir;
use uring_testkit::process::{install_filter, with_denied};
use uring_testkit::{Context, Facility, SmallDisk, Suite, TestResult};

use super::common::example::{assert_code, text};
use super::{listing, vanish};

/// A directory with a source and a target that exists.
struct Files {
    dir: TempDir,
    source: PathBuf,
    target: PathBuf,
}

impl Files {
    fn new() -> TestResult<Files> {
        let dir = TempDir::new()?;
        let source = dir.random_file("source", 100_000, 6)?;
        let target = dir.path().join("target");
        fs::write(&target, "what was there before")?;
        Ok(Files {
            dir,
            source,
            target,
        })
    }

    /// Runs the command, which must fail with one line that has all of `parts` in it and leave the target alone.
    #[track_caller]
    fn assert_fails(&self, command: &mut Command, parts: &[&str]) -> TestResult {
        let before = listing(self.dir.path())?;
        let output = command.output()?;
        assert_code(&output, 1);
        let stderr = text(&output.stderr);
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.starts_with("vanish: "), "{stderr}");
        for part in parts {
            assert!(stderr.contains(part), "no {part:?} in {stderr}");
        }
        assert_eq!(listing(self.dir.path())?, before);
        assert_eq!(fs::read(&self.target)?, b"what was there before");
        Ok(())
    }

    fn assert_copy_fails(&self, source: &Path, target: &Path, parts: &[&str]) -> TestResult {
        self.assert_fails(&mut vanish(source, target)?, parts)
    }
}

fn a_source_that_is_no_file_is_refused(_: &Context) -> TestResult {
    let files = Files::new()?;
    let missing = files.dir.path().join("missing");
    for (source, parts) in [
        (&*missing, ["missing: No such file", "; check the path"]),
        (files.dir.path(), ["is a directory", "; name a file"]),
        (
            Path::new("/dev/zero"),
            ["/dev/zero: it is not a regular file", "; name a file"],
        ),
        (
            &*files.source.join("x"),
            ["source/x: Not a directory", "; check the path"],
        ),
    ] {
        files.assert_copy_fails(source, &files.target, &parts)?;
    }
    Ok(())
}

fn a_source_with_another_length_than_its_size_is_refused(_: &Context) -> TestResult {
    let files = Files::new()?;
    let parts = ["size is not its own", "; copy it when nobody writes to it"];
    // Its size is 0.
    files.assert_copy_fails(Path::new("/proc/version"), &files.target, &parts)?;
    // Its size is that of a page.
    let short = Path::new("/sys/kernel/uevent_seqnum");
    files.assert_copy_fails(short, &files.target, &parts)
}

fn a_target_that_cannot_be_replaced_is_refused(_: &Context) -> TestResult {
    let files = Files::new()?;
    let dir = files.dir.path();
    for (target, parts) in [
        (dir.to_owned(), ["it is a directory", "; name a file that"]),
        (
            dir.join("no/target"),
            ["/no: No such file", "; check the path"],
        ),
        (
            dir.join("new/"),
            ["new/: Not a directory", "; check the path"],
        ),
        (
            dir.join("x".repeat(300)),
            ["File name too long", "; choose a shorter name"],
        ),
        (
            "/dev/null".into(),
            ["/dev/null: it is not a regular file", "; name a file that"],
        ),
    ] {
        files.assert_copy_fails(&files.source, &target, &parts)?;
    }
    Ok(())
}

fn a_file_is_not_copied_onto_itself(_: &Context) -> TestResult {
    let files = Files::new()?;
    let name = |name: &str| files.dir.path().join(name);
    fs::hard_link(&files.source, name("hard"))?;
    std::os::unix::fs::symlink(&files.source, name("soft"))?;
    let parts = ["it is the source", "; choose another target"];
    for target in ["source", "./source", "hard", "soft"].map(name) {
        files.assert_copy_fails(&files.source, &target, &parts)?;
    }
    Ok(())
}

fn a_directory_without_permission_is_named(_: &Context) -> TestResult {
    let files = Files::new()?;
    let dir = files.dir.path();
    fs::set_permissions(dir, fs::Permissions::from_mode(0o555))?;
    let mut command = vanish(&files.source, &files.target)?;
    // SAFETY: two system calls, which a forked child may make.
    unsafe { command.pre_exec(obey_permissions) };
    let place = format!("cannot make a file in {}: Permission denied", dir.display());
    let explained = files.assert_fails(&mut command, &[&place, "; ask for permission"]);
    // So that whoever obeys permissions can remove it.
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
    explained
}

/// Gives up the right of the privileged to write where nobody may.
fn obey_permissions() -> io::Result<()> {
    const CAP_DAC_OVERRIDE: libc::c_ulong = 1;
    // SAFETY: neither call touches memory.
    let privileged = unsafe { libc::geteuid() } == 0;
    // SAFETY: as above.
    if privileged && unsafe { libc::prctl(libc::PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn a_full_disk_is_left_as_it_was(_: &Context) -> TestResult {
    let dir = TempDir::new()?;
    let source = dir.random_file("source", 8 << 20, 7)?;
    let disk = SmallDisk::new(4 << 20)?;
    let target = disk.path().join("target");
    fs::write(&target, "what was there before")?;
    let output = vanish(&source, &target)?.output()?;
    assert_code(&output, 1);
    let stderr = text(&output.stderr);
    let line = format!(
        "vanish: {} was not copied: cannot write {}: No space left on device (os error 28); make room there, or choose a target on \
         another file system\n",
        source.display(),
        target.display()
    );
    assert_eq!(stderr, line);
    assert_eq!(listing(disk.path())?, ["target"]);
    assert_eq!(fs::read(&target)?, b"what was there before");
    Ok(())
}

fn io_uring_that_is_switched_off_is_explained(_: &Context) -> TestResult {
    let files = Files::new()?;
    let refused = |denied: &[(libc::c_long, i32)]| -> TestResult {
        with_denied(denied, || {
            let mut command = vanish(&files.source, &files.target)?;
            files.assert_fails(
                &mut command,
                &[
                    "cannot use io_uring",
                    "a seccomp filter is active",
                    "; allow io_uring_setup",
                ],
            )
        })?
    };
    refused(&[(libc::SYS_io_uring_setup, libc::EPERM)])?;
    refused(&[(libc::SYS_io_uring_setup, libc::ENOSYS)])
}

fn threads_that_cannot_be_made_are_reported(_: &Context) -> TestResult {
    let files = Files::new()?;
    let no_threads = [
        (libc::SYS_clone3, libc::EAGAIN),
        (libc::SYS_clone, libc::EAGAIN),
    ];
    let mut command = vanish(&files.source, &files.target)?;
    // SAFETY: of all threads only this one is in the child, and no lock is held that it needs.
    unsafe { command.pre_exec(move || install_filter(&no_threads)) };
    files.assert_fails(
        &mut command,
        &[
            "cannot start a thread: Resource temporarily",
            "; ask for fewer with --threads",
        ],
    )
}

fn a_signal_removes_the_incomplete_copy(_: &Context) -> TestResult {
    let files = Files::new()?;
    fs::File::create(&files.source)?.set_len(64 << 20)?;
    let before = listing(files.dir.path())?;
    let child = vanish(&files.source, &files.target)?
        .args(["--threads=1", "--depth=1", "--block=1"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let patience = Instant::now() + Duration::from_secs(20);
    while listing(files.dir.path())? == before {
        assert!(Instant::now() < patience, "the copy does not begin");
    }
    let process = i32::try_from(child.id())?;
    // SAFETY: our own child, which has not been waited for.
    unsafe { libc::kill(process, libc::SIGTERM) };
    let output = child.wait_with_output()?;
    assert_code(&output, 1);
    let stderr = text(&output.stderr);
    assert!(stderr.contains("stopped by a signal"), "{stderr}");
    assert_eq!(listing(files.dir.path())?, before);
    assert_eq!(fs::read(&files.target)?, b"what was there before");
    Ok(())
}

pub(super) fn tests(suite: &mut Suite) {
    suite.test(
        "a_source_that_is_no_file_is_refused",
        a_source_that_is_no_file_is_refused,
    );
    suite.test(
        "a_source_with_another_length_than_its_size_is_refused",
        a_source_with_another_length_than_its_size_is_refused,
    );
    suite.test(
        "a_target_that_cannot_be_replaced_is_refused",
        a_target_that_cannot_be_replaced_is_refused,
    );
    suite.test(
        "a_file_is_not_copied_onto_itself",
        a_file_is_not_copied_onto_itself,
    );
    suite.test(
        "a_directory_without_permission_is_named",
        a_directory_without_permission_is_named,
    );
    suite
        .test(
            "a_full_disk_is_left_as_it_was",
            a_full_disk_is_left_as_it_was,
        )
        .requires([Facility::PRIVILEGES]);
    suite.test(
        "io_uring_that_is_switched_off_is_explained",
        io_uring_that_is_switched_off_is_explained,
    );
    suite.test(
        "threads_that_cannot_be_made_are_reported",
        threads_that_cannot_be_made_are_reported,
    );
    suite.test(
        "a_signal_removes_the_incomplete_copy",
        a_signal_removes_the_incomplete_copy,
    );
}
