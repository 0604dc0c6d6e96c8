//! The fields that operations on sockets use.

use super::{Entry, address};

impl Entry {
    /// The flags of sends, receives and accepts, which stand where files have a priority.
    #[inline]
    pub(crate) fn set_ioprio(&mut self, flags: u16) {
        self.0.ioprio = flags;
    }

    /// A pointer in the second address field.
    #[inline]
    pub(crate) fn set_pointer2<T: ?Sized>(&mut self, pointer: *const T) {
        self.set_off(address(pointer));
    }

    /// The length of the address that a send goes to.
    #[inline]
    pub(crate) fn set_addr_len(&mut self, len: u16) {
        self.0.anon_5.anon_1.addr_len = len;
    }
}
