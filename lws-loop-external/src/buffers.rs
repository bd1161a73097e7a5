//! The buffers that all connections of a service share.

use crate::options::DriverOptions;
use crate::tls::Opened;
use std::ops::Range;

/// The buffers that all connections of a service share: an idle one holds none.
pub(crate) struct Buffers {
    /// Where datagrams are received. Empty until there is a UDP socket.
    pub(crate) datagrams: Box<[u8]>,
    pub(crate) receive: Box<[u8]>,
    pub(crate) transmit: Vec<u8>,
    /// What TLS has to open. Empty until there is a first such connection.
    pub(crate) ciphertext: Vec<u8>,
    /// What TLS has sealed.
    pub(crate) sealed: Vec<u8>,
    /// What is left of `ciphertext` to open, in the middle of a turn.
    pub(crate) left: Unopened,
}

/// What a fresh transmit buffer has room for. It grows to what one turn queues.
pub(crate) const TRANSMIT_BYTES: usize = 16 << 10;
/// A transmit buffer that one large payload has made larger than this is not kept.
const TRANSMIT_BYTES_MAX: usize = 1 << 20;
const RECEIVE_BYTES_MIN: usize = 1 << 10;

impl Buffers {
    pub(crate) fn new(options: &DriverOptions) -> Self {
        let receive = vec![0; options.receive_buffer_bytes.max(RECEIVE_BYTES_MIN)].into_boxed_slice();
        let (transmit, ciphertext, sealed) = (Vec::new(), Vec::new(), Vec::new());
        Self { datagrams: Box::default(), receive, transmit, ciphertext, sealed, left: Unopened::default() }
    }

    /// Makes the buffers that only TLS needs.
    pub(crate) fn prepare_secure(&mut self) {
        if self.ciphertext.is_empty() {
            self.ciphertext = vec![0; self.receive.len()];
        }
        if self.sealed.capacity() == 0 {
            self.sealed.reserve(TRANSMIT_BYTES);
        }
    }
}

/// The ciphertext of one read that a TLS session has not opened yet, and what it said of what it has.
#[derive(Default)]
pub(crate) struct Unopened {
    pub(crate) part: Range<usize>,
    /// What came last; its plaintext may still have to be delivered.
    pub(crate) opened: Opened,
    /// The handshake has just been done: `opened` was not called yet. If so, whether the socket is readable.
    pub(crate) first: Option<bool>,
}

/// Gives back what one large payload has made larger than is worth keeping.
#[inline]
pub(crate) fn trim(buffer: &mut Vec<u8>) {
    if buffer.capacity() > TRANSMIT_BYTES_MAX {
        *buffer = Vec::new();
    }
}
