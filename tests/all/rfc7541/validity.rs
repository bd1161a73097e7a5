//! The validity of names and values, and that entries of the table remember it. RFC 9113 §8.2.1.

use lws_proto::hpack::{Decoder, Encoder, FieldFlags, Indexing, NameId, Section, SectionLimits};

/// The flags and number of a field line as a literal, and from the table.
fn check(name: &str, value: &str, id: NameId, name_valid: bool, value_valid: bool) {
    let mut block = vec![0x40, name.len() as u8];
    block.extend_from_slice(name.as_bytes());
    block.push(value.len() as u8);
    block.extend_from_slice(value.as_bytes());
    // Whole from the table; and its name with a good value.
    block.extend_from_slice(b"\xbe\x7e\x01v");
    let (mut decoder, mut section) = (Decoder::new(4_096), Section::default());
    decoder.decode(&block, &mut section, SectionLimits::default()).expect("three field lines");
    let found: Vec<_> = section
        .fields()
        .map(|field| {
            let valid = [FieldFlags::NAME_VALID, FieldFlags::VALUE_VALID].map(|flag| field.flags.has(flag));
            assert_eq!(field.flags.has(FieldFlags::VALID), valid == [true; 2]);
            (field.id, valid)
        })
        .collect();
    let expected =
        [(id, [name_valid, value_valid]), (id, [name_valid, value_valid]), (id, [name_valid, true])];
    assert_eq!(found, expected, "{name:?}: {value:?}");
}

#[test]
fn names_are_tokens_in_lower_case_or_known_pseudo_names() {
    check("x-other", "v", NameId::OTHER, true, true);
    check("connection", "v", NameId::CONNECTION, true, true);
    check("content-length", "v", NameId::CONTENT_LENGTH, true, true);
    check(":protocol", "websocket", NameId::PROTOCOL, true, true);
    check(":method", "v", NameId::METHOD, true, true);
    for name in ["", "X-Other", "Connection", ":other", ":", "a b", "a:b", "a\n", "\u{e9}"] {
        check(name, "v", NameId::OTHER, false, true);
    }
}

#[test]
fn values_have_no_controls_and_no_space_around_them() {
    for value in ["", "a", "a b", "a\tb", "\u{e9}", "\""] {
        check("x", value, NameId::OTHER, true, true);
    }
    for value in [
        "\0",
        "a\rb",
        "a\nb",
        "a\x01b",
        "a\x7f",
        " a",
        "a ",
        "\ta",
        "a\t",
        " ",
        "long enough for words\0 of eight",
        "long enough for words\x1b of eight",
    ] {
        check("x", value, NameId::OTHER, true, false);
    }
}

#[test]
fn our_encoder_sends_names_in_lower_case() {
    for name in ["Content-Type", "X-OTHER", "N".repeat(64).as_str(), "N".repeat(65).as_str()] {
        let (mut block, mut section) = (Vec::new(), Section::default());
        Encoder::new().encode(&mut block, name.as_bytes(), b"Value", Indexing::Auto);
        Decoder::new(4_096).decode(&block, &mut section, SectionLimits::default()).expect("a field line");
        let field = section.fields().next().expect("a field line");
        assert_eq!((field.name, field.value), (name.to_lowercase().as_bytes(), &b"Value"[..]));
    }
}
