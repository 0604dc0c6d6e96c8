//! What is forbidden, scarce or otherwise unusual in a machine.

use std::{
    fs, io,
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use uring_sys::Errno;

use super::machine;
use crate::process;

type Resource = libc::__rlimit_resource_t;

/// What the settings say about it; by default nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Conditions {
    /// Names under `/proc/sys` with dots for slashes, and what they are set to, in order.
    sysctls: Vec<(String, String)>,
    limits: Vec<(Resource, libc::rlim_t)>,
    /// System calls, and the errno that they fail with.
    denied: Vec<(libc::c_long, i32)>,
    /// The user, and group, that the suites run as.
    user: Option<u32>,
}

impl Conditions {
    /// Takes in a line of the settings; `false` if it is about something else.
    pub(super) fn read(&mut self, word: &str, value: &str) -> Result<bool, String> {
        let unreadable = |what: &str| format!("{what}: {word} {value}");
        match word {
            "sysctl" => {
                let (name, value) = value.split_once('=').ok_or_else(|| unreadable("no ="))?;
                self.sysctls.push((name.to_owned(), value.to_owned()));
            }
            "rlimit" => {
                let (name, value) = value.split_once('=').ok_or_else(|| unreadable("no ="))?;
                let resource = resource(name).ok_or_else(|| unreadable("no such resource"))?;
                let value = value.parse().map_err(|_| unreadable("no number"))?;
                self.limits.push((resource, value));
            }
            "deny" => {
                let (call, errno) = value
                    .split_once(' ')
                    .ok_or_else(|| unreadable("no errno"))?;
                let call = call_number(call).ok_or_else(|| unreadable("no such call"))?;
                let errno = errno_number(errno).ok_or_else(|| unreadable("no such errno"))?;
                self.denied.push((call, errno));
            }
            "user" => self.user = Some(value.parse().map_err(|_| unreadable("no number"))?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Makes the machine, this process and what it starts so. It cannot be undone.
    pub(super) fn apply(&self) -> Result<(), String> {
        for (name, value) in &self.sysctls {
            set(&sysctl_path(name), value)?;
        }
        for (resource, value) in &self.limits {
            limit(*resource, *value).map_err(|error| format!("rlimit {resource}: {error}"))?;
        }
        if let Some(user) = self.user.filter(|_| Path::new(machine::DISK).exists()) {
            chown(machine::DISK, Some(user), Some(user))
                .map_err(|error| format!("giving {} to user {user}: {error}", machine::DISK))?;
        }
        // Last, as nothing above is to be filtered.
        if !self.denied.is_empty() {
            process::install_filter(&self.denied)
                .map_err(|error| format!("the filter of system calls: {error}"))?;
        }
        Ok(())
    }

    /// Starts `command` as the user, in no other groups than its own; `report` is made the user's too.
    pub(super) fn become_user(&self, command: &mut Command, report: &Path) -> io::Result<()> {
        let Some(user) = self.user else { return Ok(()) };
        command.uid(user).gid(user).env("HOME", "/tmp");
        chown(report, Some(user), Some(user))
    }
}

fn sysctl_path(name: &str) -> PathBuf {
    Path::new("/proc/sys").join(name.replace('.', "/"))
}

/// Writes a setting and reads it again: some kernels take what they can instead of what they are told.
fn set(path: &Path, value: &str) -> Result<(), String> {
    let fail = |error| format!("{} = {value}: {error}", path.display());
    fs::write(path, value).map_err(fail)?;
    let now = fs::read_to_string(path).map_err(fail)?;
    if now.split_whitespace().eq(value.split_whitespace()) {
        Ok(())
    } else {
        Err(format!(
            "{} was set to {value} and is {}",
            path.display(),
            now.trim()
        ))
    }
}

fn limit(resource: Resource, value: libc::rlim_t) -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: value,
        rlim_max: value,
    };
    // SAFETY: a structure that outlives the call.
    match unsafe { libc::setrlimit(resource, &raw const limit) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn resource(name: &str) -> Option<Resource> {
    let known = [
        ("memlock", libc::RLIMIT_MEMLOCK),
        ("nofile", libc::RLIMIT_NOFILE),
        ("nproc", libc::RLIMIT_NPROC),
    ];
    find(known, name)
}

fn call_number(name: &str) -> Option<libc::c_long> {
    let known = [
        ("io_uring_setup", libc::SYS_io_uring_setup),
        ("io_uring_register", libc::SYS_io_uring_register),
        ("io_uring_enter", libc::SYS_io_uring_enter),
    ];
    find(known, name)
}

fn errno_number(name: &str) -> Option<i32> {
    let known = [Errno::EPERM, Errno::EACCES, Errno::ENOSYS];
    let known = known.into_iter().find(|errno| errno.name() == Some(name))?;
    Some(known.raw())
}

fn find<T, const N: usize>(known: [(&str, T); N], name: &str) -> Option<T> {
    let mut known = known.into_iter();
    known.find_map(|(word, value)| (word == name).then_some(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Forbidden,
        files::TempDir,
        process::{fork_and, with_rlimit},
    };

    fn read(lines: &[(&str, &str)]) -> Conditions {
        let mut conditions = Conditions::default();
        for (word, value) in lines {
            assert_eq!(conditions.read(word, value), Ok(true), "{word} {value}");
        }
        conditions
    }

    #[test]
    fn each_word_is_read() {
        let conditions = read(&[
            ("sysctl", "kernel.io_uring_disabled=2"),
            ("rlimit", "memlock=65536"),
            ("deny", "io_uring_setup EPERM"),
            ("deny", "io_uring_register ENOSYS"),
            ("user", "65534"),
        ]);
        let sysctl = ("kernel.io_uring_disabled".to_owned(), "2".to_owned());
        assert_eq!(conditions.sysctls, [sysctl]);
        assert_eq!(conditions.limits, [(libc::RLIMIT_MEMLOCK, 65536)]);
        let denied = [
            (libc::SYS_io_uring_setup, libc::EPERM),
            (libc::SYS_io_uring_register, libc::ENOSYS),
        ];
        assert_eq!(conditions.denied, denied);
        assert_eq!(conditions.user, Some(65534));
        assert_eq!(Conditions::default().read("suite", "/s"), Ok(false));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (word, value) in [
            ("sysctl", "kernel.io_uring_disabled"),
            ("rlimit", "memlock"),
            ("rlimit", "patience=1"),
            ("rlimit", "memlock=much"),
            ("deny", "io_uring_setup"),
            ("deny", "getpid EPERM"),
            ("deny", "io_uring_setup EWHATEVER"),
            ("user", "nobody"),
        ] {
            let error = Conditions::default().read(word, value).unwrap_err();
            assert!(error.contains(value), "{error}");
        }
    }

    #[test]
    fn a_sysctl_is_a_path() {
        let path = sysctl_path("net.ipv4.ip_forward");
        assert_eq!(path, Path::new("/proc/sys/net/ipv4/ip_forward"));
    }

    #[test]
    fn a_setting_that_cannot_be_made_is_told() {
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("setting");
        set(&file, "16").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "16");
        assert!(set(dir.path(), "16").unwrap_err().contains("= 16"));
        // It takes everything and keeps nothing.
        let error = set(Path::new("/dev/null"), "16").unwrap_err();
        assert!(error.contains("was set to 16 and is "), "{error}");
    }

    #[test]
    fn limits_and_filters_are_those_of_the_process_and_its_children() {
        let conditions = read(&[("rlimit", "nofile=77"), ("deny", "io_uring_setup EPERM")]);
        let child = fork_and(|| {
            conditions.apply()?;
            fork_and(|| {
                assert!(with_rlimit(libc::RLIMIT_NOFILE, 78, || ()).is_err());
                let forbidden = Forbidden::observe().ok_or("it can be used")?;
                assert_eq!(forbidden.errno(), libc::EPERM);
                Ok(())
            })?
            .check()
        });
        child.unwrap().check().unwrap();
    }
}
