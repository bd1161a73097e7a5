//! The calls on the lent exchange: responses of a server, and content of both sides. RFC 9113 §8.
//!
//! The calls and their results are those of HTTP/1.1. Fields about an HTTP/1.1 connection are left out.

use super::super::code::ErrorCode;
use super::super::fields::{FieldBuffer, FieldWriter};
use super::super::slot::Slot;
use super::super::state::State;
use super::super::streams::{self, Message, StreamState, WaitsFor};
use super::{Session, is_tunnel};
use crate::connection::link::Link;
use crate::connection::resources::Resources;
use crate::hpack::NameId;
use crate::http::{
    BodyFraming, ExplicitFields, Method, Status, Version, check_length, frame_response, is_field_value,
    is_forbidden_trailer, is_token, trim_ows,
};
use crate::payload::Payload;
use crate::prepared_fields::ResponseFields;
use crate::refusal::{self, ErrorContent};
use crate::{Cause, Limit, Misuse};
use alloc::vec::Vec;

impl Session {
    // Responses.

    pub(crate) fn respond<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        link: &mut Link,
        resources: &mut Resources,
        response: (Status, ResponseFields<'_, impl IntoIterator<Item = (N, V)>>),
        content: Payload<'_>,
        end: bool,
    ) -> Result<(), Misuse> {
        let (status, fields) = response;
        let stream = self.open_exchange()?;
        let (id, method, len) = (stream.id, stream.method, content.len() as u64);
        if stream.message() != Message::Head || self.client {
            return Err(Misuse::WrongState);
        }
        if status.is_interim() || is_tunnel(method, status) {
            return Err(Misuse::StartLine);
        }
        let Link { out, config, .. } = &mut *link;
        let framing = self.fields.headers(out, id, |writer, buffer| {
            writer.status(buffer, status.code());
            let mut explicit = ExplicitFields::default();
            for prepared in fields.prepared {
                writer.ready_fields(buffer, &prepared.ready);
                explicit.join(prepared.explicit)?;
            }
            write_fields(writer, buffer, &mut explicit, fields.others)?;
            let framing = frame_response(method, Version::Http2, status, explicit, len, end)?;
            if let (false, Some(seconds)) = (explicit.date, config.wall_clock.get()) {
                writer.date(buffer, seconds);
            }
            let length = match framing {
                BodyFraming::Length(length) => Some(length),
                BodyFraming::Dropped if end && len > 0 => Some(len),
                _ => None,
            };
            if let (Some(length), None) = (length, explicit.content_length) {
                writer.length(buffer, length);
            }
            Ok((framing, framing.ends_with_head() || end && len == 0))
        })?;
        let slot = self.lent.slot;
        self.lent_stream().take(streams::OWES_CONTINUE);
        self.note_progress(slot, link.now);
        let ended = framing.ends_with_head() || end && content.is_empty();
        if ended {
            // The head has ended the message.
            self.lent_stream().set_message(Message::Ended);
            self.end_message(link, slot);
        } else {
            self.write(link, resources, framing, content, end);
        }
        Ok(())
    }

    pub(crate) fn interim<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        link: &mut Link,
        status: Status,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Result<(), Misuse> {
        let stream = self.open_exchange()?;
        let id = stream.id;
        if stream.message() != Message::Head || self.client {
            return Err(Misuse::WrongState);
        }
        // RFC 9113 §8.6: 101 does not exist here.
        if !status.is_interim() || status == Status::SWITCHING_PROTOCOLS {
            return Err(Misuse::StartLine);
        }
        self.fields.headers(&mut link.out, id, |writer, buffer| {
            writer.status(buffer, status.code());
            let mut explicit = ExplicitFields::default();
            write_fields(writer, buffer, &mut explicit, fields)?;
            if explicit.content_length.is_some() { Err(Misuse::ManagedField) } else { Ok(((), false)) }
        })?;
        if status == Status::CONTINUE {
            self.lent_stream().take(streams::OWES_CONTINUE);
        }
        Ok(())
    }

    /// Lets the client send the content that it holds back. RFC 9110 §10.1.1.
    pub(super) fn send_continue(&mut self, link: &mut Link, slot: Slot) {
        self.lend(slot);
        // Misuse is impossible: it is a server's stream that has not been answered.
        let _ = self.interim(link, Status::CONTINUE, core::iter::empty::<(&str, &str)>());
    }

    /// Answers a fault of the peer on an unanswered stream, and ends the stream.
    #[cold]
    pub(in crate::h2) fn refuse(
        &mut self,
        link: &mut Link,
        resources: &mut Resources,
        slot: Slot,
        cause: Cause,
    ) {
        /// RFC 6455 §4.4: the answer to another version says which one is spoken.
        fn fields(status: Status, content_type: &str) -> impl Iterator<Item = (&str, &str)> {
            let version = (status == Status::UPGRADE_REQUIRED).then_some(("sec-websocket-version", "13"));
            [("content-type", content_type)].into_iter().chain(version)
        }
        self.lend(slot);
        let status = Status::new(cause.status()).unwrap_or(Status::BAD_REQUEST);
        let stream = self.lent_stream();
        stream.core.cause = cause;
        // A little content in flight is read and dropped first, as some clients discard the response when they get a
        // reset.
        let too_much = matches!(cause, Cause::Timeout(_) | Cause::Limit(Limit::ContentBytes));
        let waits = !too_much && stream.method != Method::Connect;
        stream.method = if stream.method == Method::Connect { Method::Other } else { stream.method };
        // What does not fit into the windows would keep a stream whose peer is at fault.
        let own = refusal::rendered(link.config.refusals.as_deref(), status, cause, self.credit(slot));
        let answered = own.map(|ErrorContent { content_type, content }| {
            self.respond(
                link,
                resources,
                (status, ResponseFields::plain(fields(status, &content_type))),
                Payload::Own(content),
                true,
            )
        });
        let answered = answered.filter(Result::is_ok).unwrap_or_else(|| {
            let content = Payload::Static(cause.message().as_bytes());
            let fields = ResponseFields::plain(fields(status, "text/plain"));
            self.respond(link, resources, (status, fields), content, true)
        });
        let stream = self.streams.at(slot);
        if answered.is_err() || stream.pending().is_some() {
            self.give_up(link, slot, cause);
        } else if stream.state != State::Closed && !waits {
            // RFC 9113 §8.1: the rest of the request is not waited for.
            self.reset(link, slot, ErrorCode::NO_ERROR, cause);
        }
    }

    // Content.

    pub(crate) fn data(
        &mut self,
        link: &mut Link,
        resources: &mut Resources,
        content: Payload<'_>,
        end: bool,
    ) -> Result<(), Misuse> {
        let framing = self.framing()?;
        if let BodyFraming::Length(left) = framing {
            check_length(left, content.len() as u64, end)?;
        }
        self.write(link, resources, framing, content, end);
        Ok(())
    }

    fn framing(&mut self) -> Result<BodyFraming, Misuse> {
        match self.open_exchange()?.message() {
            Message::Content(framing) => Ok(framing),
            Message::Head | Message::Ended => Err(Misuse::WrongState),
        }
    }

    /// Sends content that fits its announced length, after a head that has not ended the stream.
    fn write(
        &mut self,
        link: &mut Link,
        resources: &mut Resources,
        mut framing: BodyFraming,
        content: Payload<'_>,
        end: bool,
    ) {
        debug_assert!(!framing.ends_with_head(), "content behind a head that has ended the stream");
        let slot = self.lent.slot;
        if let BodyFraming::Length(left) = &mut framing {
            *left -= content.len() as u64;
        }
        self.lent_stream().set_message(if end { Message::Ended } else { Message::Content(framing) });
        if end || !content.is_empty() {
            self.write_content(link, resources, slot, content, end);
        }
    }

    pub(crate) fn trailers<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        link: &mut Link,
        resources: &mut Resources,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Result<(), Misuse> {
        match self.framing()? {
            BodyFraming::Streamed | BodyFraming::Length(0) => {}
            _ => return Err(Misuse::WrongState),
        }
        let mut trailers = FieldBuffer::default();
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
        let slot = self.lent.slot;
        let stream = self.lent_stream();
        stream.set_message(Message::Ended);
        match stream.pending_mut() {
            Some(pending) => pending.set_trailers(trailers),
            None if trailers.is_empty() => {
                self.write_content(link, resources, slot, Payload::Static(b""), true);
            }
            None => {
                self.write_trailers(link, slot, &trailers);
                self.end_message(link, slot);
            }
        }
        Ok(())
    }

    /// Sends content that `fill` writes where it will be sent from: no more than the windows and one frame take.
    pub(crate) fn fill(
        &mut self,
        link: &mut Link,
        resources: &mut Resources,
        max: usize,
        fill: impl FnOnce(&mut [u8]) -> (usize, bool),
    ) -> Result<(), Misuse> {
        let framing = self.framing()?;
        let max = match framing {
            BodyFraming::Length(left) => usize::try_from(left).unwrap_or(usize::MAX).min(max),
            _ => max,
        };
        // A permit says that at least one byte can be written: an empty buffer would look like the end of what is read into it.
        debug_assert!(self.budget() > 0);
        let max = max.min(self.budget());
        let mut content = alloc::vec![0; max];
        let (len, end) = fill(&mut content);
        content.truncate(len.min(max));
        if let (true, BodyFraming::Length(left)) = (end, framing)
            && left > content.len() as u64
        {
            // It is too late for an error. The peer notices, as the stream is reset before the content is complete.
            self.reset(link, self.lent.slot, ErrorCode::INTERNAL_ERROR, Cause::Aborted);
            return Ok(());
        }
        self.write(link, resources, framing, Payload::Own(content.into()), end);
        Ok(())
    }

    /// The lent stream, if it is an exchange that has not ended.
    pub(super) fn open_exchange(&mut self) -> Result<&mut StreamState, Misuse> {
        let finished = self.shutdown.finished;
        let stream = self.lent_stream();
        debug_assert!(stream.tunnel().is_none(), "an exchange is lent, which a tunnel is not any more");
        if finished || stream.id == 0 || stream.waits_for == WaitsFor::Closed || !stream.may_send() {
            return Err(Misuse::WrongState);
        }
        Ok(stream)
    }
}

/// Encodes the fields of the application.
fn write_fields<N: AsRef<[u8]>, V: AsRef<[u8]>>(
    writer: &mut FieldWriter,
    buffer: &mut Vec<u8>,
    explicit: &mut ExplicitFields,
    fields: impl IntoIterator<Item = (N, V)>,
) -> Result<(), Misuse> {
    for (name, value) in fields {
        if let Some(FieldLine { id, name, value }) = explicit.check(name.as_ref(), value.as_ref())? {
            writer.field_as(buffer, id, name, value);
        }
    }
    Ok(())
}

/// A field of the application that may be sent.
pub(crate) struct FieldLine<'f> {
    /// Which well-known name it has, if any.
    pub(crate) id: NameId,
    pub(crate) name: &'f [u8],
    pub(crate) value: &'f [u8],
}

impl ExplicitFields {
    /// Checks a field of the application and notes it. Fields that mean something to HTTP/1.1 connections only are left out.
    pub(crate) fn check<'f>(
        &mut self,
        name: &'f [u8],
        value: &'f [u8],
    ) -> Result<Option<FieldLine<'f>>, Misuse> {
        let id = NameId::in_any_case(name);
        // A well-known name is a token, but for those of pseudo-header fields.
        let is_name = if id == NameId::OTHER { is_token(name) } else { !id.is_pseudo() };
        if !is_name || !is_field_value(value) {
            return Err(Misuse::Field);
        }
        self.note(name, value)?;
        Ok((!is_of_connection(name)).then(|| FieldLine { id, name, value: trim_ows(value) }))
    }
}

/// Whether a field is about an HTTP/1.1 connection, and not one that [`ExplicitFields::note`] refuses. RFC 9113 §8.2.2.
fn is_of_connection(name: &[u8]) -> bool {
    match name.len() {
        2 => name.eq_ignore_ascii_case(b"te"),
        7 => name.eq_ignore_ascii_case(b"upgrade"),
        14 => name.eq_ignore_ascii_case(b"http2-settings"),
        16 => name.eq_ignore_ascii_case(b"proxy-connection"),
        _ => false,
    }
}

impl StreamState {
    /// Whether this side may still send something on it.
    fn may_send(&self) -> bool {
        self.state.sends() || self.state == State::Idle && self.is_queued()
    }
}
