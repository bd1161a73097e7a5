//! What a server says, whole and octet by octet, and what the session makes of it.

use super::*;
use crate::Security;
use crate::redis::HistoryOptions;

const HELLO: &str = "%1\r\n$6\r\nserver\r\n$5\r\nredis\r\n";

fn topic(name: &str) -> Topic {
    Topic::new(name).expect("a name")
}

fn options() -> RedisOptions {
    RedisOptions::new(Endpoint::Unix("/redis".into()))
}

/// A session and what it has sent.
struct Fixture {
    session: RedisSession,
}

impl Fixture {
    fn new(options: RedisOptions) -> Self {
        Self {
            session: RedisSession::new(
                Rc::new(options),
                Endpoint::Unix("/redis".into()),
                RecoveryLimits { messages_max: 100, bytes_max: 1_000 },
            ),
        }
    }

    /// One whose greeting is over.
    fn ready(options: RedisOptions) -> Self {
        let mut it = Self::new(options.clone());
        it.sent();
        let scripts = if options.history.is_some() { "+\r\n$2\r\nP1\r\n$2\r\nH1\r\n" } else { "" };
        assert_eq!(it.receive(&format!("{HELLO}{scripts}")), [SessionEvent::Ready]);
        it
    }

    /// The commands that were written, each as its words.
    fn sent(&mut self) -> Vec<String> {
        let mut parser = RespParser::new(super::super::RespLimits::default());
        parser.feed(self.session.transmit());
        let count = self.session.transmit().len();
        self.session.transmitted(count);
        let mut commands = Vec::new();
        while let Ok(Some(RespValue::Array(words))) = parser.next() {
            let words = words.iter().map(|word| String::from_utf8_lossy(word.octets().expect("text")));
            commands.push(words.collect::<Vec<_>>().join(" "));
        }
        commands
    }

    fn receive(&mut self, octets: &str) -> Vec<SessionEvent> {
        self.session.receive(Time::ZERO, octets.as_bytes());
        std::iter::from_fn(|| self.session.poll()).collect()
    }
}

/// What follows from `octets`, however they are cut.
fn check(
    options: &RedisOptions,
    ask: impl Fn(&mut RedisSession),
    octets: &str,
    expected: &[SessionEvent],
) -> Vec<String> {
    let mut whole = Fixture::ready(options.clone());
    ask(&mut whole.session);
    whole.sent();
    assert_eq!(whole.receive(octets), expected, "{octets:?}");
    let mut cut = Fixture::ready(options.clone());
    ask(&mut cut.session);
    cut.sent();
    let mut events = Vec::new();
    for octet in octets.chars() {
        events.extend(cut.receive(octet.encode_utf8(&mut [0; 4])));
    }
    assert_eq!(events, expected, "cut: {octets:?}");
    let sent = whole.sent();
    assert_eq!(sent, cut.sent());
    sent
}

fn push(kind: &str, channel: &str, last: &str) -> String {
    format!("> 3\r\n${}\r\n{kind}\r\n${}\r\n{channel}\r\n{last}\r\n", kind.len(), channel.len())
        .replace("> ", ">")
}

fn refusal(error: &str) -> Cause {
    advice::judge(error.as_bytes()).1
}

#[test]
fn the_greeting_says_who_it_is_and_brings_the_scripts() {
    let mut it = Fixture::new(options());
    assert_eq!(it.sent(), ["HELLO 3 SETNAME lws"]);
    assert_eq!(it.receive(HELLO), [SessionEvent::Ready]);
    let history = Some(HistoryOptions::default());
    let all = RedisOptions {
        user: Some("web".into()),
        password: Some("secret".into()),
        database: 2,
        history,
        ..options()
    };
    let mut it = Fixture::new(all);
    let sent = it.sent();
    assert_eq!(sent[..2], ["HELLO 3 AUTH web secret SETNAME lws", "SELECT 2"]);
    assert_eq!(sent[2], "INFO replication");
    assert!(sent[3].starts_with("SCRIPT LOAD local epoch") && sent[4].starts_with("SCRIPT LOAD local epoch"));
    let info = "$30\r\nmaster_replid:a\nmaster_replid2:b\r\n".replace("$30", "$32");
    assert_eq!(it.receive(&format!("{HELLO}+OK\r\n{info}$2\r\nP1\r\n")), []);
    assert_eq!(it.receive("$2\r\nH1\r\n"), [SessionEvent::Ready]);
    it.session.recover(&topic("a"), None);
    it.session.publish(Receipt(1), &topic("a"), &Bytes::from("x"));
    let sent = it.sent();
    let lineage = |command: &str| command.split(' ').nth(5).map(str::to_owned);
    assert_eq!((lineage(&sent[0]), lineage(&sent[1])), (Some("a".into()), Some("a".into())), "{sent:?}");
}

#[test]
fn an_error_in_the_greeting_is_its_end() {
    for error in [
        "NOAUTH HELLO must be called with the client already authenticated",
        "LOADING Redis is loading the dataset in memory",
        "ERR unknown command 'HELLO'",
    ] {
        let mut it = Fixture::new(options());
        assert_eq!(it.receive(&format!("-{error}\r\n:1\r\n")), [SessionEvent::Failed(refusal(error))]);
    }
}

#[test]
fn a_replica_is_refused_at_once() {
    let hello = |role: &str| format!("%1\r\n$4\r\nrole\r\n${}\r\n{role}\r\n", role.len());
    assert_eq!(Fixture::new(options()).receive(&hello("master")), [SessionEvent::Ready]);
    for history in [None, Some(HistoryOptions::default())] {
        let mut it = Fixture::new(RedisOptions { history, ..options() });
        let cause = advice::judge(REPLICA).1;
        assert!(cause.to_string().contains("primary"), "{cause}");
        assert_eq!(it.receive(&hello("replica")), [SessionEvent::Failed(cause)]);
    }
}

#[test]
fn a_script_has_a_name() {
    for scripts in ["+\r\n*0\r\n", "+\r\n$2\r\nP1\r\n:1\r\n"] {
        let mut it = Fixture::new(RedisOptions { history: Some(HistoryOptions::default()), ..options() });
        let failed = SessionEvent::Failed(Cause::Violation(NO_SCRIPT));
        assert_eq!(it.receive(&format!("{HELLO}{scripts}")), [failed]);
    }
}

#[test]
fn confirmations_and_messages_are_pushes_between_answers() {
    let ask = |session: &mut RedisSession| {
        session.subscribe(&[topic("a"), topic("b")]);
        session.publish(Receipt(1), &topic("a"), &Bytes::from("hi"));
        session.unsubscribe(&[topic("b")]);
        session.ping();
    };
    let octets = [
        push("subscribe", "lws/a", ":1"),
        push("message", "lws/a", "$2\r\nyo"),
        push("subscribe", "lws/b", ":2"),
        push("message", "lws/a", "$2\r\nhi"),
        ":1\r\n".into(),
        push("message", "other/a", "$2\r\nno"),
        push("unsubscribe", "lws/b", ":1"),
        // This one no one has asked for.
        push("unsubscribe", "lws/a", ":0"),
        "+PONG\r\n".into(),
    ];
    let message = |payload: &'static str| SessionEvent::Message {
        topic: topic("a"),
        payload: Bytes::from(payload),
        position: None,
    };
    check(
        &options(),
        ask,
        &octets.concat(),
        &[
            SessionEvent::Subscribed(topic("a")),
            message("yo"),
            SessionEvent::Subscribed(topic("b")),
            message("hi"),
            SessionEvent::Unsubscribed(topic("a")),
        ],
    );
}

#[test]
fn of_a_batch_that_is_refused_each_topic_is_asked_for_by_itself() {
    let error = "NOPERM this user has no permissions to access one of the channels";
    let ask = |session: &mut RedisSession| session.subscribe(&[topic("a"), topic("b")]);
    let sent = check(&options(), ask, &format!("-{error}\r\n"), &[]);
    assert_eq!(sent, ["SUBSCRIBE lws/a", "SUBSCRIBE lws/b"]);
    let one = |session: &mut RedisSession| session.subscribe(&[topic("a")]);
    let refused = SessionEvent::Refused { topic: topic("a"), receipt: None, cause: refusal(error) };
    check(&options(), one, &format!("-{error}\r\n"), &[refused]);
}

#[test]
fn errors_of_publications_name_them_and_some_end_the_connection() {
    let ask = |session: &mut RedisSession| session.publish(Receipt(7), &topic("a"), &Bytes::from("x"));
    for (error, ends) in [
        ("OOM command not allowed when used memory > 'maxmemory'", false),
        ("READONLY You can't write against a read only replica.", true),
        ("MOVED 1 127.0.0.1:7001", true),
        ("NOSCRIPT No matching script", true),
    ] {
        let cause = refusal(error);
        let receipt = Some(Receipt(7));
        let mut expected = vec![SessionEvent::Refused { topic: topic("a"), receipt, cause: cause.clone() }];
        expected.extend(ends.then_some(SessionEvent::Failed(cause)));
        check(&options(), ask, &format!("-{error}\r\n"), &expected);
    }
}

#[test]
fn where_a_topic_has_moved_is_tried_next() {
    let here = Endpoint::Tcp { host: "a".into(), port: 1, tls: Security::Tls };
    let there = |host: &str, port| Some(Endpoint::Tcp { host: host.into(), port, tls: Security::Tls });
    for (error, expected) in [
        ("MOVED 3999 127.0.0.1:6381", there("127.0.0.1", 6381)),
        ("MOVED 3999 ::1:6381", there("::1", 6381)),
        ("MOVED 3999 :6381", there("a", 6381)),
        ("MOVED 3999 b:0", None),
        ("MOVED 3999", None),
        ("READONLY b:1", None),
    ] {
        assert_eq!(moved_to(error.as_bytes(), &here), expected, "{error}");
    }
    assert_eq!(moved_to(b"MOVED 1 b:1", &Endpoint::Unix("/redis".into())), None);
    let mut redis = crate::redis::Redis::new(options(), &crate::Limits::default());
    crate::Protocol::directed(&mut redis, here.clone());
    assert_eq!(crate::Protocol::endpoint(&mut redis), here);
    assert_eq!(crate::Protocol::endpoint(&mut redis), Endpoint::Unix("/redis".into()), "once");
}

#[test]
fn history_is_one_answer_and_a_message_has_its_position() {
    let with_history = RedisOptions { history: Some(HistoryOptions::default()), ..options() };
    let ask = |session: &mut RedisSession| {
        session.recover(&topic("a"), Some(Position { epoch: 7, offset: 3 }));
    };
    let position = |offset| Position { epoch: 7, offset };
    let octets = [
        "*3\r\n$1\r\n7\r\n$1\r\n5\r\n*4\r\n$3\r\n4-0\r\n$1\r\nx\r\n$3\r\n5-0\r\n$1\r\ny\r\n".into(),
        push("message", "lws/a", "$10\r\nlws1:7:6:z"),
    ]
    .concat();
    let history = History {
        topic: topic("a"),
        newest: Some(position(5)),
        entries: vec![(4, Bytes::from("x")), (5, Bytes::from("y"))],
        whole_after: None,
    };
    let message =
        SessionEvent::Message { topic: topic("a"), payload: Bytes::from("z"), position: Some(position(6)) };
    check(&with_history, ask, &octets, &[SessionEvent::History(history), message]);
    let lost = History { topic: topic("a"), newest: None, entries: Vec::new(), whole_after: None };
    check(&with_history, ask, "-ERR script\r\n", &[SessionEvent::History(lost)]);
    let other = SessionEvent::Failed(Cause::Violation("a history of another form"));
    check(&with_history, ask, "*2\r\n:1\r\n:2\r\n", &[other]);
}

#[test]
fn what_no_server_says_is_the_end() {
    let none = |_: &mut RedisSession| {};
    for (octets, cause) in [
        ("+OK\r\n", Cause::Violation("an answer to no command")),
        ("?\r\n", Cause::Violation(RespError::Type.as_str())),
        (">3\r\n+message\r\n+lws/a\r\n:1\r\n", Cause::Violation("a message that is no text")),
        ("$2000000\r\n", Cause::Limit("bulk_bytes_max")),
    ] {
        check(&options(), none, octets, &[SessionEvent::Failed(cause)]);
    }
}

#[test]
fn publications_stop_at_the_bounds_of_output_and_answers() {
    let mut it = Fixture::ready(options());
    let payload = Bytes::from(vec![b'x'; OUTPUT_BYTES_MAX]);
    assert!(it.session.can_publish());
    it.session.publish(Receipt(1), &topic("a"), &payload);
    assert!(!it.session.can_publish(), "so much waits for the transport");
    it.sent();
    assert!(it.session.can_publish());
    for number in 1..PENDING_MAX as u64 {
        it.session.publish(Receipt(number), &topic("a"), &Bytes::new());
        it.sent();
    }
    assert!(!it.session.can_publish(), "so many answers are owed");
    it.receive(":1\r\n");
    assert!(it.session.can_publish());
}
