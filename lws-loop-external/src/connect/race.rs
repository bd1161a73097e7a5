//! Happy eyeballs: which address is tried when. RFC 8305 §4, §5. Knows no sockets and no clock.

use crate::address::Address;
use lws_proto::Time;
use std::collections::VecDeque;
use std::time::Duration;

/// The addresses that have not been tried yet, and the time of the next try.
#[derive(Debug)]
pub(super) struct Race {
    waiting: VecDeque<Address>,
    next_at: Time,
    pace: Pace,
}

/// The limits on how fast addresses are tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// The delay between the beginnings of two attempts, if the first one neither succeeds nor fails before.
    pub(super) stagger: Duration,
    /// The most attempts at a time.
    pub(super) racing_max: usize,
}

/// RFC 8305 §5 requires 10 ms between two attempts. After a failed attempt the next starts at once, which is our
/// choice.
const STAGGER_MIN: Duration = Duration::from_millis(10);

impl Race {
    pub(super) fn new(now: Time, addresses: impl IntoIterator<Item = Address>, pace: Pace) -> Self {
        let pace = Pace { stagger: pace.stagger.max(STAGGER_MIN), racing_max: pace.racing_max.max(1) };
        Self { waiting: addresses.into_iter().collect(), next_at: now, pace }
    }

    /// The address to try now, while `racing` others are being tried.
    pub(super) fn start(&mut self, now: Time, racing: usize) -> Option<Address> {
        if self.next_at > now || racing >= self.pace.racing_max {
            return None;
        }
        let address = self.waiting.pop_front()?;
        self.next_at = now + self.pace.stagger;
        Some(address)
    }

    /// Makes the next attempt due at once, as one has failed.
    pub(super) fn failed(&mut self, now: Time) {
        self.next_at = now;
    }

    /// The time of the next attempt, if none fails before.
    pub(super) fn next_start(&self, racing: usize) -> Option<Time> {
        (!self.waiting.is_empty() && racing < self.pace.racing_max).then_some(self.next_at)
    }

    /// The number of addresses that have not been tried.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

/// Orders addresses so that families alternate, beginning with that of the first address; each family keeps its
/// order. Drops duplicates, and everything after the first `max`.
pub(super) fn interleave(addresses: Vec<Address>, max: usize) -> Vec<Address> {
    let Some(first) = addresses.first().map(family) else { return Vec::new() };
    let (ours, others): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| family(address) == first);
    let (mut ours, mut others) = (ours.into_iter(), others.into_iter());
    let mut sorted = Vec::new();
    while sorted.len() < max {
        let pair = [ours.next(), others.next()];
        if pair.iter().all(Option::is_none) {
            break;
        }
        for address in pair.into_iter().flatten() {
            if sorted.len() < max && !sorted.contains(&address) {
                sorted.push(address);
            }
        }
    }
    sorted
}

/// The family of an address: `Some(true)` for IPv6, `Some(false)` for IPv4.
fn family(address: &Address) -> Option<bool> {
    match address {
        Address::Tcp(address) => Some(address.is_ipv6()),
        Address::Unix(_) | Address::Abstract(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn four(last: u8) -> Address {
        Address::Tcp(([127, 0, 0, last], 80).into())
    }

    fn six(last: u16) -> Address {
        Address::Tcp(([0, 0, 0, 0, 0, 0, 0, last], 80).into())
    }

    fn at(millis: u64) -> Time {
        Time::from_micros(millis * 1_000)
    }

    #[test]
    fn families_take_turns_beginning_with_that_of_the_first_address() {
        let check = |given: Vec<Address>, max, expected: Vec<Address>| {
            assert_eq!(interleave(given.clone(), max), expected, "{given:?}");
        };
        check(
            vec![six(1), six(2), six(3), four(1), four(2)],
            9,
            vec![six(1), four(1), six(2), four(2), six(3)],
        );
        check(vec![four(1), six(1), four(2), four(3)], 9, vec![four(1), six(1), four(2), four(3)]);
        check(vec![four(1), four(1), four(2), four(1)], 9, vec![four(1), four(2)]);
        check(vec![six(1), six(2), six(3), four(1)], 2, vec![six(1), four(1)]);
        check((1..=100).map(six).chain([four(1)]).collect(), 3, vec![six(1), four(1), six(2)]);
        check(vec![], 9, vec![]);
        check(vec![four(1)], 0, vec![]);
    }

    #[test]
    fn attempts_are_staggered_and_a_failure_brings_the_next_at_once() {
        let pace = Pace { stagger: Duration::from_millis(250), racing_max: 3 };
        let mut race = Race::new(at(0), (1..=5).map(four), pace);
        assert_eq!(race.start(at(0), 0), Some(four(1)));
        assert_eq!(race.start(at(0), 1), None);
        assert_eq!(race.next_start(1), Some(at(250)));
        assert_eq!(race.start(at(249), 1), None);
        assert_eq!(race.start(at(250), 1), Some(four(2)));
        race.failed(at(300));
        assert_eq!(race.start(at(300), 1), Some(four(3)));
        assert_eq!(race.start(at(300), 2), None);
        assert_eq!(race.start(at(550), 2), Some(four(4)));
        // Three are racing, which is the limit: the last address waits until one of them fails.
        assert_eq!((race.start(at(900), 3), race.next_start(3)), (None, None));
        race.failed(at(950));
        assert_eq!(race.start(at(950), 2), Some(four(5)));
        assert_eq!((race.start(at(9_999), 0), race.next_start(0), race.waiting()), (None, None, 0));
    }

    #[test]
    fn no_pace_is_faster_than_the_rfc_allows_or_stands_still() {
        let pace = Pace { stagger: Duration::ZERO, racing_max: 0 };
        let mut race = Race::new(at(0), [four(1), four(2)], pace);
        assert_eq!(race.start(at(0), 0), Some(four(1)));
        race.failed(at(0));
        assert_eq!(race.start(at(0), 0), Some(four(2)));
        let pace = Pace { racing_max: 2, ..pace };
        let mut race = Race::new(at(0), [four(1), four(2)], pace);
        race.start(at(0), 0);
        assert_eq!(race.next_start(1), Some(at(10)));
    }
}
