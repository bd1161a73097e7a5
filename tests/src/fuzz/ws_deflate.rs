//! Compressed messages: frames and payloads of any kind, cut in any way; and the negotiation.

use super::split_off_cuts;
use crate::application::{Echo, Silent};
use crate::deflate::{self, Decompressor, RSV1, sent_messages};
use crate::endpoint::{ACCEPTED, Buffer, Endpoint, limits};
use crate::wire;
use crate::{Delivered, Seen};
use lws_proto::ws::{Connect, Deflate};
use lws_proto::{Config, Limits};
use std::sync::Arc;

/// More than the smallest buffer of a decoder, so that messages come in parts.
const MESSAGE_BYTES_MAX: usize = 3_000;

fn small() -> Arc<Config> {
    limits(|limits: &mut Limits| {
        limits.message_bytes_max = MESSAGE_BYTES_MAX;
        limits.message_fragments_max = 5;
        limits.send_queue_bytes_max = 2_000;
        limits.inflate_ratio_max = Some(200);
    })
}

/// Frames as they come off the wire; and the input as the payload of one compressed message, and of one in fragments.
pub fn deflate_frames(input: &[u8]) {
    let (input, cuts) = split_off_cuts(input);
    let takeover = cuts.first().is_some_and(|cut| cut % 2 == 0);
    let wanted =
        Deflate::default().context_takeover(takeover).threshold(0).rx_buf_size(10).server_max_window_bits(9);
    let cut = usize::from(cuts.last().copied().unwrap_or_default()).min(input.len());
    let whole = wire::masked(wire::TEXT | RSV1, input);
    let fragments =
        [wire::masked(wire::BINARY_BEGINS | RSV1, &input[..cut]), wire::masked(wire::ENDS, &input[cut..])];
    // Behind itself, so that contexts count.
    for input in [input, &whole.repeat(2), &fragments.concat().repeat(2)] {
        let [whole, streamed] = [false, true].map(|streamed| same(&wanted, streamed, input, cuts));
        check(&wanted, &whole);
        check(&wanted, &streamed);
    }
    client(&wanted, input);
}

fn same(wanted: &Deflate, streamed: bool, input: &[u8], cuts: &[u8]) -> Delivered {
    let make = || deflate::server(small(), wanted, streamed, "permessage-deflate; client_max_window_bits");
    let mut whole = make();
    whole.receive(input, Buffer::Lent);
    let mut cut = make();
    cut.step = 3;
    let mut rest = input;
    // Where nothing says how, byte by byte.
    let cuts = if cuts.is_empty() { &[0] } else { cuts };
    for len in cuts.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (part, after) = rest.split_at(rest.len().min(1 + usize::from(len % 16)));
        cut.receive(part, if len % 2 == 0 { Buffer::Lent } else { Buffer::Own });
        rest = after;
    }
    assert_eq!(Delivered::of(&cut), Delivered::of(&whole), "cut, not whole (right)");
    let held = whole.seen.0.iter().filter_map(|seen| match seen {
        Seen::Message { content, .. } => Some(content.0.len()),
        _ => None,
    });
    assert!(streamed || held.max().unwrap_or(0) <= MESSAGE_BYTES_MAX, "a message past the limit");
    Delivered::of(&whole)
}

/// What comes back can be decompressed, and is what came.
fn check(wanted: &Deflate, delivered: &Delivered) {
    let _ = wanted;
    let Ok(sent) = sent_messages(&delivered.sent.0) else { return };
    let mut peer = Decompressor::new(9);
    let back = sent
        .into_iter()
        .map(|(compressed, payload)| if compressed { peer.message(&payload) } else { Some(payload) });
    let back: Vec<_> = back.collect();
    let complete = delivered.seen.0.iter().filter_map(|seen| match seen {
        Seen::Message { content, end: true, .. } => Some(Some(content.0.clone())),
        _ => None,
    });
    assert_eq!(back, complete.collect::<Vec<_>>());
}

/// The same to a client, from a server.
fn client(wanted: &Deflate, input: &[u8]) {
    let answer = "; server_max_window_bits=9; server_no_context_takeover";
    let mut client = deflate::client(small(), wanted, true, answer, Echo::new(true));
    client.receive(&wire::plain(wire::BINARY | RSV1, input), Buffer::Lent);
    client.receive(input, Buffer::Own);
    client.receive_eof();
    assert!(client.is_over());
}

/// The field `Sec-WebSocket-Extensions` of a request and of a response.
pub fn extensions(input: &[u8]) {
    let (input, cuts) = split_off_cuts(input);
    let text: String =
        String::from_utf8_lossy(input).chars().filter(|char| (' '..='~').contains(char)).collect();
    let number = |at: usize| cuts.get(at).copied().unwrap_or_default();
    let wanted = Deflate::default()
        .server_context_takeover(number(0) % 2 == 0)
        .client_context_takeover(number(0) % 3 == 0)
        .server_max_window_bits(number(1) % 8 + 8)
        .client_max_window_bits(number(2) % 8 + 8);
    let mut server = Endpoint::server(small(), Echo::new(false).deflating(&wanted));
    server.receive(deflate::opening(&text).as_bytes(), Buffer::Lent);
    let response = String::from_utf8_lossy(&server.sent).into_owned();
    let field = response.split("\r\n").find_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: "));
    if let Some(answer) = field {
        // Nothing that was not offered, and nothing that we cannot keep.
        assert!(text.contains("permessage-deflate"), "{text:?} was answered {answer:?}");
        assert!(!answer.contains("server_max_window_bits=8"), "{text:?} was answered {answer:?}");
        assert!(!answer.contains("client_max_window_bits") || text.contains("client_max_window_bits"));
    }
    let mut client = Endpoint::client(small(), Silent);
    let connect = Connect::new("server.example.com", "/chat").deflate(&wanted);
    assert!(client.connection.connect_websocket(client.now, &connect).is_ok());
    client.settle();
    let fields = format!("\r\nSec-WebSocket-Extensions: {text}\r\n\r\n");
    client.receive(ACCEPTED.replace("\r\n\r\n", &fields).as_bytes(), Buffer::Lent);
    client.receive_eof();
}
