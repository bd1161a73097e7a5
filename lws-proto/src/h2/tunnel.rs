//! A tunnel: a WebSocket or raw bytes, with a channel of its own whose transport is the stream. RFC 8441 §5.

use crate::Cause;
use crate::Time;
use crate::connection::carried::{Carried, CarriedReceiver, Halves};
use crate::connection::channel::Channel;
use crate::connection::item::Item;
use crate::connection::resources::Resources;
use crate::connection::stream::Notices;
use crate::protocol::Protocol;
use crate::time::earliest;

/// A WebSocket or raw stream in a stream of HTTP/2, which is its transport: the tunnel does not see frames and windows.
pub(crate) struct Tunnel {
    pub(crate) channel: Channel,
    pub(in crate::h2) carried: Carried,
    /// The receiver, until the connection's frame reader takes it over.
    receiver: Option<CarriedReceiver>,
    /// Whether the application was notified of the new protocol.
    announced: bool,
}

impl Tunnel {
    pub(in crate::h2) fn new(channel: Channel, (carried, receiver): Halves, announced: bool) -> Self {
        let mut tunnel = Self { channel, carried, receiver: Some(receiver), announced };
        tunnel.channel.stream.notices.set(Notices::SWITCH);
        tunnel
    }

    pub(crate) fn carried(&self) -> &Carried {
        &self.carried
    }

    /// What is carried, and the channel that carries it.
    pub(crate) fn halves(&mut self) -> (&mut Carried, &mut Channel) {
        (&mut self.carried, &mut self.channel)
    }

    pub(in crate::h2) fn carries_websocket(&self) -> bool {
        matches!(self.carried, Carried::WebSocket(_))
    }

    /// Takes the receiver, with the protocol and whether the application was notified; once.
    pub(in crate::h2) fn take_receiver(&mut self) -> Option<(CarriedReceiver, Protocol, bool)> {
        if !self.channel.stream.notices.take(Notices::SWITCH) {
            return None;
        }
        let receiver = self.receiver.take().filter(|_| self.channel.link.is_open())?;
        Some((receiver, self.carried.protocol(), self.announced))
    }

    pub(crate) fn may_write(&self) -> bool {
        self.carried.may_write(&self.channel)
    }

    /// Whether this side has ended its direction.
    pub(crate) fn has_ended(&self) -> bool {
        !self.channel.link.is_open() || !self.carried.is_sending()
    }

    /// Whether a permit is wanted and could be given.
    pub(in crate::h2) fn wants_write(&self) -> bool {
        self.channel.stream.notices.has(Notices::WANTED) && self.may_write()
    }

    /// Whether output waits for the windows of the stream.
    #[inline]
    pub(in crate::h2) fn has_output(&self) -> bool {
        !self.channel.link.out.is_empty()
    }

    pub(in crate::h2) fn holds_input(&mut self) -> bool {
        let waits = self.carried.waits_for_permit(&self.channel);
        self.channel.holds_input(waits)
    }

    pub(in crate::h2) fn would_hold_input(&self) -> bool {
        self.channel.would_hold_input(self.carried.waits_for_permit(&self.channel))
    }

    pub(in crate::h2) fn notice(&mut self) -> Option<Item> {
        let Self { carried, channel, .. } = self;
        channel.notice(|channel| carried.may_write(channel))
    }

    pub(in crate::h2) fn notice_is_due(&self) -> bool {
        self.channel.notice_is_due(|channel| self.carried.may_write(channel))
    }

    pub(in crate::h2) fn drain(&mut self, resources: &mut Resources) {
        self.carried.drain(&mut self.channel, resources);
    }

    pub(crate) fn next_timeout(&self) -> Option<Time> {
        earliest(self.channel.next_timeout(), self.carried.next_timeout(&self.channel))
    }

    pub(in crate::h2) fn handle_timeout(&mut self, resources: &mut Resources, now: Time) {
        if let Some(deadline) = self.channel.link.handle_timeout(now) {
            return self.carried.abort(&mut self.channel, Cause::Timeout(deadline));
        }
        self.channel.handle_timeout(now);
        self.carried.handle_timeout(&mut self.channel, resources);
    }

    /// Notes that the stream has taken `n` bytes into a frame.
    pub(in crate::h2) fn transmitted(&mut self, resources: &mut Resources, now: Time, n: usize) {
        self.channel.link.transmitted(now, n);
        self.carried.transmitted(&mut self.channel, resources);
    }

    /// Bytes that are held to be sent.
    pub(crate) fn held(&self) -> usize {
        self.channel.link.out.held() + self.channel.stream.held as usize + self.carried.held()
    }
}
