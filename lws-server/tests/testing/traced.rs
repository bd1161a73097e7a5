//! Spans for `tracing`: one of each connection, and below it one of each request.

use crate::test;
use lws_server::Context;
use lws_server::http::Response;
use lws_server::testing::Server;
use lws_server::ws::{CloseCode, Handler, Message};
use lws_server::{Payload, WebSocket};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

struct Twice;

impl Handler for Twice {
    fn message(&mut self, _: &mut Context<'_>, mut stream: WebSocket<'_>, message: Message<'_>) {
        for _ in 0..2 {
            if let Ok(permit) = stream.reborrow().permit() {
                let _ = permit.message(message.kind, Payload::Copy(message.chunk), message.end);
            }
        }
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a subscriber with this filter writes about what is done with a server.
fn traced(filter: &str, act: impl FnOnce(&Server)) -> Vec<String> {
    let lines = Lines::default();
    let writer = lines.clone();
    let format =
        tracing_subscriber::fmt::layer().without_time().with_ansi(false).with_writer(move || writer.clone());
    let filter: Targets = filter.parse().expect("a filter");
    tracing::subscriber::with_default(tracing_subscriber::registry().with(filter).with(format), || {
        let server = test(|server| server.get("/a", |_| Response::text("12345")).ws("/twice", |_| Twice));
        act(&server);
    });
    let text = lines.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    String::from_utf8(text).expect("text").lines().map(|line| line.trim().to_owned()).collect()
}

#[track_caller]
fn check(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "{part} in {line}");
    }
}

#[test]
fn a_request_stands_in_its_connection_with_the_trace_that_it_belongs_to() {
    for http2 in [false, true] {
        let lines = traced("debug", |server| {
            let request = server.get("/a?b").host("example.org").field("traceparent", TRACE);
            let request = request.from(([192, 0, 2, 7], 4711).into());
            let _ = if http2 { request.http2() } else { request }.send();
        });
        let [opened, ended, closed] = &lines[..] else { panic!("{lines:#?}") };
        let protocol = if http2 { "protocol=\"HTTP/2\"" } else { "protocol=\"HTTP/1.1\"" };
        check(
            opened,
            &[
                "DEBUG connection{key=0-",
                "peer=192.0.2.7:4711 side=\"server\"}: lws_server::connection: opened",
            ],
        );
        let of_request =
            ["INFO connection{", protocol, ":request{key=0-", "method=\"GET\" uri=/a?b host=example.org"];
        check(ended, &of_request);
        check(ended, &[&format!("traceparent={TRACE}"), "status=200 bytes_in=0 bytes_out=5 cause=\""]);
        check(ended, &["lws_server::request: request ended duration_ms="]);
        check(closed, &["DEBUG connection{", protocol, "lws_server::connection: closed requests=1 cause=\""]);
    }
}

#[test]
fn a_websocket_is_a_switch_of_protocols_and_counts_its_messages() {
    for http2 in [false, true] {
        let lines = traced("debug", |server| {
            let opening = server.ws("/twice");
            let peer = if http2 { opening.http2() } else { opening }.connect();
            peer.send("1234");
            server.settle();
            peer.close(CloseCode::NORMAL, "");
            server.settle();
        });
        let find = |words: &str| {
            let found = lines.iter().find(|line| line.contains(words));
            found.unwrap_or_else(|| panic!("{words} in {lines:#?}"))
        };
        check(find("WebSocket opened"), &["INFO", "request{", "uri=/twice"]);
        check(find("protocol switched"), &["DEBUG", "protocol=\"WebSocket\""]);
        let ended = find("WebSocket ended");
        check(
            ended,
            &["messages_in=1 messages_out=2 close_code=1000", "bytes_in=4 bytes_out=8", "closed_by_peer"],
        );
        check(
            lines.last().expect("lines"),
            &["lws_server::connection: closed requests=1 cause=\"closed_by_peer\""],
        );
    }
}

#[test]
fn a_subscriber_chooses_by_level_and_target() {
    let count = |filter: &str, expected: &[&str]| {
        let lines = traced(filter, |server| drop(server.get("/a").send()));
        let ends: Vec<_> =
            lines.iter().map(|line| line.rsplit("lws_server::").next().unwrap_or_default()).collect();
        assert_eq!(ends.len(), expected.len(), "{filter}: {lines:#?}");
        for (end, expected) in ends.iter().zip(expected) {
            assert!(end.starts_with(expected), "{filter}: {end}");
        }
        lines
    };
    count("off", &[]);
    count("info", &["request: request ended"]);
    count("lws_server::connection=debug", &["connection: opened", "connection: closed"]);
    let alone = count("lws_server::request=info", &["request: request ended"]);
    assert!(alone[0].starts_with("INFO request{"), "{alone:?}");
    count("lws_server=warn", &[]);
}

#[test]
fn a_request_that_is_not_understood_is_said_of_its_connection() {
    let lines = traced("lws_server::request=info", |server| {
        let _ = server.request("GET", "/a").field("x", "y".repeat(200_000)).send();
    });
    check(&lines[0], &["INFO lws_server::request: request not understood status=431"]);
}
