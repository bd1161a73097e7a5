//! Every way in which a peer can break a rule is reached by at least one input, and answered as its table says.

use crate::rfc9113::Reaction;
use crate::support::{Role, defaults, fails, served};
use lws_proto::{Cause, Config, Payload, Request, Versions, Violation};
use std::collections::HashSet;
use std::sync::Arc;
use tests::application::{NO_FIELDS, Silent};
use tests::endpoint::OPENING;
use tests::h2::{self, SentFrame};
use tests::wire::{BINARY, BINARY_BEGINS, CLOSE, ENDS, PING, TEXT};
use tests::{Endpoint, Octets, deliver};

/// Inputs that break one rule each, of a server's HTTP.
const REQUESTS: &[(Violation, &str)] = &[
    (Violation::RequestLine, "GET / HTTP/1.1 x\r\n"),
    (Violation::Target, "GET a HTTP/1.1\r\nHost: a\r\n\r\n"),
    (Violation::Version, "GET / HTTP/2.0\r\n\r\n"),
    (Violation::FieldLine, "GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
    (Violation::BareLineEnd, "GET / HTTP/1.1\nHost: a\n\n"),
    (Violation::Host, "GET / HTTP/1.1\r\n\r\n"),
    (Violation::ContentLength, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n"),
    (
        Violation::TwoFramings,
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    (Violation::TransferCoding, "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x, chunked\r\n\r\n"),
    (Violation::TransferEncoding, "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n"),
    (Violation::LengthRequired, "POST / HTTP/1.0\r\n\r\n"),
    (Violation::Chunk, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"),
    (
        Violation::Trailer,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHost: a\r\n\r\n",
    ),
    (Violation::Expectation, "POST / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n"),
    (
        Violation::Opening,
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\n\r\n",
    ),
    (
        Violation::OpeningVersion,
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    ),
];

/// Of a client's HTTP, in answer to a GET. They get no response.
const RESPONSES: &[(Violation, &str)] = &[
    (Violation::StatusLine, "HTTP/1.1 2 OK\r\n\r\n"),
    (Violation::UnexpectedResponse, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
    (Violation::FieldLine, "HTTP/1.1 200 OK\r\nA : b\r\n\r\n"),
    (Violation::BareLineEnd, "HTTP/1.1 200 OK\nA: b\n\n"),
    (Violation::ContentLength, "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"),
    (Violation::Chunk, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"),
];

/// The first byte and the payload.
type Frame = (u8, &'static [u8]);

/// Frames that break one rule each.
const FRAMES: &[(Violation, &[Frame])] = &[
    (Violation::ReservedBit, &[(TEXT | 0x40, b"")]),
    (Violation::Opcode, &[(0x83, b"")]),
    (Violation::ControlFrame, &[(PING & 0x7f, b"")]),
    (Violation::Continuation, &[(ENDS, b"")]),
    (Violation::Interleaved, &[(BINARY_BEGINS, b""), (BINARY, b"")]),
    (Violation::Utf8, &[(TEXT, b"\xff")]),
    (Violation::CloseFrame, &[(CLOSE, b"\x03")]),
];

/// Frames that break one rule of HTTP/2 each.
fn http2() -> Vec<(Violation, Role, Vec<u8>)> {
    use h2::{
        GET, data, flag, frame, get, go_away, headers, kind, post, rst_stream, settings, window_update,
    };
    let with = |name, value| headers(1, &[GET.as_slice(), &[(name, value)]].concat(), true);
    let server = [
        (Violation::FrameSize, frame(kind::PING, 0, 0, b"short")),
        (Violation::FrameStream, frame(kind::PING, 0, 1, b"12345678")),
        (Violation::FieldBlock, frame(kind::CONTINUATION, flag::END_HEADERS, 1, b"")),
        (Violation::Compression, frame(kind::HEADERS, flag::END_HEADERS, 1, b"\x80")),
        (Violation::Padding, [post(1), frame(kind::DATA, flag::PADDED, 1, b"\x01")].concat()),
        (Violation::Setting, settings(&[(h2::setting::ENABLE_PUSH, 2)])),
        (Violation::InitialWindow, settings(&[(h2::setting::INITIAL_WINDOW_SIZE, 1 << 31)])),
        (Violation::FlowControl, window_update(0, (1 << 31) - 1)),
        (Violation::WindowIncrement, window_update(0, 0)),
        (Violation::StreamId, get(2)),
        (Violation::StreamIdle, rst_stream(1, 0)),
        (Violation::StreamClosed, [get(1), get(1)].concat()),
        (Violation::StreamDependency, [post(1), frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 1, 0])].concat()),
        (Violation::Push, frame(kind::PUSH_PROMISE, 0, 1, b"")),
        (Violation::PseudoHeader, headers(1, &[], true)),
        (Violation::Field, with("Upper", "x")),
        (Violation::ContentLengthMismatch, with("content-length", "1")),
        (Violation::FieldSection, [post(1), headers(1, &[("x", "y")], false)].concat()),
    ];
    let client = [(Violation::GoAway, [go_away(1, 0), go_away(3, 0)].concat())];
    let client_data = (Violation::FieldSection, Role::Client, data(1, b"content!", false));
    let server = server.into_iter().map(|(violation, frames)| (violation, Role::Server, frames));
    let client = client.into_iter().map(|(violation, frames)| (violation, Role::Client, frames));
    server.chain(client).chain([client_data]).collect()
}

#[test]
fn a_broken_rule_is_answered_as_the_table_says() {
    let mut reached = HashSet::new();
    for (violation, input) in REQUESTS {
        let delivered = served(input);
        let status = format!("HTTP/1.1 {} ", violation.status());
        assert!(delivered.sent.0.starts_with(status.as_bytes()), "{violation:?}: {:?}", delivered.sent);
        assert_eq!(delivered.seen.causes(), [Cause::Violation(*violation)]);
        reached.insert(*violation);
    }
    for (violation, input) in RESPONSES {
        let make = || {
            let mut client = Endpoint::client(defaults(), Silent);
            let request = Request::get("a", "/");
            client
                .connection
                .request(client.now, &request, NO_FIELDS, Payload::Static(b""), true)
                .expect("a request");
            client.settle();
            client.forget();
            client
        };
        let delivered = deliver(make, input.as_bytes());
        assert_eq!(delivered.seen.causes(), [Cause::Violation(*violation)], "{input:?}");
        assert_eq!(delivered.sent, Octets::default());
        reached.insert(*violation);
    }
    let old = Arc::new(Config { versions: Versions::Http1, ..Config::default() });
    let delivered = deliver(|| Endpoint::server(Arc::clone(&old), Silent), h2::PREFACE);
    assert_eq!(delivered.seen.causes(), [Cause::Violation(Violation::Http2Preface)]);
    let begun = crate::rfc9113::deliver(|| Endpoint::http2_client(defaults(), Silent), &h2::get(1));
    assert_eq!(
        Reaction::of(begun).sent_frames.last().and_then(SentFrame::debug),
        Some(Violation::Preface.message())
    );
    reached.extend([Violation::Http2Preface, Violation::Preface]);
    for (violation, role, frames) in http2() {
        let reaction = role.reacts(&frames);
        let debug = reaction.sent_frames.last().and_then(SentFrame::debug);
        let reported = reaction.causes().contains(&Cause::Violation(violation));
        let reset = reaction.sent_frames.iter().any(|frame| matches!(frame, SentFrame::Reset { .. }));
        assert!(
            debug == Some(violation.message()) || reported || reset && debug.is_none(),
            "{violation:?}: {:?}",
            reaction.sent_frames
        );
        reached.insert(violation);
    }
    for role in Role::BOTH {
        for (violation, frames) in FRAMES {
            let input: Vec<u8> =
                frames.iter().flat_map(|(first, payload)| role.incoming(*first, payload)).collect();
            fails(role, &input, violation.close_code(), Cause::Violation(*violation));
            reached.insert(*violation);
        }
    }
    fails(
        Role::Server,
        &[BINARY, 0x80 | 126, 0, 0, 1, 2, 3, 4],
        1002,
        Cause::Violation(Violation::PayloadLength),
    );
    fails(Role::Server, &[BINARY, 0], 1002, Cause::Violation(Violation::Masking));
    reached.extend([Violation::PayloadLength, Violation::Masking]);
    let malformed = crate::rfc7692::compressed_frame(BINARY, b"\x07\xff");
    crate::rfc7692::fails(&malformed, 1007, Cause::Violation(Violation::Deflate));
    reached.insert(Violation::Deflate);
    let missed: Vec<_> = Violation::ALL.iter().filter(|violation| !reached.contains(violation)).collect();
    assert!(missed.is_empty(), "no input reaches {missed:?}");
}

#[test]
fn names_are_unique_and_messages_are_short() {
    let mut names = HashSet::new();
    for violation in Violation::ALL {
        assert!(names.insert(violation.name()), "{violation:?}");
        assert!(!violation.message().is_empty() && violation.message().len() <= 80);
        assert!(violation.status() == 0 || violation.close_code() == 0, "{violation:?} has one answer");
        assert_eq!(Cause::Violation(*violation).name(), violation.name());
    }
    assert!(served(OPENING).sent.0.starts_with(b"HTTP/1.1 101 "));
}
