//! Ends tell the truth: no peer takes an incomplete response for a complete one, whatever cuts it, wherever it stands and whichever
//! version carries it; and what ends with its head asks for no content.

use crate::rfc9113::{self, code};
use crate::support::{defaults, served};
use lws_proto::http::Status;
use lws_proto::{Cause, Connection, Deadline, Event, Payload, Time, Violation};
use std::time::Duration;
use tests::application::NO_FIELDS;
use tests::endpoint::Buffer;
use tests::h2::{self, Reader, SentFrame};
use tests::{Application, Endpoint, Seen};

/// How far the response has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It has not begun.
    Head,
    /// Half of the content has been sent, whose length was announced.
    Length,
    /// Half of the content has been sent, whose length was not announced.
    Streamed,
    /// The same to an HTTP/1.0 client.
    UntilClose,
    /// It is complete; the request is not.
    Ended,
}

/// What ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// The application gives the exchange up.
    Abort,
    /// The request's content comes too slowly.
    Deadline,
    /// There is less content than was announced, like that of a file that became shorter.
    Short,
    /// The peer takes nothing any more.
    Stalled,
    /// The connection is given up, as at the end of a drain.
    DrainOver,
    /// The peer ends in the middle of its request.
    PeerEnds,
}

/// Answers as far as a phase says.
#[derive(Clone, Copy, Debug)]
struct Answering(Phase);

impl Application for Answering {
    fn event(&mut self, event: Event<'_>) {
        let Event::Request { stream, .. } = event else { return };
        let length: &[(&str, &str)] = if self.0 == Phase::Length { &[("content-length", "10")] } else { &[] };
        if self.0 == Phase::Head {
            return;
        }
        let permit = stream.permit().expect("a permit");
        let fields = length.iter().copied();
        let end = self.0 == Phase::Ended;
        permit.respond(Status::OK, fields, Payload::Static(b"hello"), end).expect("a response");
    }
}

/// Cuts the only stream of a server.
fn cut(server: &mut Endpoint<Answering>, cut: Cut) {
    match cut {
        Cut::Abort => server.stream().abort(),
        Cut::Deadline => server.wait(Duration::from_secs(10)),
        Cut::Short => {
            let permit = server.exchange().permit().expect("a permit");
            permit.fill(3, |_| (0, true)).expect("content");
        }
        Cut::Stalled => {
            server.room = 0;
            let permit = server.exchange().permit().expect("a permit");
            permit.data(Payload::Static(b"more"), false).expect("content");
            server.settle();
            server.wait(Duration::from_secs(30));
        }
        Cut::DrainOver => server.connection.abort(),
        Cut::PeerEnds => server.receive_eof(),
    }
    server.settle();
}

/// How the transport ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// With FIN, or a close behind which nothing is missing.
    InOrder,
    /// With a reset.
    Reset,
}

fn end<A: Application>(server: &mut Endpoint<A>) -> End {
    if server.connection.interest().shutdown {
        // What lingers ends in order.
        server.wait(Duration::from_secs(2));
    }
    let interest = server.connection.interest();
    assert!(interest.close && !interest.shutdown | !interest.reset, "{interest:?}");
    if interest.reset { End::Reset } else { End::InOrder }
}

/// RFC 9112 §8: "A message body that uses the chunked transfer coding is incomplete if the zero-sized chunk that terminates the encoding has
/// not been received", and one that ends with the connection cannot be distinguished from a whole one unless the connection ends otherwise.
#[test]
fn an_incomplete_response_of_http_1_ends_with_a_reset() {
    use Cut::{Abort, Deadline, DrainOver, PeerEnds, Short, Stalled};
    let check = |phase: Phase, cuts: &[Cut], expected: End| {
        for &one in cuts {
            let version = if phase == Phase::UntilClose { "1.0" } else { "1.1" };
            let head = format!("POST / HTTP/{version}\r\nHost: a\r\nContent-Length: 1000\r\n\r\nx");
            let mut server = Endpoint::server(defaults(), Answering(phase));
            server.receive(head.as_bytes(), Buffer::Lent);
            cut(&mut server, one);
            let shown = format!("{phase:?} {one:?}: {}", server.sent.escape_ascii());
            assert!(!server.sent.ends_with(b"0\r\n\r\n"), "{shown}");
            let begun = server.sent.windows(5).any(|five| five == b"hello");
            assert_eq!(begun, phase != Phase::Head, "{shown}");
            assert_eq!(end(&mut server), expected, "{shown}");
            let complete = server.seen.causes() == [Cause::Complete];
            assert!(!complete || phase == Phase::Ended, "{shown}");
        }
    };
    check(Phase::Head, &[Abort, DrainOver, PeerEnds], End::InOrder);
    for phase in [Phase::Length, Phase::Streamed, Phase::UntilClose] {
        check(phase, &[Abort, Deadline, Stalled, DrainOver, PeerEnds], End::Reset);
    }
    check(Phase::Length, &[Short], End::Reset);
    check(Phase::Ended, &[Abort, Deadline, DrainOver, PeerEnds], End::InOrder);
}

/// What waits when everything ends is lost, and a response in it is not complete.
#[test]
fn a_response_that_has_not_left_is_cut_with_the_rest() {
    for http2 in [false, true] {
        let mut server = Connection::server(Time::ZERO, defaults());
        let mut input = if http2 {
            [h2::client_begins(&[]), h2::get(1)].concat()
        } else {
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()
        };
        let mut feed = server.receive(Time::ZERO, &mut input);
        let Some(Event::Request { stream, .. }) = feed.next_event() else { panic!("a request") };
        let permit = stream.permit().expect("a permit");
        permit.respond(Status::OK, NO_FIELDS, Payload::Static(b"hello"), true).expect("a response");
        drop(feed);
        server.abort();
        let Some(Event::Closed { cause, .. }) = server.next_event() else { panic!("an end") };
        assert_eq!(cause, Cause::Aborted, "HTTP/2: {http2}");
        assert!(server.interest().close && server.interest().reset, "HTTP/2: {http2}");
    }
}

/// RFC 9113 §7: clients take NO_ERROR and CANCEL for an end that was meant, and so for a success. §8.1 has NO_ERROR "after sending a
/// complete response".
#[test]
fn an_incomplete_response_of_http_2_is_reset_with_an_error() {
    use Cut::{Abort, Deadline, PeerEnds, Short};
    const INTERNAL_ERROR: u32 = 2;
    let check = |phase: Phase, cuts: &[Cut], expected: u32| {
        for &one in cuts {
            let (mut server, mut reader) = rfc9113::server(&defaults(), &[], Answering(phase));
            server.receive(&h2::post(1), Buffer::Lent);
            cut(&mut server, one);
            let sent_frames = reader.read(&server.take_sent());
            assert_eq!(h2::reset(&sent_frames, 1), Some(expected), "{phase:?} {one:?}: {sent_frames:?}");
            assert_eq!(
                h2::ended(&sent_frames, 1),
                expected == code::NO_ERROR,
                "{phase:?} {one:?}: {sent_frames:?}"
            );
        }
    };
    check(Phase::Head, &[Abort], code::CANCEL);
    check(Phase::Head, &[PeerEnds], INTERNAL_ERROR);
    // That is answered 408.
    check(Phase::Head, &[Deadline], code::NO_ERROR);
    for phase in [Phase::Length, Phase::Streamed] {
        check(phase, &[Abort, Deadline, PeerEnds], INTERNAL_ERROR);
    }
    check(Phase::Length, &[Short], INTERNAL_ERROR);
    check(Phase::Ended, &[Abort, Deadline, PeerEnds], code::NO_ERROR);
    // No window for what is left of it.
    let (mut server, mut reader) =
        rfc9113::server(&defaults(), &[(h2::setting::INITIAL_WINDOW_SIZE, 3)], Answering(Phase::Ended));
    server.receive(&h2::get(1), Buffer::Lent);
    server.wait(Duration::from_secs(30));
    assert_eq!(h2::reset(&reader.read(&server.take_sent()), 1), Some(INTERNAL_ERROR));
    assert_eq!(server.seen.causes(), [Cause::Timeout(lws_proto::Deadline::Stalled)]);
}

/// When frames for single streams can no longer be sent, the transport is reset if one of the streams is
/// incomplete.
#[test]
fn a_connection_of_http_2_that_is_cut_is_reset_if_a_response_is_missing() {
    for (phase, expected) in [
        (Phase::Length, End::Reset),
        (Phase::Streamed, End::Reset),
        (Phase::Head, End::Reset),
        (Phase::Ended, End::InOrder),
    ] {
        let (mut server, _) = rfc9113::server(&defaults(), &[], Answering(phase));
        server.receive(&h2::post(1), Buffer::Lent);
        cut(&mut server, Cut::DrainOver);
        assert_eq!(end(&mut server), expected, "{phase:?}");
    }
    let (mut server, _) = rfc9113::server(&defaults(), &[], Answering(Phase::Streamed));
    server.receive(&h2::post(1), Buffer::Lent);
    cut(&mut server, Cut::Stalled);
    assert_eq!(end(&mut server), End::Reset, "stalled");
}

/// RFC 9113 §6.8: the code of a GOAWAY says why the connection ends.
#[test]
fn a_go_away_says_the_code_of_its_cause() {
    const INTERNAL_ERROR: u32 = 2;
    let ends = |server: &mut Endpoint<Answering>, reader: &mut Reader, seconds| {
        server.wait(Duration::from_secs(seconds));
        h2::go_aways(&reader.read(&server.take_sent()))
    };
    let served = |frames: &[u8]| {
        let (mut server, reader) = rfc9113::server(&defaults(), &[], Answering(Phase::Streamed));
        server.receive(frames, Buffer::Lent);
        (server, reader)
    };
    // The peer is there no more, in the middle of a response.
    let (mut server, mut reader) = served(&h2::get(1));
    assert_eq!(ends(&mut server, &mut reader, 60), [(1, INTERNAL_ERROR)]);
    assert_eq!(server.seen.causes(), [Cause::Timeout(Deadline::DeadPeer)]);
    // A field block that stays incomplete.
    let half = h2::frame(h2::kind::HEADERS, 0, 3, &h2::block(&h2::GET));
    let (mut server, mut reader) = served(&[h2::get(1), half].concat());
    assert_eq!(ends(&mut server, &mut reader, 10), [(1, code::PROTOCOL_ERROR)]);
    assert_eq!(server.seen.causes(), [Cause::Timeout(Deadline::Head)]);
    // Nothing is open.
    let (mut server, mut reader) = served(&[]);
    assert_eq!(ends(&mut server, &mut reader, 60), [(0, code::NO_ERROR)]);
}

// What ends with its head.

/// Begins a response of which more is to come, and asks for the next permit whatever comes.
#[derive(Clone, Copy, Debug)]
struct Streaming {
    status: u16,
    permits: usize,
}

impl Application for Streaming {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Request { stream, .. } => {
                let status = Status::new(self.status).expect("a status");
                let permit = stream.permit().expect("a permit");
                let sent = permit.respond(status, NO_FIELDS, Payload::Static(b""), false);
                let stream = sent.expect("a head").into_stream();
                if let Err(mut stream) = stream.permit() {
                    stream.want_write();
                } else {
                    self.permits += 1;
                }
            }
            Event::Writable(permit) => {
                self.permits += 1;
                permit
                    .into_exchange()
                    .expect("an exchange")
                    .data(Payload::Static(b"x"), false)
                    .expect("content")
                    .again();
            }
            _ => {}
        }
    }
}

/// RFC 9110 §9.3.2, §15.3.5 and §15.4.5, and a CONNECT that is refused: no handler is asked for content that would not be sent.
#[test]
fn what_ends_with_its_head_asks_for_no_content() {
    for (method, status) in [("HEAD", 200), ("GET", 204), ("GET", 304), ("GET", 205), ("CONNECT", 403)] {
        let shown = format!("{method} {status}");
        let target = if method == "CONNECT" { "a:80" } else { "/" };
        let mut server = Endpoint::server(defaults(), Streaming { status, permits: 0 });
        let request = format!("{method} {target} HTTP/1.1\r\nHost: a:80\r\n\r\n");
        server.receive(request.as_bytes(), Buffer::Lent);
        assert_eq!((server.app.permits, server.seen.causes()), (0, vec![Cause::Complete]), "{shown}");
        assert!(server.sent.ends_with(b"\r\n\r\n") && !server.sent.ends_with(b"0\r\n\r\n\r\n"), "{shown}");
        // The connection goes on.
        server.receive(request.as_bytes(), Buffer::Lent);
        assert_eq!((server.app.permits, server.seen.causes()), (0, vec![Cause::Complete; 2]), "{shown}");

        let (mut server, mut reader) = rfc9113::server(&defaults(), &[], Streaming { status, permits: 0 });
        let fields: &[(&str, &str)] = match method {
            "CONNECT" => &[(":method", "CONNECT"), (":authority", "a:80")],
            "HEAD" => &[(":method", "HEAD"), (":scheme", "http"), (":authority", "a"), (":path", "/")],
            _ => &h2::GET,
        };
        server.receive(&h2::headers(1, fields, true), Buffer::Lent);
        let sent_frames = h2::on(&reader.read(&server.take_sent()), 1);
        assert!(
            matches!(sent_frames[..], [SentFrame::Headers { end: true, .. }]),
            "{shown}: {sent_frames:?}"
        );
        assert_eq!((server.app.permits, server.seen.causes()), (0, vec![Cause::Complete]), "{shown}");
    }
}

/// RFC 9110 §9.3.6: "A CONNECT request message does not have content."
#[test]
fn a_connect_request_with_content_is_refused() {
    let head = "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n";
    for (fields, violation) in [
        ("Content-Length: 5\r\n\r\nhello", Violation::ContentLength),
        ("Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Violation::TransferEncoding),
    ] {
        crate::support::refused(format!("{head}{fields}"), 400, Cause::Violation(violation));
    }
    let delivered = served(format!("{head}Content-Length: 0\r\n\r\nbytes"));
    assert!(delivered.seen.count(|seen| matches!(seen, Seen::Raw { .. })) > 0, "{delivered:?}");
}
