//! Sections of every shape, whole and cut.

use super::*;
use alloc::format;
use alloc::string::String;

/// Reads `input` in pieces of `step` bytes. Returns the section as text, and how many bytes it took.
fn read(
    kind: HeadKind,
    input: &[u8],
    step: usize,
    limits: &Limits,
) -> Result<Option<(String, usize)>, Cause> {
    let mut reader = HeadReader::new();
    let mut at = 0;
    while at < input.len() {
        let piece = &input[at..(at + step).min(input.len())];
        let read = reader.read(kind, piece, limits)?;
        at += read.consumed;
        if read.complete {
            assert!(!reader.has_begun());
            return Ok(Some((format!("{:?}", reader.head(piece)), at)));
        }
        assert_eq!(read.consumed, piece.len(), "a part of a section was left");
    }
    Ok(None)
}

/// However the section is cut, it is the same or refused for the same reason.
fn check(kind: HeadKind, section: &str, limits: &Limits, expected: Result<&str, Cause>) {
    let longer = [section.as_bytes(), b"GET next"].concat();
    let expected = expected.map(|text| Some((String::from(text), section.len())));
    for step in 1..=longer.len() {
        assert_eq!(read(kind, &longer, step, limits), expected, "{section:?} by {step}");
    }
    if expected.is_ok() {
        for cut in 0..section.len() {
            for step in [1, cut.max(1)] {
                assert_eq!(
                    read(kind, &section.as_bytes()[..cut], step, limits),
                    Ok(None),
                    "{section:?} to {cut}"
                );
            }
        }
    }
}

fn takes(kind: HeadKind, section: &str, expected: &str) {
    check(kind, section, &Limits::default(), Ok(expected));
}

fn refuses(kind: HeadKind, section: &str, violation: Violation) {
    check(kind, section, &Limits::default(), Err(Cause::Violation(violation)));
}

#[test]
fn a_request_head_is_the_same_however_it_is_cut() {
    takes(HeadKind::Request, "GET / HTTP/1.1\r\n\r\n", r#"Head { method: "GET", target: "/" }"#);
    takes(
        HeadKind::Request,
        "\r\n\r\nPOST /a?b HTTP/1.0\r\nHost: a\r\nX-Y:\tb c \r\nEmpty:\r\nNot-Ascii: \u{e9}\r\n\r\n",
        r#"Head { method: "POST", target: "/a?b", Host: a, X-Y: b c, Empty: , Not-Ascii: \xc3\xa9 }"#,
    );
    takes(
        HeadKind::Request,
        "BREW * HTTP/1.9\r\na:b\r\n\r\n",
        r#"Head { method: "BREW", target: "*", a: b }"#,
    );
}

#[test]
fn a_response_head_is_the_same_however_it_is_cut() {
    takes(HeadKind::Response, "HTTP/1.1 200 OK\r\n\r\n", "Head { status: Status(200) }");
    takes(HeadKind::Response, "HTTP/1.0 404 \r\nA: b\r\n\r\n", "Head { status: Status(404), A: b }");
    takes(HeadKind::Response, "HTTP/1.1 299\r\n\r\n", "Head { status: Status(299) }");
    takes(HeadKind::Response, "HTTP/1.2 200 N\u{e9}\r\n\r\n", "Head { status: Status(200) }");
}

#[test]
fn a_trailer_section_is_field_lines_or_nothing() {
    takes(HeadKind::Trailers, "\r\n", "Head");
    takes(HeadKind::Trailers, "A: b\r\nC: d\r\n\r\n", "Head { A: b, C: d }");
    for section in ["A : b\r\n\r\n", "A\r\n\r\n", " A: b\r\n\r\n", "A: \0\r\n\r\n", "A: b\r\n c\r\n\r\n"] {
        refuses(HeadKind::Trailers, section, Violation::Trailer);
    }
    for section in ["\n", "\rx", "A: b\n\n", "A: b\r\n\n"] {
        refuses(HeadKind::Trailers, section, Violation::BareLineEnd);
    }
}

#[test]
fn no_other_first_line_is_taken() {
    for line in [
        "GET /",
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET / http/1.1",
        "GET / HTTP/1",
        "GET / HTTP/11",
        "GET / HTTP/1.1x",
        "GET / HTTP/1.x",
        "GET\t/\tHTTP/1.1",
        "G@T / HTTP/1.1",
        " / HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET /\u{e9} HTTP/1.1",
        "GET /\0 HTTP/1.1",
        "\u{16}\u{3}\u{1}",
        "GET / HTTP/1.10",
        "GET",
        "HTTP/1.1 200 OK",
    ] {
        refuses(HeadKind::Request, &format!("{line}\r\nHost: a\r\n\r\n"), Violation::RequestLine);
    }
    for line in ["GET / HTTP/2.0", "GET / HTTP/0.9", "GET / HTTP/3.1"] {
        refuses(HeadKind::Request, &format!("{line}\r\nHost: a\r\n\r\n"), Violation::Version);
    }
    refuses(HeadKind::Request, "PRI * HTTP/2.0\r\n\r\n", Violation::Http2Preface);
    for line in [
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1 +20 OK",
        "HTTP/1.1 099 X",
        "HTTP/1.1",
        "ICY 200 OK",
    ] {
        refuses(HeadKind::Response, &format!("{line}\r\nA: b\r\n\r\n"), Violation::StatusLine);
    }
    refuses(HeadKind::Response, "\r\nHTTP/1.1 200 OK\r\n\r\n", Violation::StatusLine);
    refuses(HeadKind::Response, "HTTP/2.0 200 OK\r\n\r\n", Violation::Version);
}

#[test]
fn no_other_field_line_is_taken() {
    for line in [
        "Host : a",
        " Host: a",
        "Host",
        ": a",
        "Ho st: a",
        "Ho@st: a",
        "A: b\r\n c",
        "A: b\r\n\tc",
        "A: \u{7f}",
        "A: \0b",
        "A\0: b",
        "A: b\u{b}c",
    ] {
        refuses(HeadKind::Request, &format!("GET / HTTP/1.1\r\n{line}\r\n\r\n"), Violation::FieldLine);
        refuses(HeadKind::Response, &format!("HTTP/1.1 200 OK\r\n{line}\r\n\r\n"), Violation::FieldLine);
    }
}

#[test]
fn every_line_ends_in_cr_lf() {
    for head in [
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.1\r\nA:\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\n\n",
        "GET / HTTP/1.1\r\rHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
        "GET /\rHTTP/1.1\r\n\r\n",
        "\nGET / HTTP/1.1\r\n\r\n",
        "\r\n\nGET / HTTP/1.1\r\n\r\n",
        "\r\rGET / HTTP/1.1\r\n\r\n",
    ] {
        refuses(HeadKind::Request, head, Violation::BareLineEnd);
    }
}

#[test]
fn a_head_may_have_as_many_bytes_as_the_limit_and_no_more() {
    let head = "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let limits =
        |head_bytes_max| Limits { head_bytes_max, trailer_bytes_max: head_bytes_max, ..Limits::default() };
    let past = Err(Cause::Limit(Limit::HeadBytes));
    check(
        HeadKind::Request,
        head,
        &limits(head.len()),
        Ok(r#"Head { method: "GET", target: "/", Host: a }"#),
    );
    check(HeadKind::Request, head, &limits(head.len() - 1), past);
    check(HeadKind::Request, &"\r\n".repeat(8), &limits(15), past);
    check(HeadKind::Response, "HTTP/1.1 200 OK\r\n\r\n", &limits(18), past);
    check(HeadKind::Trailers, "A: b\r\n\r\n", &limits(8), Ok("Head { A: b }"));
    check(HeadKind::Trailers, "A: b\r\n\r\n", &limits(7), Err(Cause::Limit(Limit::TrailerBytes)));
}

#[test]
fn a_target_may_have_as_many_bytes_as_the_limit_and_no_more() {
    let limits = Limits { target_bytes_max: 4, ..Limits::default() };
    let past = Err(Cause::Limit(Limit::TargetBytes));
    check(
        HeadKind::Request,
        "GET /abc HTTP/1.1\r\n\r\n",
        &limits,
        Ok(r#"Head { method: "GET", target: "/abc" }"#),
    );
    check(HeadKind::Request, "GET /abcd HTTP/1.1\r\n\r\n", &limits, past);
    check(HeadKind::Request, "GET /abcdefghijklmnop", &limits, past);
}

#[test]
fn a_section_may_have_as_many_lines_as_the_limit_and_no_more() {
    let limits = Limits { field_lines_max: 2, ..Limits::default() };
    let past = Err(Cause::Limit(Limit::FieldLines));
    check(
        HeadKind::Request,
        "GET / HTTP/1.1\r\nA:\r\nB:\r\n\r\n",
        &limits,
        Ok(r#"Head { method: "GET", target: "/", A: , B:  }"#),
    );
    check(HeadKind::Request, "GET / HTTP/1.1\r\nA:\r\nB:\r\nC:\r\n\r\n", &limits, past);
    check(HeadKind::Request, "GET / HTTP/1.1\r\nA:\r\nB:\r\nC:\r\nD", &limits, past);
    check(HeadKind::Trailers, "A:\r\nB:\r\nC:\r\n\r\n", &limits, past);
    let most = Limits { field_lines_max: 1_000, ..Limits::default() };
    check(HeadKind::Trailers, &("A:\r\n".repeat(257) + "\r\n"), &most, past);
}

#[test]
fn one_reader_reads_many_heads() {
    let mut reader = HeadReader::new();
    let limits = Limits::default();
    for (input, cut) in [
        ("GET /a HTTP/1.1\r\n\r\n", 3),
        ("GET /b HTTP/1.1\r\nHost: b\r\n\r\n", 0),
        ("GET /c HTTP/1.1\r\n\r\n", 18),
    ] {
        let (first, second) = input.as_bytes().split_at(cut);
        assert!(!reader.read(HeadKind::Request, first, &limits).expect("a part").complete);
        let read = reader.read(HeadKind::Request, second, &limits).expect("the rest");
        assert!(read.complete && read.consumed == second.len());
        assert_eq!(reader.head(second).target(), &input[4..6]);
        reader.release();
    }
}

/// A reader that has read heads before says of the next one what one that has read none says.
#[test]
fn a_head_that_is_known_is_read_as_if_it_were_new() {
    let known = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
    let long = format!("GET /b HTTP/1.1\r\nHost: b\r\nX: {}\r\n\r\n", "x".repeat(KNOWN_BYTES_MAX));
    let limits = Limits::default();
    let next = [
        known,
        "\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: a\r\n",
        "POST /a HTTP/1.1\r\nHost: a\r\n\r\n",
        &long,
    ];
    let outcome = |reader: &mut HeadReader, kind, section: &str| {
        let section = section.as_bytes();
        let read = reader.read(kind, section, &limits).map(|read| (read.consumed, read.complete));
        let facts = format!("{:?}", reader.facts());
        (read, format!("{:?} {:?}", reader.head(section), reader.head(section).host()), facts)
    };
    for first in [known, &long] {
        for between in [None, Some((HeadKind::Trailers, "\r\n")), Some((HeadKind::Trailers, "a: b\r\n\r\n"))]
        {
            for section in next {
                let mut reader = HeadReader::new();
                for _ in 0..3 {
                    let _ = outcome(&mut reader, HeadKind::Request, first);
                }
                if let Some((kind, trailers)) = between {
                    let _ = outcome(&mut reader, kind, trailers);
                }
                let found = outcome(&mut reader, HeadKind::Request, section);
                let mut fresh = HeadReader::new();
                let expected = outcome(&mut fresh, HeadKind::Request, section);
                assert_eq!(found.0, expected.0, "{section:?} behind {first:?}");
                if matches!(found.0, Ok((_, true))) {
                    assert_eq!(found, expected, "{section:?} behind {first:?}");
                }
                assert!(reader.held() <= KNOWN_BYTES_MAX + section.len(), "{section:?}");
            }
        }
    }
}

/// Fields that were dropped are not there again in the copy of a head.
#[test]
fn a_head_whose_fields_were_dropped_is_not_known() {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut reader = HeadReader::new();
    for _ in 0..3 {
        reader.read(HeadKind::Request, head, &Limits::default()).expect("a head");
        assert_eq!(reader.head(head).fields().count(), 1);
        reader.retain(head, |_| false);
        assert_eq!(reader.head(head).fields().count(), 0);
    }
}
