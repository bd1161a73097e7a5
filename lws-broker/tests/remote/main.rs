//! A `Remote` on a transport that the test plays: when it connects, what it gives up, and what it keeps.

use lws_broker::{
    Broker, Bytes, Cause, Endpoint, Event, Features, Full, Limits, Options, Protocol, Receipt, Remote,
    Session, SessionEvent, Time, Topic, TransportRequest,
};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

/// What a session was asked for, and what it is to report.
#[derive(Default)]
struct Played {
    events: VecDeque<SessionEvent>,
    asked: Vec<String>,
    is_full: bool,
    /// Other servers that may do better.
    others: u32,
}

#[derive(Clone, Default)]
struct Play(Rc<RefCell<Played>>);

impl Protocol for Play {
    fn endpoint(&mut self) -> Endpoint {
        Endpoint::Unix("/broker".into())
    }

    fn session(&mut self, _now: Time) -> Box<dyn Session> {
        self.0.borrow_mut().asked.push("session".into());
        Box::new(self.clone())
    }

    fn attempt_failed(&mut self) -> bool {
        let mut played = self.0.borrow_mut();
        let left = played.others.checked_sub(1);
        played.others = left.unwrap_or(0);
        left.is_some()
    }
}

impl Session for Play {
    fn features(&self) -> Features {
        Features { echo: false, history: false, payload_bytes_max: 100 }
    }

    fn receive(&mut self, _now: Time, _octets: &[u8]) {}

    fn transmit(&self) -> &[u8] {
        &[]
    }

    fn transmitted(&mut self, _count: usize) {}

    fn subscribe(&mut self, topics: &[Topic]) {
        self.0.borrow_mut().asked.push(format!("subscribe {}", topics.len()));
    }

    fn unsubscribe(&mut self, topics: &[Topic]) {
        self.0.borrow_mut().asked.push(format!("unsubscribe {}", topics.len()));
    }

    fn can_publish(&self) -> bool {
        !self.0.borrow().is_full
    }

    fn publish(&mut self, _receipt: Receipt, _topic: &Topic, payload: &Bytes) {
        self.0.borrow_mut().asked.push(format!("publish {}", payload.len()));
    }

    fn ping(&mut self) {
        self.0.borrow_mut().asked.push("ping".into());
    }

    fn poll(&mut self) -> Option<SessionEvent> {
        self.0.borrow_mut().events.pop_front()
    }
}

fn at(millis: u64) -> Time {
    Time::ZERO + Duration::from_millis(millis)
}

fn topic(name: &str) -> Topic {
    Topic::new(name).expect("a name")
}

/// A `Remote` whose connection is up at time zero.
fn up(options: Options) -> (Remote, Play) {
    let play = Play::default();
    let mut remote = Remote::new(at(0), options, Box::new(play.clone()), 1);
    assert!(matches!(remote.poll_transport(), Some(TransportRequest::Connect(_))));
    remote.connected(at(0));
    report(&mut remote, &play, at(0), SessionEvent::Ready);
    assert_eq!(remote.poll(), Some(Event::Up));
    play.0.borrow_mut().asked.clear();
    (remote, play)
}

fn report(remote: &mut Remote, play: &Play, now: Time, event: SessionEvent) {
    play.0.borrow_mut().events.push_back(event);
    remote.receive(now, b"x");
}

fn asked(play: &Play) -> Vec<String> {
    std::mem::take(&mut play.0.borrow_mut().asked)
}

/// The cause of the next event, which is `Down`, and when it is tried again.
fn down(remote: &mut Remote) -> (Cause, Time) {
    match remote.poll() {
        Some(Event::Down { cause, retry_at }) => (cause, retry_at),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_connection_that_is_over_is_followed_by_another_one_within_the_same_deadline() {
    let play = Play::default();
    let mut remote = Remote::new(at(0), Options::default(), Box::new(play.clone()), 1);
    remote.poll_transport();
    remote.connected(at(1_000));
    report(&mut remote, &play, at(2_000), SessionEvent::Over);
    assert_eq!(remote.poll_transport(), Some(TransportRequest::Close));
    assert!(matches!(remote.poll_transport(), Some(TransportRequest::Connect(_))));
    assert_eq!((remote.poll(), remote.next_timeout()), (None, Some(at(10_000))));
    remote.connected(at(3_000));
    // One that leads on and on is given up.
    report(&mut remote, &play, at(3_000), SessionEvent::Over);
    assert_eq!(remote.poll_transport(), Some(TransportRequest::Close));
    assert!(matches!(down(&mut remote), (Cause::Violation(_), retry_at) if retry_at > at(3_000)));
    assert_eq!(remote.poll_transport(), None);
    remote.handle_timeout(remote.next_timeout().expect("the next try"));
    remote.connected(at(20_000));
    report(&mut remote, &play, at(20_000), SessionEvent::Ready);
    assert_eq!(remote.poll(), Some(Event::Up));
    report(&mut remote, &play, at(20_000), SessionEvent::Over);
    assert!(matches!(down(&mut remote), (Cause::Violation(_), _)));
}

#[test]
fn another_server_is_tried_at_once_where_the_protocol_says_so() {
    let play = Play::default();
    play.0.borrow_mut().others = 2;
    let mut remote = Remote::new(at(0), Options::default(), Box::new(play.clone()), 1);
    for at_once in [true, true, false] {
        assert!(matches!(remote.poll_transport(), Some(TransportRequest::Connect(_))));
        remote.connect_failed(at(5), "refused");
        let (_, retry_at) = down(&mut remote);
        assert_eq!(retry_at == at(5), at_once, "{retry_at:?}");
        assert_eq!(remote.next_timeout(), Some(retry_at));
        remote.handle_timeout(at(5));
    }
    assert_eq!(remote.poll_transport(), None);
}

#[test]
fn each_step_of_a_connection_has_a_deadline() {
    let options = Options::default();
    for (steps, cause) in [(0, "connection"), (1, "greeting")] {
        let mut remote = Remote::new(at(0), options.clone(), Box::new(Play::default()), 1);
        remote.poll_transport();
        if steps > 0 {
            remote.connected(at(9_000));
        }
        assert_eq!(remote.next_timeout(), Some(at(10_000)));
        remote.handle_timeout(at(9_999));
        assert_eq!(remote.poll(), None);
        remote.handle_timeout(at(10_000));
        assert_eq!(remote.poll_transport(), Some(TransportRequest::Close));
        let (found, retry_at) = down(&mut remote);
        assert_eq!(found, Cause::Timeout(cause));
        assert_eq!(remote.next_timeout(), Some(retry_at));
        remote.handle_timeout(retry_at);
        assert!(matches!(remote.poll_transport(), Some(TransportRequest::Connect(_))));
        remote.connected(retry_at);
        assert!(!remote.is_up());
    }
}

#[test]
fn silence_is_asked_about_and_then_the_end() {
    let (mut remote, play) = up(Options::default());
    assert_eq!(remote.next_timeout(), Some(at(25_000)));
    remote.handle_timeout(at(25_000));
    assert_eq!((asked(&play), remote.next_timeout()), (vec!["ping".to_owned()], Some(at(35_000))));
    remote.receive(at(26_000), b"pong");
    assert_eq!(remote.next_timeout(), Some(at(51_000)));
    remote.handle_timeout(at(51_000));
    remote.handle_timeout(at(61_000));
    assert_eq!(down(&mut remote).0, Cause::Timeout("ping"));
}

#[test]
fn a_subscription_that_is_not_answered_is_the_end() {
    let (mut remote, play) = up(Options::default());
    remote.subscribe(at(1_000), &topic("a"));
    assert_eq!((asked(&play), remote.next_timeout()), (vec!["subscribe 1".to_owned()], Some(at(11_000))));
    remote.handle_timeout(at(11_000));
    assert_eq!(down(&mut remote).0, Cause::Timeout("subscription or history"));
}

#[test]
fn a_broker_that_goes_on_sending_but_takes_no_publications_is_the_end() {
    let (mut remote, play) = up(Options::default());
    let publish = |remote: &mut Remote, now| {
        remote.publish(now, &topic("a"), Bytes::from("x")).expect("room");
    };
    play.0.borrow_mut().is_full = true;
    publish(&mut remote, at(1_000));
    publish(&mut remote, at(5_000));
    assert_eq!(remote.next_timeout(), Some(at(11_000)), "of the one that waits longest");
    play.0.borrow_mut().is_full = false;
    remote.receive(at(6_000), b"x");
    assert_eq!((asked(&play).len(), remote.next_timeout()), (2, Some(at(31_000))));
    play.0.borrow_mut().is_full = true;
    publish(&mut remote, at(10_000));
    remote.transmitted(at(12_000), 1);
    assert_eq!(remote.next_timeout(), Some(at(22_000)), "it takes output");
    remote.receive(at(21_000), b"x");
    remote.handle_timeout(at(21_999));
    assert_eq!(remote.poll(), None);
    remote.handle_timeout(at(22_000));
    assert_eq!(remote.poll_transport(), Some(TransportRequest::Close));
    assert_eq!(down(&mut remote).0, Cause::Timeout("publications"));
}

#[test]
fn a_batch_of_no_topics_is_one_of_one() {
    let (mut remote, play) = up(Options { batch_topics_max: 0, ..Options::default() });
    ["a", "b"].iter().for_each(|name| remote.subscribe(at(0), &topic(name)));
    assert_eq!(asked(&play), ["subscribe 1"]);
}

#[test]
fn delays_grow_and_begin_again_after_a_connection_that_lasted() {
    let (mut remote, play) = up(Options::default());
    let mut longest = Duration::ZERO;
    let mut now = at(1_000);
    for _ in 0..40 {
        remote.closed(now, "reset");
        let retry_at = down(&mut remote).1;
        let delay = retry_at - now;
        assert!((Duration::from_millis(500)..=Duration::from_secs(20)).contains(&delay));
        longest = longest.max(delay);
        now = retry_at;
        remote.handle_timeout(now);
        remote.poll_transport();
        remote.connected(now);
        report(&mut remote, &play, now, SessionEvent::Ready);
        assert_eq!(remote.poll(), Some(Event::Up));
    }
    assert!(longest > Duration::from_secs(15), "a connection that ends at once is still failing");
    let later = now + Duration::from_secs(60);
    remote.closed(later, "reset");
    assert!(down(&mut remote).1 - later <= Duration::from_secs(1));
}

#[test]
fn publications_wait_within_their_bounds_and_what_is_too_large_for_the_broker_is_refused() {
    let limits = Limits { publish_messages_max: 2, ..Limits::default() };
    let (mut remote, play) = up(Options { limits, ..Options::default() });
    let payload = |len: usize| Bytes::from(vec![0; len]);
    assert_eq!(remote.publish(at(0), &topic("a"), payload(101)), Err(Full::Payload));
    assert_eq!(remote.publish(at(0), &topic("a"), payload(100)), Ok(Receipt(1)));
    assert_eq!(asked(&play), ["publish 100"]);
    remote.closed(at(0), "");
    down(&mut remote);
    for (len, expected) in [(101, Ok(Receipt(2))), (5, Ok(Receipt(3))), (5, Err(Full::Messages))] {
        assert_eq!(
            remote.publish(at(0), &topic("a"), payload(len)),
            expected,
            "nothing says what the broker takes"
        );
    }
    remote.handle_timeout(at(1_000));
    remote.connected(at(1_000));
    report(&mut remote, &play, at(1_000), SessionEvent::Ready);
    assert_eq!(asked(&play), ["session", "publish 5"]);
    assert_eq!(remote.poll(), Some(Event::Up));
    assert!(matches!(remote.poll(), Some(Event::Refused { receipt: Some(Receipt(2)), .. })));
    play.0.borrow_mut().is_full = true;
    assert_eq!(remote.publish(at(1_000), &topic("a"), payload(1)), Ok(Receipt(4)));
    assert!(asked(&play).is_empty());
    play.0.borrow_mut().is_full = false;
    remote.receive(at(1_000), b"x");
    assert_eq!(asked(&play), ["publish 1"]);
}

#[test]
fn own_publications_are_delivered_here_where_the_broker_does_not_send_them_back() {
    let (mut remote, play) = up(Options::default());
    remote.subscribe(at(0), &topic("a"));
    report(&mut remote, &play, at(0), SessionEvent::Subscribed(topic("a")));
    assert_eq!(remote.poll(), Some(Event::Subscribed { topic: topic("a") }));
    for (name, delivered) in [("a", true), ("b", false)] {
        remote.publish(at(0), &topic(name), Bytes::from("hi")).expect("room");
        assert_eq!(matches!(remote.poll(), Some(Event::Message { .. })), delivered, "{name}");
    }
}

#[test]
fn with_many_events_that_no_one_polls_nothing_more_is_read() {
    let limits = Limits { events_max: 2, ..Limits::default() };
    let (mut remote, play) = up(Options { limits, ..Options::default() });
    remote.subscribe(at(0), &topic("a"));
    assert!(remote.wants_read());
    report(&mut remote, &play, at(0), SessionEvent::Subscribed(topic("a")));
    assert!(remote.wants_read());
    report(&mut remote, &play, at(0), SessionEvent::Lost(None));
    assert!(!remote.wants_read());
    while remote.poll().is_some() {}
    assert!(remote.wants_read());
}

#[test]
fn what_an_earlier_connection_reports_changes_nothing() {
    let (mut remote, _) = up(Options::default());
    remote.closed(at(5), "reset");
    let retry_at = down(&mut remote).1;
    remote.closed(at(6), "again");
    remote.connected(at(6));
    remote.connect_failed(at(6), "late");
    remote.receive(at(6), b"x");
    remote.transmitted(at(6), 0);
    assert_eq!((remote.poll(), remote.next_timeout()), (None, Some(retry_at)));
}

#[test]
fn tls_begins_when_the_session_says_so() {
    let play = Play::default();
    let mut remote = Remote::new(at(0), Options::default(), Box::new(play.clone()), 1);
    remote.poll_transport();
    remote.connected(at(0));
    report(&mut remote, &play, at(0), SessionEvent::StartTls);
    assert_eq!(remote.poll_transport(), Some(TransportRequest::StartTls));
}
