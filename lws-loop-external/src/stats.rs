//! Counters of one service.

use crate::histogram::Histogram;
use crate::tls::Failure;
use lws_proto::Cause;

/// The counters of a service.
#[derive(Clone, Debug, Default)]
pub struct DriverStats {
    /// Connections at the moment, including outgoing ones that are being made, and other adopted descriptors: each of
    /// them counts as one.
    pub connections: usize,
    /// Connections that listeners have accepted, including those that the application refused.
    pub accepted_total: u64,
    /// Connections of proxies that were closed as they did not say whom they stand for.
    pub proxy_headers_refused_total: u64,
    /// Outgoing connections that were made.
    pub connected_total: u64,
    /// Outgoing connections that could not be made.
    pub connect_failed_total: u64,
    /// How often a listener had to pause because of the limit of open files, of the system's memory, or of
    /// connections.
    pub accept_pauses_total: u64,
    /// Those pauses that came of the limit of connections, and not of the system's.
    pub accept_pauses_full_total: u64,
    /// What turns of the service took, if [`DriverOptions::measures_turns`](crate::DriverOptions::measures_turns) says so.
    pub turn_time: Histogram,
    /// How late turns began for which the service had named a moment.
    pub lag: Histogram,
    /// Idle connections that were closed as others waited for a place: see [`DriverOptions::connections_max`](crate::DriverOptions::connections_max).
    pub idle_gave_way_total: u64,
    /// Bytes received from peers.
    pub received_bytes_total: u64,
    /// Bytes sent to peers.
    pub sent_bytes_total: u64,
    /// TLS handshakes of accepted connections that are going on.
    pub tls_handshakes: usize,
    /// Accepted connections with TLS whose peer has sent nothing yet.
    pub tls_silent: usize,
    /// Accepted connections with TLS that wait for a place for their handshake.
    pub tls_queued: usize,
    /// TLS handshakes that were done.
    pub tls_established_total: u64,
    /// TLS handshakes that resumed an earlier session.
    pub tls_resumed_total: u64,
    /// TLS handshakes and sessions that failed, by [`Failure::name`].
    tls_failed: Vec<(&'static str, u64)>,
    /// Connections whose HTTP/2 peer was sent GOAWAY, by [`Cause::name`].
    sent_away: Vec<(&'static str, u64)>,
    /// Datagrams received.
    pub datagrams_received_total: u64,
    /// Datagrams sent.
    pub datagrams_sent_total: u64,
    /// Datagrams that the system refused to send.
    pub datagrams_unsent_total: u64,
    /// Ended streams by cause, without those that are `complete`.
    closed: Vec<(&'static str, u64)>,
    completed: u64,
}

impl DriverStats {
    /// Streams that have ended, by [`Cause::name`]: the values of `closed_total{reason="…"}`. A cause that has not
    /// occurred is left out.
    pub fn closed_total(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let completed = (self.completed > 0).then(|| (Cause::Complete.name(), self.completed));
        completed.into_iter().chain(self.closed.iter().copied())
    }

    /// Streams that have ended for reasons of this name.
    #[must_use]
    pub fn closed_for(&self, reason: &str) -> u64 {
        self.closed_total().find(|(name, _)| *name == reason).map_or(0, |(_, count)| count)
    }

    /// Connections whose HTTP/2 peer was sent GOAWAY for what it did, by [`Cause::name`]: the values of
    /// `sent_away_total{reason="…"}`. They are counted when they have ended.
    pub fn sent_away_total(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.sent_away.iter().copied()
    }

    #[cold]
    pub(crate) fn count_sent_away(&mut self, cause: Cause) {
        count(&mut self.sent_away, cause.name());
    }

    #[inline]
    pub(crate) fn count_closed(&mut self, cause: Cause) {
        if cause == Cause::Complete {
            self.completed += 1;
        } else {
            self.count_other(cause);
        }
    }

    #[cold]
    fn count_other(&mut self, cause: Cause) {
        count(&mut self.closed, cause.name());
    }

    /// TLS sessions that failed, in their handshake or later, by [`Failure::name`]: the values of
    /// `tls_failed_total{reason="…"}`.
    pub fn tls_failed_total(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.tls_failed.iter().copied()
    }

    #[cold]
    pub(crate) fn count_tls_failure(&mut self, failure: &Failure) {
        count(&mut self.tls_failed, failure.name());
    }
}

/// There is at most one entry for each name.
fn count(counts: &mut Vec<(&'static str, u64)>, name: &'static str) {
    match counts.iter_mut().find(|(other, _)| *other == name) {
        Some((_, count)) => *count += 1,
        None => counts.push((name, 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lws_proto::Limit;

    #[test]
    fn ends_are_counted_by_the_name_of_their_cause() {
        let mut stats = DriverStats::default();
        let limit = *Limit::ALL.first().expect("a limit");
        for cause in [Cause::Complete, Cause::Limit(limit), Cause::Complete] {
            stats.count_closed(cause);
        }
        assert_eq!(stats.closed_for("complete"), 2);
        assert_eq!(stats.closed_for(limit.name()), 1);
        assert_eq!(stats.closed_for("aborted"), 0);
        assert_eq!(stats.closed_total().map(|(_, count)| count).sum::<u64>(), 3);
    }
}
