//! A connection inside of another one: through a proxy, with TLS of its own if that was requested.
//!
//! The outer connection is an exchange with the proxy that becomes a raw stream, or a raw stream from the beginning. What
//! comes on it is the transport of the inner one. Knows no request and no pool.

use crate::failure::Cause;
use crate::options::Versions;
use crate::pool::{Key, Spoken};
use crate::proxy::{ProxyKind, Socks5};
use lws_loop_external::SystemEntropy;
use lws_loop_external::tls::{Failure as TlsFailure, Reason, Session};
use lws_proto::http::{Request, Scheme};
use lws_proto::{Config, Connection, Established, Event, Payload, RawStream, SLICES_MAX, StreamKey, Time};
use std::sync::Arc;

/// A tunnel that is being made, or exists.
pub(crate) struct Tunnel {
    state: TunnelState,
    /// The stream of the outer connection.
    key: Option<StreamKey>,
    /// Octets for the peer that the outer stream has not taken: what one write makes, at most.
    out: Vec<u8>,
    secure: Option<Box<dyn Session>>,
    versions: Versions,
    /// Whether the end of the inner transport has been delivered.
    ended: bool,
    /// Where the end of our own direction stands.
    ending: Ending,
    /// The outer stream is not read, as the inner connection wants nothing.
    paused: bool,
    /// The rules for the inner connection.
    config: Arc<Config>,
}

/// Where the end of our direction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Open,
    /// What TLS says at the end is among what is to be sent.
    Due,
    Sent,
}

enum TunnelState {
    /// The proxy was asked with CONNECT.
    Connect,
    /// The proxy is asked with SOCKS.
    Socks(Socks5),
    /// The TLS handshake with the server goes on.
    Handshaking,
    /// Requests can be sent.
    Open(Box<Connection>),
}

/// What came of an event of the outer connection.
pub(crate) enum Outcome {
    Nothing,
    /// Requests can be sent.
    Made(Spoken),
    Failed(Cause),
}

/// Plaintext that is opened at a time.
const PLAINTEXT_BYTES: usize = 16 << 10;
/// Octets that wait for the outer stream before no more are made.
const OUT_BYTES_MAX: usize = 64 << 10;

impl Tunnel {
    /// Asks a proxy for a tunnel, on a connection to it.
    pub(crate) fn ask(
        now: Time,
        key: &Key,
        host: &str,
        config: Arc<Config>,
        connection: &mut Connection,
    ) -> Result<Self, Cause> {
        let Some(proxy) = &key.proxy else { return Err(Cause::ProxyStatus(0)) };
        let provider = key.tls.as_ref().map(|tls| tls.provider(host, key.alpn())).transpose();
        let provider =
            provider.map_err(|text| Cause::Connect(std::io::ErrorKind::InvalidInput, text.into()))?;
        let secure = provider.map(|provider| provider.session()).transpose().map_err(Cause::Tls)?;
        let mut tunnel = Self {
            state: TunnelState::Connect,
            key: None,
            out: Vec::new(),
            secure,
            versions: key.versions,
            ended: false,
            ending: Ending::Open,
            paused: false,
            config,
        };
        match proxy.kind {
            ProxyKind::Http => {
                let authority = format!("{}:{}", key.origin.host, key.origin.port);
                let request = Request { method: "CONNECT", target: &authority, host: &authority };
                let fields = proxy.authorization().map(|value| ("proxy-authorization", value));
                let sent = connection
                    .request(now, &request, fields, Payload::Static(b""), true)
                    .map_err(Cause::Request)?;
                tunnel.key = Some(sent.key());
            }
            ProxyKind::Socks5 => {
                let (socks, greeting) =
                    Socks5::new(host, key.origin.port, proxy.credentials.as_ref()).map_err(Cause::Socks)?;
                tunnel.state = TunnelState::Socks(socks);
                tunnel.out = greeting;
            }
        }
        Ok(tunnel)
    }

    /// The stream of the outer connection; before it is known, one that finds nothing.
    pub(crate) fn key(&self) -> Option<StreamKey> {
        self.key
    }

    /// The connection that requests are sent on, once it is there.
    pub(crate) fn inner(&mut self) -> Option<&mut Connection> {
        match &mut self.state {
            TunnelState::Open(connection) => Some(connection),
            TunnelState::Connect | TunnelState::Socks(_) | TunnelState::Handshaking => None,
        }
    }

    /// Takes an event of the outer connection.
    pub(crate) fn event(&mut self, now: Time, event: Event<'_>) -> Outcome {
        self.key = Some(event.key());
        match event {
            Event::Response { stream, head, .. } => {
                let status = head.status().map_or(0, |status| status.code());
                if (100..200).contains(&status) {
                    return Outcome::Nothing;
                }
                // RFC 9110 §9.3.6: what is no 2xx is no tunnel. RFC 9931 has the connection end.
                stream.abort();
                Outcome::Failed(Cause::ProxyStatus(status))
            }
            Event::Established { stream: Established::Raw(stream), .. } => {
                let outcome = match self.state {
                    TunnelState::Connect => self.made(now),
                    _ => Outcome::Nothing,
                };
                self.flush(now, stream);
                outcome
            }
            Event::Raw { stream, chunk, end } => {
                let outcome = self.receive(now, chunk, end);
                self.flush(now, stream);
                outcome
            }
            Event::Writable(permit) => {
                if let Ok(permit) = permit.into_raw() {
                    self.flush(now, permit.into_stream());
                }
                Outcome::Nothing
            }
            Event::Timeout { stream } => {
                if let TunnelState::Open(inner) = &mut self.state {
                    inner.handle_timeout(now);
                }
                if let Ok(stream) = stream.into_raw() {
                    self.flush(now, stream);
                }
                Outcome::Nothing
            }
            Event::Closed { cause, .. } => match &mut self.state {
                TunnelState::Open(inner) => {
                    inner.transport_failed(now);
                    Outcome::Nothing
                }
                _ => Outcome::Failed(Cause::Stream(cause)),
            },
            _ => Outcome::Nothing,
        }
    }

    /// The proxy has made the tunnel.
    fn made(&mut self, now: Time) -> Outcome {
        let Some(session) = &mut self.secure else {
            let http2 = self.versions == Versions::Http2;
            return self.open(now, http2, Scheme::Http);
        };
        self.state = TunnelState::Handshaking;
        // A client's first call begins the handshake.
        match session.open(&mut [], &mut [], &mut self.out) {
            Ok(_) => Outcome::Nothing,
            Err(failure) => Outcome::Failed(Cause::Tls(failure)),
        }
    }

    fn open(&mut self, now: Time, http2: bool, scheme: Scheme) -> Outcome {
        let entropy = match SystemEntropy::new() {
            Ok(entropy) => Box::new(entropy),
            Err(error) => return Outcome::Failed(Cause::Connect(error.kind(), error.to_string().into())),
        };
        let config = Arc::clone(&self.config);
        let connection = if http2 {
            Connection::client_http2(now, config, entropy, scheme)
        } else {
            Connection::client(now, config, entropy)
        };
        self.state = TunnelState::Open(Box::new(connection));
        Outcome::Made(if http2 { Spoken::Http2 } else { Spoken::Http1 })
    }

    /// Takes octets of the outer stream.
    fn receive(&mut self, now: Time, mut chunk: &mut [u8], end: bool) -> Outcome {
        let mut outcome = Outcome::Nothing;
        if let TunnelState::Socks(socks) = &mut self.state {
            match socks.receive(chunk) {
                Err(error) => return Outcome::Failed(Cause::Socks(error)),
                Ok(progress) => {
                    self.out.extend_from_slice(&progress.send);
                    chunk = &mut chunk[progress.taken..];
                    if progress.done {
                        outcome = self.made(now);
                    }
                }
            }
        }
        if !chunk.is_empty() && !matches!(outcome, Outcome::Failed(_)) {
            let next = self.receive_inner(now, chunk);
            outcome = if matches!(next, Outcome::Nothing) { outcome } else { next };
        }
        if end {
            self.receive_end(now, &mut outcome);
        }
        outcome
    }

    /// Takes octets of the inner transport.
    fn receive_inner(&mut self, now: Time, mut chunk: &mut [u8]) -> Outcome {
        if self.secure.is_none() {
            if let TunnelState::Open(inner) = &mut self.state {
                keep(inner, now, chunk);
            }
            return Outcome::Nothing;
        }
        let mut plaintext = vec![0; PLAINTEXT_BYTES];
        let mut outcome = Outcome::Nothing;
        loop {
            let Some(session) = &mut self.secure else { return outcome };
            let opened = match session.open(chunk, &mut plaintext, &mut self.out) {
                Ok(opened) => opened,
                Err(failure) => {
                    let next = self.tls_failed(now, failure);
                    // A connection that was made in the same breath tells its end itself.
                    return if matches!(outcome, Outcome::Nothing) { next } else { outcome };
                }
            };
            chunk = &mut chunk[opened.taken..];
            if matches!(self.state, TunnelState::Handshaking) && !session.is_handshaking() {
                let http2 = session.info().alpn.as_deref() == Some(b"h2");
                if self.versions == Versions::Http2 && !http2 {
                    return Outcome::Failed(Cause::Tls(TlsFailure::silent(Reason::NoProtocol)));
                }
                outcome = self.open(now, http2, Scheme::Https);
            }
            if let TunnelState::Open(inner) = &mut self.state {
                keep(inner, now, &plaintext[..opened.filled]);
                if opened.closed && !self.ended {
                    self.ended = true;
                    inner.received_eof(now);
                }
            }
            if chunk.is_empty() && !opened.more || opened.taken == 0 && opened.filled == 0 {
                return outcome;
            }
        }
    }

    fn tls_failed(&mut self, now: Time, failure: TlsFailure) -> Outcome {
        match &mut self.state {
            TunnelState::Open(inner) => {
                inner.transport_failed(now);
                Outcome::Nothing
            }
            _ => Outcome::Failed(Cause::Tls(failure)),
        }
    }

    fn receive_end(&mut self, now: Time, outcome: &mut Outcome) {
        match &mut self.state {
            TunnelState::Open(_) if self.ended => {}
            // RFC 8446 §6.1: without close_notify somebody on the way may have cut it.
            TunnelState::Open(inner) if self.secure.is_some() => inner.received_truncation(now),
            TunnelState::Open(inner) => inner.received_eof(now),
            _ => *outcome = Outcome::Failed(Cause::Stream(lws_proto::Cause::Disconnected)),
        }
        self.ended = true;
    }

    /// Tells what the inner connection has to say.
    pub(crate) fn pump(&mut self, mut tell: impl FnMut(Event<'_>)) {
        if let TunnelState::Open(inner) = &mut self.state {
            while let Some(event) = inner.next_event() {
                tell(event);
            }
        }
    }

    /// Whether octets, or the end of this direction, have to be passed to the outer stream.
    pub(crate) fn has_output(&self) -> bool {
        let TunnelState::Open(inner) = &self.state else { return !self.out.is_empty() };
        let interest = inner.interest();
        let ends = interest.shutdown && self.ending != Ending::Sent;
        // The outer stream may have been paused while the inner connection still had input to deliver. It has delivered that by now.
        !self.out.is_empty() || interest.write || ends || interest.read == self.paused
    }

    /// Moves what is to be sent to the outer stream, and sets its timeout to that of the inner connection.
    pub(crate) fn flush(&mut self, now: Time, mut stream: RawStream<'_>) {
        while self.ending != Ending::Sent {
            self.seal(now);
            self.end_when_due();
            let end = self.ending == Ending::Due;
            if self.out.is_empty() && !end {
                break;
            }
            match stream.permit() {
                Ok(permit) => {
                    let key = permit.key();
                    let out = std::mem::take(&mut self.out);
                    self.ending = if end { Ending::Sent } else { Ending::Open };
                    match permit.data(Payload::Own(out.into()), end) {
                        Ok(sent) => stream = sent.into_stream(),
                        Err(_) => return debug_assert!(false, "a raw stream takes what it permits: {key:?}"),
                    }
                }
                Err(mut refused) => {
                    refused.want_write();
                    stream = refused;
                    break;
                }
            }
        }
        let TunnelState::Open(inner) = &mut self.state else { return };
        let interest = inner.interest();
        stream.set_timeout(interest.deadline);
        if interest.close {
            stream.abort();
            return;
        }
        self.paused = !interest.read;
        if self.paused == stream.is_paused() {
            return;
        }
        if self.paused {
            stream.pause();
        } else {
            stream.resume();
        }
    }

    /// Says the last when the inner connection has nothing more to say. RFC 8446 §6.1.
    fn end_when_due(&mut self) {
        let TunnelState::Open(inner) = &self.state else { return };
        let interest = inner.interest();
        if self.ending == Ending::Open && interest.shutdown && !interest.write {
            self.ending = Ending::Due;
            if let Some(session) = &mut self.secure {
                session.close(&mut self.out);
            }
        }
    }

    /// Makes octets of what the inner connection has to send.
    fn seal(&mut self, now: Time) {
        let TunnelState::Open(inner) = &mut self.state else { return };
        while self.out.len() < OUT_BYTES_MAX {
            let Some(transmit) = inner.transmit(now) else { return };
            let mut slices: [&[u8]; SLICES_MAX] = [&[]; SLICES_MAX];
            let count = transmit.slices(&mut slices);
            let taken = match &mut self.secure {
                Some(session) => session.seal(now, &slices[..count], &mut self.out),
                None => {
                    slices[..count].iter().for_each(|slice| self.out.extend_from_slice(slice));
                    slices[..count].iter().map(|slice| slice.len()).sum()
                }
            };
            if taken == 0 {
                return;
            }
            inner.transmitted(now, taken);
        }
    }
}

/// Gives octets to the inner connection, which tells them later.
fn keep(inner: &mut Connection, now: Time, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let room = inner.recv_buf();
        let n = room.len().min(bytes.len());
        if n == 0 {
            return;
        }
        room[..n].copy_from_slice(&bytes[..n]);
        inner.received(now, n);
        bytes = &bytes[n..];
    }
}
