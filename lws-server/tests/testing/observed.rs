//! The access log: a record for each request, and one for each end of a WebSocket.

use crate::test;
use lws_server::testing::Server;
use lws_server::ws::{CloseCode, Handler, Message};
use lws_server::{Context, Payload, WebSocket, http::Request, http::Response};
use std::cell::RefCell;
use std::rc::Rc;

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

/// Begins a message, and does not end it.
struct Begins;

impl Handler for Begins {
    fn message(&mut self, _: &mut Context<'_>, stream: WebSocket<'_>, message: Message<'_>) {
        if let Ok(permit) = stream.permit() {
            let _ = permit.message(message.kind, Payload::Copy(message.chunk), false);
        }
    }
}

/// A server, and the members of its records.
fn serve() -> (Server, Rc<RefCell<Vec<String>>>) {
    let lines: Rc<RefCell<Vec<String>>> = Rc::default();
    let log = Rc::clone(&lines);
    let server = test(move |server| {
        server
            .post("/", |request: &Request<'_>| Response::text(request.content().len().to_string()))
            .ws("/twice", |_| Twice)
            .ws("/begins", |_| Begins)
            .access_log(move |record| log.borrow_mut().push(record.json().to_string()))
    });
    (server, lines)
}

fn check(line: &str, members: &[&str]) {
    for member in members {
        assert!(line.contains(member), "{member} in {line}");
    }
}

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn a_request_says_what_came_and_went_and_by_whom_it_is_traced() {
    let (server, lines) = serve();
    let _ = server.post("/", "12345").host("example.org").field("traceparent", TRACE).send();
    let _ = server.post("/", "").field("traceparent", "00-nonsense").send();
    let lines = lines.borrow();
    let members = [
        "\"host\":\"example.org\"",
        "\"bytes_in\":5,\"bytes_out\":1",
        "\"trace_id\":\"0af7651916cd43dd8448eb211c80319c\",\"parent_id\":\"b7ad6b7169203331\"",
        "\"first_byte_ms\":0.000",
        "\"request_id\":\"0-",
    ];
    check(&lines[0], &members);
    assert!(!lines[1].contains("trace_id"), "{}", lines[1]);
}

#[test]
fn a_websocket_has_a_record_of_its_opening_and_one_of_its_end() {
    let (server, lines) = serve();
    for http2 in [false, true] {
        let opening = server.ws("/twice");
        let peer = if http2 { opening.http2() } else { opening }.connect();
        peer.send("1234");
        server.settle();
        peer.close(CloseCode::NORMAL, "");
        server.settle();
    }
    let lines = lines.borrow();
    for (index, status) in [(0, 101), (2, 200)] {
        check(&lines[index], &[&format!("\"status\":{status}"), "\"cause\":\"websocket\""]);
        check(
            &lines[index + 1],
            &[
                &format!("\"status\":{status},\"bytes_in\":4,\"bytes_out\":8"),
                "\"cause\":\"closed_by_peer\"",
                "\"messages_in\":1,\"messages_out\":2,\"close_code\":1000}",
            ],
        );
    }
    assert_eq!(lines.len(), 4);
}

#[test]
fn octets_of_a_message_that_has_not_ended_were_sent_and_it_is_no_message() {
    let (server, lines) = serve();
    let peer = server.ws("/begins").connect();
    for text in ["1234", "56"] {
        peer.send(text);
        server.settle();
    }
    peer.close(CloseCode::NORMAL, "");
    server.settle();
    let members = ["\"bytes_in\":6,\"bytes_out\":6", "\"messages_in\":2,\"messages_out\":0"];
    check(&lines.borrow()[1], &members);
}
