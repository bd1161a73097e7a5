//! The transmit half of HTTP/1.1: responses of a server, requests of a client. RFC 9112 §3 to §7.
//!
//! It also keeps the state of the current exchange that both halves need. Knows no input.

use super::compose::{write_fields, write_framing, write_more_fields, write_request_line};
use super::encode;
use crate::connection::channel::Channel;
use crate::connection::item::Item;
use crate::connection::stream::Notices;
use crate::connection::transmit::{Draft, Output};
use crate::http::{
    BodyFraming, ExplicitFields, HttpDate, Method, Request, Status, Version, check_length, frame_response,
    is_forbidden_trailer,
};
use crate::prepared_fields::ResponseFields;
use crate::refusal::{self, ErrorContent};
use crate::ws::{self, Expected};
use crate::{Cause, Config, HandshakeFailure, Limits, Misuse, Payload, Region, Time};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

/// The field line that tells the date, with room for it.
const DATE: &[u8; 37] = b"Date: ___, __ ___ ____ __:__:__ GMT\r\n";

/// Writes messages, and keeps the state of the exchange.
pub(crate) struct MessageWriter {
    client: bool,
    state: Writing,
    /// Of the request.
    method: Method,
    /// Of the peer's message.
    version: Version,
    /// Whether the connection goes on after this exchange. RFC 9112 §9.3.
    persists: bool,
    /// Whether the client waits for 100 before it sends content.
    owes_continue: bool,
    /// Whether content came out shorter than its `Content-Length`.
    broken: bool,
    /// Bytes of the peer's content that are known to be still to come; one if it is not known how many.
    unread: u64,
    /// In place of the configured limit.
    content_bytes_max: Option<u64>,
    /// In place of the configured rate.
    content_bytes_min: Option<usize>,
    /// When the peer of a server has ended its direction.
    peer_ended: Option<Time>,
    /// Whether the exchange goes on all the same, however little it sends.
    keeps_half_closed: bool,
    /// Exchanges that may still begin on this connection.
    exchanges_left: u32,
    /// When the request of a client was begun.
    begun: Time,
    /// A client's WebSocket opening handshake.
    handshake: Option<Box<Handshake>>,
    /// With which status code that was refused.
    refused: Option<Status>,
    /// The date field of the second that was last asked for.
    date: (u32, [u8; DATE.len()]),
}

/// How far a client's opening handshake is.
enum Handshake {
    /// The request has been sent, and this is what its answer must say.
    Sent(Expected),
    /// The server has agreed to this.
    Agreed(ws::Opened),
}

/// Where the message stands that this side sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writing {
    /// No exchange is running.
    Idle,
    /// The final response may begin.
    Head,
    /// The head has been sent.
    Content(BodyFraming),
    /// The message has been sent.
    Ended,
}

impl MessageWriter {
    pub(crate) fn server(config: &Config) -> Self {
        Self::new(false, config)
    }

    pub(crate) fn client(config: &Config) -> Self {
        Self::new(true, config)
    }

    fn new(client: bool, config: &Config) -> Self {
        Self {
            client,
            state: Writing::Idle,
            method: Method::Other,
            version: Version::Http11,
            persists: true,
            owes_continue: false,
            broken: false,
            unread: 0,
            content_bytes_max: None,
            content_bytes_min: None,
            peer_ended: None,
            keeps_half_closed: false,
            exchanges_left: config.limits.keep_alive_requests_max,
            begun: Time::ZERO,
            handshake: None,
            refused: None,
            date: (0, *DATE),
        }
    }

    // Questions of the receive half and the connection.

    #[inline]
    pub(crate) fn may_write(&self) -> bool {
        matches!(self.state, Writing::Head | Writing::Content(_))
    }

    /// Whether our message has been sent.
    #[inline]
    pub(crate) fn has_ended(&self) -> bool {
        self.state == Writing::Ended
    }

    /// Whether a response of ours has been sent.
    pub(crate) fn has_answered(&self) -> bool {
        !self.client && self.has_ended()
    }

    /// Whether an exchange is running.
    pub(crate) fn is_running(&self) -> bool {
        self.state != Writing::Idle
    }

    /// Whether the final response may begin.
    pub(crate) fn may_respond(&self) -> bool {
        !self.client && self.state == Writing::Head
    }

    /// Whether a CONNECT may be answered with a tunnel: it has no content that is still to come.
    fn may_tunnel(&self) -> bool {
        self.method == Method::Connect && self.may_respond() && self.unread == 0
    }

    #[inline]
    pub(crate) fn persists(&self) -> bool {
        self.persists
    }

    /// Whether the content that was sent contradicts its head.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether a message is incomplete, so that the peer must not take the end of the connection for its end. A request
    /// always has a length.
    pub(crate) fn is_incomplete(&self) -> bool {
        match self.state {
            Writing::Content(BodyFraming::Length(0)) => false,
            Writing::Content(_) => !self.client,
            Writing::Idle | Writing::Head | Writing::Ended => self.broken,
        }
    }

    /// The method of the request.
    pub(crate) fn method(&self) -> Method {
        self.method
    }

    /// When the request of a client was begun.
    pub(crate) fn begun(&self) -> Time {
        self.begun
    }

    /// What the answer to a client's opening handshake must say.
    pub(crate) fn expected_answer(&self) -> Option<&Expected> {
        match self.handshake.as_deref()? {
            Handshake::Sent(expected) => Some(expected),
            Handshake::Agreed(_) => None,
        }
    }

    /// The server has agreed to a WebSocket.
    pub(crate) fn agree(&mut self, opened: ws::Opened) {
        self.handshake = Some(Box::new(Handshake::Agreed(opened)));
    }

    /// What a server has agreed to, which is spoken from here on.
    pub(crate) fn take_agreed(&mut self) -> Option<ws::Opened> {
        match *self.handshake.take()? {
            Handshake::Agreed(opened) => Some(opened),
            Handshake::Sent(_) => None,
        }
    }

    #[inline]
    pub(crate) fn owes_continue(&self) -> bool {
        self.owes_continue && self.state == Writing::Head
    }

    #[inline]
    pub(crate) fn content_bytes_max(&self, limits: &Limits) -> u64 {
        self.content_bytes_max.or(limits.content_bytes_max).unwrap_or(u64::MAX)
    }

    /// Why an exchange ended whose opening handshake was refused: however the rest of the answer comes, or does not.
    #[inline]
    pub(crate) fn refusal(&self) -> Option<Cause> {
        self.refused.map(|status| Cause::Handshake(HandshakeFailure::Status(status.code())))
    }

    // Notifications by the receive half and the connection.

    /// Notes the status code of the final response, which refuses a WebSocket if one was requested.
    pub(crate) fn answered(&mut self, status: Status) {
        self.refused = self.handshake.is_some().then_some(status);
    }

    /// Begins an exchange with a request, whose response is due.
    #[inline]
    pub(crate) fn begin(&mut self, method: Method, version: Version, persists: bool) {
        self.exchanges_left = self.exchanges_left.saturating_sub(1);
        self.state = Writing::Head;
        self.method = method;
        self.version = version;
        self.persists = persists && self.persists && self.exchanges_left > 0;
    }

    /// The request has content, of this length if it is known, which the client may hold back until it gets 100.
    pub(crate) fn begin_content(&mut self, length: Option<u64>, owes_continue: bool) {
        self.unread = length.unwrap_or(1);
        self.owes_continue = owes_continue;
    }

    /// Sets how much of the peer's content is still to come.
    #[inline]
    pub(crate) fn set_unread(&mut self, unread: u64) {
        self.unread = unread;
    }

    /// Makes this exchange the last one of the connection.
    pub(crate) fn last_exchange(&mut self) {
        self.persists = false;
    }

    /// Makes this exchange the last one of the connection; or the next, if the head of a response has left that does not say so: the peer
    /// may have sent that request already.
    pub(crate) fn retire(&mut self) {
        match self.state {
            Writing::Content(_) | Writing::Ended if !self.client => {
                self.exchanges_left = self.exchanges_left.min(1);
            }
            _ => self.persists = false,
        }
    }

    pub(crate) fn limit_content(&mut self, bytes: u64) {
        self.content_bytes_max = Some(bytes);
    }

    pub(crate) fn expect_content(&mut self, bytes: usize) {
        self.content_bytes_min = Some(bytes);
    }

    /// The content that must arrive in each period. The rest of a request that has been answered is not waited for.
    pub(crate) fn content_bytes_min(&self, limits: &Limits) -> usize {
        let own = self.content_bytes_min.filter(|_| !self.has_answered());
        own.unwrap_or(limits.content_bytes_min)
    }

    /// The peer will send no more.
    pub(crate) fn note_peer_end(&mut self, now: Time) {
        if !self.client {
            self.peer_ended = Some(now);
        }
    }

    /// Lets the exchange go on without its peer's direction, however little it sends, or not.
    pub(crate) fn keep_half_closed(&mut self, keep: bool) {
        self.keeps_half_closed = keep;
    }

    /// Whether an exchange is still to be answered, and its peer has ended its direction.
    pub(crate) fn is_half_closed(&self) -> bool {
        self.peer_ended.is_some() && self.may_write()
    }

    /// Notes that the request is complete. Notifies the exchange at once if its peer has ended its direction, whatever
    /// input lies between.
    pub(crate) fn notify_peer_end(&self, channel: &mut Channel) {
        if self.is_half_closed() {
            channel.stream.notices.set(Notices::PEER_ENDED);
        }
    }

    // Questions about both messages together.

    /// Whether a permit could be given.
    #[inline]
    pub(crate) fn can_write(&self, channel: &Channel) -> bool {
        channel.may_write() && self.may_write()
    }

    /// Whether the application holds input back. It cannot hold back the rest of a request that has been answered,
    /// which is dropped.
    pub(crate) fn holds_input(&self, channel: &mut Channel) -> bool {
        let waits = !self.can_write(channel);
        channel.holds_input(waits) && !self.has_answered()
    }

    /// Whether the application would hold input back; unlike [`holds_input`](Self::holds_input) it changes nothing.
    pub(crate) fn would_hold_input(&self, channel: &Channel) -> bool {
        channel.may_hold_input() && channel.would_hold_input(!self.can_write(channel)) && !self.has_answered()
    }

    /// The next notice of the exchange. It is not notified of the end of its peer once it has been answered.
    pub(crate) fn notice(&self, channel: &mut Channel) -> Option<Item> {
        if !self.is_half_closed() {
            channel.stream.notices.take(Notices::PEER_ENDED);
        }
        channel.notice(|channel| self.can_write(channel))
    }

    /// Whether the exchange has a notice now.
    pub(crate) fn notice_is_due(&self, channel: &Channel) -> bool {
        channel.notice_is_due(|channel| self.can_write(channel))
            || self.is_half_closed() && channel.stream.notices.has(Notices::PEER_ENDED)
    }

    /// When such an exchange has sent nothing for too long: `sent` is when the transport last had everything.
    pub(crate) fn half_closed_until(&self, sent: Time, timeout: Duration) -> Option<Time> {
        self.silent_until(self.peer_ended?.max(sent), timeout)
    }

    /// How long an exchange may send nothing whose peer may have ended its direction, from `since` on.
    pub(crate) fn silent_until(&self, since: Time, timeout: Duration) -> Option<Time> {
        (self.may_write() && !self.keeps_half_closed).then(|| since + timeout)
    }

    /// The exchange is over.
    #[inline]
    pub(crate) fn reset(&mut self) {
        self.state = Writing::Idle;
        self.method = Method::Other;
        self.owes_continue = false;
        self.unread = 0;
        self.content_bytes_max = None;
        self.content_bytes_min = None;
        self.keeps_half_closed = false;
        self.handshake = None;
        self.refused = None;
    }

    // Responses.

    /// Lets the client send the content that it holds back. RFC 9110 §10.1.1.
    pub(crate) fn send_continue(&mut self, out: &mut Output) {
        self.owes_continue = false;
        out.buffer().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
    }

    pub(crate) fn interim<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        out: &mut Output,
        status: Status,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Result<(), Misuse> {
        if self.client || self.state != Writing::Head {
            return Err(Misuse::WrongState);
        }
        if !status.is_interim() || status == Status::SWITCHING_PROTOCOLS {
            return Err(Misuse::StartLine);
        }
        // RFC 9110 §15.2: "a server MUST NOT send a 1xx response to an HTTP/1.0 client".
        let sends = self.version != Version::Http10;
        appending(out, |buffer| {
            let start = buffer.len();
            encode::status_line(buffer, status);
            let explicit = write_fields(buffer, fields)?;
            // RFC 9110 §8.6 and §7.8.
            if explicit.content_length.is_some() || explicit.upgrade {
                return Err(Misuse::ManagedField);
            }
            buffer.extend_from_slice(b"\r\n");
            buffer.truncate(if sends { buffer.len() } else { start });
            Ok(())
        })?;
        self.owes_continue &= status != Status::CONTINUE;
        Ok(())
    }

    #[inline]
    pub(crate) fn respond<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        out: &mut Output,
        config: &Config,
        status: Status,
        fields: ResponseFields<'_, impl IntoIterator<Item = (N, V)>>,
        content: Payload<'_>,
        end: bool,
    ) -> Result<(), Misuse> {
        if self.client || self.state != Writing::Head {
            return Err(Misuse::WrongState);
        }
        // Those are sent by `interim` and `accept_tunnel`, as what they begin is not content.
        if status.is_interim() || self.method == Method::Connect && status.is_success() {
            return Err(Misuse::StartLine);
        }
        let framing = appending(out, |buffer| {
            encode::status_line(buffer, status);
            let mut explicit = ExplicitFields::default();
            for prepared in fields.prepared {
                buffer.extend_from_slice(&prepared.text);
                explicit.join(prepared.explicit)?;
            }
            write_more_fields(buffer, &mut explicit, fields.others)?;
            self.end_response_head(buffer, config, status, explicit, content.len() as u64, end)
        })?;
        self.write(out, framing, content, end);
        Ok(())
    }

    /// Writes the fields that are ours: `Date`, those that frame the content, and `Connection`.
    fn end_response_head(
        &mut self,
        buffer: &mut Vec<u8>,
        config: &Config,
        status: Status,
        explicit: ExplicitFields,
        len: u64,
        end: bool,
    ) -> Result<BodyFraming, Misuse> {
        let framing = frame_response(self.method, self.version, status, explicit, len, end)?;
        if let (false, Some(seconds)) = (explicit.date, config.wall_clock.get()) {
            buffer.extend_from_slice(self.date(seconds));
        }
        let framed = explicit.content_length.is_some();
        match framing {
            BodyFraming::Length(length) if !framed => encode::content_length(buffer, length),
            BodyFraming::Streamed => buffer.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            BodyFraming::Dropped if !framed => self.frame_nothing(buffer, len, end),
            // RFC 9110 §15.3.6, and a CONNECT that is refused.
            BodyFraming::Forbidden if !status.is_without_content() && !framed => {
                encode::content_length(buffer, 0)
            }
            _ => {}
        }
        // A client that waited for 100 and did not get it may or may not send its content now, so the meaning of the
        // next bytes is unknown. And long content is not worth waiting for.
        let ends = end || framing.ends_with_head();
        let unread = self.owes_continue || ends && self.unread > config.limits.discard_bytes_max;
        self.owes_continue = false;
        self.persists &= !unread && framing != BodyFraming::UntilClose;
        let connection: &[u8] = match (self.persists, explicit.upgrade, self.version) {
            (true, false, Version::Http10) => b"Connection: keep-alive\r\n\r\n",
            (true, false, _) => b"\r\n",
            (true, true, _) => b"Connection: upgrade\r\n\r\n",
            (false, false, _) => b"Connection: close\r\n\r\n",
            (false, true, _) => b"Connection: upgrade, close\r\n\r\n",
        };
        buffer.extend_from_slice(connection);
        Ok(framing)
    }

    /// The framing that the response to a GET would have had, as far as it is known. RFC 9110 §9.3.2.
    fn frame_nothing(&self, buffer: &mut Vec<u8>, len: u64, end: bool) {
        if end && len > 0 {
            encode::content_length(buffer, len);
        } else if !end && self.version != Version::Http10 {
            buffer.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
    }

    /// Answers a fault of the peer, unless a response has begun. It is the last response of the connection.
    #[cold]
    pub(super) fn refuse(&mut self, out: &mut Output, config: &Config, status: Status, cause: Cause) {
        if self.client || !matches!(self.state, Writing::Idle | Writing::Head) {
            return;
        }
        /// RFC 6455 §4.4: the answer to another version says which one is spoken.
        fn fields(status: Status, content_type: &str) -> impl Iterator<Item = (&str, &str)> {
            let version = [("Sec-WebSocket-Version", "13"), ("Upgrade", "websocket")];
            let version = version.into_iter().filter(move |_| status == Status::UPGRADE_REQUIRED);
            [("Content-Type", content_type)].into_iter().chain(version)
        }
        self.state = Writing::Head;
        self.persists = false;
        if let Some(ErrorContent { content_type, content }) =
            refusal::rendered(config.refusals.as_deref(), status, cause, usize::MAX)
            && self
                .respond(
                    out,
                    config,
                    status,
                    ResponseFields::plain(fields(status, &content_type)),
                    Payload::Own(content),
                    true,
                )
                .is_ok()
        {
            return;
        }
        // Misuse is impossible: status, fields and content are ours.
        let content = Payload::Static(cause.message().as_bytes());
        let fields = ResponseFields::plain(fields(status, "text/plain"));
        let _ = self.respond(out, config, status, fields, content, true);
    }

    /// The field line `Date`, made once per second. RFC 9110 §6.6.1.
    #[inline]
    fn date(&mut self, seconds: u32) -> &[u8] {
        if self.date.0 != seconds {
            self.date.0 = seconds;
            self.date.1[6..35].copy_from_slice(&HttpDate::from_unix(seconds.into()).to_bytes());
        }
        &self.date.1
    }

    /// Answers a CONNECT: what follows is no longer ours. RFC 9110 §9.3.6.
    pub(crate) fn accept_tunnel(&mut self, out: &mut Output, config: &Config) -> Result<(), Misuse> {
        if !self.may_tunnel() {
            return Err(Misuse::WrongState);
        }
        encode::status_line(out.buffer(), Status::OK);
        if let Some(seconds) = config.wall_clock.get() {
            out.buffer().extend_from_slice(self.date(seconds));
        }
        out.buffer().extend_from_slice(b"\r\n");
        self.state = Writing::Ended;
        Ok(())
    }

    // Requests.

    pub(crate) fn request<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        out: &mut Output,
        now: Time,
        request: &Request<'_>,
        fields: impl IntoIterator<Item = (N, V)>,
        content: Payload<'_>,
        end: bool,
    ) -> Result<(), Misuse> {
        let method = Method::from_token(request.method);
        if !self.client || self.state != Writing::Idle {
            return Err(Misuse::WrongState);
        }
        request.check(method)?;
        let last = self.exchanges_left <= 1;
        let framing = appending(out, |buffer| {
            write_request_line(buffer, request);
            let explicit = write_fields(buffer, fields)?;
            // The server could accept a protocol that is not supported here.
            if explicit.upgrade {
                return Err(Misuse::ManagedField);
            }
            let framing = write_framing(buffer, method, explicit, content.len() as u64, end)?;
            buffer.extend_from_slice(if last { b"Connection: close\r\n\r\n" } else { b"\r\n" });
            Ok(framing)
        })?;
        self.begin_request(now, method);
        self.write(out, framing, content, end);
        Ok(())
    }

    /// An opening handshake has been written.
    pub(crate) fn begin_handshake(&mut self, now: Time, expected: Expected) {
        self.begin_request(now, Method::Get);
        self.handshake = Some(Box::new(Handshake::Sent(expected)));
        self.state = Writing::Ended;
    }

    fn begin_request(&mut self, now: Time, method: Method) {
        self.exchanges_left = self.exchanges_left.saturating_sub(1);
        self.method = method;
        self.persists = self.exchanges_left > 0;
        self.begun = now;
    }

    // Content.

    #[inline]
    pub(crate) fn data(&mut self, out: &mut Output, content: Payload<'_>, end: bool) -> Result<(), Misuse> {
        let Writing::Content(framing) = self.state else { return Err(Misuse::WrongState) };
        if let BodyFraming::Length(left) = framing {
            check_length(left, content.len() as u64, end)?;
        }
        self.write(out, framing, content, end);
        Ok(())
    }

    /// Whether content may be a region: it is sent as it is, and its length was said.
    pub(crate) fn takes_region(&self) -> bool {
        matches!(self.state, Writing::Content(BodyFraming::Length(_)))
    }

    /// Queues content that the driver sends by itself.
    pub(crate) fn region(&mut self, out: &mut Output, region: Region, end: bool) -> Result<(), Misuse> {
        let Writing::Content(BodyFraming::Length(left)) = self.state else { return Err(Misuse::WrongState) };
        let len = region.len() as u64;
        check_length(left, len, end)?;
        out.push_region(region);
        self.state = if end { Writing::Ended } else { Writing::Content(BodyFraming::Length(left - len)) };
        debug_assert!(self.is_consistent());
        Ok(())
    }

    /// Queues content that fits its framing, and the end of the message if this is it.
    #[inline]
    fn write(&mut self, out: &mut Output, framing: BodyFraming, content: Payload<'_>, end: bool) {
        let len = content.len();
        let mut framing = framing;
        match &mut framing {
            BodyFraming::Length(left) => {
                *left -= len as u64;
                content.push(out);
            }
            BodyFraming::Streamed => {
                if len > 0 {
                    encode::chunk_size(out.buffer(), len);
                    content.push(out);
                    out.buffer().extend_from_slice(b"\r\n");
                }
                if end {
                    out.buffer().extend_from_slice(b"0\r\n\r\n");
                }
            }
            BodyFraming::UntilClose => content.push(out),
            BodyFraming::Dropped | BodyFraming::Forbidden => {}
        }
        let end = end || framing.ends_with_head();
        self.state = if end { Writing::Ended } else { Writing::Content(framing) };
        debug_assert!(self.is_consistent());
    }

    /// The invariant: no content is awaited if the framing ends with the head.
    fn is_consistent(&self) -> bool {
        !matches!(self.state, Writing::Content(framing) if framing.ends_with_head())
    }

    pub(crate) fn trailers<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        out: &mut Output,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Result<(), Misuse> {
        match self.state {
            Writing::Content(BodyFraming::Streamed) => appending(out, |buffer| {
                buffer.extend_from_slice(b"0\r\n");
                for (name, value) in fields {
                    if is_forbidden_trailer(name.as_ref()) {
                        return Err(Misuse::ManagedField);
                    }
                    encode::field(buffer, name.as_ref(), value.as_ref())?;
                }
                buffer.extend_from_slice(b"\r\n");
                Ok(())
            })?,
            _ => return Err(Misuse::WrongState),
        }
        self.state = Writing::Ended;
        Ok(())
    }

    /// Queues content that `fill` writes where it will be sent from: up to `max` bytes, and no more than are left.
    pub(crate) fn fill(
        &mut self,
        out: &mut Output,
        max: usize,
        fill: impl FnOnce(&mut [u8]) -> (usize, bool),
    ) -> Result<(), Misuse> {
        let Writing::Content(mut framing) = self.state else { return Err(Misuse::WrongState) };
        let max = match framing {
            BodyFraming::Length(left) => usize::try_from(left).unwrap_or(usize::MAX).min(max),
            _ => max,
        };
        let buffer = out.buffer();
        let start = buffer.len();
        // The size of a chunk stands before it, so its digits are written last, with zeros in front if need be.
        let digits = if framing == BodyFraming::Streamed { encode::hex_len(max) } else { 0 };
        let content = if digits > 0 { start + digits + 2 } else { start };
        let mut draft = Draft::new(buffer);
        draft.buffer().resize(content + max, 0);
        let (len, end) = fill(&mut draft.buffer()[content..]);
        draft.keep();
        let len = len.min(max);
        buffer.truncate(content + len);
        match &mut framing {
            BodyFraming::Streamed if len > 0 => {
                encode::hex(&mut buffer[start..start + digits], len);
                buffer[start + digits..content].copy_from_slice(b"\r\n");
                buffer.extend_from_slice(b"\r\n");
            }
            BodyFraming::Length(left) => {
                *left -= len as u64;
                // It is too late for an error. The peer notices, since the connection ends before the content is
                // complete.
                self.broken = end && *left > 0;
                self.persists &= !self.broken;
            }
            BodyFraming::UntilClose => {}
            _ => buffer.truncate(start),
        }
        if end && framing == BodyFraming::Streamed {
            buffer.extend_from_slice(b"0\r\n\r\n");
        }
        self.state = if end { Writing::Ended } else { Writing::Content(framing) };
        Ok(())
    }
}

impl fmt::Debug for MessageWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageWriter")
            .field("state", &self.state)
            .field("persists", &self.persists)
            .finish_non_exhaustive()
    }
}

/// Lets `write` append to the queue. If it fails, the queue is unchanged.
#[inline]
fn appending<T>(
    out: &mut Output,
    write: impl FnOnce(&mut Vec<u8>) -> Result<T, Misuse>,
) -> Result<T, Misuse> {
    let mut draft = Draft::new(out.buffer());
    let written = write(draft.buffer())?;
    draft.keep();
    Ok(written)
}
