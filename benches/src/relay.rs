//! A bare relay: what the machine allows when a proxy does nothing but move bytes.
//!
//! One epoll, and for each wake-up one splice(2) from the socket into a pipe that all connections share and one out of it. It knows no
//! protocol, and trusts its peers as the bare servers do.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};

use crate::Result;
use crate::client::MAX_EVENTS;

const LISTENER: u64 = u64::MAX;
/// What the kernel gives a pipe.
const PIPE_BYTES: usize = 64 * 1024;

/// A relay on 127.0.0.1.
pub struct Relay {
    epoll: OwnedFd,
    listener: TcpListener,
    to: u16,
    /// By descriptor number: each socket, and the number of the one that its bytes go to.
    sockets: Vec<Option<(TcpStream, usize)>>,
    pipe: (OwnedFd, OwnedFd),
}

impl Relay {
    /// Listens on `port`, and opens a connection to `to` for each that comes.
    ///
    /// # Errors
    /// When the port is taken or the kernel refuses an epoll or a pipe.
    pub fn bind(port: u16, to: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        Ok(Self { epoll, listener, to, sockets: Vec::new(), pipe: pipe_with(PipeFlags::CLOEXEC)? })
    }

    /// Relays until the process is ended.
    ///
    /// # Errors
    /// When the kernel refuses to wait, to accept or to connect.
    pub fn run(mut self) -> Result<()> {
        let mut events = Vec::with_capacity(MAX_EVENTS);
        loop {
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    slot => self.serve(slot as usize),
                }
            }
        }
    }

    fn accept(&mut self) -> Result<()> {
        loop {
            let client = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let server = TcpStream::connect((Ipv4Addr::LOCALHOST, self.to))?;
            let slots = [&client, &server].map(|socket| socket.as_raw_fd() as usize);
            for (socket, to) in [(client, slots[1]), (server, slots[0])] {
                socket.set_nonblocking(true)?;
                socket.set_nodelay(true)?;
                let slot = socket.as_raw_fd() as usize;
                epoll::add(&self.epoll, &socket, EventData::new_u64(slot as u64), EventFlags::IN)?;
                if self.sockets.len() <= slot {
                    self.sockets.resize_with(slot + 1, || None);
                }
                self.sockets[slot] = Some((socket, to));
            }
        }
    }

    /// Moves what a socket has received. Either end closes both.
    fn serve(&mut self, slot: usize) {
        let Some(Some((from, other))) = self.sockets.get(slot) else { return };
        let other = *other;
        let Some(Some((to, _))) = self.sockets.get(other) else { return };
        if self.carry(from, to).is_err() {
            self.sockets[slot] = None;
            self.sockets[other] = None;
        }
    }

    fn carry(&self, from: &TcpStream, to: &TcpStream) -> io::Result<()> {
        let (out, into) = &self.pipe;
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        let mut left = match splice(from, None, into, None, PIPE_BYTES, flags) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(moved) => moved,
            Err(Errno::AGAIN) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        while left > 0 {
            match splice(out, None, to, None, left, flags) {
                Ok(moved) => left -= moved,
                // The pipe has to be empty for the next socket.
                Err(Errno::AGAIN) => drop(poll(&mut [PollFd::new(to, PollFlags::OUT)], None)?),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
