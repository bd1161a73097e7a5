//! Field blocks off the wire, and field lines through our encoder and decoder with settings that change in between.

use crate::hpack::{Ends, Field, fields};
use lws_proto::hpack::{Decoder, Indexing, Section, SectionLimits, TABLE_SIZE_DEFAULT};

/// Limits that short inputs can meet.
const SMALL: SectionLimits = SectionLimits { bytes_max: 300, fields_max: 6, hard_bytes_max: 1_200 };
/// Limits that none can.
const NONE: SectionLimits =
    SectionLimits { bytes_max: u32::MAX, fields_max: u32::MAX, hard_bytes_max: u32::MAX };

/// Octets as field blocks, and as field lines.
pub fn hpack(input: &[u8]) {
    blocks(input);
    lines(input);
}

/// Takes so many octets from the front, or as many as there are.
fn take<'a>(input: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (taken, rest) = input.split_at(len.min(input.len()));
    *input = rest;
    taken
}

fn octet(input: &mut &[u8]) -> Option<u8> {
    take(input, 1).first().copied()
}

/// A length and a block, again and again; or new settings, where the length is one of the last ones.
fn blocks(mut input: &[u8]) {
    let mut limited = Decoder::new(TABLE_SIZE_DEFAULT);
    let mut free = Decoder::new(TABLE_SIZE_DEFAULT);
    let mut again = Ends::default();
    let (mut section, mut whole) = (Section::default(), Section::default());
    while let Some(len) = octet(&mut input) {
        if len >= 0xf0 {
            let size = usize::from(len & 0x0f) * 100;
            limited.set_table_size_max(size);
            free.set_table_size_max(size);
            again.settle(size);
            continue;
        }
        let block = take(&mut input, len.into());
        section.clear();
        whole.clear();
        let outcome = limited.decode(block, &mut section, SMALL);
        let kept = fields(&section);
        let size: usize = kept.iter().map(Field::size).sum();
        assert!(size <= SMALL.bytes_max as usize && kept.len() <= SMALL.fields_max as usize, "{kept:?}");
        if outcome.is_err() {
            return;
        }
        assert_eq!(free.decode(block, &mut whole, NONE), outcome, "whatever the limits, within the hard one");
        assert_eq!(free.table_size(), limited.table_size(), "behind the limits the table follows");
        let all = fields(&whole);
        assert!(all.starts_with(&kept), "{kept:?} of {all:?}");
        assert_eq!(section.overflow().is_none(), all.len() == kept.len());
        assert_eq!(section.size(), all.iter().map(Field::size).sum::<usize>());
        assert!(section.size() <= SMALL.hard_bytes_max as usize);
        let lines: Vec<_> = all.into_iter().map(|field| (field, Indexing::Index)).collect();
        again.send(&lines);
    }
}

/// Names that are well known, and some that are not.
const NAMES: [&str; 8] =
    [":path", "Content-Type", "cookie", "date", "x-request-id", "", "X", "authorization"];
const INDEXING: [Indexing; 4] = [Indexing::Auto, Indexing::Index, Indexing::Without, Indexing::Never];

/// Field lines, ends of sections, and new settings.
fn lines(mut input: &[u8]) {
    let mut ends = Ends::default();
    let mut section = Vec::new();
    while let Some(operation) = octet(&mut input) {
        match operation % 16 {
            0 => {
                ends.send(&std::mem::take(&mut section));
                ends.settle(usize::from(octet(&mut input).unwrap_or(0)) * 32);
            }
            1 => {
                ends.send(&std::mem::take(&mut section));
            }
            other => {
                let indexing = INDEXING[usize::from(operation >> 6)];
                let name = match NAMES.get(usize::from(other) - 2) {
                    Some(name) => name.as_bytes(),
                    None => take(&mut input, usize::from(other)),
                };
                let len = usize::from(octet(&mut input).unwrap_or(0) % 80);
                let value = take(&mut input, len);
                section.push((Field::new(name, value), indexing));
            }
        }
    }
    ends.send(&section);
}
