//! The TLS handshake of one connection, before it has an engine.
//!
//! Knows the session and the socket; what becomes of the outcome is the driver's affair.

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
use lws_proto::{Config, Time};
use rustix::io::Errno;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

/// How long a peer whose handshake failed may read the alert before the socket is closed under it: what it had sent in the
/// meantime would be answered with a reset, which destroys the alert on its way.
pub(crate) const LINGER: Duration = Duration::from_secs(1);

/// How long a handshake may be at work while others wait for its place: longer than two round trips around the world.
/// Without anybody waiting it is given up at its deadline only.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// Reads in one turn. A handshake needs two or three.
const READS_MAX: usize = 8;

/// A connection in its handshake.
pub(crate) struct Handshaking<S> {
    /// That of a server is made when the first octet has come, so that a silent connection costs none.
    session: Option<Box<dyn Session>>,
    outgoing: Outgoing,
    pub(crate) config: Arc<Config>,
    pub(crate) side: Side,
    /// When it is given up.
    pub(crate) deadline: Time,
    /// When it is looked at next: at its deadline, or before as others may wait for its place.
    pub(crate) due: Time,
    pub(crate) state: S,
    /// Bytes that the peer may still send before the handshake is done.
    allowance: usize,
    /// The first byte has come, and it begins TLS.
    has_begun: bool,
    /// It has failed: only the alert is left to deliver.
    failed: bool,
}

/// Which side this is, and what comes after the handshake.
pub(crate) enum Side {
    /// An accepted connection. It has a standing until its handshake is over.
    Server {
        provider: Arc<dyn Provider>,
        plain: Plain,
        standing: Option<Standing>,
    },
    Client {
        speak: Speak,
        origin: Box<Origin>,
    },
}

/// What came of a turn.
pub(crate) enum Step {
    /// It goes on when the transport is ready; `true` if it is ready already.
    Waiting(bool),
    /// The alert has been offered to the transport. The rest is [`Handshaking::linger`].
    Failed(Failure),
    /// The peer of a server speaks no TLS: so many bytes of the ciphertext buffer are what it said.
    Plain(usize),
    /// It is done. So many bytes of plaintext are in the receive buffer, and this part of the ciphertext buffer is left.
    Done { opened: Opened, rest: Range<usize> },
    /// Nothing is left to do after a failure.
    Over,
}

/// The content type of a handshake record, which is the first byte of a ClientHello. RFC 8446 §5.1.
const HANDSHAKE: u8 = 22;

impl<S> Handshaking<S> {
    /// That of an accepted connection.
    pub(crate) fn accepted(
        tls: ListenTls,
        standing: Standing,
        config: Arc<Config>,
        deadline: Time,
        state: S,
    ) -> Self {
        let ListenTls { provider, plain, handshake_bytes_max, .. } = tls;
        let side = Side::Server { provider, plain, standing: Some(standing) };
        Self::new(None, handshake_bytes_max, config, side, deadline, state)
    }

    /// That of an outgoing connection. What its server may send is bounded by TLS itself, by 64 KiB for each message.
    pub(crate) fn outgoing(
        session: Box<dyn Session>,
        config: Arc<Config>,
        side: Side,
        deadline: Time,
        state: S,
    ) -> Self {
        Self::new(Some(session), usize::MAX, config, side, deadline, state)
    }

    fn new(
        session: Option<Box<dyn Session>>,
        allowance: usize,
        config: Arc<Config>,
        side: Side,
        deadline: Time,
        state: S,
    ) -> Self {
        let outgoing = Outgoing::default();
        Self {
            session,
            outgoing,
            config,
            side,
            deadline,
            due: deadline,
            state,
            allowance,
            has_begun: false,
            failed: false,
        }
    }

    /// The standing of an accepted connection whose handshake is not over.
    pub(crate) fn standing(&mut self) -> Option<&mut Standing> {
        match &mut self.side {
            Side::Server { standing, .. } => standing.as_mut(),
            Side::Client { .. } => None,
        }
    }

    /// Takes the standing, as the handshake is over.
    pub(crate) fn take_standing(&mut self) -> Option<Standing> {
        match &mut self.side {
            Side::Server { standing, .. } => standing.take(),
            Side::Client { .. } => None,
        }
    }

    /// Whether it may go on now: it waits for no place.
    pub(crate) fn has_place(&self) -> bool {
        match &self.side {
            Side::Server { standing: Some(standing), .. } => standing.phase == Phase::Begun,
            Side::Server { standing: None, .. } | Side::Client { .. } => true,
        }
    }

    /// What has been agreed on, once the handshake is done.
    pub(crate) fn info(&self) -> Info {
        self.session.as_ref().map(|session| session.info()).unwrap_or_default()
    }

    /// The session, which says to its peer that nothing more will come.
    pub(crate) fn session(&mut self) -> Option<&mut Box<dyn Session>> {
        self.session.as_mut()
    }

    /// What goes on behind a handshake that is done.
    pub(crate) fn into_parts(self) -> (Option<Box<dyn Session>>, Outgoing, S) {
        (self.session, self.outgoing, self.state)
    }

    /// Whether something waits for room in the transport.
    pub(crate) fn wants_write(&self) -> bool {
        !self.outgoing.is_empty()
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Does what can be done now.
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
        if let (Side::Client { .. }, false) = (&self.side, self.has_begun) {
            self.has_begun = true;
            // A client speaks first.
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
                // Its last messages leave with the first bytes of the protocol above.
                return Some(Step::Done { opened, rest: at..n });
            }
            if opened.closed || opened.taken == 0 {
                return Some(self.fail(Failure::silent(Reason::Truncated), socket));
            }
        }
        None
    }

    /// False if the transport takes nothing any more.
    fn send(&mut self, socket: BorrowedFd<'_>, flags: &mut Flags, stats: &mut DriverStats) -> bool {
        if self.outgoing.is_empty() || !flags.has(Flags::WRITABLE) {
            return true;
        }
        match self.outgoing.flush(socket) {
            Sent::All(n) => stats.sent_bytes_total += n as u64,
            Sent::Part(n) => {
                stats.sent_bytes_total += n as u64;
                flags.remove(Flags::WRITABLE);
            }
            Sent::Failed => return false,
        }
        true
    }

    /// Delivers the alert as far as the transport takes it at once.
    fn fail(&mut self, failure: Failure, socket: BorrowedFd<'_>) -> Step {
        self.failed = true;
        // What it holds is not needed for the alert.
        self.session = None;
        // A peer that does not get the alert sees the end of the connection.
        let _ = self.outgoing.flush(socket);
        self.outgoing.bytes.clear();
        self.outgoing = Outgoing::default();
        let _ = net::finish(socket);
        Step::Failed(failure)
    }

    /// Reads and drops what the peer still sends.
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
