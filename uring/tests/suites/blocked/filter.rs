//! Seccomp filters, as containers have them.

use std::io::Write as _;

use uring::op::{Nop, Read};
use uring::{Any, Builder, Error, Hint, Ring};
use uring_testkit::process::{install_filter, with_denied};
use uring_testkit::{Context, Feature, HandleKind, Suite, TestResult, files};

use crate::common;

pub(crate) fn add_to(suite: &mut Suite) {
    for (errno, name) in [(libc::EPERM, "eperm"), (libc::ENOSYS, "enosys")] {
        suite
            .test(format!("e2_setup_answers_{name}"), move |context| {
                setup_is_denied(context, errno)
            })
            .on(HandleKind::ALL);
        suite
            .test(format!("e2_register_answers_{name}"), move |context| {
                register_is_denied(context, errno)
            })
            .on(HandleKind::ALL);
        suite
            .test(format!("e2_enter_answers_{name}"), move |context| {
                enter_is_denied(context, errno)
            })
            .on(HandleKind::ALL);
        suite
            .test(
                format!("e2_everything_answers_{name}_later"),
                move |context| everything_is_denied_later(context, errno),
            )
            .on(HandleKind::ALL);
    }
    suite
        .test("e2_what_was_never_submitted_is_given_back", never_submitted)
        .on(HandleKind::ALL);
    suite
        .test("e2_what_may_be_written_to_is_leaked", what_flies_is_leaked)
        .on(HandleKind::ALL);
    suite
        .test("e2_a_scope_ends_without_the_kernel", a_scope_ends)
        .on(HandleKind::ALL);
    suite
        .test(
            "e2_a_panicking_scope_ends_without_the_kernel",
            a_panicking_scope_ends,
        )
        .on(HandleKind::ALL);
    suite
        .test("e2_each_ring_leaves_one_slot_taken", one_slot_each)
        .needs([Feature::REGISTERED_FD_ONLY, Feature::NOP_INJECT_RESULT])
        .no_refusal(
            "before Linux 6.10 a ring may have to be registered with the call that is filtered",
        );
}

const ALL_CALLS: [libc::c_long; 3] = [
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_enter,
];

/// Runs `body` in a thread of its own, whose slots end with it.
fn on_a_thread(body: impl FnOnce() -> TestResult + Send) -> TestResult {
    std::thread::scope(|scope| match scope.spawn(body).join() {
        Ok(outcome) => outcome,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

fn deny_everything(errno: i32) -> std::io::Result<()> {
    install_filter(&ALL_CALLS.map(|call| (call, errno)))
}

fn assert_filtered(error: Error, errno: i32) {
    assert_eq!(error.hint(), Some(Hint::SeccompFilter), "{error}");
    assert_eq!(error.errno(), Some(errno));
    assert!(error.is_blocked() && !error.is_unsupported() && !error.is_ring_lost());
    assert!(error.to_string().contains("seccomp filter"), "{error}");
    let kind = std::io::Error::from(error).kind();
    assert_eq!(kind, std::io::ErrorKind::PermissionDenied);
}

fn setup_is_denied(context: &Context, errno: i32) -> TestResult {
    let refused = || {
        with_denied(&[(libc::SYS_io_uring_setup, errno)], || {
            assert_filtered(common::ring(context, 8).unwrap_err(), errno);
            assert_filtered(Ring::best(8).unwrap_err(), errno);
            assert_filtered(Builder::new(8).build_disabled().unwrap_err(), errno);
        })
    };
    refused()?;
    // The refusal is not remembered, nor does what is remembered hide it.
    common::ring(context, 8)?.call(Nop::new())??;
    refused()?;
    Ok(())
}

fn register_is_denied(context: &Context, errno: i32) -> TestResult {
    let (may_work, must_work) = match context.handle() {
        HandleKind::Fd => (true, true),
        HandleKind::Registered | HandleKind::Closed => (false, false),
        HandleKind::Born => (true, common::births_are_certain(context)),
    };
    with_denied(&[(libc::SYS_io_uring_register, errno)], || -> TestResult {
        match common::ring(context, 8) {
            Ok(mut ring) => {
                assert!(may_work, "the call is needed for this handle");
                ring.call(Nop::new())??;
                assert_filtered(ring.register_direct(4).unwrap_err(), errno);
                assert_filtered(ring.probe().unwrap_err(), errno);
                ring.call(Nop::new())??;
            }
            Err(error) => {
                assert!(!must_work, "{error}");
                assert_filtered(error, errno);
            }
        }
        Ok(())
    })?
}

fn enter_is_denied(context: &Context, errno: i32) -> TestResult {
    with_denied(&[(libc::SYS_io_uring_enter, errno)], || -> TestResult {
        let mut ring = common::ring(context, 2)?;
        let token = ring.push(Nop::new())?;
        assert_filtered(ring.submit().unwrap_err(), errno);
        assert_filtered(ring.submit_and_wait(1).unwrap_err(), errno);
        let (token, error) = ring.wait(token).unwrap_err().into_parts();
        assert_filtered(error, errno);
        assert_eq!((ring.pending(), ring.in_flight()), (1, 1));
        let _other = ring.push(Nop::new())?;
        assert_filtered(*ring.push(Nop::new()).unwrap_err().error(), errno);
        assert!(ring.take(token).is_err(), "the kernel has not seen it");
        assert_eq!(ring.for_each(drop)?, 0);
        drop(ring);
        assert_eq!(uring::leaked_operations(), 0);
        Ok(())
    })?
}

/// A ring with a read that waits for a pipe, and both ends' keepers.
fn reading(
    context: &Context,
) -> Result<(Ring<Any>, std::os::fd::OwnedFd, uring_testkit::Recording), uring_testkit::Failure> {
    let mut ring = common::ring(context, 8)?;
    let (reader, writer) = files::pipe()?;
    let (buffer, recording) = common::Recorded::new(4096)?;
    let token = ring.push(Read::new(reader, buffer))?;
    ring.submit()?;
    ring.detach(token);
    Ok((ring, writer, recording))
}

fn everything_is_denied_later(context: &Context, errno: i32) -> TestResult {
    on_a_thread(|| {
        let mut idle = common::ring(context, 8)?;
        idle.call(Nop::new())??;
        deny_everything(errno)?;
        let token = idle.push(Nop::new())?;
        assert_filtered(idle.submit().unwrap_err(), errno);
        assert_filtered(*idle.wait(token).unwrap_err().error(), errno);
        assert_filtered(idle.register_direct(4).unwrap_err(), errno);
        drop(idle);
        assert_eq!(uring::leaked_operations(), 0);
        Ok(())
    })
}

fn never_submitted(context: &Context) -> TestResult {
    on_a_thread(|| {
        let mut ring = common::ring(context, 8)?;
        let (reader, _writer) = files::pipe()?;
        let (buffer, recording) = common::Recorded::new(4096)?;
        let _token = ring.push(Read::new(reader, buffer))?;
        deny_everything(libc::EPERM)?;
        drop(ring);
        assert!(
            recording.dropped().is_some(),
            "the kernel never had the buffer"
        );
        assert_eq!(uring::leaked_operations(), 0);
        Ok(())
    })
}

fn what_flies_is_leaked(context: &Context) -> TestResult {
    on_a_thread(|| {
        let (ring, writer, recording) = reading(context)?;
        deny_everything(libc::EPERM)?;
        drop(ring);
        assert_eq!(uring::leaked_operations(), 1);
        assert!(
            recording.dropped().is_none(),
            "the kernel may still write to the buffer"
        );
        // It may be written to or not, and it is no harm.
        let _ = std::fs::File::from(writer).write_all(b"late");
        assert!(recording.dropped().is_none());
        // The read kept its end of the pipe; it is leaked with the buffer.
        Ok(())
    })?;
    // SAFETY: the only descriptors of this process besides the standard streams are what the operation leaked.
    unsafe { uring_testkit::process::close_range(3..=i32::MAX) }?;
    Ok(())
}

fn a_scope_ends(context: &Context) -> TestResult {
    on_a_thread(|| {
        let mut ring = common::ring(context, 8)?;
        let kept = ring.push(Nop::new())?;
        deny_everything(libc::EPERM)?;
        assert_filtered(ring.call(Nop::new()).unwrap_err(), libc::EPERM);
        let mut buf = [0; 8];
        let (reader, _writer) = files::pipe()?;
        ring.scope(|scope| -> TestResult {
            let read = Read::new(&reader, &mut buf[..]);
            let token = scope.push(read).map_err(Error::from)?;
            assert_filtered(*scope.wait(token).unwrap_err().error(), libc::EPERM);
            Ok(())
        })?;
        // With the scope's operations everything else that the kernel never saw has ended.
        let cancelled = ring.wait(kept)?.unwrap_err();
        assert_eq!(cancelled.raw_os_error(), Some(libc::ECANCELED));
        drop(ring);
        assert_eq!(uring::leaked_operations(), 0);
        Ok(())
    })
}

/// A scope that panics cancels what it has in flight, for which a full queue has no room.
fn a_panicking_scope_ends(context: &Context) -> TestResult {
    on_a_thread(|| {
        let mut ring = common::ring(context, 2)?;
        deny_everything(libc::ENOSYS)?;
        let mut bufs = [[0; 8]; 2];
        let (reader, _writer) = files::pipe()?;
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            ring.scope(|scope| {
                for buf in &mut bufs {
                    let read = Read::new(&reader, &mut buf[..]);
                    let _token = scope.push(read).expect("the queue has room");
                }
                panic!("in the scope");
            })
        }));
        let payload: Box<dyn std::any::Any + Send> = match panicked {
            Ok(()) => return Err("the panic did not come out of the scope".into()),
            Err(payload) => payload,
        };
        assert_eq!(payload.downcast_ref(), Some(&"in the scope"));
        assert_eq!((ring.pending(), ring.in_flight()), (0, 0));
        Ok(())
    })
}

fn one_slot_each(_: &Context) -> TestResult {
    with_denied(
        &[(libc::SYS_io_uring_register, libc::EPERM)],
        || -> TestResult {
            for _ in 0..16 {
                let mut ring = Ring::fdless(2)?;
                ring.call(Nop::new())??;
            }
            assert!(Ring::fdless(2).unwrap_err().is_slots_taken());
            // A ring that may not be registered is still a ring.
            let mut plain = Ring::best(2)?;
            assert_eq!(plain.handle_kind(), uring::HandleKind::Fd);
            plain.call(Nop::new())??;
            Ok(())
        },
    )?
}
