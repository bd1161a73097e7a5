//! Whether a peer is still there: asking after a silence, giving up after a longer one.
//!
//! Knows no protocol: whoever has a way to ask (a Ping) keeps a [`Probe`].

use crate::{Limits, Time};
use core::time::Duration;

/// How long a peer may be silent. [`Limits`] has one for all connections of a
/// [`Config`](crate::Config); [`Stream::set_validity`](crate::Stream::set_validity) gives one to a single connection.
#[doc(alias = "lws_retry_bo_t")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Silence after which the peer is asked. Default 30 s.
    #[doc(alias = "secs_since_valid_ping")]
    pub ping_after: Duration,
    /// Silence after which the connection is given up, the time in which the peer was asked included. Default 60 s. No
    /// more than `ping_after` gives up as soon as it has asked.
    #[doc(alias = "secs_since_valid_hangup")]
    pub drop_after: Duration,
}

impl Validity {
    /// The peer may be silent for ever.
    pub const UNCHECKED: Self = Self { ping_after: Duration::MAX, drop_after: Duration::MAX };

    pub(crate) fn of(limits: &Limits) -> Self {
        Self { ping_after: limits.ping_interval, drop_after: limits.dead_peer_timeout }
    }
}

impl Default for Validity {
    fn default() -> Self {
        Self::of(&Limits::default())
    }
}

/// When the peer was asked last. If nothing was heard since, the question is open.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Probe {
    asked: Time,
}

/// What a silence calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Asking.
    Ping,
    /// Giving up.
    HangUp,
}

impl Probe {
    /// When the silence of a peer that was heard at `heard` calls for something.
    pub(crate) fn next_timeout(self, policy: Validity, heard: Time) -> Time {
        if self.asked > heard {
            self.asked + policy.drop_after.saturating_sub(policy.ping_after)
        } else {
            heard + policy.ping_after
        }
    }

    /// What is due at `now`.
    pub(crate) fn handle_timeout(&mut self, policy: Validity, heard: Time, now: Time) -> Option<Due> {
        if self.next_timeout(policy, heard) > now {
            return None;
        }
        if self.asked > heard {
            return Some(Due::HangUp);
        }
        self.asked = now;
        Some(Due::Ping)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    fn policy(ping: u64, drop: u64) -> Validity {
        Validity { ping_after: Duration::from_secs(ping), drop_after: Duration::from_secs(drop) }
    }

    #[test]
    fn a_silent_peer_is_asked_once_and_then_given_up() {
        let mut probe = Probe::default();
        let policy = policy(10, 15);
        assert_eq!(probe.next_timeout(policy, at(5)), at(15));
        assert_eq!(probe.handle_timeout(policy, at(5), at(14)), None);
        assert_eq!(probe.handle_timeout(policy, at(5), at(15)), Some(Due::Ping));
        assert_eq!(probe.next_timeout(policy, at(5)), at(20));
        assert_eq!(probe.handle_timeout(policy, at(5), at(19)), None);
        assert_eq!(probe.handle_timeout(policy, at(5), at(20)), Some(Due::HangUp));
        // An answer begins it again.
        assert_eq!(probe.handle_timeout(policy, at(18), at(20)), None);
        assert_eq!(probe.handle_timeout(policy, at(18), at(28)), Some(Due::Ping));
    }

    #[test]
    fn policies_that_ask_late_or_never() {
        let mut probe = Probe::default();
        assert_eq!(probe.handle_timeout(policy(10, 3), at(0), at(10)), Some(Due::Ping));
        assert_eq!(probe.handle_timeout(policy(10, 3), at(0), at(10)), Some(Due::HangUp));
        let mut probe = Probe::default();
        assert_eq!(probe.handle_timeout(Validity::UNCHECKED, at(0), at(1 << 40)), None);
    }
}
