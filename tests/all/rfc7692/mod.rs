//! RFC 7692, by section.

mod extensions;
mod limits;
mod s5_negotiation;
mod s6_framing;
mod s7_context;
mod s7_messages;

use lws_proto::ws::Deflate;
use lws_proto::{Cause, Config};
use std::sync::Arc;
use tests::wire::{CLOSE, close_payload, frames, masked};
use tests::{Delivered, Endpoint, Octets, deliver};

/// What the tests below agree on: contexts are taken over, and everything is compressed.
pub(crate) fn all() -> Deflate {
    Deflate::default().context_takeover(true).threshold(0)
}

pub(crate) const OFFER: &str = "permessage-deflate; client_max_window_bits";

/// What an echoing server makes of these frames of a client, streamed and whole: the same.
pub(crate) fn server_receives_with(config: &Arc<Config>, deflate: &Deflate, input: &[u8]) -> Delivered {
    let [whole, streamed] = [false, true].map(|streamed| {
        deliver(|| tests::deflate::server(Arc::clone(config), deflate, streamed, OFFER), input)
    });
    assert_eq!(whole.sent, streamed.sent, "whole or streamed, the same is sent");
    assert_eq!(whole.seen.causes(), streamed.seen.causes(), "whole or streamed, the cause is the same");
    whole
}

pub(crate) fn server_receives(input: &[u8]) -> Delivered {
    server_receives_with(&Arc::new(Config::default()), &all(), input)
}

/// The messages that come out of these frames.
pub(crate) fn messages(input: &[u8]) -> Vec<Octets> {
    let delivered = server_receives(input);
    assert!(delivered.seen.causes().is_empty(), "{:?}", delivered.seen);
    delivered.seen.contents()
}

/// The WebSocket fails for these frames: Close with `code`, and `cause`.
pub(crate) fn fails_with(config: &Arc<Config>, deflate: &Deflate, input: &[u8], code: u16, cause: Cause) {
    let delivered = server_receives_with(config, deflate, input);
    assert_eq!(delivered.seen.causes(), [cause], "{}", input.escape_ascii());
    let sent = frames(&delivered.sent.0).expect("frames");
    let last = sent.last().expect("a Close frame");
    assert_eq!((last.first, &last.payload.0), (CLOSE, &close_payload(code, "")));
}

pub(crate) fn fails(input: &[u8], code: u16, cause: Cause) {
    fails_with(&Arc::new(Config::default()), &all(), input, code, cause);
}

/// A masked frame with RSV1.
pub(crate) fn compressed_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    masked(first | tests::deflate::RSV1, payload)
}

pub(crate) fn server(deflate: &Deflate) -> Endpoint<tests::application::Echo> {
    tests::deflate::server(Arc::new(Config::default()), deflate, false, OFFER)
}
