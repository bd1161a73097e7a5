//! Requests of a client, which are queued until the server takes more streams. RFC 9113 §5.1.2 and §8.3.1, RFC 8441
//! §4.

use super::super::fields::FieldBuffer;
use super::super::frame;
use super::super::shutdown::ShutdownPhase;
use super::super::slot::Slot;
use super::super::state::{Frame, State, Transition};
use super::super::streams::{self, Message};
use super::super::window::SendWindow;
use super::Session;
use crate::connection::link::Link;
use crate::connection::resources::Resources;
use crate::hpack::NameId;
use crate::http::{BodyFraming, ExplicitFields, Method, Request, Scheme, frame_request};
use crate::key::StreamKey;
use crate::payload::Payload;
use crate::{Cause, HandshakeFailure, Misuse, Time, ws};
use alloc::vec::Vec;

/// The streams that a client opens before it knows the server's limit. RFC 9113 §6.5.2 recommends at least this many.
const STREAMS_BEFORE_SETTINGS: u32 = 100;

impl Session {
    pub(crate) fn request<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        link: &mut Link,
        resources: &mut Resources,
        request: (&Request<'_>, impl IntoIterator<Item = (N, V)>),
        content: Payload<'_>,
        end: bool,
    ) -> Result<(), Misuse> {
        let (request, fields) = request;
        let method = Method::from_token(request.method);
        self.check_request(link)?;
        request.check(method)?;
        let mut head = FieldBuffer::default();
        push_request(&mut head, request, method, self.requests.scheme);
        let mut framing = push_fields(&mut head, method, fields, content.len() as u64, end)?;
        let slot = self.open_request(link, method, head);
        if let BodyFraming::Length(left) = &mut framing {
            *left -= content.len() as u64;
        }
        let ends = end && content.is_empty() && method != Method::Connect;
        // A request with content does not end with its head, and neither does one for a tunnel.
        self.streams.at(slot).set_message(if ends { Message::Ended } else { Message::Content(framing) });
        self.start_requests(link);
        self.lend(slot);
        let stream = self.lent_stream();
        if ends {
            return Ok(());
        }
        if end {
            stream.set_message(Message::Ended);
        }
        if method == Method::Connect {
            return Ok(());
        }
        if stream.is_queued() {
            stream.push_pending(content, end);
        } else {
            self.write_content(link, resources, slot, content, end);
        }
        Ok(())
    }

    /// Sends an extended CONNECT, once the server has enabled it. RFC 8441 §4.
    pub(crate) fn connect_websocket(
        &mut self,
        link: &mut Link,
        connect: &ws::Connect<'_>,
    ) -> Result<StreamKey, Misuse> {
        self.check_request(link)?;
        let asked = ws::ask(connect)?;
        let mut head = FieldBuffer::default();
        head.push(b":method", b"CONNECT");
        head.push(b":protocol", b"websocket");
        head.push(b":scheme", self.requests.scheme.as_str().as_bytes());
        head.push(b":path", connect.target().as_bytes());
        head.push(b":authority", connect.host().as_bytes());
        for (name, value) in &asked.fields {
            head.push(name.to_ascii_lowercase().as_bytes(), value.as_bytes());
        }
        let slot = self.open_request(link, Method::Connect, head);
        let stream = self.streams.at(slot);
        stream.await_opening(asked.expected);
        self.start_requests(link);
        Ok(self.streams.key(slot))
    }

    fn check_request(&mut self, link: &mut Link) -> Result<(), Misuse> {
        if !self.client || self.shutdown.finished {
            return Err(Misuse::WrongState);
        }
        if !self.takes_requests() {
            return Err(Misuse::NotOffered);
        }
        // Streams may have ended whose end has not been delivered yet, which makes room.
        self.start_requests(link);
        if self.requests.queue.len() >= link.config.limits.h2_requests_queued_max {
            return Err(Misuse::QueueFull);
        }
        Ok(())
    }

    /// Whether a request can be made on this connection.
    fn takes_requests(&self) -> bool {
        self.shutdown.phase == ShutdownPhase::Running
            && self.shutdown.peer_last.is_none()
            && self.requests.next_id < frame::MAX_31_BITS
    }

    fn open_request(&mut self, link: &Link, method: Method, head: FieldBuffer) -> Slot {
        let id = self.requests.next_id;
        self.requests.next_id += 2;
        let mut stream = self.new_stream(id, link.now);
        stream.method = method;
        stream.set(streams::DELIVERED);
        stream.queue(head);
        // The application may hold earlier streams for ever, so a queued request has a deadline.
        stream.due = link.now + link.config.limits.response_timeout;
        self.wake_at(stream.due);
        let slot = self.streams.insert(stream);
        self.requests.queue.push_back(slot);
        slot
    }

    /// Sends queued requests, as far as the server takes streams. RFC 9113 §5.1.2.
    pub(in crate::h2) fn start_requests(&mut self, link: &mut Link) {
        while let Some(&slot) = self.requests.queue.front() {
            let streams_max = self.settings.peer.max_concurrent_streams.unwrap_or(u32::MAX);
            let max = if self.settings.received { streams_max } else { STREAMS_BEFORE_SETTINGS };
            let extended = self.streams.peek(slot).is_opening();
            if self.requests.active >= max || extended && !self.settings.received {
                return;
            }
            self.requests.queue.pop_front();
            // The server's SETTINGS have arrived, and do not enable extended CONNECT.
            if extended && !self.settings.peer.enable_connect_protocol {
                self.close(slot, Cause::Handshake(HandshakeFailure::ExtendedConnect));
                continue;
            }
            self.start_request(link, slot);
        }
    }

    fn start_request(&mut self, link: &mut Link, slot: Slot) {
        self.requests.began = link.now;
        let stream = self.streams.at(slot);
        let Some(head) = stream.begin_queued() else { return };
        stream.due = Time::NEVER;
        let id = stream.id;
        // The windows that the server grants may have changed since the request was made.
        stream.send = SendWindow::new(self.settings.peer.initial_window_size);
        let opening = stream.method == Method::Connect;
        let empty = !opening && stream.message() == Message::Ended && stream.pending().is_none();
        stream.state =
            stream.state.on(Transition::Send(Frame::Headers { end: false })).unwrap_or(State::Open);
        self.requests.active += 1;
        debug_assert!(self.requests.active as usize <= self.streams.len(), "each counts once");
        // Misuse is impossible: every field has been checked.
        let _ = self.fields.headers(&mut link.out, id, |writer, buffer| {
            for (name, value) in head.fields() {
                let known = NameId::of(name);
                if known.is_pseudo() {
                    writer.known_field(buffer, known, value);
                } else {
                    writer.field(buffer, name, value);
                }
            }
            Ok(((), empty))
        });
        let stream = self.streams.at(slot);
        if opening {
            let due = link.now + link.config.limits.response_timeout;
            stream.due = due;
            self.wake_at(due);
        } else if empty {
            self.end_message(link, slot);
        } else if stream.pending().is_some() {
            self.wait_for_window(slot, link.now);
        } else {
            self.line_up(slot, link.now);
        }
    }
}

/// Adds the pseudo-header fields of a request.
fn push_request(head: &mut FieldBuffer, request: &Request<'_>, method: Method, scheme: Scheme) {
    head.push(b":method", request.method.as_bytes());
    if method == Method::Connect {
        return head.push(b":authority", request.target.as_bytes());
    }
    head.push(b":scheme", scheme.as_str().as_bytes());
    head.push(b":authority", request.host.as_bytes());
    head.push(b":path", request.target.as_bytes());
}

/// Adds the fields of the application, and the length of the content if it is known. Returns how the content ends.
fn push_fields<N: AsRef<[u8]>, V: AsRef<[u8]>>(
    head: &mut FieldBuffer,
    method: Method,
    fields: impl IntoIterator<Item = (N, V)>,
    len: u64,
    end: bool,
) -> Result<BodyFraming, Misuse> {
    let mut explicit = ExplicitFields::default();
    for (name, value) in fields {
        if let Some(line) = explicit.check(name.as_ref(), value.as_ref())? {
            head.push(line.name, line.value);
        }
    }
    let (framing, length) = frame_request(method, explicit, len, end)?;
    if let Some(length) = length {
        let mut digits = Vec::new();
        crate::http::write_decimal(&mut digits, length);
        head.push(b"content-length", &digits);
    }
    Ok(framing)
}
