//! What a server counts.

use crate::metrics::TlsHandshakes;

/// What is going on in a server, and what went on since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections that are open.
    pub connections: u64,
    /// Connections that were accepted since the start.
    pub accepted: u64,
    /// WebSockets that are open.
    pub websockets: u64,
    /// HTTP requests since the start, opening handshakes too.
    pub requests: u64,
    /// WebSocket messages that were received since the start.
    pub messages: u64,
    /// Bytes that were received since the start.
    pub bytes_in: u64,
    /// Bytes that were sent since the start.
    pub bytes_out: u64,
    /// Published messages that a WebSocket was too slow for, counted for each since the start.
    pub lost: u64,
    /// Panics of handlers and factories that were caught since the start.
    pub panics: u64,
}

impl Stats {
    pub(crate) const FIELDS: usize = 9;

    pub(crate) fn to_array(self) -> [u64; Self::FIELDS] {
        let Self { connections, accepted, websockets, requests, messages, bytes_in, bytes_out, lost, panics } =
            self;
        [connections, accepted, websockets, requests, messages, bytes_in, bytes_out, lost, panics]
    }

    pub(crate) fn add(&mut self, counted: [u64; Self::FIELDS]) {
        let Self { connections, accepted, websockets, requests, messages, bytes_in, bytes_out, lost, panics } =
            self;
        let fields =
            [connections, accepted, websockets, requests, messages, bytes_in, bytes_out, lost, panics];
        for (field, counted) in fields.into_iter().zip(counted) {
            *field += counted;
        }
    }
}

/// The part of it that is counted here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) websockets: u64,
    pub(crate) requests: u64,
    pub(crate) messages: u64,
    pub(crate) lost: u64,
    pub(crate) panics: u64,
    /// Requests that are being answered.
    pub(crate) in_flight: u64,
    /// By version.
    pub(crate) tls_handshakes: [TlsHandshakes; 2],
}
