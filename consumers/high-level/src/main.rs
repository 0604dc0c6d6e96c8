//! Counts the lines of the files that are named; which of them are programs is found out for all at once.

use std::env;
use std::error::Error;
use std::fs::File;
use std::io;
use std::process::ExitCode;

use uring::op::Read;
use uring::{Any, Ring};

/// How each file begins, read into memory that is only borrowed.
fn beginnings(ring: &mut Ring<Any>, files: &[File]) -> io::Result<Vec<[u8; 4]>> {
    let mut beginnings = vec![[0; 4]; files.len()];
    ring.scope(|scope| -> io::Result<()> {
        let mut tokens = Vec::new();
        for (file, beginning) in files.iter().zip(&mut beginnings) {
            tokens.push(scope.push(Read::new(file, &mut beginning[..]).at(0))?);
        }
        for token in tokens {
            scope.wait(token)?.result?;
        }
        Ok(())
    })?;
    Ok(beginnings)
}

/// The lines of a file, by reads that own file and buffer and give both back.
fn lines(ring: &mut Ring<Any>, mut file: File) -> Result<usize, Box<dyn Error>> {
    let (mut buf, mut offset, mut lines) = (Vec::with_capacity(65536), 0, 0);
    loop {
        let token = ring.push(Read::new(file, buf).at(offset))?;
        let done = ring.wait(token)?;
        if done.result? == 0 {
            return Ok(lines);
        }
        (file, buf) = (done.target, done.buf);
        lines += buf.iter().filter(|&&byte| byte == b'\n').count();
        offset += u64::try_from(buf.len())?;
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let names: Vec<_> = env::args_os().skip(1).collect();
    let files = names
        .iter()
        .map(File::open)
        .collect::<Result<Vec<_>, _>>()?;
    let mut ring = Ring::best(8)?;
    println!("ring: {}", ring.handle_kind());
    let beginnings = beginnings(&mut ring, &files)?;
    for ((name, file), beginning) in names.iter().zip(files).zip(beginnings) {
        let name = name.to_string_lossy();
        if beginning == *b"\x7fELF" {
            println!("{name}: a program");
        } else {
            println!("{name}: {} lines", lines(&mut ring, file)?);
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("high-level: {error}");
            ExitCode::FAILURE
        }
    }
}
