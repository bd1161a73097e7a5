//! Stream states, as a product of where a stream stands and what comes next. RFC 9113 §5.1.

use super::*;
use tests::h2::{frame, kind};

/// What comes of a frame.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    /// No error.
    Fine,
    /// An error of stream 1.
    Stream(u32, Violation),
    /// An error of the connection.
    Connection(u32, Violation),
}

use Outcome::{Connection, Fine, Stream};

const IDLE: Outcome = Connection(code::PROTOCOL_ERROR, Violation::StreamIdle);
const ENDED: Outcome = Stream(code::STREAM_CLOSED, Violation::StreamClosed);
const CLOSED: Outcome = Connection(code::STREAM_CLOSED, Violation::StreamClosed);

/// Frames on a stream, in the order of the columns below.
fn columns(role: Role, stream: u32) -> [(&'static str, Vec<u8>); 6] {
    let section = match role {
        Role::Client => response(stream, true),
        Role::Server => h2::headers(stream, &[("x", "trailer")], true),
    };
    [
        ("HEADERS", section),
        ("DATA", h2::data(stream, b"content!", false)),
        ("RST_STREAM", h2::rst_stream(stream, code::CANCEL)),
        ("WINDOW_UPDATE", h2::window_update(stream, 1)),
        ("PRIORITY", frame(kind::PRIORITY, 0, stream, &[0, 0, 0, 99, 1])),
        ("an unknown frame", frame(99, 0, stream, b"x")),
    ]
}

fn check(role: Role, state: &str, before: &[u8], stream: u32, expected: [Outcome; 6]) {
    for ((name, bytes), expected) in columns(role, stream).into_iter().zip(expected) {
        println!("{role:?}: {name} in {state}: {expected:?}");
        let frames = [before, &bytes].concat();
        match expected {
            Fine => {
                no_error(role, frames);
            }
            Stream(code, violation) => stream_error(role, frames, stream, code, violation),
            Connection(code, violation) => connection_error(role, frames, code, violation),
        }
    }
}

/// idle: "Receiving any frame other than HEADERS or PRIORITY on a stream in this state MUST be treated as a connection error of type
/// PROTOCOL_ERROR."
#[test]
fn idle() {
    // A section of trailers is no request: an error of the stream that it opens.
    let malformed = Stream(code::PROTOCOL_ERROR, Violation::PseudoHeader);
    check(Role::Server, "idle", &[], 1, [malformed, IDLE, IDLE, IDLE, Fine, Fine]);
    check(Role::Client, "idle", &[], 5, [IDLE, IDLE, IDLE, IDLE, Fine, Fine]);
    // The other side's streams: this side never pushes, so they stay idle.
    let not_yours = Connection(code::PROTOCOL_ERROR, Violation::StreamId);
    check(Role::Server, "idle", &[], 2, [not_yours, IDLE, IDLE, IDLE, Fine, Fine]);
    check(Role::Client, "idle", &[], 2, [IDLE, IDLE, IDLE, IDLE, Fine, Fine]);
}

/// open: "In this state, a stream ... may be used by both peers to send frames of any type."
#[test]
fn open() {
    check(Role::Server, "open", &h2::post(1), 1, [Fine; 6].map_at(2, Fine));
    check(Role::Client, "open", &response(3, false), 3, [Outcome::Fine; 6].map_at(0, trailers_with_status()));
}

/// half-closed (local): "An endpoint can receive any type of frame in this state."
#[test]
fn half_closed_local() {
    check(
        Role::Client,
        "half-closed (local)",
        &response(1, false),
        1,
        [Fine; 6].map_at(0, trailers_with_status()),
    );
    // A server that answers at once, and then receives the rest of the request.
    let answered = |bytes: Vec<u8>| {
        let reaction =
            served_by(&defaults(), &[], tests::application::Answer::default, [h2::post(1), bytes].concat());
        assert!(
            reaction.lives() && h2::reset(&reaction.sent_frames, 1).is_none(),
            "{:?}",
            reaction.sent_frames
        );
        assert_eq!(reaction.causes(), [Cause::Complete]);
    };
    answered(h2::data(1, b"content!", true));
    answered([h2::data(1, b"content!", false), h2::headers(1, &[("x", "y")], true)].concat());
    answered([h2::window_update(1, 1), h2::data(1, b"", true)].concat());
}

/// A client's second section is a trailer section, in which a status has no place.
fn trailers_with_status() -> Outcome {
    Stream(code::PROTOCOL_ERROR, Violation::PseudoHeader)
}

/// half-closed (remote): "If an endpoint receives additional frames, other than WINDOW_UPDATE, PRIORITY, or RST_STREAM, for a stream that is in
/// this state, it MUST respond with a stream error of type STREAM_CLOSED."
#[test]
fn half_closed_remote() {
    // The echo has to be kept from its answer: the peer gives it no window.
    let settings = [(h2::setting::INITIAL_WINDOW_SIZE, 0)];
    let ended = [h2::post(1), h2::data(1, b"content!", true)].concat();
    let expected = [ENDED, ENDED, Fine, Fine, Fine, Fine];
    for ((name, bytes), expected) in columns(Role::Server, 1).into_iter().zip(expected) {
        let reaction = served_with(&defaults(), &settings, [&ended[..], &bytes].concat());
        assert!(reaction.lives(), "{name}: {:?}", reaction.sent_frames);
        let code = match expected {
            Stream(code, _) => Some(code),
            _ => None,
        };
        assert_eq!(h2::reset(&reaction.sent_frames, 1), code, "{name}");
    }
    // A client whose POST is still on its way when the response has ended.
    let expected = [ENDED, ENDED, Fine, Fine, Fine, Fine];
    check(Role::Client, "half-closed (remote)", &response(3, true), 3, expected);
}

/// closed, by END_STREAM of both: "An endpoint MUST NOT send frames other than PRIORITY on a closed stream. An endpoint MAY treat receipt of
/// any other type of frame on a closed stream as a connection error of type STREAM_CLOSED, except as noted below." RST_STREAM and
/// WINDOW_UPDATE may come "for a short period after a frame bearing the END_STREAM flag is sent".
#[test]
fn closed() {
    let expected = [CLOSED, CLOSED, Fine, Fine, Fine, Fine];
    check(Role::Server, "closed", &h2::get(1), 1, expected);
    check(Role::Client, "closed", &response(1, true), 1, expected);
    // By RST_STREAM of the peer.
    let reset = |role: Role| [role.opens(), h2::rst_stream(1, code::CANCEL)].concat();
    for role in Role::BOTH {
        check(role, "closed by the peer's reset", &reset(role), 1, expected);
    }
}

/// closed, by RST_STREAM of this side: "An endpoint that sends a RST_STREAM frame on a stream that is in the "open" or "half-closed (local)"
/// state could receive any type of frame. ... An endpoint MUST minimally process and then discard any frames it receives in this state."
#[test]
fn closed_by_our_reset() {
    let malformed = h2::headers(1, &[h2::GET.as_slice(), &[("connection", "close")]].concat(), false);
    for (role, before, stream) in [
        (Role::Server, malformed, 1),
        (Role::Client, h2::headers(3, &[(":status", "200"), ("Upper", "case")], false), 3),
    ] {
        for (name, bytes) in columns(role, stream) {
            let reaction = role.reacts([&before[..], &bytes, &bytes].concat());
            println!("{role:?} {name}");
            assert!(reaction.lives(), "{role:?} {name}: {:?}", reaction.sent_frames);
            assert_eq!(
                h2::reset(&reaction.sent_frames, stream),
                Some(code::PROTOCOL_ERROR),
                "{role:?} {name}"
            );
            let resets =
                reaction.sent_frames.iter().filter(|frame| matches!(frame, SentFrame::Reset { .. })).count();
            assert_eq!(resets, 1, "{role:?} {name}: {:?}", reaction.sent_frames);
        }
    }
}

/// RFC 9113 §5.1.1: "The identifier of a newly established stream MUST be numerically greater than all streams that the initiating endpoint has
/// opened or reserved. ... An endpoint that receives an unexpected stream identifier MUST respond with a connection error of type
/// PROTOCOL_ERROR." and "The first use of a new stream identifier implicitly closes all streams in the "idle" state that might have been
/// initiated by that peer with a lower-valued stream identifier."
#[test]
fn identifiers_of_streams_grow() {
    let fine = no_error(Role::Server, [h2::get(1), h2::get(77), h2::get(0x7fff_ffff)].concat());
    assert_eq!([1, 77, 0x7fff_ffff].map(|stream| fine.status(stream)), [Some(200); 3]);
    connection_error(Role::Server, h2::get(2), code::PROTOCOL_ERROR, Violation::StreamId);
    // One that was skipped is as closed as one that ended.
    connection_error(
        Role::Server,
        [h2::get(5), h2::get(3)].concat(),
        code::PROTOCOL_ERROR,
        Violation::StreamId,
    );
}

trait MapAt {
    fn map_at(self, at: usize, outcome: Outcome) -> Self;
}

impl MapAt for [Outcome; 6] {
    /// The same row but for one column.
    fn map_at(mut self, at: usize, outcome: Outcome) -> Self {
        self[at] = outcome;
        self
    }
}
