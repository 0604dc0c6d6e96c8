//! A buffer that records what it held when it was dropped.

use std::{
    fmt, io,
    ops::{Deref, DerefMut},
    slice,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use crate::mapping::Mapping;

/// Memory whose drop is a moment to look at: a kernel that writes later writes into a buffer that was given back.
///
/// The memory is a mapping of its own, zeroed and aligned to a page (so `O_DIRECT` takes it). It stays mapped after the
/// drop, until the [`Recording`] is gone too: a late write is seen instead of being undefined.
///
/// # Examples
///
/// ```
/// use uring_testkit::RecordingBuffer;
///
/// let (mut buffer, recording) = RecordingBuffer::new(8 << 20)?;
/// let late: *mut u8 = &mut buffer[4096];
/// assert!(recording.dropped().is_none());
/// drop(buffer);
/// assert_eq!(recording.changed_since_drop(), Some(0));
///
/// // SAFETY: the recording keeps the memory mapped.
/// unsafe { late.write(1) };
/// assert_eq!(recording.changed_since_drop(), Some(1));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct RecordingBuffer {
    memory: Arc<Mapping>,
    length: usize,
    last: Arc<Mutex<Option<Dropped>>>,
}

/// What a [`RecordingBuffer`] held when it was dropped.
#[derive(Clone)]
pub struct Dropped {
    /// When.
    pub at: Instant,
    /// What.
    pub contents: Vec<u8>,
}

impl fmt::Debug for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dropped")
            .field("at", &self.at)
            .field("length", &self.contents.len())
            .finish()
    }
}

/// The watcher's side of a [`RecordingBuffer`].
#[derive(Debug)]
pub struct Recording {
    memory: Arc<Mapping>,
    last: Arc<Mutex<Option<Dropped>>>,
}

impl RecordingBuffer {
    /// Maps `length` bytes.
    ///
    /// # Errors
    ///
    /// `mmap` failed, as it does for a length of 0.
    pub fn new(length: usize) -> io::Result<(Self, Recording)> {
        let memory = Arc::new(Mapping::anonymous(length)?);
        let last = Arc::new(Mutex::new(None));
        let recording = Recording {
            memory: Arc::clone(&memory),
            last: Arc::clone(&last),
        };
        let buffer = Self {
            memory,
            length,
            last,
        };
        Ok((buffer, recording))
    }

    /// Where the memory is; the address does not change when the buffer is moved.
    #[must_use]
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.memory.pointer().as_ptr()
    }
}

impl Deref for RecordingBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping is this long and readable, and as long as the buffer is borrowed nobody writes to it:
        // giving it to the kernel takes `as_mut_ptr` and with it the promise not to look.
        unsafe { slice::from_raw_parts(self.memory.pointer().as_ptr(), self.length) }
    }
}

impl DerefMut for RecordingBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `deref`, and the buffer is exclusively borrowed.
        unsafe { slice::from_raw_parts_mut(self.memory.pointer().as_ptr(), self.length) }
    }
}

impl fmt::Debug for RecordingBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordingBuffer({} bytes)", self.length)
    }
}

impl Drop for RecordingBuffer {
    fn drop(&mut self) {
        let dropped = Dropped {
            at: Instant::now(),
            contents: snapshot(&self.memory, self.length),
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(dropped);
    }
}

impl Recording {
    /// What the buffer held when it was dropped, once it was.
    #[must_use]
    pub fn dropped(&self) -> Option<Dropped> {
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How many bytes differ from what the buffer held when it was dropped, once it was.
    #[must_use]
    pub fn changed_since_drop(&self) -> Option<usize> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let contents = &last.as_ref()?.contents;
        // Page by page, so that looking takes no memory: on emulated machines that costs more than the comparison.
        let pages = contents
            .chunks(PAGE)
            .zip(pages(&self.memory, contents.len()));
        let differ = pages.map(|(then, now)| {
            let now = &now.as_flattened()[..then.len()];
            // Nearly always equal, and without optimisation the count is slow.
            if then == now {
                return 0;
            }
            then.iter().zip(now).filter(|(a, b)| a != b).count()
        });
        Some(differ.sum())
    }
}

/// The smallest there is.
const PAGE: usize = 4096;
/// What is read at a time: by the byte, a page would take an emulated machine as long as a test.
const WORD: usize = size_of::<u64>();
const WORDS: usize = PAGE / WORD;

type Page = [[u8; WORD]; WORDS];

/// What is in memory that the kernel may be writing to.
fn pages(memory: &Mapping, length: usize) -> impl Iterator<Item = Page> {
    let start = memory.pointer().cast::<Page>();
    (0..length.div_ceil(PAGE)).map(move |page| {
        let mut copy = [0_u64; WORDS];
        for (index, word) in copy.iter_mut().enumerate() {
            // SAFETY: a mapping is made of whole pages and aligned to one, so the last word is inside it. A volatile read of
            // memory that somebody else writes yields some of the values, which is all that is asked.
            *word = unsafe { start.add(page).cast::<u64>().add(index).read_volatile() };
        }
        copy.map(u64::to_ne_bytes)
    })
}

fn snapshot(memory: &Mapping, length: usize) -> Vec<u8> {
    let mut copy = Vec::with_capacity(length + PAGE);
    for page in pages(memory, length) {
        copy.extend_from_slice(page.as_flattened());
    }
    copy.truncate(length);
    copy
}
