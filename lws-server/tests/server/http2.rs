//! Many streams on one connection, seen from its other end: the engine's client over HTTP/2.

use crate::common::{Running, serve};
use lws_proto::http::Scheme;
use lws_proto::ws::Connect;
use lws_proto::{Cause, Config, Connection, Entropy, Event, Payload, Request, StreamKey, Time};
use lws_server::http::{self, Exchange, Response, Status};
use lws_server::ws::{Broadcast, CloseCode, Handler, Message};
use lws_server::{Context, MessageKind, Stream, WebSocket, WebSocketPermit};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

/// One connection of a client, and the events of its streams.
struct Client {
    socket: TcpStream,
    connection: Connection,
    begun: Instant,
    said: Vec<(StreamKey, Said)>,
}

#[derive(Clone, Debug, PartialEq)]
enum Said {
    Open,
    Text(String),
    Status(u16),
    Content(String),
    Closed(Cause),
}

/// Masks do not matter here.
struct NoEntropy;

impl Entropy for NoEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

impl Client {
    fn connect(server: &Running) -> Self {
        let socket = server.connect().0;
        let config = Arc::new(Config::default());
        let connection = Connection::client_http2(Time::ZERO, config, Box::new(NoEntropy), Scheme::Http);
        Self { socket, connection, begun: Instant::now(), said: Vec::new() }
    }

    fn now(&self) -> Time {
        Time::ZERO + self.begun.elapsed()
    }

    fn open(&mut self, target: &str) -> StreamKey {
        let now = self.now();
        self.connection.connect_websocket(now, &Connect::new("localhost", target)).expect("a handshake")
    }

    fn request(&mut self, method: &str, target: &str, content: &'static [u8], end: bool) -> StreamKey {
        let (now, request) = (self.now(), Request { method, target, host: "localhost" });
        let fields: [(&str, &str); 1] = [("user-agent", "tester")];
        self.connection
            .request(now, &request, fields, Payload::Static(content), end)
            .expect("a request")
            .key()
    }

    fn stream(&mut self, key: StreamKey) -> Stream<'_> {
        self.connection.stream(key).expect("it is open")
    }

    fn send(&mut self, key: StreamKey, text: &str) {
        let permit = self.connection.websocket(key).expect("it is open").permit().expect("there is room");
        assert!(permit.text(text).is_ok());
    }

    fn flush(&mut self) {
        let now = self.now();
        while let Some(transmit) = self.connection.transmit(now) {
            let written = self.socket.write(transmit.first()).expect("the server reads");
            transmit.commit(written);
        }
    }

    /// Waits for the next event of `key`, which has to be `expected`.
    fn hears(&mut self, key: StreamKey, expected: Said) {
        loop {
            if let Some(at) = self.said.iter().position(|(told, _)| *told == key) {
                assert_eq!(self.said.remove(at).1, expected);
                return;
            }
            self.turn();
        }
    }

    /// What the connection has to tell, or what comes next.
    fn turn(&mut self) {
        self.flush();
        if let Some(event) = self.connection.next_event() {
            return note(&mut self.said, event);
        }
        let mut buffer = [0; 4_096];
        let read = self.socket.read(&mut buffer).expect("the server answers in time");
        let now = self.now();
        if read == 0 {
            self.connection.received_eof(now);
        } else {
            let mut feed = self.connection.receive(now, &mut buffer[..read]);
            while let Some(event) = feed.next_event() {
                note(&mut self.said, event);
            }
        }
        self.flush();
    }

    /// Whether there was no unexpected event.
    fn has_nothing_more(&self) -> bool {
        self.said.is_empty()
    }
}

fn note(said: &mut Vec<(StreamKey, Said)>, event: Event<'_>) {
    let key = event.key();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match event {
        Event::Established { .. } => said.push((key, Said::Open)),
        Event::Message { chunk, .. } => said.push((key, Said::Text(text(chunk)))),
        Event::Response { head, .. } => {
            said.push((key, Said::Status(head.status().map_or(0, |status| status.code()))));
        }
        Event::Body { chunk, .. } if !chunk.is_empty() => said.push((key, Said::Content(text(chunk)))),
        Event::Closed { cause, .. } => said.push((key, Said::Closed(cause))),
        _ => {}
    }
}

fn text(text: &str) -> Said {
    Said::Text(text.into())
}

/// Echoes; publishes what begins with `all `; has a word to say when it is woken or may write; tells how it ends.
struct Member {
    ends: Sender<&'static str>,
}

impl Handler for Member {
    fn message(&mut self, cx: &mut Context<'_>, mut stream: WebSocket<'_>, message: Message<'_>) {
        match message.text().unwrap_or_default() {
            "write" => stream.want_write(),
            "write all" => cx.want_write_all(),
            text if text.starts_with("all ") => {
                cx.publish(&Broadcast::new(MessageKind::Text, text.to_owned())).expect("room");
            }
            text => assert!(stream.permit().is_ok_and(|permit| permit.text(text).is_ok())),
        }
    }

    fn writable(&mut self, cx: &mut Context<'_>, permit: WebSocketPermit<'_>) {
        assert!(permit.text(&format!("1 of {}", cx.route_websockets())).is_ok());
    }

    fn wake(&mut self, _: &mut Context<'_>, stream: WebSocket<'_>) {
        assert!(stream.permit().is_ok_and(|permit| permit.text("woken").is_ok()));
    }

    fn close(&mut self, _: &mut Context<'_>, cause: Cause) {
        let _ = self.ends.send(cause.name());
    }
}

/// Answers with what was posted, as it comes.
struct Echo;

impl http::Handler for Echo {
    fn open(&mut self, _: &mut Context<'_>, _: Exchange<'_>, end: bool) {
        assert!(!end, "there is content");
    }

    fn content(&mut self, _: &mut Context<'_>, exchange: Exchange<'_>, chunk: &mut [u8], end: bool) {
        let Ok(permit) = exchange.permit() else { panic!("there is room") };
        let answered = if end {
            permit.data(Payload::Copy(chunk), true)
        } else {
            permit.respond(Status::OK, [("content-type", "text/plain")], Payload::Copy(chunk), false)
        };
        assert!(answered.is_ok());
    }
}

/// A server of members, the lines of its access log, and how the members end.
fn members() -> (Running, Receiver<String>, Receiver<&'static str>) {
    let (lines, logged) = channel();
    let (ends, ended) = channel();
    let server = serve(move |builder| {
        builder
            .ws("/members", move |_| Member { ends: ends.clone() })
            .get("/page", |_| Response::text("page"))
            .post("/echo", |_: &http::Request<'_>| Echo)
            .access_log(move |record| {
                let line =
                    format!("{} {} {:?} {}", record.method, record.target, record.version, record.status);
                let _ = lines.send(format!("{line} {}", record.cause));
            })
    });
    (server, logged, ended)
}

/// WebSockets on one connection, which are all open.
fn open(client: &mut Client, count: usize) -> Vec<StreamKey> {
    let keys: Vec<_> = (0..count).map(|_| client.open("/members")).collect();
    keys.iter().for_each(|key| client.hears(*key, Said::Open));
    keys
}

#[test]
fn what_is_published_reaches_each_websocket_of_a_connection_once() {
    let (server, _, _) = members();
    let (mut one, mut other) = (Client::connect(&server), Client::connect(&server));
    let (ours, theirs) = (open(&mut one, 5), open(&mut other, 2));
    for news in ["all 1", "all 2", "all 3"] {
        one.send(ours[3], news);
        ours.iter().for_each(|key| one.hears(*key, text(news)));
        theirs.iter().for_each(|key| other.hears(*key, text(news)));
    }
    one.send(ours[0], "mine");
    one.hears(ours[0], text("mine"));
    assert!(one.has_nothing_more() && other.has_nothing_more());
}

#[test]
fn a_permit_and_a_call_come_to_the_stream_that_they_are_for() {
    let (server, _, _) = members();
    let mut client = Client::connect(&server);
    let keys = open(&mut client, 4);
    client.send(keys[2], "write");
    client.hears(keys[2], text("1 of 4"));
    client.send(keys[1], "write all");
    keys.iter().for_each(|key| client.hears(*key, text("1 of 4")));
    assert!(server.handle.wake_all("/members"));
    keys.iter().for_each(|key| client.hears(*key, text("woken")));
    // One is gone; the place of its stream is another's.
    client.stream(keys[1]).abort();
    client.hears(keys[1], Said::Closed(Cause::Aborted));
    let page = client.request("GET", "/page", b"", true);
    client.hears(page, Said::Status(200));
    client.hears(page, Said::Content("page".into()));
    client.hears(page, Said::Closed(Cause::Complete));
    let next = open(&mut client, 1)[0];
    client.send(keys[0], "write all");
    for key in [keys[0], keys[2], keys[3], next] {
        client.hears(key, text("1 of 4"));
    }
    assert!(client.has_nothing_more());
}

#[test]
fn a_drain_tells_every_websocket_and_lets_what_runs_come_to_its_end() {
    let (server, _, ended) = members();
    let mut client = Client::connect(&server);
    let keys = open(&mut client, 3);
    let upload = client.request("POST", "/echo", b"before", false);
    client.hears(upload, Said::Status(200));
    client.hears(upload, Said::Content("before".into()));
    assert!(server.handle.drain());
    let going_away = Cause::Closed { code: CloseCode::GOING_AWAY, by_peer: true };
    for key in keys {
        client.hears(key, Said::Closed(going_away));
    }
    let permit = client.connection.exchange(upload).expect("it is open").permit().expect("there is room");
    assert!(permit.data(Payload::Static(b"after"), true).is_ok());
    client.hears(upload, Said::Content("after".into()));
    client.hears(upload, Said::Closed(Cause::Complete));
    server.join();
    assert_eq!(ended.iter().collect::<Vec<_>>().len(), 3);
}

#[test]
fn a_connection_that_vanishes_ends_all_of_its_websockets() {
    let (server, _, ended) = members();
    let mut client = Client::connect(&server);
    open(&mut client, 3);
    let mut other = Client::connect(&server);
    let key = open(&mut other, 1)[0];
    drop(client);
    let ends: Vec<_> = ended.iter().take(3).collect();
    assert_eq!(ends, ["disconnected"; 3]);
    other.send(key, "write");
    other.hears(key, text("1 of 1"));
}

#[test]
fn the_access_log_has_a_line_for_each_stream() {
    let (server, logged, _) = members();
    let mut client = Client::connect(&server);
    let check = |line: &str| assert_eq!(logged.recv().as_deref(), Ok(line));
    open(&mut client, 1);
    check("CONNECT /members Http2 200 websocket");
    let page = client.request("GET", "/page", b"", true);
    client.hears(page, Said::Status(200));
    check("GET /page Http2 200 complete");
    for (target, line) in
        [("/nowhere", "CONNECT /nowhere Http2 404 complete"), ("/page", "CONNECT /page Http2 405 complete")]
    {
        let key = client.open(target);
        while !client.said.iter().any(|(told, said)| *told == key && matches!(said, Said::Closed(_))) {
            client.turn();
        }
        check(line);
    }
}

#[test]
fn a_route_is_asked_about_each_stream_of_a_connection() {
    let server = serve(|builder| {
        let gate = lws_server::auth::ForwardAuth::route("/auth").gate();
        let length = |request: &http::Request<'_>| Response::text(request.content().len().to_string());
        let (ends, _) = channel();
        builder
            .get("/auth", |request| match request.text("X-Forwarded-Uri") {
                Some(target) if target.ends_with("?in") => Response::new(Status::NO_CONTENT),
                _ => Response::error(Status::FORBIDDEN),
            })
            .route(lws_server::Route::post("/length", length).authentication(gate.clone()))
            .route(
                lws_server::Route::ws("/chat", move |_| Member { ends: ends.clone() }).authentication(gate),
            )
    });
    let mut client = Client::connect(&server);
    let inside = client.request("POST", "/length?in", b"0123456789", true);
    let outside = client.request("POST", "/length?out", b"0123456789", true);
    client.hears(outside, Said::Status(403));
    client.hears(inside, Said::Status(200));
    client.hears(inside, Said::Content("10".into()));
    let chat = client.open("/chat?in");
    client.hears(chat, Said::Open);
    client.send(chat, "hello");
    client.hears(chat, text("hello"));
}
