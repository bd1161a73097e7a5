//! The steps of a service's drain. Knows times and table positions only.

use lws_proto::Time;
use std::time::Duration;

/// The steps of an orderly end, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drain {
    /// The service is not draining.
    No,
    /// Another process serves at its listeners from now on: they close, connections end by themselves, and what is left at `until` is drained
    /// within `timeout`. All of them are visited from `next` on, those from this index of the table on.
    Retiring { until: Time, timeout: Duration, next: Time, from: u32 },
    /// The service was asked to end within this time, and nothing has been done yet.
    Asked(Duration),
    /// The accept queues are being emptied, of at most `left` more connections.
    Accepting { until: Time, left: u64 },
    /// Connections are being closed, from this index of the table on.
    Closing { until: Time, from: u32 },
    /// Connections are finishing. Those left at this time are cut off.
    Until(Time),
    /// The remaining connections are being cut off, from this index of the table on.
    Cutting { from: u32 },
    /// Every connection has been cut off.
    Over,
}

impl Drain {
    /// The state after a request to end within `timeout`, which may not be the first one.
    pub(crate) fn asked(self, now: Time, timeout: Duration) -> Self {
        let sooner = |until: Time| until.min(now + timeout);
        match self {
            Self::No | Self::Retiring { .. } => Self::Asked(timeout),
            Self::Asked(before) => Self::Asked(before.min(timeout)),
            Self::Accepting { until, left } => Self::Accepting { until: sooner(until), left },
            Self::Closing { until, from } => Self::Closing { until: sooner(until), from },
            Self::Until(until) => Self::Until(sooner(until)),
            Self::Cutting { .. } | Self::Over => self,
        }
    }

    /// Whether the service was asked to end now: it begins nothing new.
    pub(crate) fn has_begun(self) -> bool {
        !matches!(self, Self::No | Self::Retiring { .. })
    }

    /// Whether the service is over when its last connection is.
    pub(crate) fn ends(self) -> bool {
        self != Self::No
    }

    /// Whether a connection that is inserted now has to be closed at once, because the pass over the table may be
    /// behind it.
    pub(crate) fn closes(self) -> bool {
        matches!(self, Self::Closing { .. } | Self::Until(_)) || self.cuts()
    }

    /// Whether the time of the drain has run out.
    pub(crate) fn cuts(self) -> bool {
        matches!(self, Self::Cutting { .. } | Self::Over)
    }

    /// Whether there is something to do at once.
    pub(crate) fn is_forced(self) -> bool {
        match self {
            Self::Asked(_) | Self::Accepting { .. } | Self::Closing { .. } | Self::Cutting { .. } => true,
            Self::No | Self::Retiring { .. } | Self::Until(_) | Self::Over => false,
        }
    }

    /// The time at which there is something to do.
    pub(crate) fn next_timeout(self) -> Option<Time> {
        match self {
            Self::Until(at) => Some(at),
            Self::Retiring { until, next, .. } => Some(until.min(next)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asking_again_only_shortens_the_time_whatever_the_step() {
        let now = Time::from_micros(1_000_000);
        let (soon, later) = (now + Duration::from_secs(1), now + Duration::from_secs(9));
        let check = |drain: Drain, sooner: Drain| {
            assert_eq!(drain.asked(now, Duration::from_secs(1)), sooner, "{drain:?}");
            assert_eq!(drain.asked(now, Duration::from_secs(99)), drain, "{drain:?}");
        };
        check(Drain::Asked(Duration::from_secs(9)), Drain::Asked(Duration::from_secs(1)));
        check(Drain::Accepting { until: later, left: 3 }, Drain::Accepting { until: soon, left: 3 });
        check(Drain::Closing { until: later, from: 7 }, Drain::Closing { until: soon, from: 7 });
        check(Drain::Until(later), Drain::Until(soon));
        check(Drain::Cutting { from: 7 }, Drain::Cutting { from: 7 });
        check(Drain::Over, Drain::Over);
        assert_eq!(Drain::No.asked(now, Duration::ZERO), Drain::Asked(Duration::ZERO));
        let retiring = Drain::Retiring { until: later, timeout: Duration::from_secs(9), next: soon, from: 0 };
        assert_eq!(retiring.asked(now, Duration::from_secs(1)), Drain::Asked(Duration::from_secs(1)));
        assert!(retiring.ends() && !retiring.has_begun() && !retiring.closes());
    }
}
