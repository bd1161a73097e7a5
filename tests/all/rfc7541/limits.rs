//! What a block may decode to. RFC 7541 §7.3, RFC 9113 §6.5.2 and §10.5.1.

use lws_proto::hpack::{DecodeError, Decoder, Encoder, Indexing, Overflow, Section, SectionLimits};
use tests::hpack::{Ends, Field, fields};
use tests::sys::Counting;

const LIMITS: SectionLimits = SectionLimits { bytes_max: 102, fields_max: 10, hard_bytes_max: 400 };

fn decoded(block: &[u8], limits: SectionLimits) -> (Decoder, Section, Result<(), DecodeError>) {
    let (mut decoder, mut section) = (Decoder::new(4_096), Section::default());
    let result = decoder.decode(block, &mut section, limits);
    (decoder, section, result)
}

#[test]
fn a_section_as_large_as_allowed_is_kept_and_a_larger_one_is_not() {
    for (block, overflow, kept) in [
        (&b"\x40\x01a\x011\x40\x01b\x012\x00\x01c\x013"[..], None, 3),
        (b"\x40\x01a\x011\x40\x01b\x012\x00\x01c\x0233", Some(Overflow::Bytes), 2),
        (b"\x40\x01a\x011\x40\x01b\x012\x40\x01c\x0233\xbf", Some(Overflow::Bytes), 2),
    ] {
        let (_, section, result) = decoded(block, LIMITS);
        assert_eq!((result, section.overflow(), section.len()), (Ok(()), overflow, kept), "{block:x?}");
        assert_eq!(section.is_empty(), kept == 0);
    }
}

#[test]
fn as_many_field_lines_as_allowed_are_kept_and_no_more() {
    let limits = SectionLimits { fields_max: 3, bytes_max: 1_000, hard_bytes_max: 4_000 };
    let (_, section, result) = decoded(&[0x82; 3], limits);
    assert_eq!((result, section.overflow(), section.len()), (Ok(()), None, 3));
    let (_, section, result) = decoded(&[0x82; 4], limits);
    assert_eq!((result, section.overflow(), section.len()), (Ok(()), Some(Overflow::Fields), 3));
    assert_eq!(section.size(), 4 * (7 + 3 + 32), "what is not kept is counted");
}

#[test]
fn behind_the_limit_nothing_is_kept_but_the_table_follows() {
    let limits = SectionLimits { bytes_max: 0, ..LIMITS };
    let (mut decoder, mut section, result) = decoded(b"\x40\x01a\x011\x40\x01b\x012\xbf", limits);
    assert_eq!((result, section.len(), section.overflow()), (Ok(()), 0, Some(Overflow::Bytes)));
    section.clear();
    assert_eq!((section.size(), section.overflow()), (0, None));
    decoder.decode(&[0xbe, 0xbf], &mut section, LIMITS).expect("both entries");
    assert_eq!(fields(&section), [("b", "2").into(), ("a", "1").into()]);
}

#[test]
fn a_bomb_ends_decoding() {
    // One entry of most of the table, and one octet for each time that it is meant.
    let mut block = b"\x40\x01n\x7f\xe1\x16".to_vec();
    block.resize(block.len() + 3_040, b'v');
    let mut bomb = block.clone();
    bomb.resize(bomb.len() + 60_000, 0xbe);
    let limits = SectionLimits::default();
    let (_, section, result) = decoded(&bomb, limits);
    assert_eq!(result, Err(DecodeError::TooLarge));
    assert!(section.size() <= limits.hard_bytes_max as usize + 4_096, "{}", section.size());
    let kept: usize = fields(&section).iter().map(|field| field.size()).sum();
    assert!(kept <= limits.bytes_max as usize, "{kept}");
    // Crumbs: a field line that is nearly nothing costs its 32.
    let (_, section, result) = decoded(&[b"\x40\x00\x00".to_vec(), vec![0xbe; 60_000]].concat(), limits);
    assert_eq!((result, section.overflow()), (Err(DecodeError::TooLarge), Some(Overflow::Fields)));
}

#[test]
fn the_hard_limit_is_met_exactly() {
    let limits = SectionLimits { hard_bytes_max: 42 * 3, ..LIMITS };
    assert_eq!(decoded(&[0x82; 3], limits).2, Ok(()));
    assert_eq!(decoded(&[0x82; 4], limits).2, Err(DecodeError::TooLarge));
}

#[test]
fn memory_is_given_back() {
    let (mut decoder, mut section, _) = decoded(&[0x82; 100], SectionLimits::default());
    section.clear();
    section.shrink_to(0, 0);
    decoder.decode(&[0x82], &mut section, LIMITS).expect("it goes on");
    assert_eq!(section.len(), 1);
}

/// What a server and a client send again and again, of which some is new each time.
fn exchange(encoder: &mut Encoder, block: &mut Vec<u8>, number: usize) {
    let digits =
        [b'0' + (number / 100 % 10) as u8, b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8];
    for (name, value) in [
        (":method", &b"GET"[..]),
        (":path", &digits),
        ("User-Agent", b"a browser of some kind"),
        ("x-request-id", &digits),
        ("date", b"Mon, 23 Nov 2026 12:00:00 GMT"),
        ("set-cookie", &digits),
    ] {
        encoder.encode(block, name.as_bytes(), value, Indexing::Auto);
    }
}

#[test]
fn in_the_long_run_no_field_line_asks_for_memory() {
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4_096));
    let (mut block, mut section) = (Vec::new(), Section::default());
    let mut before = 0;
    for number in 0..2_000 {
        // By then the tables have been full for long.
        if number == 1_000 {
            before = Counting::asked();
        }
        block.clear();
        section.clear();
        exchange(&mut encoder, &mut block, number);
        decoder.decode(&block, &mut section, SectionLimits::default()).expect("six field lines");
        assert_eq!(section.len(), 6);
    }
    assert_eq!(Counting::asked() - before, 0);
    assert!(before > 0, "the allocator counts");
}

#[test]
fn tables_take_memory_for_what_is_in_them() {
    let before = Counting::held();
    let mut ends = Ends::default();
    let lines: Vec<_> =
        (0..10).map(|number| (Field::new(format!("x-name-{number}"), "a value"), Indexing::Index)).collect();
    ends.send(&lines);
    ends.send(&lines);
    let few = Counting::held() - before;
    assert!(few < 4_096, "{few}");
    // Both tables, full of the smallest entries there are.
    for number in 0..1_000u16 {
        ends.send(&[(Field::new(number.to_be_bytes(), ""), Indexing::Index)]);
    }
    let full = Counting::held() - before;
    assert!(full < 16 << 10, "{full}");
    ends.settle(0);
    ends.send(&[]);
    assert!(Counting::held() - before < 2_048, "an empty table holds nothing");
}
