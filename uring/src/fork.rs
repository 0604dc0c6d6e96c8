//! Knowing, at the price of one load, whether this process is the one that made a ring.
//!
//! A page that the kernel wipes in a forked child holds the number of the current process's *mark*. A ring remembers the
//! mark under which it was made; in a child the page reads zero, or a later mark once the child has made rings of its own, so
//! a copy that came through `fork` is told from a ring of this process without `getpid`.

use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use uring_sys::Errno;

/// The marked page. It lives as long as the process.
static PAGE: OnceLock<MarkedPage> = OnceLock::new();

/// The last mark given out. Unlike the page it is copied by `fork`, so a child's marks never repeat its parent's.
static LAST_MARK: AtomicU64 = AtomicU64::new(0);

struct MarkedPage(NonNull<AtomicU64>);

// SAFETY: the page is never unmapped and holds one atomic that is only ever used through `&AtomicU64`.
unsafe impl Send for MarkedPage {}
// SAFETY: as above; `&AtomicU64` may be shared between threads.
unsafe impl Sync for MarkedPage {}

/// The process that made a ring.
#[derive(Clone, Copy)]
pub(crate) struct Process {
    page: &'static AtomicU64,
    mark: u64,
}

impl Process {
    /// The process that runs now.
    pub(crate) fn current() -> Result<Process, Errno> {
        let page = match PAGE.get() {
            Some(page) => page,
            None => {
                let fresh = MarkedPage::map()?;
                PAGE.get_or_init(|| fresh)
            }
        };
        // SAFETY: the page stays mapped for the life of the process (see `MarkedPage`), in a forked child too.
        let page: &'static AtomicU64 = unsafe { page.0.as_ref() };
        let mut mark = page.load(Ordering::Relaxed);
        while mark == 0 {
            let next = LAST_MARK.fetch_add(1, Ordering::Relaxed) + 1;
            mark = match page.compare_exchange(0, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => next,
                Err(other) => other,
            };
        }
        Ok(Process { page, mark })
    }

    /// Whether this process is still the one, and not a child that `fork` made of it.
    #[inline]
    pub(crate) fn is_current(self) -> bool {
        self.page.load(Ordering::Relaxed) == self.mark
    }
}

impl MarkedPage {
    fn map() -> Result<MarkedPage, Errno> {
        let len = size_of::<AtomicU64>();
        // SAFETY: a new private mapping at an address of the kernel's choosing touches nothing that exists.
        let page = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if page == libc::MAP_FAILED {
            return Err(crate::memory::last_errno());
        }
        // SAFETY: the range is the mapping made above, which nothing else knows of yet.
        if unsafe { libc::madvise(page, len, libc::MADV_WIPEONFORK) } != 0 {
            let errno = crate::memory::last_errno();
            // SAFETY: as above.
            unsafe { libc::munmap(page, len) };
            return Err(errno);
        }
        let page = NonNull::new(page.cast()).ok_or(Errno::EFAULT)?;
        Ok(MarkedPage(page))
    }
}

#[cfg(test)]
mod tests {
    use super::Process;

    #[test]
    fn one_process_has_one_mark() {
        let first = Process::current().unwrap();
        let second = Process::current().unwrap();
        assert_eq!(first.mark, second.mark);
        assert!(first.is_current());
    }

    #[test]
    fn a_forked_child_is_another_process_even_after_it_has_its_own_mark() {
        let parent = Process::current().unwrap();
        // SAFETY: the child calls nothing but atomics and `_exit`.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let inert_at_first = !parent.is_current();
            let own = Process::current();
            let still_inert = own.is_ok_and(|own| own.is_current()) && !parent.is_current();
            // SAFETY: `_exit` ends the child without running the parent's atexit handlers.
            unsafe { libc::_exit(i32::from(!(inert_at_first && still_inert))) };
        }
        assert!(pid > 0, "fork failed");
        let mut status = 0;
        // SAFETY: `pid` is the child made above and `status` a live integer.
        assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
        assert_eq!(status, 0, "the child took the parent's mark for its own");
        assert!(parent.is_current());
    }
}
