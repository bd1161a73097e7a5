//! Routes and HTTP handlers, seen from the other end of a connection.

use crate::common::serve;
use lws_server::files::Files;
use lws_server::http::{Exchange, Handler, Method, Permit, Request, Response, Status};
use lws_server::{Cause, Context, Limits, Origins, Payload, Route, Server};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

fn post(target: &str, content: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        content.len()
    );
    [head.as_bytes(), content].concat()
}

#[test]
fn the_longest_route_at_a_segment_boundary_answers() {
    let server = serve(|builder| {
        builder
            .http("/", |_| Response::text("root"))
            .http("/api", |_| Response::text("api"))
            .http("/api/v2", |_| Response::text("v2"))
    });
    for (target, expected) in [
        ("/", "root"),
        ("/other?x=/api", "root"),
        ("/api", "api"),
        ("/api/", "api"),
        ("/api?x", "api"),
        ("/apix", "root"),
        ("/api/v2/x", "v2"),
        ("/api/v22", "api"),
        ("/api/v2/..", "api"),
        ("/%61pi", "api"),
        ("//api", "api"),
        ("/x/../api/./v2", "v2"),
        ("http://localhost/api", "api"),
        ("http://localhost", "root"),
    ] {
        assert_eq!(server.get(target).text(), expected, "{target}");
    }
}

#[test]
fn what_no_route_answers_is_explained() {
    let server = serve(|builder| {
        builder
            .get("/page", |_| Response::text("page"))
            .post("/page", |_| Response::text("posted"))
            .ws("/chat", |_| Silent)
    });
    let check = |method: &str, target: &str, status: u16, field: Option<(&str, &str)>| {
        let answer = server.request(method, target, "");
        assert_eq!(answer.status, status, "{method} {target}");
        if let Some((name, value)) = field {
            assert_eq!(answer.field(name), Some(value), "{method} {target}");
        }
    };
    check("GET", "/page", 200, None);
    check("HEAD", "/page", 200, Some(("content-length", "4")));
    check("GET", "/none", 404, None);
    check("GET", "/", 404, None);
    check("DELETE", "/page", 405, Some(("allow", "GET, HEAD, POST, OPTIONS")));
    check("BREW", "/page", 501, None);
    check("OPTIONS", "/page", 204, Some(("allow", "GET, HEAD, POST, OPTIONS")));
    check("OPTIONS", "*", 204, None);
    check("GET", "/chat", 426, Some(("upgrade", "websocket")));
    check("GET", "/../page", 400, None);
    check("GET", "/a%2fb", 404, None);
    check("GET", "/page%2fb", 404, None);
    check("GET", "/page/%2fb", 200, None);
    check("GET", "/a%zz", 400, None);
    check("CONNECT", "localhost:80", 405, Some(("allow", "OPTIONS")));
    // RFC 9110 §15.6.2: 501 is for an unknown method; QUERY is a known one since RFC 10008.
    for known in ["QUERY", "PATCH", "TRACE", "PROPFIND", "VERSION-CONTROL"] {
        check(known, "/page", 405, Some(("allow", "GET, HEAD, POST, OPTIONS")));
    }
    check("DELETE", "/chat", 405, Some(("allow", "GET, OPTIONS")));
    check("OPTIONS", "/chat", 204, Some(("allow", "GET, OPTIONS")));
    check("BREW", "/chat", 501, None);
}

#[test]
fn a_method_is_allowed_once_however_often_it_was_said() {
    let server = serve(|builder| {
        builder
            .ws("/", |_| Silent)
            .methods(&[Method::Query, Method::Options, Method::Query], "/", |request| {
                Response::text(format!("{} {}", request.method(), request.content().len()))
            })
            .post("/", |_| Response::text("posted"))
    });
    let refused = server.request("DELETE", "/", "");
    assert_eq!((refused.status, refused.field("allow")), (405, Some("GET, QUERY, OPTIONS, POST")));
    // Without an upgrade the WebSocket is what is missing. RFC 9110 §15.5.22.
    assert_eq!(server.get("/").field("upgrade"), Some("websocket"));
    let query = post("/", b"abc").iter().map(|byte| char::from(*byte)).collect::<String>();
    assert_eq!(server.ask(query.replacen("POST", "QUERY", 1)).text(), "QUERY 3");
}

#[test]
fn handlers_see_the_path_that_was_routed() {
    fn told(request: &Request<'_>) -> Response {
        let text = format!("{} {} {}", request.path(), request.raw_path(), request.target());
        Response::text(text)
    }
    let server =
        serve(|builder| builder.get("/", told).post("/", told).get("/a/b%2Fc", |_| Response::text("exact")));
    for (target, path) in [
        ("/", "/"),
        ("/x", "/x"),
        ("/%61pi/x", "/api/x"),
        ("//a///b", "/a/b"),
        ("/x/../admin?y", "/admin"),
        ("/a%2fb", "/a%2Fb"),
        ("/a%2e%2e%2fb", "/a..%2Fb"),
        ("/a%252fb", "/a%252fb"),
        ("/a%5cb\\c", "/a%5Cb%5Cc"),
        ("/a%0d%0ab%00", "/a%0D%0Ab%00"),
        ("/J%C3%BCrgen%20%ff", "/J\u{fc}rgen %FF"),
        ("/.%2e", ""),
    ] {
        let raw = target.split('?').next().unwrap_or_default();
        let answer = server.get(target);
        if path.is_empty() {
            assert_eq!(answer.status, 400, "{target}");
            continue;
        }
        assert_eq!(answer.text(), format!("{path} {raw} {target}"), "{target}");
        // The same where content had to be waited for.
        assert_eq!(server.ask(post(target, b"hi")).text(), format!("{path} {raw} {target}"), "{target}");
    }
    assert_eq!(server.get("/a/b%2fc/d").text(), "exact");
    assert_eq!(server.get("http://localhost?q").text(), "/ / http://localhost?q");
}

#[test]
fn a_server_on_a_loopback_address_answers_for_local_names_only() {
    let local = |name: &str| format!("GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
    let server = serve(|builder| builder.http("/", |_| Response::text("here")).ws("/chat", |_| Silent));
    for name in ["localhost", "LOCALHOST.:1", "127.0.0.1", "127.0.0.1:80", "[::1]:7681", "127.1.2.3"] {
        assert_eq!(server.ask(local(name)).text(), "here", "{name}");
    }
    let foreign =
        ["evil.example", "0.0.0.0", "0.0.0.0:7681", "[::]", "localhost.evil.example", "127.0.0.1.nip.io", ""];
    for name in foreign {
        for request in [
            local(name),
            local(name).replace("GET", "POST").replace("\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n"),
            local(name).replace("GET /", "OPTIONS *"),
            local(name).replace("GET", "BREW"),
            local(name).replace("GET /", "GET /chat").replace(
                "Connection: close",
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            ),
        ] {
            let mut peer = server.connect();
            peer.send(&request);
            assert!(peer.head().starts_with(b"HTTP/1.1 421 "), "{request}");
        }
    }
    for target in ["http://evil.example/", "http://evil.example/chat"] {
        assert_eq!(server.request("GET", target, "").status, 421, "{target}");
    }
    assert_eq!(server.request("CONNECT", "evil.example:80", "").status, 421);
    // No browser speaks HTTP/1.0 without a name.
    assert_eq!(server.ask("GET / HTTP/1.0\r\n\r\n").text(), "here");

    let named = serve(|builder| builder.host("a.example").get("/", |_| Response::text("here")));
    for (name, status) in [("a.example", 200), ("localhost", 200), ("b.example", 421)] {
        assert_eq!(named.ask(local(name)).status, status, "{name}");
    }
    let any = serve(|builder| builder.any_host().get("/", |_| Response::text("here")));
    assert_eq!(any.ask(local("evil.example")).status, 200);
    // An address that others reach, too, is no loopback address.
    let open = serve(|builder| builder.listen("0.0.0.0:0").get("/", |_| Response::text("here")));
    let mut peer = std::net::TcpStream::connect(("127.0.0.1", open.addresses[1].port())).expect("it listens");
    std::io::Write::write_all(&mut peer, local("a.example").as_bytes()).expect("it reads");
    let answer = std::io::read_to_string(&mut peer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(open.ask(local("a.example")).status, 421, "the listener beside it is one");
}

#[test]
fn pages_of_other_origins_open_no_websocket_and_change_nothing() {
    let server = serve(|builder| {
        let listed = ["https://a.example", "http://b.example:81", "null"].map(String::from).to_vec();
        builder
            .http("/own", |_| Response::text("own"))
            .ws("/own/chat", |_| Silent)
            .route(Route::http("/open", |_| Response::text("open")).origins(Origins::Any))
            .route(Route::http("/listed", |_| Response::text("listed")).origins(Origins::SameAnd(listed)))
            .route(Route::ws("/open/chat", |_| Silent).origins(Origins::Any))
            .same_origin()
    });
    let port = server.address.port();
    let own = format!("http://localhost:{port}");
    let ask = |method: &str, target: &str, fields: &str| {
        server.ask(format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\nContent-Length: 0\r\n{fields}\r\n"
        ))
    };
    let open = |target: &str, fields: &str| {
        let mut peer = server.connect();
        peer.send(format!(
            "GET {target} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{fields}\r\n"
        ));
        let head = String::from_utf8(peer.head()).expect("ASCII");
        head[9..12].parse::<u16>().expect("a status code")
    };
    let others = [
        "Origin: http://evil.example\r\n".to_owned(),
        "Origin: null\r\n".into(),
        "Origin: \r\n".into(),
        format!("Origin: https://localhost:{port}\r\n"),
        "Origin: http://localhost\r\n".into(),
        format!("Origin: {own}/\r\n"),
        format!("Origin: {own}\r\nOrigin: {own}\r\n"),
        "Sec-Fetch-Site: cross-site\r\n".into(),
        "Sec-Fetch-Site: same-site\r\n".into(),
    ];
    for fields in &others {
        for method in ["POST", "PUT", "DELETE", "PATCH", "BREW"] {
            assert_eq!(ask(method, "/own", fields).status, 403, "{method} {fields}");
        }
        assert_eq!(open("/own/chat", fields), 403, "{fields}");
        for method in ["GET", "HEAD", "OPTIONS", "QUERY"] {
            assert_eq!(ask(method, "/own", fields).status, 200, "{method} {fields} is safe");
        }
        assert_eq!(ask("POST", "/open", fields).status, 200, "{fields}");
        assert_eq!(open("/open/chat", fields), 101, "{fields}");
    }
    for fields in [String::new(), format!("Origin: {own}\r\n"), format!("Origin: {}\r\n", own.to_uppercase())]
    {
        assert_eq!(ask("POST", "/own", &fields).text(), "own", "{fields}");
        assert_eq!(open("/own/chat", &fields), 101, "{fields}");
        assert_eq!(ask("POST", "/listed", &fields).text(), "listed", "{fields}");
    }
    for (origin, status) in [
        ("https://a.example", 200),
        ("https://a.example:443", 200),
        ("http://b.example:81", 200),
        ("null", 200),
        ("http://a.example", 403),
        ("https://a.example:8443", 403),
        ("http://b.example", 403),
    ] {
        assert_eq!(ask("POST", "/listed", &format!("Origin: {origin}\r\n")).status, status, "{origin}");
    }
    for origin in ["a.example", "https://a.example/", "*", ""] {
        assert!(Server::builder().listen("127.0.0.1:0").origins([origin]).build().is_err(), "{origin}");
    }
}

#[test]
fn an_upgrade_to_http_2_is_taken_where_it_was_asked_for() {
    let asks = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: \r\n\r\n";
    for (allowed, status) in [(false, "200"), (true, "101")] {
        let server = serve(move |builder| {
            let builder = if allowed { builder.upgrade_to_http2() } else { builder };
            builder.get("/", |_| Response::text("here"))
        });
        let mut peer = server.connect();
        peer.send(asks);
        let head = String::from_utf8(peer.head()).expect("ASCII");
        assert_eq!(&head[9..12], status);
    }
}

#[test]
fn an_opening_with_content_is_answered_and_its_connection_ends() {
    let server = serve(|builder| builder.ws("/chat", |_| Silent));
    let opening = |framing: &str| {
        format!(
            "GET /chat HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{framing}\r\n\r\n"
        )
    };
    for framing in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
        assert_eq!(server.ask(opening(framing)).status, 400, "{framing}");
        assert_eq!(server.ask(opening(framing) + "hello").status, 400, "{framing}");
    }
}

#[test]
fn a_handler_hears_that_its_peer_has_ended_its_direction_and_the_exchange_ends() {
    struct Waits(Sender<&'static str>);
    impl Handler for Waits {
        fn open(&mut self, _: &mut Context<'_>, _: Exchange<'_>, _: bool) {
            let _ = self.0.send("open");
        }

        fn peer_ended(&mut self, _: &mut Context<'_>, _: Exchange<'_>) {
            let _ = self.0.send("peer ended");
        }

        fn close(&mut self, _: &mut Context<'_>, cause: Cause) {
            let _ = self.0.send(cause.name());
        }
    }
    let (says, hears) = channel();
    let server = serve(move |builder| {
        let limits = Limits { half_closed_timeout: Duration::from_millis(50), ..Limits::default() };
        let waits = move |_: &Request<'_>| Waits(says.clone());
        builder
            .limits(limits)
            .get("/poll", waits.clone())
            .route(Route::get("/kept", waits).keep_half_closed(true))
    });
    let next = || hears.recv_timeout(Duration::from_secs(10)).expect("the handler hears something");
    let ask = |target: &str| {
        let mut peer = server.connect();
        peer.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        assert_eq!(next(), "open");
        peer.0.shutdown(std::net::Shutdown::Write).expect("the direction ends");
        assert_eq!(next(), "peer ended");
        peer
    };
    let mut peer = ask("/poll");
    assert_eq!(next(), "half_closed_timeout");
    assert_eq!(peer.rest(), b"");
    let _kept = ask("/kept");
    assert!(hears.recv_timeout(Duration::from_millis(500)).is_err(), "it is kept");
}

#[test]
fn a_request_for_another_server_is_misdirected() {
    let server =
        serve(|builder| builder.host("localhost").host("[::1]").get("/", |_| Response::text("here")));
    for (target, status) in [
        ("/", 200),
        ("http://localhost/", 200),
        ("http://LOCALHOST.:1/", 200),
        ("http://[::1]:7681/", 200),
        ("http://example.com/", 421),
        ("http://sub.localhost/", 421),
        ("https://localhost/", 421),
    ] {
        assert_eq!(server.request("GET", target, "").status, status, "{target}");
    }
    let everywhere = serve(|builder| builder.any_host().get("/", |_| Response::text("here")));
    assert_eq!(everywhere.request("GET", "http://example.com/", "").status, 200);
    assert_eq!(everywhere.request("GET", "https://example.com/", "").status, 421);
    assert!(Server::builder().host("a b").build().is_err());
    assert!(Server::builder().host("localhost:80").build().is_err());
}

#[test]
fn a_target_without_a_path_has_no_route_at_all() {
    let server = serve(|builder| builder.http("/", |_| Response::text("any method")));
    assert_eq!(server.request("BREW", "/", "").status, 200);
    assert_eq!(server.request("OPTIONS", "*", "").status, 204);
    assert_eq!(server.request("CONNECT", "localhost:80", "").status, 405);
}

struct Silent;
impl lws_server::ws::Handler for Silent {}

#[test]
fn a_plain_handler_gets_head_and_content() {
    let server = serve(|builder| {
        builder.http("/", |request: &Request<'_>| {
            let content = String::from_utf8_lossy(request.content()).into_owned();
            let (method, path) = (request.method_name(), request.path());
            let (query, x) = (request.query(), request.text("x-field"));
            Response::text(format!("{method} {path} {query:?} {x:?} {content}")).field("X-Answer", "yes")
        })
    });
    let answer = server.request("GET", "/a%20b?c=d", "X-FIELD: 1\r\n");
    assert_eq!(answer.text(), "GET /a b Some(\"c=d\") Some(\"1\") ");
    assert_eq!(answer.field("x-answer"), Some("yes"));
    assert_eq!(answer.field("content-type"), Some("text/plain; charset=utf-8"));
    assert!(answer.field("date").is_some());

    assert_eq!(server.ask(post("/p", b"some content")).text(), "POST /p None None some content");
    let chunked = "POST /c HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Field: 2\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n";
    assert_eq!(server.ask(chunked).text(), "POST /c None Some(\"2\") abcdef");
}

#[test]
fn content_is_gathered_up_to_its_limit_and_not_past_it() {
    let server = serve(|builder| {
        builder.content_bytes_max(8).post("/", |request| Response::text(request.content().len().to_string()))
    });
    assert_eq!(server.ask(post("/", b"12345678")).text(), "8");
    assert_eq!(server.ask(post("/", b"123456789")).status, 413);
    let chunked = "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n12345678\r\n1\r\n9\r\n0\r\n\r\n";
    assert_eq!(server.ask(chunked).status, 413);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server =
        serve(|builder| builder.get("/", |request| Response::text(request.query().unwrap_or("").to_owned())));
    let mut requests = String::new();
    for number in 0..50 {
        requests += &format!("GET /?{number} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    requests += "GET /?last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut peer = server.connect();
    peer.send(requests);
    let answers = String::from_utf8(peer.rest()).expect("ASCII");
    let contents: Vec<_> =
        answers.split("\r\n\r\n").skip(1).map(|part| part.split("HTTP/1.1").next()).collect();
    let expected: Vec<_> = (0..50).map(|number| number.to_string()).chain(["last".into()]).collect();
    assert_eq!(contents, expected.iter().map(|text| Some(text.as_str())).collect::<Vec<_>>());
}

#[test]
fn a_factory_may_refuse() {
    let server = serve(|builder| {
        builder.get("/", |request| match request.get("authorization") {
            Some(_) => Ok(Response::text("in")),
            None => Err(Response::error(Status::UNAUTHORIZED).field("WWW-Authenticate", "Basic")),
        })
    });
    let refused = server.get("/");
    assert_eq!((refused.status, refused.field("www-authenticate")), (401, Some("Basic")));
    assert_eq!(server.request("GET", "/", "Authorization: x\r\n").text(), "in");
}

#[test]
fn a_response_that_cannot_be_written_is_a_500() {
    let server = serve(|builder| builder.get("/", |_| Response::text("x").field("X-Bad", "a\r\nb: c")));
    assert_eq!(server.get("/").status, 500);
}

/// Counts up, a line for each permit, then a timer, then the end.
struct Slow {
    left: u32,
}

impl Handler for Slow {
    fn open(&mut self, cx: &mut Context<'_>, mut exchange: Exchange<'_>, _: bool) {
        exchange.set_timeout(Some(cx.now() + Duration::from_millis(1)));
    }

    fn timer(&mut self, _: &mut Context<'_>, exchange: Exchange<'_>) {
        let Ok(permit) = exchange.permit() else { return };
        let begun = permit.respond(Status::OK, [("X-Slow", "yes")], Payload::Static(b""), false);
        begun.expect("a response is due").again();
    }

    fn writable(&mut self, _: &mut Context<'_>, permit: Permit<'_>) {
        self.left -= 1;
        let line = format!("{}\n", self.left);
        let sent = permit.data(Payload::Copy(line.as_bytes()), self.left == 0).expect("content is due");
        if self.left > 0 {
            sent.again();
        }
    }
}

#[test]
fn a_streaming_handler_answers_when_it_likes() {
    let server = serve(|builder| builder.get("/", |_| Slow { left: 3 }));
    let answer = server.get("/");
    assert_eq!(answer.field("transfer-encoding"), Some("chunked"));
    assert_eq!(answer.text(), "2\r\n2\n\r\n2\r\n1\n\r\n2\r\n0\n\r\n0\r\n\r\n");
}

#[test]
fn each_request_is_logged_once_and_the_end_of_a_websocket_too() {
    let (sender, records) = channel();
    let server = serve(|builder| {
        builder
            .get("/page", |_| Response::text("Hello"))
            .ws("/ws", |_| Silent)
            .access_log(move |record| sender.send(record.to_string()).expect("the test listens"))
    });
    server.request("GET", "/page?a", "User-Agent: tester\r\nReferer: /b\r\n");
    server.get("/none");
    server.ask("nonsense\r\n\r\n");
    server.open("/ws", "");
    let line = || records.recv_timeout(Duration::from_secs(10)).expect("a record");
    for expected in [
        ["\"GET /page?a HTTP/1.1\" 200 5 \"/b\" \"tester\" ", " complete"],
        ["\"GET /none HTTP/1.1\" 404 ", ""],
        ["\"-\" 400 0 \"-\" \"-\" ", " request_line"],
        ["\"GET /ws HTTP/1.1\" 101 0 ", " websocket"],
        // The peer has gone by now.
        ["\"GET /ws HTTP/1.1\" 101 0 ", " in=0/0 out=0/0"],
    ] {
        let line = line();
        assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
        assert!(expected.iter().all(|part| line.contains(part)), "{line} has {expected:?}");
    }
    drop(server);
    assert!(records.recv().is_err());
}

#[test]
fn a_description_that_makes_no_sense_is_refused_when_it_is_built() {
    let check = |builder: lws_server::Builder, part: &str| {
        let error = builder.build().expect_err(part).to_string();
        assert!(error.contains(part), "{error} has {part}");
    };
    check(Server::builder().get("relative", |_| Response::text("")), "relative");
    check(Server::builder().get("/a", |_| Response::text("")).get("/a/", |_| Response::text("")), "twice");
    check(Server::builder().ws("/a", |_| Silent).ws("/a", |_| Silent), "twice");
    check(Server::builder().files("/", "/no/such/directory"), "/no/such/directory");
    check(Server::builder().listen("127.0.0.1"), "127.0.0.1");
    check(Server::builder().get("/", |_| Response::text("")), "listens nowhere");
    for pattern in ["/users/:id", "/users/{id}x", "/files/*", "/a?b"] {
        check(Server::builder().listen("127.0.0.1:0").get(pattern, |_| Response::text("")), "a pattern has");
        check(Server::builder().listen("127.0.0.1:0").ws(pattern, |_| Silent), pattern);
        check(Server::builder().listen("127.0.0.1:0").mount(pattern, Files::assets(&[])), pattern);
    }
    let conflict = Server::builder().get("/{a}/x", |_| Response::text(""));
    check(conflict.post("/{b}/x", |_| Response::text("")), "the same paths as /{a}/x");
    let methods = Server::builder()
        .listen("127.0.0.1:0")
        .methods(&[Method::Put], "/a", |_| Response::text(""))
        .post("/a", |_| Response::text(""));
    assert!(methods.build().is_ok());
}

#[test]
fn limits_out_of_range_are_refused_when_the_server_is_built() {
    use lws_server::{Limits, OutOfRange};
    type Change = fn(&mut Limits);
    let rows: [(&str, Change); 4] = [
        ("h2_connection_window", |limits| limits.h2_connection_window = 1),
        ("h2_connection_window", |limits| limits.h2_connection_window = u32::MAX),
        ("field_lines_max", |limits| limits.field_lines_max = 1_000),
        ("ping_interval", |limits| limits.ping_interval = Duration::ZERO),
    ];
    for (field, change) in rows {
        let mut limits = Limits::default();
        change(&mut limits);
        let built = Server::builder().listen("127.0.0.1:0").limits(limits).build();
        let error = built.expect_err(field);
        assert!(error.to_string().starts_with(&format!("{field} is ")), "{error}");
        let inner = error.get_ref().and_then(|error| error.downcast_ref::<OutOfRange>());
        assert_eq!(inner.map(OutOfRange::field), Some(field));
    }
    let driver = lws_loop_external::DriverOptions { read_bytes_per_turn: 0, ..Default::default() };
    let error = Server::builder().listen("127.0.0.1:0").driver_options(driver).build().expect_err("no turn");
    assert!(error.to_string().starts_with("read_bytes_per_turn is 0"), "{error}");
}

/// Ends a connection with a reset.
pub(crate) fn reset(peer: std::net::TcpStream) {
    let linger = Some(Duration::ZERO);
    rustix::net::sockopt::set_socket_linger(&peer, linger).expect("it can be set");
}

#[test]
fn a_peer_that_has_reset_keeps_its_address() {
    use lws_server::Peer;
    struct Tells(std::sync::mpsc::Sender<Peer>);
    impl lws_server::ws::Handler for Tells {
        fn close(&mut self, cx: &mut Context<'_>, _: lws_server::Cause) {
            self.0.send(cx.peer()).expect("the test listens");
        }
    }
    let wait = Duration::from_secs(10);
    let (sender, records) = channel();
    let (tell, told) = channel();
    let server = serve(move |builder| {
        builder
            .access_log(move |record| sender.send((record.peer, record.status)).expect("the test listens"))
            .ws("/", move |_| Tells(tell.clone()))
    });
    let (peer, _) = server.open("/", "");
    let address = Peer::Tcp(peer.0.local_addr().expect("an address"));
    reset(peer.0);
    assert_eq!(records.recv_timeout(wait).expect("a record"), (address, 101));
    assert_eq!(told.recv_timeout(wait).expect("an end"), address);
    // If nothing is kept the address is unknown; but the peer is no process of this machine.
    let (tell, told) = channel();
    let server = serve(move |builder| builder.ws("/", move |_| Tells(tell.clone())));
    let (peer, _) = server.open("/", "");
    reset(peer.0);
    assert_eq!(told.recv_timeout(wait).expect("an end"), Peer::Unknown);
}

#[test]
fn a_busy_port_is_named() {
    let server = serve(|builder| builder);
    let error = Server::builder().listen(&server.address.to_string()).build().expect_err("it is taken");
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&server.address.to_string()), "{error}");
}

/// Never answers by itself.
struct Waits;

impl Handler for Waits {
    fn open(&mut self, cx: &mut Context<'_>, _: Exchange<'_>, _: bool) {
        OPENED.with(|opened| opened.set(cx.id()));
    }

    fn wake(&mut self, _: &mut Context<'_>, exchange: Exchange<'_>) {
        assert!(exchange.reply(Response::text("woken")).is_ok());
    }
}

thread_local! {
    static OPENED: std::cell::Cell<Option<lws_server::StreamId>> = const { std::cell::Cell::new(None) };
}

#[test]
fn another_thread_can_wake_a_handler_and_run_something_on_the_servers() {
    let server = serve(|builder| builder.get("/", |_| Waits));
    let mut peer = server.connect();
    peer.send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let (sender, found) = channel();
    let id = loop {
        let sender = sender.clone();
        let posted = server.handle.post(move |cx| {
            assert_eq!(cx.id(), None);
            sender.send((OPENED.get(), cx.stats().requests)).expect("the test listens");
        });
        assert!(posted);
        if let (Some(id), 1) = found.recv_timeout(Duration::from_secs(10)).expect("it is run") {
            break id;
        }
    };
    assert!(server.handle.wake(id));
    assert!(peer.rest().ends_with(b"woken"));
}

#[test]
fn a_drain_lets_the_running_exchange_end_and_takes_no_other() {
    let server =
        serve(|builder| builder.post("/", |request| Response::text(request.content().len().to_string())));
    let mut peer = server.connect();
    let request = "POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    peer.send(request);
    assert!(peer.head().starts_with(b"HTTP/1.1 100"));
    assert!(server.handle.drain());
    while std::net::TcpStream::connect(server.address).is_ok() {
        std::thread::yield_now();
    }
    peer.send("ab");
    let answer = String::from_utf8(peer.rest()).expect("ASCII");
    assert!(answer.contains("Connection: close") && answer.ends_with("\r\n\r\n2"), "{answer}");
    server.join();
}

#[test]
fn a_route_may_have_parameters() {
    let server = serve(|builder| {
        builder
            .get("/items/{id}", |request| {
                Response::text(format!(
                    "{:?} {:?}",
                    request.parameter("id"),
                    request.parse_parameter::<u8>("id")
                ))
            })
            .post("/items/{id}", |request| {
                Response::text(format!("{:?} {:?}", request.parameter("id"), request.content()))
            })
            .get("/items/new", |request| Response::text(format!("new {:?}", request.parameter("id"))))
            .get("/files/{user}/{*rest}", |request| {
                Response::text(format!("{:?} {:?}", request.parameter("user"), request.parameter("rest")))
            })
            .ws("/rooms/{room}", |_| Silent)
    });
    for (target, status, text) in [
        ("/items/7", 200, "Some(\"7\") Some(7)"),
        ("/items/x%2Fy", 200, "Some(\"x%2Fy\") None"),
        ("/items/%37/?id=8", 200, "Some(\"7\") Some(7)"),
        ("/items/new", 200, "new None"),
        ("/files/me/a/../b/c", 200, "Some(\"me\") Some(\"b/c\")"),
        ("/files/me", 200, "Some(\"me\") Some(\"\")"),
    ] {
        let answer = server.get(target);
        assert_eq!((answer.status, answer.text()), (status, text), "{target}");
    }
    for target in ["/items", "/items/", "/items/7/x", "/files", "/rooms/a/b"] {
        assert_eq!(server.get(target).status, 404, "{target}");
    }
    assert_eq!(server.request("DELETE", "/items/7", "").field("allow"), Some("GET, HEAD, POST, OPTIONS"));
    // The content is waited for, and the parameter is still there.
    let answer = server
        .ask("POST /items/7 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    assert_eq!(answer.text(), "Some(\"7\") [111, 107]");
    assert_eq!(server.open("/rooms/a", "").1.status, 101);
}
