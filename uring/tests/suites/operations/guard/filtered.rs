//! Rings and threads whose operations a program looks at.

use uring::op::{Connect, Nop, OpenAt, Read, Resolve, Socket};
use uring::{Any, Builder, Field, Filter, Restrictions, Ring};
use uring_testkit::files::pipe;
use uring_testkit::{Context, Feature, TestResult};

use crate::common;
use crate::operations::files::assert_errno;
use crate::operations::sockets::loopback;

const FILTERS: Feature = Feature::register(uring_sys::IORING_REGISTER_BPF_FILTER);
const OPCODE: u8 = uring_sys::IORING_OP_NOP;

fn instruction(code: u32, k: u32) -> TestResult<libc::sock_filter> {
    Ok(libc::sock_filter {
        code: u16::try_from(code)?,
        jt: 0,
        jf: 0,
        k,
    })
}

/// Allows NOPs whose `user_data` is even.
fn even_only() -> TestResult<Filter> {
    let program = vec![
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0)?,
        instruction(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 1)?,
        instruction(libc::BPF_ALU | libc::BPF_XOR | libc::BPF_K, 1)?,
        instruction(libc::BPF_RET | libc::BPF_A, 0)?,
    ];
    Ok(Filter::from_program(OPCODE, program))
}

fn nop_result(ring: &mut Ring<Any>, user_data: u64) -> TestResult<i32> {
    ring.push_raw(Nop::new(), user_data)?;
    ring.submit_and_wait(1)?;
    Ok(ring.next_completion()?.ok_or("one has come")?.raw_result())
}

pub(crate) fn filtered_rings(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    ring.filter(&even_only()?)?;
    assert_eq!(nop_result(&mut ring, 2)?, 0);
    assert_eq!(nop_result(&mut ring, 3)?, -libc::EACCES);

    // By what an operation says of itself.
    let inet = libc::AF_INET.unsigned_abs();
    ring.filter(&Filter::one_of(Field::SocketFamily, &[77, inet]))?;
    let socket = |domain| Socket::new(domain, libc::SOCK_STREAM);
    ring.call(socket(libc::AF_INET))??;
    assert_errno(ring.call(socket(libc::AF_UNIX))?, libc::EACCES);
    let creates = libc::O_CREAT.unsigned_abs();
    ring.filter(&Filter::none_of(Field::OpenFlags, creates))?;
    let open = || OpenAt::new(c"/proc/version");
    ring.call(open())?.result?;
    ring.call(open().resolve(Resolve::NO_SYMLINKS))?.result?;
    let creating = || OpenAt::new(c"/proc/version").read_write().create(0o600);
    assert_errno(ring.call(creating())?.result, libc::EACCES);
    let resolved = creating().resolve(Resolve::IN_ROOT);
    assert_errno(ring.call(resolved)?.result, libc::EACCES);
    match ring.filter(&Filter::one_of(Field::ConnectFamily, &[])) {
        Ok(()) => {
            let socket = ring.call(socket(libc::AF_INET))??;
            let refused = ring.call(Connect::new(&socket, loopback()))?;
            assert_errno(refused.result, libc::EACCES);
        }
        // The kernel knows no field of connects yet.
        Err(error) => {
            assert!(error.is_invalid_request(), "{error}");
            assert_eq!(error.errno(), Some(libc::EMSGSIZE), "{error}");
        }
    }

    // What is wrong.
    for wrong in [
        Filter::deny(uring_sys::IORING_OP_ASYNC_CANCEL),
        Filter::from_program(OPCODE, Vec::new()),
        Filter::deny(250),
        Filter::from_program(
            OPCODE,
            vec![instruction(libc::BPF_RET | libc::BPF_K, 0)?; 4097],
        ),
        Filter::from_program(
            OPCODE,
            vec![
                instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_IND, 0)?,
                instruction(libc::BPF_RET | libc::BPF_K, 1)?,
            ],
        ),
    ] {
        let error = ring.filter(&wrong).expect_err("it is wrong");
        assert!(error.is_invalid_request(), "{error}");
    }
    drop(ring);

    // Everything but one operation, and what is in flight is cancelled all the same.
    let mut ring = common::ring(context, 8)?;
    let (reader, _writer) = pipe()?;
    let _left = ring.push(Read::new(reader, vec![0; 1]))?;
    ring.submit()?;
    ring.filter(&even_only()?.deny_rest())?;
    assert_eq!(nop_result(&mut ring, 4)?, 0);
    assert_errno(ring.call(open())?.result, libc::EACCES);
    drop(ring);
    assert_eq!(uring::leaked_operations(), 0);

    // Before the ring is enabled, beside restrictions.
    let mut ring = Builder::new(8).build_disabled()?;
    ring.restrict(&Restrictions::new().allow::<Nop>())?;
    ring.filter(&even_only()?)?;
    let mut ring = ring.enable_best()?;
    assert_eq!(nop_result(&mut ring, 5)?, -libc::EACCES);
    let error = ring.filter(&even_only()?).expect_err("not allowed");
    assert!(error.is_restricted(), "{error}");
    Ok(())
}

pub(crate) fn filtered_rings_refused(context: &Context) -> TestResult {
    let Some(mut ring) = common::ring_without(FILTERS, context, 8)? else {
        return Ok(());
    };
    let error = ring
        .filter(&even_only()?)
        .expect_err("the kernel does not know it");
    assert!(error.is_unsupported(), "{error}");
    Ok(())
}

pub(crate) fn filtered_thread(context: &Context) -> TestResult {
    Filter::deny_type::<Nop>().filter_thread()?;
    even_only()?.filter_thread()?;
    let late = Restrictions::new().restrict_thread();
    let error = late.expect_err("restrictions come first");
    assert!(error.is_invalid_request(), "{error}");
    let mut ring = common::ring(context, 8)?;
    assert_errno(ring.call(Nop::new())?, libc::EACCES);
    ring.call(OpenAt::new(c"/proc/version"))?.result?;
    Ok(())
}

pub(crate) fn filtered_thread_refused(_: &Context) -> TestResult {
    let error = even_only()?
        .filter_thread()
        .expect_err("the kernel does not know it");
    assert!(error.is_unsupported(), "{error}");
    Ok(())
}
