//! Which upstream gets the next request, of those that have not failed lately: two are drawn, and the one with fewer requests is chosen; or
//! one for each client, as long as that is well.
//!
//! Pure: time and chance are arguments.

use crate::upstream::Upstream;
use lws_server::Time;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

/// Failures within [`WINDOW`] after which an upstream gets nothing for as long.
const FAILURES_MAX: usize = 3;
/// How long a failure counts, and how long an upstream is left alone.
const WINDOW: Duration = Duration::from_secs(10);

/// The upstreams of a proxy.
#[derive(Debug)]
pub(crate) struct Balance {
    members: Vec<Member>,
    /// The state of a xorshift generator, which decides between upstreams and nothing else.
    chance: Cell<u64>,
}

#[derive(Debug)]
struct Member {
    upstream: Upstream,
    in_flight: Rc<Cell<usize>>,
    /// When it failed, the last [`FAILURES_MAX`] times.
    failures: RefCell<VecDeque<Time>>,
}

/// An upstream that has a request, until this is dropped.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) index: usize,
    in_flight: Rc<Cell<usize>>,
}

impl Drop for Chosen {
    fn drop(&mut self) {
        self.in_flight.set(self.in_flight.get() - 1);
    }
}

impl Balance {
    pub(crate) fn new(upstreams: Vec<Upstream>) -> Self {
        let member = |upstream| Member { upstream, in_flight: Rc::default(), failures: RefCell::default() };
        Self {
            members: upstreams.into_iter().map(member).collect(),
            chance: Cell::new(0x9e37_79b9_7f4a_7c15),
        }
    }

    pub(crate) fn upstream(&self, index: usize) -> &Upstream {
        &self.members[index].upstream
    }

    /// Chooses one that is not among `tried`: for a client the same each time. `None` if all are.
    pub(crate) fn choose(&self, now: Time, tried: &[usize], client: Option<IpAddr>) -> Option<Chosen> {
        let untried = || (0..self.members.len()).filter(|index| !tried.contains(index));
        let mut open: Vec<usize> = untried().filter(|index| self.members[*index].is_well(now)).collect();
        if open.is_empty() {
            // One that has failed is better than none: if all have, the fault may be ours.
            open = untried().collect();
        }
        let index = match client {
            // Rendezvous: when one is left alone or added, only the clients move that it has or gets.
            Some(client) => open.into_iter().max_by_key(|index| weight(client, *index))?,
            None => self.less_busy(&open)?,
        };
        let in_flight = Rc::clone(&self.members[index].in_flight);
        in_flight.set(in_flight.get() + 1);
        Some(Chosen { index, in_flight })
    }

    /// Of two that are drawn the one with fewer requests.
    fn less_busy(&self, open: &[usize]) -> Option<usize> {
        let first = *open.get(self.draw(open.len())?)?;
        let second = *open.get(self.draw(open.len())?)?;
        let load = |index: usize| self.members[index].in_flight.get();
        Some(if load(second) < load(first) { second } else { first })
    }

    /// One of `count`, by chance.
    fn draw(&self, count: usize) -> Option<usize> {
        let mut word = self.chance.get();
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        self.chance.set(word);
        usize::try_from(word >> 33).ok()?.checked_rem(count)
    }

    /// A request has failed for a reason that is the upstream's.
    pub(crate) fn failed(&self, now: Time, index: usize) {
        let mut failures = self.members[index].failures.borrow_mut();
        if failures.len() == FAILURES_MAX {
            failures.pop_front();
        }
        failures.push_back(now);
    }

    /// A request was answered.
    pub(crate) fn answered(&self, index: usize) {
        self.members[index].failures.borrow_mut().clear();
    }
}

/// How much a client leans to an upstream: the same on every thread.
fn weight(client: IpAddr, index: usize) -> u64 {
    let mut hasher = DefaultHasher::new();
    (client, index).hash(&mut hasher);
    hasher.finish()
}

impl Member {
    /// Whether it has not failed so often that it is left alone. After that time the next request tries it: one more failure, and it is left
    /// alone again.
    fn is_well(&self, now: Time) -> bool {
        let failures = self.failures.borrow();
        failures.len() < FAILURES_MAX || failures.back().is_none_or(|last| now - *last >= WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balance(count: usize) -> Balance {
        Balance::new(vec!["http://a".parse().expect("an upstream"); count])
    }

    fn at(seconds: u64) -> Time {
        Time::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn requests_are_spread_and_no_upstream_is_far_ahead() {
        let balance = balance(4);
        let chosen: Vec<_> =
            (0..400).map(|_| balance.choose(at(0), &[], None).expect("one of four")).collect();
        for index in 0..4 {
            let count = chosen.iter().filter(|it| it.index == index).count();
            assert!((90..=110).contains(&count), "{index} has {count}");
        }
        drop(chosen);
        assert!(balance.members.iter().all(|member| member.in_flight.get() == 0));
    }

    #[test]
    fn one_that_has_failed_three_times_is_left_alone_for_ten_seconds_but_not_the_last() {
        let balance = balance(2);
        let fails = |index: usize, now: u64| (0..3).for_each(|_| balance.failed(at(now), index));
        let gets = |now: u64| {
            let mut gets: Vec<_> =
                (0..40).filter_map(|_| balance.choose(at(now), &[], None).map(|it| it.index)).collect();
            gets.sort_unstable();
            gets.dedup();
            gets
        };
        fails(0, 1);
        assert_eq!(gets(2), [1]);
        assert_eq!(gets(11), [0, 1], "it is tried again");
        balance.failed(at(12), 0);
        assert_eq!(gets(13), [1], "one more failure is enough");
        fails(1, 13);
        assert_eq!(gets(14), [0, 1], "all have failed, which is better than no answer");
        balance.answered(0);
        assert_eq!(gets(15), [0]);
    }

    #[test]
    fn one_that_was_tried_is_not_chosen_again() {
        let balance = balance(2);
        assert_eq!(balance.choose(at(0), &[1], None).map(|it| it.index), Some(0));
        assert!(balance.choose(at(0), &[0, 1], None).is_none());
    }

    #[test]
    fn a_client_has_one_upstream_and_moves_only_if_that_is_left_alone() {
        let balance = balance(4);
        let client = |number: u32| Some(IpAddr::from(number.to_be_bytes()));
        let of = |number: u32, now: u64| balance.choose(at(now), &[], client(number)).map(|it| it.index);
        let before: Vec<_> = (0..400).map(|number| of(number, 0)).collect();
        for index in 0..4 {
            let count = before.iter().filter(|it| **it == Some(index)).count();
            assert!((60..=140).contains(&count), "{index} has {count}");
        }
        (0..3).for_each(|_| balance.failed(at(1), 2));
        for (number, before) in (0..400).zip(&before) {
            let now = of(number, 2);
            assert!(
                now != Some(2) && (*before == Some(2) || now == *before),
                "{number}: {before:?}, {now:?}"
            );
        }
    }
}
