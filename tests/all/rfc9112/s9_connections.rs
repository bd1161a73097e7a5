//! RFC 9112 §9: connections, persistence, pipelining and the end.

use crate::support::{NEXT, codes, defaults, responses, served};
use lws_proto::http::{Head, Status};
use lws_proto::ws::Accept;
use lws_proto::{Cause, Event, Misuse, Payload, Request, StreamKey, Violation};
use tests::application::{Answer, Echo, NO_FIELDS, Silent};
use tests::endpoint::{Buffer, limits};
use tests::{Endpoint, Seen, deliver};

/// Whether the connection goes on behind `request`: another one is answered too.
fn persists(request: &str) -> bool {
    let delivered = served(format!("{request}{NEXT}"));
    let answers = responses(&delivered);
    let persists = answers.len() == 2;
    // RFC 9112 §9.6: "A server that does not support persistent connections MUST send the "close" connection option in every response message that does not
    // have a 1xx (Informational) status code."
    let says_close = answers[0].field("connection") == Some("close");
    assert_eq!(says_close, !persists, "{request:?}: {}", answers[0].head);
    assert_eq!(delivered.fin, !persists, "{request:?}");
    persists
}

#[test]
fn a_connection_persists_unless_one_side_says_close() {
    // RFC 9112 §9.3: "If the close connection option is present, the connection will not persist after the current response; else, If the received protocol
    // is HTTP/1.1 (or later), the connection will persist after the current response; else, If the received protocol is HTTP/1.0, the
    // keep-alive connection option is present ... the connection will persist".
    let get =
        |version: &str, connection: &str| format!("GET / HTTP/{version}\r\nHost: a\r\n{connection}\r\n");
    assert!(persists(&get("1.1", "")));
    assert!(persists(&get("1.1", "Connection: keep-alive\r\n")));
    assert!(persists(&get("1.1", "Connection: x-close, closed\r\n")));
    assert!(!persists(&get("1.1", "Connection: close\r\n")));
    assert!(!persists(&get("1.1", "Connection: keep-alive, CLOSE\r\n")));
    assert!(!persists(&get("1.1", "Connection: x\r\nConnection: Close\r\n")));
    assert!(!persists(&get("1.0", "")));
    assert!(!persists(&get("1.0", "Connection: close\r\n")));
    assert!(!persists(&get("1.0", "Connection: keep-alive, close\r\n")));
    let delivered = served(get("1.0", "Connection: Keep-Alive\r\n") + NEXT);
    assert_eq!(codes(&delivered), [200, 200]);
    assert_eq!(responses(&delivered)[0].field("connection"), Some("keep-alive"));
}

#[test]
fn a_request_behind_the_last_is_not_processed() {
    // RFC 9112 §9.6: "A server that receives a close connection option MUST initiate closure of the connection (see below) after it sends the final response
    // to the request that contained the close connection option. ... The server MUST NOT process any further requests received on
    // that connection."
    let delivered =
        served(format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n{}", NEXT.repeat(3)));
    assert_eq!(delivered.seen.count(|seen| matches!(seen, Seen::Request { .. })), 1);
    // "the server ... closes only the write side of the read/write connection" first: FIN, and what comes is read and dropped.
    assert!(delivered.fin && delivered.reads && !delivered.over);
}

#[test]
fn the_application_may_end_the_connection_with_a_response() {
    let app = |event: Event<'_>| {
        if let Event::Request { mut stream, .. } = event {
            stream.last_exchange();
            let permit = stream.permit().expect("a permit");
            permit.respond(Status::OK, NO_FIELDS, Payload::Static(b""), true).expect("a response");
        }
    };
    let delivered = deliver(|| Endpoint::server(defaults(), app), NEXT.repeat(2).as_bytes());
    assert_eq!(codes(&delivered), [200]);
    assert_eq!(responses(&delivered)[0].field("connection"), Some("close"));
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    // RFC 9112 §9.3.2: "A server MAY process a sequence of pipelined requests in parallel if they all have safe methods, but it MUST send the corresponding
    // responses in the same order that the requests were received."
    let mut input = String::new();
    for number in 0..20 {
        let body = format!("number {number}");
        input +=
            &format!("POST /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        input += "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    }
    let delivered = served(&input);
    let contents: Vec<_> = responses(&delivered).into_iter().map(|response| response.content).collect();
    let expected: Vec<_> = (0..20).flat_map(|number| [format!("number {number}"), String::new()]).collect();
    assert_eq!(contents, expected.iter().map(|text| text[..].into()).collect::<Vec<_>>());
    assert_eq!(delivered.seen.causes(), [Cause::Complete; 40]);
}

#[test]
fn answers_of_one_turn_leave_in_one_write() {
    let mut server = Endpoint::server(defaults(), Answer::with("hello"));
    server.receive(NEXT.repeat(16).as_bytes(), Buffer::Lent);
    assert_eq!(tests::wire::all_responses(&server.sent).expect("responses").len(), 16);
    assert_eq!(server.writes, 1, "sixteen pipelined answers");
}

#[test]
fn a_request_waits_for_the_answer_to_the_one_before() {
    // A handler that answers late is not asked again meanwhile.
    let mut server = Endpoint::server(defaults(), Silent);
    server.receive(NEXT.repeat(2).as_bytes(), Buffer::Lent);
    assert_eq!(server.seen.0.len(), 1);
    let permit = server.exchange().permit().expect("a permit");
    permit.respond(Status::OK, NO_FIELDS, Payload::Static(b""), true).expect("a response");
    assert!(server.connection.needs_service(), "the next request is already there");
    server.settle();
    assert_eq!(server.seen.0.len(), 3, "{:?}", server.seen);
    assert_eq!(server.seen.0[1], Seen::Closed(Cause::Complete));
}

#[test]
fn unwanted_content_is_read_or_the_connection_ends() {
    // RFC 9112 §9.3: "A server MUST read the entire request message body or close the connection after sending its response; otherwise, the remaining data on
    // a persistent connection would be misinterpreted as the next request."
    let post = |len: usize| {
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n{}", "x".repeat(len))
    };
    let run = |input: String| {
        deliver(
            || Endpoint::server(limits(|limits| limits.discard_bytes_max = 100), Answer::with("early")),
            input.as_bytes(),
        )
    };
    let short = run(post(100) + NEXT);
    assert_eq!(codes(&short), [200, 200]);
    assert_eq!(short.seen.causes(), [Cause::Complete; 2]);
    let long = run(post(101) + NEXT);
    assert_eq!(codes(&long), [200]);
    assert_eq!(responses(&long)[0].field("connection"), Some("close"));
    assert!(long.fin);
}

fn request(client: &mut Endpoint<Silent>, fields: &[(&str, &str)]) -> Result<StreamKey, Misuse> {
    let request = Request::get("a", "/");
    let outcome =
        client.connection.request(client.now, &request, fields.iter().copied(), Payload::Static(b""), true);
    let outcome = outcome.map(|sent| sent.key());
    client.settle();
    outcome
}

#[test]
fn a_client_asks_again_on_the_same_connection() {
    // RFC 9112 §9.3: "A client MAY send additional requests on a persistent connection until it sends or receives a close connection option".
    let mut client = Endpoint::client(defaults(), Silent);
    for _ in 0..3 {
        request(&mut client, &[]).expect("a request");
        assert_eq!(request(&mut client, &[]), Err(Misuse::WrongState), "one exchange runs at a time");
        client.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Buffer::Lent);
        assert!(!client.is_over());
    }
    assert_eq!(client.seen.causes(), [Cause::Complete; 3]);
    // "A client that receives a close connection option MUST cease sending requests on that connection and close the connection after reading the
    // response message containing the close connection option".
    request(&mut client, &[]).expect("a request");
    client.receive(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", Buffer::Lent);
    assert_eq!(request(&mut client, &[]), Err(Misuse::WrongState));
    assert!(client.connection.interest().shutdown);
}

#[test]
fn an_unrequested_response_ends_the_connection() {
    // RFC 9112 §9.2: "If a client receives data on a connection that doesn't have outstanding requests, the client MUST NOT consider that data to be a valid
    // response; the client SHOULD close the connection".
    let response = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let mut client = Endpoint::client(defaults(), Silent);
    client.receive(response, Buffer::Lent);
    assert_eq!(client.seen.0, []);
    assert!(client.connection.interest().shutdown);
    assert_eq!(request(&mut client, &[]), Err(Misuse::WrongState));
    let make = || {
        let mut client = Endpoint::client(defaults(), Silent);
        request(&mut client, &[]).expect("a request");
        client
    };
    let delivered = deliver(make, &[&response[..], response].concat());
    assert_eq!(delivered.seen.causes(), [Cause::Complete]);
    assert_eq!(delivered.seen.contents(), ["ok".into()]);
    assert!(delivered.fin);
    // Nor is a switch that was not asked for one.
    let delivered =
        deliver(make, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
    assert_eq!(delivered.seen.causes(), [Cause::Violation(Violation::UnexpectedResponse)]);
}

#[test]
fn interim_responses_come_before_the_final_one() {
    // RFC 9110 §15.2: "A client MUST be able to parse one or more 1xx responses received prior to a final response, even if the client does not expect
    // one."
    let make = || {
        let mut client = Endpoint::client(defaults(), Silent);
        request(&mut client, &[]).expect("a request");
        client
    };
    let input = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 199 \r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let delivered = deliver(make, input.as_bytes());
    let status = |seen: &Seen| match seen {
        Seen::Response { status, .. } => Some(*status),
        _ => None,
    };
    let statuses: Vec<u16> = delivered.seen.0.iter().filter_map(status).collect();
    assert_eq!(statuses, [100, 103, 199, 200]);
    assert_eq!(delivered.seen.causes(), [Cause::Complete]);
}

#[test]
fn an_upgrade_is_the_end_of_http_on_the_connection() {
    // RFC 9110 §7.8: "After sending the 101, the server immediately ... begins using the new protocol". Bytes behind the request are the new protocol's.
    let app = |event: Event<'_>| {
        if let Event::Request { stream, head, .. } = event {
            accept(stream, &head);
        }
    };
    let input = [tests::endpoint::OPENING.as_bytes(), NEXT.as_bytes()].concat();
    let delivered = deliver(|| Endpoint::server(defaults(), app), &input);
    assert_eq!(delivered.seen.count(|seen| matches!(seen, Seen::Request { .. })), 1);
    assert!(matches!(delivered.seen.causes()[..], [Cause::Violation(_)]), "GET is no frame");
}

fn accept(stream: lws_proto::Exchange<'_>, head: &Head<'_>) {
    stream.accept_websocket(head, &Accept::new()).expect("an opening");
}

#[test]
fn an_echo_of_many_requests_is_the_same_however_they_come() {
    let input = format!(
        "{}POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n{NEXT}",
        NEXT.repeat(2)
    );
    let delivered = deliver(|| Endpoint::server(defaults(), Echo::default()), input.as_bytes());
    assert_eq!(codes(&delivered), [200; 4]);
}
