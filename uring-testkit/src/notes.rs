//! What a test's process says to its suite although it may have closed every descriptor.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::mapping::Mapping;

/// Enough for what some dozen tests complete; memory that is not written to is not taken.
const LENGTH: usize = 1 << 20;
const HEADER: usize = size_of::<AtomicUsize>();

/// What was noted, one note after the other, in memory that a process shares with those it has forked.
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

    /// Adds a note; what does not fit is an error, and nothing of it is there.
    pub(crate) fn append(&self, note: &[u8]) -> io::Result<()> {
        let before = self.length().load(Ordering::Acquire);
        let after = before.saturating_add(note.len());
        if after > LENGTH - HEADER {
            return Err(io::Error::other(format!(
                "a note of {} bytes is too long behind {before} others",
                note.len()
            )));
        }
        // SAFETY: the note fits behind the others, and a test's process is the only one to write while it lives.
        unsafe {
            let start = self.0.pointer().as_ptr().add(HEADER + before);
            start.copy_from_nonoverlapping(note.as_ptr(), note.len());
        }
        self.length().store(after, Ordering::Release);
        Ok(())
    }

    /// What was noted, if the process that did has ended.
    pub(crate) fn read(&self) -> Vec<u8> {
        // The test may have written anything anywhere.
        let length = self.length().load(Ordering::Acquire).min(LENGTH - HEADER);
        let mut bytes = vec![0; length];
        // SAFETY: as many bytes as lie behind the header.
        unsafe {
            let start = self.0.pointer().as_ptr().add(HEADER);
            bytes.as_mut_ptr().copy_from_nonoverlapping(start, length);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::fork_and;

    #[test]
    fn notes_of_a_forked_child_are_read_in_order() {
        let notes = Notes::new().unwrap();
        assert_eq!(notes.read(), b"");
        let child = fork_and(|| {
            notes.append(b"from ")?;
            Ok(notes.append(b"the child")?)
        });
        child.unwrap().check().unwrap();
        assert_eq!(notes.read(), b"from the child");
        notes.clear();
        assert_eq!(notes.read(), b"");
    }

    #[test]
    fn a_note_that_does_not_fit_is_refused() {
        let notes = Notes::new().unwrap();
        let longest = vec![b'x'; LENGTH - HEADER];
        notes.append(&longest).unwrap();
        let refusal = notes.append(b"y").unwrap_err();
        assert!(refusal.to_string().contains("too long"), "{refusal}");
        assert_eq!(notes.read(), longest);
    }
}
