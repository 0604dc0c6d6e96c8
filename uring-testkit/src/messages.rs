//! What suite, fork server and test's process tell each other.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::{net::UnixStream, process::ExitStatusExt as _},
    process::ExitStatus,
    time::Duration,
};

/// A test to run: its position among the suite's, whether its companion is meant, and how long it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) index: usize,
    pub(crate) refusal: bool,
    pub(crate) limit: Duration,
}

/// How a test came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    /// That of its process, or what it would have been had the process not gone on to the next test.
    pub(crate) status: ExitStatus,
    /// Where the threads of its process were waiting, if it did not end within its limit.
    pub(crate) late: Option<String>,
    pub(crate) time: Duration,
    /// What it wrote to its standard output and error.
    pub(crate) output: String,
    /// What the code under test said that it has completed.
    pub(crate) completed: String,
}

/// What a test's process notes of a test that it has brought to an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finished {
    /// The exit code that the process ends with if this was its last test.
    pub(crate) code: i32,
    pub(crate) late: Option<String>,
    pub(crate) time: Duration,
    /// How much the process had written by then.
    pub(crate) output_end: u64,
    pub(crate) completed: String,
}

impl Request {
    pub(crate) fn send(requests: &[Self], link: &mut UnixStream) -> io::Result<()> {
        let mut message = Vec::new();
        put_number(&mut message, requests.len() as u64);
        for request in requests {
            put_number(&mut message, request.index as u64);
            put_number(&mut message, u64::from(request.refusal));
            put_time(&mut message, request.limit);
        }
        send(message, link)
    }

    /// The next requests; none when the suite is gone.
    pub(crate) fn receive(link: &mut UnixStream) -> io::Result<Option<Vec<Self>>> {
        let message = match receive(link) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            received => received?,
        };
        let mut message = &message[..];
        let requests = (0..take_number(&mut message)?).map(|_| {
            Ok(Self {
                index: usize::try_from(take_number(&mut message)?).map_err(io::Error::other)?,
                refusal: take_number(&mut message)? != 0,
                limit: take_time(&mut message)?,
            })
        });
        requests.collect::<io::Result<_>>().map(Some)
    }
}

impl Ended {
    pub(crate) fn send(all: &[Self], link: &mut UnixStream) -> io::Result<()> {
        let mut message = Vec::new();
        put_number(&mut message, all.len() as u64);
        for ended in all {
            put_number(
                &mut message,
                u64::from(ended.status.into_raw().unsigned_abs()),
            );
            put_late(&mut message, ended.late.as_deref());
            put_time(&mut message, ended.time);
            put_text(&mut message, &ended.output);
            put_text(&mut message, &ended.completed);
        }
        send(message, link)
    }

    pub(crate) fn receive(link: &mut UnixStream) -> io::Result<Vec<Self>> {
        let message = receive(link)?;
        let mut message = &message[..];
        let all = (0..take_number(&mut message)?).map(|_| {
            let status = i32::try_from(take_number(&mut message)?).map_err(io::Error::other)?;
            Ok(Self {
                status: ExitStatus::from_raw(status),
                late: take_late(&mut message)?,
                time: take_time(&mut message)?,
                output: take_text(&mut message)?,
                completed: take_text(&mut message)?,
            })
        });
        all.collect()
    }
}

impl Finished {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut message = Vec::new();
        put_number(&mut message, u64::from(self.code.unsigned_abs()));
        put_late(&mut message, self.late.as_deref());
        put_time(&mut message, self.time);
        put_number(&mut message, self.output_end);
        put_text(&mut message, &self.completed);
        message
    }

    /// As many as are whole.
    pub(crate) fn all(mut bytes: &[u8]) -> Vec<Self> {
        std::iter::from_fn(|| Self::take(&mut bytes).ok()).collect()
    }

    fn take(message: &mut &[u8]) -> io::Result<Self> {
        Ok(Self {
            code: i32::try_from(take_number(message)?).map_err(io::Error::other)?,
            late: take_late(message)?,
            time: take_time(message)?,
            output_end: take_number(message)?,
            completed: take_text(message)?,
        })
    }
}

/// In one piece: each piece would wake the other side, for nothing until it has the last.
fn send(message: Vec<u8>, link: &mut UnixStream) -> io::Result<()> {
    let mut whole = Vec::with_capacity(message.len() + 8);
    put_number(&mut whole, message.len() as u64);
    whole.extend(message);
    link.write_all(&whole)
}

fn receive(link: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 8];
    link.read_exact(&mut length)?;
    let length = usize::try_from(u64::from_ne_bytes(length)).map_err(io::Error::other)?;
    let mut message = vec![0; length];
    link.read_exact(&mut message)?;
    Ok(message)
}

fn put_number(message: &mut Vec<u8>, number: u64) {
    message.extend_from_slice(&number.to_ne_bytes());
}

fn put_time(message: &mut Vec<u8>, time: Duration) {
    put_number(message, u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
}

fn put_text(message: &mut Vec<u8>, text: &str) {
    put_number(message, text.len() as u64);
    message.extend_from_slice(text.as_bytes());
}

fn put_late(message: &mut Vec<u8>, late: Option<&str>) {
    put_number(message, u64::from(late.is_some()));
    put_text(message, late.unwrap_or_default());
}

fn take_number(message: &mut &[u8]) -> io::Result<u64> {
    let mut number = [0; 8];
    message.read_exact(&mut number)?;
    Ok(u64::from_ne_bytes(number))
}

fn take_time(message: &mut &[u8]) -> io::Result<Duration> {
    take_number(message).map(Duration::from_micros)
}

fn take_text(message: &mut &[u8]) -> io::Result<String> {
    let length = usize::try_from(take_number(message)?).map_err(io::Error::other)?;
    let Some((text, rest)) = message.split_at_checked(length) else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    *message = rest;
    Ok(String::from_utf8_lossy(text).into_owned())
}

fn take_late(message: &mut &[u8]) -> io::Result<Option<String>> {
    let is_late = take_number(message)? != 0;
    let late = take_text(message)?;
    Ok(is_late.then_some(late))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_received() {
        let (mut here, mut there) = UnixStream::pair().unwrap();
        let request = |index| Request {
            index,
            refusal: index == 7,
            limit: Duration::from_millis(1500),
        };
        let requests = [request(7), request(8)];
        Request::send(&requests, &mut here).unwrap();
        assert_eq!(
            Request::receive(&mut there).unwrap().as_deref(),
            Some(&requests[..])
        );
        let ended = |late: Option<&str>| Ended {
            status: ExitStatus::from_raw(0x7100),
            late: late.map(str::to_owned),
            time: Duration::from_micros(3),
            output: "said".to_owned(),
            completed: "born IORING_OP_NOP".to_owned(),
        };
        let all = [ended(None), ended(Some(""))];
        Ended::send(&all, &mut there).unwrap();
        assert_eq!(Ended::receive(&mut here).unwrap(), all);
        drop(here);
        assert_eq!(Request::receive(&mut there).unwrap(), None);
    }

    #[test]
    fn notes_that_break_off_are_read_as_far_as_they_go() {
        let finished = |code| Finished {
            code,
            late: None,
            time: Duration::from_micros(5),
            output_end: 17,
            completed: String::new(),
        };
        let mut bytes = finished(1).to_bytes();
        bytes.extend(finished(2).to_bytes());
        assert_eq!(Finished::all(&bytes), [finished(1), finished(2)]);
        bytes.pop();
        assert_eq!(Finished::all(&bytes), [finished(1)]);
        assert_eq!(Finished::all(&[]), []);
    }
}
