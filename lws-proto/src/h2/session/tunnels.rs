//! Tunnels: streams that become a WebSocket or a raw stream, from their beginning to their end. RFC 8441 §5.

use super::super::code::ErrorCode;
use super::super::slot::Slot;
use super::super::state::{Frame, State, Transition};
use super::super::streams::{self, Message, StreamPhase, StreamState, WaitsFor};
use super::super::tunnel::Tunnel;
use super::Session;
use crate::connection::carried;
use crate::connection::channel::Channel;
use crate::connection::link::{Link, LinkEnd};
use crate::connection::resources::Resources;
use crate::connection::stream::Notices;
use crate::http::{Head, Method};
use crate::time::unless_never;
use crate::{Cause, Misuse, Time, Violation, ws};
use alloc::boxed::Box;

impl Session {
    /// Accepts an extended CONNECT: the stream carries a WebSocket from here on. RFC 8441 §5.
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
            // The client has ended the stream with its request.
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

    /// Makes the lent stream the transport of a WebSocket, or of raw bytes.
    pub(in crate::h2) fn make_tunnel(
        &mut self,
        link: &Link,
        resources: &mut Resources,
        websocket: Option<ws::Opened>,
        announced: bool,
    ) {
        let (now, client, slot) = (link.now, self.client, self.lent.slot);
        // The halves are the same as on a connection of their own; only the channel differs.
        let halves = match websocket {
            Some(opened) => carried::websocket(opened, client, now),
            None => carried::raw(),
        };
        resources.account.charge(halves.0.held());
        let stream = self.streams.at(slot);
        let mut channel = Channel::tunnel(Link::tunnel(now, link.config.clone(), client), stream.core.key);
        stream.due = Time::NEVER;
        // The timeout of the exchange continues for the tunnel.
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

    /// Lends the stream at `slot`. If it is a tunnel, attaches it: passes the time, the windows and a buffer, so that
    /// handles and receivers can act on it until [`detach`](Self::detach).
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

    /// Detaches the tunnel, and applies what handles have done with it.
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

    /// Queues a tunnel for what it needs next.
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
        // The end is delivered next, and no other notice of the stream.
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

    /// Queues a tunnel that has not ended for what it needs next.
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
        // Queued output is sent before another permit is given.
        if output || fin {
            self.wait_for_window(slot, now);
        } else {
            self.wait_for_permit(slot, wanted, now);
        }
        // Decoded data can be delivered without another frame of the peer.
        if more {
            self.streams.resume(slot);
        } else {
            self.release_held(slot, now);
        }
    }

    /// Queues a tunnel without output for a permit, if it wants one.
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

    /// Ends a tunnel that has sent its last byte.
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

    /// Sets the deadline for the peer's end of a tunnel whose own end has been delivered.
    pub(super) fn linger(&mut self, link: &Link, slot: Slot) {
        let due = link.now + link.config.limits.linger_timeout;
        self.streams.at(slot).due = due;
        self.wake_at(due);
    }

    /// Makes room for another stream: ends the one that lingers longest, of those that have ended but for the peer's END_STREAM. Both
    /// endpoints have sent all that they had to send, and a peer that opens another stream has read the end of this one. RFC 9113 §8.1.
    pub(in crate::h2) fn end_lingering(&mut self, link: &mut Link) {
        let lingering = |stream: &&StreamState| stream.has(streams::LINGERS) && !stream.state.sends();
        let oldest = self.streams.iter().filter(lingering).min_by_key(|stream| (stream.due, stream.id));
        if let Some(slot) = oldest.map(|stream| stream.id).and_then(|id| self.streams.find(id)) {
            self.reset(link, slot, ErrorCode::NO_ERROR, Cause::Complete);
        }
    }

    /// Handles a stream whose end has been delivered. A tunnel that ended in an orderly way still sends its queue; one
    /// that was cut is reset.
    pub(in crate::h2) fn delivered_end(&mut self, link: &mut Link, slot: Slot) {
        let stream = self.streams.at(slot);
        stream.waits_for = WaitsFor::Nothing;
        if stream.state == State::Closed || stream.tunnel().is_none() {
            return self.free(slot);
        }
        stream.set(streams::LINGERS);
        if let Some(tunnel) = stream.tunnel_mut() {
            tunnel.carried.end();
        }
        if stream.has(streams::CUT) {
            return self.give_up(link, slot, Cause::Aborted);
        }
        // The peer's end came in the frame of its last bytes, or was held with them, so there is no receiver left for
        // it.
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
