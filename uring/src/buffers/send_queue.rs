//! Buffers that wait to be sent, in memory that the kernel reads them off from.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uring_sys::io_uring_buf;

use crate::buffers::registry::{Registry, Remains};
use crate::completion::Completion;
use crate::entry::address;
use crate::error::{Call, Error, Hint};
use crate::fork::Process;
use crate::memory::Mapping;
use crate::resource::Buf;
use crate::token::Refused;

/// Buffers that wait to be sent, in their order.
///
/// [`SendQueued`](crate::op::SendQueued) sends what is in the queue, as many buffers at a time as the socket takes, and gives them back as
/// they are sent. Buffers may be [put in](SendQueue::put) meanwhile, so that a stream keeps its order without waiting for one send to end
/// before the next is pushed.
///
/// [`Ring::send_queue`](crate::Ring::send_queue) makes one; operations of another ring are refused, and one operation at a time sends from
/// it. A clone is another handle of the same queue. It is unregistered, with the ring's next submission, when its handles and its
/// operation are gone; buffers that were not sent are dropped then.
///
/// Source: `io_uring_prep_send_bundle(3)`, `io_uring_setup_buf_ring(3)`.
pub struct SendQueue<B: Buf + Send + 'static>(Arc<Shared<B>>);

/// One queue. Its memory goes back to the registry of its ring with the last handle.
struct Shared<B: Buf + Send + 'static> {
    ring: u64,
    id: u16,
    /// An operation was pushed that has not been redeemed.
    is_sending: AtomicBool,
    /// `None` only while it is being dropped.
    books: Mutex<Option<Books<B>>>,
    registry: Arc<Registry>,
    process: Process,
}

struct Books<B> {
    entries: Mapping,
    capacity: u16,
    tail: u16,
    waiting: VecDeque<Waiting<B>>,
    /// It is not known any more what the kernel has taken.
    is_broken: bool,
}

struct Waiting<B> {
    buf: B,
    len: usize,
    sent: usize,
}

/// A buffer that was not sent, or not to its end.
#[derive(Debug)]
pub struct Unsent<B> {
    /// The buffer.
    pub buf: B,
    /// How many of its bytes were sent.
    pub sent: usize,
}

impl<B: Buf + Send + 'static> SendQueue<B> {
    pub(crate) fn new(
        ring: u64,
        id: u16,
        capacity: u16,
        entries: Mapping,
        registry: Arc<Registry>,
        process: Process,
    ) -> SendQueue<B> {
        SendQueue(Arc::new(Shared {
            ring,
            id,
            is_sending: AtomicBool::new(false),
            books: Mutex::new(Some(Books {
                entries,
                capacity,
                tail: 0,
                waiting: VecDeque::with_capacity(usize::from(capacity)),
                is_broken: false,
            })),
            registry,
            process,
        }))
    }

    /// Puts a buffer behind those that are there.
    ///
    /// # Errors
    ///
    /// The buffer is given back if
    /// - [`is_busy`](Error::is_busy): the queue is full;
    /// - it is empty, or longer than 2 GiB ([`is_invalid_request`](Error::is_invalid_request));
    /// - a send has failed, so that it is not known where the next would begin;
    /// - [`is_forked`](Error::is_forked).
    pub fn put(&self, buf: B) -> Result<(), Refused<B>> {
        let refused = |buf, hint| Err(Refused::new(buf, Error::refused(Call::Push, hint)));
        if !self.0.process.is_current() {
            return refused(buf, Hint::Forked);
        }
        let len = buf.len();
        let Some(entry_len) = u32::try_from(len)
            .ok()
            .filter(|len| (1..=MOST).contains(len))
        else {
            return refused(buf, BAD_LENGTH);
        };
        let mut books = self.0.books();
        let Some(books) = &mut *books else {
            unreachable!("it is taken out by the destructor only")
        };
        if books.is_broken {
            return refused(buf, BROKEN);
        }
        if books.waiting.len() >= usize::from(books.capacity) {
            return refused(buf, Hint::SendQueueFull);
        }
        // The buffer stays in place when it is moved (contract of `Buf`).
        let start = address(buf.as_ptr());
        books.waiting.push_back(Waiting { buf, len, sent: 0 });
        books.tell(start, entry_len);
        Ok(())
    }

    /// How many buffers wait, those included that a send has begun with.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.with_books(|books| books.waiting.len())
    }

    /// Whether all was sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many buffers it has room for.
    #[must_use]
    pub fn capacity(&self) -> u16 {
        self.0.with_books(|books| books.capacity)
    }

    /// Takes out what was not sent, after which the queue is of no use any more; none while an operation sends from it.
    ///
    /// For after a failed send: the kernel does not say where it would have gone on.
    #[must_use]
    pub fn take_unsent(&self) -> Option<Vec<Unsent<B>>> {
        // Nothing else begins meanwhile: it would find the queue broken.
        self.0.begin().ok()?;
        let unsent = self.0.with_books(|books| {
            books.is_broken = true;
            let unsent = |Waiting { buf, sent, .. }| Unsent { buf, sent };
            books.waiting.drain(..).map(unsent).collect()
        });
        self.0.end();
        Some(unsent)
    }

    /// The number that entries name the queue by (`buf_group`).
    #[must_use]
    pub fn group_id(&self) -> u16 {
        self.0.id
    }

    /// What a completion of a raw operation has sent: the buffers that are done.
    ///
    /// After a failure the queue can only be [emptied](SendQueue::take_unsent), as after that of any other.
    ///
    /// # Safety
    ///
    /// It is the next completion of an operation that was pushed with the queue's [number](SendQueue::group_id) to its ring, from whose push on no
    /// other has sent from the queue and nothing was taken out of it, to its last completion.
    #[must_use]
    pub unsafe fn sent(&self, completion: Completion) -> Vec<B> {
        // Found empty, the kernel has taken nothing from it.
        let bytes = match usize::try_from(completion.raw_result()) {
            Ok(bytes) => bytes,
            Err(_) if completion.raw_result() == -libc::ENOBUFS => 0,
            Err(_) => {
                self.0.with_books(|books| books.is_broken = true);
                0
            }
        };
        self.0.with_books(|books| books.sent(bytes))
    }

    /// Counts an operation in, of which there may be one at a time.
    pub(crate) fn begin(&self, ring: u64) -> Result<(), Hint> {
        if self.0.ring != ring {
            return Err(Hint::WrongRing);
        }
        self.0.begin()
    }

    /// Refuses to send from where it is not known what was sent.
    pub(crate) fn check(&self) -> Result<(), Hint> {
        if self.0.with_books(|books| books.is_broken) {
            Err(BROKEN)
        } else {
            Ok(())
        }
    }

    pub(crate) fn end(&self) {
        self.0.end();
    }
}

/// The longest buffer: the kernel counts in signed 32-bit numbers.
const MOST: u32 = i32::MAX.unsigned_abs();

const BAD_LENGTH: Hint =
    Hint::contradiction(&"a buffer of a send queue has at least one byte and less than 2 GiB");

const BROKEN: Hint = Hint::contradiction(
    &"a send from this queue has failed, so it is not known where the next would begin",
);

impl<B: Buf + Send + 'static> Shared<B> {
    /// Nothing under the lock is left half done by a panic: there is no code of anybody else's in it.
    fn books(&self) -> MutexGuard<'_, Option<Books<B>>> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_books<T>(&self, work: impl FnOnce(&mut Books<B>) -> T) -> T {
        match &mut *self.books() {
            Some(books) => work(books),
            None => unreachable!("it is taken out by the destructor only"),
        }
    }

    fn begin(&self) -> Result<(), Hint> {
        if self.is_sending.swap(true, Ordering::AcqRel) {
            Err(Hint::contradiction(
                &"an operation that sends from this queue is in flight or not redeemed",
            ))
        } else {
            Ok(())
        }
    }

    fn end(&self) {
        self.is_sending.store(false, Ordering::Release);
    }
}

impl<B> Books<B> {
    /// The entry that a position stands for.
    fn entry(&self, position: u16) -> *mut io_uring_buf {
        // The number of entries is a power of two.
        let mask = self.capacity - 1;
        let start = self.entries.start().cast::<io_uring_buf>();
        // SAFETY: the mapping has that many entries.
        unsafe { start.add(usize::from(position & mask)) }.as_ptr()
    }

    /// Gives the kernel a buffer that was just put behind the others.
    fn tell(&mut self, start: u64, len: u32) {
        let entry = self.entry(self.tail);
        // SAFETY: an entry past the tail is not the kernel's: it has taken at least as many as were told to be sent, and no more buffers
        // wait than there are entries. The reserved field of the first is not touched: it is the tail.
        unsafe {
            (*entry).addr = start;
            (*entry).len = len;
            (*entry).bid = self.tail & (self.capacity - 1);
        }
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: two aligned bytes of the mapping, which only atomic accesses here and the kernel use.
        let shared = unsafe { AtomicU16::from_ptr(&raw mut (*self.entry(0)).resv) };
        shared.store(self.tail, Ordering::Release);
    }

    /// So many bytes were sent; gives the buffers that are done.
    fn sent(&mut self, mut bytes: usize) -> Vec<B> {
        let mut done = Vec::new();
        while let Some(front) = self.waiting.front_mut() {
            let left = front.len - front.sent;
            if bytes < left {
                front.sent += bytes;
                // The kernel counts a buffer as taken of which it has sent a part.
                self.is_broken |= bytes > 0;
                break;
            }
            bytes -= left;
            done.extend(self.waiting.pop_front().map(|waiting| waiting.buf));
        }
        done
    }
}

impl<B: Buf + Send + 'static> Clone for SendQueue<B> {
    fn clone(&self) -> SendQueue<B> {
        SendQueue(Arc::clone(&self.0))
    }
}

impl<B: Buf + Send + 'static> fmt::Debug for SendQueue<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendQueue")
            .field("group_id", &self.group_id())
            .finish_non_exhaustive()
    }
}

impl<B: Buf + Send + 'static> Drop for Shared<B> {
    fn drop(&mut self) {
        let books = self.books.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Some(books) = books.take() else { return };
        // A child's copy is the child's to free.
        if self.process.is_current() {
            let remains = Remains::of_sends(self.id, Box::new(books));
            self.registry.hand_in(remains);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::page_size;

    fn books(capacity: u16, lens: &[usize]) -> Books<usize> {
        let process = Process::current().unwrap();
        let mut books = Books {
            entries: Mapping::private(page_size(), process).unwrap(),
            capacity,
            tail: 0,
            waiting: VecDeque::new(),
            is_broken: false,
        };
        for (at, len) in lens.iter().enumerate() {
            books.waiting.push_back(Waiting {
                buf: at,
                len: *len,
                sent: 0,
            });
            books.tell(4096, u32::try_from(*len).unwrap());
        }
        books
    }

    #[test]
    fn whole_buffers_come_back() {
        let mut books = books(4, &[1, 5, 2, 7]);
        assert_eq!(books.sent(0), [] as [usize; 0]);
        assert_eq!(books.sent(6), [0, 1]);
        assert_eq!(books.sent(2), [2]);
        assert!(!books.is_broken);
        assert_eq!(books.sent(7), [3]);
        assert!(!books.is_broken && books.waiting.is_empty());
    }

    #[test]
    fn a_part_of_a_buffer_breaks_the_queue() {
        let mut books = books(4, &[1, 5, 2]);
        assert_eq!(books.sent(4), [0]);
        assert!(books.is_broken);
        let rest: Vec<_> = books.waiting.iter().map(|left| left.sent).collect();
        assert_eq!(rest, [3, 0]);
    }

    #[test]
    fn entries_go_around() {
        let books = books(2, &[3, 4, 5]);
        // SAFETY: nobody else has the memory.
        let told = [0, 1].map(|at| unsafe { *books.entry(at) });
        assert_eq!(told.map(|entry| (entry.len, entry.bid)), [(5, 0), (4, 1)]);
        assert_eq!(told[0].resv, 3, "the tail");
    }
}
