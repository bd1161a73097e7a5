//! Masking of credentials in records and captures.
//!
//! A value is replaced by another one of the same length, also when Huffman-coded, so nothing else changes in HTTP/1.1
//! or HTTP/2, and a record can be replayed. The mask reveals only how many octets of the value have Huffman codes of
//! each length.

mod http1;
mod http2;
mod mask;

use http1::Lines;
use http2::Frames;
use lws_proto::record::Command;
use mask::{Kind, masked};
use std::borrow::Cow;
use std::fmt;

/// The parts that are masked before anything is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Redaction {
    /// The values of `Authorization`, `Proxy-Authorization`, `Cookie` and `Set-Cookie`, and the tokens of
    /// `Sec-WebSocket-Protocol`, in which some programs send credentials. Content and targets are written unchanged.
    #[default]
    Credentials,
    /// Nothing.
    Nothing,
}

/// Why octets cannot be masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unredactable {
    /// A field block of HTTP/2 that cannot be decoded, or is too long.
    FieldBlock,
    /// A field line of HTTP/1.1 that is too long.
    FieldLine,
    /// A field line or block that has not ended.
    Unfinished,
}

impl fmt::Display for Unredactable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FieldBlock => "a field block that cannot be looked into for credentials",
            Self::FieldLine => "a field line that is too long to be looked into for credentials",
            Self::Unfinished => {
                "a field line or block that has not ended, so that what it holds is not known"
            }
        })
    }
}

/// Masks the credentials in one direction of a connection, however its octets are cut.
pub(crate) struct Redactor {
    redaction: Redaction,
    speaks: Speaks,
    /// Whether no octet was received yet.
    fresh: bool,
}

enum Speaks {
    Http1(Lines),
    Http2(Box<Frames>),
}

impl Redactor {
    pub(crate) fn new(redaction: Redaction) -> Self {
        Self { redaction, speaks: Speaks::Http1(Lines::default()), fresh: true }
    }

    /// Begins with frames of HTTP/2.
    pub(crate) fn begin_http2(&mut self) {
        self.speaks = Speaks::Http2(Box::default());
    }

    pub(crate) fn speaks_http2(&self) -> bool {
        matches!(self.speaks, Speaks::Http2(_))
    }

    pub(crate) fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Whether some octets are held back.
    pub(crate) fn holds(&self) -> bool {
        match &self.speaks {
            Speaks::Http1(lines) => lines.holds(),
            Speaks::Http2(frames) => frames.holds(),
        }
    }

    /// Ends the direction: appends held octets to `out`, unless they belong to a value.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        match &mut self.speaks {
            Speaks::Http1(lines) => lines.release(out),
            Speaks::Http2(frames) => frames.release(out),
        }
    }

    /// Takes the next octets, and appends masked octets to `out`, in order.
    pub(crate) fn redact(&mut self, mut octets: &[u8], out: &mut Vec<u8>) -> Result<(), Unredactable> {
        self.fresh &= octets.is_empty();
        if self.redaction == Redaction::Nothing {
            // The beginning of HTTP/2 must be seen for the other direction, which is only hashed then: not even that matters.
            out.extend_from_slice(octets);
            return Ok(());
        }
        while !octets.is_empty() {
            match &mut self.speaks {
                Speaks::Http1(lines) => {
                    let switches = lines.redact(&mut octets, out)?;
                    if switches {
                        self.begin_http2();
                    }
                }
                Speaks::Http2(frames) => frames.redact(&mut octets, out)?,
            }
        }
        Ok(())
    }

    /// A command with its fields masked.
    pub(crate) fn redact_command<'a>(&self, command: Command<'a>) -> Command<'a> {
        match command {
            Command::Interim(status, fields) => Command::Interim(status, self.redact_fields(&fields).into()),
            Command::Trailers(fields) => Command::Trailers(self.redact_fields(&fields).into()),
            Command::Respond { status, fields, content, end } => {
                Command::Respond { status, fields: self.redact_fields(&fields).into(), content, end }
            }
            Command::AcceptWebSocket { protocol, fields, streamed, deflate } => Command::AcceptWebSocket {
                protocol: protocol.map(|protocol| self.redact_protocol(protocol)),
                fields: self.redact_fields(&fields).into(),
                streamed,
                deflate,
            },
            command => command,
        }
    }

    fn redact_protocol<'a>(&self, protocol: Cow<'a, str>) -> Cow<'a, str> {
        if self.redaction == Redaction::Nothing {
            return protocol;
        }
        // The mask of ASCII is ASCII.
        String::from_utf8_lossy(&masked(Kind::Tokens, protocol.as_bytes())).into_owned().into()
    }

    pub(crate) fn redact_fields(&self, fields: &[(Vec<u8>, Vec<u8>)]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let redact = |(name, value): &(Vec<u8>, Vec<u8>)| {
            let kind = Kind::of(name).filter(|_| self.redaction != Redaction::Nothing);
            (name.clone(), kind.map_or_else(|| value.clone(), |kind| masked(kind, value)))
        };
        fields.iter().map(redact).collect()
    }
}

#[cfg(test)]
mod tests;
