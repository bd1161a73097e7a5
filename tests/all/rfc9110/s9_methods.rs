//! RFC 9110 §9.3 and §15: methods and status codes that change what a message is.

use crate::support::{defaults, served, status};
use lws_proto::http::{Status, Version};
use lws_proto::{Event, Misuse, Payload};
use tests::application::{Answer, NO_FIELDS};
use tests::endpoint::Buffer;
use tests::wire::responses;
use tests::{Endpoint, deliver};

const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn sends(request: &str, answer: &Answer) -> String {
    let delivered = deliver(|| Endpoint::server(defaults(), answer.clone()), request.as_bytes());
    String::from_utf8(delivered.sent.0).expect("ASCII")
}

#[test]
fn head_is_answered_like_get_without_content() {
    // RFC 9110 §9.3.2: "The HEAD method is identical to GET except that the server MUST NOT send content in the response." "The server SHOULD send the same
    // header fields in response to a HEAD request as it would have sent if the request method had been GET."
    let answer = Answer::with("hello");
    assert_eq!(sends(HEAD, &answer), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    let known = Answer { fields: vec![("Content-Length", "1234")], ..Answer::default() };
    assert_eq!(sends(HEAD, &known), "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n");
    let streamed = Answer { at_once: false, ..answer.clone() };
    let sent = sends(HEAD, &streamed);
    assert!(sent.ends_with("\r\n\r\n") && !sent.contains("hello") && !sent.contains("0\r\n"), "{sent:?}");
    // The next response is found behind it.
    let sent = sends(&[HEAD, GET, HEAD, GET].concat(), &answer);
    let (answers, rest) = responses(sent.as_bytes(), &["HEAD", "GET", "HEAD", "GET"]).expect("responses");
    let contents: Vec<_> = answers.into_iter().map(|answer| answer.content).collect();
    assert_eq!(contents, ["".into(), "hello".into(), "".into(), "hello".into()]);
    assert!(rest.is_empty());
}

#[test]
fn interim_responses_have_no_content_and_go_to_no_http_1_0_client() {
    // RFC 9110 §15.2: "a server MUST NOT send a 1xx response to an HTTP/1.0 client."
    let run = |request: &str| {
        let app = |event: Event<'_>| {
            if let Event::Request { mut stream, head, .. } = event {
                stream.interim(status(103), [("Link", "</a>")]).expect("an interim response");
                assert_eq!(stream.interim(Status::OK, NO_FIELDS), Err(Misuse::StartLine));
                assert_eq!(stream.interim(Status::SWITCHING_PROTOCOLS, NO_FIELDS), Err(Misuse::StartLine));
                if head.version() == Version::Http11 {
                    assert_eq!(
                        stream.interim(status(103), [("Content-Length", "0")]),
                        Err(Misuse::ManagedField)
                    );
                }
                let permit = stream.permit().expect("a permit");
                let sent =
                    permit.respond(Status::OK, NO_FIELDS, Payload::Static(b""), true).expect("a response");
                assert_eq!(sent.into_stream().interim(status(103), NO_FIELDS), Err(Misuse::WrongState));
            }
        };
        let delivered = deliver(|| Endpoint::server(defaults(), app), request.as_bytes());
        String::from_utf8(delivered.sent.0).expect("ASCII")
    };
    let final_response = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n";
    assert_eq!(run(GET), format!("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{final_response}\r\n"));
    assert_eq!(run("GET / HTTP/1.0\r\n\r\n"), format!("{final_response}Connection: close\r\n\r\n"));
}

#[test]
fn one_request_has_one_final_response() {
    let mut misuse = None;
    let app = |event: Event<'_>| {
        if let Event::Request { stream, .. } = event {
            let permit = stream.permit().expect("a permit");
            let sent =
                permit.respond(Status::OK, NO_FIELDS, Payload::Static(b"a"), false).expect("a response");
            let permit = sent.into_stream().permit().expect("a permit for the content");
            misuse = permit.respond(Status::OK, NO_FIELDS, Payload::Static(b"b"), true).err();
        }
    };
    Endpoint::server(defaults(), app).receive(GET.as_bytes(), Buffer::Lent);
    assert_eq!(misuse, Some(Misuse::WrongState));
    // Content before a head is none either.
    let app = |event: Event<'_>| {
        if let Event::Request { stream, .. } = event {
            let permit = stream.permit().expect("a permit");
            misuse = permit.data(Payload::Static(b"b"), true).err();
        }
    };
    Endpoint::server(defaults(), app).receive(GET.as_bytes(), Buffer::Lent);
    assert_eq!(misuse, Some(Misuse::WrongState));
}

#[test]
fn trace_and_options_are_the_applications_to_answer() {
    for request in ["TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"] {
        assert!(served(request).sent.0.starts_with(b"HTTP/1.1 200 OK\r\n"));
    }
}
