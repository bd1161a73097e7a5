//! NATS against `nats-server` itself: what is delivered, what is lost when the server dies, stops or finds us too slow, and that a gap
//! covers each hole.
//!
//! Without `nats-server` in the path the tests pass without a check; `LWS_BROKERS=required` makes that an error.

#![cfg(unix)]

mod carrier;
mod jetstream;
mod process;
mod server;

use lws_broker::nats::{Credentials, NatsOptions, Tls};
use lws_broker::{Cause, Full, Options, Receipt, Topic};
use process::{Process, impatient, kill_while_it_sends, run, run_until_subscribed, short, topic};
use server::Server;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use test_kit::free_port;

/// Names of topics that are nothing like subjects.
fn topics() -> Vec<Topic> {
    ["room/a", "/", "a.b c", "*/>", "ü%"].map(topic).to_vec()
}

/// Both publish until each has published `count` messages, as fast as they are taken.
fn publish_all(processes: &mut [&mut Process], topics: &[Topic], count: u64) {
    run(processes, "publications", |processes| {
        for process in processes.iter_mut() {
            for _ in 0..50 {
                let topic = &topics[0];
                if process.published == count || process.publish(topic, 0).is_err() {
                    break;
                }
            }
        }
        processes.iter().all(|process| process.published == count)
    });
}

/// Publishes the last message of each publisher until all subscribers of `topic` have it: what comes before it has come then, or is lost.
fn settle(processes: &mut [&mut Process], topic: &Topic) {
    run_until_subscribed(processes);
    for process in processes.iter_mut() {
        process.publish(topic, 0).expect("nothing waits");
    }
    let ends: Vec<_> = processes.iter().map(|process| (process.number, process.published)).collect();
    run(processes, "the last messages", |processes| {
        let has = |process: &Process| {
            let subscriber = process.subscribers.get(topic);
            subscriber.is_none_or(|it| ends.iter().all(|(number, last)| it.last.get(number) == Some(last)))
        };
        processes.iter().all(|process| has(process))
    });
    for process in processes.iter() {
        if let Some(subscriber) = process.subscribers.get(topic) {
            assert_eq!(subscriber.oracle.end(&ends), Ok(()));
        }
    }
}

#[test]
fn two_processes_exchange_ten_thousand_messages_of_five_topics() {
    let Some(server) = Server::start("") else { return };
    let (mut a, mut b) = (Process::at(1, server.port), Process::at(2, server.port));
    let topics = topics();
    for topic in &topics {
        a.subscribe(topic);
        b.subscribe(topic);
    }
    run_until_subscribed(&mut [&mut a, &mut b]);
    for name in &topics {
        // The oracle counts publications of one topic.
        let begin = a.published;
        publish_all(&mut [&mut a, &mut b], std::slice::from_ref(name), begin + 1_000);
    }
    run(&mut [&mut a, &mut b], "all messages", |all| all.iter().all(|process| process.messages() == 10_000));
    assert_eq!((a.gaps(), b.gaps()), (0, 0));
    assert!(a.downs.is_empty() && b.downs.is_empty(), "{:?} {:?}", a.downs, b.downs);
}

#[test]
fn with_echo_each_process_receives_its_own_messages_once_and_all_in_the_order_of_their_publishers() {
    let Some(server) = Server::start("") else { return };
    let servers = [format!("127.0.0.1:{}", server.port)];
    let nats = NatsOptions { echo: true, ..NatsOptions::default() };
    let [mut a, mut b] = [1, 2].map(|number| Process::new(number, &servers, short(), nats.clone(), None));
    let room = topic("room");
    a.subscribe(&room);
    b.subscribe(&room);
    run_until_subscribed(&mut [&mut a, &mut b]);
    publish_all(&mut [&mut a, &mut b], std::slice::from_ref(&room), 1_000);
    run(&mut [&mut a, &mut b], "all messages", |all| all.iter().all(|process| process.messages() == 2_000));
    for process in [&a, &b] {
        for publisher in [1, 2] {
            let received = process.subscribers[&room].received.iter().filter(|(from, _)| *from == publisher);
            assert!(received.map(|(_, number)| *number).eq(1..=1_000), "of {publisher}");
        }
    }
}

#[test]
fn a_server_that_is_killed_while_it_sends_leaves_a_gap_and_comes_back() {
    let Some(mut server) = Server::start("") else { return };
    let (mut a, mut b) = (Process::at(1, server.port), Process::at(2, server.port));
    let room = topic("room");
    a.subscribe(&room);
    b.subscribe(&room);
    run_until_subscribed(&mut [&mut a, &mut b]);
    for round in 1..=5 {
        kill_while_it_sends(&mut server, &mut [&mut a, &mut b], &room, 50, 30 * round);
        server.run();
        settle(&mut [&mut a, &mut b], &room);
    }
    assert!(a.gaps() >= 5 && b.gaps() >= 5, "{} {}", a.gaps(), b.gaps());
    assert!(b.messages() < a.published + b.published, "something was lost, or nothing is tested");
}

#[test]
fn a_server_that_stops_is_given_up_and_used_again_when_it_goes_on() {
    let Some(server) = Server::start("") else { return };
    let servers = [format!("127.0.0.1:{}", server.port)];
    let [mut a, mut b] =
        [1, 2].map(|number| Process::new(number, &servers, impatient(), NatsOptions::default(), None));
    let room = topic("room");
    a.subscribe(&room);
    b.subscribe(&room);
    run_until_subscribed(&mut [&mut a, &mut b]);
    server.signal("STOP");
    run(&mut [&mut a, &mut b], "a server that is given up", |all| {
        for process in all.iter_mut() {
            let _ = process.publish(&room, 10);
        }
        all.iter().all(|process| process.downs.len() >= 2)
    });
    assert_eq!(a.downs[0], Cause::Timeout("ping"));
    // The kernel accepts connections for it: their greeting is what does not come.
    assert!(
        b.downs[1..].iter().all(|cause| matches!(cause, Cause::Timeout(_) | Cause::Connect(_))),
        "{:?}",
        b.downs
    );
    assert_eq!(full(&mut a, &room), Full::Messages, "nothing is kept without a bound");
    server.signal("CONT");
    settle(&mut [&mut a, &mut b], &room);
    assert!(a.gaps() >= 1 && b.gaps() >= 1);
}

fn full(process: &mut Process, topic: &Topic) -> Full {
    loop {
        if let Err(full) = process.publish(topic, 0) {
            return full;
        }
    }
}

#[test]
fn messages_up_to_max_payload_are_taken() {
    let Some(server) = Server::start("max_payload: 1kb") else { return };
    let (mut a, mut b) = (Process::at(1, server.port), Process::at(2, server.port));
    let room = topic("room");
    b.subscribe(&room);
    // Nothing is known of the server yet: it is refused later.
    let early = a.publish(&room, 2_000).expect("it is within our own limits");
    a.published -= 1;
    run_until_subscribed(&mut [&mut a, &mut b]);
    run(&mut [&mut a, &mut b], "a refusal", |all| !all[0].refused.is_empty());
    assert_eq!(a.refused.len(), 1);
    assert_eq!(a.refused[0].1, Some(early));
    let padding = 1_024 - "1 1 ".len();
    assert_eq!(a.publish(&room, padding + 1), Err(Full::Payload));
    a.publish(&room, padding).expect("it is as large as it may be");
    run(&mut [&mut a, &mut b], "the message", |all| all[1].messages() == 1);
    assert_eq!((a.downs.len(), b.gaps()), (0, 0));
}

#[test]
fn a_slow_consumer_is_cut_off_and_has_a_gap() {
    let Some(server) = Server::start("max_pending: 1kb\nmax_payload: 512\nwrite_deadline: \"300ms\"") else {
        return;
    };
    let (mut publisher, mut slow) = (Process::at(1, server.port), Process::at(2, server.port));
    let room = topic("room");
    slow.subscribe(&room);
    run_until_subscribed(&mut [&mut publisher, &mut slow]);
    for round in 1..=3_u64 {
        let downs = slow.downs.len();
        slow.stalled = true;
        run(&mut [&mut publisher, &mut slow], "a slow consumer that is cut off", |all| {
            for _ in 0..200 {
                let _ = all[0].publish(&room, 400);
            }
            // What the kernel keeps of it is a few MiB: then its socket takes nothing more.
            all[1].stalled =
                server.log().matches("Slow Consumer").count() < usize::try_from(round).expect("a number");
            all[1].downs.len() > downs
        });
        // What waits may be too much at once again, and its end be lost: until the last one has come.
        let mut next = Instant::now();
        run(&mut [&mut publisher, &mut slow], "the end of it", |all| {
            if next <= Instant::now() && all[1].is_subscribed() {
                next = Instant::now() + Duration::from_millis(50);
                let _ = all[0].publish(&room, 0);
            }
            all[1].subscribers[&room].last.get(&1) == Some(&all[0].published)
        });
    }
    assert!(publisher.downs.is_empty(), "{:?}", publisher.downs);
    assert!(slow.gaps() >= 3 && slow.messages() < publisher.published, "{} {}", slow.gaps(), slow.messages());
}

#[test]
fn what_a_user_may_not_do_is_refused_with_its_topic() {
    let users = "authorization { users = [ { user: u, password: \"p\\\"w\", permissions: {
        publish: { allow: \"lws.>\", deny: \"lws.closed.>\" }, subscribe: { allow: \"lws.>\", deny: \"lws.secret\" } } } ] }";
    let Some(server) = Server::start(users) else { return };
    let credentials = Credentials::User { name: "u".into(), password: "p\"w".into() };
    let nats = NatsOptions { credentials, ..NatsOptions::default() };
    let mut a = Process::new(1, &[format!("127.0.0.1:{}", server.port)], short(), nats, None);
    let (open, closed, secret) = (topic("open"), topic("closed/A"), topic("secret"));
    a.subscribe(&open);
    a.subscribe(&secret);
    run(&mut [&mut a], "a refusal", |all| all[0].refused.len() == 1 && all[0].subscribers[&open].subscribed);
    assert_eq!((&a.refused[0].0, a.refused[0].1), (&secret, None));
    a.publish(&open, 0).expect("nothing waits");
    let receipt = a.publish(&closed, 0).expect("nothing waits");
    run(&mut [&mut a], "a second refusal", |all| all[0].refused.len() == 2);
    assert_eq!((&a.refused[1].0, a.refused[1].1), (&closed, Some(receipt)));
    assert!(a.refused[1].2.contains("Permissions Violation"), "{}", a.refused[1].2);
    assert_eq!((a.messages(), a.downs.len()), (1, 0));
}

#[test]
fn a_wrong_password_and_a_token_are_what_they_are() {
    let Some(server) = Server::start("authorization { token: \"secret\" }") else { return };
    let with = |credentials| {
        let nats = NatsOptions { credentials, ..NatsOptions::default() };
        Process::new(1, &[format!("127.0.0.1:{}", server.port)], short(), nats, None)
    };
    for wrong in [Credentials::None, Credentials::Token("other".into())] {
        let mut process = with(wrong);
        run(&mut [&mut process], "a refusal", |all| {
            all[0].downs.iter().any(|cause| cause.to_string().contains("Authorization Violation"))
        });
    }
    let mut right = with(Credentials::Token("secret".into()));
    right.subscribe(&topic("room"));
    run_until_subscribed(&mut [&mut right]);
}

#[test]
fn a_server_with_tls_is_used_with_it_and_not_without() {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let Some(server) = Server::start("") else { return };
    server.write("cert.pem", &key.cert.pem());
    server.write("key.pem", &key.signing_key.serialize_pem());
    let mut server = server;
    server.kill();
    server.configure("tls { cert_file: \"$FOLDER/cert.pem\", key_file: \"$FOLDER/key.pem\" }");
    server.run();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(key.cert.der().clone()).expect("a root");
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let nats = NatsOptions { tls: Tls::Required, ..NatsOptions::default() };
    let servers = [format!("localhost:{}", server.port)];
    let mut a = Process::new(1, &servers, short(), nats, Some(config.into()));
    let room = topic("room");
    a.subscribe(&room);
    run_until_subscribed(&mut [&mut a]);
    settle(&mut [&mut a], &room);
    let mut plain = Process::at(2, server.port);
    run(&mut [&mut plain], "a refusal", |all| {
        all[0].downs.iter().any(|cause| cause.to_string().contains("requires TLS"))
    });
}

#[test]
fn the_servers_of_a_cluster_are_learnt_and_used_when_one_dies() {
    let routes = [free_port(), free_port()];
    let of = |own: usize| {
        format!(
            "cluster {{ name: c, listen: \"127.0.0.1:{}\", routes: [ \"nats://127.0.0.1:{}\" ] }}",
            routes[own],
            routes[1 - own]
        )
    };
    let (Some(mut first), Some(second)) = (Server::start(&of(0)), Server::start(&of(1))) else { return };
    let (mut a, mut b) = (Process::at(1, first.port), Process::at(2, second.port));
    let room = topic("room");
    a.subscribe(&room);
    b.subscribe(&room);
    run_until_subscribed(&mut [&mut a, &mut b]);
    // Each subscriber has to be known at the other server, and the second server to the first.
    run(&mut [&mut a, &mut b], "messages across the cluster", |all| {
        let _ = all[0].publish(&room, 0);
        std::thread::sleep(Duration::from_millis(20));
        all[1].messages() > 20
    });
    // What a process has published when its own connection ends may be lost before it is in the topic: nothing is on its way here.
    run(&mut [&mut a, &mut b], "the last one", |all| {
        all[1].subscribers[&room].last.get(&1) == Some(&all[0].published)
    });
    first.kill();
    run(&mut [&mut a, &mut b], "the other server", |all| !all[0].downs.is_empty() && all[0].is_subscribed());
    settle(&mut [&mut a, &mut b], &room);
    assert!(a.gaps() >= 1 && b.downs.is_empty());
}

/// A client of NATS by hand.
struct ByHand {
    lines: BufReader<TcpStream>,
}

impl ByHand {
    fn connect(port: u16) -> Self {
        let socket = TcpStream::connect(("127.0.0.1", port)).expect("a server");
        socket.set_read_timeout(Some(Duration::from_secs(30))).expect("an option");
        let mut client = Self { lines: BufReader::new(socket) };
        assert!(client.line().starts_with("INFO {"));
        client.send("CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB lws.> 1\r\nPING\r\n");
        assert_eq!(client.line(), "PONG\r\n");
        client
    }

    fn send(&mut self, octets: &str) {
        self.lines.get_mut().write_all(octets.as_bytes()).expect("a server that reads");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line");
        line
    }

    fn payload(&mut self, len: usize) -> String {
        let mut payload = vec![0; len + 2];
        self.lines.read_exact(&mut payload).expect("a payload");
        String::from_utf8(payload).expect("text")
    }
}

#[test]
fn others_see_subjects_and_their_headers_are_left_out() {
    let Some(server) = Server::start("") else { return };
    let mut others = ByHand::connect(server.port);
    let mut a = Process::at(1, server.port);
    let room = topic("room/a b");
    a.subscribe(&room);
    run_until_subscribed(&mut [&mut a]);
    others.send("HPUB lws.room.a%20b 18 22\r\nNATS/1.0\r\nA: 1\r\n\r\n7 1 \r\nPUB lws.room.a 4\r\n7 2 \r\n");
    run(&mut [&mut a], "the message", |all| all[0].messages() == 1);
    assert_eq!(a.subscribers[&room].last, [(7, 1)].into());
    // Its own come first.
    let own = [others.line(), others.line(), others.line(), others.line(), others.line()].concat();
    assert_eq!(own, "HMSG lws.room.a%20b 1 18 22\r\nNATS/1.0\r\nA: 1\r\n\r\n7 1 \r\n");
    assert_eq!([others.line(), others.line()].concat(), "MSG lws.room.a 1 4\r\n7 2 \r\n");
    a.publish(&room, 0).expect("nothing waits");
    run(&mut [&mut a], "the message", |all| all[0].messages() == 2);
    assert_eq!(others.line(), "MSG lws.room.a%20b 1 4\r\n");
    assert_eq!(others.payload(4), "1 1 \r\n");
}

#[test]
fn what_was_published_before_there_was_a_server_is_delivered_when_it_comes() {
    let port = free_port();
    let options =
        Options { limits: lws_broker::Limits { publish_messages_max: 3, ..short().limits }, ..short() };
    let mut a = Process::new(1, &[format!("127.0.0.1:{port}")], options, NatsOptions::default(), None);
    let room = topic("room");
    a.subscribe(&room);
    run(&mut [&mut a], "two failures", |all| all[0].downs.len() >= 2);
    assert!(matches!(a.downs[0], Cause::Connect(_)));
    for number in 1..=3 {
        assert_eq!(a.publish(&room, 0), Ok(Receipt(number)));
    }
    assert_eq!(a.publish(&room, 0), Err(Full::Messages));
    let Some(mut server) = Server::start("") else { return };
    server.kill();
    server.port = port;
    server.configure("");
    server.run();
    let mut b = Process::at(2, port);
    b.subscribe(&room);
    run_until_subscribed(&mut [&mut b]);
    run(&mut [&mut a, &mut b], "three messages", |all| all[1].messages() == 3);
}
