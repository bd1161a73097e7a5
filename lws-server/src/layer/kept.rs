//! A WebSocket with what its layers keep until its end.

use crate::ws::{Handler, Message, Prepared};
use crate::{Cause, Context, Control, WebSocket, WebSocketPermit};
use std::any::Any;

/// Hands every call on.
pub(super) struct Kept {
    pub(super) handler: Box<dyn Handler>,
    pub(super) _kept: Vec<Box<dyn Any>>,
}

impl Handler for Kept {
    fn open(&mut self, cx: &mut Context<'_>, stream: WebSocket<'_>) {
        self.handler.open(cx, stream);
    }

    fn message(&mut self, cx: &mut Context<'_>, stream: WebSocket<'_>, message: Message<'_>) {
        self.handler.message(cx, stream, message);
    }

    fn writable(&mut self, cx: &mut Context<'_>, permit: WebSocketPermit<'_>) {
        self.handler.writable(cx, permit);
    }

    fn control(&mut self, cx: &mut Context<'_>, stream: WebSocket<'_>, control: Control<'_>) {
        self.handler.control(cx, stream, control);
    }

    fn timer(&mut self, cx: &mut Context<'_>, stream: WebSocket<'_>) {
        self.handler.timer(cx, stream);
    }

    #[cfg(feature = "broker")]
    fn recovered(
        &mut self,
        cx: &mut Context<'_>,
        stream: WebSocket<'_>,
        recovered: &crate::broker::Recovered,
    ) {
        self.handler.recovered(cx, stream, recovered);
    }

    fn published(&mut self, cx: &mut Context<'_>, message: &Prepared) -> bool {
        self.handler.published(cx, message)
    }

    fn wake(&mut self, cx: &mut Context<'_>, stream: WebSocket<'_>) {
        self.handler.wake(cx, stream);
    }

    fn close(&mut self, cx: &mut Context<'_>, cause: Cause) {
        self.handler.close(cx, cause);
    }
}
