use super::*;
use lws_proto::hpack::{Decoder, Encoder, Indexing, Section, SectionLimits};
use lws_proto::record::strings::encode;

/// Masks `octets`, and checks that the result is the same however they are cut.
fn redacted(octets: &[u8]) -> Vec<u8> {
    let run = |size: usize| {
        let (mut redactor, mut out) = (Redactor::new(Redaction::Credentials), Vec::new());
        for part in octets.chunks(size) {
            redactor.redact(part, &mut out).expect("nothing that cannot be looked into");
        }
        assert!(!redactor.holds(), "{}", octets.escape_ascii());
        out
    };
    let whole = run(usize::MAX);
    for size in [1, 2, 3, 7] {
        assert_eq!(run(size), whole, "in parts of {size}: {}", octets.escape_ascii());
    }
    assert_eq!(whole.len(), octets.len());
    whole
}

#[test]
fn a_mask_has_the_length_of_its_value_also_when_it_is_coded() {
    let all: Vec<u8> = (0x20..=0xff).collect();
    for value in [&b"secret"[..], b"Basic dXNlcjpwYXNzd29yZA==", b"a", b"", &all] {
        let mask = masked(Kind::Value, value);
        assert_eq!(mask.len(), value.len());
        assert_eq!(encode(&mask).len(), encode(value).len(), "{}", value.escape_ascii());
    }
    // The mask does not depend on the order of octets.
    assert_eq!(masked(Kind::Value, b"secret"), masked(Kind::Value, b"terces"));
    assert_ne!(masked(Kind::Value, b"secret"), b"secret");
}

#[test]
fn a_list_of_tokens_stays_one() {
    assert_eq!(
        masked(Kind::Tokens, b"chat, bearer.s3cret").iter().filter(|octet| **octet == b',').count(),
        1
    );
    let mask = masked(Kind::Tokens, b" v1 ,\ttoken ");
    assert_eq!((mask[0], mask[3], mask[4], mask[5], mask[11]), (b' ', b' ', b',', b'\t', b' '));
}

#[test]
fn lines_of_http_1_1() {
    for (line, shown) in [
        (&b"Cookie: secret\r\n"[..], &b"Cookie: "[..]),
        (b"cOOKIE:secret\r\n", b"cOOKIE:"),
        (b"Set-Cookie: \t secret \r\n", b"Set-Cookie: \t "),
        (b"Authorization: secret\r\n", b"Authorization: "),
        (b"Proxy-Authorization: secret\n", b"Proxy-Authorization: "),
        (b"Sec-WebSocket-Protocol: secret\r\n", b"Sec-WebSocket-Protocol: "),
        (b"Cookie : secret\r\n", b"Cookie : "),
        (b" Cookie: secret\r\n", b" Cookie: "),
        (b"X: y\rCookie: secret\r\n", b"X: y\rCookie: "),
        (b"Cookie: secret\r\n secret\r\n\tsecret\r\n", b"Cookie: "),
        (b"GET / HTTP/1.1\r\nHost: a\r\nCookie: secret\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nCookie: "),
    ] {
        let out = redacted(line);
        assert!(out.starts_with(shown), "{}", out.escape_ascii());
        assert!(!out.windows(6).any(|part| part == b"secret"), "{}", out.escape_ascii());
    }
}

#[test]
fn everything_else_stays_as_it_is() {
    for octets in [
        &b"GET / HTTP/1.1\r\nHost: a\r\nX-Cookie: secret\r\nCookies: secret\r\n\r\n"[..],
        b"POST / HTTP/1.1\r\nContent-Length: 6\r\n\r\nsecret\r\n",
        b"\x81\x86\x01\x02\x03\x04secret\r\n",
        b"\0\x01\xff\xfe\r\n\r\n\n\n",
        b"cookie\r\ncook: secret\r\nc\r\n",
        b"Upgrade: websocket\r\n\r\n\x81\x06secret\n",
    ] {
        assert_eq!(redacted(octets), octets, "{}", octets.escape_ascii());
    }
    let mut out = Vec::new();
    Redactor::new(Redaction::Nothing).redact(b"Cookie: secret\r\n", &mut out).expect("nothing is looked at");
    assert_eq!(out, b"Cookie: secret\r\n");
}

/// The preface of HTTP/2 with an empty SETTINGS frame.
const BEGIN: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let [.., a, b, c] = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    [&[a, b, c, kind, flags, 0, 0, 0, 1], payload].concat()
}

fn decode(blocks: &[Vec<u8>]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (mut decoder, mut fields) = (Decoder::new(4_096), Vec::new());
    for block in blocks {
        let mut section = Section::default();
        decoder.decode(block, &mut section, SectionLimits::default()).expect("a field block");
        fields.extend(section.fields().map(|field| (field.name.to_vec(), field.value.to_vec())));
    }
    fields
}

#[test]
fn field_blocks_of_http_2() {
    let mut encoder = Encoder::new();
    let fields: [(&[u8], &[u8]); 6] = [
        (b"authorization", b"Bearer secret"),
        (b"cookie", b"session=secret; other=secret and more than twenty"),
        (b"x-name", b"not secret"),
        (b"sec-websocket-protocol", b"chat, secret"),
        (b"set-cookie", b"secret"),
        (b"proxy-authorization", b"secret"),
    ];
    // The second time the fields refer to the dynamic table.
    let blocks: Vec<Vec<u8>> = (0..2)
        .map(|round| {
            let mut block = Vec::new();
            for (name, value) in fields {
                let value = if round == 0 { value.to_vec() } else { [value, b"!"].concat() };
                encoder.encode(&mut block, name, &value, Indexing::Auto);
            }
            block
        })
        .collect();
    let (first, second) = (&blocks[0], &blocks[1]);
    // A block in one frame with padding and priority, and in several frames.
    let padded = [&[3, 0, 0, 0, 0, 9][..], first, &[0; 3]].concat();
    let (one, rest) = second.split_at(5);
    let (two, three) = rest.split_at(7);
    let input = [
        BEGIN,
        &frame(1, 4 | 8 | 0x20, &padded),
        &frame(0, 1, b"cookie: content is content\r\n"),
        &frame(1, 0, one),
        &frame(9, 0, two),
        &frame(9, 4, three),
    ]
    .concat();
    let out = redacted(&input);
    let content = b"cookie: content is content\r\n";
    assert!(out.windows(content.len()).any(|part| part == content));
    // The frames have not moved.
    let at = BEGIN.len() + 9 + 6;
    let first_out = out[at..at + first.len()].to_vec();
    let at = BEGIN.len() + 9 + padded.len() + 9 + content.len() + 9;
    let second_out = [&out[at..at + 5], &out[at + 5 + 9..at + 12 + 9], &out[at + 12 + 18..]].concat();
    let (before, after) = (decode(&blocks), decode(&[first_out, second_out]));
    assert_eq!(before.len(), after.len());
    for ((name, value), (name_after, masked)) in before.iter().zip(&after) {
        assert_eq!(name, name_after);
        assert_eq!(value.len(), masked.len());
        let hides = Kind::of(name).is_some();
        assert_eq!(masked.windows(6).any(|part| part == b"secret"), !hides, "{}", masked.escape_ascii());
    }
}

#[test]
fn a_field_block_that_cannot_be_decoded_is_not_written() {
    for block in [&b"\xff\xff\xff\xff\xff\xff"[..], b"\x40", b"\x00\x05cookie", b"\xc0", b"\x0f"] {
        let mut redactor = Redactor::new(Redaction::Credentials);
        let mut out = Vec::new();
        let input = [BEGIN, &frame(1, 4, block)].concat();
        assert_eq!(
            redactor.redact(&input, &mut out),
            Err(Unredactable::FieldBlock),
            "{}",
            block.escape_ascii()
        );
        assert_eq!(out, BEGIN);
    }
    // At the limit, and one past it.
    let most = 256 << 10;
    for (len, fits) in [(most, true), (most + 1, false)] {
        let mut redactor = Redactor::new(Redaction::Credentials);
        let mut out = Vec::new();
        let input = [BEGIN, &header(len)].concat();
        assert_eq!(redactor.redact(&input, &mut out).is_ok(), fits, "{len}");
    }
}

/// The header of a HEADERS frame of this length.
fn header(len: usize) -> [u8; 9] {
    let [.., a, b, c] = u32::try_from(len).expect("a short payload").to_be_bytes();
    [a, b, c, 1, 4, 0, 0, 0, 1]
}

#[test]
fn an_upgrade_to_http_2_is_followed() {
    let block = {
        let mut block = Vec::new();
        Encoder::new().encode(&mut block, b"set-cookie", b"secret", Indexing::Auto);
        block
    };
    let head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    let input = [&head[..], &frame(1, 4, &block)].concat();
    let out = redacted(&input);
    assert_eq!(out[..head.len()], *head);
    assert_ne!(out, input);
}

#[test]
fn a_value_that_is_too_long_is_not_written() {
    let most = 64 << 10;
    for (len, fits) in [(most, true), (most + 1, false)] {
        let mut redactor = Redactor::new(Redaction::Credentials);
        let mut out = Vec::new();
        let input = [&b"Cookie:"[..], &vec![b'x'; len], b"\r\n"].concat();
        assert_eq!(redactor.redact(&input, &mut out).is_ok(), fits, "{len}");
    }
}
