//! RFC 7692 §7.1: windows and contexts, both directions and roles; and messages that go to many.

use super::{OFFER, all, compressed_frame, server};
use crate::support::defaults;
use lws_proto::ws::{Deflate, OptionError, Prepared};
use lws_proto::{MessageKind, Payload};
use tests::application::Echo;
use tests::deflate::{Compressor, Decompressor, sent_messages};
use tests::endpoint::Buffer;
use tests::wire::BINARY;
use tests::{Application, Endpoint, Random};

fn say<A: Application>(endpoint: &mut Endpoint<A>, message: &[u8]) -> Vec<u8> {
    let permit = endpoint.websocket().permit().expect("a permit");
    permit.message(MessageKind::Binary, Payload::Copy(message), true).expect("a message");
    endpoint.settle();
    let sent = sent_messages(&endpoint.take_sent()).expect("messages");
    let [(true, payload)] = &sent[..] else { panic!("one compressed message was expected, not {sent:?}") };
    payload.clone()
}

/// Data that repeats far behind itself: a large window finds it again.
fn far_apart() -> Vec<u8> {
    let mut random = Random::new(3);
    let block = random.bytes(300);
    let mut message = Vec::new();
    for gap in [100, 400, 900, 3_000, 7_000, 15_000, 30_000] {
        message.extend_from_slice(&block);
        message.extend(random.bytes(gap));
    }
    message.extend_from_slice(&block);
    message
}

/// RFC 7692 §7.1.2: "the server MUST NOT use an LZ77 sliding window larger than" what was agreed on; and the client.
#[test]
fn what_is_sent_fits_the_window_that_was_agreed_on() {
    let message = far_apart();
    for bits in 9..=15 {
        for level in [1, 6] {
            let deflate = all().level(level);
            let offer = format!("permessage-deflate; server_max_window_bits={bits}");
            let mut server = tests::deflate::server(defaults(), &deflate, false, &offer);
            let answer = format!("; client_max_window_bits={bits}");
            let mut client = tests::deflate::client(defaults(), &deflate, false, &answer, Echo::default());
            let mut peers = [Decompressor::new(bits), Decompressor::new(bits)];
            for round in 0..3 {
                let payloads = [say(&mut server, &message), say(&mut client, &message)];
                for (peer, payload) in peers.iter_mut().zip(payloads) {
                    assert!(
                        peer.message(&payload).as_ref() == Some(&message),
                        "{bits} bits, level {level}, round {round}"
                    );
                }
            }
        }
    }
}

#[test]
fn what_is_received_may_use_every_window() {
    let message = far_apart();
    for bits in 9..=15 {
        let mut peer = Compressor::new(bits);
        let mut server = server(&all().client_max_window_bits(bits));
        for _ in 0..3 {
            server.forget();
            server.receive(&compressed_frame(BINARY, &peer.message(&message)), Buffer::Lent);
            assert_eq!(server.seen.contents(), [message[..].into()], "{bits} bits");
        }
    }
}

const TEXT: &[u8] = b"a message that comes again and again, and shrinks if it may refer to the one before";

#[test]
fn contexts_are_taken_over_only_where_that_was_agreed_on() {
    let mut again = server(&all());
    let mut peer = Decompressor::new(15);
    let [first, second] = [(); 2].map(|()| say(&mut again, TEXT));
    assert!(second.len() * 3 < first.len(), "{} and then {} bytes", first.len(), second.len());
    assert_eq!([first, second].map(|payload| peer.message(&payload)), [(); 2].map(|()| Some(TEXT.to_vec())));

    let mut alone = server(&all().context_takeover(false));
    let [first, second] = [(); 2].map(|()| say(&mut alone, TEXT));
    assert_eq!(first, second);
    assert_eq!(Decompressor::new(15).message(&second), Some(TEXT.to_vec()));
}

/// RFC 7692 §7.1.1: who agreed to no takeover begins with an empty window; who did not may remember.
#[test]
fn a_peer_may_refer_to_earlier_messages_only_where_that_was_agreed_on() {
    let check = |deflate: &Deflate, good: bool| {
        let mut peer = Compressor::new(15);
        let mut server = tests::deflate::server(defaults(), deflate, false, OFFER);
        for _ in 0..2 {
            server.receive(&compressed_frame(BINARY, &peer.message(TEXT)), Buffer::Lent);
        }
        assert_eq!(server.seen.causes().is_empty(), good);
        assert_eq!(server.seen.contents().len(), if good { 2 } else { 1 });
    };
    check(&all(), true);
    check(&all().server_context_takeover(false), true);
    check(&all().client_context_takeover(false), false);
}

/// Ours against ours: every window, every policy, in both directions.
#[test]
fn both_roles_understand_each_other() {
    let message = far_apart();
    for bits in 9..=15 {
        for takeover in [[false, false], [false, true], [true, false], [true, true]] {
            let deflate = Deflate::default()
                .threshold(0)
                .server_max_window_bits(bits)
                .client_max_window_bits(24 - bits)
                .server_context_takeover(takeover[0])
                .client_context_takeover(takeover[1]);
            let server = Endpoint::server(defaults(), Echo::new(bits % 2 == 0).deflating(&deflate));
            let mut client = Endpoint::client(defaults(), tests::application::Silent);
            let connect = lws_proto::ws::Connect::new("a", "/").deflate(&deflate);
            client.connection.connect_websocket(client.now, &connect).expect("a handshake");
            let mut pair = tests::Pair::new(client, server);
            pair.down.cut = 700;
            pair.settle();
            for text in [TEXT, &message, TEXT] {
                let permit = pair.client.websocket().permit().expect("a permit");
                permit.message(MessageKind::Binary, Payload::Copy(text), true).expect("a message");
                pair.settle();
            }
            let expected = [TEXT, &message, TEXT].map(Into::into);
            assert_eq!(pair.client.seen.contents(), expected, "{bits} bits, {takeover:?}");
        }
    }
}

#[test]
fn a_message_for_many_is_compressed_once_for_each_set_of_parameters() {
    let message = Prepared::new(MessageKind::Text, TEXT);
    let deflate = all();
    let no_takeover = all().context_takeover(false);
    let small = "permessage-deflate; server_max_window_bits=9";
    let mut servers: Vec<_> =
        [(&deflate, OFFER), (&no_takeover, OFFER), (&deflate, small), (&no_takeover, small)]
            .map(|(deflate, offer)| tests::deflate::server(defaults(), deflate, false, offer))
            .into();
    servers.push(Endpoint::websocket_server(defaults(), Echo::default()));
    for server in &mut servers {
        let mut peer = Decompressor::new(15);
        for round in 0..3 {
            // Between others, which may refer to each other but not past it.
            let permit = server.websocket().permit().expect("a permit");
            permit.message(MessageKind::Text, Payload::Copy(TEXT), true).expect("a message");
            let permit = server.websocket().permit().expect("a permit");
            permit.prepared(&message).expect("a message");
            server.settle();
            for (compressed, payload) in sent_messages(&server.take_sent()).expect("messages") {
                let back = if compressed { peer.message(&payload) } else { Some(payload) };
                assert_eq!(back.as_deref(), Some(TEXT), "round {round}");
            }
        }
    }
    assert_eq!(message.forms(), 2, "one for each window");
}

#[test]
fn options_are_set_by_name_while_the_extension_is_in_use() {
    let mut server = server(&all());
    let mut stream = server.websocket();
    let mut set = |extension, name, value| stream.set_extension_option(extension, name, value);
    assert_eq!(set("permessage-deflate", "compression_level", "9"), Ok(()));
    assert_eq!(set("permessage-deflate", "mem_level", "1"), Ok(()));
    assert_eq!(set("permessage-deflate", "tx_buf_size", "10"), Ok(()));
    assert_eq!(set("permessage-deflate", "compression_level", "10"), Err(OptionError::Value));
    assert_eq!(set("permessage-deflate", "rx_buf_size", "10"), Err(OptionError::Settled));
    assert_eq!(set("permessage-deflate", "server_max_window_bits", "10"), Err(OptionError::Settled));
    assert_eq!(set("permessage-deflate", "rx_buf", "10"), Err(OptionError::Unknown));
    assert_eq!(set("deflate-frame", "rx_buf_size", "10"), Err(OptionError::Inactive));
    assert_eq!(Decompressor::new(15).message(&say(&mut server, TEXT)), Some(TEXT.to_vec()));
    let mut plain = Endpoint::websocket_server(defaults(), Echo::default());
    let set = plain.websocket().set_extension_option("permessage-deflate", "mem_level", "1");
    assert_eq!(set, Err(OptionError::Inactive));
}

#[test]
fn a_level_that_changes_between_messages_changes_nothing_for_the_peer() {
    let mut server = server(&all());
    let mut peer = Decompressor::new(15);
    for level in ["1", "9", "0", "6", "6"] {
        server
            .websocket()
            .set_extension_option("permessage-deflate", "compression_level", level)
            .expect("an option");
        for _ in 0..2 {
            assert_eq!(peer.message(&say(&mut server, TEXT)), Some(TEXT.to_vec()), "level {level}");
        }
    }
}
