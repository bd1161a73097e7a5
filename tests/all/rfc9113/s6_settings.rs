//! SETTINGS. RFC 9113 §6.5.

use super::*;
use std::time::Duration;
use tests::endpoint::limits;
use tests::h2::setting::{self, ENABLE_CONNECT_PROTOCOL, ENABLE_PUSH, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE};

/// RFC 9113 §6.5.3: "Once all values have been processed, the recipient MUST immediately emit a SETTINGS frame with the ACK flag set."
#[test]
fn each_settings_frame_is_acknowledged_once() {
    for role in Role::BOTH {
        for count in 0..4 {
            let reaction = no_error(role, h2::settings(&[(setting::MAX_HEADER_LIST_SIZE, 1)]).repeat(count));
            let acks = reaction.sent_frames.iter().filter(|frame| **frame == SentFrame::SettingsAck).count();
            assert_eq!(acks, count + 1, "{role:?}");
        }
    }
}

/// RFC 9113 §6.5.2: "Any value other than 0 or 1 MUST be treated as a connection error of type PROTOCOL_ERROR." and so on for each.
#[test]
fn values_out_of_range_end_the_connection() {
    let push = (Violation::Setting, code::PROTOCOL_ERROR);
    for (role, name, value, (violation, code)) in [
        (Role::Server, ENABLE_PUSH, 2, push),
        // "A client MUST treat receipt of a SETTINGS frame with SETTINGS_ENABLE_PUSH set to 1 as a connection error of type PROTOCOL_ERROR."
        (Role::Client, ENABLE_PUSH, 1, push),
        // "Values above the maximum flow-control window size of 2^31-1 MUST be treated as a connection error of type FLOW_CONTROL_ERROR."
        (Role::Server, INITIAL_WINDOW_SIZE, 1 << 31, (Violation::InitialWindow, code::FLOW_CONTROL_ERROR)),
        (Role::Client, INITIAL_WINDOW_SIZE, u32::MAX, (Violation::InitialWindow, code::FLOW_CONTROL_ERROR)),
        // "... between this initial value and the maximum allowed frame size (2^24-1 or 16,777,215 octets), inclusive. Values outside this range
        // MUST be treated as a connection error of type PROTOCOL_ERROR."
        (Role::Server, MAX_FRAME_SIZE, 16_383, push),
        (Role::Client, MAX_FRAME_SIZE, 1 << 24, push),
        (Role::Server, MAX_FRAME_SIZE, 0, push),
        // "The value of the parameter MUST be 0 or 1." RFC 8441 §3.
        (Role::Client, ENABLE_CONNECT_PROTOCOL, 2, push),
        // RFC 9218 §2.1: "If the value is other than 0 or 1 ... a connection error of type PROTOCOL_ERROR."
        (Role::Client, setting::NO_RFC7540_PRIORITIES, 2, push),
    ] {
        connection_error(role, h2::settings(&[(name, value)]), code, violation);
    }
}

#[test]
fn values_at_the_ends_of_their_ranges_are_taken() {
    for role in Role::BOTH {
        for (name, value) in [
            (ENABLE_PUSH, 0),
            (INITIAL_WINDOW_SIZE, 0),
            (INITIAL_WINDOW_SIZE, (1 << 31) - 1),
            (MAX_FRAME_SIZE, 16_384),
            (MAX_FRAME_SIZE, (1 << 24) - 1),
            (setting::HEADER_TABLE_SIZE, u32::MAX),
            (setting::MAX_CONCURRENT_STREAMS, u32::MAX),
            (setting::MAX_HEADER_LIST_SIZE, 0),
            (ENABLE_CONNECT_PROTOCOL, 1),
        ] {
            no_error(role, h2::settings(&[(name, value)]));
        }
    }
    no_error(Role::Server, h2::settings(&[(ENABLE_PUSH, 1)]));
}

/// RFC 9113 §6.5.2: "An endpoint that receives a SETTINGS frame with any unknown or unsupported identifier MUST ignore that setting."
#[test]
fn unknown_settings_are_ignored() {
    for role in Role::BOTH {
        no_error(role, h2::settings(&[(0, 5), (7, 5), (0x0a0a, u32::MAX), (0xffff, 0)]));
    }
}

/// RFC 9113 §6.9.2: "An endpoint MUST treat a change to SETTINGS_INITIAL_WINDOW_SIZE that causes any flow-control window to exceed the maximum size as
/// a connection error of type FLOW_CONTROL_ERROR."
#[test]
fn an_initial_window_that_makes_another_too_large_ends_the_connection() {
    let settings = h2::settings(&[(INITIAL_WINDOW_SIZE, (1 << 31) - 1)]);
    for (role, stream) in [(Role::Server, 1), (Role::Client, 3)] {
        let before = if role == Role::Server { h2::post(1) } else { Vec::new() };
        let bytes = [before, h2::window_update(stream, 1), settings.clone()].concat();
        connection_error(role, bytes, code::FLOW_CONTROL_ERROR, Violation::FlowControl);
    }
}

/// RFC 8441 §3: "A sender MUST NOT send a SETTINGS_ENABLE_CONNECT_PROTOCOL parameter with the value of 0 after previously sending a value of 1."
#[test]
fn extended_connect_is_not_taken_back() {
    let bytes =
        [h2::settings(&[(ENABLE_CONNECT_PROTOCOL, 1)]), h2::settings(&[(ENABLE_CONNECT_PROTOCOL, 0)])]
            .concat();
    connection_error(Role::Client, bytes, code::PROTOCOL_ERROR, Violation::Setting);
}

/// RFC 9113 §6.5.3: "If the sender of a SETTINGS frame does not receive an acknowledgment within a reasonable amount of time, it MAY issue a
/// connection error of type SETTINGS_TIMEOUT."
#[test]
fn settings_are_acknowledged_in_time() {
    let config = limits(|limits| {
        limits.h2_settings_timeout = Duration::from_secs(3);
        limits.head_timeout = Duration::from_secs(100);
    });
    for acknowledged in [false, true] {
        let mut server = Endpoint::http2_server(Arc::clone(&config), Each::echo());
        let mut reader = Reader::default();
        server.receive(&[&h2::PREFACE[..], &h2::settings(&[])].concat(), Buffer::Lent);
        server.wait(Duration::from_millis(2_999));
        assert!(h2::go_aways(&reader.read(&server.take_sent())).is_empty());
        if acknowledged {
            server.receive(&h2::settings_ack(), Buffer::Lent);
        }
        server.wait(Duration::from_millis(1));
        let sent_frames = reader.read(&server.take_sent());
        let expected: &[_] = if acknowledged { &[] } else { &[(0, code::SETTINGS_TIMEOUT)] };
        assert_eq!(h2::go_aways(&sent_frames), expected);
    }
}

/// RFC 9113 §6.5.2, SETTINGS_MAX_HEADER_LIST_SIZE is advisory: the server announces its own, and answers a larger field
/// section with 431 (§10.5.1).
#[test]
fn our_settings_say_our_limits() {
    let config = limits(|limits| {
        limits.h2_streams_max = 7;
        limits.h2_stream_window = 1_000;
        limits.h2_table_bytes_max = 100;
        limits.head_bytes_max = 5_000;
    });
    let reaction = served_with(&config, &[], []);
    let SentFrame::Settings(entries) = &reaction.sent_frames[0] else { panic!("{:?}", reaction.sent_frames) };
    for entry in [
        (setting::MAX_CONCURRENT_STREAMS, 7),
        (INITIAL_WINDOW_SIZE, 1_000),
        (setting::HEADER_TABLE_SIZE, 100),
        (setting::MAX_HEADER_LIST_SIZE, 5_000),
        (ENABLE_CONNECT_PROTOCOL, 1),
    ] {
        assert!(entries.contains(&entry), "{entry:?} in {entries:?}");
    }
    assert!(
        reaction.sent_frames.contains(&SentFrame::WindowUpdate { stream: 0, increment: (1 << 20) - 65_535 })
    );
}

/// RFC 9113 §6.5.3: "The values in the SETTINGS frame MUST be processed in the order they appear", so that the last of several counts; "the recipient MUST immediately emit
/// a SETTINGS frame with the ACK flag set", before anything that depends on the values.
#[test]
fn values_count_in_their_order_and_from_the_acknowledgement_on() {
    let app = || tests::application::Answer::with("0123456789");
    let settings = [(setting::INITIAL_WINDOW_SIZE, 7), (setting::INITIAL_WINDOW_SIZE, 3)];
    let frames =
        [h2::get(1), h2::settings(&[(setting::INITIAL_WINDOW_SIZE, 0), (setting::INITIAL_WINDOW_SIZE, 5)])];
    let reaction = served_by(&defaults(), &settings, app, frames.concat());
    assert_eq!(h2::answer(&reaction.sent_frames, 1), Some((200, "01234".into())));
    let last = reaction.sent_frames.iter().rposition(|frame| *frame == SentFrame::SettingsAck);
    let rest = reaction
        .sent_frames
        .iter()
        .position(|frame| matches!(frame, SentFrame::Data { content, .. } if content.0 == b"34"));
    assert!(rest.is_some() && last < rest, "{:?}", reaction.sent_frames);
}
