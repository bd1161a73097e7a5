//! A network in memory: one that loses nothing, delays nothing and cuts nothing.
//!
//! Knows no protocol. Its sockets have descriptors that keep their numbers, and nothing else: see
//! [`Network`]. A network with weather is that of the crate `lws-simulation`.

use lws_loop_external::simulation::Network;
use lws_loop_external::{Address, ConnectOptions, ListenOptions, Readiness};
use lws_proto::Time;
use rustix::io::Errno;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Bytes that lie between the two ends of a connection in each direction, as in the buffers of a kernel.
const PIPE_BYTES: usize = 64 << 10;

/// What the wall clock shows when a network begins: the first of January 2030, so that no test depends on its day.
const BEGINNING: Duration = Duration::from_secs(1_893_456_000);

/// The sockets of one server, and the clock that it lives by.
pub(super) struct Memory {
    pub(super) now: Time,
    listeners: BTreeMap<RawFd, MemoryListener>,
    sockets: BTreeMap<RawFd, PipeId>,
    pipes: Vec<Pipe>,
    next_port: u16,
    random: u64,
}

struct MemoryListener {
    address: SocketAddr,
    backlog: VecDeque<PipeId>,
}

/// Names one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PipeId(usize);

/// A connection: its client end is a test's, its server end a service's.
struct Pipe {
    client: SocketAddr,
    server: SocketAddr,
    to_server: VecDeque<u8>,
    to_client: VecDeque<u8>,
    /// The client has ended its direction.
    client_finished: bool,
    /// The client has gone.
    client_gone: bool,
    server_finished: bool,
    /// The service has closed its socket.
    server_gone: bool,
    /// And has reset the connection by that.
    reset: bool,
}

/// What the client end of a connection can read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    Bytes(Vec<u8>),
    Nothing,
    End,
    Reset,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self {
            now: Time::ZERO,
            listeners: BTreeMap::new(),
            sockets: BTreeMap::new(),
            pipes: Vec::new(),
            next_port: 49_152,
            random: 0x9e37_79b9_7f4a_7c15,
        }
    }

    // The client ends.

    /// Connects `client` to the listener at `server`; `None` if there is none.
    pub(super) fn open(&mut self, client: SocketAddr, server: SocketAddr) -> Option<PipeId> {
        let listener = self.listeners.values_mut().find(|listener| listener.address == server)?;
        let id = PipeId(self.pipes.len());
        listener.backlog.push_back(id);
        self.pipes.push(Pipe {
            client,
            server,
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            client_finished: false,
            client_gone: false,
            server_finished: false,
            server_gone: false,
            reset: false,
        });
        Some(id)
    }

    /// An address that no client has had yet.
    pub(super) fn new_client(&mut self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::new(192, 0, 2, 2), self.port()))
    }

    fn port(&mut self) -> u16 {
        self.next_port = self.next_port.checked_add(1).unwrap_or(49_152);
        self.next_port
    }

    /// Sends what there is room for. Returns how much that was.
    pub(super) fn write(&mut self, id: PipeId, bytes: &[u8]) -> usize {
        let pipe = &mut self.pipes[id.0];
        if pipe.server_gone {
            // As far as the client can tell it is on its way.
            return bytes.len();
        }
        let taken = bytes.len().min(PIPE_BYTES - pipe.to_server.len());
        pipe.to_server.extend(&bytes[..taken]);
        taken
    }

    pub(super) fn read(&mut self, id: PipeId) -> Received {
        let pipe = &mut self.pipes[id.0];
        if !pipe.to_client.is_empty() {
            Received::Bytes(pipe.to_client.drain(..).collect())
        } else if pipe.reset {
            Received::Reset
        } else if pipe.server_finished || pipe.server_gone {
            Received::End
        } else {
            Received::Nothing
        }
    }

    /// The client sends no more.
    pub(super) fn finish_client(&mut self, id: PipeId) {
        self.pipes[id.0].client_finished = true;
    }

    /// The client goes: in order, or with its connection reset.
    pub(super) fn close_client(&mut self, id: PipeId, reset: bool) {
        let pipe = &mut self.pipes[id.0];
        pipe.client_finished = true;
        pipe.client_gone |= reset || !pipe.to_client.is_empty();
        pipe.to_client.clear();
    }

    // What a host reports.

    /// Whether a descriptor is a socket or listener of this network.
    pub(super) fn has(&self, number: RawFd) -> bool {
        self.sockets.contains_key(&number) || self.listeners.contains_key(&number)
    }

    /// What a socket or listener of the service is ready for.
    pub(super) fn readiness(&self, number: RawFd) -> Readiness {
        if let Some(listener) = self.listeners.get(&number) {
            return Readiness::READABLE.when(!listener.backlog.is_empty());
        }
        let Some(pipe) = self.sockets.get(&number).map(|id| &self.pipes[id.0]) else {
            return Readiness::NONE;
        };
        let ended = pipe.client_finished || pipe.client_gone;
        Readiness::READABLE.when(!pipe.to_server.is_empty() || ended)
            | Readiness::WRITABLE.when(pipe.to_client.len() < PIPE_BYTES || pipe.client_gone)
            | Readiness::HANG_UP.when(ended)
    }

    fn pipe(&mut self, socket: RawFd) -> io::Result<&mut Pipe> {
        let id = self.sockets.get(&socket).ok_or(Errno::BADF)?;
        Ok(&mut self.pipes[id.0])
    }
}

/// A descriptor that keeps a number.
fn descriptor() -> io::Result<OwnedFd> {
    File::open("/dev/null").map(OwnedFd::from)
}

impl Network for Memory {
    fn owns(&self, socket: RawFd) -> bool {
        self.has(socket)
    }

    fn listen(&mut self, address: &Address, _: &ListenOptions) -> io::Result<OwnedFd> {
        let mut address = match address {
            Address::Tcp(address) => *address,
            // A path has no address here, and clients of a test need none.
            _ => SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        if address.port() == 0 {
            address.set_port(self.port());
        }
        if self.listeners.values().any(|listener| listener.address == address) {
            return Err(Errno::ADDRINUSE.into());
        }
        let descriptor = descriptor()?;
        let listener = MemoryListener { address, backlog: VecDeque::new() };
        self.listeners.insert(descriptor.as_raw_fd(), listener);
        Ok(descriptor)
    }

    fn accept(&mut self, listener: RawFd) -> io::Result<(OwnedFd, Option<SocketAddr>)> {
        let listener = self.listeners.get_mut(&listener).ok_or(Errno::BADF)?;
        let id = listener.backlog.pop_front().ok_or(Errno::AGAIN)?;
        let descriptor = descriptor()?;
        self.sockets.insert(descriptor.as_raw_fd(), id);
        Ok((descriptor, Some(self.pipes[id.0].client)))
    }

    fn connect(&mut self, _: &Address, _: &ConnectOptions) -> io::Result<OwnedFd> {
        Err(Errno::CONNREFUSED.into())
    }

    fn take_error(&mut self, _: RawFd) -> io::Result<()> {
        Ok(())
    }

    fn peer_address(&mut self, socket: RawFd) -> io::Result<Option<SocketAddr>> {
        let pipe = self.pipe(socket)?;
        if pipe.client_gone { Err(Errno::NOTCONN.into()) } else { Ok(Some(pipe.client)) }
    }

    fn own_address(&mut self, socket: RawFd) -> io::Result<SocketAddr> {
        match self.listeners.get(&socket) {
            Some(listener) => Ok(listener.address),
            None => self.pipe(socket).map(|pipe| pipe.server),
        }
    }

    fn receive(&mut self, socket: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
        let pipe = self.pipe(socket)?;
        if pipe.client_gone {
            return Err(Errno::CONNRESET.into());
        }
        if pipe.to_server.is_empty() {
            return if pipe.client_finished { Ok(0) } else { Err(Errno::AGAIN.into()) };
        }
        let n = pipe.to_server.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(pipe.to_server.drain(..n)) {
            *to = from;
        }
        Ok(n)
    }

    fn send(&mut self, socket: RawFd, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let pipe = self.pipe(socket)?;
        if pipe.client_gone || pipe.server_finished {
            return Err(Errno::PIPE.into());
        }
        let room = PIPE_BYTES - pipe.to_client.len();
        let before = pipe.to_client.len();
        pipe.to_client.extend(buffers.iter().flat_map(|buffer| buffer.iter()).take(room));
        let taken = pipe.to_client.len() - before;
        if taken == 0 && room == 0 { Err(Errno::AGAIN.into()) } else { Ok(taken) }
    }

    fn finish(&mut self, socket: RawFd) -> io::Result<()> {
        self.pipe(socket)?.server_finished = true;
        Ok(())
    }

    fn has_hung_up(&mut self, socket: RawFd) -> bool {
        self.pipe(socket).is_ok_and(|pipe| pipe.client_gone || pipe.client_finished && pipe.server_finished)
    }

    fn reset_on_close(&mut self, socket: RawFd) -> io::Result<()> {
        self.pipe(socket)?.reset = true;
        Ok(())
    }

    fn close(&mut self, socket: RawFd) {
        if let Some(listener) = self.listeners.remove(&socket) {
            for id in listener.backlog {
                self.pipes[id.0].server_gone = true;
            }
        }
        if let Some(id) = self.sockets.remove(&socket) {
            let pipe = &mut self.pipes[id.0];
            pipe.server_gone = true;
            pipe.to_server = VecDeque::new();
        }
    }

    fn random(&mut self, bytes: &mut [u8]) {
        // Xorshift: the same in each run, which is what a test wants.
        for byte in bytes {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            *byte = self.random.to_le_bytes()[3];
        }
    }

    fn wall_clock(&mut self) -> Duration {
        BEGINNING + (self.now - Time::ZERO)
    }
}
