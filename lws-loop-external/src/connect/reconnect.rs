//! When to connect again after a connection has ended. Knows no socket; time and chance are arguments.

use super::retry::RetryPolicy;
use lws_proto::{Entropy, Time};
use std::mem;

/// Decides when to connect, and when to connect again.
///
/// An application keeps one for each connection that it wants to last, and reports to it what happens to the
/// connection. Whenever [`next_try`](Self::next_try) may have changed it sets its timer to that; in the timer, and at
/// the beginning, it asks [`is_due`](Self::is_due), and connects if so.
///
/// ```
/// use lws_loop_external::{NextTry, Reconnect, RetryPolicy, SystemEntropy};
/// use lws_proto::Time;
/// use std::time::Duration;
///
/// let mut entropy = SystemEntropy::new()?;
/// let now = Time::ZERO;
/// let mut link = Reconnect::new(RetryPolicy::default(), now);
/// assert!(link.is_due(now), "the first time at once");
/// // `DriverContext::connect`, and later `Application::connect_failed`:
/// let NextTry::At(later) = link.failed(now, &mut entropy) else { panic!("it goes on for ever") };
/// assert!(!link.is_due(now) && link.is_due(later));
/// // `DriverContext::connect` again, and this time `Application::connected`, and later `closed`:
/// link.connected(later);
/// let next = link.closed(later + Duration::from_secs(3_600), &mut entropy);
/// assert_eq!(link.failures(), 1, "it lasted, so counting has begun again");
/// # let _ = next;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Reconnect {
    policy: RetryPolicy,
    /// The number of tries that have failed in a row.
    failures: u32,
    state: State,
}

/// The outcome of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextTry {
    /// Try again at this time.
    At(Time),
    /// Never: [`RetryPolicy::tries_max`] tries have failed.
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The next try is at this time.
    Waiting(Time),
    /// A try is under way.
    Connecting,
    /// The connection has existed since this time.
    Connected(Time),
    /// No more tries follow.
    Over,
}

impl Reconnect {
    /// The first try is due at `now`.
    #[must_use]
    pub fn new(policy: RetryPolicy, now: Time) -> Self {
        Self { policy, failures: 0, state: State::Waiting(now) }
    }

    /// The time of the next try, to set a timer to. `None` if no try is waiting.
    #[must_use]
    pub fn next_try(&self) -> Option<Time> {
        match self.state {
            State::Waiting(at) => Some(at),
            State::Connecting | State::Connected(_) | State::Over => None,
        }
    }

    /// Whether to connect now. Returns true once for each try: the caller must connect then, or report that it
    /// [`failed`](Self::failed).
    pub fn is_due(&mut self, now: Time) -> bool {
        let due = matches!(self.state, State::Waiting(at) if at <= now);
        if due {
            self.state = State::Connecting;
        }
        due
    }

    /// Reports that the connection has been made.
    pub fn connected(&mut self, now: Time) {
        if self.state != State::Over {
            self.state = State::Connected(now);
        }
    }

    /// Reports that the connection could not be made, or that the peer refused it.
    pub fn failed(&mut self, now: Time, entropy: &mut dyn Entropy) -> NextTry {
        if self.state == State::Over {
            return NextTry::Never;
        }
        self.failures = self.failures.saturating_add(1);
        let mut random = [0; 4];
        entropy.fill(&mut random);
        match self.policy.delay(self.failures, u32::from_ne_bytes(random)) {
            Some(delay) => {
                self.state = State::Waiting(now + delay);
                NextTry::At(now + delay)
            }
            None => {
                self.state = State::Over;
                NextTry::Never
            }
        }
    }

    /// Reports that the connection has ended. If it lasted for [`RetryPolicy::reset_after`], the failures before it
    /// are forgotten.
    pub fn closed(&mut self, now: Time, entropy: &mut dyn Entropy) -> NextTry {
        if let State::Connected(since) = self.state
            && now - since >= self.policy.reset_after
        {
            self.failures = 0;
        }
        self.failed(now, entropy)
    }

    /// Ends all tries. Returns true if a connection exists or is being made, which the caller has to close.
    pub fn stop(&mut self) -> bool {
        let before = mem::replace(&mut self.state, State::Over);
        matches!(before, State::Connecting | State::Connected(_))
    }

    /// Makes the next try due at once, also when the tries had ended: for example because the network is back.
    pub fn hurry(&mut self, now: Time) {
        if matches!(self.state, State::Waiting(_) | State::Over) {
            self.failures = 0;
            self.state = State::Waiting(now);
        }
    }

    /// The number of tries that have failed in a row.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Sets another policy, which holds from the next failure on.
    pub fn set_policy(&mut self, policy: RetryPolicy) {
        self.policy = policy;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Backoff;
    use std::time::Duration;

    struct NoJitter;

    impl Entropy for NoJitter {
        fn fill(&mut self, bytes: &mut [u8]) {
            bytes.fill(0);
        }
    }

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    fn link(tries_max: Option<u32>) -> Reconnect {
        let backoff = Backoff::Table([1, 2, 4].map(Duration::from_secs).to_vec().into());
        Reconnect::new(RetryPolicy { backoff, tries_max, ..RetryPolicy::default() }, at(0))
    }

    #[test]
    fn tries_come_later_and_later_until_a_connection_lasts() {
        let (mut link, chance) = (link(None), &mut NoJitter);
        assert_eq!(link.next_try(), Some(at(0)));
        assert!(link.is_due(at(0)) && !link.is_due(at(9)), "said once");
        assert_eq!(link.next_try(), None);
        assert_eq!(link.failed(at(10), chance), NextTry::At(at(11)));
        assert!(!link.is_due(at(10)) && link.is_due(at(11)));
        link.connected(at(12));
        assert_eq!(link.closed(at(13), chance), NextTry::At(at(15)), "one second is not lasting");
        assert!(link.is_due(at(15)));
        link.connected(at(20));
        assert_eq!(link.closed(at(30), chance), NextTry::At(at(31)), "ten are");
    }

    #[test]
    fn the_last_try_ends_it_and_hurry_begins_again() {
        let (mut link, chance) = (link(Some(2)), &mut NoJitter);
        assert!(link.is_due(at(0)));
        assert_eq!(link.failed(at(0), chance), NextTry::At(at(1)));
        link.hurry(at(0));
        assert!(link.is_due(at(0)));
        link.hurry(at(0));
        assert!(!link.is_due(at(0)), "it is being tried");
        assert_eq!(link.failed(at(0), chance), NextTry::At(at(1)));
        assert!(link.is_due(at(1)));
        assert_eq!(link.failed(at(1), chance), NextTry::Never);
        assert!(!link.is_due(at(99)) && link.next_try().is_none());
        assert_eq!(link.failed(at(99), chance), NextTry::Never);
        link.hurry(at(100));
        assert!(link.is_due(at(100)));
    }

    #[test]
    fn what_was_stopped_stays_so() {
        let (mut link, chance) = (link(None), &mut NoJitter);
        assert!(link.is_due(at(0)));
        assert!(link.stop(), "there is something to close");
        link.connected(at(1));
        assert_eq!(link.closed(at(99), chance), NextTry::Never);
        assert!(!link.stop());
    }
}
