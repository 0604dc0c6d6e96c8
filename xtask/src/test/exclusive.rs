//! A directory of one run at a time.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    process,
};

use anyhow::{Context as _, Result};
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

/// The right to a directory's files, held until it is dropped or the process ends.
#[derive(Debug)]
pub(super) struct Exclusive(#[expect(dead_code, reason = "open, it is the lock")] File);

impl Exclusive {
    /// Waits until no other run has `dir`; `say` is told whom it waits for, if it waits.
    pub(super) fn take(dir: &Path, say: impl FnOnce(&str)) -> Result<Self> {
        let path = dir.join("lock");
        let context = || format!("{}", path.display());
        fs::create_dir_all(dir).with_context(context)?;
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).with_context(context)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => {
                let holder = fs::read_to_string(&path).unwrap_or_default();
                say(&format!(
                    "waiting for process {}, which has {}",
                    holder.trim(),
                    dir.display()
                ));
                flock(&file, FlockOperation::LockExclusive).with_context(context)?;
            }
            locked => locked.with_context(context)?,
        }
        file.set_len(0).with_context(context)?;
        writeln!(file, "{}", process::id()).with_context(context)?;
        Ok(Self(file))
    }
}

#[cfg(test)]
mod tests {
    use std::{env, sync::mpsc, thread};

    use super::*;

    #[test]
    fn a_second_run_waits_and_says_for_whom() {
        let dir = env::temp_dir().join(format!("xtask-exclusive-{}", process::id()));
        let first = Exclusive::take(&dir, |said| panic!("{said}")).unwrap();
        let (says, said) = mpsc::channel();
        let (takes, taken) = mpsc::channel();
        let second = thread::spawn({
            let dir = dir.clone();
            move || {
                let second = Exclusive::take(&dir, |said| says.send(said.to_owned()).unwrap());
                takes.send(second.is_ok()).unwrap();
            }
        });
        let said = said.recv().expect("the second run waits, and says so");
        let expected = format!("waiting for process {}, ", process::id());
        assert!(said.starts_with(&expected), "{said}");
        assert!(taken.try_recv().is_err(), "the directory was had by two");
        drop(first);
        assert!(taken.recv().unwrap());
        second.join().unwrap();
        fs::remove_dir_all(&dir).unwrap();
    }
}
