//! RFC 6455 §4, the opening handshake; and what §11.3 says of its fields.

use crate::support::{Role, answers, defaults, refused, responses, served};
use lws_proto::ws::Connect;
use lws_proto::{Cause, HandshakeFailure, Misuse, Protocol, Violation};
use tests::application::{Echo, Silent};
use tests::endpoint::{ACCEPTED, Buffer, OPENING};
use tests::random::SampleNonce;
use tests::wire::{TEXT, plain};
use tests::{Endpoint, Random, Seen, deliver};

/// The request that a client sends.
fn request(connect: Connect<'_>) -> String {
    let mut client = Endpoint::client(defaults(), Silent);
    client.connection.connect_websocket(client.now, &connect).expect("a handshake that can be written");
    client.settle();
    String::from_utf8(client.take_sent()).expect("ASCII")
}

fn chat() -> Connect<'static> {
    Connect::new("server.example.com", "/chat")
}

fn has_line(request: &str, line: &str) -> bool {
    request.split("\r\n").any(|other| other.eq_ignore_ascii_case(line))
}

#[test]
fn a_client_asks_as_the_rfc_says() {
    // RFC 6455 §4.1: "The method of the request MUST be GET, and the HTTP version MUST be at least 1.1." "The
    // "Request-URI" part of the request MUST match the /resource name/".
    let sent = request(chat());
    assert!(sent.starts_with("GET /chat HTTP/1.1\r\n"), "{sent}");
    assert!(sent.ends_with("\r\n\r\n"), "{sent}");
    // "The request MUST contain a |Host| header field"; "an |Upgrade| header field whose value MUST include the
    // "websocket" keyword"; "a |Connection| header field whose value MUST include the "Upgrade" token"; "The request
    // MUST include a header field with the name |Sec-WebSocket-Version|. The value of this header field MUST be 13."
    for line in [
        "Host: server.example.com",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        &format!("Sec-WebSocket-Key: {}", SampleNonce::KEY),
    ] {
        assert!(has_line(&sent, line), "{line} is not in {sent}");
    }
    for name in ["origin:", "sec-websocket-protocol:", "sec-websocket-extensions:"] {
        assert!(!sent.to_ascii_lowercase().contains(name), "{name} is in {sent}");
    }
}

#[test]
fn the_query_is_part_of_the_resource_name() {
    // RFC 6455 §3: the resource name is the path, and "?" and the query if there is one.
    assert!(request(Connect::new("a:8080", "/b?c=d")).starts_with("GET /b?c=d HTTP/1.1\r\nHost: a:8080\r\n"));
}

#[test]
fn the_nonce_is_another_for_each_connection() {
    // RFC 6455 §4.1: "The nonce MUST be selected randomly for each connection", and is "a randomly selected 16-byte
    // value that has been base64-encoded".
    let key = |seed| {
        let config = defaults();
        let connection =
            lws_proto::Connection::client(lws_proto::Time::ZERO, config, Box::new(Random::new(seed)));
        let mut client = Endpoint::new(connection, Silent);
        client.connection.connect_websocket(client.now, &chat()).expect("a handshake that can be written");
        client.settle();
        let sent = String::from_utf8(client.take_sent()).expect("ASCII");
        let line =
            sent.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).expect("a key").to_owned();
        assert_eq!(line.len(), 24, "{line}");
        assert!(line.ends_with("=="), "{line}");
        line
    };
    assert_ne!(key(1), key(2));
}

#[test]
fn a_client_offers_unique_tokens_as_subprotocols() {
    // RFC 6455 §4.1: "The elements that comprise this value MUST be non-empty strings with characters in the range U+0021
    // to U+007E not including separator characters as defined in [RFC2616] and MUST all be unique strings."
    let sent = request(chat().protocols(&["v2.chat", "v1.chat"]));
    assert!(has_line(&sent, "Sec-WebSocket-Protocol: v2.chat, v1.chat"), "{sent}");
    for protocols in [&["a", "a"][..], &[""], &["a b"], &["a,b"], &["a/b"], &["\u{e9}"], &["a\r\nb"]] {
        let mut client = Endpoint::client(defaults(), Silent);
        let outcome = client.connection.connect_websocket(client.now, &chat().protocols(protocols));
        assert_eq!(outcome, Err(Misuse::Field), "{protocols:?}");
        client.settle();
        assert!(client.sent.is_empty(), "{protocols:?}");
    }
}

#[test]
fn a_client_waits_for_the_answer_before_it_sends_data() {
    // RFC 6455 §4.1: "Once the client's opening handshake has been sent, the client MUST wait for a response from the
    // server before sending any further data."
    let mut client = Endpoint::client(defaults(), Silent);
    let key =
        client.connection.connect_websocket(client.now, &chat()).expect("a handshake that can be written");
    client.settle();
    client.forget();
    assert!(client.connection.websocket(key).is_none(), "it is an exchange until the answer has come");
    let mut exchange = client.connection.exchange(key).expect("the stream of the handshake");
    exchange.want_write();
    assert!(exchange.permit().is_err());
    client.settle();
    assert!(client.seen.0.is_empty() && client.sent.is_empty());
    client.receive(ACCEPTED.as_bytes(), Buffer::Lent);
    assert!(matches!(
        client.seen.0[..],
        [Seen::Established { protocol: Protocol::WebSocket, .. }, Seen::Writable]
    ));
}

/// What a client that offered `chat` and `superchat` makes of a response.
fn answered(response: &str) -> (Vec<Cause>, bool) {
    let make = || {
        let mut client = Endpoint::client(defaults(), Silent);
        let connect = chat().protocols(&["chat", "superchat"]);
        client.connection.connect_websocket(client.now, &connect).expect("a handshake that can be written");
        client.settle();
        client.forget();
        client
    };
    let with_frame = [response.as_bytes(), &plain(TEXT, b"first")].concat();
    let delivered = deliver(make, &with_frame);
    let established = delivered.seen.count(|seen| matches!(seen, Seen::Established { .. })) == 1;
    let taken = delivered.seen.contents().contains(&"first".into());
    assert_eq!(established, taken, "frames are taken if and only if the handshake was: {response:?}");
    assert!(delivered.sent.0.is_empty(), "nothing is sent without having been asked for: {response:?}");
    (delivered.seen.causes(), established)
}

fn agrees(response: &str) {
    assert_eq!(answered(response), (vec![], true), "{response:?}");
}

fn disagrees(response: &str, failure: HandshakeFailure) {
    assert_eq!(answered(response), (vec![Cause::Handshake(failure)], false), "{response:?}");
}

/// The right answer with `line` in place of the one with the same name, or behind all of them.
fn with_line(line: &str) -> String {
    let name = line.split(':').next().unwrap_or_default();
    let mut lines: Vec<&str> = ACCEPTED.trim_end().split("\r\n").collect();
    lines.retain(|other| !other.starts_with(&format!("{name}:")));
    lines.push(line);
    lines.join("\r\n") + "\r\n\r\n"
}

fn without(name: &str) -> String {
    with_line(&format!("{name}:")).replace(&format!("{name}:\r\n"), "")
}

#[test]
fn a_client_takes_no_answer_that_is_none() {
    agrees(ACCEPTED);
    // RFC 6455 §4.1: "If the response lacks an |Upgrade| header field or the |Upgrade| header field contains a value that
    // is not an ASCII case-insensitive match for the value "websocket", the client MUST _Fail the WebSocket Connection_."
    agrees(&with_line("Upgrade: WebSocket"));
    disagrees(&without("Upgrade"), HandshakeFailure::Upgrade);
    disagrees(&with_line("Upgrade: websockets"), HandshakeFailure::Upgrade);
    disagrees(&with_line("Upgrade: h2c"), HandshakeFailure::Upgrade);
    // "If the response lacks a |Connection| header field or the |Connection| header field doesn't contain a token that is
    // an ASCII case-insensitive match for the value "Upgrade", the client MUST _Fail the WebSocket Connection_."
    agrees(&with_line("Connection: keep-alive, UPGRADE"));
    disagrees(&without("Connection"), HandshakeFailure::Connection);
    disagrees(&with_line("Connection: keep-alive"), HandshakeFailure::Connection);
    // "If the response lacks a |Sec-WebSocket-Accept| header field or the |Sec-WebSocket-Accept| contains a value other
    // than the base64-encoded SHA-1 of the concatenation ... the client MUST _Fail the WebSocket Connection_."
    agrees(&with_line("Sec-WebSocket-Accept: \t s3pPLMBiTxaQ9kYGzzhZRbK+xOo= "));
    disagrees(&without("Sec-WebSocket-Accept"), HandshakeFailure::Accept);
    disagrees(&with_line("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo"), HandshakeFailure::Accept);
    disagrees(&with_line("Sec-WebSocket-Accept: S3PPLMBITXAQ9KYGZZHZRBK+XOO="), HandshakeFailure::Accept);
    disagrees(&with_line("Sec-WebSocket-Accept: dGhlIHNhbXBsZSBub25jZQ=="), HandshakeFailure::Accept);
    // RFC 6455 §11.3.3: "The |Sec-WebSocket-Accept| header field MUST NOT appear more than once in an HTTP response."
    let twice = format!("Sec-WebSocket-Accept: {0}\r\nSec-WebSocket-Accept: {0}", SampleNonce::ACCEPT);
    disagrees(&with_line(&twice), HandshakeFailure::Accept);
}

#[test]
fn a_client_takes_no_extension_that_it_did_not_ask_for() {
    // RFC 6455 §4.1: "If the response includes a |Sec-WebSocket-Extensions| header field and this header field indicates the
    // use of an extension that was not present in the client's handshake ... the client MUST _Fail the WebSocket
    // Connection_."
    disagrees(&with_line("Sec-WebSocket-Extensions: permessage-deflate"), HandshakeFailure::Extension);
    disagrees(&with_line("Sec-WebSocket-Extensions: x; y=z"), HandshakeFailure::Extension);
}

#[test]
fn a_client_takes_no_subprotocol_that_it_did_not_offer() {
    // RFC 6455 §4.1: "If the response includes a |Sec-WebSocket-Protocol| header field and this header field indicates the
    // use of a subprotocol that was not present in the client's handshake ... the client MUST _Fail the WebSocket
    // Connection_."
    agrees(&with_line("Sec-WebSocket-Protocol: superchat"));
    disagrees(&with_line("Sec-WebSocket-Protocol: other"), HandshakeFailure::Protocol);
    disagrees(&with_line("Sec-WebSocket-Protocol: Chat"), HandshakeFailure::Protocol);
    disagrees(&with_line("Sec-WebSocket-Protocol: chat, superchat"), HandshakeFailure::Protocol);
    // RFC 6455 §11.3.4: "the |Sec-WebSocket-Protocol| header field MUST NOT appear more than once in an HTTP response."
    let twice = "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: superchat";
    disagrees(&with_line(twice), HandshakeFailure::Protocol);
}

#[test]
fn another_status_is_an_ordinary_response() {
    // RFC 6455 §4.1: "If the status code received from the server is not 101, the client handles the response per HTTP
    // procedures."
    for (response, code) in [
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", 404),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno", 200),
        ("HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n", 403),
    ] {
        let make = || {
            let mut client = Endpoint::client(defaults(), Silent);
            client
                .connection
                .connect_websocket(client.now, &chat())
                .expect("a handshake that can be written");
            client.settle();
            client
        };
        let delivered = deliver(make, response.as_bytes());
        assert!(
            matches!(delivered.seen.0[0], Seen::Response { status, .. } if status == code),
            "{:?}",
            delivered.seen
        );
        assert_eq!(delivered.seen.contents(), ["no".into()], "{response:?}");
        assert_eq!(
            delivered.seen.causes(),
            [Cause::Handshake(HandshakeFailure::Status(code))],
            "{response:?}"
        );
    }
}

#[test]
fn a_server_answers_with_the_hash_of_the_key() {
    // RFC 6455 §4.2.2: "A Status-Line with a 101 response code", "An |Upgrade| header field with value "websocket"", "A
    // |Connection| header field with value "Upgrade"", "A |Sec-WebSocket-Accept| header field".
    let delivered = served(OPENING);
    let [answer] = &responses(&delivered)[..] else { panic!("one response") };
    assert!(answer.head.starts_with("HTTP/1.1 101 "), "{}", answer.head);
    assert_eq!(answer.field("upgrade"), Some("websocket"));
    assert_eq!(answer.field("connection"), Some("Upgrade"));
    assert_eq!(answer.field("sec-websocket-accept"), Some(SampleNonce::ACCEPT));
    // "if the server does not agree to any of the client's requested subprotocols, it MUST NOT send back a
    // |Sec-WebSocket-Protocol| header field"; and of extensions it uses none that was not asked for.
    assert_eq!(answer.field("sec-websocket-protocol"), None);
    assert_eq!(answer.field("sec-websocket-extensions"), None);
    // RFC 9110 §8.6: "A server MUST NOT send a Content-Length header field in any response with a status code of 1xx".
    assert_eq!(answer.field("content-length"), None);
    assert!(
        matches!(delivered.seen.0[..], [Seen::Request { .. }, Seen::Established { .. }]),
        "{:?}",
        delivered.seen
    );
}

/// The example with `line` in place of the one with the same name.
fn opening(line: &str) -> String {
    let name = line.split(':').next().unwrap_or_default();
    let mut lines: Vec<&str> = OPENING.trim_end().split("\r\n").collect();
    lines.retain(|other| !other.starts_with(&format!("{name}:")));
    lines.push(line);
    lines.join("\r\n") + "\r\n\r\n"
}

fn opening_without(name: &str) -> String {
    opening(&format!("{name}:")).replace(&format!("{name}:\r\n"), "")
}

/// A server that accepts whatever says that it is an opening answers `request` with 101.
fn opens(request: &str) {
    let answers = answers(request);
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [101], "{request:?}");
}

/// It answers with the status code of `violation`, and the request was seen by the application, which asked for it.
fn is_refused(request: &str, violation: Violation) {
    let delivered = served(request);
    let answers = responses(&delivered);
    let [answer] = &answers[..] else { panic!("{request:?}: {answers:?}") };
    assert_eq!(answer.status, violation.status(), "{request:?}");
    assert_eq!(delivered.seen.causes(), [Cause::Violation(violation)], "{request:?}");
    // RFC 6455 §4.4: "the server MUST respond with one or more |Sec-WebSocket-Version| header fields containing values
    // the server is capable of using"; 426 goes with `Upgrade` by RFC 9110 §15.5.22.
    if violation == Violation::OpeningVersion {
        assert_eq!(answer.field("sec-websocket-version"), Some("13"), "{request:?}");
        assert_eq!(answer.field("upgrade"), Some("websocket"), "{request:?}");
        assert_eq!(answer.status, 426);
    }
}

#[test]
fn a_server_takes_no_opening_that_is_none() {
    // RFC 6455 §4.2.1: "If the server, while reading the handshake, finds that the client did not send a handshake that
    // matches the description below ... the server MUST stop processing the client's handshake and return an HTTP response
    // with an appropriate error code (such as 400 Bad Request)."
    opens(OPENING);
    opens(&opening("Upgrade: WEBSOCKET"));
    opens(&opening("Upgrade: h2c, websocket"));
    opens(&opening("Connection: keep-alive, upgrade"));
    opens(&opening("Connection: keep-alive\r\nConnection: Upgrade"));
    opens(&opening("Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Protocol: c"));
    opens(&OPENING.replace("HTTP/1.1", "HTTP/1.7"));
    opens(&opening_without("Origin"));
    is_refused(&OPENING.replace("GET", "POST"), Violation::Opening);
    is_refused(&OPENING.replace("GET", "PUT"), Violation::Opening);
    is_refused(&opening_without("Connection"), Violation::Opening);
    is_refused(&opening("Connection: keep-alive"), Violation::Opening);
    is_refused(&opening_without("Sec-WebSocket-Key"), Violation::Opening);
    for key in
        ["", "x", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZSE=", "AAAA"]
    {
        // "a |Sec-WebSocket-Key| header field with a base64-encoded value that, when decoded, is 16 bytes in length."
        is_refused(&opening(&format!("Sec-WebSocket-Key: {key}")), Violation::Opening);
    }
    // RFC 6455 §11.3.1: "The |Sec-WebSocket-Key| header field MUST NOT appear more than once in an HTTP request."
    let twice = format!("Sec-WebSocket-Key: {0}\r\nSec-WebSocket-Key: {0}", SampleNonce::KEY);
    is_refused(&opening(&twice), Violation::Opening);
    // A field without a value offers nothing.
    for name in ["Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"] {
        opens(&opening(&format!("{name}:")));
        opens(&opening(&format!("{name}: \r\n{name}:")));
    }
    for protocols in ["a, a", "a b", "a/b", ",", "\u{e9}"] {
        is_refused(&opening(&format!("Sec-WebSocket-Protocol: {protocols}")), Violation::Opening);
    }
    // RFC 6455 §4.2.1: "A |Host| header field containing the server's authority."
    refused(opening_without("Host"), 400, Cause::Violation(Violation::Host));
}

#[test]
fn an_opening_with_content_is_refused_whether_or_not_the_content_has_come() {
    // Ours: RFC 6455 §4.1 knows no content here, and its bytes are easily taken for frames.
    for framing in ["Content-Length: 5", "Content-Length: 100000", "Transfer-Encoding: chunked"] {
        let request = opening(framing);
        is_refused(&request, Violation::Opening);
        is_refused(&format!("{request}hello"), Violation::Opening);
        assert!(served(&request).fin, "{framing}: the connection ends with the answer");
    }
    opens(&opening("Content-Length: 0"));
}

#[test]
fn an_opening_in_http_1_0_is_an_ordinary_request() {
    // RFC 9110 §7.8: "A server MUST ignore an Upgrade header field that is received in an HTTP/1.0 request."
    let answers = answers(OPENING.replace("HTTP/1.1", "HTTP/1.0"));
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200]);
}

#[test]
fn another_version_is_answered_which_one_is_spoken() {
    // RFC 6455 §4.4: "If the server doesn't support the requested version, it MUST respond with a |Sec-WebSocket-Version|
    // header field (or multiple |Sec-WebSocket-Version| header fields) containing all versions it is willing to use."
    for version in ["12", "14", "8", "013", "13, 14", "+13", "", "x", "25"] {
        is_refused(&opening(&format!("Sec-WebSocket-Version: {version}")), Violation::OpeningVersion);
    }
    is_refused(&opening_without("Sec-WebSocket-Version"), Violation::OpeningVersion);
    // RFC 6455 §11.3.5: "The |Sec-WebSocket-Version| header field MUST NOT appear more than once in an HTTP request."
    let twice = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13";
    is_refused(&opening(twice), Violation::OpeningVersion);
}

#[test]
fn a_server_chooses_a_subprotocol_out_of_the_offer() {
    // RFC 6455 §4.2.2: "The value chosen MUST be derived from the client's handshake, specifically by selecting one of the
    // values from the |Sec-WebSocket-Protocol| field that the server is willing to use".
    let request = opening("Sec-WebSocket-Protocol: chat, superchat");
    let app = || Echo::default().speaking("superchat");
    let delivered = deliver(|| Endpoint::server(defaults(), app()), request.as_bytes());
    let [answer] = &responses(&delivered)[..] else { panic!("one response") };
    assert_eq!(answer.all("sec-websocket-protocol"), ["superchat"]);
    // RFC 6455 §11.3.4: "MUST NOT appear more than once in an HTTP response". One that was not offered is a misuse that
    // changes nothing: the application may still answer.
    let app = || Echo::default().speaking("other");
    let delivered = deliver(|| Endpoint::server(defaults(), app()), request.as_bytes());
    assert!(delivered.sent.0.is_empty() && delivered.seen.causes().is_empty());
}

#[test]
fn frames_directly_behind_the_opening_belong_to_the_websocket() {
    // The client may not send them before the answer (RFC 6455 §4.1), but TCP may bring them together with whatever the
    // server had not read yet; none is lost, and none is taken for HTTP.
    let input = [OPENING.as_bytes(), &Role::Server.incoming(TEXT, b"early")].concat();
    let delivered = served(&input);
    assert_eq!(delivered.seen.contents(), ["early".into()]);
    let end = tests::wire::plain(TEXT, b"early");
    assert!(delivered.sent.0.ends_with(&end));
}
