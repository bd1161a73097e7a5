//! A bare relay: what the machine allows when a proxy does nothing but move bytes.
//!
//! One epoll, and for each wake-up one splice(2) from the socket into a pipe that all connections share and one out of it. It knows no
//! protocol, and trusts its peers as the bare servers do.

use std::io;
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};

use crate::Result;
use crate::epoll_server::EpollServer;

/// What the kernel gives a pipe.
const PIPE_BYTES: usize = 64 * 1024;

/// A relay on 127.0.0.1.
pub struct Relay {
    /// Each socket, and the number of the one that its bytes go to.
    server: EpollServer<(TcpStream, usize)>,
    to: u16,
    pipe: Pipe,
}

/// What bytes pass through: what comes out, and what goes in.
struct Pipe(OwnedFd, OwnedFd);

impl Relay {
    /// Listens on `port`, and opens a connection to `to` for each that comes.
    ///
    /// # Errors
    /// When the port is taken or the kernel refuses an epoll or a pipe.
    pub fn bind(port: u16, to: u16) -> Result<Self> {
        let (out, into) = pipe_with(PipeFlags::CLOEXEC)?;
        Ok(Self { server: EpollServer::bind(port)?, to, pipe: Pipe(out, into) })
    }

    /// Relays until the process is ended.
    ///
    /// # Errors
    /// When the kernel refuses to wait, to accept or to connect.
    pub fn run(self) -> Result<()> {
        let Self { server, to, pipe } = self;
        server.run(
            |server, client| {
                let upstream = TcpStream::connect((Ipv4Addr::LOCALHOST, to))?;
                let numbers = [&client, &upstream].map(|socket| socket.as_raw_fd() as usize);
                server.add(client, |client| (client, numbers[1]))?;
                server.add(upstream, |upstream| (upstream, numbers[0]))
            },
            |server, number| {
                let Some((from, other)) = server.get(number) else { return };
                let other = *other;
                let Some((to, _)) = server.get(other) else { return };
                // Either end closes both.
                if pipe.carry(from, to).is_err() {
                    server.close(number);
                    server.close(other);
                }
            },
        )
    }
}

impl Pipe {
    /// Moves what a socket has received.
    fn carry(&self, from: &TcpStream, to: &TcpStream) -> io::Result<()> {
        let Self(out, into) = self;
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
