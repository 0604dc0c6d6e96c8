//! The two files as they were asked for, looked at before anything is opened.

use std::ffi::CString;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use uring::op::{FileStatus, OpenAt, Read, Statx};
use uring::{Any, Direct, Ring};

use crate::failure::Failure;
use crate::{RINGS, call};

/// A path in the form that operations take.
pub(crate) fn c_path(path: &Path) -> Result<CString, Failure> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|error| Failure::file("cannot use the path", path, error.into()))
}

fn status(path: &Path) -> Result<io::Result<FileStatus>, Failure> {
    Ok(call(Statx::new(c_path(path)?))?.result)
}

/// Opens into the calling thread's ring, which has room for both files.
pub(crate) fn open(
    ring: &mut Ring<Any>,
    open: OpenAt<CString>,
) -> Result<io::Result<Direct>, uring::Error> {
    if ring.direct_slots() == 0 {
        ring.register_direct(2)?;
    }
    let slot = ring.direct_slot()?;
    Ok(ring.call(open.into_direct(slot))?.result)
}

/// The file to be copied.
pub(crate) struct Source {
    path: PathBuf,
    status: FileStatus,
}

impl Source {
    pub(crate) fn examine(path: &Path) -> Result<Source, Failure> {
        let status = status(path)?.map_err(|error| Failure::file("cannot find", path, error))?;
        if !status.is_file() {
            let why = kind(&status);
            return Err(Failure::unfit("cannot copy", path, why, "name a file"));
        }
        Ok(Source {
            path: path.to_owned(),
            status,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn size(&self) -> u64 {
        self.status.size()
    }

    /// Read, write and execute; what runs with the rights of the file's owner does not travel to another owner.
    pub(crate) fn permissions(&self) -> Permissions {
        Permissions::from_mode(u32::from(self.status.mode()) & 0o777)
    }

    /// Each thread has opened the file by its name, and read its part at its own time.
    pub(crate) fn check_unchanged(&self) -> Result<(), Failure> {
        let now = status(&self.path)?
            .map_err(|error| Failure::file("cannot find again", &self.path, error))?;
        let unchanged = is_same(&now, &self.status)
            && now.size() == self.status.size()
            && now.modified() == self.status.modified();
        if unchanged && self.ends_at_size()? {
            Ok(())
        } else {
            Err(changed(&self.path))
        }
    }

    /// Files that the kernel makes up as they are read often have more than their size says.
    fn ends_at_size(&self) -> Result<bool, Failure> {
        let source = OpenAt::new(c_path(&self.path)?);
        let beyond = RINGS.with(|ring| -> Result<_, uring::Error> {
            let file = match open(ring, source)? {
                Ok(file) => file,
                Err(error) => return Ok(Err(error)),
            };
            let read = Read::new(&file, Vec::with_capacity(1)).at(self.size());
            Ok(ring.call(read)?.result)
        })??;
        let beyond =
            beyond.map_err(|error| Failure::file("cannot read the end of", &self.path, error))?;
        Ok(beyond == 0)
    }
}

/// The source is not, or no longer, what its status said.
pub(crate) fn changed(path: &Path) -> Failure {
    let why =
        "it was changed meanwhile, or it is made up by the kernel and its size is not its own";
    Failure::unfit("cannot copy", path, why, "copy it when nobody writes to it")
}

/// Where the copy goes.
pub(crate) struct Target {
    path: PathBuf,
}

impl Target {
    /// Refuses what must not be replaced. Like `cp`, a link stays and what it points to is replaced.
    pub(crate) fn examine(path: &Path, source: &Source) -> Result<Target, Failure> {
        let status = match status(path)? {
            Ok(status) => status,
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.file_name().is_some() => {
                let path = path.to_owned();
                return Ok(Target { path });
            }
            Err(error) => return Err(Failure::file("cannot write", path, error)),
        };
        if is_same(&status, &source.status) {
            let why = "it is the source";
            let advice = "choose another target";
            return Err(Failure::unfit("cannot write", path, why, advice));
        }
        if !status.is_file() {
            let advice = "name a file that is to be made or replaced";
            return Err(Failure::unfit("cannot write", path, kind(&status), advice));
        }
        let path = fs::canonicalize(path)
            .map_err(|error| Failure::file("cannot follow the link", path, error))?;
        Ok(Target { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn directory(&self) -> &Path {
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }
}

fn is_same(one: &FileStatus, other: &FileStatus) -> bool {
    (one.device(), one.inode()) == (other.device(), other.inode())
}

fn kind(status: &FileStatus) -> &'static str {
    if status.is_directory() {
        "it is a directory"
    } else {
        "it is not a regular file"
    }
}
