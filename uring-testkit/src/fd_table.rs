//! The process's descriptor table, as `/proc/self/fd` shows it.

use std::{collections::BTreeMap, fmt, fs, io, os::fd::RawFd, path::PathBuf};

/// The open descriptors at one moment, with what each refers to.
///
/// # Examples
///
/// ```
/// use uring_testkit::FdTable;
///
/// let before = FdTable::now()?;
/// let file = std::fs::File::open("/dev/null")?;
/// let added = before.diff(&FdTable::now()?);
/// assert!(added.to_string().contains("/dev/null"));
/// drop(file);
/// assert!(before.diff(&FdTable::now()?).is_empty());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FdTable(BTreeMap<RawFd, PathBuf>);

impl FdTable {
    /// Reads the table; the descriptor that reading needs is not in it.
    ///
    /// # Errors
    ///
    /// `/proc` is not mounted, or there is no descriptor left to read it with.
    pub fn now() -> io::Result<Self> {
        let mut table = BTreeMap::new();
        for entry in fs::read_dir("/proc/self/fd")? {
            let entry = entry?;
            let Ok(fd) = entry.file_name().to_string_lossy().parse() else {
                continue;
            };
            // The directory itself is the only entry that is closed again while the table is read.
            if let Ok(target) = fs::read_link(entry.path()) {
                table.insert(fd, target);
            }
        }
        table.retain(|fd, _| {
            // SAFETY: asking for the flags of a descriptor changes nothing, whether it is open or not.
            unsafe { libc::fcntl(*fd, libc::F_GETFD) != -1 }
        });
        Ok(Self(table))
    }

    /// The descriptors and what they refer to, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (RawFd, &PathBuf)> {
        self.0.iter().map(|(fd, target)| (*fd, target))
    }

    /// The descriptors that are rings.
    pub fn rings(&self) -> impl Iterator<Item = RawFd> {
        self.iter()
            .filter(|(_, target)| target.as_os_str() == "anon_inode:[io_uring]")
            .map(|(fd, _)| fd)
    }

    /// How many are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is different in `later`.
    #[must_use]
    pub fn diff(&self, later: &Self) -> FdDiff {
        let missing = |from: &Self, of: &Self| {
            let other = |fd, target| of.0.get(fd) != Some(target);
            from.0
                .iter()
                .filter(|(fd, target)| other(*fd, *target))
                .map(|(fd, target)| (*fd, target.clone()))
                .collect()
        };
        FdDiff {
            added: missing(later, self),
            removed: missing(self, later),
        }
    }
}

/// The difference between two descriptor tables; a number that refers to something else is in both parts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FdDiff {
    /// What was not there before.
    pub added: Vec<(RawFd, PathBuf)>,
    /// What is not there any more.
    pub removed: Vec<(RawFd, PathBuf)>,
}

impl FdDiff {
    /// Whether the tables are the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }
}

impl fmt::Display for FdDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let added = self.added.iter().map(|entry| ('+', entry));
        let removed = self.removed.iter().map(|entry| ('-', entry));
        for (index, (sign, (fd, target))) in added.chain(removed).enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{sign}{fd} -> {}", target.display())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(entries: &[(RawFd, &str)]) -> FdTable {
        let entries = entries.iter().map(|(fd, path)| (*fd, PathBuf::from(path)));
        FdTable(entries.collect())
    }

    #[test]
    fn a_reused_number_is_removed_and_added() {
        let before = table(&[(0, "a"), (3, "b"), (4, "c")]);
        let after = table(&[(0, "a"), (3, "x"), (5, "c")]);
        assert_eq!(
            before.diff(&after).to_string(),
            "+3 -> x, +5 -> c, -3 -> b, -4 -> c"
        );
        assert!(before.diff(&before).is_empty());
    }

    #[test]
    fn rings_are_found_by_what_they_refer_to() {
        let table = table(&[
            (0, "/dev/null"),
            (3, "anon_inode:[io_uring]"),
            (4, "/x[io_uring]"),
        ]);
        assert_eq!(table.rings().collect::<Vec<_>>(), [3]);
    }
}
