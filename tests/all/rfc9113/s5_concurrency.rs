//! Stream concurrency. RFC 9113 §5.1.2.

use super::*;
use lws_proto::{Deadline, Event, Misuse, StreamKey};
use std::time::Duration;
use tests::endpoint::limits;
use tests::h2::setting;

/// RFC 9113 §5.1.2: "Endpoints MUST NOT exceed the limit set by their peer. An endpoint that receives a HEADERS frame that causes its advertised
/// concurrent stream limit to be exceeded MUST treat this as a stream error of type PROTOCOL_ERROR or REFUSED_STREAM."
#[test]
fn a_stream_too_many_is_refused_and_can_be_tried_again() {
    let config = limits(|limits| limits.h2_streams_max = 3);
    let at_limit = served_with(&config, &[], [h2::post(1), h2::post(3), h2::post(5)].concat());
    assert!(
        at_limit.lives()
            && !at_limit.sent_frames.iter().any(|frame| matches!(frame, SentFrame::Reset { .. }))
    );
    assert!(matches!(&at_limit.sent_frames[0], SentFrame::Settings(entries)
        if entries.contains(&(setting::MAX_CONCURRENT_STREAMS, 3))));
    let past = [h2::post(1), h2::post(3), h2::post(5), h2::post(7), h2::data(7, b"content!", true)].concat();
    let reaction = served_with(&config, &[], &past);
    assert_eq!(h2::reset(&reaction.sent_frames, 7), Some(code::REFUSED_STREAM));
    assert!(reaction.lives());
    assert_eq!(reaction.delivered.streams.len(), 3);
    // The place of a stream that has ended is free again.
    let reaction = served_with(&config, &[], [&past[..], &h2::data(3, b"", true), &h2::get(9)].concat());
    assert_eq!([reaction.status(3), reaction.status(9)], [Some(200); 2]);
}

/// The same of a client: requests wait for their turn, in order.
#[test]
fn a_client_waits_until_the_server_takes_more_streams() {
    let mut client = Endpoint::http2_client(defaults(), Silent);
    let mut reader = Reader::default();
    client.receive(&h2::server_begins(&[(setting::MAX_CONCURRENT_STREAMS, 2)]), Buffer::Lent);
    for target in ["/1", "/3", "/5", "/7"] {
        request(&mut client, "GET", target, true);
    }
    let opened = |sent_frames: &[SentFrame]| {
        sent_frames.iter().filter(|frame| matches!(frame, SentFrame::Headers { .. })).count()
    };
    let sent_frames = reader.read(&client.take_sent());
    assert_eq!(opened(&sent_frames), 2, "{sent_frames:?}");
    client.receive(&response(3, true), Buffer::Lent);
    let sent_frames = reader.read(&client.take_sent());
    assert!(matches!(&sent_frames[..], [SentFrame::Headers { stream: 5, end: true, .. }]), "{sent_frames:?}");
    // A reset frees a place, too.
    client.receive(&h2::rst_stream(1, code::CANCEL), Buffer::Lent);
    let sent_frames = reader.read(&client.take_sent());
    assert!(matches!(&sent_frames[..], [SentFrame::Headers { stream: 7, end: true, .. }]), "{sent_frames:?}");
    client.receive(&[response(5, true), response(7, true)].concat(), Buffer::Lent);
    let causes = client.seen.causes();
    assert_eq!(causes.iter().filter(|cause| **cause == Cause::Complete).count(), 3, "{causes:?}");
}

/// The application may hold every stream that the server takes, for as long as it likes: the requests behind them do not wait for ever.
#[test]
fn a_request_that_waits_for_a_stream_has_a_deadline_which_begins_anew_when_one_before_it_begins() {
    let timeout = defaults().limits.response_timeout;
    let paused = |event: Event<'_>| {
        if let Event::Response { mut stream, .. } = event {
            stream.pause();
        }
    };
    let mut client = Endpoint::http2_client(defaults(), paused);
    client.receive(&h2::server_begins(&[(setting::MAX_CONCURRENT_STREAMS, 2)]), Buffer::Lent);
    let keys = ["/1", "/3", "/5", "/7"].map(|target| request(&mut client, "GET", target, true));
    client
        .receive(&[response(1, false), response(3, false), h2::data(1, b"x", false)].concat(), Buffer::Lent);
    let alive = |client: &mut Endpoint<_>, duration: Duration| {
        let until = client.now + duration;
        while client.now < until {
            client.wait(Duration::from_secs(10).min(until - client.now));
            client.receive(&h2::ping(false, PROBE), Buffer::Lent);
        }
    };
    alive(&mut client, timeout / 2);
    client.receive(&h2::rst_stream(1, code::CANCEL), Buffer::Lent);
    client.receive(&response(5, false), Buffer::Lent);
    alive(&mut client, timeout - Duration::from_secs(1));
    assert_eq!(client.seen.causes(), [Cause::Reset(ErrorCode::CANCEL)], "the last one waits");
    alive(&mut client, Duration::from_secs(2));
    assert_eq!(client.of(keys[3]).causes(), [Cause::Timeout(Deadline::Response)]);
    let sent_frames = Reader::default().read(&client.take_sent());
    assert!(h2::on(&sent_frames, 7).is_empty(), "nothing was sent_frames of it: {sent_frames:?}");
    assert!(client.keys().contains(&keys[1]) && client.keys().contains(&keys[2]), "the others go on");
}

/// RFC 9113 §6.5.2: "A value of 0 for SETTINGS_MAX_CONCURRENT_STREAMS SHOULD NOT be treated as special by endpoints." A larger one lets waiting
/// requests go.
#[test]
fn a_server_that_takes_no_streams_now_may_take_some_later() {
    let mut client = Endpoint::http2_client(defaults(), Silent);
    let mut reader = Reader::default();
    client.receive(&h2::server_begins(&[(setting::MAX_CONCURRENT_STREAMS, 0)]), Buffer::Lent);
    request(&mut client, "GET", "/", true);
    request(&mut client, "GET", "/", true);
    let sent_frames = reader.read(&client.take_sent());
    assert!(!sent_frames.iter().any(|frame| matches!(frame, SentFrame::Headers { .. })), "{sent_frames:?}");
    client.receive(&h2::settings(&[(setting::MAX_CONCURRENT_STREAMS, 1)]), Buffer::Lent);
    let sent_frames = reader.read(&client.take_sent());
    assert!(
        sent_frames.iter().any(|frame| matches!(frame, SentFrame::Headers { stream: 1, .. })),
        "{sent_frames:?}"
    );
    assert!(
        !sent_frames.iter().any(|frame| matches!(frame, SentFrame::Headers { stream: 3, .. })),
        "{sent_frames:?}"
    );
}

/// A frame on a stream whose request waits is one for a stream that has not begun.
#[test]
fn a_request_that_waits_has_not_begun() {
    for frame in [
        response(5, true),
        h2::data(5, b"content!", true),
        h2::rst_stream(5, code::CANCEL),
        h2::window_update(5, 1),
    ] {
        let make = || {
            let mut client = client(&defaults());
            client.receive(&h2::server_begins(&[(setting::MAX_CONCURRENT_STREAMS, 2)]), Buffer::Lent);
            request(&mut client, "GET", "/", true);
            client.forget();
            client
        };
        let reaction = Reaction::of(deliver(make, &frame));
        assert_eq!(
            h2::go_aways(&reaction.sent_frames),
            [(0, code::PROTOCOL_ERROR)],
            "{:?}",
            reaction.sent_frames
        );
        assert_eq!(reaction.causes(), [Cause::Violation(Violation::StreamIdle); 3]);
    }
}

/// `h2_requests_queued_max`: a request more is given back.
#[test]
fn so_many_requests_wait_and_no_more() {
    let config = limits(|limits| limits.h2_requests_queued_max = 2);
    let mut client = Endpoint::http2_client(config, Silent);
    client.receive(&h2::server_begins(&[(setting::MAX_CONCURRENT_STREAMS, 1)]), Buffer::Lent);
    let get = Request::get("a", "/");
    let mut ask = || {
        client
            .connection
            .request(client.now, &get, NO_FIELDS, Payload::Static(b""), true)
            .map(|sent| sent.key())
    };
    assert!(ask().is_ok() && ask().is_ok() && ask().is_ok());
    assert_eq!(ask().map(|_| ()), Err(Misuse::QueueFull));
}

/// A request that waits can be given up; the others go on.
#[test]
fn a_request_that_waits_can_be_given_up() {
    let mut client = Endpoint::http2_client(defaults(), Silent);
    let mut reader = Reader::default();
    client.receive(&h2::server_begins(&[(setting::MAX_CONCURRENT_STREAMS, 1)]), Buffer::Lent);
    let _first = request(&mut client, "GET", "/1", true);
    let second: StreamKey = request(&mut client, "GET", "/3", true);
    let _third = request(&mut client, "GET", "/5", true);
    client.connection.stream(second).expect("the stream").abort();
    client.settle();
    assert_eq!(client.seen.causes(), [Cause::Aborted]);
    client.receive(&response(1, true), Buffer::Lent);
    let sent_frames = reader.read(&client.take_sent());
    let opened: Vec<u32> = sent_frames
        .iter()
        .filter_map(|frame| match frame {
            SentFrame::Headers { stream, .. } => Some(*stream),
            _ => None,
        })
        .collect();
    assert_eq!(opened, [1, 5], "{sent_frames:?}");
    assert!(!sent_frames.iter().any(|frame| matches!(frame, SentFrame::Reset { .. })), "{sent_frames:?}");
}

/// Streams of one connection are separate: each has its own content, answer and end.
#[test]
fn streams_do_not_get_mixed_up() {
    let mut bytes = Vec::new();
    let ids: Vec<u32> = (1..20).step_by(2).collect();
    ids.iter().for_each(|id| bytes.extend(h2::post(*id)));
    for part in 0..3 {
        ids.iter().for_each(|id| bytes.extend(h2::data(*id, format!("{id} part {part}; "), false)));
    }
    ids.iter().rev().for_each(|id| bytes.extend(h2::data(*id, b"", true)));
    let reaction = no_error(Role::Server, bytes);
    for id in ids {
        let content = format!("{id} part 0; {id} part 1; {id} part 2; ");
        assert_eq!(h2::answer(&reaction.sent_frames, id), Some((200, content.as_str().into())));
    }
    assert_eq!(reaction.causes(), [Cause::Complete; 10]);
}

/// A permit names its stream, so that an application with many knows for which it is.
#[test]
fn a_permit_is_for_the_stream_that_asked() {
    let asked = std::cell::RefCell::new(Vec::new());
    let app = |event: Event<'_>| match event {
        Event::Request { mut stream, .. } => {
            asked.borrow_mut().push(stream.key());
            stream.want_write();
        }
        Event::Writable(permit) => {
            assert_eq!(asked.borrow_mut().remove(0), permit.key());
            permit
                .into_exchange()
                .expect("an exchange")
                .respond(lws_proto::http::Status::OK, NO_FIELDS, Payload::Static(b"x"), true)
                .expect("a response")
                .again();
        }
        _ => {}
    };
    let (mut server, mut reader) = server(&defaults(), &[], app);
    server.receive(&[h2::get(1), h2::get(3), h2::get(5)].concat(), Buffer::Lent);
    let sent_frames = reader.read(&server.take_sent());
    assert!([1, 3, 5].iter().all(|stream| h2::ended(&sent_frames, *stream)), "{sent_frames:?}");
}
