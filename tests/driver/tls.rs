//! Drivers with TLS, as server and client in one process, under a host whose clock the test can move forward.

use crate::host::{Counted, Delivery};
use lws_loop_external::tls::{Alert, CertificateFault, Failure, Info, ListenTls, Plain, Provider, Reason};
use lws_loop_external::{
    Accepted, Address, Application, ConnectCause, ConnectError, ConnectOptions, ConnectPhase, ConnectionId,
    DriverContext, DriverOptions, ListenOptions, ListenerId, Peer, Speak,
};
use lws_proto::{Cause, Config, Connection, Established, Event, Expect, Limits, Payload, StreamKey, Time};
use lws_tls::Client;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use tests::tls::{Authority, Issued, Side};

/// Echoes raw bytes as server, keeps them as client, and notes everything.
struct App {
    config: Arc<Config>,
    /// A server sends so many bytes by itself when its stream opens, and ends its direction.
    sends: usize,
    refuses: bool,
    log: Vec<String>,
    infos: Vec<Info>,
    failures: Vec<Failure>,
    causes: Vec<Cause>,
    errors: Vec<ConnectError>,
    received: Vec<u8>,
    streams: Vec<(ConnectionId, StreamKey)>,
}

impl App {
    fn new() -> Self {
        let config = Config { expect: Expect::Raw, ..Config::default() };
        Self {
            config: Arc::new(config),
            sends: 0,
            refuses: false,
            log: Vec::new(),
            infos: Vec::new(),
            failures: Vec::new(),
            causes: Vec::new(),
            errors: Vec::new(),
            received: Vec::new(),
            streams: Vec::new(),
        }
    }
}

/// Which side a connection is of, and what a client still has to send.
enum State {
    Server,
    Client(Vec<u8>),
}

impl Application for App {
    type State = State;
    type Message = ();

    fn accepted(
        &mut self,
        _: &mut DriverContext<'_, Self>,
        _: ListenerId,
        _: &Peer,
    ) -> Option<Accepted<Self>> {
        Some(Accepted { config: Arc::clone(&self.config), state: State::Server })
    }

    fn connected(&mut self, cx: &mut DriverContext<'_, Self>, _: &mut State, _: &mut Connection) {
        assert_eq!(cx.tls().map(|info| info.version), self.infos.last().map(|info| info.version));
        self.log.push("connected".into());
    }

    fn connect_failed(&mut self, _: &mut DriverContext<'_, Self>, _: State, error: ConnectError) {
        self.log.push("connect failed".into());
        self.errors.push(error);
    }

    fn tls_established(&mut self, cx: &mut DriverContext<'_, Self>, _: &mut State, info: &Info) -> bool {
        assert_eq!(cx.tls(), Some(info));
        self.infos.push(info.clone());
        !self.refuses
    }

    fn tls_failed(&mut self, _: &mut DriverContext<'_, Self>, _: &mut State, failure: &Failure) {
        self.failures.push(failure.clone());
    }

    fn plain(&mut self, cx: &mut DriverContext<'_, Self>, _: &mut State) {
        assert!(cx.tls().is_none());
        self.log.push("plain".into());
    }

    fn event(&mut self, cx: &mut DriverContext<'_, Self>, state: &mut State, event: Event<'_>) {
        match event {
            Event::Established { stream: Established::Raw(stream), .. } => {
                self.streams.extend(cx.connection().map(|id| (id, stream.key())));
                let (bytes, end) = match state {
                    State::Server if self.sends > 0 => (pattern(self.sends), true),
                    State::Server => return,
                    State::Client(bytes) => (std::mem::take(bytes), true),
                };
                let permit = stream.permit().expect("a fresh stream");
                permit.data(Payload::Own(bytes.into()), end).expect("a stream");
            }
            Event::Raw { stream, chunk, end } => match state {
                State::Server if self.sends == 0 => match stream.permit() {
                    Ok(permit) => permit.data(Payload::Copy(chunk), end).expect("a stream").throttle(),
                    Err(_) => panic!("throttled"),
                },
                State::Server => {}
                State::Client(_) => self.received.extend_from_slice(chunk),
            },
            Event::Closed { cause, .. } => self.causes.push(cause),
            _ => {}
        }
    }

    fn closed(&mut self, _: &mut DriverContext<'_, Self>, _: State) {
        self.log.push("closed".into());
    }
}

#[track_caller]
fn failure_of(error: &ConnectError) -> Failure {
    match error.cause() {
        ConnectCause::Tls(failure) => failure.clone(),
        _ => panic!("{error}"),
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| ((at * 31) >> 3) as u8).collect()
}

impl Counted for App {
    fn calls(&self) -> u64 {
        let noted =
            [self.log.len(), self.infos.len(), self.failures.len(), self.causes.len(), self.received.len()];
        noted.iter().sum::<usize>() as u64
    }

    fn describe(&self) -> String {
        format!("{:?} {:?}", self.log, self.causes)
    }
}

/// A host of the application.
type Host = crate::host::Host<App>;

/// A host that polls.
fn host(app: App) -> Host {
    host_with(app, DriverOptions::default())
}

fn host_with(app: App, options: DriverOptions) -> Host {
    Host::new(Delivery::Poll, app, options)
}

impl Host {
    fn listen(&mut self, tls: impl Into<ListenTls>) -> SocketAddr {
        let options = ListenOptions { tls: Some(tls.into()), ..ListenOptions::default() };
        let address = Address::Tcp(([127, 0, 0, 1], 0).into());
        let listening = self.with(|_, cx| {
            let id = cx.listen(&address, &options).expect("a listener");
            cx.listening_on(id).expect("an address")
        });
        match listening {
            Address::Tcp(address) => address,
            other => panic!("{other}"),
        }
    }

    fn connect(&mut self, address: SocketAddr, tls: Arc<dyn Provider>, bytes: Vec<u8>) {
        self.connect_to_speak(Speak::Raw, address, tls, bytes);
    }

    fn connect_to_speak(
        &mut self,
        speak: Speak,
        address: SocketAddr,
        tls: Arc<dyn Provider>,
        bytes: Vec<u8>,
    ) {
        let options = ConnectOptions { speak, tls: Some(tls), ..ConnectOptions::default() };
        self.with(|app, cx| {
            let config = Arc::clone(&app.config);
            cx.connect(address, config, &options, State::Client(bytes)).expect("an attempt")
        });
    }
}

fn issued() -> (Authority, Issued) {
    let authority = Authority::new("root");
    let issued = authority.issue(&["a.example"]);
    (authority, issued)
}

fn to(authority: &Authority, name: &str) -> Arc<dyn Provider> {
    Client::builder().roots(authority.roots()).build().expect("a client").to(name).expect("a name")
}

/// A client in the test's own hands: its session, and a socket that blocks.
struct Peered {
    side: Side,
    socket: TcpStream,
}

impl Peered {
    /// Shakes hands while the host turns.
    fn new(host: &mut Host, address: SocketAddr, authority: &Authority) -> Self {
        let socket = TcpStream::connect(address).expect("a connection");
        socket.set_nonblocking(true).expect("a socket");
        let mut peered = Self { side: Side::new(&*to(authority, "a.example")), socket };
        peered.side.receive(&[]);
        host.until(|_| {
            peered.go_on();
            !peered.side.session.is_handshaking()
        });
        peered.go_on();
        peered
    }

    /// Moves what can be moved. True at the end of the transport.
    fn go_on(&mut self) -> bool {
        self.socket.write_all(&std::mem::take(&mut self.side.out)).expect("room for a few bytes");
        let mut bytes = vec![0; 64 << 10];
        match self.socket.read(&mut bytes) {
            Ok(0) => return true,
            Ok(n) => self.side.receive(&bytes[..n]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        false
    }
}

#[test]
fn what_a_client_sends_comes_back_whole_and_both_end_in_order() {
    let (authority, issued) = issued();
    for len in [0, 1, 1_300, 16_384, 70_000, 3_000_000] {
        let mut host = host(App::new());
        let address = host.listen(issued.server());
        host.connect(address, to(&authority, "a.example"), pattern(len));
        host.until(|host| host.driver.stats().connections == 0);
        let app = host.app();
        assert_eq!(app.received, pattern(len), "{len} bytes");
        assert!(app.causes.len() == 2 && app.causes.iter().all(|cause| cause.is_clean()), "{:?}", app.causes);
        assert_eq!((app.failures.len(), app.infos.len()), (0, 2));
        assert_eq!(app.log, ["connected", "closed", "closed"]);
        let stats = host.driver.stats();
        assert_eq!((stats.tls_established_total, stats.tls_handshakes), (2, 0));
        assert_eq!(stats.received_bytes_total, stats.sent_bytes_total, "all of it was read");
        assert!(stats.sent_bytes_total > 2 * len as u64);
    }
}

#[test]
fn small_budgets_and_buffers_change_nothing() {
    let (authority, issued) = issued();
    let options = DriverOptions {
        receive_buffer_bytes: 1 << 10,
        read_bytes_per_turn: 1,
        write_bytes_per_turn: 1,
        events_per_turn: 1,
        ..DriverOptions::default()
    };
    let mut host = host_with(App::new(), options);
    let address = host.listen(issued.server());
    host.connect(address, to(&authority, "a.example"), pattern(200_000));
    host.until(|host| host.driver.stats().connections == 0);
    assert_eq!(host.app().received, pattern(200_000));
    assert!(host.app().causes.iter().all(|cause| cause.is_clean()), "{:?}", host.app().causes);
}

#[test]
fn a_handshake_that_takes_too_long_is_given_up_and_the_client_is_sent_nothing() {
    let (_, issued) = issued();
    let mut host = host(App::new());
    let address = host.listen(issued.server());
    for first in [&b""[..], b"\x16\x03\x01"] {
        let mut silent = TcpStream::connect(address).expect("a connection");
        silent.write_all(first).expect("room");
        let waiting = if first.is_empty() { (1, 0) } else { (0, 1) };
        let standing = |host: &Host| (host.driver.stats().tls_silent, host.driver.stats().tls_handshakes);
        host.until(|host| standing(host) == waiting);
        host.skip(Duration::from_millis(9_900));
        host.turn(Duration::from_millis(10));
        assert_eq!(standing(&host), waiting, "a silent one counts as no handshake");
        host.skip(Duration::from_millis(200));
        host.until(|host| host.driver.stats().connections == 0);
        assert_eq!(host.app().failures.last(), Some(&Failure::silent(Reason::Timeout)));
        assert_eq!(silent.read(&mut [0]).ok(), Some(0));
    }
    assert_eq!(host.driver.stats().tls_handshakes, 0);
    assert_eq!(host.driver.stats().tls_failed_total().collect::<Vec<_>>(), [("tls_handshake_timeout", 2)]);
}

/// Connections that send `first` and nothing more.
fn stuck(host: &mut Host, address: SocketAddr, count: usize, first: &[u8]) -> Vec<TcpStream> {
    let connections = (0..count).map(|_| {
        let mut socket = TcpStream::connect(address).expect("a connection");
        socket.write_all(first).expect("room");
        socket
    });
    let connections = connections.collect();
    let accepted = host.driver.stats().accepted_total + count as u64;
    host.until(|host| host.driver.stats().accepted_total == accepted);
    connections
}

fn gave_way(host: &Host) -> u64 {
    let failed = host.driver.stats().tls_failed_total();
    failed.filter(|(name, _)| *name == "tls_gave_way").map(|(_, count)| count).sum()
}

#[test]
fn silent_connections_lock_no_listener_and_the_oldest_gives_way() {
    let (authority, issued) = issued();
    let options = DriverOptions { tls_handshakes_max: 1, tls_silent_max: 3, ..DriverOptions::default() };
    let mut host = host_with(App::new(), options);
    let address = host.listen(issued.server());
    let mut silent = stuck(&mut host, address, 3, b"");
    assert_eq!((host.driver.stats().tls_silent, gave_way(&host)), (3, 0), "at the limit");
    silent.extend(stuck(&mut host, address, 1, b""));
    assert_eq!((host.driver.stats().tls_silent, gave_way(&host)), (3, 1), "one past it");
    let mut oldest = silent.remove(0);
    oldest.set_nonblocking(true).expect("a socket");
    host.until(|_| oldest.read(&mut [0]).ok() == Some(0));
    host.connect(address, to(&authority, "a.example"), pattern(10));
    host.until(|host| host.app().received.len() == 10);
    assert_eq!(host.driver.stats().accept_pauses_total, 0);
}

#[test]
fn handshakes_that_stop_in_the_middle_give_way_after_a_second_while_others_wait() {
    let (authority, issued) = issued();
    let options = DriverOptions { tls_handshakes_max: 2, ..DriverOptions::default() };
    let mut host = host_with(App::new(), options);
    let address = host.listen(issued.server());
    let _stuck = stuck(&mut host, address, 2, b"\x16\x03\x01");
    host.until(|host| host.driver.stats().tls_handshakes == 2);
    host.skip(Duration::from_millis(3_000));
    host.turn(Duration::from_millis(10));
    assert_eq!(gave_way(&host), 0, "nothing waits");
    host.connect(address, to(&authority, "a.example"), pattern(10));
    host.until(|host| host.driver.stats().tls_queued == 1);
    assert_eq!((host.driver.stats().tls_handshakes, host.app().infos.len()), (2, 0));
    host.skip(Duration::from_millis(1_000));
    host.until(|host| host.app().received.len() == 10);
    assert_eq!(host.app().failures[0], Failure::silent(Reason::GaveWay));
    assert_eq!(host.driver.stats().accept_pauses_total, 0);
}

#[test]
fn one_network_has_no_more_than_its_share_of_the_handshakes() {
    let (_, issued) = issued();
    let options = DriverOptions {
        tls_handshakes_max: 8,
        tls_handshakes_per_network_max: 2,
        ..DriverOptions::default()
    };
    let mut host = host_with(App::new(), options);
    let address = host.listen(issued.server());
    let stuck = stuck(&mut host, address, 3, b"\x16");
    host.until(|host| host.driver.stats().tls_queued == 1);
    assert_eq!(host.driver.stats().tls_handshakes, 2);
    drop(stuck);
    host.until(|host| host.driver.stats().connections == 0);
    let stats = host.driver.stats();
    assert_eq!((stats.tls_handshakes, stats.tls_queued, stats.tls_silent), (0, 0, 0));
}

#[test]
fn at_the_limit_of_connections_the_oldest_silent_one_gives_way() {
    let (authority, issued) = issued();
    let options = DriverOptions { connections_max: Some(4), ..DriverOptions::default() };
    let mut host = host_with(App::new(), options);
    let address = host.listen(issued.server());
    let _silent = stuck(&mut host, address, 3, b"");
    let mut peer = Peered::new(&mut host, address, &authority);
    peer.side.seal(Time::ZERO, &[b"hello"]);
    host.until(|_| {
        peer.go_on();
        peer.side.plaintext == b"hello"
    });
    assert_eq!(gave_way(&host), 0, "four have room");
    let _other = Peered::new(&mut host, address, &authority);
    assert_eq!(gave_way(&host), 1);
}

#[test]
fn established_connections_come_before_handshakes() {
    let (authority, issued) = issued();
    let options = DriverOptions { tls_steps_per_turn: 1, ..DriverOptions::default() };
    let mut host = host_with(App::new(), options);
    let address = host.listen(issued.server());
    let mut peer = Peered::new(&mut host, address, &authority);
    let mut burst: Vec<_> = (0..20)
        .map(|_| {
            let mut side = Side::new(&*to(&authority, "a.example"));
            side.receive(&[]);
            let mut socket = TcpStream::connect(address).expect("a connection");
            socket.write_all(&side.out).expect("room");
            socket.set_nonblocking(true).expect("a socket");
            socket
        })
        .collect();
    host.until(|host| host.driver.stats().accepted_total == 21);
    peer.side.seal(Time::ZERO, &[b"hello"]);
    let answered = |burst: &mut Vec<TcpStream>| {
        burst.iter().filter(|socket| socket.peek(&mut [0]).is_ok_and(|n| n > 0)).count()
    };
    let before = answered(&mut burst);
    peer.go_on();
    host.until(|_| {
        peer.go_on();
        peer.side.plaintext == b"hello"
    });
    let after = answered(&mut burst);
    assert!(before < 10 && after - before <= 3, "{before}, then {after} of 20 hellos were answered first");
    host.until(|_| answered(&mut burst) == 20);
}

#[test]
fn a_handshake_is_as_long_as_it_may_be_and_no_longer() {
    let (authority, issued) = issued();
    let mut side = Side::new(&*to(&authority, "a.example"));
    side.receive(&[]);
    let hello = side.out.len();
    for (handshake_bytes_max, accepted) in [(hello, true), (hello - 1, false)] {
        let mut host = host(App::new());
        let address = host.listen(ListenTls { handshake_bytes_max, ..issued.server().into() });
        let mut socket = TcpStream::connect(address).expect("a connection");
        socket.write_all(&side.out).expect("room");
        let mut answer = [0; 5];
        socket.set_nonblocking(true).expect("a socket");
        host.until(|host| socket.read(&mut answer).is_ok() || !host.app().failures.is_empty());
        assert_eq!(answer[0] == 22, accepted, "{handshake_bytes_max} bytes");
        if !accepted {
            assert_eq!(host.app().failures, [Failure::silent(Reason::TooLong)]);
            assert_eq!(host.driver.stats().tls_failed_total().next(), Some(("tls_handshake_bytes", 1)));
        }
    }
}

#[test]
fn an_end_without_close_notify_differs_from_one_with_it() {
    let (authority, issued) = issued();
    for orderly in [true, false] {
        let mut host = host(App::new());
        let address = host.listen(issued.server());
        let mut peer = Peered::new(&mut host, address, &authority);
        peer.side.seal(Time::ZERO, &[b"hello"]);
        if orderly {
            peer.side.close();
        }
        peer.go_on();
        peer.socket.shutdown(Shutdown::Write).expect("a socket");
        host.until(|host| !host.app().causes.is_empty());
        if orderly {
            host.until(|_| peer.go_on());
            assert_eq!((&*peer.side.plaintext, peer.side.closed), (&b"hello"[..], true));
            assert!(host.app().causes[0].is_clean());
        } else {
            assert_eq!(host.app().causes, [Cause::Truncated]);
            assert_eq!(host.driver.stats().closed_for("truncated"), 1);
        }
    }
}

#[test]
fn a_record_that_was_changed_on_its_way_ends_the_connection_with_an_alert() {
    let (authority, issued) = issued();
    let mut host = host(App::new());
    let address = host.listen(issued.server());
    let mut peer = Peered::new(&mut host, address, &authority);
    peer.side.seal(Time::ZERO, &[b"hello"]);
    *peer.side.out.last_mut().expect("bytes") ^= 1;
    host.until(|_| peer.go_on());
    assert_eq!(peer.side.failure.expect("an alert").reason, Reason::AlertReceived(Alert(20)));
    let app = host.app();
    assert_eq!(app.causes, [Cause::Disconnected]);
    assert_eq!(app.failures.len(), 1);
    assert_eq!(app.failures[0].sent, Some(Alert(20)));
}

#[test]
fn a_peer_without_tls_is_closed_or_goes_on_without() {
    let (_, issued) = issued();
    for plain in [Plain::Close, Plain::Accept] {
        let mut host = host(App::new());
        let address = host.listen(ListenTls { plain, ..issued.server().into() });
        let mut socket = TcpStream::connect(address).expect("a connection");
        socket.write_all(b"GET /").expect("room");
        socket.shutdown(Shutdown::Write).expect("a socket");
        host.until(|host| host.driver.stats().accepted_total == 1 && host.driver.stats().connections == 0);
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        match plain {
            Plain::Close => {
                assert_eq!(answer, b"");
                assert_eq!(host.app().failures, [Failure::silent(Reason::NotTls)]);
            }
            Plain::Accept => {
                assert_eq!(answer, b"GET /");
                assert_eq!(host.app().log, ["plain", "closed"]);
            }
        }
        assert_eq!(host.driver.stats().tls_handshakes, 0);
    }
}

#[test]
fn a_handler_refuses_a_peer_after_its_handshake() {
    let (authority, issued) = issued();
    let mut host = host(App { refuses: true, ..App::new() });
    let address = host.listen(issued.server());
    host.connect(address, to(&authority, "a.example"), pattern(10));
    host.until(|host| host.driver.stats().connections == 0);
    let app = host.app();
    // The client has refused first: it is done half a round trip earlier.
    let refused = |failure: &Failure| failure.reason == Reason::Refused;
    let failure = failure_of(&app.errors[0]);
    assert!(refused(&failure), "{failure}");
    assert_eq!((app.received.len(), app.causes.len()), (0, 0));
}

#[test]
fn a_client_learns_what_failed_by_type() {
    let (authority, issued) = issued();
    let server = issued.server();
    let check = |tls: Arc<dyn Provider>, address: SocketAddr, host: &mut Host| -> Failure {
        host.connect(address, tls, pattern(1));
        host.until(|host| !host.app().errors.is_empty());
        let app = host.driver.application_mut();
        failure_of(&app.errors.pop().expect("one"))
    };
    let mut host = host(App::new());
    let address = host.listen(server);
    let failure = check(to(&authority, "b.example"), address, &mut host);
    let Reason::Certificate { subject, fault: CertificateFault::WrongName { expected, .. } } = failure.reason
    else {
        panic!("{failure}")
    };
    assert_eq!((&*subject, &*expected), ("CN=a.example", "b.example"));
    host.until(|host| !host.app().failures.is_empty());
    assert_eq!(host.app().failures[0].reason, Reason::AlertReceived(Alert(42)));

    // A server that ends at once, and one that says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("an address");
    let closing = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("a connection");
        let _ = socket.read(&mut [0; 4_096]);
        drop(socket);
        listener
    });
    let failure = check(to(&authority, "a.example"), address, &mut host);
    assert!(matches!(failure.reason, Reason::Truncated | Reason::Disconnected), "{failure}");
    let listener = closing.join().expect("a thread");
    host.connect(address, to(&authority, "a.example"), pattern(1));
    let mut silent = None;
    listener.set_nonblocking(true).expect("a listener");
    host.until(|_| {
        silent = silent.take().or_else(|| listener.accept().ok());
        silent.is_some()
    });
    host.skip(Duration::from_secs(21));
    host.until(|host| !host.app().errors.is_empty());
    let error = &host.app().errors[0];
    assert_eq!((error.kind(), error.phase()), (ErrorKind::TimedOut, ConnectPhase::Tls));
    drop(silent);

    // A server that speaks something else.
    let other = std::thread::spawn(move || {
        listener.set_nonblocking(false).expect("a listener");
        let (mut socket, _) = listener.accept().expect("a connection");
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").expect("room");
        let _ = socket.read_to_end(&mut Vec::new());
    });
    host.driver.application_mut().errors.clear();
    let failure = check(to(&authority, "a.example"), address, &mut host);
    assert_eq!(failure.reason, Reason::NotTls);
    other.join().expect("a thread");
}

#[test]
fn a_peer_that_does_not_read_is_seen_through_tls_and_costs_little() {
    let (authority, issued) = issued();
    let limits = Limits { stalled_grace_max: Duration::ZERO, ..Limits::default() };
    let config = Arc::new(Config { expect: Expect::Raw, limits, ..Config::default() });
    let mut host = host(App { sends: 64 << 20, config, ..App::new() });
    let address = host.listen(issued.server());
    let peer = Peered::new(&mut host, address, &authority);
    let mut before = 0;
    host.until(|host| {
        let sent = host.driver.stats().sent_bytes_total;
        let still = sent == before && sent > 100_000;
        before = sent;
        still
    });
    assert!(host.app().causes.is_empty());
    // What has arrived counts, and in the first period the system may still pass something on.
    for _ in 0..63 {
        host.skip(Duration::from_secs(1));
        host.turn(Duration::from_millis(10));
    }
    assert_eq!(host.app().causes[0].name(), "stalled_timeout");
    drop(peer);
}

#[test]
fn a_server_that_cannot_make_a_session_closes_what_it_accepts() {
    #[derive(Debug)]
    struct Broken;
    impl Provider for Broken {
        fn session(&self) -> Result<Box<dyn lws_loop_external::tls::Session>, Failure> {
            Err(Failure::silent(Reason::Configuration("broken".into())))
        }
    }
    let mut host = host(App::new());
    let address = host.listen(ListenTls::new(Arc::new(Broken)));
    let mut socket = TcpStream::connect(address).expect("a connection");
    socket.write_all(b"\x16").expect("room");
    host.until(|host| host.app().log == ["closed"] && host.driver.stats().connections == 0);
    assert_eq!(socket.read(&mut [0]).ok(), Some(0));
    assert_eq!(host.app().failures[0].name(), "tls_configuration");
}

/// RFC 9113 §3.2: "Implementations that support HTTP/2 over TLS MUST use protocol negotiation in TLS".
#[test]
fn a_client_speaks_http2_only_where_alpn_has_chosen_it() {
    let (authority, issued) = issued();
    let mut host = host(App::new());
    let address = host.listen(issued.server());
    for (alpn, spoken) in [(&["h2"][..], true), (&["http/1.1"], false), (&[], false)] {
        let client = Client::builder().roots(authority.roots()).alpn(alpn).build().expect("a client");
        let connected = host.driver.stats().connected_total;
        host.connect_to_speak(Speak::Http2, address, client.to("a.example").expect("a name"), Vec::new());
        host.until(|host| host.driver.stats().connected_total > connected || !host.app().errors.is_empty());
        let failed = host.driver.application_mut().errors.pop();
        assert_eq!(failed.is_none(), spoken, "{alpn:?}");
        if let Some(error) = failed {
            assert_eq!(failure_of(&error).reason, Reason::NoProtocol);
        }
    }
}
