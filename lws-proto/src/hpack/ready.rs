//! Field lines that are encoded as far as that does not depend on a dynamic table. RFC 7541 §6.
//!
//! Made once for many blocks, and for the encoders of many connections. Knows no encoder's state: which lines are indexed, and how, is
//! decided in `encoder.rs`.

use super::NameId;
use super::encoder::encode_independent;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Field lines, made ready for [`Encoder::encode_ready`](super::Encoder::encode_ready).
#[derive(Clone, Debug)]
pub(crate) struct ReadyLines {
    pub(super) parts: Box<[ReadyPart]>,
    /// What the parts consist of.
    octets: Box<[u8]>,
}

/// One or several field lines, by positions in the octets of all.
#[derive(Clone, Copy, Debug)]
pub(super) enum ReadyPart {
    /// Lines that are the same in every block.
    Encoded { start: u32, end: u32 },
    /// A line that is kept in the dynamic table: its name in lower case, and the value right behind.
    Indexed { id: NameId, name_hash: u32, hash: u32, start: u32, value: u32, end: u32 },
}

impl ReadyLines {
    /// Encodes `lines`: well-known names by number, names in whatever case, and values. `None` if they have no room in 32 bits.
    pub(crate) fn new<'l>(lines: impl IntoIterator<Item = (NameId, &'l [u8], &'l [u8])>) -> Option<Self> {
        let (mut parts, mut octets) = (Vec::new(), Vec::new());
        let position = |octets: &Vec<u8>| u32::try_from(octets.len()).ok();
        for (id, name, value) in lines {
            debug_assert_eq!(id, NameId::in_any_case(name));
            let (name, start) = (name.to_ascii_lowercase(), position(&octets)?);
            match (encode_independent(&mut octets, id, &name, value), parts.last_mut()) {
                (None, Some(ReadyPart::Encoded { end, .. })) => *end = position(&octets)?,
                (None, _) => parts.push(ReadyPart::Encoded { start, end: position(&octets)? }),
                (Some((name_hash, hash)), _) => {
                    octets.extend_from_slice(&name);
                    let at = position(&octets)?;
                    octets.extend_from_slice(value);
                    let end = position(&octets)?;
                    parts.push(ReadyPart::Indexed { id, name_hash, hash, start, value: at, end });
                }
            }
        }
        Some(Self { parts: parts.into(), octets: octets.into() })
    }

    #[inline]
    pub(super) fn octets(&self, start: u32, end: u32) -> &[u8] {
        self.octets.get(start as usize..end as usize).unwrap_or_default()
    }

    /// Bytes of memory that it holds.
    pub(crate) fn held(&self) -> usize {
        size_of_val(&*self.parts) + self.octets.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hpack::{Encoder, Indexing};
    use alloc::string::String;
    use alloc::vec;

    /// The blocks that two encoders make of the same lines, one of them of ready ones; and then again, when the tables are filled.
    fn check(lines: &[(&str, &str)], size_max: usize, others: usize) {
        let named: Vec<_> = lines
            .iter()
            .map(|(name, value)| (NameId::in_any_case(name.as_bytes()), name.as_bytes(), value.as_bytes()))
            .collect();
        let ready = ReadyLines::new(named.iter().copied()).expect("short lines");
        let (mut one, mut other) = (Encoder::new(), Encoder::new());
        for encoder in [&mut one, &mut other] {
            encoder.set_table_size_max(size_max);
        }
        for round in 0..4 {
            let (mut expected, mut block) = (vec![], vec![]);
            for (_, name, value) in &named {
                one.encode(&mut expected, name, value, Indexing::Auto);
            }
            other.encode_ready(&mut block, &ready);
            // Other lines in between, so that the entries grow old and are evicted.
            for at in 0..others {
                let value = alloc::format!("{round}-{at}");
                one.encode(&mut expected, b"x-other", value.as_bytes(), Indexing::Auto);
                other.encode(&mut block, b"x-other", value.as_bytes(), Indexing::Auto);
            }
            assert_eq!(block, expected, "{lines:?} with a table of {size_max}, round {round}");
            assert_eq!(one.table_size(), other.table_size());
        }
    }

    #[test]
    fn ready_lines_are_encoded_as_others_are_whatever_the_table_holds() {
        let long = String::from("x-").repeat(40);
        let (long_value, secret) = ("v".repeat(200), "hunter2");
        let lines = [
            ("ETag", "\"5f3a-1c\""),
            ("Last-Modified", "Tue, 01 Dec 2026 10:00:00 GMT"),
            ("Content-Type", "text/html; charset=utf-8"),
            ("X-Content-Type-Options", "nosniff"),
            ("accept-encoding", "gzip, deflate"),
            ("accept-encoding", "br"),
            ("Cookie", secret),
            ("cookie", &long_value),
            ("Authorization", secret),
            ("Set-Cookie", "a=b"),
            (&long, "of a name that is not looked up"),
            ("X-Empty", ""),
            ("Vary", "Accept-Encoding"),
            ("X-Large", &long_value),
        ];
        for size_max in [0, 64, 200, 4_096] {
            for others in [0, 1, 9, 100] {
                for len in 0..=lines.len() {
                    check(&lines[..len], size_max, others);
                    check(&lines[len..], size_max, others);
                }
            }
        }
    }
}
