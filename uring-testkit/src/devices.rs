//! Devices: whether they are there, and what they are asked.

use std::{
    env, fs, io,
    net::{Ipv6Addr, UdpSocket},
    os::{
        fd::{AsRawFd as _, BorrowedFd},
        unix::fs::FileTypeExt as _,
    },
    path::{Path, PathBuf},
};

use crate::{facility::inconclusive, feature::Observation};

/// Names the namespace that tests may overwrite.
pub(crate) const NVME: &str = "URING_TEST_NVME";
/// Names one that keeps protection information, and that tests may overwrite too.
pub(crate) const NVME_PROTECTED: &str = "URING_TEST_NVME_PROTECTED";

/// Whether there is something at `path`, whoever may use it.
pub(crate) fn exists(path: &str) -> Observation {
    match fs::exists(path) {
        Ok(true) => Observation::Present,
        Ok(false) => Observation::Absent,
        Err(error) => inconclusive(path, &error),
    }
}

/// The namespace that the variable names, if it does.
pub(crate) fn nvme_path(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from)
}

pub(crate) fn nvme() -> Observation {
    namespace(NVME)
}

fn namespace(variable: &str) -> Observation {
    let Some(path) = nvme_path(variable) else {
        return Observation::Absent;
    };
    let wrong =
        |what: &str| Observation::Inconclusive(format!("{variable}={}: {what}", path.display()));
    let is_nvme = path
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with("nvme"));
    match fs::metadata(&path) {
        Ok(metadata) if metadata.file_type().is_block_device() && is_nvme => Observation::Present,
        Ok(_) => wrong("no block device of the NVMe driver"),
        Err(error) => wrong(&error.to_string()),
    }
}

/// Whether the kernel knows the format of what that namespace keeps beside its blocks.
pub(crate) fn nvme_protected() -> Observation {
    let there = namespace(NVME_PROTECTED);
    let Some(path) = nvme_path(NVME_PROTECTED).filter(|_| there == Observation::Present) else {
        return there;
    };
    let name = path.file_name().unwrap_or_default();
    let format = Path::new("/sys/block").join(name).join("integrity/format");
    match fs::read_to_string(&format) {
        Ok(format) if format.trim() == "T10-DIF-TYPE1-CRC" => Observation::Present,
        Ok(other) => Observation::Inconclusive(format!("{}: {other}", path.display())),
        Err(error) => inconclusive(&format.to_string_lossy(), &error),
    }
}

/// `/dev/ng0n2` of `/dev/nvme0n2`.
pub(crate) fn nvme_generic(path: &Path) -> Option<PathBuf> {
    let numbers = path.file_name()?.to_str()?.strip_prefix("nvme")?;
    Some(path.with_file_name(format!("ng{numbers}")))
}

pub(crate) fn nvme_passthrough() -> Observation {
    match (nvme(), nvme_path(NVME).as_deref().and_then(nvme_generic)) {
        (Observation::Present, Some(path)) => exists(&path.to_string_lossy()),
        (there, _) => there,
    }
}

pub(crate) fn ipv6() -> Observation {
    match UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)) {
        Ok(_) => Observation::Present,
        Err(error) => match error.raw_os_error() {
            // No such family, no such address.
            Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL) => Observation::Absent,
            _ => inconclusive("binding to ::1", &error),
        },
    }
}

/// Calls a device with an argument that is a number or nothing.
pub(crate) fn ioctl_number(
    fd: BorrowedFd<'_>,
    request: libc::Ioctl,
    argument: libc::c_ulong,
) -> io::Result<libc::c_int> {
    // SAFETY: the callers' requests take a number, so the kernel reads no memory.
    match unsafe { libc::ioctl(fd.as_raw_fd(), request, argument) } {
        -1 => Err(io::Error::last_os_error()),
        answer => Ok(answer),
    }
}

/// Calls a device with a structure that it reads or fills in.
///
/// # Safety
///
/// The request takes a `T`, or something smaller.
pub(crate) unsafe fn ioctl<T>(
    fd: BorrowedFd<'_>,
    request: libc::Ioctl,
    argument: &mut T,
) -> io::Result<libc::c_int> {
    // SAFETY: the structure is exclusively borrowed and, as the caller says, of the right kind.
    match unsafe { libc::ioctl(fd.as_raw_fd(), request, std::ptr::from_mut(argument)) } {
        -1 => Err(io::Error::last_os_error()),
        answer => Ok(answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_has_a_character_device_of_its_own() {
        let generic = |path: &str| nvme_generic(Path::new(path));
        assert_eq!(generic("/dev/nvme0n2"), Some(PathBuf::from("/dev/ng0n2")));
        assert_eq!(generic("/dev/sda"), None);
    }
}
