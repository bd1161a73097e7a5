//! GOAWAY and the orderly end. RFC 9113 §6.8 and §5.4.1.

use super::*;
use lws_proto::{Event, Misuse, StreamKey};
use std::time::Duration;
use tests::endpoint::limits;
use tests::h2::{frame, kind};

/// RFC 9113 §6.8: "A server that is attempting to gracefully shut down a connection SHOULD send an initial GOAWAY frame with the last stream identifier
/// set to 2^31-1 and a NO_ERROR code. ... After allowing time for any in-flight stream creation (at least one round-trip time), the server MAY
/// send another GOAWAY frame with an updated last stream identifier."
#[test]
fn a_server_ends_in_two_steps() {
    let (mut server, mut reader) = server(&defaults(), &[], Each::echo());
    server.receive(&h2::post(1), Buffer::Lent);
    server.connection.drain(server.now);
    server.settle();
    let sent_frames = reader.read(&server.take_sent());
    assert_eq!(h2::go_aways(&sent_frames), [(0x7fff_ffff, code::NO_ERROR)]);
    let Some(SentFrame::Ping { ack: false, payload }) = sent_frames.last() else { panic!("{sent_frames:?}") };
    // A request that was on its way is still taken.
    server.receive(&h2::get(3), Buffer::Lent);
    let sent_frames = reader.read(&server.take_sent());
    assert!(h2::ended(&sent_frames, 3), "{sent_frames:?}");
    server.receive(&h2::ping(true, *payload), Buffer::Lent);
    let sent_frames = reader.read(&server.take_sent());
    assert_eq!(h2::go_aways(&sent_frames), [(3, code::NO_ERROR)]);
    // One that the client sends after it has reaction is not, and the client knows.
    server.receive(&h2::get(5), Buffer::Lent);
    let sent_frames = reader.read(&server.take_sent());
    assert!(h2::on(&sent_frames, 5).is_empty(), "{sent_frames:?}");
    assert!(!server.connection.interest().shutdown);
    server.receive(&h2::data(1, b"content", true), Buffer::Lent);
    let sent_frames = reader.read(&server.take_sent());
    assert_eq!(h2::answer(&sent_frames, 1), Some((200, "content".into())));
    assert!(server.connection.interest().shutdown, "the last stream has ended");
    assert_eq!(server.seen.causes(), [Cause::Complete; 2]);
}

/// The same where the client does not answer the PING: some time is allowed.
#[test]
fn a_server_waits_for_what_is_on_its_way_for_so_long() {
    let (mut server, mut reader) = echo_server();
    server.receive(&h2::post(1), Buffer::Lent);
    server.connection.drain(server.now);
    server.settle();
    server.forget();
    server.wait(Duration::from_millis(4_999));
    assert!(h2::go_aways(&reader.read(&server.take_sent())).is_empty());
    server.wait(Duration::from_millis(1));
    assert_eq!(h2::go_aways(&reader.read(&server.take_sent())), [(1, code::NO_ERROR)]);
}

#[test]
fn an_idle_connection_ends_at_once() {
    let (mut server, mut reader) = echo_server();
    server.connection.drain(server.now);
    server.settle();
    assert_eq!(h2::go_aways(&reader.read(&server.take_sent())), [(0, code::NO_ERROR)]);
    assert!(server.connection.interest().shutdown);
    let mut client = Endpoint::http2_client(defaults(), Silent);
    client.receive(&h2::server_begins(&[]), Buffer::Lent);
    client.connection.drain(client.now);
    client.settle();
    let mut reader = Reader::default();
    assert_eq!(h2::go_aways(&reader.read(&client.take_sent())), [(0, code::NO_ERROR)]);
}

/// RFC 9113 §5.4.1: "An endpoint that encounters a connection error SHOULD first send a GOAWAY frame with the stream identifier of the last stream that
/// it successfully received from its peer. ... After sending the GOAWAY frame for an error condition, the endpoint MUST close the TCP connection."
#[test]
fn a_connection_error_names_the_last_stream_and_closes() {
    let bytes = [h2::get(1), h2::post(7), frame(kind::DATA, 0, 0, &[])].concat();
    let reaction = served(bytes);
    assert_eq!(h2::go_aways(&reaction.sent_frames), [(7, code::PROTOCOL_ERROR)]);
    assert!(reaction.delivered.fin);
    assert_eq!(reaction.causes(), [Cause::Complete, Cause::Violation(Violation::FrameStream)]);
}

/// A client with requests on streams 1, 3 and 5, and a fourth that waits.
fn busy_client() -> (Endpoint<Silent>, Vec<StreamKey>) {
    let mut client = Endpoint::http2_client(defaults(), Silent);
    client.receive(&h2::server_begins(&[(h2::setting::MAX_CONCURRENT_STREAMS, 3)]), Buffer::Lent);
    let keys = (0..4).map(|_| request(&mut client, "POST", "/", true)).collect();
    client.forget();
    (client, keys)
}

/// RFC 9113 §6.8: "Receivers of a GOAWAY frame MUST NOT open additional streams on the connection", and §8.7: "Requests that have not been processed have
/// not ... the GOAWAY frame indicates the highest stream number that might have been processed. Requests on streams with higher numbers are
/// therefore guaranteed to be safe to retry."
#[test]
fn requests_beyond_the_last_stream_may_be_sent_again() {
    let (mut client, keys) = busy_client();
    client.receive(&h2::go_away(3, code::NO_ERROR), Buffer::Lent);
    let of = |client: &Endpoint<Silent>, at: usize| client.of(keys[at]).causes();
    assert_eq!([of(&client, 2), of(&client, 3)], [vec![Cause::Refused], vec![Cause::Refused]]);
    assert!(Cause::Refused.is_retryable());
    assert_eq!([of(&client, 0), of(&client, 1)], [vec![], vec![]]);
    let get = Request::get("a", "/");
    let refused = client.connection.request(client.now, &get, NO_FIELDS, Payload::Static(b""), true);
    assert_eq!(refused.map(|_| ()), Err(Misuse::NotOffered));
    client.receive(&[response(1, true), response(3, true)].concat(), Buffer::Lent);
    assert_eq!([of(&client, 0), of(&client, 1)], [vec![Cause::Complete], vec![Cause::Complete]]);
    assert!(client.connection.interest().shutdown, "nothing is open, and nothing more will be");
    assert!(!Cause::Complete.is_retryable() && !Cause::Reset(ErrorCode::CANCEL).is_retryable());
}

/// The two steps, reaction by a client: the first says that it is ending, and no request is lost.
#[test]
fn a_client_hears_both_steps() {
    let (mut client, keys) = busy_client();
    client.receive(&h2::go_away(0x7fff_ffff, code::NO_ERROR), Buffer::Lent);
    // What waited has not been sent.
    assert_eq!(client.of(keys[3]).causes(), [Cause::Refused]);
    assert_eq!(client.seen.causes().len(), 1);
    client.receive(&h2::go_away(5, code::NO_ERROR), Buffer::Lent);
    client.receive(&[response(1, true), response(3, true), response(5, true)].concat(), Buffer::Lent);
    assert_eq!(client.seen.causes().iter().filter(|cause| **cause == Cause::Complete).count(), 3);
}

/// RFC 9113 §6.8: "a receiver of a GOAWAY that has no more use for the connection SHOULD still send a GOAWAY frame before terminating the connection."
#[test]
fn a_client_answers_a_go_away_with_one_when_it_ends() {
    let (mut client, _) = busy_client();
    client.receive(&h2::go_away(1, code::NO_ERROR), Buffer::Lent);
    assert!(client.take_sent().is_empty(), "one request is still to be answered");
    client.receive(&response(1, true), Buffer::Lent);
    let sent_frames = Reader::default().read(&client.take_sent());
    assert_eq!(h2::go_aways(&sent_frames), [(0, code::NO_ERROR)]);
    assert!(client.connection.interest().shutdown);
}

/// RFC 9113 §6.8: "Endpoints MUST NOT increase the value they send in the last stream identifier".
#[test]
fn the_last_stream_does_not_grow() {
    let bytes = [h2::go_away(1, code::NO_ERROR), h2::go_away(3, code::NO_ERROR)].concat();
    let reaction = answered(bytes);
    assert_eq!(h2::go_aways(&reaction.sent_frames), [(0, code::PROTOCOL_ERROR)]);
    assert_eq!(reaction.causes(), [Cause::Refused, Cause::Violation(Violation::GoAway)]);
    for role in Role::BOTH {
        // The same again, or less, is fine.
        let bytes = [role.opens(), h2::go_away(9, 0), h2::go_away(9, 0), h2::go_away(5, 0)].concat();
        no_error(role, bytes);
    }
}

/// A GOAWAY for an error ends the connection, and says so of every stream.
#[test]
fn an_error_of_the_peer_ends_every_stream() {
    let (mut client, keys) = busy_client();
    client.receive(&h2::go_away(3, code::ENHANCE_YOUR_CALM), Buffer::Lent);
    let causes: Vec<_> = keys.iter().map(|key| client.of(*key).causes()).collect();
    let reset = vec![Cause::Reset(ErrorCode::ENHANCE_YOUR_CALM)];
    assert_eq!(causes, [reset.clone(), reset, vec![Cause::Refused], vec![Cause::Refused]]);
    let (mut server, _) = echo_server();
    server.receive(&[h2::post(1), h2::go_away(0, code::PROTOCOL_ERROR)].concat(), Buffer::Lent);
    assert_eq!(server.seen.causes(), [Cause::Reset(ErrorCode::PROTOCOL_ERROR)]);
    assert!(server.connection.interest().shutdown);
}

/// RFC 9113 §6.8: "Endpoints MAY append opaque data to the payload of any GOAWAY frame." §7: "Unknown or unsupported error codes MUST NOT trigger any special
/// behavior."
#[test]
fn debug_data_and_unknown_codes_are_taken() {
    for code in [14, 0xdead_beef] {
        let payload = [&3u32.to_be_bytes()[..], &u32::to_be_bytes(code), &[0xff; 300]].concat();
        let reaction =
            no_error(Role::Client, [frame(kind::GOAWAY, 0, 0, &payload), response(1, true)].concat());
        assert_eq!(reaction.causes(), [Cause::Complete]);
        let reaction = answered(h2::rst_stream(1, code));
        assert!(reaction.lives());
        assert_eq!(reaction.causes(), [Cause::Reset(ErrorCode::new(code))]);
    }
}

/// A client that goes away may still be answered.
#[test]
fn a_client_that_goes_away_is_still_answered() {
    let reaction =
        served([h2::post(1), h2::go_away(0, code::NO_ERROR), h2::data(1, b"content", true)].concat());
    assert_eq!(reaction.status(1), Some(200));
}

/// An application that drains from inside an event.
#[test]
fn an_end_can_be_asked_for_at_any_time() {
    let app = |event: Event<'_>| {
        if let Event::Request { mut stream, .. } = event {
            stream.last_exchange();
            let permit = stream.permit().expect("a permit");
            permit
                .respond(lws_proto::http::Status::OK, NO_FIELDS, Payload::Static(b""), true)
                .expect("a response")
                .throttle();
        }
    };
    let (mut server, mut reader) = server(&defaults(), &[], app);
    server.receive(&h2::get(1), Buffer::Lent);
    let sent_frames = reader.read(&server.take_sent());
    assert!(h2::ended(&sent_frames, 1));
    assert!(!h2::go_aways(&sent_frames).is_empty(), "{sent_frames:?}");
}

/// RFC 9113 §6.8: "After sending a GOAWAY frame, the sender can discard frames for streams initiated by the receiver with identifiers higher than the
/// identified last stream. However, any frames that alter connection state cannot be completely ignored. For instance, HEADERS ... MUST be minimally
/// processed to ensure that the state maintained for field section compression is consistent; similarly, DATA frames MUST be counted toward
/// the connection flow-control window."
#[test]
fn frames_for_streams_behind_the_last_are_dropped_and_counted() {
    let config = limits(|limits| limits.h2_connection_window = 65_535);
    let (mut server, mut reader) = server(&config, &[], Each::echo());
    server.receive(&h2::post(1), Buffer::Lent);
    server.connection.drain(server.now);
    server.settle();
    // The client does not answer the PING, and the time is over.
    server.wait(Duration::from_secs(5));
    assert_eq!(h2::go_aways(&reader.read(&server.take_sent())), [(0x7fff_ffff, 0), (1, 0)]);
    // A field that enters the table of both sides, and is meant by a later request on a stream that counts.
    let entry = [&[0x40, 1, b'x', 1][..], b"y"].concat();
    let block = [h2::block(&h2::POST), entry].concat();
    let frames = [
        frame(kind::HEADERS, h2::flag::END_HEADERS, 5, &block),
        h2::window_update(5, 1_000),
        h2::data(5, vec![0; 16_384], false),
        h2::data(5, vec![0; 16_384], false),
        h2::headers(5, &[("a", "trailer")], true),
        h2::rst_stream(5, code::CANCEL),
        frame(kind::PRIORITY, 0, 7, b"bad"),
        h2::rst_stream(7, code::CANCEL),
    ];
    server.receive(&frames.concat(), Buffer::Lent);
    let sent_frames = reader.read(&server.take_sent());
    assert_eq!(sent_frames, [SentFrame::WindowUpdate { stream: 0, increment: 32_768 }]);
    let trailers = frame(kind::HEADERS, h2::flag::END_HEADERS | h2::flag::END_STREAM, 1, &[0xbe]);
    server.receive(&trailers, Buffer::Lent);
    let sent_frames = reader.read(&server.take_sent());
    assert_eq!(h2::answer(&sent_frames, 1), Some((200, "".into())), "{sent_frames:?}");
    assert_eq!(server.seen.causes(), [Cause::Complete]);
    assert!(server.connection.interest().shutdown);
}
