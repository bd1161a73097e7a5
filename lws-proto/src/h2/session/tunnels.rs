//! Streams that become a WebSocket or a tunnel: how they do, what they lend handles, and what becomes of them. RFC 8441 §5.

use super::super::slot::Slot;
use super::super::state::{Frame, State, Transition};
use super::super::streams::{self, Message, StreamPhase, WaitsFor};
use super::Session;
use crate::connection::carried::{self, Carried, CarriedReceiver, Halves};
use crate::connection::channel::Channel;
use crate::connection::item::Item;
use crate::connection::link::{Link, LinkEnd};
use crate::connection::resources::Resources;
use crate::connection::stream::Notices;
use crate::http::{Head, Method};
use crate::time::unless_never;
use crate::{Cause, Misuse, Protocol, Time, Violation, ws};
use alloc::boxed::Box;

/// What a stream has become, for which it is the transport: its frames and windows are the socket that the tunnel does not see.
pub(crate) struct Tunnel {
    pub(crate) channel: Channel,
    carried: Carried,
    /// What reads it, until the receiver of the connection takes that over.
    receiver: Option<CarriedReceiver>,
    /// Whether the application knows what the stream has become.
    announced: bool,
}

impl Tunnel {
    fn new(channel: Channel, (carried, receiver): Halves, announced: bool) -> Self {
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

    pub(super) fn carries_websocket(&self) -> bool {
        matches!(self.carried, Carried::WebSocket(_))
    }

    /// What reads it, what it is, and whether the application knows; once.
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

    /// Whether this side has said its last.
    pub(crate) fn has_ended(&self) -> bool {
        !self.channel.link.is_open() || !self.carried.is_sending()
    }

    /// Whether a permit is wanted and could be given.
    pub(in crate::h2) fn wants_write(&self) -> bool {
        self.channel.stream.notices.has(Notices::WANTED) && self.may_write()
    }

    /// Whether something waits for the windows of the stream.
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

    pub(super) fn notice(&mut self) -> Option<Item> {
        let Self { carried, channel, .. } = self;
        channel.notice(|channel| carried.may_write(channel))
    }

    pub(super) fn notice_is_due(&self) -> bool {
        self.channel.notice_is_due(|channel| self.carried.may_write(channel))
    }

    pub(super) fn drain(&mut self, resources: &mut Resources) {
        self.carried.drain(&mut self.channel, resources);
    }

    pub(crate) fn next_timeout(&self) -> Option<Time> {
        crate::time::earliest(self.channel.next_timeout(), self.carried.next_timeout(&self.channel))
    }

    pub(super) fn handle_timeout(&mut self, resources: &mut Resources, now: Time) {
        if let Some(deadline) = self.channel.link.handle_timeout(now) {
            return self.carried.abort(&mut self.channel, Cause::Timeout(deadline));
        }
        self.channel.handle_timeout(now);
        self.carried.handle_timeout(&mut self.channel, resources);
    }

    /// The stream has taken `n` bytes into a frame.
    pub(super) fn transmitted(&mut self, resources: &mut Resources, now: Time, n: usize) {
        self.channel.link.transmitted(now, n);
        self.carried.transmitted(&mut self.channel, resources);
    }

    /// Bytes that are held to be sent.
    pub(crate) fn held(&self) -> usize {
        self.channel.link.out.held() + self.channel.stream.held as usize + self.carried.held()
    }
}

impl Session {
    /// Answers an extended CONNECT: the stream carries a WebSocket from here on. RFC 8441 §5.
    pub(crate) fn accept_websocket(
        &mut self,
        link: &mut Link,
        resources: &mut Resources,
        head: &Head<'_>,
        accept: &ws::Accept<'_>,
    ) -> Result<(), Misuse> {
        let client = self.client;
        let stream = self.open_exchange()?;
        if stream.message() != Message::Head || client {
            return Err(Misuse::WrongState);
        }
        let agreed = match stream.state.receives() {
            true => ws::agree(head, accept),
            // The client has ended what it asks to begin.
            false => Err(ws::Refused::Peer(Violation::Opening)),
        };
        match agreed {
            Ok(agreement) => {
                self.write_tunnel_head(link, agreement.fields())?;
                self.make_tunnel(link, resources, Some(agreement.opened), false);
                self.attach(self.lent.slot, link);
                Ok(())
            }
            Err(ws::Refused::Peer(violation)) => {
                self.refuse(link, resources, self.lent.slot, Cause::Violation(violation));
                Err(Misuse::NotAnOpening)
            }
            Err(ws::Refused::Caller(misuse)) => Err(misuse),
        }
    }

    /// Answers a CONNECT: what follows is no longer HTTP. RFC 9113 §8.5.
    pub(crate) fn accept_tunnel(&mut self, link: &mut Link, resources: &mut Resources) -> Result<(), Misuse> {
        let client = self.client;
        let stream = self.open_exchange()?;
        let is_tunnel = stream.method == Method::Connect && stream.message() == Message::Head;
        if !is_tunnel || client {
            return Err(Misuse::WrongState);
        }
        if !stream.state.receives() {
            stream.core.notices.set(Notices::PEER_ENDED);
        }
        self.write_tunnel_head(link, core::iter::empty::<(&str, &str)>())?;
        self.make_tunnel(link, resources, None, false);
        self.attach(self.lent.slot, link);
        Ok(())
    }

    fn write_tunnel_head<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        link: &mut Link,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Result<(), Misuse> {
        let id = self.lent_stream().id;
        let Link { out, config, .. } = link;
        self.fields.headers(out, id, |writer, buffer| {
            writer.status(buffer, 200);
            for (name, value) in fields {
                writer.field(buffer, name.as_ref(), value.as_ref());
            }
            if let Some(seconds) = config.wall_clock.get() {
                writer.date(buffer, seconds);
            }
            Ok(((), false))
        })
    }

    /// Makes the stream that is lent the transport of a WebSocket, or of bytes.
    pub(in crate::h2) fn make_tunnel(
        &mut self,
        link: &Link,
        resources: &mut Resources,
        websocket: Option<ws::Opened>,
        announced: bool,
    ) {
        let (now, client, slot) = (link.now, self.client, self.lent.slot);
        let halves = match websocket {
            Some(opened) => carried::websocket(opened, client, now),
            None => carried::raw(),
        };
        resources.account.charge(halves.0.held());
        let stream = self.streams.at(slot);
        let mut channel = Channel::tunnel(Link::tunnel(now, link.config.clone(), client), stream.core.key);
        stream.due = Time::NEVER;
        // What was set for the exchange goes on for what it became.
        channel.set_timeout(unless_never(core::mem::replace(&mut stream.core.timeout, Time::NEVER)));
        if stream.core.notices.take(Notices::PAUSED) {
            channel.pause();
        }
        if stream.core.notices.take(Notices::WANTED) {
            channel.want_write();
        }
        stream.phase = StreamPhase::Tunnel(Box::new(Tunnel::new(channel, halves, announced)));
        self.streams.move_to(slot, WaitsFor::Nothing);
        self.streams.resume(slot);
    }

    /// Lends the stream at `slot`. A tunnel gets the time and the windows, and room to write into; handles and receivers act on it
    /// until [`detach`](Self::detach).
    pub(crate) fn attach(&mut self, slot: Slot, link: &Link) {
        debug_assert!(!self.lent.attached, "what was lent before has not been looked at");
        self.lent.slot = slot;
        let credit = self.credit(slot);
        let stream = self.streams.at(slot);
        let window = stream.send.room();
        if let Some(tunnel) = stream.tunnel_mut() {
            tunnel.channel.link.now = link.now;
            tunnel.channel.link.set_window(window);
            tunnel.channel.link.set_credit(credit);
            tunnel.channel.link.out.lend(&mut self.spare);
            self.lent.attached = true;
        }
    }

    /// Looks at what has become of the tunnel that was lent.
    pub(crate) fn detach(&mut self, link: &Link, resources: &mut Resources) {
        if !core::mem::take(&mut self.lent.attached) {
            return;
        }
        let slot = self.lent.slot;
        if let Some(tunnel) = self.streams.at(slot).tunnel_mut() {
            let out = &mut tunnel.channel.link.out;
            out.reclaim(&mut self.spare);
            if !out.is_empty() {
                resources.account.charge(out.len());
            }
        }
        self.look_at_tunnel(slot, link.now);
    }

    /// Puts a tunnel where it waits for what it wants.
    pub(super) fn look_at_tunnel(&mut self, slot: Slot, now: Time) {
        let stream = self.streams.at(slot);
        let (place, sends) = (stream.waits_for, stream.state.sends());
        let Some(tunnel) = stream.tunnel_mut() else { return };
        let due = tunnel.next_timeout().unwrap_or(Time::NEVER);
        let fin = sends && tunnel.carried.has_fin(&tunnel.channel);
        let cut = tunnel.channel.link.end() == LinkEnd::Done && !tunnel.has_output();
        let closed = place != WaitsFor::Closed && tunnel.channel.stream.notices.take(Notices::CLOSED);
        let cause = tunnel.channel.stream.cause;
        self.wake_at(due);
        if place == WaitsFor::Closed {
            return;
        }
        let stream = self.streams.at(slot);
        if fin {
            stream.set(streams::FIN);
        }
        if closed {
            stream.core.cause = cause;
            if cut {
                stream.set(streams::CUT);
            }
            self.streams.unresume(slot);
            self.streams.untime(slot);
            return self.streams.move_to(slot, WaitsFor::Closed);
        }
        self.line_up_tunnel(slot, now);
    }

    /// Puts a tunnel that has not ended into the line for what it wants next.
    fn line_up_tunnel(&mut self, slot: Slot, now: Time) {
        let stream = self.streams.at(slot);
        let fin = stream.has(streams::FIN);
        let Some(tunnel) = stream.tunnel_mut() else { return };
        let timed_out = tunnel.channel.stream.notices.take(Notices::TIMEOUT);
        let (output, wanted) = (tunnel.has_output(), tunnel.wants_write());
        let more = tunnel.channel.has_more() || tunnel.channel.stream.notices.has(Notices::SWITCH);
        if timed_out {
            self.streams.time_out(slot);
        }
        if output || fin {
            self.wait_for_window(slot, now);
        } else {
            self.wait_for_permit(slot, wanted, now);
        }
        if more {
            self.streams.resume(slot);
        } else {
            self.release_held(slot, now);
        }
    }

    /// Puts a tunnel with an empty queue where it waits for a permit, if it wants one.
    pub(in crate::h2) fn wait_for_permit(&mut self, slot: Slot, wanted: bool, now: Time) {
        let stream = self.streams.at(slot);
        if !wanted {
            stream.stalled = None;
            return self.streams.move_to(slot, WaitsFor::Nothing);
        }
        let open = stream.send.is_open();
        self.streams.move_to(slot, if open { WaitsFor::Content } else { WaitsFor::Nothing });
        self.wait_for_peer(slot, open, now);
    }

    /// A tunnel has sent its last byte.
    pub(super) fn end_tunnel(&mut self, link: &Link, slot: Slot) {
        let stream = self.streams.at(slot);
        stream.stalled = None;
        stream.state = stream.state.on(Transition::Send(Frame::Data { end: true })).unwrap_or(State::Closed);
        if !stream.has(streams::LINGERS) {
            return;
        }
        if stream.state == State::Closed {
            return self.close(slot, Cause::Complete);
        }
        self.linger(link, slot);
    }

    /// Gives the peer of a tunnel whose end has been delivered its time to end, too.
    fn linger(&mut self, link: &Link, slot: Slot) {
        let due = link.now + link.config.limits.linger_timeout;
        self.streams.at(slot).due = due;
        self.wake_at(due);
    }

    /// The end of a stream has been delivered. A tunnel that ended in order still sends what it has queued; one that was cut is
    /// reset.
    pub(in crate::h2) fn delivered_end(&mut self, link: &mut Link, slot: Slot) {
        let stream = self.streams.at(slot);
        stream.waits_for = WaitsFor::Nothing;
        if stream.state == State::Closed || stream.tunnel().is_none() {
            return self.free(slot);
        }
        stream.set(streams::LINGERS);
        if stream.has(streams::CUT) {
            return self.give_up(link, slot, Cause::Aborted);
        }
        // The peer's end came in the frame of its last words, or was held with them: nobody is left who would hear it.
        if stream.core.notices.take(Notices::PEER_ENDED) {
            stream.state = stream.state.peer_ended();
        }
        if stream.state == State::Closed {
            self.close(slot, Cause::Complete);
        } else if stream.state.sends() {
            stream.set(streams::FIN);
            self.wait_for_window(slot, link.now);
        } else {
            self.linger(link, slot);
        }
    }
}
