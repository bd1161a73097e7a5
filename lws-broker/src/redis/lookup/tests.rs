//! What sentinels and nodes say, whole and octet by octet, and where that leads.

use super::*;
use crate::redis::Redis;
use crate::{Limits, Protocol, Security, ServerList};

fn at(host: &str, port: u16) -> Endpoint {
    Endpoint::Tcp { host: host.into(), port, tls: Security::Plain }
}

fn sentinels(count: u16) -> RedisOptions {
    let endpoints = ServerList::new((1..=count).map(|port| at("s", port)).collect()).expect("some");
    let (user, password) = (None, Some("of sentinels".into()));
    let sentinels = Sentinels { endpoints, master: "main".into(), user, password };
    let password = Some("of the server".into());
    RedisOptions { password, ..RedisOptions::at(RedisServers::Sentinel(sentinels)) }
}

fn cluster() -> RedisOptions {
    let nodes = ServerList::new(vec![at("n", 1)]).expect("one");
    RedisOptions { prefix: "{lws}/".into(), ..RedisOptions::at(RedisServers::Cluster(nodes)) }
}

fn events(session: &mut LookupSession) -> Vec<SessionEvent> {
    std::iter::from_fn(|| session.poll()).collect()
}

/// What follows from `octets`, however they are cut.
fn check(options: &RedisOptions, octets: &str, expected: &[SessionEvent]) {
    let new = || LookupSession::new(Rc::new(options.clone()), at("here", 9));
    let mut whole = new();
    whole.receive(Time::ZERO, octets.as_bytes());
    assert_eq!(events(&mut whole), expected, "{octets:?}");
    let (mut cut, mut seen) = (new(), Vec::new());
    for octet in octets.as_bytes().chunks(1) {
        cut.receive(Time::ZERO, octet);
        seen.extend(events(&mut cut));
    }
    assert_eq!(seen, expected, "cut: {octets:?}");
}

const HELLO: &str = "%1\r\n$4\r\nmode\r\n$8\r\nsentinel\r\n";

#[test]
fn a_sentinel_is_asked_for_the_master_with_its_own_password() {
    let mut session = LookupSession::new(Rc::new(sentinels(1)), at("s", 1));
    let sent = String::from_utf8_lossy(session.transmit()).into_owned();
    assert!(sent.contains("of sentinels") && !sent.contains("of the server"), "{sent}");
    assert!(sent.ends_with("$8\r\nSENTINEL\r\n$23\r\nGET-MASTER-ADDR-BY-NAME\r\n$4\r\nmain\r\n"), "{sent}");
    session.transmitted(sent.len());
    assert!(session.transmit().is_empty() && !session.can_publish());
    let there = [SessionEvent::Directed(at("10.0.0.1", 6379)), SessionEvent::Over];
    check(&sentinels(1), &format!("{HELLO}*2\r\n$8\r\n10.0.0.1\r\n$4\r\n6379\r\n+more\r\n"), &there);
}

#[test]
fn what_a_sentinel_cannot_say_has_a_cause_that_a_person_can_act_on() {
    for (octets, says) in [
        (format!("{HELLO}_\r\n"), "SENTINEL MASTERS"),
        ("-NOAUTH HELLO must be called\r\n-NOAUTH x\r\n".into(), "sentinel-password"),
        ("-WRONGPASS invalid\r\n".into(), "sentinel-password"),
        (format!("{HELLO}-ERR unknown command 'SENTINEL'\r\n"), "26379"),
        (format!("{HELLO}*2\r\n$0\r\n\r\n$1\r\n1\r\n"), "a host and a port"),
        (format!("{HELLO}*2\r\n$1\r\na\r\n$1\r\n0\r\n"), "a host and a port"),
        (format!("{HELLO}*1\r\n$1\r\na\r\n"), "a host and a port"),
        ("?\r\n".into(), "RESP"),
    ] {
        let mut session = LookupSession::new(Rc::new(sentinels(1)), at("s", 1));
        session.receive(Time::ZERO, octets.as_bytes());
        let events = events(&mut session);
        let [SessionEvent::Failed(cause)] = &events[..] else { panic!("{octets}: {events:?}") };
        assert!(says == "RESP" || cause.to_string().contains(says), "{octets}: {cause}");
        check(&sentinels(1), &octets, &events);
    }
}

#[test]
fn a_node_says_which_one_has_the_slot() {
    let there = |port| {
        let all = vec![at("a", 1), at("b", 2)];
        [SessionEvent::Endpoints(all), SessionEvent::Directed(at("b", port)), SessionEvent::Over]
    };
    let slots = "*2\r\n*3\r\n:0\r\n:9999\r\n*2\r\n+a\r\n:1\r\n*3\r\n:10000\r\n:16383\r\n*2\r\n+b\r\n:2\r\n";
    check(&cluster(), &format!("{HELLO}{slots}"), &there(2));
    for (octets, says) in [
        ("*0\r\n", "no node has slot 12592"),
        ("-ERR This instance has cluster support disabled\r\n", "belongs to no cluster"),
        ("-CLUSTERDOWN Hash slot not served\r\n", "CLUSTER INFO"),
        ("+OK\r\n", "another form"),
    ] {
        let mut session = LookupSession::new(Rc::new(cluster()), at("n", 1));
        session.receive(Time::ZERO, format!("{HELLO}{octets}").as_bytes());
        let events = events(&mut session);
        let Some(SessionEvent::Failed(cause)) = events.last() else { panic!("{octets}: {events:?}") };
        assert!(cause.to_string().contains(says), "{octets}: {cause}");
    }
}

#[test]
fn sentinels_are_asked_in_turn_and_all_of_them_before_there_is_a_pause() {
    let mut redis = Redis::new(sentinels(3), &Limits::default());
    for round in 0..2 {
        for (port, at_once) in [(1, true), (2, true), (3, false)] {
            assert_eq!(redis.endpoint(), at("s", port), "round {round}");
            assert_eq!(redis.attempt_failed(), at_once, "round {round}");
        }
    }
    assert_eq!(redis.endpoint(), at("s", 1));
    redis.directed(at("m", 1));
    assert_eq!(redis.endpoint(), at("m", 1));
    assert!(!redis.attempt_failed(), "a failover takes its time");
    assert_eq!(redis.endpoint(), at("s", 2), "the one that has led there may be wrong");
    assert!(redis.attempt_failed());
}

#[test]
fn a_cluster_is_found_by_the_nodes_that_were_learnt_when_those_that_were_named_are_gone() {
    let mut redis = Redis::new(cluster(), &Limits::default());
    assert_eq!(redis.endpoint(), at("n", 1));
    redis.learn(vec![at("a", 1), at("n", 1)]);
    redis.directed(at("a", 1));
    assert_eq!(redis.endpoint(), at("a", 1));
    assert!(!redis.attempt_failed());
    assert_eq!(redis.endpoint(), at("a", 1), "it is next in turn");
    assert!(redis.attempt_failed());
    assert_eq!(redis.endpoint(), at("n", 1));
}
