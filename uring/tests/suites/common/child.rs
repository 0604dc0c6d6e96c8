//! A forked child that lives on while its parent goes on too.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};

use uring_testkit::{TestResult, files};

/// A child that has run its body and waits to be let go.
pub(crate) struct Child {
    process: libc::pid_t,
    let_go: Option<File>,
}

impl Child {
    /// Forks, runs `body` in the child and comes back when it has ended there; the child stays with all that it has.
    pub(crate) fn run(body: impl FnOnce() -> TestResult) -> TestResult<Child> {
        let (said, say) = files::pipe()?;
        let (wait, let_go) = files::pipe()?;
        // SAFETY: the child runs the closure, waits and exits; it does not return into the caller.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error().into()),
            0 => {
                drop((said, let_go));
                let outcome = catch_unwind(AssertUnwindSafe(body));
                let text = match &outcome {
                    Ok(Ok(())) => String::new(),
                    Ok(Err(failure)) => failure.to_string(),
                    Err(_) => "it panicked".to_owned(),
                };
                let _ = File::from(say).write_all(text.as_bytes());
                let _ = File::from(wait).read(&mut [0]);
                // SAFETY: ends the child at once; what its parent registered for its own end is not run.
                unsafe { libc::_exit(i32::from(!text.is_empty())) }
            }
            process => {
                drop((say, wait));
                let child = Child {
                    process,
                    let_go: Some(let_go.into()),
                };
                let mut text = String::new();
                File::from(said).read_to_string(&mut text)?;
                if text.is_empty() {
                    Ok(child)
                } else {
                    Err(format!("in the forked child: {text}").into())
                }
            }
        }
    }

    /// Lets the child go and waits for its end.
    pub(crate) fn end(mut self) -> TestResult {
        match self.wait() {
            0 => Ok(()),
            status => Err(format!("the forked child ended with status {status}").into()),
        }
    }

    fn wait(&mut self) -> i32 {
        drop(self.let_go.take());
        let mut status = 0;
        // SAFETY: our own child, and room for its status.
        unsafe { libc::waitpid(self.process, &raw mut status, 0) };
        status
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.let_go.is_some() {
            self.wait();
        }
    }
}
