//! The layers that are ready to use.

use crate::test;
use lws_server::http::{self, Exchange, Permit, Request, Response, Status};
use lws_server::layer::{Compress, ConcurrencyLimit, ContentLimit, Deadline, RequestIdentity};
use lws_server::{Cause, Context, Payload, Route, ws};
use std::cell::{Cell, RefCell};
use std::io::Read;
use std::rc::Rc;
use std::time::Duration;

struct Silent;

impl ws::Handler for Silent {}

#[test]
fn a_request_has_an_identity_that_its_response_says() {
    let identity = |request: &Request<'_>| Response::text(request.identity().unwrap_or("none").to_owned());
    let t = test(|server| {
        server
            .layer(RequestIdentity::new())
            .get("/", identity)
            .post("/", identity)
            .route(Route::get("/fresh", identity).layer(RequestIdentity::fresh()))
            .ws("/feed", |_| Silent)
    });
    let check = |given: &str, is_taken: bool| {
        for request in [t.get("/"), t.post("/", "content"), t.get("/").http2()] {
            let response = request.field("X-Request-Id", given).send();
            let said = response.field("X-Request-Id").expect("it has one");
            assert_eq!(response.text(), said);
            assert_eq!(said == given, is_taken, "{given:?}: {said}");
        }
    };
    check("a-B_c.7", true);
    check(&"x".repeat(128), true);
    check(&"x".repeat(129), false);
    check("", false);
    check("a b", false);
    check("a\"b", false);
    check("\u{f6}", false);
    let (first, second) = (t.get("/").send(), t.get("/").send());
    assert_ne!(first.text(), second.text());
    assert_eq!(first.text().len(), 32);
    let socket = t.ws("/feed").field("X-Request-Id", "seven").connect();
    assert_eq!(socket.field("X-Request-Id").as_deref(), Some("seven"));
    let nested = t.get("/fresh").field("X-Request-Id", "seven").send();
    assert_ne!(nested.text(), "seven", "the identity of the innermost layer counts");
}

/// Waits for its timer, then begins, and ends at the next one.
struct Slow {
    closed: Rc<Cell<usize>>,
    begun: bool,
}

impl http::Handler for Slow {
    fn open(&mut self, cx: &mut Context<'_>, mut exchange: Exchange<'_>, _: bool) {
        exchange.set_timeout(Some(cx.now() + Duration::from_secs(3)));
    }

    fn timer(&mut self, cx: &mut Context<'_>, mut exchange: Exchange<'_>) {
        exchange.set_timeout(Some(cx.now() + Duration::from_secs(3)));
        exchange.want_write();
    }

    fn writable(&mut self, _: &mut Context<'_>, permit: Permit<'_>) {
        let none = std::iter::empty::<(&str, &str)>();
        let sent = match std::mem::replace(&mut self.begun, true) {
            false => permit.respond(Status::OK, none, Payload::Static(b"one "), false),
            true => permit.data(Payload::Static(b"two"), true),
        };
        assert!(sent.is_ok());
    }

    fn close(&mut self, _: &mut Context<'_>, _: Cause) {
        self.closed.set(self.closed.get() + 1);
    }
}

#[test]
fn a_response_that_does_not_begin_in_time_is_a_503() {
    let closed = Rc::new(Cell::new(0));
    let route = |path: &str, seconds: u64| {
        let closed = Rc::clone(&closed);
        let slow = move |_: &Request<'_>| Slow { closed: Rc::clone(&closed), begun: false };
        Route::get(path, slow).layer(Deadline::after(Duration::from_secs(seconds)))
    };
    let t = test(|server| server.route(route("/late", 2)).route(route("/early", 4)));
    for http2 in [false, true] {
        let begin = |target: &str| if http2 { t.get(target).http2().begin() } else { t.get(target).begin() };
        let (mut late, mut early) = (begin("/late"), begin("/early"));
        t.pass(Duration::from_millis(1_999));
        assert_eq!((late.status(), closed.replace(0)), (0, 0));
        t.pass(Duration::from_millis(1));
        assert_eq!(late.response().map(|response| response.status()), Some(503));
        assert_eq!(closed.replace(0), 1, "the handler has been closed, once");
        // The timers of a handler are its own: the deadline takes none of them away.
        t.pass(Duration::from_secs(1));
        assert_eq!(early.status(), 200);
        t.pass(Duration::from_secs(3));
        assert_eq!(early.response().expect("it has ended").text(), "one two");
        assert_eq!(closed.replace(0), 1);
    }
}

#[test]
fn content_past_a_limit_is_a_413() {
    let len = |request: &Request<'_>| Response::text(request.content().len().to_string());
    let t = test(|server| {
        server
            .layer(ContentLimit::new(4))
            .post("/", len)
            .route(Route::post("/less", len).layer(ContentLimit::new(2)))
            .route(Route::post("/more", len).layer(ContentLimit::new(9)))
    });
    for (target, content, status) in [
        ("/", "1234", 200),
        ("/", "12345", 413),
        ("/less", "12", 200),
        ("/less", "123", 413),
        ("/more", "12345", 413),
    ] {
        assert_eq!(t.post(target, content).send().status(), status, "{target} {content}");
        assert_eq!(t.post(target, content).http2().send().status(), status, "{target} {content}");
    }
}

#[test]
fn so_many_at_a_time_and_no_more() {
    let slow = |_: &Request<'_>| Slow { closed: Rc::default(), begun: false };
    let t = test(|server| server.layer(ConcurrencyLimit::new(2)).get("/", slow).ws("/feed", |_| Silent));
    let (socket, exchange) = (t.ws("/feed").connect(), t.get("/").begin());
    let refused = t.get("/").send();
    assert_eq!((refused.status(), refused.field("Retry-After").as_deref()), (503, Some("1")));
    assert_eq!(t.ws("/feed").try_connect().expect_err("there are two").status(), 503);
    drop(exchange);
    t.settle();
    let other = t.ws("/feed").connect();
    assert_eq!(t.get("/").send().status(), 503);
    drop((socket, other));
    t.settle();
    let running = [t.get("/").begin(), t.get("/").begin()];
    t.pass(Duration::from_secs(6));
    assert!(running.iter().all(|exchange| exchange.status() == 200));
}

/// Decodes gzip, of which there may be less than all.
fn gunzip(octets: &[u8]) -> String {
    let mut text = Vec::new();
    let mut decoder = flate2::read::GzDecoder::new(octets);
    let mut piece = [0; 4_096];
    while let Ok(n @ 1..) = decoder.read(&mut piece) {
        text.extend_from_slice(&piece[..n]);
    }
    String::from_utf8(text).expect("text")
}

const LONG: &str = "all work and no play makes jack a dull boy. ";

#[test]
fn text_is_compressed_for_those_who_accept_it() {
    let t = test(|server| {
        server
            .layer(Compress::new())
            .get("/", |_| Response::text(LONG.repeat(100)))
            .get("/short", |_| Response::text("short"))
            .get("/image", |_| Response::ok("image/png", vec![0; 9_999]))
            .get("/tagged", |_| Response::text(LONG.repeat(100)).field("ETag", "\"a\""))
            .get("/coded", |_| Response::text(LONG.repeat(100)).field("Content-Encoding", "x"))
            .get("/asis", |_| {
                Response::text(LONG.repeat(100)).field("Cache-Control", "private, No-Transform")
            })
            .get("/huge", |_| Response::text("x".repeat(300_000)))
    });
    for http2 in [false, true] {
        let get = |target: &str, accept: &str| {
            let request = t.get(target).field("Accept-Encoding", accept);
            if http2 { request.http2().send() } else { request.send() }
        };
        let coded = get("/", "gzip");
        assert_eq!(coded.field("Content-Encoding").as_deref(), Some("gzip"));
        assert_eq!(coded.field("Vary").as_deref(), Some("Accept-Encoding"));
        assert!(coded.content().len() < 500);
        assert_eq!(gunzip(coded.content()), LONG.repeat(100));
        let plain = get("/", "gzip;q=0");
        assert_eq!((plain.field("Content-Encoding"), plain.text()), (None, &*LONG.repeat(100)));
        assert_eq!(plain.field("Vary").as_deref(), Some("Accept-Encoding"));
        for target in ["/short", "/image", "/tagged", "/asis", "/huge"] {
            let left = get(target, "gzip");
            assert_eq!((left.field("Content-Encoding"), left.field("Vary")), (None, None), "{target}");
        }
        assert_eq!(get("/coded", "gzip").field("Content-Encoding").as_deref(), Some("x"));
    }
    let head = t.request("HEAD", "/").field("Accept-Encoding", "gzip").send();
    assert_eq!((head.field("Content-Encoding").as_deref(), head.content().len()), (Some("gzip"), 0));
}

thread_local! {
    static SENDER: RefCell<Option<http::Sender>> = const { RefCell::new(None) };
}

#[test]
fn each_piece_of_a_stream_can_be_read_when_it_comes() {
    let t = test(|server| {
        server.layer(Compress::new()).get("/", |_| {
            let (sender, streamed) = Response::text("").into_channel(8);
            SENDER.with(|place| place.replace(Some(sender)));
            streamed
        })
    });
    for http2 in [false, true] {
        let request = t.get("/").field("Accept-Encoding", "gzip");
        let mut exchange = if http2 { request.http2().begin() } else { request.begin() };
        let sender = SENDER.with(|place| place.take()).expect("the route was asked");
        let mut octets = Vec::new();
        for piece in ["one ", "two ", "three"] {
            sender.send(piece).expect("there is room");
            t.settle();
            octets.extend(exchange.take_content());
            assert!(gunzip(&octets).ends_with(piece), "{piece} can be read");
        }
        sender.finish();
        t.settle();
        octets.extend(exchange.take_content());
        assert_eq!(gunzip(&octets), "one two three");
        let response = exchange.response().expect("it is complete");
        assert!(response.is_complete());
        assert_eq!(response.field("Content-Encoding").as_deref(), Some("gzip"));
        assert_eq!(response.field("Content-Length"), None);
    }
}

/// Sends content of a length that it has said, and announces nothing; then trailers.
struct WithTrailers;

impl http::Handler for WithTrailers {
    fn open(&mut self, _: &mut Context<'_>, exchange: Exchange<'_>, _: bool) {
        let Ok(permit) = exchange.permit() else { return };
        let content = Payload::Copy(LONG.as_bytes());
        let fields = [("Content-Type", "text/plain")];
        let begun = permit.respond(Status::OK, fields, content, false).expect("a head");
        let permit = begun.into_exchange().permit().expect("there is room");
        assert!(permit.trailers([("X-Sum", "7")]).is_ok());
    }
}

#[test]
fn trailers_stand_behind_the_end_of_the_coding() {
    let t = test(|server| server.layer(Compress::new()).get("/", |_| WithTrailers));
    for accept in ["gzip", "identity"] {
        let response = t.get("/").field("Accept-Encoding", accept).send();
        assert_eq!(response.trailer("X-Sum").as_deref(), Some("7"), "{accept}");
        let content = response.content();
        let text =
            if accept == "gzip" { gunzip(content) } else { String::from_utf8_lossy(content).into_owned() };
        assert_eq!(text, LONG, "{accept}");
    }
}
