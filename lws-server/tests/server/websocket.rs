//! WebSocket and raw handlers, seen from the other end of a connection.

use crate::common::serve;
use lws_server::http::{Response, Status};
use lws_server::ws::{Accepted, CloseCode, Handler, Message};
use lws_server::{Cause, Context, Control, Payload, RawStream, Sent, WebSocket, WebSocketPermit, raw};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

struct Echo;

impl Handler for Echo {
    fn message(&mut self, _: &mut Context<'_>, stream: WebSocket<'_>, message: Message<'_>) {
        if let Ok(permit) = stream.permit() {
            let _ =
                permit.message(message.kind, Payload::Copy(message.chunk), message.end).map(Sent::throttle);
        }
    }
}

#[test]
fn messages_are_echoed_in_the_turn_that_brought_them() {
    let server = serve(|builder| builder.ws("/echo", |_| Echo));
    let (mut peer, answer) = server.open("/echo", "");
    assert_eq!(answer.status, 101);
    assert_eq!(answer.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(answer.field("sec-websocket-protocol"), None);
    for text in ["", "one", "two"] {
        peer.send_text(text);
        assert_eq!(peer.text(), text);
    }
}

#[test]
fn the_factory_chooses_the_subprotocol_or_refuses() {
    let server = serve(|builder| {
        builder
            .ws("/chat", |request| {
                Accepted::new(Echo)
                    .protocol(request.select_protocol(&["chat.v1", "chat.v2"]))
                    .field("X-Chat", "yes")
            })
            .ws("/refused", |_| Err::<Echo, _>(Response::error(Status::FORBIDDEN).field("X-Why", "because")))
            .ws("/wrong", |_| Accepted::new(Echo).protocol("never-offered"))
    });
    let check = |offered: &str, chosen: Option<&str>| {
        let (_, answer) = server.open("/chat", offered);
        assert_eq!((answer.status, answer.field("x-chat")), (101, Some("yes")), "{offered}");
        assert_eq!(answer.field("sec-websocket-protocol"), chosen, "{offered}");
    };
    check("", None);
    check("Sec-WebSocket-Protocol: chat.v2\r\n", Some("chat.v2"));
    check("Sec-WebSocket-Protocol: other, chat.v2, chat.v1\r\n", Some("chat.v2"));
    check("Sec-WebSocket-Protocol: other\r\n", None);

    let (_, answer) = server.open("/refused", "");
    assert_eq!((answer.status, answer.field("x-why")), (403, Some("because")));
    let (_, answer) = server.open("/wrong", "Sec-WebSocket-Protocol: offered\r\n");
    assert_eq!(answer.status, 500);
}

#[test]
fn an_opening_that_is_wrong_is_answered_and_makes_no_handler() {
    let (sender, made) = channel();
    let server = serve(move |builder| {
        builder.ws("/", move |_| {
            sender.send(()).expect("the test listens");
            Echo
        })
    });
    let opening = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let check = |fields: &str, status: u16| {
        let answer = server.ask(format!("GET / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"));
        assert_eq!(answer.status, status, "{fields}");
        if status == 426 {
            assert_eq!(answer.field("sec-websocket-version"), Some("13"));
        }
    };
    check(&format!("{opening}{key}Sec-WebSocket-Version: 8\r\n"), 426);
    check(&format!("{opening}{key}"), 426);
    check(&format!("{opening}Sec-WebSocket-Version: 13\r\n"), 400);
    check(&format!("{opening}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n"), 400);
    check("Connection: close\r\n", 426);
    drop(server);
    assert!(made.recv().is_err());
}

/// Reports the life of its WebSocket, and has a word to say on every occasion.
struct Reporter(Sender<String>);

impl Reporter {
    fn say(&self, text: impl Into<String>) {
        self.0.send(text.into()).expect("the test listens");
    }
}

impl Handler for Reporter {
    fn open(&mut self, cx: &mut Context<'_>, mut stream: WebSocket<'_>) {
        assert!(cx.id().is_some_and(|_| cx.peer().ip().is_some()));
        self.say(format!("open {}", cx.stats().websockets));
        stream.set_timeout(Some(cx.now() + Duration::from_millis(1)));
    }

    fn timer(&mut self, _: &mut Context<'_>, mut stream: WebSocket<'_>) {
        self.say("timer");
        stream.want_write();
    }

    fn writable(&mut self, _: &mut Context<'_>, permit: WebSocketPermit<'_>) {
        self.say("writable");
        assert!(permit.text("timed").is_ok());
    }

    fn control(&mut self, _: &mut Context<'_>, _: WebSocket<'_>, control: Control<'_>) {
        match control {
            Control::Pong(payload) => self.say(format!("pong {payload:?}")),
            Control::Close { code, .. } => self.say(format!("close {}", code.get())),
            _ => {}
        }
    }

    fn close(&mut self, cx: &mut Context<'_>, cause: Cause) {
        self.say(format!("{} {}", cause.name(), cx.stats().websockets));
    }
}

#[test]
fn a_handler_is_called_for_each_step_of_its_life_in_order() {
    let (sender, said) = channel();
    let server = serve(move |builder| builder.ws("/", move |_| Reporter(sender.clone())));
    let (mut peer, _) = server.open("/", "");
    assert_eq!(peer.text(), "timed");
    peer.send([0x8a, 0x81, 0, 0, 0, 0, 7]);
    peer.send([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]);
    assert_eq!(peer.frame(), (8, vec![0x03, 0xe8]));
    assert_eq!(peer.rest(), b"");
    drop(server);
    let said: Vec<_> = said.iter().collect();
    assert_eq!(said, ["open 1", "timer", "writable", "pong [7]", "close 1000", "closed_by_peer 0"]);
}

/// Everybody hears what anybody says.
struct Group {
    said: Rc<RefCell<String>>,
}

impl Handler for Group {
    fn message(&mut self, cx: &mut Context<'_>, _: WebSocket<'_>, message: Message<'_>) {
        *self.said.borrow_mut() = message.text().unwrap_or_default().to_owned();
        cx.want_write_all();
    }

    fn writable(&mut self, _: &mut Context<'_>, permit: WebSocketPermit<'_>) {
        assert!(permit.text(&self.said.borrow()).is_ok());
    }

    fn wake(&mut self, cx: &mut Context<'_>, stream: WebSocket<'_>) {
        let text = format!("{} here", cx.route_websockets());
        assert!(stream.permit().is_ok_and(|permit| permit.text(&text).is_ok()));
    }
}

#[test]
fn a_group_shares_state_and_permits_and_is_woken_together() {
    let server = serve(|builder| {
        let said = Rc::new(RefCell::new(String::new()));
        builder.ws("/group", move |_| Group { said: Rc::clone(&said) }).ws("/alone", |_| Echo)
    });
    let (mut first, _) = server.open("/group", "");
    let (mut gone, _) = server.open("/group", "");
    let (mut second, _) = server.open("/group/below", "");
    let (mut alone, _) = server.open("/alone", "");
    gone.send([0x88, 0x80, 0, 0, 0, 0]);
    assert_eq!(gone.rest(), [0x88, 0]);
    second.send_text("hello");
    assert_eq!((first.text(), second.text()), ("hello".into(), "hello".into()));
    assert!(server.handle.wake_all("/group"));
    assert_eq!((first.text(), second.text()), ("2 here".into(), "2 here".into()));
    alone.send_text("x");
    assert_eq!(alone.text(), "x");
}

#[test]
fn a_drain_tells_a_websocket_that_the_server_goes_away() {
    let server = serve(|builder| builder.ws("/", |_| Echo));
    let (mut peer, _) = server.open("/", "");
    assert!(server.handle.drain());
    assert_eq!(peer.frame(), (8, CloseCode::GOING_AWAY.get().to_be_bytes().to_vec()));
    peer.send([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9]);
    assert_eq!(peer.rest(), b"");
    server.join();
}

#[test]
fn a_peer_that_does_not_answer_cannot_hold_a_drain_past_its_deadline() {
    let server = serve(|builder| builder.ws("/", |_| Echo).drain_timeout(Duration::from_millis(50)));
    let (mut peer, _) = server.open("/", "");
    assert!(server.handle.drain());
    assert_eq!(peer.frame().0, 8);
    server.join();
}

struct Upper;

impl raw::Handler for Upper {
    fn chunk(&mut self, _: &mut Context<'_>, stream: RawStream<'_>, chunk: &mut [u8], end: bool) {
        chunk.make_ascii_uppercase();
        if let Ok(permit) = stream.permit() {
            let _ = permit.data(Payload::Copy(chunk), end);
        }
    }
}

#[test]
fn first_bytes_that_are_no_http_make_a_raw_stream_if_that_is_wanted() {
    let server = serve(|builder| builder.raw(|| Upper).get("/", |_| Response::text("http")));
    let mut peer = server.connect();
    peer.send("\u{1}shout");
    assert_eq!(&peer.exactly::<6>(), b"\x01SHOUT");
    peer.0.shutdown(std::net::Shutdown::Write).expect("it is open");
    assert_eq!(peer.rest(), b"");
    assert_eq!(server.get("/").text(), "http");
}

#[test]
fn a_raw_listener_has_raw_streams_only() {
    let (sender, address) = channel();
    let thread = std::thread::spawn(move || {
        let server =
            lws_server::Server::builder().listen_raw("127.0.0.1:0", || Upper).build().expect("it is built");
        sender.send((server.local_addr().expect("TCP"), server.handle())).expect("the test listens");
        server.run().expect("it runs");
    });
    let (address, handle) = address.recv().expect("it starts");
    let mut peer = crate::common::Peer(std::net::TcpStream::connect(address).expect("it listens"));
    peer.send("get / http/1.1\r\n");
    assert_eq!(&peer.exactly::<16>(), b"GET / HTTP/1.1\r\n");
    handle.stop();
    thread.join().expect("it ends");
}
