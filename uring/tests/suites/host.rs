//! What a host does behind the library's back.

use crate::common;

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd as _, RawFd};

use common::{pending, raw};
use uring::op::{Nop, Read};
use uring::{Any, Builder, HandleKind as Reached, Hint, PerThread, RawTarget, Ring};
use uring_testkit::files::TempDir;
use uring_testkit::process::{close_range, fork_and, with_rlimit};
use uring_testkit::raw::{Entry, RawRing};
use uring_testkit::{
    Context, Facility, FdTable, Feature, HandleKind, Recording, Slots, Suite, TestResult, files,
};

fn the_handle_is_refused(context: &Context) -> TestResult {
    let error = common::ring(context, 8).expect_err("the kernel lacks what the handle needs");
    assert!(error.is_unsupported(), "{error}");
    Ok(())
}

/// Whether calls on a ring with that handle go by its index alone.
fn does_without_descriptor(context: &Context) -> bool {
    match context.handle() {
        HandleKind::Fd => false,
        HandleKind::Registered => context.has(Feature::REG_REG_RING),
        HandleKind::Closed | HandleKind::Born => true,
    }
}

/// The only ring in the descriptor table.
fn number_of_the_ring() -> TestResult<RawFd> {
    let rings: Vec<_> = FdTable::now()?.rings().collect();
    match rings[..] {
        [ring] => Ok(ring),
        _ => Err(format!("{rings:?} are rings").into()),
    }
}

fn same_file(one: impl AsFd, other: RawFd) -> bool {
    let inode = |fd| {
        let mut stat = std::mem::MaybeUninit::<libc::stat>::zeroed();
        // SAFETY: room for the answer, which is all zeroes where the call fails.
        unsafe {
            libc::fstat(fd, stat.as_mut_ptr());
            let stat = stat.assume_init();
            (stat.st_dev, stat.st_ino)
        }
    };
    inode(one.as_fd().as_raw_fd()) == inode(other)
}

fn works(ring: &mut RawRing) -> TestResult {
    let nop = Entry {
        user_data: 5,
        ..Entry::default()
    };
    // SAFETY: a no-op uses no memory.
    let done = unsafe { ring.call(nop) }?;
    assert_eq!((done.user_data, done.res), (5, 0));
    assert_eq!(ring.take(), None);
    Ok(())
}

fn h23_everything_closed_in_the_middle(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let (reader, writer) = files::pipe()?;
    let recording = pending::submit_unowned(&mut ring, &reader)?;
    std::mem::forget((reader, writer));
    // SAFETY: the pipe's ends were forgotten; the ring has to cope with it.
    unsafe { close_range(3..=RawFd::MAX) }?;

    let innocent = File::open("/proc/version")?;
    assert_eq!(innocent.as_raw_fd(), 3, "the lowest number is free again");
    if does_without_descriptor(context) {
        ring.submit_and_wait(1)?;
        ring.call(Nop::new())??;
        assert!(ring.probe()?.supports(uring_sys::IORING_OP_NOP));
    } else if context.handle() == HandleKind::Fd {
        let error = ring.submit_and_wait(2).expect_err("it was closed");
        assert!(error.is_ring_lost(), "{error}");
        let error = ring.call(Nop::new()).expect_err("it was closed");
        assert!(error.is_ring_lost(), "{error}");
        assert!(ring.probe().expect_err("it was closed").is_ring_lost());
    }
    drop(ring);
    // The last writer is closed, so the read has come to its end and nothing has to be leaked.
    assert_eq!(uring::leaked_operations(), 0);
    assert_eq!(recording.changed_since_drop(), Some(0));
    assert!(same_file(&innocent, 3));
    assert_eq!(Slots::of_this_thread()?.taken(), 0);
    Ok(())
}

/// A ring whose descriptor is gone and that cannot cancel must neither hang at its end nor free what the kernel may write.
fn h23_closed_with_a_read_that_stays(_: &Context) -> TestResult {
    let mut ring = Ring::new(8)?;
    let (reader, writer) = files::pipe()?;
    let recording = pending::submit_unowned(&mut ring, &reader)?;
    raw::close_behind(ring.as_fd().as_raw_fd())?;
    let error = ring.submit_and_wait(1).expect_err("it was closed");
    assert_eq!(error.hint(), Some(Hint::DescriptorClosed));
    drop(ring);
    assert_eq!(uring::leaked_operations(), 1);
    assert!(recording.dropped().is_none());
    drop(writer);
    Ok(())
}

fn h23_closed_ring_gives_its_tokens_back(_: &Context) -> TestResult {
    let mut ring = Ring::new(8)?;
    let pending = pending::submit(&mut ring)?;
    raw::close_behind(ring.as_fd().as_raw_fd())?;
    let refused = ring.wait(pending.token).expect_err("it was closed");
    assert!(refused.error().is_ring_lost(), "{refused}");
    let token = ring
        .take(refused.into_inner())
        .expect_err("nobody has written");
    drop(pending.writer);
    // The mapping keeps the ring alive, so the end of the pipe still shows.
    let mut token = Some(token);
    let done = loop {
        match ring.take(token.take().expect("it is given back each time")) {
            Ok(done) => break done,
            Err(again) => token = Some(again),
        }
        std::thread::yield_now();
    };
    assert_eq!(done.result?, 0);
    Ok(())
}

/// Puts a file over the ring's number and drops the ring, in flight or not.
fn h05_a_reused_number_is_not_closed(context: &Context) -> TestResult {
    for in_flight in [false, true] {
        let mut ring: Ring<Any> = common::ring(context, 8)?;
        let number = number_of_the_ring()?;
        let (reader, writer) = files::pipe()?;
        let mut recording: Option<Recording> = None;
        if in_flight {
            recording = Some(pending::submit_unowned(&mut ring, &reader)?);
        }
        let innocent = File::open("/proc/version")?;
        raw::put_over(number, &innocent)?;

        let pushed = ring.push(Nop::new())?;
        if context.handle() == HandleKind::Fd {
            let error = ring.submit().expect_err("it was replaced");
            assert_eq!(error.hint(), Some(Hint::DescriptorReplaced), "{error}");
            let refused = ring.wait(pushed).expect_err("it was replaced");
            assert!(refused.error().is_ring_lost(), "{refused}");
        } else {
            ring.wait(pushed)??;
        }
        drop(ring);
        assert!(same_file(&innocent, number), "the innocent file is closed");
        if let (true, HandleKind::Fd) = (in_flight, context.handle()) {
            assert_eq!(uring::leaked_operations(), 1);
            assert!(recording.is_some_and(|recording| recording.dropped().is_none()));
        } else {
            assert_eq!(uring::leaked_operations(), 0);
        }
        raw::close_behind(number)?;
        drop((reader, writer));
    }
    Ok(())
}

/// Whether the kernel tells one ring's file from another's (5.16).
fn rings_have_files_of_their_own() -> TestResult<bool> {
    let (one, other) = (RawRing::new(1, 0)?, RawRing::new(1, 0)?);
    let (one, other) = (
        one.fd().expect("it has one"),
        other.fd().expect("so has it"),
    );
    Ok(!same_file(one, other.as_raw_fd()))
}

fn h05_another_ring_under_the_number_is_not_driven(context: &Context) -> TestResult {
    let told_apart = rings_have_files_of_their_own()?;
    let mut ring = common::ring(context, 8)?;
    let number = number_of_the_ring()?;
    let (reader, _writer) = files::pipe()?;
    let _recording = pending::submit_unowned(&mut ring, &reader)?;
    let mut innocent = RawRing::new(8, 0)?;
    raw::put_over(number, innocent.fd().expect("it has a descriptor"))?;

    let pushed = ring.push(Nop::new())?;
    if context.handle() == HandleKind::Fd {
        let error = ring.submit().expect_err("it was replaced");
        assert_eq!(error.hint(), Some(Hint::DescriptorReplaced), "{error}");
    } else {
        ring.wait(pushed)??;
    }
    works(&mut innocent)?;
    drop(ring);
    works(&mut innocent)?;
    if told_apart {
        let descriptor = innocent.fd().expect("it has a descriptor");
        assert!(same_file(descriptor, number), "another's ring is closed");
        raw::close_behind(number)?;
    }
    Ok(())
}

/// Neither a table of direct descriptors nor the closing of one is done to another's ring.
fn h05_another_ring_is_not_changed(_: &Context) -> TestResult {
    let mut ring = Ring::new(8)?;
    let mut other = Ring::new(8)?;
    let (_, direct) = pending::only_writer(&mut ring)?;
    let (reader, _others_direct) = pending::only_writer(&mut other)?;
    let number = ring.as_fd().as_raw_fd();
    raw::put_over(number, &other)?;
    drop(direct);
    assert!(ring.direct_slot().is_err(), "the only one is in use");
    assert!(ring.submit_and_get_events().is_err() || ring.pending() == 0);
    assert!(
        pending::has_writer(&reader)?,
        "another ring's file is closed"
    );
    assert!(ring.probe().expect_err("it was replaced").is_ring_lost());

    let mut second = Ring::new(8)?;
    let second_number = second.as_fd().as_raw_fd();
    let empty = Ring::new(8)?;
    raw::put_over(second_number, &empty)?;
    let error = second.register_direct(2).expect_err("it was replaced");
    assert!(error.is_ring_lost(), "{error}");
    let mut empty = empty;
    empty.register_direct(3)?;
    drop((ring, second));
    raw::close_behind(number)?;
    raw::close_behind(second_number)?;
    Ok(())
}

/// A wait that another ring's completions end again and again is not repeated for ever.
fn h05_another_rings_completions_end_no_wait(_: &Context) -> TestResult {
    let mut ring = Ring::new(8)?;
    let (reader, _writer) = files::pipe()?;
    let number = ring.as_fd().as_raw_fd();
    let (buffer, _recording) = common::Recorded::new(16)?;
    // SAFETY: the reader is open until the end of the test, which is later than the end of the ring.
    let target = unsafe { RawTarget::descriptor(reader.as_raw_fd()) };
    let token = ring.push(Read::new(target, buffer))?;
    ring.submit()?;
    let mut other = Ring::new(8)?;
    let others = other.push(Nop::new())?;
    other.submit()?;
    raw::put_over(number, &other)?;
    let refused = ring.wait(token).expect_err("it was replaced");
    assert!(refused.error().is_ring_lost(), "{refused}");
    other.wait(others)??;
    drop(ring);
    raw::close_behind(number)?;
    Ok(())
}

fn h05_a_file_is_not_taken_for_the_ring(_: &Context) -> TestResult {
    let mut ring = Ring::new(8)?;
    let number = ring.as_fd().as_raw_fd();
    raw::put_over(number, File::open("/proc/version")?)?;
    assert!(ring.probe().expect_err("it was replaced").is_ring_lost());
    let error = ring.register_direct(1).expect_err("it was replaced");
    assert!(error.is_ring_lost(), "{error}");
    drop(ring);
    raw::close_behind(number)?;
    Ok(())
}

fn h05_transitions_look_at_the_number(_: &Context) -> TestResult {
    let told_apart = rings_have_files_of_their_own()?;
    for over_ring in [false, true] {
        if over_ring && !told_apart {
            continue;
        }
        let other = RawRing::new(1, 0)?;
        let file = File::open("/proc/version")?;
        let other = if over_ring {
            other.fd().expect("it has a descriptor").as_fd()
        } else {
            file.as_fd()
        };

        let ring = Ring::new(8)?;
        let number = ring.as_fd().as_raw_fd();
        raw::put_over(number, other)?;
        let failed = ring.register_fd().expect_err("it was replaced");
        assert!(failed.error().is_ring_lost(), "{failed}");
        assert_eq!(Slots::of_this_thread()?.taken(), 0);
        drop(failed);
        raw::close_behind(number)?;

        let ring = Ring::new(8)?.register_fd()?;
        let number = ring.as_fd().as_raw_fd();
        raw::put_over(number, other)?;
        let failed = ring.unregister_fd().expect_err("it was replaced");
        assert!(failed.error().is_ring_lost(), "{failed}");
        let mut ring = failed.into_ring();
        ring.call(Nop::new())??;
        drop(ring);
        raw::close_behind(number)?;

        let ring = Builder::new(8).build_disabled()?;
        let number = ring.as_fd().as_raw_fd();
        raw::put_over(number, other)?;
        let failed = ring.enable().expect_err("it was replaced");
        assert!(failed.error().is_ring_lost(), "{failed}");
        let failed = failed.into_ring().enable_best().expect_err("as before");
        assert!(failed.error().is_ring_lost(), "{failed}");
        assert_eq!(Slots::of_this_thread()?.taken(), 0);
        drop(failed);
        raw::close_behind(number)?;
    }
    Ok(())
}

fn h05_closing_closes_nothing_of_others(_: &Context) -> TestResult {
    let ring = Builder::new(8).build_registered()?;
    let number = ring.as_fd().as_raw_fd();
    let innocent = File::open("/proc/version")?;
    raw::put_over(number, &innocent)?;
    let mut ring = ring.close_fd()?;
    assert!(same_file(&innocent, number));
    ring.call(Nop::new())??;
    drop(ring);
    assert!(same_file(&innocent, number));
    raw::close_behind(number)?;
    Ok(())
}

fn no_transition(_: &Context) -> TestResult {
    match Builder::new(8).build_registered() {
        Ok(ring) => {
            let failed = ring.close_fd().expect_err("not before 6.3");
            assert!(failed.error().is_unsupported(), "{failed}");
        }
        Err(error) => assert!(error.is_unsupported(), "{error}"),
    }
    Ok(())
}

fn h23_no_descriptors_allowed(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let pending = pending::submit(&mut ring)?;
    with_rlimit(libc::RLIMIT_NOFILE, 0, || -> TestResult {
        ring.call(Nop::new())??;
        pending.finish(&mut ring)?;
        let error = ring.register_direct(1).expect_err("above the limit");
        assert!(error.is_limited(), "{error}");
        let error = Ring::new(8).expect_err("no number is left");
        assert!(error.is_limited(), "{error}");
        match Ring::best(8) {
            Ok(mut born) => {
                assert!(context.has(Feature::REGISTERED_FD_ONLY));
                assert_eq!(born.handle_kind(), Reached::Fdless);
                born.call(Nop::new())??;
            }
            Err(error) => {
                assert!(!context.has(Feature::REGISTERED_FD_ONLY));
                assert!(error.is_limited(), "{error}");
            }
        }
        drop(ring);
        Ok(())
    })?
}

static RINGS: PerThread = PerThread::new(8);

/// Forks twice, as daemons are made, without touching the ring, and goes on in a root of its own without `/proc`.
fn a_daemon_makes_rings_of_its_own(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let in_flight = pending::submit(&mut ring)?;
    let root = TempDir::new()?;
    let path = std::ffi::CString::new(root.path().as_os_str().as_encoded_bytes())?;
    fork_and(|| {
        // SAFETY: changes this child alone.
        assert!(unsafe { libc::setsid() } != -1);
        fork_and(|| {
            // SAFETY: a string that ends in a zero byte, and this process's own root.
            assert_eq!(unsafe { libc::chroot(path.as_ptr()) }, 0);
            std::env::set_current_dir("/")?;
            let error = ring.submit().expect_err("it is the parent's");
            assert!(error.is_forked(), "{error}");
            RINGS.with(|ring| ring.call(Nop::new()))???;
            common::ring(context, 8)?.call(Nop::new())??;
            Ok(())
        })?
        .check()
    })?
    .check()?;
    in_flight.finish(&mut ring)?;
    Ok(())
}

pub(crate) fn suite() -> Suite {
    let mut suite = Suite::new("host");
    suite.completed_by(common::completed);
    suite
        .test("h23_close_range", h23_everything_closed_in_the_middle)
        .on(HandleKind::ALL)
        .refused_by(the_handle_is_refused);
    suite.test("h23_closed_in_flight", h23_closed_with_a_read_that_stays);
    suite.test(
        "h23_tokens_come_back",
        h23_closed_ring_gives_its_tokens_back,
    );
    suite
        .test(
            "h05_reused_number_is_not_closed",
            h05_a_reused_number_is_not_closed,
        )
        .on(HandleKind::WITH_FD)
        .refused_by(the_handle_is_refused);
    suite
        .test(
            "h05_another_ring",
            h05_another_ring_under_the_number_is_not_driven,
        )
        .on(HandleKind::WITH_FD)
        .refused_by(the_handle_is_refused);
    // The kernel tells rings apart from 5.16 on, and has no feature that says so.
    suite
        .test(
            "h05_another_ring_unchanged",
            h05_another_ring_is_not_changed,
        )
        .needs([Feature::RING_FDS])
        .refused_by(h05_a_file_is_not_taken_for_the_ring);
    suite
        .test(
            "h05_another_rings_completions",
            h05_another_rings_completions_end_no_wait,
        )
        .needs([Feature::RING_FDS])
        .refused_by(h05_a_file_is_not_taken_for_the_ring);
    suite
        .test("h05_transitions", h05_transitions_look_at_the_number)
        .needs([Feature::RING_FDS, Feature::REG_REG_RING])
        .refused_by(no_transition);
    suite
        .test("h05_closing", h05_closing_closes_nothing_of_others)
        .needs([Feature::RING_FDS, Feature::REG_REG_RING])
        .refused_by(no_transition);
    suite
        .test("h23_no_descriptors", h23_no_descriptors_allowed)
        .on(HandleKind::ALL)
        .refused_by(the_handle_is_refused);
    suite
        .test("h23_daemon", a_daemon_makes_rings_of_its_own)
        .on(HandleKind::ALL)
        .requires([Facility::PRIVILEGES])
        .refused_by(the_handle_is_refused);
    suite
}
