//! The CONNECT method. RFC 9113 §8.5.

use super::*;
use tests::{Octets, Seen};

const CONNECT: [(&str, &str); 2] = [(":method", "CONNECT"), (":authority", "a:80")];

/// RFC 9113 §8.5: "The ":scheme" and ":path" pseudo-header fields MUST be omitted. The ":authority" pseudo-header field contains the host and port to connect
/// to ... A CONNECT request that does not conform to these restrictions is malformed."
#[test]
fn a_connect_request_has_an_authority_and_neither_scheme_nor_path() {
    for fields in [
        &[(":method", "CONNECT")][..],
        &[(":method", "CONNECT"), (":authority", "a:80"), (":path", "/")],
        &[(":method", "CONNECT"), (":authority", "a:80"), (":scheme", "http")],
        &[(":method", "CONNECT"), (":authority", "a:80"), (":scheme", "http"), (":path", "/")],
    ] {
        stream_error(
            Role::Server,
            h2::headers(1, fields, false),
            1,
            code::PROTOCOL_ERROR,
            Violation::PseudoHeader,
        );
    }
    for authority in ["a", "a:", ":80", "a:80/", ""] {
        let reaction = served(h2::headers(1, &[(":method", "CONNECT"), (":authority", authority)], false));
        assert_eq!(h2::reset(&reaction.sent_frames, 1), Some(code::PROTOCOL_ERROR), "{authority:?}");
        assert!(reaction.lives());
    }
}

/// RFC 9113 §8.5: "After the initial HEADERS frame sent by each peer, ... the payload of any DATA frames sent by the client is transmitted by the proxy to the
/// TCP server; data received from the TCP server is assembled into DATA frames by the proxy." END_STREAM is what FIN is to TCP.
#[test]
fn a_tunnel_carries_bytes_both_ways_until_both_ends() {
    let frames = [
        h2::headers(1, &CONNECT, false),
        h2::data(1, b"one ", false),
        h2::padded(1, b"two ", 9, false),
        h2::data(1, b"three", true),
    ];
    let reaction = served(frames.concat());
    assert!(reaction.lives());
    assert_eq!(h2::answer(&reaction.sent_frames, 1), Some((200, "one two three".into())));
    assert!(h2::ended(&reaction.sent_frames, 1));
    let Some(SentFrame::Headers { fields, end: false, .. }) =
        h2::on(&reaction.sent_frames, 1).into_iter().next()
    else {
        panic!("{:?}", reaction.sent_frames)
    };
    assert!(!fields.iter().any(|field| field.name == b"content-length"), "{fields:?}");
    let transcript = &reaction.delivered.streams[0].0;
    assert!(matches!(&transcript[0], Seen::Request { target, .. } if target == "a:80"), "{transcript:?}");
    assert!(transcript.contains(&Seen::Raw { content: "one two three".into(), end: true }), "{transcript:?}");
    assert!(reaction.causes()[0].is_clean());
}

/// RFC 9113 §8.5: "Frame types other than DATA or stream management frames (RST_STREAM, WINDOW_UPDATE, and PRIORITY) MUST NOT be sent on a connected stream and
/// MUST be treated as a stream error if received."
#[test]
fn a_tunnel_carries_nothing_but_data() {
    let frames = [h2::headers(1, &CONNECT, false), h2::headers(1, &[("x", "y")], true)].concat();
    let reaction = served(frames);
    assert_eq!(h2::reset(&reaction.sent_frames, 1), Some(code::PROTOCOL_ERROR), "{:?}", reaction.sent_frames);
    assert!(reaction.lives());
}

/// RFC 9113 §8.5: "A TCP connection error is signaled with RST_STREAM", from either side: "A proxy treats any error in the TCP connection ... as a stream error of
/// type CONNECT_ERROR."
#[test]
fn a_tunnel_that_is_cut_is_reset() {
    let (mut server, mut reader) = echo_server();
    server.receive(&[h2::headers(1, &CONNECT, false), h2::data(1, b"x", false)].concat(), Buffer::Lent);
    let key = server.key();
    reader.read(&server.take_sent());
    server.connection.stream(key).expect("the tunnel").abort();
    server.settle();
    let sent_frames = reader.read(&server.take_sent());
    assert_eq!(h2::reset(&sent_frames, 1), Some(code::CONNECT_ERROR), "{sent_frames:?}");
    let reaction = served([h2::headers(1, &CONNECT, false), h2::rst_stream(1, 10)].concat());
    assert_eq!(reaction.causes(), [Cause::Reset(ErrorCode::CONNECT_ERROR)]);
}

/// The client's side of it.
#[test]
fn a_client_gets_a_tunnel_for_a_success_and_a_response_otherwise() {
    let make = || {
        let mut client = Endpoint::http2_client(defaults(), Silent);
        request(&mut client, "CONNECT", "a:80", true);
        client
    };
    let sent_frames = Reader::default().read(&make().sent);
    let Some(SentFrame::Headers { fields, end: false, .. }) = h2::on(&sent_frames, 1).into_iter().next()
    else {
        panic!("{sent_frames:?}")
    };
    assert_eq!(fields, CONNECT.map(Into::into));
    let frames = [h2::server_begins(&[]), response(1, false), h2::data(1, b"bytes", false)].concat();
    let delivered = deliver(make, &frames);
    assert!(
        matches!(&delivered.seen.0[..], [Seen::Established { .. }, Seen::Raw { content, end: false }]
        if *content == Octets::from("bytes")),
        "{:?}",
        delivered.seen
    );
    let refused = h2::headers(1, &[(":status", "403")], false);
    let frames = [h2::server_begins(&[]), refused, h2::data(1, b"no", true)].concat();
    let delivered = deliver(make, &frames);
    assert!(matches!(
        &delivered.seen.0[..2],
        [Seen::Response { status: 403, .. }, Seen::Body { end: true, .. }]
    ));
}

/// A client that ends its direction at once may still receive the other one: END_STREAM is a FIN.
#[test]
fn a_tunnel_may_be_half_closed_from_its_beginning() {
    let reaction = served([h2::headers(1, &CONNECT, true), h2::get(3)].concat());
    assert_eq!((reaction.status(1), reaction.status(3)), (Some(200), Some(200)));
    assert!(reaction.lives() && h2::ended(&reaction.sent_frames, 1), "{:?}", reaction.sent_frames);
    let transcript = &reaction.delivered.streams[0].0;
    assert!(transcript.contains(&Seen::Raw { content: "".into(), end: true }), "{transcript:?}");
    assert!(reaction.causes().iter().all(|cause| cause.is_clean()), "{:?}", reaction.causes());
}
