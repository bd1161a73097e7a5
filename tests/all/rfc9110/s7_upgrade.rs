//! RFC 9110 §7.8 and §9.3.6: upgrade and CONNECT.

use crate::support::{defaults, refused, responses, served};
use lws_proto::http::Status;
use lws_proto::ws::Accept;
use lws_proto::{Cause, Event, Misuse, Payload, Protocol, Violation};
use tests::application::{Answer, NO_FIELDS};
use tests::endpoint::{Buffer, OPENING};
use tests::{Endpoint, Seen, deliver};

const CONNECT: &str = "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n";

#[test]
fn a_server_may_ignore_upgrade() {
    // RFC 9110 §7.8: "A server MAY ignore a received Upgrade header field if it wishes to continue using the current protocol on that connection."
    let input =
        [OPENING, "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c, x/1\r\nConnection: upgrade\r\n\r\n"].concat();
    let delivered = deliver(|| Endpoint::server(defaults(), Answer::with("no")), input.as_bytes());
    let codes: Vec<_> = responses(&delivered).iter().map(|response| response.status).collect();
    assert_eq!(codes, [200, 200]);
}

#[test]
fn upgrade_is_named_in_connection_when_it_is_sent() {
    // RFC 9110 §7.8: "A sender of Upgrade MUST also send an "Upgrade" connection option in the Connection header field". RFC 9110 §15.5.22: "The server MUST
    // send an Upgrade header field in a 426 response".
    let status = Status::UPGRADE_REQUIRED;
    let answer =
        || Answer { status, fields: vec![("Upgrade", "websocket")], ..Answer::with("upgrade, please") };
    let get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let delivered = deliver(|| Endpoint::server(defaults(), answer()), get);
    let answers = responses(&delivered);
    assert_eq!(
        (answers[0].field("upgrade"), answers[0].field("connection")),
        (Some("websocket"), Some("upgrade"))
    );
    let close = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let delivered = deliver(|| Endpoint::server(defaults(), answer()), close);
    assert_eq!(responses(&delivered)[0].field("connection"), Some("upgrade, close"));
}

#[test]
fn a_server_does_not_switch_to_what_was_not_asked_for() {
    // RFC 9110 §7.8: "A server MUST NOT switch to a protocol that was not indicated by the client in the corresponding request's Upgrade header field."
    for upgrade in ["", "Upgrade: h2c\r\nConnection: upgrade\r\n"] {
        let mut outcome = None;
        let app = |event: Event<'_>| {
            if let Event::Request { stream, head, .. } = event {
                outcome = Some(stream.accept_websocket(&head, &Accept::new()).map(drop));
            }
        };
        let mut server = Endpoint::server(defaults(), app);
        server.receive(format!("GET / HTTP/1.1\r\nHost: a\r\n{upgrade}\r\n").as_bytes(), Buffer::Lent);
        assert!(server.sent.starts_with(b"HTTP/1.1 400 "), "{}", server.sent.escape_ascii());
        assert_eq!(server.seen.causes(), [Cause::Violation(Violation::Opening)]);
        drop(server);
        assert_eq!(outcome, Some(Err(Misuse::NotAnOpening)));
    }
}

#[test]
fn content_is_read_before_the_protocol_is_switched() {
    // RFC 9110 §7.8: "the server cannot switch protocols until the client completely sends the request message": an opening with content is refused.
    let request = OPENING.replace("\r\n\r\n", "\r\nContent-Length: 3\r\n\r\nabc");
    let delivered = served(&request);
    assert_eq!(delivered.seen.count(|seen| matches!(seen, Seen::Established { .. })), 0);
    assert!(!delivered.sent.0.starts_with(b"HTTP/1.1 101 "), "{:?}", delivered.sent);
}

#[test]
fn connect_makes_a_tunnel_whose_bytes_are_not_http() {
    // RFC 9110 §9.3.6: "A server MUST NOT send any Transfer-Encoding or Content-Length header fields in a 2xx (Successful) response to CONNECT."
    let delivered = served([CONNECT, "GET / HTTP/1.1\r\n\r\n\0\x01"].concat());
    assert_eq!(
        delivered.sent,
        [&b"HTTP/1.1 200 OK\r\n\r\n"[..], b"GET / HTTP/1.1\r\n\r\n\0\x01"].concat()[..].into()
    );
    assert!(
        matches!(delivered.seen.0[1], Seen::Established { protocol: Protocol::Raw, .. }),
        "{delivered:?}"
    );
    assert_eq!(delivered.seen.contents(), ["GET / HTTP/1.1\r\n\r\n\0\x01".into()]);
}

#[test]
fn a_connect_that_is_refused_is_an_ordinary_exchange() {
    let answer = || Answer { status: Status::FORBIDDEN, ..Answer::with("no") };
    let input = [CONNECT, CONNECT].concat();
    let delivered = deliver(|| Endpoint::server(defaults(), answer()), input.as_bytes());
    let codes: Vec<_> = responses(&delivered).iter().map(|response| response.status).collect();
    assert_eq!(codes, [403, 403]);
    // 2xx is the tunnel's, and only of a CONNECT.
    let mut misuses = Vec::new();
    let app = |event: Event<'_>| {
        let Event::Request { stream, .. } = event else { return };
        let Ok(permit) = stream.permit() else { return };
        let key = permit.key();
        misuses.push(permit.respond(Status::OK, NO_FIELDS, Payload::Static(b""), true).map(|_| key).err());
    };
    Endpoint::server(defaults(), app).receive(CONNECT.as_bytes(), Buffer::Lent);
    assert_eq!(misuses, [Some(Misuse::StartLine)]);
    let mut misuses = Vec::new();
    let app = |event: Event<'_>| {
        if let Event::Request { stream, .. } = event {
            misuses.push(stream.accept_tunnel().map(drop).err());
        }
    };
    Endpoint::server(defaults(), app).receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Buffer::Lent);
    assert_eq!(misuses, [Some(Misuse::WrongState)]);
}

#[test]
fn a_connect_without_a_port_is_400() {
    // RFC 9110 §9.3.6: "A server MUST reject a CONNECT request that targets an empty or invalid port number, typically by responding with a 400 (Bad Request)
    // status code."
    for target in ["a", "a:", "a:0x1", "a:99999", ":443"] {
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        refused(request, 400, Cause::Violation(Violation::Target));
    }
}
