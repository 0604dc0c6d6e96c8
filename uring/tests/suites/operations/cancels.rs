//! Cancellation, and what is said to have come of it.

use std::time::Duration;

use uring::op::{Cancel, Cancelled, Nop, OpenAt, RawTimespec, Read, Timeout, Timespec, Write};
use uring_testkit::files::pipe;
use uring_testkit::{Context, Feature, TestResult};

use crate::common;
use crate::operations::files::assert_errno;

const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn cancel_by_token_and_number(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let token = ring.push(Timeout::after(HOUR))?;
    ring.submit()?;
    let cancel = ring.push(Cancel::token(&token))?;
    assert_errno(ring.wait(token)?, libc::ECANCELED);
    assert_eq!(ring.wait(cancel)??, Cancelled::Count(1));

    let done = ring.push(Nop::new())?;
    ring.submit_and_wait(1)?;
    assert_eq!(ring.call(Cancel::token(&done))??, Cancelled::NotFound);
    ring.wait(done)??;
    assert_eq!(ring.call(Cancel::user_data(12345))??, Cancelled::NotFound);
    let (reader, writer) = pipe()?;
    let read = ring.push(Read::new(reader, vec![3; 4]))?;
    ring.submit()?;
    ring.scope(|scope| -> std::io::Result<()> {
        let cancel = scope.push(Cancel::token(&read))?;
        assert_eq!(scope.wait(cancel)??, Cancelled::Count(1));
        Ok(())
    })?;
    let cancelled = ring.wait(read)?;
    assert_errno(cancelled.result, libc::ECANCELED);
    assert_eq!(cancelled.buf, [3; 4]);
    drop((cancelled.target, writer));
    Ok(())
}

pub(crate) fn cancel_by_target_any_and_every(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 16)?;
    let (reader, _writer) = pipe()?;
    let (other, other_writer) = pipe()?;
    let mut reads = Vec::new();
    for _ in 0..3 {
        reads.push(ring.push(Read::new(reader.try_clone()?, vec![0; 4]))?);
    }
    ring.submit()?;
    // Each read has a descriptor of its own.
    assert_eq!(
        ring.call(Cancel::target(&other).every())??,
        Cancelled::NotFound
    );
    assert_eq!(ring.call(Cancel::target(&other))??, Cancelled::NotFound);
    assert_eq!(ring.call(Cancel::any())??, Cancelled::Count(3));
    assert_eq!(ring.call(Cancel::any())??, Cancelled::NotFound);
    for read in reads {
        assert_errno(ring.wait(read)?.result, libc::ECANCELED);
    }
    ring.scope(|scope| -> std::io::Result<()> {
        let reads = [
            scope.push(Read::new(&other, vec![0; 4]))?,
            scope.push(Read::new(&other, vec![0; 4]))?,
        ];
        let kept = scope.push(Read::new(&reader, vec![0; 4]))?;
        scope.submit()?;
        let cancel = scope.push(Cancel::target(&other).every())?;
        assert_eq!(scope.wait(cancel)??, Cancelled::Count(2));
        for read in reads {
            assert_errno(scope.wait(read)?.result, libc::ECANCELED);
        }
        let kept = scope.take(kept).expect_err("nobody has cancelled it");
        scope.cancel(&kept)?;
        assert_errno(scope.wait(kept)?.result, libc::ECANCELED);
        Ok(())
    })?;
    ring.call(Write::new(&other_writer, "left"))?.result?;
    assert_eq!(ring.call(Read::new(&other, vec![0; 4]))?.buf, b"left");
    Ok(())
}

pub(crate) fn cancel_by_opcode(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 16)?;
    let (reader, _writer) = pipe()?;
    let hour = ring.push(Timeout::after(HOUR))?;
    let read = || -> TestResult<_> { Ok(Read::new(reader.try_clone()?, vec![0; 4])) };
    let reads = [ring.push(read()?)?, ring.push(read()?)?];
    ring.submit()?;
    let all_reads = Cancel::opcode(uring_sys::IORING_OP_READ).every();
    // Where the kind means nothing, neither is it one without a number that is cancelled.
    ring.push_raw(Timeout::at_address(raw_hour()), 0)?;
    let cancelled = ring.call(all_reads)?;
    assert!(ring.next_completion()?.is_none());
    // Of the same kernel; the flags themselves cannot be probed for.
    if context.has(Feature::NO_SQARRAY) {
        assert_eq!(cancelled?, Cancelled::Count(2));
        let [first, second] = reads;
        for read in [first, second] {
            assert_errno(ring.wait(read)?.result, libc::ECANCELED);
        }
        let wrong = Cancel::token(&hour).of_kind(uring_sys::IORING_OP_READ);
        assert_eq!(ring.call(wrong)??, Cancelled::NotFound);
        let right = Cancel::token(&hour).of_kind(uring_sys::IORING_OP_TIMEOUT);
        assert_eq!(ring.call(right)??, Cancelled::Count(1));
        assert_errno(ring.wait(hour)?, libc::ECANCELED);
        let unclear = Cancel::any().of_kind(uring_sys::IORING_OP_READ);
        assert_errno(ring.call(unclear)?, libc::EINVAL);
    } else {
        // Debian's 6.1 takes the flag and finds nothing by it.
        match cancelled {
            Ok(cancelled) => assert_eq!(cancelled, Cancelled::NotFound),
            refused => assert_errno(refused, libc::EINVAL),
        }
        let [first, _] = reads;
        assert!(ring.take(first).is_err(), "it was not to be found");
    }
    assert_eq!(ring.call(Cancel::user_data(0))??, Cancelled::Count(1));
    Ok(())
}

pub(crate) fn cancel_sync(context: &Context) -> TestResult {
    const LONG: Option<Duration> = Some(Duration::from_secs(30));
    let mut ring = common::ring(context, 16)?;
    ring.register_direct(1)?;
    let (reader, _writer) = pipe()?;
    // What is in the queue is submitted first.
    let hour = ring.push(Timeout::after(HOUR))?;
    let cancelled = ring.cancel_sync(Cancel::token(&hour), None)?;
    assert_eq!(cancelled, Cancelled::Count(1));
    let again = ring.cancel_sync(Cancel::token(&hour), LONG)?;
    assert_eq!(again, Cancelled::NotFound);
    assert_errno(ring.wait(hour)?, libc::ECANCELED);
    ring.push_raw(Timeout::at_address(raw_hour()), 7)?;
    let cancelled = ring.cancel_sync(Cancel::user_data(7), Some(Duration::ZERO))?;
    assert_eq!(cancelled, Cancelled::Count(1));
    ring.submit_and_wait(1)?;
    let completion = ring.next_completion()?.ok_or("it was cancelled")?;
    assert_eq!(completion.raw_result(), -libc::ECANCELED);

    ring.scope(|scope| -> TestResult {
        let reads = [
            scope.push(Read::new(&reader, vec![0; 4]))?,
            scope.push(Read::new(&reader, vec![0; 4]))?,
        ];
        let by_file = Cancel::target(&reader).every();
        assert_eq!(scope.cancel_sync(by_file, LONG)?, Cancelled::Count(2));
        for read in reads {
            assert_errno(scope.wait(read)?.result, libc::ECANCELED);
        }
        assert_eq!(scope.cancel_sync(by_file, LONG)?, Cancelled::NotFound);
        assert_eq!(scope.cancel_sync(Cancel::any(), LONG)?, Cancelled::NotFound);
        Ok(())
    })?;

    let by_kind = Cancel::opcode(uring_sys::IORING_OP_READ);
    let by_kind = ring.cancel_sync(by_kind, LONG);
    if context.has(Feature::NO_SQARRAY) {
        assert_eq!(by_kind?, Cancelled::NotFound);
    } else {
        let error = by_kind.expect_err("it is newer than the call");
        assert!(error.is_unsupported(), "{error}");
        assert!(error.to_string().contains("6.6"), "{error}");
    }
    let mut other = common::ring(context, 4)?;
    other.register_direct(1)?;
    let slot = other.direct_slot()?;
    let open = OpenAt::new(c"/dev/null").into_direct(slot);
    let direct = other.call(open)?.result?;
    let error = ring
        .cancel_sync(Cancel::target(&direct), LONG)
        .expect_err("it is of the other ring");
    assert!(error.is_wrong_ring(), "{error}");
    let closed = other.cancel_sync(Cancel::target(&direct), LONG)?;
    assert_eq!(closed, Cancelled::NotFound);
    Ok(())
}

/// A time that is there for ever.
fn raw_hour() -> RawTimespec {
    let hour = Box::leak(Box::new(Timespec::from(HOUR)));
    // SAFETY: it was leaked.
    unsafe { RawTimespec::new((&*hour).into()) }
}

pub(crate) fn cancel_sync_refused(context: &Context) -> TestResult {
    let feature = Feature::register(uring_sys::IORING_REGISTER_SYNC_CANCEL);
    let Some(mut ring) = common::ring_without(feature, context, 4)? else {
        return Ok(());
    };
    let hour = ring.push(Timeout::after(HOUR))?;
    let error = ring
        .cancel_sync(Cancel::token(&hour), None)
        .expect_err("the kernel does not know it");
    assert!(error.is_unsupported(), "{error}");
    assert!(error.to_string().contains("6.0"), "{error}");
    ring.cancel(&hour)?;
    assert_errno(ring.wait(hour)?, libc::ECANCELED);
    Ok(())
}
