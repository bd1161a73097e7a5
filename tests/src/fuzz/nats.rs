//! NATS: the same events and the same output however the input of a session is cut, within its limits; and subjects that are those of one
//! topic each.

use super::split_off_cuts;
use lws_broker::nats::{Nats, NatsOptions, StreamOptions, SubjectPrefix};
use lws_broker::{Bytes, Position, Protocol, Receipt, SessionEvent, Time, Topic};

/// The largest message that is received.
const MESSAGE_BYTES_MAX: usize = 200;
const GREETING: &[u8] = b"INFO {\"proto\":1,\"max_payload\":100}\r\nPONG\r\n";
/// With the stream that is found behind it.
const STORED: &[u8] = b"INFO {\"server_id\":\"A\",\"headers\":true,\"proto\":1,\"max_payload\":100}\r\nPONG\r\n\
MSG _INBOX.A.0.stream 0 177\r\n{\"config\":{\"subjects\":[\"lws.>\"],\"republish\":{\"src\":\"lws.>\",\"dest\":\"lws-live.>\"},\
\"allow_direct\":true,\"max_msgs_per_subject\":4},\"created\":\"a\",\"state\":{\"first_seq\":3,\"last_seq\":9}}\r\n";

/// Octets of a server, from its first line on, and behind a greeting.
pub fn nats(input: &[u8]) {
    let (octets, cuts) = split_off_cuts(input);
    let stored = Some(StreamOptions { recovery_bytes_max: 500, ..StreamOptions::default() });
    for (greeting, history) in [(&b""[..], None), (GREETING, None), (STORED, stored)] {
        let run = |sizes: &[usize]| run(greeting, history, octets, sizes);
        let whole = run(&[octets.len().max(1)]);
        assert_eq!(run(&[1]), whole);
        let sizes: Vec<_> = cuts.iter().map(|cut| usize::from(*cut) + 1).collect();
        if !sizes.is_empty() {
            assert_eq!(run(&sizes), whole);
        }
    }
    subjects(octets);
}

/// What a session with two subscriptions and a publication reports and sends.
fn run(
    greeting: &[u8],
    history: Option<StreamOptions>,
    octets: &[u8],
    sizes: &[usize],
) -> (Vec<String>, Vec<u8>) {
    let options = NatsOptions { message_bytes_max: MESSAGE_BYTES_MAX, history, ..NatsOptions::default() };
    let mut protocol = Nats::new(&["127.0.0.1:4222"], options).expect("an address");
    let mut session = protocol.session(Time::ZERO);
    session.receive(Time::ZERO, greeting);
    if session.can_publish() {
        let topics = ["a", "b/c"].map(|name| Topic::new(name).expect("a name"));
        session.subscribe(&topics);
        session.publish(Receipt(1), &topics[0], &Bytes::from_static(b"hello"));
        session.recover(&topics[0], None);
        session.recover(&topics[1], Some(Position { epoch: 0xaf63_dc4c_8601_ec8c, offset: 4 }));
    }
    assert!(greeting != STORED || session.features().history && !session.transmit().is_empty());
    let (mut seen, mut rest, mut sizes) = (Vec::new(), octets, sizes.iter().cycle());
    let mut failed = false;
    loop {
        while let Some(event) = session.poll() {
            assert!(!failed, "nothing follows a failure: {event:?}");
            failed = matches!(event, SessionEvent::Failed(_));
            match &event {
                SessionEvent::Message { payload, .. } => assert!(payload.len() <= MESSAGE_BYTES_MAX),
                SessionEvent::History(history) => {
                    let bytes: usize = history.entries.iter().map(|(_, payload)| payload.len()).sum();
                    assert!(bytes <= 500 && history.entries.len() <= 4);
                }
                _ => {}
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
