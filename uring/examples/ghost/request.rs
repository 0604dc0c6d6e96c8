//! What a client asks for.

use httparse::{Error, Header};

use crate::status::Status;

/// How many header fields a request may have.
const MOST_FIELDS: usize = 64;

/// A request that can be answered.
#[derive(Debug)]
pub(crate) struct Request {
    /// As it was sent, without query, beginning with a slash.
    pub(crate) path: String,
    /// Whether the content is left out of the answer.
    pub(crate) head_only: bool,
    /// Whether the connection may be used again.
    pub(crate) keep_alive: bool,
}

/// What the bytes that have come are.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// A request of that many bytes.
    Whole(Request, usize),
    /// The beginning of one.
    Partial,
    /// One that is refused.
    Refused(Status),
}

/// Reads a request from the bytes that have come, of which it may have `limit`.
pub(crate) fn parse(bytes: &[u8], limit: usize) -> Parsed {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let parsed = request.parse(&bytes[..bytes.len().min(limit)]);
    let has_line = request.version.is_some();
    match parsed {
        Ok(httparse::Status::Complete(len)) => match understand(&request) {
            Ok(request) => Parsed::Whole(request, len),
            Err(status) => Parsed::Refused(status),
        },
        Ok(httparse::Status::Partial) if bytes.len() < limit => Parsed::Partial,
        Ok(httparse::Status::Partial) if has_line => Parsed::Refused(Status::HeadTooLarge),
        Ok(httparse::Status::Partial) => Parsed::Refused(Status::UriTooLong),
        Err(Error::Version) => Parsed::Refused(Status::VersionNotSupported),
        Err(Error::TooManyHeaders) => Parsed::Refused(Status::HeadTooLarge),
        Err(_) => Parsed::Refused(Status::BadRequest),
    }
}

fn understand(request: &httparse::Request<'_, '_>) -> Result<Request, Status> {
    let is_newest = request.version == Some(1);
    let fields = &*request.headers;
    if is_newest && values(fields, "host").count() != 1 {
        return Err(Status::BadRequest);
    }
    let head_only = match request.method {
        Some("GET") => false,
        Some("HEAD") => true,
        Some("CONNECT" | "DELETE" | "OPTIONS" | "PATCH" | "POST" | "PUT" | "TRACE") => {
            return Err(Status::MethodNotAllowed);
        }
        _ => return Err(Status::NotImplemented),
    };
    no_content(fields)?;
    let says = |token: &str| {
        values(fields, "connection")
            .filter_map(|value| std::str::from_utf8(value).ok())
            .flat_map(|value| value.split(','))
            .any(|one| one.trim().eq_ignore_ascii_case(token))
    };
    Ok(Request {
        path: path(request.path.unwrap_or_default())?.to_owned(),
        head_only,
        keep_alive: !says("close") && (is_newest || says("keep-alive")),
    })
}

/// Requests that come with content are refused: there is no use for any here.
fn no_content(fields: &[Header<'_>]) -> Result<(), Status> {
    if values(fields, "transfer-encoding").next().is_some() {
        return Err(Status::NotImplemented);
    }
    let mut lengths = values(fields, "content-length");
    match (lengths.next(), lengths.next()) {
        (None, _) => Ok(()),
        (Some(length), None) if !length.is_empty() && length.iter().all(u8::is_ascii_digit) => {
            if length.iter().all(|digit| *digit == b'0') {
                Ok(())
            } else {
                Err(Status::ContentTooLarge)
            }
        }
        _ => Err(Status::BadRequest),
    }
}

/// The values of all fields of that name.
fn values<'a>(fields: &'a [Header<'a>], name: &str) -> impl Iterator<Item = &'a [u8]> {
    fields
        .iter()
        .filter(move |field| field.name.eq_ignore_ascii_case(name))
        .map(|field| field.value)
}

/// The path of a target in one of the two forms that servers get.
fn path(target: &str) -> Result<&str, Status> {
    let target = match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => target,
    };
    let path = target.split(['?', '#']).next().unwrap_or_default();
    if path.starts_with('/') {
        Ok(path)
    } else {
        Err(Status::BadRequest)
    }
}
