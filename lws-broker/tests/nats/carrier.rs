//! A socket that never waits, with TLS from some moment on.

use lws_broker::{Endpoint, Security};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

pub(crate) struct Carrier {
    socket: TcpStream,
    host: String,
    tls: Option<ClientConnection>,
}

impl Carrier {
    pub(crate) fn connect(endpoint: &Endpoint) -> io::Result<Self> {
        let Endpoint::Tcp { host, port, tls } = endpoint else { panic!("{endpoint:?}") };
        assert_ne!(*tls, Security::Tls, "NATS begins in clear");
        let socket = TcpStream::connect((host.as_str(), *port))?;
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, host: host.clone(), tls: None })
    }

    pub(crate) fn start_tls(&mut self, config: Arc<ClientConfig>) {
        let name = ServerName::try_from(self.host.clone()).expect("a name");
        self.tls = Some(ClientConnection::new(config, name).expect("a configuration"));
    }

    /// Sends what the transport takes of `octets`. Nothing if it takes nothing now.
    pub(crate) fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return if octets.is_empty() {
                Ok(0)
            } else {
                Ok(unless_blocked(self.socket.write(octets))?.unwrap_or(0))
            };
        };
        let mut count = 0;
        if !tls.is_handshaking() {
            // What rustls keeps is bounded by its own limit.
            count = tls.writer().write(octets)?;
        }
        while tls.wants_write() && unless_blocked(tls.write_tls(&mut self.socket))?.is_some() {}
        Ok(count)
    }

    /// What has come. `Some(0)` is the end.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let Some(tls) = &mut self.tls else { return unless_blocked(self.socket.read(buffer)) };
        match unless_blocked(tls.reader().read(buffer))? {
            None if tls.wants_read() => {
                if unless_blocked(tls.read_tls(&mut self.socket))? == Some(0) {
                    return Ok(Some(0));
                }
                tls.process_new_packets().map_err(io::Error::other)?;
                unless_blocked(tls.reader().read(buffer))
            }
            other => Ok(other),
        }
    }
}

fn unless_blocked(outcome: io::Result<usize>) -> io::Result<Option<usize>> {
    match outcome {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        other => other.map(Some),
    }
}
