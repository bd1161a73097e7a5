//! Messages that wait for a slow peer.

use crate::test;
use lws_server::testing::{Server as Test, WebSocket};
use lws_server::ws::{self, Message, NotSent, Outbox, Overflow};
use lws_server::{Context, MessageKind, WebSocketPermit};
use std::cell::RefCell;
use std::rc::Rc;

/// Answers a number with as many messages of a thousand octets, and says in the end how many were refused and dropped.
struct Flood {
    outbox: Outbox,
    report: Rc<RefCell<Vec<String>>>,
}

impl ws::Handler for Flood {
    fn message(&mut self, _: &mut Context<'_>, mut stream: lws_server::WebSocket<'_>, message: Message<'_>) {
        let count = message.text().and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut refused = 0;
        for number in 0..count {
            match self.outbox.send(stream, MessageKind::Text, format!("{number:01000}")) {
                Ok(left) => stream = left,
                Err(NotSent::Full(left, _)) => {
                    refused += 1;
                    stream = left;
                }
                Err(error) => return self.report.borrow_mut().push(error.to_string()),
            }
        }
        self.report.borrow_mut().push(format!("{refused} {}", self.outbox.dropped()));
        assert!(self.outbox.len() <= 20 && self.outbox.bytes() <= 10_000);
    }

    fn writable(&mut self, _: &mut Context<'_>, permit: WebSocketPermit<'_>) {
        self.outbox.writable(permit);
    }
}

fn flooded(overflow: Overflow) -> (Test, WebSocket, Rc<RefCell<Vec<String>>>) {
    let report = Rc::default();
    let shared = Rc::clone(&report);
    let outbox = Outbox::new(20, 10_000).overflow(overflow);
    let t = test(move |server| {
        server.ws("/", move |_| Flood { outbox: outbox.clone(), report: Rc::clone(&shared) })
    });
    let websocket = t.ws("/").connect();
    websocket.pause(true);
    websocket.send("500");
    (t, websocket, report)
}

/// The numbers that have come.
fn numbers(websocket: &WebSocket) -> Vec<u32> {
    websocket.pause(false);
    let next = || websocket.receive().map(|(_, message)| String::from_utf8(message).expect("text"));
    std::iter::from_fn(next).map(|text| text.parse().expect("a number")).collect()
}

#[test]
fn what_does_not_fit_is_refused() {
    let (_t, websocket, report) = flooded(Overflow::Refuse);
    let sent = numbers(&websocket);
    assert!(sent.iter().copied().eq(0..sent.len() as u32), "in order, and without a gap: {sent:?}");
    assert_eq!(*report.borrow(), [format!("{} 0", 500 - sent.len())]);
    assert!(sent.len() >= 10);
    websocket.send("3");
    assert_eq!(numbers(&websocket), [0, 1, 2], "and it goes on");
}

#[test]
fn the_oldest_make_room() {
    let (_t, websocket, report) = flooded(Overflow::DropOldest);
    let sent = numbers(&websocket);
    assert_eq!(sent.last(), Some(&499), "the newest has come");
    assert!(sent.is_sorted());
    assert_eq!(*report.borrow(), [format!("0 {}", 500 - sent.len())]);
}

#[test]
fn a_peer_that_does_not_keep_up_is_closed() {
    let (_t, websocket, report) = flooded(Overflow::Close);
    let _ = numbers(&websocket);
    assert_eq!(websocket.close_code(), Some(1013));
    assert_eq!(*report.borrow(), ["the peer does not keep up, and the WebSocket closes"]);
}
