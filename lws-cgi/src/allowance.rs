//! A time that runs while a script is waited for, and stands still while the client of its request is. Knows no clock.

use lws_server::Time;
use std::time::Duration;

/// What is left of a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    left: Duration,
    /// Since when it runs, if it does.
    since: Option<Time>,
}

impl Allowance {
    /// All of a time, which does not run yet.
    pub(crate) fn new(whole: Duration) -> Self {
        Self { left: whole, since: None }
    }

    /// Lets it run from `now` on, if it does not already, and returns when it is used up.
    pub(crate) fn run(&mut self, now: Time) -> Time {
        *self.since.get_or_insert(now) + self.left
    }

    /// Lets it stand still from `now` on.
    pub(crate) fn rest(&mut self, now: Time) {
        if let Some(since) = self.since.take() {
            self.left = self.left.saturating_sub(now - since);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_time_that_runs_is_used_up() {
        let at = |seconds: u64| Time::from_micros(seconds * 1_000_000);
        let mut allowance = Allowance::new(Duration::from_secs(10));
        assert_eq!(allowance.run(at(5)), at(15));
        assert_eq!(allowance.run(at(8)), at(15), "it runs already");
        allowance.rest(at(9));
        allowance.rest(at(30));
        assert_eq!(allowance.run(at(100)), at(106), "four of ten seconds are gone");
        allowance.rest(at(200));
        assert_eq!(allowance.run(at(300)), at(300), "nothing is left");
    }
}
