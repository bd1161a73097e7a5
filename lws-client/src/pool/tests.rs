//! The pool, one rule per test. Requests are names of a slab of their own.

use super::*;
use crate::options::{Options, RequestOptions};

struct Bench {
    pool: Pool,
    now: Time,
    names: Slab<()>,
}

fn key(url: &str) -> Arc<Key> {
    Arc::new(Key::new(&url.parse().expect("a URL"), &RequestOptions::default(), &Options::default()))
}

impl Bench {
    fn new(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        Self { pool: Pool::new(limits), now: Time::ZERO, names: Slab::default() }
    }

    fn want(&mut self, key: &Arc<Key>) -> Waiter {
        self.want_as(key, false, false)
    }

    fn want_as(&mut self, key: &Arc<Key>, fresh: bool, careful: bool) -> Waiter {
        let waiter = self.names.insert(());
        assert!(self.pool.want(key, Wanted { waiter, fresh, careful }));
        waiter
    }

    fn steps(&mut self) -> Vec<Step> {
        std::iter::from_fn(|| self.pool.poll(self.now)).collect()
    }

    fn opens(&mut self) -> Vec<Link> {
        let opened = |step| match step {
            Step::Open(link) => link,
            other => panic!("{other:?}"),
        };
        self.steps().into_iter().map(opened).collect()
    }

    fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    fn keep(&mut self, link: Link) {
        self.pool.release(self.now, link, After::Keep { hint: None });
    }

    /// A connection that has served one request and is idle.
    fn idle(&mut self, key: &Arc<Key>) -> Link {
        let waiter = self.want(key);
        let [link] = self.opens()[..] else { panic!("one connection") };
        self.pool.opened(self.now, link, Spoken::Http1);
        assert_eq!(self.steps(), [Step::Assign(link, waiter)]);
        self.keep(link);
        assert_eq!(self.steps(), []);
        link
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_last_used_connection_is_taken_first_and_those_who_wait_in_order() {
    let mut it = Bench::new(|_| {});
    let a = key("http://a");
    let (first, second) = (it.want(&a), it.want(&a));
    let links = it.opens();
    assert_eq!(links.len(), 2);
    it.pool.opened(it.now, links[0], Spoken::Http1);
    it.pool.opened(it.now, links[1], Spoken::Http1);
    let steps = it.steps();
    assert_eq!(steps.len(), 2);
    assert!(matches!(steps[0], Step::Assign(_, waiter) if waiter == first));
    assert!(matches!(steps[1], Step::Assign(_, waiter) if waiter == second));
    it.keep(links[0]);
    it.wait(SECOND);
    it.keep(links[1]);
    let third = it.want(&a);
    assert_eq!(it.steps(), [Step::Assign(links[1], third)]);
    let other = it.want(&key("http://b"));
    assert_eq!(it.opens().len(), 1, "another place has a connection of its own");
    it.pool.forget(other);
}

#[test]
fn a_place_has_so_many_connections_and_more_requests_wait() {
    let mut it = Bench::new(|limits| limits.per_host_max = 2);
    let a = key("http://a");
    let waiters: Vec<_> = (0..4).map(|_| it.want(&a)).collect();
    let links = it.opens();
    assert_eq!(links.len(), 2);
    it.pool.opened(it.now, links[0], Spoken::Http1);
    assert_eq!(it.steps(), [Step::Assign(links[0], waiters[0])]);
    it.keep(links[0]);
    assert_eq!(it.steps(), [Step::Assign(links[0], waiters[1])]);
    it.pool.release(it.now, links[0], After::Retire);
    assert_eq!(it.steps(), [Step::Close(links[0])]);
    it.pool.gone(it.now, links[0]);
    assert_eq!(it.opens().len(), 1, "its room is free again");
}

#[test]
fn the_oldest_idle_connection_gives_way_to_another_place() {
    let mut it = Bench::new(|limits| limits.connections_max = 2);
    let old = it.idle(&key("http://a"));
    it.wait(SECOND);
    let _young = it.idle(&key("http://b"));
    it.want(&key("http://c"));
    assert_eq!(it.steps(), [Step::Close(old)]);
    it.pool.gone(it.now, old);
    assert_eq!(it.opens().len(), 1);

    let mut it = Bench::new(|limits| limits.connections_max = 1);
    let waiter = it.want(&key("https://a"));
    let [shared] = it.opens()[..] else { panic!("a connection") };
    it.pool.opened(it.now, shared, Spoken::Http2);
    assert_eq!(it.steps(), [Step::Assign(shared, waiter)]);
    it.want(&key("https://b"));
    assert_eq!(it.steps(), [], "it has a stream");
    it.keep(shared);
    assert_eq!(it.steps(), [Step::Close(shared)], "and now it has none");
}

#[test]
fn a_connection_that_becomes_idle_gives_way_to_a_place_that_lacks_room() {
    let mut it = Bench::new(|limits| limits.connections_max = 1);
    let a = key("http://a");
    let link = it.idle(&a);
    let first = it.want(&a);
    assert_eq!(it.steps(), [Step::Assign(link, first)]);
    it.want(&key("http://b"));
    assert_eq!(it.steps(), []);
    it.keep(link);
    assert_eq!(it.steps(), [Step::Close(link)]);
    it.pool.gone(it.now, link);
    assert_eq!(it.opens().len(), 1);
}

#[test]
fn an_idle_connection_ends_after_its_time_or_that_of_the_server() {
    let mut it = Bench::new(|_| {});
    let a = key("http://a");
    let link = it.idle(&a);
    assert_eq!(it.pool.next_timeout(), Some(it.now + 60 * SECOND));
    it.wait(60 * SECOND);
    assert_eq!(it.steps(), [Step::Close(link)]);
    it.pool.gone(it.now, link);
    let link = it.idle(&a);
    let waiter = it.want(&a);
    assert_eq!(it.steps(), [Step::Assign(link, waiter)]);
    it.pool.release(it.now, link, After::Keep { hint: Some(2 * SECOND) });
    it.wait(2 * SECOND);
    assert_eq!(it.steps(), [Step::Close(link)]);
}

#[test]
fn what_may_not_be_sent_twice_takes_no_connection_that_may_have_ended() {
    let mut it = Bench::new(|_| {});
    let a = key("http://a");
    let link = it.idle(&a);
    it.wait(4 * SECOND);
    let post = it.want_as(&a, false, true);
    let [fresh] = it.opens()[..] else { panic!("a fresh connection") };
    let get = it.want(&a);
    it.pool.opened(it.now, fresh, Spoken::Http1);
    assert_eq!(it.steps(), [Step::Assign(fresh, post), Step::Assign(link, get)]);
}

#[test]
fn a_fresh_connection_goes_to_the_request_that_it_was_made_for() {
    let mut it = Bench::new(|_| {});
    let a = key("http://a");
    let idle = it.idle(&a);
    let again = it.want_as(&a, true, false);
    let [fresh] = it.opens()[..] else { panic!("a fresh connection") };
    let other = it.want(&a);
    assert_eq!(it.steps(), [Step::Assign(idle, other)]);
    it.pool.opened(it.now, fresh, Spoken::Http1);
    assert_eq!(it.steps(), [Step::Assign(fresh, again)]);
    assert!(!it.pool.is_reused(fresh) && it.pool.is_reused(idle));
}

#[test]
fn a_cancelled_request_leaves_its_connection_to_the_next() {
    let mut it = Bench::new(|_| {});
    let a = key("http://a");
    for fresh in [false, true] {
        let waiter = it.want_as(&a, fresh, false);
        let [link] = it.opens()[..] else { panic!("a connection") };
        it.pool.forget(waiter);
        assert_eq!(it.steps(), []);
        it.pool.opened(it.now, link, Spoken::Http1);
        assert_eq!(it.steps(), []);
        let next = it.want(&a);
        assert_eq!(it.steps(), [Step::Assign(link, next)]);
        it.pool.gone(it.now, link);
    }
}

#[test]
fn the_first_connection_tells_what_is_spoken_before_more_are_made() {
    let mut it = Bench::new(|_| {});
    let a = key("https://a");
    let waiters: Vec<_> = (0..3).map(|_| it.want(&a)).collect();
    let [link] = it.opens()[..] else { panic!("one connection") };
    it.pool.opened(it.now, link, Spoken::Http2);
    let expected: Vec<_> = waiters.iter().map(|waiter| Step::Assign(link, *waiter)).collect();
    assert_eq!(it.steps(), expected, "one is enough");
    it.pool.gone(it.now, link);
    for _ in 0..3 {
        it.want(&a);
    }
    let [link] = it.opens()[..] else { panic!("one connection, as it is known now") };
    it.pool.failed(it.now, link);

    let b = key("https://b");
    for _ in 0..3 {
        it.want(&b);
    }
    assert_eq!(it.opens().len(), 1);
    it.wait(Duration::from_millis(249));
    assert_eq!(it.opens().len(), 0);
    it.wait(Duration::from_millis(1));
    let second = it.opens();
    assert_eq!(second.len(), 1, "it takes long: a second is made beside it");
    it.pool.opened(it.now, second[0], Spoken::Http1);
    let steps = it.steps();
    assert_eq!(steps.len(), 2, "{steps:?}");
    assert!(matches!(steps[1], Step::Open(_)), "it is HTTP/1.1: as many as are needed");
}

#[test]
fn streams_are_shared_up_to_the_limit_of_either_side() {
    let mut it = Bench::new(|limits| limits.streams_max = 2);
    let a = key("https://a");
    let waiters: Vec<_> = (0..3).map(|_| it.want(&a)).collect();
    let [link] = it.opens()[..] else { panic!("one connection") };
    it.pool.opened(it.now, link, Spoken::Http2);
    assert_eq!(it.steps().len(), 3, "two streams, and a connection for the third");
    it.keep(link);
    assert_eq!(it.steps(), [Step::Assign(link, waiters[2])]);
    it.pool.is_full(link);
    it.keep(link);
    it.pool.is_full(link);
    it.keep(link);
    let (x, y) = (it.want(&a), it.want(&a));
    let steps = it.steps();
    assert!(steps.contains(&Step::Assign(link, x)), "{steps:?}");
    assert!(!steps.contains(&Step::Assign(link, y)), "the server takes one at a time: {steps:?}");
    it.pool.retire(link);
    assert!(!it.steps().contains(&Step::Close(link)), "a stream is running");
    it.keep(link);
    assert!(it.steps().contains(&Step::Close(link)));
}

#[test]
fn all_requests_that_wait_for_an_unreachable_origin_fail() {
    let mut it = Bench::new(|limits| limits.per_host_max = 1);
    let a = key("http://a");
    let waiters: Vec<_> = (0..3).map(|_| it.want(&a)).collect();
    let [link] = it.opens()[..] else { panic!("one connection") };
    assert_eq!(it.pool.failed(it.now, link), waiters);
    assert_eq!((it.steps(), it.pool.waiting_len(), it.pool.links().len()), (vec![], 0, 0));
}

#[test]
fn a_failure_beside_a_good_connection_fails_no_request_and_is_not_repeated_at_once() {
    let mut it = Bench::new(|_| {});
    let a = key("http://a");
    let link = it.idle(&a);
    let (x, _y) = (it.want(&a), it.want(&a));
    let steps = it.steps();
    assert_eq!(steps[0], Step::Assign(link, x));
    let Step::Open(second) = steps[1] else { panic!("{steps:?}") };
    assert_eq!(it.pool.failed(it.now, second), []);
    assert_eq!(it.steps(), []);
    it.wait(PAUSE_AFTER_FAILURE);
    assert_eq!(it.opens().len(), 1);
}

#[test]
fn a_request_waits_so_long_and_so_many_wait() {
    let mut it = Bench::new(|limits| (limits.per_host_max, limits.waiting_max) = (1, 2));
    let a = key("http://a");
    let link = it.idle(&a);
    let x = it.want(&a);
    assert_eq!(it.steps(), [Step::Assign(link, x)]);
    let (y, z) = (it.want(&a), it.want(&a));
    assert!(!it.pool.want(&a, Wanted { waiter: x, fresh: false, careful: false }));
    assert_eq!(it.steps(), []);
    it.wait(30 * SECOND);
    assert_eq!(it.steps(), [Step::Expired(y), Step::Expired(z)]);
}

#[test]
fn a_connection_lives_so_long_and_serves_so_many() {
    let mut it = Bench::new(|limits| limits.requests_per_connection_max = 2);
    let a = key("http://a");
    let link = it.idle(&a);
    let x = it.want(&a);
    assert_eq!(it.steps(), [Step::Assign(link, x)]);
    it.keep(link);
    assert_eq!(it.steps(), [Step::Close(link)]);
    it.pool.gone(it.now, link);
    let link = it.idle(&a);
    let mut left = Limits::default().life_max;
    while left > 30 * SECOND {
        it.wait(30 * SECOND);
        left -= 30 * SECOND;
        it.pool.due.set(PoolDue::Idle(link), it.now + 60 * SECOND);
    }
    it.wait(left);
    assert_eq!(it.steps(), [Step::Close(link)]);
}

#[test]
fn nothing_is_left_of_origins_without_requests() {
    let mut it = Bench::new(|_| {});
    for n in 0..100 {
        let link = it.idle(&key(&format!("http://host-{n}")));
        it.pool.gone(it.now, link);
        it.steps();
    }
    assert_eq!((it.pool.places.len(), it.pool.by_key.len(), it.pool.due.next()), (0, 0, None));
}

/// A connection of HTTP/2 for one place, which another place uses as well, with a request of each.
fn lent(it: &mut Bench, a: &Arc<Key>, b: &Arc<Key>) -> Link {
    let first = it.want(a);
    let [link] = it.opens()[..] else { panic!("one connection") };
    it.pool.opened(it.now, link, Spoken::Http2);
    assert_eq!(it.steps(), [Step::Assign(link, first)]);
    let second = it.want(b);
    let [other] = it.opens()[..] else { panic!("one connection") };
    assert!(it.pool.can_lend(it.now, link, b) && !it.pool.is_reserved(other));
    it.pool.lend(other, link);
    assert_eq!(it.steps(), [Step::Assign(link, second)]);
    assert!(!it.pool.can_lend(it.now, link, b), "it is lent already");
    link
}

#[test]
fn a_place_uses_the_connection_that_it_was_lent_and_waits_for_it() {
    let mut it = Bench::new(|limits| limits.streams_max = 2);
    let (a, b) = (key("https://a"), key("https://b"));
    let link = lent(&mut it, &a, &b);
    assert!(!it.pool.can_lend(it.now, link, &key("https://c")), "it has no room");
    let third = it.want(&b);
    let [own] = it.opens()[..] else { panic!("one of its own") };
    it.keep(link);
    assert_eq!(it.steps(), [Step::Assign(link, third)], "a stream is free before that is there");
    it.pool.opened(it.now, own, Spoken::Http2);
    let fourth = it.want(&b);
    assert_eq!(it.steps(), [Step::Assign(own, fourth)], "its own comes first");
    it.pool.gone(it.now, link);
    it.pool.gone(it.now, own);
    it.want(&b);
    assert_eq!(it.opens().len(), 1, "what is gone is not lent any more");
}

#[test]
fn a_place_that_was_misdirected_gives_back_all_that_it_was_lent() {
    let mut it = Bench::new(|limits| limits.streams_max = 2);
    let (a, b) = (key("https://a"), key("https://b"));
    let first = lent(&mut it, &a, &b);
    // Another connection of the same server is lent as well, as the first has no room.
    it.want(&a);
    let [second] = it.opens()[..] else { panic!("one connection") };
    it.pool.opened(it.now, second, Spoken::Http2);
    it.steps();
    it.want(&b);
    let [other] = it.opens()[..] else { panic!("one connection") };
    it.pool.lend(other, second);
    it.steps();
    it.pool.keep_apart(it.now, &b);
    it.keep(first);
    it.keep(second);
    it.steps();
    it.want(&b);
    assert_eq!(it.opens().len(), 1, "it uses neither");
}

#[test]
fn a_place_that_was_misdirected_is_lent_no_connection_for_a_while() {
    let mut it = Bench::new(|limits| limits.coalesced_origins_max = 1);
    let (a, b) = (key("https://a"), key("https://b"));
    let link = lent(&mut it, &a, &b);
    assert!(!it.pool.can_lend(it.now, link, &key("https://c")), "it has as many borrowers as it may");
    it.pool.keep_apart(it.now, &b);
    assert!(!it.pool.can_lend(it.now, link, &b));
    it.want(&b);
    assert_eq!(it.opens().len(), 1, "it needs one of its own");
    it.wait(it.pool.limits.protocol_memory);
    assert!(it.pool.can_lend(it.now, link, &b));
    it.pool.retire(link);
    assert!(!it.pool.can_lend(it.now, link, &b), "it gets no more requests");
}

#[test]
fn websockets_have_a_limit_of_their_own_and_take_no_room_from_requests() {
    let mut it = Bench::new(|limits| {
        (limits.per_host_max, limits.connections_max, limits.websockets_max) = (1, 1, 2);
    });
    let (chat, pages) = (key("ws://a"), key("http://a"));
    it.want(&chat);
    it.want(&chat);
    let sockets = it.opens();
    assert_eq!(sockets.len(), 2, "as many as there may be");
    it.want(&key("ws://b"));
    assert_eq!(it.opens(), [], "one more waits, wherever it leads");
    it.want(&pages);
    assert_eq!(it.opens().len(), 1, "a request does not");
    it.pool.gone(it.now, sockets[0]);
    assert_eq!(it.opens().len(), 1, "until one of them has ended");
}
