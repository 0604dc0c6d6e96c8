//! Descriptors that nobody else may close.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use uring_testkit::TestResult;

/// Files that were opened at random times, so that they have numbers that the library had before: what is closed twice is one of them.
pub(crate) struct Canaries {
    path: PathBuf,
    files: Vec<(File, u64)>,
}

const MOST: usize = 12;

impl Canaries {
    pub(crate) fn in_dir(dir: &std::path::Path) -> Canaries {
        Canaries {
            path: dir.join("canary"),
            files: Vec::new(),
        }
    }

    pub(crate) fn open_another(&mut self) -> io::Result<()> {
        if self.files.len() == MOST {
            self.files.clear();
        }
        // A file of its own each, which lives by its descriptor alone.
        let file = File::options()
            .write(true)
            .create_new(true)
            .open(&self.path)?;
        std::fs::remove_file(&self.path)?;
        let inode = file.metadata()?.ino();
        self.files.push((file, inode));
        Ok(())
    }

    pub(crate) fn check(&self) -> TestResult {
        for (file, inode) in &self.files {
            let now = file.metadata().map(|metadata| metadata.ino());
            assert_eq!(
                now.as_ref().ok(),
                Some(inode),
                "{file:?} was closed by somebody else: {now:?}"
            );
        }
        Ok(())
    }
}
