//! Buffers for what goes out.

use std::cell::{Cell, RefCell};
use std::mem;
use std::rc::Rc;

use crate::statistics::Share;

/// The size of each, and of the pieces in which files go out.
pub(crate) const PIECE: usize = 64 << 10;

/// As many buffers as were ever needed at a time.
#[derive(Default)]
pub(crate) struct SendBuffers {
    free: RefCell<Vec<Vec<u8>>>,
    in_use: Cell<usize>,
}

/// A buffer for one answer; it goes back when dropped, unless an operation that was cancelled has it.
pub(crate) struct SendBuffer {
    of: Rc<SendBuffers>,
    pub(crate) bytes: Vec<u8>,
}

impl SendBuffers {
    pub(crate) fn take(self: &Rc<SendBuffers>) -> SendBuffer {
        self.in_use.set(self.in_use.get() + 1);
        let free = self.free.borrow_mut().pop();
        SendBuffer {
            of: Rc::clone(self),
            bytes: free.unwrap_or_else(|| Vec::with_capacity(PIECE)),
        }
    }

    pub(crate) fn share(&self) -> Share {
        let in_use = self.in_use.get();
        Share::new(in_use, in_use + self.free.borrow().len())
    }
}

impl Drop for SendBuffer {
    fn drop(&mut self) {
        self.of.in_use.set(self.of.in_use.get() - 1);
        let mut bytes = mem::take(&mut self.bytes);
        if bytes.capacity() > 0 {
            bytes.clear();
            self.of.free.borrow_mut().push(bytes);
        }
    }
}
