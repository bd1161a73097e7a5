//! The initial state of both directions of one WebSocket, on a connection of its own or in a stream of HTTP/2.

use super::handshake::Opened;
use super::receiver::FrameReceiver;
use super::sender::FrameSender;
use crate::Time;
use alloc::boxed::Box;

/// Both directions of a WebSocket in their initial state.
pub(crate) struct Half {
    pub(crate) sender: FrameSender,
    pub(crate) receiver: Box<FrameReceiver>,
}

impl Half {
    /// What both sides have agreed on in the opening handshake.
    pub(crate) fn open(opened: Opened, is_client: bool, now: Time) -> Self {
        let Opened { agreed, codec } = opened;
        let (encoder, decoder) = codec.map(|codec| (codec.encoder, codec.decoder)).unzip();
        Self {
            sender: FrameSender::new(now, encoder),
            receiver: Box::new(FrameReceiver::new(agreed, decoder, is_client)),
        }
    }
}
