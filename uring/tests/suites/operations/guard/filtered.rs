//! Rings and threads whose operations a program looks at.

use uring::op::{Connect, Nop, OpenAt, Read, Resolve, Socket};
use uring::{Any, Builder, Field, Filter, Restrictions, Ring};
use uring_testkit::files::{TempDir, pipe};
use uring_testkit::{Context, Feature, TestResult};

use crate::common;
use crate::operations::files::{assert_errno, c_path};
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
    fields(context)?;
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

/// Each field is the one that it is called, and no other.
fn fields(context: &Context) -> TestResult {
    let socket = |domain, kind, protocol| Socket::new(domain, kind).protocol(protocol);
    let (inet, stream, tcp) = (libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_TCP);
    for (field, value, other) in [
        (Field::SocketType, stream, socket(inet, libc::SOCK_DGRAM, 0)),
        (Field::SocketProtocol, tcp, socket(inet, stream, 0)),
        (
            Field::SocketFamily,
            inet,
            socket(libc::AF_INET6, stream, tcp),
        ),
    ] {
        let mut ring = common::ring(context, 8)?;
        ring.filter(&Filter::one_of(field, &[value.unsigned_abs()]))?;
        ring.call(socket(inet, stream, tcp))??;
        assert_errno(ring.call(other)?, libc::EACCES);
    }
    let dir = TempDir::new()?;
    let path = c_path(&dir.path().join("file"));
    let open = |mode| OpenAt::new(path.clone()).read_write().create(mode);
    let mut ring = common::ring(context, 8)?;
    ring.filter(&Filter::none_of(Field::OpenMode, 0o077))?;
    assert_errno(ring.call(open(0o640))?.result, libc::EACCES);
    ring.call(open(0o600))?.result?;
    let mut ring = common::ring(context, 8)?;
    let other_devices = Resolve::NO_XDEV.bits().try_into()?;
    ring.filter(&Filter::none_of(Field::OpenResolve, other_devices))?;
    let open = |resolve| OpenAt::new(path.clone()).resolve(resolve);
    ring.call(open(Resolve::NO_SYMLINKS))?.result?;
    let refused = ring.call(open(Resolve::NO_XDEV | Resolve::NO_SYMLINKS))?;
    assert_errno(refused.result, libc::EACCES);
    ring.call(OpenAt::new(path.clone()))?.result?;

    // Of a filter for two opcodes neither is among the rest.
    let mut ring = common::ring(context, 8)?;
    let creates = libc::O_CREAT.unsigned_abs();
    ring.filter(&Filter::none_of(Field::OpenFlags, creates).deny_rest())?;
    ring.call(OpenAt::new(path.clone()))?.result?;
    ring.call(open(Resolve::NO_SYMLINKS))?.result?;
    assert_errno(ring.call(Nop::new())?, libc::EACCES);

    // More than there is of a NOP.
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let beyond = u32::try_from(std::mem::offset_of!(uring_sys::io_uring_bpf_ctx, anon_1))?;
    let program = vec![
        instruction(load, beyond)?,
        instruction(libc::BPF_RET | libc::BPF_K, 1)?,
    ];
    let error = ring.filter(&Filter::from_program(OPCODE, program));
    let error = error.expect_err("it says nothing of itself");
    assert_eq!(error.errno(), Some(libc::EMSGSIZE), "{error}");
    assert!(error.is_invalid_request(), "{error}");
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
