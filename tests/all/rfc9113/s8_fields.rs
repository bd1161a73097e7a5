//! HTTP fields. RFC 9113 §8.2.

use super::*;
use tests::Seen;

/// A request with this field more.
fn with(name: &str, value: &str) -> Vec<u8> {
    h2::headers(1, &[h2::GET.as_slice(), &[(name, value)]].concat(), true)
}

/// A response with this field more.
fn response_with(name: &str, value: &str) -> Vec<u8> {
    h2::headers(1, &[(":status", "200"), (name, value)], true)
}

/// RFC 9113 §8.2: "A field name MUST NOT contain characters in the ranges 0x00-0x20, 0x41-0x5a, or 0x7f-0xff (all ranges inclusive)." "With the exception of
/// pseudo-header fields ... field names MUST NOT include a colon". "A field value MUST NOT contain the zero value (ASCII NUL, 0x00), line feed
/// (ASCII LF, 0x0a), or carriage return (ASCII CR, 0x0d) at any position." "A field value MUST NOT start or end with an ASCII whitespace
/// character". "A request or response that contains a field that violates any of these conditions MUST be treated as malformed."
#[test]
fn a_malformed_field_makes_the_message_malformed() {
    for (name, value) in [
        ("Upper", "x"),
        ("uppeR", "x"),
        ("", "x"),
        ("a b", "x"),
        ("a\0", "x"),
        ("a\x7f", "x"),
        ("\u{e9}", "x"),
        ("a:b", "x"),
        ("a", "x\0y"),
        ("a", "x\ny"),
        ("a", "x\ry"),
        ("a", "\r\nevil: x"),
        ("a", "\x01"),
        ("a", "x\x1by"),
        ("a", "x\x7f"),
        ("a", " x"),
        ("a", "x "),
        ("a", "\tx"),
        ("a", "x\t"),
    ] {
        let (code, violation) = (code::PROTOCOL_ERROR, Violation::Field);
        stream_error(Role::Server, with(name, value), 1, code, violation);
        stream_error(Role::Client, response_with(name, value), 1, code, violation);
    }
}

/// What is left is a field, however strange.
#[test]
fn an_unusual_field_is_taken() {
    for (name, value) in [("a", ""), ("!#$%&'*+-.^_`|~0", "x"), ("a", "x y\tz"), ("a", "\u{e9}")] {
        let reaction = no_error(Role::Server, with(name, value));
        let Seen::Request { fields, .. } = &reaction.delivered.seen.0[0] else {
            panic!("{:?}", reaction.delivered.seen)
        };
        assert!(fields.contains(&(name.into(), value.into())), "{fields:?}");
        no_error(Role::Client, response_with(name, value));
    }
}

/// RFC 9113 §8.2.2: "An endpoint MUST NOT generate an HTTP/2 message containing connection-specific header fields. This includes the Connection header field
/// and those listed as having connection-specific semantics in Section 7.6.1 of HTTP ... Any message containing connection-specific header
/// fields MUST be treated as malformed." "The only exception to this is the TE header field, which MAY be present in an HTTP/2 request; when
/// it is, it MUST NOT contain any value other than "trailers"."
#[test]
fn fields_of_http_1_1_connections_make_a_message_malformed() {
    for (name, value) in [
        ("connection", "close"),
        ("connection", "x"),
        ("proxy-connection", "keep-alive"),
        ("keep-alive", "timeout=5"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
    ] {
        let (code, violation) = (code::PROTOCOL_ERROR, Violation::Field);
        stream_error(Role::Server, with(name, value), 1, code, violation);
        stream_error(Role::Client, response_with(name, value), 1, code, violation);
    }
    for value in ["gzip", "trailers, gzip", "", "trailers;q=1"] {
        stream_error(Role::Server, with("te", value), 1, code::PROTOCOL_ERROR, Violation::Field);
    }
    for value in ["trailers", "Trailers"] {
        no_error(Role::Server, with("te", value));
    }
}

/// The same paragraph, of what we send: an application may say such fields for HTTP/1.1, and they are left out.
#[test]
fn fields_of_http_1_1_connections_are_not_sent() {
    let fields = vec![("Upgrade", "x"), ("Proxy-Connection", "close"), ("X-Kept", "Value")];
    let app = || tests::application::Answer { fields: fields.clone(), ..Default::default() };
    let reaction = served_by(&defaults(), &[], app, h2::get(1));
    let Some(SentFrame::Headers { fields, .. }) = h2::on(&reaction.sent_frames, 1).into_iter().next() else {
        panic!("no response")
    };
    let names: Vec<_> =
        fields.iter().map(|field| String::from_utf8_lossy(&field.name).into_owned()).collect();
    assert_eq!(names, [":status", "x-kept", "content-length"]);
    assert_eq!(fields[1].value, b"Value");
}

/// RFC 9113 §8.2.3: "... if there are multiple Cookie header fields after decompression, these MUST be concatenated into a single octet string using the
/// two-octet delimiter of 0x3b, 0x20 (the ASCII string "; ") before being passed into a non-HTTP/2 context".
#[test]
fn cookie_crumbs_are_joined() {
    let crumbs =
        [("cookie", "a=b"), ("x", "1"), ("cookie", "c=d"), ("cookie", ""), ("y", "2"), ("cookie", "e=f")];
    for count in 0..=crumbs.len() {
        let fields = [h2::GET.as_slice(), &crumbs[..count]].concat();
        let reaction = no_error(Role::Server, h2::headers(1, &fields, true));
        let Seen::Request { fields, .. } = &reaction.delivered.seen.0[0] else {
            panic!("{:?}", reaction.delivered.seen)
        };
        let cookies: Vec<_> =
            fields.iter().filter(|(name, _)| name == "cookie").map(|(_, value)| value).collect();
        let expected: Vec<&str> =
            crumbs[..count].iter().filter(|(name, _)| *name == "cookie").map(|(_, value)| *value).collect();
        if expected.is_empty() {
            assert!(cookies.is_empty());
        } else {
            assert_eq!(cookies, [&tests::Octets::from(expected.join("; ").as_str())]);
        }
        let others = fields.iter().filter(|(name, _)| name == "x" || name == "y").count();
        assert_eq!(others, crumbs[..count].len() - expected.len());
    }
}

/// RFC 9113 §8.2: "Field names MUST be converted to lowercase when constructing an HTTP/2 message."
#[test]
fn names_are_sent_in_lower_case() {
    let app = || tests::application::Answer { fields: vec![("X-UPPER", "Value")], ..Default::default() };
    let reaction = served_by(&defaults(), &[], app, h2::get(1));
    let Some(SentFrame::Headers { fields, .. }) = h2::on(&reaction.sent_frames, 1).into_iter().next() else {
        panic!("no response")
    };
    assert!(fields.contains(&("x-upper", "Value").into()), "{fields:?}");
    let mut client = Endpoint::http2_client(defaults(), Silent);
    let request = Request::get("a", "/");
    let fields = [("X-Upper", "Value"), ("TE", "trailers"), ("Proxy-Connection", "x")];
    client.connection.request(client.now, &request, fields, Payload::Static(b""), true).expect("a request");
    client.settle();
    let sent_frames = Reader::default().read(&client.sent);
    let Some(SentFrame::Headers { fields, .. }) = h2::on(&sent_frames, 1).into_iter().next() else {
        panic!("no request")
    };
    assert!(fields.contains(&("x-upper", "Value").into()), "{fields:?}");
    assert!(!fields.iter().any(|field| field.name == b"proxy-connection"), "{fields:?}");
}

/// Sensitive fields are marked never to be indexed (RFC 7541 §7.1), and are delivered all the same.
#[test]
fn a_field_that_is_never_indexed_is_a_field() {
    let mut block = h2::block(&h2::GET);
    block.extend(h2::block(&[("authorization", "secret")]).into_iter().enumerate().map(|(at, byte)| {
        // Literal Header Field Never Indexed. RFC 7541 §6.2.3.
        if at == 0 { 0x10 } else { byte }
    }));
    let reaction = no_error(Role::Server, h2::frame(h2::kind::HEADERS, 5, 1, &block));
    let Seen::Request { fields, .. } = &reaction.delivered.seen.0[0] else {
        panic!("{:?}", reaction.delivered.seen)
    };
    assert!(fields.contains(&("authorization".into(), "secret".into())), "{fields:?}");
}
