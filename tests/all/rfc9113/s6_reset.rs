//! RST_STREAM. RFC 9113 §6.4 and §8.7.

use super::*;
use lws_proto::Event;

/// RFC 9113 §6.4: "If a RST_STREAM frame identifying an idle stream is received, the recipient MUST treat this as a connection error of type
/// PROTOCOL_ERROR."
#[test]
fn a_stream_that_has_not_begun_cannot_be_reset() {
    connection_error(Role::Server, h2::rst_stream(1, 8), code::PROTOCOL_ERROR, Violation::StreamIdle);
    connection_error(Role::Client, h2::rst_stream(5, 8), code::PROTOCOL_ERROR, Violation::StreamIdle);
    connection_error(Role::Client, h2::rst_stream(2, 8), code::PROTOCOL_ERROR, Violation::StreamIdle);
}

/// RFC 9113 §6.4: "After receiving a RST_STREAM on a stream, the receiver MUST NOT send additional frames for that stream, except for PRIORITY." §5.4.2: "To
/// avoid looping, an endpoint MUST NOT send a RST_STREAM in response to a RST_STREAM frame."
#[test]
fn a_reset_stream_is_over_and_not_reset_back() {
    for role in Role::BOTH {
        for known in [0, 1, 2, 5, 7, 8, 11] {
            let reaction = role.reacts([role.opens(), h2::rst_stream(1, known)].concat());
            assert!(
                reaction.lives() && h2::reset(&reaction.sent_frames, 1).is_none(),
                "{role:?} {:?}",
                reaction.sent_frames
            );
            let cause = match (role, known) {
                (Role::Client, 7) => Cause::Refused,
                _ => Cause::Reset(ErrorCode::new(known)),
            };
            assert_eq!(reaction.causes(), [cause], "{role:?}");
        }
    }
}

/// RFC 9113 §8.7: "The REFUSED_STREAM error code can be included in a RST_STREAM frame to indicate that the stream is being closed prior to any processing
/// having occurred. Any request that was sent on the reset stream can be safely retried."
#[test]
fn a_refused_request_may_be_sent_again_on_the_same_connection() {
    let mut client = client(&defaults());
    client.receive(&[h2::server_begins(&[]), h2::rst_stream(1, code::REFUSED_STREAM)].concat(), Buffer::Lent);
    assert_eq!(client.seen.causes(), [Cause::Refused]);
    assert!(client.seen.causes()[0].is_retryable());
    request(&mut client, "GET", "/get", true);
    client.receive(&response(5, true), Buffer::Lent);
    assert!(client.seen.causes().contains(&Cause::Complete), "{:?}", client.seen);
}

/// RFC 9113 §8.1: "A server MAY request that the client abort transmission of a request without error by sending a RST_STREAM with an error code of NO_ERROR
/// after sending a complete response ... Clients MUST NOT discard responses as a result of receiving such a RST_STREAM".
#[test]
fn a_complete_response_is_kept_when_the_rest_of_the_request_is_not_wanted() {
    let frames = [response(3, false), h2::data(3, b"content", true), h2::rst_stream(3, code::NO_ERROR)];
    let reaction = answered(frames.concat());
    let transcript = &reaction.delivered.streams[0];
    assert_eq!(transcript.contents(), ["content".into()]);
    assert_eq!(transcript.causes(), [Cause::Complete]);
    // Of a paused stream, too.
    let app = |event: Event<'_>| {
        if let Event::Response { mut stream, .. } = event {
            stream.pause();
        }
    };
    let mut client = client_by(&defaults(), app);
    client.receive(&[h2::server_begins(&[]), frames.concat()].concat(), Buffer::Lent);
    let key = client.key();
    client.connection.stream(key).expect("the stream").resume();
    client.settle();
    assert_eq!(client.of(key).contents(), ["content".into()]);
    assert_eq!(client.of(key).causes(), [Cause::Complete]);
}

/// The same from the other side: our server's answer to a request that goes on and on.
#[test]
fn the_rest_of_a_request_is_not_wanted_after_the_response() {
    let config = tests::endpoint::limits(|limits| limits.discard_bytes_max = 1_000);
    let app = tests::application::Answer::default;
    let bytes = [h2::post(1), h2::data(1, [0; 1_000], false)].concat();
    let reaction = served_by(&config, &[], app, &bytes);
    assert_eq!((reaction.status(1), h2::reset(&reaction.sent_frames, 1)), (Some(200), None));
    let reaction = served_by(&config, &[], app, [bytes, h2::data(1, [0; 1], false)].concat());
    assert_eq!((reaction.status(1), h2::reset(&reaction.sent_frames, 1)), (Some(200), Some(code::NO_ERROR)));
    assert_eq!(reaction.causes(), [Cause::Complete]);
}

/// What an application gives up is reset with CANCEL. RFC 9113 §7.
#[test]
fn an_abort_is_a_reset() {
    let app = || {
        |event: Event<'_>| {
            if let Event::Request { stream, .. } = event {
                stream.abort();
            }
        }
    };
    let reaction = served_by(&defaults(), &[], app, [h2::post(1), h2::get(3)].concat());
    assert_eq!([1, 3].map(|stream| h2::reset(&reaction.sent_frames, stream)), [Some(code::CANCEL); 2]);
    assert_eq!(reaction.causes(), [Cause::Aborted; 2]);
    assert!(reaction.lives());
    let mut client = client(&defaults());
    client.receive(&h2::server_begins(&[]), Buffer::Lent);
    let key = request(&mut client, "GET", "/", true);
    client.forget();
    client.connection.stream(key).expect("the stream").abort();
    client.settle();
    assert_eq!(client.sent, h2::rst_stream(5, code::CANCEL));
    assert_eq!(client.of(key).causes(), [Cause::Aborted]);
}

/// RFC 9113 §5.4.2: "The peer that sends the RST_STREAM frame MUST be prepared to receive any frames that were sent or enqueued for sending by the remote peer." However many
/// streams were reset at once.
#[test]
fn frames_on_their_way_for_many_streams_that_were_reset_are_dropped() {
    let mut client = Endpoint::http2_client(defaults(), Silent);
    client.receive(&h2::server_begins(&[]), Buffer::Lent);
    let keys: Vec<_> = (0..300).map(|_| request(&mut client, "GET", "/", true)).collect();
    for key in &keys {
        client.connection.stream(*key).expect("a stream").abort();
    }
    client.settle();
    client.forget();
    let late = |stream: u32| [response(stream, false), h2::data(stream, b"late", true)].concat();
    client.receive(&(0..300).flat_map(|at| late(1 + 2 * at)).collect::<Vec<_>>(), Buffer::Lent);
    let sent_frames = Reader::default().read(&client.take_sent());
    assert!(sent_frames.is_empty(), "{sent_frames:?}");
    request(&mut client, "GET", "/", true);
    client.receive(&response(601, true), Buffer::Lent);
    assert_eq!(client.seen.causes(), [Cause::Complete]);
}

/// A server that fails many requests costs its client those, and not the connection: each was the client's own.
#[test]
fn requests_that_the_server_resets_are_no_attack() {
    let mut client = Endpoint::http2_client(defaults(), Silent);
    client.receive(&h2::server_begins(&[]), Buffer::Lent);
    for at in 0..500 {
        request(&mut client, "GET", "/", true);
        client.receive(&h2::rst_stream(1 + 2 * at, code::CANCEL), Buffer::Lent);
    }
    assert_eq!(client.seen.causes(), [Cause::Reset(ErrorCode::CANCEL); 500]);
    assert!(client.connection.interest().read && !client.connection.interest().shutdown);
}

/// RFC 9113 §6.4: "After receiving a RST_STREAM on a stream, the receiver MUST NOT send additional frames for that stream": what waits for a window is dropped.
#[test]
fn nothing_more_is_sent_on_a_stream_that_was_reset() {
    let answer = || tests::application::Answer { content: vec![b'x'; 100_000].into(), ..Default::default() };
    let (mut server, mut reader) = server(&defaults(), &[], Each::of(answer));
    server.receive(&[h2::get(1), h2::get(3)].concat(), Buffer::Lent);
    assert!(!h2::on(&reader.read(&server.take_sent()), 1).is_empty());
    let more =
        [h2::rst_stream(1, code::CANCEL), h2::window_update(1, 500_000), h2::window_update(0, 500_000)];
    server.receive(&more.concat(), Buffer::Lent);
    let sent_frames = reader.read(&server.take_sent());
    assert!(h2::on(&sent_frames, 1).is_empty(), "{sent_frames:?}");
    assert!(!h2::on(&sent_frames, 3).is_empty(), "the other goes on: {sent_frames:?}");
    // A request that was being sent.
    let mut client = Endpoint::http2_client(defaults(), Silent);
    client.receive(&h2::server_begins(&[]), Buffer::Lent);
    let key = request(&mut client, "POST", "/", false);
    let permit = client.connection.exchange(key).expect("the POST").permit().expect("a permit");
    permit.data(Payload::Static(&[0; 100_000]), true).expect("content").throttle();
    client.settle();
    client.forget();
    client.receive(&[h2::rst_stream(1, code::CANCEL), h2::window_update(0, 500_000)].concat(), Buffer::Lent);
    let sent_frames = Reader::default().read(&client.take_sent());
    assert!(sent_frames.is_empty(), "{sent_frames:?}");
}
