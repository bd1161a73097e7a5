//! Handlers and factories that panic: each ends its own stream, and everybody else goes on.

use crate::common::{Answer, Running, serve};
use lws_server::http::{self, Exchange, Permit, Request, Response, Status};
use lws_server::{Builder, Cause, Context, Payload, RawPermit, RawStream, Stats, WebSocket, raw, ws};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use test_kit::PATIENCE;

/// Where an exchange panics.
#[derive(Clone, Copy, PartialEq)]
enum At {
    Open,
    Content,
    /// When a part of the response has been sent.
    Writable,
    Close,
    /// When it is dropped, and nothing before.
    Drop,
}

struct Exchanges(At);

impl http::Handler for Exchanges {
    fn open(&mut self, _: &mut Context<'_>, mut exchange: Exchange<'_>, _: bool) {
        assert!(self.0 != At::Open, "open");
        if self.0 == At::Writable {
            exchange.want_write();
        } else if self.0 != At::Content {
            let _ = exchange.reply(Response::text("fine"));
        }
    }

    fn content(&mut self, _: &mut Context<'_>, _: Exchange<'_>, _: &mut [u8], _: bool) {
        panic!("content");
    }

    fn writable(&mut self, _: &mut Context<'_>, permit: Permit<'_>) {
        let fields: [(&str, &str); 0] = [];
        let _ = permit.respond(Status::OK, fields, Payload::Static(b"a part"), false);
        panic!("writable");
    }

    fn close(&mut self, _: &mut Context<'_>, cause: Cause) {
        assert!(self.0 != At::Close, "close: {cause}");
        assert!(self.0 == At::Drop, "one that has panicked is not called again");
    }
}

impl Drop for Exchanges {
    fn drop(&mut self) {
        assert!(self.0 != At::Drop || std::thread::panicking(), "drop");
    }
}

struct Socket;

impl ws::Handler for Socket {
    fn message(&mut self, _: &mut Context<'_>, stream: WebSocket<'_>, message: ws::Message<'_>) {
        assert!(message.text() != Some("panic"), "message");
        if let Ok(permit) = stream.permit() {
            let _ = permit.message(message.kind, Payload::Copy(message.chunk), true);
        }
    }

    fn close(&mut self, _: &mut Context<'_>, _: Cause) {
        panic!("close");
    }
}

struct Raw;

impl raw::Handler for Raw {
    fn chunk(&mut self, _: &mut Context<'_>, stream: RawStream<'_>, _: &mut [u8], _: bool) {
        if let Ok(permit) = stream.permit() {
            let _: Result<_, _> = permit.fill(100, |_| panic!("fill"));
        }
    }

    fn writable(&mut self, _: &mut Context<'_>, _: RawPermit<'_>) {}
}

/// The reports of panics: route and message.
type Told = Receiver<(Option<String>, String)>;

fn describe(builder: Builder, tell: &Mutex<Sender<(Option<String>, String)>>) -> Builder {
    let tell = tell.lock().expect("no panic").clone();
    let exchanges = |at: At| move |_: &Request<'_>| Exchanges(at);
    builder
        .on_panic(move |record| {
            let _ = tell.send((record.route.map(Into::into), record.message.to_owned()));
            panic!("this is not reported");
        })
        .get("/fine", |_| Response::text("fine"))
        .get("/factory", |_| -> Response { panic!("factory") })
        .post("/collected", |_| -> Response { panic!("collected") })
        .get("/open", exchanges(At::Open))
        .post("/content", exchanges(At::Content))
        .get("/writable", exchanges(At::Writable))
        .get("/close", exchanges(At::Close))
        .get("/drop", exchanges(At::Drop))
        .ws("/ws", |_| Socket)
        .ws("/opening", |_| -> Socket { panic!("opening") })
        .raw(|| Raw)
}

fn server(threads: usize) -> (Running, Told) {
    let (tell, told) = channel();
    let tell = Arc::new(Mutex::new(tell));
    let server = serve(move |builder| match threads {
        1 => describe(builder, &tell),
        threads => builder.threads(threads, move |builder| describe(builder, &tell)),
    });
    (server, told)
}

fn stats(server: &Running) -> Stats {
    let (tell, told) = channel();
    // What the other threads have counted they say when they are asked.
    assert!(server.handle.post(|cx| {
        let _ = cx.stats();
    }));
    std::thread::sleep(Duration::from_millis(50));
    assert!(server.handle.post(move |cx| tell.send(cx.stats()).expect("the test waits")));
    told.recv_timeout(PATIENCE).expect("the server answers")
}

fn post(server: &Running, target: &str) -> Answer {
    server.ask(format!(
        "POST {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"
    ))
}

#[test]
fn an_exchange_whose_handler_panics_is_answered_500_or_cut_off() {
    let (server, told) = server(1);
    let next = || told.recv_timeout(PATIENCE).expect("it is reported");
    let was = |route: &str, message: &str| assert_eq!(next(), (Some(route.to_owned()), message.to_owned()));
    // A client that waits all the time, on the same thread.
    let mut other = server.connect();
    assert_eq!(server.get("/factory").status, 500);
    was("/factory", "factory");
    assert_eq!(server.get("/open").status, 500);
    was("/open", "open");
    assert_eq!(post(&server, "/collected").status, 500);
    was("/collected", "collected");
    assert_eq!(post(&server, "/content").status, 500);
    was("/content", "content");
    // Too late for a status: there is no last chunk, so that no client takes it for complete.
    let answer = server.get("/writable");
    assert_eq!(answer.status, 200);
    assert!(!answer.content.ends_with(b"0\r\n\r\n"), "{:?}", answer.content.escape_ascii().to_string());
    was("/writable", "writable");
    // What has been answered stays so.
    assert_eq!(server.get("/close").text(), "fine");
    was("/close", "close: complete");
    assert_eq!(server.get("/drop").text(), "fine");
    was("/drop", "drop");
    let (_, answer) = server.open("/opening", "");
    assert_eq!(answer.status, 500);
    was("/opening", "opening");
    other.send("GET /fine HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(Answer::parse(&other.rest()).text(), "fine");
    assert_eq!(stats(&server).panics, 8);
}

#[test]
fn a_websocket_whose_handler_panics_is_closed_with_1011_and_a_raw_stream_is_cut_off() {
    let (server, told) = server(1);
    let next = || told.recv_timeout(PATIENCE).expect("it is reported");
    let (mut other, _) = server.open("/ws", "");
    for _ in 0..3 {
        let (mut peer, _) = server.open("/ws", "");
        peer.send_text("one");
        assert_eq!(peer.text(), "one");
        // Input behind it is not delivered.
        peer.send_text("panic");
        peer.send_text("two");
        assert_eq!(peer.frame(), (8, vec![0x03, 0xf3]));
        peer.send([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xf3]);
        assert_eq!(peer.rest(), b"");
        assert_eq!(next(), (Some("/ws".into()), "message".into()));
        let mut peer = server.connect();
        peer.send([0, 1, 2]);
        assert_eq!(peer.rest(), b"");
        assert_eq!(next(), (None, "fill".into()));
    }
    other.send_text("still here");
    assert_eq!(other.text(), "still here");
    let stats = stats(&server);
    assert_eq!((stats.panics, stats.websockets), (6, 1));
}

#[test]
fn every_thread_goes_on_after_a_panic() {
    let (server, told) = server(3);
    // Held, so that connections go round.
    let held: Vec<_> = (0..12)
        .map(|_| {
            let (mut peer, _) = server.open("/ws", "");
            assert_eq!(server.get("/open").status, 500);
            peer.send_text("still here");
            assert_eq!(peer.text(), "still here");
            peer
        })
        .collect();
    assert_eq!(told.iter().take(12).count(), 12);
    assert_eq!(stats(&server).panics, 12);
    assert!((0..3).all(|thread| server.handle.thread_connections(thread) > 0));
    assert!(server.handle.post(|_| panic!("posted")));
    assert_eq!(told.recv_timeout(PATIENCE).expect("it is reported"), (None, "posted".into()));
    assert_eq!(server.get("/fine").text(), "fine");
    drop(held);
}
