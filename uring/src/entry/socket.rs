//! The fields that operations on sockets use.

use uring_sys::io_uring_sqe_anon_2_anon_1;

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

    /// Which command of a socket it is.
    #[inline]
    pub(crate) fn set_command(&mut self, command: u32) {
        self.0.anon_1.anon_1.cmd_op = command;
    }

    /// Which option of a socket.
    pub(crate) fn set_option(&mut self, level: i32, name: i32) {
        self.0.anon_2.anon_1 = io_uring_sqe_anon_2_anon_1 {
            level: level.unsigned_abs(),
            optname: name.unsigned_abs(),
        };
    }

    /// Where its value is, and how long it is.
    pub(crate) fn set_option_value<T>(&mut self, value: *const T, len: usize) {
        self.0.anon_6.optval = address(value);
        self.0.anon_5.optlen = u32::try_from(len).unwrap_or(u32::MAX);
    }
}
