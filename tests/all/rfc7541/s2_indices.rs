//! The index address space. RFC 7541 §2.3.3, §6.1.

use super::{check, decode};
use lws_proto::hpack::{DecodeError, Decoder};

#[test]
fn the_index_0_stands_for_nothing() {
    check(&[0x80], Err(DecodeError::Index));
}

#[test]
fn an_index_behind_both_tables_is_refused_in_every_representation() {
    check(&[0xbd], Ok(&[("www-authenticate", "")]));
    for beyond in [&[0xbe][..], &[0xff, 0x00], &[0x7e, 0x00], &[0x0f, 0x2f, 0x00], &[0x1f, 0x2f, 0x00]] {
        check(beyond, Err(DecodeError::Index));
    }
    check(&[0xff, 0xff, 0xff, 0xff, 0xff, 0x0f], Err(DecodeError::Integer));
    check(&[0xff, 0x80, 0xff, 0xff, 0xff, 0x0f], Err(DecodeError::Index));
}

#[test]
fn the_newest_entry_comes_first() {
    let mut decoder = Decoder::new(4_096);
    decode(&mut decoder, b"\x40\x01a\x011\x40\x01b\x012").expect("two entries");
    let fields = decode(&mut decoder, &[0xbe, 0xbf]).expect("their indices");
    assert_eq!(fields, [("b", "2").into(), ("a", "1").into()]);
    assert_eq!(decode(&mut decoder, &[0xc0]), Err(DecodeError::Index));
}

#[test]
fn an_entry_that_was_evicted_has_no_index() {
    let mut decoder = Decoder::new(2 * 34);
    decode(&mut decoder, b"\x40\x01a\x011\x40\x01b\x012\x40\x01c\x013").expect("three entries");
    assert_eq!(decode(&mut decoder, &[0xbf]).expect("the second"), [("b", "2").into()]);
    assert_eq!(decode(&mut decoder, &[0xc0]), Err(DecodeError::Index));
}

#[test]
fn literals_that_are_not_indexed_come_into_no_table() {
    for first in [0x00, 0x10] {
        let mut decoder = Decoder::new(4_096);
        decode(&mut decoder, &[first, 1, b'a', 1, b'1']).expect("a literal");
        assert_eq!(decoder.table_size(), 0);
        assert_eq!(decode(&mut decoder, &[0xbe]), Err(DecodeError::Index));
    }
}

#[test]
fn a_name_may_be_that_of_an_entry_which_its_own_insertion_evicts() {
    // RFC 7541 §4.4.
    let mut decoder = Decoder::new(64);
    decode(&mut decoder, b"\x40\x10nnnnnnnnnnnnnnnn\x01v").expect("an entry");
    let fields = decode(&mut decoder, b"\x7e\x0212").expect("its name again");
    assert_eq!(fields, [("nnnnnnnnnnnnnnnn", "12").into()]);
    assert_eq!(decode(&mut decoder, &[0xbe]).expect("the new entry"), fields);
}
