//! Subscriptions, call by call.

use super::*;

fn topic(name: &str) -> Topic {
    Topic::new(name).expect("a name")
}

fn at(seconds: u64) -> Time {
    Time::ZERO + Duration::from_secs(seconds)
}

/// Subscriptions with what they want of others.
struct Fixture {
    subscriptions: Subscriptions,
    out: Outbox,
    history: bool,
}

impl Fixture {
    fn new(limits: Limits, history: bool) -> Self {
        let options = Options { limits, ..Options::default() };
        Self { subscriptions: Subscriptions::new(&options), out: Outbox::default(), history }
    }

    fn subscribe(&mut self, name: &str) {
        self.subscriptions.subscribe(&topic(name), &mut self.out);
    }

    /// The broker confirms the next batch.
    fn confirm(&mut self) -> usize {
        let batch = self.subscriptions.next_batch(512);
        batch.iter().for_each(|topic| self.subscriptions.confirmed(topic, self.history, &mut self.out));
        batch.len()
    }

    fn message(&mut self, name: &str, position: Option<(u64, u64)>) {
        let position = position.map(|(epoch, offset)| Position { epoch, offset });
        self.subscriptions.message(&topic(name), Bytes::from("x"), position.map(Place::dense), &mut self.out);
    }

    /// A message of epoch 7 and of a stream that topics share.
    fn linked(&mut self, offset: u64, previous: u64) {
        let place = Place { position: Position { epoch: 7, offset }, previous };
        self.subscriptions.message(&topic("a"), Bytes::from("x"), Some(place), &mut self.out);
    }

    /// The history of such a stream.
    fn linked_history(&mut self, newest: (u64, u64), offsets: &[u64], whole_after: Option<u64>) {
        let entries = offsets.iter().map(|offset| (*offset, Bytes::from("x"))).collect();
        let newest = Some(Position { epoch: newest.0, offset: newest.1 });
        let history = History { topic: topic("a"), newest, entries, whole_after };
        self.subscriptions.history(history, &mut self.out);
    }

    fn history(&mut self, name: &str, newest: (u64, u64), offsets: &[u64]) {
        let entries = offsets.iter().map(|offset| (*offset, Bytes::from("x"))).collect();
        let newest = Some(Position { epoch: newest.0, offset: newest.1 });
        let history = History { topic: topic(name), newest, entries, whole_after: None };
        self.subscriptions.history(history, &mut self.out);
    }

    /// The events in short: `S`ubscribed, `G`ap, `R`efused, `M`essage with its offset.
    fn events(&mut self) -> String {
        let short = |event| match event {
            Event::Subscribed { .. } => "S".to_owned(),
            Event::Gap { .. } => "G".to_owned(),
            Event::Refused { .. } => "R".to_owned(),
            Event::Message { position: Some(position), .. } => format!("M{}", position.offset),
            Event::Message { position: None, .. } => "M".to_owned(),
            Event::History { newest, entries, .. } => {
                format!("H{}:{}", newest.map_or(0, |it| it.offset), entries.len())
            }
            other => format!("{other:?}"),
        };
        self.out.events.drain(..).map(short).collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn a_topic_costs_some_200_octets() {
    // Its name is counted once, and half of a map may be empty.
    assert!(2 * size_of::<(Topic, Upstream)>() <= 192, "{}", size_of::<(Topic, Upstream)>());
}

#[test]
fn a_subscription_lingers_and_one_that_comes_back_finds_it() {
    let mut it = Fixture::new(Limits::default(), false);
    it.subscribe("a");
    assert_eq!((it.confirm(), it.events().as_str()), (1, "S"));
    it.subscriptions.unsubscribe(at(0), &topic("a"));
    it.message("a", None);
    assert_eq!(it.events(), "", "no one wants it");
    assert_eq!(it.subscriptions.next_timeout(), Some(at(10)));
    assert!(it.subscriptions.expire(at(9), 512).is_empty());
    it.subscribe("a");
    assert_eq!((it.confirm(), it.events().as_str()), (0, "S"), "nothing was asked of the broker");
    assert_eq!(it.subscriptions.next_timeout(), None);
    it.subscriptions.unsubscribe(at(20), &topic("a"));
    assert_eq!(it.subscriptions.expire(at(30), 512), [topic("a")]);
    assert!(it.subscriptions.topics.is_empty() && it.subscriptions.lingering.is_empty());
}

#[test]
fn a_subscription_that_is_not_confirmed_does_not_end() {
    let mut it = Fixture::new(Limits::default(), false);
    it.subscribe("a");
    assert_eq!(it.subscriptions.next_batch(512).len(), 1);
    it.subscriptions.unsubscribe(at(0), &topic("a"));
    assert!(it.subscriptions.expire(at(10), 512).is_empty());
    it.subscriptions.confirmed(&topic("a"), false, &mut it.out);
    assert_eq!(it.subscriptions.expire(at(20), 512), [topic("a")]);
    assert_eq!(it.events(), "");
}

#[test]
fn without_linger_too_a_subscription_ends_only_when_it_is_confirmed() {
    let options = Options { linger: Duration::ZERO, ..Options::default() };
    let subscriptions = Subscriptions::new(&options);
    let mut it = Fixture { subscriptions, out: Outbox::default(), history: false };
    it.subscribe("a");
    assert_eq!(it.subscriptions.next_batch(512).len(), 1);
    it.subscriptions.unsubscribe(at(0), &topic("a"));
    assert!(it.subscriptions.expire(at(0), 512).is_empty());
    let again = at(0) + LINGER_RETRY;
    assert_eq!(it.subscriptions.next_timeout(), Some(again));
    it.subscriptions.confirmed(&topic("a"), false, &mut it.out);
    assert_eq!(it.subscriptions.expire(again, 512), [topic("a")]);
}

#[test]
fn a_batch_waits_for_the_answers_to_the_one_before() {
    let mut it = Fixture::new(Limits::default(), false);
    (0..1_200).for_each(|number| it.subscribe(&format!("room/{number}")));
    let first = it.subscriptions.next_batch(512);
    assert_eq!((first.len(), first[0].as_str()), (512, "room/0"), "first come, first served");
    let (last, others) = first.split_last().expect("topics");
    others.iter().for_each(|topic| it.subscriptions.confirmed(topic, false, &mut it.out));
    assert!(it.subscriptions.next_batch(512).is_empty() && it.subscriptions.is_pending());
    it.subscriptions.refused(last, Cause::Limit("test"), &mut it.out);
    assert!(it.events().ends_with("S R"));
    assert_eq!((it.confirm(), it.confirm(), it.confirm()), (512, 176, 0));
}

#[test]
fn at_the_limit_a_topic_is_subscribed_to_and_one_past_it_is_refused() {
    let mut it = Fixture::new(Limits { topics_max: 2, ..Limits::default() }, false);
    ["a", "b", "a", "c"].iter().for_each(|name| it.subscribe(name));
    assert_eq!(it.events(), "R");
    assert_eq!(it.confirm(), 2);
}

#[test]
fn after_a_connection_every_topic_has_a_gap_and_one_that_was_not_confirmed_none() {
    let mut it = Fixture::new(Limits::default(), false);
    it.subscribe("a");
    it.confirm();
    it.subscribe("b");
    it.subscriptions.next_batch(512);
    it.subscribe("c");
    it.subscriptions.unsubscribe(at(0), &topic("c"));
    it.subscriptions.connection_lost();
    it.events();
    it.message("a", None);
    assert_eq!(it.events(), "", "what comes before the confirmation is of the subscription before");
    assert_eq!((it.confirm(), it.events().as_str()), (2, "G S S"), "a, and then b");
    assert!(!it.subscriptions.is_pending());
}

#[test]
fn history_fills_in_what_was_missed() {
    for (newest, entries, live, expected) in [
        // Recovered, with live messages that came before the history.
        ((7, 5), vec![4, 5], vec![(7, 4), (7, 5), (7, 6)], "S M4 M5 M6"),
        ((7, 3), vec![], vec![], "S"),
        // Something is lost: at the front, in the middle, at the end; the stream itself.
        ((7, 5), vec![5], vec![], "G S"),
        ((7, 6), vec![4, 6], vec![(7, 7)], "G S M7"),
        ((7, 6), vec![4, 5], vec![], "G S"),
        ((8, 3), vec![], vec![(8, 4)], "G S M4"),
        // A broker that came back with older data.
        ((7, 2), vec![], vec![(7, 3)], "G S M3"),
    ] {
        let mut it = Fixture::new(Limits::default(), true);
        it.subscribe("a");
        it.confirm();
        it.history("a", (7, 2), &[]);
        it.message("a", Some((7, 3)));
        assert_eq!(it.events(), "S M3");
        it.subscriptions.connection_lost();
        it.confirm();
        let asked = it.out.recoveries.pop();
        assert_eq!(asked, Some((topic("a"), Some(Position { epoch: 7, offset: 3 }))));
        live.iter().for_each(|position| it.message("a", Some(*position)));
        it.history("a", newest, &entries);
        assert_eq!(it.events(), expected, "{newest:?} {entries:?} {live:?}");
        assert_eq!((it.subscriptions.pending, it.subscriptions.held_bytes), (0, 0));
    }
}

#[test]
fn a_hole_among_live_messages_is_recovered_and_a_repeat_is_dropped() {
    let mut it = Fixture::new(Limits::default(), true);
    it.subscribe("a");
    it.confirm();
    it.history("a", (7, 0), &[]);
    [1, 2, 2, 1, 5].iter().for_each(|offset| it.message("a", Some((7, *offset))));
    assert_eq!(it.events(), "S M1 M2");
    it.history("a", (7, 5), &[3, 4, 5]);
    assert_eq!(it.events(), "M3 M4 M5");
    it.message("a", Some((9, 1)));
    assert_eq!(it.events(), "G M1", "the stream began again");
}

#[test]
fn the_positions_of_quiet_topics_are_compared() {
    let mut it = Fixture::new(Limits::default(), true);
    for name in ["a", "b", "c"] {
        it.subscribe(name);
        it.confirm();
        it.history(name, (7, 0), &[]);
        it.message(name, Some((7, 1)));
    }
    it.events();
    it.out.recoveries.clear();
    let asked = |it: &mut Fixture| {
        it.out.recoveries.drain(..).map(|(topic, _)| topic.as_str().to_owned()).collect::<String>()
    };
    assert!(it.subscriptions.check_positions(2, &mut it.out), "one is left");
    assert!(!it.subscriptions.check_positions(2, &mut it.out));
    assert_eq!(asked(&mut it), "", "each had a message");
    it.message("b", Some((7, 2)));
    assert!(!it.subscriptions.check_positions(9, &mut it.out));
    assert_eq!((asked(&mut it).as_str(), it.events().as_str()), ("ac", "M2"));
    it.history("a", (7, 1), &[]);
    assert_eq!(it.events(), "", "nothing is missing");
    it.message("c", Some((7, 3)));
    it.history("c", (7, 3), &[2, 3]);
    assert_eq!(it.events(), "M2 M3", "what was lost without a word");
    it.message("a", Some((7, 2)));
    assert_eq!(it.events(), "M2");
    // One that comes meanwhile is confirmed behind it.
    it.subscriptions.check_positions(9, &mut it.out);
    it.subscriptions.check_positions(9, &mut it.out);
    it.subscriptions.unsubscribe(at(0), &topic("c"));
    it.subscribe("c");
    it.history("c", (7, 3), &[]);
    assert_eq!(it.events(), "S");
}

#[test]
fn at_the_limits_live_messages_wait_and_past_them_is_a_gap() {
    let limits = |recovery_messages_max, recovery_bytes_max| Limits {
        recovery_messages_max,
        recovery_bytes_max,
        ..Limits::default()
    };
    // With what a message takes beside its payload.
    let bytes = |messages: usize| messages * (1 + recovery::ENTRY_BYTES);
    for (limits, expected) in [
        (limits(3, bytes(100)), "S M1 M2 M3"),
        (limits(2, bytes(100)), "G S"),
        (limits(100, bytes(3)), "S M1 M2 M3"),
        (limits(100, bytes(3) - 1), "G S"),
    ] {
        let mut it = Fixture::new(limits.clone(), true);
        it.subscribe("a");
        it.confirm();
        (1..=3).for_each(|offset| it.message("a", Some((7, offset))));
        it.history("a", (7, 3), &[]);
        assert_eq!(it.events(), expected, "{limits:?}");
        it.message("a", Some((7, 4)));
        assert_eq!(it.events(), "M4", "it goes on without another gap");
    }
}

#[test]
fn offsets_with_holes_follow_each_other_where_the_broker_says_so() {
    let mut it = Fixture::new(Limits::default(), true);
    it.subscribe("a");
    it.confirm();
    it.linked_history((7, 20), &[], Some(20));
    assert_eq!(it.events(), "S");
    // The first of the topic, one behind it, one that has come before, and one that follows what was forgotten.
    for (offset, previous) in [(25, 0), (31, 25), (31, 25), (40, 0)] {
        it.linked(offset, previous);
    }
    assert_eq!(it.events(), "M25 M31 M40");
    // What shows that another one was lost waits for history.
    it.linked(50, 45);
    assert_eq!((it.events().as_str(), it.out.recoveries.len()), ("", 2), "one more than at the beginning");
    it.linked_history((7, 50), &[45, 50], Some(40));
    it.linked(60, 50);
    assert_eq!(it.events(), "M45 M50 M60");
}

#[test]
fn a_history_with_holes_is_whole_if_the_broker_says_from_where_on() {
    for (newest, offsets, whole_after, expected) in [
        ((7, 30), &[25, 30][..], Some(20), "S M25 M30"),
        ((7, 20), &[], Some(20), "S"),
        ((7, 30), &[25, 30], Some(10), "S M25 M30"),
        ((7, 30), &[25, 30], Some(21), "G S"),
        ((7, 30), &[25, 30], None, "G S"),
        ((8, 30), &[25, 30], Some(0), "G S"),
        // The end of the stream was lost.
        ((7, 19), &[], Some(0), "G S"),
    ] {
        let mut it = Fixture::new(Limits::default(), true);
        it.subscribe("a");
        it.confirm();
        it.linked_history((7, 20), &[], Some(20));
        it.events();
        it.subscriptions.connection_lost();
        it.confirm();
        assert_eq!(it.out.recoveries.pop(), Some((topic("a"), Some(Position { epoch: 7, offset: 20 }))));
        it.linked_history(newest, offsets, whole_after);
        assert_eq!(it.events(), expected, "{newest:?} {offsets:?} {whole_after:?}");
        let Position { epoch, offset } = it.subscriptions.topics[&topic("a")].position.expect("one");
        assert_eq!((epoch, offset), newest);
    }
}

/// What the broker was asked for: behind which offset.
fn asked(fixture: &mut Fixture) -> Vec<Option<u64>> {
    fixture.out.recoveries.drain(..).map(|(_, after)| after.map(|position| position.offset)).collect()
}

#[test]
fn history_is_read_once_for_all_who_ask_and_comes_behind_the_messages_that_it_contains() {
    let limits = Limits { recovery_messages_max: 10, ..Limits::default() };
    let mut fixture = Fixture::new(limits, true);
    let read = |fixture: &mut Fixture| fixture.subscriptions.read_history(&topic("a"), &mut fixture.out);
    assert!(!read(&mut fixture), "it is not subscribed to");
    fixture.subscribe("a");
    assert!(read(&mut fixture));
    fixture.confirm();
    // The newest first: from where, is not known before.
    assert_eq!(asked(&mut fixture), [None]);
    fixture.history("a", (1, 20), &[]);
    assert_eq!((fixture.events(), asked(&mut fixture)), ("S".to_owned(), vec![Some(15)]));
    assert!(read(&mut fixture) && asked(&mut fixture).is_empty(), "it is on its way");
    // What comes meanwhile is before it.
    fixture.message("a", Some((1, 21)));
    fixture.history("a", (1, 20), &[16, 17, 18, 19, 20]);
    assert_eq!(fixture.events(), "M21 H21:6");
    fixture.message("a", Some((1, 22)));
    assert_eq!(fixture.events(), "M22");
    // And so is what was lost before.
    assert!(read(&mut fixture));
    assert_eq!(asked(&mut fixture), [Some(17)]);
    fixture.history("a", (1, 24), &[18, 19, 20, 21, 22, 23, 24]);
    assert_eq!(fixture.events(), "M23 M24 H24:7");
    // A connection that is lost in between: it is asked again.
    assert!(read(&mut fixture));
    fixture.subscriptions.connection_lost();
    asked(&mut fixture);
    fixture.confirm();
    assert_eq!(asked(&mut fixture), [Some(19)]);
    fixture.history("a", (2, 3), &[1, 2, 3]);
    assert_eq!(fixture.events(), "G S H3:3");
}

#[test]
fn a_broker_without_history_has_none_to_read() {
    let mut fixture = Fixture::new(Limits::default(), false);
    fixture.subscribe("a");
    assert!(fixture.subscriptions.read_history(&topic("a"), &mut fixture.out));
    fixture.confirm();
    assert_eq!(fixture.events(), "S H0:0");
    assert_eq!(asked(&mut fixture), []);
}
