//! What a queue tells of itself.

use crate::completion::Completion;

/// What an [`InterfaceQueue`](crate::InterfaceQueue) tells of, where it was [asked to](crate::InterfaceQueueOptions::events).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u32)]
pub enum InterfaceEvent {
    /// The device found no free buffer, and drops what comes: too few were given back, or the area is too small.
    #[doc(alias = "ZCRX_EVENT_ALLOC_FAIL")]
    OutOfBuffers = uring_sys::ZCRX_EVENT_ALLOC_FAIL,
    /// The kernel had to copy, since the device had put something elsewhere.
    #[doc(alias = "ZCRX_EVENT_COPY")]
    Copied = uring_sys::ZCRX_EVENT_COPY,
}

impl InterfaceEvent {
    /// Which event a completion tells of that has the number that events have.
    #[must_use]
    pub fn of(completion: &Completion) -> Option<InterfaceEvent> {
        match u32::try_from(completion.raw_result()) {
            Ok(uring_sys::ZCRX_EVENT_ALLOC_FAIL) => Some(InterfaceEvent::OutOfBuffers),
            Ok(uring_sys::ZCRX_EVENT_COPY) => Some(InterfaceEvent::Copied),
            _ => None,
        }
    }
}

/// What the kernel had to copy for an [`InterfaceQueue`](crate::InterfaceQueue) since it was registered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[doc(alias = "zcrx_stats")]
#[non_exhaustive]
pub struct InterfaceStatistics {
    /// How often.
    pub copies: u64,
    /// How many bytes.
    pub bytes: u64,
}
