//! What the suites share: rings by handle, and buffers that record their drop.

pub(crate) mod child;
pub(crate) mod contiguous;
pub(crate) mod example;
pub(crate) mod memory;
pub(crate) mod pending;
pub(crate) mod raw;

use std::ptr::NonNull;
use std::thread;

use uring::{Any, Buf, BufMut, BufferMemory, Builder, Error, Ring};
use uring_testkit::{
    Completed, Context, Feature, HandleKind, Recording, RecordingBuffer, TestResult,
};

/// What the library has completed in this process, where it is built to keep account of that.
#[cfg(uring_coverage)]
pub(crate) fn completed() -> Vec<Completed> {
    let completed = |(handle, opcode): (Option<&str>, _)| {
        let mut all = HandleKind::ALL.into_iter();
        let handle = handle.and_then(|word| all.find(|handle| handle.word() == word));
        Completed { opcode, handle }
    };
    uring::coverage().into_iter().map(completed).collect()
}

/// As above: this build keeps no account.
#[cfg(not(uring_coverage))]
pub(crate) fn completed() -> Vec<Completed> {
    Vec::new()
}

/// A ring with the handle that the test is about.
pub(crate) fn ring(context: &Context, entries: u32) -> Result<Ring<Any>, Error> {
    build(context, &Builder::new(entries))
}

/// The ring for a test's refusal where `feature` is missing; none where the handle is missing too, and refused.
pub(crate) fn ring_without(
    feature: Feature,
    context: &Context,
    entries: u32,
) -> TestResult<Option<Ring<Any>>> {
    match ring(context, entries) {
        Ok(ring) => Ok(Some(ring)),
        Err(error) => {
            assert_ne!(context.missing(), [feature], "{error}");
            assert!(error.is_unsupported(), "{error}");
            Ok(None)
        }
    }
}

/// The ring that `builder` describes, with the handle that the test is about.
pub(crate) fn build(context: &Context, builder: &Builder<'_>) -> Result<Ring<Any>, Error> {
    with_handle(context.handle(), builder)
}

/// The ring that `builder` describes, with that handle.
pub(crate) fn with_handle(handle: HandleKind, builder: &Builder<'_>) -> Result<Ring<Any>, Error> {
    Ok(match handle {
        HandleKind::Fd => builder.build()?.into(),
        HandleKind::Registered => builder.build_registered()?.into(),
        HandleKind::Closed => builder.build_registered()?.close_fd()?.into(),
        HandleKind::Born => builder.build_fdless()?.into(),
    })
}

/// Whether rings of more than one page are born without a descriptor whatever memory is free.
///
/// Linux 6.5 to 6.9 want the memory of the queues physically contiguous, and without huge pages the ring has a descriptor first.
pub(crate) fn births_are_certain(context: &Context) -> bool {
    // A feature of the same kernel, which can be probed.
    context.has(Feature::REGISTERED_FD_ONLY) && context.has(Feature::NOP_INJECT_RESULT)
}

/// A [`RecordingBuffer`] that operations take.
#[derive(Debug)]
pub(crate) struct Recorded(pub(crate) RecordingBuffer);

impl Recorded {
    /// A buffer of that length, and what watches it.
    pub(crate) fn new(length: usize) -> std::io::Result<(Recorded, Recording)> {
        let (buffer, recording) = RecordingBuffer::new(length)?;
        Ok((Recorded(buffer), recording))
    }
}

// SAFETY: a mapping owned by the value, initialised throughout; the methods only return what was fixed when it was made.
unsafe impl BufMut for Recorded {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        self.0.as_mut_ptr()
    }

    fn capacity(&self) -> usize {
        self.0.len()
    }

    unsafe fn set_filled(&mut self, _: usize) {}
}

// SAFETY: as for `BufMut`.
unsafe impl Buf for Recorded {
    fn as_ptr(&self) -> *const u8 {
        self.0.as_ptr()
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

// SAFETY: a mapping that the value owns, initialised throughout and always the same.
unsafe impl BufferMemory for Recorded {
    fn bytes(&mut self) -> NonNull<[u8]> {
        NonNull::from(&mut *self.0)
    }
}

/// What was caught is the panic that the test itself has made, and no other.
pub(crate) fn assert_panicked<T>(caught: thread::Result<T>, words: &str) {
    let payload = caught.err().expect("it panics");
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    assert_eq!(text, Some(words));
}
