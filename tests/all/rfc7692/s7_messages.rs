//! RFC 7692 §7.2: compression and decompression.

use super::{all, compressed_frame, fails, messages, server, server_receives};
use lws_proto::{Bytes, Cause, MessageKind, Payload, Violation};
use tests::Endpoint;
use tests::deflate::{Compressor, Decompressor, RSV1, compressed, sent_messages};
use tests::wire::{BINARY, ENDS, TEXT, TEXT_BEGINS, frames, masked};

/// The examples of RFC 7692 §7.2.3.
#[test]
fn the_examples_of_the_rfc_mean_what_it_says() {
    let check = |payload: &[u8]| {
        assert_eq!(
            messages(&compressed_frame(TEXT, payload)),
            ["Hello".into()],
            "{}",
            payload.escape_ascii()
        );
        // And once more, behind itself.
        let twice = compressed_frame(TEXT, payload).repeat(2);
        assert_eq!(messages(&twice), ["Hello".into(), "Hello".into()], "{}", payload.escape_ascii());
    };
    // §7.2.3.1: a message compressed using one compressed block.
    check(b"\xf2\x48\xcd\xc9\xc9\x07\x00");
    // §7.2.3.3: a block with no compression.
    check(b"\x00\x05\x00\xfa\xffHello\x00");
    // §7.2.3.4: BFINAL set to 1.
    check(b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00");
    // §7.2.3.5: two blocks in one message.
    check(b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00");
    // §7.2.3.1 in fragments.
    let input = [compressed_frame(TEXT_BEGINS, b"\xf2\x48\xcd"), masked(ENDS, b"\xc9\xc9\x07\x00")].concat();
    assert_eq!(messages(&input), ["Hello".into()]);
    // §7.2.3.2: sharing the LZ77 sliding window.
    let input = [&b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..], b"\xf2\x00\x11\x00\x00"]
        .map(|payload| compressed_frame(TEXT, payload));
    assert_eq!(messages(&input.concat()), ["Hello".into(), "Hello".into()]);
    // §7.2.3.6: an empty message.
    assert_eq!(messages(&compressed_frame(TEXT, b"\x00")), ["".into()]);
}

#[test]
fn what_is_not_deflate_fails_with_1007() {
    let deflate = Cause::Violation(Violation::Deflate);
    fails(&compressed_frame(BINARY, b"\x07\xff"), 1007, deflate);
    // A block that ends early, and none at all.
    let whole = compressed(b"a message that ends early, early");
    for len in 0..whole.len() {
        fails(&compressed_frame(BINARY, &whole[..len]), 1007, deflate);
    }
    // A stored block whose length does not fit its complement.
    fails(&compressed_frame(BINARY, b"\x00\x05\x00\xfa\xfeHello\x00"), 1007, deflate);
    // A distance before the beginning.
    fails(&compressed_frame(BINARY, b"\xf2\x00\x11\x00\x00"), 1007, deflate);
    // The tail, which is to be left out.
    fails(&compressed_frame(BINARY, &[&whole[..], &[0, 0, 0xff, 0xff]].concat()), 1007, deflate);
}

#[test]
fn text_is_checked_when_it_is_decompressed() {
    let utf8 = Cause::Violation(Violation::Utf8);
    fails(&compressed_frame(TEXT, &compressed(b"ab\xff")), 1007, utf8);
    fails(&compressed_frame(TEXT, &compressed(b"ab\xce")), 1007, utf8);
    assert_eq!(messages(&compressed_frame(BINARY, &compressed(b"ab\xff"))), [(&b"ab\xff"[..]).into()]);
}

/// More than any buffer holds, in and out.
#[test]
fn a_message_of_any_size_streams_through() {
    for len in [1, 16_383, 16_384, 16_385, 32_768, 300_000] {
        let message: Vec<u8> = (0..len).map(|at: u32| (at / 100 % 251) as u8).collect();
        let payload = compressed(&message);
        let delivered = server_receives(&compressed_frame(BINARY, &payload));
        assert_eq!(delivered.seen.contents(), [message[..].into()], "{len} bytes");
        let sent = sent_messages(&delivered.sent.0).expect("messages");
        let [(true, back)] = &sent[..] else { panic!("one compressed message was expected") };
        assert_eq!(Decompressor::new(15).message(back), Some(message));
    }
}

#[test]
fn what_was_inflated_waits_while_the_application_does_not_listen() {
    let message: Vec<u8> = (0..200_000_u32).map(|at| (at / 1000) as u8).collect();
    let input = [compressed_frame(BINARY, &compressed(&message)), masked(TEXT, b"next")].concat();
    let mut paused =
        tests::deflate::server(Default::default(), &all(), true, super::OFFER).with_app(Pausing::default());
    paused.receive(&input, tests::endpoint::Buffer::Lent);
    let mut rounds = 0;
    while paused.app.content.len() < message.len() + 4 {
        let before = paused.app.content.len();
        assert!(!paused.connection.needs_service(), "it waits for `resume`");
        assert!(!paused.connection.interest().read);
        paused.stream().resume();
        assert!(paused.connection.needs_service(), "nothing was received, and there is more to tell");
        paused.settle();
        assert!(paused.app.content.len() > before || rounds == 0);
        rounds += 1;
        assert!(rounds < 1_000);
    }
    assert!(rounds > 5, "a part at a time");
    assert_eq!(paused.app.content, [&message[..], b"next"].concat());
}

/// Pauses after each part.
#[derive(Default)]
struct Pausing {
    content: Vec<u8>,
}

impl tests::Application for Pausing {
    fn event(&mut self, event: lws_proto::Event<'_>) {
        if let lws_proto::Event::Message { mut stream, chunk, .. } = event {
            self.content.extend_from_slice(chunk);
            stream.pause();
        }
    }
}

fn send(server: &mut Endpoint<tests::application::Echo>, parts: &[&[u8]]) -> Vec<tests::wire::Frame> {
    for (at, part) in parts.iter().enumerate() {
        let permit = server.websocket().permit().expect("a permit");
        permit.message(MessageKind::Binary, Payload::Copy(part), at + 1 == parts.len()).expect("a message");
    }
    server.settle();
    frames(&server.take_sent()).expect("frames")
}

#[test]
fn a_message_that_is_sent_in_parts_can_be_read_up_to_each() {
    let mut server = server(&all());
    let mut peer = Decompressor::new(15);
    for parts in [&[&b"one "[..], b"two ", b"three"][..], &[b"", b"x", b""], &[b"one ", b""], &[b""]] {
        let sent = send(&mut server, parts);
        assert_eq!(sent.len(), parts.len());
        for (at, frame) in sent.iter().enumerate() {
            let first = if at == 0 { BINARY & 0x0f | RSV1 } else { 0 };
            let fin = if at + 1 == parts.len() { 0x80 } else { 0 };
            assert_eq!(frame.first, first | fin, "part {at} of {}", parts.len());
        }
        let payload: Vec<u8> = sent.iter().flat_map(|frame| frame.payload.0.clone()).collect();
        assert_eq!(peer.message(&payload), Some(parts.concat()));
    }
}

#[test]
fn each_message_is_compressed_if_that_is_worth_it() {
    let mut server = super::server(&all().threshold(256).context_takeover(false));
    let check = |server: &mut Endpoint<_>, message: &[u8], expected: bool| {
        let sent = send(server, &[message]);
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].first & RSV1 != 0, expected, "{} bytes", message.len());
    };
    check(&mut server, &[b'x'; 255], false);
    check(&mut server, &[b'x'; 256], true);
    let mut random = tests::Random::new(1);
    check(&mut server, &random.bytes(5_000), false);
    let permit = server.websocket().permit().expect("a permit");
    permit.uncompressed_message(MessageKind::Binary, Payload::Copy(&[b'x'; 5_000]), true).expect("a message");
    server.websocket().try_queue(MessageKind::Binary, Bytes::from(vec![b'x'; 5_000])).expect("room");
    server.settle();
    let sent = sent_messages(&server.take_sent()).expect("messages");
    assert_eq!(sent.iter().map(|(compressed, _)| *compressed).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn large_and_incompressible_messages_pass_both_ways() {
    let mut random = tests::Random::new(7);
    let mut peer = Compressor::new(15);
    let mut back = Decompressor::new(15);
    let mut server = server(&all());
    for len in [1, 100, 126, 4_000, 4_096, 5_000, 65_000, 66_000, 150_000] {
        let message = random.bytes(len);
        server.receive(&compressed_frame(BINARY, &peer.message(&message)), tests::endpoint::Buffer::Lent);
        let sent = sent_messages(&server.take_sent()).expect("messages");
        let [(true, payload)] = &sent[..] else { panic!("one compressed message was expected") };
        assert_eq!(back.message(payload), Some(message), "{len} bytes");
    }
}
