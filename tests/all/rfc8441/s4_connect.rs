//! The extended CONNECT method. RFC 8441 §3 and §4.

use super::*;

/// RFC 8441 §4: "A new pseudo-header field :protocol MAY be included on request HEADERS indicating the desired protocol to be spoken on the tunnel created by
/// CONNECT." "On requests that contain the :protocol pseudo-header field, the :scheme and :path pseudo-header fields of the target URI MUST also
/// be included." "... the :authority pseudo-header field is interpreted according to Section 8.1.2.3 of [RFC7540] instead of Section 8.3".
#[test]
fn an_extended_connect_has_all_pseudo_header_fields() {
    let reaction = served(&opening(1, &[]));
    assert_eq!(reaction.status(1), Some(200), "{:?}", reaction.sent_frames);
    for missing in [":scheme", ":path", ":authority"] {
        let fields: Vec<_> = WEBSOCKET.iter().copied().filter(|(name, _)| *name != missing).collect();
        let reaction = served(&h2::headers(1, &fields, false));
        assert_eq!(h2::reset(&reaction.sent_frames, 1), Some(code::PROTOCOL_ERROR), "{missing}");
        assert!(reaction.lives());
    }
    // ":protocol" belongs to CONNECT.
    let mut fields = WEBSOCKET;
    fields[0].1 = "GET";
    let reaction = served(&h2::headers(1, &fields, false));
    assert_eq!(h2::reset(&reaction.sent_frames, 1), Some(code::PROTOCOL_ERROR));
}

/// RFC 8441 §3: "A client ... MUST NOT send ... :protocol ... unless SETTINGS_ENABLE_CONNECT_PROTOCOL" has been received: a request waits for the SETTINGS, and fails
/// with a name when they do not allow it.
#[test]
fn a_client_waits_for_the_servers_leave() {
    let mut client = asking(&defaults(), &Connect::new("a", "/chat"), Silent);
    let mut reader = Reader::default();
    let sent_frames = reader.read(&client.take_sent());
    assert!(h2::on(&sent_frames, 1).is_empty(), "{sent_frames:?}");
    client.receive(&allows(), Buffer::Lent);
    let sent_frames = reader.read(&client.take_sent());
    let Some(SentFrame::Headers { fields, end: false, .. }) = h2::on(&sent_frames, 1).into_iter().next()
    else {
        panic!("{sent_frames:?}")
    };
    let expected = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":path", "/chat"),
        (":authority", "a"),
        ("sec-websocket-version", "13"),
    ];
    for field in expected {
        assert!(fields.contains(&field.into()), "{field:?} in {fields:?}");
    }
    for name in ["connection", "upgrade", "host"] {
        assert!(!fields.iter().any(|field| field.name == name.as_bytes()), "{name} in {fields:?}");
    }
}

#[test]
fn a_server_without_extended_connect_is_a_failure_with_a_name() {
    let delivered =
        deliver(|| asking(&defaults(), &Connect::new("a", "/chat"), Silent), &h2::server_begins(&[]));
    assert_eq!(delivered.seen.causes(), [Cause::Handshake(HandshakeFailure::ExtendedConnect)]);
    assert!(!delivered.over && !delivered.fin);
    // And once it is known, others fail the same way, while requests go on.
    let mut client = Endpoint::http2_client(defaults(), Silent);
    client.receive(&h2::server_begins(&[]), Buffer::Lent);
    client.connection.connect_websocket(client.now, &Connect::new("a", "/chat")).expect("a handshake");
    client.settle();
    assert_eq!(client.seen.causes(), [Cause::Handshake(HandshakeFailure::ExtendedConnect)]);
    crate::rfc9113::request(&mut client, "GET", "/", true);
    client.receive(&crate::rfc9113::response(3, true), Buffer::Lent);
    assert_eq!(client.seen.causes()[1..], [Cause::Complete]);
}

/// Another status than 2xx: the response comes as any other, and the handshake has failed.
#[test]
fn a_refusal_is_a_response() {
    for frames in [
        h2::headers(1, &[(":status", "403")], true),
        [h2::headers(1, &[(":status", "403")], false), h2::data(1, b"no", true)].concat(),
    ] {
        let input = [allows(), frames].concat();
        let delivered = deliver(|| asking(&defaults(), &Connect::new("a", "/chat"), Silent), &input);
        assert!(matches!(delivered.seen.0[0], Seen::Response { status: 403, .. }), "{:?}", delivered.seen);
        assert_eq!(delivered.seen.causes(), [Cause::Handshake(HandshakeFailure::Status(403))]);
    }
}

/// A protocol that is not spoken here is an ordinary request, which the application refuses as it likes.
#[test]
fn another_protocol_is_for_the_application_to_refuse() {
    let mut fields = WEBSOCKET;
    fields[1].1 = "webtransport";
    let app = || tests::application::Answer { status: crate::support::status(501), ..Default::default() };
    let reaction = served_by(app, &h2::headers(1, &fields, false));
    assert_eq!(reaction.status(1), Some(501), "{:?}", reaction.sent_frames);
    assert!(reaction.lives());
}

/// A client that has ended its direction cannot speak the protocol that it asks for: its fault, and no misuse of the application's.
#[test]
fn an_extended_connect_that_ends_the_stream_is_refused() {
    let reaction = served(&h2::headers(1, &WEBSOCKET, true));
    assert_eq!(reaction.status(1), Some(400), "{:?}", reaction.sent_frames);
    assert_eq!(reaction.causes(), [Cause::Violation(Violation::Opening)]);
    assert!(reaction.lives());
}
