//! Connections of proxies that say by the PROXY protocol whom they stand for.

use crate::common::{Answer, Peer, Running, serve};
use lws_server::http::{Response, TrustedProxies};
use lws_server::{Builder, PeerLimits, ProxyProtocol};
use std::io::Read;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use test_kit::PATIENCE;

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const OF_TCP4: &str = "PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\n";
/// The same in version 2.
const IN_OCTETS: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x09\xc0\0\x02\x01\x12\x67\x01\xbb";

/// Says who has asked. Trusts this machine if `trusted`.
fn described(builder: Builder, trusted: bool, timeout: Duration) -> Builder {
    let network = if trusted { "127.0.0.0/8" } else { "10.0.0.0/8" };
    let mut proxies = ProxyProtocol::from(TrustedProxies::new([network]).expect("a network"));
    proxies.timeout = timeout;
    builder
        .proxy_protocol(proxies)
        .get_with("/", |cx, _| Response::text(format!("{:?}", cx.peer())))
        .post_with("/", |cx, request| Response::text(format!("{:?} {}", cx.peer(), request.content().len())))
}

/// A server, and the address and the cause of each record of its log.
fn logging(timeout: Duration) -> (Running, Receiver<(String, u16, &'static str)>) {
    let (logged, log) = channel();
    let server = serve(move |builder| {
        described(builder, true, timeout).access_log(move |record| {
            let ip = record.peer.ip().map(|ip| ip.to_string()).unwrap_or_default();
            let _ = logged.send((ip, record.status, record.cause));
        })
    });
    (server, log)
}

#[test]
fn the_peer_is_who_the_proxy_stands_for() {
    let (server, log) = logging(PATIENCE);
    let text = |connection: &[u8]| server.ask(connection).text().to_owned();
    for header in [OF_TCP4.as_bytes(), IN_OCTETS] {
        assert_eq!(text(&[header, GET.as_bytes()].concat()), "Tcp(203.0.113.9:4711)");
        assert_eq!(
            log.recv_timeout(PATIENCE).map(|(ip, status, _)| (ip, status)),
            Ok(("203.0.113.9".into(), 200))
        );
        let post = b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(text(&[header, post].concat()), "Tcp(203.0.113.9:4711) 3");
        assert_eq!(
            log.recv_timeout(PATIENCE).map(|(ip, status, _)| (ip, status)),
            Ok(("203.0.113.9".into(), 200))
        );
    }
    let v6 = format!("PROXY TCP6 2001:db8::1 ::1 4711 443\r\n{GET}");
    assert_eq!(text(v6.as_bytes()), "Tcp([2001:db8::1]:4711)");
    // The proxy itself looks whether the server is well.
    assert!(text(format!("PROXY UNKNOWN\r\n{GET}").as_bytes()).starts_with("Tcp(127.0.0.1:"));
    let local = [&b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"[..], GET.as_bytes()].concat();
    assert!(text(&local).starts_with("Tcp(127.0.0.1:"));
}

#[test]
fn a_header_may_come_octet_by_octet() {
    let server = serve(|builder| described(builder, true, PATIENCE));
    for header in [OF_TCP4.as_bytes(), IN_OCTETS] {
        let mut peer = server.connect();
        peer.0.set_nodelay(true).expect("the system knows it");
        for octet in header {
            peer.send([*octet]);
            std::thread::yield_now();
        }
        peer.send(GET);
        assert_eq!(Answer::parse(&peer.rest()).text(), "Tcp(203.0.113.9:4711)");
    }
}

/// Whether the server closes a connection without a word.
fn is_closed(peer: &mut Peer) -> bool {
    matches!(peer.0.read(&mut [0; 64]), Ok(0) | Err(_))
}

#[test]
fn what_is_no_header_is_closed_and_the_log_says_why() {
    let (server, log) = logging(PATIENCE);
    for (connection, cause) in [
        (GET.as_bytes(), "proxy_signature"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 9 x\r\nGET", "proxy_line"),
        (b"\r\n\r\n\0\r\nQUIT\n\x11\x11\0\x0c____________", "proxy_octets"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff____________", "proxy_too_long"),
    ] {
        let mut peer = server.connect();
        peer.send(connection);
        assert!(is_closed(&mut peer), "{cause}");
        assert_eq!(log.recv_timeout(PATIENCE), Ok(("127.0.0.1".into(), 0, cause)));
    }
    let peer = server.connect();
    drop(peer);
    assert_eq!(log.recv_timeout(PATIENCE), Ok(("127.0.0.1".into(), 0, "proxy_disconnected")));
}

#[test]
fn a_header_that_does_not_come_is_not_waited_for() {
    let (server, log) = logging(Duration::from_millis(50));
    let mut peer = server.connect();
    peer.send("PROXY TCP4 1.2");
    assert!(is_closed(&mut peer));
    assert_eq!(log.recv_timeout(PATIENCE), Ok(("127.0.0.1".into(), 0, "proxy_timeout")));
}

#[test]
fn whoever_is_not_trusted_cannot_say_who_it_is() {
    let server = serve(|builder| described(builder, false, PATIENCE));
    assert!(server.ask(GET).text().starts_with("Tcp(127.0.0.1:"));
    assert_eq!(server.ask(format!("{OF_TCP4}{GET}")).status, 400);
}

#[test]
fn limits_are_those_of_whom_the_proxy_stands_for() {
    let server = serve(|builder| {
        let limits = PeerLimits { connections_max: Some(1), ..PeerLimits::default() };
        described(builder, true, PATIENCE).peer_limits(limits)
    });
    let begin = |address: &str| {
        let mut peer = server.connect();
        peer.send(format!(
            "PROXY TCP4 {address} 192.0.2.1 4711 443\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
        ));
        peer
    };
    let is_served = |peer: &mut Peer| peer.0.read(&mut [0; 512]).is_ok_and(|n| n > 0);
    let (mut first, mut other) = (begin("203.0.113.1"), begin("203.0.113.2"));
    assert!(is_served(&mut first) && is_served(&mut other));
    assert!(!is_served(&mut begin("203.0.113.1")), "it has one already");
}

#[test]
fn the_end_of_a_server_waits_for_no_header() {
    let server = serve(|builder| described(builder, true, PATIENCE));
    let mut waiting = server.connect();
    waiting.send("PROXY TCP4 1.2");
    // The server has read it when it answers what came later.
    assert_eq!(server.ask(format!("{OF_TCP4}{GET}")).status, 200);
    server.handle.drain();
    assert!(is_closed(&mut waiting));
    server.join();
}
