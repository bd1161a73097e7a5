//! PING. RFC 9113 §6.7.

use super::*;
use std::time::Duration;

/// RFC 9113 §6.7: "Receivers of a PING frame that does not include an ACK flag MUST send a PING frame with the ACK flag set in response, with an identical
/// frame payload. ... An endpoint MUST NOT respond to PING frames containing this flag."
#[test]
fn a_ping_is_answered_with_its_payload_and_an_answer_is_not() {
    for role in Role::BOTH {
        let reaction =
            no_error(role, [h2::ping(false, *b"\0\x01\xfe\xffabcd"), h2::ping(true, *b"nonsense")].concat());
        let acks: Vec<_> =
            reaction.sent_frames.iter().filter(|frame| matches!(frame, SentFrame::Ping { .. })).collect();
        let ack = |payload| SentFrame::Ping { ack: true, payload };
        assert_eq!(acks, [&ack(*b"\0\x01\xfe\xffabcd"), &ack(PROBE)], "{role:?}");
    }
}

/// A connection with streams that receives nothing sends a PING, and ends if there is no answer.
#[test]
fn a_silent_peer_is_asked_and_given_up() {
    for answers in [false, true] {
        let mut client = client(&defaults());
        let mut reader = Reader::default();
        client.receive(&h2::server_begins(&[]), Buffer::Lent);
        reader.read(&client.take_sent());
        client.wait(Duration::from_secs(30));
        let sent_frames = reader.read(&client.take_sent());
        let [SentFrame::Ping { ack: false, payload }] = &sent_frames[..] else { panic!("{sent_frames:?}") };
        if answers {
            client.receive(&h2::ping(true, *payload), Buffer::Lent);
        }
        client.wait(Duration::from_secs(29));
        assert!(client.seen.causes().is_empty(), "{:?}", client.seen.causes());
        client.wait(Duration::from_secs(1));
        let causes = client.seen.causes();
        let dead = Cause::Timeout(lws_proto::Deadline::DeadPeer);
        assert_eq!(causes.contains(&dead), !answers, "{causes:?}");
    }
}

/// Only an answer with the payload of the PING counts: another one does not show that the peer receives anything.
#[test]
fn an_answer_to_another_ping_is_no_answer() {
    let mut client = client(&defaults());
    let mut reader = Reader::default();
    client.receive(&h2::server_begins(&[]), Buffer::Lent);
    reader.read(&client.take_sent());
    client.receive(&h2::ping(true, *b"another!"), Buffer::Lent);
    assert!(client.seen.causes().is_empty());
    assert!(reader.read(&client.take_sent()).is_empty());
}
