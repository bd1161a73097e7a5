//! RFC 7692 §5 and §7.1: what stands in the opening handshake.

use super::all;
use crate::support::defaults;
use lws_proto::ws::{Connect, Deflate};
use lws_proto::{Cause, HandshakeFailure};
use tests::application::{Echo, Silent};
use tests::endpoint::{ACCEPTED, Buffer};
use tests::{Endpoint, Seen};

fn answered(deflate: &Deflate, offer: &str) -> Option<String> {
    let mut server = Endpoint::server(defaults(), Echo::new(false).deflating(deflate));
    server.receive(tests::deflate::opening(offer).as_bytes(), Buffer::Lent);
    let sent = String::from_utf8(server.sent).expect("a response");
    assert!(sent.starts_with("HTTP/1.1 101 "), "{sent}");
    let field = sent.split("\r\n").find_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: "));
    field.map(String::from)
}

/// "A server MUST decline an extension negotiation offer" that it cannot keep, and the offers are "in order of preference".
#[test]
fn the_first_offer_that_can_be_kept_is_answered() {
    let check = |offer: &str, expected: Option<&str>| {
        assert_eq!(answered(&all(), offer).as_deref(), expected, "{offer}")
    };
    check("permessage-deflate", Some("permessage-deflate"));
    check("x-webkit-deflate-frame", None);
    check("permessage-deflate; unknown=1", None);
    check(
        "permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=10",
        Some("permessage-deflate; server_max_window_bits=10"),
    );
    check(
        "permessage-deflate; server_max_window_bits=\"12\"",
        Some("permessage-deflate; server_max_window_bits=12"),
    );
    check(
        "foo, permessage-deflate; client_no_context_takeover",
        Some("permessage-deflate; client_no_context_takeover"),
    );
}

#[test]
fn without_takeover_both_sides_are_informed() {
    let expected = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    assert_eq!(answered(&Deflate::default(), "permessage-deflate").as_deref(), Some(expected));
}

/// RFC 7692 §5.1: "the client MUST fail the WebSocket connection" for an answer that it cannot take.
#[test]
fn a_client_fails_for_an_answer_that_fits_no_offer() {
    let check = |deflate: Option<&Deflate>, answer: &str, good: bool| {
        let mut client = Endpoint::client(defaults(), Silent);
        let connect = Connect::new("server.example.com", "/chat");
        let connect = deflate.map_or(connect, |deflate| connect.deflate(deflate));
        client.connection.connect_websocket(client.now, &connect).expect("a handshake");
        client.settle();
        let fields = format!("\r\nSec-WebSocket-Extensions: {answer}\r\n\r\n");
        client.receive(ACCEPTED.replace("\r\n\r\n", &fields).as_bytes(), Buffer::Lent);
        if good {
            assert!(matches!(client.seen.0[..], [Seen::Established { .. }]), "{answer}: {:?}", client.seen);
        } else {
            assert_eq!(client.seen.causes(), [Cause::Handshake(HandshakeFailure::Extension)], "{answer}");
        }
    };
    let all = all();
    check(None, "permessage-deflate", false);
    check(Some(&all), "permessage-deflate", true);
    check(Some(&all), "permessage-deflate; server_max_window_bits=9; client_max_window_bits=9", true);
    check(Some(&all), "permessage-deflate; client_max_window_bits=8", false);
    check(Some(&all), "permessage-deflate; server_max_window_bits=16", false);
    check(Some(&all), "permessage-deflate; server_no_context_takeover=1", false);
    check(Some(&all), "permessage-deflate, permessage-deflate", false);
    check(Some(&all), "permessage-bzip2", false);
    check(Some(&Deflate::default()), "permessage-deflate", false);
}
