//! RFC 6455 §9: negotiating extensions. The one here claims a bit and changes nothing.

use crate::support::{Role, defaults, sent, sent_close, unmasked};
use lws_proto::ws::{Accept, Agreement, Connect, Negotiate, Parameters, ReservedBits};
use lws_proto::{Cause, Event, HandshakeFailure, Violation};
use std::sync::Arc;
use tests::application::Silent;
use tests::endpoint::{ACCEPTED, Buffer, OPENING};
use tests::wire::{ENDS, GOES_ON, PING, TEXT, TEXT_BEGINS, masked};
use tests::{Application, Endpoint, Seen};

const RSV1: u8 = 0x40;

/// Claims RSV1; its one parameter is `level`, a digit.
#[derive(Debug)]
struct Marks;

impl Marks {
    fn agreement(parameters: &Parameters<'_>) -> Option<Agreement> {
        let known = parameters.iter().all(|parameter| {
            parameter.name == "level" && parameter.value.is_some_and(|value| value.len() == 1)
        });
        known.then(|| Agreement {
            parameters: parameters.clone().into_owned(),
            reserved_bits: ReservedBits::RSV1,
        })
    }
}

impl Negotiate for Marks {
    fn name(&self) -> &str {
        "marks"
    }

    fn offers(&self) -> Vec<Parameters<'static>> {
        vec![Parameters::new().value("level", 2), Parameters::new()]
    }

    fn accept(&self, offer: &Parameters<'_>) -> Option<Agreement> {
        Self::agreement(offer)
    }

    fn agree(&self, answer: &Parameters<'_>) -> Option<Agreement> {
        Self::agreement(answer)
    }
}

/// Accepts openings with `marks`.
#[derive(Debug)]
struct Marking(Vec<Arc<dyn Negotiate>>);

impl Application for Marking {
    fn event(&mut self, event: Event<'_>) {
        if let Event::Request { stream, head, .. } = event {
            // A misuse here is the peer's: the engine has answered it.
            let _ = stream.accept_websocket(&head, &Accept::new().extensions(&self.0));
        }
    }
}

fn server(offer: &str) -> Endpoint<Marking> {
    let mut server = Endpoint::server(defaults(), Marking(vec![Arc::new(Marks)]));
    let offer = format!("\r\nSec-WebSocket-Extensions: {offer}\r\n\r\n");
    server.receive(OPENING.replace("\r\n\r\n", &offer).as_bytes(), Buffer::Lent);
    server
}

#[test]
fn a_server_answers_with_what_it_takes_of_the_offer() {
    // RFC 6455 §9.1: "A server accepts one or more extensions by including a |Sec-WebSocket-Extensions| header field containing one or more extensions that were
    // requested by the client."
    for (offer, answer) in [
        ("marks", Some("marks")),
        ("marks; level=3", Some("marks; level=3")),
        // As it was written: a quoted token is the same token.
        ("other, marks; level=\"4\"", Some("marks; level=\"4\"")),
        ("marks; level=33, marks", Some("marks")),
        ("marks; x, marks; level=1, marks", Some("marks; level=1")),
        ("other; a=b", None),
        ("Marks", None),
    ] {
        let server = server(offer);
        let responses = tests::wire::all_responses(&server.sent).expect("a response");
        assert_eq!(responses[0].status, 101, "{offer}");
        assert_eq!(responses[0].field("sec-websocket-extensions"), answer, "{offer}");
    }
}

#[test]
fn a_list_of_extensions_that_is_none_fails_the_opening() {
    // RFC 6455 §9.1: "If a value is received by either the client or the server during negotiation that does not conform to the ABNF below, the recipient of such
    // malformed data MUST immediately _Fail the WebSocket Connection_."
    for offer in [
        "marks;",
        "marks; =1",
        "marks; level=",
        "marks level",
        "marks; level=\"a b\"",
        "marks; level=\"3",
        "(marks)",
        ";",
        ",",
        "marks;;level=1",
    ] {
        let server = server(offer);
        assert!(server.sent.starts_with(b"HTTP/1.1 400 "), "{offer}: {}", server.sent.escape_ascii());
        assert_eq!(server.seen.causes(), [Cause::Violation(Violation::Opening)], "{offer}");
    }
}

#[test]
fn an_agreed_bit_has_its_place() {
    // RFC 6455 §5.2: a reserved bit "MUST be 0 unless an extension is negotiated that defines meanings for non-zero values". It belongs to a message: it stands on
    // its first frame, and on no control frame.
    let delivered_for = |frames: &[(u8, &[u8])]| {
        let mut server = server("marks");
        server.forget();
        let input: Vec<u8> = frames.iter().flat_map(|(first, payload)| masked(*first, payload)).collect();
        server.receive(&input, Buffer::Lent);
        server
    };
    assert_eq!(delivered_for(&[(TEXT | RSV1, b"a")]).seen.contents(), ["a".into()]);
    assert_eq!(delivered_for(&[(TEXT, b"a")]).seen.contents(), ["a".into()]);
    let fragments = delivered_for(&[(TEXT_BEGINS | RSV1, b"a"), (GOES_ON, b"b"), (ENDS, b"c"), (PING, b"")]);
    assert_eq!(fragments.seen.contents(), ["abc".into()]);
    for frames in [
        &[(TEXT | RSV1 >> 1, &b"a"[..])][..],
        &[(TEXT | RSV1 >> 2, b"a")],
        &[(PING | RSV1, b"a")],
        &[(0x88 | RSV1, b"")],
        &[(TEXT_BEGINS | RSV1, b"a"), (ENDS | RSV1, b"b")],
        &[(TEXT_BEGINS, b"a"), (ENDS | RSV1, b"b")],
    ] {
        let server = delivered_for(frames);
        assert_eq!(server.seen.causes(), [Cause::Violation(Violation::ReservedBit)], "{frames:?}");
        assert_eq!(unmasked(Role::Server, &server.sent), [sent_close(1002)]);
    }
    let without = crate::support::Role::Server.receives(&masked(TEXT | RSV1, b"a"));
    assert_eq!(without.seen.causes(), [Cause::Violation(Violation::ReservedBit)]);
}

/// A client that offered `marks` and got `answer`.
fn client(answer: &str) -> Endpoint<Silent> {
    let extensions: [Arc<dyn Negotiate>; 1] = [Arc::new(Marks)];
    let mut client = Endpoint::client(defaults(), Silent);
    let connect = Connect::new("a", "/").extensions(&extensions);
    client.connection.connect_websocket(client.now, &connect).expect("a handshake");
    client.settle();
    let request = String::from_utf8(client.take_sent()).expect("ASCII");
    assert!(request.contains("\r\nSec-WebSocket-Extensions: marks; level=2, marks\r\n"), "{request}");
    let answer = if answer.is_empty() {
        "\r\n\r\n".into()
    } else {
        format!("\r\nSec-WebSocket-Extensions: {answer}\r\n\r\n")
    };
    client.receive(ACCEPTED.replace("\r\n\r\n", &answer).as_bytes(), Buffer::Lent);
    client
}

#[test]
fn a_client_takes_an_answer_that_fits_its_offer() {
    for answer in ["", "marks", "marks; level=2"] {
        assert!(matches!(client(answer).seen.0[..], [Seen::Established { .. }]), "{answer}");
    }
    // RFC 6455 §4.1 and §9.1; and §11.3.2: "The |Sec-WebSocket-Extensions| header field ... MUST NOT appear more than once in an HTTP response."
    for answer in [
        "other",
        "marks, other",
        "marks, marks",
        "marks; x",
        "marks;",
        "marks; level=\"",
        "marks\r\nSec-WebSocket-Extensions: marks",
    ] {
        let failure = HandshakeFailure::Extension;
        assert_eq!(client(answer).seen.causes(), [Cause::Handshake(failure)], "{answer}");
    }
}

#[test]
fn what_is_sent_has_no_reserved_bit() {
    let mut server = server("marks");
    server.forget();
    server.websocket().permit().expect("a permit").text("plain").expect("a message");
    server.settle();
    assert_eq!(unmasked(Role::Server, &server.sent), [sent(TEXT, "plain")]);
}
