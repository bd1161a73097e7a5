//! The protocols of a channel that are not HTTP: a WebSocket, or raw bytes, on a connection of its own or in a stream
//! of HTTP/2.

use crate::connection::channel::Channel;
use crate::connection::item::{Item, Step};
use crate::connection::link::LastWord;
use crate::connection::resources::Resources;
use crate::ws::CloseCode;
use crate::{Cause, Protocol, Time, raw, ws};
use alloc::boxed::Box;

/// The sending half. Its tag is where the state of a WebSocket's closing handshake has values to spare.
pub(crate) enum Carried {
    WebSocket(ws::FrameSender),
    Raw(raw::ByteSender),
}

/// The receiving half. Events lend content from it while a handle borrows the sending half.
pub(crate) enum CarriedReceiver {
    WebSocket(Box<ws::FrameReceiver>),
    Raw(raw::ByteReceiver),
}

/// Both halves, as they are made.
pub(crate) type Halves = (Carried, CarriedReceiver);

/// The halves of a WebSocket after the opening handshake.
pub(crate) fn websocket(opened: ws::Opened, is_client: bool, now: Time) -> Halves {
    let ws::Half { sender, receiver } = ws::Half::open(opened, is_client, now);
    (Carried::WebSocket(sender), CarriedReceiver::WebSocket(receiver))
}

/// The halves of a raw stream.
pub(crate) fn raw() -> Halves {
    let raw::Half { sender, receiver } = raw::Half::default();
    (Carried::Raw(sender), CarriedReceiver::Raw(receiver))
}

impl Carried {
    pub(crate) fn protocol(&self) -> Protocol {
        match self {
            Self::WebSocket(_) => Protocol::WebSocket,
            Self::Raw(_) => Protocol::Raw,
        }
    }

    /// Whether this side has not ended its direction.
    #[inline]
    pub(crate) fn is_sending(&self) -> bool {
        match self {
            Self::WebSocket(sender) => sender.may_write(),
            Self::Raw(sender) => sender.may_write(),
        }
    }

    /// Whether a permit could be given.
    #[inline]
    pub(crate) fn may_write(&self, channel: &Channel) -> bool {
        channel.may_write() && self.is_sending()
    }

    /// Whether a permit will be possible and is not yet. There is none after a Close frame or the end of a raw stream, and the peer's
    /// end is still to be received.
    pub(crate) fn waits_for_permit(&self, channel: &Channel) -> bool {
        self.is_sending() && !channel.may_write()
    }

    /// Bytes that an extension holds to encode what is sent.
    pub(crate) fn held(&self) -> usize {
        match self {
            Self::WebSocket(sender) => sender.held(),
            Self::Raw(_) => 0,
        }
    }

    /// Lets go of what is needed to say more: only what is queued still goes out.
    pub(crate) fn end(&mut self) {
        if let Self::WebSocket(sender) = self {
            sender.drop_encoder();
        }
    }

    /// Whether FIN is to follow what is queued.
    pub(crate) fn has_fin(&self, channel: &Channel) -> bool {
        match self {
            Self::Raw(sender) if channel.link.is_open() => sender.has_ended(),
            _ => channel.link.has_fin(),
        }
    }

    /// Ends the stream and its channel.
    pub(crate) fn finish(&self, channel: &mut Channel, cause: Cause) {
        match self {
            Self::WebSocket(_) => ws::finish(channel, cause),
            Self::Raw(_) => channel.finish(cause, LastWord::Fin),
        }
    }

    /// Ends it at once. Frames of a WebSocket show that something is missing; raw bytes do not.
    pub(crate) fn abort(&self, channel: &mut Channel, cause: Cause) {
        // A raw peer takes FIN for the end of the content, so an incomplete stream must end with a reset.
        let incomplete = matches!(self, Self::Raw(_)) && channel.has_stream();
        channel.abort(cause, incomplete);
    }

    /// Ends it in an orderly way: a WebSocket by the closing handshake.
    pub(crate) fn drain(&mut self, channel: &mut Channel, resources: &mut Resources) {
        if !channel.link.is_open() {
            return;
        }
        match self {
            Self::WebSocket(sender) => {
                let give_up = channel.link.now + channel.link.config.limits.close_timeout;
                let out = &mut channel.link.out;
                // Misuse is impossible: the code may be sent and the reason is short.
                let _ = sender.close(out, &mut resources.entropy, CloseCode::GOING_AWAY, "", give_up);
            }
            Self::Raw(_) => channel.finish(raw::ENDED, LastWord::Fin),
        }
    }

    /// Sends what had to wait until the transport has taken something.
    #[inline(always)]
    pub(crate) fn transmitted(&mut self, channel: &mut Channel, resources: &mut Resources) {
        if let Self::WebSocket(sender) = self
            && sender.owes_pong()
            && channel.link.is_open()
        {
            let link = &mut channel.link;
            sender.send_owed_pong(&mut link.out, &mut resources.entropy, &link.config.limits, link.now);
        }
    }

    #[inline(always)]
    pub(crate) fn next_timeout(&self, channel: &Channel) -> Option<Time> {
        match self {
            Self::WebSocket(sender) if channel.link.is_open() => {
                let link = &channel.link;
                sender.next_timeout(ws::listens_since(channel), link.spread, &link.config.limits)
            }
            Self::WebSocket(_) | Self::Raw(_) => None,
        }
    }

    pub(crate) fn handle_timeout(&mut self, channel: &mut Channel, resources: &mut Resources) {
        if let Self::WebSocket(sender) = self
            && channel.link.is_open()
        {
            ws::handle_timeout(sender, channel, resources);
        }
    }
}

impl CarriedReceiver {
    /// Receives from the front of `input`.
    #[inline]
    pub(crate) fn receive(
        &mut self,
        carried: &mut Carried,
        channel: &mut Channel,
        resources: &mut Resources,
        input: &mut [u8],
    ) -> Step {
        match (self, carried) {
            (Self::WebSocket(receiver), Carried::WebSocket(sender)) => {
                receiver.receive(sender, channel, resources, input)
            }
            (Self::Raw(receiver), Carried::Raw(_)) => receiver.receive(input),
            _ => mismatch(input.len()),
        }
    }

    /// The peer will send no more.
    pub(crate) fn receive_eof(&mut self, carried: &mut Carried, channel: &mut Channel) -> Option<Item> {
        match (self, carried) {
            (Self::Raw(receiver), Carried::Raw(sender)) => receiver.receive_eof(sender, channel),
            // A WebSocket is complete only after its closing handshake, and then the channel has ended.
            _ => {
                let loss = channel.link.loss();
                ws::finish(channel, loss);
                None
            }
        }
    }

    /// The bytes that it holds: content of the peer, and decompression contexts.
    pub(crate) fn held(&self) -> usize {
        match self {
            Self::WebSocket(receiver) => receiver.held(),
            Self::Raw(_) => 0,
        }
    }

    /// Frees the message that was assembled for the last event. Returns its size in bytes.
    pub(crate) fn release(&mut self) -> usize {
        match self {
            Self::WebSocket(receiver) => receiver.release(),
            Self::Raw(_) => 0,
        }
    }
}

/// Handles halves of different protocols, which cannot occur, as they are made and replaced together.
#[cold]
fn mismatch(len: usize) -> Step {
    debug_assert!(false, "the halves of two protocols");
    Step::taken(len)
}
