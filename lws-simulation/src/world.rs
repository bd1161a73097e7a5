//! The simulated network, its kernel, its clock and its chance. Knows no protocol and no service.
//!
//! A connection is two streams of octets, each with a kernel's send buffer at one end and its receive buffer at the other. What
//! is sent stays in the send buffer until it lies in the receive buffer of the peer, as TCP keeps what is not acknowledged.

use crate::random::Random;
use crate::tap::{Given, Side, Tap};
use crate::weather::Weather;
use lws_loop_external::simulation::Network;
use lws_loop_external::{Address, ConnectOptions, ListenOptions, Readiness};
use lws_proto::Time;
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// A socket of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SocketId(usize);

/// The network, the clock and the chance of one run.
pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) weather: Weather,
    random: Random,
    entropy: Random,
    sockets: Vec<Socket>,
    numbers: BTreeMap<RawFd, SocketId>,
    due: BinaryHeap<Reverse<(Time, u64, Due)>>,
    sequence: u64,
    ports: u16,
    /// What happened, folded into a number.
    pub(crate) hash: u64,
    /// What happened, in words, if a trace is wanted.
    pub(crate) log: Option<VecDeque<String>>,
    /// System calls that services have made.
    pub(crate) calls: u64,
    /// What the wire shows of rules that were broken.
    pub(crate) complaints: Vec<String>,
    pub(crate) peak: Peak,
}

/// The most of something that there was at a time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Peak {
    /// Descriptors of services.
    pub(crate) descriptors: usize,
    /// Octets in the send buffer of one socket of a service.
    pub(crate) unsent: usize,
}

/// What happens at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// The connection that this socket asked for reaches its listener.
    Arrive(SocketId),
    /// The asking side learns that it is connected.
    Establish(SocketId),
    /// The connecting side learns that there is no listener.
    Refuse(SocketId),
    /// What this socket has sent goes on.
    Transfer(SocketId),
    /// This socket learns that its connection was reset.
    Reset(SocketId),
    /// This socket can be read and written again.
    Release(SocketId),
}

enum Socket {
    Listener { address: SocketAddr, backlog: VecDeque<SocketId>, edges: bool, closed: bool },
    Stream(Box<Stream>),
}

/// One end of a connection.
struct Stream {
    own: SocketAddr,
    remote: SocketAddr,
    /// There is none yet while a connection is being made.
    peer: Option<SocketId>,
    phase: Phase,
    /// The send buffer: octets that the peer's kernel does not have.
    queue: VecDeque<u8>,
    send_max: usize,
    inbox: VecDeque<u8>,
    receive_max: usize,
    /// This end has said that it sends no more.
    finished: bool,
    /// The peer's kernel knows.
    fin_sent: bool,
    fin_received: bool,
    error: Option<Errno>,
    closed: bool,
    /// Its close resets the connection.
    resets: bool,
    /// It was accepted by a service.
    accepted: bool,
    /// Octets that it has ever taken of its owner.
    sent: u64,
    /// Its machine is gone: nothing leaves it and nothing reaches it.
    vanished: bool,
    read_held: Time,
    write_held: Time,
    wants_room: bool,
    transfer_due: bool,
    /// What has begun to hold since it was last reported: for hosts of edges.
    edges: Readiness,
    /// What both ends have said, seen from outside; at the connecting end.
    tap: Option<Box<Tap>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Open,
    /// It was reset, or never came about.
    Gone,
}

fn error(errno: Errno) -> io::Error {
    io::Error::from_raw_os_error(errno.raw_os_error())
}

impl World {
    pub(crate) fn new(seed: u64, weather: Weather) -> Self {
        let mut random = Random::new(seed);
        Self {
            now: Time::ZERO,
            weather,
            entropy: random.fork(),
            random,
            sockets: Vec::new(),
            numbers: BTreeMap::new(),
            due: BinaryHeap::new(),
            sequence: 0,
            ports: 32_768,
            hash: 0xcbf2_9ce4_8422_2325,
            log: None,
            calls: 0,
            complaints: Vec::new(),
            peak: Peak::default(),
        }
    }

    /// Notes that something has happened.
    pub(crate) fn note(&mut self, what: &'static str, socket: SocketId, number: u64) {
        for word in
            [what.len() as u64 ^ u64::from(what.as_bytes()[0]), socket.0 as u64, number, self.now.as_micros()]
        {
            self.hash = (self.hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(17);
        }
        let now = self.now;
        self.say(|| format!("{:>12} {what} socket {} {number}", now.as_micros(), socket.0));
    }

    pub(crate) fn say(&mut self, text: impl FnOnce() -> String) {
        const LINES_MAX: usize = 4_000;
        if let Some(log) = &mut self.log {
            if log.len() == LINES_MAX {
                log.pop_front();
            }
            log.push_back(text());
        }
    }

    fn schedule(&mut self, delay: u64, due: Due) {
        self.sequence += 1;
        self.due.push(Reverse((self.now + Duration::from_micros(delay), self.sequence, due)));
    }

    /// When something happens next by itself.
    pub(crate) fn next_due(&self) -> Option<Time> {
        self.due.peek().map(|Reverse((at, ..))| *at)
    }

    /// Lets happen what is due.
    pub(crate) fn run_due(&mut self) {
        while let Some(Reverse((at, _, due))) = self.due.peek().copied() {
            if at > self.now {
                break;
            }
            self.due.pop();
            match due {
                Due::Arrive(socket) => self.arrive(socket),
                Due::Establish(socket) => self.establish(socket),
                Due::Refuse(socket) => self.fail(socket, Errno::CONNREFUSED),
                Due::Transfer(socket) => self.transfer(socket),
                Due::Reset(socket) => self.fail(socket, Errno::CONNRESET),
                Due::Release(socket) => self.edge(socket, Readiness::READABLE | Readiness::WRITABLE),
            }
        }
    }

    fn stream(&mut self, id: SocketId) -> Option<&mut Stream> {
        match self.sockets.get_mut(id.0) {
            Some(Socket::Stream(stream)) => Some(stream),
            _ => None,
        }
    }

    fn peek(&self, id: SocketId) -> Option<&Stream> {
        match self.sockets.get(id.0) {
            Some(Socket::Stream(stream)) => Some(stream),
            _ => None,
        }
    }

    fn edge(&mut self, id: SocketId, ready: Readiness) {
        if let Some(stream) = self.stream(id) {
            stream.edges |= ready;
        }
    }

    fn new_stream(&mut self, own: SocketAddr, remote: SocketAddr, phase: Phase) -> SocketId {
        let stream = Stream {
            own,
            remote,
            peer: None,
            phase,
            queue: VecDeque::new(),
            send_max: self.weather.send_bytes.max(1) as usize,
            inbox: VecDeque::new(),
            receive_max: self.weather.receive_bytes.max(1) as usize,
            finished: false,
            fin_sent: false,
            fin_received: false,
            error: None,
            closed: false,
            resets: false,
            accepted: false,
            sent: 0,
            vanished: false,
            read_held: Time::ZERO,
            write_held: Time::ZERO,
            wants_room: false,
            transfer_due: false,
            edges: Readiness::NONE,
            tap: None,
        };
        self.sockets.push(Socket::Stream(Box::new(stream)));
        SocketId(self.sockets.len() - 1)
    }

    fn listener_at(&self, address: SocketAddr) -> Option<SocketId> {
        let listens = |socket: &Socket| matches!(socket, Socket::Listener { address: own, closed: false, .. } if *own == address);
        self.sockets.iter().position(listens).map(SocketId)
    }

    // Connections.

    /// Begins a connection.
    fn begin(&mut self, address: SocketAddr) -> SocketId {
        self.ports = self.ports.checked_add(1).unwrap_or(32_768);
        let own = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), self.ports);
        let id = self.new_stream(own, address, Phase::Connecting);
        self.schedule(self.weather.latency.into(), Due::Arrive(id));
        self.note("begin", id, 0);
        id
    }

    fn arrive(&mut self, id: SocketId) {
        let Some(Stream { own, remote, closed: false, vanished: false, .. }) = self.peek(id) else { return };
        let (own, remote) = (*own, *remote);
        let Some(listener) =
            self.listener_at(remote).filter(|_| !self.random.chance(self.weather.unreachable))
        else {
            return self.schedule(self.weather.latency.into(), Due::Refuse(id));
        };
        let accepted = self.new_stream(remote, own, Phase::Open);
        if let Some(stream) = self.stream(accepted) {
            stream.accepted = true;
            stream.peer = Some(id);
        }
        if let Some(stream) = self.stream(id) {
            stream.peer = Some(accepted);
            stream.tap = Some(Box::default());
        }
        if let Some(Socket::Listener { backlog, edges, .. }) = self.sockets.get_mut(listener.0) {
            backlog.push_back(accepted);
            *edges = true;
        }
        self.schedule(self.weather.latency.into(), Due::Establish(id));
    }

    fn establish(&mut self, id: SocketId) {
        let Some(stream) = self.stream(id) else { return };
        if stream.phase == Phase::Connecting {
            stream.phase = Phase::Open;
            stream.edges |= Readiness::WRITABLE;
            self.note("established", id, 0);
            self.go_on(id, 0);
        }
    }

    /// The connection is over for this end.
    fn fail(&mut self, id: SocketId, errno: Errno) {
        let Some(stream) = self.stream(id) else { return };
        if stream.phase == Phase::Gone || stream.vanished {
            return;
        }
        stream.phase = Phase::Gone;
        stream.error = Some(errno);
        stream.queue.clear();
        stream.edges |= Readiness::READABLE | Readiness::WRITABLE | Readiness::HANG_UP | Readiness::ERROR;
        self.note("reset", id, 0);
    }

    /// Has this end tell the other one that the connection is over.
    fn reset_peer_of(&mut self, id: SocketId) {
        if let Some(Stream { peer: Some(peer), vanished: false, .. }) = self.peek(id) {
            let peer = *peer;
            self.schedule(self.weather.latency.into(), Due::Reset(peer));
        }
    }

    /// Has what this end has sent go on after a while.
    fn go_on(&mut self, id: SocketId, more: u64) {
        let delay = u64::from(self.weather.latency) + more;
        if let Some(stream) = self.stream(id)
            && !std::mem::replace(&mut stream.transfer_due, true)
        {
            self.schedule(delay, Due::Transfer(id));
        }
    }

    /// Moves what this end has sent to the other one, as far as that has room.
    fn transfer(&mut self, id: SocketId) {
        let Some(stream) = self.stream(id) else { return };
        stream.transfer_due = false;
        let (Some(peer), false, Phase::Open) = (stream.peer, stream.vanished, stream.phase) else { return };
        let (left, finished) = (stream.queue.len(), stream.finished && !stream.fin_sent);
        let Some(other) = self.peek(peer) else { return };
        if other.vanished || left == 0 && !finished {
            return;
        }
        let closed = other.closed;
        let lost = left > 0 && self.random.chance(self.weather.resets);
        if lost || left > 0 && closed {
            self.fail(id, Errno::CONNRESET);
            if lost {
                self.schedule(self.weather.latency.into(), Due::Reset(peer));
            }
            return;
        }
        let Some(other) = self.peek(peer) else { return };
        let room = other.receive_max.saturating_sub(other.inbox.len());
        let n = left.min(room).min(self.weather.segment_bytes.max(1) as usize);
        let Some(stream) = self.stream(id) else { return };
        let octets: Vec<u8> = stream.queue.drain(..n).collect();
        let free = stream.send_max.saturating_sub(stream.queue.len());
        if stream.wants_room && free * 3 >= stream.send_max {
            stream.wants_room = false;
            stream.edges |= Readiness::WRITABLE;
        }
        let ends = stream.queue.is_empty() && finished;
        stream.fin_sent |= ends;
        let more = !stream.queue.is_empty();
        if let Some(other) = self.stream(peer) {
            other.inbox.extend(&octets);
            other.fin_received |= ends;
            if n > 0 {
                other.edges |= Readiness::READABLE;
            }
            if ends {
                other.edges |= Readiness::READABLE | Readiness::HANG_UP;
            }
        }
        self.note("transfer", id, n as u64);
        if more && n > 0 {
            let rate = u64::from(self.weather.rate);
            let takes = (n as u64 * 1_000_000).checked_div(rate).unwrap_or(0).max(1);
            let Some(stream) = self.stream(id) else { return };
            stream.transfer_due = true;
            self.schedule(takes, Due::Transfer(id));
        }
    }

    /// Shows the observer of a connection what one of its ends has said.
    fn observe(&mut self, id: SocketId, octets: &[u8]) {
        let Some(stream) = self.peek(id) else { return };
        let (at, side) = match stream.tap {
            Some(_) => (id, Side::Client),
            None => (stream.peer.unwrap_or(id), Side::Server),
        };
        let now = self.now;
        let Some(stream) = self.stream(at) else { return };
        if stream.vanished {
            // What it has said last may never have arrived.
            return;
        }
        if let Some(tap) = &mut stream.tap
            && let Some(complaint) = tap.said(now, side, octets)
        {
            self.complaints.push(format!("{complaint}: at {} µs, socket {}", now.as_micros(), at.0));
        }
    }

    // Raw peers.

    pub(crate) fn open(&mut self, address: SocketAddr) -> SocketId {
        self.begin(address)
    }

    /// Takes what a raw peer says. Returns how much of it, or `None` if it can say nothing any more.
    pub(crate) fn write(&mut self, id: SocketId, octets: &[u8]) -> Option<usize> {
        let stream = self.stream(id)?;
        match stream.phase {
            Phase::Connecting => return Some(0),
            Phase::Gone => return None,
            Phase::Open => {}
        }
        if stream.finished || stream.vanished {
            return None;
        }
        // It has no kernel that would make it wait for long.
        let n = octets.len().min((64_usize << 10).saturating_sub(stream.queue.len()));
        stream.queue.extend(&octets[..n]);
        self.observe(id, &octets[..n]);
        self.note("peer writes", id, n as u64);
        self.go_on(id, 0);
        Some(n)
    }

    /// Gives a raw peer up to `max` octets. `None` when there will be no more.
    pub(crate) fn read(&mut self, id: SocketId, max: usize) -> Option<Vec<u8>> {
        let stream = self.stream(id)?;
        let n = stream.inbox.len().min(max);
        if n == 0 && (stream.fin_received || stream.phase == Phase::Gone) {
            return None;
        }
        let octets = stream.inbox.drain(..n).collect();
        self.freed(id, n);
        Some(octets)
    }

    pub(crate) fn is_connecting(&self, id: SocketId) -> bool {
        self.peek(id).is_some_and(|stream| stream.phase == Phase::Connecting)
    }

    /// A raw peer ends its direction.
    pub(crate) fn end(&mut self, id: SocketId) {
        if let Some(stream) = self.stream(id) {
            stream.finished = true;
            self.note("peer ends", id, 0);
            self.go_on(id, 0);
        }
    }

    /// A raw peer closes its socket, by a reset or not.
    pub(crate) fn leave(&mut self, id: SocketId, by_reset: bool) {
        self.note("peer leaves", id, by_reset.into());
        if by_reset {
            self.reset_peer_of(id);
            if let Some(stream) = self.stream(id) {
                stream.queue.clear();
                stream.phase = Phase::Gone;
            }
        }
        self.shut(id);
    }

    /// The machine of a raw peer is gone.
    pub(crate) fn vanish(&mut self, id: SocketId) {
        if let Some(stream) = self.stream(id) {
            stream.vanished = true;
            self.note("peer vanishes", id, 0);
        }
    }

    /// The socket has no owner any more.
    fn shut(&mut self, id: SocketId) {
        let Some(stream) = self.stream(id) else { return };
        if std::mem::replace(&mut stream.closed, true) {
            return;
        }
        let unread = !stream.inbox.is_empty() || stream.resets;
        stream.inbox.clear();
        if stream.phase == Phase::Open && unread {
            // tcp(7): unread data is answered by a reset.
            stream.phase = Phase::Gone;
            stream.queue.clear();
            self.reset_peer_of(id);
        } else if stream.phase == Phase::Open {
            stream.finished = true;
            self.go_on(id, 0);
        } else {
            stream.phase = Phase::Gone;
        }
    }

    /// Something was read, so that the peer may have room again.
    fn freed(&mut self, id: SocketId, n: usize) {
        if n == 0 {
            return;
        }
        if let Some(Stream { peer: Some(peer), .. }) = self.peek(id) {
            let peer = *peer;
            if self.peek(peer).is_some_and(|stream| !stream.queue.is_empty()) {
                self.go_on(peer, 0);
            }
        }
    }

    // Readiness.

    /// What the descriptor of this number is ready for, as poll(2) would say.
    pub(crate) fn level(&self, number: RawFd) -> Readiness {
        let Some(id) = self.numbers.get(&number) else { return Readiness::NONE };
        match &self.sockets[id.0] {
            Socket::Listener { backlog, .. } => Readiness::READABLE.when(!backlog.is_empty()),
            Socket::Stream(stream) => stream.level(self.now),
        }
    }

    /// Whether something has begun to hold since this was asked last, as epoll(7) with EPOLLET sees it.
    pub(crate) fn take_edge(&mut self, number: RawFd) -> bool {
        let Some(id) = self.numbers.get(&number) else { return false };
        match &mut self.sockets[id.0] {
            Socket::Listener { edges, .. } => std::mem::take(edges),
            Socket::Stream(stream) => !std::mem::replace(&mut stream.edges, Readiness::NONE).is_empty(),
        }
    }

    /// Whether the descriptor of this number is a socket of this world.
    pub(crate) fn is_socket(&self, number: RawFd) -> bool {
        self.numbers.contains_key(&number)
    }

    /// Whether both directions of a socket are over.
    pub(crate) fn is_gone(&self, number: RawFd) -> bool {
        let stream = self.numbers.get(&number).and_then(|id| self.peek(*id));
        stream.is_some_and(|stream| stream.phase == Phase::Gone || stream.fin_received && stream.fin_sent)
    }

    /// Open sockets of services whose connection is over: reset, or for an accepted one ended by its peer.
    pub(crate) fn orphans(&self) -> usize {
        let ids = self.numbers.values().filter_map(|id| self.peek(*id));
        ids.filter(|stream| !stream.vanished)
            .filter(|stream| stream.phase == Phase::Gone || stream.accepted && stream.fin_received)
            .count()
    }

    /// Accepted sockets where something of a peer that is there lies unread, and nothing was ever sent.
    pub(crate) fn unanswered(&self) -> Vec<SocketId> {
        let fresh = |id: &SocketId| {
            self.peek(*id).is_some_and(|stream| {
                let asks = stream.inbox.iter().copied().take(4).eq(*b"GET ");
                asks && stream.accepted
                    && stream.sent == 0
                    && !stream.fin_received
                    && stream.phase == Phase::Open
            })
        };
        self.numbers.values().copied().filter(fresh).collect()
    }

    /// Whether something was sent on a socket, or its peer has gone.
    pub(crate) fn was_answered(&self, id: SocketId) -> bool {
        let gone =
            |id: SocketId| self.peek(id).is_none_or(|it| it.closed || it.vanished || it.phase == Phase::Gone);
        self.peek(id).is_none_or(|stream| stream.sent > 0 || stream.peer.is_none_or(gone))
    }

    /// What the client of a connection has been given.
    pub(crate) fn given(&self, id: SocketId) -> Option<Given> {
        self.peek(id)?.tap.as_ref().map(|tap| tap.given())
    }

    /// The machine of the end that has this address is gone.
    pub(crate) fn vanish_at(&mut self, own: SocketAddr) {
        let is_it =
            |socket: &Socket| matches!(socket, Socket::Stream(stream) if stream.own == own && !stream.closed);
        if let Some(index) = self.sockets.iter().position(is_it) {
            self.vanish(SocketId(index));
        }
    }

    /// Sockets and listeners that services have open.
    pub(crate) fn descriptors(&self) -> usize {
        self.numbers.len()
    }

    /// Has every connection take part in the weather that there is now.
    pub(crate) fn change_weather(&mut self, weather: Weather) {
        self.weather = weather;
        for index in 0..self.sockets.len() {
            if let Some(stream) = self.stream(SocketId(index)) {
                stream.send_max = stream.send_max.max(weather.send_bytes as usize);
                stream.receive_max = stream.receive_max.max(weather.receive_bytes as usize);
                if stream.wants_room {
                    stream.wants_room = false;
                    stream.edges |= Readiness::WRITABLE;
                }
                if !stream.queue.is_empty() {
                    self.go_on(SocketId(index), 0);
                }
            }
        }
    }

    // Faults of one call.

    fn interrupted(&mut self) -> io::Result<()> {
        self.calls += 1;
        match self.random.chance(self.weather.interrupts) {
            true => Err(error(Errno::INTR)),
            false => Ok(()),
        }
    }

    /// Has a socket be of no use for a moment.
    fn hold(&mut self, id: SocketId, reading: bool) {
        let delay = self.random.magnitude(1, 20_000);
        let until = self.now + Duration::from_micros(delay);
        let Some(stream) = self.stream(id) else { return };
        if reading {
            stream.read_held = until;
        } else {
            stream.write_held = until;
        }
        self.schedule(delay, Due::Release(id));
    }

    fn id(&self, number: RawFd) -> io::Result<SocketId> {
        self.numbers.get(&number).copied().ok_or_else(|| error(Errno::BADF))
    }

    /// A descriptor for a socket of a service.
    fn descriptor(&mut self, id: SocketId) -> io::Result<OwnedFd> {
        if self.numbers.len() >= self.weather.descriptors_max as usize {
            return Err(error(Errno::MFILE));
        }
        let descriptor = eventfd(0, EventfdFlags::CLOEXEC)?;
        self.numbers.insert(descriptor.as_raw_fd(), id);
        self.peak.descriptors = self.peak.descriptors.max(self.numbers.len());
        Ok(descriptor)
    }
}

impl Stream {
    fn level(&self, now: Time) -> Readiness {
        if self.phase == Phase::Connecting {
            return Readiness::NONE;
        }
        let gone = self.phase == Phase::Gone;
        let input = !self.inbox.is_empty() || self.fin_received || gone;
        let room = self.send_max.saturating_sub(self.queue.len()) * 3 >= self.send_max;
        Readiness::READABLE.when(input && now >= self.read_held)
            | Readiness::WRITABLE.when((room || gone) && now >= self.write_held)
            | Readiness::HANG_UP.when(self.fin_received || gone)
            | Readiness::ERROR.when(self.error.is_some())
    }
}

/// Where the address of a listener is, in a world of one network.
fn address_of(address: &Address) -> io::Result<SocketAddr> {
    match address {
        Address::Tcp(address) => Ok(*address),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

impl Network for World {
    fn owns(&self, socket: RawFd) -> bool {
        self.numbers.contains_key(&socket)
    }

    fn listen(&mut self, address: &Address, _: &ListenOptions) -> io::Result<OwnedFd> {
        let mut address = address_of(address)?;
        if address.port() == 0 {
            self.ports = self.ports.checked_add(1).unwrap_or(32_768);
            address.set_port(self.ports);
        }
        if self.listener_at(address).is_some() {
            return Err(error(Errno::ADDRINUSE));
        }
        let id = SocketId(self.sockets.len());
        let descriptor = self.descriptor(id)?;
        self.sockets.push(Socket::Listener {
            address,
            backlog: VecDeque::new(),
            edges: false,
            closed: false,
        });
        Ok(descriptor)
    }

    fn accept(&mut self, listener: RawFd) -> io::Result<(OwnedFd, Option<SocketAddr>)> {
        self.interrupted()?;
        let listener = self.id(listener)?;
        if self.random.chance(self.weather.exhausted) {
            let ways = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
            self.note("accept is exhausted", listener, 0);
            return Err(error(*self.random.pick(&ways).unwrap_or(&Errno::MFILE)));
        }
        let Some(Socket::Listener { backlog, .. }) = self.sockets.get_mut(listener.0) else {
            return Err(error(Errno::INVAL));
        };
        let Some(id) = backlog.pop_front() else { return Err(error(Errno::AGAIN)) };
        if self.random.chance(self.weather.aborted) {
            self.note("aborted", id, 0);
            self.reset_peer_of(id);
            self.shut(id);
            return Err(error(Errno::CONNABORTED));
        }
        let descriptor = match self.descriptor(id) {
            Ok(descriptor) => descriptor,
            Err(failed) => {
                // It stays where it is.
                if let Some(Socket::Listener { backlog, .. }) = self.sockets.get_mut(listener.0) {
                    backlog.push_front(id);
                }
                return Err(failed);
            }
        };
        self.note("accepted", id, 0);
        self.edge(id, Readiness::READABLE | Readiness::WRITABLE);
        let peer = self.peek(id).map(|stream| stream.remote);
        Ok((descriptor, peer))
    }

    fn connect(&mut self, address: &Address, _: &ConnectOptions) -> io::Result<OwnedFd> {
        self.calls += 1;
        let address = address_of(address)?;
        if self.random.chance(self.weather.unreachable) {
            let ways = [Errno::NETUNREACH, Errno::MFILE, Errno::ADDRNOTAVAIL];
            return Err(error(*self.random.pick(&ways).unwrap_or(&Errno::NETUNREACH)));
        }
        let id = SocketId(self.sockets.len());
        let descriptor = self.descriptor(id)?;
        self.begin(address);
        Ok(descriptor)
    }

    fn take_error(&mut self, socket: RawFd) -> io::Result<()> {
        let id = self.id(socket)?;
        match self.stream(id).and_then(|stream| stream.error.take()) {
            Some(errno) => Err(error(errno)),
            None => Ok(()),
        }
    }

    fn peer_address(&mut self, socket: RawFd) -> io::Result<Option<SocketAddr>> {
        let id = self.id(socket)?;
        match self.peek(id) {
            Some(Stream { phase: Phase::Open, remote, .. }) => Ok(Some(*remote)),
            _ => Err(error(Errno::NOTCONN)),
        }
    }

    fn own_address(&mut self, socket: RawFd) -> io::Result<SocketAddr> {
        let id = self.id(socket)?;
        Ok(match &self.sockets[id.0] {
            Socket::Listener { address, .. } => *address,
            Socket::Stream(stream) => stream.own,
        })
    }

    fn receive(&mut self, socket: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
        let id = self.id(socket)?;
        self.interrupted()?;
        let now = self.now;
        let Some(stream) = self.peek(id) else { return Err(error(Errno::NOTCONN)) };
        if now < stream.read_held || stream.phase == Phase::Connecting {
            return Err(error(Errno::AGAIN));
        }
        let there = stream.inbox.len().min(buffer.len());
        if there > 0 && self.random.chance(self.weather.would_block) {
            self.hold(id, true);
            return Err(error(Errno::AGAIN));
        }
        let short = there > 1 && self.random.chance(self.weather.short_reads);
        let n = if short { self.random.between(1, there as u64 - 1) as usize } else { there };
        if short {
            self.hold(id, true);
        }
        let Some(stream) = self.stream(id) else { return Err(error(Errno::NOTCONN)) };
        if n == 0 {
            let (failed, ended) = (stream.error.take(), stream.fin_received || stream.phase == Phase::Gone);
            self.note("receive", id, u64::from(ended));
            return match failed {
                Some(errno) => Err(error(errno)),
                None if ended => Ok(0),
                None => Err(error(Errno::AGAIN)),
            };
        }
        for (to, from) in buffer.iter_mut().zip(stream.inbox.drain(..n)) {
            *to = from;
        }
        self.note("receive", id, n as u64);
        self.freed(id, n);
        Ok(n)
    }

    fn send(&mut self, socket: RawFd, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let id = self.id(socket)?;
        self.interrupted()?;
        let now = self.now;
        let Some(stream) = self.stream(id) else { return Err(error(Errno::NOTCONN)) };
        if let Some(errno) = stream.error.take() {
            return Err(error(errno));
        }
        match stream.phase {
            Phase::Connecting => return Err(error(Errno::AGAIN)),
            Phase::Gone => return Err(error(Errno::PIPE)),
            Phase::Open if stream.finished => return Err(error(Errno::PIPE)),
            Phase::Open => {}
        }
        if now < stream.write_held {
            return Err(error(Errno::AGAIN));
        }
        let room = stream.send_max.saturating_sub(stream.queue.len());
        let offered: usize = buffers.iter().map(|buffer| buffer.len()).sum();
        if room == 0 {
            stream.wants_room = true;
            return Err(error(Errno::AGAIN));
        }
        if self.random.chance(self.weather.would_block) {
            self.hold(id, false);
            return Err(error(Errno::AGAIN));
        }
        let mut n = offered.min(room);
        if n > 1 && self.random.chance(self.weather.short_writes) {
            n = self.random.between(1, n as u64 - 1) as usize;
            self.hold(id, false);
        }
        let octets: Vec<u8> = buffers.iter().flat_map(|buffer| buffer.iter().copied()).take(n).collect();
        let Some(stream) = self.stream(id) else { return Err(error(Errno::NOTCONN)) };
        stream.wants_room |= n < offered;
        stream.queue.extend(&octets);
        stream.sent += octets.len() as u64;
        let unsent = stream.queue.len();
        self.peak.unsent = self.peak.unsent.max(unsent);
        self.note("send", id, n as u64);
        self.observe(id, &octets);
        self.go_on(id, 0);
        Ok(n)
    }

    fn finish(&mut self, socket: RawFd) -> io::Result<()> {
        let id = self.id(socket)?;
        let Some(stream) = self.stream(id) else { return Err(error(Errno::NOTCONN)) };
        if stream.phase != Phase::Open {
            return Err(error(Errno::NOTCONN));
        }
        stream.finished = true;
        self.note("finish", id, 0);
        self.go_on(id, 0);
        Ok(())
    }

    fn has_hung_up(&mut self, socket: RawFd) -> bool {
        self.is_gone(socket)
    }

    fn reset_on_close(&mut self, socket: RawFd) -> io::Result<()> {
        let id = self.id(socket)?;
        if let Some(stream) = self.stream(id) {
            stream.resets = true;
        }
        Ok(())
    }

    fn close(&mut self, socket: RawFd) {
        let Some(id) = self.numbers.remove(&socket) else { return };
        self.note("close", id, 0);
        if let Some(Socket::Listener { closed, backlog, .. }) = self.sockets.get_mut(id.0) {
            *closed = true;
            for id in std::mem::take(backlog) {
                self.reset_peer_of(id);
                self.shut(id);
            }
        } else {
            self.shut(id);
        }
    }

    fn random(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.entropy.next().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }

    fn wall_clock(&mut self) -> Duration {
        // The first of January 2030, so that no run depends on when it is run.
        Duration::from_secs(1_893_456_000) + Duration::from_micros(self.now.as_micros())
    }
}
