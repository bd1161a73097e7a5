//! Masking of credentials in the lines of HTTP/1.1.
//!
//! Every line is examined, whether it is part of a head or not: content that looks like such a field is masked too,
//! which changes no length. A line is held back only while it may become such a field.

use super::Unredactable;
use super::mask::{Kind, NAMES, masked};

/// The longest value that is masked.
const VALUE_BYTES_MAX: usize = 64 << 10;
/// The longest beginning of a line that is held back: white space and a name.
const BEGINNING_BYTES_MAX: usize = 256;
/// The connection preface of HTTP/2. RFC 9113 §3.4.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The state of masking one direction of HTTP/1.1.
#[derive(Default)]
pub(super) struct Lines {
    line: Line,
    /// The last octets, to detect the preface of HTTP/2.
    last: [u8; PREFACE.len()],
    /// Whether the head announces an upgrade to HTTP/2. RFC 7540 §3.2.
    upgrades: bool,
}

enum Line {
    /// The beginning of a line that may be a field to mask, or continue its value if the last line was one.
    Begins { held: Vec<u8>, folds: Option<Kind> },
    /// A line without anything to mask.
    Passes,
    /// The value of a field to mask.
    Value { kind: Kind, held: Vec<u8> },
    /// The value of `Upgrade`.
    Upgrade { held: Vec<u8> },
}

impl Default for Line {
    fn default() -> Self {
        Self::Begins { held: Vec::new(), folds: None }
    }
}

/// The classification of the beginning of a line.
enum Beginning {
    Unknown,
    Other,
    Field(Kind),
    Upgrade,
}

/// Classifies the beginning of a line.
fn beginning(line: &[u8]) -> Beginning {
    if line.len() > BEGINNING_BYTES_MAX {
        return Beginning::Other;
    }
    let line = line.trim_ascii_start();
    if let Some(at) = line.iter().position(|octet| *octet == b':') {
        let name = line[..at].trim_ascii_end();
        return match Kind::of(name) {
            Some(kind) => Beginning::Field(kind),
            None if name.eq_ignore_ascii_case(b"upgrade") => Beginning::Upgrade,
            None => Beginning::Other,
        };
    }
    let name = line.trim_ascii_end();
    let begins = |known: &[u8]| {
        // White space after an incomplete name makes it a different name.
        let complete = name.len() == line.len() || name.len() == known.len();
        complete && known.get(..name.len()).is_some_and(|part| part.eq_ignore_ascii_case(name))
    };
    let known = NAMES.iter().map(|(name, _)| *name).chain([&b"upgrade"[..]]);
    if known.into_iter().any(begins) { Beginning::Unknown } else { Beginning::Other }
}

impl Lines {
    pub(super) fn holds(&self) -> bool {
        match &self.line {
            Line::Begins { held, .. } => !held.is_empty(),
            Line::Passes | Line::Upgrade { .. } => false,
            Line::Value { .. } => true,
        }
    }

    /// Takes octets, and stops where HTTP/2 begins. Returns true if it does.
    pub(super) fn redact(&mut self, octets: &mut &[u8], out: &mut Vec<u8>) -> Result<bool, Unredactable> {
        while let Some((octet, rest)) = octets.split_first() {
            *octets = rest;
            self.take(*octet, out)?;
            self.last.rotate_left(1);
            if let Some(last) = self.last.last_mut() {
                *last = *octet;
            }
            if self.last == *PREFACE || self.upgrades && self.last.ends_with(b"\r\n\r\n") {
                self.release(out);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Appends held octets to `out`, unless they belong to a value.
    pub(super) fn release(&mut self, out: &mut Vec<u8>) {
        if let Line::Begins { held, .. } = &mut self.line {
            out.append(held);
        }
    }

    fn take(&mut self, octet: u8, out: &mut Vec<u8>) -> Result<(), Unredactable> {
        // Some parsers take a single CR or LF for the end of a line.
        let ends = matches!(octet, b'\r' | b'\n');
        match &mut self.line {
            Line::Passes => {
                out.push(octet);
                if ends {
                    self.line = Line::default();
                }
            }
            Line::Upgrade { held } => {
                out.push(octet);
                if ends {
                    self.upgrades |= held.trim_ascii().eq_ignore_ascii_case(b"h2c");
                    self.line = Line::default();
                } else if held.len() < PREFACE.len() {
                    held.push(octet);
                }
            }
            Line::Value { kind, held } => {
                if ends {
                    out.append(&mut masked(*kind, held));
                    out.push(octet);
                    self.line = Line::Begins { held: Vec::new(), folds: Some(*kind) };
                } else {
                    held.push(octet);
                    if held.len() > VALUE_BYTES_MAX {
                        return Err(Unredactable::FieldLine);
                    }
                }
            }
            Line::Begins { held, folds } => {
                held.push(octet);
                if ends {
                    // The LF after a CR is not a line of its own, so the next line may still continue the value.
                    let folds = folds.filter(|_| *held == [b'\n']);
                    out.append(held);
                    self.line = Line::Begins { held: Vec::new(), folds };
                } else if let Some(kind) = folds.filter(|_| matches!(octet, b' ' | b'\t')) {
                    out.append(held);
                    self.line = Line::Value { kind, held: Vec::new() };
                } else {
                    match beginning(held) {
                        Beginning::Unknown => {}
                        Beginning::Other => {
                            out.append(held);
                            self.line = Line::Passes;
                        }
                        Beginning::Field(kind) => {
                            out.append(held);
                            self.line = Line::Value { kind, held: Vec::new() };
                        }
                        Beginning::Upgrade => {
                            out.append(held);
                            self.line = Line::Upgrade { held: Vec::new() };
                        }
                    }
                }
            }
        }
        Ok(())
    }
}
