//! Streams over descriptors that a handler brings: a socket of elsewhere, a terminal, the pipes of a process.
//!
//! Each is a raw stream with a [`raw::Handler`].

use crate::Context;
use crate::id::LinkId;
use crate::link::Link;
use crate::link::stream::{StreamPhase, StreamState};
use crate::link::streams::{Ingress, Streams};
use crate::raw;
use lws_proto::Connection;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

impl Context<'_> {
    /// Takes over a descriptor that carries a stream: a connected socket, a FIFO, a terminal, a serial line. It is closed at the
    /// end of the stream.
    ///
    /// # Errors
    /// It cannot be made non-blocking, there are too many connections, the server is ending, or it is a regular file.
    #[doc(alias = "lws_adopt_socket")]
    pub fn adopt(&mut self, descriptor: OwnedFd, handler: impl raw::Handler) -> io::Result<LinkId> {
        let (engine, link) = self.raw_stream(Box::new(handler));
        let connection = self.driver.adopt(descriptor, engine, link)?;
        Ok(self.link_id(connection))
    }

    /// Takes over a descriptor to read and another one to write as one stream. Each of them counts as a connection.
    ///
    /// # Errors
    /// As for [`adopt`](Self::adopt); or the system has no descriptor left for a duplicate of `output`.
    #[doc(alias = "LWS_ADOPT_RAW_FILE_DESC")]
    pub fn adopt_pair(
        &mut self,
        input: OwnedFd,
        output: OwnedFd,
        handler: impl raw::Handler,
    ) -> io::Result<LinkId> {
        let (engine, link) = self.raw_stream(Box::new(handler));
        let connection = self.driver.adopt_pair(input, output, engine, link)?;
        Ok(self.link_id(connection))
    }

    /// Starts a process, whose standard output is what the handler reads and whose standard input is what it writes. The
    /// process is the caller's to wait for: its end is the end of its output.
    ///
    /// # Errors
    /// The process cannot be started; otherwise as for [`adopt_pair`](Self::adopt_pair), and the process has been killed then.
    #[doc(alias = "lws_spawn_piped")]
    pub fn spawn(
        &mut self,
        command: &mut Command,
        handler: impl raw::Handler,
    ) -> io::Result<(LinkId, Child)> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let adopted = match (child.stdout.take(), child.stdin.take()) {
            (Some(output), Some(input)) => self.adopt_pair(output.into(), input.into(), handler),
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        };
        match adopted {
            Ok(link) => Ok((link, child)),
            Err(error) => {
                // Without its pipes the process would stay for ever; without the wait it would stay as a zombie.
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// A raw stream on its way into the driver's table.
    fn raw_stream(&self, handler: Box<dyn raw::Handler>) -> (Connection, Link) {
        let engine = Connection::client_raw(self.driver.now(), self.state.outgoing.clone());
        let state = StreamState { key: None, phase: StreamPhase::Raw(handler) };
        (engine, Link::Child(Box::new(Streams::beginning_with(Ingress::NONE, state))))
    }
}
