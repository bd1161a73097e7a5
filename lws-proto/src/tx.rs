//! The transmit half of a connection and the state of its stream: what a handle lent with an event may touch.
//!
//! Knows no input. Protocols meet here only as the variants of [`Sender`].

use crate::budget::Account;
use crate::config::Versions;
use crate::delivery::Delivery;
use crate::item::Item;
use crate::time::earliest;
use crate::transmit::Output;
use crate::ws::CloseCode;
use crate::{Cause, Config, Deadline, Entropy, Limit, Protocol, StreamKey, Time, h1, h2, raw, ws};
use alloc::boxed::Box;
use alloc::sync::Arc;

pub(crate) struct Tx {
    pub(crate) config: Arc<Config>,
    /// The last moment that the driver told.
    pub(crate) now: Time,
    /// When the peer was last heard.
    pub(crate) heard: Time,
    /// When the transport last had everything that was queued.
    pub(crate) sent: Time,
    /// When the application last took input again that it had held.
    pub(crate) resumed: Time,
    /// When the connection was opened.
    opened: Time,
    pub(crate) out: Output,
    pub(crate) sender: Sender,
    pub(crate) stream: StreamState,
    pub(crate) ending: Ending,
    /// Whatever keeps input from being looked at right away. Zero almost always, so that asking is cheap.
    flags: u16,
    closed: Cause,
    switch: Option<Box<Switch>>,
    /// How far what was sent has come.
    pub(crate) delivery: Delivery,
    /// A client's; a server masks nothing. A tunnel borrows it while it is looked at.
    pub(crate) entropy: Option<Box<dyn Entropy>>,
    client: bool,
    /// Bytes from which on the queue is full: `send_queue_bytes_max`, and no more than the window of the stream that is the
    /// transport.
    room: usize,
    /// What the stream that is the transport takes at once: its windows, and one frame.
    credit: usize,
    /// What is carried, if the transport is a stream of another connection.
    tunnel: Option<Carries>,
    /// Where between others it asks its peer; zero is at the very moment.
    pub(crate) spread: u8,
    /// ALPN has not chosen HTTP/2, so that nothing that the peer says leads there.
    http1_agreed: bool,
    #[cfg(feature = "record")]
    pub(crate) tape: Option<crate::record::Running>,
    /// What is held for the peer. That of a connection of HTTP/2 is its sender's, and a tunnel borrows it while it is looked at.
    pub(crate) account: Account,
}

/// What a send means.
pub(crate) enum Sender {
    /// Nothing is spoken yet, or any more.
    Silent,
    Http1(Box<h1::Sender>),
    WebSocket(ws::Sender),
    Raw(raw::Sender),
    Http2(Box<h2::Sender>),
}

/// The one stream of a connection that does not multiplex.
#[derive(Debug)]
pub(crate) struct StreamState {
    index: u32,
    generation: u32,
    pub(crate) open: bool,
    /// A permit is out as a ticket.
    pub(crate) ticket: bool,
    /// Bytes that the application holds for it.
    pub(crate) held: u32,
    timeout: Option<Time>,
}

/// A protocol that takes over. The old receiver is replaced as soon as nothing borrows from it.
pub(crate) struct Switch {
    pub(crate) receiver: SwitchTo,
    /// Whether the application has been told already.
    pub(crate) announced: bool,
}

pub(crate) enum SwitchTo {
    WebSocket(Box<ws::Receiver>),
    Raw(raw::Receiver),
    Http2(Box<h2::Receiver>),
}

/// What a stream of HTTP/2 carries once its exchange has become something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carries {
    WebSocket,
    Bytes,
}

/// Where the end of the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It is in use.
    Open,
    /// Nothing is understood any more. What is queued goes out, then FIN if `fin`; what the peer still sends is dropped
    /// until it ends too, or until `give_up`, which is set when the last byte has gone.
    Draining { fin: bool, give_up: Option<Time> },
    /// The transport may be closed.
    Done,
}

/// The stream has ended, which is to be told.
const CLOSED: u16 = 1;
/// Another protocol takes over.
const SWITCH: u16 = 2;
/// A permit is wanted.
const WANTED: u16 = 4;
/// The stream's timeout is to be told.
const TIMEOUT: u16 = 8;
/// The end of input is to be told, after the input.
const EOF: u16 = 16;
/// The application does not want input.
const PAUSED: u16 = 32;
/// No input until a permit could be given.
const THROTTLED: u16 = 64;
/// The connection is no longer `Ending::Open`.
const ENDING: u16 = 128;
/// The receiver has more to tell, without more input.
const MORE: u16 = 256;
/// The protocol has streams, which keep what the other flags say of the one: it is always asked.
const STREAMS: u16 = 512;
/// The end of input may be a cut.
const TRUNCATED: u16 = 1_024;
/// The exchange is to hear that its peer has ended its direction.
const PEER_ENDED: u16 = 2_048;
/// What ends with the stream that it is about.
const OF_STREAM: u16 = PAUSED | THROTTLED | WANTED | TIMEOUT | MORE | PEER_ENDED;
/// What was sent is incomplete, and the transport is to end in a way that says so.
const CUT: u16 = 4_096;

impl Tx {
    pub(crate) fn new(
        now: Time,
        config: Arc<Config>,
        sender: Sender,
        entropy: Option<Box<dyn Entropy>>,
    ) -> Self {
        let client = entropy.is_some();
        let room = config.limits.send_queue_bytes_max;
        Self {
            config,
            now,
            heard: now,
            sent: now,
            resumed: now,
            opened: now,
            out: Output::default(),
            sender,
            stream: StreamState {
                index: 0,
                generation: 0,
                open: false,
                ticket: false,
                held: 0,
                timeout: None,
            },
            ending: Ending::Open,
            flags: 0,
            closed: Cause::Complete,
            switch: None,
            delivery: Delivery::new(),
            entropy,
            client,
            room,
            credit: usize::MAX,
            tunnel: None,
            spread: 0,
            http1_agreed: false,
            #[cfg(feature = "record")]
            tape: None,
            account: Account::default(),
        }
    }

    /// That of a stream which has become a transport itself, and goes on under the same key.
    pub(crate) fn tunnel(
        now: Time,
        config: Arc<Config>,
        key: StreamKey,
        client: bool,
        carries: Carries,
    ) -> Self {
        let mut tx = Self::new(now, config, Sender::Silent, None);
        let StreamKey { index, generation } = key;
        tx.stream = StreamState { index, generation, open: true, ticket: false, held: 0, timeout: None };
        tx.client = client;
        tx.tunnel = Some(carries);
        tx
    }

    /// Whether the transport is a stream that carries a WebSocket.
    pub(crate) fn carries_websocket(&self) -> bool {
        self.tunnel == Some(Carries::WebSocket)
    }

    /// HTTP/1.1 was agreed on before the first byte.
    pub(crate) fn agree_on_http1(&mut self) {
        self.http1_agreed = true;
    }

    #[cfg(feature = "record")]
    pub(crate) fn has_agreed_on_http1(&self) -> bool {
        self.http1_agreed
    }

    /// Whether the peer may go to HTTP/2 by what it says.
    pub(crate) fn may_speak_http2(&self) -> bool {
        self.config.versions == Versions::Any && !self.http1_agreed
    }

    /// Speaks HTTP/2 from here on, of which this side says the beginning.
    pub(crate) fn begin_http2(&mut self, mut sender: Box<h2::Sender>) {
        sender.begin(&mut self.out, &self.config, self.now);
        self.speak_http2(sender);
    }

    fn speak_http2(&mut self, mut sender: Box<h2::Sender>) {
        self.stream.open = false;
        core::mem::swap(&mut sender.account, &mut self.account);
        self.sender = Sender::Http2(sender);
        self.flags |= STREAMS;
    }

    /// Goes from HTTP/1.1 to HTTP/2, with the running exchange as the first stream.
    #[cold]
    pub(crate) fn upgrade_to_http2(&mut self, upgrade: &h2::Upgrade, method: crate::http::Method) {
        let generation = self.stream.generation;
        let Self { out, config, now, .. } = self;
        let sender = Box::new(h2::Sender::upgraded(upgrade, (method, generation), out, config, *now));
        let mut receiver = Box::new(h2::Receiver::new(false, *now));
        receiver.begin_upgraded(0);
        self.speak_http2(sender);
        self.switch = Some(Box::new(Switch { receiver: SwitchTo::Http2(receiver), announced: true }));
        self.flags |= SWITCH;
    }

    // Streams of HTTP/2.

    /// What handles borrow: this, or the stream that is lent if it has become a transport itself.
    #[inline]
    pub(crate) fn lent(&mut self) -> &mut Self {
        let lends = matches!(&self.sender, Sender::Http2(sender) if sender.lends_tunnel());
        if lends { self.lent_tunnel() } else { self }
    }

    #[cold]
    fn lent_tunnel(&mut self) -> &mut Self {
        let (now, client, key) = (self.now, self.client, self.key());
        match self.sender {
            Sender::Http2(ref mut sender) => {
                let config = &self.config;
                let none = || Self::tunnel(now, config.clone(), key, client, Carries::Bytes);
                let tunnel = sender.lent_tunnel(none);
                // What is done with the stream is noted on the tape of its connection.
                #[cfg(feature = "record")]
                tunnel.tape.clone_from(&self.tape);
                tunnel
            }
            _ => self,
        }
    }

    /// Lends the stream that `key` names, if it has not ended.
    pub(crate) fn select(&mut self, key: StreamKey) -> Option<&mut Self> {
        let Self { sender: Sender::Http2(sender), entropy, now, .. } = self else {
            return (self.stream.open && self.key() == key).then_some(self);
        };
        sender.settle(entropy, *now);
        if !sender.select(key) {
            return None;
        }
        sender.enter_lent(entropy, *now);
        Some(self.lent())
    }

    /// Takes back what handles have borrowed of a tunnel.
    #[inline]
    pub(crate) fn settle(&mut self) {
        if let Self { sender: Sender::Http2(sender), entropy, now, .. } = self {
            sender.settle(entropy, *now);
        }
    }

    /// What the windows of the stream take that is the transport. One message may always be queued, so that whoever answers each
    /// message has a permit for the first.
    pub(crate) fn set_window(&mut self, window: usize) {
        self.room = window.clamp(1, self.config.limits.send_queue_bytes_max);
    }

    /// What the windows and one frame of the stream that is the transport take at once.
    pub(crate) fn set_credit(&mut self, credit: usize) {
        self.credit = credit;
    }

    // What is held.

    /// What the connection holds, unless this is a tunnel that is not looked at.
    pub(crate) fn account(&mut self) -> &mut Account {
        match &mut self.sender {
            Sender::Http2(sender) => &mut sender.account,
            _ => &mut self.account,
        }
    }

    /// Whether something may be held that has not been counted. With streams that has to be looked at.
    #[inline]
    pub(crate) fn is_charged(&self) -> bool {
        self.account.is_touched() || self.has_streams()
    }

    /// Whether it is HTTP/2 that is spoken.
    #[inline]
    pub(crate) fn has_streams(&self) -> bool {
        self.flags & STREAMS != 0
    }

    /// Bytes that are held to be sent, or by the application for the streams.
    pub(crate) fn held(&self) -> usize {
        let sender = match &self.sender {
            Sender::Http2(sender) => sender.held(),
            Sender::WebSocket(sender) => sender.held(),
            Sender::Http1(_) | Sender::Raw(_) | Sender::Silent => 0,
        };
        self.out.held() + self.stream.held as usize + sender
    }

    /// The application is about to hold so many bytes more for the stream that is lent.
    pub(crate) fn hold(&mut self, bytes: usize) -> Result<(), Limit> {
        let max = self.config.limits.held_bytes_max;
        if self.config.held.is_full() {
            return Err(Limit::ServiceBytes);
        }
        if !self.account().grow(bytes, max) {
            return Err(Limit::HeldBytes);
        }
        let held = self.stream_held();
        *held = held.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        Ok(())
    }

    /// The application holds so many bytes less.
    pub(crate) fn let_go(&mut self, bytes: usize) {
        let held = self.stream_held();
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(*held);
        *held -= bytes;
        self.account().shrink(bytes as usize);
    }

    fn stream_held(&mut self) -> &mut u32 {
        match &mut self.sender {
            Sender::Http2(sender) => sender.lent_held(),
            _ => &mut self.stream.held,
        }
    }

    /// Why the stream has ended, if that is to be told.
    pub(crate) fn take_closed(&mut self) -> Option<Cause> {
        self.take(CLOSED).then_some(self.closed)
    }

    /// Whether the stream's timeout is to be told; it is not any more.
    pub(crate) fn takes_timeout(&mut self) -> bool {
        self.take(TIMEOUT)
    }

    /// Whether a permit is wanted and could be given.
    pub(crate) fn wants_write(&self) -> bool {
        self.flags & WANTED != 0 && self.may_write()
    }

    /// Whether another protocol takes over.
    pub(crate) fn has_switch(&self) -> bool {
        self.flags & SWITCH != 0
    }

    /// When the connection was opened.
    pub(crate) fn opened(&self) -> Time {
        self.opened
    }

    pub(crate) fn is_client(&self) -> bool {
        self.client
    }

    /// The key of the stream that is open, or was last.
    #[inline]
    pub(crate) fn key(&self) -> StreamKey {
        if let Sender::Http2(sender) = &self.sender {
            return sender.key();
        }
        StreamKey { index: self.stream.index, generation: self.stream.generation }
    }

    /// Opens the next stream.
    pub(crate) fn open_stream(&mut self) -> StreamKey {
        self.stream = StreamState {
            index: 0,
            generation: self.stream.generation.wrapping_add(1),
            open: true,
            ticket: false,
            held: 0,
            timeout: None,
        };
        self.flags &= !OF_STREAM;
        self.key()
    }

    /// Ends the stream, if one is open: `Closed` is told next.
    pub(crate) fn close_stream(&mut self, cause: Cause) {
        if self.stream.open {
            let cause = match &self.sender {
                Sender::Http1(sender) if cause != Cause::Aborted => sender.refusal().unwrap_or(cause),
                _ => cause,
            };
            self.stream.open = false;
            self.stream.timeout = None;
            self.account.shrink(core::mem::take(&mut self.stream.held) as usize);
            self.flags = self.flags & !OF_STREAM | CLOSED;
            self.closed = cause;
        }
    }

    /// Ends the stream and the protocol: what is queued still goes out. FIN follows, unless a peer could take that for the end of a
    /// message which is none.
    pub(crate) fn finish(&mut self, cause: Cause) {
        self.close_stream(cause);
        if self.flags & ENDING == 0 {
            self.flags |= ENDING;
            let cut = matches!(&self.sender, Sender::Http1(sender) if sender.is_incomplete());
            self.flags |= if cut { CUT } else { 0 };
            // RFC 6455 §7.1.1: the server closes the TCP connection first.
            let first =
                self.tunnel.is_some() || !self.is_client() || !matches!(self.sender, Sender::WebSocket(_));
            self.ending = Ending::Draining { fin: first && !cut, give_up: None };
            self.arm_linger();
        }
        self.switch = None;
        match &mut self.sender {
            // The ends of its streams are still to be told.
            Sender::Http2(sender) => sender.finish(cause),
            sender => *sender = Sender::Silent,
        }
    }

    /// Ends everything at once: what is queued is lost, and the transport is reset if that or anything else is missing in what
    /// was sent.
    pub(crate) fn abort(&mut self, cause: Cause) {
        let lost = !self.out.is_empty();
        let cut = lost || self.is_under_way();
        if lost {
            self.lose(cause);
        }
        self.finish(cause);
        self.flags |= if cut { CUT } else { 0 };
        self.out.clear();
        self.delivery.forget();
        self.ending = Ending::Done;
    }

    /// Whether something is being sent whose end the peer would not miss, or is told by nothing but the end of the transport. The
    /// frames of a WebSocket tell by themselves.
    fn is_under_way(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_incomplete(),
            Sender::Http2(sender) => sender.is_incomplete(),
            Sender::Raw(_) => self.stream.open,
            Sender::WebSocket(_) | Sender::Silent => false,
        }
    }

    /// What is queued does not reach the peer: an end that has not been told yet is not complete.
    fn lose(&mut self, cause: Cause) {
        if self.flags & CLOSED != 0 && self.closed == Cause::Complete {
            self.closed = cause;
        }
        if let Sender::Http2(sender) = &mut self.sender {
            sender.lose(cause);
        }
    }

    /// Whether the transport is to end in a way that no peer takes for an end in order.
    pub(crate) fn is_cut(&self) -> bool {
        self.flags & CUT != 0
    }

    /// Ends the connection in an orderly way. See [`Connection::drain`](crate::Connection::drain).
    pub(crate) fn drain(&mut self, now: Time) {
        self.now = now;
        let give_up = now + self.config.limits.close_timeout;
        let Tx { sender, out, entropy, stream, config, .. } = self;
        match sender {
            Sender::Http2(sender) => {
                sender.settle(entropy, now);
                let idle = sender.drain(out, config, entropy, now);
                if idle {
                    self.finish(Cause::Complete);
                }
            }
            Sender::WebSocket(sender) => {
                // Misuse is impossible: the code is one for the wire and the reason is short.
                let _ = sender.close(out, entropy, CloseCode::GOING_AWAY, "", give_up);
            }
            Sender::Http1(sender) if stream.open => sender.last_exchange(),
            Sender::Raw(_) if stream.open => {
                self.finish(Cause::Closed { code: CloseCode::NO_STATUS, by_peer: false });
            }
            _ => self.finish(Cause::Aborted),
        }
    }

    /// Whether the protocol is still spoken.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.flags & ENDING == 0
    }

    pub(crate) fn is_paused(&self) -> bool {
        match &self.sender {
            Sender::Http2(sender) => sender.is_paused(),
            _ => self.flags & PAUSED != 0,
        }
    }

    pub(crate) fn pause(&mut self) {
        if let Sender::Http2(sender) = &mut self.sender {
            sender.pause();
        } else if self.stream.open {
            self.flags |= PAUSED;
        }
    }

    /// Takes input again. Silence counts from here: nobody listened before.
    pub(crate) fn resume(&mut self) {
        if let Sender::Http2(sender) = &mut self.sender {
            sender.resume(&self.config, self.now);
        } else if self.take(PAUSED) {
            self.heard = self.now;
            self.resumed = self.now;
        }
    }

    /// Whether what was sent last has to go before more is sent: the queue is full, or a window is.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.out.len() >= self.room
            || matches!(&self.sender, Sender::Http2(sender) if sender.waits_to_write())
    }

    /// Takes no input until the stream may write.
    pub(crate) fn throttle(&mut self) {
        if let Sender::Http2(sender) = &mut self.sender {
            sender.throttle();
        } else if self.stream.open {
            self.flags |= THROTTLED;
        }
    }

    /// Hands the connection to another protocol, at the next look at the input.
    pub(crate) fn switch_to(&mut self, sender: Sender, receiver: SwitchTo, announced: bool) {
        self.sender = sender;
        self.switch = Some(Box::new(Switch { receiver, announced }));
        self.flags |= SWITCH;
    }

    pub(crate) fn take_switch(&mut self) -> Option<Box<Switch>> {
        self.switch.take()
    }

    #[inline]
    pub(crate) fn has_notice(&self) -> bool {
        self.flags & (CLOSED | SWITCH | WANTED | TIMEOUT | STREAMS | PEER_ENDED) != 0
    }

    /// Whether there is nothing but input to look at, and it is wanted.
    #[inline]
    pub(crate) fn is_undisturbed(&self) -> bool {
        self.flags == 0
    }

    pub(crate) fn want_write(&mut self) {
        if let Sender::Http2(sender) = &mut self.sender {
            sender.want_write(self.now);
        } else if self.stream.open {
            self.flags |= WANTED;
        }
    }

    pub(crate) fn eof(&mut self) {
        self.flags |= EOF;
        if let Sender::Http1(sender) = &mut self.sender {
            sender.note_peer_end(self.now);
        }
    }

    /// The request has come whole. Its exchange hears of the end of its peer if that has come, too: at once, whatever input
    /// stands between.
    pub(crate) fn tell_peer_end(&mut self) {
        if let Sender::Http1(sender) = &self.sender
            && sender.is_half_closed()
        {
            self.flags |= PEER_ENDED;
        }
    }

    /// Whether the exchange is to hear of the end of its peer. It is not once it has been answered.
    fn peer_end_is_due(&self) -> bool {
        self.flags & PEER_ENDED != 0
            && matches!(&self.sender, Sender::Http1(sender) if sender.is_half_closed())
    }

    pub(crate) fn truncate(&mut self) {
        self.flags |= TRUNCATED;
    }

    /// Whether the end of input may be a cut.
    pub(crate) fn is_truncated(&self) -> bool {
        self.flags & TRUNCATED != 0
    }

    /// Why a stream ends that needed more input.
    pub(crate) fn loss(&self) -> Cause {
        if self.is_truncated() { Cause::Truncated } else { Cause::Disconnected }
    }

    /// The receiver has more to tell without more input, or no longer.
    #[inline]
    pub(crate) fn set_more(&mut self, more: bool) {
        self.flags = if more { self.flags | MORE } else { self.flags & !MORE };
    }

    #[inline]
    pub(crate) fn has_more(&self) -> bool {
        self.flags & MORE != 0
    }

    /// Whether a protocol switch is due. It comes before everything else.
    pub(crate) fn take_switch_notice(&mut self) -> bool {
        self.take(SWITCH)
    }

    /// Whether the end of input is to be told, now that the input before it has been.
    pub(crate) fn take_eof_notice(&mut self) -> bool {
        self.take(EOF)
    }

    pub(crate) fn has_eof_notice(&self) -> bool {
        self.flags & EOF != 0
    }

    fn take(&mut self, notice: u16) -> bool {
        let due = self.flags & notice != 0;
        self.flags &= !notice;
        due
    }

    /// What is to be told of the stream, apart from input.
    pub(crate) fn notice(&mut self) -> Option<Item> {
        if let Self { sender: Sender::Http2(sender), out, config, entropy, now, .. } = self {
            let item = sender.notice(out, config, entropy, *now);
            if item.is_none() && sender.is_over() {
                sender.say_over(out);
                self.finish(Cause::Complete);
            }
            return item;
        }
        if self.take(CLOSED) {
            return Some(Item::Closed { key: self.key(), cause: self.closed });
        }
        if self.take(TIMEOUT) {
            return Some(Item::Timeout);
        }
        let peer_ended = self.peer_end_is_due();
        self.take(PEER_ENDED);
        if peer_ended {
            return Some(Item::PeerEnded);
        }
        if self.flags & WANTED != 0 && self.may_write() {
            self.flags &= !WANTED;
            return Some(Item::Writable);
        }
        None
    }

    /// Whether something is to be told now, apart from input and its end.
    pub(crate) fn notice_is_due(&self) -> bool {
        if let Sender::Http2(sender) = &self.sender
            && sender.has_notice(self.out.len() < self.room)
        {
            return true;
        }
        self.flags & (CLOSED | SWITCH | TIMEOUT) != 0
            || self.peer_end_is_due()
            || self.flags & WANTED != 0 && self.may_write()
    }

    /// Whether a permit could be given.
    #[inline]
    pub(crate) fn may_write(&self) -> bool {
        let free = self.stream.open && !self.stream.ticket;
        let room = self.out.len() < self.room;
        match &self.sender {
            Sender::WebSocket(sender) => room && free && sender.may_write(),
            Sender::Http1(sender) => room && free && sender.may_write(),
            Sender::Raw(sender) => room && free && sender.may_write(),
            Sender::Http2(sender) => sender.may_write(room),
            Sender::Silent => false,
        }
    }

    /// Whether the application does not want input now.
    #[inline]
    pub(crate) fn holds_input(&mut self) -> bool {
        if let Sender::Http2(sender) = &mut self.sender {
            sender.note_room(self.out.len() < self.room);
            return self.would_hold_input();
        }
        if self.flags & THROTTLED != 0 && !self.is_throttled() {
            self.flags &= !THROTTLED;
            self.resumed = self.now;
        }
        self.flags & (PAUSED | THROTTLED) != 0 && !self.is_answered()
    }

    /// The same, without noting it.
    pub(crate) fn would_hold_input(&self) -> bool {
        if let Sender::Http2(sender) = &self.sender {
            // A full queue goes to the transport first. If that is full, too, it is no reason: "Failure to read promptly could
            // lead to a deadlock when critical frames, such as WINDOW_UPDATE, are not read". RFC 9113 §5.2.2.
            // The same for ends that have not gone: as long as they wait their streams have no place for others.
            let sends = self.out.len() >= self.room || sender.frees_places(&self.config);
            return sends && !self.delivery.waits() || sender.is_choked(&self.config);
        }
        (self.is_paused() || self.flags & THROTTLED != 0 && self.is_throttled()) && !self.is_answered()
    }

    /// Whether a stream that was throttled waits for its next permit. There is none after a Close frame or the end of a
    /// raw stream, and the peer's end is still to be heard.
    fn is_throttled(&self) -> bool {
        let closed = match &self.sender {
            Sender::WebSocket(sender) => !sender.may_write(),
            Sender::Raw(sender) => sender.has_ended(),
            Sender::Http1(_) | Sender::Http2(_) | Sender::Silent => false,
        };
        !closed && !self.may_write()
    }

    /// Keeps the permit of the stream that is lent as a ticket, or takes it back.
    pub(crate) fn set_ticket(&mut self, out: bool) {
        match &mut self.sender {
            Sender::Http2(sender) => sender.set_ticket(out, self.now),
            _ => self.stream.ticket = out,
        }
    }

    /// How much can be sent before the peer or the queue says stop.
    pub(crate) fn budget(&self) -> usize {
        let queue = self.room.saturating_sub(self.out.len());
        let peer = match &self.sender {
            Sender::Http2(sender) => sender.budget(),
            _ => self.credit.saturating_sub(self.out.len()),
        };
        queue.min(peer).max(1)
    }

    /// Whether a server has sent its whole response: nobody wants the rest of the request, so nobody can hold it.
    fn is_answered(&self) -> bool {
        matches!(&self.sender, Sender::Http1(sender) if sender.has_answered())
    }

    /// When the peer of a WebSocket was last heard, unless the application does not listen.
    fn listening(&self) -> Option<Time> {
        (self.flags & PAUSED == 0).then_some(self.heard)
    }

    pub(crate) fn set_timeout(&mut self, at: Option<Time>) {
        if let Sender::Http2(sender) = &mut self.sender {
            sender.set_timeout(at);
        } else if self.stream.open {
            self.stream.timeout = at;
        }
    }

    /// The transport is about to be offered what is queued.
    #[inline]
    pub(crate) fn offer(&mut self, now: Time) {
        self.delivery.offer(now);
    }

    /// The transport has taken `n` bytes.
    #[inline(always)]
    pub(crate) fn transmitted(&mut self, now: Time, n: usize) {
        self.now = now;
        if self.out.consume(n) {
            self.delivery.took_all(n);
            self.sent = now;
            self.arm_linger();
            if let Sender::Http2(sender) = &mut self.sender {
                sender.all_sent();
            }
        } else {
            self.progressed(now, n);
        }
        if let Sender::WebSocket(sender) = &mut self.sender
            && sender.owes_pong()
        {
            sender.send_owed_pong(&mut self.out, &mut self.entropy, &self.config.limits, now);
        }
    }

    #[cold]
    fn progressed(&mut self, now: Time, n: usize) {
        self.out.compact();
        self.delivery.took_some(n, &self.config.limits, now);
    }

    fn arm_linger(&mut self) {
        if let Ending::Draining { give_up: give_up @ None, .. } = &mut self.ending
            && self.out.is_empty()
        {
            if self.flags & CUT != 0 {
                // There is no last byte that a reset could destroy on its way.
                self.ending = Ending::Done;
            } else {
                *give_up = Some(self.now + self.config.limits.linger_timeout);
            }
        }
    }

    /// Whether FIN is to follow what is queued.
    pub(crate) fn fin(&self) -> bool {
        match (&self.ending, &self.sender) {
            (Ending::Draining { fin, .. }, _) => *fin,
            (Ending::Open, Sender::Raw(sender)) => sender.has_ended(),
            _ => false,
        }
    }

    #[inline(always)]
    pub(crate) fn next_timeout(&self) -> Option<Time> {
        let lingering = match self.ending {
            Ending::Draining { give_up, .. } => give_up,
            Ending::Open | Ending::Done => None,
        };
        let sender = match &self.sender {
            Sender::WebSocket(sender) => {
                sender.next_timeout(self.listening(), self.spread, &self.config.limits)
            }
            _ => None,
        };
        let stream = earliest(self.stream.timeout, sender);
        earliest(earliest(self.delivery.next_timeout(&self.config.limits), lingering), stream)
    }

    pub(crate) fn handle_timeout(&mut self, now: Time) {
        self.now = now;
        if self.delivery.has_stalled(&self.config.limits, now, self.out.len()) {
            return self.abort(Cause::Timeout(Deadline::Stalled));
        }
        if let Ending::Draining { give_up: Some(give_up), .. } = &mut self.ending
            && *give_up <= now
        {
            // Our last bytes may still be on their way, which is what this waits for.
            if self.delivery.is_arriving(&self.config.limits, now) {
                *give_up = now + self.config.limits.linger_timeout;
            } else {
                self.ending = Ending::Done;
            }
        }
        if self.stream.timeout.is_some_and(|at| at <= now) {
            self.stream.timeout = None;
            self.flags |= TIMEOUT;
        }
        if !matches!(self.sender, Sender::WebSocket(_)) {
            return;
        }
        if let Sender::WebSocket(sender) = &self.sender {
            let limits = &self.config.limits;
            let stalled = sender.heard_after_stall(self.heard, self.spread, limits, now);
            self.heard = stalled.unwrap_or(self.heard);
        }
        let heard = self.listening();
        let spread = self.spread;
        if let Sender::WebSocket(sender) = &mut self.sender {
            let Self { out, entropy, config, delivery, .. } = self;
            let outcome = sender.handle_timeout(out, entropy, delivery, &config.limits, (heard, spread), now);
            if let Some(deadline) = outcome {
                self.abort(Cause::Timeout(deadline));
            }
        }
    }
}

impl Switch {
    pub(crate) fn protocol(&self) -> Protocol {
        match self.receiver {
            SwitchTo::WebSocket(_) => Protocol::WebSocket,
            // What HTTP/2 begins with has been told as a request.
            SwitchTo::Raw(_) | SwitchTo::Http2(_) => Protocol::Raw,
        }
    }
}
