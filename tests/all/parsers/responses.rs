//! Responses, as a client gets them: a proxy that reads them in another way hands one client what is another's.

use crate::support::defaults;
use lws_proto::Violation::{
    BareLineEnd, Chunk, ContentLength, FieldLine, StatusLine, TransferEncoding, TwoFramings,
    UnexpectedResponse, Version,
};
use lws_proto::{Cause, Payload, Request, Violation};
use tests::application::{NO_FIELDS, Silent};
use tests::{Endpoint, Octets, Seen, deliver_to_end};

/// What a client must make of some octets that answer its GET, with nothing behind them but the end of the connection.
#[derive(Clone, Copy, Debug)]
enum Verdict {
    /// One response: its status code and its content.
    Taken(u16, &'static str),
    /// It breaks this rule.
    Refused(Violation),
    /// It ends too early to be one.
    Cut,
}

use Verdict::{Cut, Refused, Taken};

fn check(input: &[u8], verdict: Verdict) {
    let shown = Octets(input.to_vec());
    let client = || {
        let mut client = Endpoint::client(defaults(), Silent);
        let request = Request::get("a", "/");
        let sent = client.connection.request(client.now, &request, NO_FIELDS, Payload::Static(b""), true);
        sent.expect("a request");
        client.settle();
        client.forget();
        client
    };
    let delivered = deliver_to_end(client, input, true);
    let expected = match verdict {
        Taken(..) => Cause::Complete,
        Refused(violation) => Cause::Violation(violation),
        Cut => Cause::Disconnected,
    };
    assert_eq!(delivered.seen.causes(), [expected], "{shown:?}: {:?}", delivered.seen);
    if let Taken(code, content) = verdict {
        let final_status = delivered.seen.0.iter().rev().find_map(|seen| match seen {
            Seen::Response { status, .. } => Some(*status),
            _ => None,
        });
        assert_eq!(final_status, Some(code), "{shown:?}");
        let got: Vec<u8> = delivered.seen.contents().into_iter().flat_map(|octets| octets.0).collect();
        assert_eq!(Octets(got), content.into(), "{shown:?}");
    }
}

#[test]
fn status_lines() {
    let rows: &[(&[u8], Verdict)] = &[
        (b"HTTP/1.1 200 OK", Taken(200, "hello")),
        (b"HTTP/1.1 200 ", Taken(200, "hello")),
        (b"HTTP/1.1 200", Taken(200, "hello")),
        (b"HTTP/1.1 200 \xe9", Taken(200, "hello")),
        (b"HTTP/1.1 200 a\tb", Taken(200, "hello")),
        (b"HTTP/1.0 200 OK", Taken(200, "hello")),
        (b"HTTP/1.1 999 x", Taken(999, "hello")),
        (b"HTTP/1.1  200 OK", Refused(StatusLine)),
        (b"HTTP/1.1\t200 OK", Refused(StatusLine)),
        (b"HTTP/1.1 20 OK", Refused(StatusLine)),
        (b"HTTP/1.1 0200 OK", Refused(StatusLine)),
        (b"HTTP/1.1 2000 OK", Refused(StatusLine)),
        (b"HTTP/1.1 +20 OK", Refused(StatusLine)),
        (b"HTTP/1.1 099 OK", Refused(StatusLine)),
        (b"HTTP/1.1 2x0 OK", Refused(StatusLine)),
        (b"HTTP/1.1 200OK", Refused(StatusLine)),
        (b"http/1.1 200 OK", Refused(StatusLine)),
        (b"HTTP/1.10 200 OK", Refused(StatusLine)),
        (b"HTTP/1 200 OK", Refused(StatusLine)),
        (b"HTTP/2 200 OK", Refused(StatusLine)),
        (b"HTTP/2.0 200 OK", Refused(Version)),
        (b"ICY 200 OK", Refused(StatusLine)),
        (b" HTTP/1.1 200 OK", Refused(StatusLine)),
        (b"HTTP/1.1 200 O\0K", Refused(StatusLine)),
        (b"HTTP/1.1 200 OK\rX: y", Refused(BareLineEnd)),
        (b"HTTP/1.1 200 OK\nX: y", Refused(BareLineEnd)),
        (b"HTTP/1.1 101 Switching Protocols", Refused(UnexpectedResponse)),
        // Responses without content, whatever their fields say about its length.
        (b"HTTP/1.1 204 No Content", Taken(204, "")),
        (b"HTTP/1.1 304 Not Modified", Taken(304, "")),
    ];
    for (line, verdict) in rows {
        let content: &[u8] = if matches!(verdict, Taken(204 | 304, _)) { b"" } else { b"hello" };
        check(&[line, &b"\r\nContent-Length: 5\r\n\r\n"[..], content].concat(), *verdict);
    }
}

#[test]
fn lengths() {
    let rows: &[(&[u8], Verdict)] = &[
        (b"Content-Length: 5\r\n\r\nhello", Taken(200, "hello")),
        (b"Content-Length: 0\r\n\r\n", Taken(200, "")),
        (b"Content-Length: 6\r\n\r\nhello", Cut),
        (b"Content-Length: +5\r\n\r\nhello", Refused(ContentLength)),
        (b"Content-Length: 0x5\r\n\r\nhello", Refused(ContentLength)),
        (b"Content-Length: 5_\r\n\r\nhello", Refused(ContentLength)),
        (b"Content-Length:\r\n\r\nhello", Refused(ContentLength)),
        (b"Content-Length: ,5\r\n\r\nhello", Refused(ContentLength)),
        (b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", Refused(ContentLength)),
        (b"Content-Length: 18446744073709551621\r\n\r\nhello", Refused(ContentLength)),
        (b"Content-Length : 5\r\n\r\nhello", Refused(FieldLine)),
        (b": x\r\nContent-Length: 5\r\n\r\nhello", Refused(FieldLine)),
        (b"X: a\0\r\nContent-Length: 5\r\n\r\nhello", Refused(FieldLine)),
        (b"X: a\r\n b\r\nContent-Length: 5\r\n\r\nhello", Refused(FieldLine)),
        (b"X: a\nContent-Length: 5\r\n\r\nhello", Refused(BareLineEnd)),
        (b"Content-Length: 5\r\n\nhello", Refused(BareLineEnd)),
        // Up to the end of the connection.
        (b"\r\nhello", Taken(200, "hello")),
        (b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Taken(200, "hello")),
        (b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", Cut),
        (b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", Cut),
        (b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", Refused(Chunk)),
        (b"Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", Refused(Chunk)),
        (b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloxx0\r\n\r\n", Refused(Chunk)),
        (
            b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            Refused(TwoFramings),
        ),
        (b"Transfer-Encoding: chunked, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Refused(TransferEncoding)),
    ];
    for (fields, verdict) in rows {
        check(&[b"HTTP/1.1 200 OK\r\n", *fields].concat(), *verdict);
    }
}

#[test]
fn interim_responses() {
    let last = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    for interim in [
        &b"HTTP/1.1 100 Continue\r\n\r\n"[..],
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n",
    ] {
        check(&[interim, last].concat(), Taken(200, "hello"));
    }
}

#[test]
fn octets_behind_a_response_belong_to_no_exchange() {
    for behind in [&b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother"[..], b"x", b"\0", b"5\r\nother\r\n"]
    {
        let response = [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", behind].concat();
        // The exchange is complete; what follows is not lent to it and not kept for the next one.
        check(&response, Taken(200, "hello"));
    }
}
