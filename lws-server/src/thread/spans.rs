//! Spans of connections and of requests for `tracing`: a span for each connection, with one below it for each request.
//!
//! The level and the target of each are fixed, so that a subscriber chooses: connections and their protocol are `lws_server::connection`,
//! the events of their lives at `DEBUG`; requests and WebSockets are `lws_server::request`, at `INFO`. What no subscriber wants is not
//! kept. Beside the connections, so that none is larger for it.

use crate::http::TraceParent;
use crate::id::StreamId;
use crate::thread::access::AccessRecord;
use lws_loop_external::tls::Info;
use lws_loop_external::{ConnectionId, Peer};
use lws_proto::http::{Head, Version};
use lws_proto::{Cause, StreamKey};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use tracing::field::Empty;
use tracing::{Level, Span, debug, enabled, info, info_span};

const CONNECTION: &str = "lws_server::connection";
const REQUEST: &str = "lws_server::request";

/// The spans of one thread. They are lent to no subscriber while they are changed: one may look at the server.
#[derive(Debug, Default)]
pub(crate) struct Spans {
    /// As many as there are connections.
    connections: RefCell<HashMap<ConnectionId, ConnectionSpan>>,
}

#[derive(Debug)]
struct ConnectionSpan {
    span: Span,
    /// As many as the connection has streams.
    requests: HashMap<StreamKey, Span>,
    requests_total: u64,
    /// Why the last of its streams has ended, or the peer was sent away.
    cause: &'static str,
}

/// Octets of a peer for a person: what is no text is escaped.
struct Text<'a>(&'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

impl Spans {
    /// A connection has begun. `side` is what this program is on it: `server` or `client`.
    pub(crate) fn opened(
        &self,
        shard: u16,
        id: Option<ConnectionId>,
        peer: impl FnOnce() -> Peer,
        side: &'static str,
    ) {
        let Some(connection) = id else { return };
        let span = info_span!(
            target: CONNECTION, "connection", key = %format_args!("{shard}-{connection}"), peer = %peer(), side,
            protocol = Empty, tls = Empty
        );
        if span.is_disabled() && !enabled!(target: REQUEST, Level::INFO) {
            return;
        }
        debug!(target: CONNECTION, parent: &span, "opened");
        let kept = ConnectionSpan { span, requests: HashMap::new(), requests_total: 0, cause: "" };
        self.connections.borrow_mut().insert(connection, kept);
    }

    /// Whether anything is to be said of a connection.
    pub(crate) fn has(&self, id: Option<ConnectionId>) -> bool {
        id.is_some_and(|id| self.connections.borrow().contains_key(&id))
    }

    fn span(&self, id: Option<ConnectionId>) -> Option<Span> {
        self.connections.borrow().get(&id?).map(|kept| kept.span.clone())
    }

    /// A TLS handshake is done.
    pub(crate) fn secured(&self, id: Option<ConnectionId>, info: &Info) {
        if let Some(span) = self.span(id) {
            span.record("tls", info.version);
            debug!(target: CONNECTION, parent: &span, tls = %info, "TLS established");
        }
    }

    /// A connection, or a stream of it, has become something other than HTTP.
    pub(crate) fn switched(&self, id: Option<ConnectionId>, protocol: &'static str) {
        if let Some(span) = self.span(id) {
            debug!(target: CONNECTION, parent: &span, protocol, "protocol switched");
        }
    }

    /// A request has come.
    pub(crate) fn requested(&self, shard: u16, id: Option<ConnectionId>, key: StreamKey, head: &Head<'_>) {
        let Some((connection, parent)) = id.zip(self.span(id)) else { return };
        let protocol = protocol(head.version());
        let stream = StreamId { shard, connection, key };
        let traces = head.fields().filter(|(name, _)| name.eq_ignore_ascii_case("traceparent"));
        let span = info_span!(
            target: REQUEST, parent: &parent, "request", key = %stream, method = head.method_name(),
            uri = %Text(head.target().as_bytes()), host = head.host().map(|host| display(Text(host))), protocol,
            traceparent = TraceParent::of_fields(traces.map(|(_, value)| value)).map(display),
            status = Empty, bytes_in = Empty, bytes_out = Empty, messages_in = Empty, messages_out = Empty,
            close_code = Empty, cause = Empty
        );
        let is_first = {
            let mut connections = self.connections.borrow_mut();
            let Some(kept) = connections.get_mut(&connection) else { return };
            kept.requests_total += 1;
            kept.requests.insert(key, span);
            kept.requests_total == 1
        };
        if is_first {
            parent.record("protocol", protocol);
        }
    }

    /// A request has become a WebSocket, or it has ended, or the WebSocket has.
    pub(crate) fn recorded(&self, record: &AccessRecord<'_>) {
        let Some(StreamId { connection, key, .. }) = record.stream else { return };
        let opens = record.cause == "websocket" && record.websocket.is_none();
        let (parent, span) = {
            let mut connections = self.connections.borrow_mut();
            let Some(kept) = connections.get_mut(&connection) else { return };
            let span = if opens { kept.requests.get(&key).cloned() } else { kept.requests.remove(&key) };
            (kept.span.clone(), span)
        };
        let Some(span) = span else {
            let (status, cause) = (record.status, record.cause);
            return info!(target: REQUEST, parent: &parent, status, cause, "request not understood");
        };
        span.record("status", record.status);
        if opens {
            return info!(target: REQUEST, parent: &span, "WebSocket opened");
        }
        span.record("bytes_in", record.bytes_in)
            .record("bytes_out", record.bytes)
            .record("cause", record.cause);
        let duration_ms = u64::try_from(record.duration.as_millis()).unwrap_or(u64::MAX);
        match &record.websocket {
            None => info!(target: REQUEST, parent: &span, duration_ms, "request ended"),
            Some(websocket) => {
                span.record("messages_in", websocket.messages_in)
                    .record("messages_out", websocket.messages_out);
                span.record("close_code", websocket.close_code);
                info!(target: REQUEST, parent: &span, duration_ms, "WebSocket ended");
            }
        }
    }

    /// A stream has ended for this reason, or a peer was sent away.
    pub(crate) fn ended(&self, id: Option<ConnectionId>, cause: Cause) {
        let Some(id) = id else { return };
        if let Some(kept) = self.connections.borrow_mut().get_mut(&id) {
            kept.cause = cause.name();
        }
    }

    /// A connection is over.
    pub(crate) fn closed(&self, id: Option<ConnectionId>) {
        let kept = id.and_then(|id| self.connections.borrow_mut().remove(&id));
        if let Some(ConnectionSpan { span, requests_total, cause, .. }) = kept {
            debug!(target: CONNECTION, parent: &span, requests = requests_total, cause, "closed");
        }
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
        Version::Http2 => "HTTP/2",
    }
}
