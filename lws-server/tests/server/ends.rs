//! How exchanges end, seen from the other end of a connection: what is incomplete looks so, and what has no content makes none.

use crate::common::{Running, serve};
use lws_server::http::{Exchange, Handler, Permit, Response, Status};
use lws_server::ws::{self, Message};
use lws_server::{Context, ListeningSocket, Payload, Server, WebSocket};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// An answer without an end, of which it notes every permit and the cause of its end.
struct Endless {
    notes: Sender<String>,
}

impl Handler for Endless {
    fn open(&mut self, _: &mut Context<'_>, exchange: Exchange<'_>, _: bool) {
        let Ok(permit) = exchange.permit() else { return };
        let begun = permit.respond(Status::OK, [("X-Endless", "yes")], Payload::Static(b""), false);
        begun.expect("a response is due").again();
    }

    fn writable(&mut self, _: &mut Context<'_>, permit: Permit<'_>) {
        let _ = self.notes.send("permit".into());
        permit.data(Payload::Static(&[b'x'; 1_000]), false).expect("content is due").again();
    }

    fn close(&mut self, _: &mut Context<'_>, cause: lws_server::Cause) {
        let _ = self.notes.send(cause.name().into());
    }
}

#[test]
fn a_streaming_handler_is_not_asked_for_content_that_head_does_not_want() {
    let (notes, noted) = channel();
    let (records, recorded) = channel();
    let server = serve(|builder| {
        builder
            .get("/", move |_| Endless { notes: notes.clone() })
            .get("/page", |_| lws_server::http::Response::text("page"))
            .access_log(move |record| {
                let _ = records.send((record.status, record.bytes, record.cause));
            })
    });
    for target in ["/", "/page"] {
        let answer = server.request("HEAD", target, "");
        assert_eq!((answer.status, answer.content.len()), (200, 0), "{target}");
        let record = recorded.recv_timeout(Duration::from_secs(10)).expect("a record");
        assert_eq!(record, (200, 0, "complete"), "{target}");
    }
    assert_eq!(noted.recv_timeout(Duration::from_secs(10)).as_deref(), Ok("complete"));
    drop(server);
    assert!(noted.recv().is_err(), "nothing else was reported");
}

/// Gives the exchange up in the middle of its answer.
struct GivesUp;

impl Handler for GivesUp {
    fn open(&mut self, cx: &mut Context<'_>, exchange: Exchange<'_>, _: bool) {
        let Ok(permit) = exchange.permit() else { return };
        let begun = permit.respond(Status::OK, [("X-Half", "yes")], Payload::Static(b"half"), false);
        begun
            .expect("a response is due")
            .into_exchange()
            .set_timeout(Some(cx.now() + Duration::from_millis(20)));
    }

    fn timer(&mut self, _: &mut Context<'_>, exchange: Exchange<'_>) {
        exchange.abort();
    }
}

/// How the answer to a request ends for the peer: `None` is in order.
fn end(server: &Running, request: &str, after_head: impl FnOnce()) -> (usize, Option<ErrorKind>) {
    let mut peer = server.connect();
    peer.send(request);
    peer.head();
    after_head();
    let mut rest = Vec::new();
    let ended = peer.0.read_to_end(&mut rest);
    (rest.len(), ended.err().map(|error| error.kind()))
}

#[test]
fn a_peer_does_not_see_an_end_where_an_answer_was_given_up() {
    let server = serve(|builder| builder.get("/", |_| GivesUp));
    for request in ["GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET / HTTP/1.0\r\nHost: localhost\r\n\r\n"]
    {
        let (_, ended) = end(&server, request, || ());
        assert_eq!(ended, Some(ErrorKind::ConnectionReset), "{request:?}");
    }
}

#[test]
fn a_peer_does_not_see_an_end_where_a_file_became_shorter() {
    const LEN: u64 = 64 << 20;
    let folder = std::env::temp_dir().join(format!("lws-ends-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = File::create(folder.join("data.bin")).expect("a file");
    file.set_len(LEN).expect("room for nothing");
    let root = folder.clone();
    let server = serve(move |builder| builder.files("/", root));
    let (len, ended) = end(&server, "GET /data.bin HTTP/1.1\r\nHost: localhost\r\n\r\n", || {
        file.set_len(1_000).expect("it becomes shorter");
    });
    assert_eq!(ended, Some(ErrorKind::ConnectionReset), "after {len} bytes");
    assert!((len as u64) < LEN);
    std::fs::remove_dir_all(&folder).expect("the folder goes");
}

/// Sends every message back.
struct Echo;

impl ws::Handler for Echo {
    fn message(&mut self, _: &mut Context<'_>, stream: WebSocket<'_>, message: Message<'_>) {
        let permit = stream.permit().expect("room");
        permit.text(message.text().expect("a whole text")).expect("it is sent");
    }
}

/// A server with a page and an echo, on so many threads.
fn with_echo(threads: usize) -> Running {
    serve(move |builder| {
        builder.threads(threads, |builder| builder.get("/", |_| Response::text("page")).ws("/echo", |_| Echo))
    })
}

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[test]
fn a_server_that_retires_closes_its_listeners_and_lets_every_connection_end_by_itself() {
    for threads in [1, 3] {
        let server = with_echo(threads);
        let mut sockets: Vec<_> = (0..threads * 2).map(|_| server.open("/echo", "").0).collect();
        // The first one has been accepted when the second is answered.
        let (mut fresh, mut used) = (server.connect(), server.connect());
        used.send(REQUEST);
        assert!(!String::from_utf8_lossy(&used.head()).contains("Connection: close"));
        assert_eq!(&used.exactly(), b"page");
        assert!(server.handle.retire(Duration::from_secs(3_600)));
        test_kit::eventually(|| std::net::TcpStream::connect(server.address).is_err());
        // One that has asked before, and one that has not.
        // Its thread may hear of it a little later than the one that listens.
        test_kit::eventually(|| {
            used.send(REQUEST);
            let head = String::from_utf8_lossy(&used.head()).into_owned();
            assert_eq!(&used.exactly(), b"page");
            head.contains("Connection: close")
        });
        assert!(used.rest().is_empty(), "{threads} threads");
        fresh.send(REQUEST.repeat(2));
        assert!(fresh.head().starts_with(b"HTTP/1.1 200 "), "{threads} threads");
        for socket in &mut sockets {
            socket.send_text("still here");
            assert_eq!(socket.text(), "still here", "{threads} threads");
        }
        drop((sockets, fresh));
        // Nothing else ends it.
        server.join();
    }
}

#[test]
fn a_server_that_has_retired_for_long_enough_drains() {
    let server = with_echo(2);
    let mut sockets: Vec<_> = (0..4).map(|_| server.open("/echo", "").0).collect();
    server.handle.retire(Duration::from_millis(50));
    for socket in &mut sockets {
        assert_eq!(socket.frame(), (8, 1001_u16.to_be_bytes().to_vec()));
        socket.send([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9]);
    }
    server.join();
}

#[test]
fn a_server_takes_over_the_listeners_of_another_and_closes_those_that_it_has_no_use_for() {
    let path = std::env::temp_dir().join(format!("lws-take-over-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let unix = format!("unix:{}", path.display());
    let at = unix.clone();
    let old = serve(move |builder| builder.listen(&at).get("/", |_| Response::text("old")));
    let (found, wait) = channel();
    assert!(old.handle.duplicate_listeners(move |listeners| found.send(listeners).expect("the test waits")));
    let sockets = wait.recv_timeout(Duration::from_secs(10)).expect("an answer").expect("descriptors");
    assert_eq!(sockets.len(), 2);
    let extra = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let unclaimed = extra.local_addr().expect("it is bound");
    let extra = ListeningSocket::adopt(extra.into()).expect("it listens");
    old.handle.leave_listener_files();
    let (left, wait) = channel();
    old.handle.post(move |_| left.send(()).expect("the test waits"));
    wait.recv_timeout(Duration::from_secs(10)).expect("it was asked before");
    old.handle.retire(Duration::from_secs(3_600));
    let address = old.address;
    old.join();
    // No process accepts it yet, and nothing is refused.
    let mut early = std::net::TcpStream::connect(address).expect("the sockets listen");
    let (started, has_started) = channel();
    let thread = std::thread::spawn(move || {
        let builder = Server::builder().listening_sockets(sockets).listening_sockets([extra]);
        let builder = builder.listen(&address.to_string()).listen(&unix);
        let server = builder.get("/", |_| Response::text("new")).build().expect("it listens");
        started.send(server.handle()).expect("the test waits");
        server.run().expect("it runs");
    });
    let handle = has_started.recv_timeout(Duration::from_secs(10)).expect("it starts");
    assert!(handle.take_over_listeners());
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut other = std::os::unix::net::UnixStream::connect(&path).expect("its file was left");
    for stream in [&mut early as &mut dyn ReadWrite, &mut other] {
        stream.write_all(request).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        assert!(answer.ends_with("new"), "{answer}");
    }
    test_kit::eventually(|| std::net::TcpStream::connect(unclaimed).is_err());
    handle.stop();
    thread.join().expect("it ends well");
    assert!(!path.exists(), "the file goes with the server that has taken it over");
}

trait ReadWrite: Read + std::io::Write {}

impl<T: Read + std::io::Write> ReadWrite for T {}
