//! Extensible priorities, RFC 9218: which of several responses leaves first.

use crate::rfc9113::{Role, code, connection_error, defaults, no_error, server};
use lws_proto::{Bytes, Violation};
use tests::application::Answer;
use tests::endpoint::{Buffer, limits};
use tests::h2::{self, SentFrame};

/// A GET with a priority.
fn get(stream: u32, priority: &str) -> Vec<u8> {
    h2::headers(stream, &[h2::GET.as_slice(), &[("priority", priority)]].concat(), true)
}

/// In which order the content of responses leaves, each of 40,000 bytes, once the connection has a window for all of it. Frames that follow
/// each other on a stream count once.
fn order(frames: &[u8]) -> Vec<u32> {
    let app = Answer { content: Bytes::from(vec![b'x'; 40_000]), ..Answer::default() };
    let settings = [(h2::setting::INITIAL_WINDOW_SIZE, 0)];
    let (mut server, mut reader) = server(&defaults(), &settings, app);
    server.receive(frames, Buffer::Lent);
    reader.read(&server.take_sent());
    // All are opened at once, and only then is there a window for any of them.
    let opens = [h2::window_update(0, 1 << 20), h2::settings(&[(h2::setting::INITIAL_WINDOW_SIZE, 1 << 20)])]
        .concat();
    server.receive(&opens, Buffer::Lent);
    let sent_frames = reader.read(&server.take_sent());
    let mut order: Vec<u32> = sent_frames
        .iter()
        .filter_map(|frame| match frame {
            SentFrame::Data { stream, .. } => Some(*stream),
            _ => None,
        })
        .collect();
    order.dedup();
    order
}

/// RFC 9218 §4.1: "The urgency (u) parameter value is Integer ... between 0 and 7 inclusive, in descending order of priority." "The default is 3." §10: "It is
/// RECOMMENDED that ... a server ... sends responses ... in the order of their urgency".
#[test]
fn the_urgent_leave_first() {
    let frames = [get(1, "u=7"), get(3, "u=3"), get(5, "u=0"), get(7, "u=5")].concat();
    assert_eq!(order(&frames), [5, 3, 7, 1]);
    let default = [get(1, "u=4"), get(3, ""), get(5, "u=2")].concat();
    assert_eq!(order(&default), [5, 3, 1]);
}

/// RFC 9218 §10: "... non-incremental responses of the same urgency SHOULD be served by prioritizing bandwidth allocation in ascending order of the stream
/// ID", and incremental ones share.
#[test]
fn equals_share_if_parts_are_of_use_and_follow_each_other_otherwise() {
    assert_eq!(order(&[get(1, "u=3"), get(3, "u=3"), get(5, "u=3")].concat()), [1, 3, 5]);
    let shared = order(&[get(1, "u=3, i"), get(3, "u=3, i")].concat());
    assert_eq!(shared, [1, 3, 1, 3, 1, 3]);
    // A client that says nothing shares.
    assert_eq!(order(&[h2::get(1), h2::get(3)].concat()), [1, 3, 1, 3, 1, 3]);
}

/// RFC 9218 §7.1: "The PRIORITY_UPDATE frame ... is sent by clients ... to signal the initial priority of a response, or to reprioritize a response".
#[test]
fn a_priority_can_be_changed_before_and_while_a_stream_is_open() {
    let later = [get(1, "u=1"), get(3, "u=2"), h2::priority_update(3, "u=0")].concat();
    assert_eq!(order(&later), [3, 1]);
    let early = [h2::priority_update(3, "u=0"), get(1, "u=1"), get(3, "u=5")].concat();
    assert_eq!(order(&early), [3, 1], "the frame comes before the field");
    let worse = [get(1, "u=1"), get(3, "u=2"), h2::priority_update(1, "u=7")].concat();
    assert_eq!(order(&worse), [3, 1]);
}

/// RFC 9218 §4: "... a recipient MUST ignore ... unknown ... priority parameters, out-of-range values, and values of unexpected types."
#[test]
fn what_makes_no_sense_counts_as_not_said() {
    for strange in ["u=8", "u=-1", "u=a", "x=y", "u", "=", "\"", "u=3;a, foo=(a b)"] {
        assert_eq!(order(&[get(1, "u=4"), get(3, strange), get(5, "u=2")].concat()), [5, 3, 1], "{strange}");
    }
}

/// RFC 9218 §7.1: "If a PRIORITY_UPDATE frame is received with a Prioritized Stream ID of 0x00, the recipient MUST respond with a connection error of type
/// PROTOCOL_ERROR." "If a client receives a PRIORITY_UPDATE frame, it MUST respond with a connection error of type PROTOCOL_ERROR." The library never
/// pushes, so an even identifier is that of an idle push stream.
#[test]
fn an_update_is_about_a_stream_of_the_client() {
    for (role, stream) in [(Role::Server, 0), (Role::Server, 2), (Role::Client, 1)] {
        let update = h2::priority_update(stream, "u=1");
        connection_error(role, update, code::PROTOCOL_ERROR, Violation::FrameStream);
    }
    let ended = [h2::get(1), h2::priority_update(1, "u=1")].concat();
    no_error(Role::Server, ended);
}

/// RFC 9218 §7.1: "... the number of streams that have been prioritized but remain in the "idle" state plus the number of active streams ... MUST NOT exceed the
/// value of the SETTINGS_MAX_CONCURRENT_STREAMS parameter. Servers that receive such a PRIORITY_UPDATE MUST respond with a connection error of
/// type PROTOCOL_ERROR."
#[test]
fn so_many_streams_can_be_announced_before_they_begin() {
    let updates = |count: u32| -> Vec<u8> {
        (0..count).flat_map(|at| h2::priority_update(1 + at * 2, "u=1")).collect()
    };
    no_error(Role::Server, updates(100));
    no_error(Role::Server, [updates(100), updates(100)].concat());
    connection_error(Role::Server, updates(101), code::PROTOCOL_ERROR, Violation::StreamId);
    let config = limits(|limits| limits.h2_streams_max = 3);
    let reaction = crate::rfc9113::served_with(&config, &[], [h2::post(1), updates(3)].concat());
    assert!(reaction.lives(), "one of them is active: {:?}", reaction.sent_frames);
}
