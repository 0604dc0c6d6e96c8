//! What a test has left behind, against what it may leave behind.

use std::{fs, io};

use crate::{FdTable, Slots, fd_table::FdDiff};

/// What a test leaves behind on purpose: exactly that much must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Leaks {
    /// Ring slots of the test's thread that are still taken.
    pub slots: usize,
    /// Descriptors that were not open before.
    pub descriptors: usize,
    /// Mappings of a ring's memory, of which a mapped ring has two.
    pub ring_mappings: usize,
}

/// What is different after a test.
#[derive(Debug)]
pub(crate) struct Traces {
    slots: Slots,
    descriptors: FdDiff,
    ring_mappings: usize,
    children: Vec<String>,
}

impl Traces {
    /// Looks at the whole process; `slots` were looked at by the test's own thread.
    pub(crate) fn collect(before: &FdTable, slots: Slots) -> Result<Self, String> {
        let now = FdTable::now().map_err(|error| format!("/proc/self/fd: {error}"))?;
        Ok(Self {
            slots,
            descriptors: before.diff(&now),
            ring_mappings: ring_mappings().map_err(|error| format!("/proc/self/maps: {error}"))?,
            children: children(),
        })
    }

    /// One sentence for each difference from what was announced.
    pub(crate) fn against(&self, leaks: Leaks) -> Vec<String> {
        let mut problems = Vec::new();
        if self.slots.taken() != leaks.slots {
            problems.push(format!(
                "ring slots still taken: {:?}, announced: {}",
                self.slots, leaks.slots
            ));
        }
        let FdDiff { added, removed } = &self.descriptors;
        if added.len() != leaks.descriptors || !removed.is_empty() {
            problems.push(format!(
                "descriptors changed: {}; announced: {} more",
                self.descriptors, leaks.descriptors
            ));
        }
        if self.ring_mappings != leaks.ring_mappings {
            problems.push(format!(
                "ring memory still mapped: {} mappings, announced: {}",
                self.ring_mappings, leaks.ring_mappings
            ));
        }
        for child in &self.children {
            problems.push(format!("a child process was left behind: {child}"));
        }
        problems
    }
}

/// For a look at what a test has left: it takes a descriptor, and the test may have lowered the limit.
pub(crate) fn lift_descriptor_limit() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the structure is exclusively borrowed by both calls.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

/// How many mappings of ring memory this process has.
pub(crate) fn ring_mappings() -> io::Result<usize> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    Ok(maps
        .lines()
        .filter(|line| line.ends_with("[io_uring]"))
        .count())
}

/// The children of this process that have not been waited for, living or dead; all are gone afterwards.
fn children() -> Vec<String> {
    let mut found = Vec::new();
    let mut wait = libc::WNOHANG;
    loop {
        let mut status = 0;
        // SAFETY: the status is exclusively borrowed.
        match unsafe { libc::waitpid(-1, &raw mut status, wait | libc::__WALL) } {
            0 => {
                found.push("still running".to_owned());
                end_children();
                wait = 0;
            }
            // It has been ended here.
            1.. if wait == 0 => end_children(),
            process @ 1.. => found.push(format!("process {process}, status {status}")),
            _ => return found,
        }
    }
}

/// Ends the living children; what they leave behind becomes a child in turn.
fn end_children() {
    let own = std::process::id().to_string();
    let Ok(processes) = fs::read_dir("/proc") else {
        return;
    };
    for process in processes.flatten() {
        let Ok(stat) = fs::read_to_string(process.path().join("stat")) else {
            continue;
        };
        // The name, in parentheses, may have blanks in it; state and parent follow.
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        if after_name.split_whitespace().nth(1) != Some(own.as_str()) {
            continue;
        }
        let Ok(number) = process.file_name().to_string_lossy().parse() else {
            continue;
        };
        // SAFETY: a child of this process that has not been waited for: the number is still its own.
        unsafe { libc::kill(number, libc::SIGKILL) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean() -> Traces {
        Traces {
            slots: Slots::of_this_thread().unwrap(),
            descriptors: FdDiff::default(),
            ring_mappings: 0,
            children: Vec::new(),
        }
    }

    #[test]
    fn a_clean_test_has_no_problems() {
        assert_eq!(clean().against(Leaks::default()), Vec::<String>::new());
    }

    #[test]
    fn each_kind_of_trace_is_a_problem() {
        let descriptor = (7, "/tmp/x".into());
        let added = FdDiff {
            added: vec![descriptor],
            removed: vec![],
        };
        let removed = FdDiff {
            added: vec![],
            removed: added.added.clone(),
        };
        for (traces, words) in [
            (
                Traces {
                    descriptors: added,
                    ..clean()
                },
                "+7 -> /tmp/x",
            ),
            (
                Traces {
                    descriptors: removed,
                    ..clean()
                },
                "-7 -> /tmp/x",
            ),
            (
                Traces {
                    ring_mappings: 2,
                    ..clean()
                },
                "2 mappings",
            ),
            (
                Traces {
                    children: vec!["process 9".into()],
                    ..clean()
                },
                "process 9",
            ),
        ] {
            let problems = traces.against(Leaks::default());
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].contains(words), "{problems:?}");
        }
    }

    #[test]
    fn what_was_announced_must_be_there() {
        for leaks in [
            Leaks {
                slots: 1,
                ..Leaks::default()
            },
            Leaks {
                descriptors: 1,
                ..Leaks::default()
            },
            Leaks {
                ring_mappings: 2,
                ..Leaks::default()
            },
        ] {
            assert_eq!(clean().against(leaks).len(), 1, "{leaks:?}");
        }
    }
}
