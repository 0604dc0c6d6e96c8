//! Polling network devices while waiting.

use std::time::Duration;

use uring_sys::io_uring_napi;

use crate::engine::Core;
use crate::error::{Call, Error, Hint};
use crate::flags::SetupFlags;
use crate::handle::Handle;
use crate::ring::Ring;

/// How a ring polls the queues of network devices (NAPI) while somebody waits for its completions, instead of sleeping until an interrupt.
///
/// ```
/// use std::time::Duration;
/// use uring::Napi;
///
/// # let mut ring = uring::Ring::best(8)?;
/// let polling = Napi { busy_poll: Duration::from_micros(50), ..Napi::default() };
/// match ring.register_napi(polling) {
///     Ok(before) => assert_eq!(before.busy_poll, Duration::ZERO),
///     Err(error) if error.is_unsupported() => println!("{error}"),
///     Err(error) => return Err(error),
/// }
/// # Ok::<(), uring::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[doc(alias = "io_uring_napi")]
pub struct Napi {
    /// How long a wait polls at most, in whole microseconds. Newer kernels take no more than ten milliseconds.
    pub busy_poll: Duration,
    /// Whether the device leaves its interrupts off as long as it is polled (`SO_PREFER_BUSY_POLL`).
    pub prefer_busy_poll: bool,
    /// Which queues are polled.
    pub tracking: NapiTracking,
}

/// Which queues of network devices a ring polls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum NapiTracking {
    /// Those that the sockets of the ring's operations have received from during the last minute.
    #[default]
    #[doc(alias = "IO_URING_NAPI_TRACKING_DYNAMIC")]
    Dynamic,
    /// Those that were [added](crate::Ring::add_napi). Since Linux 6.13.
    #[doc(alias = "IO_URING_NAPI_TRACKING_STATIC")]
    Static,
    /// None, or not told. It can only be the setting before.
    #[doc(alias = "IO_URING_NAPI_TRACKING_INACTIVE")]
    Inactive,
}

impl<H: Handle> Ring<H> {
    /// Lets the ring poll network devices, and gives the setting before.
    ///
    /// Registering again changes the setting and forgets which queues were known. It lasts as long as the ring, or until
    /// [`unregister_napi`](Ring::unregister_napi). Kernels before 6.13 say [`Dynamic`](NapiTracking::Dynamic) of a setting before that was none.
    ///
    /// Since Linux 6.9.
    ///
    /// # Errors
    ///
    /// - [`is_unsupported`](Error::is_unsupported): the kernel is older, was built without `CONFIG_NET_RX_BUSY_POLL`, or has no
    ///   [static tracking](NapiTracking::Static);
    /// - [`is_invalid_request`](Error::is_invalid_request): a ring that polls for completions (`IORING_SETUP_IOPOLL`) cannot; or the tracking
    ///   asked for is [`Inactive`](NapiTracking::Inactive);
    /// - others of `io_uring_register(2)`.
    ///
    /// Source: `io_uring_register_napi(3)`.
    #[doc(alias = "io_uring_register_napi")]
    #[doc(alias = "IORING_REGISTER_NAPI")]
    pub fn register_napi(&mut self, napi: Napi) -> Result<Napi, Error> {
        self.core().register_napi(napi)
    }

    /// Ends the polling, and gives the setting before, of whose tracking the kernel does not tell.
    ///
    /// Since Linux 6.9.
    ///
    /// # Errors
    ///
    /// - [`is_unsupported`](Error::is_unsupported): the kernel is older, or was built without `CONFIG_NET_RX_BUSY_POLL`;
    /// - others of `io_uring_register(2)`.
    #[doc(alias = "io_uring_unregister_napi")]
    #[doc(alias = "IORING_UNREGISTER_NAPI")]
    pub fn unregister_napi(&mut self) -> Result<Napi, Error> {
        let mut arg = io_uring_napi::default();
        self.core()
            .call_napi(uring_sys::IORING_UNREGISTER_NAPI, &mut arg)?;
        Ok(Napi {
            tracking: NapiTracking::Inactive,
            ..Napi::of(&arg)
        })
    }

    /// Adds a queue to those that are polled, where they are [tracked statically](NapiTracking::Static).
    ///
    /// `id` is the queue's number, which a socket that has received from it knows (`SO_INCOMING_NAPI_ID`).
    ///
    /// Since Linux 6.13.
    ///
    /// ```
    /// use uring::{Napi, NapiTracking};
    ///
    /// # let mut ring = uring::Ring::best(8)?;
    /// match ring.register_napi(Napi { tracking: NapiTracking::Static, ..Napi::default() }) {
    ///     Ok(_) => {
    ///         ring.add_napi(20_000)?;
    ///         ring.remove_napi(20_000)?;
    ///     }
    ///     Err(error) => assert!(error.is_unsupported(), "{error}"),
    /// }
    /// # Ok::<(), uring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - `EEXIST`: it is among them;
    /// - `EINVAL`: the ring does not track statically, the number is no queue's (those up to the kernel's count of processors are none), or the
    ///   kernel is older;
    /// - others of `io_uring_register(2)`.
    #[doc(alias = "IO_URING_NAPI_STATIC_ADD_ID")]
    pub fn add_napi(&mut self, id: u32) -> Result<(), Error> {
        self.core()
            .change_napi(uring_sys::IO_URING_NAPI_STATIC_ADD_ID, id)
    }

    /// Takes a queue out of those that are polled.
    ///
    /// Since Linux 6.13.
    ///
    /// # Errors
    ///
    /// - `ENOENT`: it is not among them;
    /// - others as for [`add_napi`](Ring::add_napi).
    #[doc(alias = "IO_URING_NAPI_STATIC_DEL_ID")]
    pub fn remove_napi(&mut self, id: u32) -> Result<(), Error> {
        self.core()
            .change_napi(uring_sys::IO_URING_NAPI_STATIC_DEL_ID, id)
    }
}

impl Napi {
    fn of(answer: &io_uring_napi) -> Napi {
        Napi {
            busy_poll: Duration::from_micros(answer.busy_poll_to.into()),
            prefer_busy_poll: answer.prefer_busy_poll != 0,
            tracking: match answer.op_param {
                uring_sys::IO_URING_NAPI_TRACKING_DYNAMIC => NapiTracking::Dynamic,
                uring_sys::IO_URING_NAPI_TRACKING_STATIC => NapiTracking::Static,
                _ => NapiTracking::Inactive,
            },
        }
    }

    fn argument(self) -> io_uring_napi {
        io_uring_napi {
            busy_poll_to: u32::try_from(self.busy_poll.as_micros()).unwrap_or(u32::MAX),
            prefer_busy_poll: u8::from(self.prefer_busy_poll),
            op_param: match self.tracking {
                NapiTracking::Dynamic => uring_sys::IO_URING_NAPI_TRACKING_DYNAMIC,
                NapiTracking::Static => uring_sys::IO_URING_NAPI_TRACKING_STATIC,
                NapiTracking::Inactive => uring_sys::IO_URING_NAPI_TRACKING_INACTIVE,
            },
            ..io_uring_napi::default()
        }
    }
}

const REGISTER: u32 = uring_sys::IORING_REGISTER_NAPI;
const NO_STATIC: Hint = Hint::needs_linux(
    6,
    13,
    &"the kernel refuses IO_URING_NAPI_TRACKING_STATIC, and reads its argument",
);
const NOT_CONFIGURED: Hint =
    Hint::not_configured(&"CONFIG_NET_RX_BUSY_POLL: IORING_REGISTER_NAPI answers EOPNOTSUPP");

fn contradiction(explanation: &'static &'static str) -> Error {
    Error::refused(Call::register(REGISTER), Hint::contradiction(explanation))
}

impl Core {
    fn register_napi(&self, napi: Napi) -> Result<Napi, Error> {
        if napi.tracking == NapiTracking::Inactive {
            return Err(contradiction(
                &"tracking becomes inactive by unregister_napi",
            ));
        }
        let mut arg = napi.argument();
        match self.call_napi(REGISTER, &mut arg) {
            Ok(()) => Ok(Napi::of(&arg)),
            // What else is in the argument is always right.
            Err(error)
                if napi.tracking == NapiTracking::Static
                    && error.errno() == Some(libc::EINVAL)
                    && error.hint().is_none() =>
            {
                Err(error.with_hint(NO_STATIC))
            }
            Err(error) => Err(error),
        }
    }

    fn change_napi(&self, operation: u8, id: u32) -> Result<(), Error> {
        let mut arg = io_uring_napi {
            opcode: operation,
            op_param: id,
            ..io_uring_napi::default()
        };
        self.call_napi(REGISTER, &mut arg)
    }

    fn call_napi(&self, opcode: u32, arg: &mut io_uring_napi) -> Result<(), Error> {
        if opcode == REGISTER && self.setup().flags().contains(SetupFlags::IOPOLL) {
            return Err(contradiction(
                &"a ring that polls for completions polls no network devices",
            ));
        }
        let pointer = std::ptr::from_mut(arg).cast();
        // SAFETY: one argument of the kernel's type, which it reads and writes during the call only.
        let answer = unsafe { self.register(opcode, pointer, 1) };
        answer.map(drop).map_err(|error| match error.errno() {
            Some(libc::EOPNOTSUPP) if error.hint().is_none() => error.with_hint(NOT_CONFIGURED),
            _ => error,
        })
    }
}
