//! A host that audits its service, and an application that echoes.
//!
//! The host waits with epoll in each of the three ways that there are, on a clock that the test can move forward.

use lws_loop_external::{
    Accepted, Address, Application, Change, ConnectError, ConnectionId, Context, Driver, DriverOptions,
    Interest, ListenOptions, ListenerId, Peer, Readiness, Service, Token, Trigger, Wait,
};
use lws_proto::http::Status;
use lws_proto::{Config, Connection, Event, Expect, Payload, StreamKey, Time, ws};
use rustix::event::epoll::{self, EventData, EventFlags};
use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Every way to report readiness.
pub(crate) const TRIGGERS: [Trigger; 3] = [Trigger::Level, Trigger::Edge, Trigger::OneShot];

pub(crate) struct Host {
    pub(crate) driver: Driver<Echo>,
    trigger: Trigger,
    epoll: OwnedFd,
    watched: HashMap<Token, RawFd>,
    epoch: Instant,
    skipped: Duration,
    /// Time passes only when it is skipped.
    frozen: bool,
    /// Answers of a resolver's thread may come at any moment: an audit could not tell them from what was left.
    pub(crate) unaudited: bool,
    /// Every change that was flushed.
    pub(crate) changes: Vec<Change>,
}

impl Host {
    pub(crate) fn new(trigger: Trigger, options: DriverOptions) -> Self {
        let mut driver = Driver::new(Echo::default(), options).expect("a driver");
        driver.attach(trigger);
        Self::of(driver, trigger)
    }

    /// Takes over a driver from another host.
    pub(crate) fn of(mut driver: Driver<Echo>, trigger: Trigger) -> Self {
        driver.attach(trigger);
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll descriptor");
        let (watched, changes, skipped) = (HashMap::new(), Vec::new(), Duration::ZERO);
        Self {
            driver,
            trigger,
            epoll,
            watched,
            epoch: Instant::now(),
            skipped,
            frozen: false,
            unaudited: false,
            changes,
        }
    }

    pub(crate) fn now(&self) -> Time {
        let elapsed = if self.frozen { Duration::ZERO } else { self.epoch.elapsed() };
        Time::ZERO + elapsed + self.skipped
    }

    /// Time passes only by [`skip`](Self::skip) from now on.
    pub(crate) fn freeze(&mut self) {
        self.skipped += self.epoch.elapsed();
        self.frozen = true;
    }

    /// Descriptors that are watched, without the waker's.
    pub(crate) fn watched(&self) -> usize {
        self.watched.len() - 1
    }

    /// Lets time pass.
    pub(crate) fn skip(&mut self, duration: Duration) {
        self.skipped += duration;
    }

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

    pub(crate) fn with<R>(&mut self, call: impl FnOnce(&mut Echo, &mut Context<'_, Echo>) -> R) -> R {
        let now = self.now();
        self.driver.with(now, call)
    }

    pub(crate) fn app(&self) -> &Echo {
        self.driver.application()
    }

    /// Turns until `done`, and fails if that does not come.
    #[track_caller]
    pub(crate) fn until(&mut self, done: impl FnMut(&mut Self) -> bool) {
        let turn = |host: &mut Self| host.turn(Duration::from_millis(20));
        test_kit::turn_until(self, done, turn, |host| format!("{:?}", host.app().log));
    }

    /// One turn: settle, flush, audit, wait, hand out.
    pub(crate) fn turn(&mut self, longest: Duration) {
        let now = self.now();
        let wait = self.driver.settle(now);
        let changed = self.flush();
        let wait = if changed { self.driver.settle(now) } else { wait };
        self.flush();
        if wait != Wait::Now && !self.unaudited {
            self.audit(now, wait);
        }
        let timeout = wait.timeout(self.now()).map_or(longest, |timeout| timeout.min(longest));
        for (token, ready) in self.wait(timeout) {
            self.driver.handle_ready(self.now(), token, ready);
        }
    }

    /// A service that lets its host sleep has nothing more to do at that moment.
    fn audit(&mut self, now: Time, wait: Wait) {
        let calls = self.app().calls;
        let rung = self.driver.settle(now);
        assert!(!self.flush(), "a change was left when the host went to sleep");
        // A message of another thread may have come in between.
        if self.app().calls == calls {
            assert_eq!(rung, wait, "the service was not done when the host went to sleep");
        }
        if let Wait::Until(at) = wait {
            assert!(at > now, "a due timer was left when the host went to sleep");
        }
    }

    pub(crate) fn flush(&mut self) -> bool {
        let mut any = false;
        while let Some(change) = self.driver.poll_change() {
            any = true;
            self.apply(change);
        }
        any
    }

    fn apply(&mut self, change: Change) {
        self.changes.push(change);
        match change {
            Change::Add { token, fd, interest } => {
                assert!(self.watched.values().all(|other| *other != fd), "{fd} was watched already");
                assert_eq!(self.watched.insert(token, fd), None, "added twice");
                if !interest.is_empty() {
                    let socket = self.driver.descriptor(token).expect("a descriptor");
                    let data = EventData::new_u64(token.as_u64());
                    epoll::add(&self.epoll, socket, data, self.flags(interest)).expect("an added descriptor");
                }
            }
            Change::Modify { token, fd, interest } => {
                assert_eq!(self.watched.get(&token), Some(&fd), "modified before it was added");
                assert_ne!(self.trigger, Trigger::Edge, "an edge is registered once");
                let socket = self.driver.descriptor(token).expect("a descriptor");
                let data = EventData::new_u64(token.as_u64());
                let _ = epoll::delete(&self.epoll, socket);
                if !interest.is_empty() {
                    epoll::add(&self.epoll, socket, data, self.flags(interest))
                        .expect("a modified descriptor");
                }
            }
            Change::Remove { token, fd } => {
                assert_eq!(self.watched.remove(&token), Some(fd), "removed before it was added");
                let socket = self.driver.descriptor(token).expect("open until the host has let go");
                let _ = epoll::delete(&self.epoll, socket);
                self.driver.removed(token);
                assert!(self.driver.descriptor(token).is_none(), "closed once the host has let go");
            }
        }
    }

    fn flags(&self, interest: Interest) -> EventFlags {
        let mut flags = match self.trigger {
            Trigger::Level => EventFlags::empty(),
            Trigger::Edge => EventFlags::ET,
            Trigger::OneShot => EventFlags::ONESHOT,
        };
        flags.set(EventFlags::IN | EventFlags::RDHUP, interest.contains(Interest::READ));
        flags.set(EventFlags::OUT, interest.contains(Interest::WRITE));
        flags
    }

    pub(crate) fn wait(&self, timeout: Duration) -> Vec<(Token, Readiness)> {
        let mut events = Vec::with_capacity(256);
        let timeout = timeout.try_into().expect("a short time");
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&timeout)) {
            Ok(_) => {}
            Err(error) => assert_eq!(error, rustix::io::Errno::INTR),
        }
        let told = |event: &epoll::Event| {
            let flags = event.flags;
            let ready = Readiness::READABLE.when(flags.contains(EventFlags::IN))
                | Readiness::WRITABLE.when(flags.contains(EventFlags::OUT))
                | Readiness::HANG_UP.when(flags.intersects(EventFlags::RDHUP | EventFlags::HUP))
                | Readiness::ERROR.when(flags.contains(EventFlags::ERR));
            (Token::from_u64(event.data.u64()), ready)
        };
        events.iter().map(told).collect()
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

/// Gives back what it receives, as raw bytes or WebSocket messages, and notes what happens.
///
/// Raw bytes that begin with a capital letter are orders: see [`Echo::order`].
pub(crate) struct Echo {
    pub(crate) raw: Arc<Config>,
    pub(crate) http: Arc<Config>,
    /// What the next accepted connection speaks.
    pub(crate) speaks_http: bool,
    pub(crate) refuses: bool,
    pub(crate) calls: u64,
    pub(crate) log: Vec<String>,
    pub(crate) open: HashSet<ConnectionId>,
    pub(crate) keys: HashMap<ConnectionId, StreamKey>,
    pub(crate) seconds: u32,
    /// Why outgoing connections failed.
    pub(crate) errors: Vec<ConnectError>,
    /// Raw bytes that have come.
    pub(crate) received: Vec<u8>,
    /// Messages that came back, and the connections that they were about.
    pub(crate) undelivered: Vec<(ConnectionId, u32)>,
    /// What an accepted connection is greeted with.
    pub(crate) greeting: Option<Vec<u8>>,
    /// The greeting is all that this side says.
    pub(crate) says_no_more: bool,
    /// What is woken wakes itself again.
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

    /// What a raw peer can have done. True if the bytes were an order.
    fn order(
        &mut self,
        cx: &mut Context<'_, Self>,
        stream: &mut lws_proto::Stream<'_>,
        bytes: &[u8],
    ) -> bool {
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

    fn accepted(&mut self, cx: &mut Context<'_, Self>, _: ListenerId, _: &Peer) -> Option<Accepted<Self>> {
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
        cx: &mut Context<'_, Self>,
        state: &mut Self::State,
        connection: &mut Connection,
    ) {
        self.note("connected");
        self.open.extend(cx.connection());
        let _ = (state, connection);
    }

    fn connect_failed(&mut self, _: &mut Context<'_, Self>, _: Self::State, error: ConnectError) {
        self.note(format!("connect failed: {:?}", error.kind()));
        self.errors.push(error);
    }

    fn event(&mut self, cx: &mut Context<'_, Self>, state: &mut Self::State, event: Event<'_>) {
        self.calls += 1;
        match event {
            Event::Established { stream, .. } => {
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
                let _ = permit.data(Payload::Static(b"told"), false);
            }
            Event::Timeout { stream } => {
                self.log.push("timeout".into());
                if let Ok(permit) = stream.permit() {
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

    fn closed(&mut self, cx: &mut Context<'_, Self>, _: Self::State) {
        self.note("closed");
        let id = cx.connection().expect("it is about a connection");
        assert!(self.open.remove(&id), "closed once");
        self.keys.remove(&id);
    }

    fn woken(&mut self, cx: &mut Context<'_, Self>, _: &mut Self::State, connection: &mut Connection) {
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

    fn message(&mut self, cx: &mut Context<'_, Self>, message: u32) {
        self.note(format!("message {message}"));
        for id in &self.open {
            cx.wake(*id);
        }
    }

    fn message_to(
        &mut self,
        _: &mut Context<'_, Self>,
        _: &mut Self::State,
        _: &mut Connection,
        message: u32,
    ) {
        self.note(format!("told {message}"));
    }

    fn undelivered(&mut self, _: &mut Context<'_, Self>, id: ConnectionId, message: u32) {
        self.undelivered.push((id, message));
        self.calls += 1;
    }

    fn notified(&mut self, _: &mut Context<'_, Self>) {
        self.note("notified");
    }

    fn timer(&mut self, _: &mut Context<'_, Self>) {
        self.note("timer");
    }

    fn clock(&mut self, unix_seconds: u32) {
        assert!(unix_seconds > self.seconds);
        self.seconds = unix_seconds;
    }
}
