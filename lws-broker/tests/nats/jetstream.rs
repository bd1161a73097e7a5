//! JetStream as the history of topics: what is recovered, and what cannot be is a gap.

use crate::process::{Process, kill_while_it_sends, run, run_until_subscribed, short, topic};
use crate::server::Server;
use lws_broker::nats::{NatsOptions, StreamOptions, SubjectPrefix};
use lws_broker::{Full, Options, Topic};
use std::time::{Duration, Instant};

const JETSTREAM: &str = "jetstream { store_dir: \"$FOLDER/store\" }\n";

fn stored(messages: u32) -> NatsOptions {
    let stream = StreamOptions { messages, recovery_bytes_max: 64 << 20, ..StreamOptions::default() };
    NatsOptions { history: Some(stream), ..NatsOptions::default() }
}

/// Two processes that have subscribed to a topic.
fn pair(server: &Server, nats: &NatsOptions, topic: &Topic) -> [Process; 2] {
    let servers = [format!("127.0.0.1:{}", server.port)];
    let limits = lws_broker::Limits { recovery_bytes_max: 64 << 20, ..Options::default().limits };
    let options = Options { limits, ..short() };
    let mut pair = [1, 2].map(|number| Process::new(number, &servers, options.clone(), nats.clone(), None));
    pair.iter_mut().for_each(|process| process.subscribe(topic));
    let [a, b] = &mut pair;
    run_until_subscribed(&mut [a, b]);
    pair
}

/// Publishes until all have the last message of the first process: what comes before it has come then, or is lost.
fn settle(processes: &mut [&mut Process], topic: &Topic) {
    run_until_subscribed(processes);
    processes[0].publish(topic, 0).expect("nothing waits");
    let last = Some(processes[0].published);
    run(processes, "the last message", |processes| {
        processes.iter().all(|process| process.subscribers[topic].last.get(&1).copied() == last)
    });
}

#[test]
fn all_processes_receive_the_messages_of_a_topic_in_one_order_and_each_once() {
    let Some(server) = Server::start(JETSTREAM) else { return };
    let [room, other] = ["room", "a b/*"].map(topic);
    // The server may send messages in another order than it has stored them; until they are read from the stream they have to be there.
    let [mut a, mut b] = pair(&server, &stored(20_000), &room);
    a.subscribe(&other);
    run_until_subscribed(&mut [&mut a, &mut b]);
    for round in 0..300 {
        for process in [&mut a, &mut b] {
            process.publish(&room, round).expect("nothing waits");
        }
        // No more may wait than is recovered at once.
        run(&mut [&mut a, &mut b], "the messages before", |all| {
            all.iter().all(|it| it.messages() + 200 > 2 * round as u64)
        });
    }
    run(&mut [&mut a, &mut b], "all messages", |all| all.iter().all(|it| it.messages() == 600));
    assert_eq!(a.subscribers[&room].received, b.subscribers[&room].received);
    assert_eq!((a.gaps(), b.gaps()), (0, 0));
    // Between messages of another topic, too.
    a.publish(&other, 0).expect("nothing waits");
    b.publish(&room, 0).expect("nothing waits");
    run(&mut [&mut a, &mut b], "both", |all| all[0].messages() == 602 && all[1].messages() == 601);
    assert_eq!((a.gaps(), b.gaps()), (0, 0));
}

#[test]
fn a_server_that_is_killed_and_keeps_its_store_is_no_gap() {
    let Some(mut server) = Server::start(JETSTREAM) else { return };
    let room = topic("room");
    let [mut a, mut b] = pair(&server, &stored(20_000), &room);
    (a.judges_offsets, b.judges_offsets) = (true, true);
    for round in 1..=3 {
        kill_while_it_sends(&mut server, &mut [&mut a, &mut b], &room, 5, 30 * round);
        server.run();
        settle(&mut [&mut a, &mut b], &room);
    }
    assert_eq!((a.gaps(), b.gaps()), (0, 0));
    let both = [&a, &b].map(|process| &process.subscribers[&room].received);
    assert!(both[0].len() > 100 && both[0] == both[1], "{} {}", both[0].len(), both[1].len());
}

#[test]
fn a_server_that_has_lost_its_store_is_a_gap() {
    let Some(mut server) = Server::start(JETSTREAM) else { return };
    let room = topic("room");
    let [mut a, mut b] = pair(&server, &stored(256), &room);
    (a.judges_offsets, b.judges_offsets) = (true, true);
    for _ in 0..2 {
        for _ in 0..20 {
            a.publish(&room, 0).expect("nothing waits");
        }
        settle(&mut [&mut a, &mut b], &room);
        server.kill();
        server.lose("store");
        server.run();
        run(&mut [&mut a, &mut b], "the end", |all| all.iter().all(|it| !it.is_subscribed()));
    }
    settle(&mut [&mut a, &mut b], &room);
    assert_eq!((a.gaps(), b.gaps()), (2, 2));
}

#[test]
fn what_was_published_while_a_connection_was_away_is_recovered_if_it_is_no_more_than_is_kept() {
    let Some(server) = Server::start(JETSTREAM) else { return };
    let room = topic("room");
    let [mut a, mut b] = pair(&server, &stored(10), &room);
    // Of another topic between them, so that offsets have holes.
    let mut other = Process::new(3, &[format!("127.0.0.1:{}", server.port)], short(), stored(10), None);
    other.subscribe(&topic("other"));
    run_until_subscribed(&mut [&mut other]);
    for (count, gaps) in [(10, 0), (1, 0), (0, 0), (11, 1)] {
        settle(&mut [&mut a, &mut b], &room);
        let before = b.messages();
        b.cut();
        let seen = other.messages();
        other.publish(&topic("other"), 0).expect("nothing waits");
        run(&mut [&mut other], "its own message", |all| all[0].messages() > seen);
        for _ in 0..count {
            a.publish(&room, 0).expect("nothing waits");
        }
        run(&mut [&mut a], "what it has published itself", |all| {
            count == 0 || all[0].subscribers[&room].last.get(&1) == Some(&all[0].published)
        });
        run_until_subscribed(&mut [&mut a, &mut b]);
        assert_eq!(b.gaps(), gaps, "{count}");
        if gaps == 0 {
            run(&mut [&mut a, &mut b], "all of them", |all| all[1].messages() == before + count);
        }
    }
    // A topic that no one had published to, and one that others have.
    let quiet = topic("quiet");
    b.subscribe(&quiet);
    run_until_subscribed(&mut [&mut a, &mut b]);
    b.cut();
    a.publish(&room, 0).expect("nothing waits");
    a.publish(&quiet, 0).expect("nothing waits");
    run(&mut [&mut a, &mut b], "the message", |all| all[1].subscribers[&quiet].oracle.messages() == 1);
    assert_eq!(b.subscribers[&quiet].oracle.gaps(), 0);
}

#[test]
fn a_slow_process_is_cut_off_and_recovers() {
    let lines = format!("{JETSTREAM}max_pending: 1mb\nwrite_deadline: \"300ms\"");
    let Some(server) = Server::start(&lines) else { return };
    let room = topic("room");
    let [mut a, mut slow] = pair(&server, &stored(400), &room);
    (a.judges_offsets, slow.judges_offsets) = (true, true);
    slow.stalled = true;
    let mut next = Instant::now();
    run(&mut [&mut a, &mut slow], "a slow consumer that is cut off", |all| {
        let _ = all[0].publish(&room, 60_000);
        all[1].stalled = !server.log().contains("Slow Consumer");
        all[1].downs.len() == 1
    });
    // The publisher has its own messages sent back, and may have been too slow for them, too.
    run(&mut [&mut a, &mut slow], "the end of it", |all| {
        if next <= Instant::now() && all[1].is_subscribed() {
            next = Instant::now() + Duration::from_millis(50);
            let _ = all[0].publish(&room, 0);
        }
        all.iter().all(|it| it.subscribers[&room].last.get(&1) == Some(&all[0].published))
    });
    assert!(slow.gaps() == 0 || a.published > 400, "{} published", a.published);
}

#[test]
fn where_there_is_no_stream_of_ours_the_cause_says_what_a_person_can_do() {
    let down = |port: u16, prefix: &str| {
        let nats = NatsOptions { prefix: SubjectPrefix::parse(prefix).expect("a prefix"), ..stored(10) };
        let mut process = Process::new(1, &[format!("127.0.0.1:{port}")], short(), nats, None);
        run(&mut [&mut process], "an outcome", |all| all[0].remote.is_up() || !all[0].downs.is_empty());
        process.downs.first().map(ToString::to_string)
    };
    let Some(without) = Server::start("") else { return };
    let cause = down(without.port, "lws").expect("no JetStream");
    assert!(cause.contains("JetStream does not answer") && cause.contains("-js"), "{cause}");
    let with = Server::start(JETSTREAM).expect("it was there before");
    assert_eq!(down(with.port, "a.b"), None);
    let cause = down(with.port, "a_b").expect("another stream");
    assert!(cause.contains("stream a_b lacks our subjects") && cause.contains("another prefix"), "{cause}");
    // Those of one prefix are those of the other as well: the server makes no second stream of them.
    let cause = down(with.port, "a").expect("subjects of another stream");
    assert!(cause.contains("overlap"), "{cause}");
    let users = format!(
        "{JETSTREAM}authorization {{ users = [ {{ user: u, password: p, permissions: {{ publish: \"lws.>\",
        subscribe: [\"lws-live.>\", \"_INBOX.>\"] }} }} ], timeout: 2 }}\nno_auth_user: u"
    );
    let closed = Server::start(&users).expect("it was there before");
    let cause = down(closed.port, "lws").expect("no permission");
    assert!(cause.contains("Permissions Violation") && cause.contains("$JS.API.DIRECT.GET"), "{cause}");
}

#[test]
fn a_message_that_is_as_large_as_it_may_be_is_stored_and_recovered() {
    let Some(server) = Server::start(&format!("{JETSTREAM}max_payload: 2kb")) else { return };
    let room = topic("room");
    let [mut a, mut b] = pair(&server, &stored(10), &room);
    b.cut();
    let padding = 2_048 - "1 1 ".len();
    assert_eq!(a.publish(&room, padding + 1), Err(Full::Payload));
    a.publish(&room, padding).expect("it is as large as it may be");
    run(&mut [&mut a], "the message", |all| all[0].messages() == 1);
    run(&mut [&mut a, &mut b], "the message", |all| all[1].messages() == 1);
    // A server that answers late is a gap for the one that comes back.
    assert_eq!(a.gaps(), 0);
}

#[test]
fn what_others_publish_is_stored_too() {
    let Some(server) = Server::start(JETSTREAM) else { return };
    let room = topic("room");
    let [mut a, mut b] = pair(&server, &stored(10), &room);
    b.cut();
    let mut others = Process::at(3, server.port);
    run_until_subscribed(&mut [&mut others]);
    others.publish(&room, 0).expect("nothing waits");
    run(&mut [&mut a, &mut others], "the message", |all| all[0].messages() == 1);
    run(&mut [&mut a, &mut b], "the message", |all| all[1].messages() == 1);
    assert_eq!((a.gaps(), b.gaps()), (0, 0));
}
