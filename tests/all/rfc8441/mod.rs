//! WebSocket over HTTP/2, RFC 8441, in both roles.

use crate::rfc9113::{Reaction, code, defaults, deliver, server};
use lws_proto::h2::ErrorCode;
use lws_proto::ws::{CloseCode, Connect, Deflate};
use lws_proto::{Cause, Config, Event, HandshakeFailure, MessageKind, Payload, Protocol, Violation};
use std::sync::Arc;
use tests::application::{Each, Echo, Silent};
use tests::endpoint::{Buffer, limits};
use tests::h2::{self, Reader, SentFrame, WEBSOCKET, setting};
use tests::wire::{self, BINARY, CLOSE, PING, PONG, TEXT, close_payload, masked, plain};
use tests::{Application, Endpoint, Seen};

mod s4_connect;
mod s5_ends;
mod s5_websocket;

/// What opens a WebSocket on a stream, with these fields more.
fn opening(stream: u32, more: &[(&str, &str)]) -> Vec<u8> {
    h2::headers(stream, &[WEBSOCKET.as_slice(), more].concat(), false)
}

/// What an echoing server makes of frames.
fn served(frames: &[u8]) -> Reaction {
    served_by(Each::echo, frames)
}

fn served_by<A: Application>(app: impl Fn() -> A, frames: &[u8]) -> Reaction {
    crate::rfc9113::served_by(&defaults(), &[], app, frames)
}

/// The bytes that were sent on a stream.
fn bytes_on(sent_frames: &[SentFrame], stream: u32) -> Vec<u8> {
    h2::answer(sent_frames, stream).map(|(_, content)| content.0).unwrap_or_default()
}

/// A server's SETTINGS that allow extended CONNECT.
fn allows() -> Vec<u8> {
    h2::server_begins(&[(setting::ENABLE_CONNECT_PROTOCOL, 1)])
}

/// A client that has asked for a WebSocket on stream 1.
fn asking<A: Application>(config: &Arc<Config>, connect: &Connect<'_>, app: A) -> Endpoint<A> {
    let mut client = Endpoint::http2_client(Arc::clone(config), app);
    client.connection.connect_websocket(client.now, connect).expect("a handshake");
    client.settle();
    client
}

/// The same, answered.
fn open_client<A: Application>(config: &Arc<Config>, app: A) -> Endpoint<A> {
    let mut client = asking(config, &Connect::new("a", "/chat"), app);
    client.receive(&[allows(), crate::rfc9113::response(1, false)].concat(), Buffer::Lent);
    client.forget();
    client
}
