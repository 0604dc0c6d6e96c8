//! The files that are served: which one a path means, and what it is.

use std::ffi::CString;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use uring::op::Statx;
use uring::{Direct, Local};

use crate::ladder::Slots;
use crate::status::Status;

/// A file that is open.
pub(crate) struct Found {
    pub(crate) file: Arc<Direct>,
    pub(crate) size: u64,
    pub(crate) kind: &'static str,
}

/// Opens the file that a request's path means.
pub(crate) async fn find(local: &Local, slots: &Slots, path: &str) -> Result<Found, Status> {
    let path = beneath(path).ok_or(Status::NotFound)?;
    let kind = kind(path.to_bytes());
    // A direct descriptor cannot be asked for its size, so the path is asked, before. If another file has its name by the time it is opened,
    // the answer is cut off rather than wrong.
    let asked = local.submit(Statx::new(path)).await;
    let asked = asked.map_err(|_| Status::InternalError)?;
    let status = asked.result.map_err(|error| Status::of_error(&error))?;
    if !status.is_file() {
        return Err(Status::NotFound);
    }
    let file = slots.open(asked.path).await;
    Ok(Found {
        file: file.map_err(|error| Status::of_error(&error))?,
        size: status.size(),
        kind,
    })
}

/// The path from the folder down, unless it is none.
fn beneath(path: &str) -> Option<CString> {
    let decoded: Vec<u8> = percent_decode_str(path).collect();
    let mut names = Vec::with_capacity(decoded.len());
    for name in decoded.split(|byte| *byte == b'/') {
        match name {
            b"" => {}
            b"." | b".." => return None,
            name => {
                if !names.is_empty() {
                    names.push(b'/');
                }
                names.extend_from_slice(name);
            }
        }
    }
    if decoded.ends_with(b"/") {
        if !names.is_empty() {
            names.push(b'/');
        }
        names.extend_from_slice(b"index.html");
    }
    CString::new(names).ok()
}

/// What a file is, going by its name.
fn kind(path: &[u8]) -> &'static str {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    let extension = name.iter().rposition(|byte| *byte == b'.');
    let extension = extension.map(|dot| name[dot + 1..].to_ascii_lowercase());
    match extension.as_deref() {
        Some(b"html" | b"htm") => "text/html",
        Some(b"css") => "text/css",
        Some(b"js" | b"mjs") => "text/javascript",
        Some(b"txt" | b"md") => "text/plain",
        Some(b"csv") => "text/csv",
        Some(b"json") => "application/json",
        Some(b"xml") => "application/xml",
        Some(b"pdf") => "application/pdf",
        Some(b"wasm") => "application/wasm",
        Some(b"zip") => "application/zip",
        Some(b"svg") => "image/svg+xml",
        Some(b"png") => "image/png",
        Some(b"jpg" | b"jpeg") => "image/jpeg",
        Some(b"gif") => "image/gif",
        Some(b"webp") => "image/webp",
        Some(b"ico") => "image/x-icon",
        Some(b"woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}
