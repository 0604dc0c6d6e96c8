//! Rings and threads that may do a few things only.

use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

use uring::op::{Nop, OpenAt, Read};
use uring::{
    Any, Builder, Chain, DisabledRing, EntryFlags, EntrySize, Filter, Push, RawBuf, RawTarget,
    Restrictions, Ring,
};
use uring_testkit::files::pipe;
use uring_testkit::{Context, Feature, HandleKind, Slots, TestResult};

use crate::common::{self, Recorded};
use crate::operations::files::assert_errno;

/// Enables a ring in one of the ways that there are.
type Enable = fn(DisabledRing) -> TestResult<Ring<Any>>;

fn by_handle(context: &Context) -> Enable {
    match context.handle() {
        HandleKind::Registered => |ring| Ok(ring.enable()?.into()),
        HandleKind::Closed => |ring| Ok(ring.enable_fdless()?.into()),
        HandleKind::Fd | HandleKind::Born => unreachable!("enabled in one of two ways"),
    }
}

fn restricted(enable: Enable, restrictions: &Restrictions) -> TestResult<Ring<Any>> {
    let mut ring = Builder::new(8).build_disabled()?;
    ring.restrict(restrictions)?;
    enable(ring)
}

type ReadAny = Read<RawTarget, RawBuf>;

pub(crate) fn restricted_rings(context: &Context) -> TestResult {
    check_restricted(by_handle(context))
}

pub(crate) fn restricted_best(_: &Context) -> TestResult {
    check_restricted(|ring| Ok(ring.enable_best()?))
}

/// What is allowed is done, and nothing else; the end of the ring cancels and gives everything back.
fn check_restricted(enable: Enable) -> TestResult {
    let taken = Slots::of_this_thread()?.taken();
    let restrictions = Restrictions::new()
        .allow::<Nop>()
        .allow::<ReadAny>()
        .allow_opcode(250)
        .allow_register(uring_sys::IORING_REGISTER_FILES)
        .allow_register(200);
    let mut ring = restricted(enable, &restrictions)?;
    assert_eq!(ring.restrictions(), Some(&restrictions));
    ring.call(Nop::new())??;
    let refused = ring.call(OpenAt::new(c"/proc/version"))?.result;
    assert_errno(refused, libc::EACCES);
    // Flags are not allowed either.
    let token = ring.push_with(Nop::new(), Push::new().always_async())?;
    assert_errno(ring.wait(token)?, libc::EACCES);
    ring.register_direct(2)?;
    let error = ring.register_personality().expect_err("not allowed");
    assert!(error.is_restricted() && error.is_blocked(), "{error}");
    assert_eq!(error.errno(), Some(libc::EACCES));
    ring.probe()?;
    // What is in flight is cancelled.
    let (reader, _writer) = pipe()?;
    let token = ring.push(Read::new(reader, vec![0; 1]))?;
    ring.submit()?;
    ring.cancel(&token)?;
    assert_errno(ring.wait(token)?.result, libc::ECANCELED);
    let (reader, _other_writer) = pipe()?;
    let _left = ring.push(Read::new(reader, vec![0; 1]))?;
    ring.submit()?;
    drop(ring);
    assert_eq!(uring::leaked_operations(), 0);
    assert_eq!(Slots::of_this_thread()?.taken(), taken);
    Ok(())
}

fn assert_refused(ring: &mut DisabledRing, restrictions: &Restrictions) {
    let error = ring
        .restrict(restrictions)
        .expect_err("it contradicts itself");
    assert!(error.is_invalid_request(), "{error}");
}

pub(crate) fn restricted_flags(context: &Context) -> TestResult {
    let enable = by_handle(context);
    // Allowed ones, by what gives them to an entry.
    let restrictions = Restrictions::new()
        .allow::<Nop>()
        .allow_flags(EntryFlags::LINK | EntryFlags::ASYNC);
    let mut ring = restricted(enable, &restrictions)?;
    let (one, two) = ring.push_chain(Chain::new(Nop::new()).then(Nop::new()))?;
    ring.wait(one)??;
    ring.wait(two)??;
    let token = ring.push_with(Nop::new(), Push::new().always_async())?;
    ring.wait(token)??;
    let token = ring.push_with(Nop::new(), Push::new().drain())?;
    assert_errno(ring.wait(token)?, libc::EACCES);
    drop(ring);

    // A ring that reads from direct descriptors alone.
    let restrictions = Restrictions::new()
        .allow::<ReadAny>()
        .allow_register(uring_sys::IORING_REGISTER_FILES)
        .require_flags(EntryFlags::FIXED_FILE);
    let mut ring = Builder::new(8).build_disabled()?;
    for wrong in [
        Restrictions::new().require_flags(EntryFlags::LINK),
        Restrictions::new().require_flags(EntryFlags::DRAIN | EntryFlags::ASYNC),
    ] {
        assert_refused(&mut ring, &wrong);
    }
    ring.restrict(&restrictions)?;
    assert_refused(&mut ring, &Restrictions::new());
    let mut ring = enable(ring)?;
    let (reader, _writer) = pipe()?;
    let done = ring.call(Read::new(&reader, vec![0; 1]))?;
    assert_errno(done.result, libc::EACCES);
    // A ring that is restricted so has its files from outside: nothing that opens has this flag.
    ring.register_direct(1)?;
    assert_eq!(ring.direct_slot()?.index(), 0);
    drop(ring);

    // Gaps between mixed entries are filled although no NOP was allowed.
    let mixed = Builder::new(4).entry_size(EntrySize::Mixed);
    let Ok(mut ring) = mixed.build_disabled() else {
        assert!(!context.has(Feature::setup(uring_sys::IORING_SETUP_SQE_MIXED)));
        return Ok(());
    };
    assert_refused(
        &mut ring,
        &Restrictions::new().require_flags(EntryFlags::ASYNC),
    );
    ring.restrict(&Restrictions::new())?;
    let mut ring = enable(ring)?;
    ring.call(Nop::new())??;
    Ok(())
}

/// A ring whose operations, and so its cancellations, must have `FIXED_FILE`, which cancellations may not have before Linux 5.19: there it ends when
/// what is in flight does, or leaks that after a while.
pub(crate) fn restricted_to_fixed_files(context: &Context) -> TestResult {
    // Another feature of Linux 5.19.
    let can_cancel = context.has(Feature::SQE128);
    let restrictions = Restrictions::new()
        .allow::<ReadAny>()
        .allow_register(uring_sys::IORING_REGISTER_FILES)
        .require_flags(EntryFlags::FIXED_FILE);
    let reading = || -> TestResult<_> {
        let mut ring = restricted(|ring| Ok(ring.enable_best()?), &restrictions)?;
        let (reader, writer) = pipe()?;
        let direct = ring.register_files(&[&reader], 0)?.remove(0);
        let (buffer, recording) = Recorded::new(4)?;
        let token = ring.push(Read::new(direct, buffer))?;
        ring.submit()?;
        Ok((ring, token, File::from(writer), recording))
    };
    let (mut ring, token, mut writer, _recording) = reading()?;
    ring.cancel(&token)?;
    ring.submit()?;
    if !can_cancel {
        writer.write_all(b"x")?;
    }
    let done = ring.wait(token)?;
    if can_cancel {
        assert_errno(done.result, libc::ECANCELED);
    } else {
        assert_eq!(done.result?, 1);
    }

    for is_written in [true, false] {
        let (ring, _token, writer, recording) = reading()?;
        let start = Instant::now();
        let writes = is_written.then(|| {
            let writer = writer.try_clone();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(50));
                // Nobody reads any more where it could be cancelled.
                writer.map(|mut writer| drop(writer.write_all(b"x")))
            })
        });
        let leaked = uring::leaked_operations();
        drop(ring);
        let ended = start.elapsed();
        let leaks = !can_cancel && !is_written;
        assert_eq!(uring::leaked_operations() - leaked, u64::from(leaks));
        assert_eq!(recording.dropped().is_none(), leaks);
        assert!(ended < Duration::from_secs(20), "{ended:?}");
        if leaks {
            assert!(ended >= Duration::from_millis(500), "{ended:?}");
        }
        if let Some(writes) = writes {
            writes.join().expect("it does not panic")?;
        }
    }
    Ok(())
}

/// Restrictions of the thread bind the rings that it makes from then on.
pub(crate) fn restricted_thread(context: &Context) -> TestResult {
    let mut before = common::ring(context, 8)?;
    let unrestricted = uring::Query::get()?;
    let required = Restrictions::new().require_flags(EntryFlags::ASYNC);
    let error = required.restrict_thread().expect_err("no ring would know");
    assert!(error.is_invalid_request(), "{error}");
    let restrictions = Restrictions::new().allow::<Nop>();
    restrictions.restrict_thread()?;
    let again = restrictions.restrict_thread().expect_err("it is for good");
    assert!(
        again.is_restricted() || again.is_invalid_request(),
        "{again}"
    );
    // Newer kernels than 7.0 restrict calls that concern no ring, too.
    match Filter::deny(uring_sys::IORING_OP_FSYNC).filter_thread() {
        Ok(()) => assert!(!again.is_restricted(), "{again}"),
        Err(error) => assert!(error.is_restricted() && again.is_restricted(), "{error}"),
    }
    assert_eq!(uring::Query::get()?, unrestricted);

    before.register_direct(1)?;
    drop(before);
    let check = |ring: &mut Ring<Any>| -> TestResult {
        ring.call(Nop::new())??;
        let refused = ring.call(OpenAt::new(c"/proc/version"))?.result;
        assert_errno(refused, libc::EACCES);
        let error = ring.register_direct(1).expect_err("not allowed");
        assert!(error.is_restricted(), "{error}");
        Ok(())
    };
    let mut ring = common::ring(context, 8)?;
    check(&mut ring)?;
    drop(ring);
    let handle = context.handle();
    let inherited = std::thread::spawn(move || {
        let ring = common::with_handle(handle, &Builder::new(8));
        let mut ring = ring.map_err(|error| error.to_string())?;
        check(&mut ring).map_err(|error| error.to_string())
    });
    inherited.join().expect("it does not panic")?;
    Ok(())
}

pub(crate) fn restricted_thread_refused(_: &Context) -> TestResult {
    let error = Restrictions::new()
        .restrict_thread()
        .expect_err("the kernel restricts rings only");
    assert!(error.is_unsupported(), "{error}");
    Ok(())
}

/// Without the privilege a thread has to give up new ones first.
pub(crate) fn restricted_without_privileges(_: &Context) -> TestResult {
    // SAFETY: changes the user of this process, which is the test's own.
    let changed = unsafe { libc::setresuid(65534, 65534, 65534) };
    assert_eq!(changed, 0, "{}", std::io::Error::last_os_error());
    let error = Restrictions::new()
        .restrict_thread()
        .expect_err("it may gain privileges");
    assert!(error.is_blocked(), "{error}");
    assert!(error.to_string().contains("PR_SET_NO_NEW_PRIVS"), "{error}");
    // SAFETY: an attribute of this thread.
    let given_up = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(given_up, 0, "{}", std::io::Error::last_os_error());
    Restrictions::new().allow::<Nop>().restrict_thread()?;
    Ok(())
}
