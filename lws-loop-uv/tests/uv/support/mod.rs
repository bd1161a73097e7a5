//! An application that echoes raw bytes and runs a hook of the test, and its peers.

pub(crate) mod sys;

use lws_loop_external::{
    Accepted, Address, Application, Change, ConnectError, ConnectOptions, Driver, DriverContext,
    DriverOptions, Interest, ListenOptions, ListenerId, Peer, Readiness, Service, Speak, Token, Trigger,
    Wait,
};
use lws_loop_uv::UvLoop;
use lws_proto::{Config, Event, Expect, Payload, Time};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
pub(crate) use test_kit::PATIENCE;

type Hook = Box<dyn FnMut(What<'_>, &mut DriverContext<'_, Echo>)>;

/// A call of the driver to the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What<'b> {
    Accepted,
    Connected,
    Bytes(&'b [u8]),
    Closed,
    ConnectFailed(io::ErrorKind),
    Timer,
    Message(u32),
}

/// Echoes raw bytes.
pub(crate) struct Echo {
    config: Arc<Config>,
    hook: Hook,
}

impl Echo {
    pub(crate) fn new(hook: impl FnMut(What<'_>, &mut DriverContext<'_, Self>) + 'static) -> Self {
        let config = Arc::new(Config { expect: Expect::Raw, ..Config::default() });
        Self { config, hook: Box::new(hook) }
    }
}

impl Application for Echo {
    type State = ();
    type Message = u32;

    fn accepted(
        &mut self,
        cx: &mut DriverContext<'_, Self>,
        _: ListenerId,
        _: &Peer,
    ) -> Option<Accepted<Self>> {
        (self.hook)(What::Accepted, cx);
        Some(Accepted { config: Arc::clone(&self.config), state: () })
    }

    fn connected(&mut self, cx: &mut DriverContext<'_, Self>, (): &mut (), _: &mut lws_proto::Connection) {
        (self.hook)(What::Connected, cx);
    }

    fn connect_failed(&mut self, cx: &mut DriverContext<'_, Self>, (): (), error: ConnectError) {
        (self.hook)(What::ConnectFailed(error.kind()), cx);
    }

    fn event(&mut self, cx: &mut DriverContext<'_, Self>, (): &mut (), event: Event<'_>) {
        if let Event::Raw { stream, chunk, end } = event {
            (self.hook)(What::Bytes(chunk), cx);
            if let Ok(permit) = stream.permit() {
                permit.data(Payload::Copy(chunk), end).expect("an open stream").throttle();
            }
        }
    }

    fn closed(&mut self, cx: &mut DriverContext<'_, Self>, (): ()) {
        (self.hook)(What::Closed, cx);
    }

    fn message(&mut self, cx: &mut DriverContext<'_, Self>, message: u32) {
        (self.hook)(What::Message(message), cx);
    }

    fn timer(&mut self, cx: &mut DriverContext<'_, Self>) {
        (self.hook)(What::Timer, cx);
    }
}

pub(crate) fn driver(hook: impl FnMut(What<'_>, &mut DriverContext<'_, Echo>) + 'static) -> Driver<Echo> {
    Driver::new(Echo::new(hook), DriverOptions::default()).expect("a driver")
}

/// A driver that listens, and its address.
pub(crate) fn listening(
    hook: impl FnMut(What<'_>, &mut DriverContext<'_, Echo>) + 'static,
) -> (Driver<Echo>, SocketAddr) {
    let mut driver = driver(hook);
    let address = listen(&mut driver, Time::ZERO);
    (driver, address)
}

pub(crate) fn listen(driver: &mut Driver<Echo>, now: Time) -> SocketAddr {
    let any = Address::Tcp(([127, 0, 0, 1], 0).into());
    let address = driver.with(now, |_, cx| {
        let id = cx.listen(&any, &ListenOptions::default()).expect("a listener");
        cx.listening_on(id).expect("an address")
    });
    let Address::Tcp(address) = address else { panic!("not TCP") };
    address
}

pub(crate) fn connect(driver: &mut Driver<Echo>, now: Time, to: SocketAddr) {
    let options = ConnectOptions { speak: Speak::Raw, timeout: PATIENCE, ..ConnectOptions::default() };
    let config = Arc::new(Config { expect: Expect::Raw, ..Config::default() });
    driver.with(now, |_, cx| cx.connect(Address::Tcp(to), config, &options, ()).expect("a socket"));
}

/// Runs turns of a loop until `is_done` is true.
pub(crate) fn run_until(uv_loop: &mut UvLoop, mut is_done: impl FnMut() -> bool) {
    let turn = |uv_loop: &mut UvLoop| {
        uv_loop.run_once(Some(Duration::from_millis(100))).expect("no service is in a call");
    };
    test_kit::turn_until(uv_loop, |_| is_done(), turn, |_| String::new());
}

/// A peer in a thread of its own: it sends `bytes` and expects them back, `rounds` times, and then
/// ends.
pub(crate) fn peer(to: SocketAddr, rounds: usize, bytes: usize) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut stream = TcpStream::connect(to).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let sent: Vec<u8> = (0..bytes).map(|n| n as u8).collect();
        let mut got = vec![0; bytes];
        for _ in 0..rounds {
            let mut writer = stream.try_clone().expect("a descriptor");
            let sent = &sent;
            thread::scope(|scope| {
                scope.spawn(move || writer.write_all(sent).expect("it is taken"));
                stream.read_exact(&mut got).expect("it comes back");
            });
            assert!(got == *sent);
        }
    })
}

/// A service of bare descriptors, which hands out the changes that a test has queued, and records
/// the calls that it receives.
#[derive(Default)]
pub(crate) struct Probe {
    pub(crate) descriptors: Vec<(Token, OwnedFd)>,
    pub(crate) changes: VecDeque<Change>,
    pub(crate) log: Vec<Call>,
    pub(crate) wait: Option<Wait>,
    /// Whether none of its descriptors keeps the loop alive.
    pub(crate) is_internal: bool,
    /// The arguments of each `limit_turn`.
    pub(crate) limits: Vec<Option<Duration>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Attach,
    Ready(Token, Readiness),
    Removed(Token),
    Refused(Token, io::ErrorKind),
    Settle,
}

impl Probe {
    pub(crate) fn add(&mut self, token: u64, fd: OwnedFd, interest: Interest) -> Token {
        let token = Token::from_u64(token);
        self.changes.push_back(Change::Add { token, fd: fd.as_raw_fd(), interest });
        self.descriptors.push((token, fd));
        token
    }

    pub(crate) fn modify(&mut self, token: Token, interest: Interest) {
        let fd = self.descriptor(token).expect("a descriptor").as_raw_fd();
        self.changes.push_back(Change::Modify { token, fd, interest });
    }

    pub(crate) fn remove(&mut self, token: Token) {
        let fd = self.descriptor(token).expect("a descriptor").as_raw_fd();
        self.changes.push_back(Change::Remove { token, fd });
    }

    /// The calls that it received, without `settle`.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.log.iter().copied().filter(|call| *call != Call::Settle).collect()
    }

    pub(crate) fn settled(&self) -> usize {
        self.log.iter().filter(|call| **call == Call::Settle).count()
    }
}

impl Service for Probe {
    fn attach(&mut self, trigger: Trigger) {
        assert_eq!(trigger, Trigger::Level);
        self.log.push(Call::Attach);
    }

    fn poll_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    fn descriptor(&self, token: Token) -> Option<BorrowedFd<'_>> {
        self.descriptors.iter().find(|(other, _)| *other == token).map(|(_, fd)| fd.as_fd())
    }

    fn handle_ready(&mut self, _: Time, token: Token, ready: Readiness) {
        self.log.push(Call::Ready(token, ready));
    }

    fn removed(&mut self, token: Token) {
        self.log.push(Call::Removed(token));
        self.descriptors.retain(|(other, _)| *other != token);
    }

    fn refused(&mut self, token: Token, error: io::Error) {
        self.log.push(Call::Refused(token, error.kind()));
        self.descriptors.retain(|(other, _)| *other != token);
    }

    fn limit_turn(&mut self, time: Option<Duration>) {
        self.limits.push(time);
    }

    fn settle(&mut self, _: Time) -> Wait {
        self.log.push(Call::Settle);
        self.wait.unwrap_or(Wait::Forever)
    }

    fn keeps_alive(&self, _: Token) -> bool {
        !self.is_internal
    }
}
