//! Decoder and encoder together: the examples of RFC 7541 Appendix C, every error, and what the encoder promises.

use super::*;
use alloc::vec::Vec;

const LIMITS: SectionLimits =
    SectionLimits { bytes_max: 1 << 20, fields_max: 1_000, hard_bytes_max: 1 << 22 };

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

fn fields(section: &Section) -> Fields {
    section.fields().map(|field| (field.name.to_vec(), field.value.to_vec())).collect()
}

fn owned(fields: &[(&str, &str)]) -> Fields {
    fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Fields, DecodeError> {
    let mut section = Section::default();
    decoder.decode(block, &mut section, LIMITS).map(|()| fields(&section))
}

/// Octets from hexadecimal digits.
fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<_> = digits.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

/// Blocks one after the other: their octets, what they stand for, and the size of the table after each.
type Example<'a> = &'a [(&'a str, &'a [(&'a str, &'a str)], usize)];

fn check_example(table_size: usize, example: Example<'_>) {
    let mut decoder = Decoder::new(table_size);
    for (block, expected, size) in example {
        assert_eq!(decode(&mut decoder, &hex(block)), Ok(owned(expected)), "{block}");
        assert_eq!(decoder.table_size(), *size, "{block}");
    }
}

const REQUEST_1: &[(&str, &str)] =
    &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")];
const REQUEST_2: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "http"),
    (":path", "/"),
    (":authority", "www.example.com"),
    ("cache-control", "no-cache"),
];
const REQUEST_3: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "https"),
    (":path", "/index.html"),
    (":authority", "www.example.com"),
    ("custom-key", "custom-value"),
];
const RESPONSE_1: &[(&str, &str)] = &[
    (":status", "302"),
    ("cache-control", "private"),
    ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
    ("location", "https://www.example.com"),
];
const RESPONSE_2: &[(&str, &str)] = &[
    (":status", "307"),
    ("cache-control", "private"),
    ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
    ("location", "https://www.example.com"),
];
const RESPONSE_3: &[(&str, &str)] = &[
    (":status", "200"),
    ("cache-control", "private"),
    ("date", "Mon, 21 Oct 2013 20:13:22 GMT"),
    ("location", "https://www.example.com"),
    ("content-encoding", "gzip"),
    ("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"),
];

#[test]
fn each_representation_is_decoded_as_in_appendix_c_2() {
    check_example(
        4_096,
        &[(
            "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
            &[("custom-key", "custom-header")],
            55,
        )],
    );
    check_example(4_096, &[("040c 2f73 616d 706c 652f 7061 7468", &[(":path", "/sample/path")], 0)]);
    check_example(4_096, &[("1008 7061 7373 776f 7264 0673 6563 7265 74", &[("password", "secret")], 0)]);
    check_example(4_096, &[("82", &[(":method", "GET")], 0)]);
}

#[test]
fn requests_without_huffman_are_decoded_as_in_appendix_c_3() {
    check_example(
        4_096,
        &[
            ("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", REQUEST_1, 57),
            ("8286 84be 5808 6e6f 2d63 6163 6865", REQUEST_2, 110),
            ("8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65", REQUEST_3, 164),
        ],
    );
}

const REQUESTS_HUFFMAN: Example<'_> = &[
    ("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", REQUEST_1, 57),
    ("8286 84be 5886 a8eb 1064 9cbf", REQUEST_2, 110),
    ("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", REQUEST_3, 164),
];

#[test]
fn requests_with_huffman_are_decoded_as_in_appendix_c_4() {
    check_example(4_096, REQUESTS_HUFFMAN);
}

#[test]
fn responses_without_huffman_are_decoded_as_in_appendix_c_5() {
    check_example(
        256,
        &[
            (
                "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 \
                 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
                RESPONSE_1,
                222,
            ),
            ("4803 3330 37c1 c0bf", RESPONSE_2, 222),
            (
                "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 \
                 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 \
                 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
                RESPONSE_3,
                215,
            ),
        ],
    );
}

#[test]
fn responses_with_huffman_are_decoded_as_in_appendix_c_6() {
    check_example(
        256,
        &[
            (
                "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad \
                 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
                RESPONSE_1,
                222,
            ),
            ("4883 640e ffc1 c0bf", RESPONSE_2, 222),
            (
                "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 \
                 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
                RESPONSE_3,
                215,
            ),
        ],
    );
}

#[test]
fn the_encoder_writes_the_requests_of_appendix_c_4() {
    let mut encoder = Encoder::new();
    for (block, fields, size) in REQUESTS_HUFFMAN {
        let mut out = Vec::new();
        for (name, value) in *fields {
            encoder.encode(&mut out, name.as_bytes(), value.as_bytes(), Indexing::Auto);
        }
        assert_eq!(out, hex(block), "{fields:?}");
        assert_eq!(encoder.table_size(), *size);
    }
}
