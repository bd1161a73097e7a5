//! Outgoing connections: names, races, deadlines and the reports of their end, on a clock that the test moves.

#[expect(dead_code, reason = "other programs need the rest")]
mod host;
mod support;

use lws_loop_external::{
    Address, Change, ConnectCause, ConnectOptions, ConnectPhase, ConnectionId, DriverOptions, FailedAttempt,
    KeepAlive, Query, Readiness, ResolveError, Resolver, Service, Speak, Target, TcpOptions, Token,
};
use socket2::{Domain, SockRef, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};
use support::{Echo, Host, TRIGGERS};

fn on_each_host(scenario: impl Fn(&mut Host)) {
    on_each_host_with(&DriverOptions::default(), scenario);
}

/// Runs a scenario on each kind of host, with a clock that the test moves, and checks that nothing is left
/// afterwards.
fn on_each_host_with(options: &DriverOptions, scenario: impl Fn(&mut Host)) {
    for trigger in TRIGGERS {
        eprintln!("{trigger:?}");
        let mut host = Host::new(trigger, Echo::default(), options.clone());
        host.freeze();
        scenario(&mut host);
        host.driver.drain(Duration::from_secs(1));
        host.turn(Duration::ZERO);
        host.skip(Duration::from_secs(1));
        host.until(|host| host.driver.is_done());
        assert_eq!(host.watched(), 0, "a descriptor is left");
    }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn raw() -> ConnectOptions {
    ConnectOptions { speak: Speak::Raw, ..ConnectOptions::default() }
}

fn connect(host: &mut Host, target: impl Into<Target>, options: &ConnectOptions) -> ConnectionId {
    let id = host.with(|app, cx| {
        let config = app.raw.clone();
        cx.connect(target, config, options, Some(b"hi".to_vec())).expect("an attempt")
    });
    host.turn(Duration::ZERO);
    id
}

fn listener(address: impl Into<SocketAddr>) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(address.into()).expect("a listener");
    listener.set_nonblocking(true).expect("a listener");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// A loopback address without a listener, in `127.0.0.0/8`, with a port that another address listens on.
fn refusing(last: u8, port: u16) -> SocketAddr {
    ([127, 0, 9, last], port).into()
}

/// A listener that answers no SYN, as its queue is full.
fn full(last: u8) -> (Vec<Socket>, SocketAddr) {
    let socket = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_nonblocking(true).expect("a socket");
        socket
    };
    let listener = socket();
    listener.bind(&SocketAddr::from(([127, 0, 0, last], 0)).into()).expect("a port");
    listener.listen(0).expect("a listener");
    let address = listener.local_addr().expect("an address");
    let mut sockets = vec![listener];
    for _ in 0..4 {
        let queued = socket();
        let _ = queued.connect(&address);
        sockets.push(queued);
    }
    (sockets, address.as_socket().expect("an address"))
}

/// Accepts a connection, and checks that bytes pass through it.
fn accept(host: &mut Host, listener: &TcpListener) -> TcpStream {
    let mut peer = None;
    host.until(|_| {
        peer = listener.accept().ok();
        peer.is_some()
    });
    let (mut peer, _) = peer.expect("a peer");
    assert_eq!(host.read(&mut peer, 2), b"hi");
    peer.write_all(b"echo").expect("room");
    assert_eq!(host.read(&mut peer, 4), b"echo");
    peer
}

fn kinds(attempts: &[FailedAttempt]) -> Vec<(String, ErrorKind)> {
    attempts.iter().map(|attempt| (attempt.address.to_string(), attempt.error.kind())).collect()
}

fn adds(host: &Host) -> usize {
    host.changes.iter().filter(|change| matches!(change, Change::Add { .. })).count()
}

/// A resolver that keeps its queries for the test to answer.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Query>>>);

impl Resolver for Kept {
    fn resolve(&mut self, query: Query) {
        self.0.lock().expect("no panic").push(query);
    }
}

impl Kept {
    fn of(host: &mut Host) -> Self {
        let kept = Self::default();
        host.driver.set_resolver(kept.clone());
        kept
    }

    fn take(&self) -> Query {
        self.0.lock().expect("no panic").pop().expect("a query")
    }
}

// Races.

#[test]
fn an_address_that_refuses_gives_way_to_the_next_at_once() {
    on_each_host(|host| {
        let (listener, address) = listener(([127, 0, 0, 2], 0));
        let targets = vec![refusing(1, address.port()), refusing(2, address.port()), address];
        let id = connect(host, targets, &raw());
        let _peer = accept(host, &listener);
        assert!(host.app().open.contains(&id), "under the name that it had from the beginning");
        assert_eq!(host.app().count("connected"), 1);
        assert_eq!(host.app().errors.len(), 0);
        assert_eq!(host.driver.stats().connections, 1);
    });
}

#[test]
fn an_address_that_is_silent_is_raced_by_the_next_after_the_stagger() {
    on_each_host(|host| {
        let (_sockets, silent) = full(1);
        let (listener, address) = listener(([127, 0, 0, 2], 0));
        connect(host, vec![silent, address], &raw());
        host.skip(millis(249));
        host.turn(Duration::ZERO);
        assert_eq!((host.watched(), adds(host)), (1, 2), "one socket, and the waker");
        assert!(listener.accept().is_err());
        host.skip(millis(1));
        host.turn(Duration::ZERO);
        assert_eq!(adds(host), 3, "both are the host's to watch");
        let peer = accept(host, &listener);
        assert_eq!((host.watched(), adds(host)), (1, 3), "the loser is gone, the winner was not added again");
        drop(peer);
        host.until(|host| host.app().has("closed"));
        host.turn(Duration::ZERO);
        assert_eq!((host.watched(), host.driver.stats().connections), (0, 0));
    });
}

#[test]
fn the_first_address_may_win_after_the_others_have_begun() {
    on_each_host(|host| {
        let (mut sockets, silent) = full(1);
        let (_other, other) = full(2);
        connect(host, vec![silent, other], &raw());
        host.skip(millis(250));
        host.turn(Duration::ZERO);
        assert_eq!(host.watched(), 2);
        // The queue is emptied, so that the system's next SYN is answered.
        let queue = sockets.remove(0);
        let queue: TcpListener = queue.into();
        let mut accepted = Vec::new();
        let start = Instant::now();
        while !host.app().has("connected") {
            accepted.extend(queue.accept());
            host.turn(millis(10));
            assert!(start.elapsed() < Duration::from_secs(20));
        }
        host.turn(Duration::ZERO);
        assert_eq!(host.watched(), 1);
    });
}

#[test]
fn when_every_address_fails_each_is_reported_with_its_cause() {
    on_each_host(|host| {
        let (_sockets, silent) = full(1);
        let refused = refusing(3, silent.port());
        let options = ConnectOptions { attempt_timeout: millis(3_000), ..raw() };
        connect(host, vec![silent, refused], &options);
        host.skip(millis(2_999));
        host.turn(Duration::ZERO);
        host.turn(millis(50));
        assert_eq!(host.app().errors.len(), 0, "the first one may still answer");
        host.skip(millis(1));
        host.turn(Duration::ZERO);
        let error = &host.app().errors[0];
        assert!(matches!(error.cause(), ConnectCause::Failed), "{error}");
        assert_eq!(error.phase(), ConnectPhase::Connect);
        let expected =
            [(refused.to_string(), ErrorKind::ConnectionRefused), (silent.to_string(), ErrorKind::TimedOut)];
        assert_eq!(kinds(error.attempts()), expected);
        assert_eq!(error.attempts()[1].took, millis(3_000));
        assert!(error.to_string().contains("after 3000 ms: timed out"), "{error}");
        host.turn(Duration::ZERO);
        assert_eq!((host.watched(), host.driver.stats().connections), (0, 0));
        assert_eq!(host.app().log, ["connect failed: TimedOut"], "reported once");
    });
}

#[test]
fn the_total_deadline_ends_every_attempt() {
    on_each_host(|host| {
        let (_one, first) = full(1);
        let (_two, second) = full(2);
        let options = ConnectOptions { timeout: millis(1_000), ..raw() };
        connect(host, vec![first, second], &options);
        host.skip(millis(400));
        host.turn(Duration::ZERO);
        host.skip(millis(599));
        host.turn(Duration::ZERO);
        assert_eq!((host.app().errors.len(), host.watched()), (0, 2));
        host.skip(millis(1));
        host.turn(Duration::ZERO);
        let error = &host.app().errors[0];
        assert!(matches!(error.cause(), ConnectCause::TimedOut { phase: ConnectPhase::Connect }));
        let expected = [(first.to_string(), ErrorKind::TimedOut), (second.to_string(), ErrorKind::TimedOut)];
        assert_eq!(kinds(error.attempts()), expected);
        host.turn(Duration::ZERO);
        assert_eq!(host.watched(), 0);
    });
}

#[test]
fn no_more_sockets_race_than_may() {
    on_each_host(|host| {
        let silent: Vec<_> = (1..=4).map(full).collect();
        let addresses: Vec<_> = silent.iter().map(|(_, address)| *address).collect();
        let options = ConnectOptions { racing_max: 2, attempt_timeout: millis(1_000), ..raw() };
        let id = connect(host, addresses, &options);
        for (skipped, watched) in [(250, 2), (250, 2), (499, 2), (1, 2), (249, 2), (1, 2)] {
            host.skip(millis(skipped));
            host.turn(Duration::ZERO);
            host.turn(Duration::ZERO);
            assert_eq!(host.watched(), watched);
        }
        assert_eq!(adds(host), 1 + 4, "one after the other came to its turn");
        host.with(|_, cx| cx.abort(id));
        host.turn(Duration::ZERO);
        host.turn(Duration::ZERO);
        let error = &host.app().errors[0];
        assert!(matches!(error.cause(), ConnectCause::GivenUp { phase: ConnectPhase::Connect }), "{error}");
        assert_eq!(error.attempts().len(), 4);
        assert_eq!(host.watched(), 0);
    });
}

#[test]
fn an_attempt_moves_with_its_service_to_another_host() {
    let (_sockets, silent) = full(1);
    let (listener, address) = listener(([127, 0, 0, 2], 0));
    for (from, to) in TRIGGERS.into_iter().zip(TRIGGERS.into_iter().cycle().skip(1)) {
        let mut host = Host::new(from, Echo::default(), DriverOptions::default());
        connect(&mut host, vec![silent, address], &raw());
        let mut host = Host::of(host.driver, to);
        host.skip(millis(250));
        let peer = accept(&mut host, &listener);
        // The winner keeps its token on another host, too.
        let mut host = Host::of(host.driver, from);
        host.turn(Duration::ZERO);
        assert_eq!(host.watched(), 1);
        drop(peer);
        host.until(|host| host.app().has("closed"));
    }
}

#[test]
fn a_host_that_refuses_a_socket_loses_one_attempt_only() {
    on_each_host(|host| {
        let (_sockets, silent) = full(1);
        let (listener, address) = listener(([127, 0, 0, 2], 0));
        let id = host.with(|app, cx| {
            let targets = vec![silent, address];
            cx.connect(targets, app.raw.clone(), &raw(), Some(b"hi".to_vec())).expect("an attempt")
        });
        host.flush();
        let now = host.now();
        host.driver.settle(now);
        let added = host.driver.poll_change().expect("a socket");
        let Change::Add { token, .. } = added else { panic!("{added:?}") };
        host.driver.refused(token, ErrorKind::PermissionDenied.into());
        assert!(host.driver.poll_change().is_some_and(|change| matches!(change, Change::Add { .. })));
        // The next candidate is refused as well, so no address is left.
        let token = Token::from_u64(token.as_u64() + 1);
        host.driver.refused(token, ErrorKind::PermissionDenied.into());
        let everything = Readiness::READABLE | Readiness::WRITABLE;
        host.driver.handle_ready(now, token, everything);
        host.driver.removed(token);
        assert_eq!(kinds(host.app().errors[0].attempts())[0].1, ErrorKind::PermissionDenied);
        assert_eq!(host.app().errors[0].attempts().len(), 2);
        assert!(!host.app().open.contains(&id));
        drop(listener);
    });
}

// Names.

#[test]
fn the_addresses_of_a_name_race_families_in_turn() {
    on_each_host(|host| {
        let resolver = Kept::of(host);
        let (listener, six) = listener(([0, 0, 0, 0, 0, 0, 0, 1], 0));
        connect(host, ("name.test", six.port()), &raw());
        assert_eq!(host.watched(), 0, "no address, no socket");
        let query = resolver.take();
        assert_eq!((query.name(), query.port()), ("name.test", six.port()));
        let refused = |last| refusing(last, six.port());
        query.answer(Ok(vec![refused(1), refused(2), six]));
        let _peer = accept(host, &listener);
        assert_eq!(adds(host), 1 + 2, "IPv6 had its turn after the first refusal");
    });
}

#[test]
fn the_loop_goes_on_while_a_thread_looks_a_name_up_and_its_answer_ends_the_wait() {
    /// A resolver that answers on a thread, once the test lets it.
    struct Slow(Option<mpsc::Receiver<()>>);
    impl Resolver for Slow {
        fn resolve(&mut self, query: Query) {
            let gate = self.0.take().expect("one query");
            std::thread::spawn(move || {
                gate.recv().expect("the test goes on");
                let address = SocketAddr::from(([127, 0, 0, 1], query.port()));
                query.answer(Ok(vec![address]));
            });
        }
    }
    for trigger in TRIGGERS {
        let mut host = Host::new(trigger, Echo::default(), DriverOptions::default());
        let (listener, address) = listener(([127, 0, 0, 1], 0));
        let (open, gate) = mpsc::channel();
        host.driver.set_resolver(Slow(Some(gate)));
        host.unaudited = true;
        connect(&mut host, ("slow.test", address.port()), &raw());
        for tick in 1..=10 {
            host.with(|_, cx| cx.set_timer(Some(cx.now() + millis(1))));
            host.until(|host| host.app().count("timer") == tick);
        }
        assert!(!host.app().has("connected"));
        open.send(()).expect("it waits");
        accept(&mut host, &listener);
    }
}

#[test]
fn a_resolver_may_answer_at_once() {
    struct Table;
    impl Resolver for Table {
        fn resolve(&mut self, query: Query) {
            let address = (query.name() == "known.test").then(|| ([127, 0, 0, 1], query.port()).into());
            query.answer(address.map(|address| vec![address]).ok_or(ResolveError::NoAddress));
        }
    }
    on_each_host(|host| {
        host.driver.set_resolver(Table);
        let (listener, address) = listener(([127, 0, 0, 1], 0));
        connect(host, ("known.test", address.port()), &raw());
        assert_eq!(host.watched(), 1, "the socket is there in the same turn");
        let _peer = accept(host, &listener);
        connect(host, ("other.test", 1), &raw());
        let error = &host.app().errors[0];
        assert!(matches!(error.cause(), ConnectCause::Resolve(ResolveError::NoAddress)));
        assert_eq!(error.to_string(), "other.test:1 could not be resolved: the name has no address");
    });
}

#[test]
fn a_name_fails_with_its_cause() {
    let check = |act: fn(&mut Host, Query), expected: fn(&ResolveError) -> bool| {
        on_each_host(|host| {
            let resolver = Kept::of(host);
            connect(host, ("name.test", 1), &raw());
            act(host, resolver.take());
            host.until(|host| !host.app().errors.is_empty());
            let error = &host.app().errors[0];
            let ConnectCause::Resolve(cause) = error.cause() else { panic!("{error}") };
            assert!(expected(cause), "{error}");
            assert_eq!((error.phase(), error.attempts().len()), (ConnectPhase::Resolve, 0));
            assert_eq!(host.driver.stats().connections, 0);
            assert_eq!(host.app().errors.len(), 1);
        });
    };
    let failed = |_: &mut Host, query: Query| {
        query.answer(Err(ResolveError::Failed(io::Error::other("the server is on fire"))));
    };
    check(failed, |cause| cause.to_string() == "the server is on fire");
    check(|_, query| query.answer(Ok(vec![])), |cause| matches!(cause, ResolveError::NoAddress));
    check(|_, query| drop(query), |cause| matches!(cause, ResolveError::Dropped));
    let never = |host: &mut Host, query: Query| {
        host.skip(millis(9_999));
        host.turn(Duration::ZERO);
        assert!(host.app().errors.is_empty() && !query.is_cancelled());
        host.skip(millis(1));
        host.turn(Duration::ZERO);
        assert!(query.is_cancelled(), "no connection waits for it");
        query.answer(Ok(vec![([127, 0, 0, 1], 1).into()]));
        host.turn(Duration::ZERO);
        assert_eq!(host.watched(), 0, "a late answer does nothing");
    };
    check(never, |cause| matches!(cause, ResolveError::TimedOut));
}

#[test]
fn a_name_is_given_up_like_anything_else() {
    on_each_host(|host| {
        let resolver = Kept::of(host);
        let id = connect(host, ("name.test", 1), &raw());
        host.with(|_, cx| cx.close(id));
        host.turn(Duration::ZERO);
        let error = &host.app().errors[0];
        assert!(matches!(error.cause(), ConnectCause::GivenUp { phase: ConnectPhase::Resolve }));
        assert!(resolver.take().is_cancelled());
        let options = ConnectOptions { timeout: millis(5), ..raw() };
        connect(host, ("name.test", 1), &options);
        host.skip(millis(5));
        host.turn(Duration::ZERO);
        let error = &host.app().errors[1];
        assert!(matches!(error.cause(), ConnectCause::TimedOut { phase: ConnectPhase::Resolve }));
    });
}

#[test]
fn of_a_hundred_addresses_some_of_each_family_are_tried() {
    let options = DriverOptions { resolver_addresses_max: 6, ..DriverOptions::default() };
    on_each_host_with(&options, |host| {
        let resolver = Kept::of(host);
        let (_listener, address) = listener(([127, 0, 0, 2], 0));
        connect(host, ("many.test", address.port()), &raw());
        let six = |_| SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], address.port()));
        let four = (1..=100).map(|last| refusing(last, address.port()));
        resolver.take().answer(Ok(four.chain((0..100).map(six)).collect()));
        host.until(|host| !host.app().errors.is_empty());
        let tried = host.app().errors[0].attempts();
        assert_eq!(tried.len(), 6, "{tried:?}");
        let family = |attempt: &FailedAttempt| attempt.address.to_string().starts_with('[');
        assert_eq!(tried.iter().filter(|attempt| family(attempt)).count(), 1, "the same one counts once");
    });
}

#[test]
fn no_more_names_are_asked_for_than_may_be() {
    let options = DriverOptions { resolver_queries_max: 2, ..DriverOptions::default() };
    on_each_host_with(&options, |host| {
        let resolver = Kept::of(host);
        for _ in 0..3 {
            connect(host, ("name.test", 1), &raw());
        }
        assert_eq!(host.app().errors.len(), 1);
        let cause = host.app().errors[0].cause();
        assert!(matches!(cause, ConnectCause::Resolve(ResolveError::TooMany)), "{cause:?}");
        drop(resolver.take());
        connect(host, ("name.test", 1), &raw());
        let count =
            |host: &Host| host.app().errors.iter().filter(|it| it.kind() == ErrorKind::QuotaExceeded).count();
        assert_eq!(count(host), 1, "there is room again");
        // The resolver still has the query of a connection that was given up.
        host.skip(Duration::from_secs(10));
        host.turn(Duration::ZERO);
        connect(host, ("name.test", 1), &raw());
        assert_eq!(count(host), 2);
    });
}

#[test]
fn a_numeric_address_needs_no_resolver() {
    on_each_host(|host| {
        let resolver = Kept::of(host);
        let (listener, address) = listener(([127, 0, 0, 1], 0));
        let name = Target::Name { host: "127.0.0.1".into(), port: address.port() };
        connect(host, name, &raw());
        drop(accept(host, &listener));
        connect(host, ("127.0.0.1", address.port()), &raw());
        drop(accept(host, &listener));
        assert!(resolver.0.lock().expect("no panic").is_empty());
    });
}

#[test]
fn what_can_be_no_name_is_an_error_at_once() {
    let mut host = Host::new(TRIGGERS[0], Echo::default(), DriverOptions::default());
    let long = "a".repeat(300);
    for name in ["", "a b", "a\0b", &long] {
        let began = host.with(|app, cx| cx.connect((name, 1), app.raw.clone(), &raw(), None));
        assert_eq!(began.expect_err(name).kind(), ErrorKind::InvalidInput);
    }
    let none = Target::Addresses(vec![]);
    let began = host.with(|app, cx| cx.connect(none, app.raw.clone(), &raw(), None));
    assert_eq!(began.expect_err("no address").kind(), ErrorKind::InvalidInput);
    assert_eq!(host.driver.stats().connections, 0);
}

/// A web server in another process.
struct Python {
    child: Child,
    port: u16,
}

impl Python {
    fn new() -> Self {
        let code = "import http.server as h\n\
            s = h.ThreadingHTTPServer(('127.0.0.1', 0), h.SimpleHTTPRequestHandler)\n\
            print(s.server_address[1], flush=True)\n\
            s.serve_forever()\n";
        let mut child = Command::new("python3")
            .args(["-c", code])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("python3");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        io::BufRead::read_line(&mut io::BufReader::new(stdout), &mut line).expect("a line");
        Self { child, port: line.trim().parse().expect("a port") }
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends three messages to a connection, one in each of the possible ways.
fn tell(host: &mut Host, id: ConnectionId) {
    host.driver.handle().send_to(id, 1).expect("room");
    host.turn(Duration::ZERO);
    host.with(|_, cx| cx.send_to(id, 2));
    host.turn(Duration::ZERO);
    host.with(|_, cx| cx.send_to(id, 3));
    host.turn(Duration::ZERO);
}

#[test]
fn messages_to_a_connection_that_is_being_made_wait_for_it() {
    on_each_host(|host| {
        let kept = Kept::of(host);
        let (listener, address) = listener(([127, 0, 0, 1], 0));
        let id = connect(host, ("example.org", 80), &raw());
        tell(host, id);
        assert!(host.with(|_, cx| cx.wake(id)), "it will be there");
        host.turn(Duration::ZERO);
        assert_eq!(host.app().log, [""; 0]);
        kept.take().answer(Ok(vec![address]));
        host.until(|host| host.app().has("woken"));
        assert_eq!(host.app().log, ["connected", "message 1", "message 2", "message 3", "woken"]);
        assert!(host.app().undelivered.is_empty());
        accept(host, &listener);
    });
}

#[test]
fn messages_to_a_connection_that_never_comes_about_come_back() {
    on_each_host(|host| {
        let _kept = Kept::of(host);
        let id = connect(host, ("example.org", 80), &raw());
        tell(host, id);
        host.with(|_, cx| cx.abort(id));
        host.turn(Duration::ZERO);
        assert_eq!(host.app().log, ["connect failed: ConnectionAborted"]);
        assert_eq!(host.app().undelivered, [(id, 1), (id, 2), (id, 3)]);
        // The next connection with this index receives none of the messages.
        let next = connect(host, ("example.org", 80), &raw());
        assert_eq!(next.index(), id.index());
        tell(host, id);
        assert_eq!(host.app().undelivered[3..], [(id, 1), (id, 2), (id, 3)]);
    });
}

#[test]
fn no_more_messages_wait_for_connections_than_may() {
    let options = DriverOptions { waiting_messages_max: 2, ..DriverOptions::default() };
    on_each_host_with(&options, |host| {
        let kept = Kept::of(host);
        let (_listener, address) = listener(([127, 0, 0, 1], 0));
        let ids = [(); 2].map(|()| connect(host, ("example.org", 80), &raw()));
        host.with(|_, cx| (1..=3).for_each(|n| cx.send_to(ids[0], n)));
        host.turn(Duration::ZERO);
        assert_eq!(host.app().undelivered, [(ids[0], 3)]);
        host.with(|_, cx| cx.abort(ids[0]));
        host.with(|_, cx| (4..=5).for_each(|n| cx.send_to(ids[1], n)));
        host.turn(Duration::ZERO);
        assert_eq!(host.app().undelivered[1..], [(ids[0], 1), (ids[0], 2)], "there is room again");
        kept.take().answer(Ok(vec![address]));
        host.until(|host| host.app().has("message 5"));
        assert!(host.app().has("message 4"));
    });
}

#[test]
fn a_real_server_is_reached_by_the_name_localhost() {
    let python = Python::new();
    for trigger in TRIGGERS {
        let mut host = Host::new(trigger, Echo::default(), DriverOptions::default());
        host.unaudited = true;
        host.with(|app, cx| {
            let request = b"HEAD / HTTP/1.0\r\nHost: localhost\r\n\r\n".to_vec();
            let config = app.raw.clone();
            cx.connect(("localhost", python.port), config, &raw(), Some(request)).expect("an attempt")
        });
        host.until(|host| host.app().has("end") || !host.app().errors.is_empty());
        assert!(host.app().errors.is_empty(), "{:?}", host.app().errors);
        let answer = String::from_utf8_lossy(&host.app().received).into_owned();
        assert!(answer.starts_with("HTTP/1.0 200 OK\r\nServer: SimpleHTTP"), "{answer}");
    }
}

#[test]
fn an_impossible_name_is_an_error_of_the_system() {
    let mut host = Host::new(TRIGGERS[0], Echo::default(), DriverOptions::default());
    host.unaudited = true;
    connect(&mut host, ("no-such-name.invalid", 1), &raw());
    host.until(|host| !host.app().errors.is_empty());
    let error = &host.app().errors[0];
    assert_eq!(error.phase(), ConnectPhase::Resolve, "{error}");
    assert!(matches!(error.cause(), ConnectCause::Resolve(ResolveError::Failed(_))), "{error}");
}

// Kinds of sockets and their options.

#[test]
fn a_unix_socket_is_reached_by_its_path_and_missed_where_there_is_none() {
    let folder = std::env::temp_dir().join(format!("lws-connect-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    on_each_host(|host| {
        let path = folder.join("socket");
        let _ = std::fs::remove_file(&path);
        connect(host, path.clone(), &raw());
        let error = &host.app().errors[0];
        assert_eq!(kinds(error.attempts()), [(format!("unix:{}", path.display()), ErrorKind::NotFound)]);
        let listener = UnixListener::bind(&path).expect("a listener");
        connect(host, path, &raw());
        let (mut peer, _) = listener.accept().expect("a connection");
        host.until(|host| host.app().has("connected"));
        host.turn(Duration::ZERO);
        let mut greeting = [0; 2];
        peer.read_exact(&mut greeting).expect("a greeting");
        assert_eq!(greeting, *b"hi");
    });
    let _ = std::fs::remove_dir_all(&folder);
}

#[cfg(target_os = "linux")]
#[test]
fn a_unix_listener_with_a_full_queue_is_reported() {
    let name = format!("unix:@lws-connect-full-{}", std::process::id());
    let socket = || Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
    let address = socket2::SockAddr::unix(format!("\0{}", &name["unix:@".len()..])).expect("an address");
    let listener = socket();
    listener.bind(&address).expect("a name");
    listener.listen(0).expect("a listener");
    let waiting = socket();
    waiting.connect(&address).expect("room for one");
    on_each_host(|host| {
        connect(host, name.parse::<Target>().expect("a target"), &raw());
        let error = &host.app().errors[0];
        assert_eq!(
            error.to_string(),
            format!("no connection to {name}: {name} after 0 ms: the queue of the listener is full")
        );
    });
}

#[cfg(target_os = "linux")]
#[test]
fn an_abstract_name_is_listened_on_and_reached() {
    on_each_host(|host| {
        let address: Address = format!("unix:@lws-connect-{}", std::process::id()).parse().expect("a name");
        let (id, _) = host.listen_on(&address);
        assert_eq!(host.with(|_, cx| cx.listening_on(id).expect("an address")), address);
        connect(host, &address, &raw());
        host.until(|host| host.app().has("accepted") && host.app().received.len() >= 2);
        assert!(host.app().received.starts_with(b"hi"));
    });
}

#[test]
fn options_are_set_before_the_socket_connects() {
    on_each_host(|host| {
        let (listener, address) = listener(([127, 0, 0, 1], 0));
        let keep_alive =
            KeepAlive { time: Duration::from_secs(11), interval: Duration::from_secs(7), count: 3 };
        let tcp = TcpOptions {
            no_delay: false,
            keep_alive: Some(keep_alive),
            send_buffer_bytes: Some(20_000),
            receive_buffer_bytes: Some(30_000),
            ..TcpOptions::default()
        };
        let bind = Some(SocketAddr::from(([127, 0, 0, 77], 0)));
        let id = connect(host, address, &ConnectOptions { bind, tcp, ..raw() });
        let peer = accept(host, &listener);
        assert_eq!(peer.peer_addr().expect("a peer").ip().to_string(), "127.0.0.77");
        let socket = host.driver.descriptor(Token::from_u64(id.as_u64())).expect("a socket");
        let socket = SockRef::from(&socket);
        assert!(!socket.tcp_nodelay().expect("an option") && socket.keepalive().expect("an option"));
        assert_eq!(socket.tcp_keepalive_time().expect("an option"), keep_alive.time);
        assert_eq!(socket.tcp_keepalive_interval().expect("an option"), keep_alive.interval);
        assert_eq!(socket.tcp_keepalive_retries().expect("an option"), 3);
        assert!((20_000..=40_000).contains(&socket.send_buffer_size().expect("an option")));
        assert!((30_000..=60_000).contains(&socket.recv_buffer_size().expect("an option")));
    });
}

#[test]
fn an_address_of_this_side_fits_peers_of_its_family_only() {
    on_each_host(|host| {
        let (listener, four) = listener(([127, 0, 0, 1], 0));
        let six = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], four.port()));
        let own = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port");
        let options = ConnectOptions { bind: Some(own), ..raw() };
        connect(host, vec![six, four], &options);
        let peer = accept(host, &listener);
        assert_eq!(peer.peer_addr().expect("a peer"), own, "with the port that was asked for");
        connect(host, six, &options);
        let error = &host.app().errors[0];
        assert!(error.to_string().contains("of the other family"), "{error}");
    });
}

#[cfg(target_os = "linux")]
#[test]
fn an_interface_is_used_if_there_is_one_of_the_name() {
    on_each_host(|host| {
        let (listener, address) = listener(([127, 0, 0, 1], 0));
        connect(host, address, &ConnectOptions { bind_device: Some("lo".into()), ..raw() });
        drop(accept(host, &listener));
        connect(host, address, &ConnectOptions { bind_device: Some("nosuch0".into()), ..raw() });
        let errors = &host.app().errors;
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].attempts()[0].error.raw_os_error(), Some(19), "ENODEV: {}", errors[0]);
    });
}

// Half-closed connections.

#[test]
fn a_client_that_has_said_everything_hears_the_rest() {
    on_each_host(|host| {
        let (listener, address) = listener(([127, 0, 0, 1], 0));
        host.with(|app, _| app.says_no_more = true);
        connect(host, address, &raw());
        host.until(|host| host.app().has("connected"));
        let (mut peer, _) = listener.accept().expect("a connection");
        assert_eq!(host.read_to_end(&mut peer), b"hi", "and FIN");
        peer.write_all(b"as I was saying").expect("room");
        host.until(|host| host.app().received == b"as I was saying");
        host.turn(Duration::ZERO);
        assert!(!host.app().has("closed"), "the other half is open");
        peer.shutdown(Shutdown::Write).expect("a socket");
        host.until(|host| host.app().has("closed"));
        assert!(host.app().has("end") && host.app().has("ended: closed"));
    });
}

#[test]
fn a_server_that_has_said_everything_hears_the_rest() {
    on_each_host(|host| {
        let address = host.listen();
        host.with(|app, _| {
            app.says_no_more = true;
            app.greeting = Some(b"bye".to_vec());
        });
        let mut client = TcpStream::connect(address).expect("a connection");
        assert_eq!(host.read_to_end(&mut client), b"bye", "and FIN");
        client.write_all(b"last words").expect("room");
        host.until(|host| host.app().received == b"last words");
        assert!(!host.app().has("closed"));
        drop(client);
        host.until(|host| host.app().has("closed"));
        assert!(host.app().has("end"));
    });
}

// What is left after the end.

#[cfg(target_os = "linux")]
#[test]
fn no_outcome_leaves_a_descriptor() {
    const CHILD: &str = "LWS_TEST_NO_OUTCOME_LEAVES";
    if std::env::var_os(CHILD).is_none() {
        // Other tests open descriptors at the same time, so this one counts them in a process of its own.
        let program = std::env::current_exe().expect("this program");
        let child = Command::new(program)
            .args(["--exact", "no_outcome_leaves_a_descriptor"])
            .env(CHILD, "1")
            .output()
            .expect("a child");
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
        return;
    }
    let (_sockets, silent) = full(1);
    let (listener, address) = listener(([127, 0, 0, 2], 0));
    let refused = refusing(1, address.port());
    for trigger in TRIGGERS {
        let before = test_kit::open_descriptors();
        let mut host = Host::new(trigger, Echo::default(), DriverOptions::default());
        host.freeze();
        let resolver = Kept::of(&mut host);
        let with_host = test_kit::open_descriptors();
        for round in 0..20 {
            // One attempt that the last of three addresses wins, and attempts that fail: refused everywhere, timed
            // out, given up, not resolved.
            connect(&mut host, vec![refused, silent, address], &raw());
            host.skip(millis(250));
            let peer = accept(&mut host, &listener);
            connect(&mut host, vec![refused, refusing(2, address.port())], &raw());
            connect(&mut host, vec![silent, silent], &ConnectOptions { timeout: millis(400), ..raw() });
            host.skip(millis(400));
            let id = connect(&mut host, vec![silent, refused], &raw());
            host.with(|_, cx| cx.abort(id));
            connect(&mut host, ("name.test", 1), &raw());
            drop(resolver.take());
            drop(peer);
            host.until(|host| host.driver.stats().connections == 0 && host.watched() == 0);
            assert_eq!(test_kit::open_descriptors(), with_host, "round {round}");
            assert_eq!(host.app().errors.len(), (round + 1) * 4);
        }
        // A query that is not answered yet does not keep the descriptor open either.
        connect(&mut host, ("name.test", 1), &raw());
        drop(host);
        assert_eq!(test_kit::open_descriptors(), before);
        assert!(resolver.take().is_cancelled());
    }
}
