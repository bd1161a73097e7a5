//! What our encoder keeps out of tables. RFC 7541 §6.2.3 and §7.1.

use lws_proto::hpack::{Encoder, FieldFlags, Indexing, NameId, Section, SectionLimits};
use tests::hpack::{Ends, Field};

/// How a field line that is in no table is first sent.
fn first_octet(name: &str, value: &str, indexing: Indexing) -> u8 {
    let mut block = Vec::new();
    Encoder::new().encode(&mut block, name.as_bytes(), value.as_bytes(), indexing);
    block[0]
}

#[test]
fn secrets_are_never_indexed() {
    for (name, value) in [
        ("authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ("Proxy-Authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ("cookie", "id=1234567890123456"),
    ] {
        assert_eq!(first_octet(name, value, Indexing::Auto) & 0xf0, 0x10, "{name}");
    }
    assert_eq!(first_octet("cookie", "id=12345678901234567", Indexing::Auto) & 0xc0, 0x40);
}

#[test]
fn what_the_application_calls_a_secret_is_never_indexed() {
    for name in ["x-token", "content-type", "N".repeat(100).as_str()] {
        assert_eq!(first_octet(name, "secret", Indexing::Never) & 0xf0, 0x10, "{name}");
        assert_eq!(first_octet(name, "secret", Indexing::Without) & 0xf0, 0x00, "{name}");
    }
    assert_eq!(first_octet(":method", "GET", Indexing::Never), 0x12, "even if the static table has it");
}

#[test]
fn a_secret_is_a_literal_even_where_the_table_has_it() {
    let mut ends = Ends::default();
    let field = Field::new("x-token", "secret");
    ends.send(&[(field.clone(), Indexing::Index)]);
    assert_eq!(ends.send(&[(field.clone(), Indexing::Index)]), 1);
    assert!(ends.send(&[(field, Indexing::Never)]) > 1);
    assert_eq!(ends.block()[0] & 0xf0, 0x10);
}

#[test]
fn values_that_hardly_come_again_are_not_indexed() {
    for name in [
        ":path",
        "age",
        "content-length",
        "content-range",
        "etag",
        "if-modified-since",
        "if-none-match",
        "last-modified",
        "location",
        "set-cookie",
    ] {
        assert_eq!(first_octet(name, "/12", Indexing::Auto) & 0xf0, 0x00, "{name}");
        assert_eq!(first_octet(name, "/12", Indexing::Index) & 0xc0, 0x40, "{name}");
    }
    assert_eq!(first_octet(":path", "/", Indexing::Auto), 0x84, "but this one costs nothing");
    for name in ["date", "server", "x-other", "content-type"] {
        assert_eq!(first_octet(name, "/12", Indexing::Auto) & 0xc0, 0x40, "{name}");
    }
}

#[test]
fn never_indexed_is_delivered_with_the_field_line_and_not_kept() {
    let mut decoder = lws_proto::hpack::Decoder::new(4_096);
    let mut section = Section::default();
    let block = b"\x10\x01a\x011\x40\x01b\x012\xbe";
    decoder.decode(block, &mut section, SectionLimits::default()).expect("three field lines");
    let never: Vec<_> = section.fields().map(|field| field.flags.has(FieldFlags::NEVER_INDEXED)).collect();
    assert_eq!(never, [true, false, false]);
}

#[test]
fn well_known_names_are_encoded_alike_by_name_and_by_number() {
    for (name, id) in [(":method", NameId::METHOD), (":protocol", NameId::PROTOCOL), ("te", NameId::TE)] {
        for indexing in [Indexing::Auto, Indexing::Index, Indexing::Without, Indexing::Never] {
            let (mut by_name, mut by_number) = (Vec::new(), Vec::new());
            let (mut one, mut other) = (Encoder::new(), Encoder::new());
            for _ in 0..2 {
                one.encode(&mut by_name, name.as_bytes(), b"value", indexing);
                other.encode_known(&mut by_number, id, b"value", indexing);
            }
            assert_eq!(by_name, by_number, "{name}");
        }
    }
    let mut block = Vec::new();
    Encoder::new().encode_known(&mut block, NameId::OTHER, b"value", Indexing::Auto);
    assert!(block.is_empty());
}

#[test]
fn every_status_code_is_encoded() {
    let mut decoder = lws_proto::hpack::Decoder::new(4_096);
    let (mut encoder, mut block, mut section) = (Encoder::new(), Vec::new(), Section::default());
    for status in 100..1_000u16 {
        block.clear();
        section.clear();
        encoder.encode_status(&mut block, status);
        decoder.decode(&block, &mut section, SectionLimits::default()).expect("a status");
        let fields = tests::hpack::fields(&section);
        assert_eq!(fields, [Field::new(":status", status.to_string())]);
    }
}
