//! Responses, as a server sends them. RFC 9113 §8.1 and §8.3.2.

use super::*;
use lws_proto::Event;
use lws_proto::http::Status;

/// A response is HEADERS, DATA and an end: in as few frames as it takes.
#[test]
fn a_small_response_takes_two_frames() {
    let app = || tests::application::Answer::with("hello");
    let reaction = served_by(&defaults(), &[], app, h2::get(1));
    let sent_frames = h2::on(&reaction.sent_frames, 1);
    let [SentFrame::Headers { fields, end: false, .. }, SentFrame::Data { content, end: true, .. }] =
        &sent_frames[..]
    else {
        panic!("{sent_frames:?}")
    };
    assert_eq!(fields[..], [(":status", "200").into(), ("content-length", "5").into()]);
    assert_eq!(*content, "hello".into());
    let reaction = served_by(&defaults(), &[], tests::application::Answer::default, h2::get(1));
    assert!(
        matches!(h2::on(&reaction.sent_frames, 1)[..], [SentFrame::Headers { end: true, .. }]),
        "{:?}",
        reaction.sent_frames
    );
}

/// RFC 9110 §6.6.1: a server with a clock says the date.
#[test]
fn a_response_has_a_date_where_the_time_is_known() {
    let config = Arc::new(Config::default());
    config.wall_clock.set(784_111_777);
    let reaction = served_with(&config, &[], h2::get(1));
    let sent_frames = h2::on(&reaction.sent_frames, 1);
    assert!(
        matches!(&sent_frames[0], SentFrame::Headers { fields, .. }
        if fields.contains(&("date", "Sun, 06 Nov 1994 08:49:37 GMT").into())),
        "{sent_frames:?}"
    );
}

/// Content must have the announced length, as in HTTP/1.1.
#[test]
fn an_application_keeps_to_the_length_that_it_said() {
    let app = || {
        |event: Event<'_>| {
            if let Event::Request { stream, .. } = event {
                let permit = stream.permit().expect("a permit");
                let fields = [("content-length", "5")];
                let sent =
                    permit.respond(Status::OK, fields, Payload::Static(b"abc"), false).expect("a response");
                let permit = sent.into_stream().permit().expect("a permit");
                let too_much = permit.data(Payload::Static(b"defg"), true);
                assert_eq!(too_much.map(|_| ()), Err(lws_proto::Misuse::ContentLength));
            }
        }
    };
    let (mut server, mut reader) = server(&defaults(), &[], app());
    server.receive(&h2::get(1), Buffer::Lent);
    let sent_frames = reader.read(&server.take_sent());
    assert_eq!(h2::answer(&sent_frames, 1), Some((200, "abc".into())));
    let key = server.key();
    let permit = server.connection.exchange(key).expect("the stream").permit().expect("a permit");
    permit.data(Payload::Static(b"de"), true).expect("the rest");
    server.settle();
    assert!(h2::ended(&reader.read(&server.take_sent()), 1));
}

/// A ticket keeps the permit of one stream while others go on.
#[test]
fn a_late_answer_holds_up_no_other() {
    let tickets = std::cell::RefCell::new(Vec::new());
    let app = |event: Event<'_>| {
        if let Event::Request { stream, .. } = event {
            let permit = stream.permit().expect("a permit");
            tickets.borrow_mut().push(permit.into_ticket());
        }
    };
    let (mut server, mut reader) = server(&defaults(), &[], app);
    server.receive(&[h2::get(1), h2::get(3), h2::get(5)].concat(), Buffer::Lent);
    assert!(reader.read(&server.take_sent()).is_empty());
    for (at, stream) in [(1, 3), (1, 5), (0, 1)] {
        let ticket = tickets.borrow_mut().remove(at);
        let permit =
            server.connection.redeem(ticket).expect("a permit").into_exchange().expect("an exchange");
        permit.respond(Status::OK, NO_FIELDS, Payload::Static(b"late"), true).expect("a response").throttle();
        server.settle();
        let sent_frames = reader.read(&server.take_sent());
        assert_eq!(h2::answer(&sent_frames, stream), Some((200, "late".into())));
        assert!(sent_frames.iter().all(|frame| frame.stream() == stream), "{sent_frames:?}");
    }
    // One of a stream that is gone buys nothing.
    server.receive(&h2::get(7), Buffer::Lent);
    let ticket = tickets.borrow_mut().remove(0);
    server.receive(&h2::rst_stream(7, code::CANCEL), Buffer::Lent);
    assert!(server.connection.redeem(ticket).is_err());
}
