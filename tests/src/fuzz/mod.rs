//! What the fuzz targets run. The bodies live here so that stable tests run them, too: over the kept corpora, and over
//! inputs of a generator that is the same in every run.
//!
//! Besides their own questions all that drive a connection ask those of [`Endpoint`](crate::Endpoint): no panic, no event when no service
//! was asked for, `Closed` once and last.

mod h2_pipe;
mod hpack;
mod http1;
mod http2;
mod http2_acceptance;
mod http2_differential;
mod http2_pieces;
mod mesh;
mod nats;
mod operations;
mod proxy_lines;
mod resp;
mod tls_records;
mod ws_deflate;
mod ws_frames;

pub use hpack::hpack;
pub use http1::{chunked, request, response};
pub use http2::{http2_frames, http2_operations};
pub use http2_acceptance::http2_acceptance;
pub use http2_differential::http2_differential;
pub use mesh::mesh;
pub use nats::nats;
pub use operations::operations;
pub use proxy_lines::proxy_lines;
pub use resp::resp;
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
    /// What its inputs are.
    pub input: Input,
    /// How many inputs the stable tests make: fewer where one costs more.
    pub made: u64,
}

/// What the inputs of a target are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Octets of a protocol: what is only noise is refused at the first of them.
    Octets,
    /// Choices, one after the other: noise makes as good ones as anything.
    Choices,
}

/// Every target.
pub const TARGETS: [Target; 23] = [
    Target { name: "http1_request", body: request, input: Input::Octets, made: 1_500 },
    Target { name: "http1_response", body: response, input: Input::Octets, made: 1_500 },
    Target { name: "chunked", body: chunked, input: Input::Octets, made: 1_500 },
    Target { name: "ws_frames", body: frames, input: Input::Octets, made: 1_500 },
    Target { name: "ws_deflate", body: deflate_frames, input: Input::Octets, made: 1_500 },
    Target { name: "ws_extensions", body: extensions, input: Input::Octets, made: 1_500 },
    Target { name: "http2_frames", body: http2_frames, input: Input::Choices, made: 4_000 },
    Target { name: "http2_operations", body: http2_operations, input: Input::Choices, made: 4_000 },
    Target { name: "http2_acceptance", body: http2_acceptance, input: Input::Choices, made: 4_000 },
    Target { name: "http2_differential", body: http2_differential, input: Input::Choices, made: 1_500 },
    Target { name: "hpack", body: hpack, input: Input::Octets, made: 1_500 },
    Target { name: "operations", body: operations, input: Input::Choices, made: 4_000 },
    Target { name: "proxy_lines", body: proxy_lines, input: Input::Octets, made: 1_500 },
    Target { name: "resp", body: resp, input: Input::Octets, made: 1_500 },
    Target { name: "nats", body: nats, input: Input::Octets, made: 1_500 },
    Target { name: "mesh", body: mesh, input: Input::Octets, made: 1_500 },
    Target { name: "tls_records", body: records, input: Input::Octets, made: 1_500 },
    Target { name: "file_paths", body: lws_files::fuzz::paths, input: Input::Octets, made: 1_500 },
    Target { name: "file_ranges", body: lws_files::fuzz::ranges, input: Input::Octets, made: 1_500 },
    Target { name: "file_conditions", body: lws_files::fuzz::conditions, input: Input::Octets, made: 1_500 },
    Target {
        name: "file_codings",
        body: lws_files::fuzz::accept_encoding,
        input: Input::Octets,
        made: 1_500,
    },
    Target { name: "htpasswd", body: lws_files::fuzz::passwords, input: Input::Octets, made: 1_500 },
    Target { name: "zip", body: lws_files::fuzz::archive, input: Input::Octets, made: 1_500 },
];

/// How an input is cut: its last bytes say so, and are no content.
fn split_off_cuts(input: &[u8]) -> (&[u8], &[u8]) {
    const CUTS: usize = 4;
    input.split_at(input.len().saturating_sub(CUTS))
}
