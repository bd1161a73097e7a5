//! The seam under permessage-deflate: several extensions at once, in the order of the answer. RFC 6455 §9.1.

use lws_proto::ws::{
    Agreement, Codec, Decoded, Decoder, Deflate, Encoder, Negotiate, OptionError, Parameters, ReservedBits,
};
use lws_proto::{Cause, Config, Connection, Event, MessageKind, Payload, Time};
use std::sync::Arc;
use tests::deflate::{Decompressor, compressed};
use tests::wire::{TEXT, frames, masked};

/// Flips every bit of a message, with RSV2.
#[derive(Debug)]
struct Flip;

impl Negotiate for Flip {
    fn name(&self) -> &str {
        "flip"
    }

    fn offers(&self) -> Vec<Parameters<'static>> {
        vec![Parameters::new()]
    }

    fn accept(&self, _: &Parameters<'_>) -> Option<Agreement> {
        Some(Agreement { parameters: Parameters::new(), reserved_bits: ReservedBits::RSV2 })
    }

    fn agree(&self, answer: &Parameters<'_>) -> Option<Agreement> {
        self.accept(answer)
    }

    fn codec(&self, _: &Agreement, _: bool) -> Option<Codec> {
        Some(Codec { encoder: Box::new(Flipper::default()), decoder: Box::new(Flipper::default()) })
    }
}

#[derive(Debug, Default)]
struct Flipper(Vec<u8>);

impl Encoder for Flipper {
    fn encode(&mut self, part: &[u8], _: bool, _: bool, out: &mut Vec<u8>) -> ReservedBits {
        self.encode_alone(part, out)
    }

    fn parameter_set(&self) -> u64 {
        1
    }

    fn encode_alone(&self, message: &[u8], out: &mut Vec<u8>) -> ReservedBits {
        out.extend(message.iter().map(|byte| !byte));
        ReservedBits::RSV2
    }

    fn sends_alone(&mut self) {}

    fn set_option(&mut self, _: &str, _: &str, _: &str) -> Result<(), OptionError> {
        Err(OptionError::Inactive)
    }
}

impl Decoder for Flipper {
    fn reserved_bits(&self) -> ReservedBits {
        ReservedBits::RSV2
    }

    fn begin(&mut self, _: ReservedBits) {}

    /// Three bytes at a time, to be asked again.
    fn decode(&mut self, part: &[u8], _: bool, room: usize) -> Result<Decoded, Cause> {
        let consumed = part.len().min(3).min(room);
        self.0 = part[..consumed].iter().map(|byte| !byte).collect();
        Ok(Decoded { consumed, more: false })
    }

    fn output(&mut self) -> &mut [u8] {
        &mut self.0
    }

    fn release(&mut self) {
        self.0.clear();
    }
}

/// A server that agreed on both, in this order of the offer, and echoes.
fn echo(offer: &str, input: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let extensions: Vec<Arc<dyn Negotiate>> = vec![Arc::new(Deflate::default().threshold(0)), Arc::new(Flip)];
    let mut server = Connection::server(Time::ZERO, Arc::new(Config::default()));
    let mut opening = tests::deflate::opening(offer).into_bytes();
    let mut input = input.to_vec();
    let mut received = Vec::new();
    for bytes in [&mut opening, &mut input] {
        let mut feed = server.receive(Time::ZERO, bytes);
        while let Some(event) = feed.next_event() {
            take(event, &extensions, &mut received);
        }
        drop(feed);
        while let Some(event) = server.next_event() {
            take(event, &extensions, &mut received);
        }
    }
    let mut sent = Vec::new();
    while let Some(transmit) = server.transmit(Time::ZERO) {
        sent.extend_from_slice(transmit.first());
        let len = transmit.first().len();
        transmit.commit(len);
    }
    let at = sent.windows(4).position(|window| window == b"\r\n\r\n").expect("a response") + 4;
    (received, sent.split_off(at))
}

fn take(event: Event<'_>, extensions: &[Arc<dyn Negotiate>], received: &mut Vec<u8>) {
    match event {
        Event::Request { stream, head, .. } => {
            stream
                .accept_websocket(&head, &lws_proto::ws::Accept::new().extensions(extensions))
                .expect("accepted");
        }
        Event::Message { stream, chunk, .. } => {
            received.extend_from_slice(chunk);
            let permit = stream.permit().expect("a permit");
            permit.message(MessageKind::Text, Payload::Copy(chunk), true).expect("a message");
        }
        _ => {}
    }
}

fn flipped(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| !byte).collect()
}

#[test]
fn two_extensions_are_applied_in_the_order_of_the_answer() {
    let text = "the same words, the same words, the same words, the same words".as_bytes();
    // The first in the list is applied first to what is sent.
    let deflate_first = flipped(&compressed(text));
    let flip_first = compressed(&flipped(text));
    let (received, sent) = echo("permessage-deflate, flip", &masked(TEXT | 0x60, &deflate_first));
    assert_eq!(received, text);
    let sent = frames(&sent).expect("frames");
    assert_eq!(sent[0].first, TEXT | 0x60);
    assert_eq!(Decompressor::new(15).message(&flipped(&sent[0].payload.0)).as_deref(), Some(text));

    let (received, sent) = echo("flip, permessage-deflate", &masked(TEXT | 0x60, &flip_first));
    assert_eq!(received, text);
    let sent = frames(&sent).expect("frames");
    assert_eq!(Decompressor::new(15).message(&sent[0].payload.0), Some(flipped(text)));
}

#[test]
fn a_message_passes_only_those_whose_bits_it_has() {
    for offer in ["permessage-deflate, flip", "flip, permessage-deflate"] {
        let check =
            |bits: u8, payload: &[u8]| assert_eq!(echo(offer, &masked(TEXT | bits, payload)).0, b"some text");
        check(0x00, b"some text");
        check(0x20, &flipped(b"some text"));
        check(0x40, &compressed(b"some text"));
    }
}
