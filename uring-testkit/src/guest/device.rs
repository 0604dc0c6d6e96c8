//! Block devices by what they are, not by the order in which they were found.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// A device that drivers may still be looking for when the first process starts.
const PATIENCE: Duration = Duration::from_secs(20);

/// The device at a path, or with `nsid:1` the NVMe namespace of that number.
pub(super) fn find(name: &str) -> Result<PathBuf, String> {
    let start = Instant::now();
    loop {
        if let Some(device) = look(name, Path::new("/sys/block"))? {
            return Ok(device);
        }
        if start.elapsed() > PATIENCE {
            return Err(format!("there is no device {name}"));
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn look(name: &str, block_devices: &Path) -> Result<Option<PathBuf>, String> {
    let Some(wanted) = name.strip_prefix("nsid:") else {
        let device = PathBuf::from(name);
        return Ok(device.exists().then_some(device));
    };
    let fail = |error: io::Error| format!("{}: {error}", block_devices.display());
    for entry in fs::read_dir(block_devices).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        // Other block devices have no such attribute, and one that is being found may not have it yet.
        let number = fs::read_to_string(entry.path().join("nsid")).unwrap_or_default();
        if number.trim() == wanted {
            return Ok(Some(Path::new("/dev").join(entry.file_name())));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::TempDir;

    #[test]
    fn a_namespace_is_found_by_its_number() {
        let dir = TempDir::new().unwrap();
        for (name, number) in [
            ("nvme0n1", Some("2\n")),
            ("nvme0n2", Some("1\n")),
            ("sda", None),
        ] {
            let device = dir.path().join(name);
            fs::create_dir(&device).unwrap();
            if let Some(number) = number {
                fs::write(device.join("nsid"), number).unwrap();
            }
        }
        let found = |name| look(name, dir.path()).unwrap();
        assert_eq!(found("nsid:1"), Some(PathBuf::from("/dev/nvme0n2")));
        assert_eq!(found("nsid:2"), Some(PathBuf::from("/dev/nvme0n1")));
        assert_eq!(found("nsid:3"), None);
        assert_eq!(found("/dev/null"), Some(PathBuf::from("/dev/null")));
        assert_eq!(found("/dev/nothing"), None);
    }
}
