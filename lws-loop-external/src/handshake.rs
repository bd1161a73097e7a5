//! The TLS handshake of one connection, before it has an engine, or while its engine waits for the end of it.
//!
//! Knows the session and the socket; the driver handles the outcome.

use crate::admission::{Phase, Standing};
use crate::buffers::Buffers;
use crate::connect::Origin;
use crate::flags::Flags;
use crate::net;
use crate::secure::Outgoing;
use crate::socket_options::Speak;
use crate::stats::DriverStats;
use crate::tls::{Failure, Info, ListenTls, Opened, Plain, Provider, Reason, Session};
use crate::transport::Sent;
use lws_proto::{Config, Connection, Time};
use rustix::io::Errno;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

/// How long the socket lingers after a failed handshake, so that the peer can read the alert. Closing it at once would
/// answer bytes that the peer has sent in the meantime with a reset, which discards the alert.
pub(crate) const LINGER: Duration = Duration::from_secs(1);

/// How long a handshake may take while others wait for its place: longer than two round trips around the world. While
/// no other waits, only its deadline ends it.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// The most reads in one turn. A handshake needs two or three.
const READS_MAX: usize = 8;

/// A connection in its handshake.
pub(crate) struct Handshaking<S> {
    /// The TLS session. A server makes it when the first octet has arrived, so that a silent connection holds none.
    session: Option<Box<dyn Session>>,
    outgoing: Outgoing,
    pub(crate) side: Side,
    /// The deadline of the whole handshake.
    pub(crate) deadline: Time,
    /// The time of the next check: the deadline, or earlier because others may wait for its place.
    pub(crate) due: Time,
    pub(crate) state: S,
    /// The number of bytes that the peer may still send before the handshake is done.
    allowance: usize,
    /// Whether the first byte has arrived, and begins a TLS record.
    has_begun: bool,
    /// Whether the handshake has failed, and only the alert is left to deliver.
    failed: bool,
}

/// The side of the handshake, with what its connection needs afterwards.
pub(crate) enum Side {
    /// An accepted connection. It has a standing until its handshake is done.
    Server {
        config: Arc<Config>,
        provider: Arc<dyn Provider>,
        plain: Plain,
        standing: Option<Standing>,
    },
    Client {
        config: Arc<Config>,
        speak: Speak,
        origin: Box<Origin>,
    },
    /// An outgoing connection that has begun without TLS, with its engine. `None` once that goes on.
    Upgrade {
        connection: Option<Box<Connection>>,
    },
}

/// The outcome of a step.
pub(crate) enum Step {
    /// The handshake goes on when the transport is ready; `true` if that is now.
    Waiting(bool),
    /// The handshake has failed, and its alert was offered to the transport. [`Handshaking::linger`] follows.
    Failed(Failure),
    /// The peer of a server does not speak TLS. This many bytes of the ciphertext buffer are what it sent.
    Plain(usize),
    /// The handshake is done. `opened` describes the plaintext in the receive buffer, and `rest` is the part of the
    /// ciphertext buffer that is not opened yet.
    Done { opened: Opened, rest: Range<usize> },
    /// Nothing is left to do after a failure.
    Over,
}

/// The content type of a handshake record, which is the first byte of a ClientHello. RFC 8446 §5.1.
const HANDSHAKE: u8 = 22;

impl<S> Handshaking<S> {
    /// The handshake of an accepted connection.
    pub(crate) fn accepted(
        tls: ListenTls,
        standing: Standing,
        config: Arc<Config>,
        deadline: Time,
        state: S,
    ) -> Self {
        let ListenTls { provider, plain, handshake_bytes_max, .. } = tls;
        let side = Side::Server { config, provider, plain, standing: Some(standing) };
        Self::new(None, handshake_bytes_max, side, deadline, state)
    }

    /// The handshake of an outgoing connection. TLS itself bounds what the server may send, to 64 KiB for each
    /// message.
    pub(crate) fn outgoing(session: Box<dyn Session>, side: Side, deadline: Time, state: S) -> Self {
        Self::new(Some(session), usize::MAX, side, deadline, state)
    }

    fn new(
        session: Option<Box<dyn Session>>,
        allowance: usize,
        side: Side,
        deadline: Time,
        state: S,
    ) -> Self {
        let outgoing = Outgoing::default();
        Self {
            session,
            outgoing,
            side,
            deadline,
            due: deadline,
            state,
            allowance,
            has_begun: false,
            failed: false,
        }
    }

    /// The standing of an accepted connection whose handshake is not done.
    pub(crate) fn standing(&mut self) -> Option<&mut Standing> {
        match &mut self.side {
            Side::Server { standing, .. } => standing.as_mut(),
            Side::Client { .. } | Side::Upgrade { .. } => None,
        }
    }

    /// Takes the standing, as the handshake is done or has ended.
    pub(crate) fn take_standing(&mut self) -> Option<Standing> {
        match &mut self.side {
            Side::Server { standing, .. } => standing.take(),
            Side::Client { .. } | Side::Upgrade { .. } => None,
        }
    }

    /// Whether the handshake may go on now, because it has a place or needs none.
    pub(crate) fn has_place(&self) -> bool {
        match &self.side {
            Side::Server { standing: Some(standing), .. } => standing.phase == Phase::Begun,
            Side::Server { standing: None, .. } | Side::Client { .. } | Side::Upgrade { .. } => true,
        }
    }

    /// What was negotiated, once the handshake is done.
    pub(crate) fn info(&self) -> Info {
        self.session.as_ref().map(|session| session.info()).unwrap_or_default()
    }

    /// The session, for its `close_notify`.
    pub(crate) fn session(&mut self) -> Option<&mut Box<dyn Session>> {
        self.session.as_mut()
    }

    /// The parts that go on after a handshake that is done.
    pub(crate) fn into_parts(self) -> (Option<Box<dyn Session>>, Outgoing, S) {
        (self.session, self.outgoing, self.state)
    }

    /// Whether ciphertext waits for room in the transport.
    pub(crate) fn wants_write(&self) -> bool {
        !self.outgoing.is_empty()
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Takes a step: reads, hands ciphertext to the session, and sends its answers.
    pub(crate) fn step(
        &mut self,
        socket: BorrowedFd<'_>,
        flags: &mut Flags,
        buffers: &mut Buffers,
        stats: &mut DriverStats,
    ) -> Step {
        buffers.prepare_secure();
        self.outgoing.lend(&mut buffers.sealed);
        let step = match self.failed {
            false => self.go_on(socket, flags, buffers, stats),
            true => Self::linger(socket, flags, buffers),
        };
        self.outgoing.reclaim(&mut buffers.sealed);
        step
    }

    fn go_on(
        &mut self,
        socket: BorrowedFd<'_>,
        flags: &mut Flags,
        buffers: &mut Buffers,
        stats: &mut DriverStats,
    ) -> Step {
        if let (Side::Client { .. } | Side::Upgrade { .. }, false) = (&self.side, self.has_begun) {
            self.has_begun = true;
            // A client sends the first message, before it has read anything.
            if let Some(session) = &mut self.session
                && let Err(failure) = session.open(&mut [], &mut [], &mut self.outgoing.bytes)
            {
                return self.fail(failure, socket);
            }
        }
        for _ in 0..READS_MAX {
            if !self.send(socket, flags, stats) {
                return self.fail(Failure::silent(Reason::Disconnected), socket);
            }
            if !flags.has(Flags::READABLE) {
                return Step::Waiting(false);
            }
            let room = buffers.ciphertext.len().min(self.allowance);
            if room == 0 {
                return self.fail(Failure::silent(Reason::TooLong), socket);
            }
            let n = match net::receive(socket, &mut buffers.ciphertext[..room]) {
                Ok(0) => return self.fail(Failure::silent(Reason::Truncated), socket),
                Ok(n) => n,
                Err(Errno::AGAIN) => {
                    flags.remove(Flags::READABLE);
                    continue;
                }
                Err(Errno::INTR) => continue,
                Err(_) => return self.fail(Failure::silent(Reason::Disconnected), socket),
            };
            stats.received_bytes_total += n as u64;
            self.allowance -= n;
            if n < room && !flags.has(Flags::HANG_UP) {
                flags.remove(Flags::READABLE);
            }
            if !self.has_begun && buffers.ciphertext[0] != HANDSHAKE {
                return match self.side {
                    Side::Server { plain: Plain::Accept, .. } => Step::Plain(n),
                    _ => self.fail(Failure::silent(Reason::NotTls), socket),
                };
            }
            if let Err(failure) = self.prepare() {
                return self.fail(failure, socket);
            }
            self.has_begun = true;
            if let Some(step) = self.open(n, socket, buffers) {
                return step;
            }
        }
        Step::Waiting(true)
    }

    /// Makes the session of an accepted connection, if there is none.
    fn prepare(&mut self) -> Result<(), Failure> {
        if let (Side::Server { provider, .. }, None) = (&self.side, &self.session) {
            self.session = Some(provider.session()?);
        }
        Ok(())
    }

    /// Hands `n` bytes of the ciphertext buffer to the session.
    fn open(&mut self, n: usize, socket: BorrowedFd<'_>, buffers: &mut Buffers) -> Option<Step> {
        let mut at = 0;
        while at < n {
            let Buffers { ciphertext, receive, .. } = buffers;
            let session = self.session.as_mut()?;
            let opened = match session.open(&mut ciphertext[at..n], receive, &mut self.outgoing.bytes) {
                Ok(opened) => opened,
                Err(failure) => return Some(self.fail(failure, socket)),
            };
            at += opened.taken;
            if !session.is_handshaking() {
                // The last messages of the handshake leave in one write with the first bytes of the protocol above.
                return Some(Step::Done { opened, rest: at..n });
            }
            if opened.closed || opened.taken == 0 {
                return Some(self.fail(Failure::silent(Reason::Truncated), socket));
            }
        }
        None
    }

    /// Sends queued ciphertext. Returns false if the transport has failed.
    fn send(&mut self, socket: BorrowedFd<'_>, flags: &mut Flags, stats: &mut DriverStats) -> bool {
        if self.outgoing.is_empty() || !flags.has(Flags::WRITABLE) {
            return true;
        }
        match self.outgoing.flush(socket) {
            Sent::All(n) | Sent::OfFile(n) => stats.sent_bytes_total += n as u64,
            Sent::Part(n) => {
                stats.sent_bytes_total += n as u64;
                flags.remove(Flags::WRITABLE);
            }
            Sent::Failed | Sent::Missing => return false,
        }
        true
    }

    /// Ends in failure, and sends the alert as far as the transport takes it at once.
    fn fail(&mut self, failure: Failure, socket: BorrowedFd<'_>) -> Step {
        self.failed = true;
        // The alert is in `outgoing` already, so the session can go.
        self.session = None;
        // If the transport does not take the alert, the peer sees only the end of the connection.
        let _ = self.outgoing.flush(socket);
        self.outgoing.bytes.clear();
        self.outgoing = Outgoing::default();
        let _ = net::finish(socket);
        Step::Failed(failure)
    }

    /// Reads and discards what the peer still sends.
    fn linger(socket: BorrowedFd<'_>, flags: &mut Flags, buffers: &mut Buffers) -> Step {
        for _ in 0..READS_MAX {
            match net::receive(socket, &mut buffers.ciphertext) {
                Ok(0) => return Step::Over,
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    flags.remove(Flags::READABLE);
                    return Step::Waiting(false);
                }
                Err(_) => return Step::Over,
            }
        }
        Step::Waiting(true)
    }
}
