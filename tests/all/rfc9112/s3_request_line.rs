//! RFC 9112 §3: request lines, targets and `Host`.

use crate::support::{NEXT, codes, defaults, refused, served, taken};
use lws_proto::http::{Head, Method, Target};
use lws_proto::{Cause, Event, Misuse, Payload, Request, Violation};
use tests::application::{NO_FIELDS, Silent};
use tests::endpoint::Buffer;
use tests::{Endpoint, Seen};

fn violates(input: impl AsRef<[u8]>, violation: Violation) {
    refused(input, violation.status(), Cause::Violation(violation));
}

#[test]
fn a_request_line_is_three_words_with_single_spaces() {
    // RFC 9112 §3: "request-line = method SP request-target SP HTTP-version". "Recipients of an invalid request-line SHOULD respond with
    // either a 400 (Bad Request) error or a 301 (Moved Permanently) redirect ... A recipient SHOULD NOT attempt to autocorrect".
    for line in [
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        " GET / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET\t/ HTTP/1.1",
        "GET /\tHTTP/1.1",
        "GET / a HTTP/1.1",
        "GET /",
        "GET",
        "GET ",
        "GET HTTP/1.1",
        "/ HTTP/1.1",
        " / HTTP/1.1",
        "GET / ",
        "GET / HTTP/1.1\x0b",
    ] {
        violates(format!("{line}\r\nHost: a\r\n\r\n"), Violation::RequestLine);
    }
}

#[test]
fn a_method_is_any_token() {
    // RFC 9110 §9.1: "method = token"; "The method token is case-sensitive". What it means is the application's to say.
    for method in [
        "GET", "POST", "DELETE", "OPTIONS", "TRACE", "PATCH", "PUT", "BREW", "get", "M-SEARCH", "X_y.z~!",
        "A",
    ] {
        let delivered = taken(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
        let Seen::Request { method: seen, .. } = &delivered.seen.0[0] else { panic!("{delivered:?}") };
        assert_eq!(seen, method);
    }
    for method in ["G(T", "G/T", "G\"T", "\u{e9}", "G\0T", "G@T", "G:T", "[GET]", "{GET}", "G,T", "G;T"] {
        violates(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"), Violation::RequestLine);
    }
}

#[test]
fn a_request_without_one_valid_host_is_400() {
    // RFC 9112 §3.2: "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request message that lacks a Host
    // header field and to any request message that contains more than one Host header field line or a Host header field with an invalid
    // field value."
    violates("GET / HTTP/1.1\r\n\r\n", Violation::Host);
    violates("GET / HTTP/1.1\r\nX: a\r\n\r\n", Violation::Host);
    violates("GET http://a/ HTTP/1.1\r\n\r\n", Violation::Host);
    violates("OPTIONS * HTTP/1.1\r\n\r\n", Violation::Host);
    violates("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Violation::Host);
    violates("GET / HTTP/1.1\r\nHost: a\r\nX: b\r\nhOST: b\r\n\r\n", Violation::Host);
    violates("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", Violation::Host);
    for host in [
        "a b", "a/b", "a?b", "a#b", "u@a", "a:b", "a:-1", "a:65536", "a:80:80", ":80", "[::1", "::1",
        "[::1]x", "[]", "a%", "a%2", "a%zz", "\u{e9}", "a\\b", "http://a", "\"a\"", "a<b", "a b:80",
        "a, b c",
    ] {
        violates(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), Violation::Host);
    }
    // RFC 9110 §7.2: it may be empty where the target has no authority.
    for host in [
        "",
        "a",
        "a.example:80",
        "a:",
        "127.0.0.1:7681",
        "[::1]:80",
        "[2001:db8::1]",
        "xn--a.b",
        "a_b",
        "A%41",
        "a,b",
        "\t a \t",
    ] {
        taken(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    }
    // An HTTP/1.0 client need not send it.
    assert_eq!(codes(&served("GET / HTTP/1.0\r\n\r\n")), [200]);
}

#[test]
fn each_method_has_its_forms_of_target() {
    // RFC 9112 §3.2.1 to §3.2.4: the origin form; the absolute form, which "a server MUST accept ... in requests even though most HTTP/1.1
    // clients will only send the absolute-form to a proxy"; the authority form, "only used for CONNECT requests"; the asterisk form,
    // "only used for a server-wide OPTIONS request".
    let check = |method: &str, target: &str| taken(format!("{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    for target in [
        "/",
        "/a/b?c=d&e",
        "//a",
        "/?",
        "/a?b?c",
        "/%00%zz",
        "/a;b,c'(d)*!$",
        "/\"<>\\^`{|}",
        "http://a/",
        "http://a",
        "HTTP://a:80/b?c",
        "http://[::1]:8/",
    ] {
        let delivered = check("GET", target);
        let Seen::Request { target: seen, .. } = &delivered.seen.0[0] else { panic!("{delivered:?}") };
        assert_eq!(seen, target);
    }
    check("OPTIONS", "*");
    check("OPTIONS", "http://a");
    check("BREW", "/");
    for (method, target) in [
        ("GET", "*"),
        ("POST", "*"),
        ("GET", "a:80"),
        ("GET", "a"),
        ("GET", "?a"),
        ("GET", "/a#b"),
        ("GET", "http://"),
        ("GET", "http:///a"),
        ("GET", "://a/"),
        ("GET", "http:/a"),
        ("GET", "http://u:p@a/"),
        ("GET", "http://a b/"),
        ("OPTIONS", "**"),
        // RFC 9110 §9.3.6: "A server MUST reject a CONNECT request that targets an empty or invalid port number, typically by responding
        // with a 400 (Bad Request) status code."
        ("CONNECT", "/"),
        ("CONNECT", "a"),
        ("CONNECT", "a:"),
        ("CONNECT", ":80"),
        ("CONNECT", "a:65536"),
        ("CONNECT", "a:x"),
        ("CONNECT", "*"),
        ("CONNECT", "http://a:80/"),
    ] {
        let violation = if target.contains(' ') { Violation::RequestLine } else { Violation::Target };
        violates(format!("{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n"), violation);
    }
}

#[test]
fn a_target_has_visible_ascii_only() {
    // RFC 9112 §3.2: "No whitespace is allowed in the request-target."
    for target in ["/\u{e9}", "/\x7f", "/a\x01", "/\0"] {
        let delivered = served(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(codes(&delivered), [400], "{target:?}");
        assert_eq!(delivered.seen.count(|seen| matches!(seen, Seen::Request { .. })), 0);
    }
}

#[test]
fn an_absolute_target_overrides_host() {
    // RFC 9112 §3.2.2: "When an origin server receives a request with an absolute-form of request-target, the origin server MUST ignore the
    // received Host header field (if any) and instead use the host information of the request-target."
    let authority = |request: &str| {
        let mut seen = None;
        let app = |event: Event<'_>| {
            if let Event::Request { head, .. } = event {
                seen = head.authority().map(|authority| (authority.host().to_owned(), authority.port()));
            }
        };
        Endpoint::server(defaults(), app).receive(request.as_bytes(), Buffer::Lent);
        seen
    };
    assert_eq!(authority("GET http://b:8/c HTTP/1.1\r\nHost: a\r\n\r\n"), Some(("b".into(), Some(8))));
    assert_eq!(authority("GET http://b HTTP/1.1\r\nHost: a:9\r\n\r\n"), Some(("b".into(), None)));
    assert_eq!(authority("GET /c HTTP/1.1\r\nHost: a:9\r\n\r\n"), Some(("a".into(), Some(9))));
    assert_eq!(authority("CONNECT b:8 HTTP/1.1\r\nHost: a:9\r\n\r\n"), Some(("b".into(), Some(8))));
    assert_eq!(authority("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), Some(("a".into(), None)));
}

#[test]
fn the_path_keeps_what_others_split_at() {
    // Semicolons, ampersands and plus signs are part of a path, and escapes stay until the application asks for names.
    let look = |target: &str, look: &dyn Fn(&Head<'_>)| {
        let app = |event: Event<'_>| {
            if let Event::Request { head, .. } = event {
                look(&head);
            }
        };
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        Endpoint::server(defaults(), app).receive(request.as_bytes(), Buffer::Lent);
    };
    for (target, path, query) in [
        ("/a;b.html", "/a;b.html", None),
        ("/c&d.html?e&f;g", "/c&d.html", Some("e&f;g")),
        ("/a+b%20c", "/a+b%20c", None),
        ("/?", "/", Some("")),
        ("http://h?q", "/", Some("q")),
    ] {
        look(target, &|head| {
            assert_eq!((head.path(), head.query()), (path, query), "{target}");
            assert_eq!(head.method(), Method::Get);
            assert!(matches!(head.parsed_target(), Some(Target::Origin { .. } | Target::Absolute { .. })));
        });
    }
}

#[test]
fn a_client_writes_what_a_server_understands() {
    // RFC 9112 §3.2: "A client MUST send a Host header field ... in all HTTP/1.1 request messages." RFC 9112 §3.2.1: "If the target URI's
    // path component is empty, the client MUST send "/" as the path": a request without a path is a misuse.
    let request = |request: &Request<'_>| {
        let mut client = Endpoint::client(defaults(), Silent);
        let misuse =
            client.connection.request(client.now, request, NO_FIELDS, Payload::Static(b""), true).err();
        client.settle();
        (misuse, String::from_utf8(client.take_sent()).expect("ASCII"))
    };
    let (misuse, sent) = request(&Request::get("a.example:8", "/b?c"));
    assert_eq!(misuse, None);
    assert_eq!(sent, "GET /b?c HTTP/1.1\r\nHost: a.example:8\r\n\r\n");
    for (method, target, host, expected) in [
        ("GET", "", "a", Misuse::StartLine),
        ("GET", "a", "a", Misuse::StartLine),
        ("GET", "/a b", "a", Misuse::StartLine),
        ("GET", "/\r\nX: y", "a", Misuse::StartLine),
        ("GET", "*", "a", Misuse::StartLine),
        ("G T", "/", "a", Misuse::StartLine),
        ("", "/", "a", Misuse::StartLine),
        ("CONNECT", "a", "a", Misuse::StartLine),
        ("GET", "/", "a b", Misuse::Field),
        ("GET", "/", "a\r\nX: y", Misuse::Field),
        ("GET", "/", "u@a", Misuse::Field),
    ] {
        let (misuse, sent) = request(&Request { method, target, host });
        assert_eq!((misuse, &sent[..]), (Some(expected), ""), "{method} {target} {host}");
    }
}

#[test]
fn a_request_after_a_refused_one_is_not_looked_at() {
    let delivered = served(format!("GET  / HTTP/1.1\r\nHost: a\r\n\r\n{NEXT}"));
    assert_eq!(codes(&delivered), [400]);
}
