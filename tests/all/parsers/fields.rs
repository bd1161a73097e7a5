//! Field lines that frame nothing, but that others clean, cut, join or split.

use super::{Refused, Taken, Verdict, check_each, requests};
use crate::support::served_to_end;
use lws_proto::Violation::{BareLineEnd, Expectation, FieldLine};
use tests::{Octets, Seen};

/// Field lines with their ends, in a GET. The end of the head follows.
const LINES: &[(&[u8], Verdict)] = &[
    // Names.
    (b": x\r\n", Refused(FieldLine)),
    (b":\r\n", Refused(FieldLine)),
    (b"X : y\r\n", Refused(FieldLine)),
    (b"X\t: y\r\n", Refused(FieldLine)),
    (b" X: y\r\n", Refused(FieldLine)),
    (b"X\xa0: y\r\n", Refused(FieldLine)),
    (b"\xa0X: y\r\n", Refused(FieldLine)),
    (b"X\0: y\r\n", Refused(FieldLine)),
    (b"X\x0b: y\r\n", Refused(FieldLine)),
    (b"X(y): z\r\n", Refused(FieldLine)),
    (b"X\"y\": z\r\n", Refused(FieldLine)),
    (b"X;y: z\r\n", Refused(FieldLine)),
    (b"X[]: z\r\n", Refused(FieldLine)),
    (b"X=y: z\r\n", Refused(FieldLine)),
    (b"X@y: z\r\n", Refused(FieldLine)),
    (b"X/y: z\r\n", Refused(FieldLine)),
    (b"X y: z\r\n", Refused(FieldLine)),
    (b"X\xc3\xa9: z\r\n", Refused(FieldLine)),
    (b"X\r\n", Refused(FieldLine)),
    (b"X: y\r\nZ\r\n", Refused(FieldLine)),
    (b"X_y: z\r\n", Taken("GET / ")),
    (b"!#$%&'*+-.^_`|~0: z\r\n", Taken("GET / ")),
    // Values.
    (b"X: a\0b\r\n", Refused(FieldLine)),
    (b"X: \0\r\n", Refused(FieldLine)),
    (b"X: a\x01b\r\n", Refused(FieldLine)),
    (b"X: a\x7fb\r\n", Refused(FieldLine)),
    (b"X: a\x0bb\r\n", Refused(FieldLine)),
    (b"X: a\x0c\r\n", Refused(FieldLine)),
    (b"X: a\x1b[0m\r\n", Refused(FieldLine)),
    (b"X: a\x08\r\n", Refused(FieldLine)),
    (b"X: a\rb\r\n", Refused(BareLineEnd)),
    (b"X: a\r\r\n", Refused(BareLineEnd)),
    (b"X: a\nY: b\r\n", Refused(BareLineEnd)),
    (b"X: a\n\r\n", Refused(BareLineEnd)),
    // Folding, which RFC 9112 §5.2 lets a server refuse.
    (b"X: a\r\n b\r\n", Refused(FieldLine)),
    (b"X: a\r\n\tb\r\n", Refused(FieldLine)),
    (b"X:\r\n a\r\n", Refused(FieldLine)),
    (b"X: a\r\n \r\n", Refused(FieldLine)),
    (b"X: a\n b\r\n", Refused(BareLineEnd)),
    // What Expect says, which others compare by its beginning.
    (b"Expect: 100-continue, x\r\n", Refused(Expectation)),
    (b"Expect: 100-continued\r\n", Refused(Expectation)),
    (b"Expect: 100\r\n", Refused(Expectation)),
    (b"Expect: x\r\nExpect: 100-continue\r\n", Refused(Expectation)),
    (b"eXPECT: 100-Continue\r\n", Taken("GET / ")),
];

#[test]
fn field_lines() {
    check_each(b"GET / HTTP/1.1\r\nHost: a\r\n", LINES, b"\r\n");
}

/// Field lines, and the value of `X` that an application must get: nothing but SP and HTAB at its ends is white space.
#[test]
fn values_are_cut_at_white_space_and_nowhere_else() {
    let rows: &[(&[u8], &[u8])] = &[
        (b"X:a", b"a"),
        (b"X: a", b"a"),
        (b"X:\ta\t", b"a"),
        (b"X: \t a \t ", b"a"),
        (b"X: a b", b"a b"),
        (b"X: a\tb", b"a\tb"),
        (b"X:", b""),
        (b"X:  ", b""),
        (b"X: a:b", b"a:b"),
        (b"X:: a", b": a"),
        (b"X: \xa0a\xa0", b"\xa0a\xa0"),
        (b"X: \xc2\x85", b"\xc2\x85"),
        (b"X: \xff\x80", b"\xff\x80"),
        (b"X: \"a", b"\"a"),
        (b"X: a,,b", b"a,,b"),
        (b"x: a", b"a"),
    ];
    for (line, value) in rows {
        let input = [b"GET / HTTP/1.1\r\nHost: a\r\n", *line, b"\r\n\r\n"].concat();
        let delivered = served_to_end(&input);
        assert_eq!(requests(&delivered), ["GET / "], "{:?}", Octets(input));
        let Seen::Request { fields, .. } = &delivered.seen.0[0] else { panic!("{:?}", delivered.seen) };
        assert_eq!(fields[1], ("x".to_owned(), Octets::from(*value)), "{}", line.escape_ascii());
    }
}
