//! Requests and responses of every shape, to upstreams of every kind.

use crate::common::{Answer, Then, answering, front, front_with, scripted, serve};
use lws_proxy::{HostRule, Proxy};
use lws_server::Limits;
use lws_server::http::{Method, Request, Response, Status};
use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

/// What an upstream of ours has been asked, as text: the line, the fields, the content.
fn told(request: &Request<'_>) -> Response {
    let mut text = format!("{} {}\n", request.method_name(), request.target());
    for (name, value) in request.fields() {
        text.push_str(&format!("{}: {}\n", name.to_ascii_lowercase(), String::from_utf8_lossy(value)));
    }
    text.push('\n');
    text.push_str(&String::from_utf8_lossy(request.content()));
    Response::text(text)
}

fn line<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[test]
fn a_request_is_passed_on_with_its_own_fields_and_ours() {
    let there = serve(|builder| builder.any_host().http("/", told));
    let url = format!("http://{}", there.address);
    let here = front(std::slice::from_ref(&url));
    let answer = here.request("GET /a%2Fb/../c?x=%20y", "X-Mine: 1\r\nConnection: X-Hop\r\nX-Hop: 1\r\n");
    let text = answer.text();
    assert!(
        text.starts_with("GET /a%2Fb/../c?x=%20y\n"),
        "the target is passed on as it was written: {text}"
    );
    assert_eq!(line(text, "host"), Some("a.example"));
    assert_eq!(line(text, "via"), Some("1.1 lws"));
    assert_eq!(line(text, "x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!((line(text, "x-mine"), line(text, "x-hop")), (Some("1"), None));
    assert_eq!(answer.field("via"), Some("1.1 lws"));

    let here = front_with(&[format!("{url}/base/")], |proxy: Proxy| proxy.host(HostRule::Upstream));
    let answer = here.get("/x?y");
    assert!(answer.text().starts_with("GET /base/x?y\n"), "{}", answer.text());
    assert_eq!(line(answer.text(), "host"), Some(there.address.to_string().as_str()));
}

#[test]
fn content_goes_both_ways_whatever_frames_it() {
    let there = serve(|builder| {
        builder.any_host().route(
            lws_server::Route::http("/", |request: &Request<'_>| {
                Response::ok("application/octet-stream", request.content().to_vec())
            })
            .content_bytes_max(8 << 20),
        )
    });
    let content: Vec<u8> = (0..3 << 20).map(|index: usize| (index % 251) as u8).collect();
    let chunked: Vec<u8> = content
        .chunks(70_001)
        .flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat())
        .chain(*b"0\r\n\r\n")
        .collect();
    for scheme in ["http", "h2c"] {
        let here = front(&[format!("{scheme}://{}", there.address)]);
        for (framing, body) in [
            (format!("Content-Length: {}", content.len()), &content),
            ("Transfer-Encoding: chunked".to_owned(), &chunked),
        ] {
            let mut peer = here.connect();
            peer.send(format!(
                "POST / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n{framing}\r\n\r\n"
            ));
            let mut writer = peer.0.try_clone().expect("a second handle");
            let answer = std::thread::scope(|scope| {
                scope.spawn(move || writer.write_all(body).expect("the proxy reads"));
                Answer::parse(&peer.rest())
            });
            assert_eq!(answer.status, 200, "{scheme} {framing}");
            assert!(answer.content == content, "{scheme} {framing}: {} bytes", answer.content.len());
        }
    }
}

#[test]
fn a_unix_socket_is_an_upstream() {
    let folder = std::env::temp_dir().join(format!("lws-proxy-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let socket = folder.join("upstream.sock");
    let path = socket.display().to_string();
    let listen = format!("unix:{path}");
    let _there = serve(move |builder| builder.listen(&listen).any_host().http("/", told));
    let answer = front(&[format!("unix:{path}:/base")]).get("/x");
    assert!(answer.text().starts_with("GET /base/x\n"), "{}", answer.text());
    std::fs::remove_dir_all(folder).expect("it is ours");
}

#[test]
fn responses_without_content_are_passed_on_with_their_fields() {
    for (method, response, status, length) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", 200, Some("1234")),
        ("GET", "HTTP/1.1 204 No Content\r\nX-It: 1\r\n\r\n", 204, None),
        ("GET", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 99\r\n\r\n", 304, Some("99")),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, Some("0")),
        ("DELETE", "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", 205, None),
    ] {
        let upstream = answering(response, false);
        let here = front(&[upstream.url()]);
        for _ in 0..2 {
            let answer = here.request(&format!("{method} /"), "");
            assert_eq!((answer.status, answer.content.len()), (status, 0), "{response}");
            assert_eq!(
                answer.field("content-length").or(length.filter(|_| status == 205)),
                answer.field("content-length")
            );
            if length.is_some() {
                assert_eq!(answer.field("content-length"), length, "{response}");
            }
        }
        let connections: Vec<_> = upstream.heads().iter().map(|(connection, _)| *connection).collect();
        assert_eq!(connections, [0, 0], "one connection serves both: {response}");
    }
}

#[test]
fn an_upstream_that_ends_its_response_by_closing_is_framed_to_the_client() {
    let upstream = answering("HTTP/1.1 200 OK\r\n\r\nhello", true);
    let answer = front(&[upstream.url()]).get("/");
    // By its length if all of it came at once.
    let chunked = answer.field("transfer-encoding") == Some("chunked");
    assert_eq!(answer.text(), if chunked { "5\r\nhello\r\n0\r\n\r\n" } else { "hello" });
    assert!(answer.is_whole());
}

#[test]
fn interim_responses_and_trailers_are_passed_on() {
    let upstream = answering(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
         5\r\nhello\r\n0\r\nGrpc-Status: 0\r\nContent-Type: no\r\n\r\n",
        false,
    );
    let here = front(&[upstream.url()]);
    let mut peer = here.connect();
    peer.send("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close, TE\r\n\r\n");
    let text = String::from_utf8(peer.rest()).expect("ASCII");
    assert!(text.starts_with("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n"), "{text}");
    assert!(text.ends_with("\r\n\r\n5\r\nhello\r\n0\r\nGrpc-Status: 0\r\n\r\n"), "{text}");
    // Who has not said that it takes trailers gets none, and HTTP/1.0 knows neither.
    assert!(here.get("/").head.starts_with("HTTP/1.1 103"));
    let old = here.ask("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!((old.status, old.text()), (200, "hello"));
}

#[test]
fn an_old_client_gets_no_trailers_whatever_it_says() {
    let upstream = scripted(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        std::thread::sleep(Duration::from_millis(50));
        let _ = stream.write_all(b"0\r\nGrpc-Status: 0\r\n\r\n");
        Then::Keep
    });
    let here = front(&[upstream.url()]);
    let old = here.ask("GET / HTTP/1.0\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n");
    assert_eq!((old.status, old.text()), (200, "hello"));
}

#[test]
fn interim_responses_are_bounded_in_number_and_wait_for_their_client() {
    const INTERIMS: usize = 100;
    let upstream = scripted(|_, stream| {
        for _ in 0..INTERIMS {
            let _ = stream.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        Then::Keep
    });
    let here = front(&[upstream.url()]);
    let mut peer = here.connect();
    peer.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let text = String::from_utf8(peer.rest()).expect("ASCII");
    assert_eq!(text.matches("HTTP/1.1 103").count(), 8);
    assert!(text.ends_with("\r\n\r\nhello"), "{text}");
}

#[test]
fn the_server_that_a_target_names_is_the_one_that_is_asked_for() {
    let there = serve(|builder| builder.any_host().http("/", told));
    let here = front(&[format!("http://{}", there.address)]);
    for target in ["http://b.example:81", "http://b.example:81/", "http://b.example:81?x"] {
        let answer = here.get(target);
        let text = answer.text();
        assert_eq!(line(text, "host"), Some("b.example:81"), "{target}");
        assert_eq!(line(text, "x-forwarded-host"), Some("b.example:81"), "{target}");
        assert!(line(text, "forwarded").is_some_and(|it| it.ends_with("host=\"b.example:81\"")), "{text}");
    }
}

#[test]
fn however_a_path_is_written_it_is_replaced_and_leads_nowhere_else() {
    let there = serve(|builder| builder.any_host().http("/", told));
    let url = format!("http://{}/public", there.address);
    let here = serve(move |builder| {
        builder.any_host().route(Proxy::new(url.parse().expect("an upstream")).route("/api"))
    });
    for target in ["/api/x?y", "/%61pi/x?y", "/api/../api/x?y", "/z/../api/./x?y", "//api/x?y"] {
        let answer = here.get(target);
        assert!(answer.text().starts_with("GET /public/x?y\n"), "{target}: {}", answer.text());
    }
    assert_eq!(here.get("/api/../x").status, 404);
}

#[test]
fn what_the_client_of_the_thread_says_of_requests_holds_for_those_that_are_passed_on() {
    let upstream = scripted(|_, stream| {
        let _ = stream.read(&mut [0]);
        Then::Close
    });
    let url = upstream.url();
    let here = serve(move |builder| {
        let mut options = lws_proxy::client_options();
        options.request.timeout = Some(Duration::from_millis(100));
        let proxy = Proxy::new(url.parse().expect("an upstream"));
        builder.any_host().client_options(options).route(proxy.route("/"))
    });
    assert_eq!(here.get("/").status, 504);
}

#[test]
fn trailers_of_a_request_are_passed_on() {
    let upstream = scripted(|_, stream| {
        let mut all = Vec::new();
        while !all.ends_with(b"X-Sum: 7\r\n\r\n") {
            let mut byte = [0];
            if stream.read(&mut byte).map_or(true, |count| count == 0) {
                break;
            }
            all.push(byte[0]);
        }
        let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
        Then::Keep
    });
    let answer = front(&[upstream.url()]).ask(
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
         2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n",
    );
    assert_eq!(answer.status, 204);
}

#[test]
fn content_that_waits_to_be_asked_for_is_asked_for_by_the_upstream() {
    for (status, asked) in [(200, true), (401, false)] {
        let upstream = scripted(move |_, stream| {
            if asked {
                let _ = stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
                let _ = stream.read_exact(&mut [0; 2]);
            }
            let _ = stream.write_all(format!("HTTP/1.1 {status} It\r\nContent-Length: 0\r\n\r\n").as_bytes());
            Then::Keep
        });
        let here = front(&[upstream.url()]);
        let mut peer = here.connect();
        peer.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
        let mut head = peer.head();
        if asked {
            assert!(head.starts_with("HTTP/1.1 100"), "{head}");
            peer.send("hi");
            head = peer.head();
        }
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
        assert!(upstream.heads()[0].1.to_ascii_lowercase().contains("expect: 100-continue"));
    }
}

#[test]
fn a_client_that_does_not_read_keeps_its_upstream_waiting() {
    const LONG: usize = 256 << 20;
    let (says, hears) = std::sync::mpsc::channel();
    let says = std::sync::Mutex::new(says);
    let upstream = scripted(move |_, stream| {
        let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {LONG}\r\n\r\n").as_bytes());
        stream.set_write_timeout(Some(Duration::from_millis(500))).expect("a timeout is set");
        let (piece, mut written) = (vec![b'x'; 64 << 10], 0);
        let error = loop {
            match stream.write(&piece) {
                Ok(count) => written += count,
                Err(error) => break error.kind(),
            }
            if written >= LONG {
                break ErrorKind::Other;
            }
        };
        let _ = says.lock().expect("no script panics").send((written, error));
        Then::Close
    });
    let here = front(&[upstream.url()]);
    let mut peer = here.connect();
    peer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    peer.head();
    let (written, error) = hears.recv_timeout(test_kit::PATIENCE).expect("the upstream stops");
    assert!(matches!(error, ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error:?} after {written} bytes");
    // What the systems' own buffers take is beyond the proxy.
    assert!(written < LONG / 4, "{written}");
}

#[test]
fn a_client_that_takes_nothing_releases_its_upstream() {
    let (says, hears) = std::sync::mpsc::channel();
    let says = std::sync::Mutex::new(says);
    let upstream = scripted(move |_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
        stream.set_write_timeout(Some(test_kit::PATIENCE)).expect("a timeout is set");
        let piece = vec![b'x'; 64 << 10];
        let error = loop {
            if let Err(error) = stream.write(&piece) {
                break error.kind();
            }
        };
        let _ = says.lock().expect("no script panics").send(error);
        Then::Close
    });
    let url = upstream.url();
    let here = serve(move |builder| {
        let limits = Limits {
            stalled_timeout: Duration::from_millis(500),
            stalled_grace_max: Duration::ZERO,
            ..Limits::default()
        };
        let proxy = Proxy::new(url.parse().expect("an upstream"));
        builder.any_host().limits(limits).route(proxy.route("/"))
    });
    let mut peer = here.connect();
    peer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    peer.head();
    let error = hears.recv_timeout(test_kit::PATIENCE).expect("the upstream is let go of");
    assert!(matches!(error, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error:?}");
}

#[test]
fn methods_that_are_not_passed_on_are_refused() {
    let upstream = answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false);
    let here = front(&[upstream.url()]);
    assert_eq!(
        here.ask("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\nConnection: close\r\n\r\n").status,
        405
    );
    assert_eq!(here.request("GET /", "Via: 1.0 lws\r\n").status, 508);
    assert_eq!(here.request("GET /", "Connection: Content-Length\r\n").status, 400);
    assert!(upstream.heads().is_empty());
    for method in [Method::Delete, Method::Patch, Method::Options] {
        assert_eq!(here.request(&format!("{method} /"), "").status, Status::OK.code(), "{method:?}");
    }
}
