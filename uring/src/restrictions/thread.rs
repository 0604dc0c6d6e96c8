//! Restrictions of a thread, and of all rings that it makes.

use uring_sys::{Errno, io_uring_restriction, io_uring_task_restriction};

use super::{CALL, OPCODE, Restrictions, refused};
use crate::error::{Error, Hint};
use crate::evidence;
use crate::query::Query;

/// Operations, register calls and two sets of flags.
const MOST: usize = 2 * 256 + 2;

const NO_THREADS: Hint = Hint::needs_linux(
    7,
    0,
    &"io_uring_register does not take IORING_REGISTER_RESTRICTIONS without a ring",
);

#[repr(C)]
struct OfThread {
    head: io_uring_task_restriction,
    list: [io_uring_restriction; MOST],
}

impl Restrictions {
    /// Restricts the calling thread, for good: the rings that it makes from now on, and those of the threads and processes that it starts from now
    /// on.
    ///
    /// Rings that exist are not affected, but on newer kernels than 7.0 calls that concern no ring are. Nothing undoes it, a second call fails,
    /// and nothing can be added but [filters](crate::Filter), where `IORING_REGISTER_BPF_FILTER` is allowed. The thread needs `CAP_SYS_ADMIN`,
    /// or to have given up new privileges (`PR_SET_NO_NEW_PRIVS`). Flags cannot be required in this way, since no ring would know of it. Rings with
    /// [mixed entries](crate::EntrySize::Mixed) need NOPs and [`SKIP_SUCCESS`](crate::EntryFlags::SKIP_SUCCESS).
    ///
    /// Since Linux 7.0.
    ///
    /// ```
    /// use uring::op::Nop;
    /// use uring::Restrictions;
    ///
    /// # std::thread::spawn(|| -> Result<(), uring::Error> {
    /// match Restrictions::new().allow::<Nop>().restrict_thread() {
    ///     Ok(()) => assert!(uring::Ring::best(8)?.register_direct(4).unwrap_err().is_restricted()),
    ///     Err(error) => println!("{error}"),
    /// }
    /// # Ok(())
    /// # }).join().unwrap()?;
    /// # Ok::<(), uring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`is_unsupported`](Error::is_unsupported): the kernel is older;
    /// - [`is_blocked`](Error::is_blocked): the thread may gain privileges, and has no `CAP_SYS_ADMIN`;
    /// - [`is_restricted`](Error::is_restricted): the thread has restrictions already, which do not allow it;
    /// - [`is_invalid_request`](Error::is_invalid_request): flags are required, or the thread has restrictions or filters already.
    ///
    /// Source: `io_uring/register.c`.
    #[doc(alias = "io_uring_task_restriction")]
    #[doc(alias = "IORING_REGISTER_RESTRICTIONS")]
    pub fn restrict_thread(&self) -> Result<(), Error> {
        if !self.required.is_empty() {
            return Err(refused(&"flags cannot be required of a thread"));
        }
        // Whoever has these restrictions answers queries.
        let kernel = Query::get().map_err(|error| match error.is_unsupported() {
            true => Error::refused(CALL, NO_THREADS),
            false => error,
        })?;
        let known = |opcode: u8, count: u32| u32::from(opcode) < count;
        let mut argument = Box::new(OfThread {
            head: io_uring_task_restriction::default(),
            list: [io_uring_restriction::default(); MOST],
        });
        let list = self.list(
            |opcode| known(opcode, kernel.request_opcodes()),
            |opcode| known(opcode, kernel.register_opcodes()),
        );
        for (to, from) in argument.list.iter_mut().zip(&list) {
            *to = *from;
        }
        argument.head.nr_res = u16::try_from(list.len()).unwrap_or(u16::MAX);
        let arg = (&raw mut *argument).cast();
        // SAFETY: the head and as many restrictions behind it as it says, which the kernel reads during the call only.
        match unsafe { uring_sys::io_uring_register(-1, OPCODE, arg, 1) } {
            Ok(_) => {
                #[cfg(uring_coverage)]
                crate::coverage::registered(crate::coverage::Reached::Nobody, OPCODE);
                Ok(())
            }
            Err(errno @ (Errno::EINVAL | Errno::EBADF)) => {
                Err(Error::sys(CALL, errno).with_hint(NO_THREADS))
            }
            Err(errno) => Err(evidence::thread_refused(OPCODE, errno)),
        }
    }
}
