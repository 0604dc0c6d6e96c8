//! The memory of a group: so many buffers of one size, side by side.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

use crate::memory::page_size;

/// Page-aligned, so that direct I/O may go into buffers whose size allows it.
pub(crate) struct Pool {
    start: NonNull<u8>,
    layout: Layout,
    count: u16,
    size: u32,
}

// SAFETY: plain owned memory; who may use which part of it the groups decide.
unsafe impl Send for Pool {}
// SAFETY: as above; a shared pool gives addresses only.
unsafe impl Sync for Pool {}

impl Pool {
    /// Zeroed memory; `None` if there is not that much.
    pub(crate) fn new(count: u16, size: u32) -> Option<Pool> {
        let bytes = usize::from(count).checked_mul(usize::try_from(size).ok()?)?;
        let layout = Layout::from_size_align(bytes, page_size()).ok()?;
        if bytes == 0 {
            return None;
        }
        // SAFETY: the layout is not empty.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(Pool {
            start,
            layout,
            count,
            size,
        })
    }

    pub(crate) fn count(&self) -> u16 {
        self.count
    }

    pub(crate) fn size(&self) -> u32 {
        self.size
    }

    /// The first byte of buffer `id`, which is below `count`.
    pub(crate) fn buffer(&self, id: u16) -> NonNull<u8> {
        debug_assert!(id < self.count);
        let size = usize::try_from(self.size).unwrap_or(0);
        // SAFETY: the buffer lies inside the allocation.
        unsafe { self.start.add(usize::from(id) * size) }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout; no operation that may write to it is left (DESIGN 6.7).
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}
