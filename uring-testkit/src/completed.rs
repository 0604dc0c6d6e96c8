//! What the code under test has brought to completion, as it says itself.

use std::fmt;

use crate::handle::HandleKind;

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

/// One line each.
pub(crate) fn lines(completed: &[Completed]) -> String {
    let lines: Vec<_> = completed.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_a_line() {
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
        assert_eq!(
            lines(&completed),
            "born IORING_OP_READ\n- IORING_REGISTER_QUERY"
        );
        assert_eq!(lines(&[]), "");
    }
}
