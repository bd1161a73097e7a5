//! A client and a server in memory, with the input cut in every way.

use crate::http::{Request, Scheme, Status};
use crate::{Config, Connection, Established, Event, Payload, Time};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

fn entropy() -> Box<dyn crate::Entropy> {
    Box::new(|bytes: &mut [u8]| bytes.fill(7))
}

fn drain(connection: &mut Connection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(transmit) = connection.transmit(Time::ZERO) {
        let first = transmit.first().to_vec();
        transmit.commit(first.len());
        bytes.extend(first);
    }
    bytes
}

fn note(event: &Event<'_>, seen: &mut Vec<String>) {
    let text = match event {
        Event::Request { head, end, .. } => format!("request {head:?} {end}"),
        Event::Response { head, end, .. } => format!("response {head:?} {end}"),
        Event::Body { chunk, end, .. } => format!("body {} {end}", chunk.escape_ascii()),
        Event::Trailers { head, .. } => format!("trailers {head:?}"),
        Event::Closed { cause, .. } => format!("closed {cause}"),
        Event::Message { chunk, end, .. } => format!("message {} {end}", chunk.escape_ascii()),
        Event::Established { stream, .. } => format!("established {:?}", stream.protocol()),
        other => format!("{other:?}"),
    };
    seen.push(text);
}

/// Lets a connection take bytes, cut so, and answer every request with what it was asked.
fn feed(connection: &mut Connection, bytes: &[u8], cut: usize, seen: &mut Vec<String>) {
    for part in bytes.chunks(cut) {
        let mut part = part.to_vec();
        let mut feed = connection.receive(Time::ZERO, &mut part);
        while let Some(event) = feed.next_event() {
            note(&event, seen);
            answer(event);
        }
        drop(feed);
        while let Some(event) = connection.next_event() {
            note(&event, seen);
            answer(event);
        }
        assert!(!connection.needs_service());
    }
}

fn answer(event: Event<'_>) {
    match event {
        Event::Request { stream, head, .. } if crate::ws::is_opening(&head) => {
            stream.accept_websocket(&head, &crate::ws::Accept::new()).expect("an opening");
        }
        Event::Request { stream, head, end: true } => {
            let target = head.target().to_string();
            let permit = stream.permit().expect("a permit");
            let fields = [("Content-Type", "text/plain")];
            permit.respond(Status::OK, fields, Payload::Copy(target.as_bytes()), true).expect("a response");
        }
        Event::Body { stream, end: true, .. } => {
            let Ok(permit) = stream.permit() else { return };
            let _ = permit.respond(Status::OK, [("x", "y")], Payload::Static(b"thanks"), true);
        }
        Event::Message { stream, kind, chunk, .. } => {
            let payload = chunk.to_vec();
            if payload.starts_with(b"echo") {
                let permit = stream.permit().expect("a permit");
                permit.message(kind, Payload::Copy(&payload[4..]), true).expect("a message");
            }
        }
        _ => {}
    }
}

fn pair() -> (Connection, Connection) {
    let config = Arc::new(Config::default());
    let client = Connection::client_http2(Time::ZERO, config.clone(), entropy(), Scheme::Http);
    (client, Connection::server(Time::ZERO, config))
}

fn exchange(client: &mut Connection, server: &mut Connection, cut: usize) -> (Vec<String>, Vec<String>) {
    let (mut at_client, mut at_server) = (Vec::new(), Vec::new());
    loop {
        let up = drain(client);
        feed(server, &up, cut, &mut at_server);
        let down = drain(server);
        feed(client, &down, cut, &mut at_client);
        if up.is_empty() && down.is_empty() {
            return (at_client, at_server);
        }
    }
}

#[test]
fn requests_are_answered_however_the_bytes_are_cut() {
    let mut expected = None;
    for cut in [usize::MAX, 1, 2, 3, 7, 9, 10, 64] {
        let (mut client, mut server) = pair();
        for target in ["/one", "/two"] {
            let request = Request::get("example.com", target);
            client
                .request(Time::ZERO, &request, [("Accept", "*/*")], Payload::Static(b""), true)
                .expect("a request");
        }
        let post = Request { method: "POST", target: "/three", host: "example.com" };
        client.request(Time::ZERO, &post, [("a", "b")], Payload::Static(b"content"), true).expect("a post");
        let (at_client, at_server) = exchange(&mut client, &mut server, cut);
        let joined = |seen: &[String]| {
            seen.iter().filter(|line| !line.starts_with("body")).cloned().collect::<Vec<_>>()
        };
        let found = (joined(&at_client), joined(&at_server));
        assert_eq!(*expected.get_or_insert(found.clone()), found, "cut {cut}");
        assert_eq!(found.0.iter().filter(|line| line.starts_with("response")).count(), 3, "{at_client:#?}");
        assert_eq!(found.0.iter().filter(|line| *line == "closed complete").count(), 3, "{at_client:#?}");
        assert_eq!(found.1.iter().filter(|line| *line == "closed complete").count(), 3, "{at_server:#?}");
    }
}

#[test]
fn a_websocket_shares_the_connection() {
    for cut in [usize::MAX, 1, 5] {
        let (mut client, mut server) = pair();
        let connect = crate::ws::Connect::new("example.com", "/chat");
        let key = client.connect_websocket(Time::ZERO, &connect).expect("a handshake");
        let (at_client, at_server) = exchange(&mut client, &mut server, cut);
        assert_eq!(at_client, ["established WebSocket"]);
        assert!(at_server.iter().any(|line| line == "established WebSocket"), "{at_server:?}");
        let permit = client.websocket(key).expect("the stream").permit().expect("a permit");
        permit.text("echo hello").expect("a message");
        assert!(client.interest().write);
        let (at_client, at_server) = exchange(&mut client, &mut server, cut);
        assert_eq!(at_server, ["message echo hello true"]);
        assert_eq!(at_client, ["message  hello true"]);
        client
            .websocket(key)
            .expect("the stream")
            .close(crate::ws::CloseCode::NORMAL, "bye")
            .expect("a close");
        let (at_client, at_server) = exchange(&mut client, &mut server, cut);
        assert!(
            at_client.iter().any(|line| line.starts_with("closed closed with code 1000")),
            "{at_client:?}"
        );
        assert!(at_server.iter().any(|line| line.starts_with("closed closed by the peer")), "{at_server:?}");
    }
}

#[cfg(feature = "deflate")]
#[test]
fn messages_of_a_websocket_are_compressed_where_both_agree() {
    let deflate = crate::ws::Deflate::default();
    let (mut client, mut server) = pair();
    let connect = crate::ws::Connect::new("example.com", "/chat").deflate(&deflate);
    let key = client.connect_websocket(Time::ZERO, &connect).expect("a handshake");
    let accept = crate::ws::Accept::new().deflate(&deflate);
    let long = "hello ".repeat(200);
    let (mut sent, mut received) = (0, String::new());
    for _ in 0..4 {
        let mut up = drain(&mut client);
        sent = up.len();
        let mut feed = server.receive(Time::ZERO, &mut up);
        while let Some(event) = feed.next_event() {
            match event {
                Event::Request { stream, head, .. } => {
                    assert!(head.get("sec-websocket-extensions").is_some());
                    stream.accept_websocket(&head, &accept).expect("an opening");
                }
                Event::Message { chunk, .. } => received.push_str(core::str::from_utf8(chunk).expect("text")),
                _ => {}
            }
        }
        drop(feed);
        let mut down = drain(&mut server);
        let mut feed = client.receive(Time::ZERO, &mut down);
        while let Some(event) = feed.next_event() {
            if let Event::Established { stream: Established::WebSocket(stream), .. } = event {
                let permit = stream.permit().expect("a permit");
                permit.text(&long).expect("a message");
            }
        }
    }
    assert!(client.stream(key).is_some());
    assert_eq!(received, long);
    assert!(sent < 100, "{sent} bytes for {}", long.len());
}

#[test]
fn a_large_response_waits_for_windows() {
    let (mut client, mut server) = pair();
    let request = Request::get("example.com", "/big");
    client.request(Time::ZERO, &request, [("a", "b")], Payload::Static(b""), true).expect("a request");
    let content = alloc::vec![b'x'; 1 << 20];
    let up = drain(&mut client);
    let mut part = up;
    let mut feed_ = server.receive(Time::ZERO, &mut part);
    while let Some(event) = feed_.next_event() {
        if let Event::Request { stream, .. } = event {
            let permit = stream.permit().expect("a permit");
            permit.respond(Status::OK, [("a", "b")], Payload::Own(content.clone().into()), true).expect("ok");
        }
    }
    drop(feed_);
    let mut received = 0;
    let mut turns = 0;
    loop {
        let mut down = drain(&mut server);
        let mut feed = client.receive(Time::ZERO, &mut down);
        while let Some(event) = feed.next_event() {
            if let Event::Body { chunk, .. } = event {
                received += chunk.len();
            }
        }
        drop(feed);
        let mut up = drain(&mut client);
        if up.is_empty() && down.is_empty() {
            break;
        }
        turns += 1;
        let mut feed = server.receive(Time::ZERO, &mut up);
        while feed.next_event().is_some() {}
    }
    assert_eq!(received, content.len());
    assert!(turns > 3);
}

#[test]
fn what_is_kept_of_a_head_has_the_name_that_its_authority_stands_under() {
    for (target, fields) in [("/", &[][..]), ("/a", &[("x", "y")]), ("/b", &[("name-of-some-length", "")])] {
        let (mut client, mut server) = pair();
        let request = Request::get("example.com", target);
        client
            .request(Time::ZERO, &request, fields.iter().copied(), Payload::Static(b""), true)
            .expect("a request");
        let mut bytes = drain(&mut client);
        let mut feed = server.receive(Time::ZERO, &mut bytes);
        let Some(Event::Request { head, .. }) = feed.next_event() else { panic!("it is a request") };
        let kept = head.to_buf();
        for head in [head, kept.lend(), kept.local_redirect("/other").expect("a path").lend()] {
            assert_eq!(head.get("host"), Some(&b"example.com"[..]), "{target}");
            assert_eq!(head.host(), Some(&b"example.com"[..]), "{target}");
        }
    }
}

#[test]
fn a_connection_that_retires_keeps_its_websockets_and_takes_what_is_on_its_way() {
    let (mut client, mut server) = pair();
    let connect = crate::ws::Connect::new("example.com", "/chat");
    let key = client.connect_websocket(Time::ZERO, &connect).expect("a handshake");
    exchange(&mut client, &mut server, usize::MAX);
    // This request is on its way when the server retires.
    client
        .request(Time::ZERO, &Request::get("example.com", "/late"), NO_FIELDS, Payload::Static(b""), true)
        .expect("a request");
    server.retire(Time::ZERO);
    let (at_client, _) = exchange(&mut client, &mut server, usize::MAX);
    assert!(at_client.iter().any(|line| line == "closed complete"), "{at_client:?}");
    let none = Request::get("example.com", "/later");
    assert!(
        client.request(Time::ZERO, &none, NO_FIELDS, Payload::Static(b""), true).is_err(),
        "it was asked not to"
    );
    let permit = client.websocket(key).expect("the stream").permit().expect("a permit");
    permit.text("echo hello").expect("a message");
    let (at_client, _) = exchange(&mut client, &mut server, usize::MAX);
    assert_eq!(at_client, ["message  hello true"]);
    assert!(!is_closing(&server));
    client.websocket(key).expect("it is open").close(crate::ws::CloseCode::NORMAL, "").expect("a close");
    exchange(&mut client, &mut server, usize::MAX);
    assert!(is_closing(&server));
}

/// A request is on its way to a server that has announced its end.
fn retired_before_the_first_request() -> (Connection, Connection) {
    let (mut client, mut server) = pair();
    exchange(&mut client, &mut server, usize::MAX);
    server.retire(Time::ZERO);
    client
        .request(Time::ZERO, &Request::get("example.com", "/"), NO_FIELDS, Payload::Static(b""), true)
        .expect("a request");
    (client, server)
}

#[test]
fn a_connection_that_retires_before_the_first_request_still_answers_it() {
    let (mut client, mut server) = retired_before_the_first_request();
    let (at_client, _) = exchange(&mut client, &mut server, usize::MAX);
    assert!(at_client.iter().any(|line| line == "closed complete"), "{at_client:?}");
    assert!(is_closing(&server));
}

/// The announcement names no last stream: what the peer sends until it knows of the end may be sent again elsewhere.
#[test]
fn a_connection_that_drains_after_it_has_retired_names_its_last_stream() {
    let (mut client, mut server) = retired_before_the_first_request();
    server.drain(Time::ZERO);
    let (at_client, at_server) = exchange(&mut client, &mut server, usize::MAX);
    assert!(at_server.iter().all(|line| !line.starts_with("request")), "{at_server:?}");
    assert!(at_client.iter().any(|line| line.starts_with("closed not processed")), "{at_client:?}");
}

const NO_FIELDS: [(&str, &str); 0] = [];

fn is_closing(connection: &Connection) -> bool {
    let interest = connection.interest();
    interest.shutdown || interest.close
}
