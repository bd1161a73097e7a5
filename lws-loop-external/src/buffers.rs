//! The buffers that all connections of a service share.

use crate::options::DriverOptions;
use crate::tls::Opened;
use lws_proto::Connection;
use std::ops::Range;

/// The buffers that all connections of a service share: an idle one holds none.
pub(crate) struct Buffers {
    /// Where datagrams are received. Empty until there is a UDP socket.
    pub(crate) datagrams: Box<[u8]>,
    pub(crate) receive: Box<[u8]>,
    /// Never without room, unless a connection has it.
    pub(crate) transmit: Vec<u8>,
    /// Ciphertext that was read. Empty until there is a first connection with TLS.
    pub(crate) ciphertext: Vec<u8>,
    /// Ciphertext to be sent.
    pub(crate) sealed: Vec<u8>,
    /// The part of `ciphertext` that is not opened yet, in the middle of a turn.
    pub(crate) left: Unopened,
}

/// The capacity of a fresh transmit buffer. It grows to what one turn queues.
const TRANSMIT_BYTES: usize = 16 << 10;
/// A transmit buffer that one large payload has made larger than this is not kept.
const TRANSMIT_BYTES_MAX: usize = 1 << 20;
const RECEIVE_BYTES_MIN: usize = 1 << 10;

impl Buffers {
    pub(crate) fn new(options: &DriverOptions) -> Self {
        let receive = vec![0; options.receive_buffer_bytes.max(RECEIVE_BYTES_MIN)].into_boxed_slice();
        let (transmit, ciphertext, sealed) = (Vec::with_capacity(TRANSMIT_BYTES), Vec::new(), Vec::new());
        Self { datagrams: Box::default(), receive, transmit, ciphertext, sealed, left: Unopened::default() }
    }

    /// Lends a connection the buffer that it writes into, until its next turn is over or it is [taken back](Self::reclaim).
    #[inline]
    pub(crate) fn lend(&mut self, connection: &mut Connection) {
        connection.lend(&mut self.transmit);
    }

    /// Takes the buffer back. Without it, the connection keeps what is queued.
    #[inline]
    pub(crate) fn reclaim(&mut self, connection: &mut Connection) {
        connection.reclaim(&mut self.transmit);
        if !(TRANSMIT_BYTES..=TRANSMIT_BYTES_MAX).contains(&self.transmit.capacity()) {
            self.replace_transmit();
        }
    }

    /// A slow peer has kept the buffer, or one large payload has made it too large to keep.
    #[cold]
    fn replace_transmit(&mut self) {
        self.transmit = Vec::with_capacity(TRANSMIT_BYTES);
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

/// The ciphertext of one read that a TLS session has not opened yet, and the outcome of its last call.
#[derive(Default)]
pub(crate) struct Unopened {
    pub(crate) part: Range<usize>,
    /// The outcome of the last call of the session. Its plaintext may still have to be delivered.
    pub(crate) opened: Opened,
    /// Set right after the handshake, before [`Application::opened`](crate::Application::opened): whether the
    /// socket is readable.
    pub(crate) first: Option<bool>,
}

/// Frees a buffer that one large payload has made larger than [`TRANSMIT_BYTES_MAX`].
pub(crate) fn trim(buffer: &mut Vec<u8>) {
    if buffer.capacity() > TRANSMIT_BYTES_MAX {
        *buffer = Vec::new();
    }
}
