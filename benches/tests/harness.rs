//! The load generator against servers whose behaviour is known.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::thread;

use benches::Result;
use benches::ceiling::{Ceiling, HELLO, Kind};
use benches::client::{Fleet, Outcome, Plan, Span, Traffic};

const CONTENT: &str = "Hello, world!";

/// A bare server that lives as long as the test process.
fn ceiling(kind: Kind) -> Result<u16> {
    let ceiling = Ceiling::bind(kind, 0, HELLO)?;
    let port = ceiling.port()?;
    thread::spawn(move || ceiling.run().map_err(|error| error.to_string()));
    Ok(port)
}

fn hello() -> Traffic {
    Traffic::Http { path: "/hello".into(), content: CONTENT.into() }
}

fn run(traffic: Traffic, port: u16, size: usize, depth: usize, messages: u64) -> Result<Outcome> {
    let plan = Plan { port, traffic, connections: 7, size, depth, sources: 2 };
    Fleet::open(&plan)?.run(Span::Messages(messages), Some(std::process::id()))
}

#[test]
fn exactly_as_many_messages_are_sent_and_checked_as_were_asked_for() -> Result<()> {
    let (raw, http) = (ceiling(Kind::Raw)?, ceiling(Kind::Http)?);
    for (traffic, port, size) in [(Traffic::Raw, raw, 20), (Traffic::Raw, raw, 1 << 20), (hello(), http, 1)] {
        for depth in [1, 16] {
            let outcome = run(traffic.clone(), port, size, depth, 500)?;
            let tally = outcome.tally;
            assert_eq!((outcome.messages, tally.replies), (500, 500), "{traffic:?} of {size}, depth {depth}");
            assert_eq!((tally.verified, tally.bad), (7, 0), "{traffic:?} of {size}, depth {depth}");
            assert!(outcome.server_ns().is_some());
        }
    }
    Ok(())
}

#[test]
fn other_content_than_expected_is_bad() -> Result<()> {
    let traffic = Traffic::Http { path: "/hello".into(), content: "Good evening!".into() };
    let outcome = run(traffic, ceiling(Kind::Http)?, 1, 1, 50)?;
    assert_eq!((outcome.tally.verified, outcome.tally.bad), (0, 50));
    Ok(())
}

#[test]
fn a_server_that_is_no_websocket_server_is_reported() -> Result<()> {
    let error = run(Traffic::WebSocket { path: "/".into() }, ceiling(Kind::Http)?, 1, 1, 1).err();
    assert!(error.is_some_and(|error| error.to_string().contains("not switched to WebSocket: HTTP/1.1 200")));
    Ok(())
}

/// Answers `each` requests on a connection, the last of them with `Connection: close`, and ends it.
fn closing_server(each: usize) -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            thread::spawn(move || {
                let response = |close| {
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{close}\r\n{CONTENT}", CONTENT.len())
                };
                let (mut buffer, mut ends, mut answered) = ([0; 4096], 0, 0);
                // What comes after the last answer is read and dropped, lest a reset overtake it.
                while let Ok(received @ 1..) = socket.read(&mut buffer) {
                    // Every request ends with its only empty line, so its LFs can be counted: three.
                    ends += buffer[..received].iter().filter(|&&byte| byte == b'\n').count();
                    while answered < each.min(ends / 3) {
                        answered += 1;
                        let close = if answered == each { "Connection: close\r\n" } else { "" };
                        if socket.write_all(response(close).as_bytes()).is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    Ok(port)
}

#[test]
fn a_connection_that_the_server_ends_in_good_order_is_opened_again() -> Result<()> {
    for depth in [1, 16] {
        let outcome = run(hello(), closing_server(10)?, 1, depth, 700)?;
        let tally = outcome.tally;
        assert_eq!((outcome.messages, tally.bad), (700, 0), "depth {depth}");
        assert!(tally.reopened >= 63, "depth {depth}: {}", tally.reopened);
    }
    Ok(())
}
