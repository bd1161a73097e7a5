//! Starting HTTP/2 with Upgrade. RFC 7540 §3.2.

use crate::rfc9113::{Reaction, code, deliver};
use crate::support;
use lws_proto::{Config, Versions};
use std::sync::Arc;
use tests::application::Each;
use tests::endpoint::Buffer;
use tests::h2::{self, PREFACE, SentFrame, setting};
use tests::{Delivered, Endpoint, Octets, Seen, deliver_to_end};

const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";

/// A configuration that allows the upgrade.
fn allowed() -> Arc<Config> {
    Arc::new(Config { upgrade_to_http2: true, ..Config::default() })
}

/// A request with these fields more.
fn asks(fields: &str) -> String {
    format!("GET /first HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

/// The fields that ask for HTTP/2, with settings as their payload is written.
fn upgrade(settings: &str) -> String {
    asks(&format!("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: {settings}\r\n"))
}

/// The frames of a server after its 101.
fn upgraded(input: &[u8]) -> Reaction {
    let make = || Endpoint::http2_server(allowed(), Each::echo());
    let whole = deliver_to_end(make, input, false);
    let rest = whole.sent.0.strip_prefix(ANSWER.as_bytes());
    let rest = rest.unwrap_or_else(|| panic!("not upgraded: {:?}", whole.sent)).to_vec();
    Reaction::of(Delivered { sent: Octets(rest), ..whole })
}

/// RFC 7540 §3.2: "A server that supports HTTP/2 accepts the upgrade with a 101 (Switching Protocols) response. After the empty line that terminates the 101
/// response, the server can begin sending HTTP/2 frames. These frames MUST include a response to the request that initiated the upgrade."
/// "The HTTP/1.1 request that is sent prior to upgrade is assigned a stream identifier of 1 ... Stream 1 is implicitly "half-closed" from the
/// client toward the server."
#[test]
fn a_request_that_asks_is_the_first_stream() {
    let begins = [&PREFACE[..], &h2::settings(&[]), &h2::settings_ack()].concat();
    let reaction = upgraded(&[upgrade("").as_bytes(), &begins].concat());
    assert!(matches!(reaction.sent_frames[0], SentFrame::Settings(_)), "{:?}", reaction.sent_frames);
    assert_eq!(reaction.status(1), Some(200));
    assert!(h2::ended(&reaction.sent_frames, 1));
    assert!(
        matches!(&reaction.delivered.seen.0[0], Seen::Request { method, target, end: true, .. }
        if method == "GET" && target == "/first"),
        "{:?}",
        reaction.delivered.seen
    );
    // And then others.
    let reaction = upgraded(&[upgrade("").as_bytes(), &begins, &h2::get(3), &h2::get(5)].concat());
    assert_eq!([1, 3, 5].map(|stream| reaction.status(stream)), [Some(200); 3]);
    // "Stream identifier 1 cannot be selected as a new stream identifier by an HTTP/1.1 client that upgraded." RFC 7540 §5.1.1.
    let reaction = upgraded(&[upgrade("").as_bytes(), &begins, &h2::get(1)].concat());
    assert_eq!(h2::go_aways(&reaction.sent_frames), [(1, code::STREAM_CLOSED)]);
}

/// RFC 7540 §3.2: "Upon receiving the 101 response, the client MUST send a connection preface, which includes a SETTINGS frame."
#[test]
fn the_client_says_its_preface_all_the_same() {
    let reaction = upgraded(&[upgrade("").as_bytes(), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
    assert_eq!(h2::go_aways(&reaction.sent_frames), [(1, code::PROTOCOL_ERROR)]);
}

/// RFC 7540 §3.2.1: "The content of the HTTP2-Settings header field is the payload of a SETTINGS frame, encoded as a base64url string (that is, the URL- and
/// filename-safe Base64 encoding described in Section 5 of RFC 4648, with any trailing '=' characters omitted)." "A server decodes and interprets
/// these values as it would any other SETTINGS frame."
#[test]
fn the_settings_of_the_request_count() {
    // INITIAL_WINDOW_SIZE 0: the response has no window until a window update.
    let input = upgrade("AAQAAAAA").replace("GET /first", "GET /");
    let app = || tests::application::Answer::with("content");
    let make = || Endpoint::http2_server(allowed(), app());
    let sent = |more: &[u8]| {
        let whole =
            deliver_to_end(make, &[input.as_bytes(), PREFACE, &h2::settings(&[]), more].concat(), false);
        let rest = whole.sent.0.strip_prefix(ANSWER.as_bytes()).expect("an upgrade").to_vec();
        let sent_frames = h2::Reader::default().read(&rest);
        h2::answer(&sent_frames, 1).expect("a head").1
    };
    assert_eq!(sent(&[]), Octets::default());
    assert_eq!(sent(&h2::window_update(1, 3)), "con".into());
    assert_eq!(sent(&h2::settings(&[(setting::INITIAL_WINDOW_SIZE, 65_535)])), "content".into());
}

/// RFC 7540 §3.2.1: "A server MUST NOT upgrade the connection to HTTP/2 if this header field is not present or if more than one is present." §3.2: "A server MUST
/// ignore an "h2" token in an Upgrade header field." A request that asks badly is answered in HTTP/1.1.
#[test]
fn a_request_that_asks_badly_is_answered_in_http_1_1() {
    let fields = |connection: &str, upgrade: &str, settings: &[&str]| {
        let settings: String = settings.iter().map(|value| format!("HTTP2-Settings: {value}\r\n")).collect();
        asks(&format!("Connection: {connection}\r\nUpgrade: {upgrade}\r\n{settings}"))
    };
    let both = "Upgrade, HTTP2-Settings";
    let requests = [
        fields(both, "h2c", &[]),
        fields(both, "h2c", &["", ""]),
        fields(both, "h2", &[""]),
        fields("Upgrade", "h2c", &[""]),
        fields("HTTP2-Settings", "h2c", &[""]),
        // Not base64url, and not a whole number of settings.
        fields(both, "h2c", &["AAQAAAA*"]),
        fields(both, "h2c", &["AAQAAAA+"]),
        fields(both, "h2c", &["AAQA"]),
        // A setting that cannot be: an initial window of 2^31.
        fields(both, "h2c", &["AASAAAAA"]),
    ];
    for request in requests {
        let delivered =
            deliver_to_end(|| Endpoint::server(allowed(), Each::echo()), request.as_bytes(), false);
        assert!(delivered.sent.0.starts_with(b"HTTP/1.1 200 "), "{request}: {:?}", delivered.sent);
        assert!(!delivered.over, "{request}");
    }
}

/// Ours: a request with content is answered in HTTP/1.1, as the RFC allows ("A server that does not support HTTP/2 can respond to the request as though the Upgrade
/// header field were absent"), and so is every one where HTTP/2 is switched off, or
/// where the client has not asked for the upgrade.
#[test]
fn an_upgrade_is_an_offer_that_may_be_left() {
    let with_content =
        upgrade("").replace("GET", "POST").replace("\r\n\r\n", "\r\nContent-Length: 2\r\n\r\nhi");
    let delivered =
        deliver_to_end(|| Endpoint::server(allowed(), Each::echo()), with_content.as_bytes(), false);
    assert!(delivered.sent.0.starts_with(b"HTTP/1.1 200 "), "{:?}", delivered.sent);
    let http1 = Config { versions: Versions::Http1, upgrade_to_http2: true, ..Config::default() };
    for config in [Arc::new(http1), support::defaults()] {
        let make = || Endpoint::server(Arc::clone(&config), Each::echo());
        let behind = [upgrade("").as_bytes(), b"GET /second HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
        let delivered = deliver_to_end(make, &behind, false);
        let codes = support::codes(&delivered);
        assert_eq!(codes, [200, 200], "{:?}", delivered.sent);
    }
}

/// The frames of each stream are the same, whatever the order of the streams.
#[test]
fn an_upgrade_behind_a_request_of_http_1_1() {
    let first = "GET /zero HTTP/1.1\r\nHost: a\r\n\r\n";
    let input = [first.as_bytes(), upgrade("").as_bytes(), PREFACE, &h2::settings(&[]), &h2::get(3)].concat();
    let make = || Endpoint::http2_server(allowed(), Each::echo());
    let delivered = deliver_to_end(make, &input, false);
    assert_eq!(delivered.seen.causes().len(), 3, "{:?}", delivered.seen);
    let _ = deliver(|| Endpoint::http2_server(allowed(), Each::echo()), &h2::client_begins(&[]));
}

/// Our own: curl takes no more than 32 KiB behind the head of the 101, so most of a large response waits for the
/// client's connection preface.
#[test]
fn most_of_a_response_waits_for_the_preface() {
    let app = || tests::application::Answer { content: vec![b'x'; 200_000].into(), ..Default::default() };
    let mut server = Endpoint::http2_server(allowed(), Each::of(app));
    server.receive(upgrade("").as_bytes(), Buffer::Lent);
    let sent = server.take_sent();
    assert!(sent.len() < 17_000, "{} bytes", sent.len());
    let mut reader = h2::Reader::default();
    let sent_frames = reader.read(sent.strip_prefix(ANSWER.as_bytes()).expect("101"));
    let content =
        |sent_frames: &[SentFrame]| h2::answer(sent_frames, 1).map_or(0, |(_, content)| content.0.len());
    assert_eq!(content(&sent_frames), 16_384);
    server.receive(&h2::client_begins(&[]), Buffer::Lent);
    let rest: usize = reader
        .read(&server.take_sent())
        .iter()
        .map(|frame| match frame {
            SentFrame::Data { content, .. } => content.0.len(),
            _ => 0,
        })
        .sum();
    assert_eq!(rest, 65_535 - 16_384, "the window of the connection is what it always is");
}
