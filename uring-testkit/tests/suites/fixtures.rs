//! The fixtures do what they say, in the processes that they are made for.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    thread,
};

use uring_testkit::{
    Context, Facility, FdTable, Feature, RecordingBuffer, SmallDisk, Suite, TestResult,
    files::{self, TempDir},
    process,
    raw::RawRing,
    seccomp_mode,
};

fn a_test_starts_with_the_standard_streams(_: &Context) -> TestResult {
    let open: Vec<_> = FdTable::now()?.iter().map(|(fd, _)| fd).collect();
    assert_eq!(open, [0, 1, 2]);
    Ok(())
}

fn a_fork_reports_each_way_to_end(_: &Context) -> TestResult {
    process::fork_and(|| Ok(()))?.check()?;
    let failed = process::fork_and(|| Err("wrong".into()))?;
    assert_eq!(failed.status.code(), Some(1));
    assert!(failed.failure.unwrap().contains("wrong"));
    let panicked = process::fork_and(|| panic!("in the child"))?;
    assert_eq!(panicked.failure.as_deref(), Some("panicked: in the child"));
    let exited = process::fork_and(|| std::process::exit(7))?;
    assert!(exited.check().unwrap_err().to_string().contains('7'));
    let killed = process::fork_and(|| std::process::abort())?;
    assert!(killed.check().unwrap_err().to_string().contains("signal"));
    Ok(())
}

fn a_child_may_close_everything(_: &Context) -> TestResult {
    let child = process::fork_and(|| {
        // SAFETY: the child uses no descriptor afterwards.
        unsafe { process::close_range(0..=i32::MAX)? };
        Ok(())
    })?;
    child.check()?;
    // SAFETY: as above; the standard streams of the test stay as they are.
    unsafe { process::close_range(3..=i32::MAX)? };
    Ok(())
}

fn limits_are_restored(_: &Context) -> TestResult {
    let table = || FdTable::now();
    let refused = process::with_rlimit(libc::RLIMIT_NOFILE, 3, table)?;
    assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::EMFILE));
    table()?;
    let panicked = std::panic::catch_unwind(|| {
        process::with_rlimit(libc::RLIMIT_NOFILE, 3, || panic!("with a low limit"))
    });
    let payload = panicked.map(drop).unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"with a low limit"));
    table()?;
    Ok(())
}

fn a_limit_may_stay_low(_: &Context) -> TestResult {
    let limit = libc::rlimit {
        rlim_cur: 3,
        rlim_max: 1024,
    };
    // SAFETY: the structure is borrowed for the call.
    match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error().into()),
    }
}

fn a_filter_ends_with_its_thread(_: &Context) -> TestResult {
    for errno in [libc::EPERM, libc::ENOSYS] {
        for call in [libc::SYS_io_uring_setup, libc::SYS_io_uring_register] {
            let denied = [(libc::SYS_getppid, libc::EXDEV), (call, errno)];
            let (mode, refused) = process::with_denied(&denied, || {
                let ring = RawRing::new(1, 0).and_then(|mut ring| ring.register());
                (seccomp_mode(), ring)
            })?;
            assert_eq!(mode, Some(2));
            assert_eq!(refused.unwrap_err().raw_os_error(), Some(errno));
        }
    }
    assert_eq!(seccomp_mode(), Some(0));
    RawRing::new(1, 0)?.register()?;
    Ok(())
}

fn a_small_disk_gets_full(_: &Context) -> TestResult {
    let disk = SmallDisk::new(1 << 20)?;
    assert!(files::is_in_memory(disk.path())?);
    files::fill(disk.path())?;
    let full = fs::write(disk.path().join("one more"), [0; 4096]).unwrap_err();
    assert_eq!(full.raw_os_error(), Some(libc::ENOSPC));
    let elsewhere = disk.path().to_owned();
    let others = fs::read_dir(format!("/proc/{}/root{}", parent(), elsewhere.display()))?;
    assert_eq!(others.count(), 0, "the mount is seen by others");
    Ok(())
}

fn parent() -> u32 {
    std::os::unix::process::parent_id()
}

fn a_recording_sees_a_late_write(_: &Context) -> TestResult {
    let (mut buffer, recording) = RecordingBuffer::new(1 << 20)?;
    assert_eq!(buffer.as_mut_ptr().addr() % 4096, 0);
    buffer.fill(0xaa);
    let late = buffer.as_mut_ptr().addr();
    assert!(recording.dropped().is_none());
    thread::spawn(move || drop(buffer)).join().unwrap();
    assert!(
        recording
            .dropped()
            .unwrap()
            .contents
            .iter()
            .all(|byte| *byte == 0xaa)
    );
    assert_eq!(recording.changed_since_drop(), Some(0));
    let late = std::ptr::with_exposed_provenance_mut::<u8>(late);
    // SAFETY: the recording keeps the memory mapped.
    unsafe { late.add((1 << 20) - 1).write_volatile(0) };
    assert_eq!(recording.changed_since_drop(), Some(1));
    Ok(())
}

fn files_are_where_o_direct_works(_: &Context) -> TestResult {
    let dir = TempDir::new()?;
    let path = dir.random_file("data", 8192, 5)?;
    assert_eq!(fs::read(&path)?, files::random_bytes(8192, 5));
    let mut direct = files::open_direct(&path)?;
    let (mut buffer, _recording) = RecordingBuffer::new(8192)?;
    direct.read_exact(&mut buffer)?;
    assert_eq!(*buffer, *files::random_bytes(8192, 5));
    Ok(())
}

fn pipes_and_sockets_connect(_: &Context) -> TestResult {
    for (reader, writer) in [files::pipe()?, files::socketpair()?] {
        fs::File::from(writer).write_all(b"four")?;
        assert_eq!(files::bytes_waiting(&reader)?, 4);
        assert_eq!(io::read_to_string(fs::File::from(reader))?, "four");
    }
    Ok(())
}

pub(crate) fn suite() -> Suite {
    let mut suite = Suite::new("fixtures");
    suite.test(
        "starts_with_the_standard_streams",
        a_test_starts_with_the_standard_streams,
    );
    suite.test(
        "fork_reports_each_way_to_end",
        a_fork_reports_each_way_to_end,
    );
    suite.test("child_may_close_everything", a_child_may_close_everything);
    suite.test("limits_are_restored", limits_are_restored);
    suite.test("limit_may_stay_low", a_limit_may_stay_low);
    suite
        .test("filter_ends_with_its_thread", a_filter_ends_with_its_thread)
        .needs([Feature::RING_FDS])
        .no_refusal("the filter is looked at, not the ring");
    suite
        .test("small_disk_gets_full", a_small_disk_gets_full)
        .requires([Facility::PRIVILEGES]);
    suite.test("recording_sees_a_late_write", a_recording_sees_a_late_write);
    suite.test(
        "files_are_where_o_direct_works",
        files_are_where_o_direct_works,
    );
    suite.test("pipes_and_sockets_connect", pipes_and_sockets_connect);
    suite
}
