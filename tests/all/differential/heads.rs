//! Heads and chunked content, against `httparse`. What we take it must take, with the same parts; we may refuse more, for reasons that are listed.

use crate::support::{defaults, served};
use lws_proto::{Cause, Payload, Request, Violation};
use tests::application::{NO_FIELDS, Silent};
use tests::endpoint::Buffer;
use tests::{Endpoint, Octets, Random, Seen};

/// Pieces of requests, good ones and bad ones. Not HTTP/1.2: that we take for 1.1, as RFC 9110 §2.5 asks, and `httparse` does not.
const METHODS: &[&str] = &["GET", "POST", "HEAD", "BREW", "get", "G T", "", "G\u{e9}T", "OPTIONS", "A-B_c"];
const TARGETS: &[&str] =
    &["/", "/a?b", "*", "http://a/b", "a", "/a b", "/\u{e9}", "/\x7f", "", "/a#b", "//", "/%zz"];
const VERSIONS: &[&str] = &["HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "http/1.1", "HTTP/1", ""];
const ENDS: &[&str] = &["\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r", "\r\r\n"];
const NAMES: &[&str] = &[
    "Host",
    "X",
    "Accept-Language",
    "content-length",
    "A b",
    "",
    "X\u{e9}",
    "x!#$%&'*+-.^_`|~",
    "X\0",
    "Transfer-Encoding",
];
const VALUES: &[&str] = &[
    "a", "", " a ", "\ta\t", "5", "chunked", "\u{e9}", "a\0b", "a\x7fb", "a b c", "\x01", "x, y", "a\x0bb",
    "0",
];

/// Mostly the first, so that many inputs are right in all but one place.
fn piece<'a>(random: &mut Random, pieces: &[&'a str]) -> &'a str {
    if random.one_in(6) { pieces[random.below(pieces.len())] } else { pieces[0] }
}

fn end<'a>(random: &mut Random) -> &'a str {
    if random.one_in(20) { ENDS[random.below(ENDS.len())] } else { "\r\n" }
}

fn fields(random: &mut Random, text: &mut String) {
    for _ in 0..random.below(4) {
        let colon = if random.one_in(20) { [" :", "", "::"][random.below(3)] } else { ":" };
        let name = NAMES[random.below(NAMES.len())];
        let value = VALUES[random.below(VALUES.len())];
        let space = ["", " ", "\t ", "\r\n "][if random.one_in(30) { 3 } else { random.below(3) }];
        *text += name;
        *text += colon;
        *text += space;
        *text += value;
        *text += end(random);
    }
    *text += end(random);
}

fn request(random: &mut Random) -> String {
    let space = |random: &mut Random| if random.one_in(30) { "  " } else { " " };
    let mut text = String::new();
    text += piece(random, METHODS);
    text += space(random);
    text += piece(random, TARGETS);
    text += space(random);
    text += piece(random, VERSIONS);
    text += end(random);
    if !random.one_in(8) {
        text += "Host: a\r\n";
    }
    fields(random, &mut text);
    text
}

/// Why we refuse what `httparse` takes. RFC 9112 allows each, or demands it.
const STRICTER: &[Violation] = &[
    // It takes a bare LF for the end of a line, and skips empty lines of every kind.
    Violation::BareLineEnd,
    // It does not look at the meaning: forms of targets, hosts, framing and expectations.
    Violation::Target,
    Violation::Host,
    Violation::ContentLength,
    Violation::TransferEncoding,
    Violation::TransferCoding,
    Violation::TwoFramings,
    Violation::LengthRequired,
    // It takes targets and reasons with bytes that are not visible ASCII, and two spaces where there is no target between.
    Violation::RequestLine,
    Violation::StatusLine,
];

fn parts(headers: &[httparse::Header<'_>]) -> Vec<(String, Octets)> {
    headers.iter().map(|line| (line.name.to_ascii_lowercase(), line.value.into())).collect()
}

#[test]
fn requests() {
    let (mut both, mut neither, mut stricter) = (0, 0, 0);
    for seed in 0..4_000 {
        let text = request(&mut Random::new(seed));
        let mut headers = [httparse::EMPTY_HEADER; 100];
        let mut theirs = httparse::Request::new(&mut headers);
        let parsed = theirs.parse(text.as_bytes());
        let mut server = Endpoint::server(defaults(), Silent);
        server.receive(text.as_bytes(), Buffer::Lent);
        let context = || format!("seed {seed}: {}", text.escape_debug());
        match (server.seen.0.first(), parsed) {
            (Some(Seen::Request { method, target, fields, .. }), Ok(httparse::Status::Complete(_))) => {
                both += 1;
                assert_eq!(Some(&method[..]), theirs.method, "{}", context());
                assert_eq!(Some(&target[..]), theirs.path, "{}", context());
                assert_eq!(*fields, parts(theirs.headers), "{}", context());
            }
            (Some(Seen::Closed(_)), Err(_)) => neither += 1,
            // We look at the field lines of a section that is cut when its last line has come.
            (None, Ok(httparse::Status::Partial) | Err(_)) => {}
            (Some(Seen::Closed(Cause::Violation(violation))), Ok(_)) => {
                stricter += 1;
                // What it still waits for may have been decided by a byte that it has not looked at.
                assert!(STRICTER.contains(violation), "{violation:?}, {}", context());
            }
            (ours, theirs) => panic!("{ours:?}, but {theirs:?}, {}", context()),
        }
    }
    assert!(both > 500 && neither > 500 && stricter > 200, "{both} {neither} {stricter}");
}

#[test]
fn responses() {
    let codes: &[&str] = &["200", "404", "999", "20", "2000", "2x0", ""];
    let reasons: &[&str] = &[" OK", " ", "", " a b", " \u{e9}", " a\0", "OK"];
    let (mut both, mut neither) = (0, 0);
    for seed in 0..4_000 {
        let mut random = Random::new(seed);
        let mut text = String::new();
        text += piece(&mut random, VERSIONS);
        text += if random.one_in(30) { "  " } else { " " };
        text += piece(&mut random, codes);
        text += piece(&mut random, reasons);
        text += end(&mut random);
        fields(&mut random, &mut text);
        let mut headers = [httparse::EMPTY_HEADER; 100];
        let mut theirs = httparse::Response::new(&mut headers);
        let parsed = theirs.parse(text.as_bytes());
        let mut client = Endpoint::client(defaults(), Silent);
        let request = Request::get("a", "/");
        client
            .connection
            .request(client.now, &request, NO_FIELDS, Payload::Static(b""), true)
            .expect("a request");
        client.settle();
        client.receive(text.as_bytes(), Buffer::Lent);
        let context = || format!("seed {seed}: {}", text.escape_debug());
        match (client.seen.0.first(), parsed) {
            (Some(Seen::Response { status, fields, .. }), Ok(httparse::Status::Complete(_))) => {
                both += 1;
                assert_eq!(Some(*status), theirs.code, "{}", context());
                assert_eq!(*fields, parts(theirs.headers), "{}", context());
            }
            (Some(Seen::Closed(_)), Err(_)) => neither += 1,
            // We look at the field lines of a section that is cut when its last line has come.
            (None, Ok(httparse::Status::Partial) | Err(_)) => {}
            (Some(Seen::Closed(Cause::Violation(violation))), Ok(_)) => {
                assert!(STRICTER.contains(violation), "{violation:?}, {}", context());
            }
            (ours, theirs) => panic!("{ours:?}, but {theirs:?}, {}", context()),
        }
    }
    assert!(both > 500 && neither > 500, "{both} {neither}");
}

/// Content of a chunked body by `httparse`, and whether it is complete; `None` if it refuses.
fn dechunked(mut body: &[u8]) -> Option<(Vec<u8>, bool)> {
    let mut content = Vec::new();
    loop {
        match httparse::parse_chunk_size(body) {
            Ok(httparse::Status::Complete((_, 0))) => return Some((content, true)),
            Ok(httparse::Status::Complete((at, size))) => {
                body = &body[at..];
                let len = usize::try_from(size).unwrap_or(usize::MAX).min(body.len());
                content.extend_from_slice(&body[..len]);
                body = &body[len..];
                match body {
                    [] | [b'\r'] => return Some((content, false)),
                    [b'\r', b'\n', rest @ ..] => body = rest,
                    _ => return None,
                }
            }
            Ok(httparse::Status::Partial) => return Some((content, false)),
            Err(_) => return None,
        }
    }
}

#[test]
fn chunks() {
    let sizes: &[&str] =
        &["5", "0", "1", "a", "F", "05", "", "g", "+1", "10000000000000000", " 1", "5 ", "5\t"];
    let extensions: &[&str] = &["", ";a", ";a=\"b\"", " ;a", ";", ";a\n", " x"];
    let (mut both, mut neither) = (0, 0);
    for seed in 0..1_500 {
        let mut random = Random::new(seed);
        let mut body = Vec::new();
        for _ in 0..1 + random.below(3) {
            let size = if random.one_in(3) { sizes[random.below(sizes.len())] } else { "5" };
            let extension = if random.one_in(4) { extensions[random.below(extensions.len())] } else { "" };
            let len = usize::from_str_radix(size.trim(), 16).unwrap_or(1).min(20);
            let data = &b"0123456789abcdefghij"[..len];
            body.extend(
                [
                    size.as_bytes(),
                    extension.as_bytes(),
                    end(&mut random).as_bytes(),
                    data,
                    end(&mut random).as_bytes(),
                ]
                .concat(),
            );
        }
        body.extend_from_slice(b"0\r\n\r\n");
        let input = [b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", &body[..]].concat();
        let delivered = served(&input);
        let context = || format!("seed {seed}: {}", body.escape_ascii());
        let content = delivered.seen.contents().into_iter().next().unwrap_or_default().0;
        let complete = delivered.seen.count(|seen| matches!(seen, Seen::Body { end: true, .. })) > 0;
        match (delivered.seen.causes().first(), dechunked(&body)) {
            (Some(Cause::Complete) | None, Some((theirs, ended))) => {
                both += 1;
                assert_eq!(Octets(content), Octets(theirs), "{}", context());
                assert_eq!(complete, ended, "{}", context());
            }
            (Some(Cause::Violation(_)), None) => neither += 1,
            // A bare CR or LF in an extension, white space without one, and what follows the last chunk.
            (
                Some(Cause::Violation(Violation::Chunk | Violation::Trailer | Violation::BareLineEnd)),
                Some(_),
            ) => {}
            (ours, theirs) => panic!("{ours:?}, but {theirs:?}, {}", context()),
        }
    }
    assert!(both > 200 && neither > 100, "{both} {neither}");
}
