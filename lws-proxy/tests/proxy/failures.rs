//! Upstreams that fail, in every place: one outcome each, with its cause, and nothing that was acted on is repeated.

use crate::common::{Answer, Then, answering, front, scripted, serve};
use lws_proxy::Proxy;
use lws_server::client;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

const WHOLE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-It: 1\r\n\r\nhello";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";

fn unused() -> String {
    let address = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port");
    format!("http://{address}")
}

#[test]
fn a_response_that_is_cut_never_looks_complete() {
    for whole in [WHOLE, CHUNKED] {
        let head = whole.find("\r\n\r\n").expect("a head") + 4;
        for cut in 0..whole.len() {
            let upstream = answering(&whole.as_bytes()[..cut], true);
            let here = front(&[upstream.url()]);
            let mut peer = here.connect();
            peer.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            let octets = peer.rest();
            if cut < head {
                let answer = Answer::parse(&octets);
                assert_eq!(answer.status, 502, "cut at {cut}");
                let error = answer.field("proxy-status");
                assert_eq!(error, Some("lws; error=http_response_incomplete"), "cut at {cut}");
            } else if !octets.is_empty() {
                // Of what is queued an exchange that is given up loses what has not been sent.
                assert!(!Answer::parse(&octets).is_whole(), "cut at {cut}: {}", octets.escape_ascii());
            }
        }
    }
}

#[test]
fn a_failure_says_whose_it_is() {
    let refused = front(&[unused()]).get("/");
    assert_eq!((refused.status, refused.field("proxy-status")), (502, Some("lws; error=connection_refused")));
    let wrong = answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", false);
    let wrong = front(&[wrong.url()]).get("/");
    assert_eq!((wrong.status, wrong.field("proxy-status")), (502, Some("lws; error=http_protocol_error")));
    let silent = scripted(|_, stream| {
        let _ = stream.read(&mut [0]);
        Then::Close
    });
    let url = silent.url();
    let here = serve(move |builder| {
        let mut options = client::Options::default();
        options.engine.response_timeout = Duration::from_millis(200);
        builder
            .any_host()
            .client_options(options)
            .route(Proxy::new(url.parse().expect("an upstream")).route("/"))
    });
    let late = here.get("/");
    assert_eq!((late.status, late.field("proxy-status")), (504, Some("lws; error=http_response_timeout")));
}

#[test]
fn another_upstream_answers_for_one_that_cannot_be_reached() {
    let well = answering(WHOLE, false);
    let here = front(&[unused(), well.url(), unused()]);
    for request in 0..10 {
        assert_eq!(here.get("/").status, 200, "request {request}");
        let content = "Content-Length: 0\r\n";
        assert_eq!(here.request("POST /", content).status, 200, "request {request}");
    }
    assert_eq!(well.heads().len(), 20);
}

#[test]
fn what_may_have_been_acted_on_is_not_repeated() {
    // The first request of a connection is answered; the second is read, and the connection ends without an answer.
    let script = |_: usize, stream: &mut std::net::TcpStream| {
        let _ = stream.write_all(WHOLE.as_bytes());
        let mut next = [0; 4_096];
        let _ = stream.read(&mut next);
        Then::Close
    };
    for (method, status) in [("POST", 502), ("GET", 200)] {
        let upstream = scripted(script);
        let here = front(&[upstream.url()]);
        assert_eq!(here.get("/").status, 200);
        let answer = here.request(&format!("{method} /"), "Content-Length: 0\r\n");
        assert_eq!(answer.status, status, "{method}");
        let again = usize::from(method == "GET");
        assert_eq!(upstream.heads().len(), 1 + again, "a GET is asked again on a connection of its own");
    }
}

#[test]
fn a_client_that_leaves_takes_its_upstream_along() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let here = front(&[format!("http://{}", listener.local_addr().expect("it is bound"))]);
    let mut peer = here.connect();
    peer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let (mut upstream, _) = listener.accept().expect("the proxy asks");
    upstream.set_read_timeout(Some(test_kit::PATIENCE)).expect("a timeout is set");
    assert!(upstream.read(&mut [0; 4_096]).expect("a request") > 0);
    upstream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx").expect("the proxy reads");
    peer.head();
    drop(peer);
    // The proxy learns of it when it writes, as the client could have ended its own direction alone.
    let ended = loop {
        if upstream.write_all(b"x").is_err() {
            break true;
        }
        match upstream.read(&mut [0; 16]) {
            Ok(0) => break true,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break true,
            Err(error) => panic!("{error}"),
            Ok(_) => {}
        }
    };
    assert!(ended);
}

/// Does something on the thread of a server, and answers what came of it.
fn with<R: Send + 'static>(
    handle: &lws_server::Handle,
    call: impl FnOnce(&mut lws_server::Context<'_>) -> R + Send + 'static,
) -> R {
    let (says, hears) = std::sync::mpsc::channel();
    handle.post(move |cx| says.send(call(cx)).expect("the test waits"));
    hears.recv_timeout(test_kit::PATIENCE).expect("the server goes on")
}

#[test]
fn a_request_that_is_cut_leaves_nothing_behind() {
    let upstream = scripted(|_, stream| {
        let whole = stream.read_exact(&mut [0; 5]).is_ok();
        let _ = stream.write_all(if whole { WHOLE.as_bytes() } else { b"" });
        if whole { Then::Keep } else { Then::Close }
    });
    let here = front(&[upstream.url()]);
    let request = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello";
    for cut in 0..=request.len() {
        let mut peer = here.connect();
        peer.send(&request[..cut]);
        peer.0.shutdown(std::net::Shutdown::Write).expect("it is connected");
        let octets = peer.rest();
        let answered = octets.starts_with(b"HTTP/1.1 200");
        assert_eq!(answered, cut == request.len(), "cut at {cut}: {}", octets.escape_ascii());
    }
    let give_up = std::time::Instant::now() + test_kit::PATIENCE;
    while with(&here.handle, |cx| cx.client().requests()) > 0 {
        assert!(std::time::Instant::now() < give_up, "a request waits for ever");
    }
}

#[test]
fn a_failure_is_answered_although_there_is_no_room_at_once() {
    // What is answered before lies in the queue, as its client reads nothing.
    const LONG: usize = 32 << 20;
    let upstreams: Vec<_> = (0..2).map(|_| unused().parse().expect("an upstream")).collect();
    let here = serve(move |builder| {
        let mut upstreams = upstreams.into_iter();
        let proxy = Proxy::new(upstreams.next().expect("one")).and(upstreams.next().expect("two"));
        let long = |_: &lws_server::http::Request<'_>| {
            lws_server::http::Response::ok("application/octet-stream", vec![b'x'; LONG])
        };
        builder.any_host().http("/long", long).route(proxy.route("/"))
    });
    let mut peer = here.connect();
    peer.send("GET /long HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    // Until both upstreams have refused.
    std::thread::sleep(Duration::from_millis(300));
    let octets = peer.rest();
    let tail = String::from_utf8_lossy(&octets[octets.len() - 400..]).into_owned();
    assert!(tail.contains("HTTP/1.1 502"), "{tail}");
}

#[test]
fn an_upstream_that_fails_its_checks_gets_no_requests_until_it_passes_one() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let is_well = std::sync::Arc::new(AtomicBool::new(true));
    let answers = std::sync::Arc::clone(&is_well);
    let changing = scripted(move |_, stream| {
        let well = answers.load(Ordering::SeqCst);
        let status = if well { "200 OK" } else { "503 Out" };
        let _ = stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes());
        Then::Keep
    });
    let steady = answering(WHOLE, false);
    let check = lws_proxy::HealthCheck::get("/healthz?deep").every(Duration::from_millis(20));
    let here = crate::common::front_with(&[changing.url(), steady.url()], move |proxy| proxy.check(check));
    let asked = |upstream: &crate::common::Scripted| {
        upstream.heads().iter().filter(|(_, head)| head.starts_with("GET / ")).count()
    };
    let checked = |upstream: &crate::common::Scripted| {
        upstream.heads().iter().filter(|(_, head)| head.starts_with("GET /healthz?deep ")).count()
    };
    let checks_pass = |count: usize| {
        let so_far = checked(&changing);
        test_kit::eventually(|| checked(&changing) >= so_far + count);
    };
    assert_eq!(here.get("/").status, 200);
    checks_pass(2);
    is_well.store(false, Ordering::SeqCst);
    checks_pass(3);
    let before = asked(&changing);
    for _ in 0..20 {
        assert_eq!(here.get("/").status, 200);
    }
    assert_eq!(asked(&changing), before, "it fails its checks");
    assert!(checked(&steady) > 0);
    is_well.store(true, Ordering::SeqCst);
    checks_pass(3);
    for _ in 0..40 {
        assert_eq!(here.get("/").status, 200);
    }
    assert!(asked(&changing) > before, "it is well again");
}

#[test]
fn a_request_waits_for_a_connection_and_then_is_told_when_to_come_again() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let url = format!("http://{}", silent.local_addr().expect("it is bound"));
    let here = serve(move |builder| {
        let mut options = lws_proxy::client_options();
        options.limits.per_host_max = 1;
        options.limits.wait_timeout = Duration::from_millis(200);
        let proxy = Proxy::new(url.parse().expect("an upstream"));
        builder.any_host().client_options(options).route(proxy.route("/"))
    });
    let mut first = here.connect();
    first.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let (mut upstream, _) = silent.accept().expect("the first one has the connection");
    let refused = here.get("/");
    assert_eq!((refused.status, refused.field("retry-after")), (503, Some("1")));
    assert_eq!(refused.field("proxy-status"), Some("lws; error=connection_limit_reached"));
    // One that waits gets it as soon as it is free.
    let mut second = here.connect();
    second.send("GET /second HTTP/1.1\r\nHost: a\r\n\r\n");
    test_kit::eventually(|| with(&here.handle, |cx| cx.client().waiting_and_idle().0) == 1);
    upstream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").expect("the proxy reads");
    assert!(first.head().starts_with("HTTP/1.1 204"));
    upstream.set_read_timeout(Some(test_kit::PATIENCE)).expect("a timeout is set");
    while !test_kit::http::read_head(&mut upstream).starts_with(b"GET /second ") {}
    upstream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").expect("the proxy reads");
    assert!(second.head().starts_with("HTTP/1.1 204"));
}

#[test]
fn what_lies_between_two_sides_counts_for_the_budget_of_the_server() {
    let held = |here: &crate::common::Running| with(&here.handle, |cx| cx.held_bytes().held());
    let upstream = scripted(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 268435456\r\n\r\n");
        let piece = vec![b'x'; 64 << 10];
        while stream.write_all(&piece).is_ok() {}
        Then::Close
    });
    let here = front(&[upstream.url()]);
    let mut peer = here.connect();
    peer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    peer.head();
    // Nothing reads on. The upstream is read until the bound, and not again before half of that has gone.
    test_kit::eventually(|| held(&here) > lws_proxy::RELAYED_BYTES_MAX / 2);
    drop(peer);
    test_kit::eventually(|| held(&here) == 0);
}
