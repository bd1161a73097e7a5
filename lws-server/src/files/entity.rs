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

impl Entity {
    /// The entity that a regular file is; `None` if this is none.
    pub(super) fn of_file(name: &str, metadata: &Metadata, now: Option<HttpDate>) -> Option<Self> {
        if !metadata.is_file() {
            return None;
        }
        // When it was written and when anything about it changed: another file in its place has another change time, even where
        // all modification times are made alike. No inode, which tells of other files on the disk. A file that is written again
        // within one tick of its clock, at the same length, keeps its tag; nothing short of reading it all would see that.
        let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()]
            .map(i64::to_le_bytes);
        let etag = etag(metadata.len(), times.as_flattened());
        // RFC 9110 §8.8.2.1: never "later than the server's time of message origination".
        let modified = HttpDate::from_unix(metadata.mtime());
        let last_modified = Some(now.map_or(modified, |now| now.min(modified)));
        Some(Self { len: metadata.len(), content_type: content_type(name), etag, last_modified })
    }

    /// The entity of bytes that never change while the program runs.
    pub(super) fn of_bytes(name: &str, bytes: &[u8]) -> Self {
        let (len, etag) = (bytes.len() as u64, etag(bytes.len() as u64, bytes));
        Self { len, content_type: content_type(name), etag, last_modified: None }
    }
}

/// A tag of the length and a hash of what tells versions apart: the same after a restart.
fn etag(len: u64, version: &[u8]) -> String {
    // FNV-1a. It tells versions apart, not adversaries.
    let hash = version.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("\"{len:x}-{hash:016x}\"")
}
