//! Request lines, and what stands before them.

use super::{Last, Refused, Taken, Verdict, check, check_each};
use lws_proto::Violation::{
    BareLineEnd, FieldLine, Host, Http2Preface, LengthRequired, RequestLine, Target, Version,
};

/// A request line without its end. A `Host` and the end of the head follow.
const LINES: &[(&[u8], Verdict)] = &[
    // White space: parsers that split at any of it see three words in each.
    (b"GET  / HTTP/1.1", Refused(RequestLine)),
    (b"GET /  HTTP/1.1", Refused(RequestLine)),
    (b"GET / HTTP/1.1 ", Refused(RequestLine)),
    (b"GET / HTTP/1.1\t", Refused(RequestLine)),
    (b"GET\t/\tHTTP/1.1", Refused(RequestLine)),
    (b"GET\x0b/\x0bHTTP/1.1", Refused(RequestLine)),
    (b"GET\x0c/\x0cHTTP/1.1", Refused(RequestLine)),
    (b"GET\xa0/\xa0HTTP/1.1", Refused(RequestLine)),
    (b" GET / HTTP/1.1", Refused(RequestLine)),
    (b"\tGET / HTTP/1.1", Refused(RequestLine)),
    (b"GET / HTTP/1.1\r", Refused(BareLineEnd)),
    (b"GET / x HTTP/1.1", Refused(RequestLine)),
    (b"GET /x y HTTP/1.1", Refused(RequestLine)),
    // Methods that others compare by their beginning, or without case, or after cleaning.
    (b"GETT / HTTP/1.1", Taken("GETT / ")),
    (b"get / HTTP/1.1", Taken("get / ")),
    (b"G\0ET / HTTP/1.1", Refused(RequestLine)),
    (b"\"GET\" / HTTP/1.1", Refused(RequestLine)),
    (b"GET: / HTTP/1.1", Refused(RequestLine)),
    (b"G=T / HTTP/1.1", Refused(RequestLine)),
    (b"\xc7ET / HTTP/1.1", Refused(RequestLine)),
    (b"\xef\xbb\xbfGET / HTTP/1.1", Refused(RequestLine)),
    // Versions that others compare by their beginning or read as numbers.
    (b"GET / http/1.1", Refused(RequestLine)),
    (b"GET / HTTP/1.1x", Refused(RequestLine)),
    (b"GET / HTTP/1.10", Refused(RequestLine)),
    (b"GET / HTTP/1.01", Refused(RequestLine)),
    (b"GET / HTTP/01.1", Refused(RequestLine)),
    (b"GET / HTTP/1.", Refused(RequestLine)),
    (b"GET / HTTP/1", Refused(RequestLine)),
    (b"GET / HTTP/11", Refused(RequestLine)),
    (b"GET / HTTP/+1.1", Refused(RequestLine)),
    (b"GET / HTTP/-1.1", Refused(RequestLine)),
    (b"GET / HTTP/ 1.1", Refused(RequestLine)),
    (b"GET / HTTP/1,1", Refused(RequestLine)),
    (b"GET / HTTP/1.\xb9", Refused(RequestLine)),
    (b"GET / HTTP\\1.1", Refused(RequestLine)),
    (b"GET / HTTPS/1.1", Refused(RequestLine)),
    (b"GET / XHTTP/1.1", Refused(RequestLine)),
    (b"GET / ICY/1.1", Refused(RequestLine)),
    (b"GET /", Refused(RequestLine)),
    (b"GET / ", Refused(RequestLine)),
    // RFC 9110 §6.2: a minor version above ours is ours.
    (b"GET / HTTP/1.2", Taken("GET / ")),
    (b"GET / HTTP/1.9", Taken("GET / ")),
    (b"GET / HTTP/0.9", Refused(Version)),
    (b"GET / HTTP/2.0", Refused(Version)),
    (b"GET / HTTP/9.9", Refused(Version)),
    (b"PRI * HTTP/2.0", Refused(Http2Preface)),
    // Targets.
    (b"GET a HTTP/1.1", Refused(Target)),
    (b"GET ?a HTTP/1.1", Refused(Target)),
    (b"GET * HTTP/1.1", Refused(Target)),
    (b"GET \\ HTTP/1.1", Refused(Target)),
    (b"GET a:80 HTTP/1.1", Refused(Target)),
    (b"GET /#fragment HTTP/1.1", Refused(Target)),
    (b"GET /\0 HTTP/1.1", Refused(RequestLine)),
    (b"GET /\x7f HTTP/1.1", Refused(RequestLine)),
    (b"GET /\x01 HTTP/1.1", Refused(RequestLine)),
    (b"GET /\xe9 HTTP/1.1", Refused(RequestLine)),
    (b"GET //a/ HTTP/1.1", Taken("GET //a/ ")),
    (b"GET /%00 HTTP/1.1", Taken("GET /%00 ")),
    (b"GET /%0d%0aX:%20y HTTP/1.1", Taken("GET /%0d%0aX:%20y ")),
    (b"GET /a/../b HTTP/1.1", Taken("GET /a/../b ")),
    (b"GET /%2e%2e HTTP/1.1", Taken("GET /%2e%2e ")),
    (b"GET http:// HTTP/1.1", Refused(Target)),
    (b"GET http:///x HTTP/1.1", Refused(Target)),
    (b"GET http://u@a/ HTTP/1.1", Refused(Target)),
    (b"GET http://a:b/ HTTP/1.1", Refused(Target)),
    (b"GET http:/a HTTP/1.1", Refused(Target)),
    (b"GET http:a HTTP/1.1", Refused(Target)),
    (b"GET ://a/ HTTP/1.1", Refused(Target)),
    // RFC 9112 §3.2.2: the authority of the target counts and not that of Host.
    (b"GET http://b/ HTTP/1.1", Taken("GET http://b/ ")),
    (b"OPTIONS * HTTP/1.1", Taken("OPTIONS * ")),
    (b"CONNECT / HTTP/1.1", Refused(Target)),
    (b"CONNECT a HTTP/1.1", Refused(Target)),
    (b"CONNECT http://a:80/ HTTP/1.1", Refused(Target)),
    (b"CONNECT u@a:80 HTTP/1.1", Refused(Target)),
];

#[test]
fn request_lines() {
    check_each(b"", LINES, b"\r\nHost: a\r\n\r\n");
}

/// Octets before a request.
const BEFORE: &[(&[u8], Verdict)] = &[
    // RFC 9112 §2.2: "a server ... SHOULD ignore at least one empty line (CRLF) received prior to the request-line."
    (b"\r\n", Taken("GET / ")),
    (b"\r\n\r\n", Taken("GET / ")),
    (b"\n", Refused(BareLineEnd)),
    (b"\r", Refused(BareLineEnd)),
    (b"\r\r\n", Refused(BareLineEnd)),
    (b"\n\r\n", Refused(BareLineEnd)),
    (b" \r\n", Refused(RequestLine)),
    (b"\t\r\n", Refused(RequestLine)),
    (b"\0", Refused(RequestLine)),
    (b"\r\n ", Refused(RequestLine)),
    (b"x\r\n", Refused(RequestLine)),
    (b"0\r\n\r\n", Refused(RequestLine)),
];

#[test]
fn what_stands_before_a_request() {
    check_each(b"", BEFORE, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
}

/// Whole requests.
const WHOLE: &[(&[u8], Verdict)] = &[
    // Ends of lines.
    (b"GET / HTTP/1.1\nHost: a\r\n\r\n", Refused(BareLineEnd)),
    (b"GET / HTTP/1.1\rHost: a\r\n\r\n", Refused(BareLineEnd)),
    (b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", Refused(BareLineEnd)),
    (b"GET / HTTP/1.1\r\nHost: a\n\r\n", Refused(BareLineEnd)),
    (b"GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", Refused(BareLineEnd)),
    (b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", Refused(BareLineEnd)),
    // The end of the head: a line that only begins with CR, or that is empty but for white space.
    (b"GET / HTTP/1.1\r\nHost: a\r\n\n", Refused(BareLineEnd)),
    (b"GET / HTTP/1.1\r\nHost: a\r\n\rX", Refused(BareLineEnd)),
    (b"GET / HTTP/1.1\r\nHost: a\r\n\r\r\n", Refused(BareLineEnd)),
    (b"GET / HTTP/1.1\nHost: a\n\n", Refused(BareLineEnd)),
    (b"GET / HTTP/1.1\r\nHost: a\r\n \r\n\r\n", Refused(FieldLine)),
    (b"GET / HTTP/1.1\r\nHost: a\r\n\t\r\n\r\n", Refused(FieldLine)),
    // The first field line that is a continuation, of the request line perhaps.
    (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", Refused(FieldLine)),
    (b"GET / HTTP/1.1\r\n\tHost: a\r\nHost: b\r\n\r\n", Refused(FieldLine)),
    // HTTP/0.9 has no version and no fields.
    (b"GET /\r\n", Refused(RequestLine)),
    (b"GET /\r\nHost: a\r\n\r\n", Refused(RequestLine)),
    // Host, which is what routes.
    (b"GET / HTTP/1.1\r\n\r\n", Refused(Host)),
    (b"GET http://a/ HTTP/1.1\r\n\r\n", Refused(Host)),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Refused(Host)),
    (b"GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", Refused(Host)),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost:\r\n\r\n", Refused(Host)),
    (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Refused(Host)),
    (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", Refused(Host)),
    (b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", Refused(Host)),
    (b"GET / HTTP/1.1\r\nHost: a?b\r\n\r\n", Refused(Host)),
    (b"GET / HTTP/1.1\r\nHost: a#b\r\n\r\n", Refused(Host)),
    (b"GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n", Refused(Host)),
    (b"GET / HTTP/1.1\r\nHost: a:+80\r\n\r\n", Refused(Host)),
    (b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", Refused(Host)),
    (b"GET / HTTP/1.1\r\nHost: http://a\r\n\r\n", Refused(Host)),
    (b"GET / HTTP/1.1\r\nHost: \xe9\r\n\r\n", Refused(Host)),
    (b"GET / HTTP/1.1\r\nHost: a:\r\n\r\n", Taken("GET / ")),
    (b"GET / HTTP/1.1\r\nHost:a\r\n\r\n", Taken("GET / ")),
    (b"GET / HTTP/1.1\r\nHost:\t a \t\r\n\r\n", Taken("GET / ")),
    (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", Taken("GET / ")),
    // HTTP/1.0: no keep-alive unless asked for, no Host, and no content without a length.
    (b"GET / HTTP/1.0\r\n\r\n", Last("GET / ")),
    (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", Taken("GET / ")),
    (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", Refused(Host)),
    (b"POST / HTTP/1.0\r\n\r\n", Refused(LengthRequired)),
    (b"POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello", Last("POST / hello")),
    // What Connection may say.
    (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", Last("GET / ")),
    (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: CLOSE\r\n\r\n", Last("GET / ")),
    (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, close\r\n\r\n", Last("GET / ")),
    (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", Last("GET / ")),
    (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n", Last("GET / ")),
    (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n", Taken("GET / ")),
    (b"GET / HTTP/1.1\r\nHost: a\r\nConnection:\r\n\r\n", Taken("GET / ")),
];

#[test]
fn whole_requests() {
    for (input, verdict) in WHOLE {
        check(input, *verdict);
    }
}
