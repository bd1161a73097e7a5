//! A blocking TCP stream for the programs that talk to other people's servers. Knows a connection, not what it speaks.

use lws_proto::{Connection, Entropy, Time};
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// Whatever a program ends with.
pub type Failure = Box<dyn std::error::Error>;

/// How long the peer may keep silent before it is given up.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// How long a write waits before it is time to read.
const MOMENT: Duration = Duration::from_millis(1);

/// Random bytes of the operating system.
#[derive(Debug)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        // Without random bytes there is no WebSocket: a mask that can be guessed is against RFC 6455 §5.3.
        getrandom::fill(bytes).expect("the operating system has no random bytes");
    }
}

/// A blocking TCP stream and a clock.
#[derive(Debug)]
pub struct Transport {
    stream: TcpStream,
    begin: Instant,
    fin_sent: bool,
}

impl Transport {
    /// Connects to a host and port.
    ///
    /// # Errors
    /// There is no listener.
    pub fn open(address: &str) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).map_err(|error| format!("{address}: {error}"))?;
        stream.set_nodelay(true)?;
        // Two that only write would wait for each other for ever: a write that does not end soon lets a read pass.
        stream.set_write_timeout(Some(MOMENT))?;
        Ok(Self { stream, begin: Instant::now(), fin_sent: false })
    }

    /// The time since it was opened.
    #[must_use]
    pub fn time(&self) -> Time {
        Time::ZERO + self.begin.elapsed()
    }

    /// Writes what the stream takes, and the end behind it if there is to be one.
    pub fn write(&mut self, connection: &mut Connection) {
        while let Some(transmit) = connection.transmit(self.time()) {
            match self.stream.write(transmit.first()) {
                Ok(written) if written > 0 => transmit.commit(written),
                Err(error) if is_passing(&error) => return,
                _ => connection.transport_failed(self.time()),
            }
        }
        if connection.interest().shutdown && !self.fin_sent {
            self.fin_sent = true;
            // If the peer is gone already, the next read says so.
            let _ = self.stream.shutdown(Shutdown::Write);
        }
    }

    /// Waits for bytes of the peer, up to the next deadline; only a moment if there is something to write, too.
    ///
    /// # Errors
    /// The socket takes no timeout.
    pub fn read<'b>(
        &mut self,
        connection: &mut Connection,
        buffer: &'b mut [u8],
    ) -> io::Result<&'b mut [u8]> {
        let deadline = connection.next_timeout().map_or(SILENCE_MAX, |due| due - self.time());
        let until = if connection.interest().write { MOMENT } else { deadline };
        self.stream.set_read_timeout(Some(until.clamp(MOMENT, SILENCE_MAX)))?;
        let outcome = self.stream.read(buffer);
        let now = self.time();
        match outcome {
            Ok(0) => connection.received_eof(now),
            Ok(len) => return Ok(&mut buffer[..len]),
            Err(error) if is_passing(&error) => connection.handle_timeout(now),
            Err(_) => connection.transport_failed(now),
        }
        Ok(&mut [])
    }
}

/// Whether it may be tried again: the time was over, or a signal came.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
