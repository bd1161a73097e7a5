//! Messages that two readers could read differently: the front and an upstream always count the same requests and responses.

use crate::common::{Answer, answering, front};

const WHOLE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn a_request_with_two_meanings_reaches_no_upstream() {
    let upstream = answering(WHOLE, false);
    let here = front(&[upstream.url()]);
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for fields in [
        // CVE-2022-32213 and its like: a Transfer-Encoding that is none.
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        // Lengths that are none, or two.
        "Content-Length: \r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length : 5\r\n",
        "Content-Length: 5\r\nContent-length: 6\r\n",
        "Content-Length: 5, 6\r\n",
        // CVE-2023-25725: an empty name.
        ": x\r\n",
        " folded: x\r\n",
        "X: a\rb\r\n",
        // A name that another reader takes for the next line.
        "X: a\nHost: b\r\n",
        // Kong CVE-2026-6338, Traefik CVE-2024-45410.
        "Connection: Content-Length\r\nContent-Length: 5\r\n",
        "Connection: X-Forwarded-For\r\n",
        "Host: b\r\n",
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n{smuggled}");
        let mut peer = here.connect();
        peer.send(request);
        let octets = peer.rest();
        let answer = Answer::parse(&octets);
        assert!(matches!(answer.status, 400 | 501), "{fields:?}: {}", answer.head);
        assert_eq!(octets.windows(9).filter(|nine| nine == b"HTTP/1.1 ").count(), 1, "{fields:?}");
    }
    assert!(upstream.heads().is_empty(), "{:?}", upstream.heads());
}

#[test]
fn chunks_with_two_meanings_reach_no_upstream_whole() {
    // CVE-2025-22871 and similar: a recipient that takes a bare LF for the end of a line sees another request.
    for body in [
        "2\nhi\r\n0\r\n\r\n",
        "2;\nx\r\nhi\r\n0\r\n\r\n",
        "2\r\nhi0\r\n\r\n",
        "0x2\r\nhi\r\n0\r\n\r\n",
        "2 \r\nhi\r\n0\r\n\r\n",
    ] {
        let upstream = answering("", true);
        let here = front(&[upstream.url()]);
        let mut peer = here.connect();
        peer.send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
        ));
        let answer = Answer::parse(&peer.rest());
        assert!(matches!(answer.status, 400 | 502), "{body:?}: {}", answer.head);
        assert!(upstream.heads().iter().all(|(_, head)| !head.contains("smuggled")), "{body:?}");
    }
}

#[test]
fn an_upgrade_is_not_passed_on_and_nothing_behind_it_is_a_tunnel() {
    // Traefik CVE-2026-88008, RUSTSEC-2026-0033: the bytes behind are the next request, and are read as one.
    let upstream = answering(WHOLE, false);
    let here = front(&[upstream.url()]);
    for upgrade in ["h2c", "foo", "h2c, websocket"] {
        let mut peer = here.connect();
        peer.send(format!(
            "GET /one HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: {upgrade}\r\n\
             HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\nGET /two HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        ));
        let octets = peer.rest();
        assert_eq!(octets.windows(12).filter(|it| it == b"HTTP/1.1 200").count(), 2, "{upgrade}");
    }
    for (_, head) in upstream.heads() {
        assert!(!head.to_ascii_lowercase().contains("upgrade"), "{head}");
    }
    assert_eq!(upstream.heads().len(), 6);
}

#[test]
fn a_response_with_two_meanings_is_no_response() {
    for response in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: x\r\nContent-Length: 0\r\n\r\n",
        // No other protocol was requested.
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        // Read as it frames itself, and not to be written: 205 has no content.
        "HTTP/1.1 205 Reset Content\r\nContent-Length: 5\r\n\r\nhello",
    ] {
        let upstream = answering(response, false);
        let answer = front(&[upstream.url()]).get("/");
        assert_eq!(answer.status, 502, "{response:?}: {}", answer.head);
    }
}

#[test]
fn unasked_bytes_of_an_upstream_are_no_response() {
    // Response queue poisoning: a second response behind the first. The connection is not used again.
    let upstream = answering(format!("{WHOLE}HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned"), false);
    let here = front(&[upstream.url()]);
    for _ in 0..3 {
        assert_eq!(here.get("/").text(), "hello");
    }
    let connections: Vec<_> = upstream.heads().iter().map(|(connection, _)| *connection).collect();
    assert_eq!(connections, [0, 1, 2], "each request has a connection of its own");
}

#[test]
fn credentials_of_a_connection_are_those_of_one_client() {
    // CVE-2026-88007: a connection that NTLM has authenticated is not used for other clients.
    let upstream = answering(WHOLE, false);
    let here = front(&[upstream.url()]);
    assert_eq!(here.request("GET /", "Authorization: NTLM TlRMTVNTUAAB\r\n").status, 200);
    assert_eq!(here.get("/").status, 200);
    assert_eq!(here.request("GET /", "Authorization: Negotiate YII=\r\n").status, 200);
    let connections: Vec<_> = upstream.heads().iter().map(|(connection, _)| *connection).collect();
    assert_eq!(connections, [0, 1, 2]);
}
