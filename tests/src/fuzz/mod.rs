//! What the fuzz targets run. The bodies live here so that stable tests run them, too: over the kept corpora, and over
//! inputs of a generator that is the same in every run.
//!
//! Besides their own questions all that drive a connection ask those of [`Endpoint`](crate::Endpoint): no panic, no event when no service
//! was asked for, `Closed` once and last.

mod hpack;
mod http1;
mod http2;
mod operations;
mod tls_records;
mod ws_deflate;
mod ws_frames;

pub use hpack::hpack;
pub use http1::{chunked, request, response};
pub use http2::{http2_frames, http2_operations};
pub use operations::operations;
pub use tls_records::records;
pub use ws_deflate::{deflate_frames, extensions};
pub use ws_frames::frames;

/// A target: its name, which is that of its corpus, and its body.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// As the fuzz target and the folder of its corpus are called.
    pub name: &'static str,
    /// What it does with an input. It panics if the engine is at fault.
    pub body: fn(&[u8]),
}

/// Every target.
pub const TARGETS: [Target; 11] = [
    Target { name: "http1_request", body: request },
    Target { name: "http1_response", body: response },
    Target { name: "chunked", body: chunked },
    Target { name: "ws_frames", body: frames },
    Target { name: "ws_deflate", body: deflate_frames },
    Target { name: "ws_extensions", body: extensions },
    Target { name: "http2_frames", body: http2_frames },
    Target { name: "http2_operations", body: http2_operations },
    Target { name: "hpack", body: hpack },
    Target { name: "operations", body: operations },
    Target { name: "tls_records", body: records },
];

/// How an input is cut: its last bytes say so, and are no content.
fn split_off_cuts(input: &[u8]) -> (&[u8], &[u8]) {
    const CUTS: usize = 4;
    input.split_at(input.len().saturating_sub(CUTS))
}
