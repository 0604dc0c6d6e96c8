//! A client that can be slow and broken.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use uring_testkit::TestResult;

use crate::ghost::service::PATIENCE;

pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

/// What a server said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The fields of its head, in lower case.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn len(&self) -> TestResult<usize> {
        let mut fields = self.head.lines();
        let len = fields.find_map(|field| field.strip_prefix("content-length: "));
        Ok(len.ok_or("there is no length")?.parse()?)
    }

    pub(crate) fn says(&self, field: &str) -> bool {
        self.head.lines().any(|line| line == field)
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Client {
            stream: BufReader::new(stream),
        })
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    pub(crate) fn say(&self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream().write_all(bytes.as_ref())
    }

    /// Asks for a path, and leaves the connection open.
    pub(crate) fn ask(&self, path: &str) -> io::Result<()> {
        self.say(format!("GET {path} HTTP/1.1\r\nHost: ghost\r\n\r\n"))
    }

    pub(crate) fn get(&mut self, path: &str) -> TestResult<Answer> {
        self.ask(path)?;
        self.answer()
    }

    /// Reads the head of an answer.
    pub(crate) fn head(&mut self) -> TestResult<Answer> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head)? == 0 {
                return Err(format!("it ended after {head:?}").into());
            }
        }
        let status = head
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3));
        Ok(Answer {
            status: status.ok_or_else(|| head.clone())?.parse()?,
            head: head.to_ascii_lowercase(),
            body: Vec::new(),
        })
    }

    /// Reads an answer.
    pub(crate) fn answer(&mut self) -> TestResult<Answer> {
        let mut answer = self.head()?;
        answer.body = vec![0; answer.len()?];
        self.stream.read_exact(&mut answer.body)?;
        Ok(answer)
    }

    /// Reads until the other side closes.
    pub(crate) fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest)?;
        Ok(rest)
    }
}
