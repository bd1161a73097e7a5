//! RFC 9110 §6.6.1: `Date`.

use lws_proto::Config;
use lws_proto::http::HttpDate;
use std::sync::Arc;
use tests::Endpoint;
use tests::application::Answer;
use tests::endpoint::Buffer;
use tests::wire::all_responses;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_server_with_a_clock_dates_its_responses_and_one_without_does_not() {
    // RFC 9110 §6.6.1: "An origin server with a clock (as defined in Section 5.6.7) MUST generate a Date header field in all 2xx (Successful), 3xx
    // (Redirection), and 4xx (Client Error) responses". "An origin server without a clock MUST NOT generate a Date header field."
    let config = Arc::new(Config::default());
    let mut server = Endpoint::server(Arc::clone(&config), Answer::with("hello"));
    let date = |server: &mut Endpoint<Answer>, input: &[u8]| {
        server.receive(input, Buffer::Lent);
        let responses = all_responses(&server.take_sent()).expect("a response");
        responses[0].field("date").map(str::to_owned)
    };
    assert_eq!(date(&mut server, GET), None);
    config.wall_clock.set(784_111_777);
    assert_eq!(date(&mut server, GET).as_deref(), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
    config.wall_clock.set(784_111_778);
    assert_eq!(date(&mut server, GET).as_deref(), Some("Sun, 06 Nov 1994 08:49:38 GMT"));
    // Our own refusals are responses too.
    assert_eq!(
        date(&mut server, b"GET / HTTP/1.1\r\n\r\n").as_deref(),
        Some("Sun, 06 Nov 1994 08:49:38 GMT")
    );
}

#[test]
fn the_applications_date_is_the_only_one() {
    let config = Arc::new(Config::default());
    config.wall_clock.set(784_111_777);
    let answer = Answer { fields: vec![("date", "Tue, 15 Nov 1994 08:12:31 GMT")], ..Answer::default() };
    let mut server = Endpoint::server(config, answer);
    server.receive(GET, Buffer::Lent);
    let responses = all_responses(&server.sent).expect("a response");
    assert_eq!(responses[0].all("date"), ["Tue, 15 Nov 1994 08:12:31 GMT"]);
}

#[test]
fn a_recipient_takes_all_three_forms() {
    // RFC 9110 §5.6.7: "A recipient that parses a timestamp value in an HTTP field MUST accept all three HTTP-date formats." "When a sender generates a
    // field that contains one or more timestamps defined as HTTP-date, the sender MUST generate those timestamps in the IMF-fixdate
    // format."
    let now = HttpDate::from_unix(784_111_777);
    for text in
        ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
    {
        assert_eq!(HttpDate::parse(text.as_bytes(), now), Some(now), "{text}");
    }
    assert_eq!(&now.to_bytes(), b"Sun, 06 Nov 1994 08:49:37 GMT");
}
