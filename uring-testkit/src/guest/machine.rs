//! A bare machine made usable, and switched off.

use std::{
    ffi::{CStr, CString},
    fs::{self, File},
    io,
    os::{fd::AsRawFd as _, unix::ffi::OsStrExt as _},
    path::Path,
    ptr,
};

use super::settings::Module;

/// Where the disk is mounted.
pub(super) const DISK: &str = "/disk";

pub(super) fn mount_basics() -> Result<(), String> {
    for (kind, target) in [
        (c"proc", c"/proc"),
        (c"sysfs", c"/sys"),
        (c"devtmpfs", c"/dev"),
        (c"tmpfs", c"/tmp"),
        (c"tmpfs", c"/run"),
    ] {
        mount(kind, kind, target)?;
    }
    for (kind, target) in [(c"devpts", c"/dev/pts"), (c"tmpfs", c"/dev/shm")] {
        mount(kind, kind, target)?;
    }
    Ok(())
}

/// Mounts the file system in which some modules are configured, once there is one.
pub(super) fn mount_configuration() -> Result<(), String> {
    let place = c"/sys/kernel/config";
    if Path::new(&*place.to_string_lossy()).is_dir() {
        mount(c"configfs", c"configfs", place)?;
    }
    Ok(())
}

pub(super) fn mount_disk(device: &Path) -> Result<(), String> {
    let name = CString::new(device.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
    let target = CString::new(DISK).map_err(|error| error.to_string())?;
    mount(&name, c"ext4", &target)
}

fn mount(source: &CStr, kind: &CStr, target: &CStr) -> Result<(), String> {
    let name = target.to_string_lossy();
    fs::create_dir_all(&*name).map_err(|error| format!("{name}: {error}"))?;
    let (source_name, kind_name) = (source.to_string_lossy(), kind.to_string_lossy());
    // SAFETY: strings that end in zero bytes and outlive the call.
    let result = unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            kind.as_ptr(),
            0,
            ptr::null(),
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(format!(
            "mounting {source_name} ({kind_name}) at {name}: {}",
            io::Error::last_os_error()
        )),
    }
}

pub(super) fn release() -> Result<String, String> {
    read("/proc/sys/kernel/osrelease")
}

/// What the kernel itself thinks of its state, as a number: 0 is good.
pub(super) fn taint() -> Result<String, String> {
    read("/proc/sys/kernel/tainted")
}

fn read(path: &str) -> Result<String, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    Ok(text.trim().to_owned())
}

/// Loads a module, as the distribution ships it: compressed or not.
pub(super) fn load(module: &Module) -> Result<(), String> {
    const MODULE_INIT_COMPRESSED_FILE: libc::c_int = 4;
    let path = &module.path;
    let name = path.display();
    let parameters = CString::new(&*module.parameters).map_err(|error| error.to_string())?;
    let file = File::open(path).map_err(|error| format!("{name}: {error}"))?;
    let plain = path.extension().is_some_and(|extension| extension == "ko");
    let flags = if plain {
        0
    } else {
        MODULE_INIT_COMPRESSED_FILE
    };
    let (call, parameters) = (libc::SYS_finit_module, parameters.as_ptr());
    // SAFETY: a descriptor, a string that ends in a zero byte, a number.
    if unsafe { libc::syscall(call, file.as_raw_fd(), parameters, flags) } == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    // What another module has brought already is there.
    if error.raw_os_error() == Some(libc::EEXIST) {
        return Ok(());
    }
    Err(format!("loading {name}: {error}"))
}

/// Collects what suites have left behind, which is the first process's duty.
pub(super) fn reap_orphans() {
    // SAFETY: no place for a status is given.
    while unsafe { libc::waitpid(-1, ptr::null_mut(), libc::WNOHANG) } > 0 {}
}

pub(super) fn power_off() -> ! {
    // SAFETY: ends the machine, and with it this process, its memory and what it had open.
    unsafe {
        libc::sync();
        libc::reboot(libc::RB_POWER_OFF);
    }
    // Only a machine that cannot be switched off comes here; its first process must not end.
    loop {
        std::thread::park();
    }
}
