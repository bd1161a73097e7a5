//! The size of the dynamic table, and who may change it when. RFC 7541 §4 and §6.3, RFC 9113 §4.3.1.

use super::{check, decode};
use lws_proto::hpack::{DecodeError, Decoder, Encoder, Indexing};
use tests::hpack::{Ends, Field};

#[test]
fn a_size_update_stands_before_the_first_field_line_only() {
    check(&[0x20], Ok(&[]));
    check(&[0x20, 0x82], Ok(&[(":method", "GET")]));
    check(&[0x20, 0x3f, 0xe1, 0x1f, 0x82], Ok(&[(":method", "GET")]));
    check(&[0x82, 0x20], Err(DecodeError::SizeUpdateLate));
    check(&[0x20, 0x82, 0x3f, 0xe1, 0x1f], Err(DecodeError::SizeUpdateLate));
}

#[test]
fn a_size_update_stays_within_the_settings() {
    check(&[0x3f, 0xe1, 0x1f], Ok(&[]));
    check(&[0x3f, 0xe2, 0x1f], Err(DecodeError::SizeUpdateTooLarge));
    let mut decoder = Decoder::new(4_096);
    decoder.set_table_size_max(8_192);
    assert_eq!(decode(&mut decoder, &[0x3f, 0xe1, 0x3f]), Ok(vec![]));
    assert_eq!(decode(&mut decoder, &[0x3f, 0xe2, 0x3f]), Err(DecodeError::SizeUpdateTooLarge));
}

#[test]
fn a_size_update_evicts() {
    let mut decoder = Decoder::new(4_096);
    decode(&mut decoder, b"\x40\x01a\x011\x40\x01b\x012").expect("two entries");
    assert_eq!(decoder.table_size(), 68);
    assert_eq!(decode(&mut decoder, &[0x3f, 0x10, 0xbe]), Ok(vec![("b", "2").into()]));
    assert_eq!(decode(&mut decoder, &[0x20, 0x3f, 0x10]), Ok(vec![]));
    assert_eq!(decoder.table_size(), 0);
}

#[test]
fn an_entry_as_large_as_the_table_stays_and_a_larger_one_empties_it() {
    let entry = |octets: usize| {
        let mut block = vec![0x40, 1, b'n', 0x7f, (octets - 33 - 127) as u8];
        block.resize(block.len() + octets - 33, b'v');
        block
    };
    for (octets, size) in [(200, 200), (201, 0)] {
        let mut decoder = Decoder::new(200);
        decode(&mut decoder, b"\x40\x01a\x011").expect("an entry");
        let fields = decode(&mut decoder, &entry(octets)).expect("a field line, entry or not");
        assert_eq!(fields[0].size(), octets);
        assert_eq!(decoder.table_size(), size);
    }
}

#[test]
fn smaller_settings_must_be_followed_by_a_size_update() {
    let check = |sizes: &[usize], block: &[u8], outcome: Result<(), DecodeError>| {
        let mut decoder = Decoder::new(4_096);
        for size in sizes {
            decoder.set_table_size_max(*size);
        }
        let decoded = decode(&mut decoder, block).map(|_| ());
        assert_eq!(decoded, outcome, "{sizes:?}, {block:x?}");
    };
    check(&[100], &[0x82], Err(DecodeError::SizeUpdateMissing));
    check(&[100], &[], Err(DecodeError::SizeUpdateMissing));
    check(&[100], &[0x3f, 69, 0x82], Ok(()));
    check(&[100], &[0x20, 0x82], Ok(()));
    check(&[100], &[0x3f, 70, 0x82], Err(DecodeError::SizeUpdateTooLarge));
    check(&[5_000], &[0x82], Ok(()));
    check(&[5_000, 4_096], &[0x82], Ok(()));
    // Of several changes the smallest size is announced first, then the last.
    check(&[100, 4_096], &[0x82], Err(DecodeError::SizeUpdateMissing));
    check(&[100, 4_096], &[0x3f, 0xe1, 0x1f], Err(DecodeError::SizeUpdateMissing));
    check(&[100, 4_096], &[0x3f, 69, 0x3f, 0xe1, 0x1f, 0x82], Ok(()));
    check(&[100, 0, 50], &[0x3f, 0x13], Err(DecodeError::SizeUpdateMissing));
    check(&[100, 0, 50], &[0x20, 0x3f, 0x13], Ok(()));
}

#[test]
fn once_is_enough() {
    let mut decoder = Decoder::new(4_096);
    decoder.set_table_size_max(100);
    decode(&mut decoder, &[0x3f, 69, 0x82]).expect("an update");
    decode(&mut decoder, &[0x82]).expect("no other one is needed");
    decoder.set_table_size_max(100);
    decode(&mut decoder, &[0x82]).expect("the size is the same");
}

#[test]
fn our_encoder_tells_of_each_change_once() {
    let check = |sizes: &[usize], updates: &[u8]| {
        let mut encoder = Encoder::new();
        for size in sizes {
            encoder.set_table_size_max(*size);
        }
        let mut block = Vec::new();
        encoder.encode_status(&mut block, 200);
        assert_eq!(block, [updates, &[0x88]].concat(), "{sizes:?}");
        block.clear();
        encoder.encode_status(&mut block, 200);
        assert_eq!(block, [0x88]);
    };
    check(&[], &[]);
    check(&[4_096], &[]);
    check(&[1 << 20], &[]);
    check(&[100], &[0x3f, 69]);
    check(&[0], &[0x20]);
    check(&[0, 100], &[0x20, 0x3f, 69]);
    check(&[100, 4_096], &[0x3f, 69, 0x3f, 0xe1, 0x1f]);
    check(&[100, 0, 50], &[0x20, 0x3f, 0x13]);
    check(&[100, 50], &[0x3f, 0x13]);
    check(&[1 << 20, 100], &[0x3f, 69]);
}

#[test]
fn a_cap_of_ours_is_announced_with_the_first_block() {
    let mut encoder = Encoder::with_table_cap(0);
    let mut block = Vec::new();
    encoder.encode(&mut block, b"server", b"lws", Indexing::Index);
    assert_eq!(block, b"\x20\x0f\x27\x03lws");
}

#[test]
fn what_would_fill_most_of_the_table_is_not_indexed() {
    let mut ends = Ends::default();
    for (len, size) in [(3_072 - 33, 3_072), (3_072 - 32, 3_072)] {
        ends.send(&[(Field::new("n", vec![b'&'; len]), Indexing::Auto)]);
        assert_eq!(ends.decoder.table_size(), size, "{len}");
    }
}
