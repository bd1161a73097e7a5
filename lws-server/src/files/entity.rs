//! What is said about a file: its size, type and validators. RFC 9110 §8.

use super::types::content_type;
use crate::http::HttpDate;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

/// A selected representation, without its bytes. RFC 9110 §3.2.
#[derive(Clone, Debug)]
pub(super) struct Entity {
    /// Bytes.
    pub(super) len: u64,
    pub(super) content_type: &'static str,
    /// A strong validator, with its quotes. RFC 9110 §8.8.3.
    pub(super) etag: String,
    pub(super) last_modified: Option<HttpDate>,
}

/// Which file it is, and in which state: two that are equal have the same bytes, as far as the file system tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
}

impl Identity {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        Self { device: metadata.dev(), inode: metadata.ino(), len: metadata.len(), modified }
    }
}

impl Entity {
    /// The entity that a regular file is; `None` if this is none.
    pub(super) fn of_file(name: &str, metadata: &Metadata, now: Option<HttpDate>) -> Option<Self> {
        if !metadata.is_file() {
            return None;
        }
        // A file that is written again within one tick of its clock, at the same length, keeps its tag; nothing short of
        // reading it all would see that.
        let (seconds, nanos) = (metadata.mtime(), metadata.mtime_nsec());
        let etag = format!("\"{:x}-{seconds:x}.{nanos:x}-{:x}\"", metadata.len(), metadata.ino());
        // RFC 9110 §8.8.2.1: never "later than the server's time of message origination".
        let modified = HttpDate::from_unix(seconds);
        let last_modified = Some(now.map_or(modified, |now| now.min(modified)));
        Some(Self { len: metadata.len(), content_type: content_type(name), etag, last_modified })
    }

    /// The entity of bytes that never change while the program runs.
    pub(super) fn of_bytes(name: &str, bytes: &[u8]) -> Self {
        // FNV-1a. It tells versions of a program apart, not adversaries.
        let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let etag = format!("\"{:x}-{hash:x}\"", bytes.len());
        Self { len: bytes.len() as u64, content_type: content_type(name), etag, last_modified: None }
    }
}
