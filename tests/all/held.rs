//! What is held for peers: at the limit of a connection and of a service, and one past it; and that no peer makes a connection cost
//! more than the limits say.

use crate::support::{NEXT, Role, codes};
use lws_proto::http::Status;
use lws_proto::ws::Accept;
use lws_proto::{
    Cause, Config, Connection, ConnectionKind, Event, HeldBytes, Limit, Limits, Payload, StreamKey, Time,
};
use std::sync::Arc;
use tests::application::{Echo, NO_FIELDS};
use tests::endpoint::{Buffer, OPENING, limits};
use tests::h2::{self, SentFrame};
use tests::sys::Counting;
use tests::wire::{BINARY, BINARY_BEGINS, ENDS, GOES_ON, PING, masked};
use tests::{Endpoint, deliver};

/// RFC 9113 §7.
const REFUSED_STREAM: u32 = 7;

/// A service of which `budget` bytes may be held, and a part of it that uses up all but `left`.
fn service(budget: usize, left: usize) -> (Arc<Config>, HeldBytes) {
    let config = Config { held: HeldBytes::new(budget), ..Config::default() };
    let other = config.held.share();
    other.adjust(0, budget - left);
    (Arc::new(config), other)
}

#[test]
fn a_message_is_put_together_up_to_held_bytes_max() {
    let config = limits(|limits| limits.held_bytes_max = 10_000);
    for (last, causes) in [(5_000, vec![]), (5_001, vec![Cause::Limit(Limit::HeldBytes)])] {
        let mut endpoint = Role::Server.websocket(&config, false, Echo::default());
        endpoint.receive(&masked(BINARY_BEGINS, &[7; 5_000]), Buffer::Lent);
        endpoint.receive(&masked(ENDS, &vec![7; last]), Buffer::Lent);
        assert_eq!(endpoint.seen.causes(), causes, "{last} more");
        assert_eq!(endpoint.seen.contents().len(), usize::from(causes.is_empty()));
        assert_eq!(Limit::HeldBytes.close_code(), 1009);
        // It is no sum over time: what was delivered has gone.
        if causes.is_empty() {
            for _ in 0..3 {
                endpoint.receive(&masked(BINARY_BEGINS, &[7; 9_000]), Buffer::Lent);
                endpoint.receive(&masked(ENDS, &[7; 1_000]), Buffer::Lent);
            }
            assert_eq!(endpoint.seen.contents().len(), 4);
        }
    }
}

/// One connection without a harness around it.
struct Bare {
    connection: Connection,
    spare: Vec<u8>,
    /// Requests with content are read to their end without an answer; others are answered.
    keys: Vec<StreamKey>,
    /// Whether streams are paused in their first event.
    pauses: bool,
    held: Vec<Result<(), Limit>>,
    sent: Vec<u8>,
    causes: Vec<Cause>,
}

impl Bare {
    fn new(config: &Arc<Config>) -> Self {
        let connection = Connection::server(Time::ZERO, Arc::clone(config));
        let (keys, held, sent, causes) = Default::default();
        Self { connection, spare: Vec::new(), keys, pauses: false, held, sent, causes }
    }

    /// A whole turn, as a driver gives it. `room` bytes are taken of what is queued.
    fn turn(&mut self, bytes: &[u8], room: usize) {
        self.connection.lend(&mut self.spare);
        let mut bytes = bytes.to_vec();
        let mut feed = self.connection.receive(Time::ZERO, &mut bytes);
        while let Some(event) = feed.next_event() {
            match event {
                Event::Request { mut stream, head, end } => {
                    self.keys.push(stream.key());
                    if self.pauses {
                        stream.pause();
                    }
                    if head.get("upgrade").is_some() || head.get("sec-websocket-version").is_some() {
                        stream.accept_websocket(&head, &Accept::new()).expect("an opening");
                    } else if end && let Ok(permit) = stream.permit() {
                        permit
                            .respond(Status::OK, NO_FIELDS, Payload::Static(b"ok"), true)
                            .expect("an answer");
                    }
                }
                Event::Body { mut stream, chunk, .. } => self.held.push(stream.hold(chunk.len())),
                Event::Closed { cause, .. } => self.causes.push(cause),
                _ => {}
            }
        }
        drop(feed);
        let mut left = room;
        while left > 0
            && let Some(transmit) = self.connection.transmit(Time::ZERO)
        {
            let n = transmit.first().len().min(left);
            left -= n;
            self.sent.extend_from_slice(&transmit.first()[..n]);
            transmit.commit(n);
        }
        self.connection.reclaim(&mut self.spare);
    }

    fn resets(&self) -> Vec<(u32, u32)> {
        let sent_frames = h2::Reader::default().read(&self.sent);
        let reset = |frame: &SentFrame| match frame {
            SentFrame::Reset { stream, code } => Some((*stream, *code)),
            _ => None,
        };
        sent_frames.iter().filter_map(reset).collect()
    }
}

const OPENS: [(&str, &str); 6] = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "http"),
    (":path", "/"),
    (":authority", "a"),
    ("sec-websocket-version", "13"),
];

#[test]
fn what_an_application_holds_counts_until_it_lets_go_or_the_stream_ends() {
    let config = limits(|limits| limits.held_bytes_max = 10_000);
    let mut bare = Bare::new(&config);
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20001\r\n\r\n";
    bare.turn(post.as_bytes(), usize::MAX);
    bare.turn(&[b'x'; 10_000], usize::MAX);
    assert_eq!((bare.connection.held_bytes(), config.held.held()), (10_000, 10_000));
    bare.turn(b"x", usize::MAX);
    assert_eq!(bare.held, [Ok(()), Err(Limit::HeldBytes)]);
    bare.connection.stream(bare.keys[0]).expect("it is open").let_go(1);
    bare.turn(b"x", usize::MAX);
    assert_eq!(bare.held[2], Ok(()));
    bare.connection.abort();
    bare.turn(b"", usize::MAX);
    assert_eq!((bare.connection.held_bytes(), config.held.held()), (0, 0));
    let mut bare = Bare::new(&config);
    bare.turn(post.as_bytes(), usize::MAX);
    bare.turn(&[b'x'; 10_000], usize::MAX);
    assert_eq!(config.held.held(), 10_000);
    drop(bare);
    assert_eq!(config.held.held(), 0, "a connection that is dropped gives everything back");
}

#[test]
fn a_connection_that_holds_too_much_takes_no_more_streams() {
    for (more, refused) in [(0, false), (1, true)] {
        let mut bare = Bare::new(&limits(|limits| limits.held_bytes_max = 60_000));
        bare.pauses = true;
        bare.turn(&h2::client_begins(&[]), usize::MAX);
        bare.turn(&[h2::post(1), h2::data(1, vec![7; 16_000], false)].concat(), usize::MAX);
        let counted = bare.connection.held_bytes();
        assert!((16_000..40_000).contains(&counted), "{counted} bytes");
        // Held content is exact; it fills what is left to the limit.
        let left = 60_000 - 1 - counted + more;
        let content = vec![7; left];
        let mut input: Vec<u8> =
            content.chunks(16_000).flat_map(|content| h2::data(1, content, false)).collect();
        input.extend(h2::get(3));
        bare.pauses = false;
        let before = bare.connection.held_bytes();
        bare.turn(&input, usize::MAX);
        assert!(before < 60_000);
        assert_eq!(bare.resets(), if refused { vec![(3, REFUSED_STREAM)] } else { vec![] }, "{more}");
        // What there is goes on, and has room again when it was taken.
        bare.connection.stream(bare.keys[0]).expect("it is open").resume();
        bare.turn(b"", usize::MAX);
        let resets = bare.resets().len();
        bare.turn(&h2::get(5), usize::MAX);
        assert_eq!(bare.resets().len(), resets);
    }
}

#[test]
fn a_service_that_holds_too_much_refuses_new_work_and_what_is_there_goes_on() {
    // The budget is taken in chunks, of a sixteenth here.
    for (left, refused) in [(64 << 10, false), (0, true)] {
        let (config, other) = service(1 << 20, left);
        let request = deliver(|| Endpoint::server(Arc::clone(&config), Echo::default()), NEXT.as_bytes());
        assert_eq!(codes(&request), if refused { [503] } else { [200] }, "{left} bytes are left");
        if refused {
            assert_eq!(request.seen.causes(), [Cause::Limit(Limit::ServiceBytes)]);
        }
        let mut bare = Bare::new(&config);
        bare.turn(&[h2::client_begins(&[]), h2::get(1)].concat(), usize::MAX);
        assert_eq!(bare.resets(), if refused { vec![(1, REFUSED_STREAM)] } else { vec![] });
        drop(bare);
        // A WebSocket from before: whole messages need nothing, pieces do.
        let (config, other) = (config, other);
        other.adjust((1 << 20) - left, 0);
        let mut endpoint = Role::Server.websocket(&config, false, Echo::default());
        other.adjust(0, (1 << 20) - left);
        endpoint.receive(&masked(BINARY, &[7; 5_000]), Buffer::Lent);
        assert_eq!(endpoint.seen.contents().len(), 1);
        endpoint.receive(&[masked(BINARY_BEGINS, b"x"), masked(ENDS, b"y")].concat(), Buffer::Lent);
        assert_eq!(endpoint.seen.contents().len(), if refused { 1 } else { 2 });
        let causes: &[Cause] = if refused { &[Cause::Limit(Limit::ServiceBytes)] } else { &[] };
        assert_eq!(endpoint.seen.causes(), causes);
    }
    assert_eq!((Limit::ServiceBytes.status(), Limit::ServiceBytes.close_code()), (503, 1013));
}

/// The receive buffer of the drivers of this test.
const RECEIVE: usize = 16 << 10;

/// What an attacker does: bytes turn by turn, until it has no more to say or its connection has ended.
fn attack(kind: ConnectionKind, limits: &Limits) -> (Vec<Vec<u8>>, bool) {
    let message = limits.message_bytes_max - 1;
    let unfinished = || {
        let mut bytes = masked(BINARY_BEGINS, &vec![7; message / 2]);
        bytes.extend(masked(GOES_ON, &vec![7; message - message / 2]));
        bytes.extend(&masked(PING, &[7; 100])[..50]);
        bytes
    };
    let chunks = |bytes: Vec<u8>| bytes.chunks(RECEIVE).map(<[u8]>::to_vec).collect::<Vec<_>>();
    match kind {
        ConnectionKind::Opened => (chunks(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r".to_vec()), false),
        ConnectionKind::Http1 => {
            // Content that is gathered, of several requests; and a head that does not end.
            let mut bytes = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n".to_vec();
            bytes.extend(vec![b'x'; limits.held_bytes_max + RECEIVE]);
            (chunks(bytes), false)
        }
        ConnectionKind::WebSocket => {
            let mut bytes = OPENING.as_bytes().to_vec();
            bytes.extend(unfinished());
            (chunks(bytes), false)
        }
        ConnectionKind::Http2 => {
            let mut turns = vec![[h2::client_begins(&[]), h2::settings_ack()].concat()];
            let ids: Vec<u32> = (0..limits.h2_streams_max).map(|at| 2 * at + 1).collect();
            turns.extend(ids.iter().map(|id| h2::headers(*id, &OPENS, false)));
            for id in ids {
                for part in unfinished().chunks(RECEIVE - 9) {
                    turns.push(h2::data(id, part, false));
                }
            }
            (turns, false)
        }
        // Input that the application does not take.
        _ => (chunks(vec![7; 100_000]), true),
    }
}

#[test]
fn no_peer_makes_a_connection_cost_more_than_its_limits_say() {
    let limits = Limits {
        message_bytes_max: 256 << 10,
        held_bytes_max: 1 << 20,
        h2_connection_window: 1 << 20,
        ..Limits::default()
    };
    for kind in ConnectionKind::ALL {
        let worst = limits.worst_case(*kind, RECEIVE);
        let expect = if *kind == ConnectionKind::Raw { lws_proto::Expect::Raw } else { Default::default() };
        let config = Arc::new(Config { limits: limits.clone(), expect, ..Config::default() });
        let (turns, pauses) = attack(*kind, &limits);
        let before = Counting::held();
        let mut bare = Bare::new(&config);
        bare.spare = Vec::new();
        let (mut most, mut accounted) = (0, 0);
        for bytes in &turns {
            bare.turn(bytes, usize::MAX);
            if pauses && let Some(mut stream) = bare.keys.first().and_then(|key| bare.connection.stream(*key))
            {
                stream.pause();
            }
            let own = bare.spare.capacity()
                + bare.sent.capacity()
                + bare.held.capacity() * 2
                + bare.keys.capacity() * 8
                + bare.causes.capacity() * size_of::<Cause>();
            let held = Counting::held() - before - own as isize + size_of::<Connection>() as isize;
            most = most.max(held);
            accounted = accounted.max(bare.connection.held_bytes());
        }
        println!("{}: {most} bytes, of which {accounted} were counted; {worst} at most", kind.name());
        assert!(most <= worst as isize, "{}: {most} bytes, and not {worst} at most", kind.name());
        let slack = (32 << 10) + limits.h2_streams_max as isize * 1_024;
        assert!(most <= accounted as isize + slack, "{}: {most} bytes, and {accounted} counted", kind.name());
        drop(bare);
        assert_eq!(config.held.held(), 0, "{}", kind.name());
    }
}
