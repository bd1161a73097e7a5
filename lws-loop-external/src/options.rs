//! The options of a service as a whole.

use crate::net;
use lws_proto::OutOfRange;
use std::io;
use std::time::Duration;

/// Sizes and budgets of one service.
#[derive(Clone, Debug)]
pub struct DriverOptions {
    /// The most connections at a time, including outgoing ones. When it is reached the listeners pause until a
    /// connection has ended. While connections wait, accepted ones that have been idle for a second are closed: first
    /// those with TLS that have sent nothing, then those between two requests or before the first. Default `None`: the
    /// limit of open files, less `descriptors_kept`.
    pub connections_max: Option<usize>,
    /// Descriptors that are left to everything else where `connections_max` is `None`: listeners, files, the rest of the
    /// program. Default 32.
    pub descriptors_kept: usize,
    /// Bytes of the one receive buffer that all connections share. Default 64 KiB: large messages arrive in few
    /// system calls, and it stays in the second-level cache. At least 1 KiB.
    #[doc(alias = "pt_serv_buf_size")]
    pub receive_buffer_bytes: usize,
    /// Bytes that one connection may receive in one turn, before others get theirs. Default 256 KiB. A number below the
    /// size of the receive buffer is kept exactly; with TLS bytes of ciphertext count.
    pub read_bytes_per_turn: usize,
    /// Bytes that one connection may send in one turn, before others get theirs. Default 256 KiB.
    pub write_bytes_per_turn: usize,
    /// Events of one connection in one turn, before others get theirs. Default 16,384: more than one receive buffer
    /// full of the shortest messages causes.
    pub events_per_turn: usize,
    /// Connections that one listener accepts in one turn. Default 64.
    pub accepts_per_turn: usize,
    /// The limits of one turn of the whole service, over all its connections. Work that is left at the limit is forced
    /// work: the host gets [`Wait::Now`](crate::Wait::Now), and the service goes on where it stopped.
    pub turn: TurnLimits,
    /// Whether the clock is read at the beginning and the end of each turn, for [`DriverStats::turn_time`](crate::DriverStats::turn_time).
    /// Default no: it is two readings a turn, some 50 ns.
    pub measures_turns: bool,
    /// TLS handshakes of accepted connections at a time, counted from the first octet of the peer. Default 1,024, which
    /// bounds what they hold: see [`ListenTls::handshake_bytes_max`](crate::tls::ListenTls::handshake_bytes_max).
    /// Further ones wait for a place, and networks are served in round-robin order; a handshake that has taken a second
    /// is closed for them.
    #[doc(alias = "simultaneous_ssl_handshake_restriction")]
    pub tls_handshakes_max: usize,
    /// Handshakes, and as many silent connections, that one network may have while others wait: an IPv4 address or the
    /// /64 of an IPv6 one. Default 128. A peer of the same machine that has no address is not counted.
    pub tls_handshakes_per_network_max: usize,
    /// Accepted connections with TLS whose peer has sent nothing yet. Default 1,024, each of which holds its socket and
    /// less than 1 KiB. One more closes the one that has been silent for the longest time.
    pub tls_silent_max: usize,
    /// Steps of TLS handshakes in one turn, after the established connections have had theirs. Default 4, which is about
    /// 2 ms with an ECDSA P-256 key.
    pub tls_steps_per_turn: usize,
    /// Messages of other threads that may be queued. Default 65,536; past it
    /// [`DriverHandle::send`](crate::DriverHandle::send) gives the message back.
    pub mailbox_messages_max: usize,
    /// Messages that may be queued for connections that are being made. Default 1,024; past it they come back as
    /// [`Application::undelivered`](crate::Application::undelivered).
    pub waiting_messages_max: usize,
    /// Names that the resolver may be resolving at a time, including those of connections that were given up. Default
    /// 1,024; past it a connection fails with [`ResolveError::TooMany`](crate::ResolveError::TooMany).
    pub resolver_queries_max: usize,
    /// Addresses of one name that are tried. Default 16, of each family some.
    pub resolver_addresses_max: usize,
}

impl Default for DriverOptions {
    fn default() -> Self {
        Self {
            connections_max: None,
            descriptors_kept: 32,
            receive_buffer_bytes: 64 << 10,
            read_bytes_per_turn: 256 << 10,
            write_bytes_per_turn: 256 << 10,
            events_per_turn: 16 << 10,
            accepts_per_turn: 64,
            turn: TurnLimits::default(),
            measures_turns: false,
            tls_handshakes_max: 1_024,
            tls_handshakes_per_network_max: 128,
            tls_silent_max: 1_024,
            tls_steps_per_turn: 4,
            mailbox_messages_max: 64 << 10,
            waiting_messages_max: 1_024,
            resolver_queries_max: 1_024,
            resolver_addresses_max: 16,
        }
    }
}

/// The limits of one turn of a service: of everything that it does between two polls of its host.
///
/// A limit interrupts nothing, so a turn can be longer by one handler call, one read or one write.
#[derive(Clone, Copy, Debug)]
pub struct TurnLimits {
    /// The time of a turn. Default 1 ms: a host can draw a frame or serve its own timers in between, and polling the
    /// descriptors costs half a percent of it. [`Duration::MAX`] is no bound, and the clock is not read then.
    pub time: Duration,
    /// Bytes, received and sent. Default 16 MiB: more than fits into the time, so that it bounds turns without a clock.
    pub bytes: usize,
    /// The clock that measures the time of a turn; its zero may be anywhere. Default: the system's monotonic clock. It
    /// is read about sixteen times in a turn that takes its whole time, and not at all in short ones.
    pub clock: fn() -> Duration,
}

impl Default for TurnLimits {
    fn default() -> Self {
        Self { time: Duration::from_millis(1), bytes: 16 << 20, clock: net::monotonic }
    }
}

impl DriverOptions {
    /// Checks every option against its range; a budget of zero, for example, would stop the service. Everything that
    /// makes a service calls this.
    ///
    /// # Errors
    /// The first option that is outside of its range.
    pub fn validate(&self) -> Result<(), OutOfRange> {
        let Self {
            connections_max,
            receive_buffer_bytes,
            read_bytes_per_turn,
            write_bytes_per_turn,
            events_per_turn,
            accepts_per_turn,
            turn,
            measures_turns: _,
            descriptors_kept: _,
            tls_handshakes_max,
            tls_handshakes_per_network_max,
            tls_silent_max,
            tls_steps_per_turn,
            mailbox_messages_max,
            waiting_messages_max: _,
            resolver_queries_max,
            resolver_addresses_max,
        } = *self;
        let check = |field, value: usize, range| {
            OutOfRange::check(field, u64::try_from(value).unwrap_or(u64::MAX), range)
        };
        check("connections_max", connections_max.unwrap_or(1), 1..=u64::from(u32::MAX))?;
        check("receive_buffer_bytes", receive_buffer_bytes, 1 << 10..=1 << 30)?;
        for (field, value) in [
            ("read_bytes_per_turn", read_bytes_per_turn),
            ("write_bytes_per_turn", write_bytes_per_turn),
            ("events_per_turn", events_per_turn),
            ("accepts_per_turn", accepts_per_turn),
            ("turn.bytes", turn.bytes),
            ("tls_handshakes_max", tls_handshakes_max),
            ("tls_handshakes_per_network_max", tls_handshakes_per_network_max),
            ("tls_silent_max", tls_silent_max),
            ("tls_steps_per_turn", tls_steps_per_turn),
            ("mailbox_messages_max", mailbox_messages_max),
            ("resolver_queries_max", resolver_queries_max),
            ("resolver_addresses_max", resolver_addresses_max),
        ] {
            check(field, value, 1..=u64::MAX)?;
        }
        Ok(())
    }
}

/// An option out of its range, as an [`io::Error`].
pub(crate) fn invalid(error: OutOfRange) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_out_of_range_is_named() {
        assert_eq!(DriverOptions::default().validate(), Ok(()));
        type Change = fn(&mut DriverOptions);
        let rows: [(&str, Change); 5] = [
            ("connections_max", |options| options.connections_max = Some(0)),
            ("receive_buffer_bytes", |options| options.receive_buffer_bytes = 1_023),
            ("read_bytes_per_turn", |options| options.read_bytes_per_turn = 0),
            ("accepts_per_turn", |options| options.accepts_per_turn = 0),
            ("resolver_addresses_max", |options| options.resolver_addresses_max = 0),
        ];
        for (field, change) in rows {
            let mut options = DriverOptions::default();
            change(&mut options);
            assert_eq!(options.validate().map_err(|error| error.field()), Err(field));
        }
    }
}
