//! Rings that poll network devices.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use uring::op::Recv;
use uring::{Builder, Napi, NapiTracking};
use uring_testkit::{Context, Feature, TestResult};

use crate::common;
use crate::operations::sockets::loopback;

const NAPI: Feature = Feature::register(uring_sys::IORING_REGISTER_NAPI);
/// Of the same kernel as static tracking.
const SIX_THIRTEEN: Feature = Feature::register(uring_sys::IORING_REGISTER_MEM_REGION);
/// No queue of any device has this number, which may be one.
const QUEUE: u32 = 1_000_000;

pub(crate) fn napi(context: &Context) -> TestResult {
    let mut ring = common::ring(context, 8)?;
    let dynamic = Napi {
        busy_poll: Duration::from_micros(70),
        prefer_busy_poll: true,
        tracking: NapiTracking::Dynamic,
    };
    let new = context.has(SIX_THIRTEEN);
    let before = ring.register_napi(dynamic)?;
    assert_eq!(
        (before.busy_poll, before.prefer_busy_poll),
        (Duration::ZERO, false)
    );
    let inactive = if new {
        NapiTracking::Inactive
    } else {
        NapiTracking::Dynamic
    };
    assert_eq!(before.tracking, inactive);
    let still = Napi {
        busy_poll: Duration::from_micros(9),
        ..Napi::default()
    };
    assert_eq!(ring.register_napi(still)?, dynamic);

    // Waiting works as ever: over loopback there is no device to poll.
    let listener = TcpListener::bind(loopback())?;
    let mut one = TcpStream::connect(listener.local_addr()?)?;
    let token = ring.push(Recv::new(listener.accept()?.0, vec![0; 8]))?;
    ring.submit()?;
    one.write_all(b"polled")?;
    let done = ring.wait(token)?;
    assert_eq!((done.result?, &done.buf[..6]), (6, &b"polled"[..]));

    // Only what is tracked statically is added.
    for refused in [ring.add_napi(QUEUE), ring.remove_napi(QUEUE)] {
        let error = refused.expect_err("queues are found by the kernel");
        assert_eq!(error.errno(), Some(libc::EINVAL), "{error}");
    }
    let fixed = Napi {
        tracking: NapiTracking::Static,
        ..dynamic
    };
    match ring.register_napi(fixed) {
        Ok(before) => {
            assert!(new, "no kernel before 6.13 has it");
            assert_eq!(before, still);
            ring.add_napi(QUEUE)?;
            let twice = ring.add_napi(QUEUE).expect_err("it is there");
            assert_eq!(twice.errno(), Some(libc::EEXIST), "{twice}");
            assert_eq!(twice.hint(), None, "{twice}");
            ring.remove_napi(QUEUE)?;
            let gone = ring.remove_napi(QUEUE).expect_err("it is not there");
            assert_eq!(gone.errno(), Some(libc::ENOENT), "{gone}");
            let last = Napi {
                tracking: NapiTracking::Inactive,
                ..fixed
            };
            assert_eq!(ring.unregister_napi()?, last);
            assert_eq!(ring.register_napi(dynamic)?.tracking, inactive);
            assert_eq!(ring.unregister_napi()?.busy_poll, dynamic.busy_poll);
            let none = ring.unregister_napi()?;
            assert_eq!(none.busy_poll, Duration::ZERO);
        }
        Err(error) => {
            assert!(!new && error.is_unsupported(), "{error}");
            assert_eq!(ring.unregister_napi()?.busy_poll, still.busy_poll);
        }
    }
    let nothing = Napi {
        tracking: NapiTracking::Inactive,
        ..dynamic
    };
    let refused = ring.register_napi(nothing).expect_err("it says nothing");
    assert!(refused.is_invalid_request(), "{refused}");
    let polled = Builder::new(8).polling(uring::Polling::Busy);
    let mut polled = common::build(context, &polled)?;
    let refused = polled.register_napi(dynamic).expect_err("it polls itself");
    assert!(refused.is_invalid_request(), "{refused}");
    Ok(())
}

pub(crate) fn napi_refused(context: &Context) -> TestResult {
    let Some(mut ring) = common::ring_without(NAPI, context, 8)? else {
        return Ok(());
    };
    let refused = [
        ring.register_napi(Napi::default()),
        ring.unregister_napi(),
        ring.add_napi(QUEUE).map(|()| Napi::default()),
    ];
    for refused in refused {
        let error = refused.expect_err("the kernel does not know it");
        assert!(error.is_unsupported(), "{error}");
    }
    Ok(())
}
