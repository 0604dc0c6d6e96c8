//! Buffers that count their drops, run code in them, and reads from a disk that write late.

use std::cell::Cell;
use std::fmt;
use std::fs::File;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use uring::op::{Read, Write};
use uring::{Buf, BufMut};
use uring_testkit::files::{TempDir, is_in_memory, open_direct};
use uring_testkit::{FdTable, Recording, TestResult};

use crate::common::Recorded;

/// Few enough pages to be one request to the disk: what the kernel has to split goes to a worker, and may be cancelled before it has begun.
pub(crate) const LENGTH: usize = 128 << 10;

/// A file on a disk, read past the page cache.
pub(crate) struct Disk {
    pub(crate) file: Arc<File>,
    _dir: TempDir,
}

impl Disk {
    pub(crate) fn new() -> TestResult<Disk> {
        let dir = TempDir::new()?;
        if is_in_memory(dir.path())? {
            let place = dir.path().display();
            return Err(
                format!("{place} is in memory, where no read is late: set URING_TEST_DIR").into(),
            );
        }
        let path = dir.random_file("contents", LENGTH, 1)?;
        File::open(&path)?.sync_all()?;
        let file = Arc::new(open_direct(&path)?);
        Ok(Disk { file, _dir: dir })
    }

    /// A read of the whole file, and what watches its buffer.
    pub(crate) fn read(&self) -> TestResult<(Read<Arc<File>, Recorded>, Recording)> {
        let (buffer, recording) = Recorded::new(LENGTH)?;
        Ok((Read::new(Arc::clone(&self.file), buffer).at(0), recording))
    }
}

/// Long enough for what the disk still does to show.
pub(crate) const SETTLED: Duration = Duration::from_millis(10);

/// Each buffer was dropped, and is as it was then.
#[track_caller]
pub(crate) fn assert_untouched_since_drop(recordings: &[Recording]) {
    thread::sleep(SETTLED);
    for (index, recording) in recordings.iter().enumerate() {
        let changed = recording.changed_since_drop();
        assert_eq!(
            changed,
            Some(0),
            "bytes of buffer {index} that were written after its drop"
        );
    }
}

/// Sixteen bytes whose drop calls a closure.
pub(crate) struct OnDrop<F: FnMut()> {
    bytes: Box<[u8]>,
    on_drop: F,
}

impl<F: FnMut()> OnDrop<F> {
    pub(crate) fn new(on_drop: F) -> OnDrop<F> {
        OnDrop {
            bytes: Box::new([7; 16]),
            on_drop,
        }
    }

    /// A write of it that succeeds at once.
    pub(crate) fn written(self) -> TestResult<Write<File, Self>> {
        let null = File::options().write(true).open("/dev/null")?;
        Ok(Write::new(null, self))
    }
}

impl<F: FnMut()> fmt::Debug for OnDrop<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnDrop").finish_non_exhaustive()
    }
}

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.on_drop)();
    }
}

// SAFETY: heap memory owned by the value and never changed; the methods do nothing else.
unsafe impl<F: FnMut()> Buf for OnDrop<F> {
    fn as_ptr(&self) -> *const u8 {
        self.bytes.as_ptr()
    }

    fn len(&self) -> usize {
        self.bytes.len()
    }
}

// SAFETY: heap memory owned by the value, initialised throughout; the methods do nothing else.
unsafe impl<F: FnMut()> BufMut for OnDrop<F> {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        self.bytes.as_mut_ptr()
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }

    unsafe fn set_filled(&mut self, _: usize) {}
}

/// How often something was dropped.
#[derive(Clone, Default)]
pub(crate) struct Drops(Rc<Cell<u32>>);

impl Drops {
    pub(crate) fn count(&self) -> u32 {
        self.0.get()
    }

    /// A buffer whose drop is counted.
    pub(crate) fn counted(&self) -> OnDrop<impl FnMut() + 'static> {
        let drops = self.clone();
        OnDrop::new(move || drops.0.set(drops.0.get() + 1))
    }

    /// A buffer whose drop is counted, and panics.
    pub(crate) fn panicking(&self) -> OnDrop<impl FnMut() + 'static> {
        let drops = self.clone();
        OnDrop::new(move || {
            drops.0.set(drops.0.get() + 1);
            panic!("a destructor's own panic");
        })
    }
}

/// Closes the files of operations that were leaked: nobody can reach them any more, and the rings among them stay.
pub(crate) fn close_leaked_files() -> TestResult {
    for (fd, target) in FdTable::now()?.iter() {
        if fd > 2 && !target.as_os_str().to_string_lossy().contains("io_uring") {
            // SAFETY: whoever calls has dropped every other file of this process.
            unsafe { libc::close(fd) };
        }
    }
    Ok(())
}
