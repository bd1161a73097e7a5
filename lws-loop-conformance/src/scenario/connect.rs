//! Connections that cannot be made: refused, not answered, given up.

use super::on_each;
use crate::Host;
use crate::bench::{Bench, Role, Script, Side, run_script};
use crate::setup::Transport;
use crate::watchdog::Watchdog;
use lws_loop_external::{Address, ConnectionId};
use lws_proto::Time;
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

pub(super) fn a_refused_connection_is_reported_once<H: Host>(
    watchdog: &Watchdog,
    host: &mut H,
) -> Result<(), String> {
    on_each(host, |host, setup| {
        if setup.transport == Transport::Tcp {
            let kind = ErrorKind::ConnectionRefused;
            run_script(watchdog, host, setup, Attempts::new(closed_port()?, kind)).map(drop)?;
        }
        Ok(())
    })
}

pub(super) fn an_unanswered_connection_times_out<H: Host>(
    watchdog: &Watchdog,
    host: &mut H,
) -> Result<(), String> {
    on_each(host, |host, setup| {
        if setup.transport == Transport::Tcp {
            let full =
                FullListener::new().map_err(|error| format!("no listener with a full queue: {error}"))?;
            run_script(watchdog, host, setup, Attempts::new(full.address, ErrorKind::TimedOut)).map(drop)?;
            run_script(watchdog, host, setup, Attempts::new(full.address, ErrorKind::ConnectionAborted))
                .map(drop)?;
        }
        Ok(())
    })
}

/// A port that was in use and is closed now.
fn closed_port() -> Result<SocketAddr, String> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|it| it.local_addr())
        .map_err(|error| format!("no port: {error}"))
}

/// A listener whose accept queue is full: the kernel drops further SYNs, so that connecting does not end.
struct FullListener {
    address: SocketAddr,
    _listener: Socket,
    _queued: Vec<Socket>,
}

impl FullListener {
    fn new() -> io::Result<Self> {
        let socket = || Socket::new(Domain::IPV4, Type::STREAM, None);
        let listener = socket()?;
        listener.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0))))?;
        listener.listen(0)?;
        let address = listener.local_addr()?;
        let mut queued = Vec::new();
        for _ in 0..4 {
            let socket = socket()?;
            socket.set_nonblocking(true)?;
            // The connect(2) stays in progress for ever.
            let _ = socket.connect(&address);
            queued.push(socket);
        }
        let address = address.as_socket().ok_or(ErrorKind::AddrNotAvailable)?;
        Ok(Self { address, _listener: listener, _queued: queued })
    }
}

const ATTEMPTS: usize = 5;
const PATIENCE: Duration = Duration::from_millis(40);

/// Several simultaneous attempts that fail in the same way, beside a connection that works.
struct Attempts {
    address: Address,
    kind: ErrorKind,
    begun: Time,
    failed: Vec<usize>,
    ids: Vec<ConnectionId>,
    back: bool,
}

impl Attempts {
    fn new(address: SocketAddr, kind: ErrorKind) -> Self {
        Self {
            address: address.into(),
            kind,
            begun: Time::ZERO,
            failed: Vec::new(),
            ids: Vec::new(),
            back: false,
        }
    }

    fn finish_if_done(&mut self, bench: &mut Bench<'_, '_, Self>) {
        if self.back && self.failed.len() == ATTEMPTS {
            bench.finish();
        }
    }
}

impl Script for Attempts {
    type Data = ();

    fn begin(&mut self, bench: &mut Bench<'_, '_, Self>) {
        if bench.listen().is_none() {
            return;
        }
        self.begun = bench.now();
        bench.connect(ATTEMPTS);
        let mut options = bench.common.setup.connect_options();
        if self.kind == ErrorKind::TimedOut {
            options.timeout = PATIENCE;
        }
        for number in 0..ATTEMPTS {
            self.ids.extend(bench.connect_to(number, &self.address.clone(), &options));
        }
        if self.kind == ErrorKind::ConnectionAborted {
            bench.cx.set_timer(Some(bench.now() + Duration::from_millis(5)));
        }
    }

    fn timer(&mut self, bench: &mut Bench<'_, '_, Self>) {
        self.ids.iter().for_each(|id| bench.cx.abort(*id));
    }

    fn open(&mut self, bench: &mut Bench<'_, '_, Self>, side: &mut Side<()>, stream: lws_proto::Stream<'_>) {
        match side.role {
            Role::Client(number) if number < ATTEMPTS => {
                bench.fail("a connection was made that cannot be made");
            }
            Role::Client(_) => bench.say(stream, b"hello"),
            Role::Server => {}
        }
    }

    fn content(
        &mut self,
        bench: &mut Bench<'_, '_, Self>,
        side: &mut Side<()>,
        stream: lws_proto::Stream<'_>,
        chunk: &[u8],
    ) {
        if side.is_server() {
            return bench.say(stream, chunk);
        }
        self.back = true;
        self.finish_if_done(bench);
    }

    fn refused(&mut self, bench: &mut Bench<'_, '_, Self>, side: Side<()>, error: io::Error) {
        let (kind, took) = (self.kind, bench.now() - self.begun);
        bench.expect(error.kind() == kind, || format!("{kind:?} was expected, and it was {error:?}"));
        let early = kind == ErrorKind::TimedOut && took < PATIENCE;
        bench.expect(!early, || format!("an attempt was given up after {took:?} of {PATIENCE:?}"));
        let Role::Client(number) = side.role else { return bench.fail("an accepted connection was refused") };
        bench.expect(!self.failed.contains(&number), || format!("attempt {number} failed twice"));
        self.failed.push(number);
        self.finish_if_done(bench);
    }

    fn progress(&self) -> String {
        let other = if self.back { "answered" } else { "open" };
        format!("{} of {ATTEMPTS} attempts ended, and the other connection {other}", self.failed.len())
    }
}
