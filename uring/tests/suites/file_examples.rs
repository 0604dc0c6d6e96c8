//! The examples `cat`, `cp` and `walk` on real files.

use crate::common;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Output, Stdio};

use common::example::{assert_code, example, text};
use uring_testkit::files::{TempDir, random_bytes};
use uring_testkit::{Context, Suite, TestResult};

/// Runs `cat` with that standard input.
fn cat(files: &[&Path], input: &[u8]) -> TestResult<Output> {
    let mut child = example("cat")?
        .args(files)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // What is less than a pipe holds needs no reader.
    child.stdin.take().ok_or("it has one")?.write_all(input)?;
    Ok(child.wait_with_output()?)
}

fn cat_prints_files(_: &Context) -> TestResult {
    let dir = TempDir::new()?;
    let large = dir.random_file("large", 200_001, 1)?;
    let (small, empty) = (dir.path().join("small"), dir.path().join("empty"));
    fs::write(&small, "small\n")?;
    fs::write(&empty, "")?;
    let input = Path::new("-");
    let output = cat(&[&small, &large, &empty, input, &small], b"typed\n")?;
    assert_code(&output, 0);
    let large = fs::read(large)?;
    assert!(output.stdout == [b"small\n", &large[..], b"typed\nsmall\n"].concat());
    let output = cat(&[], b"nothing else")?;
    assert_code(&output, 0);
    assert_eq!(text(&output.stdout), "nothing else");

    // What cannot be read is told of, and the rest is printed.
    let missing = dir.path().join("missing");
    let output = cat(&[&missing, dir.path(), &small], b"")?;
    assert_code(&output, 1);
    assert_eq!(text(&output.stdout), "small\n");
    let told = text(&output.stderr);
    let told: Vec<_> = told.lines().collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("missing: No such file"), "{told:?}");
    assert!(told[1].contains("Is a directory"), "{told:?}");

    let full = fs::File::options().write(true).open("/dev/full")?;
    let output = example("cat")?.arg(&small).stdout(full).output()?;
    assert_code(&output, 1);
    assert!(text(&output.stderr).contains("No space left"));
    Ok(())
}

fn cp_copies_files(_: &Context) -> TestResult {
    const BLOCK: usize = 128 << 10;
    let dir = TempDir::new()?;
    let (source, target) = (dir.path().join("source"), dir.path().join("target"));
    for size in [3 << 20, 0, 1, BLOCK, 9 * BLOCK + 1] {
        let bytes = random_bytes(size, 2);
        fs::write(&source, &bytes)?;
        let output = example("cp")?.args([&source, &target]).output()?;
        assert_code(&output, 0);
        assert_eq!(text(&output.stdout), format!("{size} bytes\n"));
        assert!(fs::read(&target)? == bytes, "{size} bytes");
    }
    fs::set_permissions(&source, fs::Permissions::from_mode(0o700))?;
    fs::remove_file(&target)?;
    assert_code(&example("cp")?.args([&source, &target]).output()?, 0);
    assert_eq!(fs::metadata(&target)?.permissions().mode() & 0o777, 0o700);

    for (source, target, told) in [
        (Path::new("/no/such"), &*target, "No such file"),
        (dir.path(), &*target, "Is a directory"),
        (&source, Path::new("/dev/full"), "No space left"),
        (&source, dir.path(), "Is a directory"),
    ] {
        let output = example("cp")?.args([source, target]).output()?;
        assert_code(&output, 1);
        let stderr = text(&output.stderr);
        assert!(stderr.contains(told), "{told}: {stderr}");
    }
    assert_code(&example("cp")?.arg(&source).output()?, 2);
    Ok(())
}

fn walk_tells_of_every_file(_: &Context) -> TestResult {
    let dir = TempDir::new()?;
    let root = dir.path();
    fs::create_dir_all(root.join("sub/deeper"))?;
    fs::write(root.join("a script"), "#!/bin/sh\n")?;
    fs::write(root.join("empty"), "")?;
    fs::write(root.join("sub/deeper/data"), [0xff; 300])?;
    fs::copy("/proc/self/exe", root.join("sub/program"))?;
    symlink("empty", root.join("sub/link"))?;
    let program = fs::metadata(root.join("sub/program"))?.len();
    let mut expected = vec![
        (10, "script", "a script".to_owned()),
        (0, "empty", "empty".to_owned()),
    ];
    // More than are looked at at a time.
    for file in 10..60 {
        let name = format!("file {file}");
        fs::write(root.join(&name), "text")?;
        expected.push((4, "text", name));
    }
    expected.push((300, "data", "sub/deeper/data".to_owned()));
    expected.push((program, "program", "sub/program".to_owned()));
    let output = example("walk")?.arg(root).output()?;
    assert_code(&output, 0);
    let lines = expected.iter().map(|(size, kind, name)| {
        let path = root.join(name);
        format!("{size:>12}  {kind:<8} {}\n", path.display())
    });
    let total = 10 + 50 * 4 + 300 + program;
    let lines = lines.collect::<String>() + &format!("{total:>12}  in {} files\n", expected.len());
    assert_eq!(text(&output.stdout), lines);
    assert_eq!(text(&output.stderr), "");

    let output = example("walk")?.arg(root.join("missing")).output()?;
    assert_code(&output, 1);
    assert!(text(&output.stderr).contains("No such file"));
    Ok(())
}

pub(crate) fn suite() -> Suite {
    let mut suite = Suite::new("file_examples");
    suite.takes_turns();
    suite.completed_by(common::completed);
    suite.test("cat_prints_files", cat_prints_files);
    suite.test("cp_copies_files", cp_copies_files);
    suite.test("walk_tells_of_every_file", walk_tells_of_every_file);
    suite
}
