//! An application that echoes, and the helpers of its tests.

use crate::host::Counted;
use lws_loop_external::{
    Accepted, Address, Application, ConnectError, ConnectionId, DriverContext, ListenOptions, ListenerId,
    Peer, Trigger,
};
use lws_proto::http::Status;
use lws_proto::{Config, Connection, Established, Event, Expect, Payload, RawStream, StreamKey, ws};
use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// Every way to report readiness.
pub(crate) const TRIGGERS: [Trigger; 3] = [Trigger::Level, Trigger::Edge, Trigger::OneShot];

/// A host of the application that echoes.
pub(crate) type Host = crate::host::Host<Echo>;

impl Host {
    pub(crate) fn listen(&mut self) -> SocketAddr {
        self.listen_on(&Address::Tcp(([127, 0, 0, 1], 0).into())).1
    }

    pub(crate) fn listen_on(&mut self, address: &Address) -> (ListenerId, SocketAddr) {
        self.with(|_, cx| {
            let id = cx.listen(address, &ListenOptions::default()).expect("a listener");
            match cx.listening_on(id).expect("an address") {
                Address::Tcp(address) => (id, address),
                _ => (id, ([0, 0, 0, 0], 0).into()),
            }
        })
    }

    /// Reads exactly `len` bytes from a client while the host turns.
    #[track_caller]
    pub(crate) fn read(&mut self, client: &mut TcpStream, len: usize) -> Vec<u8> {
        client.set_nonblocking(true).expect("a socket");
        let mut bytes = Vec::new();
        self.until(|_| {
            let mut piece = vec![0; len - bytes.len()];
            match client.read(&mut piece) {
                Ok(0) => panic!("ended after {} of {len} bytes", bytes.len()),
                Ok(n) => bytes.extend_from_slice(&piece[..n]),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
            bytes.len() == len
        });
        client.set_nonblocking(false).expect("a socket");
        bytes
    }

    /// Reads to the end of the peer, or a reset, while the host turns.
    #[track_caller]
    pub(crate) fn read_to_end(&mut self, client: &mut TcpStream) -> Vec<u8> {
        client.set_nonblocking(true).expect("a socket");
        let mut bytes = Vec::new();
        self.until(|_| {
            let mut piece = vec![0; 64 << 10];
            match client.read(&mut piece) {
                Ok(0) => return true,
                Ok(n) => bytes.extend_from_slice(&piece[..n]),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return true,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
            false
        });
        bytes
    }
}

/// Echoes raw bytes or WebSocket messages, and logs each call.
///
/// Raw bytes that begin with a capital letter are commands of the peer: see [`Echo::order`].
pub(crate) struct Echo {
    pub(crate) raw: Arc<Config>,
    pub(crate) http: Arc<Config>,
    /// Whether the next accepted connection is HTTP, in place of raw.
    pub(crate) speaks_http: bool,
    pub(crate) refuses: bool,
    pub(crate) calls: u64,
    pub(crate) log: Vec<String>,
    pub(crate) open: HashSet<ConnectionId>,
    pub(crate) keys: HashMap<ConnectionId, StreamKey>,
    pub(crate) seconds: u32,
    /// The errors of outgoing connections that failed.
    pub(crate) errors: Vec<ConnectError>,
    /// The raw bytes that were received.
    pub(crate) received: Vec<u8>,
    /// Undelivered messages, with their connections.
    pub(crate) undelivered: Vec<(ConnectionId, u32)>,
    /// The bytes that an accepted raw connection sends first.
    pub(crate) greeting: Option<Vec<u8>>,
    /// Whether this side ends its direction after the greeting.
    pub(crate) says_no_more: bool,
    /// Whether a woken connection wakes itself again.
    pub(crate) restless: bool,
}

impl Default for Echo {
    fn default() -> Self {
        Self {
            raw: Arc::new(Config { expect: Expect::Raw, ..Config::default() }),
            http: Arc::default(),
            speaks_http: false,
            refuses: false,
            calls: 0,
            log: Vec::new(),
            open: HashSet::new(),
            keys: HashMap::new(),
            seconds: 0,
            errors: Vec::new(),
            received: Vec::new(),
            undelivered: Vec::new(),
            greeting: None,
            says_no_more: false,
            restless: false,
        }
    }
}

impl Counted for Echo {
    fn calls(&self) -> u64 {
        self.calls
    }

    fn receives_from_threads(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        format!("{:?}", self.log)
    }
}

impl Echo {
    pub(crate) fn has(&self, line: &str) -> bool {
        self.log.iter().any(|entry| entry == line)
    }

    pub(crate) fn count(&self, line: &str) -> usize {
        self.log.iter().filter(|entry| *entry == line).count()
    }

    fn note(&mut self, line: impl Into<String>) {
        self.calls += 1;
        self.log.push(line.into());
    }

    /// Carries out a command of a raw peer. Returns false if the bytes are no command.
    fn order(&mut self, cx: &mut DriverContext<'_, Self>, stream: &mut RawStream<'_>, bytes: &[u8]) -> bool {
        let this = cx.connection();
        let others: Vec<_> = self.open.iter().copied().filter(|id| Some(*id) != this).collect();
        match bytes.first() {
            Some(b'A') => this.into_iter().for_each(|id| cx.abort(id)),
            Some(b'C') => this.into_iter().for_each(|id| cx.close(id)),
            Some(b'O') => others.into_iter().for_each(|id| cx.abort(id)),
            Some(b'P') => stream.pause(),
            Some(b'T') => stream.set_timeout(Some(cx.now() + Duration::from_secs(5))),
            Some(b'W') => {
                for id in others {
                    cx.want_write(id, self.keys[&id]);
                }
            }
            Some(b'R') => {
                for id in others {
                    cx.wake(id);
                    cx.wake(id);
                }
            }
            _ => return false,
        }
        true
    }
}

impl Application for Echo {
    type State = Option<Vec<u8>>;
    type Message = u32;

    fn accepted(
        &mut self,
        cx: &mut DriverContext<'_, Self>,
        _: ListenerId,
        _: &Peer,
    ) -> Option<Accepted<Self>> {
        self.note("accepted");
        if self.refuses {
            return None;
        }
        self.open.extend(cx.connection());
        let config = if self.speaks_http { &self.http } else { &self.raw };
        Some(Accepted { config: Arc::clone(config), state: self.greeting.clone() })
    }

    fn connected(
        &mut self,
        cx: &mut DriverContext<'_, Self>,
        state: &mut Self::State,
        connection: &mut Connection,
    ) {
        self.note("connected");
        self.open.extend(cx.connection());
        let _ = (state, connection);
    }

    fn connect_failed(&mut self, _: &mut DriverContext<'_, Self>, _: Self::State, error: ConnectError) {
        self.note(format!("connect failed: {:?}", error.kind()));
        self.errors.push(error);
    }

    fn event(&mut self, cx: &mut DriverContext<'_, Self>, state: &mut Self::State, event: Event<'_>) {
        self.calls += 1;
        match event {
            Event::Established { stream: Established::Raw(stream), .. } => {
                self.keys.extend(cx.connection().map(|id| (id, stream.key())));
                if let (Some(greeting), Ok(permit)) = (state.take(), stream.permit()) {
                    let end = self.says_no_more;
                    permit.data(Payload::Copy(&greeting), end).expect("a raw stream");
                }
            }
            Event::Raw { mut stream, chunk, end } => {
                if end {
                    self.note("end");
                }
                self.received.extend_from_slice(chunk);
                if self.order(cx, &mut stream, chunk) {
                    return;
                }
                if let Ok(permit) = stream.permit() {
                    permit.data(Payload::Copy(chunk), end).expect("an open stream").throttle();
                }
            }
            Event::Request { stream, head, .. } => {
                let accepted = stream.accept_websocket(&head, &ws::Accept::default());
                if accepted.is_err() {
                    self.note("no WebSocket");
                }
            }
            Event::Message { stream, kind, chunk, end, .. } => {
                if let Ok(permit) = stream.permit() {
                    permit.message(kind, Payload::Copy(chunk), end).expect("an open WebSocket").throttle();
                }
            }
            Event::Writable(permit) => {
                self.log.push("writable".into());
                let _ = permit.into_raw().expect("a raw stream").data(Payload::Static(b"mail"), false);
            }
            Event::Timeout { stream } => {
                self.log.push("timeout".into());
                if let Ok(permit) = stream.into_raw().expect("a raw stream").permit() {
                    permit.data(Payload::Static(b"late"), true).expect("an open stream");
                }
            }
            Event::Closed { cause, .. } => self.log.push(format!("ended: {}", cause.name())),
            Event::Response { head, .. } => {
                assert_ne!(head.status(), Some(Status::OK));
            }
            _ => {}
        }
    }

    fn closed(&mut self, cx: &mut DriverContext<'_, Self>, _: Self::State) {
        self.note("closed");
        let id = cx.connection().expect("it is about a connection");
        assert!(self.open.remove(&id), "closed once");
        self.keys.remove(&id);
    }

    fn woken(&mut self, cx: &mut DriverContext<'_, Self>, _: &mut Self::State, connection: &mut Connection) {
        if self.restless {
            self.calls += 1;
            if let Some(id) = cx.connection() {
                cx.wake(id);
            }
            return;
        }
        self.note("woken");
        let key = cx.connection().and_then(|id| self.keys.get(&id));
        if let Some(mut stream) = key.and_then(|key| connection.stream(*key)) {
            stream.resume();
        }
    }

    fn message(&mut self, cx: &mut DriverContext<'_, Self>, message: u32) {
        self.note(format!("message {message}"));
        for id in &self.open {
            cx.wake(*id);
        }
    }

    fn message_to(
        &mut self,
        _: &mut DriverContext<'_, Self>,
        _: &mut Self::State,
        _: &mut Connection,
        message: u32,
    ) {
        self.note(format!("message {message}"));
    }

    fn undelivered(&mut self, _: &mut DriverContext<'_, Self>, id: ConnectionId, message: u32) {
        self.undelivered.push((id, message));
        self.calls += 1;
    }

    fn notified(&mut self, _: &mut DriverContext<'_, Self>) {
        self.note("notified");
    }

    fn timer(&mut self, _: &mut DriverContext<'_, Self>) {
        self.note("timer");
    }

    fn clock(&mut self, unix_seconds: u32) {
        assert!(unix_seconds > self.seconds);
        self.seconds = unix_seconds;
    }
}
