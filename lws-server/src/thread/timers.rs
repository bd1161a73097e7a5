//! The timers of a server's thread that belong to no stream: calls that are due at some moment, once or again and again.
//!
//! Knows no loop: it says when the next one is due, and the application asks the driver for that one moment.

use crate::Context;
use crate::id::TimerId;
use lws_proto::Time;
use std::collections::BTreeMap;
use std::time::Duration;

/// What a timer calls.
pub(crate) enum TimerCall {
    Once(Box<dyn FnOnce(&mut Context<'_>)>),
    Every(Duration, Box<dyn FnMut(&mut Context<'_>)>),
}

/// The shortest period: one of zero would be due again before anything else is served.
const PERIOD_MIN: Duration = Duration::from_millis(1);

/// Timers in the order in which they are due; those of one moment in the order in which they were asked for.
#[derive(Default)]
pub(crate) struct Timers {
    due: BTreeMap<(Time, TimerId), TimerCall>,
    /// The moment of each, by which it is found again.
    moments: BTreeMap<TimerId, Time>,
    next: u64,
}

impl Timers {
    /// Adds a call that is due at `at`.
    pub(crate) fn once(&mut self, at: Time, call: Box<dyn FnOnce(&mut Context<'_>)>) -> TimerId {
        let id = self.name();
        self.insert(at, id, TimerCall::Once(call));
        id
    }

    /// Adds a call that is due after each `period`.
    pub(crate) fn every(
        &mut self,
        now: Time,
        period: Duration,
        call: Box<dyn FnMut(&mut Context<'_>)>,
    ) -> TimerId {
        let (id, period) = (self.name(), period.max(PERIOD_MIN));
        self.insert(now + period, id, TimerCall::Every(period, call));
        id
    }

    fn name(&mut self) -> TimerId {
        self.next += 1;
        TimerId(self.next)
    }

    fn insert(&mut self, at: Time, id: TimerId, call: TimerCall) {
        self.moments.insert(id, at);
        self.due.insert((at, id), call);
    }

    /// Forgets a timer. Answers whether it was there.
    pub(crate) fn cancel(&mut self, id: TimerId) -> bool {
        match self.moments.remove(&id) {
            // While it is being called it is not among those that are due, and is not put back afterwards.
            Some(at) => {
                self.due.remove(&(at, id));
                true
            }
            None => false,
        }
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Time> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// How many are due at `now`.
    pub(crate) fn count_due(&self, now: Time) -> usize {
        self.due.range(..=(now, TimerId(u64::MAX))).count()
    }

    /// Takes one that is due at `now`. What is called again and again keeps its name until [`put_back`](Self::put_back).
    pub(crate) fn take(&mut self, now: Time) -> Option<(Time, TimerId, TimerCall)> {
        let entry = self.due.first_entry().filter(|entry| entry.key().0 <= now)?;
        let ((at, id), call) = entry.remove_entry();
        if matches!(call, TimerCall::Once(_)) {
            self.moments.remove(&id);
        }
        Some((at, id, call))
    }

    /// Has a call that was due at `at` called again after its period, unless it was cancelled meanwhile. Periods that have
    /// passed unnoticed are left out.
    pub(crate) fn put_back(
        &mut self,
        now: Time,
        at: Time,
        id: TimerId,
        period: Duration,
        call: Box<dyn FnMut(&mut Context<'_>)>,
    ) {
        if self.moments.contains_key(&id) {
            let next = at + period;
            let next = if next > now { next } else { now + period };
            self.insert(next, id, TimerCall::Every(period, call));
        }
    }

    /// Forgets a timer whose call has panicked.
    pub(crate) fn forget(&mut self, id: TimerId) {
        self.moments.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::from_micros(millis * 1_000)
    }

    #[test]
    fn timers_are_due_in_order_and_once() {
        let mut timers = Timers::default();
        let late = timers.once(at(20), Box::new(|_| {}));
        let early = timers.once(at(10), Box::new(|_| {}));
        assert_eq!(timers.next(), Some(at(10)));
        assert!(timers.take(at(9)).is_none());
        assert_eq!(timers.take(at(30)).map(|(_, id, _)| id), Some(early));
        assert_eq!(timers.take(at(30)).map(|(_, id, _)| id), Some(late));
        assert!(timers.take(at(30)).is_none() && timers.next().is_none());
        assert!(!timers.cancel(late), "it has been");
    }

    #[test]
    fn a_period_begins_when_the_last_one_was_due_and_lost_ones_are_left_out() {
        let mut timers = Timers::default();
        let id = timers.every(at(0), Duration::from_millis(10), Box::new(|_| {}));
        let mut pass = |now: u64, next: Option<u64>| {
            let taken = timers.take(at(now));
            if let Some((due, id, TimerCall::Every(period, call))) = taken {
                timers.put_back(at(now), due, id, period, call);
            }
            assert_eq!(timers.next(), next.map(at), "after {now}");
        };
        pass(9, Some(10));
        pass(12, Some(20));
        pass(55, Some(65));
        assert!(timers.cancel(id));
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_timer_that_is_cancelled_by_its_own_call_does_not_come_back() {
        let mut timers = Timers::default();
        timers.every(at(0), Duration::ZERO, Box::new(|_| {}));
        let Some((due, id, TimerCall::Every(period, call))) = timers.take(at(1)) else {
            panic!("a period of nothing is the shortest one");
        };
        assert!(timers.cancel(id));
        timers.put_back(at(1), due, id, period, call);
        assert_eq!(timers.next(), None);
    }
}
