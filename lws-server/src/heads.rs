//! Request heads for unit tests and fuzz targets, as the engine makes them.

use lws_proto::http::Head;
use lws_proto::{Connection, Event, Time};
use std::sync::Arc;

/// Lends the head of a request, if the engine takes the octets for one.
pub(crate) fn look_at<R>(mut octets: Vec<u8>, look: impl FnOnce(&Head<'_>) -> R) -> Option<R> {
    let mut connection = Connection::server(Time::ZERO, Arc::default());
    let mut feed = connection.receive(Time::ZERO, &mut octets);
    match feed.next_event() {
        Some(Event::Request { head, .. }) => Some(look(&head)),
        _ => None,
    }
}

/// Lends the head of a request.
#[cfg(test)]
pub(crate) fn with_head<R>(octets: &str, look: impl FnOnce(&Head<'_>) -> R) -> R {
    look_at(octets.as_bytes().to_vec(), look).expect("the engine takes it for a request")
}
