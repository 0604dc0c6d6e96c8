//! No heap allocation per operation in the steady state.

use crate::common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use uring::op::{
    Cancel, Cancelled, Close, CloseDirect, Fsync, LinkTimeout, Nop, OpenAt, Read, Statx, Timeout,
    TimeoutEnd, Write,
};
use uring::{Any, Chain, EventQueue, Local, Ring, WakeUp};
use uring_testkit::files::TempDir;
use uring_testkit::{Context, HandleKind, Suite, TestResult};

struct Counting;

thread_local! {
    /// Those of the test's own thread: the harness has threads too.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count_allocation() {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count_allocation();
        // SAFETY: passed on to the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: passed on to the caller.
        unsafe { System.dealloc(start, layout) }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, length: usize) -> *mut u8 {
        count_allocation();
        // SAFETY: passed on to the caller.
        unsafe { System.realloc(start, layout, length) }
    }
}

const OPERATIONS: u64 = 1_000_000;
const WARM_UP: u32 = 20;
/// Until the most has been given up and woken at once that there ever is.
const LONG_WARM_UP: u64 = 300;

/// What the rounds hand to operations and get back.
struct Resources {
    file: Arc<File>,
    buffer: Vec<u8>,
    events: EventQueue<u8, Event>,
}

enum Event {
    Nop(u8, io::Result<()>),
    Timeout(u8, io::Result<TimeoutEnd>),
}

/// Operations of every kind that owns no more than what it was given; the number of them.
fn mixed(ring: &mut Ring<Any>, resources: &mut Resources) -> TestResult<u64> {
    let file = || Arc::clone(&resources.file);
    // Several in flight, claimed in another order.
    let first = ring.push(Nop::new())?;
    let second = ring.push(Nop::new())?;
    let write = ring.push(Write::new(file(), std::mem::take(&mut resources.buffer)).at(0))?;
    let timeout = ring.push(Timeout::after(Duration::from_nanos(1)))?;
    ring.wait(second)??;
    let written = ring.wait(write)?;
    assert_eq!(written.result?, written.buf.len());
    let read = ring.call(Read::new(file(), written.buf).at(0))?;
    read.result?;
    resources.buffer = read.buf;
    ring.wait(timeout)??;
    ring.wait(first)??;
    ring.call(Fsync::new(&resources.file).data_only())?.result?;

    let fd: OwnedFd = ring.call(OpenAt::new(c"/dev/null"))?.result?;
    ring.call(Close::new(fd))??;
    let slot = ring.direct_slot()?;
    let direct = ring
        .call(OpenAt::new(c"/dev/null").into_direct(slot))?
        .result?;
    ring.call(CloseDirect::new(direct))??;
    let slot = ring.direct_slot()?;
    drop(
        ring.call(OpenAt::new(c"/dev/null").into_direct(slot))?
            .result?,
    );

    let hour = ring.push(Timeout::after(Duration::from_secs(3600)))?;
    assert_eq!(ring.call(Cancel::token(&hour))??, Cancelled::Count(1));
    assert_eq!(
        ring.wait(hour)?.unwrap_err().raw_os_error(),
        Some(libc::ECANCELED)
    );
    let detached = ring.push(Nop::new())?;
    ring.detach(detached);
    let (first, second) = ring.push_chain(Chain::new(Nop::new()).then(Nop::new()))?;
    ring.wait(second)??;
    ring.wait(first)??;
    ring.push_raw(Nop::new(), 1)?;
    ring.submit_and_wait(1)?;
    while ring.next_completion()?.is_some() {}
    Ok(16 + many_at_once(ring, &mut resources.events)?)
}

/// Operations that are pushed or claimed together; the number of them.
fn many_at_once(ring: &mut Ring<Any>, events: &mut EventQueue<u8, Event>) -> TestResult<u64> {
    ring.batch(|batch| (0..8).try_for_each(|number| batch.push_raw(Nop::new(), number)))?;
    ring.submit_and_wait(8)?;
    assert_eq!(ring.for_each(drop)?, 8);

    let limit = LinkTimeout::after(Duration::from_secs(3600));
    let chain = Chain::new(Nop::new())
        .timeout(limit)
        .then_always(Nop::new());
    let tokens = ring.push_chain(chain)?;
    let nops = [ring.push(Nop::new())?, ring.push(Nop::new())?];
    let (_, nops) = ring.wait_all((tokens, nops))?;
    nops.into_iter().collect::<io::Result<()>>()?;

    events.push(ring, Nop::new(), 1, Event::Nop)?;
    let soon = Timeout::after(Duration::from_nanos(1));
    events.push(ring, soon, 2, Event::Timeout)?;
    let mut tags = 0;
    while let Some(event) = events.next(ring)? {
        tags += match event {
            Event::Nop(tag, result) => result.map(|()| tag)?,
            Event::Timeout(tag, result) => result.map(|_| tag)?,
        };
    }
    assert_eq!(tags, 3);
    Ok(15)
}

fn owned_operations_do_not_allocate(context: &Context) -> TestResult {
    let dir = TempDir::new()?;
    let path = dir.path().join("file");
    let file = File::options()
        .create_new(true)
        .read(true)
        .write(true)
        .open(path)?;
    let mut resources = Resources {
        file: Arc::new(file),
        buffer: vec![7; 512],
        events: EventQueue::new(),
    };
    let mut ring = common::ring(context, 16)?;
    ring.register_direct(4)?;
    for _ in 0..WARM_UP {
        mixed(&mut ring, &mut resources)?;
    }
    let wanted = context.rounds(OPERATIONS);
    let (mut operations, before) = (0, ALLOCATIONS.get());
    while operations < wanted {
        operations += mixed(&mut ring, &mut resources)?;
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
    Ok(())
}

/// The answer of a [`Statx`] is on the heap, once, and nothing else is.
fn statx_allocates_its_answer(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 4)?;
    for _ in 0..WARM_UP {
        ring.call(Statx::new(c"/dev/null"))?.result?;
    }
    let before = ALLOCATIONS.get();
    for _ in 0..WARM_UP {
        ring.call(Statx::new(c"/dev/null"))?.result?;
    }
    let allocations = ALLOCATIONS.get() - before;
    assert_eq!(allocations, u64::from(WARM_UP));
    Ok(())
}

/// Futures cost no allocation either: of the ring, its executor, or a task that goes on.
fn awaited_operations_do_not_allocate(context: &Context) -> TestResult {
    for wake_up in [WakeUp::Best, WakeUp::Eventfd, WakeUp::ShortWaits] {
        let local = Local::with_wake_up(common::ring(context, 8)?, wake_up);
        awaited(&local, context.rounds(OPERATIONS / 150))?;
    }
    Ok(())
}

fn awaited(local: &Local, wanted: u64) -> TestResult {
    let file = Arc::new(File::open("/dev/zero")?);
    let mut buffer = vec![7; 512];
    let reports = Rc::new(Cell::new(0));
    let beside = local.spawn({
        let (local, reports) = (local.clone(), Rc::clone(&reports));
        async move {
            while local.submit(Nop::new()).await.is_ok() {
                reports.set(reports.get() + 1);
            }
        }
    });
    local.block_on(async {
        let mut before = 0;
        for round in 0..LONG_WARM_UP + wanted {
            if round == LONG_WARM_UP {
                before = ALLOCATIONS.get();
            }
            local.submit(Nop::new()).await??;
            let done = local.submit(Read::new(file.clone(), buffer)).await?;
            done.result?;
            buffer = done.buf;
            // Given up before it has ended, and cancelled.
            let mut hour = pin!(local.submit(Timeout::after(Duration::from_secs(3600))));
            poll_fn(|context| Poll::Ready(hour.as_mut().poll(context).is_pending())).await;
            local
                .submit(Timeout::after(Duration::from_nanos(1)))
                .await??;
        }
        assert_eq!(ALLOCATIONS.get() - before, 0);
        assert!(reports.get() > wanted, "the task beside has not run");
        beside.abort();
        TestResult::Ok(())
    })?
}

pub(crate) fn suite() -> Suite {
    let mut suite = Suite::new("allocation");
    suite.completed_by(common::completed);
    suite.handles_refused_in("lifecycle");
    suite
        .test("owned_operations", owned_operations_do_not_allocate)
        .on(HandleKind::ALL)
        .timeout(Duration::from_secs(120));
    suite
        .test("awaited_operations", awaited_operations_do_not_allocate)
        .on(HandleKind::ALL)
        .timeout(Duration::from_secs(120));
    suite
        .test("statx_answer", statx_allocates_its_answer)
        .on(HandleKind::ALL);
    suite
}
