//! The system calls of a service, with the faults of the weather.

use super::socket::{Phase, Socket, Stream};
use super::{Due, SocketId, World};
use crate::work;
use lws_loop_external::simulation::Network;
use lws_loop_external::{Address, ConnectOptions, ListenOptions, Readiness};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

impl World {
    fn begin_call(&mut self) {
        self.calls += 1;
        work::call();
    }

    fn interrupted(&mut self) -> io::Result<()> {
        self.begin_call();
        match self.random.chance(self.weather.interrupts) {
            true => Err(error(Errno::INTR)),
            false => Ok(()),
        }
    }

    /// Makes a socket unready for a moment.
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

    /// Makes a descriptor for a socket of a service.
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

fn error(errno: Errno) -> io::Error {
    io::Error::from_raw_os_error(errno.raw_os_error())
}

/// The socket address of a listener. The world has TCP only.
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
                // The connection stays in the accept queue.
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
        self.begin_call();
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
        // The first of January 2030, so that a run does not depend on the date.
        Duration::from_secs(1_893_456_000) + Duration::from_micros(self.now.as_micros())
    }
}
