//! Exchanges on the stream that is lent: responses of a server, requests of a client. RFC 9113 §8.
//!
//! The same calls as in HTTP/1.1, with the same answers. Fields that are about an HTTP/1.1 connection are left out.

use super::error::ErrorCode;
use super::sender::{Sender, is_tunnel};
use super::state::{Frame, State, Step};
use super::streams::{self, Message, Place, Stream, Trailers};
use crate::hpack::{Indexing, NameId};
use crate::http::{
    Method, Outgoing, Request, Said, Scheme, Status, Version, check_length, frame_request, frame_response,
    is_field_value, is_forbidden_trailer, is_token, trim_ows,
};
use crate::stream::Payload;
use crate::transmit::Output;
use crate::{Cause, Config, HandshakeFailure, Limit, Misuse, StreamKey, Time, ws};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Streams that a client opens before the server has said how many it takes. RFC 9113 §6.5.2 recommends at least so many.
const STREAMS_BEFORE_SETTINGS: u32 = 100;

impl Sender {
    // Fields.

    /// Encodes the fields of the application.
    fn encode_fields<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        buffer: &mut Vec<u8>,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Said, Misuse> {
        let mut said = Said::default();
        for (name, value) in fields {
            if let Some((name, value)) = said.check(name.as_ref(), value.as_ref())? {
                self.encoder.encode(buffer, name, value, Indexing::Auto);
            }
        }
        Ok(said)
    }

    // Responses.

    pub(crate) fn respond<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        out: &mut Output,
        config: &Config,
        now: Time,
        response: (Status, impl IntoIterator<Item = (N, V)>),
        content: Payload<'_>,
        end: bool,
    ) -> Result<(), Misuse> {
        let (status, fields) = response;
        let stream = self.open_exchange()?;
        let (id, method, len) = (stream.id, stream.method, content.len() as u64);
        if stream.message != Message::Head || self.client {
            return Err(Misuse::WrongState);
        }
        if status.is_interim() || is_tunnel(method, status) {
            return Err(Misuse::StartLine);
        }
        let outgoing = self.headers(out, id, |sender, buffer| {
            sender.encoder.encode_status(buffer, status.code());
            let said = sender.encode_fields(buffer, fields)?;
            let outgoing = frame_response(method, Version::Http2, status, said, len, end)?;
            if let (false, Some(seconds)) = (said.date, config.wall_clock.get()) {
                sender.encode_date(buffer, seconds);
            }
            let length = match outgoing {
                Outgoing::Length(length) => Some(length),
                Outgoing::Dropped if end && len > 0 => Some(len),
                _ => None,
            };
            if let (Some(length), None) = (length, said.content_length) {
                sender.encode_length(buffer, length);
            }
            Ok((outgoing, outgoing.ends_with_head() || end && len == 0))
        })?;
        self.lent().take(streams::OWES_CONTINUE);
        let slot = self.current;
        self.note_progress(slot, now);
        self.write(out, config, now, outgoing, content, end, true);
        Ok(())
    }

    pub(crate) fn interim<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        out: &mut Output,
        status: Status,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Result<(), Misuse> {
        let stream = self.open_exchange()?;
        let id = stream.id;
        if stream.message != Message::Head || self.client {
            return Err(Misuse::WrongState);
        }
        // RFC 9113 §8.6: 101 does not exist here.
        if !status.is_interim() || status == Status::SWITCHING_PROTOCOLS {
            return Err(Misuse::StartLine);
        }
        self.headers(out, id, |sender, buffer| {
            sender.encoder.encode_status(buffer, status.code());
            let said = sender.encode_fields(buffer, fields)?;
            if said.content_length.is_some() { Err(Misuse::ManagedField) } else { Ok(((), false)) }
        })?;
        if status == Status::CONTINUE {
            self.lent().take(streams::OWES_CONTINUE);
        }
        Ok(())
    }

    /// Lets the client send the content that it holds back. RFC 9110 §10.1.1.
    pub(super) fn send_continue(&mut self, out: &mut Output, slot: u32) {
        self.current = slot;
        // Misuse is impossible: it is a server's stream that has not been answered.
        let _ = self.interim(out, Status::CONTINUE, core::iter::empty::<(&str, &str)>());
    }

    /// Answers what the peer did wrong on a stream that has not been answered, and ends the stream.
    #[cold]
    pub(super) fn refuse(
        &mut self,
        out: &mut Output,
        config: &Config,
        now: Time,
        slot: u32,
        status: Status,
        (cause, message): (Cause, &'static str),
    ) {
        self.current = slot;
        let stream = self.lent();
        stream.cause = cause;
        // Of content that is on its way a little is dropped first, as some clients take a reset for the loss of the response.
        let too_much = matches!(cause, Cause::Timeout(_) | Cause::Limit(Limit::ContentBytes));
        let waits = !too_much && stream.method != Method::Connect;
        stream.method = if stream.method == Method::Connect { Method::Other } else { stream.method };
        let version = [("sec-websocket-version", "13")];
        let version = if status == Status::UPGRADE_REQUIRED { &version[..] } else { &[] };
        let fields = [("content-type", "text/plain")].into_iter().chain(version.iter().copied());
        let content = Payload::Static(message.as_bytes());
        let answered = self.respond(out, config, now, (status, fields), content, true);
        let stream = self.streams.at(slot);
        if answered.is_err() || stream.pending.is_some() {
            self.give_up(out, slot, cause);
        } else if stream.state != State::Closed && !waits {
            // RFC 9113 §8.1: nobody waits for the rest of the request.
            self.reset(out, slot, ErrorCode::NO_ERROR, cause);
        }
    }

    // Content.

    pub(crate) fn data(
        &mut self,
        out: &mut Output,
        config: &Config,
        now: Time,
        content: Payload<'_>,
        end: bool,
    ) -> Result<(), Misuse> {
        let outgoing = self.outgoing()?;
        if let Outgoing::Length(left) = outgoing {
            check_length(left, content.len() as u64, end)?;
        }
        self.write(out, config, now, outgoing, content, end, false);
        Ok(())
    }

    fn outgoing(&mut self) -> Result<Outgoing, Misuse> {
        match self.open_exchange()?.message {
            Message::Content(outgoing) => Ok(outgoing),
            Message::Head | Message::Ended => Err(Misuse::WrongState),
        }
    }

    /// Sends content that fits what was said of it. `with_head` is whether the head before it could end the stream.
    #[expect(
        clippy::too_many_arguments,
        reason = "what a send needs, borrowed from different parts of the connection"
    )]
    fn write(
        &mut self,
        out: &mut Output,
        config: &Config,
        now: Time,
        mut outgoing: Outgoing,
        content: Payload<'_>,
        end: bool,
        with_head: bool,
    ) {
        let slot = self.current;
        let content = if outgoing.ends_with_head() { Payload::Static(b"") } else { content };
        let end = end || outgoing.ends_with_head();
        if let Outgoing::Length(left) = &mut outgoing {
            *left -= content.len() as u64;
        }
        self.lent().message = if end { Message::Ended } else { Message::Content(outgoing) };
        if end && with_head && content.is_empty() {
            self.end_message(out, config, slot, now);
        } else if end || !content.is_empty() {
            self.write_content(out, config, now, slot, content, end);
        }
        let message = self.streams.peek(slot).message;
        debug_assert!(!matches!(message, Message::Content(outgoing) if outgoing.ends_with_head()));
    }

    pub(crate) fn trailers<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        out: &mut Output,
        config: &Config,
        now: Time,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Result<(), Misuse> {
        match self.outgoing()? {
            Outgoing::Streamed | Outgoing::Length(0) => {}
            _ => return Err(Misuse::WrongState),
        }
        let mut trailers = Trailers::default();
        for (name, value) in fields {
            let (name, value) = (name.as_ref(), value.as_ref());
            if is_forbidden_trailer(name) {
                return Err(Misuse::ManagedField);
            }
            if !is_token(name) || !is_field_value(value) {
                return Err(Misuse::Field);
            }
            trailers.push(name, trim_ows(value));
        }
        let slot = self.current;
        let stream = self.lent();
        stream.message = Message::Ended;
        match &mut stream.pending {
            Some(pending) => pending.set_trailers(trailers),
            None if trailers.fields.is_empty() => {
                self.write_content(out, config, now, slot, Payload::Static(b""), true);
            }
            None => {
                self.write_trailers(out, slot, &trailers);
                self.end_message(out, config, slot, now);
            }
        }
        Ok(())
    }

    /// Sends content that `fill` writes where it will be sent from: no more than the windows and one frame take.
    pub(crate) fn fill(
        &mut self,
        out: &mut Output,
        config: &Config,
        now: Time,
        max: usize,
        fill: impl FnOnce(&mut [u8]) -> (usize, bool),
    ) -> Result<(), Misuse> {
        let outgoing = self.outgoing()?;
        let max = match outgoing {
            Outgoing::Length(left) => usize::try_from(left).unwrap_or(usize::MAX).min(max),
            _ => max,
        };
        // A permit says that at least one byte can be written: an empty buffer would look like the end of what is read into it.
        debug_assert!(self.budget() > 0);
        let max = max.min(self.budget());
        let mut content = alloc::vec![0; max];
        let (len, end) = fill(&mut content);
        content.truncate(len.min(max));
        if let (true, Outgoing::Length(left)) = (end, outgoing)
            && left > content.len() as u64
        {
            // Too late for a refusal: the peer sees it, as the stream is reset before the content is complete.
            let slot = self.current;
            self.reset(out, slot, ErrorCode::INTERNAL_ERROR, Cause::Aborted);
            return Ok(());
        }
        self.write(out, config, now, outgoing, Payload::Own(content.into()), end, false);
        Ok(())
    }

    /// The stream that is lent, if it is an exchange that has not ended.
    pub(super) fn open_exchange(&mut self) -> Result<&mut Stream, Misuse> {
        let finished = self.finished;
        let stream = self.lent();
        if stream.tunnel.is_some() {
            return Err(Misuse::WrongProtocol);
        }
        if finished || stream.id == 0 || stream.place == Place::Closed || !stream.may_send() {
            return Err(Misuse::WrongState);
        }
        Ok(stream)
    }

    // Requests.

    pub(crate) fn request<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        out: &mut Output,
        config: &Config,
        now: Time,
        request: (&Request<'_>, impl IntoIterator<Item = (N, V)>),
        content: Payload<'_>,
        end: bool,
    ) -> Result<(), Misuse> {
        let (request, fields) = request;
        let method = Method::from_token(request.method);
        self.check_request(out, config, now)?;
        request.check(method)?;
        let mut head = Trailers::default();
        head.push_request(request, method, self.scheme);
        let mut said = Said::default();
        for (name, value) in fields {
            if let Some((name, value)) = said.check(name.as_ref(), value.as_ref())? {
                head.push(name, value);
            }
        }
        let (outgoing, length) = frame_request(method, said, content.len() as u64, end)?;
        if let Some(length) = length {
            let mut digits = Vec::new();
            crate::http::write_decimal(&mut digits, length);
            head.push(b"content-length", &digits);
        }
        let slot = self.open_request(now, method, head);
        let mut outgoing = outgoing;
        if let Outgoing::Length(left) = &mut outgoing {
            *left -= content.len() as u64;
        }
        let ends = end && content.is_empty() && method != Method::Connect;
        // A request with content does not end with its head, and neither does one for a tunnel.
        self.streams.at(slot).message = if ends { Message::Ended } else { Message::Content(outgoing) };
        self.start_requests(out, config, now);
        self.current = slot;
        let stream = self.lent();
        if ends {
            return Ok(());
        }
        if end {
            stream.message = Message::Ended;
        }
        if method == Method::Connect {
            return Ok(());
        }
        if stream.queued.is_some() {
            let pending = stream.pending.get_or_insert_default();
            content.push(&mut pending.content);
            pending.end = end;
        } else {
            self.write_content(out, config, now, slot, content, end);
        }
        Ok(())
    }

    /// Sends an extended CONNECT, once the server has said that it takes them. RFC 8441 §4.
    pub(crate) fn connect_websocket(
        &mut self,
        out: &mut Output,
        config: &Config,
        now: Time,
        connect: &ws::Connect<'_>,
    ) -> Result<StreamKey, Misuse> {
        self.check_request(out, config, now)?;
        let asked = ws::ask(connect)?;
        let mut head = Trailers::default();
        head.push(b":method", b"CONNECT");
        head.push(b":protocol", b"websocket");
        head.push(b":scheme", self.scheme.as_str().as_bytes());
        head.push(b":path", connect.target().as_bytes());
        head.push(b":authority", connect.host().as_bytes());
        for (name, value) in &asked.fields {
            head.push(name.to_ascii_lowercase().as_bytes(), value.as_bytes());
        }
        let slot = self.open_request(now, Method::Connect, head);
        let stream = self.streams.at(slot);
        stream.handshake = Some(Box::new(asked.expected));
        stream.message = Message::Ended;
        self.start_requests(out, config, now);
        Ok(self.streams.key(slot))
    }

    fn check_request(&mut self, out: &mut Output, config: &Config, now: Time) -> Result<(), Misuse> {
        if !self.client || self.finished {
            return Err(Misuse::WrongState);
        }
        if !self.takes_requests() {
            return Err(Misuse::NotOffered);
        }
        // Streams may have ended of which that has not been told yet.
        self.start_requests(out, config, now);
        if self.queue.len() >= config.limits.h2_requests_queued_max { Err(Misuse::QueueFull) } else { Ok(()) }
    }

    fn open_request(&mut self, now: Time, method: Method, head: Trailers) -> u32 {
        let id = self.next_id;
        self.next_id += 2;
        let mut stream = self.new_stream(id, now);
        stream.method = method;
        stream.set(streams::TOLD);
        stream.queued = Some(Box::new(head));
        let slot = self.streams.insert(stream);
        self.queue.push_back(slot);
        slot
    }

    /// Sends the requests that have waited, as far as the server takes streams. RFC 9113 §5.1.2.
    pub(super) fn start_requests(&mut self, out: &mut Output, config: &Config, now: Time) {
        while let Some(&slot) = self.queue.front() {
            let streams_max = self.peer.max_concurrent_streams.unwrap_or(u32::MAX);
            let max = if self.settled { streams_max } else { STREAMS_BEFORE_SETTINGS };
            let extended = self.streams.peek(slot).handshake.is_some();
            if self.active >= max || extended && !self.settled {
                return;
            }
            self.queue.pop_front();
            if extended && !self.peer.enable_connect_protocol {
                self.close(slot, Cause::Handshake(HandshakeFailure::ExtendedConnect));
                continue;
            }
            self.start_request(out, config, now, slot);
        }
    }

    fn start_request(&mut self, out: &mut Output, config: &Config, now: Time, slot: u32) {
        let stream = self.streams.at(slot);
        let Some(head) = stream.queued.take() else { return };
        let id = stream.id;
        // The windows that the server grants may have changed since the request was made.
        stream.send = super::window::SendWindow::new(self.peer.initial_window_size);
        let opening = stream.method == Method::Connect;
        let empty = !opening && stream.message == Message::Ended && stream.pending.is_none();
        stream.state = stream.state.on(Step::Send(Frame::Headers { end: false })).unwrap_or(State::Open);
        self.active += 1;
        // Misuse is impossible: every field has been checked.
        let _ = self.headers(out, id, |sender, buffer| {
            for (name, value) in head.fields() {
                let known = NameId::of(name);
                if known.is_pseudo() {
                    sender.encoder.encode_known(buffer, known, value, Indexing::Auto);
                } else {
                    sender.encoder.encode(buffer, name, value, Indexing::Auto);
                }
            }
            Ok(((), empty))
        });
        let stream = self.streams.at(slot);
        if opening {
            stream.due = now + config.limits.response_timeout;
            self.next_due = self.next_due.min(stream.due);
        } else if empty {
            self.end_message(out, config, slot, now);
        } else if stream.pending.is_some() {
            self.wait_for_window(slot, now);
        } else {
            self.line_up(slot, now);
        }
    }
}

/// Name and value.
type FieldLine<'f> = (&'f [u8], &'f [u8]);

impl Said {
    /// Checks a field of the application and notes it. Fields that mean something to HTTP/1.1 connections only are left out.
    fn check<'f>(&mut self, name: &'f [u8], value: &'f [u8]) -> Result<Option<FieldLine<'f>>, Misuse> {
        if !is_token(name) || !is_field_value(value) {
            return Err(Misuse::Field);
        }
        self.note(name, value)?;
        Ok((!is_of_connection(name)).then(|| (name, trim_ows(value))))
    }
}

/// Whether a field is about an HTTP/1.1 connection, and not one that [`Said::note`] refuses. RFC 9113 §8.2.2.
fn is_of_connection(name: &[u8]) -> bool {
    match name.len() {
        2 => name.eq_ignore_ascii_case(b"te"),
        7 => name.eq_ignore_ascii_case(b"upgrade"),
        14 => name.eq_ignore_ascii_case(b"http2-settings"),
        16 => name.eq_ignore_ascii_case(b"proxy-connection"),
        _ => false,
    }
}

impl Trailers {
    /// Adds the pseudo-header fields of a request. RFC 9113 §8.3.1.
    fn push_request(&mut self, request: &Request<'_>, method: Method, scheme: Scheme) {
        self.push(b":method", request.method.as_bytes());
        if method == Method::Connect {
            return self.push(b":authority", request.target.as_bytes());
        }
        self.push(b":scheme", scheme.as_str().as_bytes());
        self.push(b":authority", request.host.as_bytes());
        self.push(b":path", request.target.as_bytes());
    }
}

impl Stream {
    /// Whether this side may still send something on it.
    fn may_send(&self) -> bool {
        self.state.sends() || self.state == State::Idle && self.queued.is_some()
    }
}
