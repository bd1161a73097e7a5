//! `h2` as the client of our server and as the server of our client: each side receives what the other intended to send, whatever the
//! settings, the parts, the resets and the ways of the bytes are.

mod link;
mod ours;
mod plan;
mod theirs;

use crate::h2;
use crate::transcript::{Fields, Octets};
use link::{Link, Task};
use plan::{Exchange, Message, Plan, Reset};
use std::cell::{Cell, RefCell};
use theirs::Slot;

/// What one side has received of the other's message.
#[derive(Clone, Debug, Default, PartialEq)]
struct ReceivedMessage {
    /// The method, or the final status code. Empty if there was none.
    begin: String,
    interim: usize,
    fields: Fields,
    content: Octets,
    trailers: Option<Fields>,
    end: End,
}

/// How a message has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    /// Not at all.
    #[default]
    Open,
    Whole,
    /// The other side gave up, with an error code.
    Reset(u32),
    /// The receiving side gave up.
    GaveUp,
}

/// An input is a plan.
pub fn http2_differential(input: &[u8]) {
    let Ok(plan) = Plan::read(input) else { return };
    let received = if plan.answers { h2_answers(&plan) } else { h2_asks(&plan) };
    for (exchange, (request, response)) in plan.exchanges.iter().zip(received) {
        check(exchange, request, response);
    }
}

/// The request and the response of each exchange, as they were received.
type Exchanges = Vec<(Option<ReceivedMessage>, Option<ReceivedMessage>)>;

fn h2_asks(plan: &Plan) -> Exchanges {
    let slots: Vec<Slot> = plan.exchanges.iter().map(|_| RefCell::default()).collect();
    let mut server = ours::server(plan);
    let mut link = Link::new(&plan.travel);
    let sender = theirs::client(plan, &link.pipe, &mut link.tasks);
    // Once the client knows the server's limit of streams, no request is refused.
    link.drive(&mut server, ours::resume);
    for (index, exchange) in plan.exchanges.iter().enumerate() {
        link.tasks.push(Box::pin(theirs::ask(sender.clone(), exchange, index, &slots[index])));
    }
    link.drive(&mut server, ours::resume);
    assert_eq!(link.tasks.len(), 1, "the exchanges have ended, the connection has not");
    assert!(server.keys().is_empty(), "streams are open: {:?}", server.streams);
    if plan.ends {
        drop(sender);
    } else {
        server.connection.drain(server.now);
    }
    link.drive(&mut server, ours::resume);
    assert!(link.tasks.is_empty() && server.is_over(), "the connection has ended");
    let received = |(index, slot): (usize, &Slot)| (ours::received_exchange(&server, index), slot.take());
    slots.iter().enumerate().map(received).collect()
}

fn h2_answers(plan: &Plan) -> Exchanges {
    let slots: Vec<Slot> = plan.exchanges.iter().map(|_| RefCell::default()).collect();
    let end = Cell::new(false);
    let mut client = ours::client(plan);
    let mut link = Link::new(&plan.travel);
    let serve: Task<'_> = Box::pin(theirs::serve(plan, link.pipe.clone(), &slots, &end));
    link.tasks.push(serve);
    link.drive(&mut client, ours::resume);
    let keys = ours::ask(&mut client);
    link.drive(&mut client, ours::resume);
    assert!(client.keys().is_empty(), "streams are open: {:?}", client.streams);
    if plan.ends {
        end.set(true);
    } else {
        client.connection.drain(client.now);
    }
    link.drive(&mut client, ours::resume);
    assert!(link.tasks.is_empty() && client.is_over(), "the connection has ended");
    let received = |(key, slot): (_, &Slot)| (slot.take(), Some(ours::received(&client.of(key))));
    keys.into_iter().zip(&slots).map(received).collect()
}

/// What one side received is what the other sent, or the part of it before either gave up.
fn check(exchange: &Exchange, request: Option<ReceivedMessage>, response: Option<ReceivedMessage>) {
    let asked = intended(exchange.method.into(), 0, &exchange.request);
    let answered = intended(exchange.status.to_string(), exchange.interim, &exchange.response);
    match exchange.reset {
        Reset::Neither => {
            assert_eq!(response, Some(answered));
        }
        Reset::Server(_) => {
            let response = response.expect("a response");
            assert!(matches!(response.end, End::Reset(_)), "the server gave up: {response:?}");
            assert_part(&response, &answered);
        }
        Reset::Client(_) => {
            // A stream may be reset before anything of it has left.
            if let Some(request) = request {
                assert!(request.end != End::Whole || exchange.early, "the client gave up: {request:?}");
                assert_part(&request, &asked);
            }
            return;
        }
    }
    let request = request.expect("a request");
    if exchange.early {
        // Who has answered need not listen. RFC 9113 §8.1.
        assert_part(&request, &asked);
    } else if exchange.reset == Reset::Neither {
        assert_eq!(request, asked);
    } else {
        // A side that gives up when the content has ended gets no trailers.
        assert_eq!(request.content, asked.content);
        assert_part(&request, &asked);
    }
}

/// All of a message as it ought to be received.
fn intended(begin: String, interim: usize, message: &Message) -> ReceivedMessage {
    let compared = |fields: &Fields| {
        h2::by_name(fields.iter().filter(|(name, _)| plan::NAMES.contains(&name.as_str())).cloned())
    };
    ReceivedMessage {
        begin,
        interim,
        fields: compared(&message.fields),
        content: message.content[..].into(),
        trailers: message.trailers.as_ref().map(compared),
        end: End::Whole,
    }
}

/// What was received is the beginning of what was intended.
fn assert_part(received: &ReceivedMessage, intended: &ReceivedMessage) {
    let ReceivedMessage { begin, interim, fields, content, trailers, end: _ } = received;
    assert!(*interim <= intended.interim && (begin.is_empty() || *begin == intended.begin), "{received:?}");
    assert!(
        begin.is_empty() && fields.is_empty() || *fields == intended.fields,
        "{received:?}, not {intended:?}"
    );
    assert!(intended.content.0.starts_with(&content.0), "{} bytes are other ones", content.0.len());
    assert!(trailers.is_none() || *trailers == intended.trailers, "{received:?}, not {intended:?}");
}
