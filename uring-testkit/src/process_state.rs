//! What of a process the tests that share it must leave as it was, beside what each of them may announce.

use std::{env, fmt, io, path::PathBuf};

/// The state of this process at one moment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ProcessState {
    limits: Vec<(libc::rlim_t, libc::rlim_t)>,
    seccomp: libc::c_int,
    user: libc::uid_t,
    directory: Option<PathBuf>,
}

/// Those that have something to do with rings, files and memory.
const LIMITS: [(libc::__rlimit_resource_t, &str); 5] = [
    (libc::RLIMIT_NOFILE, "RLIMIT_NOFILE"),
    (libc::RLIMIT_MEMLOCK, "RLIMIT_MEMLOCK"),
    (libc::RLIMIT_NPROC, "RLIMIT_NPROC"),
    (libc::RLIMIT_AS, "RLIMIT_AS"),
    (libc::RLIMIT_FSIZE, "RLIMIT_FSIZE"),
];

impl ProcessState {
    pub(crate) fn now() -> io::Result<Self> {
        let limits = LIMITS.iter().map(|(resource, _)| {
            let mut limit = libc::rlimit {
                rlim_cur: 0,
                rlim_max: 0,
            };
            // SAFETY: the structure is exclusively borrowed.
            match unsafe { libc::getrlimit(*resource, &raw mut limit) } {
                0 => Ok((limit.rlim_cur, limit.rlim_max)),
                _ => Err(io::Error::last_os_error()),
            }
        });
        Ok(Self {
            limits: limits.collect::<io::Result<_>>()?,
            // SAFETY: this call and the next ask and change nothing.
            seccomp: unsafe { libc::prctl(libc::PR_GET_SECCOMP) },
            // SAFETY: as above.
            user: unsafe { libc::geteuid() },
            directory: env::current_dir().ok(),
        })
    }

    /// One sentence for each difference.
    pub(crate) fn changes_until(&self, later: &Self) -> Vec<String> {
        let limits = self.limits.iter().zip(&later.limits).zip(&LIMITS);
        let mut changes: Vec<_> = limits
            .filter(|((before, after), _)| before != after)
            .map(|(_, (_, name))| changed(name))
            .collect();
        let rest = [
            (self.seccomp != later.seccomp, "the seccomp mode"),
            (self.user != later.user, "the user"),
            (self.directory != later.directory, "the working directory"),
        ];
        let rest = rest.iter().filter(|(differs, _)| *differs);
        changes.extend(rest.map(|(_, what)| changed(what)));
        changes
    }
}

fn changed(what: impl fmt::Display) -> String {
    format!(
        "the test shares its process and has changed {what}: it needs a process of its own (Test::own_process)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::fork_and;

    #[test]
    fn what_a_test_changes_is_told() {
        let child = fork_and(|| {
            let before = ProcessState::now()?;
            assert_eq!(
                before.changes_until(&ProcessState::now()?),
                Vec::<String>::new()
            );
            env::set_current_dir("/proc")?;
            let lower = libc::rlimit {
                rlim_cur: 20,
                rlim_max: 20,
            };
            // SAFETY: the structure outlives the call.
            let set = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const lower) };
            assert_eq!(set, 0);
            let changes = before.changes_until(&ProcessState::now()?);
            assert_eq!(changes.len(), 2, "{changes:?}");
            assert!(changes[0].contains("RLIMIT_NOFILE"), "{changes:?}");
            assert!(changes[1].contains("working directory"), "{changes:?}");
            Ok(())
        });
        child.unwrap().check().unwrap();
    }
}
