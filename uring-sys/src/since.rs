//! Looking a name up in the generated table.

use crate::since_table::SINCE;

/// The kernel release, as major and minor version, that a constant or struct of this crate first appeared in.
///
/// The rows come from `since.toml`: all opcodes, register opcodes, features, and flags of setup, enter, submission and
/// completion have one; counters such as `IORING_OP_LAST`, masks and shifts have none. A version says what the mainline
/// kernel of that name has. Distributions backport, so ask the kernel itself before relying on a feature.
///
/// ```
/// assert_eq!(uring_sys::since("IORING_OP_PIPE"), Some((6, 16)));
/// assert_eq!(uring_sys::since("IORING_OP_LAST"), None);
/// ```
#[must_use]
pub fn since(name: &str) -> Option<(u8, u8)> {
    let row = SINCE
        .binary_search_by(|(other, ..)| (*other).cmp(name))
        .ok()?;
    let (_, major, minor) = SINCE[row];
    Some((major, minor))
}
