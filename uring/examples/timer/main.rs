//! Timers in a ring that shows nowhere: `timer MILLISECONDS...` tells when each is over, in the order in which they are.
//!
//! Then one is made shorter on its way, one is called off, and one goes off again and again.

use std::env;
use std::error::Error;
use std::time::{Duration, Instant};

use uring::op::{Timeout, TimeoutEnd, TimeoutMultishot, TimeoutRemove, TimeoutUpdate};
use uring::{Any, Ring, Token};

/// A timer that runs, and what it was set to.
struct Timer {
    milliseconds: u64,
    token: Token<Timeout>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = env::args().skip(1);
    let spans = arguments
        .map(|argument| argument.parse::<u64>())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("usage: timer MILLISECONDS...: {error}"))?;
    let entries = u32::try_from(spans.len() + 4)?;
    let mut ring = Ring::best(entries)?;
    println!("timers in a {}", ring.handle_kind());
    all_at_once(&mut ring, &spans)?;
    changed_on_the_way(&mut ring)?;
    ticks(&mut ring)
}

fn set(ring: &mut Ring<Any>, milliseconds: u64) -> Result<Timer, uring::Error> {
    let token = ring.push(Timeout::after(Duration::from_millis(milliseconds)))?;
    Ok(Timer {
        milliseconds,
        token,
    })
}

/// Sets all of them, and hears of each when it is over.
fn all_at_once(ring: &mut Ring<Any>, spans: &[u64]) -> Result<(), Box<dyn Error>> {
    let begin = Instant::now();
    let mut running = Vec::new();
    for milliseconds in spans {
        running.push(set(ring, *milliseconds)?);
    }
    running.sort_by_key(|timer| timer.milliseconds);
    for Timer {
        milliseconds,
        token,
    } in running
    {
        let end = ring.wait(token)??;
        assert_eq!(end, TimeoutEnd::TimeOver);
        assert!(begin.elapsed() >= Duration::from_millis(milliseconds));
        println!("{milliseconds} ms are over");
    }
    Ok(())
}

/// An hour that is made shorter, and one that is called off.
fn changed_on_the_way(ring: &mut Ring<Any>) -> Result<(), Box<dyn Error>> {
    const HOUR: u64 = 3_600_000;
    let shortened = set(ring, HOUR)?;
    ring.call(TimeoutUpdate::token(
        &shortened.token,
        Duration::from_millis(1),
    ))??;
    ring.wait(shortened.token)??;
    println!("an hour was made a millisecond");
    let unwanted = set(ring, HOUR)?;
    ring.call(TimeoutRemove::token(&unwanted.token))??;
    let end = ring.wait(unwanted.token)?;
    println!(
        "an hour was called off: {}",
        end.err().ok_or("it was not over")?
    );
    Ok(())
}

/// A timer that goes off again and again, where the kernel has such (6.4).
fn ticks(ring: &mut Ring<Any>) -> Result<(), Box<dyn Error>> {
    let every = TimeoutMultishot::every(Duration::from_millis(1)).repeats(3);
    let token = ring.push(every)?;
    let mut count = 0;
    while ring.wait_item(&token)?.is_some() {
        count += 1;
    }
    println!("{count} ticks: {:?}", ring.wait(token)?.reason);
    Ok(())
}
