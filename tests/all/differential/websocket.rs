//! Frames, against `tungstenite` in both roles.

use crate::support::{Role, defaults};
use lws_proto::{Cause, Violation};
use std::io::{self, Read, Write};
use tests::application::{Echo, Listen};
use tests::endpoint::Buffer;
use tests::wire::{self, BINARY, TEXT, frame};
use tests::{Octets, Random, Seen};
use tungstenite::error::Error;
use tungstenite::protocol::{Role as TheirRole, WebSocketConfig};
use tungstenite::{Message, WebSocket};

/// A stream that is two vectors: nothing more to read is "would block".
#[derive(Debug, Default)]
struct Memory {
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Read for Memory {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let len = buffer.len().min(self.input.len());
        buffer[..len].copy_from_slice(&self.input[..len]);
        self.input.drain(..len);
        Ok(len)
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn theirs(role: Role) -> WebSocket<Memory> {
    let role = match role {
        Role::Client => TheirRole::Client,
        Role::Server => TheirRole::Server,
    };
    WebSocket::from_raw_socket(Memory::default(), role, Some(WebSocketConfig::default()))
}

fn other(role: Role) -> Role {
    match role {
        Role::Client => Role::Server,
        Role::Server => Role::Client,
    }
}

/// What `tungstenite` reads: messages up to the first error, and whether that was one of the protocol.
fn reads(websocket: &mut WebSocket<Memory>) -> (Vec<(bool, Octets)>, bool) {
    let mut messages = Vec::new();
    loop {
        match websocket.read() {
            Ok(Message::Text(text)) => messages.push((true, text.as_bytes().into())),
            Ok(Message::Binary(bytes)) => messages.push((false, bytes[..].into())),
            Ok(_) => {}
            Err(Error::Io(_)) => return (messages, false),
            Err(Error::ConnectionClosed | Error::AlreadyClosed) => return (messages, false),
            Err(_) => return (messages, true),
        }
    }
}

fn text(random: &mut Random, len: usize) -> String {
    (0..len).map(|_| ['a', 'é', '€', '𐍈', ' '][random.below(5)]).collect()
}

#[test]
fn conversations_in_both_roles() {
    for seed in 0..60 {
        for role in Role::BOTH {
            let mut random = Random::new(seed);
            let mut ours = role.websocket(&defaults(), random.one_in(2), Echo::default());
            let mut peer = theirs(other(role));
            let mut sent = Vec::new();
            for _ in 0..1 + random.below(12) {
                let len = *random.pick(&[0, 1, 7, 100, 125, 126, 300, 70_000]);
                let message = match random.below(4) {
                    0 => Message::Ping(random.bytes(len.min(125)).into()),
                    1 => Message::Pong(random.bytes(len.min(125)).into()),
                    2 => Message::Text(text(&mut random, len).into()),
                    _ => Message::Binary(random.bytes(len).into()),
                };
                match &message {
                    Message::Text(text) => sent.push((true, Octets::from(text.as_bytes()))),
                    Message::Binary(bytes) => sent.push((false, Octets::from(&bytes[..]))),
                    _ => {}
                }
                peer.send(message).expect("a message that may be sent");
                let bytes = std::mem::take(&mut peer.get_mut().output);
                for part in bytes.chunks(1 + random.below(5_000)) {
                    ours.receive(part, if random.one_in(2) { Buffer::Lent } else { Buffer::Own });
                }
            }
            peer.get_mut().input = ours.take_sent();
            assert_eq!(reads(&mut peer), (sent, false), "seed {seed}, our {role:?}");
            // They close, we answer, they agree.
            peer.close(None).expect("a close");
            peer.flush().expect("a flush");
            ours.receive(&std::mem::take(&mut peer.get_mut().output), Buffer::Lent);
            assert!(matches!(ours.seen.causes()[..], [Cause::Closed { by_peer: true, .. }]), "seed {seed}");
            peer.get_mut().input = ours.take_sent();
            assert_eq!(reads(&mut peer), (vec![], false), "seed {seed}");
        }
    }
}

/// Frames of a random conversation, one byte of which may be changed.
fn frames(random: &mut Random, role: Role) -> Vec<u8> {
    let mut input = Vec::new();
    for _ in 0..1 + random.below(4) {
        let key = (role == Role::Server).then_some([9, 8, 7, 6]);
        let len = *random.pick(&[0, 1, 3, 10]);
        let payload = if random.one_in(2) { text(random, len).into_bytes() } else { random.bytes(len) };
        let first =
            *random.pick(&[TEXT, BINARY, TEXT, BINARY, 0x01, 0x02, 0x00, 0x80, wire::PING, wire::PONG]);
        input.extend(frame(first, key, &payload));
    }
    if random.one_in(2) {
        let at = random.below(input.len());
        input[at] ^= 1 << random.below(8);
    }
    input
}

#[test]
fn frames_with_a_changed_bit_are_taken_by_both_or_by_none() {
    let (mut both, mut neither) = (0, 0);
    for seed in 0..5_000 {
        for role in Role::BOTH {
            let input = frames(&mut Random::new(seed), role);
            let context = || format!("seed {seed}, {role:?}: {}", input.escape_ascii());
            let mut ours = role.websocket(&defaults(), false, Listen);
            ours.receive(&input, Buffer::Lent);
            let mut peer = theirs(role);
            peer.get_mut().input.clone_from(&input);
            let (messages, refused) = reads(&mut peer);
            let message = |seen: &Seen| match seen {
                Seen::Message { kind, content, end: true } => {
                    Some((*kind == lws_proto::MessageKind::Text, content.clone()))
                }
                _ => None,
            };
            let received: Vec<_> = ours.seen.0.iter().filter_map(message).collect();
            match (ours.seen.causes().first(), refused) {
                (None | Some(Cause::Closed { .. }), false) => both += 1,
                (Some(Cause::Violation(_) | Cause::Limit(_)), true) => neither += 1,
                // They look at a header when its payload has come, we at once.
                (Some(Cause::Violation(_)), false) if wire::frames(&input).is_err() => neither += 1,
                // They answer a close code that may not be on the wire with 1002, too, and call it closed.
                (Some(Cause::Violation(Violation::CloseFrame)), false) => neither += 1,
                (cause, refused) => panic!("{cause:?}, but theirs {refused}, {}", context()),
            }
            assert_eq!(received, messages, "{}", context());
        }
    }
    assert!(both > 1_000 && neither > 1_000, "{both} {neither}");
}
