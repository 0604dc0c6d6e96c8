//! What is asked for of a queue.

use super::InterfaceEvent;

/// What an [`InterfaceQueue`](crate::InterfaceQueue) is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct InterfaceQueueOptions {
    /// The interface's index and its receive queue's; none if the kernel copies.
    pub(super) device: Option<(u32, u32)>,
    pub(super) area: usize,
    pub(super) refills: u32,
    pub(super) buffer_size: u32,
    /// The number of the completions that tell of events, and a bit for each event.
    pub(super) events: Option<(u64, u32)>,
    pub(super) statistics: bool,
}

impl InterfaceQueueOptions {
    /// The receive queue of that number of the network interface with that index (`if_nametoindex(3)`).
    ///
    /// The device splits headers from data, has an own queue for the connections that are received from (flow steering), and its driver can put
    /// data where it is told to.
    pub const fn device(interface: u32, queue: u32) -> InterfaceQueueOptions {
        InterfaceQueueOptions {
            device: Some((interface, queue)),
            area: 1 << 20,
            refills: 1024,
            buffer_size: 0,
            events: None,
            statistics: false,
        }
    }

    /// No device: the kernel copies what any connection receives. Since Linux 7.1.
    #[doc(alias = "ZCRX_REG_NODEV")]
    pub const fn without_device() -> InterfaceQueueOptions {
        InterfaceQueueOptions {
            device: None,
            ..InterfaceQueueOptions::device(0, 0)
        }
    }

    /// The size of the memory for what is received, in bytes, rounded up to whole pages; 1 MiB where nothing is said.
    pub const fn area(self, bytes: usize) -> InterfaceQueueOptions {
        InterfaceQueueOptions {
            area: bytes,
            ..self
        }
    }

    /// How many buffers can be on their way back to the kernel, at most 32768, rounded up to a power of two; 1024 where nothing is said.
    ///
    /// More wait in this library.
    pub const fn refills(self, count: u32) -> InterfaceQueueOptions {
        InterfaceQueueOptions {
            refills: count,
            ..self
        }
    }

    /// The size of each buffer in the area, in bytes: a power of two and at least a page. Since Linux 7.0; otherwise it is a page.
    #[doc(alias = "rx_buf_len")]
    #[doc(alias = "ZCRX_FEATURE_RX_PAGE_SIZE")]
    pub const fn buffer_size(self, bytes: u32) -> InterfaceQueueOptions {
        InterfaceQueueOptions {
            buffer_size: bytes,
            ..self
        }
    }

    /// Completions tell of these events: with that number, which is no operation's, and [which it was](InterfaceEvent::of).
    ///
    /// They come out of the ring as those of operations that were pushed [raw](crate::Ring::push_raw). Each event is told of once, until
    /// [`Ring::arm_interface_event`](crate::Ring::arm_interface_event) asks for it again. Since Linux 7.2.
    ///
    /// ```
    /// use uring::{InterfaceEvent, InterfaceQueueOptions};
    ///
    /// let options = InterfaceQueueOptions::without_device()
    ///     .area(64 * 4096)
    ///     .events(42, &[InterfaceEvent::OutOfBuffers, InterfaceEvent::Copied])
    ///     .statistics();
    /// # let builder = uring::Builder::new(8).completion_size(uring::CompletionSize::Large);
    /// # let Ok(mut ring) = builder.build_registered() else { return Ok(()) };
    /// match ring.interface_queue(options) {
    ///     Ok(queue) => {
    ///         assert_eq!(queue.statistics().map(|so_far| so_far.copies), Some(0));
    ///         // What is received may need more than was thought. Linux 7.3 can add to it.
    ///         let added = ring.add_interface_area(&queue, 64 * 4096);
    ///         assert!(added.is_ok() || added.is_err_and(|error| error.is_unsupported()));
    ///     }
    ///     Err(error) => println!("{error}"),
    /// }
    /// # Ok::<(), uring::Error>(())
    /// ```
    #[doc(alias = "zcrx_event_desc")]
    pub const fn events(self, number: u64, events: &[InterfaceEvent]) -> InterfaceQueueOptions {
        let (mut mask, mut at) = (0, 0);
        while at < events.len() {
            mask |= 1 << events[at] as u32;
            at += 1;
        }
        InterfaceQueueOptions {
            events: Some((number, mask)),
            ..self
        }
    }

    /// The kernel counts what it had to copy, for [`InterfaceQueue::statistics`](crate::InterfaceQueue::statistics). Since Linux 7.2.
    #[doc(alias = "ZCRX_EVENT_DESC_FLAG_STATS")]
    pub const fn statistics(self) -> InterfaceQueueOptions {
        InterfaceQueueOptions {
            statistics: true,
            ..self
        }
    }
}
