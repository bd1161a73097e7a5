//! Guards: in which order they are asked, about what, and that nothing is served before they have decided.

use crate::common::{Answer, Running, serve};
use lws_server::http::{self, Exchange, HeadBuf, Permit, Request, Response, Status};
use lws_server::{Admission, Context, Decision, Gate, Methods, Redirect, Route, WebSocket, ws};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

struct Silent;

impl ws::Handler for Silent {
    fn message(&mut self, _: &mut Context<'_>, stream: WebSocket<'_>, _: ws::Message<'_>) {
        let _ = stream.close(lws_proto::ws::CloseCode::NORMAL, "");
    }
}

type Calls = Arc<Mutex<Vec<&'static str>>>;

/// A gate that writes down that it was asked, and refuses who brings no `name`.
fn asks(calls: &Calls, name: &'static str, status: Status) -> Gate {
    let calls = Arc::clone(calls);
    Gate::new(move |_: &mut Context<'_>, request: &Request<'_>| {
        calls.lock().expect("no panic").push(name);
        match request.get(name) {
            Some(_) => Admission::Granted,
            None => Response::error(status).into(),
        }
    })
}

#[test]
fn guards_are_asked_behind_redirects_and_before_everything_that_a_route_says() {
    let calls = Calls::default();
    let server = {
        let calls = Arc::clone(&calls);
        serve(move |builder| {
            let target = Arc::clone(&calls);
            builder
                .interceptor(asks(&calls, "interceptor", Status::TOO_MANY_REQUESTS))
                .authentication(asks(&calls, "authentication", Status::UNAUTHORIZED))
                .get("/private", move |_| {
                    target.lock().expect("no panic").push("target");
                    Response::text("private")
                })
                .ws("/private", |_| Silent)
                .route(Redirect::permanent("/private").at("/moved"))
                .route(Route::get("/open", |_| Response::text("open")).authentication(Gate::open()))
                .files("/files", env!("CARGO_MANIFEST_DIR"))
        })
    };
    let check = |line: &str, fields: &str, status: u16, asked: &[&str]| {
        let (method, target) = line.split_once(' ').expect("a method and a target");
        let answer = server.request(method, target, fields);
        let asked_for = std::mem::take(&mut *calls.lock().expect("no panic"));
        assert_eq!((answer.status, &*asked_for), (status, asked), "{line} {fields}");
    };
    const FIRST: &str = "interceptor: 1\r\n";
    const BOTH: &str = "interceptor: 1\r\nauthentication: 1\r\n";
    const OPENING: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                           Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    check("GET /private", "", 429, &["interceptor"]);
    check("GET /private", FIRST, 401, &["interceptor", "authentication"]);
    check("GET /private", BOTH, 200, &["interceptor", "authentication", "target"]);
    check("GET /x/../private", "", 429, &["interceptor"]);
    check("GET /%70rivate", FIRST, 401, &["interceptor", "authentication"]);
    // What a path has is not said before.
    check("DELETE /private", FIRST, 401, &["interceptor", "authentication"]);
    check("DELETE /private", BOTH, 405, &["interceptor", "authentication"]);
    check("GET /private", &format!("{FIRST}{OPENING}"), 401, &["interceptor", "authentication"]);
    check("GET /moved", "", 308, &[]);
    check("GET /open", FIRST, 200, &["interceptor"]);
    check("GET /files/Cargo.toml", FIRST, 401, &["interceptor", "authentication"]);
    check("GET /files/Cargo.toml", BOTH, 200, &["interceptor", "authentication"]);
    check("GET /none", "", 404, &[]);
    let (_, opened) = server.open("/private", BOTH);
    assert_eq!(opened.status, 101);
    let misdirected = server.ask("GET /private HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n");
    assert_eq!(misdirected.status, 421);
}

/// A server whose gate leaves each decision to the test.
fn undecided() -> (Running, mpsc::Receiver<Decision>) {
    let (sender, decisions) = mpsc::channel();
    let sender = Mutex::new(sender);
    let server = serve(move |builder| {
        let gate = Gate::new(move |cx: &mut Context<'_>, _: &Request<'_>| {
            let (admission, decision) = Admission::later(cx);
            let sent = sender.lock().expect("no panic").send(decision.expect("it is about a request"));
            sent.expect("the test listens");
            admission
        });
        let length = |request: &Request<'_>| Response::text(request.content().len().to_string());
        builder
            .authentication(gate)
            .route(Route::methods(Methods::Any, "/length", length))
            .ws("/chat", |_| Silent)
            .files("/files", env!("CARGO_MANIFEST_DIR"))
    });
    (server, decisions)
}

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn a_request_waits_with_its_content_until_it_is_decided_about() {
    let (server, decisions) = undecided();
    let mut peer = server.connect();
    let content = vec![b'c'; 300_000];
    peer.send(format!(
        "POST /length HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        content.len()
    ));
    let decision = decisions.recv_timeout(PATIENCE).expect("it is asked");
    let mut sending = peer.0.try_clone().expect("a descriptor");
    let sender = std::thread::spawn(move || std::io::Write::write_all(&mut sending, &content));
    decision.grant();
    let answer = Answer::parse(&peer.rest());
    assert_eq!((answer.status, answer.text()), (200, "300000"));
    sender.join().expect("no panic").expect("all is read");

    let mut peer = server.connect();
    peer.send("GET /files/Cargo.toml HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    decisions.recv_timeout(PATIENCE).expect("it is asked").refuse(Response::error(Status::FORBIDDEN));
    assert_eq!(Answer::parse(&peer.rest()).status, 403);
    let mut peer = server.connect();
    peer.send("GET /files/Cargo.toml HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    decisions.recv_timeout(PATIENCE).expect("it is asked").grant();
    assert!(Answer::parse(&peer.rest()).text().starts_with("[package]"));
}

#[test]
fn a_websocket_opens_when_it_is_decided_that_it_may() {
    let (server, decisions) = undecided();
    let (decided, peer) = std::thread::scope(|scope| {
        let opening = scope.spawn(|| server.open("/chat", ""));
        decisions.recv_timeout(PATIENCE).expect("it is asked").grant();
        let (peer, opened) = opening.join().expect("no panic");
        (opened.status, peer)
    });
    assert_eq!(decided, 101);
    let mut peer = peer;
    peer.send_text("end");
    assert_eq!(peer.frame().0, 8, "a close frame");
}

#[test]
fn one_who_leaves_before_it_is_decided_is_forgotten() {
    let (server, decisions) = undecided();
    let mut peer = server.connect();
    peer.send("GET /length HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let decision = decisions.recv_timeout(PATIENCE).expect("it is asked");
    drop(peer);
    decision.grant();
    let mut peer = server.connect();
    peer.send("GET /length HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    decisions.recv_timeout(PATIENCE).expect("it is asked").grant();
    assert_eq!(Answer::parse(&peer.rest()).text(), "0");
}

#[cfg(feature = "passwords")]
mod passwords {
    use super::*;
    use lws_server::auth::{Basic, Htpasswd};

    const USERS: &[u8] = b"ann:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";

    #[test]
    fn who_has_the_password_is_let_in_and_who_guesses_is_sent_away() {
        let server = serve(|builder| {
            let gate = Basic::new(Htpasswd::parse(USERS), "a realm").expect("random bytes").gate();
            builder
                .route(Route::get("/open", |_| Response::text("open")))
                .route(
                    Route::files(
                        "/files",
                        lws_server::files::Files::directory(env!("CARGO_MANIFEST_DIR")).expect("it is there"),
                    )
                    .authentication(gate.clone()),
                )
                .route(Route::ws("/chat", |_| Silent).authentication(gate))
        });
        // ann:secret, ann:guess
        const RIGHT: &str = "Authorization: Basic YW5uOnNlY3JldA==\r\n";
        const WRONG: &str = "Authorization: Basic YW5uOmd1ZXNz\r\n";
        let asked = server.get("/files/Cargo.toml");
        assert_eq!(asked.status, 401);
        assert_eq!(asked.field("www-authenticate"), Some("Basic realm=\"a realm\", charset=\"UTF-8\""));
        assert_eq!(server.request("GET", "/files/Cargo.toml", RIGHT).status, 200);
        assert_eq!(server.open("/chat", "").1.status, 401);
        assert_eq!(server.open("/chat", RIGHT).1.status, 101);
        for n in 0..10 {
            assert_eq!(server.request("GET", "/files/Cargo.toml", WRONG).status, 401, "{n}");
        }
        let sent_away = server.request("GET", "/files/Cargo.toml", WRONG);
        assert_eq!((sent_away.status, sent_away.field("retry-after")), (429, Some("60")));
        assert_eq!(server.request("GET", "/files/Cargo.toml", RIGHT).status, 200, "it is believed");
        assert_eq!(server.get("/open").status, 200);
    }
}

/// Goes on with another request, and is answered by what that meets.
struct TurnsTo(Option<HeadBuf>, &'static str);

impl http::Handler for TurnsTo {
    fn open(&mut self, _: &mut Context<'_>, exchange: Exchange<'_>, _: bool) {
        if let Some(head) = self.0.take().and_then(|head| head.local_redirect(self.1)) {
            exchange.reroute(head);
        }
    }

    fn writable(&mut self, _: &mut Context<'_>, _: Permit<'_>) {}
}

#[test]
fn a_request_that_waits_at_each_turn_turns_ten_times_all_the_same() {
    let (sender, decisions) = mpsc::channel::<Decision>();
    let sender = Mutex::new(sender);
    let server = serve(move |builder| {
        let gate = Gate::new(move |cx: &mut Context<'_>, _: &Request<'_>| {
            let (admission, decision) = Admission::later(cx);
            let sent = sender.lock().expect("no panic").send(decision.expect("it is about a request"));
            sent.expect("the test listens");
            admission
        });
        let again = |request: &Request<'_>| TurnsTo(request.to_buf(), "/again");
        builder.authentication(gate).route(Route::http("/again", again))
    });
    let granting = std::thread::spawn(move || decisions.into_iter().map(Decision::grant).count());
    assert_eq!(server.get("/again").status, 500);
    drop(server);
    assert_eq!(granting.join().expect("no panic"), 11, "the request, and ten others in its place");
}

/// Answers after a while with how much content came.
struct Counts(usize, mpsc::Sender<()>);

impl http::Handler for Counts {
    fn open(&mut self, cx: &mut Context<'_>, mut exchange: Exchange<'_>, end: bool) {
        assert!(end, "a request that takes the place of another has no content");
        exchange.set_timeout(Some(cx.now() + Duration::from_millis(300)));
        self.1.send(()).expect("the test listens");
    }

    fn content(&mut self, _: &mut Context<'_>, _: Exchange<'_>, chunk: &mut [u8], _: bool) {
        self.0 += chunk.len();
    }

    fn timer(&mut self, _: &mut Context<'_>, exchange: Exchange<'_>) {
        assert!(exchange.reply(Response::text(self.0.to_string())).is_ok(), "the queue is empty");
    }

    fn writable(&mut self, _: &mut Context<'_>, _: Permit<'_>) {}
}

#[test]
fn content_of_a_request_does_not_reach_what_another_in_its_place_meets() {
    let (sender, begun) = mpsc::channel();
    let server = serve(move |builder| {
        let first = |request: &Request<'_>| TurnsTo(request.to_buf(), "/second");
        builder
            .route(Route::http("/first", first))
            .route(Route::http("/second", move |_: &Request<'_>| Counts(0, sender.clone())))
    });
    let mut peer = server.connect();
    peer.send("POST /first HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 10\r\n\r\n");
    begun.recv_timeout(PATIENCE).expect("the other one begins");
    peer.send("0123456789");
    let answer = Answer::parse(&peer.rest());
    assert_eq!((answer.status, answer.text()), (200, "0"));
}
