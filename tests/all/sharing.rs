//! Who sends next, when a window or the transport does not take all at once: everybody who has content, or whose application would have
//! some, by urgency and then in turn. RFC 9113 §5.2, RFC 9218 §10.
//!
//! What must come out wrong does not matter here. These tests say that something happens, and how soon.

use crate::rfc9113::server;
use lws_proto::http::{Method, Status};
use lws_proto::ws::{Accept, Connect, is_opening};
use lws_proto::{Bytes, Cause, Event, MessageKind, Payload, Request, StreamKey, Time, Writable};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use tests::application::{NO_FIELDS, Silent};
use tests::endpoint::{Buffer, limits};
use tests::h2::{self, Reader, SentFrame, setting};
use tests::{Application, Endpoint, Pair, Random};

/// How content comes to a stream, by the target of its request.
#[derive(Debug)]
enum Source {
    /// So many bytes more, which are read into the lent buffer when there is a permit: a file.
    Read(usize),
    /// All of it at once.
    Given(Bytes),
    /// All of it at once, behind a head that was sent before.
    Later(Bytes),
    /// What the peer has sent.
    Echoed(VecDeque<Bytes>),
}

/// An application whose streams get their content in all the ways that there are.
#[derive(Debug, Default)]
struct Mixed {
    sources: BTreeMap<StreamKey, Source>,
    headed: BTreeSet<StreamKey>,
    /// For a client: whose responses are complete.
    complete: Vec<StreamKey>,
}

impl Mixed {
    fn spend(&mut self, permit: Writable<'_>) {
        let key = permit.key();
        let Some(source) = self.sources.get_mut(&key) else { return };
        let headed = !self.headed.insert(key);
        match source {
            Source::Given(content) if !headed => {
                let content = Payload::Own(content.clone());
                let permit = permit.into_exchange().expect("an exchange");
                permit.respond(Status::OK, NO_FIELDS, content, true).expect("a response").throttle();
            }
            Source::Echoed(echoes) => {
                let Some(echo) = echoes.pop_front() else { return };
                let more = !echoes.is_empty();
                let permit = permit.into_websocket().expect("a WebSocket");
                let sent = permit.message(MessageKind::Binary, Payload::Own(echo), true).expect("a message");
                if more { sent.again() } else { sent.throttle() }
            }
            _ if !headed => {
                let permit = permit.into_exchange().expect("an exchange");
                let sent = permit.respond(Status::OK, NO_FIELDS, Payload::Static(b""), false);
                sent.expect("a head").again();
            }
            Source::Given(content) | Source::Later(content) => {
                let permit = permit.into_exchange().expect("an exchange");
                permit.data(Payload::Own(content.clone()), true).expect("content").throttle();
            }
            Source::Read(left) => {
                let mut more = true;
                let fill = |room: &mut [u8]| {
                    assert!(!room.is_empty(), "an empty buffer is the end of no file");
                    room.fill(b'f');
                    let n = room.len().min(*left);
                    *left -= n;
                    more = *left > 0;
                    (n, !more)
                };
                let permit = permit.into_exchange().expect("an exchange");
                let sent = permit.fill(64 << 10, fill).expect("content");
                if more {
                    sent.again();
                }
            }
        }
    }
}

/// The number at the end of a target.
fn size(target: &str) -> usize {
    target.rsplit('/').next().and_then(|size| size.parse().ok()).unwrap_or(0)
}

impl Application for Mixed {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Request { mut stream, head, .. } => {
                let (key, size) = (stream.key(), size(head.target()));
                let content = || Bytes::from(vec![b'g'; size]);
                let source = match head.target().split('/').nth(1) {
                    _ if head.method() == Method::Connect => Source::Echoed(VecDeque::new()),
                    Some("read") => Source::Read(size),
                    Some("later") => Source::Later(content()),
                    _ => Source::Given(content()),
                };
                let echoes = matches!(source, Source::Echoed(_));
                self.sources.insert(key, source);
                if is_opening(&head) {
                    stream.accept_websocket(&head, &Accept::new()).expect("a WebSocket");
                } else if !echoes {
                    stream.want_write();
                }
            }
            Event::Message { mut stream, chunk, .. } => {
                let key = stream.key();
                if let Some(Source::Echoed(echoes)) = self.sources.get_mut(&key) {
                    echoes.push_back(Bytes::copy_from_slice(chunk));
                    stream.want_write();
                }
            }
            Event::Writable(permit) => self.spend(permit),
            Event::Closed { key, cause } => {
                self.sources.remove(&key);
                if cause == Cause::Complete {
                    self.complete.push(key);
                }
            }
            _ => {}
        }
    }
}

/// A GET.
fn get(stream: u32, target: &str, priority: &str) -> Vec<u8> {
    let mut fields = h2::GET.to_vec();
    for (name, value) in &mut fields {
        if *name == ":path" {
            *value = target;
        }
    }
    if !priority.is_empty() {
        fields.push(("priority", priority));
    }
    h2::headers(stream, &fields, true)
}

/// The DATA frames in order: stream and length.
fn frames(sent_frames: &[SentFrame]) -> Vec<(u32, usize)> {
    sent_frames.iter().filter_map(frame_of).collect()
}

fn frame_of(frame: &SentFrame) -> Option<(u32, usize)> {
    match frame {
        SentFrame::Data { stream, content, .. } => Some((*stream, content.0.len())),
        _ => None,
    }
}

/// The stream whose head it is.
fn head_of(frame: &SentFrame) -> Option<u32> {
    match frame {
        SentFrame::Headers { stream, .. } => Some(*stream),
        _ => None,
    }
}

/// Streams have all the window they want, and so the connection decides.
const WIDE: [(u16, u32); 1] = [(setting::INITIAL_WINDOW_SIZE, 1 << 30)];

/// What limits a server in these tests.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bottleneck {
    /// The window of the connection.
    Window,
    /// The transport.
    Transport,
}

/// A server whose connection takes only what it is given from here on.
fn narrow(bottleneck: Bottleneck) -> (Endpoint<Mixed>, Reader) {
    let (mut server, mut reader) = server(&crate::rfc9113::defaults(), &WIDE, Mixed::default());
    match bottleneck {
        Bottleneck::Window => {
            server.receive(&get(1, "/given/65535", ""), Buffer::Lent);
            let sent_frames = reader.read(&server.take_sent());
            assert!(h2::ended(&sent_frames, 1), "the window is used up");
        }
        Bottleneck::Transport => {
            server.receive(&h2::window_update(0, 1 << 30), Buffer::Lent);
            server.room = 0;
        }
    }
    (server, reader)
}

/// Lets the server send so many bytes more.
fn grant(server: &mut Endpoint<Mixed>, bottleneck: Bottleneck, bytes: usize) {
    match bottleneck {
        Bottleneck::Window => server.receive(&h2::window_update(0, bytes as u32), Buffer::Lent),
        Bottleneck::Transport => {
            server.room += bytes;
            server.settle();
        }
    }
}

/// Reads what came whole, and keeps the rest.
fn read_whole(reader: &mut Reader, kept: &mut Vec<u8>, sent: Vec<u8>) -> Vec<SentFrame> {
    kept.extend_from_slice(&sent);
    let mut end = 0;
    while let Some(header) = kept.get(end..end + 9) {
        let next = end + 9 + u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        if next > kept.len() {
            break;
        }
        end = next;
    }
    reader.read(&kept.drain(..end).collect::<Vec<u8>>())
}

/// RFC 9113 §6.9: a stream without a window waits for one. A file that is read when there is a permit gets none before at least one byte
/// can be sent, whichever of the windows is used up.
#[test]
fn a_file_waits_for_a_window_and_is_no_shorter_for_it() {
    for target in ["/read/1000", "/given/1000", "/later/1000"] {
        let (mut server, mut reader) = server(&crate::rfc9113::defaults(), &[], Mixed::default());
        server.receive(&get(1, "/read/5000000", ""), Buffer::Lent);
        let sent_frames = reader.read(&server.take_sent());
        assert_eq!(frames(&sent_frames).iter().map(|(_, len)| len).sum::<usize>(), 65_535);
        server.receive(&get(3, target, ""), Buffer::Lent);
        let sent_frames = reader.read(&server.take_sent());
        assert!(
            h2::reset(&sent_frames, 3).is_none() && frames(&sent_frames).is_empty(),
            "{target}: {sent_frames:?}"
        );
        // The window of stream 1 is used up, too: all of this is for stream 3, in pieces of a byte and more.
        let mut received = 0;
        for increment in [1, 2, 500, 1_000] {
            server.receive(&h2::window_update(0, increment), Buffer::Lent);
            let sent_frames = reader.read(&server.take_sent());
            received += frames(&sent_frames).iter().map(|(_, len)| len).sum::<usize>();
            assert_eq!(h2::ended(&sent_frames, 3), received == 1_000, "{target}");
        }
        assert_eq!(received, 1_000, "{target}");
        assert_eq!(server.seen.causes(), [Cause::Complete], "{target}");
    }
}

/// RFC 9218 §10: those of the same urgency that share get a frame each before any gets a second one, however their content comes
/// and however the window or the transport opens.
#[test]
fn no_stream_waits_for_more_than_one_turn_of_each_other() {
    for bottleneck in [Bottleneck::Window, Bottleneck::Transport] {
        for seed in 0..40 {
            let mut random = Random::new(seed);
            let (mut server, mut reader) = narrow(bottleneck);
            let count = 2 + random.below(7) as u32;
            let streams: Vec<u32> = (0..count).map(|at| 3 + at * 2).collect();
            let mut left: BTreeMap<u32, usize> = BTreeMap::new();
            let mut ask = Vec::new();
            for stream in &streams {
                let size = 1 + random.below(120_000);
                let source = random.pick(&["read", "given", "later"]);
                ask.extend(get(*stream, &format!("/{source}/{size}"), ""));
                left.insert(*stream, size);
            }
            server.receive(&ask, Buffer::Lent);
            // Turns that others have had since the head or the last frame of a stream.
            let mut since: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
            let sent_frames = reader.read(&server.take_sent());
            since.extend(sent_frames.iter().filter_map(head_of).map(|stream| (stream, Vec::new())));
            let (mut kept, mut turns) = (Vec::new(), 0);
            while !left.is_empty() {
                let bytes = 1 + random.below(40_000);
                grant(&mut server, bottleneck, bytes);
                let sent = server.take_sent();
                for frame in read_whole(&mut reader, &mut kept, sent) {
                    since.extend(head_of(&frame).map(|stream| (stream, Vec::new())));
                    let Some((stream, len)) = frame_of(&frame) else { continue };
                    turns += 1;
                    let rest = left.get_mut(&stream).expect("a stream with content");
                    *rest -= len;
                    if *rest == 0 {
                        left.remove(&stream);
                    }
                    since.insert(stream, Vec::new());
                    for other in left.keys().filter(|other| **other != stream) {
                        let Some(others) = since.get_mut(other) else { continue };
                        assert!(
                            !others.contains(&stream),
                            "{bottleneck:?} {seed}: {stream} had two turns while {other} waited"
                        );
                        others.push(stream);
                    }
                }
                assert!(turns < 10_000, "{bottleneck:?} {seed}: it does not end: {left:?}");
            }
        }
    }
}

/// RFC 9218 §10: the more urgent first, whatever the less urgent had begun.
#[test]
fn the_urgent_do_not_wait_for_others_to_end() {
    for bottleneck in [Bottleneck::Window, Bottleneck::Transport] {
        for (slow, fast) in [("read", "read"), ("given", "read"), ("read", "given"), ("later", "given")] {
            let (mut server, mut reader) = narrow(bottleneck);
            server.receive(&get(3, &format!("/{slow}/10000000"), "u=7"), Buffer::Lent);
            let mut kept = Vec::new();
            for _ in 0..5 {
                grant(&mut server, bottleneck, 50_000);
            }
            let sent = server.take_sent();
            assert!(frames(&read_whole(&mut reader, &mut kept, sent)).len() > 5);
            server.receive(&get(5, &format!("/{fast}/300000"), "u=0"), Buffer::Lent);
            let (mut before, mut received) = (0, 0);
            for _ in 0..20 {
                grant(&mut server, bottleneck, 50_000);
                let sent = server.take_sent();
                for (stream, len) in frames(&read_whole(&mut reader, &mut kept, sent)) {
                    before += if stream == 3 && received < 300_000 { len } else { 0 };
                    received += if stream == 5 { len } else { 0 };
                }
            }
            assert_eq!(received, 300_000, "{bottleneck:?} {slow} {fast}");
            // What was in the queue of the connection already, and a frame.
            assert!(before <= (64 << 10) + (16 << 10), "{bottleneck:?} {slow} {fast}: {before}");
        }
    }
}

/// RFC 9218 §10: those that do not share follow each other in the order of their identifiers, and take turns with those that do.
#[test]
fn one_large_response_does_not_keep_those_waiting_that_share() {
    let (mut server, mut reader) = narrow(Bottleneck::Window);
    let ask = [
        get(3, "/read/1000000", "u=3"),
        get(5, "/given/1000000", "u=3"),
        get(7, "/read/1000000", "u=3, i"),
        get(9, "/given/1000000", ""),
    ];
    server.receive(&ask.concat(), Buffer::Lent);
    reader.read(&server.take_sent());
    grant(&mut server, Bottleneck::Window, 16 * 16_384);
    let mut shares: BTreeMap<u32, usize> = BTreeMap::new();
    for (stream, len) in frames(&reader.read(&server.take_sent())) {
        *shares.entry(stream).or_default() += len;
    }
    let frames = |count: usize| count * 16_384;
    assert_eq!(shares, BTreeMap::from([(3, frames(8)), (7, frames(4)), (9, frames(4))]));
}

/// The end of a stream needs no window, so it does not wait behind streams that need one.
#[test]
fn an_end_does_not_wait_for_a_window() {
    let (mut server, mut reader) = narrow(Bottleneck::Window);
    let opening = h2::headers(3, &h2::WEBSOCKET, false);
    server.receive(&[opening, get(5, "/read/1000000", "")].concat(), Buffer::Lent);
    reader.read(&server.take_sent());
    let key = server.keys()[0];
    let stream = server.connection.websocket(key).expect("the WebSocket");
    stream.close(lws_proto::ws::CloseCode::NORMAL, "").expect("a close");
    server.settle();
    // The Close frame, and no more.
    server.receive(&h2::window_update(0, 4), Buffer::Lent);
    grant(&mut server, Bottleneck::Window, 4);
    let sent_frames = reader.read(&server.take_sent());
    let closing = tests::wire::masked(tests::wire::CLOSE, &tests::wire::close_payload(1_000, ""));
    server.receive(&h2::data(3, closing, false), Buffer::Lent);
    let ended = h2::ended(&sent_frames, 3) || h2::ended(&reader.read(&server.take_sent()), 3);
    assert!(ended, "{sent_frames:?}");
}

/// A stream that is urgent and goes on, and one that waits behind it for longer than a stalled one may: it is not stalled, as its peer
/// reads. Once the peer reads no more, both are.
#[test]
fn whoever_waits_behind_others_that_go_on_is_not_stalled() {
    for other in ["/read/1000", "/given/1000"] {
        let (mut server, mut reader) = narrow(Bottleneck::Window);
        let ask = [get(3, "/read/100000000", "u=0"), get(5, other, "u=7")].concat();
        server.receive(&ask, Buffer::Lent);
        for _ in 0..100 {
            server.wait(Duration::from_secs(1));
            grant(&mut server, Bottleneck::Window, 1_000);
        }
        let sent_frames = reader.read(&server.take_sent());
        assert!(frames(&sent_frames).iter().all(|(stream, _)| *stream == 3), "{other}");
        assert_eq!(server.seen.causes(), [Cause::Complete], "{other}");
        for _ in 0..70 {
            server.wait(Duration::from_secs(1));
            server.receive(&h2::ping(false, [0; 8]), Buffer::Lent);
        }
        let stalled = Cause::Timeout(lws_proto::Deadline::Stalled);
        assert_eq!(server.seen.causes(), [Cause::Complete, stalled, stalled], "{other}");
    }
}

/// An application that answers what it gets, and takes more when it may answer again, is not forgotten while the window of the
/// connection is used up by others.
#[test]
fn whoever_was_throttled_gets_input_in_turn() {
    let app = |event: Event<'_>| match event {
        Event::Request { stream, end, .. } => {
            let Ok(permit) = stream.permit() else { panic!("no permit for a head") };
            let sent = permit.respond(Status::OK, NO_FIELDS, Payload::Static(b""), false).expect("a head");
            if end { sent.again() } else { sent.throttle() }
        }
        Event::Body { stream, chunk, end } => {
            let content = chunk.to_vec();
            let permit = stream.permit().expect("input comes when there is a permit");
            permit.data(Payload::Copy(&content), end).expect("content").throttle();
        }
        Event::Writable(permit) => permit
            .into_exchange()
            .expect("an exchange")
            .data(Payload::Copy(&[b'd'; 16_384]), false)
            .expect("content")
            .again(),
        _ => {}
    };
    let (mut server, mut reader) = server(&crate::rfc9113::defaults(), &WIDE, app);
    server.receive(&[get(1, "/", ""), h2::post(3), h2::post(5)].concat(), Buffer::Lent);
    let sent_frames = reader.read(&server.take_sent());
    assert_eq!(frames(&sent_frames).iter().map(|(_, len)| len).sum::<usize>(), 65_535);
    for part in 0..5 {
        let last = part == 4;
        server
            .receive(&[h2::data(3, [b'a'; 50], last), h2::data(5, [b'b'; 50], last)].concat(), Buffer::Lent);
    }
    assert!(frames(&reader.read(&server.take_sent())).is_empty());
    let mut received: BTreeMap<u32, usize> = BTreeMap::new();
    for _ in 0..8 {
        server.receive(&h2::window_update(0, 16_384 + 100), Buffer::Lent);
        for (stream, len) in frames(&reader.read(&server.take_sent())) {
            *received.entry(stream).or_default() += len;
        }
    }
    assert_eq!((received[&3], received[&5]), (250, 250), "{received:?}");
}

fn pair(client: Mixed, delay: Duration) -> Pair<Mixed, Mixed> {
    // The client does not time out a response that never ends.
    let config = limits(|limits| limits.response_timeout = Duration::from_secs(3_600));
    let client = Endpoint::http2_client(config.clone(), client);
    let mut pair = Pair::new(client, Endpoint::http2_server(config, Mixed::default()));
    (pair.up.delay, pair.down.delay) = (delay, delay);
    pair
}

/// Lets time pass until `done`, at most `limit`, and says how long that took.
fn until(
    pair: &mut Pair<Mixed, Mixed>,
    limit: Duration,
    mut done: impl FnMut(&mut Pair<Mixed, Mixed>) -> bool,
) -> Duration {
    let start = pair.client.now;
    while !done(pair) && pair.client.now - start < limit {
        pair.client.forget();
        pair.server.forget();
        pair.wait(Duration::from_millis(1));
    }
    pair.client.now - start
}

/// A request without fields.
fn ask(pair: &mut Pair<Mixed, Mixed>, target: &str) -> StreamKey {
    let request = Request { method: "GET", target, host: "a" };
    let client = &mut pair.client;
    client
        .connection
        .request(client.now, &request, NO_FIELDS, Payload::Static(b""), true)
        .expect("a request")
        .key()
}

const DELAY: Duration = Duration::from_millis(20);
/// There and back.
const ROUND_TRIP: Duration = Duration::from_millis(40);

/// Thirteen octets beside a download that takes all it can get: there within a round trip of the next WINDOW_UPDATE, which comes within
/// one of the request. How the download gets its content makes no difference, nor what limits it.
#[test]
fn a_small_answer_comes_within_two_round_trips_beside_a_download() {
    for transport in [usize::MAX, 100_000] {
        for download in ["/read/1000000000", "/given/100000000"] {
            for small in ["/given/13", "/read/13", "/later/13"] {
                let mut pair = pair(Mixed::default(), DELAY);
                pair.down.window = transport;
                ask(&mut pair, download);
                pair.wait(Duration::from_secs(1));
                for _ in 0..5 {
                    let key = ask(&mut pair, small);
                    let took = until(&mut pair, Duration::from_secs(5), |pair| {
                        pair.client.app.complete.contains(&key)
                    });
                    // The queue that stands before the transport has to go first, too.
                    let queued = if transport == usize::MAX { Duration::ZERO } else { ROUND_TRIP };
                    assert!(took <= ROUND_TRIP * 2 + queued, "{transport} {download} {small}: {took:?}");
                    pair.wait(Duration::from_millis(7));
                }
            }
        }
    }
}

/// The same of a WebSocket's echo.
#[test]
fn a_websocket_answers_within_two_round_trips_beside_a_download() {
    for download in ["/read/1000000000", "/given/100000000"] {
        let mut pair = pair(Mixed::default(), DELAY);
        let client = &mut pair.client;
        let key = client
            .connection
            .connect_websocket(client.now, &Connect::new("a", "/chat"))
            .expect("a handshake");
        pair.wait(Duration::from_millis(200));
        ask(&mut pair, download);
        pair.wait(Duration::from_secs(1));
        for _ in 0..5 {
            let stream = pair.client.connection.websocket(key).expect("the WebSocket");
            let permit = stream.permit().expect("a permit");
            permit
                .message(MessageKind::Binary, Payload::Static(b"thirteen byte"), true)
                .expect("a message")
                .throttle();
            let mut echoed = false;
            let took = until(&mut pair, Duration::from_secs(5), |pair| {
                echoed |= pair.client.of(key).contents().iter().any(|content| content.0 == b"thirteen byte");
                echoed
            });
            assert!(took <= ROUND_TRIP * 2, "{download}: {took:?}");
        }
    }
}

/// The other role: a small upload beside a large one.
#[test]
fn a_small_upload_does_not_wait_for_a_large_one() {
    let config = crate::rfc9113::defaults();
    let client = Endpoint::http2_client(config.clone(), Mixed::default());
    let mut pair = Pair::new(client, Endpoint::http2_server(config, Silent));
    (pair.up.delay, pair.down.delay) = (DELAY, DELAY);
    let post = |pair: &mut Pair<Mixed, Silent>, content: Vec<u8>| {
        let request = Request { method: "POST", target: "/", host: "a" };
        let client = &mut pair.client;
        let content = Payload::Own(content.into());
        client.connection.request(client.now, &request, NO_FIELDS, content, true).expect("a request").key()
    };
    for how in ["given", "read"] {
        if how == "given" {
            post(&mut pair, vec![b'x'; 50_000_000]);
        } else {
            let request = Request { method: "POST", target: "/", host: "a" };
            let client = &mut pair.client;
            let mut stream = client
                .connection
                .request(client.now, &request, NO_FIELDS, Payload::Static(b""), false)
                .expect("a request")
                .into_stream();
            let key = stream.key();
            stream.want_write();
            client.app.sources.insert(key, Source::Read(50_000_000));
            client.app.headed.insert(key);
        }
        pair.wait(Duration::from_secs(1));
        pair.server.forget();
        let before: BTreeSet<StreamKey> = pair.server.keys().into_iter().collect();
        post(&mut pair, b"thirteen byte".to_vec());
        let start = pair.client.now;
        let arrived = |pair: &Pair<Mixed, Silent>| {
            let new = pair.server.streams.iter().filter(|(key, _)| !before.contains(key));
            new.into_iter().any(|(_, transcript)| {
                transcript.contents().iter().any(|content| content.0 == b"thirteen byte")
            })
        };
        while !arrived(&pair) && pair.client.now - start < Duration::from_secs(5) {
            pair.wait(Duration::from_millis(1));
        }
        let took = pair.client.now - start;
        assert!(took <= ROUND_TRIP * 2, "{how}: {took:?}");
    }
    assert!(pair.client.now > Time::ZERO);
}
