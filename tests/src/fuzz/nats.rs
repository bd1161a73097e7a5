//! NATS: the same events and the same output however the input of a session is cut, within its limits; and subjects that are those of one
//! topic each.

use super::split_off_cuts;
use lws_broker::nats::{Nats, NatsOptions, SubjectPrefix};
use lws_broker::{Bytes, Protocol, Receipt, SessionEvent, Time, Topic};

/// The largest message that is received.
const MESSAGE_BYTES_MAX: usize = 200;
const GREETING: &[u8] = b"INFO {\"proto\":1,\"max_payload\":100}\r\nPONG\r\n";

/// Octets of a server, from its first line on, and behind a greeting.
pub fn nats(input: &[u8]) {
    let (octets, cuts) = split_off_cuts(input);
    for greeting in [&b""[..], GREETING] {
        let whole = run(greeting, octets, &[octets.len().max(1)]);
        assert_eq!(run(greeting, octets, &[1]), whole);
        let sizes: Vec<_> = cuts.iter().map(|cut| usize::from(*cut) + 1).collect();
        if !sizes.is_empty() {
            assert_eq!(run(greeting, octets, &sizes), whole);
        }
    }
    subjects(octets);
}

/// What a session with two subscriptions and a publication reports and sends.
fn run(greeting: &[u8], octets: &[u8], sizes: &[usize]) -> (Vec<String>, Vec<u8>) {
    let options = NatsOptions { message_bytes_max: MESSAGE_BYTES_MAX, ..NatsOptions::default() };
    let mut protocol = Nats::new(&["127.0.0.1:4222"], options).expect("an address");
    let mut session = protocol.session(Time::ZERO);
    session.receive(Time::ZERO, greeting);
    if session.can_publish() {
        let topics = ["a", "b/c"].map(|name| Topic::new(name).expect("a name"));
        session.subscribe(&topics);
        session.publish(Receipt(1), &topics[0], &Bytes::from_static(b"hello"));
    }
    let (mut seen, mut rest, mut sizes) = (Vec::new(), octets, sizes.iter().cycle());
    let mut failed = false;
    loop {
        while let Some(event) = session.poll() {
            assert!(!failed, "nothing follows a failure: {event:?}");
            failed = matches!(event, SessionEvent::Failed(_));
            if let SessionEvent::Message { payload, .. } = &event {
                assert!(payload.len() <= MESSAGE_BYTES_MAX);
            }
            seen.push(format!("{event:?}"));
        }
        if rest.is_empty() || failed {
            break;
        }
        let (part, after) = rest.split_at(sizes.next().map_or(1, |size| *size).min(rest.len()));
        session.receive(Time::ZERO, part);
        rest = after;
    }
    (seen, session.transmit().to_vec())
}

/// The same octets as the name of a topic, and as a subject.
fn subjects(octets: &[u8]) {
    let prefix = SubjectPrefix::default();
    let Ok(text) = std::str::from_utf8(octets) else { return };
    if let Ok(topic) = Topic::new(text) {
        let subject = prefix.subject(&topic);
        assert_eq!(prefix.topic(&subject), Some(topic));
        assert!(subject.bytes().all(|octet| octet.is_ascii_graphic() && !matches!(octet, b'*' | b'>')));
        assert!(subject.split('.').all(|token| !token.is_empty()));
    }
    if let Some(topic) = prefix.topic(text) {
        assert_eq!(prefix.subject(&topic), text, "a topic has one subject");
    }
}
