//! Messages: content, its length, trailers and interim responses of a server. RFC 9113 §8.1.

use super::*;
use lws_proto::Event;
use lws_proto::http::Status;
use tests::{Octets, Seen};

/// A POST that announces so much content.
fn announced(length: &str) -> Vec<u8> {
    h2::headers(1, &[h2::POST.as_slice(), &[("content-length", length)]].concat(), false)
}

/// RFC 9113 §8.1.1: "A request or response that is defined as having content when it contains a Content-Length header field is malformed if the value of the
/// Content-Length header field does not equal the sum of the DATA frame payload lengths that form the content, excluding padding."
#[test]
fn the_content_has_the_length_that_was_said() {
    let response = |length: &str| h2::headers(1, &[(":status", "200"), ("content-length", length)], false);
    for (role, head) in [(Role::Server, announced("10")), (Role::Client, response("10"))] {
        for frames in [
            vec![h2::data(1, [b'x'; 10], true)],
            vec![h2::data(1, [b'x'; 10], false), h2::data(1, b"", true)],
            vec![h2::padded(1, &[b'x'; 4], 200, false), h2::padded(1, &[b'x'; 6], 3, true)],
        ] {
            let reaction = no_error(role, [head.clone(), frames.concat()].concat());
            assert_eq!(reaction.delivered.seen.contents(), [Octets(vec![b'x'; 10])], "{role:?}");
        }
        for frames in [
            vec![h2::data(1, [b'x'; 9], true)],
            vec![h2::data(1, b"", true)],
            vec![h2::data(1, [b'x'; 11], true)],
            vec![h2::data(1, [b'x'; 10], false), h2::data(1, b"x", false)],
            vec![h2::data(1, [b'x'; 9], false), h2::headers(1, &[("x", "y")], true)],
        ] {
            let bytes = [head.clone(), frames.concat()].concat();
            stream_error(role, bytes, 1, code::PROTOCOL_ERROR, Violation::ContentLengthMismatch);
        }
    }
    let no_content = h2::headers(1, &[h2::POST.as_slice(), &[("content-length", "5")]].concat(), true);
    stream_error(Role::Server, no_content, 1, code::PROTOCOL_ERROR, Violation::ContentLengthMismatch);
    let none = h2::headers(1, &[h2::POST.as_slice(), &[("content-length", "0")]].concat(), true);
    no_error(Role::Server, none);
}

/// RFC 9110 §8.6, as RFC 9113 §8.1.1 has it: a length that is none is malformed, and so are two that differ.
#[test]
fn the_length_is_a_number() {
    for length in ["x", "", "-1", "+1", "1.0", "0x1", "1, 1", "18446744073709551616"] {
        stream_error(Role::Server, announced(length), 1, code::PROTOCOL_ERROR, Violation::ContentLength);
    }
    let two = |a, b| {
        h2::headers(
            1,
            &[h2::POST.as_slice(), &[("content-length", a), ("content-length", b)]].concat(),
            false,
        )
    };
    stream_error(Role::Server, two("1", "2"), 1, code::PROTOCOL_ERROR, Violation::ContentLength);
    // A number that is repeated is refused of a request and taken for one of a response, as in HTTP/1.1. RFC 9110 §8.6.
    stream_error(Role::Server, two("1", "1"), 1, code::PROTOCOL_ERROR, Violation::ContentLength);
    let response = |lengths: &[&str]| {
        let lengths = lengths.iter().map(|length| ("content-length", *length));
        let fields: Vec<_> = [(":status", "200")].into_iter().chain(lengths).collect();
        [h2::headers(1, &fields, false), h2::data(1, b"x", true)].concat()
    };
    no_error(Role::Client, response(&["1", "1"]));
    no_error(Role::Client, response(&["1, 1"]));
    for lengths in [&["1", "2"][..], &["1, 2"], &["1", "x"], &["1,"]] {
        stream_error(Role::Client, response(lengths), 1, code::PROTOCOL_ERROR, Violation::ContentLength);
    }
}

/// RFC 9110 §6.5.1, RFC 9112 §7.1.2: a trailer field that frames or routes is refused, one that only comes too late is dropped.
#[test]
fn trailers_that_mean_nothing_are_dropped() {
    for role in Role::BOTH {
        for name in ["content-length", "host"] {
            let frames = [role.opens(), h2::headers(1, &[("x", "y"), (name, "1")], true)];
            stream_error(role, frames.concat(), 1, code::PROTOCOL_ERROR, Violation::Trailer);
        }
        for name in ["authorization", "cookie", "set-cookie", "content-type", "trailer", "cache-control"] {
            let trailers = [(name, "1"), ("x", "y"), (name, "2"), ("z", "")];
            let reaction = no_error(role, [role.opens(), h2::headers(1, &trailers, true)].concat());
            let kept = Seen::Trailers { fields: vec![("x".into(), "y".into()), ("z".into(), "".into())] };
            assert!(
                reaction.delivered.seen.0.contains(&kept),
                "{role:?} {name}: {:?}",
                reaction.delivered.seen
            );
            let reaction = no_error(role, [role.opens(), h2::headers(1, &[(name, "1")], true)].concat());
            assert_eq!(
                reaction.delivered.seen.count(|seen| matches!(seen, Seen::Trailers { .. })),
                0,
                "{name}"
            );
        }
    }
}

/// RFC 9113 §8.1: "An HTTP message (request or response) consists of: 1. one HEADERS frame ..., 2. zero or more DATA frames containing the message content,
/// and 3. optionally, one HEADERS frame ... containing the trailer section". "An endpoint that receives a HEADERS frame without the END_STREAM flag
/// set after receiving the HEADERS frame that opens a request or after receiving a final (non-informational) status code MUST treat the
/// corresponding request or response as malformed."
#[test]
fn trailers_end_the_message() {
    for role in Role::BOTH {
        let frames =
            [role.opens(), h2::data(1, b"content", false), h2::headers(1, &[("x", "y"), ("z", "")], true)];
        let reaction = no_error(role, frames.concat());
        let transcript = &reaction.delivered.streams[0].0;
        let content = Seen::Body { content: "content".into(), end: true };
        let trailers = Seen::Trailers { fields: vec![("x".into(), "y".into()), ("z".into(), "".into())] };
        let at = transcript.iter().position(|seen| *seen == content).expect("the content");
        assert_eq!(transcript[at + 1], trailers, "{role:?}: {transcript:?}");
        // Without content, and without fields.
        let frames = [role.opens(), h2::headers(1, &[("x", "y")], true)];
        let reaction = no_error(role, frames.concat());
        assert_eq!(
            reaction.delivered.seen.count(|seen| matches!(seen, Seen::Trailers { .. })),
            1,
            "{role:?}"
        );
        no_error(role, [role.opens(), h2::headers(1, &[], true)].concat());
        // Not the end.
        let frames = [role.opens(), h2::headers(1, &[("x", "y")], false)];
        stream_error(role, frames.concat(), 1, code::PROTOCOL_ERROR, Violation::FieldSection);
    }
}

/// Trailers of ours, given while content still waits for a window, come behind it.
#[test]
fn trailers_are_sent_behind_the_content() {
    for window in [0, 3, 65_535] {
        let app = || {
            |event: Event<'_>| {
                if let Event::Request { stream, .. } = event {
                    let permit = stream.permit().expect("a permit");
                    let sent = permit
                        .respond(Status::OK, NO_FIELDS, Payload::Static(b"content"), false)
                        .expect("a response");
                    match sent.into_stream().permit() {
                        Ok(permit) => drop(permit.trailers([("x", "y")]).expect("trailers")),
                        Err(mut stream) => stream.want_write(),
                    }
                } else if let Event::Writable(permit) = event {
                    let permit = permit.into_exchange().expect("an exchange");
                    permit.trailers([("x", "y")]).expect("trailers").throttle();
                }
            }
        };
        let settings = [(h2::setting::INITIAL_WINDOW_SIZE, window)];
        let (mut server, mut reader) = server(&defaults(), &settings, app());
        server.receive(&h2::get(1), Buffer::Lent);
        server.receive(&h2::window_update(1, 100), Buffer::Lent);
        let sent_frames = reader.read(&server.take_sent());
        assert_eq!(h2::answer(&sent_frames, 1), Some((200, "content".into())), "{window}");
        let last = sent_frames.iter().rfind(|frame| frame.stream() == 1).expect("something");
        assert!(
            matches!(last, SentFrame::Headers { fields, end: true, .. } if *fields == [("x", "y").into()]),
            "{sent_frames:?}"
        );
    }
}

/// RFC 9110 §10.1.1: a server says 100 by itself when it wants the content, and not when it has answered.
#[test]
fn a_client_that_expects_100_gets_it() {
    let head = h2::headers(1, &[h2::POST.as_slice(), &[("expect", "100-continue")]].concat(), false);
    let statuses = |reaction: &Reaction| -> Vec<String> {
        let statuses = h2::on(&reaction.sent_frames, 1).into_iter().filter_map(|frame| match frame {
            SentFrame::Headers { fields, end, .. } => {
                Some(format!("{} {end}", String::from_utf8_lossy(&fields[0].value)))
            }
            _ => None,
        });
        statuses.collect()
    };
    let reaction = no_error(Role::Server, [&head[..], &h2::data(1, b"content", true)].concat());
    assert_eq!(statuses(&reaction)[0], "100 false");
    assert_eq!(reaction.status(1), Some(200));
    let reaction = served_by(&defaults(), &[], tests::application::Answer::default, &head);
    assert_eq!(statuses(&reaction), ["200 true"]);
}

/// Interim responses of the application. RFC 9113 §8.1; "HTTP/2 removes support for the 101 (Switching Protocols) informational status code" (§8.6).
#[test]
fn interim_responses_come_before_the_final_one() {
    let app = || {
        |event: Event<'_>| {
            if let Event::Request { mut stream, .. } = event {
                stream
                    .interim(Status::new(103).expect("a status"), [("link", "</a.css>")])
                    .expect("an interim response");
                let switching = stream.interim(Status::SWITCHING_PROTOCOLS, NO_FIELDS);
                assert_eq!(switching, Err(lws_proto::Misuse::StartLine));
                let permit = stream.permit().expect("a permit");
                permit
                    .respond(Status::OK, NO_FIELDS, Payload::Static(b"x"), true)
                    .expect("a response")
                    .throttle();
            }
        }
    };
    let reaction = served_by(&defaults(), &[], app, h2::get(1));
    let heads: Vec<_> = h2::on(&reaction.sent_frames, 1)
        .into_iter()
        .filter(|frame| matches!(frame, SentFrame::Headers { end: false, .. }))
        .collect();
    assert_eq!(heads.len(), 2, "{heads:?}");
    assert!(matches!(&heads[0], SentFrame::Headers { fields, .. } if fields[0] == (":status", "103").into()));
}

/// RFC 9110 §9.3.2, §15.3.5 and §15.4.5: a response to HEAD, 204 and 304 have no content, whatever the application gives.
#[test]
fn a_response_that_has_no_content_ends_with_its_head() {
    let mut head = h2::GET;
    head[0].1 = "HEAD";
    for (fields, status) in [(head, 200), (h2::GET, 204), (h2::GET, 304)] {
        let app = || {
            let status = Status::new(status).expect("a status");
            let content = if status == Status::OK { "content" } else { "" };
            tests::application::Answer { status, content: content.into(), ..Default::default() }
        };
        let reaction = served_by(&defaults(), &[], app, h2::headers(1, &fields, true));
        let sent_frames = h2::on(&reaction.sent_frames, 1);
        let [SentFrame::Headers { fields, end: true, .. }] = &sent_frames[..] else {
            panic!("{status}: {sent_frames:?}")
        };
        let length = fields.iter().find(|field| field.name == b"content-length");
        assert_eq!(length.is_some(), status == 200, "{fields:?}");
        assert_eq!(reaction.causes(), [Cause::Complete]);
    }
}

/// A large body in each direction, whatever the parts that it comes in.
#[test]
fn large_content_goes_both_ways() {
    let content: Vec<u8> = (0..30_000u32).map(|at| (at % 251) as u8).collect();
    let mut bytes = h2::post(1);
    content.chunks(7_000).for_each(|part| bytes.extend(h2::data(1, part, false)));
    bytes.extend(h2::data(1, b"", true));
    let reaction = no_error(Role::Server, bytes);
    assert_eq!(h2::answer(&reaction.sent_frames, 1), Some((200, Octets(content))));
}
