//! Heads as a table row says them, in both roles. RFC 6455 §4.

use super::extension::tests::known;
use super::*;
use crate::http::{FieldSpan, StartLine, Status};
use alloc::vec;

const REQUEST: &[(&str, &str)] = &[
    ("Host", "server.example.com"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Origin", "http://example.com"),
    ("Sec-WebSocket-Protocol", "chat, superchat"),
    ("Sec-WebSocket-Version", "13"),
];

const RESPONSE: &[(&str, &str)] = &[
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ("Sec-WebSocket-Protocol", "chat"),
];

const NO_LINE: &[&[u8]] = &[];

const ONE_EMPTY: &[&[u8]] = &[b""];

const NONCE: [u8; 16] = *b"the sample nonce";

/// Field lines as a table row has them.
type Fields<'a> = Vec<(&'a str, Vec<u8>)>;

fn owned<'a>(fields: &[(&'a str, &str)]) -> Fields<'a> {
    fields.iter().map(|(name, value)| (*name, value.as_bytes().to_vec())).collect()
}

/// `fields` with those called `name` replaced by one for each of `values`.
fn with<'a>(fields: &[(&'a str, &str)], name: &'a str, values: &[&[u8]]) -> Fields<'a> {
    let mut changed = owned(fields);
    changed.retain(|(other, _)| *other != name);
    changed.extend(values.iter().map(|value| (name, value.to_vec())));
    changed
}

fn with_head<R>(start: StartLine, fields: &Fields<'_>, look: impl FnOnce(&Head<'_>) -> R) -> R {
    let mut bytes = Vec::new();
    let mut spans = Vec::new();
    let mut push = |part: &[u8]| {
        let at = bytes.len() as u32;
        bytes.extend_from_slice(part);
        (at, part.len() as u32)
    };
    for (field, content) in fields {
        let (name, name_len) = push(field.as_bytes());
        let (value, value_len) = push(content);
        spans.push(FieldSpan { name, name_len, value, value_len });
    }
    look(&Head { bytes: &bytes, start: &start, fields: &spans })
}

fn get(method: Method, version: Version) -> StartLine {
    StartLine::Request {
        method,
        method_span: (0, 0),
        target: (0, 0),
        version,
        protocol: (0, 0),
        host: None,
        upgrade: true,
    }
}

/// What a server makes of a GET with `fields`: the subprotocols and the extensions offered, or the refusal.
fn asked(fields: &Fields<'_>) -> Result<(Vec<String>, Vec<String>), Violation> {
    with_head(get(Method::Get, Version::Http11), fields, |head| {
        let opening = check_request(head)?;
        assert!(is_opening(head));
        let extensions = opening.extensions().map(|offer| alloc::format!("{offer}")).collect();
        Ok((opening.protocols().map(String::from).collect(), extensions))
    })
}

fn refuses(name: &str, values: &[&[u8]], violation: Violation) {
    assert_eq!(asked(&with(REQUEST, name, values)), Err(violation), "{name}: {values:?}");
}

fn takes(name: &str, values: &[&[u8]]) {
    assert!(asked(&with(REQUEST, name, values)).is_ok(), "{name}: {values:?}");
}

/// What a client that offered `chat`, `superchat` and `extensions` makes of a response.
fn answered(
    status: u16,
    version: Version,
    fields: &Fields<'_>,
    extensions: &[Arc<dyn Negotiate>],
) -> Result<Agreed, HandshakeFailure> {
    let connect = Connect::new("server.example.com", "/chat").protocols(&["chat", "superchat"]);
    let expected = write_request(&mut Vec::new(), &connect.extensions(extensions), NONCE);
    let start =
        StartLine::Response { status: Status::new(status).unwrap_or(Status::OK), reason: (0, 0), version };
    let expected = expected.map_err(|_| HandshakeFailure::Status(0))?;
    with_head(start, fields, |head| check_response(head, &expected).map(|opened| opened.agreed))
}

fn fails(name: &str, values: &[&[u8]], failure: HandshakeFailure) {
    let fields = with(RESPONSE, name, values);
    assert_eq!(answered(101, Version::Http11, &fields, &known()), Err(failure), "{name}: {values:?}");
}

fn agrees(name: &str, values: &[&[u8]], reserved_bits: u8) {
    let fields = with(RESPONSE, name, values);
    let agreed = Agreed { reserved_bits, whole_messages: true };
    assert_eq!(answered(101, Version::Http11, &fields, &known()), Ok(agreed), "{name}: {values:?}");
}

#[test]
fn the_key_of_the_rfc_has_the_answer_of_the_rfc() {
    assert_eq!(&accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    let key: [u8; 24] = base64_of(&NONCE);
    assert_eq!(&key, b"dGhlIHNhbXBsZSBub25jZQ==");
}

#[test]
fn the_request_of_the_rfc_is_an_opening() {
    let protocols = vec!["chat".into(), "superchat".into()];
    assert_eq!(asked(&owned(REQUEST)), Ok((protocols, vec![])));
}

#[test]
fn only_a_get_of_http_1_1_is_an_opening() {
    let fields = owned(REQUEST);
    let check = |method, version, asks, violation| {
        with_head(get(method, version), &fields, |head| {
            assert_eq!(is_opening(head), asks, "{method:?} {version:?}");
            assert_eq!(check_request(head).err(), violation, "{method:?} {version:?}");
        });
    };
    check(Method::Get, Version::Http11, true, None);
    check(Method::Get, Version::Http10, false, Some(Violation::Opening));
    for method in [Method::Head, Method::Post, Method::Connect, Method::Options, Method::Other] {
        check(method, Version::Http11, true, Some(Violation::Opening));
    }
}

#[test]
fn a_request_without_upgrade_to_websocket_is_another_one() {
    for values in [NO_LINE, &[b""], &[b"h2c"], &[b"websockets"], &[b"websocket/13"], &[b"web socket"]] {
        let fields = with(REQUEST, "Upgrade", values);
        with_head(get(Method::Get, Version::Http11), &fields, |head| {
            assert!(!is_opening(head), "{values:?}")
        });
        refuses("Upgrade", values, Violation::Opening);
    }
    for values in [&[&b"WebSocket"[..]][..], &[b"h2c, websocket"], &[b"h2c", b"WEBSOCKET"]] {
        takes("Upgrade", values);
    }
}

#[test]
fn connection_must_list_upgrade() {
    for values in [NO_LINE, &[b""], &[b"keep-alive"], &[b"upgraded"], &[b"up grade"]] {
        refuses("Connection", values, Violation::Opening);
    }
    for values in [&[&b"keep-alive, Upgrade"[..]][..], &[b"keep-alive", b"UPGRADE"], &[b"upgrade,"]] {
        takes("Connection", values);
    }
}

#[test]
fn the_version_must_be_13_once() {
    let repeated: &[&[u8]] = &[b"13", b"13"];
    refuses("Sec-WebSocket-Version", &[], Violation::OpeningVersion);
    refuses("Sec-WebSocket-Version", repeated, Violation::OpeningVersion);
    for value in ["", "8", "1", "3", "013", "13.0", "130", "+13", "13, 8", "0", "255"] {
        refuses("Sec-WebSocket-Version", &[value.as_bytes()], Violation::OpeningVersion);
    }
}

#[test]
fn the_key_must_be_16_bytes_in_canonical_base64_once() {
    let good: &[u8] = b"dGhlIHNhbXBsZSBub25jZQ==";
    refuses("Sec-WebSocket-Key", &[], Violation::Opening);
    refuses("Sec-WebSocket-Key", &[good, good], Violation::Opening);
    for cut in 0..good.len() {
        refuses("Sec-WebSocket-Key", &[&good[..cut]], Violation::Opening);
        refuses("Sec-WebSocket-Key", &[&good[cut + 1..]], Violation::Opening);
    }
    for bad in [
        "dGhlIHNhbXBsZSBub25jZR==",
        "dGhlIHNhbXBsZSBub25jZQ==A",
        "dGhlIHNhbXBsZSBub25jZQAA",
        "dGhlIHNhbXBsZSBub25jZQA=",
        "dGhlIHNhbXBsZSBub25jZQ=, ",
        "dGhlIHNhbXBsZSBub25jZ===",
        "dGhlIHNhbXBsZSBub25j ZQ=",
        "dGhlIHNhbXBsZSBub25j-_==",
    ] {
        refuses("Sec-WebSocket-Key", &[bad.as_bytes()], Violation::Opening);
    }
    for nonce in [[0; 16], [0xff; 16], *b"\xfb\xff\xbe0123456789abc"] {
        let key: [u8; 24] = base64_of(&nonce);
        takes("Sec-WebSocket-Key", &[&key]);
    }
}

#[test]
fn a_key_with_any_other_byte_is_refused_or_another_key() {
    let good: [u8; 24] = base64_of(&NONCE);
    for at in 0..good.len() {
        for byte in 0..=u8::MAX {
            let mut key = good;
            key[at] = byte;
            // Of the last digit only two bits count, and the others are zero.
            let digit = byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
            let fits = match at {
                0..21 => digit,
                21 => b"AQgw".contains(&byte),
                _ => byte == b'=',
            };
            assert_eq!(asked(&with(REQUEST, "Sec-WebSocket-Key", &[&key])).is_ok(), fits, "{at} {byte}");
        }
    }
}

#[test]
fn subprotocols_are_unique_tokens_in_the_order_of_the_client() {
    let check = |values: &[&[u8]], expected: &[&str]| {
        let asked = asked(&with(REQUEST, "Sec-WebSocket-Protocol", values)).map(|(protocols, _)| protocols);
        assert_eq!(asked, Ok(expected.iter().copied().map(String::from).collect()), "{values:?}");
    };
    check(&[], &[]);
    check(&[b"b", b"a"], &["b", "a"]);
    check(&[b"v2.chat,v1.chat", b"\tx , "], &["v2.chat", "v1.chat", "x"]);
    check(&[b"chat, Chat"], &["chat", "Chat"]);
    check(&[b"", b"a"], &["a"]);
    for empty in [ONE_EMPTY, &[b"", b""]] {
        check(empty, &[]);
    }
    for values in [
        &[&b","[..]][..],
        &[b"a, a"],
        &[b"a", b"b, a"],
        &[b"a b"],
        &[b"a;b"],
        &[b"\"a\""],
        &[b"a/b"],
        &[b"a\xff"],
        &["é".as_bytes()],
        &[b"a", b"\0"],
    ] {
        refuses("Sec-WebSocket-Protocol", values, Violation::Opening);
    }
    for (count, fits) in [(PROTOCOLS_MAX, true), (PROTOCOLS_MAX + 1, false)] {
        let names: Vec<_> = (0..count).map(|index| alloc::format!("p{index}")).collect();
        let asked = asked(&with(REQUEST, "Sec-WebSocket-Protocol", &[names.join(",").as_bytes()]));
        assert_eq!(asked.is_ok(), fits, "{count}");
    }
}

#[test]
fn a_server_selects_what_the_client_likes_best() {
    with_head(get(Method::Get, Version::Http11), &owned(REQUEST), |head| {
        let check = |known: &[&str], expected| {
            assert_eq!(check_request(head).map(|opening| opening.select(known)), Ok(expected), "{known:?}");
        };
        check(&["superchat", "chat"], Some("chat"));
        check(&["superchat"], Some("superchat"));
        check(&["Chat"], None);
        check(&[], None);
    });
}

#[test]
fn offered_extensions_may_be_spread_and_must_be_of_the_grammar() {
    let check = |values: &[&[u8]], expected: &[&str]| {
        let asked =
            asked(&with(REQUEST, "Sec-WebSocket-Extensions", values)).map(|(_, extensions)| extensions);
        assert_eq!(asked, Ok(expected.iter().copied().map(String::from).collect()), "{values:?}");
    };
    check(&[], &[]);
    check(&[b"foo", b"bar; baz=2"], &["foo", "bar; baz=2"]);
    check(&[b"foo, bar; baz=\"2\""], &["foo", "bar; baz=2"]);
    for empty in [ONE_EMPTY, &[b"", b""]] {
        check(empty, &[]);
    }
    for values in [&[&b","[..]][..], &[b"a;"], &[b"a", b";b"], &[b"a;b=\"", b"\""], &[b"a\xff"]] {
        refuses("Sec-WebSocket-Extensions", values, Violation::Opening);
    }
}

#[test]
fn an_opening_has_no_content() {
    takes("Content-Length", &[b"0"]);
    refuses("Content-Length", &[b"1"], Violation::Opening);
    refuses("Transfer-Encoding", &[b"chunked"], Violation::Opening);
}

#[test]
fn each_field_without_its_line_its_end_or_a_byte_is_never_taken_for_another_agreement() {
    let whole = asked(&owned(REQUEST));
    for (name, value) in REQUEST {
        for at in 0..value.len() {
            let cut = asked(&with(REQUEST, name, &[&value.as_bytes()[..at]]));
            let without = [&value.as_bytes()[..at], &value.as_bytes()[at + 1..]].concat();
            let without = asked(&with(REQUEST, name, &[&without]));
            match *name {
                "Host" | "Origin" => assert_eq!((&cut, &without), (&whole, &whole)),
                "Sec-WebSocket-Protocol" => {
                    assert!(cut != whole && (without != whole || &value[at..=at] == " "))
                }
                _ => assert!(cut.is_err() && without.is_err(), "{name} {at}"),
            }
        }
    }
}

/// What a server writes when it accepts the example of the RFC with these extensions offered.
fn written(offered: &[&[u8]], accept: &Accept<'_>) -> Result<(String, Agreed), Refused> {
    let fields = with(REQUEST, "Sec-WebSocket-Extensions", offered);
    with_head(get(Method::Get, Version::Http11), &fields, |head| {
        let mut out = b"before".to_vec();
        let result = super::accept(&mut out, head, accept);
        let text = String::from_utf8(out).unwrap_or_default();
        let text = text.strip_prefix("before").map(String::from).unwrap_or_default();
        assert!(result.is_ok() || text.is_empty());
        Ok((text, result?.agreed))
    })
}

#[test]
fn a_server_accepts_with_what_the_application_chose() {
    let check = |offered: &[&[u8]], accept: &Accept<'_>, end: &str, reserved_bits, whole_messages| {
        let start = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
        let text = [start, end, "\r\n"].concat();
        assert_eq!(written(offered, accept), Ok((text, Agreed { reserved_bits, whole_messages })));
    };
    let known = known();
    check(&[], &Accept::new(), "", 0, true);
    check(&[b"x"], &Accept::new().streamed(), "", 0, false);
    check(&[], &Accept::new().protocol("superchat"), "Sec-WebSocket-Protocol: superchat\r\n", 0, true);
    let fields = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")];
    check(&[], &Accept::new().fields(&fields), "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n", 0, true);
    let accept = Accept::new().extensions(&known);
    check(&[b"q"], &accept, "", 0, true);
    check(&[b"x; c, y", b"x; a"], &accept, "Sec-WebSocket-Extensions: y, x; a\r\n", 0x60, true);
}

#[test]
fn what_a_server_may_not_write_is_not_written() {
    let refused = |accept: &Accept<'_>| written(&[], accept).map(|(text, _)| text);
    for protocol in ["", "other", "Chat", "chat, superchat", "chat\r\nX: y"] {
        let refused = refused(&Accept::new().protocol(protocol));
        assert_eq!(refused, Err(Refused::Caller(Misuse::Subprotocol)), "{protocol:?}");
    }
    for field in [("", ""), ("a b", ""), ("a:", ""), ("a", "b\r\nc"), ("a", "b\nc"), ("a", "\0"), ("é", "")]
    {
        let refused = refused(&Accept::new().fields(&[field]));
        assert_eq!(refused, Err(Refused::Caller(Misuse::Field)), "{field:?}");
    }
    for name in [
        "upgrade",
        "Connection",
        "Content-Length",
        "transfer-encoding",
        "Sec-WebSocket-Accept",
        "SEC-WEBSOCKET-X",
    ] {
        let refused = refused(&Accept::new().fields(&[(name, "x")]));
        assert_eq!(refused, Err(Refused::Caller(Misuse::ManagedField)), "{name}");
    }
    let violation = Refused::Peer(Violation::Opening);
    assert_eq!(written(&[b"a;"], &Accept::new()).map(|(text, _)| text), Err(violation));
}

#[test]
fn a_client_writes_the_request_of_the_rfc() {
    let connect = Connect::new("server.example.com", "/chat?room=1").protocols(&["chat", "superchat"]);
    let known = known();
    let connect = connect.origin("http://example.com").fields(&[("Cookie", "a=1")]).extensions(&known[..1]);
    let mut out = Vec::new();
    assert!(write_request(&mut out, &connect, NONCE).is_ok());
    let expected = "GET /chat?room=1 HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
                    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://example.com\r\n\
                    Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Extensions: x; b=1, x\r\n\
                    Cookie: a=1\r\n\r\n";
    assert_eq!(String::from_utf8(out).as_deref(), Ok(expected));
}

#[test]
fn what_a_client_may_not_write_is_not_written() {
    let check = |connect: Connect<'_>, misuse| {
        let mut out = Vec::new();
        assert_eq!(write_request(&mut out, &connect, NONCE).err(), Some(misuse), "{connect:?}");
        assert!(out.is_empty());
    };
    for target in ["", "chat", "*", "http://a/", "/a b", "/a#b", "/é", "/a\r\nb"] {
        check(Connect::new("a", target), Misuse::StartLine);
    }
    for host in ["", "a b", "a/b", "a@b", "a\r\nb", ":80", "a:b", "é"] {
        check(Connect::new(host, "/"), Misuse::Field);
    }
    let protocols: [&[&str]; 4] = [&[""], &["a", "a"], &["a b"], &["a,b"]];
    for protocols in protocols {
        check(Connect::new("a", "/").protocols(protocols), Misuse::Field);
    }
    check(Connect::new("a", "/").origin("a\nb"), Misuse::Field);
    check(Connect::new("a", "/").fields(&[("a", "b\rc")]), Misuse::Field);
    check(Connect::new("a", "/").fields(&[("host", "b")]), Misuse::ManagedField);
    check(Connect::new("a", "/").fields(&[("Sec-WebSocket-Key", "b")]), Misuse::ManagedField);
}

#[test]
fn the_response_of_the_rfc_is_an_agreement() {
    agrees("X", &[], 0);
    agrees("Upgrade", &[b"WebSocket"], 0);
    agrees("Connection", &[b"keep-alive, upgrade"], 0);
    agrees("Sec-WebSocket-Protocol", &[], 0);
    agrees("Sec-WebSocket-Protocol", &[b"superchat"], 0);
    agrees("Sec-WebSocket-Extensions", &[b"y, x; a=1"], 0x60);
}

#[test]
fn the_status_is_looked_at_first() {
    for status in [100, 200, 301, 401, 404, 426, 503] {
        let failure = Err(HandshakeFailure::Status(status));
        assert_eq!(answered(status, Version::Http11, &owned(RESPONSE), &[]), failure);
        assert_eq!(answered(status, Version::Http10, &vec![], &[]), failure);
    }
    let failure = Err(HandshakeFailure::Upgrade);
    assert_eq!(answered(101, Version::Http10, &owned(RESPONSE), &[]), failure);
}

#[test]
fn a_response_that_breaks_a_rule_fails_by_its_name() {
    let accept: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    for values in [NO_LINE, &[b""], &[b"h2c"], &[b"websocket, h2c"], &[b"websocket", b"websocket"]] {
        fails("Upgrade", values, HandshakeFailure::Upgrade);
    }
    for values in [NO_LINE, &[b""], &[b"close"], &[b"upgrades"]] {
        fails("Connection", values, HandshakeFailure::Connection);
    }
    fails("Sec-WebSocket-Accept", &[], HandshakeFailure::Accept);
    fails("Sec-WebSocket-Accept", &[accept, accept], HandshakeFailure::Accept);
    for values in [ONE_EMPTY, &[b"other"], &[b"Chat"], &[b"chat, superchat"], &[b"chat", b"chat"], &[b"\xff"]]
    {
        fails("Sec-WebSocket-Protocol", values, HandshakeFailure::Protocol);
    }
    for values in [
        ONE_EMPTY,
        &[b"other"],
        &[b"x;"],
        &[b"x; c"],
        &[b"x, x"],
        &[b"x, z"],
        &[b"x", b"y"],
        &[b"quiet"],
        &[b"x\xff"],
    ] {
        fails("Sec-WebSocket-Extensions", values, HandshakeFailure::Extension);
    }
    let extended = with(RESPONSE, "Sec-WebSocket-Extensions", &[b"x"]);
    assert_eq!(answered(101, Version::Http11, &extended, &[]), Err(HandshakeFailure::Extension));
}

#[test]
fn a_response_with_any_other_byte_or_a_cut_value_fails() {
    for (name, value) in RESPONSE {
        for at in 0..value.len() {
            let mut mutated = value.as_bytes().to_vec();
            mutated[at] ^= 1;
            for value in [&value.as_bytes()[..at], &mutated] {
                let answer = answered(101, Version::Http11, &with(RESPONSE, name, &[value]), &[]);
                assert!(answer.is_err(), "{name}: {value:?}");
            }
        }
    }
}

#[test]
fn a_client_that_offers_no_subprotocol_takes_none() -> Result<(), Misuse> {
    let expected = write_request(&mut Vec::new(), &Connect::new("a", "/").streamed(), NONCE)?;
    let check = |fields: &Fields<'_>, agreed| {
        let start = StartLine::Response {
            status: Status::new(101).unwrap_or(Status::OK),
            reason: (0, 0),
            version: Version::Http11,
        };
        assert_eq!(
            with_head(start, fields, |head| check_response(head, &expected).map(|opened| opened.agreed)),
            agreed
        );
    };
    check(&owned(RESPONSE), Err(HandshakeFailure::Protocol));
    let agreed = Agreed { reserved_bits: 0, whole_messages: false };
    check(&with(RESPONSE, "Sec-WebSocket-Protocol", &[]), Ok(agreed));
    Ok(())
}
