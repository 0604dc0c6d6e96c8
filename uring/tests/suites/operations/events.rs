//! Results in the order in which they come, and of several operations at once.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::time::Duration;

use uring::op::{
    EndReason, Ended, Nop, Read, Timeout, TimeoutEnd, TimeoutMultishot, Transferred, Write,
};
use uring::{Builder, Chain, EventQueue, Push};
use uring_testkit::files::pipe;
use uring_testkit::{Context, TestResult};

use crate::common;
use crate::operations::files::assert_errno;

const SHORT: Duration = Duration::from_millis(2);
const HOUR: Duration = Duration::from_secs(3600);

#[derive(Debug)]
enum Event {
    Read(u32, Transferred<File, Vec<u8>>),
    Timeout(u32, io::Result<TimeoutEnd>),
    Nop(u32, io::Result<()>),
    Tick(u32, ()),
    Over(u32, Ended<TimeoutMultishot>),
}

pub(crate) fn events_in_order(context: &Context) -> TestResult {
    let mut ring = common::build(context, &Builder::new(8).in_flight(8))?;
    let mut events = EventQueue::new();
    assert!(events.next(&mut ring)?.is_none(), "nothing was pushed");
    assert!(events.try_next(&mut ring)?.is_none());

    let (reader, writer) = pipe()?;
    let read = |tag| -> TestResult<_> {
        let read = Read::new(File::from(reader.try_clone()?), vec![0; 4]);
        Ok((read, tag))
    };
    let (op, tag) = read(1)?;
    events.push(&mut ring, op, tag, Event::Read)?;
    let hour = events.push(&mut ring, Timeout::after(HOUR), 2, Event::Timeout)?;
    // Not of the queue's, between those that are.
    let other = ring.push(Nop::new())?;
    let mut second = EventQueue::new();
    second.push(&mut ring, Nop::new(), 4, Event::Nop)?;
    events.push(&mut ring, Nop::new(), 5, Event::Nop)?;
    assert_eq!((events.in_flight(), second.in_flight()), (3, 1));

    match events.next(&mut ring)? {
        Some(Event::Nop(5, Ok(()))) => {}
        event => panic!("{event:?}"),
    }
    events.push(&mut ring, Timeout::after(SHORT), 3, Event::Timeout)?;
    match events.next(&mut ring)? {
        Some(Event::Timeout(3, Ok(TimeoutEnd::TimeOver))) => {}
        event => panic!("{event:?}"),
    }
    assert!(events.try_next(&mut ring)?.is_none(), "an hour is not over");
    ring.call(Write::new(&writer, "text"))?.result?;
    match events.next(&mut ring)? {
        Some(Event::Read(1, done)) => {
            assert_eq!((done.result?, &done.buf[..]), (4, &b"text"[..]));
        }
        event => panic!("{event:?}"),
    }
    events.cancel(&mut ring, hour)?;
    match events.next(&mut ring)? {
        Some(Event::Timeout(2, result)) => assert_errno(result, libc::ECANCELED),
        event => panic!("{event:?}"),
    }
    events.cancel(&mut ring, hour)?;
    assert!(events.next(&mut ring)?.is_none(), "that was all");
    match second.next(&mut ring)? {
        Some(Event::Nop(4, Ok(()))) => {}
        event => panic!("{event:?}"),
    }
    ring.wait(other)??;
    assert_eq!(ring.in_flight(), 0);

    // What is refused comes back with its tag, and another ring is refused.
    for number in 0..8 {
        let drained = Push::new().drain();
        events.push_with(&mut ring, Nop::new(), number, Event::Nop, drained)?;
    }
    let (op, tag) = read(9)?;
    let refused = events
        .push(&mut ring, op, tag, Event::Read)
        .expect_err("every slot is taken");
    assert!(refused.error().is_out_of_slots(), "{refused}");
    let (op, tag) = refused.into_inner();
    assert_eq!(tag, 9);
    let mut stranger = common::ring(context, 4)?;
    let refused = events
        .push(&mut stranger, op, tag, Event::Read)
        .expect_err("the queue belongs to the other ring");
    assert!(refused.error().is_wrong_ring(), "{refused}");
    let wrong = events.next(&mut stranger).expect_err("as above");
    assert!(wrong.is_wrong_ring(), "{wrong}");
    for number in 0..8 {
        match events.next(&mut ring)? {
            Some(Event::Nop(tag, Ok(()))) => assert_eq!(tag, number),
            event => panic!("{event:?}"),
        }
    }
    Ok(())
}

/// Many at a time in few slots: each event has its own tag.
pub(crate) fn events_have_their_tags(context: &Context) -> TestResult {
    let mut ring = common::build(context, &Builder::new(16).in_flight(16))?;
    let mut events = EventQueue::new();
    let (mut next, mut counts) = (0_u32, BTreeMap::new());
    let all = u32::try_from(context.rounds(2000))?.max(40);
    while next < all || events.in_flight() > 0 {
        while next < all && events.in_flight() < 12 {
            if next % 3 == 0 {
                let timeout = Timeout::after(Duration::from_nanos(u64::from(next)));
                events.push(&mut ring, timeout, next, Event::Timeout)?;
            } else {
                events.push(&mut ring, Nop::new(), next, Event::Nop)?;
            }
            next += 1;
        }
        let (tag, is_timeout) = match events.next(&mut ring)?.ok_or("some are in flight")? {
            Event::Timeout(tag, Ok(TimeoutEnd::TimeOver)) => (tag, true),
            Event::Nop(tag, Ok(())) => (tag, false),
            event => panic!("{event:?}"),
        };
        assert_eq!(is_timeout, tag % 3 == 0, "{tag}");
        *counts.entry(tag).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), usize::try_from(all)?);
    assert!(counts.values().all(|count| *count == 1));
    Ok(())
}

pub(crate) fn events_of_multishot(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let mut events = EventQueue::new();
    let ticks = || TimeoutMultishot::every(SHORT);
    let repeats = ticks().repeats(3);
    events.push_multishot(&mut ring, repeats, 1, Event::Tick, Event::Over)?;
    let endless = events.push_multishot(&mut ring, ticks(), 2, Event::Tick, Event::Over)?;
    let (mut items, mut ended) = ([0; 3], Vec::new());
    while let Some(event) = events.next(&mut ring)? {
        match event {
            Event::Tick(tag, ()) => {
                let count = &mut items[usize::try_from(tag)?];
                *count += 1;
                // Once is not enough: one that has fired and is not armed again is not found.
                if tag == 2 && *count >= 5 {
                    events.cancel(&mut ring, endless)?;
                }
            }
            Event::Over(tag, over) => ended.push((tag, over)),
            event => panic!("{event:?}"),
        }
    }
    assert_eq!(items[1], 3);
    assert!(items[2] >= 5, "{items:?}");
    ended.sort_unstable_by_key(|(tag, _)| *tag);
    let [(1, first), (2, second)] = &ended[..] else {
        panic!("{ended:?}")
    };
    assert!(matches!(first.reason, EndReason::Finished), "{first:?}");
    assert!(matches!(second.reason, EndReason::Cancelled), "{second:?}");
    // With nobody to take its items.
    let repeats = ticks().repeats(2);
    events.push(&mut ring, repeats, 3, Event::Over)?;
    match events.next(&mut ring)? {
        Some(Event::Over(3, over)) => assert!(matches!(over.reason, EndReason::Finished)),
        event => panic!("{event:?}"),
    }
    Ok(())
}

pub(crate) fn wait_all(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 16)?;
    let (reader, writer) = pipe()?;
    let reader = File::from(reader);
    let nops = [ring.push(Nop::new())?, ring.push(Nop::new())?];
    let read = ring.push(Read::new(reader.try_clone()?, vec![0; 3]))?;
    let mut writes = Vec::new();
    for text in ["a", "b", "c"] {
        writes.push(ring.push(Write::new(writer.try_clone()?, text))?);
    }
    let chain = ring.push_chain(Chain::new(Nop::new()).then(Nop::new()).then(Nop::new()))?;
    let ((nops, read), (writes, ((one, two), three))) =
        ring.wait_all(((nops, read), (writes, chain)))?;
    nops.into_iter()
        .chain([one, two, three])
        .collect::<io::Result<()>>()?;
    assert!(read.result? > 0);
    for write in writes {
        assert_eq!(write.result?, 1);
    }
    // One of another ring: all come back, and none is lost.
    let mut other = common::ring(context, 4)?;
    let (mine, strange) = (ring.push(Nop::new())?, other.push(Nop::new())?);
    let refused = ring
        .wait_all([mine, strange])
        .expect_err("one is of the other ring");
    assert!(refused.error().is_wrong_ring(), "{refused}");
    let [mine, strange] = refused.into_inner();
    ring.wait(mine)??;
    other.wait(strange)??;
    let mut bytes = [0; 4];
    ring.scope(|scope| -> TestResult {
        let read = scope.push(Read::new(File::open("/proc/version")?, &mut bytes[..]))?;
        let nop = scope.push(Nop::new())?;
        let (read, nop) = scope.wait_all((read, nop))?;
        assert_eq!(read.result?, 4);
        Ok(nop?)
    })?;
    assert_eq!((&bytes, ring.in_flight()), (b"Linu", 0));
    Ok(())
}

/// Drops are counted, as those of tags and of what operations own.
struct Tag<'counts>(&'static str, &'counts Cell<u32>);

impl Drop for Tag<'_> {
    fn drop(&mut self) {
        self.1.set(self.1.get() + 1);
    }
}

/// The name, the result and the first byte.
fn was_read<F>(
    tag: Tag<'_>,
    done: Transferred<F, &mut [u8]>,
) -> (&'static str, io::Result<usize>, u8) {
    (tag.0, done.result, done.buf[0])
}

/// Borrowed memory, nested scopes, and events that never come since their scope has ended.
pub(crate) fn events_in_scopes(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let (reader, writer) = pipe()?;
    let file = File::open("/proc/version")?;
    let dropped = Cell::new(0);
    let (mut first, mut second, mut left, mut never) = ([0; 5], [0; 5], [0; 5], [0; 4]);
    let mut events = EventQueue::new();
    let tag = |name| Tag(name, &dropped);
    ring.scope(|scope| -> TestResult {
        let key = events.push(
            scope,
            Read::new(&reader, &mut never[..]),
            tag("never"),
            was_read,
        )?;
        events.push(
            scope,
            Read::new(&file, &mut first[..]).at(0),
            tag("first"),
            was_read,
        )?;
        let (name, result, byte) = events.next(scope)?.ok_or("it comes")?;
        assert_eq!((name, result?, byte), ("first", 5, b'L'));
        assert!(events.try_next(scope)?.is_none());
        scope.scope(|inner| -> TestResult {
            events.push(
                inner,
                Read::new(&file, &mut second[..]).at(0),
                tag("second"),
                was_read,
            )?;
            // Pushed in the outer scope, and told in this one.
            events.cancel(inner, key)?;
            let mut names = [events.next(inner)?, events.next(inner)?].map(|event| {
                let (name, result, _) = event.expect("two are in flight");
                (name, result.ok())
            });
            names.sort_unstable();
            assert_eq!(names, [("never", None), ("second", Some(5))]);
            assert!(events.next(inner)?.is_none());
            Ok(())
        })?;
        assert_eq!(events.in_flight(), 0);
        // Left behind, with nobody to take the event.
        events.push(
            scope,
            Read::new(&file, &mut left[..]).at(0),
            tag("left"),
            was_read,
        )?;
        Ok(())
    })?;
    assert_eq!((first, second), (*b"Linux", *b"Linux"));
    assert_eq!((events.in_flight(), dropped.get()), (1, 3));
    assert!(events.next(&mut ring)?.is_none());
    assert_eq!((events.in_flight(), dropped.get()), (0, 4));

    // The slot of what was left behind is another's by now, also the queue's own.
    for _ in 0..3 {
        ring.scope(|scope| -> TestResult {
            events.push(
                scope,
                Read::new(&file, &mut first[..]).at(0),
                tag("left"),
                was_read,
            )?;
            Ok(())
        })?;
    }
    let event = |tag: Tag<'_>, result: io::Result<()>| (tag.0, result.map(|()| 1), 1);
    for _ in 0..3 {
        events.push(&mut ring, Nop::new(), tag("own"), event)?;
    }
    for _ in 0..3 {
        let (name, result, byte) = events.next(&mut ring)?.ok_or("it comes")?;
        assert_eq!((name, result?, byte), ("own", 1, 1));
    }
    assert!(events.next(&mut ring)?.is_none());
    assert_eq!(dropped.get(), 10);
    // A panic ends the scope, and what was in flight with it.
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        ring.scope(|scope| {
            let read = Read::new(&reader, &mut never[..]);
            events
                .push(scope, read, tag("lost"), was_read)
                .expect("there is room");
            panic!("on purpose");
        });
    }));
    common::assert_panicked(panicked, "on purpose");
    assert!(events.next(&mut ring)?.is_none());
    assert_eq!((events.in_flight(), dropped.get()), (0, 11));
    drop(writer);
    Ok(())
}
