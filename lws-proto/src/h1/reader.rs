//! The receive half of HTTP/1.1: requests for a server, responses for a client. RFC 9112.
//!
//! One exchange runs at a time. Bytes behind its message stay in the input until the exchange has ended, so that
//! pipelined requests are answered in order. RFC 9112 §9.3.2.

use super::chunked::{Dechunked, Dechunker};
use super::exchange::{abort, finish, refuse};
use super::facts::{Facts, Host};
use super::framing::{self, Framing};
use super::head::{HeadKind, HeadReader};
use super::writer::MessageWriter;
use crate::connection::channel::Channel;
use crate::connection::item::{Content, Item, Step};
use crate::http::{Expectation, Head, Method, StartLine, Status, TrailerField, Version, received_trailer};
use crate::{Cause, Deadline, Limit, Limits, Protocol, Time, Violation, ws};

/// Reads the messages of one peer.
#[derive(Debug)]
pub(crate) struct MessageReader {
    client: bool,
    state: Reading,
    head: HeadReader,
    /// The decoder of chunked content, kept apart from `state` to make the state small.
    dechunker: Dechunker,
    /// Whether an exchange has been completed.
    reused: bool,
    /// The time since which the reader waits: for a head, more content, or the next exchange.
    since: Time,
    /// Content that was received since then.
    period_bytes: usize,
    /// Content of the message that has been delivered.
    delivered_bytes: u64,
    /// Content of the message that has been dropped.
    discarded_bytes: u64,
}

/// The position in the message stream.
#[derive(Clone, Copy, Debug)]
enum Reading {
    /// The first of a head, or one in the middle of it.
    Head,
    /// In content with a length, of which this much is left: at least one byte.
    Length(u64),
    Chunked,
    UntilClose,
    /// In the trailer section.
    Trailers,
    /// Behind a trailer section that has not been delivered.
    TrailersReady,
    /// Behind the message.
    Done,
}

impl MessageReader {
    /// That of a server, whose connection was opened at `opened`.
    pub(crate) fn server(opened: Time) -> Self {
        Self::new(false, opened)
    }

    /// That of a client, whose connection was opened at `opened`.
    pub(crate) fn client(opened: Time) -> Self {
        Self::new(true, opened)
    }

    fn new(client: bool, since: Time) -> Self {
        Self {
            client,
            state: Reading::Head,
            head: HeadReader::new(),
            dechunker: Dechunker::new(),
            reused: false,
            since,
            period_bytes: 0,
            delivered_bytes: 0,
            discarded_bytes: 0,
        }
    }

    /// The head or trailer section that was delivered last, if `input` is the input that it was found in.
    #[inline]
    pub(crate) fn head<'a>(&'a self, input: &'a [u8]) -> Head<'a> {
        self.head.head(input)
    }

    /// Whether the request that was delivered last asks for another protocol. RFC 9110 §7.8.
    #[inline]
    pub(crate) fn asks_for_upgrade(&self) -> bool {
        self.head.facts().upgrade
    }

    /// Whether input has to wait until this side has sent its message.
    #[inline]
    pub(crate) fn is_waiting(&self, sender: &MessageWriter) -> bool {
        matches!(self.state, Reading::Done) && !self.is_over(sender)
    }

    /// Bytes that it holds of its peer.
    pub(crate) fn held(&self) -> usize {
        self.head.held()
    }

    /// Whether no byte of a head has come since the exchange before.
    pub(crate) fn is_between_requests(&self) -> bool {
        matches!(self.state, Reading::Head) && !self.head.has_begun()
    }

    /// Whether there is something to do without more input.
    #[inline]
    pub(crate) fn has_more(&self, sender: &MessageWriter, limits: &Limits) -> bool {
        match self.state {
            Reading::Head => false,
            Reading::TrailersReady => true,
            Reading::Done => self.is_over(sender),
            _ => sender.owes_continue() || self.gives_up_content(sender) || self.is_too_long(sender, limits),
        }
    }

    /// Whether the messages of both sides are complete, or a client has no use for the rest of its own.
    #[inline]
    fn is_over(&self, sender: &MessageWriter) -> bool {
        sender.has_ended() || self.client && !sender.persists()
    }

    /// Whether a server has sent its whole response, and does not wait for the rest of the request.
    #[inline]
    fn gives_up_content(&self, sender: &MessageWriter) -> bool {
        sender.has_answered() && !sender.persists()
    }

    /// How much more content may come.
    #[inline]
    fn room(&self, sender: &MessageWriter, limits: &Limits) -> u64 {
        if sender.has_answered() {
            limits.discard_bytes_max.saturating_sub(self.discarded_bytes)
        } else {
            sender.content_bytes_max(limits).saturating_sub(self.delivered_bytes)
        }
    }

    /// Whether the rest of the content is announced to be more than that.
    #[inline]
    fn is_too_long(&self, sender: &MessageWriter, limits: &Limits) -> bool {
        matches!(self.state, Reading::Length(left) if left > self.room(sender, limits))
    }

    /// Receives from the front of `input`.
    #[inline(always)]
    pub(crate) fn receive(
        &mut self,
        sender: &mut MessageWriter,
        channel: &mut Channel,
        input: &mut [u8],
    ) -> Step {
        match self.state {
            Reading::Head => self.on_head_bytes(sender, channel, input),
            Reading::Length(_) | Reading::Chunked | Reading::UntilClose => {
                self.on_content_bytes(sender, channel, input)
            }
            Reading::Trailers => self.on_trailer_bytes(sender, channel, input),
            Reading::TrailersReady => {
                self.state = Reading::Done;
                Step::found(0, Item::Trailers)
            }
            Reading::Done => self.end_exchange(sender, channel),
        }
    }

    // Heads.

    #[inline]
    fn on_head_bytes(&mut self, sender: &mut MessageWriter, channel: &mut Channel, input: &[u8]) -> Step {
        let kind = if self.client { HeadKind::Response } else { HeadKind::Request };
        if self.client && !sender.is_running() {
            finish(sender, channel, Cause::Violation(Violation::UnexpectedResponse));
            return Step::taken(input.len());
        }
        let begun = self.head.has_begun();
        match self.head.read(kind, input, &channel.link.config.limits) {
            Ok(read) if !read.complete => {
                // The time for the first head counts from the opening of the connection.
                if self.reused && !begun && self.head.has_begun() {
                    self.since = channel.link.now;
                }
                Step::taken(read.consumed)
            }
            Ok(read) if self.client => self.on_response(sender, channel, read.consumed, input),
            Ok(read) => self.on_request(sender, channel, read.consumed),
            Err(cause) => {
                if !self.client {
                    channel.open_stream();
                }
                fail(sender, channel, cause, input.len())
            }
        }
    }

    #[inline]
    fn on_request(&mut self, sender: &mut MessageWriter, channel: &mut Channel, consumed: usize) -> Step {
        let &StartLine::Request { method, version, .. } = self.head.start() else {
            return Step::taken(consumed);
        };
        let facts = *self.head.facts();
        let framing = check_request(method, version, &facts);
        channel.open_stream();
        if channel.link.config.held.is_full() {
            return fail(sender, channel, Cause::Limit(Limit::ServiceBytes), consumed);
        }
        // RFC 9112 §9.3.
        let persists = !facts.close && (version != Version::Http10 || facts.keep_alive);
        sender.begin(method, version, persists);
        match framing {
            Ok(Framing::Empty) => {
                self.state = Reading::Done;
                sender.notify_peer_end(channel);
                Step::found(consumed, Item::Request { end: true })
            }
            Ok(framing) => {
                let length = if let Framing::Length(length) = framing { Some(length) } else { None };
                let expects = facts.expect == Expectation::Continue && version != Version::Http10;
                sender.begin_content(length, expects);
                self.begin_content(framing, channel.link.now);
                Step::found(consumed, Item::Request { end: false })
            }
            Err(violation) => fail(sender, channel, Cause::Violation(violation), consumed),
        }
    }

    fn on_response(
        &mut self,
        sender: &mut MessageWriter,
        channel: &mut Channel,
        consumed: usize,
        input: &[u8],
    ) -> Step {
        let &StartLine::Response { status, version, .. } = self.head.start() else {
            return Step::taken(consumed);
        };
        let facts = *self.head.facts();
        let method = sender.method();
        if status == Status::SWITCHING_PROTOCOLS {
            return self.on_switching_protocols(sender, channel, consumed, input);
        }
        if status.is_interim() {
            return Step::found(consumed, Item::Response { end: false });
        }
        if method == Method::Connect && status.is_success() {
            return Step::found(consumed, Item::Established { protocol: Protocol::Raw, head: true });
        }
        if facts.close || version == Version::Http10 && !facts.keep_alive {
            sender.last_exchange();
        }
        sender.answered(status);
        match framing::of_response(version, status, method, &facts) {
            Ok(Framing::Empty) => {
                self.state = Reading::Done;
                Step::found(consumed, Item::Response { end: true })
            }
            Ok(framing) => {
                if framing == Framing::UntilClose {
                    sender.last_exchange();
                }
                self.begin_content(framing, channel.link.now);
                Step::found(consumed, Item::Response { end: false })
            }
            Err(violation) => fail(sender, channel, Cause::Violation(violation), consumed),
        }
    }

    /// RFC 6455 §4.1: the answer to an opening handshake. Nothing else that is sent from here asks for a switch.
    fn on_switching_protocols(
        &mut self,
        sender: &mut MessageWriter,
        channel: &mut Channel,
        consumed: usize,
        input: &[u8],
    ) -> Step {
        let Some(expected) = sender.expected_answer() else {
            return fail(sender, channel, Cause::Violation(Violation::UnexpectedResponse), consumed);
        };
        match ws::check_response(&self.head.head(input), expected) {
            Ok(opened) => {
                sender.agree(opened);
                Step::found(consumed, Item::Established { protocol: Protocol::WebSocket, head: true })
            }
            Err(failure) => fail(sender, channel, Cause::Handshake(failure), consumed),
        }
    }

    // Content.

    fn begin_content(&mut self, framing: Framing, now: Time) {
        self.state = match framing {
            Framing::Empty => Reading::Done,
            Framing::Length(length) => Reading::Length(length),
            Framing::Chunked => Reading::Chunked,
            Framing::UntilClose => Reading::UntilClose,
        };
        self.dechunker = Dechunker::new();
        self.since = now;
        self.period_bytes = 0;
        self.delivered_bytes = 0;
        self.discarded_bytes = 0;
    }

    fn on_content_bytes(&mut self, sender: &mut MessageWriter, channel: &mut Channel, input: &[u8]) -> Step {
        if self.gives_up_content(sender) {
            finish(sender, channel, cause(sender));
            return Step::taken(input.len());
        }
        let limits = &channel.link.config.limits;
        let discards = sender.has_answered();
        let room = self.room(sender, limits);
        if sender.owes_continue() && !self.is_too_long(sender, limits) {
            sender.send_continue(&mut channel.link.out);
            self.since = channel.link.now;
        }
        let found = match &mut self.state {
            Reading::Length(left) => of_length(left, input, room),
            Reading::Chunked => self.dechunker.decode(input, &channel.link.config.limits, room),
            _ => until_close(input, room),
        };
        match found {
            Ok(found) => self.on_content(sender, channel, input, found, discards),
            Err(Cause::Limit(Limit::ContentBytes)) if discards => {
                fail(sender, channel, Cause::Limit(Limit::DiscardBytes), input.len())
            }
            Err(cause) => fail(sender, channel, cause, input.len()),
        }
    }

    /// Counts content, and delivers it if it is wanted.
    fn on_content(
        &mut self,
        sender: &mut MessageWriter,
        channel: &mut Channel,
        input: &[u8],
        found: Dechunked,
        discards: bool,
    ) -> Step {
        /// The end of most chunked messages. If it directly follows the last content, no separate event is needed.
        const END: &[u8] = b"\r\n0\r\n\r\n";
        let Dechunked { mut consumed, content, last } = found;
        let mut end = false;
        match self.state {
            Reading::Length(left) => {
                sender.set_unread(left);
                end = left == 0;
            }
            Reading::Chunked if last => self.state = Reading::Trailers,
            Reading::Chunked if self.dechunker.is_behind_data() && input[consumed..].starts_with(END) => {
                consumed += END.len();
                end = true;
            }
            _ => {}
        }
        self.period_bytes = self.period_bytes.saturating_add(content.len());
        *(if discards { &mut self.discarded_bytes } else { &mut self.delivered_bytes }) +=
            content.len() as u64;
        if end {
            self.end_content(sender, channel);
        }
        if discards || content.is_empty() && !end {
            return Step::taken(consumed);
        }
        Step::found(consumed, Item::Body { content: Content::Input(content), end })
    }

    fn on_trailer_bytes(&mut self, sender: &mut MessageWriter, channel: &mut Channel, input: &[u8]) -> Step {
        let read = match self.head.read(HeadKind::Trailers, input, &channel.link.config.limits) {
            Ok(read) => read,
            Err(cause) => return fail(sender, channel, cause, input.len()),
        };
        if !read.complete {
            return Step::taken(read.consumed);
        }
        let is = |field| move |name: &str| received_trailer(name.as_bytes()) == field;
        if self.head.head(input).fields().any(|(name, _)| is(TrailerField::Refused)(name)) {
            return fail(sender, channel, Cause::Violation(Violation::Trailer), read.consumed);
        }
        self.head.retain(input, is(TrailerField::Allowed));
        let some = self.head.head(input).fields().len() > 0;
        self.end_content(sender, channel);
        if sender.has_answered() {
            return Step::taken(read.consumed);
        }
        if some {
            self.state = Reading::TrailersReady;
        }
        Step::found(read.consumed, Item::Body { content: Content::Input(0..0), end: true })
    }

    fn end_content(&mut self, sender: &mut MessageWriter, channel: &mut Channel) {
        self.state = Reading::Done;
        sender.set_unread(0);
        sender.notify_peer_end(channel);
    }

    // Ends.

    /// Ends the exchange, as both messages are complete or abandoned.
    #[inline]
    fn end_exchange(&mut self, sender: &mut MessageWriter, channel: &mut Channel) -> Step {
        let cause = sender.refusal().unwrap_or(cause(sender));
        if sender.persists() {
            sender.reset();
            self.state = Reading::Head;
            self.head.release();
            self.reused = true;
            self.since = channel.link.now;
            channel.close_stream(cause);
        } else {
            finish(sender, channel, cause);
        }
        Step::taken(0)
    }

    /// The peer will send no more.
    pub(crate) fn receive_eof(&mut self, sender: &mut MessageWriter, channel: &mut Channel) -> Option<Item> {
        let truncated = channel.link.is_truncated();
        match self.state {
            Reading::UntilClose if truncated => {
                finish(sender, channel, Cause::Truncated);
                None
            }
            Reading::UntilClose => {
                self.state = Reading::Done;
                Some(Item::Body { content: Content::Input(0..0), end: true })
            }
            Reading::TrailersReady | Reading::Done => {
                // A client that has sent all its requests may close its half and still wants the responses.
                sender.last_exchange();
                if self.has_more(sender, &channel.link.config.limits) {
                    self.end_exchange(sender, channel);
                }
                None
            }
            Reading::Head if !sender.is_running() && !self.head.has_begun() => {
                finish(sender, channel, Cause::Complete);
                None
            }
            Reading::Head | Reading::Length(_) | Reading::Chunked | Reading::Trailers => {
                finish(sender, channel, channel.link.loss());
                None
            }
        }
    }

    // Deadlines.

    /// The deadline for further input.
    pub(crate) fn next_timeout(&self, sender: &MessageWriter, channel: &Channel) -> Option<Time> {
        let link = &channel.link;
        let limits = &link.config.limits;
        match self.state {
            Reading::Head if self.client => {
                if sender.is_running() {
                    let sent = sender.has_ended() && link.out.is_empty();
                    sent.then(|| request_sent(sender, channel) + limits.response_timeout)
                } else {
                    self.reused.then(|| self.since + limits.keep_alive_timeout)
                }
            }
            Reading::Head if self.reused && !self.head.has_begun() => {
                Some(self.since + limits.keep_alive_timeout)
            }
            Reading::Head => Some(self.since + limits.head_timeout),
            // Queued output has a deadline of its own. Without output, a peer that has left ends the exchange even
            // while the application holds input back.
            Reading::TrailersReady | Reading::Done => {
                if !link.out.is_empty() {
                    return None;
                }
                sender.half_closed_until(link.last_sent, limits.half_closed_timeout)
            }
            // The application holds input back, so the peer is not late.
            _ if sender.would_hold_input(channel) => None,
            _ if self.client => Some(match sender.refusal() {
                Some(_) => request_sent(sender, channel) + limits.response_timeout,
                None => {
                    let last = link.last_received.max(channel.last_resumed).max(self.since);
                    last + limits.between_bytes_timeout
                }
            }),
            Reading::Length(_) | Reading::Chunked | Reading::UntilClose | Reading::Trailers => {
                Some(channel.last_resumed.max(self.since) + limits.content_period)
            }
        }
    }

    /// The deadline of an exchange that sends nothing while its peer has sent so much ahead that no more is read: the
    /// end of the peer's direction cannot be detected behind that.
    pub(crate) fn unseen_until(&self, sender: &MessageWriter, channel: &Channel) -> Option<Time> {
        let link = &channel.link;
        let waits = matches!(self.state, Reading::TrailersReady | Reading::Done) && link.out.is_empty();
        if self.client || !waits {
            return None;
        }
        sender.silent_until(link.last_sent.max(link.last_received), link.config.limits.half_closed_timeout)
    }

    /// Does what is due at `now`.
    pub(crate) fn handle_timeout(&mut self, sender: &mut MessageWriter, channel: &mut Channel, now: Time) {
        if self.next_timeout(sender, channel).is_none_or(|at| now < at) {
            return;
        }
        let idle = !self.head.has_begun() && !sender.is_running();
        let link = &mut channel.link;
        match self.state {
            // There is no request to answer.
            Reading::Head if idle => finish(sender, channel, Cause::Timeout(Deadline::Head)),
            // The request has not arrived at the server yet, so the response is not late.
            Reading::Head if self.client && link.delivery.is_arriving(&link.config.limits, now) => {
                link.last_sent = now;
            }
            Reading::Head if self.client => finish(sender, channel, Cause::Timeout(Deadline::Response)),
            Reading::TrailersReady | Reading::Done => {
                abort(sender, channel, Cause::Timeout(Deadline::HalfClosed))
            }
            Reading::Head => {
                channel.open_stream();
                refuse(sender, channel, Cause::Timeout(Deadline::Head));
            }
            _ if self.client => finish(sender, channel, Cause::Timeout(Deadline::BetweenBytes)),
            _ if self.period_bytes >= sender.content_bytes_min(&channel.link.config.limits) => {
                self.since = now;
                self.period_bytes = 0;
            }
            _ => refuse(sender, channel, Cause::Timeout(Deadline::Content)),
        }
    }
}

/// The cause of an exchange's end for which this side has nothing more to send.
#[inline]
fn cause(sender: &MessageWriter) -> Cause {
    if sender.is_broken() { Cause::Aborted } else { Cause::Complete }
}

/// When all of a client's request had gone to the transport.
fn request_sent(sender: &MessageWriter, channel: &Channel) -> Time {
    channel.link.last_sent.max(sender.begun())
}

/// Ends the connection over something that the peer did.
#[cold]
fn fail(sender: &mut MessageWriter, channel: &mut Channel, cause: Cause, consumed: usize) -> Step {
    refuse(sender, channel, cause);
    Step::taken(consumed)
}

/// How the content of a request ends, unless the request is refused. RFC 9112 §3.2 and §6.3, RFC 9110 §10.1.1.
#[inline]
fn check_request(method: Method, version: Version, facts: &Facts) -> Result<Framing, Violation> {
    if !facts.target_is_valid {
        return Err(Violation::Target);
    }
    // "A server MUST respond with a 400 ... to any HTTP/1.1 request message that lacks a Host header field".
    if facts.host == Host::Invalid || facts.host == Host::Absent && version != Version::Http10 {
        return Err(Violation::Host);
    }
    let framing = framing::of_request(version, method, facts)?;
    // RFC 9110 §9.3.6: "A CONNECT request message does not have content", and what follows would be the tunnel's.
    if method == Method::Connect && framing != Framing::Empty {
        let chunked = framing == Framing::Chunked;
        return Err(if chunked { Violation::TransferEncoding } else { Violation::ContentLength });
    }
    // "A server that receives a 100-continue expectation in an HTTP/1.0 request MUST ignore that expectation".
    if facts.expect == Expectation::Unknown && version != Version::Http10 {
        return Err(Violation::Expectation);
    }
    Ok(framing)
}

/// Content up to a length of which so much is `left`.
fn of_length(left: &mut u64, input: &[u8], room: u64) -> Result<Dechunked, Cause> {
    if *left > room {
        return Err(Cause::Limit(Limit::ContentBytes));
    }
    let len = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
    *left -= len as u64;
    Ok(Dechunked { consumed: len, content: 0..len, last: false })
}

/// Content up to the end of the connection.
fn until_close(input: &[u8], room: u64) -> Result<Dechunked, Cause> {
    let len = usize::try_from(room).unwrap_or(usize::MAX).min(input.len());
    if len == 0 && !input.is_empty() {
        return Err(Cause::Limit(Limit::ContentBytes));
    }
    Ok(Dechunked { consumed: len, content: 0..len, last: false })
}
