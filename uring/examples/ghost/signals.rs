//! The signals that end the server, without a descriptor for them.

use std::future::poll_fn;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::thread;

use nix::sys::signal::{SigSet, Signal};

/// A thread that waits for signals, and what it tells.
///
/// A signal that interrupts a sleep in the ring would have to be looked for after each: this one calls the waker of a task, and that is
/// heard through the ring.
pub(crate) struct Signals {
    told: Arc<Told>,
}

#[derive(Default)]
struct Told {
    has_come: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Signals {
    /// To be called before there are other threads: they inherit that the signals are blocked.
    pub(crate) fn catch() -> io::Result<Signals> {
        let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
        signals.thread_block()?;
        let told = Arc::new(Told::default());
        let tell = Arc::clone(&told);
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                if signals.wait().is_ok() {
                    tell.tell();
                }
                // The next does what it does by default, which is to end the process.
                let _ = signals.thread_unblock();
                loop {
                    thread::park();
                }
            })?;
        Ok(Signals { told })
    }

    /// Waits for the first of them.
    pub(crate) async fn first(&self) {
        poll_fn(|context| {
            let mut waker = self
                .told
                .waker
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *waker = Some(context.waker().clone());
            if self.told.has_come.load(Ordering::Acquire) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

impl Told {
    fn tell(&self) {
        self.has_come.store(true, Ordering::Release);
        let waker = self
            .waker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
