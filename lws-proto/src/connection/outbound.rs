//! The sending side of a connection, which a handle borrows while an event lends content from the receiving side.
//!
//! Protocols meet here only as the variants of [`Sending`]. One match decides which protocol handles a call; it gets
//! its own half and the channel or link.

use crate::config::Versions;
use crate::connection::carried::{self, Carried, CarriedReceiver, Halves};
use crate::connection::channel::Channel;
use crate::connection::item::Item;
use crate::connection::link::{LastWord, Link, LinkEnd};
use crate::connection::resources::Resources;
use crate::connection::stream::Notices;
use crate::key::StreamKey;
use crate::time::earliest;
use crate::{Cause, Config, Entropy, Limit, Misuse, Protocol, Time, h1, h2, raw, ws};
use alloc::boxed::Box;
use alloc::sync::Arc;

pub(crate) struct Outbound {
    pub(crate) channel: Channel,
    pub(crate) sender: Sending,
    pub(crate) resources: Resources,
    /// The next receiver, which takes over as soon as nothing is lent from the current one.
    switch: Option<Box<Switch>>,
}

/// The sending half of the protocol. A separate tag is matched in one step, while a niche in a field would take
/// several.
#[repr(u8)]
pub(crate) enum Sending {
    /// No protocol yet, or no longer.
    Silent,
    Http1(Box<h1::MessageWriter>),
    Carried(Carried),
    Http2(Box<h2::Session>),
}

/// A protocol switch: the sending half has been replaced, and the receiving half will be.
pub(crate) struct Switch {
    pub(crate) receiver: NextReceiver,
    /// Whether the application has been notified already.
    pub(crate) announced: bool,
}

pub(crate) enum NextReceiver {
    Carried(CarriedReceiver),
    Http2(Box<h2::FrameReader>),
}

/// An exchange, by the version of HTTP.
pub(crate) enum LentExchange<'a> {
    Http1(&'a mut h1::MessageWriter, &'a mut Channel, &'a mut Resources),
    Http2(&'a mut h2::Session, &'a mut Link, &'a mut Resources),
}

impl Outbound {
    pub(crate) fn new(
        now: Time,
        config: Arc<Config>,
        sender: Sending,
        entropy: Option<Box<dyn Entropy>>,
    ) -> Self {
        let link = Link::new(now, config, entropy.is_some());
        Self {
            channel: Channel::new(link),
            sender,
            resources: Resources { entropy, ..Resources::default() },
            switch: None,
        }
    }

    /// The tape of a recorded connection.
    #[cfg(feature = "record")]
    pub(crate) fn tape(&self) -> Option<&crate::record::Running> {
        self.resources.tape.as_ref()
    }

    /// The tape of a recorded connection, with the key of the lent stream for the note.
    #[cfg(feature = "record")]
    pub(crate) fn noted(&self) -> Option<(crate::record::Running, Arc<Config>, StreamKey)> {
        self.tape().map(|tape| (tape.clone(), Arc::clone(&self.link().config), self.key()))
    }

    #[inline]
    pub(crate) fn link(&self) -> &Link {
        &self.channel.link
    }

    // Protocols.

    /// Notes that ALPN has negotiated HTTP/1.1.
    pub(crate) fn agree_on_http1(&mut self) {
        self.channel.link.http1_agreed = true;
    }

    #[cfg(feature = "record")]
    pub(crate) fn has_agreed_on_http1(&self) -> bool {
        self.link().http1_agreed
    }

    /// Whether the peer may switch to HTTP/2.
    pub(crate) fn may_speak_http2(&self) -> bool {
        self.link().config.versions == Versions::Any && !self.link().http1_agreed
    }

    /// Begins HTTP/2, with this side's preface.
    pub(crate) fn begin_http2(&mut self) -> Box<h2::FrameReader> {
        let link = &mut self.channel.link;
        let (client, now) = (link.is_client(), link.now);
        let mut session = Box::new(h2::Session::new(client, &link.config, now));
        session.begin(link);
        self.speak_http2(session);
        Box::new(h2::FrameReader::new(client, now))
    }

    fn speak_http2(&mut self, session: Box<h2::Session>) {
        // From here on the session delivers the streams, including the one that requested the upgrade.
        self.channel.hand_stream_on();
        self.channel.link.multiplex();
        self.sender = Sending::Http2(session);
    }

    /// Upgrades from HTTP/1.1 to HTTP/2, with the current exchange as the first stream.
    #[cold]
    pub(crate) fn upgrade_to_http2(&mut self, upgrade: &h2::Upgrade, method: crate::http::Method) {
        let generation = self.channel.stream.key.generation;
        let link = &mut self.channel.link;
        let session = Box::new(h2::Session::upgraded(upgrade, (method, generation), link));
        let mut receiver = Box::new(h2::FrameReader::new(false, link.now));
        receiver.begin_upgraded(session.lent_slot());
        self.speak_http2(session);
        self.switch_receiver(NextReceiver::Http2(receiver), true);
    }

    /// Switches the channel to a protocol other than HTTP.
    fn carry(&mut self, (sender, receiver): Halves, announced: bool) {
        self.resources.account.charge(sender.held());
        self.sender = Sending::Carried(sender);
        self.switch_receiver(NextReceiver::Carried(receiver), announced);
    }

    /// Switches the only stream to a WebSocket.
    pub(crate) fn begin_websocket(&mut self, opened: ws::Opened, announced: bool) {
        let Link { now, .. } = self.channel.link;
        let halves = carried::websocket(opened, self.link().is_client(), now);
        self.carry(halves, announced);
    }

    /// Switches the only stream to raw bytes.
    pub(crate) fn begin_raw(&mut self, announced: bool) {
        self.carry(carried::raw(), announced);
    }

    /// Begins the protocol that the response to a client's HTTP/1.1 request has established.
    #[cold]
    pub(crate) fn begin_established(&mut self, protocol: Protocol) {
        let agreed = match &mut self.sender {
            Sending::Http1(sender) => sender.take_agreed(),
            _ => None,
        };
        match agreed {
            Some(opened) => self.begin_websocket(opened, true),
            None => {
                debug_assert!(protocol == Protocol::Raw, "nothing was agreed on");
                self.begin_raw(true);
            }
        }
    }

    fn switch_receiver(&mut self, receiver: NextReceiver, announced: bool) {
        self.switch = Some(Box::new(Switch { receiver, announced }));
        self.channel.stream.notices.set(Notices::SWITCH);
    }

    /// Takes the pending protocol switch. It comes before everything else.
    pub(crate) fn take_switch(&mut self) -> Option<Box<Switch>> {
        let switch =
            if self.channel.stream.notices.take(Notices::SWITCH) { self.switch.take() } else { None };
        // If the stream has ended in the meantime, nothing is established.
        switch.filter(|_| self.link().is_open())
    }

    // The streams of handles.

    /// The protocol of the lent stream, with its channel, if it is not an exchange.
    #[inline]
    fn carried(&mut self) -> Option<(&mut Carried, &mut Channel, &mut Resources)> {
        match &mut self.sender {
            Sending::Carried(carried) => Some((carried, &mut self.channel, &mut self.resources)),
            Sending::Http2(session) => {
                let (carried, channel) = session.attached_tunnel()?.halves();
                Some((carried, channel, &mut self.resources))
            }
            Sending::Http1(_) | Sending::Silent => None,
        }
    }

    /// The lent WebSocket, for a permit, which exists only while the WebSocket has not ended.
    #[inline]
    pub(crate) fn permitted_websocket(
        &mut self,
    ) -> Option<(&mut ws::FrameSender, &mut Channel, &mut Resources)> {
        match self.carried()? {
            (Carried::WebSocket(sender), channel, resources) => {
                debug_assert!(channel.link.is_open(), "a permit of a WebSocket that has ended");
                Some((sender, channel, resources))
            }
            (Carried::Raw(_), ..) => None,
        }
    }

    /// The lent stream as a WebSocket, if it is one and has not ended.
    #[inline]
    pub(crate) fn websocket(&mut self) -> Option<(&mut ws::FrameSender, &mut Channel, &mut Resources)> {
        match self.carried()? {
            (Carried::WebSocket(sender), channel, resources) if channel.link.is_open() => {
                Some((sender, channel, resources))
            }
            _ => None,
        }
    }

    /// The lent stream as a raw stream, if it is one and has not ended.
    #[inline]
    pub(crate) fn raw(&mut self) -> Option<(&mut raw::ByteSender, &mut Channel)> {
        match self.carried()? {
            (Carried::Raw(sender), channel, _) if channel.link.is_open() => Some((sender, channel)),
            _ => None,
        }
    }

    /// The lent stream as an exchange, if it is one.
    #[inline]
    pub(crate) fn exchange(&mut self) -> Option<LentExchange<'_>> {
        let Self { channel, resources, .. } = self;
        match &mut self.sender {
            Sending::Http1(sender) if channel.link.is_open() => {
                Some(LentExchange::Http1(sender, channel, resources))
            }
            Sending::Http2(session) if !session.lends_tunnel() => {
                Some(LentExchange::Http2(session, &mut channel.link, resources))
            }
            _ => None,
        }
    }

    /// Lends the stream that `key` names, if it has not ended.
    pub(crate) fn select(&mut self, key: StreamKey) -> bool {
        let Self { sender: Sending::Http2(session), channel, resources, .. } = self else {
            return self.channel.has_stream() && self.channel.stream.key == key;
        };
        session.detach(&channel.link, resources);
        session.select(key, &channel.link)
    }

    /// Detaches the attached tunnel, and applies what handles have done with it.
    #[inline]
    pub(crate) fn detach(&mut self) {
        if let Sending::Http2(session) = &mut self.sender {
            session.detach(&self.channel.link, &mut self.resources);
        }
    }

    /// The key of the lent stream, or of the open or last one.
    #[inline]
    pub(crate) fn key(&self) -> StreamKey {
        match &self.sender {
            Sending::Http2(session) => session.key(),
            _ => self.channel.stream.key,
        }
    }

    // Held memory.

    /// Whether uncounted memory may be held. With many streams that has to be counted each time.
    #[inline]
    pub(crate) fn is_charged(&self) -> bool {
        self.resources.account.is_touched() || self.link().is_multiplexed()
    }

    /// The bytes of queued output, and those that the application holds for the streams.
    pub(crate) fn held(&self) -> usize {
        let sender = match &self.sender {
            Sending::Http2(session) => session.held(),
            Sending::Carried(carried) => carried.held(),
            Sending::Http1(_) | Sending::Silent => 0,
        };
        self.link().out.held() + self.channel.stream.held as usize + sender
    }

    /// Charges bytes that the application is about to hold for the lent stream.
    pub(crate) fn hold(&mut self, bytes: usize) -> Result<(), Limit> {
        let config = &self.channel.link.config;
        if config.held.is_full() {
            return Err(Limit::ServiceBytes);
        }
        if !self.resources.account.grow(bytes, config.limits.held_bytes_max) {
            return Err(Limit::HeldBytes);
        }
        match &mut self.sender {
            Sending::Http2(session) => session.lent_core().hold(bytes),
            _ => self.channel.stream.hold(bytes),
        }
        Ok(())
    }

    /// Releases bytes that the application does not hold any more.
    pub(crate) fn let_go(&mut self, bytes: usize) {
        let released = match &mut self.sender {
            Sending::Http2(session) => session.lent_core().release(bytes),
            _ => self.channel.stream.release(bytes),
        };
        self.resources.account.shrink(released);
    }

    // Permits.

    /// Whether the lent stream may write, so that a permit could be given.
    #[inline(always)]
    pub(crate) fn may_write(&self) -> bool {
        // Inlined for messages, of which there are more than of requests.
        match &self.sender {
            Sending::Carried(carried) => carried.may_write(&self.channel),
            _ => self.exchange_may_write(),
        }
    }

    #[inline(never)]
    fn exchange_may_write(&self) -> bool {
        match &self.sender {
            Sending::Carried(carried) => carried.may_write(&self.channel),
            Sending::Http1(sender) => sender.can_write(&self.channel),
            Sending::Http2(session) => session.may_write(&self.channel.link),
            Sending::Silent => false,
        }
    }

    /// Whether content of the lent stream may be a region.
    pub(crate) fn takes_region(&self) -> bool {
        match &self.sender {
            Sending::Http1(sender) => self.link().sends_regions && sender.takes_region(),
            _ => false,
        }
    }

    /// Whether this side has ended its direction of the lent stream.
    pub(crate) fn has_ended(&self) -> bool {
        match &self.sender {
            Sending::Http2(session) => session.has_ended(),
            _ if !self.link().is_open() => true,
            Sending::Http1(sender) => sender.has_ended(),
            Sending::Carried(carried) => !carried.is_sending(),
            Sending::Silent => true,
        }
    }

    /// Whether this side is in the middle of a WebSocket message.
    pub(crate) fn is_in_message(&self) -> bool {
        self.frame_sender().is_some_and(ws::FrameSender::is_in_message)
    }

    /// The messages that this side has sent on the WebSocket that is lent, whether or not it has ended.
    #[inline]
    pub(crate) fn sent_messages(&self) -> ws::SentMessages {
        self.frame_sender().map(ws::FrameSender::sent).unwrap_or_default()
    }

    #[inline]
    fn frame_sender(&self) -> Option<&ws::FrameSender> {
        let carried = match &self.sender {
            Sending::Carried(carried) => carried,
            Sending::Http2(session) => session.attached()?.carried(),
            Sending::Http1(_) | Sending::Silent => return None,
        };
        match carried {
            Carried::WebSocket(sender) => Some(sender),
            Carried::Raw(_) => None,
        }
    }

    pub(crate) fn is_paused(&self) -> bool {
        match &self.sender {
            Sending::Http2(session) => session.is_paused(),
            _ => self.channel.is_paused(),
        }
    }

    /// Whether the queue or a window is full, so that no more can be sent now.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        match &self.sender {
            Sending::Http2(session) => session.is_full(&self.channel.link),
            _ => !self.link().has_room(),
        }
    }

    /// The number of bytes that can be sent before the queue or a window is full.
    pub(crate) fn budget(&self) -> usize {
        match &self.sender {
            Sending::Http2(session) => session.permit_budget(&self.channel.link),
            _ => self.link().budget(),
        }
    }

    pub(crate) fn want_write(&mut self) {
        match &mut self.sender {
            Sending::Http2(session) => session.want_write(self.channel.link.now),
            _ => self.channel.want_write(),
        }
    }

    pub(crate) fn throttle(&mut self) {
        match &mut self.sender {
            Sending::Http2(session) => session.throttle(),
            _ => self.channel.throttle(),
        }
    }

    pub(crate) fn pause(&mut self) {
        match &mut self.sender {
            Sending::Http2(session) => session.pause(),
            _ => self.channel.pause(),
        }
    }

    pub(crate) fn resume(&mut self) {
        match &mut self.sender {
            Sending::Http2(session) => session.resume(&self.channel.link),
            _ => self.channel.resume(),
        }
    }

    pub(crate) fn set_timeout(&mut self, at: Option<Time>) {
        match &mut self.sender {
            Sending::Http2(session) => session.set_timeout(at),
            _ => self.channel.set_timeout(at),
        }
    }

    /// Notes that the permit of the lent stream is out as a ticket, or has come back.
    pub(crate) fn set_ticket(&mut self, out: bool) {
        match &mut self.sender {
            Sending::Http2(session) => session.set_ticket(out, self.channel.link.now),
            _ => self.channel.set_ticket(out),
        }
    }

    /// Notes that the peer is known to be alive at `now`, by evidence outside of the engine.
    pub(crate) fn confirm_peer(&mut self, now: Time) {
        let tunnel = match &mut self.sender {
            Sending::Http2(session) => session.attached_channel(),
            _ => None,
        };
        let link = &mut tunnel.unwrap_or(&mut self.channel).link;
        link.last_received = link.last_received.max(now);
    }

    // Input.

    /// Whether there is a notice to deliver before input.
    #[inline]
    pub(crate) fn has_notice(&self) -> bool {
        self.channel.stream.notices.has(Notices::BEFORE_INPUT) || self.link().is_multiplexed()
    }

    /// The peer will send no more.
    pub(crate) fn received_eof(&mut self) {
        let link = &mut self.channel.link;
        link.received_eof();
        if let Sending::Http1(sender) = &mut self.sender {
            sender.note_peer_end(link.now);
        }
    }

    /// Notifies an exchange that waits for its answer of the end of its peer's direction.
    pub(crate) fn notify_peer_end(&mut self) {
        if let Sending::Http1(sender) = &self.sender {
            sender.notify_peer_end(&mut self.channel);
        }
    }

    /// The exchange on which a client's request begins.
    ///
    /// # Errors
    /// The connection is not HTTP, or has ended.
    pub(crate) fn for_request(&mut self) -> Result<LentExchange<'_>, Misuse> {
        let Self { channel, resources, .. } = self;
        match &mut self.sender {
            Sending::Http1(sender) => Ok(LentExchange::Http1(sender, channel, resources)),
            Sending::Http2(session) => Ok(LentExchange::Http2(session, &mut channel.link, resources)),
            // A connection that has become something else, or has ended, is in the wrong state for a request.
            Sending::Carried(_) | Sending::Silent => Err(Misuse::WrongState),
        }
    }

    /// Whether the application holds input back.
    #[inline(always)]
    pub(crate) fn holds_input(&mut self) -> bool {
        // One test finds that almost no stream holds its input back; streams that share a link are asked one by
        // one.
        (self.channel.may_hold_input() || self.link().is_multiplexed()) && self.holds_some_input()
    }

    fn holds_some_input(&mut self) -> bool {
        match &mut self.sender {
            Sending::Http2(session) => session.holds_all_input(&self.channel.link),
            Sending::Http1(sender) => sender.holds_input(&mut self.channel),
            Sending::Carried(carried) => {
                let waits = carried.waits_for_permit(&self.channel);
                self.channel.holds_input(waits)
            }
            Sending::Silent => false,
        }
    }

    /// Whether the application would hold input back; unlike [`holds_input`](Self::holds_input) it changes nothing.
    pub(crate) fn would_hold_input(&self) -> bool {
        match &self.sender {
            Sending::Http1(sender) => sender.would_hold_input(&self.channel),
            Sending::Carried(carried) => {
                self.channel.would_hold_input(carried.waits_for_permit(&self.channel))
            }
            Sending::Http2(session) => session.would_hold_all_input(&self.channel.link),
            Sending::Silent => false,
        }
    }

    /// The next notice of the streams.
    pub(crate) fn notice(&mut self) -> Option<Item> {
        let Self { channel, resources, .. } = self;
        let item = match &mut self.sender {
            Sending::Http2(session) => return session.notice_or_end(&mut channel.link, resources),
            Sending::Http1(sender) => sender.notice(channel),
            Sending::Carried(carried) => channel.notice(|channel| carried.may_write(channel)),
            Sending::Silent => channel.notice(|_| false),
        };
        // The application's memory for a stream counts until the stream's end is delivered.
        if channel.stream.held > 0 && matches!(item, Some(Item::Closed { .. })) {
            resources.account.shrink(core::mem::take(&mut channel.stream.held) as usize);
        }
        item
    }

    /// Whether there is a notice now, apart from the end of the peer.
    pub(crate) fn notice_is_due(&self) -> bool {
        let channel = &self.channel;
        match &self.sender {
            Sending::Http2(session) => {
                session.has_notice(channel.link.has_room()) || channel.stream.notices.has(Notices::SWITCH)
            }
            Sending::Http1(sender) => sender.notice_is_due(channel),
            Sending::Carried(carried) => channel.notice_is_due(|channel| carried.may_write(channel)),
            Sending::Silent => channel.notice_is_due(|_| false),
        }
    }

    // Output.

    /// Queues output of streams, as far as windows and the queue allow.
    #[inline]
    pub(crate) fn flush(&mut self, now: Time) {
        if let Sending::Http2(session) = &mut self.sender {
            let link = &mut self.channel.link;
            link.now = now;
            // Output of the attached tunnel has to be registered with its stream before streams are served.
            session.detach(link, &mut self.resources);
            session.flush(link, &mut self.resources);
        }
    }

    /// Whether output is queued for the transport.
    #[inline]
    pub(crate) fn wants_output(&self) -> bool {
        !self.link().out.is_empty() || matches!(&self.sender, Sending::Http2(session) if session.has_flush())
    }

    /// The transport has taken `n` bytes.
    #[inline(always)]
    pub(crate) fn transmitted(&mut self, now: Time, n: usize) {
        let empty = self.channel.link.transmitted(now, n);
        match &mut self.sender {
            Sending::Carried(carried) => carried.transmitted(&mut self.channel, &mut self.resources),
            Sending::Http2(session) if empty => session.all_sent(),
            _ => {}
        }
    }

    /// Whether FIN is to follow what is queued.
    pub(crate) fn has_fin(&self) -> bool {
        match &self.sender {
            Sending::Carried(carried) => carried.has_fin(&self.channel),
            _ => self.link().has_fin(),
        }
    }

    // Ends.

    /// Ends the streams and the protocol. Queued bytes are still sent.
    pub(crate) fn finish(&mut self, cause: Cause) {
        let Self { channel, .. } = self;
        match &mut self.sender {
            Sending::Http1(sender) => h1::finish(sender, channel, cause),
            Sending::Carried(carried) => carried.finish(channel, cause),
            Sending::Http2(session) => session.end_all(&mut channel.link, cause),
            Sending::Silent => channel.finish(cause, LastWord::Fin),
        }
    }

    /// Ends everything at once, and drops the queue. The transport is reset if the output is incomplete.
    pub(crate) fn abort(&mut self, cause: Cause) {
        let Self { channel, .. } = self;
        match &mut self.sender {
            Sending::Http1(sender) => h1::abort(sender, channel, cause),
            Sending::Carried(carried) => carried.abort(channel, cause),
            Sending::Http2(session) => session.abort_all(&mut channel.link, cause),
            Sending::Silent => channel.abort(cause, false),
        }
        self.switch = None;
    }

    /// Aborts the lent stream, and with it the connection if that has no other stream.
    pub(crate) fn abort_stream(&mut self) {
        match &mut self.sender {
            Sending::Http2(session) => session.abort_stream(&mut self.channel.link),
            _ => self.abort(Cause::Aborted),
        }
    }

    /// Ends the connection in an orderly way. See [`Connection::drain`](crate::Connection::drain).
    pub(crate) fn drain(&mut self, now: Time) {
        let Self { channel, resources, .. } = self;
        channel.link.now = now;
        match &mut self.sender {
            Sending::Http2(session) => session.drain(&mut channel.link, resources),
            Sending::Carried(carried) => carried.drain(channel, resources),
            Sending::Http1(sender) if channel.has_stream() => sender.last_exchange(),
            Sending::Http1(_) | Sending::Silent => self.finish(Cause::Aborted),
        }
    }

    /// Lets the connection end by itself. See [`Connection::retire`](crate::Connection::retire).
    pub(crate) fn retire(&mut self, now: Time) {
        self.channel.link.now = now;
        match &mut self.sender {
            Sending::Http2(session) => session.retire(&mut self.channel.link),
            Sending::Http1(_) if self.channel.link.is_client() && !self.channel.has_stream() => {
                self.finish(Cause::Complete);
            }
            Sending::Http1(sender) => sender.retire(),
            Sending::Carried(_) | Sending::Silent => {}
        }
    }

    /// Frees the protocol after its end, except that the ends of HTTP/2 streams are still to be delivered.
    #[cold]
    pub(crate) fn forget_protocol(&mut self) {
        self.switch = None;
        if !matches!(self.sender, Sending::Http2(_)) {
            self.sender = Sending::Silent;
        }
    }

    // Deadlines.

    #[inline(always)]
    pub(crate) fn next_timeout(&self) -> Option<Time> {
        let carried = match &self.sender {
            Sending::Carried(carried) => carried.next_timeout(&self.channel),
            _ => None,
        };
        earliest(self.channel.next_timeout(), carried)
    }

    pub(crate) fn handle_timeout(&mut self, now: Time) {
        if let Some(deadline) = self.channel.link.handle_timeout(now) {
            return self.abort(Cause::Timeout(deadline));
        }
        self.channel.handle_timeout(now);
        if let Sending::Carried(carried) = &mut self.sender {
            carried.handle_timeout(&mut self.channel, &mut self.resources);
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.link().end() == LinkEnd::Done
    }
}

impl Switch {
    pub(crate) fn protocol(&self) -> Protocol {
        match self.receiver {
            NextReceiver::Carried(CarriedReceiver::WebSocket(_)) => Protocol::WebSocket,
            // The first request of HTTP/2 has been delivered already.
            NextReceiver::Carried(CarriedReceiver::Raw(_)) | NextReceiver::Http2(_) => Protocol::Raw,
        }
    }
}
