//! Counts the instructions that a no-op takes in this process, on each way of running it, with valgrind's callgrind.
//!
//! ```text
//! cargo bench -p uring --bench cost                       # all ways
//! cargo bench -p uring --bench cost -- --peer PROGRAM     # and those of PROGRAM, which takes WAY, BATCH and ROUNDS as arguments
//! ```
//!
//! `liburing.c` beside this file is such a program; how to build it is written at its beginning.
//!
//! A round pushes a batch, submits it, waits for all of it and reaps it. Each way runs twice under callgrind, and what is shown is the difference
//! of the two counts by that of the rounds: setting up does not count, everything between two rounds does, and it repeats to the instruction.

use std::env;
use std::error::Error;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use uring::op::Nop;
use uring::{Builder, Registered, Ring, TaskWork, Token};

const BATCHES: [u32; 4] = [1, 8, 32, 128];
const WAYS: [&str; 7] = ["raw", "batch", "next", "owned", "scoped", "call", "submit"];
/// The rounds of the two runs.
const ROUNDS: [u32; 2] = [100, 300];

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match act(&env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cost: {error}");
            ExitCode::FAILURE
        }
    }
}

fn act(arguments: &[String]) -> Outcome<()> {
    let arguments: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|argument| *argument != "--bench")
        .collect();
    match arguments.as_slice() {
        [] => table(None),
        ["--peer", peer] => table(Some(Path::new(peer))),
        [way, batch, rounds] => run(way, batch.parse()?, rounds.parse()?),
        // `cargo test` starts it too: there it only has to run.
        ["--test"] => WAYS.iter().try_for_each(|way| run(way, 8, 2)),
        _ => Err("usage: cost [--peer PROGRAM | WAY BATCH ROUNDS]".into()),
    }
}

/// Counts everything and prints it.
fn table(peer: Option<&Path>) -> Outcome<()> {
    let this = env::current_exe()?;
    println!("instructions per no-op, by the size of the batch");
    println!("{:14} {:>8} {:>8} {:>8} {:>8}", "", 1, 8, 32, 128);
    for way in WAYS {
        row(&format!("uring {way}"), &this, way)?;
    }
    if let Some(peer) = peer {
        for way in ["raw", "submit"] {
            row(&format!("peer {way}"), peer, way)?;
        }
    }
    Ok(())
}

fn row(name: &str, program: &Path, way: &str) -> Outcome<()> {
    print!("{name:14}");
    for batch in BATCHES {
        let [few, many] = ROUNDS.map(|rounds| count(program, way, batch, rounds));
        let each = (many? - few?) / f64::from(ROUNDS[1] - ROUNDS[0]) / f64::from(batch);
        print!(" {each:8.1}");
    }
    println!();
    Ok(())
}

/// How many instructions the program takes as a whole.
fn count(program: &Path, way: &str, batch: u32, rounds: u32) -> Outcome<f64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(PathBuf::from(program))
        .args([way, &batch.to_string(), &rounds.to_string()])
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text
        .lines()
        .find_map(|line| line.split_once("Collected :"))
        .and_then(|(_, number)| number.trim().parse().ok());
    match collected {
        Some(number) if output.status.success() => Ok(number),
        _ => Err(format!("{} {way} {batch}: {text}", program.display()).into()),
    }
}

/// The ring that all ways have: what liburing's program has, too.
fn ring() -> Result<Ring<Registered>, uring::Error> {
    let ring = Builder::new(256);
    let deferred = ring.task_work(TaskWork::Deferred).build_registered();
    // Before Linux 6.1.
    deferred.or_else(|_| Builder::new(256).build_registered())
}

fn run(way: &str, batch: u32, rounds: u32) -> Outcome<()> {
    let mut ring = ring()?;
    let (batch, rounds) = (black_box(batch), black_box(rounds));
    match way {
        "raw" => raw(&mut ring, batch, rounds),
        "batch" => in_batches(&mut ring, batch, rounds),
        "next" => next(&mut ring, batch, rounds),
        "owned" => owned(&mut ring, batch, rounds),
        "scoped" => scoped(&mut ring, batch, rounds),
        "call" => call(&mut ring, batch, rounds),
        "submit" => submit(&mut ring, batch, rounds),
        _ => Err(format!("no way is called {way}; there are {WAYS:?}").into()),
    }
}

/// [`Ring::push_raw`] and [`Ring::for_each`].
#[inline(never)]
fn raw(ring: &mut Ring<Registered>, batch: u32, rounds: u32) -> Outcome<()> {
    let mut sum = 0;
    for _ in 0..rounds {
        for number in 0..batch {
            ring.push_raw(Nop::new(), u64::from(number))?;
        }
        ring.submit_and_wait(batch)?;
        ring.for_each(|completion| sum += completion.user_data())?;
    }
    check(sum, batch, rounds)
}

/// [`Ring::batch`] and [`Ring::for_each`].
#[inline(never)]
fn in_batches(ring: &mut Ring<Registered>, batch: u32, rounds: u32) -> Outcome<()> {
    let mut sum = 0;
    for _ in 0..rounds {
        ring.batch(|queue| {
            (0..batch).try_for_each(|number| queue.push_raw(Nop::new(), u64::from(number)))
        })?;
        ring.submit_and_wait(batch)?;
        ring.for_each(|completion| sum += completion.user_data())?;
    }
    check(sum, batch, rounds)
}

/// [`Ring::push_raw`] and [`Ring::next_completion`].
#[inline(never)]
fn next(ring: &mut Ring<Registered>, batch: u32, rounds: u32) -> Outcome<()> {
    let mut sum = 0;
    for _ in 0..rounds {
        for number in 0..batch {
            ring.push_raw(Nop::new(), u64::from(number))?;
        }
        ring.submit_and_wait(batch)?;
        for _ in 0..batch {
            sum += ring.next_completion()?.map_or(0, |done| done.user_data());
        }
    }
    check(sum, batch, rounds)
}

/// The same as [`raw`], but that completions are not asked for: those of no-ops come without.
#[inline(never)]
fn submit(ring: &mut Ring<Registered>, batch: u32, rounds: u32) -> Outcome<()> {
    let mut sum = 0;
    for _ in 0..rounds {
        for number in 0..batch {
            ring.push_raw(Nop::new(), u64::from(number))?;
        }
        ring.submit()?;
        ring.for_each(|completion| sum += completion.user_data())?;
    }
    check(sum, batch, rounds)
}

/// [`Ring::push`] and [`Ring::wait`].
#[inline(never)]
fn owned(ring: &mut Ring<Registered>, batch: u32, rounds: u32) -> Outcome<()> {
    let mut tokens: Vec<Token<Nop>> = Vec::with_capacity(usize::try_from(batch)?);
    for _ in 0..rounds {
        for _ in 0..batch {
            tokens.push(ring.push(Nop::new())?);
        }
        ring.submit_and_wait(batch)?;
        for token in tokens.drain(..) {
            ring.wait(token)??;
        }
    }
    Ok(())
}

/// The same in a [`Ring::scope`].
#[inline(never)]
fn scoped(ring: &mut Ring<Registered>, batch: u32, rounds: u32) -> Outcome<()> {
    let mut tokens: Vec<Token<Nop>> = Vec::with_capacity(usize::try_from(batch)?);
    for _ in 0..rounds {
        ring.scope(|scope| -> Outcome<()> {
            for _ in 0..batch {
                tokens.push(scope.push(Nop::new())?);
            }
            for token in tokens.drain(..) {
                scope.wait(token)??;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// [`Ring::call`], one after the other.
#[inline(never)]
fn call(ring: &mut Ring<Registered>, batch: u32, rounds: u32) -> Outcome<()> {
    for _ in 0..rounds {
        for _ in 0..batch {
            ring.call(Nop::new())??;
        }
    }
    Ok(())
}

/// Whether each number has come back once a round.
fn check(sum: u64, batch: u32, rounds: u32) -> Outcome<()> {
    let batch = u64::from(batch);
    if sum == u64::from(rounds) * batch * (batch - 1) / 2 {
        Ok(())
    } else {
        Err("a completion is missing".into())
    }
}
