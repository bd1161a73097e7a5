//! A walk through the states of a connection: each has a named deadline, or waits for the application by a rule that
//! stands here. The test asks the engine and does not wait.

use lws_proto::http::{Request, Scheme, Status};
use lws_proto::{Config, Connection, Entropy, Event, Payload, StreamKey, Time, ws};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The behaviour of the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum App {
    /// Answers at once, and accepts WebSockets.
    Answers,
    /// Sends nothing.
    Silent,
    /// Sends the head and some of the content, and stops.
    Begins,
    /// Pauses the content, and sends nothing.
    Pauses,
}

/// A stream from the application's side.
#[derive(Clone, Copy, Debug)]
struct Open {
    /// Whether the stream waits for the application to send or to read.
    waited_for: bool,
    /// Whether the peer has ended its direction.
    complete: bool,
    paused: bool,
}

/// A connection, with the behaviour of its application and its transport.
struct Walk {
    connection: Connection,
    app: App,
    /// Whether the transport takes what is queued.
    takes: bool,
    streams: BTreeMap<StreamKey, Open>,
}

impl Walk {
    fn feed(&mut self, octets: &[u8]) {
        let mut octets = octets.to_vec();
        let Self { connection, app, streams, .. } = self;
        let mut feed = connection.receive(Time::ZERO, &mut octets);
        while let Some(event) = feed.next_event() {
            handle(*app, streams, event);
        }
        drop(feed);
        self.settle();
    }

    fn settle(&mut self) {
        for _ in 0..1_000 {
            // Like a driver, offers queued bytes once, and then waits for room.
            if let Some(transmit) = self.connection.transmit(Time::ZERO) {
                let n = if self.takes { transmit.first().len() } else { 0 };
                transmit.commit(n);
                if self.takes {
                    continue;
                }
            }
            let Some(event) = self.connection.next_event() else { return };
            handle(self.app, &mut self.streams, event);
        }
        panic!("the engine comes to no rest");
    }

    fn check(&self, what: &str) {
        let interest = self.connection.interest();
        let queued = interest.write;
        // The rule: an exchange waits for the application while its request is complete, or paused, and nothing is
        // queued.
        let waits = !queued
            && self.streams.values().any(|stream| stream.waited_for && (stream.complete || stream.paused));
        assert!(
            self.connection.next_timeout().is_some() || interest.close || waits,
            "{what}: {:?} with {:?}, transport takes: {}: nothing would ever happen",
            self.app,
            self.streams,
            self.takes
        );
    }
}

fn handle(app: App, streams: &mut BTreeMap<StreamKey, Open>, event: Event<'_>) {
    let key = event.key();
    match event {
        Event::Request { mut stream, head, end } => {
            let waited_for = app != App::Answers;
            let paused = app == App::Pauses;
            streams.insert(key, Open { waited_for, complete: end, paused });
            if paused {
                stream.pause();
            }
            if ws::is_opening(&head) && app == App::Answers {
                let _ = stream.accept_websocket(&head, &ws::Accept::new());
            } else if let (App::Answers | App::Begins, Ok(permit)) = (app, stream.permit()) {
                let end = app == App::Answers;
                let _ = permit.respond(Status::OK, [("content-type", "a/b")], Payload::Static(b"some"), end);
            }
        }
        Event::Body { end, .. } => {
            if let Some(open) = streams.get_mut(&key) {
                open.complete |= end;
            }
        }
        Event::Trailers { .. } => {
            if let Some(open) = streams.get_mut(&key) {
                open.complete = true;
            }
        }
        Event::Closed { .. } => drop(streams.remove(&key)),
        _ => {}
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn opening(fields: &str) -> Vec<u8> {
    format!(
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{fields}\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .into_bytes()
}

/// The inputs of clients.
fn requests() -> Vec<Vec<u8>> {
    let frames = b"\x81\x85\x01\x02\x03\x04aaaaa\x01\x82\x01\x02\x03\x04aa\x89\x80\x01\x02\x03\x04\x80\x80\x01\x02\x03\x04";
    let close = b"\x88\x82\x01\x02\x03\x04\x02\xea";
    let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &*frame(4, 0, 0, b""), &frame(4, 1, 0, b"")].concat();
    let get = b"\x82\x86\x84\x01\x01a";
    let post = b"\x83\x86\x84\x01\x01a";
    vec![
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2),
        b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.0\r\n\r\n".to_vec(),
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET".to_vec(),
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\na: b\r\n\r\n"
            .to_vec(),
        b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello".to_vec(),
        [&*opening(""), frames, close].concat(),
        [&*opening("Content-Length: 5\r\n"), b"hello"].concat(),
        [&*opening("Transfer-Encoding: chunked\r\n"), b"5\r\nhello\r\n0\r\n\r\n"].concat(),
        b"\x16\x03\x01 and what is no HTTP at all\r\n\r\n".to_vec(),
        [&*preface, &frame(1, 5, 1, get), &frame(6, 0, 0, b"12345678"), &frame(1, 5, 3, get)].concat(),
        [&*preface, &frame(1, 4, 1, post), &frame(0, 0, 1, b"hello"), &frame(0, 1, 1, b"")].concat(),
        [&*preface, &frame(1, 4, 1, post), &frame(3, 0, 1, &[0, 0, 0, 8]), &frame(7, 0, 0, &[0; 8])].concat(),
        [&*preface, &frame(1, 0, 1, get), &frame(9, 4, 1, b""), &frame(0, 1, 1, b"")].concat(),
    ]
}

#[test]
fn every_state_of_a_server_has_a_deadline_or_waits_for_its_application() {
    let config = Arc::new(Config::default());
    for (number, said) in requests().iter().enumerate() {
        for app in [App::Answers, App::Silent, App::Begins, App::Pauses] {
            for takes in [true, false] {
                for cut in 0..=said.len() {
                    let connection = Connection::server(Time::ZERO, Arc::clone(&config));
                    let mut walk = Walk { connection, app, takes, streams: BTreeMap::new() };
                    walk.feed(&said[..cut]);
                    walk.check(&format!("request {number} up to {cut}"));
                    walk.connection.received_eof(Time::ZERO);
                    walk.settle();
                    walk.check(&format!("request {number} up to {cut} and the end"));
                }
            }
        }
    }
}

fn entropy() -> Box<dyn Entropy> {
    Box::new(|bytes: &mut [u8]| bytes.fill(7))
}

#[test]
fn every_state_of_a_client_has_a_deadline_while_it_waits_for_an_answer() {
    let http1: [&[u8]; 5] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\na: b\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nhello",
        b"HTTP/1.1 103 Early Hints\r\na: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n",
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\nhell",
    ];
    let settings = [frame(4, 0, 0, b""), frame(4, 1, 0, b"")].concat();
    let http2: [Vec<u8>; 2] = [
        [&*settings, &frame(1, 4, 1, b"\x88"), &frame(0, 0, 1, b"hello"), &frame(6, 0, 0, b"12345678")]
            .concat(),
        [&*settings, &frame(8, 0, 0, &[0, 0, 1, 0])].concat(),
    ];
    let all = http1.iter().map(|said| (false, *said)).chain(http2.iter().map(|said| (true, &**said)));
    for (number, (is_http2, said)) in all.enumerate() {
        for websocket in [false, true] {
            for cut in 0..=said.len() {
                let config = Arc::new(Config::default());
                let mut connection = match is_http2 {
                    true => Connection::client_http2(Time::ZERO, config, entropy(), Scheme::Http),
                    false => Connection::client(Time::ZERO, config, entropy()),
                };
                if websocket {
                    connection
                        .connect_websocket(Time::ZERO, &ws::Connect::new("a", "/"))
                        .expect("an opening");
                } else {
                    let request = Request::get("a", "/");
                    let fields: [(&str, &str); 0] = [];
                    let sent = connection.request(Time::ZERO, &request, fields, Payload::Static(b""), true);
                    let _ = sent.expect("a request");
                }
                let mut walk = Walk { connection, app: App::Silent, takes: true, streams: BTreeMap::new() };
                walk.settle();
                walk.check(&format!("response {number} before anything"));
                walk.feed(&said[..cut]);
                walk.check(&format!("response {number} up to {cut}, websocket: {websocket}"));
            }
        }
    }
}
