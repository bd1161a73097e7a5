//! The same kinds in HTTP/2, whose fields a front end may write as HTTP/1.1: nothing may pass that would be something else there.

use crate::rfc9113::{code, no_error, stream_error};
use crate::support::Role;
use lws_proto::Violation;
use lws_proto::Violation::{ContentLengthMismatch, Field, Host, PseudoHeader, Target};
use tests::Seen;
use tests::h2::{GET, POST, data, headers};

/// A row of a field: what it comes to in a request, and in a response.
type Row = (&'static str, &'static str, Option<Violation>);

fn check(role: Role, frames: &[u8], verdict: Option<Violation>) {
    match verdict {
        None => drop(no_error(role, frames)),
        Some(violation) => stream_error(role, frames, 1, code::PROTOCOL_ERROR, violation),
    }
}

/// Fields that would end a line, a head or a name in HTTP/1.1, or that frame the message there.
const FIELDS: &[Row] = &[
    ("x", "a\r\ny: b", Some(Field)),
    ("x", "a\nb", Some(Field)),
    ("x", "a\rb", Some(Field)),
    ("x", "a\0b", Some(Field)),
    ("x", "\r\n\r\nGET /hidden HTTP/1.1\r\n", Some(Field)),
    ("x", " a", Some(Field)),
    ("x", "a\t", Some(Field)),
    ("x", "a\x7f", Some(Field)),
    ("x", "a\x0bb", Some(Field)),
    ("", "a", Some(Field)),
    ("x y", "a", Some(Field)),
    ("x:", "a", Some(Field)),
    ("x: y", "a", Some(Field)),
    ("x\r\ny", "a", Some(Field)),
    ("x\0", "a", Some(Field)),
    ("x\u{a0}", "a", Some(Field)),
    ("X", "a", Some(Field)),
    ("content-Length", "0", Some(Field)),
    ("x(y)", "a", Some(Field)),
    ("x_y", "a", None),
    ("x", "", None),
    ("x", "a b\tc", None),
    ("x", "\u{a0}a\u{a0}", None),
    // RFC 9113 §8.2.2: what concerns one connection.
    ("transfer-encoding", "chunked", Some(Field)),
    ("transfer-encoding", "identity", Some(Field)),
    ("connection", "close", Some(Field)),
    ("connection", "content-length", Some(Field)),
    ("keep-alive", "timeout=5", Some(Field)),
    ("proxy-connection", "close", Some(Field)),
    ("upgrade", "h2c", Some(Field)),
];

#[test]
fn fields() {
    for (name, value, verdict) in FIELDS {
        let request = [GET.as_slice(), &[(*name, *value)]].concat();
        check(Role::Server, &headers(1, &request, true), *verdict);
        check(Role::Client, &headers(1, &[(":status", "200"), (name, value)], true), *verdict);
    }
    for (value, verdict) in [("trailers", None), ("gzip", Some(Field)), ("trailers, gzip", Some(Field))] {
        check(Role::Server, &headers(1, &[GET.as_slice(), &[("te", value)]].concat(), true), verdict);
    }
}

/// The announced length of `hello`.
const LENGTHS: &[(&str, Option<Violation>)] = &[
    ("5", None),
    ("05", None),
    ("4", Some(ContentLengthMismatch)),
    ("6", Some(ContentLengthMismatch)),
    ("0", Some(ContentLengthMismatch)),
    ("+5", Some(Violation::ContentLength)),
    ("-5", Some(Violation::ContentLength)),
    ("0x5", Some(Violation::ContentLength)),
    ("5_", Some(Violation::ContentLength)),
    ("5, 6", Some(Violation::ContentLength)),
    (",5", Some(Violation::ContentLength)),
    ("", Some(Violation::ContentLength)),
    ("\u{665}", Some(Violation::ContentLength)),
    ("18446744073709551621", Some(Violation::ContentLength)),
];

#[test]
fn lengths() {
    for (length, verdict) in LENGTHS {
        let request = [POST.as_slice(), &[("content-length", *length)]].concat();
        let frames = [headers(1, &request, false), data(1, "hello", true)].concat();
        check(Role::Server, &frames, *verdict);
        let response = [(":status", "200"), ("content-length", *length)];
        let frames = [headers(1, &response, false), data(1, "hello", true)].concat();
        check(Role::Client, &frames, *verdict);
    }
    let two = [POST.as_slice(), &[("content-length", "5"), ("content-length", "6")]].concat();
    let frames = [headers(1, &two, false), data(1, "hello", true)].concat();
    check(Role::Server, &frames, Some(Violation::ContentLength));
}

/// The four of a request: `None` leaves one out.
const CONTROL: &[([Option<&str>; 4], Option<Violation>)] = &[
    ([Some("GET"), Some("http"), Some("a"), Some("/")], None),
    ([Some("GET"), Some("http"), Some("a:80"), Some("/?b")], None),
    ([Some("OPTIONS"), Some("http"), Some("a"), Some("*")], None),
    ([Some("GET"), Some("ftp"), Some("a"), Some("/")], None),
    ([None, Some("http"), Some("a"), Some("/")], Some(PseudoHeader)),
    ([Some("GET"), None, Some("a"), Some("/")], Some(PseudoHeader)),
    ([Some("GET"), Some("http"), Some("a"), None], Some(PseudoHeader)),
    ([Some(""), Some("http"), Some("a"), Some("/")], Some(PseudoHeader)),
    ([Some("GET "), Some("http"), Some("a"), Some("/")], Some(PseudoHeader)),
    ([Some("GET /hidden HTTP/1.1"), Some("http"), Some("a"), Some("/")], Some(PseudoHeader)),
    ([Some("GET\r\n"), Some("http"), Some("a"), Some("/")], Some(PseudoHeader)),
    ([Some("GET"), Some("http"), Some("a"), Some("")], Some(Target)),
    ([Some("GET"), Some("http"), Some("a"), Some("x")], Some(Target)),
    ([Some("GET"), Some("http"), Some("a"), Some("*")], Some(Target)),
    ([Some("GET"), Some("http"), Some("a"), Some("/ HTTP/1.1")], Some(Target)),
    ([Some("GET"), Some("http"), Some("a"), Some("/\u{e9}")], Some(Target)),
    ([Some("GET"), Some("http"), Some("a"), Some("/#x")], Some(Target)),
    ([Some("GET"), Some("http"), Some("a"), Some("http://b/")], Some(Target)),
    ([Some("GET"), Some("http"), Some("u@a"), Some("/")], Some(Host)),
    ([Some("GET"), Some("http"), Some("a/b"), Some("/")], Some(Host)),
    ([Some("GET"), Some("http"), Some("a b"), Some("/")], Some(Host)),
    ([Some("GET"), Some("ht tp"), Some("a"), Some("/")], Some(PseudoHeader)),
    ([Some("GET"), Some("http://b/?"), Some("a"), Some("/")], Some(PseudoHeader)),
];

#[test]
fn control_data() {
    for unknown in [(":unknown", "x"), (":", "x")] {
        check(Role::Server, &headers(1, &[GET.as_slice(), &[unknown]].concat(), true), Some(Field));
    }
    let names = [":method", ":scheme", ":authority", ":path"];
    for (values, verdict) in CONTROL {
        let fields: Vec<(&str, &str)> =
            names.iter().zip(values).filter_map(|(name, value)| Some((*name, (*value)?))).collect();
        check(Role::Server, &headers(1, &fields, true), *verdict);
    }
    for more in [(":method", "GET"), (":path", "/x"), (":authority", "b"), (":status", "200")] {
        check(Role::Server, &headers(1, &[GET.as_slice(), &[more]].concat(), true), Some(PseudoHeader));
        let late = [&[("x", "y")], &GET[..]].concat();
        check(Role::Server, &headers(1, &late, true), Some(PseudoHeader));
    }
}

#[test]
fn host_is_the_authority_or_nothing() {
    let with = |host: &str| headers(1, &[GET.as_slice(), &[("host", host)]].concat(), true);
    drop(no_error(Role::Server, with("a")));
    for host in ["b", "a, b", "u@a", "a/b", ""] {
        let reaction = Role::Server.reacts(with(host));
        let taken = reaction.delivered.seen.count(|seen| matches!(seen, Seen::Request { .. }));
        assert_eq!(taken, 0, "{host:?}: {:?}", reaction.delivered.seen);
    }
}
