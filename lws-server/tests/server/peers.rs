//! What one peer may have of a server.

use crate::common::{Answer, Peer, Running, serve};
use lws_server::http::{self, Exchange, Method, Permit, Response};
use lws_server::{Admission, Context, Gate, PeerLimits, Route};
use std::io::Read;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

fn limited(limits: PeerLimits) -> Running {
    serve(move |builder| builder.peer_limits(limits).get("/", |_| Response::text("here")))
}

/// Whether a new connection is served.
fn is_served(peer: &mut Peer) -> bool {
    use std::io::Write;
    let sent = peer.0.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    sent.is_ok() && peer.0.read(&mut [0; 512]).is_ok_and(|n| n > 0)
}

#[test]
fn past_its_connections_a_peer_gets_no_further_one_until_one_has_ended() {
    let server = limited(PeerLimits { connections_max: Some(2), ..PeerLimits::default() });
    let (mut first, mut second) = (server.connect(), server.connect());
    assert!(is_served(&mut first) && is_served(&mut second));
    assert!(!is_served(&mut server.connect()));
    assert!(is_served(&mut first), "what is there goes on");
    drop(second);
    let start = std::time::Instant::now();
    while !is_served(&mut server.connect()) {
        assert!(start.elapsed() < Duration::from_secs(20), "the place is free again");
    }
}

#[test]
fn past_its_new_connections_a_peer_waits_for_the_next_second() {
    let limits = PeerLimits { new_connections_per_second: Some(3), ..PeerLimits::default() };
    let server = limited(limits);
    let served = (0..20).filter(|_| is_served(&mut server.connect())).count();
    // It may have been two seconds, or three.
    assert!((3..20).contains(&served), "{served}");
    let trusted = PeerLimits {
        new_connections_per_second: Some(3),
        trusted: vec![[127, 0, 0, 1].into()],
        ..PeerLimits::default()
    };
    let server = limited(trusted);
    assert!((0..20).all(|_| is_served(&mut server.connect())));
}

/// Answers when the test says so.
struct Slow {
    begun: Sender<lws_server::StreamId>,
}

impl http::Handler for Slow {
    fn open(&mut self, cx: &mut Context<'_>, _: Exchange<'_>, _: bool) {
        self.begun.send(cx.id().expect("it is about a stream")).expect("the test listens");
    }

    fn wake(&mut self, _: &mut Context<'_>, mut exchange: Exchange<'_>) {
        exchange.want_write();
    }

    fn writable(&mut self, _: &mut Context<'_>, permit: Permit<'_>) {
        permit.reply(Response::text("done"));
    }
}

fn ask(server: &Running) -> Peer {
    let mut peer = server.connect();
    peer.send("GET /slow HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    peer
}

const PATIENCE: Duration = Duration::from_secs(20);

fn slow(requests_max: u32, waiting_requests_max: u32) -> (Running, Receiver<lws_server::StreamId>) {
    let (begun, has_begun) = mpsc::channel();
    let server = serve(move |builder| {
        let limits =
            PeerLimits { requests_max: Some(requests_max), waiting_requests_max, ..PeerLimits::default() };
        // One that is asked once, whether or not the request had to wait for its turn.
        let gate = Gate::new(|_: &mut Context<'_>, _: &http::Request<'_>| Admission::Granted);
        let route = Route::get("/slow", move |_| Slow { begun: begun.clone() }).authentication(gate);
        builder.peer_limits(limits).route(route)
    });
    (server, has_begun)
}

#[test]
fn requests_of_a_peer_wait_for_their_turn_and_past_those_that_may_wait_they_are_refused() {
    let (server, begun) = slow(1, 2);
    let mut peers: Vec<_> = (0..4).map(|_| ask(&server)).collect();
    // One is answered before any other has ended: the one that came last.
    let start = std::time::Instant::now();
    let refused = loop {
        let has_come = |peer: &Peer| {
            peer.0.set_nonblocking(true).expect("it can be asked");
            let come = peer.0.peek(&mut [0]).is_ok();
            peer.0.set_nonblocking(false).expect("it can be asked");
            come
        };
        match peers.iter().position(has_come) {
            Some(refused) => break refused,
            None => assert!(start.elapsed() < PATIENCE, "one is refused"),
        }
    };
    let answer = Answer::parse(&peers.remove(refused).rest());
    assert_eq!((answer.status, answer.field("retry-after")), (503, Some("1")));
    for _ in 0..3 {
        let running = begun.recv_timeout(PATIENCE).expect("one begins");
        assert!(begun.recv_timeout(Duration::from_millis(50)).is_err(), "one at a time");
        assert!(server.handle.wake(running));
    }
    for mut peer in peers {
        assert_eq!(Answer::parse(&peer.rest()).text(), "done");
    }
}

#[test]
fn those_that_have_left_keep_no_place_among_those_that_wait() {
    let (server, begun) = slow(1, 2);
    let mut first = ask(&server);
    let running = begun.recv_timeout(PATIENCE).expect("it begins");
    let (second, third) = (ask(&server), ask(&server));
    drop((second, third));
    let start = std::time::Instant::now();
    let mut waits = loop {
        let peer = ask(&server);
        peer.0.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
        match peer.0.peek(&mut [0]) {
            // It is refused as long as it has not been seen that they have left.
            Ok(_) => assert!(start.elapsed() < PATIENCE, "there is a place"),
            Err(_) => break peer,
        }
    };
    assert!(server.handle.wake(running));
    assert_eq!(Answer::parse(&first.rest()).text(), "done");
    let running = begun.recv_timeout(PATIENCE).expect("it has its turn");
    assert!(server.handle.wake(running));
    waits.0.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    assert_eq!(Answer::parse(&waits.rest()).text(), "done");
}

#[test]
fn one_who_leaves_while_it_waits_gives_its_turn_to_the_next() {
    let (server, begun) = slow(1, 100);
    let mut first = ask(&server);
    let running = begun.recv_timeout(PATIENCE).expect("it begins");
    for _ in 0..20 {
        drop(ask(&server));
    }
    let mut last = ask(&server);
    assert!(server.handle.wake(running));
    assert_eq!(Answer::parse(&first.rest()).text(), "done");
    // Those that have left may have begun before it was seen that they had.
    loop {
        let running = begun.recv_timeout(PATIENCE).expect("another one begins");
        server.handle.wake(running);
        last.0.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
        let mut answer = Vec::new();
        if last.0.read_to_end(&mut answer).is_ok() {
            assert_eq!(Answer::parse(&answer).text(), "done");
            break;
        }
    }
}

#[test]
fn a_server_explains_what_it_would_do() {
    let server = serve(|builder| {
        let gate = Gate::new(|_: &mut Context<'_>, _: &http::Request<'_>| Admission::Granted);
        builder
            .get("/items/{id}", |_| Response::text(""))
            .route(Route::post("/private", |_| Response::text("")).authentication(gate))
    });
    let (sender, explained) = mpsc::channel();
    server.handle.post(move |cx| {
        let ask = |method, uri: &str| {
            let found: Vec<_> = cx.explain(method, uri).iter().map(|it| it.to_string()).collect();
            sender.send(found).expect("the test listens");
        };
        ask(Method::Get, "http://localhost/x/../items/7?q");
        ask(Method::Get, "http://localhost/private");
        ask(Method::Get, "http://other.example/");
        ask(Method::Get, "https://localhost/");
        ask(Method::Get, "nonsense");
    });
    let next = || explained.recv_timeout(PATIENCE).expect("it is explained");
    let address = server.address;
    let site = format!("listener: {address}\nsite: the one without names\n");
    assert_eq!(
        next(),
        [format!("{site}path: /items/7\nroute: /items/{{id}}\noutcome: its endpoint answers")]
    );
    let refused = "outcome: 405: the route does not have the method";
    assert_eq!(next(), [format!("{site}path: /private\nroute: /private\nguards are asked first\n{refused}")]);
    let unknown = "site: none has the name\npath: /\nroute: none\noutcome: 421: no site has the name";
    assert_eq!(next(), [format!("listener: {address}\n{unknown}")]);
    assert!(next().is_empty() && next().is_empty());
}

#[cfg(feature = "proxies")]
#[test]
fn behind_a_proxy_each_client_has_its_own_turns() {
    let (sender, begun) = mpsc::channel();
    let limits = PeerLimits {
        connections_max: Some(1),
        requests_max: Some(1),
        waiting_requests_max: 0,
        proxies: http::TrustedProxies::new(["127.0.0.1"]).expect("an address"),
        ..PeerLimits::default()
    };
    let server = serve(move |builder| {
        builder.peer_limits(limits).route(Route::http("/", move |_| Slow { begun: sender.clone() }))
    });
    let ask = |fields: &str| {
        let mut peer = server.connect();
        peer.send(format!("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n"));
        peer
    };
    // Those who begin wait for the test; those past their limit are answered 503.
    let begins = |fields: &str| {
        let peer = ask(fields);
        begun.recv_timeout(test_kit::PATIENCE).unwrap_or_else(|_| panic!("it begins: {fields}"));
        peer
    };
    let refused = |fields: &str| assert_eq!(Answer::parse(&ask(fields).rest()).status, 503, "{fields}");
    let _one = begins("X-Forwarded-For: 192.0.2.1\r\n");
    refused("X-Forwarded-For: 198.51.100.9, 192.0.2.1\r\n");
    let _other = begins("X-Forwarded-For: 192.0.2.2\r\n");
    let _network = begins("Forwarded: for=\"[2001:db8::1]\"\r\n");
    refused("Forwarded: for=\"[2001:db8::2]\"\r\n");
    // What cannot be read counts for the proxy.
    let _proxy = begins("X-Forwarded-For: unknown\r\n");
    refused("X-Forwarded-For: 192.0.2.3\r\nForwarded: for=192.0.2.4\r\n");
}
