//! What is promised of the server in memory itself.

use crate::test;
use lws_server::http::{self, Exchange, Permit, Response, Status};
use lws_server::testing::Server as Test;
use lws_server::ws::{self, CloseCode, Message};
use lws_server::{Cause, Context, MessageKind, Payload, Sent, Server, WebSocket, WebSocketPermit};
use std::time::Duration;

/// Sends each message back.
struct Echo;

impl ws::Handler for Echo {
    fn message(&mut self, _: &mut Context<'_>, stream: WebSocket<'_>, message: Message<'_>) {
        if let Ok(permit) = stream.permit() {
            let _ =
                permit.message(message.kind, Payload::Copy(message.chunk), message.end).map(Sent::throttle);
        }
    }
}

#[test]
fn a_request_is_answered_over_either_version() {
    let t = test(|server| {
        server
            .get("/hello/{name}", |request| {
                Response::text(format!("Hello, {}!", request.parameter("name").unwrap_or_default()))
            })
            .post("/length", |request| Response::text(request.content().len().to_string()))
    });
    for http2 in [false, true] {
        let version = |request: lws_server::testing::Request| if http2 { request.http2() } else { request };
        let hello = version(t.get("/hello/you")).send();
        assert_eq!((hello.status(), hello.text()), (200, "Hello, you!"));
        assert_eq!(hello.field("content-type").as_deref(), Some("text/plain; charset=utf-8"));
        assert!(hello.is_complete() && hello.cause().is_none());
        assert_eq!(version(t.get("/nowhere")).send().status(), 404);
        assert_eq!(
            version(t.request("DELETE", "/length")).send().field("Allow").as_deref(),
            Some("POST, OPTIONS")
        );
        // More than lies in a pipe at a time.
        assert_eq!(version(t.post("/length", vec![b'x'; 300_000])).send().text(), "300000");
    }
}

#[test]
fn a_websocket_is_opened_and_closed_over_either_version() {
    let t = test(|server| server.ws("/echo", |_| Echo).get("/page", |_| Response::text("")));
    for http2 in [false, true] {
        let opening = || if http2 { t.ws("/echo").http2() } else { t.ws("/echo") };
        let websocket = opening().connect();
        websocket.send("hello");
        assert_eq!(websocket.text(), "hello");
        websocket.send_binary([1, 2]);
        assert_eq!(websocket.receive(), Some((MessageKind::Binary, vec![1, 2])));
        websocket.ping("are you there?");
        assert_eq!(websocket.pong().as_deref(), Some(&b"are you there?"[..]));
        assert!(websocket.is_quiet());
        websocket.close(CloseCode::NORMAL, "");
        assert_eq!(
            (websocket.close_code(), websocket.cause()),
            (Some(1000), Some(Cause::Closed { code: CloseCode::NORMAL, by_peer: false }))
        );
    }
    let refused = t.ws("/nowhere").try_connect().expect_err("there is no such route");
    assert_eq!(refused.status(), 404);
}

/// Answers ten seconds after the request.
struct Late;

impl http::Handler for Late {
    fn open(&mut self, cx: &mut Context<'_>, mut exchange: Exchange<'_>, _: bool) {
        exchange.set_timeout(Some(cx.now() + Duration::from_secs(10)));
    }

    fn timer(&mut self, _: &mut Context<'_>, exchange: Exchange<'_>) {
        let _ = exchange.reply(Response::text("at last"));
    }
}

#[test]
fn time_passes_when_the_test_says_so() {
    let t = test(|server| server.http("/late", |_| Late));
    let mut exchange = t.get("/late").begin();
    t.pass(Duration::from_millis(9_999));
    assert!(exchange.response().is_none());
    t.pass(Duration::from_millis(1));
    assert_eq!(exchange.response().map(|response| response.text().to_owned()).as_deref(), Some("at last"));
    assert_eq!(t.now().as_micros(), 10_000_000);
}

#[test]
fn a_deadline_of_the_engine_is_met_in_its_time() {
    let t = test(|server| server.post("/", |_| Response::text("")));
    let mut exchange = t.request("POST", "/").begin_streamed();
    exchange.push("a", false);
    assert!(exchange.response().is_none());
    t.pass(Duration::from_secs(3_600));
    assert_eq!(exchange.response().map(|response| response.status()), Some(408));
}

/// Sends as much as the peer takes.
struct Endless;

impl http::Handler for Endless {
    fn open(&mut self, _: &mut Context<'_>, mut exchange: Exchange<'_>, _: bool) {
        exchange.want_write();
    }

    fn writable(&mut self, _: &mut Context<'_>, permit: Permit<'_>) {
        let mut exchange = permit.into_exchange();
        loop {
            let Ok(permit) = exchange.permit() else { return };
            let status = Status::OK;
            match permit.respond(status, [("Content-Length", "1000000000")], Payload::Static(b"x"), false) {
                Ok(spent) => exchange = spent.into_exchange(),
                Err(_) => return,
            }
        }
    }
}

/// Tells how it ended, through the topic of its name.
struct Told;

impl ws::Handler for Told {
    fn open(&mut self, cx: &mut Context<'_>, _: WebSocket<'_>) {
        cx.subscribe("news").expect("a topic");
    }

    fn message(&mut self, _: &mut Context<'_>, stream: WebSocket<'_>, _: Message<'_>) {
        stream.abort();
    }

    fn writable(&mut self, _: &mut Context<'_>, _: WebSocketPermit<'_>) {}
}

#[test]
fn other_threads_reach_the_server() {
    let t = test(|server| server.ws("/", |_| Told).http("/endless", |_| Endless));
    let websocket = t.ws("/").connect();
    let handle = t.handle();
    let thread = std::thread::spawn(move || {
        handle.publish_topic("news", &ws::Broadcast::new(MessageKind::Text, "rain")).is_ok()
    });
    assert_eq!(websocket.text(), "rain", "what a thread does is waited for");
    assert!(thread.join().is_ok_and(|published| published));
    assert_eq!(t.with(|cx| cx.subscribers("news")), 1);

    websocket.send("go");
    assert_eq!(websocket.cause(), Some(Cause::Disconnected));
    drop(websocket);
    assert_eq!(t.with(|cx| cx.subscribers("news")), 0);
}

#[test]
fn a_server_drains_and_ends() {
    let t = test(|server| server.ws("/", |_| Echo));
    let websocket = t.ws("/").connect();
    t.handle().drain();
    t.settle();
    assert_eq!(websocket.close_code(), Some(1001));
    drop(websocket);
    t.pass(Duration::from_secs(11));
    assert!(t.has_ended());
}

#[test]
fn a_description_for_several_threads_has_one_here() {
    let server = Server::builder().listen("127.0.0.1:0");
    let server = server.threads(4, |server| server.get("/", |_| Response::text("one of one")));
    let t = Test::new(server).expect("the description is good");
    assert_eq!(t.get("/").send().text(), "one of one");
    assert_eq!(
        t.get("/").host("elsewhere.example").send().status(),
        421,
        "as it listens on the loopback address"
    );
}

#[test]
#[should_panic(expected = "is not answered: all is quiet for 10s")]
fn a_response_that_does_not_come_is_a_failure_that_says_why() {
    let t = test(|server| server.http("/late", |_| Late));
    let _ = t.get("/late").send();
}
