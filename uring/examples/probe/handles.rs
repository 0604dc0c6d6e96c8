//! Each way to name a ring, tried.

use serde::Serialize;
use uring::op::Nop;
use uring::{Any, Builder, Error, Ring, SetupFlags};

/// What became of one attempt.
#[derive(Debug, Serialize)]
pub(crate) struct Trial {
    pub(crate) handle: &'static str,
    /// The first kernel that has it.
    pub(crate) since: String,
    pub(crate) works: bool,
    pub(crate) why_not: Option<String>,
}

/// Makes a ring with each handle, most visible first, and runs a no-op on it.
pub(crate) fn try_all() -> Vec<Trial> {
    let builder = Builder::new(8);
    vec![
        attempt("descriptor", "IORING_OP_NOP", || {
            Ok(builder.build()?.into())
        }),
        attempt("registered", "IORING_REGISTER_RING_FDS", || {
            Ok(builder.build_registered()?.into())
        }),
        attempt("fd-less by closing", "IORING_FEAT_REG_REG_RING", || {
            Ok(builder.build_registered()?.close_fd()?.into())
        }),
        attempt(
            "fd-less by birth",
            "IORING_SETUP_REGISTERED_FD_ONLY",
            || born(&builder),
        ),
    ]
}

fn attempt(
    handle: &'static str,
    needs: &str,
    make: impl FnOnce() -> Result<Ring<Any>, Failed>,
) -> Trial {
    let works = make().and_then(|mut ring| {
        ring.call(Nop::new())?
            .map_err(|error| Failed(format!("a no-op failed: {error}")))
    });
    Trial {
        handle,
        since: crate::offer::since(needs).unwrap_or_default(),
        works: works.is_ok(),
        why_not: works.err().map(|Failed(why)| why),
    }
}

/// Where birth without a descriptor fails for lack of contiguous memory, the builder closes the descriptor instead.
fn born(builder: &Builder<'_>) -> Result<Ring<Any>, Failed> {
    let ring = builder.build_fdless()?;
    let born = SetupFlags::NO_MMAP | SetupFlags::REGISTERED_FD_ONLY;
    if ring.setup().flags().contains(born) {
        return Ok(ring.into());
    }
    let kernel = uring::Capabilities::get()?.setup_flags();
    Err(Failed(if kernel.contains(born) {
        "the kernel found no contiguous memory for the queues".to_owned()
    } else {
        "the kernel does not know IORING_SETUP_REGISTERED_FD_ONLY".to_owned()
    }))
}

/// Why an attempt failed.
#[derive(Debug)]
struct Failed(String);

impl<E: Into<Error>> From<E> for Failed {
    fn from(error: E) -> Failed {
        Failed(error.into().to_string())
    }
}
