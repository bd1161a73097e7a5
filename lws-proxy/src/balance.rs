//! Which upstream gets the next request, of those that are well: two are drawn, and the one with fewer requests is chosen; or one for each
//! client, as long as that is well.
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

/// Failures within [`FAILURES_WINDOW`], and no answer between them, after which an upstream is left alone.
const FAILURES_MAX: usize = 3;
/// How long a failure counts.
const FAILURES_WINDOW: Duration = Duration::from_secs(10);
/// How long an upstream is left alone before one request tries it again.
const PAUSE: Duration = Duration::from_secs(10);
/// What an upstream that has come back counts for at first, in thousandths.
const SHARE_MIN: u64 = 100;
/// What one counts for that has been there all along.
const SHARE_WHOLE: u64 = 1_000;

/// The upstreams of a proxy.
#[derive(Debug)]
pub(crate) struct Balance {
    members: Vec<Rc<Member>>,
    /// Over how long the share of one grows that has come back; zero gives it all at once.
    slow_start: Duration,
    /// The state of a xorshift generator, which decides between upstreams and nothing else.
    chance: Cell<u64>,
}

#[derive(Debug)]
struct Member {
    upstream: Upstream,
    in_flight: Cell<usize>,
    /// What requests have met there.
    health: RefCell<Health>,
    /// The last check has failed.
    failed_check: Cell<bool>,
    /// When it came back, if it was away.
    back_since: Cell<Option<Time>>,
}

/// What requests have met at an upstream.
#[derive(Debug)]
enum Health {
    /// It answers, but for these failures, which are fewer than [`FAILURES_MAX`].
    Well { failures: VecDeque<Time> },
    /// It gets no requests before.
    LeftAlone { until: Time },
    /// One request finds out.
    Tried,
}

/// An upstream that has a request, until this is dropped.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) index: usize,
    member: Rc<Member>,
    /// When it was chosen to find out whether the upstream is well again, if it was.
    tries_since: Option<Time>,
}

impl Drop for Chosen {
    fn drop(&mut self) {
        self.member.in_flight.set(self.member.in_flight.get() - 1);
        let mut health = self.member.health.borrow_mut();
        if let (Some(since), Health::Tried) = (self.tries_since, &*health) {
            // It has found out nothing, as its client has left: the next one may.
            *health = Health::LeftAlone { until: since };
        }
    }
}

impl Balance {
    pub(crate) fn new(upstreams: Vec<Upstream>, slow_start: Duration) -> Self {
        let member = |upstream| {
            Rc::new(Member {
                upstream,
                in_flight: Cell::new(0),
                health: RefCell::default(),
                failed_check: Cell::new(false),
                back_since: Cell::new(None),
            })
        };
        Self {
            members: upstreams.into_iter().map(member).collect(),
            slow_start,
            chance: Cell::new(0x9e37_79b9_7f4a_7c15),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn upstream(&self, index: usize) -> &Upstream {
        &self.members[index].upstream
    }

    /// Chooses one that is not among `tried`: for a client the same each time. `None` if all are.
    pub(crate) fn choose(&self, now: Time, tried: &[usize], client: Option<IpAddr>) -> Option<Chosen> {
        let untried = || (0..self.members.len()).filter(|index| !tried.contains(index));
        let mut open: Vec<usize> = untried().filter(|index| self.members[*index].is_open(now)).collect();
        if open.is_empty() {
            // One that has failed is better than none: if all have, the fault may be ours.
            open = untried().collect();
        }
        let index = match client {
            // Rendezvous: when one is left alone or added, only the clients move that it has or gets.
            Some(client) => open.into_iter().max_by_key(|index| weight(client, *index))?,
            None => self.less_busy(now, &open)?,
        };
        let member = Rc::clone(&self.members[index]);
        member.in_flight.set(member.in_flight.get() + 1);
        let tries_since = member.begin_try(now);
        Some(Chosen { index, member, tries_since })
    }

    /// Of two that are drawn the one with fewer requests for its share.
    fn less_busy(&self, now: Time, open: &[usize]) -> Option<usize> {
        let at = self.draw(open.len())?;
        let behind = 1 + self.draw(open.len() - 1).unwrap_or(0);
        let (first, second) = (*open.get(at)?, *open.get((at + behind) % open.len())?);
        let load = |index: usize| self.members[index].in_flight.get() as u64 + 1;
        let share = |index: usize| self.members[index].share(now, self.slow_start);
        Some(if load(second) * share(first) < load(first) * share(second) { second } else { first })
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
        self.members[index].health.borrow_mut().note_failure(now);
    }

    /// A request was answered.
    pub(crate) fn answered(&self, now: Time, index: usize) {
        let member = &self.members[index];
        let before = member.health.replace(Health::default());
        if !matches!(before, Health::Well { .. }) {
            member.back_since.set(Some(now));
        }
    }

    /// A check has been passed or not.
    pub(crate) fn checked(&self, now: Time, index: usize, passed: bool) {
        let member = &self.members[index];
        if member.failed_check.replace(!passed) && passed {
            member.health.replace(Health::default());
            member.back_since.set(Some(now));
        }
    }
}

/// How much a client leans to an upstream: the same on every thread.
fn weight(client: IpAddr, index: usize) -> u64 {
    let mut hasher = DefaultHasher::new();
    (client, index).hash(&mut hasher);
    hasher.finish()
}

impl Member {
    /// Whether it may have a request while others may, too.
    fn is_open(&self, now: Time) -> bool {
        let alone = match &*self.health.borrow() {
            Health::Well { .. } => false,
            Health::LeftAlone { until } => now < *until,
            Health::Tried => true,
        };
        !alone && !self.failed_check.get()
    }

    /// The next request finds out whether it is well, if that is not known. Since when it does.
    fn begin_try(&self, now: Time) -> Option<Time> {
        let mut health = self.health.borrow_mut();
        match *health {
            Health::LeftAlone { until } if until <= now => {
                *health = Health::Tried;
                Some(now)
            }
            _ => None,
        }
    }

    /// What it counts for beside others, in thousandths.
    fn share(&self, now: Time, slow_start: Duration) -> u64 {
        let Some(since) = self.back_since.get().filter(|since| now - *since < slow_start) else {
            return SHARE_WHOLE;
        };
        let grown = (now - since).as_micros() * u128::from(SHARE_WHOLE) / slow_start.as_micros();
        // It is less than all of it.
        u64::try_from(grown).unwrap_or(SHARE_WHOLE).max(SHARE_MIN)
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::Well { failures: VecDeque::new() }
    }
}

impl Health {
    fn note_failure(&mut self, now: Time) {
        if let Self::Well { failures } = self {
            failures.retain(|at| now - *at < FAILURES_WINDOW);
            failures.push_back(now);
            if failures.len() < FAILURES_MAX {
                return;
            }
        }
        *self = Self::LeftAlone { until: now + PAUSE };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balance(count: usize) -> Balance {
        Balance::new(vec!["http://a".parse().expect("an upstream"); count], Duration::ZERO)
    }

    fn at(seconds: u64) -> Time {
        Time::from_micros(seconds * 1_000_000)
    }

    /// The upstreams that get a request at a moment, each request after the one before.
    fn gets(balance: &Balance, now: u64) -> Vec<usize> {
        let one = |_| balance.choose(at(now), &[], None).map(|it| it.index);
        let mut gets: Vec<_> = (0..40).filter_map(one).collect();
        gets.sort_unstable();
        gets.dedup();
        gets
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
        fails(0, 1);
        assert_eq!(gets(&balance, 2), [1]);
        assert_eq!(gets(&balance, 11), [0, 1], "it is tried again");
        balance.failed(at(12), 0);
        assert_eq!(gets(&balance, 13), [1], "one more failure is enough");
        fails(1, 13);
        assert_eq!(gets(&balance, 14), [0, 1], "all have failed, which is better than no answer");
        balance.answered(at(14), 0);
        assert_eq!(gets(&balance, 15), [0]);
    }

    #[test]
    fn failures_count_for_ten_seconds_and_an_answer_forgets_them() {
        let balance = balance(2);
        for now in [0, 6, 12, 18, 24] {
            balance.failed(at(now), 0);
            assert_eq!(gets(&balance, now), [0, 1], "two in ten seconds");
        }
        balance.answered(at(25), 0);
        balance.failed(at(26), 0);
        balance.failed(at(26), 0);
        assert_eq!(gets(&balance, 26), [0, 1]);
        balance.failed(at(26), 0);
        assert_eq!(gets(&balance, 26), [1]);
    }

    #[test]
    fn one_request_at_a_time_finds_out_whether_it_is_well_again() {
        let balance = balance(2);
        (0..3).for_each(|_| balance.failed(at(0), 0));
        let tries = || (0..40).filter_map(|_| balance.choose(at(11), &[], None)).find(|it| it.index == 0);
        let first = tries().expect("one tries it");
        assert!(tries().is_none(), "and no other one");
        drop(first);
        let second = tries().expect("the first has found out nothing");
        balance.failed(at(12), 0);
        drop(second);
        assert_eq!(gets(&balance, 21), [1], "it has failed once more");
        let third = (0..40).filter_map(|_| balance.choose(at(22), &[], None)).find(|it| it.index == 0);
        balance.answered(at(23), 0);
        drop(third.expect("one tries it"));
        assert_eq!(gets(&balance, 23), [0, 1]);
    }

    #[test]
    fn one_that_fails_a_check_gets_nothing_until_it_passes_one() {
        let balance = balance(2);
        balance.checked(at(1), 0, false);
        assert_eq!(gets(&balance, 100), [1]);
        balance.answered(at(100), 0);
        assert_eq!(gets(&balance, 100), [1], "an answer to an old request is no check");
        balance.checked(at(101), 1, false);
        assert_eq!(gets(&balance, 101), [0, 1], "all fail, which is better than no answer");
        balance.checked(at(102), 0, true);
        assert_eq!(gets(&balance, 102), [0]);
    }

    #[test]
    fn the_share_of_one_that_has_come_back_grows() {
        let mut balance = balance(2);
        balance.slow_start = Duration::from_secs(10);
        balance.checked(at(0), 0, false);
        balance.checked(at(100), 0, true);
        let share = |now: u64| {
            let chosen: Vec<_> = (0..600).filter_map(|_| balance.choose(at(now), &[], None)).collect();
            chosen.iter().filter(|it| it.index == 0).count()
        };
        let (first, half, whole) = (share(100), share(105), share(110));
        assert!((30..=80).contains(&first), "{first} of 600: a tenth of what the other has");
        assert!((170..=230).contains(&half), "{half} of 600: half of what the other has");
        assert!((270..=330).contains(&whole), "{whole} of 600");
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
