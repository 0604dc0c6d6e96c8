//! Operations with credentials that were registered before.

use std::os::unix::fs::PermissionsExt as _;

use uring::op::{Nop, OpenAt};
use uring::{Any, Chain, Push, Ring};
use uring_testkit::files::TempDir;
use uring_testkit::{Context, TestResult};

use crate::common;
use crate::operations::files::{as_nobody, assert_errno, c_path};

/// What comes of a NOP with an id that may be registered or not.
fn call_with_id(ring: &mut Ring<Any>, id: u16) -> TestResult<std::io::Result<()>> {
    let token = ring.push_with(Nop::new(), Push::new().personality_id(id))?;
    Ok(ring.wait(token)?)
}

/// A file that root alone may open, opened as root and as somebody else, by each with the credentials of the other.
pub(crate) fn personalities(context: &Context) -> TestResult {
    let dir = TempDir::new()?;
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755))?;
    let path = dir.path().join("private");
    std::fs::write(&path, "")?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    let mut ring = common::ring(context, 8)?;
    let open = || OpenAt::new(c_path(&path));

    let root = ring.register_personality()?;
    let nobody = as_nobody(|| ring.register_personality())?;
    assert_ne!(root.id(), nobody.id());
    let by_nobody = Push::new().personality(&nobody);
    let token = ring.push_with(open(), by_nobody)?;
    assert_errno(ring.wait(token)?.result, libc::EACCES);
    ring.call(open())?.result?;
    as_nobody(|| -> TestResult {
        let token = ring.push(open())?;
        assert_errno(ring.wait(token)?.result, libc::EACCES);
        let token = ring.push_with(open(), Push::new().personality(&root).always_async())?;
        ring.wait(token)?.result?;
        Ok(())
    })?;

    // Only of their own ring.
    let mut other = common::ring(context, 8)?;
    let refused = other.push_with(open(), by_nobody).expect_err("another's");
    assert!(refused.error().is_wrong_ring(), "{refused}");
    let chain = Chain::new(Nop::new()).then(Nop::new()).with(by_nobody);
    let refused = other.push_chain(chain).expect_err("another's");
    assert!(refused.error().is_wrong_ring(), "{refused}");
    let refused = other.batch(|batch| batch.push_raw_with(Nop::new(), 1, by_nobody));
    assert!(refused.is_err_and(|refused| refused.error().is_wrong_ring()));
    assert_eq!((other.pending(), other.in_flight()), (0, 0));
    drop(other);

    // What is in the queue keeps it registered.
    let (id, other_id) = (nobody.id(), root.id());
    let token = ring.push_with(open(), by_nobody)?;
    drop(nobody);
    let refused = ring.push_with(open(), by_nobody).expect_err("dropped");
    assert!(refused.error().is_wrong_ring(), "{refused}");
    assert_errno(ring.wait(token)?.result, libc::EACCES);
    assert_errno(call_with_id(&mut ring, id)?, libc::EINVAL);
    call_with_id(&mut ring, other_id)??;
    // Another thread may drop it, and the next submission unregisters it.
    std::thread::spawn(move || drop(root))
        .join()
        .expect("it does not panic");
    ring.submit()?;
    assert_errno(call_with_id(&mut ring, other_id)?, libc::EINVAL);
    Ok(())
}
