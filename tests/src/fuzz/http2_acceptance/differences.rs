//! Where our server and that of `h2` may differ, and why. Everything else is a fault of one of them.

use super::Verdict;
use super::sides::{Ours, Theirs, stream_of};
use crate::h2::{flag, kind, setting};
use crate::hpack::{Field, fields};
use lws_proto::hpack::{Decoder, Section, SectionLimits, TABLE_SIZE_DEFAULT};
use std::collections::BTreeSet;

/// A difference that has a reason: what it is, and where that is allowed or decided.
type Difference = (&'static str, fn(&Case, Verdict, Verdict) -> bool);

/// All of them. Our verdict comes first, that of `h2` second.
const DIFFERENCES: [Difference; 23] = [
    ("a stream error may be treated as a connection error: RFC 9113 §5.4", |_, ours, theirs| {
        matches!(
            (ours, theirs),
            (Verdict::Stream(_), Verdict::Connection(_)) | (Verdict::Connection(_), Verdict::Stream(_))
        )
    }),
    ("PROTOCOL_ERROR stands for a code that says more: RFC 9113 §7", |_, ours, theirs| {
        match (ours, theirs) {
            (Verdict::Stream(a), Verdict::Stream(b)) | (Verdict::Connection(a), Verdict::Connection(b)) => {
                [a, b].contains(&PROTOCOL_ERROR)
            }
            _ => false,
        }
    }),
    ("what comes for a stream that was refused may be ignored or not: RFC 9113 §5.1", |case, _, _| {
        case.refused.contains(&case.stream)
    }),
    ("a side that has received GOAWAY may close: RFC 9113 §6.8", |case, ours, theirs| {
        case.going && [ours, theirs].contains(&Verdict::Over)
    }),
    ("an expectation that is not known may be answered: RFC 9110 §10.1.1", |case, ours, theirs| {
        ours == Verdict::Answered(417)
            && matches!(theirs, Verdict::Taken | Verdict::Stream(_))
            && case.value("expect").is_some_and(|expect| !expect.eq_ignore_ascii_case(b"100-continue"))
    }),
    ("`h2` refuses an acknowledgement of settings that it has not sent", |case, ours, theirs| {
        is_stricter(theirs, ours) && case.kind == kind::SETTINGS && case.flags & flag::ACK != 0
    }),
    (
        "`h2` judges a push when its field block has ended; a server \"MUST treat the receipt of a PUSH_PROMISE frame as a connection \
         error\": RFC 9113 §8.4",
        |case, ours, theirs| {
            ours == Verdict::Connection(PROTOCOL_ERROR)
                && theirs == Verdict::Taken
                && case.kind == kind::PUSH_PROMISE
                && case.flags & flag::END_HEADERS == 0
        },
    ),
    ("`h2` does not know PRIORITY_UPDATE: RFC 9218 §7.1", |case, ours, theirs| {
        is_stricter(ours, theirs) && case.kind == kind::PRIORITY_UPDATE
    }),
    (
        "`h2` does not know SETTINGS_NO_RFC7540_PRIORITIES, which is 0 or 1: RFC 9218 §2.1",
        |case, ours, theirs| {
            let (entries, _) = case.payload.as_chunks::<6>();
            let name = setting::NO_RFC7540_PRIORITIES.to_be_bytes();
            let is_wrong = |entry: &[u8; 6]| entry.starts_with(&name) && entry[2..] > [0, 0, 0, 1][..];
            is_stricter(ours, theirs) && case.kind == kind::SETTINGS && entries.iter().any(is_wrong)
        },
    ),
    ("`h2` decodes what there is of a field block before its end: RFC 9113 §4.3", |case, ours, theirs| {
        is_stricter(theirs, ours)
            && matches!(case.kind, kind::HEADERS | kind::CONTINUATION)
            && case.flags & flag::END_HEADERS == 0
    }),
    ("`h2` takes requests without a path: RFC 9113 §8.3.1", |case, ours, theirs| {
        is_stricter(ours, theirs) && case.section == Some(Part::Head) && case.value(":path").is_none()
    }),
    ("`h2` takes an empty scheme: RFC 9113 §8.3.1", |case, ours, theirs| {
        is_stricter(ours, theirs) && case.value(":scheme") == Some(b"")
    }),
    (
        "`h2` takes a fragment, other octets than ASCII and any `*` as a path: RFC 9113 §8.3.1",
        |case, ours, theirs| {
            let path = case.value(":path").unwrap_or_default();
            let is_path = path.iter().all(|octet| octet.is_ascii_graphic() && *octet != b'#');
            is_stricter(ours, theirs) && (!is_path || path == b"*")
        },
    ),
    ("`h2` refuses visible characters that no path has: RFC 9112 §3.2 says SHOULD", |case, ours, theirs| {
        let path = case.value(":path").unwrap_or_default();
        is_stricter(theirs, ours) && path.iter().any(|octet| b"\"<>\\^`{|}".contains(octet))
    }),
    ("`h2` takes CONNECT without a port: RFC 9110 §9.3.6", |case, ours, theirs| {
        let authority = case.value(":authority").unwrap_or_default();
        let port = authority.rsplit(|octet| *octet == b':').next().unwrap_or_default();
        is_stricter(ours, theirs)
            && case.value(":method") == Some(b"CONNECT")
            && (port == authority || port.is_empty())
    }),
    (
        "`h2` takes requests without an authority, or with one that is none: RFC 9110 §4.2 and §7.2",
        |case, ours, theirs| {
            let is_one = match (case.value(":authority"), case.value("host")) {
                (Some(authority), Some(host)) => authority.eq_ignore_ascii_case(host) && is_authority(host),
                (authority, host) => authority.or(host).is_some_and(is_authority),
            };
            is_stricter(ours, theirs) && case.section == Some(Part::Head) && !is_one
        },
    ),
    (
        "`h2` takes a length of a request that is repeated: RFC 9110 §8.6 allows either",
        |case, ours, theirs| {
            let lengths = case.fields.iter().filter(|field| field.name == b"content-length");
            is_stricter(ours, theirs) && case.section == Some(Part::Head) && lengths.count() > 1
        },
    ),
    ("`h2` takes a length without digits: RFC 9110 §8.6", |case, ours, theirs| {
        is_stricter(ours, theirs)
            && case.section == Some(Part::Head)
            && case.value("content-length").is_some_and(<[u8]>::is_empty)
    }),
    (
        "`h2` resets a stream that was skipped for its PRIORITY: RFC 9113 §5.1 allows nothing but PRIORITY on a closed one",
        |case, ours, theirs| {
            is_stricter(theirs, ours) && case.kind == kind::PRIORITY && !case.begun.contains(&case.stream)
        },
    ),
    ("`h2` takes several `Host` fields: RFC 9112 §3.2", |case, ours, theirs| {
        is_stricter(ours, theirs) && case.fields.iter().filter(|field| field.name == b"host").count() > 1
    }),
    ("`h2` takes white space around values: RFC 9113 §8.2.1", |case, ours, theirs| {
        let white = |octet: Option<&u8>| matches!(octet, Some(b' ' | b'\t'));
        let around = |field: &Field| white(field.value.first()) || white(field.value.last());
        is_stricter(ours, theirs) && case.fields.iter().any(around)
    }),
    ("`h2` takes pseudo-header fields in trailers: RFC 9113 §8.1", |case, ours, theirs| {
        let is_pseudo = |field: &Field| field.name.starts_with(b":");
        is_stricter(ours, theirs) && case.section == Some(Part::Trailers) && case.fields.iter().any(is_pseudo)
    }),
    ("`h2` takes trailers that concern framing or routing: RFC 9110 §6.5.1", |case, ours, theirs| {
        let is_refused = |field: &Field| REFUSED_TRAILERS.contains(&&field.name[..]);
        is_stricter(ours, theirs)
            && case.section == Some(Part::Trailers)
            && case.fields.iter().any(is_refused)
    }),
];

/// Names of this target's fields that trailers are refused for.
const REFUSED_TRAILERS: [&[u8]; 2] = [b"content-length", b"host"];

/// RFC 9113 §7.
const PROTOCOL_ERROR: u32 = 1;

/// The first refuses what the second takes.
fn is_stricter(first: Verdict, second: Verdict) -> bool {
    matches!(first, Verdict::Stream(_) | Verdict::Connection(_)) && second == Verdict::Taken
}

/// A host and perhaps a port, as far as the values of this target need it.
fn is_authority(authority: &[u8]) -> bool {
    let (host, port) = match authority.iter().rposition(|octet| *octet == b':') {
        Some(at) if !authority.ends_with(b"]") => (&authority[..at], &authority[at + 1..]),
        _ => (authority, &b""[..]),
    };
    let port = std::str::from_utf8(port).unwrap_or("x");
    host.iter().all(|octet| octet.is_ascii_graphic() && !b"@/".contains(octet))
        && (port.is_empty() || port.parse::<u16>().is_ok())
}

/// What a field section is of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Head,
    Trailers,
}

/// The frames so far, as far as a difference can depend on them.
#[derive(Debug)]
pub(super) struct Case {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
    /// The field section that has ended with this frame, if one has.
    section: Option<Part>,
    fields: Vec<Field>,
    block: Vec<u8>,
    decoder: Decoder,
    /// Streams that have had a head.
    begun: BTreeSet<u32>,
    /// Whether GOAWAY has been sent.
    going: bool,
    /// Streams that one side at least has refused.
    refused: BTreeSet<u32>,
}

impl Case {
    pub(super) fn new() -> Self {
        Self {
            kind: 0,
            flags: 0,
            stream: 0,
            payload: Vec::new(),
            section: None,
            fields: Vec::new(),
            block: Vec::new(),
            decoder: Decoder::new(TABLE_SIZE_DEFAULT),
            begun: BTreeSet::new(),
            going: false,
            refused: BTreeSet::new(),
        }
    }

    /// The next frame.
    pub(super) fn note(&mut self, frame: &[u8]) {
        self.kind = frame.get(3).copied().unwrap_or_default();
        self.flags = frame.get(4).copied().unwrap_or_default();
        self.stream = stream_of(frame);
        self.payload = frame.get(9..).unwrap_or_default().to_vec();
        self.going |= self.kind == kind::GOAWAY;
        self.section = None;
        self.fields.clear();
        if matches!(self.kind, kind::HEADERS | kind::CONTINUATION) {
            self.note_block();
        }
    }

    fn note_block(&mut self) {
        if self.kind == kind::HEADERS {
            let padding = if self.flags & flag::PADDED == 0 { None } else { self.payload.first() };
            let from = usize::from(padding.is_some()) + if self.flags & flag::PRIORITY == 0 { 0 } else { 5 };
            let to = self.payload.len().saturating_sub(padding.copied().unwrap_or_default().into());
            self.block = self.payload.get(from..to).unwrap_or_default().to_vec();
        } else {
            self.block.extend_from_slice(&self.payload);
        }
        if self.flags & flag::END_HEADERS != 0 {
            let limits =
                SectionLimits { bytes_max: u32::MAX, fields_max: u32::MAX, hard_bytes_max: u32::MAX };
            let mut section = Section::default();
            // If it cannot be decoded, the connection has ended for both.
            let _ = self.decoder.decode(&self.block, &mut section, limits);
            self.fields = fields(&section);
            self.section = Some(if self.begun.insert(self.stream) { Part::Head } else { Part::Trailers });
        }
    }

    fn value(&self, name: &str) -> Option<&[u8]> {
        let mut named = self.fields.iter().filter(|field| field.name == name.as_bytes());
        named.next().map(|field| &field.value[..])
    }

    /// Compares what became of the frame. Returns whether the next one can be compared.
    ///
    /// # Panics
    /// If there is a difference without a reason.
    pub(super) fn agree(&mut self, ours: &Ours, theirs: &Theirs, verdicts: (Verdict, Verdict)) -> bool {
        let (our, their) = verdicts;
        if our != their {
            let known = DIFFERENCES.iter().any(|(_, is)| is(self, our, their));
            assert!(known, "{our:?} ({}), but `h2`: {their:?}\n{self:?}", ours.reason);
        }
        let refuses = |verdict| matches!(verdict, Verdict::Stream(_) | Verdict::Answered(_));
        if refuses(our) || refuses(their) {
            self.refused.insert(self.stream);
        }
        let goes_on = |verdict| verdict == Verdict::Taken || refuses(verdict);
        if !goes_on(our) || !goes_on(their) {
            return false;
        }
        assert_eq!(ours.acks, theirs.acks, "acknowledgements");
        if !self.refused.contains(&self.stream) {
            assert_eq!(
                ours.request_on(self.stream),
                theirs.request_on(self.stream),
                "`h2` has received (right)\n{self:?}"
            );
        }
        true
    }
}
