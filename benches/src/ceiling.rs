//! Bare servers: what the machine allows when a server does nothing but move bytes.
//!
//! One epoll, one read and one write per wake-up, no protocol. A server under test is measured beside
//! one of them, and its share of that ceiling is the figure that repeats. They trust their peers and hold
//! no limits: they are rulers, not servers.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;

use rustix::event::epoll::EventFlags;

use crate::Result;
use crate::epoll_server::{EpollServer, watch};

/// What comes back for what was read.
#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
pub enum Kind {
    /// The same bytes.
    Raw,
    /// One fixed response for each empty line, that is for each request without a body.
    Http,
}

/// The content that the servers under test answer to `GET /hello` with.
pub const HELLO: &[u8] = b"Hello, world!";
/// Responses that leave in one write, if that is not more than a read.
const RESPONSES_MAX: usize = 64;
/// As much as the measured peers read at once. Larger reads leave the second-level cache.
const READ_BYTES: usize = 256 * 1024;

/// A bare server on 127.0.0.1.
pub struct Ceiling {
    kind: Kind,
    server: EpollServer<Connection>,
    responses: Responses,
}

/// Equal responses in a row.
struct Responses {
    bytes: Vec<u8>,
    /// The length of one.
    each: usize,
}

impl Responses {
    fn new(content: &[u8]) -> Self {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
            content.len()
        );
        let response = [head.as_bytes(), content].concat();
        let count = (READ_BYTES / response.len()).clamp(1, RESPONSES_MAX);
        Self { bytes: response.repeat(count), each: response.len() }
    }

    /// So many of them, or as many as there are.
    fn first(&self, count: usize) -> &[u8] {
        &self.bytes[..self.bytes.len().min(count * self.each)]
    }
}

struct Connection {
    socket: TcpStream,
    /// What the socket did not take. Nothing more is read until it has.
    unsent: Vec<u8>,
    empty_line: EmptyLine,
}

impl Ceiling {
    /// Listens on `port`; 0 leaves the choice to the kernel. Responses of HTTP have `content`.
    ///
    /// # Errors
    /// When the port is taken or the kernel refuses an epoll.
    pub fn bind(kind: Kind, port: u16, content: &[u8]) -> Result<Self> {
        Ok(Self { kind, server: EpollServer::bind(port)?, responses: Responses::new(content) })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn port(&self) -> Result<u16> {
        self.server.port()
    }

    /// Serves until the process is ended.
    ///
    /// # Errors
    /// When the kernel refuses to wait or to accept.
    pub fn run(self) -> Result<()> {
        let Self { kind, server, responses } = self;
        let mut buffer = vec![0; READ_BYTES];
        server.run(
            |server, socket| {
                let empty_line = EmptyLine::default();
                server.add(socket, |socket| Connection { socket, unsent: Vec::new(), empty_line })
            },
            |server, number| {
                let Some((connection, epoll)) = server.get_mut(number) else { return };
                // One read and its answer, or the rest of an earlier answer.
                let served = if connection.unsent.is_empty() {
                    connection.answer(kind, &mut buffer, &responses, epoll)
                } else {
                    connection.flush(epoll)
                };
                if served.is_err() {
                    server.close(number);
                }
            },
        )
    }
}

impl Connection {
    fn answer(
        &mut self,
        kind: Kind,
        buffer: &mut [u8],
        responses: &Responses,
        epoll: &OwnedFd,
    ) -> io::Result<()> {
        let received = match self.socket.read(buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(received) => &buffer[..received],
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        match kind {
            Kind::Raw => self.send(received, epoll),
            Kind::Http => {
                let mut requests = self.empty_line.count(received);
                while requests > 0 {
                    let batch = responses.first(requests);
                    self.send(batch, epoll)?;
                    requests -= batch.len() / responses.each;
                }
                Ok(())
            }
        }
    }

    fn send(&mut self, bytes: &[u8], epoll: &OwnedFd) -> io::Result<()> {
        if !self.unsent.is_empty() {
            self.unsent.extend_from_slice(bytes);
            return Ok(());
        }
        let sent = sent(self.socket.write(bytes))?;
        if sent < bytes.len() {
            self.unsent.extend_from_slice(&bytes[sent..]);
            watch(epoll, &self.socket, EventFlags::OUT)?;
        }
        Ok(())
    }

    fn flush(&mut self, epoll: &OwnedFd) -> io::Result<()> {
        let sent = sent(self.socket.write(&self.unsent))?;
        self.unsent.drain(..sent);
        if self.unsent.is_empty() {
            self.unsent = Vec::new();
            watch(epoll, &self.socket, EventFlags::IN)?;
        }
        Ok(())
    }
}

/// A full socket has taken nothing.
fn sent(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}

/// Finds the empty line that ends each request, also where reads cut it. Holds what has come of the current line.
#[derive(Clone, Copy, Default)]
enum EmptyLine {
    #[default]
    Nothing,
    CarriageReturn,
    Text,
}

impl EmptyLine {
    fn count(&mut self, bytes: &[u8]) -> usize {
        let mut found = 0;
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            *self = match (*self, line) {
                (Self::Nothing, b"\r\n") | (Self::CarriageReturn, b"\n") => {
                    found += 1;
                    Self::Nothing
                }
                (_, [.., b'\n']) => Self::Nothing,
                (Self::Nothing, b"\r") => Self::CarriageReturn,
                _ => Self::Text,
            };
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_lines_are_found_however_the_bytes_are_cut() {
        let requests = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n\r\r\n\r\nrest\r\n";
        for first in 0..requests.len() {
            for second in first..requests.len() {
                let mut line = EmptyLine::default();
                let parts = [&requests[..first], &requests[first..second], &requests[second..]];
                let found: usize = parts.iter().map(|part| line.count(part)).sum();
                assert_eq!(found, 2, "cut at {first} and {second}");
            }
        }
    }
}
