//! Request heads for unit tests, as the engine makes them.

use lws_proto::http::Head;
use lws_proto::{Connection, Event, Time};
use std::sync::Arc;

/// Lends the head of a request.
pub(crate) fn with_head<R>(octets: &str, look: impl FnOnce(&Head<'_>) -> R) -> R {
    let mut connection = Connection::server(Time::ZERO, Arc::default());
    let mut octets = octets.as_bytes().to_vec();
    let mut feed = connection.receive(Time::ZERO, &mut octets);
    match feed.next_event() {
        Some(Event::Request { head, .. }) => look(&head),
        _ => panic!("the engine takes it for no request"),
    }
}
