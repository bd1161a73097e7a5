//! Streams that become a WebSocket or a tunnel: how they do, what they borrow, and what becomes of them. RFC 8441 §5.

use super::super::state::{Frame, State, Step};
use super::super::streams::{self, Message, NEVER, Place};
use super::Sender;
use crate::hpack::Indexing;
use crate::http::{Head, Method, Status};
use crate::transmit::Output;
use crate::tx::{self, Carries, Ending, SwitchTo, Tx};
use crate::{Cause, Config, Entropy, Misuse, Time, Violation, raw, ws};
use alloc::boxed::Box;
use alloc::sync::Arc;

impl Sender {
    /// Answers an extended CONNECT: the stream carries a WebSocket from here on. RFC 8441 §5.
    pub(crate) fn accept_websocket(
        &mut self,
        out: &mut Output,
        config: &Arc<Config>,
        now: Time,
        head: &Head<'_>,
        accept: &ws::Accept<'_>,
    ) -> Result<(), Misuse> {
        let client = self.client;
        let stream = self.open_exchange()?;
        if stream.message != Message::Head || client {
            return Err(Misuse::WrongState);
        }
        let agreed = match stream.state.receives() {
            true => ws::agree(head, accept),
            // The client has ended what it asks to begin.
            false => Err(ws::Refused::Peer(Violation::Opening)),
        };
        match agreed {
            Ok(agreement) => {
                self.open_tunnel_head(out, config, agreement.fields())?;
                self.make_tunnel(config, now, Some(agreement.opened), false);
                Ok(())
            }
            Err(ws::Refused::Peer(violation)) => {
                let slot = self.current;
                let status = Status::new(violation.status()).unwrap_or(Status::BAD_REQUEST);
                let why = (Cause::Violation(violation), violation.message());
                self.refuse(out, config, now, slot, status, why);
                Err(Misuse::NotAnOpening)
            }
            Err(ws::Refused::Caller(misuse)) => Err(misuse),
        }
    }

    /// Answers a CONNECT: what follows is no longer ours. RFC 9113 §8.5.
    pub(crate) fn accept_tunnel(
        &mut self,
        out: &mut Output,
        config: &Arc<Config>,
        now: Time,
    ) -> Result<(), Misuse> {
        let client = self.client;
        let stream = self.open_exchange()?;
        let is_tunnel = stream.method == Method::Connect && stream.message == Message::Head;
        if !is_tunnel || client {
            return Err(Misuse::WrongState);
        }
        if !stream.state.receives() {
            stream.set(streams::PEER_ENDED);
        }
        self.open_tunnel_head(out, config, core::iter::empty::<(&str, &str)>())?;
        self.make_tunnel(config, now, None, false);
        Ok(())
    }

    fn open_tunnel_head<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        out: &mut Output,
        config: &Config,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Result<(), Misuse> {
        let id = self.lent().id;
        self.headers(out, id, |sender, buffer| {
            sender.encoder.encode_status(buffer, 200);
            for (name, value) in fields {
                sender.encoder.encode(buffer, name.as_ref(), value.as_ref(), Indexing::Auto);
            }
            if let Some(seconds) = config.wall_clock.get() {
                sender.encode_date(buffer, seconds);
            }
            Ok(((), false))
        })
    }

    /// Makes the stream that is lent the transport of a WebSocket, or of bytes.
    pub(in crate::h2) fn make_tunnel(
        &mut self,
        config: &Arc<Config>,
        now: Time,
        websocket: Option<ws::Opened>,
        announced: bool,
    ) {
        let (key, client, slot) = (self.key(), self.client, self.current);
        let carries = if websocket.is_some() { Carries::WebSocket } else { Carries::Bytes };
        let mut tunnel = Tx::tunnel(now, config.clone(), key, client, carries);
        let (sender, receiver) = match websocket {
            Some(ws::Opened { agreed, codec }) => {
                let (encoder, decoder) = codec.map(|codec| (codec.encoder, codec.decoder)).unzip();
                let receiver = ws::Receiver::new(agreed, decoder, client);
                let sender = ws::Sender::new(now, encoder);
                self.account.charge(sender.held());
                let sender = tx::Sender::WebSocket(sender);
                (sender, SwitchTo::WebSocket(Box::new(receiver)))
            }
            None => (tx::Sender::Raw(raw::Sender::default()), SwitchTo::Raw(raw::Receiver::default())),
        };
        tunnel.switch_to(sender, receiver, announced);
        let stream = self.lent();
        stream.message = Message::Ended;
        stream.due = NEVER;
        stream.handshake = None;
        // What was set for the exchange goes on for what it became.
        tunnel.set_timeout((stream.timeout != NEVER).then_some(stream.timeout));
        stream.timeout = NEVER;
        if stream.take(streams::PAUSED) {
            tunnel.pause();
        }
        if stream.take(streams::WANTED) {
            tunnel.want_write();
        }
        stream.tunnel = Some(Box::new(tunnel));
        self.streams.place(slot, Place::Nowhere);
        self.streams.resume(slot);
    }

    /// Gives a tunnel what it borrows from the connection: time, randomness, room. Handles and receivers work on it from here
    /// on, until [`settle`](Self::settle).
    pub(crate) fn enter(&mut self, slot: u32, keys: &mut Option<Box<dyn Entropy>>, now: Time) {
        self.current = slot;
        let credit = self.credit(slot);
        let stream = self.streams.at(slot);
        if let Some(tunnel) = &mut stream.tunnel {
            tunnel.now = now;
            tunnel.set_window(stream.send.room());
            tunnel.set_credit(credit);
            core::mem::swap(&mut tunnel.entropy, keys);
            core::mem::swap(&mut tunnel.account, &mut self.account);
            tunnel.out.lend(&mut self.spare);
            self.entered = true;
        }
    }

    /// The same for the stream that is lent.
    pub(crate) fn enter_lent(&mut self, keys: &mut Option<Box<dyn Entropy>>, now: Time) {
        self.enter(self.current, keys, now);
    }

    /// The tunnel that was entered.
    pub(crate) fn tunnel(&mut self) -> Option<&mut Tx> {
        self.streams.at(self.current).tunnel.as_deref_mut()
    }

    /// The same, where there is one as long as it is entered; otherwise one that does nothing.
    pub(crate) fn lent_tunnel(&mut self, none: impl FnOnce() -> Tx) -> &mut Tx {
        self.streams.at(self.current).tunnel.get_or_insert_with(|| Box::new(none()))
    }

    /// Takes back what a tunnel borrowed, and looks at what has become of it.
    pub(crate) fn settle(&mut self, keys: &mut Option<Box<dyn Entropy>>, now: Time) {
        if let Some(entropy) = self.returned.take() {
            *keys = Some(entropy);
        }
        if !core::mem::take(&mut self.entered) {
            return;
        }
        let slot = self.current;
        let stream = self.streams.at(slot);
        if let Some(tunnel) = &mut stream.tunnel {
            core::mem::swap(&mut tunnel.entropy, keys);
            core::mem::swap(&mut tunnel.account, &mut self.account);
            tunnel.out.reclaim(&mut self.spare);
            if !tunnel.out.is_empty() {
                self.account.charge(tunnel.out.len());
            }
        }
        self.look_at_tunnel(slot, now);
    }

    pub(super) fn look_at_tunnel(&mut self, slot: u32, now: Time) {
        let stream = self.streams.at(slot);
        let Some(tunnel) = &mut stream.tunnel else { return };
        self.next_due = self.next_due.min(tunnel.next_timeout().unwrap_or(NEVER));
        if stream.place == Place::Closed {
            return;
        }
        let cut = tunnel.ending == Ending::Done && tunnel.out.is_empty();
        if tunnel.fin() && stream.state.sends() {
            stream.flags |= streams::FIN;
        }
        if let Some(cause) = tunnel.take_closed() {
            stream.cause = cause;
            if cut {
                stream.set(streams::CUT);
            }
            self.streams.unresume(slot);
            self.streams.untime(slot);
            return self.streams.place(slot, Place::Closed);
        }
        if tunnel.takes_timeout() {
            self.streams.time_out(slot);
        }
        let stream = self.streams.at(slot);
        let Some(tunnel) = &stream.tunnel else { return };
        let (pending, wanted, more) =
            (!tunnel.out.is_empty(), tunnel.wants_write(), tunnel.has_more() || tunnel.has_switch());
        if pending || stream.has(streams::FIN) {
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
    pub(in crate::h2) fn wait_for_permit(&mut self, slot: u32, wanted: bool, now: Time) {
        let stream = self.streams.at(slot);
        if !wanted {
            stream.stalled = None;
            return self.streams.place(slot, Place::Nowhere);
        }
        let open = stream.send.is_open();
        self.streams.place(slot, if open { Place::Content } else { Place::Nowhere });
        self.wait_for_peer(slot, open, now);
    }

    /// A tunnel has sent its last byte.
    pub(super) fn end_tunnel(&mut self, slot: u32, now: Time, config: &Config) {
        let stream = self.streams.at(slot);
        stream.stalled = None;
        stream.state = stream.state.on(Step::Send(Frame::Data { end: true })).unwrap_or(State::Closed);
        if stream.state == State::Closed && stream.has(streams::GONE) {
            return self.close(slot, Cause::Complete);
        }
        if stream.has(streams::GONE) {
            stream.due = now + config.limits.linger_timeout;
            self.next_due = self.next_due.min(stream.due);
        }
    }

    /// The end of a stream has been told. A tunnel that ended in order still sends what it has queued; one that was cut is
    /// reset.
    pub(in crate::h2) fn told_end(&mut self, out: &mut Output, slot: u32, now: Time, config: &Config) {
        let stream = self.streams.at(slot);
        stream.place = Place::Nowhere;
        if stream.state == State::Closed || stream.tunnel.is_none() {
            return self.free(slot);
        }
        stream.set(streams::GONE);
        if stream.has(streams::CUT) {
            return self.give_up(out, slot, Cause::Aborted);
        }
        // The peer's end came in the frame of its last words, or was held with them: nobody is left who would hear it.
        if stream.take(streams::PEER_ENDED) {
            stream.state = stream.state.peer_ended();
        }
        if stream.state == State::Closed {
            self.close(slot, Cause::Complete);
        } else if stream.state.sends() {
            stream.set(streams::FIN);
            self.wait_for_window(slot, now);
        } else {
            stream.due = now + config.limits.linger_timeout;
            self.next_due = self.next_due.min(stream.due);
        }
    }
}
