//! PING. RFC 9113 §6.7.

use super::*;
use std::time::Duration;

/// RFC 9113 §6.7: "Receivers of a PING frame that does not include an ACK flag MUST send a PING frame with the ACK flag set in response, with an identical
/// frame payload. ... An endpoint MUST NOT respond to PING frames containing this flag."
#[test]
fn a_ping_is_answered_with_its_payload_and_an_answer_is_not() {
    for role in Role::BOTH {
        let heard =
            no_error(role, [h2::ping(false, *b"\0\x01\xfe\xffabcd"), h2::ping(true, *b"nonsense")].concat());
        let acks: Vec<_> = heard.said.iter().filter(|said| matches!(said, Said::Ping { .. })).collect();
        let ack = |payload| Said::Ping { ack: true, payload };
        assert_eq!(acks, [&ack(*b"\0\x01\xfe\xffabcd"), &ack(PROBE)], "{role:?}");
    }
}

/// A connection with streams that hears nothing asks whether the peer is there, and gives up without an answer.
#[test]
fn a_silent_peer_is_asked_and_given_up() {
    for answers in [false, true] {
        let mut client = client(&defaults());
        let mut reader = Reader::default();
        client.receive(&h2::server_begins(&[]), Buffer::Lent);
        reader.read(&client.take_sent());
        client.wait(Duration::from_secs(30));
        let said = reader.read(&client.take_sent());
        let [Said::Ping { ack: false, payload }] = &said[..] else { panic!("{said:?}") };
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

/// The answer to a PING counts if it is the one that was sent: another one does not show that the peer is there to hear.
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
