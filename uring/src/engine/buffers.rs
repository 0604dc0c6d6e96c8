//! The buffers that are registered with a ring.

use crate::engine::Core;
use crate::error::{Call, Error, Hint};
use crate::resource::{RegisteredBuf, RegisteredBufs};
use crate::token::Refused;

impl Core {
    /// Registers buffers, which the ring owns from then on.
    pub(crate) fn register_buffers(
        &mut self,
        mut bufs: Vec<Box<[u8]>>,
    ) -> Result<(), Refused<Vec<Box<[u8]>>>> {
        if self.registered.is_some() {
            let call = Call::register(uring_sys::IORING_REGISTER_BUFFERS);
            let hint = Hint::contradiction(&"the ring has registered buffers already");
            return Err(Refused::new(bufs, Error::refused(call, hint)));
        }
        let vectors = RegisteredBufs::vectors(&mut bufs);
        // A count that does not fit is more than the kernel takes, as is the largest that does.
        let count = u32::try_from(vectors.len()).unwrap_or(u32::MAX);
        let arg = vectors.as_ptr().cast_mut().cast();
        // SAFETY: `count` vectors, which the kernel only reads, and only during the call. What they name is kept until the ring has
        // ended, and longer by whoever uses it.
        match unsafe { self.register(uring_sys::IORING_REGISTER_BUFFERS, arg, count) } {
            Ok(_) => {
                self.registered = Some(RegisteredBufs::new(self.id(), bufs));
                Ok(())
            }
            Err(error) => Err(Refused::new(bufs, error)),
        }
    }

    pub(crate) fn registered_bufs(&self) -> usize {
        self.registered.as_ref().map_or(0, RegisteredBufs::len)
    }

    pub(crate) fn registered_buf(&mut self, index: usize) -> Option<RegisteredBuf> {
        self.registered.as_mut()?.give_out(index)
    }
}
