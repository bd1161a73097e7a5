//! A session with NATS, against octets of a server: however they are cut, the events and what is sent are the same.

#![cfg(feature = "nats")]

use lws_broker::nats::{Credentials, Nats, NatsOptions, StreamOptions, SubjectPrefix, Tls};
use lws_broker::{Bytes, Endpoint, Position, Protocol, Receipt, Security, Session, Time, Topic};

const INFO: &str =
    "INFO {\"server_id\":\"A\",\"proto\":1,\"version\":\"2.9.10\",\"headers\":true,\"max_payload\":64}\r\n";

/// What happens to a session, one after the other.
enum Act<'a> {
    /// Octets of the server.
    Server(&'a str),
    Subscribe(&'a [&'a str]),
    Unsubscribe(&'a str),
    Publish(u64, &'a str, &'a str),
    Recover(&'a str, Option<Position>),
    Ping,
}
use Act::{Ping, Publish, Recover, Server, Subscribe, Unsubscribe};

fn topic(name: &str) -> Topic {
    Topic::new(name).expect("a name")
}

fn nats(options: NatsOptions) -> Nats {
    Nats::new(&["127.0.0.1:4222"], options).expect("an address")
}

/// The greeting, and what follows it.
fn greeted<'a>(acts: impl IntoIterator<Item = Act<'a>>) -> Vec<Act<'a>> {
    [Server(INFO), Server("PONG\r\n")].into_iter().chain(acts).collect()
}

/// What a session reports and sends, one line for each, where octets of the server come in parts of `step`.
fn run(options: &NatsOptions, acts: &[Act<'_>], step: usize) -> Vec<String> {
    let mut session = nats(options.clone()).session(Time::ZERO);
    let mut seen = Vec::new();
    for act in acts {
        match act {
            Server(octets) => octets.as_bytes().chunks(step).for_each(|part| {
                session.receive(Time::ZERO, part);
                drain(&mut *session, &mut seen);
            }),
            Subscribe(topics) => {
                session.subscribe(&topics.iter().map(|name| topic(name)).collect::<Vec<_>>())
            }
            Unsubscribe(name) => session.unsubscribe(&[topic(name)]),
            Publish(receipt, name, payload) => {
                assert!(session.can_publish());
                session.publish(Receipt(*receipt), &topic(name), &Bytes::copy_from_slice(payload.as_bytes()));
            }
            Recover(name, after) => session.recover(&topic(name), *after),
            Ping => session.ping(),
        }
        drain(&mut *session, &mut seen);
        // As a transport that takes little.
        while !session.transmit().is_empty() {
            let part = session.transmit();
            let part = part[..part.len().min(step)].to_vec();
            session.transmitted(part.len());
            match seen.last_mut().filter(|line| line.starts_with("> ")) {
                Some(line) => line.push_str(&String::from_utf8_lossy(&part)),
                None => seen.push(format!("> {}", String::from_utf8_lossy(&part))),
            }
        }
    }
    seen
}

fn drain(session: &mut dyn Session, seen: &mut Vec<String>) {
    while let Some(event) = session.poll() {
        seen.push(format!("{event:?}"));
    }
}

/// Runs it with parts of many sizes. Lines of the outcome have to contain what is expected, in this order and with no line between but what
/// is sent in the greeting.
fn check_with(options: &NatsOptions, acts: &[Act<'_>], expected: &[&str]) {
    let whole = run(options, acts, usize::MAX);
    for step in (1..=40).chain([64, 100, 1_000]) {
        assert_eq!(run(options, acts, step), whole, "in parts of {step}");
    }
    let lines: Vec<_> = whole.iter().filter(|line| !line.starts_with("> CONNECT")).collect();
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.contains(expected), "{line:?} is not {expected:?}");
    }
}

fn check(acts: impl IntoIterator<Item = Act<'static>>, expected: &[&str]) {
    check_with(&NatsOptions::default(), &greeted(acts), &[&["Ready"], expected].concat());
}

#[test]
fn the_server_speaks_first_and_a_pong_ends_the_greeting() {
    let user = Credentials::User { name: "u".into(), password: "p".into() };
    let options = NatsOptions { credentials: user, name: "n".into(), ..NatsOptions::default() };
    let seen = run(&options, &greeted([]), usize::MAX);
    let [connect, ready] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!(ready, "Ready");
    for part in [
        "> CONNECT {",
        "\"echo\":false",
        "\"verbose\":false",
        "\"user\":\"u\"",
        "\"pass\":\"p\"",
        "}\r\nPING\r\n",
    ] {
        assert!(connect.contains(part), "{part} is not in {connect}");
    }
    let mut session = nats(NatsOptions::default()).session(Time::ZERO);
    assert!(session.transmit().is_empty() && !session.can_publish());
    session.receive(Time::ZERO, INFO.as_bytes());
    assert!(!session.can_publish(), "it was not accepted");
    session.receive(Time::ZERO, b"PONG\r\n");
    assert!(session.can_publish());
    assert_eq!(session.features().payload_bytes_max, 64);
    assert!(!session.features().echo && !session.features().history);
    // One that is older than the option sends back what is published.
    let mut session = nats(NatsOptions::default()).session(Time::ZERO);
    session.receive(Time::ZERO, b"INFO {}\r\nPONG\r\n");
    assert!(session.features().echo);
    let options = NatsOptions { echo: true, ..NatsOptions::default() };
    assert!(run(&options, &greeted([]), 100)[0].contains("\"echo\":true"));
}

#[test]
fn a_subscription_is_confirmed_by_a_pong_or_by_its_first_message() {
    check(
        [Subscribe(&["room/a", "b"]), Server("MSG lws.b 2 2\r\nhi\r\nPONG\r\nMSG lws.room.a 1 0\r\n\r\n")],
        &[
            "> SUB lws.room.a 1\r\nSUB lws.b 2\r\nPING\r\n",
            "Subscribed(Topic(\"b\"))",
            "Message { topic: Topic(\"b\"), payload: b\"hi\", position: None }",
            "Subscribed(Topic(\"room/a\"))",
            "Message { topic: Topic(\"room/a\"), payload: b\"\"",
        ],
    );
    // A PONG confirms what stands before its own PING, and no more.
    check(
        [
            Ping,
            Subscribe(&["a"]),
            Subscribe(&["b"]),
            Server("PONG\r\n"),
            Server("PONG\r\n"),
            Server("PONG\r\n"),
        ],
        &[
            "> PING\r\nSUB lws.a 1\r\nPING\r\nSUB lws.b 2\r\nPING\r\n",
            "Subscribed(Topic(\"a\"))",
            "Subscribed(Topic(\"b\"))",
        ],
    );
}

#[test]
fn messages_of_subscriptions_that_have_ended_are_dropped() {
    check(
        [
            Subscribe(&["a"]),
            Server("PONG\r\n"),
            Unsubscribe("a"),
            Server("MSG lws.a 1 1\r\nx\r\n"),
            Subscribe(&["a"]),
            Server("MSG lws.a 1 1\r\nx\r\nMSG lws.a 9 1\r\nx\r\nPONG\r\nMSG lws.a 2 1\r\ny\r\n"),
        ],
        &[
            "> SUB lws.a 1\r\nPING\r\n",
            "Subscribed",
            "> UNSUB 1\r\nSUB lws.a 2\r\nPING\r\n",
            "Subscribed",
            "payload: b\"y\"",
        ],
    );
}

#[test]
fn headers_of_others_are_left_out_and_what_is_too_large_is_lost() {
    let options = NatsOptions { message_bytes_max: 20, ..NatsOptions::default() };
    let acts = greeted([
        Subscribe(&["a"]),
        Server(
            "PONG\r\nHMSG lws.a 1 18 20\r\nNATS/1.0\r\nA: 1\r\n\r\nxy\r\nMSG lws.a 1 21\r\n\r\nPONG\r\nPONG\r\nPONG\r\nx\r\n",
        ),
        Server("MSG lws.a 1 _INBOX.a 1\r\nz\r\n"),
    ]);
    let expected =
        ["Ready", "> SUB", "Subscribed", "payload: b\"xy\"", "Lost(Some(Topic(\"a\")))", "payload: b\"z\""];
    check_with(&options, &acts, &expected);
}

#[test]
fn what_the_server_refuses_is_reported_with_its_topic() {
    check(
        [
            Subscribe(&["a", "secret/b", "c"]),
            Server("-ERR 'Permissions Violation for Subscription to \"lws.secret.b\"'\r\nPONG\r\n"),
            Server("-ERR 'Permissions Violation for Subscription to \"lws.a\"'\r\n"),
        ],
        &[
            "> SUB",
            "Refused { topic: Topic(\"secret/b\"), receipt: None",
            "Subscribed(Topic(\"a\"))",
            "Subscribed(Topic(\"c\"))",
            // One that was confirmed is taken away when permissions change.
            "Unsubscribed(Topic(\"a\"))",
        ],
    );
    // The server writes a quotation mark or a backslash of a subject with another backslash before it.
    check(
        [
            Subscribe(&["a\"b", "a\\"]),
            Server("-ERR 'Permissions Violation for Subscription to \"lws.a\\\"b\"'\r\n"),
            Server("-ERR 'Permissions Violation for Subscription to \"lws.a\\\\\"'\r\nPONG\r\n"),
        ],
        &[
            "> SUB",
            "Refused { topic: Topic(\"a\\\"b\"), receipt: None",
            "Refused { topic: Topic(\"a\\\\\"), receipt: None",
        ],
    );
    check(
        [
            Publish(5, "a", "1"),
            Publish(6, "b", "2"),
            Publish(7, "b", "3"),
            Server("-ERR 'Permissions Violation for Publish to \"lws.b\"'\r\n"),
            Server("-ERR 'Permissions Violation for Publish to \"lws.b\"'\r\n"),
            Server("-ERR 'Permissions Violation for Publish to \"lws.b\"'\r\n-ERR 'Something New'\r\n"),
        ],
        &[
            "> PUB lws.a 1\r\n1\r\nPUB lws.b 1\r\n2\r\nPUB lws.b 1\r\n3\r\n",
            "Refused { topic: Topic(\"b\"), receipt: Some(Receipt(6))",
            "Refused { topic: Topic(\"b\"), receipt: Some(Receipt(7))",
            "Lost(None)",
        ],
    );
}

#[test]
fn complaints_that_end_a_connection_say_what_to_do() {
    for (text, advice) in [
        ("Slow Consumer", "max_pending"),
        ("Authorization Violation", "password"),
        ("Stale Connection", "ping_interval"),
        ("Maximum Payload Violation", "max_payload"),
        ("maximum subscriptions exceeded", "max_subscriptions"),
    ] {
        let error = format!("-ERR '{text}'\r\nMSG lws.a 1 1\r\nx\r\n");
        let failed = format!("Failed(Refused {{ error: \"{text}\", advice: ");
        let acts = greeted([Server(&error)]);
        check_with(&NatsOptions::default(), &acts, &["Ready", &failed]);
        let seen = run(&NatsOptions::default(), &acts, 7);
        assert!(seen.last().is_some_and(|line| line.contains(advice)), "{seen:?}");
    }
    // Before the greeting is over as well: too many connections, or a wrong password.
    check_with(
        &NatsOptions::default(),
        &[Server("-ERR 'maximum connections exceeded'\r\n")],
        &["max_connections"],
    );
    check_with(
        &NatsOptions::default(),
        &[Server(INFO), Server("-ERR 'Authorization Violation'\r\n")],
        &["password"],
    );
}

#[test]
fn what_is_no_server_of_nats_is_noticed() {
    for octets in [
        "HTTP/1.1 400 Bad Request\r\n",
        "PING\r\n",
        "+OK\r\n",
        "MSG a 1 1\r\nx\r\n",
        "220 smtp\n",
        "INFO {\"max_payload\":\"x\"}\r\n",
    ] {
        check_with(&NatsOptions::default(), &[Server(octets)], &["Failed(Violation("]);
    }
    check([Server("PONG\r\nPING\r\n")], &["Failed(Violation(\"a PONG answers a PING\"))"]);
    check([Server("PING\r\n"), Server("FOO\r\n")], &["> PONG\r\n", "Failed(Violation("]);
}

#[test]
fn tls_begins_behind_the_first_line_where_it_is_switched_on() {
    let options = NatsOptions { tls: Tls::Required, ..NatsOptions::default() };
    for offer in ["\"tls_required\":true", "\"tls_available\":true"] {
        let info = format!("INFO {{{offer}}}\r\n");
        let seen = run(&options, &[Server(&info), Server("PONG\r\n")], 9);
        assert_eq!(seen[0], "StartTls", "{seen:?}");
        assert!(seen[1].contains("\"tls_required\":true"), "{seen:?}");
        assert_eq!(seen[2], "Ready");
    }
    check_with(&options, &[Server(INFO)], &["offers no TLS"]);
    check_with(&NatsOptions::default(), &[Server("INFO {\"tls_required\":true}\r\n")], &["requires TLS"]);
    // Where the handshake comes first, nothing is begun behind the line.
    let first = NatsOptions { tls: Tls::First, ..NatsOptions::default() };
    let Endpoint::Tcp { tls: Security::Tls, .. } = nats(first.clone()).endpoint() else {
        panic!("TLS at once")
    };
    let seen = run(&first, &[Server("INFO {\"tls_required\":true}\r\n"), Server("PONG\r\n")], 9);
    assert!(seen[0].contains("\"tls_required\":true") && seen[1] == "Ready", "{seen:?}");
    // Octets that somebody on the way has put behind the line would be believed to come from inside.
    let mut session = nats(options).session(Time::ZERO);
    session.receive(Time::ZERO, b"INFO {\"tls_required\":true}\r\nPONG\r\n");
    let mut seen = Vec::new();
    drain(&mut *session, &mut seen);
    assert!(seen.last().is_some_and(|line| line.contains("between INFO and TLS")), "{seen:?}");
    assert!(!seen.contains(&"Ready".to_owned()));
}

#[test]
fn publications_are_confirmed_by_pings_between_them_and_have_a_bound() {
    let mut session = nats(NatsOptions::default()).session(Time::ZERO);
    session.receive(Time::ZERO, INFO.as_bytes());
    session.receive(Time::ZERO, b"PONG\r\n");
    let (topic, payload) = (topic("a"), Bytes::from_static(b"x"));
    let take = |session: &mut dyn Session| {
        let text = String::from_utf8_lossy(session.transmit()).into_owned();
        session.transmitted(text.len());
        text.matches("PING\r\n").count()
    };
    take(&mut *session);
    let (mut published, mut pings) = (0, 0);
    while session.can_publish() {
        published += 1;
        session.publish(Receipt(published), &topic, &payload);
        pings += take(&mut *session);
    }
    assert_eq!((published, pings), (4_096, 8), "without an answer");
    session.receive(Time::ZERO, b"PONG\r\n");
    assert!(session.can_publish());
    // A transport that takes nothing ends it earlier.
    let large = Bytes::from(vec![b'x'; 64]);
    let mut session = nats(NatsOptions::default()).session(Time::ZERO);
    session.receive(Time::ZERO, INFO.as_bytes());
    session.receive(Time::ZERO, b"PONG\r\n");
    while session.can_publish() {
        session.publish(Receipt(1), &topic, &large);
    }
    assert!((256 << 10..257 << 10).contains(&session.transmit().len()), "{}", session.transmit().len());
    session.transmitted(1_000);
    assert!(session.can_publish());
}

#[test]
fn the_server_may_lower_what_it_takes_and_name_others() {
    let lower =
        "INFO {\"max_payload\":4,\"connect_urls\":[\"10.0.0.1:4222\",\"b.example:4333\",\"[::1]:4222\"]}\r\n";
    check(
        [Server(lower), Publish(1, "a", "1234"), Publish(2, "a", "12345")],
        &[
            "Endpoints([Tcp { host: \"10.0.0.1\", port: 4222, tls: Plain }, ",
            "> PUB lws.a 4\r\n1234\r\n",
            "Refused { topic: Topic(\"a\"), receipt: Some(Receipt(2))",
        ],
    );
    // A certificate is that of a name.
    let options = NatsOptions { tls: Tls::Required, ..NatsOptions::default() };
    let info = lower.replacen('{', "{\"tls_required\":true,", 1);
    let expected = "Endpoints([Tcp { host: \"b.example\", port: 4333, tls: TlsLater }])";
    assert!(run(&options, &[Server(&info)], 50).contains(&expected.to_owned()));
}

#[test]
fn pings_that_are_answered_to_no_one_have_a_bound() {
    let mut session = nats(NatsOptions::default()).session(Time::ZERO);
    session.receive(Time::ZERO, INFO.as_bytes());
    let mut seen = Vec::new();
    for _ in 0..2_000 {
        session.receive(Time::ZERO, b"PING\r\n");
    }
    drain(&mut *session, &mut seen);
    assert_eq!(seen, ["Failed(Limit(\"answers to PING that the server does not read\"))"]);
    assert!(session.transmit().len() < 8 << 10);
}

#[test]
fn servers_are_used_in_turn_and_those_of_the_cluster_behind_those_that_were_named() {
    let tcp = |host: &str, port| Endpoint::Tcp { host: host.into(), port, tls: Security::Plain };
    let mut nats = Nats::new(&["a:1", "[::1]:2"], NatsOptions::default()).expect("two addresses");
    let next = |nats: &mut Nats, count: usize| (0..count).map(|_| nats.endpoint()).collect::<Vec<_>>();
    assert_eq!(next(&mut nats, 3), [tcp("a", 1), tcp("::1", 2), tcp("a", 1)]);
    nats.learn(vec![tcp("c", 3), tcp("a", 1)]);
    assert_eq!(next(&mut nats, 4), [tcp("::1", 2), tcp("c", 3), tcp("a", 1), tcp("::1", 2)]);
    nats.learn((1..1_000).map(|port| tcp("d", port)).collect());
    assert!(!next(&mut nats, 66).contains(&tcp("d", 65)), "64 of them");
    nats.learn(vec![]);
    assert_eq!(next(&mut nats, 2).len(), 2);
    for bad in [&[][..], &["a"], &["a:0"], &["a:1", "b"], &["nats://a:1"], &["a:1"; 65]] {
        assert!(Nats::new(bad, NatsOptions::default()).is_err(), "{bad:?}");
    }
}

#[test]
fn processes_with_another_prefix_share_nothing() {
    let prefix = SubjectPrefix::parse("app.test").expect("a prefix");
    let options = NatsOptions { prefix, ..NatsOptions::default() };
    let acts = greeted([Subscribe(&["a b"]), Publish(1, "c", "")]);
    check_with(&options, &acts, &["Ready", "> SUB app.test.a%20b 1\r\nPING\r\nPUB app.test.c 0\r\n\r\n"]);
}

/// What a server says of a stream with the messages 3 to 9.
const STREAM: &str = "{\"config\":{\"subjects\":[\"lws.>\"],\"republish\":{\"src\":\"lws.>\",\"dest\":\"lws-live.>\"},\"allow_direct\":true,\
    \"max_msgs_per_subject\":4},\"created\":\"a\",\"state\":{\"first_seq\":3,\"last_seq\":9}}";
/// Its epoch.
const EPOCH: u64 = 0xaf63_dc4c_8601_ec8c;
const MISSING: &str = "{\"error\":{\"code\":404,\"err_code\":10059,\"description\":\"stream not found\"}}";
/// What is asked behind the greeting.
const ASKED: &str = "SUB _INBOX.A.0.> 0\r\nPUB $JS.API.STREAM.INFO.lws _INBOX.A.0.stream 0\r\n\r\n";

/// An answer of JetStream.
fn answer(token: &str, payload: &str) -> String {
    format!("MSG _INBOX.A.0.{token} 0 {}\r\n{payload}\r\n", payload.len())
}

/// A message of the stream, as an answer or to a subscription.
fn stored(subject: &str, subscription: u64, headers: &str, payload: &str) -> String {
    let headers = format!("NATS/1.0{headers}\r\n\r\n");
    let (header_bytes, bytes) = (headers.len(), headers.len() + payload.len());
    format!("HMSG {subject} {subscription} {header_bytes} {bytes}\r\n{headers}{payload}\r\n")
}

/// What follows a greeting with history whose stream is there.
fn check_stored(acts: Vec<Act<'_>>, expected: &[&str]) {
    let options = NatsOptions { history: Some(StreamOptions::default()), ..NatsOptions::default() };
    let found = answer("stream", STREAM);
    let greeting = [Server(INFO), Server("PONG\r\n"), Server(&found)];
    let acts: Vec<_> = greeting.into_iter().chain(acts).collect();
    check_with(&options, &acts, &[&["Ready"], expected].concat());
}

#[test]
fn with_history_the_stream_is_looked_for_and_made_if_it_is_missing() {
    let options = NatsOptions { history: Some(StreamOptions::default()), ..NatsOptions::default() };
    let check = |answers: &[String], expected: &[&str]| {
        let answers = answers.iter().map(|answer| Server(answer));
        let acts: Vec<_> = [Server(INFO), Server("PONG\r\n")].into_iter().chain(answers).collect();
        check_with(&options, &acts, expected);
        let sent = &run(&options, &acts, usize::MAX)[0];
        assert!(sent.contains(ASKED), "{sent}");
        let made = "PUB $JS.API.STREAM.CREATE.lws _INBOX.A.0.stream ";
        assert_eq!(sent.contains(made), matches!(acts[2], Server(text) if text.contains("10059")), "{sent}");
    };
    let (found, missing) = (answer("stream", STREAM), answer("stream", MISSING));
    check(&[found.clone(), found.clone()], &["Ready"]);
    check(&[missing.clone(), found.clone()], &["Ready"]);
    check(&[missing.clone(), missing.clone()], &["Failed(Refused { error: \"the stream is gone again\""]);
    check(&[missing, answer("stream", "{\"error\":{\"description\":\"no room\"}}")], &["error: \"no room\""]);
    check(&[answer("stream", "{}")], &["Failed(Violation(\"an answer of JetStream"]);
    let nobody = stored("_INBOX.A.0.stream", 0, " 503", "");
    check(&[nobody], &["Failed(Refused { error: \"JetStream does not answer\""]);
    let denied = "-ERR 'Permissions Violation for Publish to \"$JS.API.STREAM.INFO.lws\"'\r\n".to_owned();
    check(&[denied], &["Failed(Refused { error: \"Permissions Violation for Publish"]);
    // What no one has asked for is passed over.
    check(&[answer("other", "x"), answer("h1", "x"), found], &["Ready"]);
    for info in ["INFO {\"server_id\":\"A\",\"proto\":1}\r\n", "INFO {\"headers\":true,\"proto\":1}\r\n"] {
        check_with(&options, &[Server(info)], &["history needs NATS 2.9 or later"]);
    }
    let connect = &run(&options, &[Server(INFO)], usize::MAX)[0];
    assert!(connect.contains("\"no_responders\":true"), "{connect}");
}

#[test]
fn a_message_of_a_stream_has_its_place_and_that_of_the_one_before_it() {
    let linked = stored("lws-live.a", 1, "\r\nNats-Sequence: 12\r\nNats-Last-Sequence: 7", "x");
    let bare = "MSG lws-live.a 1 1\r\ny\r\n";
    let acts = || vec![Subscribe(&["a"]), Server("PONG\r\n"), Server(&linked), Server(bare)];
    let position = format!("position: Position {{ epoch: {EPOCH}, offset: 12 }}, previous: 7 }}");
    let expected =
        ["> SUB lws-live.a 1\r\nPING\r\n", "Subscribed", &position, "payload: b\"y\", position: None"];
    check_stored(acts(), &expected);
    // An offset that is not higher: a message has overtaken another one, unless the stream is another one now.
    let asked = "> PUB $JS.API.STREAM.INFO.lws _INBOX.A.0.stream 0\r\n\r\n";
    let (same, other) = (answer("stream", STREAM), answer("stream", &STREAM.replace(":\"a\"", ":\"b\"")));
    let gone = answer("stream", MISSING);
    for (answer, said) in [
        (&same, &["payload: b\"y\""][..]),
        (&other, &["Failed(Refused { error: \"offsets begin again\""]),
        (&gone, &["Failed(Refused { error: \"the stream is gone\""]),
    ] {
        // It is asked about once in a second.
        let again = [Server(&linked), Server(&linked), Server(answer), Server(bare)];
        let expected = [&expected[..], &[&position, asked, &position], said].concat();
        check_stored(acts().into_iter().chain(again).collect(), &expected);
    }
}

#[test]
fn a_publication_is_confirmed_by_the_stream_or_refused() {
    let (stored, full) = (
        answer("p1", "{\"stream\":\"lws\",\"seq\":10}"),
        answer("p2", "{\"error\":{\"description\":\"maximum bytes\"}}"),
    );
    let published = |receipt: u64| format!("> PUB lws.a _INBOX.A.0.p{receipt} 1\r\nx\r\n");
    let acts =
        vec![Publish(1, "a", "x"), Server(&stored), Publish(2, "a", "x"), Server(&full), Server(&full)];
    let refused =
        "Refused { topic: Topic(\"a\"), receipt: Some(Receipt(2)), cause: Refused { error: \"maximum bytes\"";
    let both = format!("{}{}", published(1), &published(2)["> ".len()..]);
    check_stored(acts, &[&both, refused]);
    let other = answer("p1", "+OK");
    check_stored(
        vec![Publish(1, "a", "x"), Server(&other)],
        &[&published(1), "Failed(Violation(\"an answer of JetStream"],
    );
}

#[test]
fn history_is_asked_for_message_by_message() {
    let question =
        |body: &str| format!("> PUB $JS.API.DIRECT.GET.lws _INBOX.A.0.h1 {}\r\n{body}\r\n", body.len());
    let found = |offset: u64, payload: &str| {
        stored("_INBOX.A.0.h1", 0, &format!("\r\nNats-Sequence: {offset}\r\nNats-Time-Stamp: x"), payload)
    };
    let none = stored("_INBOX.A.0.h1", 0, " 404 Message Not Found", "");
    let newest = |offset: u64| format!("newest: Some(Position {{ epoch: {EPOCH}, offset: {offset} }})");
    let (last, of_four) = (question("{\"last_by_subj\":\"lws.a\"}"), found(4, "x"));
    check_stored(vec![Recover("a", None), Server(&of_four)], &[&last, &newest(4)]);
    check_stored(vec![Recover("a", None), Server(&none), Server(&none)], &[&last, &newest(9)]);
    let (of_six, behind) = (found(6, "y"), Some(Position { epoch: EPOCH, offset: 4 }));
    let from = |offset: u64| question(&format!("{{\"next_by_subj\":\"lws.a\",\"seq\":{offset}}}"));
    check_stored(
        vec![Recover("a", behind), Server(&of_four), Server(&of_six), Server(&none)],
        &[
            &[from(4), from(5)["> ".len()..].into(), from(7)["> ".len()..].into()].concat(),
            &format!("{}, entries: [(6, b\"y\")], whole_after: Some(4)", newest(6)),
        ],
    );
    // A message that is not taken, or an answer that is none: what was asked for is lost.
    let large = format!("HMSG _INBOX.A.0.h1 0 16 2000000\r\n{}\r\n", "x".repeat(2_000_000));
    for lost in [large, answer("h1", "x"), stored("_INBOX.A.0.h1", 0, " 408 Bad Request", "")] {
        check_stored(vec![Recover("a", behind), Server(&lost)], &[&from(4), "newest: None, entries: []"]);
    }
}
