//! Detection of peers that are gone: a Ping after a silence, the end of the connection after a longer one.
//!
//! This module knows no protocol: one that has a Ping keeps a [`Probe`].

use crate::{Limits, Time};
use core::time::Duration;

/// How long a peer may be silent. [`Limits`] has one for all connections of a
/// [`Config`](crate::Config); [`WebSocket::set_liveness`](crate::WebSocket::set_liveness) gives one to a single connection.
#[doc(alias = "lws_retry_bo_t")]
#[doc(alias = "Validity")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Liveness {
    /// Silence after which the peer is asked. Default 30 s.
    /// It may come an eighth of it earlier: see [`Connection::set_spread`](crate::Connection::set_spread).
    #[doc(alias = "secs_since_valid_ping")]
    pub ping_after: Duration,
    /// Silence after which the connection is given up, the time in which the peer was asked included. Default 60 s. No
    /// more than `ping_after` gives up as soon as it has asked.
    #[doc(alias = "secs_since_valid_hangup")]
    pub drop_after: Duration,
}

/// A driver that runs a timer later than this counts as stalled. Every driver is late by less.
const STALL_MIN: Duration = Duration::from_millis(10);

impl Liveness {
    /// The peer may be silent without limit.
    pub const UNCHECKED: Self = Self { ping_after: Duration::MAX, drop_after: Duration::MAX };

    /// When a peer whose bytes came last at `last_received` is asked. Of many connections whose bytes came at one moment each is asked at
    /// its own, up to an eighth of the time earlier: `spread` says where between.
    pub(crate) fn asks_at(self, last_received: Time, spread: u8) -> Time {
        // At the same moment what was received would count as the answer, and the peer be asked again.
        let after = (Time::ZERO + self.ping_after).as_micros().max(1);
        let early = (after >> 11) * u64::from(spread);
        Time::from_micros(last_received.as_micros().saturating_add(after - early))
    }

    /// Where asking is late by more than an eighth of its time: when the peer counts as received instead. The driver was away
    /// for so long, not the peer; and of the many connections that are late together each is then asked at its own moment.
    pub(crate) fn received_after_stall(self, last_received: Time, now: Time, spread: u8) -> Option<Time> {
        let after = (Time::ZERO + self.ping_after).as_micros();
        let tolerance = (self.ping_after / 8).max(STALL_MIN);
        let is_late = spread != 0 && now > self.asks_at(last_received, spread) + tolerance;
        // It is asked again at `asks_at` of this: within an eighth of the time from now on.
        is_late.then(|| Time::from_micros(now.as_micros().saturating_sub(after - after / 8)))
    }

    /// How long a peer has to answer.
    pub(crate) fn patience(self) -> Duration {
        self.drop_after.saturating_sub(self.ping_after)
    }

    pub(crate) fn of(limits: &Limits) -> Self {
        Self { ping_after: limits.ping_interval, drop_after: limits.dead_peer_timeout }
    }
}

impl Default for Liveness {
    fn default() -> Self {
        Self::of(&Limits::default())
    }
}

/// When the last Ping was sent. If nothing was received since, its answer is outstanding.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Probe {
    asked: Time,
}

/// The action that a silence of the peer requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Asking.
    Ping,
    /// Giving up.
    HangUp,
}

impl Probe {
    /// When the silence of a peer whose bytes came last at `last_received` calls for something.
    pub(crate) fn next_timeout(self, policy: Liveness, last_received: Time, spread: u8) -> Time {
        if self.is_open(last_received) {
            self.asked + policy.patience()
        } else {
            policy.asks_at(last_received, spread)
        }
    }

    /// Whether a Ping has been sent and not been answered.
    pub(crate) fn is_open(self, last_received: Time) -> bool {
        self.asked > last_received
    }

    /// The time to answer begins anew: what was asked has come to the peer only now, or is still on its way.
    pub(crate) fn begin_anew(&mut self, now: Time) {
        self.asked = now;
    }

    /// What is due at `now`.
    pub(crate) fn handle_timeout(
        &mut self,
        policy: Liveness,
        last_received: Time,
        spread: u8,
        now: Time,
    ) -> Option<Due> {
        if self.next_timeout(policy, last_received, spread) > now {
            return None;
        }
        if self.is_open(last_received) {
            return Some(Due::HangUp);
        }
        self.asked = now;
        Some(Due::Ping)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    fn policy(ping: u64, drop: u64) -> Liveness {
        Liveness { ping_after: Duration::from_secs(ping), drop_after: Duration::from_secs(drop) }
    }

    #[test]
    fn a_silent_peer_is_asked_once_and_then_given_up() {
        let mut probe = Probe::default();
        let policy = policy(10, 15);
        assert_eq!(probe.next_timeout(policy, at(5), 0), at(15));
        assert_eq!(probe.handle_timeout(policy, at(5), 0, at(14)), None);
        assert_eq!(probe.handle_timeout(policy, at(5), 0, at(15)), Some(Due::Ping));
        assert_eq!(probe.next_timeout(policy, at(5), 0), at(20));
        assert_eq!(probe.handle_timeout(policy, at(5), 0, at(19)), None);
        assert_eq!(probe.handle_timeout(policy, at(5), 0, at(20)), Some(Due::HangUp));
        // An answer begins it again.
        assert_eq!(probe.handle_timeout(policy, at(18), 0, at(20)), None);
        assert_eq!(probe.handle_timeout(policy, at(18), 0, at(28)), Some(Due::Ping));
    }

    #[test]
    fn policies_that_ask_late_or_never() {
        let mut probe = Probe::default();
        assert_eq!(probe.handle_timeout(policy(10, 3), at(0), 0, at(10)), Some(Due::Ping));
        assert_eq!(probe.handle_timeout(policy(10, 3), at(0), 0, at(10)), Some(Due::HangUp));
        let mut probe = Probe::default();
        assert_eq!(probe.handle_timeout(Liveness::UNCHECKED, at(0), 255, at(1 << 40)), None);
    }

    #[test]
    fn a_peer_that_is_asked_at_once_is_asked_once() {
        for spread in [0, 1, 255] {
            let (policy, last_received) = (policy(0, 5), at(7));
            let mut probe = Probe::default();
            assert_eq!(
                probe.handle_timeout(policy, last_received, spread, last_received),
                None,
                "something was last_received just now"
            );
            let asks = policy.asks_at(last_received, spread);
            let late = asks + Duration::from_millis(3);
            assert_eq!(policy.received_after_stall(last_received, late, spread), None, "that is no stall");
            assert_eq!(probe.handle_timeout(policy, last_received, spread, late), Some(Due::Ping));
            assert_eq!(probe.handle_timeout(policy, last_received, spread, late), None);
            assert_eq!(probe.next_timeout(policy, last_received, spread), late + Duration::from_secs(5));
        }
    }

    #[test]
    fn of_many_that_sent_at_once_each_is_asked_at_its_own_moment() {
        let policy = policy(80, 100);
        let asked: Vec<_> = (0..=u8::MAX).map(|spread| policy.asks_at(at(5), spread)).collect();
        assert_eq!(asked[0], at(85));
        assert!(asked.is_sorted_by(|earlier, later| earlier > later), "no two at one moment");
        assert!(asked[255] > at(75) && asked[255] < at(76), "an eighth earlier at most: {:?}", asked[255]);
    }

    #[test]
    fn after_a_stall_each_is_asked_at_its_own_moment_soon() {
        let policy = policy(80, 100);
        for spread in [1, 100, 255] {
            // In time, or a little late: no stall.
            assert_eq!(policy.received_after_stall(at(0), at(80), spread), None);
            let last_received = policy.received_after_stall(at(0), at(1_000), spread).expect("it is late");
            let asked = policy.asks_at(last_received, spread);
            assert!(asked >= at(1_000) && asked <= at(1_010), "{asked:?}");
            assert_eq!(
                policy.received_after_stall(last_received, asked, spread),
                None,
                "and then it is asked"
            );
        }
        assert_eq!(
            policy.received_after_stall(at(0), at(1_000), 0),
            None,
            "at once, where nothing is spread"
        );
        assert_eq!(Liveness::UNCHECKED.received_after_stall(at(0), at(1 << 40), 7), None);
    }
}
