//! Starting HTTP/2. RFC 9113 §3.

use super::*;
use lws_proto::{Connection, Time, Versions};
use tests::h2::{PREFACE, setting};
use tests::{Octets, Seen, deliver_to_end};

/// RFC 9113 §3.4: "That is, the connection preface starts with the string 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'. This sequence
/// MUST be followed by a SETTINGS frame, which MAY be empty."
#[test]
fn a_connection_begins_with_the_preface_and_settings() {
    let make = || Endpoint::http2_server(defaults(), Each::echo());
    let reaction = Reaction::of(deliver(make, &[&PREFACE[..], &h2::settings(&[]), &h2::get(1)].concat()));
    assert_eq!(reaction.status(1), Some(200));
    for first in [h2::get(1), h2::ping(false, PROBE), h2::settings_ack(), h2::window_update(0, 1)] {
        let reaction = Reaction::of(deliver(make, &[&PREFACE[..], &first].concat()));
        assert_eq!(h2::go_aways(&reaction.sent_frames), [(0, code::PROTOCOL_ERROR)], "{:?}", Octets(first));
        assert!(reaction.delivered.fin);
    }
}

/// RFC 9113 §3.4: "Clients and servers MUST treat an invalid connection preface as a connection error of type PROTOCOL_ERROR. A GOAWAY
/// frame MAY be omitted in this case".
#[test]
fn an_invalid_preface_ends_the_connection() {
    let make = || Endpoint::http2_server(defaults(), Each::echo());
    for wrong in [
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\rX",
        "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        "PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n",
    ] {
        let input = [wrong.as_bytes(), &h2::settings(&[]), &h2::get(1)].concat();
        let delivered = deliver_to_end(make, &input, false);
        assert!(delivered.fin, "{wrong:?}");
        assert_eq!(delivered.seen.count(|seen| matches!(seen, Seen::Request { .. })), 0, "{wrong:?}");
    }
}

/// RFC 9113 §3.4: "The server connection preface consists of a potentially empty SETTINGS frame that MUST be the first frame the
/// server sends in the HTTP/2 connection." and "The SETTINGS frames received from a peer as part of the connection preface MUST be
/// acknowledged after sending the connection preface."
#[test]
fn a_server_says_its_settings_first_and_acknowledges_then() {
    let reaction = served([]);
    assert!(
        matches!(&reaction.sent_frames[0], SentFrame::Settings(entries)
        if entries.contains(&(setting::MAX_CONCURRENT_STREAMS, 100))
        && entries.contains(&(setting::ENABLE_CONNECT_PROTOCOL, 1))
        && entries.contains(&(setting::NO_RFC7540_PRIORITIES, 1))),
        "{:?}",
        reaction.sent_frames
    );
    let ack = reaction.sent_frames.iter().position(|frame| *frame == SentFrame::SettingsAck);
    assert!(ack.is_some_and(|at| at > 0), "{:?}", reaction.sent_frames);
    // "... a server MUST NOT explicitly set this value [ENABLE_PUSH] to 1", and there is no use for 0. RFC 9113 §6.5.2.
    assert!(!matches!(&reaction.sent_frames[0], SentFrame::Settings(entries)
        if entries.iter().any(|(name, _)| *name == setting::ENABLE_PUSH)));
}

/// RFC 9113 §3.4: "The client sends the client connection preface as the first application data octets of a connection." and "clients are
/// permitted to send additional frames to the server immediately after sending the client connection preface".
#[test]
fn a_client_says_the_preface_settings_and_requests_at_once() {
    let client = client(&defaults());
    let sent_frames = Reader::default().read(&client.sent);
    assert_eq!(sent_frames[0], SentFrame::Preface);
    assert!(
        matches!(&sent_frames[1], SentFrame::Settings(entries) if entries.contains(&(setting::ENABLE_PUSH, 0)))
    );
    assert!(
        sent_frames.iter().any(|frame| matches!(frame, SentFrame::Headers { stream: 1, end: true, .. })),
        "{sent_frames:?}"
    );
    assert!(
        sent_frames.iter().any(|frame| matches!(frame, SentFrame::Headers { stream: 3, end: false, .. })),
        "{sent_frames:?}"
    );
}

/// The same paragraph, reaction by a client.
#[test]
fn a_server_that_does_not_begin_with_settings_is_refused() {
    for first in [response(1, true), h2::ping(false, PROBE), h2::settings_ack()] {
        let reaction = Reaction::of(deliver(|| client(&defaults()), &first));
        assert_eq!(h2::go_aways(&reaction.sent_frames), [(0, code::PROTOCOL_ERROR)], "{:?}", Octets(first));
        assert_eq!(reaction.causes(), [Cause::Violation(Violation::Preface); 2]);
    }
    // A server of HTTP/1.1.
    let reaction = Reaction::of(deliver(|| client(&defaults()), b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    assert_eq!(reaction.causes(), [Cause::Violation(Violation::Preface); 2]);
}

#[test]
fn a_server_of_http_1_1_answers_the_preface_with_505() {
    let config = || Arc::new(Config { versions: Versions::Http1, ..Config::default() });
    let delivered = deliver_to_end(|| Endpoint::server(config(), Each::echo()), PREFACE, false);
    assert!(delivered.sent.0.starts_with(b"HTTP/1.1 505 "), "{:?}", delivered.sent);
}

#[test]
fn a_connection_that_ends_in_its_preface_is_over() {
    for len in 0..PREFACE.len() {
        let make = || Endpoint::http2_server(defaults(), Each::echo());
        assert!(deliver_to_end(make, &PREFACE[..len], true).over, "{len} bytes");
    }
}

/// RFC 7301 §3.2: "Unlike many other TLS extensions, this extension does not establish properties of the session, only of the
/// connection." What was chosen is spoken, and nothing else.
#[test]
fn where_alpn_has_chosen_h2_nothing_else_is_spoken() {
    let make = || {
        let connection = Connection::server_http2(Time::ZERO, defaults());
        Endpoint::new(connection, Each::echo()).multiplexed()
    };
    let reaction = Reaction::of(deliver(make, &[&PREFACE[..], &h2::settings(&[]), &h2::get(1)].concat()));
    assert!(matches!(reaction.sent_frames[0], SentFrame::Settings(_)));
    assert_eq!(reaction.status(1), Some(200));
    for other in [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], b"\x16\x03\x01\x00\x05hello and more than that"]
    {
        let reaction = Reaction::of(deliver(make, other));
        assert_eq!(h2::go_aways(&reaction.sent_frames), [(0, code::PROTOCOL_ERROR)]);
        assert!(reaction.delivered.fin);
        assert_eq!(reaction.status(1), None);
    }
}

#[test]
fn a_client_that_agreed_on_h2_says_its_preface_in_time() {
    let config = defaults();
    let connection = Connection::server_http2(Time::ZERO, Arc::clone(&config));
    let mut server = Endpoint::new(connection, Each::echo()).multiplexed();
    server.settle();
    let mut due = Time::ZERO;
    while !server.connection.interest().shutdown {
        due = server.connection.next_timeout().expect("a deadline");
        server.connection.handle_timeout(due);
    }
    assert_eq!(due, Time::ZERO + config.limits.head_timeout);
}

#[test]
fn where_alpn_has_not_chosen_h2_nothing_leads_there() {
    let make = || Endpoint::new(Connection::server_http1(Time::ZERO, defaults()), Each::echo());
    let delivered = deliver_to_end(make, PREFACE, false);
    assert!(delivered.sent.0.starts_with(b"HTTP/1.1 505 "), "{:?}", delivered.sent);
    let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: \r\n\r\n";
    let delivered = deliver_to_end(make, upgrade.as_bytes(), true);
    assert!(delivered.sent.0.starts_with(b"HTTP/1.1 200 "), "{:?}", delivered.sent);
}
