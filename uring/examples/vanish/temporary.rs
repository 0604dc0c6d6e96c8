//! The copy while it is incomplete.

use std::fs::{self, Permissions};
use std::path::{Path, PathBuf};

use uring::Direct;
use uring::op::{Fsync, OpenAt, UnlinkAt};

use crate::failure::Failure;
use crate::files::{self, Target, c_path};
use crate::{RINGS, call};

/// A file beside the target, removed when dropped unless it has become the target.
#[derive(Debug)]
pub(crate) struct Temporary {
    path: PathBuf,
    file: Direct,
    is_target: bool,
}

impl Temporary {
    pub(crate) fn create(target: &Target) -> Result<Temporary, Failure> {
        let directory = target.directory();
        let path = directory.join(format!(".vanish-{}", std::process::id()));
        let open = OpenAt::new(c_path(&path)?).write_only().create_new(0o600);
        let file = RINGS
            .with(|ring| files::open(ring, open))??
            .map_err(|error| Failure::file("cannot make a file in", directory, error))?;
        Ok(Temporary {
            path,
            file,
            is_target: false,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Brings the copy to its device.
    pub(crate) fn sync(&self, target: &Target) -> Result<(), Failure> {
        call(Fsync::new(&self.file))?
            .result
            .map_err(|error| Failure::file("cannot write", target.path(), error))
    }

    /// Puts the complete copy in the target's place.
    pub(crate) fn rename_to(
        mut self,
        target: &Target,
        permissions: Permissions,
    ) -> Result<(), Failure> {
        fs::set_permissions(&self.path, permissions)
            .map_err(|error| Failure::file("cannot set permissions of", &self.path, error))?;
        fs::rename(&self.path, target.path())
            .map_err(|error| Failure::file("cannot replace", target.path(), error))?;
        self.is_target = true;
        Ok(())
    }

    fn remove(&self) -> Result<(), Failure> {
        call(UnlinkAt::new(c_path(&self.path)?))?
            .result
            .map_err(|error| Failure::file("cannot remove", &self.path, error))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.is_target {
            return;
        }
        // Linux before 5.11 has no such operation.
        if self.remove().is_err() {
            if let Err(error) = fs::remove_file(&self.path) {
                let failure = Failure::file("cannot remove", &self.path, error);
                eprintln!("vanish: an incomplete copy is left behind: {failure}");
            }
        }
    }
}
