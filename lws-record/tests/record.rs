//! Records connections, and checks that their replays do not diverge.

use lws_proto::hpack::{Encoder, Indexing};
use lws_proto::http::{Head, Method, Status};
use lws_proto::ws::{Accept, CloseCode, Deflate, Prepared, is_opening};
use lws_proto::{
    Config, Connection, Event, Exchange, Expect, MessageKind, Payload, Request, StreamKey, Time, WebSocket,
    Writable, WriteTicket,
};
use lws_record::{
    Divergence, Ends, Folder, Outcome, Output, Record, Recorder, Redaction, Shared, Tap, Writer, replay,
};
use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Pseudo-random numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

/// An application that uses many calls of the engine.
struct Busy {
    random: Random,
    deflate: Deflate,
    content: HashMap<StreamKey, Vec<u8>>,
    owed: HashMap<StreamKey, Vec<Vec<u8>>>,
    tickets: Vec<WriteTicket>,
    closed: bool,
}

impl Busy {
    fn new(seed: u64) -> Self {
        Self {
            random: Random(seed | 1),
            deflate: Deflate::default().context_takeover(true).threshold(0),
            content: HashMap::new(),
            owed: HashMap::new(),
            tickets: Vec::new(),
            closed: false,
        }
    }

    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Request { stream, head, end } => self.request(stream, &head, end),
            Event::Body { stream, chunk, end } => {
                let content = self.content.entry(stream.key()).or_default();
                content.extend_from_slice(chunk);
                if end {
                    let content = std::mem::take(content);
                    self.respond(stream, &content);
                }
            }
            Event::Message { stream, kind, chunk, end, .. } => {
                let content = self.content.entry(stream.key()).or_default();
                content.extend_from_slice(chunk);
                if end {
                    let content = std::mem::take(content);
                    self.echo(stream, kind, content);
                }
            }
            Event::Raw { stream, chunk, end } => {
                let chunk = chunk.to_vec();
                if let Ok(permit) = stream.permit() {
                    let _ = permit.data(Payload::Own(chunk.into()), end);
                }
            }
            Event::Writable(permit) => self.spend(permit),
            Event::Timeout { mut stream } => stream.resume(),
            Event::Closed { .. } => self.closed = true,
            _ => {}
        }
    }

    fn request(&mut self, mut stream: Exchange<'_>, head: &Head<'_>, end: bool) {
        if is_opening(head) {
            let mut accept = Accept::new().deflate(&self.deflate).fields(&[("Set-Cookie", "session=secret")]);
            if head.fields().any(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-protocol")) {
                accept = accept.protocol("secret.chat");
            }
            let _ = stream.accept_websocket(head, &accept);
        } else if head.method() == Method::Connect {
            let _ = stream.accept_tunnel();
        } else {
            stream.limit_content(1_000_000);
            stream.set_timeout(Some(stream.now() + Duration::from_millis(1)));
            if let Some(hints) = Status::new(103) {
                let _ = stream.interim(hints, [("link", "</x>")]);
            }
            if end {
                self.respond(stream, b"no content");
            }
        }
    }

    fn respond(&mut self, stream: Exchange<'_>, content: &[u8]) {
        let fields = [("content-type", "text/plain"), ("set-cookie", "session=secret; Path=/")];
        let Ok(permit) = stream.permit() else { return };
        match self.random.below(4) {
            0 => {
                let _ = permit.respond(Status::OK, fields, Payload::Copy(content), true);
            }
            1 => {
                let Ok(sent) = permit.respond(Status::OK, fields, Payload::Copy(b"begins "), false) else {
                    return;
                };
                self.owed.entry(sent.key()).or_default().push(content.to_vec());
                sent.again();
            }
            2 => {
                let Ok(sent) = permit.respond(Status::OK, fields, Payload::Static(b""), false) else {
                    return;
                };
                let Ok(permit) = sent.into_stream().permit() else { return };
                let filled = permit.fill(20, |room| {
                    room[..4].copy_from_slice(b"fill");
                    (4, false)
                });
                let Ok(sent) = filled else { return };
                if let Ok(permit) = sent.into_stream().permit() {
                    let _ = permit.trailers([("x-checksum", "1")]);
                }
            }
            _ => {
                let Ok(sent) = permit.respond(Status::OK, fields, Payload::Copy(content), false) else {
                    return;
                };
                if let Ok(permit) = sent.into_stream().permit() {
                    self.tickets.push(permit.into_ticket());
                }
            }
        }
    }

    fn echo(&mut self, mut stream: WebSocket<'_>, kind: MessageKind, content: Vec<u8>) {
        match self.random.below(6) {
            0 => {
                let _ = stream.try_queue(kind, content.into());
            }
            1 => {
                stream.pause();
                stream.set_timeout(Some(stream.now() + Duration::from_millis(2)));
                if let Ok(permit) = stream.permit() {
                    let _ = permit.ping(b"are you there");
                }
            }
            2 => {
                if let Ok(permit) = stream.permit() {
                    let _ = permit.prepared(&Prepared::new(kind, content)).map(lws_proto::Sent::throttle);
                }
            }
            3 => {
                if let Ok(permit) = stream.permit() {
                    let _ = permit.uncompressed_message(kind, Payload::Copy(&content), true);
                }
            }
            4 if content.starts_with(b"bye") => {
                let _ = stream.close(CloseCode::NORMAL, "bye");
            }
            _ => match stream.permit() {
                Ok(permit) => {
                    let _ = permit
                        .message(kind, Payload::Own(content.into()), true)
                        .map(lws_proto::Sent::throttle);
                }
                Err(mut stream) => stream.want_write(),
            },
        }
    }

    fn spend(&mut self, permit: Writable<'_>) {
        let Ok(permit) = permit.into_exchange() else { return };
        let owed = self.owed.get_mut(&permit.key()).and_then(Vec::pop);
        let _ = permit.data(Payload::Own(owed.unwrap_or_default().into()), true);
    }
}

/// A connection with its application and its recorder.
struct Recorded {
    connection: Connection,
    config: Arc<Config>,
    app: Busy,
    file: Shared,
    sent: Vec<u8>,
    now: Time,
}

fn config() -> Config {
    let mut config = Config { expect: Expect::HttpOrRaw, ..Config::default() };
    config.limits.keep_alive_requests_max = 7;
    config
}

impl Recorded {
    fn new(make: impl Fn(Time, Arc<Config>) -> Connection, redaction: Redaction, seed: u64) -> Self {
        let config = Arc::new(config());
        let now = Time::from_micros(5_000_000);
        let (mut connection, file) = (make(now, Arc::clone(&config)), Shared::default());
        connection.record(Box::new(Recorder::new(file.clone(), redaction)));
        Self { connection, config, app: Busy::new(seed), file, sent: Vec::new(), now }
    }

    /// Delivers `input` in parts of at most `part` octets, and takes output in parts of the same size.
    fn deliver(&mut self, input: &[u8], part: usize) {
        let mut at = 0;
        while at < input.len() && !self.connection.interest().close {
            let len = (1 + self.app.random.below(part)).min(input.len() - at);
            let mut bytes = input[at..at + len].to_vec();
            at += len;
            self.now = self.now + Duration::from_micros(300);
            self.config.wall_clock.set(1_700_000_000 + (self.now.as_micros() / 1_000) as u32);
            if self.app.random.below(4) == 0 && self.connection.recv_buf().len() >= len {
                self.connection.recv_buf()[..len].copy_from_slice(&bytes);
                self.connection.received(self.now, len);
            } else {
                let mut feed = self.connection.receive(self.now, &mut bytes);
                while let Some(event) = feed.next_event() {
                    self.app.event(event);
                }
            }
            self.settle(part);
        }
    }

    fn settle(&mut self, part: usize) {
        loop {
            while let Some(event) = self.connection.next_event() {
                self.app.event(event);
            }
            for ticket in std::mem::take(&mut self.app.tickets) {
                match self.connection.redeem(ticket) {
                    Ok(permit) => self.app.spend(permit),
                    Err(_) => continue,
                }
            }
            let Some(transmit) = self.connection.transmit(self.now) else { break };
            let n = transmit.first().len().min(part);
            self.sent.extend_from_slice(&transmit.first()[..n]);
            transmit.commit(n);
        }
        if self.connection.next_timeout().is_some_and(|due| due <= self.now) {
            self.connection.handle_timeout(self.now);
        }
    }

    /// Ends the connection, and replays its record.
    fn replayed(mut self, what: &str) -> (Vec<u8>, Outcome) {
        self.connection.received_eof(self.now);
        self.settle(usize::MAX);
        self.now = self.now + Duration::from_secs(100);
        self.connection.handle_timeout(self.now);
        self.settle(usize::MAX);
        drop(self.connection);
        let written = self.file.take();
        let record = Record::read(&written).expect("a record");
        let outcome = replay(&record, config()).unwrap_or_else(|divergence| panic!("{what}: {divergence}"));
        assert!(!outcome.complete || outcome.sent == self.sent.len() as u64, "{what}: {outcome:?}");
        (written, outcome)
    }
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let [.., a, b, c] = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    [&[a, b, c, kind, flags, 0, 0, 0, stream], payload].concat()
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const OPENING: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nCookie: secret\r\n\
    Sec-WebSocket-Protocol: secret.chat, other\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";

fn message(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let len = u8::try_from(payload.len()).expect("a short message") | 0x80;
    let masked = payload.iter().zip(mask.iter().cycle()).map(|(octet, mask)| octet ^ mask);
    [&[first, len], &mask[..], &masked.collect::<Vec<u8>>()].concat()
}

fn http1() -> Vec<u8> {
    let get = "GET /a HTTP/1.1\r\nHost: a\r\nCookie: secret\r\nAuthorization: Basic secret\r\n\r\n";
    let post = "POST /b HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n\
        5\r\nhello\r\n3;x\r\nyou\r\n0\r\nX: y\r\n\r\n";
    [get, post].concat().repeat(4).into_bytes()
}

fn websocket() -> Vec<u8> {
    let mut input = OPENING.as_bytes().to_vec();
    for round in 0..30u8 {
        input.extend(message(0x81, format!("message {round}").as_bytes()));
        input.extend(message(0x02, b"in "));
        input.extend(message(0x89, b"ping"));
        input.extend(message(0x80, b"parts"));
    }
    input.extend(message(0x81, b"bye"));
    input.extend(message(0x88, &[0x03, 0xe8]));
    input
}

fn http2() -> Vec<u8> {
    let mut encoder = Encoder::new();
    let mut head = |fields: &[(&str, &str)]| {
        let mut block = Vec::new();
        for (name, value) in fields {
            encoder.encode(&mut block, name.as_bytes(), value.as_bytes(), Indexing::Auto);
        }
        block
    };
    let mut input = PREFACE.to_vec();
    for stream in (1..40u8).step_by(2) {
        let cookie = format!("session=secret{stream}; a=b; c=d; e=f");
        let block = head(&[
            (":method", if stream % 3 == 0 { "POST" } else { "GET" }),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/"),
            ("authorization", "Bearer secret"),
            ("cookie", &cookie),
        ]);
        input.extend(frame(1, if stream % 3 == 0 { 4 } else { 5 }, stream, &block));
        if stream % 3 == 0 {
            input.extend(frame(0, 1, stream, b"content"));
        }
        input.extend(frame(6, 0, 0, b"12345678"));
    }
    let block = head(&[
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", "/chat"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "secret.chat"),
        ("sec-websocket-extensions", "permessage-deflate"),
    ]);
    input.extend(frame(1, 4, 41, &block));
    for round in 0..10u8 {
        input.extend(frame(0, 0, 41, &message(0x81, format!("message {round}").as_bytes())));
    }
    input.extend(frame(0, 1, 41, &message(0x88, &[0x03, 0xe8])));
    input
}

type Make = fn(Time, Arc<Config>) -> Connection;
type Session = (&'static str, Make, Vec<u8>);

fn sessions() -> Vec<Session> {
    vec![
        ("HTTP/1.1", Connection::server, http1()),
        ("HTTP/1.1 behind TLS", Connection::server_http1, http1()),
        ("WebSocket", Connection::server, websocket()),
        ("HTTP/2", Connection::server, http2()),
        ("HTTP/2 behind TLS", Connection::server_http2, http2()),
        ("raw", Connection::server, b"\x00\x01 raw octets, several of them".repeat(10)),
        ("a tunnel", Connection::server, b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\nthrough".to_vec()),
        ("no HTTP", Connection::server_http1, b"GET / HTTP/1.1\r\nCookie: secret\r\nX : y\r\n\r\n".to_vec()),
    ]
}

#[test]
fn sessions_go_again_as_they_went() {
    for (name, make, input) in sessions() {
        for seed in 1..20 {
            for part in [1, 5, 100, 10_000] {
                let what = format!("{name}, seed {seed}, parts of {part}");
                let mut recorded = Recorded::new(make, Redaction::Credentials, seed);
                recorded.deliver(&input, part);
                let sent = recorded.sent.len();
                let (written, outcome) = recorded.replayed(&what);
                assert!(outcome.complete && outcome.compared > 0 && sent > 0, "{what}: {outcome:?}");
                let shown = written.windows(6).any(|octets| octets == b"secret");
                assert!(!shown, "{what}: a credential is written");
            }
        }
    }
}

#[test]
fn credentials_are_written_when_that_is_asked_for() {
    let mut recorded = Recorded::new(Connection::server, Redaction::Nothing, 1);
    recorded.deliver(&http1(), 100);
    let (written, outcome) = recorded.replayed("with credentials");
    assert!(outcome.complete);
    assert!(written.windows(6).any(|octets| octets == b"secret"));
}

#[test]
fn every_kept_input_of_the_fuzzers_goes_again_as_it_went() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let mut count = 0;
    for folder in std::fs::read_dir(corpora).expect("the corpora") {
        for file in std::fs::read_dir(folder.expect("a corpus").path()).expect("a corpus") {
            let path = file.expect("an input").path();
            let octets = std::fs::read(&path).expect("an input");
            let chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
            for before in [&b""[..], chunked, OPENING.as_bytes(), PREFACE] {
                let mut recorded = Recorded::new(Connection::server, Redaction::Credentials, count);
                recorded.deliver(&[before, &octets].concat(), 50);
                recorded.replayed(&format!("{} behind {}", path.display(), before.escape_ascii()));
                count += 1;
            }
        }
    }
    assert!(count > 500, "{count}");
}

#[test]
fn a_record_whose_end_is_missing_goes_as_far_as_it_has_come() {
    let mut recorded = Recorded::new(Connection::server, Redaction::Credentials, 3);
    recorded.deliver(&http1(), 100);
    let (written, whole) = recorded.replayed("whole");
    for cut in (7..written.len()).step_by(11) {
        let record = Record::read(&written[..cut]).expect("a record");
        match replay(&record, config()) {
            Ok(outcome) => assert!(outcome.sent <= whole.sent && outcome.compared <= whole.compared),
            Err(divergence) => assert_eq!(divergence, Divergence::NoBeginning, "{cut}"),
        }
    }
}

#[test]
fn a_value_that_never_ends_is_not_written_and_that_is_said() {
    for (input, complete) in [
        (&b"GET / HTTP/1.1\r\nHost: a\r\nCookie: sec"[..], false),
        (b"GET / HTTP/1.1\r\nHost: a\r\nCook", true),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: Cookie: sec", true),
        (&[PREFACE, b"\0\0\x20\x01\x04\0\0\0\x01\x82"].concat(), false),
        (&[PREFACE, b"\0\0\x20\x01"].concat(), true),
    ] {
        let mut recorded = Recorded::new(Connection::server, Redaction::Credentials, 3);
        recorded.deliver(input, 100);
        let (written, outcome) = recorded.replayed("a cut");
        assert_eq!(outcome.complete, complete, "{}", input.escape_ascii());
        assert!(!written.windows(12).any(|octets| octets == b"\r\nCookie: sec"));
    }
}

#[test]
fn a_difference_is_found() {
    let mut recorded = Recorded::new(Connection::server, Redaction::Credentials, 3);
    recorded.deliver(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n", 100);
    let (written, _) = recorded.replayed("whole");
    let record = Record::read(&written).expect("a record");
    assert!(matches!(replay(&record, Config::default()), Err(Divergence::Config(..))));
    // With another method, the recorded calls of the application become impossible.
    let at = written.windows(4).position(|octets| octets == b"GET ").expect("the request");
    let mut changed = written.clone();
    changed[at] = b'(';
    let record = Record::read(&changed).expect("a record");
    assert!(replay(&record, config()).is_err());
    // With another answer, the output differs.
    let mut changed = written;
    let at = changed.windows(10).position(|octets| octets == b"text/plain").expect("the answer");
    changed[at] = b'T';
    let record = Record::read(&changed).expect("a record");
    assert!(matches!(replay(&record, config()), Err(Divergence::Sent(_))));
}

#[test]
fn a_client_goes_again_with_the_chance_that_it_had() {
    let config = Arc::new(config());
    let file = Shared::default();
    let mut seed = 7u8;
    let chance = move |bytes: &mut [u8]| {
        bytes.iter_mut().for_each(|byte| {
            seed = seed.wrapping_mul(31).wrapping_add(1);
            *byte = seed;
        })
    };
    let mut client = Connection::client(Time::ZERO, Arc::clone(&config), Box::new(chance));
    client.record(Box::new(Recorder::new(file.clone(), Redaction::Credentials)));
    let request = Request { method: "POST", target: "/", host: "a" };
    let fields = [("authorization", "Basic secret")];
    client.request(Time::ZERO, &request, fields, Payload::Copy(b"hello"), true).expect("a request");
    let n = client.transmit(Time::ZERO).expect("a request").first().len();
    client.transmitted(Time::ZERO, n);
    let mut response = *b"HTTP/1.1 200 OK\r\nSet-Cookie: secret\r\nContent-Length: 2\r\n\r\nhi";
    let mut feed = client.receive(Time::ZERO, &mut response);
    while feed.next_event().is_some() {}
    drop(feed);
    drop(client);
    let written = file.take();
    assert!(!written.windows(6).any(|octets| octets == b"secret"));
    let outcome = replay(&Record::read(&written).expect("a record"), self::config()).expect("the same");
    assert_eq!((outcome.sent, outcome.complete), (n as u64, true));
}

/// The blocks of a capture: kind and content.
fn blocks(mut capture: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let number = |octets: &[u8]| u32::from_le_bytes(octets.try_into().expect("four octets"));
    let mut blocks = Vec::new();
    while !capture.is_empty() {
        let (kind, len) = (number(&capture[..4]), number(&capture[4..8]) as usize);
        assert_eq!(len % 4, 0);
        assert_eq!(number(&capture[len - 4..len]) as usize, len, "both lengths of a block");
        blocks.push((kind, capture[8..len - 4].to_vec()));
        capture = &capture[len..];
    }
    blocks
}

#[test]
fn a_tap_writes_what_was_said_without_credentials() {
    for (name, make, input) in sessions() {
        let (config, file) = (Arc::new(config()), Shared::default());
        let mut connection = make(Time::from_micros(5_000_000), Arc::clone(&config));
        let mut writer = Writer::new(file.clone());
        writer.secrets(b"CLIENT_RANDOM 00 11\n");
        connection.record(Box::new(Tap::new(writer, Ends::unknown(), Redaction::Credentials)));
        let now = Time::from_micros(5_000_000);
        let mut recorded =
            Recorded { connection, config, app: Busy::new(1), file: file.clone(), sent: Vec::new(), now };
        recorded.deliver(&input, 1_000);
        let sent = recorded.sent.len();
        drop(recorded);
        let capture = file.take();
        assert!(!capture.windows(6).any(|octets| octets == b"secret"), "{name}");
        let blocks = blocks(&capture);
        assert_eq!(
            blocks[..3].iter().map(|(kind, _)| *kind).collect::<Vec<_>>(),
            [0x0a0d_0d0a, 1, 10],
            "{name}"
        );
        // The octets that this side has sent: after 20 octets of the block, 20 of IPv4 and 20 of TCP, from port 80.
        let packets = blocks[3..].iter().map(|(_, block)| {
            let len = u32::from_le_bytes(block[12..16].try_into().expect("four octets")) as usize;
            &block[20..20 + len]
        });
        let ours: usize =
            packets.filter(|packet| packet[20..22] == [0, 80]).map(|packet| packet.len() - 40).sum();
        assert_eq!(ours, sent, "{name}");
    }
}

#[test]
fn files_are_for_their_owner_and_of_one_peer() {
    let path = std::env::temp_dir().join(format!("lws-record-{}", std::process::id()));
    let ends = |peer: &str| Ends { peer: peer.parse().expect("an address"), ..Ends::unknown() };
    let folder = Folder::new(&path).expect("a folder").peer(Some([127, 0, 0, 1].into())).limits(2, 1_000);
    let folder = folder.output(Output::Both).redaction(Redaction::Credentials);
    assert!(folder.tape(ends("127.0.0.2:5")).expect("no error").is_none());
    for peer in ["127.0.0.1:5", "[::ffff:127.0.0.1]:6"] {
        let mut connection = Connection::server(Time::ZERO, Arc::new(config()));
        connection.record(folder.tape(ends(peer)).expect("no error").expect("a tape"));
        // Beyond the limit of a file the record ends, and the connection goes on.
        for _ in 0..200 {
            connection.handle_timeout(Time::ZERO);
        }
    }
    assert!(folder.tape(ends("127.0.0.1:7")).expect("no error").is_none(), "past the limit of files");
    let mode = |path: &Path| path.metadata().expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    let mut kinds = Vec::new();
    for file in std::fs::read_dir(&path).expect("the folder") {
        let file = file.expect("a file").path();
        assert_eq!(mode(&file), 0o600);
        let octets = std::fs::read(&file).expect("a file");
        assert!(octets.len() <= 1_000, "{}", octets.len());
        if file.extension().is_some_and(|extension| extension == "lwsrec") {
            assert_eq!(octets.len(), 1_000, "a record is cut at its limit");
            assert!(!Record::read(&octets).expect("a record").is_complete());
        }
        kinds.push(file.extension().map(ToOwned::to_owned));
    }
    assert_eq!(kinds.len(), 4);
    std::fs::remove_dir_all(&path).expect("the folder");
}
