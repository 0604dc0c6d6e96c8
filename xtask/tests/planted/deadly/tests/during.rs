//! Faults of the machine or its kernel.

use std::{fs, path::Path};

use deadly::FAULTS;
use uring_testkit::{Context, Suite, TestResult, guest};

fn hang() -> ! {
    loop {
        std::thread::park();
    }
}

fn fault(name: &str) -> TestResult {
    if !Path::new(guest::SETTINGS).exists() {
        return Err("this machine is not one that is made for tests".into());
    }
    match name {
        "panics" => fs::write("/proc/sysrq-trigger", "c")?,
        "powers_off" => {
            // SAFETY: ends the machine.
            unsafe { libc::reboot(libc::RB_POWER_OFF) };
            hang()
        }
        "waits_to_be_killed" => hang(),
        // As the kernel writes one: at the level of warnings, and the kernel puts the time before it.
        "writes_a_warning" => fs::write("/dev/kmsg", "<4>WARNING: planted by a test\n")?,
        // What the kernel does itself when it warns: TAINT_WARN.
        "taints" => fs::write("/proc/sys/kernel/tainted", "512")?,
        other => return Err(format!("{other} is no fault").into()),
    }
    Ok(())
}

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new("during");
    for name in FAULTS {
        suite.test(name, move |_: &Context| fault(name));
    }
    suite.run()
}
