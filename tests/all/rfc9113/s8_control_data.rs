//! HTTP control data: pseudo-header fields. RFC 9113 §8.3.

use super::*;
use tests::Seen;

type Fields = &'static [(&'static str, &'static str)];

fn malformed_request(fields: &[(&str, &str)], violation: Violation) {
    stream_error(Role::Server, h2::headers(1, fields, true), 1, code::PROTOCOL_ERROR, violation);
}

fn malformed_response(fields: &[(&str, &str)]) {
    let response = h2::headers(1, fields, true);
    stream_error(Role::Client, response, 1, code::PROTOCOL_ERROR, Violation::PseudoHeader);
}

/// RFC 9113 §8.3: "Endpoints MUST NOT generate pseudo-header fields other than those defined in this document." "All pseudo-header fields MUST appear in a
/// field block before all regular field lines." "The same pseudo-header field name MUST NOT appear more than once in a field block."
/// "Pseudo-header fields defined for requests MUST NOT appear in responses; pseudo-header fields defined for responses MUST NOT appear in requests."
/// "Pseudo-header fields MUST NOT appear in a trailer section." Each is "treated as malformed".
#[test]
fn pseudo_header_fields_come_first_and_once() {
    let requests: &[Fields] = &[
        &[(":method", "GET"), (":scheme", "http"), (":path", "/"), ("x", "y"), (":authority", "a")],
        &[("x", "y"), (":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")],
        &[(":method", "GET"), (":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")],
        &[(":method", "GET"), (":scheme", "http"), (":scheme", "http"), (":path", "/"), (":authority", "a")],
        &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":path", "/"), (":authority", "a")],
        &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a"), (":authority", "a")],
        &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a"), (":status", "200")],
        &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a"), (":unknown", "x")],
        &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a"), (":", "x")],
        &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a"), (":Path", "/")],
    ];
    for fields in requests {
        let reaction = served(h2::headers(1, fields, true));
        assert_eq!(
            h2::reset(&reaction.sent_frames, 1),
            Some(code::PROTOCOL_ERROR),
            "{fields:?}: {:?}",
            reaction.sent_frames
        );
        assert!(
            reaction.lives()
                && reaction.delivered.seen.count(|seen| matches!(seen, Seen::Request { .. })) == 0
        );
    }
    malformed_response(&[(":status", "200"), (":status", "200")]);
    malformed_response(&[("x", "y"), (":status", "200")]);
    malformed_response(&[(":status", "200"), (":path", "/")]);
    malformed_response(&[(":status", "200"), (":method", "GET")]);
    let trailers = [h2::post(1), h2::headers(1, &[("x", "y"), (":path", "/")], true)].concat();
    stream_error(Role::Server, trailers, 1, code::PROTOCOL_ERROR, Violation::PseudoHeader);
}

/// RFC 9113 §8.3.1: "All HTTP/2 requests MUST include exactly one valid value for the ":method", ":scheme", and ":path" pseudo-header fields, unless they are
/// CONNECT requests. An HTTP request that omits mandatory pseudo-header fields is malformed."
#[test]
fn a_request_has_a_method_a_scheme_and_a_path() {
    let all = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")];
    for missing in 0..3 {
        let fields: Vec<_> =
            all.iter().enumerate().filter(|(at, _)| *at != missing).map(|(_, field)| *field).collect();
        malformed_request(&fields, Violation::PseudoHeader);
    }
    malformed_request(&[], Violation::PseudoHeader);
    for (at, value, violation) in [
        (0, "", Violation::PseudoHeader),
        (0, "G T", Violation::PseudoHeader),
        (1, "", Violation::PseudoHeader),
        // RFC 3986 §3.1.
        (1, "h ttp", Violation::PseudoHeader),
        (1, "1http", Violation::PseudoHeader),
        // "This pseudo-header field MUST NOT be empty for "http" or "https" URIs; ... ("/")."
        (2, "", Violation::Target),
        (2, "index.html", Violation::Target),
        (2, "http://a/", Violation::Target),
        (2, "/a b", Violation::Target),
        (2, "/a#b", Violation::Target),
    ] {
        let mut fields = all;
        fields[at].1 = value;
        malformed_request(&fields, violation);
    }
}

/// RFC 9113 §8.3.1: ""*" for OPTIONS": "... an OPTIONS request for an "http" or "https" URI that does not include a path component ... MUST include a ":path"
/// pseudo-header field with a value of '*'".
#[test]
fn the_asterisk_is_for_options() {
    let fields = |method| [(":method", method), (":scheme", "http"), (":path", "*"), (":authority", "a")];
    let reaction = no_error(Role::Server, h2::headers(1, &fields("OPTIONS"), true));
    assert!(matches!(&reaction.delivered.seen.0[0], Seen::Request { target, .. } if target == "*"));
    malformed_request(&fields("GET"), Violation::Target);
}

/// RFC 9113 §8.3.1: "The recipient of an HTTP/2 request MUST NOT use the Host header field to determine the target URI if ":authority" is present." and "A server
/// SHOULD treat a request as malformed if it contains a Host header field that identifies an entity that differs from the entity in the
/// ":authority" pseudo-header field." ":authority" MUST NOT include the deprecated userinfo subcomponent for "http" or "https" schemed URIs.
#[test]
fn the_authority_is_the_host() {
    let host = |fields: &[(&str, &str)]| {
        let reaction = no_error(Role::Server, h2::headers(1, fields, true));
        let Seen::Request { fields, .. } = &reaction.delivered.seen.0[0] else {
            panic!("{:?}", reaction.delivered.seen)
        };
        let mut hosts = fields.iter().filter(|(name, _)| name == "host").map(|(_, value)| value.clone());
        let found = hosts.next();
        assert!(hosts.next().is_none(), "{fields:?}");
        found
    };
    let common = [(":method", "GET"), (":scheme", "http"), (":path", "/")];
    let with = |more: &[(&'static str, &'static str)]| [common.as_slice(), more].concat();
    assert_eq!(host(&with(&[(":authority", "example.com:80")])), Some("example.com:80".into()));
    assert_eq!(host(&with(&[("host", "example.com")])), Some("example.com".into()));
    assert_eq!(
        host(&with(&[(":authority", "example.com"), ("host", "Example.com")])),
        Some("Example.com".into())
    );
    for more in [
        &[(":authority", "a"), ("host", "b")][..],
        &[(":authority", "user@a")],
        &[(":authority", "user:secret@a")],
        &[(":authority", "a/b")],
        &[(":authority", "a b")],
        // "A recipient that processes such a URI reference MUST reject it as invalid." RFC 9110 §4.2.1.
        &[(":authority", "")],
        &[("host", "")],
        &[("host", "a"), ("host", "a")],
        &[("host", "a/b")],
        &[],
    ] {
        malformed_request(&with(more), Violation::Host);
    }
}

/// RFC 9113 §8.3.2: "For HTTP/2 responses, a single ":status" pseudo-header field is defined that carries the HTTP status code field. This pseudo-header field
/// MUST be included in all responses, including interim responses; otherwise, the response is malformed."
#[test]
fn a_response_has_a_status() {
    for status in ["200", "404", "599", "999"] {
        no_error(Role::Client, h2::headers(1, &[(":status", status)], true));
    }
    malformed_response(&[]);
    malformed_response(&[("x", "y")]);
    for status in ["", "2", "20", "2000", "abc", "+20", "099", "2 0", "20x"] {
        malformed_response(&[(":status", status)]);
    }
}

/// What a client says of its request. RFC 9113 §8.3.1.
#[test]
fn a_client_says_all_of_it() {
    let mut client = Endpoint::http2_client(defaults(), Silent);
    request(&mut client, "GET", "/path?query", true);
    let sent_frames = Reader::default().read(&client.sent);
    let Some(SentFrame::Headers { fields, end: true, .. }) = h2::on(&sent_frames, 1).into_iter().next()
    else {
        panic!("{sent_frames:?}")
    };
    let expected = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/path?query")];
    assert_eq!(fields, expected.map(Into::into));
}

/// RFC 9113 §8.3.1: "Clients MUST NOT generate a request with a Host header field that differs from the ":authority" pseudo-header field." §8.3: "Endpoints MUST NOT generate
/// pseudo-header fields other than those defined in this document."
#[test]
fn a_client_says_no_other_host_and_no_other_pseudo_header_fields() {
    let mut client = Endpoint::http2_client(defaults(), Silent);
    for (name, misuse) in [
        ("host", lws_proto::Misuse::ManagedField),
        ("Host", lws_proto::Misuse::ManagedField),
        (":authority", lws_proto::Misuse::Field),
        (":unknown", lws_proto::Misuse::Field),
    ] {
        let asked = client.connection.request(
            client.now,
            &Request::get("a", "/"),
            [(name, "b")],
            Payload::Static(b""),
            true,
        );
        assert_eq!(asked.map(|_| ()), Err(misuse), "{name}");
    }
    client.settle();
    assert!(h2::on(&Reader::default().read(&client.sent), 1).is_empty());
}
