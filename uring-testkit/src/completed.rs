//! What the code under test has brought to completion, as it says itself.

use std::{fmt, io};

use crate::{handle::HandleKind, notes::Notes};

/// An opcode or a register opcode that was brought to success, and by which handle the ring was reached then.
///
/// See [`Suite::completed_by`](crate::Suite::completed_by).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Completed {
    /// The kernel's name for it, as in its headers.
    pub opcode: &'static str,
    /// Nothing for calls that stand for themselves and mean no ring.
    pub handle: Option<HandleKind>,
}

impl fmt::Display for Completed {
    /// The handle's word, or `-`, and the opcode.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let handle = self.handle.map_or("-", HandleKind::word);
        write!(f, "{handle} {}", self.opcode)
    }
}

/// How a suite asks the code under test.
pub(crate) type CompletedBy = fn() -> Vec<Completed>;

/// Leaves what was completed in this process for the suite.
pub(crate) fn leave(notes: &Notes, completed: &[Completed]) -> io::Result<()> {
    let lines: Vec<_> = completed.iter().map(ToString::to_string).collect();
    notes.write(&lines.join("\n"))
}

/// What a test's process has left.
pub(crate) fn left(note: &str) -> impl Iterator<Item = &str> {
    note.lines()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_found() {
        let notes = Notes::new().unwrap();
        let completed = [
            Completed {
                opcode: "IORING_OP_READ",
                handle: Some(HandleKind::Born),
            },
            Completed {
                opcode: "IORING_REGISTER_QUERY",
                handle: None,
            },
        ];
        leave(&notes, &completed).unwrap();
        let note = notes.read();
        let found: Vec<_> = left(&note).collect();
        assert_eq!(found, ["born IORING_OP_READ", "- IORING_REGISTER_QUERY"]);
        leave(&notes, &[]).unwrap();
        assert_eq!(left(&notes.read()).count(), 0);
    }
}
