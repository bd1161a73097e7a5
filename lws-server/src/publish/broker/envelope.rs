//! A publication as the payload of a broker's message. Knows no broker.
//!
//! A text that needs nothing beside it is the payload as it is, so that other programs can publish and read. Everything else has a head: a
//! marker that no text begins with, the version, flags, and what they say is there.

use crate::ws::Broadcast;
use lws_proto::{Bytes, MessageKind};
use std::sync::Arc;

/// What goes between processes.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    pub(crate) message: Broadcast,
    /// The publication of a process that does not get it in one place: at its sender.
    pub(crate) origin: Option<PublicationId>,
    /// It takes the place of an earlier message with the same key.
    pub(crate) key: Option<Arc<str>>,
}

/// One publication of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PublicationId {
    /// The process: chosen at random at its start.
    pub(crate) process: u64,
    /// Counted by it.
    pub(crate) number: u64,
}

/// No UTF-8 text of people begins with a NUL.
const MARKER: [u8; 5] = *b"\0lws\x01";
const BINARY: u8 = 1;
const ORIGIN: u8 = 2;
const KEY: u8 = 4;

/// Octets of a head, at most, with the longest key.
pub(crate) const HEAD_BYTES_MAX: usize = MARKER.len() + 1 + 16 + 1 + KEY_BYTES_MAX;

/// Octets of a key. Longer ones do not take the place of others in other processes.
const KEY_BYTES_MAX: usize = 255;

impl Envelope {
    /// The payload for the broker.
    pub(crate) fn encode(&self) -> Bytes {
        let content = self.message.bytes();
        let key = self.key.as_deref().filter(|key| key.len() <= KEY_BYTES_MAX);
        let binary = self.message.kind() == MessageKind::Binary;
        let marked = content.first() == Some(&0);
        if !binary && !marked && self.origin.is_none() && key.is_none() {
            return content.clone();
        }
        let flag = |set: bool, flag| if set { flag } else { 0 };
        let mut octets = Vec::with_capacity(HEAD_BYTES_MAX + content.len());
        octets.extend_from_slice(&MARKER);
        octets.push(flag(binary, BINARY) | flag(self.origin.is_some(), ORIGIN) | flag(key.is_some(), KEY));
        if let Some(PublicationId { process, number }) = self.origin {
            octets.extend_from_slice(&process.to_be_bytes());
            octets.extend_from_slice(&number.to_be_bytes());
        }
        if let Some(key) = key {
            // `KEY_BYTES_MAX` fits.
            octets.push(key.len() as u8);
            octets.extend_from_slice(key.as_bytes());
        }
        octets.extend_from_slice(content);
        octets.into()
    }

    /// The publication of a payload. `None` if it has a head that is none of this version, or a text that is no UTF-8.
    pub(crate) fn decode(payload: &Bytes) -> Option<Self> {
        let Some(rest) = payload.strip_prefix(&MARKER) else {
            // What others publish is a text if it can be one.
            let kind =
                if std::str::from_utf8(payload).is_ok() { MessageKind::Text } else { MessageKind::Binary };
            return Some(Self { message: Broadcast::new(kind, payload.clone()), origin: None, key: None });
        };
        let (&flags, mut rest) = rest.split_first()?;
        if flags & !(BINARY | ORIGIN | KEY) != 0 {
            return None;
        }
        let mut origin = None;
        if flags & ORIGIN != 0 {
            let (process, after) = rest.split_first_chunk()?;
            let (number, after) = after.split_first_chunk()?;
            origin = Some(PublicationId {
                process: u64::from_be_bytes(*process),
                number: u64::from_be_bytes(*number),
            });
            rest = after;
        }
        let mut key = None;
        if flags & KEY != 0 {
            let (&len, after) = rest.split_first()?;
            let (octets, after) = after.split_at_checked(len.into())?;
            key = Some(std::str::from_utf8(octets).ok()?.into());
            rest = after;
        }
        let kind = if flags & BINARY != 0 { MessageKind::Binary } else { MessageKind::Text };
        if kind == MessageKind::Text && std::str::from_utf8(rest).is_err() {
            return None;
        }
        Some(Self { message: Broadcast::new(kind, payload.slice_ref(rest)), origin, key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(kind: MessageKind, content: &'static [u8], origin: bool, key: Option<&str>) -> Envelope {
        let origin = origin.then_some(PublicationId { process: u64::MAX, number: 7 });
        Envelope { message: Broadcast::new(kind, content), origin, key: key.map(Into::into) }
    }

    #[test]
    fn an_envelope_comes_out_as_it_went_in() {
        let long = "k".repeat(KEY_BYTES_MAX);
        for (kind, content) in [
            (MessageKind::Text, &b"hello"[..]),
            (MessageKind::Text, b""),
            (MessageKind::Text, b"\0lws\x01\x07"),
            (MessageKind::Binary, b"hello"),
            (MessageKind::Binary, b"\xff\0"),
        ] {
            for origin in [false, true] {
                for key in [None, Some("k"), Some(""), Some(&*long)] {
                    let sent = envelope(kind, content, origin, key);
                    let payload = sent.encode();
                    assert!(payload.len() <= content.len() + HEAD_BYTES_MAX);
                    let found = Envelope::decode(&payload).expect("an envelope");
                    assert_eq!((found.message.kind(), &found.message.bytes()[..]), (kind, content));
                    assert_eq!((found.origin, found.key.as_deref()), (sent.origin, key));
                    // Cut anywhere in its head it is refused, and never something else.
                    let head = payload.len() - content.len();
                    for cut in MARKER.len()..head {
                        assert!(Envelope::decode(&payload.slice(..cut)).is_none(), "{cut}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_plain_text_is_its_own_payload_and_what_others_publish_is_what_it_can_be() {
        assert_eq!(&envelope(MessageKind::Text, b"hi", false, None).encode()[..], b"hi");
        let kind = |payload: &'static [u8]| {
            Envelope::decode(&Bytes::from_static(payload)).map(|envelope| envelope.message.kind())
        };
        assert_eq!(kind(b"hi"), Some(MessageKind::Text));
        assert_eq!(kind(b"\xff"), Some(MessageKind::Binary));
        assert_eq!(kind(b"\0lws\x01\x08x"), None, "an unknown flag");
        assert_eq!(kind(b"\0lws\x01\x00\xff"), None, "a text that is none");
    }
}
