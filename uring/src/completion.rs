//! What a completion queue entry says.

use std::fmt;
use std::io;

use crate::flags::CompletionFlags;

/// One completion, copied out of the queue.
///
/// It is what operations pushed [raw](crate::Ring::push_raw) are answered with. A large completion
/// (`IORING_SETUP_CQE32`, or `IORING_CQE_F_32` in a mixed queue) carries 16 more bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
#[doc(alias = "io_uring_cqe")]
pub struct Completion {
    pub(crate) user_data: u64,
    pub(crate) result: i32,
    pub(crate) flags: u32,
    pub(crate) extra: [u64; 2],
}

impl Completion {
    pub(crate) const fn new(user_data: u64, result: i32, flags: u32) -> Completion {
        Completion {
            user_data,
            result,
            flags,
            extra: [0; 2],
        }
    }

    /// The number that the operation was pushed with.
    #[doc(alias = "io_uring_cqe_get_data64")]
    #[doc(alias = "io_uring_cqe_get_data")]
    #[must_use]
    pub const fn user_data(&self) -> u64 {
        self.user_data
    }

    /// The result as the kernel gave it: zero or more, or a negative errno.
    #[must_use]
    pub const fn raw_result(&self) -> i32 {
        self.result
    }

    /// The result, with a negative errno as an error.
    ///
    /// # Errors
    ///
    /// Whatever the operation failed with.
    pub fn result(&self) -> io::Result<u32> {
        u32::try_from(self.result).map_err(|_| io::Error::from_raw_os_error(-self.result))
    }

    /// The completion's flags.
    #[must_use]
    pub const fn flags(&self) -> CompletionFlags {
        CompletionFlags::from_bits_retain(self.flags)
    }

    /// The further 16 bytes of a large completion; zero in others.
    #[must_use]
    pub const fn extra(&self) -> [u64; 2] {
        self.extra
    }

    /// Whether it only tells that the kernel is done with the memory that a zero-copy operation sent.
    pub(crate) const fn is_notification(&self) -> bool {
        self.flags & uring_sys::IORING_CQE_F_NOTIF != 0
    }

    /// The result of a notification, to be kept as the extra bytes of the completion that it follows.
    pub(crate) fn as_notification(&self) -> Completion {
        let [a, b, c, d] = self.result.to_le_bytes();
        Completion {
            extra: [u64::from_le_bytes([a, b, c, d, 0, 0, 0, 0]), 0],
            ..*self
        }
    }

    /// The result of the notification that followed: what it says if usage was asked for (`IORING_SEND_ZC_REPORT_USAGE`). None if
    /// no notification came, which is so when nothing was sent.
    pub(crate) fn notified(&self) -> Option<u32> {
        let [a, b, c, d, ..] = self.extra[0].to_le_bytes();
        self.is_notification()
            .then(|| u32::from_le_bytes([a, b, c, d]))
    }

    /// Whether the same operation will complete again.
    pub(crate) const fn has_more(&self) -> bool {
        self.flags & uring_sys::IORING_CQE_F_MORE != 0
    }
}

impl fmt::Debug for Completion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completion")
            .field("user_data", &self.user_data)
            .field("result", &self.result)
            .field("flags", &self.flags())
            .finish_non_exhaustive()
    }
}
