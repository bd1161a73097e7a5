//! Counters of one service.

use lws_proto::Cause;

/// What a service has done so far.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Connections now, outgoing ones that are being made too, and other descriptors of peers: each of them counts as one.
    pub connections: usize,
    /// Connections that listeners have accepted, those that the application refused too.
    pub accepted_total: u64,
    /// Outgoing connections that were made.
    pub connected_total: u64,
    /// Outgoing connections that could not be made.
    pub connect_failed_total: u64,
    /// How often a listener had to pause: the limit of open files, of the system's memory, or of connections.
    pub accept_pauses_total: u64,
    /// Bytes received from peers.
    pub received_bytes_total: u64,
    /// Bytes sent to peers.
    pub sent_bytes_total: u64,
    /// Datagrams received.
    pub datagrams_received_total: u64,
    /// Datagrams sent.
    pub datagrams_sent_total: u64,
    /// Datagrams that the system refused to send.
    pub datagrams_unsent_total: u64,
    /// Those that are not `complete`.
    closed: Vec<(&'static str, u64)>,
    completed: u64,
}

impl Stats {
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

    #[inline]
    pub(crate) fn count_closed(&mut self, cause: Cause) {
        if cause == Cause::Complete {
            self.completed += 1;
        } else {
            self.count_other(cause);
        }
    }

    /// There are as many entries as causes at most.
    #[cold]
    fn count_other(&mut self, cause: Cause) {
        let reason = cause.name();
        match self.closed.iter_mut().find(|(name, _)| *name == reason) {
            Some((_, count)) => *count += 1,
            None => self.closed.push((reason, 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lws_proto::Limit;

    #[test]
    fn ends_are_counted_by_the_name_of_their_cause() {
        let mut stats = Stats::default();
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
