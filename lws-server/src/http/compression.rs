//! Content of responses that is compressed while it is sent. RFC 9110 §8.4.
//!
//! Knows fields and octets, and neither exchange nor handler.

use lws_files::{Coding, Encoder, is_compressible};
use lws_proto::http::Status;
use lws_proto::{Bytes, Payload};
use std::any::Any;

/// Octets that an encoder gives at a time.
const TAKEN_BYTES: usize = 16 << 10;

/// The content coding of one response, if its content turns out to be worth one.
pub(crate) struct Compression {
    coding: Coding,
    bytes_min: usize,
    bytes_max: usize,
    phase: Phase,
    /// Its slot among the responses that are encoded at a time. It is free again as soon as it is known that this one is not.
    slot: Option<Box<dyn Any>>,
}

enum Phase {
    /// The response has not begun.
    Head,
    Encoding(Box<Encoder>),
    /// It is sent as it is.
    Off,
}

/// What a response says beside its own fields.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// It would be another one for a client that accepts something else.
    pub(crate) varies: bool,
    /// `Content-Encoding`. The response has no `Content-Length` of its own then.
    pub(crate) coding: Option<&'static str>,
}

impl Compression {
    /// `coding` is what the client likes most of what there is; [`Coding::Identity`] for one that wants nothing else.
    pub(crate) fn new(
        coding: Coding,
        bytes_min: usize,
        bytes_max: usize,
        slot: Option<Box<dyn Any>>,
    ) -> Self {
        Self { coding, bytes_min, bytes_max, phase: Phase::Head, slot }
    }

    /// Decides about a response whose head is about to be sent, and encodes `content`, which is all of it if `end`.
    pub(crate) fn begin<'f>(
        &mut self,
        status: Status,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
        content: &mut Payload<'_>,
        end: bool,
    ) -> Said {
        self.phase = Phase::Off;
        let slot = self.slot.take();
        let size = content.len();
        // What is too long at once would keep the loop, and what is short is shorter as it is.
        let is_worth_it = !end || (self.bytes_min..=self.bytes_max).contains(&size);
        if !is_worth_it || !is_open(status, fields) {
            return Said::default();
        }
        let Some(encoder) = Encoder::new(self.coding) else { return Said { varies: true, coding: None } };
        (self.phase, self.slot) = (Phase::Encoding(Box::new(encoder)), slot);
        self.encode(content, end);
        Said { varies: true, coding: Some(self.coding.token()) }
    }

    /// Encodes content, so that the peer can read it at once.
    pub(crate) fn encode(&mut self, content: &mut Payload<'_>, end: bool) {
        let Phase::Encoding(encoder) = &mut self.phase else { return };
        encoder.write(octets(content));
        match end {
            true => encoder.finish(),
            false if content.is_empty() => {}
            false => encoder.flush(),
        }
        *content = Payload::Own(taken(encoder));
        if end {
            (self.phase, self.slot) = (Phase::Off, None);
        }
    }

    /// Whether content is being encoded.
    pub(crate) fn is_on(&self) -> bool {
        matches!(self.phase, Phase::Encoding(_))
    }
}

/// Whether a response may be given a content coding: it has none, is text of some kind, and nothing that it says is about its octets.
fn is_open<'f>(status: Status, fields: impl Iterator<Item = (&'f [u8], &'f [u8])>) -> bool {
    const ABOUT_OCTETS: [&str; 7] =
        ["content-encoding", "content-range", "accept-ranges", "etag", "content-digest", "digest", "trailer"];
    let has_content = !matches!(status.code(), 204 | 205 | 206 | 304);
    let mut is_text = false;
    for (name, value) in fields {
        let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
        if ABOUT_OCTETS.iter().any(|known| name.eq_ignore_ascii_case(known)) {
            return false;
        }
        // RFC 9111 §5.2.2.6: "an intermediary ... MUST NOT transform the content"; who says so means us, too.
        if name.eq_ignore_ascii_case("cache-control") && value.to_ascii_lowercase().contains("no-transform") {
            return false;
        }
        if name.eq_ignore_ascii_case("content-type") {
            is_text = is_compressible(&value);
        }
    }
    has_content && is_text
}

fn octets<'p>(content: &'p Payload<'_>) -> &'p [u8] {
    match content {
        Payload::Copy(octets) => octets,
        Payload::Own(octets) => octets,
        Payload::Static(octets) => octets,
        _ => &[],
    }
}

fn taken(encoder: &mut Encoder) -> Bytes {
    let mut all = Vec::new();
    loop {
        let at = all.len();
        all.resize(at + TAKEN_BYTES, 0);
        let n = encoder.take(&mut all[at..]);
        all.truncate(at + n);
        if n < TAKEN_BYTES {
            return all.into();
        }
    }
}
