//! Responses, as a client takes them. RFC 9113 §8.1 and §8.3.2.

use super::*;
use tests::{Octets, Seen};

/// RFC 9113 §8.1: DATA is no part of a response before its head: "malformed".
#[test]
fn content_does_not_come_before_the_head() {
    let bytes = h2::data(1, b"content!", true);
    stream_error(Role::Client, bytes, 1, code::PROTOCOL_ERROR, Violation::FieldSection);
    let interim = h2::headers(1, &[(":status", "103")], false);
    let bytes = [interim, h2::data(1, b"content!", true)].concat();
    stream_error(Role::Client, bytes, 1, code::PROTOCOL_ERROR, Violation::FieldSection);
}

/// RFC 9113 §8.1: "An interim response consists of a HEADERS frame ... A HEADERS frame with the END_STREAM flag set that carries an informational status code is
/// malformed." §8.6: "HTTP/2 removes support for the 101 (Switching Protocols) informational status code."
#[test]
fn interim_responses_are_delivered_and_end_nothing() {
    let interim = |status, end| h2::headers(1, &[(":status", status), ("link", "x")], end);
    let bytes = [interim("103", false), interim("100", false), response(1, true)].concat();
    let reaction = no_error(Role::Client, bytes);
    let statuses: Vec<_> = reaction.delivered.streams[0]
        .0
        .iter()
        .filter_map(|seen| match seen {
            Seen::Response { status, end, .. } => Some((*status, *end)),
            _ => None,
        })
        .collect();
    assert_eq!(statuses, [(103, false), (100, false), (200, true)]);
    for bytes in [interim("103", true), interim("101", false)] {
        stream_error(Role::Client, bytes, 1, code::PROTOCOL_ERROR, Violation::FieldSection);
    }
}

/// Responses that have no content, whatever their Content-Length says. RFC 9113 §8.1.1: "... a response to a HEAD request, and responses with 204 or 304 ...
/// can have a non-zero value for the Content-Length header field, even though no content is included in DATA frames."
#[test]
fn a_length_without_content_is_fine_where_there_is_none() {
    for (method, status) in [("HEAD", "200"), ("GET", "304"), ("HEAD", "404")] {
        let make = || {
            let mut client = Endpoint::http2_client(defaults(), Silent);
            request(&mut client, method, "/", true);
            client
        };
        let head = |end| h2::headers(1, &[(":status", status), ("content-length", "100")], end);
        for frames in [head(true), [head(false), h2::data(1, b"", true)].concat()] {
            let delivered = deliver(make, &[h2::server_begins(&[]), frames].concat());
            assert_eq!(delivered.seen.causes(), [Cause::Complete], "{method} {status}");
        }
        let frames = [h2::server_begins(&[]), head(false), h2::data(1, b"x", true)].concat();
        let delivered = deliver(make, &frames);
        assert_eq!(delivered.seen.causes(), [Cause::Violation(Violation::ContentLengthMismatch)]);
    }
}

/// Responses are matched by their streams, in whatever order they come.
#[test]
fn responses_come_in_any_order() {
    let make = || {
        let mut client = Endpoint::http2_client(defaults(), Silent);
        for _ in 0..5 {
            request(&mut client, "GET", "/", true);
        }
        client
    };
    let mut frames = h2::server_begins(&[]);
    [7, 1, 9, 3, 5].iter().for_each(|id| frames.extend(response(*id, false)));
    [3, 9, 1, 5, 7].iter().for_each(|id| frames.extend(h2::data(*id, format!("of {id}"), false)));
    [1, 3, 5, 7, 9].iter().for_each(|id| frames.extend(h2::data(*id, "!", true)));
    let delivered = deliver(make, &frames);
    let contents: Vec<Octets> = delivered.streams.iter().flat_map(|stream| stream.contents()).collect();
    assert_eq!(contents, [7, 1, 9, 3, 5].map(|id| Octets::from(format!("of {id}!").as_str())));
    assert_eq!(delivered.seen.causes(), [Cause::Complete; 5]);
}

/// Content of a request leaves as the windows of the server allow, and its end with it.
#[test]
fn a_request_with_content_waits_for_windows() {
    let mut client = Endpoint::http2_client(defaults(), Silent);
    let mut reader = Reader::default();
    let settings = [(h2::setting::INITIAL_WINDOW_SIZE, 10)];
    client.receive(&h2::server_begins(&settings), Buffer::Lent);
    let post = Request { method: "POST", target: "/", host: "a" };
    client
        .connection
        .request(client.now, &post, NO_FIELDS, Payload::Static(b"0123456789abcdef"), true)
        .expect("a request");
    client.settle();
    let sent_frames = reader.read(&client.take_sent());
    let Some(SentFrame::Headers { fields, end: false, .. }) = h2::on(&sent_frames, 1).into_iter().next()
    else {
        panic!("{sent_frames:?}")
    };
    assert!(fields.contains(&("content-length", "16").into()), "{fields:?}");
    assert!(
        sent_frames.contains(&SentFrame::Data { stream: 1, content: "0123456789".into(), end: false }),
        "{sent_frames:?}"
    );
    client.receive(&h2::window_update(1, 6), Buffer::Lent);
    let sent_frames = reader.read(&client.take_sent());
    assert_eq!(sent_frames, [SentFrame::Data { stream: 1, content: "abcdef".into(), end: true }]);
}

/// A response that does not come is given up, and only its stream.
#[test]
fn a_response_has_its_time() {
    let config = tests::endpoint::limits(|limits| {
        limits.response_timeout = std::time::Duration::from_secs(5);
    });
    let mut client = Endpoint::http2_client(config, Silent);
    let mut reader = Reader::default();
    client.receive(&h2::server_begins(&[]), Buffer::Lent);
    request(&mut client, "GET", "/", true);
    client.wait(std::time::Duration::from_millis(4_999));
    assert!(client.seen.causes().is_empty());
    client.wait(std::time::Duration::from_millis(1));
    assert_eq!(client.seen.causes(), [Cause::Timeout(lws_proto::Deadline::Response)]);
    let sent_frames = reader.read(&client.take_sent());
    assert_eq!(h2::reset(&sent_frames, 1), Some(code::CANCEL));
    assert!(h2::go_aways(&sent_frames).is_empty());
}

/// The transport ends: what was not answered is not complete.
#[test]
fn an_end_of_the_transport_ends_every_stream() {
    let mut client = client(&defaults());
    client.receive(
        &[h2::server_begins(&[]), response(1, false), h2::data(1, b"half", false)].concat(),
        Buffer::Lent,
    );
    client.receive_eof();
    assert_eq!(client.seen.causes(), [Cause::Disconnected; 2]);
    let (mut server, _) = echo_server();
    server.receive(&[h2::post(1), h2::data(1, b"half", false)].concat(), Buffer::Lent);
    server.receive_eof();
    assert_eq!(server.seen.causes(), [Cause::Disconnected]);
}
