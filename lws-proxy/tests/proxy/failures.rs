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
