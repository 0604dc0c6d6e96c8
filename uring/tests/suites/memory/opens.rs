//! An open that nobody claims leaves no file open (M4), and what is forgotten leaks no more than itself (M6).

use std::cell::RefCell;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::mem;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use uring::op::{Nop, OpenAt};
use uring::{Any, Push, Ring};
use uring_testkit::files::TempDir;
use uring_testkit::{Context, FdTable, HandleKind, Leaks, TestResult};

use crate::common::{self, pending};
use crate::memory::buffers::{Disk, OnDrop, close_leaked_files};

const ROUNDS: u64 = 1000;

/// What becomes of a token whose operation may or may not have begun.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Cancelled,
    CancelledAndDetached,
    Detached,
    TokenDropped,
    RingDropped,
}

impl Fate {
    const ALL: [Fate; 5] = [
        Fate::Cancelled,
        Fate::CancelledAndDetached,
        Fate::Detached,
        Fate::TokenDropped,
        Fate::RingDropped,
    ];
}

/// A worker of the kernel's opens, so that the open and what becomes of it race.
fn racing(round: u64) -> Push {
    if round % 3 == 0 {
        Push::new()
    } else {
        Push::new().always_async()
    }
}

/// Waits until nothing is in flight.
pub(crate) fn settle(ring: &mut Ring<Any>) -> TestResult {
    while ring.in_flight() > 0 {
        ring.submit_and_wait(1)?;
        ring.next_completion()?;
    }
    Ok(())
}

pub(crate) fn m04_open_into_a_descriptor(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 16)?;
    let before = FdTable::now()?;
    for round in 0..context.rounds(ROUNDS) {
        for fate in Fate::ALL {
            let mut of_its_own = match fate {
                Fate::RingDropped if round % 20 == 0 => Some(common::ring(context, 4)?),
                Fate::RingDropped => continue,
                // Its slot stays taken until its ring ends.
                Fate::TokenDropped if round % 20 == 0 => Some(common::ring(context, 4)?),
                Fate::TokenDropped => continue,
                _ => None,
            };
            let ring = of_its_own.as_mut().unwrap_or(&mut ring);
            let token = ring.push_with(OpenAt::new(c"/dev/null"), racing(round))?;
            ring.submit()?;
            match fate {
                Fate::Cancelled => {
                    ring.cancel(&token)?;
                    match ring.wait(token)?.result {
                        Ok(file) => drop(file),
                        Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ECANCELED)),
                    }
                }
                Fate::CancelledAndDetached => {
                    ring.cancel(&token)?;
                    ring.detach(token);
                }
                Fate::Detached => ring.detach(token),
                Fate::TokenDropped => {
                    drop(token);
                    settle(ring)?;
                }
                Fate::RingDropped => drop(of_its_own.take()),
            }
        }
    }
    settle(&mut ring)?;
    let left = before.diff(&FdTable::now()?);
    assert!(left.is_empty(), "{left}");
    Ok(())
}

/// A pipe with a name: it can be opened for writing without waiting as long as somebody has it open for reading.
struct Fifo {
    dir: TempDir,
}

impl Fifo {
    fn new() -> TestResult<Fifo> {
        let dir = TempDir::new()?;
        let fifo = Fifo { dir };
        // SAFETY: a string that ends in a zero byte.
        if unsafe { libc::mkfifo(c_path(&fifo.path()).as_ptr(), 0o600) } == -1 {
            return Err(io::Error::last_os_error().into());
        }
        Ok(fifo)
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("fifo")
    }

    fn open(&self) -> OpenAt<CString> {
        OpenAt::new(c_path(&self.path())).flags(libc::O_NONBLOCK)
    }

    fn has_reader(&self) -> bool {
        let mut options = File::options();
        options.write(true).custom_flags(libc::O_NONBLOCK);
        options.open(self.path()).is_ok()
    }

    /// A ring that is gone lets go of its files a little later.
    fn assert_no_reader(&self) -> TestResult {
        let closed = pending::before_long(|| Ok(!self.has_reader()))?;
        assert!(closed, "a file was left open in the ring's table");
        Ok(())
    }
}

fn c_path(path: &Path) -> CString {
    CString::new(path.to_owned().into_os_string().into_vec()).expect("no zero byte in it")
}

pub(crate) fn m04_open_into_a_direct_descriptor(context: &Context) -> TestResult {
    const SLOTS: u32 = 8;
    let fifo = Fifo::new()?;
    let mut ring = common::ring(context, 16)?;
    ring.register_direct(SLOTS)?;
    for round in 0..context.rounds(ROUNDS) {
        for fate in [Fate::Cancelled, Fate::CancelledAndDetached, Fate::Detached] {
            let slot = match ring.direct_slot() {
                Ok(slot) => slot,
                Err(_) => {
                    settle(&mut ring)?;
                    ring.direct_slot()?
                }
            };
            let token = ring.push_with(fifo.open().into_direct(slot), racing(round))?;
            ring.submit()?;
            match fate {
                Fate::Detached => ring.detach(token),
                Fate::CancelledAndDetached => {
                    ring.cancel(&token)?;
                    ring.detach(token);
                }
                _ => {
                    ring.cancel(&token)?;
                    match ring.wait(token)?.result {
                        Ok(direct) => drop(direct),
                        Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ECANCELED)),
                    }
                }
            }
        }
    }
    settle(&mut ring)?;
    let slots: Vec<_> = (0..SLOTS)
        .map(|_| ring.direct_slot())
        .collect::<Result<_, _>>()?;
    assert!(ring.direct_slot().is_err(), "the table has {SLOTS} slots");
    fifo.assert_no_reader()?;
    drop(slots);
    Ok(())
}

/// Open files of the table, and opens on their way, end with the ring.
pub(crate) fn m04_ring_dropped_with_direct_descriptors(context: &Context) -> TestResult {
    let fifo = Fifo::new()?;
    for round in 0..20 {
        let mut ring = common::ring(context, 8)?;
        ring.register_direct(4)?;
        let slot = ring.direct_slot()?;
        let open = ring.call(fifo.open().into_direct(slot))?.result?;
        assert!(fifo.has_reader());
        let slot = ring.direct_slot()?;
        let on_its_way = ring.push_with(fifo.open().into_direct(slot), racing(round))?;
        ring.submit()?;
        drop(ring);
        drop((open, on_its_way));
        fifo.assert_no_reader()?;
    }
    Ok(())
}

/// What a forgotten ring leaves behind.
pub(crate) fn of_a_forgotten_ring(handle: HandleKind) -> Leaks {
    let (slots, descriptors, ring_mappings) = match handle {
        HandleKind::Fd => (0, 1, 2),
        HandleKind::Registered => (1, 1, 2),
        HandleKind::Closed => (1, 0, 2),
        HandleKind::Born => (1, 0, 0),
    };
    Leaks {
        slots,
        descriptors,
        ring_mappings,
    }
}

pub(crate) fn m06_ring_forgotten(context: &Context) -> TestResult {
    let disk = Disk::new()?;
    let mut ring = common::ring(context, 8)?;
    let (read, recording) = disk.read()?;
    let token = ring.push(read)?;
    ring.submit()?;
    mem::forget(ring);
    drop((token, disk));
    thread::sleep(Duration::from_millis(50));
    assert!(recording.dropped().is_none());
    common::ring(context, 4)?.call(Nop::new())??;
    // The file stays open with the operation that was forgotten; the kernel is done with it.
    close_leaked_files()
}

/// A ring that one of its own buffers keeps alive is forgotten too.
pub(crate) fn m06_ring_in_its_own_buffer(context: &Context) -> TestResult {
    let cycle = Rc::new(RefCell::new(Some(common::ring(context, 8)?)));
    let held = Rc::clone(&cycle);
    let buffer = OnDrop::new(move || assert!(held.try_borrow().is_err()));
    let mut ring = cycle.borrow_mut();
    let ring_in_cycle = ring.as_mut().ok_or("it was just put there")?;
    let token = ring_in_cycle.push(buffer.written()?)?;
    ring_in_cycle.submit()?;
    drop((ring, token));
    drop(cycle);
    common::ring(context, 4)?.call(Nop::new())??;
    close_leaked_files()
}

pub(crate) fn m06_tokens_forgotten(context: &Context) -> TestResult {
    let disk = Disk::new()?;
    let mut ring = common::ring(context, 8)?;
    let (read, recording) = disk.read()?;
    drop(ring.push(read)?);
    let (read, lent) = disk.read()?;
    ring.scope(|scope| -> TestResult {
        drop(scope.push(read)?);
        Ok(())
    })?;
    assert_eq!(lent.changed_since_drop(), Some(0));
    drop(ring);
    assert_eq!(recording.changed_since_drop(), Some(0));
    Ok(())
}
