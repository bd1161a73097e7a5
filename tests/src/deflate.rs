//! Messages as a peer compresses them, for tests of RFC 7692: a peer of its own, on the same DEFLATE.

use crate::application::{Application, Echo};
use crate::endpoint::{Buffer, Endpoint, OPENING};
use crate::wire;
use lws_proto::Config;
use lws_proto::ws::{Connect, Deflate};
use std::sync::Arc;
use zlib_rs::{DeflateConfig, DeflateFlush, Inflate, InflateFlush, Status};

/// RSV1 in the first byte of a frame.
pub const RSV1: u8 = 0x40;

/// What a flush ends with. RFC 7692 §7.2.1.
pub const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// A peer's compressor, which remembers.
pub struct Compressor(zlib_rs::Deflate);

impl Compressor {
    /// One with a window of so many bits.
    #[must_use]
    pub fn new(window_bits: u8) -> Self {
        let window_bits = -i32::from(window_bits);
        Self(zlib_rs::Deflate::new_with_config(DeflateConfig {
            level: 6,
            window_bits,
            ..DeflateConfig::default()
        }))
    }

    /// The payload of a whole message.
    pub fn message(&mut self, message: &[u8]) -> Vec<u8> {
        let mut out = vec![0; message.len() + message.len() / 8 + 64];
        let before = self.0.total_out();
        let status = self.0.compress(message, &mut out, DeflateFlush::SyncFlush);
        assert_eq!(status, Ok(Status::Ok));
        out.truncate((self.0.total_out() - before) as usize);
        assert!(out.ends_with(&TAIL));
        out.truncate(out.len() - TAIL.len());
        out
    }
}

/// The payload of a message that refers to none before it.
#[must_use]
pub fn compressed(message: &[u8]) -> Vec<u8> {
    Compressor::new(15).message(message)
}

/// A peer's decompressor, which remembers no more than its window.
pub struct Decompressor(Inflate);

impl Decompressor {
    /// One with a window of so many bits.
    #[must_use]
    pub fn new(window_bits: u8) -> Self {
        Self(Inflate::new(false, window_bits))
    }

    /// The message of a payload; `None` if it is malformed, or refers to what is no longer in the window.
    pub fn message(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        let input = [payload, &TAIL].concat();
        let mut message = Vec::new();
        let mut at = 0;
        // In small steps, so that nothing but the window holds what was.
        let mut out = [0; 64];
        loop {
            let before = (self.0.total_in(), self.0.total_out());
            let status = self.0.decompress(&input[at..], &mut out, InflateFlush::NoFlush).ok()?;
            at += (self.0.total_in() - before.0) as usize;
            let made = (self.0.total_out() - before.1) as usize;
            message.extend_from_slice(&out[..made]);
            if status == Status::StreamEnd {
                self.0.reset(false);
            }
            if at == input.len() && made < out.len() {
                return Some(message);
            }
        }
    }
}

/// A client's opening handshake with this offer.
#[must_use]
pub fn opening(offer: &str) -> String {
    OPENING.replace("\r\n\r\n", &format!("\r\nSec-WebSocket-Extensions: {offer}\r\n\r\n"))
}

/// A server that has agreed on permessage-deflate, behind its handshake.
pub fn server(config: Arc<Config>, deflate: &Deflate, streamed: bool, offer: &str) -> Endpoint<Echo> {
    let mut server = Endpoint::server(config, Echo::new(streamed).deflating(deflate));
    server.receive(opening(offer).as_bytes(), Buffer::Lent);
    let sent = String::from_utf8_lossy(&server.sent).into_owned();
    assert!(sent.contains("Sec-WebSocket-Extensions: permessage-deflate"), "{sent}");
    server.forget();
    server
}

/// A client that has agreed on permessage-deflate with this answer, behind its handshake.
pub fn client<A: Application>(
    config: Arc<Config>,
    deflate: &Deflate,
    streamed: bool,
    answer: &str,
    app: A,
) -> Endpoint<A> {
    let mut client = Endpoint::client(config, app);
    let connect = Connect::new("server.example.com", "/chat").deflate(deflate);
    let connect = if streamed { connect.streamed() } else { connect };
    if let Err(misuse) = client.connection.connect_websocket(client.now, &connect) {
        panic!("the handshake was not taken: {misuse}");
    }
    client.settle();
    let fields = format!("\r\nSec-WebSocket-Extensions: permessage-deflate{answer}\r\n\r\n");
    client.receive(crate::endpoint::ACCEPTED.replace("\r\n\r\n", &fields).as_bytes(), Buffer::Lent);
    assert!(client.seen.causes().is_empty(), "{:?}", client.seen);
    client.forget();
    client
}

/// The payloads of whole messages that were sent, each with whether it is compressed.
///
/// # Errors
/// What was sent are not whole data messages.
pub fn sent_messages(bytes: &[u8]) -> Result<Vec<(bool, Vec<u8>)>, String> {
    let whole = |frame: wire::Frame| match frame.first & !RSV1 {
        wire::TEXT | wire::BINARY => Ok((frame.first & RSV1 != 0, frame.payload.0)),
        _ => Err(format!("not a whole message: {frame:?}")),
    };
    wire::frames(bytes)?.into_iter().map(whole).collect()
}
