//! A session of the seam on a rustls connection.
//!
//! It uses the buffered interface of rustls 0.23: the unbuffered one will be removed, and the seam is shaped like its
//! planned successor. Buffers of rustls are drained in the call that filled them, so that only an incomplete record
//! stays inside.

use crate::der;
use crate::failure;
use crate::hosts::HostTable;
use crate::records::{Pieces, Records};
use lws_loop_external::tls::{Failure, Info, Opened, Reason, Session};
use lws_proto::Time;
use rustls::server::Acceptor;
use rustls::{ClientConnection, Connection, HandshakeKind, ServerConnection};
use std::io::{Read, Write};
use std::sync::Arc;

/// The most plaintext bytes that one call of `seal` takes. Bytes that are sealed and cannot be sent are held twice,
/// by the engine and as a record.
const SEALED_BYTES_MAX: usize = 64 << 10;

/// One side of a TLS connection.
pub(crate) struct RustlsSession {
    state: State,
    records: Records,
    /// The name that the client asked for.
    name: Option<Box<str>>,
    /// Whether it is the handshake of an authority that validates the name: nothing follows on it.
    validates: bool,
}

enum State {
    /// A server that has not received the whole ClientHello, which selects the configuration.
    Accepting(Acceptor, Arc<HostTable>),
    Running(Connection),
    Over,
}

impl RustlsSession {
    pub(crate) fn server(table: Arc<HostTable>) -> Self {
        let state = State::Accepting(Acceptor::default(), table);
        Self { state, records: Records::default(), name: None, validates: false }
    }

    pub(crate) fn client(connection: ClientConnection, name: Option<Box<str>>) -> Self {
        let state = State::Running(connection.into());
        Self { state, records: Records::default(), name, validates: false }
    }

    /// Reads the ClientHello. Returns true when the connection is made.
    fn accept(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<bool, Failure> {
        while let State::Accepting(acceptor, table) = &mut self.state {
            let accepted = match acceptor.accept() {
                Ok(Some(accepted)) => accepted,
                Ok(None) if input.is_empty() => return Ok(false),
                Ok(None) => {
                    // This always makes progress: an acceptor whose buffer is full has a message, or fails.
                    acceptor.read_tls(input).map_err(|error| violation(&error))?;
                    continue;
                }
                Err((error, alert)) => return Err(self.refuse(&error, alert, out)),
            };
            let hello = accepted.client_hello();
            self.name = hello.server_name().map(Into::into);
            let validation = table.validations.config(&hello);
            self.validates = validation.is_some();
            let Some(config) = validation.or_else(|| table.config(self.name.as_deref())) else {
                out.extend_from_slice(&failure::UNRECOGNIZED_NAME);
                self.state = State::Over;
                return Err(failure::unknown_name(self.name.as_deref()));
            };
            let connection: ServerConnection = match accepted.into_connection(config) {
                Ok(connection) => connection,
                Err((error, alert)) => return Err(self.refuse(&error, alert, out)),
            };
            self.state = State::Running(connection.into());
        }
        Ok(matches!(self.state, State::Running(_)))
    }

    fn refuse(
        &mut self,
        error: &rustls::Error,
        mut alert: rustls::server::AcceptedAlert,
        out: &mut Vec<u8>,
    ) -> Failure {
        // Writing to a vector cannot fail.
        let _ = alert.write_all(out);
        self.state = State::Over;
        failure::failure(error)
    }
}

fn violation(error: &std::io::Error) -> Failure {
    Failure::silent(Reason::Violation(error.to_string().into()))
}

/// Moves the records that rustls has queued to `out`.
fn drain(connection: &mut Connection, out: &mut Vec<u8>) {
    while connection.wants_write() {
        // Writing to a vector cannot fail.
        let _ = connection.write_tls(out);
    }
}

impl Session for RustlsSession {
    fn open(
        &mut self,
        ciphertext: &mut [u8],
        plaintext: &mut [u8],
        out: &mut Vec<u8>,
    ) -> Result<Opened, Failure> {
        let len = ciphertext.len();
        let mut input = &*ciphertext;
        let mut opened = Opened::default();
        if self.accept(&mut input, out)?
            && let State::Running(connection) = &mut self.state
        {
            let result = run(connection, &mut input, plaintext, &mut opened);
            drain(connection, out);
            if let Err(failure) = result {
                self.state = State::Over;
                return Err(failure);
            }
            if self.validates && !connection.is_handshaking() {
                // RFC 8737 §3: "the client MUST NOT exchange any further data with the server". What comes all the same is dropped.
                opened = Opened { closed: true, ..Opened::default() };
                input = &[];
            }
        }
        opened.taken = len - input.len();
        Ok(opened)
    }

    fn seal(&mut self, now: Time, plaintext: &[&[u8]], out: &mut Vec<u8>) -> usize {
        let State::Running(connection) = &mut self.state else { return 0 };
        let all: usize = plaintext.iter().map(|piece| piece.len()).sum();
        let mut left = all.min(SEALED_BYTES_MAX);
        let mut pieces = Pieces::new(plaintext);
        let mut sealed = 0;
        self.records.begin(now);
        while left > 0 {
            let len = self.records.next(left);
            let taken = pieces.take(len, |slices| connection.writer().write_vectored(slices));
            drain(connection, out);
            match taken {
                Ok(taken) if taken == len => {}
                // The session has ended, and takes no further input.
                _ => break,
            }
            left -= len;
            sealed += len;
        }
        sealed
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if let State::Running(connection) = &mut self.state {
            connection.send_close_notify();
            drain(connection, out);
        }
    }

    fn is_handshaking(&self) -> bool {
        match &self.state {
            State::Accepting(..) => true,
            State::Running(connection) => connection.is_handshaking(),
            State::Over => false,
        }
    }

    fn info(&self) -> Info {
        let mut info = Info::default();
        let State::Running(connection) = &self.state else { return info };
        (info.version, info.cipher_suite, info.group) = failure::agreed(connection);
        info.server_name = self.name.clone();
        info.alpn = connection.alpn_protocol().map(Into::into);
        info.resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
        let certificate = connection.peer_certificates().and_then(<[_]>::first);
        info.subject = certificate.and_then(|certificate| der::subject(certificate));
        info.certificate = certificate.map(|certificate| certificate.as_ref().into());
        info
    }
}

/// Opens records until the input is used up or the plaintext has no more room.
fn run(
    connection: &mut Connection,
    input: &mut &[u8],
    plaintext: &mut [u8],
    opened: &mut Opened,
) -> Result<(), Failure> {
    loop {
        let state = connection.process_new_packets().map_err(|error| failure::failure(&error))?;
        let inside = state.plaintext_bytes_to_read();
        if inside > 0 {
            let room = &mut plaintext[opened.filled..];
            // Reading plaintext that rustls has in memory cannot fail.
            let n = connection.reader().read(room).unwrap_or(0);
            opened.filled += n;
            if n < inside {
                opened.more = true;
                return Ok(());
            }
        }
        if state.peer_has_closed() {
            // RFC 8446 §6.1: "Any data received after a closure alert has been received MUST be ignored."
            opened.closed = true;
            *input = &[];
        }
        if input.is_empty() {
            return Ok(());
        }
        connection.read_tls(input).map_err(|error| violation(&error))?;
    }
}
