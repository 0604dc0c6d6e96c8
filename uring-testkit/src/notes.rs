//! What a test's process says to its suite although it may have closed every descriptor.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::mapping::Mapping;

const LENGTH: usize = 1 << 16;
const HEADER: usize = size_of::<AtomicUsize>();

/// A text in memory that a process shares with those it has forked.
#[derive(Debug)]
pub(crate) struct Notes(Mapping);

impl Notes {
    pub(crate) fn new() -> io::Result<Self> {
        Mapping::shared(LENGTH).map(Self)
    }

    fn length(&self) -> &AtomicUsize {
        // SAFETY: the mapping begins with the length, is aligned to a page and lives as long as the reference; every
        // process takes it for an atomic.
        unsafe { self.0.pointer().cast::<AtomicUsize>().as_ref() }
    }

    pub(crate) fn clear(&self) {
        self.length().store(0, Ordering::Release);
    }

    /// Leaves a text; what does not fit is an error.
    pub(crate) fn write(&self, text: &str) -> io::Result<()> {
        if text.len() > LENGTH - HEADER {
            return Err(io::Error::other(format!(
                "a note of {} bytes is too long",
                text.len()
            )));
        }
        // SAFETY: the text fits behind the header, and a test's process is the only one to write while it lives.
        unsafe {
            let start = self.0.pointer().as_ptr().add(HEADER);
            start.copy_from_nonoverlapping(text.as_ptr(), text.len());
        }
        self.length().store(text.len(), Ordering::Release);
        Ok(())
    }

    /// What was left, if the process that left it has ended.
    pub(crate) fn read(&self) -> String {
        // The test may have written anything anywhere.
        let length = self.length().load(Ordering::Acquire).min(LENGTH - HEADER);
        let mut bytes = vec![0; length];
        // SAFETY: as many bytes as lie behind the header.
        unsafe {
            let start = self.0.pointer().as_ptr().add(HEADER);
            bytes.as_mut_ptr().copy_from_nonoverlapping(start, length);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::fork_and;

    #[test]
    fn a_note_of_a_forked_child_is_read() {
        let notes = Notes::new().unwrap();
        assert_eq!(notes.read(), "");
        let child = fork_and(|| Ok(notes.write("from the child")?)).unwrap();
        child.check().unwrap();
        assert_eq!(notes.read(), "from the child");
        notes.clear();
        assert_eq!(notes.read(), "");
    }

    #[test]
    fn a_note_that_is_too_long_is_refused() {
        let notes = Notes::new().unwrap();
        let longest = "x".repeat(LENGTH - HEADER);
        notes.write(&longest).unwrap();
        assert_eq!(notes.read(), longest);
        let refusal = notes.write(&(longest + "x")).unwrap_err();
        assert!(refusal.to_string().contains("too long"), "{refusal}");
    }
}
