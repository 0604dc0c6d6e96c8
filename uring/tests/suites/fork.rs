//! What a forked child may do with its copy of a ring, and what its parent sees of it: nothing.

use crate::common;

use std::fs::File;
use std::io::Write as _;
use std::thread;
use std::time::Duration;

use common::child::Child;
use common::{memory, pending, raw};
use uring::op::{Nop, Read, TimeoutMultishot};
use uring::{Any, Builder, Chain, DisabledRing, Error, Fd, PerThread, Registered, Ring};
use uring_testkit::process::fork_and;
use uring_testkit::{Context, FdTable, Feature, HandleKind, Slots, Suite, TestResult, files};

fn the_handle_is_refused(context: &Context) -> TestResult {
    let error = common::ring(context, 8).expect_err("the kernel lacks what the handle needs");
    assert!(error.is_unsupported(), "{error}");
    Ok(())
}

#[track_caller]
fn forked<T>(result: Result<T, impl Into<Error>>) {
    match result {
        Ok(_) => panic!("the child's copy of the ring works"),
        Err(error) => {
            let error = error.into();
            assert!(error.is_forked(), "{error}");
        }
    }
}

fn h06_each_call_is_refused(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    ring.register_direct(2)?;
    let mut landed = [Some(ring.push(Nop::new())?), Some(ring.push(Nop::new())?)];
    ring.call(Nop::new())??;
    let in_flight = pending::submit(&mut ring)?;
    let mut waited = Some(ring.push(Nop::new())?);
    let mut taken = Some(ring.push(Nop::new())?);
    let multishot = ring.push(TimeoutMultishot::every(Duration::from_secs(3600)))?;
    let before = ring.pending();
    fork_and(|| {
        forked(ring.push(Nop::new()));
        forked(ring.try_push(Nop::new()));
        forked(ring.push_raw(Nop::new(), 1));
        forked(ring.batch(|batch| batch.push_raw(Nop::new(), 1)));
        forked(ring.push_chain(Chain::new(Nop::new()).then(Nop::new())));
        forked(ring.call(Nop::new()));
        forked(ring.scope(|scope| scope.push(Nop::new()).map(drop)));
        let token = waited.take().expect("the child has its copy");
        forked(ring.wait(token));
        let [waits, takes] = landed
            .each_mut()
            .map(|token| token.take().expect("as above"));
        forked(ring.wait(waits));
        let token = ring.take(takes).expect_err("it is the parent's");
        ring.detach(token);
        let token = taken.take().expect("the child has its copy");
        let token = ring
            .take(token)
            .expect_err("nothing completes in the child");
        ring.detach(token);
        forked(ring.wait_item(&multishot));
        assert!(ring.take_item(&multishot).is_none());
        forked(ring.cancel(&multishot));
        forked(ring.submit());
        forked(ring.submit_and_wait(1));
        forked(ring.submit_and_wait_timeout(1, Duration::from_secs(1)));
        forked(ring.submit_and_get_events());
        forked(ring.next_completion());
        forked(ring.for_each(|_| ()));
        forked(ring.probe());
        forked(ring.register_direct(1));
        forked(ring.direct_slot());
        assert_eq!(ring.pending(), before);
        assert_eq!(ring.dropped_completions(), 0);
        assert!(!format!("{ring:?}").is_empty());
        Ok(())
    })?
    .check()?;
    assert_eq!(ring.pending(), before);
    for token in landed.into_iter().chain([waited, taken]).flatten() {
        ring.wait(token)??;
    }
    ring.batch(|batch| -> TestResult {
        batch.push_raw(Nop::new(), 1)?;
        fork_and(|| {
            forked(batch.push_raw(Nop::new(), 2));
            Ok(())
        })?
        .check()?;
        batch.push_raw(Nop::new(), 3)?;
        Ok(())
    })?;
    assert_eq!(ring.pending(), 2, "what the parent has pushed");
    ring.cancel(&multishot)?;
    in_flight.finish(&mut ring)
}

fn h06_transitions_are_refused(context: &Context) -> TestResult {
    let mut disabled: Option<DisabledRing> = Some(Builder::new(8).build_disabled()?);
    let mut movable: Option<Ring<Fd>> = Some(Ring::new(8)?);
    let mut registered: Vec<Ring<Registered>> = Vec::new();
    if context.has(Feature::RING_FDS) {
        registered.push(Ring::new(8)?.register_fd()?);
        registered.push(Builder::new(8).build_registered()?);
    }
    let before = Slots::of_this_thread()?.taken();
    fork_and(|| {
        let ring = disabled.take().expect("the child has its copy");
        let failed = ring.enable().expect_err("it is a copy");
        assert!(failed.error().is_forked(), "{failed}");
        let failed = failed.into_ring().enable_fdless().expect_err("as before");
        assert!(failed.error().is_forked(), "{failed}");
        forked(failed.into_ring().enable_best());
        forked(movable.take().expect("as above").register_fd());
        for ring in registered.drain(..) {
            let failed = ring.unregister_fd().expect_err("it is a copy");
            assert!(failed.error().is_forked(), "{failed}");
            forked(failed.into_ring().close_fd());
        }
        assert_eq!(
            FdTable::now()?.rings().count(),
            0,
            "only the copies' descriptors"
        );
        Ok(())
    })?
    .check()?;
    assert_eq!(Slots::of_this_thread()?.taken(), before);
    disabled
        .expect("the parent has its own")
        .enable_best()?
        .call(Nop::new())??;
    movable.expect("as above").call(Nop::new())??;
    for mut ring in registered {
        ring.call(Nop::new())??;
    }
    Ok(())
}

fn h06_the_parent_works_on(context: &Context) -> TestResult {
    for child_drops_its_copy in [false, true] {
        let mut ring = Some(common::ring(context, 8)?);
        let parents = |ring: &mut Option<Ring<Any>>| -> TestResult<()> {
            let ring = ring.as_mut().expect("the parent keeps its own");
            for _ in 0..20 {
                ring.call(Nop::new())??;
            }
            Ok(())
        };
        parents(&mut ring)?;
        let mut pushed = Vec::new();
        let own = ring.as_mut().expect("as above");
        let early = pending::submit(own)?;
        let middle = pending::submit(own)?;
        let late = pending::submit(own)?;
        for _ in 0..3 {
            pushed.push(own.push(Nop::new())?);
        }
        let child = Child::run(|| {
            let copy = ring.as_mut().expect("the child has its copy");
            forked(copy.submit());
            forked(copy.push(Nop::new()));
            if child_drops_its_copy {
                drop(ring.take());
                drop(std::mem::take(&mut pushed));
            }
            Ok(())
        })?;
        early.finish(ring.as_mut().expect("as above"))?;
        parents(&mut ring)?;
        middle.finish(ring.as_mut().expect("as above"))?;
        child.end()?;
        parents(&mut ring)?;
        let own = ring.as_mut().expect("as above");
        for token in pushed {
            own.wait(token)??;
        }
        late.finish(own)?;
        assert_eq!(own.in_flight(), 0);
    }
    Ok(())
}

/// The child ends, or drops its copy, with the parent's read in flight: its own pages change and the parent's do not.
fn h06_a_copy_is_dropped_alone(context: &Context) -> TestResult {
    let mut ring = Some(common::ring(context, 8)?);
    let read = pending::submit(ring.as_mut().expect("just made"))?;
    let before = Slots::of_this_thread()?.taken();
    fork_and(|| {
        assert_eq!(
            Slots::of_this_thread()?.taken(),
            0,
            "slots are not inherited"
        );
        drop(ring.take());
        assert_eq!(FdTable::now()?.rings().count(), 0);
        assert!(
            read.recording.dropped().is_some(),
            "the copy was not dropped"
        );
        assert_eq!(uring::leaked_operations(), 0);
        Ok(())
    })?
    .check()?;
    assert!(read.recording.dropped().is_none());
    assert_eq!(Slots::of_this_thread()?.taken(), before);
    read.finish(ring.as_mut().expect("the parent keeps its own"))
}

/// H24: nothing of the queues is the child's: not to write into, and not to keep the ring alive with.
fn h24_ring_memory_is_not_inherited(context: &Context) -> TestResult {
    drop(Ring::new(1)?);
    let before = memory::wiped_pages()?;
    let mut ring = Some(common::ring(context, 8)?);
    let own = ring.as_mut().expect("just made");
    own.call(Nop::new())??;
    let read = pending::submit(own)?;
    let mapped = memory::kernel_mappings()?;
    let pages: Vec<_> = memory::wiped_pages()?
        .difference(&before)
        .copied()
        .collect();
    assert_eq!(mapped.is_empty(), context.handle() == HandleKind::Born);
    assert_eq!(pages.is_empty(), context.handle() != HandleKind::Born);
    fork_and(|| {
        assert!(memory::kernel_mappings()?.is_empty());
        for page in pages {
            let page: *const u64 = std::ptr::with_exposed_provenance(page);
            // SAFETY: the page was mapped before the fork and is the child's own.
            assert_eq!(unsafe { page.read_volatile() }, 0, "it was not wiped");
        }
        Ok(())
    })?
    .check()?;
    read.finish(own)
}

/// What the child maps where the parent has its queues is not the copy's to unmap.
fn h24_a_copy_unmaps_nothing_of_others(context: &Context) -> TestResult {
    let mut ring = Some(common::ring(context, 8)?);
    let mapped = memory::kernel_mappings()?;
    assert_eq!(mapped.len(), 2);
    fork_and(|| {
        let mut new = Vec::new();
        for range in &mapped {
            let wanted = std::ptr::with_exposed_provenance_mut::<libc::c_void>(range.start);
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
            let access = libc::PROT_READ | libc::PROT_WRITE;
            // SAFETY: nothing is replaced by a mapping at a place that is free.
            let got = unsafe { libc::mmap(wanted, range.len(), access, flags, -1, 0) };
            assert_eq!(got, wanted, "the place is not free in the child");
            let word = got.cast::<u64>();
            // SAFETY: the mapping just made.
            unsafe { word.write_volatile(7) };
            new.push(word);
        }
        let mut copy = ring.take().expect("the child has its copy");
        forked(copy.submit());
        forked(copy.next_completion());
        assert_eq!(copy.dropped_completions(), 0);
        drop(copy);
        for word in new {
            // SAFETY: it is mapped, unless the copy's drop has unmapped what it should not.
            assert_eq!(unsafe { word.read_volatile() }, 7);
        }
        Ok(())
    })?
    .check()?;
    ring.expect("the parent keeps its own").call(Nop::new())??;
    Ok(())
}

/// H17: the index of the child's own ring is that of the parent's, and the stale copy must not drive it.
fn h17_the_same_index_is_another_ring(context: &Context) -> TestResult {
    for stale_first in [false, true] {
        let mut ring = Some(common::ring(context, 8)?);
        let pushed = ring.as_mut().expect("just made").push(Nop::new())?;
        fork_and(|| {
            let mut own = common::ring(context, 8)?;
            assert!(Slots::of_this_thread()?.is_taken(0), "the same index");
            let token = own.push(Nop::new())?;
            let copy = ring.as_mut().expect("the child has its copy");
            forked(copy.submit());
            forked(copy.submit_and_wait(1));
            forked(copy.probe());
            forked(copy.register_direct(4));
            assert_eq!(own.pending(), 1, "the stale copy has submitted it");
            assert_eq!(own.direct_slots(), 0);
            if stale_first {
                drop(ring.take());
                assert_eq!(Slots::of_this_thread()?.taken(), 1);
                own.wait(token)??;
                own.register_direct(4)?;
            } else {
                own.wait(token)??;
                drop(own);
                drop(ring.take());
            }
            Ok(())
        })?
        .check()?;
        let mut own = ring.take().expect("the parent keeps its own");
        own.wait(pushed)??;
    }
    Ok(())
}

fn grandchildren_have_copies_too(context: &Context) -> TestResult {
    let mut first = common::ring(context, 8)?;
    let read = pending::submit(&mut first)?;
    fork_and(|| {
        let mut second = common::ring(context, 8)?;
        let childs = pending::submit(&mut second)?;
        fork_and(|| {
            forked(first.submit());
            forked(second.submit());
            let mut third = common::ring(context, 8)?;
            third.call(Nop::new())??;
            forked(first.submit());
            forked(second.submit());
            Ok(())
        })?
        .check()?;
        forked(first.submit());
        second.call(Nop::new())??;
        childs.finish(&mut second)
    })?
    .check()?;
    first.call(Nop::new())??;
    read.finish(&mut first)
}

/// H24: nothing of a child's keeps a ring without a descriptor alive, and of one with a descriptor only that.
fn h24_the_ring_ends_with_its_parent(context: &Context) -> TestResult {
    let mut ring = Some(common::ring(context, 8)?);
    let (reader, direct) = pending::only_writer(ring.as_mut().expect("just made"))?;
    let has_descriptor = !HandleKind::FDLESS.contains(&context.handle());
    let child = Child::run(|| {
        if has_descriptor {
            drop(ring.take());
        }
        Ok(())
    })?;
    assert!(
        pending::has_writer(&reader)?,
        "the child has ended the ring"
    );
    drop(ring.take());
    assert!(pending::has_no_writer(&reader)?, "the child keeps the ring");
    child.end()?;
    drop(direct);
    Ok(())
}

static RINGS: PerThread = PerThread::new(8);

fn per_thread_makes_a_ring_in_the_child(_: &Context) -> TestResult {
    // The ring of the test's own thread would still be there when its traces are looked for.
    thread::spawn(per_thread)
        .join()
        .expect("the thread does not panic")
}

fn per_thread() -> TestResult {
    let read = RINGS.with(pending::submit)??;
    fork_and(|| {
        RINGS.with(|ring| {
            assert_eq!(ring.in_flight(), 0, "the parent's ring");
            ring.call(Nop::new())
        })???;
        assert!(
            read.recording.dropped().is_some(),
            "the copy was not dropped"
        );
        fork_and(|| {
            RINGS.with(|ring| ring.call(Nop::new()))???;
            Ok(())
        })?
        .check()
    })?
    .check()?;
    RINGS.with(|ring| read.finish(ring))?
}

/// A child that is made in the middle of a scope leaves it: nobody works on its copy, so there is nothing to wait for.
fn a_scope_ends_in_the_child(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let (reader, writer) = files::pipe()?;
    let mut buffer = [0; 4];
    let child = ring.scope(|scope| -> TestResult<libc::pid_t> {
        let token = scope
            .push(Read::new(&reader, &mut buffer[..]))
            .map_err(Error::from)?;
        scope.submit()?;
        // SAFETY: the child leaves the scope and exits.
        let child = unsafe { libc::fork() };
        if child == 0 {
            forked(scope.wait(token));
        } else {
            File::from(writer).write_all(b"late")?;
            let done = scope.wait(token).map_err(Error::from)?;
            assert_eq!(done.result?, 4);
        }
        Ok(child)
    })?;
    if child == 0 {
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: our own child, and room for its status.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0);
    assert_eq!(&buffer, b"late");
    Ok(())
}

/// H6: without the library's refusal the child's index names nothing, though the ring's descriptor is open.
fn h06_what_the_kernel_says(context: &Context) -> TestResult {
    let ring = common::ring(context, 8)?;
    assert_eq!(raw::enter_index(0, 0), Ok(0));
    fork_and(|| {
        assert_eq!(raw::enter_index(0, 0), Err(uring_sys::Errno::EINVAL));
        Ok(())
    })?
    .check()?;
    drop(ring);
    Ok(())
}

pub(crate) fn suite() -> Suite {
    let mut suite = Suite::new("fork");
    suite.completed_by(common::completed);
    suite
        .test("h06_each_call", h06_each_call_is_refused)
        .on(HandleKind::ALL)
        .refused_by(the_handle_is_refused);
    suite.test("h06_transitions", h06_transitions_are_refused);
    suite
        .test("h06_parent_works_on", h06_the_parent_works_on)
        .on(HandleKind::ALL)
        .refused_by(the_handle_is_refused);
    suite
        .test("h06_copy_dropped_alone", h06_a_copy_is_dropped_alone)
        .on(HandleKind::ALL)
        .refused_by(the_handle_is_refused);
    suite
        .test("h06_index_without_a_ring", h06_what_the_kernel_says)
        .on(HandleKind::BOUND)
        .refused_by(the_handle_is_refused);
    suite
        .test("h24_memory", h24_ring_memory_is_not_inherited)
        .on(HandleKind::ALL)
        .refused_by(the_handle_is_refused);
    suite
        .test("h24_unmapping", h24_a_copy_unmaps_nothing_of_others)
        .on([HandleKind::Fd, HandleKind::Registered, HandleKind::Closed])
        .refused_by(the_handle_is_refused);
    suite
        .test(
            "h24_ends_with_its_parent",
            h24_the_ring_ends_with_its_parent,
        )
        .on(HandleKind::ALL)
        .refused_by(the_handle_is_refused);
    suite
        .test("h17_same_index", h17_the_same_index_is_another_ring)
        .on(HandleKind::BOUND)
        .refused_by(the_handle_is_refused);
    suite
        .test("grandchildren", grandchildren_have_copies_too)
        .on(HandleKind::ALL)
        .refused_by(the_handle_is_refused);
    suite.test("per_thread", per_thread_makes_a_ring_in_the_child);
    suite
        .test("scope", a_scope_ends_in_the_child)
        .on(HandleKind::ALL)
        .refused_by(the_handle_is_refused);
    suite
}
