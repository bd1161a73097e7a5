//! Flow control. RFC 9113 §5.2 and §6.9.

use super::*;
use lws_proto::http::Status;
use lws_proto::{Bytes, Event};
use tests::Seen;
use tests::application::Answer;
use tests::endpoint::limits;
use tests::h2::setting;

/// An answer of so many bytes.
fn answer_of(len: usize) -> Answer {
    Answer { content: Bytes::from(vec![b'x'; len]), ..Answer::default() }
}

/// Bytes of DATA on a stream.
fn sent_on(sent_frames: &[SentFrame], wanted: u32) -> usize {
    let len = |frame: &SentFrame| match frame {
        SentFrame::Data { stream, content, .. } if *stream == wanted => content.0.len(),
        _ => 0,
    };
    sent_frames.iter().map(len).sum()
}

/// RFC 9113 §6.9: "A sender MUST NOT send a flow-controlled frame with a length that exceeds the space available in either of the flow-control
/// windows advertised by the receiver." §6.9.2: "... all flow-control windows ... are initially 65,535 octets".
#[test]
fn no_more_is_sent_than_both_windows_allow() {
    let (mut server, mut reader) = server(&defaults(), &[], answer_of(200_000));
    server.receive(&[h2::get(1), h2::get(3)].concat(), Buffer::Lent);
    let sent_frames = reader.read(&server.take_sent());
    assert_eq!(sent_on(&sent_frames, 1) + sent_on(&sent_frames, 3), 65_535, "the window of the connection");
    server.receive(&h2::window_update(0, 1_000_000), Buffer::Lent);
    let said_then = reader.read(&server.take_sent());
    for stream in [1, 3] {
        assert_eq!(
            sent_on(&sent_frames, stream) + sent_on(&said_then, stream),
            65_535,
            "the window of stream {stream}"
        );
    }
    server.receive(&h2::window_update(3, 10), Buffer::Lent);
    let sent_frames = reader.read(&server.take_sent());
    assert_eq!((sent_on(&sent_frames, 1), sent_on(&sent_frames, 3)), (0, 10));
    server.receive(&[h2::window_update(3, 1 << 20), h2::window_update(1, 1 << 20)].concat(), Buffer::Lent);
    let sent_frames = reader.read(&server.take_sent());
    assert!(h2::ended(&sent_frames, 1) && h2::ended(&sent_frames, 3));
    assert_eq!(sent_on(&sent_frames, 1), 200_000 - 65_535);
    assert_eq!(server.seen.causes(), [Cause::Complete; 2]);
}

/// RFC 9113 §6.9.1: "Frames with zero length with the END_STREAM flag set (that is, an empty DATA frame) MAY be sent if there is no available
/// space in either flow-control window." and §5.2.1: "Only DATA frames are subject to flow control".
#[test]
fn heads_and_ends_need_no_window() {
    let settings = [(setting::INITIAL_WINDOW_SIZE, 0)];
    let (mut server, mut reader) = server(&defaults(), &settings, Answer::default());
    server.receive(&h2::get(1), Buffer::Lent);
    let sent_frames = reader.read(&server.take_sent());
    assert!(h2::ended(&sent_frames, 1), "{sent_frames:?}");
    let app = |event: Event<'_>| match event {
        Event::Request { mut stream, .. } => stream.want_write(),
        Event::Writable(permit) => {
            let content = Payload::Static(b"0123456789");
            let sent = permit
                .into_exchange()
                .expect("an exchange")
                .respond(lws_proto::http::Status::OK, NO_FIELDS, content, false)
                .expect("a response");
            // The end waits behind the content.
            sent.into_stream().want_write();
        }
        _ => {}
    };
    let (mut server, mut reader) = super::server(&defaults(), &[(setting::INITIAL_WINDOW_SIZE, 10)], app);
    server.receive(&h2::get(1), Buffer::Lent);
    let sent_frames = reader.read(&server.take_sent());
    assert_eq!(sent_on(&sent_frames, 1), 10, "{sent_frames:?}");
    let key = server.key();
    let trailers = server.connection.stream(key).expect("the stream").permit();
    assert!(trailers.is_err(), "no permit without a window");
}

/// RFC 9113 §6.9.2: "When the value of SETTINGS_INITIAL_WINDOW_SIZE changes, a receiver MUST adjust the size of all stream flow-control windows that
/// it maintains by the difference between the new value and the old value." and "A change ... can cause the available space in a flow-control
/// window to become negative. A sender MUST track the negative flow-control window and MUST NOT send new flow-controlled frames until it
/// receives WINDOW_UPDATE frames that cause the flow-control window to become positive."
#[test]
fn a_change_of_the_initial_window_moves_open_streams() {
    let (mut server, mut reader) =
        server(&defaults(), &[(setting::INITIAL_WINDOW_SIZE, 100)], answer_of(1_000));
    let mut receive = |frames: Vec<u8>| {
        server.receive(&frames, Buffer::Lent);
        let sent_frames = reader.read(&server.take_sent());
        (sent_on(&sent_frames, 1), h2::ended(&sent_frames, 1))
    };
    assert_eq!(receive(h2::get(1)), (100, false));
    // The window is 0 now, and then -50.
    assert_eq!(receive(h2::settings(&[(setting::INITIAL_WINDOW_SIZE, 50)])), (0, false));
    assert_eq!(receive(h2::window_update(1, 50)), (0, false));
    assert_eq!(receive(h2::window_update(1, 1)), (1, false));
    // From 0 to 150 at once.
    assert_eq!(receive(h2::settings(&[(setting::INITIAL_WINDOW_SIZE, 200)])), (150, false));
    // In one frame, one after the other.
    let twice = [(setting::INITIAL_WINDOW_SIZE, 0), (setting::INITIAL_WINDOW_SIZE, 210)];
    assert_eq!(receive(h2::settings(&twice)), (10, false));
    assert_eq!(receive(h2::window_update(1, 1_000)), (1_000 - 261, true));
}

/// RFC 9113 §6.9.2: "The connection flow-control window can only be changed using WINDOW_UPDATE frames."
#[test]
fn settings_do_not_move_the_window_of_the_connection() {
    let (mut server, mut reader) =
        server(&defaults(), &[(setting::INITIAL_WINDOW_SIZE, 1 << 20)], answer_of(100_000));
    server.receive(&h2::get(1), Buffer::Lent);
    let sent_frames = reader.read(&server.take_sent());
    assert_eq!(sent_on(&sent_frames, 1), 65_535);
}

/// RFC 9113 §6.9.1: "A receiver MAY respond with a stream error or connection error of type FLOW_CONTROL_ERROR if it is unable to accept a frame", and
/// the peer that sends more than it may has not kept "A sender MUST NOT send ...".
#[test]
fn a_peer_that_sends_more_than_it_may_is_stopped() {
    let config = limits(|limits| (limits.h2_stream_window, limits.h2_stream_window_max) = (1_000, 1_000));
    let paused = || {
        |event: Event<'_>| {
            if let Event::Request { mut stream, .. } = event {
                stream.pause();
            }
        }
    };
    let at = [h2::post(1), h2::data(1, vec![0; 1_000], false)].concat();
    let reaction = served_by(&config, &[], paused, &at);
    assert!(reaction.lives() && h2::reset(&reaction.sent_frames, 1).is_none());
    let past = [&at[..], &h2::data(1, b"x", false)].concat();
    let reaction = served_by(&config, &[], paused, past);
    assert_eq!(h2::reset(&reaction.sent_frames, 1), Some(code::FLOW_CONTROL_ERROR));
    assert_eq!(reaction.causes(), [Cause::Violation(Violation::FlowControl)]);
    assert!(reaction.lives());
    // Padding counts: "The entire DATA frame payload is included in flow control, including the Pad Length and Padding fields if present."
    // RFC 9113 §6.1.
    let padded = |padding| [h2::post(1), h2::padded(1, &[0; 900], padding, false)].concat();
    assert!(h2::reset(&served_by(&config, &[], paused, padded(99)).sent_frames, 1).is_none());
    let reaction = served_by(&config, &[], paused, padded(100));
    assert_eq!(h2::reset(&reaction.sent_frames, 1), Some(code::FLOW_CONTROL_ERROR));
}

/// The window of the connection: all its streams together.
#[test]
fn a_peer_that_sends_more_than_the_connection_takes_is_cut_off() {
    let config = limits(|limits| limits.h2_connection_window = 65_535);
    let paused = || {
        |event: Event<'_>| {
            if let Event::Request { mut stream, .. } = event {
                stream.pause();
            }
        }
    };
    let part = |stream| h2::data(stream, vec![0; 16_383], false);
    let at =
        [h2::post(1), h2::post(3), part(1), part(1), part(1), part(3), h2::data(3, [0; 3], false)].concat();
    let reaction = served_by(&config, &[], paused, &at);
    assert!(reaction.lives(), "{:?}", reaction.sent_frames);
    let reaction = served_by(&config, &[], paused, [&at[..], &h2::data(3, b"x", false)].concat());
    assert_eq!(h2::go_aways(&reaction.sent_frames), [(3, code::FLOW_CONTROL_ERROR)]);
    assert_eq!(reaction.causes(), [Cause::Violation(Violation::FlowControl); 2]);
}

/// RFC 9113 §5.2.2: a receiver that does not give room back stops the peer for good. No one reads what was held for a
/// stream that was paused when the interest in it ended, so it is given back then.
#[test]
fn what_was_held_for_a_stream_that_wants_no_more_gives_its_room_back() {
    let config = limits(|limits| {
        (limits.h2_stream_window, limits.h2_stream_window_max) = (40_000, 40_000);
        limits.h2_connection_window = 65_535;
    });
    let paused = || {
        |event: Event<'_>| {
            if let Event::Request { mut stream, .. } = event {
                stream.pause();
            }
        }
    };
    for answers in [true, false] {
        let (mut server, mut reader) = server(&config, &[], paused());
        let part = || h2::data(1, vec![0; 13_000], false);
        server.receive(&[h2::post(1), part(), part(), part()].concat(), Buffer::Lent);
        assert!(reader.read(&server.take_sent()).is_empty());
        if answers {
            let permit = server.exchange().permit().expect("a permit");
            permit.respond(Status::OK, NO_FIELDS, Payload::Static(b""), true).expect("a response");
        } else {
            server.stream().abort();
        }
        server.settle();
        let sent_frames = reader.read(&server.take_sent());
        let given = |stream| sent_frames.contains(&SentFrame::WindowUpdate { stream, increment: 39_000 });
        assert!(given(0) && given(1) == answers, "{sent_frames:?}");
    }
}

/// What a peer may still send, from the windows it was given and what it has sent.
struct Granted {
    connection: i64,
    stream: i64,
}

impl Granted {
    fn update(&mut self, sent_frames: &[SentFrame]) {
        for frame in sent_frames {
            match frame {
                SentFrame::WindowUpdate { stream: 0, increment } => self.connection += i64::from(*increment),
                SentFrame::WindowUpdate { increment, .. } => self.stream += i64::from(*increment),
                _ => {}
            }
        }
    }
}

/// RFC 9113 §6.9.1, and §5.2.2: reading gives room for more; padding, which is not delivered, is given back too (§6.1).
#[test]
fn room_is_given_back_for_what_was_read_and_for_padding() {
    for padding in [None, Some(0), Some(255)] {
        let mut server = Endpoint::http2_server(defaults(), Each::echo());
        let mut reader = Reader::default();
        server.receive(&h2::client_begins(&[]), Buffer::Lent);
        let mut granted = Granted { connection: 65_535, stream: 65_535 };
        granted.update(&reader.read(&server.take_sent()));
        server.receive(&h2::post(1), Buffer::Lent);
        let mut total = 0;
        for _ in 0..2_000 {
            let frame = match padding {
                None => h2::data(1, vec![b'x'; 256], false),
                Some(padding) => h2::padded(1, &[b'x'; 10], padding, false),
            };
            let len = frame.len() as i64 - 9;
            (granted.connection, granted.stream) = (granted.connection - len, granted.stream - len);
            assert!(
                granted.connection >= 0 && granted.stream >= 0,
                "{padding:?}: no room after {total} bytes"
            );
            total += len;
            server.receive(&frame, Buffer::Lent);
            granted.update(&reader.read(&server.take_sent()));
        }
        assert!(server.seen.causes().is_empty(), "{:?}", server.seen.causes());
    }
}

/// Content of streams that are refused, reset or answered is dropped, and counts as read for the connection. RFC 9113 §5.1: flow control
/// "... MUST ... account for ... DATA frames ... received on a closed stream" for the connection.
#[test]
fn room_is_given_back_for_unread_content() {
    let config = limits(|limits| {
        limits.h2_connection_window = 65_535;
        limits.h2_resets = lws_proto::Allowance { burst: 100_000, per_second: 1 };
    });
    let abort = |event: Event<'_>| {
        if let Event::Request { stream, .. } = event {
            stream.abort();
        }
    };
    let mut server = Endpoint::http2_server(config, abort);
    let mut reader = Reader::default();
    server.receive(&h2::client_begins(&[]), Buffer::Lent);
    let mut granted = Granted { connection: 65_535, stream: 0 };
    granted.update(&reader.read(&server.take_sent()));
    for stream in (1..200).step_by(2) {
        let frames = [h2::post(stream), h2::data(stream, vec![0; 10_000], false)].concat();
        granted.connection -= 10_000;
        assert!(granted.connection >= 0, "no room on stream {stream}");
        server.receive(&frames, Buffer::Own);
        granted.update(&reader.read(&server.take_sent()));
    }
}

/// A paused stream holds no more than its window, and the others go on. Content that was held is delivered when it is resumed, and only then
/// is room given for more.
#[test]
fn a_paused_stream_holds_up_no_other() {
    let config = limits(|limits| (limits.h2_stream_window, limits.h2_stream_window_max) = (1_000, 1_000));
    let app = |event: Event<'_>| match event {
        Event::Request { mut stream, head, .. } if head.target() == "/paused" => stream.pause(),
        Event::Body { stream, end: true, .. } | Event::Request { stream, end: true, .. } => {
            let permit = stream.permit().expect("a permit");
            permit
                .respond(lws_proto::http::Status::OK, NO_FIELDS, Payload::Static(b"x"), true)
                .expect("a response")
                .throttle();
        }
        _ => {}
    };
    let (mut server, mut reader) = server(&config, &[], app);
    let mut fields = h2::POST;
    fields[3].1 = "/paused";
    server.receive(
        &[h2::headers(1, &fields, false), h2::data(1, vec![b'p'; 1_000], false)].concat(),
        Buffer::Lent,
    );
    let paused = server.key();
    for stream in (3..43).step_by(2) {
        let frames = [h2::post(stream), h2::data(stream, vec![b'x'; 1_000], true)].concat();
        server.receive(&frames, Buffer::Lent);
        let sent_frames = reader.read(&server.take_sent());
        assert!(h2::ended(&sent_frames, stream), "{stream}: {sent_frames:?}");
        assert!(h2::on(&sent_frames, 1).is_empty(), "no room for the paused one: {sent_frames:?}");
    }
    assert_eq!(server.of(paused).contents(), []);
    server.connection.stream(paused).expect("the stream").resume();
    server.settle();
    assert_eq!(server.of(paused).contents()[0].0.len(), 1_000);
    let sent_frames = reader.read(&server.take_sent());
    assert!(
        sent_frames.contains(&SentFrame::WindowUpdate { stream: 1, increment: 1_000 }),
        "{sent_frames:?}"
    );
    server.receive(&h2::data(1, b"end", true), Buffer::Lent);
    assert!(h2::ended(&reader.read(&server.take_sent()), 1));
}

/// Sends back what it gets, and is throttled by that.
fn throttled_echo(event: Event<'_>) {
    match event {
        Event::Request { stream, .. } => {
            let permit = stream.permit().expect("a permit");
            permit
                .respond(lws_proto::http::Status::OK, NO_FIELDS, Payload::Static(b""), false)
                .expect("a response")
                .throttle();
        }
        Event::Body { stream, chunk, end } => {
            let content = chunk.to_vec();
            let permit = stream.permit().expect("a permit");
            permit.data(Payload::Copy(&content), end).expect("content").throttle();
        }
        _ => {}
    }
}

/// The same of what was throttled: content waits until what is to be sent has found a window.
#[test]
fn a_throttled_stream_goes_on_when_it_may_write() {
    let (mut server, mut reader) = server(&defaults(), &[(setting::INITIAL_WINDOW_SIZE, 10)], throttled_echo);
    let key = {
        server.receive(&h2::post(1), Buffer::Lent);
        server.key()
    };
    server.receive(&h2::data(1, b"0123456789ab", false), Buffer::Lent);
    let sent_frames = reader.read(&server.take_sent());
    assert_eq!(h2::answer(&sent_frames, 1), Some((200, "0123456789".into())));
    server.receive(&h2::data(1, b"cdefghijklmnop", false), Buffer::Lent);
    server.receive(&h2::data(1, b"qrstuvwxyz", true), Buffer::Lent);
    assert_eq!(server.of(key).contents(), ["0123456789ab".into()], "the rest is held");
    server.receive(&h2::window_update(1, 100), Buffer::Lent);
    let sent_frames = reader.read(&server.take_sent());
    assert_eq!(server.of(key).contents(), ["0123456789abcdefghijklmnopqrstuvwxyz".into()]);
    let rest: Vec<u8> = sent_frames
        .iter()
        .filter_map(|frame| match frame {
            SentFrame::Data { content, .. } => Some(content.0.clone()),
            _ => None,
        })
        .flatten()
        .collect();
    assert_eq!(rest, b"abcdefghijklmnopqrstuvwxyz");
    assert!(h2::ended(&sent_frames, 1));
}

/// Our own: a peer that uses a window up quickly gets a larger one, up to a bound.
#[test]
fn windows_grow_for_bulk_and_no_further_than_the_limit() {
    let config = limits(|limits| limits.h2_stream_window_max = 200_000);
    let mut server = Endpoint::http2_server(config, |_: Event<'_>| {});
    let mut reader = Reader::default();
    server.receive(&h2::client_begins(&[]), Buffer::Lent);
    let mut granted = Granted { connection: 65_535, stream: 65_535 };
    granted.update(&reader.read(&server.take_sent()));
    server.receive(&h2::post(1), Buffer::Lent);
    let mut widest = 0;
    for _ in 0..200 {
        let len = granted.stream.min(granted.connection).min(16_384);
        server.receive(&h2::data(1, vec![0; len as usize], false), Buffer::Lent);
        (granted.connection, granted.stream) = (granted.connection - len, granted.stream - len);
        granted.update(&reader.read(&server.take_sent()));
        widest = widest.max(granted.stream);
    }
    assert!((150_000..=200_000).contains(&widest), "{widest}");
}

/// RFC 9113 §6.9.3: "... the receiver MUST be prepared to receive data that exceeds this window size, since the sender might send data that exceeds the lower limit
/// prior to processing the SETTINGS frame."
#[test]
fn a_smaller_window_counts_from_its_acknowledgement_on() {
    let config = limits(|limits| (limits.h2_stream_window, limits.h2_stream_window_max) = (1_000, 1_000));
    let paused = || {
        |event: Event<'_>| {
            if let Event::Request { mut stream, .. } = event {
                stream.pause();
            }
        }
    };
    let begins =
        [&h2::PREFACE[..], &h2::settings(&[]), &h2::post(1), &h2::data(1, vec![0; 900], false)].concat();
    let make = || Endpoint::http2_server(Arc::clone(&config), paused());
    let sent = |frames: &[Vec<u8>]| Reaction::of(deliver(make, &[begins.clone(), frames.concat()].concat()));
    let more = sent(&[h2::data(1, vec![0; 10_000], false)]);
    assert_eq!(h2::reset(&more.sent_frames, 1), None);
    let acknowledged = sent(&[h2::settings_ack(), h2::data(1, vec![0; 100], false)]);
    assert_eq!(h2::reset(&acknowledged.sent_frames, 1), None);
    let past = sent(&[h2::settings_ack(), h2::data(1, vec![0; 101], false)]);
    assert_eq!(h2::reset(&past.sent_frames, 1), Some(code::FLOW_CONTROL_ERROR));
    let owed = sent(&[h2::data(1, vec![0; 10_000], false), h2::settings_ack(), h2::data(1, b"x", false)]);
    assert_eq!(h2::reset(&owed.sent_frames, 1), Some(code::FLOW_CONTROL_ERROR));
}

/// Our own: a window that has grown for one stream leaves room for others, should its application pause.
#[test]
fn a_paused_stream_whose_window_has_grown_holds_up_no_other() {
    let config = limits(|limits| (limits.h2_stream_window, limits.h2_connection_window) = (20_000, 65_535));
    let mut reader = Reader::default();
    let mut granted = Granted { connection: 65_535, stream: 20_000 };
    let app = |event: Event<'_>| {
        if let Event::Body { stream, end: true, .. } = event {
            let permit = stream.permit().expect("a permit");
            permit
                .respond(lws_proto::http::Status::OK, NO_FIELDS, Payload::Static(b"x"), true)
                .expect("a response")
                .throttle();
        }
    };
    let mut server = Endpoint::http2_server(config, app);
    server.receive(&[h2::client_begins(&[]), h2::post(1)].concat(), Buffer::Lent);
    granted.update(&reader.read(&server.take_sent()));
    let key = server.key();
    let mut send = |server: &mut Endpoint<_>, stream: u32, len: i64, end: bool| {
        server.receive(&h2::data(stream, vec![0; len as usize], end), Buffer::Lent);
        granted.connection -= len;
        granted.stream -= if stream == 1 { len } else { 0 };
        granted.update(&reader.read(&server.take_sent()));
        (granted.connection, granted.stream)
    };
    // Quickly, and for long enough.
    let (mut connection, mut stream) = send(&mut server, 1, 0, false);
    for _ in 0..100 {
        (connection, stream) = send(&mut server, 1, stream.min(connection).min(16_384), false);
    }
    assert!(stream > 20_000, "the window has not grown");
    server.connection.stream(key).expect("the stream").pause();
    while stream.min(connection) > 0 {
        (connection, stream) = send(&mut server, 1, stream.min(connection).min(16_384), false);
    }
    for other in (3..43).step_by(2) {
        server.receive(&h2::post(other), Buffer::Lent);
        let mut left = 40_000;
        while left > 0 {
            let len = connection.min(16_384).min(left);
            assert!(len > 0, "stream {other} gets no room");
            left -= len;
            (connection, _) = send(&mut server, other, len, left == 0);
        }
    }
}

/// A stream that was throttled takes no more input than it can answer while the window of the connection is used up.
#[test]
fn a_throttled_stream_waits_for_the_window_of_the_connection() {
    let (mut server, mut reader) =
        server(&defaults(), &[(setting::INITIAL_WINDOW_SIZE, 1 << 20)], throttled_echo);
    server.receive(&[h2::post(1), h2::post(3)].concat(), Buffer::Lent);
    let keys = server.keys();
    // Exactly the window of the connection.
    for len in [16_384, 16_384, 16_384, 16_383] {
        server.receive(&h2::data(1, vec![b'1'; len], false), Buffer::Lent);
    }
    assert_eq!(sent_on(&reader.read(&server.take_sent()), 1), 65_535);
    let delivered = |server: &Endpoint<_>| server.of(keys[0]).contents()[0].0.len();
    server.receive(&[h2::data(1, b"more", false), h2::data(1, b"and more", false)].concat(), Buffer::Lent);
    assert_eq!(delivered(&server), 65_535, "there is no permit to answer more, and so it is held");
    server.receive(&h2::window_update(0, 2), Buffer::Lent);
    assert_eq!(delivered(&server), 65_547, "all that was held, as there is a permit");
    assert_eq!(sent_on(&reader.read(&server.take_sent()), 1), 2);
    server.receive(&h2::window_update(0, 3), Buffer::Lent);
    assert_eq!(delivered(&server), 65_547);
    assert_eq!(sent_on(&reader.read(&server.take_sent()), 1), 3);
    server.receive(&h2::window_update(0, 100), Buffer::Lent);
    server.receive(&[h2::data(1, b"", true), h2::data(3, b"x", true)].concat(), Buffer::Lent);
    let sent_frames = reader.read(&server.take_sent());
    assert!(h2::ended(&sent_frames, 1) && h2::ended(&sent_frames, 3), "{sent_frames:?}");
}

/// A window that grows no more, as the peer has ended its direction: what waits for it ends at once, and is not to be taken for whole. What
/// needs none goes on.
#[test]
fn what_waits_for_a_window_ends_with_the_direction_of_the_peer() {
    let error = Some(code::INTERNAL_ERROR);
    let (mut server, mut reader) = server(&defaults(), &[], answer_of(200_000));
    server.receive(&h2::get(1), Buffer::Lent);
    server.receive_eof();
    let sent_frames = reader.read(&server.take_sent());
    assert_eq!(h2::reset(&sent_frames, 1), error, "{sent_frames:?}");
    assert_eq!(server.seen.causes(), [Cause::Disconnected]);
    assert!(server.is_over());
    // One that comes to wait later, because its own window is used up, or because that of the connection is.
    for settings in [&[][..], &[(setting::INITIAL_WINDOW_SIZE, 1 << 20)]] {
        let (mut server, mut reader) = super::server(&defaults(), settings, Silent);
        server.receive(&[h2::get(1), h2::get(3)].concat(), Buffer::Lent);
        server.receive_eof();
        assert_eq!(server.seen.count(|seen| *seen == Seen::PeerEnded), 2);
        let [first, second] = server.keys()[..] else { panic!("two streams") };
        let permit = server.connection.exchange(first).expect("a stream").permit().expect("a permit");
        permit.respond(Status::OK, NO_FIELDS, Payload::Copy(&[b'x'; 70_000]), false).expect("a response");
        server.settle();
        assert_eq!(h2::reset(&reader.read(&server.take_sent()), 1), error);
        assert_eq!(server.keys(), [second]);
        let permit = server.connection.exchange(second).expect("a stream").permit().expect("a permit");
        permit.respond(Status::NO_CONTENT, NO_FIELDS, Payload::Static(b""), true).expect("a response");
        server.settle();
        assert_eq!(server.seen.causes(), [Cause::Disconnected, Cause::Complete]);
        assert!(server.is_over());
    }
}

/// What may go when the connection or the stream ends goes first: otherwise it would depend on the parts that input comes in whether
/// an answer is complete.
#[test]
fn an_answer_that_waited_for_its_window_leaves_before_an_end_behind_the_window_update() {
    let ends = [
        ("SETTINGS that are none", h2::settings(&[(setting::ENABLE_PUSH, 2)])),
        ("GOAWAY with an error", h2::go_away(0, code::INTERNAL_ERROR)),
        ("RST_STREAM", h2::rst_stream(1, code::CANCEL)),
    ];
    for (name, end) in ends {
        let waits = [h2::post(1), h2::data(1, b"content!", true)].concat();
        let input = [&waits[..], &h2::window_update(1, 8), &end].concat();
        let reaction = served_with(&defaults(), &[(setting::INITIAL_WINDOW_SIZE, 0)], input);
        assert_eq!(reaction.causes(), [Cause::Complete], "{name}");
        assert!(h2::ended(&reaction.sent_frames, 1), "{name}: {:?}", reaction.sent_frames);
        // Where only a part may go, the answer is not complete.
        let input = [&waits[..], &h2::window_update(1, 7), &end].concat();
        let reaction = served_with(&defaults(), &[(setting::INITIAL_WINDOW_SIZE, 0)], input);
        assert!(
            !h2::ended(&reaction.sent_frames, 1) && reaction.causes() != [Cause::Complete],
            "{name}: {:?}",
            reaction.sent_frames
        );
    }
}
