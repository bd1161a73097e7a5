//! HTTP/1.1, as server and as client: whatever comes, however it is cut.

use super::split_off_cuts;
use crate::application::{Application, Echo, NO_FIELDS, Silent};
use crate::endpoint::{Buffer, Endpoint, limits};
use crate::{Delivered, Seen};
use lws_proto::{Config, Event, Payload, Request};
use std::sync::Arc;

/// Limits that short inputs can meet.
fn small() -> Arc<Config> {
    limits(|limits| {
        limits.head_bytes_max = 512;
        limits.target_bytes_max = 64;
        limits.field_lines_max = 8;
        limits.chunk_extension_bytes_max = 16;
        limits.trailer_bytes_max = 64;
        limits.discard_bytes_max = 32;
        limits.content_bytes_max = Some(200);
        limits.keep_alive_requests_max = 5;
        limits.look_ahead_bytes_max = 64;
        limits.send_queue_bytes_max = 256;
    })
}

/// Delivers `input` whole and cut; both must come to the same.
fn same<A: Application>(make: impl Fn() -> Endpoint<A>, input: &[u8], cuts: &[u8]) -> Delivered {
    let mut whole = make();
    whole.receive(input, Buffer::Lent);
    let expected = Delivered::of(&whole);
    let mut cut = make();
    cut.step = 1 + usize::from(cuts.first().copied().unwrap_or_default());
    let mut rest = input;
    for len in cuts.iter().cycle() {
        if rest.is_empty() || cuts.is_empty() {
            break;
        }
        let (part, after) = rest.split_at(rest.len().min(1 + usize::from(len % 32)));
        cut.receive(part, if len % 2 == 0 { Buffer::Lent } else { Buffer::Own });
        rest = after;
    }
    cut.receive(rest, Buffer::Own);
    assert_eq!(Delivered::of(&cut), expected, "cut, not whole (right)");
    whole.receive_eof();
    cut.receive_eof();
    assert_eq!(Delivered::of(&cut), Delivered::of(&whole), "and then the end");
    expected
}

/// A server that echoes: each request gets at most one final response.
pub fn request(input: &[u8]) {
    let (input, cuts) = split_off_cuts(input);
    let delivered = same(|| Endpoint::server(small(), Echo::default()), input, cuts);
    let requests = delivered.seen.count(|seen| matches!(seen, Seen::Request { .. }));
    let closed = delivered.seen.causes().len();
    // A refused request is not delivered, but its end is.
    assert!(closed <= requests + 1, "{closed} ends of {requests} requests");
    // And one that never answers: what is kept stays within the limits.
    let mut silent = Endpoint::server(small(), Silent);
    silent.receive(input, Buffer::Lent);
    assert!(silent.sent.len() < 1024, "{} bytes without an answer", silent.sent.len());
}

/// A client behind its request.
pub fn response(input: &[u8]) {
    let (input, cuts) = split_off_cuts(input);
    let method =
        ["GET", "HEAD", "CONNECT", "POST"][usize::from(cuts.first().copied().unwrap_or_default() % 4)];
    let make = || {
        let mut client = Endpoint::client(small(), Silent);
        let target = if method == "CONNECT" { "a:80" } else { "/" };
        let request = Request { method, target, host: "a" };
        let sent = client.connection.request(client.now, &request, NO_FIELDS, Payload::Static(b""), true);
        assert!(sent.is_ok(), "a request that can be written");
        client.settle();
        client.forget();
        client
    };
    let delivered = same(make, input, cuts);
    assert!(delivered.sent.0.is_empty(), "a client answers nothing");
}

/// The body of a chunked request.
pub fn chunked(input: &[u8]) {
    let (input, cuts) = split_off_cuts(input);
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let make = || {
        let mut server = Endpoint::server(small(), |_: Event<'_>| {});
        server.receive(head, Buffer::Lent);
        server
    };
    let delivered = same(make, input, cuts);
    let content: usize = delivered.seen.contents().iter().map(|content| content.0.len()).sum();
    assert!(content <= input.len().min(200), "more content than came, or than the limit");
}
