//! What real peers send beside their requests, over HTTP/2: none of it must ever use up an allowance. RFC 9113 §10.5.
//!
//! Each row is what a kind of client or front end is known to send for every request, or by the clock. Requests come without any
//! time between them, so that no allowance fills up again: what holds then holds at any rate, for hours.

use crate::rfc9113::{defaults, server};
use lws_proto::http::Status;
use lws_proto::{Cause, Event, Payload};
use std::time::Duration;
use tests::application::NO_FIELDS;
use tests::endpoint::Buffer;
use tests::h2::{self, SentFrame, setting};
use tests::{Application, Endpoint};

/// Thirteen octets in answer to a request that has ended or not, at once; to others there is none.
struct Thirteen;

impl Application for Thirteen {
    fn event(&mut self, event: Event<'_>) {
        if let Event::Request { stream, head, .. } = event
            && head.target() == "/"
        {
            let Ok(permit) = stream.permit() else { panic!("no permit for a head") };
            let content = Payload::Static(b"Hello, world!");
            permit.respond(Status::OK, NO_FIELDS, content, true).expect("a response").throttle();
        }
    }
}

/// A request that is not answered.
fn silent(stream: u32) -> Vec<u8> {
    let mut fields = h2::GET.to_vec();
    for (name, value) in &mut fields {
        if *name == ":path" {
            *value = "/silent";
        }
    }
    h2::headers(stream, &fields, true)
}

const CANCEL: u32 = 8;
const PRIORITY: u8 = 2;
const RESERVED: u8 = 0x1f;

fn priority(stream: u32) -> Vec<u8> {
    h2::frame(PRIORITY, 0, stream, &[0, 0, 0, 0, 15])
}

fn ping() -> Vec<u8> {
    h2::ping(false, *b"bandwidt")
}

/// Frames by the stream, or by when they come.
type Frames = fn(u32) -> Vec<u8>;

/// What a peer sends around a request, by the stream: before it is answered, and after.
struct Peer {
    name: &'static str,
    asks: Frames,
    then: Frames,
    /// Whether the answer is to come.
    answered: bool,
}

fn both_updates(stream: u32) -> Vec<u8> {
    [h2::window_update(0, 13), h2::window_update(stream, 13)].concat()
}

const PEERS: [Peer; 12] = [
    Peer { name: "nginx, curl, Node: nothing", asks: h2::get, then: |_| Vec::new(), answered: true },
    Peer { name: "haproxy: both windows, late", asks: h2::get, then: both_updates, answered: true },
    Peer {
        name: "haproxy: the window of a stream that has ended",
        asks: h2::get,
        then: |stream| h2::window_update(stream, 13),
        answered: true,
    },
    Peer {
        name: "one that gives the whole window back, late",
        asks: h2::get,
        then: |stream| [h2::window_update(0, 13), h2::window_update(stream, 65_535)].concat(),
        answered: true,
    },
    Peer {
        name: "gRPC: a measuring PING for each DATA frame",
        asks: h2::get,
        then: |stream| [both_updates(stream), ping()].concat(),
        answered: true,
    },
    Peer {
        name: "Firefox, Safari of old: a PRIORITY for each stream",
        asks: |stream| [priority(stream), h2::get(stream)].concat(),
        then: |_| Vec::new(),
        answered: true,
    },
    Peer {
        name: "Chromium: a frame of a reserved type, and a new priority",
        asks: |stream| {
            let reserved = h2::frame(RESERVED, 0, stream, b"grease");
            [h2::get(stream), reserved, h2::priority_update(stream, "u=1, i")].concat()
        },
        then: |_| h2::window_update(0, 13),
        answered: true,
    },
    Peer {
        name: "Java, Node: a reset of what has been answered",
        asks: h2::get,
        then: |stream| h2::rst_stream(stream, CANCEL),
        answered: true,
    },
    Peer {
        name: "curl, Go: a request whose content is not wanted, and its reset",
        asks: h2::post,
        then: |stream| h2::rst_stream(stream, CANCEL),
        answered: true,
    },
    Peer {
        name: "Go: a request with content and an empty end",
        asks: |stream| {
            [h2::post(stream), h2::data(stream, "content", false), h2::data(stream, "", true)].concat()
        },
        then: both_updates,
        answered: true,
    },
    Peer {
        name: "browsers and front ends: every other request is given up",
        asks: |stream| if stream % 4 == 1 { h2::get(stream) } else { silent(stream) },
        then: |stream| if stream % 4 == 1 { both_updates(stream) } else { h2::rst_stream(stream, CANCEL) },
        answered: false,
    },
    Peer {
        name: "Go: a PING with each request that is given up",
        asks: |stream| if stream % 4 == 1 { h2::get(stream) } else { silent(stream) },
        then: |stream| {
            if stream % 4 == 1 { Vec::new() } else { [h2::rst_stream(stream, CANCEL), ping()].concat() }
        },
        answered: false,
    },
];

/// Whether a server has sent GOAWAY with an error, or reset a stream because of the peer's behaviour.
fn complains<A: Application>(server: &mut Endpoint<A>, sent_frames: &[SentFrame]) -> bool {
    let caused = |cause: &Cause| matches!(cause, Cause::Limit(_) | Cause::Violation(_));
    !h2::go_aways(sent_frames).is_empty() || server.seen.causes().iter().any(caused)
}

#[test]
fn no_peer_that_is_known_uses_up_an_allowance() {
    for Peer { name, asks, then, answered } in PEERS {
        let (mut server, mut reader) = server(&defaults(), &[], Thirteen);
        let mut owed = 0;
        for stream in (1..40_001).step_by(2) {
            server.receive(&asks(stream), Buffer::Lent);
            let sent_frames = reader.read(&server.take_sent());
            assert!(!complains(&mut server, &sent_frames), "{name}: {stream} {sent_frames:?}");
            assert!(
                !answered || h2::answer(&sent_frames, stream).is_some(),
                "{name}: {stream} {sent_frames:?}"
            );
            server.receive(&then(stream), Buffer::Lent);
            // Everybody gives the window of the connection back some time.
            owed += 13;
            if owed > 32_000 {
                server.receive(&h2::window_update(0, owed), Buffer::Lent);
                owed = 0;
            }
            let sent_frames = reader.read(&server.take_sent());
            assert!(!complains(&mut server, &sent_frames), "{name}: {stream} {sent_frames:?}");
            server.forget();
        }
        assert_eq!(server.connection.sent_away(), None, "{name}");
    }
}

/// haproxy sends what it owes for many streams at a time, when it is busy.
#[test]
fn what_is_owed_may_come_all_at_once() {
    let (mut server, mut reader) = server(&defaults(), &[], Thirteen);
    for round in 0..10 {
        let streams = || (0..5_000).map(|at| 1 + round * 10_000 + at * 2);
        let mut owed = Vec::new();
        for stream in streams() {
            server.receive(&h2::get(stream), Buffer::Lent);
            assert!(h2::ended(&reader.read(&server.take_sent()), stream), "{stream}");
            owed.extend(both_updates(stream));
        }
        server.receive(&owed, Buffer::Lent);
        let sent_frames = reader.read(&server.take_sent());
        assert!(!complains(&mut server, &sent_frames), "{round}: {sent_frames:?}");
        server.forget();
    }
}

/// A hundred frames of no use a second are no abuse, however long they last: a keep-alive PING every ten milliseconds, and somebody
/// who types on a stream.
#[test]
fn what_comes_by_the_clock_goes_on_for_hours() {
    let frames: [(&str, Frames); 3] = [
        ("PING", |_| ping()),
        ("one byte of content", |_| h2::data(1, "x", false)),
        ("SETTINGS", |at| h2::settings(&[(setting::INITIAL_WINDOW_SIZE, 65_535 + at % 2)])),
    ];
    for (name, frame) in frames {
        let (mut server, mut reader) = server(&defaults(), &[], |_: Event<'_>| {});
        server.receive(&h2::post(1), Buffer::Lent);
        for at in 0..2 * 3_600 * 50 {
            if at % 500 == 0 {
                // What is due by the least rate of content.
                server.receive(&h2::data(1, [b'c'; 12_000], false), Buffer::Lent);
            }
            server.receive(&frame(at), Buffer::Lent);
            server.now = server.now + Duration::from_millis(20);
            if at % 100 == 0 {
                server.connection.handle_timeout(server.now);
                server.settle();
                let sent_frames = reader.read(&server.take_sent());
                assert!(!complains(&mut server, &sent_frames), "{name}: {at} {sent_frames:?}");
                server.forget();
            }
        }
    }
}

/// hyper makes a frame of its own of what a chunk has beyond the window of the connection, for each of the streams that share it.
#[test]
fn the_short_ends_of_long_content_are_content() {
    let (mut server, mut reader) = server(&defaults(), &[], |_: Event<'_>| {});
    server.receive(&h2::post(1), Buffer::Lent);
    for round in 0..20_000 {
        server.receive(&h2::data(1, [b'c'; 300], false), Buffer::Lent);
        server.receive(&h2::data(1, "x", false), Buffer::Lent);
        let sent_frames = reader.read(&server.take_sent());
        assert!(!complains(&mut server, &sent_frames), "{round}: {sent_frames:?}");
        server.forget();
    }
}

/// A window that is opened a byte at a time makes frames of a byte, of which each explains the update that gives it back, and no more.
/// CVE-2019-9511.
#[test]
fn a_window_that_dribbles_is_little_traffic() {
    let app = |event: Event<'_>| {
        if let Event::Request { stream, .. } = event {
            let Ok(permit) = stream.permit() else { panic!("no permit for a head") };
            let content = Payload::Own(vec![b'x'; 100_000].into());
            permit.respond(Status::OK, NO_FIELDS, content, true).expect("a response").throttle();
        }
    };
    let (mut server, mut reader) = server(&defaults(), &[(setting::INITIAL_WINDOW_SIZE, 0)], app);
    server.receive(&h2::get(1), Buffer::Lent);
    let mut rounds = 0;
    while server.connection.sent_away().is_none() {
        server.receive(&h2::window_update(1, 1), Buffer::Lent);
        server.receive(&h2::window_update(0, 1), Buffer::Lent);
        rounds += 1;
        assert!(rounds <= 1_200, "it goes on");
    }
    let sent_frames = reader.read(&server.take_sent());
    assert!(
        matches!(sent_frames.last(), Some(SentFrame::Data { .. })),
        "what runs goes on: {:?}",
        sent_frames.last()
    );
}
