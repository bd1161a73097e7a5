//! TLS that begins in the middle of an outgoing connection: a peer of the test greets in clear, and goes on inside of TLS, or not.

use crate::host::{Counted, Delivery};
use lws_loop_external::tls::{Failure, Info, Provider, Reason};
use lws_loop_external::{
    Accepted, Address, Application, ConnectError, ConnectOptions, ConnectionId, DriverContext, DriverOptions,
    ListenerId, Peer, Speak,
};
use lws_proto::{Config, Connection, Established, Event, Expect, Payload, StreamKey, Time};
use lws_tls::Client;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use tests::tls::{Authority, Side};

/// A client that begins TLS behind the first octets that it receives.
struct App {
    tls: Arc<dyn Provider>,
    log: Vec<String>,
    received: Vec<u8>,
    failures: Vec<Failure>,
    stream: Option<(ConnectionId, StreamKey)>,
}

impl Application for App {
    type State = ();
    type Message = ();

    fn accepted(
        &mut self,
        _: &mut DriverContext<'_, Self>,
        _: ListenerId,
        _: &Peer,
    ) -> Option<Accepted<Self>> {
        None
    }

    fn connected(&mut self, _: &mut DriverContext<'_, Self>, _: &mut (), _: &mut Connection) {
        self.log.push("connected".into());
    }

    fn connect_failed(&mut self, _: &mut DriverContext<'_, Self>, (): (), error: ConnectError) {
        self.log.push(error.to_string());
    }

    fn tls_established(&mut self, cx: &mut DriverContext<'_, Self>, _: &mut (), info: &Info) -> bool {
        self.log.push(format!("secured {}", info.version));
        // It is woken with its stream once it can write.
        let id = cx.connection().expect("a connection");
        cx.wake(id)
    }

    fn tls_failed(&mut self, _: &mut DriverContext<'_, Self>, _: &mut (), failure: &Failure) {
        self.failures.push(failure.clone());
    }

    fn woken(&mut self, cx: &mut DriverContext<'_, Self>, _: &mut (), connection: &mut Connection) {
        let (id, key) = self.stream.expect("it was established");
        assert_eq!((cx.connection(), cx.tls().is_some()), (Some(id), true));
        let permit = connection.raw_stream(key).expect("the same stream").permit().expect("room");
        permit.data(Payload::Copy(b"secret"), false).expect("a stream");
    }

    fn event(&mut self, cx: &mut DriverContext<'_, Self>, _: &mut (), event: Event<'_>) {
        match event {
            Event::Established { stream: Established::Raw(stream), .. } => {
                self.stream = cx.connection().map(|id| (id, stream.key()));
            }
            Event::Raw { chunk, .. } => {
                let is_first = self.received.is_empty();
                self.received.extend_from_slice(chunk);
                if let (true, Some(id)) = (is_first, cx.connection()) {
                    cx.start_tls(id, Arc::clone(&self.tls), Duration::from_secs(10));
                }
            }
            Event::Closed { cause, .. } => self.log.push(cause.name().into()),
            _ => {}
        }
    }

    fn closed(&mut self, _: &mut DriverContext<'_, Self>, (): ()) {
        self.log.push("closed".into());
    }
}

impl Counted for App {
    fn calls(&self) -> u64 {
        (self.log.len() + self.received.len() + self.failures.len()) as u64
    }

    fn describe(&self) -> String {
        format!("{:?} {:?}", self.log, self.failures)
    }
}

type Host = crate::host::Host<App>;

/// A host whose client has connected, and the other end, which has greeted it.
fn greeted(tls: Arc<dyn Provider>, delivery: Delivery) -> (Host, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address: SocketAddr = listener.local_addr().expect("an address");
    let app = App { tls, log: Vec::new(), received: Vec::new(), failures: Vec::new(), stream: None };
    let mut host = Host::new(delivery, app, DriverOptions::default());
    let config = Arc::new(Config { expect: Expect::Raw, ..Config::default() });
    let options = ConnectOptions { speak: Speak::Raw, ..ConnectOptions::default() };
    host.with(|_, cx| cx.connect(Address::Tcp(address), config, &options, ()).expect("an attempt"));
    host.until(|host| host.app().log == ["connected"]);
    let (mut socket, _) = listener.accept().expect("a connection");
    socket.write_all(b"hello\n").expect("room");
    socket.set_nonblocking(true).expect("a socket");
    host.until(|host| host.app().received == b"hello\n");
    (host, socket)
}

/// Moves what can be moved between the other end's session and its socket. True at the end of the transport.
fn go_on(side: &mut Side, socket: &mut TcpStream) -> bool {
    if socket.write_all(&std::mem::take(&mut side.out)).is_err() {
        return true;
    }
    let mut bytes = vec![0; 64 << 10];
    match socket.read(&mut bytes) {
        Ok(0) => return true,
        Ok(n) => side.receive(&bytes[..n]),
        Err(error) => return error.kind() != ErrorKind::WouldBlock,
    }
    false
}

fn to(authority: &Authority, name: &str) -> Arc<dyn Provider> {
    Client::builder().roots(authority.roots()).build().expect("a client").to(name).expect("a name")
}

#[test]
fn a_connection_goes_on_inside_of_tls_with_the_same_stream() {
    let authority = Authority::new("root");
    let issued = authority.issue(&["a.example"]);
    for delivery in [Delivery::Poll, Delivery::Edge] {
        let (mut host, mut socket) = greeted(to(&authority, "a.example"), delivery);
        let mut side = Side::new(&issued.server());
        host.until(|_| {
            go_on(&mut side, &mut socket);
            side.plaintext == b"secret"
        });
        side.seal(Time::ZERO, &[b"world"]);
        host.until(|host| {
            go_on(&mut side, &mut socket);
            host.app().received == b"hello\nworld"
        });
        assert_eq!(host.app().log, ["connected", "secured TLSv1.3"]);
        assert_eq!((host.driver.stats().connected_total, host.driver.stats().tls_established_total), (1, 1));
        drop(socket);
        host.until(|host| host.driver.stats().connections == 0);
        assert_eq!(host.app().log.last().map(String::as_str), Some("closed"));
    }
}

#[test]
fn a_handshake_that_fails_ends_the_connection() {
    let authority = Authority::new("root");
    let issued = authority.issue(&["a.example"]);
    // The certificate is that of another name.
    let (mut host, mut socket) = greeted(to(&authority, "b.example"), Delivery::Poll);
    let mut side = Side::new(&issued.server());
    host.until(|host| {
        go_on(&mut side, &mut socket);
        host.driver.stats().connections == 0
    });
    assert_eq!(
        (host.app().failures.len(), host.app().log.as_slice()),
        (1, &["connected".into(), "closed".into()][..])
    );
    // It does not speak TLS, it ends, or it says nothing.
    for (octets, reason) in [(&b"220 no\r\n"[..], None), (b"", Some(Reason::Truncated))] {
        let (mut host, mut socket) = greeted(to(&authority, "a.example"), Delivery::Poll);
        socket.write_all(octets).expect("room");
        drop(socket);
        host.until(|host| host.driver.stats().connections == 0);
        let failure = host.app().failures.first().map(|failure| failure.reason.clone());
        assert!(failure.is_some() && (reason.is_none() || failure == reason), "{failure:?}");
        assert_eq!(host.app().log, ["connected", "closed"]);
    }
    let (mut host, _socket) = greeted(to(&authority, "a.example"), Delivery::Poll);
    host.turn(Duration::from_millis(10));
    host.skip(Duration::from_millis(10_100));
    host.until(|host| host.driver.stats().connections == 0);
    assert_eq!(host.app().failures, [Failure::silent(Reason::Timeout)]);
}

#[test]
fn a_connection_that_has_tls_already_is_closed() {
    let authority = Authority::new("root");
    let issued = authority.issue(&["a.example"]);
    let (mut host, mut socket) = greeted(to(&authority, "a.example"), Delivery::Poll);
    let mut side = Side::new(&issued.server());
    host.until(|_| {
        go_on(&mut side, &mut socket);
        side.plaintext == b"secret"
    });
    host.with(|app, cx| {
        let (id, _) = app.stream.expect("it was established");
        cx.start_tls(id, Arc::clone(&app.tls), Duration::from_secs(10));
    });
    host.until(|host| host.driver.stats().connections == 0);
    assert_eq!(host.app().log.last().map(String::as_str), Some("closed"));
}
